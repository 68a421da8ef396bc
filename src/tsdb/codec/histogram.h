/*
 * histogram.h - how native histograms of one series become bytes in a part
 * (CODEC_HISTOGRAM_V1). Pure functions; every byte read is distrusted. Private to tsdb/. Format:
 * docs/format/codec.md.
 *
 * A block is 1..CODEC_SAMPLES_MAX histograms of one layout (histogram_same_layout() in
 * wire/shape.h), which is written once; what changes are columns over time: hints, sums, counts,
 * and one column for each bucket. Nothing is judged or normalised: what goes in comes out, empty
 * spans and staleness markers included. As with the other codecs the count is kept in the index,
 * and decoders may read CODEC_SLACK bytes after the encoded ones.
 */
#ifndef TSDB_CODEC_HISTOGRAM_H
#define TSDB_CODEC_HISTOGRAM_H

#include "tsdb/codec/codec.h"
#include "wire/shape.h"

/* Buckets of both signs, of all histograms of a block together: 8 MiB when decoded. Eight of the
 * largest histograms we take fit. */
enum { CODEC_HISTOGRAM_CELLS_MAX = 1 << 20 };

/* True if a block may hold `count` histograms with the layout of `h`: for whoever cuts blocks. */
bool codec_histogram_fits(const struct histogram *h, uint32_t count);

/*
 * Appends the block of h[0..count), which have one layout with as many buckets as its spans say
 * (histogram_check() saw to it), and which fit. Out of memory shows in buf_error(out); `out` then
 * holds what it held before.
 */
void codec_histogram_encode(struct codec_scratch *scratch, const struct histogram *h,
                            uint32_t count, struct buf *out);

/*
 * Writes ret_histograms[0..count); their arrays lie in `arena`, spans and bounds shared by all.
 * On error ret_histograms[] is unspecified. A block takes from the arena what its columns take,
 * and it has fewer columns than bytes.
 *
 * ERR_CORRUPT  not an encoding of exactly `count` histograms.
 * ERR_LIMIT    the arena is full.
 */
MUST_CHECK enum err codec_histogram_decode(struct bytes encoded, uint32_t count,
                                           struct arena *arena, struct histogram *ret_histograms);

/* The same by columns; all arrays lie in `arena`. */
MUST_CHECK enum err codec_histogram_columns(struct bytes encoded, uint32_t count,
                                            struct arena *arena, struct hist_columns *ret_columns);

#endif
