/*
 * fetch_exchange.h - one request of a question after another, each with its response:
 *
 *     fetch_exchange_begin(&x, base, "/query");
 *     ... http_url_param(&x.url, ...) ... x.body ...
 *     fetch_exchange_send(), fetch_exchange_await(), fetch_exchange_more() ...,
 * fetch_exchange_end()
 *
 * Threads: that of the question.
 */
#ifndef BACKEND_FETCH_FETCH_EXCHANGE_H
#define BACKEND_FETCH_FETCH_EXCHANGE_H

#include "backend/fetch/fetch.h"

struct fetch_question;

struct fetch_exchange {
    struct fetch_question *q;
    const char *base; /* URL; its query is part of every request */
    struct buf url;
    struct buf body;
    struct fetch *fetch; /* NULL if no request is open */
};
/* Allocates nothing. `q` outlives the exchange; a body may have `body_bytes_max` bytes. */
void fetch_exchange_init(struct fetch_exchange *x, struct fetch_question *q, size_t body_bytes_max);
void fetch_exchange_fini(struct fetch_exchange *x);
/* Ends the request before; empties the body; begins the URL. `base` lives until
 * fetch_exchange_send().
 */
void fetch_exchange_begin(struct fetch_exchange *x, const char *base, const char *path);
/*
 * Sends it, by POST if there is a body, and waits for no response. `how` has headers, `wanted`,
 * is_final() and judge(); the rest is filled in. ERR_LIMIT: URL or body are too large; errors of
 * fetch_open().
 */
MUST_CHECK enum err fetch_exchange_send(struct fetch_exchange *x, const struct fetch_request *how,
                                        struct why *why);
/* Waits for the response; OK if it is one to be read: fetch_await() and fetch_expect_ok(). After an
 * error, *ret_answer is NULL if there is no response. */
MUST_CHECK enum err fetch_exchange_await(struct fetch_exchange *x,
                                         const struct http_call_answer **ret_answer,
                                         struct why *why);
/* fetch_read(), with a struct fetch_exchange as context. */
MUST_CHECK enum err fetch_exchange_more(void *exchange, struct bytes *ret_piece, struct why *why);
/* fetch_failed(). */
enum err fetch_exchange_failed(struct fetch_exchange *x, enum err e, struct why *why);
/* Gives up what was not read. */
void fetch_exchange_end(struct fetch_exchange *x);
/* "not enough memory for a request": ERR_NOMEM. */
enum err fetch_no_request_memory(struct why *why);

#endif
