/*
 * http_server.h - the HTTP/1.1 server: requests, answers, deadlines and limits. README.md in this
 * folder explains how it works.
 *
 * A handler is called once per request, on an HTTP worker thread, when the whole body has arrived.
 * It must not wait: it either answers at once or keeps the request and lets another thread answer
 * later; meanwhile the connection is suspended and occupies no worker. Each request is answered
 * exactly once, by http_reply() or by a stream.
 *
 * A place may have TLS (tls.h): the handshake is part of the time for the first request's headers.
 * Where the server would answer a connection before it has a request (too late, beyond the limit),
 * a client of TLS sees the connection end instead.
 *
 * The server itself answers: 301 to a path with empty or dot segments (308 to methods other than
 * GET and HEAD), 404 unknown path, 405 + Allow, 413 body too large, 415 content encoding that the
 * route does not take, 431 header too large (414 when the request line alone does not fit), 503 +
 * Retry-After when the deadline of a header or body passes, beyond the connection limit, while
 * stopping, and when there is not enough memory for a request. 400, 417, 501 and 505 answer
 * requests that are not valid HTTP/1.1 (contradictory lengths, missing Host, unknown transfer
 * codings or expectations, another version).
 *
 * A gate (struct http_gate) may ask for credentials: 401, 403. It is asked before a path, a method
 * or a body is judged, after what makes a request ambiguous. If it has to see the body first, 413
 * and 503 come before its decision.
 *
 *        accept -> [headers: header_timeout] -> [body: body_timeout] -> handler -> reply -> idle
 *                                                                        (suspended) (idle_timeout)
 *
 * Threads: `workers` event loops (epoll), one thread that accepts connections and enforces
 * deadlines.
 */
#ifndef NET_HTTP_SERVER_H
#define NET_HTTP_SERVER_H

#include "base/buf.h"
#include "base/mem.h"
#include "sys/env.h"

enum http_method {
    HTTP_GET = 1,
    HTTP_POST = 2,
    HTTP_PUT = 4,
    HTTP_DELETE = 8,
    HTTP_OPTIONS = 16
}; /* bits of a set. Routes of GET get HEAD, too. To other methods, a path that has routes of
    * OPTIONS only is unknown. */

struct http_server;
struct http_request;

struct http_route {
    const char *path;        /* exact, without query string; ending in "*": a prefix */
    unsigned methods;        /* set of enum http_method */
    uint64_t body_bytes_max; /* 0: the limit of the server */
    void (*handler)(void *context, struct http_request *request);
    void *context;
    /* Content-Encodings of a request body that the handler decodes, separated by spaces; others are
     * answered 415. "*": the handler judges them all. NULL: the handler decodes nothing. A body
     * without Content-Encoding is always accepted. */
    const char *encodings;
    /* Refusals other than 404 and 405 are in JSON, like the errors of Prometheus' API. */
    bool errors_in_json;
    unsigned access;      /* what the gate asks for; the server does not look at it */
    const char *argument; /* NULL, or one that requests for the route have in the URL */
};

/* The gate: decides about each request, before its path, method and body are judged, who sends it
 * and whether he may. Its functions are called on workers and must not wait. */
struct http_denial {
    unsigned status;       /* 401, 403, 429, 503 */
    const char *text;      /* static */
    const char *challenge; /* value of WWW-Authenticate, as long-lived as the server; or NULL */
};
enum http_entry {
    HTTP_ENTRY_OPEN,
    HTTP_ENTRY_ANYONE, /* open to everybody, without credentials: its body is thrown away */
    HTTP_ENTRY_DENIED, /* *ret_denial says how */
    HTTP_ENTRY_LATER,  /* any thread will call http_entry_decide(); the request waits, unread */
    HTTP_ENTRY_BODY,   /* the body has to be read first: judge_body() is called then */
};
struct http_gate {
    void *context;
    enum http_entry (*judge)(void *context, struct http_request *request,
                             struct http_denial *ret_denial);
    enum http_entry (*judge_body)(void *context, struct http_request *request,
                                  struct http_denial *ret_denial); /* not LATER or BODY */
    /* For memory of requests that are not let in, a budget below that of the server; NULL: that
     * one. Bodies that wait for judge_body() count against it, 503 beyond its limit; one of them
     * may have a third of that, and body_bytes_max of the server, whatever its route allows: 413
     * beyond it. So do heads of more than 16 KiB, bytes that arrive before the request that they
     * follow is answered, and answers of more than 4 KiB to anyone. */
    struct budget *unverified;
    /* Called once with the status of the answer, before it is sent; any thread. Not for what the
     * server refuses without a sender. May be NULL. */
    void (*answered)(void *context, const struct http_request *request, unsigned status);
};

/* The largest header limit, which is Prometheus' own. */
enum { HTTP_HEADER_BYTES_CEILING = 1024 * 1024 };

struct tls;
struct tls_peer;

enum { HTTP_LISTENERS_MAX = 64 };

/* A place where the server listens: a TCP port, a Unix socket, or a socket that listens already. */
struct http_place {
    const char *name;      /* for messages: as it was configured */
    const char *host;      /* a name, an address, or "" for all; NULL for the other two kinds */
    uint16_t port;         /* 0: the kernel chooses */
    const char *unix_path; /* removed when the server stops */
    unsigned unix_mode;    /* 0660 */
    int socket;            /* of the third kind; is closed when the server stops */
    struct tls *tls;       /* NULL: clear text; the server takes a reference of its own */
};

struct http_options {
    struct env *env;
    const struct http_place *places; /* copied but for texts, which outlive the server */
    size_t place_count;              /* at most HTTP_LISTENERS_MAX */
    unsigned workers;                /* at least 2 */
    unsigned connections_max;        /* a quarter of them is kept for the places, in equal shares */
    size_t header_bytes_max; /* request line and headers together; <= HTTP_HEADER_BYTES_CEILING */
    uint64_t body_bytes_max;
    int64_t header_timeout_ns;       /* from the first byte (or accept) to the end of the headers */
    int64_t body_timeout_ns;         /* from there to the end of the body */
    int64_t idle_timeout_ns;         /* between requests */
    int64_t send_timeout_ns;         /* a client that takes nothing for this long is cut off */
    size_t stream_buffer_bytes;      /* per streamed answer */
    struct budget *budget;           /* requests and answers */
    const struct http_route *routes; /* these and their texts outlive the server */
    size_t route_count;
    struct http_gate gate; /* without `judge` everybody may everything */
};

/* Numbers for /metrics; all since start but connections_now. */
struct http_stats {
    uint64_t connections_now;
    uint64_t connections_total;
    uint64_t connections_refused;   /* beyond the limit */
    uint64_t connections_displaced; /* cut to make place for others */
    uint64_t requests_total;
    uint64_t requests_by_class[6]; /* [2] is 2xx ... */
    uint64_t timeouts_header;
    uint64_t timeouts_body;
    uint64_t timeouts_idle;
    uint64_t timeouts_send;
    uint64_t body_bytes;
    uint64_t handshakes;        /* of TLS, that ended well */
    uint64_t handshakes_failed; /* or did not */
};

/* Listens at the places for a moment. Errors of http_server_start(). */
MUST_CHECK enum err http_places_check(struct env *env, const struct http_place *places,
                                      size_t count, struct why *why);

/*
 * Listens and serves when it returns. `env`, `budget` and the routes outlive it, the other options
 * are copied.
 * ERR_INPUT (host or path), ERR_AGAIN (address in use), ERR_NOMEM
 * (also if threads or descriptors have run out).
 */
MUST_CHECK enum err http_server_start(const struct http_options *options,
                                      struct http_server **ret_server, struct why *why);
/* Returns the port of the first place; 0 for a Unix socket. */
uint16_t http_server_port(const struct http_server *server);
/* Replaces the TLS of a place that has TLS: for new connections, and for the next request of open
 * ones, which end there if the new one does not accept their client's certificate. */
void http_server_set_tls(struct http_server *server, size_t place, struct tls *tls);
/* Replaces the header lines that all answers get but those that need no memory: "Name: value\r\n"
 * each. Takes the lines over; `lines` is empty then. */
void http_server_set_headers(struct http_server *server, struct buf *lines);
/* Refuses new connections; new requests on open connections get 503 + "Connection: close"; requests
 * that have begun go on. */
void http_server_quiesce(struct http_server *server);
/* Counts requests that were given to a handler and whose answer is not sent. */
unsigned http_server_busy(struct http_server *server);
/* Ends all connections and threads, even while they send: an owner that wants all answers sent
 * waits for http_server_busy() to be 0 before. Waits until requests with a handler are answered,
 * whose clients are gone by then (http_gone(), and ERR_CANCELED of streams). NULL is fine. */
void http_server_free(struct http_server *server);
void http_server_stats(struct http_server *server, struct http_stats *ret_stats);

/* --- the request; views live until it is answered --------------------------------------------- */

enum http_method http_method(const struct http_request *request);
const char *http_path(const struct http_request *request);
/* The path as it was sent if it has an escaped slash: "/a%2Fb", for which http_path() is "/a/b".
 * Otherwise NULL: each slash of http_path() separates segments. */
const char *http_path_sent(const struct http_request *request);
/* NULL when absent. Names are case-insensitive. */
const char *http_header(const struct http_request *request, const char *name);
/* Returns the number of headers of that name; http_header() returns the first. */
unsigned http_header_count(const struct http_request *request, const char *name);
/* A decoded query-string argument; NULL when absent, "" when it has no value. One with a % that
 * two hexadecimal digits do not follow counts as absent. */
const char *http_argument(const struct http_request *request, const char *name);
/* For arguments that may be repeated, like match[]: returns the next at or after *at, which is 0 at
 * first, and moves *at beyond it. */
const char *http_argument_next(const struct http_request *request, const char *name, uint32_t *at);
/* Describes the first malformed argument of the query string in the words of Go's net/url: `invalid
 * URL escape "%zz"`, or `invalid semicolon separator in query`. NULL if all are well-formed. */
const char *http_query_wrong(const struct http_request *request);
/* True if the name of a malformed argument, which counts as missing, begins with the prefix. */
bool http_query_drops(const struct http_request *request, const char *prefix);
struct bytes http_body(const struct http_request *request);
/* Frees the body before the request is answered. */
void http_body_release(struct http_request *request);
/* Monotonic time at which the request's first byte was read. */
int64_t http_began_ns(const struct http_request *request);
/* "address:port" of the peer, for logs. */
const char *http_peer(const struct http_request *request);
/* Returns true when the client has gone. A client that closed only its sending side counts as gone.
 * Valid until the request is given back, also while streaming. */
bool http_gone(const struct http_request *request);

/* --- the gate --------------------------------------------------------------------------------- */

/* Ends HTTP_ENTRY_LATER; the request must not be touched afterwards. NULL: it may go on. */
void http_entry_decide(struct http_request *request, const struct http_denial *denial);
/* Returns `access` of the route; of an unknown path or method, `unknown`. */
unsigned http_access(const struct http_request *request, unsigned unknown);
/* Returns the index of the place where the client connected. */
size_t http_place_index(const struct http_request *request);
/* Writes the peer's address, 16 bytes, IPv4 mapped. False: a Unix socket has none. */
bool http_peer_address(const struct http_request *request, uint8_t *ret_address);
/* Return the method and the target of the request line, with its query, as they were sent. */
const char *http_method_sent(const struct http_request *request);
const char *http_target_sent(const struct http_request *request);
/* Returns the name and the value of the header line at that index; false after the last. */
bool http_header_at(const struct http_request *request, uint32_t index, const char **ret_name,
                    const char **ret_value);
/* Says whether the request arrived over TLS. */
bool http_has_tls(const struct http_request *request);
/* The client's verified certificate, or NULL. Within judge() and judge_body() only. */
const struct tls_peer *http_tls_peer(const struct http_request *request);
/* Keeps the sender with the request. `release` is called once, at the end of the request. */
void http_set_sender(struct http_request *request, void *sender, void (*release)(void *sender));
/* Returns the sender; NULL if none was set. */
void *http_sender(const struct http_request *request);

/* --- the answer, from any thread -------------------------------------------------------------- */

struct http_answer_header {
    const char *name;
    const char *value;
};
enum { HTTP_ANSWER_HEADERS_MAX = 8 };

struct http_answer {
    unsigned status;
    const char *content_type; /* NULL: no such header */
    struct bytes body;        /* copied */
    bool is_gzip; /* the body is a gzip file, which clients get decoded if they do not take gzip */
    struct http_answer_header headers[HTTP_ANSWER_HEADERS_MAX]; /* ends at the first NULL name */
};

/* Adds a header to the answer, whatever it will be; at most six. Both texts are borrowed until the
 * request is answered; views of the request are fine. */
void http_answer_also(struct http_request *request, const char *name, const char *value);

/* Answers, and gives the request back: it must not be touched afterwards. Text (text/..., JSON) of
 * 1 KiB or more is sent with gzip if the client takes it. The body may be a view of the request.
 * When there is no memory for the answer the client gets 503 instead. */
void http_reply(struct http_request *request, const struct http_answer *answer);
/* Answers with plain text made with printf. */
void http_reply_text(struct http_request *request, unsigned status, const char *format, ...)
    PRINTF_LIKE(3, 4);

/*
 * A streamed answer: begin, write pieces, end. `content_length` may be UINT64_MAX when unknown
 * (chunked, and text in zstd or gzip if the client takes it); otherwise it is never exceeded. The
 * answer's own body is not used.
 *
 * http_stream_begin() fails with ERR_NOMEM; the request is then still unanswered. After success
 * views of the request are gone. http_stream_write() waits while the buffer is full, and so may
 * http_stream_end(), so they must not be called from within a handler; ERR_CANCELED when the client
 * is gone or has taken nothing for send_timeout. Pieces of an answer to HEAD are dropped.
 * http_stream_end() gives the request back; with `complete` false, or fewer bytes than announced,
 * the connection is cut, so that the client cannot take the answer for whole.
 */
MUST_CHECK enum err http_stream_begin(struct http_request *request,
                                      const struct http_answer *answer, uint64_t content_length,
                                      struct why *why);
MUST_CHECK enum err http_stream_write(struct http_request *request, struct bytes piece,
                                      struct why *why);
void http_stream_end(struct http_request *request, bool complete);
/* Limits how long the producer waits for a slow client. http_stream_write() returns ERR_CANCELED
 * when it would have to wait and the deadline (monotonic) has passed, or if two seconds of waiting
 * bring less than 128 KiB while *others_waiting, the number of requests that wait for the
 * producer's place, is above 0. To be called right after http_stream_begin(); the counter outlives
 * the request. */
void http_stream_limit(struct http_request *request, int64_t deadline_ns,
                       const _Atomic uint32_t *others_waiting);

#endif
