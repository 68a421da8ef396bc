/*
 * guard.h - keeps what a destination needs: the log from its first unsettled record on, and borders
 * in the store. A guard is made when a destination is configured and outlives the relay and its
 * runs, so that nothing is removed while a destination is opened, cannot be opened, begins another
 * run, or gets other settings.
 *
 * Threads: one at a time; `before` of relay_guard_new() may be a guard that another thread moves.
 */
#ifndef RELAY_GUARD_H
#define RELAY_GUARD_H

#include "relay/relay.h"
#include "relay/state.h"
#include "tsdb/tsdb.h"

/* The borders are at the begin and the end of what is read from the store. */
enum { BORDER_FROM, BORDER_TO, BORDER_COUNT };
struct borders {
    struct tsdb *tsdb; /* NULL if there are no borders */
    uint32_t at[BORDER_COUNT];
    uint64_t pos[BORDER_COUNT];
};

/* Sets the positions across which parts are not merged; 0 for none. */
void guard_set_borders(struct relay_guard *guard, uint64_t from_pos, uint64_t to_pos);
/* Moves borders and the hold of the log to what this state needs. It must be durable. */
void guard_follow(struct relay_guard *guard, const struct relay_state *state);
/* Releases the log up to its current end. */
void guard_let_go(struct relay_guard *guard);
/* The end of the log when the destination was configured. */
uint64_t guard_begin_pos(const struct relay_guard *guard);

#endif
