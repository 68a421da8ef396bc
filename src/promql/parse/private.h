/* private.h - private to promql/parse/: an expression being parsed. */
#ifndef PROMQL_PARSE_PRIVATE_H
#define PROMQL_PARSE_PRIVATE_H

#include "promql/parse/tree.h"

/* What a token is unexpected in, and what is expected; or NULL. */
struct parse_context {
    const char *in;
    const char *expected;
};

struct parser {
    struct promql_tree *tree;
    struct query_control *control;
    uint32_t tokens; /* since it was looked at */
    struct lexer lexer;
    struct buf lexer_error;
    struct token token; /* at hand, if there is one */
    bool has_token;
    uint32_t last_end; /* behind the last token that may end an expression */
    uint32_t nesting;
    struct parse_context context;
    struct buf scratch;
    struct buf *error;
    enum err failed; /* `error` says why; everybody returns */
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

/* The first error stays. All return NULL, for those who return a node. */
void *parse_fail(struct parser *p, uint32_t at, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same with a text in quotes between two others. */
void *parse_fail_quoted(struct parser *p, uint32_t at, const char *before, struct bytes text,
                        const char *after);
void *parse_no_memory(struct parser *p);
void *parse_unexpected_in(struct parser *p, const struct token *t, struct parse_context context);
/* False: the query has to end, which is told. */
bool parse_may_go_on(struct parser *p);
/* The token at hand, in the context of the parser. */
void *parse_unexpected(struct parser *p);
/* Returns the context that was before. */
struct parse_context parse_in_context(struct parser *p, const char *in, const char *expected);

/* The token at hand; read only when it is needed, so that errors come in the order of the text. */
const struct token *parse_peek(struct parser *p);
struct token parse_take(struct parser *p);
bool parse_accept(struct parser *p, enum token_type type);
/* False: something else is there, which is told. */
bool parse_expect(struct parser *p, enum token_type type);

struct span parse_span(const struct token *t);
struct node *parse_node(struct parser *p, enum node_kind kind, enum value_type type,
                        struct span at);
/* Of a node, with what is below it. */
void parse_add_depth(struct parser *p, struct node *n, const struct node *below);
/* False: the list at hand has as many items as it may have, which is told. */
bool parse_has_room(struct parser *p, uint32_t count);
/* False: too deep, which is told. */
bool parse_is_unnested(struct parser *p);
/* What a literal stands for; its memory is the tree's. */
struct bytes parse_unquote(struct parser *p, const struct token *t);

/* --- times.c ---------------------------------------------------------------------------------- */

/* At a number or a duration. */
struct node *parse_number(struct parser *p);
/* What stands behind an operand becomes part of it. */
struct node *parse_suffixes(struct parser *p, struct node *n);

/* --- selectors.c ------------------------------------------------------------------------------ */

/* The name is taken already, if there is one. */
struct node *parse_selector(struct parser *p, const struct token *name);
/* (a, b) */
bool parse_labels(struct parser *p, struct labels_named *ret);

/* --- check.c ---------------------------------------------------------------------------------- */

/* Types, and what else is wrong with a tree that could be read. */
void tree_check(struct parser *p);

#endif
