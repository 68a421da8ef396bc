/* Requests of sources: turns, repeats and limits, against servers that play what they are told.
 * Words of errors are looked at where people depend on them. */
#include "backend/fetch/fetch_testing.h"
#include "lib/test.h"

/* --- a request -------------------------------------------------------------------------------- */

UNIT_TEST(test_a_request_is_sent_as_it_is_and_its_answer_read_to_the_end)
{
    static const char *const wanted[] = {"X-None", "X-Tone", NULL};
    static const char *const headers[] = {"X-One: 1 and 2", "X-Two:two", NULL};
    struct named_secret configured[] = {{"X-Three", {.text = "3"}}};
    const char *answer = FINE;
    struct player p;
    struct rig r;
    struct fetch *fetch;
    rig_init(&r);
    r.settings.http.headers = (struct named_secrets){configured, 1};
    r.settings.authorization.credentials.text = "secret";
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch_request request = {.method = "POST",
                                    .url = p.url,
                                    .headers = headers,
                                    .body = bytes_of_text("question"),
                                    .wanted = wanted};
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), OK);
    const struct http_call_answer *a;
    assert_int_equal(fetch_await(fetch, &a, &r.why), OK);
    assert_string_equal(a->wanted[0], "");
    assert_string_equal(a->wanted[1], "high");
    expect_hello(&r, fetch); /* waiting once more changes nothing */
    fetch_close(fetch);
    player_stop(&p);
    static const char *const seen[] = {"POST /path HTTP",    "\r\nX-One: 1 and 2\r\n",
                                       "\r\nX-Two: two\r\n", "\r\nX-Three: 3\r\n",
                                       "Bearer secret\r\n",  "\r\n\r\nquestion"};
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        assert_non_null(strstr(p.seen, seen[i]));
    }
    assert_int_equal(atomic_load(&r.counts.repeats), 0);
    assert_int_equal(atomic_load(&r.counts.bytes), 5);
    expect_trouble(&r, TROUBLE_UNSAID);
    rig_fini(&r);
}

UNIT_TEST(test_a_header_that_cannot_be_sent_is_an_error_with_words)
{
    struct named_secret configured[] = {{"X-Three", {.text = "3\n"}}};
    struct rig r;
    struct fetch *fetch;
    rig_init(&r);
    r.settings.http.headers = (struct named_secrets){configured, 1};
    rig_start(&r);
    struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    memset(&r.why, 'x', sizeof r.why); /* of something else */
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), ERR_IO);
    assert_string_equal(r.why.text, "cannot send a request with these headers");
    configured[0].value = (struct secret){.file = "/does/not/exist"};
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), ERR_IO);
    expect_words(&r, "X-Three");
    expect_words(&r, "/does/not/exist");
    expect_trouble(&r, TROUBLE_CREDENTIALS);
    rig_fini(&r);
}

/* --- turns ------------------------------------------------------------------------------------ */

UNIT_TEST(test_who_waits_for_a_turn_gets_it_before_those_who_come_later)
{
    const char *answers[] = {FINE, FINE};
    struct player p;
    struct rig r;
    struct reading second;
    rig_init(&r);
    r.settings.max_concurrent = 1;
    rig_start(&r);
    player_start(&p, 2, answers);
    struct fetch *first = open_at(&r, "http://127.0.0.1:1/");
    reading_start(&second, &r, p.url);
    await_look(&second);
    assert_false(atomic_load(&second.had_turn));
    fetch_close(first);
    struct fetch *third = open_at(&r, p.url);
    assert_true(atomic_load(&second.had_turn));
    expect_hello(&r, third);
    fetch_close(third);
    reading_join(&second);
    expect_trouble(&r, TROUBLE_UNSAID);
    rig_fini(&r);
    player_stop(&p);
}

UNIT_TEST(test_so_many_queries_read_at_a_time_and_the_next_is_refused_in_the_end)
{
    struct rig r;
    struct fetch_session *sessions[3];
    struct fetch *fetches[3];
    struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    rig_init(&r);
    r.settings.max_concurrent = 2;
    r.settings.timeout_ms = SILENT_MS;
    rig_start(&r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fetch_session_open(r.fetcher, NULL, &sessions[i], &r.why), OK);
        enum err e = fetch_open(sessions[i], NULL, &request, &fetches[i], &r.why);
        assert_int_equal(e, i < 2 ? OK : ERR_AGAIN);
    }
    assert_string_equal(r.why.text, "2 other queries are reading (max_concurrent)");
    expect_trouble(&r, TROUBLE_LIMIT);
    fetch_close(fetches[0]);
    assert_int_equal(fetch_open(sessions[2], NULL, &request, &fetches[2], &r.why), OK);
    fetch_close(fetches[1]);
    fetch_close(fetches[2]);
    for (int i = 0; i < 3; i++) {
        fetch_session_close(sessions[i]);
    }
    rig_fini(&r);
}

UNIT_TEST(test_a_query_that_reads_may_open_more)
{
    struct rig r;
    struct fetch *fetches[3];
    struct fetch_session *other;
    struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    rig_init(&r);
    r.settings.max_concurrent = 1;
    r.settings.timeout_ms = SILENT_MS;
    rig_start(&r);
    assert_int_equal(fetch_session_open(r.fetcher, NULL, &other, &r.why), OK);
    for (int i = 0; i < 3; i++) {
        fetches[i] = open_at(&r, "http://127.0.0.1:1/");
    }
    for (int i = 0; i < 3; i++) {
        struct fetch *fetch;
        assert_int_equal(fetch_open(other, NULL, &request, &fetch, &r.why), ERR_AGAIN);
        fetch_close(fetches[i]);
    }
    assert_int_equal(fetch_open(other, NULL, &request, &fetches[0], &r.why), OK);
    fetch_close(fetches[0]);
    fetch_session_close(other);
    rig_fini(&r);
}

UNIT_TEST(test_a_query_that_waits_for_its_turn_can_be_canceled)
{
    struct rig r;
    struct fetch_session *other;
    struct fetch *fetch;
    atomic_uint looks = 0;
    struct query_control control = {
        .env = env_real(), .is_gone = is_gone_the_second_time, .gone_context = &looks};
    struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    rig_init(&r);
    r.settings.max_concurrent = 1;
    rig_start(&r);
    struct fetch *first = open_at(&r, "http://127.0.0.1:1/");
    assert_int_equal(fetch_session_open(r.fetcher, NULL, &other, &r.why), OK);
    assert_int_equal(fetch_open(other, &control, &request, &fetch, &r.why), ERR_CANCELED);
    fetch_close(first);
    assert_int_equal(fetch_open(other, NULL, &request, &fetch, &r.why), OK); /* no place is lost */
    fetch_close(fetch);
    fetch_session_close(other);
    rig_fini(&r);
}

UNIT_TEST(test_requests_are_spread_over_a_second_and_refused_where_that_takes_too_long)
{
    struct rig r;
    struct fetch *fetches[5];
    struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    rig_init(&r);
    r.settings.max_rate_requests = 20;
    rig_start(&r);
    int64_t begun_ns = env_monotonic_ns(env_real());
    for (int i = 0; i < 5; i++) {
        fetches[i] = open_at(&r, "http://127.0.0.1:1/");
    }
    assert_true(env_monotonic_ns(env_real()) - begun_ns >= 4 * NS_PER_S / 20);
    for (int i = 0; i < 5; i++) {
        fetch_close(fetches[i]);
    }
    r.settings.max_rate_requests = 1;
    fetches[0] = open_at(&r, "http://127.0.0.1:1/");
    fetch_close(fetches[0]);
    r.settings.timeout_ms = 1;
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetches[0], &r.why), ERR_AGAIN);
    expect_words(&r, "max_rate");
    expect_trouble(&r, TROUBLE_LIMIT);
    rig_fini(&r);
}

/* --- repeats ---------------------------------------------------------------------------------- */

UNIT_TEST(test_what_is_throttled_is_asked_again_when_the_server_says)
{
    const char *answers[] = {"HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
                             FINE};
    struct player p;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 2, answers);
    int64_t begun_ns = env_monotonic_ns(env_real());
    struct fetch *fetch = open_at(&r, p.url);
    expect_hello(&r, fetch);
    assert_true(env_monotonic_ns(env_real()) - begun_ns >= NS_PER_S);
    fetch_close(fetch);
    player_stop(&p);
    assert_int_equal(atomic_load(&r.counts.repeats), 1);
    assert_int_equal(atomic_load(&r.counts.requests), 2);
    expect_trouble(&r, TROUBLE_UNSAID);
    rig_fini(&r);
}

UNIT_TEST(test_without_the_last_answer_those_before_it_are_none)
{
    const char *answers[] = {BUSY, silence};
    const struct http_call_answer *a = NULL;
    struct player p;
    struct rig r;
    rig_init(&r);
    r.settings.timeout_ms = 2000; /* longer than the pause after the first one */
    rig_start(&r);
    player_start(&p, 2, answers);
    struct fetch *fetch = open_at(&r, p.url);
    assert_int_equal(fetch_await(fetch, &a, &r.why), ERR_AGAIN);
    assert_null(a);
    assert_int_equal(atomic_load(&r.counts.repeats), 1);
    fetch_close(fetch);
    player_stop(&p);
    expect_trouble(&r, TROUBLE_TIMEOUT);
    rig_fini(&r);
}

UNIT_TEST(test_what_is_throttled_beyond_the_timeout_is_not_asked_again)
{
    const char *answer = "HTTP/1.1 429 Slow\r\nRetry-After: 3700\r\nContent-Length: 4\r\n\r\nslow";
    struct player p;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch *fetch = open_at(&r, p.url);
    assert_int_equal(await_of(&r, fetch, OK), 429);
    assert_int_equal(fetch_expect_ok(fetch, &r.why), ERR_AGAIN);
    expect_words(&r, "status 429: slow");
    fetch_close(fetch);
    player_stop(&p);
    expect_trouble(&r, TROUBLE_THROTTLED);
    rig_fini(&r);
}

UNIT_TEST(test_a_query_that_waits_to_ask_again_can_be_canceled)
{
    const char *answer = "HTTP/1.1 429 Slow\r\nRetry-After: 3000\r\nContent-Length: 0\r\n\r\n";
    atomic_uint looks = 0;
    struct query_control control = {
        .env = env_real(), .is_gone = is_gone_the_second_time, .gone_context = &looks};
    struct player p;
    struct rig r;
    struct fetch *fetch;
    const struct http_call_answer *a;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch_request request = {.method = "GET", .url = p.url};
    assert_int_equal(fetch_open(r.session, &control, &request, &fetch, &r.why), OK);
    assert_int_equal(fetch_await(fetch, &a, &r.why), ERR_CANCELED);
    fetch_close(fetch);
    player_stop(&p);
    rig_fini(&r);
}

UNIT_TEST(test_a_server_that_fails_is_asked_three_times_and_quoted)
{
    const char *answers[] = {BUSY, BUSY, BUSY};
    struct player p;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 3, answers);
    strcat(p.url, "?secret=1");
    struct fetch *fetch = open_at(&r, p.url);
    assert_int_equal(await_of(&r, fetch, OK), 503);
    assert_int_equal(fetch_expect_ok(fetch, &r.why), ERR_AGAIN);
    expect_words(&r, "/path: status 503: so busy!");
    fetch_close(fetch);
    player_stop(&p);
    assert_int_equal(atomic_load(&r.counts.repeats), 2);
    expect_trouble(&r, TROUBLE_SERVER);
    rig_fini(&r);
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
    struct player p;
    struct rig r;
    struct fetch *fetch;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 2, answers);
    struct fetch_request request = {.method = "GET", .url = p.url, .is_final = always_final};
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), OK);
    assert_int_equal(await_of(&r, fetch, OK), 503);
    assert_int_equal(fetch_expect_ok(fetch, &r.why), ERR_AGAIN);
    expect_trouble(&r, TROUBLE_SERVER);
    fetch_close(fetch);
    fetch = open_at(&r, p.url);
    assert_int_equal(await_of(&r, fetch, OK), 422);
    assert_int_equal(fetch_expect_ok(fetch, &r.why), ERR_IO);
    expect_words(&r, "status 422: no!");
    fetch_close(fetch);
    player_stop(&p);
    assert_int_equal(atomic_load(&r.counts.repeats), 0);
    expect_trouble(&r, TROUBLE_REFUSED);
    rig_fini(&r);
}

static void
judge_by_words(const struct http_call_answer *answer, struct writer_step *step)
{
    assert_true(answer->status >= 400);
    step->verdict = bytes_equal_text(answer->body, "forbids") ? VERDICT_BLOCKED : VERDICT_DEAD;
}

UNIT_TEST(test_what_an_answer_says_beside_its_status_may_count_more)
{
    const char *answers[] = {"HTTP/1.1 500 No\r\nContent-Length: 7\r\n\r\nforbids",
                             "HTTP/1.1 500 No\r\nContent-Length: 7\r\n\r\nrefuses"};
    static const enum trouble expected[] = {TROUBLE_CREDENTIALS, TROUBLE_REFUSED};
    struct player p;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 2, answers);
    struct fetch_request request = {.method = "GET", .url = p.url, .judge = judge_by_words};
    for (int i = 0; i < 2; i++) {
        struct fetch *fetch;
        assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), OK);
        assert_int_equal(await_of(&r, fetch, OK), 500);
        assert_int_equal(fetch_expect_ok(fetch, &r.why), ERR_IO);
        fetch_close(fetch);
        expect_trouble(&r, expected[i]);
    }
    player_stop(&p);
    assert_int_equal(atomic_load(&r.counts.repeats), 0);
    rig_fini(&r);
}

UNIT_TEST(test_without_a_connection_it_is_tried_three_times)
{
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    struct fetch *fetch = open_at(&r, "http://127.0.0.1:1/a?b");
    await_of(&r, fetch, ERR_AGAIN);
    expect_words(&r, "http://127.0.0.1:1/a: ");
    fetch_close(fetch);
    assert_int_equal(atomic_load(&r.counts.repeats), 2);
    expect_trouble(&r, TROUBLE_CONNECT);
    fetch = open_at(&r, "http://[::1/");
    await_of(&r, fetch, ERR_IO);
    fetch_close(fetch);
    assert_int_equal(atomic_load(&r.counts.repeats), 2);
    rig_fini(&r);
}

/* --- bodies ----------------------------------------------------------------------------------- */

UNIT_TEST(test_a_query_reads_no_more_than_it_may)
{
    const char *answers[] = {FINE, FINE};
    struct player p;
    struct rig r;
    struct bytes piece;
    struct buf body;
    rig_init(&r);
    r.settings.max_bytes = 9;
    rig_start(&r);
    player_start(&p, 2, answers);
    struct fetch *fetch = open_at(&r, p.url);
    expect_hello(&r, fetch);
    fetch_close(fetch);
    fetch = open_at(&r, p.url); /* it is the query's limit, whatever it asks */
    assert_int_equal(await_of(&r, fetch, OK), 200);
    buf_init(&body, &r.query, 100);
    assert_int_equal(fetch_read_all(fetch, &body, &r.why), ERR_LIMIT);
    buf_fini(&body);
    expect_words(&r, "more than 9 bytes (max_bytes)");
    assert_int_equal(fetch_read(fetch, &piece, &r.why), ERR_LIMIT);
    fetch_close(fetch);
    player_stop(&p);
    assert_int_equal(trouble_of(&r.why, ERR_LIMIT), TROUBLE_LIMIT);
    rig_fini(&r);
}

UNIT_TEST(test_a_body_that_does_not_fit_is_refused)
{
    const char *answer = FINE;
    struct player p;
    struct rig r;
    struct buf body;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch *fetch = open_at(&r, p.url);
    assert_int_equal(await_of(&r, fetch, OK), 200);
    buf_init(&body, &r.query, 4);
    assert_int_equal(fetch_read_all(fetch, &body, &r.why), ERR_CORRUPT);
    expect_words(&r, "/path: the response is too large");
    buf_fini(&body);
    fetch_close(fetch);
    player_stop(&p);
    rig_fini(&r);
}

/* Before the answer, and within it. */
UNIT_TEST(test_a_server_that_falls_silent_is_given_up)
{
    const char *answers[] = {silence, "HTTP/1.1 200 Fine\r\nContent-Length: 900\r\n\r\naaa"};
    struct player p;
    struct rig r;
    struct buf body;
    rig_init(&r);
    r.settings.timeout_ms = SILENT_MS;
    rig_start(&r);
    player_start(&p, 2, answers);
    atomic_store(&p.holds, true);
    struct fetch *fetch = open_at(&r, p.url);
    await_of(&r, fetch, ERR_AGAIN);
    expect_words(&r, "/path: no data for 0.06 s");
    fetch_close(fetch);
    expect_trouble(&r, TROUBLE_TIMEOUT);
    fetch = open_at(&r, p.url);
    r.settings.timeout_ms = HOUR_MS; /* of the next wait */
    assert_int_equal(await_of(&r, fetch, OK), 200);
    r.settings.timeout_ms = SILENT_MS;
    buf_init(&body, &r.query, 1000);
    assert_int_equal(fetch_read_all(fetch, &body, &r.why), ERR_AGAIN);
    expect_words(&r, "/path: only 3 bytes in 0.06 s");
    buf_fini(&body);
    fetch_close(fetch);
    expect_trouble(&r, TROUBLE_TIMEOUT);
    rig_fini(&r);
    player_stop(&p);
}

UNIT_TEST(test_a_body_that_breaks_off_may_come_whole_later)
{
    /* More than a pull holds: it cannot have broken off before the answer is looked at. */
    enum { SIZE = 4 * HTTP_PULL_WINDOW_BYTES };
    char *large = malloc(SIZE + 100);
    assert_non_null(large);
    int head = sprintf(large, "HTTP/1.1 200 Fine\r\nContent-Length: %d\r\n\r\n", SIZE + 1);
    memset(large + head, 'a', SIZE);
    large[head + SIZE] = '\0';
    const char *answer = large;
    struct player p;
    struct rig r;
    struct buf body;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch *fetch = open_at(&r, p.url);
    assert_int_equal(await_of(&r, fetch, OK), 200);
    buf_init(&body, &r.query, SIZE);
    assert_int_equal(fetch_read_all(fetch, &body, &r.why), ERR_AGAIN);
    buf_fini(&body);
    expect_words(&r, "/path: ");
    fetch_close(fetch);
    player_stop(&p);
    expect_trouble(&r, TROUBLE_BROKEN);
    rig_fini(&r);
    free(large);
}

/* Before it is answered, and with more to come; rig_fini() looks for what is left. */
UNIT_TEST(test_what_is_closed_in_the_middle_leaves_nothing)
{
    enum { SIZE = 4 << 20 };
    char *large = malloc(SIZE + 100);
    assert_non_null(large);
    int head = sprintf(large, "HTTP/1.1 200 Fine\r\nContent-Length: %d\r\n\r\n", SIZE);
    memset(large + head, 'a', SIZE);
    large[head + SIZE] = '\0';
    const char *answers[] = {large, large};
    struct player p;
    struct rig r;
    struct bytes piece;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 2, answers);
    fetch_close(open_at(&r, "http://127.0.0.1:1/"));
    for (int i = 0; i < 2; i++) {
        struct fetch *fetch = open_at(&r, p.url);
        assert_int_equal(await_of(&r, fetch, OK), 200);
        if (i == 1) assert_int_equal(fetch_read(fetch, &piece, &r.why), OK);
        fetch_close(fetch);
    }
    rig_fini(&r);
    player_stop(&p);
    free(large);
}

UNIT_TEST(test_a_query_that_is_canceled_reads_nothing_more_of_what_keeps_coming)
{
    enum { SIZE = 4 << 20 };
    char *large = malloc(SIZE + 100);
    assert_non_null(large);
    int head = sprintf(large, "HTTP/1.1 200 Fine\r\nContent-Length: %d\r\n\r\n", SIZE);
    memset(large + head, 'a', SIZE);
    large[head + SIZE] = '\0';
    const char *answer = large;
    struct player p;
    struct rig r;
    struct fetch *fetch;
    struct bytes piece;
    struct query_control control = {.env = env_real()};
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch_request request = {.method = "GET", .url = p.url};
    assert_int_equal(fetch_open(r.session, &control, &request, &fetch, &r.why), OK);
    assert_int_equal(await_of(&r, fetch, OK), 200);
    assert_int_equal(fetch_read(fetch, &piece, &r.why), OK);
    assert_true(piece.size > 0);
    atomic_store(&control.canceled, "enough");
    assert_int_equal(fetch_read(fetch, &piece, &r.why), ERR_CANCELED);
    expect_words(&r, "enough");
    fetch_close(fetch);
    rig_fini(&r);
    player_stop(&p);
    free(large);
}

UNIT_TEST(test_what_failed_of_an_answer_is_named_with_its_address)
{
    const char *answer = FINE;
    struct player p;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch *fetch = open_at(&r, p.url);
    (void)why_set(&r.why, ERR_CORRUPT, "odd");
    assert_int_equal(fetch_failed(fetch, ERR_CORRUPT, &r.why), ERR_CORRUPT);
    expect_words(&r, "/path: odd");
    assert_int_equal(trouble_of(&r.why, ERR_CORRUPT), TROUBLE_DAMAGED);
    fetch_close(fetch);
    rig_fini(&r);
    player_stop(&p);
}

/* --- memory ----------------------------------------------------------------------------------- */

static enum err
ask_all(struct rig *r, const struct player *p)
{
    static const char *const headers[] = {"X-One: 1", NULL};
    struct fetcher_options options = rig_options(r, NULL);
    struct fetch_request request = {.method = "POST", .url = p->url, .headers = headers};
    struct fetch *fetch = NULL;
    const struct http_call_answer *answer;
    struct buf body;
    enum err e = fetcher_new(&options, &r->fetcher, &r->why);
    if (e) return e;
    e = fetch_session_open(r->fetcher, &r->query, &r->session, &r->why);
    if (e) return e;
    e = fetch_open(r->session, NULL, &request, &fetch, &r->why);
    if (e == OK) e = fetch_await(fetch, &answer, &r->why);
    if (e == OK) e = fetch_expect_ok(fetch, &r->why);
    buf_init(&body, &r->query, 1000);
    if (e == OK) e = fetch_read_all(fetch, &body, &r->why);
    buf_fini(&body);
    fetch_close(fetch);
    return e;
}

UNIT_TEST(test_each_allocation_may_fail)
{
    const char *token = TOKEN("one"), *answers[] = {FINE, FINE, FINE};
    for (uint64_t nth = 1;; nth++) {
        struct player p, token_player;
        struct rig r;
        player_start(&p, 3, answers);
        player_start(&token_player, 1, &token);
        rig_init(&r);
        use_oauth2(&r, &token_player);
        mem_fail_nth(nth, false);
        enum err e = ask_all(&r, &p);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (e != OK && e != ERR_NOMEM && e != ERR_AGAIN) {
            fail_msg("%llu: %s: %s", (unsigned long long)nth, err_word(e), r.why.text);
        }
        if (e) assert_true(r.why.text[0] != '\0');
        rig_fini(&r);
        player_stop(&p);
        player_stop(&token_player);
        if (fired) continue;
        assert_int_equal(e, OK);
        return;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_sent_as_it_is_and_its_answer_read_to_the_end),
        cmocka_unit_test(test_a_header_that_cannot_be_sent_is_an_error_with_words),
        cmocka_unit_test(test_who_waits_for_a_turn_gets_it_before_those_who_come_later),
        cmocka_unit_test(test_so_many_queries_read_at_a_time_and_the_next_is_refused_in_the_end),
        cmocka_unit_test(test_a_query_that_reads_may_open_more),
        cmocka_unit_test(test_a_query_that_waits_for_its_turn_can_be_canceled),
        cmocka_unit_test(
            test_requests_are_spread_over_a_second_and_refused_where_that_takes_too_long),
        cmocka_unit_test(test_what_is_throttled_is_asked_again_when_the_server_says),
        cmocka_unit_test(test_without_the_last_answer_those_before_it_are_none),
        cmocka_unit_test(test_what_is_throttled_beyond_the_timeout_is_not_asked_again),
        cmocka_unit_test(test_a_query_that_waits_to_ask_again_can_be_canceled),
        cmocka_unit_test(test_a_server_that_fails_is_asked_three_times_and_quoted),
        cmocka_unit_test(test_an_answer_that_is_final_is_not_asked_for_again),
        cmocka_unit_test(test_what_an_answer_says_beside_its_status_may_count_more),
        cmocka_unit_test(test_without_a_connection_it_is_tried_three_times),
        cmocka_unit_test(test_a_query_reads_no_more_than_it_may),
        cmocka_unit_test(test_a_body_that_does_not_fit_is_refused),
        cmocka_unit_test(test_a_server_that_falls_silent_is_given_up),
        cmocka_unit_test(test_a_body_that_breaks_off_may_come_whole_later),
        cmocka_unit_test(test_what_is_closed_in_the_middle_leaves_nothing),
        cmocka_unit_test(test_a_query_that_is_canceled_reads_nothing_more_of_what_keeps_coming),
        cmocka_unit_test(test_what_failed_of_an_answer_is_named_with_its_address),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
