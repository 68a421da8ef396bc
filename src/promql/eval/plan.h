/*
 * plan.h - the operators that evaluate an expression, as a tree, with what they will read according
 * to the index; after a measured run, with what they have read and used.
 */
#ifndef PROMQL_EVAL_PLAN_H
#define PROMQL_EVAL_PLAN_H

#include "base/table.h"
#include "promql/parse/tree.h"

struct evaluation;
struct grid;

struct plan_node {
    const struct node *of;
    const char *word;
    struct bytes detail;            /* text of the part of the expression */
    const char *way;                /* remark on how it is evaluated; may be NULL */
    uint32_t steps;                 /* number of steps; 0 without steps */
    uint32_t shards;                /* count of shards */
    struct plan_node *first, *last; /* children */
    struct plan_node *next;         /* next child of its parent */

    bool reads; /* it reads series of the store itself */
    bool known; /* `cost` is known */
    bool exact; /* `cost` is counted, see struct series_survey */
    bool turns; /* the series that it gives are not those that it reads */
    struct series_cost cost;

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

struct query_plan {
    struct budget *budget;
    struct arena arena;
    struct plan_node *root;
    struct plan_node **nodes;
    uint32_t count;
    uint32_t capacity;
    struct table table; /* nodes by the nodes of the syntax */
    bool was_run;
};

void plan_init(struct query_plan *plan, struct budget *budget);
void plan_fini(struct query_plan *plan);
/* Finds the operators of an expression, and what they read according to the index. Errors are those
 * of a run, as far as they show without one. */
MUST_CHECK enum err plan_fill(struct query_plan *plan, struct evaluation *ev);
/* Resets the figures to those of a run that begins. */
void plan_begin_run(struct query_plan *plan);
/* NULL if the node is not measured by itself. */
struct plan_node *plan_find(const struct query_plan *plan, const struct node *node);
/* Adds what was read of a set. */
void plan_account(struct plan_node *node, const struct series_set *set);

/* Appends the tree in JSON. */
void plan_put(const struct query_plan *plan, struct buf *to);
/* Appends one line with what is read. */
void plan_put_line(const struct query_plan *plan, struct buf *to);
/* The sum of what is read. False if it is not known. */
bool plan_cost(const struct query_plan *plan, struct series_cost *ret, bool *ret_exact);

#endif
