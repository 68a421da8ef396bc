/*
 * http_request.c - a request as its handler sees it, and answers that are made whole.
 *
 * A request belongs to libmicrohttpd (`attached`) and to whoever is to answer it (`held`), and is
 * freed when neither has it. Until it is answered its connection is either inside on_complete() on
 * its worker or suspended, so nothing of it can go away under its holder. The holder makes the
 * whole MHD_Response, compression included, on its own thread; the worker only queues it.
 */
#include <assert.h>
#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "net/http_private.h"

enum { GZIP_BYTES_MIN = 1024, TEXT_BYTES = 1024 };

struct http_request *
http_request_new(struct http_conn *conn, struct MHD_Connection *mhd)
{
    struct http_request *request = mem_new(conn->server->options.budget, sizeof *request);
    if (request == NULL) return NULL;
    request->server = conn->server;
    request->conn = conn;
    request->mhd = mhd;
    request->began_ns = conn->began_ns;
    memcpy(request->peer, conn->peer, sizeof request->peer);
    request->lock = &request->own_lock;
    lock_init(request->lock, LOCK_RANK_HTTP);
    request->attached = true;
    return request;
}

void
http_request_free(struct http_request *request)
{
    struct http_server *server = request->server;
    struct budget *budget = server->options.budget;
    bool given = request->given;
    if (request->response != NULL) MHD_destroy_response(request->response);
    if (request->stream.ring != NULL) {
        mem_free(budget, request->stream.ring, request->stream.capacity);
        http_gzip_free(request->stream.gzip);
        cond_fini(&request->stream.room);
    }
    buf_fini(&request->body);
    lock_fini(request->lock);
    mem_free(budget, request, sizeof *request);
    if (given) atomic_fetch_sub_explicit(&server->busy, 1, memory_order_acq_rel);
}

/* --- views ------------------------------------------------------------------------------------ */

enum http_method
http_method(const struct http_request *request)
{
    return request->method;
}

const char *
http_path(const struct http_request *request)
{
    return request->path;
}

/* "http://host/path", as clients write it for a proxy, means the path. */
const char *
http_path_of(const char *uri)
{
    return strncasecmp(uri, "http://", 7) == 0 ? strchr(uri + 7, '/') : uri;
}

const char *
http_path_sent(const struct http_request *request)
{
    const struct buf *sent = &request->conn->sent_path;
    return sent->size == 0 ? NULL : http_path_of((const char *)sent->at);
}

const char *
http_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, name);
}

struct header_count {
    const char *name;
    unsigned count;
};

static enum MHD_Result
header_look(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    (void)value;
    struct header_count *counting = context;
    counting->count += strcasecmp(name, counting->name) == 0;
    return MHD_YES;
}

unsigned
http_header_count(const struct http_request *request, const char *name)
{
    struct header_count counting = {.name = name};
    (void)MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, header_look, &counting);
    return counting.count;
}

struct argument_search {
    const char *name;
    unsigned skip;
    const char *found;
};

static enum MHD_Result
argument_look(void *context, enum MHD_ValueKind kind, const char *name, size_t name_size,
              const char *value, size_t value_size)
{
    (void)kind;
    (void)name_size;
    struct argument_search *search = context;
    bool is_bad = value != NULL && value_size > 0 && value[0] == '\0'; /* see http_unescape() */
    /* libmicrohttpd's own look-up ignores case, which is right for headers only. */
    if (is_bad || strcmp(name, search->name) != 0 || search->skip-- > 0) return MHD_YES;
    search->found = value == NULL ? "" : value;
    return MHD_NO;
}

const char *
http_argument_nth(const struct http_request *request, const char *name, unsigned nth)
{
    struct argument_search search = {.name = name, .skip = nth};
    (void)MHD_get_connection_values_n(request->mhd, MHD_GET_ARGUMENT_KIND, argument_look, &search);
    return search.found;
}

const char *
http_argument(const struct http_request *request, const char *name)
{
    return http_argument_nth(request, name, 0);
}

const char *
http_query_wrong(const struct http_request *request)
{
    const char *wrong = request->conn->wrong_query;
    return wrong[0] == '\0' ? NULL : wrong;
}

struct bytes
http_body(const struct http_request *request)
{
    return buf_bytes(&request->body);
}

void
http_body_release(struct http_request *request)
{
    buf_fini(&request->body);
}

int64_t
http_began_ns(const struct http_request *request)
{
    return request->began_ns;
}

const char *
http_peer(const struct http_request *request)
{
    return request->peer;
}

bool
http_gone(const struct http_request *request)
{
    /* Under the lock the descriptor cannot be closed; a look without waiting is no I/O. */
    lock_take(request->lock);
    bool gone = !request->attached;
    if (!gone) {
        struct pollfd look = {.fd = request->conn->fd, .events = POLLRDHUP};
        gone = poll(&look, 1, 0) > 0;
    }
    lock_drop(request->lock);
    return gone;
}

/* --- answers made whole ----------------------------------------------------------------------- */

/* The body of an answer; freed by libmicrohttpd when it is sent. */
struct content {
    struct budget *budget;
    struct buf bytes;
};

static void
content_free(void *context)
{
    struct content *content = context;
    buf_fini(&content->bytes);
    mem_free(content->budget, content, sizeof *content);
}

static struct content *
content_new(struct budget *budget, struct bytes body, bool compress, bool *ret_compressed)
{
    struct content *content = mem_new(budget, sizeof *content);
    if (content == NULL) return NULL;
    content->budget = budget;
    *ret_compressed = compress && http_gzip(budget, body, &content->bytes);
    if (*ret_compressed) return content;
    uint8_t *copy = mem_alloc(budget, body.size);
    if (copy == NULL) {
        mem_free(budget, content, sizeof *content);
        return NULL;
    }
    memcpy(copy, body.at, body.size);
    content->bytes =
        (struct buf){.at = copy, .size = body.size, .capacity = body.size, .budget = budget};
    return content;
}

/* libmicrohttpd takes no empty values, and nobody needs them. */
static bool
add_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0') return true;
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* Up to the first without a name. */
static bool
add_headers(struct MHD_Response *response, const struct http_answer_header *headers, size_t max)
{
    bool ok = true;
    for (size_t i = 0; ok && i < max && headers[i].name != NULL; i++) {
        ok = add_header(response, headers[i].name, headers[i].value);
    }
    return ok;
}

bool
http_response_add_headers(struct MHD_Response *response, const struct http_request *request,
                          const struct http_answer *answer, enum http_coding coding)
{
    bool ok = add_header(response, "Content-Type", answer->content_type) &&
              add_headers(response, answer->headers, HTTP_ANSWER_HEADERS_MAX);
    if (ok && request != NULL) ok = add_headers(response, request->also, HTTP_ALSO_MAX);
    if (ok && coding != HTTP_CODING_NONE) ok = add_header(response, "Vary", "Accept-Encoding");
    if (ok && coding == HTTP_CODING_GZIP) ok = add_header(response, "Content-Encoding", "gzip");
    return ok;
}

void
http_answer_also(struct http_request *request, const char *name, const char *value)
{
    size_t count = 0;
    while (request->also[count].name != NULL) {
        count++;
    }
    assert(count < HTTP_ALSO_MAX);
    request->also[count] = (struct http_answer_header){name, value};
}

struct MHD_Response *
http_response_new(struct http_server *server, const struct http_request *request,
                  const struct http_answer *answer)
{
    static char nothing[1];
    bool text = answer->body.size >= GZIP_BYTES_MIN && http_is_text(answer->content_type);
    bool compressed = false;
    struct MHD_Response *response;
    if (answer->body.size == 0) {
        response = MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
    } else {
        bool compress = text && http_accepts_gzip(request);
        struct content *content =
            content_new(server->options.budget, answer->body, compress, &compressed);
        if (content == NULL) return NULL;
        response = MHD_create_response_from_buffer_with_free_callback_cls(
            content->bytes.size, content->bytes.at, content_free, content);
        if (response == NULL) content_free(content);
    }
    if (response == NULL) return NULL;
    enum http_coding coding = compressed ? HTTP_CODING_GZIP
                              : text     ? HTTP_CODING_POSSIBLE
                                         : HTTP_CODING_NONE;
    if (http_response_add_headers(response, request, answer, coding)) return response;
    MHD_destroy_response(response);
    return NULL;
}

void
http_hand_in(struct http_request *request, unsigned status, struct MHD_Response *response,
             bool keep)
{
    struct http_server *server = request->server;
    lock_take(request->lock);
    assert(request->held);
    assert(!request->answered);
    assert(request->attached);
    request->answered = true;
    request->status = status;
    request->response = response;
    request->held = keep;
    if (request->suspended) {
        request->suspended = false;
        MHD_resume_connection(request->mhd);
    }
    lock_drop(request->lock);
    if (!keep) atomic_fetch_sub_explicit(&server->held, 1, memory_order_seq_cst);
}

void
http_reply(struct http_request *request, const struct http_answer *answer)
{
    assert(answer->status >= 200 && answer->status < 600);
    struct MHD_Response *response = http_response_new(request->server, request, answer);
    buf_fini(&request->body);
    http_hand_in(request, answer->status, response, false);
}

void
http_reply_text(struct http_request *request, unsigned status, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert(size >= 0);
    size_t used = (size_t)size < sizeof text ? (size_t)size : sizeof text - 1;
    http_reply(request, &(struct http_answer){
                            .status = status,
                            .content_type = "text/plain; charset=utf-8",
                            .body = bytes_of(text, used),
                        });
}

/* --- answers past libmicrohttpd --------------------------------------------------------------- */

static const struct {
    unsigned status;
    const char *reason;
    const char *text;
} raw_answers[] = {
    [HTTP_RAW_LATE] = {503, "Service Unavailable",
                       "the request took too long to arrive, retry later"},
    [HTTP_RAW_NO_MEMORY] = {503, "Service Unavailable",
                            "not enough memory for this request, retry later"},
    [HTTP_RAW_LARGE_BODY] = {413, "Payload Too Large", "request body too large"},
    [HTTP_RAW_LARGE_QUERY] = {431, "Request Header Fields Too Large", "too many query parameters"},
};

unsigned
http_raw_status(enum http_raw what)
{
    return raw_answers[what].status;
}

void
http_send_raw(int fd, enum http_raw what, bool json)
{
    unsigned status = raw_answers[what].status;
    char body[256], answer[512];
    int body_size =
        snprintf(body, sizeof body, json ? HTTP_REFUSAL_JSON : "%s\n", raw_answers[what].text);
    int size =
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 %u %s\r\n"
                 "Connection: close\r\n"
                 "Content-Type: %s\r\n"
                 "Content-Length: %d\r\n"
                 "%s\r\n%s",
                 status, raw_answers[what].reason, json ? HTTP_TYPE_JSON : HTTP_TYPE_TEXT,
                 body_size, status == 503 ? "Retry-After: " HTTP_RETRY_AFTER "\r\n" : "", body);
    /* What does not fit into the socket's buffer now is not worth waiting for. */
    (void)!send(fd, answer, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
}
