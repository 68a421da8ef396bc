/*
 * directory.h - lists the directories of destinations, also of those no longer configured. Each
 * destination has the directory relay/NAME; an operator may have replaced it by a link to another
 * disk. Other entries of relay/ do not become destinations.
 *
 * Threads: any.
 */
#ifndef RELAY_STATE_DIRECTORY_H
#define RELAY_STATE_DIRECTORY_H

#include "base/buf.h"
#include "sys/env.h"

/*
 * OK           `path` is a directory, or a link to one
 * ERR_MISSING  `path` does not exist
 * ERR_INPUT    `path` is a file; `why` says what to do
 * ERR_CORRUPT  `path` is a link whose target does not exist; `why` says what to do
 * ERR_IO       `path` cannot be examined
 */
MUST_CHECK enum err relay_directory_look(struct env *env, const char *path, struct why *why);

struct relay_name {
    bool is_dir; /* a directory, or a link to one */
    char text[256];
};

/* Entries of a directory, ordered by name. The caller frees `all` with buf_fini(). */
struct relay_names {
    struct env *env;
    const char *dir;
    struct buf all; /* struct relay_name */
};

/* ERR_MISSING: no such directory; ERR_LIMIT: too many names. */
MUST_CHECK enum err relay_names_read(struct relay_names *ret_names, struct env *env,
                                     const char *dir, struct budget *memory, struct why *why);
/* NULL: there are no more. */
const struct relay_name *relay_name_at(const struct relay_names *names, size_t i);

#endif
