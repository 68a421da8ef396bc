/*
 * answer.h - prints a result as the query API gives it: JSON, and sentences about it.   Threads:
 * the result's.
 */
#ifndef PROMQL_ANSWER_H
#define PROMQL_ANSWER_H

#include "base/text/json.h"
#include "promql/promql.h"

struct promql_answer {
    struct promql_result *result;
    int64_t t_ms;   /* time of the query, also of a string */
    uint64_t limit; /* limit of series; 0: no limit */
    struct json *to;
    /* Called after each point and each series: it may send and clear what is in the buffer. An
     * error of it ends the answer. */
    enum err (*piece)(void *context);
    void *context;
    bool limited; /* set if there are more series */
};
/* Puts the members "resultType" and "result" of the object that is open. */
MUST_CHECK enum err promql_answer_put(struct promql_answer *answer);

enum { PROMQL_TIME_BYTES = 32 };
/* Prints seconds for series, with three decimal digits unless they are 0; no NUL. */
size_t promql_print_time(int64_t t_ms, char to[PROMQL_TIME_BYTES]);
/* Prints a time without trailing zeros, as Prometheus prints the times of scalars, strings and
 * steps. */
size_t promql_print_short_time(int64_t t_ms, char to[PROMQL_TIME_BYTES]);

/*
 * Calls `each` with the sentences of an answer: the first ten of the kind, and one with the number
 * of the others. With `limited` a sentence about that comes before the warnings.
 */
MUST_CHECK enum err promql_answer_notes(const struct promql_result *result, enum promql_note kind,
                                        bool limited, struct budget *budget,
                                        void (*each)(void *context, struct bytes sentence),
                                        void *context, struct why *why);

#endif
