/*
 * stats.c - numbers of a store, ledgers of tenants, budgets, rankings of names by series, and what
 * parts have of a stretch of the log. Callers get nothing under a lock.
 */
#include "base/array.h"
#include "base/hash/hash.h"
#include "base/table.h"
#include "model/labels.h"
#include "tsdb/part/live.h"
#include "tsdb/store/store.h"
#include "tsdb/tsdb.h"

#include <assert.h>
#include <roaring/roaring.h>
#include <stdlib.h>

/* --- sizes ------------------------------------------------------------------------------------ */

/*
 * Adds up the stored bytes of blocks by metric, label name and label value. No sample is decoded.
 *
 * Rows and their labels are read, which takes seconds for a million: of a part with many rows only
 * some are read, in groups of neighbours, which are on the same pages, spread evenly over the rows
 * in label order. Each then counts for several. Parts share the number of rows, the smallest first,
 * so that what a small part does not need is left to large ones, and all is exact if the rows of
 * all parts together are few.
 */

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

static enum err
add_size(struct sizing *s, enum tsdb_size_kind kind, struct label label, double bytes,
         double samples)
{
    uint64_t hash = hash_bytes(label.value, hash_bytes(label.name, kind));
    struct sized *x = NULL;
    for (uint32_t at = TABLE_START, id; x == NULL && table_next(&s->table, hash, &at, &id);) {
        struct sized *known = &s->items[id];
        if (known->kind == kind && bytes_equal(known->name, label.name) &&
            bytes_equal(known->value, label.value))
            x = known;
    }
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
add_sized_row(struct sizing *s, const struct row_of_batch *row, double weight)
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
        e = add_size(s, is_metric ? TSDB_SIZE_METRIC : TSDB_SIZE_PAIR, label, bytes, samples);
        label.value = bytes_of("", 0);
        if (e == OK) e = add_size(s, TSDB_SIZE_NAME, label, bytes, samples);
    }
    return e;
}

/* Leaves about `most` of the series, if there are more. ERR_NOMEM. */
static enum err
choose_rows(roaring_bitmap_t **series, uint64_t most)
{
    uint64_t count = roaring_bitmap_get_cardinality(*series);
    uint64_t spots = most < SPOT_ROWS ? 1 : most / SPOT_ROWS;
    if (count <= most || count <= SPOT_ROWS) return OK;
    roaring_bitmap_t *chosen = roaring_bitmap_create();
    if (chosen == NULL) return ERR_NOMEM;
    for (uint64_t i = 0; i < spots; i++) {
        uint32_t number;
        for (uint64_t k = 0, rank_sizes = i * count / spots; k < SPOT_ROWS; k++) {
            if (!roaring_bitmap_select(*series, (uint32_t)(rank_sizes + k), &number)) break;
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
        e = add_sized_row(s, &row, weight);
        if (e == OK && i % ROWS_BETWEEN_CHECKS == 0)
            e = query_control_check(s->request->control, why);
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
    if (e == OK) e = choose_rows(&series, most);
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
rank_sizes(struct sizing *s, uint32_t max, struct tsdb_sizes *ret)
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
tsdb_sizes(struct tsdb *db, const struct query_request *request,
           const struct tsdb_sizes_options *options, struct arena *arena, struct tsdb_sizes *ret,
           struct why *why)
{
    struct version *version = live_pin(&db->live);
    struct sizing s = {.request = request, .budget = request->budget, .arena = arena};
    struct sized_part *sources = arena_alloc(arena, (version->part_count + 1u) * sizeof *sources);
    uint32_t count = 0;
    uint64_t left = options->rows_max;
    assert(request->set_count <= 1);
    enum err e = sources == NULL ? ERR_NOMEM : OK;
    for (uint32_t i = 0; e == OK && i < version->part_count; i++) {
        const struct part_info *info = part_info(version->parts[i]);
        const struct part_tenant *t = part_tenant(version->parts[i], request->tenant);
        bool meets = info->time.min_ms <= request->max_ms && info->time.max_ms >= request->min_ms;
        if (t != NULL && meets) sources[count++] = (struct sized_part){version->parts[i], t};
    }
    if (count > 1) qsort(sources, count, sizeof *sources, by_series);
    for (uint32_t i = 0; e == OK && i < count; i++) {
        uint64_t before = s.rows_read;
        e = add_source(&s, &sources[i], left / (count - i), why);
        uint64_t read = s.rows_read - before;
        left -= read < left ? read : left;
    }
    if (e == OK) e = rank_sizes(&s, options->items_max, ret);
    table_fini(&s.table, s.budget);
    version_unref(version);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory to add up sizes") : e;
}

/* --- numbers and ledgers ---------------------------------------------------------------------- */

enum { LEDGERS_AT_ONCE = 16 };

static void
stats_of_parts(struct tsdb *db, struct tsdb_stats *s)
{
    lock_take(&db->live.lock);
    const struct version *v = db->live.version;
    s->parts = v->part_count;
    s->tombstones = v->tombstones->count;
    s->last_deletion = v->tombstones->last_id;
    s->merge_now = db->merge_now;
    for (uint32_t i = 0; i < v->part_count; i++) {
        const struct part_info *info = part_info(v->parts[i]);
        s->part_bytes += info->file_bytes;
        s->parts_removed += part_is_removed(v->parts[i]);
        s->parts_left_alone += part_is_left_alone(v->parts[i]);
        s->part_data_bytes += info->data_bytes;
        s->part_samples += info->sample_count[LEDGER_FLOAT] + info->sample_count[LEDGER_HISTOGRAM];
        s->part_exemplars += info->sample_count[LEDGER_EXEMPLAR];
        s->part_series += info->series_count;
        if (info->time.min_ms < s->oldest_ms) s->oldest_ms = info->time.min_ms;
        if (info->time.max_ms > s->part_max_ms) s->part_max_ms = info->time.max_ms;
    }
    lock_drop(&db->live.lock);
}

void
tsdb_stats(struct tsdb *db, struct tsdb_stats *ret)
{
    struct tsdb_stats s = {.oldest_ms = INT64_MAX,
                           .part_max_ms = INT64_MIN,
                           .head_min_ms = INT64_MAX,
                           .head_max_ms = INT64_MIN};
    struct page_cache_stats cache;
    int64_t now_ns = env_monotonic_ns(db->env);
    wal_stats(db->wal, &s.wal);
    stats_of_parts(db, &s);
    page_cache_stats(db->cache, &cache);
    s.cache_hits = cache.hits;
    s.cache_misses = cache.misses;
    s.cache_bytes = cache.bytes;
    s.pages_damaged = cache.pages_damaged;
    s.parts_set_aside = db->parts_set_aside;
    lock_take(&db->head.lock);
    s.head_series = db->head.active->series_count;
    s.known_series = db->head.active->registry->series.count;
    const struct gen *gens[2] = {db->head.active, db->head.frozen};
    for (unsigned i = 0; i < 2 && gens[i] != NULL; i++) {
        s.head_samples += gens[i]->sample_count[LEDGER_FLOAT];
        s.head_samples += gens[i]->sample_count[LEDGER_HISTOGRAM];
        s.head_exemplars += gens[i]->sample_count[LEDGER_EXEMPLAR];
        if (gens[i]->min_ms < s.head_min_ms) s.head_min_ms = gens[i]->min_ms;
        if (gens[i]->max_ms > s.head_max_ms) s.head_max_ms = gens[i]->max_ms;
    }
    s.frozen_series = db->head.frozen == NULL ? 0 : db->head.frozen->series_count;
    s.newest_ms = db->head.newest_ms;
    s.future_ms = env_realtime_ms(db->env) + db->head.limits.max_future_ms;
    s.retention_now_ms = retention_now_ms(&db->head);
    s.tenants = db->head.tenant_count;
    for (const struct head_view *v = db->head.views.oldest; v != NULL; v = v->newer) {
        int64_t age_ns = now_ns - v->opened_ns;
        if (age_ns > s.view_oldest_ns) s.view_oldest_ns = age_ns;
        s.views++;
    }
    s.views_lost_total = db->head.views.lost_total;
    s.disk_low = db->head.disk_low;
    s.dir = db->head.dir;
    s.clock = db->head.clock;
    memcpy(s.metadata_rejected, db->head.metadata_rejected, sizeof s.metadata_rejected);
    lock_drop(&db->head.lock);
    s.head_bytes = budget_used(&db->head.budget);
    s.store_pos = atomic_load(&db->store_pos);
    s.flushes_total = atomic_load(&db->flushes_total);
    s.flush_failures_total = atomic_load(&db->flush_failures_total);
    s.undone_epochs_total = atomic_load(&db->undone_epochs_total);
    s.merges_total = atomic_load(&db->merges_total);
    s.merge_failures_total = atomic_load(&db->merge_failures_total);
    s.merge_bytes_total = atomic_load(&db->merge_bytes_total);
    s.free_bytes = atomic_load(&db->free_bytes);
    s.down = s.wal.down;
    *ret = s;
}

void
tsdb_watch_arrivals(struct tsdb *db, struct time_range late)
{
    atomic_store_explicit(&db->head.late_min_ms, late.min_ms, memory_order_relaxed);
    atomic_store_explicit(&db->head.late_max_ms, late.max_ms, memory_order_relaxed);
}

struct tsdb_arrivals
tsdb_arrivals(struct tsdb *db, struct bytes tenant)
{
    lock_take(&db->head.lock);
    const struct tenant *t = tenant_find(&db->head, tenant);
    struct tsdb_arrivals arrivals = t == NULL ? (struct tsdb_arrivals){0} : t->arrivals;
    lock_drop(&db->head.lock);
    return arrivals;
}

/* Tenants are never removed, and keep their order, so only numbers are copied under the lock. */
void
tsdb_ledgers(struct tsdb *db,
             void (*each)(void *context, struct bytes tenant, const struct ledger *ledger),
             void *context)
{
    struct {
        struct bytes name;
        struct ledger total;
    } copies[LEDGERS_AT_ONCE];
    for (uint32_t done = 0, count = LEDGERS_AT_ONCE; count == LEDGERS_AT_ONCE; done += count) {
        lock_take(&db->head.lock);
        for (count = 0; count < LEDGERS_AT_ONCE && done + count < db->head.tenant_count; count++) {
            copies[count].name = db->head.tenants[done + count]->name;
            /* The final account of a tenant: without commits that may still be undone, so that no
             * count decreases; stored and pending samples as they are counted, not as they should
             * be. */
            const struct tenant *t = db->head.tenants[done + count];
            struct ledger l = t->total;
            for (unsigned slot = 0; slot < 2; slot++)
                if (t->change_epoch[slot] > db->head.durable_epoch)
                    ledger_subtract(&l, &t->change[slot]);
            memcpy(l.stored, t->in_parts, sizeof l.stored);
            copies[count].total = l;
        }
        lock_drop(&db->head.lock);
        for (uint32_t i = 0; i < count; i++)
            each(context, copies[i].name, &copies[i].total);
    }
}

void
tsdb_budgets(struct tsdb *db, void (*each)(void *context, const struct budget *budget),
             void *context)
{
    each(context, &db->head.budget);
    each(context, &db->cache_budget);
    each(context, &db->wal_budget);
    each(context, &db->flush_budget);
    each(context, &db->head.views.budget);
    each(context, &db->merge_budget);
}

void
tsdb_parts(struct tsdb *db, void (*each)(void *context, const struct part_info *part),
           void *context)
{
    struct version *v = live_pin(&db->live);
    for (uint32_t i = 0; i < v->part_count; i++)
        each(context, part_info(v->parts[i]));
    version_unref(v);
}

/* --- rankings --------------------------------------------------------------------------------- */

/* An entry of a heap of the largest so far, whose top is the least. */
struct ranked {
    uint64_t count;
    uint32_t id; /* id of a name or a pair */
};
struct ranking {
    struct ranked *items;
    uint32_t count, max;
};

static void
rank(struct ranking *r, uint64_t count, uint32_t id)
{
    struct ranked item = {count, id};
    if (r->count < r->max) {
        heap_up(r->items, r->count, item, a->count < b->count);
        r->count++;
    } else if (r->max > 0 && count > r->items[0].count) {
        heap_down(r->items, r->count, 0, item, a->count < b->count);
    }
}

static void
rank_names(const struct registry *r, const struct registry_tenant *t, struct ranking *rankings,
           uint64_t *ret_pairs)
{
    uint32_t id, pair_id;
    struct id_walk names = id_list_walk(&t->names);
    while (id_walk_next(&names, &id)) {
        const struct registry_name *n = registry_name(r, id);
        bool is_name = bytes_equal_text(n->text, "__name__");
        uint64_t bytes = 0;
        struct id_walk pairs = id_list_walk(&n->pairs);
        while (id_walk_next(&pairs, &pair_id)) {
            uint64_t series = registry_pair_use(r, pair_id)->series.count;
            bytes += series * pair_label(registry_pair(r, pair_id)).value.size;
            rank(&rankings[TSDB_PAIRS_BY_SERIES], series, pair_id);
            if (is_name) rank(&rankings[TSDB_METRICS_BY_SERIES], series, pair_id);
        }
        rank(&rankings[TSDB_NAMES_BY_VALUES], n->pairs.count, id);
        rank(&rankings[TSDB_NAMES_BY_BYTES], bytes, id);
        *ret_pairs += n->pairs.count;
    }
}

/* Returns the text of a name or a pair; `at` is NULL if memory is refused. */
static struct bytes
shown_name(const struct registry *r, enum tsdb_ranking ranking, uint32_t id, struct arena *arena)
{
    bool is_pair = ranking == TSDB_METRICS_BY_SERIES || ranking == TSDB_PAIRS_BY_SERIES;
    if (!is_pair) return arena_copy(arena, registry_name(r, id)->text);
    struct label label = pair_label(registry_pair(r, id));
    if (ranking == TSDB_METRICS_BY_SERIES) return arena_copy(arena, label.value);
    size_t size = label.name.size + 1 + label.value.size;
    uint8_t *text = arena_alloc(arena, size);
    if (text == NULL) return (struct bytes){NULL, 0};
    memcpy(text, label.name.at, label.name.size);
    text[label.name.size] = '=';
    memcpy(text + label.name.size + 1, label.value.at, label.value.size);
    return bytes_of(text, size);
}

static int
compare_cardinality(const void *a, const void *b)
{
    const struct tsdb_cardinality *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return bytes_compare(x->name, y->name);
}

/* Only the texts of the result are copied under the lock. */
enum err
tsdb_top(struct tsdb *db, struct bytes tenant_name, struct arena *arena, uint32_t max,
         struct tsdb_top *ret)
{
    struct ranking rankings[TSDB_RANKING_COUNT];
    struct tsdb_top top = {0};
    enum err e = OK;
    for (unsigned i = 0; i < TSDB_RANKING_COUNT; i++) {
        rankings[i] =
            (struct ranking){arena_alloc(arena, (max + 1u) * sizeof(struct ranked)), 0, max};
        top.items[i] = arena_alloc(arena, (max + 1u) * sizeof **top.items);
        if (rankings[i].items == NULL || top.items[i] == NULL) return ERR_NOMEM;
    }
    lock_take(&db->head.lock);
    const struct registry *r = db->head.active->registry;
    const struct tenant *tenant = tenant_find(&db->head, tenant_name);
    const struct registry_tenant *t = tenant == NULL ? NULL : registry_tenant(r, tenant->id);
    if (t != NULL) rank_names(r, t, rankings, &top.pairs);
    if (t != NULL) top.series = t->series.count;
    for (unsigned i = 0; i < TSDB_RANKING_COUNT; i++) {
        for (uint32_t k = 0; k < rankings[i].count && e == OK; k++) {
            const struct ranked *item = &rankings[i].items[k];
            struct bytes name = shown_name(r, (enum tsdb_ranking)i, item->id, arena);
            if (name.at == NULL) e = ERR_NOMEM;
            top.items[i][top.counts[i]++] = (struct tsdb_cardinality){name, item->count};
        }
    }
    lock_drop(&db->head.lock);
    if (e) return e;
    for (unsigned i = 0; i < TSDB_RANKING_COUNT; i++)
        if (top.counts[i] > 1)
            qsort(top.items[i], top.counts[i], sizeof **top.items, compare_cardinality);
    *ret = top;
    return OK;
}

/* --- stretches of the log --------------------------------------------------------------------- */

uint64_t
tsdb_store_pos(const struct tsdb *db)
{
    return atomic_load(&db->store_pos);
}

bool
tsdb_store_totals(struct tsdb *db, uint64_t pos, uint64_t ret_totals[LEDGER_KIND_COUNT])
{
    lock_take(&db->head.lock);
    bool known = db->stored_known && atomic_load(&db->store_pos) == pos;
    if (known) memcpy(ret_totals, db->stored_totals, sizeof db->stored_totals);
    lock_drop(&db->head.lock);
    return known;
}

bool
tsdb_lacks(const struct tsdb *db, uint64_t from_pos, uint64_t to_pos)
{
    for (uint32_t i = 0; i < db->gaps.count && from_pos >= db->replayed_pos; i++)
        if (from_pos >= db->gaps.of[i].from_pos && to_pos <= db->gaps.of[i].to_pos) return true;
    return false;
}

bool
tsdb_lacks_end(const struct tsdb *db, uint64_t pos)
{
    return pos >= db->replayed_pos && pos <= db->opened_pos;
}

void
tsdb_want_parts(struct tsdb *db)
{
    lock_take(&db->head.lock);
    db->head.parts_wanted = true;
    lock_drop(&db->head.lock);
}

bool
tsdb_stretch_next_ms(struct tsdb *db, const struct tsdb_stretch *stretch, int64_t from_ms,
                     int64_t *ret_ms)
{
    struct version *version = live_pin(&db->live);
    bool found = false;
    for (uint32_t i = 0; i < version->part_count; i++) {
        const struct part_info *info = part_info(version->parts[i]);
        if (!stretch_has(stretch, version->parts[i]) || info->time.max_ms < from_ms) continue;
        int64_t ms = info->time.min_ms > from_ms ? info->time.min_ms : from_ms;
        if (!found || ms < *ret_ms) *ret_ms = ms;
        found = true;
    }
    version_unref(version);
    return found;
}

bool
tsdb_stretch_next_tenant(struct tsdb *db, const struct tsdb_stretch *stretch, struct bytes after,
                         struct buf *ret_name)
{
    struct version *version = live_pin(&db->live);
    struct bytes first = {NULL, 0};
    for (uint32_t i = 0; i < version->part_count; i++) {
        const struct part *part = version->parts[i];
        for (uint32_t t = 0; stretch_has(stretch, part) && t < part_tenant_count(part); t++) {
            struct bytes name = part_tenant_at(part, t)->name;
            if (bytes_compare(name, after) <= 0) continue;
            if (first.at == NULL || bytes_compare(name, first) < 0) first = name;
        }
    }
    if (first.at != NULL) buf_put_bytes(ret_name, first);
    version_unref(version);
    return first.at != NULL;
}

enum err
tsdb_stretch_view(struct tsdb *db, const struct tsdb_stretch *stretch,
                  struct query_control *control, struct view **ret_view, struct why *why)
{
    struct store_view *view;
    enum err e = store_view_open(&db->head, VIEW_PARTS, control == NULL ? NULL : control->budget,
                                 &view, why);
    if (e) return e;
    view->stretch = *stretch;
    *ret_view = &view->view;
    return OK;
}

static void
add_gone(void *context, struct bytes tenant, const struct ledger *ledger)
{
    (void)tenant;
    struct tsdb_gone *const *all = context; /* samples, exemplars */
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        struct tsdb_gone *gone = all[kind == LEDGER_EXEMPLAR];
        const uint64_t *count = ledger->count[kind];
        gone->deleted += count[LEDGER_DELETED];
        gone->expired += count[LEDGER_EXPIRED];
        gone->damaged += count[LEDGER_DAMAGED];
        gone->superseded += count[LEDGER_SUPERSEDED] + count[LEDGER_DUPLICATE] +
                            count[LEDGER_SUPERSEDED_BY_WINDOW] + count[LEDGER_MISSED_BY_WINDOW];
    }
}

void
tsdb_gone(struct tsdb *db, struct tsdb_gone *ret_samples, struct tsdb_gone *ret_exemplars)
{
    struct tsdb_gone *all[] = {ret_samples, ret_exemplars};
    *ret_samples = *ret_exemplars = (struct tsdb_gone){0};
    tsdb_ledgers(db, add_gone, all);
}
