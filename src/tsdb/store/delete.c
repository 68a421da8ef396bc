/*
 * delete.c - what is deleted is hidden at once, and goes from disk when its part is written anew.
 *
 * The head is flushed before (by the caller): so a deletion is of parts alone, and what it hides
 * came before the position of the store at the moment of its edit. What comes later, also the same
 * again, is new.
 */
#include "tsdb/store/store.h"

/* Nothing of the tenant lies there in that time. */
static bool
is_pointless(struct tsdb *db, struct bytes tenant, struct time_range range)
{
    bool any = false;
    lock_take(&db->live.lock);
    for (uint32_t i = 0; i < db->live.version->part_count; i++) {
        const struct part_info *info = part_info(db->live.version->parts[i]);
        any |= ranges_meet(range, (struct time_range){info->min_ms, info->max_ms}) &&
               part_tenant(db->live.version->parts[i], tenant) != NULL;
    }
    lock_drop(&db->live.lock);
    return !any;
}

static uint64_t
next_id(struct tsdb *db)
{
    lock_take(&db->live.lock);
    uint64_t id = db->live.version->tombstones->last_id + 1;
    lock_drop(&db->live.lock);
    return id;
}

enum err
tsdb_delete(struct tsdb *db, struct bytes tenant, struct selector *selector, int64_t min_ms,
            int64_t max_ms, struct tsdb_deletion *ret_deletion, struct why *why)
{
    struct tombstone *tombstone = NULL;
    struct tsdb_deletion counted = {0, 0};
    struct time_range range = {min_ms, max_ms};
    struct matcher_set set = {selector->matchers, selector->count};
    struct query_request request = {
        .tenant = tenant, .sets = &set, .set_count = 1, .min_ms = min_ms, .max_ms = max_ms};
    *ret_deletion = counted;
    enum err e = OK;
    if (min_ms > max_ms || is_pointless(db, tenant, range)) goto out;
    e = parts_count(&db->head, &request, &counted.series, &counted.samples, why);
    if (e == OK) {
        e = tombstone_new(&db->cache_budget, next_id(db), tenant, selector->matchers,
                          selector->count, range, env_realtime_ms(db->env), &tombstone);
    }
    if (e) goto out;
    selector->count = 0; /* the tombstone has them now */
    struct store_edit edit = {.tombstone = tombstone};
    e = store_edit(db, &edit, why);
    if (e == OK) *ret_deletion = counted;
out:
    tombstone_unref(tombstone);
    selector_fini(selector);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory to delete series") : e;
}
