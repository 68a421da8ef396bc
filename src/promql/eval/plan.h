/* plan.h - the operators that evaluate an expression, as a tree. Every decision about operators is
 * made with the plan; build.c only carries it out. */
#ifndef PROMQL_EVAL_PLAN_H
#define PROMQL_EVAL_PLAN_H

#include "promql/eval/column.h"
#include "promql/parse/tree.h"

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
    while (x != NULL && x->node->type != VALUE_SCALAR) {
        x = x->next;
    }
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

#endif
