/*
 * signer.c - see signer.h.
 */
#include "backend/fetch/signer.h"

#include <stdio.h>

#include "base/lock.h"

enum { LOOK_MS = 100 };

struct signer {
    struct reader_options options;
    const struct http_calls_target *target;

    struct lock lock; /* LOCK_RANK_SOURCE; guards the rest */
    struct cond done; /* `fetching` became false */
    bool fetching;    /* one thread owns the fields below, without the lock */
    struct aws_identity *identity;
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for a request");
}

enum err
signer_new(const struct reader_options *options, const struct fetch_signing *signing,
           const struct http_calls_target *target, struct signer **ret_signer, struct why *why)
{
    const struct source_settings *settings = options->settings;
    struct signer *s = mem_new(options->memory, sizeof *s);
    if (s == NULL) return no_memory(why);
    s->options = *options;
    s->target = target;
    lock_init(&s->lock, LOCK_RANK_SOURCE);
    cond_init(&s->done);
    const struct identity_options who = {
        .env = options->env,
        .memory = options->memory,
        .name = settings->name,
        .http = &settings->http,
        .basic_auth = &settings->basic_auth,
        .authorization = &settings->authorization,
        .oauth2 = &settings->oauth2,
        .aws = signing == NULL ? NULL : signing->aws,
        .service = signing == NULL ? NULL : signing->service,
        .is_s3 = signing != NULL && signing->is_s3,
        .target = target,
        .timeout_ms = settings->timeout_ms,
    };
    enum err e = identity_new(&who, &s->identity, why);
    if (e)
        signer_free(s);
    else
        *ret_signer = s;
    return e == ERR_NOMEM ? no_memory(why) : e;
}

void
signer_free(struct signer *s)
{
    if (s == NULL) return;
    identity_free(s->identity);
    cond_fini(&s->done);
    lock_fini(&s->lock);
    mem_free(s->options.memory, s, sizeof *s);
}

void
signed_request_init(struct signed_request *sent, struct budget *budget)
{
    http_headers_init(&sent->headers, budget);
    identity_signature_init(&sent->signature, budget);
}

void
signed_request_fini(struct signed_request *sent)
{
    http_headers_fini(&sent->headers);
    identity_signature_fini(&sent->signature);
}

/* --- tokens and keys -------------------------------------------------------------------------- */

static void
take_step(struct signer *s, const struct http_call_answer *answer, struct writer_step *step)
{
    *step = (struct writer_step){.next = WRITER_SEND};
    identity_step(s->identity, answer, step);
}

/* Turns a failed fetch of credentials into an answer, so that the current keys are tried. */
static enum err
fail_answer(enum err e, const struct why *why, struct http_call_answer *ret_answer)
{
    if (e != ERR_IO && e != ERR_AGAIN) return e;
    *ret_answer =
        (struct http_call_answer){.failure = e == ERR_AGAIN ? HTTP_CALL_TIMEOUT : HTTP_CALL_BROKEN};
    snprintf(ret_answer->error, sizeof ret_answer->error, "%.255s", why->text);
    return OK;
}

/* Sends the request of a step. The answer has all of the body, and ends with the buffer. */
static enum err
send_step(struct signer *s, const struct writer_step *step, const struct http_patience *patience,
          struct buf *body, struct http_call_answer *ret_answer, struct why *why)
{
    const struct http_call_answer *answer;
    struct http_pull *pull;
    enum err e = http_pull_open(s->options.puller, &step->http, s->options.memory, &pull, why);
    if (e) return e;
    buf_clear(body);
    e = http_pull_await(pull, patience, &answer, why);
    if (e == OK) {
        *ret_answer = *answer;
        buf_put_bytes(body, answer->body);
    }
    bool has_more = e == OK && answer->failure == HTTP_CALL_ANSWERED && answer->status < 300;
    while (has_more) {
        struct bytes piece;
        e = http_pull_read(pull, patience, &piece, why);
        has_more = e == OK && piece.size > 0 && body->size < step->http.answer_bytes_max;
        if (e == OK) buf_put_bytes(body, piece);
    }
    http_pull_close(pull);
    if (e) return fail_answer(e, why, ret_answer);
    ret_answer->body = buf_bytes(body);
    return buf_error(body) ? no_memory(why) : OK;
}

static enum err
fetch(struct signer *s, const struct http_patience *patience, struct why *why)
{
    struct writer_step step;
    struct http_call_answer answer;
    struct buf body;
    buf_init_secret(&body, s->options.memory, SIZE_MAX);
    take_step(s, NULL, &step);
    enum err e = OK;
    while (e == OK && step.next == WRITER_SEND) {
        e = send_step(s, &step, patience, &body, &answer, why);
        if (e == OK) take_step(s, &answer, &step);
    }
    buf_fini(&body);
    if (e || step.verdict == VERDICT_DELIVERED) return e;
    bool later = step.verdict == VERDICT_RETRY || step.verdict == VERDICT_THROTTLED;
    return why_set(why, later ? ERR_AGAIN : ERR_IO, "cannot get credentials: %s", step.answer);
}

/* Waits until no other thread fetches. */
static enum err
await_fetch_locked(struct signer *s, const struct http_patience *patience, struct why *why)
{
    enum err e = OK;
    while (e == OK && s->fetching) {
        int64_t look_ns = env_monotonic_ns(s->options.env) + LOOK_MS * NS_PER_MS;
        (void)cond_wait_until(&s->done, &s->lock, look_ns);
        lock_drop(&s->lock); /* the check may take any lock */
        e = patience->check(patience->context, why);
        lock_take(&s->lock);
    }
    return e;
}

/* Makes sure that there are credentials, or returns an error. */
static enum err
prepare_locked(struct signer *s, const struct http_patience *patience, struct why *why)
{
    enum err e = await_fetch_locked(s, patience, why);
    if (e || !identity_is_due(s->identity)) return e;
    s->fetching = true;
    lock_drop(&s->lock);
    e = fetch(s, patience, why);
    lock_take(&s->lock);
    s->fetching = false;
    cond_wake_all(&s->done);
    return e;
}

/* --- requests --------------------------------------------------------------------------------- */

/* *ret_known is true if the settings have credentials. */
static enum err
put_headers(struct signer *s, const struct fetch_request *request, struct http_headers *headers,
            bool *ret_known, struct why *why)
{
    http_headers_clear(headers);
    for (const char *const *line = request->headers; line != NULL && *line != NULL; line++) {
        char name[128];
        size_t size = strcspn(*line, ":");
        size_t begin = size + 1 + strspn(*line + size + 1, " ");
        if (size >= sizeof name) return why_set(why, ERR_LIMIT, "a header's name is too long");
        memcpy(name, *line, size);
        name[size] = '\0';
        http_headers_put(headers, name, bytes_of_text(*line + begin));
    }
    return identity_put_secrets(s->identity, headers, ret_known, why);
}

static enum err
make_locked(struct signer *s, bool is_known, struct signed_request *sent, struct http_call *call,
            struct why *why)
{
    enum err e = identity_put_token(s->identity, is_known, &sent->headers);
    if (e == OK) e = http_headers_lines(&sent->headers, &call->headers);
    return e ? e : identity_sign(s->identity, call, &sent->signature, why);
}

enum err
signer_make(struct signer *s, const struct fetch_request *request,
            const struct http_patience *patience, struct signed_request *sent,
            struct http_call *ret_call, struct why *why)
{
    struct why reason = {""};
    bool is_known = false;
    *ret_call = (struct http_call){.target = s->target,
                                   .method = request->method,
                                   .url = request->url,
                                   .body = request->body,
                                   .wanted = request->wanted};
    /* Secrets may be read from files. */
    enum err e = put_headers(s, request, &sent->headers, &is_known, &reason);
    if (e == OK) {
        lock_take(&s->lock);
        e = prepare_locked(s, patience, &reason);
        if (e == OK) e = make_locked(s, is_known, sent, ret_call, &reason);
        lock_drop(&s->lock);
    }
    /* The configured headers cannot be sent. */
    if (e == ERR_MISSING || e == ERR_INPUT || e == ERR_LIMIT) e = ERR_IO;
    if (e == OK || reason.text[0] != '\0') return e ? why_set(why, e, "%s", reason.text) : OK;
    return why_set(why, e, "%s",
                   e == ERR_NOMEM ? "not enough memory for a request"
                                  : "cannot send a request with these headers");
}

enum err
signer_judge(struct signer *s, const struct signed_request *sent,
             const struct http_patience *patience, const struct http_call_answer *answer,
             struct writer_step *step, struct why *why)
{
    *step = (struct writer_step){.next = WRITER_DONE};
    http_judge(answer, step);
    if (answer->failure != HTTP_CALL_ANSWERED || step->verdict == VERDICT_DELIVERED) return OK;
    lock_take(&s->lock);
    enum err e = await_fetch_locked(s, patience, why);
    if (e == OK) identity_judge(s->identity, sent->signature.generation, answer, step);
    lock_drop(&s->lock);
    return e;
}
