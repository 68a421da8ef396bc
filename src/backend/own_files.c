/*
 * own_files.c - see own_files.h. Only destinations of type `s3` keep files: sealed objects, and
 * indexes. Other types have all their state in the relay's.
 */
#include "backend/own_files.h"

#include <stdio.h>
#include <string.h>

#include "backend/common/spool.h"
#include "backend/s3/s3_files.h"

static void
say(const struct own_files_options *o, enum own_file_verdict verdict, const char *name,
    const char *text)
{
    char line[512];
    snprintf(line, sizeof line, "%s/%s: %s", o->dir, name, text);
    o->say(o->context, verdict, line);
}

enum err
own_files_examine(const struct own_files_options *o, const char *name, bool is_dir,
                  uint64_t *ret_files, struct why *why)
{
    *ret_files = !is_dir;
    if (is_dir && strcmp(name, "objects") == 0) return s3_objects_examine(o, ret_files, why);
    if (is_dir && strcmp(name, "index") == 0) return s3_indexes_examine(o, ret_files, why);
    say(o, OWN_FILE_UNKNOWN, name, "unknown, not written by Firekeep: left alone");
    return OK;
}

struct weighing {
    const struct own_files_options *options;
    char dir[256];
    struct own_files_backlog *waiting;
};

static enum err
weigh_object(void *context, const char *name, bool is_dir)
{
    struct weighing *x = context;
    char path[256];
    struct file file;
    uint64_t size = 0;
    if (is_dir) return OK;
    enum err e = path_join(path, sizeof path, x->dir, name);
    if (e == OK) e = file_open(x->options->env, path, FILE_READ, &file, NULL);
    if (e) return e == ERR_MISSING ? OK : e; /* it was delivered meanwhile */
    e = file_size(&file, &size, NULL);
    err_ignore(file_close(&file), "only looked at");
    x->waiting->objects++;
    x->waiting->object_bytes += size;
    return e;
}

enum err
own_files_count_backlog(const struct own_files_options *o, enum destination_type type,
                        struct own_files_backlog *ret_waiting, struct why *why)
{
    struct own_files_backlog waiting = {0};
    struct weighing weighing = {.options = o, .waiting = &waiting};
    enum err e = path_in(weighing.dir, sizeof weighing.dir, o->dir, "objects", why);
    if (e) return e;
    e = env_listdir(o->env, weighing.dir, weigh_object, &weighing, why);
    if (e && e != ERR_MISSING) return e;
    if (type == DESTINATION_FILE) {
        spool_saved_files(o->saved, &waiting.files, &waiting.file_bytes);
    }
    *ret_waiting = waiting;
    return OK;
}
