/*
 * http_calls.h - many HTTP requests at once, over kept connections, through libcurl's multi
 * interface. It neither repeats requests nor judges answers: the caller knows the protocol.
 *
 * Threads: one thread calls all functions of a `struct http_calls`, but http_calls_wake().
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

/* Settings that several requests share. Texts are borrowed for as long as a call is pending. */
struct http_calls_target {
    /* "http://user:password@host:port"; NULL: taken from the environment (http_proxy, https_proxy,
     * all_proxy, no_proxy); "": direct. */
    const char *proxy_url;
    const char *no_proxy;  /* hosts and networks that proxy_url is not used for; may be NULL */
    const char *ca_file;   /* PEM, also for a proxy of https; NULL for the system's certificates */
    const char *cert_file; /* PEM, of the client; may be NULL */
    const char *key_file;
    const char *server_name; /* sent, and expected in the certificate; NULL: the URL's host */
    const char *min_version; /* "TLS10" to "TLS13"; NULL: the library's default */
    const char *max_version;
    const char *unix_path; /* socket that is connected to instead of the URL's host; may be NULL */
    bool insecure;         /* the certificate is not checked */
    int64_t connect_timeout_ms;
    int64_t timeout_ms; /* limits the whole call; 0: unlimited */
};

/* Returns the file with the CA certificates to trust: the configured one, else that of the
 * environment variable SSL_CERT_FILE, which programs with OpenSSL and those in Go obey too; NULL:
 * those of the system. */
const char *http_calls_ca_file(const char *configured);

struct http_call_answer;

/* Takes the body of a 2xx piece by piece as it arrives; the body of another answer is in the
 * answer. Called by http_calls_poll() and http_calls_resume(); must not call functions of this
 * header. */
struct http_call_stream {
    /* Status and headers have come; `answer` lives as long as the call. */
    void (*begun)(void *context, const struct http_call_answer *answer);
    /* Returns false if it has no room. The call then rests until http_calls_resume(), which passes
     * the piece again. */
    bool (*take)(void *context, struct bytes piece);
};

/* A body that is sent piece by piece, in chunks, with trailers after it. Its functions are called
 * by http_calls_poll(), and may wait. */
struct http_call_pieces {
    /* Returns the next piece, a view until the next call; empty after the last. An error breaks the
     * request off. */
    enum err (*next)(void *context, struct bytes *ret_piece);
    /* Returns the trailers, "Name: value", NULL after the last; called after the last piece. */
    const char *const *(*trailers)(void *context);
    void *context;
};

struct http_call {
    const struct http_calls_target *target;
    const char *method; /* "POST", "PUT", "GET", "DELETE", "HEAD" */
    const char *url;
    const char *const *headers;            /* "Name: value"; NULL after the last */
    struct bytes body;                     /* borrowed until the call is done */
    const struct http_call_pieces *pieces; /* posted instead of `body`; NULL: not used */
    const char *const *wanted; /* names of the answer's headers; NULL after the last; may be NULL */
    size_t answer_bytes_max;   /* the body is cut there, and the call ended 16 MiB after it */
    const struct http_call_stream *stream; /* NULL: the body is in the answer */
    void *context;                         /* the caller's own; identifies the call */
};

/* The reason why a call has no answer. */
enum http_call_failure {
    HTTP_CALL_ANSWERED,
    HTTP_CALL_BAD_URL,
    HTTP_CALL_RESOLVE, /* the host's name was not resolved */
    HTTP_CALL_CONNECT,
    HTTP_CALL_PROXY,  /* the proxy refuses to connect to an https host */
    HTTP_CALL_TLS,    /* untrusted certificate, wrong name, failed handshake */
    HTTP_CALL_NO_TLS, /* https to an address where the server expects http */
    HTTP_CALL_TIMEOUT,
    HTTP_CALL_BROKEN, /* the connection ended before the answer was whole */
    HTTP_CALL_NO_MEMORY,
};

struct http_call_answer {
    void *context;
    enum http_call_failure failure;
    unsigned status;       /* 0 if the call failed */
    unsigned proxy_status; /* status of the proxy's answer, for HTTP_CALL_PROXY */
    /* Tokens of ours that a refusal repeats are masked. Before a part of an answer is shown,
     * http_calls_mask() masks the other forms of credentials, too. */
    struct bytes body;
    bool body_cut;
    char wanted[HTTP_CALLS_WANTED_MAX][HTTP_CALLS_WANTED_BYTES]; /* as in call.wanted; "": absent */
    int64_t retry_after_ns;                                      /* 0: not sent */
    int64_t date_s;  /* the Date header, Unix; 0: not sent */
    char error[256]; /* describes the failure */
};

/* Returns the time of a header such as Last-Modified, Unix ms; INT64_MIN: it is none. */
int64_t http_time_ms(const char *text);

struct http_calls;
/* ERR_NOMEM. `budget` may be NULL: answers' bodies are charged to it. */
MUST_CHECK enum err http_calls_new(struct env *env, struct budget *budget, const char *user_agent,
                                   struct http_calls **ret_calls, struct why *why);
/* Gives up pending calls. */
void http_calls_free(struct http_calls *calls);

/* Begins a call. ERR_NOMEM; ERR_INPUT: more than HTTP_CALLS_WANTED_MAX headers are wanted. */
MUST_CHECK enum err http_calls_start(struct http_calls *calls, const struct http_call *call,
                                     struct why *why);
/* Goes on with the call of that context, whose stream had no room. */
void http_calls_resume(struct http_calls *calls, const void *context);
/* Gives up the call of that context: if it is pending, with its connection; else its answer is not
 * given. */
void http_calls_give_up(struct http_calls *calls, const void *context);
/* From now on each pending call has a connection of its own, and giving it up resets that: bytes
 * that the kernel has not sent are discarded, so that a request whose end is among them never
 * arrives. Before the first call. */
void http_calls_reset_given_up(struct http_calls *calls);
/* Ends all connections, so that further calls make new ones: the process was suspended, and their
 * other ends may be gone. After http_calls_reset_given_up(), while no call is pending. */
void http_calls_renew(struct http_calls *calls);
/* Counts pending calls. */
uint32_t http_calls_count(const struct http_calls *calls);
/* Counts the bytes of bodies that pending calls have sent and received so far. */
uint64_t http_calls_moved(const struct http_calls *calls);
/* Waits until something happens, at most `wait_ms`, and goes on with all calls. */
void http_calls_poll(struct http_calls *calls, int wait_ms);
/* The two halves of http_calls_poll(): waits, and goes on with all calls. */
void http_calls_wait(struct http_calls *calls, int wait_ms);
void http_calls_go_on(struct http_calls *calls);
/* Like http_calls_poll(), but also returns when one of the descriptors, at most
 * HTTP_CALLS_ALSO_MAX, is ready, and sets their `revents`. */
void http_calls_poll_also(struct http_calls *calls, struct pollfd *also, uint32_t count,
                          int wait_ms);
/* Returns the answer of a call that is done, in any order; its body is a view until the next
 * http_calls_done(). False: no call is done. */
bool http_calls_done(struct http_calls *calls, struct http_call_answer *ret_answer);
/* Masks in a text what it repeats of the credentials of the call whose answer the caller has: those
 * of its headers and of its proxy. */
void http_calls_mask(const struct http_calls *calls, char *text);
/* Does so in the body and the wanted headers of that answer. */
void http_calls_mask_answer(struct http_calls *calls, struct http_call_answer *answer);
/* Masks in a text the values of a form, "name=value&...", that was the body of a call, except those
 * of names that belong to OAuth 2.0 and STS and are not secret, such as grant_type. */
void http_call_mask_form(char *text, struct bytes form);
/* Ends a http_calls_poll() that waits. From any thread. */
void http_calls_wake(struct http_calls *calls);

#endif
