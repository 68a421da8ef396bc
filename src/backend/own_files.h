/*
 * own_files.h - checks the files that a destination's type keeps besides those of the relay, while
 * no server runs. Writes nothing.
 *
 * Threads: any.
 */
#ifndef BACKEND_OWN_FILES_H
#define BACKEND_OWN_FILES_H

#include "backend/settings.h"
#include "base/buf.h"
#include "sys/env.h"

enum own_file_verdict {
    OWN_FILE_HARMLESS, /* leftover or unfinished: nothing is lost with it */
    OWN_FILE_UNKNOWN,  /* not a file of the type */
    OWN_FILE_DAMAGED,
};

struct own_files_options {
    struct env *env;
    struct budget *memory;
    const char *dir;    /* directory of the destination */
    struct bytes saved; /* the writer's last save() */
    bool has_saved;     /* false: not known */
    /* Called for each finding, with the path of the file and its error. */
    void (*say)(void *context, enum own_file_verdict verdict, const char *text);
    void *context;
};

/* Checks the file or directory with this name. `ret_files`: the number of files. Damage is a
 * finding, not an error. ERR_IO, ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK enum err own_files_examine(const struct own_files_options *options, const char *name,
                                      bool is_dir, uint64_t *ret_files, struct why *why);

#endif
