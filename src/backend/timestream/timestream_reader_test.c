/* timestream_reader_test.c - a source of type timestream, whose server gives scripted answers: its
 * requests, and the results of good pages and invalid answers. */
#include "lib/test.h"

#include "lib/backend/played_source.h"

#define ANSWER PLAYED_ANSWER
#define REFUSED(status, code, text)                  \
    "HTTP/1.1 " status " X\r\nConnection: close\r\n" \
    "\r\n{\"__type\":\"com.amazonaws.timestream.v20181101#" code "\",\"Message\":\"" text "\"}"
#define PAGE(rows, more)   ANSWER "{\"QueryId\":\"Q1\",\"Rows\":[" rows "]" more "}"
#define ROW(cells)         "{\"Data\":[" cells "]}"
#define S(text)            "{\"ScalarValue\":\"" text "\"}"
#define NONE               "{\"NullValue\":true}"
#define COLUMN(name, kind) ROW(S(name) "," S("varchar") "," S(kind))
#define MEASURES                                                                       \
    COLUMN("measure_name", "MEASURE_NAME")                                             \
    "," COLUMN("time", "TIMESTAMP") "," COLUMN(                                        \
        "measure_value::double", "MEASURE_VALUE") "," COLUMN("measure_value::varchar", \
                                                             "MEASURE_VALUE")
#define TABLE                       PAGE(COLUMN("job", "DIMENSION") "," MEASURES, "")
#define T(second)                   S("2023-11-14 22:13:" second ".000000000")
#define SERIES(measure, job, count) ROW(S(measure) "," job "," S(count) "," T("20") "," T("35"))

static void
start(struct played_source *rig, unsigned count, const char *const *answers)
{
    played_init(rig, SOURCE_TIMESTREAM);
    rig->settings.u.timestream = (struct timestream_read_settings){
        .database = "metrics",
        .table = "prom",
        .query_endpoint = rig->url,
        .aws = {.region = "eu-west-1", .access_key.text = "AKID", .secret_key.text = "SECRETkey"}};
    rig->settings.max_bytes = 1000000;
    rig->shown_from_ms = 1700000000000;
    played_answers(rig, count, answers);
    played_start(rig);
}

/* --- good pages ------------------------------------------------------------------------------- */

UNIT_TEST(test_columns_then_series_then_samples_are_asked_for)
{
    static const char *const answers[] = {
        TABLE, PAGE(SERIES("up", S("x"), "2"), ""),
        PAGE(ROW(T("35") "," S("-0.0") "," NONE) "," ROW(T("20") "," S("1.5E0") "," NONE), "")};
    struct played_source rig;
    start(&rig, 3, answers);
    played_expect_read(&rig, "up", "up{job=\"x\"} 0:3ff8000000000000 15000:8000000000000000\n");
    played_expect_asked(&rig, "X-Amz-Target: Timestream_20181101.Query");
    played_expect_asked(&rig, "/eu-west-1/timestream/aws4_request");
    played_expect_asked(
        &rig, "\"QueryString\":\"SELECT time, measure_value::double, measure_value::varchar "
              "FROM \\\"metrics\\\".\\\"prom\\\" WHERE time >= from_milliseconds(1700000000000) "
              "AND time < from_milliseconds(1700000015001) AND measure_name = 'up' AND "
              "\\\"job\\\" = 'x'\",\"MaxRows\":1000,\"ClientToken\":\"");
    played_stop(&rig);
}

UNIT_TEST(test_samples_on_both_bounds_of_the_range_are_given)
{
    static const char *const no_series[] = {TABLE, PAGE("", "")};
    static const char *const answers[] = {
        TABLE, PAGE(SERIES("up", S("x"), "2"), ""),
        PAGE(ROW(T("35") "," S("2.0") "," NONE) "," ROW(T("20") "," S("1.0") "," NONE), "")};
    struct played_source rig;
    start(&rig, 2, no_series);
    rig.request.min_ms = 1700000000000;
    rig.request.max_ms = 1700000015000;
    played_expect_read(&rig, "up", "");
    played_expect_asked(&rig, "time >= from_milliseconds(1700000000000) AND time < "
                              "from_milliseconds(1700000015001)");
    played_stop(&rig);
    start(&rig, 3, answers);
    rig.request.min_ms = 1700000000000;
    rig.request.max_ms = 1700000015000;
    played_expect_read(&rig, "up", "up{job=\"x\"} 0:3ff0000000000000 15000:4000000000000000\n");
    played_stop(&rig);
}

/* The connection ends as it does after a whole answer. */
UNIT_TEST(test_an_answer_cut_short_at_any_byte_is_an_error)
{
    static const char *const whole[] = {TABLE, PAGE(SERIES("up", S("x"), "1"), ""),
                                        PAGE(ROW(T("20") "," S("1.0") "," NONE), "")};
    char cut[2000];
    for (unsigned step = 0; step < 3; step++) {
        assert_true(strlen(whole[step]) < sizeof cut);
        for (size_t size = sizeof ANSWER - 1; size < strlen(whole[step]); size++) {
            const char *answers[] = {whole[0], whole[1], whole[2]};
            struct played_source rig;
            struct buf text;
            snprintf(cut, sizeof cut, "%.*s", (int)size, whole[step]);
            answers[step] = cut;
            start(&rig, step + 1, answers);
            buf_init(&text, NULL, 1 << 20);
            if (played_read(&rig, "up", &text) == OK) fail_msg("%s", cut);
            buf_fini(&text);
            played_stop(&rig);
        }
    }
}

UNIT_TEST(test_each_view_asks_for_the_columns_once)
{
    static const char *const answers[] = {TABLE,
                                          PAGE(SERIES("up", S("x"), "1"), ""),
                                          PAGE(ROW(T("20") "," S("1.0") "," NONE), ""),
                                          PAGE(SERIES("up", S("x"), "1"), ""),
                                          PAGE(ROW(T("20") "," S("2.0") "," NONE), ""),
                                          PAGE(COLUMN("late", "DIMENSION") "," MEASURES, ""),
                                          PAGE(SERIES("up", S("y"), "1"), ""),
                                          PAGE(ROW(T("20") "," S("3.0") "," NONE), "")};
    struct played_source rig;
    start(&rig, 8, answers);
    played_expect_read(&rig, "up", "up{job=\"x\"} 0:3ff0000000000000\n");
    played_expect_read(&rig, "up", "up{job=\"x\"} 0:4000000000000000\n");
    view_free(rig.view);
    assert_int_equal(view_open(rig.reader, &rig.control, &rig.view, NULL), OK);
    played_expect_read(&rig, "up", "up{late=\"y\"} 0:4008000000000000\n");
    played_stop(&rig);
}

UNIT_TEST(test_texts_are_the_bits_of_floats_and_histograms)
{
    static const char *const answers[] = {
        TABLE, PAGE(SERIES("up", S("x"), "3"), ""),
        PAGE(ROW(T("20") "," NONE "," S("7ff0000000000002")) "," ROW(T("21") "," NONE "," S(
                 "{\\\"co"
                 "unt_"
                 "int\\\""
                 ":0,"
                 "\\\"sum"
                 "\\\":0,"
                 "\\\"sch"
                 "ema\\\""
                 ":0}")) "," ROW(T("22") "," NONE
                                         "," S("what others wrote")) "," ROW(T("23") "," NONE
                                                                                     "," NONE),
             "")};
    struct played_source rig;
    start(&rig, 3, answers);
    played_expect_read(
        &rig, "up",
        "up{job=\"x\"} 0:7ff0000000000002 1000:h\n"
        "warning: source test: 2 rows have no value that can be read, and were left out\n");
    played_stop(&rig);
}

UNIT_TEST(test_pages_go_on_until_there_is_no_token)
{
    static const char *const answers[] = {
        TABLE, PAGE("", ",\"NextToken\":\"a\\\"b\""), PAGE(SERIES("up", S("x"), "1"), ""),
        PAGE("", ",\"NextToken\":\"c\""), PAGE(ROW(T("20") "," S("1.0") "," NONE), "")};
    struct played_source rig;
    start(&rig, 5, answers);
    played_expect_read(&rig, "up", "up{job=\"x\"} 0:3ff0000000000000\n");
    played_expect_asked(&rig, ",\"NextToken\":\"c\"}");
    assert_null(strstr(rig.player.seen, "ClientToken"));
    played_stop(&rig);
}

UNIT_TEST(test_series_come_in_label_order_whatever_their_rows_order)
{
    static const char *const answers[] = {
        TABLE,
        PAGE(SERIES("up", S("y"), "1") "," SERIES("up", NONE, "1") "," SERIES("down", S("z"), "1"),
             ""),
        PAGE(
            ROW(T("20") "," S("3.0") "," NONE "," S("up") "," S("y")) "," ROW(T("20") "," S("2.0") "," NONE "," S(
                "up") "," NONE) "," ROW(T("20") "," S("1.0") "," NONE
                                                             "," S("down") "," S(
                                                                 "z")) "," ROW(T("20") "," S("9"
                                                                                             "."
                                                                                             "0") "," NONE
                                                                                                  "," S("down") "," S(
                                                                                                      "not asked for")),
            "")};
    struct played_source rig;
    start(&rig, 3, answers);
    played_expect_read(&rig, "{__name__=~\"up|down\"}",
                       "down{job=\"z\"} 0:3ff0000000000000\n"
                       "up 0:4000000000000000\n"
                       "up{job=\"y\"} 0:4008000000000000\n");
    played_expect_asked(&rig,
                        "SELECT time, measure_value::double, measure_value::varchar, measure_name, "
                        "\\\"job\\\" FROM");
    assert_null(strstr(rig.player.seen, " OR ")); /* the series are all that is selected */
    played_stop(&rig);
}

UNIT_TEST(test_series_that_are_not_selected_are_not_read)
{
    static const char *const answers[] = {
        TABLE, PAGE(SERIES("up", S("x"), "1") "," SERIES("up", S("xy"), "1"), ""),
        PAGE(ROW(T("20") "," S("1.0") "," NONE), "")};
    struct played_source rig;
    start(&rig, 3, answers);
    played_expect_read(&rig, "up{job=~\"[x]+\"}", "up{job=\"x\"} 0:3ff0000000000000\n");
    played_expect_asked(&rig, "\\\"job\\\" = 'x'");
    played_stop(&rig);
}

UNIT_TEST(test_a_table_without_such_a_dimension_is_asked_no_more)
{
    static const char *const answers[] = {TABLE};
    struct played_source rig;
    start(&rig, 1, answers);
    played_expect_read(&rig, "up{instance=\"x\"}", "");
    played_stop(&rig);
}

/* --- look-ups --------------------------------------------------------------------------------- */

UNIT_TEST(test_names_are_those_of_columns_with_values)
{
    static const char *const answers[] = {
        PAGE(COLUMN("job", "DIMENSION") "," COLUMN("old", "DIMENSION") "," MEASURES, ""),
        PAGE(ROW(S("U__") "," S("up") "," S("x") "," NONE), "")};
    struct played_source rig;
    start(&rig, 2, answers);
    played_expect_looked_up(&rig, NULL, NULL, "__name__;job;");
    played_expect_asked(&rig, "SELECT MIN(measure_name), MAX(measure_name), MAX(\\\"job\\\"), "
                              "MAX(\\\"old\\\") FROM");
    played_stop(&rig);
}

UNIT_TEST(test_a_table_without_rows_has_no_names)
{
    static const char *const answers[] = {TABLE, PAGE(ROW(NONE "," NONE "," NONE), "")};
    struct played_source rig;
    start(&rig, 2, answers);
    played_expect_looked_up(&rig, NULL, NULL, "");
    played_stop(&rig);
}

UNIT_TEST(test_values_are_filtered_by_what_was_not_sent)
{
    static const char *const answers[] = {
        TABLE,
        PAGE(ROW(S("up") "," S("x")) "," ROW(S("up") "," NONE) "," ROW(S("UP") "," S("y")), "")};
    struct played_source rig;
    start(&rig, 2, answers);
    played_expect_looked_up(&rig, "{__name__=~\"[u]p+\"}", "job", "x;");
    played_expect_asked(&rig, "SELECT DISTINCT measure_name, \\\"job\\\" FROM");
    played_stop(&rig);
}

UNIT_TEST(test_values_of_a_label_that_no_row_has_are_not_asked_for)
{
    static const char *const answers[] = {TABLE};
    struct played_source rig;
    start(&rig, 1, answers);
    played_expect_looked_up(&rig, NULL, "instance", "");
    played_stop(&rig);
}

/* --- invalid answers -------------------------------------------------------------------------- */

static void
check_fails(unsigned count, const char *const *answers, enum err expected, const char *words,
            enum trouble trouble)
{
    struct played_source rig;
    start(&rig, count, answers);
    played_expect_failure(&rig, "up", expected, words);
    played_expect_trouble(&rig, trouble);
    played_stop(&rig);
}

UNIT_TEST(test_refusals_are_reported)
{
    static const struct {
        const char *answer;
        enum err e;
        const char *words;
        enum trouble trouble;
    } cases[] = {
        {REFUSED("400", "ValidationException", "line 1:8: no"), ERR_IO, "line 1:8: no",
         TROUBLE_REFUSED},
        {REFUSED("403", "AccessDeniedException", "not you"), ERR_IO, "not you",
         TROUBLE_CREDENTIALS},
        {REFUSED("421", "InvalidEndpointException", "elsewhere"), ERR_AGAIN, "elsewhere",
         TROUBLE_REFUSED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_fails(1, &cases[i].answer, cases[i].e, cases[i].words, cases[i].trouble);
}

UNIT_TEST(test_invalid_pages_are_damage)
{
    static const struct {
        const char *page;
        const char *words;
    } cases[] = {
        {ANSWER "<html>", "the response is not a page of rows"},
        {ANSWER "{\"QueryId\":\"Q\"}", "it has no rows"},
        {ANSWER "{\"Rows\":[{\"Data\":[", "the response is not a page of rows"},
        {PAGE(ROW(S("up") "," NONE), ""), "a row has too few values"},
        {PAGE(ROW(S("up") "," NONE "," NONE "," NONE "," NONE "," NONE), ""),
         "a row has too many values"},
        {PAGE("{}", ""), "a row has no values"},
        {PAGE(ROW("{\"ArrayValue\":[]}," NONE "," NONE "," NONE "," NONE), ""),
         "a value is neither a scalar nor null"},
        {PAGE(ROW(S("up") "," NONE "," S("1") "," NONE "," NONE), ""), "no time"},
        {PAGE(ROW(NONE "," NONE "," S("1") "," T("20") "," T("20")), ""), "no measure"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const answers[] = {TABLE, cases[i].page};
        check_fails(2, answers, ERR_CORRUPT, cases[i].words, TROUBLE_DAMAGED);
    }
}

UNIT_TEST(test_a_query_that_scans_too_much_is_ended_and_cancelled)
{
    static const char *const answers[] = {
        TABLE,
        PAGE("", ",\"NextToken\":\"a\",\"QueryStatus\":{\"ProgressPercentage\":1.5,"
                 "\"CumulativeBytesScanned\":1000001}"),
        ANSWER "{\"CancellationMessage\":\"done\"}"};
    struct played_source rig;
    start(&rig, 3, answers);
    played_expect_failure(&rig, "up", ERR_LIMIT, "");
    assert_string_equal(rig.why.text, "Timestream has scanned 1000001 bytes for the query, more "
                                      "than 1000000 (max_bytes)");
    assert_int_equal(atomic_load(&rig.counts.scanned_bytes), 1000001);
    played_expect_trouble(&rig, TROUBLE_LIMIT);
    played_expect_asked(&rig, "X-Amz-Target: Timestream_20181101.CancelQuery");
    played_expect_asked(&rig, "{\"QueryId\":\"Q1\"}");
    played_stop(&rig);
}

UNIT_TEST(test_a_query_without_memory_ends_with_that_error)
{
    static const char *const answers[] = {
        TABLE, PAGE("", ",\"NextToken\":\"a\\\"b\""), PAGE(SERIES("up", S("x"), "1"), ""),
        PAGE(ROW(T("20") "," NONE "," S("{\\\"count_int\\\":0,\\\"sum\\\":0,\\\"schema\\\":0}")),
             "")};
    enum err e = ERR_NOMEM;
    for (uint64_t room = 1024; e == ERR_NOMEM; room += room / 4) {
        struct played_source rig;
        struct buf text;
        start(&rig, 4, answers);
        rig.budget.limit_bytes = room;
        buf_init(&text, NULL, 1 << 20);
        e = played_read(&rig, "up", &text);
        if (e == OK) assert_string_equal((const char *)text.at, "up{job=\"x\"} 0:h\n");
        buf_fini(&text);
        played_stop(&rig);
    }
    assert_int_equal(e, OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_then_series_then_samples_are_asked_for),
        cmocka_unit_test(test_samples_on_both_bounds_of_the_range_are_given),
        cmocka_unit_test(test_an_answer_cut_short_at_any_byte_is_an_error),
        cmocka_unit_test(test_each_view_asks_for_the_columns_once),
        cmocka_unit_test(test_texts_are_the_bits_of_floats_and_histograms),
        cmocka_unit_test(test_pages_go_on_until_there_is_no_token),
        cmocka_unit_test(test_series_come_in_label_order_whatever_their_rows_order),
        cmocka_unit_test(test_series_that_are_not_selected_are_not_read),
        cmocka_unit_test(test_a_table_without_such_a_dimension_is_asked_no_more),
        cmocka_unit_test(test_names_are_those_of_columns_with_values),
        cmocka_unit_test(test_a_table_without_rows_has_no_names),
        cmocka_unit_test(test_values_are_filtered_by_what_was_not_sent),
        cmocka_unit_test(test_values_of_a_label_that_no_row_has_are_not_asked_for),
        cmocka_unit_test(test_refusals_are_reported),
        cmocka_unit_test(test_invalid_pages_are_damage),
        cmocka_unit_test(test_a_query_that_scans_too_much_is_ended_and_cancelled),
        cmocka_unit_test(test_a_query_without_memory_ends_with_that_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
