/* Credentials of requests of sources: tokens that are fetched, refused and fetched anew, and
 * signatures of AWS. */
#include "backend/fetch/fetch_testing.h"
#include "lib/test.h"

#define UNKNOWN "HTTP/1.1 401 Who\r\nContent-Length: 4\r\n\r\nwho?"

UNIT_TEST(test_a_token_that_is_refused_is_fetched_anew_once)
{
    const char *tokens[] = {TOKEN("one"), TOKEN("two"), TOKEN("three")};
    const char *answers[] = {UNKNOWN, FINE, UNKNOWN, UNKNOWN};
    struct player p, token_player;
    struct rig r;
    player_start(&p, 4, answers);
    player_start(&token_player, 3, tokens);
    rig_init(&r);
    use_oauth2(&r, &token_player);
    rig_start(&r);
    struct fetch *fetch = open_at(&r, p.url);
    expect_hello(&r, fetch);
    fetch_close(fetch);
    assert_non_null(strstr(p.seen, "\r\nAuthorization: Bearer two\r\n"));
    expect_trouble(&r, TROUBLE_UNSAID);
    fetch = open_at(&r, p.url);
    assert_int_equal(await_of(&r, fetch, OK), 401);
    assert_int_equal(fetch_expect_ok(fetch, &r.why), ERR_IO);
    expect_words(&r, "status 401: who?");
    fetch_close(fetch);
    assert_non_null(strstr(p.seen, "\r\nAuthorization: Bearer three\r\n"));
    assert_int_equal(atomic_load(&r.counts.repeats), 2);
    expect_trouble(&r, TROUBLE_CREDENTIALS);
    rig_fini(&r);
    player_stop(&p);
    player_stop(&token_player);
}

UNIT_TEST(test_a_refusal_of_an_old_token_costs_no_new_one)
{
    const char *tokens[] = {TOKEN("one"), TOKEN("two")}; /* who asks for a third waits for ever */
    const char *answers[] = {UNKNOWN, FINE};
    struct player players[2], token_player;
    struct fetch *fetches[2];
    struct rig r;
    player_start(&token_player, 2, tokens);
    rig_init(&r);
    use_oauth2(&r, &token_player);
    rig_start(&r);
    for (int i = 0; i < 2; i++) {
        player_start(&players[i], 2, answers);
        fetches[i] = open_at(&r, players[i].url);
    }
    for (int i = 0; i < 2; i++) {
        expect_hello(&r, fetches[i]);
        fetch_close(fetches[i]);
        assert_non_null(strstr(players[i].seen, "Bearer two\r\n"));
    }
    rig_fini(&r);
    for (int i = 0; i < 2; i++) {
        player_stop(&players[i]);
    }
    player_stop(&token_player);
}

UNIT_TEST(test_threads_that_find_a_token_due_fetch_it_once)
{
    const char *token = TOKEN("one");
    const char *answer = FINE;
    struct player players[3], token_player;
    struct reading readings[3];
    struct rig r;
    player_start(&token_player, 1, &token);
    rig_init(&r);
    use_oauth2(&r, &token_player);
    rig_start(&r);
    for (int i = 0; i < 3; i++) {
        player_start(&players[i], 1, &answer);
        reading_start(&readings[i], &r, players[i].url);
    }
    for (int i = 0; i < 3; i++) {
        reading_join(&readings[i]);
        assert_non_null(strstr(players[i].seen, "Bearer one\r\n"));
        player_stop(&players[i]);
    }
    rig_fini(&r);
    player_stop(&token_player);
}

/* One of them refused, one fetching, at any time. */
UNIT_TEST(test_threads_may_be_refused_while_others_fetch_a_token)
{
    const char *tokens[] = {TOKEN("1"), TOKEN("2"), TOKEN("3"), TOKEN("4"),
                            TOKEN("5"), TOKEN("6"), TOKEN("7"), TOKEN("8")};
    const char *answers[] = {UNKNOWN, FINE};
    struct player players[4], token_player;
    struct reading readings[4];
    struct rig r;
    player_start(&token_player, 8, tokens);
    rig_init(&r);
    use_oauth2(&r, &token_player);
    rig_start(&r);
    for (int i = 0; i < 4; i++) {
        player_start(&players[i], 2, answers);
        reading_start(&readings[i], &r, players[i].url);
    }
    for (int i = 0; i < 4; i++) {
        reading_join(&readings[i]);
        player_stop(&players[i]);
    }
    rig_fini(&r);
    player_stop(&token_player);
}

UNIT_TEST(test_a_token_that_lasts_no_time_is_used_nevertheless)
{
    const char *token = "HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"one\",\"expires_in\":1e-9}";
    const char *answer = FINE;
    struct player p, token_player;
    struct rig r;
    player_start(&token_player, 1, &token);
    player_start(&p, 1, &answer);
    rig_init(&r);
    use_oauth2(&r, &token_player);
    rig_start(&r);
    struct fetch *fetch = open_at(&r, p.url);
    expect_hello(&r, fetch);
    fetch_close(fetch);
    rig_fini(&r);
    player_stop(&p);
    player_stop(&token_player);
}

UNIT_TEST(test_a_token_that_does_not_come_whole_may_come_later)
{
    static const struct {
        const char *answer;
        enum err expected;
    } cases[] = {
        {NULL, ERR_AGAIN},
        {"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"access_token\":\"one\"", ERR_AGAIN},
        {BUSY, ERR_AGAIN},
        {"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", ERR_IO},
        {"HTTP/1.1 200 OK\r\n\r\n{}", ERR_IO},
        {"HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"o\\u0000e\"}", ERR_IO},
        {silence, ERR_AGAIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct player token_player;
        struct rig r;
        struct fetch *fetch;
        struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
        player_start(&token_player, 1, &cases[i].answer);
        rig_init(&r);
        use_oauth2(&r, &token_player);
        if (cases[i].answer == silence) r.settings.timeout_ms = SILENT_MS;
        rig_start(&r);
        enum err e = fetch_open(r.session, NULL, &request, &fetch, &r.why);
        if (e != cases[i].expected) fail_msg("%zu: %s: %s", i, err_word(e), r.why.text);
        assert_true(r.why.text[0] != '\0');
        expect_trouble(&r, e == ERR_IO ? TROUBLE_CREDENTIALS : TROUBLE_UNSAID);
        rig_fini(&r);
        player_stop(&token_player);
    }
}

UNIT_TEST(test_a_query_that_waits_for_a_token_can_be_canceled)
{
    const char *none = silence;
    atomic_uint looks = 0;
    struct query_control control = {
        .env = env_real(), .is_gone = is_gone_the_second_time, .gone_context = &looks};
    struct player token_player;
    struct rig r;
    struct fetch *fetch;
    struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    player_start(&token_player, 1, &none);
    rig_init(&r);
    use_oauth2(&r, &token_player);
    rig_start(&r);
    assert_int_equal(fetch_open(r.session, &control, &request, &fetch, &r.why), ERR_CANCELED);
    rig_fini(&r);
    player_stop(&token_player);
}

UNIT_TEST(test_requests_to_aws_are_signed)
{
    static const char *const headers[] = {"Content-Type: text/plain", NULL};
    const char *answer = FINE;
    const struct aws_settings aws = {
        .region = "eu-west-1", .access_key.text = "AKID", .secret_key.text = "SECRET"};
    const struct fetch_signing signing = {&aws, "aps", false};
    struct player p;
    struct rig r;
    struct fetch *fetch;
    rig_init(&r);
    struct fetcher_options options = rig_options(&r, &signing);
    assert_int_equal(fetcher_new(&options, &r.fetcher, &r.why), OK);
    assert_int_equal(fetch_session_open(r.fetcher, &r.query, &r.session, &r.why), OK);
    player_start(&p, 1, &answer);
    strcat(p.url, "?b=2&a=1");
    struct fetch_request request = {
        .method = "POST", .url = p.url, .headers = headers, .body = bytes_of_text("question")};
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), OK);
    expect_hello(&r, fetch);
    fetch_close(fetch);
    assert_non_null(strstr(p.seen, "POST /path?b=2&a=1 HTTP"));
    assert_non_null(strstr(p.seen, "\r\n\r\nquestion"));
    assert_non_null(strstr(p.seen, "\r\nX-Amz-Date: "));
    assert_non_null(strstr(p.seen, "Authorization: AWS4-HMAC-SHA256 Credential=AKID/"));
    assert_non_null(strstr(p.seen, "/eu-west-1/aps/aws4_request, SignedHeaders=content-type;host"));
    rig_fini(&r);
    player_stop(&p);
}

UNIT_TEST(test_without_a_region_nothing_is_signed)
{
    const struct aws_settings aws = {
        .region = "not a region", .access_key.text = "AKID", .secret_key.text = "SECRET"};
    const struct fetch_signing signing = {&aws, "aps", false};
    struct rig r;
    rig_init(&r);
    struct fetcher_options options = rig_options(&r, &signing);
    assert_int_equal(fetcher_new(&options, &r.fetcher, &r.why), ERR_INPUT);
    rig_fini(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_that_is_refused_is_fetched_anew_once),
        cmocka_unit_test(test_a_refusal_of_an_old_token_costs_no_new_one),
        cmocka_unit_test(test_threads_that_find_a_token_due_fetch_it_once),
        cmocka_unit_test(test_threads_may_be_refused_while_others_fetch_a_token),
        cmocka_unit_test(test_a_token_that_lasts_no_time_is_used_nevertheless),
        cmocka_unit_test(test_a_token_that_does_not_come_whole_may_come_later),
        cmocka_unit_test(test_a_query_that_waits_for_a_token_can_be_canceled),
        cmocka_unit_test(test_requests_to_aws_are_signed),
        cmocka_unit_test(test_without_a_region_nothing_is_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
