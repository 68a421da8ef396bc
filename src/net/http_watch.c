/*
 * http_watch.c - the thread beside the workers. It accepts connections, enforces deadlines, refuses
 * connections beyond the limit, and closes sockets with a delay where an answer would be lost.
 *
 * Deadlines. Each connection has its phase and the time it began in one word (enum http_phase). The
 * thread looks at all connections each tick: a client that sends a byte now and then would meet no
 * timeout of inactivity. Only the kernel knows whether a client takes what we send; the thread asks
 * it (TCP_INFO, SIOCOUTQ). A connection beyond its deadline goes to CUT and its socket is shut
 * down, whereupon its worker closes it. A client that has begun a request gets 503, from this
 * thread, or through TLS from the worker.
 *
 * Partings. Closing a socket while the client still sends destroys the answer on its way: the
 * kernel replies with RST. So after an answer that does not wait for the end of the request (413,
 * 503) the socket comes here. The thread throws away all that arrives until the client closes,
 * sends nothing for a second, or has sent for as long as a header may take, or a few megabytes.
 * Connections beyond the limit come here, too, and get 503 with their first bytes or after a
 * second.
 *
 * Places. At the limit a new connection gets the place of one without a verified user
 * (find_place_locked()). Each listener has a share of the places that no other takes.
 *
 *      beyond the limit --> waiting --first bytes, or a second: 503--> drained --> closed
 *      workers' parted_fds -------------------------------------------->
 *
 * Invariants:
 *
 * 1. The thread uses the descriptor of a connection under server->lock and while the connection is
 *    listed. Its worker unlists it under that lock before it closes it, so a descriptor that has a
 *    new owner is never used.
 * 2. `partings` has at most its size, and `waiting_count` of them, at most HTTP_PARTINGS_MAX, wait.
 * 3. A parting ends at `end_ns` at the latest, and `until_ns` is not after that.
 * 4. The listeners' sockets are open as long as `listening` is set. While this thread runs, only it
 *    closes them.
 * 5. Nothing leaves CUT, and HANDLER never becomes CUT.
 * 6. Only this thread lists connections, each after it has found a place for it.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hash/hash.h"
#include "base/log.h"
#include "net/http_private.h"

enum {
    ACCEPTS_AT_ONCE = 64,
    PARTING_BYTES_MAX = 8 * 1024 * 1024,
    PARTING_READ_BYTES = 256 * 1024,
    POLL_FIRST_LISTENER = 1,
};
#define PARTING_NS      NS_PER_S
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)
#define LOG_NS          (60 * NS_PER_S)

void
http_watch_wake(struct http_server *server)
{
    (void)!eventfd_write(server->wake_fd, 1); /* fails only if billions are unread */
}

/* --- deadlines -------------------------------------------------------------------------------- */

static struct tcp_info
tcp_info_of(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    (void)!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size); /* then nothing has moved */
    return info;
}

/* Says whether the client takes nothing: there are bytes for it, and the numbers of those on their
 * way and of those that it has confirmed do not change. */
static bool
sending_stalled(struct http_conn *conn, int64_t now_ns)
{
    int queue = 0;
    (void)!ioctl(conn->fd, SIOCOUTQ, &queue);
    uint64_t taken = tcp_info_of(conn->fd).tcpi_bytes_acked;
    if (queue == 0 || queue != conn->seen_queue || taken != conn->seen_bytes) {
        conn->seen_queue = queue;
        conn->seen_bytes = taken;
        conn->progress_ns = now_ns;
    }
    return now_ns - conn->progress_ns > conn->server->options.send_timeout_ns;
}

/* Cuts the connection. False: it has entered another phase meanwhile. */
static bool
conn_cut(struct http_conn *conn, uint64_t word, _Atomic uint64_t *counter, bool explain)
{
    assert(lock_is_mine(&conn->server->lock));            /* invariant 1 */
    assert(http_clock_phase(word) != HTTP_PHASE_HANDLER); /* invariant 5 */
    assert(http_clock_phase(word) != HTTP_PHASE_CUT);     /* invariant 5 */
    uint64_t cut_word = http_clock(HTTP_PHASE_CUT, http_clock_since(word));
    if (!atomic_compare_exchange_strong_explicit(&conn->clock, &word, cut_word,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return false;
    http_count(counter);
    if (explain && conn->listener->has_tls) {
        (void)shutdown(conn->fd, SHUT_RD); /* the worker sends the answer: step invariant 9 */
        return true;
    }
    if (explain) http_send_raw(conn->fd, HTTP_RAW_LATE);
    env_shutdown(conn->server->options.env, conn->fd);
    return true;
}

/* Says whether the client exceeded the timeout. A client whose bytes have arrived and are not read
 * has twice the time: the process was suspended, or the machine is overloaded. */
static bool
is_late(const struct http_conn *conn, int64_t age_ns, int64_t timeout_ns)
{
    int unread = 0;
    if (age_ns <= timeout_ns) return false;
    (void)!ioctl(conn->fd, SIOCINQ, &unread);
    return unread == 0 || age_ns / 2 > timeout_ns;
}

static void
check_conn(struct http_conn *conn, int64_t now_ns)
{
    struct http_server *server = conn->server;
    const struct http_options *options = &server->options;
    assert(lock_is_mine(&server->lock)); /* invariant 1 */
    uint64_t word = atomic_load_explicit(&conn->clock, memory_order_acquire);
    int64_t age_ns = now_ns - http_clock_since(word);
    enum http_phase phase = http_clock_phase(word);
    if (word != conn->seen_clock) { /* the first look at this phase */
        conn->seen_clock = word;
        conn->progress_ns = now_ns;
        conn->seen_queue = -1;
    }
    if (phase == HTTP_PHASE_HANDLER || phase == HTTP_PHASE_CUT) return;
    if (phase == HTTP_PHASE_SEND) {
        if (sending_stalled(conn, now_ns))
            (void)conn_cut(conn, word, &server->timeouts_send, false);
        return;
    }
    if (phase == HTTP_PHASE_IDLE && is_late(conn, age_ns, options->idle_timeout_ns)) {
        (void)conn_cut(conn, word, &server->timeouts_idle, false);
    } else if (phase == HTTP_PHASE_HEADER && is_late(conn, age_ns, options->header_timeout_ns)) {
        bool has_begun = tcp_info_of(conn->fd).tcpi_bytes_received > 0;
        (void)conn_cut(conn, word, &server->timeouts_header, has_begun);
    } else if (phase == HTTP_PHASE_BODY && is_late(conn, age_ns, options->body_timeout_ns)) {
        (void)conn_cut(conn, word, &server->timeouts_body, true);
    }
}

/* --- partings --------------------------------------------------------------------------------- */

/* Returns the time until which a client may send nothing, at most end_ns. */
static int64_t
patience_until(const struct http_server *server, int64_t now_ns, int64_t end_ns)
{
    int64_t patience_ns = server->options.header_timeout_ns;
    if (patience_ns > PARTING_NS) patience_ns = PARTING_NS;
    return now_ns + patience_ns < end_ns ? now_ns + patience_ns : end_ns;
}

static void
parting_add(struct http_server *server, int fd, bool waiting, int64_t now_ns)
{
    const unsigned max = sizeof server->partings / sizeof *server->partings;
    assert(fd >= 0);
    assert(server->parting_count <= max);                   /* invariant 2 */
    assert(server->waiting_count <= HTTP_PARTINGS_MAX);     /* invariant 2 */
    assert(server->waiting_count <= server->parting_count); /* invariant 2 */
    if (server->parting_count == max || (waiting && server->waiting_count == HTTP_PARTINGS_MAX)) {
        close(fd);
        return;
    }
    int64_t end_ns = now_ns + server->options.header_timeout_ns;
    server->waiting_count += waiting;
    server->partings[server->parting_count++] = (struct http_parting){
        .fd = fd,
        .waiting = waiting,
        .until_ns = patience_until(server, now_ns, end_ns),
        .end_ns = end_ns,
        .bytes_left = PARTING_BYTES_MAX,
    };
}

/* Throws away bytes that have arrived. True: the socket can be closed. */
static bool
parting_drain(struct http_parting *parting)
{
    size_t left = PARTING_READ_BYTES;
    while (left > 0 && parting->bytes_left > 0) {
        /* MSG_TRUNC: thrown away in the kernel. */
        ssize_t got = recv(parting->fd, NULL, left, MSG_DONTWAIT | MSG_TRUNC);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno != EAGAIN;
        if (got == 0) return true;
        left -= (size_t)got;
        parting->bytes_left -=
            (uint64_t)got < parting->bytes_left ? (uint64_t)got : parting->bytes_left;
    }
    return parting->bytes_left == 0;
}

static void
handle_partings(struct http_server *server, const struct pollfd *polled, unsigned polled_count,
                int64_t now_ns)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < server->parting_count; i++) {
        struct http_parting *parting = &server->partings[i];
        assert(parting->until_ns <= parting->end_ns); /* invariant 3 */
        bool ready = i < polled_count && polled[i].revents != 0;
        bool over = now_ns >= parting->until_ns;
        bool done = false;
        if (parting->waiting && (ready || over)) {
            http_send_raw(parting->fd, HTTP_RAW_FULL);
            (void)shutdown(parting->fd, SHUT_WR);
            parting->waiting = false;
            parting->end_ns = now_ns + server->options.header_timeout_ns;
            parting->until_ns = patience_until(server, now_ns, parting->end_ns);
            assert(server->waiting_count > 0); /* invariant 2 */
            server->waiting_count--;
        } else if (!parting->waiting && ready) {
            done = parting_drain(parting) || now_ns >= parting->end_ns;
            parting->until_ns = patience_until(server, now_ns, parting->end_ns);
        } else {
            done = over && !parting->waiting;
        }
        if (done)
            close(parting->fd);
        else
            server->partings[kept++] = *parting;
    }
    server->parting_count = kept;
    assert(server->waiting_count <= kept); /* invariant 2 */
}

/* --- accepting -------------------------------------------------------------------------------- */

/* Refuses a connection: with an answer, in clear text. */
static void
turn_away(struct http_server *server, const struct http_listener *listener, int fd, int64_t now_ns)
{
    if (listener->has_tls)
        close(fd); /* step invariant 9 */
    else
        parting_add(server, fd, true, now_ns);
}

/* Says whether the listener may take a place, if need be that of another connection: of those
 * without a verified user, of the address that has most of them, the one that has been in its phase
 * longest. It is cut without an answer. Two walks over the list: with 1,024 they take some 10 us.
 */
static bool
find_place_locked(struct http_server *server, const struct http_listener *listener)
{
    unsigned counts[HTTP_ADDRESSES] = {0};
    struct http_conn *found = NULL;
    uint64_t found_word = 0;
    if (http_places_gone_locked(server, listener) < server->options.connections_max) return true;
    if (server->conn_count - server->taken >= HTTP_PARTINGS_MAX)
        return false; /* workers are late */
    for (struct http_conn *conn = server->conns; conn != NULL; conn = conn->next) {
        bool is_known = atomic_load_explicit(&conn->is_verified, memory_order_relaxed);
        counts[conn->address_hash] += conn->has_place && !is_known;
    }
    for (struct http_conn *conn = server->conns; conn != NULL; conn = conn->next) {
        uint64_t word = atomic_load_explicit(&conn->clock, memory_order_acquire);
        enum http_phase phase = http_clock_phase(word);
        bool helps = conn->listener == listener || conn->listener->taken > server->share;
        bool is_known = atomic_load_explicit(&conn->is_verified, memory_order_relaxed);
        bool is_let_in = atomic_load_explicit(&conn->is_let_in, memory_order_relaxed);
        bool is_busy = phase == HTTP_PHASE_HANDLER || phase == HTTP_PHASE_CUT ||
                       (phase == HTTP_PHASE_SEND && is_let_in);
        if (!conn->has_place || is_known || !helps || is_busy) continue;
        unsigned most = found == NULL ? 0 : counts[found->address_hash];
        if (counts[conn->address_hash] < most) continue;
        if (counts[conn->address_hash] == most &&
            http_clock_since(word) >= http_clock_since(found_word))
            continue;
        found = conn;
        found_word = word;
    }
    if (found == NULL || !conn_cut(found, found_word, &server->connections_displaced, false))
        return false;
    http_conn_give_place_locked(found);
    return true;
}

static void
hand_over(struct http_server *server, struct http_listener *listener, int fd,
          const struct sockaddr_storage *address, int64_t now_ns)
{
    struct http_conn *conn = mem_new(server->options.budget, sizeof *conn);
    if (conn == NULL) {
        turn_away(server, listener, fd, now_ns);
        return;
    }
    conn->server = server;
    conn->listener = listener;
    conn->step = listener->has_tls ? HTTP_STEP_HANDSHAKE : HTTP_STEP_HEAD;
    conn->worker = &server->workers[(unsigned)fd % server->options.workers];
    conn->fd = fd;
    http_peer_print(address, conn->peer, sizeof conn->peer);
    conn->peer_address = http_peer_mapped(address);
    size_t key_bytes = IN6_IS_ADDR_V4MAPPED(&conn->peer_address) ? 16 : 8;
    conn->address_hash =
        (unsigned)hash_bytes(bytes_of(&conn->peer_address, key_bytes), server->seed) %
        HTTP_ADDRESSES;
    atomic_init(&conn->clock, http_clock(HTTP_PHASE_HEADER, now_ns));
    /* Listed first: its worker may end it before http_conn_start() returns. */
    lock_take(&server->lock);
    http_conn_list_locked(conn);
    lock_drop(&server->lock);
    if (http_conn_start(conn) == OK) return;
    lock_take(&server->lock);
    http_conn_unlist_locked(conn);
    lock_drop(&server->lock);
    turn_away(server, listener, fd, now_ns);
    mem_free(server->options.budget, conn, sizeof *conn);
}

static void
warn_often(struct http_server *server, struct log_gate *gate, int64_t now_ns, const char *cause)
{
    uint64_t held_back;
    if (!log_often(gate, now_ns, LOG_NS, &held_back)) return;
    log_warn("http: connections refused", KV("cause", cause),
             KV("connections_max", server->options.connections_max),
             KV("more_held_back", held_back));
}

static void
accept_some(struct http_server *server, struct http_listener *listener, int64_t now_ns)
{
    static struct log_gate limit_gate, error_gate;
    for (unsigned i = 0; i < ACCEPTS_AT_ONCE; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        int fd =
            accept4(listener->fd, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                server->accept_after_ns = now_ns + ACCEPT_PAUSE_NS;
                warn_often(server, &error_gate, now_ns, strerrordesc_np(errno));
            }
            return; /* no client, or it has gone again: poll() returns for the next */
        }
        http_count(&server->connections_total);
        lock_take(&server->lock);
        bool full = !find_place_locked(server, listener);
        lock_drop(&server->lock);
        if (full) {
            http_count(&server->connections_refused);
            warn_often(server, &limit_gate, now_ns, "connection limit");
            turn_away(server, listener, fd, now_ns);
        } else {
            hand_over(server, listener, fd, &address, now_ns);
        }
    }
}

static void
stop_listening(struct http_server *server)
{
    http_listeners_close(server);
    lock_take(&server->lock);
    assert(server->listening); /* invariant 4 */
    server->listening = false;
    cond_wake_all(&server->listening_changed);
    lock_drop(&server->lock);
}

/* --- the loop --------------------------------------------------------------------------------- */

/* Returns the time until the next tick or deadline, for poll(); -1: for ever. */
static int
patience_ms(struct http_server *server, int64_t now_ns, int64_t next_tick_ns, unsigned conn_count)
{
    int64_t until_ns = INT64_MAX;
    if (conn_count > 0) until_ns = next_tick_ns;
    for (unsigned i = 0; i < server->parting_count; i++)
        if (server->partings[i].until_ns < until_ns) until_ns = server->partings[i].until_ns;
    if (server->accept_after_ns > now_ns && server->accept_after_ns < until_ns)
        until_ns = server->accept_after_ns;
    if (until_ns == INT64_MAX) return -1;
    if (until_ns <= now_ns) return 0;
    return (int)((until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

void
http_watch_run(void *context)
{
    struct http_server *server = context;
    struct pollfd set[POLL_FIRST_LISTENER + HTTP_LISTENERS_MAX +
                      sizeof server->partings / sizeof *server->partings];
    int64_t next_tick_ns = 0;
    for (;;) {
        eventfd_t ignored;
        int fds[HTTP_PARTINGS_MAX];
        (void)!eventfd_read(server->wake_fd, &ignored);
        lock_take(&server->lock);
        bool stopping = server->stopping;
        unsigned conn_count = server->conn_count, parted_count = server->parted_count;
        assert(parted_count <= HTTP_PARTINGS_MAX);
        if (!stopping) {
            memcpy(fds, server->parted_fds, parted_count * sizeof *fds);
            server->parted_count = 0;
        }
        lock_drop(&server->lock);
        if (stopping) break;
        /* After the event is read and before the next wait, so that no request to quiesce is
         * missed. */
        if (server->listening && atomic_load_explicit(&server->quiescing, memory_order_relaxed))
            stop_listening(server);
        int64_t now_ns = env_monotonic_ns(server->options.env);
        if (now_ns >= next_tick_ns) {
            /* The calls under the lock do not wait: invariant 1. */
            lock_take(&server->lock);
            for (struct http_conn *conn = server->conns; conn != NULL; conn = conn->next)
                check_conn(conn, now_ns);
            lock_drop(&server->lock);
            next_tick_ns = now_ns + server->tick_ns;
        }
        for (unsigned i = 0; i < parted_count; i++)
            parting_add(server, fds[i], false, now_ns);
        unsigned polled_count = server->parting_count;
        /* An entry for each open file at most: poll() takes no more than RLIMIT_NOFILE. */
        bool accepting = server->accept_after_ns <= now_ns;
        size_t count = 0;
        set[count++] = (struct pollfd){.fd = server->wake_fd, .events = POLLIN};
        for (size_t i = 0; i < server->options.place_count; i++) {
            int fd = accepting ? server->listeners[i].fd : -1;
            set[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
        for (unsigned i = 0; i < polled_count; i++)
            set[count++] = (struct pollfd){.fd = server->partings[i].fd, .events = POLLIN};
        if (poll(set, count, patience_ms(server, now_ns, next_tick_ns, conn_count)) < 0) {
            if (errno != EINTR) env_sleep(server->options.env, ACCEPT_PAUSE_NS);
            continue;
        }
        now_ns = env_monotonic_ns(server->options.env);
        handle_partings(server, set + count - polled_count, polled_count, now_ns);
        for (size_t i = 0; i < server->options.place_count; i++)
            if (set[POLL_FIRST_LISTENER + i].revents != 0)
                accept_some(server, &server->listeners[i], now_ns);
    }
    for (unsigned i = 0; i < server->parting_count; i++)
        close(server->partings[i].fd);
    if (server->listening) stop_listening(server);
}
