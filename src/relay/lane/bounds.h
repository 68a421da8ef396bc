/*
 * bounds.h - how large a call of a destination may become, and how many there are at a time: what
 * the settings say, within what its type allows.
 */
#ifndef RELAY_LANE_BOUNDS_H
#define RELAY_LANE_BOUNDS_H

#include "backend/writer.h"

enum { LANES_MAX = 64 };

struct call_bounds {
    uint32_t samples;
    uint64_t bytes;
    int64_t age_ms; /* of its first sample */
    uint32_t lanes; /* 1 to LANES_MAX */
};

struct call_bounds call_bounds_of(const struct writer_limits *limits,
                                  const struct destination_settings *settings);
/* Fewer lanes, and then smaller calls, if so much memory (0: no end of it) is all there is. */
void call_bounds_fit(struct call_bounds *bounds, uint64_t memory_bytes);

#endif
