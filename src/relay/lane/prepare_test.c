/* prepare_test.c - what a preparation keeps of the responses to its requests. */
#include "relay/lane/lane.h"

#include "lib/net/http_player.h"

static struct player player;
static bool is_fetched;

/* Asks the player, and fails with the text of its response. */
static void
fake_step(const struct http_call_answer *answer, struct writer_step *step)
{
    /* the password is "much too secret" */
    static const char *const headers[] = {"Authorization: Basic dTptdWNoIHRvbyBzZWNyZXQ=", NULL};
    static const struct http_calls_target target = {.proxy_url = "", .timeout_ms = 10000};
    if (answer == NULL) {
        step->next = WRITER_SEND;
        step->http = (struct http_call){.url = player.url,
                                        .method = "GET",
                                        .headers = headers,
                                        .target = &target,
                                        .answer_bytes_max = 1000};
        return;
    }
    step->next = WRITER_DONE;
    step->verdict = VERDICT_RETRY;
    snprintf(step->reason, sizeof step->reason, "http_%u", answer->status);
    snprintf(step->answer, sizeof step->answer, "%.*s", (int)answer->body.size,
             (const char *)answer->body.at);
}

static bool
fake_need_prepare(struct writer *writer)
{
    (void)writer;
    return !is_fetched;
}

static void
fake_prepare(struct writer *writer, const struct http_call_answer *answer, struct writer_step *step)
{
    (void)writer;
    fake_step(answer, step);
}

static bool
fake_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
           struct writer_step *step, char *what)
{
    (void)writer;
    (void)what;
    if (number == 0) fake_step(answer, step);
    return number == 0;
}

static const struct writer_class fake = {
    .need_prepare = fake_need_prepare, .prepare = fake_prepare, .check = fake_check};

UNIT_TEST(test_a_response_that_repeats_a_secret_is_kept_without_it)
{
    static const char *const answers[] = {
        "HTTP/1.1 401 No\r\nContent-Length: 33\r\n\r\nno user has 'much too secret' yet"};
    static const struct writer_limits limits = {.start_check = 1};
    for (unsigned fetches = 0; fetches < 2; fetches++) {
        struct destination_settings settings = {.name = "d"};
        struct relay_context context = {
            .options.env = env_real(), .settings = &settings, .class = &fake};
        struct preparation p;
        struct breaker breaker;
        struct throttle throttle;
        struct http_call_answer answer;
        is_fetched = fetches == 0;
        player_start(&player, 1, answers);
        assert_int_equal(http_calls_new(env_real(), NULL, "test/1", &context.http, NULL), OK);
        breaker_init(&breaker, env_real(), "d");
        throttle_init(&throttle, 1, 0);
        prepare_init(&p, &context, &breaker, &throttle);
        prepare_begin(&p, NULL, &limits);
        prepare_early(&p, 0);
        assert_int_equal(p.pending, fetches ? PREPARE_FETCH : PREPARE_CHECK);
        while (!http_calls_done(context.http, &answer))
            http_calls_poll(context.http, 1000);
        prepare_answered(&p, &answer);
        assert_non_null(strstr(player.seen, "Authorization: Basic "));
        assert_non_null(strstr(breaker.error, "no user has '"));
        assert_null(strstr(breaker.error, "secret"));
        prepare_end(&p);
        http_calls_free(context.http);
        player_stop(&player);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_response_that_repeats_a_secret_is_kept_without_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
