/*
 * http_pull.h - answers of other servers, read as they are wanted: many requests at once, whose
 * bodies come no faster than each of them is read.
 *
 * One thread, the puller's, moves all of them (http_calls.h), so that whoever reads one holds up no
 * other, and what is asked of several servers is under way at the same time. A pull holds at most
 * its window of what has come and was not read; then its sender has to wait.
 *
 * Nothing is repeated and no answer is judged here.
 *
 * Threads: a pull belongs to one at a time; a puller to all.
 */
#ifndef NET_HTTP_PULL_H
#define NET_HTTP_PULL_H

#include "net/http_calls.h"

struct http_puller;
/* ERR_NOMEM; ERR_AGAIN: no thread. */
MUST_CHECK enum err http_puller_new(struct env *env, const char *user_agent,
                                    struct http_puller **ret_puller, struct why *why);
/* No pull of it is open. */
void http_puller_free(struct http_puller *puller);

enum { HTTP_PULL_WINDOW_BYTES = 256 * 1024, HTTP_PULL_REFUSAL_BYTES = 64 * 1024 };

/* How long whoever waits does so. */
struct http_patience {
    int64_t silence_ms; /* without anything new; 0: for ever */
    /* Of a body: so much has to come in that time, or it counts as silence; 0: anything will do.
     * Only time is counted in which somebody waits. */
    size_t least_bytes;
    /* Asked several times a second while nothing comes: whether to go on. NULL: it is not asked. */
    enum err (*check)(void *context, struct why *why);
    void *context;
    /* Of a body: waits for half a window of it, or for its end, so that who wants all of it is not
     * woken for each packet. */
    bool fills;
};

struct http_pull;
/*
 * Begins a request and waits for nothing. What `call` points to stays until http_pull_close(); its
 * stream, context and size of the answer are not looked at: HTTP_PULL_REFUSAL_BYTES are kept of an
 * answer that is no 2xx. `budget`: of the window. ERR_NOMEM.
 */
MUST_CHECK enum err http_pull_open(struct http_puller *puller, const struct http_call *call,
                                   struct budget *budget, struct http_pull **ret_pull,
                                   struct why *why);
/*
 * Waits until it is answered, for the first time in *ret_answer: status and headers of a 2xx, all
 * of another, or the failure. It ends with the pull; `context` and `body_cut` say nothing.
 * ERR_AGAIN: nothing came for too long; errors of `check`.
 */
MUST_CHECK enum err http_pull_await(struct http_pull *pull, const struct http_patience *patience,
                                    const struct http_call_answer **ret_answer, struct why *why);
/*
 * More of the body of a 2xx, after http_pull_await(); a view until the next call. Empty: it ended
 * in order. ERR_IO: it broke off; ERR_AGAIN: nothing came for too long; ERR_NOMEM; errors of
 * `check`.
 */
MUST_CHECK enum err http_pull_read(struct http_pull *pull, const struct http_patience *patience,
                                   struct bytes *ret_piece, struct why *why);
/* Whether http_pull_read() would not wait. */
bool http_pull_is_ready(struct http_pull *pull);
/* What was not read is given up, and its connection with it. NULL is fine. */
void http_pull_close(struct http_pull *pull);

#endif
