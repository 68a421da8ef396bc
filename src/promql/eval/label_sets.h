/*
 * label_sets.h - makes label sets of others; all are canonical (model/labels.h).
 */
#ifndef PROMQL_EVAL_LABEL_SETS_H
#define PROMQL_EVAL_LABEL_SETS_H

#include "base/table.h"
#include "model/labels.h"
#include "promql/parse/tree.h"

/* Label names, ascending, each once. */
struct name_list {
    const struct bytes *names;
    uint32_t count;
};

/* Sorts names in place and drops repetitions. */
struct name_list name_list_of(struct bytes *names, uint32_t count);
/* True if the list has the name; a binary search. */
bool name_list_has(const struct name_list *list, struct bytes name);

/* True for any text in UTF-8 but the empty one. */
bool label_name_is_valid(struct bytes name);

/* The next functions append to `to`; failure shows in buf_error(). */
/* Drops __name__, __type__ and __unit__. */
void labels_without_metadata(struct buf *to, struct bytes labels);
/* Keeps the labels that are named. */
void labels_keep(struct buf *to, struct bytes labels, const struct name_list *names);
/* Drops the labels that are named, and __name__ with `name_too`. */
void labels_drop(struct buf *to, struct bytes labels, const struct name_list *names, bool name_too);
/* Sets one label, which replaces one of the same name; an empty value drops it. */
void labels_with(struct buf *to, struct bytes labels, struct label label);
/* Sets a label in place, by exchanging buffers. False: out of memory, and `labels` is invalid. */
bool labels_set(struct buf *labels, struct buf *scratch, struct label label);

/*
 * Groups of series with the same labels: those that `by (...)` or `on (...)` name, or
 * those that `without (...)` or `ignoring (...)` leave.
 */

struct grouping {
    struct budget *budget;
    struct arena arena;
    bool without;
    struct name_list names;
    struct bytes *labels; /* labels of each group */
    uint32_t count;
    uint32_t capacity;
    struct table table;
    struct buf last_labels; /* labels of the last series' group */
    uint32_t last;          /* group found last: neighbors are mostly in the same one */
};

/* With `without`, groups have the labels that are not named. ERR_NOMEM. The caller calls
 * grouping_fini(), also on an error. */
MUST_CHECK enum err grouping_begin(struct grouping *g, struct budget *budget,
                                   const struct labels_named *labels, bool without);
/* Begins the grouping of an aggregation. `more_label` is an additional label of groups, as for
 * count_values; it may be empty. */
MUST_CHECK enum err grouping_of_aggregation(struct grouping *g, struct budget *budget,
                                            const struct node *aggregation,
                                            struct bytes more_label);
void grouping_fini(struct grouping *g);
/* The group of a series, which is made if it is new; its id is then the count before. ERR_NOMEM. */
MUST_CHECK enum err grouping_find(struct grouping *g, struct bytes labels, uint32_t *ret_id);
/* grouping_find() that sets *ret_id to GROUP_NONE if the group does not exist. */
#define GROUP_NONE UINT32_MAX
MUST_CHECK enum err grouping_look(struct grouping *g, struct bytes labels, uint32_t *ret_id);
/* Returns the group's labels of the last series; a view until the next one. */
static inline struct bytes
grouping_last_labels(const struct grouping *g)
{
    return buf_bytes(&g->last_labels);
}

/* Returns the position of an aggregation's parameter as Prometheus reports it; the parameter is
 * examined after the operand. */
struct text_span aggregation_param_at(const struct node *aggregation);

/* The extremes of a parameter over all steps; with a NaN they are NaN or infinite. */
struct param_extremes {
    double least;
    double greatest;
    bool nan;
};
/* `params` has a value for each step. */
struct param_extremes param_extremes_of(const double *params, uint32_t steps);

#endif
