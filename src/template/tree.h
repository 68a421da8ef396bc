/*
 * tree.h - a template as a tree. Private to template/.
 */
#ifndef TEMPLATE_TREE_H
#define TEMPLATE_TREE_H

#include "template/lexer.h"
#include "template/numbers.h"

enum tmpl_kind {
    /* What is done, one after another. */
    TMPL_NODE_TEXT,
    TMPL_NODE_ACTION,
    TMPL_NODE_IF,
    TMPL_NODE_RANGE,
    TMPL_NODE_WITH,
    TMPL_NODE_CALL, /* {{template}}, {{block}} */
    TMPL_NODE_BREAK,
    TMPL_NODE_CONTINUE,
    /* Only for the parser: they end a list. */
    TMPL_NODE_ELSE,
    TMPL_NODE_END,
    /* What has a value. */
    TMPL_NODE_PIPE,
    TMPL_NODE_COMMAND,
    TMPL_NODE_IDENTIFIER,
    TMPL_NODE_FIELD,
    TMPL_NODE_VARIABLE,
    TMPL_NODE_CHAIN, /* (pipe).Field.Field */
    TMPL_NODE_DOT,
    TMPL_NODE_NIL,
    TMPL_NODE_BOOL,
    TMPL_NODE_NUMBER,
    TMPL_NODE_STRING,
};

struct tmpl_list {
    struct tmpl_node **items;
    uint32_t count;
};

struct tmpl_names {
    struct bytes *items;
    uint32_t count;
};

struct tmpl_node {
    enum tmpl_kind kind;
    uint32_t at; /* the byte that sentences name */
    union {
        struct bytes text;         /* TEXT, IDENTIFIER */
        struct tmpl_node *action;  /* a pipe */
        struct tmpl_list command;  /* its operands */
        struct tmpl_names names;   /* FIELD: all of them; VARIABLE: first its own, with its $ */
        struct tmpl_number number; /* NUMBER */
        bool truth;                /* BOOL */
        struct {
            struct tmpl_names variables; /* that are declared or assigned to, at most two */
            struct tmpl_list commands;
            bool assigns;
        } pipe;
        struct {
            struct tmpl_node *pipe;
            struct tmpl_list list, otherwise;
            bool has_else;
        } branch; /* IF, RANGE, WITH */
        struct {
            struct bytes name;
            struct tmpl_node *pipe; /* NULL: there is none */
        } call;
        struct {
            struct tmpl_node *of;
            struct tmpl_names names;
        } chain;
    };
    struct bytes source; /* NUMBER, STRING: as it is written */
    struct bytes string; /* STRING: what it stands for */
};

/* The text itself, or one of its {{define}} and {{block}}. */
struct tmpl_template {
    struct bytes name;
    struct tmpl_list list;
};

struct tmpl_tree {
    struct bytes text;
    struct bytes name;
    struct tmpl_template *templates; /* the first is the text itself */
    uint32_t count;
};

/* What parsing needs; all of it is borrowed. */
struct tmpl_parsing {
    struct bytes text;
    struct bytes name; /* in sentences */
    struct arena *arena;
    struct tmpl_unicode *unicode;
    bool (*has_function)(struct bytes name);
    struct buf *sentence; /* empty: for that of an error */
};

/*
 * The tree lies in the arena, and names the text. ERR_INPUT: the sentence is Go's, from "template:"
 * on. ERR_LIMIT: too deep, with a sentence. ERR_NOMEM: the budget of the arena.
 */
MUST_CHECK enum err tmpl_parse(const struct tmpl_parsing *parsing, struct tmpl_tree *ret);

/* NULL: no function has that name. */
const struct tmpl_template *tmpl_template_find(const struct tmpl_tree *tree, struct bytes name);

/* As sentences have it: Go's own form of a node, which is not always as it was written. */
void tmpl_node_print(const struct tmpl_node *n, struct buf *to);
/* LINE:COLUMN, of which the first column is 0. */
void tmpl_place_print(struct bytes text, uint32_t at, struct buf *to);

#endif
