/* durations.h - computes durations at the times of a query. */
#ifndef PROMQL_EVAL_PLAN_DURATIONS_H
#define PROMQL_EVAL_PLAN_DURATIONS_H

#include "promql/parse/tree.h"

/* Times of the whole query, also for its subqueries. */
struct query_times {
    int64_t first_ms;
    int64_t last_ms;
    int64_t step_ms; /* 0 for a query of one time */
};

/* Computes a duration; with `positive`, values up to 0 are refused. False: `error` says why. */
bool duration_at(const struct duration *d, bool positive, const struct query_times *times,
                 int64_t *ret_ms, struct buf *error);
/* True if all durations of an expression have values. False: `error` says why. */
bool durations_fit(const struct node *n, const struct query_times *times, struct buf *error);

#endif
