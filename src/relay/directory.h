/*
 * directory.h - what lies where destinations are remembered. Each has a directory, relay/NAME; an
 * operator may have put a link to one there, to another disk. What else lies there is no new
 * destination.
 *
 * Threads: any.
 */
#ifndef RELAY_DIRECTORY_H
#define RELAY_DIRECTORY_H

#include "sys/env.h"

/*
 * OK: `path` is a directory, or a link to one. ERR_MISSING: nothing is there. ERR_INPUT: a file is,
 * ERR_CORRUPT: a link that leads nowhere, and `why` says what to do. ERR_IO: it cannot be looked
 * at.
 */
MUST_CHECK enum err relay_directory_look(struct env *env, const char *path, struct why *why);

/* Whether a name that env_listdir() gave of `parent` is that of a directory, links followed. */
bool relay_directory_is_one(struct env *env, const char *parent, const char *name, bool is_dir);

#endif
