/*
 * chunk_bits.h - the bit streams inside chunks: most significant bit first, and on top of them the
 * three codes of Prometheus' encodings. Private to chunk*.c. Format: docs/protocols-chunks.md.
 */
#ifndef WIRE_CHUNK_CHUNK_BITS_H
#define WIRE_CHUNK_CHUNK_BITS_H

#include <assert.h>

#include "base/bytes.h"

/* The two bits of a histogram chunk's header, in place. */
enum chunk_reset {
    CHUNK_RESET_UNKNOWN = 0x00,
    CHUNK_RESET_NO = 0x40,
    CHUNK_RESET_YES = 0x80,
    CHUNK_RESET_GAUGE = 0xc0
};

/*
 * Writing. `at` points at the first byte that is not full; its `fill` bits (0..7) are in memory
 * already, and again at the top of `held`. Every put stores eight bytes, so the memory must reach 8
 * bytes after the last bit; in exchange there is no branch.
 */
struct bits_out {
    uint8_t *at;
    uint64_t held;
    unsigned fill;
};

enum { BITS_OUT_SLACK = 8, BITS_PUT_MAX = 56 };

/* `v` has no bits above the `count` (1..56) lowest. */
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

/* The same for counts up to 64. */
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

/* Bits needed for an unsigned number; 0 needs none. */
static inline unsigned
bits_of(uint64_t v)
{
    return v == 0 ? 0 : 64 - (unsigned)__builtin_clzll(v);
}

/*
 * Bits needed for a signed number in the encodings' two's complement, whose n bits hold
 * -(2^(n-1) - 1) .. 2^(n-1): the positive end is in, the negative one is not. 65 for INT64_MIN.
 */
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

/* The class k (0..7) has a prefix of k+1 ones and a zero, the last one no zero. */
static const uint8_t varbit_width[VARBIT_CLASSES] = {3, 6, 9, 12, 18, 25, 56, 64};

/* Of numbers of so many bits: what goes before the mask's bits, and how many bits both are. */
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
    while (k + 1 < VARBIT_CLASSES && bits > varbit_width[k]) {
        k++;
    }
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

/* A number written as delta of deltas; wraps, so that nothing is too large for it. */
struct dod_state {
    uint64_t before;
    uint64_t delta;
};

/* --- xor: the bits that differ from the value before ------------------------------------------ */

/* `leading` XOR_NO_WINDOW: nothing but the first value was written yet. */
struct xor_state {
    uint64_t before;
    uint32_t leading;
    uint32_t trailing;
};

enum { XOR_NO_WINDOW = 64, XOR_LEADING_MAX = 31, XOR_BYTES_MAX = 10 };

/* `changed` is not 0; `before` is not read. A call for each float would cost 5 % of a chunk. */
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

/* Bounded like a struct cursor: past the end everything is zero and `bad` is set. */
struct bits_in {
    const uint8_t *data;
    uint64_t end; /* in bits, both */
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

/* The next 57 bits at least, at the top of the word, without taking them; zeros past the end. */
static inline uint64_t
bits_peek(const struct bits_in *in)
{
    size_t byte = (size_t)(in->at >> 3);
    size_t left = (size_t)(in->end >> 3) - byte;
    uint64_t v = 0;
    if (left >= 8) {
        v = load_be64(in->data + byte);
    } else {
        for (size_t i = 0; i < left; i++) {
            v |= (uint64_t)in->data[byte + i] << (56 - 8 * i);
        }
    }
    return v << (in->at & 7);
}

/* `count` is 1..56. */
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

/* Counts ones up to `max` (1..8) and takes them with the zero after them, which `max` ones lack. */
static inline unsigned
bits_get_ones(struct bits_in *in, unsigned max)
{
    uint64_t not_ones = ~bits_peek(in);
    unsigned ones = (unsigned)__builtin_clzll(not_ones | (uint64_t)1 << (63 - max));
    (void)bits_get(in, ones == max ? max : ones + 1);
    return in->bad ? 0 : ones;
}

/* Undoes the two's complement of bits_of_signed(). */
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

/* Returns the next value. A window before any was announced is the whole word, as Prometheus has
 * it; one that does not fit 64 bits is bad. */
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

/* A LEB128 number of whole bytes anywhere in the stream. */
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
