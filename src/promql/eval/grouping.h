/*
 * grouping.h - groups of series that have the same labels: of those that `by (...)` or `on (...)`
 * name, or that `without (...)` or `ignoring (...)` leave.
 */
#ifndef PROMQL_EVAL_GROUPING_H
#define PROMQL_EVAL_GROUPING_H

#include "base/table.h"
#include "promql/eval/label_edit.h"
#include "promql/parse/tree.h"

struct grouping {
    struct budget *budget;
    struct arena arena;
    bool without;
    struct name_list names;
    struct bytes *labels; /* of each group */
    uint32_t count;
    uint32_t capacity;
    struct table table;
    struct buf at_hand;
    uint32_t last; /* the group found last: neighbors are mostly of one */
};

/* `without`: groups have the labels that are not named. ERR_NOMEM. To be ended in any case. */
MUST_CHECK enum err grouping_begin(struct grouping *g, struct budget *budget,
                                   const struct labels_named *labels, bool without);
/* Of an aggregation. `more_label`: one more that groups have, as that of count_values; empty: none.
 */
MUST_CHECK enum err grouping_of_aggregation(struct grouping *g, struct budget *budget,
                                            const struct node *aggregation,
                                            struct bytes more_label);
void grouping_fini(struct grouping *g);
/* The group of a series. A new one has the id that `count` was before. ERR_NOMEM. */
MUST_CHECK enum err grouping_find(struct grouping *g, struct bytes labels, uint32_t *ret_id);
/* The same, but *ret_id is GROUP_NONE where there is no such group. */
#define GROUP_NONE UINT32_MAX
MUST_CHECK enum err grouping_look(struct grouping *g, struct bytes labels, uint32_t *ret_id);
/* The group's labels of the series that came last. */
static inline struct bytes
grouping_at_hand(const struct grouping *g)
{
    return buf_bytes(&g->at_hand);
}

/* Where its parameter stands: it is looked at after what is aggregated, and so told of. */
struct span aggregation_param_at(const struct node *aggregation);

/* Of a parameter at all steps; with a NaN they are NaN or infinite. */
struct param_extremes {
    double least;
    double greatest;
    bool nan;
};
struct param_extremes param_extremes_of(const double *params, uint32_t steps);

#endif
