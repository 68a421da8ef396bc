/* clickhouse_reader_test.c - a source of type clickhouse, whose server gives scripted answers: its
 * requests, and the results of good and invalid answers. */
#include "lib/test.h"

#include "lib/backend/clickhouse_answers.h"
#include "lib/backend/clickhouse_rows.h"
#include "lib/backend/played_source.h"

#define ANSWER                PLAYED_ANSWER
#define FORM                  ANSWER TESTING_OLD
#define REFUSED(status, text) "HTTP/1.1 " status " X\r\nConnection: close\r\n\r\n" text

/* --- answers ---------------------------------------------------------------------------------- */

/* Starts a source and its server, which has the first answers. */
static void
begin(struct played_source *rig, const char *form)
{
    played_init(rig, SOURCE_CLICKHOUSE);
    rig->settings.u.clickhouse.server =
        (struct clickhouse_settings){.url = rig->url, .database = "d", .table = "t`x"};
    played_answer(rig, form);
}

/* Adds an answer with one series of two samples. */
static void
answer_series(struct played_source *rig)
{
    struct buf *to = played_answer(rig, ANSWER);
    put_row_series(to, "up", "{\"job\":\"x\"}", 2, 1000, 2000);
    put_last_series(to);
}

static void
put_samples(struct buf *to, const char *metric, const char *labels)
{
    static const uint64_t times[] = {1000, 2000}, values[] = {0x3ff8000000000000, 0};
    buf_put_u8(to, 0);
    put_row_text(to, metric);
    put_row_text(to, labels);
    put_row_numbers(to, 2, times);
    put_row_numbers(to, 2, values);
    put_row_numbers(to, 0, NULL);
    put_row_numbers(to, 0, NULL);
    buf_put_varint(to, 0);
}

static void
answer_samples(struct played_source *rig)
{
    struct buf *to = played_answer(rig, ANSWER);
    put_samples(to, "up", "{\"job\":\"x\"}");
    put_last_samples(to);
}

/* --- good answers ----------------------------------------------------------------------------- */

UNIT_TEST(test_series_are_asked_for_then_their_samples)
{
    struct played_source rig;
    begin(&rig, FORM);
    answer_series(&rig);
    answer_samples(&rig);
    played_start(&rig);
    played_expect_read(&rig, "up", "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n");
    played_expect_asked(&rig, "FROM `d`.`t\\`x` FINAL WHERE `metric` = 'up' AND `time` >= 1000 AND "
                              "`time` <= 2000 GROUP BY");
    played_stop(&rig);
}

UNIT_TEST(test_bits_starts_and_histograms_are_read)
{
    static const uint64_t times[] = {1900, 1000, 1500}, values[] = {0, 0x7ff8000000000001, 0},
                          bits[] = {0, 0x7ff0000000000002, 0}, starts[] = {0, 0, 7};
    struct played_source rig;
    begin(&rig, FORM);
    answer_series(&rig);
    struct buf *to = played_answer(&rig, ANSWER);
    put_samples(to, "up", "{\"job\":\"not asked for\"}");
    buf_put_u8(to, 0);
    put_row_text(to, "up");
    put_row_text(to, "{\"job\":\"x\"}");
    put_row_numbers(to, 3, times);
    put_row_numbers(to, 3, values);
    put_row_numbers(to, 3, bits);
    put_row_numbers(to, 3, starts);
    buf_put_varint(to, 3);
    put_row_text(to, "{\"count_int\":0}");
    put_row_text(to, "");
    put_row_text(to, "");
    put_last_samples(to);
    played_start(&rig);
    played_expect_read(&rig, "up", "up{job=\"x\"} 1000:7ff0000000000002 1500:0@7 1900:h\n");
    played_stop(&rig);
}

/* A user with readonly = 1 may not send settings. */
UNIT_TEST(test_a_server_that_can_stops_when_its_response_is_not_read)
{
#define CANCEL "[\"setting\",\"cancel_http_readonly_queries_on_client_close\",\"0\",\"\"]"
    static const char *const forms[] = {
        ANSWER TESTING_NEW,
        ANSWER TESTING_ANSWER(
            "26.7.2.1",
            "," CANCEL
            ",[\"setting\",\"readonly\",\"1\",\"\"]" TESTING_ENGINE TESTING_COLUMNS("String"),
            10),
    };
    for (int i = 0; i < 2; i++) {
        struct played_source rig;
        begin(&rig, forms[i]);
        answer_series(&rig);
        answer_samples(&rig);
        played_start(&rig);
        played_expect_read(&rig, "up", "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n");
        played_expect_asked(&rig, i == 0
                                      ? "POST /?cancel_http_readonly_queries_on_client_close=1 HTTP"
                                      : "POST / HTTP");
        played_stop(&rig);
    }
}

/* Settings of a profile under which a response may lack rows without an error. */
#define PARTIAL(readonly)                                                                         \
    ANSWER TESTING_ANSWER(                                                                        \
        "18.16.1",                                                                                \
        ",[\"setting\",\"readonly\",\"" readonly "\",\"\"]"                                       \
        ",[\"setting\",\"skip_unavailable_shards\",\"1\",\"\"]"                                   \
        ",[\"setting\",\"read_overflow_mode\",\"throw\",\"\"]"                                    \
        ",[\"setting\",\"timeout_overflow_mode\",\"break\",\"\"]" TESTING_ENGINE TESTING_COLUMNS( \
            "String"),                                                                            \
        12)

UNIT_TEST(test_settings_that_omit_rows_are_set_for_each_query)
{
    struct played_source rig;
    begin(&rig, PARTIAL("2"));
    answer_series(&rig);
    answer_samples(&rig);
    played_start(&rig);
    played_expect_read(&rig, "up", "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n");
    played_expect_asked(&rig, "POST /?skip_unavailable_shards=0&timeout_overflow_mode=throw HTTP");
    played_stop(&rig);
}

UNIT_TEST(test_a_user_whose_settings_omit_rows_is_refused_if_they_stay)
{
    struct played_source rig;
    begin(&rig, PARTIAL("1"));
    played_start(&rig);
    played_expect_failure(&rig, "up", ERR_IO,
                          "set skip_unavailable_shards to 0 in the profile of the user");
    played_stop(&rig);
}

UNIT_TEST(test_series_that_are_not_selected_are_left_out)
{
    struct played_source rig;
    begin(&rig, FORM);
    struct buf *to = played_answer(&rig, ANSWER);
    put_row_series(to, "up", "{\"job\":\"x\"}", 2, 1000, 2000);
    put_row_series(to, "up", "{\"job\":\"y\"}", 2, 1000, 2000);
    put_last_series(to);
    answer_samples(&rig);
    played_start(&rig);
    played_expect_read(&rig, "up{job=~\"[x]\"}", "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n");
    played_expect_asked(&rig, "(`metric`, `labels`) IN (('up','{\"job\":\"x\"}'))");
    played_stop(&rig);
}

UNIT_TEST(test_a_foreign_table_needs_only_four_columns)
{
    struct played_source rig;
    begin(&rig, ANSWER TESTING_ANSWER("18.16.1",
                                      ",[\"table\",\"MergeTree\",\"at\",\"\"]"
                                      ",[\"column\",\"name\",\"String\",\"\"]"
                                      ",[\"column\",\"tags\",\"String\",\"\"]"
                                      ",[\"column\",\"at\",\"DateTime\",\"\"]"
                                      ",[\"column\",\"v\",\"Float32\",\"\"]",
                                      6));
    answer_series(&rig);
    answer_samples(&rig);
    rig.settings.u.clickhouse.columns =
        (struct clickhouse_columns){.metric = "name", .labels = "tags", .time = "at", .value = "v"};
    played_start(&rig);
    played_expect_read(&rig, "up{job=\"x\"}", "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n");
    played_expect_asked(
        &rig, "groupArray(524289)(toInt64(toUInt32(`at`)) * 1000) AS fk_t, "
              "groupArray(524289)(toFloat64(`v`)) AS fk_v, emptyArrayUInt64() AS fk_b, "
              "emptyArrayInt64() AS fk_s, emptyArrayString() AS fk_h FROM `d`.`t\\`x` WHERE "
              "`name` = 'up' AND toInt64(toUInt32(`at`)) * 1000 >= 1000 AND `at` >= "
              "toDateTime(1) AND");
    played_stop(&rig);
}

UNIT_TEST(test_too_much_for_the_server_is_asked_for_in_parts)
{
    struct played_source rig;
    begin(&rig, FORM);
    struct buf *to = played_answer(&rig, ANSWER);
    put_row_series(to, "up", "{\"job\":\"x\"}", 2, 1000, 2000);
    put_row_series(to, "up", "{\"job\":\"y\"}", 2, 1000, 2000);
    put_last_series(to);
    played_answer(&rig,
                  REFUSED("500", "Code: 241, e.displayText() = DB::Exception: Memory limit (for "
                                 "query) exceeded, e.what() = DB::Exception\n"));
    answer_samples(&rig);
    to = played_answer(&rig, ANSWER);
    put_samples(to, "up", "{\"job\":\"y\"}");
    put_last_samples(to);
    played_start(&rig);
    played_expect_read(&rig, "up",
                       "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n"
                       "up{job=\"y\"} 1000:3ff8000000000000 2000:0\n");
    played_stop(&rig);
}

/* --- requests --------------------------------------------------------------------------------- */

/* Asks for series, of which the server has none, and checks that the request contains the words,
 * or does not. */
static void
check_sent(const char *selector, const char *words, bool is_there)
{
    struct played_source rig;
    begin(&rig, FORM);
    put_last_series(played_answer(&rig, ANSWER));
    rig.request.min_ms = 1001;
    rig.request.max_ms = 2002;
    played_start(&rig);
    played_expect_read(&rig, selector, "");
    if ((strstr(rig.player.seen, words) != NULL) != is_there)
        fail_msg("%s: '%s' is %sin: %s", selector, words, is_there ? "not " : "", rig.player.seen);
    played_stop(&rig);
}

UNIT_TEST(test_both_bounds_of_the_range_are_asked_for)
{
    check_sent("up", "`metric` = 'up'", true);
    check_sent("up", "WHERE `time` >= 1001 AND `time` <= 2002 AND", true);
}

UNIT_TEST(test_matchers_that_admit_a_missing_label_are_not_sent)
{
#define OF_A "\"a\":"
    check_sent("up{a=~\".+\"}", OF_A, true);
    check_sent("up{a=~\"x.*\"}", OF_A "\"x') = 1", true);
    check_sent("up{a=\"x\"}", OF_A "\"x\"') = 1", true);
    check_sent("up{a=~\".*\"}", OF_A, false);
    check_sent("up{a=~\"(x.*)?\"}", OF_A, false);
    check_sent("up{a=~\"|x.*\"}", OF_A, false);
    check_sent("up{a!~\".+\"}", OF_A, false);
    check_sent("up{a!~\"x.*\"}", OF_A, false);
}

UNIT_TEST(test_the_beginning_of_a_metric_is_asked_for_as_a_range)
{
    check_sent("{__name__=~\"node_.*\"}", "AND `metric` >= 'node_' AND `metric` < 'node`' ", true);
    check_sent("{__name__=~\"node'.*\"}", "`metric` >= 'node\\'' AND `metric` < 'node(' ", true);
    check_sent("{__name__=~\".+\"}", "`metric` >= ", false);
    check_sent("{__name__!~\"node_.*\",a=\"b\"}", "`metric` >= ", false);
}

UNIT_TEST(test_a_series_without_the_label_is_read_if_the_matcher_admits_it)
{
    struct played_source rig;
    begin(&rig, FORM);
    answer_series(&rig);
    answer_samples(&rig);
    played_start(&rig);
    played_expect_read(&rig, "up{a=~\".*\",b!=\"c\"}",
                       "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n");
    played_stop(&rig);
}

/* --- answers that are cut short --------------------------------------------------------------- */

/* The connection ends as it does after a whole answer. */
UNIT_TEST(test_an_answer_cut_short_at_any_byte_is_an_error)
{
    for (unsigned step = 1; step <= 2; step++) {
        size_t whole = SIZE_MAX;
        for (size_t cut = sizeof ANSWER - 1; cut < whole; cut++) {
            struct played_source rig;
            struct buf text;
            buf_init(&text, NULL, 1 << 20);
            begin(&rig, FORM);
            answer_series(&rig);
            if (step == 2) answer_samples(&rig);
            whole = rig.answers[step].size;
            rig.answers[step].size = cut;
            played_start(&rig);
            enum err e = played_read(&rig, "up", &text);
            if (e == OK) fail_msg("%zu of %zu bytes: %s", cut, whole, (char *)text.at);
            assert_int_equal(e, ERR_CORRUPT);
            buf_fini(&text);
            played_stop(&rig);
        }
    }
}

/* --- look-ups --------------------------------------------------------------------------------- */

UNIT_TEST(test_names_and_values_are_looked_up)
{
    struct played_source rig;
    begin(&rig, FORM);
    struct buf *to = played_answer(&rig, ANSWER);
    put_row_series(to, "up", "{\"job\":\"x\",\"site\":\"theirs\"}", 0, 0, 0);
    put_row_series(to, "", "{\"job\":\"y\",\"a\":\"b\"}", 0, 0, 0);
    put_last_series(to);
    to = played_answer(&rig, ANSWER);
    put_row_series(to, "up", "", 0, 0, 0);
    put_row_series(to, "", "", 0, 0, 0);
    put_last_series(to);
    to = played_answer(&rig, ANSWER);
    put_row_series(to, "up", "{\"job\":\"x\"}", 0, 0, 0);
    put_row_series(to, "up", "{}", 0, 0, 0);
    put_last_series(to);
    struct named_text site = {"site", "ours"};
    rig.settings.external_labels = (struct named_texts){&site, 1};
    played_start(&rig);
    played_expect_looked_up(&rig, NULL, NULL, "__name__;job;a;");
    played_expect_asked(&rig, "GROUP BY fk_l UNION ALL");
    played_expect_looked_up(&rig, NULL, "__name__", "up;");
    played_expect_asked(&rig, "GROUP BY fk_m UNION ALL");
    played_expect_looked_up(&rig, NULL, "job", "x;");
    played_expect_asked(&rig, "AND (position(`labels`, '{\"job\":') = 1 OR position(`labels`, "
                              "',\"job\":') > 0) GROUP BY fk_l");
    played_stop(&rig);
}

/* --- invalid answers -------------------------------------------------------------------------- */

UNIT_TEST(test_an_answer_without_rows_is_an_error)
{
    static const struct {
        const char *answer;
        enum err expected;
        const char *words;
        enum trouble trouble;
    } cases[] = {
        {REFUSED("401", "Code: 193, e.displayText() = DB::Exception: Wrong password for user u, "
                        "e.what() = DB::Exception"),
         ERR_IO, "Wrong password", TROUBLE_CREDENTIALS},
        {REFUSED("500", "Code: 497. DB::Exception: u: Not enough privileges. (ACCESS_DENIED)"),
         ERR_IO, "Not enough privileges", TROUBLE_CREDENTIALS},
        {REFUSED("500", "Code: 164, e.displayText() = DB::Exception: readonly, e.what() = x"),
         ERR_IO, "readonly", TROUBLE_CREDENTIALS},
        {REFUSED("404", "Code: 47, e.displayText() = DB::Exception: Unknown identifier: labels"),
         ERR_IO, "Unknown identifier", TROUBLE_REFUSED},
        {REFUSED("500", "Code: 62, e.displayText() = DB::Exception: Syntax error"), ERR_IO,
         "Syntax error", TROUBLE_REFUSED},
        {REFUSED("404", "no such page"), ERR_IO, "status 404: no such page", TROUBLE_REFUSED},
        {ANSWER "<html>hello</html>", ERR_CORRUPT, "not in the format RowBinary", TROUBLE_DAMAGED},
        {ANSWER "Code: 241, e.displayText() = DB::Exception: Memory limit (total) exceeded, "
                "e.what() = DB::Exception\n",
         ERR_AGAIN, "the response ends with an error: Code: 241", TROUBLE_SERVER},
        {ANSWER "Code: 395. DB::Exception: thrown. (FUNCTION_THROW_IF)\n", ERR_IO,
         "the response ends with an error: Code: 395", TROUBLE_REFUSED},
        {ANSWER, ERR_CORRUPT, "ends before its last row", TROUBLE_DAMAGED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (unsigned step = 0; step < 2; step++) {
            struct played_source rig;
            begin(&rig, FORM);
            if (step == 1) answer_series(&rig);
            played_answer(&rig, cases[i].answer);
            played_start(&rig);
            played_expect_failure(&rig, "up", cases[i].expected, cases[i].words);
            played_expect_trouble(&rig, cases[i].trouble);
            played_stop(&rig);
        }
    }
}

UNIT_TEST(test_an_error_after_good_rows_is_an_error)
{
    for (unsigned cut = 0; cut < 3; cut++) {
        struct played_source rig;
        begin(&rig, FORM);
        answer_series(&rig);
        struct buf *to = played_answer(&rig, ANSWER);
        put_samples(to, "up", "{\"job\":\"x\"}");
        to->size -= cut * 9; /* also cuts inside a row */
        buf_put_text(to, "Code: 159, e.displayText() = DB::Exception: Timeout exceeded, e.what()");
        played_start(&rig);
        played_expect_failure(&rig, "up", ERR_AGAIN, "Timeout exceeded");
        played_expect_trouble(&rig, TROUBLE_SERVER);
        played_stop(&rig);
    }
}

UNIT_TEST(test_rows_that_cannot_be_right_are_damage)
{
    static const uint64_t one[] = {1000};
    static const char *const words[] = {"labels of a row cannot be read", "differ in length",
                                        "a histogram cannot be read"};
    for (unsigned kind = 0; kind < 3; kind++) {
        struct played_source rig;
        begin(&rig, FORM);
        if (kind > 0) answer_series(&rig);
        struct buf *to = played_answer(&rig, ANSWER);
        if (kind == 0) {
            put_row_series(to, "up", "job=x", 1, 0, 0);
        } else {
            buf_put_u8(to, 0);
            put_row_text(to, "up");
            put_row_text(to, "{\"job\":\"x\"}");
            put_row_numbers(to, 1, one);
            put_row_numbers(to, kind == 1 ? 0 : 1, one);
            put_row_numbers(to, 0, NULL);
            put_row_numbers(to, 0, NULL);
            buf_put_varint(to, kind == 1 ? 0 : 1);
            if (kind == 2) put_row_text(to, "{count}");
        }
        played_start(&rig);
        played_expect_failure(&rig, "up", ERR_CORRUPT, words[kind]);
        played_expect_trouble(&rig, TROUBLE_DAMAGED);
        played_stop(&rig);
    }
}

UNIT_TEST(test_a_table_that_cannot_be_read_is_named)
{
    static const struct {
        const char *answer, *words;
    } cases[] = {
        {ANSWER TESTING_NO_TABLE, "table d.t`x does not exist, or the user may not see it"},
        {ANSWER TESTING_ANSWER("18.16.1", TESTING_ENGINE, 2), "has no column metric"},
        {ANSWER TESTING_ANSWER("18.16.1", TESTING_ENGINE ",[\"column\",\"metric\",\"UInt8\",\"\"]",
                               3),
         "column metric of table d.t`x has type UInt8, expected String"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct played_source rig;
        begin(&rig, cases[i].answer);
        played_start(&rig);
        played_expect_failure(&rig, "up", ERR_IO, cases[i].words);
        played_expect_trouble(&rig, TROUBLE_REFUSED);
        played_stop(&rig);
    }
}

UNIT_TEST(test_after_an_answer_that_contradicts_it_the_table_is_asked_for_again)
{
    struct played_source rig;
    begin(&rig, FORM);
    played_answer(&rig,
                  REFUSED("404", "Code: 47, e.displayText() = DB::Exception: Unknown identifier"));
    played_answer(&rig, ANSWER TESTING_OLD_SHORT);
    answer_series(&rig);
    answer_samples(&rig);
    played_start(&rig);
    played_expect_failure(&rig, "up", ERR_IO, "Unknown identifier");
    played_expect_trouble(&rig, TROUBLE_REFUSED);
    rig.why.text[0] = '\0';
    played_expect_read(&rig, "up", "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n");
    played_expect_asked(&rig, "emptyArrayInt64() AS fk_s");
    played_stop(&rig);
}

/* --- memory ----------------------------------------------------------------------------------- */

static void
start_whole(struct played_source *rig, unsigned variant)
{
    (void)variant;
    begin(rig, FORM);
    answer_series(rig);
    answer_samples(rig);
    played_start(rig);
}

UNIT_TEST(test_a_failed_allocation_fails_the_question_and_nothing_leaks)
{
    played_fail_allocations(start_whole, 0, "up", "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n",
                            1u << ERR_AGAIN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_are_asked_for_then_their_samples),
        cmocka_unit_test(test_bits_starts_and_histograms_are_read),
        cmocka_unit_test(test_a_server_that_can_stops_when_its_response_is_not_read),
        cmocka_unit_test(test_settings_that_omit_rows_are_set_for_each_query),
        cmocka_unit_test(test_a_user_whose_settings_omit_rows_is_refused_if_they_stay),
        cmocka_unit_test(test_series_that_are_not_selected_are_left_out),
        cmocka_unit_test(test_a_foreign_table_needs_only_four_columns),
        cmocka_unit_test(test_too_much_for_the_server_is_asked_for_in_parts),
        cmocka_unit_test(test_both_bounds_of_the_range_are_asked_for),
        cmocka_unit_test(test_matchers_that_admit_a_missing_label_are_not_sent),
        cmocka_unit_test(test_the_beginning_of_a_metric_is_asked_for_as_a_range),
        cmocka_unit_test(test_a_series_without_the_label_is_read_if_the_matcher_admits_it),
        cmocka_unit_test(test_an_answer_cut_short_at_any_byte_is_an_error),
        cmocka_unit_test(test_names_and_values_are_looked_up),
        cmocka_unit_test(test_an_answer_without_rows_is_an_error),
        cmocka_unit_test(test_an_error_after_good_rows_is_an_error),
        cmocka_unit_test(test_rows_that_cannot_be_right_are_damage),
        cmocka_unit_test(test_a_table_that_cannot_be_read_is_named),
        cmocka_unit_test(test_after_an_answer_that_contradicts_it_the_table_is_asked_for_again),
        cmocka_unit_test(test_a_failed_allocation_fails_the_question_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
