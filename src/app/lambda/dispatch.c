/*
 * dispatch.c - see lambda.h.
 *
 * A request has until a second before the end of its invocation, and of gateways other than
 * function URLs until a second before these answer, at most DISPATCH_SECONDS_MAX. What takes longer
 * gets 503, so that senders retry; the gateway's own 504 would say less, and Lambda would end the
 * process.
 *
 * Invariants:
 *  1. The limit of a request is at least MARGIN_MS before the end of its invocation.
 *  2. A gateway's limit is less than its timeout, and at most DISPATCH_SECONDS_MAX.
 *  3. A stream begins with its prelude; only after it can the body break off, once.
 */
#include "app/lambda/lambda.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "base/log.h"
#include "base/text/base64.h"
#include "base/text/json.h"
#include "base/text/utf8.h"

enum {
    ARENA_BYTES_MAX = 1024 * 1024,
    URL_BYTES_MAX = 128 * 1024, /* of a target of 64 KiB */
    PRELUDE_BYTES_MAX = 64 * 1024,
    MARGIN_MS = 1000,
    TIMEOUT_LINE_BYTES = 48,
};

/* --- answers for gateways --------------------------------------------------------------------- */

enum { PRELUDE_END_BYTES = 8 }; /* NULs */

struct gateway_answer
answer_of_text(unsigned status, const char *text)
{
    static const struct answer_header plain[] = {{"Content-Type", "text/plain; charset=utf-8"},
                                                 {NULL, NULL}};
    static const struct answer_header later[] = {
        {"Content-Type", "text/plain; charset=utf-8"}, {"Retry-After", "5"}, {NULL, NULL}};
    return (struct gateway_answer){status, status == 503 ? later : plain, bytes_of_text(text)};
}

static const char *
header_of(const struct gateway_answer *answer, const char *name)
{
    for (const struct answer_header *h = answer->headers; h != NULL && h->name != NULL; h++)
        if (strcasecmp(h->name, name) == 0) return h->value;
    return "";
}

/* Says whether the body can be a JSON string without loss. */
static bool
is_plain(const struct gateway_answer *answer)
{
    const char *type = header_of(answer, "Content-Type");
    if (header_of(answer, "Content-Encoding")[0] != '\0') return false;
    if (strncmp(type, "text/", 5) != 0 && strncmp(type, "application/json", 16) != 0) return false;
    for (size_t i = 0; i < answer->body.size;) {
        size_t step = utf8_step(answer->body.at + i, answer->body.size - i);
        if (step == 0) return false;
        i += step;
    }
    return true;
}

static void
put_head(const struct gateway_answer *answer, struct json *json)
{
    json_member_uint(json, "statusCode", answer->status);
    json_member_object(json, "headers");
    for (const struct answer_header *h = answer->headers; h != NULL && h->name != NULL; h++)
        if (h->value[0] != '\0') json_member_text(json, h->name, h->value);
    json_object_close(json);
}

enum err
answer_put(const struct gateway_answer *answer, struct buf *to)
{
    struct json json;
    struct buf encoded;
    size_t before = to->size;
    bool plain = is_plain(answer);
    size_t body_bytes = plain ? answer->body.size : base64_size(answer->body.size);
    if (body_bytes > ANSWER_BYTES_MAX) return ERR_LIMIT;
    buf_init(&encoded, to->budget, ANSWER_BYTES_MAX);
    if (!plain) base64_put(&encoded, answer->body);
    json_init(&json, to);
    json_object_open(&json);
    put_head(answer, &json);
    json_member_bool(&json, "isBase64Encoded", !plain);
    json_member_bytes(&json, "body", plain ? answer->body : buf_bytes(&encoded));
    json_object_close(&json);
    enum err e = buf_error(&encoded) ? buf_error(&encoded) : buf_error(to);
    if (e == OK && to->size - before > ANSWER_BYTES_MAX) e = ERR_LIMIT;
    if (e) {
        to->size = before;
        to->failed = OK;
    }
    buf_fini(&encoded);
    return e;
}

void
answer_put_prelude(const struct gateway_answer *answer, struct buf *to)
{
    static const uint8_t end[PRELUDE_END_BYTES];
    struct json json;
    json_init(&json, to);
    json_object_open(&json);
    put_head(answer, &json);
    json_object_close(&json);
    buf_put(to, end, sizeof end);
}

/* --- one request ------------------------------------------------------------------------------ */

struct exchange_limit {
    struct env *env;
    int64_t deadline_ns;
};

static enum err
check_deadline(void *context, struct why *why)
{
    const struct exchange_limit *limit = context;
    if (env_monotonic_ns(limit->env) < limit->deadline_ns) return OK;
    return why_set(why, ERR_AGAIN, "the request takes too long: retry later, or ask for less");
}

/* Returns the time in which a gateway has to have the answer. */
static int64_t
gateway_limit_ms(const struct dispatcher *d)
{
    int64_t gateway_ms = (int64_t)d->gateway_ms;
    int64_t limit_ms = gateway_ms > 2 * MARGIN_MS ? gateway_ms - MARGIN_MS : gateway_ms / 2;
    if (gateway_ms == 0 || limit_ms > DISPATCH_SECONDS_MAX * 1000)
        return DISPATCH_SECONDS_MAX * 1000;
    assert(limit_ms < gateway_ms); /* invariant 2 */
    return limit_ms;
}

/* Copies the headers, and adds when the sender of a write gives up: a second after the limit, so
 * that the server, which answers 2 s before, is the first. `line` is in use as long as the headers.
 */
static void
put_headers(const struct event *event, const struct exchange_limit *limit,
            char line[static TIMEOUT_LINE_BYTES],
            const char *ret_headers[static EVENT_HEADERS_MAX + 2])
{
    size_t count = 0;
    int64_t left_ms = (limit->deadline_ns - env_monotonic_ns(limit->env)) / NS_PER_MS + 1000;
    for (; event->headers[count] != NULL; count++)
        ret_headers[count] = event->headers[count];
    snprintf(line, TIMEOUT_LINE_BYTES, "X-Firekeep-Timeout-Ms: %" PRId64,
             left_ms < 1 ? 1 : left_ms);
    ret_headers[count] = line;
    ret_headers[count + 1] = NULL;
}

/* The headers of the server's answers that mean something to clients of a gateway. */
static const char *const wanted[] = {
    "Content-Type",
    "Content-Encoding",
    "Retry-After",
    "WWW-Authenticate",
    "Location",
    "X-Prometheus-Remote-Write-Samples-Written",
    "X-Prometheus-Remote-Write-Histograms-Written",
    "X-Prometheus-Remote-Write-Exemplars-Written",
    NULL,
};
enum { WANTED = sizeof wanted / sizeof *wanted };
_Static_assert(WANTED - 1 <= HTTP_CALLS_WANTED_MAX, "a call has room for all");

static bool
is_success(const struct gateway_answer *answer)
{
    return answer->status >= 200 && answer->status <= 299;
}

/* --- whole answers ---------------------------------------------------------------------------- */

/* Answers that there is no answer, with a sentence. */
static enum err
send_refusal(struct runtime *runtime, const struct invocation *invocation, unsigned status,
             const char *sentence, struct why *why)
{
    char text[sizeof why->text + 2];
    struct buf json;
    snprintf(text, sizeof text, "%s\n", sentence);
    struct gateway_answer answer = answer_of_text(status, text);
    buf_init(&json, NULL, 8 * sizeof text);
    enum err e = answer_put(&answer, &json);
    if (e == OK) e = runtime_answer(runtime, invocation, buf_bytes(&json), why);
    buf_fini(&json);
    return e;
}

static enum err
send_lack(struct runtime *runtime, const struct invocation *invocation, enum err lack,
          const struct why *reason, struct why *why)
{
    if (lack == ERR_LIMIT)
        return send_refusal(runtime, invocation, 422,
                            "the answer has more than 6 MB, which Lambda does not pass on: ask for "
                            "a shorter time, or use a function URL with RESPONSE_STREAM",
                            why);
    return send_refusal(runtime, invocation, 503, why_text(reason, lack), why);
}

/* Reads the body of a 2xx. ERR_LIMIT: it does not fit. */
static enum err
gather(struct http_pull *pull, const struct http_patience *patience, struct buf *to,
       struct why *why)
{
    struct bytes piece = {NULL, 0};
    enum err e;
    do {
        e = http_pull_read(pull, patience, &piece, why);
        if (e == OK) buf_put_bytes(to, piece);
        if (e == OK) e = buf_error(to);
    } while (e == OK && piece.size > 0);
    return e;
}

static enum err
send_whole(struct dispatcher *d, struct runtime *runtime, const struct invocation *invocation,
           struct http_pull *pull, const struct http_patience *patience,
           struct gateway_answer *answer, struct why *why)
{
    struct why reason = {""};
    struct buf body, json;
    enum err e = OK;
    buf_init(&body, d->budget, ANSWER_BYTES_MAX);
    buf_init(&json, d->budget, ANSWER_BYTES_MAX);
    if (is_success(answer)) {
        e = gather(pull, patience, &body, &reason);
        answer->body = buf_bytes(&body);
    }
    if (e == OK) e = answer_put(answer, &json);
    if (e == OK)
        e = runtime_answer(runtime, invocation, buf_bytes(&json), why);
    else
        e = send_lack(runtime, invocation, e, &reason, why);
    buf_fini(&body);
    buf_fini(&json);
    return e;
}

/* --- streams ---------------------------------------------------------------------------------- */

struct stream {
    struct http_pull *pull;
    const struct http_patience *patience;
    const struct gateway_answer *answer;
    struct buf prelude;
    bool is_begun, is_broken;
};

/* Returns the prelude, and then the body as it arrives. A body that breaks off ends here, and the
 * trailers say so. */
static enum err
next_piece(void *context, struct bytes *ret_piece)
{
    struct stream *s = context;
    struct why why = {""};
    if (!s->is_begun) {
        s->is_begun = true;
        answer_put_prelude(s->answer, &s->prelude);
        if (!is_success(s->answer)) buf_put_bytes(&s->prelude, s->answer->body);
        *ret_piece = buf_bytes(&s->prelude);
        return buf_error(&s->prelude);
    }
    *ret_piece = bytes_of(NULL, 0);
    enum err e = is_success(s->answer) ? http_pull_read(s->pull, s->patience, ret_piece, &why) : OK;
    if (e == OK) return OK;
    assert(s->is_begun && !s->is_broken); /* invariant 3 */
    s->is_broken = true;
    log_warn("an answer broke off", KV("error", &why));
    *ret_piece = bytes_of(NULL, 0);
    return OK;
}

static const char *const *
stream_trailers(void *context)
{
    static const char *const none[] = {NULL};
    /* The body is base64 of {"errorMessage":"the answer broke off"}. */
    static const char *const broken[] = {
        "Lambda-Runtime-Function-Error-Type: Firekeep.AnswerBrokeOff",
        "Lambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJ0aGUgYW5zd2VyIGJyb2tlIG9mZiJ9",
        NULL};
    const struct stream *s = context;
    return s->is_broken ? broken : none;
}

static enum err
send_stream(struct runtime *runtime, const struct invocation *invocation, struct http_pull *pull,
            const struct http_patience *patience, const struct gateway_answer *answer,
            struct why *why)
{
    struct stream stream = {.pull = pull, .patience = patience, .answer = answer};
    struct http_call_pieces pieces = {next_piece, stream_trailers, &stream};
    buf_init(&stream.prelude, NULL, PRELUDE_BYTES_MAX + HTTP_PULL_REFUSAL_BYTES);
    enum err e = runtime_stream(runtime, invocation, &pieces, why);
    buf_fini(&stream.prelude);
    return e;
}

/* --- the exchange ----------------------------------------------------------------------------- */

static enum err
exchange(struct dispatcher *d, struct runtime *runtime, const struct invocation *invocation,
         const struct event *event, struct why *why)
{
    struct why reason = {""};
    char *url = mem_alloc(d->budget, URL_BYTES_MAX);
    if (url == NULL) return send_lack(runtime, invocation, ERR_NOMEM, &reason, why);
    snprintf(url, URL_BYTES_MAX, "http://localhost%s", event->target);
    int64_t most_ms = invocation->deadline_ms - MARGIN_MS - env_realtime_ms(d->env);
    int64_t gateway_ms = gateway_limit_ms(d), left_ms = most_ms;
    if (!event->is_url && left_ms > gateway_ms) left_ms = gateway_ms;
    assert(left_ms <= most_ms); /* invariant 1 */
    struct exchange_limit limit = {d->env, env_monotonic_ns(d->env) + left_ms * NS_PER_MS};
    struct http_patience patience = {.check = check_deadline, .context = &limit};
    char line[TIMEOUT_LINE_BYTES];
    const char *headers[EVENT_HEADERS_MAX + 2];
    put_headers(event, &limit, line, headers);
    struct http_call call = {
        .target = &d->server,
        .method = event->method,
        .url = url,
        .headers = headers,
        .body = event->body,
        .wanted = wanted,
    };
    struct http_pull *pull = NULL;
    const struct http_call_answer *from;
    struct answer_header answered[WANTED];
    enum err e = http_pull_open(d->puller, &call, d->budget, &pull, &reason);
    if (e == OK) e = http_pull_await(pull, &patience, &from, &reason);
    if (e == OK && from->failure != HTTP_CALL_ANSWERED)
        e = why_set(&reason, ERR_AGAIN, "the server does not answer: %s", from->error);
    if (e) {
        e = send_lack(runtime, invocation, e, &reason, why);
    } else {
        struct gateway_answer answer = {from->status, answered, from->body};
        for (size_t i = 0; i < WANTED; i++) {
            answered[i] =
                (struct answer_header){wanted[i], wanted[i] == NULL ? NULL : from->wanted[i]};
        }
        e = d->streams && event->is_url
                ? send_stream(runtime, invocation, pull, &patience, &answer, why)
                : send_whole(d, runtime, invocation, pull, &patience, &answer, why);
    }
    http_pull_close(pull);
    mem_free(d->budget, url, URL_BYTES_MAX);
    return e;
}

enum err
dispatch(struct dispatcher *d, struct runtime *runtime, const struct invocation *invocation,
         enum err read, struct bytes text, struct why *why)
{
    struct event event;
    struct arena arena;
    struct buf body;
    struct why reason = {""};
    arena_init(&arena, d->budget, ARENA_BYTES_MAX, 0);
    buf_init(&body, d->budget, EVENT_BODY_BYTES_MAX);
    enum err e = read;
    if (e == ERR_LIMIT)
        why_set(&reason, e, "the event has more than 6 MB, which Lambda does not send");
    if (e == OK) e = event_read(text, d->budget, &arena, &body, &event, &reason);
    if (e == OK)
        e = exchange(d, runtime, invocation, &event, why);
    else
        e = send_refusal(runtime, invocation,
                         e == ERR_INPUT   ? 400
                         : e == ERR_LIMIT ? 422
                                          : 503,
                         why_text(&reason, e), why);
    if (e == ERR_INPUT) log_error("an answer was refused", KV("error", why));
    buf_fini(&body);
    arena_fini(&arena);
    return e;
}
