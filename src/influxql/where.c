/* where.c - see influxql_private.h: expressions of rows, conditions, and the
 * times in them. */
#include <stdio.h>
#include <time.h>

#include "base/text/quote.h"
#include "base/text/time_text.h"
#include "influxql/influxql_private.h"
#include "sys/env.h"

static const struct expr *
bare(const struct expr *x)
{
    while (x->kind == EXPR_PAREN)
        x = x->items[0];
    return x;
}

/* --- times ------------------------------------------------------------------------------------ */

/* Reads "2006-01-02" and "2006-01-02 15:04:05.999", which are local times, and RFC 3339. */
static bool
read_time_text(const struct zone *zone, struct bytes text, int64_t *ret_ns)
{
    char copy[64], rest;
    struct tm tm = {.tm_mday = 1};
    double seconds = 0;
    int64_t ms;
    struct why why;
    if (text.size == 0 || text.size >= sizeof copy) return false;
    memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    int count = sscanf(copy, "%4d-%2d-%2d %2d:%2d:%lf%c", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                       &tm.tm_hour, &tm.tm_min, &seconds, &rest);
    if ((count == 3 && strchr(copy, ' ') == NULL && strchr(copy, 'T') == NULL) ||
        (count == 6 && strchr(copy, 'T') == NULL)) {
        tm.tm_year -= 1900;
        tm.tm_mon--;
        int64_t s = timegm(&tm);
        if (zone != NULL) s = zone_to_utc_s(zone, s);
        if (!(seconds >= 0 && seconds < 61)) return false;
        return !__builtin_mul_overflow(s, NS_PER_S, &s) &&
               !__builtin_add_overflow(s, llround(seconds * 1e9), ret_ns);
    }
    if (time_parse(text, 0, &ms, &why) != OK) return false;
    return !__builtin_mul_overflow(ms, NS_PER_MS, ret_ns);
}

bool
where_time(const struct influxql *q, const struct expr *x, int64_t *ret_ns)
{
    int64_t left, right;
    x = bare(x);
    switch (x->kind) {
    case EXPR_INTEGER:
    case EXPR_DURATION:
        *ret_ns = x->integer;
        return true;
    case EXPR_NUMBER:
        if (!(fabs(x->number) < 0x1p62)) return false;
        *ret_ns = (int64_t)x->number;
        return true;
    case EXPR_STRING:
        return read_time_text(q->zone, x->text, ret_ns);
    case EXPR_NOW:
        *ret_ns = q->now_ms * NS_PER_MS;
        return true;
    case EXPR_BINARY:
        if (!where_time(q, x->items[0], &left) || !where_time(q, x->items[1], &right)) return false;
        return x->op == OP_ADD        ? !__builtin_add_overflow(left, right, ret_ns)
               : x->op == OP_SUBTRACT ? !__builtin_sub_overflow(left, right, ret_ns)
                                      : false;
    default:
        return false;
    }
}

static bool
is_time(const struct expr *x)
{
    x = bare(x);
    return x->kind == EXPR_NAME && bytes_equal_text(x->text, "time");
}

static bool
has_time(const struct expr *x)
{
    if (is_time(x)) return true;
    for (uint32_t i = 0; i < x->item_count; i++)
        if (has_time(x->items[i])) return true;
    return false;
}

/* Narrows the bounds by a comparison with a time. */
static enum err
narrow(struct influxql *q, enum op op, const struct expr *x, struct bounds *b)
{
    int64_t ns;
    if (!where_time(q, x, &ns)) {
        struct bytes text = bare(x)->text;
        return why_set(q->why, ERR_INPUT, "invalid operation: time and %s are not compatible",
                       shown_of(text).text);
    }
    int64_t from = ns + (op == OP_GREATER && ns < INT64_MAX);
    int64_t to = ns - (op == OP_LESS && ns > INT64_MIN);
    bool is_from = op == OP_GREATER || op == OP_GREATER_EQUAL || op == OP_EQUAL;
    bool is_to = op == OP_LESS || op == OP_LESS_EQUAL || op == OP_EQUAL;
    if (!is_from && !is_to) return why_set(q->why, ERR_INPUT, "invalid time comparison operator");
    if (is_from && from > b->min_ns) b->min_ns = from;
    if (is_to && to < b->max_ns) b->max_ns = to;
    return OK;
}

enum err
where_split(struct influxql *q, const struct expr *where, struct bounds *bounds,
            const struct expr **ret_rest)
{
    static const enum op swapped[] = {[OP_LESS] = OP_GREATER,
                                      [OP_LESS_EQUAL] = OP_GREATER_EQUAL,
                                      [OP_GREATER] = OP_LESS,
                                      [OP_GREATER_EQUAL] = OP_LESS_EQUAL,
                                      [OP_EQUAL] = OP_EQUAL};
    *ret_rest = NULL;
    if (where == NULL) return OK;
    const struct expr *x = bare(where), *left, *right;
    *ret_rest = x;
    if (!has_time(x)) return OK;
    if (x->kind == EXPR_BINARY && x->op == OP_AND) {
        enum err e = where_split(q, x->items[0], bounds, &left);
        if (e == OK) e = where_split(q, x->items[1], bounds, &right);
        if (e) return e;
        *ret_rest = left == NULL ? right : left;
        if (left == NULL || right == NULL) return OK;
        struct expr *both = arena_new(q->arena, sizeof *both);
        struct expr **items = arena_alloc(q->arena, 2 * sizeof(struct expr *));
        if (both == NULL || items == NULL) return query_no_memory(q);
        *both = *x;
        both->items = items;
        items[0] = (struct expr *)(uintptr_t)left;
        items[1] = (struct expr *)(uintptr_t)right;
        *ret_rest = both;
        return OK;
    }
    if (x->kind != EXPR_BINARY || x->op < OP_EQUAL || x->op > OP_GREATER_EQUAL)
        return why_set(q->why, ERR_INPUT, "a condition on time can only be combined with AND");
    *ret_rest = NULL;
    if (is_time(x->items[0])) return narrow(q, x->op, x->items[1], bounds);
    if (is_time(x->items[1])) return narrow(q, swapped[x->op], x->items[0], bounds);
    return why_set(q->why, ERR_INPUT, "invalid condition on time");
}

/* --- rows ------------------------------------------------------------------------------------- */

struct bytes
tag_of(const struct frame_series *series, struct bytes name)
{
    for (uint32_t i = 0; i < series->tag_count; i++)
        if (bytes_equal(series->tags[i].name, name)) return series->tags[i].value;
    return bytes_of_text("");
}

void
expr_resolve(struct expr *x, const struct frame *frame)
{
    if (x->kind == EXPR_NAME) {
        x->slot = SLOT_TAG;
        for (uint32_t i = 0; i < frame->field_count && x->cast != CAST_TAG; i++)
            if (bytes_equal(frame->fields[i].name, x->text)) x->slot = i;
    }
    for (uint32_t i = 0; i < x->item_count; i++)
        expr_resolve(x->items[i], frame);
}

static double
compute(enum op op, double a, double b)
{
    if (isnan(a) || isnan(b)) return NAN;
    switch (op) {
    case OP_ADD:
        return a + b;
    case OP_SUBTRACT:
        return a - b;
    case OP_MULTIPLY:
        return a * b;
    case OP_DIVIDE:
        return b == 0 ? 0 : a / b;
    case OP_MODULO:
        return b == 0 ? 0 : fmod(a, b);
    case OP_BIT_AND:
    case OP_BIT_OR:
    case OP_BIT_XOR:
        if (!(fabs(a) < 0x1p63 && fabs(b) < 0x1p63)) return NAN;
        if (op == OP_BIT_OR) return (double)((int64_t)a | (int64_t)b);
        if (op == OP_BIT_XOR) return (double)((int64_t)a ^ (int64_t)b);
        return (double)((int64_t)a & (int64_t)b);
    default:
        return NAN;
    }
}

/* The value of an operand: a text has none. */
static double
operand_value(const struct expr *x, const struct row_of *row)
{
    x = bare(x);
    bool is_field = (x->kind == EXPR_NAME || x->kind == EXPR_CALL) && x->slot != SLOT_TAG;
    bool is_text = is_field && row->frame->fields[x->slot].type == CELL_TEXT;
    return is_text ? NAN : expr_value(x, row);
}

double
expr_value(const struct expr *x, const struct row_of *row)
{
    x = bare(x);
    switch (x->kind) {
    case EXPR_INTEGER:
    case EXPR_DURATION:
    case EXPR_BOOLEAN:
        return (double)x->integer;
    case EXPR_NUMBER:
        return x->number;
    case EXPR_NAME:
    case EXPR_CALL:
        return x->slot == SLOT_TAG || row->cells == NULL ? NAN : row->cells[x->slot];
    case EXPR_BINARY:
        return compute(x->op, operand_value(x->items[0], row), operand_value(x->items[1], row));
    default:
        return NAN;
    }
}

enum cell_type
expr_type(const struct expr *x, const struct frame *frame)
{
    x = bare(x);
    if (x->kind == EXPR_INTEGER || x->kind == EXPR_DURATION) return CELL_INTEGER;
    if (x->kind == EXPR_BOOLEAN) return CELL_BOOLEAN;
    if (x->kind == EXPR_NAME || x->kind == EXPR_CALL)
        return x->slot == SLOT_TAG ? CELL_TEXT : frame->fields[x->slot].type;
    if (x->kind != EXPR_BINARY || x->op == OP_DIVIDE) return CELL_FLOAT;
    bool are_integers = expr_type(x->items[0], frame) == CELL_INTEGER &&
                        expr_type(x->items[1], frame) == CELL_INTEGER;
    return are_integers ? CELL_INTEGER : CELL_FLOAT;
}

/* Finds the text of a tag or of a field that is one. False: `x` is neither. */
static bool
text_of(const struct expr *x, const struct row_of *row, struct bytes *ret)
{
    if (x->kind != EXPR_NAME) return false;
    if (x->slot == SLOT_TAG) {
        *ret = tag_of(row->series, x->text);
        return true;
    }
    if (row->frame->fields[x->slot].type != CELL_TEXT || row->cells == NULL) return false;
    *ret = text_of_cell(&row->q->texts, row->cells[x->slot]);
    return true;
}

static bool
compares(enum op op, double a, double b)
{
    return op == OP_EQUAL           ? a == b
           : op == OP_NOT_EQUAL     ? a < b || a > b
           : op == OP_LESS          ? a < b
           : op == OP_LESS_EQUAL    ? a <= b
           : op == OP_GREATER       ? a > b
           : op == OP_GREATER_EQUAL ? a >= b
                                    : false;
}

static bool
needs_cells(const struct expr *x)
{
    if (x->kind == EXPR_NAME) return x->slot != SLOT_TAG;
    for (uint32_t i = 0; i < x->item_count; i++)
        if (needs_cells(x->items[i])) return true;
    return false;
}

bool
where_holds(const struct expr *where, const struct row_of *row)
{
    struct bytes text, other;
    if (where == NULL) return true;
    const struct expr *x = bare(where);
    if (x->kind == EXPR_BOOLEAN) return x->integer != 0;
    if (x->kind != EXPR_BINARY) return false;
    if (x->op == OP_AND) return where_holds(x->items[0], row) && where_holds(x->items[1], row);
    if (x->op == OP_OR) return where_holds(x->items[0], row) || where_holds(x->items[1], row);
    if (row->cells == NULL && needs_cells(x)) return true;
    const struct expr *left = bare(x->items[0]), *right = bare(x->items[1]);
    if (left->kind == EXPR_STRING) {
        const struct expr *swap = left;
        left = right;
        right = swap;
    }
    if (!text_of(left, row, &text))
        return compares(x->op, operand_value(left, row), operand_value(right, row));
    if (x->op == OP_MATCHES || x->op == OP_MATCHES_NOT)
        return right->kind == EXPR_REGEX &&
               matcher_matches(right->regex, text) == (x->op == OP_MATCHES);
    other = right->text;
    if (right->kind != EXPR_STRING && !text_of(right, row, &other)) return false;
    if (x->op == OP_EQUAL) return bytes_equal(text, other);
    return x->op == OP_NOT_EQUAL && !bytes_equal(text, other);
}
