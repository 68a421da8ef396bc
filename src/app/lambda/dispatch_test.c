/* dispatch_test.c - events that become requests of a server, and what the runtime API gets. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/lambda/lambda.h"
#include "auth/origin.h"
#include "base/log.h"
#include "lib/net/http_player.h"
#include "net/http_server.h"
#include "sys/sim.h"

struct bench_of_dispatch {
    char directory[40], path[60], host[64];
    struct http_server *server;
    struct http_route routes[5];
    struct http_request *_Atomic held; /* by /slow and /half */
    struct budget budget;
    struct dispatcher dispatcher;
    struct player api;
    struct runtime *runtime;
    struct why why;
};

static void
reply_text(void *context, struct http_request *request)
{
    (void)context;
    http_reply_text(request, 200, "path %s, body %zu", http_path(request), http_body(request).size);
}

/* Answers with the time that the request has, in milliseconds. */
static void
reply_limit(void *context, struct http_request *request)
{
    (void)context;
    http_reply_text(request, 200, "limit %s", http_header(request, "X-Firekeep-Timeout-Ms"));
}

static void
reply_large(void *context, struct http_request *request)
{
    static const char large[7 << 20];
    (void)context;
    const struct http_answer answer = {
        .status = 200, .content_type = "text/plain", .body = bytes_of(large, sizeof large)};
    http_reply(request, &answer);
}

static void
hold(void *context, struct http_request *request)
{
    struct bench_of_dispatch *b = context;
    b->held = request;
}

static void
start_server(struct bench_of_dispatch *b)
{
    struct http_place place = {.name = b->path, .unix_path = b->path, .unix_mode = 0600};
    struct http_route routes[] = {
        {.path = "/text", .methods = HTTP_GET | HTTP_POST, .handler = reply_text, .context = b},
        {.path = "/limit", .methods = HTTP_GET, .handler = reply_limit, .context = b},
        {.path = "/large", .methods = HTTP_GET, .handler = reply_large, .context = b},
        {.path = "/slow", .methods = HTTP_GET, .handler = hold, .context = b},
        {.path = "/half", .methods = HTTP_GET, .handler = hold, .context = b}};
    struct http_options options = {.env = env_real(),
                                   .places = &place,
                                   .place_count = 1,
                                   .workers = 2,
                                   .connections_max = 10,
                                   .header_bytes_max = 65536,
                                   .body_bytes_max = 1 << 20,
                                   .header_timeout_ns = 60 * NS_PER_S,
                                   .body_timeout_ns = 60 * NS_PER_S,
                                   .idle_timeout_ns = 60 * NS_PER_S,
                                   .send_timeout_ns = 60 * NS_PER_S,
                                   .stream_buffer_bytes = 65536,
                                   .budget = &b->budget,
                                   .routes = b->routes,
                                   .route_count = 5};
    memcpy(b->routes, routes, sizeof routes);
    assert_int_equal(http_server_start(&options, &b->server, &b->why), OK);
}

static void
begin(struct bench_of_dispatch *b)
{
    static const char *const accepted[] = {"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"};
    *b = (struct bench_of_dispatch){.directory = "/tmp/dispatch_test.XXXXXX"};
    assert_non_null(mkdtemp(b->directory));
    snprintf(b->path, sizeof b->path, "%s/s", b->directory);
    budget_init(&b->budget, "test", 0, NULL);
    start_server(b);
    player_start(&b->api, 1, accepted);
    snprintf(b->host, sizeof b->host, "%s", b->api.url + strlen("http://"));
    b->host[strcspn(b->host, "/")] = '\0';
    b->dispatcher = (struct dispatcher){
        .env = env_real(),
        .server = {.proxy_url = "", .unix_path = b->path, .connect_timeout_ms = 5000},
        .budget = &b->budget};
    assert_int_equal(http_puller_new(env_real(), "test", &b->dispatcher.puller, &b->why), OK);
    assert_int_equal(runtime_new(env_real(), b->host, NULL, &b->runtime, &b->why), OK);
}

static void
end(struct bench_of_dispatch *b)
{
    if (b->held != NULL) http_reply_text(b->held, 200, "late");
    http_puller_free(b->dispatcher.puller);
    runtime_free(b->runtime);
    player_stop(&b->api);
    http_server_free(b->server);
    assert_int_equal(budget_used(&b->budget), 0);
    rmdir(b->directory);
}

/* True if the runtime API has the text; the prelude of a stream has NULs. */
static bool
api_has(struct bench_of_dispatch *b, const char *text)
{
    size_t size = atomic_load_explicit(&b->api.seen_bytes, memory_order_acquire);
    return memmem(b->api.seen, size, text, strlen(text)) != NULL;
}

/* Dispatches an event that has `left_ms` until its end, and checks what the runtime API gets. */
static void
check_answer(struct bench_of_dispatch *b, enum err read, const char *event, int64_t left_ms,
             const char *expected)
{
    struct invocation invocation = {.id = "a-1",
                                    .deadline_ms = env_realtime_ms(b->dispatcher.env) + left_ms};
    assert_int_equal(
        dispatch(&b->dispatcher, b->runtime, &invocation, read, bytes_of_text(event), &b->why), OK);
    assert_non_null(strstr(b->api.seen, "POST /2018-06-01/runtime/invocation/a-1/response"));
    if (!api_has(b, expected)) fail_msg("%s", b->api.seen);
}

#define EVENT(method, path, rest) \
    "{\"httpMethod\":\"" method "\",\"path\":\"" path "\",\"headers\":{}" rest "}"
#define URL_EVENT(path)                                                                 \
    "{\"version\":\"2.0\",\"rawPath\":\"" path "\",\"requestContext\":{\"domainName\":" \
    "\"a.lambda-url.eu-west-1.on.aws\",\"stage\":\"$default\",\"http\":{\"method\":\"GET\"}}}"

UNIT_TEST(test_each_event_is_answered_with_a_status)
{
    static const struct {
        enum err read;
        const char *event, *expected;
    } cases[] = {
        {OK, EVENT("POST", "/text", ",\"body\":\"abc\""), "\"body\":\"path /text, body 3\"}"},
        {OK, EVENT("GET", "/none", ""), "{\"statusCode\":404,"},
        {OK, EVENT("GET", "/large", ""), "{\"statusCode\":422,"},
        {OK, EVENT("DELETE", "/text", ""), "{\"statusCode\":405,"},
        {OK, "{\"Records\":[]}", "{\"statusCode\":400,"},
        {OK, "", "{\"statusCode\":400,"},
        {ERR_LIMIT, "", "{\"statusCode\":422,"},
        {ERR_NOMEM, "", "{\"statusCode\":503,"},
        {OK, URL_EVENT("/text"), "\"body\":\"path /text, body 0\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench_of_dispatch b;
        begin(&b);
        check_answer(&b, cases[i].read, cases[i].event, 60000, cases[i].expected);
        end(&b);
    }
}

UNIT_TEST(test_slow_request_is_answered_before_the_invocation_ends)
{
    struct bench_of_dispatch b;
    begin(&b);
    check_answer(&b, OK, EVENT("GET", "/slow", ""), 1500, "{\"statusCode\":503,");
    assert_non_null(strstr(b.api.seen, "\"Retry-After\":\"5\""));
    assert_non_null(strstr(b.api.seen, "takes too long"));
    end(&b);
}

UNIT_TEST(test_slow_request_is_answered_before_the_gateway_does)
{
    struct bench_of_dispatch b;
    begin(&b);
    b.dispatcher.gateway_ms = 400;
    check_answer(&b, OK, EVENT("GET", "/slow", ""), 600000, "{\"statusCode\":503,");
    assert_non_null(strstr(b.api.seen, "takes too long"));
    end(&b);
}

/* The server is told a second more than the limit: it answers 2 s before what it is told. */
UNIT_TEST(test_gateways_limit_requests_and_function_urls_do_not)
{
    static const struct {
        const char *event;
        uint64_t gateway_ms;
        int64_t left_ms;
        const char *expected;
    } cases[] = {
        {EVENT("GET", "/limit", ""), 0, 900000, "\"limit 26000\""},
        {EVENT("GET", "/limit", ""), 60000, 900000, "\"limit 26000\""},
        {EVENT("GET", "/limit", ""), 10000, 900000, "\"limit 10000\""},
        {EVENT("GET", "/limit", ""), 1500, 900000, "\"limit 1750\""},
        {EVENT("GET", "/limit", ""), 0, 20000, "\"limit 20000\""},
        {URL_EVENT("/limit"), 0, 900000, "\"limit 900000\""},
        {URL_EVENT("/limit"), 10000, 900000, "\"limit 900000\""},
        {URL_EVENT("/limit"), 10000, 20000, "\"limit 20000\""},
    };
    struct sim_env *sim; /* its clocks stand still */
    assert_int_equal(sim_env_new(1, &sim), OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench_of_dispatch b;
        begin(&b);
        b.dispatcher.env = sim_env_env(sim);
        b.dispatcher.gateway_ms = cases[i].gateway_ms;
        check_answer(&b, OK, cases[i].event, cases[i].left_ms, cases[i].expected);
        end(&b);
    }
    sim_env_free(sim);
}

/* With a number below 1 the server would refuse a write as invalid, and its sender would drop it.
 * The limit is over as well, so an answer may be too late. */
UNIT_TEST(test_a_request_has_a_millisecond_when_its_invocation_is_over)
{
    struct bench_of_dispatch b;
    bool is_late;
    do {
        begin(&b);
        check_answer(&b, OK, EVENT("GET", "/limit", ""), 0, "");
        is_late = api_has(&b, "takes too long");
        assert_true(is_late || api_has(&b, "\"limit 1\""));
        end(&b);
    } while (is_late);
}

UNIT_TEST(test_answer_of_a_function_url_is_streamed_where_that_is_set)
{
    struct bench_of_dispatch b;
    begin(&b);
    b.dispatcher.streams = true;
    check_answer(&b, OK, URL_EVENT("/text"), 60000,
                 "Lambda-Runtime-Function-Response-Mode: streaming");
    assert_non_null(strstr(b.api.seen, "{\"statusCode\":200,\"headers\":{"));
    end(&b);
    begin(&b);
    b.dispatcher.streams = true;
    check_answer(&b, OK, EVENT("GET", "/text", ""), 60000, "\"body\":\"path /text, body 0\"}");
    end(&b);
}

/* Sends half of an answer, and cuts the connection when the runtime API has it. */
static void *
break_off(void *context)
{
    struct bench_of_dispatch *b = context;
    const struct http_answer answer = {.status = 200, .content_type = "text/plain"};
    struct http_request *request;
    while ((request = b->held) == NULL)
        usleep(1000);
    b->held = NULL;
    assert_int_equal(http_stream_begin(request, &answer, 100, NULL), OK);
    assert_int_equal(http_stream_write(request, bytes_of_text("one half"), NULL), OK);
    while (!api_has(b, "one half"))
        usleep(1000);
    http_stream_end(request, false);
    return NULL;
}

UNIT_TEST(test_stream_that_breaks_off_ends_with_the_trailers_of_an_error)
{
    struct bench_of_dispatch b;
    pthread_t thread;
    begin(&b);
    b.dispatcher.streams = true;
    assert_int_equal(pthread_create(&thread, NULL, break_off, &b), 0);
    check_answer(&b, OK, URL_EVENT("/half"), 600000,
                 "\r\nLambda-Runtime-Function-Error-Type: Firekeep.AnswerBrokeOff\r\n");
    assert_int_equal(pthread_join(thread, NULL), 0);
    end(&b);
}

UNIT_TEST(test_refusal_is_streamed_with_its_body)
{
    struct bench_of_dispatch b;
    begin(&b);
    b.dispatcher.streams = true;
    check_answer(&b, OK, URL_EVENT("/none"), 60000, "{\"statusCode\":404,");
    assert_true(api_has(&b, "404 page not found"));
    assert_false(api_has(&b, "Firekeep.AnswerBrokeOff"));
    end(&b);
}

UNIT_TEST(test_stream_that_is_complete_ends_without_trailers)
{
    struct bench_of_dispatch b;
    begin(&b);
    b.dispatcher.streams = true;
    check_answer(&b, OK, URL_EVENT("/text"), 60000, "path /text, body 0");
    assert_false(api_has(&b, "Firekeep.AnswerBrokeOff"));
    end(&b);
}

UNIT_TEST(test_server_that_is_gone_is_a_reason_to_come_back)
{
    struct bench_of_dispatch b;
    begin(&b);
    http_server_free(b.server);
    b.server = NULL;
    check_answer(&b, OK, EVENT("GET", "/text", ""), 60000, "{\"statusCode\":503,");
    end(&b);
}

UNIT_TEST(test_without_memory_for_a_request_the_sender_comes_back)
{
    struct bench_of_dispatch b;
    struct budget small; /* the event fits, its URL does not */
    begin(&b);
    budget_init(&small, "small", 64 * 1024, NULL);
    b.dispatcher.budget = &small;
    check_answer(&b, OK, EVENT("GET", "/text", ""), 60000, "{\"statusCode\":503,");
    assert_int_equal(budget_used(&small), 0);
    end(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_event_is_answered_with_a_status),
        cmocka_unit_test(test_slow_request_is_answered_before_the_invocation_ends),
        cmocka_unit_test(test_slow_request_is_answered_before_the_gateway_does),
        cmocka_unit_test(test_gateways_limit_requests_and_function_urls_do_not),
        cmocka_unit_test(test_a_request_has_a_millisecond_when_its_invocation_is_over),
        cmocka_unit_test(test_answer_of_a_function_url_is_streamed_where_that_is_set),
        cmocka_unit_test(test_stream_that_breaks_off_ends_with_the_trailers_of_an_error),
        cmocka_unit_test(test_refusal_is_streamed_with_its_body),
        cmocka_unit_test(test_stream_that_is_complete_ends_without_trailers),
        cmocka_unit_test(test_server_that_is_gone_is_a_reason_to_come_back),
        cmocka_unit_test(test_without_memory_for_a_request_the_sender_comes_back),
    };
    log_to_fd(-1);
    if (caller_begin(env_real()) != OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
