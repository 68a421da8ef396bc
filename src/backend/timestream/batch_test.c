/*
 * batch_test.c - bodies byte by byte, and read by a JSON library: each record has the values of its
 * sample, whichever attributes are common. Limits, costs, and memory that runs out.
 */
#include "lib/test.h"
#include <jansson.h>
#include <stdio.h>

#include "backend/timestream/timestream.h"
#include "lib/wire/random_labels.h"
#include "lib/wire/timestream_labels.h"
#include "wire/number.h"

static struct budget budget;
static struct timestream_batch batch;
static struct timestream_scratch scratch;
static struct timestream_form form;
static struct buf body;
static struct buf labels;
static struct why why;

static int
setup(void **state)
{
    (void)state;
    budget_init(&budget, "test", 0, NULL);
    timestream_batch_init(&batch, &budget);
    timestream_scratch_init(&scratch, &budget);
    form = (struct timestream_form){.version = 0};
    buf_init(&body, NULL, 16 << 20);
    buf_init(&labels, NULL, 1 << 20);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    timestream_batch_fini(&batch);
    timestream_scratch_fini(&scratch);
    assert_int_equal(budget_used(&budget), 0);
    buf_fini(&body);
    buf_fini(&labels);
    return 0;
}

/* --- samples ---------------------------------------------------------------------------------- */

/* Returns the labels in "job=x host=1", sorted. A view until the next call. */
static struct bytes
labels_of(const char *text)
{
    char copy[4096], *rest = copy;
    buf_clear(&labels);
    snprintf(copy, sizeof copy, "%s", text);
    for (char *pair; (pair = strsep(&rest, " ")) != NULL;) {
        char *value = strchr(pair, '=');
        if (value == NULL) continue;
        *value++ = '\0';
        test_put_texts(&labels, pair, value);
    }
    return buf_bytes(&labels);
}

static enum writer_add
add_labels(struct bytes of, int64_t t_ms, double value)
{
    struct item item = {.kind = ITEM_FLOAT, .labels = of, .t_ms = t_ms, .bits = double_bits(value)};
    why.text[0] = '\0';
    return timestream_batch_add(&batch, &scratch, &form, &item, &why);
}

static enum writer_add
add(const char *text)
{
    return add_labels(labels_of(text), 1000 + batch.count, 1);
}

static const char *
body_text(void)
{
    buf_clear(&body);
    assert_int_equal(timestream_batch_put(&batch, "db", "t", &body), OK);
    buf_put_u8(&body, '\0');
    return (const char *)body.at;
}

#define RECORD(name, dimensions, time)                                           \
    "{\"MeasureName\":\"" name "\",\"MeasureValue\":\"1\",\"MeasureValueType\":" \
    "\"DOUBLE\",\"Dimensions\":[" dimensions "],\"Time\":\"" time "\"}"
#define DIMENSION(name, value) "{\"Name\":\"" name "\",\"Value\":\"" value "\"}"
#define BODY(common, records)                                                    \
    "{\"DatabaseName\":\"db\",\"TableName\":\"t\",\"CommonAttributes\":{" common \
    "\"TimeUnit\":\"MILLISECONDS\"},\"Records\":[" records "]}"
#define COMMON(dimensions) "\"Dimensions\":[" dimensions "],"

/* --- bodies ----------------------------------------------------------------------------------- */

UNIT_TEST(test_a_lone_record_has_all_its_dimensions_in_common)
{
    assert_int_equal(timestream_batch_bytes(&batch), 0);
    assert_int_equal(timestream_batch_kib(&batch), 0);
    assert_int_equal(add("__name__=up job=x"), WRITER_ADDED);
    assert_string_equal(body_text(), BODY(COMMON(DIMENSION("job", "x")), RECORD("up", "", "1000")));
    assert_int_equal(timestream_batch_kib(&batch), 1);
}

UNIT_TEST(test_without_labels_in_common_there_are_no_common_dimensions)
{
    assert_int_equal(add("__name__=up"), WRITER_ADDED);
    assert_int_equal(add("__name__=down job=x"), WRITER_ADDED);
    assert_string_equal(body_text(), BODY("", RECORD("up", "", "1000") "," RECORD(
                                                  "down", DIMENSION("job", "x"), "1001")));
}

UNIT_TEST(test_labels_that_leave_go_to_those_that_had_them)
{
    assert_int_equal(add("__name__=a host=1 job=x zone=z"), WRITER_ADDED);
    assert_int_equal(add("__name__=b job=x mode=m zone=z"), WRITER_ADDED); /* host leaves */
    assert_int_equal(add("__name__=c job=y zone=z"), WRITER_ADDED);        /* job leaves */
    assert_int_equal(add("__name__=d job=x zone=z"), WRITER_ADDED);
    assert_string_equal(
        body_text(),
        BODY(COMMON(DIMENSION("zone", "z")),
             RECORD("a", DIMENSION("host", "1") "," DIMENSION("job", "x"), "1000") "," RECORD(
                 "b", DIMENSION("mode", "m") "," DIMENSION("job", "x"),
                 "1001") "," RECORD("c", DIMENSION("job", "y"),
                                    "1002") "," RECORD("d", DIMENSION("job", "x"), "1003")));
}

UNIT_TEST(test_several_labels_leave_at_once)
{
    assert_int_equal(add("__name__=a b=1 c=2 time=3"), WRITER_ADDED);
    assert_int_equal(add("__name__=a c=2"), WRITER_ADDED);
    assert_string_equal(body_text(),
                        BODY(COMMON(DIMENSION("c", "2")),
                             RECORD("a", DIMENSION("b", "1") "," DIMENSION("U__time", "3"),
                                    "1000") "," RECORD("a", "", "1001")));
}

UNIT_TEST(test_a_version_and_colons_are_written_as_configured)
{
    form = (struct timestream_form){.version = 7, .keep_colons = true};
    assert_int_equal(add("__name__=a:b"), WRITER_ADDED);
    assert_non_null(strstr(body_text(), "\"MeasureName\":\"a:b\""));
    assert_non_null(strstr(body_text(), "\"Time\":\"1000\",\"Version\":7}"));
    form.keep_colons = false;
    assert_int_equal(add("__name__=a:b job=x"), WRITER_ADDED);
    assert_int_equal(add("__name__=c zone=z"), WRITER_ADDED);
    assert_non_null(strstr(body_text(), "\"MeasureName\":\"U__a_3a_b\""));
}

UNIT_TEST(test_histograms_and_what_is_not_finite_are_texts)
{
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .count = 3};
    struct item item = {.kind = ITEM_HISTOGRAM, .labels = labels_of("__name__=h"), .histogram = &h};
    assert_int_equal(timestream_batch_add(&batch, &scratch, &form, &item, &why), WRITER_ADDED);
    assert_non_null(strstr(body_text(), "\"MeasureValue\":\"{\\\"count_int\\\":3,"));
    assert_int_equal(add_labels(labels_of("__name__=n"), 1, __builtin_inf()), WRITER_ADDED);
    assert_non_null(strstr(body_text(), "\"MeasureValue\":\"7ff0000000000000\","
                                        "\"MeasureValueType\":\"VARCHAR\""));
}

/* --- the same by another reader --------------------------------------------------------------- */

enum { SAMPLES_MAX = TIMESTREAM_RECORDS_MAX };

static struct sample {
    struct buf labels;
    uint64_t bits;
    int64_t t_ms;
} samples[SAMPLES_MAX];

static struct bytes
text_of(const json_t *json, const char *name)
{
    const json_t *text = json_object_get(json, name);
    assert_true(json_is_string(text));
    return bytes_of(json_string_value(text), json_string_length(text));
}

/* Appends the dimensions, and adds up what Timestream counts for them. */
static void
read_dimensions(const json_t *attributes, struct label *to, uint32_t *count, uint64_t *bytes)
{
    const json_t *list = json_object_get(attributes, "Dimensions");
    for (size_t i = 0; i < json_array_size(list); i++) {
        assert_true(*count < TIMESTREAM_DIMENSIONS_MAX);
        to[*count] = (struct label){text_of(json_array_get(list, i), "Name"),
                                    text_of(json_array_get(list, i), "Value")};
        for (uint32_t k = 0; k < *count; k++)
            assert_false(bytes_equal(to[k].name, to[*count].name));
        *bytes += to[*count].name.size + to[*count].value.size;
        (*count)++;
    }
}

/* Checks a record; returns the bytes that Timestream counts for it alone. */
static uint64_t
check_record(const json_t *common, const json_t *record, const struct sample *sample,
             struct arena *arena)
{
    struct label dimensions[TIMESTREAM_DIMENSIONS_MAX], got[TIMESTREAM_DIMENSIONS_MAX + 1];
    struct buf back;
    char time[32];
    uint32_t count = 0, got_count = 0;
    uint64_t bits, own = 0, shared = 0;
    buf_init(&back, NULL, 1 << 20);
    arena_reset(arena);
    read_dimensions(record, dimensions, &count, &own);
    read_dimensions(common, dimensions, &count, &shared);
    struct bytes measure = text_of(record, "MeasureName"), value = text_of(record, "MeasureValue");
    assert_int_equal(timestream_labels_get(dimensions, count, measure, arena, got, &got_count), OK);
    test_put_labels(&back, got, got_count);
    assert_true(bytes_equal(buf_bytes(&back), buf_bytes(&sample->labels)));
    bool is_double = bytes_equal_text(text_of(record, "MeasureValueType"), "DOUBLE");
    if (is_double) {
        assert_true(number_parse((const char *)value.at, value.size, &bits));
        assert_true(bits == sample->bits);
    }
    snprintf(time, sizeof time, "%lld", (long long)sample->t_ms);
    assert_true(bytes_equal_text(text_of(record, "Time"), time));
    buf_fini(&back);
    return own + measure.size + (is_double ? 8 : value.size) + 8;
}

static void
check_body(uint32_t count)
{
    struct arena arena;
    arena_init(&arena, NULL, 1 << 20, 0);
    uint64_t about = timestream_batch_bytes(&batch), counted = 0, none;
    const char *text = body_text();
    assert_true(about >= body.size / 2);
    assert_true(about <= 2 * body.size + 200);
    json_t *root = json_loads(text, JSON_ALLOW_NUL, NULL);
    assert_non_null(root);
    const json_t *common = json_object_get(root, "CommonAttributes");
    const json_t *records = json_object_get(root, "Records");
    assert_int_equal(json_array_size(records), count);
    for (uint32_t i = 0; i < count; i++)
        counted += check_record(common, json_array_get(records, i), &samples[i], &arena);
    struct label dimensions[TIMESTREAM_DIMENSIONS_MAX];
    uint32_t dimension_count = 0;
    none = 0;
    read_dimensions(common, dimensions, &dimension_count, &none);
    assert_int_equal(timestream_batch_kib(&batch), (counted + none + 1023) / 1024);
    json_decref(root);
    arena_fini(&arena);
}

/* Makes labels of a few targets, so that many are common, or random ones. */
static void
make_labels(struct rng *r, unsigned round, struct buf *to)
{
    char text[200];
    buf_clear(to);
    if (round % 4 == 0) {
        random_labels(r, (enum random_class)(round / 4 % RANDOM_CLASS_COUNT), to);
        return;
    }
    snprintf(text, sizeof text, "__name__=m%u a=cluster host=%u job=%u mode=%u z=%u",
             (unsigned)rng_below(r, 9), (unsigned)rng_below(r, 1 + round % 3),
             (unsigned)rng_below(r, 1 + round % 2), (unsigned)rng_below(r, 50),
             (unsigned)rng_below(r, 1 + rng_below(r, 20) / 19));
    buf_put_bytes(to, labels_of(text));
}

UNIT_TEST(test_every_record_comes_back_whatever_is_common)
{
    struct rng r = {3};
    for (unsigned i = 0; i < SAMPLES_MAX; i++)
        buf_init(&samples[i].labels, NULL, 1 << 20);
    for (unsigned round = 0; round < 400; round++) {
        uint32_t wanted = 1 + (uint32_t)rng_below(&r, SAMPLES_MAX), count = 0;
        timestream_batch_clear(&batch);
        for (unsigned tries = 0; tries < 4 * SAMPLES_MAX && count < wanted; tries++) {
            struct sample *s = &samples[count];
            make_labels(&r, round, &s->labels);
            s->bits = random_value(&r, RANDOM_VALUE_CLASSES, rng_next(&r));
            s->t_ms = (int64_t)rng_below(&r, 1u << 31);
            enum writer_add added =
                add_labels(buf_bytes(&s->labels), s->t_ms, bits_double(s->bits));
            if (added == WRITER_FULL) break;
            assert_true(added == WRITER_ADDED || added == WRITER_UNFIT);
            if (added == WRITER_UNFIT) assert_true(why.text[0] != '\0');
            count += added == WRITER_ADDED;
        }
        assert_int_equal(batch.count, count);
        if (count > 0) check_body(count);
    }
    for (unsigned i = 0; i < SAMPLES_MAX; i++)
        buf_fini(&samples[i].labels);
}

/* --- limits ----------------------------------------------------------------------------------- */

UNIT_TEST(test_a_hundred_records_are_all)
{
    for (unsigned i = 0; i < TIMESTREAM_RECORDS_MAX; i++)
        assert_int_equal(add("__name__=up job=x"), WRITER_ADDED);
    assert_int_equal(add("__name__=up job=x"), WRITER_FULL);
    assert_int_equal(batch.count, TIMESTREAM_RECORDS_MAX);
    timestream_batch_clear(&batch);
    assert_int_equal(add("__name__=up job=x"), WRITER_ADDED);
}

/* Returns labels with a value of this many bytes. */
static struct bytes
labels_with(const char *name, size_t size)
{
    static char value[100000];
    memset(value, 'v', size);
    value[size] = '\0';
    buf_clear(&labels);
    test_put_texts(&labels, "__name__", "up");
    test_put_texts(&labels, name, value);
    return buf_bytes(&labels);
}

UNIT_TEST(test_a_record_beyond_a_limit_is_unfit_and_changes_nothing)
{
    static uint64_t bounds[40000];
    enum { FITS = TIMESTREAM_RECORD_BYTES_MAX - 2 - 8 - 8 - 1 };
    assert_int_equal(add_labels(labels_with("a", FITS + 1), 0, 1), WRITER_UNFIT);
    assert_non_null(strstr(why.text, "2048"));
    assert_int_equal(batch.count, 0);
    assert_int_equal(add("__name__=a b=1 host=2"), WRITER_ADDED);
    assert_int_equal(add("__name__=a b=1 host=3"), WRITER_ADDED);
    char *before = strdup(body_text());
    assert_int_equal(add_labels(labels_with("a", FITS + 1), 0, 1), WRITER_UNFIT);
    assert_int_equal(add_labels(labels_with("a", 3000), 0, 1), WRITER_UNFIT);
    assert_int_equal(add_labels(labels_with("a", 99999), 0, 1), WRITER_UNFIT);
    assert_non_null(strstr(why.text, "2048"));
    assert_int_equal(add("__name__=a c=\xff"), WRITER_UNFIT);
    assert_non_null(strstr(why.text, "UTF-8"));
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT,
                          .custom_bits = bounds,
                          .custom_count = sizeof bounds / sizeof *bounds};
    struct item item = {.kind = ITEM_HISTOGRAM, .labels = labels_of("b=1"), .histogram = &h};
    assert_int_equal(timestream_batch_add(&batch, &scratch, &form, &item, &why), WRITER_UNFIT);
    assert_string_equal(body_text(), before);
    free(before);
    assert_int_equal(add_labels(labels_with("a", FITS), 0, 1), WRITER_ADDED);
    assert_int_equal(batch.count, 3);
}

UNIT_TEST(test_dimensions_are_counted_in_common_and_own_attributes)
{
    char pair[32];
    for (unsigned extra = 0; extra < 2; extra++) { /* 128 dimensions, then one more */
        timestream_batch_clear(&batch);
        assert_int_equal(add("a=1"), WRITER_ADDED);
        buf_clear(&labels);
        test_put_texts(&labels, "a", "1");
        for (unsigned i = 1; i < TIMESTREAM_DIMENSIONS_MAX + extra; i++) {
            snprintf(pair, sizeof pair, "b%03u", i);
            test_put_texts(&labels, pair, "2");
        }
        assert_int_equal(add_labels(buf_bytes(&labels), 0, 1),
                         extra == 0 ? WRITER_ADDED : WRITER_UNFIT);
    }
    assert_non_null(strstr(why.text, "128"));
}

/* Says whether a record that removes `host` after `count` others begins another call. */
static enum writer_add
add_other_host(unsigned count, const char *host)
{
    char text[200];
    timestream_batch_clear(&batch);
    for (unsigned i = 0; i < count; i++) {
        snprintf(text, sizeof text, "__name__=m host=%s job=x mode=%u", host, i);
        assert_int_equal(add(text), WRITER_ADDED);
    }
    return add("__name__=m host=other job=x mode=0");
}

UNIT_TEST(test_a_record_that_makes_the_call_dearer_than_another_call_begins_one)
{
    static const char long_host[] = "host-of-a-name-of-forty-bytes-to-be-dear";
    assert_int_equal(add_other_host(25, long_host), WRITER_FULL); /* 44 * 25 */
    assert_int_equal(batch.count, 25);
    assert_int_equal(add_other_host(24, long_host), WRITER_ADDED);
    assert_int_equal(add_other_host(60, "abcdefghijklm"), WRITER_ADDED); /* 17 * 60 */
    assert_int_equal(add_other_host(61, "abcdefghijklm"), WRITER_FULL);  /* 17 * 61 */
}

UNIT_TEST(test_common_attributes_are_billed_once)
{
    /* 2 + 300 common; 1 + 8 + 8 each */
    for (unsigned i = 0; i < 42; i++)
        assert_int_equal(add_labels(labels_with("ab", 300), i, 1), WRITER_ADDED);
    assert_int_equal(timestream_batch_kib(&batch), 2); /* 302 + 42 * 18 = 1058 */
    timestream_batch_clear(&batch);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(add_labels(labels_with("ab", 300), i, 1), WRITER_ADDED);
    assert_int_equal(timestream_batch_kib(&batch), 1); /* 302 + 40 * 18 = 1022 */
}

/* --- memory ----------------------------------------------------------------------------------- */

UNIT_TEST(test_without_memory_nothing_changes_and_it_goes_on_later)
{
    static const char *const texts[] = {"__name__=a b=1 host=2", "__name__=a b=1 host=3",
                                        "__name__=a c=2"};
    struct buf all[3];
    for (unsigned i = 0; i < 3; i++) {
        buf_init(&all[i], NULL, 1000);
        buf_put_bytes(&all[i], labels_of(texts[i]));
    }
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        timestream_batch_fini(&batch);
        timestream_scratch_fini(&scratch);
        timestream_batch_init(&batch, &budget);
        timestream_scratch_init(&scratch, &budget);
        mem_fail_nth(nth, false);
        for (unsigned i = 0; i < 3; i++) {
            enum writer_add added = add_labels(buf_bytes(&all[i]), i, 1);
            if (added == WRITER_NO_MEMORY) {
                assert_int_equal(batch.count, i);
                added = add_labels(buf_bytes(&all[i]), i, 1);
            }
            assert_int_equal(added, WRITER_ADDED);
        }
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_string_equal(
            body_text(),
            BODY("", RECORD("a", DIMENSION("host", "2") "," DIMENSION("b", "1"),
                            "0") "," RECORD("a", DIMENSION("host", "3") "," DIMENSION("b", "1"),
                                            "1") "," RECORD("a", DIMENSION("c", "2"), "2")));
    }
    for (unsigned i = 0; i < 3; i++)
        buf_fini(&all[i]);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_lone_record_has_all_its_dimensions_in_common),
        TEST(test_without_labels_in_common_there_are_no_common_dimensions),
        TEST(test_labels_that_leave_go_to_those_that_had_them),
        TEST(test_several_labels_leave_at_once),
        TEST(test_a_version_and_colons_are_written_as_configured),
        TEST(test_histograms_and_what_is_not_finite_are_texts),
        TEST(test_every_record_comes_back_whatever_is_common),
        TEST(test_a_hundred_records_are_all),
        TEST(test_a_record_beyond_a_limit_is_unfit_and_changes_nothing),
        TEST(test_dimensions_are_counted_in_common_and_own_attributes),
        TEST(test_a_record_that_makes_the_call_dearer_than_another_call_begins_one),
        TEST(test_common_attributes_are_billed_once),
        TEST(test_without_memory_nothing_changes_and_it_goes_on_later),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
