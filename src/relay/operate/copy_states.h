/*
 * copy_states.h - copies the states and dead letters of all destinations, while a server changes
 * them, for a snapshot. The copy of a destination is as after a crash at that moment: its state may
 * be older than its dead letters, and names no letter that the copy lacks. Objects that are not yet
 * delivered are not copied: a state counts their items as queued.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_COPY_STATES_H
#define RELAY_OPERATE_COPY_STATES_H

#include "base/mem.h"
#include "sys/env.h"

/*
 * Copies from the directory `from`, which may be missing, into `to`, which is made if there is a
 * destination to copy. A destination without a state is left out.
 *
 * ERR_AGAIN: files of dead letters were removed during every attempt; ERR_IO, ERR_FULL, ERR_LIMIT,
 * ERR_NOMEM. After an error, `to` may hold some of it.
 */
MUST_CHECK enum err relay_copy_states(struct env *env, const char *from, const char *to,
                                      struct budget *memory, struct why *why);

#endif
