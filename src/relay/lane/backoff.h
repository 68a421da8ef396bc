/*
 * backoff.h - the pause before a failed request is tried again, for one lane or a whole
 * destination.
 *
 * Threads: one.
 */
#ifndef RELAY_LANE_BACKOFF_H
#define RELAY_LANE_BACKOFF_H

#include "backend/settings.h"
#include "sys/env.h"

/* Zeroed memory is the state before any failure. */
struct backoff {
    int64_t next_ns; /* monotonic time of the next try */
    int64_t wait_ms; /* the pause after the last failure; 0 if the last try succeeded */
};

/*
 * A try failed. The first pause is `min_backoff`, each later one half as long again up to
 * `max_backoff`, all of them up to a quarter shorter at random. The pause is at least
 * `retry_after_ms` (0: the destination asks for none), of which at most five minutes count.
 */
void backoff_failed(struct backoff *backoff, struct env *env, const struct retry_settings *retry,
                    int64_t retry_after_ms);
/* A try succeeded: the next pause is the shortest again. A pause that has begun still applies. */
void backoff_ended(struct backoff *backoff);

#endif
