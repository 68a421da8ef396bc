/*
 * http_client.c - one transfer of libcurl at a time. This file decides what is repeated and when,
 * and lets a body arrive no faster than it is read: a piece that was not read pauses the transfer.
 *
 * Invariants:
 *
 * 1. `moving` says that the multi handle has the easy handle.
 * 2. From http_client_open() to http_client_close() the client has a request, its answer and its
 *    headers; the next request begins after that.
 * 3. `piece` is empty until a body is read, and has the bytes of one callback.
 *
 * Only http and https are allowed; redirects are not followed (a POST must not turn into a GET),
 * and answers are uncompressed. Without a proxy in the options, that of the environment is used,
 * but not for this machine. The progress callback, which
 * libcurl calls at least about once per second, finds idle transfers and sees `stop`.
 */
#include "net/http_client.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_answer.h"
#include "net/http_target.h"

enum {
    HEADER_BYTES_MAX = 512,
    PAUSE_STEP_MS = 50,
    PIECE_BYTES_MAX = 128 * 1024,
    POLL_MS = 500, /* longest time between looks at `stop` and the idle timeout */
};

#define PAUSE_FIRST_NS     (200 * NS_PER_MS)
#define PAUSE_MAX_NS       (10 * NS_PER_S)
#define RETRY_AFTER_MAX_NS (60 * NS_PER_S)

struct http_client {
    struct http_client_options options;
    CURLM *multi;
    CURL *curl;
    char error[CURL_ERROR_SIZE];

    /* The present request. */
    const struct http_client_request *request;
    struct http_client_answer *answer;
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    bool reading; /* the body is read; otherwise it becomes the answer's text */

    /* The present attempt. */
    bool moving;          /* `multi` has the transfer */
    CURLcode code;        /* its result, once it is not moving */
    struct buf piece;     /* the piece of the body to be read */
    struct bytes sending; /* rest of the piece of the request's body that is being sent */
    bool given;           /* the piece was read */
    bool begun;           /* the first piece has come */
    size_t text_size;     /* bytes in answer->text */
    int64_t retry_after_ns;
    int64_t moved_ns; /* time of the last byte in either direction */
    curl_off_t moved_bytes;
    bool idle;
};

/* --- callbacks -------------------------------------------------------------------------------- */

static void
take_refusal(struct http_client *c, const char *data, size_t size)
{
    struct buf *to = c->request->refusal;
    if (to == NULL) return;
    size_t room = to->limit - to->size;
    buf_put(to, data, size < room ? size : room);
}

static size_t
on_body(char *data, size_t item, size_t count, void *context)
{
    struct http_client *c = context;
    size_t size = item * count;
    long status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (!c->reading || status < 200 || status > 299) {
        for (size_t i = 0; i < size && c->text_size + 1 < HTTP_CLIENT_TEXT_BYTES; i++) {
            uint8_t byte = (uint8_t)data[i];
            c->answer->text[c->text_size++] = byte < 0x20 || byte == 0x7f ? ' ' : (char)byte;
        }
        c->answer->text[c->text_size] = '\0';
        take_refusal(c, data, size);
        return size;
    }
    if (c->piece.size > 0) return CURL_WRITEFUNC_PAUSE; /* libcurl passes it again: invariant 3 */
    buf_put(&c->piece, data, size);
    c->begun = true;
    return buf_error(&c->piece) ? 0 : size;
}

static size_t
on_header(char *line, size_t item, size_t count, void *context)
{
    struct http_client *c = context;
    size_t size = item * count;
    char value[HEADER_BYTES_MAX];
    if (http_header_value(line, size, "Retry-After", value, sizeof value)) {
        int64_t ns = http_retry_after_ns(value, env_realtime_ms(c->options.env) / 1000);
        c->retry_after_ns = ns < RETRY_AFTER_MAX_NS ? ns : RETRY_AFTER_MAX_NS;
    }
    for (struct http_client_header *h = c->answer->wanted; h != NULL && h->name != NULL; h++) {
        (void)http_header_value(line, size, h->name, h->value, sizeof h->value);
    }
    return size;
}

static size_t
on_send(char *to, size_t item, size_t count, void *context)
{
    struct http_client *c = context;
    const struct http_client_pieces *pieces = c->request->pieces;
    size_t room = item * count;
    if (c->sending.size == 0 && pieces->next(pieces->context, &c->sending) != OK)
        return CURL_READFUNC_ABORT;
    size_t size = c->sending.size < room ? c->sending.size : room;
    if (size == 0) return 0;
    memcpy(to, c->sending.at, size);
    c->sending = bytes_of(c->sending.at + size, c->sending.size - size);
    return size;
}

static int
on_trailers(struct curl_slist **list, void *context)
{
    struct http_client *c = context;
    const struct http_client_pieces *pieces = c->request->pieces;
    bool fine = true;
    for (const char *const *t = pieces->trailers(pieces->context); fine && *t != NULL; t++) {
        fine = http_target_append(list, *t);
    }
    return fine ? CURL_TRAILERFUNC_OK : CURL_TRAILERFUNC_ABORT;
}

static bool
is_stopped(const struct http_client *c)
{
    return c->options.stop != NULL && atomic_load_explicit(c->options.stop, memory_order_relaxed);
}

static int
on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
            curl_off_t up)
{
    struct http_client *c = context;
    int64_t now = env_monotonic_ns(c->options.env);
    (void)down_total;
    (void)up_total;
    if (down + up != c->moved_bytes) {
        c->moved_bytes = down + up;
        c->moved_ns = now;
    }
    c->idle = c->options.idle_timeout_ns != 0 && now - c->moved_ns > c->options.idle_timeout_ns;
    return c->idle || is_stopped(c);
}

/* --- a client --------------------------------------------------------------------------------- */

static long
milliseconds(int64_t ns)
{
    return (long)((ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void
set_up(struct http_client *c)
{
    if (c->options.target != NULL) http_target_apply(c->curl, c->options.target);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c->curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, c->options.user_agent);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS,
                     milliseconds(c->options.connect_timeout_ns));
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, milliseconds(c->options.request_timeout_ns));
    /* Finds a server that has vanished even without timeouts. */
    curl_easy_setopt(c->curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(c->curl, CURLOPT_BUFFERSIZE, (long)PIECE_BYTES_MAX);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, c);
    curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, on_send);
    curl_easy_setopt(c->curl, CURLOPT_READDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_TRAILERFUNCTION, on_trailers);
    curl_easy_setopt(c->curl, CURLOPT_TRAILERDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
}

enum err
http_client_new(const struct http_client_options *options, struct http_client **ret_client,
                struct why *why)
{
    struct http_client *c = mem_new(NULL, sizeof *c);
    if (c == NULL) return why_set(why, ERR_NOMEM, "not enough memory for an HTTP client");
    c->options = *options;
    CURLcode code = curl_global_init(CURL_GLOBAL_ALL); /* counts how often it is called */
    if (code != CURLE_OK) {
        mem_free(NULL, c, sizeof *c);
        return why_set(why, ERR_UNSUPPORTED, "libcurl: %s", curl_easy_strerror(code));
    }
    buf_init(&c->piece, NULL, SIZE_MAX);
    c->curl = curl_easy_init();
    c->multi = curl_multi_init();
    if (c->curl == NULL || c->multi == NULL) {
        http_client_free(c);
        return why_set(why, ERR_NOMEM, "not enough memory for an HTTP client");
    }
    set_up(c);
    *ret_client = c;
    return OK;
}

void
http_client_free(struct http_client *c)
{
    if (c == NULL) return;
    curl_easy_cleanup(c->curl);
    if (c->multi != NULL) curl_multi_cleanup(c->multi);
    curl_global_cleanup();
    buf_fini(&c->piece);
    mem_free(NULL, c, sizeof *c);
}

/* --- an attempt ------------------------------------------------------------------------------- */

/* Says whether the answer has the header that forbids another attempt. */
static bool
is_final(const struct http_client *c)
{
    const char *name = c->request->final_header;
    const struct http_client_header *h = c->answer->wanted;
    for (; name != NULL && h != NULL && h->name != NULL; h++) {
        if (strcasecmp(h->name, name) == 0 && h->value[0] != '\0') return true;
    }
    return false;
}

/* Moves the transfer until there is something to read, or it has ended. */
static void
client_move(struct http_client *c)
{
    while (c->moving && c->piece.size == 0) {
        int running = 0, left;
        if (curl_multi_perform(c->multi, &running) != CURLM_OK) break;
        for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left)) != NULL;) {
            if (m->msg != CURLMSG_DONE) continue;
            assert(m->easy_handle == c->curl); /* invariant 1 */
            c->code = m->data.result;
            c->moving = false;
            curl_multi_remove_handle(c->multi, c->curl);
            break; /* removing the handle freed the message */
        }
        if (c->moving && c->piece.size == 0) curl_multi_poll(c->multi, NULL, 0, POLL_MS, NULL);
    }
}

/* Describes the failure of a transfer, and returns its error. */
static enum err
describe_failure(struct http_client *c, struct why *why)
{
    const struct http_calls_target *target = c->options.target;
    /* libcurl's message repeats a proxy's URL that it cannot parse, password included. */
    bool has_text = c->error[0] != '\0' && strchr(c->error, '@') == NULL;
    if (buf_error(&c->piece)) return why_set(why, ERR_NOMEM, "not enough memory for a response");
    if (is_stopped(c)) return why_set(why, ERR_CANCELED, "stopped");
    const char *no_tls = http_target_no_tls(c->error);
    const char *text = c->idle    ? "timed out while waiting for data"
                       : no_tls   ? no_tls
                       : has_text ? c->error
                                  : curl_easy_strerror(c->code);
    bool hopeless = no_tls != NULL || c->code == CURLE_URL_MALFORMAT ||
                    c->code == CURLE_UNSUPPORTED_PROTOCOL ||
                    c->code == CURLE_PEER_FAILED_VERIFICATION ||
                    c->code == CURLE_SSL_CACERT_BADFILE || c->code == CURLE_SSL_CERTPROBLEM;
    enum err e = hopeless ? ERR_INPUT : c->begun ? ERR_IO : ERR_AGAIN;
    if (c->code == CURLE_SSL_CACERT_BADFILE && target != NULL && target->ca_file != NULL) {
        return why_set(why, e, "%s: cannot read certificates from ca_file %s", c->request->url,
                       target->ca_file);
    }
    if (target != NULL && target->unix_path != NULL) {
        return why_set(why, e, "unix:%s: %s", target->unix_path, curl_easy_strerror(c->code));
    }
    return why_set(why, e, "%s: %s", c->request->url, text);
}

/* Masks the credentials of the request in a refusal. */
static void
mask_refusal(struct http_client *c)
{
    struct buf *refusal = c->request->refusal;
    const struct http_calls_target *target = c->options.target;
    const char *proxy_url = target == NULL ? NULL : target->proxy_url;
    for (const struct curl_slist *line = c->headers; line != NULL; line = line->next) {
        http_mask_echo((uint8_t *)c->answer->text, c->text_size, line->data);
        if (refusal != NULL) http_mask_echo(refusal->at, refusal->size, line->data);
    }
    http_mask_proxy((uint8_t *)c->answer->text, c->text_size, proxy_url);
    if (refusal != NULL) http_mask_proxy(refusal->at, refusal->size, proxy_url);
}

/* OK: the answer is final. ERR_AGAIN: another attempt may succeed. */
static enum err
client_attempt(struct http_client *c, struct why *why)
{
    struct http_client_header *wanted = c->answer->wanted;
    uint32_t attempts = c->answer->attempts;
    *c->answer = (struct http_client_answer){.attempts = attempts + 1, .wanted = wanted};
    for (struct http_client_header *h = wanted; h != NULL && h->name != NULL; h++) {
        h->value[0] = '\0';
    }
    c->error[0] = '\0';
    if (c->request->refusal != NULL) buf_clear(c->request->refusal);
    buf_clear(&c->piece);
    c->piece.failed = OK;
    c->code = CURLE_OK;
    c->begun = false;
    c->text_size = 0;
    c->retry_after_ns = 0;
    c->moved_bytes = 0;
    c->moved_ns = env_monotonic_ns(c->options.env);
    c->idle = false;
    if (curl_multi_add_handle(c->multi, c->curl) != CURLM_OK) {
        return why_set(why, ERR_NOMEM, "not enough memory for a request");
    }
    c->moving = true;
    client_move(c);
    if (c->code != CURLE_OK && c->piece.size == 0) return describe_failure(c, why);
    long status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    c->answer->status = (unsigned)status;
    if (status >= 300) mask_refusal(c);
    while (c->text_size > 0 && c->answer->text[c->text_size - 1] == ' ') {
        c->answer->text[--c->text_size] = '\0';
    }
    if (c->text_size == 0 && (status < 200 || status > 299)) {
        snprintf(c->answer->text, sizeof c->answer->text, "%s",
                 status / 100 == 3 ? "redirects are not followed" : "no explanation");
    }
    bool may_pass = status == 429 || (status >= 500 && status != 501); /* 501 is permanent */
    if (!may_pass || is_final(c)) return OK;
    return why_set(why, ERR_AGAIN, "%s: status %ld: %s", c->request->url, status, c->answer->text);
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

static enum err
attempts(struct http_client *c, struct why *why)
{
    int64_t deadline = env_monotonic_ns(c->options.env) + c->options.retry_ns;
    int64_t wait = PAUSE_FIRST_NS;
    for (;;) {
        enum err e = client_attempt(c, why);
        if (e != ERR_AGAIN || c->options.retry_ns == 0) return e;
        int64_t pause = c->retry_after_ns > wait ? c->retry_after_ns : wait;
        if (env_monotonic_ns(c->options.env) + pause >= deadline) return e;
        if (c->options.retrying != NULL) {
            c->options.retrying(c->options.context, why->text, pause);
        }
        pause_ns(c, pause);
        if (is_stopped(c)) return why_set(why, ERR_CANCELED, "stopped");
        wait = wait * 2 < PAUSE_MAX_NS ? wait * 2 : PAUSE_MAX_NS;
    }
}

static enum err
make_headers(const struct http_client_request *request, struct curl_slist **ret_list)
{
    bool fine = http_target_append(ret_list, "Expect:"); /* no "100-continue" */
    if (fine && request->pieces != NULL)
        fine = http_target_append(ret_list, "Transfer-Encoding: chunked");
    for (const char *const *h = request->headers; fine && h != NULL && *h != NULL; h++) {
        fine = http_target_append(ret_list, *h);
    }
    return fine ? OK : ERR_NOMEM;
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
    struct why unwanted;
    assert(!c->moving);         /* invariant 2 */
    assert(c->headers == NULL); /* invariant 2 */
    const struct http_calls_target none = {.proxy_url = NULL};
    const struct http_calls_target *target = c->options.target == NULL ? &none : c->options.target;
    enum err e = make_headers(request, &c->headers);
    bool fine =
        e == OK && http_target_set_url(c->curl, target, request->url, &c->connect_to, &c->headers);
    if (!fine) return why_set(why, ERR_NOMEM, "not enough memory for a request");
    c->request = request;
    c->answer = answer;
    c->reading = reading;
    answer->attempts = 0;
    answer->status = 0;
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
    if (target->proxy_url == NULL) {
        curl_easy_setopt(c->curl, CURLOPT_PROXY, is_loopback(request->url) ? "" : NULL);
    }
    if (request->pieces != NULL) {
        assert(c->options.retry_ns == 0); /* pieces cannot be sent again */
        c->sending = bytes_of(NULL, 0);
        curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)-1);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, NULL);
    } else if (request->body.at != NULL) {
        curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, request->body.at);
    } else {
        curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, request->method);
    return attempts(c, why == NULL ? &unwanted : why);
}

void
http_client_close(struct http_client *c)
{
    if (c->moving) curl_multi_remove_handle(c->multi, c->curl);
    c->moving = false;
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(c->curl, CURLOPT_CONNECT_TO, NULL);
    curl_slist_free_all(c->headers);
    curl_slist_free_all(c->connect_to);
    c->headers = c->connect_to = NULL;
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
    c->given = false;
    return client_begin(c, request, true, answer, why);
}

enum err
http_client_read(struct http_client *c, struct bytes *ret_piece, struct why *why)
{
    assert(c->reading);         /* invariant 2 */
    assert(c->headers != NULL); /* invariant 2 */
    if (c->given) {
        buf_clear(&c->piece);
        c->given = false;
        c->moved_ns = env_monotonic_ns(c->options.env);
        if (c->moving) curl_easy_pause(c->curl, CURLPAUSE_CONT); /* may call on_body() */
        client_move(c);
    }
    if (c->piece.size == 0 && c->code != CURLE_OK) return describe_failure(c, why);
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
