/* rollup_test.c - rollups against the samples they stand for. */
#include "lib/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/random.h"
#include "model/rollup.h"

enum { SAMPLES = 40 };

/* Samples in time order, with staleness markers. */
struct samples {
    int64_t times_ms[SAMPLES];
    uint64_t bits[SAMPLES];
    uint32_t count;
};

static const double strange_values[] = {0, -0.0, INFINITY, -INFINITY, NAN, 1e6, -1e6, 5e-324};

static struct samples
random_samples(struct rng *rng)
{
    struct samples s = {.count = 1 + rng_below(rng, SAMPLES)};
    int64_t t_ms = -500;
    double value = 0;
    unsigned strange_one_in = rng_below(rng, 2) == 0 ? 4 : 1000;
    for (uint32_t i = 0; i < s.count; i++) {
        t_ms += 1 + rng_below(rng, 50);
        value = rng_below(rng, 6) == 0 ? 0 : value + rng_below(rng, 3);
        double v = rng_below(rng, strange_one_in) == 0 ? strange_values[rng_below(rng, 8)] : value;
        s.times_ms[i] = t_ms;
        s.bits[i] = rng_below(rng, 8) == 0 ? STALE_NAN_BITS : double_bits(v);
    }
    return s;
}

/* Computes a rollup from samples [from, until) one by one, by its definition. */
static struct rollup
by_definition(const struct samples *s, uint32_t from, uint32_t until)
{
    struct rollup r = {.least = NAN, .greatest = NAN};
    for (uint32_t i = from; i < until; i++) {
        if (s->bits[i] == STALE_NAN_BITS) {
            if (!r.is_stale) r.stale_ms = s->times_ms[i];
            r.is_stale = true;
            continue;
        }
        double v = bits_double(s->bits[i]), before = bits_double(r.last_bits);
        if (r.count++ == 0) {
            r.first_ms = s->times_ms[i];
            r.first_bits = s->bits[i];
        } else {
            if (v < before) {
                r.resets++;
                r.correction += before;
            }
            r.changes += v != before && !(isnan(v) && isnan(before));
        }
        r.is_stale = false;
        r.last_ms = s->times_ms[i];
        r.last_bits = s->bits[i];
        if (isnan(v)) {
            r.nan_count++;
            continue;
        }
        if (!(r.least <= v)) r.least = v;
        if (!(r.greatest >= v)) r.greatest = v;
        precise_add(&r.sum, v);
    }
    return r;
}

/* Compares to rounding, relative to the larger of both. */
static void
assert_close(double a, double b)
{
    if (isnan(a) || isnan(b) || isinf(a) || isinf(b)) {
        assert_true((isnan(a) && isnan(b)) || a == b);
        return;
    }
    assert_true(fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b)) + 1e-290);
}

static void
assert_equal(const struct rollup *a, const struct rollup *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->is_stale, b->is_stale);
    if (a->is_stale) assert_int_equal(a->stale_ms, b->stale_ms);
    if (a->count == 0) return;
    assert_int_equal(a->first_ms, b->first_ms);
    assert_int_equal(a->last_ms, b->last_ms);
    assert_int_equal(a->nan_count, b->nan_count);
    assert_int_equal(a->resets, b->resets);
    assert_int_equal(a->changes, b->changes);
    assert_int_equal(a->first_bits, b->first_bits);
    assert_int_equal(a->last_bits, b->last_bits);
    assert_int_equal(double_bits(a->least), double_bits(b->least));
    assert_int_equal(double_bits(a->greatest), double_bits(b->greatest));
    assert_close(a->correction, b->correction);
}

/* Joins the rollups of [from, until), cut at random places. */
static struct rollup
joined_at_random(const struct samples *s, uint32_t from, uint32_t until, struct rng *rng)
{
    struct rollup r;
    if (until - from == 1) return rollup_of_sample(s->times_ms[from], s->bits[from]);
    uint32_t cut = from + 1 + rng_below(rng, until - from - 1);
    r = joined_at_random(s, from, cut, rng);
    struct rollup later = joined_at_random(s, cut, until, rng);
    rollup_join(&r, &later);
    return r;
}

UNIT_TEST(test_joined_rollups_are_those_of_all_samples)
{
    struct rng rng = {1};
    for (unsigned round = 0; round < 20000; round++) {
        struct samples s = random_samples(&rng);
        struct rollup whole = by_definition(&s, 0, s.count);
        struct rollup joined = joined_at_random(&s, 0, s.count, &rng);
        assert_true(rollup_is_valid(&joined));
        assert_equal(&joined, &whole);
        if (isfinite(rollup_sum(&whole))) assert_close(rollup_sum(&joined), rollup_sum(&whole));
    }
}

UNIT_TEST(test_a_rollup_begins_empty)
{
    struct rollup r = {.count = 0}, one = rollup_of_sample(5, double_bits(2.5));
    rollup_join(&r, &one);
    assert_equal(&r, &one);
    assert_true(rollup_sum(&r) == 2.5);
}

UNIT_TEST(test_the_sum_of_a_nan_is_nan)
{
    struct rollup r = rollup_of_sample(1, double_bits(1));
    struct rollup nan = rollup_of_sample(2, NORMAL_NAN_BITS);
    rollup_join(&r, &nan);
    assert_true(isnan(rollup_sum(&r)));
    assert_true(r.least == 1 && r.greatest == 1);
}

UNIT_TEST(test_windows_are_closed_at_their_end_only)
{
    assert_int_equal(rollup_window_end(0, 300), 0);
    assert_int_equal(rollup_window_end(1, 300), 300);
    assert_int_equal(rollup_window_end(300, 300), 300);
    assert_int_equal(rollup_window_end(301, 300), 600);
    assert_int_equal(rollup_window_end(-1, 300), 0);
    assert_int_equal(rollup_window_end(-300, 300), -300);
    assert_int_equal(rollup_window_end(-301, 300), -300);
}

UNIT_TEST(test_the_last_window_ends_at_the_end_of_time)
{
    assert_int_equal(rollup_window_end(INT64_MAX, 300), INT64_MAX);
    assert_true(rollup_window_end(INT64_MIN, 300) >= INT64_MIN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joined_rollups_are_those_of_all_samples),
        cmocka_unit_test(test_a_rollup_begins_empty),
        cmocka_unit_test(test_the_sum_of_a_nan_is_nan),
        cmocka_unit_test(test_windows_are_closed_at_their_end_only),
        cmocka_unit_test(test_the_last_window_ends_at_the_end_of_time),
    };
    return cmocka_run_group_tests_name("model/rollup", tests, NULL, NULL);
}
