/*
 * eval.h - private to promql/eval/: an expression that is being evaluated.
 *
 * A vector is a stream of columns: each is one series with its values at all steps. The caller asks
 * an operator for the next column, which is valid until it asks again. Two columns may have the
 * same labels if they have no step in common: they are one series. Scalars are arrays of one value
 * per step.
 */
#ifndef PROMQL_EVAL_EVAL_H
#define PROMQL_EVAL_EVAL_H

#include "base/buf.h"
#include "base/table.h"
#include "model/select.h"
#include "promql/eval/column.h"
#include "promql/parse/tree.h"
#include "promql/promql.h"

/* --- plan/plan.c ------------------------------------------------------------------------------ */

/*
 * The operators that evaluate an expression, as a tree. Every decision about operators is
 * made with the plan; build.c only carries it out.
 */

struct evaluation;
struct plan_figures;
struct pushed;
struct share;

/* The part of a selected sample that is the value of a vector. */
enum sample_part {
    PART_VALUE,
    PART_PRESENCE, /* only whether there is a sample matters: a float may have any value */
    PART_TIME,
    PART_INFO_TIME, /* the time of an info metric, which has no histograms */
    PART_START,
};

enum plan_kind {
    PLAN_STRING,

    /* Scalars. */
    PLAN_NUMBER,     /* a number, with its signs */
    PLAN_CONSTANT,   /* a function with one value: pi(), start() */
    PLAN_TIME,       /* time() */
    PLAN_SIGN,       /* a sign before a scalar that is not a number */
    PLAN_ARITHMETIC, /* a binary operator of two scalars */
    PLAN_LEAST,      /* min_of() */
    PLAN_GREATEST,   /* max_of() */
    PLAN_ONLY_VALUE, /* scalar() */

    /* Range vectors. */
    PLAN_RANGE_SELECTOR, /* the whole expression */
    PLAN_SUBQUERY,       /* the whole expression, or the operand of a range function */

    /* Vectors. The operand of a range function is a subquery, or it reads series itself. */
    PLAN_SELECTOR,
    PLAN_RANGE_FUNCTION,
    PLAN_RANGE_SAMPLE, /* a range function that gives a sample of the series, which keeps its name
                        */
    PLAN_RANGE_ABSENT, /* absent_over_time() */
    PLAN_ABSENT,
    PLAN_INFO,
    PLAN_LABEL_JOIN,
    PLAN_LABEL_REPLACE,
    PLAN_SORT, /* by value */
    PLAN_SORT_BY_LABEL,
    PLAN_HISTOGRAM, /* histogram_quantile() and its variants */
    PLAN_MAP,       /* a function of each value, or unary minus */
    PLAN_SAME,      /* unary plus */
    PLAN_AGGREGATION,
    PLAN_CHOICE,        /* an aggregation that passes series on */
    PLAN_BINARY,        /* a binary operator of two vectors */
    PLAN_SET,           /* a set operator */
    PLAN_SCALAR_BINARY, /* a binary operator of a vector and a scalar */
};

/* A node lies in the arena of the evaluation, and does not change once the plan is made. */
struct plan_node {
    enum plan_kind kind;
    enum sample_part part; /* PART_VALUE unless it is a selector */
    const struct node *node;
    struct grid grid; /* steps at which the operator is evaluated */
    bool once;        /* evaluated at one step, which gives the result at all steps of `given` */
    struct grid given;
    double value;                /* the value of each number and constant */
    struct bytes refused;        /* sentence if a subquery has no steps because of an error */
    struct share *share;         /* NULL if no part of the expression is equal */
    const struct pushed *pushed; /* matchers for the selector besides its own; NULL without any */
    struct plan_node *of;        /* vector operand, the left one of two; NULL without any */
    struct plan_node *right;     /* second vector operand */
    /* All operands in the order of the syntax. A reader of a share has none. */
    struct plan_node *first, *last;
    struct plan_node *next;       /* next operand of the same operator */
    struct plan_figures *figures; /* NULL if the operator is not explained */
};

/* Returns the first scalar of a list of operands; NULL without any. */
static inline const struct plan_node *
plan_scalars(const struct plan_node *x)
{
    while (x != NULL && x->node->type != VALUE_SCALAR)
        x = x->next;
    return x;
}

/* True for selectors and functions of ranges. */
static inline bool
plan_is_leaf(enum plan_kind kind)
{
    return kind == PLAN_SELECTOR || kind == PLAN_RANGE_FUNCTION || kind == PLAN_RANGE_SAMPLE ||
           kind == PLAN_RANGE_ABSENT;
}

/* Plans the whole expression for the steps of the evaluation. ERR_NOMEM; errors of the expression
 * show when its operators are built. */
MUST_CHECK enum err plan_make(struct evaluation *ev, struct plan_node **ret);
/* Fails with the error that left a subquery without steps. */
MUST_CHECK enum err plan_refuse(struct evaluation *ev, const struct plan_node *x);
/* Plans a vector without sharing its parts, for a reader of a share that evaluates its own node. */
MUST_CHECK enum err plan_make_alone(struct evaluation *ev, const struct plan_node *reader,
                                    struct plan_node **ret);

/* --- notes.c: warnings and infos about a result ----------------------------------------------- */

struct eval_note {
    enum promql_note kind;
    struct bytes text; /* without the position */
    struct text_span at;
    struct forced *forced; /* sum of decreases; NULL for most notes */
    uint64_t occurrences;  /* printed if more than one; 0: not counted */
};

/* Each text is there once, with the position that is evaluated last; notes that are summed up or
 * counted have the one that is evaluated first. */
struct eval_notes {
    struct budget *budget;
    struct arena arena;
    struct bytes query;
    struct eval_note *items;
    uint32_t count;
    uint32_t capacity;
    struct table table; /* notes by their kinds and texts */
    uint64_t added;     /* count of notes added, including those that were there */
    enum err failed;    /* ERR_NOMEM, ERR_LIMIT: a note was lost */
};

/* Notes are texts in an arena, each once. `query` is a view that outlives them: positions in it
 * become lines and columns. */
void notes_init(struct eval_notes *notes, struct budget *budget, struct bytes query);
void notes_fini(struct eval_notes *notes);
/* Adds a note about a part of the query. A lack of memory shows in `failed`. */
void notes_add(struct eval_notes *notes, enum promql_note kind, struct text_span at,
               const char *format, ...) PRINTF_LIKE(4, 5);
/* Adds a note that ends with a text in quotes. */
void notes_add_quoted(struct eval_notes *notes, enum promql_note kind, struct text_span at,
                      const char *text, struct bytes quoted);
/* Adds a note that ends with a number. */
void notes_add_number(struct eval_notes *notes, enum promql_note kind, struct text_span at,
                      const char *text, double number);
/* Notes that the type label of a metric says that it is not a counter. */
void notes_add_type(struct eval_notes *notes, struct text_span at, struct bytes type,
                    struct bytes metric);
/* Adds a note that ends with " for metric name NAME", unless NAME is empty. NULL: it is lost. */
struct eval_note *notes_add_metric(struct eval_notes *notes, enum promql_note kind,
                                   struct text_span at, const char *text, struct bytes metric);

/* Counts a range of samples in which a start time overlaps the sample before. */
void notes_add_overlap(struct eval_notes *notes, struct text_span at, struct bytes metric);

/* Buckets of a classic histogram that were not cumulative: the bounds between which counts fell,
 * and by how much at most. */
struct decrease {
    double least_bound;
    double greatest_bound;
    double most;
};
/* Notes that a histogram had such buckets at a time; notes about one metric are joined. */
void notes_add_decrease(struct eval_notes *notes, struct text_span at, struct bytes metric,
                        int64_t t_ms, const struct decrease *decrease);

/* Adds the notes of a part of the evaluation; none of them is about decreases. */
void notes_merge(struct eval_notes *notes, const struct eval_notes *of);

/* Appends "PromQL warning: TEXT (LINE:COLUMN)". */
void note_print(const struct eval_notes *notes, const struct eval_note *note, struct buf *to);

/* --- the evaluation --------------------------------------------------------------------------- */

struct evaluation {
    const struct promql_tree *tree;
    struct promql_features features;
    struct view *view;
    const struct bytes *view_words; /* view_words of struct promql_options */
    uint32_t view_word_count;
    struct bytes tenant;
    struct query_control *control;
    struct budget *budget;
    struct arena arena; /* freed with the evaluation */
    struct eval_notes notes;
    struct buf error; /* sentence of an ERR_INPUT */
    struct why why;   /* sentence of other errors */
    struct grid grid; /* steps of the whole expression */
    int64_t end_ms;
    int64_t lookback_ms;
    int64_t resolution_max_ms; /* coarsest windows of downsampled samples that are taken */
    int64_t subquery_step_ms;  /* default of subqueries */
    /* Samples that were read, counted as Prometheus does: those of subqueries are not included. */
    uint64_t samples;
    uint64_t *step_samples;               /* samples at each step */
    const struct promql_helpers *helpers; /* NULL if no other thread can help */
    uint32_t shards_wanted;               /* 0: chosen by cost; 1: series are not split */
    uint32_t shard;                       /* index of the shard of series that is evaluated */
    uint32_t shard_count;                 /* 0: the evaluation is of all series */
    bool counts;                          /* no series may be left unread */
    bool spans_steps;                 /* an error at one step may depend on what other steps give */
    struct held_samples held;         /* samples in the buffers of windows are not included */
    struct expression_shares *shares; /* NULL if no part can occur twice in the expression */
    /* Operator that is measured now; for a shard: the operator of the shards. NULL if nothing is
     * measured. */
    struct plan_figures *at;
    uint64_t work; /* values since query_control_check() was last called */
};

/* Puts a sentence into ev->error and returns ERR_INPUT. */
enum err eval_fail(struct evaluation *ev, const char *format, ...) PRINTF_LIKE(2, 3);
/* Puts the sentence about a lack of memory into ev->why and returns ERR_NOMEM. */
MUST_CHECK enum err eval_no_memory(struct evaluation *ev);

/* Gives `result` the labels of another metric than that of `c`: those without __name__, __type__
 * and __unit__, or, with delayed removal, those of `c` with drops_name set. */
MUST_CHECK enum err eval_other_metric(struct evaluation *ev, const struct column *c,
                                      struct buf *labels, struct column *result);

/* Counts values about to be processed, and checks the query from time to time. ERR_CANCELED: its
 * timeout expired, or its client disconnected. */
static inline enum err
eval_work(struct evaluation *ev, uint64_t values)
{
    enum { VALUES_BETWEEN_CHECKS = 1 << 20 };
    ev->work += values;
    if (ev->work < VALUES_BETWEEN_CHECKS) return OK;
    ev->work = 0;
    return query_control_check(ev->control, &ev->why);
}

/* A sort cannot be stopped, but once the query has to end its comparisons return at once, in any
 * order. */
enum { COMPARE_WORK = 32 }; /* work of comparing two sets of labels */
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

/* ERR_INPUT if `more` samples, with those that are held, exceed the limit of the query. */
enum err eval_hold(struct evaluation *ev, uint64_t more);

/* Adds a copy of a column to those that are indexed, or joins it with one of the same labels.
 * ERR_INPUT if both have a value at a step. */
MUST_CHECK enum err eval_collect(struct evaluation *ev, struct columns *to, const struct column *c,
                                 uint32_t steps);

/* Begins an evaluation of the same expression over one shard of the series. The caller ends it with
 * eval_fini(), also on an error. */
MUST_CHECK enum err eval_begin_part(struct evaluation *part, const struct evaluation *of,
                                    uint32_t shard, uint32_t count);
/* Frees the arena with all operators' memory in it, the notes and the errors. Operators are
 * freed before. */
void eval_fini(struct evaluation *ev);

/* --- vectors ---------------------------------------------------------------------------------- */

struct vector;
struct vector_ops {
    /* *ret_column is NULL after the last one. */
    enum err (*next)(struct vector *v, struct column **ret_column);
    /* Ends what the operator has besides its own memory and its operand. NULL: nothing. */
    void (*free)(struct vector *v);
};
struct vector {
    const struct vector_ops *ops;
    struct evaluation *ev;
    struct vector *of; /* operand, freed with the operator; NULL without any */
    size_t bytes;      /* size of the operator, which begins with this */
    struct grid grid;
    /* No two series differ in __name__ alone, so that no two become the same without it. */
    bool one_name;
    bool each_once;          /* no two columns have the same labels */
    bool by_labels;          /* columns are in the order of their labels, or of those they had */
    struct series_cost cost; /* cost of the series that it reads itself */
};

/* Makes an operator of `bytes`, which begins with a vector, with the steps of `of` and its
 * one_name; zeroed without `of`. NULL: no memory, and `of` is freed. */
void *vector_alloc(struct evaluation *ev, size_t bytes, const struct vector_ops *ops,
                   struct vector *of);

/* An operator that makes each of its columns in memory of its own. */
struct maker {
    struct vector vector; /* first */
    struct column column;
    struct arena arena; /* memory of histograms in `column` */
    struct buf labels;
};
/* vector_alloc() for a maker, with columns for the steps of `grid`. */
void *maker_alloc(struct evaluation *ev, size_t bytes, const struct vector_ops *ops,
                  struct vector *of, const struct grid *grid);
void maker_free(struct vector *v);
/* Sets a step to a histogram, or to the value if `h` is NULL. */
MUST_CHECK enum err maker_put(struct maker *m, uint32_t step, double value, const struct fhist *h);

static inline enum err
vector_next(struct vector *v, struct column **ret_column)
{
    enum { LABELS_WORK = 128 }; /* labels dominate the work of a column with one value */
    enum err e = eval_work(v->ev, LABELS_WORK + v->grid.count);
    if (e == OK) e = eval_hold(v->ev, 0);
    return e ? e : v->ops->next(v, ret_column);
}

static inline void
vector_free(struct vector *v)
{
    while (v != NULL) {
        struct vector *of = v->of;
        if (v->ops->free != NULL) v->ops->free(v);
        mem_free(v->ev->budget, v, v->bytes);
        v = of;
    }
}

/* Gives an operator that was made, or frees it after an error, which is returned. */
static inline enum err
vector_give(struct vector *v, enum err e, struct vector **ret_vector)
{
    if (e)
        vector_free(v);
    else
        *ret_vector = v;
    return e;
}

static inline void
eval_count(struct evaluation *ev, const struct grid *grid, uint32_t step, uint64_t samples)
{
    if (!grid->counts) return;
    ev->samples += samples;
    ev->step_samples[step] += samples;
}

/* --- build.c: nodes of the syntax ------------------------------------------------------------- */

/* The node within parentheses. */
const struct node *node_inside(const struct node *node);
/* The position of a call's argument as Prometheus reports it: with its parentheses if the argument
 * is the same at all steps but the call is not. */
struct text_span argument_at(const struct node *call, const struct node *argument);
/* The range vector among the arguments of a function of ranges. */
const struct node *call_range(const struct node *call);
/* The part that a call or an aggregation uses of a selector. */
enum sample_part node_part(const struct node *node);

/* --- build.c: operators of a plan ------------------------------------------------------------- */

/* Builds the operator of a plan's node, with its operands; given (vector_free()). ERR_INPUT: the
 * expression has an error, which is in ev->error; ERR_NOMEM; errors of selects. */
MUST_CHECK enum err vector_new(struct evaluation *ev, const struct plan_node *x,
                               struct vector **ret_vector);
/* vector_new() at the steps of the operator, without sharing and repeating its result. */
MUST_CHECK enum err vector_build(struct evaluation *ev, const struct plan_node *x,
                                 struct vector **ret_vector);

/* --- build.c: scalars, durations and matchers ------------------------------------------------- */

/* Returns the values of a scalar, valid as long as the evaluation. */
MUST_CHECK enum err scalar_values(struct evaluation *ev, const struct plan_node *x,
                                  double **ret_values);
/* Computes an arithmetic operator, or a comparison as 1 or 0. */
double binary_number(enum token_type op, double a, double b);
/* Like Go's math.Min and math.Max: an infinity that decides the result wins over NaN. */
double number_least(double a, double b);
double number_greatest(double a, double b);

/* --- binary.c: two samples -------------------------------------------------------------------- */

/* An operand or a result at one step. */
struct operand {
    double value;
    const struct fhist *histogram; /* NULL if it is the value */
};
/* The outcome of a binary operator for a pair of samples. */
enum pairing {
    PAIR_GIVES,
    PAIR_DIFFERS, /* a comparison is false */
    PAIR_UNFIT,   /* the samples cannot be combined; a note was added, and they are not a match */
};
/*
 * Evaluates a binary operator other than a set operator. A comparison gives its left side. New
 * histograms lie in the arena. ERR_NOMEM.
 */
MUST_CHECK enum err binary_operands(struct evaluation *ev, const struct node *node,
                                    struct arena *arena, struct operand a, struct operand b,
                                    struct operand *ret, enum pairing *ret_pairing);

/* --- selectors and requests ------------------------------------------------------------------- */

/* The time of an @ modifier; `shift->at` is not AT_NONE. */
static inline int64_t
shift_at_ms(const struct evaluation *ev, const struct shift *shift)
{
    if (shift->at == AT_START) return ev->grid.first_ms;
    return shift->at == AT_END ? ev->end_ms : shift->at_ms;
}

/* The value of a duration, whose expression, if it has one, is computed. ERR_INPUT if it is not
 * allowed: `positive` refuses values up to 0. */
MUST_CHECK enum err duration_compute(struct evaluation *ev, const struct duration *d, bool positive,
                                     int64_t *ret_ms);
static inline enum err
duration_value(struct evaluation *ev, const struct duration *d, bool positive, int64_t *ret_ms)
{
    *ret_ms = d->ms;
    return d->expr == NULL ? OK : duration_compute(ev, d, positive, ret_ms);
}
/* The matchers of a selector with those that are pushed down to it (may be NULL); in the
 * evaluation's arena. */
MUST_CHECK enum err node_matchers(struct evaluation *ev, const struct node *node,
                                  const struct pushed *pushed, struct matcher_set *ret_set);
/* The request for the series that a selector, or a function of ranges, reads itself. `set` is its
 * set of matchers, in the evaluation's arena. */
MUST_CHECK enum err selector_request(struct evaluation *ev, const struct plan_node *x,
                                     struct matcher_set *set, struct query_request *ret,
                                     int64_t *ret_offset_ms);
/* The same for the function of ranges that `x` calls. */
MUST_CHECK enum err range_request(struct evaluation *ev, const struct plan_node *x,
                                  struct matcher_set *set, struct query_request *ret);

/* --- aggregate/aggregate.c -------------------------------------------------------------------- */

/* The way in which an aggregation computes its values. */
enum folding {
    FOLD_GROUPS, /* folds each column into its group */
    FOLD_VALUES, /* folds each value into the group of that value */
    FOLD_KEPT,   /* keeps all columns up to the last one */
    FOLD_RANKED, /* keeps the best values of each step */
    FOLD_PASSED, /* passes each column on, or part of it */
};
/* Returns the way of an aggregation operator. */
enum folding folding_of(enum token_type op);

/* --- select/selector.c ------------------------------------------------------------------------ */

/* True if the selector gives the name of the metric. */
bool selector_names_one(const struct node *selector);
/* view_select(), series_set_next() and series_set_free(), which also count the metrics that are
 * asked for, pass warnings on, and account the cost. `has_name`: the selector has given the name of
 * the series. `set` may be NULL. */
MUST_CHECK enum err eval_select(struct evaluation *ev, const struct query_request *request,
                                struct series_set **ret_set);
MUST_CHECK enum err eval_next_series(struct evaluation *ev, struct series_set *set, bool has_name,
                                     struct bytes *ret_labels);
void eval_free_set(const struct evaluation *ev, struct series_set *set);

/* --- plan/measure.c --------------------------------------------------------------------------- */

/* Attributes the time and the peak of the evaluation's memory until measure_end() to an operator.
 * False if it is not measured. */
struct measuring {
    struct plan_figures *outer;
    struct budget *outer_budget;
    int64_t begun_ns;
};
/* measure_begin() for figures that exist. */
void measuring_start(struct evaluation *ev, struct plan_figures *figures, struct measuring *m);
static inline bool
measure_begin(struct evaluation *ev, const struct plan_node *x, struct measuring *m)
{
    if (x->figures == NULL || ev->shard_count > 0) return false;
    measuring_start(ev, x->figures, m);
    return true;
}
/* Ends what measure_begin() began, if it returned true; in reverse order. */
void measure_end(struct evaluation *ev, const struct measuring *m);
/* Wraps `of` so that its calls are measured; it was made between measure_begin() and
 * measure_end(). */
MUST_CHECK enum err vector_measured_new(struct evaluation *ev, struct plan_figures *figures,
                                        struct vector *of, struct vector **ret_vector);
/* Adds what was read of a set to the figures of an operator. */
void measure_account(struct plan_figures *figures, const struct series_set *set);
/* Notes that an operator was given windows of a resolution; shards may do so at once. */
void measure_resolution(struct plan_figures *figures, int64_t resolution_ms);

/* --- operators; they own their operands, also on an error ------------------------------------- */

/* A vector selector or a function of a range, which opens its set of series. Errors of
 * eval_select(). */
MUST_CHECK enum err vector_selector_new(struct evaluation *ev, const struct plan_node *x,
                                        struct vector **ret_vector);
MUST_CHECK enum err vector_range_new(struct evaluation *ev, const struct plan_node *x,
                                     struct vector **ret_vector);
/* A leaf is a selector or a function of ranges: each of its columns is made of one series. */
MUST_CHECK enum err leaf_new(struct evaluation *ev, const struct plan_node *x,
                             struct vector **ret_vector);
/* The number of shards in which a leaf is evaluated, by its cost; at least 1. */
uint32_t leaf_shards(const struct evaluation *ev, const struct plan_node *x,
                     const struct series_cost *cost);
/* The same leaf, evaluated in `count` shards. */
enum { SHARDS_MAX = 16 };
MUST_CHECK enum err vector_parallel_new(struct evaluation *ev, const struct plan_node *x,
                                        uint32_t count, struct vector **ret_vector);
/* A function of each value, or unary minus. `of` is NULL for a function of scalars alone. */
MUST_CHECK enum err vector_map_new(struct evaluation *ev, const struct plan_node *x,
                                   struct vector *of, struct vector **ret_vector);
/* absent(): one series where `of` has none, with the labels that the argument's matchers give. */
MUST_CHECK enum err vector_absent_new(struct evaluation *ev, const struct node *argument,
                                      struct vector *of, struct vector **ret_vector);
/* label_replace(), or label_join(): `of` with one label made by a regular expression of another
 * one, or of others. */
MUST_CHECK enum err vector_label_new(struct evaluation *ev, const struct node *call,
                                     struct vector *of, bool replaces, struct vector **ret_vector);
/* Fails if two columns with the same labels have a value at the same step. */
MUST_CHECK enum err vector_unique_new(struct evaluation *ev, struct vector *of,
                                      struct vector **ret_vector);
/* Joins columns with the same labels. */
MUST_CHECK enum err vector_joined_new(struct evaluation *ev, struct vector *of,
                                      struct vector **ret_vector);
/* vector_unique_new() for columns whose labels have just changed to those of another metric; with
 * delayed removal they have not changed, and nothing is checked. With `at_all` two such columns are
 * refused even if they have no step in common. `was` has the properties of the columns before. */
MUST_CHECK enum err vector_other_metric_new(struct evaluation *ev, struct vector *of,
                                            const struct vector *was, bool at_all,
                                            struct vector **ret_vector);
/* An operator with a vector and a scalar, whose values `scalars` has for each step;
 * `scalar_left` says on which side it is. */
MUST_CHECK enum err vector_scalar_binary_new(struct evaluation *ev, const struct node *node,
                                             struct vector *of, const double *scalars,
                                             bool scalar_left, struct vector **ret_vector);
/* An operator with two vectors that is not a set operator, matched by the labels that `node`
 * names. */
MUST_CHECK enum err vector_binary_new(struct evaluation *ev, const struct node *node,
                                      struct vector *left, struct vector *right,
                                      struct vector **ret_vector);
/* and, or, unless. */
MUST_CHECK enum err vector_set_new(struct evaluation *ev, const struct node *node,
                                   struct vector *left, struct vector *right,
                                   struct vector **ret_vector);
/* Drops histograms. */
MUST_CHECK enum err vector_floats_new(struct evaluation *ev, struct vector *of,
                                      struct vector **ret_vector);
/* Sorts a vector of one step as sort() and its variants do. For several steps it notes a warning
 * and gives `of`. */
MUST_CHECK enum err vector_sorted_new(struct evaluation *ev, const struct node *call,
                                      struct vector *of, struct vector **ret_vector);
/* True if the order of the series that an expression gives at one time is part of its answer. */
bool node_has_order(const struct node *node);
/* histogram_quantile, histogram_quantiles, histogram_fraction */
MUST_CHECK enum err vector_estimate_new(struct evaluation *ev, const struct plan_node *x,
                                        struct vector *of, struct vector **ret_vector);
/* info() */
MUST_CHECK enum err vector_info_new(struct evaluation *ev, const struct node *call,
                                    struct vector *of, struct vector **ret_vector);
/* An aggregation that makes a series for each group: sum, quantile, count_values and others. */
MUST_CHECK enum err vector_aggregation_new(struct evaluation *ev, const struct plan_node *x,
                                           struct vector *of, struct vector **ret_vector);
/* Aggregations that pass series on: topk, bottomk, limitk, limit_ratio. */
MUST_CHECK enum err vector_choosing_new(struct evaluation *ev, const struct plan_node *x,
                                        struct vector *of, struct vector **ret_vector);

#endif
