/* random.c - see random.h. */
#include "lib/random.h"

uint64_t
random_value(struct rng *r, unsigned class, uint64_t before)
{
    switch (class) {
    case 0: /* NaNs with any payload */
        return 0x7ff0000000000000u | (rng_next(r) & 0x800fffffffffffffu) | 1;
    case 1:
        return rng_below(r, 3) == 0 ? STALE_NAN_BITS : NORMAL_NAN_BITS;
    case 2:
        return rng_below(r, 2) == 0 ? 0x7ff0000000000000u : 0xfff0000000000000u;
    case 3:
        return rng_below(r, 2) == 0 ? 0 : 0x8000000000000000u;
    case 4: /* subnormal */
        return rng_next(r) & 0x800fffffffffffffu;
    case 5: { /* counter */
        double v = bits_double(before);
        return double_bits(v >= 0 && v < 1e15 ? v + (double)rng_below(r, 1000) : 0);
    }
    case 6: /* decimal */
        return double_bits((double)rng_below(r, 1000000) / 1000);
    case 7:
        return rng_next(r);
    case 8: /* mostly constant */
        return rng_below(r, 20) == 0 ? double_bits((double)rng_below(r, 10)) : before;
    case 9: /* one bit changes: the widest windows */
        return before ^ (uint64_t)1 << rng_below(r, 64);
    default:
        return random_value(r, (unsigned)rng_below(r, 10), before);
    }
}

int64_t
random_first_time(struct rng *r, unsigned class)
{
    if (class == 5) return INT64_MIN + (int64_t)rng_below(r, 2);
    return class == 4 ? -(int64_t)rng_below(r, 1u << 30) : (int64_t)rng_below(r, 1ull << 42);
}

bool
random_next_time(struct rng *r, unsigned class, int64_t *t_ms)
{
    uint64_t step;
    switch (class) {
    case 0:
        step = 15000;
        break;
    case 1:
        step = 14990 + rng_below(r, 20);
        break;
    case 2: /* around the limits of the delta-of-delta classes */
        step = 600000 + ((uint64_t)1 << rng_below(r, 21)) + rng_below(r, 3) - 1;
        break;
    case 3:
        step = 1 + rng_below(r, (uint64_t)1 << rng_below(r, 45));
        break;
    case 4:
        step = 1 + rng_below(r, 1u << 28);
        break;
    default: /* from one end of time to the other in a few samples */
        step = 1 + (rng_next(r) >> rng_below(r, 40));
        break;
    }
    uint64_t room = (uint64_t)INT64_MAX - (uint64_t)*t_ms;
    if (step > room) return false;
    *t_ms = (int64_t)((uint64_t)*t_ms + step);
    return true;
}

uint32_t
random_series(struct rng *r, uint32_t count, int64_t *times_ms, uint64_t *bits)
{
    unsigned value_class = (unsigned)rng_below(r, RANDOM_VALUE_CLASSES);
    unsigned time_class = (unsigned)rng_below(r, RANDOM_TIME_CLASSES);
    int64_t t = random_first_time(r, time_class);
    uint64_t v = 0;
    for (uint32_t i = 0; i < count; i++) {
        times_ms[i] = t;
        bits[i] = v = random_value(r, value_class, v);
        if (!random_next_time(r, time_class, &t)) return i + 1;
    }
    return count;
}

static void
random_spans(struct rng *r, struct arena *arena, struct hist_buckets *b, bool custom)
{
    uint32_t count = (uint32_t)rng_below(r, 4);
    struct hist_span *spans = arena_new(arena, (count + 1) * sizeof *spans);
    b->spans = spans;
    b->span_count = count;
    b->bucket_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        spans[i].offset = (int32_t)rng_below(r, 5);
        if (i == 0 && !custom) spans[i].offset -= (int32_t)rng_below(r, 300);
        spans[i].length = (uint32_t)rng_below(r, 6);
        b->bucket_count += spans[i].length;
    }
}

static uint64_t
random_counts(struct rng *r, struct arena *arena, enum sample_kind kind, struct hist_buckets *b)
{
    int64_t *deltas = arena_new(arena, (b->bucket_count + 1) * sizeof *deltas);
    uint64_t *counts = arena_new(arena, (b->bucket_count + 1) * sizeof *counts);
    uint64_t total = 0;
    uint64_t before = 0;
    for (uint32_t i = 0; i < b->bucket_count; i++) {
        uint64_t n = rng_below(r, (uint64_t)1 << rng_below(r, 30));
        deltas[i] = (int64_t)(n - before);
        counts[i] = double_bits((double)n / 4);
        before = n;
        total += n;
    }
    if (kind == SAMPLE_HISTOGRAM_INT) {
        b->deltas = deltas;
        b->counts = NULL;
    } else {
        b->counts = counts;
        b->deltas = NULL;
    }
    return total;
}

struct histogram
random_histogram(struct rng *r, struct arena *arena, enum sample_kind kind)
{
    struct histogram h = {.kind = kind};
    bool custom = rng_below(r, 4) == 0;
    h.schema = custom ? HISTOGRAM_SCHEMA_CUSTOM : (int32_t)rng_below(r, 13) - 4;
    random_spans(r, arena, &h.positive, custom);
    if (!custom) {
        static const double thresholds[] = {0, 0x1p-128, 0x1p-243, 0x1p10, 0x1p11, 0x1p-244, 0.001};
        random_spans(r, arena, &h.negative, custom);
        h.zero_threshold_bits = double_bits(thresholds[rng_below(r, 7)]);
    } else {
        h.custom_count = (uint32_t)rng_below(r, 20);
        uint64_t *bounds = arena_new(arena, (h.custom_count + 1) * sizeof *bounds);
        double bound = rng_below(r, 2) == 0 ? -5 : 0;
        for (uint32_t i = 0; i < h.custom_count; i++) {
            static const double steps[] = {0.005, 0.1, 1, 2.5, 1e-7, 20000};
            bounds[i] = double_bits(bound);
            bound += steps[rng_below(r, 6)];
        }
        h.custom_bits = bounds;
    }
    uint64_t total = random_counts(r, arena, kind, &h.positive);
    total += random_counts(r, arena, kind, &h.negative);
    uint64_t zero = custom ? 0 : rng_below(r, 100);
    h.count = kind == SAMPLE_HISTOGRAM_INT ? total + zero : double_bits((double)(total + zero) / 4);
    h.zero_count = kind == SAMPLE_HISTOGRAM_INT ? zero : double_bits((double)zero / 4);
    h.sum_bits = random_value(r, (unsigned)rng_below(r, 11), rng_next(r));
    if (h.sum_bits == STALE_NAN_BITS) h.sum_bits = NORMAL_NAN_BITS;
    return h;
}

struct histogram
random_grown(struct rng *r, struct arena *arena, const struct histogram *from)
{
    struct histogram h = *from;
    struct hist_buckets *sides[] = {&h.positive, &h.negative};
    uint64_t added = 0;
    for (unsigned s = 0; s < 2; s++) {
        struct hist_buckets *b = sides[s];
        int64_t *deltas = arena_new(arena, (b->bucket_count + 1) * sizeof *deltas);
        uint64_t *counts = arena_new(arena, (b->bucket_count + 1) * sizeof *counts);
        uint64_t carried = 0;
        for (uint32_t i = 0; i < b->bucket_count; i++) {
            uint64_t more = rng_below(r, 3) == 0 ? rng_below(r, 50) : 0;
            if (h.kind == SAMPLE_HISTOGRAM_INT)
                deltas[i] = b->deltas[i] + (int64_t)(more - carried);
            else
                counts[i] = double_bits(bits_double(b->counts[i]) + (double)more / 4);
            carried = more;
            added += more;
        }
        if (h.kind == SAMPLE_HISTOGRAM_INT)
            b->deltas = deltas;
        else
            b->counts = counts;
    }
    if (h.kind == SAMPLE_HISTOGRAM_INT)
        h.count += added;
    else
        h.count = double_bits(bits_double(h.count) + (double)added / 4);
    h.sum_bits = random_value(r, 6, 0);
    return h;
}

/* Returns the same histogram with one more bucket, or with another one instead of its last. */
static struct histogram
random_regrown(struct rng *r, struct arena *arena, const struct histogram *from)
{
    struct histogram h = *from;
    struct hist_buckets *b = &h.positive;
    uint32_t count = b->bucket_count + 1;
    struct hist_span *spans = arena_new(arena, (b->span_count + 1) * sizeof *spans);
    uint64_t *words = arena_new(arena, count * sizeof *words);
    bool instead = b->bucket_count > 0 && rng_below(r, 8) == 0;
    if (b->span_count > 0) memcpy(spans, b->spans, b->span_count * sizeof *spans);
    if (instead) {
        uint32_t last = b->span_count - 1;
        while (spans[last].length == 0)
            last--;
        spans[last].length--;
        count--;
    }
    spans[b->span_count] = (struct hist_span){(int32_t)rng_below(r, 4), 1};
    if (h.schema != HISTOGRAM_SCHEMA_CUSTOM && b->span_count == 0) spans[0].offset -= 50;
    const void *old = h.kind == SAMPLE_HISTOGRAM_INT ? (const void *)b->deltas : b->counts;
    if (count > 1) memcpy(words, old, (count - 1) * sizeof *words);
    uint64_t before = 0, more = rng_below(r, 9);
    for (uint32_t i = 0; i + 1 < count; i++)
        before += words[i];
    words[count - 1] = h.kind == SAMPLE_HISTOGRAM_INT ? more - before : double_bits((double)more);
    b->spans = spans;
    b->span_count++;
    b->bucket_count = count;
    if (h.kind == SAMPLE_HISTOGRAM_INT) {
        b->deltas = (const int64_t *)words;
        h.count += more;
    } else {
        b->counts = words;
        h.count = double_bits(bits_double(h.count) + (double)more);
    }
    return h;
}

struct histogram
stale_histogram(enum sample_kind kind)
{
    return (struct histogram){.kind = kind, .sum_bits = STALE_NAN_BITS};
}

struct histogram
random_next_histogram(struct rng *r, struct arena *arena, const struct histogram *from)
{
    uint64_t dice = rng_below(r, 40);
    if (dice == 0) return stale_histogram(from->kind);
    if (from->sum_bits == STALE_NAN_BITS || dice == 1)
        return random_histogram(r, arena, from->kind);
    struct histogram h = random_grown(r, arena, from);
    if (dice == 2) h.reset_hint = (enum reset_hint)rng_below(r, 4);
    if (dice == 3) h.schema = h.schema == HISTOGRAM_SCHEMA_CUSTOM ? h.schema : h.schema / 2;
    if (dice == 4 && h.kind == SAMPLE_HISTOGRAM_INT) h.count /= 2;
    if (dice == 5) h.zero_count = 0;
    if (dice >= 6 && dice <= 8) h = random_regrown(r, arena, &h);
    if (dice == 9) h = *from;
    return h;
}

static struct hist_buckets
copied_buckets(struct arena *arena, const struct hist_buckets *b)
{
    struct hist_buckets to = *b;
    to.spans = (const void *)arena_copy(arena, bytes_of(b->spans, b->span_count * 8)).at;
    if (b->deltas != NULL)
        to.deltas = (const void *)arena_copy(arena, bytes_of(b->deltas, b->bucket_count * 8)).at;
    if (b->counts != NULL)
        to.counts = (const void *)arena_copy(arena, bytes_of(b->counts, b->bucket_count * 8)).at;
    return to;
}

struct histogram
copied_histogram(struct arena *arena, const struct histogram *h)
{
    struct histogram to = *h;
    struct bytes custom = bytes_of(h->custom_bits, h->custom_count * sizeof *h->custom_bits);
    to.positive = copied_buckets(arena, &h->positive);
    to.negative = copied_buckets(arena, &h->negative);
    to.custom_bits = (const void *)arena_copy(arena, custom).at;
    return to;
}

static bool
same_words(const void *a, const void *b, uint32_t count)
{
    return count == 0 || memcmp(a, b, (size_t)count * 8) == 0;
}

static bool
same_counts(enum sample_kind kind, const struct hist_buckets *a, const struct hist_buckets *b)
{
    return kind == SAMPLE_HISTOGRAM_INT ? same_words(a->deltas, b->deltas, a->bucket_count)
                                        : same_words(a->counts, b->counts, a->bucket_count);
}

bool
same_histogram_all(const struct histogram *a, const struct histogram *b)
{
    return histogram_same_layout(a, b) && a->sum_bits == b->sum_bits && a->count == b->count &&
           a->zero_count == b->zero_count && same_counts(a->kind, &a->positive, &b->positive) &&
           same_counts(a->kind, &a->negative, &b->negative);
}

bool
same_histogram_bits(const struct histogram *a, const struct histogram *b)
{
    if (a->sum_bits == STALE_NAN_BITS) {
        return b->sum_bits == STALE_NAN_BITS && b->kind == a->kind && b->count == 0 &&
               b->positive.bucket_count == 0 && b->custom_count == 0;
    }
    return same_histogram_all(a, b);
}

bool
bucket_steps_next(struct bucket_steps *w)
{
    const struct hist_buckets *b = w->side;
    w->index += w->at > 0;
    for (; w->span < b->span_count; w->span++, w->in_span = 0) {
        if (w->in_span == 0) w->index += b->spans[w->span].offset;
        if (w->in_span < b->spans[w->span].length) break;
    }
    if (w->span == b->span_count) return false;
    w->in_span++;
    w->count = w->h->kind == SAMPLE_HISTOGRAM_INT ? w->count + (uint64_t)b->deltas[w->at]
                                                  : b->counts[w->at];
    w->at++;
    return true;
}

/* Returns a column with the numbers, one for each row. */
static struct hist_column
column_of(struct arena *arena, const uint64_t *numbers, uint32_t count, bool xored)
{
    uint16_t *rows = arena_new(arena, count * sizeof *rows);
    uint64_t *steps = arena_new(arena, count * sizeof *steps);
    struct hist_column column = {.first = numbers[0], .rows = rows, .steps = steps};
    for (uint32_t i = 1; i < count; i++) {
        if (numbers[i] == numbers[i - 1]) continue;
        rows[column.step_count] = (uint16_t)i;
        steps[column.step_count++] =
            xored ? numbers[i] ^ numbers[i - 1] : numbers[i] - numbers[i - 1];
    }
    return column;
}

static void
columns_of_side(struct arena *arena, const struct histogram *h, uint32_t count, bool negative,
                uint64_t *totals, struct hist_column *to)
{
    bool xored = h->kind == SAMPLE_HISTOGRAM_FLOAT;
    uint32_t buckets = negative ? h->negative.bucket_count : h->positive.bucket_count;
    uint64_t *numbers = arena_new(arena, count * sizeof *numbers);
    for (uint32_t b = 0; b < buckets; b++) {
        for (uint32_t i = 0; i < count; i++) {
            const struct hist_buckets *side = negative ? &h[i].negative : &h[i].positive;
            numbers[i] = xored    ? side->counts[b]
                         : b == 0 ? (uint64_t)side->deltas[b]
                                  : numbers[i] + (uint64_t)side->deltas[b];
            totals[i] += xored ? 0 : numbers[i];
        }
        to[b] = column_of(arena, numbers, count, xored);
    }
}

struct hist_columns
columns_of(struct arena *arena, const struct histogram *h, uint32_t count)
{
    bool xored = h->kind == SAMPLE_HISTOGRAM_FLOAT;
    uint64_t *numbers = arena_new(arena, count * sizeof *numbers);
    uint64_t *totals = arena_new(arena, count * sizeof *totals);
    uint8_t *hints = arena_new(arena, count);
    struct hist_column *buckets = arena_new(
        arena, ((size_t)h->positive.bucket_count + h->negative.bucket_count + 1) * sizeof *buckets);
    struct hist_columns c = {.layout = *h, .row_count = count, .hint = h->reset_hint};
    for (uint32_t i = 0; i < count; i++) {
        hints[i] = (uint8_t)h[i].reset_hint;
        if (hints[i] != hints[0]) c.hints = hints;
        numbers[i] = h[i].sum_bits;
    }
    c.sum = column_of(arena, numbers, count, true);
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = h[i].zero_count;
        totals[i] = xored ? 0 : h[i].zero_count;
    }
    c.zero_count = column_of(arena, numbers, count, xored);
    columns_of_side(arena, h, count, false, totals, buckets);
    columns_of_side(arena, h, count, true, totals, buckets + h->positive.bucket_count);
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = h[i].count - totals[i];
    c.count = column_of(arena, numbers, count, xored);
    c.buckets = buckets;
    return c;
}
