/* aws_test.c - regions, endpoints, and signed requests. */
#include "lib/test.h"

#include "lib/backend/aws_rig.h"

static struct aws_rig rig;

static int
setup(void **state)
{
    (void)state;
    aws_rig_init(&rig);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    aws_rig_fini(&rig);
    return 0;
}

/* --- regions and endpoints -------------------------------------------------------------------- */

static void
expect_region(const char *want)
{
    char region[AWS_REGION_BYTES];
    struct why why = {""};
    if (aws_region(&rig.setup, region, &why) != OK) fail_msg("%s", why.text);
    assert_string_equal(region, want);
}

UNIT_TEST(test_the_region_is_the_first_that_is_named)
{
    char region[AWS_REGION_BYTES];
    struct why why;
    assert_int_equal(aws_region(&rig.setup, region, &why), ERR_MISSING);
    expect_in(why.text, "missing region");
    aws_rig_set(&rig, "HOME", "/home");
    aws_rig_put(&rig, "/home/.aws/config",
                "[default]\nregion = eu-west-1\n[profile x]\nregion=x-1\n");
    expect_region("eu-west-1");
    aws_rig_set(&rig, "AWS_PROFILE", "x");
    expect_region("x-1");
    aws_rig_set(&rig, "AWS_DEFAULT_REGION", "eu-west-2");
    expect_region("eu-west-2");
    aws_rig_set(&rig, "AWS_REGION", "eu-west-3");
    expect_region("eu-west-3");
    rig.settings.region = "us-gov-east-1";
    expect_region("us-gov-east-1");
}

UNIT_TEST(test_a_region_that_cannot_be_part_of_a_host_is_refused)
{
    static const char *const bad[] = {
        "eu west", "a.b",       "x/",  "-a",
        "a-",      "EU-WEST-1", "a@b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char region[AWS_REGION_BYTES];
        struct why why;
        rig.settings.region = bad[i];
        assert_int_equal(aws_region(&rig.setup, region, &why), ERR_INPUT);
        expect_in(why.text, "the settings");
    }
}

static const struct aws_service ingest = {"timestream", "ingest.timestream", "TIMESTREAM_WRITE"};

static void
expect_endpoint(const char *own, const char *region, const char *want)
{
    char endpoint[AWS_ENDPOINT_BYTES];
    struct why why = {""};
    if (aws_endpoint(&rig.setup, &ingest, own, region, endpoint, &why) != OK)
        fail_msg("%s", why.text);
    assert_string_equal(endpoint, want);
}

UNIT_TEST(test_the_endpoint_is_the_first_that_is_named)
{
    expect_endpoint(NULL, "eu-west-1", "https://ingest.timestream.eu-west-1.amazonaws.com");
    expect_endpoint(NULL, "cn-north-1", "https://ingest.timestream.cn-north-1.amazonaws.com.cn");
    aws_rig_set(&rig, "AWS_ENDPOINT_URL_S3", "http://s3");
    aws_rig_set(&rig, "AWS_ENDPOINT_URL", "http://all:4566/");
    expect_endpoint(NULL, "eu-west-1", "http://all:4566");
    aws_rig_set(&rig, "AWS_ENDPOINT_URL_TIMESTREAM_WRITE", "http://write");
    expect_endpoint(NULL, "eu-west-1", "http://write");
    expect_endpoint("https://own.example/base//", "eu-west-1", "https://own.example/base");
}

UNIT_TEST(test_an_invalid_endpoint_is_refused_with_its_position)
{
    static const char *const bad[] = {
        "x",           "ftp://x",     "http://",         "http:///p",    "https://u:p@x",
        "http://u@x",  "http://x?q",  "http://x/?q",     "http://x/#f",  "http://x y",
        "http://x/ y", "http://x:1a", "http://x:123456", "http://[::1",  "http://[::1]x",
        "http://[]",   "http://x\n",  "http://x/\r\nA:", "http://x\\@y", "http://x\"",
    };
    char endpoint[AWS_ENDPOINT_BYTES], longer[AWS_ENDPOINT_BYTES + 20] = "http://";
    struct why why;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(aws_endpoint(&rig.setup, &ingest, bad[i], "r", endpoint, &why), ERR_INPUT);
        expect_in(why.text, "invalid endpoint URL in the settings");
    }
    memset(longer + 7, 'x', AWS_ENDPOINT_BYTES);
    assert_int_equal(aws_endpoint(&rig.setup, &ingest, longer, "r", endpoint, &why), ERR_LIMIT);
    aws_rig_set(&rig, "AWS_ENDPOINT_URL_TIMESTREAM_WRITE", "http://");
    assert_int_equal(aws_endpoint(&rig.setup, &ingest, NULL, "r", endpoint, &why), ERR_INPUT);
    expect_in(why.text, "AWS_ENDPOINT_URL_TIMESTREAM_WRITE");
}

UNIT_TEST(test_a_url_is_split_and_its_own_port_left_out)
{
    static const struct {
        const char *url;
        bool tls;
        const char *authority, *host, *path;
    } cases[] = {
        {"http://x", false, "x", "x", ""},
        {"HTTPS://x.y/", true, "x.y", "x.y", "/"},
        {"http://x:80/a", false, "x", "x", "/a"},
        {"https://x:443", true, "x", "x", ""},
        {"https://x:80", true, "x:80", "x", ""},
        {"http://x:", false, "x", "x", ""},
        {"http://[fd00:ec2::23]/v1?a=b", false, "[fd00:ec2::23]", "fd00:ec2::23", "/v1?a=b"},
        {"http://[::1]:8000", false, "[::1]:8000", "::1", ""},
        {"http://x?q", false, "x", "x", "?q"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aws_url url;
        assert_true(aws_url_split(cases[i].url, &url));
        assert_int_equal(url.tls, cases[i].tls);
        assert_true(bytes_equal_text(url.authority, cases[i].authority));
        assert_true(bytes_equal_text(url.host, cases[i].host));
        assert_true(bytes_equal_text(url.path, cases[i].path));
    }
}

/* --- requests --------------------------------------------------------------------------------- */

static const struct http_calls_target target;

static struct sigv4_credentials
keys_of(const char *token)
{
    return (struct sigv4_credentials){bytes_of_text("AKIDEXAMPLE"),
                                      bytes_of_text("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                                      bytes_of_text(token)};
}

/* Returns the parts in the published vectors: service "service" in us-east-1,
 * 2015-08-30 12:36:00. */
static struct aws_parts
parts_of(const char *method)
{
    return (struct aws_parts){.target = &target,
                              .method = method,
                              .endpoint = "https://example.amazonaws.com",
                              .path = "/",
                              .service = "service",
                              .region = "us-east-1"};
}
static const int64_t VECTORS_S = 1440938160;

static const char *
call_header(const struct http_call *call, const char *name)
{
    size_t size = strlen(name);
    for (const char *const *h = call->headers; *h != NULL; h++)
        if (strncmp(*h, name, size) == 0 && (*h)[size] == ':') return *h + size + 2;
    return NULL;
}

UNIT_TEST(test_a_request_is_signed_as_the_published_vectors_say)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    struct aws_request request;
    struct http_call call;
    struct sigv4_credentials keys = keys_of("");
    struct aws_parts parts = parts_of("POST");
    aws_request_init(&request, NULL);
    parts.headers = headers;
    parts.body = bytes_of_text("Param1=value1");
    assert_int_equal(aws_sign(&parts, &keys, VECTORS_S, &request, &call, NULL), OK);
    assert_ptr_equal(call.target, &target);
    assert_string_equal(call.method, "POST");
    assert_string_equal(call.url, "https://example.amazonaws.com/");
    assert_true(bytes_equal_text(call.body, "Param1=value1"));
    assert_string_equal(call_header(&call, "Host"), "example.amazonaws.com");
    assert_string_equal(call_header(&call, "Content-Type"), "application/x-www-form-urlencoded");
    assert_string_equal(call_header(&call, "X-Amz-Date"), "20150830T123600Z");
    assert_null(call_header(&call, "X-Amz-Security-Token"));
    expect_in(call_header(&call, "Authorization"),
              "Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
    assert_string_equal(call.wanted[AWS_WANTED_ERROR_TYPE], "x-amzn-ErrorType");

    parts = parts_of("GET"); /* into the same request */
    parts.query = "Param1=value1";
    assert_int_equal(aws_sign(&parts, &keys, VECTORS_S, &request, &call, NULL), OK);
    assert_string_equal(call.url, "https://example.amazonaws.com/?Param1=value1");
    expect_in(call_header(&call, "Authorization"),
              "Signature=a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb");
    parts = parts_of("GET"); /* the path of the endpoint is signed, too */
    parts.endpoint = "https://example.amazonaws.com/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    parts.path = "abcdefghijklmnopqrstuvwxyz";
    assert_int_equal(aws_sign(&parts, &keys, VECTORS_S, &request, &call, NULL), OK);
    expect_in(call_header(&call, "Authorization"),
              "Signature=07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f");
    aws_request_fini(&request);
}

UNIT_TEST(test_a_session_token_and_the_hash_for_s3_are_sent_along)
{
    struct aws_request request;
    struct http_call call;
    struct sigv4_credentials keys = keys_of("TOKEN");
    struct aws_parts parts = parts_of("PUT");
    aws_request_init(&request, NULL);
    parts.endpoint = "http://[::1]:9000";
    parts.is_s3 = true;
    assert_int_equal(aws_sign(&parts, &keys, VECTORS_S, &request, &call, NULL), OK);
    assert_string_equal(call_header(&call, "Host"), "[::1]:9000");
    assert_string_equal(call_header(&call, "X-Amz-Security-Token"), "TOKEN");
    assert_string_equal(call_header(&call, "X-Amz-Content-Sha256"),
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_in(call_header(&call, "Authorization"),
              "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token");
    aws_request_fini(&request);
}

UNIT_TEST(test_without_keys_nothing_is_signed)
{
    struct aws_request request;
    struct http_call call;
    struct aws_parts parts = parts_of("GET");
    aws_request_init(&request, NULL);
    assert_int_equal(aws_sign(&parts, NULL, VECTORS_S, &request, &call, NULL), OK);
    assert_string_equal(call.headers[0], "Host: example.amazonaws.com");
    assert_null(call.headers[1]);
    aws_request_fini(&request);
}

UNIT_TEST(test_a_header_that_would_change_the_request_is_refused)
{
    static const char *const bad_headers[] = {"A",       ": b",   "A:", "A: b\r\nC: d",
                                              "A: \x80", "A\n: b"};
    const char *headers[HTTP_CALLS_HEADERS_MAX + 1] = {NULL};
    struct aws_request request;
    struct http_call call;
    struct sigv4_credentials keys = keys_of("");
    struct aws_parts parts = parts_of("GET");
    aws_request_init(&request, NULL);
    parts.headers = headers;
    for (size_t i = 0; i < sizeof bad_headers / sizeof *bad_headers; i++) {
        headers[0] = bad_headers[i];
        assert_int_equal(aws_sign(&parts, &keys, VECTORS_S, &request, &call, NULL), ERR_INPUT);
    }
    for (unsigned i = 0; i < HTTP_CALLS_HEADERS_MAX; i++)
        headers[i] = "A: b";
    assert_int_equal(aws_sign(&parts, &keys, VECTORS_S, &request, &call, NULL), ERR_LIMIT);
    headers[HTTP_CALLS_HEADERS_MAX - 1] = NULL; /* signing adds two more */
    assert_int_equal(aws_sign(&parts, &keys, VECTORS_S, &request, &call, NULL), ERR_LIMIT);
    headers[HTTP_CALLS_HEADERS_MAX - 3] = NULL;
    assert_int_equal(aws_sign(&parts, &keys, VECTORS_S, &request, &call, NULL), OK);
    assert_null(call.headers[HTTP_CALLS_HEADERS_MAX]);
    parts.headers = NULL;
    parts.endpoint = "http://x/?a";
    assert_int_equal(aws_sign(&parts, &keys, VECTORS_S, &request, &call, NULL), ERR_INPUT);
    parts.endpoint = "http://x";
    parts.path = "/a\nb";
    assert_int_equal(aws_sign(&parts, &keys, VECTORS_S, &request, &call, NULL), ERR_INPUT);
    parts.path = "/";
    parts.query = "a=%";
    assert_int_equal(aws_sign(&parts, &keys, VECTORS_S, &request, &call, NULL), ERR_INPUT);
    aws_request_fini(&request);
}

UNIT_TEST(test_refused_memory_is_an_error_and_leaks_nothing)
{
    struct budget budget;
    budget_init(&budget, "test", 0, NULL);
    for (uint64_t n = 1;; n++) {
        struct aws_request request;
        struct http_call call;
        struct sigv4_credentials keys = keys_of("TOKEN");
        struct aws_parts parts = parts_of("GET");
        aws_request_init(&request, &budget);
        mem_fail_nth(n, false);
        enum err e = aws_sign(&parts, &keys, VECTORS_S, &request, &call, NULL);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        aws_request_fini(&request);
        assert_int_equal(budget_used(&budget), 0);
        if (!fired) break;
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_the_region_is_the_first_that_is_named),
        TEST(test_a_region_that_cannot_be_part_of_a_host_is_refused),
        TEST(test_the_endpoint_is_the_first_that_is_named),
        TEST(test_an_invalid_endpoint_is_refused_with_its_position),
        TEST(test_a_url_is_split_and_its_own_port_left_out),
        TEST(test_a_request_is_signed_as_the_published_vectors_say),
        TEST(test_a_session_token_and_the_hash_for_s3_are_sent_along),
        TEST(test_without_keys_nothing_is_signed),
        TEST(test_a_header_that_would_change_the_request_is_refused),
        TEST(test_refused_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
