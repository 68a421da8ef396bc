/*
 * rates.h - how fast a destination may be sent to: samples and bytes a second, and samples of the
 * store a second.
 *
 * Each rate is a bucket of tokens, which a second fills. A call takes what it has, and may leave
 * less than nothing: the next one waits until that is made good.
 *
 * Threads: one.
 */
#ifndef RELAY_RATES_H
#define RELAY_RATES_H

#include "backend/settings.h"

struct token_bucket {
    uint64_t rate; /* a second; 0: no limit */
    double tokens;
};

struct rates {
    struct token_bucket samples;
    struct token_bucket bytes;
    struct token_bucket filled; /* samples of the store */
    int64_t at_ns;              /* when they were filled last */
};

void rates_init(struct rates *rates, const struct destination_settings *settings, int64_t now_ns);
/* Whether a call may go now; `filling`: of the store. */
bool rates_allow(struct rates *rates, bool filling, int64_t now_ns);
/* One of this size went. */
void rates_note_sent(struct rates *rates, bool filling, uint32_t samples, uint64_t bytes);

#endif
