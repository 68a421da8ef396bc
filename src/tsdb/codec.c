/*
 * codec.c - the codec's scratch memory, timestamps and integer columns, and what is done to single
 * values: their decimal view, and statistics of a block.
 */
#include "tsdb/codec.h"

#include <assert.h>

#include "tsdb/codec_int.h"

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

enum err
codec_times_decode(struct bytes encoded, uint32_t count, int64_t *ret_times_ms)
{
    struct cursor cursor = cursor_of(encoded);
    enum err e = codec_int_decode(&cursor, count, ret_times_ms);
    if (e == OK && cursor_left(&cursor) > 0) e = ERR_CORRUPT;
    return e;
}

/* --- single values ---------------------------------------------------------------------------- */

enum { DECIMAL_E_MAX = 11 };

#define DECIMAL_K_MAX 0x1p53
#define DECIMAL_K_END (INT64_C(1) << 53)
#define NAN_BITS      0x7ff8000000000000u

#define NEAR_MAX 0x1p51

static inline bool
is_decimal(uint64_t bits, unsigned e, int64_t k)
{
    return double_bits((double)k / codec_powers[e]) == bits;
}

/* Where a double has no more than one bit behind the point, the product may have been rounded to
 * the integer beside k. */
static __attribute__((noinline)) bool
decimal_near(uint64_t bits, unsigned e, double product, int64_t *ret_k)
{
    for (int64_t k = (int64_t)product - 1; k <= (int64_t)product + 1; k++) {
        if (k >= DECIMAL_K_END || k <= -DECIMAL_K_END || !is_decimal(bits, e, k)) continue;
        *ret_k = k;
        return true;
    }
    return false;
}

/*
 * The decimal of a value at one e, if there is one: the product is within 2^-52 of k, so that
 * adding a half and cutting finds it (in one conversion instruction), and the division decides.
 */
static inline bool
decimal_at(uint64_t bits, unsigned e, int64_t *ret_k)
{
    double product = bits_double(bits) * codec_powers[e];
    if (!(product < NEAR_MAX && product > -NEAR_MAX)) {
        if (!(product < DECIMAL_K_MAX && product > -DECIMAL_K_MAX)) return false;
        return decimal_near(bits, e, product, ret_k);
    }
    int64_t k = (int64_t)(product + __builtin_copysign(0.5, product));
    *ret_k = k;
    return is_decimal(bits, e, k);
}

static inline bool
decimal_whole(uint64_t bits, int64_t *ret_k)
{
    double v = bits_double(bits);
    if (!(v < DECIMAL_K_MAX && v > -DECIMAL_K_MAX)) return false;
    int64_t k = (int64_t)v;
    *ret_k = k;
    return double_bits((double)k) == bits;
}

/*
 * What survives at e survives at e + 1 too as long as k stays in range: k * 10 / 10^(e + 1) is the
 * same fraction, rounded once. So after a failure in range only greater e are left to try.
 */
static bool
decimal_search(uint64_t bits, unsigned hint, unsigned *ret_e, int64_t *ret_k)
{
    unsigned from = 0;
    double product = bits_double(bits) * codec_powers[hint];
    if (product < DECIMAL_K_MAX && product > -DECIMAL_K_MAX) from = hint + 1;
    for (unsigned e = from; e <= DECIMAL_E_MAX; e++) {
        if (e == 0 ? !decimal_whole(bits, ret_k) : !decimal_at(bits, e, ret_k)) continue;
        *ret_e = e;
        return true;
    }
    return false;
}

bool
codec_decimal(uint64_t bits, unsigned hint, unsigned *ret_e, int64_t *ret_k)
{
    assert(hint <= DECIMAL_E_MAX);
    int64_t k;
    if (hint == 0 ? decimal_whole(bits, &k) : decimal_at(bits, hint, &k)) {
        *ret_e = hint;
        *ret_k = k;
        return true;
    }
    unsigned e;
    if (!decimal_search(bits, hint, &e, &k)) return false;
    *ret_e = e;
    *ret_k = k;
    return true;
}

uint64_t
codec_decimal_bits(unsigned e, int64_t k)
{
    assert(e <= DECIMAL_E_MAX);
    return double_bits(e == 0 ? (double)k : (double)k / codec_powers[e]);
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
    *ret_stats = stats;
}
