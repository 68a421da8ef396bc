/*
 * http_serve.c - what libmicrohttpd calls on a worker thread, and what is made of it.
 *
 * For each request, in this order: http_on_uri() with the raw request line; http_on_access() when
 * the headers are there (on_headers()), for each piece of the body (on_body()), when all is there
 * and again whenever a suspended connection is resumed (on_complete()); http_on_completed() at the
 * end, always. http_on_connection() frames them.
 *
 * What was learned from the source of 0.9.75, and shapes this file:
 *
 * - An answer queued when only the headers are there closes the connection. So a refusal waits
 *   for the end of the body if that is short (http_refusal), and goes out at once if it is not.
 * - While a body is being received no answer can be queued. A body that turns out too large is
 *   answered by writing to the socket (nothing else is being sent then) and ends the connection.
 * - A request line with more arguments than the pool has room for leaves the connection in a state
 *   in which its worker spins. http_on_uri() sees them coming and cuts the connection.
 * - MHD_queue_response() on a suspended connection looks at state of the worker from another
 *   thread. We only leave the answer in the request and resume; the worker queues it.
 */
#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hex.h"
#include "net/http_private.h"

static struct http_conn *
conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

/* --- connections ------------------------------------------------------------------------------ */

/*
 * 0.9.75 forgets ready connections when epoll_wait() returned as many events as it has room for
 * (128) and finds no further one: it waits with them in hand. The watch thread therefore pokes the
 * workers through an eventfd in their epoll sets; an event whose pointer is NULL is skipped there.
 */
static void
add_kick(struct http_server *server, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *worker =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_DAEMON);
    if (worker == NULL) return;
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(worker->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL) return;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    /* EEXIST: not the first connection of this worker. */
    (void)epoll_ctl(info->epoll_fd, EPOLL_CTL_ADD, server->kick_fd, &event);
}

/* libmicrohttpd closes its descriptor next; a duplicate keeps the connection in our hands. */
static void
conn_closed(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    uint64_t word = atomic_load_explicit(&conn->clock, memory_order_acquire);
    enum http_phase phase = http_clock_phase(word);
    bool linger = phase != HTTP_PHASE_CUT && (conn->linger || phase == HTTP_PHASE_HEADER);
    int parted = linger ? fcntl(conn->fd, F_DUPFD_CLOEXEC, 0) : -1;

    lock_take(&server->lock);
    http_conn_unlist_locked(conn);
    bool taken = parted >= 0 && server->parted_count < HTTP_PARTINGS_MAX;
    if (taken) server->parted_fds[server->parted_count++] = parted;
    lock_drop(&server->lock);

    if (taken) http_watch_wake(server);
    if (parted >= 0 && !taken) close(parted);
    buf_fini(&conn->sent_path);
    mem_free(server->options.budget, conn, sizeof *conn);
}

void
http_on_connection(void *context, struct MHD_Connection *mhd, void **conn,
                   enum MHD_ConnectionNotificationCode what)
{
    if (what != MHD_CONNECTION_NOTIFY_STARTED) {
        conn_closed(*conn);
        *conn = NULL;
        return;
    }
    struct http_server *server = context;
    int fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    add_kick(server, mhd);
    lock_take(&server->lock);
    struct http_conn *started = http_conn_unstarted_locked(server, fd);
    assert(started != NULL); /* listed before it was handed over */
    started->started = true;
    lock_drop(&server->lock);
    *conn = started;
}

/* --- routing --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum http_method method;
} METHODS[] = {{"GET", HTTP_GET},
               {"POST", HTTP_POST},
               {"PUT", HTTP_PUT},
               {"DELETE", HTTP_DELETE},
               {"OPTIONS", HTTP_OPTIONS}};

static const struct http_route *
route_find(const struct http_server *server, const char *path, unsigned method,
           unsigned *ret_methods)
{
    const struct http_route *found = NULL;
    size_t best = 0;
    unsigned methods = 0;
    for (size_t i = 0; i < server->options.route_count; i++) {
        const struct http_route *route = &server->routes[i];
        size_t size = strlen(route->path);
        bool begins = size > 0 && route->path[size - 1] == '*';
        size_t match = begins ? (strncmp(route->path, path, size - 1) == 0 ? size : 0)
                       : strcmp(route->path, path) == 0 ? SIZE_MAX
                                                        : 0; /* higher is better, 0 is none */
        if (match == 0 || match < best) continue;
        if (match > best) {
            best = match;
            methods = 0;
            found = NULL;
        }
        methods |= route->methods;
        if (found == NULL && (route->methods & method) != 0) found = route;
    }
    *ret_methods = methods;
    return found;
}

/* --- the request line ------------------------------------------------------------------------- */

static bool
tells_in_json(const struct http_server *server, const char *uri, const char *query)
{
    char path[256];
    unsigned methods;
    snprintf(path, sizeof path, "%.*s", (int)(query - uri), uri);
    const struct http_route *route = route_find(server, path, ~0u, &methods);
    return route != NULL && route->tells_in_json;
}

static bool
path_is_bad(const char *uri, const char *query)
{
    const char *end = query == NULL ? uri + strlen(uri) : query;
    for (size_t step; uri < end; uri += step) {
        uint8_t c;
        step = percent_step((const uint8_t *)uri, (size_t)(end - uri), &c);
        if (step == 0 || c == '\0') return true;
    }
    return false;
}

/*
 * In place, of the path and of each name and value of the query string. What has a % without two
 * digits becomes a NUL, of one byte, which nothing else can become (http_on_uri() looks for
 * "%00"): such arguments are not there, as net/url drops them. libmicrohttpd would leave them as
 * they stand.
 */
size_t
http_unescape(void *context, struct MHD_Connection *mhd, char *text)
{
    char *to = text;
    (void)context;
    (void)mhd;
    size_t left = strlen(text);
    for (const char *at = text; left > 0;) {
        uint8_t c;
        size_t step = percent_step((const uint8_t *)at, left, &c);
        if (step == 0) {
            memcpy(text, "\0", 2);
            return 1;
        }
        *to++ = (char)c;
        at += step;
        left -= step;
    }
    *to = '\0';
    return (size_t)(to - text);
}

/* Looks at an argument from `at` to before `end` as net/url does: for semicolons first. */
static bool
argument_is_wrong(const char *at, const char *end, char ret_wrong[HTTP_WRONG_BYTES])
{
    if (memchr(at, ';', (size_t)(end - at)) != NULL) {
        snprintf(ret_wrong, HTTP_WRONG_BYTES, "invalid semicolon separator in query");
        return true;
    }
    for (size_t step; at < end; at += step) {
        uint8_t c;
        step = percent_step((const uint8_t *)at, (size_t)(end - at), &c);
        if (step > 0) continue;
        int size = end - at < 3 ? (int)(end - at) : 3;
        snprintf(ret_wrong, HTTP_WRONG_BYTES, "invalid URL escape \"%.*s\"", size, at);
        return true;
    }
    return false;
}

static void
keep_wrong(struct http_conn *conn, const char *query)
{
    conn->wrong_query[0] = '\0';
    for (const char *at = query, *end; at != NULL && *at != '\0'; at = end) {
        at++; /* past ? or & */
        end = at + strcspn(at, "&");
        if (argument_is_wrong(at, end, conn->wrong_query)) return;
    }
}

/* What tells a slash within a piece of the path from those between pieces is gone soon. */
static void
keep_path(struct http_conn *conn, const char *uri, const char *query)
{
    size_t size = query == NULL ? strlen(uri) : (size_t)(query - uri);
    buf_fini(&conn->sent_path);
    buf_init(&conn->sent_path, conn->server->options.budget, HTTP_POOL_BYTES);
    bool is_escaped = false;
    for (const char *at = uri; at < uri + size && !is_escaped; at++) {
        is_escaped = *at == '%' && strncasecmp(at, "%2f", 3) == 0;
    }
    if (!is_escaped) return;
    buf_put(&conn->sent_path, uri, size);
    buf_put_u8(&conn->sent_path, '\0');
}

void *
http_on_uri(void *context, const char *uri, struct MHD_Connection *mhd)
{
    struct http_server *server = context;
    struct http_conn *conn = conn_of(mhd);
    uint64_t word = atomic_load_explicit(&conn->clock, memory_order_acquire);
    bool seen_before = http_clock_phase(word) == HTTP_PHASE_HEADER && !conn->fresh;
    conn->began_ns = seen_before ? http_clock_since(word) : env_monotonic_ns(server->options.env);
    if (http_clock_phase(word) == HTTP_PHASE_IDLE) {
        /* If the connection has been cut, http_on_access() finds out. */
        (void)http_conn_enter(conn, HTTP_PHASE_HEADER);
    }
    conn->fresh = false;
    const char *query = uri == NULL ? NULL : strchr(uri, '?');
    conn->bad_uri = uri == NULL || path_is_bad(uri, query);
    conn->bad_query = query != NULL && strstr(query, "%00") != NULL;
    keep_path(conn, uri == NULL ? "" : uri, query);
    keep_wrong(conn, query);
    unsigned arguments = 1;
    for (const char *at = query; at != NULL;) {
        at = strchr(at + 1, '&');
        arguments += at != NULL;
    }
    if (arguments <= HTTP_ARGUMENTS_MAX) return NULL;
    if (http_conn_enter(conn, HTTP_PHASE_CUT)) {
        http_send_raw(conn->fd, HTTP_RAW_LARGE_QUERY, tells_in_json(server, uri, query));
        env_shutdown(server->options.env, conn->fd);
    }
    return NULL;
}

/* --- refusals --------------------------------------------------------------------------------- */

/* What the headers say about the body. */
struct framing {
    bool bad; /* contradictory, or made to be read differently by a proxy before us */
    bool has_length;
    bool chunked;
    bool coded; /* by a transfer coding we do not have */
    bool expects;
    bool expects_other;
    uint64_t length;
    const char *encoding;
};

static bool
parse_length(const char *text, size_t size, uint64_t *ret_length)
{
    uint64_t length = 0;
    for (size_t i = 0; i < size; i++) {
        if (!isdigit((unsigned char)text[i])) return false;
        if (__builtin_mul_overflow(length, 10, &length)) return false;
        if (__builtin_add_overflow(length, (uint64_t)(text[i] - '0'), &length)) return false;
    }
    *ret_length = length;
    return size > 0;
}

static enum MHD_Result
framing_add(void *context, enum MHD_ValueKind kind, const char *name, size_t name_size,
            const char *value, size_t value_size)
{
    (void)kind;
    struct framing *f = context;
    if (value == NULL) value = "";
    if (name_size == 0 || memchr(name, ' ', name_size) != NULL ||
        memchr(name, '\t', name_size) != NULL) {
        f->bad = true;
    } else if (strcasecmp(name, "content-length") == 0) {
        uint64_t was = f->length;
        f->bad |=
            !parse_length(value, value_size, &f->length) || (f->has_length && f->length != was);
        f->has_length = true;
    } else if (strcasecmp(name, "transfer-encoding") == 0) {
        if (f->chunked || f->coded) f->bad = true;
        f->chunked = strcasecmp(value, "chunked") == 0;
        f->coded = !f->chunked;
    } else if (strcasecmp(name, "expect") == 0) {
        f->expects = true;
        if (strcasecmp(value, "100-continue") != 0) f->expects_other = true;
    } else if (strcasecmp(name, "content-encoding") == 0) {
        f->encoding = value;
    }
    return MHD_YES;
}

static bool
word_listed(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; at != NULL && *at != '\0';) {
        size_t span = strcspn(at, " ");
        if (span == size && size > 0 && strncasecmp(at, word, size) == 0) return true;
        at += span;
        at += strspn(at, " ");
    }
    return false;
}

static void
refuse(struct http_request *request, unsigned status, bool close, const char *text)
{
    request->refusal = (struct http_refusal){.status = status, .close = close, .text = text};
}

/* Refusals after which nobody knows where the next request begins, or nobody should read it. */
static void
judge_framing(struct http_request *request, const struct framing *f)
{
    struct http_server *server = request->server;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (info != NULL && info->header_size > server->options.header_bytes_max) {
        refuse(request, 431, true, "request header too large");
    } else if (f->bad || (f->has_length && (f->chunked || f->coded))) {
        refuse(request, 400, true, "contradictory or malformed headers");
    } else if (f->coded) {
        refuse(request, 501, true, "transfer encoding not supported");
    } else if (f->expects_other) {
        refuse(request, 417, true, "expectation not supported");
    } else if (request->conn->bad_uri) {
        refuse(request, 400, true, "malformed request target");
    } else if (buf_error(&request->conn->sent_path)) {
        refuse(request, 503, true, "not enough memory");
    } else if (atomic_load_explicit(&server->quiescing, memory_order_relaxed)) {
        refuse(request, 503, true, "shutting down");
    }
}

static uint64_t
body_limit(const struct http_request *request)
{
    uint64_t own = request->route == NULL ? 0 : request->route->body_bytes_max;
    return own == 0 ? request->server->options.body_bytes_max : own;
}

static void
judge_route(struct http_request *request, const char *method, const struct framing *f)
{
    unsigned bit = 0;
    request->head = strcmp(method, "HEAD") == 0;
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++) {
        if (strcmp(method, METHODS[i].name) == 0) bit = METHODS[i].method;
    }
    if (request->head) bit = HTTP_GET;
    request->method = (enum http_method)bit;

    const char *encoding = f->encoding == NULL ? "" : f->encoding;
    bool plain = encoding[0] == '\0' || strcasecmp(encoding, "identity") == 0;
    unsigned methods;
    request->route = route_find(request->server, request->path, bit, &methods);
    if (methods == 0 || (request->route == NULL && methods == HTTP_OPTIONS)) {
        refuse(request, 404, false, "404 page not found"); /* clients look for these words */
    } else if (request->route == NULL) {
        refuse(request, 405, false, "method not allowed");
        char *allow = request->refusal.allow;
        size_t used = 0;
        for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++) {
            if ((methods & METHODS[i].method) == 0) continue;
            const char *head = METHODS[i].method == HTTP_GET ? ", HEAD" : "";
            used += (size_t)snprintf(allow + used, sizeof request->refusal.allow - used, "%s%s%s",
                                     used == 0 ? "" : ", ", METHODS[i].name, head);
            assert(used < sizeof request->refusal.allow);
        }
    } else if (request->conn->bad_query) {
        refuse(request, 400, true, "malformed request target");
        request->refusal.json = request->route->tells_in_json;
    } else if (f->has_length && f->length > body_limit(request)) {
        refuse(request, 413, true, "request body too large");
    } else if (!plain && !word_listed(request->route->encodings, "*") &&
               !word_listed(request->route->encodings, encoding)) {
        refuse(request, 415, false, "content encoding not supported");
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

/* `response` stays the caller's. */
static enum MHD_Result
queue(struct http_conn *conn, struct MHD_Connection *mhd, unsigned status,
      struct MHD_Response *response)
{
    struct http_server *server = conn->server;
    if (!http_conn_enter(conn, HTTP_PHASE_SEND)) return MHD_NO;
    if (response == NULL) {
        status = 503;
        response = server->no_memory;
    }
    http_count(&server->requests_by_class[status / 100]);
    return MHD_queue_response(mhd, status, response);
}

static enum MHD_Result
queue_refusal(struct http_request *request)
{
    const struct http_refusal *refusal = &request->refusal;
    char text[160];
    int size =
        snprintf(text, sizeof text, refusal->json ? HTTP_REFUSAL_JSON : "%s\n", refusal->text);
    struct http_answer answer = {
        .status = refusal->status,
        .content_type = refusal->json ? HTTP_TYPE_JSON : HTTP_TYPE_TEXT,
        .body = bytes_of(text, (size_t)size),
    };
    size_t count = 0;
    if (refusal->allow[0] != '\0') {
        answer.headers[count++] = (struct http_answer_header){"Allow", refusal->allow};
    }
    if (refusal->status == 503) {
        answer.headers[count++] = (struct http_answer_header){"Retry-After", HTTP_RETRY_AFTER};
    }
    if (refusal->close)
        answer.headers[count++] = (struct http_answer_header){"Connection", "close"};
    struct MHD_Response *response = http_response_new(request->server, request, &answer);
    enum MHD_Result result = queue(request->conn, request->mhd, refusal->status, response);
    if (response != NULL) MHD_destroy_response(response);
    return result;
}

/* In the middle of a body: answers and makes libmicrohttpd close the connection. */
static enum MHD_Result
break_off(struct http_request *request, enum http_raw what)
{
    struct http_conn *conn = request->conn;
    if (!http_conn_enter(conn, HTTP_PHASE_SEND)) return MHD_NO;
    conn->linger = true;
    http_count(&conn->server->requests_by_class[http_raw_status(what) / 100]);
    http_send_raw(conn->fd, what, false);
    return MHD_NO;
}

/* --- the request, step by step ---------------------------------------------------------------- */

static enum MHD_Result
on_headers(struct http_conn *conn, struct MHD_Connection *mhd, const char *url, const char *method,
           void **ret_request)
{
    struct http_server *server = conn->server;
    if (!http_conn_enter(conn, HTTP_PHASE_BODY)) return MHD_NO;
    http_count(&server->requests_total);
    struct http_request *request = http_request_new(conn, mhd);
    if (request == NULL) {
        conn->linger = true;
        return queue(conn, mhd, 503, NULL);
    }
    *ret_request = request;
    request->path = http_path_of(url);
    if (request->path == NULL) request->path = "/";

    struct framing f = {0};
    (void)MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, framing_add, &f);
    judge_framing(request, &f);
    if (request->refusal.status == 0) judge_route(request, method, &f);
    buf_init(&request->body, server->options.budget, body_limit(request));
    bool soon = !f.chunked && !f.expects && f.length <= HTTP_REFUSED_BODY_BYTES;
    if (request->refusal.status == 0 || (soon && !request->refusal.close)) return MHD_YES;
    conn->linger = true;
    return queue_refusal(request);
}

static enum MHD_Result
on_body(struct http_request *request, const char *piece, size_t *size)
{
    struct http_server *server = request->server;
    atomic_fetch_add_explicit(&server->body_bytes, *size, memory_order_relaxed);
    if (request->refusal.status == 0) buf_put(&request->body, piece, *size);
    *size = 0;
    switch (buf_error(&request->body)) {
    case OK:
        return MHD_YES;
    case ERR_LIMIT:
        return break_off(request, HTTP_RAW_LARGE_BODY);
    default:
        return break_off(request, HTTP_RAW_NO_MEMORY);
    }
}

/* False when the server is being freed. */
static bool
give(struct http_request *request)
{
    struct http_server *server = request->server;
    atomic_fetch_add_explicit(&server->held, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&server->closing, memory_order_seq_cst)) {
        atomic_fetch_sub_explicit(&server->held, 1, memory_order_seq_cst);
        return false;
    }
    request->given = true;
    request->held = true; /* nobody else knows the request yet */
    atomic_fetch_add_explicit(&server->busy, 1, memory_order_acq_rel);
    request->route->handler(request->route->context, request);
    return true;
}

static enum MHD_Result
on_complete(struct http_request *request)
{
    if (request->refusal.status != 0) return queue_refusal(request);
    if (!request->given) {
        if (!http_conn_enter(request->conn, HTTP_PHASE_HANDLER)) return MHD_NO;
        if (!give(request)) return MHD_NO;
    }
    lock_take(request->lock);
    struct MHD_Response *response = request->response;
    request->response = NULL;
    bool answered = request->answered;
    if (!answered) {
        request->suspended = true;
        /* Takes a mutex of libmicrohttpd that is never held while we are called. */
        MHD_suspend_connection(request->mhd);
    }
    lock_drop(request->lock);
    if (!answered) return MHD_YES;
    enum MHD_Result result = queue(request->conn, request->mhd, request->status, response);
    if (response != NULL) MHD_destroy_response(response);
    return result;
}

enum MHD_Result
http_on_access(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
               const char *version, const char *upload, size_t *upload_size, void **request)
{
    (void)context;
    (void)version;
    if (*request == NULL) return on_headers(conn_of(mhd), mhd, url, method, request);
    if (*upload_size > 0) return on_body(*request, upload, upload_size);
    return on_complete(*request);
}

void
http_on_completed(void *context, struct MHD_Connection *mhd, void **context_of_request,
                  enum MHD_RequestTerminationCode why)
{
    (void)context;
    struct http_conn *conn = conn_of(mhd);
    struct http_request *request = *context_of_request;
    *context_of_request = NULL;
    if (why == MHD_REQUEST_TERMINATED_COMPLETED_OK) {
        /* If it has been cut, its worker will hear of it. */
        (void)http_conn_enter(conn, HTTP_PHASE_IDLE);
        struct pollfd look = {.fd = conn->fd, .events = POLLRDHUP};
        if (poll(&look, 1, 0) > 0) http_watch_hurry(conn->server); /* it has ended its side */
    }
    if (request == NULL) return;
    lock_take(request->lock);
    request->attached = false;
    bool held = request->held;
    if (request->stream.ring != NULL) cond_wake_all(&request->stream.room);
    lock_drop(request->lock);
    if (!held) http_request_free(request);
}
