/*
 * http_conn.c - the workers: each waits for events of its connections (epoll, edge-triggered),
 * reads requests, and sends answers. A worker never waits for a client.
 *
 *   HEAD --head is whole--> BODY --body is whole--> WAIT --answered--> SEND --sent--> HEAD
 *    ^ |  (by JUDGE, if the   |                                          ^        or the end
 *    | |  gate decides later) |                                          |
 *    | +---- no memory -------+------------- refused --------------------+
 *    |
 *   HANDSHAKE, with TLS
 *
 * A connection takes no memory between requests but its own struct: a head grows in a buffer as it
 * arrives, which the request then takes over; a body grows in the request. All reads go into the
 * worker's scratch buffer. A connection that could read or send more than a turn allows is put on
 * the list of due connections, so that others have their turn.
 *
 * A request is shared by its connection (enum http_link) and its holder (enum http_request_state).
 * The holder leaves the answer in the request and wakes the connection if the request is SUSPENDED,
 * both under the request's lock. So a connection is on the stack of woken ones at most once. It is
 * not freed while it may get there: in WAIT it is never closed, and one that closes in SEND
 * detaches its request first, and then takes the stack (conn_close()).
 *
 * The invariants are those of enum http_step, in http_private.h.
 */
#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/http_private.h"

#define LOG_NS (60 * NS_PER_S)

enum {
    EVENTS_AT_ONCE = 128,
    TURN_BYTES = 256 * 1024,   /* read or sent, before others have their turn */
    TLS_HANDSHAKE_RECORD = 22, /* RFC 8446, 5.1: the first byte of a client */
};

/* --- lists ------------------------------------------------------------------------------------ */

static void
due_add(struct http_conn *conn)
{
    struct http_worker *w = conn->worker;
    if (conn->is_due) return;
    conn->is_due = true;
    conn->next_due = NULL;
    *w->due_end = conn;
    w->due_end = &conn->next_due;
}

static void
due_remove(struct http_conn *conn)
{
    struct http_worker *w = conn->worker;
    struct http_conn **place = &w->due_first;
    if (!conn->is_due) return;
    while (*place != conn) {
        assert(*place != NULL); /* step invariant 6 */
        place = &(*place)->next_due;
    }
    *place = conn->next_due;
    if (w->due_end == &conn->next_due) w->due_end = place;
    conn->is_due = false;
}

void
http_conn_wake(struct http_conn *conn)
{
    struct http_worker *w = conn->worker;
    struct http_conn *first = atomic_load_explicit(&w->woken, memory_order_relaxed);
    do {
        conn->next_woken = first;
    } while (!atomic_compare_exchange_weak_explicit(&w->woken, &first, conn, memory_order_release,
                                                    memory_order_relaxed));
    if (first == NULL) (void)!eventfd_write(w->wake_fd, 1);
}

/* Makes the woken connections due, the first to be woken first. After this a connection is on the
 * stack only if its request was SUSPENDED meanwhile: other requests may be suspended again, and
 * their connections closed. */
static void
take_woken(struct http_worker *w)
{
    if (atomic_load_explicit(&w->woken, memory_order_relaxed) == NULL) return;
    struct http_conn *conn = atomic_exchange_explicit(&w->woken, NULL, memory_order_acquire);
    struct http_conn *in_order = NULL;
    while (conn != NULL) {
        struct http_conn *next = conn->next_woken;
        conn->next_woken = in_order;
        in_order = conn;
        conn = next;
    }
    for (; in_order != NULL; in_order = in_order->next_woken)
        due_add(in_order);
}

/* --- steps ------------------------------------------------------------------------------------ */

/* Follows an arrow of the diagram. */
static void
enter_step(struct http_conn *conn, enum http_step step)
{
    enum http_step from = conn->step;
    switch (step) {
    case HTTP_STEP_HANDSHAKE: /* is the first */
        assert(false);
        break;
    case HTTP_STEP_HEAD:
        assert(from == HTTP_STEP_SEND || from == HTTP_STEP_HANDSHAKE);
        assert(conn->request == NULL);  /* step invariant 1 */
        assert(conn->response == NULL); /* step invariant 1 */
        assert(conn->keeps || from == HTTP_STEP_HANDSHAKE);
        assert(!conn->linger); /* step invariant 5 */
        break;
    case HTTP_STEP_JUDGE:
        assert(from == HTTP_STEP_BODY);
        break;
    case HTTP_STEP_BODY:
        assert(from == HTTP_STEP_HEAD || from == HTTP_STEP_JUDGE);
        assert(conn->request != NULL);  /* step invariant 1 */
        assert(conn->response == NULL); /* step invariant 1 */
        break;
    case HTTP_STEP_WAIT:
        assert(from == HTTP_STEP_BODY);
        assert(conn->response == NULL);
        break;
    case HTTP_STEP_SEND:
        assert(from != HTTP_STEP_SEND);
        assert(conn->response != NULL || !conn->keeps); /* step invariant 3 */
        assert(!conn->linger || !conn->keeps);          /* step invariant 5 */
        break;
    }
    conn->step = step;
}

/* --- bytes to the client ---------------------------------------------------------------------- */

static void
add_part(struct iovec *parts, size_t *count, const void *at, size_t size)
{
    union {
        const void *from;
        void *to;
    } base = {.from = at}; /* sendmsg() does not write there */
    if (size == 0) return;
    parts[(*count)++] = (struct iovec){.iov_base = base.to, .iov_len = size};
}

/* Sends some of the bytes. Returns the number; 0: the socket takes none now; -1: none any more. */
static ssize_t
send_parts(struct http_conn *conn, struct iovec *parts, size_t count)
{
    if (conn->listener->has_tls) { /* step invariant 9 */
        size_t size = 0;
        enum tls_progress p = tls_send(conn->tls, parts, count, conn->worker->scratch, &size);
        return p == TLS_DONE ? (ssize_t)size : p == TLS_AGAIN ? 0 : -1;
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    for (;;) {
        ssize_t sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) return sent;
        if (errno != EINTR) return errno == EAGAIN ? 0 : -1;
    }
}

/* Sends a short text for which no request has a response. The socket's buffer is empty, unless the
 * client has not read the previous answer. */
static ssize_t
send_text(struct http_conn *conn, struct bytes text)
{
    struct iovec part;
    size_t count = 0;
    add_part(&part, &count, text.at, text.size);
    return send_parts(conn, &part, count);
}

static void
send_raw(struct http_conn *conn, enum http_raw what)
{
    char text[HTTP_RAW_BYTES];
    (void)!send_text(conn, http_raw_answer(what, text));
}

/* --- end of a connection ---------------------------------------------------------------------- */

/* Takes the request away from the connection; a producer that streams its answer keeps it. The
 * invariants are those of struct http_request. */
static void
detach(struct http_conn *conn)
{
    struct http_request *request = conn->request;
    conn->request = NULL;
    if (request == NULL) return;
    lock_take(request->lock);
    assert(request->conn == conn);
    assert(request->link != HTTP_LINK_DETACHED);
    assert(request->state != HTTP_REQUEST_HELD);   /* request invariant 2 */
    assert(request->state != HTTP_REQUEST_JUDGED); /* request invariant 2 */
    request->link = HTTP_LINK_DETACHED;
    bool held = request->state == HTTP_REQUEST_STREAMING;
    if (request->stream.ring != NULL) cond_wake_all(&request->stream.room);
    lock_drop(request->lock);
    if (!held) http_request_free(request);
}

static void
conn_close(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    assert(conn->step != HTTP_STEP_WAIT && conn->step != HTTP_STEP_JUDGE); /* step invariant 2 */
    uint64_t word = atomic_load_explicit(&conn->clock, memory_order_acquire);
    bool is_cut = http_clock_phase(word) == HTTP_PHASE_CUT;
    bool linger = conn->linger && !is_cut;
    if (conn->tls != NULL && is_cut &&
        (conn->step == HTTP_STEP_BODY || (conn->step == HTTP_STEP_HEAD && conn->in.size > 0)))
        send_raw(conn, HTTP_RAW_LATE);
    detach(conn);
    take_woken(conn->worker);
    due_remove(conn);
    if (conn->tls != NULL) tls_end(conn->tls);
    if (linger) (void)shutdown(conn->fd, SHUT_WR);

    lock_take(&server->lock);
    http_conn_unlist_locked(conn);
    assert(server->parted_count <= HTTP_PARTINGS_MAX);
    bool parts = linger && server->parted_count < HTTP_PARTINGS_MAX;
    if (parts) {
        (void)epoll_ctl(conn->worker->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
        server->parted_fds[server->parted_count++] = conn->fd;
    }
    lock_drop(&server->lock);

    if (parts)
        http_watch_wake(server);
    else
        close(conn->fd);
    assert(conn->request == NULL);
    assert(!conn->is_due); /* step invariant 6 */
    buf_fini(&conn->in);
    buf_fini(&conn->ahead);
    http_response_free(conn->response);
    tls_session_free(conn->tls);
    mem_free(conn->server->options.budget, conn, sizeof *conn);
}

/* --- sending ---------------------------------------------------------------------------------- */

/* The response is taken; NULL: there was not enough memory for it. */
static void
begin_answer(struct http_conn *conn, struct http_response *response)
{
    struct http_server *server = conn->server;
    assert(conn->response == NULL); /* step invariant 1 */
    /* A connection that was cut is answered with 503, by the watch thread if it has no TLS: the
     * client would take another answer for that of its next request. */
    bool is_cut = !http_conn_enter(conn, HTTP_PHASE_SEND);
    if (is_cut || response == NULL) {
        conn->keeps = false;
        conn->linger = true;
        http_response_free(response);
        if (!is_cut) send_raw(conn, HTTP_RAW_NO_MEMORY);
        if (is_cut && conn->tls != NULL) send_raw(conn, HTTP_RAW_LATE);
        if (!is_cut) http_count(&server->requests_by_class[5]);
        enter_step(conn, HTTP_STEP_SEND);
        return;
    }
    conn->response = response;
    conn->keeps = conn->keeps && !response->closes;
    conn->head_sent = conn->body_sent = 0;
    conn->frame_size = conn->frame_sent = conn->chunk_left = 0;
    conn->chunking = HTTP_CHUNKING_NONE;
    http_count(&server->requests_by_class[response->status / 100]);
    enter_step(conn, HTTP_STEP_SEND);
}

/* Makes the line before the bytes of the next chunk, with the end of the one before. */
static void
begin_chunk(struct http_conn *conn, size_t size)
{
    assert(conn->chunking != HTTP_CHUNKING_ENDED);
    assert(conn->chunk_left == 0);                /* step invariant 7 */
    assert(conn->frame_sent == conn->frame_size); /* step invariant 7 */
    bool is_first = conn->chunking == HTTP_CHUNKING_NONE;
    int written = snprintf(conn->frame, sizeof conn->frame, "%s%zx\r\n%s", is_first ? "" : "\r\n",
                           size, size == 0 ? "\r\n" : "");
    assert(written > 0 && (size_t)written < sizeof conn->frame);
    conn->frame_size = (size_t)written;
    conn->frame_sent = 0;
    conn->chunk_left = size;
    conn->chunking = size == 0 ? HTTP_CHUNKING_ENDED : HTTP_CHUNKING_BEGUN;
}

/* Adds the next piece of a stream, after its frame. `*ret_over`: the stream has ended. */
static enum http_stream_state
add_stream(struct http_conn *conn, struct iovec *parts, size_t *count, bool *ret_over)
{
    const struct http_response *r = conn->response;
    struct bytes pieces[2];
    take_woken(conn->worker);
    enum http_stream_state state = http_stream_look(conn->request, pieces);
    size_t left = pieces[0].size + pieces[1].size;
    if (state == HTTP_STREAM_ABORTED) return state;
    if (r->chunked && conn->chunk_left == 0 && conn->chunking != HTTP_CHUNKING_ENDED) {
        if (state == HTTP_STREAM_MORE) begin_chunk(conn, left);
        if (state == HTTP_STREAM_END) begin_chunk(conn, 0);
    }
    if (r->chunked) {
        add_part(parts, count, conn->frame + conn->frame_sent, conn->frame_size - conn->frame_sent);
        if (left > conn->chunk_left) left = conn->chunk_left;
    }
    size_t first = pieces[0].size < left ? pieces[0].size : left;
    add_part(parts, count, pieces[0].at, first);
    add_part(parts, count, pieces[1].at, left - first);
    *ret_over = state == HTTP_STREAM_END;
    return state;
}

/* Notes how much of the bytes that wait to be sent the kernel took. */
static void
account(struct http_conn *conn, size_t sent)
{
    const struct http_response *r = conn->response;
    size_t part = r->head.size - conn->head_sent;
    if (part > sent) part = sent;
    conn->head_sent += part;
    sent -= part;
    part = r->has_body ? r->body.size - conn->body_sent : 0;
    if (part > sent) part = sent;
    conn->body_sent += part;
    sent -= part;
    part = conn->frame_size - conn->frame_sent;
    if (part > sent) part = sent;
    conn->frame_sent += part;
    sent -= part;
    if (sent == 0) return;
    assert(r->streams);
    if (r->chunked) {
        assert(sent <= conn->chunk_left); /* step invariant 7 */
        conn->chunk_left -= sent;
    }
    http_stream_consume(conn->request, sent);
}

enum conn_sent { SENT_ALL, SENT_LATER, SENT_NEVER };

/* Sends all that is there, as far as the socket takes it. */
static enum conn_sent
send_some(struct http_conn *conn)
{
    for (size_t turn = 0; turn < TURN_BYTES;) {
        const struct http_response *r = conn->response;
        struct iovec parts[5];
        size_t count = 0, wanted = 0;
        bool over = !r->streams;
        enum http_stream_state state = HTTP_STREAM_END;
        add_part(parts, &count, r->head.at + conn->head_sent, r->head.size - conn->head_sent);
        if (r->has_body && r->body.size > conn->body_sent)
            add_part(parts, &count, r->body.at + conn->body_sent, r->body.size - conn->body_sent);
        if (r->streams) state = add_stream(conn, parts, &count, &over);
        if (state == HTTP_STREAM_ABORTED) {
            /* The peer has to see an error: to a client of HTTP/1.0 the end of the connection is
             * the end of the answer. Dissolving a TCP association sends RST. */
            struct sockaddr nobody = {.sa_family = AF_UNSPEC};
            (void)!connect(conn->fd, &nobody, sizeof nobody);
            return SENT_NEVER;
        }
        if (count == 0) return over ? SENT_ALL : SENT_LATER;
        for (size_t i = 0; i < count; i++)
            wanted += parts[i].iov_len;
        ssize_t sent = send_parts(conn, parts, count);
        if (sent <= 0) return sent == 0 ? SENT_LATER : SENT_NEVER;
        account(conn, (size_t)sent);
        turn += (size_t)sent;
        if ((size_t)sent == wanted && over) return SENT_ALL;
    }
    due_add(conn);
    return SENT_LATER;
}

/* --- TLS -------------------------------------------------------------------------------------- */

/* Returns the TLS that is in force, which the caller releases; notes that the connection knows it.
 */
static struct tls *
current_tls(struct http_conn *conn)
{
    lock_take(&conn->server->lock);
    struct tls *tls = tls_hold(conn->listener->tls);
    conn->tls_changes = atomic_load_explicit(&conn->listener->tls_changes, memory_order_acquire);
    lock_drop(&conn->server->lock);
    return tls;
}

static void
log_failed_handshake(struct http_conn *conn, const struct why *why)
{
    static struct log_gate gate;
    uint64_t held_back;
    if (!log_often(&gate, env_monotonic_ns(conn->server->options.env), LOG_NS, &held_back)) return;
    log_warn("http: a TLS handshake failed", KV("peer", conn->peer), KV("error", why->text),
             KV("more_held_back", held_back));
}

/* Goes on with the handshake. False: it waits for the client. */
static bool
shake_hands(struct http_conn *conn)
{
    struct why why = {"not enough memory"};
    uint8_t first = 0;
    assert(conn->listener->has_tls && conn->step == HTTP_STEP_HANDSHAKE);
    /* A method begins with a letter, and no record of TLS does. */
    ssize_t seen = conn->tls == NULL ? recv(conn->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) : 1;
    if (seen < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (first >= 'A' && first <= 'Z') {
        /* a client that speaks HTTP where TLS is expected */
        enter_step(conn, HTTP_STEP_HEAD);
        http_send_raw(conn->fd, HTTP_RAW_NOT_TLS);
        http_count(&conn->server->handshakes_failed);
        conn->keeps = false;
        conn->linger = true;
        conn->ended = true;
        return true;
    }
    if (conn->tls == NULL) {
        struct tls *tls = current_tls(conn);
        conn->tls = tls_session_new(tls, conn->fd);
        tls_release(tls);
    }
    enum tls_progress p = conn->tls == NULL ? TLS_ENDED : tls_handshake(conn->tls, &why);
    if (p == TLS_AGAIN) return false;
    http_count(p == TLS_DONE ? &conn->server->handshakes : &conn->server->handshakes_failed);
    if (p == TLS_ENDED) log_failed_handshake(conn, &why);
    conn->ended = p == TLS_ENDED;
    enter_step(conn, HTTP_STEP_HEAD);
    conn->readable = true; /* what followed the handshake may have been read with it */
    return true;
}

/* Says whether the session still may send requests: see tls_session_fits(). */
static bool
http_conn_may_go_on(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    int64_t now_s = env_realtime_ms(server->options.env) / 1000;
    unsigned changes = atomic_load_explicit(&conn->listener->tls_changes, memory_order_acquire);
    if (changes == conn->tls_changes) return tls_session_lasts(conn->tls, now_s);
    struct tls *tls = current_tls(conn);
    bool fits = tls_session_fits(conn->tls, tls, now_s);
    tls_release(tls);
    return fits;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Refuses a request before all of it has arrived: the rest is thrown away. */
static void
break_off(struct http_conn *conn)
{
    conn->linger = true;
    conn->keeps = false;
    conn->request->refusal.close = true;
    begin_answer(conn, http_refusal_response(conn->request));
}

static void
on_complete(struct http_conn *conn)
{
    struct http_request *request = conn->request;
    struct http_response *response = NULL;
    http_request_judge_body(request);
    if (request->refusal.status != 0) {
        begin_answer(conn, http_refusal_response(request));
        return;
    }
    if (!http_conn_enter(conn, HTTP_PHASE_HANDLER) || !http_give(request)) {
        conn->ended = true; /* turn() closes it */
        return;
    }
    take_woken(conn->worker);
    lock_take(request->lock);
    bool answered = request->state != HTTP_REQUEST_HELD;
    response = request->response;
    request->response = NULL;
    if (!answered) http_request_suspend_locked(request);
    lock_drop(request->lock);
    enter_step(conn, HTTP_STEP_WAIT);
    if (answered) begin_answer(conn, response);
}

/* NULL: there was not enough memory for a request, which is answered 503. */
static struct http_request *
begin_request(struct http_conn *conn)
{
    http_count(&conn->server->requests_total);
    struct http_request *request = conn->request = http_request_new(conn);
    if (request == NULL) {
        begin_answer(conn, NULL);
        return NULL;
    }
    enter_step(conn, HTTP_STEP_BODY);
    /* Also where the rest of the head cannot be read. */
    request->is_head = conn->in.size > 5 && memcmp(conn->in.at, "HEAD ", 5) == 0;
    return request;
}

/* The request is judged: its body is read, or it is refused. */
static void
begin_body(struct http_conn *conn)
{
    struct http_request *request = conn->request;
    struct http_head *h = &request->head;
    http_request_init_body(request);
    /* There was not enough memory for bytes that came while the gate decided. */
    if (conn->linger && request->refusal.status == 0)
        http_refuse(request, 503, true, "not enough memory for this request, retry later");
    /* They are of no use then: the audit log has those of known senders only. */
    if (request->is_anyones || (request->refusal.status != 0 && request->sender == NULL))
        buf_fini(&h->arguments);
    bool soon = http_body_is_short(request, h->length);
    if (request->refusal.status != 0 && (!soon || request->refusal.close)) {
        break_off(conn);
    } else if (!h->chunked && h->length == 0) {
        on_complete(conn);
    } else if (h->expects) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        /* A client that gets nothing sends its body after a while. */
        ssize_t sent = send_text(conn, bytes_of_text(go_on));
        if (sent > 0 && (size_t)sent < sizeof go_on - 1) conn->ended = true;
    }
}

/* Takes the decision of the gate. False: it has not decided. */
static bool
take_decision(struct http_conn *conn)
{
    struct http_request *request = conn->request;
    lock_take(request->lock);
    bool is_decided = request->state == HTTP_REQUEST_READING;
    lock_drop(request->lock);
    if (!is_decided) return false;
    enter_step(conn, HTTP_STEP_BODY);
    if (!http_conn_enter(conn, HTTP_PHASE_BODY)) {
        conn->ended = true;
        return true;
    }
    if (request->refusal.status == 0) http_request_judge_route(request);
    begin_body(conn);
    return true;
}

/* The gate decides later, or has decided meanwhile. */
static void
await_decision(struct http_conn *conn)
{
    struct http_request *request = conn->request;
    (void)http_conn_enter(conn, HTTP_PHASE_HANDLER); /* if it was cut, the decision ends it */
    enter_step(conn, HTTP_STEP_JUDGE);
    take_woken(conn->worker);
    lock_take(request->lock);
    bool is_decided = request->state == HTTP_REQUEST_READING;
    if (!is_decided) http_request_suspend_locked(request);
    lock_drop(request->lock);
    if (is_decided) due_add(conn);
}

/* The request's head is whole, in `in`. */
static void
on_head(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    if (!http_conn_enter(conn, HTTP_PHASE_BODY) ||
        (conn->tls != NULL && !http_conn_may_go_on(conn))) {
        conn->ended = true;
        return;
    }
    struct http_request *request = begin_request(conn);
    if (request == NULL) return;
    struct http_head *h = &request->head;
    http_head_init(h, conn->in.budget, server->options.header_bytes_max);
    h->text = conn->in;
    conn->in = (struct buf){.at = NULL};
    const char *why = NULL;
    unsigned status = http_head_parse(h, &why);
    conn->keeps = h->keeps;
    if (status != 0) {
        http_refuse(request, status, true, why);
        request->refusal.json = http_errors_in_json(server, bytes_of_text(h->path));
        break_off(conn);
        return;
    }
    if (http_request_judge(request))
        begin_body(conn);
    else
        await_decision(conn);
}

/* Finds the target in a head that is incomplete or malformed, for the form of its refusal. */
static struct bytes
target_of(struct bytes head)
{
    const uint8_t *at = head.size == 0 ? NULL : memchr(head.at, ' ', head.size);
    return at == NULL ? bytes_of("", 0) : bytes_of(at + 1, head.size - (size_t)(at + 1 - head.at));
}

static void
refuse_head(struct http_conn *conn, unsigned status, const char *text)
{
    struct http_request *request = begin_request(conn);
    if (request == NULL) return;
    http_refuse(request, status, true, text);
    request->refusal.json = http_errors_in_json(conn->server, target_of(buf_bytes(&conn->in)));
    break_off(conn);
}

/* Charges a head that is long to the budget of what is not verified. False: it is used up. */
static bool
charge_long_head(struct http_conn *conn)
{
    struct budget *from = conn->in.budget, *to = http_unverified(conn->server);
    if (from == to) return true;
    if (budget_take(to, conn->in.capacity) != OK) return false;
    budget_give(from, conn->in.capacity);
    conn->in.budget = to;
    return true;
}

/* Takes bytes of a head. Empty lines before it are skipped, as RFC 9112 wants it. */
static void
feed_head(struct http_conn *conn, struct bytes *from)
{
    struct http_server *server = conn->server;
    while (conn->in.size == 0 && from->size > 0 && (from->at[0] == '\r' || from->at[0] == '\n'))
        *from = bytes_of(from->at + 1, from->size - 1);
    if (from->size == 0) return;
    if (conn->in.size == 0) {
        uint64_t word = atomic_load_explicit(&conn->clock, memory_order_acquire);
        conn->began_ns = env_monotonic_ns(server->options.env);
        conn->scanned = 0;
        buf_init(&conn->in, server->options.budget, server->options.header_bytes_max + 1);
        if (http_clock_phase(word) == HTTP_PHASE_IDLE)
            (void)http_conn_enter(conn, HTTP_PHASE_HEADER);
        if (conn->tls == NULL && from->at[0] == TLS_HANDSHAKE_RECORD) { /* a method has letters */
            const struct why why = {"the client speaks HTTPS, and this address speaks HTTP"};
            log_failed_handshake(conn, &why);
            refuse_head(conn, 400, why.text);
            return;
        }
    }
    size_t room = server->options.header_bytes_max - conn->in.size;
    size_t taken = from->size < room ? from->size : room;
    if (taken > HTTP_HEAD_PIECE_BYTES) taken = HTTP_HEAD_PIECE_BYTES;
    bool is_long = conn->in.size + taken > HTTP_SHORT_HEAD_BYTES;
    bool has_room = !is_long || charge_long_head(conn);
    if (has_room) buf_put(&conn->in, from->at, taken);
    if (!has_room || buf_error(&conn->in)) {
        refuse_head(conn, 503, "not enough memory");
        return;
    }
    size_t end = http_head_end(buf_bytes(&conn->in), &conn->scanned);
    assert(end <= conn->in.size);
    if (end > 0) {
        assert(taken >= conn->in.size - end); /* the end is among the bytes taken now */
        taken -= conn->in.size - end;
    }
    *from = bytes_of(from->at + taken, from->size - taken);
    if (end > 0) {
        conn->in.size = end;
        on_head(conn);
    } else if (from->size > 0 && conn->in.size == server->options.header_bytes_max) {
        bool line = memchr(conn->in.at, '\n', conn->in.size) != NULL;
        refuse_head(conn, line ? 431 : 414,
                    line ? "request header too large" : "request target too long");
    }
}

/* Adds a piece to the body. False: the request was refused for it. */
static bool
keep_body(struct http_conn *conn, struct bytes piece)
{
    struct http_request *request = conn->request;
    atomic_fetch_add_explicit(&conn->server->body_bytes, piece.size, memory_order_relaxed);
    if (request->refusal.status != 0 || request->is_anyones) return true;
    buf_put_bytes(&request->body, piece);
    if (buf_error(&request->body) == OK) return true;
    if (buf_error(&request->body) == ERR_LIMIT)
        http_refuse(request, 413, true, "request body too large");
    else
        http_refuse(request, 503, true, "not enough memory for this request, retry later");
    break_off(conn);
    return false;
}

static void
feed_body(struct http_conn *conn, struct bytes *from)
{
    struct http_request *request = conn->request;
    struct http_head *h = &request->head;
    if (!h->chunked) {
        size_t size = from->size < h->length ? from->size : (size_t)h->length;
        struct bytes piece = bytes_of(from->at, size);
        *from = bytes_of(from->at + size, from->size - size);
        h->length -= size;
        if (keep_body(conn, piece) && h->length == 0) on_complete(conn);
        return;
    }
    while (from->size > 0 && request->chunks.at != HTTP_CHUNK_DONE) {
        struct bytes piece;
        if (http_chunks_take(&request->chunks, from, &piece) != OK) {
            http_refuse(request, 400, true, "malformed chunk of the request body");
            break_off(conn);
            return;
        }
        if (piece.size > 0 && !keep_body(conn, piece)) return;
    }
    if (request->chunks.at == HTTP_CHUNK_DONE) on_complete(conn);
}

static void
feed(struct http_conn *conn, struct bytes from)
{
    while (from.size > 0 && !conn->ended &&
           (conn->step == HTTP_STEP_HEAD || conn->step == HTTP_STEP_BODY))
        if (conn->step == HTTP_STEP_HEAD)
            feed_head(conn, &from);
        else
            feed_body(conn, &from);
    if (from.size == 0 || conn->ended) return;
    if (conn->linger) return;      /* no request follows */
    assert(conn->ahead.size == 0); /* step invariant 4 */
    buf_init(&conn->ahead, http_unverified(conn->server), HTTP_READ_BYTES);
    buf_put_bytes(&conn->ahead, from);
    if (buf_error(&conn->ahead) == OK) return;
    buf_fini(&conn->ahead);
    conn->keeps = false; /* the client sends again on another connection */
    conn->linger = true;
}

enum conn_received { RECEIVED_SOME, RECEIVED_NOTHING, RECEIVED_END };

/* Receives one record: an end that follows a request shows when the next one is read. Before the
 * end of a connection that was cut, an answer can be sent. */
static enum conn_received
receive_tls(struct http_conn *conn, size_t *ret_size)
{
    uint64_t word = atomic_load_explicit(&conn->clock, memory_order_acquire);
    if (http_clock_phase(word) == HTTP_PHASE_CUT) return RECEIVED_END;
    enum tls_progress p = tls_receive(conn->tls, conn->worker->scratch, HTTP_READ_BYTES, ret_size);
    switch (p) {
    case TLS_DONE:
        return RECEIVED_SOME;
    case TLS_AGAIN:
        conn->readable = false;
        return RECEIVED_NOTHING;
    case TLS_ENDED:
        break;
    }
    return RECEIVED_END;
}

/* Receives bytes into the worker's buffer. */
static enum conn_received
receive(struct http_conn *conn, size_t *ret_size)
{
    ssize_t got;
    if (conn->listener->has_tls) return receive_tls(conn, ret_size); /* step invariant 9 */
    do {
        got = recv(conn->fd, conn->worker->scratch, HTTP_READ_BYTES, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) conn->readable = false;
    if (got <= 0) return got < 0 && errno == EAGAIN ? RECEIVED_NOTHING : RECEIVED_END;
    /* Later bytes make an event, and so does an end that no event has reported. */
    if (got < HTTP_READ_BYTES && !conn->hung_up) conn->readable = false;
    *ret_size = (size_t)got;
    return RECEIVED_SOME;
}

/* Returns false if there is nothing to read now. */
static bool
read_some(struct http_conn *conn)
{
    if (conn->ahead.size > 0) {
        struct buf ahead = conn->ahead;
        conn->ahead = (struct buf){.at = NULL};
        feed(conn, buf_bytes(&ahead));
        buf_fini(&ahead);
        return true;
    }
    if (!conn->readable) return false;
    size_t size = 0;
    enum conn_received received = receive(conn, &size);
    if (received == RECEIVED_END) conn->ended = true;
    if (received == RECEIVED_SOME) feed(conn, bytes_of(conn->worker->scratch, size));
    return received != RECEIVED_NOTHING;
}

/* --- turns ------------------------------------------------------------------------------------ */

/* Takes the answer that was left in the request. False: it is not answered. */
static bool
take_answer(struct http_conn *conn)
{
    struct http_request *request = conn->request;
    lock_take(request->lock);
    assert(request->state != HTTP_REQUEST_READING); /* request invariant 2 */
    bool answered = request->state != HTTP_REQUEST_HELD;
    struct http_response *response = request->response;
    request->response = NULL;
    lock_drop(request->lock);
    if (answered) begin_answer(conn, response);
    return answered;
}

/* True if bytes have arrived that no request will read. */
static bool
has_unread(const struct http_conn *conn)
{
    int unread = 0;
    (void)!ioctl(conn->fd, SIOCINQ, &unread);
    return unread > 0 || (conn->tls != NULL && tls_has_unread(conn->tls));
}

/* Goes on until it has nothing to do, or others should have their turn. */
static void
turn(struct http_conn *conn)
{
    for (unsigned reads = 0;;) {
        if (conn->step == HTTP_STEP_HANDSHAKE) {
            if (!shake_hands(conn)) return;
        } else if (conn->step == HTTP_STEP_JUDGE) {
            if (!take_decision(conn)) return;
        } else if (conn->step == HTTP_STEP_WAIT) {
            if (!take_answer(conn)) return;
        } else if (conn->step == HTTP_STEP_SEND) {
            enum conn_sent sent = conn->response == NULL ? SENT_NEVER : send_some(conn);
            if (sent == SENT_LATER) return;
            if (sent == SENT_NEVER || !conn->keeps) {
                conn->linger = conn->linger || conn->ahead.size > 0 || has_unread(conn);
                conn_close(conn);
                return;
            }
            /* The connection is ready for the next request. */
            http_response_free(conn->response);
            conn->response = NULL;
            detach(conn);
            enter_step(conn, HTTP_STEP_HEAD);
            (void)http_conn_enter(conn, HTTP_PHASE_IDLE); /* if it has been cut, reading fails */
        } else if (conn->ended) {
            conn_close(conn);
            return;
        } else if (reads++ == TURN_BYTES / HTTP_READ_BYTES) {
            due_add(conn);
            return;
        } else if (!read_some(conn)) {
            return;
        }
    }
}

static void
take_due(struct http_worker *w)
{
    /* Connections that become due meanwhile are in the next round. */
    struct http_conn *last = NULL;
    for (struct http_conn *conn = w->due_first; conn != NULL; conn = conn->next_due)
        last = conn;
    for (bool over = last == NULL; !over;) {
        struct http_conn *conn = w->due_first;
        assert(conn != NULL); /* a turn removes its own connection only */
        assert(conn->is_due); /* step invariant 6 */
        over = conn == last;
        due_remove(conn);
        turn(conn);
    }
}

static void
worker_run(void *context)
{
    struct http_worker *w = context;
    struct epoll_event events[EVENTS_AT_ONCE];
    for (;;) {
        int count = epoll_wait(w->epoll_fd, events, EVENTS_AT_ONCE, w->due_first == NULL ? -1 : 0);
        if (atomic_load_explicit(&w->stopping, memory_order_relaxed)) return;
        for (int i = 0; i < count; i++) {
            struct http_conn *conn = events[i].data.ptr;
            if (conn == NULL) {
                eventfd_t ignored;
                (void)!eventfd_read(w->wake_fd, &ignored);
                continue;
            }
            /* A session of TLS may have had to send before it can receive. */
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0 || conn->listener->has_tls)
                conn->readable = true;
            if ((events[i].events & ~(uint32_t)(EPOLLIN | EPOLLOUT)) != 0) conn->hung_up = true;
            due_add(conn);
        }
        take_woken(w);
        take_due(w);
    }
}

enum err
http_conn_start(struct http_conn *conn)
{
    int on = 1;
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = conn};
    int result = epoll_ctl(conn->worker->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event);
    return result == 0 ? OK : ERR_NOMEM;
}

/* --- start and stop --------------------------------------------------------------------------- */

static enum err
worker_start(struct http_server *server, struct http_worker *w)
{
    w->server = server;
    w->due_end = &w->due_first;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->scratch = mem_alloc(server->options.budget, HTTP_READ_BYTES);
    if (w->epoll_fd < 0 || w->wake_fd < 0 || w->scratch == NULL) return ERR_NOMEM;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &event) < 0) return ERR_NOMEM;
    return env_thread_start(server->options.env, "http-worker", worker_run, w, &w->thread);
}

enum err
http_workers_start(struct http_server *server, struct why *why)
{
    unsigned count = server->options.workers;
    server->workers = mem_new(server->options.budget, count * sizeof *server->workers);
    enum err e = server->workers == NULL ? ERR_NOMEM : OK;
    for (unsigned i = 0; i < count && server->workers != NULL; i++)
        server->workers[i].epoll_fd = server->workers[i].wake_fd = -1;
    for (unsigned i = 0; i < count && e == OK; i++)
        e = worker_start(server, &server->workers[i]);
    return why_set(why, e, "cannot start the threads of the HTTP server");
}

void
http_workers_stop(struct http_server *server)
{
    unsigned count = server->workers == NULL ? 0 : server->options.workers;
    for (unsigned i = 0; i < count; i++) {
        struct http_worker *w = &server->workers[i];
        if (w->thread == NULL) continue;
        atomic_store_explicit(&w->stopping, true, memory_order_relaxed);
        (void)!eventfd_write(w->wake_fd, 1);
        env_thread_join(server->options.env, w->thread);
    }
    while (server->conns != NULL) {
        struct http_conn *conn = server->conns;
        conn->linger = false;
        conn->keeps = false;
        if (conn->step == HTTP_STEP_JUDGE) enter_step(conn, HTTP_STEP_BODY); /* decided */
        if (conn->step == HTTP_STEP_WAIT) enter_step(conn, HTTP_STEP_SEND); /* answered, not sent */
        conn_close(conn);
    }
    for (unsigned i = 0; i < count; i++) {
        struct http_worker *w = &server->workers[i];
        if (w->epoll_fd >= 0) close(w->epoll_fd);
        if (w->wake_fd >= 0) close(w->wake_fd);
        if (w->scratch != NULL) mem_free(server->options.budget, w->scratch, HTTP_READ_BYTES);
    }
    mem_free(server->options.budget, server->workers, count * sizeof *server->workers);
    server->workers = NULL;
}
