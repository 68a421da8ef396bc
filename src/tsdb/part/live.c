/*
 * live.c - versions of the live parts, and tombstones, both reference-counted.
 *
 * Invariants of a version that other threads can see:
 *  1. It holds a reference to each of its parts and to its tombstones.
 *  2. Its parts are in the order of the log: by from_pos. Each part is in it once.
 */
#include "tsdb/part/live.h"

#include "tsdb/part/walk.h"

#include <assert.h>
#include <roaring/roaring.h>

/* --- a tombstone ------------------------------------------------------------------------------ */

static size_t
tombstone_bytes(uint32_t matcher_count, size_t tenant_size)
{
    return sizeof(struct tombstone) + matcher_count * sizeof(struct matcher *) + tenant_size;
}

enum err
tombstone_new(struct budget *budget, uint64_t id, struct bytes tenant,
              struct matcher *const *matchers, uint32_t matcher_count, struct time_range range,
              int64_t made_ms, struct tombstone **ret_tombstone)
{
    struct tombstone *t = mem_new(budget, tombstone_bytes(matcher_count, tenant.size));
    if (t == NULL) return ERR_NOMEM;
    atomic_init(&t->references, 1);
    t->budget = budget;
    t->id = id;
    t->made_ms = made_ms;
    t->range = range;
    t->matcher_count = matcher_count;
    for (uint32_t i = 0; i < matcher_count; i++)
        t->matchers[i] = matchers[i];
    uint8_t *name = (uint8_t *)(t->matchers + matcher_count);
    memcpy(name, tenant.at, tenant.size);
    t->tenant = bytes_of(name, tenant.size);
    *ret_tombstone = t;
    return OK;
}

void
tombstone_unref(struct tombstone *t)
{
    if (t == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    for (uint32_t i = 0; i < t->matcher_count; i++)
        matcher_free(t->matchers[i]);
    mem_free(t->budget, t, tombstone_bytes(t->matcher_count, t->tenant.size));
}

bool
tombstone_concerns(const struct tombstone *t, const struct part *part)
{
    const struct part_info *info = part_info(part);
    return part_applied(part) < t->id && info->from_pos < t->pos &&
           ranges_meet(t->range, info->time) && part_tenant(part, t->tenant) != NULL;
}

/* --- sets of tombstones ----------------------------------------------------------------------- */

static size_t
set_bytes(uint32_t count)
{
    return sizeof(struct tombstones) + count * sizeof(struct tombstone *);
}

enum err
tombstones_of(struct budget *budget, uint64_t last_id, struct tombstone *const *items,
              uint32_t count, struct tombstones **ret_set)
{
    struct tombstones *set = mem_new(budget, set_bytes(count));
    if (set == NULL) return ERR_NOMEM;
    atomic_init(&set->references, 1);
    set->budget = budget;
    set->last_id = last_id;
    set->count = count;
    for (uint32_t i = 0; items != NULL && i < count; i++)
        set->items[i] = items[i];
    *ret_set = set;
    return OK;
}

enum err
tombstones_new(struct budget *budget, const struct tombstones *from,
               bool (*keep)(void *context, const struct tombstone *tombstone), void *context,
               struct tombstone *const *added, uint32_t added_count, struct tombstones **ret_set)
{
    struct tombstones *set;
    uint32_t count = added_count, at = 0;
    for (uint32_t i = 0; i < from->count; i++)
        count += keep == NULL || keep(context, from->items[i]);
    uint64_t last_id = added_count > 0 ? added[added_count - 1]->id : from->last_id;
    enum err e = tombstones_of(budget, last_id, NULL, count, &set);
    if (e) return e;
    for (uint32_t i = 0; i < from->count; i++)
        if (keep == NULL || keep(context, from->items[i])) set->items[at++] = from->items[i];
    for (uint32_t i = 0; i < added_count; i++)
        set->items[at++] = added[i];
    assert(at == count);
    for (uint32_t i = 0; i < count; i++)
        atomic_fetch_add_explicit(&set->items[i]->references, 1, memory_order_relaxed);
    *ret_set = set;
    return OK;
}

void
tombstones_unref(struct tombstones *set)
{
    if (set == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    for (uint32_t i = 0; i < set->count; i++)
        tombstone_unref(set->items[i]);
    mem_free(set->budget, set, set_bytes(set->count));
}

struct tombstone *
tombstones_find(const struct tombstones *set, uint64_t id)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->items[i]->id == id) return set->items[i];
    return NULL;
}

/* --- deletions in a part ---------------------------------------------------------------------- */

enum err
tombstones_of_part(const struct tombstones *set, struct part *part, struct bytes tenant,
                   struct arena *arena, struct part_deletion **ret_deletions, uint32_t *ret_count,
                   struct why *why)
{
    uint32_t count = 0;
    *ret_count = 0;
    *ret_deletions = NULL;
    if (set->count == 0) return OK;
    struct part_deletion *list = arena_alloc(arena, set->count * sizeof *list);
    if (list == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct tombstone *t = set->items[i];
        const roaring_bitmap_t *series;
        if (tenant.at != NULL && !bytes_equal(tenant, t->tenant)) continue;
        if (!tombstone_concerns(t, part)) continue;
        if (!part_hidden_find(part, t->id, &series)) { /* kept in the part for the next time */
            struct part_index index;
            roaring_bitmap_t *matched;
            enum err e = part_index_load(part, part_tenant(part, t->tenant), arena, &index, why);
            if (e == OK) e = part_match(&index, t->matchers, t->matcher_count, &matched, why);
            if (e == OK) e = part_hidden_add(part, t->id, matched, &series);
            if (e) return e;
        }
        if (roaring_bitmap_is_empty(series)) continue;
        list[count++] = (struct part_deletion){series, t->range};
    }
    *ret_deletions = list;
    *ret_count = count;
    return OK;
}

bool
deletions_hide(const struct part_deletion *list, uint32_t count, uint32_t series, int64_t t_ms)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct part_deletion *d = &list[i];
        if (t_ms < d->range.min_ms || t_ms > d->range.max_ms) continue;
        if (roaring_bitmap_contains(d->series, series)) return true;
    }
    return false;
}

/* --- versions --------------------------------------------------------------------------------- */

enum err
version_new(struct budget *budget, uint32_t part_count, struct version **ret)
{
    struct version *v = mem_new(budget, sizeof *v + part_count * sizeof v->parts[0]);
    if (v == NULL) return ERR_NOMEM;
    atomic_init(&v->references, 1);
    v->budget = budget;
    v->part_count = v->capacity = part_count;
    *ret = v;
    return OK;
}

void
version_ref(struct version *v)
{
    atomic_fetch_add_explicit(&v->references, 1, memory_order_relaxed);
}

struct version *
live_pin(struct live *live)
{
    lock_take(&live->lock);
    struct version *version = live->version;
    version_ref(version);
    lock_drop(&live->lock);
#ifdef LOCK_CHECK
    version_validate(version);
#endif
    return version;
}

void
version_unref(struct version *v)
{
    if (v == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    assert(v->part_count <= v->capacity);
    for (uint32_t i = 0; i < v->part_count; i++)
        part_unref(v->parts[i]); /* invariant 1 */
    tombstones_unref(v->tombstones);
    mem_free(v->budget, v, sizeof *v + v->capacity * sizeof v->parts[0]);
}

void
version_validate(const struct version *v)
{
    assert(atomic_load_explicit(&v->references, memory_order_relaxed) > 0);
    assert(v->part_count <= v->capacity);
    assert(v->tombstones != NULL); /* invariant 1 */
    for (uint32_t i = 1; i < v->part_count; i++) {
        const struct part *before = v->parts[i - 1], *part = v->parts[i];
        assert(part_info(before)->from_pos <= part_info(part)->from_pos); /* invariant 2 */
        assert(part_info(before)->number != part_info(part)->number);     /* invariant 2 */
    }
}

struct part *
version_metadata_part(const struct version *v)
{
    struct part *newest = NULL;
    for (uint32_t i = 0; i < v->part_count; i++) {
        struct part *p = v->parts[i];
        if (newest != NULL && part_info(newest)->to_pos > part_info(p)->to_pos) continue;
        for (uint32_t t = 0; t < part_tenant_count(p); t++) {
            if (part_tenant_at(p, t)->metadata_page == 0) continue;
            newest = p;
            break;
        }
    }
    return newest;
}
