/*
 * sent.h - counts the requests that were sent to a destination, and their contents. The relay owns
 * the counts; only lane/ changes them.
 *
 * Threads: the destination's thread only.
 */
#ifndef RELAY_LANE_SENT_H
#define RELAY_LANE_SENT_H

#include "relay/relay.h"

/* Totals since the relay was opened. */
struct sent {
    uint64_t calls;
    uint64_t bytes;
    uint64_t units;
    uint64_t resent_samples;
    struct relay_dry dry; /* without since_ms and for_ms */
};

#endif
