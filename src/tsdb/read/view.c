/*
 * view.c - what there is at one moment, and what can be asked of it. A view holds the parts and the
 * generations there were when it was opened, and one epoch of the head (views.h); each answer that
 * is being given holds the view.
 */
#include <assert.h>

#include "tsdb/read/select_private.h"

/* Void epochs behind the durable one count as seen: samples that come next are two epochs away at
 * most, see view_notes.h. */
static uint64_t
visible_epoch(const struct tsdb *db)
{
    if (db->undo_due) return db->durable_epoch;
    uint32_t slot = (db->void_count - 1) % VOIDS_REMEMBERED;
    bool voids_follow = db->void_count > 0 && db->voids[slot].first == db->durable_epoch + 1;
    return voids_follow ? db->voids[slot].last : db->durable_epoch;
}

/* What was acknowledged before it was committed is to be seen, too. */
static void
commit_acknowledged(struct tsdb *db)
{
    if (!db->options.ack_memory || db->options.commit_now == NULL) return;
    lock_take(&db->head_lock);
    bool behind = !wal_is_down(db->wal) && wal_place(db->wal).epoch - 1 != visible_epoch(db);
    lock_drop(&db->head_lock);
    if (behind || tsdb_commit_due(db)) db->options.commit_now(db->options.commit_context);
}

static void
free_view(struct view *view)
{
    store_view_unref((struct store_view *)view);
}

static const struct view_ops store_view_ops = {
    .select = store_samples,
    .exemplars = store_exemplars,
    .metadata = store_metadata,
    .label_names = store_label_names,
    .label_values = store_label_values,
    .series = store_series,
    .free = free_view,
};

enum err
store_view_open(struct tsdb *db, enum view_scope scope, struct budget *budget,
                struct store_view **ret_view, struct why *why)
{
    struct store_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) return why_set(why, ERR_NOMEM, "no memory for the query");
    v->view.ops = &store_view_ops;
    v->db = db;
    v->budget = budget;
    atomic_init(&v->references, 1);
    if (scope == VIEW_ALL) commit_acknowledged(db);
    lock_take(&db->lock);
    v->version = db->version;
    atomic_fetch_add_explicit(&db->version->references, 1, memory_order_relaxed);
    lock_take(&db->head_lock);
    if (scope == VIEW_ALL) {
        v->gens[0] = db->frozen;
        v->gens[1] = db->active;
        if (v->gens[0] != NULL) gen_ref(v->gens[0]);
        gen_ref(v->gens[1]);
    }
    v->epoch = visible_epoch(db);
    views_open(&db->views, &v->head, (uint32_t)v->epoch, env_monotonic_ns(db->env));
    v->head.lost = scope == VIEW_PARTS; /* nothing is to be noted for it */
    lock_drop(&db->head_lock);
    lock_drop(&db->lock);
    *ret_view = v;
    return OK;
}

void
store_view_unref(struct store_view *v)
{
    struct tsdb *db = v->db;
    uint32_t before = atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    lock_take(&db->head_lock);
    views_close(&db->views, &v->head);
    for (unsigned i = 0; i < 2; i++) {
        if (v->gens[i] != NULL) view_notes_trim(&v->gens[i]->notes, &db->views);
    }
    view_notes_trim(&db->active->notes, &db->views);
    lock_drop(&db->head_lock);
    version_unref(v->version);
    gen_unref(v->gens[0]);
    gen_unref(v->gens[1]);
    mem_free(v->budget, v, sizeof *v);
}

enum err
store_view_check(const struct store_view *v, struct why *why)
{
    if (!v->head.lost) return OK;
    return why_set(
        why, ERR_AGAIN,
        "what the query has seen of recent samples is not known any more, after a commit "
        "failed or for want of memory: ask again");
}

/* --- the answerer ----------------------------------------------------------------------------- */

static enum err
open_view(struct answerer *answerer, struct query_control *control, struct view **ret_view,
          struct why *why)
{
    struct store_view *v;
    enum err e = store_view_open((struct tsdb *)answerer, VIEW_ALL,
                                 control == NULL ? NULL : control->budget, &v, why);
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
find_range(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms)
{
    struct tsdb *db = (struct tsdb *)answerer;
    struct time_range range = {INT64_MAX, INT64_MIN};
    lock_take(&db->lock);
    for (uint32_t i = 0; i < db->version->part_count; i++) {
        const struct part_info *info = part_info(db->version->parts[i]);
        widen(&range, info->min_ms, info->max_ms);
    }
    lock_take(&db->head_lock);
    widen(&range, db->active->min_ms, db->active->max_ms);
    if (db->frozen != NULL) widen(&range, db->frozen->min_ms, db->frozen->max_ms);
    lock_drop(&db->head_lock);
    lock_drop(&db->lock);
    *ret_min_ms = range.min_ms;
    *ret_max_ms = range.max_ms;
}

/* It goes with the store. */
static void
free_answerer(struct answerer *answerer)
{
    (void)answerer;
}

const struct answerer_ops tsdb_answerer_ops = {open_view, find_range, free_answerer};
