/*
 * http_client.h - one HTTP request after another, over kept connections: bounded in time and size,
 * and repeated after temporary failures.
 *
 * An answer counts when its status has come and its body is complete. A request is repeated when it
 * gets no connection or loses it, and after 429 and 5xx other than 501, with growing pauses
 * (Retry-After is obeyed) until `retry_ns` have passed. Once the first piece of the body of a 2xx
 * was read, the request is not repeated.
 *
 * Threads: a client belongs to one thread at a time.
 */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/http_calls.h"
#include "sys/env.h"

enum { HTTP_CLIENT_TEXT_BYTES = 400 };

struct http_client_options {
    struct env *env;
    const char *user_agent;
    int64_t connect_timeout_ns;
    int64_t idle_timeout_ns;    /* longest time without a byte in either direction; 0: unlimited */
    int64_t request_timeout_ns; /* limits each attempt; 0: unlimited */
    int64_t retry_ns;           /* 0: one attempt */
    const atomic_bool *stop;    /* once true: gives up soon with ERR_CANCELED; may be NULL */
    /* Reports an attempt that failed and will be repeated; may be NULL. */
    void (*retrying)(void *context, const char *reason, int64_t wait_ns);
    void *context;
    /* TLS, proxy and socket; its timeouts are not used. NULL: the defaults. Borrowed, with its
     * texts, for the life of the client. */
    const struct http_calls_target *target;
};

struct http_client_request {
    const char *url;
    const char *const *headers; /* "Name: value"; NULL after the last; may be NULL */
    const char *const *wanted; /* names of the answer's headers; NULL after the last; may be NULL */
    /* Name of a wanted header: a request is not repeated after an answer that has it, whatever its
     * status. May be NULL. */
    const char *final_header;
    struct bytes body;  /* posted; `at` NULL: a GET, unless there are pieces */
    const char *method; /* instead of these two; may be NULL */
    /* Posted instead of `body`, by a client whose retry_ns is 0; NULL: not used. */
    const struct http_call_pieces *pieces;
    /* Gets the body of an answer other than 2xx, cut at the limit of the buffer. May be NULL. */
    struct buf *refusal;
};

struct http_client_answer {
    unsigned status;
    char wanted[HTTP_CALLS_WANTED_MAX][HTTP_CALLS_WANTED_BYTES]; /* as in request.wanted */
    /* The beginning of the body as one line, unless it is read; never empty for failures. A
     * refusal's has no credentials of the request: they are masked, as in request.refusal. */
    char text[HTTP_CLIENT_TEXT_BYTES];
};

struct http_client;
/* ERR_NOMEM. `options` is copied. */
MUST_CHECK enum err http_client_new(const struct http_client_options *options,
                                    struct http_client **ret_client, struct why *why);
void http_client_free(struct http_client *client);

/* OK: an answer came, of any status. ERR_INPUT: invalid URL, or an untrusted server; ERR_AGAIN:
 * only failures that are repeated, until retry_ns had passed (the last answer is in `answer`;
 * status 0 if none came); ERR_CANCELED: stopped; ERR_NOMEM. */
MUST_CHECK enum err http_client_send(struct http_client *client,
                                     const struct http_client_request *request,
                                     struct http_client_answer *answer, struct why *why);

/* Like http_client_send(), but the body is read by http_client_read(): OK once status and headers
 * have come. Whatever is returned, http_client_close() ends the request; until then request and
 * answer stay where they are. A reader may pause: the sender waits, and the transfer is not
 * idle. */
MUST_CHECK enum err http_client_open(struct http_client *client,
                                     const struct http_client_request *request,
                                     struct http_client_answer *answer, struct why *why);
/* Returns more of the body of a 2xx; a view until the next call. Empty: the body is complete, or
 * the answer has another status. ERR_IO: it broke off; ERR_CANCELED; ERR_NOMEM. Headers that come
 * after the body are in the answer when it has ended. */
MUST_CHECK enum err http_client_read(struct http_client *client, struct bytes *ret_piece,
                                     struct why *why);
/* Appends all of the body of a 2xx to `to`. ERR_LIMIT: it does not fit. */
MUST_CHECK enum err http_client_fetch(struct http_client *client,
                                      const struct http_client_request *request, struct buf *to,
                                      struct http_client_answer *answer, struct why *why);
/* Gives up the rest of the body, and its connection. */
void http_client_close(struct http_client *client);

#endif
