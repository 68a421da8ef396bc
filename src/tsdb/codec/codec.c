/*
 * codec.c - the codec's scratch memory, timestamps and integer columns, the decimal form of values,
 * and statistics of a block.
 */
#include "tsdb/codec/codec.h"

#include <assert.h>

#include "tsdb/codec/codec_private.h"

enum err
codec_scratch_new(struct budget *budget, struct codec_scratch **ret_scratch)
{
    struct codec_scratch *scratch = mem_alloc(budget, sizeof *scratch);
    if (scratch == NULL) return ERR_NOMEM;
    scratch->budget = budget;
    *ret_scratch = scratch;
    return OK;
}

void
codec_scratch_free(struct codec_scratch *scratch)
{
    if (scratch != NULL) mem_free(scratch->budget, scratch, sizeof *scratch);
}

void
codec_int_encode(struct codec_scratch *scratch, const int64_t *values, uint32_t count,
                 struct buf *out)
{
    buf_put(out, scratch->out, codec_int_write(scratch, values, count, false, scratch->out));
}

void
codec_times_encode(struct codec_scratch *scratch, const int64_t *times_ms, uint32_t count,
                   struct buf *out)
{
    buf_put(out, scratch->out, codec_int_write(scratch, times_ms, count, true, scratch->out));
}

enum err
codec_int_decode(struct cursor *cursor, uint32_t count, int64_t *ret_values)
{
    if (count == 0 || count > CODEC_SAMPLES_MAX) return ERR_CORRUPT;
    uint64_t lead[2];
    uint64_t *to = (uint64_t *)ret_values;
    struct codec_int_reader reader;
    uint32_t got;
    enum err e = codec_int_head(&reader, cursor, count, lead, &got);
    if (e) return e;
    memcpy(to, lead, got * sizeof *to);
    to += got;
    while (reader.left > 0) {
        e = codec_int_frame(&reader, to, &got);
        if (e) return e;
        to += got;
    }
    return OK;
}

/* --- single values ---------------------------------------------------------------------------- */

enum { DECIMAL_E_MAX = 11 };

#define DECIMAL_K_MAX 0x1p53
#define DECIMAL_K_END (INT64_C(1) << 53)
#define NEAR_MAX      0x1p51 /* nearest() is exact below: two bits follow the point */
#define NAN_BITS      0x7ff8000000000000u

static inline bool
is_in(double v, double limit)
{
    return v < limit && v > -limit;
}

static inline bool
is_decimal(uint64_t bits, unsigned e, int64_t k)
{
    return double_bits((double)k / codec_powers[e]) == bits;
}

/* The integer nearest to a product below NEAR_MAX: compiles to one conversion. */
static inline int64_t
nearest(double product)
{
    return (int64_t)(product + __builtin_copysign(0.5, product));
}

/* The product is within 2^-52 of k. If a double has at most one bit after the point, it may have
 * been rounded to the integer next to k. */
static bool
decimal_at(uint64_t bits, unsigned e, int64_t *ret_k)
{
    double product = bits_double(bits) * codec_powers[e];
    if (!is_in(product, DECIMAL_K_MAX)) return false;
    if (is_in(product, NEAR_MAX)) {
        *ret_k = nearest(product);
        return is_decimal(bits, e, *ret_k);
    }
    for (int64_t k = (int64_t)product - 1; k <= (int64_t)product + 1; k++) {
        if (k >= DECIMAL_K_END || k <= -DECIMAL_K_END || !is_decimal(bits, e, k)) continue;
        *ret_k = k;
        return true;
    }
    return false;
}

/* True for most products that are not near an integer, without a division. */
static inline bool
is_far_from_whole(double product)
{
    const double rounder = 0x1.8p52;
    double rest = product - ((product + rounder) - rounder);
    return rest * rest > product * product * 0x1p-102;
}

/* A value that survives at e survives at e + 1 too while k stays in range: k * 10 / 10^(e + 1) is
 * the same fraction, rounded once. So after a failure in range only greater e remain to try. */
static __attribute__((noinline)) bool
decimal_search(uint64_t bits, unsigned hint, unsigned *ret_e, int64_t *ret_k)
{
    double v = bits_double(bits);
    double product = v * codec_powers[hint];
    for (unsigned e = is_in(product, DECIMAL_K_MAX) ? hint : 0; e <= DECIMAL_E_MAX; e++) {
        int64_t k;
        if (is_far_from_whole(v * codec_powers[e]) || !decimal_at(bits, e, &k)) continue;
        *ret_e = e;
        *ret_k = k;
        return true;
    }
    return false;
}

/* Costs a multiplication and a division with a good hint; neither with hint 0 and an integer. */
bool
codec_decimal(uint64_t bits, unsigned hint, unsigned *ret_e, int64_t *ret_k)
{
    assert(hint <= DECIMAL_E_MAX);
    double product = bits_double(bits);
    if (hint > 0) product *= codec_powers[hint];
    if (is_in(product, NEAR_MAX)) {
        int64_t k = hint > 0 ? nearest(product) : (int64_t)product;
        double back = (double)k;
        if (hint > 0) back /= codec_powers[hint];
        if (double_bits(back) == bits) {
            *ret_e = hint;
            *ret_k = k;
            return true;
        }
    }
    return decimal_search(bits, hint, ret_e, ret_k);
}

uint64_t
codec_decimal_bits(unsigned e, int64_t k)
{
    assert(e < sizeof codec_powers / sizeof codec_powers[0]);
    return double_bits(e == 0 ? (double)k : (double)k / codec_powers[e]);
}

bool
codec_scale(double v, unsigned e, int64_t *ret_k)
{
    double product = v * codec_powers[e];
    if (!is_in(product, DECIMAL_K_MAX)) return false;
    *ret_k = nearest(product);
    return true;
}

typedef double pair __attribute__((vector_size(16)));
typedef uint64_t pair_bits __attribute__((vector_size(16)));

struct stats_lane {
    pair min, max, sum;
    pair_bits numbers;
};

static inline void
stats_take(struct stats_lane *lane, const uint64_t *bits)
{
    pair v;
    memcpy(&v, bits, sizeof v);
    pair_bits is_less = v<lane->min, is_more = v> lane->max, is_number = v == v;
    lane->min = (pair)(((pair_bits)v & is_less) | ((pair_bits)lane->min & ~is_less));
    lane->max = (pair)(((pair_bits)v & is_more) | ((pair_bits)lane->max & ~is_more));
    lane->sum += (pair)((pair_bits)v & is_number);
    lane->numbers -= is_number;
}

/* For at least one value, none of them NaN. */
static void
stats_ends(const uint64_t *bits, uint32_t count, struct codec_stats *stats)
{
    pair_bits resets = {0, 0};
    uint32_t i = 1;
    for (; i + 2 <= count; i += 2) {
        pair before, v;
        memcpy(&before, bits + i - 1, sizeof before);
        memcpy(&v, bits + i, sizeof v);
        resets -= (pair_bits)(v < before);
    }
    stats->first = bits_double(bits[0]);
    stats->last = bits_double(bits[count - 1]);
    stats->reset_count = (uint32_t)(resets[0] + resets[1]);
    if (i < count && stats->last < bits_double(bits[i - 1])) stats->reset_count++;
}

/* For values of which some are NaN. */
static void
stats_ends_among(const uint64_t *bits, uint32_t count, struct codec_stats *stats)
{
    bool any = false;
    stats->first = stats->min;
    stats->last = stats->max;
    for (uint32_t i = 0; i < count; i++) {
        double v = bits_double(bits[i]);
        if (v != v) continue;
        if (!any) stats->first = v;
        stats->reset_count += any && v < stats->last;
        stats->last = v;
        any = true;
    }
}

/* Comparisons with NaN are false, so that a NaN changes neither least nor greatest. */
void
codec_float_stats(const uint64_t *bits, uint32_t count, struct codec_stats *ret_stats)
{
    const double inf = __builtin_inf();
    const struct stats_lane none = {.min = {inf, inf}, .max = {-inf, -inf}};
    struct stats_lane lanes[2] = {none, none};
    uint32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        stats_take(&lanes[0], bits + i);
        stats_take(&lanes[1], bits + i + 2);
    }
    for (; i < count; i++) {
        uint64_t rest[2] = {bits[i], NAN_BITS};
        stats_take(&lanes[0], rest);
    }
    struct codec_stats stats = {.min = inf, .max = -inf};
    for (unsigned lane = 0; lane < 4; lane++) {
        const struct stats_lane *from = &lanes[lane / 2];
        double min = from->min[lane % 2], max = from->max[lane % 2];
        stats.min = min < stats.min ? min : stats.min;
        stats.max = max > stats.max ? max : stats.max;
        stats.sum += from->sum[lane % 2];
        stats.number_count += (uint32_t)from->numbers[lane % 2];
    }
    if (stats.number_count == count && count > 0)
        stats_ends(bits, count, &stats);
    else
        stats_ends_among(bits, count, &stats);
    *ret_stats = stats;
}
