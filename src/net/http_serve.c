/*
 * http_serve.c - decides on the worker which route a request has and whether it is refused, and
 * gives it to its handler.
 *
 * A refusal waits for the end of the body if that is short, so that the connection can be kept,
 * and ends the connection if it is not (http_conn.c).
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/http_private.h"

/* --- routing ---------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum http_method method;
} METHODS[] = {{"GET", HTTP_GET},
               {"POST", HTTP_POST},
               {"PUT", HTTP_PUT},
               {"DELETE", HTTP_DELETE},
               {"OPTIONS", HTTP_OPTIONS}};

static const struct http_route *
route_find(const struct http_server *server, const struct http_request *request, const char *path,
           unsigned method, unsigned *ret_methods)
{
    const struct http_route *found = NULL;
    size_t best = 0;
    unsigned methods = 0;
    for (size_t i = 0; i < server->options.route_count; i++) {
        const struct http_route *route = &server->options.routes[i];
        size_t size = strlen(route->path);
        bool begins = size > 0 && route->path[size - 1] == '*';
        size_t match = begins ? (strncmp(route->path, path, size - 1) == 0 ? size : 0)
                       : strcmp(route->path, path) == 0 ? SIZE_MAX
                                                        : 0; /* higher is better; 0: no match */
        bool has_argument = route->argument == NULL || request == NULL ||
                            http_argument(request, route->argument) != NULL;
        if (match == 0 || match < best || !has_argument) continue;
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

bool
http_errors_in_json(const struct http_server *server, struct bytes target)
{
    char path[256];
    unsigned methods;
    size_t size = 0;
    while (size < target.size && size < sizeof path - 1 && target.at[size] != '?' &&
           target.at[size] != ' ')
        size++;
    memcpy(path, target.at, size);
    path[size] = '\0';
    const struct http_route *route = route_find(server, NULL, path, ~0u, &methods);
    return route != NULL && route->errors_in_json;
}

/* --- refusals --------------------------------------------------------------------------------- */

void
http_refuse(struct http_request *request, unsigned status, bool close, const char *text)
{
    /* An unknown path or method is reported in the same words by all routes: clients look for
     * them, and Prometheus has them as text. */
    bool json = status != 404 && status != 405 && request->route != NULL &&
                request->route->errors_in_json && !request->awaits_body; /* request invariant 7 */
    request->refusal =
        (struct http_refusal){.status = status, .close = close, .json = json, .text = text};
}

/* Refuses requests after which the beginning of the next is unknown, or it should not be read. */
static void
judge_framing(struct http_request *request)
{
    const struct http_head *h = &request->head;
    bool quiescing = atomic_load_explicit(&request->server->quiescing, memory_order_relaxed);
    if (h->bad || (h->has_length && (h->chunked || h->coded)))
        http_refuse(request, 400, true, "contradictory or malformed headers");
    else if (h->coded)
        http_refuse(request, 501, true, "transfer encoding not supported");
    else if (h->expects_other)
        http_refuse(request, 417, true, "expectation not supported");
    else if (quiescing)
        http_refuse(request, 503, true, "shutting down");
}

static uint64_t
body_limit(const struct http_request *request)
{
    const struct http_options *options = &request->server->options;
    uint64_t own = request->route == NULL ? 0 : request->route->body_bytes_max;
    if (!request->awaits_body) return own == 0 ? options->body_bytes_max : own;
    /* While a body grows, its old and its new memory count: less than twice its limit. A body that
     * could never fit would be sent again after each 503. */
    const struct budget *bodies = http_unverified(request->server);
    uint64_t share = atomic_load_explicit(&bodies->limit_bytes, memory_order_relaxed) / 3;
    return share > 0 && share < options->body_bytes_max ? share : options->body_bytes_max;
}

void
http_request_init_body(struct http_request *request)
{
    struct budget *budget = request->server->options.budget;
    buf_init(&request->body, request->awaits_body ? http_unverified(request->server) : budget,
             body_limit(request)); /* request invariant 7 */
}

/* Says whether the body is too large, as announced or, once it is whole, as it is. */
static bool
is_too_large(const struct http_request *request)
{
    uint64_t size = request->head.has_length ? request->head.length : 0;
    if (request->body.size > size) size = request->body.size;
    return size > body_limit(request);
}

bool
http_body_is_short(const struct http_request *request, uint64_t size)
{
    const struct http_head *h = &request->head;
    return !h->chunked && !h->expects && size <= HTTP_REFUSED_BODY_BYTES;
}

static void
refuse_method(struct http_request *request, unsigned methods)
{
    http_refuse(request, 405, false, "method not allowed");
    char *allow = request->refusal.allow;
    size_t used = 0;
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++) {
        if ((methods & METHODS[i].method) == 0) continue;
        const char *head = METHODS[i].method == HTTP_GET ? ", HEAD" : "";
        used += (size_t)snprintf(allow + used, sizeof request->refusal.allow - used, "%s%s%s",
                                 used == 0 ? "" : ", ", METHODS[i].name, head);
        assert(used < sizeof request->refusal.allow);
    }
}

static void
deny(struct http_request *request, const struct http_denial *denial)
{
    http_refuse(request, denial->status, false, denial->text);
    request->refusal.json = false; /* the form would tell which paths there are */
    request->refusal.challenge = denial->challenge;
}

/* Asks the gate. False: it decides later. */
static bool
judge_sender(struct http_request *request)
{
    const struct http_gate *gate = &request->server->options.gate;
    struct http_denial denial = {0};
    if (gate->judge == NULL) return true;
    atomic_fetch_add_explicit(&request->server->held, 1, memory_order_seq_cst);
    request->state = HTTP_REQUEST_JUDGED; /* without the lock: request invariant 1 */
    enum http_entry entry = gate->judge(gate->context, request, &denial);
    if (entry == HTTP_ENTRY_LATER) return false;
    request->state = HTTP_REQUEST_READING;
    atomic_fetch_sub_explicit(&request->server->held, 1, memory_order_seq_cst);
    request->awaits_body = entry == HTTP_ENTRY_BODY;
    request->is_anyones = entry == HTTP_ENTRY_ANYONE;
    assert(!request->is_anyones || request->sender == NULL); /* request invariant 8 */
    if (entry == HTTP_ENTRY_OPEN)
        atomic_store_explicit(&request->conn->is_let_in, true, memory_order_relaxed);
    if (entry == HTTP_ENTRY_DENIED) deny(request, &denial);
    if (request->awaits_body && is_too_large(request))
        http_refuse(request, 413, true, "request body too large");
    return true;
}

void
http_entry_decide(struct http_request *request, const struct http_denial *denial)
{
    struct http_server *server = request->server;
    lock_take(request->lock);
    assert(request->state == HTTP_REQUEST_JUDGED);
    if (denial != NULL) deny(request, denial);
    request->state = HTTP_REQUEST_READING;
    http_request_resume_locked(request);
    lock_drop(request->lock);
    atomic_fetch_sub_explicit(&server->held, 1, memory_order_seq_cst); /* the last act */
}

void
http_request_judge_body(struct http_request *request)
{
    const struct http_gate *gate = &request->server->options.gate;
    struct buf *body = &request->body;
    struct http_denial denial = {0};
    if (!request->awaits_body || request->refusal.status != 0) return;
    assert(body->budget == http_unverified(request->server)); /* request invariant 7 */
    enum http_entry entry = gate->judge_body(gate->context, request, &denial);
    assert(entry == HTTP_ENTRY_OPEN || entry == HTTP_ENTRY_DENIED);
    if (entry == HTTP_ENTRY_DENIED) {
        deny(request, &denial);
        /* As if it had been denied before its body, so that the answer does not say when it was. */
        request->refusal.close = !http_body_is_short(request, body->size);
        return;
    }
    request->awaits_body = false;
    budget_move_up(body->budget, body->capacity, request->server->options.budget);
    body->budget = request->server->options.budget;
    http_request_judge_route(request);
}

void
http_request_judge_route(struct http_request *request)
{
    unsigned methods = request->methods;
    const struct http_head *h = &request->head;
    if (!request->is_anyones) http_head_charge(&request->head, request->server->options.budget);
    const char *encoding = h->encoding == NULL ? "" : h->encoding;
    const char *decoded = request->route == NULL ? NULL : request->route->encodings;
    if (decoded == NULL) decoded = "";
    bool plain = encoding[0] == '\0' || strcasecmp(encoding, "identity") == 0;
    if (h->location.size > 0) {
        /* The path has empty or dot segments. Most clients repeat a POST that gets 301 as a GET
         * without its body: a sender's samples would be refused for good then (405). 308 redirects,
         * too, and keeps the method. */
        http_refuse(request, request->method == HTTP_GET ? 301 : 308, false,
                    "the path is redirected to its clean form");
        request->refusal.json = false;
    } else if (methods == 0 || (request->route == NULL && methods == HTTP_OPTIONS)) {
        http_refuse(request, 404, false, "404 page not found"); /* clients look for these words */
    } else if (request->route == NULL) {
        refuse_method(request, methods);
    } else if (h->bad_query) {
        http_refuse(request, 400, true, "malformed request target");
    } else if (is_too_large(request)) {
        http_refuse(request, 413, true, "request body too large");
    } else if (!plain && !http_list_has(decoded, "*") && !http_list_has(decoded, encoding)) {
        http_refuse(request, 415, false, "content encoding not supported");
    }
}

bool
http_request_judge(struct http_request *request)
{
    const struct http_head *h = &request->head;
    unsigned bit = 0;
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++)
        if (strcmp(h->method, METHODS[i].name) == 0) bit = METHODS[i].method;
    if (request->is_head) bit = HTTP_GET;
    request->method = (enum http_method)bit;
    request->route = route_find(request->server, request, h->path, bit, &request->methods);
    judge_framing(request);
    if (request->refusal.status == 0 && !judge_sender(request)) return false;
    if (request->refusal.status == 0 && !request->awaits_body) http_request_judge_route(request);
    return true;
}

void
http_note_status(const struct http_request *request, unsigned status)
{
    const struct http_gate *gate = &request->server->options.gate;
    if (gate->answered != NULL) gate->answered(gate->context, request, status);
}

struct http_response *
http_refusal_response(const struct http_request *request)
{
    const struct http_refusal *refusal = &request->refusal;
    char text[160];
    if (request->sender != NULL) http_note_status(request, refusal->status);
    int size =
        snprintf(text, sizeof text, refusal->json ? HTTP_REFUSAL_JSON : "%s\n", refusal->text);
    assert(size >= 0 && (size_t)size < sizeof text);
    struct http_answer answer = {
        .status = refusal->status,
        .content_type = refusal->json ? HTTP_TYPE_JSON : HTTP_TYPE_TEXT,
        .body = bytes_of(text, (size_t)size),
    };
    size_t count = 0;
    if (refusal->allow[0] != '\0')
        answer.headers[count++] = (struct http_answer_header){"Allow", refusal->allow};
    if (refusal->challenge != NULL) {
        answer.headers[count++] =
            (struct http_answer_header){"WWW-Authenticate", refusal->challenge};
    }
    if (refusal->status == 503 || refusal->status == 429)
        answer.headers[count++] = (struct http_answer_header){"Retry-After", HTTP_RETRY_AFTER};
    if (refusal->status == 301 || refusal->status == 308) {
        answer.headers[count++] =
            (struct http_answer_header){"Location", (const char *)request->head.location.at};
    }
    if (refusal->close)
        answer.headers[count++] = (struct http_answer_header){"Connection", "close"};
    return http_response_new(request, &answer);
}

/* --- the hand-over ---------------------------------------------------------------------------- */

struct http_request *
http_request_new(struct http_conn *conn)
{
    struct http_request *request = mem_new(conn->server->options.budget, sizeof *request);
    if (request == NULL) return NULL;
    request->server = conn->server;
    request->conn = conn;
    request->listener = conn->listener;
    request->peer_address = conn->peer_address;
    request->began_ns = conn->began_ns;
    memcpy(request->peer, conn->peer, sizeof request->peer);
    request->lock = &request->own_lock;
    lock_init(request->lock, LOCK_RANK_HTTP);
    request->state = HTTP_REQUEST_READING;
    request->link = HTTP_LINK_ATTACHED;
    return request;
}

bool
http_give(struct http_request *request)
{
    struct http_server *server = request->server;
    assert(request->state == HTTP_REQUEST_READING);
    assert(request->link == HTTP_LINK_ATTACHED);
    assert(request->route != NULL);
    assert(request->refusal.status == 0);
    assert(!request->is_anyones || request->body.size == 0); /* request invariant 8 */
    atomic_fetch_add_explicit(&server->held, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&server->closing, memory_order_seq_cst)) {
        atomic_fetch_sub_explicit(&server->held, 1, memory_order_seq_cst);
        return false;
    }
    request->state = HTTP_REQUEST_HELD; /* without the lock: request invariant 1 */
    atomic_fetch_add_explicit(&server->busy, 1, memory_order_acq_rel);
    request->route->handler(request->route->context, request);
    return true;
}
