/*
 * http_server_test.c - requests and answers: methods, bodies, headers, refusals, streams.
 * http_limits_test.c tests deadlines, limits and stops.
 */
#include "lib/net/http_rig.h"
#include "lib/test.h"

/* --- requests as handlers see them, and answers as clients do --------------------------------- */

UNIT_TEST(test_connection_is_kept_for_the_next_request)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect(rig);
    for (int i = 0; i < 20; i++) {
        client_send(&client, "GET /text" HTTP_11 "\r\n");
        client_expect(&client, 200, "hello");
        client_send(&client, "POST /echo" HTTP_11 "Content-Length: 5\r\n\r\nabcde");
        client_expect(&client, 200, "abcde");
    }
    client_send(&client, "GET /text" HTTP_11 "Connection: close\r\n\r\n");
    client_expect(&client, 200, "hello");
    client_expect_end(&client);
    struct http_stats stats = http_rig_stats(rig);
    assert_int_equal(stats.requests_total, 41);
    assert_int_equal(stats.requests_by_class[2], 41);
    assert_int_equal(stats.connections_total, 1);
    assert_int_equal(stats.body_bytes, 100);
    client_close(&client);
    http_rig_free(rig);
}

UNIT_TEST(test_handler_sees_path_arguments_headers_and_peer_decoded)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect(rig);
    client_send(&client, "GET /views/a%20b%2Fc?match[]=%7Ba%3D%22b%22%7D&Match[]=no&match%5B%5D=x+y"
                         "&flag" HTTP_11 "X-Test: yes\r\n\r\n");
    client_expect(&client, 200, "1|/views/a b/c|yes|{a=\"b\"}|x y|-||none|127.0.0.1|-");
    client_send(&client, "DELETE http://some.host:99/views" HTTP_11 "\r\n");
    client_expect(&client, 405, NULL); /* the exact route has precedence, and only POST */
    client_send(&client, "DELETE http://some.host:99/viewsX" HTTP_11 "\r\n");
    client_expect(&client, 200, "8|/viewsX|-|-|-|-|-|none|127.0.0.1|-");
    client_close(&client);
    http_rig_free(rig);
}

UNIT_TEST(test_handler_sees_which_slashes_of_the_path_were_escaped)
{
    static const struct {
        const char *target, *expected;
    } cases[] = {
        {"/sent/a%2Fb", "/sent/a/b|/sent/a%2Fb"},
        {"/sent/a/b", "/sent/a/b|-"},
        {"/sent/%20%252F%2", NULL},
        {"/sent/%20%252F", "/sent/ %2F|-"},
        {"/sent/%25/a%2fb%2F?x=%2F", "/sent/%/a/b/|/sent/%25/a%2fb%2F"},
        {"/sent/a?x=%2F", "/sent/a|-"},
        {"http://h:1/sent%2Fa", "/sent/a|/sent%2Fa"},
        {"/sent", "/sent|-"},
    };
    struct http_rig *rig = http_rig_new(http_rig_options());
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client client = client_connect(rig);
        char text[128];
        snprintf(text, sizeof text, "GET %s" HTTP_11 "\r\nGET /sent/x" HTTP_11 "\r\n",
                 cases[i].target);
        client_send(&client, text);
        client_expect(&client, cases[i].expected == NULL ? 400 : 200, cases[i].expected);
        if (cases[i].expected != NULL) client_expect(&client, 200, "/sent/x|-");
        client_close(&client);
    }
    http_rig_free(rig);
}

UNIT_TEST(test_pipelined_requests_are_answered_in_order)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect(rig), other = client_connect(rig);
    client_send(&client, "GET /later?n=1" HTTP_11 "\r\n"
                         "POST /later?n=2" HTTP_11 "Content-Length: 3\r\n\r\nabc"
                         "GET /later?n=3" HTTP_11 "\r\n");
    struct http_request *first = http_rig_take_held(rig);
    client_send(&other, "GET /later?n=4" HTTP_11 "\r\n");
    struct http_request *fourth = http_rig_take_held(rig);
    http_reply_text(fourth, 200, "four"); /* last to arrive, first answered */
    client_expect(&other, 200, "four");
    for (int n = 1; n <= 3; n++) {
        struct http_request *request = n == 1 ? first : http_rig_take_held(rig);
        assert_int_equal(http_number_argument(request, "n"), n);
        assert_int_equal(http_body(request).size, n == 2 ? 3 : 0);
        http_body_release(request);
        assert_int_equal(http_body(request).size, 0);
        http_reply_text(request, 200 + (unsigned)n, "%d", n);
    }
    client_expect(&client, 201, "1");
    client_expect(&client, 202, "2");
    client_expect(&client, 203, "3");
    client_close(&client);
    client_close(&other);
    http_rig_free(rig);
}

UNIT_TEST(test_other_threads_may_answer_before_the_handler_returns_or_after)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect(rig);
    for (int i = 0; i < 200; i++) {
        client_send(&client, "POST /overtaken" HTTP_11 "Content-Length: 3\r\n\r\nabc"
                             "POST /elsewhere" HTTP_11 "Content-Length: 4\r\n\r\ndefg");
        client_expect(&client, 200, "abc");
        client_expect(&client, 200, "defg");
    }
    client_close(&client);
    http_rig_free(rig);
}

UNIT_TEST(test_chunked_body_is_put_together)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect(rig);
    client_send(&client, "POST /echo" HTTP_11 "Transfer-Encoding: chunked\r\n\r\n"
                         "3\r\nabc\r\n1;x=y\r\nd\r\n");
    client_send(&client, "00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n");
    client_expect(&client, 200, "abcd0123456789");
    /* One chunk per byte, and the next request after them. */
    char *many = malloc(3000 * 6 + 100);
    size_t used = (size_t)sprintf(many, "POST /echo" HTTP_11 "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 3000; i++)
        used += (size_t)sprintf(many + used, "1\r\nx\r\n");
    used += (size_t)sprintf(many + used, "0\r\n\r\nGET /text" HTTP_11 "\r\n");
    client_send_bytes(&client, many, used);
    free(many);
    struct response response = client_response(&client, false);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.body_size, 3000);
    response_free(&response);
    client_expect(&client, 200, "hello");
    client_close(&client);
    http_rig_free(rig);
}

UNIT_TEST(test_expect_continue_is_answered_before_the_body)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect(rig);
    client_send(&client, "POST /echo" HTTP_11 "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    client_expect(&client, 100, "");
    client_send(&client, "abc");
    client_expect(&client, 200, "abc");
    client_close(&client);
    http_rig_free(rig);
}

UNIT_TEST(test_refused_body_is_not_continued_and_the_connection_ends)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    const char *const requests[] = {
        "POST /echo" HTTP_11 "Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n",
        "POST /echo" HTTP_11 "Content-Length: 99999999999\r\n\r\n",
        "POST /small" HTTP_11 "Content-Length: 101\r\n\r\n",
    };
    for (size_t i = 0; i < 3; i++) {
        struct client client = client_connect(rig);
        client_send(&client, requests[i]);
        struct response response = client_response(&client, false);
        assert_int_equal(response.status, 413);
        assert_string_equal(response_header(&response, "Connection"), "close");
        response_free(&response);
        client_expect_end(&client);
        client_close(&client);
    }
    struct client client = client_connect(rig);
    client_send(&client, "POST /none" HTTP_11 "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    client_expect(&client, 404, NULL);
    client_expect_end(&client);
    client_close(&client);
    http_rig_free(rig);
}

/* A client that goes on sending while it is refused still gets the answer. */
UNIT_TEST(test_client_that_keeps_sending_a_refused_body_gets_the_answer)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    char *junk = calloc(1, 4 << 20);
    for (int chunked = 0; chunked <= 1; chunked++) {
        struct client client = client_connect(rig);
        client_send(&client, chunked ? "POST /echo" HTTP_11 "Transfer-Encoding: chunked\r\n\r\n"
                                       "fffffff\r\n"
                                     : "POST /echo" HTTP_11 "Content-Length: 268435455\r\n\r\n");
        assert_true(client_send_bytes(&client, junk, 4 << 20));
        client_expect(&client, 413, NULL);
        client_expect_end(&client);
        /* The server does not read gigabytes, though. */
        size_t sent = 0;
        while (sent < 200 << 20 && client_send_bytes(&client, junk, 4 << 20))
            sent += 4 << 20;
        assert_true(sent < 100 << 20);
        client_close(&client);
    }
    free(junk);
    http_rig_free(rig);
}

UNIT_TEST(test_refusals_without_much_body_keep_the_connection)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    static const struct {
        const char *request;
        int status;
        const char *allow;
    } cases[] = {
        {"GET /none" HTTP_11 "\r\n", 404, NULL},
        {"POST /none" HTTP_11 "Content-Length: 3\r\n\r\nabc", 404, NULL},
        {"POST /text" HTTP_11 "Content-Length: 3\r\n\r\nabc", 405, "GET, HEAD, PUT"},
        {"GET /echo" HTTP_11 "\r\n", 405, "POST, PUT"},
        {"PATCH /echo" HTTP_11 "\r\n", 405, "POST, PUT"},
        {"OPTIONS /text" HTTP_11 "\r\n", 405, "GET, HEAD, PUT"},
        {"PUT /also/one" HTTP_11 "Content-Length: 0\r\n\r\n", 405, "GET, HEAD, OPTIONS"},
        {"GET /also/two" HTTP_11 "\r\n", 404, NULL}, /* only OPTIONS has it */
        {"POST /echo" HTTP_11 "Content-Encoding: snappy\r\nContent-Length: 1\r\n\r\nx", 415, NULL},
        {"POST /snappy" HTTP_11 "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", 415, NULL},
        {"POST /snappy" HTTP_11 "Content-Encoding: Snappy\r\nContent-Length: 1\r\n\r\nx", 200,
         NULL},
        {"POST /snappy" HTTP_11 "Content-Length: 1\r\n\r\nx", 200, NULL},
        {"GET /text" HTTP_11 "\r\n", 200, NULL},
    };
    struct client client = client_connect(rig);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        client_send(&client, cases[i].request);
        struct response response = client_response(&client, false);
        assert_int_equal(response.status, cases[i].status);
        const char *allow = response_header(&response, "Allow");
        assert_int_equal(allow == NULL, cases[i].allow == NULL);
        if (allow != NULL) assert_string_equal(allow, cases[i].allow);
        response_free(&response);
    }
    assert_int_equal(http_rig_stats(rig).connections_total, 1);
    client_close(&client);
    http_rig_free(rig);
}

UNIT_TEST(test_ambiguous_or_malformed_requests_end_the_connection)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"POST /echo" HTTP_11 "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST /echo" HTTP_11 "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400},
        {"POST /echo" HTTP_11 "Content-Length: 3x\r\n\r\n", 400},
        {"POST /echo" HTTP_11 "Content-Length: -3\r\n\r\n", 400},
        {"POST /echo" HTTP_11 "Content-Length: 99999999999999999999\r\n\r\n", 413},
        {"POST /echo" HTTP_11 "Content-Length : 3\r\n\r\nabc", 400},
        {"POST /echo" HTTP_11 "Transfer-Encoding: chunked\r\n"
         "Transfer-Encoding: identity\r\n\r\n",
         400},
        {"POST /echo" HTTP_11 "Transfer-Encoding: gzip\r\n\r\n", 501},
        {"POST /echo" HTTP_11 "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
        {"POST /echo" HTTP_11 "Expect: a-miracle\r\nContent-Length: 3\r\n\r\n", 417},
        {"GET /te%00xt" HTTP_11 "\r\n", 400},
        {"GET /views%zz" HTTP_11 "\r\n", 400},
        {"GET /text?a=%00" HTTP_11 "\r\n", 400},
        {"GET /text" HTTP_11 "no colon\r\n\r\n", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client client = client_connect(rig);
        client_send(&client, cases[i].request);
        client_expect(&client, cases[i].status, NULL);
        client_expect_end(&client);
        client_close(&client);
    }
    http_rig_expect_works(rig);
    http_rig_free(rig);
}

UNIT_TEST(test_arguments_with_a_wrong_escape_are_dropped_and_reported)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    static const struct {
        const char *query, *seen; /* values of match[] */
        const char *wrong;
    } cases[] = {
        {"match[]=%31%zz&match[]=b", "|b|-|-|", "|invalid URL escape \"%zz\""},
        {"match[]=a%&match[]=%2", "|-|-|-|", "|invalid URL escape \"%\""},
        {"a=%41&match[]=%4&match[]=%zz", "|-|-|-|", "|invalid URL escape \"%4\""},
        {"match[%zz]=a&match[]=b", "|b|-|-|", "|invalid URL escape \"%zz\""},
        {"match[]=%zz;&match[]=b", "|b|-|-|", "|invalid semicolon separator in query"},
        {"match[]=%g1&a;b", "|-|-|-|", "|invalid URL escape \"%g1\""},
        {"match%5B%5D=a&match[]=%25zz%3B+", "|a|%zz; |-|", "|-"},
        {"match[]=&match[]", "|||-|", "|-"},
        {"", "|-|-|-|", "|-"},
    };
    struct client client = client_connect(rig);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        snprintf(text, sizeof text, "GET /views/x?%s" HTTP_11 "\r\n", cases[i].query);
        client_send(&client, text);
        struct response response = client_response(&client, false);
        assert_int_equal(response.status, 200);
        char *body = strndup(response.body, response.body_size);
        assert_non_null(strstr(body, cases[i].seen));
        assert_string_equal(body + strlen(body) - strlen(cases[i].wrong), cases[i].wrong);
        free(body);
        response_free(&response);
    }
    client_close(&client);
    http_rig_free(rig);
}

static char *
header_of_size(size_t size)
{
    char *text = malloc(size + 1);
    memset(text, 'x', size);
    text[size] = '\0';
    const char *start = "GET /text" HTTP_11 "Long: ";
    memcpy(text, start, strlen(start));
    memcpy(text + size - 4, "\r\n\r\n", 4);
    return text;
}

UNIT_TEST(test_header_limit_is_exact)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    for (size_t size = 8191; size <= 8193; size++) {
        struct client client = client_connect(rig);
        char *header = header_of_size(size);
        client_send(&client, header);
        free(header);
        client_expect(&client, size <= 8192 ? 200 : 431, NULL);
        if (size > 8192) client_expect_end(&client);
        client_close(&client);
    }
    http_rig_free(rig);
}

UNIT_TEST(test_header_beyond_all_bounds_is_refused)
{
    struct http_options options = http_rig_options();
    options.header_bytes_max = HTTP_HEADER_BYTES_CEILING;
    struct http_rig *rig = http_rig_new(options);
    char *header = header_of_size(HTTP_HEADER_BYTES_CEILING);
    struct client client = client_connect(rig);
    client_send(&client, header);
    free(header);
    client_expect(&client, 200, "hello");
    client_close(&client);

    char *endless = malloc(1 << 20);
    memset(endless, 'x', 1 << 20);
    client = client_connect(rig);
    client_send(&client, "GET /text" HTTP_11 "Long: ");
    client_send_bytes(&client, endless, 1 << 20);
    client_expect(&client, 431, NULL);
    client_close(&client);

    client = client_connect(rig);
    client_send(&client, "GET /text");
    client_send_bytes(&client, endless, 1 << 20);
    client_expect(&client, 414, NULL);
    client_close(&client);
    free(endless);

    char *many = malloc(1 << 20);
    size_t used = (size_t)sprintf(many, "GET /text" HTTP_11);
    for (int i = 0; i < 3000; i++)
        used += (size_t)sprintf(many + used, "a:b\r\n");
    used += (size_t)sprintf(many + used, "\r\n");
    client = client_connect(rig);
    client_send_bytes(&client, many, used);
    client_expect(&client, 431, NULL);
    client_close(&client);
    free(many);
    http_rig_free(rig);
}

/* Returns a request for `path` whose query string has `count` arguments and `size` bytes in all. */
static char *
request_of_arguments(const char *path, unsigned count, size_t size)
{
    char *text = malloc(size + 10 * count + 200);
    size_t used = (size_t)sprintf(text, "GET %s?match[]=first", path);
    for (unsigned i = 0; i < count; i++)
        used += (size_t)sprintf(text + used, "&a=%u", i);
    used += (size_t)sprintf(text + used, "&match%%5b]=second+one&long=");
    for (; used < size; used++)
        text[used] = 'x';
    strcpy(text + used, "" HTTP_11 "\r\n");
    return text;
}

UNIT_TEST(test_ten_thousand_arguments_and_a_quarter_megabyte_are_taken)
{
    struct http_options options = http_rig_options();
    options.header_bytes_max = HTTP_HEADER_BYTES_CEILING;
    struct http_rig *rig = http_rig_new(options);
    struct client client = client_connect(rig);
    for (unsigned count = 96; count <= 96000; count *= 10) {
        char *text = request_of_arguments("/views/x", count, 256 * 1024);
        client_send(&client, text);
        free(text);
        client_expect(&client, 200, "1|/views/x|-|first|second one|-|-|none|127.0.0.1|-");
    }
    assert_int_equal(http_rig_stats(rig).connections_total, 1);
    client_close(&client);
    http_rig_free(rig);
}

UNIT_TEST(test_a_head_is_charged_to_the_budget_and_given_back)
{
    struct http_options options = http_rig_options();
    options.header_bytes_max = HTTP_HEADER_BYTES_CEILING;
    struct http_rig *rig = http_rig_new(options);
    struct client client = client_connect(rig), waiting = client_connect(rig);
    client_send(&client, "GET /text" HTTP_11 "\r\n");
    client_expect(&client, 200, "hello");
    http_rig_wait_idle(rig);
    uint64_t idle = budget_used(&rig->budget);
    char *text = request_of_arguments("/later", 10000, 300 * 1024);
    client_send(&waiting, text);
    struct http_request *request = http_rig_take_held(rig);
    assert_true(budget_used(&rig->budget) > idle + 300 * 1024);
    http_reply_text(request, 200, "late");
    client_expect(&waiting, 200, "late");
    http_rig_wait_idle(rig);
    for (int ms = 0; budget_used(&rig->budget) > idle + 1024; ms++) {
        assert_true(ms < WAIT_S * 1000);
        poll(NULL, 0, 1);
    }
    atomic_store(&rig->budget.limit_bytes, idle + 100 * 1024);
    client_send(&client, text);
    client_expect(&client, 503, NULL);
    client_close(&client);
    client_close(&waiting);
    http_rig_expect_works(rig);
    free(text);
    http_rig_free(rig);
}

UNIT_TEST(test_routes_with_errors_in_json_report_every_wrong_head_in_it)
{
    struct http_options options = http_rig_options();
    options.header_bytes_max = 4096;
    char *long_query = request_of_arguments("/json", 0, 5000);
    char *long_header = malloc(6000);
    snprintf(long_header, 6000, "GET /json?a=b" HTTP_11 "X: %04999d\r\n\r\n", 0);
    const struct {
        const char *request;
        int status;
        const char *why;
    } cases[] = {
        {"GET /json?a=%00" HTTP_11 "\r\n", 400, "malformed request target"},
        {"GET /json?a=b" HTTP_11 "no colon\r\n\r\n", 400, "malformed header"},
        {"GET /json" HTTP_11 "Content-Length: abc\r\n\r\n", 400,
         "contradictory or malformed headers"},
        {long_query, 414, "request target too long"},
        {long_header, 431, "request header too large"},
    };
    struct http_rig *rig = http_rig_new(options);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[200];
        struct client client = client_connect(rig);
        snprintf(body, sizeof body,
                 "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"%s\"}",
                 cases[i].why);
        client_send(&client, cases[i].request);
        client_expect(&client, cases[i].status, body);
        client_expect_end(&client);
        client_close(&client);
    }
    free(long_query);
    free(long_header);
    http_rig_free(rig);
}

/* The client does not follow: it sees the status, and the new location. */
UNIT_TEST(test_paths_that_are_not_clean_are_redirected)
{
    static const struct {
        const char *request;
        int status;
        const char *location;
    } cases[] = {
        {"GET //text" HTTP_11 "\r\n", 301, "/text"},
        {"HEAD //text?a=%2f//&b=/./" HTTP_11 "\r\n", 301, "/text?a=%2f//&b=/./"},
        {"GET http://h//text" HTTP_11 "\r\n", 301, "/text"},
        {"GET /views/%2e%2E/./text/" HTTP_11 "\r\n", 301, "/text/"},
        {"POST //echo" HTTP_11 "Content-Length: 3\r\n\r\nabc", 308, "/echo"},
        {"PUT /a/../echo" HTTP_11 "Content-Length: 3\r\n\r\nabc", 308, "/echo"},
        {"GET //evil.example/.." HTTP_11 "\r\n", 301, "/"},
        {"GET //evil.example//" HTTP_11 "\r\n", 301, "/evil.example/"},
        {"GET /.//\\evil.example/" HTTP_11 "\r\n", 301, "/%5Cevil.example/"},
        {"GET /none//x" HTTP_11 "\r\n", 301, "/none/x"},
        {"GET /sent/a%2Fb" HTTP_11 "\r\n", 200, NULL},
        {"GET /sent/a%2F%2Fb" HTTP_11 "\r\n", 200, NULL},
        {"GET /sent/..a/b./..." HTTP_11 "\r\n", 200, NULL},
    };
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect(rig);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        client_send(&client, cases[i].request);
        struct response response =
            client_response(&client, strncmp(cases[i].request, "HEAD", 4) == 0);
        assert_int_equal(response.status, cases[i].status);
        const char *location = response_header(&response, "Location");
        assert_int_equal(location == NULL, cases[i].location == NULL);
        if (location != NULL) assert_string_equal(location, cases[i].location);
        response_free(&response);
    }
    assert_int_equal(http_rig_stats(rig).connections_total, 1);
    client_close(&client);
    http_rig_free(rig);
}

/* The bytes of a second answer would be read as the answer to the next request. */
UNIT_TEST(test_a_wrong_length_gets_one_answer)
{
    static const char *const lengths[] = {"abc", "-1", "+14", "", " 1 2", "0x1", "1,1"};
    struct http_rig *rig = http_rig_new(http_rig_options());
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char text[200];
        struct client client = client_connect(rig);
        snprintf(text, sizeof text,
                 "POST /echo" HTTP_11 "Content-Length: %s\r\n\r\n"
                 "GET /text" HTTP_11 "\r\n",
                 lengths[i]);
        client_send(&client, text);
        client_expect(&client, 400, "contradictory or malformed headers\n");
        client_expect_end(&client);
        assert_int_equal(client.size, 0);
        client_close(&client);
    }
    http_rig_free(rig);
}

UNIT_TEST(test_head_is_served_like_get_without_a_body)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    static const char *const paths[] = {"/text", "/blob?size=4000",
                                        "/stream?size=100000&piece=5000&known", "/none",
                                        "/stream?size=100000&piece=5000"};
    struct client client = client_connect(rig);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char text[200], length[2][512];
        int status[2];
        for (int head = 0; head <= 1; head++) {
            snprintf(text, sizeof text, "%s %s" HTTP_11 "\r\n", head ? "HEAD" : "GET", paths[i]);
            client_send(&client, text);
            struct response response = client_response(&client, head == 1);
            const char *value = response_header(&response, "Content-Length");
            snprintf(length[head], sizeof length[head], "%s", value == NULL ? "-" : value);
            status[head] = response.status;
            response_free(&response);
            if (strstr(paths[i], "stream") != NULL) assert_int_equal(http_rig_wait_stream(rig), OK);
        }
        assert_int_equal(status[0], status[1]);
        assert_string_equal(length[0], length[1]);
    }
    /* After HEAD of unknown length the connection ends: nothing may follow the header. */
    client_expect_end(&client);
    assert_int_equal(client.size, 0);
    client_close(&client);
    http_rig_free(rig);
}

UNIT_TEST(test_head_of_a_stream_has_the_headers_of_get)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    static const char *const names[] = {"Content-Type", "Content-Encoding", "Vary"};
    for (int zipped = 0; zipped <= 1; zipped++) {
        char values[2][3][600];
        for (int head = 0; head <= 1; head++) {
            char text[200];
            struct client client = client_connect(rig);
            snprintf(text, sizeof text, "%s /stream?size=9000&piece=97" HTTP_11 "%s\r\n",
                     head ? "HEAD" : "GET", zipped ? "Accept-Encoding: gzip\r\n" : "");
            client_send(&client, text);
            struct response response = client_response(&client, head == 1);
            for (int i = 0; i < 3; i++) {
                const char *value = response_header(&response, names[i]);
                snprintf(values[head][i], sizeof values[head][i], "%s", value ? value : "-");
            }
            response_free(&response);
            assert_int_equal(http_rig_wait_stream(rig), OK);
            client_close(&client);
        }
        assert_string_equal(values[0][1], zipped ? "gzip" : "-");
        for (int i = 0; i < 3; i++)
            assert_string_equal(values[0][i], values[1][i]);
    }
    http_rig_free(rig);
}

static void
check_unzipped(const struct response *response, size_t size)
{
    char *plain = malloc(size + 1);
    z_stream z = {0};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    z.next_in = (Bytef *)response->body;
    z.avail_in = (unsigned)response->body_size;
    z.next_out = (Bytef *)plain;
    z.avail_out = (unsigned)size + 1;
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, size);
    inflateEnd(&z);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(plain[i], '0' + i % 10);
    free(plain);
}

/* Each piece of a stream ends a block, but the frame is one. */
static void
check_unpacked(const struct response *response, size_t size)
{
    char *plain = malloc(size + 1);
    assert_int_equal(ZSTD_decompress(plain, size + 1, response->body, response->body_size), size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(plain[i], '0' + i % 10);
    free(plain);
}

UNIT_TEST(test_text_is_compressed_for_those_who_take_it)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    static const struct {
        const char *query;
        const char *accept;
        bool compressed;
    } cases[] = {
        {"size=100000", "gzip", true},
        {"size=1024", "deflate, GZIP;q=0.3", true},
        {"size=1023", "gzip", false},
        {"size=5000", "gzip;q=0", false},
        {"size=5000", "gzip;q=0.000, *;q=0", false},
        {"size=5000", "br, *", true},
        {"size=5000", "identity", false},
        {"size=5000&type=application/json", "gzip", true},
        {"size=5000&type=image/png", "gzip", false},
        {"size=500&gzip=1", "gzip", true},
        {"size=5000&gzip=1&type=image/png", "gzip", true},
        {"size=5000&gzip=1", "identity", false},
    };
    struct client client = client_connect(rig);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        size_t size = strtoul(cases[i].query + 5, NULL, 10);
        snprintf(text, sizeof text, "GET /blob?%s" HTTP_11 "Accept-Encoding: %s\r\n\r\n",
                 cases[i].query, cases[i].accept);
        client_send(&client, text);
        struct response response = client_response(&client, false);
        assert_int_equal(response.status, 200);
        assert_string_equal(response_header(&response, "X-Two"), "2");
        const char *encoding = response_header(&response, "Content-Encoding");
        assert_int_equal(encoding != NULL, cases[i].compressed);
        if (cases[i].compressed) {
            assert_string_equal(encoding, "gzip");
            check_unzipped(&response, size);
        } else {
            assert_int_equal(response.body_size, size);
        }
        response_free(&response);
    }
    client_close(&client);
    http_rig_free(rig);
}

UNIT_TEST(test_options_are_a_method_of_paths_that_need_not_exist)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    static const struct {
        const char *request;
        const char *method;
    } cases[] = {
        {"GET /also/one" HTTP_11 "Origin: http://a\r\n\r\n", "1"},
        {"OPTIONS /also/one" HTTP_11 "Origin: http://a\r\n\r\n", "16"},
        {"OPTIONS /also/two" HTTP_11 "Origin: http://a\r\n\r\n", "16"},
    };
    struct client client = client_connect(rig);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        client_send(&client, cases[i].request);
        struct response response = client_response(&client, false);
        assert_int_equal(response.status, 200);
        assert_string_equal(response.body, cases[i].method);
        assert_string_equal(response_header(&response, "X-Also"), "1");
        assert_string_equal(response_header(&response, "X-Origin"), "http://a");
        response_free(&response);
    }
    client_close(&client);
    http_rig_free(rig);
}

/* --- streams ---------------------------------------------------------------------------------- */

static void
check_digits(const struct response *response, size_t size)
{
    assert_int_equal(response->body_size, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(response->body[i], '0' + i % 10);
}

UNIT_TEST(test_stream_arrives_whole_and_keeps_the_connection)
{
    struct http_options options = http_rig_options();
    options.stream_buffer_bytes = 7001; /* wraps at odd positions */
    struct http_rig *rig = http_rig_new(options);
    struct client client = client_connect(rig);
    static const unsigned sizes[] = {0, 1, 5000, 7001, 1000000};
    for (int known = 0; known <= 1; known++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char text[200];
            snprintf(text, sizeof text, "GET /stream?size=%u&piece=%d%s" HTTP_11 "\r\n", sizes[i],
                     sizes[i] < 10000 ? 97 : 4999, known ? "&known" : "");
            client_send(&client, text);
            struct response response = client_response(&client, false);
            assert_int_equal(response.status, 200);
            assert_string_equal(response_header(&response, "Content-Type"), "text/x-stream");
            assert_int_equal(response_header(&response, "Content-Length") != NULL, known);
            assert_true(response.whole);
            check_digits(&response, sizes[i]);
            response_free(&response);
            assert_int_equal(http_rig_wait_stream(rig), OK);
        }
    }
    assert_int_equal(http_rig_stats(rig).connections_total, 1);
    client_close(&client);
    http_rig_free(rig);
}

UNIT_TEST(test_stream_is_compressed_for_those_who_take_it)
{
    struct http_options options = http_rig_options();
    options.stream_buffer_bytes = 701; /* smaller than an encoded piece */
    struct http_rig *rig = http_rig_new(options);
    struct client client = client_connect(rig);
    static const unsigned sizes[] = {0, 1, 5000, 1000000};
    static const struct {
        const char *accept;
        bool zstd;
    } clients[] = {
        {"gzip", false},           {"*", false},   {"gzip, deflate, br, zstd", true},
        {"gzip, zstd;q=0", false}, {"zstd", true},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes * (sizeof clients / sizeof *clients); i++) {
        unsigned size = sizes[i % (sizeof sizes / sizeof *sizes)];
        const bool zstd = clients[i / (sizeof sizes / sizeof *sizes)].zstd;
        char text[200];
        snprintf(text, sizeof text,
                 "GET /stream?size=%u&piece=%d" HTTP_11 "Accept-Encoding: %s\r\n\r\n", size,
                 size < 10000 ? 97 : 4999, clients[i / (sizeof sizes / sizeof *sizes)].accept);
        client_send(&client, text);
        struct response response = client_response(&client, false);
        assert_int_equal(response.status, 200);
        assert_string_equal(response_header(&response, "Content-Encoding"), zstd ? "zstd" : "gzip");
        assert_string_equal(response_header(&response, "Vary"), "Accept-Encoding");
        assert_true(response.whole);
        if (zstd)
            check_unpacked(&response, size);
        else
            check_unzipped(&response, size);
        response_free(&response);
        assert_int_equal(http_rig_wait_stream(rig), OK);
    }
    client_send(&client,
                "GET /stream?size=5000&piece=97&known" HTTP_11 "Accept-Encoding: gzip\r\n\r\n");
    struct response response = client_response(&client, false);
    check_digits(&response, 5000); /* its length was announced */
    response_free(&response);
    assert_int_equal(http_rig_wait_stream(rig), OK);
    assert_int_equal(http_rig_stats(rig).connections_total, 1);
    client_close(&client);
    http_rig_free(rig);
}

/* A client that waits for a line of a stream gets it before the next line is made. */
UNIT_TEST(test_each_write_is_sent_at_once_even_if_compressed)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect(rig);
    client_send(&client, "GET /later" HTTP_11 "Accept-Encoding: gzip\r\n\r\n");
    struct http_request *request = http_rig_take_held(rig);
    struct http_answer answer = {.status = 200, .content_type = "application/x-ndjson"};
    assert_int_equal(http_stream_begin(request, &answer, UINT64_MAX, NULL), OK);
    assert_int_equal(http_stream_write(request, bytes_of("0123456789", 10), NULL), OK);
    char plain[100];
    z_stream z = {.next_out = (Bytef *)plain, .avail_out = sizeof plain};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    size_t head = 0;
    while (z.total_out < 10) {
        assert_true(client_read_more(&client));
        const char *body = memmem(client.bytes, client.size, "\r\n\r\n", 4);
        const char *chunk =
            body == NULL
                ? NULL
                : memmem(body + 4, client.size - (size_t)(body + 4 - client.bytes), "\r\n", 2);
        if (chunk == NULL) continue;
        head = (size_t)(chunk + 2 - client.bytes);
        z.next_in = (Bytef *)client.bytes + head + z.total_in;
        z.avail_in = (unsigned)(client.size - head - z.total_in);
        assert_int_equal(inflate(&z, Z_SYNC_FLUSH), Z_OK);
    }
    assert_memory_equal(plain, "0123456789", 10);
    inflateEnd(&z);
    http_stream_end(request, true);
    client_close(&client);
    http_rig_free(rig);
}

UNIT_TEST(test_stream_to_an_old_client_ends_with_the_connection)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect(rig);
    client_send(&client, "GET /stream?size=300000&piece=5000 HTTP/1.0\r\n\r\n");
    struct response response = client_response(&client, false);
    assert_true(response.whole);
    check_digits(&response, 300000);
    response_free(&response);
    assert_int_equal(http_rig_wait_stream(rig), OK);
    client_close(&client);
    http_rig_free(rig);
}

UNIT_TEST(test_stream_that_is_not_complete_cannot_be_taken_for_whole)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    static const char *const requests[] = {
        "GET /stream?size=300000&piece=5000&cut" HTTP_11 "\r\n",
        "GET /stream?size=300000&piece=5000&cut&known" HTTP_11 "\r\n",
        "GET /stream?size=300000&piece=5000&cut HTTP/1.0\r\n\r\n",
        "GET /stream?size=300000&piece=5000&cut" HTTP_11 "Accept-Encoding: gzip\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct client client = client_connect(rig);
        client_send(&client, requests[i]);
        struct response response = client_response(&client, false);
        assert_false(response.whole);
        response_free(&response);
        assert_int_equal(http_rig_wait_stream(rig), OK);
        client_close(&client);
    }
    http_rig_free(rig);
}

UNIT_TEST(test_producer_hears_that_its_client_is_gone)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect(rig);
    client_send(&client, "GET /stream?size=4000000000&piece=5000" HTTP_11 "\r\n");
    assert_true(client_have(&client, 100000));
    client_close(&client);
    assert_int_equal(http_rig_wait_stream(rig), ERR_CANCELED);
    http_rig_free(rig);
}

UNIT_TEST(test_client_gone_while_its_request_waits_shows)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    for (int half = 0; half <= 1; half++) {
        struct client client = client_connect(rig);
        client_send(&client, "GET /later" HTTP_11 "\r\n");
        struct http_request *request = http_rig_take_held(rig);
        assert_false(http_gone(request));
        if (half)
            shutdown(client.fd, SHUT_WR);
        else
            client_close(&client);
        for (int ms = 0; !http_gone(request); ms++) {
            assert_true(ms < WAIT_S * 1000);
            poll(NULL, 0, 1);
        }
        http_reply_text(request, 200, "late");
        if (half) client_expect(&client, 200, "late"); /* closed properly */
        client_close(&client);
    }
    http_rig_expect_works(rig);
    http_rig_free(rig);
}

/* The end arrives together with the last request, or a little later. */
UNIT_TEST(test_client_that_ends_its_side_with_the_request_is_let_go)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    for (int i = 0; i < 20; i++) {
        struct client client = client_connect(rig);
        client_send(&client, i % 2 == 0 ? "GET /text" HTTP_11 "\r\n"
                                        : "POST /elsewhere" HTTP_11 "Content-Length: 5\r\n\r\n"
                                          "hello");
        shutdown(client.fd, SHUT_WR);
        client_expect(&client, 200, "hello");
        client_expect_end(&client);
        client_close(&client);
    }
    assert_int_equal(http_rig_stats(rig).timeouts_idle, 0);
    http_rig_free(rig);
}

int
main(void)
{
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connection_is_kept_for_the_next_request),
        cmocka_unit_test(test_handler_sees_path_arguments_headers_and_peer_decoded),
        cmocka_unit_test(test_handler_sees_which_slashes_of_the_path_were_escaped),
        cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_other_threads_may_answer_before_the_handler_returns_or_after),
        cmocka_unit_test(test_chunked_body_is_put_together),
        cmocka_unit_test(test_expect_continue_is_answered_before_the_body),
        cmocka_unit_test(test_refused_body_is_not_continued_and_the_connection_ends),
        cmocka_unit_test(test_client_that_keeps_sending_a_refused_body_gets_the_answer),
        cmocka_unit_test(test_refusals_without_much_body_keep_the_connection),
        cmocka_unit_test(test_ambiguous_or_malformed_requests_end_the_connection),
        cmocka_unit_test(test_arguments_with_a_wrong_escape_are_dropped_and_reported),
        cmocka_unit_test(test_routes_with_errors_in_json_report_every_wrong_head_in_it),
        cmocka_unit_test(test_ten_thousand_arguments_and_a_quarter_megabyte_are_taken),
        cmocka_unit_test(test_a_head_is_charged_to_the_budget_and_given_back),
        cmocka_unit_test(test_paths_that_are_not_clean_are_redirected),
        cmocka_unit_test(test_a_wrong_length_gets_one_answer),
        cmocka_unit_test(test_header_limit_is_exact),
        cmocka_unit_test(test_header_beyond_all_bounds_is_refused),
        cmocka_unit_test(test_head_is_served_like_get_without_a_body),
        cmocka_unit_test(test_head_of_a_stream_has_the_headers_of_get),
        cmocka_unit_test(test_text_is_compressed_for_those_who_take_it),
        cmocka_unit_test(test_options_are_a_method_of_paths_that_need_not_exist),
        cmocka_unit_test(test_stream_arrives_whole_and_keeps_the_connection),
        cmocka_unit_test(test_stream_is_compressed_for_those_who_take_it),
        cmocka_unit_test(test_each_write_is_sent_at_once_even_if_compressed),
        cmocka_unit_test(test_stream_to_an_old_client_ends_with_the_connection),
        cmocka_unit_test(test_stream_that_is_not_complete_cannot_be_taken_for_whole),
        cmocka_unit_test(test_producer_hears_that_its_client_is_gone),
        cmocka_unit_test(test_client_that_ends_its_side_with_the_request_is_let_go),
        cmocka_unit_test(test_client_gone_while_its_request_waits_shows),
    };
    int failed = cmocka_run_group_tests_name("clear", tests, NULL, NULL);
    http_rig_use_tls(TLS_1_3);
    failed += cmocka_run_group_tests_name("TLS 1.3", tests, NULL, NULL);
    http_rig_use_tls(TLS_1_2);
    failed += cmocka_run_group_tests_name("TLS 1.2", tests, NULL, NULL);
    http_rig_use_tls(NULL);
    return failed;
}
