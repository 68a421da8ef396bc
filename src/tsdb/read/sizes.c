/*
 * sizes.c - adds up the stored bytes of blocks by metric, label name and label value. No sample is
 * decoded.
 *
 * Rows and their labels are read, which takes seconds for a million: of a part with many rows only
 * some are read, in groups of neighbours, which are on the same pages, spread evenly over the rows
 * in label order. Each then counts for several. Parts share the number of rows, the smallest first,
 * so that what a small part does not need is left to large ones, and all is exact if the rows of
 * all parts together are few.
 */
#include "tsdb/read/sizes.h"

#include <assert.h>
#include <roaring/roaring.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "base/table.h"
#include "model/labels.h"

enum {
    SPOT_ROWS = 64,         /* neighbours that are read together */
    TEXTS_MAX = 256 * 1024, /* metrics, names and pairs that are kept; others are left out */
    ROWS_BETWEEN_CHECKS = 1024,
};

/* A metric, name or pair. */
struct sized {
    uint32_t kind;
    struct bytes name;
    struct bytes value;
    double bytes;
    double samples;
};

struct sized_part {
    struct part *part;
    const struct part_tenant *tenant;
};

struct sizing {
    const struct query_request *request;
    struct budget *budget;
    struct arena *arena;
    struct sized *items;
    uint32_t count;
    struct table table; /* ids: indexes of items */
    struct sized all;
    uint64_t rows, rows_read;
    bool left_out; /* some texts were left out, or damaged rows */
};

static struct sized *
find(const struct sizing *s, enum tsdb_size_kind kind, struct label label, uint64_t hash)
{
    for (uint32_t at = TABLE_START, id; table_next(&s->table, hash, &at, &id);) {
        struct sized *x = &s->items[id];
        if (x->kind == kind && bytes_equal(x->name, label.name) &&
            bytes_equal(x->value, label.value))
            return x;
    }
    return NULL;
}

static enum err
add(struct sizing *s, enum tsdb_size_kind kind, struct label label, double bytes, double samples)
{
    uint64_t hash = hash_bytes(label.value, hash_bytes(label.name, kind));
    struct sized *x = find(s, kind, label, hash);
    if (x == NULL && s->count == TEXTS_MAX) {
        s->left_out = true;
        return OK;
    }
    if (x == NULL) {
        struct bytes name = arena_copy(s->arena, label.name);
        struct bytes value = arena_copy(s->arena, label.value);
        struct sized *items = arena_push(s->arena, s->items, s->count, sizeof *items);
        bool copied = items != NULL && name.at != NULL && (value.at != NULL || value.size == 0);
        if (!copied || !table_reserve(&s->table, s->budget, 1)) return ERR_NOMEM;
        s->items = items;
        table_add(&s->table, hash, s->count);
        x = &items[s->count++];
        *x = (struct sized){.kind = kind, .name = name, .value = value};
    }
    x->bytes += bytes;
    x->samples += samples;
    return OK;
}

/* Adds a row, which counts for `weight` rows. */
static enum err
add_row(struct sizing *s, const struct row_of_batch *row, double weight)
{
    double bytes = 0, samples = 0;
    struct cursor c = cursor_of(row->labels);
    struct label label;
    enum err e = OK;
    for (uint32_t i = 0; i < row->block_count; i++) {
        bytes += (double)block_bytes_stored(&row->blocks[i]) * weight;
        samples += row->blocks[i].count * weight;
    }
    s->all.bytes += bytes;
    s->all.samples += samples;
    while (e == OK && labels_next(&c, &label)) {
        bool is_metric = bytes_equal_text(label.name, "__name__");
        e = add(s, is_metric ? TSDB_SIZE_METRIC : TSDB_SIZE_PAIR, label, bytes, samples);
        label.value = bytes_of("", 0);
        if (e == OK) e = add(s, TSDB_SIZE_NAME, label, bytes, samples);
    }
    return e;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* Leaves about `most` of the series, if there are more. ERR_NOMEM. */
static enum err
choose(roaring_bitmap_t **series, uint64_t most)
{
    uint64_t count = roaring_bitmap_get_cardinality(*series);
    uint64_t spots = most < SPOT_ROWS ? 1 : most / SPOT_ROWS;
    if (count <= most || count <= SPOT_ROWS) return OK;
    roaring_bitmap_t *chosen = roaring_bitmap_create();
    if (chosen == NULL) return ERR_NOMEM;
    for (uint64_t i = 0; i < spots; i++) {
        uint32_t number;
        for (uint64_t k = 0, rank = i * count / spots; k < SPOT_ROWS; k++) {
            if (!roaring_bitmap_select(*series, (uint32_t)(rank + k), &number)) break;
            roaring_bitmap_add(chosen, number);
        }
    }
    roaring_bitmap_free(*series);
    *series = chosen;
    return OK;
}

static enum err
read_rows(struct sizing *s, const struct part_index *index, const roaring_bitmap_t *series,
          double weight, struct why *why)
{
    const struct row_range range = {
        .min_ms = s->request->min_ms, .max_ms = s->request->max_ms, .with_blocks = true};
    struct row_batch *batch;
    struct row_of_batch row;
    enum err e = row_batch_new(index, series, &range, s->budget, &batch);
    if (e) return e;
    for (uint32_t i = 1; e == OK; i++) {
        e = row_batch_next(batch, &row, why);
        if (e == ERR_CORRUPT && row_batch_pass(batch)) {
            s->left_out = true;
            e = OK;
            continue;
        }
        if (e || row.labels.at == NULL) break;
        e = add_row(s, &row, weight);
        if (e == OK && i % ROWS_BETWEEN_CHECKS == 0) {
            e = query_control_check(s->request->control, why);
        }
    }
    row_batch_free(batch);
    return e;
}

static enum err
add_source(struct sizing *s, const struct sized_part *source, uint64_t most, struct why *why)
{
    const struct query_request *r = s->request;
    struct part_index index;
    struct arena names;
    roaring_bitmap_t *series = NULL;
    static const struct matcher_set every;
    const struct matcher_set *set = r->set_count > 0 ? r->sets : &every;
    arena_init(&names, s->budget, 0, 0);
    enum err e = part_index_load(source->part, source->tenant, &names, &index, why);
    index.control = r->control;
    if (e == OK) e = part_match(&index, set->matchers, set->count, &series, why);
    uint64_t count = e ? 0 : roaring_bitmap_get_cardinality(series);
    if (e == OK) e = choose(&series, most);
    if (e == OK && count > 0) {
        uint64_t chosen = roaring_bitmap_get_cardinality(series);
        double weight = (double)count / (double)chosen;
        s->rows += count;
        s->rows_read += chosen;
        e = read_rows(s, &index, series, weight, why);
    }
    if (series != NULL) roaring_bitmap_free(series);
    arena_fini(&names);
    return e;
}

/* --- the answer ------------------------------------------------------------------------------- */

static int
by_series(const void *a, const void *b)
{
    uint32_t x = ((const struct sized_part *)a)->tenant->series_count;
    uint32_t y = ((const struct sized_part *)b)->tenant->series_count;
    return (x > y) - (x < y);
}

static int
by_size(const void *a, const void *b)
{
    const struct sized *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    int order = bytes_compare(x->name, y->name);
    return order != 0 ? order : bytes_compare(x->value, y->value);
}

/* Gives the largest of each kind. */
static enum err
rank(struct sizing *s, uint32_t max, struct tsdb_sizes *ret)
{
    if (s->count > 0) qsort(s->items, s->count, sizeof *s->items, by_size);
    *ret = (struct tsdb_sizes){
        .bytes = (uint64_t)(s->all.bytes + 0.5),
        .samples = (uint64_t)(s->all.samples + 0.5),
        .rows = s->rows,
        .rows_read = s->rows_read,
        .exact = s->rows_read == s->rows && !s->left_out,
    };
    for (uint32_t i = 0; i < s->count; i++) {
        const struct sized *x = &s->items[i];
        struct tsdb_size **items = &ret->items[x->kind];
        uint32_t *count = &ret->counts[x->kind];
        if (*count == max) continue;
        struct tsdb_size *more = arena_push(s->arena, *items, *count, sizeof *more);
        if (more == NULL) return ERR_NOMEM;
        *items = more;
        more[(*count)++] = (struct tsdb_size){x->name, x->value, (uint64_t)(x->bytes + 0.5),
                                              (uint64_t)(x->samples + 0.5)};
    }
    return OK;
}

enum err
parts_sizes(const struct version *version, const struct query_request *request,
            const struct tsdb_sizes_options *options, struct arena *arena, struct tsdb_sizes *ret,
            struct why *why)
{
    struct sizing s = {.request = request, .budget = request->budget, .arena = arena};
    struct sized_part *sources = arena_alloc(arena, (version->part_count + 1u) * sizeof *sources);
    uint32_t count = 0;
    uint64_t left = options->rows_max;
    assert(request->set_count <= 1);
    enum err e = sources == NULL ? ERR_NOMEM : OK;
    for (uint32_t i = 0; e == OK && i < version->part_count; i++) {
        const struct part_info *info = part_info(version->parts[i]);
        const struct part_tenant *t = part_tenant(version->parts[i], request->tenant);
        bool meets = info->min_ms <= request->max_ms && info->max_ms >= request->min_ms;
        if (t != NULL && meets) sources[count++] = (struct sized_part){version->parts[i], t};
    }
    if (count > 1) qsort(sources, count, sizeof *sources, by_series);
    for (uint32_t i = 0; e == OK && i < count; i++) {
        uint64_t before = s.rows_read;
        e = add_source(&s, &sources[i], left / (count - i), why);
        uint64_t read = s.rows_read - before;
        left -= read < left ? read : left;
    }
    if (e == OK) e = rank(&s, options->items_max, ret);
    table_fini(&s.table, s.budget);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory to add up sizes") : e;
}
