/* parser_state.c - what all parts of the parser need: errors, tokens, nodes. See parser_private.h.
 */
#include "base/decimal.h"
#include "base/quote.h"
#include "template/parser_private.h"

enum { NESTING_MAX = 100 };

/* --- errors ----------------------------------------------------------------------------------- */

void *
parsing_no_memory(struct tmpl_parser *p)
{
    if (p->failed == OK) p->failed = ERR_NOMEM;
    return NULL;
}

/* "template: NAME:LINE: ", to which the caller adds. */
static struct buf *
begin_sentence(struct tmpl_parser *p)
{
    struct buf *to = p->given->sentence;
    p->failed = ERR_INPUT;
    buf_clear(to);
    buf_put_text(to, "template: ");
    buf_put_cut(to, p->given->name);
    buf_put_text(to, ":");
    buf_put_uint(to, p->tokens[0].line);
    buf_put_text(to, ": ");
    return to;
}

void *
parsing_fail(struct tmpl_parser *p, const char *before, struct bytes what, const char *after)
{
    if (p->failed) return NULL;
    struct buf *to = begin_sentence(p);
    buf_put_text(to, before);
    buf_put_cut(to, what);
    buf_put_text(to, after);
    return NULL;
}

void *
parsing_fail_text(struct tmpl_parser *p, const char *sentence)
{
    return parsing_fail(p, sentence, bytes_of(NULL, 0), "");
}

void *
parsing_fail_quoted(struct tmpl_parser *p, const char *before, struct bytes what, const char *after)
{
    if (p->failed) return NULL;
    struct buf *to = begin_sentence(p);
    buf_put_text(to, before);
    quote_text(to, what);
    buf_put_text(to, after);
    return NULL;
}

/* The first ten characters of a long one. */
static void
put_token(struct buf *to, const struct tmpl_token *t)
{
    enum { SHOWN_BYTES = 10, SHOWN_CHARACTERS = 10 };
    struct bytes text = t->text;
    if (t->type == TMPL_END_OF_TEXT) {
        buf_put_text(to, "EOF");
        return;
    }
    if (t->type >= TMPL_DOT) {
        buf_put_text(to, "<");
        buf_put_bytes(to, text);
        buf_put_text(to, ">");
        return;
    }
    if (text.size > SHOWN_BYTES) {
        size_t size = 0;
        for (unsigned i = 0, bytes; i < SHOWN_CHARACTERS && size < text.size; i++) {
            rune_get(text.at + size, text.size - size, &bytes);
            size += bytes;
        }
        text.size = size;
    }
    quote_text(to, text);
    if (t->text.size > SHOWN_BYTES) buf_put_text(to, "...");
}

/* The lexer's sentence, and where the action began if that was on another line. */
static void
put_lexer_error(struct tmpl_parser *p, struct buf *to, const struct tmpl_token *t)
{
    static const char action[] = " action";
    size_t size = sizeof action - 1;
    buf_put_cut(to, t->text);
    if (p->scope.action_line == 0 || p->scope.action_line == t->line) return;
    bool named =
        t->text.size >= size && memcmp(t->text.at + t->text.size - size, action, size) == 0;
    buf_put_text(to, named ? " started at " : " in action started at ");
    buf_put_cut(to, p->given->name);
    buf_put_text(to, ":");
    buf_put_uint(to, p->scope.action_line);
}

void *
parsing_unexpected(struct tmpl_parser *p, const struct tmpl_token *t, const char *context)
{
    if (p->failed) return NULL;
    struct buf *to = begin_sentence(p);
    if (t->type == TMPL_ERROR) {
        put_lexer_error(p, to, t);
        return NULL;
    }
    buf_put_text(to, "unexpected ");
    put_token(to, t);
    buf_put_text(to, " in ");
    buf_put_text(to, context);
    return NULL;
}

/* False: too deep, which is told. */
bool
parsing_go_deeper(struct tmpl_parser *p)
{
    if (p->nesting++ < NESTING_MAX || p->failed) return p->failed == OK;
    buf_clear(p->given->sentence);
    buf_put_text(p->given->sentence, "more than 100 levels of blocks and parentheses");
    p->failed = ERR_LIMIT;
    return false;
}

/* --- tokens ----------------------------------------------------------------------------------- */

struct tmpl_token
parsing_next(struct tmpl_parser *p)
{
    if (p->backed > 0)
        p->backed--;
    else
        p->tokens[0] = tmpl_lexer_next(&p->lexer);
    return p->tokens[p->backed];
}

void
parsing_back(struct tmpl_parser *p)
{
    p->backed++;
}

/* `t` came before the one at hand, which was put back. */
void
parsing_back_two(struct tmpl_parser *p, struct tmpl_token t)
{
    p->tokens[1] = t;
    p->backed = 2;
}

void
parsing_back_three(struct tmpl_parser *p, struct tmpl_token first, struct tmpl_token second)
{
    p->tokens[1] = second;
    p->tokens[2] = first;
    p->backed = 3;
}

struct tmpl_token
parsing_peek(struct tmpl_parser *p)
{
    struct tmpl_token t = parsing_next(p);
    parsing_back(p);
    return t;
}

struct tmpl_token
parsing_next_after_space(struct tmpl_parser *p)
{
    struct tmpl_token t;
    do {
        t = parsing_next(p);
    } while (t.type == TMPL_SPACE);
    return t;
}

struct tmpl_token
parsing_peek_after_space(struct tmpl_parser *p)
{
    struct tmpl_token t = parsing_next_after_space(p);
    parsing_back(p);
    return t;
}

/* False: something else is there, which is told. */
bool
parsing_expect(struct tmpl_parser *p, enum tmpl_token_type type, const char *context)
{
    struct tmpl_token t = parsing_next_after_space(p);
    if (t.type != type) parsing_unexpected(p, &t, context);
    return p->failed == OK;
}

/* --- nodes ------------------------------------------------------------------------------------ */

/* Room for one more, as arena_push() makes it; most lists here have one item or two. */
void *
parsing_grow(struct tmpl_parser *p, void *items, uint32_t count, size_t item_bytes)
{
    if ((count & (count - 1)) != 0) return items;
    void *grown = arena_alloc(p->given->arena, (count == 0 ? 1 : 2 * count) * item_bytes);
    if (grown == NULL) return parsing_no_memory(p);
    if (count > 0) memcpy(grown, items, count * item_bytes);
    return grown;
}

struct tmpl_node *
parsing_new_node(struct tmpl_parser *p, enum tmpl_kind kind, uint32_t at)
{
    struct tmpl_node *n = arena_new(p->given->arena, sizeof *n);
    if (n == NULL) return parsing_no_memory(p);
    n->kind = kind;
    n->at = at;
    return n;
}

bool
parsing_add_node(struct tmpl_parser *p, struct tmpl_list *list, struct tmpl_node *n)
{
    struct tmpl_node **items = parsing_grow(p, list->items, list->count, sizeof *items);
    if (items == NULL) return false;
    list->items = items;
    items[list->count++] = n;
    return true;
}

bool
parsing_add_name(struct tmpl_parser *p, struct tmpl_names *names, struct bytes name)
{
    struct bytes *items = parsing_grow(p, names->items, names->count, sizeof *items);
    if (items == NULL) return false;
    names->items = items;
    items[names->count++] = name;
    return true;
}

/* The text of a literal. False: it is not valid, and the error is set. */
bool
parsing_unquote(struct tmpl_parser *p, struct bytes literal, struct bytes *ret)
{
    buf_clear(&p->scratch);
    bool read = quote_read(literal, &p->scratch);
    if (buf_error(&p->scratch)) return parsing_no_memory(p) != NULL;
    if (!read) {
        parsing_fail_text(p, "invalid syntax");
        return false;
    }
    if (literal.at[0] == '`') { /* Go leaves out carriage returns */
        size_t kept = 0;
        for (size_t i = 0; i < p->scratch.size; i++) {
            if (p->scratch.at[i] != '\r') p->scratch.at[kept++] = p->scratch.at[i];
        }
        p->scratch.size = kept;
    }
    *ret = arena_copy(p->given->arena, buf_bytes(&p->scratch));
    return ret->at != NULL || p->scratch.size == 0 || parsing_no_memory(p) != NULL;
}

bool
parsing_declare(struct tmpl_parser *p, struct bytes name)
{
    struct bytes *items = parsing_grow(p, p->variables, p->variable_count, sizeof *items);
    if (items == NULL) return false;
    p->variables = items;
    items[p->variable_count++] = name;
    return true;
}

bool
parsing_is_declared(const struct tmpl_parser *p, struct bytes name)
{
    if (bytes_equal_text(name, "$")) return true;
    for (uint32_t i = p->scope.variables; i < p->variable_count; i++) {
        if (bytes_equal(p->variables[i], name)) return true;
    }
    return false;
}
