/* fetch_test.c - requests of sources: turns, repeats and limits, against servers that give scripted
 * answers. Words of errors are checked where people depend on them. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/backend/fetch_rig.h"

/* --- a request -------------------------------------------------------------------------------- */

UNIT_TEST(test_a_request_is_sent_as_it_is_and_its_answer_read_to_the_end)
{
    static const char *const wanted[] = {"X-None", "X-Tone", NULL};
    static const char *const headers[] = {"X-One: 1 and 2", "X-Two:two", NULL};
    struct named_secret configured[] = {{"X-Three", {.text = "3"}}};
    const char *answer = FINE;
    struct fetch_rig r;
    struct fetch *fetch;
    fetch_rig_init(&r, 1, &answer);
    r.settings.http.headers = (struct named_secrets){configured, 1};
    r.settings.authorization.credentials.text = "secret";
    fetch_rig_start(&r);
    struct fetch_request request = {.method = "POST",
                                    .url = r.player.url,
                                    .headers = headers,
                                    .body = bytes_of_text("question"),
                                    .wanted = wanted};
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), OK);
    const struct http_call_answer *a;
    assert_int_equal(fetch_await(fetch, &a, &r.why), OK);
    assert_string_equal(a->wanted[0], "");
    assert_string_equal(a->wanted[1], "high");
    fetch_rig_expect_hello(&r, fetch); /* waiting again changes nothing */
    static const char *const seen[] = {"POST /path HTTP",    "\r\nX-One: 1 and 2\r\n",
                                       "\r\nX-Two: two\r\n", "\r\nX-Three: 3\r\n",
                                       "Bearer secret\r\n",  "\r\n\r\nquestion"};
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        assert_non_null(strstr(r.player.seen, seen[i]));
    assert_int_equal(atomic_load(&r.counts.repeats), 0);
    assert_int_equal(atomic_load(&r.counts.bytes), 5);
    fetch_rig_expect_trouble(&r, TROUBLE_UNSET);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_a_header_that_cannot_be_sent_is_an_error_with_words)
{
    struct named_secret configured[] = {{"X-Three", {.text = "3\n"}}};
    struct fetch_rig r;
    struct fetch *fetch;
    fetch_rig_init(&r, 0, NULL);
    r.settings.http.headers = (struct named_secrets){configured, 1};
    fetch_rig_start(&r);
    memset(&r.why, 'x', sizeof r.why); /* remains of another error */
    assert_int_equal(fetch_rig_try(&r, r.session, NULL, &fetch), ERR_IO);
    assert_string_equal(r.why.text, "cannot send a request with these headers");
    configured[0].value = (struct secret){.file = "/does/not/exist"};
    assert_int_equal(fetch_rig_try(&r, r.session, NULL, &fetch), ERR_IO);
    fetch_rig_expect_words(&r, "X-Three");
    fetch_rig_expect_words(&r, "/does/not/exist");
    fetch_rig_expect_trouble(&r, TROUBLE_CREDENTIALS);
    fetch_rig_stop(&r);
}

/* --- turns ------------------------------------------------------------------------------------ */

UNIT_TEST(test_turns_are_given_in_the_order_of_waiting)
{
    const char *answers[] = {FINE, FINE};
    struct fetch_rig r;
    struct fetch_thread second;
    fetch_rig_init(&r, 2, answers);
    r.settings.max_concurrent = 1;
    fetch_rig_start(&r);
    struct fetch *first = fetch_rig_get(&r, NOBODY);
    fetch_thread_start(&second, &r, r.player.url);
    fetch_thread_await_look(&second);
    assert_false(atomic_load(&second.had_turn));
    fetch_close(first);
    struct fetch *third = fetch_rig_get(&r, NULL);
    assert_true(atomic_load(&second.had_turn));
    fetch_rig_expect_hello(&r, third);
    fetch_thread_join(&second);
    fetch_rig_expect_trouble(&r, TROUBLE_UNSET);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_a_query_above_max_concurrent_is_refused_after_the_timeout)
{
    struct fetch_rig r;
    struct fetch_session *sessions[3];
    struct fetch *fetches[3];
    fetch_rig_init(&r, 0, NULL);
    r.settings.max_concurrent = 2;
    r.settings.timeout_ms = SILENT_MS;
    fetch_rig_start(&r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fetch_session_open(r.fetcher, NULL, &sessions[i], &r.why), OK);
        enum err e = fetch_rig_try(&r, sessions[i], NULL, &fetches[i]);
        assert_int_equal(e, i < 2 ? OK : ERR_AGAIN);
    }
    assert_string_equal(r.why.text, "2 other queries are reading (max_concurrent)");
    fetch_rig_expect_trouble(&r, TROUBLE_LIMIT);
    fetch_close(fetches[0]);
    assert_int_equal(fetch_rig_try(&r, sessions[2], NULL, &fetches[2]), OK);
    fetch_close(fetches[1]);
    fetch_close(fetches[2]);
    for (int i = 0; i < 3; i++)
        fetch_session_close(sessions[i]);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_a_query_that_reads_may_open_more)
{
    struct fetch_rig r;
    struct fetch *fetches[3];
    struct fetch_session *other;
    fetch_rig_init(&r, 0, NULL);
    r.settings.max_concurrent = 1;
    r.settings.timeout_ms = SILENT_MS;
    fetch_rig_start(&r);
    assert_int_equal(fetch_session_open(r.fetcher, NULL, &other, &r.why), OK);
    for (int i = 0; i < 3; i++)
        fetches[i] = fetch_rig_get(&r, NOBODY);
    for (int i = 0; i < 3; i++) {
        struct fetch *fetch;
        assert_int_equal(fetch_rig_try(&r, other, NULL, &fetch), ERR_AGAIN);
        fetch_close(fetches[i]);
    }
    assert_int_equal(fetch_rig_try(&r, other, NULL, &fetches[0]), OK);
    fetch_close(fetches[0]);
    fetch_session_close(other);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_a_query_that_waits_for_its_turn_can_be_canceled)
{
    struct fetch_rig r;
    struct fetch_session *other;
    struct fetch *fetch;
    fetch_rig_init(&r, 0, NULL);
    r.settings.max_concurrent = 1;
    fetch_rig_start(&r);
    struct fetch *first = fetch_rig_get(&r, NOBODY);
    assert_int_equal(fetch_session_open(r.fetcher, NULL, &other, &r.why), OK);
    assert_int_equal(fetch_rig_try(&r, other, &r.leaving, &fetch), ERR_CANCELED);
    fetch_close(first);
    assert_int_equal(fetch_rig_try(&r, other, NULL, &fetch), OK); /* no turn is lost */
    fetch_close(fetch);
    fetch_session_close(other);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_a_query_that_is_canceled_leaves_the_line_behind_others)
{
    const char *answers[] = {FINE};
    struct fetch_rig r;
    struct fetch_thread second;
    struct fetch_session *third;
    struct fetch *fetch;
    fetch_rig_init(&r, 1, answers);
    r.settings.max_concurrent = 1;
    fetch_rig_start(&r);
    struct fetch *first = fetch_rig_get(&r, NOBODY);
    fetch_thread_start(&second, &r, r.player.url);
    fetch_thread_await_look(&second);
    assert_int_equal(fetch_session_open(r.fetcher, NULL, &third, &r.why), OK);
    assert_int_equal(fetch_rig_try(&r, third, &r.leaving, &fetch), ERR_CANCELED);
    assert_false(atomic_load(&second.had_turn));
    fetch_close(first);
    fetch_thread_join(&second);
    assert_true(atomic_load(&second.had_turn));
    fetch_session_close(third);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_requests_are_spread_and_refused_if_that_takes_too_long)
{
    struct fetch_rig r;
    struct fetch *fetches[5];
    fetch_rig_init(&r, 0, NULL);
    r.settings.max_rate_requests = 20;
    fetch_rig_start(&r);
    int64_t begun_ns = env_monotonic_ns(env_real());
    for (int i = 0; i < 5; i++)
        fetches[i] = fetch_rig_get(&r, NOBODY);
    assert_true(env_monotonic_ns(env_real()) - begun_ns >= 4 * NS_PER_S / 20);
    for (int i = 0; i < 5; i++)
        fetch_close(fetches[i]);
    r.settings.max_rate_requests = 1;
    fetches[0] = fetch_rig_get(&r, NOBODY);
    fetch_close(fetches[0]);
    r.settings.timeout_ms = 1;
    assert_int_equal(fetch_rig_try(&r, r.session, NULL, &fetches[0]), ERR_AGAIN);
    fetch_rig_expect_words(&r, "max_rate");
    fetch_rig_expect_trouble(&r, TROUBLE_LIMIT);
    fetch_rig_stop(&r);
}

/* --- repeats ---------------------------------------------------------------------------------- */

UNIT_TEST(test_a_throttled_request_is_repeated_after_retry_after)
{
    const char *answers[] = {"HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
                             FINE};
    struct fetch_rig r;
    fetch_rig_init(&r, 2, answers);
    fetch_rig_start(&r);
    int64_t begun_ns = env_monotonic_ns(env_real());
    struct fetch *fetch = fetch_rig_get(&r, NULL);
    fetch_rig_expect_hello(&r, fetch);
    assert_true(env_monotonic_ns(env_real()) - begun_ns >= NS_PER_S);
    assert_int_equal(atomic_load(&r.counts.repeats), 1);
    assert_int_equal(atomic_load(&r.counts.requests), 2);
    fetch_rig_expect_trouble(&r, TROUBLE_UNSET);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_earlier_responses_do_not_count_if_the_last_is_missing)
{
    const char *answers[] = {BUSY, SILENT};
    const struct http_call_answer *a = NULL;
    struct fetch_rig r;
    fetch_rig_init(&r, 2, answers);
    r.settings.timeout_ms = 2000; /* longer than the pause after the first one */
    fetch_rig_start(&r);
    struct fetch *fetch = fetch_rig_get(&r, NULL);
    assert_int_equal(fetch_await(fetch, &a, &r.why), ERR_AGAIN);
    assert_null(a);
    assert_int_equal(atomic_load(&r.counts.repeats), 1);
    fetch_close(fetch);
    fetch_rig_expect_trouble(&r, TROUBLE_TIMEOUT);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_a_request_throttled_beyond_the_timeout_is_not_repeated)
{
    const char *answer = "HTTP/1.1 429 Slow\r\nRetry-After: 3700\r\nContent-Length: 4\r\n\r\nslow";
    struct fetch_rig r;
    fetch_rig_init(&r, 1, &answer);
    fetch_rig_start(&r);
    struct fetch *fetch = fetch_rig_get(&r, NULL);
    fetch_rig_expect_status(&r, fetch, 429, ERR_AGAIN);
    fetch_rig_expect_words(&r, "status 429: slow");
    fetch_rig_expect_trouble(&r, TROUBLE_THROTTLED);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_a_query_that_waits_to_ask_again_can_be_canceled)
{
    const char *answer = "HTTP/1.1 429 Slow\r\nRetry-After: 3000\r\nContent-Length: 0\r\n\r\n";
    struct fetch_rig r;
    struct fetch *fetch;
    const struct http_call_answer *a;
    fetch_rig_init(&r, 1, &answer);
    fetch_rig_start(&r);
    struct fetch_request request = {.method = "GET", .url = r.player.url};
    assert_int_equal(fetch_open(r.session, &r.leaving, &request, &fetch, &r.why), OK);
    assert_int_equal(fetch_await(fetch, &a, &r.why), ERR_CANCELED);
    fetch_close(fetch);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_a_server_that_fails_is_asked_three_times_and_quoted)
{
    const char *answers[] = {BUSY, BUSY, BUSY};
    struct fetch_rig r;
    fetch_rig_init(&r, 3, answers);
    fetch_rig_start(&r);
    strcat(r.player.url, "?secret=1");
    struct fetch *fetch = fetch_rig_get(&r, NULL);
    fetch_rig_expect_status(&r, fetch, 503, ERR_AGAIN);
    fetch_rig_expect_words(&r, "/path: status 503: so busy!");
    assert_int_equal(atomic_load(&r.counts.repeats), 2);
    fetch_rig_expect_trouble(&r, TROUBLE_SERVER);
    fetch_rig_stop(&r);
}

static bool
always_final(const struct http_call_answer *answer)
{
    assert_true(answer->status >= 500);
    return true;
}

UNIT_TEST(test_an_answer_that_is_final_is_not_asked_for_again)
{
    const char *answers[] = {BUSY, "HTTP/1.1 422 No\r\nContent-Length: 3\r\n\r\nno!"};
    struct fetch_rig r;
    struct fetch *fetch;
    fetch_rig_init(&r, 2, answers);
    fetch_rig_start(&r);
    struct fetch_request request = {.method = "GET", .url = r.player.url, .is_final = always_final};
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), OK);
    fetch_rig_expect_status(&r, fetch, 503, ERR_AGAIN);
    fetch_rig_expect_trouble(&r, TROUBLE_SERVER);
    fetch = fetch_rig_get(&r, NULL);
    fetch_rig_expect_status(&r, fetch, 422, ERR_IO);
    fetch_rig_expect_words(&r, "status 422: no!");
    assert_int_equal(atomic_load(&r.counts.repeats), 0);
    fetch_rig_expect_trouble(&r, TROUBLE_REFUSED);
    fetch_rig_stop(&r);
}

static void
judge_by_words(const struct http_call_answer *answer, struct writer_step *step)
{
    assert_true(answer->status >= 400);
    step->verdict = bytes_equal_text(answer->body, "forbids") ? VERDICT_BLOCKED : VERDICT_DEAD;
}

UNIT_TEST(test_the_words_of_a_response_may_outweigh_its_status)
{
    const char *answers[] = {"HTTP/1.1 500 No\r\nContent-Length: 7\r\n\r\nforbids",
                             "HTTP/1.1 500 No\r\nContent-Length: 7\r\n\r\nrefuses"};
    static const enum trouble expected[] = {TROUBLE_CREDENTIALS, TROUBLE_REFUSED};
    struct fetch_rig r;
    fetch_rig_init(&r, 2, answers);
    fetch_rig_start(&r);
    struct fetch_request request = {.method = "GET", .url = r.player.url, .judge = judge_by_words};
    for (int i = 0; i < 2; i++) {
        struct fetch *fetch;
        assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), OK);
        fetch_rig_expect_status(&r, fetch, 500, ERR_IO);
        fetch_rig_expect_trouble(&r, expected[i]);
    }
    assert_int_equal(atomic_load(&r.counts.repeats), 0);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_without_a_connection_it_is_tried_three_times)
{
    struct fetch_rig r;
    fetch_rig_init(&r, 0, NULL);
    fetch_rig_start(&r);
    struct fetch *fetch = fetch_rig_get(&r, "http://127.0.0.1:1/a?b");
    fetch_rig_await(&r, fetch, ERR_AGAIN);
    fetch_rig_expect_words(&r, "http://127.0.0.1:1/a: ");
    fetch_close(fetch);
    assert_int_equal(atomic_load(&r.counts.repeats), 2);
    fetch_rig_expect_trouble(&r, TROUBLE_CONNECT);
    fetch = fetch_rig_get(&r, "http://[::1/");
    fetch_rig_await(&r, fetch, ERR_IO);
    fetch_close(fetch);
    assert_int_equal(atomic_load(&r.counts.repeats), 2);
    fetch_rig_stop(&r);
}

/* --- bodies ----------------------------------------------------------------------------------- */

UNIT_TEST(test_a_query_reads_no_more_than_it_may)
{
    const char *answers[] = {FINE, FINE};
    struct fetch_rig r;
    struct bytes piece;
    fetch_rig_init(&r, 2, answers);
    r.settings.max_bytes = 9;
    fetch_rig_start(&r);
    struct fetch *fetch = fetch_rig_get(&r, NULL);
    fetch_rig_expect_hello(&r, fetch);
    fetch = fetch_rig_get(&r, NULL); /* the limit is the query's, for all its requests */
    assert_int_equal(fetch_rig_await(&r, fetch, OK), 200);
    assert_int_equal(fetch_rig_read_all(&r, fetch, 100), ERR_LIMIT);
    fetch_rig_expect_words(&r, "more than 9 bytes (max_bytes)");
    assert_int_equal(fetch_read(fetch, &piece, &r.why), ERR_LIMIT);
    fetch_close(fetch);
    assert_int_equal(trouble_of(&r.why, ERR_LIMIT), TROUBLE_LIMIT);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_a_body_that_does_not_fit_is_refused)
{
    const char *answer = FINE;
    struct fetch_rig r;
    fetch_rig_init(&r, 1, &answer);
    fetch_rig_start(&r);
    struct fetch *fetch = fetch_rig_get(&r, NULL);
    assert_int_equal(fetch_rig_await(&r, fetch, OK), 200);
    assert_int_equal(fetch_rig_read_all(&r, fetch, 4), ERR_CORRUPT);
    fetch_rig_expect_words(&r, "/path: the response is too large");
    fetch_close(fetch);
    fetch_rig_stop(&r);
}

/* The server is silent before the answer, and within it. */
UNIT_TEST(test_a_server_that_falls_silent_is_given_up)
{
    const char *answers[] = {SILENT, "HTTP/1.1 200 Fine\r\nContent-Length: 900\r\n\r\naaa"};
    struct fetch_rig r;
    fetch_rig_init(&r, 2, answers);
    r.settings.timeout_ms = SILENT_MS;
    fetch_rig_start(&r);
    atomic_store(&r.player.holds, true);
    struct fetch *fetch = fetch_rig_get(&r, NULL);
    fetch_rig_await(&r, fetch, ERR_AGAIN);
    fetch_rig_expect_words(&r, "/path: no data for 0.06 s");
    fetch_close(fetch);
    fetch_rig_expect_trouble(&r, TROUBLE_TIMEOUT);
    fetch = fetch_rig_get(&r, NULL);
    r.settings.timeout_ms = HOUR_MS; /* for the next wait */
    assert_int_equal(fetch_rig_await(&r, fetch, OK), 200);
    r.settings.timeout_ms = SILENT_MS;
    assert_int_equal(fetch_rig_read_all(&r, fetch, 1000), ERR_AGAIN);
    fetch_rig_expect_words(&r, "/path: only 3 bytes in 0.06 s");
    fetch_close(fetch);
    fetch_rig_expect_trouble(&r, TROUBLE_TIMEOUT);
    fetch_rig_stop(&r);
}

/* Returns an answer of `size` bytes, which announces `length`. */
static char *
large_answer(size_t size, size_t length)
{
    char *large = malloc(size + 100);
    assert_non_null(large);
    int head = sprintf(large, "HTTP/1.1 200 Fine\r\nContent-Length: %zu\r\n\r\n", length);
    memset(large + head, 'a', size);
    large[head + size] = '\0';
    return large;
}

UNIT_TEST(test_a_body_that_breaks_off_may_come_whole_later)
{
    /* More than a pull holds: the answer is read before its end can be missed. */
    enum { SIZE = 4 * HTTP_PULL_WINDOW_BYTES };
    char *large = large_answer(SIZE, SIZE + 1);
    const char *answer = large;
    struct fetch_rig r;
    fetch_rig_init(&r, 1, &answer);
    fetch_rig_start(&r);
    struct fetch *fetch = fetch_rig_get(&r, NULL);
    assert_int_equal(fetch_rig_await(&r, fetch, OK), 200);
    assert_int_equal(fetch_rig_read_all(&r, fetch, SIZE), ERR_AGAIN);
    fetch_rig_expect_words(&r, "/path: ");
    fetch_close(fetch);
    fetch_rig_expect_trouble(&r, TROUBLE_BROKEN);
    fetch_rig_stop(&r);
    free(large);
}

/* Fetches are closed before the answer, and in the middle of it; fetch_rig_stop()
 * checks for leaks. */
UNIT_TEST(test_a_fetch_that_is_closed_early_leaks_nothing)
{
    enum { SIZE = 4 << 20 };
    char *large = large_answer(SIZE, SIZE);
    const char *answers[] = {large, large};
    struct fetch_rig r;
    struct bytes piece;
    fetch_rig_init(&r, 2, answers);
    fetch_rig_start(&r);
    fetch_close(fetch_rig_get(&r, NOBODY));
    for (int i = 0; i < 2; i++) {
        struct fetch *fetch = fetch_rig_get(&r, NULL);
        assert_int_equal(fetch_rig_await(&r, fetch, OK), 200);
        if (i == 1) assert_int_equal(fetch_read(fetch, &piece, &r.why), OK);
        fetch_close(fetch);
    }
    fetch_rig_stop(&r);
    free(large);
}

UNIT_TEST(test_a_query_that_is_canceled_reads_nothing_more_of_what_keeps_coming)
{
    enum { SIZE = 4 << 20 };
    char *large = large_answer(SIZE, SIZE);
    const char *answer = large;
    struct fetch_rig r;
    struct fetch *fetch;
    struct bytes piece;
    struct query_control control = {.env = env_real()};
    fetch_rig_init(&r, 1, &answer);
    fetch_rig_start(&r);
    struct fetch_request request = {.method = "GET", .url = r.player.url};
    assert_int_equal(fetch_open(r.session, &control, &request, &fetch, &r.why), OK);
    assert_int_equal(fetch_rig_await(&r, fetch, OK), 200);
    assert_int_equal(fetch_read(fetch, &piece, &r.why), OK);
    assert_true(piece.size > 0);
    atomic_store(&control.canceled, "enough");
    assert_int_equal(fetch_read(fetch, &piece, &r.why), ERR_CANCELED);
    fetch_rig_expect_words(&r, "enough");
    fetch_close(fetch);
    fetch_rig_stop(&r);
    free(large);
}

UNIT_TEST(test_an_error_in_an_answer_is_reported_with_its_url)
{
    const char *answer = FINE;
    struct fetch_rig r;
    fetch_rig_init(&r, 1, &answer);
    fetch_rig_start(&r);
    struct fetch *fetch = fetch_rig_get(&r, NULL);
    (void)why_set(&r.why, ERR_CORRUPT, "odd");
    assert_int_equal(fetch_failed(fetch, ERR_CORRUPT, &r.why), ERR_CORRUPT);
    fetch_rig_expect_words(&r, "/path: odd");
    assert_int_equal(trouble_of(&r.why, ERR_CORRUPT), TROUBLE_DAMAGED);
    fetch_close(fetch);
    fetch_rig_stop(&r);
}

/* --- memory ----------------------------------------------------------------------------------- */

static enum err
ask_all(struct fetch_rig *r)
{
    static const char *const headers[] = {"X-One: 1", NULL};
    struct fetch_request request = {.method = "POST", .url = r->player.url, .headers = headers};
    struct fetch *fetch = NULL;
    const struct http_call_answer *answer;
    enum err e = fetch_rig_open(r);
    if (e == OK) e = fetch_open(r->session, NULL, &request, &fetch, &r->why);
    if (e == OK) e = fetch_await(fetch, &answer, &r->why);
    if (e == OK) e = fetch_expect_ok(fetch, &r->why);
    if (e == OK) e = fetch_rig_read_all(r, fetch, 1000);
    fetch_close(fetch);
    return e;
}

UNIT_TEST(test_each_allocation_may_fail)
{
    const char *token = TOKEN("one"), *answers[] = {FINE, FINE, FINE};
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct fetch_rig r;
        fetch_rig_init(&r, 3, answers);
        fetch_rig_use_tokens(&r, 1, &token);
        mem_fail_nth(nth, false);
        enum err e = ask_all(&r);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (e != OK && e != ERR_NOMEM && e != ERR_AGAIN)
            fail_msg("%llu: %s: %s", (unsigned long long)nth, err_word(e), r.why.text);
        if (e) assert_true(r.why.text[0] != '\0');
        fetch_rig_stop(&r);
        if (!fired) assert_int_equal(e, OK);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_sent_as_it_is_and_its_answer_read_to_the_end),
        cmocka_unit_test(test_a_header_that_cannot_be_sent_is_an_error_with_words),
        cmocka_unit_test(test_turns_are_given_in_the_order_of_waiting),
        cmocka_unit_test(test_a_query_above_max_concurrent_is_refused_after_the_timeout),
        cmocka_unit_test(test_a_query_that_reads_may_open_more),
        cmocka_unit_test(test_a_query_that_waits_for_its_turn_can_be_canceled),
        cmocka_unit_test(test_a_query_that_is_canceled_leaves_the_line_behind_others),
        cmocka_unit_test(test_requests_are_spread_and_refused_if_that_takes_too_long),
        cmocka_unit_test(test_a_throttled_request_is_repeated_after_retry_after),
        cmocka_unit_test(test_earlier_responses_do_not_count_if_the_last_is_missing),
        cmocka_unit_test(test_a_request_throttled_beyond_the_timeout_is_not_repeated),
        cmocka_unit_test(test_a_query_that_waits_to_ask_again_can_be_canceled),
        cmocka_unit_test(test_a_server_that_fails_is_asked_three_times_and_quoted),
        cmocka_unit_test(test_an_answer_that_is_final_is_not_asked_for_again),
        cmocka_unit_test(test_the_words_of_a_response_may_outweigh_its_status),
        cmocka_unit_test(test_without_a_connection_it_is_tried_three_times),
        cmocka_unit_test(test_a_query_reads_no_more_than_it_may),
        cmocka_unit_test(test_a_body_that_does_not_fit_is_refused),
        cmocka_unit_test(test_a_server_that_falls_silent_is_given_up),
        cmocka_unit_test(test_a_body_that_breaks_off_may_come_whole_later),
        cmocka_unit_test(test_a_fetch_that_is_closed_early_leaks_nothing),
        cmocka_unit_test(test_a_query_that_is_canceled_reads_nothing_more_of_what_keeps_coming),
        cmocka_unit_test(test_an_error_in_an_answer_is_reported_with_its_url),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
