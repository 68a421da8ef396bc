/*
 * guard.h - keeps what a destination needs: the log from its first unsettled record on, and borders
 * in the store. A guard is made when a destination is configured and outlives the relay and its
 * runs, so that nothing is removed while a destination is opened, cannot be opened, begins another
 * run, or gets other settings.
 *
 * Threads: one at a time; `before` of relay_guard_new() may be a guard that another thread moves.
 */
#ifndef RELAY_STATE_GUARD_H
#define RELAY_STATE_GUARD_H

#include "relay/options.h"
#include "relay/state/state.h"

struct relay_guard;

/*
 * Keeps the log and the store's borders while a destination is configured: from the position of its
 * state, from the end of the log if it is new and begins now, else from the oldest record. `before`
 * is the guard of the same destination under its previous settings, or NULL. options->guard is not
 * used. ERR_NOMEM, ERR_LIMIT.
 */
MUST_CHECK enum err relay_guard_new(const struct relay_options *options,
                                    const struct relay_guard *before,
                                    struct relay_guard **ret_guard, struct why *why);
void relay_guard_free(struct relay_guard *guard);
/* The position of the log from which on everything is kept. Any thread. */
uint64_t relay_guard_pos(const struct relay_guard *guard);

/* Sets the positions across which parts are not merged; 0 for none. */
void guard_set_borders(struct relay_guard *guard, uint64_t from_pos, uint64_t to_pos);
/* Moves borders and the hold of the log to what this state needs. It must be durable. */
void guard_follow(struct relay_guard *guard, const struct relay_state *state);
/* Releases the log up to its current end. */
void guard_let_go(struct relay_guard *guard);
/* The end of the log when the destination was configured. */
uint64_t guard_begin_pos(const struct relay_guard *guard);

#endif
