/*
 * http_conn_test.c - ends of connections: every client gets its whole answer, and only one for each
 * request. http_server_test.c tests requests and answers.
 */
#include "lib/net/http_rig.h"
#include "lib/test.h"

UNIT_TEST(test_every_answer_before_the_end_says_that_the_connection_ends)
{
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"POST /none" HTTP_11 "Transfer-Encoding: chunked\r\n\r\n", 404},
        {"POST /none" HTTP_11 "Content-Length: 100000\r\n\r\n", 404},
        {"POST /none" HTTP_11 "Content-Length: 9\r\nExpect: 100-continue\r\n\r\n", 404},
        {"POST /text" HTTP_11 "Transfer-Encoding: chunked\r\n\r\n", 405},
        {"POST //echo" HTTP_11 "Transfer-Encoding: chunked\r\n\r\n", 308},
        {"POST /echo" HTTP_11 "Content-Encoding: x\r\nContent-Length: 100000\r\n\r\n", 415},
        {"POST /echo" HTTP_11 "Content-Length: 100001\r\n\r\n", 413},
        {"GET /text HTTP/1.1\r\n\r\n", 400},
        {"GET /text HTTP/1.0\r\n\r\n", 200},
        {"GET /text HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", 200},
        {"GET /text" HTTP_11 "Connection: close\r\n\r\n", 200},
    };
    struct http_rig *rig = http_rig_new(http_rig_options());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client client = client_connect(rig);
        client_send(&client, cases[i].request);
        struct response response = client_response(&client, false);
        const char *connection = response_header(&response, "Connection");
        if (response.status != cases[i].status || connection == NULL)
            fail_msg("%s: %d, %s", cases[i].request, response.status, connection);
        assert_string_equal(connection, "close");
        response_free(&response);
        client_expect_end(&client);
        client_close(&client);
    }
    http_rig_free(rig);
}

UNIT_TEST(test_no_answer_to_head_has_a_body)
{
    static char header[9000];
    memset(header, 'x', sizeof header - 1);
    const struct {
        const char *begin, *end;
        int status;
    } cases[] = {
        {"HEAD /none" HTTP_11, "\r\n", 404},
        {"HEAD /text HTTP/1.1\r\n", "\r\n", 400},
        {"HEAD /text" HTTP_11 "no colon\r\n", "\r\n", 400},
        {"HEAD /text" HTTP_11 "Content-Length: x\r\n", "\r\n", 400},
        {"HEAD /text HTTP/2.0\r\n", "\r\n", 505},
        {"HEAD /text" HTTP_11 "X: ", header, 431},
        {"HEAD /", header, 414},
    };
    struct http_rig *rig = http_rig_new(http_rig_options());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client client = client_connect(rig);
        client_send(&client, cases[i].begin);
        client_send(&client, cases[i].end);
        shutdown(client.fd, SHUT_WR);
        struct response response = client_response(&client, true);
        if (response.status != cases[i].status) fail_msg("case %zu: %d", i, response.status);
        assert_int_not_equal(atoi(response_header(&response, "Content-Length")), 0);
        response_free(&response);
        client_expect_end(&client);
        if (client.size != 0) fail_msg("case %zu: %zu bytes of a body", i, client.size);
        client_close(&client);
    }
    http_rig_free(rig);
}

/* Closing a socket with unread bytes resets it, and loses unsent data. */
UNIT_TEST(test_bytes_after_the_last_request_do_not_cost_its_answer)
{
    enum { SIZE = 900 * 1000 };
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect_buffered(rig, 4096);
    client_send(&client, "GET /later" HTTP_11 "Connection: close\r\n\r\n");
    struct http_request *request = http_rig_take_held(rig);
    client_send(&client, "\r\n");
    uint8_t *body = calloc(1, SIZE);
    http_reply(request, &(struct http_answer){.status = 200, .body = bytes_of(body, SIZE)});
    free(body);
    struct response response = client_response(&client, false);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.body_size, SIZE);
    response_free(&response);
    client_expect_end(&client);
    assert_false(client.reset);
    client_close(&client);
    http_rig_free(rig);
}

/*
 * A client may read only after it sent everything. It sends for longer than a second here, which is
 * the limit for clients that send nothing, and is cut off after the time that a header may take.
 */
UNIT_TEST(test_refused_client_that_goes_on_sending_has_time_to)
{
    struct http_options options = http_rig_options();
    options.header_timeout_ns = 10 * NS_PER_S;
    options.send_timeout_ns = 80 * NS_PER_MS; /* the watch thread checks often */
    http_rig_clock_ns = 1000 * NS_PER_S;
    struct http_rig *rig = http_rig_new(options);
    char *junk = calloc(1, 4096);
    /* The watch thread has this connection to check. */
    struct client idle = client_connect(rig);
    client_send(&idle, "GET /text" HTTP_11 "\r\n");
    client_expect(&idle, 200, "hello");
    for (unsigned late = 0; late <= 1; late++) {
        struct client client = client_connect(rig);
        client_send(&client, "POST /echo" HTTP_11 "Content-Length: 99999999\r\n\r\n");
        struct pollfd look = {.fd = client.fd, .events = POLLIN};
        assert_int_equal(poll(&look, 1, WAIT_S * 1000), 1);
        bool sent = true;
        for (unsigned i = 0; sent && i < (late ? 30 : 8); i++) {
            sent = client_send_bytes(&client, junk, 4096);
            http_rig_advance(rig, 500 * NS_PER_MS);
        }
        assert_int_equal(sent, !late);
        if (!late) client_expect(&client, 413, NULL);
        client_close(&client);
    }
    free(junk);
    client_close(&idle);
    http_rig_free(rig);
}

/* --- answers with long headers ---------------------------------------------------------------- */

UNIT_TEST(test_redirects_and_origins_may_be_as_long_as_requests)
{
    enum { LONG = 300 * 1000 };
    static const struct {
        const char *before, *after, *status;
    } cases[] = {
        {"GET //text?", HTTP_11 "\r\n", "HTTP/1.1 301 "},
        {"GET //text?", "%22%22" HTTP_11 "\r\n", "HTTP/1.1 301 "},
        {"GET /also/one" HTTP_11 "Origin: ", "\r\n\r\n", "HTTP/1.1 200 "},
    };
    struct http_options options = http_rig_options();
    options.header_bytes_max = HTTP_HEADER_BYTES_CEILING;
    struct http_rig *rig = http_rig_new(options);
    char *middle = malloc(LONG + 1);
    memset(middle, 'x', LONG);
    middle[LONG] = '\0';
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client client = client_connect(rig);
        client_send(&client, cases[i].before);
        client_send(&client, middle);
        client_send(&client, cases[i].after);
        assert_true(client_line(&client) > 0);
        assert_memory_equal(client.bytes, cases[i].status, strlen(cases[i].status));
        assert_true(client_have(&client, LONG + 100));
        assert_non_null(memmem(client.bytes, client.size, middle, LONG));
        client_close(&client);
    }
    free(middle);
    http_rig_free(rig);
}

/* --- requests that are cut off ---------------------------------------------------------------- */

static pthread_mutex_t cutting = PTHREAD_MUTEX_INITIALIZER;

static int
shutdown_later(struct env *env, int socket)
{
    (void)env;
    pthread_mutex_lock(&cutting);
    pthread_mutex_unlock(&cutting);
    return env_real()->ops->shutdown(env_real(), socket);
}

/* The watch thread has sent 503, and has not shut down the socket, when the rest arrives. Through
 * TLS the worker sends 503, and then the end. */
UNIT_TEST(test_request_that_was_cut_off_gets_no_second_answer)
{
    static char header[9000];
    memset(header, 'x', sizeof header - 1);
    const struct {
        const char *begin, *end;
    } cases[] = {
        {"GET /text HTTP/1.1\r\nX: ", header},
        {"POST /none" HTTP_11 "Content-Length: 3\r\n\r\nab", "c"},
        {"POST /echo" HTTP_11 "Transfer-Encoding: chunked\r\n\r\n3\r\nabc", "xxxx"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_options options = http_rig_options();
        options.header_timeout_ns = options.body_timeout_ns = 100 * NS_PER_MS;
        struct http_rig *rig = http_rig_new(options);
        rig->ops.shutdown = shutdown_later;
        pthread_mutex_lock(&cutting);
        struct client client = client_connect(rig);
        client_send(&client, cases[i].begin);
        client_expect(&client, 503, NULL);
        client_send(&client, cases[i].end);
        /* The test waits a while for an answer that must not come. */
        struct pollfd look = {.fd = client.fd, .events = POLLIN};
        int more = poll(&look, 1, 200);
        pthread_mutex_unlock(&cutting);
        if (!http_rig_has_tls()) assert_int_equal(more, 0);
        client_expect_end(&client);
        assert_int_equal(client.size, 0);
        client_close(&client);
        http_rig_free(rig);
    }
}

/* Connects without a handshake. */
static struct client
connect_in_clear(struct http_rig *rig)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(http_server_port(rig->server)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                            .bytes = malloc(CLIENT_BYTES)};
    assert_int_equal(connect(client.fd, (struct sockaddr *)&to, sizeof to), 0);
    return client;
}

/* Sends raw bytes and their end, and waits for the end of the connection, however it comes. */
static void
end_after(struct client *client, const void *bytes, size_t size)
{
    char ignored[1000];
    ssize_t got = 1;
    assert_int_equal(send(client->fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
    assert_int_equal(shutdown(client->fd, SHUT_WR), 0);
    while (got > 0) {
        struct pollfd event = {.fd = client->fd, .events = POLLIN};
        assert_int_equal(poll(&event, 1, WAIT_S * 1000), 1);
        got = recv(client->fd, ignored, sizeof ignored, 0);
    }
    client_close(client);
}

UNIT_TEST(test_an_end_within_a_record_ends_the_connection)
{
    static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00", record[] = "\x17\x03\x03\x00\x50"
                                                                           "ab";
    struct http_options options = http_rig_options();
    options.header_timeout_ns = 10 * WAIT_S * NS_PER_S; /* no deadline ends it */
    struct http_rig *rig = http_rig_new(options);
    struct client begun = connect_in_clear(rig), open = client_connect(rig);
    client_send(&open, "GET /text" HTTP_11 "\r\n");
    client_expect(&open, 200, "hello");
    end_after(&begun, hello, sizeof hello - 1);
    end_after(&open, record, sizeof record - 1);
    http_rig_free(rig);
}

UNIT_TEST(test_clear_text_where_tls_is_expected_gets_400)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = connect_in_clear(rig);
    client_send(&client, "POST /echo" HTTP_11 "Content-Length: 3\r\n\r\nabc");
    if (http_rig_has_tls())
        client_expect(&client, 400, "the request is HTTP, and this address speaks HTTPS\n");
    else
        client_expect(&client, 200, "abc");
    client_close(&client);
    http_rig_free(rig);
}

/* At once, not when the time for a header has passed. */
UNIT_TEST(test_tls_where_clear_text_is_expected_gets_400)
{
    static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    if (http_rig_has_tls()) return;
    struct http_options options = http_rig_options();
    options.header_timeout_ns = 10 * WAIT_S * NS_PER_S;
    struct http_rig *rig = http_rig_new(options);
    struct client client = connect_in_clear(rig);
    uint64_t warnings = log_count(LOG_WARN);
    assert_true(client_send_bytes(&client, hello, sizeof hello - 1));
    client_expect(&client, 400, "the client speaks HTTPS, and this address speaks HTTP\n");
    client_expect_end(&client);
    assert_int_equal(log_count(LOG_WARN) - warnings, 1);
    client_close(&client);
    http_rig_free(rig);
}

static int64_t
after_the_certificate_ms(struct env *env)
{
    (void)env;
    return env_realtime_ms(env_real()) + (HTTP_RIG_CERTIFICATE_S + 60) * 1000;
}

UNIT_TEST(test_no_request_is_taken_after_the_certificate_of_the_client_ended)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect(rig);
    for (int is_over = 0; is_over < 2; is_over++) {
        if (is_over) rig->ops.realtime_ms = after_the_certificate_ms;
        client_send(&client, "GET /text" HTTP_11 "\r\n");
        if (is_over && http_rig_has_tls())
            client_expect_end(&client);
        else
            client_expect(&client, 200, "hello");
    }
    client_close(&client);
    http_rig_free(rig);
}

int
main(void)
{
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls_where_clear_text_is_expected_gets_400), /* the first to log */
        cmocka_unit_test(test_an_end_within_a_record_ends_the_connection),
        cmocka_unit_test(test_clear_text_where_tls_is_expected_gets_400),
        cmocka_unit_test(test_every_answer_before_the_end_says_that_the_connection_ends),
        cmocka_unit_test(test_no_answer_to_head_has_a_body),
        cmocka_unit_test(test_bytes_after_the_last_request_do_not_cost_its_answer),
        cmocka_unit_test(test_refused_client_that_goes_on_sending_has_time_to),
        cmocka_unit_test(test_redirects_and_origins_may_be_as_long_as_requests),
        cmocka_unit_test(test_request_that_was_cut_off_gets_no_second_answer),
        cmocka_unit_test(test_no_request_is_taken_after_the_certificate_of_the_client_ended),
    };
    int failed = cmocka_run_group_tests_name("clear", tests, NULL, NULL);
    http_rig_use_tls(TLS_1_2);
    failed += cmocka_run_group_tests_name("TLS 1.2", tests, NULL, NULL);
    http_rig_use_tls(NULL);
    return failed;
}
