/* timestream_record_test.c - records byte by byte, names that clash or are too long, sizes, and
 * reading everything back. */
#include "lib/test.h"

#include <jansson.h>
#include <stdio.h>

#include "base/text/utf8.h"
#include "lib/wire/put_text.h"
#include "lib/wire/random_labels.h"
#include "lib/wire/timestream_labels.h"
#include "wire/json/sample_json.h"
#include "wire/number.h"

static void
check_record(const struct timestream_record *record, const char *expected)
{
    struct buf to;
    struct why why = {""};
    buf_init(&to, NULL, 1 << 20);
    uint32_t counted;
    buf_put_u8(&to, '>');
    enum err e = timestream_record_put(&to, record, &counted, &why);
    expect_put(&to, e, &why, expected);
}

UNIT_TEST(test_a_record_has_the_documented_form)
{
    struct buf labels;
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .count = 3};
    buf_init(&labels, NULL, 1000);
    test_put_texts(&labels, "__name__", "up");
    test_put_texts(&labels, "job", "x\"");
    struct timestream_record r = {.name = bytes_of_text("up"),
                                  .sample.labels = buf_bytes(&labels),
                                  .sample.t_ms = 1700000000000,
                                  .sample.bits = double_bits(-0.0),
                                  .version = 7};
#define TAIL "\"Dimensions\":[{\"Name\":\"job\",\"Value\":\"x\\\"\"}],\"Time\":\"1700000000000\""
    check_record(&r, "{\"MeasureName\":\"up\",\"MeasureValue\":\"-0.0\","
                     "\"MeasureValueType\":\"DOUBLE\"," TAIL ",\"Version\":7}");
    r.version = 0;
    r.sample.bits = STALE_NAN_BITS;
    check_record(&r, "{\"MeasureName\":\"up\",\"MeasureValue\":\"7ff0000000000002\","
                     "\"MeasureValueType\":\"VARCHAR\"," TAIL "}");
    r.sample.histogram = &h;
    check_record(&r,
                 "{\"MeasureName\":\"up\",\"MeasureValue\":\"{\\\"count_int\\\":3,\\\"sum\\\":0,"
                 "\\\"schema\\\":0,\\\"zero_threshold\\\":0,\\\"zero_count_int\\\":0}\","
                 "\"MeasureValueType\":\"VARCHAR\"," TAIL "}");
#undef TAIL
    buf_fini(&labels);
}

UNIT_TEST(test_common_attributes_are_dimensions_alone)
{
    struct buf labels, to;
    struct timestream_size size = {1, 10};
    struct why why = {""};
    buf_init(&labels, NULL, 1000);
    buf_init(&to, NULL, 1000);
    test_put_texts(&labels, "__name__", "up");
    test_put_texts(&labels, "a", "b");
    test_put_texts(&labels, "time", "c");
    assert_int_equal(timestream_dimensions_put(&to, buf_bytes(&labels), &size, &why), OK);
    assert_true(bytes_equal_text(buf_bytes(&to), "\"Dimensions\":[{\"Name\":\"a\",\"Value\":\"b\"},"
                                                 "{\"Name\":\"U__time\",\"Value\":\"c\"}]"));
    assert_int_equal(size.count, 3);
    assert_int_equal(size.bytes, 10 + 2 + 8);
    buf_fini(&labels);
    buf_fini(&to);
}

static void
check_name(const char *name, bool measure, bool keep_colons, const char *expected)
{
    struct buf to;
    buf_init(&to, NULL, 10000);
    if (measure)
        timestream_measure_name_put(&to, bytes_of_text(name), keep_colons);
    else
        timestream_dimension_name_put(&to, bytes_of_text(name));
    buf_put_u8(&to, 0);
    assert_string_equal((char *)to.at, expected);
    buf_fini(&to);
}

UNIT_TEST(test_names_that_clash_are_mapped)
{
    static const char *const as_they_are[] = {"time_", "timezone", "measure_name_", "ts",  "Time",
                                              "job",   "\xc3\xa9", "a.b",           "U_x", "H_x"};
    for (unsigned i = 0; i < sizeof as_they_are / sizeof *as_they_are; i++)
        check_name(as_they_are[i], false, false, as_they_are[i]);
    check_name("time", false, false, "U__time");
    check_name("measure_name", false, false, "U__measure__name");
    check_name("measure_value", false, false, "U__measure__value");
    check_name("measure_value::double", false, false, "U__measure__value_3a__3a_double");
    check_name("measure_values", false, false, "U__measure__values");
    check_name("ts_x", false, false, "U__ts__x");
    check_name("a:b", false, false, "U__a_3a_b");
    check_name("U__x", false, false, "U__U____x");
    check_name("N__x", false, false, "U__N____x");
    check_name("time", true, false, "U__time");
    check_name("ts_x", true, false, "U__ts__x");
    check_name("measure_value", true, true, "U__measure__value");
    check_name("measure_value:x", true, true, "U__measure__value_3a_x");
    check_name("measure_values", true, false, "U__measure__values");
    check_name("measure_name", true, false, "measure_name");
    check_name("timezone", true, false, "timezone");
    check_name("ts", true, false, "ts");
    check_name("a:b", true, false, "U__a_3a_b");
    check_name("a:b", true, true, "a:b");
    check_name("", true, true, "U__");
    check_name("M__x", true, true, "U__M____x");
    check_name("a\xff", true, true, "U__a_1100ff_");
}

/* Returns a name of `size` times x, after `start`. */
static const char *
long_name(const char *start, size_t size)
{
    static char name[4096];
    size_t before = strlen(start);
    memcpy(name, start, before);
    memset(name + before, 'x', size - before);
    name[size] = '\0';
    return name;
}

UNIT_TEST(test_names_that_are_too_long_are_kept_aside)
{
    struct buf labels, to;
    struct why why = {""};
    buf_init(&labels, NULL, 4096);
    buf_init(&to, NULL, 4096);
    test_put_texts(&labels, long_name("a", 60), "1");
    test_put_texts(&labels, long_name("b", 61), "2");
    struct timestream_size size = {0, 0};
    assert_int_equal(timestream_dimensions_put(&to, buf_bytes(&labels), &size, &why), OK);
    assert_int_equal(size.count, 3);
    assert_int_equal(size.bytes, 61 + 61 + 19 + 61);
    json_t *root = json_loadb((const char *)to.at + strlen("\"Dimensions\":"),
                              to.size - strlen("\"Dimensions\":"), 0, NULL);
    assert_int_equal(json_array_size(root), 3);
    const char *shortened = json_string_value(json_object_get(json_array_get(root, 1), "Name"));
    const char *keeper = json_string_value(json_object_get(json_array_get(root, 2), "Name"));
    const char *kept = json_string_value(json_object_get(json_array_get(root, 2), "Value"));
    assert_int_equal(strlen(shortened), 60);
    assert_memory_equal(shortened, "H__bxxx", 7);
    assert_memory_equal(keeper, "N__", 3);
    assert_string_equal(shortened + 44, keeper + 3);
    assert_string_equal(kept, long_name("b", 61));
    json_decref(root);
    buf_fini(&labels);
    buf_fini(&to);
}

/* A shortened name keeps its start, as far as that is a plain word. */
UNIT_TEST(test_a_shortened_name_that_begins_with_a_digit_has_no_begin)
{
    static const struct {
        const char *start, *begin;
    } cases[] = {{"a1_", "H__a1_xxx"}, {"9a", "H____"}, {"a.b", "H__a__"}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf to;
        buf_init(&to, NULL, 1000);
        timestream_dimension_name_put(&to, bytes_of_text(long_name(cases[i].start, 61)));
        size_t size = strlen(cases[i].begin);
        assert_true(to.size >= size + 16);
        assert_memory_equal(to.at, cases[i].begin, size);
        if (size < 9) assert_int_equal(to.size, size + 16);
        buf_fini(&to);
    }
}

UNIT_TEST(test_values_are_not_mapped_whatever_they_begin_with)
{
    struct buf labels, to;
    struct why why = {""};
    buf_init(&labels, NULL, 100);
    buf_init(&to, NULL, 1000);
    test_put_texts(&labels, "a", "U__x");
    struct timestream_size size = {0, 0};
    assert_int_equal(timestream_dimensions_put(&to, buf_bytes(&labels), &size, &why), OK);
    assert_true(
        bytes_equal_text(buf_bytes(&to), "\"Dimensions\":[{\"Name\":\"a\",\"Value\":\"U__x\"}]"));
    buf_fini(&labels);
    buf_fini(&to);
}

UNIT_TEST(test_records_that_are_too_large_are_unfit)
{
    struct buf labels;
    buf_init(&labels, NULL, 1 << 16);
    struct timestream_record r = {.name = bytes_of_text("up"), .sample.labels = {NULL, 0}};
    r.common.bytes = TIMESTREAM_RECORD_BYTES_MAX - 2 - 8 - 8;
    struct buf to;
    uint32_t counted;
    buf_init(&to, NULL, 1 << 16);
    assert_int_equal(timestream_record_put(&to, &r, &counted, NULL), OK);
    assert_int_equal(counted, 2 + 8 + 8);
    r.common.bytes++;
    check_record(&r, NULL);
    r.common = (struct timestream_size){0, 0};
    test_put_texts(&labels, "a", long_name("", 2048));
    r.sample.labels = buf_bytes(&labels);
    check_record(&r, NULL);
    buf_clear(&labels);
    test_put_texts(&labels, "a", "\xff");
    r.sample.labels = buf_bytes(&labels);
    check_record(&r, NULL);
    buf_clear(&labels);
    test_put_texts(&labels, "a", "b");
    r.sample.labels = buf_bytes(&labels);
    r.common.count = TIMESTREAM_DIMENSIONS_MAX;
    check_record(&r, NULL);
    struct timestream_size size = {TIMESTREAM_DIMENSIONS_MAX, 0};
    struct why why = {""};
    buf_clear(&to);
    assert_int_equal(timestream_dimensions_put(&to, r.sample.labels, &size, &why), ERR_INPUT);
    assert_int_equal(to.size, 0);
    assert_int_equal(size.count, TIMESTREAM_DIMENSIONS_MAX);
    static uint64_t bounds[1000];
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .custom_bits = bounds};
    r = (struct timestream_record){.sample.histogram = &h};
    h.custom_count = 900;
    assert_int_equal(timestream_record_put(&to, &r, &counted, NULL), OK);
    h.custom_count = 1000;
    check_record(&r, NULL);
    buf_fini(&labels);
    buf_fini(&to);
}

UNIT_TEST(test_a_record_that_does_not_fit_leaves_nothing)
{
    struct buf labels, small;
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_FLOAT};
    buf_init(&labels, NULL, 4096);
    test_put_texts(&labels, "b:c", "c");
    test_put_texts(&labels, long_name("d", 70), "c");
    struct timestream_record r = {
        .name = bytes_of_text("a"), .sample.labels = buf_bytes(&labels), .sample.histogram = &h};
    for (size_t limit = 1;; limit++) {
        uint32_t counted;
        buf_init(&small, NULL, limit);
        enum err e = timestream_record_put(&small, &r, &counted, NULL);
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

static struct bytes
text_of(const json_t *json, const char *name)
{
    const json_t *text = json_object_get(json, name);
    return bytes_of(json_string_value(text), json_string_length(text));
}

/* Reads the record with a JSON library. */
static void
check_back(struct bytes text, struct bytes labels, uint64_t bits, struct arena *arena)
{
    struct label dimensions[TIMESTREAM_DIMENSIONS_MAX], got[TIMESTREAM_DIMENSIONS_MAX + 1];
    struct buf back;
    uint32_t count;
    uint64_t value;
    buf_init(&back, NULL, 1 << 20);
    json_t *json = json_loadb((const char *)text.at, text.size, JSON_ALLOW_NUL, NULL);
    assert_non_null(json);
    const json_t *list = json_object_get(json, "Dimensions");
    assert_true(json_array_size(list) <= TIMESTREAM_DIMENSIONS_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) { /* in another order */
        const json_t *d = json_array_get(list, json_array_size(list) - 1 - i);
        dimensions[i] = (struct label){text_of(d, "Name"), text_of(d, "Value")};
        struct bytes name = dimensions[i].name;
        assert_true(name.size > 0 && name.size <= TIMESTREAM_DIMENSION_NAME_BYTES_MAX);
        assert_null(memchr(name.at, ':', name.size));
        assert_true(strcmp((const char *)name.at, "time") != 0);
        assert_true(strncmp((const char *)name.at, "measure_value", 13) != 0);
        assert_true(strncmp((const char *)name.at, "ts_", 3) != 0);
    }
    struct bytes measure = text_of(json, "MeasureName");
    assert_true(measure.size > 0 && measure.size <= TIMESTREAM_MEASURE_NAME_BYTES_MAX);
    assert_int_equal(timestream_labels_get(dimensions, (uint32_t)json_array_size(list), measure,
                                           arena, got, &count),
                     OK);
    test_put_labels(&back, got, count);
    assert_true(bytes_equal(buf_bytes(&back), labels));
    struct bytes number = text_of(json, "MeasureValue");
    if (bytes_equal_text(text_of(json, "MeasureValueType"), "DOUBLE")) {
        assert_true(number_parse((const char *)number.at, number.size, &value));
        assert_true(value == bits);
    }
    json_decref(json);
    buf_fini(&back);
}

/* Makes labels, some with names longer than Timestream allows, of any bytes. */
static void
random_long_labels(struct rng *r, enum random_class class, struct buf *to)
{
    struct buf names;
    struct label labels[4];
    buf_init(&names, NULL, 1 << 16);
    assert_true(buf_reserve(&names, 8192));
    for (uint32_t i = 0; i < 4; i++) {
        size_t before = names.size;
        buf_put_u8(&names, (uint8_t)('a' + i));
        for (uint64_t part = rng_below(r, i == 3 ? 12 : 4); part > 0; part--) {
            struct random_text memory;
            buf_put_bytes(&names, random_text(r, class, &memory));
            buf_put_text(&names, "abcdefghijklmnop");
        }
        struct bytes text = {names.at + before, names.size - before};
        labels[i] = (struct label){text, bytes_of_text("v")};
        if (i == 3) labels[i] = (struct label){bytes_of_text("__name__"), text};
    }
    test_put_labels(to, labels, 4);
    buf_fini(&names);
}

static struct bytes
metric_of(struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    while (labels_next(&c, &label))
        if (bytes_equal_text(label.name, "__name__")) return label.value;
    return (struct bytes){NULL, 0};
}

UNIT_TEST(test_records_come_back)
{
    struct rng r = {5};
    struct arena arena;
    struct buf labels, to;
    unsigned fit = 0;
    arena_init(&arena, NULL, 1 << 20, 0);
    buf_init(&labels, NULL, 1 << 20);
    buf_init(&to, NULL, 1 << 20);
    for (int i = 0; i < 20000; i++) {
        struct why why = {""};
        uint32_t counted;
        enum random_class class = (enum random_class)(i / 2 % RANDOM_CLASS_COUNT);
        buf_clear(&labels);
        buf_clear(&to);
        arena_reset(&arena);
        if (i % 2 == 0)
            random_labels(&r, class, &labels);
        else
            random_long_labels(&r, class, &labels);
        uint64_t bits = random_value(&r, RANDOM_VALUE_CLASSES, rng_next(&r));
        struct timestream_record record = {.name = metric_of(buf_bytes(&labels)),
                                           .sample.labels = buf_bytes(&labels),
                                           .sample.t_ms = (int64_t)rng_next(&r),
                                           .sample.bits = bits,
                                           .keep_colons = rng_below(&r, 2) == 0};
        enum err e = timestream_record_put(&to, &record, &counted, &why);
        if (e == OK) {
            fit++;
            check_back(buf_bytes(&to), buf_bytes(&labels), bits, &arena);
        } else {
            assert_int_equal(e, ERR_INPUT);
            assert_true(why.text[0] != '\0');
        }
    }
    assert_true(fit > 10000);
    arena_fini(&arena);
    buf_fini(&labels);
    buf_fini(&to);
}

UNIT_TEST(test_names_of_other_writers_are_unchanged)
{
    static const char *const names[] = {
        "job",  "H__x", "H__x__0123456789abcdef", "N__0123456789abcdee", "M__0123456789abcdef",
        "N__x", "U__a_"};
    enum { COUNT = sizeof names / sizeof *names };
    struct label dimensions[COUNT], got[COUNT + 1];
    struct arena arena;
    uint32_t count;
    arena_init(&arena, NULL, 1 << 16, 0);
    for (unsigned i = 0; i < COUNT; i++)
        dimensions[i] = (struct label){bytes_of_text(names[i]), bytes_of_text("v")};
    assert_int_equal(
        timestream_labels_get(dimensions, COUNT, bytes_of_text("H__up"), &arena, got, &count), OK);
    assert_int_equal(count, COUNT + 1);
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(bytes_equal_text(got[i].name, names[i]));
    assert_true(bytes_equal_text(got[COUNT].value, "H__up"));
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_has_the_documented_form),
        cmocka_unit_test(test_common_attributes_are_dimensions_alone),
        cmocka_unit_test(test_names_that_clash_are_mapped),
        cmocka_unit_test(test_names_that_are_too_long_are_kept_aside),
        cmocka_unit_test(test_a_shortened_name_that_begins_with_a_digit_has_no_begin),
        cmocka_unit_test(test_values_are_not_mapped_whatever_they_begin_with),
        cmocka_unit_test(test_records_that_are_too_large_are_unfit),
        cmocka_unit_test(test_a_record_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(test_records_come_back),
        cmocka_unit_test(test_names_of_other_writers_are_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
