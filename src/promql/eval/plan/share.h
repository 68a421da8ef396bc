/*
 * share.h - parts of an expression that occur several times in it and are evaluated once. The first
 * reader keeps the columns for the others. If there are too many, or if the part adds notes, which
 * name its position, each reader evaluates its own.
 */
#ifndef PROMQL_EVAL_PLAN_SHARE_H
#define PROMQL_EVAL_PLAN_SHARE_H

#include "promql/eval/eval.h"

/* Begins to look for equal parts; ev->shares stays NULL if the expression has less than two
 * selectors. ERR_NOMEM. */
MUST_CHECK enum err shares_begin(struct evaluation *ev);
/* Frees the columns that are kept; accepts ev->shares NULL. After all operators. */
void shares_fini(struct evaluation *ev);

/* Finds a part that is equal to `x` among those it was called with before. `steps_from` has the
 * texts of the subqueries around `x`. ERR_NOMEM. */
MUST_CHECK enum err share_find(struct evaluation *ev, struct plan_node *x, struct bytes steps_from);
/* Puts what the steps of a subquery's operand come from. *ret_known is false if the text is too
 * long: no part of the operand is shared. ERR_NOMEM. */
MUST_CHECK enum err share_steps(struct evaluation *ev, const struct node *subquery,
                                struct bytes steps_from, struct buf *text, bool *ret_known);

/* The part that a node reads; NULL if it is evaluated itself, for its readers or without any. */
const struct plan_node *share_read_by(const struct plan_node *x);
/* Makes a reader of a part, which is built by the first one. */
MUST_CHECK enum err vector_share_new(struct evaluation *ev, const struct plan_node *x,
                                     struct vector **ret_vector);

#endif
