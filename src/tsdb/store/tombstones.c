/*
 * tombstones.c - deletes samples: they are hidden at once, and leave the disk when their part is
 * rewritten; until then MANIFEST has a tombstone.
 *
 * The caller flushes the head first. So a deletion affects parts only, and hides samples that
 * arrived before the store's position when they are counted. Samples that arrive later are new,
 * even if they are the same. If a merge joins samples from before and after that position during
 * the count, the deletion hides what arrived before the store's position at its edit.
 *
 * Invariants:
 * 1. Numbers of tombstones ascend, are never given twice, and are at most last_id of the set.
 * 2. A tombstone hides no samples that arrived at or after its position, which is not after the
 *    store's.
 * 3. Matchers belong either to the selector or to the tombstone.
 *
 * receipts.c has the receipts of deletions, and undoes them.
 */
#include <assert.h>

#include "tsdb/store/store.h"

/* --- in MANIFEST ------------------------------------------------------------------------------ */

static enum err
read_one(struct budget *budget, const struct manifest_tombstone *from, uint64_t store_pos,
         struct tombstone **ret_tombstone, struct why *why)
{
    struct matcher *matchers[SELECTOR_MATCHERS_MAX];
    uint32_t count = 0;
    bool fits = from->matcher_count <= SELECTOR_MATCHERS_MAX;
    enum err e = fits && from->pos <= store_pos ? OK : ERR_CORRUPT; /* invariant 2 */
    for (; e == OK && count < from->matcher_count; count++) {
        const struct manifest_matcher *m = &from->matchers[count];
        e = matcher_new((enum matcher_type)m->type, m->name, m->pattern, NULL, &matchers[count],
                        why);
        if (e) break;
    }
    if (e == OK) {
        e = tombstone_new(budget, from->id, from->tenant, matchers, count, from->range,
                          from->made_ms, ret_tombstone);
    }
    if (e == OK) {
        (*ret_tombstone)->pos = from->pos;
        return OK;
    }
    for (uint32_t i = 0; i < count; i++) {
        matcher_free(matchers[i]);
    }
    return e == ERR_NOMEM ? e : why_set(why, ERR_CORRUPT, "a tombstone in MANIFEST is damaged");
}

static enum err
write_one(const struct tombstone *t, struct arena *arena, uint64_t store_pos,
          struct manifest_tombstone *to)
{
    assert(t->pos <= store_pos); /* invariant 2 */
    *to = (struct manifest_tombstone){.id = t->id,
                                      .pos = t->pos,
                                      .made_ms = t->made_ms,
                                      .range = t->range,
                                      .tenant = t->tenant,
                                      .matcher_count = t->matcher_count};
    to->matchers = arena_alloc(arena, (t->matcher_count + 1u) * sizeof *to->matchers);
    if (to->matchers == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < t->matcher_count; i++) {
        const struct matcher *m = t->matchers[i];
        to->matchers[i] = (struct manifest_matcher){(uint8_t)matcher_type(m), matcher_name(m),
                                                    matcher_pattern(m)};
    }
    return OK;
}

enum err
tombstones_read(struct budget *budget, const struct manifest *m, struct tombstones **ret_set,
                struct why *why)
{
    size_t bytes = (m->tombstone_count + 1u) * sizeof(struct tombstone *);
    struct tombstone **items = mem_alloc(budget, bytes);
    if (items == NULL) return ERR_NOMEM;
    enum err e = OK;
    uint32_t count = 0;
    while (count < m->tombstone_count && e == OK) {
        e = read_one(budget, &m->tombstones[count], m->store_pos, &items[count], why);
        if (e == OK) count++;
    }
    if (e == OK) e = tombstones_of(budget, m->last_tombstone, items, count, ret_set);
    while (e && count > 0) {
        tombstone_unref(items[--count]);
    }
    mem_free(budget, items, bytes);
    return e;
}

enum err
tombstones_write(const struct tombstones *set, struct arena *arena, struct manifest *m)
{
    assert(set->count == 0 || set->items[set->count - 1]->id <= set->last_id); /* invariant 1 */
    m->last_tombstone = set->last_id;
    m->tombstone_count = set->count;
    m->tombstones = arena_alloc(arena, (set->count + 1u) * sizeof *m->tombstones);
    if (m->tombstones == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < set->count; i++) {
        enum err e = write_one(set->items[i], arena, m->store_pos, &m->tombstones[i]);
        if (e) return e;
    }
    return OK;
}

/* --- deletions -------------------------------------------------------------------------------- */

/* True if no part has samples of the tenant in that time. A part that was set aside may have some,
 * and return. */
static bool
is_pointless(struct tsdb *db, const struct version *v, struct bytes tenant, struct time_range range)
{
    bool any = false;
    for (uint32_t i = 0; i < db->live.aside_count; i++) {
        any |= ranges_meet(range, db->live.aside[i].time);
    }
    for (uint32_t i = 0; i < v->part_count; i++) {
        const struct part_info *info = part_info(v->parts[i]);
        any |= ranges_meet(range, (struct time_range){info->min_ms, info->max_ms}) &&
               part_tenant(v->parts[i], tenant) != NULL;
    }
    return !any;
}

/* Returns the live parts, and the position before which they have all samples. */
static struct version *
pin_parts(struct tsdb *db, uint64_t *ret_pos)
{
    lock_take(&db->live.lock);
    struct version *v = db->live.version;
    version_ref(v);
    *ret_pos = atomic_load(&db->store_pos);
    lock_drop(&db->live.lock);
    return v;
}

static bool
rules_hide(struct tsdb *db)
{
    int64_t now_ms;
    lock_take(&db->head.lock);
    struct series_rules *rules = retention_rules(&db->head, &now_ms);
    lock_drop(&db->head.lock);
    bool any = rules != NULL;
    series_rules_unref(rules);
    return any;
}

/* Counts what the tombstone selects, though other tombstones or rules of retention hide some of it.
 */
static enum err
count_selected(struct tsdb *db, const struct version *v, const struct tombstone *t,
               const struct tsdb_deletion *counted, struct tsdb_deletion *ret, struct why *why)
{
    *ret = *counted;
    if (v->tombstones->count == 0 && !rules_hide(db)) return OK;
    return deletion_selects(db, v, t, NULL, ret, why);
}

static bool
keeps_any(void *context, const struct tombstone *tombstone)
{
    (void)context;
    (void)tombstone;
    return true;
}

/* Exchanges the version for one in which the tombstone hides samples, too. */
static enum err
hide_in(struct tsdb *db, struct tombstone *tombstone, struct version **version)
{
    struct version *old = *version, *next;
    enum err e = version_new(&db->cache_budget, old->part_count, &next);
    if (e) return e;
    for (uint32_t i = 0; i < old->part_count; i++) {
        next->parts[i] = old->parts[i];
        part_ref(next->parts[i]);
    }
    e = tombstones_new(&db->cache_budget, old->tombstones, keeps_any, NULL, &tombstone, 1,
                       &next->tombstones);
    version_unref(e ? next : old);
    if (e == OK) *version = next;
    return e;
}

/* Counts what the selector shows in the version, and hides it there. The tombstone and its receipt
 * are given. */
static enum err
make_deletion(struct tsdb *db, const struct query_request *shown, struct selector *selector,
              uint64_t pos, struct version **v, struct tombstone **ret_tombstone,
              struct receipt **ret_receipt, struct tsdb_deletion *counted, struct why *why)
{
    struct tombstone *t = NULL;
    struct tsdb_deletion selected;
    struct matcher_set set = {selector->matchers, selector->count};
    struct query_request request = *shown;
    request.sets = &set;
    enum err e = parts_count(&db->head, *v, COUNT_SHOWN, &request, counted, why);
    if (e == OK) {
        e = tombstone_new(&db->cache_budget, (*v)->tombstones->last_id + 1, request.tenant,
                          selector->matchers, selector->count,
                          (struct time_range){request.min_ms, request.max_ms},
                          env_realtime_ms(db->env), &t);
    }
    if (e) return e;
    assert(t->matcher_count == selector->count); /* invariant 3 */
    selector->count = 0;                         /* the tombstone owns them now */
    *ret_tombstone = t;
    counted->id = t->id;
    t->pos = pos;
    e = count_selected(db, *v, t, counted, &selected, why);
    if (e == OK) e = receipt_new(db, t, counted, &selected, ret_receipt, why);
    return e ? e : hide_in(db, t, v);
}

enum err
tsdb_delete(struct tsdb *db, struct bytes tenant, struct selector *selectors, uint32_t count,
            int64_t min_ms, int64_t max_ms, struct tsdb_deletion *ret_deletions, struct why *why)
{
    struct tombstone *tombstones[DELETIONS_KEPT_MAX] = {NULL};
    struct receipt *receipts[DELETIONS_KEPT_MAX] = {NULL};
    struct query_request request = {
        .tenant = tenant, .set_count = 1, .min_ms = min_ms, .max_ms = max_ms, .partial = true};
    const struct store_edit edit = {
        .tombstones = tombstones, .receipts = receipts, .deletion_count = count};
    enum err e = OK;
    uint64_t pos;
    struct version *v = pin_parts(db, &pos);
    assert(count <= DELETIONS_KEPT_MAX);
    bool is_needed =
        min_ms <= max_ms && !is_pointless(db, v, tenant, (struct time_range){min_ms, max_ms});
    memset(ret_deletions, 0, count * sizeof *ret_deletions);
    if (is_needed) e = receipts_have_room(db, count, why);
    for (uint32_t i = 0; is_needed && e == OK && i < count; i++) {
        e = make_deletion(db, &request, &selectors[i], pos, &v, &tombstones[i], &receipts[i],
                          &ret_deletions[i], why);
    }
    if (is_needed && e == OK) e = store_edit(db, &edit, why);
    if (e) memset(ret_deletions, 0, count * sizeof *ret_deletions);
    version_unref(v);
    for (uint32_t i = 0; i < count; i++) {
        if (e) receipt_drop(db, receipts[i]);
        tombstone_unref(tombstones[i]);
        selector_fini(&selectors[i]);
    }
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory to delete series") : e;
}

/* Surveys the parts alone, or with the head. */
static enum err
survey(struct tsdb *db, enum view_scope scope, const struct query_request *request,
       struct series_survey *ret, struct why *why)
{
    struct store_view *view;
    bool known;
    struct budget *budget = request->control == NULL ? NULL : request->control->budget;
    enum err e = store_view_open(&db->head, scope, budget, &view, why);
    if (e) return e;
    e = view_survey(&view->view, request, ret, &known, why);
    assert(known);
    store_view_unref(view);
    return e;
}

enum err
tsdb_delete_preview(struct tsdb *db, const struct query_request *request, struct tsdb_preview *ret,
                    struct why *why)
{
    struct series_survey all, parts;
    enum err e = survey(db, VIEW_PARTS, request, &parts, why);
    if (e == OK) e = survey(db, VIEW_ALL, request, &all, why);
    if (e) return e;
    uint64_t both = all.cost.bytes, stored = parts.cost.bytes;
    *ret = (struct tsdb_preview){
        .series = all.cost.series,
        .samples = all.cost.samples,
        .part_bytes = stored,
        .head_bytes = both > stored ? both - stored : 0, /* a flush may come between the two */
        .exact = all.exact,
    };
    return OK;
}
