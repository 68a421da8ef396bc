/*
 * http_server.c - starts and stops the HTTP server. See http_private.h for the other files and
 * README.md for how they work together. The invariants are those of enum http_step.
 */
#include "net/http_private.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_NS_MIN (5 * NS_PER_MS)
#define TICK_NS_MAX (250 * NS_PER_MS)

bool
http_conn_enter(struct http_conn *conn, enum http_phase phase)
{
    static const unsigned arrows[] = {
        /* the phases that an arrow leads here from, as bits: enum http_phase */
        [HTTP_PHASE_HEADER] = 1 << HTTP_PHASE_IDLE,
        [HTTP_PHASE_BODY] = 1 << HTTP_PHASE_HEADER | 1 << HTTP_PHASE_HANDLER,
        [HTTP_PHASE_HANDLER] = 1 << HTTP_PHASE_BODY,
        [HTTP_PHASE_SEND] = 1 << HTTP_PHASE_HEADER | 1 << HTTP_PHASE_BODY | 1 << HTTP_PHASE_HANDLER,
        [HTTP_PHASE_IDLE] = 1 << HTTP_PHASE_SEND,
    };
    uint64_t to = http_clock(phase, env_monotonic_ns(conn->server->options.env));
    uint64_t from = atomic_load_explicit(&conn->clock, memory_order_acquire);
    do {
        if (http_clock_phase(from) == HTTP_PHASE_CUT) return false;
        assert(arrows[phase] & 1u << http_clock_phase(from));
    } while (!atomic_compare_exchange_weak_explicit(&conn->clock, &from, to, memory_order_acq_rel,
                                                    memory_order_acquire));
    return true;
}

unsigned
http_places_gone_locked(const struct http_server *server, const struct http_listener *l)
{
    unsigned gone = server->taken;
    assert(lock_is_mine(&server->lock));
    for (size_t i = 0; i < server->options.place_count; i++) {
        const struct http_listener *other = &server->listeners[i];
        if (other != l && other->taken < server->share) gone += server->share - other->taken;
    }
    return gone;
}

void
http_conn_give_place_locked(struct http_conn *conn)
{
    assert(lock_is_mine(&conn->server->lock));
    assert(conn->has_place && conn->listener->taken > 0); /* step invariant 10 */
    conn->has_place = false;
    conn->listener->taken--;
    conn->server->taken--;
}

void
http_conn_list_locked(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    assert(lock_is_mine(&server->lock));
    conn->next = server->conns;
    if (conn->next != NULL) {
        assert(conn->next->prev == NULL); /* step invariant 8 */
        conn->next->prev = conn;
    }
    server->conns = conn;
    server->conn_count++;
    conn->has_place = true;
    conn->listener->taken++;
    server->taken++;
    assert(http_places_gone_locked(server, NULL) <= server->options.connections_max); /* 10 */
}

void
http_conn_unlist_locked(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    assert(lock_is_mine(&server->lock));
    assert(server->conn_count > 0); /* step invariant 8 */
    if (conn->prev == NULL) {
        assert(server->conns == conn); /* step invariant 8 */
        server->conns = conn->next;
    } else {
        assert(conn->prev->next == conn); /* step invariant 8 */
        conn->prev->next = conn->next;
    }
    if (conn->next != NULL) {
        assert(conn->next->prev == conn); /* step invariant 8 */
        conn->next->prev = conn->prev;
    }
    server->conn_count--;
    if (conn->has_place) http_conn_give_place_locked(conn);
}

/* --- start ------------------------------------------------------------------------------------ */

enum err
http_server_start(const struct http_options *options, struct http_server **ret_server,
                  struct why *why)
{
    struct http_server *server = NULL;
    assert(options->header_bytes_max > 0);
    assert(options->header_bytes_max <= HTTP_HEADER_BYTES_CEILING);
    assert(options->place_count > 0);
    assert(options->place_count <= HTTP_LISTENERS_MAX);
    assert(options->connections_max > 0);
    assert(options->body_bytes_max > 0);
    assert(options->stream_buffer_bytes > 0);
    enum err e = why_set(why, ERR_NOMEM, "not enough memory for the HTTP server");
    server = mem_new(options->budget, sizeof *server);
    if (server == NULL) goto out;
    server->options = *options;
    if (server->options.workers < 2) server->options.workers = 2;
    server->share = options->connections_max / 4 / (unsigned)options->place_count;
    server->wake_fd = -1;
    for (size_t i = 0; i < HTTP_LISTENERS_MAX; i++)
        server->listeners[i].fd = -1;
    /* The watch thread looks at all connections each eighth of the shortest deadline. */
    const int64_t timeouts[] = {options->header_timeout_ns, options->body_timeout_ns,
                                options->idle_timeout_ns, options->send_timeout_ns};
    server->tick_ns = TICK_NS_MAX;
    for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
        assert(timeouts[i] > 0);
        if (timeouts[i] / 8 < server->tick_ns) server->tick_ns = timeouts[i] / 8;
    }
    if (server->tick_ns < TICK_NS_MIN) server->tick_ns = TICK_NS_MIN;
    lock_init(&server->lock, LOCK_RANK_HTTP);
    lock_init(&server->headers_lock, LOCK_RANK_LEAF);
    cond_init(&server->listening_changed);
    e = env_random(options->env, &server->seed, sizeof server->seed);
    if (e) goto out;
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->wake_fd < 0) {
        e = why_set(why, ERR_NOMEM, "eventfd: %s", strerrordesc_np(errno));
        goto out;
    }
    e = http_listeners_open(server, options, why);
    if (e) goto out;
    e = http_workers_start(server, why);
    if (e) goto out;
    e = env_thread_start(options->env, "http-watch", http_watch_run, server, &server->watch);
    if (e) {
        why_set(why, e, "cannot start a thread of the HTTP server");
        goto out;
    }
    if (why != NULL) why->text[0] = '\0';
    *ret_server = server;
    server = NULL;
out:
    http_server_free(server);
    return e;
}

uint16_t
http_server_port(const struct http_server *server)
{
    return server->listeners[0].port;
}

/* --- stop ------------------------------------------------------------------------------------- */

void
http_server_quiesce(struct http_server *server)
{
    atomic_store_explicit(&server->quiescing, true, memory_order_relaxed);
    http_watch_wake(server);
    lock_take(&server->lock);
    while (server->listening)
        cond_wait(&server->listening_changed, &server->lock);
    lock_drop(&server->lock);
}

unsigned
http_server_busy(struct http_server *server)
{
    return atomic_load_explicit(&server->busy, memory_order_acquire);
}

static void
stop_threads(struct http_server *server)
{
    if (server->watch != NULL) {
        lock_take(&server->lock);
        server->stopping = true;
        lock_drop(&server->lock);
        http_watch_wake(server);
        env_thread_join(server->options.env, server->watch);
    }
    /* A connection whose request is with a handler cannot end. From now on http_give() gives
     * nothing to handlers; threads that hold a request get the time to answer it. They cannot
     * signal it: the last act of an answering thread must be the decrement, after which the server
     * may be gone. */
    atomic_store_explicit(&server->closing, true, memory_order_seq_cst);
    /* A stream would wait for a client that reads nothing: the thread that cuts off such clients
     * has ended. */
    lock_take(&server->lock);
    for (struct http_conn *conn = server->conns; conn != NULL; conn = conn->next)
        env_shutdown(server->options.env, conn->fd);
    lock_drop(&server->lock);
    while (atomic_load_explicit(&server->held, memory_order_seq_cst) > 0)
        poll(NULL, 0, 1);
    http_workers_stop(server);
}

void
http_server_free(struct http_server *server)
{
    if (server == NULL) return;
    stop_threads(server);
    assert(server->conns == NULL);
    assert(server->conn_count == 0); /* step invariant 8 */
    assert(atomic_load_explicit(&server->held, memory_order_relaxed) == 0);
    assert(atomic_load_explicit(&server->busy, memory_order_relaxed) == 0);
    for (unsigned i = 0; i < server->parted_count; i++)
        close(server->parted_fds[i]);
    http_listeners_close(server);
    http_listeners_free(server);
    if (server->wake_fd >= 0) close(server->wake_fd);
    cond_fini(&server->listening_changed);
    lock_fini(&server->lock);
    lock_fini(&server->headers_lock);
    buf_fini(&server->headers);
    struct budget *budget = server->options.budget;
    mem_free(budget, server, sizeof *server);
}

/* --- headers of all answers ------------------------------------------------------------------- */

void
http_server_set_headers(struct http_server *server, struct buf *lines)
{
    lock_take(&server->headers_lock);
    struct buf old = server->headers;
    server->headers = *lines;
    atomic_store_explicit(&server->has_headers, lines->size > 0, memory_order_relaxed);
    lock_drop(&server->headers_lock);
    *lines = (struct buf){.at = NULL};
    buf_fini(&old);
}

void
http_put_common_headers(struct http_server *server, struct buf *head)
{
    if (!atomic_load_explicit(&server->has_headers, memory_order_relaxed)) return;
    lock_take(&server->headers_lock);
    if (server->headers.size > 0) buf_put_bytes(head, buf_bytes(&server->headers));
    lock_drop(&server->headers_lock);
}

/* --- statistics ------------------------------------------------------------------------------- */

static uint64_t
counted(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void
http_server_stats(struct http_server *server, struct http_stats *ret_stats)
{
    lock_take(&server->lock);
    unsigned connections_now = server->conn_count;
    lock_drop(&server->lock);
    *ret_stats = (struct http_stats){
        .connections_now = connections_now,
        .connections_total = counted(&server->connections_total),
        .connections_refused = counted(&server->connections_refused),
        .connections_displaced = counted(&server->connections_displaced),
        .requests_total = counted(&server->requests_total),
        .timeouts_header = counted(&server->timeouts_header),
        .timeouts_body = counted(&server->timeouts_body),
        .timeouts_idle = counted(&server->timeouts_idle),
        .timeouts_send = counted(&server->timeouts_send),
        .body_bytes = counted(&server->body_bytes),
        .handshakes = counted(&server->handshakes),
        .handshakes_failed = counted(&server->handshakes_failed),
    };
    for (size_t i = 0; i < 6; i++)
        ret_stats->requests_by_class[i] = counted(&server->requests_by_class[i]);
}
