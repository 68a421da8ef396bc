/*
 * explain.h - a plan for people: its operators, with what they will read according to the index;
 * after a measured run, with what they have read and used. It outlives the evaluation of the plan.
 */
#ifndef PROMQL_EVAL_PLAN_EXPLAIN_H
#define PROMQL_EVAL_PLAN_EXPLAIN_H

#include "promql/eval/eval.h"

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
