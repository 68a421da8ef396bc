/*
 * reset.h - what an operator decides about a destination whose state cannot be read: where it goes
 * on. The decision is a file in the destination's directory, left there beside a server at work as
 * well as without one, and carried out when the destination is opened next.
 * Format: docs/format/relay.md.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_RESET_H
#define RELAY_OPERATE_RESET_H

#include "base/err.h"
#include "sys/env.h"

/* Where it goes on. The numbers are stored. */
enum reset_from {
    RESET_NOW = 0,      /* what is accepted from the carrying out on */
    RESET_OLDEST = 1,   /* the oldest of store and log */
    RESET_PREVIOUS = 2, /* where the state saved before the last one stands */
    RESET_TIME = 3,     /* samples of store and log that are not older than `from_ms` */
};

struct reset {
    enum reset_from from;
    int64_t from_ms; /* Unix time; of RESET_TIME */
};

/* "now", "oldest", "previous", "time" */
const char *reset_word(enum reset_from from);

/* Leaves the decision in `dir`, in the place of one that is there; durable on return. ERR_IO. */
MUST_CHECK enum err reset_put(struct env *env, const char *dir, const struct reset *reset,
                              struct why *why);
/* ERR_MISSING: there is none. ERR_CORRUPT; ERR_UNSUPPORTED: a newer version's; ERR_IO. */
MUST_CHECK enum err reset_read(struct env *env, const char *dir, struct reset *ret_reset,
                               struct why *why);
/* It was carried out. OK also if there is none. */
MUST_CHECK enum err reset_remove(struct env *env, const char *dir, struct why *why);

#endif
