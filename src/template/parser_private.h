/*
 * parser_private.h - a template being parsed: what parser.c, pipelines.c and parser_state.c share.
 *
 * Once something is wrong `failed` is set and the sentence is made; everybody returns.
 */
#ifndef TEMPLATE_PARSER_PRIVATE_H
#define TEMPLATE_PARSER_PRIVATE_H

#include "template/tree.h"

enum { BACKED_MAX = 3 };

/* What belongs to a template, or a {{define}} in it. */
struct tmpl_scope {
    uint32_t variables; /* the first of its own; $ is always there */
    uint32_t range_depth;
    uint32_t action_line;
};

struct tmpl_parser {
    const struct tmpl_parsing *given;
    struct tmpl_lexer lexer;
    struct tmpl_token tokens[BACKED_MAX]; /* those put back; the next one is the last of them */
    uint32_t backed;
    struct tmpl_scope scope;
    struct bytes *variables;
    uint32_t variable_count;
    struct tmpl_template *templates;
    uint32_t template_count;
    uint32_t nesting;
    struct buf scratch;
    struct buf lexer_sentence;
    struct buf number_sentence;
    enum err failed;
};

/* --- parser_state.c -------------------------------------------------------------------------- */

void *parsing_no_memory(struct tmpl_parser *p);
void *parsing_fail(struct tmpl_parser *p, const char *before, struct bytes what, const char *after);
void *parsing_fail_text(struct tmpl_parser *p, const char *sentence);
void *parsing_fail_quoted(struct tmpl_parser *p, const char *before, struct bytes what,
                          const char *after);
void *parsing_unexpected(struct tmpl_parser *p, const struct tmpl_token *t, const char *context);
/* False: too deep, which is told. */
bool parsing_go_deeper(struct tmpl_parser *p);
struct tmpl_token parsing_next(struct tmpl_parser *p);
void parsing_back(struct tmpl_parser *p);
/* `t` came before the one at hand, which was put back. */
void parsing_back_two(struct tmpl_parser *p, struct tmpl_token t);
void parsing_back_three(struct tmpl_parser *p, struct tmpl_token first, struct tmpl_token second);
struct tmpl_token parsing_peek(struct tmpl_parser *p);
struct tmpl_token parsing_next_after_space(struct tmpl_parser *p);
struct tmpl_token parsing_peek_after_space(struct tmpl_parser *p);
/* False: something else is there, which is told. */
bool parsing_expect(struct tmpl_parser *p, enum tmpl_token_type type, const char *context);
/* Room for one more, as arena_push() makes it; most lists here have one item or two. */
void *parsing_grow(struct tmpl_parser *p, void *items, uint32_t count, size_t item_bytes);
struct tmpl_node *parsing_new_node(struct tmpl_parser *p, enum tmpl_kind kind, uint32_t at);
bool parsing_add_node(struct tmpl_parser *p, struct tmpl_list *list, struct tmpl_node *n);
bool parsing_add_name(struct tmpl_parser *p, struct tmpl_names *names, struct bytes name);
/* The text of a literal. False: it is not valid, and the error is set. */
bool parsing_unquote(struct tmpl_parser *p, struct bytes literal, struct bytes *ret);
bool parsing_declare(struct tmpl_parser *p, struct bytes name);
bool parsing_is_declared(const struct tmpl_parser *p, struct bytes name);

/* --- pipelines.c ----------------------------------------------------------------------------- */

/* Up to the token `end`; `context` names in sentences what it is in. */
struct tmpl_node *parsing_pipeline(struct tmpl_parser *p, const char *context,
                                   enum tmpl_token_type end);

#endif
