/* run.h - evaluates an expression at one time or at many, and holds the result. */
#ifndef PROMQL_EVAL_RUN_H
#define PROMQL_EVAL_RUN_H

#include "promql/eval/plan/explain.h"
#include "promql/eval/select/matrix.h"
#include "promql/promql.h"

struct query_run {
    struct evaluation ev;
    struct promql_plan *measured; /* NULL if the operators are not measured */
    enum value_type type;
    double *scalars; /* VALUE_SCALAR: one per step */
    struct bytes string;
    struct columns columns; /* VALUE_VECTOR: the series, each once */
    uint32_t *order;        /* indexes of columns in the order of the result: by labels, or as the
                               expression sorts them at one time */
    struct matrix matrix;   /* VALUE_MATRIX: the result at one time */
    struct buf labels;
    struct buf key;        /* key of the cache */
    uint32_t cached_steps; /* steps that came from the cache */
};

/* Evaluates the expression; `run` is zeroed. Figures of the run are stored in the plan `measured`,
 * which may be NULL. ERR_INPUT: run->ev.error says what cannot be evaluated; other errors are in
 * run->ev.why. The caller ends the run with run_fini(), also on an error. */
MUST_CHECK enum err run_begin(struct query_run *run, const struct promql_tree *tree,
                              struct view *view, const struct promql_options *options,
                              struct promql_plan *measured);
/* Fills an empty plan instead of evaluating the expression. Errors and end as of run_begin(). */
MUST_CHECK enum err run_plan(struct query_run *run, const struct promql_tree *tree,
                             struct view *view, const struct promql_options *options,
                             struct promql_plan *plan);
/* Frees the result and the evaluation; accepts a run that is zeroed. */
void run_fini(struct query_run *run);

#endif
