/*
 * store.c - opens, commits and maintains the store.
 *
 * Invariants:
 *  1. db->head.durable_epoch is what readers see of the head; it only moves after a commit, under
 *     the head lock.
 *  2. The log's batch is taken under the head lock: so a slice's samples and its records are of one
 *     epoch.
 *  3. The frozen generation is wholly durable, and nothing changes in it.
 *  4. The manifest's position is where the active generation begins, or the frozen one if there is
 *     one.
 */
#include "tsdb/store/store.h"

#include "base/text/hex.h"
#include "model/series_rules.h"
#include "model/storage_layout.h"
#include "tsdb/store/catalog.h"
#include "tsdb/tsdb.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static enum err
tsdb_open_view(struct answerer *answerer, struct query_control *control, struct view **ret_view,
               struct why *why)
{
    struct tsdb *db = (struct tsdb *)answerer;
    struct store_view *v;
    if (db->options.ack_memory && db->options.commit_now != NULL) {
        /* Makes acknowledged but uncommitted samples visible, too. */
        lock_take(&db->head.lock);
        bool behind = !wal_is_down(db->wal) &&
                      wal_filling(db->wal).epoch - 1 != head_visible_epoch(&db->head);
        lock_drop(&db->head.lock);
        if (behind || tsdb_commit_due(db)) db->options.commit_now(db->options.commit_context);
    }
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
        widen(&range, info->time.min_ms, info->time.max_ms);
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

static const struct answerer_ops tsdb_answerer_ops = {tsdb_open_view, tsdb_find_range,
                                                      free_answerer};

/* --- parts that are not listed ---------------------------------------------------------------- */

/*
 * Removes directories in parts/ that the manifest does not list. A crash leaves parts that were
 * being written, that were finished and not listed so far, or that others replaced. Their samples
 * are elsewhere, so they are removed. A whole part whose samples may not be elsewhere is renamed to
 * NUMBER.unnamed and kept: an operator has put it there, or what it was made of is damaged now.
 * NUMBER.lost marks a part that was given up; it is removed when the manifest no longer mentions
 * the part.
 */

struct parts_sweep {
    struct tsdb *db;
    const struct manifest *manifest;
    struct tsdb_opening *opening;
};

/*
 * Returns true if the samples of a part are elsewhere too: the log has its range (a flush that was
 * not listed), or a live part covers that (it was replaced), or live parts begin and end where it
 * does (an output that was not listed). If a part of that range was set aside, an output may have
 * the only copy of its samples.
 */
static bool
is_elsewhere(const struct parts_sweep *s, const struct part_info *info)
{
    const struct version *v = s->db->live.version;
    struct wal_stats log;
    wal_stats(s->db->wal, &log);
    bool logged = log.before_pos <= s->manifest->store_pos && log.end_pos >= info->to_pos;
    if (info->from_pos >= s->manifest->store_pos && logged) return true;
    for (uint32_t i = 0; i < s->db->live.aside_count; i++) {
        const struct part_entry *aside = &s->db->live.aside[i];
        if (aside->from_pos < info->to_pos && aside->to_pos > info->from_pos) return false;
    }
    bool begins = false, ends = false;
    for (uint32_t i = 0; i < v->part_count; i++) {
        const struct part_info *live = part_info(v->parts[i]);
        if (live->from_pos <= info->from_pos && live->to_pos >= info->to_pos) return true;
        begins |= live->from_pos == info->from_pos;
        ends |= live->to_pos == info->to_pos;
    }
    return begins && ends;
}

static enum err
store_sweep_one(void *context, const char *name, bool is_dir)
{
    struct parts_sweep *s = context;
    struct tsdb *db = s->db;
    char path[256], to[300];
    uint64_t number;
    enum storage_part kind = storage_part_of(name, &number);
    bool gone = kind == STORAGE_PART_LOST;
    if (!is_dir || (kind != STORAGE_PART && !gone)) return OK;
    for (uint32_t i = 0; i < s->manifest->part_count; i++) {
        if (s->manifest->parts[i].number != number) continue;
        if (!s->manifest->parts[i].remote) return OK;
        gone = true; /* its file is in the bucket */
    }
    struct part *part;
    enum err e = path_join(path, sizeof path, db->parts_dir, name);
    if (e) return e;
    for (uint32_t i = 0; i < s->manifest->removed_count; i++)
        gone |= s->manifest->removed[i] == number;
    if (gone) return env_remove_tree(db->env, path, NULL);
    e = part_open(db->env, &db->cache_budget, db->cache, db->parts_dir, number, &part, NULL);
    if (e != OK && e != ERR_CORRUPT && e != ERR_MISSING)
        return OK; /* the part is left for a later sweep */
    bool foreign = e == OK && !is_elsewhere(s, part_info(part));
    if (e == OK) part_unref(part);
    if (!foreign) return env_remove_tree(db->env, path, NULL);
    e = storage_part_path(to, sizeof to, db->parts_dir, number, STORAGE_PART_UNNAMED);
    if (e == OK) e = env_rename(db->env, path, to, NULL);
    if (e == OK && s->opening->parts_unnamed++ == 0)
        snprintf(s->opening->first_unnamed, sizeof s->opening->first_unnamed, "%.255s", to);
    return e;
}

/* --- opening ---------------------------------------------------------------------------------- */

#define LOOK_NS NS_PER_S

enum { VIEWS_SHARE = 8 }; /* share of the head for the notes of open views */

static enum err
open_dir(struct tsdb *db, struct tsdb_opening *opening, struct why *why)
{
    if (db->options.catalog != NULL) return OK;
    if (db->options.read_only) {
        enum err e = tsdb_reading_lock_take(db->env, db->dir, &db->reading_lock, why);
        opening->unlocked = e == OK && !db->reading_lock.held;
        return e;
    }
    enum err e = env_mkdir(db->env, db->dir, why);
    if (e == ERR_MISSING) {
        return why_set(why, ERR_INPUT, "cannot create %s: its parent directory does not exist",
                       db->dir);
    }
    return e ? e : dir_lock_take(&db->lock, why);
}

/* A directory without FORMAT must be new, so that no foreign files are touched. */
static enum err
refuse_if_used(void *context, const char *name, bool is_dir)
{
    static const char *const ours[] = {STORAGE_LOCK, STORAGE_FORMAT ".tmp", STORAGE_MANIFEST,
                                       STORAGE_MANIFEST ".tmp"};
    (void)context;
    if (is_dir && strcmp(name, "lost+found") == 0)
        return OK; /* directory of a separate file system */
    for (unsigned i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(name, ours[i]) == 0) return OK;
    return ERR_INPUT;
}

static enum err
open_format(struct tsdb *db, struct why *why)
{
    char path[256];
    struct manifest nothing = {.next_part = 1, .next_ref = 1, .newest_ms = INT64_MIN};
    if (db->options.catalog != NULL) return OK;
    enum err e = format_check(db->env, db->dir, why);
    if (e != ERR_MISSING || db->options.read_only) return e;
    e = env_listdir(db->env, db->dir, refuse_if_used, NULL, why);
    if (e == ERR_INPUT && path_join(path, sizeof path, db->dir, STORAGE_MANIFEST) == OK &&
        tsdb_is_there(db, path))
        return why_set(why, ERR_CORRUPT, "%s/FORMAT is missing; %s", db->dir, FORMAT_TO_DO);
    if (e == ERR_INPUT)
        return why_set(why, e, "%s is not empty and is not a Firekeep storage directory", db->dir);
    if (e == OK) {
        /* The parent is synced, so that the directory's name is durable. */
        char parent[sizeof db->dir];
        size_t size = strlen(db->dir);
        while (size > 1 && db->dir[size - 1] == '/')
            size--;
        while (size > 0 && db->dir[size - 1] != '/')
            size--;
        memcpy(parent, db->dir, size);
        parent[size] = '\0';
        e = env_syncdir(db->env, size == 0 ? "." : parent, why);
    }
    look_at_clock(&db->head);
    nothing.retention_now_ms = db->head.retention_base_ms;
    /* FORMAT comes last: if it exists, so did a manifest, and a missing one is damage. */
    if (e == OK) e = manifest_write(db->env, db->dir, &nothing, NULL, why);
    return e ? e : format_write(db->env, db->dir, why);
}

bool
tsdb_is_there(struct tsdb *db, const char *path)
{
    struct file file;
    enum err e = file_open(db->env, path, FILE_READ, &file, NULL);
    if (e == OK) err_ignore(file_close(&file), "only looked at");
    return e != ERR_MISSING;
}

/* Renames a part whose root cannot be read, for the operator; its samples count as damaged. */
static enum err
set_aside(struct tsdb *db, uint64_t number, enum err cause, const struct why *reason,
          struct tsdb_opening *opening, struct why *why)
{
    char from[256], to[300], lost[300];
    enum err e = storage_part_path(from, sizeof from, db->parts_dir, number, STORAGE_PART);
    if (e == OK) e = storage_part_path(to, sizeof to, db->parts_dir, number, STORAGE_PART_DAMAGED);
    if (e == OK) e = storage_part_path(lost, sizeof lost, db->parts_dir, number, STORAGE_PART_LOST);
    if (e) return e;
    if (cause == ERR_MISSING && !tsdb_is_there(db, to) && !tsdb_is_there(db, lost)) {
        /* The part may return: its disk is not mounted, or the directory is half copied. Continuing
         * without it would remove it from MANIFEST. */
        return why_set(why, ERR_CORRUPT,
                       "%s is listed in MANIFEST but missing (%.100s): restore it, or, if that is "
                       "impossible, create an empty directory %s.lost",
                       from, reason->text, from);
    }
    db->parts_set_aside = ++opening->parts_set_aside;
    if (opening->first_damage[0] == '\0')
        snprintf(opening->first_damage, sizeof opening->first_damage, "%.255s", reason->text);
    if (db->options.read_only) return OK;
    e = env_rename(db->env, from, to, why);
    return e == ERR_MISSING ? OK : e;
}

static enum err
open_parts(struct tsdb *db, const struct manifest *m, struct tsdb_opening *opening, struct why *why)
{
    struct version *v;
    enum err e = version_new(&db->cache_budget, m->part_count, &v);
    if (e) return e;
    struct arena arena;
    struct catalog_file catalog = {.base.number = 0};
    if (db->options.catalog != NULL) catalog.base = *db->options.catalog;
    arena_init(&arena, &db->flush_budget, 0, 0);
    v->part_count = 0;
    e = tombstones_read(&db->cache_budget, m, &v->tombstones, why);
    if (e == OK) e = receipts_read(db, m, why);
    if (e == OK) e = rules_read(db, m, why);
    for (uint32_t i = 0; i < m->part_count && e == OK; i++) {
        struct why reason;
        struct part *part;
        bool remote = m->parts[i].remote;
        if (remote && db->remote.objects == NULL && !db->options.read_only)
            e = why_set(&reason, ERR_INPUT,
                        "%s has parts that are only in a bucket: configure its object_storage",
                        db->dir);
        else if (remote)
            e = catalog_file_open_part(&catalog, db->env, db->dir, &arena, m->parts[i].number,
                                       &db->cache_budget, db->cache, &db->remote, &part, &reason);
        else
            e = part_open(db->env, &db->cache_budget, db->cache, db->parts_dir, m->parts[i].number,
                          &part, &reason);
        if (e == OK) {
            part_set_applied(part, m->parts[i].applied);
            /* Parts do not record the origin of their samples. */
            head_note_time(&db->head, TSDB_FROM_SERVER, part_info(part)->time.max_ms);
            v->parts[v->part_count++] = part;
        } else if (remote ? e == ERR_CORRUPT && db->options.read_only
                          : e == ERR_CORRUPT || e == ERR_MISSING) {
            e = set_aside(db, m->parts[i].number, e, &reason, opening, why);
            if (e == OK) e = edit_keep_aside(db, &m->parts[i]);
        } else if (why != NULL) {
            *why = reason;
        }
    }
    arena_fini(&arena);
    parts_sort(v); /* a MANIFEST that was made of a catalog has them by number */
    opening->parts = v->part_count;
    db->live.version = v;
    return e;
}

struct family_load {
    struct head *head;
    struct tenant *tenant;
};

static enum err
load_family(void *context, const struct metadata *m)
{
    struct family_load *to = context;
    return family_restore(to->head, to->tenant, m);
}

/* A flush writes all known families, so the newest part with metadata is enough. */
static enum err
load_metadata(struct tsdb *db, struct why *why)
{
    struct part *part = version_metadata_part(db->live.version);
    enum err e = OK;
    for (uint32_t i = 0; part != NULL && i < part_tenant_count(part) && e == OK; i++) {
        const struct part_tenant *t = part_tenant_at(part, i);
        struct family_load to = {&db->head, NULL};
        e = tenant_find_or_add(to.head, t->name, &to.tenant);
        if (e == OK) e = part_metadata(part, t, load_family, &to, why);
        /* Senders repeat metadata. */
        if (e == ERR_CORRUPT || part_is_remote(part)) e = OK;
    }
    db->head.metadata_changed = false;
    return e;
}

/* Counts samples in parts that were set aside as damaged, and subtracts those in parts that
 * returned. Any other difference remains unexplained. */
static void
count_set_aside(struct tsdb *db, struct tenant *tenant)
{
    uint64_t *here = tenant->in_parts;
    for (uint32_t i = 0; i < db->live.version->part_count; i++) {
        const struct part_tenant *t = part_tenant(db->live.version->parts[i], tenant->name);
        for (unsigned k = 0; t != NULL && k < LEDGER_KIND_COUNT; k++)
            here[k] += t->sample_count[k];
    }
    struct ledger *total = &tenant->total;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        uint64_t *damaged = &total->count[k][LEDGER_DAMAGED];
        bool gone = total->stored[k] > here[k] && db->parts_set_aside > 0;
        bool back = total->stored[k] < here[k] && here[k] - total->stored[k] <= *damaged;
        if (!gone && !back) continue;
        *damaged += total->stored[k] - here[k]; /* modulo 2^64 */
        total->stored[k] = here[k];
    }
}

static enum err
open_manifest(struct tsdb *db, struct arena *arena, struct manifest *m, struct why *why)
{
    const struct catalog *catalog = db->options.catalog;
    enum err e = catalog != NULL ? catalog_manifest(catalog, arena, m)
                                 : manifest_read(db->env, db->dir, arena, m, why);
    if (e == OK && !db->options.read_only) {
        /* An earlier process may have written it and stopped before it was durable: edits based on
         * it must not find an older manifest after a power loss. */
        e = manifest_write(db->env, db->dir, m, &db->flush_budget, why);
        edit_note_manifest(db);
        if (e == ERR_FULL) e = OK; /* the store can be read on a full disk */
    }
    if (e == ERR_MISSING) {
        /* Treating the store as a new one would sweep all its parts. */
        return why_set(why, ERR_CORRUPT,
                       "%s/MANIFEST is missing: it lists the live parts; if the directory is an "
                       "unfinished copy, copy it again, otherwise restore a whole backup into "
                       "another directory",
                       db->dir);
    }
    if (e) return e;
    db->edit = m->edit;
    atomic_store(&db->next_part, m->next_part);
    db->head.next_ref = m->next_ref;
    db->head.newest_ms = m->newest_ms;
    db->head.own_newest_ms = INT64_MIN;
    db->head.own_counts = m->store_pos > 0; /* an earlier process has written parts */
    db->head.retention_base_ms = m->retention_now_ms;
    atomic_store(&db->store_pos, m->store_pos);
    return OK;
}

static enum err
open_log(struct tsdb *db, const struct manifest *m, struct why *why)
{
    char dir[256];
    const struct tsdb_options *o = &db->options;
    enum err e = path_join(dir, sizeof dir, db->dir, STORAGE_LOG);
    if (e) return e;
    struct wal_options options = {
        .env = db->env,
        .dir = dir,
        .segment_bytes = o->wal_segment_bytes,
        .batch_bytes_max = o->wal_batch_bytes,
        .budget_bytes = o->wal_budget_bytes,
        .sync = o->wal_sync,
        .floor_pos = m->store_pos,
        .floor_number = m->segment_floor,
        .none_yet = !manifest_has_log(m),
        .read_only = o->read_only,
        .keep_for_readers = o->log_only,
        .memory = &db->wal_budget,
    };
    e = wal_open(&options, &db->wal, why);
    db->head.wal = db->wal;
    return e;
}

static struct identity_log
log_of(struct tsdb *db)
{
    struct wal_stats stats;
    struct identity_log log = {.id = tsdb_log_id(db)};
    wal_stats(db->wal, &stats);
    log.end_pos = stats.end_pos;
    memcpy(log.totals, stats.totals, sizeof log.totals);
    return log;
}

/* In an empty directory rules are in force at once: nothing was kept longer. */
static void
begin_retention(struct tsdb *db, const struct tsdb_limits *limits, bool empty)
{
    const struct store_edit nothing_else = {0};
    const struct rules_configured first = {limits->retention_rules, limits->retention_ms};
    if (!empty || db->options.rules_as_stored) {
        tsdb_set_limits(db, limits);
        return;
    }
    lock_take(&db->head.lock);
    rules_in_force_begin(&db->head.rules, &first);
    lock_drop(&db->head.lock);
    if (limits->retention_rules == NULL || db->options.read_only) return;
    err_ignore(store_edit(db, &nothing_else, NULL), "the next edit writes the rules");
}

static enum err
open_all(struct tsdb *db, const struct tsdb_limits *limits, struct arena *arena,
         struct tsdb_opening *opening, struct why *why)
{
    struct manifest m;
    bool writes = !db->options.read_only;
    enum err e = open_dir(db, opening, why);
    if (e == OK) e = open_format(db, why);
    if (e == OK && writes) e = dir_lock_complete(&db->lock, why);
    opening->watched = db->lock.watch;
    if (e == OK) e = open_manifest(db, arena, &m, why);
    if (e == OK) opening->manifest_mended = m.copies_damaged > 0;
    if (e == OK) e = path_join(db->parts_dir, sizeof db->parts_dir, db->dir, STORAGE_PARTS);
    if (e == OK && writes) e = env_mkdir(db->env, db->parts_dir, why);
    if (e == OK) e = env_random(db->env, &db->head.hash_seed, sizeof db->head.hash_seed);
    if (e == OK) e = env_random(db->env, &db->head.print_keys, sizeof db->head.print_keys);
    if (e == OK) e = page_cache_new(&db->cache_budget, db->options.cache_bytes, &db->cache);
    if (e == OK) e = open_parts(db, &m, opening, why);
    if (e) return e;
    lock_take(&db->head.lock);
    for (uint32_t i = 0; i < m.tenant_count && e == OK; i++) {
        struct tenant *t;
        e = tenant_find_or_add(&db->head, m.tenants[i].name, &t);
        if (e) break;
        t->total = m.tenants[i].totals;
        count_set_aside(db, t);
    }
    if (e == OK) e = edits_begin(db, &m);
    if (e == OK) e = load_metadata(db, why);
    if (e == OK) e = open_log(db, &m, why);
    if (e == OK && writes)
        e = env_syncdir(db->env, db->dir, why); /* log and parts have names in the directory */
    if (e == OK) e = head_begin(&db->head);
    if (e == OK) e = head_new_gen(&db->head, NULL, &db->head.active);
    if (e == OK) db->head.active->begin_pos = m.store_pos;
    lock_drop(&db->head.lock);
    /* Before replay: a part that it writes may get the name of one that a crash has left. */
    struct parts_sweep sweep = {db, &m, opening};
    if (e == OK && writes)
        err_ignore(env_listdir(db->env, db->parts_dir, store_sweep_one, &sweep, NULL),
                   "an unnamed directory only takes space");
    if (e == OK) e = replay_log(db, &m, opening, why);
    if (e) return e;
    lock_take(&db->head.lock);
    assert(db->head.frozen == NULL);
    assert(db->head.active->begin_pos == atomic_load(&db->store_pos)); /* invariant 4 */
    look_at_clock(&db->head);
    bool has_content = m.part_count > 0 || m.rules_count > 0 || db->head.tenant_count > 0;
    lock_drop(&db->head.lock);
    begin_retention(db, limits, !has_content);
    if (!writes) return OK;
    struct why reason = {""};
    e = identity_open(&db->identity, db->env, db->dir, log_of(db), &reason);
    if (e) return why_set(why, e, "%s", reason.text);
    opening->identity = db->identity.finding;
    snprintf(opening->identity_reason, sizeof opening->identity_reason, "%.255s", reason.text);
    hex_print(bytes_of(db->identity.id, IDENTITY_BYTES), db->name_id);
    snapshots_sweep(db);
    return OK;
}

static void
levels_ref(const struct tsdb_limits *limits)
{
    for (uint32_t i = 0; i < limits->level_count; i++)
        (void)series_rules_ref(limits->levels[i].rules);
}

static void
levels_unref(const struct tsdb_limits *limits)
{
    for (uint32_t i = 0; i < limits->level_count; i++)
        series_rules_unref(limits->levels[i].rules);
}

enum err
tsdb_open(const struct tsdb_options *options, const struct tsdb_limits *limits,
          struct tsdb **ret_tsdb, struct tsdb_opening *ret_opening, struct why *why)
{
    struct arena arena;
    struct tsdb *db = mem_new(NULL, sizeof *db);
    memset(ret_opening, 0, sizeof *ret_opening);
    if (db == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the store");
    db->answerer.ops = &tsdb_answerer_ops;
    db->env = options->env;
    db->options = *options;
    db->remote.objects = options->objects;
    db->head.env = db->env;
    db->head.begun_ns = env_monotonic_ns(db->env);
    db->head.begun_ms = env_realtime_ms(db->env);
    db->head.newest_ms = db->head.retention_base_ms = INT64_MIN;
    db->head.options = &db->options;
    db->head.live = &db->live;
    db->head.cut_budget = &db->flush_budget;
    db->head.limits = *limits;
    db->head.limits.retention_rules = NULL;
    levels_ref(limits);
    dir_lock_init(&db->lock, db->env, db->dir);
    db->reading_lock = TSDB_READING_LOCK_NONE;
    atomic_init(&db->free_bytes, UINT64_MAX);
    lock_init(&db->live.lock, LOCK_RANK_TSDB);
    head_init(&db->head);
    lock_init(&db->edit_lock, LOCK_RANK_EDIT);
    const struct tsdb_options *o = &db->options;
    struct budget *background = o->background != NULL ? o->background : o->memory;
    budget_init(&db->head.budget, "head", o->head_bytes_max, o->memory);
    budget_init(&db->cache_budget, "cache", 0, background);
    budget_init(&db->wal_budget, "wal", 0, o->memory);
    budget_init(&db->flush_budget, "flush", 0, background);
    budget_init(&db->head.views.budget, "views", o->head_bytes_max / VIEWS_SHARE, background);
    budget_init(&db->merge_budget, "merge", o->merge_bytes, background);
    arena_init(&arena, NULL, 0, 0);
    enum err e = strlen(options->dir) < sizeof db->dir - 8 ? OK : ERR_LIMIT;
    if (e) why_set(why, e, "%.200s: path is too long", options->dir);
    if (e == OK) {
        memcpy(db->dir, options->dir, strlen(options->dir) + 1);
        e = open_all(db, limits, &arena, ret_opening, why);
    }
    arena_fini(&arena);
    if (e) {
        tsdb_free(db);
        return e;
    }
    *ret_tsdb = db;
    return OK;
}

void
tsdb_free(struct tsdb *db)
{
    if (db == NULL) return;
    levels_unref(&db->head.limits);
    head_fini(&db->head);
    edits_end(db);
    version_unref(db->live.version);
    page_cache_free(db->cache);
    wal_free(db->wal);
    dir_lock_drop(&db->lock);
    tsdb_reading_lock_drop(&db->reading_lock);
    lock_fini(&db->edit_lock);
    lock_fini(&db->live.lock);
    mem_free(NULL, db, sizeof *db);
}

void
tsdb_set_limits(struct tsdb *db, const struct tsdb_limits *limits)
{
    const struct store_edit nothing_else = {0};
    lock_take(&db->live.lock);
    lock_take(&db->head.lock);
    struct tsdb_limits before = db->head.limits, next = *limits;
    /* Takes the rules of levels that stay as they are from the limits before: other ones would be
     * merged for again. */
    for (uint32_t i = 0; i < next.level_count; i++) {
        struct tsdb_level *level = &next.levels[i];
        for (uint32_t k = 0; k < before.level_count; k++) {
            const struct tsdb_level *old = &before.levels[k];
            bool same = old->resolution_ms == level->resolution_ms &&
                        series_rules_equal(old->rules, level->rules);
            if (same) level->rules = old->rules;
        }
    }
    levels_ref(&next);
    bool changed = head_set_limits(&db->head, &next);
    levels_unref(&before);
    wal_set_budget(db->wal, limits->wal_budget_bytes);
    if (changed) db->live.bucket.edits++;
    lock_drop(&db->head.lock);
    lock_drop(&db->live.lock);
    /* The grace begins now for the next process, too. */
    if (!changed || db->options.read_only) return;
    err_ignore(store_edit(db, &nothing_else, NULL), "the next edit writes the rules");
}

uint64_t
tsdb_hash_seed(const struct tsdb *db)
{
    return db->head.hash_seed;
}

const struct fingerprint_keys *
tsdb_fingerprint_keys(const struct tsdb *db)
{
    return &db->head.print_keys;
}

enum err
tsdb_help(struct tsdb *db, struct bytes tenant, struct bytes family, struct buf *to)
{
    struct head *head = &db->head;
    lock_take(&head->lock);
    const struct tenant *t = tenant_find(head, tenant);
    const struct family_text *text = t == NULL ? NULL : family_newest(head, t, family);
    if (text != NULL) buf_put_bytes(to, text->help);
    lock_drop(&head->lock);
    return buf_error(to);
}

struct wal *
tsdb_wal(struct tsdb *db)
{
    return db->wal;
}

const char *
tsdb_name_id(const struct tsdb *db)
{
    return db->name_id;
}

struct answerer *
tsdb_answerer(struct tsdb *db)
{
    return &db->answerer;
}

/* --- requests --------------------------------------------------------------------------------- */

enum err
tsdb_ingest_begin(struct tsdb *db, struct bytes tenant, const struct rw_request *request,
                  struct ingest_result *ret_result, struct tsdb_undecided **ret_undecided,
                  struct why *why)
{
    return head_ingest_begin(&db->head, TSDB_FROM_SENDER, tenant, request, ret_result,
                             ret_undecided, why);
}

enum err
tsdb_ingest(struct tsdb *db, struct bytes tenant, const struct rw_request *request,
            struct ingest_result *ret_result, struct why *why)
{
    return head_ingest(&db->head, TSDB_FROM_SENDER, tenant, request, ret_result, why);
}

enum err
tsdb_ingest_own(struct tsdb *db, struct bytes tenant, const struct rw_request *request,
                struct ingest_result *ret_result, struct why *why)
{
    return head_ingest(&db->head, TSDB_FROM_SERVER, tenant, request, ret_result, why);
}

enum err
tsdb_count_passed(struct tsdb *db, struct bytes tenant, const struct ledger *change,
                  struct why *why)
{
    struct tenant *t = NULL;
    lock_take(&db->head.lock);
    enum err e = tenant_find_or_add(&db->head, tenant, &t);
    if (e == OK) ledger_add(&t->total, change);
    lock_drop(&db->head.lock);
    if (e == ERR_LIMIT)
        return why_set(why, ERR_INPUT, "too many tenants: tenancy.max-tenants is reached");
    return e ? why_set(why, e, "not enough memory for a tenant") : OK;
}

/* --- committing ------------------------------------------------------------------------------- */

bool
tsdb_commit_due(struct tsdb *db)
{
    lock_take(&db->head.lock);
    bool due = !wal_is_down(db->wal) && (wal_has_records(db->wal) || db->head.cut_wanted);
    lock_drop(&db->head.lock);
    return due;
}

static void
undo(struct tsdb *db)
{
    assert(lock_is_mine(&db->head.lock)); /* invariant 1 */
    assert(wal_is_down(db->wal));
    head_undo(&db->head);
    atomic_fetch_add(&db->undone_epochs_total, 1);
}

/* ERR_CORRUPT: the directory no longer belongs to this process, see dir_lock_look(). */
static enum err
tsdb_look_at_dir(struct tsdb *db, struct why *why)
{
    enum err e = dir_lock_look(&db->lock, why);
    lock_take(&db->head.lock);
    db->head.dir = atomic_load_explicit(&db->lock.state, memory_order_relaxed);
    lock_drop(&db->head.lock);
    return e;
}

/* Checks at most once in LOOK_NS that the directory still belongs to this process. */
static enum err
look_now_and_then(struct tsdb *db, struct why *why)
{
    int64_t now_ns = env_monotonic_ns(db->env);
    if (now_ns - db->looked_ns < LOOK_NS) return OK;
    db->looked_ns = now_ns;
    return tsdb_look_at_dir(db, why);
}

/* Cuts the head at the end of the log, or of the parts if the log has lost its end: the next commit
 * is after both. */
static enum err
cut_locked(struct tsdb *db)
{
    uint64_t end_pos = wal_end(db->wal), store_pos = atomic_load(&db->store_pos);
    return head_cut_locked(&db->head, end_pos > store_pos ? end_pos : store_pos);
}

/* With a cut wanted, samples that arrived during the commit are committed under the lock: nothing
 * may be pending when the generation is cut, and requests would go on adding. That costs writers
 * one sync per flush. It is not the first one, as a disk that hangs would stop every user of the
 * head, including requests and alerts; that it begins to hang right after a sync is unlikely. */
enum err
tsdb_commit(struct tsdb *db, struct why *why)
{
    enum err e = look_now_and_then(db, why);
    lock_take(&db->head.lock);
    bool cut = db->head.cut_wanted && db->head.frozen == NULL;
    if (e) wal_bring_down(db->wal);
    if (e == OK) {
        /* Commits the batch as it is at the beginning. Drops the lock while writing. */
        assert(lock_is_mine(&db->head.lock)); /* invariant 2 */
        bool taken = wal_take(db->wal);
        lock_drop(&db->head.lock);
        e = taken ? wal_commit(db->wal, why) : OK;
        lock_take(&db->head.lock);
    }
    if (e == OK && cut && wal_take(db->wal)) e = wal_commit(db->wal, why);
    head_epoch_moved(&db->head);
    if (e) {
        undo(db);
    } else if (cut && !wal_is_down(db->wal)) {
        assert(!wal_has_records(db->wal)); /* invariant 3 */
        e = cut_locked(db);
        db->head.cut_wanted = false;
        assert(e != OK || db->head.frozen->begin_pos == atomic_load(&db->store_pos));
        if (e) {
            why_set(why, e, "not enough memory to cut the head");
            e = OK; /* the next due flush cuts the head again */
        }
    }
    lock_drop(&db->head.lock);
    return e;
}

enum err
tsdb_sync(struct tsdb *db, struct why *why)
{
    enum err e = wal_sync(db->wal, why);
    if (e == OK) return OK;
    lock_take(&db->head.lock);
    head_epoch_moved(&db->head);
    undo(db);
    lock_drop(&db->head.lock);
    return e;
}

enum err
tsdb_look(struct tsdb *db, struct why *why)
{
    if (wal_is_down(db->wal)) return OK; /* tsdb_reopen() checks it */
    enum err e = look_now_and_then(db, why);
    if (e == OK) e = wal_look(db->wal, why);
    if (e == OK) return OK;
    lock_take(&db->head.lock);
    wal_bring_down(db->wal);
    head_epoch_moved(&db->head);
    undo(db);
    lock_drop(&db->head.lock);
    return e;
}

enum err
tsdb_reopen(struct tsdb *db, struct why *why)
{
    if (!wal_is_down(db->wal)) return OK;
    enum err e = tsdb_look_at_dir(db, why);
    if (e) return e;
    lock_take(&db->head.lock);
    if (db->head.outage == HEAD_UNDO_DUE)
        e = gen_undo(db->head.active, (uint32_t)db->head.durable_epoch);
    if (e == OK)
        db->head.outage = HEAD_NO_OUTAGE; /* samples are accepted once wal_reopen() returns */
    lock_drop(&db->head.lock);
    if (e) return why_set(why, e, "not enough memory to undo a failed commit");
    e = wal_reopen(db->wal, why);
    lock_take(&db->head.lock);
    db->head.outage = e == OK ? HEAD_NO_OUTAGE : HEAD_IS_SETTLED;
    lock_drop(&db->head.lock);
    return e;
}

enum tsdb_epoch
tsdb_epoch(struct tsdb *db, uint64_t epoch)
{
    return head_epoch_state(&db->head, epoch);
}

bool
tsdb_is_down(struct tsdb *db)
{
    return wal_is_down(db->wal);
}

/* --- flushing --------------------------------------------------------------------------------- */

static uint64_t
gen_samples(const struct gen *gen)
{
    return gen->sample_count[LEDGER_FLOAT] + gen->sample_count[LEDGER_HISTOGRAM] +
           gen->sample_count[LEDGER_EXEMPLAR];
}

/* Share of the log's budget, above which samples that are in no part make a flush due. The rest is
 * for samples that arrive during the flush, for whole segments and a prepared one, and for readers.
 */
enum { LOG_PARTS = 4 };

/* Limits refuse new series although some counted ones may be dead. */
enum { CROWDED_AGE_MS = 5 * 60 * 1000 };

bool
tsdb_log_lost(struct tsdb *db)
{
    return wal_lost_pos(db->wal) > atomic_load(&db->store_pos);
}

bool
tsdb_flush_due(struct tsdb *db)
{
    const struct tsdb_options *o = &db->options;
    uint64_t log_bytes = wal_bytes_from(db->wal, atomic_load(&db->store_pos));
    bool log_lost = tsdb_log_lost(db); /* only the head has samples that a lost log had */
    lock_take(&db->head.lock);
    const struct gen *gen = db->head.active;
    int64_t age_ms = (env_monotonic_ns(db->env) - gen->begun_ns) / NS_PER_MS;
    bool old = age_ms > o->head_age_ms_max && gen_samples(gen) > 0;
    /* A killed process replays the head: about 10 M samples per second on one core, and a million
     * series in another second. */
    uint64_t samples_max = o->head_samples_max;
    if (samples_max == 0) samples_max = 8 * 1000 * 1000 + 12 * (uint64_t)gen->series_count;
    bool many = gen_samples(gen) >= samples_max;
    bool long_log = db->head.limits.wal_budget_bytes != 0 &&
                    log_bytes > db->head.limits.wal_budget_bytes / LOG_PARTS;
    bool closed = db->head.dir == TSDB_DIR_CLOSED && gen_samples(gen) > 0;
    bool crowded = db->head.series_refused && age_ms > CROWDED_AGE_MS &&
                   gen->series_count < gen->registry->series.count;
    bool due = db->head.frozen == NULL &&
               (old || many || head_is_large(&db->head) || long_log || log_lost || closed ||
                crowded || db->head.metadata_due || db->head.parts_wanted);
    lock_drop(&db->head.lock);
    return due;
}

void
tsdb_want_cut(struct tsdb *db)
{
    lock_take(&db->head.lock);
    db->head.cut_wanted = db->head.frozen == NULL;
    /* While the log is down there are no commits, and nothing is pending. */
    if (db->head.cut_wanted && db->head.outage == HEAD_IS_SETTLED)
        err_ignore(cut_locked(db), "it is wanted again when a flush is due again");
    lock_drop(&db->head.lock);
}

bool
tsdb_has_frozen(struct tsdb *db)
{
    lock_take(&db->head.lock);
    bool has = db->head.frozen != NULL;
    lock_drop(&db->head.lock);
    return has;
}

bool
tsdb_is_flushed(struct tsdb *db)
{
    lock_take(&db->head.lock);
    bool flushed = db->head.frozen == NULL && gen_samples(db->head.active) == 0 &&
                   (db->head.outage == HEAD_IS_SETTLED || !wal_has_records(db->wal)) &&
                   !db->head.metadata_changed && wal_end(db->wal) == atomic_load(&db->store_pos);
    lock_drop(&db->head.lock);
    return flushed;
}

#define RESERVE_MAX ((uint64_t)1 << 30)

/* The samples in the future may be gone: deleted, expired, or undone with their commit. They are
 * searched once after each edit, and when the clock has passed the one that was found. */
static void
maintain_clock(struct tsdb *db)
{
    struct head *head = &db->head;
    lock_take(&head->lock);
    look_at_clock(head);
    int64_t now = env_realtime_ms(db->env), after = now + head->limits.max_future_ms;
    uint64_t edits = head->edits;
    bool known = db->future_edits == edits && db->future_ms > after;
    bool look = head->clock == TSDB_CLOCK_BEFORE_SAMPLES && !known;
    lock_drop(&head->lock);
    int64_t found;
    if (!look || sample_after(head, after, &found) != OK) return;
    db->future_edits = edits;
    db->future_ms = found;
    if (found != INT64_MIN) return;
    lock_take(&head->lock);
    if (head->edits == edits && head->newest_ms > now) head->newest_ms = now;
    look_at_clock(head);
    lock_drop(&head->lock);
}

enum err
tsdb_look_before_write(struct tsdb *db, struct why *why)
{
    struct why reason = {""};
    enum err e = tsdb_look_at_dir(db, &reason);
    if (e == OK || dir_lock_may_write(&db->lock)) return OK;
    return why_set(why, e, "%s", reason.text);
}

const char *
tsdb_dir_trouble(struct tsdb *db)
{
    return tsdb_dir_text(atomic_load_explicit(&db->lock.state, memory_order_relaxed));
}

enum err
tsdb_look_at_log(struct tsdb *db, struct why *why)
{
    if (!dir_lock_may_write(&db->lock)) return OK; /* tsdb_maintain() reports it */
    return wal_look_kept(db->wal, atomic_load(&db->store_pos), why);
}

enum err
tsdb_look_at_parts(struct tsdb *db, struct why *why)
{
    struct version *version = live_pin(&db->live);
    struct why first = {""};
    uint32_t removed = 0;
    for (uint32_t i = 0; i < version->part_count; i++) {
        if (part_is_removed(version->parts[i])) continue;
        if (part_look_there(version->parts[i], removed == 0 ? &first : NULL) != OK) removed++;
    }
    version_unref(version);
    if (removed == 0) return OK;
    if (removed == 1) return why_set(why, ERR_IO, "%s", first.text);
    return why_set(why, ERR_IO, "%s, and %" PRIu32 " others", first.text, removed - 1);
}

void
store_look_at_space(struct tsdb *db)
{
    uint64_t free_bytes, total_bytes, reserve = db->options.min_free_bytes;
    if (env_space(db->env, db->dir, &free_bytes, &total_bytes, NULL) != OK) return;
    if (reserve == 0) reserve = total_bytes / 20 < RESERVE_MAX ? total_bytes / 20 : RESERVE_MAX;
    atomic_store(&db->free_bytes, free_bytes);
    atomic_store(&db->reserve_bytes, reserve);
    lock_take(&db->head.lock);
    db->head.disk_low = free_bytes < reserve;
    lock_drop(&db->head.lock);
}

enum err
tsdb_maintain(struct tsdb *db, struct why *why)
{
    store_look_at_space(db);
    maintain_clock(db);
    enum err looked = tsdb_look_at_dir(db, why);
    if (!dir_lock_may_write(&db->lock)) return looked; /* it would change another server's files */
    if (looked) why = NULL;
    enum err e = wal_trim(db->wal, atomic_load(&db->store_pos), why), prepared = OK;
    bool prepares = !db->options.unlogged && wal_next_is_near(db->wal);
    if (prepares) prepared = wal_prepare(db->wal, e ? NULL : why);
    e = err_first(e, prepared);
    e = err_first(e, identity_renew(&db->identity, log_of(db), e ? NULL : why));
    return err_first(looked, e);
}
