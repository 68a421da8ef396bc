/*
 * share.h - parts of an expression that occur several times in it and are evaluated once. The first
 * reader keeps the columns for the others. If there are too many, or if the part adds notes, which
 * name its position, each reader evaluates its own.
 */
#ifndef PROMQL_EVAL_PLAN_SHARE_H
#define PROMQL_EVAL_PLAN_SHARE_H

#include "promql/eval/eval.h"

/* Finds parts that occur several times. ERR_NOMEM. */
MUST_CHECK enum err shares_find(struct evaluation *ev);
void shares_fini(struct evaluation *ev);

/* NULL if no other node is equal to this one, or all of them were read. */
struct share *share_of(const struct evaluation *ev, const struct node *node);

enum share_state {
    SHARE_FREE,      /* share_build() has not been called */
    SHARE_BUILT,     /* it was built for these steps */
    SHARE_ELSEWHERE, /* it was built for other steps */
};
enum share_state share_state_at(const struct share *share, const struct grid *grid);
/* Builds the part for all its readers. */
MUST_CHECK enum err share_build(struct share *share, struct evaluation *ev,
                                const struct grid *grid);
/* Makes a reader of a part that was built. */
MUST_CHECK enum err share_read(struct share *share, struct evaluation *ev, const struct node *node,
                               struct vector **ret_vector);

#endif
