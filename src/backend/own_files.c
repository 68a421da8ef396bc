/*
 * own_files.c - see own_files.h. Only destinations of type `s3` keep files: sealed objects, and
 * indexes. Other types have all their state in the relay's.
 */
#include "backend/own_files.h"

#include <stdio.h>
#include <string.h>

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
