/*
 * advice.h - advice for operators about a failure, found by the reason that the writer names.
 *
 * Threads: any.
 */
#ifndef RELAY_LANE_ADVICE_H
#define RELAY_LANE_ADVICE_H

/* A sentence without a full stop; "" if nothing is known about `reason`. */
const char *advice_on(const char *reason);

#endif
