/*
 * http_calls.h - many HTTP requests at once, over kept connections, through libcurl's multi
 * interface. Nothing is repeated and no answer is judged here: that is the business of whoever
 * knows the protocol.
 *
 * Threads: all calls of one `struct http_calls` are made by one thread, but http_calls_wake().
 */
#ifndef NET_HTTP_CALLS_H
#define NET_HTTP_CALLS_H

#include <poll.h>

#include "base/buf.h"
#include "base/err.h"
#include "sys/env.h"

enum {
    HTTP_CALLS_HEADERS_MAX = 32,
    HTTP_CALLS_WANTED_MAX = 8,
    HTTP_CALLS_WANTED_BYTES = 256,
    HTTP_CALLS_ALSO_MAX = 16,
};

/* What several requests have in common. Texts are borrowed for as long as a call is under way. */
struct http_calls_target {
    /* "http://user:password@host:port"; NULL: as the environment says (http_proxy, https_proxy,
     * all_proxy, no_proxy); "": none. */
    const char *proxy_url;
    const char *no_proxy;  /* beside proxy_url: hosts and networks without it; NULL: none */
    const char *ca_file;   /* PEM, also for a proxy of https; NULL: the system's */
    const char *cert_file; /* PEM, of the client; NULL: none */
    const char *key_file;
    const char *server_name; /* expected in the certificate, and asked for; NULL: the URL's host */
    const char *min_version; /* "TLS10" to "TLS13"; NULL: the library's default */
    const char *max_version;
    bool insecure; /* the certificate is not checked */
    int64_t connect_timeout_ms;
    int64_t timeout_ms; /* of the whole call; 0: none */
};

struct http_call_answer;

/* For a body that is taken piece by piece as it comes, of a 2xx; of another answer it is in the
 * answer. Called by http_calls_poll() and http_calls_resume(), and must call nothing here. */
struct http_call_stream {
    /* Status and headers are there; the answer ends with the call. */
    void (*begun)(void *context, const struct http_call_answer *answer);
    /* False: there is no room. The call rests until http_calls_resume(); then the piece comes
     * again. */
    bool (*take)(void *context, struct bytes piece);
};

struct http_call {
    const struct http_calls_target *target;
    const char *method; /* "POST", "PUT", "GET", "DELETE", "HEAD" */
    const char *url;
    const char *const *headers; /* "Name: value"; NULL after the last */
    struct bytes body;          /* borrowed until the call is done */
    const char *const *wanted; /* names of the answer's headers; NULL after the last; may be NULL */
    size_t answer_bytes_max;   /* what is beyond is cut off; 16 MiB beyond it the call is */
    const struct http_call_stream *stream; /* NULL: the body is in the answer */
    void *context;                         /* the caller's own */
};

/* Why a call has no answer. */
enum http_call_failure {
    HTTP_CALL_ANSWERED,
    HTTP_CALL_BAD_URL,
    HTTP_CALL_RESOLVE, /* the name */
    HTTP_CALL_CONNECT,
    HTTP_CALL_PROXY, /* it refuses to connect to an https host */
    HTTP_CALL_TLS,   /* no trust, a wrong name, a handshake that failed */
    HTTP_CALL_TIMEOUT,
    HTTP_CALL_BROKEN, /* the connection, before the answer was whole */
    HTTP_CALL_NO_MEMORY,
};

struct http_call_answer {
    void *context;
    enum http_call_failure failure;
    unsigned status;       /* 0: none */
    unsigned proxy_status; /* of HTTP_CALL_PROXY: what it answered */
    struct bytes body;     /* of a refusal without our own credentials (http_answer.h) */
    bool body_cut;
    char wanted[HTTP_CALLS_WANTED_MAX][HTTP_CALLS_WANTED_BYTES]; /* in the order asked for; "" */
    int64_t retry_after_ns;                                      /* 0: not said */
    int64_t date_s;  /* of the answer's Date header, Unix; 0: none */
    char error[256]; /* in words, where there is no answer */
};

struct http_calls;
/* ERR_NOMEM. `budget` may be NULL: answers' bodies are charged to it. */
MUST_CHECK enum err http_calls_new(struct env *env, struct budget *budget, const char *user_agent,
                                   struct http_calls **ret_calls, struct why *why);
/* Gives up what is under way. */
void http_calls_free(struct http_calls *calls);

/* Begins a call. ERR_NOMEM; ERR_INPUT: headers or wanted ones beyond their number. */
MUST_CHECK enum err http_calls_start(struct http_calls *calls, const struct http_call *call,
                                     struct why *why);
/* Goes on with a call whose stream had no room. `context`: the call's, as in the next one. */
void http_calls_resume(struct http_calls *calls, const void *context);
/* Gives up a call that is under way, and its connection with it. */
void http_calls_give_up(struct http_calls *calls, const void *context);
/* How many are under way. */
uint32_t http_calls_count(const struct http_calls *calls);
/* Waits until something happens, at most `wait_ms`, and goes on with all calls. */
void http_calls_poll(struct http_calls *calls, int wait_ms);
/* The same, and until one of these descriptors is ready, whose `revents` say so; at most
 * HTTP_CALLS_ALSO_MAX. */
void http_calls_poll_also(struct http_calls *calls, struct pollfd *also, uint32_t count,
                          int wait_ms);
/* One that is done, in no order; its body is a view until the next of these calls. False: none. */
bool http_calls_done(struct http_calls *calls, struct http_call_answer *ret_answer);
/* Ends a http_calls_poll() that waits. From any thread. */
void http_calls_wake(struct http_calls *calls);

#endif
