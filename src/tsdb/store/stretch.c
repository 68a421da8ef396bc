/*
 * stretch.c - reads samples of a log range from parts; borders that merges respect.
 *
 * Invariant: a border is set and freed only between tsdb_border_new() and tsdb_border_free().
 */
#include <assert.h>

#include "tsdb/store/store.h"

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
    for (uint32_t i = 0; i < db->gaps.count && from_pos >= db->replayed_pos; i++) {
        if (from_pos >= db->gaps.of[i].from_pos && to_pos <= db->gaps.of[i].to_pos) return true;
    }
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

/* --- borders ---------------------------------------------------------------------------------- */

enum err
tsdb_border_new(struct tsdb *db, uint32_t *ret_border)
{
    uint32_t i = 0;
    lock_take(&db->live.lock);
    while (i < BORDERS_MAX && db->borders[i].used) {
        i++;
    }
    if (i < BORDERS_MAX) db->borders[i] = (struct border){.used = true};
    lock_drop(&db->live.lock);
    *ret_border = i;
    return i < BORDERS_MAX ? OK : ERR_LIMIT;
}

void
tsdb_border_free(struct tsdb *db, uint32_t border)
{
    assert(border < BORDERS_MAX);
    lock_take(&db->live.lock);
    assert(db->borders[border].used);
    db->borders[border].used = false;
    lock_drop(&db->live.lock);
}

void
tsdb_border_set(struct tsdb *db, uint32_t border, uint64_t pos)
{
    assert(border < BORDERS_MAX);
    lock_take(&db->live.lock);
    assert(db->borders[border].used);
    db->borders[border].pos = pos;
    lock_drop(&db->live.lock);
}

uint32_t
borders_list(struct tsdb *db, uint64_t *ret_positions)
{
    uint32_t count = 0;
    lock_take(&db->live.lock);
    for (uint32_t i = 0; i < BORDERS_MAX; i++) {
        const struct border *b = &db->borders[i];
        if (b->used && b->pos > 0) ret_positions[count++] = b->pos;
    }
    assert(count <= BORDERS_MAX);
    lock_drop(&db->live.lock);
    return count;
}
