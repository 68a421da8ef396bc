/*
 * http_pull.h - many HTTP requests at once, whose bodies arrive no faster than they are read.
 *
 * One thread, the puller's, moves all of them (http_calls.h), so that a slow reader of one does not
 * delay the others, and requests to several servers run at the same time. A pull buffers at most
 * its window of bytes that were not read; then its sender has to wait.
 *
 * It neither repeats requests nor judges answers.
 *
 * Threads: a pull belongs to one thread at a time; a puller may be used by all.
 */
#ifndef NET_HTTP_PULL_H
#define NET_HTTP_PULL_H

#include "net/http_calls.h"

struct http_puller;
/* ERR_NOMEM; ERR_AGAIN: the thread cannot be started. */
MUST_CHECK enum err http_puller_new(struct env *env, const char *user_agent,
                                    struct http_puller **ret_puller, struct why *why);
/* All of its pulls must be closed. */
void http_puller_free(struct http_puller *puller);

enum { HTTP_PULL_WINDOW_BYTES = 256 * 1024, HTTP_PULL_REFUSAL_BYTES = 64 * 1024 };

/* Limits how long a reader waits. */
struct http_patience {
    int64_t silence_ms; /* longest time without new bytes; 0: unlimited */
    /* Fewer bytes of a body than this in silence_ms count as silence; 0: any byte ends it. Only
     * time in which the reader waits is counted. */
    size_t least_bytes;
    /* Called several times per second while nothing arrives; an error ends the wait. May be NULL.
     */
    enum err (*check)(void *context, struct why *why);
    void *context;
    /* Waits for half a window of a body, or for its end, so that a reader that wants all of it is
     * not woken for each packet. */
    bool fills;
};

struct http_pull;
/* Begins a request and returns without waiting. Everything that `call` points to stays until
 * http_pull_close(); its stream, context and answer_bytes_max are ignored: HTTP_PULL_REFUSAL_BYTES
 * are kept of an answer other than 2xx. The window is charged to `budget`. ERR_NOMEM. */
MUST_CHECK enum err http_pull_open(struct http_puller *puller, const struct http_call *call,
                                   struct budget *budget, struct http_pull **ret_pull,
                                   struct why *why);
/* Waits for the answer: status and headers of a 2xx, all of another answer, or the failure. It
 * lives as long as the pull; `context` and `body_cut` have no meaning. ERR_AGAIN: silence for too
 * long; errors of `check`. */
MUST_CHECK enum err http_pull_await(struct http_pull *pull, const struct http_patience *patience,
                                    const struct http_call_answer **ret_answer, struct why *why);
/* Returns more of the body of a 2xx, after http_pull_await(); a view until the next call. Empty:
 * the body is complete. ERR_IO: it broke off; ERR_AGAIN: silence for too long; ERR_NOMEM; errors of
 * `check`. */
MUST_CHECK enum err http_pull_read(struct http_pull *pull, const struct http_patience *patience,
                                   struct bytes *ret_piece, struct why *why);
/* Gives up the rest of the body, and its connection. NULL is fine. */
void http_pull_close(struct http_pull *pull);

#endif
