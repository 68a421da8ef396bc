/* rollups_private.h - times of rollups, shared by those of floats and of histograms. */
#ifndef TSDB_CODEC_ROLLUPS_PRIVATE_H
#define TSDB_CODEC_ROLLUPS_PRIVATE_H

#include "tsdb/codec/rollups.h"

/* Returns the interval of samples that most windows have, if most have the same. */
uint64_t rollups_usual_interval_ms(const struct rollup *rollups, uint32_t count);

/* rollup_window_end(), without a division where `end`, the end of any window, is that of the time's
 * window or of the one before. */
static inline int64_t
rollups_next_end(int64_t end, int64_t t_ms, int64_t resolution_ms)
{
    uint64_t past = (uint64_t)t_ms - (uint64_t)end, length = (uint64_t)resolution_ms;
    if (end > INT64_MAX - resolution_ms) return rollup_window_end(t_ms, resolution_ms);
    if (0 - past < length) return end;
    return past <= length ? end + resolution_ms : rollup_window_end(t_ms, resolution_ms);
}

/* Reads the usual interval, and the first times of rollups whose other times are set.
 * `sampled_count` of them have samples. ERR_CORRUPT: not an encoding of them. */
MUST_CHECK enum err rollups_read_times(struct bytes encoded, int64_t resolution_ms,
                                       struct rollup *rollups, uint32_t count,
                                       uint32_t sampled_count, uint64_t *ret_interval_ms);
/* Returns the number of regular samples between the first and the last one. */
uint64_t rollups_guess_count(uint64_t interval_ms, const struct rollup *r);

/* True for a block of a gauge: a counter falls once in a window, or rises three times and more
 * between falls. Few falls say little. */
static inline bool
rollups_fall_often(uint64_t resets, uint64_t changes, uint64_t windows)
{
    enum { FEW = 8 };
    return resets > FEW + windows / 2 + changes / 4;
}

/* Checks times and count of a window with samples, the last of which is in the one that ends at
 * `end`. */
MUST_CHECK enum err rollups_check_times(int64_t end, int64_t resolution_ms, const struct rollup *r);

#endif
