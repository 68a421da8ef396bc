/*
 * s3_files.c - own_files_examine() of backend/writer.h. Only destinations of type `s3` keep files:
 * sealed objects, and indexes; other types have all their state in the relay's. Format:
 * docs/format/relay.md, docs/destinations/s3.md.
 */
#include "backend/s3/object.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_FILE_BYTES_MAX = S3_INDEX_BYTES_MAX + 4096 };

static const char UNKNOWN_LEFT[] = "unknown, not written by Firekeep: left alone";

struct s3_files_look {
    const struct own_files_options *o;
    const char *name; /* name of the destination's directory */
    char dir[256];
    uint64_t files;
    struct s3_saved saved; /* names the sealed object */
    bool pending_seen;
    enum err (*look)(struct s3_files_look *l, const char *name, const char *path, struct why *why);
    struct why *why;
};

static void
say(const struct s3_files_look *l, enum own_file_verdict verdict, const char *name,
    const char *text)
{
    char line[512];
    snprintf(line, sizeof line, "%s/%s: %s", l->dir, name, text);
    l->o->say(l->o->context, verdict, line);
}

static enum err
look_at_name(void *context, const char *name, bool is_dir)
{
    struct s3_files_look *l = context;
    char path[256];
    size_t size = strlen(name);
    l->files += !is_dir;
    if (size > 4 && strcmp(name + size - 4, ".tmp") == 0) {
        say(l, OWN_FILE_HARMLESS, name, "unfinished file of an interrupted write, harmless");
        return OK;
    }
    if (is_dir) {
        say(l, OWN_FILE_UNKNOWN, name, UNKNOWN_LEFT);
        return OK;
    }
    enum err e = path_in(path, sizeof path, l->dir, name, l->why);
    return e ? e : l->look(l, name, path, l->why);
}

static enum err
look(struct s3_files_look *l, uint64_t *ret_files)
{
    enum err e = path_in(l->dir, sizeof l->dir, l->o->dir, l->name, l->why);
    if (e) return e;
    e = env_listdir(l->o->env, l->dir, look_at_name, l, l->why);
    *ret_files = l->files;
    return e;
}

/* --- objects ---------------------------------------------------------------------------------- */

static const char MADE_AGAIN[] = "the object is rebuilt from the log or the store";

static enum err
look_at_object(struct s3_files_look *l, const char *name, const char *path, struct why *why)
{
    struct why reason = {""};
    char text[sizeof reason.text + sizeof MADE_AGAIN + 2];
    enum { DIGITS = 10 };
    bool digits = strlen(name) == DIGITS && strspn(name, "0123456789") == DIGITS;
    uint64_t number = digits ? strtoull(name, NULL, 10) : 0;
    bool pending = l->saved.is_pending && l->saved.object.number == number;
    if (number == 0) {
        say(l, OWN_FILE_UNKNOWN, name,
            "unknown, not written by Firekeep: removed at the next start");
        return OK;
    }
    l->pending_seen |= pending;
    if (pending && !l->saved.has_digest) return OK; /* written by a version without checksums */
    enum err e = s3_object_examine(l->o->env, l->o->memory, path, pending ? &l->saved.object : NULL,
                                   &reason);
    if (e == ERR_MISSING && !pending) {
        say(l, OWN_FILE_HARMLESS, name, "unfinished object, harmless: it is rebuilt");
        return OK;
    }
    if (e == ERR_NOMEM || e == ERR_IO) return why_set(why, e, "%s", reason.text);
    if (e == OK) return OK;
    snprintf(text, sizeof text, "%s; %s", reason.text, MADE_AGAIN);
    l->o->say(l->o->context, OWN_FILE_DAMAGED, text);
    return OK;
}

static enum err
objects_examine(const struct own_files_options *options, uint64_t *ret_files, struct why *why)
{
    struct s3_files_look l = {.o = options, .name = "objects", .look = look_at_object, .why = why};
    if (!options->has_saved || !s3_saved_get(options->saved, &l.saved)) l.saved.is_pending = false;
    enum err e = look(&l, ret_files);
    if (e || !l.saved.is_pending || l.pending_seen) return e;
    char name[24], text[64];
    snprintf(name, sizeof name, "%010" PRIu64, l.saved.object.number);
    snprintf(text, sizeof text, "is missing; %s", MADE_AGAIN);
    say(&l, OWN_FILE_DAMAGED, name, text);
    return OK;
}

/* --- indexes ---------------------------------------------------------------------------------- */

static enum err
look_at_index(struct s3_files_look *l, const char *name, const char *path, struct why *why)
{
    struct s3_index index;
    struct buf file;
    struct bytes text;
    size_t size = strlen(name);
    if (size < 5 || strcmp(name + size - 5, ".json") != 0) {
        say(l, OWN_FILE_UNKNOWN, name, UNKNOWN_LEFT);
        return OK;
    }
    s3_index_init(&index, l->o->memory);
    buf_init(&file, l->o->memory, INDEX_FILE_BYTES_MAX);
    enum err e = env_read_whole(l->o->env, path, &file, why);
    if (e == OK) e = s3_index_file_text(buf_bytes(&file), &text);
    if (e == OK) e = s3_index_parse(&index, text);
    s3_index_fini(&index);
    buf_fini(&file);
    if (e == ERR_NOMEM || e == ERR_IO) return e;
    if (e) {
        say(l, OWN_FILE_DAMAGED, name,
            "cannot be read; the index in the bucket will be marked as incomplete");
    }
    return OK;
}

enum err
own_files_examine(const struct own_files_options *o, const char *name, bool is_dir,
                  uint64_t *ret_files, struct why *why)
{
    *ret_files = !is_dir;
    if (is_dir && strcmp(name, "objects") == 0) return objects_examine(o, ret_files, why);
    if (is_dir && strcmp(name, "index") == 0) {
        struct s3_files_look l = {.o = o, .name = "index", .look = look_at_index, .why = why};
        return look(&l, ret_files);
    }
    char line[512];
    snprintf(line, sizeof line, "%s/%s: %s", o->dir, name, UNKNOWN_LEFT);
    o->say(o->context, OWN_FILE_UNKNOWN, line);
    return OK;
}
