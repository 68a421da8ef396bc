/* run.h - evaluates an expression at one time or at many, and holds what came of it. */
#ifndef PROMQL_EVAL_RUN_H
#define PROMQL_EVAL_RUN_H

#include "promql/eval/matrix.h"
#include "promql/promql.h"

struct run {
    struct evaluation ev;
    enum value_type type;
    double *scalars; /* VALUE_SCALAR: one a step */
    struct bytes string;
    struct columns columns; /* VALUE_VECTOR: the series, each once, */
    uint32_t *order;        /* in this order: by labels; of one time as the expression sorts them */
    struct matrix matrix;   /* VALUE_MATRIX, of one time */
    struct table table;
    struct buf labels;
    struct buf key; /* in the cache */
};

/* `measured`: whose figures become those of this run; NULL: nothing is measured. ERR_INPUT:
 * run->ev.error says what cannot be evaluated; others are in run->ev.why. To be ended with
 * run_fini() in any case. */
MUST_CHECK enum err run_begin(struct run *run, const struct promql_tree *tree, struct view *view,
                              const struct promql_options *options, struct plan *measured);
/* The same, but that nothing is run: an empty plan is filled. */
MUST_CHECK enum err run_plan(struct run *run, const struct promql_tree *tree, struct view *view,
                             const struct promql_options *options, struct plan *plan);
void run_fini(struct run *run);
/* Whether all durations have values at the times of the options. False: `error` says which has not.
 */
bool run_has_durations(const struct promql_tree *tree, const struct promql_options *options,
                       struct buf *error);

#endif
