/* s3_kept.c - see s3_kept.h. Format: docs/format/relay.md, docs/destinations/s3.md. */
#include "backend/s3_kept.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/s3_index.h"
#include "backend/s3_saved.h"

struct looking {
    const struct kept_options *o;
    const char *name; /* of the directory */
    char dir[256];
    uint64_t files;
    const struct s3_object *pending; /* of the objects: what waits for its upload; NULL: nothing */
    bool has_digest;                 /* it has checksums */
    bool met;                        /* its file is there */
    enum err (*look)(struct looking *l, const char *name, const char *path, struct why *why);
    struct why *why;
};

static void
say(const struct looking *l, enum kept_verdict verdict, const char *name, const char *text)
{
    char line[512];
    snprintf(line, sizeof line, "%s/%s: %s", l->dir, name, text);
    l->o->say(l->o->context, verdict, line);
}

static enum err
look_at_name(void *context, const char *name, bool is_dir)
{
    struct looking *l = context;
    char path[256];
    size_t size = strlen(name);
    l->files += !is_dir;
    if (size > 4 && strcmp(name + size - 4, ".tmp") == 0) {
        say(l, KEPT_HARMLESS, name, "was never finished, harmless");
        return OK;
    }
    if (is_dir) {
        say(l, KEPT_UNKNOWN, name, "unknown, not of Firekeep: left alone");
        return OK;
    }
    enum err e = path_join(path, sizeof path, l->dir, name);
    return e ? why_set(l->why, e, "%s/%s: the path is too long", l->dir, name)
             : l->look(l, name, path, l->why);
}

static enum err
look(struct looking *l, uint64_t *ret_files)
{
    enum err e = path_join(l->dir, sizeof l->dir, l->o->dir, l->name);
    if (e) return why_set(l->why, e, "%s/%s: the path is too long", l->o->dir, l->name);
    e = env_listdir(l->o->env, l->dir, look_at_name, l, l->why);
    *ret_files = l->files;
    return e;
}

/* --- objects ---------------------------------------------------------------------------------- */

/* Its bytes are in the log until it is delivered, so it is made again: a finding, and no loss. */
static void
say_object(const struct looking *l, bool is_pending, const char *name, enum err e)
{
    bool damaged = e == ERR_CORRUPT || (e == ERR_MISSING && is_pending);
    if (damaged && is_pending)
        say(l, KEPT_DAMAGED, name, "damaged; it is made again from the log or the store");
    else if (damaged)
        say(l, KEPT_HARMLESS, name, "damaged, not needed any more: removed at the next start");
}

static enum err
look_at_object(struct looking *l, const char *name, const char *path, struct why *why)
{
    struct why reason = {""};
    if (strspn(name, "0123456789") != strlen(name)) {
        say(l, KEPT_UNKNOWN, name, "unknown, not of Firekeep: removed at the next start");
        return OK;
    }
    bool is_pending = l->pending != NULL && strtoull(name, NULL, 10) == l->pending->number;
    l->met |= is_pending;
    if (is_pending && !l->has_digest) return OK; /* of an earlier version: nobody can tell */
    enum err e =
        s3_object_examine(l->o->env, l->o->memory, path, is_pending ? l->pending : NULL, &reason);
    say_object(l, is_pending, name, e);
    /* One without checksums was being filled. */
    return e == ERR_CORRUPT || e == ERR_MISSING ? OK : e ? why_set(why, e, "%s", reason.text) : OK;
}

enum err
s3_objects_examine(const struct kept_options *options, uint64_t *ret_files, struct why *why)
{
    struct s3_saved saved;
    struct looking l = {.o = options, .name = "objects", .look = look_at_object, .why = why};
    if (options->has_saved && s3_saved_get(options->saved, &saved) && saved.is_pending) {
        l.pending = &saved.object;
        l.has_digest = saved.has_digest;
    }
    enum err e = look(&l, ret_files);
    if (e || l.pending == NULL || l.met) return e;
    char name[24];
    snprintf(name, sizeof name, "%010" PRIu64, l.pending->number);
    say(&l, KEPT_DAMAGED, name, "missing; it is made again from the log or the store");
    return OK;
}

/* --- indexes ---------------------------------------------------------------------------------- */

static enum err
read_file(struct env *env, const char *path, struct buf *to, struct why *why)
{
    struct file file;
    uint64_t size = 0;
    enum err e = file_open(env, path, FILE_READ, &file, why);
    if (e) return e;
    e = file_size(&file, &size, why);
    if (e == OK && size > S3_INDEX_BYTES_MAX) e = ERR_CORRUPT;
    if (e == OK && !buf_reserve(to, (size_t)size)) e = why_set(why, ERR_NOMEM, "%s", path);
    if (e == OK) e = file_read_at(&file, to->at, (size_t)size, 0, why);
    if (e == OK) to->size = (size_t)size;
    err_ignore(file_close(&file), "only read");
    return e;
}

static enum err
look_at_index(struct looking *l, const char *name, const char *path, struct why *why)
{
    struct s3_index index;
    struct buf text;
    size_t size = strlen(name);
    if (size < 5 || strcmp(name + size - 5, ".json") != 0) {
        say(l, KEPT_UNKNOWN, name, "unknown, not of Firekeep: left alone");
        return OK;
    }
    s3_index_init(&index, l->o->memory);
    buf_init(&text, l->o->memory, S3_INDEX_BYTES_MAX);
    enum err e = read_file(l->o->env, path, &text, why);
    struct bytes json;
    if (e == OK) e = s3_index_file_text(buf_bytes(&text), &json);
    if (e == OK) e = s3_index_parse(&index, json);
    s3_index_fini(&index);
    buf_fini(&text);
    if (e == ERR_NOMEM || e == ERR_IO) return e;
    if (e) {
        say(l, KEPT_DAMAGED, name,
            "cannot be read; the index in the bucket says from now on that it is not complete");
    }
    return OK;
}

enum err
s3_indexes_examine(const struct kept_options *options, uint64_t *ret_files, struct why *why)
{
    struct looking l = {.o = options, .name = "index", .look = look_at_index, .why = why};
    return look(&l, ret_files);
}
