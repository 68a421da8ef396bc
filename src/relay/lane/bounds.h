/*
 * bounds.h - limits the size of a destination's calls, and their number at a time, by its settings
 * and its type.
 */
#ifndef RELAY_LANE_BOUNDS_H
#define RELAY_LANE_BOUNDS_H

#include "backend/writer.h"

enum { LANES_MAX = 64 };

struct call_bounds {
    uint32_t samples;
    uint64_t bytes;
    int64_t age_ms; /* age of its first sample */
    uint32_t lanes; /* 1 to LANES_MAX */
};

struct call_bounds call_bounds_of(const struct writer_limits *limits,
                                  const struct destination_settings *settings);
/* Reduces the number of lanes, and then the size of calls, to what fits into this memory; 0 if it
 * is unlimited. */
void call_bounds_fit(struct call_bounds *bounds, uint64_t memory_bytes);

#endif
