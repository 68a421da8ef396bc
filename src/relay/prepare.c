/*
 * prepare.c - what a writer has to fetch before anything can be sent: credentials, a list of
 * shards. One request at a time, begun when something is to be sent, and once early.
 *
 *     relay_is_ready() ---> take() ---> under way ---> prepare_answered(): again, or done()
 *
 * While it fails the pauses grow; what was fetched and refused again and again is an obstacle.
 *
 * If nothing is to be fetched, as with a password, only a request shows whether credentials are
 * accepted. So at the start, if there is nothing to be sent, the writer's check is made, which
 * stores nothing. While it is under way nothing else is sent, but its failure holds up no samples:
 * they say more than a check, and end what it found.
 */
#include <assert.h>

#include "relay/relay_private.h"

/* An attempt did not succeed. `what` names it in the log; `blocked`: it will not succeed by itself.
 */
static void
failed(struct relay *r, const char *what, bool blocked, const struct writer_step *step)
{
    struct preparation *p = &r->preparation;
    p->has_failed = true;
    backoff_failed(&p->pause, r->options.env, &r->settings->retry, step->wait_ms);
    if (blocked) {
        obstacle_blocked(&r->obstacle, step->reason, step->answer);
        p->pause.next_ns = relay_now_ns(r) + PROBE_MS * NS_PER_MS;
    } else {
        obstacle_failed(&r->obstacle, what, step->reason, step->answer);
    }
}

/* Says nothing of a check that failed. */
static void
prepared(struct relay *r)
{
    struct preparation *p = &r->preparation;
    backoff_ended(&p->pause);
    p->refused_count = 0;
    if (p->check_agains > 0) return;
    if (p->has_failed) obstacle_prepared(&r->obstacle);
    p->has_failed = false;
}

/* Gives a request to the network. False: `step` says what became of it instead. */
static bool
take(struct relay *r, struct writer_step *step)
{
    if (step->next != WRITER_SEND) return false;
    struct why why = {""};
    step->http.context = r;
    enum err e = http_calls_start(r->http, &step->http, &why);
    if (e) {
        *step = (struct writer_step){.verdict = VERDICT_RETRY, .reason = "no_memory"};
        return false;
    }
    r->preparation.under_way = true;
    return true;
}

/* One step of the check; `answer` NULL: its first. */
static void
check(struct relay *r, const struct http_call_answer *answer)
{
    struct preparation *p = &r->preparation;
    struct writer_step step = {.next = WRITER_DONE};
    char what[WRITER_ANSWER_BYTES] = "";
    p->is_checking = true;
    bool is_there = r->class->check(r->writer, r->limits.start_check - 1, answer, &step, what);
    assert(is_there);
    if (take(r, &step)) return;
    p->is_checking = false;
    bool again = step.verdict == VERDICT_AGAIN || step.verdict == VERDICT_REBUILD;
    bool unprepared = step.verdict == VERDICT_UNPREPARED;
    if ((again || unprepared) && ++p->check_agains <= AGAIN_MAX) return;
    bool blocked = unprepared || step.verdict == VERDICT_BLOCKED;
    bool later = step.verdict == VERDICT_RETRY || step.verdict == VERDICT_THROTTLED;
    if (blocked || later || again) {
        failed(r, "check credentials", blocked, &step);
        return;
    }
    /* Accepted, or refused for what is in it, which is nothing. */
    if (p->has_failed) obstacle_prepared(&r->obstacle);
    *p = (struct preparation){.looked = true};
    throttle_works(&r->lanes.throttle);
}

void
prepare_answered(struct relay *r, const struct http_call_answer *answer)
{
    struct preparation *p = &r->preparation;
    p->under_way = false;
    if (p->is_checking) {
        check(r, answer);
        return;
    }
    struct writer_step step = {.next = WRITER_DONE};
    r->class->prepare(r->writer, answer, &step);
    if (take(r, &step)) return;
    if (step.verdict == VERDICT_DELIVERED) {
        prepared(r);
        return;
    }
    /* Whatever was fetched, it was refused. */
    bool refused = step.verdict == VERDICT_UNPREPARED && ++p->refused_count > AGAIN_MAX;
    failed(r, "prepare", refused || step.verdict == VERDICT_BLOCKED, &step);
}

bool
relay_is_ready(struct relay *r)
{
    struct preparation *p = &r->preparation;
    if (relay_is_paused(r) || r->stopping || r->phase == RUN_LEAVING || p->under_way) return false;
    if (r->settings->dry_run || r->class->need_prepare == NULL) return true;
    if (!r->class->need_prepare(r->writer)) return true;
    if (relay_now_ns(r) >= p->pause.next_ns) prepare_answered(r, NULL);
    return !p->under_way && !r->class->need_prepare(r->writer);
}

void
prepare_early(struct relay *r)
{
    struct preparation *p = &r->preparation;
    if (p->looked || r->settings->dry_run) return;
    bool needs = r->class->need_prepare != NULL || r->limits.start_check > 0;
    if (needs && !relay_is_ready(r)) return;
    if (r->limits.start_check == 0 || r->lanes.throttle.works) {
        p->looked = true;
        return;
    }
    bool waits = lanes_busy(r) > 0 || relay_now_ns(r) < p->pause.next_ns;
    if (!waits) check(r, NULL);
}

void
prepare_end(struct relay *r)
{
    r->preparation = (struct preparation){.looked = false};
}
