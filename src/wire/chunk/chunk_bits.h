/*
 * chunk_bits.h - bit streams inside chunks, most significant bit first, and the three codes of
 * Prometheus chunk encodings. Private to chunk*.c. Format: src/wire/README.md.
 */
#ifndef WIRE_CHUNK_CHUNK_BITS_H
#define WIRE_CHUNK_CHUNK_BITS_H

#include <assert.h>

#include "base/bytes.h"

/* The two bits of a histogram chunk's header, at their position in the byte. */
enum chunk_reset {
    CHUNK_RESET_UNKNOWN = 0x00,
    CHUNK_RESET_NO = 0x40,
    CHUNK_RESET_YES = 0x80,
    CHUNK_RESET_GAUGE = 0xc0
};

/* Writes bits. `at` points to the first byte that is not full; its `fill` bits (0..7) are in memory
 * and also at the top of `held`. Every put stores eight bytes without a branch, so the memory must
 * extend 8 bytes past the last bit. */
struct bits_out {
    uint8_t *at;
    uint64_t held;
    unsigned fill;
};

enum { BITS_OUT_SLACK = 8, BITS_PUT_MAX = 56 };

/* Puts the `count` (1..56) lowest bits of `v`; the others must be 0. */
static inline void
bits_put(struct bits_out *out, uint64_t v, unsigned count)
{
    out->held |= v << (64 - out->fill - count);
    store_be64(out->at, out->held);
    unsigned total = out->fill + count;
    out->at += total >> 3;
    out->held <<= total & ~7u;
    out->fill = total & 7;
}

/* Like bits_put() for counts up to 64. */
static inline void
bits_put_wide(struct bits_out *out, uint64_t v, unsigned count)
{
    if (count > BITS_PUT_MAX) {
        bits_put(out, v >> 32, count - 32);
        v &= UINT32_MAX;
        count = 32;
    }
    bits_put(out, v, count);
}

/* Returns the bits needed for an unsigned number; 0 needs 0 bits. */
static inline unsigned
bits_of(uint64_t v)
{
    return v == 0 ? 0 : 64 - (unsigned)__builtin_clzll(v);
}

/* Returns the bits needed for a signed number in the encodings' two's complement, whose n bits hold
 * -(2^(n-1) - 1) .. 2^(n-1): it includes the positive end and excludes the negative one. 65 for
 * INT64_MIN. */
static inline unsigned
bits_of_signed(uint64_t v)
{
    return bits_of((int64_t)v > 0 ? v - 1 : 0 - v) + 1;
}

static inline uint64_t
bits_mask(unsigned count)
{
    return count >= 64 ? UINT64_MAX : ((uint64_t)1 << count) - 1;
}

/* --- varbit: a prefix of ones says how many bits follow --------------------------------------- */

enum { VARBIT_CLASSES = 8, VARBIT_BYTES_MAX = 9 };

/* Class k (0..7) has a prefix of k+1 ones and a zero; the last class has no zero. */
static const uint8_t varbit_width[VARBIT_CLASSES] = {3, 6, 9, 12, 18, 25, 56, 64};

/* Code of a number that needs a given number of bits: prefix before the bits of `mask`, and size of
 * both in bits. */
struct varbit_code {
    uint32_t prefix;
    uint32_t mask;
    uint32_t bits;
};
enum { VARBIT_SHORT_BITS = 12 };
#define VARBIT_3     \
    {                \
        2 << 3, 7, 5 \
    }
#define VARBIT_6      \
    {                 \
        6 << 6, 63, 9 \
    }
#define VARBIT_9         \
    {                    \
        14 << 9, 511, 13 \
    }
#define VARBIT_12          \
    {                      \
        30 << 12, 4095, 17 \
    }
static const struct varbit_code varbit_short[VARBIT_SHORT_BITS + 1] = {
    {0, 0, 1}, VARBIT_3, VARBIT_3, VARBIT_3,  VARBIT_6,  VARBIT_6, VARBIT_6,
    VARBIT_9,  VARBIT_9, VARBIT_9, VARBIT_12, VARBIT_12, VARBIT_12};

static inline void
varbit_put_class(struct bits_out *out, uint64_t v, unsigned bits)
{
    unsigned k = 0;
    while (k + 1 < VARBIT_CLASSES && bits > varbit_width[k])
        k++;
    unsigned width = varbit_width[k];
    unsigned prefix_bits = k + 1 < VARBIT_CLASSES ? k + 2 : k + 1;
    uint64_t prefix = k + 1 < VARBIT_CLASSES ? bits_mask(k + 2) - 1 : bits_mask(k + 1);
    bits_put(out, prefix, prefix_bits);
    bits_put_wide(out, v & bits_mask(width), width);
}

static inline void
varbit_put_signed(struct bits_out *out, uint64_t v)
{
    if (v == 0) {
        bits_put(out, 0, 1);
        return;
    }
    varbit_put_class(out, v, bits_of_signed(v));
}

static inline void
varbit_put_unsigned(struct bits_out *out, uint64_t v)
{
    if (v == 0) {
        bits_put(out, 0, 1);
        return;
    }
    varbit_put_class(out, v, bits_of(v));
}

/* State of a number written as delta of deltas. Arithmetic wraps, so no number is too large. */
struct dod_state {
    uint64_t before;
    uint64_t delta;
};

/* --- xor: the bits that differ from the value before ------------------------------------------ */

/* `leading` is XOR_NO_WINDOW until a second value is written. */
struct xor_state {
    uint64_t before;
    uint32_t leading;
    uint32_t trailing;
};

enum { XOR_NO_WINDOW = 64, XOR_LEADING_MAX = 31, XOR_BYTES_MAX = 10 };

/* Puts `changed`, which is not 0; does not read `before`. A call per float would cost 5 % of a
 * chunk. */
static inline __attribute__((always_inline)) void
xor_put_changed(struct bits_out *out, struct xor_state *s, uint64_t changed)
{
    unsigned leading = (unsigned)__builtin_clzll(changed);
    unsigned trailing = (unsigned)__builtin_ctzll(changed);
    if (leading > XOR_LEADING_MAX) leading = XOR_LEADING_MAX;
    if (leading >= s->leading && trailing >= s->trailing) {
        unsigned width = 64 - s->leading - s->trailing;
        bits_put(out, 2, 2);
        bits_put_wide(out, changed >> s->trailing, width);
        return;
    }
    unsigned width = 64 - leading - trailing;
    s->leading = leading;
    s->trailing = trailing;
    bits_put(out, 3u << 11 | leading << 6 | (width & 63), 13);
    bits_put_wide(out, changed >> trailing, width);
}

static inline void
xor_put(struct bits_out *out, struct xor_state *s, uint64_t v)
{
    uint64_t changed = v ^ s->before;
    s->before = v;
    if (changed == 0) {
        bits_put(out, 0, 1);
        return;
    }
    xor_put_changed(out, s, changed);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Reads bits, bounded like a struct cursor: after the end all bits are zero and `bad` is set. */
struct bits_in {
    const uint8_t *data;
    uint64_t end; /* both in bits */
    uint64_t at;
    bool bad;
};

static inline struct bits_in
bits_in_of(struct bytes b)
{
    return (struct bits_in){b.at, (uint64_t)b.size * 8, 0, false};
}

static inline uint64_t
bits_left(const struct bits_in *in)
{
    return in->end - in->at;
}

/* Returns at least the next 57 bits, at the top of the word, without consuming them; zeros after
 * the end. */
static inline uint64_t
bits_peek(const struct bits_in *in)
{
    size_t byte = (size_t)(in->at >> 3);
    size_t left = (size_t)(in->end >> 3) - byte;
    uint64_t v = 0;
    if (left >= 8)
        v = load_be64(in->data + byte);
    else
        for (size_t i = 0; i < left; i++)
            v |= (uint64_t)in->data[byte + i] << (56 - 8 * i);
    return v << (in->at & 7);
}

/* Consumes `count` (1..56) bits. */
static inline uint64_t
bits_get(struct bits_in *in, unsigned count)
{
    if (count > bits_left(in)) {
        in->bad = true;
        in->at = in->end;
        return 0;
    }
    uint64_t v = bits_peek(in) >> (64 - count);
    in->at += count;
    return v;
}

static inline uint64_t
bits_get_wide(struct bits_in *in, unsigned count)
{
    if (count <= BITS_PUT_MAX) return bits_get(in, count);
    uint64_t high = bits_get(in, count - 32);
    return high << 32 | bits_get(in, 32);
}

/* Counts ones up to `max` (1..8) and consumes them with the zero that follows; after `max` ones
 * there is no zero. */
static inline unsigned
bits_get_ones(struct bits_in *in, unsigned max)
{
    uint64_t not_ones = ~bits_peek(in);
    unsigned ones = (unsigned)__builtin_clzll(not_ones | (uint64_t)1 << (63 - max));
    (void)bits_get(in, ones == max ? max : ones + 1);
    return in->bad ? 0 : ones;
}

/* Reverses the two's complement of bits_of_signed(). */
static inline uint64_t
bits_extend(uint64_t v, unsigned count)
{
    if (count == 64 || v <= (uint64_t)1 << (count - 1)) return v;
    return v - ((uint64_t)1 << count);
}

static inline uint64_t
varbit_get_signed(struct bits_in *in)
{
    unsigned ones = bits_get_ones(in, VARBIT_CLASSES);
    if (ones == 0) return 0;
    unsigned width = varbit_width[ones - 1];
    return bits_extend(bits_get_wide(in, width), width);
}

static inline uint64_t
varbit_get_unsigned(struct bits_in *in)
{
    unsigned ones = bits_get_ones(in, VARBIT_CLASSES);
    return ones == 0 ? 0 : bits_get_wide(in, varbit_width[ones - 1]);
}

/* Returns the next value. Before the first announced window the window is the whole word, as in
 * Prometheus; a window that does not fit 64 bits is bad. */
static inline uint64_t
xor_get(struct bits_in *in, struct xor_state *s)
{
    unsigned ones = bits_get_ones(in, 2);
    if (ones == 0) return s->before;
    if (ones == 2) {
        s->leading = (uint32_t)bits_get(in, 5);
        unsigned width = (unsigned)bits_get(in, 6);
        if (width == 0) width = 64;
        if (s->leading + width > 64) {
            in->bad = true;
            return 0;
        }
        s->trailing = 64 - s->leading - width;
    } else if (s->leading == XOR_NO_WINDOW) {
        s->leading = s->trailing = 0;
    }
    s->before ^= bits_get_wide(in, 64 - s->leading - s->trailing) << s->trailing;
    return s->before;
}

/* Reads a LEB128 number, which may begin at any bit. */
static inline uint64_t
bits_get_varint(struct bits_in *in)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint64_t b = bits_get(in, 8);
        if (shift == 63 && b > 1) break;
        v |= (b & 0x7f) << shift;
        if (b < 0x80) return v;
    }
    in->bad = true;
    return 0;
}

#endif
