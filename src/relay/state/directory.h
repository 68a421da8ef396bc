/*
 * directory.h - what lies where destinations are remembered. Each has a directory, relay/NAME; an
 * operator may have put a link to one there, to another disk. Other entries there are not new
 * destinations.
 *
 * Threads: any.
 */
#ifndef RELAY_STATE_DIRECTORY_H
#define RELAY_STATE_DIRECTORY_H

#include "base/buf.h"
#include "sys/env.h"

/*
 * OK: `path` is a directory, or a link to one. ERR_MISSING: nothing is there. ERR_INPUT: a file is,
 * ERR_CORRUPT: a link that leads nowhere, and `why` says what to do. ERR_IO: it cannot be looked
 * at.
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
