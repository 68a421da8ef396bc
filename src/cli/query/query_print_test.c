/* query_print_test.c - results as tables and as CSV; JSON is passed on. */
#include "lib/test.h"

#include <math.h>
#include <stdlib.h>

#include "cli/query/query_print.h"
#include "model/labels.h"

static struct why why;

static struct bytes
labels_of(struct buf *to, const char *name, const char *value)
{
    buf_clear(to);
    labels_put(to, (struct label){bytes_of_text("__name__"), bytes_of_text(name)});
    labels_put(to, (struct label){bytes_of_text("a"), bytes_of_text(value)});
    return buf_bytes(to);
}

static void
put_series(struct query_sink *sink, const char *name, const char *value)
{
    struct buf labels;
    buf_init(&labels, NULL, 1000);
    assert_int_equal(sink->ops->series(sink, labels_of(&labels, name, value), &why), OK);
    buf_fini(&labels);
}

static void
put_float(struct query_sink *sink, int64_t t_ms, double value)
{
    struct query_point p = {.t_ms = t_ms, .value = value};
    assert_int_equal(sink->ops->point(sink, &p, &why), OK);
}

static void
put_histogram(struct query_sink *sink, int64_t t_ms)
{
    static const struct fhist_bucket buckets[] = {{-1, 1, 2, true, true},
                                                  {1, INFINITY, 2e6, false, true}};
    struct query_histogram h = {2000002, -0.5, buckets, 2};
    struct query_point p = {.t_ms = t_ms, .histogram = &h};
    assert_int_equal(sink->ops->point(sink, &p, &why), OK);
}

/* Compares the output for the results that `put` makes. */
static void
check(enum query_form form, enum promql_type type, void (*put)(struct query_sink *sink),
      const char *expected)
{
    char *text;
    size_t size;
    struct query_sink *sink;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    assert_int_equal(query_printer_new(form, to, &sink, &why), OK);
    assert_int_equal(sink->ops->begin(sink, type, &why), OK);
    put(sink);
    assert_int_equal(sink->ops->end(sink, &why), OK);
    sink->ops->free(sink);
    fclose(to);
    assert_string_equal(text, expected);
    free(text);
}

static void
put_vector(struct query_sink *sink)
{
    put_series(sink, "up", "x");
    put_float(sink, 1500, 1);
    put_series(sink, "a.b", "a \"longer\"\033 one");
    put_float(sink, 1500, 0.1 + 0.2);
}

static void
put_mixed(struct query_sink *sink)
{
    put_series(sink, "up", "x");
    put_float(sink, 1500, 1);
    put_series(sink, "h", "\xc3\xa9");
    put_histogram(sink, 1500);
}

UNIT_TEST(test_a_vector_is_an_aligned_table)
{
    check(QUERY_TABLE, PROMQL_VECTOR, put_vector,
          "series                                           value  time\n"
          "up{a=\"x\"}                                            1  1970-01-01T00:00:01.500Z\n"
          "{\"a.b\", a=\"a \\\"longer\\\"\\x1b one\"}  0.30000000000000004  "
          "1970-01-01T00:00:01.500Z\n");
    check(QUERY_TABLE, PROMQL_VECTOR, put_mixed,
          "series     value                                                     time\n"
          "up{a=\"x\"}  1                                                         "
          "1970-01-01T00:00:01.500Z\n"
          "h{a=\"\xc3\xa9\"}   {count:2.000002e+06, sum:-0.5, [-1,1]:2, (1,+Inf]:2e+06}  "
          "1970-01-01T00:00:01.500Z\n");
}

static void
put_long(struct query_sink *sink)
{
    struct fhist_bucket buckets[50];
    for (int i = 0; i < 50; i++)
        buckets[i] = (struct fhist_bucket){i, i + 1, 3, false, true};
    struct query_histogram h = {150, 2.5, buckets, 50};
    struct query_point p = {.t_ms = 1500, .histogram = &h};
    put_series(sink, "up", "x");
    put_float(sink, 1500, 1);
    put_series(sink, "h", "x");
    assert_int_equal(sink->ops->point(sink, &p, &why), OK);
}

UNIT_TEST(test_a_long_histogram_does_not_widen_a_table)
{
    check(QUERY_TABLE, PROMQL_VECTOR, put_long,
          "series     value                                                          time\n"
          "up{a=\"x\"}  1                                                              "
          "1970-01-01T00:00:01.500Z\n"
          "h{a=\"x\"}   {count:150, sum:2.5, (0,1]:3, (1,2]:3, (2,3]:3, (3,4]:3, ...}  "
          "1970-01-01T00:00:01.500Z\n");
}

static void
put_hidden(struct query_sink *sink)
{
    put_series(sink, "up", "a\u202eb\u200b\033c");
    put_float(sink, 1500, 1);
}

UNIT_TEST(test_hidden_characters_are_escaped_in_tables_and_whole_in_csv)
{
    check(QUERY_TABLE, PROMQL_VECTOR, put_hidden,
          "series                       value  time\n"
          "up{a=\"a\\u202eb\\u200b\\x1bc\"}      1  1970-01-01T00:00:01.500Z\n");
    check(QUERY_TABLE, PROMQL_MATRIX, put_hidden,
          "up{a=\"a\\u202eb\\u200b\\x1bc\"}\n  1970-01-01T00:00:01.500Z  1\n");
    check(QUERY_CSV, PROMQL_VECTOR, put_hidden,
          "name,labels,time,value\nup,\"{a=\"\"a\u202eb\u200b\033c\"\"}\",1500,1\n");
}

static void
put_matrix(struct query_sink *sink)
{
    put_series(sink, "up", "x");
    put_float(sink, 0, 1);
    put_float(sink, 15000, -INFINITY);
    put_histogram(sink, 30000);
    put_series(sink, "up", "y");
    put_float(sink, 0, NAN);
}

UNIT_TEST(test_a_matrix_is_series_with_their_points_below)
{
    check(QUERY_TABLE, PROMQL_MATRIX, put_matrix,
          "up{a=\"x\"}\n"
          "  1970-01-01T00:00:00.000Z  1\n"
          "  1970-01-01T00:00:15.000Z  -Inf\n"
          "  1970-01-01T00:00:30.000Z  {count:2.000002e+06, sum:-0.5, [-1,1]:2, "
          "(1,+Inf]:2e+06}\n"
          "up{a=\"y\"}\n"
          "  1970-01-01T00:00:00.000Z  NaN\n");
}

static void
put_scalar(struct query_sink *sink)
{
    assert_int_equal(sink->ops->series(sink, bytes_of("", 0), &why), OK);
    put_float(sink, 1000, 2);
}

static void
put_string(struct query_sink *sink)
{
    assert_int_equal(sink->ops->string(sink, 1000, bytes_of_text("a\"b\033[31m"), &why), OK);
}

static void
put_nothing(struct query_sink *sink)
{
    (void)sink;
}

UNIT_TEST(test_other_types_are_tables_without_series)
{
    check(QUERY_TABLE, PROMQL_SCALAR, put_scalar, "value  time\n    2  1970-01-01T00:00:01.000Z\n");
    check(QUERY_TABLE, PROMQL_STRING, put_string,
          "value        time\na\"b\\x1b[31m  1970-01-01T00:00:01.000Z\n");
    check(QUERY_TABLE, PROMQL_VECTOR, put_nothing, "");
    check(QUERY_TABLE, PROMQL_MATRIX, put_nothing, "");
}

UNIT_TEST(test_csv_has_the_columns_of_export_and_quotes_texts)
{
    check(QUERY_CSV, PROMQL_MATRIX, put_matrix,
          "name,labels,time,value\n"
          "up,\"{a=\"\"x\"\"}\",0,1\n"
          "up,\"{a=\"\"x\"\"}\",15000,-Inf\n"
          "up,\"{a=\"\"x\"\"}\",30000,\"{count:2.000002e+06, sum:-0.5, [-1,1]:2, "
          "(1,+Inf]:2e+06}\"\n"
          "up,\"{a=\"\"y\"\"}\",0,NaN\n");
    check(QUERY_CSV, PROMQL_SCALAR, put_scalar, "name,labels,time,value\n,\"{}\",1000,2\n");
    check(QUERY_CSV, PROMQL_STRING, put_string,
          "name,labels,time,value\n,\"{}\",1000,\"a\"\"b\033[31m\"\n");
    check(QUERY_CSV, PROMQL_VECTOR, put_nothing, "name,labels,time,value\n");
}

UNIT_TEST(test_json_is_a_line_of_what_it_is_given)
{
    for (int any = 0; any < 2; any++) {
        char *text;
        size_t size;
        struct query_sink *sink;
        FILE *to = open_memstream(&text, &size);
        assert_non_null(to);
        assert_int_equal(query_printer_new(QUERY_JSON, to, &sink, &why), OK);
        if (any) {
            assert_int_equal(sink->ops->data(sink, bytes_of_text("{\"a\":"), &why), OK);
            assert_int_equal(sink->ops->data(sink, bytes_of_text("1}"), &why), OK);
        }
        assert_int_equal(sink->ops->end(sink, &why), OK);
        sink->ops->free(sink);
        fclose(to);
        assert_string_equal(text, any ? "{\"a\":1}\n" : "");
        free(text);
    }
}

static void
put_many(struct query_sink *sink)
{
    put_series(sink, "up", "x");
    struct query_point p = {.value = 1};
    enum err e = OK;
    for (int i = 0; i < 100000 && e == OK; i++)
        e = sink->ops->point(sink, &p, &why);
    assert_int_equal(e, ERR_IO);
}

UNIT_TEST(test_printing_stops_where_nothing_can_be_written)
{
    for (enum query_form form = QUERY_TABLE; form <= QUERY_CSV; form++) {
        struct query_sink *sink;
        FILE *to = fopen("/dev/full", "w");
        assert_non_null(to);
        assert_int_equal(query_printer_new(form, to, &sink, &why), OK);
        assert_int_equal(sink->ops->begin(sink, PROMQL_MATRIX, &why), OK);
        put_many(sink);
        sink->ops->free(sink);
        fclose(to);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_vector_is_an_aligned_table),
        cmocka_unit_test(test_a_long_histogram_does_not_widen_a_table),
        cmocka_unit_test(test_hidden_characters_are_escaped_in_tables_and_whole_in_csv),
        cmocka_unit_test(test_a_matrix_is_series_with_their_points_below),
        cmocka_unit_test(test_other_types_are_tables_without_series),
        cmocka_unit_test(test_csv_has_the_columns_of_export_and_quotes_texts),
        cmocka_unit_test(test_json_is_a_line_of_what_it_is_given),
        cmocka_unit_test(test_printing_stops_where_nothing_can_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
