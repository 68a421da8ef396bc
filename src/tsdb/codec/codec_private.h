/*
 * codec_private.h - private to this folder: the scratch memory; the streams of integers, written to
 * plain memory and read piece by piece; times of rollups.
 */
#ifndef TSDB_CODEC_CODEC_PRIVATE_H
#define TSDB_CODEC_CODEC_PRIVATE_H

#include "tsdb/codec/codec.h"
#include "tsdb/codec/rollups.h"

enum {
    CODEC_FRAME = 128, /* values that share a width */

    /* The longest frame: 128 whole words, and what a wrong estimate of varints can add. */
    CODEC_FRAME_BYTES_MAX = CODEC_FRAME * 8 + 160,
    CODEC_STREAM_BYTES_MAX = CODEC_SAMPLES_MAX / CODEC_FRAME * CODEC_FRAME_BYTES_MAX + 64,
};

/* Modes: the conversion of frames' numbers u to values. The low bits of a stream's header. */
enum codec_mode {
    CODEC_PLAIN = 0,
    CODEC_DELTA = 1,
    CODEC_DELTA2 = 2,
    CODEC_LINE = 3, /* distance from first + i * step */
    CODEC_MODE_MASK = 3,
};

enum {
    CODEC_ZIGZAG = 4,
    CODEC_ALL_ZERO = 8,
    CODEC_DIVIDED = 0x10,
};

struct codec_scratch {
    struct budget *budget;
    int64_t k[CODEC_SAMPLES_MAX + 2];  /* decimals; two to spare, for conversion in pairs */
    int64_t r[CODEC_SAMPLES_MAX + 2];  /* corrections of their bits */
    int64_t column[CODEC_SAMPLES_MAX]; /* a column of a histogram */
    int64_t quotient[CODEC_SAMPLES_MAX];
    int64_t x[CODEC_SAMPLES_MAX]; /* differences */
    uint8_t out[16 + 2 * CODEC_STREAM_BYTES_MAX + CODEC_SLACK];
};

/* Writes the stream at `out`, which has CODEC_STREAM_BYTES_MAX bytes. Returns its size. Uses
 * `quotient` and `x`. `ascending` permits CODEC_LINE. */
size_t codec_int_write(struct codec_scratch *scratch, const int64_t *values, uint32_t count,
                       bool ascending, uint8_t *out);

/*
 * A stream being read. First the head, which yields the 0..2 values outside of frames; then frames
 * of CODEC_FRAME values, the last one shorter, until `left` is 0.
 */
struct codec_int_reader {
    struct cursor *cursor;
    uint32_t left; /* values still in frames */
    unsigned header;
    uint64_t base;
    uint64_t value;   /* the last value, or the last point of the line */
    uint64_t delta;   /* the last difference, or the step of the line */
    uint64_t divisor; /* 0 without a divisor */
    uint64_t origin;
};

/* `ret_values` has room for two. ERR_CORRUPT. */
MUST_CHECK enum err codec_int_head(struct codec_int_reader *reader, struct cursor *cursor,
                                   uint32_t count, uint64_t *ret_values, uint32_t *ret_count);
/* Yields min(left, CODEC_FRAME) values. ERR_CORRUPT. */
MUST_CHECK enum err codec_int_frame(struct codec_int_reader *reader, uint64_t *ret_values,
                                    uint32_t *ret_count);
/* Skips a frame, computing only the reader's state; `room` of CODEC_FRAME values may be written. */
MUST_CHECK enum err codec_int_pass(struct codec_int_reader *reader, uint64_t *room,
                                   uint32_t *ret_count);

/* Reads a stream as its changes: the first value, and the differences (mod 2^64) of the values that
 * differ from the previous one. `rows` and `steps` have room for `count`. ERR_CORRUPT. */
struct codec_changes {
    uint64_t first;
    uint32_t count;
    uint16_t *rows; /* indexes in the stream, ascending */
    uint64_t *steps;
};
MUST_CHECK enum err codec_int_changes(struct cursor *cursor, uint32_t count,
                                      struct codec_changes *changes);

/* codec_float_decode_from() within a longer encoding: the cursor stops after the values. */
MUST_CHECK enum err codec_float_read(struct cursor *cursor, int64_t origin, uint32_t count,
                                     uint64_t *ret_bits);

/* 10^e for e = 0..15: exact doubles. */
extern const double codec_powers[16];

#define CODEC_SIGN_BIT (UINT64_C(1) << 63)

/* Returns the place of a value in the order of doubles: converts sign and magnitude to two's
 * complement, which keeps the zeros at the end; -0 takes the unused number. */
static inline int64_t
codec_ordered(uint64_t bits)
{
    uint64_t sign = (uint64_t)((int64_t)bits >> 63);
    uint64_t v = ((bits & ~CODEC_SIGN_BIT) ^ sign) - sign;
    return (int64_t)(bits == CODEC_SIGN_BIT ? CODEC_SIGN_BIT : v);
}

static inline uint64_t
codec_unordered(uint64_t v)
{
    uint64_t sign = (uint64_t)((int64_t)v >> 63);
    return ((v ^ sign) - sign) | (sign & CODEC_SIGN_BIT);
}

/* Bits needed to write u: 0 for 0. */
static inline unsigned
codec_bit_length(uint64_t u)
{
    return (unsigned)(63 ^ __builtin_clzll(u | 1)) + (u != 0);
}

/* --- coded streams ---------------------------------------------------------------------------- */

/*
 * Each number is a code for its length and second bit, and the bits below. For numbers whose
 * lengths differ, such a stream is some percent shorter than frames of one width, and takes longer
 * to read.
 */

enum { CODED_BITS_MAX = 8 }; /* bits of the longest code */

/* Writes the stream of 1..CODEC_SAMPLES_MAX numbers, if it is shorter than `limit_bytes`; `out` has
 * that room and CODEC_SLACK more. Returns its size, or 0 if it is not. */
size_t codec_coded_write(const int64_t *values, uint32_t count, size_t limit_bytes, uint8_t *out);

/* A stream being read. Its codes are views of nothing: it may be copied. */
struct codec_coded_reader {
    unsigned sign; /* enum coded_sign */
    uint64_t at;   /* in bits, from the cursor */
    struct {
        uint8_t bits; /* of the code; 0: no code begins so */
        uint8_t class;
    } codes[1 << CODED_BITS_MAX];
};

/* ERR_CORRUPT: not the head of a stream. */
MUST_CHECK enum err codec_coded_begin(struct codec_coded_reader *reader, struct cursor *cursor);
/* Reads the next `count` numbers, mod 2^64. ERR_CORRUPT: there are less. */
MUST_CHECK enum err codec_coded_read(struct codec_coded_reader *reader, const struct cursor *cursor,
                                     uint32_t count, uint64_t *ret_values);
/* Moves the cursor past the stream. */
void codec_coded_end(const struct codec_coded_reader *reader, struct cursor *cursor);

/* --- rollups ---------------------------------------------------------------------------------- */

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
