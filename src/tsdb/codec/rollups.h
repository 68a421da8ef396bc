/*
 * rollups.h - the encodings of blocks of rollups. Private to tsdb/. Format: docs/format/codec.md.
 *
 * A block of rollups of floats (model/rollup.h) is an ordinary block of floats, whose values are
 * the last sample of each window and, where the series went stale in it, the staleness marker after
 * it, each at its own time. The times of first samples follow those of the rows in the column of
 * times, which series that were scraped together share. What else a rollup has is one more item,
 * encoded with the help of these.
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

/* --- histograms ------------------------------------------------------------------------------- */

/*
 * A block of rollups of native histograms (model/rollup.h) is an ordinary block of
 * histograms: the last one of each window, and the staleness marker after it. Where blocks are cut
 * by layout, a marker may be the first row of the next block: then its window has two rollups,
 * which a reader joins.
 */

/* Returns the number of rows; arrays of 2 * count. The rows are views of the rollups' memory. */
uint32_t histogram_rollup_rows(const struct histogram_rollup *rollups, uint32_t count,
                               int64_t *ret_times_ms, struct histogram *ret_rows);

/* Appends the first times of windows of `resolution_ms`, ascending, at most one for each window and
 * at most CODEC_SAMPLES_MAX rows. ERR_NOMEM: the arena, which has working memory, is full. Without
 * memory for `out`, buf_error(out) is set. */
MUST_CHECK enum err codec_histogram_rollups_encode_times(struct codec_scratch *scratch,
                                                         struct arena *arena,
                                                         const struct histogram_rollup *rollups,
                                                         uint32_t count, int64_t resolution_ms,
                                                         struct buf *out);

/*
 * Appends what rows and first times do not say of these windows. The last samples have one layout,
 * and codec_histogram_fits() them. Sums and corrections are settled. Corrections are kept unless
 * the series is no counter.
 *
 * ERR_NOMEM  the arena, which has working memory, is full. Without memory for `out`, buf_error(out)
 *            is set.
 */
MUST_CHECK enum err codec_histogram_rollups_encode(struct codec_scratch *scratch,
                                                   struct arena *arena,
                                                   const struct histogram_rollup *rollups,
                                                   uint32_t count, struct buf *out);

/* Appends blocks of these rollups, cut as the writer of parts does, to measure them. `times_ms` has
 * room for `count`. ERR_NOMEM as above. */
MUST_CHECK enum err codec_histogram_rollups_encode_blocks(struct codec_scratch *scratch,
                                                          struct arena *arena,
                                                          const struct histogram_rollup *rollups,
                                                          uint32_t count, int64_t resolution_ms,
                                                          int64_t *times_ms, struct buf *out);

/*
 * Decodes the rollups of a block with these rows; `first_times` and `encoded` are from the two
 * encoders. `ret_rollups` has room for row_count; their arrays are in the arena, or those of the
 * rows.
 *
 * ERR_CORRUPT  not an encoding of them.
 * ERR_LIMIT    the arena is full.
 */
MUST_CHECK enum err codec_histogram_rollups_decode(struct bytes first_times, struct bytes encoded,
                                                   int64_t resolution_ms, const int64_t *times_ms,
                                                   const struct histogram *rows, uint32_t row_count,
                                                   struct arena *arena,
                                                   struct histogram_rollup *ret_rollups,
                                                   uint32_t *ret_count);

#endif
