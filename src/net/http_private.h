/*
 * http_private.h - what the http_*.c files share. Nobody else includes it.
 *
 *   http_server.c    start, stop, statistics
 *   http_watch.c     the thread that accepts, enforces deadlines and parts from clients politely
 *   http_conn.c      the workers: events, reading requests, sending answers
 *   http_head.c      what a request's head says; bodies in chunks
 *   http_serve.c     routing, refusals, the hand-over to handlers
 *   http_request.c   the request's views, and answers made whole
 *   http_gzip.c      both in gzip
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

enum {
    /* A body up to here is read to its end before the refusal is sent, so that the connection can
     * be kept. */
    HTTP_REFUSED_BODY_BYTES = 64 * 1024,
    HTTP_PEER_BYTES = INET6_ADDRSTRLEN + 8,
    HTTP_PARTINGS_MAX = 64,
    HTTP_ALSO_MAX = 6,           /* headers that all answers to a request get */
    HTTP_READ_BYTES = 64 * 1024, /* at once; each worker has room for it */
    HTTP_FRAME_BYTES = 24,       /* the line of a chunk, and the end of the one before */
};
#define HTTP_RETRY_AFTER "5"

/*
 * What a connection is doing, as far as deadlines are concerned.
 *
 *      accept --> HEADER --head is whole--> BODY --body is whole--> HANDLER --answer--> SEND
 *                   ^                        |                                ^          |
 *        first byte |                        +--------- refused early --------+     sent |
 *                  IDLE <-----------------------------------------------------------------+
 *
 * From HEADER, BODY, IDLE and SEND the watch thread may go to CUT, which nothing leaves: whoever
 * gets there shuts the socket down, and its worker closes it.
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
 * What its worker does with a connection: http_conn.c.
 *
 * 1. In HEAD and BODY nothing of an answer is there; `request` is NULL in HEAD, and not in BODY.
 * 2. In WAIT the request is with a handler, and the connection stays until it is answered.
 * 3. In SEND `response` is there, and stays until all of it is sent; if it is NULL (no memory, or
 *    the connection has been cut), the connection ends.
 * 4. What has arrived and belongs to a later request is in `ahead`, and nothing is read until the
 *    present one is answered.
 */
enum http_step { HTTP_STEP_HEAD, HTTP_STEP_BODY, HTTP_STEP_WAIT, HTTP_STEP_SEND };

struct http_conn {
    /* Immutable once listed. */
    struct http_server *server;
    struct http_worker *worker;
    int fd; /* open at least until the connection is unlisted */
    char peer[HTTP_PEER_BYTES];

    /* Guarded by server->lock. */
    struct http_conn *next;
    struct http_conn *prev;

    /*
     * The phase and the monotonic time it began, in one word (http_clock()), so that the watch
     * thread cannot cut a phase that began after the one it judged. acq_rel: who finds a phase
     * sees what was done before it was entered.
     */
    _Atomic uint64_t clock;

    /* The next of those that http_conn_wake() names: whoever wakes it, then the worker. */
    struct http_conn *next_woken;

    /* The worker only. */
    enum http_step step;
    bool readable; /* there may be something to read */
    bool hung_up;  /* an end, or an error, is after that */
    bool ended;    /* the client has ended its side */
    bool keeps;    /* a next request may follow */
    bool linger;   /* closed before all that was sent to us is read: see http_watch.c */
    bool is_due;   /* on the worker's list */
    struct http_conn *next_due;
    int64_t began_ns; /* of the present request */
    struct buf in;    /* of its head */
    size_t scanned;   /* of that, for its end */
    struct buf ahead;
    struct http_request *request;
    struct http_response *response;
    size_t head_sent;
    size_t body_sent;
    char frame[HTTP_FRAME_BYTES]; /* of a stream in chunks: what comes before the bytes of one */
    size_t frame_size;
    size_t frame_sent;
    size_t chunk_left;
    bool began_chunks;
    bool ended_chunks;

    /* The watch thread only. */
    uint64_t seen_clock;
    uint64_t seen_bytes;
    int seen_queue;
    int64_t progress_ns;
};

/* A request the server answers itself. */
struct http_refusal {
    unsigned status; /* 0: none */
    bool close;
    bool json;
    const char *text;
    char allow[48]; /* "" unless 405 */
};

/* An answer, made whole but for the body of a stream. */
struct http_response {
    struct budget *budget;
    unsigned status;
    bool streams;
    bool chunked;
    bool has_body; /* that is sent: not after HEAD */
    bool closes;
    struct buf head;
    struct buf body;
};

/* With a `text` that needs no escapes. */
#define HTTP_REFUSAL_JSON "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"%s\"}"
#define HTTP_TYPE_JSON    "application/json"
#define HTTP_TYPE_TEXT    "text/plain; charset=utf-8"

struct http_stream {
    uint8_t *ring;
    size_t capacity;
    size_t start;
    size_t used;
    uint64_t left;                          /* of the announced length; UINT64_MAX: unknown */
    struct http_gzip *gzip;                 /* the producer's; NULL: it is sent as it is */
    bool nowhere;                           /* the answer has no body (HEAD, 204, 304) */
    bool ended;                             /* nothing more will be written */
    bool aborted;                           /* and what was is not all */
    const _Atomic uint32_t *others_waiting; /* NULL: no limits */
    int64_t deadline_ns;                    /* monotonic */
    uint64_t waited_ns;                     /* for room */
    uint64_t taken_slowly;                  /* bytes meanwhile */
    struct cond room;
};

struct http_request {
    /* Immutable once given to the handler. */
    struct http_server *server;
    struct http_conn *conn; /* gone once `attached` is false */
    struct http_head head;
    const struct http_route *route;
    enum http_method method;
    bool is_head; /* HEAD, which `method` calls GET */
    bool given;   /* to the handler */
    int64_t began_ns;
    char peer[HTTP_PEER_BYTES];
    struct http_refusal refusal;
    struct lock *lock; /* the lock below, for those who hold the request as const */

    /* The worker's until the request is given to the handler, then the holder's. */
    struct http_chunks chunks;
    struct buf body;
    struct http_answer_header also[HTTP_ALSO_MAX + 1]; /* ends at the first NULL name */

    struct lock own_lock; /* LOCK_RANK_HTTP; guards to the end */
    bool attached;        /* its connection still has it */
    bool held;            /* a handler, or whom it gave it to, still has it; freed when neither */
    bool suspended;       /* the worker has to be woken for the answer, or for more of it */
    bool answered;
    struct http_response *response; /* NULL though answered: there was no memory for it */
    struct http_stream stream;
};

/* A thread that reads requests and sends answers: http_conn.c. */
struct http_worker {
    struct http_server *server;
    struct env_thread *thread;
    int epoll_fd;
    int wake_fd;      /* eventfd: look at `woken`, or stop */
    uint8_t *scratch; /* HTTP_READ_BYTES */

    _Atomic bool stopping; /* relaxed: the write to wake_fd orders it */
    /* A stack that many push on and the worker takes whole. Release and acquire: the worker sees
     * what was done before a connection was woken. */
    struct http_conn *_Atomic woken;

    /* The worker only: connections that have more to do than one turn. */
    struct http_conn *due_first;
    struct http_conn **due_end;
};

/* A connection that is no worker's. */
struct http_parting {
    int fd;
    bool waiting;     /* for a request to refuse */
    int64_t until_ns; /* later with all that arrives, but ... */
    int64_t end_ns;   /* ... not after this */
    uint64_t bytes_left;
};

struct http_server {
    /* Immutable after http_server_start(). */
    struct http_options options; /* routes and host are not used from here */
    struct http_route *routes;
    char *route_texts;
    size_t route_texts_size;
    struct http_worker *workers; /* options.workers */
    struct env_thread *watch;
    uint16_t port;
    int wake_fd; /* eventfd: the watch thread should look at what changed */
    int64_t tick_ns;

    struct lock lock; /* LOCK_RANK_HTTP; guards to the next blank line */
    struct http_conn *conns;
    unsigned conn_count;
    bool stopping;
    bool listening;
    struct cond listening_changed;
    int parted_fds[HTTP_PARTINGS_MAX]; /* on their way to the watch thread */
    unsigned parted_count;

    _Atomic bool quiescing; /* relaxed: a request that just misses it is served */
    _Atomic bool closing;   /* seq_cst with `held`: give() or stop_threads() sees the other */
    _Atomic unsigned held;  /* once 0 and closing, no thread is inside a call about a request */
    _Atomic unsigned busy;  /* acq_rel: once 0, what the requests did is done */

    /* Relaxed: statistics. */
    _Atomic uint64_t connections_total;
    _Atomic uint64_t connections_refused;
    _Atomic uint64_t requests_total;
    _Atomic uint64_t requests_by_class[6];
    _Atomic uint64_t timeouts_header;
    _Atomic uint64_t timeouts_body;
    _Atomic uint64_t timeouts_idle;
    _Atomic uint64_t timeouts_send;
    _Atomic uint64_t body_bytes;

    /* The watch thread only. */
    int listen_fd;
    int64_t accept_after_ns; /* accepting failed for want of descriptors: not before */
    struct http_parting partings[2 * HTTP_PARTINGS_MAX];
    unsigned parting_count;
    unsigned waiting_count; /* of them */
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

static inline void
http_count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* http_server.c: false when the connection has been cut; the caller then closes it. */
bool http_conn_enter(struct http_conn *conn, enum http_phase phase);
void http_conn_unlist_locked(struct http_conn *conn);

/* http_conn.c */
MUST_CHECK enum err http_workers_start(struct http_server *server, struct why *why);
/* Ends all connections, too; for half-started ones as well. */
void http_workers_stop(struct http_server *server);
/* By the watch thread: a connection that is listed becomes its worker's. ERR_NOMEM: it stays the
 * caller's. */
MUST_CHECK enum err http_conn_start(struct http_conn *conn);
/* Under the lock of the request, which is no longer suspended from here on. */
void http_conn_wake(struct http_conn *conn);

/* http_serve.c */
struct http_request *http_request_new(struct http_conn *conn);
/* Whether a path's route tells refusals in JSON; `target` is a target as it was sent, or its
 * beginning. */
bool http_tells_in_json(const struct http_server *server, struct bytes target);
void http_refuse(struct http_request *request, unsigned status, bool close, const char *text);
/* Judges a request whose head is parsed: sets its route, or a refusal. */
void http_request_judge(struct http_request *request);
uint64_t http_body_limit(const struct http_request *request);
/* Gives a whole request to its handler. False: the server is being freed. */
bool http_give(struct http_request *request);
/* The answer of a refusal; NULL: no memory. */
struct http_response *http_refusal_response(const struct http_request *request);

/* http_request.c */
void http_request_free(struct http_request *request);
/* NULL: no memory. */
struct http_response *http_response_new(const struct http_request *request,
                                        const struct http_answer *answer);
void http_response_free(struct http_response *response);
/* What of the encoding of an answer depends on what the client accepts. */
enum http_coding { HTTP_CODING_NONE, HTTP_CODING_POSSIBLE, HTTP_CODING_GZIP };
/* The head of an answer with a body of so many bytes; UINT64_MAX: a stream that says its end
 * itself. False: no memory. */
bool http_response_begin(struct http_response *response, const struct http_request *request,
                         const struct http_answer *answer, enum http_coding coding,
                         uint64_t body_bytes);
/* Gives the answer to the worker; the response is taken. With `keep` the request stays held. */
void http_hand_in(struct http_request *request, struct http_response *response, bool keep);
/* The whole of an answer that needs no memory. One who is late is asked to come again (503): a
 * sender that takes 408 for final would drop its samples when the machine stood still.
 * HTTP_RAW_FULL: beyond the limit of connections, or no memory for one. */
enum http_raw { HTTP_RAW_LATE, HTTP_RAW_NO_MEMORY, HTTP_RAW_FULL };
void http_send_raw(int fd, enum http_raw what);

/* http_stream.c, for the worker. */
enum http_stream_state {
    HTTP_STREAM_MORE,    /* there are bytes to send */
    HTTP_STREAM_LATER,   /* the connection will be woken */
    HTTP_STREAM_END,     /* all is sent */
    HTTP_STREAM_ABORTED, /* what was sent is not all */
};
/* *ret_parts are views of what is there, valid until it is consumed. */
enum http_stream_state http_stream_look(struct http_request *request, struct bytes ret_parts[2]);
void http_stream_consume(struct http_request *request, size_t size);

/* http_gzip.c */
/* Whether compressing it is worth while. NULL: no. */
bool http_is_text(const char *content_type);
bool http_accepts_gzip(const struct http_request *request);
/* False: no memory, or not smaller. */
bool http_gzip(struct budget *budget, struct bytes from, struct buf *to);
/* For a stream; NULL: no memory. */
struct http_gzip *http_gzip_new(struct budget *budget);
void http_gzip_free(struct http_gzip *gzip);
/* Hands on what comes of a piece, and of the end if it is the last. Errors of `write`. */
MUST_CHECK enum err http_gzip_put(struct http_gzip *gzip, struct bytes piece, bool last,
                                  enum err (*write)(struct http_request *request, struct bytes out,
                                                    struct why *why),
                                  struct http_request *request, struct why *why);

/* http_watch.c */
void http_watch_run(void *server);
void http_watch_wake(struct http_server *server);

#endif
