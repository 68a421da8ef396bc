/*
 * explained.h - prints a plan as the explain API gives it: JSON, and sentences about it.   Threads:
 * the plan's.
 */
#ifndef PROMQL_EXPLAINED_H
#define PROMQL_EXPLAINED_H

#include "promql/promql.h"

struct promql_explained {
    const struct promql_plan *plan;
    const struct promql_result *result;  /* result of a measured run; NULL if nothing was run */
    const struct query_control *control; /* limits of the query, and what it has read */
    int64_t ran_ns;
    enum plan_memory memory;
};

/*
 * Appends the value of "data": the plan, whose root has "stats" of the run, or else "limits": those
 * that are set, with what the query needs, if that is known. ERR_NOMEM.
 */
MUST_CHECK enum err promql_explained_put(const struct promql_explained *x, struct buf *to);

/* Calls `each` with a sentence for each limit that the query would exceed. */
void promql_explained_warnings(const struct promql_explained *x,
                               void (*each)(void *context, struct bytes sentence), void *context);

#endif
