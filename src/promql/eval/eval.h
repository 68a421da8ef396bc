/*
 * eval.h - private to promql/eval/: an expression being evaluated.
 *
 * A vector is a stream of columns: each is one series with its values at all steps. Whoever needs
 * one asks the operator for the next; it is valid until then. Two columns may have the same labels
 * if they have no step in common: they are one series. Scalars are arrays of one value a step.
 */
#ifndef PROMQL_EVAL_EVAL_H
#define PROMQL_EVAL_EVAL_H

#include "model/select.h"
#include "promql/eval/column.h"
#include "promql/eval/notes.h"
#include "promql/eval/plan.h"
#include "promql/parse/tree.h"
#include "promql/promql.h"

struct evaluation {
    const struct promql_tree *tree;
    struct promql_features features;
    struct view *view;
    const struct bytes *view_words; /* of struct promql_options */
    uint32_t view_word_count;
    struct bytes tenant;
    struct query_control *control;
    struct budget *budget;
    struct arena arena; /* as long as the evaluation */
    struct notes notes;
    struct buf error; /* of ERR_INPUT: what cannot be evaluated */
    struct why why;   /* of other errors */
    struct grid grid; /* of the whole expression */
    int64_t end_ms;
    int64_t lookback_ms;
    int64_t subquery_step_ms; /* where none is given */
    /* Samples that were read, as Prometheus counts them: those of subqueries are not. */
    uint64_t samples;
    uint64_t *step_samples;               /* of them, at each step */
    const struct promql_helpers *helpers; /* NULL: there are none */
    uint32_t shards_wanted;    /* 0: as it is worth; 1: what is selected is not to be split */
    uint32_t shard;            /* of series, that the evaluation is about */
    uint32_t shard_count;      /* 0: it is about all */
    bool spans_steps;          /* what one step gives, if anything, may hang on what others give */
    struct held held;          /* those of windows are not among them */
    struct shares *shares;     /* NULL: no part stands twice in the expression */
    struct pushdown *pushdown; /* NULL: no selector gets matchers of others */
    struct plan *plan;         /* of which operators are measured; NULL: they are not */
    struct plan_node *at; /* the operator at work, if they are; of a part: that it is a part of */
    uint64_t work;        /* since it was last asked whether the query has to end */
};

/* What cannot be evaluated: ERR_INPUT. */
enum err eval_fail(struct evaluation *ev, const char *format, ...) PRINTF_LIKE(2, 3);
MUST_CHECK enum err eval_no_memory(struct evaluation *ev);

/* The result is another metric: it has the labels of `c` without what describes the metric, or will
 * have them at the end. */
MUST_CHECK enum err eval_other_metric(struct evaluation *ev, const struct column *c,
                                      struct buf *labels, struct column *result);

/* About as many values are going to be looked at. ERR_CANCELED: the query's time is over, or its
 * client is gone. */
static inline enum err
eval_work(struct evaluation *ev, uint64_t values)
{
    enum { VALUES_BETWEEN_CHECKS = 1 << 20 };
    ev->work += values;
    if (ev->work < VALUES_BETWEEN_CHECKS) return OK;
    ev->work = 0;
    return query_control_check(ev->control, &ev->why);
}

/* Sorting cannot be stopped, but once the query has to end its comparisons need not be made: any
 * order will do then. */
enum { COMPARE_WORK = 32 }; /* of two sets of labels */
struct eval_order {
    struct evaluation *ev;
    enum err failed;
};
static inline bool
eval_sorts(struct eval_order *s, uint64_t values)
{
    if (s->failed == OK) s->failed = eval_work(s->ev, values);
    return s->failed == OK;
}

/* ERR_INPUT: with so many more, too many samples are held. */
enum err eval_hold(struct evaluation *ev, uint64_t more);

/* What was read of a set that is about to be freed, or is NULL. */
static inline void
eval_account(const struct evaluation *ev, const struct series_set *set)
{
    if (ev->at != NULL && set != NULL) plan_account(ev->at, set);
}

/* An evaluation of the same over one shard of the series. To be ended with eval_fini(), on an
 * error, too. */
MUST_CHECK enum err eval_begin_part(struct evaluation *part, const struct evaluation *of,
                                    uint32_t shard, uint32_t count);
void eval_fini(struct evaluation *ev);

struct vector;
struct vector_ops {
    /* *ret_column NULL: there are no more. */
    enum err (*next)(struct vector *v, struct column **ret_column);
    void (*free)(struct vector *v);
};
struct vector {
    const struct vector_ops *ops;
    struct evaluation *ev;
    struct grid grid;
    /* No two series differ only in __name__: dropping it makes no two the same. */
    bool one_name;
    bool each_once;          /* no two columns have the same labels */
    bool by_labels;          /* series come in the order of labels, or of what they were */
    struct series_cost cost; /* of what it reads itself */
};

static inline enum err
vector_next(struct vector *v, struct column **ret_column)
{
    enum { LABELS_WORK = 128 }; /* of a column with one value most goes into its labels */
    enum err e = eval_work(v->ev, LABELS_WORK + v->grid.count);
    if (e == OK) e = eval_hold(v->ev, 0);
    return e ? e : v->ops->next(v, ret_column);
}

static inline void
vector_free(struct vector *v)
{
    if (v != NULL) v->ops->free(v);
}

static inline void
eval_count(struct evaluation *ev, const struct grid *grid, uint32_t step, uint64_t samples)
{
    if (!grid->counts) return;
    ev->samples += samples;
    ev->step_samples[step] += samples;
}

/* --- node.c ----------------------------------------------------------------------------------- */

/* Without parentheses. */
const struct node *node_inside(const struct node *node);
/* Of the node, not of what it says: for tables of nodes. */
uint64_t node_hash(const struct node *node);
/* Whether it reads series, and is the same at all steps. */
bool node_is_fixed(const struct node *node);
/* Where a call's argument stands, as Prometheus tells of it: with its parentheses if it is the same
 * at all steps, but the call is not. */
struct span argument_at(const struct node *call, const struct node *argument);
/* What of a selected sample is the value. */
enum sample_part {
    PART_VALUE,
    PART_PRESENCE, /* none: a float may be any number */
    PART_TIME,
    PART_INFO_TIME, /* of an info metric, which has no histograms */
    PART_START,
};
/* What a call or an aggregation takes of a selector. */
enum sample_part node_part(const struct node *node);
/* --- build.c: operators of a tree's nodes; given ---------------------------------------------- */

MUST_CHECK enum err vector_new(struct evaluation *ev, const struct node *node,
                               const struct grid *grid, struct vector **ret_vector);
/* The same, whatever else is known of the node: nothing is shared, nothing done only once. */
MUST_CHECK enum err vector_build(struct evaluation *ev, const struct node *node,
                                 const struct grid *grid, struct vector **ret_vector);
/* The one step at which what is the same at all is evaluated. */
struct grid grid_once(const struct evaluation *ev, const struct grid *grid);
/* The values of a scalar; they live as long as the evaluation. */
MUST_CHECK enum err scalar_values(struct evaluation *ev, const struct node *node,
                                  const struct grid *grid, double **ret_values);
double binary_number(enum token_type op, double a, double b);
/* As in Go: of NaN and what nothing can be beyond, the latter. */
double number_least(double a, double b);
double number_greatest(double a, double b);

/* An operand or a result at one step. */
struct operand {
    double value;
    const struct fhist *histogram; /* instead of the value */
};
/* What becomes of a pair. */
enum pairing {
    PAIR_GIVES,
    PAIR_DIFFERS, /* in what a comparison asks for */
    PAIR_UNFIT,   /* the two do not go together, as a note says: they are no match */
};
/*
 * Any binary operator but those of sets. A comparison gives what is on the left. New histograms are
 * in the arena. ERR_NOMEM.
 */
MUST_CHECK enum err binary_operands(struct evaluation *ev, const struct node *node,
                                    struct arena *arena, struct operand a, struct operand b,
                                    struct operand *ret, enum pairing *ret_pairing);

/* The time that @ names. Not for AT_NONE. */
static inline int64_t
shift_at_ms(const struct evaluation *ev, const struct shift *shift)
{
    if (shift->at == AT_START) return ev->grid.first_ms;
    return shift->at == AT_END ? ev->end_ms : shift->at_ms;
}

/* A duration with what is computed in it. */
MUST_CHECK enum err duration_value(struct evaluation *ev, const struct duration *d, bool positive,
                                   int64_t *ret_ms);
/* The steps in (from_ms, to_ms]; its count may be 0. */
MUST_CHECK enum err subquery_grid(struct evaluation *ev, const struct node *node, int64_t from_ms,
                                  int64_t to_ms, struct grid *ret);
/* What a selector asks for; in the evaluation's arena. */
MUST_CHECK enum err node_matchers(struct evaluation *ev, const struct node *node,
                                  struct matcher_set *ret_set);
/* What is read for a selector at these steps; for the range that a call is about, or the steps of
 * its subquery. In the evaluation's arena. */
MUST_CHECK enum err selector_request(struct evaluation *ev, const struct node *node,
                                     const struct grid *grid, struct matcher_set *set,
                                     struct query_request *ret);
MUST_CHECK enum err range_request(struct evaluation *ev, const struct node *call,
                                  const struct node *range, const struct grid *grid,
                                  struct matcher_set *set, struct query_request *ret,
                                  struct grid *ret_grid);
/* The steps at which a selector is evaluated: one, if @ says at which time. */
struct grid selector_grid(const struct evaluation *ev, const struct node *selector,
                          const struct grid *grid);
/* How an aggregation comes to its values. */
enum folding {
    FOLD_GROUPS, /* each column goes into its group at once */
    FOLD_VALUES, /* the same, a group for each value */
    FOLD_KEPT,   /* all columns are kept until the last one came */
    FOLD_RANKED, /* the best values of each step are */
    FOLD_PASSED, /* each column is passed on, or part of it */
};
enum folding folding_of(enum token_type op);
/* Is the metric's name given? */
bool selector_names_one(const struct node *selector);

/* --- measure.c -------------------------------------------------------------------------------- */

/*
 * What happens until measure_end() is the plan's operator of this node's: the time and, of memory
 * that is charged to the evaluation's budget, the peak. False: none is, or nothing is measured.
 */
struct measuring {
    struct plan_node *outer;
    struct budget *outer_budget;
    int64_t begun_ns;
};
bool measure_begin(struct evaluation *ev, const struct node *node, struct measuring *m);
void measure_end(struct evaluation *ev, const struct measuring *m);
/* The same vector, measured; `of` was made between measure_begin() and measure_end(). */
MUST_CHECK enum err vector_measured_new(struct evaluation *ev, struct plan_node *node,
                                        struct vector *of, struct vector **ret_vector);

/* --- operators; those they take are theirs, whatever happens ---------------------------------- */

MUST_CHECK enum err vector_selector_new(struct evaluation *ev, const struct node *node,
                                        const struct grid *grid, enum sample_part part,
                                        struct vector **ret_vector);
/* A vector whose columns are made of one series each. */
struct leaf {
    const struct node *node; /* a selector, or a call of a function of ranges */
    struct grid grid;
    enum sample_part part; /* of a selector */
};
MUST_CHECK enum err leaf_new(struct evaluation *ev, const struct leaf *leaf,
                             struct vector **ret_vector);
/* In how many shards it is worth to work on it. */
uint32_t leaf_shards(const struct evaluation *ev, const struct leaf *leaf,
                     const struct series_cost *cost);
/* The same, in so many shards. */
enum { SHARDS_MAX = 16 };
MUST_CHECK enum err vector_parallel_new(struct evaluation *ev, const struct leaf *leaf,
                                        uint32_t count, struct vector **ret_vector);
MUST_CHECK enum err vector_range_new(struct evaluation *ev, const struct node *call,
                                     const struct grid *grid, struct vector **ret_vector);
/* A function of each value, or unary minus; `of` NULL: of scalars alone. */
MUST_CHECK enum err vector_map_new(struct evaluation *ev, const struct node *node,
                                   struct vector *of, const struct grid *grid,
                                   struct vector **ret_vector);
/* One series where `of` has none; its labels are those that the argument's matchers name. */
MUST_CHECK enum err vector_absent_new(struct evaluation *ev, const struct node *argument,
                                      struct vector *of, struct vector **ret_vector);
MUST_CHECK enum err vector_label_join_new(struct evaluation *ev, const struct node *call,
                                          struct vector *of, struct vector **ret_vector);
/* Fails where two columns of the same labels meet at a step. */
MUST_CHECK enum err vector_unique_new(struct evaluation *ev, struct vector *of,
                                      struct vector **ret_vector);
/* Columns of the same labels become one. */
MUST_CHECK enum err vector_joined_new(struct evaluation *ev, struct vector *of,
                                      struct vector **ret_vector);
/* The same where columns became another metric just now; with delayed removal they have not.
 * `at_all`: also if they do not meet at a step. */
MUST_CHECK enum err vector_other_metric_new(struct evaluation *ev, struct vector *of,
                                            const struct vector *was, bool at_all,
                                            struct vector **ret_vector);
MUST_CHECK enum err vector_scalar_binary_new(struct evaluation *ev, const struct node *node,
                                             struct vector *of, const double *scalars,
                                             bool scalar_left, struct vector **ret_vector);
MUST_CHECK enum err vector_binary_new(struct evaluation *ev, const struct node *node,
                                      struct vector *left, struct vector *right,
                                      struct vector **ret_vector);
MUST_CHECK enum err vector_set_new(struct evaluation *ev, const struct node *node,
                                   struct vector *left, struct vector *right,
                                   struct vector **ret_vector);
/* Without histograms. */
MUST_CHECK enum err vector_floats_new(struct evaluation *ev, struct vector *of,
                                      struct vector **ret_vector);
/* Of one step: in the order of sort() and its like. Of several a warning is noted. */
MUST_CHECK enum err vector_sorted_new(struct evaluation *ev, const struct node *call,
                                      struct vector *of, struct vector **ret_vector);
/* Is the order in which an expression gives series, of one step, a part of its answer? */
bool node_has_order(const struct node *node);
MUST_CHECK enum err vector_label_replace_new(struct evaluation *ev, const struct node *call,
                                             struct vector *of, struct vector **ret_vector);
/* histogram_quantile, histogram_quantiles, histogram_fraction */
MUST_CHECK enum err vector_estimate_new(struct evaluation *ev, const struct node *call,
                                        struct vector *of, struct vector **ret_vector);
/* info() */
MUST_CHECK enum err vector_info_new(struct evaluation *ev, const struct node *call,
                                    struct vector *of, struct vector **ret_vector);
MUST_CHECK enum err vector_aggregation_new(struct evaluation *ev, const struct node *node,
                                           struct vector *of, struct vector **ret_vector);
/* The aggregations that pass series on. */
MUST_CHECK enum err vector_choosing_new(struct evaluation *ev, const struct node *node,
                                        struct vector *of, struct vector **ret_vector);

#endif
