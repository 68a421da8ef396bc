/* http_common_test.c - headers, URLs, and verdicts on calls without an answer. */
#include "lib/test.h"

#include "backend/common/http_common.h"

UNIT_TEST(test_a_failure_blocks_only_if_the_user_has_to_act)
{
    static const struct {
        enum http_call_failure failure;
        unsigned proxy_status;
        enum writer_verdict verdict;
        const char *reason;
    } cases[] = {
        {HTTP_CALL_BAD_URL, 0, VERDICT_BLOCKED, "bad_url"},
        {HTTP_CALL_RESOLVE, 0, VERDICT_RETRY, "resolve"},
        {HTTP_CALL_CONNECT, 0, VERDICT_RETRY, "connect"},
        {HTTP_CALL_PROXY, 407, VERDICT_BLOCKED, "proxy"},
        {HTTP_CALL_PROXY, 403, VERDICT_BLOCKED, "proxy"},
        {HTTP_CALL_PROXY, 502, VERDICT_RETRY, "proxy"},
        {HTTP_CALL_TLS, 0, VERDICT_BLOCKED, "tls"},
        {HTTP_CALL_NO_TLS, 0, VERDICT_BLOCKED, "scheme"},
        {HTTP_CALL_TIMEOUT, 0, VERDICT_RETRY, "timeout"},
        {HTTP_CALL_BROKEN, 0, VERDICT_RETRY, "connection_broken"},
        {HTTP_CALL_NO_MEMORY, 0, VERDICT_RETRY, "no_memory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct writer_step step = {.next = WRITER_SEND};
        const struct http_call_answer answer = {.failure = cases[i].failure,
                                                .proxy_status = cases[i].proxy_status,
                                                .error = "in words"};
        http_judge(&answer, &step);
        assert_int_equal(step.next, WRITER_DONE);
        assert_int_equal(step.verdict, cases[i].verdict);
        assert_string_equal(step.reason, cases[i].reason);
        assert_string_equal(step.answer, "in words");
    }
}

static struct writer_step
judged(unsigned status, const char *body)
{
    struct writer_step step = {.next = WRITER_SEND};
    const struct http_call_answer answer = {.status = status, .body = bytes_of_text(body)};
    http_judge(&answer, &step);
    return step;
}

UNIT_TEST(test_a_web_page_is_not_a_success)
{
    static const char *const pages[] = {"<html>", "\r\n <!DOCTYPE html>", "<HTML lang=en>"};
    static const char *const others[] = {"", "<", "<htm", "{}", "ok", "<?xml version=\"1.0\"?>"};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        struct writer_step step = judged(200, pages[i]);
        assert_int_equal(step.verdict, VERDICT_BLOCKED);
        assert_string_equal(step.reason, "web_page");
        assert_int_equal(judged(503, pages[i]).verdict, VERDICT_RETRY);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(judged(200, others[i]).verdict, VERDICT_DELIVERED);
}

UNIT_TEST(test_a_proxy_that_requires_a_password_is_named_as_the_cause)
{
    struct writer_step step = judged(407, "<html>Who are you?</html>");
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_string_equal(step.reason, "proxy");
    assert_non_null(strstr(step.answer, "set them in proxy_url"));
}

UNIT_TEST(test_http_where_https_is_expected_blocks_as_nothing_was_refused)
{
    struct writer_step step = judged(400, "Client sent an HTTP request to an HTTPS server.\n");
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_string_equal(step.reason, "scheme");
    assert_int_equal(judged(400, "Client sent").verdict, VERDICT_SOME_DEAD);
}

UNIT_TEST(test_a_redirect_blocks_and_says_what_it_is)
{
    struct writer_step step = judged(302, "<html>Found</html>");
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_string_equal(step.reason, "http_302");
    assert_non_null(strstr(step.answer, "a redirect"));
}

UNIT_TEST(test_an_answer_is_quoted_in_one_line_without_blanks_around_it)
{
    assert_string_equal(judged(400, " no\r\n\tsuch  name \n").answer, "no such name");
    assert_string_equal(judged(400, "\n\n").answer, "");
}

static enum err
put_value(const char *value)
{
    struct http_headers headers;
    const char *const *lines;
    http_headers_init(&headers, NULL);
    http_headers_put(&headers, "X-One", bytes_of_text("1"));
    http_headers_put(&headers, "X-Two", bytes_of_text(value));
    enum err e = http_headers_lines(&headers, &lines);
    if (e == OK) {
        assert_string_equal(lines[0], "X-One: 1");
        assert_non_null(strstr(lines[1], value));
        assert_null(lines[2]);
    }
    http_headers_fini(&headers);
    return e;
}

UNIT_TEST(test_a_value_cannot_begin_a_line_of_its_own)
{
    assert_int_equal(put_value("a\tb"), OK);
    assert_int_equal(put_value("a\r\nX-Three: 3"), ERR_INPUT);
    assert_int_equal(put_value("a\x7f"), ERR_INPUT);
}

UNIT_TEST(test_headers_are_counted)
{
    struct http_headers headers;
    const char *const *lines;
    http_headers_init(&headers, NULL);
    for (unsigned i = 0; i < HTTP_CALLS_HEADERS_MAX; i++)
        http_headers_put(&headers, "X", bytes_of_text("y"));
    assert_int_equal(http_headers_lines(&headers, &lines), OK);
    http_headers_put(&headers, "X", bytes_of_text("y"));
    assert_int_equal(http_headers_lines(&headers, &lines), ERR_LIMIT);
    http_headers_clear(&headers);
    assert_int_equal(http_headers_lines(&headers, &lines), OK);
    assert_null(lines[0]);
    http_headers_fini(&headers);
}

UNIT_TEST(test_a_url_keeps_its_path_and_its_query)
{
    struct buf url;
    buf_init(&url, NULL, 1000);
    http_url_begin(&url, "http://h/base/?u=1", "/write");
    http_url_param(&url, "db", bytes_of_text("a b&c"));
    http_url_param(&url, "details", bytes_of(NULL, 0));
    http_url_end(&url, "http://h/base/?u=1");
    assert_string_equal((char *)url.at, "http://h/base/write?db=a%20b%26c&details&u=1");
    buf_fini(&url);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_failure_blocks_only_if_the_user_has_to_act),
        cmocka_unit_test(test_a_web_page_is_not_a_success),
        cmocka_unit_test(test_a_proxy_that_requires_a_password_is_named_as_the_cause),
        cmocka_unit_test(test_http_where_https_is_expected_blocks_as_nothing_was_refused),
        cmocka_unit_test(test_a_redirect_blocks_and_says_what_it_is),
        cmocka_unit_test(test_an_answer_is_quoted_in_one_line_without_blanks_around_it),
        cmocka_unit_test(test_a_value_cannot_begin_a_line_of_its_own),
        cmocka_unit_test(test_headers_are_counted),
        cmocka_unit_test(test_a_url_keeps_its_path_and_its_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
