/*
 * fetch.h - the requests of a source: authorized or signed, limited in rate and in the number of
 * queries that read at a time, repeated while the server says "later", and read as needed.
 *
 * A query has a session with the source that it reads. A session counts as reading while it has an
 * open fetch; then it may open more without waiting for its turn.
 *
 * Threads: a fetcher may be used from any, a session from those of its query, a fetch from one.
 */
#ifndef BACKEND_FETCH_FETCH_H
#define BACKEND_FETCH_FETCH_H

#include "backend/source.h"
#include "backend/writer.h"

/* The signature of requests to AWS. */
struct fetch_signing {
    const struct aws_settings *aws;
    const char *service;
    bool is_s3;
};

struct fetcher;
struct fetcher_options {
    struct reader_options reader;        /* copied */
    const struct fetch_signing *signing; /* copied; NULL if requests are not signed */
};
/* Sends nothing. ERR_NOMEM; errors of aws_region(). */
MUST_CHECK enum err fetcher_new(const struct fetcher_options *options, struct fetcher **ret_fetcher,
                                struct why *why);
/* All its sessions are closed. Accepts NULL. */
void fetcher_free(struct fetcher *fetcher);

struct fetch_session;
/* Memory of responses is charged to `budget`, which may be NULL. ERR_NOMEM. */
MUST_CHECK enum err fetch_session_open(struct fetcher *fetcher, struct budget *budget,
                                       struct fetch_session **ret_session, struct why *why);
/* All its fetches are closed. Accepts NULL. */
void fetch_session_close(struct fetch_session *session);

/* Texts are borrowed until the fetch is closed. */
struct fetch_request {
    const char *method;
    const char *url;
    const char *const *headers; /* "Name: value"; NULL after the last; may be NULL */
    struct bytes body;
    const char *const *wanted; /* headers of the response; NULL after the last; may be NULL */
    /* True if repeating a request that got this response, not a 2xx, would get the same one. NULL
     * if it might not. */
    bool (*is_final)(const struct http_call_answer *answer);
    /* Judges a response that is not a 2xx by more than its status, as http_judge() does.
     * VERDICT_DELIVERED: it counts as a 2xx, and has all of its body. NULL: by its status. */
    void (*judge)(const struct http_call_answer *answer, struct writer_step *step);
};

struct fetch;
/*
 * Waits for its turn and sends the request, but waits for no response, so that several sources
 * work at the same time. `control` may be NULL. ERR_AGAIN: its turn did not come within the
 * source's timeout, or credentials cannot be fetched now; ERR_IO: credentials are wrong;
 * ERR_CANCELED, ERR_NOMEM.
 */
MUST_CHECK enum err fetch_open(struct fetch_session *session, struct query_control *control,
                               const struct fetch_request *request, struct fetch **ret_fetch,
                               struct why *why);
/*
 * Waits for the response, and repeats the request while that makes sense. Called once. OK: there is
 * a response, a 2xx or one that a repetition would not change: see fetch_expect_ok(). ERR_AGAIN:
 * nothing arrived within the source's timeout, or there is no connection; ERR_IO: address or trust
 * are wrong. *ret_answer is set only with OK and ends with the fetch; a 2xx comes without its body.
 */
MUST_CHECK enum err fetch_await(struct fetch *fetch, const struct http_call_answer **ret_answer,
                                struct why *why);
/* OK if the response is a 2xx; otherwise its error, with the sentence of the server. */
MUST_CHECK enum err fetch_expect_ok(struct fetch *fetch, struct why *why);
/*
 * Reads more of the body of a 2xx, a view until the next call; empty after its regular end.
 * ERR_AGAIN: it broke off, or nothing arrived for too long; ERR_LIMIT: more than a query may read
 * (max_bytes); ERR_CANCELED; ERR_NOMEM.
 */
MUST_CHECK enum err fetch_read(struct fetch *fetch, struct bytes *ret_piece, struct why *why);
/* Appends all of the body. ERR_CORRUPT: it is larger than `to` may become. */
MUST_CHECK enum err fetch_read_all(struct fetch *fetch, struct buf *to, struct why *why);
/* Puts the address before `why`, for a 2xx whose body is damaged or refuses. Returns `e`. */
enum err fetch_failed(struct fetch *fetch, enum err e, struct why *why);
/* Gives up what was not read. Accepts NULL. */
void fetch_close(struct fetch *fetch);

/* "not enough memory for the query", "... for a request": ERR_NOMEM. */
enum err fetch_no_memory(struct why *why);
enum err fetch_no_request_memory(struct why *why);

#endif
