/*
 * http_limits_test.c - deadlines, limits, stops, and lack of memory. http_server_test.c tests
 * requests and answers.
 */
#include <sys/resource.h>

#include "lib/net/http_rig.h"
#include "lib/test.h"

/* --- deadlines -------------------------------------------------------------------------------- */

/*
 * The rig's clock moves only when the test moves it. A phase may take 80 ms, so that the watch
 * thread, whose pauses are real, checks often.
 */
enum { PHASE_MS = 80 };

static struct http_rig *
rig_with_clock(struct http_options *options)
{
    http_rig_clock_ns = 1000 * NS_PER_S;
    options->header_timeout_ns = options->body_timeout_ns = options->idle_timeout_ns =
        options->send_timeout_ns = PHASE_MS * NS_PER_MS;
    return http_rig_new(*options);
}

static void
wait_for_answer(const struct client *client)
{
    struct pollfd look = {.fd = client->fd, .events = POLLIN};
    assert_int_equal(poll(&look, 1, WAIT_S * 1000), 1);
}

/* Connects, and waits until the server has accepted: its time runs from there. */
static struct client
connect_accepted(struct http_rig *rig)
{
    uint64_t before = http_rig_stats(rig).connections_total;
    struct client client = client_connect(rig);
    for (int ms = 0; http_rig_stats(rig).connections_total == before; ms++) {
        assert_true(ms < WAIT_S * 1000);
        poll(NULL, 0, 1);
    }
    return client;
}

/* Sends a byte in each tenth of a phase's time; the connection is cut off at its end, and
 * not before. */
static void
drip(struct http_rig *rig, struct client *client, const char *text)
{
    struct pollfd look = {.fd = client->fd, .events = POLLIN};
    for (unsigned tenths = 0; poll(&look, 1, 0) == 0; tenths++) {
        /* a worker may see the first byte a little later than the others */
        assert_true(tenths < 30);
        if (*text != '\0') assert_true(client_send_bytes(client, text++, 1));
        http_rig_advance(rig, PHASE_MS / 10 * NS_PER_MS);
        if (tenths < 8) assert_int_equal(poll(&look, 1, 0), 0);
    }
    client_expect(client, 503, NULL);
    client_expect_end(client);
    client_close(client);
}

UNIT_TEST(test_dripped_header_meets_its_deadline)
{
    struct http_options options = http_rig_options();
    struct http_rig *rig = rig_with_clock(&options);
    struct client client = connect_accepted(rig);
    drip(rig, &client, "GET /text");
    assert_int_equal(http_rig_stats(rig).timeouts_header, 1);

    /* The same holds for a later request on a connection, counted from its first byte. */
    client = connect_accepted(rig);
    for (int i = 0; i < 2; i++) {
        client_send(&client, "GET /text" HTTP_11 "\r\n");
        client_expect(&client, 200, "hello");
        http_rig_wait_idle(rig);
        http_rig_advance(rig, PHASE_MS / 2 * NS_PER_MS);
    }
    drip(rig, &client, "GET /text");
    assert_int_equal(http_rig_stats(rig).timeouts_header, 2);

    /* A client that connects and sends nothing gets no message. */
    client = connect_accepted(rig);
    http_rig_advance(rig, 2 * PHASE_MS * NS_PER_MS);
    client_expect_end(&client);
    assert_int_equal(client.size, 0);
    client_close(&client);
    assert_int_equal(http_rig_stats(rig).timeouts_header, 3);
    http_rig_free(rig);
}

UNIT_TEST(test_dripped_body_meets_its_deadline)
{
    struct http_options options = http_rig_options();
    struct http_rig *rig = rig_with_clock(&options);
    static const char *const starts[] = {
        "POST /echo" HTTP_11 "Content-Length: 50000\r\n\r\n",
        "POST /echo" HTTP_11 "Transfer-Encoding: chunked\r\n\r\nfff\r\n",
        "POST /none" HTTP_11 "Content-Length: 50000\r\n\r\n",
    };
    for (size_t i = 0; i < 3; i++) {
        struct client client = connect_accepted(rig);
        client_send(&client, starts[i]);
        drip(rig, &client, "xxxxxxxxx");
    }
    assert_int_equal(http_rig_stats(rig).timeouts_body, 3);
    http_rig_free(rig);
}

UNIT_TEST(test_idle_connection_is_closed_and_a_waiting_request_is_not)
{
    struct http_options options = http_rig_options();
    struct http_rig *rig = rig_with_clock(&options);
    struct client idle = client_connect(rig), waiting = client_connect(rig);
    client_send(&waiting, "GET /later" HTTP_11 "\r\n");
    struct http_request *request = http_rig_take_held(rig);
    client_send(&idle, "GET /text" HTTP_11 "\r\n");
    client_expect(&idle, 200, "hello");
    while (http_server_busy(rig->server) > 1)
        poll(NULL, 0, 1);
    http_rig_advance(rig, 3 * PHASE_MS * NS_PER_MS);
    client_expect_end(&idle);
    assert_int_equal(http_rig_stats(rig).timeouts_idle, 1);
    http_reply_text(request, 200, "patience");
    client_expect(&waiting, 200, "patience");
    client_close(&idle);
    client_close(&waiting);
    http_rig_free(rig);
}

UNIT_TEST(test_slow_clients_hold_no_worker)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client slow[60];
    for (size_t i = 0; i < 60; i++) {
        slow[i] = i % 3 == 2 ? client_connect_buffered(rig, 4096) : client_connect(rig);
        client_send(&slow[i], i % 3 == 0   ? "GET /text HT"
                              : i % 3 == 1 ? "POST /echo" HTTP_11 "Content-Length: 1000\r\n\r\nx"
                                           : "GET /blob?size=8000000" HTTP_11 "\r\n");
    }
    for (size_t i = 0; i < 60; i++) {
        client_send(&slow[i], "x");
        http_rig_expect_works(rig);
    }
    for (size_t i = 0; i < 60; i++)
        client_close(&slow[i]);
    http_rig_free(rig);
}

UNIT_TEST(test_reader_that_takes_nothing_is_cut_off)
{
    struct http_options options = http_rig_options();
    struct http_rig *rig = rig_with_clock(&options);
    struct client client = client_connect_buffered(rig, 4096);
    client_send(&client, "GET /stream?size=100000000&piece=5000" HTTP_11 "\r\n");
    wait_for_answer(&client);
    while (http_rig_stats(rig).timeouts_send < 1)
        http_rig_advance(rig, PHASE_MS / 2 * NS_PER_MS);
    assert_int_equal(http_rig_wait_stream(rig), ERR_CANCELED);
    client_close(&client);

    client = client_connect_buffered(rig, 4096);
    client_send(&client, "GET /blob?size=30000000" HTTP_11 "\r\n");
    wait_for_answer(&client);
    while (http_rig_stats(rig).timeouts_send < 2)
        http_rig_advance(rig, PHASE_MS / 2 * NS_PER_MS);
    client_close(&client);
    http_rig_expect_works(rig);
    http_rig_free(rig);
}

UNIT_TEST(test_slow_but_steady_reader_and_slow_producer_are_not_cut_off)
{
    struct http_options options = http_rig_options();
    struct http_rig *rig = rig_with_clock(&options);
    struct client client = client_connect_buffered(rig, 16384);
    client_send(&client, "GET /blob?size=2000000" HTTP_11 "\r\n");
    size_t got = 0;
    char some[200000];
    wait_for_answer(&client);
    for (unsigned steps = 0; got < 2000000; steps++) {
        if (steps < 10) http_rig_advance(rig, PHASE_MS / 2 * NS_PER_MS); /* five times its time */
        ssize_t size = recv(client.fd, some, sizeof some, 0);
        assert_true(size > 0);
        got += (size_t)size;
    }
    client_close(&client);

    client = client_connect(rig);
    client_send(&client, "GET /later" HTTP_11 "\r\n");
    struct http_request *request = http_rig_take_held(rig);
    const struct http_answer answer = {.status = 200};
    assert_int_equal(http_stream_begin(request, &answer, UINT64_MAX, NULL), OK);
    assert_int_equal(http_stream_write(request, bytes_of("one ", 4), NULL), OK);
    http_rig_advance(rig, 3 * PHASE_MS * NS_PER_MS);
    assert_false(http_gone(request));
    assert_int_equal(http_stream_write(request, bytes_of("two", 3), NULL), OK);
    http_stream_end(request, true);
    client_expect(&client, 200, "one two");
    client_close(&client);
    assert_int_equal(http_rig_stats(rig).timeouts_send, 0);
    http_rig_free(rig);
}

/* --- limits of connections -------------------------------------------------------------------- */

UNIT_TEST(test_hundreds_of_idle_connections_do_not_hinder_an_active_one)
{
    struct http_options options = http_rig_options();
    options.header_timeout_ns = options.idle_timeout_ns; /* the clock goes on by itself, too */
    struct http_rig *rig = http_rig_new(options);
    enum { IDLE = 600 };
    struct client *idle = calloc(IDLE, sizeof *idle);
    for (size_t i = 0; i < IDLE; i++) {
        idle[i] = client_connect(rig);
        if (i % 2 == 0) continue;
        client_send(&idle[i], "GET /text" HTTP_11 "\r\n");
        client_expect(&idle[i], 200, "hello");
    }
    struct client active = client_connect(rig);
    for (int i = 0; i < 200; i++) {
        client_send(&active, "GET /text" HTTP_11 "\r\nPOST /elsewhere" HTTP_11
                             "Content-Length: 2\r\n\r\nhi");
        client_expect(&active, 200, "hello");
        client_expect(&active, 200, "hi");
    }
    assert_int_equal(http_rig_stats(rig).connections_now, IDLE + 1);
    client_close(&active);
    for (size_t i = 0; i < IDLE; i++)
        client_close(&idle[i]);
    free(idle);
    http_rig_free(rig);
}

/* Returns the worker, of two, of a connection, which follows from its descriptor. */
static int
worker_of(const struct client *client)
{
    struct sockaddr_in own, peer;
    socklen_t size = sizeof own;
    assert_int_equal(getsockname(client->fd, (struct sockaddr *)&own, &size), 0);
    for (int fd = 3; fd < 2000; fd++) {
        size = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0) continue;
        if (peer.sin_port == own.sin_port) return fd % 2;
    }
    fail();
    return 0;
}

/* Opens connections that all have the same worker, and closes the others. As both ends of a
 * connection have descriptors here, one more descriptor is used with each that has the wrong
 * worker: otherwise all could have it. */
static void
connect_to_worker(struct http_rig *rig, int worker, struct client *clients, unsigned count)
{
    struct client others[500];
    int spares[500];
    unsigned other_count = 0;
    for (unsigned i = 0; i < count;) {
        struct client client = client_connect(rig);
        client_send(&client, "GET /text" HTTP_11 "\r\n");
        client_expect(&client, 200, "hello");
        if (worker_of(&client) == worker) {
            clients[i++] = client;
        } else {
            assert_true(other_count < 500);
            spares[other_count] = dup(client.fd);
            others[other_count++] = client;
        }
    }
    for (unsigned i = 0; i < other_count; i++) {
        client_close(&others[i]);
        close(spares[i]);
    }
}

/*
 * The number of ready connections is the one that a worker handles at once (128), or one less or
 * more, and nothing else happens.
 */
UNIT_TEST(test_worker_does_not_forget_a_full_hand_of_ready_connections)
{
    for (unsigned count = 127; count <= 129; count++) {
        struct http_rig *rig = http_rig_new(http_rig_options());
        struct client blocker, clients[129];
        connect_to_worker(rig, 1, &blocker, 1);
        connect_to_worker(rig, 1, clients, count);
        client_send(&blocker, "GET /block" HTTP_11 "\r\n");
        struct http_request *request = http_rig_take_held(rig);
        for (unsigned i = 0; i < count; i++)
            client_send(&clients[i], "GET /text" HTTP_11 "\r\n");
        pthread_mutex_lock(&rig->mutex);
        rig->released = true;
        pthread_cond_broadcast(&rig->changed);
        pthread_mutex_unlock(&rig->mutex);
        for (unsigned i = 0; i < count; i++) {
            client_expect(&clients[i], 200, "hello");
            client_close(&clients[i]);
        }
        http_reply_text(request, 200, "free");
        client_expect(&blocker, 200, "free");
        client_close(&blocker);
        http_rig_free(rig);
    }
}

/* The worker does not read, as after a suspension of the process. */
UNIT_TEST(test_a_client_whose_bytes_wait_unread_has_twice_the_time)
{
    struct http_options options = http_rig_options();
    struct http_rig *rig = rig_with_clock(&options);
    struct client blocker, clients[2];
    connect_to_worker(rig, 1, &blocker, 1);
    connect_to_worker(rig, 1, clients, 2);
    client_send(&blocker, "GET /block" HTTP_11 "\r\n");
    struct http_request *request = http_rig_take_held(rig);
    client_send(&clients[0], "GET /text" HTTP_11 "\r\n");
    http_rig_advance(rig, PHASE_MS * 3 / 2 * NS_PER_MS);
    assert_int_equal(http_rig_stats(rig).timeouts_idle, 1); /* the second one, which sent nothing */
    pthread_mutex_lock(&rig->mutex);
    rig->released = true;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->mutex);
    client_expect(&clients[0], 200, "hello");
    client_expect_end(&clients[1]);
    http_reply_text(request, 200, "free");
    client_expect(&blocker, 200, "free");
    client_close(&blocker);
    client_close(&clients[0]);
    client_close(&clients[1]);
    http_rig_free(rig);
}

/* Before its handshake, a client of TLS sees the end of the connection only. */
UNIT_TEST(test_connections_beyond_the_limit_get_503)
{
    struct http_options options = http_rig_options();
    options.connections_max = 10;
    struct http_rig *rig = http_rig_new(options);
    struct client inside[10], outside[20];
    struct http_request *held[10];
    for (size_t i = 0; i < 10; i++) {
        inside[i] = client_connect(rig);
        client_send(&inside[i], "GET /later" HTTP_11 "\r\n");
        held[i] = http_rig_take_held(rig);
    }
    for (size_t i = 0; i < 20; i++) {
        outside[i] = client_connect(rig);
        client_send(&outside[i], "POST /echo" HTTP_11 "Content-Length: 4\r\n\r\nabcd");
    }
    for (size_t i = 0; i < 20; i++) {
        struct response response = client_response(&outside[i], false);
        assert_int_equal(response.status, http_rig_has_tls() ? 0 : 503);
        if (!http_rig_has_tls()) {
            assert_non_null(response_header(&response, "Retry-After"));
            assert_string_equal(response_header(&response, "Connection"), "close");
            assert_string_equal(response.body, "too many connections, retry later\n");
        }
        response_free(&response);
        client_expect_end(&outside[i]);
        client_close(&outside[i]);
    }
    assert_int_equal(http_rig_stats(rig).connections_refused, 20);
    /* Requests that are with a handler go on, and each one that is answered makes room. */
    for (size_t i = 0; i < 10; i++) {
        http_reply_text(held[i], 200, "hello");
        client_expect(&inside[i], 200, "hello");
        http_rig_expect_works(rig);
        client_close(&inside[i]);
    }
    http_rig_free(rig);
}

UNIT_TEST(test_many_silent_connections_beyond_the_limit_are_turned_away)
{
    struct http_options options = http_rig_options();
    options.connections_max = 1;
    options.header_timeout_ns = PHASE_MS * NS_PER_MS; /* they get the same time as others */
    http_rig_clock_ns = 1000 * NS_PER_S;
    struct http_rig *rig = http_rig_new(options);
    struct client inside = client_connect(rig);
    client_send(&inside, "GET /later" HTTP_11 "\r\n");
    struct http_request *held = http_rig_take_held(rig);
    struct client outside[200];
    for (size_t i = 0; i < 200; i++)
        outside[i] = client_connect(rig);
    unsigned told = 0;
    for (size_t i = 0; i < 200; i++) {
        struct pollfd look = {.fd = outside[i].fd, .events = POLLIN};
        while (poll(&look, 1, 0) == 0)
            http_rig_advance(rig, 2 * PHASE_MS * NS_PER_MS);
        struct response response = client_response(&outside[i], false);
        told += response.status == 503;
        response_free(&response);
        client_close(&outside[i]);
    }
    assert_true(http_rig_has_tls() ? told == 0 : told >= 64);
    http_reply_text(held, 200, "hello");
    client_expect(&inside, 200, "hello");
    client_close(&inside);
    http_rig_free(rig);
}

UNIT_TEST(test_want_of_descriptors_passes)
{
    if (http_rig_has_tls()) return; /* accepting is the same */
    http_rig_clock_ns = 1000 * NS_PER_S;
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect(rig);
    client_send(&client, "GET /text" HTTP_11 "\r\n");
    client_expect(&client, 200, "hello");
    struct rlimit limit, none;
    uint64_t warnings = log_count(LOG_WARN);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)fd + 1, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    http_rig_advance(rig, NS_PER_MS); /* the watch thread waits again, under the limit */
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(http_server_port(rig->server)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    client_send(&client, "GET /text" HTTP_11 "\r\n");
    client_expect(&client, 200, "hello");
    struct client late = {.fd = fd, .bytes = malloc(CLIENT_BYTES)};
    client_send(&late, "GET /text" HTTP_11 "\r\n");
    for (int ms = 0; log_count(LOG_WARN) == warnings; ms++) { /* the client waits */
        assert_true(ms < WAIT_S * 1000);
        poll(NULL, 0, 1);
    }
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 0), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    http_rig_advance(rig, NS_PER_S); /* it accepts again */
    client_expect(&late, 200, "hello");
    client_close(&late);
    client_close(&client);
    http_rig_free(rig);
}

/* --- hostility -------------------------------------------------------------------------------- */

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static size_t
spoil(uint64_t *random, const char *pattern, char *text)
{
    static const char bytes[] = "\r\n\0 :;%?&=/\xff"
                                "0fA\t";
    size_t size = strlen(pattern);
    memcpy(text, pattern, size);
    for (uint64_t n = next_random(random) % 6; n > 0; n--) {
        size_t at = next_random(random) % size;
        if (next_random(random) % 4 == 0)
            memmove(text + at, text + at + 1, --size - at);
        else
            text[at] = bytes[next_random(random) % (sizeof bytes - 1)];
    }
    return size;
}

/* The seed is fixed; whatever is answered, every connection ends and the server lives. */
UNIT_TEST(test_garbage_does_no_harm)
{
    static const char pattern[] =
        "POST /echo?a=b&c=%41" HTTP_11 "Cookie: a=b; c=\"d\"\r\n folded\r\n"
        "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\nTrailer: y\r\n\r\n"
        "PUT /echo" HTTP_11 "Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc"
        "GET /blob?size=2000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    enum { ROUNDS = 8, CLIENTS = 50 };
    struct http_rig *rig = http_rig_new(http_rig_options());
    uint64_t random = 20240501;
    for (int round = 0; round < ROUNDS; round++) {
        struct client clients[CLIENTS];
        for (int c = 0; c < CLIENTS; c++) {
            char text[sizeof pattern];
            size_t size = spoil(&random, pattern, text);
            size_t first = next_random(&random) % size;
            clients[c] = client_connect(rig);
            /* It is cut off at the earliest possible byte. */
            if (!client_send_bytes(&clients[c], text, first)) continue;
            if (!client_send_bytes(&clients[c], text + first, size - first)) continue;
            shutdown(clients[c].fd, SHUT_WR);
        }
        for (int c = 0; c < CLIENTS; c++) {
            client_expect_end(&clients[c]);
            client_close(&clients[c]);
        }
    }
    http_rig_expect_works(rig);
    http_rig_free(rig);
}

/* --- stopping --------------------------------------------------------------------------------- */

UNIT_TEST(test_quiesced_server_finishes_what_has_begun)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client open = client_connect(rig), waiting = client_connect(rig),
                  begun = client_connect(rig);
    client_send(&open, "GET /text" HTTP_11 "\r\n");
    client_expect(&open, 200, "hello");
    client_send(&waiting, "GET /later" HTTP_11 "\r\n");
    struct http_request *request = http_rig_take_held(rig);
    client_send(&begun, "POST /echo" HTTP_11 "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    client_expect(&begun, 100, NULL);
    while (http_server_busy(rig->server) > 1)
        poll(NULL, 0, 1); /* the answer to `open` arrives before its worker has noted that */
    assert_int_equal(http_server_busy(rig->server), 1);

    http_server_quiesce(rig->server);
    http_server_quiesce(rig->server);
    struct client late = client_connect_buffered(rig, 0);
    assert_int_equal(late.fd, -1);
    client_send(&open, "GET /text" HTTP_11 "\r\n");
    struct response response = client_response(&open, false);
    assert_int_equal(response.status, 503);
    assert_string_equal(response_header(&response, "Connection"), "close");
    assert_non_null(response_header(&response, "Retry-After"));
    response_free(&response);
    client_expect_end(&open);
    client_send(&begun, "abc");
    client_expect(&begun, 200, "abc");
    while (http_server_busy(rig->server) > 1)
        poll(NULL, 0, 1); /* the answer arrives before its worker has noted that it is sent */
    http_reply_text(request, 200, "done");
    client_expect(&waiting, 200, "done");
    http_rig_wait_idle(rig);
    client_close(&open);
    client_close(&waiting);
    client_close(&begun);
    http_rig_free(rig);
}

/* If the server waited for the answer of a thread that may not run, this would never end. */
UNIT_TEST(test_a_server_is_quiesced_as_soon_as_it_has_started)
{
    for (int round = 0; round < 50; round++) {
        struct http_rig *rig = http_rig_new(http_rig_options());
        http_server_quiesce(rig->server);
        struct client late = client_connect_buffered(rig, 0);
        assert_int_equal(late.fd, -1);
        http_rig_free(rig);
    }
}

UNIT_TEST(test_server_ends_with_connections_in_every_state)
{
    for (int round = 0; round < 20; round++) {
        struct http_rig *rig = http_rig_new(http_rig_options());
        struct client clients[6];
        static const char *const starts[] = {
            "",
            "GET /te",
            "POST /echo" HTTP_11 "Content-Length: 9\r\n\r\nabc",
            "POST /echo" HTTP_11 "Content-Length: 999999\r\n\r\nabc",
            "GET /text" HTTP_11 "\r\n",
            "GET /blob?size=9000000&type=x" HTTP_11 "\r\n",
        };
        for (size_t i = 0; i < 6; i++) {
            clients[i] = i == 5 ? client_connect_buffered(rig, 4096) : client_connect(rig);
            client_send(&clients[i], starts[i]);
        }
        struct client last = client_connect(rig);
        client_send(&last, "GET /later" HTTP_11 "\r\n");
        http_reply_text(http_rig_take_held(rig), 200, "last");
        /* The test does not wait for busy to be 0: the blob can never be sent. */
        http_server_free(rig->server);
        assert_int_equal(budget_used(&rig->budget), 0);
        assert_int_equal(http_rig_start_server(rig, http_rig_options()), OK);
        for (size_t i = 0; i < 6; i++)
            client_close(&clients[i]);
        client_close(&last);
        http_rig_free(rig);
    }
}

/* Only this ends a stream whose client reads nothing: no thread enforces deadlines after it. */
UNIT_TEST(test_server_ends_while_a_stream_waits_for_its_client)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct client client = client_connect_buffered(rig, 4096);
    client_send(&client, "GET /stream?size=100000000&piece=5000" HTTP_11 "\r\n");
    wait_for_answer(&client);
    http_server_free(rig->server);
    assert_int_equal(http_rig_wait_stream(rig), ERR_CANCELED);
    assert_int_equal(budget_used(&rig->budget), 0);
    assert_int_equal(http_rig_start_server(rig, http_rig_options()), OK);
    client_close(&client);
    http_rig_free(rig);
}

/* --- memory ----------------------------------------------------------------------------------- */

UNIT_TEST(test_body_without_budget_gets_503_and_gives_all_back)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    uint64_t used = budget_used(&rig->budget);
    atomic_store(&rig->budget.limit_bytes, used + 20000);
    char *body = calloc(1, 60000);
    for (int chunked = 0; chunked <= 1; chunked++) {
        struct client client = client_connect(rig);
        client_send(&client, chunked ? "POST /echo" HTTP_11 "Transfer-Encoding: chunked\r\n\r\n"
                                       "EA60\r\n"
                                     : "POST /echo" HTTP_11 "Content-Length: 60000\r\n\r\n");
        client_send_bytes(&client, body, 60000);
        struct response response = client_response(&client, false);
        assert_int_equal(response.status, 503);
        assert_non_null(response_header(&response, "Retry-After"));
        response_free(&response);
        client_expect_end(&client);
        client_close(&client);
    }
    free(body);
    /* The body fits, but not together with its copy in the answer. */
    struct client client = client_connect(rig);
    char text[12100] = "POST /echo" HTTP_11 "Content-Length: 12000\r\n\r\n";
    size_t header_size = strlen(text);
    memset(text + header_size, 'x', 12000);
    client_send_bytes(&client, text, header_size + 12000);
    client_expect(&client, 503, NULL);
    client_close(&client);
    http_rig_expect_works(rig);
    http_rig_free(rig);
}

UNIT_TEST(test_declared_length_takes_no_memory)
{
    struct http_options options = http_rig_options();
    options.body_bytes_max = UINT64_C(1) << 40;
    struct http_rig *rig = http_rig_new(options);
    uint64_t before = budget_used(&rig->budget);
    struct client client = client_connect(rig);
    client_send(&client, "POST /echo" HTTP_11 "Expect: 100-continue\r\n"
                         "Content-Length: 1000000000000\r\n\r\n");
    client_expect(&client, 100, NULL);
    client_send(&client, "abc");
    while (http_rig_stats(rig).body_bytes < 3)
        poll(NULL, 0, 1);
    assert_true(budget_used(&rig->budget) < before + 16 * 1024);
    client_close(&client);
    http_rig_free(rig);
}

/* Sends one request of every kind; each gets its answer, or 503, or none. */
static void
ask_everything(struct http_rig *rig)
{
    static const char *const requests[] = {
        "GET /blob?size=3000" HTTP_11 "Accept-Encoding: gzip\r\nConnection: close\r\n\r\n",
        "POST /elsewhere" HTTP_11 "Connection: close\r\nContent-Length: 4\r\n\r\nabcd",
        ("POST /echo" HTTP_11 "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
         "4\r\nabcd\r\n0\r\n\r\n"),
        "GET /stream?size=20000&piece=5000" HTTP_11 "Connection: close\r\n\r\n",
        "GET /none" HTTP_11 "Connection: close\r\n\r\n",
        "GET /stream?size=20000&piece=5000" HTTP_11 "Accept-Encoding: gzip\r\n"
        "Connection: close\r\n\r\n",
        "GET /sent/a%2Fb" HTTP_11 "Connection: close\r\n\r\n",
        "GET /stream?size=20000&piece=5000" HTTP_11 "Accept-Encoding: zstd\r\n"
        "Connection: close\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct client client = client_connect(rig);
        client_send(&client, requests[i]);
        struct response response = client_response(&client, false);
        int right = i == 4 ? 404 : 200;
        if (response.status != 0 && response.status != 503) {
            assert_int_equal(response.status, right);
            assert_true(response.whole);
        }
        response_free(&response);
        client_expect_end(&client);
        client_close(&client);
    }
    http_rig_wait_idle(rig);
}

UNIT_TEST(test_any_allocation_may_fail)
{
    for (int forever = 0; forever <= 1; forever++) {
        bool fired = true;
        for (uint64_t nth = 1; fired; nth++) {
            struct http_rig *rig = http_rig_new(http_rig_options());
            mem_fail_nth(nth, forever != 0);
            ask_everything(rig);
            fired = mem_fail_fired();
            mem_fail_nth(0, false);
            http_rig_expect_works(rig);
            http_rig_free(rig);
            assert_true(nth < 1000);
        }
    }
}

UNIT_TEST(test_start_that_fails_leaves_nothing)
{
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct http_options options = http_rig_options();
    struct http_server *first = rig->server;
    struct http_place place = {
        .name = "here", .host = "127.0.0.1", .port = http_server_port(first)};
    options.places = &place;
    uint64_t used = budget_used(&rig->budget);
    assert_int_equal(http_rig_start_server(rig, options), ERR_AGAIN);
    options = http_rig_options();
    place =
        (struct http_place){.name = "there", .host = "no host"}; /* not asked of any name service */
    options.places = &place;
    assert_int_equal(http_rig_start_server(rig, options), ERR_INPUT);
    enum err e = ERR_NOMEM;
    for (uint64_t nth = 1; e != OK; nth++) {
        mem_fail_nth(nth, true);
        e = http_rig_start_server(rig, http_rig_options());
        mem_fail_nth(0, false);
        if (e != OK) assert_int_equal(e, ERR_NOMEM);
        if (e != OK) assert_int_equal(budget_used(&rig->budget), used);
        assert_true(nth < 100);
    }
    http_server_free(rig->server);
    rig->server = first;
    http_rig_expect_works(rig);
    http_rig_free(rig);
    http_server_free(NULL);
}

int
main(void)
{
    /* Both ends of hundreds of connections exceed the usual 1024. */
    enum { DESCRIPTORS = 4096 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < DESCRIPTORS) {
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
    }
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dripped_header_meets_its_deadline),
        cmocka_unit_test(test_dripped_body_meets_its_deadline),
        cmocka_unit_test(test_idle_connection_is_closed_and_a_waiting_request_is_not),
        cmocka_unit_test(test_slow_clients_hold_no_worker),
        cmocka_unit_test(test_reader_that_takes_nothing_is_cut_off),
        cmocka_unit_test(test_slow_but_steady_reader_and_slow_producer_are_not_cut_off),
        cmocka_unit_test(test_hundreds_of_idle_connections_do_not_hinder_an_active_one),
        cmocka_unit_test(test_worker_does_not_forget_a_full_hand_of_ready_connections),
        cmocka_unit_test(test_a_client_whose_bytes_wait_unread_has_twice_the_time),
        cmocka_unit_test(test_connections_beyond_the_limit_get_503),
        cmocka_unit_test(test_many_silent_connections_beyond_the_limit_are_turned_away),
        cmocka_unit_test(test_want_of_descriptors_passes),
        cmocka_unit_test(test_garbage_does_no_harm),
        cmocka_unit_test(test_quiesced_server_finishes_what_has_begun),
        cmocka_unit_test(test_a_server_is_quiesced_as_soon_as_it_has_started),
        cmocka_unit_test(test_server_ends_with_connections_in_every_state),
        cmocka_unit_test(test_server_ends_while_a_stream_waits_for_its_client),
        cmocka_unit_test(test_body_without_budget_gets_503_and_gives_all_back),
        cmocka_unit_test(test_declared_length_takes_no_memory),
        cmocka_unit_test(test_any_allocation_may_fail),
        cmocka_unit_test(test_start_that_fails_leaves_nothing),
    };
    int failed = cmocka_run_group_tests_name("clear", tests, NULL, NULL);
    http_rig_use_tls(TLS_1_2);
    failed += cmocka_run_group_tests_name("TLS 1.2", tests, NULL, NULL);
    http_rig_use_tls(NULL);
    return failed;
}
