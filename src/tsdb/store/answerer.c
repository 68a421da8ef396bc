/* answerer.c - answers queries from the store. */
#include "tsdb/store/store.h"

/* Makes acknowledged but uncommitted samples visible, too. */
static void
commit_acknowledged(struct tsdb *db)
{
    if (!db->options.ack_memory || db->options.commit_now == NULL) return;
    lock_take(&db->head.lock);
    bool behind =
        !wal_is_down(db->wal) && wal_filling(db->wal).epoch - 1 != head_visible_epoch(&db->head);
    lock_drop(&db->head.lock);
    if (behind || tsdb_commit_due(db)) db->options.commit_now(db->options.commit_context);
}

static enum err
tsdb_open_view(struct answerer *answerer, struct query_control *control, struct view **ret_view,
               struct why *why)
{
    struct tsdb *db = (struct tsdb *)answerer;
    struct store_view *v;
    commit_acknowledged(db);
    enum err e =
        store_view_open(&db->head, VIEW_ALL, control == NULL ? NULL : control->budget, &v, why);
    if (e == OK) *ret_view = &v->view;
    return e;
}

static void
widen(struct time_range *range, int64_t min_ms, int64_t max_ms)
{
    if (min_ms < range->min_ms) range->min_ms = min_ms;
    if (max_ms > range->max_ms) range->max_ms = max_ms;
}

static void
tsdb_find_range(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms)
{
    struct tsdb *db = (struct tsdb *)answerer;
    struct time_range range = {INT64_MAX, INT64_MIN};
    lock_take(&db->live.lock);
    for (uint32_t i = 0; i < db->live.version->part_count; i++) {
        const struct part_info *info = part_info(db->live.version->parts[i]);
        widen(&range, info->min_ms, info->max_ms);
    }
    lock_take(&db->head.lock);
    widen(&range, db->head.active->min_ms, db->head.active->max_ms);
    if (db->head.frozen != NULL) widen(&range, db->head.frozen->min_ms, db->head.frozen->max_ms);
    lock_drop(&db->head.lock);
    lock_drop(&db->live.lock);
    *ret_min_ms = range.min_ms;
    *ret_max_ms = range.max_ms;
}

/* The answerer is freed with the store. */
static void
free_answerer(struct answerer *answerer)
{
    (void)answerer;
}

const struct answerer_ops tsdb_answerer_ops = {tsdb_open_view, tsdb_find_range, free_answerer};
