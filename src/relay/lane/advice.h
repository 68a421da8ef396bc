/*
 * advice.h - what an operator can do about a failure, by the word that writers have for it.
 *
 * Threads: any.
 */
#ifndef RELAY_LANE_ADVICE_H
#define RELAY_LANE_ADVICE_H

/* A sentence without a full stop; "" if nothing is known about `reason`. */
const char *advice_on(const char *reason);

#endif
