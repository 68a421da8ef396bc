/* measurements.c - see influxql_private.h: which field of which measurement each
 * metric is. */
#include <stdlib.h>

#include "influxql/influxql_private.h"

struct catalog_reading {
    struct influxql *q;
    struct bytes *names; /* of metrics, sorted */
    uint32_t name_count;
    struct influx_field *fields; /* one for each name; `database.at` NULL: none is known */
    struct buf texts;
};

static enum err
keep_name(void *context, struct bytes name)
{
    struct catalog_reading *r = context;
    struct bytes *names = arena_push(r->q->arena, r->names, r->name_count, sizeof *names);
    if (names == NULL) return query_no_memory(r->q);
    r->names = names;
    names[r->name_count] = arena_copy(r->q->arena, name);
    return names[r->name_count++].at == NULL && name.size > 0 ? query_no_memory(r->q) : OK;
}

static int
compare_bytes(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static enum err
keep_field(void *context, const struct metadata *m)
{
    struct catalog_reading *r = context;
    struct influx_field field;
    const struct bytes *found =
        bsearch(&m->family, r->names, r->name_count, sizeof *r->names, compare_bytes);
    if (found == NULL) return OK;
    buf_clear(&r->texts);
    if (!influx_help_read(m->help, &r->texts, &field)) return buf_error(&r->texts);
    struct bytes *const all[] = {&field.name, &field.measurement, &field.database};
    for (unsigned i = 0; i < 3; i++) {
        struct bytes copy = arena_copy(r->q->arena, *all[i]);
        if (copy.at == NULL && copy.size > 0) return query_no_memory(r->q);
        *all[i] = copy.at == NULL ? bytes_of_text("") : copy;
    }
    r->fields[found - r->names] = field;
    return OK;
}

struct entry {
    struct bytes database, measurement;
    struct measured_field field;
};

static int
compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = bytes_compare(x->database, y->database);
    if (order == 0) order = bytes_compare(x->measurement, y->measurement);
    return order != 0 ? order : bytes_compare(x->field.name, y->field.name);
}

static struct entry
entry_of(struct bytes metric, const struct influx_field *f)
{
    static const enum cell_type types[] = {
        [INFLUX_FLOAT] = CELL_FLOAT,
        [INFLUX_INTEGER] = CELL_INTEGER,
        [INFLUX_UNSIGNED] = CELL_INTEGER,
        [INFLUX_BOOLEAN] = CELL_BOOLEAN,
    };
    if (f->database.at == NULL)
        return (struct entry){bytes_of_text(INFLUXQL_PROMETHEUS),
                              metric,
                              {bytes_of_text("value"), metric, CELL_FLOAT}};
    return (struct entry){f->database, f->measurement, {f->name, metric, types[f->type]}};
}

/* Makes the catalog of all names and fields. */
static enum err
make_catalog(struct catalog_reading *r)
{
    struct influxql *q = r->q;
    struct measurements *c = arena_new(q->arena, sizeof *c);
    struct entry *entries = arena_alloc(q->arena, (r->name_count + 1) * sizeof *entries);
    struct measurement *items = arena_alloc(q->arena, (r->name_count + 1) * sizeof *items);
    struct measured_field *fields = arena_alloc(q->arena, (r->name_count + 1) * sizeof *fields);
    if (c == NULL || entries == NULL || items == NULL || fields == NULL) return query_no_memory(q);
    for (uint32_t i = 0; i < r->name_count; i++)
        entries[i] = entry_of(r->names[i], &r->fields[i]);
    qsort(entries, r->name_count, sizeof *entries, compare_entries);
    for (uint32_t i = 0; i < r->name_count; i++) {
        const struct entry *x = &entries[i];
        struct measurement *last = c->count == 0 ? NULL : &items[c->count - 1];
        fields[i] = x->field;
        if (last == NULL || !bytes_equal(last->database, x->database) ||
            !bytes_equal(last->name, x->measurement)) {
            last = &items[c->count++];
            *last = (struct measurement){x->database, x->measurement, &fields[i], 0};
        }
        last->field_count++;
    }
    c->items = items;
    q->catalog = c;
    return OK;
}

enum err
measurements_read(struct influxql *q)
{
    struct catalog_reading r = {.q = q};
    struct text_sink to = {.each = keep_name, .context = &r};
    if (q->catalog != NULL) return OK;
    enum err e = view_label_values(q->view, &q->request, bytes_of_text("__name__"), &to, q->why);
    if (e) return e;
    r.fields = arena_new(q->arena, (r.name_count + 1) * sizeof *r.fields);
    if (r.fields == NULL) return query_no_memory(q);
    buf_init(&r.texts, q->budget, 1 << 20);
    e = view_metadata(q->view, &q->request, bytes_of(NULL, 0), keep_field, &r, q->why);
    buf_fini(&r.texts);
    if (e == ERR_NOMEM) return query_no_memory(q);
    return e ? e : make_catalog(&r);
}

enum err
measurements_find(struct influxql *q, const struct iql_source *source, struct bytes database,
                  const struct measurement ***ret, uint32_t *ret_count)
{
    enum err e = measurements_read(q);
    if (source->database.size > 0) database = source->database;
    if (database.size == 0) return why_set(q->why, ERR_INPUT, "database name required");
    *ret_count = 0;
    *ret = e ? NULL : arena_alloc(q->arena, (q->catalog->count + 1) * sizeof **ret);
    if (e == OK && *ret == NULL) e = query_no_memory(q);
    for (uint32_t i = 0; e == OK && i < q->catalog->count; i++) {
        const struct measurement *m = &q->catalog->items[i];
        bool is_named = source->regex != NULL ? matcher_matches(source->regex, m->name)
                                              : bytes_equal(source->name, m->name);
        if (bytes_equal(m->database, database) && is_named) (*ret)[(*ret_count)++] = m;
    }
    return e;
}

const struct measured_field *
measurement_field(const struct measurement *m, struct bytes name)
{
    for (uint32_t i = 0; i < m->field_count; i++)
        if (bytes_equal(m->fields[i].name, name)) return &m->fields[i];
    return NULL;
}
