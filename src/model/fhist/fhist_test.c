/* fhist_test.c - bounds, arithmetic and texts of histograms. Values are those of Prometheus 3.5.3.
 */
#include "lib/test.h"
#include <math.h>

#include "base/buf.h"
#include "model/fhist/fhist.h"

/* Makes a histogram of `schema` with buckets from `first` on, and its memory. */
static struct fhist *
make(struct arena *arena, int32_t schema, int32_t first, const int64_t *counts, uint32_t count)
{
    struct hist_span span = {.offset = first, .length = count};
    int64_t deltas[16], before = 0, all = 0;
    for (uint32_t i = 0; i < count; i++) {
        deltas[i] = counts[i] - before;
        before = counts[i];
        all += counts[i];
    }
    struct histogram h = {
        .kind = SAMPLE_HISTOGRAM_INT,
        .schema = schema,
        .count = (uint64_t)all,
        .sum_bits = double_bits(10),
        .zero_threshold_bits = double_bits(0.001),
        .positive = {.spans = &span, .span_count = 1, .deltas = deltas, .bucket_count = count}};
    void *memory = arena_alloc(arena, fhist_bytes_of(&h));
    assert_non_null(memory);
    return fhist_of(memory, &h);
}

static void
assert_text(const struct fhist *h, const char *expected)
{
    struct buf text;
    buf_init(&text, NULL, 1 << 16);
    fhist_print(h, &text);
    buf_put_u8(&text, 0);
    assert_int_equal(buf_error(&text), OK);
    assert_string_equal((const char *)buf_bytes(&text).at, expected);
    buf_fini(&text);
}

/* Some of the bounds are not the double nearest to the power of two. */
UNIT_TEST(bounds_are_those_of_prometheus)
{
    static const struct {
        int32_t schema;
        int32_t index;
        double upper;
    } cases[] = {
        {0, 0, 1},
        {0, -1, 0.5},
        {0, 1024, 0x1.fffffffffffffp1023},
        {-4, 0, 1},
        {-4, 1, 65536},
        {3, -97, 0.0002238779402355154},
        {3, -95, 0.00026623723942022893},
        {3, -93, 0.00031661121939721915},
        {3, -91, 0.00037651631479686053},
    };
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static const int64_t one = 1;
        struct fhist *h = make(&arena, cases[i].schema, cases[i].index, &one, 1);
        h->zero_threshold = 0;
        double upper = fhist_bucket(h, 0).upper;
        if (upper != cases[i].upper) {
            fail_msg("schema %d, bucket %d ends at %.17g, not %.17g", cases[i].schema,
                     cases[i].index, upper, cases[i].upper);
        }
    }
    arena_fini(&arena);
}

UNIT_TEST(a_sum_has_the_lower_resolution_and_all_observations)
{
    static const int64_t fine[] = {1, 2, 3, 4}, coarse[] = {5, 6};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct fhist_outcome outcome;
    struct fhist sum;
    assert_int_equal(fhist_begin(&arena, make(&arena, 1, 1, fine, 4), true, &sum), OK);
    assert_int_equal(fhist_add(&arena, &sum, make(&arena, 0, 1, coarse, 2), 1, &outcome), OK);
    fhist_validate(&sum);
    fhist_settle(&sum);
    assert_false(outcome.incompatible || outcome.reconciled);
    assert_text(&sum, "{count:21, sum:20, (1,2]:8, (2,4]:13}");
    arena_fini(&arena);
}

UNIT_TEST(what_was_taken_away_again_leaves_nothing)
{
    static const int64_t counts[] = {1, 0, 7};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct fhist_outcome outcome;
    struct fhist rest, *h = make(&arena, 2, -3, counts, 3);
    assert_int_equal(fhist_begin(&arena, h, false, &rest), OK);
    assert_int_equal(fhist_add(&arena, &rest, h, -1, &outcome), OK);
    fhist_compact(&rest);
    fhist_validate(&rest);
    assert_int_equal(rest.positive.count, 0);
    assert_text(&rest, "{count:0, sum:0}");
    arena_fini(&arena);
}

UNIT_TEST(fewer_observations_are_a_reset_in_any_bucket)
{
    static const int64_t before[] = {1, 2, 3}, more[] = {1, 2, 4}, moved[] = {1, 1, 9};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct fhist *first = make(&arena, 0, 0, before, 3);
    assert_false(fhist_was_reset(make(&arena, 0, 0, more, 3), first));
    assert_true(fhist_was_reset(make(&arena, 0, 0, moved, 3), first));
    assert_true(fhist_was_reset(make(&arena, 0, 0, before, 2), first));
    assert_true(fhist_was_reset(make(&arena, 1, 0, more, 3), first)); /* a finer resolution */
    arena_fini(&arena);
}

UNIT_TEST(a_text_has_the_zero_bucket_even_when_it_is_no_number)
{
    static const int64_t counts[] = {2};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct fhist *h = make(&arena, 0, 1, counts, 1);
    assert_text(h, "{count:2, sum:10, (1,2]:2}");
    h->zero_count = 3;
    assert_text(h, "{count:2, sum:10, [-0.001,0.001]:3, (1,2]:2}");
    h->zero_count = NAN;
    assert_text(h, "{count:2, sum:10, [-0.001,0.001]:NaN, (1,2]:2}");
    arena_fini(&arena);
}

UNIT_TEST(quantiles_lie_within_their_bucket)
{
    static const int64_t counts[] = {4, 4};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    enum fhist_skew skew;
    struct fhist *h = make(&arena, 0, 1, counts, 2);
    assert_true(fhist_quantile(h, 0.25, &skew) == exp2(0.5));
    assert_true(fhist_quantile(h, 1, &skew) == 4);
    assert_true(isinf(fhist_quantile(h, 1.5, &skew)));
    assert_true(isnan(fhist_quantile(h, NAN, &skew)));
    assert_true(fhist_fraction(h, 2, INFINITY, &skew) == 0.5);
    arena_fini(&arena);
}

/* If the sum is NaN, only observations in buckets count, and others are excluded. */
UNIT_TEST(a_fraction_is_one_of_all_observations)
{
    static const int64_t counts[] = {4, 4, 4};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    enum fhist_skew skew;
    struct fhist *h = make(&arena, 0, 1, counts, 3);
    h->count = 16;
    assert_true(fhist_fraction(h, 2, INFINITY, &skew) == 0.75);
    assert_int_equal(skew, SKEW_NONE);
    h->sum = NAN;
    assert_true(fhist_fraction(h, 2, INFINITY, &skew) == 0.5);
    assert_int_equal(skew, SKEW_EXCLUDED);
    h->count = 12;
    assert_true(fhist_fraction(h, 1, 2, &skew) == 4.0 / 12);
    assert_int_equal(skew, SKEW_NONE);
    arena_fini(&arena);
}

UNIT_TEST(a_quantile_reports_observations_outside_the_buckets)
{
    static const int64_t counts[] = {4, 4, 4};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    enum fhist_skew skew;
    struct fhist *h = make(&arena, 0, 1, counts, 3);
    h->count = 40;
    assert_true(fhist_quantile(h, 0.4, &skew) == 8); /* above all buckets */
    assert_int_equal(skew, SKEW_NONE);
    h->sum = NAN;
    h->count = 16;
    assert_true(isnan(fhist_quantile(h, 1, &skew)));
    assert_int_equal(skew, SKEW_RESULT_NAN);
    assert_true(fhist_quantile(h, 0.125, &skew) == exp2(2.5)); /* in the last bucket */
    assert_int_equal(skew, SKEW_HIGHER);
    h->count = 12;
    (void)fhist_quantile(h, 0.125, &skew);
    assert_int_equal(skew, SKEW_NONE);
    arena_fini(&arena);
}

static struct fhist
with_lost_parts(struct arena *arena)
{
    static const int64_t counts[] = {4, 6};
    struct fhist h;
    assert_int_equal(fhist_begin(arena, make(arena, 0, 1, counts, 2), true, &h), OK);
    h.zero_count = 6;
    h.zero_lost = h.positive.lost[0] = 2;
    h.count = 18;
    h.count_lost = h.sum_lost = 4;
    return h;
}

UNIT_TEST(a_factor_and_a_divisor_apply_to_every_part)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct fhist h = with_lost_parts(&arena);
    fhist_divide(&h, 2);
    fhist_settle(&h);
    assert_text(&h, "{count:11, sum:7, [-0.001,0.001]:4, (1,2]:3, (2,4]:3}");
    h = with_lost_parts(&arena);
    fhist_multiply(&h, 2);
    fhist_settle(&h);
    assert_text(&h, "{count:44, sum:28, [-0.001,0.001]:16, (1,2]:12, (2,4]:12}");
    h = with_lost_parts(&arena);
    fhist_divide(&h, -2);
    assert_int_equal(h.hint, RESET_GAUGE);
    fhist_divide(&h, 0);
    assert_text(&h, "{count:-Inf, sum:-Inf, [-0.001,0.001]:-Inf}");
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_are_those_of_prometheus),
        cmocka_unit_test(a_sum_has_the_lower_resolution_and_all_observations),
        cmocka_unit_test(what_was_taken_away_again_leaves_nothing),
        cmocka_unit_test(fewer_observations_are_a_reset_in_any_bucket),
        cmocka_unit_test(a_text_has_the_zero_bucket_even_when_it_is_no_number),
        cmocka_unit_test(quantiles_lie_within_their_bucket),
        cmocka_unit_test(a_fraction_is_one_of_all_observations),
        cmocka_unit_test(a_quantile_reports_observations_outside_the_buckets),
        cmocka_unit_test(a_factor_and_a_divisor_apply_to_every_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
