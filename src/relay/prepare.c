/*
 * prepare.c - what a writer has to fetch before anything can be sent: credentials, a list of
 * shards. One request at a time, begun when something is to be sent, and once early.
 *
 *     relay_is_ready() ---> send() ---> under way ---> prepare_answered(): again, or done()
 *
 * While it fails the pauses double; what was fetched and refused again and again is an obstacle.
 */
#include "relay/relay_private.h"

static void
done(struct relay *r, const struct writer_step *step)
{
    struct preparation *p = &r->preparation;
    p->under_way = false;
    if (step->verdict == VERDICT_DELIVERED) {
        if (p->has_failed) obstacle_prepared(&r->obstacle);
        *p = (struct preparation){.looked = true, .next_ns = p->next_ns};
        return;
    }
    const struct retry_settings *retry = &r->settings->retry;
    int64_t wait_ms = p->backoff_ms == 0 ? retry->min_backoff_ms : 2 * p->backoff_ms;
    if (wait_ms > retry->max_backoff_ms) wait_ms = retry->max_backoff_ms;
    p->has_failed = true;
    p->backoff_ms = wait_ms;
    /* Whatever was fetched, it was refused. */
    bool refused = step->verdict == VERDICT_UNPREPARED && ++p->refused_count > AGAIN_MAX;
    if (step->verdict == VERDICT_BLOCKED || refused) {
        obstacle_blocked(&r->obstacle, step->reason, step->answer);
        wait_ms = PROBE_MS;
    } else {
        obstacle_failed(&r->obstacle, "prepare", step->reason, step->answer);
    }
    p->next_ns = relay_now_ns(r) + wait_ms * NS_PER_MS;
}

void
prepare_answered(struct relay *r, const struct http_call_answer *answer)
{
    struct writer_step step = {.next = WRITER_DONE};
    struct why why = {""};
    r->class->prepare(r->writer, answer, &step);
    if (step.next == WRITER_SEND) {
        step.http.context = r;
        enum err e = http_calls_start(r->http, &step.http, &why);
        r->preparation.under_way = e == OK;
        if (e == OK) return;
        step = (struct writer_step){.verdict = VERDICT_RETRY, .reason = "no_memory"};
    }
    done(r, &step);
}

bool
relay_is_ready(struct relay *r)
{
    struct preparation *p = &r->preparation;
    if (relay_is_paused(r) || r->stopping || r->phase == RUN_LEAVING || p->under_way) return false;
    if (r->settings->dry_run || r->class->need_prepare == NULL) return true;
    if (!r->class->need_prepare(r->writer)) return true;
    if (relay_now_ns(r) >= p->next_ns) prepare_answered(r, NULL);
    return !p->under_way && !r->class->need_prepare(r->writer);
}

void
prepare_early(struct relay *r)
{
    if (r->preparation.looked || r->settings->dry_run) return;
    if (r->class->need_prepare == NULL || relay_is_ready(r)) r->preparation.looked = true;
}

void
prepare_end(struct relay *r)
{
    r->preparation = (struct preparation){.looked = false};
}
