/* histogram_test.c - validity, equality and byte form of histograms. */
#include "lib/test.h"

#include <math.h>
#include <stdlib.h>

#include "model/histogram.h"

/* clang-format off */
#define LENGTH(array) ((uint32_t)(sizeof(array) / sizeof *(array)))
#define SPANS(...) .spans = (const struct hist_span[]){__VA_ARGS__}, \
                   .span_count = LENGTH(((struct hist_span[]){__VA_ARGS__}))
#define DELTAS(...) .deltas = (const int64_t[]){__VA_ARGS__}, \
                    .bucket_count = LENGTH(((int64_t[]){__VA_ARGS__}))
#define COUNTS(...) .counts = (const uint64_t[]){__VA_ARGS__}, \
                    .bucket_count = LENGTH(((uint64_t[]){__VA_ARGS__}))
#define BOUNDS(...) .custom_bits = (const uint64_t[]){__VA_ARGS__}, \
                    .custom_count = LENGTH(((uint64_t[]){__VA_ARGS__}))
#define D(number) double_bits(number)
/* clang-format on */

static void
check_accepted(const struct histogram *h, const char *what)
{
    struct why why = {"?"};
    if (histogram_check(h, &why) != OK) fail_msg("%s: refused: %s", what, why.text);
}

static void
check_refused(const struct histogram *h, const char *what, const char *sentence)
{
    struct why why = {""};
    assert_int_equal(histogram_check(h, NULL), ERR_INPUT);
    if (histogram_check(h, &why) != ERR_INPUT) fail_msg("%s: accepted", what);
    if (strstr(why.text, sentence) == NULL) fail_msg("%s: said \"%s\"", what, why.text);
}
#define ACCEPTED(h)          check_accepted(&(h), #h)
#define REFUSED(h, sentence) check_refused(&(h), #h, sentence)

/*
 * Declares `name` as a valid histogram of each class in the caller's block, where the arrays live:
 * {0:2, 1:3, 4:1} positive, {-2:1, -1:1} negative, 2 in the zero bucket.
 */
#define INTEGER_HISTOGRAM(name)                                \
    struct histogram name = {                                  \
        .kind = SAMPLE_HISTOGRAM_INT,                          \
        .reset_hint = RESET_NO,                                \
        .schema = 3,                                           \
        .zero_threshold_bits = D(0.001),                       \
        .sum_bits = D(18.4),                                   \
        .count = 10,                                           \
        .zero_count = 2,                                       \
        .positive = {SPANS({0, 2}, {2, 1}), DELTAS(2, 1, -2)}, \
        .negative = {SPANS({-2, 2}), DELTAS(1, 0)},            \
    }
#define FLOAT_HISTOGRAM(name)                                          \
    struct histogram name = {                                          \
        .kind = SAMPLE_HISTOGRAM_FLOAT,                                \
        .reset_hint = RESET_GAUGE,                                     \
        .schema = -4,                                                  \
        .zero_threshold_bits = D(0.001),                               \
        .sum_bits = D(18.4),                                           \
        .count = D(10.5),                                              \
        .zero_count = D(2.5),                                          \
        .positive = {SPANS({0, 2}, {2, 1}), COUNTS(D(2), D(3), D(1))}, \
        .negative = {SPANS({-2, 2}), COUNTS(D(1), D(1))},              \
    }
#define CUSTOM_HISTOGRAM(name)                                \
    struct histogram name = {                                 \
        .kind = SAMPLE_HISTOGRAM_INT,                         \
        .schema = HISTOGRAM_SCHEMA_CUSTOM,                    \
        .sum_bits = D(18.4),                                  \
        .count = 4,                                           \
        .positive = {SPANS({0, 1}, {1, 2}), DELTAS(1, 0, 1)}, \
        BOUNDS(D(0.5), D(1), D(2.5)),                         \
    }
#define STALE_HISTOGRAM(name) \
    struct histogram name = {.kind = SAMPLE_HISTOGRAM_INT, .sum_bits = STALE_NAN_BITS}

UNIT_TEST(test_check_accepts_one_of_each_class)
{
    INTEGER_HISTOGRAM(integer);
    ACCEPTED(integer);
    FLOAT_HISTOGRAM(floats);
    ACCEPTED(floats);
    CUSTOM_HISTOGRAM(custom);
    ACCEPTED(custom);
    STALE_HISTOGRAM(stale);
    ACCEPTED(stale);
    stale.kind = SAMPLE_HISTOGRAM_FLOAT;
    ACCEPTED(stale);
    struct histogram empty = {.kind = SAMPLE_HISTOGRAM_INT};
    ACCEPTED(empty);
}

UNIT_TEST(test_check_wants_known_kind_hint_and_schema)
{
    INTEGER_HISTOGRAM(h);
    h.kind = SAMPLE_FLOAT;
    REFUSED(h, "not a histogram");
    h.kind = SAMPLE_HISTOGRAM_INT;
    for (int hint = 0; hint <= RESET_GAUGE; hint++) {
        h.reset_hint = (enum reset_hint)hint;
        ACCEPTED(h);
    }
    h.reset_hint = (enum reset_hint)4;
    REFUSED(h, "hint");
    h.reset_hint = RESET_UNKNOWN;
    for (h.schema = -4; h.schema <= 8; h.schema++)
        ACCEPTED(h);
    static const int32_t unknown[] = {INT32_MIN, -54, -52, -5, 9, 52, INT32_MAX};
    for (uint32_t i = 0; i < LENGTH(unknown); i++) {
        h.schema = unknown[i];
        REFUSED(h, "schema");
    }
}

UNIT_TEST(test_check_wants_a_sensible_zero_threshold)
{
    INTEGER_HISTOGRAM(h);
    static const double good[] = {0, -0.0, 5e-324, 1e300};
    for (uint32_t i = 0; i < LENGTH(good); i++) {
        h.zero_threshold_bits = D(good[i]);
        ACCEPTED(h);
    }
    const double bad[] = {-5e-324, -1, INFINITY, -INFINITY, NAN};
    for (uint32_t i = 0; i < LENGTH(bad); i++) {
        h.zero_threshold_bits = D(bad[i]);
        REFUSED(h, "zero threshold");
    }
}

UNIT_TEST(test_check_wants_spans_that_fit_the_buckets)
{
    INTEGER_HISTOGRAM(h);
    h.positive = (struct hist_buckets){SPANS({0, 2}, {2, 1}), DELTAS(6, 0)};
    REFUSED(h, "positive side: expected 3 buckets for its spans, got 2");
    h.positive = (struct hist_buckets){SPANS({0, 2}), DELTAS(2, 0, 0)};
    REFUSED(h, "expected 2 buckets for its spans, got 3");
    h.positive = (struct hist_buckets){.span_count = 0, DELTAS(6)};
    REFUSED(h, "expected 0 buckets for its spans, got 1");
    h.positive = (struct hist_buckets){SPANS({0, 1}, {5, 0}, {0, 0}), DELTAS(6)};
    ACCEPTED(h);
    h.negative = (struct hist_buckets){SPANS({0, 1}), DELTAS(1, 0)};
    REFUSED(h, "negative side: expected 1 buckets");
    /* Lengths that add up to 2^32 + 3 are not 3. */
    h.negative = (struct hist_buckets){0};
    h.positive = (struct hist_buckets){SPANS({INT32_MIN, UINT32_MAX}, {0, 4}), DELTAS(2, 0, 0)};
    REFUSED(h, "positive side");
}

UNIT_TEST(test_check_lets_only_the_first_offset_be_negative)
{
    INTEGER_HISTOGRAM(h);
    h.positive = (struct hist_buckets){SPANS({-5, 2}, {0, 1}), DELTAS(2, 0, 0)};
    ACCEPTED(h);
    h.positive = (struct hist_buckets){SPANS({-5, 2}, {-1, 1}), DELTAS(2, 0, 0)};
    REFUSED(h, "span 2 has a negative offset: -1");
    h.positive = (struct hist_buckets){SPANS({INT32_MIN, 3}), DELTAS(2, 0, 0)};
    ACCEPTED(h);
}

UNIT_TEST(test_check_keeps_bucket_indexes_in_int32)
{
    INTEGER_HISTOGRAM(h);
    /* The last bucket is INT32_MAX. */
    h.positive = (struct hist_buckets){SPANS({INT32_MAX, 1}), DELTAS(6)};
    ACCEPTED(h);
    h.positive = (struct hist_buckets){SPANS({INT32_MAX - 1, 2}), DELTAS(3, 0)};
    ACCEPTED(h);
    h.positive = (struct hist_buckets){SPANS({INT32_MAX, 2}), DELTAS(3, 0)};
    REFUSED(h, "beyond bucket 2147483647");
    h.positive = (struct hist_buckets){SPANS({2, 1}, {INT32_MAX, 1}), DELTAS(3, 0)};
    REFUSED(h, "span 2 ends beyond");
    /* Indexes reach from one end to the other: just within, then one too far. */
    h.positive = (struct hist_buckets){SPANS({INT32_MIN, 1}, {INT32_MAX, 1}, {INT32_MAX - 1, 1}),
                                       DELTAS(2, 0, 0)};
    ACCEPTED(h);
    h.positive = (struct hist_buckets){
        SPANS({INT32_MIN, 1}, {INT32_MAX, 1}, {INT32_MAX - 1, 1}, {0, 1}), DELTAS(2, 0, 0, -2)};
    REFUSED(h, "span 4 ends beyond");
}

UNIT_TEST(test_check_limits_spans_buckets_and_bounds)
{
    enum { MOST = HISTOGRAM_BUCKETS_MAX };
    static struct hist_span spans[MOST + 1];
    static int64_t deltas[MOST + 1];
    static uint64_t bounds[MOST + 1];
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT};
    h.negative = (struct hist_buckets){.spans = spans, .span_count = MOST};
    ACCEPTED(h);
    h.negative.span_count++;
    REFUSED(h, "negative side: more than 65536");

    spans[0].length = MOST;
    h.negative = (struct hist_buckets){
        .spans = spans, .span_count = 1, .deltas = deltas, .bucket_count = MOST};
    ACCEPTED(h);
    spans[0].length = h.negative.bucket_count = MOST + 1;
    REFUSED(h, "negative side: more than 65536");

    h.negative = (struct hist_buckets){0};
    h.schema = HISTOGRAM_SCHEMA_CUSTOM;
    for (uint32_t i = 0; i <= MOST; i++)
        bounds[i] = D(i);
    h.custom_bits = bounds;
    h.custom_count = MOST;
    ACCEPTED(h);
    h.custom_count++;
    REFUSED(h, "custom buckets: more than 65536");
}

UNIT_TEST(test_check_wants_integer_counts_not_negative)
{
    INTEGER_HISTOGRAM(h);
    h.positive = (struct hist_buckets){SPANS({0, 3}), DELTAS(6, -6, 0)};
    ACCEPTED(h);
    h.positive = (struct hist_buckets){SPANS({0, 3}), DELTAS(6, -7, 8)};
    REFUSED(h, "positive side: bucket 2 has a negative count: -1");
    h.negative = (struct hist_buckets){SPANS({0, 1}), DELTAS(-1)};
    h.positive = (struct hist_buckets){0};
    REFUSED(h, "negative side: bucket 1 has a negative count: -1");
    h.negative = (struct hist_buckets){SPANS({0, 1}), .counts = &h.count, .bucket_count = 1};
    REFUSED(h, "missing deltas");
}

UNIT_TEST(test_check_survives_counts_at_the_ends_of_their_types)
{
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .count = INT64_MAX};
    h.positive = (struct hist_buckets){SPANS({0, 2}), DELTAS(INT64_MAX, -INT64_MAX)};
    ACCEPTED(h);
    h.positive = (struct hist_buckets){SPANS({0, 2}), DELTAS(INT64_MAX, 1)};
    REFUSED(h, "the count of bucket 2 overflows");
    h.positive = (struct hist_buckets){SPANS({0, 1}), DELTAS(INT64_MIN)};
    REFUSED(h, "negative count");
    h.positive = (struct hist_buckets){SPANS({0, 2}), DELTAS(0, INT64_MIN)};
    REFUSED(h, "negative count");

    /* INT64_MAX twice and 1 in the zero bucket is UINT64_MAX; then one more is too many. */
    h.positive = (struct hist_buckets){SPANS({0, 2}), DELTAS(INT64_MAX, 0)};
    h.zero_count = 1;
    h.count = UINT64_MAX;
    ACCEPTED(h);
    h.zero_count = 2;
    h.count = 0;
    REFUSED(h, "the sum of all counts overflows");
}

UNIT_TEST(test_check_wants_buckets_to_add_up_unless_sum_is_nan)
{
    INTEGER_HISTOGRAM(h);
    h.count = 11;
    REFUSED(h, "buckets hold 10 observations, but the count is 11");
    h.count = 9;
    REFUSED(h, "buckets hold 10 observations, but the count is 9");
    h.count = 10;
    h.zero_count = 3;
    REFUSED(h, "11 observations");
    h.zero_count = 2;

    h.sum_bits = NORMAL_NAN_BITS;
    h.count = 10;
    ACCEPTED(h);
    h.count = 11;
    ACCEPTED(h);
    h.count = 9;
    REFUSED(h, "buckets hold 10 observations, but the count is 9");
    h.sum_bits = D(INFINITY);
    h.count = 11;
    REFUSED(h, "the count is 11");
}

UNIT_TEST(test_check_of_float_counts)
{
    FLOAT_HISTOGRAM(h);
    h.count = D(1000); /* the total is not compared */
    ACCEPTED(h);
    h.count = D(-0.0);
    ACCEPTED(h);
    h.count = D(-1e-300);
    REFUSED(h, "is negative");
    h.count = D(-INFINITY);
    REFUSED(h, "is negative");
    h.count = D(10);
    h.zero_count = D(-0.5);
    REFUSED(h, "zero bucket is negative");
    h.zero_count = D(0);

    h.positive = (struct hist_buckets){SPANS({0, 2}), COUNTS(D(1), D(-0.5))};
    REFUSED(h, "positive side: bucket 2 has a negative count: -0.5");
    h.positive = (struct hist_buckets){SPANS({0, 3}), COUNTS(D(-0.0), D(NAN), D(INFINITY))};
    ACCEPTED(h);
    h.negative = (struct hist_buckets){SPANS({0, 1}), COUNTS(D(-1))};
    REFUSED(h, "negative side: bucket 1");
    h.negative = (struct hist_buckets){SPANS({0, 1}), DELTAS(1)};
    REFUSED(h, "missing counts");
}

UNIT_TEST(test_check_of_custom_bounds)
{
    CUSTOM_HISTOGRAM(h);
    h.custom_bits = (const uint64_t[]){D(-INFINITY), D(-1), D(-0.0)};
    ACCEPTED(h);
    h.custom_bits = (const uint64_t[]){D(1), D(2), D(2)};
    REFUSED(h, "bound 3 is not greater");
    h.custom_bits = (const uint64_t[]){D(1), D(3), D(2)};
    REFUSED(h, "bound 3 is not greater");
    h.custom_bits = (const uint64_t[]){D(-0.0), D(0), D(2)};
    REFUSED(h, "bound 2 is not greater");
    h.custom_bits = (const uint64_t[]){D(NAN), D(3), D(4)};
    REFUSED(h, "NaN");
    h.custom_bits = (const uint64_t[]){D(1), D(2), D(INFINITY)};
    REFUSED(h, "+Inf");
    h.custom_bits = (const uint64_t[]){D(1), D(2), D(3)};

    /* Buckets 0, 2, 3 need 3 bounds, the last ending at +Inf. */
    h.custom_count = 3;
    ACCEPTED(h);
    h.custom_count = 2;
    REFUSED(h, "2 bounds do not cover 4 buckets");
    h.custom_count = 3;
    h.positive = (struct hist_buckets){SPANS({-1, 3}), DELTAS(1, 0, 1)};
    REFUSED(h, "the first offset -1 is negative");
    h.positive = (struct hist_buckets){0};
    h.count = h.custom_count = 0;
    ACCEPTED(h);
    h.positive = (struct hist_buckets){SPANS({0, 1}), DELTAS(0)};
    ACCEPTED(h);
}

UNIT_TEST(test_check_wants_nothing_but_positive_custom_buckets)
{
    CUSTOM_HISTOGRAM(h);
    h.zero_count = 1;
    h.count = 5;
    REFUSED(h, "the zero bucket must be empty");
    h.zero_count = 0;
    h.count = 4;
    h.zero_threshold_bits = D(0.001);
    REFUSED(h, "the zero bucket must be empty");
    h.zero_threshold_bits = D(NAN);
    REFUSED(h, "the zero bucket must be empty");
    h.zero_threshold_bits = D(-0.0);
    ACCEPTED(h);
    h.negative = (struct hist_buckets){SPANS({0, 0})};
    REFUSED(h, "negative buckets are not allowed");
    h.negative = (struct hist_buckets){SPANS({0, 1}), DELTAS(0)};
    REFUSED(h, "negative buckets are not allowed");

    h.negative = (struct hist_buckets){0};
    h.kind = SAMPLE_HISTOGRAM_FLOAT;
    h.positive = (struct hist_buckets){SPANS({0, 1}), COUNTS(D(4))};
    h.count = D(4);
    h.zero_count = D(-0.0);
    ACCEPTED(h);
    h.zero_count = D(1);
    REFUSED(h, "the zero bucket must be empty");

    INTEGER_HISTOGRAM(exponential);
    exponential.custom_bits = (const uint64_t[]){D(1)};
    exponential.custom_count = 1;
    REFUSED(exponential, "not allowed with the exponential schema 3");
}

/* --- equality --------------------------------------------------------------------------------- */

#define EQUAL(a, b)                                               \
    do {                                                          \
        assert_true(histogram_equal(&a, &b));                     \
        assert_true(histogram_equal(&b, &a));                     \
        assert_int_equal(histogram_hash(&a), histogram_hash(&b)); \
    } while (0)
#define DIFFERENT(a, b)                                               \
    do {                                                              \
        assert_false(histogram_equal(&a, &b));                        \
        assert_false(histogram_equal(&b, &a));                        \
        assert_int_not_equal(histogram_hash(&a), histogram_hash(&b)); \
    } while (0)

UNIT_TEST(test_equal_however_spans_are_cut)
{
    INTEGER_HISTOGRAM(a);
    struct histogram b = a;
    b.reset_hint = RESET_YES;
    EQUAL(a, b);
    /* The same {0:2, 1:3, 4:1} with spans of length 0, with split spans, with empty
     * buckets inside. */
    b.positive = (struct hist_buckets){SPANS({-3, 0}, {3, 1}, {0, 1}, {1, 0}, {1, 1}, {7, 0}),
                                       DELTAS(2, 1, -2)};
    ACCEPTED(b);
    EQUAL(a, b);
    b.positive = (struct hist_buckets){SPANS({-1, 8}), DELTAS(0, 2, 1, -3, 0, 1, -1, 0)};
    ACCEPTED(b);
    EQUAL(a, b);
    b.negative = (struct hist_buckets){SPANS({-2, 3}, {4, 1}), DELTAS(1, 0, -1, 0)};
    ACCEPTED(b);
    EQUAL(a, b);
    b.negative = (struct hist_buckets){SPANS({-2, 3}, {4, 1}), DELTAS(1, 0, -1, 1)};
    DIFFERENT(a, b);
}

UNIT_TEST(test_different_when_any_bucket_differs)
{
    INTEGER_HISTOGRAM(a);
    struct histogram b = a;
    b.positive = (struct hist_buckets){SPANS({0, 2}, {3, 1}), DELTAS(2, 1, -2)};
    DIFFERENT(a, b); /* one place further */
    b.positive = (struct hist_buckets){SPANS({1, 2}, {2, 1}), DELTAS(2, 1, -2)};
    DIFFERENT(a, b);
    b.positive = (struct hist_buckets){SPANS({0, 2}, {2, 1}), DELTAS(3, -1, -1)};
    DIFFERENT(a, b);
    b.positive = (struct hist_buckets){SPANS({0, 2}), DELTAS(2, 1)};
    DIFFERENT(a, b);
    b.positive = a.negative;
    b.negative = a.positive;
    DIFFERENT(a, b);
}

UNIT_TEST(test_different_when_anything_else_differs)
{
    INTEGER_HISTOGRAM(a);
    struct histogram b = a;
    b.schema = 4;
    DIFFERENT(a, b);
    b = a;
    b.zero_threshold_bits = D(0.002);
    DIFFERENT(a, b);
    b = a;
    b.count++;
    DIFFERENT(a, b);
    b = a;
    b.zero_count++;
    DIFFERENT(a, b);
    b = a;
    b.sum_bits = NORMAL_NAN_BITS;
    DIFFERENT(a, b);
    struct histogram c = b;
    c.sum_bits = STALE_NAN_BITS;
    DIFFERENT(b, c);
    c.sum_bits = NORMAL_NAN_BITS;
    EQUAL(b, c);
    a.sum_bits = D(0);
    b = a;
    b.sum_bits = D(-0.0);
    DIFFERENT(a, b); /* the sum is a value, kept bit for bit */

    CUSTOM_HISTOGRAM(d);
    struct histogram e = d;
    e.custom_bits = (const uint64_t[]){D(0.5), D(1), D(2.6)};
    DIFFERENT(d, e);
    e.custom_bits = (const uint64_t[]){D(0.5), D(1), D(2.5), D(3)};
    e.custom_count = 4;
    DIFFERENT(d, e);
    e.custom_count = 3;
    EQUAL(d, e);
}

UNIT_TEST(test_equal_floats_by_bits_but_for_the_sign_of_zero)
{
    FLOAT_HISTOGRAM(a);
    struct histogram b = a;
    EQUAL(a, b);
    b.positive = (struct hist_buckets){SPANS({0, 5}), COUNTS(D(2), D(3), D(-0.0), D(0), D(1))};
    EQUAL(a, b);
    b.positive =
        (struct hist_buckets){SPANS({0, 5}), COUNTS(D(2), D(3), D(-0.0), D(0), D(1.0000001))};
    DIFFERENT(a, b);
    a.zero_count = D(0);
    a.zero_threshold_bits = D(0);
    b = a;
    b.zero_count = D(-0.0);
    b.zero_threshold_bits = D(-0.0);
    EQUAL(a, b);
    a.positive = (struct hist_buckets){SPANS({0, 1}), COUNTS(NORMAL_NAN_BITS)};
    b.positive = a.positive;
    EQUAL(a, b);
    INTEGER_HISTOGRAM(c);
    DIFFERENT(a, c);
}

/* --- byte form -------------------------------------------------------------------------------- */

static void
check_same_side(const struct hist_buckets *a, const struct hist_buckets *b)
{
    assert_int_equal(a->span_count, b->span_count);
    assert_int_equal(a->bucket_count, b->bucket_count);
    for (uint32_t i = 0; i < a->span_count; i++) {
        assert_int_equal(a->spans[i].offset, b->spans[i].offset);
        assert_int_equal(a->spans[i].length, b->spans[i].length);
    }
    for (uint32_t i = 0; i < a->bucket_count; i++) {
        if (a->deltas != NULL) assert_int_equal(a->deltas[i], b->deltas[i]);
        if (a->counts != NULL) assert_int_equal(a->counts[i], b->counts[i]);
    }
    assert_int_equal(a->bucket_count > 0 && a->deltas == NULL, b->bucket_count > 0 && !b->deltas);
}

static void
check_identical(const struct histogram *a, const struct histogram *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->reset_hint, b->reset_hint);
    assert_int_equal(a->schema, b->schema);
    assert_int_equal(a->zero_threshold_bits, b->zero_threshold_bits);
    assert_int_equal(a->sum_bits, b->sum_bits);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->zero_count, b->zero_count);
    check_same_side(&a->positive, &b->positive);
    check_same_side(&a->negative, &b->negative);
    assert_int_equal(a->custom_count, b->custom_count);
    for (uint32_t i = 0; i < a->custom_count; i++)
        assert_int_equal(a->custom_bits[i], b->custom_bits[i]);
}

/* Writes, reads and copies it; every shorter piece of the bytes must be refused. */
static void
check_round_trip(const struct histogram *h)
{
    ACCEPTED(*h);
    struct buf buf;
    buf_init(&buf, NULL, 1 << 20);
    histogram_put(&buf, h);
    assert_int_equal(buf_error(&buf), OK);
    size_t size = buf.size;
    buf_put_u8(&buf, 0xee); /* a byte after it */

    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct cursor c = cursor_of(buf_bytes(&buf));
    struct histogram got, copy;
    assert_int_equal(histogram_get(&c, &arena, &got), OK);
    assert_int_equal(cursor_left(&c), 1);
    check_identical(h, &got);
    assert_int_equal(histogram_copy(&got, &arena, &copy), OK);
    check_identical(h, &copy);
    assert_true(histogram_equal(h, &copy));
    if (got.positive.span_count > 0) assert_true(copy.positive.spans != got.positive.spans);
    if (got.positive.deltas != NULL) assert_true(copy.positive.deltas != got.positive.deltas);
    if (got.positive.counts != NULL) assert_true(copy.positive.counts != got.positive.counts);
    if (got.custom_bits != NULL) assert_true(copy.custom_bits != got.custom_bits);

    for (size_t shorter = 0; shorter < size; shorter++) {
        c = cursor_of(bytes_of(buf.at, shorter));
        assert_int_equal(histogram_get(&c, &arena, &got), ERR_CORRUPT);
    }
    arena_fini(&arena);
    buf_fini(&buf);
}

UNIT_TEST(test_byte_form_keeps_every_class_and_its_layout)
{
    INTEGER_HISTOGRAM(integer);
    for (int hint = 0; hint <= RESET_GAUGE; hint++) {
        integer.reset_hint = (enum reset_hint)hint;
        check_round_trip(&integer);
    }
    FLOAT_HISTOGRAM(floats);
    check_round_trip(&floats);
    floats.count = NORMAL_NAN_BITS;
    check_round_trip(&floats);
    CUSTOM_HISTOGRAM(custom);
    check_round_trip(&custom);
    STALE_HISTOGRAM(stale);
    check_round_trip(&stale);
    stale.kind = SAMPLE_HISTOGRAM_FLOAT;
    check_round_trip(&stale);
    struct histogram negative_only = {.kind = SAMPLE_HISTOGRAM_INT, .count = 5};
    negative_only.negative =
        (struct hist_buckets){SPANS({INT32_MIN, 0}, {INT32_MAX, 1}, {0, 0}, {9, 1}), DELTAS(5, -5)};
    check_round_trip(&negative_only);
    struct histogram wide = {.kind = SAMPLE_HISTOGRAM_INT, .count = UINT64_MAX};
    wide.schema = 8;
    wide.zero_count = 1;
    wide.positive = (struct hist_buckets){SPANS({-1000, 2}), DELTAS(INT64_MAX, 0)};
    check_round_trip(&wide);
}

/* The example of docs/format/histogram.md. */
UNIT_TEST(test_byte_form_is_the_documented_one)
{
    static const uint8_t documented[] = {0x0c, 0x06, 0xfc, 0xa9, 0xf1, 0xd2, 0x4d, 0x62, 0x50,
                                         0x3f, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x32, 0x40,
                                         0x0a, 0x02, 0x02, 0x00, 0x02, 0x04, 0x01, 0x03, 0x04,
                                         0x02, 0x03, 0x01, 0x03, 0x02, 0x02, 0x02, 0x00};
    INTEGER_HISTOGRAM(h);
    struct buf buf;
    buf_init(&buf, NULL, 4096);
    histogram_put(&buf, &h);
    assert_int_equal(buf.size, sizeof documented);
    assert_memory_equal(buf.at, documented, sizeof documented);
    buf_fini(&buf);
}

static void
check_corrupt(const uint8_t *at, size_t size)
{
    struct arena arena;
    arena_init(&arena, NULL, 1 << 20, 0);
    struct cursor c = cursor_of(bytes_of(at, size));
    struct histogram h;
    assert_int_equal(histogram_get(&c, &arena, &h), ERR_CORRUPT);
    arena_fini(&arena);
}

UNIT_TEST(test_get_refuses_what_put_does_not_write)
{
    /* Flags, schema, 8 bytes of threshold, 8 of sum, count, zero count, spans, buckets. */
    uint8_t bytes[64] = {0};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct histogram h;
    struct cursor c = cursor_of(bytes_of(bytes, 22));
    assert_int_equal(histogram_get(&c, &arena, &h), OK);
    arena_fini(&arena);
    bytes[0] = 0x20; /* an unknown flag */
    check_corrupt(bytes, 22);
    bytes[0] = 0;
    bytes[1] = 18; /* schema 9 */
    check_corrupt(bytes, 22);
    bytes[1] = 0;
    bytes[18] = 1; /* a count without a bucket */
    check_corrupt(bytes, 22);
    bytes[18] = 0;
    /* A span whose offset, then whose length, does not fit its type. */
    static const uint8_t wide_offset[] = {1, 0x80, 0x80, 0x80, 0x80, 0x20, 0, 0};
    memcpy(bytes + 20, wide_offset, sizeof wide_offset);
    check_corrupt(bytes, 20 + sizeof wide_offset);
    static const uint8_t wide_length[] = {1, 0, 0x80, 0x80, 0x80, 0x80, 0x10, 0};
    memcpy(bytes + 20, wide_length, sizeof wide_length);
    check_corrupt(bytes, 20 + sizeof wide_length);
}

UNIT_TEST(test_get_takes_no_memory_for_counts_the_bytes_cannot_hold)
{
    static const struct {
        uint8_t flags;
        uint8_t tail[8];
        size_t tail_bytes;
    } cases[] = {
        {0, {0x80, 0x80, 0x04, 0, 0}, 5},       /* 65536 spans, 2 bytes left */
        {0, {2, 0, 0}, 3},                      /* 2 spans, 2 bytes left */
        {0, {0xff, 0xff, 0xff, 0xff, 0x7f}, 5}, /* beyond the limit */
        {0, {0, 0x80, 0x80, 0x04, 0}, 5},       /* 65536 buckets */
        {1, {0, 1, 0, 0, 0, 0, 0, 0}, 8},       /* one float bucket, 6 bytes left */
        {16, {0, 0, 1, 0, 0, 0, 0, 0}, 8},      /* one bound, 5 bytes left */
    };
    for (uint32_t i = 0; i < LENGTH(cases); i++) {
        uint8_t bytes[64] = {cases[i].flags};
        size_t head = cases[i].flags & 1 ? 34 : 20;
        memcpy(bytes + head, cases[i].tail, cases[i].tail_bytes);
        struct arena arena;
        arena_init(&arena, NULL, 0, 0);
        struct cursor c = cursor_of(bytes_of(bytes, head + cases[i].tail_bytes));
        struct histogram h;
        assert_int_equal(histogram_get(&c, &arena, &h), ERR_CORRUPT);
        assert_int_equal(arena.used_bytes, 0);
        arena_fini(&arena);
    }
}

UNIT_TEST(test_every_refused_allocation_is_an_error)
{
    INTEGER_HISTOGRAM(integer);
    CUSTOM_HISTOGRAM(custom);
    FLOAT_HISTOGRAM(floats);
    const struct histogram *all[] = {&integer, &custom, &floats};
    for (uint32_t i = 0; i < LENGTH(all); i++) {
        struct buf buf;
        buf_init(&buf, NULL, 1 << 16);
        mem_fail_nth(1, false);
        histogram_put(&buf, all[i]);
        mem_fail_nth(0, false);
        assert_int_equal(buf_error(&buf), ERR_NOMEM);
        assert_int_equal(buf.size, 0);
        buf_clear(&buf);
        histogram_put(&buf, all[i]);

        for (uint64_t nth = 1;; nth++) {
            struct arena arena;
            arena_init(&arena, NULL, 0, 1); /* each allocation is a block of its own */
            struct cursor c = cursor_of(buf_bytes(&buf));
            struct histogram got;
            mem_fail_nth(nth, false);
            enum err e = histogram_get(&c, &arena, &got);
            if (!e) e = histogram_copy(all[i], &arena, &got);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            assert_int_equal(e, fired ? ERR_LIMIT : OK);
            arena_fini(&arena);
            if (!fired) break;
        }
        buf_fini(&buf);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_accepts_one_of_each_class),
        cmocka_unit_test(test_check_wants_known_kind_hint_and_schema),
        cmocka_unit_test(test_check_wants_a_sensible_zero_threshold),
        cmocka_unit_test(test_check_wants_spans_that_fit_the_buckets),
        cmocka_unit_test(test_check_lets_only_the_first_offset_be_negative),
        cmocka_unit_test(test_check_keeps_bucket_indexes_in_int32),
        cmocka_unit_test(test_check_limits_spans_buckets_and_bounds),
        cmocka_unit_test(test_check_wants_integer_counts_not_negative),
        cmocka_unit_test(test_check_survives_counts_at_the_ends_of_their_types),
        cmocka_unit_test(test_check_wants_buckets_to_add_up_unless_sum_is_nan),
        cmocka_unit_test(test_check_of_float_counts),
        cmocka_unit_test(test_check_of_custom_bounds),
        cmocka_unit_test(test_check_wants_nothing_but_positive_custom_buckets),
        cmocka_unit_test(test_equal_however_spans_are_cut),
        cmocka_unit_test(test_different_when_any_bucket_differs),
        cmocka_unit_test(test_different_when_anything_else_differs),
        cmocka_unit_test(test_equal_floats_by_bits_but_for_the_sign_of_zero),
        cmocka_unit_test(test_byte_form_keeps_every_class_and_its_layout),
        cmocka_unit_test(test_byte_form_is_the_documented_one),
        cmocka_unit_test(test_get_refuses_what_put_does_not_write),
        cmocka_unit_test(test_get_takes_no_memory_for_counts_the_bytes_cannot_hold),
        cmocka_unit_test(test_every_refused_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
