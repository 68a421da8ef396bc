/*
 * histogram_rollups.h - the encoding of a block of rollups of native histograms
 * (model/rollup.h), as rollups.h is for floats. Private to tsdb/. Format:
 * docs/format/codec.md.
 *
 * The rows are an ordinary block of histograms: the last one of each window, and the staleness
 * marker after it. Where blocks are cut by layout, a marker may be the first row of the next block:
 * then its window has two rollups, which a reader joins.
 */
#ifndef TSDB_CODEC_HISTOGRAM_ROLLUPS_H
#define TSDB_CODEC_HISTOGRAM_ROLLUPS_H

#include "model/rollup.h"
#include "tsdb/codec/codec.h"

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
