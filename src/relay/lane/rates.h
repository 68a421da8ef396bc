/*
 * rates.h - limits the rate of samples and bytes sent to a destination, and the rate of samples
 * read from the store.
 *
 * Each rate is a token bucket that fills up within a second. A call is charged after it was sent
 * and may leave a negative balance: the next call waits until the balance is no longer negative.
 *
 * Threads: one.
 */
#ifndef RELAY_LANE_RATES_H
#define RELAY_LANE_RATES_H

#include "backend/settings.h"

struct token_bucket {
    uint64_t rate; /* tokens per second, and upper limit of `tokens`; 0 if unlimited */
    double tokens;
};

struct rates {
    struct token_bucket samples;
    struct token_bucket bytes;
    struct token_bucket filled; /* samples read from the store */
    int64_t at_ns;              /* monotonic time of the last refill */
};

void rates_init(struct rates *rates, const struct destination_settings *settings, int64_t now_ns);
/* Refills the buckets; true if a call may be sent now. `filling`: it was read from the store. */
bool rates_allow(struct rates *rates, bool filling, int64_t now_ns);
/* Charges a call that was sent. */
void rates_note_sent(struct rates *rates, bool filling, uint32_t samples, uint64_t bytes);

#endif
