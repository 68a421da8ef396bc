/* matrix.h - a range vector as the result of a query: its samples as they are. */
#ifndef PROMQL_EVAL_SELECT_MATRIX_H
#define PROMQL_EVAL_SELECT_MATRIX_H

#include "promql/eval/eval.h"

struct matrix_series {
    struct bytes labels;
    bool drops_name;
    uint32_t count;
    int64_t *times_ms;
    double *values;
    const struct fhist **histograms; /* NULL where there is a value */
};

struct matrix {
    struct arena arena; /* memory of all series */
    struct matrix_series *items;
    uint32_t count;
    uint32_t capacity;
};

/*
 * Fills `m`, which is zeroed, and which the caller ends with matrix_fini() also on an error, with
 * what a selector with a range, or a subquery, selects at the one time of the evaluation. Series
 * are in the order of their labels.
 */
MUST_CHECK enum err matrix_fill(struct evaluation *ev, const struct plan_node *x, struct matrix *m);
/* The request for the series of a selector with a range, in the evaluation's arena. */
MUST_CHECK enum err matrix_request(struct evaluation *ev, const struct node *node,
                                   struct matcher_set *set, struct query_request *ret);
/* Frees all series; accepts a matrix that is zeroed. */
void matrix_fini(struct evaluation *ev, struct matrix *m);

#endif
