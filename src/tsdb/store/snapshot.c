/*
 * snapshot.c - makes a snapshot, a storage directory of hard links: the live parts, a manifest that
 * lists them, the files of rules, and no log. Nothing is copied, and writers wait only while links
 * are made.
 *
 * The state of rules says which evaluations are recorded, so it is linked first, then the head is
 * flushed: then the parts have all results that the state covers. The state may be replaced
 * meanwhile.
 *
 * A snapshot is built as NAME.tmp and renamed when all of it is durable. Parts never change, and
 * files of rules are replaced, never written to, so the links stay valid; their disk space is freed
 * with the last of their names.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tsdb/store/store.h"

struct snapshot {
    struct tsdb *db;
    char dir[300]; /* NAME.tmp, where it is built */
    char parts[320];
    struct why *why;
};

static bool
is_unfinished(const char *name)
{
    size_t size = strlen(name);
    return size >= 4 && strcmp(name + size - 4, ".tmp") == 0;
}

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
    enum err e = path_join(ret->from, sizeof ret->from, x->db->dir, "rules");
    return e ? e : path_join(ret->to, sizeof ret->to, x->dir, "rules");
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

/* Links a file of rules, but not the state or an unfinished file; one removed meanwhile is skipped.
 */
static enum err
link_rules_file(void *context, const char *name, bool is_dir)
{
    struct rules_linked *l = context;
    if (is_dir || is_unfinished(name) || strcmp(name, STATE) == 0) return OK;
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

/* Links the parts, and writes the positions and totals, of one moment. */
static enum err
link_parts(struct snapshot *x)
{
    struct tsdb *db = x->db;
    struct env *env = db->env;
    enum err e = path_join(x->parts, sizeof x->parts, x->dir, "parts");
    if (e == OK) e = env_mkdir(env, x->parts, x->why);
    if (e) return e;
    lock_take(&db->edit_lock);
    for (uint32_t i = 0; i < db->live.version->part_count && e == OK; i++) {
        uint64_t number = part_info(db->live.version->parts[i])->number;
        char from[256], to[360];
        e = part_path(from, sizeof from, db->parts_dir, number);
        if (e == OK) e = part_path(to, sizeof to, x->parts, number);
        if (e == OK) e = env_mkdir(env, to, x->why);
        if (e == OK) e = link_file(x, from, to, "part");
        if (e == OK) e = link_file(x, from, to, "meta.json");
        if (e == OK) e = env_syncdir(env, to, x->why);
    }
    if (e == ERR_MISSING) e = ERR_CORRUPT; /* the file of a live part was removed */
    if (e == OK) e = env_syncdir(env, x->parts, x->why);
    if (e == OK) e = edit_write_manifest(db, x->dir, x->why);
    lock_drop(&db->edit_lock);
    return e;
}

static enum err
build(struct snapshot *x, enum err (*flush)(void *context, struct why *why), void *context)
{
    struct env *env = x->db->env;
    enum err e = env_mkdir(env, x->dir, x->why);
    if (e == OK) e = link_state(x);
    if (e == OK && flush != NULL) e = flush(context, x->why);
    if (e == OK) e = link_parts(x);
    if (e == OK) e = link_rules(x);
    if (e == OK) e = format_write(env, x->dir, x->why);
    return e ? e : env_syncdir(env, x->dir, x->why);
}

/* The name has the time, for people, and 64 random bits, for snapshots of the same second. */
static enum err
make_name(struct tsdb *db, char *to)
{
    uint64_t random;
    struct tm utc;
    time_t now = (time_t)(env_realtime_ms(db->env) / 1000);
    enum err e = env_random(db->env, &random, sizeof random);
    if (e) return e;
    gmtime_r(&now, &utc);
    size_t size = strftime(to, SNAPSHOT_NAME_BYTES, "%Y%m%dT%H%M%SZ-", &utc);
    snprintf(to + size, SNAPSHOT_NAME_BYTES - size, "%016" PRIx64, random);
    return OK;
}

enum err
tsdb_snapshot(struct tsdb *db, enum err (*flush)(void *context, struct why *why), void *context,
              char *ret_name, struct why *why)
{
    struct snapshot x = {.db = db, .why = why};
    char all[256], whole[300], name[SNAPSHOT_NAME_BYTES], building[SNAPSHOT_NAME_BYTES + 4];
    enum err e = tsdb_look_before_write(db, why);
    if (e) return why_prefix(why, e, "snapshot");
    e = make_name(db, name);
    if (e) return why_set(why, e, "cannot get random bytes for a snapshot name");
    snprintf(building, sizeof building, "%s.tmp", name);
    e = path_join(all, sizeof all, db->dir, "snapshots");
    if (e == OK) e = path_join(whole, sizeof whole, all, name);
    if (e == OK) e = path_join(x.dir, sizeof x.dir, all, building);
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
    if (!is_dir || !is_unfinished(name)) return OK;
    int n = snprintf(path, sizeof path, "%s/snapshots/%.200s", db->dir, name);
    if (n < 0 || (size_t)n >= sizeof path) return OK;
    err_ignore(env_remove_tree(db->env, path, NULL), "it only costs links");
    return OK;
}

void
snapshots_sweep(struct tsdb *db)
{
    char all[256];
    enum err e = path_join(all, sizeof all, db->dir, "snapshots");
    if (e == OK) e = env_listdir(db->env, all, sweep_one, db, NULL);
    err_ignore(e, "most stores have none");
}
