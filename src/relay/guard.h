/*
 * guard.h - what a destination holds back: the log from the first record that is not settled, and
 * the borders in the store. It is made when a destination is named and outlives the relay and its
 * runs, so that nothing is given up while a destination is opened, cannot be opened, is begun
 * again, or gets other settings.
 *
 * Threads: one at a time; relay_guard_new() may be given as `before` a guard that another thread
 * moves.
 */
#ifndef RELAY_GUARD_H
#define RELAY_GUARD_H

#include "relay/relay.h"
#include "relay/state.h"
#include "tsdb/tsdb.h"

/* Between what is settled, what waits in the store, and what is after it. */
enum { BORDER_FROM, BORDER_TO, BORDER_COUNT };
struct borders {
    struct tsdb *tsdb; /* NULL: there are none */
    uint32_t at[BORDER_COUNT];
    uint64_t pos[BORDER_COUNT];
};

/* Where parts are not merged across; 0: nowhere. */
void guard_set_borders(struct relay_guard *guard, uint64_t from_pos, uint64_t to_pos);
/* Borders, and the hold of the log, as this state wants them. It must be durable. */
void guard_follow(struct relay_guard *guard, const struct relay_state *state);
/* Lets go of the log, but for what comes from now on. */
void guard_let_go(struct relay_guard *guard);
/* Where the log ended when the destination was named. */
uint64_t guard_begin_pos(const struct relay_guard *guard);

#endif
