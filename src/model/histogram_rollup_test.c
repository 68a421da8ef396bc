/* histogram_rollup_test.c - rollups of histograms against the samples they stand for. */
#include "lib/test.h"

#include <math.h>

#include "lib/random.h"
#include "model/histogram.h"
#include "model/rollup.h"

enum { SAMPLES = 24 };

/* Samples in time order, with staleness markers. */
struct histogram_samples {
    int64_t times_ms[SAMPLES];
    struct histogram items[SAMPLES];
    uint32_t count;
};

static struct arena arena;
static uint32_t compared_count; /* sums whose buckets were compared */

static struct histogram
valid_histogram(struct rng *rng, enum sample_kind kind)
{
    struct histogram h;
    do {
        h = random_histogram(rng, &arena, kind);
    } while (histogram_check(&h, NULL));
    return h;
}

static struct histogram_samples
random_samples(struct rng *rng)
{
    struct histogram_samples s = {.count = 1 + (uint32_t)rng_below(rng, SAMPLES)};
    enum sample_kind kind = rng_below(rng, 2) ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT;
    bool calm = rng_below(rng, 2) == 0, gauges = rng_below(rng, 4) == 0;
    int64_t t_ms = -100;
    struct histogram h = valid_histogram(rng, kind);
    for (uint32_t i = 0; i < s.count; i++) {
        t_ms += 1 + (int64_t)rng_below(rng, 50);
        if (i > 0)
            h = calm ? random_grown(rng, &arena, &h) : random_next_histogram(rng, &arena, &h);
        if (gauges) h.reset_hint = RESET_GAUGE;
        if (isnan(bits_double(h.sum_bits)) && h.sum_bits != STALE_NAN_BITS) h.sum_bits = 0;
        if (histogram_check(&h, NULL)) h = valid_histogram(rng, kind);
        s.times_ms[i] = t_ms;
        s.items[i] = h;
    }
    return s;
}

static struct fhist *
computable(const struct histogram *h)
{
    void *memory = arena_alloc(&arena, fhist_bytes_of(h));
    assert_non_null(memory);
    return fhist_of(memory, h);
}

/* True if no bucket reaches into the zero bucket. */
static bool
is_apart_from_zero(const struct histogram *h)
{
    struct fhist *f = computable(h);
    for (uint32_t i = 0; i < fhist_bucket_count(f) && !fhist_is_custom(f); i++) {
        struct fhist_bucket b = fhist_bucket(f, i);
        bool is_zero = b.lower == -f->zero_threshold && b.upper == f->zero_threshold;
        if (!is_zero && b.lower <= f->zero_threshold && b.upper >= -f->zero_threshold) return false;
    }
    return true;
}

/* False if buckets of sums depend on the order, as in Prometheus: zero buckets that are widened one
 * after the other take whole buckets along. */
static bool
sums_have_one_order(const struct histogram_samples *s)
{
    uint64_t threshold = s->items[0].zero_threshold_bits;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->items[i].sum_bits == STALE_NAN_BITS) continue;
        if (s->items[i].zero_threshold_bits != threshold) return false;
        if (!is_apart_from_zero(&s->items[i])) return false;
    }
    return true;
}

/* Adds, or begins with it. False if the kinds of buckets cannot be added. */
static bool
add(struct fhist **sum, const struct fhist *h, double factor)
{
    struct fhist_outcome outcome = {.incompatible = false};
    if (*sum == NULL) {
        *sum = arena_alloc(&arena, sizeof **sum);
        assert_non_null(*sum);
        assert_int_equal(fhist_begin(&arena, h, true, *sum), OK);
    } else {
        assert_int_equal(fhist_add(&arena, *sum, h, factor, &outcome), OK);
    }
    return !outcome.incompatible;
}

/* Compares to rounding, relative to `scale`. */
static void
assert_close(double a, double b, double scale)
{
    if (isnan(a) || isnan(b) || isinf(a) || isinf(b)) return;
    assert_true(fabs(a - b) <= 1e-12 * (fabs(a) + fabs(b) + scale));
}

static void
assert_same_side(const struct fhist_side *a, const struct fhist_side *b, double scale)
{
    assert_int_equal(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        assert_int_equal(a->indexes[i], b->indexes[i]);
        assert_close(a->counts[i], b->counts[i], scale);
    }
}

static double
count_of_all(const struct histogram_samples *s)
{
    double all = 0;
    for (uint32_t i = 0; i < s->count; i++)
        all += fabs(computable(&s->items[i])->count);
    return all;
}

/* Numbers may differ by the rounding of the samples' counts. */
static void
assert_same_fhist(struct fhist *a, struct fhist *b, const struct histogram_samples *s)
{
    double scale = count_of_all(s);
    fhist_settle(a);
    fhist_settle(b);
    fhist_compact(a);
    fhist_compact(b);
    assert_int_equal(a->schema, b->schema);
    assert_int_equal(a->hint, b->hint);
    assert_close(a->count, b->count, scale);
    assert_int_equal(a->bound_count, b->bound_count);
    if (!sums_have_one_order(s)) return;
    compared_count++;
    assert_true(a->zero_threshold == b->zero_threshold);
    assert_close(a->zero_count, b->zero_count, scale);
    assert_same_side(&a->positive, &b->positive, scale);
    assert_same_side(&a->negative, &b->negative, scale);
}

/* Joins the rollups of [from, until), cut at random places. */
static struct histogram_rollup
joined_at_random(const struct histogram_samples *s, uint32_t from, uint32_t until, struct rng *rng)
{
    struct histogram_rollup r;
    if (until - from == 1) {
        assert_int_equal(histogram_rollup_of_sample(&arena, s->times_ms[from], &s->items[from], &r),
                         OK);
        return r;
    }
    uint32_t cut = from + 1 + (uint32_t)rng_below(rng, until - from - 1);
    r = joined_at_random(s, from, cut, rng);
    struct histogram_rollup later = joined_at_random(s, cut, until, rng);
    assert_int_equal(histogram_rollup_join(&arena, &r, &later), OK);
    return r;
}

/* Checks counts and the sum against the samples one by one. */
static void
check_by_definition(const struct histogram_samples *s, struct histogram_rollup *r)
{
    uint32_t count = 0, changes = 0, resets = 0, gauges = 0, custom = 0;
    const struct histogram *last = NULL, *first = NULL;
    struct fhist *sum = NULL;
    bool summed = true, is_stale = false;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct histogram *h = &s->items[i];
        is_stale = h->sum_bits == STALE_NAN_BITS;
        if (is_stale) continue;
        struct fhist *now = computable(h);
        if (last == NULL) {
            first = h;
        } else {
            struct fhist *before = computable(last);
            changes += !fhist_equal(before, now);
            resets += fhist_was_reset(now, before);
        }
        count++;
        gauges += h->reset_hint == RESET_GAUGE;
        custom += h->schema == HISTOGRAM_SCHEMA_CUSTOM;
        if (summed) summed = add(&sum, now, 1);
        last = h;
    }
    assert_int_equal(r->count, count);
    assert_int_equal(r->is_stale, is_stale);
    if (count == 0) return;
    assert_true(same_histogram_all(&r->first, first) && same_histogram_all(&r->last, last));
    assert_int_equal(r->changes, changes);
    assert_int_equal(r->resets, resets);
    assert_int_equal(r->gauge_count, gauges);
    assert_int_equal(r->custom_count, custom);
    assert_int_equal(r->sum != NULL, summed);
    if (summed) assert_same_fhist(r->sum, sum, s);
}

/* Computes the increase of the samples as rate() does. NULL if the kinds of buckets are mixed. */
static struct fhist *
increase_of_samples(const struct histogram_samples *s)
{
    const struct fhist *points[SAMPLES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->count; i++)
        if (s->items[i].sum_bits != STALE_NAN_BITS) points[count++] = computable(&s->items[i]);
    if (count < 2) return NULL;
    bool skip_first = fhist_was_reset(points[1], points[0]);
    struct fhist *h = NULL;
    bool good = add(&h, points[count - 1], 1);
    if (!skip_first) good = good && add(&h, points[0], -1);
    for (uint32_t i = 1; i < count && good; i++) {
        if (i == 1 && skip_first) continue;
        if (fhist_was_reset(points[i], points[i - 1])) good = add(&h, points[i - 1], 1);
    }
    return good ? h : NULL;
}

static struct fhist *
increase_of_rollup(const struct histogram_rollup *r)
{
    struct fhist *h = NULL;
    if (r->count < 2 || r->correction_lost || !add(&h, computable(&r->last), 1)) return NULL;
    if (!r->second_is_reset && !add(&h, computable(&r->first), -1)) return NULL;
    if (r->correction != NULL) {
        fhist_settle(r->correction);
        if (!add(&h, r->correction, 1)) return NULL;
    }
    return h;
}

UNIT_TEST(test_joined_rollups_are_those_of_all_samples)
{
    struct rng rng = {1};
    uint32_t increases = 0;
    arena_init(&arena, NULL, 64 << 20, 1 << 20);
    for (unsigned round = 0; round < 3000; round++) {
        arena_reset(&arena);
        struct histogram_samples s = random_samples(&rng);
        struct histogram_rollup r = joined_at_random(&s, 0, s.count, &rng);
        assert_true(histogram_rollup_is_valid(&r));
        struct fhist *expected = increase_of_samples(&s), *got = increase_of_rollup(&r);
        if (expected != NULL && got != NULL) {
            increases++;
            assert_same_fhist(got, expected, &s);
        }
        assert_true(got != NULL || expected == NULL || r.correction_lost);
        check_by_definition(&s, &r);
    }
    assert_true(increases > 1000);
    assert_true(compared_count > 1000);
    arena_fini(&arena);
}

UNIT_TEST(test_a_marker_is_forgotten_when_a_sample_follows)
{
    struct rng rng = {3};
    arena_init(&arena, NULL, 1 << 20, 1 << 16);
    struct histogram marker = stale_histogram(SAMPLE_HISTOGRAM_INT);
    struct histogram h = random_histogram(&rng, &arena, SAMPLE_HISTOGRAM_INT);
    struct histogram_rollup r, later;
    assert_int_equal(histogram_rollup_of_sample(&arena, 1, &h, &r), OK);
    assert_int_equal(histogram_rollup_of_sample(&arena, 2, &marker, &later), OK);
    assert_int_equal(histogram_rollup_join(&arena, &r, &later), OK);
    assert_true(r.is_stale && r.stale_ms == 2 && r.count == 1);
    assert_int_equal(histogram_rollup_of_sample(&arena, 3, &h, &later), OK);
    assert_int_equal(histogram_rollup_join(&arena, &r, &later), OK);
    assert_true(!r.is_stale && r.count == 2 && r.changes == 0);
    arena_fini(&arena);
}

UNIT_TEST(test_a_roller_makes_the_same_rollup)
{
    struct rng rng = {4};
    struct histogram_roller roller;
    arena_init(&arena, NULL, 64 << 20, 1 << 20);
    histogram_roller_init(&roller, NULL);
    for (unsigned round = 0; round < 1000; round++) {
        arena_reset(&arena);
        struct histogram_samples s = random_samples(&rng);
        histogram_roller_clear(&roller);
        for (uint32_t i = 0; i < s.count; i++) {
            struct histogram_rollup one = joined_at_random(&s, i, i + 1, &rng);
            enum err e = rng_below(&rng, 2) == 0
                             ? histogram_roller_add(&roller, s.times_ms[i], &s.items[i])
                             : histogram_roller_add_rollup(&roller, &one);
            assert_int_equal(e, OK);
        }
        check_by_definition(&s, &roller.rollup);
    }
    histogram_roller_fini(&roller);
    arena_fini(&arena);
}

UNIT_TEST(test_a_roller_takes_little_memory)
{
    enum { MANY = 20000, LITTLE = 3 * HISTOGRAM_ROLLER_BYTES };
    struct rng rng = {5};
    struct budget budget;
    struct histogram_roller roller;
    budget_init(&budget, "roller", LITTLE, NULL);
    arena_init(&arena, NULL, 64 << 20, 1 << 20);
    histogram_roller_init(&roller, &budget);
    struct histogram h = valid_histogram(&rng, SAMPLE_HISTOGRAM_INT);
    for (int64_t t_ms = 1; t_ms <= MANY; t_ms++)
        assert_int_equal(histogram_roller_add(&roller, t_ms, &h), OK);
    assert_int_equal(roller.rollup.count, MANY);
    fhist_settle(roller.rollup.sum);
    assert_true(roller.rollup.sum->count == (double)h.count * MANY);
    histogram_roller_fini(&roller);
    arena_fini(&arena);
}

UNIT_TEST(test_without_memory_a_join_fails)
{
    struct rng rng = {3};
    struct arena small;
    arena_init(&arena, NULL, 1 << 20, 1 << 16);
    arena_init(&small, NULL, 16, 16);
    struct histogram h = random_histogram(&rng, &arena, SAMPLE_HISTOGRAM_INT);
    struct histogram_rollup r, later;
    assert_int_equal(histogram_rollup_of_sample(&small, 1, &h, &r), ERR_NOMEM);
    assert_int_equal(histogram_rollup_of_sample(&arena, 1, &h, &r), OK);
    assert_int_equal(histogram_rollup_of_sample(&arena, 2, &h, &later), OK);
    assert_int_equal(histogram_rollup_join(&small, &r, &later), ERR_NOMEM);
    arena_fini(&small);
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joined_rollups_are_those_of_all_samples),
        cmocka_unit_test(test_a_marker_is_forgotten_when_a_sample_follows),
        cmocka_unit_test(test_a_roller_makes_the_same_rollup),
        cmocka_unit_test(test_a_roller_takes_little_memory),
        cmocka_unit_test(test_without_memory_a_join_fails),
    };
    return cmocka_run_group_tests_name("model/histogram_rollup", tests, NULL, NULL);
}
