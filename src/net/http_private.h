/*
 * http_private.h - what the http_*.c files share. Nobody else includes it.
 *
 *   http_server.c    start, stop, statistics
 *   http_serve.c     what libmicrohttpd calls: routing, refusals, bodies, the hand-over to handlers
 *   http_request.c   the request's views, and answers made whole
 *   http_gzip.c      both in gzip
 *   http_stream.c    answers made piece by piece
 *   http_watch.c     the thread that accepts, enforces deadlines and parts from clients politely
 */
#ifndef NET_HTTP_PRIVATE_H
#define NET_HTTP_PRIVATE_H

#include <microhttpd.h>
#include <netinet/in.h>

#include "base/buf.h"
#include "base/lock.h"
#include "net/http_server.h"

enum {
    HTTP_POOL_BYTES = 32 * 1024,
    /* Each argument takes a record from the pool; see http_on_uri() for what happens beyond. */
    HTTP_ARGUMENTS_MAX = 96,
    HTTP_WRONG_BYTES = 48, /* a sentence about a query string */
    /* A body up to here is read to its end before the refusal is sent, so that the connection can
     * be kept. */
    HTTP_REFUSED_BODY_BYTES = 64 * 1024,
    HTTP_PEER_BYTES = INET6_ADDRSTRLEN + 8,
    HTTP_PARTINGS_MAX = 64,
    HTTP_ALSO_MAX = 6, /* headers that all answers to a request get */
};
#define HTTP_RETRY_AFTER "5"

/*
 * What a connection is doing, as far as deadlines are concerned.
 *
 *      accept --> HEADER --on_headers()--> BODY --on_complete()--> HANDLER -----queue()----> SEND
 *                   ^                       |                                ^               |
 *     http_on_uri() |                       +--------- refused early --------+       http_on_
 *    or first byte  |                                                            completed() |
 *                  IDLE <--------------------------------------------------------------------+
 *
 * From HEADER, BODY, IDLE and SEND the watch thread may go to CUT, which nothing leaves: whoever
 * gets there shuts the socket down, and libmicrohttpd closes it.
 */
enum http_phase {
    HTTP_PHASE_HEADER,
    HTTP_PHASE_BODY,
    HTTP_PHASE_HANDLER,
    HTTP_PHASE_SEND,
    HTTP_PHASE_IDLE,
    HTTP_PHASE_CUT,
};

struct http_conn {
    /* Immutable once listed. */
    struct http_server *server;
    int fd; /* libmicrohttpd's; open at least until http_on_connection() unlists the connection */
    char peer[HTTP_PEER_BYTES];

    /* Guarded by server->lock. */
    struct http_conn *next;
    struct http_conn *prev;
    bool started; /* libmicrohttpd has announced it, and will announce its end */

    /*
     * The phase and the monotonic time it began, in one word (http_clock()), so that the watch
     * thread cannot cut a phase that began after the one it judged. acq_rel: who finds a phase
     * sees what was done before it was entered.
     */
    _Atomic uint64_t clock;

    /* The connection's worker only. */
    int64_t began_ns;
    bool fresh;     /* no request line yet */
    bool bad_uri;   /* of the present request: its path, */
    bool bad_query; /* or what follows that */
    bool linger;    /* closed before all that was sent to us is read: see http_watch.c */
    /* Of the present request, for http_path_sent(): NUL-terminated; empty: no slash is escaped.
     * Read by whoever holds the request. */
    struct buf sent_path;
    char wrong_query[HTTP_WRONG_BYTES]; /* for http_query_wrong(), likewise; empty: nothing */

    /* The watch thread only. */
    uint64_t seen_clock;
    uint64_t seen_bytes;
    int seen_queue;
    bool seen_end;
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
    struct http_conn *conn; /* gone once `attached` is false; so is the next */
    struct MHD_Connection *mhd;
    const struct http_route *route;
    enum http_method method;
    bool head;
    bool given; /* to the handler */
    const char *path;
    int64_t began_ns;
    char peer[HTTP_PEER_BYTES];
    struct http_refusal refusal;
    struct lock *lock; /* the lock below, for those who hold the request as const */

    /* The worker's until the request is given to the handler, then the holder's. */
    struct buf body;
    struct http_answer_header also[HTTP_ALSO_MAX + 1]; /* ends at the first NULL name */

    struct lock own_lock; /* LOCK_RANK_HTTP; guards to the end */
    bool attached;        /* libmicrohttpd still has it */
    bool held;            /* a handler, or whom it gave it to, still has it; freed when neither */
    bool suspended;
    bool answered;
    unsigned status;
    struct MHD_Response *response; /* NULL though answered: there was no memory for it */
    struct http_stream stream;
};

/* A connection that is not (or no longer) libmicrohttpd's. */
struct http_parting {
    int fd;
    bool waiting; /* for a request to refuse */
    int64_t until_ns;
    uint64_t bytes_left;
};

struct http_server {
    /* Immutable after http_server_start(). */
    struct http_options options; /* routes and host are not used from here */
    struct http_route *routes;
    char *route_texts;
    size_t route_texts_size;
    struct MHD_Daemon *daemon;
    struct MHD_Response *no_memory; /* 503, made while there was memory */
    struct env_thread *watch;
    uint16_t port;
    int wake_fd; /* eventfd: the watch thread should look at what changed */
    int kick_fd; /* eventfd in every worker's epoll set: see http_watch.c */
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
    _Atomic bool hurry;     /* relaxed: the write to wake_fd orders it */
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
/* One that is listed, but not yet announced, under this descriptor; NULL: there is none. */
struct http_conn *http_conn_unstarted_locked(struct http_server *server, int fd);

/* http_serve.c: callbacks. */
void *http_on_uri(void *server, const char *uri, struct MHD_Connection *mhd);
size_t http_unescape(void *server, struct MHD_Connection *mhd, char *text);
enum MHD_Result http_on_access(void *server, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *upload,
                               size_t *upload_size, void **request);
void http_on_completed(void *server, struct MHD_Connection *mhd, void **request,
                       enum MHD_RequestTerminationCode why);
void http_on_connection(void *server, struct MHD_Connection *mhd, void **conn,
                        enum MHD_ConnectionNotificationCode what);

/* http_request.c */
/* NULL: a target without a path. */
const char *http_path_of(const char *uri);
struct http_request *http_request_new(struct http_conn *conn, struct MHD_Connection *mhd);
void http_request_free(struct http_request *request);
/* NULL: no memory. `request` may be NULL. */
struct MHD_Response *http_response_new(struct http_server *server,
                                       const struct http_request *request,
                                       const struct http_answer *answer);
/* What of the encoding of an answer depends on what the client accepts. */
enum http_coding { HTTP_CODING_NONE, HTTP_CODING_POSSIBLE, HTTP_CODING_GZIP };
bool http_response_add_headers(struct MHD_Response *response, const struct http_request *request,
                               const struct http_answer *answer, enum http_coding coding);
/* Gives the answer to the worker; the response is taken. With `keep` the request stays held. */
void http_hand_in(struct http_request *request, unsigned status, struct MHD_Response *response,
                  bool keep);
/* The whole of an answer that is sent past libmicrohttpd. One who is late is told to come again
 * (503): a sender that takes 408 for final would drop its samples when the machine stood still. */
enum http_raw { HTTP_RAW_LATE, HTTP_RAW_NO_MEMORY, HTTP_RAW_LARGE_BODY, HTTP_RAW_LARGE_QUERY };
unsigned http_raw_status(enum http_raw what);
void http_send_raw(int fd, enum http_raw what, bool json);

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
/* Makes the watch thread look at connections soon: one waits for a request that cannot come. */
void http_watch_hurry(struct http_server *server);

#endif
