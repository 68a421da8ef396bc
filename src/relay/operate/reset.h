/*
 * reset.h - the file by which an operator sets the start position of a destination whose state
 * cannot be read: `firekeep destinations reset`. It is in the destination's directory, is written
 * while a server runs or while none does, and takes effect when the destination is opened next.
 * Format: docs/format/relay.md.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_RESET_H
#define RELAY_OPERATE_RESET_H

#include "base/err.h"
#include "sys/env.h"

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
