/* frame.c - see influxql_private.h: selects each field, and joins the samples
 * of one series and time into a row. */
#include <stdlib.h>

#include "base/hash/hash.h"
#include "base/table.h"
#include "influxql/influxql_private.h"
#include "model/usage.h"
#include "sys/env.h"
#include "wire/shape.h"

/* The samples of a field in a series. */
struct samples {
    int64_t *times;
    double *values;
    uint32_t count;
    uint32_t read; /* those that are in rows */
};

struct frame_reader {
    struct influxql *q;
    struct frame *frame;
    const struct expr *where;
    struct table table; /* of series, by their labels without the name */
    struct bytes *keys;
    struct samples *samples; /* field_count of each series */
    struct buf key;
};

/* --- matchers --------------------------------------------------------------------------------- */

enum { MATCHERS_MAX = 32 };

struct matchers {
    struct matcher *items[MATCHERS_MAX];
    uint32_t count;
};

static enum err
add_matcher(struct influxql *q, struct matchers *to, enum matcher_type type, struct bytes name,
            struct bytes pattern)
{
    if (to->count == MATCHERS_MAX) return OK;
    enum err e = matcher_new(type, name, pattern, q->budget, &to->items[to->count], q->why);
    if (e == OK) to->count++;
    return e;
}

/* Adds what a condition requires of tags. */
static enum err
add_conditions(struct influxql *q, struct matchers *to, const struct expr *x)
{
    static const enum matcher_type types[] = {[OP_EQUAL] = MATCH_EQUAL,
                                              [OP_NOT_EQUAL] = MATCH_NOT_EQUAL,
                                              [OP_MATCHES] = MATCH_REGEX,
                                              [OP_MATCHES_NOT] = MATCH_NOT_REGEX};
    while (x != NULL && x->kind == EXPR_PAREN)
        x = x->items[0];
    if (x == NULL || x->kind != EXPR_BINARY) return OK;
    const struct expr *name = x->items[0], *value = x->items[1];
    if (x->op == OP_AND) {
        enum err e = add_conditions(q, to, name);
        return e ? e : add_conditions(q, to, value);
    }
    if (x->op < OP_EQUAL || x->op > OP_MATCHES_NOT || name->kind != EXPR_NAME ||
        name->slot != SLOT_TAG)
        return OK;
    if (value->kind == EXPR_REGEX && x->op >= OP_MATCHES)
        return add_matcher(q, to, types[x->op], name->text, matcher_pattern(value->regex));
    if (value->kind == EXPR_STRING && x->op < OP_MATCHES)
        return add_matcher(q, to, types[x->op], name->text, value->text);
    return OK;
}

/* --- series ----------------------------------------------------------------------------------- */

/* Puts the labels without the name of the metric into `key`. */
static enum err
make_key(struct frame_reader *r, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    buf_clear(&r->key);
    while (labels_next(&c, &label))
        if (!bytes_equal_text(label.name, "__name__")) labels_put(&r->key, label);
    return buf_error(&r->key) ? query_no_memory(r->q) : OK;
}

static enum err
keep_tags(struct frame_reader *r, struct bytes key, struct frame_series *to)
{
    struct cursor c = cursor_of(key);
    struct label label;
    *to = (struct frame_series){.tag_count = 0};
    while (labels_next(&c, &label)) {
        struct label *tags = arena_push(r->q->arena, to->tags, to->tag_count, sizeof *tags);
        if (tags == NULL) return query_no_memory(r->q);
        to->tags = tags;
        tags[to->tag_count++] = label;
    }
    return OK;
}

/* Finds or adds the series of these labels. *ret_index is UINT32_MAX if the
 * condition excludes it. */
static enum err
find_series(struct frame_reader *r, struct bytes labels, uint32_t *ret_index)
{
    struct frame *f = r->frame;
    enum err e = make_key(r, labels);
    if (e) return e;
    struct bytes key = buf_bytes(&r->key);
    uint64_t hash = hash_bytes(key, 0);
    for (uint32_t at = TABLE_START; table_next(&r->table, hash, &at, ret_index);)
        if (bytes_equal(r->keys[*ret_index], key)) return OK;
    key = key.size == 0 ? bytes_of_text("") : arena_copy(r->q->arena, key);
    struct bytes *keys = arena_push(r->q->arena, r->keys, f->series_count, sizeof *keys);
    struct frame_series *series =
        arena_push(r->q->arena, f->series, f->series_count, sizeof *series);
    if (key.at == NULL || keys == NULL || series == NULL ||
        !table_reserve(&r->table, r->q->budget, 1))
        return query_no_memory(r->q);
    r->keys = keys;
    f->series = series;
    e = keep_tags(r, key, &series[f->series_count]);
    if (e) return e;
    *ret_index = UINT32_MAX;
    if (!where_holds(r->where, &(struct row_of){r->q, f, &series[f->series_count], NULL}))
        return OK;
    struct samples *samples =
        arena_push(r->q->arena, r->samples, f->series_count, f->field_count * sizeof *samples);
    if (samples == NULL) return query_no_memory(r->q);
    r->samples = samples;
    memset(&samples[(size_t)f->series_count * f->field_count], 0, f->field_count * sizeof *samples);
    keys[f->series_count] = key;
    table_add(&r->table, hash, f->series_count);
    *ret_index = f->series_count++;
    return OK;
}

/* Appends the floats of a series but for NaN, which staleness markers are, too.
 */
static enum err
read_samples(struct frame_reader *r, struct series_set *set, struct samples *to)
{
    struct influxql *q = r->q;
    for (;;) {
        struct sample_batch b;
        enum err e = series_set_batch(set, &b, q->why);
        if (e || b.count == 0) return e;
        if (b.kind != SAMPLE_FLOAT) continue;
        for (uint32_t i = 0; i < b.count; i++) {
            double v = bits_double(b.value_bits[i]);
            if (isnan(v)) continue;
            int64_t *times = arena_push(q->arena, to->times, to->count, sizeof *times);
            double *values = arena_push(q->arena, to->values, to->count, sizeof *values);
            if (times == NULL || values == NULL) return query_no_memory(q);
            to->times = times;
            to->values = values;
            times[to->count] = b.times_ms[i] * NS_PER_MS;
            values[to->count++] = v;
        }
    }
}

static int64_t
ms_below(int64_t ns)
{
    return ns / NS_PER_MS - (ns % NS_PER_MS < 0);
}

static enum err
read_field(struct frame_reader *r, uint32_t field, struct bytes metric, struct matchers *matchers,
           struct bounds bounds, bool with_samples)
{
    struct influxql *q = r->q;
    struct query_request request = q->request;
    struct series_set *set = NULL;
    struct bytes labels = bytes_of("", 0);
    enum err e = matcher_new(MATCH_EQUAL, bytes_of_text("__name__"), metric, q->budget,
                             &matchers->items[0], q->why);
    if (e) return e;
    request.sets = &(struct matcher_set){matchers->items, matchers->count};
    request.set_count = 1;
    /* InfluxDB has no earlier or later times, and ours in ns no more. */
    request.min_ms =
        bounds.min_ns == NO_TIME_MIN ? ms_below(INT64_MIN) + 1 : ms_below(bounds.min_ns - 1) + 1;
    request.max_ms = ms_below(bounds.max_ns);
    request.kind = with_samples ? SELECT_SAMPLES : SELECT_LABELS;
    usage_note(&request);
    e = view_select(q->view, &request, &set, q->why);
    while (e == OK && labels.at != NULL) {
        uint32_t index = UINT32_MAX;
        e = series_set_next(set, &labels, q->why);
        if (e || labels.at == NULL) break;
        e = find_series(r, labels, &index);
        if (e == OK && with_samples && index != UINT32_MAX)
            e = read_samples(r, set, &r->samples[(size_t)index * r->frame->field_count + field]);
        if (e == OK) e = query_control_check(q->request.control, q->why);
    }
    if (e == OK) e = series_set_is_whole(set, q->why);
    if (set != NULL) query_control_warn(q->request.control, set);
    series_set_free(set);
    matcher_free(matchers->items[0]);
    return e;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* Joins the samples of the fields of a series by their times. */
static enum err
make_rows(struct frame_reader *r, struct frame_series *series, struct samples *samples)
{
    struct frame *f = r->frame;
    size_t most = 0;
    for (uint32_t i = 0; i < f->field_count; i++)
        most += samples[i].count;
    if (f->field_count == 1) {
        series->times = samples->times;
        series->cells = samples->values;
        series->row_count = samples->count;
        return OK;
    }
    series->times = arena_alloc(r->q->arena, most * sizeof *series->times);
    series->cells = arena_alloc(r->q->arena, most * f->field_count * sizeof *series->cells);
    if (series->times == NULL || series->cells == NULL) return query_no_memory(r->q);
    for (;;) {
        int64_t t = INT64_MAX;
        bool is_any = false;
        for (uint32_t i = 0; i < f->field_count; i++) {
            if (samples[i].read == samples[i].count) continue;
            is_any = true;
            if (samples[i].times[samples[i].read] < t) t = samples[i].times[samples[i].read];
        }
        if (!is_any) return OK;
        double *cells = &series->cells[(size_t)series->row_count * f->field_count];
        for (uint32_t i = 0; i < f->field_count; i++) {
            struct samples *s = &samples[i];
            bool is_here = s->read < s->count && s->times[s->read] == t;
            cells[i] = is_here ? s->values[s->read++] : NAN;
        }
        series->times[series->row_count++] = t;
    }
}

static int
compare_series(const void *a, const void *b)
{
    const struct frame_series *x = a, *y = b;
    for (uint32_t i = 0; i < x->tag_count && i < y->tag_count; i++) {
        int order = bytes_compare(x->tags[i].name, y->tags[i].name);
        if (order == 0) order = bytes_compare(x->tags[i].value, y->tags[i].value);
        if (order != 0) return order;
    }
    return (x->tag_count > y->tag_count) - (x->tag_count < y->tag_count);
}

static enum err
read_frame(struct influxql *q, const struct measurement *m, const bool *is_needed,
           struct expr *where, struct bounds bounds, bool with_samples, struct frame *f)
{
    struct frame_reader r = {.q = q, .frame = f, .where = where};
    struct matchers matchers = {.count = 1}; /* the first is of the name */
    *f = (struct frame){.name = m->name};
    f->fields = arena_alloc(q->arena, (m->field_count + 1) * sizeof *f->fields);
    if (f->fields == NULL) return query_no_memory(q);
    for (uint32_t i = 0; i < m->field_count; i++)
        if (is_needed == NULL || is_needed[i])
            f->fields[f->field_count++] =
                (struct frame_field){m->fields[i].name, m->fields[i].type};
    if (where != NULL) expr_resolve(where, f);
    enum err e = add_conditions(q, &matchers, where);
    buf_init(&r.key, q->budget, 16 << 20);
    for (uint32_t i = 0, place = 0; i < m->field_count && e == OK; i++)
        if (is_needed == NULL || is_needed[i])
            e = read_field(&r, place++, m->fields[i].metric, &matchers, bounds, with_samples);
    for (uint32_t i = 0; i < f->series_count && e == OK && with_samples; i++)
        e = make_rows(&r, &f->series[i], &r.samples[(size_t)i * f->field_count]);
    if (e == OK) qsort(f->series, f->series_count, sizeof *f->series, compare_series);
    for (uint32_t i = 1; i < matchers.count; i++)
        matcher_free(matchers.items[i]);
    buf_fini(&r.key);
    table_fini(&r.table, q->budget);
    return e;
}

enum err
frame_read(struct influxql *q, const struct measurement *m, const bool *is_needed,
           struct expr *where, struct bounds bounds, struct frame *ret)
{
    return read_frame(q, m, is_needed, where, bounds, true, ret);
}

enum err
frame_tags(struct influxql *q, const struct measurement *m, struct expr *where,
           struct bounds bounds, struct frame *ret)
{
    return read_frame(q, m, NULL, where, bounds, false, ret);
}
