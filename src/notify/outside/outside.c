/* outside.c - see outside.h; also the real network, which is a struct http_calls and a struct
 * dns. */
#include "notify/outside/outside.h"

#include <assert.h>

#include "backend/aws/credentials.h"
#include "base/log.h"
#include "base/version.h"

/* --- access ----------------------------------------------------------------------------------- */

/*
 * Invariants:
 *
 * 1. A fetch is pending at a server (`call.is_pending`), or waits for a program (`is_polled`), or
 *    neither; never both.
 * 2. A fetch begins only when none is pending.
 */

enum { POLL_MS = 20 }; /* for a program that prints keys */

struct access {
    struct outside_call call; /* the pending fetch; first: access_answered() casts it */
    struct outside_context options;
    const char *what;
    struct http_calls_target target;
    struct aws_identity *identity;
    struct http_headers headers;
    struct identity_signature signature;
    struct pause pause;
    bool is_polled; /* a program runs */
    bool has_failed;
};

/* --- life ------------------------------------------------------------------------------------- */

enum err
access_new(const struct outside_context *options, const struct access_options *settings,
           struct access **ret_access, struct why *why)
{
    struct access *a = mem_new(options->memory, sizeof *a);
    if (a == NULL) return ERR_NOMEM;
    a->options = *options;
    a->what = settings->what;
    http_target_init(&a->target, settings->http, settings->timeout_ms);
    http_headers_init(&a->headers, options->memory);
    identity_signature_init(&a->signature, options->memory);
    bool is_signed = settings->sigv4 != NULL && settings->sigv4->given;
    const struct identity_options who = {
        .env = options->env,
        .memory = options->memory,
        .name = settings->what,
        .http = settings->http,
        .basic_auth = settings->basic_auth,
        .authorization = settings->authorization,
        .oauth2 = settings->oauth2,
        .aws = is_signed ? &settings->sigv4->aws : NULL,
        .service = is_signed ? settings->sigv4->service : NULL,
        .target = &a->target,
        .timeout_ms = settings->timeout_ms,
        .polls = true,
    };
    enum err e = identity_new(&who, &a->identity, why);
    if (e)
        access_free(a);
    else
        *ret_access = a;
    return e;
}

void
access_stop(struct access *a)
{
    outside_give_up(a->options.outside, &a->call);
}

void
access_free(struct access *a)
{
    if (a == NULL) return;
    identity_free(a->identity);
    http_headers_fini(&a->headers);
    identity_signature_fini(&a->signature);
    mem_free(a->options.memory, a, sizeof *a);
}

/* --- fetches ---------------------------------------------------------------------------------- */

bool
access_is_ready(const struct access *a)
{
    return !a->call.is_pending && !a->is_polled && !identity_is_due(a->identity);
}

static void fetch_step(struct access *a, const struct http_call_answer *answer);

static void
access_answered(struct outside_call *call, const struct http_call_answer *answer)
{
    fetch_step((struct access *)call, answer);
}

static void
fetch_step(struct access *a, const struct http_call_answer *answer)
{
    struct writer_step step = {.next = WRITER_DONE};
    struct why why = {""};
    assert(!a->call.is_pending); /* invariant 2 */
    identity_step(a->identity, answer, &step);
    a->is_polled = step.next == WRITER_WAIT;
    if (a->is_polled) return;
    a->call.answered = access_answered;
    if (step.next == WRITER_SEND) {
        enum err e = outside_start(a->options.outside, &step.http, &a->call, &why);
        if (e == OK) return;
        http_judge_unmade(e, &why, &step);
    }
    assert(!a->call.is_pending); /* invariant 1 */
    assert(!a->is_polled);       /* invariant 1 */
    int64_t now_ns = env_monotonic_ns(a->options.env);
    uint32_t line = *a->options.line;
    if (step.verdict == VERDICT_DELIVERED) {
        if (a->has_failed)
            log_info("notify: got credentials", KV("for", a->what), KV("line", line));
        a->has_failed = false;
        pause_end(&a->pause);
        return;
    }
    pause_begin(&a->pause, step.wait_ms, now_ns);
    if (!a->has_failed) {
        log_warn("notify: cannot get credentials, retrying", KV("for", a->what), KV("line", line),
                 KV("error", step.answer));
    }
    a->has_failed = true;
}

int64_t
access_step(struct access *a)
{
    int64_t now_ns = env_monotonic_ns(a->options.env);
    if (a->call.is_pending) return INT64_MAX;
    if (now_ns < a->pause.until_ns) return a->pause.until_ns;
    fetch_step(a, NULL);
    if (a->is_polled) return now_ns + POLL_MS * NS_PER_MS;
    if (a->call.is_pending) return INT64_MAX;
    return a->pause.until_ns; /* it is ready, or pauses */
}

/* --- requests --------------------------------------------------------------------------------- */

enum err
access_send(struct access *a, const struct access_request *request, struct outside_call *call,
            uint32_t *ret_generation, struct why *why)
{
    bool is_known;
    struct http_call http = {
        .target = &a->target,
        .method = request->method,
        .url = request->url,
        .body = request->body,
        .wanted = request->wanted,
        .answer_bytes_max = request->answer_bytes_max,
    };
    http_headers_clear(&a->headers);
    for (uint32_t i = 0; i < request->header_count; i++) {
        http_headers_put(&a->headers, request->headers[i].name,
                         bytes_of_text(request->headers[i].value));
    }
    enum err e = identity_put_secrets(a->identity, &a->headers, &is_known, why);
    if (e == OK) e = identity_put_token(a->identity, is_known, &a->headers);
    if (e == OK) e = http_headers_lines(&a->headers, &http.headers);
    if (e == OK) e = identity_sign(a->identity, &http, &a->signature, why);
    *ret_generation = a->signature.generation;
    return e ? e : outside_start(a->options.outside, &http, call, why);
}

void
access_judge(struct access *a, uint32_t generation, const struct http_call_answer *answer,
             struct writer_step *step)
{
    *step = (struct writer_step){.next = WRITER_DONE};
    http_judge(answer, step);
    if (step->verdict == VERDICT_BLOCKED) identity_judge(a->identity, generation, answer, step);
}

void
outside_free(struct outside *outside)
{
    if (outside != NULL) outside->ops->free(outside);
}

enum err
outside_start(struct outside *outside, const struct http_call *request, struct outside_call *call,
              struct why *why)
{
    struct http_call copy = *request;
    assert(!call->is_pending);
    copy.context = call;
    enum err e = outside->ops->start(outside, &copy, why);
    call->is_pending = e == OK;
    return e;
}

void
outside_give_up(struct outside *outside, struct outside_call *call)
{
    if (call->is_pending) outside->ops->give_up(outside, call);
    call->is_pending = false;
}

enum err
outside_ask(struct outside *outside, const char *name, enum dns_record type,
            struct outside_question *question, struct why *why)
{
    assert(!question->is_pending);
    enum err e = outside->ops->ask(outside, name, type, question, why);
    question->is_pending = e == OK;
    return e;
}

void
outside_give_up_question(struct outside *outside, struct outside_question *question)
{
    if (question->is_pending) outside->ops->give_up_question(outside, question);
    question->is_pending = false;
}

void
outside_poll(struct outside *outside, int wait_ms)
{
    struct http_call_answer answer;
    struct dns_answer found;
    outside->ops->poll(outside, wait_ms);
    while (outside->ops->done(outside, &answer)) {
        struct outside_call *call = answer.context;
        assert(call->is_pending); /* a canceled call has no answer */
        call->is_pending = false;
        call->answered(call, &answer);
    }
    while (outside->ops->question_done(outside, &found)) {
        struct outside_question *question = found.context;
        assert(question->is_pending);
        question->is_pending = false;
        question->answered(question, &found);
    }
}

void
outside_wake(struct outside *outside)
{
    outside->ops->wake(outside);
}

/* --- the network ------------------------------------------------------------------------------ */

struct network {
    struct outside base;
    struct budget *memory;
    struct http_calls *calls;
    struct dns *dns;
};

static struct http_calls *
calls_of(struct outside *outside)
{
    return ((struct network *)outside)->calls;
}

static struct dns *
dns_of(struct outside *outside)
{
    return ((struct network *)outside)->dns;
}

static enum err
network_start(struct outside *outside, const struct http_call *call, struct why *why)
{
    return http_calls_start(calls_of(outside), call, why);
}

static void
network_give_up(struct outside *outside, const void *context)
{
    http_calls_give_up(calls_of(outside), context);
}

static enum err
network_ask(struct outside *outside, const char *name, enum dns_record type, void *context,
            struct why *why)
{
    return dns_ask(dns_of(outside), name, type, context, why);
}

static void
network_give_up_question(struct outside *outside, const void *context)
{
    dns_give_up(dns_of(outside), context);
}

static void
network_poll(struct outside *outside, int wait_ms)
{
    struct pollfd fds[DNS_FDS_MAX];
    uint32_t count = dns_fds(dns_of(outside), fds, &wait_ms);
    http_calls_poll_also(calls_of(outside), fds, count, wait_ms);
    dns_go_on(dns_of(outside), fds, count);
}

static bool
network_done(struct outside *outside, struct http_call_answer *ret_answer)
{
    if (!http_calls_done(calls_of(outside), ret_answer)) return false;
    if (ret_answer->status >= 300) http_calls_mask_answer(calls_of(outside), ret_answer);
    return true;
}

static bool
network_question_done(struct outside *outside, struct dns_answer *ret_answer)
{
    return dns_done(dns_of(outside), ret_answer);
}

static void
network_wake(struct outside *outside)
{
    http_calls_wake(calls_of(outside));
}

static void
network_free(struct outside *outside)
{
    struct network *n = (struct network *)outside;
    http_calls_free(n->calls);
    dns_free(n->dns);
    mem_free(n->memory, n, sizeof *n);
}

enum err
outside_new(struct env *env, struct budget *memory, const char *servers,
            struct outside **ret_outside, struct why *why)
{
    static const struct outside_ops ops = {
        .start = network_start,
        .give_up = network_give_up,
        .ask = network_ask,
        .give_up_question = network_give_up_question,
        .poll = network_poll,
        .done = network_done,
        .question_done = network_question_done,
        .wake = network_wake,
        .free = network_free,
    };
    struct network *n = mem_new(memory, sizeof *n);
    if (n == NULL) return why_set(why, ERR_NOMEM, "not enough memory for an HTTP client");
    n->base.ops = &ops;
    n->memory = memory;
    enum err e = http_calls_new(env, memory, "Firekeep/" FIREKEEP_VERSION, &n->calls, why);
    if (e == OK) e = dns_new(memory, servers, &n->dns, why);
    if (e)
        network_free(&n->base);
    else
        *ret_outside = &n->base;
    return e;
}
