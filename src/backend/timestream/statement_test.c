/* statement_test.c - statements that matchers become for Timestream. */
#include "lib/test.h"

#include "lib/backend/timestream_example.h"

static const char *const dimensions[] = {"job", "it\"s", "U__my_3a_label", "U__time", NULL};
static const char *const twice[] = {"job", "a:b", "U__a_3a_b", NULL};
static const char *const shortened[] = {"job", "H__long__0123456789abcdef", "N__0123456789abcdef",
                                        "M__fedcba9876543210", NULL};

#define FROM  " FROM \"me\"\"trics\".\"prom\""
#define TIMES " WHERE time >= from_milliseconds(1000) AND time < from_milliseconds(2000)"

static void
check_where(enum timestream_schema schema, const char *const *columns, const char *selector,
            const char *expected)
{
    struct timestream_example t;
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    assert_int_equal(timestream_example_init(&t, schema, columns, selector), OK);
    assert_true(statement_may_select(&t.q));
    statement_series(&text, &t.q);
    buf_put_u8(&text, 0);
    assert_int_equal(buf_error(&text), OK);
    const char *where = strstr((const char *)text.at, TIMES);
    assert_non_null(where);
    char *end = strstr((char *)text.at, " GROUP BY ");
    assert_non_null(end);
    *end = '\0';
    assert_string_equal(where + strlen(TIMES), expected);
    buf_fini(&text);
    timestream_example_fini(&t);
}

static void
check(const char *selector, const char *expected)
{
    check_where(TIMESTREAM_AUTO, dimensions, selector, expected);
}

UNIT_TEST(test_series_are_counted_by_measure_and_dimensions)
{
    struct timestream_example t;
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    assert_int_equal(timestream_example_init(&t, TIMESTREAM_AUTO, dimensions, "{job=\"x\"}"), OK);
    statement_series(&text, &t.q);
    buf_put_u8(&text, 0);
    assert_string_equal(
        (const char *)text.at,
        "SELECT measure_name, \"job\", \"it\"\"s\", \"U__my_3a_label\", \"U__time\", "
        "COUNT(*), MIN(time), MAX(time)" FROM TIMES " AND \"job\" = 'x' GROUP BY "
        "measure_name, \"job\", \"it\"\"s\", \"U__my_3a_label\", \"U__time\"");
    buf_fini(&text);
    timestream_example_fini(&t);
}

UNIT_TEST(test_names_are_asked_for_in_each_form_in_which_they_may_be_stored)
{
    check("up", " AND measure_name IN ('up')");
    check("{__name__=~\"up|a:b\"}", " AND measure_name IN ('a:b', 'U__a_3a_b', 'up')");
    check("{__name__=\"ts_x\"}", " AND measure_name IN ('ts_x', 'U__ts__x')");
    check("{__name__=\"\",job=\"x\"}", " AND measure_name IN ('U__') AND \"job\" = 'x'");
    check("{__name__!=\"up\",job=\"x\"}", " AND \"job\" = 'x'");
    check("{__name__=~\"up.+\"}", " AND (REGEXP_LIKE(measure_name, '(?s)^(?:up.+)$') OR "
                                  "measure_name LIKE 'U__%' OR measure_name LIKE 'H__%')");
    check_where(TIMESTREAM_CONNECTOR, dimensions, "{__name__=\"a:b\"}",
                " AND measure_name IN ('a:b')");
    check_where(TIMESTREAM_CONNECTOR, dimensions, "{__name__=~\"[a]+\"}", "");
}

UNIT_TEST(test_a_missing_dimension_is_the_empty_text)
{
    check("{__name__!=\"\",job=\"\",a=\"\"}", " AND COALESCE(\"job\", '') = ''");
    check("{job!=\"\"}", " AND \"job\" <> ''");
    check("{__name__!=\"\",job!=\"x\"}", " AND COALESCE(\"job\", '') <> 'x'");
    check("{__name__!=\"\",job=~\"x|\"}", " AND COALESCE(\"job\", '') IN ('', 'x')");
    check("{__name__!=\"\",job!~\"x|y\"}", " AND COALESCE(\"job\", '') NOT IN ('x', 'y')");
    check("{job!~\"x|\"}", " AND \"job\" NOT IN ('', 'x')");
    check("{__name__!=\"\",job=~\"(?:x.*)?\"}",
          " AND REGEXP_LIKE(COALESCE(\"job\", ''), '(?s)^(?:(?:x.*)?)$')");
}

UNIT_TEST(test_regexes_are_sent_if_all_dialects_agree_on_them)
{
    check("{job=~\"a+b?\"}", " AND REGEXP_LIKE(\"job\", '^(?:a+b?)$')");
    check("{job=~\"a.b\"}", " AND REGEXP_LIKE(\"job\", '(?s)^(?:a.b)$')");
    check("{job=~\"it's+\"}", " AND REGEXP_LIKE(\"job\", '^(?:it''s+)$')");
    check("{job=~\"a\\\\.b+\"}", " AND REGEXP_LIKE(\"job\", '(?s)^(?:a\\.b+)$')");
    check("{__name__!=\"\",job!~\"a+\"}", "");
    check("{job=~\"(?i)a\"}", "");
    check("{job=~\"[^a]+\"}", "");
    check("{job=~\"\\\\d+\"}", "");
    check("{job=~\"a+?b\"}", "");
    check("{job=~\"a{2,3}\"}", "");
    check("{job=~\"\\\\Qa.b\\\\E.+\"}", "");
    check("{job=~\"a+\\u0000\"}", "");
}

UNIT_TEST(test_labels_are_found_under_mapped_names)
{
    check("{\"it\\\"s\"=\"x\"}", " AND \"it\"\"s\" = 'x'");
    check("{\"my:label\"=\"x\"}", " AND \"U__my_3a_label\" = 'x'");
    check("{time=\"y\"}", " AND \"U__time\" = 'y'");
    check_where(TIMESTREAM_CONNECTOR, dimensions, "{U__time=\"y\"}", " AND \"U__time\" = 'y'");
    check_where(TIMESTREAM_AUTO, twice, "{\"a:b\"=\"x\"}", "");
    check_where(TIMESTREAM_AUTO, shortened, "{job=\"x\"}", "");
    check_where(TIMESTREAM_AUTO, shortened, "{any=\"x\"}", "");
}

UNIT_TEST(test_no_text_ends_its_literal)
{
    check("{job=\"'; DROP TABLE prom; --\"}", " AND \"job\" = '''; DROP TABLE prom; --'");
    check("{job=\"\\\\' OR 1 = 1\"}", " AND \"job\" = '\\'' OR 1 = 1'");
    check("{__name__=\"') OR ('' = '\"}", " AND measure_name IN (''') OR ('''' = ''')");
    check("{__name__=~\"'.+\"}",
          " AND (REGEXP_LIKE(measure_name, '(?s)^(?:''.+)$') OR measure_name LIKE 'U__%' OR "
          "measure_name LIKE 'H__%')");
}

UNIT_TEST(test_texts_with_a_nul_are_not_sent)
{
    check("{job=\"a\\u0000\"}", "");
    check("{job=~\"a|b\\u0000\"}", "");
    check("{__name__=\"a\\u0000\"}", "");
}

UNIT_TEST(test_long_matchers_are_left_out_when_there_is_no_room)
{
    struct timestream_example t;
    struct buf text, selector;
    buf_init(&text, NULL, 1 << 20);
    buf_init(&selector, NULL, 1 << 20);
    buf_put_text(&selector, "{job=~\"");
    for (int i = 0; i < 999; i++)
        buf_printf(&selector, "%0200d|", i);
    buf_put_text(&selector, "x\",time=\"y\"}");
    buf_put_u8(&selector, 0);
    assert_int_equal(
        timestream_example_init(&t, TIMESTREAM_AUTO, dimensions, (const char *)selector.at), OK);
    statement_series(&text, &t.q);
    assert_in_range(text.size, 1, 2000);
    buf_put_u8(&text, 0);
    assert_non_null(strstr((const char *)text.at, " AND \"U__time\" = 'y'"));
    buf_fini(&text);
    buf_fini(&selector);
    timestream_example_fini(&t);
}

UNIT_TEST(test_a_label_that_the_table_lacks_selects_nothing)
{
    static const struct {
        const char *const *columns;
        const char *selector;
        bool may;
    } cases[] = {
        {dimensions, "{a=\"x\"}", false},  {dimensions, "{a=~\".+\"}", false},
        {dimensions, "{a!=\"\"}", false},  {dimensions, "{a!=\"x\",job=\"x\"}", true},
        {dimensions, "{my=\"x\"}", false}, {shortened, "{a=\"x\"}", true},
        {dimensions, "{job=\"x\"}", true}, {dimensions, "{__name__=\"a\"}", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct timestream_example t;
        assert_int_equal(
            timestream_example_init(&t, TIMESTREAM_AUTO, cases[i].columns, cases[i].selector), OK);
        assert_int_equal(statement_may_select(&t.q), cases[i].may);
        t.q.base.min_ms = t.q.base.max_ms + 1;
        assert_false(statement_may_select(&t.q));
        timestream_example_fini(&t);
    }
}

static void
check_samples(const struct timestream_varying *varying, const char *expected)
{
    struct timestream_example t;
    struct buf text, selected;
    struct timestream_key one = {.measure = bytes_of_text("it's")};
    buf_init(&text, NULL, 1 << 20);
    buf_init(&selected, NULL, 1 << 20);
    assert_int_equal(timestream_example_init(&t, TIMESTREAM_AUTO, dimensions, "up"), OK);
    one.values[0] = bytes_of_text("x'");
    one.values[1] = bytes_of("", 0);
    statement_selected_put(&selected, &t.q, &one, varying);
    one.measure = bytes_of_text("up");
    one.values[0] = bytes_of(NULL, 0);
    statement_selected_put(&selected, &t.q, &one, varying);
    if (varying->count == 0 && !varying->measure) buf_clear(&selected);
    statement_samples(&text, &t.q, &one, varying, buf_bytes(&selected), 1000, 1999);
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
    buf_fini(&selected);
    timestream_example_fini(&t);
}

UNIT_TEST(test_samples_come_with_what_varies)
{
    static const struct timestream_varying none = {.measure = false};
    static const struct timestream_varying both = {.measure = true, .dimensions = {0}, .count = 1};
    check_samples(&none, "SELECT time, measure_value::double, measure_value::varchar" FROM TIMES
                         " AND measure_name = 'up' AND \"job\" IS NULL AND \"it\"\"s\" = '' AND "
                         "\"U__my_3a_label\" IS NULL AND \"U__time\" IS NULL");
    check_samples(&both,
                  "SELECT time, measure_value::double, measure_value::varchar, measure_name, "
                  "\"job\"" FROM TIMES " AND \"it\"\"s\" = '' AND \"U__my_3a_label\" IS NULL AND "
                  "\"U__time\" IS NULL AND ((measure_name = 'it''s' AND \"job\" = 'x''') OR "
                  "(measure_name = 'up' AND \"job\" IS NULL))");
}

static void
check_values(const char *const *columns, const char *selector, const char *label,
             const char *expected)
{
    struct timestream_example t;
    struct buf text;
    struct timestream_wanted wanted;
    buf_init(&text, NULL, 1 << 20);
    assert_int_equal(timestream_example_init(&t, TIMESTREAM_AUTO, columns, selector), OK);
    uint32_t count = statement_wanted(&t.q, bytes_of_text(label), &wanted);
    assert_int_equal(count > 0, expected != NULL);
    if (count > 0) statement_distinct(&text, &t.q, &wanted);
    buf_put_u8(&text, 0);
    if (count > 0) assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
    timestream_example_fini(&t);
}

UNIT_TEST(test_values_are_asked_for_with_what_matchers_need)
{
    check_values(dimensions, "{__name__!=\"\",job!~\"a\"}", "job",
                 "SELECT DISTINCT measure_name, \"job\"" FROM TIMES
                 " AND COALESCE(\"job\", '') <> 'a'");
    check_values(dimensions, "{job=~\"[a]+\"}", "time",
                 "SELECT DISTINCT \"job\", \"U__time\"" FROM TIMES);
    check_values(dimensions, "up", "job",
                 "SELECT DISTINCT measure_name, \"job\"" FROM TIMES " AND measure_name IN ('up')");
    check_values(dimensions, "{job=\"x\"}", "__name__",
                 "SELECT DISTINCT measure_name, \"job\"" FROM TIMES " AND \"job\" = 'x'");
    check_values(dimensions, "up", "nothing", NULL);
    check_values(shortened, "{job=\"x\"}", "nothing",
                 "SELECT DISTINCT \"job\", \"H__long__0123456789abcdef\", "
                 "\"N__0123456789abcdef\", \"M__fedcba9876543210\"" FROM TIMES);
}

UNIT_TEST(test_names_are_asked_for_by_one_row)
{
    struct timestream_example t;
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    assert_int_equal(timestream_example_init(&t, TIMESTREAM_AUTO, twice, "{job=\"x\"}"), OK);
    statement_filled(&text, &t.q);
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.at,
                        "SELECT MIN(measure_name), MAX(measure_name), MAX(\"job\"), "
                        "MAX(\"a:b\"), MAX(\"U__a_3a_b\")" FROM TIMES);
    buf_fini(&text);
    timestream_example_fini(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_are_counted_by_measure_and_dimensions),
        cmocka_unit_test(test_names_are_asked_for_in_each_form_in_which_they_may_be_stored),
        cmocka_unit_test(test_a_missing_dimension_is_the_empty_text),
        cmocka_unit_test(test_regexes_are_sent_if_all_dialects_agree_on_them),
        cmocka_unit_test(test_labels_are_found_under_mapped_names),
        cmocka_unit_test(test_no_text_ends_its_literal),
        cmocka_unit_test(test_texts_with_a_nul_are_not_sent),
        cmocka_unit_test(test_long_matchers_are_left_out_when_there_is_no_room),
        cmocka_unit_test(test_a_label_that_the_table_lacks_selects_nothing),
        cmocka_unit_test(test_samples_come_with_what_varies),
        cmocka_unit_test(test_values_are_asked_for_with_what_matchers_need),
        cmocka_unit_test(test_names_are_asked_for_by_one_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
