/*
 * pushdown.h - matchers that parts of an expression imply for each other: in
 * `a{job="x"} and on (job) b` no other series of b matter than those of job x. Selectors get them
 * where nothing can tell: what is left out would have given no error, no warning and no info.
 */
#ifndef PROMQL_EVAL_PUSHDOWN_H
#define PROMQL_EVAL_PUSHDOWN_H

#include "promql/eval/eval.h"

/* Looks for them; shares_find() came before. ERR_NOMEM. */
MUST_CHECK enum err pushdown_find(struct evaluation *ev);
void pushdown_fini(struct evaluation *ev);

enum { PUSHED_MAX = 8 };
struct pushed {
    const struct node_matcher *items[PUSHED_MAX];
    uint32_t count;
};
/* Those that a selector gets besides its own; NULL: none. */
const struct pushed *pushdown_of(const struct evaluation *ev, const struct node *selector);

#endif
