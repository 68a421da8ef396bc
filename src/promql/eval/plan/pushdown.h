/*
 * pushdown.h - matchers that parts of an expression imply for each other: in `a{job="x"} and on
 * (job) b` only series of b with job="x" matter. A selector gets such matchers if the result cannot
 * show it: series that are left out would have caused no error, warning or info.
 */
#ifndef PROMQL_EVAL_PLAN_PUSHDOWN_H
#define PROMQL_EVAL_PLAN_PUSHDOWN_H

#include "promql/eval/eval.h"

enum { PUSHED_MAX = 8 };
struct pushed {
    const struct node_matcher *items[PUSHED_MAX];
    uint32_t count;
};
/* Finds the matchers for the selectors of a plan. ERR_NOMEM. */
MUST_CHECK enum err pushdown_find(struct evaluation *ev, struct plan_node *plan);

#endif
