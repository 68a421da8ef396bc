/*
 * tree.h - an expression as a tree. Immutable once parsed; all of it lies in the tree's arena.
 */
#ifndef PROMQL_PARSE_TREE_H
#define PROMQL_PARSE_TREE_H

#include "model/select.h"
#include "promql/parse/lexer.h"
#include "promql/promql.h"

/* --- the functions and their arguments -------------------------------------------------------- */

enum value_type { VALUE_NONE, VALUE_SCALAR, VALUE_VECTOR, VALUE_MATRIX, VALUE_STRING };

enum { FUNCTION_ARGUMENTS_MAX = 5 };

enum function_id {
#define FUNCTION(id, ...) FUNCTION_##id,
#include "promql/parse/functions.def"
#undef FUNCTION
    FUNCTION_COUNT
};

struct function {
    const char *name;
    enum value_type result;
    /* Number of arguments of the last one's type that may follow those before it; -1: any; 0: the
     * arguments are those of the list. */
    int variadic;
    unsigned argument_count;
    enum value_type arguments[FUNCTION_ARGUMENTS_MAX];
};

extern const struct function functions[FUNCTION_COUNT];

/* NULL if the name is unknown. `default_rollup` is last_over_time(). */
const struct function *function_find(struct bytes name);

/* --- the tree --------------------------------------------------------------------------------- */

/* Bytes [begin, end) of the text. */
struct text_span {
    uint32_t begin;
    uint32_t end;
};

enum node_kind {
    NODE_NUMBER,
    NODE_STRING,
    NODE_SELECTOR,    /* instant vector */
    NODE_RANGE,       /* selector with [range] */
    NODE_SUBQUERY,    /* expression with [range:step] */
    NODE_CALL,        /* call of a function */
    NODE_AGGREGATION, /* sum by (...) (...) */
    NODE_BINARY,
    NODE_UNARY,
    NODE_PAREN,
    NODE_DURATION, /* expression of a duration */
};

/* A duration: a number, or an expression that is computed when a query runs. */
struct duration {
    int64_t ms;
    const struct node *expr; /* NULL: the duration is `ms` */
};

enum at_kind { AT_NONE, AT_TIME, AT_START, AT_END };

/* offset and @ */
struct shift {
    struct duration offset;
    enum at_kind at;
    int64_t at_ms;
};

enum extent { EXTENT_PLAIN, EXTENT_ANCHORED, EXTENT_SMOOTHED };

struct node_matcher {
    enum matcher_type type;
    struct bytes name;
    struct bytes value;
    struct matcher *matcher;
};

struct labels_named {
    struct bytes *names;
    uint32_t count;
};

enum cardinality { ONE_TO_ONE, MANY_TO_ONE, ONE_TO_MANY, MANY_TO_MANY };

struct matching {
    enum cardinality cardinality;
    bool on;
    struct labels_named labels;
    struct labels_named include;
    bool fills_left;
    bool fills_right;
    double fill_left;
    double fill_right;
};

struct node {
    enum node_kind kind;
    enum value_type type;
    struct text_span at;
    uint32_t depth; /* levels of nodes, with this one */
    /* Facts for the evaluator, set once the tree is checked. */
    bool reads_series;
    bool is_same_at_all_steps; /* nothing in it depends on the time of a step */
    uint32_t counted_only;     /* count of selectors in it that are `counted_only` */
    union {
        struct {
            double value;
            bool is_duration;
        } number;
        struct bytes string;
        struct {
            struct bytes name; /* before the braces; empty if it is not there */
            struct node_matcher *matchers;
            uint32_t matcher_count;
            enum extent extent;
            struct shift shift;
            bool may_be_empty; /* only its labels matter, and it may select all series: info() */
            /* Only counts and sums of native histograms are used. Prometheus then compares each
             * histogram with the one before to find resets. */
            bool counted_only;
        } selector;
        struct {
            struct node *selector;
            struct duration range;
        } range;
        struct {
            struct node *expr;
            struct duration range;
            struct duration step; /* 0: the default */
            struct shift shift;
        } subquery;
        struct {
            const struct function *function;
            struct node **arguments;
            uint32_t argument_count;
        } call;
        struct {
            enum token_type op;
            struct node *expr;
            struct node *param; /* NULL without a parameter */
            bool without;
            struct labels_named labels;
        } aggregation;
        struct {
            enum token_type op;
            struct node *left;
            struct node *right;
            bool returns_bool;
            bool matches; /* both are vectors, which are matched as `matching` says */
            struct matching matching;
        } binary;
        struct {
            enum token_type op;
            struct node *expr;
        } unary;
        struct node *paren;
        struct {
            enum token_type op; /* TOKEN_STEP and TOKEN_RANGE have no operands */
            struct node *left;  /* NULL for a sign */
            struct node *right;
            bool in_parens;
        } duration;
    };
};

struct promql_tree {
    struct budget *budget;
    struct arena arena;
    struct bytes text;
    struct node *root;
    struct matcher **matchers; /* matchers of all selectors; freed with the tree */
    uint32_t matcher_count;
    uint32_t matcher_capacity;
    struct matcher_set *sets; /* one per selector */
    uint32_t set_count;
    bool has_range_words; /* start, end, step or range occur, if only as names */
};

/* The i-th operand of a node, a selector among them; a parameter is after its operand. NULL: it has
 * fewer. */
struct node *node_operand(const struct node *n, uint32_t i);

/* Limits of an expression: see promql_parse(). */
enum {
    TREE_TEXT_BYTES_MAX = 8 << 20,
    TREE_BLOCK_BYTES = 1024, /* first block: rules keep their trees, which are small */
    TREE_DEPTH_MAX = 5000,
    TREE_NESTING_MAX = 1000,
    TREE_LIST_MAX = 65536
};
/* Asserts the invariants of check.c for an expression, in O(nodes): for tests and debug builds. */
void tree_validate(const struct promql_tree *tree);

/* Prints an expression on one line, which is parsed to an equal tree. */
void tree_print(const struct node *node, struct buf *to);
/* Prints `name="value"`. */
void tree_print_matcher(const struct node_matcher *m, struct buf *to);
/* tree_print() on lines of at most 100 characters where possible. */
void tree_print_pretty(const struct node *node, struct buf *to);
/* Prints the shortest decimal digits that read back to the value, without an exponent. */
void tree_print_number(double value, struct buf *to);
/* Prints the tree as the query API gives it to user interfaces. */
void tree_print_json(const struct node *node, struct buf *to);

/* Prints "LINE:COLUMN" of a byte of the text, both from 1. */
void tree_put_position(struct bytes text, uint32_t at, struct buf *to);
/* "vector", "matrix", ... */
const char *value_type_word(enum value_type type);
/* "instant vector", "range vector", ... */
const char *value_type_name(enum value_type type);

#endif
