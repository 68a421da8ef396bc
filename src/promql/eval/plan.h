/*
 * plan.h - what evaluating an expression will do: a tree of operators, with what they will read by
 * the index; after a run that was measured, with what they read and took.
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
    struct bytes detail;            /* the part of the expression, */
    const char *way;                /* how it is come by, */
    uint32_t steps;                 /* at how many steps; 0: it does not matter */
    uint32_t shards;                /* and in how many shards */
    struct plan_node *first, *last; /* below it */
    struct plan_node *next;         /* beside it */

    bool reads; /* series of the store, itself: */
    bool known; /* it is known what; */
    bool exact; /* counted, see struct series_survey */
    bool turns; /* it does not give those series */
    struct series_cost cost;

    /* What it gives at most, before it runs. */
    bool series_known;
    uint64_t series;

    /* Of a run; the time with that of what is below it. */
    bool is_measured; /* false of what has no operator of its own */
    bool is_charged;  /* what it takes is charged to it */
    uint64_t series_given;
    int64_t spent_ns;
    struct budget budget;

    /* With what is below it; set when the plan is put. */
    struct series_cost total;
    bool total_known;
    int64_t below_ns;
};

struct plan {
    struct budget *budget;
    struct arena arena;
    struct plan_node *root;
    struct plan_node **nodes;
    uint32_t count;
    uint32_t capacity;
    struct table table; /* of nodes, by the nodes of the syntax */
    bool was_run;
};

void plan_init(struct plan *plan, struct budget *budget);
void plan_fini(struct plan *plan);
/* The operators of an expression, and what the index knows of what they read. Errors as of a run,
 * as far as they show without one. */
MUST_CHECK enum err plan_fill(struct plan *plan, struct evaluation *ev);
/* From here on its figures are those of a run. */
void plan_begin_run(struct plan *plan);
/* NULL: what the node does is not measured on its own. */
struct plan_node *plan_find(const struct plan *plan, const struct node *node);
/* Adds what was read of a set. */
void plan_account(struct plan_node *node, const struct series_set *set);

/* The tree in JSON. */
void plan_put(const struct plan *plan, struct buf *to);
/* What is read, in a line. */
void plan_put_line(const struct plan *plan, struct buf *to);
/* What is read in all. False: it is not known. */
bool plan_cost(const struct plan *plan, struct series_cost *ret, bool *ret_exact);

#endif
