/* http_client_test.c - the client, against a server with scripted answers, one per connection. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/net/http_player.h"
#include "lib/net/http_rig.h"
#include "net/http_client.h"

struct retries {
    unsigned count;
    int64_t longest_ns;
};

static void
retrying(void *context, const char *reason, int64_t wait_ns)
{
    struct retries *retries = context;
    assert_true(reason[0] != '\0');
    retries->count++;
    if (wait_ns > retries->longest_ns) retries->longest_ns = wait_ns;
}

/* A clock that only pauses advance, so that the number of attempts is known. */
static int64_t stepped_ns;

static int64_t
stepped_monotonic_ns(struct env *env)
{
    (void)env;
    return stepped_ns;
}

static void
stepped_sleep(struct env *env, int64_t ns)
{
    (void)env;
    stepped_ns += ns;
}

static struct env *
stepped_env(void)
{
    static struct env_ops ops;
    static struct env env = {&ops};
    ops = *env_real()->ops;
    ops.monotonic_ns = stepped_monotonic_ns;
    ops.sleep = stepped_sleep;
    stepped_ns = NS_PER_S;
    return &env;
}

/* Clients that repeat requests have the stepped clock, others need their timeouts. */
static struct http_client *
client_of(int64_t retry_ns, struct retries *retries, const atomic_bool *stop)
{
    struct http_client_options options = {.env = retry_ns > 0 ? stepped_env() : env_real(),
                                          .user_agent = "test",
                                          .connect_timeout_ns = 5 * NS_PER_S,
                                          .idle_timeout_ns = 1 * NS_PER_S,
                                          .request_timeout_ns = 100 * NS_PER_S,
                                          .retry_ns = retry_ns,
                                          .stop = stop,
                                          .retrying = retries == NULL ? NULL : retrying,
                                          .context = retries};
    struct http_client *client;
    struct why why = {""};
    assert_int_equal(http_client_new(&options, &client, &why), OK);
    return client;
}

/* Sends one request that posts "body". */
static enum err
send_one(struct http_client *client, const char *url, struct http_client_answer *answer,
         struct why *why)
{
    static const char *const headers[] = {"X-Mine: 1", NULL};
    static const char *const wanted[] = {"x-wanted", "X-Other", NULL};
    struct http_client_request request = {
        .url = url, .headers = headers, .wanted = wanted, .body = bytes_of_text("body")};
    why->text[0] = '\0';
    return http_client_send(client, &request, answer, why);
}

UNIT_TEST(test_an_answer_comes_with_its_headers_and_text)
{
    static const char *const answers[] = {
        "HTTP/1.1 400 Bad\r\nX-Wanted:  yes \r\nContent-Length: 11\r\n\r\nbad\nstuff\r\n"};
    struct player p;
    struct why why;
    struct http_client_answer answer;
    player_start(&p, 1, answers);
    struct http_client *client = client_of(0, NULL, NULL);
    assert_int_equal(send_one(client, p.url, &answer, &why), OK);
    assert_int_equal(answer.status, 400);
    assert_string_equal(answer.text, "bad stuff");
    assert_string_equal(answer.wanted[0], "yes");
    assert_string_equal(answer.wanted[1], "");
    player_stop(&p);
    assert_non_null(strstr(p.seen, "POST /path HTTP/1.1\r\n"));
    assert_non_null(strstr(p.seen, "X-Mine: 1\r\n"));
    assert_non_null(strstr(p.seen, "User-Agent: test\r\n"));
    assert_non_null(strstr(p.seen, "\r\n\r\nbody"));
    http_client_free(client);
}

UNIT_TEST(test_a_refusal_that_repeats_credentials_is_masked)
{
    static const char *const answers[] = {"HTTP/1.1 401 No\r\nContent-Length: 23\r\n\r\n"
                                          "unknown: Bearer my-hush"};
    static const char *const headers[] = {"Authorization: Bearer my-hush", NULL};
    struct player p;
    struct why why = {""};
    struct http_client_answer answer = {0};
    struct buf refusal;
    player_start(&p, 1, answers);
    struct http_client *client = client_of(0, NULL, NULL);
    buf_init(&refusal, NULL, 100);
    struct http_client_request request = {.url = p.url, .headers = headers, .refusal = &refusal};
    assert_int_equal(http_client_send(client, &request, &answer, &why), OK);
    assert_string_equal(answer.text, "unknown: Bearer *******");
    assert_int_equal(refusal.size, 23);
    assert_memory_equal(refusal.at, "unknown: Bearer *******", 23);
    player_stop(&p);
    assert_non_null(strstr(p.seen, "\r\nAuthorization: Bearer my-hush\r\n"));
    buf_fini(&refusal);
    http_client_free(client);
}

UNIT_TEST(test_the_proxy_of_the_target_is_used_for_all_hosts)
{
    static const char *const answers[] = {"HTTP/1.1 204 Done\r\n\r\n"};
    struct player p;
    struct why why = {""};
    struct http_client_answer answer = {0};
    struct http_client *client;
    player_start(&p, 1, answers);
    const struct http_calls_target target = {.proxy_url = p.url};
    const struct http_client_options options = {.env = env_real(),
                                                .user_agent = "test",
                                                .connect_timeout_ns = 5 * NS_PER_S,
                                                .target = &target};
    assert_int_equal(http_client_new(&options, &client, &why), OK);
    assert_int_equal(send_one(client, "http://127.0.0.1:1/there", &answer, &why), OK);
    player_stop(&p);
    assert_non_null(strstr(p.seen, "POST http://127.0.0.1:1/there HTTP/1.1\r\n"));
    http_client_free(client);
}

UNIT_TEST(test_a_socket_that_is_missing_is_named)
{
    struct why why = {""};
    struct http_client_answer answer = {0};
    struct http_client *client;
    const struct http_calls_target target = {.unix_path = "/nowhere/f.sock"};
    const struct http_client_options options = {.env = env_real(),
                                                .user_agent = "test",
                                                .connect_timeout_ns = 5 * NS_PER_S,
                                                .target = &target};
    assert_int_equal(http_client_new(&options, &client, &why), OK);
    assert_int_equal(send_one(client, "http://localhost/", &answer, &why), ERR_AGAIN);
    assert_int_equal(strncmp(why.text, "unix:/nowhere/f.sock: ", 22), 0);
    http_client_free(client);
}

UNIT_TEST(test_a_refusal_comes_whole_as_far_as_there_is_room)
{
    char answer_text[1200];
    int head = snprintf(answer_text, sizeof answer_text,
                        "HTTP/1.1 422 No\r\nContent-Length: 1000\r\n\r\n");
    memset(answer_text + head, 'x', 999);
    strcpy(answer_text + head + 999, "\n");
    const char *const answers[] = {answer_text, answer_text};
    static const size_t limits[] = {4096, 600};
    struct player p;
    struct why why = {""};
    player_start(&p, 2, answers);
    struct http_client *client = client_of(0, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        struct http_client_answer answer = {0};
        struct buf refusal;
        buf_init(&refusal, NULL, limits[i]);
        struct http_client_request request = {.url = p.url, .refusal = &refusal};
        assert_int_equal(http_client_open(client, &request, &answer, &why), OK);
        http_client_close(client);
        assert_int_equal(answer.status, 422);
        assert_int_equal(buf_error(&refusal), OK);
        assert_int_equal(refusal.size, i == 0 ? 1000 : 600);
        assert_memory_equal(refusal.at, answer_text + head, refusal.size);
        buf_fini(&refusal);
    }
    player_stop(&p);
    http_client_free(client);
}

UNIT_TEST(test_a_temporary_failure_is_repeated)
{
    static const char *const answers[] = {
        "HTTP/1.1 503 Not now\r\nContent-Length: 4\r\n\r\nbusy", NULL,
        "HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 Done\r\n\r\n"};
    struct player p;
    struct why why;
    struct retries retries = {0};
    struct http_client_answer answer = {0};
    player_start(&p, 4, answers);
    struct http_client *client = client_of(60 * NS_PER_S, &retries, NULL);
    enum err e = send_one(client, p.url, &answer, &why);
    if (e) fail_msg("%s", why.text);
    assert_int_equal(answer.status, 204);
    assert_int_equal(retries.count, 3);
    assert_int_equal(retries.longest_ns, NS_PER_S); /* the server requested that */
    player_stop(&p);
    http_client_free(client);
}

UNIT_TEST(test_repeating_ends_with_the_last_reason)
{
#define BUSY "HTTP/1.1 503 Not now\r\nContent-Length: 6\r\n\r\nbusy "
    static const char *const answers[] = {BUSY "0", BUSY "1", BUSY "2"};
#undef BUSY
    struct player p;
    struct why why;
    struct retries retries = {0};
    struct http_client_answer answer = {0};
    player_start(&p, 3, answers);
    struct http_client *client = client_of(NS_PER_S, &retries, NULL);
    assert_int_equal(send_one(client, p.url, &answer, &why), ERR_AGAIN);
    assert_int_equal(answer.status, 503);
    assert_int_equal(retries.count, 2); /* after pauses of 0.2 s and 0.4 s; 0.8 s are too long */
    assert_non_null(strstr(why.text, "503"));
    assert_non_null(strstr(why.text, "busy 2"));
    assert_string_equal(answer.text, "busy 2");
    player_stop(&p);
    http_client_free(client);
}

UNIT_TEST(test_an_answer_that_is_final_is_not_repeated)
{
    static const char *const answers[] = {
        "HTTP/1.1 500 No\r\nX-Final: damaged\r\nContent-Length: 4\r\n\r\ngone"};
    struct player p;
    struct why why = {""};
    struct retries retries = {0};
    static const char *const wanted[] = {"X-Final", NULL};
    struct http_client_answer answer;
    player_start(&p, 1, answers);
    struct http_client *client = client_of(60 * NS_PER_S, &retries, NULL);
    struct http_client_request request = {
        .url = p.url, .wanted = wanted, .final_header = "x-final", .body = bytes_of_text("body")};
    assert_int_equal(http_client_send(client, &request, &answer, &why), OK);
    assert_int_equal(answer.status, 500);
    assert_int_equal(retries.count, 0);
    assert_string_equal(answer.text, "gone");
    player_stop(&p);
    http_client_free(client);
}

UNIT_TEST(test_a_status_of_501_is_not_repeated)
{
    static const char *const answers[] = {"HTTP/1.1 501 No\r\nContent-Length: 5\r\n\r\nnever"};
    struct player p;
    struct why why = {""};
    struct retries retries = {0};
    struct http_client_answer answer = {0};
    player_start(&p, 1, answers);
    struct http_client *client = client_of(60 * NS_PER_S, &retries, NULL);
    assert_int_equal(send_one(client, p.url, &answer, &why), OK);
    assert_int_equal(answer.status, 501);
    assert_int_equal(retries.count, 0);
    assert_string_equal(answer.text, "never");
    player_stop(&p);
    http_client_free(client);
}

UNIT_TEST(test_a_failed_connection_is_reported)
{
    struct player p;
    struct why why;
    struct http_client_answer answer = {0};
    player_start(&p, 0, NULL);
    player_stop(&p); /* nothing listens on its port from now on */
    struct http_client *client = client_of(0, NULL, NULL);
    assert_int_equal(send_one(client, p.url, &answer, &why), ERR_AGAIN);
    assert_int_equal(answer.status, 0);
    assert_non_null(strstr(why.text, p.url));
    assert_int_equal(send_one(client, "ftp://127.0.0.1/", &answer, &why), ERR_INPUT);
    assert_int_equal(send_one(client, "http://[", &answer, &why), ERR_INPUT);
    http_client_free(client);
}

UNIT_TEST(test_https_to_an_address_without_tls_is_said_at_once)
{
    struct http_options options = http_rig_options();
    struct retries retries = {0};
    struct why why;
    struct http_client_answer answer = {0};
    char url[60];
    options.header_timeout_ns = 10 * WAIT_S * NS_PER_S;
    struct http_rig *rig = http_rig_new(options);
    snprintf(url, sizeof url, "https://127.0.0.1:%u/text", http_server_port(rig->server));
    struct http_client *client = client_of(3600 * NS_PER_S, &retries, NULL);
    assert_int_equal(send_one(client, url, &answer, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, "the server does not speak TLS at this address"));
    assert_int_equal(retries.count, 0);
    http_client_free(client);
    http_rig_free(rig);
}

UNIT_TEST(test_a_silent_server_is_given_up)
{
    static const char *const answers[] = {""};
    struct player p;
    struct why why;
    struct http_client_answer answer = {0};
    player_start(&p, 1, answers);
    struct http_client *client = client_of(0, NULL, NULL);
    assert_int_equal(send_one(client, p.url, &answer, &why), ERR_AGAIN);
    assert_non_null(strstr(why.text, "timed out while waiting"));
    player_stop(&p);
    http_client_free(client);
}

UNIT_TEST(test_stopping_ends_the_repeating)
{
    static const char busy[] =
        "HTTP/1.1 503 Not now\r\nRetry-After: 50\r\nContent-Length: 0\r\n\r\n";
    static const char *const answers[] = {busy};
    struct player p;
    struct why why;
    atomic_bool stop = true;
    struct http_client_answer answer = {0};
    player_start(&p, 1, answers);
    struct http_client *client = client_of(3600 * NS_PER_S, NULL, &stop);
    assert_int_equal(send_one(client, p.url, &answer, &why), ERR_CANCELED);
    player_stop(&p);
    http_client_free(client);
}

/* Reads one answer until it ends or the text is full. */
static enum err
read_one(struct http_client *client, const char *url, char text[64],
         struct http_client_answer *answer, struct why *why)
{
    struct http_client_request request = {.url = url};
    struct bytes piece = bytes_of("", 0);
    size_t size = 0;
    why->text[0] = '\0';
    enum err e = http_client_open(client, &request, answer, why);
    do {
        if (e == OK) e = http_client_read(client, &piece, why);
        if (e) break;
        assert_true(size + piece.size < 64);
        memcpy(text + size, piece.at, piece.size);
        size += piece.size;
    } while (piece.size > 0);
    text[size] = '\0';
    http_client_close(client);
    return e;
}

UNIT_TEST(test_a_body_is_fetched_whole_if_there_is_room)
{
    static const char answer_text[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    static const char *const answers[] = {answer_text, answer_text};
    struct player p;
    struct why why;
    struct http_client_answer answer = {0};
    player_start(&p, 2, answers);
    struct http_client *client = client_of(0, NULL, NULL);
    for (size_t room = 5; room >= 4; room--) {
        const struct http_client_request request = {.url = p.url};
        struct buf to;
        buf_init(&to, NULL, room);
        enum err e = http_client_fetch(client, &request, &to, &answer, &why);
        assert_int_equal(e, room == 5 ? OK : ERR_LIMIT);
        if (e == OK) assert_true(bytes_equal_text(buf_bytes(&to), "abcde"));
        if (e != OK) assert_non_null(strstr(why.text, "the response is larger than 4 bytes"));
        buf_fini(&to);
    }
    player_stop(&p);
    http_client_free(client);
}

UNIT_TEST(test_a_body_is_read_once)
{
    static const char *const answers[] = {
        "HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\noh!",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nnot"};
    struct player p;
    struct why why;
    char text[64];
    struct http_client_answer answer = {0};
    player_start(&p, 4, answers);
    struct http_client *client = client_of(60 * NS_PER_S, NULL, NULL);
    assert_int_equal(read_one(client, p.url, text, &answer, &why), OK);
    assert_string_equal(text, "abcde"); /* the text has nothing of the 500 */
    assert_int_equal(read_one(client, p.url, text, &answer, &why), ERR_IO);
    assert_string_equal(text, "abc");
    assert_int_equal(read_one(client, p.url, text, &answer, &why), OK);
    assert_string_equal(text, "");
    assert_int_equal(answer.status, 404);
    assert_string_equal(answer.text, "not");
    player_stop(&p);
    http_client_free(client);
}

UNIT_TEST(test_a_body_that_is_not_wanted_is_given_up)
{
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ndef"};
    struct player p;
    struct why why = {""};
    char text[64];
    struct bytes piece;
    struct http_client_answer answer = {0};
    player_start(&p, 2, answers);
    struct http_client *client = client_of(60 * NS_PER_S, NULL, NULL);
    struct http_client_request request = {.url = p.url};
    assert_int_equal(http_client_open(client, &request, &answer, &why), OK);
    assert_int_equal(http_client_read(client, &piece, &why), OK);
    assert_true(bytes_equal_text(piece, "abc"));
    http_client_close(client);
    assert_int_equal(read_one(client, p.url, text, &answer, &why), OK);
    assert_string_equal(text, "def");
    player_stop(&p);
    http_client_free(client);
}

/* The pieces of a body, and its trailer. */
struct body_pieces {
    const char *const *items;
    enum err end;
};

static enum err
next_of(void *context, struct bytes *ret_piece)
{
    struct body_pieces *b = context;
    *ret_piece = *b->items == NULL ? bytes_of(NULL, 0) : bytes_of_text(*b->items++);
    return ret_piece->size == 0 ? b->end : OK;
}

static const char *const *
trailer_of(void *context)
{
    static const char *const trailers[] = {"X-End: 1", NULL};
    (void)context;
    return trailers;
}

UNIT_TEST(test_pieces_are_sent_in_chunks_with_trailers)
{
    static const char *const answers[] = {"HTTP/1.1 202 Fine\r\nContent-Length: 0\r\n\r\n"};
    static const char *const items[] = {"first", "second", NULL};
    struct body_pieces body = {items, OK};
    struct http_call_pieces pieces = {next_of, trailer_of, &body};
    struct http_client_request request = {.pieces = &pieces};
    struct http_client_answer answer;
    struct why why = {""};
    struct player p;
    player_start(&p, 1, answers);
    struct http_client *client = client_of(0, NULL, NULL);
    request.url = p.url;
    assert_int_equal(http_client_send(client, &request, &answer, &why), OK);
    assert_int_equal(answer.status, 202);
    assert_non_null(strstr(p.seen, "Transfer-Encoding: chunked\r\n"));
    assert_non_null(strstr(p.seen, "\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\nX-End: 1\r\n\r\n"));
    http_client_free(client);
    player_stop(&p);
}

UNIT_TEST(test_request_whose_pieces_fail_is_broken_off)
{
    static const char *const answers[] = {NULL};
    static const char *const items[] = {NULL};
    struct body_pieces body = {items, ERR_NOMEM};
    struct http_call_pieces pieces = {next_of, trailer_of, &body};
    struct http_client_request request = {.pieces = &pieces};
    struct http_client_answer answer;
    struct why why = {""};
    struct player p;
    player_start(&p, 1, answers);
    struct http_client *client = client_of(0, NULL, NULL);
    request.url = p.url;
    assert_int_equal(http_client_send(client, &request, &answer, &why), ERR_AGAIN);
    assert_int_equal(answer.status, 0);
    http_client_free(client);
    player_stop(&p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_comes_with_its_headers_and_text),
        cmocka_unit_test(test_a_refusal_that_repeats_credentials_is_masked),
        cmocka_unit_test(test_the_proxy_of_the_target_is_used_for_all_hosts),
        cmocka_unit_test(test_a_socket_that_is_missing_is_named),
        cmocka_unit_test(test_a_refusal_comes_whole_as_far_as_there_is_room),
        cmocka_unit_test(test_a_temporary_failure_is_repeated),
        cmocka_unit_test(test_repeating_ends_with_the_last_reason),
        cmocka_unit_test(test_an_answer_that_is_final_is_not_repeated),
        cmocka_unit_test(test_a_status_of_501_is_not_repeated),
        cmocka_unit_test(test_a_failed_connection_is_reported),
        cmocka_unit_test(test_https_to_an_address_without_tls_is_said_at_once),
        cmocka_unit_test(test_a_silent_server_is_given_up),
        cmocka_unit_test(test_stopping_ends_the_repeating),
        cmocka_unit_test(test_a_body_is_fetched_whole_if_there_is_room),
        cmocka_unit_test(test_a_body_is_read_once),
        cmocka_unit_test(test_a_body_that_is_not_wanted_is_given_up),
        cmocka_unit_test(test_pieces_are_sent_in_chunks_with_trailers),
        cmocka_unit_test(test_request_whose_pieces_fail_is_broken_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
