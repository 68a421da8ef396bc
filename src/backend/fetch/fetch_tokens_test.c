/* fetch_tokens_test.c - credentials of requests of sources: tokens that are fetched, refused and
 * fetched again, and signatures of AWS. */
#include "lib/test.h"

#include "lib/backend/fetch_rig.h"

#define UNKNOWN "HTTP/1.1 401 Who\r\nContent-Length: 4\r\n\r\nwho?"

UNIT_TEST(test_a_refused_token_is_fetched_again_once)
{
    const char *tokens[] = {TOKEN("one"), TOKEN("two"), TOKEN("three")};
    const char *answers[] = {UNKNOWN, FINE, UNKNOWN, UNKNOWN};
    struct fetch_rig r;
    fetch_rig_init(&r, 4, answers);
    fetch_rig_use_tokens(&r, 3, tokens);
    fetch_rig_start(&r);
    struct fetch *fetch = fetch_rig_get(&r, NULL);
    fetch_rig_expect_hello(&r, fetch);
    assert_non_null(strstr(r.player.seen, "\r\nAuthorization: Bearer two\r\n"));
    fetch_rig_expect_trouble(&r, TROUBLE_UNSET);
    fetch = fetch_rig_get(&r, NULL);
    fetch_rig_expect_status(&r, fetch, 401, ERR_IO);
    fetch_rig_expect_words(&r, "status 401: who?");
    assert_non_null(strstr(r.player.seen, "\r\nAuthorization: Bearer three\r\n"));
    assert_int_equal(atomic_load(&r.counts.repeats), 2);
    fetch_rig_expect_trouble(&r, TROUBLE_CREDENTIALS);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_a_refusal_of_an_old_token_costs_no_new_one)
{
    const char *tokens[] = {TOKEN("one"), TOKEN("two")}; /* a third request would wait for ever */
    const char *answers[] = {UNKNOWN, FINE};
    struct player players[2];
    struct fetch *fetches[2];
    struct fetch_rig r;
    fetch_rig_init(&r, 0, NULL);
    fetch_rig_use_tokens(&r, 2, tokens);
    fetch_rig_start(&r);
    for (int i = 0; i < 2; i++) {
        player_start(&players[i], 2, answers);
        fetches[i] = fetch_rig_get(&r, players[i].url);
    }
    for (int i = 0; i < 2; i++) {
        fetch_rig_expect_hello(&r, fetches[i]);
        assert_non_null(strstr(players[i].seen, "Bearer two\r\n"));
    }
    fetch_rig_stop(&r);
    for (int i = 0; i < 2; i++)
        player_stop(&players[i]);
}

UNIT_TEST(test_threads_that_find_a_token_due_fetch_it_once)
{
    const char *token = TOKEN("one");
    const char *answer = FINE;
    struct player players[3];
    struct fetch_thread readings[3];
    struct fetch_rig r;
    fetch_rig_init(&r, 0, NULL);
    fetch_rig_use_tokens(&r, 1, &token);
    fetch_rig_start(&r);
    for (int i = 0; i < 3; i++) {
        player_start(&players[i], 1, &answer);
        fetch_thread_start(&readings[i], &r, players[i].url);
    }
    for (int i = 0; i < 3; i++) {
        fetch_thread_join(&readings[i]);
        assert_non_null(strstr(players[i].seen, "Bearer one\r\n"));
        player_stop(&players[i]);
    }
    fetch_rig_stop(&r);
}

/* At any time one thread may be refused while another one fetches. */
UNIT_TEST(test_threads_may_be_refused_while_others_fetch_a_token)
{
    const char *tokens[] = {TOKEN("1"), TOKEN("2"), TOKEN("3"), TOKEN("4"),
                            TOKEN("5"), TOKEN("6"), TOKEN("7"), TOKEN("8")};
    const char *answers[] = {UNKNOWN, FINE};
    struct player players[4];
    struct fetch_thread readings[4];
    struct fetch_rig r;
    fetch_rig_init(&r, 0, NULL);
    fetch_rig_use_tokens(&r, 8, tokens);
    fetch_rig_start(&r);
    for (int i = 0; i < 4; i++) {
        player_start(&players[i], 2, answers);
        fetch_thread_start(&readings[i], &r, players[i].url);
    }
    for (int i = 0; i < 4; i++) {
        fetch_thread_join(&readings[i]);
        player_stop(&players[i]);
    }
    fetch_rig_stop(&r);
}

UNIT_TEST(test_a_token_that_lasts_no_time_is_used_nevertheless)
{
    const char *token = "HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"one\",\"expires_in\":1e-9}";
    const char *answer = FINE;
    struct fetch_rig r;
    fetch_rig_init(&r, 1, &answer);
    fetch_rig_use_tokens(&r, 1, &token);
    fetch_rig_start(&r);
    struct fetch *fetch = fetch_rig_get(&r, NULL);
    fetch_rig_expect_hello(&r, fetch);
    fetch_rig_stop(&r);
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
        {SILENT, ERR_AGAIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fetch_rig r;
        struct fetch *fetch;
        fetch_rig_init(&r, 0, NULL);
        fetch_rig_use_tokens(&r, 1, &cases[i].answer);
        if (i + 1 == sizeof cases / sizeof *cases) r.settings.timeout_ms = SILENT_MS;
        fetch_rig_start(&r);
        enum err e = fetch_rig_try(&r, r.session, NULL, &fetch);
        if (e != cases[i].expected) fail_msg("%zu: %s: %s", i, err_word(e), r.why.text);
        assert_true(r.why.text[0] != '\0');
        fetch_rig_expect_trouble(&r, e == ERR_IO ? TROUBLE_CREDENTIALS : TROUBLE_UNSET);
        fetch_rig_stop(&r);
    }
}

UNIT_TEST(test_a_query_that_waits_for_a_token_can_be_canceled)
{
    const char *none = SILENT;
    struct fetch_rig r;
    struct fetch *fetch;
    fetch_rig_init(&r, 0, NULL);
    fetch_rig_use_tokens(&r, 1, &none);
    fetch_rig_start(&r);
    assert_int_equal(fetch_rig_try(&r, r.session, &r.leaving, &fetch), ERR_CANCELED);
    fetch_rig_stop(&r);
}

UNIT_TEST(test_requests_to_aws_are_signed)
{
    static const char *const headers[] = {"Content-Type: text/plain", NULL};
    const char *answer = FINE;
    const struct aws_settings aws = {
        .region = "eu-west-1", .access_key.text = "AKID", .secret_key.text = "SECRET"};
    const struct fetch_signing signing = {&aws, "aps", false};
    struct fetch_rig r;
    struct fetch *fetch;
    fetch_rig_init(&r, 1, &answer);
    r.signing = &signing;
    fetch_rig_start(&r);
    strcat(r.player.url, "?b=2&a=1");
    struct fetch_request request = {.method = "POST",
                                    .url = r.player.url,
                                    .headers = headers,
                                    .body = bytes_of_text("question")};
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), OK);
    fetch_rig_expect_hello(&r, fetch);
    assert_non_null(strstr(r.player.seen, "POST /path?b=2&a=1 HTTP"));
    assert_non_null(strstr(r.player.seen, "\r\n\r\nquestion"));
    assert_non_null(strstr(r.player.seen, "\r\nX-Amz-Date: "));
    assert_non_null(strstr(r.player.seen, "Authorization: AWS4-HMAC-SHA256 Credential=AKID/"));
    assert_non_null(
        strstr(r.player.seen, "/eu-west-1/aps/aws4_request, SignedHeaders=content-type;host"));
    fetch_rig_stop(&r);
}

UNIT_TEST(test_without_a_region_nothing_is_signed)
{
    const struct aws_settings aws = {
        .region = "not a region", .access_key.text = "AKID", .secret_key.text = "SECRET"};
    const struct fetch_signing signing = {&aws, "aps", false};
    struct fetch_rig r;
    fetch_rig_init(&r, 0, NULL);
    r.signing = &signing;
    assert_int_equal(fetch_rig_open(&r), ERR_INPUT);
    fetch_rig_stop(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refused_token_is_fetched_again_once),
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
