/* pipelines.c - what has a value: operands, commands, pipelines. See parser_private.h. */
#include "base/decimal.h"
#include "template/parser_private.h"

/* --- operands --------------------------------------------------------------------------------- */

static struct bytes
without_first(struct bytes text)
{
    return bytes_of(text.at + 1, text.size - 1);
}

static struct tmpl_node *
constant(struct tmpl_parser *p, const struct tmpl_token *t)
{
    struct tmpl_node *n = parsing_new_node(p, TMPL_NODE_NUMBER, t->at);
    if (n == NULL) return NULL;
    n->source = t->text;
    buf_clear(&p->number_sentence);
    if (tmpl_number_read(t->text, &p->scratch, &p->number_sentence, &n->number)) return n;
    if (buf_error(&p->scratch) || buf_error(&p->number_sentence) == ERR_NOMEM)
        return parsing_no_memory(p);
    return parsing_fail(p, "", buf_bytes(&p->number_sentence), "");
}

static struct tmpl_node *
named(struct tmpl_parser *p, const struct tmpl_token *t)
{
    bool is_variable = t->type == TMPL_VARIABLE;
    if (is_variable && !parsing_is_declared(p, t->text)) {
        return parsing_fail_quoted(p, "undefined variable ", t->text, "");
    }
    struct tmpl_node *n =
        parsing_new_node(p, is_variable ? TMPL_NODE_VARIABLE : TMPL_NODE_FIELD, t->at);
    if (n == NULL) return NULL;
    return parsing_add_name(p, &n->names, is_variable ? t->text : without_first(t->text)) ? n
                                                                                          : NULL;
}

static struct tmpl_node *
string(struct tmpl_parser *p, const struct tmpl_token *t)
{
    struct tmpl_node *n = parsing_new_node(p, TMPL_NODE_STRING, t->at);
    if (n == NULL) return NULL;
    n->source = t->text;
    return parsing_unquote(p, t->text, &n->string) ? n : NULL;
}

static struct tmpl_node *
identifier(struct tmpl_parser *p, const struct tmpl_token *t)
{
    if (!p->given->has_function(t->text)) {
        return parsing_fail_quoted(p, "function ", t->text, " not defined");
    }
    struct tmpl_node *n = parsing_new_node(p, TMPL_NODE_IDENTIFIER, t->at);
    if (n != NULL) n->text = t->text;
    return n;
}

/* NULL without an error: something else is there, and is put back. */
static struct tmpl_node *
term(struct tmpl_parser *p)
{
    struct tmpl_token t = parsing_next_after_space(p);
    struct tmpl_node *n;
    switch (t.type) {
    case TMPL_IDENTIFIER:
        return identifier(p, &t);
    case TMPL_DOT:
        return parsing_new_node(p, TMPL_NODE_DOT, t.at);
    case TMPL_NIL:
        return parsing_new_node(p, TMPL_NODE_NIL, t.at);
    case TMPL_VARIABLE:
    case TMPL_FIELD:
        return named(p, &t);
    case TMPL_BOOL:
        n = parsing_new_node(p, TMPL_NODE_BOOL, t.at);
        if (n != NULL) n->truth = t.text.at[0] == 't';
        return n;
    case TMPL_CHAR_CONSTANT:
    case TMPL_COMPLEX:
    case TMPL_NUMBER:
        return constant(p, &t);
    case TMPL_LEFT_PAREN:
        return parsing_pipeline(p, "parenthesized pipeline", TMPL_RIGHT_PAREN);
    case TMPL_STRING:
    case TMPL_RAW_STRING:
        return string(p, &t);
    default:
        parsing_back(p);
        return NULL;
    }
}

/* Fields after an operand become part of it, or follow it in a chain. */
static struct tmpl_node *
with_fields(struct tmpl_parser *p, struct tmpl_node *n)
{
    struct tmpl_node *chain = parsing_new_node(p, TMPL_NODE_CHAIN, parsing_peek(p).at);
    if (chain == NULL) return NULL;
    chain->chain.of = n;
    bool has_names = n->kind == TMPL_NODE_FIELD || n->kind == TMPL_NODE_VARIABLE;
    struct tmpl_names *names = has_names ? &n->names : &chain->chain.names;
    while (parsing_peek(p).type == TMPL_FIELD) {
        if (!parsing_add_name(p, names, without_first(parsing_next(p).text))) return NULL;
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
        return parsing_fail_quoted(p, "unexpected . after term ", buf_bytes(&p->scratch), "");
    default:
        return chain;
    }
}

static struct tmpl_node *
operand(struct tmpl_parser *p)
{
    struct tmpl_node *n = term(p);
    if (n == NULL || p->failed || parsing_peek(p).type != TMPL_FIELD) return n;
    return with_fields(p, n);
}

/* Operands with spaces between them, to a pipe or the end of the pipeline, which is put back. */
static struct tmpl_node *
command(struct tmpl_parser *p)
{
    struct tmpl_node *n = parsing_new_node(p, TMPL_NODE_COMMAND, parsing_peek_after_space(p).at);
    if (n == NULL) return NULL;
    for (;;) {
        parsing_peek_after_space(p);
        struct tmpl_node *o = operand(p);
        if (p->failed || (o != NULL && !parsing_add_node(p, &n->command, o))) return NULL;
        struct tmpl_token t = parsing_next(p);
        if (t.type == TMPL_SPACE) continue;
        if (t.type == TMPL_RIGHT_DELIM || t.type == TMPL_RIGHT_PAREN)
            parsing_back(p);
        else if (t.type != TMPL_PIPE)
            return parsing_unexpected(p, &t, "operand");
        break;
    }
    return n->command.count > 0 ? n : parsing_fail_text(p, "empty command");
}

/* --- pipelines -------------------------------------------------------------------------------- */

/* A variable before a comma: the first of two, of {{range}} alone. False: an error. */
static bool
first_of_two(struct tmpl_parser *p, const char *context, uint32_t count, bool *ret_more)
{
    if (strcmp(context, "range") == 0 && count < 2) {
        enum tmpl_token_type type = parsing_peek_after_space(p).type;
        *ret_more = type == TMPL_VARIABLE || type == TMPL_RIGHT_DELIM || type == TMPL_RIGHT_PAREN;
        if (*ret_more) return true;
        parsing_fail_text(p, "range can only initialize variables");
        return false;
    }
    parsing_fail(p, "too many declarations in ", bytes_of_text(context), "");
    return false;
}

/* $x :=, $x =, $i, $x := */
static bool
declarations(struct tmpl_parser *p, struct tmpl_node *n, const char *context)
{
    bool more = true;
    while (more) {
        more = false;
        struct tmpl_token v = parsing_peek_after_space(p);
        if (v.type != TMPL_VARIABLE) break;
        parsing_next(p);
        /* The space after a variable is wanted if it turns out to be an operand. */
        struct tmpl_token after = parsing_peek(p);
        struct tmpl_token t = parsing_peek_after_space(p);
        bool sets = t.type == TMPL_ASSIGN || t.type == TMPL_DECLARE;
        bool comma = t.type == TMPL_CHAR && bytes_equal_text(t.text, ",");
        if (!sets && !comma) {
            if (after.type == TMPL_SPACE)
                parsing_back_three(p, v, after);
            else
                parsing_back_two(p, v);
            break;
        }
        parsing_next_after_space(p);
        n->pipe.assigns = t.type == TMPL_ASSIGN;
        if (!parsing_add_name(p, &n->pipe.variables, v.text) || !parsing_declare(p, v.text))
            return false;
        if (comma && !first_of_two(p, context, n->pipe.variables.count, &more)) {
            return false;
        }
    }
    return true;
}

/* After the first, a command is given what came of the one before. */
static bool
check_commands(struct tmpl_parser *p, const struct tmpl_node *n, const char *context)
{
    if (n->pipe.commands.count == 0) {
        parsing_fail(p, "missing value for ", bytes_of_text(context), "");
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
        parsing_fail(p, "non executable command in pipeline stage ", bytes_of(number, size), "");
        return false;
    }
    return true;
}

static bool
may_begin_operand(enum tmpl_token_type type)
{
    return (type >= TMPL_BOOL && type <= TMPL_DOT) || type == TMPL_NIL || type == TMPL_LEFT_PAREN;
}

struct tmpl_node *
parsing_pipeline(struct tmpl_parser *p, const char *context, enum tmpl_token_type end)
{
    struct tmpl_node *n = parsing_new_node(p, TMPL_NODE_PIPE, parsing_peek_after_space(p).at);
    if (n == NULL || !parsing_go_deeper(p) || !declarations(p, n, context)) return NULL;
    for (;;) {
        struct tmpl_token t = parsing_next_after_space(p);
        if (t.type == end) break;
        if (!may_begin_operand(t.type)) return parsing_unexpected(p, &t, context);
        parsing_back(p);
        struct tmpl_node *c = command(p);
        if (c == NULL || !parsing_add_node(p, &n->pipe.commands, c)) return NULL;
    }
    p->nesting--;
    return check_commands(p, n, context) ? n : NULL;
}
