/*
 * answer.h - answers that all families of routes share: errors as statuses, and JSON in Prometheus'
 * envelope.
 */
#ifndef API_ANSWER_H
#define API_ANSWER_H

#include "api/queues.h"
#include "base/text/json.h"

#define RETRY_AFTER_S "2"

/* The kind of request that failed; some errors have another status for some kinds. */
enum purpose { FOR_ANYTHING, FOR_WRITE, FOR_QUERY };

/* Returns ERR_LIMIT in place of ERR_NOMEM if the request needs what all requests together may use,
 * but for a sixteenth that others always use: it would fail again. `own` is its budget, below that
 * of all, which has refused it. */
enum err memory_verdict(enum err e, const struct budget *own);
/* The status for an error, 204 for OK, and the errorType that Prometheus has for it. */
unsigned status_of(enum purpose purpose, enum err e);
const char *problem_type_of(enum purpose purpose, enum err e);
/* Replies with a short plain text; 503 gets Retry-After. */
void reply_error(struct http_request *request, enum purpose purpose, enum err e,
                 const struct why *why);
/* Does the same in the JSON envelope of Prometheus' API. */
void reply_problem_of(struct http_request *request, enum purpose purpose, enum err e,
                      const struct why *why);
void reply_problem(struct http_request *request, unsigned status, const char *type,
                   const char *text);
/* Replies with a sentence made for this request, cut at SENTENCE_BYTES_MAX. */
enum { SENTENCE_BYTES_MAX = 64 * 1024 };
void reply_sentence(struct http_request *request, unsigned status, const char *type,
                    struct bytes sentence);
void reply_json(struct http_request *request, unsigned status, const struct buf *text);
/* Begins the document of a success; the caller writes the value of its "data" next. */
void success_begin(struct json *j, struct buf *text);

/* A document of a success that is sent when it is complete, so that it may fail at any point. */
struct json_page {
    struct api *api;
    struct http_request *request;
    struct bytes tenant; /* for pages about data */
    struct json *j;      /* expects the value of "data" */
    struct json json;
    struct buf text; /* charged to the budget of pages */
    struct why why;
};
void json_page_begin(struct json_page *page, struct api *api, struct http_request *request);
/* Sends the page if `e` is OK, else the error. */
void json_page_send(struct json_page *page, enum purpose purpose, enum err e);

#endif
