/*
 * parser.c - tokens become a tree: recursive descent. Only the first error is reported, in Go's
 * words and with the line of the token that was read last.
 *
 * `token` is the next one. `$x` is followed by := or = where it is declared or assigned to, and is
 * an operand otherwise: then the parser goes back to a copy of the lexer.
 *
 * {{define}} and {{block}} are templates of their own and do not see variables of the text around
 * them: a scope is what a template begins and gives back at its end.
 *
 * Invariants, until an error:
 *
 *  1. `nesting` is the number of blocks and pipelines that are being read; 0 at the end.
 *  2. Variables of the scope are those from scope.variables on.
 *  3. A pipeline has at most two variables, and has commands.
 *  4. A list has both a first and a last node, or neither.
 *  5. A list of templates begins with the text itself.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/text/hex.h"
#include "base/text/quote.h"
#include "template/run.h"
#include "wire/number.h"

enum { NESTING_MAX = 100, TEMPLATES_MAX = 1000, PIECE_BYTES_MAX = 512 };

struct tmpl_scope {
    uint32_t variables; /* index of the first variable of its own; $ always exists */
    uint32_t range_depth;
    uint32_t action_at; /* position of the current action's opening delimiter; 0 in text */
};

/* Once `failed` is set, the sentence is complete and all functions return. */
struct tmpl_parser {
    const struct tmpl_parsing *given;
    struct tmpl_lexer lexer;
    struct tmpl_token token;
    uint32_t end; /* end of the last token, in the text */
    struct tmpl_scope scope;
    struct bytes *variables;
    uint32_t variable_count;
    struct tmpl_template *first, *last; /* templates */
    uint32_t template_count;
    uint32_t nesting;
    struct buf scratch;
    struct buf lexer_sentence;
    enum err failed;
};

static struct tmpl_node *pipeline(struct tmpl_parser *p, const char *context,
                                  enum tmpl_token_type end);
static bool item_list(struct tmpl_parser *p, struct tmpl_list *to, bool is_top,
                      enum tmpl_token_type *ret_end);

/* --- errors ----------------------------------------------------------------------------------- */

static void *
tmpl_parser_no_memory(struct tmpl_parser *p)
{
    if (p->failed == OK) p->failed = ERR_NOMEM;
    return NULL;
}

/* Fails with "template: NAME:LINE: " and the rest. */
__attribute__((format(printf, 2, 3))) static void *
fail(struct tmpl_parser *p, const char *format, ...)
{
    char rest[PIECE_BYTES_MAX];
    struct buf *to = p->given->sentence;
    uint32_t column;
    va_list args;
    if (p->failed) return NULL;
    va_start(args, format);
    (void)vsnprintf(rest, sizeof rest, format, args);
    va_end(args);
    p->failed = ERR_INPUT;
    buf_put_text(to, "template: ");
    buf_put_cut(to, p->given->name);
    buf_printf(to, ":%u: %s", tmpl_line_at(p->given->text, p->token.at, &column), rest);
    return NULL;
}

static void *
fail_limit(struct tmpl_parser *p, const char *sentence)
{
    if (p->failed) return NULL;
    buf_put_text(p->given->sentence, sentence);
    p->failed = ERR_LIMIT;
    return NULL;
}

/* Quotes the beginning of a text; the result is valid until the next call. */
static const char *
quoted(struct tmpl_parser *p, struct bytes text)
{
    if (text.size > PIECE_BYTES_MAX) text.size = PIECE_BYTES_MAX;
    buf_clear(&p->scratch);
    quote_text(&p->scratch, text);
    buf_put_u8(&p->scratch, 0);
    if (buf_error(&p->scratch) == OK) return (const char *)p->scratch.at;
    tmpl_parser_no_memory(p);
    return "";
}

/* Fails with the lexer's sentence, and with the line where the action began if it is
 * another one. */
static void *
fail_as_lexer(struct tmpl_parser *p)
{
    struct bytes text = p->token.text, name = p->given->name;
    static const char action[] = " action";
    size_t size = sizeof action - 1;
    uint32_t column, line = tmpl_line_at(p->given->text, p->scope.action_at, &column);
    bool named = text.size > size && memcmp(text.at + text.size - size, action, size) == 0;
    if (p->scope.action_at == 0 || line == tmpl_line_at(p->given->text, p->token.at, &column))
        return fail(p, "%.*s", (int)text.size, (const char *)text.at);
    return fail(p, "%.*s%s started at %.*s:%u", (int)text.size, (const char *)text.at,
                named ? "" : " in action", (int)name.size, (const char *)name.at, line);
}

/* Fails because of the next token; a long one is cut. */
static void *
unexpected(struct tmpl_parser *p, const char *context)
{
    enum { SHOWN_CHARACTERS = 10 };
    const struct tmpl_token *t = &p->token;
    size_t size = 0;
    unsigned bytes;
    if (t->type == TMPL_ERROR) return fail_as_lexer(p);
    if (t->type == TMPL_END_OF_TEXT) return fail(p, "unexpected EOF");
    if (t->type >= TMPL_DOT) {
        return fail(p, "unexpected <%.*s> in %s", (int)t->text.size, (const char *)t->text.at,
                    context);
    }
    for (unsigned i = 0; i < SHOWN_CHARACTERS && size < t->text.size; i++, size += bytes)
        rune_get(t->text.at + size, t->text.size - size, &bytes);
    return fail(p, "unexpected %s%s in %s", quoted(p, bytes_of(t->text.at, size)),
                size < t->text.size ? "..." : "", context);
}

static bool
go_deeper(struct tmpl_parser *p)
{
    if (p->nesting++ < NESTING_MAX) return true;
    return fail_limit(p, "more than 100 levels of blocks and parentheses") != NULL;
}

/* --- tokens and nodes ------------------------------------------------------------------------- */

static struct tmpl_token
tmpl_take_token(struct tmpl_parser *p)
{
    struct tmpl_token t = p->token;
    p->end = t.at + (uint32_t)t.text.size;
    p->token = tmpl_lexer_next(&p->lexer);
    return t;
}

static bool
expect(struct tmpl_parser *p, enum tmpl_token_type type, const char *context)
{
    if (p->token.type != type) return unexpected(p, context) != NULL;
    tmpl_take_token(p);
    return true;
}

/* Makes a node that begins at the next token. */
static struct tmpl_node *
new_node(struct tmpl_parser *p, enum tmpl_kind kind)
{
    struct tmpl_node *n = arena_new(p->given->arena, sizeof *n);
    if (n == NULL) return tmpl_parser_no_memory(p);
    n->kind = kind;
    n->at = p->token.at;
    n->source = p->token.text;
    return n;
}

/* Ends a node before the next token. */
static void
end_node(const struct tmpl_parser *p, struct tmpl_node *n)
{
    assert(n->source.at <= p->given->text.at + p->end);
    n->source.size = p->given->text.at + p->end - n->source.at;
}

static void
tmpl_append(struct tmpl_list *list, struct tmpl_node *n)
{
    assert((list->first == NULL) == (list->last == NULL)); /* invariant 4 */
    if (list->first == NULL)
        list->first = n;
    else
        list->last->next = n;
    list->last = n;
}

/* Reads the text of the literal that is the next token. */
static bool
unquote(struct tmpl_parser *p, struct bytes *ret)
{
    struct bytes literal = p->token.text;
    size_t kept = 0;
    buf_clear(&p->scratch);
    bool read = quote_read(literal, &p->scratch);
    if (buf_error(&p->scratch)) return tmpl_parser_no_memory(p) != NULL;
    if (!read) return fail(p, "invalid syntax") != NULL;
    for (size_t i = 0; i < p->scratch.size; i++) /* Go drops carriage returns within `` */
        if (literal.at[0] != '`' || p->scratch.at[i] != '\r')
            p->scratch.at[kept++] = p->scratch.at[i];
    *ret = arena_copy(p->given->arena, bytes_of(p->scratch.at, kept));
    return ret->at != NULL || tmpl_parser_no_memory(p) != NULL;
}

static bool
declare(struct tmpl_parser *p, struct bytes name)
{
    struct bytes *items =
        arena_push(p->given->arena, p->variables, p->variable_count, sizeof *items);
    if (items == NULL) return tmpl_parser_no_memory(p) != NULL;
    p->variables = items;
    items[p->variable_count++] = name;
    return true;
}

/* --- numbers ---------------------------------------------------------------------------------- */

static bool
read_character(struct bytes source, struct buf *scratch, struct tmpl_number *n)
{
    unsigned bytes;
    if (!quote_read(source, scratch) || scratch->size == 0) return false;
    int32_t c = rune_get(scratch->at, scratch->size, &bytes);
    n->integer = scratch->size == 1 ? scratch->at[0] : c; /* '\xff' is a byte */
    n->real = (double)n->integer;
    n->is_integer = true;
    return bytes == scratch->size;
}

/* Reads an integer without its sign, `text`. A leading zero alone means octal. */
static bool
read_integer(struct bytes text, bool negative, struct tmpl_number *n)
{
    static const struct {
        char prefix;
        unsigned base;
    } bases[] = {{'x', 16}, {'o', 8}, {'b', 2}};
    unsigned base = text.size > 1 && text.at[0] == '0' ? 8 : 10;
    size_t i = 0;
    uint64_t v = 0;
    for (unsigned k = 0; k < sizeof bases / sizeof *bases && text.size > 2; k++) {
        if (text.at[0] != '0' || (text.at[1] | 0x20) != bases[k].prefix) continue;
        base = bases[k].base;
        i = 2;
    }
    for (; i < text.size; i++) {
        int digit = hex_digit(text.at[i]);
        if (digit < 0 || (unsigned)digit >= base) return false;
        if (__builtin_mul_overflow(v, (uint64_t)base, &v)) return false;
        if (__builtin_add_overflow(v, (uint64_t)digit, &v)) return false;
    }
    n->is_integer = v <= (uint64_t)INT64_MAX + negative;
    if (n->is_integer) n->integer = (int64_t)(negative ? 0 - v : v);
    n->real = negative ? -(double)v : (double)v;
    return text.size > 0;
}

/* Reads decimal digits with a point or an exponent, an integer with 0x, 0o, 0 or 0b, or a character
 * in single quotes; digits may be separated by _. False: anything else, or an integer beyond 64
 * bits. */
static bool
read_number(struct bytes source, struct buf *scratch, struct tmpl_number *ret)
{
    uint64_t bits;
    bool sign = source.at[0] == '+' || source.at[0] == '-', point = false;
    *ret = (struct tmpl_number){.is_integer = false};
    buf_clear(scratch);
    if (source.at[0] == '\'') return read_character(source, scratch, ret);
    for (size_t i = sign; i < source.size; i++) {
        if (source.at[i] != '_') buf_put_u8(scratch, source.at[i]);
        point |=
            source.at[i] == '.' || (source.at[i] | 0x20) == 'e' || (source.at[i] | 0x20) == 'p';
    }
    struct bytes text = buf_bytes(scratch);
    if (buf_error(scratch)) return false;
    if (read_integer(text, source.at[0] == '-', ret)) return true;
    if (!point || !number_parse_go((const char *)text.at, text.size, &bits)) return false;
    ret->real = source.at[0] == '-' ? -bits_double(bits) : bits_double(bits);
    return true;
}

/* --- operands --------------------------------------------------------------------------------- */

static bool
may_begin_operand(enum tmpl_token_type type)
{
    return (type >= TMPL_BOOL && type <= TMPL_DOT) || type == TMPL_NIL || type == TMPL_LEFT_PAREN;
}

/* Parses an operand without fields, unless it begins with one. */
static struct tmpl_node *
term(struct tmpl_parser *p)
{
    static const enum tmpl_kind kinds[TMPL_WITH + 1] = {
        [TMPL_BOOL] = TMPL_NODE_BOOL,         [TMPL_CHAR_CONSTANT] = TMPL_NODE_NUMBER,
        [TMPL_NUMBER] = TMPL_NODE_NUMBER,     [TMPL_STRING] = TMPL_NODE_STRING,
        [TMPL_RAW_STRING] = TMPL_NODE_STRING, [TMPL_VARIABLE] = TMPL_NODE_VARIABLE,
        [TMPL_FIELD] = TMPL_NODE_DOT,         [TMPL_IDENTIFIER] = TMPL_NODE_FUNCTION,
        [TMPL_DOT] = TMPL_NODE_DOT,           [TMPL_NIL] = TMPL_NODE_NIL};
    struct bytes text = p->token.text;
    bool known;
    if (p->token.type == TMPL_LEFT_PAREN) {
        tmpl_take_token(p);
        return pipeline(p, "parenthesized pipeline", TMPL_RIGHT_PAREN);
    }
    struct tmpl_node *n = new_node(p, kinds[p->token.type]);
    if (n == NULL) return NULL;
    switch (p->token.type) {
    case TMPL_IDENTIFIER:
        if (tmpl_function_find(text) == NULL)
            return fail(p, "function %s not defined", quoted(p, text));
        n->text = text;
        break;
    case TMPL_VARIABLE:
        known = bytes_equal_text(text, "$");
        for (uint32_t i = p->scope.variables; i < p->variable_count && !known; i++)
            known = bytes_equal(p->variables[i], text);
        if (!known) return fail(p, "undefined variable %s", quoted(p, text));
        n->text = text;
        break;
    case TMPL_FIELD:
        n->fields = text;
        break;
    case TMPL_BOOL:
        n->truth = text.at[0] == 't';
        break;
    case TMPL_CHAR_CONSTANT:
    case TMPL_NUMBER:
        if (!read_number(text, &p->scratch, &n->number)) {
            if (buf_error(&p->scratch)) return tmpl_parser_no_memory(p);
            return fail(p, "bad number syntax: %s", quoted(p, text));
        }
        break;
    case TMPL_STRING:
    case TMPL_RAW_STRING:
        if (!unquote(p, &n->text)) return NULL;
        break;
    default:
        break;
    }
    tmpl_take_token(p);
    return n;
}

/* Parses an operand with its fields. Sentences name the first field. */
static struct tmpl_node *
operand(struct tmpl_parser *p)
{
    const uint8_t *begin = p->token.text.at;
    struct tmpl_node *n = term(p);
    if (n == NULL) return NULL;
    n->source.at = begin;
    end_node(p, n);
    if (p->token.type != TMPL_FIELD || p->token.spaced) return n;
    bool is_dot = n->kind == TMPL_NODE_DOT && n->fields.size == 0;
    if (is_dot || (n->kind > TMPL_NODE_DOT && n->kind < TMPL_NODE_VARIABLE))
        return fail(p, "unexpected . after term %s", quoted(p, n->source));
    n->at = p->token.at;
    if (n->fields.size == 0) n->fields.at = p->token.text.at;
    while (p->token.type == TMPL_FIELD && !p->token.spaced)
        tmpl_take_token(p);
    n->fields.size = p->given->text.at + p->end - n->fields.at;
    end_node(p, n);
    return n;
}

/* Parses operands with spaces between them. */
static struct tmpl_node *
command(struct tmpl_parser *p)
{
    struct tmpl_node *n = new_node(p, TMPL_NODE_COMMAND);
    if (n == NULL) return NULL;
    do {
        struct tmpl_node *o = operand(p);
        if (o == NULL) return NULL;
        tmpl_append(&n->operands, o);
    } while (p->token.spaced && may_begin_operand(p->token.type));
    end_node(p, n);
    enum tmpl_token_type next = p->token.type;
    if (next == TMPL_RIGHT_DELIM || next == TMPL_RIGHT_PAREN || next == TMPL_PIPE) return n;
    return unexpected(p, "operand");
}

/* --- pipelines -------------------------------------------------------------------------------- */

/* Parses $x :=, $x =, and for {{range}} alone $i, $x :=. */
static bool
declarations(struct tmpl_parser *p, struct tmpl_node *n, const char *context)
{
    bool more = true, is_range = strcmp(context, "range") == 0;
    while (more && p->token.type == TMPL_VARIABLE) {
        struct tmpl_lexer after = p->lexer;
        uint32_t end = p->end;
        struct tmpl_token v = tmpl_take_token(p);
        more = p->token.type == TMPL_CHAR && bytes_equal_text(p->token.text, ",");
        if (!more && p->token.type != TMPL_ASSIGN && p->token.type != TMPL_DECLARE) {
            p->lexer = after;
            p->token = v;
            p->end = end;
            return true;
        }
        assert(n->pipe.variable_count < 2); /* invariant 3 */
        n->pipe.assigns = p->token.type == TMPL_ASSIGN;
        n->pipe.variables[n->pipe.variable_count++] = v.text;
        if (!declare(p, v.text)) return false;
        if (more && (!is_range || n->pipe.variable_count > 1))
            return fail(p, "too many declarations in %s", context) != NULL;
        tmpl_take_token(p);
        enum tmpl_token_type next = p->token.type;
        if (more && next != TMPL_VARIABLE && next != TMPL_RIGHT_DELIM && next != TMPL_RIGHT_PAREN)
            return fail(p, "range can only initialize variables") != NULL;
    }
    return true;
}

/* Parses commands with | between them, up to the token `end`. Sentences name `context`. */
static struct tmpl_node *
pipeline(struct tmpl_parser *p, const char *context, enum tmpl_token_type end)
{
    struct tmpl_node *n = new_node(p, TMPL_NODE_PIPE);
    if (n == NULL || !go_deeper(p) || !declarations(p, n, context)) return NULL;
    for (unsigned stage = 1; p->token.type != end; stage++) {
        if (!may_begin_operand(p->token.type)) return unexpected(p, context);
        struct tmpl_node *c = command(p);
        if (c == NULL) return NULL;
        enum tmpl_kind kind = c->operands.first->kind;
        bool is_constant = kind < TMPL_NODE_VARIABLE && kind >= TMPL_NODE_DOT;
        if (stage > 1 && is_constant && c->operands.first->fields.size == 0)
            return fail(p, "non executable command in pipeline stage %u", stage);
        tmpl_append(&n->pipe.commands, c);
        if (p->token.type == TMPL_PIPE) tmpl_take_token(p);
    }
    if (n->pipe.commands.first == NULL) return fail(p, "missing value for %s", context);
    end_node(p, n);
    tmpl_take_token(p);
    assert(p->nesting > 0); /* invariant 1 */
    p->nesting--;
    return n;
}

/* --- statements ------------------------------------------------------------------------------- */

static struct tmpl_node *
branch(struct tmpl_parser *p, enum tmpl_kind kind)
{
    const char *context = kind == TMPL_NODE_IF ? "if" : kind == TMPL_NODE_WITH ? "with" : "range";
    enum tmpl_token_type word = p->token.type, end;
    uint32_t variables = p->variable_count;
    tmpl_take_token(p);
    struct tmpl_node *n = new_node(p, kind);
    if (n == NULL || !go_deeper(p)) return NULL;
    n->statement.pipe = pipeline(p, context, TMPL_RIGHT_DELIM);
    if (n->statement.pipe == NULL) return NULL;
    p->scope.range_depth += kind == TMPL_NODE_RANGE;
    if (!item_list(p, &n->statement.list, false, &end)) return NULL;
    p->scope.range_depth -= kind == TMPL_NODE_RANGE;
    if (end == TMPL_ELSE && kind != TMPL_NODE_RANGE && p->token.type == word) {
        /* {{else if}} is a branch within {{else}}, with which it shares its end. */
        struct tmpl_node *inner = branch(p, kind);
        if (inner == NULL) return NULL;
        tmpl_append(&n->statement.otherwise, inner);
    } else if (end == TMPL_ELSE) {
        if (!item_list(p, &n->statement.otherwise, false, &end)) return NULL;
        if (end != TMPL_END) return fail(p, "expected end; found {{else}}");
    }
    assert(p->nesting > 0);                 /* invariant 1 */
    assert(p->variable_count >= variables); /* invariant 2 */
    p->nesting--;
    p->variable_count = variables;
    return n;
}

static struct tmpl_node *
leave_loop(struct tmpl_parser *p, enum tmpl_kind kind)
{
    const char *name = kind == TMPL_NODE_BREAK ? "{{break}}" : "{{continue}}";
    struct tmpl_node *n = new_node(p, kind);
    tmpl_take_token(p);
    if (!expect(p, TMPL_RIGHT_DELIM, name)) return NULL;
    if (p->scope.range_depth == 0) return fail(p, "%s outside {{range}}", name);
    return n;
}

static bool
template_name(struct tmpl_parser *p, const char *context, struct bytes *ret)
{
    if (p->token.type != TMPL_STRING && p->token.type != TMPL_RAW_STRING)
        return unexpected(p, context) != NULL;
    if (!unquote(p, ret)) return false;
    tmpl_take_token(p);
    return true;
}

static struct tmpl_template *
add_template(struct tmpl_parser *p, struct bytes name)
{
    for (const struct tmpl_template *t = p->first; t != NULL; t = t->next) {
        if (!bytes_equal(t->name, name)) continue;
        return fail(p, "template: multiple definition of template %s", quoted(p, name));
    }
    if (p->template_count++ >= TEMPLATES_MAX)
        return fail_limit(p, "more than 1000 {{define}} and {{block}}");
    struct tmpl_template *t = arena_new(p->given->arena, sizeof *t);
    if (t == NULL) return tmpl_parser_no_memory(p);
    t->name = name;
    assert((p->first == NULL) == (p->last == NULL)); /* invariant 5 */
    if (p->first == NULL)
        p->first = t;
    else
        p->last->next = t;
    p->last = t;
    return t;
}

/* Parses {{define}} or {{block}} from the end of the first delimiters to {{end}}. */
static bool
definition(struct tmpl_parser *p, struct bytes name, const char *context)
{
    enum tmpl_token_type end;
    struct tmpl_scope outer = p->scope;
    p->scope = (struct tmpl_scope){.variables = p->variable_count};
    struct tmpl_template *t = add_template(p, name);
    if (t == NULL || !go_deeper(p) || !item_list(p, &t->list, false, &end)) return false;
    if (end != TMPL_END) return fail(p, "unexpected {{else}} in %s", context) != NULL;
    assert(p->nesting > 0);                          /* invariant 1 */
    assert(p->variable_count >= p->scope.variables); /* invariant 2 */
    p->variable_count = p->scope.variables;
    p->scope = outer;
    p->nesting--;
    return true;
}

/* Parses {{template}} or {{block}}. */
static struct tmpl_node *
tmpl_parse_call(struct tmpl_parser *p, bool is_block)
{
    const char *context = is_block ? "block clause" : "template clause";
    tmpl_take_token(p);
    struct tmpl_node *n = new_node(p, TMPL_NODE_CALL);
    if (n == NULL || !template_name(p, context, &n->statement.name)) return NULL;
    if (!is_block && p->token.type == TMPL_RIGHT_DELIM) {
        tmpl_take_token(p);
        return n;
    }
    n->statement.pipe = pipeline(p, context, TMPL_RIGHT_DELIM);
    if (n->statement.pipe == NULL) return NULL;
    return !is_block || definition(p, n->statement.name, context) ? n : NULL;
}

/* Parses an action after the left delimiter. */
static struct tmpl_node *
action(struct tmpl_parser *p)
{
    struct tmpl_node *n;
    switch (p->token.type) {
    case TMPL_BLOCK:
        return tmpl_parse_call(p, true);
    case TMPL_BREAK:
        return leave_loop(p, TMPL_NODE_BREAK);
    case TMPL_CONTINUE:
        return leave_loop(p, TMPL_NODE_CONTINUE);
    case TMPL_IF:
        return branch(p, TMPL_NODE_IF);
    case TMPL_RANGE:
        return branch(p, TMPL_NODE_RANGE);
    case TMPL_TEMPLATE:
        return tmpl_parse_call(p, false);
    case TMPL_WITH:
        return branch(p, TMPL_NODE_WITH);
    default:
        n = new_node(p, TMPL_NODE_ACTION);
        if (n != NULL) n->statement.pipe = pipeline(p, "command", TMPL_RIGHT_DELIM);
        return n != NULL && n->statement.pipe != NULL ? n : NULL;
    }
}

/* Parses up to {{end}} or {{else}}, which are taken, or to the end of the text; *ret_end says
 * which. After {{else if}} the `if` is the next token. */
static bool
item_list(struct tmpl_parser *p, struct tmpl_list *to, bool is_top, enum tmpl_token_type *ret_end)
{
    while (p->token.type != TMPL_END_OF_TEXT) {
        struct tmpl_node *n = NULL;
        p->scope.action_at = p->token.type == TMPL_LEFT_DELIM ? p->token.at : 0;
        if (p->token.type == TMPL_TEXT) {
            n = new_node(p, TMPL_NODE_TEXT);
            if (n == NULL) return false;
            n->text = tmpl_take_token(p).text;
            tmpl_append(to, n);
            continue;
        }
        if (!expect(p, TMPL_LEFT_DELIM, "input")) return false;
        enum tmpl_token_type word = p->token.type;
        if (word == TMPL_END || word == TMPL_ELSE) {
            tmpl_take_token(p);
            *ret_end = word;
            if (word == TMPL_ELSE && (p->token.type == TMPL_IF || p->token.type == TMPL_WITH))
                return true;
            return expect(p, TMPL_RIGHT_DELIM, word == TMPL_END ? "end" : "else");
        }
        if (word == TMPL_DEFINE && is_top) {
            static const char context[] = "define clause";
            struct bytes name;
            tmpl_take_token(p);
            if (!template_name(p, context, &name) || !expect(p, TMPL_RIGHT_DELIM, context) ||
                !definition(p, name, context))
                return false;
            continue;
        }
        n = action(p);
        if (n == NULL) return false;
        tmpl_append(to, n);
    }
    *ret_end = TMPL_END_OF_TEXT;
    return is_top || fail(p, "unexpected EOF") != NULL;
}

/* --- the template ----------------------------------------------------------------------------- */

uint32_t
tmpl_line_at(struct bytes text, uint32_t at, uint32_t *ret_column)
{
    uint32_t line = 1, begin = 0;
    assert(at <= text.size);
    for (uint32_t i = 0; i < at; i++) {
        if (text.at[i] != '\n') continue;
        line++;
        begin = i + 1;
    }
    *ret_column = at - begin;
    return line;
}

enum err
tmpl_parse(const struct tmpl_parsing *parsing, struct tmpl_template **ret)
{
    struct tmpl_parser p = {.given = parsing};
    struct budget *budget = parsing->arena->budget;
    enum tmpl_token_type end;
    buf_init(&p.scratch, budget, parsing->text.size + 16 * PIECE_BYTES_MAX);
    buf_init(&p.lexer_sentence, budget, PIECE_BYTES_MAX);
    tmpl_lexer_init(&p.lexer, parsing->text, parsing->unicode, &p.lexer_sentence);
    tmpl_take_token(&p);
    struct tmpl_template *text = add_template(&p, parsing->name);
    if (text != NULL && item_list(&p, &text->list, true, &end) && end != TMPL_END_OF_TEXT)
        fail(&p, "unexpected {{%s}}", end == TMPL_END ? "end" : "else");
    bool starved = buf_error(&p.lexer_sentence) == ERR_NOMEM || parsing->unicode->failed ||
                   buf_error(parsing->sentence) == ERR_NOMEM;
    if (starved) p.failed = ERR_NOMEM;
    assert(p.failed || p.nesting == 0);  /* invariant 1 */
    assert(p.failed || text == p.first); /* invariant 5 */
    buf_fini(&p.scratch);
    buf_fini(&p.lexer_sentence);
    *ret = text;
    return p.failed;
}
