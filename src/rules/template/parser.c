/*
 * parser.c - tokens become a tree: recursive descent. Only the first error is told, in Go's words
 * and with the line of the token that was read last.
 *
 * Spaces are tokens, since they part operands; most of the grammar passes over them. Up to three
 * tokens are put back: after `$x` it takes a look past the space to know whether it is declared.
 *
 * {{define}} and {{block}} are templates of their own, whose variables are not those of the text
 * around them: `scope` is what a template begins and gives back at its end.
 */
#include "base/array.h"
#include "base/decimal.h"
#include "base/quote.h"
#include "rules/template/tree.h"

enum { BACKED_MAX = 3, NESTING_MAX = 100, TEMPLATES_MAX = 1000 };

/* What belongs to a template, or a {{define}} in it. */
struct scope {
    uint32_t variables; /* the first of its own; $ is always there */
    uint32_t range_depth;
    uint32_t action_line;
};

struct parser {
    const struct tmpl_parsing *given;
    struct tmpl_lexer lexer;
    struct tmpl_token tokens[BACKED_MAX]; /* those put back; the next one is the last of them */
    uint32_t backed;
    struct scope scope;
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

/* --- errors ----------------------------------------------------------------------------------- */

static void *
no_memory(struct parser *p)
{
    if (p->failed == OK) p->failed = ERR_NOMEM;
    return NULL;
}

/* "template: NAME:LINE: ", to which the caller adds. */
static struct buf *
begin_sentence(struct parser *p)
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

static void *
fail(struct parser *p, const char *before, struct bytes what, const char *after)
{
    if (p->failed) return NULL;
    struct buf *to = begin_sentence(p);
    buf_put_text(to, before);
    buf_put_cut(to, what);
    buf_put_text(to, after);
    return NULL;
}

static void *
fail_text(struct parser *p, const char *sentence)
{
    return fail(p, sentence, bytes_of(NULL, 0), "");
}

static void *
fail_quoted(struct parser *p, const char *before, struct bytes what, const char *after)
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
put_lexer_error(struct parser *p, struct buf *to, const struct tmpl_token *t)
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

static void *
unexpected(struct parser *p, const struct tmpl_token *t, const char *context)
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
static bool
go_deeper(struct parser *p)
{
    if (p->nesting++ < NESTING_MAX || p->failed) return p->failed == OK;
    buf_clear(p->given->sentence);
    buf_put_text(p->given->sentence, "more than 100 levels of blocks and parentheses");
    p->failed = ERR_LIMIT;
    return false;
}

/* --- tokens ----------------------------------------------------------------------------------- */

static struct tmpl_token
next(struct parser *p)
{
    if (p->backed > 0)
        p->backed--;
    else
        p->tokens[0] = tmpl_lexer_next(&p->lexer);
    return p->tokens[p->backed];
}

static void
back(struct parser *p)
{
    p->backed++;
}

/* `t` came before the one at hand, which was put back. */
static void
back_two(struct parser *p, struct tmpl_token t)
{
    p->tokens[1] = t;
    p->backed = 2;
}

static void
back_three(struct parser *p, struct tmpl_token first, struct tmpl_token second)
{
    p->tokens[1] = second;
    p->tokens[2] = first;
    p->backed = 3;
}

static struct tmpl_token
peek(struct parser *p)
{
    struct tmpl_token t = next(p);
    back(p);
    return t;
}

static struct tmpl_token
next_after_space(struct parser *p)
{
    struct tmpl_token t;
    do {
        t = next(p);
    } while (t.type == TMPL_SPACE);
    return t;
}

static struct tmpl_token
peek_after_space(struct parser *p)
{
    struct tmpl_token t = next_after_space(p);
    back(p);
    return t;
}

/* False: something else is there, which is told. */
static bool
expect(struct parser *p, enum tmpl_token_type type, const char *context)
{
    struct tmpl_token t = next_after_space(p);
    if (t.type != type) unexpected(p, &t, context);
    return p->failed == OK;
}

/* --- nodes ------------------------------------------------------------------------------------ */

/* Room for one more, as arena_push() makes it; most lists here have one item or two. */
static void *
grow(struct parser *p, void *items, uint32_t count, size_t item_bytes)
{
    if ((count & (count - 1)) != 0) return items;
    void *grown = arena_alloc(p->given->arena, (count == 0 ? 1 : 2 * count) * item_bytes);
    if (grown == NULL) return no_memory(p);
    if (count > 0) memcpy(grown, items, count * item_bytes);
    return grown;
}

static struct tmpl_node *
new_node(struct parser *p, enum tmpl_kind kind, uint32_t at)
{
    struct tmpl_node *n = arena_new(p->given->arena, sizeof *n);
    if (n == NULL) return no_memory(p);
    n->kind = kind;
    n->at = at;
    return n;
}

static bool
add_node(struct parser *p, struct tmpl_list *list, struct tmpl_node *n)
{
    struct tmpl_node **items = grow(p, list->items, list->count, sizeof *items);
    if (items == NULL) return false;
    list->items = items;
    items[list->count++] = n;
    return true;
}

static bool
add_name(struct parser *p, struct tmpl_names *names, struct bytes name)
{
    struct bytes *items = grow(p, names->items, names->count, sizeof *items);
    if (items == NULL) return false;
    names->items = items;
    items[names->count++] = name;
    return true;
}

static struct bytes
without_first(struct bytes text)
{
    return bytes_of(text.at + 1, text.size - 1);
}

/* A literal's text; false: it is none, which is told. */
static bool
unquote(struct parser *p, struct bytes literal, struct bytes *ret)
{
    buf_clear(&p->scratch);
    bool read = quote_read(literal, &p->scratch);
    if (buf_error(&p->scratch)) return no_memory(p) != NULL;
    if (!read) {
        fail_text(p, "invalid syntax");
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
    return ret->at != NULL || p->scratch.size == 0 || no_memory(p) != NULL;
}

static bool
declare(struct parser *p, struct bytes name)
{
    struct bytes *items = grow(p, p->variables, p->variable_count, sizeof *items);
    if (items == NULL) return false;
    p->variables = items;
    items[p->variable_count++] = name;
    return true;
}

static bool
is_declared(const struct parser *p, struct bytes name)
{
    if (bytes_equal_text(name, "$")) return true;
    for (uint32_t i = p->scope.variables; i < p->variable_count; i++) {
        if (bytes_equal(p->variables[i], name)) return true;
    }
    return false;
}

/* --- operands --------------------------------------------------------------------------------- */

static struct tmpl_node *pipeline(struct parser *p, const char *context, enum tmpl_token_type end);

static struct tmpl_node *
constant(struct parser *p, const struct tmpl_token *t)
{
    struct tmpl_node *n = new_node(p, TMPL_NODE_NUMBER, t->at);
    if (n == NULL) return NULL;
    n->source = t->text;
    buf_clear(&p->number_sentence);
    if (tmpl_number_read(t->text, &p->scratch, &p->number_sentence, &n->number)) return n;
    if (buf_error(&p->scratch) || buf_error(&p->number_sentence) == ERR_NOMEM) return no_memory(p);
    return fail(p, "", buf_bytes(&p->number_sentence), "");
}

static struct tmpl_node *
named(struct parser *p, const struct tmpl_token *t)
{
    bool is_variable = t->type == TMPL_VARIABLE;
    if (is_variable && !is_declared(p, t->text)) {
        return fail_quoted(p, "undefined variable ", t->text, "");
    }
    struct tmpl_node *n = new_node(p, is_variable ? TMPL_NODE_VARIABLE : TMPL_NODE_FIELD, t->at);
    if (n == NULL) return NULL;
    return add_name(p, &n->names, is_variable ? t->text : without_first(t->text)) ? n : NULL;
}

static struct tmpl_node *
string(struct parser *p, const struct tmpl_token *t)
{
    struct tmpl_node *n = new_node(p, TMPL_NODE_STRING, t->at);
    if (n == NULL) return NULL;
    n->source = t->text;
    return unquote(p, t->text, &n->string) ? n : NULL;
}

static struct tmpl_node *
identifier(struct parser *p, const struct tmpl_token *t)
{
    if (!p->given->has_function(t->text)) {
        return fail_quoted(p, "function ", t->text, " not defined");
    }
    struct tmpl_node *n = new_node(p, TMPL_NODE_IDENTIFIER, t->at);
    if (n != NULL) n->text = t->text;
    return n;
}

/* NULL without an error: something else is there, and is put back. */
static struct tmpl_node *
term(struct parser *p)
{
    struct tmpl_token t = next_after_space(p);
    struct tmpl_node *n;
    switch (t.type) {
    case TMPL_IDENTIFIER:
        return identifier(p, &t);
    case TMPL_DOT:
        return new_node(p, TMPL_NODE_DOT, t.at);
    case TMPL_NIL:
        return new_node(p, TMPL_NODE_NIL, t.at);
    case TMPL_VARIABLE:
    case TMPL_FIELD:
        return named(p, &t);
    case TMPL_BOOL:
        n = new_node(p, TMPL_NODE_BOOL, t.at);
        if (n != NULL) n->truth = t.text.at[0] == 't';
        return n;
    case TMPL_CHAR_CONSTANT:
    case TMPL_COMPLEX:
    case TMPL_NUMBER:
        return constant(p, &t);
    case TMPL_LEFT_PAREN:
        return pipeline(p, "parenthesized pipeline", TMPL_RIGHT_PAREN);
    case TMPL_STRING:
    case TMPL_RAW_STRING:
        return string(p, &t);
    default:
        back(p);
        return NULL;
    }
}

/* Fields after an operand become part of it, or follow it in a chain. */
static struct tmpl_node *
with_fields(struct parser *p, struct tmpl_node *n)
{
    struct tmpl_node *chain = new_node(p, TMPL_NODE_CHAIN, peek(p).at);
    if (chain == NULL) return NULL;
    chain->chain.of = n;
    bool has_names = n->kind == TMPL_NODE_FIELD || n->kind == TMPL_NODE_VARIABLE;
    struct tmpl_names *names = has_names ? &n->names : &chain->chain.names;
    while (peek(p).type == TMPL_FIELD) {
        if (!add_name(p, names, without_first(next(p).text))) return NULL;
    }
    switch (n->kind) {
    case TMPL_NODE_FIELD:
    case TMPL_NODE_VARIABLE:
        n->at = chain->at;
        return n;
    case TMPL_NODE_BOOL:
    case TMPL_NODE_STRING:
    case TMPL_NODE_NUMBER:
    case TMPL_NODE_NIL:
    case TMPL_NODE_DOT:
        buf_clear(&p->scratch);
        tmpl_node_print(n, &p->scratch);
        return fail_quoted(p, "unexpected . after term ", buf_bytes(&p->scratch), "");
    default:
        return chain;
    }
}

static struct tmpl_node *
operand(struct parser *p)
{
    struct tmpl_node *n = term(p);
    if (n == NULL || p->failed || peek(p).type != TMPL_FIELD) return n;
    return with_fields(p, n);
}

/* Operands with spaces between them, to a pipe or the end of the pipeline, which is put back. */
static struct tmpl_node *
command(struct parser *p)
{
    struct tmpl_node *n = new_node(p, TMPL_NODE_COMMAND, peek_after_space(p).at);
    if (n == NULL) return NULL;
    for (;;) {
        peek_after_space(p);
        struct tmpl_node *o = operand(p);
        if (p->failed || (o != NULL && !add_node(p, &n->command, o))) return NULL;
        struct tmpl_token t = next(p);
        if (t.type == TMPL_SPACE) continue;
        if (t.type == TMPL_RIGHT_DELIM || t.type == TMPL_RIGHT_PAREN)
            back(p);
        else if (t.type != TMPL_PIPE)
            return unexpected(p, &t, "operand");
        break;
    }
    return n->command.count > 0 ? n : fail_text(p, "empty command");
}

/* --- pipelines -------------------------------------------------------------------------------- */

/* A variable before a comma: the first of two, of {{range}} alone. False: an error. */
static bool
first_of_two(struct parser *p, const char *context, uint32_t count, bool *ret_more)
{
    if (strcmp(context, "range") == 0 && count < 2) {
        enum tmpl_token_type type = peek_after_space(p).type;
        *ret_more = type == TMPL_VARIABLE || type == TMPL_RIGHT_DELIM || type == TMPL_RIGHT_PAREN;
        if (*ret_more) return true;
        fail_text(p, "range can only initialize variables");
        return false;
    }
    fail(p, "too many declarations in ", bytes_of_text(context), "");
    return false;
}

/* $x :=, $x =, $i, $x := */
static bool
declarations(struct parser *p, struct tmpl_node *n, const char *context)
{
    bool more = true;
    while (more) {
        more = false;
        struct tmpl_token v = peek_after_space(p);
        if (v.type != TMPL_VARIABLE) break;
        next(p);
        /* The space after a variable is wanted if it turns out to be an operand. */
        struct tmpl_token after = peek(p);
        struct tmpl_token t = peek_after_space(p);
        bool sets = t.type == TMPL_ASSIGN || t.type == TMPL_DECLARE;
        bool comma = t.type == TMPL_CHAR && bytes_equal_text(t.text, ",");
        if (!sets && !comma) {
            if (after.type == TMPL_SPACE)
                back_three(p, v, after);
            else
                back_two(p, v);
            break;
        }
        next_after_space(p);
        n->pipe.assigns = t.type == TMPL_ASSIGN;
        if (!add_name(p, &n->pipe.variables, v.text) || !declare(p, v.text)) return false;
        if (comma && !first_of_two(p, context, n->pipe.variables.count, &more)) {
            return false;
        }
    }
    return true;
}

/* After the first, a command is given what came of the one before. */
static bool
check_commands(struct parser *p, const struct tmpl_node *n, const char *context)
{
    if (n->pipe.commands.count == 0) {
        fail(p, "missing value for ", bytes_of_text(context), "");
        return false;
    }
    for (uint32_t i = 1; i < n->pipe.commands.count; i++) {
        enum tmpl_kind kind = n->pipe.commands.items[i]->command.items[0]->kind;
        if (kind != TMPL_NODE_BOOL && kind != TMPL_NODE_DOT && kind != TMPL_NODE_NIL &&
            kind != TMPL_NODE_NUMBER && kind != TMPL_NODE_STRING) {
            continue;
        }
        char number[DECIMAL_BYTES];
        size_t size = decimal_print_uint(i + 1, number);
        fail(p, "non executable command in pipeline stage ", bytes_of(number, size), "");
        return false;
    }
    return true;
}

static bool
may_begin_operand(enum tmpl_token_type type)
{
    return (type >= TMPL_BOOL && type <= TMPL_DOT) || type == TMPL_NIL || type == TMPL_LEFT_PAREN;
}

static struct tmpl_node *
pipeline(struct parser *p, const char *context, enum tmpl_token_type end)
{
    struct tmpl_node *n = new_node(p, TMPL_NODE_PIPE, peek_after_space(p).at);
    if (n == NULL || !go_deeper(p) || !declarations(p, n, context)) return NULL;
    for (;;) {
        struct tmpl_token t = next_after_space(p);
        if (t.type == end) break;
        if (!may_begin_operand(t.type)) return unexpected(p, &t, context);
        back(p);
        struct tmpl_node *c = command(p);
        if (c == NULL || !add_node(p, &n->pipe.commands, c)) return NULL;
    }
    p->nesting--;
    return check_commands(p, n, context) ? n : NULL;
}

/* --- actions ---------------------------------------------------------------------------------- */

static bool item_list(struct parser *p, struct tmpl_list *ret, enum tmpl_kind *ret_end);

static const char *
end_text(enum tmpl_kind kind)
{
    return kind == TMPL_NODE_END ? "{{end}}" : "{{else}}";
}

static struct tmpl_node *branch(struct parser *p, enum tmpl_kind kind, const char *context);

/* {{else if}} and {{else with}} are a branch within {{else}}, with which it shares its end. */
static bool
otherwise(struct parser *p, struct tmpl_node *n)
{
    struct tmpl_token t = peek(p);
    bool again = (n->kind == TMPL_NODE_IF && t.type == TMPL_IF) ||
                 (n->kind == TMPL_NODE_WITH && t.type == TMPL_WITH);
    n->branch.has_else = true;
    if (again) {
        next(p);
        struct tmpl_node *inner = branch(p, n->kind, n->kind == TMPL_NODE_IF ? "if" : "with");
        return inner != NULL && add_node(p, &n->branch.otherwise, inner);
    }
    enum tmpl_kind end;
    if (!item_list(p, &n->branch.otherwise, &end)) return false;
    if (end != TMPL_NODE_END) {
        fail(p, "expected end; found ", bytes_of_text(end_text(end)), "");
        return false;
    }
    return true;
}

static struct tmpl_node *
branch(struct parser *p, enum tmpl_kind kind, const char *context)
{
    uint32_t variables = p->variable_count;
    enum tmpl_kind end;
    struct tmpl_node *n = new_node(p, kind, 0);
    if (n == NULL || !go_deeper(p)) return NULL;
    n->branch.pipe = pipeline(p, context, TMPL_RIGHT_DELIM);
    if (n->branch.pipe == NULL) return NULL;
    n->at = n->branch.pipe->at;
    p->scope.range_depth += kind == TMPL_NODE_RANGE;
    if (!item_list(p, &n->branch.list, &end)) return NULL;
    p->scope.range_depth -= kind == TMPL_NODE_RANGE;
    if (end == TMPL_NODE_ELSE && !otherwise(p, n)) return NULL;
    p->nesting--;
    p->variable_count = variables;
    return n;
}

static struct tmpl_node *
leave_loop(struct parser *p, enum tmpl_kind kind, uint32_t at)
{
    const char *name = kind == TMPL_NODE_BREAK ? "{{break}}" : "{{continue}}";
    struct tmpl_token t = next_after_space(p);
    if (t.type != TMPL_RIGHT_DELIM) return unexpected(p, &t, name);
    if (p->scope.range_depth == 0) {
        return fail(p, name, bytes_of_text(" outside {{range}}"), "");
    }
    return new_node(p, kind, at);
}

/* {{else}}, or {{else if, whose `if` is left. */
static struct tmpl_node *
end_or_else(struct parser *p, enum tmpl_kind kind, uint32_t at)
{
    if (kind == TMPL_NODE_ELSE) {
        enum tmpl_token_type type = peek_after_space(p).type;
        if (type == TMPL_IF || type == TMPL_WITH) return new_node(p, kind, at);
    }
    if (!expect(p, TMPL_RIGHT_DELIM, kind == TMPL_NODE_END ? "end" : "else")) return NULL;
    return new_node(p, kind, at);
}

static bool
template_name(struct parser *p, const struct tmpl_token *t, const char *context, struct bytes *ret)
{
    if (t->type == TMPL_STRING || t->type == TMPL_RAW_STRING) return unquote(p, t->text, ret);
    unexpected(p, t, context);
    return false;
}

/* Nothing but spaces. */
static bool
is_empty(const struct tmpl_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i]->kind != TMPL_NODE_TEXT) return false;
        struct bytes text = list->items[i]->text;
        for (size_t k = 0; k < text.size; k++) {
            if (memchr(" \t\n\r\v\f", text.at[k], 6) == NULL) return false;
        }
    }
    return true;
}

/* An empty one gives way to another of its name. */
static bool
add_template(struct parser *p, struct bytes name, const struct tmpl_list *list)
{
    for (uint32_t i = 1; i < p->template_count; i++) {
        struct tmpl_template *before = &p->templates[i];
        if (!bytes_equal(before->name, name)) continue;
        if (is_empty(&before->list)) {
            before->list = *list;
        } else if (!is_empty(list)) {
            fail_quoted(p, "template: multiple definition of template ", name, "");
            return false;
        }
        return true;
    }
    if (p->template_count >= TEMPLATES_MAX) {
        buf_clear(p->given->sentence);
        buf_put_text(p->given->sentence, "more than 1000 {{define}} and {{block}}");
        p->failed = ERR_LIMIT;
        return false;
    }
    struct tmpl_template *items = grow(p, p->templates, p->template_count, sizeof *items);
    if (items == NULL) return false;
    p->templates = items;
    items[p->template_count++] = (struct tmpl_template){name, *list};
    return true;
}

/* What stands between {{define}} or {{block}} and its end. */
static bool
definition(struct parser *p, struct bytes name, const char *context)
{
    struct tmpl_list list = {NULL, 0};
    enum tmpl_kind end;
    if (!item_list(p, &list, &end)) return false;
    if (end != TMPL_NODE_END) {
        fail(p, "unexpected {{else}} in ", bytes_of_text(context), "");
        return false;
    }
    return add_template(p, name, &list);
}

static struct tmpl_node *
block(struct parser *p)
{
    static const char context[] = "block clause";
    struct tmpl_token t = next_after_space(p);
    struct tmpl_node *n = new_node(p, TMPL_NODE_CALL, t.at);
    if (n == NULL || !template_name(p, &t, context, &n->call.name)) return NULL;
    n->call.pipe = pipeline(p, context, TMPL_RIGHT_DELIM);
    if (n->call.pipe == NULL || !go_deeper(p)) return NULL;
    struct scope outer = p->scope;
    p->scope = (struct scope){.variables = p->variable_count};
    if (!definition(p, n->call.name, context)) return NULL;
    p->variable_count = p->scope.variables;
    p->scope = outer;
    p->nesting--;
    return n;
}

static struct tmpl_node *
call(struct parser *p)
{
    static const char context[] = "template clause";
    struct tmpl_token t = next_after_space(p);
    struct tmpl_node *n = new_node(p, TMPL_NODE_CALL, t.at);
    if (n == NULL || !template_name(p, &t, context, &n->call.name)) return NULL;
    if (next_after_space(p).type == TMPL_RIGHT_DELIM) return n;
    back(p);
    n->call.pipe = pipeline(p, context, TMPL_RIGHT_DELIM);
    return n->call.pipe == NULL ? NULL : n;
}

/* After the left delimiter. */
static struct tmpl_node *
action(struct parser *p)
{
    struct tmpl_token t = next_after_space(p);
    switch (t.type) {
    case TMPL_BLOCK:
        return block(p);
    case TMPL_BREAK:
        return leave_loop(p, TMPL_NODE_BREAK, t.at);
    case TMPL_CONTINUE:
        return leave_loop(p, TMPL_NODE_CONTINUE, t.at);
    case TMPL_ELSE:
        return end_or_else(p, TMPL_NODE_ELSE, t.at);
    case TMPL_END:
        return end_or_else(p, TMPL_NODE_END, t.at);
    case TMPL_IF:
        return branch(p, TMPL_NODE_IF, "if");
    case TMPL_RANGE:
        return branch(p, TMPL_NODE_RANGE, "range");
    case TMPL_TEMPLATE:
        return call(p);
    case TMPL_WITH:
        return branch(p, TMPL_NODE_WITH, "with");
    default:
        break;
    }
    back(p);
    struct tmpl_node *n = new_node(p, TMPL_NODE_ACTION, peek(p).at);
    if (n == NULL) return NULL;
    n->action = pipeline(p, "command", TMPL_RIGHT_DELIM);
    return n->action == NULL ? NULL : n;
}

static struct tmpl_node *
text_or_action(struct parser *p)
{
    struct tmpl_token t = next_after_space(p);
    struct tmpl_node *n;
    switch (t.type) {
    case TMPL_TEXT:
        n = new_node(p, TMPL_NODE_TEXT, t.at);
        if (n != NULL) n->text = t.text;
        return n;
    case TMPL_LEFT_DELIM:
        p->scope.action_line = t.line;
        n = action(p);
        p->scope.action_line = 0;
        return n;
    default:
        return unexpected(p, &t, "input");
    }
}

/* Up to {{end}} or {{else}}. */
static bool
item_list(struct parser *p, struct tmpl_list *ret, enum tmpl_kind *ret_end)
{
    while (peek_after_space(p).type != TMPL_END_OF_TEXT) {
        struct tmpl_node *n = text_or_action(p);
        if (n == NULL) return false;
        if (n->kind == TMPL_NODE_END || n->kind == TMPL_NODE_ELSE) {
            *ret_end = n->kind;
            return true;
        }
        if (!add_node(p, ret, n)) return false;
    }
    fail_text(p, "unexpected EOF");
    return false;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* After {{define. */
static bool
define(struct parser *p)
{
    static const char context[] = "define clause";
    struct scope outer = p->scope;
    struct bytes name;
    p->scope = (struct scope){.variables = p->variable_count};
    struct tmpl_token t = next_after_space(p);
    if (!template_name(p, &t, context, &name)) return false;
    if (!expect(p, TMPL_RIGHT_DELIM, context)) return false;
    if (!definition(p, name, context)) return false;
    p->variable_count = p->scope.variables;
    p->scope = outer;
    return true;
}

static bool
top(struct parser *p, struct tmpl_list *list)
{
    while (peek(p).type != TMPL_END_OF_TEXT) {
        if (peek(p).type == TMPL_LEFT_DELIM) {
            struct tmpl_token delim = next(p);
            if (next_after_space(p).type == TMPL_DEFINE) {
                if (!define(p)) return false;
                continue;
            }
            back_two(p, delim);
        }
        struct tmpl_node *n = text_or_action(p);
        if (n == NULL) return false;
        if (n->kind == TMPL_NODE_END || n->kind == TMPL_NODE_ELSE) {
            fail(p, "unexpected ", bytes_of_text(end_text(n->kind)), "");
            return false;
        }
        if (!add_node(p, list, n)) return false;
    }
    return true;
}

/* One that has the name of the text is another definition of it. */
static void
finish(struct parser *p, const struct tmpl_list *list)
{
    for (uint32_t i = 1; i < p->template_count; i++) {
        const struct tmpl_template *t = &p->templates[i];
        if (!bytes_equal(t->name, p->given->name) || is_empty(&t->list) || is_empty(list)) continue;
        fail_quoted(p, "template: multiple definition of template ", t->name, "");
        return;
    }
    p->templates[0].list = *list;
}

enum err
tmpl_parse(const struct tmpl_parsing *parsing, struct tmpl_tree *ret)
{
    enum { PIECE_BYTES_MAX = 512 };
    struct parser p = {.given = parsing};
    struct tmpl_list list = {NULL, 0};
    struct budget *budget = parsing->arena->budget;
    buf_init(&p.scratch, budget, parsing->text.size + 64);
    buf_init(&p.lexer_sentence, budget, PIECE_BYTES_MAX);
    buf_init(&p.number_sentence, budget, PIECE_BYTES_MAX);
    tmpl_lexer_init(&p.lexer, parsing->text, parsing->unicode, &p.lexer_sentence);
    struct tmpl_list none = {NULL, 0};
    if (add_template(&p, parsing->name, &none) && top(&p, &list)) finish(&p, &list);
    bool starved = buf_error(&p.lexer_sentence) == ERR_NOMEM || parsing->unicode->failed ||
                   buf_error(parsing->sentence) == ERR_NOMEM;
    if (starved) p.failed = ERR_NOMEM;
    buf_fini(&p.scratch);
    buf_fini(&p.lexer_sentence);
    buf_fini(&p.number_sentence);
    if (p.failed) return p.failed;
    *ret = (struct tmpl_tree){parsing->text, parsing->name, p.templates, p.template_count};
    return OK;
}

const struct tmpl_template *
tmpl_template_find(const struct tmpl_tree *tree, struct bytes name)
{
    for (uint32_t i = 0; i < tree->count; i++) {
        if (bytes_equal(tree->templates[i].name, name)) return &tree->templates[i];
    }
    return NULL;
}
