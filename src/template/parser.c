/*
 * parser.c - tokens become a tree: recursive descent. Blocks are here, pipelines in pipelines.c.
 * Only the first error is told, in Go's words and with the line of the token that was read last.
 *
 * Spaces are tokens, since they part operands; most of the grammar passes over them. Up to three
 * tokens are put back: after `$x` it takes a look past the space to know whether it is declared.
 *
 * {{define}} and {{block}} are templates of their own, whose variables are not those of the text
 * around them: `scope` is what a template begins and gives back at its end.
 */
#include "template/parser_private.h"

enum { TEMPLATES_MAX = 1000 };

/* --- actions ---------------------------------------------------------------------------------- */

static bool item_list(struct tmpl_parser *p, struct tmpl_list *ret, enum tmpl_kind *ret_end);

static const char *
end_text(enum tmpl_kind kind)
{
    return kind == TMPL_NODE_END ? "{{end}}" : "{{else}}";
}

static struct tmpl_node *branch(struct tmpl_parser *p, enum tmpl_kind kind, const char *context);

/* {{else if}} and {{else with}} are a branch within {{else}}, with which it shares its end. */
static bool
otherwise(struct tmpl_parser *p, struct tmpl_node *n)
{
    struct tmpl_token t = parsing_peek(p);
    bool again = (n->kind == TMPL_NODE_IF && t.type == TMPL_IF) ||
                 (n->kind == TMPL_NODE_WITH && t.type == TMPL_WITH);
    n->branch.has_else = true;
    if (again) {
        parsing_next(p);
        struct tmpl_node *inner = branch(p, n->kind, n->kind == TMPL_NODE_IF ? "if" : "with");
        return inner != NULL && parsing_add_node(p, &n->branch.otherwise, inner);
    }
    enum tmpl_kind end;
    if (!item_list(p, &n->branch.otherwise, &end)) return false;
    if (end != TMPL_NODE_END) {
        parsing_fail(p, "expected end; found ", bytes_of_text(end_text(end)), "");
        return false;
    }
    return true;
}

static struct tmpl_node *
branch(struct tmpl_parser *p, enum tmpl_kind kind, const char *context)
{
    uint32_t variables = p->variable_count;
    enum tmpl_kind end;
    struct tmpl_node *n = parsing_new_node(p, kind, 0);
    if (n == NULL || !parsing_go_deeper(p)) return NULL;
    n->branch.pipe = parsing_pipeline(p, context, TMPL_RIGHT_DELIM);
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
leave_loop(struct tmpl_parser *p, enum tmpl_kind kind, uint32_t at)
{
    const char *name = kind == TMPL_NODE_BREAK ? "{{break}}" : "{{continue}}";
    struct tmpl_token t = parsing_next_after_space(p);
    if (t.type != TMPL_RIGHT_DELIM) return parsing_unexpected(p, &t, name);
    if (p->scope.range_depth == 0) {
        return parsing_fail(p, name, bytes_of_text(" outside {{range}}"), "");
    }
    return parsing_new_node(p, kind, at);
}

/* {{else}}, or {{else if, whose `if` is left. */
static struct tmpl_node *
end_or_else(struct tmpl_parser *p, enum tmpl_kind kind, uint32_t at)
{
    if (kind == TMPL_NODE_ELSE) {
        enum tmpl_token_type type = parsing_peek_after_space(p).type;
        if (type == TMPL_IF || type == TMPL_WITH) return parsing_new_node(p, kind, at);
    }
    if (!parsing_expect(p, TMPL_RIGHT_DELIM, kind == TMPL_NODE_END ? "end" : "else")) return NULL;
    return parsing_new_node(p, kind, at);
}

static bool
template_name(struct tmpl_parser *p, const struct tmpl_token *t, const char *context,
              struct bytes *ret)
{
    if (t->type == TMPL_STRING || t->type == TMPL_RAW_STRING)
        return parsing_unquote(p, t->text, ret);
    parsing_unexpected(p, t, context);
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
add_template(struct tmpl_parser *p, struct bytes name, const struct tmpl_list *list)
{
    for (uint32_t i = 1; i < p->template_count; i++) {
        struct tmpl_template *before = &p->templates[i];
        if (!bytes_equal(before->name, name)) continue;
        if (is_empty(&before->list)) {
            before->list = *list;
        } else if (!is_empty(list)) {
            parsing_fail_quoted(p, "template: multiple definition of template ", name, "");
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
    struct tmpl_template *items = parsing_grow(p, p->templates, p->template_count, sizeof *items);
    if (items == NULL) return false;
    p->templates = items;
    items[p->template_count++] = (struct tmpl_template){name, *list};
    return true;
}

/* What stands between {{define}} or {{block}} and its end. */
static bool
definition(struct tmpl_parser *p, struct bytes name, const char *context)
{
    struct tmpl_list list = {NULL, 0};
    enum tmpl_kind end;
    if (!item_list(p, &list, &end)) return false;
    if (end != TMPL_NODE_END) {
        parsing_fail(p, "unexpected {{else}} in ", bytes_of_text(context), "");
        return false;
    }
    return add_template(p, name, &list);
}

static struct tmpl_node *
block(struct tmpl_parser *p)
{
    static const char context[] = "block clause";
    struct tmpl_token t = parsing_next_after_space(p);
    struct tmpl_node *n = parsing_new_node(p, TMPL_NODE_CALL, t.at);
    if (n == NULL || !template_name(p, &t, context, &n->call.name)) return NULL;
    n->call.pipe = parsing_pipeline(p, context, TMPL_RIGHT_DELIM);
    if (n->call.pipe == NULL || !parsing_go_deeper(p)) return NULL;
    struct tmpl_scope outer = p->scope;
    p->scope = (struct tmpl_scope){.variables = p->variable_count};
    if (!definition(p, n->call.name, context)) return NULL;
    p->variable_count = p->scope.variables;
    p->scope = outer;
    p->nesting--;
    return n;
}

static struct tmpl_node *
call(struct tmpl_parser *p)
{
    static const char context[] = "template clause";
    struct tmpl_token t = parsing_next_after_space(p);
    struct tmpl_node *n = parsing_new_node(p, TMPL_NODE_CALL, t.at);
    if (n == NULL || !template_name(p, &t, context, &n->call.name)) return NULL;
    if (parsing_next_after_space(p).type == TMPL_RIGHT_DELIM) return n;
    parsing_back(p);
    n->call.pipe = parsing_pipeline(p, context, TMPL_RIGHT_DELIM);
    return n->call.pipe == NULL ? NULL : n;
}

/* After the left delimiter. */
static struct tmpl_node *
action(struct tmpl_parser *p)
{
    struct tmpl_token t = parsing_next_after_space(p);
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
    parsing_back(p);
    struct tmpl_node *n = parsing_new_node(p, TMPL_NODE_ACTION, parsing_peek(p).at);
    if (n == NULL) return NULL;
    n->action = parsing_pipeline(p, "command", TMPL_RIGHT_DELIM);
    return n->action == NULL ? NULL : n;
}

static struct tmpl_node *
text_or_action(struct tmpl_parser *p)
{
    struct tmpl_token t = parsing_next_after_space(p);
    struct tmpl_node *n;
    switch (t.type) {
    case TMPL_TEXT:
        n = parsing_new_node(p, TMPL_NODE_TEXT, t.at);
        if (n != NULL) n->text = t.text;
        return n;
    case TMPL_LEFT_DELIM:
        p->scope.action_line = t.line;
        n = action(p);
        p->scope.action_line = 0;
        return n;
    default:
        return parsing_unexpected(p, &t, "input");
    }
}

/* Up to {{end}} or {{else}}. */
static bool
item_list(struct tmpl_parser *p, struct tmpl_list *ret, enum tmpl_kind *ret_end)
{
    while (parsing_peek_after_space(p).type != TMPL_END_OF_TEXT) {
        struct tmpl_node *n = text_or_action(p);
        if (n == NULL) return false;
        if (n->kind == TMPL_NODE_END || n->kind == TMPL_NODE_ELSE) {
            *ret_end = n->kind;
            return true;
        }
        if (!parsing_add_node(p, ret, n)) return false;
    }
    parsing_fail_text(p, "unexpected EOF");
    return false;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* After {{define. */
static bool
define(struct tmpl_parser *p)
{
    static const char context[] = "define clause";
    struct tmpl_scope outer = p->scope;
    struct bytes name;
    p->scope = (struct tmpl_scope){.variables = p->variable_count};
    struct tmpl_token t = parsing_next_after_space(p);
    if (!template_name(p, &t, context, &name)) return false;
    if (!parsing_expect(p, TMPL_RIGHT_DELIM, context)) return false;
    if (!definition(p, name, context)) return false;
    p->variable_count = p->scope.variables;
    p->scope = outer;
    return true;
}

static bool
top(struct tmpl_parser *p, struct tmpl_list *list)
{
    while (parsing_peek(p).type != TMPL_END_OF_TEXT) {
        if (parsing_peek(p).type == TMPL_LEFT_DELIM) {
            struct tmpl_token delim = parsing_next(p);
            if (parsing_next_after_space(p).type == TMPL_DEFINE) {
                if (!define(p)) return false;
                continue;
            }
            parsing_back_two(p, delim);
        }
        struct tmpl_node *n = text_or_action(p);
        if (n == NULL) return false;
        if (n->kind == TMPL_NODE_END || n->kind == TMPL_NODE_ELSE) {
            parsing_fail(p, "unexpected ", bytes_of_text(end_text(n->kind)), "");
            return false;
        }
        if (!parsing_add_node(p, list, n)) return false;
    }
    return true;
}

/* One that has the name of the text is another definition of it. */
static void
finish(struct tmpl_parser *p, const struct tmpl_list *list)
{
    for (uint32_t i = 1; i < p->template_count; i++) {
        const struct tmpl_template *t = &p->templates[i];
        if (!bytes_equal(t->name, p->given->name) || is_empty(&t->list) || is_empty(list)) continue;
        parsing_fail_quoted(p, "template: multiple definition of template ", t->name, "");
        return;
    }
    p->templates[0].list = *list;
}

enum err
tmpl_parse(const struct tmpl_parsing *parsing, struct tmpl_tree *ret)
{
    enum { PIECE_BYTES_MAX = 512 };
    struct tmpl_parser p = {.given = parsing};
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
