/*
 * shown.h - an account as counters show it: of a state that is durable, and none ever goes down,
 * not by kill -9 either.
 *
 * The account itself says what an item is now, so its terms do go down: a dead letter that is sent
 * again is none any more. Whoever watches counters would take that for a process that began anew.
 * So what leaves a term stays in it beside the account, and counts as taken once more with the fate
 * it has next: the equation holds, and every change is seen.
 *
 * What is settled behind the cursor is shown, too, as the state says: the cursor may stand for
 * long, as while one call is throttled. After a restart that comes by again, and leaves its terms
 * so.
 */
#ifndef RELAY_SHOWN_H
#define RELAY_SHOWN_H

#include "relay/state.h"

/* For a state that is to follow `before`: what left a term since is counted beside. */
void shown_keep(struct relay_state *next, const struct relay_state *before);
/* The same where reading begins again: what was taken comes again, and still waits. */
void shown_keep_taken(struct relay_state *next, const struct relay_state *before);

void shown_set(struct shown *shown, const struct relay_state *durable);

#endif
