/*
 * http_gate_test.c - the gate of the HTTP server: whom it does not let in learns nothing about
 * paths, methods and bodies, however the decision is made; the others do not notice it.
 */
#include "lib/net/http_rig.h"
#include "lib/test.h"

#include "base/mem.h"
#include "net/http_private.h"

/* --- a gate that does what the header X-Gate says --------------------------------------------- */

enum { ACCESS_UNKNOWN = 7 };

static const struct http_denial unauthorized = {401, "unauthorized", "Basic realm=\"test\""};
static const struct http_denial forbidden = {403, "forbidden", NULL};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct http_request *later[HELD_MAX];
    unsigned count, senders;
    bool holds, stopping; /* keeps them waiting */
    pthread_t thread;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static const struct http_denial *
verdict(const struct http_request *request)
{
    const char *says = http_header(request, "X-Gate");
    if (says == NULL) return &unauthorized;
    return strstr(says, "deny") != NULL ? &forbidden : NULL;
}

static void
release_sender(void *sender)
{
    assert_ptr_equal(sender, &gate);
    pthread_mutex_lock(&gate.mutex);
    gate.senders--;
    pthread_mutex_unlock(&gate.mutex);
}

static enum http_entry
judge(void *context, struct http_request *request, struct http_denial *ret_denial)
{
    const char *says = http_header(request, "X-Gate");
    assert_ptr_equal(context, &gate);
    if (says != NULL && strcmp(says, "anyone") == 0) return HTTP_ENTRY_ANYONE;
    if (says != NULL && strcmp(says, "no users") == 0) return HTTP_ENTRY_OPEN;
    pthread_mutex_lock(&gate.mutex);
    gate.senders++;
    http_set_sender(request, &gate, release_sender);
    bool is_later = says != NULL && strstr(says, "later") != NULL;
    if (is_later) {
        gate.later[gate.count++] = request;
        pthread_cond_broadcast(&gate.changed);
    }
    pthread_mutex_unlock(&gate.mutex);
    if (is_later) return HTTP_ENTRY_LATER;
    if (says != NULL && strstr(says, "body") != NULL) return HTTP_ENTRY_BODY;
    if (verdict(request) == NULL) return HTTP_ENTRY_OPEN;
    *ret_denial = *verdict(request);
    return HTTP_ENTRY_DENIED;
}

static enum http_entry
judge_body(void *context, struct http_request *request, struct http_denial *ret_denial)
{
    assert_ptr_equal(context, &gate);
    assert_ptr_equal(http_sender(request), &gate);
    struct bytes body = http_body(request);
    if (body.size < 6 || memcmp(body.at, "secret", 6) != 0) {
        *ret_denial = forbidden;
        return HTTP_ENTRY_DENIED;
    }
    return HTTP_ENTRY_OPEN;
}

static void *
decide(void *context)
{
    pthread_mutex_lock(&gate.mutex);
    while (!gate.stopping || gate.count > 0) {
        if (gate.count == 0 || gate.holds) {
            pthread_cond_wait(&gate.changed, &gate.mutex);
            continue;
        }
        struct http_request *request = gate.later[--gate.count];
        pthread_mutex_unlock(&gate.mutex);
        http_entry_decide(request, verdict(request));
        pthread_mutex_lock(&gate.mutex);
    }
    pthread_mutex_unlock(&gate.mutex);
    return context;
}

static struct http_rig *
begin(struct http_options options)
{
    options.gate = (struct http_gate){&gate, judge, judge_body, options.gate.unverified};
    gate.stopping = gate.holds = false;
    assert_int_equal(pthread_create(&gate.thread, NULL, decide, NULL), 0);
    return http_rig_new(options);
}

static void
hold(bool holds)
{
    pthread_mutex_lock(&gate.mutex);
    gate.holds = holds;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static void
await_held(unsigned count)
{
    pthread_mutex_lock(&gate.mutex);
    while (gate.count < count)
        pthread_cond_wait(&gate.changed, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
}

static void
end(struct http_rig *rig)
{
    http_rig_free(rig);
    pthread_mutex_lock(&gate.mutex);
    gate.stopping = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
    pthread_join(gate.thread, NULL);
    assert_int_equal(gate.senders, 0);
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_who_is_not_let_in_learns_nothing_about_the_request)
{
    static const char *const requests[] = {
        "GET /text" HTTP_11,
        "GET /none" HTTP_11,
        "DELETE /text" HTTP_11,
        "GET //text" HTTP_11,
        "GET /json?a=%00" HTTP_11,
        "POST /echo" HTTP_11 "Content-Encoding: x\r\nContent-Length: 3\r\n",
        "POST /echo" HTTP_11 "Content-Length: 100000000\r\n",
        "POST /echo" HTTP_11 "Content-Length: 3\r\nExpect: 100-continue\r\n",
        "POST /echo" HTTP_11 "Transfer-Encoding: chunked\r\n",
    };
    static const struct {
        const char *says;
        int status;
    } cases[] = {{"", 401}, {"X-Gate: deny\r\n", 403}, {"X-Gate: later deny\r\n", 403}};
    struct http_rig *rig = begin(http_rig_options());
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            struct client client = client_connect(rig);
            client_send(&client, requests[i]);
            client_send(&client, cases[k].says);
            client_send(&client, "\r\n");
            if (strstr(requests[i], "Content-Length: 3\r\n") != NULL) client_send(&client, "abc");
            struct response response = client_response(&client, false);
            if (response.status != cases[k].status)
                fail_msg("%s%s: %d", requests[i], cases[k].says, response.status);
            const char *challenge = response_header(&response, "WWW-Authenticate");
            assert_true((challenge != NULL) == (response.status == 401));
            assert_string_equal(response_header(&response, "Content-Type"),
                                "text/plain; charset=utf-8");
            response_free(&response);
            client_close(&client);
        }
    }
    end(rig);
}

UNIT_TEST(test_who_is_let_in_is_answered_as_without_a_gate)
{
    static const char *const ways[] = {"X-Gate: open\r\n", "X-Gate: later\r\n"};
    struct http_rig *rig = begin(http_rig_options());
    for (size_t i = 0; i < 2; i++) {
        struct client client = client_connect(rig);
        for (int k = 0; k < 20; k++) {
            client_send(&client, "POST /echo" HTTP_11 "Content-Length: 5\r\n");
            client_send(&client, ways[i]);
            client_send(&client, "\r\nhello");
            client_expect(&client, 200, "hello");
        }
        client_send(&client, "GET /none" HTTP_11);
        client_send(&client, ways[i]);
        client_send(&client, "\r\n");
        client_expect(&client, 404, NULL);
        client_send(&client, "POST /echo" HTTP_11 "Content-Length: 5\r\nExpect: 100-continue\r\n");
        client_send(&client, ways[i]);
        client_send(&client, "\r\n");
        client_expect(&client, 100, NULL);
        client_send(&client, "hello");
        client_expect(&client, 200, "hello");
        client_close(&client);
    }
    end(rig);
}

UNIT_TEST(test_requests_and_bodies_sent_before_the_decision_are_kept)
{
    struct http_rig *rig = begin(http_rig_options());
    struct client client = client_connect(rig);
    hold(true);
    client_send(&client, "POST /echo" HTTP_11 "X-Gate: later\r\nContent-Length: 3\r\n\r\none"
                         "POST /echo" HTTP_11 "X-Gate: later\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "3\r\ntwo\r\n0\r\n\r\n"
                         "POST /echo" HTTP_11 "X-Gate: later deny\r\nContent-Length: 5\r\n\r\nthree"
                         "GET /text" HTTP_11 "X-Gate: open\r\n\r\n");
    await_held(1);
    hold(false);
    client_expect(&client, 200, "one");
    client_expect(&client, 200, "two");
    client_expect(&client, 403, NULL);
    client_expect(&client, 200, "hello");
    client_close(&client);
    end(rig);
}

UNIT_TEST(test_other_connections_go_on_while_decisions_are_awaited)
{
    struct http_rig *rig = begin(http_rig_options());
    struct client waiting[40];
    hold(true);
    for (size_t i = 0; i < 40; i++) {
        waiting[i] = client_connect(rig);
        client_send(&waiting[i], "GET /text" HTTP_11 "X-Gate: later\r\n\r\n");
    }
    await_held(40);
    struct client client = client_connect(rig);
    client_send(&client, "GET /text" HTTP_11 "X-Gate: open\r\n\r\n");
    client_expect(&client, 200, "hello");
    client_close(&client);
    hold(false);
    for (size_t i = 0; i < 40; i++) {
        client_expect(&waiting[i], 200, "hello");
        client_close(&waiting[i]);
    }
    end(rig);
}

UNIT_TEST(test_clients_may_go_and_the_server_may_stop_before_the_decision)
{
    struct http_rig *rig = begin(http_rig_options());
    struct client gone = client_connect(rig), stays = client_connect(rig);
    hold(true);
    client_send(&gone, "GET /text" HTTP_11 "X-Gate: later\r\n\r\n");
    client_send(&stays, "GET /text" HTTP_11 "X-Gate: later\r\n\r\n");
    await_held(2);
    client_close(&gone);
    http_server_quiesce(rig->server);
    hold(false);
    end(rig); /* waits for both decisions */
    client_close(&stays);
}

UNIT_TEST(test_a_gate_that_asks_for_the_body_judges_all_of_it)
{
    struct http_rig *rig = begin(http_rig_options());
    struct client client = client_connect(rig);
    client_send(&client, "POST /echo" HTTP_11 "X-Gate: body\r\nContent-Length: 6\r\n\r\nsecret");
    client_expect(&client, 200, "secret");
    client_send(&client, "POST /echo" HTTP_11 "X-Gate: body\r\nContent-Length: 6\r\n\r\nsecreT");
    client_expect(&client, 403, "forbidden\n");
    client_send(&client, "POST /echo" HTTP_11 "X-Gate: body\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "3\r\nsec\r\n3\r\nret\r\n0\r\n\r\n");
    client_expect(&client, 200, "secret");
    client_send(&client, "GET /text" HTTP_11 "X-Gate: body\r\n\r\n");
    client_expect(&client, 403, "forbidden\n");
    client_close(&client);
    end(rig);
}

UNIT_TEST(test_nothing_is_learnt_of_a_request_before_its_body_is_judged)
{
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"POST /echo" HTTP_11, 200},      {"POST /none" HTTP_11, 404},
        {"DELETE /text" HTTP_11, 405},    {"POST //echo" HTTP_11, 308},
        {"GET /json?a=%00" HTTP_11, 400}, {"POST /echo" HTTP_11 "Content-Encoding: x\r\n", 415},
    };
    struct http_rig *rig = begin(http_rig_options());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int is_good = 0; is_good < 2; is_good++) {
            struct client client = client_connect(rig);
            client_send(&client, cases[i].request);
            client_send(&client, "X-Gate: body\r\nContent-Length: 6\r\n\r\n");
            client_send(&client, is_good ? "secret" : "secreT");
            struct response response = client_response(&client, false);
            if (response.status != (is_good ? cases[i].status : 403))
                fail_msg("%s: %d", cases[i].request, response.status);
            if (!is_good) {
                assert_string_equal(response.body, "forbidden\n");
                assert_string_equal(response_header(&response, "Content-Type"),
                                    "text/plain; charset=utf-8");
            }
            response_free(&response);
            client_close(&client);
        }
    }
    end(rig);
}

UNIT_TEST(test_a_denial_does_not_say_if_the_body_was_looked_at)
{
    enum { LONG = 70000 };
    static const char *const forms[] = {"Content-Length: 6", "Content-Length: 70000",
                                        "Transfer-Encoding: chunked",
                                        "Content-Length: 6\r\nExpect: 100-continue"};
    static const char *const ways[] = {"X-Gate: deny\r\n\r\n", "X-Gate: body\r\n\r\n"};
    static char filler[LONG + 1];
    struct http_rig *rig = begin(http_rig_options());
    memset(filler, 'x', LONG);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct response answers[2];
        for (size_t k = 0; k < 2; k++) {
            struct client client = client_connect(rig);
            client_send(&client, "POST /echo" HTTP_11);
            client_send(&client, forms[i]);
            client_send(&client, "\r\n");
            client_send(&client, ways[k]);
            if (i == 3 && k == 1) client_expect(&client, 100, NULL);
            if (k == 1 || i == 0) /* a client that is denied early need not send its body */
                client_send(&client, i == 1   ? filler
                                     : i == 2 ? "6\r\nwrong!\r\n0\r\n\r\n"
                                              : "wrong!");
            answers[k] = client_response(&client, false);
            client_close(&client);
        }
        const char *close = response_header(&answers[0], "Connection");
        assert_true((close != NULL) == (i > 0));
        assert_int_equal(answers[0].status, 403);
        assert_int_equal(answers[1].status, 403);
        assert_string_equal(answers[0].body, answers[1].body);
        assert_int_equal(strlen(answers[0].header), strlen(answers[1].header)); /* times differ */
        assert_true((response_header(&answers[1], "Connection") != NULL) == (i > 0));
        response_free(&answers[0]);
        response_free(&answers[1]);
    }
    end(rig);
}

/* Sends a request with a body of that size, which begins with "secret"; returns its status. */
static int
ask_with_body(struct http_rig *rig, const char *path, size_t size, bool is_chunked)
{
    static char body[BODY_MAX + 1];
    char head[200];
    struct client client = client_connect(rig);
    assert_true(size >= 6 && size < sizeof body);
    memset(body, 'x', size);
    memcpy(body, "secret", 6);
    body[size] = '\0';
    if (is_chunked)
        snprintf(head, sizeof head,
                 "POST %s" HTTP_11 "X-Gate: body\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
                 path, size);
    else
        snprintf(head, sizeof head, "POST %s" HTTP_11 "X-Gate: body\r\nContent-Length: %zu\r\n\r\n",
                 path, size);
    client_send(&client, head);
    client_send(&client, body);
    if (is_chunked) client_send(&client, "\r\n0\r\n\r\n");
    struct response response = client_response(&client, false);
    if (response.status == 503) assert_string_equal(response_header(&response, "Retry-After"), "5");
    int status = response.status;
    response_free(&response);
    client_close(&client);
    return status;
}

UNIT_TEST(test_bodies_that_wait_for_the_gate_have_a_limit_and_a_budget)
{
    struct http_options options = http_rig_options();
    struct budget bodies;
    options.gate.unverified = &bodies;
    struct http_rig *rig = begin(options);
    budget_init(&bodies, "bodies", 60000, &rig->budget);
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        assert_int_equal(ask_with_body(rig, "/echo", 20000, is_chunked), 200);
        assert_int_equal(ask_with_body(rig, "/echo", 20001, is_chunked), 413);
        assert_int_equal(ask_with_body(rig, "/small", 100, is_chunked), 200);
        assert_int_equal(ask_with_body(rig, "/small", 101, is_chunked), 413);
    }
    /* Without room for one more; other requests do not need it. */
    assert_int_equal(budget_take(&bodies, 59900), OK);
    assert_int_equal(ask_with_body(rig, "/echo", 6, false), 503);
    struct client client = client_connect(rig);
    client_send(&client, "POST /echo" HTTP_11 "X-Gate: open\r\nContent-Length: 5\r\n\r\nhello");
    client_expect(&client, 200, "hello");
    budget_give(&bodies, 59900);
    assert_int_equal(ask_with_body(rig, "/echo", 6, false), 200);
    /* A request that was let in does not count any more. */
    client_send(&client, "POST /later" HTTP_11 "X-Gate: body\r\nContent-Length: 6\r\n\r\nsecret");
    struct http_request *request = http_rig_take_held(rig);
    assert_int_equal(budget_used(&bodies), 0);
    assert_true(bytes_equal_text(http_body(request), "secret"));
    http_reply_text(request, 200, "later");
    client_expect(&client, 200, "later");
    client_close(&client);
    end(rig);
    assert_int_equal(budget_used(&bodies), 0);
}

/* Waits until the server has read that many bytes of bodies. */
static void
wait_for_body_bytes(struct http_rig *rig, uint64_t count)
{
    for (int ms = 0; http_rig_stats(rig).body_bytes < count; ms++) {
        assert_true(ms < WAIT_S * 1000);
        poll(NULL, 0, 1);
    }
}

UNIT_TEST(test_a_body_sent_to_a_route_open_to_all_is_thrown_away)
{
    enum { BODY_BYTES = 90000, FIRST_BYTES = 80000 };
    static char body[BODY_BYTES];
    memset(body, 'x', sizeof body);
    struct http_rig *rig = begin(http_rig_options());
    uint64_t sent = 0;
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        struct client client = client_connect(rig);
        char head[8000] = "";
        for (int i = 0; i < 3500; i++)
            strcat(head, i == 0 ? "GET /text?a" : "&a");
        snprintf(head + strlen(head), 200, HTTP_11 "X-Gate: anyone\r\n%s: %s\r\n\r\n%s",
                 is_chunked ? "Transfer-Encoding" : "Content-Length",
                 is_chunked ? "chunked" : "90000", is_chunked ? "15f90\r\n" : "");
        client_send(&client, head);
        wait_for_body_bytes(rig, sent);
        uint64_t before = budget_used(&rig->budget);
        client_send_bytes(&client, body, FIRST_BYTES);
        wait_for_body_bytes(rig, sent += FIRST_BYTES);
        assert_true(budget_used(&rig->budget) < before + 30000); /* its head, without arguments */
        client_send_bytes(&client, body, BODY_BYTES - FIRST_BYTES);
        sent += BODY_BYTES - FIRST_BYTES;
        if (is_chunked) client_send(&client, "\r\n0\r\n\r\n");
        client_expect(&client, 200, "hello");
        client_close(&client);
    }
    end(rig);
}

UNIT_TEST(test_large_answers_to_anyone_take_memory_of_what_is_not_verified)
{
    struct http_options options = http_rig_options();
    struct budget unverified;
    static uint8_t file[50000];
    options.gate.unverified = &unverified;
    struct http_rig *rig = begin(options);
    budget_init(&unverified, "unverified", 100000, &rig->budget);
    struct client client = client_connect(rig);
    for (int is_full = 0; is_full < 2; is_full++) {
        for (int ms = 0; budget_used(&unverified) > 0; ms++) { /* until the answer is freed */
            assert_true(ms < WAIT_S * 1000);
            poll(NULL, 0, 1);
        }
        if (is_full) assert_int_equal(budget_take(&unverified, 99000), OK);
        client_send(&client, "GET /blob?size=50000" HTTP_11 "X-Gate: open\r\n\r\n");
        client_expect(&client, 200, NULL);
        client_send(&client, "GET /text" HTTP_11 "X-Gate: anyone\r\n\r\n");
        client_expect(&client, 200, NULL);
        client_send(&client, "GET /later" HTTP_11 "X-Gate: anyone\r\n\r\n");
        http_reply(http_rig_take_held(rig),
                   &(struct http_answer){.status = 200, .body = bytes_of(file, sizeof file)});
        client_expect(&client, is_full ? 503 : 200, NULL);
    }
    budget_give(&unverified, 99000);
    client_close(&client);
    end(rig);
}

/* Asks with a head of about that many bytes, most of them in one argument. */
static void
ask_with_head(struct client *client, const char *path, const char *says, size_t size)
{
    char *head = malloc(size + 200);
    int used = sprintf(head, "GET %s?x=", path);
    memset(head + used, 'a', size);
    sprintf(head + used + size, HTTP_11 "X-Gate: %s\r\n\r\n", says);
    client_send(client, head);
    free(head);
}

UNIT_TEST(test_long_heads_take_memory_only_of_what_is_not_verified)
{
    enum { SHORT = 8000, LONG = 100000 };
    struct http_options options = http_rig_options();
    struct budget unverified;
    options.gate.unverified = &unverified;
    options.header_bytes_max = 2 * LONG;
    struct http_rig *rig = begin(options);
    budget_init(&unverified, "unverified", 10 * LONG, &rig->budget);
    struct client client = client_connect(rig), other = client_connect(rig);
    /* It grows there, and leaves when the gate has let it in. */
    client_send(&other, "GET /text?x=");
    for (unsigned i = 0; i < LONG / 10; i++)
        client_send_bytes(&other, "aaaaaaaaaa", 10);
    for (int ms = 0; budget_used(&unverified) < LONG; ms++) {
        assert_true(ms < WAIT_S * 1000);
        poll(NULL, 0, 1);
    }
    client_send(&other, HTTP_11 "X-Gate: open\r\n\r\n");
    client_expect(&other, 200, "hello");
    static const char *const ways[] = {"open", "later"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        ask_with_head(&client, "/later", ways[i], LONG);
        struct http_request *request = http_rig_take_held(rig);
        assert_int_equal(budget_used(&unverified), 0);
        http_reply_text(request, 200, "late");
        client_expect(&client, 200, "late");
    }
    /* Where others use it up, short heads do not need it. */
    assert_int_equal(budget_take(&unverified, 10 * LONG - 1000), OK);
    ask_with_head(&client, "/text", "open", SHORT);
    client_expect(&client, 200, "hello");
    ask_with_head(&client, "/text", "open", LONG);
    client_expect(&client, 503, NULL);
    budget_give(&unverified, 10 * LONG - 1000);
    client_close(&client);
    client_close(&other);
    end(rig);
    assert_int_equal(budget_used(&unverified), 0);
}

/* --- places of connections -------------------------------------------------------------------- */

/* Connects to a place of the server from 127.0.0.`from`. */
static struct client
connect_from(struct http_rig *rig, size_t place, uint32_t from)
{
    struct client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct timeval limit = {.tv_sec = WAIT_S};
    struct sockaddr_in own = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + from)},
                       to = {.sin_family = AF_INET,
                             .sin_port = htons(rig->server->listeners[place].port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(bind(client.fd, (struct sockaddr *)&own, sizeof own), 0);
    assert_int_equal(connect(client.fd, (struct sockaddr *)&to, sizeof to), 0);
    client.bytes = malloc(CLIENT_BYTES);
    return client;
}

static unsigned
count_idle(struct http_rig *rig)
{
    unsigned count = 0;
    lock_take(&rig->server->lock);
    for (struct http_conn *conn = rig->server->conns; conn != NULL; conn = conn->next)
        count += http_clock_phase(atomic_load(&conn->clock)) == HTTP_PHASE_IDLE;
    lock_drop(&rig->server->lock);
    return count;
}

/* Makes a request on the connection, and waits until that many are idle. */
static void
ask_and_idle(struct http_rig *rig, struct client *client, const char *says, unsigned idle_count)
{
    client_send(client, "GET /text" HTTP_11 "X-Gate: ");
    client_send(client, says);
    client_send(client, "\r\n\r\n");
    client_expect(client, 200, "hello");
    for (int ms = 0; count_idle(rig) != idle_count; ms++) {
        assert_true(ms < WAIT_S * 1000);
        poll(NULL, 0, 1);
    }
}

UNIT_TEST(test_a_new_connection_gets_the_place_of_an_idle_one_without_a_user)
{
    if (http_rig_has_tls()) return; /* accepting is the same */
    static const struct {
        const char *says;
        uint32_t from;
    } inside[] = {{"open", 2},   {"anyone", 3}, {"anyone", 2}, {"anyone", 2},
                  {"anyone", 2}, {"anyone", 3}, {"open", 3},   {"open", 3}};
    enum { COUNT = 8, SILENT_COUNT = 20 };
    struct http_options options = http_rig_options();
    options.connections_max = COUNT;
    struct http_rig *rig = begin(options);
    rig->server->seed = 1; /* of hashes, in which these addresses have places of their own */
    struct client clients[COUNT], silent[SILENT_COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        clients[i] = connect_from(rig, 0, inside[i].from);
        ask_and_idle(rig, &clients[i], inside[i].says, i + 1);
    }
    /* Three connections of the second address have no user: the first of them ends. */
    struct client client = connect_from(rig, 0, 4);
    ask_and_idle(rig, &client, "anyone", COUNT);
    client_expect_end(&clients[2]);
    assert_int_equal(http_rig_stats(rig).connections_displaced, 1);
    /* Many silent ones displace each other as soon as they have the most, and none with a user. */
    for (unsigned i = 0; i < SILENT_COUNT; i++) {
        uint64_t before = http_rig_stats(rig).connections_total;
        silent[i] = connect_from(rig, 0, 5);
        for (int ms = 0; http_rig_stats(rig).connections_total == before ||
                         http_rig_stats(rig).connections_now > COUNT;
             ms++) {
            assert_true(ms < WAIT_S * 1000);
            poll(NULL, 0, 1);
        }
    }
    ask_and_idle(rig, &clients[0], "open", count_idle(rig));
    ask_and_idle(rig, &clients[6], "open", count_idle(rig));
    ask_and_idle(rig, &clients[7], "open", count_idle(rig));
    assert_int_equal(http_rig_stats(rig).connections_displaced, 1 + SILENT_COUNT);
    assert_int_equal(http_rig_stats(rig).connections_refused, 0);
    for (unsigned i = 0; i < COUNT; i++)
        client_close(&clients[i]);
    for (unsigned i = 0; i < SILENT_COUNT; i++)
        client_close(&silent[i]);
    client_close(&client);
    end(rig);
}

UNIT_TEST(test_without_users_an_answer_that_is_being_sent_keeps_its_place)
{
    if (http_rig_has_tls()) return; /* accepting is the same */
    struct http_options options = http_rig_options();
    options.connections_max = 1;
    struct http_rig *rig = begin(options);
    struct client reader = client_connect_buffered(rig, 4096), other;
    client_send(&reader, "GET /stream?size=8000000&piece=5000" HTTP_11 "X-Gate: no users\r\n\r\n");
    assert_true(client_read_more(&reader));
    other = client_connect(rig);
    client_send(&other, "GET /text" HTTP_11 "X-Gate: no users\r\n\r\n");
    client_expect(&other, 503, "too many connections, retry later\n");
    struct response response = client_response(&reader, false);
    assert_true(response.whole);
    assert_int_equal(response.body_size, 8000000);
    response_free(&response);
    client_close(&reader);
    client_close(&other);
    end(rig);
}

UNIT_TEST(test_each_listener_has_a_share_of_the_connections)
{
    if (http_rig_has_tls()) return; /* accepting is the same */
    enum { COUNT = 8 };
    for (int has_users = 0; has_users < 2; has_users++) {
        struct http_options options = http_rig_options();
        struct http_place places[] = {options.places[0], options.places[0]};
        options.places = places;
        options.place_count = 2;
        options.connections_max = COUNT; /* one is kept for each place */
        struct http_rig *rig = begin(options);
        struct client clients[COUNT], other, last, more = {.fd = -1};
        for (unsigned i = 0; i + 1 < COUNT; i++) {
            clients[i] = connect_from(rig, 0, 1);
            ask_and_idle(rig, &clients[i], has_users ? "open" : "anyone", i + 1);
        }
        /* The first place has no more than these, though one is free: the second one has it. */
        last = connect_from(rig, 0, 1);
        client_send(&last, "GET /text" HTTP_11 "X-Gate: anyone\r\n\r\n");
        client_expect(&last, has_users ? 503 : 200,
                      has_users ? "too many connections, retry later\n" : "hello");
        if (!has_users) client_expect_end(&clients[0]);
        other = connect_from(rig, 1, 1);
        ask_and_idle(rig, &other, "anyone", COUNT);
        assert_int_equal(http_rig_stats(rig).connections_displaced, has_users ? 0 : 1);
        /* It keeps it, also when it has been idle longest. */
        for (unsigned i = 1; i + 1 < COUNT && !has_users; i++)
            ask_and_idle(rig, &clients[i], "anyone", COUNT);
        if (!has_users) {
            client_close(&last);
            last = connect_from(rig, 0, 1);
            ask_and_idle(rig, &last, "anyone", COUNT);
            more = connect_from(rig, 0, 1);
            ask_and_idle(rig, &more, "anyone", COUNT);
            client_expect_end(&clients[1]);
            ask_and_idle(rig, &other, "anyone", COUNT);
        }
        for (unsigned i = 0; i + 1 < COUNT; i++)
            client_close(&clients[i]);
        client_close(&other);
        client_close(&last);
        client_close(&more);
        end(rig);
    }
}

static void
fail_each_allocation_of(const char *way)
{
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct http_rig *rig = begin(http_rig_options());
        struct client client = client_connect(rig);
        hold(true);
        mem_fail_nth(nth, true);
        client_send(&client, "POST /echo" HTTP_11 "Content-Length: 6\r\nX-Gate: ");
        client_send(&client, way);
        client_send(&client, "\r\n\r\nsecret");
        hold(false);
        struct response response = client_response(&client, false);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (response.status != 503 && response.status != 0) assert_int_equal(response.status, 200);
        if (response.status == 200) assert_string_equal(response.body, "secret");
        response_free(&response);
        client_close(&client);
        end(rig);
        assert_true(nth < 100);
    }
}

UNIT_TEST(test_each_allocation_may_fail_while_the_gate_decides)
{
    fail_each_allocation_of("later");
    fail_each_allocation_of("body");
}

int
main(void)
{
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_not_let_in_learns_nothing_about_the_request),
        cmocka_unit_test(test_who_is_let_in_is_answered_as_without_a_gate),
        cmocka_unit_test(test_requests_and_bodies_sent_before_the_decision_are_kept),
        cmocka_unit_test(test_other_connections_go_on_while_decisions_are_awaited),
        cmocka_unit_test(test_clients_may_go_and_the_server_may_stop_before_the_decision),
        cmocka_unit_test(test_a_gate_that_asks_for_the_body_judges_all_of_it),
        cmocka_unit_test(test_nothing_is_learnt_of_a_request_before_its_body_is_judged),
        cmocka_unit_test(test_a_denial_does_not_say_if_the_body_was_looked_at),
        cmocka_unit_test(test_bodies_that_wait_for_the_gate_have_a_limit_and_a_budget),
        cmocka_unit_test(test_a_body_sent_to_a_route_open_to_all_is_thrown_away),
        cmocka_unit_test(test_large_answers_to_anyone_take_memory_of_what_is_not_verified),
        cmocka_unit_test(test_long_heads_take_memory_only_of_what_is_not_verified),
        cmocka_unit_test(test_a_new_connection_gets_the_place_of_an_idle_one_without_a_user),
        cmocka_unit_test(test_without_users_an_answer_that_is_being_sent_keeps_its_place),
        cmocka_unit_test(test_each_listener_has_a_share_of_the_connections),
        cmocka_unit_test(test_each_allocation_may_fail_while_the_gate_decides),
    };
    int failed = cmocka_run_group_tests_name("clear", tests, NULL, NULL);
    http_rig_use_tls(TLS_1_3);
    failed += cmocka_run_group_tests_name("TLS 1.3", tests, NULL, NULL);
    http_rig_use_tls(NULL);
    return failed;
}
