/*
 * tree.h - a template as a tree. Private to template/.
 */
#ifndef TEMPLATE_TREE_H
#define TEMPLATE_TREE_H

#include "template/lexer.h"

enum tmpl_kind {
    /* Statements, which are executed one after another. */
    TMPL_NODE_TEXT,
    TMPL_NODE_ACTION,
    TMPL_NODE_IF,
    TMPL_NODE_RANGE,
    TMPL_NODE_WITH,
    TMPL_NODE_CALL, /* {{template}}, {{block}} */
    TMPL_NODE_BREAK,
    TMPL_NODE_CONTINUE,
    /* A pipeline of commands, each with operands. */
    TMPL_NODE_PIPE, /* an operand, too: in parentheses */
    TMPL_NODE_COMMAND,
    /* Operands. */
    TMPL_NODE_DOT,
    TMPL_NODE_NIL,
    TMPL_NODE_BOOL,
    TMPL_NODE_NUMBER,
    TMPL_NODE_STRING,
    TMPL_NODE_VARIABLE,
    TMPL_NODE_FUNCTION,
};

struct tmpl_number {
    int64_t integer;
    double real;
    bool is_integer; /* `integer` has its value, too */
};

/* Linked by `next`; zeroed if it is empty. */
struct tmpl_list {
    struct tmpl_node *first, *last;
};

struct tmpl_node {
    enum tmpl_kind kind;
    uint32_t at;         /* byte offset for sentences */
    struct bytes source; /* source text for sentences */
    struct bytes fields; /* fields of an operand: ".a.b" after it; or empty */
    struct tmpl_node *next;
    union {
        struct bytes text; /* TEXT, FUNCTION, VARIABLE with its $; STRING without its quotes */
        bool truth;
        struct tmpl_number number;
        struct tmpl_list operands; /* COMMAND */
        struct {
            struct bytes variables[2]; /* variables that are declared or assigned to */
            uint32_t variable_count;
            bool assigns;
            struct tmpl_list commands;
        } pipe;
        struct {
            struct tmpl_node *pipe; /* NULL for a CALL without an argument */
            struct bytes name;      /* CALL */
            struct tmpl_list list, otherwise;
        } statement; /* ACTION, IF, RANGE, WITH, CALL */
    };
};

/* The text itself, or one of its {{define}} and {{block}}. */
struct tmpl_template {
    struct bytes name;
    struct tmpl_list list;
    struct tmpl_template *next;
};

/* Input of the parser; all of it is borrowed. */
struct tmpl_parsing {
    struct bytes text;
    struct bytes name; /* name in sentences */
    struct arena *arena;
    struct tmpl_unicode *unicode;
    bool (*has_function)(struct bytes name);
    struct buf *sentence; /* empty; receives the sentence of an error */
};

/*
 * Parses a text. *ret is the text itself, linked to its {{define}} and {{block}}; it lies in the
 * arena, and has views of the text. ERR_INPUT: the sentence begins with "template:". ERR_LIMIT: too
 * deep or too many templates, with a sentence. ERR_NOMEM: the budget of the arena.
 */
MUST_CHECK enum err tmpl_parse(const struct tmpl_parsing *parsing, struct tmpl_template **ret);

/* Returns the line of a byte of the text, from 1, and its column, from 0. */
uint32_t tmpl_line_at(struct bytes text, uint32_t at, uint32_t *ret_column);

#endif
