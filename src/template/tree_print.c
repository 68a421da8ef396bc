/* tree_print.c - nodes as sentences about them have them: see tree.h. */
#include "base/decimal.h"
#include "base/quote.h"
#include "template/tree.h"

static void
put_fields(const struct tmpl_names *names, uint32_t from, struct buf *to)
{
    for (uint32_t i = from; i < names->count; i++) {
        buf_put_u8(to, '.');
        buf_put_bytes(to, names->items[i]);
    }
}

/* A pipeline within another node has its parentheses. */
static void
put_operand(const struct tmpl_node *n, struct buf *to)
{
    bool parens = n->kind == TMPL_NODE_PIPE;
    if (parens) buf_put_u8(to, '(');
    tmpl_node_print(n, to);
    if (parens) buf_put_u8(to, ')');
}

static void
put_pipe(const struct tmpl_node *n, struct buf *to)
{
    for (uint32_t i = 0; i < n->pipe.variables.count; i++) {
        if (i > 0) buf_put_text(to, ", ");
        buf_put_bytes(to, n->pipe.variables.items[i]);
    }
    if (n->pipe.variables.count > 0) buf_put_text(to, n->pipe.assigns ? " = " : " := ");
    for (uint32_t i = 0; i < n->pipe.commands.count; i++) {
        if (i > 0) buf_put_text(to, " | ");
        tmpl_node_print(n->pipe.commands.items[i], to);
    }
}

static void
put_command(const struct tmpl_node *n, struct buf *to)
{
    for (uint32_t i = 0; i < n->command.count; i++) {
        if (i > 0) buf_put_u8(to, ' ');
        put_operand(n->command.items[i], to);
    }
}

static void
put_call(const struct tmpl_node *n, struct buf *to)
{
    buf_put_text(to, "{{template ");
    quote_text(to, n->call.name);
    if (n->call.pipe != NULL) {
        buf_put_u8(to, ' ');
        tmpl_node_print(n->call.pipe, to);
    }
    buf_put_text(to, "}}");
}

void
tmpl_node_print(const struct tmpl_node *n, struct buf *to)
{
    switch (n->kind) {
    case TMPL_NODE_CALL:
        put_call(n, to);
        break;
    case TMPL_NODE_PIPE:
        put_pipe(n, to);
        break;
    case TMPL_NODE_COMMAND:
        put_command(n, to);
        break;
    case TMPL_NODE_TEXT:
    case TMPL_NODE_IDENTIFIER:
        buf_put_bytes(to, n->text);
        break;
    case TMPL_NODE_FIELD:
        put_fields(&n->names, 0, to);
        break;
    case TMPL_NODE_VARIABLE:
        buf_put_bytes(to, n->names.items[0]);
        put_fields(&n->names, 1, to);
        break;
    case TMPL_NODE_CHAIN:
        put_operand(n->chain.of, to);
        put_fields(&n->chain.names, 0, to);
        break;
    case TMPL_NODE_DOT:
        buf_put_u8(to, '.');
        break;
    case TMPL_NODE_NIL:
        buf_put_text(to, "nil");
        break;
    case TMPL_NODE_BOOL:
        buf_put_text(to, n->truth ? "true" : "false");
        break;
    case TMPL_NODE_NUMBER:
    case TMPL_NODE_STRING:
        buf_put_bytes(to, n->source);
        break;
    case TMPL_NODE_ACTION:
    case TMPL_NODE_IF:
    case TMPL_NODE_RANGE:
    case TMPL_NODE_WITH:
    case TMPL_NODE_BREAK:
    case TMPL_NODE_CONTINUE:
    case TMPL_NODE_ELSE:
    case TMPL_NODE_END:
        break; /* no error is at one of these, but at what stands in it */
    }
}

void
tmpl_place_print(struct bytes text, uint32_t at, struct buf *to)
{
    uint32_t line = 1, column = 0;
    for (uint32_t i = 0; i < at; i++) {
        column++;
        if (text.at[i] != '\n') continue;
        line++;
        column = 0;
    }
    buf_put_uint(to, line);
    buf_put_u8(to, ':');
    buf_put_uint(to, column);
}
