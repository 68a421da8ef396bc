/*
 * http_request.c - a request as its handler sees it, and answers that are made whole.
 *
 * A request is shared by its connection (enum http_link) and its holder (enum http_request_state),
 * and is freed when both are done with it. Until it is answered its connection waits, so that its
 * holder can use all of it. The holder makes the whole answer, compression included, on its own
 * thread; the worker only sends it.
 *
 * The invariants are those of struct http_request, in http_private.h.
 */
#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "net/http_private.h"

enum { GZIP_BYTES_MIN = 1024, TEXT_BYTES = 1024, ANYONES_BYTES_MAX = 4096 };

void
http_request_free(struct http_request *request)
{
    struct http_server *server = request->server;
    struct budget *budget = server->options.budget;
    bool given = request->state != HTTP_REQUEST_READING;
    assert(request->link == HTTP_LINK_DETACHED);      /* request invariant 5 */
    assert(request->state != HTTP_REQUEST_HELD);      /* request invariant 5 */
    assert(request->state != HTTP_REQUEST_STREAMING); /* request invariant 5 */
    assert(request->state != HTTP_REQUEST_JUDGED);    /* request invariant 5 */
    if (request->release_sender != NULL) request->release_sender(request->sender);
    http_response_free(request->response);
    if (request->stream.ring != NULL) {
        mem_free(budget, request->stream.ring, request->stream.capacity);
        http_packer_free(request->stream.packer);
        cond_fini(&request->stream.room);
    }
    http_head_fini(&request->head);
    buf_fini(&request->body);
    lock_fini(request->lock);
    mem_free(budget, request, sizeof *request);
    if (!given) return;
    unsigned before = atomic_fetch_sub_explicit(&server->busy, 1, memory_order_acq_rel);
    assert(before > 0);
}

/* --- states ----------------------------------------------------------------------------------- */

void
http_request_suspend_locked(struct http_request *request)
{
    assert(lock_is_mine(request->lock));
    assert(request->link != HTTP_LINK_DETACHED);
    assert(request->state == HTTP_REQUEST_HELD || request->state == HTTP_REQUEST_STREAMING ||
           request->state == HTTP_REQUEST_JUDGED); /* request invariant 3 */
    request->link = HTTP_LINK_SUSPENDED;
}

void
http_request_resume_locked(struct http_request *request)
{
    assert(lock_is_mine(request->lock));
    assert(request->link != HTTP_LINK_DETACHED);
    if (request->link == HTTP_LINK_ATTACHED) return;
    request->link = HTTP_LINK_ATTACHED;
    http_conn_wake(request->conn);
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
    return request->head.path;
}

const char *
http_path_sent(const struct http_request *request)
{
    return request->head.sent_path;
}

const char *
http_method_sent(const struct http_request *request)
{
    return request->head.method;
}

const char *
http_target_sent(const struct http_request *request)
{
    return request->head.target;
}

bool
http_header_at(const struct http_request *request, uint32_t index, const char **ret_name,
               const char **ret_value)
{
    return http_head_header_at(&request->head, index, ret_name, ret_value);
}

bool
http_has_tls(const struct http_request *request)
{
    return request->listener->has_tls;
}

const char *
http_header(const struct http_request *request, const char *name)
{
    return http_head_header(&request->head, name);
}

unsigned
http_header_count(const struct http_request *request, const char *name)
{
    return http_head_header_count(&request->head, name);
}

const char *
http_argument_next(const struct http_request *request, const char *name, uint32_t *at)
{
    return http_head_argument(&request->head, name, at);
}

const char *
http_argument(const struct http_request *request, const char *name)
{
    uint32_t at = 0;
    return http_head_argument(&request->head, name, &at);
}

const char *
http_query_wrong(const struct http_request *request)
{
    const char *wrong = request->head.wrong_query;
    return wrong[0] == '\0' ? NULL : wrong;
}

bool
http_query_drops(const struct http_request *request, const char *prefix)
{
    return http_head_drops(&request->head, prefix);
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

unsigned
http_access(const struct http_request *request, unsigned unknown)
{
    return request->route == NULL ? unknown : request->route->access;
}

size_t
http_place_index(const struct http_request *request)
{
    return (size_t)(request->listener - request->server->listeners);
}

bool
http_peer_address(const struct http_request *request, uint8_t *ret_address)
{
    if (request->listener->unix_path[0] != '\0') return false;
    memcpy(ret_address, &request->peer_address, sizeof request->peer_address);
    return true;
}

const struct tls_peer *
http_tls_peer(const struct http_request *request)
{
    return request->conn->tls == NULL ? NULL : tls_session_peer(request->conn->tls);
}

void
http_set_sender(struct http_request *request, void *sender, void (*release)(void *sender))
{
    assert(request->sender == NULL);
    request->sender = sender;
    request->release_sender = release;
    atomic_store_explicit(&request->conn->is_verified, true, memory_order_relaxed);
}

void *
http_sender(const struct http_request *request)
{
    return request->sender;
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
    /* Under the lock the descriptor cannot be closed; poll() does not wait. */
    lock_take(request->lock);
    bool gone = request->link == HTTP_LINK_DETACHED;
    if (!gone) {
        struct pollfd look = {.fd = request->conn->fd, .events = POLLRDHUP};
        gone = poll(&look, 1, 0) > 0;
    }
    lock_drop(request->lock);
    return gone;
}

/* --- answers made whole ----------------------------------------------------------------------- */

static const char *
reason_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return "Status"; /* RFC 9112: for people; clients go by the number */
}

/* Formats the date of an answer. Each thread keeps the text of the current second. */
static const char *
date_now(struct env *env)
{
    static _Thread_local time_t made;
    static _Thread_local char text[40];
    time_t now = (time_t)(env_realtime_ms(env) / 1000);
    if (text[0] != '\0' && now == made) return text;
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm;
    if (gmtime_r(&now, &tm) == NULL) return "Thu, 01 Jan 1970 00:00:00 GMT";
    made = now;
    snprintf(text, sizeof text, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
             days + 3 * (unsigned)tm.tm_wday, (unsigned)tm.tm_mday % 100,
             months + 3 * (unsigned)tm.tm_mon, (unsigned)(tm.tm_year + 1900) % 10000,
             (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
    return text;
}

static void
put_header(struct buf *head, const char *name, const char *value)
{
    buf_put_text(head, name);
    buf_put_text(head, ": ");
    buf_put_text(head, value);
    buf_put_text(head, "\r\n");
}

/* Writes headers up to the first without a name; leaves out empty values. */
static void
put_headers(struct http_response *response, const struct http_answer_header *headers, size_t max)
{
    for (size_t i = 0; i < max && headers[i].name != NULL; i++) {
        const char *value = headers[i].value;
        if (value == NULL || value[0] == '\0') continue;
        if (strpbrk(value, "\r\n") != NULL) continue; /* a line of its own would be an answer */
        if (strcasecmp(headers[i].name, "Connection") == 0)
            response->closes = true;
        else
            put_header(&response->head, headers[i].name, value);
    }
}

bool
http_response_begin(struct http_response *response, const struct http_request *request,
                    const struct http_answer *answer, enum http_coding coding, uint64_t body_bytes)
{
    /* A header may repeat a part of the request: a path and query, each byte escaped, or an origin.
     */
    enum { HEAD_BYTES = 512, HEAD_BYTES_MAX = 4 * HTTP_HEADER_BYTES_CEILING };
    struct buf *head = &response->head;
    bool keeps = request->head.keeps, bodiless = answer->status == 204 || answer->status == 304;
    bool unknown = body_bytes == UINT64_MAX && !bodiless;
    response->status = answer->status;
    response->has_body = !request->is_head && !bodiless;
    /* The connection is closed after a response of unknown length without chunks, which goes to
     * HTTP/1.0 or HEAD. */
    response->chunked = unknown && response->has_body && !request->head.old;
    response->closes = unknown && !response->chunked;
    buf_init(head, response->budget, HEAD_BYTES_MAX);
    if (!buf_reserve(head, HEAD_BYTES)) return false;
    buf_printf(head, "HTTP/1.1 %u %s\r\n", answer->status, reason_of(answer->status));
    put_header(head, "Date", date_now(request->server->options.env));
    if (answer->content_type != NULL) put_header(head, "Content-Type", answer->content_type);
    put_header(head, "X-Content-Type-Options", "nosniff");
    put_headers(response, answer->headers, HTTP_ANSWER_HEADERS_MAX);
    put_headers(response, request->also, HTTP_ALSO_MAX);
    if (coding != HTTP_CODING_NONE) put_header(head, "Vary", "Accept-Encoding");
    if (coding == HTTP_CODING_GZIP) put_header(head, "Content-Encoding", "gzip");
    if (coding == HTTP_CODING_ZSTD) put_header(head, "Content-Encoding", "zstd");
    if (response->chunked) put_header(head, "Transfer-Encoding", "chunked");
    if (!unknown && !bodiless) buf_printf(head, "Content-Length: %" PRIu64 "\r\n", body_bytes);
    if (response->closes || !keeps)
        put_header(head, "Connection", "close");
    else if (request->head.old)
        put_header(head, "Connection", "keep-alive");
    http_put_common_headers(request->server, head);
    buf_put_text(head, "\r\n");
    return buf_error(head) == OK;
}

void
http_response_free(struct http_response *response)
{
    if (response == NULL) return;
    buf_fini(&response->head);
    buf_fini(&response->body);
    mem_free(response->budget, response, sizeof *response);
}

void
http_answer_also(struct http_request *request, const char *name, const char *value)
{
    size_t count = 0;
    while (request->also[count].name != NULL)
        count++;
    assert(count < HTTP_ALSO_MAX);
    request->also[count] = (struct http_answer_header){name, value};
}

struct http_response *
http_response_new(const struct http_request *request, const struct http_answer *answer)
{
    bool is_large = answer->body.size > ANYONES_BYTES_MAX; /* for who may not take it */
    struct budget *budget = request->is_anyones && is_large ? http_unverified(request->server)
                                                            : request->server->options.budget;
    struct http_response *response = mem_new(budget, sizeof *response);
    if (response == NULL) return NULL;
    response->budget = budget;
    bool text = answer->is_gzip ||
                (answer->body.size >= GZIP_BYTES_MIN && http_is_text(answer->content_type));
    bool compressed = text && http_accepts(request, HTTP_CODING_GZIP);
    if (answer->is_gzip && !compressed) {
        if (!http_gunzip(budget, answer->body, &response->body)) goto refused;
    } else if (compressed && !answer->is_gzip) {
        compressed = http_gzip(budget, answer->body, &response->body);
    }
    if (response->body.size == 0 && answer->body.size > 0) {
        buf_init(&response->body, budget, answer->body.size);
        buf_put_bytes(&response->body, answer->body);
        if (buf_error(&response->body)) goto refused;
    }
    enum http_coding coding = compressed ? HTTP_CODING_GZIP
                              : text     ? HTTP_CODING_POSSIBLE
                                         : HTTP_CODING_NONE;
    if (http_response_begin(response, request, answer, coding, response->body.size))
        return response;
refused:
    http_response_free(response);
    return NULL;
}

void
http_hand_in(struct http_request *request, struct http_response *response,
             enum http_request_state to)
{
    struct http_server *server = request->server;
    lock_take(request->lock);
    assert(request->state == HTTP_REQUEST_HELD); /* request invariant 4: answered once */
    assert(request->response == NULL);           /* request invariant 4 */
    assert(request->link != HTTP_LINK_DETACHED); /* request invariant 2 */
    assert(to == HTTP_REQUEST_STREAMING || to == HTTP_REQUEST_ANSWERED);
    assert(to != HTTP_REQUEST_STREAMING || request->stream.ring != NULL); /* request invariant 6 */
    request->state = to;
    request->response = response;
    http_request_resume_locked(request);
    lock_drop(request->lock);
    if (to == HTTP_REQUEST_STREAMING) return;
    unsigned before = atomic_fetch_sub_explicit(&server->held, 1, memory_order_seq_cst);
    assert(before > 0);
}

void
http_reply(struct http_request *request, const struct http_answer *answer)
{
    assert(answer->status >= 200 && answer->status < 600);
    struct http_response *response = http_response_new(request, answer);
    http_note_status(request, answer->status);
    buf_fini(&request->body);
    http_hand_in(request, response, HTTP_REQUEST_ANSWERED);
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

/* --- answers that need no memory -------------------------------------------------------------- */

struct bytes
http_raw_answer(enum http_raw what, char to[static HTTP_RAW_BYTES])
{
    static const char *const texts[] = {
        [HTTP_RAW_LATE] = "the request took too long to arrive, retry later",
        [HTTP_RAW_NO_MEMORY] = "not enough memory for this request, retry later",
        [HTTP_RAW_FULL] = "too many connections, retry later",
        [HTTP_RAW_NOT_TLS] = "the request is HTTP, and this address speaks HTTPS",
    };
    bool is_final = what == HTTP_RAW_NOT_TLS;
    int size = snprintf(to, HTTP_RAW_BYTES,
                        "HTTP/1.1 %s\r\n"
                        "Connection: close\r\n"
                        "Content-Type: %s\r\n"
                        "X-Content-Type-Options: nosniff\r\n"
                        "Content-Length: %zu\r\n"
                        "%s\r\n%s\n",
                        is_final ? "400 Bad Request" : "503 Service Unavailable", HTTP_TYPE_TEXT,
                        strlen(texts[what]) + 1,
                        is_final ? "" : "Retry-After: " HTTP_RETRY_AFTER "\r\n", texts[what]);
    return bytes_of(to, (size_t)size);
}

void
http_send_raw(int fd, enum http_raw what)
{
    char text[HTTP_RAW_BYTES];
    struct bytes answer = http_raw_answer(what, text);
    (void)!send(fd, answer.at, answer.size, MSG_NOSIGNAL | MSG_DONTWAIT);
}
