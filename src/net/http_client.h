/*
 * http_client.h - one HTTP request after another, over kept connections, through libcurl: bounded
 * in time and size, and repeated when the server says so.
 *
 * An answer counts when its status has come and its body ended in order. Repeated are: no
 * connection, a connection that broke, 429, and 5xx other than 501, with growing pauses
 * (Retry-After is obeyed) until `retry_ns` have passed. Whoever reads a body piece by piece must
 * not want it twice: once the first piece of a 2xx is there, nothing is repeated.
 *
 * Threads: a client belongs to one thread at a time. http_client_new() must not run at the same
 * time as another thread's first one.
 */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/err.h"
#include "sys/env.h"

enum { HTTP_CLIENT_HEADERS_MAX = 16, HTTP_CLIENT_TEXT_BYTES = 400 };

struct http_client_options {
    struct env *env;
    const char *user_agent;
    int64_t connect_timeout_ns;
    int64_t idle_timeout_ns;    /* without a byte in either direction; 0: none */
    int64_t request_timeout_ns; /* of one attempt, whole; 0: none */
    int64_t retry_ns;           /* 0: one attempt */
    const atomic_bool *stop;    /* set by anybody: give up soon with ERR_CANCELED; may be NULL */
    /* Tells of an attempt that failed and will be repeated; may be NULL. */
    void (*retrying)(void *context, const char *reason, int64_t wait_ns);
    void *context;
};

/* A header that is wanted from the answer. */
struct http_client_header {
    const char *name;
    char value[128]; /* cut; empty: was not there */
};

struct http_client_request {
    const char *url;
    const char *const *headers; /* "Name: value"; NULL after the last */
    /* A name: an answer that has this header, which is among those wanted, stands whatever its
     * status says. NULL: none does. */
    const char *final_header;
    struct bytes body; /* posted; `at` NULL: a GET */
    /* Gets the body of an answer that is no 2xx, as much of it as its limit allows; NULL: the
     * answer's text is enough. */
    struct buf *refusal;
};

struct http_client_answer {
    unsigned status;
    uint32_t attempts;
    struct http_client_header *wanted; /* filled; ended by a NULL name; may be NULL */
    /* The body's begin as one line, unless it is to be read; of failures never empty. */
    char text[HTTP_CLIENT_TEXT_BYTES];
};

struct http_client;
/* ERR_NOMEM; ERR_UNSUPPORTED: libcurl refuses to start. `options` is copied. */
MUST_CHECK enum err http_client_new(const struct http_client_options *options,
                                    struct http_client **ret_client, struct why *why);
void http_client_free(struct http_client *client);

/*
 * OK: an answer came, of whatever status. ERR_INPUT: a URL that none is; ERR_AGAIN: no answer, or
 * none but 429 and 5xx other than 501 until the time was over (the last one is in `answer`, status
 * 0: none came); ERR_CANCELED: stopped; ERR_NOMEM.
 */
MUST_CHECK enum err http_client_send(struct http_client *client,
                                     const struct http_client_request *request,
                                     struct http_client_answer *answer, struct why *why);

/*
 * The same of an answer whose body is read as it is wanted: OK once status and headers have come.
 * Whatever is returned, http_client_close() ends it; until then request and answer stay where they
 * are. Who does not read for a while holds the sender up, and is not taken for idle.
 */
MUST_CHECK enum err http_client_open(struct http_client *client,
                                     const struct http_client_request *request,
                                     struct http_client_answer *answer, struct why *why);
/*
 * More of the body of a 2xx; a view until the next call. Empty: it ended in order, or it is that of
 * another status. ERR_IO: it broke off; ERR_CANCELED; ERR_NOMEM. Headers that come after the body
 * are in the answer when it has ended.
 */
MUST_CHECK enum err http_client_read(struct http_client *client, struct bytes *ret_piece,
                                     struct why *why);
/* All of the body of a 2xx, appended, whose limit is that of the answer: ERR_LIMIT. */
MUST_CHECK enum err http_client_fetch(struct http_client *client,
                                      const struct http_client_request *request, struct buf *to,
                                      struct http_client_answer *answer, struct why *why);
/* What was not read is given up, and its connection with it. */
void http_client_close(struct http_client *client);

#endif
