/*
 * http_private.h - shared by the files of the HTTP server, and included by them only.
 *
 *   http_server.c    start, stop, statistics
 *   http_listen.c    the places where the server listens
 *   http_watch.c     the thread that accepts, enforces deadlines and closes with a delay
 *   http_conn.c      the workers: events, reading requests, sending answers
 *   http_head.c      parses the head of a request, and bodies in chunks
 *   http_serve.c     routing, refusals, the hand-over to handlers
 *   http_request.c   states and views of a request, and answers made whole
 *   http_coding.c    compresses whole answers and streams
 *   http_stream.c    answers made piece by piece
 */
#ifndef NET_HTTP_PRIVATE_H
#define NET_HTTP_PRIVATE_H

#include <netinet/in.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/lock.h"
#include "net/http_head.h"
#include "net/http_server.h"
#include "net/tls.h"

enum {
    /* A body of at most this size is read to its end before the refusal is sent, so that the
     * connection can be kept. */
    HTTP_REFUSED_BODY_BYTES = 64 * 1024,
    /* A longer head counts against what is not verified until the gate has let it in; shorter ones
     * are bounded by the number of connections. */
    HTTP_SHORT_HEAD_BYTES = 16 * 1024,
    HTTP_HEAD_PIECE_BYTES = 4 * 1024, /* added to a head at a time: a body may follow */
    HTTP_PEER_BYTES = INET6_ADDRSTRLEN + 8,
    HTTP_UNIX_PATH_BYTES = 108, /* as of sockaddr_un */
    HTTP_PARTINGS_MAX = 64,
    HTTP_ALSO_MAX = 6,           /* headers that all answers to a request get */
    HTTP_READ_BYTES = 64 * 1024, /* largest read; the size of a worker's buffer */
    HTTP_ADDRESSES = 1024,       /* hashes of addresses */
    HTTP_FRAME_BYTES = 24,       /* the line before a chunk, after the end of the last chunk */
};
#define HTTP_RETRY_AFTER "5"

/*
 * The phase of a connection decides which deadline it has.
 *
 *      accept --> HEADER --head is whole--> BODY --body is whole--> HANDLER --answer--> SEND
 *                   ^                      (also HANDLER, while the gate decides)        |
 *                   ^                        |                                ^          |
 *        first byte |                        +--------- refused early --------+     sent |
 *                  IDLE <-----------------------------------------------------------------+
 *
 * From HEADER, BODY, IDLE and SEND the watch thread may go to CUT, which nothing leaves: the watch
 * thread shuts the socket down, and the worker closes it. http_conn_enter() takes all other arrows.
 */
enum http_phase {
    HTTP_PHASE_HEADER,
    HTTP_PHASE_BODY,
    HTTP_PHASE_HANDLER,
    HTTP_PHASE_SEND,
    HTTP_PHASE_IDLE,
    HTTP_PHASE_CUT,
};

/*
 * The step of a connection decides what its worker does next. http_conn.c has the diagram; its
 * enter_step() takes the arrows. Code cites these invariants as "step invariant N":
 *
 * 1. In HANDSHAKE, HEAD, JUDGE and BODY `response` is NULL; `request` is NULL in the first two, and
 *    not in the others.
 * 2. In WAIT the request is HELD or was answered, in JUDGE it is JUDGED or the gate has decided,
 *    and the connection stays until the worker has taken the answer or decision.
 * 3. In SEND `response` stays until all of it is sent; if it is NULL (no memory, or the connection
 *    has been cut), the connection ends.
 * 4. Bytes of a later request are in `ahead`, and nothing is read until the present request is
 *    answered.
 * 5. A connection that lingers is not kept for a next request.
 * 6. `is_due` says that the connection is on its worker's list, once.
 * 7. Bytes of a stream follow the whole line of their chunk, and are at most its size.
 * 8. A listed connection is between its neighbours, and `conn_count` is the length of the list.
 * 9. A connection of a place with TLS has no byte received or sent but through its session, unless
 *    it turns out to be in clear text: it is answered 400, and closed.
 * 10. Connections that have a place, and the places that are kept for listeners with fewer than
 *    their share, are together at most connections_max.
 */
enum http_step {
    HTTP_STEP_HANDSHAKE, /* of TLS; a connection in clear text begins in HEAD */
    HTTP_STEP_HEAD,
    HTTP_STEP_JUDGE, /* the gate decides later */
    HTTP_STEP_BODY,
    HTTP_STEP_WAIT,
    HTTP_STEP_SEND,
};

/* Progress of an answer in chunks: before the first, within them, after the last (of size 0). */
enum http_chunking { HTTP_CHUNKING_NONE, HTTP_CHUNKING_BEGUN, HTTP_CHUNKING_ENDED };

/* A place where the server listens: http_listen.c. */
struct http_listener {
    uint16_t port;
    bool has_tls;
    char unix_path[HTTP_UNIX_PATH_BYTES]; /* "": not a Unix socket */
    uint64_t unix_device, unix_inode;     /* its file */
    unsigned taken;                       /* places of its connections; guarded by server->lock */

    int fd;                       /* the watch thread only, while it runs */
    struct tls *tls;              /* guarded by server->lock */
    _Atomic unsigned tls_changes; /* times it was replaced. acq_rel: who sees the count sees it */
};

struct http_conn {
    /* Immutable once listed. */
    struct http_server *server;
    struct http_worker *worker;
    struct http_listener *listener;
    int fd; /* open at least until the connection is unlisted */
    char peer[HTTP_PEER_BYTES];
    struct in6_addr peer_address; /* IPv4 addresses are mapped; all 0 for a Unix socket */

    unsigned address_hash; /* below HTTP_ADDRESSES; of an IPv6 address, of its /64 */

    /* Guarded by server->lock. */
    struct http_conn *next;
    struct http_conn *prev;
    bool has_place; /* until it is unlisted, or cut to make place for another one */

    _Atomic bool is_verified; /* relaxed: a user was known who sent a request on it */
    _Atomic bool is_let_in;   /* relaxed: a request was let in, perhaps as there are no users */

    /* The phase and the monotonic time it began, in one word (http_clock()), so that the watch
     * thread cannot cut a phase that began after the phase it judged. acq_rel: a thread that reads
     * a phase sees what was done before it was entered. */
    _Atomic uint64_t clock;

    /* Next in the worker's stack of woken connections: written by the thread that wakes this
     * connection, then the worker's. */
    struct http_conn *next_woken;

    /* The worker only. */
    enum http_step step;
    bool readable; /* there may be bytes to read */
    bool hung_up;  /* an end, or an error, follows them */
    bool ended;    /* the client has ended its side */
    bool keeps;    /* a next request may follow */
    bool linger;   /* closed before all that was sent to us is read: see http_watch.c */
    bool is_due;   /* on the worker's list */
    struct http_conn *next_due;
    struct tls_session *tls; /* NULL in clear text, and before the handshake begins */
    unsigned tls_changes;    /* of the listener, when the session was judged last */
    int64_t began_ns;        /* when the first byte of the present request was read */
    struct buf in;           /* its head, as far as it has arrived */
    size_t scanned;          /* bytes of `in` that were searched for the end of the head */
    struct buf ahead;        /* bytes of later requests */
    struct http_request *request;
    struct http_response *response;
    size_t head_sent;
    size_t body_sent;
    char frame[HTTP_FRAME_BYTES]; /* the line before the bytes of a chunk */
    size_t frame_size;
    size_t frame_sent;
    size_t chunk_left; /* bytes of the present chunk to send */
    enum http_chunking chunking;

    /* The watch thread only. */
    uint64_t seen_clock;
    uint64_t seen_bytes;
    int seen_queue;
    int64_t progress_ns;
};

/* An answer that the server gives itself. */
struct http_refusal {
    unsigned status; /* 0: the request is not refused */
    bool close;
    bool json;
    const char *text;
    char allow[48];        /* "" unless 405 */
    const char *challenge; /* NULL unless 401 */
};

/* An answer: its head, and its body unless a stream follows. */
struct http_response {
    struct budget *budget;
    unsigned status;
    bool streams;
    bool chunked;
    bool has_body; /* false in answer to HEAD: the body is not sent */
    bool closes;   /* the connection ends after it */
    struct buf head;
    struct buf body;
};

/* A printf format; the text must not need escapes. */
#define HTTP_REFUSAL_JSON "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"%s\"}"
#define HTTP_TYPE_JSON    "application/json"
#define HTTP_TYPE_TEXT    "text/plain; charset=utf-8"

/* A streamed answer: http_stream.c. It ends when its request becomes ANSWERED. */
struct http_stream {
    uint8_t *ring; /* NULL if the answer is not streamed */
    size_t capacity;
    size_t start;
    size_t used;
    uint64_t left;              /* bytes of the announced length to come; UINT64_MAX: unknown */
    struct http_packer *packer; /* the producer's; NULL if the body is not compressed */
    bool nowhere;               /* the answer has no body (HEAD, 204, 304) */
    bool aborted;               /* the producer ended it before all was written */
    const _Atomic uint32_t *others_waiting; /* NULL: no limits */
    int64_t deadline_ns;                    /* monotonic */
    uint64_t waited_ns;                     /* time the producer waited for room */
    uint64_t taken_slowly;                  /* bytes written in that time */
    struct cond room;
};

/*
 * The state of a request says who has it, and how far its answer is.
 *
 *   READING --http_give()--> HELD --http_hand_in()--> ANSWERED
 *    |   ^                    |                           ^
 *    |   |                    +-http_hand_in()-> STREAMING -http_stream_end()
 *    v   |
 *   JUDGED -http_entry_decide()
 */
enum http_request_state {
    HTTP_REQUEST_READING,   /* the worker has it: it is being received, or is refused */
    HTTP_REQUEST_JUDGED,    /* the gate has it, and will decide */
    HTTP_REQUEST_HELD,      /* a handler, or a thread that it passed it to, has to answer it */
    HTTP_REQUEST_STREAMING, /* the holder writes the answer, which has begun */
    HTTP_REQUEST_ANSWERED,  /* the holder has returned it */
};

/*
 * The link of a request to its connection.
 *
 *   ATTACHED --http_request_suspend_locked()--> SUSPENDED     both --detach()--> DETACHED
 *            <--http_request_resume_locked()---
 */
enum http_link {
    HTTP_LINK_ATTACHED,
    HTTP_LINK_SUSPENDED, /* the worker has to be woken for the answer, or for more of it */
    HTTP_LINK_DETACHED,  /* the connection is done with the request, and may be gone */
};

/*
 * Code cites these invariants as "request invariant N":
 *
 * 1. In READING only the worker has the request, and does not lock it.
 * 2. A HELD or JUDGED request is not DETACHED: its connection waits for the answer or decision.
 * 3. A SUSPENDED request is HELD, STREAMING or JUDGED: its holder wakes the worker.
 * 4. `response` is NULL until the request is answered and after the worker has taken it; a request
 *    is answered once.
 * 5. The request is freed when it is DETACHED, and neither HELD nor STREAMING nor JUDGED.
 * 6. `stream.ring` is not NULL in STREAMING.
 * 7. While `awaits_body` is set, no refusal says anything about the route, and the body is charged
 *    to the budget of what is not verified.
 * 8. A request that is anyone's has no sender, and keeps no body.
 */
struct http_request {
    /* Immutable once given to the handler. */
    struct http_server *server;
    struct http_conn *conn; /* must not be used when the link is DETACHED */
    const struct http_listener *listener;
    struct in6_addr peer_address;
    struct http_head head;
    const struct http_route *route;
    unsigned methods; /* of the routes with this path */
    enum http_method method;
    bool is_head; /* HEAD, for which `method` is GET */
    int64_t began_ns;
    char peer[HTTP_PEER_BYTES];
    struct http_refusal refusal;
    bool awaits_body; /* the gate judges it again when the body is whole; see invariant 7 */
    bool is_anyones;  /* let in without credentials; see invariant 8 */
    void *sender;     /* NULL: no user is known */
    void (*release_sender)(void *sender);
    struct lock *lock; /* own_lock, for functions that have the request as const */

    /* The worker's until the request is given to the handler, then the holder's. */
    struct http_chunks chunks;
    struct buf body;
    struct http_answer_header also[HTTP_ALSO_MAX + 1]; /* ends at the first NULL name */

    struct lock own_lock; /* LOCK_RANK_HTTP; guards to the end */
    enum http_request_state state;
    enum http_link link;
    struct http_response *response; /* NULL when answered: not enough memory, or already taken */
    struct http_stream stream;
};

/* A thread that reads requests and sends answers: http_conn.c. */
struct http_worker {
    struct http_server *server;
    struct env_thread *thread;
    int epoll_fd;
    int wake_fd;      /* eventfd: wakes the worker to look at `woken`, or to stop */
    uint8_t *scratch; /* HTTP_READ_BYTES */

    _Atomic bool stopping; /* relaxed: the write to wake_fd orders it */
    /* A stack on which any thread pushes and which the worker takes whole. Release and acquire: the
     * worker sees what was done before a connection was woken. */
    struct http_conn *_Atomic woken;

    /* The worker only: connections that need another turn. */
    struct http_conn *due_first;
    struct http_conn **due_end;
};

/* A socket that the watch thread closes with a delay: http_watch.c. */
struct http_parting {
    int fd;
    bool waiting;        /* the client has not sent the request that will be refused */
    int64_t until_ns;    /* closed then; moves on when bytes arrive, but ... */
    int64_t end_ns;      /* ... not beyond this time */
    uint64_t bytes_left; /* bytes that may arrive before it is closed */
};

struct http_server {
    /* Immutable after http_server_start(). */
    struct http_options options; /* but `places`, which are the caller's */
    struct http_worker *workers; /* options.workers */
    struct env_thread *watch;
    struct http_listener listeners[HTTP_LISTENERS_MAX]; /* options.place_count; have own comments */
    unsigned share;                                     /* places that are kept for each listener */
    uint64_t seed;                                      /* of address_hash */
    int wake_fd; /* eventfd: wakes the watch thread to look at parted_fds and flags */
    int64_t tick_ns;

    struct lock lock; /* LOCK_RANK_HTTP; guards to the next blank line */
    struct http_conn *conns;
    unsigned conn_count;
    unsigned taken; /* places, of all listeners */
    bool stopping;
    bool listening;
    struct cond listening_changed;
    int parted_fds[HTTP_PARTINGS_MAX]; /* sockets that workers pass to the watch thread */
    unsigned parted_count;

    struct lock headers_lock; /* LOCK_RANK_LEAF; guards `headers` */
    struct buf headers;       /* lines that all answers get */
    _Atomic bool has_headers; /* relaxed */

    _Atomic bool quiescing; /* relaxed: a request that just misses it is served */
    _Atomic bool closing;   /* seq_cst with `held`: http_give() or stop_threads() sees the other */
    /* Requests that are HELD, STREAMING or JUDGED. Once it is 0 and `closing` is set, no thread is
     * inside a call about a request. */
    _Atomic unsigned held;
    _Atomic unsigned busy; /* given requests not freed; acq_rel: at 0, their effects are visible */

    /* Relaxed: statistics. */
    _Atomic uint64_t connections_total;
    _Atomic uint64_t connections_refused;
    _Atomic uint64_t connections_displaced;
    _Atomic uint64_t requests_total;
    _Atomic uint64_t requests_by_class[6];
    _Atomic uint64_t timeouts_header;
    _Atomic uint64_t timeouts_body;
    _Atomic uint64_t timeouts_idle;
    _Atomic uint64_t timeouts_send;
    _Atomic uint64_t body_bytes;
    _Atomic uint64_t handshakes;
    _Atomic uint64_t handshakes_failed;

    /* The watch thread only. */
    int64_t accept_after_ns; /* not before this time, since descriptors had run out */
    struct http_parting partings[2 * HTTP_PARTINGS_MAX];
    unsigned parting_count;
    unsigned waiting_count; /* partings whose `waiting` is set */
};

static inline uint64_t
http_clock(enum http_phase phase, int64_t since_ns)
{
    return (uint64_t)since_ns << 3 | (uint64_t)phase;
}

static inline enum http_phase
http_clock_phase(uint64_t word)
{
    return (enum http_phase)(word & 7);
}

static inline int64_t
http_clock_since(uint64_t word)
{
    return (int64_t)(word >> 3);
}

/* Returns the budget of memory of requests that are not let in. */
static inline struct budget *
http_unverified(const struct http_server *server)
{
    const struct http_options *options = &server->options;
    return options->gate.unverified != NULL ? options->gate.unverified : options->budget;
}

static inline void
http_count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* http_server.c. Returns false if the connection has been cut; the caller then closes it. */
bool http_conn_enter(struct http_conn *conn, enum http_phase phase);
/* Both under server->lock. */
void http_conn_list_locked(struct http_conn *conn);
void http_conn_unlist_locked(struct http_conn *conn);
/* Takes its place from the connection, which is listed until its worker has closed it. */
void http_conn_give_place_locked(struct http_conn *conn);
/* Counts the places that the listener may not take: those taken, and those kept for others. */
unsigned http_places_gone_locked(const struct http_server *server, const struct http_listener *l);

/* Appends the header lines that all answers get. */
void http_put_common_headers(struct http_server *server, struct buf *head);

/* http_listen.c */
/* Opens all places. On error, http_listeners_close() closes those that were opened. */
MUST_CHECK enum err http_listeners_open(struct http_server *server,
                                        const struct http_options *options, struct why *why);
/* Closes the sockets, and removes the files of Unix sockets. */
void http_listeners_close(struct http_server *server);
/* Releases the TLS of the listeners. */
void http_listeners_free(struct http_server *server);
/* Writes "address:port" of a peer, or "unix". */
void http_peer_print(const struct sockaddr_storage *address, char *to, size_t to_size);
/* Returns it with IPv4 addresses mapped; all 0 for a Unix socket. */
struct in6_addr http_peer_mapped(const struct sockaddr_storage *address);

/* http_conn.c */
MUST_CHECK enum err http_workers_start(struct http_server *server, struct why *why);
/* Ends all connections, and the threads. Accepts a partly started server. */
void http_workers_stop(struct http_server *server);
/* Called by the watch thread: gives a listed connection to its worker. ERR_NOMEM: the caller keeps
 * it. */
MUST_CHECK enum err http_conn_start(struct http_conn *conn);
/* Puts the connection on its worker's stack; see http_request_resume_locked(). */
void http_conn_wake(struct http_conn *conn);

/* http_serve.c */
struct http_request *http_request_new(struct http_conn *conn);
/* Returns true if refusals on the route of a path are in JSON. `target` is a target as it was sent,
 * or its beginning. */
bool http_errors_in_json(const struct http_server *server, struct bytes target);
void http_refuse(struct http_request *request, unsigned status, bool close, const char *text);
/* Judges a request whose head is parsed: sets its route, or a refusal. False: the gate decides
 * later, and http_request_judge_route() is to be called then. */
bool http_request_judge(struct http_request *request);
/* Goes on after the gate has let the request in: sets a refusal, or none. */
void http_request_judge_route(struct http_request *request);
/* Asks the gate, if it wants to see the body, which is whole; then judges the route, too. Sets a
 * refusal, or none. */
void http_request_judge_body(struct http_request *request);
/* Prepares request->body, with the limit and the budget of the request. */
void http_request_init_body(struct http_request *request);
/* Says whether a body of that size is read to its end before a refusal is sent. */
bool http_body_is_short(const struct http_request *request, uint64_t size);
/* Gives a whole request, which is not refused, to its handler. False: the server is being freed. */
bool http_give(struct http_request *request);
/* Gives the status of the answer to the gate. */
void http_note_status(const struct http_request *request, unsigned status);
/* The answer of a refusal; NULL if there is not enough memory. */
struct http_response *http_refusal_response(const struct http_request *request);

/* http_request.c */
void http_request_free(struct http_request *request);
/* By the worker, under the request's lock: it wants to be woken for the answer, or for more. */
void http_request_suspend_locked(struct http_request *request);
/* By the holder, under the request's lock: wakes the worker if it wants that. */
void http_request_resume_locked(struct http_request *request);
/* NULL if there is not enough memory. */
struct http_response *http_response_new(const struct http_request *request,
                                        const struct http_answer *answer);
void http_response_free(struct http_response *response);
/* The encoding of an answer, and whether it depends on Accept-Encoding (all but NONE). */
enum http_coding { HTTP_CODING_NONE, HTTP_CODING_POSSIBLE, HTTP_CODING_GZIP, HTTP_CODING_ZSTD };
/* Makes the head of an answer with a body of that many bytes; UINT64_MAX: the length is unknown.
 * Returns false if there is not enough memory. */
bool http_response_begin(struct http_response *response, const struct http_request *request,
                         const struct http_answer *answer, enum http_coding coding,
                         uint64_t body_bytes);
/* Gives the answer to the worker; the response is taken. `to`: STREAMING or ANSWERED. */
void http_hand_in(struct http_request *request, struct http_response *response,
                  enum http_request_state to);
/* Makes a whole answer that needs no memory. Late clients get 503, so that they retry: a sender
 * that takes 408 for final would drop its samples after the process was suspended.
 * HTTP_RAW_FULL: beyond the limit of connections, or no memory for a connection.
 * HTTP_RAW_NOT_TLS (400): the client speaks HTTP where TLS is expected. */
enum http_raw { HTTP_RAW_LATE, HTTP_RAW_NO_MEMORY, HTTP_RAW_FULL, HTTP_RAW_NOT_TLS };
enum { HTTP_RAW_BYTES = 512 };
struct bytes http_raw_answer(enum http_raw what, char to[static HTTP_RAW_BYTES]);
/* Sends it on a socket in clear text, unless that takes no bytes. */
void http_send_raw(int fd, enum http_raw what);

/* http_stream.c, for the worker. */
enum http_stream_state {
    HTTP_STREAM_MORE,    /* there are bytes to send */
    HTTP_STREAM_LATER,   /* the connection will be woken */
    HTTP_STREAM_END,     /* all is sent */
    HTTP_STREAM_ABORTED, /* the stream ended early */
};
/* *ret_parts are views of the bytes in the ring, valid until they are consumed. */
enum http_stream_state http_stream_look(struct http_request *request, struct bytes ret_parts[2]);
void http_stream_consume(struct http_request *request, size_t size);

/* http_coding.c */
/* Returns true if a body of this type is worth compressing. NULL: false. */
bool http_is_text(const char *content_type);
/* `coding`: HTTP_CODING_GZIP or _ZSTD. */
bool http_accepts(const struct http_request *request, enum http_coding coding);
/* Returns false if there is not enough memory, or the result is not smaller. */
bool http_gzip(struct budget *budget, struct bytes from, struct buf *to);
/* Returns false if there is not enough memory. `from` is a valid gzip file of less than 4 GiB. */
bool http_gunzip(struct budget *budget, struct bytes from, struct buf *to);
/* For a stream; `coding`: HTTP_CODING_GZIP or _ZSTD. NULL if there is not enough memory. */
struct http_packer *http_packer_new(enum http_coding coding, struct budget *budget);
void http_packer_free(struct http_packer *packer);
typedef enum err (*http_packed_fn)(struct http_request *request, struct bytes out, struct why *why);
/* Compresses a piece, and the end if it is the last, and passes the result on. ERR_NOMEM, and
 * errors of `write`. */
MUST_CHECK enum err http_packer_put(struct http_packer *packer, struct bytes piece, bool last,
                                    http_packed_fn write, struct http_request *request,
                                    struct why *why);

/* http_watch.c */
void http_watch_run(void *server);
void http_watch_wake(struct http_server *server);

#endif
