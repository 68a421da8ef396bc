/*
 * bucket_reader.c - reads what a writer keeps in a bucket: a store without a directory and without
 * a log, whose parts, deletions and rules are those of the newest catalog. See tsdb_bucket.h.
 *
 * Invariants:
 *  1. The store shows one state of the chain, `base`, as a whole; only this file changes it, under
 *     the lock, and the next one is a later state of the same chain, unless the bucket was emptied
 *     or replaced by an older copy.
 *  2. A part is opened once, and stays open while states name its object: its pages stay in the
 *     cache.
 */
#include <assert.h>
#include <inttypes.h>

#include "tsdb/store/bucket.h"

enum {
    READER_HEAD_BYTES = 1 << 20, /* nothing is written */
    READER_LOG_BYTES = 64 * 1024,
};
#define READER_LOOK_NS  NS_PER_S
#define READER_CHECK_NS (60 * NS_PER_S) /* how often the newest delta is compared */
#define NO_DIRECTORY    "/nonexistent"

struct tsdb_bucket_reader {
    struct tsdb_bucket_reader_options options;

    struct lock lock;    /* LOCK_RANK_BUCKET; guards the rest; held while the catalog is fetched */
    struct tsdb *db;     /* NULL: there was no catalog so far */
    struct arena arena;  /* of `base` */
    struct catalog base; /* of the state that is shown */
    uint64_t checksum;   /* of its delta */
    int64_t looked_ns, checked_ns; /* monotonic */
};

enum err
tsdb_bucket_reader_new(const struct tsdb_bucket_reader_options *options,
                       struct tsdb_bucket_reader **ret, struct why *why)
{
    struct tsdb_bucket_reader *r = mem_new(options->memory, sizeof *r);
    if (r == NULL) return catalog_no_memory(why);
    r->options = *options;
    lock_init(&r->lock, LOCK_RANK_BUCKET);
    arena_init(&r->arena, options->memory, 0, 0);
    *ret = r;
    return OK;
}

void
tsdb_bucket_reader_free(struct tsdb_bucket_reader *r)
{
    if (r == NULL) return;
    tsdb_free(r->db);
    arena_fini(&r->arena);
    lock_fini(&r->lock);
    mem_free(r->options.memory, r, sizeof *r);
}

/* --- a state ---------------------------------------------------------------------------------- */

static enum err
open_state(struct tsdb_bucket_reader *r, const struct catalog *base, struct why *why)
{
    const struct tsdb_limits limits = {.max_future_ms = INT64_MAX / 4};
    struct tsdb_opening opening;
    const struct tsdb_options options = {.env = r->options.env,
                                         .dir = NO_DIRECTORY,
                                         .memory = r->options.memory,
                                         .head_bytes_max = READER_HEAD_BYTES,
                                         .cache_bytes = r->options.cache_bytes,
                                         .wal_segment_bytes = READER_LOG_BYTES,
                                         .wal_batch_bytes = READER_LOG_BYTES / 2,
                                         .wal_budget_bytes = READER_LOG_BYTES,
                                         .objects = r->options.objects,
                                         .tenants_max = UINT32_MAX,
                                         .read_only = true,
                                         .unlogged = true,
                                         .rules_as_stored = true,
                                         .catalog = base};
    enum err e = tsdb_open(&options, &limits, &r->db, &opening, why);
    if (e == OK) r->db->options.catalog = NULL;
    return e;
}

/* The open part of that object: another chain may have another one of its number. Begins to search
 * where the last one was found: states are nearly in the same order. */
static struct part *
find_open(const struct version *v, const struct catalog *shown, const struct catalog_part *named,
          uint32_t *at)
{
    if (!catalog_names(shown, named)) return NULL;
    for (uint32_t i = 0; i < v->part_count; i++) {
        *at = *at + 1 < v->part_count ? *at + 1 : 0;
        if (part_info(v->parts[*at])->number == named->entry.number) return v->parts[*at];
    }
    return NULL;
}

static enum err
make_version(struct tsdb *db, const struct catalog *shown, const struct catalog *base,
             const struct manifest *m, struct version **ret, struct why *why)
{
    struct version *v, *before = db->live.version; /* nobody else changes it */
    if (version_new(&db->cache_budget, m->part_count, &v)) return catalog_no_memory(why);
    v->part_count = 0;
    uint32_t at = 0;
    enum err e = tombstones_read(&db->cache_budget, m, &v->tombstones, why);
    for (uint32_t i = 0; i < base->part_count && e == OK; i++) {
        const struct catalog_part *named = &base->parts[i];
        struct part *part = find_open(before, shown, named, &at);
        if (part != NULL)
            part_ref(part);
        else
            e = catalog_open_part(named, &db->cache_budget, db->cache, &db->remote, &part, why);
        if (e) break;
        part_set_applied(part, named->entry.applied);
        v->parts[v->part_count++] = part;
    }
    parts_sort(v);
    if (e)
        version_unref(v);
    else
        *ret = v;
    return e;
}

/* Shows another state in the same store, in the place of `shown`. */
static enum err
show_state(struct tsdb *db, const struct catalog *shown, const struct catalog *base,
           struct why *why)
{
    struct arena arena;
    struct manifest m;
    struct version *next = NULL, *before = NULL;
    struct tsdb_limits limits = db->head.limits;
    arena_init(&arena, &db->flush_budget, 0, 0);
    enum err e = catalog_manifest(base, &arena, &m) ? catalog_no_memory(why) : OK;
    if (e == OK) e = make_version(db, shown, base, &m, &next, why);
    if (e == OK) {
        lock_take(&db->live.lock);
        lock_take(&db->head.lock);
        rules_in_force_begin(&db->head.rules, &(struct rules_configured){NULL, 0});
        e = rules_read_in_force(db, &m, why);
        for (uint32_t i = 0; i < m.tenant_count && e == OK; i++) {
            struct tenant *tenant;
            e = tenant_find_or_add(&db->head, m.tenants[i].name, &tenant);
        }
        if (e == OK) {
            before = db->live.version;
            db->live.version = next;
            db->head.newest_ms = m.newest_ms;
            db->head.retention_base_ms = m.retention_now_ms;
            db->head.begun_ns = env_monotonic_ns(db->env); /* the base is of now */
            db->head.edits++;
            look_at_clock(&db->head);
            (void)head_set_limits(&db->head, &limits);
        }
        lock_drop(&db->head.lock);
        lock_drop(&db->live.lock);
        version_unref(e == OK ? before : next);
    }
    arena_fini(&arena);
    return e;
}

/* --- following the chain ---------------------------------------------------------------------- */

/* Shows `base`, whose lists are in `arena`, which is taken. */
static enum err
take_state(struct tsdb_bucket_reader *r, const struct catalog *base, uint64_t checksum,
           struct arena *arena, struct why *why)
{
    enum err e = r->db == NULL ? open_state(r, base, why) : show_state(r->db, &r->base, base, why);
    if (e) {
        arena_fini(arena);
        return e;
    }
    arena_fini(&r->arena);
    r->arena = *arena;
    r->base = *base;
    r->checksum = checksum;
    return OK;
}

/* Reads the newest state anew. */
static enum err
load_state(struct tsdb_bucket_reader *r, struct why *why)
{
    struct arena arena;
    struct catalog base;
    uint64_t checksum;
    arena_init(&arena, r->options.memory, 0, 0);
    enum err e = catalog_load(r->options.objects, 0, &arena, &base, &checksum, why);
    if (e == OK && base.number == 0)
        e = why_set(why, ERR_IO, "%s has no catalog of parts", r->options.objects->shown);
    if (e == OK) return take_state(r, &base, checksum, &arena, why);
    arena_fini(&arena);
    return e;
}

/* Applies the deltas that came since. */
static enum err
follow(struct tsdb_bucket_reader *r, struct why *why)
{
    struct arena arena;
    struct buf scratch;
    struct catalog base;
    uint64_t checksum = r->checksum;
    uint8_t kind = CATALOG_OPEN;
    int64_t now_ns = env_monotonic_ns(r->options.env);
    arena_init(&arena, r->options.memory, 0, 0);
    buf_init(&scratch, r->options.memory, CATALOG_BYTES_MAX);
    enum err e = OK;
    if (now_ns - r->checked_ns >= READER_CHECK_NS) {
        e = catalog_look(r->options.objects, r->base.number, r->checksum, r->options.memory, why);
        if (e == OK) r->checked_ns = now_ns;
    }
    if (e == OK) e = catalog_copy(&r->base, &arena, &base, why);
    while (e == OK && kind != 0)
        e = catalog_next(r->options.objects, &arena, &scratch, &base, &checksum, &kind, why);
    buf_fini(&scratch);
    assert(e || base.number >= r->base.number); /* invariant 1 */
    if (e == OK && base.number > r->base.number) return take_state(r, &base, checksum, &arena, why);
    arena_fini(&arena);
    /* The bucket was emptied or restored, or it is damaged, which reading all of it says. */
    return e == ERR_MISSING || e == ERR_CORRUPT ? load_state(r, why) : e;
}

static enum err
look(struct tsdb_bucket_reader *r, bool is_now, struct why *why)
{
    int64_t now_ns = env_monotonic_ns(r->options.env);
    is_now |= r->db != NULL && atomic_exchange(&r->db->remote.is_gone, false);
    if (r->db != NULL && !is_now && now_ns - r->looked_ns < READER_LOOK_NS) return OK;
    enum err e = r->db == NULL ? load_state(r, why) : follow(r, why);
    if (e == OK) r->looked_ns = now_ns;
    return e ? why_prefix(why, e, "the bucket %s", r->options.objects->shown) : OK;
}

enum err
tsdb_bucket_reader_view(struct tsdb_bucket_reader *r, bool is_now, struct query_control *control,
                        struct view **ret_view, struct bucket_mark *ret_mark, struct why *why)
{
    lock_take(&r->lock);
    enum err e = look(r, is_now, why);
    if (e == OK) e = view_open(tsdb_answerer(r->db), control, ret_view, why);
    *ret_mark = (struct bucket_mark){r->base.session, r->base.number, r->base.complete_pos};
    lock_drop(&r->lock);
    return e;
}

int64_t
tsdb_bucket_reader_grace_ms(struct tsdb_bucket_reader *r)
{
    lock_take(&r->lock);
    int64_t grace_ms = r->base.grace_ms;
    lock_drop(&r->lock);
    return grace_ms;
}
