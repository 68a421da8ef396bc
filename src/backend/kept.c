/*
 * kept.c - see kept.h. So far only destinations of type `s3` keep anything: objects on their way,
 * and indexes. Other types remember what stands in the state.
 */
#include "backend/kept.h"

#include <stdio.h>
#include <string.h>

#include "backend/s3_kept.h"

static void
say(const struct kept_options *o, enum kept_verdict verdict, const char *name, const char *text)
{
    char line[512];
    snprintf(line, sizeof line, "%s/%s: %s", o->dir, name, text);
    o->say(o->context, verdict, line);
}

enum err
kept_examine(const struct kept_options *o, const char *name, bool is_dir, uint64_t *ret_files,
             struct why *why)
{
    *ret_files = !is_dir;
    if (is_dir && strcmp(name, "objects") == 0) return s3_objects_examine(o, ret_files, why);
    if (is_dir && strcmp(name, "index") == 0) return s3_indexes_examine(o, ret_files, why);
    say(o, KEPT_UNKNOWN, name, "unknown, not of Firekeep: left alone");
    return OK;
}
