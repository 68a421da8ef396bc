/*
 * prepare.c - fetches what a writer needs before anything can be sent: credentials, a list of
 * shards. One request at a time, begun when something is to be sent, and once early.
 *
 *     NONE -- relay_is_ready(), take() --> FETCH -- prepare_answered() --> FETCH or NONE
 *     NONE -- prepare_early(), take() ---> CHECK -- prepare_answered() --> CHECK or NONE
 *
 * Pauses grow while it fails; fetched credentials that are refused repeatedly block delivery.
 *
 * If nothing is to be fetched, as with a password, only a request shows whether credentials are
 * accepted. So at the start, if there is nothing to be sent, the writer's check is made, which
 * stores nothing. While it is pending nothing else is sent. Its failure holds up no samples: their
 * responses say more than the check's, and replace its finding.
 *
 * Invariants:
 * 1. At most one request is pending, and `pending` says which.
 * 2. Calls are sent only while `pending` is PREPARE_NONE.
 */
#include <assert.h>

#include "relay/relay_private.h"

/* A request failed. `what` names it in the log; `blocked`: it will not succeed by itself. */
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

/* A preparation succeeded. A check that failed is not affected. */
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

/* Starts a request. False if none was started: `step` has the verdict. */
static bool
take(struct relay *r, struct writer_step *step, enum prepare_request request)
{
    assert(r->preparation.pending == PREPARE_NONE); /* invariant 1 */
    if (step->next != WRITER_SEND) return false;
    struct why why = {""};
    step->http.context = r;
    enum err e = http_calls_start(r->http, &step->http, &why);
    if (e) {
        *step = (struct writer_step){.verdict = VERDICT_RETRY, .reason = "no_memory"};
        return false;
    }
    r->preparation.pending = request;
    return true;
}

/* Makes a step of the check; `answer` is NULL for the first one. */
static void
check(struct relay *r, const struct http_call_answer *answer)
{
    struct preparation *p = &r->preparation;
    struct writer_step step = {.next = WRITER_DONE};
    char what[WRITER_ANSWER_BYTES] = "";
    bool is_there = r->class->check(r->writer, r->limits.start_check - 1, answer, &step, what);
    assert(is_there);
    if (take(r, &step, PREPARE_CHECK)) return;
    bool again = step.verdict == VERDICT_AGAIN || step.verdict == VERDICT_REBUILD;
    bool unprepared = step.verdict == VERDICT_UNPREPARED;
    if ((again || unprepared) && ++p->check_agains <= AGAIN_MAX) return;
    bool blocked = unprepared || step.verdict == VERDICT_BLOCKED;
    bool later = step.verdict == VERDICT_RETRY || step.verdict == VERDICT_THROTTLED;
    if (blocked || later || again) {
        failed(r, "check credentials", blocked, &step);
        return;
    }
    /* The check was accepted, or refused for its content, which is empty. */
    if (p->has_failed) obstacle_prepared(&r->obstacle);
    *p = (struct preparation){.looked = true};
    throttle_works(&r->lanes.throttle);
}

void
prepare_answered(struct relay *r, const struct http_call_answer *answer)
{
    struct preparation *p = &r->preparation;
    bool is_check = p->pending == PREPARE_CHECK;
    assert((answer != NULL) == (p->pending != PREPARE_NONE)); /* invariant 1 */
    p->pending = PREPARE_NONE;
    if (is_check) {
        check(r, answer);
        return;
    }
    struct writer_step step = {.next = WRITER_DONE};
    r->class->prepare(r->writer, answer, &step);
    if (take(r, &step, PREPARE_FETCH)) return;
    if (step.verdict == VERDICT_DELIVERED) {
        prepared(r);
        return;
    }
    /* Fetched credentials were refused. */
    bool refused = step.verdict == VERDICT_UNPREPARED && ++p->refused_count > AGAIN_MAX;
    failed(r, "prepare", refused || step.verdict == VERDICT_BLOCKED, &step);
}

bool
relay_is_ready(struct relay *r)
{
    struct preparation *p = &r->preparation;
    if (relay_is_paused(r) || r->stopping || r->phase == RUN_LEAVING) return false;
    if (p->pending != PREPARE_NONE) return false; /* invariant 2 */
    if (r->settings->dry_run || r->class->need_prepare == NULL) return true;
    if (!r->class->need_prepare(r->writer)) return true;
    if (relay_now_ns(r) >= p->pause.next_ns) prepare_answered(r, NULL);
    return p->pending == PREPARE_NONE && !r->class->need_prepare(r->writer);
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
