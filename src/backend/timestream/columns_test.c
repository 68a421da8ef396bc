/* columns_test.c - columns give the labels from which the destination, or another
 * writer, made them. */
#include "lib/test.h"

#include <stdlib.h>

#include "lib/backend/timestream_example.h"
#include "model/labels.h"
#include "wire/json/json_scan.h"
#include "wire/point/timestream_record.h"

#define LONG_60 "a234567890b234567890c234567890d234567890e234567890f234567890"
#define LONG_90 LONG_60 "g234567890h234567890i234567890"

enum { SERIES_MAX = 200, ROOM = 1 << 20 };

/* Series as the destination writes them, and the columns that a query of their table returns. */
struct stored {
    struct buf labels[SERIES_MAX]; /* canonical */
    struct bytes measure[SERIES_MAX];
    struct bytes (*values)[TIMESTREAM_COLUMNS_MAX];
    const char *names[TIMESTREAM_COLUMNS_MAX + 1]; /* NULL after the last */
    uint32_t count, names_count;
    struct arena arena;
};

static uint32_t
column_of(struct stored *s, struct bytes name)
{
    for (uint32_t i = 0; i < s->names_count; i++)
        if (bytes_equal_text(name, s->names[i])) return i;
    assert_in_range(s->names_count, 0, TIMESTREAM_COLUMNS_MAX - 1);
    char *text = arena_alloc(&s->arena, name.size + 1);
    assert_non_null(text);
    memcpy(text, name.at, name.size);
    text[name.size] = '\0';
    s->names[s->names_count] = text;
    return s->names_count++;
}

static void
read_dimensions(struct stored *s, struct scan *scan)
{
    struct bytes key, name = {NULL, 0}, value = {NULL, 0};
    scan_expect(scan, '[');
    while (scan_item(scan)) {
        scan_expect(scan, '{');
        while (scan_key(scan, &key))
            if (bytes_equal_text(key, "Name"))
                name = scan_text(scan);
            else if (bytes_equal_text(key, "Value"))
                value = scan_text(scan);
            else
                scan_skip(scan);
        s->values[s->count][column_of(s, name)] = arena_copy(&s->arena, value);
    }
}

/* Returns false if Timestream cannot store it. */
static bool
store(struct stored *s, struct label *labels, uint32_t count, bool keep_colons)
{
    static const struct labels_limits none = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct buf record, *to = &s->labels[s->count];
    struct arena scratch;
    uint32_t bytes;
    buf_init(&record, NULL, ROOM);
    buf_init(to, NULL, ROOM);
    arena_init(&scratch, NULL, ROOM, 0);
    assert_int_equal(labels_build(labels, count, &none, to), REJECT_NONE);
    struct timestream_record r = {.name = labels_get(buf_bytes(to), bytes_of_text("__name__")),
                                  .sample.labels = buf_bytes(to),
                                  .keep_colons = keep_colons};
    bool fits = timestream_record_put(&record, &r, &bytes, NULL) == OK;
    struct scan scan = scan_of(buf_bytes(&record), &scratch);
    struct bytes key;
    if (fits) scan_expect(&scan, '{');
    while (fits && scan_key(&scan, &key))
        if (bytes_equal_text(key, "MeasureName"))
            s->measure[s->count] = arena_copy(&s->arena, scan_text(&scan));
        else if (bytes_equal_text(key, "Dimensions"))
            read_dimensions(s, &scan);
        else
            scan_skip(&scan);
    assert_null(scan.bad);
    if (fits)
        s->count++;
    else
        buf_fini(to);
    buf_fini(&record);
    arena_fini(&scratch);
    return fits;
}

static void
stored_init(struct stored *s)
{
    memset(s, 0, sizeof *s);
    arena_init(&s->arena, NULL, 64 << 20, 0);
    s->values = calloc(SERIES_MAX, sizeof *s->values);
    assert_non_null(s->values);
}

static void
stored_fini(struct stored *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        buf_fini(&s->labels[i]);
    free(s->values);
    arena_fini(&s->arena);
}

static void
expect_labels(const struct timestream_columns *columns, struct bytes measure,
              const struct bytes *values, struct arena *arena, struct bytes expected)
{
    static const struct labels_limits none = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct label labels[FINAL_LABELS_MAX];
    struct buf found;
    uint32_t count;
    buf_init(&found, NULL, ROOM);
    assert_int_equal(columns_labels(columns, measure, values, arena, labels, &count, NULL), OK);
    assert_int_equal(labels_build(labels, count, &none, &found), REJECT_NONE);
    assert_true(bytes_equal(buf_bytes(&found), expected));
    buf_fini(&found);
}

/* Checks all series, from one table. */
static void
check_stored(struct stored *s)
{
    struct timestream_example t;
    assert_int_equal(timestream_example_init(&t, TIMESTREAM_FIREKEEP, s->names, "up"), OK);
    for (uint32_t i = 0; i < s->count; i++) {
        expect_labels(&t.q.columns, s->measure[i], s->values[i], &s->arena,
                      buf_bytes(&s->labels[i]));
    }
    timestream_example_fini(&t);
}

static const char *const hard_names[] = {"job",
                                         "time",
                                         "measure_name",
                                         "measure_value::double",
                                         "ts_x",
                                         "a:b",
                                         "U__x",
                                         "U__",
                                         "H__x__0123456789abcdef",
                                         "N__0123456789abcdef",
                                         "M__0123456789abcdef",
                                         "my.label",
                                         "it\"s",
                                         "quote's",
                                         "\xc3\xa9",

                                         LONG_60,
                                         LONG_90,
                                         LONG_90 ":",
                                         "9" LONG_90,
                                         "A",
                                         "a"};
enum { HARD_NAMES = sizeof hard_names / sizeof *hard_names };

UNIT_TEST(test_each_hard_name_comes_back_as_label_and_as_metric)
{
    struct stored s;
    stored_init(&s);
    for (int i = 0; i < HARD_NAMES; i++) {
        struct label of_label[] = {{bytes_of_text("__name__"), bytes_of_text("up")},
                                   {bytes_of_text(hard_names[i]), bytes_of_text("U__x")}};
        struct label of_metric[] = {{bytes_of_text("__name__"), bytes_of_text(hard_names[i])}};
        assert_true(store(&s, of_label, 2, false));
        assert_true(store(&s, of_metric, 1, i % 2 == 0));
    }
    check_stored(&s);
    stored_fini(&s);
}

UNIT_TEST(test_random_series_come_back)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct stored s;
        uint64_t random = seed;
        stored_init(&s);
        while (s.count < 100) {
            struct label labels[8];
            uint32_t count = 0;
            for (int i = 0; i < HARD_NAMES && count < 6; i++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                if (random >> 62 != 0) continue;
                labels[count++] = (struct label){bytes_of_text(hard_names[i]),
                                                 bytes_of_text(hard_names[random >> 40 & 7])};
            }
            random = random * 6364136223846793005u + 1442695040888963407u;
            if (random >> 63) {
                labels[count++] =
                    (struct label){bytes_of_text("__name__"),
                                   bytes_of_text(hard_names[(random >> 33) % HARD_NAMES])};
            }
            if (count > 0) (void)store(&s, labels, count, random >> 60 & 1);
        }
        check_stored(&s);
        stored_fini(&s);
    }
}

UNIT_TEST(test_a_table_of_the_connector_has_labels_as_they_are)
{
    static const char *const names[] = {"job", "U__x", "N__0123456789abcdef", NULL};
    struct timestream_example t;
    struct label labels[FINAL_LABELS_MAX];
    struct bytes values[TIMESTREAM_COLUMNS_MAX] = {bytes_of_text("x"), bytes_of_text("y"),
                                                   bytes_of_text("z")};
    uint32_t count;
    assert_int_equal(timestream_example_init(&t, TIMESTREAM_CONNECTOR, names, "up"), OK);
    assert_int_equal(columns_labels(&t.q.columns, bytes_of_text("U__up"), values, &t.q.base.arena,
                                    labels, &count, NULL),
                     OK);
    assert_int_equal(count, 4);
    assert_true(bytes_equal_text(labels[0].value, "U__up"));
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(bytes_equal_text(labels[i + 1].name, names[i]));
        assert_true(bytes_equal(labels[i + 1].value, values[i]));
    }
    timestream_example_fini(&t);
}

UNIT_TEST(test_a_label_with_two_columns_is_the_first_that_has_a_value)
{
    static const char *const names[] = {"job", "H__j__0123456789abcdef", "N__0123456789abcdef",
                                        NULL};
    struct timestream_example t;
    struct label labels[FINAL_LABELS_MAX];
    uint32_t count;
    assert_int_equal(timestream_example_init(&t, TIMESTREAM_AUTO, names, "up"), OK);
    for (int first = 0; first < 2; first++) {
        struct bytes values[TIMESTREAM_COLUMNS_MAX] = {bytes_of(NULL, 0), bytes_of_text("second"),
                                                       bytes_of_text("job")};
        if (first) values[0] = bytes_of_text("first");
        assert_int_equal(columns_labels(&t.q.columns, bytes_of_text("up"), values, &t.q.base.arena,
                                        labels, &count, NULL),
                         OK);
        assert_int_equal(count, 2);
        assert_true(bytes_equal_text(labels[1].name, "job"));
        assert_true(bytes_equal_text(labels[1].value, first ? "first" : "second"));
    }
    timestream_example_fini(&t);
}

UNIT_TEST(test_a_name_that_the_destination_does_not_write_is_unchanged)
{
    static const char *const names[] = {"U__job", "U__a_2e_b", "U__a_3a_b", "U__", NULL};
    static const char *const labels_of[] = {"U__job", "U__a_2e_b", "a:b", "U__"};
    struct timestream_example t;
    struct label labels[FINAL_LABELS_MAX];
    struct bytes values[TIMESTREAM_COLUMNS_MAX];
    uint32_t count;
    for (int i = 0; i < 4; i++)
        values[i] = bytes_of_text("x");
    assert_int_equal(timestream_example_init(&t, TIMESTREAM_AUTO, names, "up"), OK);
    assert_int_equal(columns_labels(&t.q.columns, bytes_of_text("U__x_2e_y"), values,
                                    &t.q.base.arena, labels, &count, NULL),
                     OK);
    assert_int_equal(count, 5);
    assert_true(bytes_equal_text(labels[0].value, "U__x_2e_y"));
    for (int i = 0; i < 4; i++)
        assert_true(bytes_equal_text(labels[i + 1].name, labels_of[i]));
    timestream_example_fini(&t);
}

UNIT_TEST(test_other_columns_are_an_error_in_a_table_that_is_ours)
{
    static const char *const none[] = {NULL};
    static const enum timestream_schema schemas[] = {TIMESTREAM_AUTO, TIMESTREAM_CONNECTOR,
                                                     TIMESTREAM_FIREKEEP};
    for (int i = 0; i < 3; i++) {
        struct timestream_example t;
        struct timestream_columns *columns = calloc(1, sizeof *columns);
        assert_non_null(columns);
        assert_int_equal(timestream_example_init(&t, schemas[i], none, "up"), OK);
        columns_put(&t.kept,
                    (struct bytes[]){bytes_of_text("measure_value::bigint"),
                                     bytes_of_text("bigint"), bytes_of_text("MEASURE_VALUE")});
        enum err e = columns_take(columns, buf_bytes(&t.kept), &t.settings.u.timestream,
                                  &t.q.base.arena, &t.why);
        assert_int_equal(e, schemas[i] == TIMESTREAM_FIREKEEP ? ERR_IO : OK);
        if (e) assert_non_null(strstr(t.why.text, "measure_value::bigint"));
        free(columns);
        timestream_example_fini(&t);
    }
}

UNIT_TEST(test_columns_for_which_there_is_no_memory_are_an_error)
{
    static const char *const none[] = {NULL};
    struct timestream_example t;
    struct arena full;
    struct timestream_columns *columns = calloc(1, sizeof *columns);
    assert_non_null(columns);
    assert_int_equal(timestream_example_init(&t, TIMESTREAM_FIREKEEP, none, "up"), OK);
    arena_init(&full, NULL, 1, 0);
    assert_int_equal(
        columns_take(columns, buf_bytes(&t.kept), &t.settings.u.timestream, &full, &t.why),
        ERR_NOMEM);
    arena_fini(&full);
    free(columns);
    timestream_example_fini(&t);
}

UNIT_TEST(test_times_are_read_to_the_millisecond)
{
    static const struct {
        const char *text;
        int64_t t_ms;
    } good[] = {
        {"1970-01-01 00:00:00.000000000", 0},
        {"2023-11-14 22:13:20.123999999", 1700000000123},
        {"2024-02-29 23:59:59.5", 1709251199500},
        {"2000-03-01 00:00:00", 951868800000},
        {"1969-12-31 23:59:59.999000000", -1},
        {"1677-09-21 00:12:43.146000000", -9223372036854},
        {"2262-04-11 23:47:16.854775807", 9223372036854},
    };
    static const char *const bad[] = {"",
                                      "2023-11-14",
                                      "2023-11-14T22:13:20",
                                      "2023-13-14 22:13:20",
                                      "2023-11-14 24:13:20",
                                      "2023-11-14 22:13:20.1234567890",
                                      "2023-11-14 22:13:20.12x",
                                      "-023-11-14 22:13:20"};
    int64_t t_ms;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(timestream_time_read(bytes_of_text(good[i].text), &t_ms));
        assert_int_equal(t_ms, good[i].t_ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(timestream_time_read(bytes_of_text(bad[i]), &t_ms));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_hard_name_comes_back_as_label_and_as_metric),
        cmocka_unit_test(test_random_series_come_back),
        cmocka_unit_test(test_a_table_of_the_connector_has_labels_as_they_are),
        cmocka_unit_test(test_a_label_with_two_columns_is_the_first_that_has_a_value),
        cmocka_unit_test(test_a_name_that_the_destination_does_not_write_is_unchanged),
        cmocka_unit_test(test_other_columns_are_an_error_in_a_table_that_is_ours),
        cmocka_unit_test(test_columns_for_which_there_is_no_memory_are_an_error),
        cmocka_unit_test(test_times_are_read_to_the_millisecond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
