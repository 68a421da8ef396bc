/* float_test.c - floats whose least number is stored outside of the encoding, and the properties
 * that an encoding states. */
#include "lib/test.h"

#include "lib/random.h"
#include "tsdb/codec/codec.h"

#define STALE 0x7ff0000000000002u

struct rig {
    struct codec_scratch *scratch;
    struct buf out;
    uint64_t bits[CODEC_SAMPLES_MAX];
    uint64_t back[CODEC_SAMPLES_MAX];
};

static struct rig g;

static void
rig_open(void)
{
    assert_int_equal(codec_scratch_new(NULL, &g.scratch), OK);
    buf_init(&g.out, NULL, 1 << 20);
}

static void
rig_close(void)
{
    codec_scratch_free(g.scratch);
    buf_fini(&g.out);
}

/* Returns the encoding, with the room after it that decoding reads. */
static struct bytes
encoded(void)
{
    assert_int_equal(buf_error(&g.out), OK);
    assert_true(buf_reserve(&g.out, CODEC_SLACK));
    return buf_bytes(&g.out);
}

static int64_t
encode_from(uint32_t count)
{
    int64_t origin = -1;
    buf_clear(&g.out);
    codec_float_encode_from(g.scratch, g.bits, count, &origin, &g.out);
    return origin;
}

/* Checks slices at the beginning, at the end and inside. */
static void
check_some(int64_t origin, uint32_t count)
{
    struct bytes bytes = encoded();
    const uint32_t slices[][2] = {{0, 1},
                                  {count - 1, count},
                                  {count / 2, count / 2 + 1},
                                  {count / 3, count},
                                  {0, (count + 1) / 2},
                                  {count / 3, (count * 2 + 2) / 3}};
    for (unsigned i = 0; i < sizeof slices / sizeof *slices; i++) {
        uint32_t from = slices[i][0], until = slices[i][1];
        memset(g.back, 0x33, sizeof g.back);
        assert_int_equal(codec_float_decode_some(bytes, origin, count, from, until, g.back), OK);
        assert_memory_equal(g.bits + from, g.back + from, (until - from) * sizeof *g.bits);
    }
}

static void
check_round_trip(uint32_t count)
{
    int64_t origin = encode_from(count);
    assert_int_equal(codec_float_decode_from(encoded(), origin, count, g.back), OK);
    assert_memory_equal(g.bits, g.back, count * sizeof *g.bits);
    check_some(origin, count);
}

static uint64_t
some_value(struct rng *r, unsigned shape, uint32_t i, double *last)
{
    uint64_t dice = rng_next(r);
    switch (shape) {
    case 0: /* a large counter */
        *last += (double)(dice % 100);
        return double_bits(4e12 + *last);
    case 1: /* decimals around zero */
        return double_bits((double)((int64_t)(dice % 2001) - 1000) / 100);
    case 2: /* decimals with holes, infinities and -0 */
        if (dice % 9 == 0) return dice % 2 == 0 ? STALE : 0x8000000000000000u;
        if (dice % 31 == 0) return double_bits(-__builtin_inf());
        return double_bits((double)(dice % 50) / 10);
    case 3: /* any bits */
        return dice;
    case 4: /* huge integers */
        return double_bits((double)(int64_t)dice);
    default: /* sums of decimals */
        *last += 0.1;
        return double_bits(*last + i);
    }
}

UNIT_TEST(test_values_come_back_with_their_origin)
{
    rig_open();
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct rng r = {seed};
        uint32_t count = 1 + (uint32_t)rng_below(&r, seed % 50 == 0 ? CODEC_SAMPLES_MAX : 300);
        double last = (double)rng_below(&r, 1000);
        for (uint32_t i = 0; i < count; i++)
            g.bits[i] = some_value(&r, seed % 6, i, &last);
        check_round_trip(count);
    }
    rig_close();
}

UNIT_TEST(test_the_origin_is_the_least_number)
{
    rig_open();
    for (uint32_t i = 0; i < 100; i++)
        g.bits[i] = double_bits((double)(1000000 + (i * 37) % 100) / 100);
    assert_int_equal(encode_from(100), 1000000);
    size_t with = g.out.size;
    struct codec_shape shape = codec_float_shape(encoded());
    assert_true(shape.is_decimal && !shape.is_constant);
    assert_int_equal(shape.e, 2);
    buf_clear(&g.out);
    codec_float_encode(g.scratch, g.bits, 100, &g.out);
    assert_true(with < g.out.size);
    g.bits[3] = double_bits(__builtin_nan(""));
    assert_int_equal(encode_from(100), 1000000); /* values that are not decimals do not count */
    rig_close();
}

static void
check_constant(uint64_t value, uint32_t count, bool stale, int64_t k, unsigned e)
{
    for (uint32_t i = 0; i < count; i++)
        g.bits[i] = value;
    if (stale) g.bits[count - 1] = STALE;
    assert_int_equal(encode_from(count), 0);
    struct codec_shape shape = codec_float_shape(encoded());
    assert_true(shape.is_decimal && shape.is_constant);
    assert_int_equal(shape.e, e);
    assert_int_equal(shape.k, k);
    codec_constant_fill(shape.e, shape.k, stale, count, g.back);
    assert_memory_equal(g.bits, g.back, count * sizeof *g.bits);
}

UNIT_TEST(test_a_constant_is_what_its_shape_says)
{
    rig_open();
    check_constant(double_bits(0), 1, false, 0, 0);
    check_constant(double_bits(0.25), 17, false, 25, 2);
    check_constant(double_bits(-1e15), 8192, false, -1000000000000000, 0);
    check_constant(double_bits(0.1), 2, true, 1, 1);
    check_constant(double_bits(7), 300, true, 7, 0);
    rig_close();
}

UNIT_TEST(test_a_value_that_is_not_a_decimal_has_no_shape)
{
    rig_open();
    static const uint64_t values[] = {STALE, 0x8000000000000000u, 0x7ff8000000000001u,
                                      0x3fd5555555555555u};
    for (unsigned i = 0; i < 4; i++) {
        g.bits[0] = values[i];
        assert_int_equal(encode_from(1), 0);
        assert_false(codec_float_shape(encoded()).is_decimal);
    }
    assert_false(codec_float_shape(bytes_of(NULL, 0)).is_decimal);
    rig_close();
}

UNIT_TEST(test_scaling_finds_the_nearest_integer)
{
    int64_t k;
    assert_true(codec_scale(1.25, 2, &k));
    assert_int_equal(k, 125);
    assert_true(codec_scale(-0.1, 1, &k));
    assert_int_equal(k, -1);
    assert_false(codec_scale(1e16, 0, &k));
    assert_false(codec_scale(1e3, 15, &k));
    assert_false(codec_scale(__builtin_nan(""), 0, &k));
    assert_false(codec_scale(-__builtin_inf(), 3, &k));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_back_with_their_origin),
        cmocka_unit_test(test_the_origin_is_the_least_number),
        cmocka_unit_test(test_a_constant_is_what_its_shape_says),
        cmocka_unit_test(test_a_value_that_is_not_a_decimal_has_no_shape),
        cmocka_unit_test(test_scaling_finds_the_nearest_integer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
