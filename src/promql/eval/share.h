/*
 * share.h - parts of an expression that stand in it several times and are evaluated once. Whoever
 * comes to one first keeps its columns for the others, if they are not too many: else, and where
 * there is something to tell about the place at which a part stands, each evaluates its own.
 */
#ifndef PROMQL_EVAL_SHARE_H
#define PROMQL_EVAL_SHARE_H

#include "promql/eval/eval.h"

/* Looks for such parts in the expression. ERR_NOMEM. */
MUST_CHECK enum err shares_find(struct evaluation *ev);
void shares_fini(struct evaluation *ev);

/* NULL: the like of this node stands nowhere else. */
struct share *share_of(const struct evaluation *ev, const struct node *node);

enum share_state {
    SHARE_FREE,      /* share_build() is yet to come */
    SHARE_BUILT,     /* it was built, at these steps */
    SHARE_ELSEWHERE, /* at others */
};
enum share_state share_state_at(const struct share *share, const struct grid *grid);
/* Builds it for all who will read it. */
MUST_CHECK enum err share_build(struct share *share, struct evaluation *ev,
                                const struct grid *grid);
/* The columns of a part that was built. */
MUST_CHECK enum err share_read(struct share *share, struct evaluation *ev, const struct node *node,
                               struct vector **ret_vector);

#endif
