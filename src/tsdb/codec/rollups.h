/*
 * rollups.h - the encoding of a block of rollups (model/rollup.h). Private to tsdb/. Format:
 * docs/format/codec.md.
 *
 * Such a block is an ordinary block of floats, whose values are the last sample of each window and,
 * where the series went stale in it, the staleness marker after it, each at its own time. The times
 * of first samples follow those of the rows in the column of times, which series that were scraped
 * together share. What else a rollup has is one more item, encoded with the help of these.
 */
#ifndef TSDB_CODEC_ROLLUPS_H
#define TSDB_CODEC_ROLLUPS_H

#include "model/rollup.h"
#include "tsdb/codec/codec.h"

/* Returns the number of rows of a block: one for each last sample, one for each marker. Arrays of
 * 2 * count. */
uint32_t rollup_rows(const struct rollup *rollups, uint32_t count, int64_t *ret_times_ms,
                     uint64_t *ret_bits);

/* Appends the first times of windows of `resolution_ms`, ascending, at most one for each window and
 * at most CODEC_SAMPLES_MAX rows. Without memory, buf_error(out) is set. */
void codec_rollups_encode_times(struct codec_scratch *scratch, const struct rollup *rollups,
                                uint32_t count, int64_t resolution_ms, struct buf *out);

/*
 * Appends what rows and first times do not say of these windows; a window has at most one sample
 * for each millisecond. Sums lose their rest (struct precise) and, where they are sums of decimals,
 * their rounding. Corrections are kept unless the series is no counter: then those of windows with
 * resets are NaN. Without memory, buf_error(out) is set.
 */
void codec_rollups_encode(struct codec_scratch *scratch, const struct rollup *rollups,
                          uint32_t count, struct buf *out);

/* Appends a whole block of these rollups, to measure it: times, values, and the items above. Arrays
 * of 2 * count for its rows. Without memory, buf_error(out) is set. */
void codec_rollups_encode_block(struct codec_scratch *scratch, const struct rollup *rollups,
                                uint32_t count, int64_t resolution_ms, int64_t *times_ms,
                                uint64_t *bits, struct buf *out);

/*
 * Decodes the rollups of a block with these rows, as far as they are used; not ROLLUP_NONE.
 * `first_times` and `encoded` are from the two encoders. `ret_rollups` has room for row_count.
 * ERR_CORRUPT: not an encoding of them.
 */
MUST_CHECK enum err codec_rollups_decode(struct bytes first_times, struct bytes encoded,
                                         int64_t resolution_ms, enum rollup_use use,
                                         const int64_t *times_ms, const uint64_t *bits,
                                         uint32_t row_count, struct rollup *ret_rollups,
                                         uint32_t *ret_count);

#endif
