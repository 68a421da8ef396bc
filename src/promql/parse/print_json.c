/*
 * print_json.c - a tree as the query API gives it (/api/v1/parse_query). Members in the order of
 * their names, as Prometheus' server has them. Not by struct json: expressions nest deeper than
 * that counts.
 */
#include <math.h>

#include "base/buf.h"
#include "base/text/json.h"
#include "promql/parse/tree.h"
#include "wire/number.h"

static void
print_json_put_key(struct buf *to, const char *key)
{
    bool first = to->size > 0 && to->at[to->size - 1] == '{';
    buf_put_text(to, first ? "\"" : ",\"");
    buf_put_text(to, key);
    buf_put_text(to, "\":");
}

static void
put_string(struct buf *to, const char *key, struct bytes value)
{
    print_json_put_key(to, key);
    (void)json_print_string(to, value);
}

static void
put_bool(struct buf *to, const char *key, bool value)
{
    print_json_put_key(to, key);
    buf_put_text(to, value ? "true" : "false");
}

static void
put_int(struct buf *to, const char *key, int64_t value)
{
    print_json_put_key(to, key);
    buf_put_int(to, value);
}

static void
put_type(struct buf *to, const char *type)
{
    put_string(to, "type", bytes_of_text(type));
}

static void
put_node(struct buf *to, const char *key, const struct node *n)
{
    print_json_put_key(to, key);
    if (n == NULL)
        buf_put_text(to, "null");
    else
        tree_print_json(n, to);
}

static void
put_names(struct buf *to, const char *key, const struct labels_named *labels)
{
    print_json_put_key(to, key);
    buf_put_u8(to, '[');
    for (uint32_t i = 0; i < labels->count; i++) {
        if (i > 0) buf_put_u8(to, ',');
        (void)json_print_string(to, labels->names[i]);
    }
    buf_put_u8(to, ']');
}

/* Puts "startOrEnd", and "timestamp"; in a subquery members come between them. */
static void
put_at(struct buf *to, const struct shift *shift, bool is_time)
{
    print_json_put_key(to, is_time ? "timestamp" : "startOrEnd");
    if (is_time && shift->at == AT_TIME)
        buf_put_int(to, shift->at_ms);
    else if (!is_time && (shift->at == AT_START || shift->at == AT_END))
        buf_put_text(to, shift->at == AT_START ? "\"start\"" : "\"end\"");
    else
        buf_put_text(to, "null");
}

static void
print_json_put_matchers(struct buf *to, const struct node *n)
{
    static const char *const types[] = {"=", "!=", "=~", "!~"};
    print_json_put_key(to, "matchers");
    buf_put_u8(to, '[');
    for (uint32_t i = 0; i < n->selector.matcher_count; i++) {
        const struct node_matcher *m = &n->selector.matchers[i];
        buf_put_text(to, i > 0 ? ",{" : "{");
        put_string(to, "name", m->name);
        put_type(to, types[m->type]);
        put_string(to, "value", m->value);
        buf_put_u8(to, '}');
    }
    buf_put_u8(to, ']');
}

static void
print_json_put_number(struct buf *to, const struct node *n)
{
    struct buf number;
    put_type(to, "numberLiteral");
    buf_init(&number, to->budget, to->limit);
    tree_print_number(n->number.value, &number);
    put_string(to, "val", buf_bytes(&number));
    buf_fini(&number);
}

/* Puts an operand of a duration; null if the duration is a number. */
static void
put_operand(struct buf *to, const char *key, const struct node *n)
{
    print_json_put_key(to, key);
    if (n == NULL) {
        buf_put_text(to, "null");
        return;
    }
    buf_put_u8(to, '{');
    if (n->kind == NODE_NUMBER) {
        put_bool(to, "duration", n->number.is_duration);
        print_json_put_number(to, n);
    } else {
        put_operand(to, "lhs", n->duration.left);
        put_string(to, "op", bytes_of_text(token_word(n->duration.op)));
        put_operand(to, "rhs", n->duration.right);
        put_type(to, "durationExpr");
        put_bool(to, "wrapped", n->duration.in_parens);
    }
    buf_put_u8(to, '}');
}

/* `range` is NULL for an instant vector. */
static void
put_selector(struct buf *to, const struct node *n, const struct duration *range)
{
    const struct shift *shift = &n->selector.shift;
    put_bool(to, "anchored", n->selector.extent == EXTENT_ANCHORED);
    print_json_put_matchers(to, n);
    put_string(to, "name", n->selector.name);
    put_int(to, "offset", shift->offset.ms);
    put_operand(to, "offsetExpr", shift->offset.expr);
    if (range != NULL) {
        put_int(to, "range", range->ms);
        put_operand(to, "rangeExpr", range->expr);
    }
    put_bool(to, "smoothed", n->selector.extent == EXTENT_SMOOTHED);
    put_at(to, shift, false);
    put_at(to, shift, true);
    put_type(to, range == NULL ? "vectorSelector" : "matrixSelector");
}

static void
put_subquery(struct buf *to, const struct node *n)
{
    const struct shift *shift = &n->subquery.shift;
    put_node(to, "expr", n->subquery.expr);
    put_int(to, "offset", shift->offset.ms);
    put_operand(to, "offsetExpr", shift->offset.expr);
    put_int(to, "range", n->subquery.range.ms);
    put_operand(to, "rangeExpr", n->subquery.range.expr);
    put_at(to, shift, false);
    put_int(to, "step", n->subquery.step.ms);
    put_operand(to, "stepExpr", n->subquery.step.expr);
    put_at(to, shift, true);
    put_type(to, "subquery");
}

static void
put_call(struct buf *to, const struct node *n)
{
    const struct function *f = n->call.function;
    print_json_put_key(to, "args");
    buf_put_u8(to, '[');
    for (uint32_t i = 0; i < n->call.argument_count; i++) {
        if (i > 0) buf_put_u8(to, ',');
        tree_print_json(n->call.arguments[i], to);
    }
    buf_put_u8(to, ']');
    print_json_put_key(to, "func");
    buf_put_u8(to, '{');
    print_json_put_key(to, "argTypes");
    buf_put_u8(to, '[');
    for (unsigned i = 0; i < f->argument_count; i++) {
        buf_printf(to, "%s\"%s\"", i > 0 ? "," : "", value_type_word(f->arguments[i]));
    }
    buf_put_u8(to, ']');
    put_string(to, "name", bytes_of_text(f->name));
    put_string(to, "returnType", bytes_of_text(value_type_word(f->result)));
    put_int(to, "variadic", f->variadic);
    buf_put_u8(to, '}');
    put_type(to, "call");
}

/* A number that JSON does not have is a string, as among values. */
static void
put_fill(struct buf *to, const char *key, bool fills, double value)
{
    char text[NUMBER_TEXT_BYTES];
    struct bytes digits = bytes_of(text, number_print(double_bits(value), text));
    if (fills && !isfinite(value)) {
        put_string(to, key, digits);
        return;
    }
    print_json_put_key(to, key);
    if (fills)
        buf_put_bytes(to, digits);
    else
        buf_put_text(to, "null");
}

static void
put_matching(struct buf *to, const struct matching *m)
{
    static const char *const cards[] = {"one-to-one", "many-to-one", "one-to-many", "many-to-many"};
    buf_put_u8(to, '{');
    put_string(to, "card", bytes_of_text(cards[m->cardinality]));
    print_json_put_key(to, "fillValues");
    buf_put_u8(to, '{');
    put_fill(to, "lhs", m->fills_left, m->fill_left);
    put_fill(to, "rhs", m->fills_right, m->fill_right);
    buf_put_u8(to, '}');
    put_names(to, "include", &m->include);
    put_names(to, "labels", &m->labels);
    put_bool(to, "on", m->on);
    buf_put_u8(to, '}');
}

void
tree_print_json(const struct node *n, struct buf *to)
{
    if (buf_error(to)) return; /* the buffer may be too small for the expression */
    buf_put_u8(to, '{');
    switch (n->kind) {
    case NODE_NUMBER:
        print_json_put_number(to, n);
        break;
    case NODE_DURATION: /* only durations have it */
        break;
    case NODE_STRING:
        put_type(to, "stringLiteral");
        put_string(to, "val", n->string);
        break;
    case NODE_SELECTOR:
        put_selector(to, n, NULL);
        break;
    case NODE_RANGE:
        put_selector(to, n->range.selector, &n->range.range);
        break;
    case NODE_SUBQUERY:
        put_subquery(to, n);
        break;
    case NODE_CALL:
        put_call(to, n);
        break;
    case NODE_AGGREGATION:
        put_node(to, "expr", n->aggregation.expr);
        put_names(to, "grouping", &n->aggregation.labels);
        put_string(to, "op", bytes_of_text(token_word(n->aggregation.op)));
        put_node(to, "param", n->aggregation.param);
        put_type(to, "aggregation");
        put_bool(to, "without", n->aggregation.without);
        break;
    case NODE_BINARY:
        put_bool(to, "bool", n->binary.returns_bool);
        put_node(to, "lhs", n->binary.left);
        print_json_put_key(to, "matching");
        if (n->binary.matches)
            put_matching(to, &n->binary.matching);
        else
            buf_put_text(to, "null");
        put_string(to, "op", bytes_of_text(token_word(n->binary.op)));
        put_node(to, "rhs", n->binary.right);
        put_type(to, "binaryExpr");
        break;
    case NODE_UNARY:
        put_node(to, "expr", n->unary.expr);
        put_string(to, "op", bytes_of_text(token_word(n->unary.op)));
        put_type(to, "unaryExpr");
        break;
    case NODE_PAREN:
        put_node(to, "expr", n->paren);
        put_type(to, "parenExpr");
        break;
    }
    buf_put_u8(to, '}');
}
