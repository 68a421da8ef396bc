/* show.c - answers the statements SHOW. */
#include <stdio.h>
#include <stdlib.h>

#include "influxql/influxql_private.h"
#include "wire/shape.h"

/* What is shown of a measurement: rows of one or two texts, sorted, without
 * repeats. */
struct shown_rows {
    struct influxql *q;
    struct pair {
        struct bytes one, two;
    } * items;
    uint32_t count;
};

static int
compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int order = bytes_compare(x->one, y->one);
    return order != 0 ? order : bytes_compare(x->two, y->two);
}

static enum err
add_row(struct shown_rows *to, struct bytes one, struct bytes two)
{
    struct pair *items = arena_push(to->q->arena, to->items, to->count, sizeof *items);
    if (items == NULL) return query_no_memory(to->q);
    to->items = items;
    items[to->count++] = (struct pair){one, two};
    return OK;
}

static void
sort_rows(struct shown_rows *x)
{
    uint32_t kept = 0;
    if (x->count == 0) return;
    qsort(x->items, x->count, sizeof *x->items, compare_pairs);
    for (uint32_t i = 1; i < x->count; i++)
        if (compare_pairs(&x->items[kept], &x->items[i]) != 0) x->items[++kept] = x->items[i];
    x->count = kept + 1;
}

/* Puts rows as a series of the result, or their number. */
static enum err
put_rows(struct influxql *q, const struct statement *s, struct bytes name, struct shown_rows *rows,
         const char *column, const char *second, struct result *to)
{
    struct result_series r = {.name = name, .column_count = second == NULL ? 1 : 2};
    struct result_series *items = arena_push(q->arena, to->items, to->count, sizeof *items);
    uint64_t from = s->limits.offset, end = rows->count;
    sort_rows(rows);
    end = rows->count;
    if (from > end) from = end;
    if (s->limits.limit != 0 && s->limits.limit < end - from) end = from + s->limits.limit;
    r.columns = arena_alloc(q->arena, 2 * sizeof *r.columns);
    r.cells = arena_alloc(q->arena, (size_t)(end - from + 1) * 2 * sizeof *r.cells);
    if (items == NULL || r.columns == NULL || r.cells == NULL) return query_no_memory(q);
    to->items = items;
    if (s->is_cardinality) {
        r.columns[0] = (struct result_column){
            bytes_of_text(name.size == 0 && !s->is_exact ? "cardinality estimation" : "count"),
            CELL_INTEGER};
        r.column_count = r.row_count = 1;
        r.cells[0] = rows->count;
        items[to->count++] = r;
        return OK;
    }
    r.columns[0] = (struct result_column){bytes_of_text(column), CELL_TEXT};
    if (second != NULL) r.columns[1] = (struct result_column){bytes_of_text(second), CELL_TEXT};
    double *cell = r.cells;
    enum err e = OK;
    for (uint64_t i = from; i < end && e == OK; i++, r.row_count++) {
        e = text_cell(q, rows->items[i].one, cell++);
        if (e == OK && second != NULL) e = text_cell(q, rows->items[i].two, cell++);
    }
    if (e == OK && r.row_count > 0) items[to->count++] = r;
    return e;
}

/* --- measurements ----------------------------------------------------------------------------- */

/* Finds the measurements of FROM; without it all of the database. */
static enum err
find_measurements(struct influxql *q, const struct statement *s, const struct measurement ***ret,
                  uint32_t *ret_count)
{
    struct bytes database = s->database.size > 0 ? s->database : q->database;
    enum err e = measurements_read(q);
    if (e == OK && database.size == 0 && s->sources.count == 0)
        e = why_set(q->why, ERR_INPUT, "database name required");
    if (e) return e;
    const struct measurement **all =
        arena_alloc(q->arena, (q->catalog->count + 1) * sizeof(struct measurement *));
    if (all == NULL) return query_no_memory(q);
    *ret = all;
    *ret_count = 0;
    for (uint32_t i = 0; i < q->catalog->count; i++) {
        const struct measurement *m = &q->catalog->items[i];
        bool is_named = s->sources.count == 0 && bytes_equal(m->database, database);
        for (uint32_t k = 0; k < s->sources.count; k++) {
            const struct iql_source *source = &s->sources.items[k];
            struct bytes own = source->database.size > 0 ? source->database : database;
            is_named |= bytes_equal(m->database, own) &&
                        (source->regex != NULL ? matcher_matches(source->regex, m->name)
                                               : bytes_equal(m->name, source->name));
        }
        if (is_named) all[(*ret_count)++] = m;
    }
    return OK;
}

static bool
is_key(const struct statement *s, struct bytes name)
{
    bool is_match = s->key_regex != NULL && matcher_matches(s->key_regex, name);
    for (uint32_t i = 0; i < s->name_count; i++)
        is_match |= bytes_equal(s->names[i], name);
    return is_match != (s->key_op == OP_NOT_EQUAL || s->key_op == OP_MATCHES_NOT);
}

/* Writes a series as InfluxDB names it: measurement,tag=value,... */
static enum err
series_key(struct influxql *q, const struct measurement *m, const struct frame_series *series,
           struct bytes *ret)
{
    struct buf key;
    buf_init(&key, q->budget, 1 << 20);
    for (uint32_t i = 0; i <= series->tag_count; i++) {
        const struct bytes texts[2] = {i == 0 ? m->name : series->tags[i - 1].name,
                                       i == 0 ? bytes_of_text("") : series->tags[i - 1].value};
        for (unsigned part = 0; part < 2; part++) {
            if (part == 1 && i > 0) buf_put_u8(&key, '=');
            for (size_t k = 0; k < texts[part].size; k++) {
                uint8_t c = texts[part].at[k];
                if (c == ',' || c == ' ' || (c == '=' && i > 0)) buf_put_u8(&key, '\\');
                buf_put_u8(&key, c);
            }
        }
        if (i < series->tag_count) buf_put_u8(&key, ',');
    }
    *ret = arena_copy(q->arena, buf_bytes(&key));
    enum err e = buf_error(&key) || ret->at == NULL ? query_no_memory(q) : OK;
    buf_fini(&key);
    return e;
}

/* Adds what the statement shows of the tags of a measurement. */
static enum err
add_tags(struct influxql *q, const struct statement *s, const struct measurement *m,
         struct expr *where, struct bounds bounds, struct shown_rows *rows)
{
    struct frame f;
    enum err e = frame_tags(q, m, where, bounds, &f);
    for (uint32_t i = 0; i < f.series_count && e == OK; i++) {
        const struct frame_series *series = &f.series[i];
        struct bytes key;
        if (s->kind == SHOW_MEASUREMENTS) return add_row(rows, m->name, bytes_of(NULL, 0));
        if (s->kind == SHOW_SERIES) {
            e = series_key(q, m, series, &key);
            if (e == OK) e = add_row(rows, key, bytes_of(NULL, 0));
        }
        for (uint32_t k = 0; k < series->tag_count && e == OK && s->kind != SHOW_SERIES; k++) {
            const struct label *tag = &series->tags[k];
            if (s->kind == SHOW_TAG_KEYS)
                e = add_row(rows, tag->name, bytes_of(NULL, 0));
            else if (is_key(s, tag->name))
                e = add_row(rows, tag->name, tag->value);
        }
    }
    return e;
}

static enum err
add_fields(const struct measurement *m, struct shown_rows *rows)
{
    static const char *const types[] = {
        [CELL_FLOAT] = "float", [CELL_INTEGER] = "integer", [CELL_BOOLEAN] = "boolean"};
    enum err e = OK;
    for (uint32_t i = 0; i < m->field_count && e == OK; i++)
        e = add_row(rows, m->fields[i].name, bytes_of_text(types[m->fields[i].type]));
    return e;
}

/* --- statements ------------------------------------------------------------------------------- */

static enum err
show_databases(struct influxql *q, const struct statement *s, struct result *to)
{
    struct shown_rows rows = {.q = q};
    enum err e = measurements_read(q);
    for (uint32_t i = 0; e == OK && i < q->catalog->count; i++)
        if (i == 0 ||
            !bytes_equal(q->catalog->items[i].database, q->catalog->items[i - 1].database))
            e = add_row(&rows, q->catalog->items[i].database, bytes_of(NULL, 0));
    return e ? e : put_rows(q, s, bytes_of_text("databases"), &rows, "name", NULL, to);
}

static enum err
show_policies(struct influxql *q, struct result *to)
{
    static const char *const names[] = {"name", "duration", "shardGroupDuration", "replicaN",
                                        "default"};
    static const char *const texts[] = {"autogen", "0s", "168h0m0s"};
    struct result_series *r = to->items = arena_new(q->arena, sizeof *r);
    if (r == NULL) return query_no_memory(q);
    r->columns = arena_alloc(q->arena, 5 * sizeof *r->columns);
    r->cells = arena_alloc(q->arena, 5 * sizeof *r->cells);
    if (r->columns == NULL || r->cells == NULL) return query_no_memory(q);
    enum err e = OK;
    for (unsigned i = 0; i < 5 && e == OK; i++) {
        r->columns[i] = (struct result_column){bytes_of_text(names[i]), i < 3    ? CELL_TEXT
                                                                        : i == 3 ? CELL_INTEGER
                                                                                 : CELL_BOOLEAN};
        r->cells[i] = 1;
        if (i < 3) e = text_cell(q, bytes_of_text(texts[i]), &r->cells[i]);
    }
    r->column_count = 5;
    r->row_count = to->count = 1;
    return e;
}

/* Shows something of each measurement: with `is_one` all as one series of the
 * result. */
static enum err
show_each(struct influxql *q, const struct statement *s, bool is_one, const char *column,
          const char *second, struct result *to)
{
    struct bounds bounds = {NO_TIME_MIN, NO_TIME_MAX};
    const struct measurement **all;
    const struct expr *rest;
    struct shown_rows rows = {.q = q};
    uint32_t count = 0;
    enum err e = where_split(q, s->where, &bounds, &rest);
    if (e == OK) e = find_measurements(q, s, &all, &count);
    struct expr *where = e ? NULL : (struct expr *)(uintptr_t)rest;
    bool reads_series = where != NULL || s->kind != SHOW_MEASUREMENTS;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        if (!is_one) rows = (struct shown_rows){.q = q};
        if (s->kind == SHOW_FIELD_KEYS)
            e = add_fields(all[i], &rows);
        else if (s->kind == SHOW_MEASUREMENTS && (s->name_count > 0 || s->key_regex != NULL) &&
                 !is_key(s, all[i]->name))
            continue;
        else if (reads_series)
            e = add_tags(q, s, all[i], where, bounds, &rows);
        else
            e = add_row(&rows, all[i]->name, bytes_of(NULL, 0));
        if (e == OK && !is_one && rows.count > 0)
            e = put_rows(q, s, all[i]->name, &rows, column, second, to);
    }
    if (e || !is_one || (rows.count == 0 && !s->is_cardinality)) return e;
    struct bytes name = s->kind == SHOW_MEASUREMENTS && !s->is_cardinality
                            ? bytes_of_text("measurements")
                            : bytes_of_text("");
    return put_rows(q, s, name, &rows, column, second, to);
}

enum err
influxql_run(struct influxql *q, const struct statement *s, struct result *ret)
{
    static const struct bounds all_times = {NO_TIME_MIN, NO_TIME_MAX};
    *ret = (struct result){NULL, 0};
    switch (s->kind) {
    case STATEMENT_SELECT:
        return select_run(q, s->select, all_times, ret);
    case SHOW_DATABASES:
        return show_databases(q, s, ret);
    case SHOW_RETENTION_POLICIES:
        return show_policies(q, ret);
    case SHOW_MEASUREMENTS:
        return show_each(q, s, true, "name", NULL, ret);
    case SHOW_SERIES:
        return show_each(q, s, !s->is_cardinality || !s->is_exact, "key", NULL, ret);
    case SHOW_FIELD_KEYS:
        return show_each(q, s, false, "fieldKey", "fieldType", ret);
    case SHOW_TAG_KEYS:
        return show_each(q, s, false, "tagKey", NULL, ret);
    case SHOW_TAG_VALUES:
        return show_each(q, s, false, "key", "value", ret);
    case STATEMENT_CREATE_DATABASE:
        break;
    }
    return OK;
}
