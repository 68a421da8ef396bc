/* coded_test.c - coded streams of integers come back, and damaged ones are refused. */
#include "tsdb/codec/codec_private.h"

#include "lib/test.h"

#include "lib/random.h"

enum { NUMBERS = 3000 };

static int64_t values[NUMBERS];
static uint8_t out[16 * NUMBERS + CODEC_SLACK];

static enum err
decode_equal(size_t size, uint32_t count)
{
    struct cursor cursor = cursor_of(bytes_of(out, size));
    struct codec_coded_reader reader;
    enum err e = codec_coded_begin(&reader, &cursor);
    for (uint32_t i = 0, n; i < count && e == OK; i += n) {
        uint64_t read[7];
        n = count - i < 7 ? count - i : 7;
        e = codec_coded_read(&reader, &cursor, n, read);
        if (e == OK) assert_memory_equal(read, values + i, n * sizeof *read);
    }
    if (e) return e;
    codec_coded_end(&reader, &cursor);
    assert_false(cursor.bad);
    assert_int_equal(cursor_left(&cursor), 0);
    return OK;
}

static int64_t
some_number(struct rng *rng, unsigned class)
{
    uint64_t any = rng_next(rng) >> rng_below(rng, 64);
    switch (class) {
    case 0:
        return (int64_t)(any & INT64_MAX);
    case 1:
        return -(int64_t)(any & INT64_MAX);
    case 2:
        return (int64_t)rng_next(rng);
    case 3:
        return (int64_t)(rng_next(rng) % 7) - 3;
    case 4:
        return rng_below(rng, 50) == 0 ? INT64_MIN : 5;
    default:
        return (int64_t)(any ^ (rng_next(rng) & 1 ? UINT64_MAX : 0));
    }
}

UNIT_TEST(test_coded_numbers_come_back)
{
    for (uint64_t seed = 0; seed < 600; seed++) {
        struct rng rng = {seed};
        uint32_t count = 1 + (uint32_t)rng_below(&rng, NUMBERS);
        for (uint32_t i = 0; i < count; i++)
            values[i] = some_number(&rng, seed % 6);
        size_t size = codec_coded_write(values, count, 16 * NUMBERS, out);
        assert_true(size > 0);
        assert_int_equal(decode_equal(size, count), OK);
        assert_int_equal(codec_coded_write(values, count, size, out), 0);
        assert_int_equal(codec_coded_write(values, count, size + 1, out), size);
    }
}

UNIT_TEST(test_classes_that_occur_often_have_short_codes)
{
    struct rng rng = {1};
    for (uint32_t i = 0; i < NUMBERS; i++)
        values[i] = rng_below(&rng, 16) == 0 ? 1 + (int64_t)rng_below(&rng, 1000) : 0;
    size_t size = codec_coded_write(values, NUMBERS, 16 * NUMBERS, out);
    assert_true(8 * size < NUMBERS * 2); /* 15 of 16 take one bit, the others about 12 */
}

UNIT_TEST(test_truncated_coded_streams_are_refused)
{
    struct rng rng = {2};
    for (uint32_t i = 0; i < 200; i++)
        values[i] = some_number(&rng, 5);
    size_t size = codec_coded_write(values, 200, 16 * NUMBERS, out);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(decode_equal(i, 200), ERR_CORRUPT);
}

UNIT_TEST(test_impossible_codes_are_refused)
{
    static const uint8_t heads[][6] = {
        {3, 0, 1, 1},             /* the number of no sign */
        {0, 0, 0},                /* no class */
        {0, 127, 2, 0x11},        /* a class of 128 */
        {0, 0, 1, 9},             /* a code of 9 bits */
        {0, 0, 3, 0x11, 1},       /* three codes of one bit */
        {0, 0, 4, 0x21, 0x22, 0}, /* too many codes */
    };
    for (unsigned i = 0; i < sizeof heads / sizeof *heads; i++) {
        memset(out, 0, sizeof out);
        memcpy(out, heads[i], sizeof heads[i]);
        assert_int_equal(decode_equal(64, 1), ERR_CORRUPT);
    }
    memset(out, 0xff, sizeof out);
    memcpy(out, "\0\1\1\1", 4); /* only the code 0 is given */
    assert_int_equal(decode_equal(64, 1), ERR_CORRUPT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coded_numbers_come_back),
        cmocka_unit_test(test_classes_that_occur_often_have_short_codes),
        cmocka_unit_test(test_truncated_coded_streams_are_refused),
        cmocka_unit_test(test_impossible_codes_are_refused),
    };
    return cmocka_run_group_tests_name("tsdb/codec/coded", tests, NULL, NULL);
}
