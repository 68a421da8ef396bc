/*
 * plan.h - finds what can be left out of an evaluation, computes durations, and explains a plan to
 * people.
 */
#ifndef PROMQL_EVAL_PLAN_PLAN_H
#define PROMQL_EVAL_PLAN_PLAN_H

#include "promql/eval/eval.h"

/* --- share.c ---------------------------------------------------------------------------------- */

/*
 * Parts of an expression that occur several times in it and are evaluated once. The first reader
 * keeps the columns for the others. If there are too many, or if the part adds notes, which name
 * its position, each reader evaluates its own.
 */

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

/* --- pushdown.c ------------------------------------------------------------------------------- */

/*
 * Matchers that parts of an expression imply for each other: in `a{job="x"} and on (job) b` only
 * series of b with job="x" matter. A selector gets such matchers if the result cannot show it:
 * series that are left out would have caused no error, warning or info.
 */

enum { PUSHED_MAX = 8 };
struct pushed {
    const struct node_matcher *items[PUSHED_MAX];
    uint32_t count;
};
/* Finds the matchers for the selectors of a plan. ERR_NOMEM. */
MUST_CHECK enum err pushdown_find(struct evaluation *ev, struct plan_node *plan);

/* --- durations at the times of a query -------------------------------------------------------- */

/* Times of the whole query, also for its subqueries. */
struct query_times {
    int64_t first_ms;
    int64_t last_ms;
    int64_t step_ms; /* 0 for a query of one time */
};

/* Computes a duration; with `positive`, values up to 0 are refused. False: `error` says why. */
bool duration_at(const struct duration *d, bool positive, const struct query_times *times,
                 int64_t *ret_ms, struct buf *error);
/* True if all durations of an expression have values. False: `error` says why. */
bool durations_fit(const struct node *n, const struct query_times *times, struct buf *error);

/* --- explain.c -------------------------------------------------------------------------------- */

/* A plan for people: its operators, with what they will read according to the index; after a
 * measured run, with what they have read and used. It outlives the evaluation of the plan. */

struct plan_figures {
    const char *word;
    struct bytes detail;               /* text of the part of the expression */
    const char *way;                   /* remark on how it is evaluated; may be NULL */
    uint32_t steps;                    /* number of steps; 0 without steps */
    uint32_t shards;                   /* count of shards */
    struct plan_figures *first, *last; /* children */
    struct plan_figures *next;         /* next child of its parent */
    struct plan_figures *after;        /* next one of all, each after its parent */

    bool reads; /* it reads series of the store itself */
    bool known; /* `cost` is known */
    bool exact; /* `cost` is counted, see struct series_survey */
    bool turns; /* the series that it gives are not those that it reads */
    struct series_cost cost;
    _Atomic int64_t resolution_ms; /* of the coarsest windows that a run was given; 0 for none */

    /* Upper bound of the series that it gives, before a run. */
    bool series_known;
    uint64_t series;

    /* Figures of a run; the time includes that of the children. */
    bool is_measured; /* false for a node without an operator of its own */
    bool is_charged;  /* its memory is charged to `budget` */
    uint64_t series_given;
    int64_t spent_ns;
    struct budget budget;

    /* Figures with those of the children, set when the plan is printed. */
    struct series_cost total;
    bool total_known;
    int64_t below_ns;
};

struct promql_plan {
    struct budget *budget;
    struct arena arena;
    struct plan_figures *root; /* the first one of all */
    struct plan_figures *latest;
    bool was_run;
};

/* An empty plan; its figures lie in an arena, charged to `budget`, which outlives it. */
void promql_plan_init(struct promql_plan *plan, struct budget *budget);
void promql_plan_fini(struct promql_plan *plan);
/* Fills an empty plan with the operators below `root`, and what they read according to the index.
 * Errors are those of a run, as far as they show without one. */
MUST_CHECK enum err promql_plan_survey(struct promql_plan *plan, struct evaluation *ev,
                                       struct plan_node *root);
/* Makes the operators below `root`, which will be run, the content of a plan: its figures will be
 * theirs. ERR_NOMEM. */
MUST_CHECK enum err promql_plan_measure(struct promql_plan *plan, struct evaluation *ev,
                                        struct plan_node *root);

#endif
