/*
 * http_client.c - one call of http_calls.h at a time. This file decides what is repeated and when,
 * and lets a body arrive no faster than it is read: a piece that was not read pauses the call.
 *
 * Invariants:
 *
 * 1. `moving` says that `calls` has the call.
 * 2. From http_client_open() to http_client_close() the client has a request and its answer; the
 *    next request begins after that.
 * 3. `piece` is empty until a body is read, and has the bytes of one callback.
 *
 * Without a proxy in the options, that of the environment is used, but not for this machine.
 */
#include "net/http_client.h"

#include <assert.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    PAUSE_STEP_MS = 50,
    POLL_MS = 500, /* longest time between looks at `stop` and the idle timeout */
};

#define PAUSE_FIRST_NS     (200 * NS_PER_MS)
#define PAUSE_MAX_NS       (10 * NS_PER_S)
#define RETRY_AFTER_MAX_NS (60 * NS_PER_S)

struct http_client {
    struct http_client_options options;
    struct http_calls *calls;

    /* The present request. */
    const struct http_client_request *request; /* NULL: none */
    struct http_client_answer *answer;
    struct http_calls_target target;
    bool reading; /* the body is read; otherwise it becomes the answer's text */

    /* The present attempt. */
    bool moving;
    struct http_call_answer last; /* its result, once it is not moving; until then its head */
    struct buf piece;             /* the piece of the body to be read */
    bool given;                   /* the piece was read */
    bool begun;                   /* the first piece has come */
    int64_t moved_ns;             /* time of the last byte in either direction */
    uint64_t moved_bytes;
};

static bool
is_stopped(const struct http_client *c)
{
    return c->options.stop != NULL && atomic_load_explicit(c->options.stop, memory_order_relaxed);
}

enum err
http_client_new(const struct http_client_options *options, struct http_client **ret_client,
                struct why *why)
{
    struct http_client *c = mem_new(NULL, sizeof *c);
    if (c == NULL) return why_set(why, ERR_NOMEM, "not enough memory for an HTTP client");
    c->options = *options;
    buf_init(&c->piece, NULL, SIZE_MAX);
    enum err e = http_calls_new(options->env, NULL, options->user_agent, &c->calls, why);
    if (e)
        http_client_free(c);
    else
        *ret_client = c;
    return e;
}

void
http_client_free(struct http_client *c)
{
    if (c == NULL) return;
    http_calls_free(c->calls);
    buf_fini(&c->piece);
    mem_free(NULL, c, sizeof *c);
}

/* --- an attempt ------------------------------------------------------------------------------- */

static void
http_client_on_begun(void *context, const struct http_call_answer *answer)
{
    ((struct http_client *)context)->last = *answer;
}

/* A lack of memory ends the reading. */
static bool
on_piece(void *context, struct bytes piece)
{
    struct http_client *c = context;
    if (c->piece.size > 0) return false; /* it comes again: invariant 3 */
    buf_put_bytes(&c->piece, piece);
    c->begun = true;
    return true;
}

/* Moves the call until there is something to read, or it has ended. */
static void
client_move(struct http_client *c)
{
    while (c->moving && !(c->piece.size > 0 || buf_error(&c->piece))) {
        http_calls_poll(c->calls, POLL_MS);
        int64_t now_ns = env_monotonic_ns(c->options.env);
        uint64_t moved_bytes = http_calls_moved(c->calls);
        if (moved_bytes != c->moved_bytes) c->moved_ns = now_ns;
        c->moved_bytes = moved_bytes;
        int64_t idle_ns = c->options.idle_timeout_ns;
        if (http_calls_done(c->calls, &c->last)) {
            c->moving = false;
        } else if (is_stopped(c) || (idle_ns != 0 && now_ns - c->moved_ns > idle_ns)) {
            http_calls_give_up(c->calls, c);
            c->moving = false;
            c->last = (struct http_call_answer){.failure = HTTP_CALL_TIMEOUT,
                                                .error = "timed out while waiting for data"};
        }
    }
}

/* True if a handshake of TLS broke off: it may succeed later, unlike one that was refused. */
static bool
handshake_broke_off(const struct http_call_answer *answer)
{
    static const int codes[] = {GNUTLS_E_PULL_ERROR, GNUTLS_E_PUSH_ERROR,
                                GNUTLS_E_PREMATURE_TERMINATION};
    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strstr(answer->error, gnutls_strerror(codes[i])) != NULL) return true;
    return false;
}

/* Describes the failure of a call, and returns its error. */
static enum err
describe_failure(struct http_client *c, struct why *why)
{
    if (buf_error(&c->piece) || c->last.failure == HTTP_CALL_NO_MEMORY)
        return why_set(why, ERR_NOMEM, "not enough memory for a response");
    if (is_stopped(c)) return why_set(why, ERR_CANCELED, "stopped");
    bool hopeless = c->last.failure == HTTP_CALL_BAD_URL || c->last.failure == HTTP_CALL_NO_TLS ||
                    (c->last.failure == HTTP_CALL_TLS && !handshake_broke_off(&c->last));
    enum err e = hopeless ? ERR_INPUT : c->begun ? ERR_IO : ERR_AGAIN;
    const char *socket = c->target.unix_path;
    return why_set(why, e, "%s%s: %s", socket != NULL ? "unix:" : "",
                   socket != NULL ? socket : c->request->url, c->last.error);
}

/* Takes a body that is not read: the beginning as one line, and a refusal. */
static void
take_text(struct http_client *c)
{
    struct buf *refusal = c->request->refusal;
    char *text = c->answer->text;
    size_t size = 0;
    unsigned status = c->last.status;
    if (status >= 300) http_calls_mask_answer(c->calls, &c->last);
    struct bytes body = c->last.body;
    for (size_t i = 0; i < body.size && size + 1 < HTTP_CLIENT_TEXT_BYTES; i++) {
        uint8_t byte = body.at[i];
        text[size++] = byte < 0x20 || byte == 0x7f ? ' ' : (char)byte;
    }
    while (size > 0 && text[size - 1] == ' ')
        size--;
    text[size] = '\0';
    if (size == 0 && (status < 200 || status > 299)) {
        snprintf(text, HTTP_CLIENT_TEXT_BYTES, "%s",
                 status / 100 == 3 ? "redirects are not followed" : "no explanation");
    }
    if (refusal == NULL || status < 300) return;
    size_t room = refusal->limit - refusal->size;
    buf_put(refusal, body.at, body.size < room ? body.size : room);
}

/* OK: the answer is final. ERR_AGAIN: another attempt may succeed. */
static enum err
client_attempt(struct http_client *c, struct why *why)
{
    static const struct http_call_stream stream = {http_client_on_begun, on_piece};
    const struct http_client_request *r = c->request;
    size_t text_max = HTTP_CLIENT_TEXT_BYTES;
    if (r->refusal != NULL && r->refusal->limit > text_max) text_max = r->refusal->limit;
    const bool posts = r->body.at != NULL || r->pieces != NULL;
    const struct http_call call = {
        .target = &c->target,
        .method = r->method != NULL ? r->method
                  : posts           ? "POST"
                                    : "GET",
        .url = r->url,
        .headers = r->headers,
        .body = r->body,
        .pieces = r->pieces,
        .wanted = r->wanted,
        .answer_bytes_max = text_max,
        .stream = c->reading ? &stream : NULL,
        .context = c,
    };
    *c->answer = (struct http_client_answer){.status = 0};
    if (r->refusal != NULL) buf_clear(r->refusal);
    buf_clear(&c->piece);
    c->last = (struct http_call_answer){.status = 0};
    c->begun = false;
    c->moved_bytes = 0;
    c->moved_ns = env_monotonic_ns(c->options.env);
    enum err e = http_calls_start(c->calls, &call, why);
    if (e) return e;
    c->moving = true;
    client_move(c);
    if (!c->moving && c->last.failure != HTTP_CALL_ANSWERED && !c->begun)
        return describe_failure(c, why);
    unsigned status = c->answer->status = c->last.status;
    memcpy(c->answer->wanted, c->last.wanted, sizeof c->answer->wanted);
    if (!c->moving && !c->begun) take_text(c);
    bool may_pass = status == 429 || (status >= 500 && status != 501); /* 501 is permanent */
    for (unsigned i = 0; r->final_header != NULL && r->wanted[i] != NULL; i++) {
        bool is_final = strcasecmp(r->wanted[i], r->final_header) == 0;
        may_pass &= !is_final || c->last.wanted[i][0] == '\0';
    }
    if (!may_pass) return OK;
    return why_set(why, ERR_AGAIN, "%s: status %u: %s", r->url, status, c->answer->text);
}

/* Sleeps in small steps, so that `stop` is seen. */
static void
pause_ns(struct http_client *c, int64_t ns)
{
    int64_t until = env_monotonic_ns(c->options.env) + ns;
    for (;;) {
        int64_t left = until - env_monotonic_ns(c->options.env);
        if (left <= 0 || is_stopped(c)) return;
        int64_t step = left < PAUSE_STEP_MS * NS_PER_MS ? left : PAUSE_STEP_MS * NS_PER_MS;
        env_sleep(c->options.env, step);
    }
}

/* Says whether the URL is on this machine: its requests do not go through a proxy. */
static bool
is_loopback(const char *url)
{
    const char *host = strstr(url, "://");
    host = host == NULL ? url : host + 3;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 ||
           strncmp(host, "[::1]", 5) == 0;
}

static enum err
client_begin(struct http_client *c, const struct http_client_request *request, bool reading,
             struct http_client_answer *answer, struct why *why)
{
    const struct http_client_options *o = &c->options;
    struct why unwanted;
    if (why == NULL) why = &unwanted;
    assert(!c->moving);                                  /* invariant 2 */
    assert(c->request == NULL);                          /* invariant 2 */
    assert(request->pieces == NULL || o->retry_ns == 0); /* pieces cannot be sent again */
    c->request = request;
    c->answer = answer;
    c->reading = reading;
    c->given = false;
    c->target = o->target == NULL ? (struct http_calls_target){.proxy_url = NULL} : *o->target;
    if (c->target.proxy_url == NULL && is_loopback(request->url)) c->target.proxy_url = "";
    c->target.connect_timeout_ms = (o->connect_timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    c->target.timeout_ms = (o->request_timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    int64_t deadline = env_monotonic_ns(o->env) + o->retry_ns, wait = PAUSE_FIRST_NS;
    for (;;) {
        enum err e = client_attempt(c, why);
        if (e != ERR_AGAIN || o->retry_ns == 0) return e;
        int64_t pause = c->last.retry_after_ns;
        if (pause > RETRY_AFTER_MAX_NS) pause = RETRY_AFTER_MAX_NS;
        if (pause < wait) pause = wait;
        if (env_monotonic_ns(o->env) + pause >= deadline) return e;
        if (o->retrying != NULL) o->retrying(o->context, why->text, pause);
        pause_ns(c, pause);
        if (is_stopped(c)) return why_set(why, ERR_CANCELED, "stopped");
        wait = wait * 2 < PAUSE_MAX_NS ? wait * 2 : PAUSE_MAX_NS;
    }
}

void
http_client_close(struct http_client *c)
{
    if (c->moving) http_calls_give_up(c->calls, c);
    c->moving = false;
    c->request = NULL;
    buf_clear(&c->piece);
}

enum err
http_client_send(struct http_client *c, const struct http_client_request *request,
                 struct http_client_answer *answer, struct why *why)
{
    enum err e = client_begin(c, request, false, answer, why);
    http_client_close(c);
    return e;
}

enum err
http_client_open(struct http_client *c, const struct http_client_request *request,
                 struct http_client_answer *answer, struct why *why)
{
    return client_begin(c, request, true, answer, why);
}

enum err
http_client_read(struct http_client *c, struct bytes *ret_piece, struct why *why)
{
    assert(c->reading);         /* invariant 2 */
    assert(c->request != NULL); /* invariant 2 */
    if (c->given) {
        buf_clear(&c->piece);
        c->given = false;
        c->moved_ns = env_monotonic_ns(c->options.env);
        if (c->moving) http_calls_resume(c->calls, c); /* may call on_piece() */
        client_move(c);
    }
    bool broke_off = !c->moving && c->last.failure != HTTP_CALL_ANSWERED;
    if (buf_error(&c->piece) || (c->piece.size == 0 && broke_off)) return describe_failure(c, why);
    if (!c->moving) memcpy(c->answer->wanted, c->last.wanted, sizeof c->answer->wanted);
    *ret_piece = buf_bytes(&c->piece);
    c->given = true;
    return OK;
}

enum err
http_client_fetch(struct http_client *c, const struct http_client_request *request, struct buf *to,
                  struct http_client_answer *answer, struct why *why)
{
    struct bytes piece = bytes_of("", 0);
    enum err e = http_client_open(c, request, answer, why);
    do {
        if (e == OK) e = http_client_read(c, &piece, why);
        if (e == OK) buf_put_bytes(to, piece);
        if (e == OK && buf_error(to)) {
            e = why_set(why, buf_error(to), "%s: the response is larger than %zu bytes",
                        request->url, to->limit);
        }
    } while (e == OK && piece.size > 0);
    http_client_close(c);
    return e;
}
