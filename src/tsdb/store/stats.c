/*
 * stats.c - what is shown of a store: numbers, accounts of tenants, budgets, what has most series.
 * Nothing is handed to a caller under a lock.
 */
#include <stdlib.h>

#include "tsdb/store/store.h"

enum { LEDGERS_AT_ONCE = 16 };

static void
stats_of_parts(struct tsdb *db, struct tsdb_stats *s)
{
    lock_take(&db->live.lock);
    const struct version *v = db->live.version;
    s->parts = v->part_count;
    s->tombstones = v->tombstones->count;
    for (uint32_t i = 0; i < v->part_count; i++) {
        const struct part_info *info = part_info(v->parts[i]);
        s->part_bytes += info->file_bytes;
        s->parts_left_alone += part_is_left_alone(v->parts[i]);
        s->part_data_bytes += info->data_bytes;
        s->part_samples += info->sample_count[LEDGER_FLOAT] + info->sample_count[LEDGER_HISTOGRAM];
        s->part_exemplars += info->sample_count[LEDGER_EXEMPLAR];
        s->part_series += info->series_count;
        if (info->min_ms < s->oldest_ms) s->oldest_ms = info->min_ms;
    }
    lock_drop(&db->live.lock);
}

void
tsdb_stats(struct tsdb *db, struct tsdb_stats *ret)
{
    struct tsdb_stats s = {.oldest_ms = INT64_MAX};
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
    }
    s.frozen_series = db->head.frozen == NULL ? 0 : db->head.frozen->series_count;
    s.newest_ms = db->head.newest_ms;
    s.retention_now_ms = retention_now_ms(&db->head);
    s.tenants = db->head.tenant_count;
    for (const struct head_view *v = db->head.views.oldest; v != NULL; v = v->newer) {
        int64_t age_ns = now_ns - v->opened_ns;
        if (age_ns > s.view_oldest_ns) s.view_oldest_ns = age_ns;
        s.views++;
    }
    s.views_lost_total = db->head.views.lost_total;
    s.disk_low = db->head.disk_low;
    s.dir_moved = db->head.dir_moved;
    s.clock_suspect = db->head.clock_suspect;
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

/* Tenants never go, and keep their order: only the numbers must be copied under the lock. */
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
            /*
             * What a tenant's account is for good: without commits that may still be taken back, so
             * that no count ever goes down; with what is stored and pending as it is there, and not
             * as it should be.
             */
            const struct tenant *t = db->head.tenants[done + count];
            struct ledger l = t->total;
            for (unsigned slot = 0; slot < 2; slot++) {
                if (t->change_epoch[slot] > db->head.durable_epoch)
                    ledger_subtract(&l, &t->change[slot]);
            }
            memcpy(l.stored, t->in_parts, sizeof l.stored);
            copies[count].total = l;
        }
        lock_drop(&db->head.lock);
        for (uint32_t i = 0; i < count; i++) {
            each(context, copies[i].name, &copies[i].total);
        }
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

static int
by_count_down(const void *a, const void *b)
{
    uint64_t x = ((const struct tsdb_cardinality *)a)->count;
    uint64_t y = ((const struct tsdb_cardinality *)b)->count;
    return (x < y) - (x > y);
}

enum err
tsdb_top(struct tsdb *db, struct bytes tenant_name, struct arena *arena, uint32_t count,
         struct tsdb_cardinality *ret_metrics, uint32_t *ret_metric_count,
         struct tsdb_cardinality *ret_names, uint32_t *ret_name_count)
{
    enum err e = OK;
    uint32_t metrics = 0, names = 0;
    struct tsdb_cardinality *all = NULL, *all_names = NULL;
    lock_take(&db->head.lock);
    const struct registry *r = db->head.active->registry;
    const struct tenant *tenant = tenant_find(&db->head, tenant_name);
    const struct registry_tenant *t = tenant == NULL ? NULL : registry_tenant(r, tenant->id);
    if (t != NULL) {
        all = arena_alloc(arena, (r->pairs.count + 1u) * sizeof *all);
        all_names = arena_alloc(arena, (t->names.count + 1u) * sizeof *all_names);
        if (all == NULL || all_names == NULL) e = ERR_NOMEM;
    }
    uint32_t id;
    struct id_walk walk = t == NULL ? (struct id_walk){0} : id_list_walk(&t->names);
    while (e == OK && id_walk_next(&walk, &id)) {
        const struct registry_name *n = registry_name(r, id);
        struct bytes name = arena_copy(arena, n->text);
        if (name.at == NULL) e = ERR_NOMEM;
        all_names[names++] = (struct tsdb_cardinality){name, n->pairs.count};
        if (!bytes_equal_text(n->text, "__name__")) continue;
        struct id_walk pairs = id_list_walk(&n->pairs);
        while (e == OK && id_walk_next(&pairs, &id)) {
            struct bytes value = arena_copy(arena, pair_label(registry_pair(r, id)).value);
            if (value.at == NULL) e = ERR_NOMEM;
            all[metrics++] =
                (struct tsdb_cardinality){value, registry_pair_use(r, id)->series.count};
        }
    }
    lock_drop(&db->head.lock);
    if (e) return e;
    if (metrics > 1) qsort(all, metrics, sizeof *all, by_count_down);
    if (names > 1) qsort(all_names, names, sizeof *all_names, by_count_down);
    *ret_metric_count = metrics < count ? metrics : count;
    *ret_name_count = names < count ? names : count;
    for (uint32_t i = 0; i < *ret_metric_count; i++) {
        ret_metrics[i] = all[i];
    }
    for (uint32_t i = 0; i < *ret_name_count; i++) {
        ret_names[i] = all_names[i];
    }
    return OK;
}
