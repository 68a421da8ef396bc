/*
 * backoff.h - the pause before what failed is tried again: of one lane, or of a whole destination.
 *
 * Threads: one.
 */
#ifndef RELAY_BACKOFF_H
#define RELAY_BACKOFF_H

#include "backend/settings.h"
#include "sys/env.h"

/* Zeroed: nothing has failed. */
struct backoff {
    int64_t next_ns; /* monotonic; nothing is tried before */
    int64_t wait_ms; /* the pause after the last failure; 0: the last try did not fail */
};

/*
 * A try failed. The first pause is `min_backoff`, each later one half as long again up to
 * `max_backoff`, all of them up to a quarter shorter at random. The pause is at least `asked_ms`
 * (0: the destination asks for none), of which at most five minutes count.
 */
void backoff_failed(struct backoff *backoff, struct env *env, const struct retry_settings *retry,
                    int64_t asked_ms);
/* A try succeeded: the next pause is the shortest again. A pause that has begun still applies. */
void backoff_ended(struct backoff *backoff);

#endif
