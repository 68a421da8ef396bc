/*
 * snapshot.c - makes a snapshot, a storage directory of hard links: the live parts, a manifest that
 * lists them, the files of rules, and no log; and copies of what options.snapshot_more() adds.
 * Writers wait only while links are made.
 *
 * The state of rules says which evaluations are recorded, and that of a destination what it has
 * delivered, so they are taken first, then the head is flushed: then the parts have everything that
 * a state covers, or counts as queued. States may be replaced meanwhile.
 *
 * A snapshot is built as NAME.tmp and renamed when all of it is durable. Parts never change, and
 * files of rules are replaced, never written to, so the links stay valid; their disk space is freed
 * with the last of their names.
 *
 * A snapshot is deleted by renaming it to NAME.tmp, so that it is whole or gone for those who look
 * for it, and of several deletions at once one succeeds. The lock of its FORMAT keeps away programs
 * that read it (store.h).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text/hex.h"
#include "base/text/texts.h"
#include "model/storage_layout.h"
#include "tsdb/store/store.h"

struct snapshot {
    struct tsdb *db;
    char dir[300]; /* NAME.tmp, where it is built */
    char parts[320];
    bool with_bucket; /* parts in the bucket are fetched */
    struct why *why;
};

static enum err
link_file(struct snapshot *x, const char *from_dir, const char *to_dir, const char *name)
{
    char from[400], to[400];
    enum err e = path_join(from, sizeof from, from_dir, name);
    if (e == OK) e = path_join(to, sizeof to, to_dir, name);
    if (e == OK) e = env_link(x->db->env, from, to, x->why);
    return e;
}

/* --- rules ------------------------------------------------------------------------------------ */

static const char STATE[] = "state";

struct rules_linked {
    struct snapshot *x;
    char from[256], to[320];
};

static enum err
rules_paths(struct snapshot *x, struct rules_linked *ret)
{
    *ret = (struct rules_linked){.x = x};
    enum err e = path_join(ret->from, sizeof ret->from, x->db->dir, STORAGE_RULES);
    return e ? e : path_join(ret->to, sizeof ret->to, x->dir, STORAGE_RULES);
}

static enum err
link_state(struct snapshot *x)
{
    struct env *env = x->db->env;
    struct rules_linked l;
    struct file_facts facts;
    struct why looking = {""};
    char from[300], to[360];
    enum err e = rules_paths(x, &l);
    if (e == OK) e = env_mkdir(env, l.to, x->why);
    if (e == OK) e = path_join(from, sizeof from, l.from, STATE);
    if (e == OK) e = path_join(to, sizeof to, l.to, STATE);
    if (e) return e;
    e = env_facts(env, from, &facts, &looking);
    if (e == OK && facts.kind == FILE_KIND_PLAIN) e = env_link(env, from, to, &looking);
    return e == OK || e == ERR_MISSING ? OK : why_set(x->why, e, "%s", looking.text);
}

/* Links a file of rules, not the state or an unfinished file; one removed meanwhile is skipped. */
static enum err
link_rules_file(void *context, const char *name, bool is_dir)
{
    struct rules_linked *l = context;
    if (is_dir || text_ends_with(name, ".tmp") || strcmp(name, STATE) == 0) return OK;
    enum err e = link_file(l->x, l->from, l->to, name);
    return e == ERR_MISSING ? OK : e;
}

/* A file that is replaced while the directory is read may not be listed at all, neither the old one
 * nor the new one. */
static enum err
link_rules(struct snapshot *x)
{
    struct env *env = x->db->env;
    struct lock *replacing = x->db->options.rules_lock;
    struct rules_linked l;
    enum err e = rules_paths(x, &l);
    if (replacing != NULL) lock_take(replacing);
    if (e == OK) e = env_listdir(env, l.from, link_rules_file, &l, x->why);
    if (replacing != NULL) lock_drop(replacing);
    if (e == ERR_MISSING) e = OK;
    return e ? e : env_syncdir(env, l.to, x->why);
}

/* --- the snapshot ----------------------------------------------------------------------------- */

struct fetched_file {
    struct file file;
    uint64_t size;
    struct why *why;
};

static enum err
take_fetched(void *context, struct bytes piece)
{
    struct fetched_file *f = context;
    enum err e = file_write_at(&f->file, piece, f->size, f->why);
    f->size += piece.size;
    return e;
}

/* Copies a part from the bucket. */
static enum err
fetch_part(struct snapshot *x, const struct part *part)
{
    struct env *env = x->db->env;
    struct objects *o = x->db->remote.objects;
    struct fetched_file f = {FILE_CLOSED, 0, x->why};
    char dir[360], path[400];
    enum err e =
        storage_part_path(dir, sizeof dir, x->parts, part_info(part)->number, STORAGE_PART);
    if (e == OK) e = path_join(path, sizeof path, dir, "part");
    if (e == OK) e = env_mkdir(env, dir, x->why);
    if (e == OK) e = file_open(env, path, FILE_CREATE, &f.file, x->why);
    if (e == OK) e = o->ops->get(o, part_key(part), take_fetched, &f, x->why);
    if (e == OK && f.size != part_info(part)->file_bytes) e = ERR_MISSING;
    if (e == ERR_MISSING)
        e = why_set(x->why, ERR_IO, "the bucket %s lacks %s, or has another", o->shown,
                    part_key(part));
    if (e == OK) e = file_sync(&f.file, x->why);
    e = err_first(e, file_close(&f.file));
    return e ? e : env_syncdir(env, dir, x->why);
}

/* Copies those in the bucket, which stay there for its grace, while the store goes on. */
static enum err
fetch_parts(struct snapshot *x, const struct version *v)
{
    enum err e = OK;
    for (uint32_t i = 0; i < v->part_count && e == OK; i++)
        if (part_is_remote(v->parts[i])) e = fetch_part(x, v->parts[i]);
    return e ? e : env_syncdir(x->db->env, x->parts, x->why);
}

/* Links the parts, and writes the positions and totals, of one moment. */
static enum err
link_parts(struct snapshot *x)
{
    struct tsdb *db = x->db;
    struct env *env = db->env;
    enum err e = path_join(x->parts, sizeof x->parts, x->dir, STORAGE_PARTS);
    if (e == OK) e = env_mkdir(env, x->parts, x->why);
    if (e) return e;
    bool has_remote = false;
    lock_take(&db->edit_lock);
    for (uint32_t i = 0; i < db->live.version->part_count && e == OK; i++) {
        const struct part *part = db->live.version->parts[i];
        uint64_t number = part_info(part)->number;
        char from[256], to[360];
        has_remote |= part_is_remote(part);
        if (part_is_remote(part)) continue;
        e = storage_part_path(from, sizeof from, db->parts_dir, number, STORAGE_PART);
        if (e == OK) e = storage_part_path(to, sizeof to, x->parts, number, STORAGE_PART);
        if (e == OK) e = env_mkdir(env, to, x->why);
        if (e == OK) e = link_file(x, from, to, "part");
        if (e == OK) e = link_file(x, from, to, "meta.json");
        if (e == OK) e = env_syncdir(env, to, x->why);
    }
    if (e == ERR_MISSING) e = ERR_CORRUPT; /* the file of a live part was removed */
    if (e == OK) e = env_syncdir(env, x->parts, x->why);
    if (e == OK && has_remote && !x->with_bucket)
        e = link_file(x, db->dir, x->dir, STORAGE_CATALOG);
    if (e == OK) e = edit_write_manifest(db, x->dir, x->with_bucket, x->why);
    struct version *v = live_pin(&db->live);
    lock_drop(&db->edit_lock);
    if (e == OK && has_remote && x->with_bucket) e = fetch_parts(x, v);
    version_unref(v);
    return e;
}

static enum err
build(struct snapshot *x, enum err (*flush)(void *context, struct why *why), void *context)
{
    struct env *env = x->db->env;
    const struct tsdb_options *options = &x->db->options;
    enum err e = env_mkdir(env, x->dir, x->why);
    if (e == OK) e = link_state(x);
    if (e == OK && options->snapshot_more != NULL)
        e = options->snapshot_more(options->snapshot_context, x->db->dir, x->dir, x->why);
    if (e == OK && flush != NULL) e = flush(context, x->why);
    if (e == OK) e = link_parts(x);
    if (e == OK) e = link_rules(x);
    if (e == OK) e = format_write(env, x->dir, x->why);
    return e ? e : env_syncdir(env, x->dir, x->why);
}

bool
tsdb_is_snapshot_suffix(const char *text)
{
    return strspn(text, "0123456789abcdef") == HEX_WORD_BYTES && text[HEX_WORD_BYTES] == '\0';
}

/* The name has the time, for people, and the suffix, or 64 random bits, for snapshots of the same
 * second. */
static enum err
make_name(struct tsdb *db, const char *suffix, char *to)
{
    uint64_t random;
    struct tm utc;
    time_t now = (time_t)(env_realtime_ms(db->env) / 1000);
    enum err e = env_random(db->env, &random, sizeof random);
    if (e) return e;
    gmtime_r(&now, &utc);
    size_t size = strftime(to, SNAPSHOT_NAME_BYTES, "%Y%m%dT%H%M%SZ-", &utc);
    if (suffix != NULL)
        snprintf(to + size, SNAPSHOT_NAME_BYTES - size, "%s", suffix);
    else
        snprintf(to + size, SNAPSHOT_NAME_BYTES - size, "%016" PRIx64, random);
    return OK;
}

enum err
tsdb_snapshot(struct tsdb *db, const char *suffix, bool with_bucket,
              enum err (*flush)(void *context, struct why *why), void *context, char *ret_name,
              struct why *why)
{
    struct snapshot x = {.db = db, .with_bucket = with_bucket, .why = why};
    struct file_facts facts;
    char all[256], whole[300], name[SNAPSHOT_NAME_BYTES], building[SNAPSHOT_NAME_BYTES + 4];
    enum err e = tsdb_look_before_write(db, why);
    if (e) return why_prefix(why, e, "snapshot");
    e = make_name(db, suffix, name);
    if (e) return why_set(why, e, "cannot get random bytes for a snapshot name");
    snprintf(building, sizeof building, "%s.tmp", name);
    e = path_join(all, sizeof all, db->dir, STORAGE_SNAPSHOTS);
    if (e == OK) e = path_join(whole, sizeof whole, all, name);
    if (e == OK) e = path_join(x.dir, sizeof x.dir, all, building);
    if (e == OK && suffix != NULL && env_facts(db->env, whole, &facts, NULL) == OK)
        return why_set(why, ERR_AGAIN, "snapshot: %s was made in the same second", name);
    if (e == OK) e = env_mkdir(db->env, all, why);
    if (e == OK) e = env_syncdir(db->env, db->dir, why);
    if (e == OK) e = build(&x, flush, context);
    if (e == OK) e = env_rename(db->env, x.dir, whole, why);
    if (e == OK) e = env_syncdir(db->env, all, why);
    if (e == OK) {
        memcpy(ret_name, name, sizeof name);
        return OK;
    }
    err_ignore(env_remove_tree(db->env, x.dir, NULL), "*.tmp is swept at the next start");
    return why_prefix(why, e, "snapshot");
}

static enum err
sweep_one(void *context, const char *name, bool is_dir)
{
    struct tsdb *db = context;
    char path[400];
    if (!is_dir || !text_ends_with(name, ".tmp")) return OK;
    int n = snprintf(path, sizeof path, "%s/" STORAGE_SNAPSHOTS "/%.200s", db->dir, name);
    if (n < 0 || (size_t)n >= sizeof path) return OK;
    err_ignore(env_remove_tree(db->env, path, NULL), "it only costs links");
    return OK;
}

void
snapshots_sweep(struct tsdb *db)
{
    char all[256];
    enum err e = path_join(all, sizeof all, db->dir, STORAGE_SNAPSHOTS);
    if (e == OK) e = env_listdir(db->env, all, sweep_one, db, NULL);
    err_ignore(e, "most stores have none");
}

/* --- listing ---------------------------------------------------------------------------------- */

/* "20260101T000000Z-" and 16 digits, as make_name() makes them: no other name is a snapshot. */
static bool
is_name(const char *name)
{
    static const char form[] = "00000000T000000Z-";
    uint64_t random;
    size_t size = sizeof form - 1;
    for (size_t i = 0; i < size; i++)
        if (form[i] == '0' ? name[i] < '0' || name[i] > '9' : name[i] != form[i]) return false;
    const char *rest = hex_name_number(name + size, HEX_WORD_BYTES, &random);
    return rest != NULL && rest[0] == '\0';
}

struct snapshots_listed {
    struct tsdb *db;
    struct version *live;
    char all[256];
    char parts[300]; /* those of the current snapshot */
    struct tsdb_snapshot_facts facts;
    enum err (*each)(void *context, const struct tsdb_snapshot_facts *facts);
    void *context;
    struct why *why;
};

static enum err
count_part(void *context, const char *name, bool is_dir)
{
    struct snapshots_listed *l = context;
    uint64_t number;
    char dir[400], path[420];
    struct file_facts facts;
    if (!is_dir || storage_part_of(name, &number) != STORAGE_PART) return OK;
    enum err e = path_join(dir, sizeof dir, l->parts, name);
    if (e == OK) e = path_join(path, sizeof path, dir, "part");
    if (e == OK) e = env_facts(l->db->env, path, &facts, l->why);
    if (e) return e == ERR_MISSING ? OK : e;
    l->facts.parts++;
    l->facts.bytes += facts.size_bytes;
    for (uint32_t i = 0; i < l->live->part_count; i++)
        if (part_info(l->live->parts[i])->number == number) return OK;
    l->facts.held_bytes += facts.size_bytes;
    return OK;
}

static enum err
list_one(void *context, const char *name, bool is_dir)
{
    struct snapshots_listed *l = context;
    char dir[300];
    if (!is_dir || !is_name(name)) return OK;
    l->facts = (struct tsdb_snapshot_facts){.parts = 0};
    snprintf(l->facts.name, sizeof l->facts.name, "%s", name);
    enum err e = path_join(dir, sizeof dir, l->all, name);
    if (e == OK) e = path_join(l->parts, sizeof l->parts, dir, STORAGE_PARTS);
    if (e == OK) e = env_listdir(l->db->env, l->parts, count_part, l, l->why);
    if (e == ERR_MISSING) e = OK; /* it is being deleted */
    return e ? e : l->each(l->context, &l->facts);
}

enum err
tsdb_snapshots(struct tsdb *db,
               enum err (*each)(void *context, const struct tsdb_snapshot_facts *facts),
               void *context, struct why *why)
{
    struct snapshots_listed l = {.db = db, .each = each, .context = context, .why = why};
    enum err e = path_join(l.all, sizeof l.all, db->dir, STORAGE_SNAPSHOTS);
    if (e) return e;
    l.live = live_pin(&db->live);
    e = env_listdir(db->env, l.all, list_one, &l, why);
    version_unref(l.live);
    return e == ERR_MISSING ? OK : e;
}

/* --- deleting --------------------------------------------------------------------------------- */

/* Locks the snapshot's FORMAT. ERR_AGAIN: a program reads the snapshot, or serves it. */
static enum err
take_for_deletion(struct tsdb *db, const char *dir, struct file *ret_format, struct why *why)
{
    char path[320];
    enum err e = path_join(path, sizeof path, dir, STORAGE_FORMAT);
    if (e == OK) e = file_open(db->env, path, FILE_UPDATE, ret_format, why);
    if (e == ERR_MISSING) return OK; /* files of it were removed, or all of it */
    if (e) return e;
    e = file_lock(ret_format, NULL);
    if (e == ERR_AGAIN) {
        err_ignore(file_close(ret_format), "nothing was written");
        return why_set(why, e, "another process is using the snapshot");
    }
    err_ignore(e, "a file system without locks");
    return OK;
}

enum err
tsdb_snapshot_delete(struct tsdb *db, const char *name, struct why *why)
{
    char all[256], dir[300], removing[310];
    struct file format = FILE_CLOSED;
    if (!is_name(name)) return why_set(why, ERR_MISSING, "no snapshot has this name");
    enum err e = tsdb_look_before_write(db, why);
    if (e == OK) e = path_join(all, sizeof all, db->dir, STORAGE_SNAPSHOTS);
    if (e == OK) e = path_join(dir, sizeof dir, all, name);
    if (e) return why_prefix(why, e, "snapshot");
    snprintf(removing, sizeof removing, "%s.tmp", dir);
    e = take_for_deletion(db, dir, &format, why);
    if (e == OK) e = env_rename(db->env, dir, removing, why);
    if (e == ERR_MISSING) why_set(why, e, "no snapshot has this name");
    /* Synced first: after a power loss a part of the snapshot must not have its name. */
    if (e == OK) e = env_syncdir(db->env, all, why);
    if (e == OK) e = env_remove_tree(db->env, removing, why);
    err_ignore(file_close(&format), "nothing was written");
    return e;
}
