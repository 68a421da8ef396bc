/* key_fetch_test.c - the thread that fetches keys, and a server that plays the issuer. */
#include "auth/tokens/tokens.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/metric.h"
#include "lib/auth/token_signer.h"
#include "lib/net/http_player.h"

enum { BODY_BYTES = 600, ANSWER_BYTES = 800 };

static struct budget memory;
static struct issuers *issuers;
static struct key_fetcher *fetcher;
static struct player player;
static char key_set[BODY_BYTES];

static int
make_keys(void **state)
{
    (void)state;
    struct token_signer *signer = token_signer_new(TOKEN_KEY_ED25519);
    struct buf text;
    buf_init(&text, NULL, sizeof key_set);
    buf_put_text(&text, "{\"keys\":[");
    token_signer_jwk(signer, "\"kid\":\"a\",", &text);
    buf_put_text(&text, "]}");
    buf_put_u8(&text, 0);
    memcpy(key_set, text.at, text.size);
    buf_fini(&text);
    token_signer_free(signer);
    log_to_fd(-1);
    return 0;
}

/* Fills an answer with a body of BODY_BYTES, whose rest is blanks. */
static void
fill(char *answer, const char *body)
{
    int size =
        snprintf(answer, ANSWER_BYTES,
                 "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", BODY_BYTES);
    memset(answer + size, ' ', BODY_BYTES);
    memcpy(answer + size, body, strlen(body));
    answer[size + BODY_BYTES] = '\0';
}

static struct issuer *
begin(const struct jwt_settings *settings)
{
    struct issuer *issuer = NULL;
    struct why why = {""};
    budget_init(&memory, "test", 0, NULL);
    assert_int_equal(issuers_new(env_real(), &memory, &issuers, &why), OK);
    assert_int_equal(key_fetcher_start(env_real(), &memory, issuers, &fetcher, &why), OK);
    assert_int_equal(issuers_get(issuers, settings, &issuer, &why), OK);
    return issuer;
}

static void
end(struct issuer *issuer)
{
    key_fetcher_stop(fetcher);
    issuer_release(issuer);
    issuers_free(issuers);
    assert_int_equal(budget_used(&memory), 0);
}

/* Waits until keys are in force. */
static bool
has_keys(struct issuer *issuer)
{
    struct issuer_keys *keys = NULL;
    for (int i = 0; i < 10000 && keys == NULL; i++) {
        keys = issuer_keys_hold(issuer);
        if (keys == NULL) env_sleep(env_real(), 2 * NS_PER_MS);
    }
    bool has = keys != NULL && jwks_counts(keys->set).used == 1;
    issuer_keys_release(keys);
    return has;
}

UNIT_TEST(test_an_issuer_is_discovered_and_its_keys_are_fetched)
{
    static char document[ANSWER_BYTES], keys[ANSWER_BYTES];
    const char *answers[] = {document, keys};
    char body[BODY_BYTES];
    fill(document, "");
    fill(keys, key_set);
    player_start(&player, 2, answers);
    snprintf(body, sizeof body, "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/keys\"}", player.url,
             player.url);
    fill(document, body);
    struct jwt_settings settings = {.given = true, .issuer = player.url};
    struct issuer *issuer = begin(&settings);
    assert_true(has_keys(issuer));
    assert_non_null(strstr(player.seen, "GET /path/keys HTTP/1.1\r\n"));
    assert_non_null(strstr(player.seen, "\r\nAccept: application/json\r\n"));
    end(issuer);
    player_stop(&player);
}

UNIT_TEST(test_a_key_set_with_a_url_is_fetched_without_discovery)
{
    static char keys[ANSWER_BYTES];
    const char *answers[] = {keys};
    fill(keys, key_set);
    player_start(&player, 1, answers);
    struct jwt_settings settings = {.given = true, .issuer = "any", .jwks_url = player.url};
    struct issuer *issuer = begin(&settings);
    assert_true(has_keys(issuer));
    assert_non_null(strstr(player.seen, "GET /path HTTP/1.1\r\n"));
    end(issuer);
    player_stop(&player);
}

/* Says whether a fetch has failed. */
static bool
has_failed(void)
{
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    metric_collect(&text);
    buf_put_u8(&text, 0);
    bool has = strstr((const char *)text.at, "result=\"failed\"} 1\n") != NULL;
    buf_fini(&text);
    return has;
}

static void
expect_failure(const char *answer, size_t size)
{
    const char *answers[] = {answer};
    player_start_sized(&player, 1, answers, &size);
    struct jwt_settings settings = {.given = true, .jwks_url = player.url};
    struct issuer *issuer = begin(&settings);
    for (int i = 0; i < 10000 && !has_failed(); i++)
        env_sleep(env_real(), 2 * NS_PER_MS);
    assert_true(has_failed());
    assert_null(issuer_keys_hold(issuer));
    assert_true(issuer_miss(issuer, NULL));
    end(issuer);
    player_stop(&player);
}

UNIT_TEST(test_other_answers_than_keys_are_failures)
{
    static const char *const answers[] = {
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"keys\":[]}", /* breaks off */
        "no HTTP at all\r\n\r\n",
        NULL, /* closes at once */
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        expect_failure(answers[i], answers[i] == NULL ? 0 : strlen(answers[i]));
}

UNIT_TEST(test_an_answer_beyond_the_limit_is_refused)
{
    static char answer[JWKS_BYTES_MAX + 1000];
    int size =
        snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s", key_set);
    memset(answer + size, ' ', sizeof answer - (size_t)size);
    expect_failure(answer, sizeof answer);
}

UNIT_TEST(test_the_thread_ends_while_an_issuer_hangs)
{
    const char *answers[] = {""};
    player_start(&player, 1, answers);
    struct jwt_settings settings = {.given = true, .jwks_url = player.url};
    end(begin(&settings));
    player_stop(&player);
}

UNIT_TEST(test_a_thread_survives_each_failing_allocation)
{
    bool has_fired = true;
    for (uint64_t nth = 1; has_fired; nth++) {
        struct key_fetcher *one = NULL;
        struct why why;
        budget_init(&memory, "test", 0, NULL);
        assert_int_equal(issuers_new(env_real(), &memory, &issuers, &why), OK);
        mem_fail_nth(nth, false);
        enum err e = key_fetcher_start(env_real(), &memory, issuers, &one, &why);
        has_fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, has_fired ? ERR_NOMEM : OK);
        key_fetcher_stop(one);
        issuers_free(issuers);
        assert_int_equal(budget_used(&memory), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_issuer_is_discovered_and_its_keys_are_fetched),
        cmocka_unit_test(test_a_key_set_with_a_url_is_fetched_without_discovery),
        cmocka_unit_test(test_other_answers_than_keys_are_failures),
        cmocka_unit_test(test_an_answer_beyond_the_limit_is_refused),
        cmocka_unit_test(test_the_thread_ends_while_an_issuer_hangs),
        cmocka_unit_test(test_a_thread_survives_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
