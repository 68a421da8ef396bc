/*
 * fetch.h - the requests of a source: authorized or signed, at most so many a second, of so many
 * queries at a time, sent again while the other side says "later", and read as they are wanted.
 *
 * A query has a session with the source it reads. While a fetch of a session is open, the session
 * counts among those that read at a time; with one open it may open more, and waits for no other.
 *
 * Threads: a fetcher belongs to all, a session to those that work for its query, a fetch to one.
 */
#ifndef BACKEND_FETCH_FETCH_H
#define BACKEND_FETCH_FETCH_H

#include "backend/reader.h"
#include "backend/writer.h"

/* How requests to AWS are signed. */
struct fetch_signing {
    const struct aws_settings *aws;
    const char *service;
    bool is_s3;
};

struct fetcher;
struct fetcher_options {
    struct reader_options reader;        /* copied */
    const struct fetch_signing *signing; /* copied; NULL: requests are not signed */
};
/* Asks for nothing yet. ERR_NOMEM; errors of aws_region(). */
MUST_CHECK enum err fetcher_new(const struct fetcher_options *options, struct fetcher **ret_fetcher,
                                struct why *why);
/* No session of it is open. NULL is fine. */
void fetcher_free(struct fetcher *fetcher);

struct fetch_session;
/* `budget`: of all it reads; may be NULL. ERR_NOMEM. */
MUST_CHECK enum err fetch_session_open(struct fetcher *fetcher, struct budget *budget,
                                       struct fetch_session **ret_session, struct why *why);
/* No fetch of it is open. NULL is fine. */
void fetch_session_close(struct fetch_session *session);

/* Texts are borrowed until the fetch is closed. */
struct fetch_request {
    const char *method;
    const char *url;
    const char *const *headers; /* "Name: value"; NULL after the last; may be NULL */
    struct bytes body;
    const char *const *wanted; /* of the answer's headers; NULL after the last; may be NULL */
    /* Of an answer that is no 2xx, and would be asked for again: whether the next one would be the
     * same. NULL: it might not. */
    bool (*is_final)(const struct http_call_answer *answer);
    /* Judges an answer that is no 2xx by more than its status, as http_judge() does.
     * VERDICT_DELIVERED: it is an answer like a 2xx, but with all of its body in it. NULL: the
     * status says it. */
    void (*judge)(const struct http_call_answer *answer, struct writer_step *step);
};

struct fetch;
/*
 * Sends it, and waits for its turn but for no answer: what is asked of several sources is under way
 * at the same time. `control` may be NULL. ERR_AGAIN: its turn did not come within the source's
 * timeout, or credentials are not to be had now; ERR_IO: they are wrong; ERR_CANCELED, ERR_NOMEM.
 */
MUST_CHECK enum err fetch_open(struct fetch_session *session, struct query_control *control,
                               const struct fetch_request *request, struct fetch **ret_fetch,
                               struct why *why);
/*
 * Waits for the answer, once, and sends the request again while it makes sense to. OK: there is an
 * answer of 2xx, or one that it makes none to ask for again: see fetch_expect_ok(). ERR_AGAIN:
 * nothing came for the source's timeout, or no connection; ERR_IO: address or trust are wrong. With
 * OK alone there is something in *ret_answer: of a 2xx without the body; it ends with the fetch.
 */
MUST_CHECK enum err fetch_await(struct fetch *fetch, const struct http_call_answer **ret_answer,
                                struct why *why);
/* OK if the answer is a 2xx; else the error that it stands for, with what it says. */
MUST_CHECK enum err fetch_expect_ok(struct fetch *fetch, struct why *why);
/*
 * More of the body of a 2xx, a view until the next call; empty: it ended in order. ERR_AGAIN: it
 * broke off, or nothing came for too long; ERR_LIMIT: more than the source may give a query;
 * ERR_CANCELED; ERR_NOMEM.
 */
MUST_CHECK enum err fetch_read(struct fetch *fetch, struct bytes *ret_piece, struct why *why);
/* All of it, appended. ERR_CORRUPT: it is larger than `to` may become. */
MUST_CHECK enum err fetch_read_all(struct fetch *fetch, struct buf *to, struct why *why);
/* Names the address before `why`, where what came with a 2xx is damaged, or says no. Returns `e`.
 */
enum err fetch_failed(struct fetch *fetch, enum err e, struct why *why);
/* What was not read is given up. NULL is fine. */
void fetch_close(struct fetch *fetch);

#endif
