/* runtime_test.c - the client of the runtime API, against a server with scripted answers. */
#include "lib/test.h"

#include "app/lambda/lambda.h"
#include "lib/net/http_player.h"

struct api {
    struct player player;
    char host[64];
    struct runtime *runtime;
    struct why why;
};

static void
begin(struct api *api, const char *answer)
{
    const char *answers[] = {answer};
    *api = (struct api){.why = {""}};
    player_start(&api->player, 1, answers);
    snprintf(api->host, sizeof api->host, "%s", api->player.url + strlen("http://"));
    api->host[strcspn(api->host, "/")] = '\0';
    assert_int_equal(runtime_new(env_real(), api->host, NULL, &api->runtime, &api->why), OK);
}

static void
end(struct api *api)
{
    runtime_free(api->runtime);
    player_stop(&api->player);
}

static void
check_seen(const struct api *api, const char *text)
{
    assert_non_null(strstr(api->player.seen, text));
}

static const struct invocation one = {.id = "8476a536-e9f4", .deadline_ms = 1};

UNIT_TEST(test_next_returns_the_event_with_its_id_and_deadline)
{
    struct api api;
    struct invocation invocation;
    struct buf event;
    buf_init(&event, NULL, 100);
    begin(&api, "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 8476a536-e9f4\r\n"
                "lambda-runtime-deadline-ms: 1542409706888\r\nContent-Length: 2\r\n\r\n{}");
    assert_int_equal(runtime_next(api.runtime, &event, &invocation, &api.why), OK);
    assert_string_equal(invocation.id, "8476a536-e9f4");
    assert_int_equal(invocation.deadline_ms, 1542409706888);
    assert_true(bytes_equal_text(buf_bytes(&event), "{}"));
    check_seen(&api, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n");
    end(&api);
    buf_fini(&event);
}

UNIT_TEST(test_event_above_the_limit_has_an_id_to_answer)
{
    struct api api;
    struct invocation invocation;
    struct buf event;
    buf_init(&event, NULL, 1);
    begin(&api, "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a-1\r\n"
                "Content-Length: 2\r\n\r\n{}");
    assert_int_equal(runtime_next(api.runtime, &event, &invocation, &api.why), ERR_LIMIT);
    assert_string_equal(invocation.id, "a-1");
    end(&api);
    buf_fini(&event);
}

UNIT_TEST(test_next_refuses_what_is_not_an_invocation)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a/../b\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", NULL};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct api api;
        struct invocation invocation;
        struct buf event;
        buf_init(&event, NULL, 100);
        begin(&api, answers[i]);
        enum err e = runtime_next(api.runtime, &event, &invocation, &api.why);
        assert_true(e != OK && e != ERR_LIMIT);
        end(&api);
        buf_fini(&event);
    }
}

UNIT_TEST(test_answer_is_posted_for_its_invocation)
{
    struct api api;
    begin(&api, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(runtime_answer(api.runtime, &one, bytes_of_text("{\"a\":1}"), &api.why), OK);
    check_seen(&api, "POST /2018-06-01/runtime/invocation/8476a536-e9f4/response HTTP/1.1\r\n");
    check_seen(&api, "\r\n\r\n{\"a\":1}");
    end(&api);
    begin(&api, "HTTP/1.1 413 Large\r\nContent-Length: 9\r\n\r\ntoo large");
    assert_int_equal(runtime_answer(api.runtime, &one, bytes_of_text("{}"), &api.why), ERR_INPUT);
    assert_non_null(strstr(api.why.text, "413: too large"));
    end(&api);
}

UNIT_TEST(test_failed_start_is_reported_with_its_reason)
{
    struct api api;
    begin(&api, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(runtime_fail_start(api.runtime, "no \"table\"", &api.why), OK);
    check_seen(&api, "POST /2018-06-01/runtime/init/error HTTP/1.1\r\n");
    check_seen(&api, "Lambda-Runtime-Function-Error-Type: Firekeep.CannotStart\r\n");
    check_seen(&api,
               "{\"errorMessage\":\"no \\\"table\\\"\",\"errorType\":\"Firekeep.CannotStart\","
               "\"stackTrace\":[]}");
    end(&api);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next_returns_the_event_with_its_id_and_deadline),
        cmocka_unit_test(test_event_above_the_limit_has_an_id_to_answer),
        cmocka_unit_test(test_next_refuses_what_is_not_an_invocation),
        cmocka_unit_test(test_answer_is_posted_for_its_invocation),
        cmocka_unit_test(test_failed_start_is_reported_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
