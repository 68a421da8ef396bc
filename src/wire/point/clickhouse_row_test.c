/* clickhouse_row_test.c - rows byte by byte; any content comes back; and a query can search for the
 * text of labels. */
#include "lib/test.h"

#include <stdlib.h>

#include "lib/wire/clickhouse_row_reader.h"
#include "wire/json/json_scan.h"
#include "wire/json/sample_json.h"

enum { ROOM = 1 << 26 };

static struct buf labels, row;

static int
setup(void **state)
{
    (void)state;
    buf_init(&labels, NULL, ROOM);
    buf_init(&row, NULL, ROOM);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    buf_fini(&labels);
    buf_fini(&row);
    return 0;
}

static struct labelled_sample
point_of(uint64_t bits)
{
    return (struct labelled_sample){
        .labels = buf_bytes(&labels), .t_ms = 1700000000000, .bits = bits};
}

static void
put(const struct labelled_sample *point, bool with_start)
{
    struct why why = {""};
    buf_clear(&row);
    if (clickhouse_row_put(&row, point, with_start, &why) != OK) fail_msg("%s", why.text);
}

static struct clickhouse_row
put_and_read(const struct labelled_sample *point)
{
    struct clickhouse_row back;
    put(point, true);
    struct cursor c = cursor_of(buf_bytes(&row));
    assert_true(clickhouse_row_next(&c, true, &back));
    assert_int_equal(cursor_left(&c), 0);
    return back;
}

static void
expect_text(struct bytes text, const char *expected)
{
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.at, expected, text.size);
}

/* --- bytes ------------------------------------------------------------------------------------ */

UNIT_TEST(test_a_row_is_its_columns_one_after_another)
{
    static const char head[] = "\x02"
                               "up\x0b{\"job\":\"x\"}"
                               "\x00\x68\xe5\xcf\x8b\x01\x00\x00";
    static const uint8_t rest[] = {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t start[] = {5, 0, 0, 0, 0, 0, 0, 0};
    test_put_texts(&labels, "__name__", "up");
    test_put_texts(&labels, "job", "x");
    struct labelled_sample point = point_of(double_bits(1));
    point.start_ms = 5;
    put(&point, false);
    assert_int_equal(row.size, sizeof head - 1 + sizeof rest);
    assert_memory_equal(row.at, head, sizeof head - 1);
    assert_memory_equal(row.at + sizeof head - 1, rest, sizeof rest);
    put(&point, true);
    assert_int_equal(row.size, sizeof head - 1 + sizeof rest + sizeof start);
    assert_memory_equal(row.at + row.size - sizeof start, start, sizeof start);
}

static void
check_labels(const char *name, const char *value, const char *expected)
{
    buf_clear(&labels);
    buf_clear(&row);
    test_put_texts(&labels, name, value);
    clickhouse_labels_put(&row, buf_bytes(&labels));
    expect_text(buf_bytes(&row), expected);
}

UNIT_TEST(test_labels_are_text_without_blanks)
{
    check_labels("__name__", "up", "{}");
    check_labels("job", "x", "{\"job\":\"x\"}");
    check_labels("a \"b\"", "C:\\", "{\"a \\\"b\\\"\":\"C:\\\\\"}");
    check_labels("l.x", "\xc3\xa9/\x7f", "{\"l.x\":\"\xc3\xa9/\x7f\"}");
    check_labels("p", "a\nb\tc\rd\x01\x1f", "{\"p\":\"a\\nb\\tc\\rd\\u0001\\u001f\"}");
    check_labels("p", "\xff,\xc3", "{\"p\":\"\xff,\xc3\"}");
    buf_clear(&labels);
    buf_clear(&row);
    test_put_texts(&labels, "A", "1");
    test_put_texts(&labels, "__name__", "up");
    test_put_texts(&labels, "b", "2");
    clickhouse_labels_put(&row, buf_bytes(&labels));
    expect_text(buf_bytes(&row), "{\"A\":\"1\",\"b\":\"2\"}");
}

UNIT_TEST(test_floats_keep_every_bit_and_bits_are_those_that_are_not_finite)
{
    static const struct {
        uint64_t value, bits;
    } cases[] = {
        {0, 0},
        {0x8000000000000000, 0}, /* -0 */
        {1, 0},                  /* the least above 0 */
        {0x7fefffffffffffff, 0}, /* the largest */
        {0x7ff0000000000000, 0x7ff0000000000000},
        {0xfff0000000000000, 0xfff0000000000000},
        {STALE_NAN_BITS, STALE_NAN_BITS},
        {0xfff8dead0000beef, 0xfff8dead0000beef},
    };
    test_put_texts(&labels, "__name__", "up");
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct labelled_sample point = point_of(cases[i].value);
        struct clickhouse_row back = put_and_read(&point);
        assert_int_equal(back.value_bits, cases[i].value);
        assert_int_equal(back.bits, cases[i].bits);
        assert_int_equal(back.histogram.size, 0);
    }
}

UNIT_TEST(test_a_histogram_has_an_ordinary_nan_as_its_value)
{
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .count = 3, .sum_bits = STALE_NAN_BITS};
    struct labelled_sample point = point_of(double_bits(7));
    point.histogram = &h;
    struct clickhouse_row back = put_and_read(&point);
    assert_int_equal(back.metric.size, 0); /* a series without a name */
    expect_text(back.labels, "{}");
    assert_int_equal(back.value_bits, NORMAL_NAN_BITS);
    assert_int_equal(back.bits, NORMAL_NAN_BITS);
    expect_text(back.histogram, "{\"count_int\":3,\"sum\":\"7ff0000000000002\",\"schema\":0,"
                                "\"zero_threshold\":0,\"zero_count_int\":0}");
}

/* --- and back --------------------------------------------------------------------------------- */

static void
check_random_row(struct rng *r, struct arena *arena)
{
    struct buf back;
    bool is_histogram = rng_below(r, 3) == 0;
    struct histogram h = {.count = 0}, h_back = {.count = 0};
    buf_clear(&labels);
    random_labels(r, (enum random_class)rng_below(r, RANDOM_CLASS_COUNT), &labels);
    struct labelled_sample point = {
        .labels = buf_bytes(&labels),
        .t_ms = (int64_t)rng_next(r),
        .start_ms = (int64_t)rng_next(r),
        .bits = random_value(r, (unsigned)rng_below(r, 11), rng_next(r)),
    };
    if (is_histogram) {
        h = random_histogram(r, arena,
                             rng_below(r, 2) == 0 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT);
        point.histogram = &h;
    }
    struct clickhouse_row got = put_and_read(&point);
    buf_init(&back, NULL, ROOM);
    if (!clickhouse_labels_read(got.metric, got.labels, &back)) fail_msg("labels");
    assert_int_equal(back.size, labels.size);
    assert_true(bytes_equal(buf_bytes(&back), buf_bytes(&labels)));
    buf_fini(&back);
    assert_int_equal(got.t_ms, point.t_ms);
    assert_int_equal(got.start_ms, point.start_ms);
    if (!is_histogram) {
        assert_int_equal(got.value_bits, point.bits);
        return;
    }
    struct scan s = scan_of(got.histogram, arena);
    histogram_json_scan(&s, &h_back);
    scan_end(&s);
    assert_null(s.bad);
    assert_true(same_histogram_bits(&h, &h_back));
}

UNIT_TEST(test_any_sample_comes_back_bit_for_bit)
{
    struct rng r = {.state = 20261124};
    struct arena arena;
    for (int i = 0; i < 5000; i++) {
        arena_init(&arena, NULL, 0, 0);
        check_random_row(&r, &arena);
        arena_fini(&arena);
    }
}

UNIT_TEST(test_lengths_are_as_short_as_they_can_be)
{
    static const size_t sizes[] = {1, 127, 128, 16383, 16384, 2097151, 2097152};
    char *name = malloc(2097152 + 1);
    assert_non_null(name);
    memset(name, 'x', 2097152);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        buf_clear(&labels);
        test_put_label(&labels, bytes_of_text("__name__"), bytes_of(name, sizes[i]));
        test_put_label(&labels, bytes_of_text("p"), bytes_of(name, sizes[i]));
        struct labelled_sample point = point_of(0);
        struct clickhouse_row back = put_and_read(&point);
        size_t text = sizes[i] + strlen("{\"p\":\"\"}");
        assert_int_equal(back.metric.size, sizes[i]);
        assert_int_equal(back.labels.size, text);
        assert_int_equal(row.size, varint_size(sizes[i]) + sizes[i] + varint_size(text) + text +
                                       3 * 8 + 1 + 8);
    }
    free(name);
}

UNIT_TEST(test_a_text_beyond_clickhouse_s_limit_is_refused_and_leaves_nothing)
{
    const size_t size = CLICKHOUSE_TEXT_BYTES_MAX + 1;
    struct why why = {""};
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'x', size);
    buf_put_text(&row, "before");
    test_put_label(&labels, bytes_of_text("__name__"), bytes_of(text, size));
    struct labelled_sample point = point_of(0);
    assert_int_equal(clickhouse_row_put(&row, &point, true, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, "metric name: 16777216 bytes"));
    expect_text(buf_bytes(&row), "before");
    buf_clear(&labels);
    test_put_label(&labels, bytes_of_text("p"), bytes_of(text, size - strlen("{\"p\":\"\"}")));
    point = point_of(0);
    assert_int_equal(clickhouse_row_put(&row, &point, true, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, "labels: 16777216 bytes"));
    expect_text(buf_bytes(&row), "before");
    free(text);
}

UNIT_TEST(test_without_memory_nothing_is_appended)
{
    struct why why = {""};
    test_put_texts(&labels, "__name__", "up");
    test_put_texts(&labels, "job", "x");
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .count = 3};
    struct labelled_sample point = point_of(0);
    point.histogram = &h;
    put(&point, true);
    for (size_t limit = 1; limit < row.size; limit++) {
        struct buf small;
        buf_init(&small, NULL, limit);
        assert_int_equal(clickhouse_row_put(&small, &point, true, &why), ERR_LIMIT);
        assert_int_equal(small.size, 0);
        buf_fini(&small);
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_row_is_its_columns_one_after_another),
        TEST(test_labels_are_text_without_blanks),
        TEST(test_floats_keep_every_bit_and_bits_are_those_that_are_not_finite),
        TEST(test_a_histogram_has_an_ordinary_nan_as_its_value),
        TEST(test_any_sample_comes_back_bit_for_bit),
        TEST(test_lengths_are_as_short_as_they_can_be),
        TEST(test_a_text_beyond_clickhouse_s_limit_is_refused_and_leaves_nothing),
        TEST(test_without_memory_nothing_is_appended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
