/* parse_private.h - private to promql/parse/: the state of the parser. */
#ifndef PROMQL_PARSE_PARSE_PRIVATE_H
#define PROMQL_PARSE_PARSE_PRIVATE_H

#include "promql/parse/tree.h"

/* Words for errors: what a token is unexpected in, and what is expected; each may be NULL. */
struct parse_context {
    const char *in;
    const char *expected;
};

struct promql_parser {
    struct promql_tree *tree;
    struct query_control *control;
    uint32_t tokens; /* tokens since the query was checked */
    struct lexer lexer;
    struct buf lexer_error;
    struct promql_token token; /* next token, if it was read */
    bool has_token;
    uint32_t last_end; /* end of the last token that may end an expression */
    uint32_t nesting;
    bool has_alternatives; /* matchers of a selector may be separated by `or` */
    struct parse_context context;
    struct buf scratch;
    struct buf *error;
    enum err failed; /* see invariant 1 of state.c */
};

static inline bool
token_is_number(enum token_type type)
{
    return type == TOKEN_NUMBER || type == TOKEN_DURATION;
}

static inline bool
token_is_sign(enum token_type type)
{
    return type == TOKEN_ADD || type == TOKEN_SUB;
}

/* --- state.c ---------------------------------------------------------------------------------- */

/* Sets the error, unless there is one. These functions return NULL for callers that return
 * a node. */
void *parse_fail(struct promql_parser *p, uint32_t at, const char *format, ...) PRINTF_LIKE(3, 4);
/* parse_fail() with a text in quotes between two others. */
void *parse_fail_quoted(struct promql_parser *p, uint32_t at, const char *before, struct bytes text,
                        const char *after);
void *parse_no_memory(struct promql_parser *p);
/* False, with an error, if the query has to end. */
bool parse_may_go_on(struct promql_parser *p);
/* Reports the next token in the context of the parser. */
void *parse_unexpected(struct promql_parser *p);
/* Sets the context and returns the one before. */
struct parse_context parse_in_context(struct promql_parser *p, const char *in,
                                      const char *expected);

/* Returns the next token without taking it. Tokens are read on demand, so that errors come in the
 * order of the text. */
const struct promql_token *parse_peek(struct promql_parser *p);
struct promql_token parse_take(struct promql_parser *p);
bool parse_accept(struct promql_parser *p, enum token_type type);
/* Takes a token of a type. False, with an error: another one is next. */
bool parse_expect(struct promql_parser *p, enum token_type type);

struct text_span parse_span(const struct promql_token *t);
struct node *parse_node(struct promql_parser *p, enum node_kind kind, enum value_type type,
                        struct text_span at);
/* Makes a node deeper than a node below it, which may be NULL. */
void parse_add_depth(struct promql_parser *p, struct node *n, const struct node *below);
/* False, with an error: the list has as many items as are allowed. */
bool parse_has_room(struct promql_parser *p, uint32_t count);
/* False, with an error: the expression is nested too deep. */
bool parse_is_unnested(struct promql_parser *p);
/* Returns the text of a literal; its memory belongs to the tree. */
struct bytes parse_unquote(struct promql_parser *p, const struct promql_token *t);

/* --- parser.c --------------------------------------------------------------------------------- */

enum { PRECEDENCE_SIGN = 5 };

/* Returns the precedence of a binary operator; 0 for other tokens. */
unsigned parse_precedence(enum token_type op);

/* --- times.c ---------------------------------------------------------------------------------- */

/* Parses a number or a duration, which is next. */
struct node *parse_number(struct promql_parser *p);
/* Parses offset, @, ranges, anchored and smoothed after an operand. */
struct node *parse_suffixes(struct promql_parser *p, struct node *n);

/* --- check.c ---------------------------------------------------------------------------------- */

/* Checks the types of a tree, and what else must fit together. */
void tree_check(struct promql_parser *p);

#endif
