/*
 * bucket.c - copies parts into a bucket, in the order of the log, and names them in its catalog.
 * Format and order of writes: docs/format/catalog.md.
 *
 *   a delta's bytes are durable in CATALOG --> it is PUT, if its number is free --> CATALOG has its
 *   content and no pending delta
 *
 * so a delta is repeated, also by a later process, until its number exists. If that number has
 * other bytes than these, someone else writes here, or this directory is an older copy of itself:
 * then nothing is written any more.
 *
 * A delta names parts up to a position that lies in no part, the complete position. Parts beyond
 * it, and the samples that they have, do not count in its totals.
 *
 * Invariants:
 *  1. A delta is PUT only after its number and bytes are durable in CATALOG, and no other bytes are
 *     PUT under its number. There is one at a time.
 *  2. `base` is what the deltas up to base.number say, and `checksum` that of the last of them.
 *  3. A delta adds only parts whose objects this process has written and looked at.
 *  4. The complete position never decreases.
 *  5. A directory whose id is not the one in CATALOG writes nothing into the bucket.
 */
#include "tsdb/store/bucket.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fields.h"
#include "base/hash/hash.h"
#include "base/text/hex.h"
#include "model/storage_layout.h"

#define RULES_EVERY_NS (3600 * NS_PER_S)
#define LOOK_EVERY_NS  (60 * NS_PER_S)
#define CLOCK_OFF_MS   (3600 * 1000)

enum {
    BASE_EVERY = 64,            /* deltas */
    DELTA_EVERY_MS = 60 * 1000, /* but deletions and rules at once */
};

/* --- CATALOG ---------------------------------------------------------------------------------- */

/* Takes `arena` over, which has the lists and texts of `base`. */
static void
take_base(struct tsdb_bucket *b, const struct catalog *base, struct arena *arena)
{
    lock_take(&b->lock); /* others ask for its deletions */
    arena_fini(&b->arena);
    b->arena = *arena;
    b->base = *base;
    lock_drop(&b->lock);
}

/* Replaces `base` by a copy in an arena of its own, without what it shares with others. */
static enum err
copy_base(struct tsdb_bucket *b, const struct catalog *from, struct why *why)
{
    struct arena arena;
    struct catalog base;
    arena_init(&arena, b->options.memory, 0, 0);
    enum err e = catalog_copy(from, &arena, &base, why);
    if (e)
        arena_fini(&arena);
    else
        take_base(b, &base, &arena);
    return e;
}

static enum err
write_catalog_file(struct tsdb_bucket *b, const struct catalog *base, uint64_t checksum,
                   struct bytes intent, uint64_t intent_number, struct why *why)
{
    struct catalog_file file = {.base = *base,
                                .checksum = checksum,
                                .intent_number = intent_number,
                                .intent = intent,
                                .unnamed = b->unnamed,
                                .unnamed_count = b->unnamed_count,
                                .left = b->left,
                                .left_count = b->left_count};
    memcpy(file.owner, b->db->identity.id, sizeof file.owner);
    enum err e = tsdb_look_before_write(b->db, why);
    return e ? e : catalog_file_write(b->db->env, b->db->dir, b->options.memory, &file, why);
}

enum err
bucket_save(struct tsdb_bucket *b, struct why *why)
{
    return write_catalog_file(b, &b->base, b->checksum, buf_bytes(&b->intent), b->intent_number,
                              why);
}

static enum err
read_catalog_file(struct tsdb_bucket *b, struct why *why)
{
    static const uint8_t nobody[IDENTITY_BYTES];
    struct arena arena;
    struct catalog_file file;
    arena_init(&arena, b->options.memory, 0, 0);
    enum err e = catalog_file_read(b->db->env, b->db->dir, &arena, &file, why);
    if (e == OK) {
        buf_put_bytes(&b->intent, file.intent);
        if (buf_error(&b->intent)) e = catalog_no_memory(why);
    }
    size_t unnamed = e ? 0 : file.unnamed_count * sizeof *b->unnamed;
    if (unnamed > 0) {
        b->unnamed = mem_alloc(b->options.memory, unnamed);
        if (b->unnamed == NULL) e = catalog_no_memory(why);
        if (e == OK) memcpy(b->unnamed, file.unnamed, unnamed);
        if (e == OK) b->unnamed_count = file.unnamed_count;
    }
    for (; e == OK && b->left_count < file.left_count && b->left_count < DELETIONS_KEPT_MAX;
         b->left_count++)
        b->left[b->left_count] = file.left[b->left_count];
    if (e) {
        arena_fini(&arena);
        return e;
    }
    const struct identity *id = &b->db->identity;
    b->is_copy = memcmp(file.owner, nobody, sizeof nobody) != 0 &&
                 memcmp(file.owner, id->id, sizeof id->id) != 0;
    b->checksum = file.checksum;
    b->intent_number = file.intent_number;
    take_base(b, &file.base, &arena);
    return OK;
}

/* --- what the catalog lacks ------------------------------------------------------------------- */

static const struct uploaded *
find_uploaded(const struct tsdb_bucket *b, uint64_t number)
{
    for (uint32_t i = 0; i < b->uploaded_count; i++)
        if (b->uploaded[i].number == number) return &b->uploaded[i];
    return NULL;
}

static bool
is_in_bucket(const struct tsdb_bucket *b, uint64_t number)
{
    return catalog_find(&b->base, number) != NULL || find_uploaded(b, number) != NULL;
}

static bool
is_aside(const struct live *live, uint64_t number)
{
    for (uint32_t i = 0; i < live->aside_count; i++)
        if (live->aside[i].number == number) return true;
    return false;
}

/* The live parts that a delta can name: those up to the last position that no part crosses before
 * which all are in the bucket. */
struct bucket_reach {
    uint32_t count;
    uint64_t pos; /* below base.complete_pos: a part that merges have made there is not uploaded */
    int64_t newest_ms;
};

static struct bucket_reach
reach_of(const struct tsdb_bucket *b, const struct version *v)
{
    struct bucket_reach r = {.newest_ms = INT64_MIN};
    uint64_t end = 0;
    int64_t newest_ms = INT64_MIN;
    uint32_t i = 0;
    for (; i < v->part_count; i++) {
        const struct part_info *info = part_info(v->parts[i]);
        if (!is_in_bucket(b, info->number)) break;
        if (info->to_pos > end) end = info->to_pos;
        if (info->time.max_ms > newest_ms) newest_ms = info->time.max_ms;
        if (i + 1 == v->part_count || part_info(v->parts[i + 1])->from_pos >= end)
            r = (struct bucket_reach){i + 1, end, newest_ms};
    }
    /* Retention may have removed the last parts before the complete position. */
    bool all = i == v->part_count || part_info(v->parts[i])->from_pos >= b->base.complete_pos;
    if (all && r.pos < b->base.complete_pos) r.pos = b->base.complete_pos;
    return r;
}

/* --- uploads ---------------------------------------------------------------------------------- */

static bool
upload_is_due(const struct tsdb_bucket *b, const struct part *part, const char *path)
{
    struct file_facts facts;
    if (part_info(part)->from_pos < b->base.complete_pos) return true;
    if (env_facts(b->db->env, path, &facts, NULL)) return true; /* the upload says what is wrong */
    int64_t age_ms = env_realtime_ms(b->db->env) - facts.modified_ns / NS_PER_MS;
    return age_ms >= b->options.upload_after_ms || age_ms < -CLOCK_OFF_MS;
}

static enum err
path_of_part(const struct tsdb_bucket *b, uint64_t number, char to[FILE_PATH_BYTES],
             struct why *why)
{
    char dir[FILE_PATH_BYTES];
    enum err e = storage_part_path(dir, sizeof dir, b->db->parts_dir, number, STORAGE_PART);
    return e ? e : path_in(to, FILE_PATH_BYTES, dir, "part", why);
}

/* Compares an object with what was sent; if the bucket keeps no digests, by reading it.
 * ERR_MISSING: it is not there, or differs. */
static enum err
look_at_object(struct tsdb_bucket *b, const char *key, const struct uploaded *u, struct why *why)
{
    struct object_facts facts;
    enum err e = objects_look(b->objects, key, false, &facts, why);
    if (e == ERR_MISSING) return why_set(why, e, "%s is not there after its upload", key);
    if (e) return e;
    if (facts.is_archived)
        return why_set(why, ERR_AGAIN, "%s is archived, and cannot be read", key);
    if (facts.size == u->size && memcmp(&facts.digest, &u->digest, sizeof u->digest) == 0)
        return OK;
    return why_set(why, ERR_MISSING, "%s differs from the part that was uploaded", key);
}

static enum err
upload_file(struct tsdb_bucket *b, struct file *file, struct uploaded *u, struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    struct catalog_part named = {.entry.number = u->number, .session = b->session, .tag = u->tag};
    catalog_part_key(&named, key);
    enum err e = file_size(file, &u->size, why);
    if (e == OK) e = b->objects->ops->put_file(b->objects, key, file, u->size, &u->digest, why);
    if (e == OK) e = look_at_object(b, key, u, why);
    return e == ERR_MISSING ? ERR_AGAIN : e;
}

static enum err
upload(struct tsdb_bucket *b, struct part *part, const char *path, struct why *why)
{
    struct file file = FILE_CLOSED;
    struct uploaded u = {.number = part_info(part)->number};
    size_t old = b->uploaded_count * sizeof u;
    struct uploaded *grown = mem_resize(b->options.memory, b->uploaded, old, old + sizeof u);
    if (grown == NULL) return catalog_no_memory(why);
    b->uploaded = grown;
    enum err e = env_random(b->db->env, &u.tag, sizeof u.tag);
    if (e == OK) e = file_open(b->db->env, path, FILE_READ, &file, why);
    buf_init(&u.root_bytes, b->options.memory, PAGE_BYTES_MAX);
    if (e == OK) e = part_root_read(part, &u.root_bytes, &u.root, why);
    if (e == OK) e = upload_file(b, &file, &u, why);
    err_ignore(file_close(&file), "it was only read");
    if (e) {
        buf_fini(&u.root_bytes);
        b->uploaded = mem_resize(b->options.memory, grown, old + sizeof u, old);
        return e;
    }
    b->uploaded[b->uploaded_count++] = u;
    lock_take(&b->lock);
    b->stats.uploads_total++;
    b->stats.upload_bytes_total += u.size;
    lock_drop(&b->lock);
    return OK;
}

/* Uploads the first part, in the order of the log, that is due. */
static enum err
upload_next(struct tsdb_bucket *b, bool *ret_done, struct why *why)
{
    struct version *v = live_pin(&b->db->live);
    char path[FILE_PATH_BYTES];
    enum err e = OK;
    *ret_done = false;
    for (uint32_t i = 0; i < v->part_count; i++) {
        uint64_t number = part_info(v->parts[i])->number;
        if (is_in_bucket(b, number)) continue;
        e = path_of_part(b, number, path, why);
        if (e == OK && upload_is_due(b, v->parts[i], path)) {
            e = upload(b, v->parts[i], path, why);
            *ret_done = e == OK;
        }
        break;
    }
    version_unref(v);
    return e;
}

/* --- a delta ---------------------------------------------------------------------------------- */

static enum err
put_state(const struct manifest *state, struct budget *memory, uint64_t *ret_hash)
{
    struct buf bytes;
    struct manifest fields = *state;
    buf_init(&bytes, memory, CATALOG_BYTES_MAX);
    enum err e = manifest_state_fields(&(struct fields){.to = &bytes}, NULL, &fields);
    if (e == OK) e = buf_error(&bytes);
    if (e == OK) *ret_hash = hash_bytes(buf_bytes(&bytes), 0);
    buf_fini(&bytes);
    return e;
}

static bool
tombstone_meets(const struct manifest_tombstone *t, const struct part_entry *p)
{
    return p->applied < t->id && p->from_pos < t->pos && ranges_meet(t->range, p->time);
}

static bool
was_undone(const struct manifest *m, uint64_t id)
{
    for (uint32_t i = 0; i < m->receipt_count; i++)
        if (m->receipts[i].id == id) return m->receipts[i].undone_ms != INT64_MIN;
    return false;
}

/* The numbers of the live parts, ascending: catalogs have thousands. */
struct live_numbers {
    uint64_t *at;
    uint32_t count;
};

static int
by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum err
list_live(const struct version *v, struct arena *arena, struct live_numbers *ret)
{
    ret->count = v->part_count;
    ret->at = arena_alloc(arena, (v->part_count + 1u) * sizeof *ret->at);
    if (ret->at == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < v->part_count; i++)
        ret->at[i] = part_info(v->parts[i])->number;
    qsort(ret->at, ret->count, sizeof *ret->at, by_value);
    return OK;
}

static bool
is_live(const struct live_numbers *live, uint64_t number)
{
    return bsearch(&number, live->at, live->count, sizeof number, by_value) != NULL;
}

/* Keeps tombstones that the store no longer has, because merges have applied them, as long as parts
 * of the catalog that are not live may have what they hide. */
static enum err
keep_tombstones(struct tsdb_bucket *b, const struct live_numbers *live, const struct catalog *next,
                struct arena *arena, struct manifest *m)
{
    const struct manifest *base = &b->base.state;
    uint32_t count = 0, old = base->tombstone_count;
    struct manifest_tombstone *all =
        arena_alloc(arena, (old + m->tombstone_count + 1) * sizeof *all);
    if (all == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < old; i++) {
        const struct manifest_tombstone *t = &base->tombstones[i];
        bool is_listed = false, is_needed = false;
        for (uint32_t k = 0; k < m->tombstone_count; k++)
            is_listed |= m->tombstones[k].id == t->id;
        for (uint32_t k = 0; k < next->part_count; k++)
            is_needed = is_needed || (tombstone_meets(t, &next->parts[k].entry) &&
                                      !is_live(live, next->parts[k].entry.number));
        if (!is_listed && is_needed && !was_undone(m, t->id)) all[count++] = *t;
    }
    /* They are older than all that the store has: merges apply tombstones in order. */
    if (m->tombstone_count > 0)
        memcpy(all + count, m->tombstones, m->tombstone_count * sizeof *all);
    m->tombstones = all;
    m->tombstone_count += count;
    return OK;
}

static void
describe_part(const struct tsdb_bucket *b, const struct part *part, struct catalog_part *ret)
{
    const struct part_info *info = part_info(part);
    const struct uploaded *u = find_uploaded(b, info->number);
    assert(u != NULL); /* invariant 3 */
    *ret = (struct catalog_part){
        .entry = {info->number, info->from_pos, info->to_pos, part_applied(part), info->time},
        .session = b->session,
        .tag = u->tag,
        .size = u->size,
        .digest = u->digest,
        .root = u->root};
}

/* Lists what the delta adds and removes, so that the catalog has the first `count` parts of the
 * version. Parts that it has already are among them if they are live: see bucket_reach. */
static enum err
list_changed_parts(const struct tsdb_bucket *b, const struct version *v,
                   const struct live_numbers *live, uint32_t count, struct arena *arena,
                   struct catalog *delta)
{
    delta->parts = arena_alloc(arena, (count + 1u) * sizeof *delta->parts);
    delta->removed = arena_alloc(arena, (b->base.part_count + 1u) * sizeof *delta->removed);
    if (delta->parts == NULL || delta->removed == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        if (catalog_find(&b->base, part_info(v->parts[i])->number) != NULL) continue;
        describe_part(b, v->parts[i], &delta->parts[delta->part_count++]);
    }
    for (uint32_t k = 0; k < b->base.part_count; k++) {
        uint64_t number = b->base.parts[k].entry.number;
        bool stays = is_live(live, number) || is_aside(&b->db->live, number);
        if (!stays) delta->removed[delta->removed_count++] = number;
    }
    return OK;
}

struct ledgers {
    struct arena *arena;
    struct manifest *to;
    enum err e;
};

static void
note_ledger(void *context, struct bytes tenant, const struct ledger *ledger)
{
    struct ledgers *l = context;
    struct tenant_totals totals = {tenant, *ledger};
    struct tenant_totals *all =
        arena_push(l->arena, l->to->tenants, l->to->tenant_count, sizeof *all);
    if (all == NULL) {
        l->e = ERR_NOMEM;
        return;
    }
    memset(totals.totals.pending, 0, sizeof totals.totals.pending);
    all[l->to->tenant_count++] = totals;
    l->to->tenants = all;
}

/* Gives the ledgers of this moment, of which only the first `named` parts count as stored. */
static enum err
describe_ledgers(struct tsdb_bucket *b, uint32_t named, struct arena *arena, struct manifest *m)
{
    const struct version *v = b->db->live.version;
    struct ledgers l = {arena, m, OK};
    m->tenants = NULL;
    m->tenant_count = 0;
    tsdb_ledgers(b->db, note_ledger, &l);
    for (uint32_t i = 0; i < m->tenant_count; i++) {
        for (uint32_t p = named; p < v->part_count; p++) {
            const struct part_tenant *t = part_tenant(v->parts[p], m->tenants[i].name);
            for (unsigned k = 0; t != NULL && k < LEDGER_KIND_COUNT; k++)
                m->tenants[i].totals.stored[k] -= t->sample_count[k];
        }
    }
    return l.e;
}

/* Describes what the catalog lacks, under the edit lock. *ret_changes: there is something, and
 * *ret_at_once: it is a change of deletions or rules. */
static enum err
describe(struct tsdb_bucket *b, struct arena *arena, struct catalog *delta,
         uint64_t *ret_state_hash, bool *ret_changes, bool *ret_at_once)
{
    const struct version *v = b->db->live.version;
    struct catalog next = b->base;
    struct wal_stats wal;
    struct why ignored;
    struct bucket_reach reach = reach_of(b, v);
    bool advances = reach.pos >= b->base.complete_pos; /* invariant 4 */
    struct live_numbers live;
    enum err e = edit_fill_manifest(b->db, arena, &delta->state);
    if (e == OK) e = list_live(v, arena, &live);
    if (e == OK && advances) e = list_changed_parts(b, v, &live, reach.count, arena, delta);
    if (e == OK) e = catalog_apply(&next, delta, arena, &ignored);
    if (e == OK) e = keep_tombstones(b, &live, &next, arena, &delta->state);
    if (e == OK) e = put_state(&delta->state, b->options.memory, ret_state_hash);
    if (e) return e;
    *ret_at_once = b->base.number == 0 || *ret_state_hash != b->state_hash;
    *ret_changes = *ret_at_once || delta->part_count > 0 || delta->removed_count > 0 ||
                   (advances && reach.pos > b->base.complete_pos);
    delta->has_state = *ret_at_once;
    delta->complete_pos = advances ? reach.pos : b->base.complete_pos;
    delta->complete_ms =
        advances && reach.newest_ms > b->base.complete_ms ? reach.newest_ms : b->base.complete_ms;
    delta->state.tenant_count = 0;
    if (advances && *ret_changes) e = describe_ledgers(b, reach.count, arena, &delta->state);
    if (e) return e;
    wal_stats(b->db->wal, &wal);
    delta->top_pos = b->base.top_pos;
    if (wal.next_pos > delta->top_pos) delta->top_pos = wal.next_pos;
    if (delta->state.store_pos > delta->top_pos) delta->top_pos = delta->state.store_pos;
    delta->next_part = delta->state.next_part;
    delta->next_ref = delta->state.next_ref;
    delta->newest_ms = delta->state.newest_ms;
    delta->retention_now_ms = delta->state.retention_now_ms;
    return OK;
}

/* The last delta is there, unchanged, and there is no later one. ERR_INPUT: someone else writes. */
enum err
bucket_look_at_chain(struct tsdb_bucket *b, struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    struct object_facts facts;
    enum err e = OK;
    catalog_delta_key(b->base.number, key);
    if (b->base.number > 0)
        e = catalog_look(b->objects, b->base.number, b->checksum, b->options.memory, why);
    if (e == ERR_MISSING || e == ERR_CORRUPT)
        return why_set(
            why, ERR_INPUT, "%s of the bucket %s: another bucket, or an older state of it", key,
            e == ERR_MISSING ? "is missing" : "has another content than this directory wrote");
    if (e) return e;
    catalog_delta_key(b->base.number + 1, key);
    e = b->objects->ops->look(b->objects, key, &facts, why);
    if (e == ERR_MISSING) return OK;
    if (e) return e;
    if (b->base.number == 0) {
        return why_set(
            why, ERR_INPUT,
            "the bucket has a catalog, and the directory is new: stop the server, remove "
            "the directory, and make one of the bucket with 'firekeep bucket adopt', or "
            "use another prefix");
    }
    return why_set(why, ERR_INPUT,
                   "the bucket has %s, which this directory did not write: another server writes "
                   "there, or the directory is an older state of itself",
                   key);
}

/* Makes the delta the pending one. */
static enum err
intend(struct tsdb_bucket *b, uint64_t number, struct bytes delta, struct why *why)
{
    assert(b->intent.size == 0); /* invariant 1 */
    buf_put_bytes(&b->intent, delta);
    enum err e = buf_error(&b->intent) ? catalog_no_memory(why) : OK;
    if (e == OK) e = write_catalog_file(b, &b->base, b->checksum, delta, number, why);
    /* The file may have it all the same: but it was not PUT, and the next write replaces it. */
    if (e) buf_clear(&b->intent);
    b->intent_number = number;
    return e;
}

static void
forget_upload(struct tsdb_bucket *b, uint32_t at)
{
    struct uploaded *all = b->uploaded;
    buf_fini(&all[at].root_bytes);
    memmove(all + at, all + at + 1, (--b->uploaded_count - at) * sizeof *all);
    b->uploaded = mem_resize(b->options.memory, all, (b->uploaded_count + 1) * sizeof *all,
                             b->uploaded_count * sizeof *all);
}

/* An object that was lost before it is named is uploaded again. */
static enum err
look_at_parts(struct tsdb_bucket *b, const struct catalog *delta, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < delta->part_count; i++) {
        char key[OBJECT_KEY_BYTES];
        const struct uploaded *u = find_uploaded(b, delta->parts[i].entry.number);
        catalog_part_key(&delta->parts[i], key);
        e = look_at_object(b, key, u, why);
        if (e == ERR_MISSING) forget_upload(b, (uint32_t)(u - b->uploaded));
    }
    return e == ERR_MISSING ? ERR_AGAIN : e;
}

/* Makes the delta by which this process begins. */
static enum err
make_opening(struct tsdb_bucket *b, struct why *why)
{
    struct buf bytes;
    uint64_t checksum;
    struct catalog delta =
        catalog_opening(&b->base, b->checksum, b->session, env_realtime_ms(b->db->env));
    enum err e = bucket_look_at_chain(b, why);
    if (e) return e;
    if (delta.number == 1) {
        e = env_random(b->db->env, delta.bucket_id, sizeof delta.bucket_id);
        if (e) return why_set(why, e, "no random numbers");
    }
    delta.grace_ms = b->options.grace_ms;
    buf_init(&bytes, b->options.memory, CATALOG_BYTES_MAX);
    e = catalog_write(&delta, &bytes, &checksum);
    if (e)
        (void)catalog_no_memory(why);
    else
        e = intend(b, delta.number, buf_bytes(&bytes), why);
    buf_fini(&bytes);
    return e;
}

/* Notes which changes of deletions and rules the next delta will have, or that the catalog has all.
 * Under the edit lock. */
static void
note_described(struct tsdb_bucket *b, bool has_state)
{
    struct live *live = &b->db->live;
    lock_take(&live->lock);
    b->described = live->bucket.edits;
    if (!has_state) live->bucket.named = b->described;
    lock_drop(&live->lock);
}

/* Notes what the catalog has since a delta of this process. */
static void
note_named(struct tsdb_bucket *b, const struct catalog *delta)
{
    struct live_bucket *to = &b->db->live.bucket;
    lock_take(&b->db->live.lock);
    if (delta->kind == CATALOG_OPEN) {
        /* The next delta finds what an earlier process has not named. */
        to->session = delta->session;
        to->number = delta->number;
        to->edits++;
    } else if (to->session != 0 && delta->has_state) {
        to->number = delta->number;
        to->named = b->described;
    }
    lock_drop(&b->db->live.lock);
}

/* Makes a delta of what the catalog lacks, if it is due. */
static enum err
make_delta(struct tsdb_bucket *b, bool *ret_done, struct why *why)
{
    struct tsdb *db = b->db;
    struct arena arena;
    struct buf bytes;
    struct catalog delta = {.kind = CATALOG_CHANGE,
                            .number = b->base.number + 1,
                            .before = b->checksum,
                            .session = b->session,
                            .made_ms = env_realtime_ms(db->env),
                            .grace_ms = b->options.grace_ms};
    uint64_t state_hash, checksum;
    bool changes = false, at_once = false;
    *ret_done = false;
    memcpy(delta.bucket_id, b->base.bucket_id, sizeof delta.bucket_id);
    arena_init(&arena, b->options.memory, 0, 0);
    buf_init(&bytes, b->options.memory, CATALOG_BYTES_MAX);
    lock_take(&db->edit_lock);
    enum err e = describe(b, &arena, &delta, &state_hash, &changes, &at_once);
    if (e == OK) e = catalog_write(&delta, &bytes, &checksum);
    if (e == OK) tsdb_border_set(db, b->border_ahead, delta.complete_pos);
    if (e == OK) note_described(b, at_once);
    lock_drop(&db->edit_lock);
    bool waits = !at_once && b->named_ns != 0 &&
                 env_monotonic_ns(db->env) - b->named_ns < DELTA_EVERY_MS * NS_PER_MS;
    if (e) (void)catalog_no_memory(why);
    if (e == OK && changes && !waits) {
        e = bucket_look_at_chain(b, why);
        if (e == OK) e = look_at_parts(b, &delta, why);
        if (e == OK) e = intend(b, delta.number, buf_bytes(&bytes), why);
        *ret_done = e == OK;
    }
    buf_fini(&bytes);
    arena_fini(&arena);
    return e;
}

/* --- the pending delta ------------------------------------------------------------------------ */

/* Compares what the bucket has under the number of the pending delta with it. ERR_MISSING: there is
 * nothing; ERR_INPUT: something else. */
static enum err
compare_intent(struct tsdb_bucket *b, const char *key, struct why *why)
{
    struct buf found;
    buf_init(&found, b->options.memory, CATALOG_BYTES_MAX);
    enum err e = objects_get(b->objects, key, &found, why);
    if (e == OK && !bytes_equal(buf_bytes(&found), buf_bytes(&b->intent))) {
        e = why_set(why, ERR_INPUT,
                    "the bucket has another %s than this directory intended: another server writes "
                    "there, or the directory is an older state of itself",
                    key);
    }
    buf_fini(&found);
    return e;
}

/* PUTs it unless it is there. ERR_INPUT: something else is. */
static enum err
put_intent(struct tsdb_bucket *b, struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    bool written = true;
    catalog_delta_key(b->intent_number, key);
    enum err e = b->is_conditional ? ERR_MISSING : compare_intent(b, key, why);
    if (e != ERR_MISSING) return e;
    e = b->objects->ops->put(b->objects, key, buf_bytes(&b->intent), b->is_conditional, &written,
                             why);
    if (e || written) return e;
    e = compare_intent(b, key, why);
    return e == ERR_MISSING ? ERR_AGAIN : e;
}

static void
publish_stats(struct tsdb_bucket *b)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < b->base.part_count; i++)
        bytes += b->base.parts[i].size;
    lock_take(&b->lock);
    b->stats.number = b->base.number;
    b->stats.complete_pos = b->base.complete_pos;
    b->stats.complete_ms = b->base.complete_ms;
    b->stats.parts = b->base.part_count;
    b->stats.bytes = bytes;
    lock_drop(&b->lock);
}

/* Sets the hash of the state that the catalog has; without memory the next delta has it again. */
static void
note_state(struct tsdb_bucket *b)
{
    uint64_t hash = 0;
    err_ignore(put_state(&b->base.state, b->options.memory, &hash), "0 is no state's");
    lock_take(&b->lock);
    b->state_hash = hash;
    lock_drop(&b->lock);
    atomic_store(&b->db->live.named_deletion, b->base.state.last_tombstone);
}

/* Forgets uploads that are named now, and those of parts that merges have replaced meanwhile. */
static void
forget_uploads(struct tsdb_bucket *b)
{
    struct version *v = live_pin(&b->db->live);
    struct arena arena;
    struct live_numbers live;
    arena_init(&arena, b->options.memory, 0, 0);
    bool is_known = list_live(v, &arena, &live) == OK; /* else the next delta forgets them */
    for (uint32_t i = b->uploaded_count; i-- > 0;) {
        uint64_t number = b->uploaded[i].number;
        if (catalog_find(&b->base, number) != NULL || (is_known && !is_live(&live, number)))
            forget_upload(b, i);
    }
    arena_fini(&arena);
    version_unref(v);
}

/* Keeps the deletions that the catalog loses: objects that it no longer names have their samples.
 * If there are too many, the oldest is forgotten, whose receipt goes first, too. */
static void
keep_left(struct tsdb_bucket *b, const struct catalog *next)
{
    for (uint32_t i = 0; i < b->base.state.tombstone_count; i++) {
        uint64_t id = b->base.state.tombstones[i].id;
        bool stays = false;
        for (uint32_t k = 0; k < next->state.tombstone_count; k++)
            stays |= next->state.tombstones[k].id == id;
        for (uint32_t k = 0; k < b->left_count; k++)
            stays |= b->left[k].id == id; /* by an attempt before, which failed later */
        if (stays) continue;
        lock_take(&b->lock);
        if (b->left_count == DELETIONS_KEPT_MAX)
            memmove(b->left, b->left + 1, --b->left_count * sizeof *b->left);
        b->left[b->left_count++] = (struct catalog_left){id, next->next_part};
        lock_drop(&b->lock);
    }
}

bool
bucket_is_stopped(struct tsdb_bucket *b)
{
    lock_take(&b->lock);
    bool stopped = b->stats.is_stopped;
    lock_drop(&b->lock);
    return stopped;
}

enum deletion_in_bucket
bucket_deletion(struct tsdb_bucket *b, uint64_t id)
{
    lock_take(&b->lock);
    const struct manifest *m = &b->base.state;
    bool hides = false;
    for (uint32_t i = 0; i < m->tombstone_count; i++)
        hides |= m->tombstones[i].id == id;
    for (uint32_t i = 0; i < b->left_count; i++)
        hides |= b->left[i].id == id;
    bool is_known = id <= m->last_tombstone, stays = b->has_versions;
    lock_drop(&b->lock);
    return !is_known ? BUCKET_PENDING
           : hides   ? BUCKET_HIDES
           : stays   ? BUCKET_VERSIONS
                     : BUCKET_DONE;
}

static enum err
settle(struct tsdb_bucket *b, struct why *why)
{
    struct arena arena;
    struct catalog delta, next = b->base;
    struct object_facts facts;
    char key[OBJECT_KEY_BYTES];
    uint64_t checksum = 0;
    assert(b->intent_number == b->base.number + 1); /* invariants 1, 2 */
    enum err e = put_intent(b, why);
    if (e) return e;
    arena_init(&arena, b->options.memory, 0, 0);
    catalog_delta_key(b->intent_number, key);
    e = b->objects->ops->look(b->objects, key, &facts, why);
    if (e == ERR_MISSING) e = ERR_AGAIN;
    if (e == OK)
        e = catalog_read(buf_bytes(&b->intent), STORAGE_CATALOG, &arena, &delta, &checksum, why);
    if (e == OK) e = catalog_apply(&next, &delta, &arena, why);
    next.before = checksum;
    if (e == OK) keep_left(b, &next);
    assert(e || next.complete_pos >= b->base.complete_pos); /* invariant 4 */
    if (e == OK) e = write_catalog_file(b, &next, checksum, bytes_of(NULL, 0), 0, why);
    if (e == OK) e = copy_base(b, &next, why);
    arena_fini(&arena);
    if (e) return e;
    tsdb_border_set(b->db, b->border, b->base.complete_pos);
    buf_clear(&b->intent);
    b->checksum = checksum;
    /* Deltas of deletions and rules alone, as the first one of a process, make no part wait. */
    if (delta.part_count > 0 || delta.removed_count > 0) b->named_ns = env_monotonic_ns(b->db->env);
    if (delta.session == b->session) note_named(b, &delta);
    forget_uploads(b);
    note_state(b);
    publish_stats(b);
    lock_take(&b->lock);
    b->has_versions = facts.has_versions;
    lock_drop(&b->lock);
    return OK;
}

/* --- bases ------------------------------------------------------------------------------------ */

struct old_bases {
    uint64_t newest[2];
    char first[OBJECT_KEY_BYTES]; /* "": there are no more than two */
};

static enum err
note_old_base(void *context, const struct object_listed *object)
{
    struct old_bases *o = context;
    uint64_t number = strtoull(object->key + sizeof CATALOG_BASES - 1, NULL, 10);
    if (o->newest[1] != 0) catalog_base_key(o->newest[1], o->first);
    o->newest[1] = o->newest[0];
    o->newest[0] = number; /* keys are in the order of numbers */
    return OK;
}

/* Writes a base beside the chain, and removes one that is older than the two newest. */
static enum err
put_base(struct tsdb_bucket *b, struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    struct old_bases old = {{0}, ""};
    struct buf bytes;
    uint64_t ignored;
    buf_init(&bytes, b->options.memory, CATALOG_BYTES_MAX);
    enum err e = catalog_write(&b->base, &bytes, &ignored);
    if (e) (void)catalog_no_memory(why);
    catalog_base_key(b->base.number, key);
    if (e == OK) e = b->objects->ops->put(b->objects, key, buf_bytes(&bytes), true, NULL, why);
    if (e == OK) e = b->objects->ops->list(b->objects, CATALOG_BASES, note_old_base, &old, why);
    if (e == OK && old.first[0] != '\0') e = b->objects->ops->remove(b->objects, old.first, why);
    if (e == OK) b->based = b->base.number;
    buf_fini(&bytes);
    return e;
}

/* --- local copies ----------------------------------------------------------------------------- */

/* Finds a part in the directory that the bucket has, and that need not stay. */
static struct part *
find_leaving(const struct tsdb_bucket *b, const struct version *v)
{
    const struct tsdb_bucket_options *o = &b->options;
    int64_t now_ms = env_realtime_ms(b->db->env);
    struct part *oldest = NULL;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < v->part_count; i++) {
        const struct part_info *info = part_info(v->parts[i]);
        if (part_is_remote(v->parts[i])) continue;
        bytes += info->file_bytes;
        bool is_older = oldest == NULL || info->time.max_ms < part_info(oldest)->time.max_ms;
        if (is_older && catalog_find(&b->base, info->number) != NULL) oldest = v->parts[i];
    }
    if (oldest == NULL) return NULL;
    bool is_old = o->keep_ms > 0 && part_info(oldest)->time.max_ms < now_ms - o->keep_ms;
    bool is_full = o->keep_bytes > 0 && bytes > o->keep_bytes;
    return is_old || is_full ? oldest : NULL;
}

/* Replaces the part by one that is only in the bucket. Its directory goes after its last view. */
static enum err
leave_to_bucket(struct tsdb_bucket *b, struct part *local, const struct catalog_part *named,
                bool *ret_done, struct why *why)
{
    struct tsdb *db = b->db;
    struct part *remote;
    enum err e = catalog_open_part(named, &db->cache_budget, db->cache, &db->remote, &remote, why);
    if (e) return e;
    part_set_applied(remote, part_applied(local));
    const struct store_edit edit = {
        .add = &remote, .add_count = 1, .remove = &local, .remove_count = 1};
    lock_take(&db->edit_lock);
    const struct version *v = db->live.version;
    bool is_there = parts_have(local, v->parts, v->part_count); /* no merge has replaced it */
    if (is_there) e = store_edit_locked(db, &edit, why);
    lock_drop(&db->edit_lock);
    part_unref(remote);
    *ret_done = is_there && e == OK;
    return e;
}

/* ERR_AGAIN: a rule of the bucket would remove what is only there. */
static enum err
look_at_rules(struct tsdb_bucket *b, struct why *why)
{
    char rule[OBJECT_RULE_BYTES];
    int64_t now_ns = env_monotonic_ns(b->db->env);
    if (b->ruled_ns != 0 && now_ns - b->ruled_ns < RULES_EVERY_NS) return OK;
    enum err e = b->objects->ops->rule(b->objects, rule, why);
    if (e == OK && rule[0] != '\0') {
        e = why_set(why, ERR_AGAIN,
                    "a lifecycle rule of the bucket %s: parts stay in the directory", rule);
    }
    if (e == OK) b->ruled_ns = now_ns;
    return e;
}

static enum err
remove_next(struct tsdb_bucket *b, bool *ret_done, struct why *why)
{
    struct version *v = live_pin(&b->db->live);
    struct part *local = find_leaving(b, v);
    enum err e = OK;
    *ret_done = false;
    if (local != NULL) {
        char key[OBJECT_KEY_BYTES];
        const struct catalog_part *named = catalog_find(&b->base, part_info(local)->number);
        const struct uploaded u = {.size = named->size, .digest = named->digest};
        catalog_part_key(named, key);
        e = look_at_rules(b, why);
        if (e == OK) e = bucket_look_at_chain(b, why);
        if (e == OK) e = look_at_object(b, key, &u, why);
        if (e == ERR_MISSING) e = ERR_AGAIN; /* 'bucket verify' finds it, too */
        if (e == OK) e = leave_to_bucket(b, local, named, ret_done, why);
    }
    version_unref(v);
    return e;
}

/* --- steps ------------------------------------------------------------------------------------ */

/* Looks once a minute whether someone else writes, and compares the clocks: retention, levels and
 * the sweep rest while one of them is wrong. */
static enum err
look_at_bucket(struct tsdb_bucket *b, struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    struct object_facts facts;
    struct head *head = &b->db->head;
    int64_t now_ns = env_monotonic_ns(b->db->env);
    if (b->looked_ns != 0 && now_ns - b->looked_ns < LOOK_EVERY_NS) return OK;
    catalog_delta_key(b->base.number + 1, key);
    enum err e = b->objects->ops->look(b->objects, key, &facts, why);
    if (e != ERR_MISSING) return e ? e : bucket_look_at_chain(b, why);
    b->bucket_ms = facts.now_ms;
    b->looked_ns = now_ns;
    int64_t off_ms = b->bucket_ms == INT64_MIN ? 0 : env_realtime_ms(b->db->env) - b->bucket_ms;
    if (off_ms <= CLOCK_OFF_MS && off_ms >= -CLOCK_OFF_MS) off_ms = 0;
    lock_take(&head->lock);
    head->differs_from_buckets = off_ms != 0;
    look_at_clock(head);
    lock_drop(&head->lock);
    lock_take(&b->lock);
    b->stats.clock_off_ms = off_ms;
    lock_drop(&b->lock);
    return OK;
}

/* Tests what the bucket can do. ERR_INPUT: not enough. */
static enum err
probe(struct tsdb_bucket *b, struct why *why)
{
    enum err e = objects_probe(b->objects, b->db->env, b->options.memory, &b->is_conditional, why);
    if (e == OK && !b->is_conditional && !b->options.single_writer) {
        e = why_set(why, ERR_INPUT,
                    "the bucket ignores the condition If-None-Match, so it cannot refuse a second "
                    "writer; if no other server ever writes there, set single_writer: true");
    }
    b->is_probed = e == OK;
    return e;
}

static enum err
step(struct tsdb_bucket *b, enum tsdb_bucket_did *ret_did, struct why *why)
{
    bool done = false;
    enum err e = b->is_probed ? OK : probe(b, why);
    bool is_open = b->base.number > 0 && b->base.session == b->session;
    if (e) return e;
    if (b->intent.size > 0) {
        e = settle(b, why);
        if (e == OK) *ret_did = is_open ? TSDB_BUCKET_NAMED : TSDB_BUCKET_OPENED;
        return e;
    }
    if (!is_open) {
        e = make_opening(b, why);
        return e ? e : step(b, ret_did, why);
    }
    e = look_at_bucket(b, why);
    if (e == OK && b->base.number % BASE_EVERY == 0 && b->based != b->base.number)
        e = put_base(b, why);
    if (e == OK) e = make_delta(b, &done, why);
    if (e == OK && done) return step(b, ret_did, why);
    if (e == OK) e = upload_next(b, &done, why);
    if (e == OK && done) *ret_did = TSDB_BUCKET_UPLOADED;
    if (e || done) return e;
    e = bucket_sweep(b, why);
    if (e == OK) e = remove_next(b, &done, why);
    if (e == OK && done) *ret_did = TSDB_BUCKET_REMOVED;
    return e;
}

enum err
tsdb_bucket_step(struct tsdb_bucket *b, enum tsdb_bucket_did *ret_did, struct why *why)
{
    *ret_did = TSDB_BUCKET_NOTHING;
    if (b->stats.is_stopped)
        return why_set(why, ERR_INPUT, "the catalog has what this directory did not write");
    enum err e = OK;
    if (b->is_copy) { /* invariant 5 */
        e = why_set(why, ERR_INPUT,
                    "the directory is a copy of another, or was restored: 'firekeep bucket take' "
                    "lets it go on with the bucket");
    } else if (b->db->identity.finding == TSDB_IDENTITY_UNKEPT) {
        e = why_set(why, ERR_INPUT, "the id of the directory cannot be read or written");
    }
    if (e == OK) e = step(b, ret_did, why);
    lock_take(&b->lock);
    b->stats.is_failing = e != OK;
    b->stats.is_stopped = e == ERR_INPUT;
    lock_drop(&b->lock);
    /* It will never have other deletions. */
    if (e == ERR_INPUT) atomic_store(&b->db->live.named_deletion, UINT64_MAX);
    return e;
}

bool
tsdb_bucket_is_due(struct tsdb_bucket *b)
{
    const struct live_bucket *of = &b->db->live.bucket;
    lock_take(&b->db->live.lock);
    bool is_due = of->edits != of->named;
    lock_drop(&b->db->live.lock);
    return is_due && !bucket_is_stopped(b);
}

bool
tsdb_bucket_is_clean(struct tsdb_bucket *b)
{
    lock_take(&b->lock);
    bool is_clean = b->base.state.tombstone_count == 0;
    lock_drop(&b->lock);
    return is_clean && !tsdb_bucket_is_due(b);
}

static uint64_t
count_remote(struct tsdb *db)
{
    struct version *v = live_pin(&db->live);
    uint64_t count = 0;
    for (uint32_t i = 0; i < v->part_count; i++)
        count += part_is_remote(v->parts[i]);
    version_unref(v);
    return count;
}

bool
tsdb_bucket_stats(struct tsdb *db, struct tsdb_bucket_stats *ret)
{
    const struct remote_store *r = &db->remote;
    struct wal_stats wal;
    *ret = (struct tsdb_bucket_stats){0};
    lock_take(&db->live.lock);
    struct tsdb_bucket *b = db->bucket;
    if (b != NULL) {
        lock_take(&b->lock);
        *ret = b->stats;
        lock_drop(&b->lock);
    }
    lock_drop(&db->live.lock);
    if (b == NULL) return false;
    wal_stats(db->wal, &wal);
    if (wal.end_pos > ret->complete_pos) ret->behind_bytes = wal.end_pos - ret->complete_pos;
    ret->remote_parts = count_remote(db);
    ret->requests_total = atomic_load_explicit(&r->requests, memory_order_relaxed);
    ret->read_bytes_total = atomic_load_explicit(&r->bytes, memory_order_relaxed);
    return true;
}

/* ERR_INPUT: parts are only in a bucket, and this is another one. */
static enum err
look_at_first(struct tsdb_bucket *b, struct why *why)
{
    struct arena arena;
    struct buf scratch;
    struct catalog first = {.number = 0};
    uint64_t checksum = 0;
    uint8_t kind;
    arena_init(&arena, b->options.memory, 0, 0);
    buf_init(&scratch, b->options.memory, CATALOG_BYTES_MAX);
    enum err e = catalog_next(b->objects, &arena, &scratch, &first, &checksum, &kind, why);
    if (e == OK && memcmp(first.bucket_id, b->base.bucket_id, CATALOG_ID_BYTES) != 0) {
        e = why_set(why, ERR_INPUT,
                    "%s is not the bucket that has parts of %s, which are not in the directory",
                    b->objects->shown, b->db->dir);
    } else if (e == ERR_AGAIN || e == ERR_IO) {
        e = OK;
    }
    buf_fini(&scratch);
    arena_fini(&arena);
    return e;
}

enum err
tsdb_bucket_open(const struct tsdb_bucket_options *options, struct tsdb_bucket **ret_bucket,
                 struct why *why)
{
    struct tsdb_bucket *b = mem_new(options->memory, sizeof *b);
    if (b == NULL) return catalog_no_memory(why);
    b->options = *options;
    b->db = options->tsdb;
    b->objects = options->objects;
    b->base = (struct catalog){.kind = CATALOG_BASE, .complete_ms = INT64_MIN};
    arena_init(&b->arena, options->memory, 0, 0);
    buf_init(&b->intent, options->memory, CATALOG_BYTES_MAX);
    lock_init(&b->lock, LOCK_RANK_LEAF);
    b->stats.complete_ms = INT64_MIN;
    enum err e = tsdb_border_new(b->db, &b->border);
    b->has_border = e == OK;
    if (e == OK) e = tsdb_border_new(b->db, &b->border_ahead);
    b->has_border_ahead = e == OK;
    if (e == OK) e = env_random(b->db->env, &b->session, sizeof b->session);
    if (e == OK) e = read_catalog_file(b, why);
    if (e == OK && count_remote(b->db) > 0) e = look_at_first(b, why);
    if (e) {
        tsdb_bucket_free(b);
        return e;
    }
    tsdb_border_set(b->db, b->border, b->base.complete_pos);
    if (b->base.number > 0) note_state(b);
    publish_stats(b);
    lock_take(&b->db->live.lock);
    b->db->bucket = b;
    lock_drop(&b->db->live.lock);
    *ret_bucket = b;
    return OK;
}

void
tsdb_bucket_free(struct tsdb_bucket *b)
{
    if (b == NULL) return;
    lock_take(&b->db->live.lock);
    b->db->bucket = NULL;
    lock_drop(&b->db->live.lock);
    if (b->has_border) tsdb_border_free(b->db, b->border);
    if (b->has_border_ahead) tsdb_border_free(b->db, b->border_ahead);
    for (uint32_t i = 0; i < b->uploaded_count; i++)
        buf_fini(&b->uploaded[i].root_bytes);
    mem_free(b->options.memory, b->uploaded, b->uploaded_count * sizeof *b->uploaded);
    mem_free(b->options.memory, b->unnamed, b->unnamed_count * sizeof *b->unnamed);
    buf_fini(&b->intent);
    arena_fini(&b->arena);
    lock_fini(&b->lock);
    mem_free(b->options.memory, b, sizeof *b);
}
