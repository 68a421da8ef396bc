/* event_test.c - events of each gateway, and what is not one. */
#include "lib/test.h"

#include <stdlib.h>

#include "app/lambda/lambda.h"
#include "auth/origin.h"

struct reading {
    struct budget budget;
    struct arena arena;
    struct buf body;
    struct event event;
    struct why why;
};

static enum err
read_text(struct reading *r, const char *text)
{
    *r = (struct reading){.why = {""}};
    budget_init(&r->budget, "test", 0, NULL);
    arena_init(&r->arena, &r->budget, 1 << 20, 0);
    buf_init(&r->body, &r->budget, EVENT_BODY_BYTES_MAX);
    return event_read(bytes_of_text(text), &r->budget, &r->arena, &r->body, &r->event, &r->why);
}

static void
end_reading(struct reading *r)
{
    arena_fini(&r->arena);
    buf_fini(&r->body);
    assert_int_equal(budget_used(&r->budget), 0);
}

/* Returns the value of a header; NULL if it is absent. */
static const char *
header_of(const struct event *event, const char *name)
{
    size_t size = strlen(name);
    for (const char *const *h = event->headers; *h != NULL; h++)
        if (strncasecmp(*h, name, size) == 0 && (*h)[size] == ':') return *h + size + 2;
    return NULL;
}

static void
check_refused(const char *text, enum err e, const char *why)
{
    struct reading r;
    assert_int_equal(read_text(&r, text), e);
    assert_non_null(strstr(r.why.text, why));
    assert_null(r.event.method);
    end_reading(&r);
}

static void
check_target(const char *text, const char *target)
{
    struct reading r;
    assert_int_equal(read_text(&r, text), OK);
    assert_string_equal(r.event.target, target);
    end_reading(&r);
}

#define DOMAIN "\"domainName\":\"a.execute-api.eu-west-1.amazonaws.com\""
#define NEW(method, path, rest)                                                            \
    "{\"version\":\"2.0\",\"rawPath\":\"" path "\"," rest "\"requestContext\":{\"stage\":" \
    "\"dev\"," DOMAIN ",\"http\":{\"method\":\"" method "\"}}}"

UNIT_TEST(test_event_of_an_http_api_becomes_its_request)
{
    struct reading r;
    assert_int_equal(
        read_text(&r,
                  "{\"version\":\"2.0\",\"routeKey\":\"POST /write\",\"rawPath\":\"/dev/write\","
                  "\"rawQueryString\":\"a=%20b&c=\",\"cookies\":[\"a=1\",\"b=2\"],"
                  "\"headers\":{\"content-type\":\"application/x-protobuf\",\"x-list\":\"1,2\","
                  "\"x-empty\":\"\",\"content-length\":\"5\",\"connection\":\"close\"},"
                  "\"requestContext\":{\"stage\":\"dev\"," DOMAIN ",\"http\":{\"method\":\"POST\","
                  "\"path\":\"/dev/write\",\"sourceIp\":\"192.0.2.1\"}},"
                  "\"body\":\"aGVsbG8=\",\"isBase64Encoded\":true}"),
        OK);
    assert_string_equal(r.event.method, "POST");
    assert_string_equal(r.event.target, "/write?a=%20b&c=");
    assert_string_equal(header_of(&r.event, "Content-Type"), "application/x-protobuf");
    assert_string_equal(header_of(&r.event, "X-List"), "1,2");
    assert_string_equal(header_of(&r.event, "Cookie"), "a=1; b=2");
    assert_null(header_of(&r.event, "Content-Length"));
    assert_null(header_of(&r.event, "Connection"));
    assert_true(bytes_equal_text(r.event.body, "hello"));
    assert_null(r.event.caller);
    assert_false(r.event.is_url);
    end_reading(&r);
}

UNIT_TEST(test_event_of_a_rest_api_has_repeated_headers_and_arguments)
{
    struct reading r;
    assert_int_equal(
        read_text(
            &r,
            "{\"resource\":\"/{proxy+}\",\"path\":\"/api/v1/series\",\"httpMethod\":\"GET\","
            "\"headers\":{\"X-Two\":\"b\"},\"multiValueHeaders\":{\"X-Two\":[\"a\",\"b\"]},"
            "\"queryStringParameters\":{\"match[]\":\"y\"},"
            "\"multiValueQueryStringParameters\":{\"match[]\":[\"{a=\\\"\xc3\xa4\\\"}\",\"y\"]},"
            "\"requestContext\":{\"stage\":\"dev\"," DOMAIN ",\"path\":\"/dev/api/v1/series\"},"
            "\"body\":null,\"isBase64Encoded\":false}"),
        OK);
    assert_string_equal(r.event.target,
                        "/api/v1/series?match%5B%5D=%7Ba%3D%22%C3%A4%22%7D&match%5B%5D=y");
    assert_string_equal(r.event.headers[0], "X-Two: a");
    assert_string_equal(r.event.headers[1], "X-Two: b");
    assert_int_equal(r.event.body.size, 0);
    end_reading(&r);
}

UNIT_TEST(test_event_of_a_function_url_is_recognized)
{
    struct reading r;
    assert_int_equal(
        read_text(
            &r, "{\"version\":\"2.0\",\"rawPath\":\"/read\",\"rawQueryString\":\"\",\"headers\":{},"
                "\"requestContext\":{\"stage\":\"$default\",\"domainName\":"
                "\"a.lambda-url.eu-west-1.on.aws\",\"http\":{\"method\":\"POST\"}},"
                "\"body\":\"text\",\"isBase64Encoded\":false}"),
        OK);
    assert_true(r.event.is_url);
    assert_string_equal(r.event.target, "/read");
    assert_true(bytes_equal_text(r.event.body, "text"));
    end_reading(&r);
}

UNIT_TEST(test_caller_is_the_one_that_the_gateway_has_verified)
{
    struct reading r;
    assert_int_equal(
        read_text(
            &r,
            "{\"version\":\"2.0\",\"rawPath\":\"/read\",\"headers\":{\"authorization\":\"AWS4\","
            "\"X-AMZ-Date\":\"1\",\"x-firekeep-CALLER\":\"arn:aws:iam::1:user/"
            "b\"},\"requestContext\":{\"http\":{\"method\":\"POST\"},"
            "\"authorizer\":{\"iam\":{\"userArn\":\"arn:aws:iam::1:user/a\"}}}}"),
        OK);
    assert_string_equal(r.event.caller, "arn:aws:iam::1:user/a");
    assert_null(header_of(&r.event, "Authorization"));
    assert_null(header_of(&r.event, "X-Amz-Date"));
    assert_string_equal(caller_of(header_of(&r.event, CALLER_HEADER)), "arn:aws:iam::1:user/a");
    end_reading(&r);
    assert_int_equal(
        read_text(&r, "{\"path\":\"/read\",\"httpMethod\":\"POST\",\"headers\":{\"Authorization\":"
                      "\"Basic YTpi\"},\"requestContext\":{\"identity\":{\"userArn\":null}}}"),
        OK);
    assert_null(r.event.caller);
    assert_string_equal(header_of(&r.event, "Authorization"), "Basic YTpi");
    end_reading(&r);
}

UNIT_TEST(test_stage_is_cut_off_where_the_gateway_puts_it)
{
    check_target(NEW("GET", "/dev/-/ready", ""), "/-/ready");
    check_target(NEW("GET", "/dev", ""), "/");
    check_target(NEW("GET", "/devel/x", ""), "/devel/x");
    check_target(
        "{\"version\":\"2.0\",\"rawPath\":\"/api/v1/x\",\"requestContext\":{\"stage\":\"api\","
        "\"domainName\":\"metrics.example.org\",\"http\":{\"method\":\"GET\"}}}",
        "/api/v1/x");
    check_target("{\"version\":\"1.0\",\"path\":\"/dev/read\",\"httpMethod\":\"POST\","
                 "\"requestContext\":{\"stage\":\"dev\"," DOMAIN ",\"path\":\"/dev/read\"}}",
                 "/read");
    check_target("{\"path\":\"/dev/"
                 "read\",\"httpMethod\":\"GET\",\"requestContext\":{\"stage\":\"dev\"," DOMAIN
                 ",\"path\":\"/dev/dev/read\"}}",
                 "/dev/read");
}

UNIT_TEST(test_header_decides_where_the_path_has_no_meaning)
{
#define WRITES "\"headers\":{\"X-Prometheus-Remote-WRITE-Version\":\"0.1.0\"},"
#define READS  "\"headers\":{\"x-prometheus-remote-read-version\":\"0.1.0\"},"
    check_target(NEW("POST", "/dev/prom/remote", WRITES), "/write");
    check_target(NEW("POST", "/dev/", READS), "/read");
    check_target(NEW("POST", "/dev/read", WRITES), "/read");
    check_target(NEW("POST", "/dev/api/v1/query", WRITES), "/api/v1/query");
    check_target(NEW("GET", "/dev/prom", WRITES), "/prom");
    check_target(NEW("POST", "/dev/prom", ""), "/prom");
}

UNIT_TEST(test_path_and_query_are_escaped_again)
{
    check_target(NEW("GET", "/dev/a b%2f%zz\xc3\xa4?#", "\"rawQueryString\":\"a=b c#%41\","),
                 "/a%20b%2f%25zz%C3%A4%3F%23?a=b%20c%23%41");
}

UNIT_TEST(test_path_that_a_client_would_resolve_is_refused)
{
    check_refused(NEW("POST", "/dev/read/../write", ""), ERR_INPUT, "segments of dots");
    check_refused(NEW("POST", "/dev/read/%2E./write", ""), ERR_INPUT, "segments of dots");
    check_refused(NEW("POST", "/dev/read/.", ""), ERR_INPUT, "segments of dots");
    check_target(NEW("POST", "/dev/.../a.b/..c", ""), "/.../a.b/..c");
}

UNIT_TEST(test_event_without_a_request_is_refused)
{
    check_refused("", ERR_INPUT, "invalid JSON");
    check_refused("[]", ERR_INPUT, "not an object");
    check_refused("{}", ERR_INPUT, "not a request of HTTP");
    check_refused("{\"httpMethod\":\"G T\",\"path\":\"/\"}", ERR_INPUT, "not a request of HTTP");
    check_refused("{\"httpMethod\":\"GET\",\"path\":\"a\"}", ERR_INPUT, "has no path");
    check_refused(NEW("POST", "/write", "\"headers\":{\"a\":\"b\\nc: d\"},"), ERR_INPUT,
                  "the header 'a' is not valid");
    check_refused(NEW("POST", "/write", "\"headers\":{\"a b\":\"c\"},"), ERR_INPUT, "is not valid");
    check_refused(NEW("POST", "/write", "\"body\":\"a\",\"isBase64Encoded\":true,"), ERR_INPUT,
                  "is not base64");
}

UNIT_TEST(test_protobuf_that_arrives_as_text_is_refused_with_the_reason)
{
    check_refused(NEW("POST", "/write",
                      "\"headers\":{\"content-type\":\"application/x-protobuf\"},\"body\":\"a\","),
                  ERR_INPUT, "binaryMediaTypes");
    check_refused(NEW("POST", "/write", "\"body\":\"a\\u0000\","), ERR_INPUT, "binaryMediaTypes");
}

UNIT_TEST(test_single_headers_count_where_the_list_is_empty)
{
    struct reading r;
    assert_int_equal(read_text(&r,
                               "{\"httpMethod\":\"GET\",\"path\":\"/\",\"multiValueHeaders\":{},"
                               "\"headers\":{\"A\":\"b\"}}"),
                     OK);
    assert_string_equal(r.event.headers[0], "A: b");
    end_reading(&r);
}

UNIT_TEST(test_body_above_the_limit_is_refused)
{
    struct buf text;
    buf_init(&text, NULL, EVENT_BYTES_MAX + 1000);
    buf_put_text(&text, "{\"httpMethod\":\"POST\",\"path\":\"/write\",\"body\":\"");
    size_t before = text.size;
    for (size_t i = 0; i < EVENT_BODY_BYTES_MAX; i++)
        buf_put_u8(&text, 'a');
    buf_put_text(&text, "\"}");
    buf_put_u8(&text, '\0');
    struct reading r;
    assert_int_equal(read_text(&r, (const char *)text.at), OK);
    assert_int_equal(r.event.body.size, EVENT_BODY_BYTES_MAX);
    end_reading(&r);
    buf_clear(&text);
    text.size = before + EVENT_BODY_BYTES_MAX;
    buf_put_text(&text, "a\"}");
    buf_put_u8(&text, '\0');
    check_refused((const char *)text.at, ERR_LIMIT, "more than 4.5 MiB");
    buf_fini(&text);
}

UNIT_TEST(test_number_of_headers_is_limited)
{
    for (unsigned count = EVENT_HEADERS_MAX; count <= EVENT_HEADERS_MAX + 1; count++) {
        struct buf text;
        struct reading r;
        buf_init(&text, NULL, 1 << 16);
        buf_put_text(&text, "{\"httpMethod\":\"GET\",\"path\":\"/\",\"headers\":{");
        for (unsigned i = 0; i < count; i++)
            buf_printf(&text, "%s\"h%u\":\"v\"", i == 0 ? "" : ",", i);
        buf_put_text(&text, "}}");
        buf_put_u8(&text, '\0');
        enum err e = read_text(&r, (const char *)text.at);
        assert_int_equal(e, count <= EVENT_HEADERS_MAX ? OK : ERR_LIMIT);
        end_reading(&r);
        buf_fini(&text);
    }
}

int
main(void)
{
    if (caller_begin(env_real()) != OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_of_an_http_api_becomes_its_request),
        cmocka_unit_test(test_event_of_a_rest_api_has_repeated_headers_and_arguments),
        cmocka_unit_test(test_event_of_a_function_url_is_recognized),
        cmocka_unit_test(test_caller_is_the_one_that_the_gateway_has_verified),
        cmocka_unit_test(test_stage_is_cut_off_where_the_gateway_puts_it),
        cmocka_unit_test(test_header_decides_where_the_path_has_no_meaning),
        cmocka_unit_test(test_path_and_query_are_escaped_again),
        cmocka_unit_test(test_path_that_a_client_would_resolve_is_refused),
        cmocka_unit_test(test_event_without_a_request_is_refused),
        cmocka_unit_test(test_protobuf_that_arrives_as_text_is_refused_with_the_reason),
        cmocka_unit_test(test_single_headers_count_where_the_list_is_empty),
        cmocka_unit_test(test_body_above_the_limit_is_refused),
        cmocka_unit_test(test_number_of_headers_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
