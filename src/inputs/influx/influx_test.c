/* influx_test.c - lines of InfluxDB, and the series that they become. */
#include "lib/test.h"

#include <stdio.h>

#include "inputs/influx/influx.h"
#include "model/labels.h"
#include "sys/env.h"
#include "wire/number.h"

static struct rw_request request;
static struct buf shown;
static struct input_outcome outcome;
static struct why why;

/* The metric `known` has this help text. */
static const char *known, *known_help;

static enum err
find_help(void *context, struct bytes metric, struct buf *to)
{
    (void)context;
    if (known != NULL && bytes_equal_text(metric, known)) buf_put_text(to, known_help);
    return buf_error(to);
}

static int
setup(void **state)
{
    (void)state;
    known = NULL;
    buf_init(&shown, NULL, 1 << 20);
    return rw_request_init(&request, NULL);
}

static int
teardown(void **state)
{
    (void)state;
    rw_request_fini(&request);
    buf_fini(&shown);
    return 0;
}

static enum err
decode(const char *text, int64_t unit_ns)
{
    struct influx_lines lines = {bytes_of_text("d"), unit_ns, 1700000009000, find_help, NULL};
    return influx_decode(&lines, bytes_of_text(text), 7, &request, &outcome, &why);
}

static void
expect_in(int64_t unit_ns, const char *text, const char *expected)
{
    enum err e = decode(text, unit_ns);
    if (e) fail_msg("%s: %s", err_word(e), why.text);
    buf_clear(&shown);
    for (uint32_t i = 0; i < request.series_count; i++) {
        const struct rw_series *s = &request.series[i];
        const struct rw_float *f = &request.floats[s->floats.first];
        char number[NUMBER_TEXT_BYTES];
        assert_int_equal(s->floats.count, 1);
        labels_print_selector(&shown, s->label_bytes);
        buf_put_text(&shown, " ");
        buf_put(&shown, number, number_print_exact(f->bits, number));
        buf_printf(&shown, "@%lld\n", (long long)f->t_ms);
    }
    buf_put_u8(&shown, '\0');
    assert_string_equal((const char *)shown.at, expected);
}

static void
expect(const char *text, const char *expected)
{
    expect_in(1, text, expected);
}

UNIT_TEST(test_each_number_of_a_line_is_a_sample)
{
    expect("cpu,host=a,cpu=cpu0 usage_idle=99.5,n=7i,u=8u,up=t,down=False 1700000000123456789\n",
           "cpu_usage_idle{cpu=\"cpu0\", host=\"a\"} 99.5@1700000000123\n"
           "cpu_n{cpu=\"cpu0\", host=\"a\"} 7@1700000000123\n"
           "cpu_u{cpu=\"cpu0\", host=\"a\"} 8@1700000000123\n"
           "cpu_up{cpu=\"cpu0\", host=\"a\"} 1@1700000000123\n"
           "cpu_down{cpu=\"cpu0\", host=\"a\"} 0@1700000000123\n");
    assert_int_equal(outcome.points, 5);
    assert_int_equal(outcome.refused, 0);
}

UNIT_TEST(test_a_field_named_value_has_the_name_of_the_measurement)
{
    expect("up,__name__=up,job=x value=1 1000000\nup,Z=1 other=2 1000000",
           "up{job=\"x\"} 1@1\nup_other{Z=\"1\"} 2@1\n");
}

UNIT_TEST(test_backslashes_keep_commas_blanks_and_equals_signs)
{
    expect("a\\,b\\ c\\=d,k\\ 1\\,2\\=3=v\\ 1\\,2\\=3\\x,z=\\\\y f\\ 1\\,2\\=3=4 1000000",
           "{\"a,b c\\\\=d_f 1,2=3\", \"k 1,2=3\"=\"v 1,2=3\\\\x\", z=\"\\\\\\\\y\"} 4@1\n");
}

UNIT_TEST(test_blank_lines_comments_and_carriage_returns_are_skipped)
{
    expect("\n # a comment\r\n\r\na b=1 1000000\r\n  a b=2\r\n", "a_b 1@1\na_b 2@1700000009000\n");
}

UNIT_TEST(test_times_have_the_unit_of_the_request)
{
    expect_in(NS_PER_S, "a b=1 -2", "a_b 1@-2000\n");
    expect_in(1000, "a b=1 1700000000123456", "a_b 1@1700000000123\n");
    expect_in(1, "a b=1 -1", "a_b 1@-1\n");
    expect_in(0,
              "a b=1 1700000001\na b=1 1700000002000\na b=1 1700000003000000\n"
              "a b=1 1700000004000000000\n",
              "a_b 1@1700000001000\na_b 1@1700000002000\n"
              "a_b 1@1700000003000\na_b 1@1700000004000\n");
}

UNIT_TEST(test_a_bad_line_is_named_and_those_beside_it_are_taken)
{
    static const struct {
        const char *line, *reason;
    } cases[] = {
        {"a", "missing fields"},
        {"a ", "missing fields"},
        {",t=1 b=1", "missing measurement"},
        {"a,t b=1", "missing tag value"},
        {"a,t= b=1", "missing tag value"},
        {"a,=1 b=1", "missing tag key"},
        {"a,t=1,s=2,t=3 b=1", "duplicate tags"},
        {"a,__name__=b v=1", "the tag __name__ is not the measurement"},
        {"a b", "missing field value"},
        {"a b=", "missing field value"},
        {"a =1", "missing field key"},
        {"a b=1,", "missing field value"},
        {"a b=x", "invalid boolean"},
        {"a b=nan", "invalid boolean"},
        {"a b=1x", "invalid number"},
        {"a b=i", "invalid number"},
        {"a b=-1u", "invalid number"},
        {"a b=9223372036854775808i", "unable to parse integer: out of range"},
        {"a b=\"x", "unbalanced quotes"},
        {"a b=1 x", "bad timestamp"},
        {"a b=1 -", "bad timestamp"},
        {"a b=1 1 1", "bad timestamp"},
        {"a b=1 9223372036854775808", "time outside range"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        snprintf(text, sizeof text, "m v=1 1000000\n%s\nm v=2 2000000\n", cases[i].line);
        expect(text, "m_v 1@1\nm_v 2@2\n");
        assert_int_equal(outcome.points, 3);
        assert_int_equal(outcome.refused, 1);
        assert_int_equal(outcome.line, 2);
        if (strstr(outcome.first.text, cases[i].reason) == NULL)
            fail_msg("%s: %s", cases[i].line, outcome.first.text);
    }
}

UNIT_TEST(test_texts_are_refused_and_the_fields_beside_them_taken)
{
    expect("a s=\"x, y=1 \\\" \n\",b=1 1000000\nc d=1 1000000", "a_b 1@1\nc_d 1@1\n");
    assert_int_equal(outcome.points, 3);
    assert_int_equal(outcome.refused, 1);
    assert_string_equal(outcome.first.text,
                        "input field 's' on measurement 'a': texts are not stored");
}

UNIT_TEST(test_an_integer_that_no_float_has_is_refused)
{
    expect("a b=9007199254740993i,c=9007199254740994i,d=-9223372036854775808i 1000000",
           "a_c 9007199254740994@1\na_d -9223372036854776000@1\n");
    assert_int_equal(outcome.refused, 1);
}

UNIT_TEST(test_a_new_metric_is_named_in_the_metadata)
{
    expect("a b=1,value=2i 1000000\na b=3 2000000", "a_b 1@1\na 2@1\na_b 3@2\n");
    assert_true(request.claims_metadata);
    assert_int_equal(request.metadata_count, 2);
    assert_true(bytes_equal_text(request.metadata[0].help,
                                 "InfluxDB: float field \"b\" of \"a\" in \"d\""));
    assert_true(bytes_equal_text(request.metadata[1].help,
                                 "InfluxDB: integer field \"value\" of \"a\" in \"d\""));
}

UNIT_TEST(test_a_line_that_is_refused_names_no_metric)
{
    expect("a b=1i bad\nc d=1i\" 1", "");
    assert_false(request.claims_metadata);
    assert_int_equal(request.metadata_count, 0);
    expect("a b=1i bad\na b=2.5 1000000", "a_b 2.5@1\n");
    assert_true(bytes_equal_text(request.metadata[0].help,
                                 "InfluxDB: float field \"b\" of \"a\" in \"d\""));
}

UNIT_TEST(test_two_fields_of_a_request_do_not_share_a_metric)
{
    expect("w_a b=1 1000000\nw a_b=2i 2000000\nw_a b=3 3000000", "w_a_b 1@1\nw_a_b 3@3\n");
    assert_int_equal(request.metadata_count, 1);
    assert_int_equal(outcome.refused, 1);
}

UNIT_TEST(test_a_metric_that_is_another_field_is_refused)
{
    known = "a_b_c";
    known_help = "InfluxDB: float field \"b_c\" of \"a\" in \"d\"";
    expect("a b_c=1 1000000", "a_b_c 1@1\n");
    assert_int_equal(request.metadata_count, 0);
    expect("a_b c=1 1000000", "");
    assert_int_equal(outcome.refused, 1);
    if (strstr(outcome.first.text, "is already known as InfluxDB: float field") == NULL)
        fail_msg("%s", outcome.first.text);
    known_help = "InfluxDB: float field \"b_c\" of \"a\" in \"other\"";
    expect("a b_c=1 1000000", "");
    known_help = "The help text of a metric of Prometheus.";
    expect("a b_c=1 1000000", "");
}

UNIT_TEST(test_a_field_keeps_its_type)
{
    expect("a b=1 1000000\na b=1i 2000000", "a_b 1@1\n");
    assert_string_equal(outcome.first.text,
                        "input field 'b' on measurement 'a': field type conflict: it is type "
                        "integer, already exists as type float");
    known = "a_b";
    known_help = "InfluxDB: boolean field \"b\" of \"a\" in \"d\"";
    expect("a b=1 1000000\na b=true 2000000", "a_b 1@2\n");
}

UNIT_TEST(test_the_field_of_a_help_text_is_read_back)
{
    static const struct influx_field field = {INFLUX_UNSIGNED,
                                              {(const uint8_t *)"a\"b", 3},
                                              {(const uint8_t *)"\\ of", 4},
                                              {(const uint8_t *)"\n", 1}};
    struct influx_field back;
    struct buf texts;
    buf_init(&texts, NULL, 1000);
    influx_help_put(&shown, &field);
    assert_true(influx_help_read(buf_bytes(&shown), &texts, &back));
    assert_int_equal(back.type, field.type);
    assert_true(bytes_equal(back.name, field.name));
    assert_true(bytes_equal(back.measurement, field.measurement));
    assert_true(bytes_equal(back.database, field.database));
    for (size_t size = 0; size < shown.size; size++)
        assert_false(influx_help_read(bytes_of(shown.at, size), &texts, &back));
    buf_fini(&texts);
}

UNIT_TEST(test_a_refused_allocation_is_an_error)
{
    bool fired = true;
    for (uint64_t n = 1; fired; n++) {
        rw_request_fini(&request);
        mem_fail_nth(n, false);
        enum err e = rw_request_init(&request, NULL);
        if (e == OK) e = decode("a,t=1 b=1,c=2 1\n\"\\ x y=1", 1);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        assert_true(n < 1000);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(test_each_number_of_a_line_is_a_sample),
        CASE(test_a_field_named_value_has_the_name_of_the_measurement),
        CASE(test_backslashes_keep_commas_blanks_and_equals_signs),
        CASE(test_blank_lines_comments_and_carriage_returns_are_skipped),
        CASE(test_times_have_the_unit_of_the_request),
        CASE(test_a_bad_line_is_named_and_those_beside_it_are_taken),
        CASE(test_texts_are_refused_and_the_fields_beside_them_taken),
        CASE(test_an_integer_that_no_float_has_is_refused),
        CASE(test_a_new_metric_is_named_in_the_metadata),
        CASE(test_a_line_that_is_refused_names_no_metric),
        CASE(test_two_fields_of_a_request_do_not_share_a_metric),
        CASE(test_a_metric_that_is_another_field_is_refused),
        CASE(test_a_field_keeps_its_type),
        CASE(test_the_field_of_a_help_text_is_read_back),
        CASE(test_a_refused_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
