/*
 * directory.h - the directories of destinations, also of those no longer configured: their entries,
 * copies for a snapshot, and an operator's decision about a state. Each destination has the
 * directory relay/NAME; an operator may have replaced it by a link to another disk. Other entries
 * of relay/ do not become destinations.
 *
 * Threads: any.
 */
#ifndef RELAY_STATE_DIRECTORY_H
#define RELAY_STATE_DIRECTORY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
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
    RELAY_ENTRY_OTHER,      /* belongs to the destination's type (backend/writer.h), or to another
                               program */
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

/* --- copies ----------------------------------------------------------------------------------- */

/*
 * Copies the states and dead letters of all destinations, while a server changes them, for a
 * snapshot. The copy of a destination is as after a crash at that moment: its state may be older
 * than its dead letters, and names no letter that the copy lacks. Objects that are not yet
 * delivered are not copied: a state counts their items as queued.
 *
 * Copies from the directory `from`, which may be missing, into `to`, which is made if there is a
 * destination to copy. A destination without a state is left out.
 *
 * ERR_AGAIN: files of dead letters were removed during every attempt; ERR_IO, ERR_FULL, ERR_LIMIT,
 * ERR_NOMEM. After an error, `to` may hold some of it.
 */
MUST_CHECK enum err relay_copy_states(struct env *env, const char *from, const char *to,
                                      struct budget *memory, struct why *why);

/* --- an operator's decision ------------------------------------------------------------------- */

/*
 * The file by which an operator sets the start position of a destination whose state cannot be
 * read: `firekeep destinations reset`. It is in the destination's directory, is written while a
 * server runs or while none does, and takes effect when the destination is opened next. Format:
 * docs/format/relay.md.
 */

/* The position at which delivery continues. The numbers are stored. */
enum reset_from {
    RESET_NOW = 0,      /* samples accepted after the reset takes effect */
    RESET_OLDEST = 1,   /* the oldest of store and log */
    RESET_PREVIOUS = 2, /* the position of the state saved before the last one */
    RESET_TIME = 3,     /* samples of store and log that are not older than `from_ms` */
};

struct reset {
    enum reset_from from;
    int64_t from_ms; /* Unix time; of RESET_TIME */
};

/* "now", "oldest", "previous", "time" */
const char *reset_word(enum reset_from from);

/* Writes the file in `dir`, replacing one that is there; durable on return. ERR_IO. */
MUST_CHECK enum err reset_put(struct env *env, const char *dir, const struct reset *reset,
                              struct why *why);
/* Reads the file. ERR_MISSING: it does not exist. ERR_CORRUPT; ERR_UNSUPPORTED: it has the format
 * of a newer version; ERR_IO. */
MUST_CHECK enum err reset_read(struct env *env, const char *dir, struct reset *ret_reset,
                               struct why *why);
/* Removes the file after it took effect. OK also if it does not exist. */
MUST_CHECK enum err reset_remove(struct env *env, const char *dir, struct why *why);

#endif
