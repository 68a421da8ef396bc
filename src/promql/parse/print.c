/*
 * print.c - a tree as text that is parsed to the same tree, and as JSON. In lines: what is longer
 * than 100 characters on one is opened, its parts on lines of their own, two blanks deeper; as
 * Prometheus lays it out (promql/parser/prettier.go), so that both format files alike.
 */
#include "base/buf.h"
#include "base/text/json.h"
#include "base/text/quote.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "promql/parse/tree.h"
#include "wire/number.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* --- in JSON ---------------------------------------------------------------------------------- */

/*
 * A tree as the query API gives it (/api/v1/parse_query). Members in the order of their names, as
 * Prometheus' server has them. Not by struct json: expressions nest deeper than that counts.
 */

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
put_at_json(struct buf *to, const struct shift *shift, bool is_time)
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
    put_at_json(to, shift, false);
    put_at_json(to, shift, true);
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
    put_at_json(to, shift, false);
    put_int(to, "step", n->subquery.step.ms);
    put_operand(to, "stepExpr", n->subquery.step.expr);
    put_at_json(to, shift, true);
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
    for (unsigned i = 0; i < f->argument_count; i++)
        buf_printf(to, "%s\"%s\"", i > 0 ? "," : "", value_type_word(f->arguments[i]));
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

enum { LINE_MAX_BYTES = 100 };

/* --- pieces ----------------------------------------------------------------------------------- */

void
tree_print_number(double value, struct buf *to)
{
    char text[NUMBER_PLAIN_BYTES];
    buf_put(to, text, number_print_plain(double_bits(value), text));
}

static void
put_duration(struct buf *to, int64_t ms)
{
    char text[TIME_TEXT_BYTES];
    buf_put_text(to, time_print_duration(ms, text));
}

static void
put_signed_duration(struct buf *to, int64_t ms)
{
    if (ms < 0) buf_put_u8(to, '-');
    put_duration(to, ms < 0 ? -ms : ms);
}

static void
put_length(struct buf *to, const struct duration *d)
{
    if (d->expr != NULL)
        tree_print(d->expr, to);
    else
        put_duration(to, d->ms);
}

static void
put_label(struct buf *to, struct bytes name)
{
    bool is_plain = name.size > 0 && !ascii_is_digit(name.at[0]);
    for (size_t i = 0; i < name.size && is_plain; i++)
        is_plain = ascii_is_word(name.at[i]);
    if (is_plain)
        buf_put_bytes(to, name);
    else
        quote_text(to, name);
}

static void
print_put_labels(struct buf *to, const struct labels_named *labels)
{
    buf_put_u8(to, '(');
    for (uint32_t i = 0; i < labels->count; i++) {
        if (i > 0) buf_put_text(to, ", ");
        put_label(to, labels->names[i]);
    }
    buf_put_u8(to, ')');
}

static void
put_at(struct buf *to, const struct shift *shift)
{
    switch (shift->at) {
    case AT_NONE:
        return;
    case AT_TIME:
        buf_printf(to, " @ %.3f", (double)shift->at_ms / 1000);
        return;
    case AT_START:
        buf_put_text(to, " @ start()");
        return;
    case AT_END:
        buf_put_text(to, " @ end()");
        return;
    }
}

static bool
is_open_binary(const struct node *n)
{
    return n->kind == NODE_DURATION && !n->duration.in_parens && n->duration.left != NULL &&
           n->duration.op != TOKEN_MIN_OF && n->duration.op != TOKEN_MAX_OF;
}

/* True if the parser would take only a part of the expression as the offset. */
static bool
needs_parens(const struct node *n)
{
    bool has_sign = false;
    while (n->kind == NODE_DURATION && !n->duration.in_parens && n->duration.left == NULL &&
           n->duration.right != NULL) {
        n = n->duration.right;
        has_sign = true;
    }
    if (!is_open_binary(n)) return false;
    const struct node *first = n;
    while (is_open_binary(first))
        first = first->duration.left;
    return has_sign || first->kind == NODE_NUMBER || !first->duration.in_parens;
}

static void
put_offset(struct buf *to, const struct shift *shift)
{
    const struct node *n = shift->offset.expr;
    if (n == NULL && shift->offset.ms == 0) return;
    buf_put_text(to, " offset ");
    if (n == NULL) {
        put_signed_duration(to, shift->offset.ms);
        return;
    }
    bool parens = needs_parens(n);
    if (parens) buf_put_u8(to, '(');
    tree_print(n, to);
    if (parens) buf_put_u8(to, ')');
}

static void
put_extent(struct buf *to, enum extent extent)
{
    if (extent == EXTENT_ANCHORED) buf_put_text(to, " anchored");
    if (extent == EXTENT_SMOOTHED) buf_put_text(to, " smoothed");
}

/* --- selectors -------------------------------------------------------------------------------- */

void
tree_print_matcher(const struct node_matcher *m, struct buf *to)
{
    static const char *const operators[] = {"=", "!=", "=~", "!~"};
    put_label(to, m->name);
    buf_put_text(to, operators[m->type]);
    quote_text(to, m->value);
}

struct printed_matcher {
    size_t begin;
    size_t end;
    const struct buf *in;
};

static int
compare_printed(const void *a, const void *b)
{
    const struct printed_matcher *x = a, *y = b;
    return bytes_compare(bytes_of(x->in->at + x->begin, x->end - x->begin),
                         bytes_of(y->in->at + y->begin, y->end - y->begin));
}

/* Puts the name first, and matchers in the order of their texts. */
static void
print_put_series(struct buf *to, const struct node *n)
{
    struct buf texts;
    uint32_t count = 0;
    buf_init(&texts, to->budget, to->limit);
    struct printed_matcher *list =
        mem_alloc(to->budget, (n->selector.matcher_count + 1) * sizeof *list);
    if (list == NULL) {
        to->failed = ERR_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < n->selector.matcher_count; i++) {
        const struct node_matcher *m = &n->selector.matchers[i];
        bool is_name = m->type == MATCH_EQUAL && m->value.size > 0 &&
                       bytes_equal_text(m->name, "__name__") &&
                       bytes_equal(m->value, n->selector.name);
        if (is_name) continue;
        list[count].begin = texts.size;
        tree_print_matcher(m, &texts);
        list[count].in = &texts;
        list[count++].end = texts.size;
    }
    if (buf_error(&texts) == OK) qsort(list, count, sizeof *list, compare_printed);
    buf_put_bytes(to, n->selector.name);
    for (uint32_t i = 0; i < count && buf_error(&texts) == OK; i++) {
        buf_put_u8(to, i == 0 ? '{' : ',');
        buf_put(to, texts.at + list[i].begin, list[i].end - list[i].begin);
    }
    if (count > 0) buf_put_u8(to, '}');
    if (count == 0 && n->selector.name.size == 0) buf_put_text(to, "{}"); /* of info(x, {}) */
    if (buf_error(&texts)) to->failed = buf_error(&texts);
    mem_free(to->budget, list, (n->selector.matcher_count + 1) * sizeof *list);
    buf_fini(&texts);
}

static void
put_subquery_times(struct buf *to, const struct node *n)
{
    buf_put_u8(to, '[');
    put_length(to, &n->subquery.range);
    buf_put_u8(to, ':');
    if (n->subquery.step.expr != NULL || n->subquery.step.ms != 0)
        put_length(to, &n->subquery.step);
    buf_put_u8(to, ']');
    put_at(to, &n->subquery.shift);
    put_offset(to, &n->subquery.shift);
}

/* --- operators -------------------------------------------------------------------------------- */

static void
put_aggregation_head(struct buf *to, const struct node *n)
{
    const struct labels_named *labels = &n->aggregation.labels;
    buf_put_text(to, token_word(n->aggregation.op));
    if (!n->aggregation.without && labels->count == 0) return;
    buf_put_text(to, n->aggregation.without ? " without " : " by ");
    print_put_labels(to, labels);
    buf_put_u8(to, ' ');
}

/* Puts the operator with its modifiers. */
static void
put_operator(struct buf *to, const struct node *n)
{
    const struct matching *m = &n->binary.matching;
    bool groups = m->cardinality == MANY_TO_ONE || m->cardinality == ONE_TO_MANY;
    buf_put_text(to, token_word(n->binary.op));
    if (n->binary.returns_bool) buf_put_text(to, " bool");
    if (!n->binary.matches) return;
    if (m->labels.count > 0 || m->on || groups) {
        buf_put_text(to, m->on ? " on " : " ignoring ");
        print_put_labels(to, &m->labels);
    }
    if (groups) {
        buf_put_text(to, m->cardinality == MANY_TO_ONE ? " group_left " : " group_right ");
        print_put_labels(to, &m->include);
    }
    char text[NUMBER_TEXT_BYTES];
    bool both = m->fills_left && m->fills_right && m->fill_left == m->fill_right;
    for (unsigned side = 0; side < 2; side++) {
        if (!(side == 0 ? m->fills_left : m->fills_right) || (side == 1 && both)) continue;
        double value = side == 0 ? m->fill_left : m->fill_right;
        buf_printf(to, " fill%s (", both ? "" : side == 0 ? "_left" : "_right");
        buf_put(to, text, number_print(double_bits(value), text));
        buf_put_u8(to, ')');
    }
}

static void
put_duration_expression(struct buf *to, const struct node *n)
{
    enum token_type op = n->duration.op;
    const char *word = token_word(op);
    if (n->duration.in_parens) buf_put_u8(to, '(');
    if (op == TOKEN_STEP || op == TOKEN_RANGE) {
        buf_printf(to, "%s()", word);
    } else if (op == TOKEN_MIN_OF || op == TOKEN_MAX_OF) {
        buf_printf(to, "%s(", word);
        tree_print(n->duration.left, to);
        buf_put_text(to, ", ");
        tree_print(n->duration.right, to);
        buf_put_u8(to, ')');
    } else if (n->duration.left == NULL) {
        if (op == TOKEN_SUB) buf_put_u8(to, '-');
        tree_print(n->duration.right, to);
    } else {
        tree_print(n->duration.left, to);
        buf_printf(to, " %s ", word);
        tree_print(n->duration.right, to);
    }
    if (n->duration.in_parens) buf_put_u8(to, ')');
}

void
tree_print(const struct node *n, struct buf *to)
{
    if (buf_error(to)) return;
    switch (n->kind) {
    case NODE_NUMBER:
        if (n->number.is_duration)
            put_signed_duration(to, (int64_t)llround(n->number.value * 1000));
        else
            tree_print_number(n->number.value, to);
        return;
    case NODE_STRING:
        quote_text(to, n->string);
        return;
    case NODE_SELECTOR:
        print_put_series(to, n);
        put_at(to, &n->selector.shift);
        put_extent(to, n->selector.extent);
        put_offset(to, &n->selector.shift);
        return;
    case NODE_RANGE:
        print_put_series(to, n->range.selector);
        buf_put_u8(to, '[');
        put_length(to, &n->range.range);
        buf_put_u8(to, ']');
        put_extent(to, n->range.selector->selector.extent);
        put_at(to, &n->range.selector->selector.shift);
        put_offset(to, &n->range.selector->selector.shift);
        return;
    case NODE_SUBQUERY:
        tree_print(n->subquery.expr, to);
        put_subquery_times(to, n);
        return;
    case NODE_CALL:
        buf_printf(to, "%s(", n->call.function->name);
        for (uint32_t i = 0; i < n->call.argument_count; i++) {
            if (i > 0) buf_put_text(to, ", ");
            tree_print(n->call.arguments[i], to);
        }
        buf_put_u8(to, ')');
        return;
    case NODE_AGGREGATION:
        put_aggregation_head(to, n);
        buf_put_u8(to, '(');
        if (n->aggregation.param != NULL) {
            tree_print(n->aggregation.param, to);
            buf_put_text(to, ", ");
        }
        tree_print(n->aggregation.expr, to);
        buf_put_u8(to, ')');
        return;
    case NODE_BINARY:
        tree_print(n->binary.left, to);
        buf_put_u8(to, ' ');
        put_operator(to, n);
        buf_put_u8(to, ' ');
        tree_print(n->binary.right, to);
        return;
    case NODE_UNARY:
        buf_put_text(to, token_word(n->unary.op));
        tree_print(n->unary.expr, to);
        return;
    case NODE_PAREN:
        buf_put_u8(to, '(');
        tree_print(n->paren, to);
        buf_put_u8(to, ')');
        return;
    case NODE_DURATION:
        put_duration_expression(to, n);
        return;
    }
}

/* --- in lines --------------------------------------------------------------------------------- */

static void
put_indent(struct buf *to, unsigned level)
{
    if (level == 0 || !buf_reserve(to, 2 * level)) return;
    memset(to->at + to->size, ' ', 2 * level);
    to->size += 2 * level;
}

/* Puts a node on the line if it fits. Printing ends where it does not fit. */
static bool
put_short(struct buf *to, const struct node *n)
{
    struct buf line;
    unsigned operators = 0;
    /* Each operator takes four characters: a long chain is not descended at each of its levels. */
    for (const struct node *left = n; left->kind == NODE_BINARY; left = left->binary.left)
        if (++operators > LINE_MAX_BYTES / 4) return false;
    buf_init(&line, to->budget, LINE_MAX_BYTES);
    tree_print(n, &line);
    enum err e = buf_error(&line);
    if (e == OK)
        buf_put_bytes(to, buf_bytes(&line));
    else if (e == ERR_NOMEM)
        to->failed = e;
    buf_fini(&line);
    return e != ERR_LIMIT;
}

static void
close_lines(struct buf *to, unsigned level)
{
    buf_put_u8(to, '\n');
    put_indent(to, level);
    buf_put_u8(to, ')');
}

static void
put_lines(struct buf *to, const struct node *n, unsigned level, bool indents)
{
    if (buf_error(to)) return;
    if (n->kind == NODE_SUBQUERY) { /* its expression indents itself if it is opened */
        if (put_short(to, n)) return;
        put_lines(to, n->subquery.expr, level, indents);
        put_subquery_times(to, n);
        return;
    }
    size_t before = to->size;
    if (indents) put_indent(to, level);
    switch (n->kind) {
    case NODE_AGGREGATION:
        if (put_short(to, n)) return;
        put_aggregation_head(to, n);
        buf_put_text(to, "(\n");
        if (n->aggregation.param != NULL) {
            put_lines(to, n->aggregation.param, level + 1, true);
            buf_put_text(to, ",\n");
        }
        put_lines(to, n->aggregation.expr, level + 1, true);
        close_lines(to, level);
        return;
    case NODE_CALL:
        if (put_short(to, n)) return;
        buf_printf(to, "%s(\n", n->call.function->name);
        for (uint32_t i = 0; i < n->call.argument_count; i++) {
            if (i > 0) buf_put_text(to, ",\n");
            put_lines(to, n->call.arguments[i], level + 1, true);
        }
        close_lines(to, level);
        return;
    case NODE_PAREN:
        if (put_short(to, n)) return;
        buf_put_text(to, "(\n");
        put_lines(to, n->paren, level + 1, true);
        close_lines(to, level);
        return;
    case NODE_UNARY:
        buf_put_text(to, token_word(n->unary.op));
        put_lines(to, n->unary.expr, level, false);
        return;
    case NODE_BINARY:
        if (put_short(to, n)) return;
        to->size = before; /* its operands indent themselves */
        put_lines(to, n->binary.left, level + 1, indents);
        buf_put_u8(to, '\n');
        put_indent(to, level);
        put_operator(to, n);
        buf_put_u8(to, '\n');
        put_lines(to, n->binary.right, level + 1, true);
        return;
    case NODE_NUMBER:
    case NODE_STRING:
    case NODE_SELECTOR:
    case NODE_RANGE:
    case NODE_SUBQUERY:
    case NODE_DURATION:
        tree_print(n, to);
        return;
    }
}

void
tree_print_pretty(const struct node *n, struct buf *to)
{
    put_lines(to, n, 0, true);
}
