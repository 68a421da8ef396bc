/*
 * histogram.c - see histogram.h for the rules and docs/format/histogram.md for the byte form.
 *
 * The rules are those of a current Prometheus, and three of our own that keep a reader's arithmetic
 * inside its types: bucket indexes stay in int32, counts in int64, arrays within a limit. The
 * limits of a side are checked while its spans and buckets are walked once.
 */
#include "model/histogram.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

#include "base/hash/hash.h"

/* The first byte of the byte form. */
enum {
    FLAG_FLOAT = 1,
    FLAG_HINT_SHIFT = 1,
    FLAG_HINT_MASK = 3 << FLAG_HINT_SHIFT,
    FLAG_NEGATIVE = 8,
    FLAG_CUSTOM = 16,
    FLAG_ALL = 31
};

static bool
is_float(const struct histogram *h)
{
    return h->kind == SAMPLE_HISTOGRAM_FLOAT;
}

/* Compares bits, but 0 equals -0. */
static bool
same_number(uint64_t a, uint64_t b)
{
    return a == b || ((a | b) << 1) == 0;
}

/* --- check ------------------------------------------------------------------------------------ */

static enum err
check_spans(const struct hist_buckets *side, const char *name, int64_t *ret_end, struct why *why)
{
    if (side->span_count > HISTOGRAM_BUCKETS_MAX || side->bucket_count > HISTOGRAM_BUCKETS_MAX) {
        return why_set(why, ERR_INPUT, "%s side: more than %d spans or buckets", name,
                       HISTOGRAM_BUCKETS_MAX);
    }
    int64_t index = 0; /* index of the bucket after the last span */
    uint64_t needed = 0;
    for (uint32_t i = 0; i < side->span_count; i++) {
        const struct hist_span *span = &side->spans[i];
        if (i > 0 && span->offset < 0) {
            return why_set(why, ERR_INPUT, "%s side: span %" PRIu32 " has a negative offset: %d",
                           name, i + 1, span->offset);
        }
        index += (int64_t)span->offset + span->length;
        needed += span->length;
        if (index > (int64_t)INT32_MAX + 1) {
            return why_set(why, ERR_INPUT, "%s side: span %" PRIu32 " ends beyond bucket %d", name,
                           i + 1, INT32_MAX);
        }
    }
    if (needed != side->bucket_count) {
        return why_set(why, ERR_INPUT,
                       "%s side: expected %" PRIu64 " buckets for its spans, got %" PRIu32, name,
                       needed, side->bucket_count);
    }
    *ret_end = index;
    return OK;
}

/* Adds the side's counts to *total. */
static enum err
check_deltas(const struct hist_buckets *side, const char *name, uint64_t *total, struct why *why)
{
    if (side->bucket_count > 0 && side->deltas == NULL)
        return why_set(why, ERR_INPUT, "%s side: missing deltas of an integer histogram", name);
    int64_t count = 0;
    for (uint32_t i = 0; i < side->bucket_count; i++) {
        if (__builtin_add_overflow(count, side->deltas[i], &count)) {
            return why_set(why, ERR_INPUT, "%s side: the count of bucket %" PRIu32 " overflows",
                           name, i + 1);
        }
        if (count < 0) {
            return why_set(why, ERR_INPUT,
                           "%s side: bucket %" PRIu32 " has a negative count: %" PRId64, name,
                           i + 1, count);
        }
        if (__builtin_add_overflow(*total, (uint64_t)count, total))
            return why_set(why, ERR_INPUT, "%s side: the sum of all counts overflows", name);
    }
    return OK;
}

static enum err
check_float_counts(const struct hist_buckets *side, const char *name, struct why *why)
{
    if (side->bucket_count > 0 && side->counts == NULL)
        return why_set(why, ERR_INPUT, "%s side: missing counts of a float histogram", name);
    for (uint32_t i = 0; i < side->bucket_count; i++) {
        double count = bits_double(side->counts[i]);
        if (count < 0) {
            return why_set(why, ERR_INPUT, "%s side: bucket %" PRIu32 " has a negative count: %g",
                           name, i + 1, count);
        }
    }
    return OK;
}

static enum err
check_integer(const struct histogram *h, struct why *why)
{
    uint64_t total = h->zero_count;
    enum err e = check_deltas(&h->positive, "positive", &total, why);
    if (e) return e;
    e = check_deltas(&h->negative, "negative", &total, why);
    if (e) return e;
    /* An observed NaN is counted, makes the sum NaN, and is in no bucket. */
    bool nan_seen = isnan(bits_double(h->sum_bits));
    if (total > h->count || (total < h->count && !nan_seen)) {
        return why_set(why, ERR_INPUT,
                       "buckets hold %" PRIu64 " observations, but the count is %" PRIu64, total,
                       h->count);
    }
    return OK;
}

static enum err
check_float(const struct histogram *h, struct why *why)
{
    double count = bits_double(h->count), zero_count = bits_double(h->zero_count);
    if (count < 0) return why_set(why, ERR_INPUT, "the count %g is negative", count);
    if (zero_count < 0)
        return why_set(why, ERR_INPUT, "the count %g of the zero bucket is negative", zero_count);
    enum err e = check_float_counts(&h->positive, "positive", why);
    return e ? e : check_float_counts(&h->negative, "negative", why);
}

/* `end` is the bucket after the last span of the positive side. */
static enum err
check_custom(const struct histogram *h, int64_t end, struct why *why)
{
    if (h->custom_count > HISTOGRAM_BUCKETS_MAX) {
        return why_set(why, ERR_INPUT, "custom buckets: more than %d bounds",
                       HISTOGRAM_BUCKETS_MAX);
    }
    for (uint32_t i = 0; i < h->custom_count; i++) {
        double bound = bits_double(h->custom_bits[i]);
        if (isnan(bound)) return why_set(why, ERR_INPUT, "custom buckets: a bound is NaN");
        if (bound == INFINITY) {
            return why_set(why, ERR_INPUT,
                           "custom buckets: the bound +Inf is implied and must not be listed");
        }
        if (i > 0 && bound <= bits_double(h->custom_bits[i - 1])) {
            return why_set(
                why, ERR_INPUT,
                "custom buckets: bound %" PRIu32 " is not greater than the bound before it", i + 1);
        }
    }
    if (h->negative.span_count > 0 || h->negative.bucket_count > 0)
        return why_set(why, ERR_INPUT, "custom buckets: negative buckets are not allowed");
    bool empty = is_float(h) ? same_number(h->zero_count, 0) : h->zero_count == 0;
    if (!empty || !same_number(h->zero_threshold_bits, 0)) {
        return why_set(why, ERR_INPUT,
                       "custom buckets: the zero bucket must be empty and its threshold 0");
    }
    if (h->positive.span_count > 0 && h->positive.spans[0].offset < 0) {
        return why_set(why, ERR_INPUT, "custom buckets: the first offset %d is negative",
                       h->positive.spans[0].offset);
    }
    /* The last bucket ends at +Inf, which is not among the bounds. */
    if (end > (int64_t)h->custom_count + 1) {
        return why_set(why, ERR_INPUT,
                       "custom buckets: %" PRIu32 " bounds do not cover %" PRId64 " buckets",
                       h->custom_count, end);
    }
    return OK;
}

static enum err
check_exponential(const struct histogram *h, struct why *why)
{
    if (h->schema < HISTOGRAM_SCHEMA_MIN || h->schema > HISTOGRAM_SCHEMA_MAX)
        return why_set(why, ERR_INPUT, "unknown schema %d", h->schema);
    if (h->custom_count > 0) {
        return why_set(why, ERR_INPUT,
                       "custom bounds are not allowed with the exponential schema %d", h->schema);
    }
    double threshold = bits_double(h->zero_threshold_bits);
    if (!isfinite(threshold) || threshold < 0) {
        return why_set(why, ERR_INPUT, "the zero threshold %g is negative or not finite",
                       threshold);
    }
    return OK;
}

enum err
histogram_check_layout(const struct histogram *h, struct why *why)
{
    int64_t positive_end = 0, negative_end = 0;
    enum err e = check_spans(&h->positive, "positive", &positive_end, why);
    if (e == OK) e = check_spans(&h->negative, "negative", &negative_end, why);
    if (e) return e;
    bool custom = h->schema == HISTOGRAM_SCHEMA_CUSTOM;
    return custom ? check_custom(h, positive_end, why) : check_exponential(h, why);
}

enum err
histogram_check(const struct histogram *h, struct why *why)
{
    if (h->kind != SAMPLE_HISTOGRAM_INT && h->kind != SAMPLE_HISTOGRAM_FLOAT)
        return why_set(why, ERR_INPUT, "not a histogram");
    if ((unsigned)h->reset_hint > RESET_GAUGE)
        return why_set(why, ERR_INPUT, "unknown reset hint %d", (int)h->reset_hint);
    enum err e = histogram_check_layout(h, why);
    if (e) return e;
    return is_float(h) ? check_float(h, why) : check_integer(h, why);
}

/* --- equality --------------------------------------------------------------------------------- */

/* A walk through the non-empty buckets of one side. */
struct bucket_walk {
    const struct hist_buckets *side;
    bool floats;
    uint32_t span;    /* the current span */
    uint32_t in_span; /* buckets of it that were walked */
    uint32_t bucket;  /* all buckets that were walked */
    int64_t index;    /* index of the next bucket */
    uint64_t count;   /* count of the last bucket: an integer or the bits of a double */
};

static struct bucket_walk
bucket_walk_of(const struct hist_buckets *side, bool floats)
{
    struct bucket_walk walk = {.side = side, .floats = floats};
    if (side->span_count > 0) walk.index = side->spans[0].offset;
    return walk;
}

/* Sets *ret_index and walk->count to those of the next bucket. False after the last one. */
static bool
bucket_walk_next(struct bucket_walk *walk, int64_t *ret_index)
{
    const struct hist_buckets *side = walk->side;
    while (walk->bucket < side->bucket_count) {
        while (walk->span < side->span_count && walk->in_span == side->spans[walk->span].length) {
            walk->span++;
            walk->in_span = 0;
            if (walk->span < side->span_count) walk->index += side->spans[walk->span].offset;
        }
        if (walk->span == side->span_count) return false;
        int64_t index = walk->index++;
        walk->in_span++;
        uint32_t i = walk->bucket++;
        if (walk->floats)
            walk->count = side->counts[i];
        else
            walk->count += (uint64_t)side->deltas[i];
        if (walk->floats ? !same_number(walk->count, 0) : walk->count != 0) {
            *ret_index = index;
            return true;
        }
    }
    return false;
}

/* True for the same numbers in the same layout, as in a repeated request. */
static bool
identical_buckets(const struct hist_buckets *a, const struct hist_buckets *b, bool floats)
{
    if (a->span_count != b->span_count || a->bucket_count != b->bucket_count) return false;
    if (a->bucket_count == 0) return true;
    if (memcmp(a->spans, b->spans, a->span_count * sizeof *a->spans) != 0) return false;
    const void *of_a = floats ? (const void *)a->counts : (const void *)a->deltas;
    const void *of_b = floats ? (const void *)b->counts : (const void *)b->deltas;
    return memcmp(of_a, of_b, a->bucket_count * sizeof(uint64_t)) == 0;
}

static bool
same_buckets(const struct hist_buckets *a, const struct hist_buckets *b, bool floats)
{
    if (identical_buckets(a, b, floats)) return true;
    struct bucket_walk wa = bucket_walk_of(a, floats), wb = bucket_walk_of(b, floats);
    for (;;) {
        int64_t ia = 0, ib = 0;
        bool more_a = bucket_walk_next(&wa, &ia), more_b = bucket_walk_next(&wb, &ib);
        if (more_a != more_b) return false;
        if (!more_a) return true;
        if (ia != ib || wa.count != wb.count) return false;
    }
}

bool
histogram_equal(const struct histogram *a, const struct histogram *b)
{
    if (a->kind != b->kind || a->schema != b->schema || a->sum_bits != b->sum_bits) return false;
    if (!same_number(a->zero_threshold_bits, b->zero_threshold_bits)) return false;
    bool floats = is_float(a);
    if (floats) {
        if (!same_number(a->count, b->count)) return false;
        if (!same_number(a->zero_count, b->zero_count)) return false;
    } else if (a->count != b->count || a->zero_count != b->zero_count) {
        return false;
    }
    if (a->custom_count != b->custom_count) return false;
    for (uint32_t i = 0; i < a->custom_count; i++)
        if (!same_number(a->custom_bits[i], b->custom_bits[i])) return false;
    return same_buckets(&a->positive, &b->positive, floats) &&
           same_buckets(&a->negative, &b->negative, floats);
}

/* Returns the bits of a number, with -0 as 0. */
static uint64_t
plain_number(uint64_t bits)
{
    return same_number(bits, 0) ? 0 : bits;
}

static uint64_t
hash_side(uint64_t hash, const struct hist_buckets *side, bool floats)
{
    struct bucket_walk walk = bucket_walk_of(side, floats);
    for (int64_t index; bucket_walk_next(&walk, &index);)
        hash = hash_mix(hash ^ (uint64_t)index, walk.count);
    return hash;
}

uint64_t
histogram_hash(const struct histogram *h)
{
    bool floats = is_float(h);
    uint64_t hash = hash_mix((uint64_t)h->kind, (uint64_t)(int64_t)h->schema);
    hash = hash_mix(hash ^ h->sum_bits, plain_number(h->zero_threshold_bits));
    hash = hash_mix(hash ^ (floats ? plain_number(h->count) : h->count),
                    floats ? plain_number(h->zero_count) : h->zero_count);
    for (uint32_t i = 0; i < h->custom_count; i++)
        hash = hash_mix(hash, plain_number(h->custom_bits[i]));
    hash = hash_mix(hash_side(hash, &h->positive, floats), 1);
    return hash_side(hash, &h->negative, floats);
}

/* --- byte form -------------------------------------------------------------------------------- */

static void
put_side(struct buf *to, const struct hist_buckets *side, bool floats)
{
    buf_put_varint(to, side->span_count);
    for (uint32_t i = 0; i < side->span_count; i++) {
        buf_put_zigzag(to, side->spans[i].offset);
        buf_put_varint(to, side->spans[i].length);
    }
    buf_put_varint(to, side->bucket_count);
    if (side->bucket_count == 0) return;
    if (floats) {
        buf_put(to, side->counts, side->bucket_count * sizeof *side->counts);
        return;
    }
    for (uint32_t i = 0; i < side->bucket_count; i++)
        buf_put_zigzag(to, side->deltas[i]);
}

static void
put_count(struct buf *to, uint64_t count, bool floats)
{
    if (floats)
        buf_put_le64(to, count);
    else
        buf_put_varint(to, count);
}

void
histogram_put(struct buf *to, const struct histogram *h)
{
    assert(h->kind == SAMPLE_HISTOGRAM_INT || h->kind == SAMPLE_HISTOGRAM_FLOAT);
    assert((unsigned)h->reset_hint <= RESET_GAUGE);
    size_t size_before = to->size;
    bool floats = is_float(h);
    bool negative = h->negative.span_count > 0 || h->negative.bucket_count > 0;
    unsigned flags = (unsigned)h->reset_hint << FLAG_HINT_SHIFT;
    if (floats) flags |= FLAG_FLOAT;
    if (negative) flags |= FLAG_NEGATIVE;
    if (h->custom_count > 0) flags |= FLAG_CUSTOM;
    buf_put_u8(to, (uint8_t)flags);
    buf_put_zigzag(to, h->schema);
    buf_put_le64(to, h->zero_threshold_bits);
    buf_put_le64(to, h->sum_bits);
    put_count(to, h->count, floats);
    put_count(to, h->zero_count, floats);
    put_side(to, &h->positive, floats);
    if (negative) put_side(to, &h->negative, floats);
    if (h->custom_count > 0) {
        buf_put_varint(to, h->custom_count);
        buf_put(to, h->custom_bits, h->custom_count * sizeof *h->custom_bits);
    }
    if (buf_error(to)) to->size = size_before;
}

/* Reads a count of items of at least `bytes_each` bytes: within the limit and the bytes left. */
static uint32_t
get_count(struct cursor *c, size_t bytes_each)
{
    uint64_t count = cursor_varint(c);
    if (count > HISTOGRAM_BUCKETS_MAX || count > cursor_left(c) / bytes_each) {
        cursor_fail(c);
        return 0;
    }
    return (uint32_t)count;
}

static enum err
get_words(struct cursor *c, struct arena *arena, uint32_t count, const uint64_t **ret_words)
{
    struct bytes from = cursor_bytes(c, (uint64_t)count * 8);
    if (from.size == 0) return OK; /* no items, or no bytes left: then c->bad */
    uint64_t *words = arena_alloc(arena, from.size);
    if (words == NULL) return ERR_LIMIT;
    memcpy(words, from.at, from.size);
    *ret_words = words;
    return OK;
}

static enum err
get_spans(struct cursor *c, struct arena *arena, struct hist_buckets *side)
{
    side->span_count = get_count(c, 2);
    if (side->span_count == 0) return OK;
    struct hist_span *spans = arena_alloc(arena, side->span_count * sizeof *spans);
    if (spans == NULL) return ERR_LIMIT;
    for (uint32_t i = 0; i < side->span_count; i++) {
        int64_t offset = cursor_zigzag(c);
        uint64_t length = cursor_varint(c);
        if (offset < INT32_MIN || offset > INT32_MAX || length > UINT32_MAX) cursor_fail(c);
        spans[i] = (struct hist_span){(int32_t)offset, (uint32_t)length};
    }
    side->spans = spans;
    return OK;
}

static enum err
get_side(struct cursor *c, struct arena *arena, bool floats, struct hist_buckets *ret_side)
{
    enum err e = get_spans(c, arena, ret_side);
    if (e) return e;
    ret_side->bucket_count = get_count(c, floats ? 8 : 1);
    if (floats) return get_words(c, arena, ret_side->bucket_count, &ret_side->counts);
    if (ret_side->bucket_count == 0) return OK;
    int64_t *deltas = arena_alloc(arena, ret_side->bucket_count * sizeof *deltas);
    if (deltas == NULL) return ERR_LIMIT;
    for (uint32_t i = 0; i < ret_side->bucket_count; i++)
        deltas[i] = cursor_zigzag(c);
    ret_side->deltas = deltas;
    return OK;
}

enum err
histogram_get(struct cursor *c, struct arena *arena, struct histogram *ret_histogram)
{
    struct histogram h = {0};
    uint8_t flags = cursor_u8(c);
    if (flags & ~FLAG_ALL) cursor_fail(c);
    bool floats = (flags & FLAG_FLOAT) != 0;
    h.kind = floats ? SAMPLE_HISTOGRAM_FLOAT : SAMPLE_HISTOGRAM_INT;
    h.reset_hint = (enum reset_hint)((flags & FLAG_HINT_MASK) >> FLAG_HINT_SHIFT);
    int64_t schema = cursor_zigzag(c);
    if (schema < INT32_MIN || schema > INT32_MAX) cursor_fail(c);
    h.schema = (int32_t)schema;
    h.zero_threshold_bits = cursor_le64(c);
    h.sum_bits = cursor_le64(c);
    h.count = floats ? cursor_le64(c) : cursor_varint(c);
    h.zero_count = floats ? cursor_le64(c) : cursor_varint(c);
    enum err e = get_side(c, arena, floats, &h.positive);
    if (e) return e;
    if (flags & FLAG_NEGATIVE) e = get_side(c, arena, floats, &h.negative);
    if (e) return e;
    if (flags & FLAG_CUSTOM) {
        h.custom_count = get_count(c, 8);
        e = get_words(c, arena, h.custom_count, &h.custom_bits);
        if (e) return e;
    }
    if (c->bad || histogram_check(&h, NULL) != OK) return ERR_CORRUPT;
    *ret_histogram = h;
    return OK;
}
