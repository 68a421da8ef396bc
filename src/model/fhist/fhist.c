/*
 * fhist.c - making, copying, storing and printing histograms.
 *
 * A histogram that is read only lies in one piece of memory: the struct, bounds, counts, indexes.
 * One that changes (fhist_begin()) has arrays in an arena, with room for more buckets.
 *
 * Invariants:
 *
 *  1. Indexes of a side ascend. Those of a stored histogram come from spans that histogram_check()
 *     has passed.
 *  2. A side has room for its buckets: count <= capacity.
 *  3. Both sides keep what rounding loses, or neither does.
 */
#include "model/fhist/fhist.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <pthread.h>

#include "wire/number.h"

/* --- bounds ----------------------------------------------------------------------------------- */

enum { FRACTIONS = 1 << HISTOGRAM_SCHEMA_MAX };

/*
 * The difference, in units of 2^-53, between 2^(i/256) / 2, rounded, and the bound of Prometheus,
 * whose table was made by multiplying. Each digit is one difference; '/' is -1. A bound with
 * another last bit would be another label `le`. Measured on Prometheus 3.5.3.
 */
static const char less_by[] = "00000010001000000012001111111111001000100111001100110/1100110011"
                              "0000001111221021001000100001000000010/00102200110111001010221111"
                              "1010112211211011111111212122212200110010112210221122101121221121"
                              "1132112122322232222222333344324311211222213311222132112222432233";

/* 2^(i/256) / 2; coarser schemas use each second, fourth, ... */
static double fractions[FRACTIONS];
static pthread_once_t fractions_once = PTHREAD_ONCE_INIT;

static void
fill_fractions(void)
{
    for (int i = 0; i < FRACTIONS; i++) {
        double near = (double)(exp2l((long double)i / FRACTIONS) / 2);
        fractions[i] = near - (less_by[i] - '0') * 0x1p-53;
    }
}

double
exponential_bound(int32_t schema, int64_t index)
{
    if (schema < 0) {
        int64_t exponent = index * (1 << -schema);
        if (exponent == 1024) return DBL_MAX; /* the last bucket with a finite bound */
        return ldexp(1, (int)(exponent > 5000 ? 5000 : exponent < -5000 ? -5000 : exponent));
    }
    pthread_once(&fractions_once, fill_fractions);
    int64_t in_one = index & ((INT64_C(1) << schema) - 1);
    int64_t exponent = (index >> schema) + 1;
    if (in_one == 0 && exponent == 1025) return DBL_MAX;
    double fraction = fractions[in_one << (HISTOGRAM_SCHEMA_MAX - schema)];
    if (exponent > -1000 && exponent < 1000)
        return fraction * bits_double((uint64_t)(exponent + 1023) << 52);
    return ldexp(fraction, (int)(exponent > 5000 ? 5000 : exponent < -5000 ? -5000 : exponent));
}

static double
bound(const struct fhist *h, int64_t index)
{
    if (!fhist_is_custom(h)) return exponential_bound(h->schema, index);
    if (index < 0) return -INFINITY;
    return index < h->bound_count ? h->bounds[index] : INFINITY;
}

/* --- one piece of memory ---------------------------------------------------------------------- */

static size_t
bytes_for(uint32_t buckets, uint32_t bounds)
{
    size_t indexes = ((size_t)buckets * sizeof(int32_t) + 7) / 8 * 8;
    return sizeof(struct fhist) + ((size_t)buckets + bounds) * sizeof(double) + indexes;
}

static void
place_side(struct fhist_side *side, uint32_t count, double **doubles, int32_t **indexes)
{
    side->counts = *doubles;
    side->indexes = *indexes;
    side->count = side->capacity = count;
    *doubles += count;
    *indexes += count;
}

/* Lays the arrays out after the struct: bounds, counts, indexes. */
static struct fhist *
fhist_place(void *memory, uint32_t positive, uint32_t negative, uint32_t bounds,
            double **ret_bounds)
{
    struct fhist *h = memory;
    assert((uintptr_t)memory % _Alignof(struct fhist) == 0);
    *h = (struct fhist){.bound_count = bounds};
    double *doubles = (double *)(h + 1);
    *ret_bounds = doubles;
    h->bounds = doubles;
    doubles += bounds;
    int32_t *indexes = (int32_t *)(doubles + positive + negative);
    place_side(&h->positive, positive, &doubles, &indexes);
    place_side(&h->negative, negative, &doubles, &indexes);
    return h;
}

size_t
fhist_bytes_of(const struct histogram *h)
{
    return bytes_for(h->positive.bucket_count + h->negative.bucket_count, h->custom_count);
}

size_t
fhist_bytes(const struct fhist *h)
{
    return bytes_for(h->positive.count + h->negative.count, h->bound_count);
}

static void
fill_side(struct fhist_side *side, const struct hist_buckets *from)
{
    int64_t index = 0, absolute = 0;
    uint32_t at = 0;
    for (uint32_t s = 0; s < from->span_count; s++) {
        index += from->spans[s].offset;
        for (uint32_t i = 0; i < from->spans[s].length; i++, index++, at++) {
            side->indexes[at] = (int32_t)index;
            if (from->deltas == NULL) {
                side->counts[at] = bits_double(from->counts[at]);
            } else {
                absolute += from->deltas[at];
                side->counts[at] = (double)absolute;
            }
        }
    }
    assert(at == side->count); /* spans are as long as there are buckets */
}

struct fhist *
fhist_of(void *memory, const struct histogram *from)
{
    bool is_int = from->kind == SAMPLE_HISTOGRAM_INT;
    double *bounds;
    struct fhist *h = fhist_place(memory, from->positive.bucket_count, from->negative.bucket_count,
                                  from->custom_count, &bounds);
    h->hint = from->reset_hint == RESET_GAUGE ? RESET_GAUGE : RESET_UNKNOWN;
    h->schema = from->schema;
    h->zero_threshold = bits_double(from->zero_threshold_bits);
    h->zero_count = is_int ? (double)from->zero_count : bits_double(from->zero_count);
    h->count = is_int ? (double)from->count : bits_double(from->count);
    h->sum = bits_double(from->sum_bits);
    fill_side(&h->positive, &from->positive);
    fill_side(&h->negative, &from->negative);
    for (uint32_t i = 0; i < from->custom_count; i++)
        bounds[i] = bits_double(from->custom_bits[i]);
    /* Prometheus counts a struct, 8 bytes for each span, count and bound, and a time; a float has
     * 16 bytes. */
    h->weight =
        (168 + 8 +
         8 * (from->positive.span_count + from->negative.span_count + from->positive.bucket_count +
              from->negative.bucket_count + from->custom_count)) /
        16;
    return h;
}

static enum err
store_side(struct arena *arena, const struct fhist_side *side, struct hist_buckets *to)
{
    *to = (struct hist_buckets){.bucket_count = side->count};
    if (side->count == 0) return OK;
    struct hist_span *spans = arena_alloc(arena, side->count * sizeof *spans);
    uint64_t *counts = arena_alloc(arena, side->count * sizeof *counts);
    if (spans == NULL || counts == NULL) return ERR_NOMEM;
    int64_t end = 0; /* index after the last span */
    for (uint32_t i = 0; i < side->count; i++) {
        if (i == 0 || side->indexes[i] != end)
            spans[to->span_count++] = (struct hist_span){(int32_t)(side->indexes[i] - end), 0};
        spans[to->span_count - 1].length++;
        end = (int64_t)side->indexes[i] + 1;
        counts[i] = double_bits(side->counts[i]);
    }
    assert(to->span_count <= side->count);
    to->spans = spans;
    to->counts = counts;
    return OK;
}

enum err
fhist_stored(struct arena *arena, const struct fhist *h, struct histogram *ret)
{
    *ret = (struct histogram){
        .kind = SAMPLE_HISTOGRAM_FLOAT,
        .reset_hint = h->hint,
        .schema = h->schema,
        .zero_threshold_bits = double_bits(h->zero_threshold),
        .sum_bits = double_bits(h->sum),
        .count = double_bits(h->count),
        .zero_count = double_bits(h->zero_count),
        .custom_count = h->bound_count,
    };
    enum err e = store_side(arena, &h->positive, &ret->positive);
    if (e == OK) e = store_side(arena, &h->negative, &ret->negative);
    if (e || h->bound_count == 0) return e;
    uint64_t *bounds = arena_alloc(arena, h->bound_count * sizeof *bounds);
    if (bounds == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < h->bound_count; i++)
        bounds[i] = double_bits(h->bounds[i]);
    ret->custom_bits = bounds;
    return OK;
}

static void
copy_side(struct fhist_side *to, const struct fhist_side *from)
{
    assert(to->count == from->count);
    if (from->count == 0) return;
    memcpy(to->indexes, from->indexes, from->count * sizeof *to->indexes);
    memcpy(to->counts, from->counts, from->count * sizeof *to->counts);
}

struct fhist *
fhist_copy(void *memory, const struct fhist *from)
{
    double *bounds;
    struct fhist *h =
        fhist_place(memory, from->positive.count, from->negative.count, from->bound_count, &bounds);
    struct fhist_side positive = h->positive, negative = h->negative;
    copy_side(&positive, &from->positive);
    copy_side(&negative, &from->negative);
    if (from->bound_count > 0) memcpy(bounds, from->bounds, from->bound_count * sizeof *bounds);
    *h = *from;
    h->positive = positive;
    h->negative = negative;
    h->bounds = bounds;
    h->zero_lost = h->count_lost = h->sum_lost = 0;
    return h;
}

/* --- buckets ---------------------------------------------------------------------------------- */

uint32_t
fhist_bucket_count(const struct fhist *h)
{
    return h->negative.count + h->positive.count + (h->zero_count > 0);
}

struct fhist_bucket
fhist_side_bucket(const struct fhist *h, bool positive, uint32_t i)
{
    const struct fhist_side *s = positive ? &h->positive : &h->negative;
    assert(i < s->count);
    int64_t index = s->indexes[i];
    double near = bound(h, index - 1), far = bound(h, index), count = s->counts[i];
    if (!positive) return (struct fhist_bucket){-far, -near, count, true, false};
    return (struct fhist_bucket){near, far, count, fhist_is_custom(h) && index == 0, true};
}

struct fhist_bucket
fhist_bucket(const struct fhist *h, uint32_t i)
{
    double zero = h->zero_threshold;
    if (i < h->negative.count) {
        struct fhist_bucket b = fhist_side_bucket(h, false, h->negative.count - 1 - i);
        if (b.upper > -zero) b.upper = -zero;
        return b;
    }
    i -= h->negative.count;
    if (h->zero_count > 0 && i == 0)
        return (struct fhist_bucket){-zero, zero, h->zero_count, true, true};
    struct fhist_bucket b = fhist_side_bucket(h, true, i - (h->zero_count > 0));
    if (!fhist_is_custom(h) && b.lower < zero) b.lower = zero;
    return b;
}

/* --- comparing -------------------------------------------------------------------------------- */

static bool
same_bits(double a, double b)
{
    return double_bits(a) == double_bits(b);
}

static bool
sides_equal(const struct fhist_side *a, const struct fhist_side *b)
{
    if (a->count != b->count) return false;
    if (a->count == 0) return true;
    return memcmp(a->indexes, b->indexes, a->count * sizeof *a->indexes) == 0 &&
           memcmp(a->counts, b->counts, a->count * sizeof *a->counts) == 0;
}

bool
fhist_same_bounds(const struct fhist *a, const struct fhist *b)
{
    if (a->bound_count != b->bound_count) return false;
    for (uint32_t i = 0; i < a->bound_count; i++)
        if (a->bounds[i] != b->bounds[i]) return false;
    return true;
}

bool
fhist_equal(const struct fhist *a, const struct fhist *b)
{
    return a->schema == b->schema && same_bits(a->count, b->count) && same_bits(a->sum, b->sum) &&
           a->zero_threshold == b->zero_threshold && same_bits(a->zero_count, b->zero_count) &&
           fhist_same_bounds(a, b) && sides_equal(&a->positive, &b->positive) &&
           sides_equal(&a->negative, &b->negative);
}

/* --- invariants ------------------------------------------------------------------------------- */

static void
validate_side(const struct fhist_side *s)
{
    assert(s->count <= s->capacity); /* invariant 2 */
    for (uint32_t i = 1; i < s->count; i++)
        assert(s->indexes[i - 1] < s->indexes[i]); /* invariant 1 */
}

void
fhist_validate(const struct fhist *h)
{
    validate_side(&h->positive);
    validate_side(&h->negative);
    assert((h->positive.lost == NULL) == (h->negative.lost == NULL)); /* invariant 3 */
    assert(h->bound_count == 0 || fhist_is_custom(h));
}

/* --- a text ----------------------------------------------------------------------------------- */

static void
fhist_put_number(struct buf *to, double value)
{
    char text[NUMBER_TEXT_BYTES];
    buf_put(to, text, number_print_sentence(double_bits(value), text));
}

static void
put_bucket_text(struct fhist_bucket b, struct buf *to)
{
    if (b.count == 0) return;
    buf_put_text(to, b.has_lower ? ", [" : ", (");
    fhist_put_number(to, b.lower);
    buf_put_u8(to, ',');
    fhist_put_number(to, b.upper);
    buf_put_text(to, b.has_upper ? "]:" : "):");
    fhist_put_number(to, b.count);
}

void
fhist_print(const struct fhist *h, struct buf *to)
{
    double zero = h->zero_threshold;
    buf_put_text(to, "{count:");
    fhist_put_number(to, h->count);
    buf_put_text(to, ", sum:");
    fhist_put_number(to, h->sum);
    for (uint32_t i = h->negative.count; i-- > 0;)
        put_bucket_text(fhist_side_bucket(h, false, i), to);
    put_bucket_text((struct fhist_bucket){-zero, zero, h->zero_count, true, true}, to);
    for (uint32_t i = 0; i < h->positive.count; i++)
        put_bucket_text(fhist_side_bucket(h, true, i), to);
    buf_put_u8(to, '}');
}
