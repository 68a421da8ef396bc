/*
 * float.c - values: from the bits of doubles to integer streams and back. The bytes are
 * docs/format/codec.md.
 *
 * Most values were decimals before they became doubles, and decimals are small integers k with a
 * common exponent: value = k / 10^e. The division is correctly rounded (IEEE 754), so whether a
 * double survives the way to k and back is decided by trying, and the reader does the very
 * operation that was tried. The writer's questions, in order:
 *
 *   all bits equal?                            constant
 *   does some e serve all (but an eighth)?     decimal (with corrections)
 *   does some e make neighbours cheap though   decimal with corrections: sums of decimals, which
 *   it misses the bits by a few ulp?           rounding moved away from the nearest decimal
 *   none of it                                 bits, as integers in the order of doubles
 *
 * k comes from adding and subtracting 1.5 * 2^52, which rounds to an integer and leaves it in the
 * low bits: no conversion instruction, and two lanes at a time. That holds for |k| < 2^51, more
 * than a decimal of 15 digits needs; integers beyond are converted one by one.
 */
#include "tsdb/codec/codec_private.h"

#include <assert.h>

enum {
    TYPE_CONSTANT = 0,
    TYPE_DECIMAL = 1,
    TYPE_CORRECTED = 2,
    TYPE_BITS = 3,
    TYPE_MASK = 3,

    STALE_AT_END = 4,
    E_SHIFT = 3,
    E_MAX = 15,
    E_NONE = 16,
    E_RAW = 31, /* a constant that is not a decimal */
};

#define STALE_BITS 0x7ff0000000000002u /* equals STALE_NAN_BITS in wire/shape.h */

/* Adding it rounds a smaller number to an integer, in the low bits of the result. */
#define ROUNDER     0x1.8p52
#define ROUNDED_MAX 0x1p51
#define DECIMAL_MAX 1e15   /* 17 digits fit any double: they prove nothing */
#define WHOLE_MAX   9.2e18 /* below 2^63 */

const double codec_powers[16] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

typedef double pair __attribute__((vector_size(16)));
typedef uint64_t pair_bits __attribute__((vector_size(16)));

/* --- decimals --------------------------------------------------------------------------------- */

/* k, and the difference of the bits to those of k / 10^e, for two values. k is 0 if it is out of
 * range. */
static inline __attribute__((always_inline)) void
pair_to_decimal(pair_bits bits, pair scale, bool divide, pair_bits *ret_k, pair_bits *ret_r)
{
    const pair rounder = {ROUNDER, ROUNDER};
    const pair max = {ROUNDED_MAX, ROUNDED_MAX};
    pair product = (pair)bits;
    if (divide) product *= scale;
    product = (pair)((pair_bits)product & (pair_bits)(product < max) & (pair_bits)(product > -max));
    pair shifted = product + rounder;
    pair whole = shifted - rounder;
    *ret_k = (pair_bits)shifted - (pair_bits)rounder;
    if (divide) whole /= scale;
    *ret_r = bits - (pair_bits)whole;
}

static inline __attribute__((always_inline)) bool
convert_pairs(const uint64_t *bits, uint32_t count, double power, bool divide, int64_t *k,
              int64_t *r)
{
    const pair scale = {power, power};
    pair_bits any = {0, 0};
    for (uint32_t i = 0; i < count; i += 2) {
        pair_bits from = {bits[i], bits[i + 1 < count ? i + 1 : i]};
        pair_bits to, rest;
        pair_to_decimal(from, scale, divide, &to, &rest);
        any |= rest;
        memcpy(k + i, &to, sizeof to);
        memcpy(r + i, &rest, sizeof rest);
    }
    return (any[0] | any[1]) == 0;
}

/* Converts integers, also beyond 2^51. */
static bool
convert_whole(const uint64_t *bits, uint32_t count, int64_t *k, int64_t *r)
{
    int64_t any = 0;
    for (uint32_t i = 0; i < count; i++) {
        double v = bits_double(bits[i]);
        k[i] = v < WHOLE_MAX && v > -WHOLE_MAX ? (int64_t)v : 0;
        r[i] = (int64_t)(bits[i] - double_bits((double)k[i]));
        any |= r[i];
    }
    return any == 0;
}

/* Writes k, and r = bits of the value - bits of k / 10^e. True if all r are 0. k and r have room
 * for an even count. */
static bool
convert(const uint64_t *bits, uint32_t count, unsigned e, int64_t *k, int64_t *r)
{
    if (e > 0) return convert_pairs(bits, count, codec_powers[e], true, k, r);
    return convert_pairs(bits, count, 1, false, k, r) || convert_whole(bits, count, k, r);
}

/* Returns the least e >= from at which a value survives, or E_NONE. The product shows most failures
 * without a division: if v is the double nearest to k / 10^e, then v * 10^e is within 2^-52 of k.
 */
static unsigned
least_exponent(uint64_t bits, unsigned from)
{
    double v = bits_double(bits);
    if (from == 0) {
        if (!(v < WHOLE_MAX && v > -WHOLE_MAX)) return E_NONE;
        if (double_bits((double)(int64_t)v) == bits) return 0;
        from = 1;
    }
    if (v == 0) return E_NONE; /* -0 */
    for (unsigned e = from; e <= E_MAX; e++) {
        double product = v * codec_powers[e];
        if (!(product < DECIMAL_MAX && product > -DECIMAL_MAX)) return E_NONE;
        double whole = (product + ROUNDER) - ROUNDER;
        double rest = product - whole;
        if (rest * rest > product * product * 0x1p-102) continue;
        if (double_bits(whole / codec_powers[e]) == bits) return e;
    }
    return E_NONE;
}

/* Returns the least e that serves three quarters of some values spread over the block, or E_NONE.
 */
static unsigned
guess_exponent(const uint64_t *bits, uint32_t count)
{
    enum { LOOKS = 32 };
    uint32_t looks = count < LOOKS ? count : LOOKS;
    uint32_t step = (uint32_t)(((uint64_t)count << 16) / looks);
    unsigned e = 0;
    uint32_t failed = 0;
    for (uint32_t i = 0, at = 0; i < looks; i++, at += step) {
        unsigned least = least_exponent(bits[at >> 16], e);
        if (least != E_NONE)
            e = least;
        else if (++failed * 4 > looks)
            return E_NONE;
    }
    return e;
}

enum float_form { VERDICT_DECIMAL, VERDICT_CORRECTED, VERDICT_REAL };

/* Converts all values, beginning with the guessed e and raising it for those that need more digits.
 * Leaves k and r of the final e. */
static enum float_form
convert_all(const uint64_t *bits, uint32_t count, unsigned *e, int64_t *k, int64_t *r)
{
    enum { RAISES = 3 };
    for (unsigned raises = 0;; raises++) {
        if (convert(bits, count, *e, k, r)) return VERDICT_DECIMAL;
        unsigned raised = *e;
        uint32_t failed = 0, hopeless = 0;
        for (uint32_t i = 0; i < count; i++) {
            if (r[i] == 0) continue;
            failed++;
            unsigned least = raises < RAISES ? least_exponent(bits[i], raised) : E_NONE;
            if (least != E_NONE)
                raised = least;
            else if (++hopeless > count / 8)
                return VERDICT_REAL;
        }
        if (raised == *e) return failed <= count / 8 ? VERDICT_CORRECTED : VERDICT_REAL;
        *e = raised;
    }
}

/* NaN, infinities, -0 and large values are not decimals: k repeats its neighbour, which takes no
 * bits, and r alone holds the value. */
static void
carry_specials(const uint64_t *bits, uint32_t count, unsigned e, int64_t *k, int64_t *r)
{
    const int64_t far = INT64_C(1) << 40;
    int64_t last = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (r[i] > -far && r[i] < far) {
            last = k[i];
            break;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (r[i] <= -far || r[i] >= far) {
            k[i] = last;
            r[i] = (int64_t)(bits[i] - double_bits((double)last / codec_powers[e]));
        }
        last = k[i];
    }
}

/* --- choosing for real numbers ---------------------------------------------------------------- */

enum { PAIRS = 12, PAIR_GAIN_BITS = 3 };

static inline unsigned
zigzag_length(int64_t v)
{
    return codec_bit_length(zigzag(v));
}

/* Estimates the cost of e from some pairs of neighbours: the step of k, and the smaller of r and
 * its step. */
static uint32_t
corrected_cost(const uint64_t *const *pairs, uint32_t pair_count, unsigned e)
{
    const pair scale = {codec_powers[e], codec_powers[e]};
    uint32_t cost = 0;
    for (uint32_t i = 0; i < pair_count; i++) {
        pair_bits bits, k, r;
        memcpy(&bits, pairs[i], sizeof bits);
        pair_to_decimal(bits, scale, true, &k, &r);
        unsigned own = zigzag_length((int64_t)r[1]);
        unsigned step = zigzag_length((int64_t)(r[1] - r[0]));
        cost += zigzag_length((int64_t)(k[1] - k[0])) + (own < step ? own : step);
    }
    return cost;
}

/* Returns the e with which decimals and corrections are clearly cheaper than bits, or E_NONE. */
static unsigned
choose_for_reals(const uint64_t *bits, uint32_t count, unsigned zeros)
{
    const uint64_t *pairs[PAIRS];
    uint32_t pair_count = count - 1 < PAIRS ? count - 1 : PAIRS;
    uint32_t bits_cost = 0;
    for (uint32_t i = 0; i < pair_count; i++) {
        pairs[i] = bits + (size_t)(count - 1) * i / pair_count;
        int64_t a = codec_ordered(pairs[i][0]) >> zeros, b = codec_ordered(pairs[i][1]) >> zeros;
        bits_cost += zigzag_length((int64_t)((uint64_t)b - (uint64_t)a));
    }
    unsigned best = E_NONE;
    uint32_t best_cost =
        bits_cost -
        (bits_cost < PAIR_GAIN_BITS * pair_count ? bits_cost : PAIR_GAIN_BITS * pair_count);
    for (unsigned e = 0; e <= E_MAX; e++) {
        uint32_t cost = corrected_cost(pairs, pair_count, e);
        if (cost >= best_cost) continue;
        best = e;
        best_cost = cost;
    }
    return best;
}

/* --- writing ---------------------------------------------------------------------------------- */

static bool
all_equal(const uint64_t *bits, uint32_t count)
{
    uint64_t first = bits[0];
    uint32_t i = 1;
    for (; i + 8 <= count; i += 8) {
        uint64_t unlike = 0;
        for (unsigned lane = 0; lane < 8; lane++)
            unlike |= bits[i + lane] ^ first;
        if (unlike != 0) return false;
    }
    for (; i < count; i++)
        if (bits[i] != first) return false;
    return true;
}

static uint8_t *
write_constant(uint8_t *out, uint8_t stale, uint64_t bits)
{
    unsigned e = least_exponent(bits, 0);
    if (e != E_NONE) {
        double v = bits_double(bits);
        double shifted = v * codec_powers[e] + ROUNDER;
        int64_t k = e == 0 ? (int64_t)v : (int64_t)(double_bits(shifted) - double_bits(ROUNDER));
        if (varint_size(zigzag(k)) <= sizeof bits) {
            *out++ = (uint8_t)(TYPE_CONSTANT | stale | e << E_SHIFT);
            return out + varint_put(out, zigzag(k));
        }
    }
    *out++ = (uint8_t)(TYPE_CONSTANT | stale | E_RAW << E_SHIFT);
    store_le64(out, bits);
    return out + sizeof bits;
}

/* Subtracts the least number from all, and returns it. */
static int64_t
take_origin(int64_t *k, uint32_t count)
{
    int64_t least = k[0];
    for (uint32_t i = 1; i < count; i++)
        least = k[i] < least ? k[i] : least;
    for (uint32_t i = 0; i < count; i++)
        k[i] = (int64_t)((uint64_t)k[i] - (uint64_t)least);
    return least;
}

static uint8_t *
write_moving(struct codec_scratch *scratch, uint8_t *out, uint8_t stale, const uint64_t *bits,
             uint32_t count, int64_t *ret_origin)
{
    unsigned e = guess_exponent(bits, count);
    enum float_form verdict = VERDICT_REAL;
    if (e != E_NONE) verdict = convert_all(bits, count, &e, scratch->k, scratch->r);
    if (verdict == VERDICT_REAL) {
        uint64_t all = 0;
        for (uint32_t i = 0; i < count; i++)
            all |= bits[i];
        unsigned zeros = all == 0 ? 0 : (unsigned)__builtin_ctzll(all);
        e = choose_for_reals(bits, count, zeros);
        if (e == E_NONE) {
            for (uint32_t i = 0; i < count; i++)
                scratch->k[i] = codec_ordered(bits[i]) >> zeros;
            *out++ = (uint8_t)(TYPE_BITS | stale);
            *out++ = (uint8_t)zeros;
            return out + codec_int_write(scratch, scratch->k, count, false, out);
        }
        bool exact = convert(bits, count, e, scratch->k, scratch->r);
        verdict = exact ? VERDICT_DECIMAL : VERDICT_CORRECTED;
    }
    bool corrected = verdict == VERDICT_CORRECTED;
    if (corrected) carry_specials(bits, count, e, scratch->k, scratch->r);
    if (ret_origin != NULL) *ret_origin = take_origin(scratch->k, count);
    *out++ = (uint8_t)((corrected ? TYPE_CORRECTED : TYPE_DECIMAL) | stale | e << E_SHIFT);
    out += codec_int_write(scratch, scratch->k, count, false, out);
    if (corrected) out += codec_int_write(scratch, scratch->r, count, false, out);
    return out;
}

/* `ret_origin` may be NULL: all numbers are written as they are. */
static size_t
float_write(struct codec_scratch *scratch, const uint64_t *bits, uint32_t count,
            int64_t *ret_origin, uint8_t *out)
{
    assert(count > 0 && count <= CODEC_SAMPLES_MAX);
    uint8_t stale = bits[count - 1] == STALE_BITS ? STALE_AT_END : 0;
    if (stale != 0) count--;
    uint8_t *end;
    if (ret_origin != NULL) *ret_origin = 0;
    if (count == 0) {
        *out = stale;
        end = out + 1;
    } else if (all_equal(bits, count)) {
        end = write_constant(out, stale, bits[0]);
    } else {
        end = write_moving(scratch, out, stale, bits, count, ret_origin);
    }
    return (size_t)(end - out);
}

void
codec_float_encode(struct codec_scratch *scratch, const uint64_t *bits, uint32_t count,
                   struct buf *out)
{
    buf_put(out, scratch->out, float_write(scratch, bits, count, NULL, scratch->out));
}

void
codec_float_encode_from(struct codec_scratch *scratch, const uint64_t *bits, uint32_t count,
                        int64_t *ret_origin, struct buf *out)
{
    buf_put(out, scratch->out, float_write(scratch, bits, count, ret_origin, scratch->out));
}

struct codec_shape
codec_float_shape(struct bytes encoded)
{
    struct codec_shape shape = {0};
    struct cursor cursor = cursor_of(encoded);
    unsigned first = cursor_u8(&cursor), type = first & TYPE_MASK, e = first >> E_SHIFT;
    shape.is_decimal = type != TYPE_BITS && e <= E_MAX && encoded.size > 1;
    if (!shape.is_decimal) return shape;
    shape.e = (uint8_t)e;
    shape.is_corrected = type == TYPE_CORRECTED;
    shape.is_constant = type == TYPE_CONSTANT;
    if (shape.is_constant) shape.k = cursor_zigzag(&cursor);
    return shape;
}

/* --- reading ---------------------------------------------------------------------------------- */

static inline uint64_t
decimal_bits(uint64_t k, double power)
{
    return double_bits((double)(int64_t)k / power);
}

static inline __attribute__((always_inline)) void
pairs_to_bits(uint64_t *v, uint32_t count, double power, bool divide)
{
    const pair scale = {power, power};
    for (uint32_t i = 0; i + 2 <= count; i += 2) {
        pair_bits k;
        memcpy(&k, v + i, sizeof k);
        /* Converts two int64 to doubles, rounded as in one conversion each. The halves become
         * doubles without rounding (h * 2^32 - 2^52 and 2^52 + l), and their sum is rounded once.
         * SSE2 has no instruction for it. */
        const pair_bits high_mask = {0x4530000080000000u, 0x4530000080000000u};
        const pair_bits high_bias = {0x4530000080100000u, 0x4530000080100000u};
        const pair_bits low_mask = {0x4330000000000000u, 0x4330000000000000u};
        pair_bits high = (k >> 32) ^ high_mask;
        pair_bits low = (k & 0xffffffffu) | low_mask;
        pair values = ((pair)high - (pair)high_bias) + (pair)low;
        if (divide) values /= scale;
        memcpy(v + i, &values, sizeof values);
    }
    if (count & 1) v[count - 1] = decimal_bits(v[count - 1], power);
}

/* The range of requested values. */
struct slice {
    uint32_t from;
    uint32_t until;
};

static enum err
read_main(struct cursor *cursor, unsigned type, unsigned e, int64_t origin, uint32_t count,
          struct slice wanted, uint64_t *ret_bits)
{
    unsigned zeros = type == TYPE_BITS ? cursor_u8(cursor) : 0;
    if (zeros > 63) return ERR_CORRUPT;
    struct codec_int_reader reader;
    uint32_t got;
    enum err err = codec_int_head(&reader, cursor, count, ret_bits, &got);
    for (uint32_t at = 0; err == OK; at += got) {
        if (at > 0 || got == 0) {
            if (reader.left == 0 || at >= wanted.until) break;
            bool passes = at + CODEC_FRAME <= wanted.from;
            err = passes ? codec_int_pass(&reader, ret_bits + at, &got)
                         : codec_int_frame(&reader, ret_bits + at, &got);
            if (err) break;
        }
        uint32_t from = at > wanted.from ? at : wanted.from;
        uint32_t end = at + got < wanted.until ? at + got : wanted.until;
        if (from >= end) continue;
        if (type != TYPE_BITS) {
            /* Converts integers to doubles, in place. */
            for (uint32_t i = from; i < end && origin != 0; i++)
                ret_bits[i] += (uint64_t)origin;
            if (e == 0)
                pairs_to_bits(ret_bits + from, end - from, 1, false);
            else
                pairs_to_bits(ret_bits + from, end - from, codec_powers[e], true);
        }
        for (uint32_t i = from; i < end && type == TYPE_BITS; i++)
            ret_bits[i] = codec_unordered(ret_bits[i] << zeros);
    }
    return err;
}

static enum err
read_corrections(struct cursor *cursor, uint32_t count, uint64_t *bits)
{
    uint64_t r[CODEC_FRAME];
    struct codec_int_reader reader;
    uint32_t got;
    enum err err = codec_int_head(&reader, cursor, count, r, &got);
    while (err == OK) {
        for (uint32_t i = 0; i < got; i++)
            bits[i] += r[i];
        bits += got;
        if (reader.left == 0) break;
        err = codec_int_frame(&reader, r, &got);
    }
    return err;
}

static void
float_fill(uint64_t *bits, uint32_t count, uint64_t value)
{
    for (uint32_t i = 0; i < count; i++)
        bits[i] = value;
}

void
codec_constant_fill(unsigned e, int64_t k, bool stale, uint32_t count, uint64_t *ret_bits)
{
    assert(e <= E_MAX);
    float_fill(ret_bits, count, decimal_bits((uint64_t)k, codec_powers[e]));
    if (stale) ret_bits[count - 1] = STALE_BITS;
}

static enum err
read_floats(struct cursor *cursor, int64_t origin, uint32_t count, struct slice wanted,
            uint64_t *ret_bits)
{
    if (count == 0 || count > CODEC_SAMPLES_MAX) return ERR_CORRUPT;
    unsigned first = cursor_u8(cursor);
    unsigned type = first & TYPE_MASK;
    unsigned e = first >> E_SHIFT;
    if (cursor->bad) return ERR_CORRUPT;
    if (first & STALE_AT_END) ret_bits[--count] = STALE_BITS;
    if (count == 0) return first == STALE_AT_END ? OK : ERR_CORRUPT;
    if (type == TYPE_CONSTANT) {
        uint64_t bits;
        if (e == E_RAW)
            bits = cursor_le64(cursor);
        else if (e <= E_MAX)
            bits = decimal_bits((uint64_t)cursor_zigzag(cursor), codec_powers[e]);
        else
            return ERR_CORRUPT;
        if (cursor->bad) return ERR_CORRUPT;
        float_fill(ret_bits, count, bits);
        return OK;
    }
    if (e > (type == TYPE_BITS ? 0 : E_MAX)) return ERR_CORRUPT;
    /* Corrections come after all values. */
    if (type == TYPE_CORRECTED) wanted = (struct slice){0, count};
    enum err err = read_main(cursor, type, e, origin, count, wanted, ret_bits);
    if (err == OK && type == TYPE_CORRECTED) err = read_corrections(cursor, count, ret_bits);
    return err;
}

enum err
codec_float_read(struct cursor *cursor, int64_t origin, uint32_t count, uint64_t *ret_bits)
{
    return read_floats(cursor, origin, count, (struct slice){0, count}, ret_bits);
}

enum err
codec_float_decode_some(struct bytes encoded, int64_t origin, uint32_t count, uint32_t from,
                        uint32_t until, uint64_t *ret_bits)
{
    struct cursor cursor = cursor_of(encoded);
    assert(from < until && until <= count);
    return read_floats(&cursor, origin, count, (struct slice){from, until}, ret_bits);
}

enum err
codec_float_decode_from(struct bytes encoded, int64_t origin, uint32_t count, uint64_t *ret_bits)
{
    struct cursor cursor = cursor_of(encoded);
    enum err e = codec_float_read(&cursor, origin, count, ret_bits);
    if (e == OK && cursor_left(&cursor) > 0) e = ERR_CORRUPT;
    return e;
}
