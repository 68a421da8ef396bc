/*
 * pushdown.h - matchers that parts of an expression imply for each other: in `a{job="x"} and on
 * (job) b` only series of b with job="x" matter. A selector gets such matchers if the result cannot
 * show it: series that are left out would have caused no error, warning or info.
 */
#ifndef PROMQL_EVAL_PLAN_PUSHDOWN_H
#define PROMQL_EVAL_PLAN_PUSHDOWN_H

#include "promql/eval/eval.h"

/* Finds the matchers; shares_find() was called before. ERR_NOMEM. */
MUST_CHECK enum err pushdown_find(struct evaluation *ev);
void pushdown_fini(struct evaluation *ev);

enum { PUSHED_MAX = 8 };
struct pushed {
    const struct node_matcher *items[PUSHED_MAX];
    uint32_t count;
};
/* Returns the matchers that a selector gets besides its own; NULL without any. */
const struct pushed *pushdown_of(const struct evaluation *ev, const struct node *selector);

#endif
