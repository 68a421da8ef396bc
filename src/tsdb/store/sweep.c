/*
 * sweep.c - removes directories in parts/ that the manifest does not list. A crash leaves parts
 * that were being written, that were finished and not listed so far, or that others replaced. Their
 * samples are elsewhere, so they are removed. A whole part whose samples may not be elsewhere is
 * renamed to NUMBER.unnamed and kept: an operator has put it there, or what it was made of is
 * damaged now. NUMBER.lost marks a part that was given up; it is removed when the manifest no
 * longer mentions the part.
 */
#include <stdio.h>

#include "model/storage_layout.h"
#include "tsdb/store/store.h"

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
        const struct part_aside *aside = &s->db->live.aside[i];
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

static bool
is_removed(const struct manifest *m, uint64_t number)
{
    for (uint32_t i = 0; i < m->removed_count; i++) {
        if (m->removed[i] == number) return true;
    }
    return false;
}

static enum err
leave(struct parts_sweep *s, const char *path, uint64_t number)
{
    char to[300];
    enum err e = storage_part_path(to, sizeof to, s->db->parts_dir, number, STORAGE_PART_UNNAMED);
    if (e == OK) e = env_rename(s->db->env, path, to, NULL);
    struct tsdb_opening *o = s->opening;
    if (e == OK && o->parts_unnamed++ == 0) {
        snprintf(o->first_unnamed, sizeof o->first_unnamed, "%.255s", to);
    }
    return e;
}

static enum err
sweep_one(void *context, const char *name, bool is_dir)
{
    struct parts_sweep *s = context;
    struct tsdb *db = s->db;
    char path[256];
    uint64_t number;
    enum storage_part kind = storage_part_of(name, &number);
    bool lost = kind == STORAGE_PART_LOST;
    if (!is_dir || (kind != STORAGE_PART && !lost)) return OK;
    for (uint32_t i = 0; i < s->manifest->part_count; i++) {
        if (s->manifest->parts[i].number == number) return OK;
    }
    struct part *part;
    enum err e = path_join(path, sizeof path, db->parts_dir, name);
    if (e) return e;
    if (lost || is_removed(s->manifest, number)) return env_remove_tree(db->env, path, NULL);
    e = part_open(db->env, &db->cache_budget, db->cache, db->parts_dir, number, &part, NULL);
    if (e != OK && e != ERR_CORRUPT && e != ERR_MISSING)
        return OK; /* the part is left for a later sweep */
    bool foreign = e == OK && !is_elsewhere(s, part_info(part));
    if (e == OK) part_unref(part);
    return foreign ? leave(s, path, number) : env_remove_tree(db->env, path, NULL);
}

void
parts_sweep(struct tsdb *db, const struct manifest *manifest, struct tsdb_opening *opening)
{
    struct parts_sweep sweep = {db, manifest, opening};
    err_ignore(env_listdir(db->env, db->parts_dir, sweep_one, &sweep, NULL),
               "an unnamed directory only takes space");
}
