/*
 * tree.h - statements of InfluxQL, as InfluxDB 1.x has them: what parse.c
 * makes, and what the other files of this folder answer. docs/influxql.md says
 * which.
 *
 * Threads: a tree belongs to one at a time. Memory: an arena of the caller, but
 * for the programs of regular expressions, which statements_free() frees.
 */
#ifndef INFLUXQL_TREE_H
#define INFLUXQL_TREE_H

#include "base/buf.h"
#include "base/mem.h"
#include "model/matcher.h"

enum expr_kind {
    EXPR_NUMBER,   /* `number` */
    EXPR_INTEGER,  /* `integer` */
    EXPR_DURATION, /* `integer`, in ns */
    EXPR_STRING,   /* `text` */
    EXPR_BOOLEAN,  /* `integer` */
    EXPR_NOW,
    EXPR_REGEX,    /* `text`, `regex` */
    EXPR_NAME,     /* a field or a tag: `text`, `cast` */
    EXPR_WILDCARD, /* `cast` */
    EXPR_CALL,     /* `text` is the function, in lower case; `items` its arguments */
    EXPR_BINARY,   /* `op`, items[0], items[1] */
    EXPR_PAREN,    /* items[0] */
};

enum op {
    OP_NONE,
    OP_OR,
    OP_AND,
    OP_EQUAL,
    OP_NOT_EQUAL,
    OP_MATCHES,
    OP_MATCHES_NOT,
    OP_LESS,
    OP_LESS_EQUAL,
    OP_GREATER,
    OP_GREATER_EQUAL,
    OP_ADD,
    OP_SUBTRACT,
    OP_BIT_OR,
    OP_BIT_XOR,
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_MODULO,
    OP_BIT_AND,
};

enum cast { CAST_NONE, CAST_FIELD, CAST_TAG, CAST_FLOAT, CAST_INTEGER, CAST_STRING, CAST_BOOLEAN };

struct expr {
    enum expr_kind kind;
    enum op op;
    enum cast cast;
    struct bytes text;
    double number;
    int64_t integer;
    struct matcher *regex; /* finds the pattern anywhere in a text */
    struct expr **items;
    uint32_t item_count;
    uint32_t height; /* of the tree below it */
    uint32_t slot;   /* set when it is answered: the place of a field or of a call;
                        SLOT_TAG */
};
#define SLOT_TAG UINT32_MAX

struct select;

/* Measurements or a subquery, as FROM names them. */
struct iql_source {
    struct bytes database; /* empty: that of the request */
    struct bytes name;     /* empty: `regex` finds the names */
    struct matcher *regex;
    struct select *subquery; /* NULL: measurements */
};

struct iql_sources {
    struct iql_source *items;
    uint32_t count;
};

enum iql_fill { FILL_NULL, FILL_NONE, FILL_NUMBER, FILL_PREVIOUS, FILL_LINEAR };

struct iql_column {
    struct expr *expr;
    struct bytes alias; /* empty: none */
};

struct limits {
    uint64_t limit, offset, series_limit, series_offset; /* 0: none */
};

struct select {
    struct iql_column *columns;
    uint32_t column_count;
    struct iql_sources sources;
    struct expr *where; /* NULL: none */
    struct expr **tags; /* of GROUP BY: names, wildcards and regular expressions */
    uint32_t tag_count;
    int64_t interval_ns; /* of GROUP BY time(); 0: none */
    int64_t offset_ns;
    enum iql_fill fill;
    double fill_number;
    bool is_descending;
    struct limits limits;
    struct bytes zone; /* of tz(); empty: that of the query around it, or UTC */
};

enum statement_kind {
    STATEMENT_SELECT,
    STATEMENT_CREATE_DATABASE,
    SHOW_DATABASES,
    SHOW_MEASUREMENTS,
    SHOW_FIELD_KEYS,
    SHOW_TAG_KEYS,
    SHOW_TAG_VALUES,
    SHOW_SERIES,
    SHOW_RETENTION_POLICIES,
};

struct statement {
    enum statement_kind kind;
    struct select *select;
    struct bytes database; /* of ON, or that is created; empty: that of the request */
    struct iql_sources sources;
    struct expr *where;
    struct limits limits;
    bool is_cardinality; /* of what is shown, only the number */
    bool is_exact;
    /* Of SHOW TAG VALUES: names[0], or a regular expression, or with OP_NONE all
     * `names`. */
    enum op key_op;
    struct bytes *names;
    uint32_t name_count;
    struct matcher *key_regex;
};

struct statements {
    struct statement *items;
    uint32_t count;
    struct matcher **regexes; /* all of them, to free */
    uint32_t regex_count;
};

/* Parses statements, with ";" between them. ERR_INPUT: with InfluxDB's
 * sentence; ERR_LIMIT: they nest too deep, or have too large a regular
 * expression; ERR_NOMEM. statements_free() follows in any case. */
MUST_CHECK enum err influxql_parse(struct bytes text, struct arena *arena, struct budget *budget,
                                   struct statements *ret, struct why *why);
void statements_free(struct statements *statements);

#endif
