/*
 * answer.h - writes an answer of the server in the form that gateways expect of a function: JSON
 * for all of them, and a stream with a prelude for function URLs.
 */
#ifndef APP_LAMBDA_ANSWER_H
#define APP_LAMBDA_ANSWER_H

#include "base/buf.h"

enum { ANSWER_BYTES_MAX = 6 * 1024 * 1024 }; /* Lambda's limit for an answer that is not a stream */

#define ANSWER_STREAM_TYPE "application/vnd.awslambda.http-integration-response"

struct answer_header {
    const char *name;
    const char *value; /* "": the answer does not have it */
};

struct gateway_answer {
    unsigned status;
    const struct answer_header *headers; /* ends at a NULL name; may be NULL */
    struct bytes body;
};

/* Returns a plain answer with a text; the body borrows the text. */
struct gateway_answer answer_of_text(unsigned status, const char *text);

/* Appends the answer as JSON, which both payloads accept. The body is base64 if it has an encoding
 * or is not text. ERR_LIMIT: it has more than ANSWER_BYTES_MAX bytes. ERR_NOMEM. `to` is then as
 * before. */
MUST_CHECK enum err answer_put(const struct gateway_answer *answer, struct buf *to);

/* Appends what precedes the body of a stream. Without memory buf_error(to) says so. */
void answer_put_prelude(const struct gateway_answer *answer, struct buf *to);

#endif
