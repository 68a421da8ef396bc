/*
 * answer.h - a result as the query API gives it: JSON, and sentences about it.   Threads: the
 * result's.
 */
#ifndef PROMQL_ANSWER_H
#define PROMQL_ANSWER_H

#include "base/json.h"
#include "promql/promql.h"

struct promql_answer {
    struct promql_result *result;
    int64_t t_ms;   /* that was asked for; a string has no other */
    uint64_t limit; /* of series; 0: none */
    struct json *to;
    /* After each point and each series: what is in the buffer may be sent, and cleared. An error of
     * it ends the answer. */
    enum err (*piece)(void *context);
    void *context;
    bool limited; /* found: there are more series */
};
/* The members "resultType" and "result" of the object that is open. */
MUST_CHECK enum err promql_answer_put(struct promql_answer *answer);

enum { PROMQL_TIME_BYTES = 32 };
/* Seconds, with three digits behind the point where there are any: of series; no NUL. */
size_t promql_print_time(int64_t t_ms, char to[PROMQL_TIME_BYTES]);
/* The same without zeros at the end, as Prometheus has the times of scalars, strings and steps. */
size_t promql_print_short_time(int64_t t_ms, char to[PROMQL_TIME_BYTES]);

/* Which bounds belong to a bucket, as the answer has it. */
int promql_bounds_code(const struct fhist_bucket *b);

/*
 * Calls `each` for the sentences that an answer has: the first ten of the kind, and one that says
 * how many there are besides. `limited`: one about that comes before the warnings.
 */
MUST_CHECK enum err promql_answer_notes(const struct promql_result *result, enum promql_note kind,
                                        bool limited, struct budget *budget,
                                        void (*each)(void *context, struct bytes sentence),
                                        void *context, struct why *why);

#endif
