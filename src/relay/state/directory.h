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

/* Names in relay/NAME; docs/format/relay.md describes the files. */
#define RELAY_STATE_NAME    "state"
#define RELAY_PREVIOUS_NAME "state.previous"
#define RELAY_DAMAGED_NAME  "state.damaged"
#define RELAY_RESET_NAME    "reset"
#define RELAY_LETTERS_NAME  "dead-letters"
#define RELAY_LOCK_NAME     "asking.lock" /* an empty file of earlier versions */

enum relay_entry {
    RELAY_ENTRY_STATE, /* the state or the one before */
    RELAY_ENTRY_LETTERS,
    RELAY_ENTRY_RESET,      /* an operator's decision */
    RELAY_ENTRY_LOCK,       /* of earlier versions, not copied */
    RELAY_ENTRY_DAMAGED,    /* a state that was set aside */
    RELAY_ENTRY_UNFINISHED, /* of an interrupted write */
    RELAY_ENTRY_OTHER, /* belongs to the destination's type (backend/writer.h), or to another program */
};

/* Classifies a name in relay/NAME. */
enum relay_entry relay_entry_of(const char *name);

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
