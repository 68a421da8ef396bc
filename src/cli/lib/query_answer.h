/* query_answer.h - parses an answer of the query API. */
#ifndef CLI_LIB_QUERY_ANSWER_H
#define CLI_LIB_QUERY_ANSWER_H

#include "cli/lib/query_sink.h"
#include "net/http_client.h"

/* Parses the answer into the sink. ERR_UNSUPPORTED: it is not an answer of the API; ERR_NOMEM;
 * errors of the sink. */
MUST_CHECK enum err query_answer_read(struct bytes text, struct query_sink *sink, struct why *why);

/* Does the same with the value of "data" alone, for a sink without data(). */
MUST_CHECK enum err query_answer_data(struct bytes text, struct query_sink *sink, struct why *why);

/* Appends the sentence of an error answer. False: it is not an answer of the API.
 * `ret_bad_data`: the request is invalid, whatever is stored. */
bool query_answer_refusal(struct bytes body, struct buf *sentence, bool *ret_bad_data);

struct answer_sentence {
    char text[HTTP_CLIENT_TEXT_BYTES];
};
/* Returns the sentence of an error answer of the API; of another answer its text. */
struct answer_sentence query_answer_sentence(const struct http_client_answer *answer);

#endif
