/*
 * tree.h - a template as a tree. Private to template/.
 */
#ifndef TEMPLATE_TREE_H
#define TEMPLATE_TREE_H

#include "base/buf.h"

#include <locale.h>

/* Letters of Unicode and their cases, as in Go. Zeroed at the start. The first character beyond
 * ASCII opens the locale. */
struct tmpl_unicode {
    locale_t locale;
    bool failed; /* no memory: the results are wrong */
};

void tmpl_unicode_fini(struct tmpl_unicode *u);

/* True for letters, digits and _. */
bool tmpl_is_word(struct tmpl_unicode *u, int32_t c);

/* --- tokens: text, delimiters, and words between delimiters ----------------------------------- */

enum tmpl_token_type {
    TMPL_END_OF_TEXT,
    TMPL_ERROR, /* `text` is the sentence */
    TMPL_TEXT,
    TMPL_LEFT_DELIM,
    TMPL_RIGHT_DELIM,
    TMPL_ASSIGN,  /* "=" */
    TMPL_DECLARE, /* ":=" */
    TMPL_PIPE,
    TMPL_LEFT_PAREN,
    TMPL_RIGHT_PAREN,
    TMPL_CHAR, /* any other character that can be printed */
    TMPL_BOOL,
    TMPL_CHAR_CONSTANT,
    TMPL_NUMBER,
    TMPL_STRING,
    TMPL_RAW_STRING,
    TMPL_VARIABLE, /* with its $ */
    TMPL_FIELD,    /* with its dot */
    TMPL_IDENTIFIER,
    TMPL_DOT, /* sentences name this and all after it as <dot> */
    TMPL_BLOCK,
    TMPL_BREAK,
    TMPL_CONTINUE,
    TMPL_DEFINE,
    TMPL_ELSE,
    TMPL_END,
    TMPL_IF,
    TMPL_NIL,
    TMPL_RANGE,
    TMPL_TEMPLATE,
    TMPL_WITH,
};

struct tmpl_token {
    enum tmpl_token_type type;
    uint32_t at;
    bool spaced; /* there are spaces before it, inside of delimiters */
    struct bytes text;
};

struct tmpl_lexer {
    struct bytes text;
    struct tmpl_unicode *unicode;
    struct buf *sentence; /* sentence of an error */
    uint32_t at;          /* start of the next token */
    uint32_t start;       /* start of the current token */
    uint32_t parens;
    bool spaced;
    bool inside; /* inside of delimiters */
    bool over;   /* set after an error */
};

/* `text` and the others are borrowed as long as the tokens. `sentence` holds the text of a token
 * of an error until the next token. A copy of a lexer continues where the original was. */
void tmpl_lexer_init(struct tmpl_lexer *l, struct bytes text, struct tmpl_unicode *unicode,
                     struct buf *sentence);
/* After an error each token is the end of the text. */
struct tmpl_token tmpl_lexer_next(struct tmpl_lexer *l);

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
