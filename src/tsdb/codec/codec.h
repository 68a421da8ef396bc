/*
 * codec.h - encodes the samples of a block as bytes in a part. Pure functions; every byte read is
 * distrusted. Private to tsdb/. Format: docs/format/codec.md.
 *
 * A block is 1..CODEC_SAMPLES_MAX values of one series. Its count, its encoded length, and the
 * codec's number are kept outside (in the index). A staleness marker at the end takes no byte.
 *
 * Decoders may read up to CODEC_SLACK bytes after the encoded bytes: the buffer must have them.
 */
#ifndef TSDB_CODEC_CODEC_H
#define TSDB_CODEC_CODEC_H

#include "base/buf.h"
#include "base/bytes.h"
#include "wire/shape.h"

enum { CODEC_SAMPLES_MAX = 8192, CODEC_SLACK = 16 };

/* The encodings of docs/format/codec.md, which never change: a changed one gets a new number. Parts
 * store shapes (tsdb/part/format.h), which imply one of them. */
enum codec {
    CODEC_FLOAT_V1 = 1,           /* decimals, patched bit packing */
    CODEC_TIMES_V1 = 2,           /* an integer stream */
    CODEC_HISTOGRAM_V1 = 3,       /* integer histograms, in rows */
    CODEC_HISTOGRAM_FLOAT_V1 = 4, /* float histograms, in rows */
};

/* Working memory of an encoder, reused from block to block; about 470 KiB. One thread at a time. */
struct codec_scratch;
/* ERR_NOMEM, without a sentence. codec_scratch_free() accepts NULL. */
MUST_CHECK enum err codec_scratch_new(struct budget *budget, struct codec_scratch **ret_scratch);
void codec_scratch_free(struct codec_scratch *scratch);

/*
 * Appends the encoding of `count` values (bit for bit; any NaN, Inf, -0, subnormal) to `out`.
 * Without memory, buf_error(out) is set.
 */
void codec_float_encode(struct codec_scratch *scratch, const uint64_t *bits, uint32_t count,
                        struct buf *out);

/* codec_float_encode() with the least decimal kept outside: values are written as differences to
 * *ret_origin, which the decoder needs. 0 if the values are not decimals. */
void codec_float_encode_from(struct codec_scratch *scratch, const uint64_t *bits, uint32_t count,
                             int64_t *ret_origin, struct buf *out);
/* ERR_CORRUPT: not an encoding of exactly `count` values. */
MUST_CHECK enum err codec_float_decode_from(struct bytes encoded, int64_t origin, uint32_t count,
                                            uint64_t *ret_bits);
/*
 * Decodes only the values [from, until), at least one; the others in ret_bits, which has room for
 * all, are unspecified. Bytes that only the others need are not checked.
 */
MUST_CHECK enum err codec_float_decode_some(struct bytes encoded, int64_t origin, uint32_t count,
                                            uint32_t from, uint32_t until, uint64_t *ret_bits);

/* Properties of all values of an encoding. */
struct codec_shape {
    bool is_decimal;   /* they are k / 10^e, or close to it */
    bool is_corrected; /* some are only close to it */
    bool is_constant;  /* all are k / 10^e, except that a staleness marker may be the last */
    uint8_t e;
    int64_t k;
};
/* Reads the first bytes of an encoding; the rest is not checked. */
struct codec_shape codec_float_shape(struct bytes encoded);
/* Fills in the values of a constant; with `stale` the last one is the staleness marker. */
void codec_constant_fill(unsigned e, int64_t k, bool stale, uint32_t count, uint64_t *ret_bits);

/* Encodes times, best if they ascend; any values are allowed. */
void codec_times_encode(struct codec_scratch *scratch, const int64_t *times_ms, uint32_t count,
                        struct buf *out);

/* Appends the integer stream that both consist of, for other columns (docs/format/codec.md). */
void codec_int_encode(struct codec_scratch *scratch, const int64_t *values, uint32_t count,
                      struct buf *out);
/* The cursor moves past the stream, which knows its length. */
MUST_CHECK enum err codec_int_decode(struct cursor *cursor, uint32_t count, int64_t *ret_values);

/* Statistics of the values of a block that are not NaN. */
struct codec_stats {
    double min;            /* +Inf without values */
    double max;            /* -Inf without values */
    double sum;            /* sum of four interleaved sums, not in the order of time */
    double first;          /* min without values */
    double last;           /* max without values */
    uint32_t number_count; /* number of values */
    uint32_t reset_count;  /* values less than the previous one */
};
/* `count` may be 0. NaN, and so staleness markers, are left out. */
void codec_float_stats(const uint64_t *bits, uint32_t count, struct codec_stats *ret_stats);

/* Finds the decimal form of a value: bits == those of (double)k / 10^e with the least e in 0..11
 * and |k| < 2^53. False if the value has no such form, as -0. `hint` (0..11) is an exponent to try
 * first (that of the series' last value), accepted only if the value needs no more digits; then e
 * == hint. */
bool codec_decimal(uint64_t bits, unsigned hint, unsigned *ret_e, int64_t *ret_k);
/* Finds the integer nearest to v * 10^e, e in 0..15. False if it is not below 2^53. */
bool codec_scale(double v, unsigned e, int64_t *ret_k);
/* Returns the bits of (double)k / 10^e, e in 0..15. */
uint64_t codec_decimal_bits(unsigned e, int64_t k);

/* --- histograms ------------------------------------------------------------------------------- */

/*
 * A block of native histograms is 1..CODEC_SAMPLES_MAX histograms of one layout
 * (histogram_same_layout() in wire/shape.h), which is written once; the rest is columns over time:
 * hints, sums, counts, and one column for each bucket. Histograms are decoded as they were encoded,
 * empty spans and staleness markers included.
 */

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
