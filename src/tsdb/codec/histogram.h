/*
 * histogram.h - encodes native histograms of one series as bytes in a part (CODEC_HISTOGRAM_V1).
 * Pure functions; every byte read is distrusted. Private to tsdb/. Format: docs/format/codec.md.
 *
 * A block is 1..CODEC_SAMPLES_MAX histograms of one layout (histogram_same_layout() in
 * wire/shape.h), which is written once; the rest is columns over time: hints, sums, counts, and one
 * column for each bucket. Histograms are decoded as they were encoded, empty spans and staleness
 * markers included. As with the other codecs the count is kept in the index, and decoders may read
 * CODEC_SLACK bytes after the encoded ones.
 */
#ifndef TSDB_CODEC_HISTOGRAM_H
#define TSDB_CODEC_HISTOGRAM_H

#include "tsdb/codec/codec.h"
#include "wire/shape.h"

/* Limit of buckets of both signs in all histograms of a block: 8 MiB when decoded. Eight of the
 * largest histograms that are accepted fit. */
enum { CODEC_HISTOGRAM_CELLS_MAX = 1 << 20 };

/* True if a block may hold `count` histograms with the layout of `h`. */
bool codec_histogram_fits(const struct histogram *h, uint32_t count);

/*
 * Appends the block of h[0..count), which have one layout, passed histogram_check(), and fit.
 * Without memory, buf_error(out) is set and `out` has the bytes it had before.
 */
void codec_histogram_encode(struct codec_scratch *scratch, const struct histogram *h,
                            uint32_t count, struct buf *out);

/*
 * Decodes ret_histograms[0..count); their arrays are in `arena`, spans and bounds shared by all. On
 * an error ret_histograms[] is unspecified. The memory taken is that of the columns, of which there
 * are fewer than encoded bytes.
 *
 * ERR_CORRUPT  not an encoding of exactly `count` histograms.
 * ERR_LIMIT    the arena is full.
 */
MUST_CHECK enum err codec_histogram_decode(struct bytes encoded, uint32_t count,
                                           struct arena *arena, struct histogram *ret_histograms);

/* Decodes columns; all arrays are in `arena`. */
MUST_CHECK enum err codec_histogram_columns(struct bytes encoded, uint32_t count,
                                            struct arena *arena, struct hist_columns *ret_columns);

#endif
