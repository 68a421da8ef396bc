/*
 * int.h - shared by the files of this folder: the scratch memory, and the integer stream, written
 * to plain memory and read frame by frame. Private to this folder.
 */
#ifndef TSDB_CODEC_INT_H
#define TSDB_CODEC_INT_H

#include "tsdb/codec/codec.h"

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
/* Skips a frame, computing only the reader's state; `room` for CODEC_FRAME values may be written.
 */
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

#endif
