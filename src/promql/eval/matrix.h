/* matrix.h - a range vector as the whole of an answer: samples, as they are. */
#ifndef PROMQL_EVAL_MATRIX_H
#define PROMQL_EVAL_MATRIX_H

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
    struct arena arena; /* of all that it has */
    struct matrix_series *items;
    uint32_t count;
    uint32_t capacity;
};

/*
 * Fills `m`, which is zeroed and ended with matrix_fini() in any case: what a selector with a
 * range, or a subquery, selects at the one time of the evaluation; by labels.
 */
MUST_CHECK enum err matrix_fill(struct evaluation *ev, const struct node *node, struct matrix *m);
/* What is read for it: of a selector with a range, into the evaluation's arena; and the steps of a
 * subquery. */
MUST_CHECK enum err matrix_request(struct evaluation *ev, const struct node *node,
                                   struct matcher_set *set, struct query_request *ret);
MUST_CHECK enum err matrix_grid(struct evaluation *ev, const struct node *node, struct grid *ret);
void matrix_fini(struct evaluation *ev, struct matrix *m);

#endif
