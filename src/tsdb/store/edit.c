/*
 * edit.c - changes the set of live parts: first a manifest with the change is written, then, in one
 * step, what readers see changes.
 *
 * Flushing, merging, deleting and retention all end here, from threads of their own, one at a time
 * (edit_lock). A manifest whose write failed may exist all the same (its rename was done, and the
 * sync of the directory failed): so parts that it would name stay on disk until a later one is
 * durable.
 *
 * Invariants:
 * 1. Only store_edit_locked() changes the live version, db->saved and db->edit, under edit_lock,
 *    and only after a manifest with the same content is durable.
 * 2. The parts of a version are in the order by_position(), each once.
 * 3. An edit removes live parts and adds parts that are not live.
 * 4. Numbers of parts are below db->next_part, and never used again.
 * 5. The store's position, the number of tenants, and the last tombstone's number never decrease.
 * 6. When a flush is published, the active generation begins at the new position of the store.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/storage_layout.h"
#include "tsdb/store/store.h"

/* --- the next version ------------------------------------------------------------------------- */

bool
parts_have(const struct part *part, struct part *const *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == part) return true;
    return false;
}

static int
by_position(const void *a, const void *b)
{
    const struct part_info *x = part_info(*(struct part *const *)a);
    const struct part_info *y = part_info(*(struct part *const *)b);
    if (x->from_pos != y->from_pos) return x->from_pos < y->from_pos ? -1 : 1;
    if (x->time.min_ms != y->time.min_ms) return x->time.min_ms < y->time.min_ms ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

void
parts_sort(struct version *v)
{
    qsort(v->parts, v->part_count, sizeof *v->parts, by_position);
}

struct kept {
    const struct version *version;
    uint64_t undone; /* number of the tombstone that is removed; 0: none */
    bool aside; /* a part that was set aside may return, with samples that were deleted meanwhile */
    /* The catalog of a bucket, whose parts may have the samples, has deletions up to this one. */
    uint64_t named_id;
};

/* A tombstone is removed when no part has samples that it could hide, here or unknown to a bucket's
 * catalog, or when it is undone. */
static bool
is_needed(void *context, const struct tombstone *tombstone)
{
    const struct kept *kept = context;
    const struct version *v = kept->version;
    if (tombstone->id == kept->undone) return false;
    if (kept->aside || tombstone->id > kept->named_id) return true;
    for (uint32_t i = 0; i < v->part_count; i++)
        if (tombstone_concerns(tombstone, v->parts[i])) return true;
    return false;
}

static enum err
next_version(struct tsdb *db, const struct store_edit *edit, struct version **ret)
{
    const struct version *old = db->live.version;
    struct version *v;
    enum err e = version_new(&db->cache_budget, old->part_count + edit->add_count, &v);
    if (e) return e;
    v->part_count = 0;
    for (uint32_t i = 0; i < edit->add_count; i++)
        assert(!parts_have(edit->add[i], old->parts, old->part_count)); /* invariant 3 */
    for (uint32_t i = 0; i < old->part_count; i++) {
        if (parts_have(old->parts[i], edit->remove, edit->remove_count)) continue;
        v->parts[v->part_count++] = old->parts[i];
    }
    assert(v->part_count + edit->remove_count == old->part_count); /* invariant 3 */
    for (uint32_t i = 0; i < edit->add_count; i++)
        v->parts[v->part_count++] = edit->add[i];
    for (uint32_t i = 0; i < v->part_count; i++)
        part_ref(v->parts[i]);
    parts_sort(v);
    struct kept kept = {v, edit->undo, db->live.aside_count > 0,
                        db->options.objects != NULL ? atomic_load(&db->live.named_deletion)
                                                    : UINT64_MAX};
    e = tombstones_new(&db->cache_budget, old->tombstones, is_needed, &kept, edit->tombstones,
                       edit->deletion_count, &v->tombstones);
    if (e) {
        version_unref(v);
        return e;
    }
    assert(v->part_count <= v->capacity);
    assert(v->tombstones->last_id >= old->tombstones->last_id); /* invariant 5 */
#ifdef LOCK_CHECK
    for (uint32_t i = 0; i < v->part_count; i++) {
        assert(i == 0 || by_position(&v->parts[i - 1], &v->parts[i]) < 0);    /* invariant 2 */
        assert(part_info(v->parts[i])->number < atomic_load(&db->next_part)); /* invariant 4 */
    }
    for (uint32_t i = 1; i < v->tombstones->count; i++)
        assert(v->tombstones->items[i - 1]->id < v->tombstones->items[i]->id);
#endif
    *ret = v;
    return OK;
}

/* --- the manifest ----------------------------------------------------------------------------- */

/* Adds the samples that a flush moves from pending to stored. */
static void
add_stored(const struct store_edit *edit, struct bytes tenant, struct ledger *to)
{
    for (uint32_t i = 0; edit->flush && i < edit->add_count; i++) {
        const struct part_tenant *t = part_tenant(edit->add[i], tenant);
        for (unsigned k = 0; t != NULL && k < LEDGER_KIND_COUNT; k++)
            to->stored[k] += t->sample_count[k];
    }
}

/* Computes the totals at the store's position, which the manifest saves. */
static enum err
next_totals(struct tsdb *db, const struct store_edit *edit, struct saved *next)
{
    uint32_t count = edit->flush ? db->head.cut.tenant_count : db->saved.tenant_count;
    assert(count >= db->saved.tenant_count); /* invariant 5 */
    assert(edit->change_count <= count);
    next->totals = mem_alloc(&db->flush_budget, count * sizeof *next->totals);
    if (next->totals == NULL) return ERR_NOMEM;
    next->tenant_count = count;
    lock_take(&db->head.lock);
    for (uint32_t i = 0; i < count; i++) {
        struct ledger *l = &next->totals[i];
        *l = edit->flush ? db->head.cut.ledgers[i] : db->saved.totals[i];
        if (i < edit->change_count) ledger_add(l, &edit->change[i]);
        add_stored(edit, db->head.tenants[i]->name, l);
    }
    lock_drop(&db->head.lock);
    return OK;
}

static enum err
manifest_lists(struct tsdb *db, const struct version *v, uint32_t aside_count,
               const struct saved *next, struct arena *arena, struct manifest *m)
{
    m->parts = arena_alloc(arena, (v->part_count + aside_count + 1u) * sizeof *m->parts);
    m->tenants = arena_alloc(arena, (next->tenant_count + 1u) * sizeof *m->tenants);
    if (m->parts == NULL || m->tenants == NULL) return ERR_NOMEM;
    /* Parts that were set aside are listed among the live ones, by their position. */
    for (uint32_t i = 0, a = 0; i < v->part_count || a < aside_count;) {
        const struct part_info *info = i < v->part_count ? part_info(v->parts[i]) : NULL;
        struct part_entry *to = &m->parts[m->part_count++];
        const struct part_entry *p = a < aside_count ? &db->live.aside[a] : NULL;
        if (p != NULL && (info == NULL || p->from_pos < info->from_pos)) {
            *to = *p;
            a++;
            continue;
        }
        *to = (struct part_entry){info->number, info->from_pos,
                                  info->to_pos, part_applied(v->parts[i]),
                                  info->time,   part_is_remote(v->parts[i])};
        i++;
    }
    assert(m->part_count == v->part_count + aside_count);
    m->tenant_count = next->tenant_count;
    lock_take(&db->head.lock);
    for (uint32_t i = 0; i < next->tenant_count; i++)
        m->tenants[i] = (struct tenant_totals){db->head.tenants[i]->name, next->totals[i]};
    m->newest_ms = db->head.newest_ms;
    /* The next process must not start from a time of a wrong clock. */
    look_at_clock(&db->head);
    m->retention_now_ms = db->head.clock == TSDB_CLOCK_GOOD ? retention_clock_ms(&db->head)
                                                            : db->head.retention_base_ms;
    lock_drop(&db->head.lock);
    return tombstones_write(v->tombstones, arena, m);
}

/* Lists parts that are removed now, and removed parts that are still read. */
static enum err
list_removed(struct tsdb *db, const struct store_edit *edit, struct arena *arena,
             struct manifest *m)
{
    uint32_t count = 0, old = db->removed_count;
    m->removed = arena_alloc(arena, (old + edit->remove_count + 1u) * sizeof *m->removed);
    if (m->removed == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < old; i++) {
        char path[256];
        enum err e =
            storage_part_path(path, sizeof path, db->parts_dir, db->removed[i], STORAGE_PART);
        if (e) continue;
        if (tsdb_is_there(db, path)) m->removed[count++] = db->removed[i];
    }
    /* A part whose directory was removed must not return after a power loss. */
    if (count < old && env_syncdir(db->env, db->parts_dir, NULL) != OK) {
        memcpy(m->removed, db->removed, old * sizeof *m->removed);
        count = old;
    }
    for (uint32_t i = 0; i < edit->remove_count; i++)
        m->removed[count++] = part_info(edit->remove[i])->number;
    m->removed_count = count;
    return OK;
}

static void
keep_removed(struct tsdb *db, const struct manifest *m)
{
    size_t old = db->removed_count * sizeof *db->removed,
           now = m->removed_count * sizeof *m->removed;
    uint64_t *list = mem_resize(&db->flush_budget, db->removed, old, now);
    if (list == NULL && now > 0) return; /* the next start sets the rest aside */
    if (now > 0) memcpy(list, m->removed, now);
    db->removed = list;
    db->removed_count = m->removed_count;
}

const uint8_t *
tsdb_log_id(struct tsdb *db)
{
    struct wal_stats stats;
    wal_stats(db->wal, &stats);
    return stats.segment_count > 0 ? wal_log_id(db->wal) : NULL;
}

/* Fills in all but the removed parts, after the edit (may be NULL). */
static enum err
fill_manifest(struct tsdb *db, const uint8_t *log_id, const struct version *v, uint32_t aside_count,
              const struct saved *next, const struct store_edit *edit, struct arena *arena,
              struct manifest *m)
{
    *m = (struct manifest){
        .edit = db->edit + 1,
        .store_pos = next->store_pos,
        .next_part = atomic_load(&db->next_part),
        .next_ref = next->next_ref,
        .ref_floor = next->ref_floor,
        .segment_floor = next->segment,
        .log_totals_known = log_id != NULL && next->log_totals_known,
    };
    if (log_id != NULL) memcpy(m->log_id, log_id, sizeof m->log_id);
    memcpy(m->log_totals, next->log_totals, sizeof m->log_totals);
    enum err e = manifest_lists(db, v, aside_count, next, arena, m);
    if (e == OK) e = receipts_write(db, edit, arena, m);
    return e ? e : rules_write(db, edit, arena, m);
}

enum err
edit_fill_manifest(struct tsdb *db, struct arena *arena, struct manifest *ret)
{
    assert(lock_is_mine(&db->edit_lock));
    return fill_manifest(db, NULL, db->live.version, db->live.aside_count, &db->saved, NULL, arena,
                         ret);
}

static enum err
write_manifest(struct tsdb *db, const char *dir, const uint8_t *log_id, const struct version *v,
               const struct saved *next, const struct store_edit *edit, bool all_here,
               struct why *why)
{
    struct arena arena;
    struct manifest m;
    arena_init(&arena, &db->flush_budget, 0, 0);
    uint32_t aside_count = dir == db->dir ? db->live.aside_count : 0; /* snapshots have none */
    enum err e = fill_manifest(db, log_id, v, aside_count, next, edit, &arena, &m);
    for (uint32_t i = 0; e == OK && all_here && i < m.part_count; i++)
        m.parts[i].remote = false;
    if (e == OK && edit != NULL) e = list_removed(db, edit, &arena, &m);
    if (e == OK) e = manifest_write(db->env, dir, &m, &db->flush_budget, why);
    if (e == OK && edit != NULL) keep_removed(db, &m);
    arena_fini(&arena);
    return e;
}

void
edit_note_manifest(struct tsdb *db)
{
    char path[256];
    enum err e = path_join(path, sizeof path, db->dir, STORAGE_MANIFEST);
    if (e == OK) e = env_facts(db->env, path, &db->manifest, NULL);
    if (e) db->manifest.number = 0;
}

enum err
edit_write_manifest(struct tsdb *db, const char *dir, bool all_here, struct why *why)
{
    assert(lock_is_mine(&db->edit_lock));
    return write_manifest(db, dir, NULL, db->live.version, &db->saved, NULL, all_here, why);
}

/* --- publishing ------------------------------------------------------------------------------- */

/* Takes the flushed generation out of the head; its reference is given. */
static struct gen *
leave_frozen_locked(struct tsdb *db, const struct store_edit *edit, struct cut *ret_cut)
{
    struct gen *frozen = db->head.frozen;
    assert(lock_is_mine(&db->head.lock));
    assert(frozen != NULL);
    assert(db->head.active->begin_pos == db->head.cut.pos); /* invariant 6 */
    db->head.frozen = NULL;
    db->head.active->before = NULL;
    for (uint32_t i = 0; i < db->head.tenant_count; i++)
        add_stored(edit, db->head.tenants[i]->name, &db->head.tenants[i]->total);
    for (uint32_t i = 0; i < db->head.cut.tenant_count; i++)
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
            db->head.tenants[i]->total.pending[k] -= db->head.cut.ledgers[i].pending[k];
    *ret_cut = db->head.cut;
    db->head.cut = (struct cut){0};
    return frozen;
}

/* Adds the samples of a part to those that its tenants have in parts, or subtracts them. */
static void
count_part_locked(struct tsdb *db, const struct part *part, bool comes)
{
    for (uint32_t i = 0; i < part_tenant_count(part); i++) {
        const struct part_tenant *t = part_tenant_at(part, i);
        struct tenant *tenant = tenant_find(&db->head, t->name);
        for (unsigned k = 0; tenant != NULL && k < LEDGER_KIND_COUNT; k++)
            tenant->in_parts[k] += comes ? t->sample_count[k] : -t->sample_count[k];
    }
}

/* `tombstone` is undone by the edit, or one of those added; NULL: none. */
static void
note_changes_locked(struct head *head, const struct store_edit *edit,
                    const struct tombstone *tombstone)
{
    head->edits++;
    for (uint32_t i = 0; i < edit->change_count; i++) {
        bool loses_samples = false; /* then results that readers have cached are not valid */
        for (unsigned k = LEDGER_FLOAT; k <= LEDGER_HISTOGRAM; k++) {
            const uint64_t *count = edit->change[i].count[k];
            loses_samples |= count[LEDGER_EXPIRED] != 0 || count[LEDGER_PASSED_ON] != 0 ||
                             count[LEDGER_DOWNSAMPLED] != 0;
        }
        if (loses_samples) changes_add(&head->tenants[i]->edited, head->edits, INT64_MIN);
    }
    if (tombstone == NULL) return;
    struct tenant *tenant = tenant_find(head, tombstone->tenant);
    if (tenant != NULL) changes_add(&tenant->edited, head->edits, tombstone->range.min_ms);
}

/* Readers see the new parts instead of their inputs, in one step. */
static void
publish(struct tsdb *db, const struct store_edit *edit, struct version *next)
{
    struct gen *frozen = NULL;
    struct cut cut = {0};
    lock_take(&db->live.lock);
    struct version *old = db->live.version;
    const struct tombstone *tombstone = NULL;
    if (edit->undo != 0)
        tombstone = tombstones_find(old->tombstones, edit->undo);
    else if (edit->deletion_count > 0)
        tombstone = edit->tombstones[0];
    db->live.version = next;
    if (tombstone != NULL) db->live.bucket.edits++;
    lock_take(&db->head.lock);
    for (uint32_t i = 0; i < edit->change_count; i++) {
        ledger_add(&db->head.tenants[i]->total, &edit->change[i]);
        if (i < db->head.cut.tenant_count) ledger_add(&db->head.cut.ledgers[i], &edit->change[i]);
    }
    for (uint32_t i = 0; i < edit->add_count; i++)
        count_part_locked(db, edit->add[i], true);
    for (uint32_t i = 0; i < edit->remove_count; i++)
        count_part_locked(db, edit->remove[i], false);
    note_changes_locked(&db->head, edit, tombstone);
    if (edit->flush) frozen = leave_frozen_locked(db, edit, &cut);
    atomic_store(&db->store_pos, db->saved.store_pos);
    if (edit->flush) {
        db->stored_known = true;
        memcpy(db->stored_totals, db->saved.log_totals, sizeof db->stored_totals);
    }
    lock_drop(&db->head.lock);
    lock_drop(&db->live.lock);
    for (uint32_t i = 0; i < edit->remove_count; i++)
        part_drop(edit->remove[i]);
    version_unref(old);
    gen_unref(frozen);
    cut_free(&db->head, &cut);
}

static void
saved_free(struct tsdb *db, struct saved *saved)
{
    mem_free(&db->flush_budget, saved->totals, saved->tenant_count * sizeof *saved->totals);
    *saved = (struct saved){0};
}

enum err
store_edit_locked(struct tsdb *db, const struct store_edit *edit, struct why *why)
{
    struct version *version = NULL;
    struct saved next = db->saved;
    assert(lock_is_mine(&db->edit_lock)); /* invariant 1 */
    next.totals = NULL;
    next.tenant_count = 0;
    if (edit->flush) {
        lock_take(&db->head.lock);
        next.store_pos = db->head.cut.pos;
        next.segment = db->head.cut.segment;
        next.next_ref = db->head.next_ref;
        next.ref_floor = db->head.active->registry->ref_base;
        next.log_totals_known = true;
        memcpy(next.log_totals, db->head.cut.log_totals, sizeof next.log_totals);
        lock_drop(&db->head.lock);
    }
    assert(next.store_pos >= db->saved.store_pos); /* invariant 5 */
    for (uint32_t i = 0; i < edit->add_count; i++)
        assert(part_info(edit->add[i])->number < atomic_load(&db->next_part)); /* invariant 4 */
    for (uint32_t i = 0; i < edit->deletion_count; i++) {
        struct tombstone *t = edit->tombstones[i];
        assert(t->id == db->live.version->tombstones->last_id + 1 + i);
        for (uint32_t k = 0; k < db->live.version->part_count; k++) {
            /* A merge may have joined samples from before and after its position. */
            const struct part_info *info = part_info(db->live.version->parts[k]);
            if (info->from_pos < t->pos && info->to_pos > t->pos) t->pos = next.store_pos;
        }
        edit->receipts[i]->facts.pos = t->pos;
    }
    enum err e = tsdb_look_before_write(db, why);
    if (e == OK) e = next_version(db, edit, &version);
    if (e == OK) e = next_totals(db, edit, &next);
    if (e == OK) e = write_manifest(db, db->dir, tsdb_log_id(db), version, &next, edit, false, why);
    if (e) {
        /* The manifest may name the added parts: their files stay. Without memory they stay until
         * the next start. */
        size_t old = db->uncertain_count * sizeof(struct part *);
        size_t more = edit->flush ? 0 : edit->add_count * sizeof(struct part *);
        struct part **grown =
            more == 0 ? NULL : mem_resize(&db->flush_budget, db->uncertain, old, old + more);
        if (grown != NULL) db->uncertain = grown;
        for (uint32_t i = 0; i < edit->add_count && grown != NULL; i++) {
            part_ref(edit->add[i]);
            grown[db->uncertain_count++] = edit->add[i];
        }
        version_unref(version);
        saved_free(db, &next);
        return e;
    }
    db->edit++;
    edit_note_manifest(db);
    saved_free(db, &db->saved);
    db->saved = next;
    receipts_change(db, edit);
    rules_counted(db);
    publish(db, edit, version);
    for (uint32_t i = 0; i < db->uncertain_count; i++) {
        part_drop(db->uncertain[i]);
        part_unref(db->uncertain[i]);
    }
    mem_free(&db->flush_budget, db->uncertain, db->uncertain_count * sizeof *db->uncertain);
    db->uncertain = NULL;
    db->uncertain_count = 0;
    return OK;
}

enum err
store_edit(struct tsdb *db, const struct store_edit *edit, struct why *why)
{
    lock_take(&db->edit_lock);
    enum err e = store_edit_locked(db, edit, why);
    lock_drop(&db->edit_lock);
    return e;
}

/* ERR_IO: MANIFEST is not the file that was written. OK if it cannot be examined. */
static enum err
check_manifest(struct tsdb *db, struct why *why)
{
    char path[256];
    struct file_facts is;
    const char *what = NULL;
    if (db->manifest.number == 0) return OK;
    enum err e = path_in(path, sizeof path, db->dir, STORAGE_MANIFEST, why);
    if (e) return e;
    e = env_facts(db->env, path, &is, NULL);
    if (e == ERR_MISSING)
        what = "removed";
    else if (e == OK && !file_facts_same_file(&is, &db->manifest))
        what = "replaced";
    else if (e == OK && is.size_bytes != db->manifest.size_bytes)
        what = "truncated";
    if (what == NULL) return OK;
    return why_set(why, ERR_IO, "%s was %s while the server runs", path, what);
}

enum err
tsdb_look_at_manifest(struct tsdb *db, struct why *why)
{
    struct why reason = {""}, failure = {""};
    if (!dir_lock_may_write(&db->lock)) return OK; /* tsdb_maintain() reports it */
    lock_take(&db->edit_lock);
    enum err e = check_manifest(db, &reason);
    if (e == ERR_IO) {
        enum err failed =
            store_edit_locked(db, &(const struct store_edit){.flush = false}, &failure);
        why_set(why, e, failed ? "%s, and cannot be written again: %s" : "%s", reason.text,
                failure.text);
    }
    lock_drop(&db->edit_lock);
    return e;
}

enum err
edits_begin(struct tsdb *db, const struct manifest *m)
{
    size_t bytes = m->tenant_count * sizeof *db->saved.totals;
    struct ledger *totals = mem_alloc(&db->flush_budget, bytes);
    if (totals == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < m->tenant_count; i++)
        totals[i] = db->head.tenants[i]->total;
    db->saved = (struct saved){.store_pos = m->store_pos,
                               .segment = m->segment_floor,
                               .next_ref = m->next_ref,
                               .ref_floor = m->ref_floor,
                               .log_totals_known = m->log_totals_known,
                               .totals = totals,
                               .tenant_count = m->tenant_count};
    memcpy(db->saved.log_totals, m->log_totals, sizeof m->log_totals);
    keep_removed(db, m);
    return OK;
}

enum err
edit_keep_aside(struct tsdb *db, const struct part_entry *part)
{
    char path[256], aside[sizeof path + 16];
    const char *dir = db->parts_dir;
    struct live *live = &db->live;
    enum err e = storage_part_path(path, sizeof path, dir, part->number, STORAGE_PART);
    if (e == OK)
        e = storage_part_path(aside, sizeof aside, dir, part->number, STORAGE_PART_DAMAGED);
    if (e) return e;
    /* In a store that is only read, nothing is renamed. */
    bool is_kept = tsdb_is_there(db, aside) || (db->options.read_only && tsdb_is_there(db, path));
    if (!is_kept) return OK; /* the part's files no longer exist, so it is lost */
    size_t old = live->aside_count * sizeof *live->aside;
    struct part_entry *grown = mem_resize(&db->flush_budget, live->aside, old, old + sizeof *grown);
    if (grown == NULL) return ERR_NOMEM;
    live->aside = grown;
    uint32_t at = live->aside_count++;
    for (; at > 0 && grown[at - 1].from_pos > part->from_pos; at--)
        grown[at] = grown[at - 1];
    grown[at] = *part;
    return OK;
}

void
edits_end(struct tsdb *db)
{
    mem_free(&db->flush_budget, db->live.aside, db->live.aside_count * sizeof *db->live.aside);
    for (uint32_t i = 0; i < db->uncertain_count; i++)
        part_unref(db->uncertain[i]);
    mem_free(&db->flush_budget, db->uncertain, db->uncertain_count * sizeof *db->uncertain);
    mem_free(&db->flush_budget, db->removed, db->removed_count * sizeof *db->removed);
    receipts_free(db);
    rules_free(db);
    saved_free(db, &db->saved);
}
