/*
 * s3_files.c - see backend/own_files.h. Only destinations of type `s3` keep files: objects. Other
 * types have all their state in the relay's. Format: docs/format/relay.md.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/own_files.h"
#include "backend/s3/saved.h"

static const char MADE_AGAIN[] = "the object is rebuilt from the log or the store";

struct s3_files_look {
    const struct own_files_options *o;
    char dir[256];
    uint64_t files;
    struct s3_saved saved; /* names the sealed object */
    bool pending_seen;
    struct why *why;
};

static void
say(const struct own_files_options *o, enum own_file_verdict verdict, const char *dir,
    const char *name, const char *text)
{
    char line[512];
    snprintf(line, sizeof line, "%s/%s: %s", dir, name, text);
    o->say(o->context, verdict, line);
}

static enum err
look_at_object(void *context, const char *name, bool is_dir)
{
    struct s3_files_look *l = context;
    char path[256];
    struct why reason = {""};
    char text[sizeof reason.text + sizeof MADE_AGAIN + 2];
    enum { DIGITS = 10 };
    bool digits = strlen(name) == DIGITS && strspn(name, "0123456789") == DIGITS;
    uint64_t number = digits ? strtoull(name, NULL, 10) : 0;
    bool pending = l->saved.is_pending && l->saved.object.number == number;
    l->files += !is_dir;
    if (is_dir || number == 0) {
        say(l->o, OWN_FILE_UNKNOWN, l->dir, name,
            is_dir ? "unknown, not written by Firekeep: left alone"
                   : "unknown, not written by Firekeep: removed at the next start");
        return OK;
    }
    enum err e = path_in(path, sizeof path, l->dir, name, l->why);
    if (e) return e;
    l->pending_seen |= pending;
    e = s3_object_examine(l->o->env, l->o->memory, path, pending ? &l->saved.object : NULL,
                          &reason);
    if (e == ERR_MISSING && !pending) {
        say(l->o, OWN_FILE_HARMLESS, l->dir, name, "unfinished object, harmless: it is rebuilt");
        return OK;
    }
    if (e == ERR_NOMEM || e == ERR_IO) return why_set(l->why, e, "%s", reason.text);
    if (e == OK) return OK;
    snprintf(text, sizeof text, "%s; %s", reason.text, MADE_AGAIN);
    l->o->say(l->o->context, OWN_FILE_DAMAGED, text);
    return OK;
}

static enum err
objects_examine(const struct own_files_options *o, uint64_t *ret_files, struct why *why)
{
    struct s3_files_look l = {.o = o, .why = why};
    if (!o->has_saved || !s3_saved_get(o->saved, &l.saved)) l.saved.is_pending = false;
    enum err e = path_in(l.dir, sizeof l.dir, o->dir, "objects", why);
    if (e) return e;
    e = env_listdir(o->env, l.dir, look_at_object, &l, why);
    *ret_files = l.files;
    if (e || !l.saved.is_pending || l.pending_seen) return e;
    char name[24], text[64];
    snprintf(name, sizeof name, "%010" PRIu64, l.saved.object.number);
    snprintf(text, sizeof text, "is missing; %s", MADE_AGAIN);
    say(o, OWN_FILE_DAMAGED, l.dir, name, text);
    return OK;
}

enum err
own_files_examine(const struct own_files_options *o, const char *name, bool is_dir,
                  uint64_t *ret_files, struct why *why)
{
    *ret_files = !is_dir;
    if (is_dir && strcmp(name, "objects") == 0) return objects_examine(o, ret_files, why);
    bool is_old = is_dir && strcmp(name, "index") == 0;
    say(o, is_old ? OWN_FILE_HARMLESS : OWN_FILE_UNKNOWN, o->dir, name,
        is_old ? "written by an earlier version, harmless: it may be removed"
               : "unknown, not written by Firekeep: left alone");
    return OK;
}
