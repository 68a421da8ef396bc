/* clickhouse_answer_test.c - observed answers of ClickHouse 18.16, and documented ones of newer
 * versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/clickhouse/clickhouse.h"
#include "lib/test.h"

static struct writer_step step;

static struct http_call_answer
answer_of(unsigned status, const char *body)
{
    return (struct http_call_answer){.status = status, .body = bytes_of_text(body)};
}

static enum clickhouse_meaning
judge(unsigned status, const char *body)
{
    struct http_call_answer answer = answer_of(status, body);
    step = (struct writer_step){.next = WRITER_SEND};
    enum clickhouse_meaning meaning = clickhouse_judge(&answer, &step);
    assert_int_equal(step.next, WRITER_DONE);
    return meaning;
}

static void
expect(enum writer_verdict verdict, const char *reason)
{
    assert_int_equal(step.verdict, verdict);
    assert_string_equal(step.reason, reason);
}

#define OLD(code, words)                                                      \
    "Code: " code ", e.displayText() = DB::Exception: " words ", e.what() = " \
    "DB::Exception\n"
#define NEW(code, words, name)                                                             \
    "Code: " code ". DB::Exception: " words ". (" name ") (version 22.8.1.2097 (official " \
    "build))\n"

UNIT_TEST(test_an_empty_answer_is_delivered)
{
    judge(200, "");
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    judge(200, "\n");
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    judge(200, "Ok.\n");
    expect(VERDICT_RETRY, "unexpected_answer");
    judge(200, "<html>");
    expect(VERDICT_BLOCKED, "web_page");
}

UNIT_TEST(test_codes_decide_whatever_the_status)
{
    static const struct {
        const char *body;
        enum writer_verdict verdict;
        const char *reason;
    } cases[] = {
        {OLD("252", "Too many parts (300). Merges are processing significantly slower than "
                    "inserts."),
         VERDICT_THROTTLED, "too_many_parts"},
        {NEW("252", "Too many partitions for single INSERT block (more than 100)",
             "TOO_MANY_PARTS"),
         VERDICT_TOO_LARGE, "too_many_partitions"},
        {OLD("241", "Memory limit (for query) exceeded"), VERDICT_THROTTLED,
         "memory_limit_exceeded"},
        {NEW("241", "Memory limit (total) exceeded", "MEMORY_LIMIT_EXCEEDED"), VERDICT_THROTTLED,
         "memory_limit_exceeded"},
        {OLD("202", "Too much simultaneous queries. Maximum: 100"), VERDICT_THROTTLED,
         "too_many_simultaneous_queries"},
        {OLD("159", "Timeout exceeded"), VERDICT_RETRY, "timeout_exceeded"},
        {OLD("210", "Connection refused"), VERDICT_RETRY, "network_error"},
        {OLD("242", "Table is in readonly mode"), VERDICT_RETRY, "table_is_read_only"},
        {"Code: 999, e.displayText() = Coordination::Exception: Session expired, e.what() = "
         "Coordination::Exception",
         VERDICT_RETRY, "keeper_exception"},
        {"Code: 1000, e.displayText() = Exception: Connection reset by peer, e.what() = Net "
         "Exception",
         VERDICT_RETRY, "poco_exception"},
        {NEW("469", "Constraint `c` is violated at row 3", "VIOLATED_CONSTRAINT"),
         VERDICT_SOME_DEAD, "violated_constraint"},
        {OLD("193", "Wrong password for user firekeep"), VERDICT_BLOCKED, "wrong_password"},
        {NEW("497", "firekeep: Not enough privileges", "ACCESS_DENIED"), VERDICT_BLOCKED,
         "access_denied"},
        {OLD("164", "Cannot insert into table in readonly mode"), VERDICT_BLOCKED, "readonly"},
        {NEW("389", "The part was deduplicated", "INSERT_WAS_DEDUPLICATED"), VERDICT_DELIVERED,
         "insert_was_deduplicated"},
    };
    static const unsigned statuses[] = {200, 400, 401, 403, 404, 500, 503};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (unsigned k = 0; k < sizeof statuses / sizeof *statuses; k++) {
            assert_int_equal(judge(statuses[k], cases[i].body), CLICKHOUSE_PLAIN);
            expect(cases[i].verdict, cases[i].reason);
        }
    }
    assert_non_null(strstr(step.answer, "The part was deduplicated"));
}

UNIT_TEST(test_a_refusal_for_an_outdated_form_asks_for_the_table_again)
{
    assert_int_equal(judge(404, OLD("60", "Table d.t doesn't exist.")), CLICKHOUSE_UNKNOWN_FORM);
    expect(VERDICT_UNPREPARED, "unknown_table");
    assert_int_equal(judge(500, OLD("16", "No such column bits in table t")),
                     CLICKHOUSE_UNKNOWN_FORM);
    expect(VERDICT_UNPREPARED, "no_such_column");
    assert_int_equal(judge(404, OLD("115", "Unknown setting async_insert")),
                     CLICKHOUSE_UNKNOWN_FORM);
    expect(VERDICT_UNPREPARED, "unknown_setting");
    assert_int_equal(judge(500, OLD("89", "Unknown Content-Encoding of HTTP request: zstd")),
                     CLICKHOUSE_UNKNOWN_FORM);
    expect(VERDICT_UNPREPARED, "unknown_compression");
    assert_int_equal(judge(500, OLD("33", "Cannot read all data. Bytes read: 5.")),
                     CLICKHOUSE_MISREAD);
    expect(VERDICT_SOME_DEAD, "cannot_read_all_data");
    assert_int_equal(judge(500, NEW("108", "No data to insert", "NO_DATA_TO_INSERT")),
                     CLICKHOUSE_NO_ROWS);
    expect(VERDICT_DELIVERED, "no_data_to_insert");
    assert_int_equal(judge(500, OLD("57", "Table d.t already exists.")), CLICKHOUSE_EXISTS);
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
}

UNIT_TEST(test_a_code_that_is_not_known_is_judged_by_the_status)
{
    judge(500, OLD("7777", "Something new"));
    expect(VERDICT_RETRY, "code_7777");
    judge(400, OLD("7777", "Something new"));
    expect(VERDICT_SOME_DEAD, "code_7777");
    judge(403, OLD("7777", "Something new"));
    expect(VERDICT_BLOCKED, "code_7777");
    judge(200, OLD("7777", "Something new"));
    expect(VERDICT_RETRY, "code_7777");
    judge(502, "Bad Gateway");
    expect(VERDICT_RETRY, "http_502");
    judge(429, "");
    expect(VERDICT_THROTTLED, "http_429");
    judge(413, "");
    expect(VERDICT_TOO_LARGE, "http_413");
}

UNIT_TEST(test_the_code_is_taken_from_the_header_if_there_is_one)
{
    struct http_call_answer answer = answer_of(500, "something else");
    snprintf(answer.wanted[0], sizeof answer.wanted[0], "252");
    assert_int_equal(clickhouse_answer_code(&answer), 252);
    snprintf(answer.wanted[0], sizeof answer.wanted[0], "x");
    assert_int_equal(clickhouse_answer_code(&answer), 0);
    snprintf(answer.wanted[0], sizeof answer.wanted[0], "99999999999");
    assert_int_equal(clickhouse_answer_code(&answer), 0);
    assert_string_equal(clickhouse_wanted_headers[0], "X-ClickHouse-Exception-Code");
}

UNIT_TEST(test_a_refusal_has_its_first_code_and_a_late_error_its_last)
{
    static const char quoting[] =
        OLD("279", "All connection tries failed. Log: Code: 193, e.displayText() = DB::Exception: "
                   "Wrong password");
    struct http_call_answer answer = answer_of(500, quoting);
    assert_int_equal(clickhouse_answer_code(&answer), 279);
    answer = answer_of(200, "{\"data\":[[\"Code: 60, e.displayText() = DB::Exception: x\"],\n" OLD(
                                "241", "Memory limit (for query) exceeded"));
    assert_int_equal(clickhouse_answer_code(&answer), 241);
    answer = answer_of(
        200, "\r\n__exception__\r\nabcdefghijklmnop\r\n" NEW(
                 "395", "thrown",
                 "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO") "99 "
                                                        "abcdefghijklmnop\r\n__exception__\r\n");
    assert_int_equal(clickhouse_answer_code(&answer), 395);
    answer = answer_of(500, "a label says Code: 60, e.displayText() = DB::Exception: x");
    assert_int_equal(clickhouse_answer_code(&answer), 0);
    answer = answer_of(200, "Code: 60, and nothing else");
    assert_int_equal(clickhouse_answer_code(&answer), 0);
    answer = (struct http_call_answer){.failure = HTTP_CALL_BROKEN};
    assert_int_equal(clickhouse_answer_code(&answer), 0);
}

UNIT_TEST(test_data_that_are_not_whole_are_never_taken_for_success)
{
    static const struct {
        const char *body;
        enum writer_verdict verdict;
    } cases[] = {
        {"", VERDICT_RETRY},
        {"{\"data\":[", VERDICT_RETRY},
        {"{\"data\":[\n" OLD("159", "Timeout exceeded"), VERDICT_RETRY},
        {"{\"data\":[\n" OLD("60", "Table system.tables doesn't exist"), VERDICT_UNPREPARED},
        {OLD("57", "Table d.t already exists."), VERDICT_RETRY},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_call_answer answer = answer_of(200, cases[i].body);
        clickhouse_judge_late(&answer, &step);
        assert_int_equal(step.verdict, cases[i].verdict);
    }
    struct http_call_answer silence = {.failure = HTTP_CALL_CONNECT};
    clickhouse_judge_late(&silence, &step);
    expect(VERDICT_RETRY, "connect");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_answer_is_delivered),
        cmocka_unit_test(test_codes_decide_whatever_the_status),
        cmocka_unit_test(test_a_refusal_for_an_outdated_form_asks_for_the_table_again),
        cmocka_unit_test(test_a_code_that_is_not_known_is_judged_by_the_status),
        cmocka_unit_test(test_the_code_is_taken_from_the_header_if_there_is_one),
        cmocka_unit_test(test_a_refusal_has_its_first_code_and_a_late_error_its_last),
        cmocka_unit_test(test_data_that_are_not_whole_are_never_taken_for_success),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
