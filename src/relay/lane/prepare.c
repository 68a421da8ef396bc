/*
 * prepare.c - fetches what a writer needs before anything can be sent: credentials, a list of
 * shards. One request at a time, begun when something is to be sent, and once early.
 *
 *     NONE -- prepare_is_ready(), take() --> FETCH -- prepare_answered() --> FETCH or NONE
 *     NONE -- prepare_early(), take() ---> CHECK -- prepare_answered() --> CHECK or NONE
 *
 * Pauses grow while it fails; fetched credentials that are refused repeatedly block delivery.
 *
 * If nothing is to be fetched, as with a password, only a request shows whether credentials are
 * accepted. So at the start, if there is nothing to be sent, the writer's check is made, which
 * stores nothing. While it is pending nothing else is sent. Checks and calls are one series of
 * tries: they share the pause and the probes of the destination, and a call that is accepted ends
 * what a check found. A call that is refused before anything was accepted is not judged, since the
 * address or the proxy may be wrong: the check is made first, and then the call is sent again. If
 * a server that refuses everything would answer the check like that, refusals are not applied until
 * something was accepted (breaker_doubts()).
 *
 * Invariants:
 * 1. At most one request is pending, and `pending` says which.
 * 2. Calls are sent only while `pending` is PREPARE_NONE.
 */
#include "relay/lane/lane.h"

#include <assert.h>

/* A request failed. `what` names it in the log; `blocked`: it will not succeed by itself. */
static void
failed(struct preparation *p, const char *what, bool blocked, const struct writer_step *step)
{
    p->has_failed = true;
    if (blocked)
        breaker_blocked(p->breaker, step->reason, step->answer);
    else
        breaker_failed(p->breaker, what, step->reason, step->answer);
}

/* Starts a request. False if none was started: `step` has the verdict. */
static bool
take(struct preparation *p, struct writer_step *step, enum prepare_request request)
{
    assert(p->pending == PREPARE_NONE); /* invariant 1 */
    if (step->next != WRITER_SEND) return false;
    struct why why = {""};
    step->http.context = p;
    enum err e = http_calls_start(p->context->http, &step->http, &why);
    if (e) {
        *step = (struct writer_step){.verdict = VERDICT_RETRY, .reason = "no_memory"};
        return false;
    }
    p->pending = request;
    return true;
}

/* Makes a step of the check; `answer` is NULL for the first one. */
static void
check(struct preparation *p, const struct http_call_answer *answer)
{
    struct writer_step step = {.next = WRITER_DONE};
    char what[WRITER_ANSWER_BYTES] = "";
    bool is_there =
        p->context->class->check(p->writer, p->limits->start_check - 1, answer, &step, what);
    if (answer != NULL) step_mask(&step, p->context->http);
    assert(is_there);
    if (take(p, &step, PREPARE_CHECK)) return;
    bool again = step.verdict == VERDICT_AGAIN || step.verdict == VERDICT_REBUILD;
    bool unprepared = step.verdict == VERDICT_UNPREPARED;
    if ((again || unprepared) && ++p->check_agains <= AGAIN_MAX) return;
    bool blocked = unprepared || step.verdict == VERDICT_BLOCKED;
    bool later = step.verdict == VERDICT_RETRY || step.verdict == VERDICT_THROTTLED;
    p->is_doubted = false;
    if (blocked || later || again) {
        struct env *env = p->context->options.env;
        failed(p, "check credentials", blocked, &step);
        if (!blocked) throttle_failed(p->throttle, env, &p->context->settings->retry, step.wait_ms);
        return;
    }
    /* The check was accepted, or refused for its content, which is empty. */
    if (step.is_unproven) breaker_doubt(p->breaker);
    if (p->has_failed) breaker_prepared(p->breaker);
    p->looked = true;
    p->has_failed = false;
    p->refused_count = p->check_agains = 0;
    throttle_works(p->throttle);
}

void
prepare_answered(struct preparation *p, const struct http_call_answer *answer)
{
    bool is_check = p->pending == PREPARE_CHECK;
    assert((answer != NULL) == (p->pending != PREPARE_NONE)); /* invariant 1 */
    p->pending = PREPARE_NONE;
    if (is_check) {
        check(p, answer);
        return;
    }
    struct writer_step step = {.next = WRITER_DONE};
    p->context->class->prepare(p->writer, answer, &step);
    if (answer != NULL) step_mask(&step, p->context->http);
    if (take(p, &step, PREPARE_FETCH)) return;
    if (step.verdict == VERDICT_DELIVERED) {
        backoff_ended(&p->pause);
        p->refused_count = 0;
        if (p->check_agains > 0) return; /* a check that failed is not affected */
        if (p->has_failed) breaker_prepared(p->breaker);
        p->has_failed = false;
        return;
    }
    /* Fetched credentials were refused. */
    bool refused = step.verdict == VERDICT_UNPREPARED && ++p->refused_count > AGAIN_MAX;
    bool blocked = refused || step.verdict == VERDICT_BLOCKED;
    failed(p, "prepare", blocked, &step);
    backoff_failed(&p->pause, p->context->options.env, &p->context->settings->retry, step.wait_ms);
    if (blocked) p->pause.next_ns = relay_now_ns(p->context) + PROBE_MS * NS_PER_MS;
}

bool
prepare_is_ready(struct preparation *p)
{
    if (p->is_held) return false;
    if (p->pending != PREPARE_NONE) return false; /* invariant 2 */
    if (p->context->settings->dry_run || p->context->class->need_prepare == NULL) return true;
    if (!p->context->class->need_prepare(p->writer)) return true;
    if (relay_now_ns(p->context) >= p->pause.next_ns) prepare_answered(p, NULL);
    return p->pending == PREPARE_NONE && !p->context->class->need_prepare(p->writer);
}

void
prepare_early(struct preparation *p, uint32_t lanes_busy)
{
    if (p->context->settings->dry_run) return;
    bool needs = p->context->class->need_prepare != NULL || p->limits->start_check > 0;
    if (needs && !prepare_is_ready(p)) return;
    if (p->limits->start_check == 0 || p->throttle->works) {
        p->looked = true;
        p->is_doubted = false;
        return;
    }
    int64_t now_ns = relay_now_ns(p->context);
    if ((lanes_busy > 0 && !p->is_doubted) || now_ns < p->throttle->pause.next_ns) return;
    if (breaker_may_send(p->breaker, now_ns)) check(p, NULL);
}

bool
prepare_trusts_refusals(struct preparation *p)
{
    p->is_doubted = !p->looked && !p->throttle->works && p->limits->start_check > 0;
    return !p->is_doubted;
}

void
prepare_init(struct preparation *p, const struct relay_context *context, struct breaker *breaker,
             struct throttle *throttle)
{
    *p = (struct preparation){.context = context, .breaker = breaker, .throttle = throttle};
}

void
prepare_begin(struct preparation *p, struct writer *writer, const struct writer_limits *limits)
{
    p->writer = writer;
    p->limits = limits;
}

void
prepare_end(struct preparation *p)
{
    prepare_init(p, p->context, p->breaker, p->throttle);
}

void
prepare_again(struct preparation *p)
{
    http_calls_give_up(p->context->http, p);
    p->pending = PREPARE_NONE;
    p->pause = (struct backoff){0};
}

void
prepare_hold(struct preparation *p, bool is_held)
{
    p->is_held = is_held;
}
