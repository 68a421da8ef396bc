/*
 * notation.c - see notation.h. The grammar is
 *
 *     series  = metric { SPACE [ item ] }
 *     item    = "_" [ times ]
 *             | value [ [ sign number ] times ]
 *             | histogram [ [ sign histogram ] times ]
 *     times   = "x" count
 *
 * A repetition counts the values after the first one, so that `1x2` is three values.
 *
 * Invariants:
 *
 *  1. While values of an item are left, the walk is after that item: `next` is greater than 0.
 *  2. A sum of histograms changes only in an item that adds, and is that of the item.
 */
#include "promql/testseries/notation.h"

#include <assert.h>
#include <stdlib.h>

#include "base/text/quote.h"
#include "promql/testseries/notation_private.h"

/* --- the metric ------------------------------------------------------------------------------- */

struct metric_reading {
    struct notation_reading *r;
    struct lexer lexer;
    struct buf lexer_error;
    struct promql_token token; /* the next one */
    struct notation_metric metric;
};

static struct promql_token
metric_take_token(struct metric_reading *m)
{
    m->token = lexer_next(&m->lexer);
    if (m->token.type == TOKEN_ERROR && !m->r->failed) {
        reading_fail(m->r, m->token.at, "%s", "");
        buf_put_bytes(m->r->error, buf_bytes(&m->lexer_error));
    }
    return m->token;
}

static bool
unexpected(struct metric_reading *m, const char *context, const char *expected)
{
    struct notation_reading *r = m->r;
    if (r->failed) return false;
    reading_fail(r, m->token.at, "unexpected ");
    token_describe(&m->token, r->error);
    if (context != NULL) buf_printf(r->error, " in %s", context);
    if (expected != NULL) buf_printf(r->error, ", expected %s", expected);
    return false;
}

/* The text of the literal that is next. */
static bool
unquote(struct metric_reading *m, struct bytes *ret)
{
    struct notation_reading *r = m->r;
    struct buf plain;
    buf_init(&plain, r->arena->budget, NOTATION_BYTES_MAX);
    bool reads = quote_read(m->token.text, &plain);
    if (buf_error(&plain)) {
        reading_no_memory(r);
    } else if (!reads) {
        reading_fail(r, m->token.at, "error unquoting string ");
        quote_text(r->error, m->token.text);
        buf_put_text(r->error, ": invalid syntax");
    } else {
        *ret = arena_copy(r->arena, buf_bytes(&plain));
        if (ret->at == NULL && plain.size > 0) reading_no_memory(r);
    }
    buf_fini(&plain);
    return !r->failed;
}

static bool
add_label(struct metric_reading *m, struct label label)
{
    struct notation_metric *metric = &m->metric;
    struct label *labels = arena_push(m->r->arena, metric->labels, metric->count, sizeof *labels);
    if (labels == NULL) return reading_no_memory(m->r);
    metric->labels = labels;
    labels[metric->count++] = label;
    return true;
}

/* Reads name="value", "name"="value", or the metric's own "name" alone. */
static bool
read_label(struct metric_reading *m)
{
    struct label label = {m->token.text, {NULL, 0}};
    bool quoted = m->token.type == TOKEN_STRING;
    if (!quoted && m->token.type != TOKEN_IDENTIFIER) {
        return unexpected(m, "label set", "identifier or \"}\"");
    }
    if (quoted && !unquote(m, &label.name)) return false;
    if (metric_take_token(m).type != TOKEN_EQUAL) {
        if (!quoted) return unexpected(m, "label set", "\"=\"");
        return add_label(m, (struct label){bytes_of_text("__name__"), label.name});
    }
    if (metric_take_token(m).type != TOKEN_STRING) return unexpected(m, "label set", "string");
    if (!unquote(m, &label.value) || !add_label(m, label)) return false;
    metric_take_token(m);
    return true;
}

/* Reads the labels from after "{" to "}". */
static bool
notation_read_labels(struct metric_reading *m)
{
    metric_take_token(m);
    while (m->token.type != TOKEN_RIGHT_BRACE) {
        if (!read_label(m)) return false;
        if (m->token.type == TOKEN_COMMA)
            metric_take_token(m);
        else if (m->token.type != TOKEN_RIGHT_BRACE)
            return unexpected(m, "label set", "\",\" or \"}\"");
    }
    return !m->r->failed;
}

/* Compares by name, then by value. */
static int
compare_labels(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    int order = bytes_compare(x->name, y->name);
    return order != 0 ? order : bytes_compare(x->value, y->value);
}

/* The name before the braces replaces others, and empty labels are then dropped. */
static bool
set_name(struct metric_reading *m, struct bytes name)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->metric.count; i++) {
        struct label label = m->metric.labels[i];
        if (label.value.size == 0 || bytes_equal_text(label.name, "__name__")) continue;
        m->metric.labels[kept++] = label;
    }
    m->metric.count = kept;
    return add_label(m, (struct label){bytes_of_text("__name__"), name});
}

/* Braces follow a name at once if values follow. */
static bool
read_metric(struct metric_reading *m, bool has_values)
{
    struct notation_reading *r = m->r;
    struct bytes name = {NULL, 0};
    metric_take_token(m);
    if (token_may_name_metric(m->token.type)) {
        name = m->token.text;
        r->at = m->lexer.at;
        if (has_values && (r->at == r->text.size || r->text.at[r->at] != '{')) {
            return set_name(m, name);
        }
        metric_take_token(m);
    }
    if (m->token.type == TOKEN_LEFT_BRACE) {
        if (!notation_read_labels(m)) return false;
        r->at = m->lexer.at;
        if (!has_values) metric_take_token(m);
    } else if (m->token.type != TOKEN_END) {
        return unexpected(m, has_values ? "series values" : NULL, NULL);
    }
    return name.size == 0 ? !r->failed : set_name(m, name);
}

static bool
begin_metric(struct metric_reading *m, struct notation_reading *r, bool has_values)
{
    *m = (struct metric_reading){.r = r};
    buf_init(&m->lexer_error, r->arena->budget, NOTATION_BYTES_MAX);
    lexer_init(&m->lexer, r->text, &m->lexer_error);
    bool read = read_metric(m, has_values);
    buf_fini(&m->lexer_error);
    if (read && m->metric.count > 1) {
        qsort(m->metric.labels, m->metric.count, sizeof *m->metric.labels, compare_labels);
    }
    return read;
}

enum err
notation_parse_metric(struct bytes text, struct arena *arena, struct notation_metric *ret,
                      struct buf *error)
{
    struct notation_reading r = {.text = text, .line = 1, .arena = arena, .error = error};
    struct metric_reading m;
    if (text.size > NOTATION_BYTES_MAX) {
        buf_printf(error, "at most %d MiB are allowed", NOTATION_BYTES_MAX >> 20);
        return ERR_LIMIT;
    }
    if (begin_metric(&m, &r, false) && m.token.type != TOKEN_END) {
        unexpected(&m, NULL, NULL);
    }
    if (buf_error(error)) return buf_error(error);
    if (r.failed == OK) *ret = m.metric;
    return r.failed;
}

/* --- values ----------------------------------------------------------------------------------- */

static bool
add_item(struct notation_reading *r, struct notation *to, const struct notation_item *item)
{
    struct notation_item *items = arena_push(r->arena, to->items, to->item_count, sizeof *items);
    if (items == NULL) return reading_no_memory(r);
    to->items = items;
    items[to->item_count++] = *item;
    return true;
}

/* Adds the first value to those that follow. */
static uint64_t
count_with_first(uint64_t times)
{
    return times == UINT64_MAX ? times : times + 1;
}

/* Reads xN, which is optional unless `must`. */
static bool
notation_read_times(struct notation_reading *r, bool must, uint64_t *ret)
{
    if (!piece_accept(r, MARK_TIMES)) {
        return must ? reading_unexpected(r) : !r->failed;
    }
    return piece_count(r, ret);
}

static bool
notation_read_value(struct notation_reading *r, struct notation_item *item)
{
    struct notation_piece p = *piece_peek(r);
    uint64_t times = 0;
    double value = 0;
    item->kind = NOTATION_FLOAT;
    if (p.mark == MARK_WORD) {
        r->context = p.token.type == TOKEN_IDENTIFIER ? "series values" : NULL;
        r->expected = p.token.type == TOKEN_IDENTIFIER ? "number or \"stale\"" : NULL;
        if (!bytes_equal_text(p.token.text, "stale")) return reading_unexpected(r);
        r->expected = NULL;
        piece_take(r);
        item->bits = STALE_NAN_BITS;
    } else {
        bool negative = p.mark == MARK_SUB;
        if (p.mark != MARK_NUMBER) piece_take(r);
        if (!piece_number(r, &value)) return false;
        item->bits = double_bits(negative ? -value : value);
    }
    enum mark sign = piece_peek(r)->mark;
    item->adds = sign == MARK_ADD || sign == MARK_SUB;
    if (item->adds) {
        piece_take(r);
        if (!piece_number(r, &item->step)) return false;
        if (sign == MARK_SUB) item->step = -item->step;
    }
    if (!notation_read_times(r, item->adds, &times)) return false;
    item->count = count_with_first(times);
    return true;
}

static bool
read_histogram(struct notation_reading *r, struct notation_item *item)
{
    uint64_t times = 0;
    bool more_hint;
    item->kind = NOTATION_HISTOGRAM;
    if (!histogram_read(r, &item->histogram, &item->has_hint)) return false;
    enum mark sign = piece_peek(r)->mark;
    item->adds = sign == MARK_ADD || sign == MARK_SUB;
    if (item->adds) {
        piece_take(r);
        item->factor = sign == MARK_SUB ? -1 : 1;
        if (piece_peek(r)->mark != MARK_OPEN) return reading_unexpected(r);
        if (!histogram_read(r, &item->more, &more_hint)) return false;
    }
    if (!notation_read_times(r, item->adds, &times)) return false;
    item->count = count_with_first(times);
    return !item->adds || times == 0 || histogram_adds(r, item->histogram, item->more);
}

static bool
read_item(struct notation_reading *r, struct notation *to)
{
    struct notation_item item = {.kind = NOTATION_NONE};
    bool read;
    r->context = "series values";
    switch (piece_peek(r)->mark) {
    case MARK_NONE:
        piece_take(r);
        item.count = 1;
        read = notation_read_times(r, false, &item.count);
        break;
    case MARK_NUMBER:
    case MARK_ADD:
    case MARK_SUB:
    case MARK_WORD:
        read = notation_read_value(r, &item);
        break;
    case MARK_OPEN:
        read = read_histogram(r, &item);
        break;
    default:
        r->context = NULL;
        return reading_unexpected(r);
    }
    return read && add_item(r, to, &item);
}

static bool
read_values(struct notation_reading *r, struct notation *to)
{
    r->context = "series values";
    if (piece_peek(r)->mark == MARK_END) return !r->failed;
    if (!piece_accept(r, MARK_SPACE)) return reading_unexpected(r);
    while (!r->failed && piece_peek(r)->mark != MARK_END) {
        if (!read_item(r, to)) return false;
        r->context = NULL;
        if (piece_peek(r)->mark == MARK_END) break;
        if (!piece_accept(r, MARK_SPACE)) return reading_unexpected(r);
    }
    return !r->failed;
}

enum err
notation_parse(struct bytes text, uint32_t line, struct arena *arena, struct notation *ret,
               struct buf *error)
{
    struct notation_reading r = {.text = text, .line = line, .arena = arena, .error = error};
    struct notation made = {.item_count = 0};
    struct metric_reading m;
    if (text.size > NOTATION_BYTES_MAX) {
        buf_printf(error, "at most %d MiB are allowed", NOTATION_BYTES_MAX >> 20);
        return ERR_LIMIT;
    }
    if (begin_metric(&m, &r, true) && read_values(&r, &made)) {
        made.metric = m.metric;
        *ret = made;
    }
    return buf_error(error) ? buf_error(error) : r.failed;
}

/* --- walking ---------------------------------------------------------------------------------- */

struct notation_walk
notation_begin(const struct notation *of, struct arena *arena)
{
    return (struct notation_walk){.of = of, .arena = arena};
}

static enum err
begin_item(struct notation_walk *w, const struct notation_item *item)
{
    w->left = item->count;
    w->value = bits_double(item->bits);
    w->current = (struct notation_value){item->kind, item->bits, item->histogram, item->has_hint};
    if (item->kind != NOTATION_HISTOGRAM || !item->adds) return OK;
    w->current.histogram = &w->sum;
    return fhist_begin(w->arena, item->histogram, false, &w->sum);
}

static enum err
notation_step(struct notation_walk *w, const struct notation_item *item)
{
    struct fhist_outcome outcome;
    if (!item->adds) return OK;
    if (item->kind == NOTATION_HISTOGRAM) {
        assert(w->current.histogram == &w->sum); /* invariant 2 */
        return fhist_add(w->arena, &w->sum, item->more, item->factor, &outcome);
    }
    w->value += item->step;
    w->current.bits = double_bits(w->value);
    return OK;
}

enum err
notation_next(struct notation_walk *w, struct notation_value *ret, bool *ret_more)
{
    enum err e = OK;
    assert(w->left == 0 || w->next > 0); /* invariant 1 */
    assert(w->next <= w->of->item_count);
    if (w->left > 0) e = notation_step(w, &w->of->items[w->next - 1]);
    while (e == OK && w->left == 0 && w->next < w->of->item_count) {
        e = begin_item(w, &w->of->items[w->next++]);
    }
    if (e) return e;
    *ret_more = w->left > 0;
    if (w->left > 0) w->left--;
    *ret = w->current;
    return OK;
}
