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
 */
#include "base/text/time_text.h"
#include "model/storage_layout.h"
#include "tsdb/store/bucket.h"
#include "tsdb/store/store.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* --- receipts of deletions, and undoing them ---------------------------------------------------
 */

/*
 *
 *      tsdb_delete() --> held --- deletions_settle() --> final --- merges --> done
 *                          |
 *                          +--- tsdb_undelete() --> undone
 *
 * While a deletion is held, merges write what it hides to their outputs, and join no parts across
 * its position, so that its tombstone hides the same samples of the outputs. Undoing it removes the
 * tombstone by one edit of the manifest. A merge first settles which deletions it applies: from
 * then on they cannot be undone, even if its outputs never become live.
 *
 * Deletions become final in the order of their numbers, as a part says only which is the last one
 * that was applied to it.
 *
 * Invariants:
 * 1. Receipts ascend in number. Each tombstone that is not final has one.
 * 2. final_id never decreases, and only changes under the edit lock.
 */

enum { SELECTOR_TEXT_BYTES = 2048, SELECTORS_WAITING_BYTES_MAX = 64 << 20 };

/* NULL is fine. */
static void
receipt_free(struct tsdb *db, struct receipt *r)
{
    if (r != NULL) mem_free(&db->cache_budget, r, r->bytes);
}

static struct receipt *
receipt_copy(struct tsdb *db, const struct tsdb_receipt *facts)
{
    size_t bytes = sizeof(struct receipt) + facts->tenant.size + facts->selector.size;
    struct receipt *r = mem_new(&db->cache_budget, bytes);
    if (r == NULL) return NULL;
    uint8_t *tenant = (uint8_t *)(r + 1), *selector = tenant + facts->tenant.size;
    r->facts = *facts;
    r->bytes = bytes;
    memcpy(tenant, facts->tenant.at, facts->tenant.size);
    if (facts->selector.size > 0) memcpy(selector, facts->selector.at, facts->selector.size);
    r->facts.tenant = bytes_of(tenant, facts->tenant.size);
    r->facts.selector = bytes_of(selector, facts->selector.size);
    return r;
}

enum err
receipts_read(struct tsdb *db, const struct manifest *m, struct why *why)
{
    struct receipts *all = &db->receipts;
    all->final_id = m->final_tombstone;
    for (uint32_t i = 0; i < m->receipt_count; i++) {
        bool fits = all->count < DELETIONS_KEPT_MAX && m->receipts[i].id <= m->last_tombstone;
        if (i > 0) fits &= m->receipts[i - 1].id < m->receipts[i].id; /* invariant 1 */
        if (!fits) return why_set(why, ERR_CORRUPT, "a receipt in MANIFEST is damaged");
        struct receipt *r = receipt_copy(db, &m->receipts[i]);
        if (r == NULL) return ERR_NOMEM;
        all->items[all->count++] = r;
    }
    return OK;
}

static bool
is_held(const struct tsdb *db, const struct tsdb_receipt *r)
{
    return r->id > db->receipts.final_id && r->undone_ms == INT64_MIN;
}

/* The number of receipts that make room for those of an edit. */
static uint32_t
surplus(const struct tsdb *db, const struct store_edit *edit)
{
    uint32_t count = db->receipts.count + (edit == NULL ? 0 : edit->deletion_count);
    return count > DELETIONS_KEPT_MAX ? count - DELETIONS_KEPT_MAX : 0;
}

enum err
receipts_write(struct tsdb *db, const struct store_edit *edit, struct arena *arena,
               struct manifest *m)
{
    const struct receipts *all = &db->receipts;
    uint32_t added = edit == NULL ? 0 : edit->deletion_count, left_out = surplus(db, edit);
    m->final_tombstone = all->final_id;
    m->receipts = arena_alloc(arena, (all->count + added + 1u) * sizeof *m->receipts);
    if (m->receipts == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < all->count; i++) {
        if (left_out > 0 && !is_held(db, &all->items[i]->facts)) {
            left_out--;
            continue;
        }
        struct tsdb_receipt *r = &m->receipts[m->receipt_count++];
        *r = all->items[i]->facts;
        if (edit != NULL && edit->undo == r->id) r->undone_ms = env_realtime_ms(db->env);
    }
    for (uint32_t i = 0; i < added; i++)
        m->receipts[m->receipt_count++] = edit->receipts[i]->facts;
    return OK;
}

void
receipts_change(struct tsdb *db, const struct store_edit *edit)
{
    struct receipts *all = &db->receipts;
    assert(lock_is_mine(&db->edit_lock));
    for (uint32_t i = 0; edit->undo != 0 && i < all->count; i++) {
        struct tsdb_receipt *r = &all->items[i]->facts;
        if (r->id == edit->undo) r->undone_ms = env_realtime_ms(db->env);
    }
    uint32_t left_out = surplus(db, edit), kept = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        bool makes_room = left_out > 0 && !is_held(db, &all->items[i]->facts);
        if (makes_room)
            receipt_free(db, all->items[i]);
        else
            all->items[kept++] = all->items[i];
        left_out -= makes_room;
    }
    all->count = kept;
    for (uint32_t i = 0; i < edit->deletion_count; i++) {
        assert(all->count < DELETIONS_KEPT_MAX);
        all->items[all->count++] = edit->receipts[i];
    }
}

void
receipts_free(struct tsdb *db)
{
    while (db->receipts.count > 0)
        receipt_free(db, db->receipts.items[--db->receipts.count]);
}

/* --- making a receipt ------------------------------------------------------------------------- */

/* Makes the receipt of a tombstone, for store_edit. ERR_NOMEM. */
static MUST_CHECK enum err
receipt_new(struct tsdb *db, const struct tombstone *t, const struct tsdb_deletion *counted,
            const struct tsdb_deletion *selected, struct receipt **ret, struct why *why)
{
    static const char *const operators[] = {
        [MATCH_EQUAL] = "=",
        [MATCH_NOT_EQUAL] = "!=",
        [MATCH_REGEX] = "=~",
        [MATCH_NOT_REGEX] = "!~",
    };
    struct buf text;
    buf_init(&text, &db->cache_budget, SIZE_MAX);
    buf_put_u8(&text, '{');
    for (uint32_t i = 0; i < t->matcher_count && text.size < SELECTOR_TEXT_BYTES; i++) {
        const struct matcher *m = t->matchers[i];
        if (i > 0) buf_put_text(&text, ", ");
        label_print(&text, &(struct label){matcher_name(m), matcher_pattern(m)},
                    operators[matcher_type(m)]);
    }
    buf_put_u8(&text, '}');
    enum err e = buf_error(&text);
    struct tsdb_receipt facts = {
        .id = t->id,
        .made_ms = t->made_ms,
        .undone_ms = INT64_MIN,
        .range = t->range,
        .tenant = t->tenant,
        .selector =
            bytes_of(text.at, text.size < SELECTOR_TEXT_BYTES ? text.size : SELECTOR_TEXT_BYTES),
        .series = counted->series,
        .samples = counted->samples,
        .windows = counted->windows,
        .selected = selected->samples,
        .selected_windows = selected->windows,
    };
    *ret = e ? NULL : receipt_copy(db, &facts);
    buf_fini(&text);
    return *ret == NULL ? why_set(why, ERR_NOMEM, "not enough memory to delete series") : OK;
}

/* Checks that so many more deletions can be made. ERR_LIMIT, ERR_AGAIN, see tsdb_delete(). */
static MUST_CHECK enum err
receipts_have_room(struct tsdb *db, uint32_t added, struct why *why)
{
    uint32_t held = 0;
    deletions_settle(db, 0);
    lock_take(&db->edit_lock);
    const struct tombstones *set = db->live.version->tombstones;
    for (uint32_t i = 0; i < db->receipts.count; i++)
        held += is_held(db, &db->receipts.items[i]->facts);
    uint32_t count = set->count;
    size_t bytes = 0; /* of the selectors of all tombstones: MANIFEST has them twice */
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t m = 0; m < set->items[i]->matcher_count; m++) {
            const struct matcher *matcher = set->items[i]->matchers[m];
            bytes += matcher_name(matcher).size + matcher_pattern(matcher).size;
        }
    }
    bool full = held + added > DELETIONS_KEPT_MAX;
    bool waiting = count + added > DELETIONS_WAITING_MAX || bytes > SELECTORS_WAITING_BYTES_MAX;
    lock_drop(&db->edit_lock);
    if (!full && waiting) {
        return why_set(why, ERR_AGAIN,
                       "nothing was deleted: %" PRIu32 " deletions wait until merges have removed "
                       "their samples, and at most %d can, with 64 MiB of selectors: select more "
                       "series with one match[], and repeat the request later, or POST "
                       "/api/v1/admin/tsdb/clean_tombstones first",
                       count, DELETIONS_WAITING_MAX);
    }
    if (!full) return OK;
    return why_set(why, ERR_LIMIT,
                   "nothing was deleted: %" PRIu32 " deletions can still be undone, this request "
                   "would add %" PRIu32 ", and at most %d can: select more series with one "
                   "match[], shorten delete.hold, or POST /api/v1/admin/tsdb/clean_tombstones, "
                   "after which none can be undone",
                   held, added, DELETIONS_KEPT_MAX);
}

/* --- the hold --------------------------------------------------------------------------------- */

/* The last time at which the deletion can be undone. */
static int64_t
held_until(int64_t made_ms, int64_t hold_ms)
{
    return made_ms > INT64_MAX - hold_ms ? INT64_MAX : made_ms + hold_ms;
}

struct hold_clock {
    int64_t hold_ms;
    int64_t now_ms, lived_to_ms; /* the clock; as far as time has passed since the start */
    bool clock_is_good;
};

static struct hold_clock
hold_of(struct tsdb *db)
{
    struct hold_clock h = {.now_ms = env_realtime_ms(db->env)};
    lock_take(&db->head.lock);
    look_at_clock(&db->head);
    h.clock_is_good = db->head.clock == TSDB_CLOCK_GOOD;
    h.hold_ms = db->head.limits.deletion_hold_ms;
    h.lived_to_ms = db->head.begun_ms + head_lived_ms(&db->head);
    lock_drop(&db->head.lock);
    return h;
}

/*
 * A clock that jumps ahead ends no hold. If it was behind at the start, there are deletions of
 * later times, for which the clock alone counts. A deletion whose time is further in the future
 * than the hold was made before the clock was set back: it is not held until then.
 */
static bool
hold_is_over(const struct hold_clock *h, int64_t made_ms)
{
    bool ahead = made_ms > held_until(h->now_ms, h->hold_ms);
    bool counts = made_ms <= h->lived_to_ms && h->lived_to_ms < h->now_ms;
    int64_t now_ms = counts ? h->lived_to_ms : h->now_ms;
    return h->clock_is_good && (ahead || now_ms > held_until(made_ms, h->hold_ms));
}

/* Ends the hold of all deletions up to a number, and of those whose time is over. */
static uint64_t
settle_locked(struct tsdb *db, uint64_t up_to)
{
    struct hold_clock hold = hold_of(db);
    const struct tombstones *set = db->live.version->tombstones;
    uint64_t last = set->last_id;
    assert(lock_is_mine(&db->edit_lock)); /* invariant 2 */
    for (uint32_t i = 0; i < set->count && hold.hold_ms > 0; i++) {
        const struct tombstone *t = set->items[i];
        if (t->id <= up_to || hold_is_over(&hold, t->made_ms)) continue;
        last = t->id - 1;
        break;
    }
    if (last > db->receipts.final_id) db->receipts.final_id = last;
    return db->receipts.final_id;
}

uint64_t
deletions_settle(struct tsdb *db, uint64_t up_to)
{
    lock_take(&db->edit_lock);
    uint64_t last = settle_locked(db, up_to);
    lock_drop(&db->edit_lock);
    return last;
}

static enum err
undelete_locked(struct tsdb *db, struct bytes tenant, uint64_t id, struct why *why)
{
    const struct tsdb_receipt *r = NULL;
    for (uint32_t i = 0; i < db->receipts.count; i++) {
        const struct tsdb_receipt *known = &db->receipts.items[i]->facts;
        if (known->id == id && bytes_equal(known->tenant, tenant)) r = known;
    }
    if (r == NULL) return why_set(why, ERR_MISSING, "no deletion has the number %" PRIu64, id);
    if (r->undone_ms != INT64_MIN)
        return why_set(why, ERR_INPUT, "deletion %" PRIu64 " was undone before", id);
    if (r->id <= settle_locked(db, 0)) {
        return why_set(why, ERR_INPUT,
                       "deletion %" PRIu64 " can no longer be undone: its hold (delete.hold) has "
                       "ended, or tombstones were cleaned",
                       id);
    }
    if (tombstones_find(db->live.version->tombstones, id) == NULL) {
        return why_set(why, ERR_INPUT,
                       "deletion %" PRIu64 " hides nothing: retention has removed its samples", id);
    }
    return store_edit_locked(db, &(const struct store_edit){.undo = id}, why);
}

enum err
tsdb_undelete(struct tsdb *db, struct bytes tenant, uint64_t id, struct why *why)
{
    lock_take(&db->edit_lock);
    enum err e = undelete_locked(db, tenant, id, why);
    lock_drop(&db->edit_lock);
    return e;
}

/* --- listing ---------------------------------------------------------------------------------- */

static enum err
list_locked(struct tsdb *db, struct bytes tenant, struct arena *arena, struct tsdb_receipt *list,
            uint32_t *ret_count)
{
    const struct version *v = db->live.version;
    int64_t hold_ms = hold_of(db).hold_ms;
    uint64_t final_id = settle_locked(db, 0);
    for (uint32_t i = 0; i < db->receipts.count; i++) {
        const struct tsdb_receipt *r = &db->receipts.items[i]->facts;
        const struct tombstone *t = tombstones_find(v->tombstones, r->id);
        if (!bytes_equal(r->tenant, tenant)) continue;
        struct tsdb_receipt *to = &list[*ret_count];
        *to = *r;
        to->state = r->id > final_id ? DELETION_HELD : DELETION_FINAL;
        to->held_until_ms = held_until(r->made_ms, hold_ms);
        to->tenant = arena_copy(arena, r->tenant);
        to->selector = arena_copy(arena, r->selector);
        if (to->tenant.at == NULL || to->selector.at == NULL) return ERR_NOMEM;
        lock_take(&db->live.lock);
        to->bucket = db->bucket == NULL ? BUCKET_NONE : bucket_deletion(db->bucket, r->id);
        lock_drop(&db->live.lock);
        bool is_there = to->bucket == BUCKET_PENDING || to->bucket == BUCKET_HIDES;
        if (t == NULL && !is_there) to->state = DELETION_DONE;
        if (r->undone_ms != INT64_MIN) to->state = DELETION_UNDONE;
        for (uint32_t p = 0; t != NULL && p < v->part_count; p++) {
            if (!tombstone_concerns(t, v->parts[p])) continue;
            to->parts++;
            to->part_bytes += part_info(v->parts[p])->file_bytes;
        }
        (*ret_count)++;
    }
    return OK;
}

struct snapshot_search {
    struct tsdb *db;
    struct arena arena;
    struct tsdb_receipt *list;
    uint32_t count;
    char all[256];
    struct why *why;
};

/* A snapshot whose manifest cannot be read may have samples of each deletion. */
static enum err
look_at_snapshot(void *context, const struct tsdb_snapshot_facts *snapshot)
{
    struct snapshot_search *x = context;
    char dir[320];
    struct manifest m;
    struct why reason = {""};
    arena_reset(&x->arena);
    enum err e = path_join(dir, sizeof dir, x->all, snapshot->name);
    if (e == OK) e = manifest_read(x->db->env, dir, &x->arena, &m, &reason);
    if (e == ERR_MISSING) return OK; /* it is being deleted */
    if (e == ERR_NOMEM) return why_set(x->why, e, "not enough memory to list deletions");
    for (uint32_t i = 0; i < x->count; i++) {
        struct tsdb_receipt *r = &x->list[i];
        bool has = e != OK;
        for (uint32_t p = 0; e == OK && p < m.part_count; p++) {
            const struct part_entry *part = &m.parts[p];
            has |= part->from_pos < r->pos && part->applied < r->id &&
                   ranges_meet(part->time, r->range);
        }
        r->snapshots += has;
    }
    return OK;
}

enum err
tsdb_deletions(struct tsdb *db, struct bytes tenant, struct arena *arena,
               struct tsdb_receipt **ret_receipts, uint32_t *ret_count, struct why *why)
{
    struct tsdb_receipt *list = arena_alloc(arena, DELETIONS_KEPT_MAX * sizeof *list);
    uint32_t count = 0;
    enum err e = list == NULL ? ERR_NOMEM : OK;
    if (e == OK) {
        lock_take(&db->edit_lock);
        e = list_locked(db, tenant, arena, list, &count);
        lock_drop(&db->edit_lock);
    }
    if (e) return why_set(why, e, "not enough memory to list deletions");
    struct snapshot_search x = {.db = db, .list = list, .count = count, .why = why};
    arena_init(&x.arena, &db->cache_budget, 0, 0);
    e = path_join(x.all, sizeof x.all, db->dir, STORAGE_SNAPSHOTS);
    if (e == OK && count > 0) e = tsdb_snapshots(db, look_at_snapshot, &x, why);
    arena_fini(&x.arena);
    *ret_receipts = list;
    *ret_count = count;
    return e;
}

/* --- counting --------------------------------------------------------------------------------- */

/* Counts what a tombstone selects in the parts of the version to which it applies, by reading it.
 * Errors of a query. */
static MUST_CHECK enum err
deletion_selects(struct tsdb *db, const struct version *v, const struct tombstone *t,
                 struct query_control *control, struct tsdb_deletion *ret, struct why *why)
{
    struct version *below;
    struct matcher_set set = {t->matchers, t->matcher_count};
    struct query_request request = {.tenant = t->tenant,
                                    .sets = &set,
                                    .set_count = 1,
                                    .min_ms = t->range.min_ms,
                                    .max_ms = t->range.max_ms,
                                    .partial = true,
                                    .control = control};
    enum err e = version_new(&db->cache_budget, v->part_count, &below);
    if (e) return why_set(why, e, "not enough memory to count deleted samples");
    below->part_count = 0;
    for (uint32_t i = 0; i < v->part_count; i++) {
        if (!tombstone_concerns(t, v->parts[i])) continue;
        part_ref(v->parts[i]);
        below->parts[below->part_count++] = v->parts[i];
    }
    e = tombstones_of(&db->cache_budget, 0, NULL, 0, &below->tombstones);
    if (e == OK)
        e = parts_count(&db->head, below, COUNT_STORED, &request, ret, why);
    else
        why_set(why, e, "not enough memory to count deleted samples");
    version_unref(below);
    return e;
}

enum err
tsdb_deletion_hidden(struct tsdb *db, uint64_t id, struct query_control *control,
                     struct tsdb_deletion *ret, struct why *why)
{
    struct version *v = live_pin(&db->live);
    const struct tombstone *t = tombstones_find(v->tombstones, id);
    *ret = (struct tsdb_deletion){.id = 0};
    enum err e = t == NULL ? OK : deletion_selects(db, v, t, control, ret, why);
    version_unref(v);
    return e;
}

/* --- tombstones in MANIFEST ------------------------------------------------------------------- */

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
    for (uint32_t i = 0; i < count; i++)
        matcher_free(matchers[i]);
    return e == ERR_NOMEM ? e : why_set(why, ERR_CORRUPT, "a tombstone in MANIFEST is damaged");
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
    while (e && count > 0)
        tombstone_unref(items[--count]);
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
        const struct tombstone *t = set->items[i];
        struct manifest_tombstone *to = &m->tombstones[i];
        assert(t->pos <= m->store_pos); /* invariant 2 */
        *to = (struct manifest_tombstone){.id = t->id,
                                          .pos = t->pos,
                                          .made_ms = t->made_ms,
                                          .range = t->range,
                                          .tenant = t->tenant,
                                          .matcher_count = t->matcher_count};
        to->matchers = arena_alloc(arena, (t->matcher_count + 1u) * sizeof *to->matchers);
        if (to->matchers == NULL) return ERR_NOMEM;
        for (uint32_t k = 0; k < t->matcher_count; k++) {
            const struct matcher *from = t->matchers[k];
            to->matchers[k] = (struct manifest_matcher){(uint8_t)matcher_type(from),
                                                        matcher_name(from), matcher_pattern(from)};
        }
    }
    return OK;
}

/* --- deletions -------------------------------------------------------------------------------- */

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
    selected = *counted;
    int64_t now_ms;
    lock_take(&db->head.lock);
    struct series_rules *rules = retention_rules(&db->head, &now_ms);
    lock_drop(&db->head.lock);
    bool rules_hide = rules != NULL;
    series_rules_unref(rules);
    if ((*v)->tombstones->count > 0 || rules_hide) /* which may hide some of it */
        e = deletion_selects(db, *v, t, NULL, &selected, why);
    if (e == OK) e = receipt_new(db, t, counted, &selected, ret_receipt, why);
    if (e) return e;
    /* Exchanges the version for one in which the tombstone hides samples, too. */
    struct version *old = *v, *next;
    e = version_new(&db->cache_budget, old->part_count, &next);
    if (e) return e;
    for (uint32_t i = 0; i < old->part_count; i++) {
        next->parts[i] = old->parts[i];
        part_ref(next->parts[i]);
    }
    e = tombstones_new(&db->cache_budget, old->tombstones, NULL, NULL, &t, 1, &next->tombstones);
    version_unref(e ? next : old);
    if (e == OK) *v = next;
    return e;
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
    lock_take(&db->live.lock);
    struct version *v = db->live.version;
    version_ref(v);
    const uint64_t pos = atomic_load(&db->store_pos); /* the parts have all samples before it */
    lock_drop(&db->live.lock);
    assert(count <= DELETIONS_KEPT_MAX);
    const struct time_range range = {min_ms, max_ms};
    bool is_needed = false;
    for (uint32_t i = 0; i < v->part_count; i++) {
        is_needed |= ranges_meet(range, part_info(v->parts[i])->time) &&
                     part_tenant(v->parts[i], tenant) != NULL;
    }
    for (uint32_t i = 0; i < db->live.aside_count; i++) /* one may have some, and return */
        is_needed |= ranges_meet(range, db->live.aside[i].time);
    is_needed &= min_ms <= max_ms;
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
        if (e) receipt_free(db, receipts[i]); /* no edit has taken it */
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
