/* durations.h - what durations that are computed come to, at the times of a query. */
#ifndef PROMQL_EVAL_DURATIONS_H
#define PROMQL_EVAL_DURATIONS_H

#include "promql/parse/tree.h"

/* Those of the whole query, of subqueries, too. */
struct query_times {
    int64_t first_ms;
    int64_t last_ms;
    int64_t step_ms; /* 0: it is asked for one time */
};

/* `positive`: others are refused. False: `error` says why. */
bool duration_at(const struct duration *d, bool positive, const struct query_times *times,
                 int64_t *ret_ms, struct buf *error);
/* Whether all of an expression have a value; the same. */
bool durations_fit(const struct node *n, const struct query_times *times, struct buf *error);

#endif
