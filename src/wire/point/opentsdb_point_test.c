/* opentsdb_point_test.c - points byte by byte, items that are unfit, and names, values and numbers
 * that come back. */
#include "lib/test.h"

#include <jansson.h>
#include <stdio.h>

#include "lib/wire/put_text.h"
#include "lib/wire/random_labels.h"
#include "wire/number.h"
#include "wire/point/opentsdb_point.h"

enum { MAX_TAGS = 8 };

static void
check_point(const struct labelled_sample *point, const char *expected)
{
    struct buf to;
    struct why why = {""};
    buf_init(&to, NULL, 1 << 20);
    buf_put_u8(&to, '>');
    enum err e = opentsdb_point_put(&to, point, MAX_TAGS, &why);
    expect_put(&to, e, &why, expected);
}

static void
check_value(uint64_t bits, const char *text)
{
    struct buf labels;
    char expected[200];
    buf_init(&labels, NULL, 1000);
    test_put_texts(&labels, "__name__", "a");
    test_put_texts(&labels, "b", "c");
    struct labelled_sample point = {
        .labels = buf_bytes(&labels), .t_ms = 1700000000000, .bits = bits};
    snprintf(expected, sizeof expected,
             "{\"metric\":\"a\",\"timestamp\":1700000000000,\"value\":%s,\"tags\":{\"b\":\"c\"}}",
             text == NULL ? "" : text);
    check_point(&point, text == NULL ? NULL : expected);
    buf_fini(&labels);
}

UNIT_TEST(test_values_are_integers_only_where_that_is_exact)
{
    check_value(0, "0");
    check_value(double_bits(-0.0), "-0.0");
    check_value(double_bits(-17), "-17");
    check_value(double_bits(0.1), "0.1");
    check_value(double_bits(0x1p53 - 1), "9007199254740991");
    check_value(double_bits(0x1p53), "9007199254740992.0");
    check_value(double_bits(-0x1p53), "-9007199254740992.0");
    check_value(double_bits(1e20), "100000000000000000000.0");
    check_value(double_bits(1e21), "1e+21");
    check_value(1, "5e-324");
    check_value(0x7ff0000000000000u, NULL);
    check_value(STALE_NAN_BITS, NULL);
    check_value(NORMAL_NAN_BITS, NULL);
}

static void
check_time(int64_t t_ms, const char *text)
{
    struct buf labels;
    char expected[200];
    buf_init(&labels, NULL, 1000);
    test_put_texts(&labels, "__name__", "a");
    test_put_texts(&labels, "b", "c");
    struct labelled_sample point = {.labels = buf_bytes(&labels), .t_ms = t_ms, .bits = 0};
    snprintf(expected, sizeof expected,
             "{\"metric\":\"a\",\"timestamp\":%s,\"value\":0,\"tags\":{\"b\":\"c\"}}",
             text == NULL ? "" : text);
    check_point(&point, text == NULL ? NULL : expected);
    buf_fini(&labels);
}

UNIT_TEST(test_times_are_not_taken_for_other_units)
{
    check_time(9999999999999, "9999999999999");
    check_time(10000000000000, NULL);
    check_time(1000000000000, "1000000000000");
    check_time(999999999000, "999999999");
    check_time(999999999001, NULL);
    check_time(1000, "1");
    check_time(0, NULL);
    check_time(-1000, NULL);
    check_time(INT64_MIN, NULL);
}

UNIT_TEST(test_names_are_escaped)
{
    struct buf labels;
    buf_init(&labels, NULL, 1000);
    test_put_texts(&labels, "U__x", "1");
    test_put_texts(&labels, "__name__", "job:a_b");
    test_put_texts(&labels, "a_b", "h\xc3\xa9 \"-./:_\n\\");
    test_put_texts(&labels, "l.x", "x");
    struct labelled_sample point = {.labels = buf_bytes(&labels), .t_ms = 1700000000000, .bits = 0};
    check_point(&point, "{\"metric\":\"job_.a__b\",\"timestamp\":1700000000000,\"value\":0,"
                        "\"tags\":{\"U__U____x\":\"1\",\"a_b\":\"h_C3_A9_20_22-./_.___0A_5C\","
                        "\"U__l_2e_x\":\"x\"}}");
    buf_fini(&labels);
}

UNIT_TEST(test_series_that_opentsdb_cannot_have_are_unfit)
{
    struct buf labels;
    buf_init(&labels, NULL, 1000);
    struct labelled_sample point = {.t_ms = 1700000000000};
    check_point(&point, NULL);
    test_put_texts(&labels, "__name__", "a");
    point.labels = buf_bytes(&labels);
    check_point(&point, NULL); /* no tag */
    buf_clear(&labels);
    for (char name[] = "a"; name[0] < 'a' + MAX_TAGS; name[0]++)
        test_put_texts(&labels, name, "x");
    point.labels = buf_bytes(&labels);
    check_point(&point, NULL); /* no name */
    buf_clear(&labels);
    test_put_texts(&labels, "__name__", "a");
    for (char name[] = "a"; name[0] < 'a' + MAX_TAGS; name[0]++)
        test_put_texts(&labels, name, "x");
    struct buf to;
    buf_init(&to, NULL, 1000);
    point.labels = buf_bytes(&labels);
    assert_int_equal(opentsdb_point_put(&to, &point, MAX_TAGS, NULL), OK);
    test_put_texts(&labels, "z", "x");
    point.labels = buf_bytes(&labels);
    check_point(&point, NULL); /* one too many */
    buf_fini(&to);
    buf_fini(&labels);
}

UNIT_TEST(test_a_point_that_does_not_fit_leaves_nothing)
{
    struct buf labels, small;
    buf_init(&labels, NULL, 1000);
    test_put_texts(&labels, "__name__", "a");
    test_put_texts(&labels, "b", "c");
    struct labelled_sample point = {.labels = buf_bytes(&labels), .t_ms = 1700000000000, .bits = 0};
    for (size_t limit = 1;; limit++) {
        buf_init(&small, NULL, limit);
        enum err e = opentsdb_point_put(&small, &point, MAX_TAGS, NULL);
        size_t size = small.size;
        buf_fini(&small);
        if (e == OK) {
            assert_int_equal(size, limit);
            break;
        }
        assert_int_equal(e, ERR_LIMIT);
        assert_int_equal(size, 0);
    }
    buf_fini(&labels);
}

/* --- there and back --------------------------------------------------------------------------- */

static bool
is_allowed(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && strchr("-_./", c) == NULL) return false;
    }
    return text.size > 0;
}

static struct bytes
decoded(struct buf *memory, const char *text, bool tag)
{
    size_t before = memory->size;
    assert_true(is_allowed(bytes_of_text(text)));
    enum err e = tag ? opentsdb_tag_get(memory, bytes_of_text(text))
                     : opentsdb_value_get(memory, bytes_of_text(text));
    assert_int_equal(e, OK);
    return bytes_of(memory->at + before, memory->size - before);
}

/* Reads the point with a JSON library. */
static void
check_back(struct bytes point, struct bytes labels, uint64_t bits)
{
    struct label read[RANDOM_LABELS_MAX];
    struct buf memory, back;
    uint32_t count = 0;
    const char *name;
    json_t *value;
    buf_init(&memory, NULL, 1 << 20);
    buf_init(&back, NULL, 1 << 20);
    assert_true(buf_reserve(&memory, 1 << 16)); /* its content does not move */
    json_t *json = json_loadb((const char *)point.at, point.size, 0, NULL);
    assert_non_null(json);
    read[count].name = bytes_of_text("__name__");
    read[count++].value =
        decoded(&memory, json_string_value(json_object_get(json, "metric")), false);
    json_object_foreach(json_object_get(json, "tags"), name, value)
    {
        read[count].name = decoded(&memory, name, true);
        read[count++].value = decoded(&memory, json_string_value(value), false);
    }
    test_put_labels(&back, read, count);
    assert_true(bytes_equal(buf_bytes(&back), labels));
    json_t *number = json_object_get(json, "value");
    double got =
        json_is_integer(number) ? (double)json_integer_value(number) : json_real_value(number);
    assert_true(double_bits(got) == bits);
    json_decref(json);
    buf_fini(&memory);
    buf_fini(&back);
}

UNIT_TEST(test_points_come_back)
{
    struct rng r = {9};
    struct buf labels, to;
    unsigned fit = 0;
    buf_init(&labels, NULL, 1 << 20);
    buf_init(&to, NULL, 1 << 20);
    for (int i = 0; i < 20000; i++) {
        struct why why = {""};
        buf_clear(&labels);
        buf_clear(&to);
        random_labels(&r, (enum random_class)(i % RANDOM_CLASS_COUNT), &labels);
        uint64_t bits = random_value(&r, RANDOM_VALUE_CLASSES, rng_next(&r));
        struct labelled_sample point = {
            .labels = buf_bytes(&labels), .t_ms = 1700000000000, .bits = bits};
        enum err e = opentsdb_point_put(&to, &point, RANDOM_LABELS_MAX, &why);
        if (e == OK) {
            fit++;
            check_back(buf_bytes(&to), buf_bytes(&labels), bits);
        } else {
            assert_int_equal(e, ERR_INPUT);
            assert_true(why.text[0] != '\0');
        }
    }
    assert_true(fit > 5000);
    buf_fini(&labels);
    buf_fini(&to);
}

UNIT_TEST(test_the_digits_of_another_adapter_are_read)
{
    struct buf to;
    buf_init(&to, NULL, 1000);
    assert_int_equal(opentsdb_value_get(&to, bytes_of_text("a_Ax_5_9__.")), OK);
    assert_int_equal(to.size, 7);
    assert_memory_equal(to.at, "a\nx\x05\x09_.", 7);
    buf_clear(&to);
    static const char *const bad[] = {"_", "a_", "_x", "_a0", "a:b", "a b", "\xc3\xa9", "_-"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (opentsdb_value_get(&to, bytes_of_text(bad[i])) != ERR_INPUT) fail_msg("%s", bad[i]);
        assert_int_equal(to.size, 0);
    }
    buf_fini(&to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_integers_only_where_that_is_exact),
        cmocka_unit_test(test_times_are_not_taken_for_other_units),
        cmocka_unit_test(test_names_are_escaped),
        cmocka_unit_test(test_series_that_opentsdb_cannot_have_are_unfit),
        cmocka_unit_test(test_a_point_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(test_points_come_back),
        cmocka_unit_test(test_the_digits_of_another_adapter_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
