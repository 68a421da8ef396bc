/*
 * int.c - writes integer streams; unpack.c reads them. Format: docs/format/codec.md.
 *
 * A stream costs what the widths of its numbers cost, so the writer's work is to choose, without
 * trying each choice out: which differences to take (mode), whether to fold signs (zigzag) or
 * subtract a base, and for each frame of 128 the width w that is cheapest when wider numbers
 * become exceptions. All three decisions read one thing, a histogram of bit lengths:
 *
 *     cost(w) = count * w + exceptions * (7 for the position + their bits above w)
 *
 * so a mode is judged from one pass over the differences and a walk over at most 64 counters. The
 * passes are what encoding time goes into. The counters are kept fourfold, since incrementing the
 * one just incremented waits for the store before.
 */
#include "tsdb/codec/int.h"

#include <assert.h>

enum { LENGTHS_ROW = 72 }; /* 65 lengths, and whole vectors */

/* Counters of bit lengths. */
struct lengths {
    _Alignas(16) uint16_t of[4][LENGTHS_ROW];
    uint64_t all; /* all numbers or-ed */
};

/* A width, and the estimated size of the frames with it. */
struct width {
    unsigned bits;
    uint32_t exception_count;
    uint64_t cost_bits;
};

/* The way in which a stream is written. */
struct int_choice {
    enum codec_mode mode;
    bool zigzag;
    bool all_zero;
    int64_t base;
    int64_t step;
    struct width width; /* width for all frames as if they were one */
    uint64_t cost_bits; /* cost of the whole stream, without the divisor's part */

    /* Properties of the differences, for the choice of other modes. */
    uint32_t zero_count;
    bool any_negative;
};

/* Returns the number of values in the head, before the frames. */
static uint32_t
lead_count(enum codec_mode mode)
{
    return mode == CODEC_PLAIN ? 0 : mode == CODEC_DELTA2 ? 2 : 1;
}

static inline uint64_t
int_fold(int64_t x, bool zigzagged, int64_t base)
{
    return zigzagged ? zigzag(x) : (uint64_t)x - (uint64_t)base;
}

typedef uint16_t lanes __attribute__((vector_size(16), may_alias));
typedef uint64_t pair __attribute__((vector_size(16)));
typedef int64_t pair_signed __attribute__((vector_size(16)));
typedef double pair_double __attribute__((vector_size(16)));

enum { LENGTHS_VECTORS = LENGTHS_ROW * sizeof(uint16_t) / sizeof(lanes) };

static inline void
lengths_clear(struct lengths *lengths)
{
    lanes *row = (lanes *)lengths->of;
    for (unsigned i = 0; i < 4 * LENGTHS_VECTORS; i++) {
        row[i] = (lanes){0};
    }
    lengths->all = 0;
}

/* For numbers below 2^51; longer ones make the counters wrong and show in `all`. The exponent of a
 * double is a bit length: 2u + 1, put into the low bits of 2^52, becomes a double by subtracting
 * 2^52, and its exponent is that of u's length. Two at a time, where the instruction that finds the
 * highest bit is slow on half of the machines. */
static inline __attribute__((always_inline)) void
lengths_count_short(struct lengths *lengths, const int64_t *x, uint32_t fours, bool zigzagged,
                    int64_t base)
{
    const pair implicit = {0x4330000000000001u, 0x4330000000000001u};
    const pair exponent_of_1 = {1023, 1023}, below_64 = {63, 63};
    const pair_double two_52 = {0x1p52, 0x1p52};
    const pair bases = {(uint64_t)base, (uint64_t)base};
    pair all = {0, 0};
    for (const int64_t *end = x + 4 * (size_t)fours; x != end; x += 4) {
        pair u[2];
        memcpy(u, x, sizeof u);
        for (unsigned i = 0; i < 2; i++) {
            u[i] = zigzagged ? (u[i] << 1) ^ (pair)((pair_signed)u[i] >> 63) : u[i] - bases;
            all |= u[i];
            pair length = (pair)((pair_double)((u[i] << 1) | implicit) - two_52) >> 52;
            lanes index = (lanes)((length - exponent_of_1) & below_64);
            lengths->of[2 * i][index[0]]++;
            lengths->of[2 * i + 1][index[4]]++;
        }
    }
    lengths->all = all[0] | all[1];
}

static inline __attribute__((always_inline)) void
lengths_count(struct lengths *lengths, const int64_t *x, uint32_t count, bool zigzagged,
              int64_t base)
{
    lengths_clear(lengths);
    uint32_t done = count & ~3u;
    lengths_count_short(lengths, x, done / 4, zigzagged, base);
    if (lengths->all >> 51 != 0) {
        lengths_clear(lengths);
        done = 0;
    }
    for (uint32_t i = done; i < count; i++) {
        uint64_t u = int_fold(x[i], zigzagged, base);
        lengths->all |= u;
        lengths->of[i & 3][codec_bit_length(u)]++;
    }
    /* Adds the four copies up into the first. */
    lanes *row = (lanes *)lengths->of;
    for (unsigned i = 0; i < LENGTHS_VECTORS; i++) {
        row[i] +=
            row[i + LENGTHS_VECTORS] + row[i + 2 * LENGTHS_VECTORS] + row[i + 3 * LENGTHS_VECTORS];
    }
}

static void
lengths_count_based(struct lengths *lengths, const int64_t *x, uint32_t count, int64_t base)
{
    lengths_count(lengths, x, count, false, base);
}
/* Returns the cheapest width for `count` numbers in `frames` frames. Going down from the greatest
 * length, each step turns the numbers of one more length into exceptions, all of which get a bit
 * wider. */
static struct width
lengths_choose_width(const struct lengths *lengths, uint32_t count, uint32_t frames)
{
    unsigned longest = codec_bit_length(lengths->all);
    struct width best = {longest, 0, (uint64_t)count * longest + 8 * (uint64_t)frames};
    uint64_t exceptions = 0, bits_above = 0;
    for (unsigned w = longest; w-- > 0;) {
        exceptions += lengths->of[0][w + 1];
        bits_above += exceptions;
        if (exceptions * 7 >= best.cost_bits) break;
        uint64_t packed = exceptions * (7 + longest - w);
        uint64_t varints = exceptions * 11 + bits_above + bits_above / 8;
        uint64_t cost = (uint64_t)count * w + 24 * (uint64_t)frames;
        cost += packed < varints ? packed : varints;
        if (cost < best.cost_bits) best = (struct width){w, (uint32_t)exceptions, cost};
    }
    return best;
}

static uint64_t
zigzag_cost_bits(int64_t v)
{
    return 8 * varint_size(zigzag(v));
}

/* --- choosing the mode ------------------------------------------------------------------------ */

/* Writes the differences of the values in a mode; returns their number. */
static uint32_t
differences(const int64_t *values, uint32_t count, enum codec_mode mode, int64_t step, int64_t *x)
{
    const uint64_t *v = (const uint64_t *)values;
    uint64_t *to = (uint64_t *)x;
    switch (mode) {
    case CODEC_PLAIN:
        memcpy(x, values, count * sizeof *x);
        return count;
    case CODEC_DELTA:
        for (uint32_t i = 1; i < count; i++) {
            to[i - 1] = v[i] - v[i - 1];
        }
        return count - 1;
    case CODEC_DELTA2:
        for (uint32_t i = 2; i < count; i++) {
            to[i - 2] = v[i] - 2 * v[i - 1] + v[i - 2];
        }
        return count - 2;
    case CODEC_LINE:
        break;
    }
    uint64_t line = v[0];
    for (uint32_t i = 1; i < count; i++) {
        line += (uint64_t)step;
        to[i - 1] = v[i] - line;
    }
    return count - 1;
}

/* Least and greatest of the numbers that `w` bits hold after zigzag. */
struct int_span {
    int64_t least;
    int64_t greatest;
    bool any_negative; /* true if one of all numbers is negative */
};

static bool
base_is_hopeless(const struct int_span *s, unsigned w)
{
    if (!s->any_negative || s->least > s->greatest) return false;
    return codec_bit_length((uint64_t)s->greatest - (uint64_t)s->least) >= w;
}

/* Ends early if no later number can make a base worthwhile. */
static struct int_span
span_of(const int64_t *x, uint32_t count, unsigned w)
{
    enum { STRETCH = 64 };
    struct int_span s = {INT64_MAX, INT64_MIN, false};
    const int64_t half = w >= 64 ? INT64_MAX : w == 0 ? 0 : (INT64_C(1) << (w - 1)) - 1;
    const int64_t low = w == 0 ? 0 : -half - 1;
    for (uint32_t at = 0, end; at < count && !base_is_hopeless(&s, w); at = end) {
        int64_t least = s.least, greatest = s.greatest, signs = 0;
        end = at + STRETCH < count ? at + STRETCH : count;
        for (uint32_t i = at; i < end; i++) {
            int64_t v = x[i];
            signs |= v;
            int64_t down = v < low ? INT64_MAX : v;
            int64_t up = v > half ? INT64_MIN : v;
            least = down < least ? down : least;
            greatest = up > greatest ? up : greatest;
        }
        s.least = least;
        s.greatest = greatest;
        s.any_negative |= signs < 0;
    }
    return s;
}

typedef int32_t quad __attribute__((vector_size(16)));

static inline quad
quad_choose(quad mask, quad yes, quad no)
{
    return (yes & mask) | (no & ~mask);
}

/* span_of() for numbers of 32 bits, four at a time. */
static struct int_span
span_of_short(const int64_t *x, uint32_t count, unsigned w)
{
    const int32_t half = (int32_t)(w == 0 ? 0 : (INT64_C(1) << (w - 1)) - 1);
    const int32_t low = w == 0 ? 0 : -half - 1;
    const quad lows = {low, low, low, low}, halves = {half, half, half, half};
    const quad max = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX}, min = -max - 1;
    quad least = max, greatest = min, signs = {0, 0, 0, 0};
    uint32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        quad a, b;
        memcpy(&a, x + i, sizeof a);
        memcpy(&b, x + i + 2, sizeof b);
        quad v = __builtin_shufflevector(a, b, 0, 2, 4, 6); /* the low halves */
        signs |= v;
        quad down = quad_choose(v < lows, max, v), up = quad_choose(v > halves, min, v);
        least = quad_choose(down < least, down, least);
        greatest = quad_choose(up > greatest, up, greatest);
    }
    struct int_span s = span_of(x + i, count - i, w);
    for (unsigned lane = 0; lane < 4; lane++) {
        s.least = least[lane] < s.least ? least[lane] : s.least;
        s.greatest = greatest[lane] > s.greatest ? greatest[lane] : s.greatest;
        s.any_negative |= signs[lane] < 0;
    }
    return s;
}

/* Chooses between both ways to make the differences unsigned. A base can pay if the numbers are not
 * spread around zero: if the span of those that zigzag holds is shorter than zigzag's width, or if
 * none is negative. */
static void
plan_fold(const int64_t *x, uint32_t count, struct int_choice *plan)
{
    uint32_t frames = (count + CODEC_FRAME - 1) / CODEC_FRAME;
    struct lengths lengths;
    lengths_count(&lengths, x, count, true, 0);
    struct width folded = lengths_choose_width(&lengths, count, frames);
    uint64_t head_bits = plan->cost_bits;
    plan->zigzag = true;
    plan->base = 0;
    plan->width = folded;
    plan->zero_count = lengths.of[0][0];
    plan->all_zero = lengths.all == 0;
    plan->cost_bits = head_bits + (plan->all_zero ? 0 : folded.cost_bits);
    if (plan->all_zero) return;

    bool is_short = lengths.all >> 32 == 0; /* signs and all */
    struct int_span span =
        is_short ? span_of_short(x, count, folded.bits) : span_of(x, count, folded.bits);
    plan->any_negative = span.any_negative;
    if (span.least > span.greatest || base_is_hopeless(&span, folded.bits)) return;
    lengths_count_based(&lengths, x, count, span.least);
    struct width based = lengths_choose_width(&lengths, count, frames);
    uint64_t cost = head_bits + zigzag_cost_bits(span.least);
    if (lengths.all != 0) cost += based.cost_bits;
    if (cost >= plan->cost_bits) return;
    plan->zigzag = false;
    plan->base = span.least;
    plan->width = based;
    plan->all_zero = lengths.all == 0;
    plan->cost_bits = cost;
}

/* Tries one mode; keeps it if it is cheaper than `best`. Leaves its differences in x. */
static void
plan_try(const int64_t *values, uint32_t count, enum codec_mode mode, int64_t step, int64_t *x,
         struct int_choice *best)
{
    struct int_choice plan = {.mode = mode, .step = step, .cost_bits = 8};
    if (mode != CODEC_PLAIN) plan.cost_bits += zigzag_cost_bits(values[0]);
    if (mode == CODEC_DELTA2) {
        plan.cost_bits += zigzag_cost_bits((int64_t)((uint64_t)values[1] - (uint64_t)values[0]));
    }
    if (mode == CODEC_LINE) plan.cost_bits += zigzag_cost_bits(step);
    if (plan.cost_bits >= best->cost_bits) return;
    uint32_t left = differences(values, count, mode, step, x);
    plan_fold(x, left, &plan);
    if (plan.cost_bits < best->cost_bits) *best = plan;
}

/* A cheaper stream is not worth more tries, which save at most a byte. */
enum { PLAN_CHEAP_BITS = 32 };

/* Tries lines of ascending values: through both ends, which fits a drifting clock, and with the
 * step in the middle, which fits a gap or a late last value. */
static void
plan_try_lines(const int64_t *values, uint32_t count, int64_t *x, struct int_choice *best)
{
    int64_t whole;
    if (__builtin_sub_overflow(values[count - 1], values[0], &whole)) return;
    int64_t intervals = (int64_t)count - 1;
    int64_t half = whole < 0 ? -(intervals / 2) : intervals / 2;
    int64_t step = whole / intervals;
    int64_t rest = whole - step * intervals;
    if (rest > half && half >= 0) step++;
    if (rest < half && half < 0) step--;
    plan_try(values, count, CODEC_LINE, step, x, best);
    int64_t middle = (int64_t)((uint64_t)values[count / 2] - (uint64_t)values[count / 2 - 1]);
    if (middle != step) plan_try(values, count, CODEC_LINE, middle, x, best);
}

/* Tries delta first. If most values repeat the previous one, differences of differences only move
 * twice as often; if values never fall, they are nearer to each other than to any base. */
static struct int_choice
plan_stream(const int64_t *values, uint32_t count, bool ascending, int64_t *x)
{
    struct int_choice best = {.cost_bits = UINT64_MAX};
    if (count == 1) {
        best = (struct int_choice){.all_zero = true, .base = values[0]};
        best.cost_bits = 8 + zigzag_cost_bits(values[0]);
        return best;
    }
    plan_try(values, count, CODEC_DELTA, 0, x, &best);
    uint64_t first_bits = 8 + zigzag_cost_bits(values[0]);
    if (best.cost_bits < first_bits + PLAN_CHEAP_BITS) return best;
    bool standing = best.zero_count > count / 2, falling = best.any_negative;
    if (!standing && count > 2) plan_try(values, count, CODEC_DELTA2, 0, x, &best);
    if (ascending) {
        plan_try_lines(values, count, x, &best);
    } else if (falling) {
        plan_try(values, count, CODEC_PLAIN, 0, x, &best);
    }
    return best;
}

/* --- the common divisor ----------------------------------------------------------------------- */

/* Division by a fixed number that nearly always leaves no remainder: d is a multiple of an odd g
 * exactly if d times the inverse of g mod 2^64 is at most (2^64 - 1) / g, and then that product is
 * the quotient. Powers of two are shifted out. */
struct divisor {
    uint64_t g; /* 0 before the first difference */
    unsigned shift;
    uint64_t inverse;
    uint64_t quotient_max;
};

static void
divisor_set(struct divisor *divisor, uint64_t g)
{
    divisor->g = g;
    divisor->shift = (unsigned)__builtin_ctzll(g);
    uint64_t odd = g >> divisor->shift;
    uint64_t inverse = odd * 3 ^ 2; /* correct in its low 5 bits; each step doubles their number */
    for (unsigned i = 0; i < 4; i++) {
        inverse *= 2 - odd * inverse;
    }
    divisor->inverse = inverse;
    divisor->quotient_max = UINT64_MAX / odd;
}

static inline bool
divisor_divides(const struct divisor *divisor, uint64_t d, uint64_t *ret_quotient)
{
    uint64_t quotient = (d >> divisor->shift) * divisor->inverse;
    *ret_quotient = quotient;
    return quotient <= divisor->quotient_max && (d & ((UINT64_C(1) << divisor->shift) - 1)) == 0;
}

static uint64_t
greatest_common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static inline uint64_t
magnitude(int64_t v)
{
    return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

/* Finds the greatest common divisor of all v - v0. False if it is 1, if all values are equal, or if
 * some v - v0 is not an int64. ret_moved_count: values that differ from the previous one. */
static bool
divisor_find(const int64_t *values, uint32_t count, struct divisor *ret_divisor,
             uint32_t *ret_moved_count)
{
    struct divisor divisor = {0};
    uint32_t moved = 0;
    for (uint32_t i = 1; i < count; i++) {
        if (values[i] == values[i - 1]) continue;
        moved++;
        int64_t difference;
        if (__builtin_sub_overflow(values[i], values[0], &difference)) return false;
        if (difference == 0) continue;
        uint64_t d = magnitude(difference), quotient;
        if (divisor.g == 0) {
            divisor_set(&divisor, d);
        } else if (!divisor_divides(&divisor, d, &quotient)) {
            divisor_set(&divisor, greatest_common_divisor(d, divisor.g));
        }
        if (divisor.g == 1) return false;
    }
    *ret_divisor = divisor;
    *ret_moved_count = moved;
    return divisor.g > 1;
}

static void
divisor_divide(const struct divisor *divisor, const int64_t *values, uint32_t count, int64_t *to)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t difference = (uint64_t)values[i] - (uint64_t)values[0];
        uint64_t quotient;
        (void)divisor_divides(divisor, magnitude((int64_t)difference), &quotient);
        to[i] = (int64_t)((int64_t)difference < 0 ? 0 - quotient : quotient);
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Packs the low w bits of each number, lowest first; returns the end. Writes up to 7 bytes more. */
static uint8_t *
int_pack(uint8_t *out, const uint64_t *u, uint32_t count, unsigned w)
{
    if (w == 0) return out;
    if (w == 64) {
        memcpy(out, u, count * sizeof *u);
        return out + count * sizeof *u;
    }
    uint64_t mask = (UINT64_C(1) << w) - 1;
    uint64_t word = 0;
    unsigned fill = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t v = u[i] & mask;
        word |= v << fill;
        fill += w;
        if (fill < 64) continue;
        store_le64(out, word);
        out += 8;
        fill -= 64;
        word = v >> (w - fill);
    }
    store_le64(out, word);
    return out + (fill + 7) / 8;
}

/* Writes the bits above w of the exceptions: packed, or as varints if these are clearly shorter. */
static uint8_t *
write_exceptions(uint8_t *out, uint8_t *ret_h, const uint64_t *positions, const uint64_t *above,
                 uint32_t count)
{
    uint64_t all = 0;
    size_t varint_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        all |= above[i];
        varint_bytes += varint_size(above[i]);
    }
    unsigned h = codec_bit_length(all);
    size_t packed_bytes = ((size_t)count * h + 7) / 8;
    out = int_pack(out, positions, count, 7);
    if (varint_bytes + 2 + count / 8 >= packed_bytes) {
        *ret_h = (uint8_t)h;
        return int_pack(out, above, count, h);
    }
    *ret_h = 128;
    for (uint32_t i = 0; i < count; i++) {
        out += varint_put(out, above[i]);
    }
    return out;
}

static uint8_t *
write_frame(uint8_t *out, const int64_t *x, uint32_t count, const struct int_choice *plan,
            bool only)
{
    uint64_t u[CODEC_FRAME];
    for (uint32_t i = 0; i < count; i++) {
        u[i] = int_fold(x[i], plan->zigzag, plan->base);
    }
    struct width width = plan->width;
    if (!only) {
        struct lengths lengths;
        lengths_count_based(&lengths, (const int64_t *)u, count, 0);
        width = lengths_choose_width(&lengths, count, 1);
    }
    *out++ = (uint8_t)(width.bits | (width.exception_count > 0 ? 128 : 0));
    if (width.exception_count == 0) return int_pack(out, u, count, width.bits);

    uint64_t positions[CODEC_FRAME], above[CODEC_FRAME];
    uint32_t exceptions = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t high = u[i] >> width.bits;
        positions[exceptions] = i;
        above[exceptions] = high - 1;
        exceptions += high != 0;
    }
    *out++ = (uint8_t)(exceptions - 1);
    uint8_t *h = out++;
    out = int_pack(out, u, count, width.bits);
    return write_exceptions(out, h, positions, above, exceptions);
}

static uint8_t *
write_planned(uint8_t *out, const int64_t *values, uint32_t count, const struct int_choice *plan,
              int64_t *x)
{
    *out++ = (uint8_t)((unsigned)plan->mode | (plan->zigzag ? CODEC_ZIGZAG : 0) |
                       (plan->all_zero ? CODEC_ALL_ZERO : 0));
    if (!plan->zigzag) out += varint_put(out, zigzag(plan->base));
    if (plan->mode != CODEC_PLAIN) out += varint_put(out, zigzag(values[0]));
    if (plan->mode == CODEC_DELTA2) {
        uint64_t delta = (uint64_t)values[1] - (uint64_t)values[0];
        out += varint_put(out, zigzag((int64_t)delta));
    }
    if (plan->mode == CODEC_LINE) out += varint_put(out, zigzag(plan->step));
    if (plan->all_zero) return out;

    uint32_t left = differences(values, count, plan->mode, plan->step, x);
    assert(left == count - lead_count(plan->mode));
    for (uint32_t at = 0; at < left; at += CODEC_FRAME) {
        uint32_t size = left - at < CODEC_FRAME ? left - at : CODEC_FRAME;
        uint8_t *end = write_frame(out, x + at, size, plan, left <= CODEC_FRAME);
        assert(end - out <= CODEC_FRAME_BYTES_MAX);
        out = end;
    }
    return out;
}

size_t
codec_int_write(struct codec_scratch *scratch, const int64_t *values, uint32_t count,
                bool ascending, uint8_t *out)
{
    assert(count > 0 && count <= CODEC_SAMPLES_MAX);
    int64_t *quotient = scratch->quotient;
    struct divisor divisor = {0};
    struct int_choice divided = {.cost_bits = UINT64_MAX}, plain = {.cost_bits = UINT64_MAX};
    uint32_t moved_count;
    bool sure = false;
    if (divisor_find(values, count, &divisor, &moved_count)) {
        uint64_t head_bits = 8 + 8 * varint_size(divisor.g) + zigzag_cost_bits(values[0]);
        divisor_divide(&divisor, values, count, quotient);
        divided = plan_stream(quotient, count, ascending, scratch->x);
        divided.cost_bits += head_bits;
        /* Each move is shorter by the divisor's length: only few moves leave this in doubt. */
        sure = (uint64_t)moved_count * (codec_bit_length(divisor.g) - 1) > 2 * head_bits;
    }
    if (!sure) plain = plan_stream(values, count, ascending, scratch->x);
    if (plain.cost_bits <= divided.cost_bits) {
        return (size_t)(write_planned(out, values, count, &plain, scratch->x) - out);
    }
    uint8_t *at = out;
    *at++ = CODEC_DIVIDED;
    at += varint_put(at, divisor.g);
    at += varint_put(at, zigzag(values[0]));
    return (size_t)(write_planned(at, quotient, count, &divided, scratch->x) - out);
}
