/*
 * coded.h - coded streams of integers: each number is a code for its length and second bit, and the
 * bits below. For numbers whose lengths differ, such a stream is some percent shorter than frames
 * of one width (int.h), and takes longer to read. Private to this folder.
 * Format: docs/format/codec.md.
 */
#ifndef TSDB_CODEC_CODED_H
#define TSDB_CODEC_CODED_H

#include "tsdb/codec/codec.h"

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

#endif
