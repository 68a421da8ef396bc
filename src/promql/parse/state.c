/*
 * state.c - state that all rules of the parser share: tokens, nodes, the first error.
 *
 * Invariants of the parser:
 *
 *  1. Once `failed` is set it stays, and `error` has its sentence; each rule then returns.
 *  2. At most one token is read ahead, when it is looked at, so that errors come in the order of
 *     the text.
 *  3. `nesting` is the number of expressions that are being read; 0 before and after the whole.
 *  4. The depth of a node is greater than those of the nodes below it.
 *  5. The span of a node begins within the text.
 *  6. A parser that has not failed has a root.
 */
#include <assert.h>
#include <stdio.h>

#include "base/text/quote.h"
#include "promql/parse/parse_private.h"

enum { TOKENS_BETWEEN_CHECKS = 4096 };

/* --- errors ----------------------------------------------------------------------------------- */

void
tree_put_position(struct bytes text, uint32_t at, struct buf *to)
{
    uint32_t line = 1, begin = 0;
    if (text.size == 0) {
        buf_put_text(to, "unknown position");
        return;
    }
    for (uint32_t i = 0; i < at && i < text.size; i++) {
        if (text.at[i] != '\n') continue;
        line++;
        begin = i + 1;
    }
    buf_printf(to, "%u:%u", line, at - begin + 1);
}

void *
parse_fail(struct promql_parser *p, uint32_t at, const char *format, ...)
{
    if (p->failed) return NULL;
    p->failed = ERR_INPUT;
    tree_put_position(p->tree->text, at, p->error);
    buf_put_text(p->error, ": parse error: ");
    va_list args;
    va_start(args, format);
    char text[1024];
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_put_text(p->error, text);
    return NULL;
}

void *
parse_fail_quoted(struct promql_parser *p, uint32_t at, const char *before, struct bytes text,
                  const char *after)
{
    if (p->failed) return NULL;
    parse_fail(p, at, "%s", before);
    quote_text(p->error, text);
    buf_put_text(p->error, after);
    return NULL;
}

void *
parse_no_memory(struct promql_parser *p)
{
    if (p->failed) return NULL;
    p->failed = ERR_NOMEM;
    buf_put_text(p->error, "not enough memory for the query");
    return NULL;
}

bool
parse_may_go_on(struct promql_parser *p)
{
    struct why why;
    p->tokens = 0;
    if (p->failed || query_control_check(p->control, &why) == OK) return !p->failed;
    p->failed = ERR_CANCELED;
    buf_clear(p->error);
    buf_put_text(p->error, why.text);
    return false;
}

/* --- tokens ----------------------------------------------------------------------------------- */

const struct promql_token *
parse_peek(struct promql_parser *p)
{
    if (p->has_token) return &p->token;
    assert(p->lexer.at <= p->lexer.input.size);
    buf_clear(&p->lexer_error);
    p->token = lexer_next(&p->lexer);
    p->has_token = true;
    if (++p->tokens == TOKENS_BETWEEN_CHECKS) (void)parse_may_go_on(p);
    if (p->token.type == TOKEN_ERROR && !p->failed) {
        p->failed = ERR_INPUT;
        tree_put_position(p->tree->text, p->token.at, p->error);
        buf_put_text(p->error, ": parse error: ");
        buf_put_bytes(p->error, buf_bytes(&p->lexer_error));
    }
    return &p->token;
}

struct promql_token
parse_take(struct promql_parser *p)
{
    struct promql_token t = *parse_peek(p);
    assert(p->has_token); /* invariant 2 */
    p->has_token = false;
    switch (t.type) {
    case TOKEN_START:
    case TOKEN_STOP:
    case TOKEN_STEP:
    case TOKEN_RANGE:
        p->tree->has_range_words = true;
        break;
    case TOKEN_RIGHT_BRACE:
    case TOKEN_RIGHT_PAREN:
    case TOKEN_RIGHT_BRACKET:
    case TOKEN_DURATION:
    case TOKEN_NUMBER:
        p->last_end = t.at + (uint32_t)t.text.size;
        break;
    default:
        break;
    }
    return t;
}

void *
parse_unexpected(struct promql_parser *p)
{
    const struct promql_token *t = parse_peek(p);
    struct parse_context context = p->context;
    if (p->failed) return NULL;
    parse_fail(p, t->at, "unexpected ");
    token_describe(t, p->error);
    if (context.in != NULL) buf_printf(p->error, " in %s", context.in);
    if (context.expected != NULL) buf_printf(p->error, ", expected %s", context.expected);
    return NULL;
}

bool
parse_accept(struct promql_parser *p, enum token_type type)
{
    if (p->failed || parse_peek(p)->type != type) return false;
    parse_take(p);
    return true;
}

bool
parse_expect(struct promql_parser *p, enum token_type type)
{
    if (parse_accept(p, type)) return true;
    parse_unexpected(p);
    return false;
}

struct text_span
parse_span(const struct promql_token *t)
{
    return (struct text_span){t->at, t->at + (uint32_t)t->text.size};
}

struct parse_context
parse_in_context(struct promql_parser *p, const char *in, const char *expected)
{
    struct parse_context before = p->context;
    p->context = (struct parse_context){in, expected};
    return before;
}

/* --- nodes ------------------------------------------------------------------------------------ */

struct node *
parse_node(struct promql_parser *p, enum node_kind kind, enum value_type type, struct text_span at)
{
    struct node *n = p->failed ? NULL : arena_new(&p->tree->arena, sizeof *n);
    if (n == NULL) return parse_no_memory(p);
    assert(at.begin <= p->tree->text.size); /* invariant 5 */
    n->kind = kind;
    n->type = type;
    n->at = at;
    n->depth = 1;
    return n;
}

static void
too_deep(struct promql_parser *p, int levels)
{
    if (p->failed) return;
    p->failed = ERR_LIMIT;
    buf_printf(p->error, "expression is nested deeper than %d levels", levels);
}

void
parse_add_depth(struct promql_parser *p, struct node *n, const struct node *below)
{
    assert(n->depth > 0);
    if (below == NULL || below->depth < n->depth) return; /* invariant 4 */
    n->depth = below->depth + 1;
    if (n->depth > TREE_DEPTH_MAX) too_deep(p, TREE_DEPTH_MAX);
}

bool
parse_has_room(struct promql_parser *p, uint32_t count)
{
    if (count < TREE_LIST_MAX || p->failed) return !p->failed;
    p->failed = ERR_LIMIT;
    buf_printf(p->error, "expression has a list of more than %d items", TREE_LIST_MAX);
    return false;
}

bool
parse_is_unnested(struct promql_parser *p)
{
    if (p->nesting >= TREE_NESTING_MAX) too_deep(p, TREE_NESTING_MAX);
    return !p->failed;
}

struct bytes
parse_unquote(struct promql_parser *p, const struct promql_token *t)
{
    buf_clear(&p->scratch);
    bool reads = quote_read(t->text, &p->scratch);
    if (buf_error(&p->scratch)) {
        parse_no_memory(p);
        return bytes_of(NULL, 0);
    }
    if (!reads) {
        parse_fail_quoted(p, t->at, "error unquoting string ", t->text, ": invalid syntax");
        return bytes_of(NULL, 0);
    }
    struct bytes copy = arena_copy(&p->tree->arena, buf_bytes(&p->scratch));
    if (copy.at == NULL && p->scratch.size > 0) parse_no_memory(p);
    return copy;
}
