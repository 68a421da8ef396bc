/*
 * gate_test.c - the gate beside a real HTTP server: who is let in where, and what others learn.
 */
#include "auth/gate.h"

#include <gnutls/gnutls.h>

#include "auth/issuers.h"
#include "base/mem.h"
#include "base/text/base64.h"
#include "lib/auth/token_signer.h"
#include "lib/net/http_rig.h"
#include "lib/test.h"

#define TEXTS(...)                                                       \
    {                                                                    \
        (const char *[]){__VA_ARGS__},                                   \
            sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *) \
    }
/* SHA-256 of "abc". */
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
/* bcrypt of "secret", cost 4 */
#define SECRET "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

static struct user_settings settings[] = {
    {.name = "reader", .password = SECRET, .permissions = PERMISSION_READ},
    {.name = "writer", .tokens = TEXTS(ABC), .permissions = PERMISSION_WRITE},
    {.name = "both", .password = SECRET, .permissions = PERMISSION_READ | PERMISSION_WRITE},
    {.name = "none", .client_certificate = "n.test", .permissions = PERMISSION_METRICS},
};

static struct gate *gate;
static struct budget memory;
static struct env clocked; /* the real one, with a clock that tests move on */
static struct env_ops clocked_ops;
static _Atomic int64_t later_ns;

static int64_t
monotonic_ns(struct env *env)
{
    (void)env;
    return env_real()->ops->monotonic_ns(env_real()) + later_ns;
}

static void
set_users(uint32_t count)
{
    struct users *users = NULL;
    struct user_list list = {settings, count};
    assert_int_equal(users_new(&list, NULL, &memory, &users, NULL), OK);
    gate_set_users(gate, users);
    users_release(users);
}

static struct http_rig *
begin(void)
{
    struct http_options options = http_rig_options();
    clocked_ops = *env_real()->ops;
    clocked_ops.monotonic_ns = monotonic_ns;
    clocked.ops = &clocked_ops;
    budget_init(&memory, "gate", 0, NULL);
    assert_int_equal(gate_new(&clocked, &memory, &gate, NULL), OK);
    set_users(4);
    options.gate = gate_of_server(gate);
    return http_rig_new(options);
}

static void
end(struct http_rig *rig)
{
    http_rig_free(rig);
    gate_free(gate);
    assert_int_equal(budget_used(&memory), 0);
}

/* Returns the status of a request with this line Authorization; NULL: without one. */
static int
ask(struct http_rig *rig, const char *request, const char *authorization)
{
    struct client client = client_connect(rig);
    client_send(&client, request);
    client_send(&client, HTTP_11);
    if (authorization != NULL) {
        client_send(&client, "Authorization: ");
        client_send(&client, authorization);
        client_send(&client, "\r\n");
    }
    client_send(&client, "Content-Length: 0\r\n\r\n");
    struct response response = client_response(&client, false);
    int status = response.status;
    const char *challenge = response_header(&response, "WWW-Authenticate");
    assert_true((challenge != NULL) == (status == 401));
    response_free(&response);
    client_close(&client);
    return status;
}

static int
ask_as(struct http_rig *rig, const char *request, const char *credentials)
{
    char header[256];
    struct buf text;
    buf_init(&text, NULL, sizeof header);
    base64_put(&text, bytes_of_text(credentials));
    snprintf(header, sizeof header, "Basic %.*s", (int)text.size, (const char *)text.at);
    buf_fini(&text);
    return ask(rig, request, header);
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_passwords_are_asked_for_and_permissions_hold)
{
    static const struct {
        const char *request, *credentials;
        int status;
    } cases[] = {
        {"GET /text", "reader:secret", 200},   {"POST /echo", "reader:secret", 403},
        {"GET /text", "both:secret", 200},     {"POST /echo", "both:secret", 200},
        {"GET /text", "reader:Secret", 401},   {"GET /text", "reader:", 401},
        {"GET /text", "reader", 401},          {"GET /text", "Reader:secret", 401},
        {"GET /text", "writer:secret", 401},   {"GET /text", "unknown:secret", 401},
        {"GET /text", ":secret", 401},         {"GET /none", "reader:secret", 404},
        {"GET /none", "reader:wrong", 401},    {"DELETE /text", "reader:secret", 405},
        {"DELETE /text", "reader:wrong", 401}, {"GET /blob", "reader:wrong", 200},
    };
    struct http_rig *rig = begin();
    for (int round = 0; round < 2; round++) { /* the second finds passwords in memory */
        later_ns += 200 * NS_PER_S;           /* failures are forgotten, passwords are not */
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            int status = ask_as(rig, cases[i].request, cases[i].credentials);
            if (status != cases[i].status)
                fail_msg("%s as %s: %d", cases[i].request, cases[i].credentials, status);
        }
    }
    struct gate_stats stats;
    gate_stats(gate, &stats);
    assert_true(stats.passwords_known > 5);
    assert_true(stats.refused[GATE_UNKNOWN] == 18 && stats.refused[GATE_FORBIDDEN] == 2);
    end(rig);
}

UNIT_TEST(test_tokens_let_in_and_malformed_headers_do_not)
{
    static const struct {
        const char *request, *header;
        int status;
    } cases[] = {
        {"POST /echo", "Bearer abc", 200},
        {"POST /echo", "bearer  abc", 200},
        {"GET /text", "Bearer abc", 403},
        {"POST /echo", "Bearer abd", 401},
        {"POST /echo", "Bearer", 401},
        {"POST /echo", "Bearer ", 401},
        {"POST /echo", "abc", 401},
        {"POST /echo", "", 401},
        {"POST /echo", NULL, 401},
        {"POST /echo", "Digest abc", 401},
        {"GET /text", "Basic !!!!", 401},
        {"GET /text", "Basic cmVhZGVyOnNlY3JldA==", 200},
        {"GET /text", "BASIC cmVhZGVyOnNlY3JldA==", 200},
        {"GET /text", "Basic cmVhZGVyOnNlY3JldA", 401},
        {"GET /text", "Basic cmVhZGVyOnNlY3JldA==\r\nAuthorization: Bearer abc", 401},
        {"GET /blob", "Bearer abd", 200},
        {"GET /blob", NULL, 200},
    };
    struct http_rig *rig = begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = ask(rig, cases[i].request, cases[i].header);
        if (status != cases[i].status)
            fail_msg("%s, %s: %d", cases[i].request, cases[i].header, status);
    }
    end(rig);
}

UNIT_TEST(test_a_place_serves_what_it_is_allowed_to)
{
    struct http_rig *rig = begin();
    unsigned only_write = PERMISSION_WRITE;
    gate_set_places(gate, &only_write, 1);
    assert_int_equal(ask_as(rig, "POST /echo", "both:secret"), 200);
    assert_int_equal(ask_as(rig, "GET /text", "both:secret"), 403);
    assert_int_equal(ask(rig, "GET /text", NULL), 403);
    assert_int_equal(ask(rig, "GET /blob", NULL), 200);
    set_users(0);
    assert_int_equal(ask(rig, "GET /text", NULL), 403);
    assert_int_equal(ask(rig, "POST /echo", NULL), 200);
    end(rig);
}

UNIT_TEST(test_users_that_change_count_at_once_on_open_connections)
{
    struct http_rig *rig = begin();
    struct client client = client_connect(rig);
    static const char request[] =
        "GET /text" HTTP_11 "Authorization: Basic cmVhZGVyOnNlY3JldA==\r\n\r\n";
    client_send(&client, request);
    client_expect(&client, 200, "hello");
    settings[0].password = NULL;
    set_users(4);
    client_send(&client, request);
    client_expect(&client, 401, "unauthorized\n");
    settings[0].password = SECRET;
    set_users(4);
    client_send(&client, request);
    client_expect(&client, 200, "hello");
    set_users(0);
    client_send(&client, "GET /text" HTTP_11 "\r\n");
    client_expect(&client, 200, "hello");
    client_close(&client);
    end(rig);
}

/* Users change while passwords are hashed; each request gets one answer. */
UNIT_TEST(test_users_may_change_while_passwords_are_checked)
{
    enum { CLIENTS = 60 };
    struct http_rig *rig = begin();
    struct client clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_connect(rig);
        client_send(&clients[i], i % 8 != 0 ? "GET /text" HTTP_11
                                              "Authorization: Basic cmVhZGVyOnNlY3JldA==\r\n\r\n"
                                            : "GET /text" HTTP_11
                                              "Authorization: Basic cmVhZGVyOnNlY3JldB==\r\n\r\n");
        if (i % 10 == 9) set_users(4 - (uint32_t)i % 2);
    }
    for (int i = 0; i < CLIENTS; i++) {
        client_expect(&clients[i], i % 8 != 0 ? 200 : 401, NULL);
        client_close(&clients[i]);
    }
    end(rig);
}

UNIT_TEST(test_a_client_that_fails_often_is_slowed_down_and_known_ones_are_not)
{
    struct http_rig *rig = begin();
    assert_int_equal(ask_as(rig, "GET /text", "reader:secret"), 200);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(ask_as(rig, "GET /text", "reader:wrong"), 401);
    }
    assert_int_equal(ask_as(rig, "GET /text", "reader:wrong"), 503);
    assert_int_equal(ask_as(rig, "GET /text", "both:secret"), 503);
    assert_int_equal(ask_as(rig, "GET /text", "reader:secret"), 200);
    assert_int_equal(ask(rig, "POST /echo", "Bearer abc"), 200);
    later_ns += 11 * NS_PER_S;
    assert_int_equal(ask_as(rig, "GET /text", "both:secret"), 200);
    assert_int_equal(ask_as(rig, "GET /text", "reader:wrong"), 401);
    assert_int_equal(ask_as(rig, "GET /text", "reader:wrong"), 503);
    /* Behind a proxy, each client has failures of its own. */
    struct networks proxies = {.count = 1};
    assert_true(network_parse("127.0.0.1", &proxies.items[0]));
    gate_set_proxies(gate, &proxies);
    assert_int_equal(
        ask(rig, "GET /text", "Basic cmVhZGVyOnNlY3JldB==\r\nX-Forwarded-For: 1.2.3.4"), 401);
    end(rig);
}

/* --- tokens of issuers ------------------------------------------------------------------------ */

static int64_t
realtime_ms(struct env *env)
{
    (void)env;
    return 1700000000000 + later_ns / NS_PER_MS;
}

static struct issuers *issuers;
static struct token_signer *signer;

/* Lets a user in who has tokens of an issuer. */
static void
set_jwt_users(void)
{
    struct user_settings one = {
        .name = "jo",
        .permissions = PERMISSION_READ,
        .tokens = TEXTS(ABC),
        .jwt = {true, "https://i", .audience = TEXTS("fire")},
    };
    struct users *users = NULL;
    struct user_list list = {&one, 1};
    assert_int_equal(users_new(&list, issuers, &memory, &users, NULL), OK);
    gate_set_users(gate, users);
    users_release(users);
}

static struct http_rig *
begin_with_issuer(void)
{
    struct http_rig *rig = begin();
    clocked_ops.realtime_ms = realtime_ms;
    later_ns = 0;
    assert_int_equal(issuers_new(&clocked, &memory, &issuers, NULL), OK);
    signer = token_signer_new(TOKEN_KEY_ED25519);
    set_jwt_users();
    return rig;
}

static void
end_with_issuer(struct http_rig *rig)
{
    http_rig_free(rig);
    gate_free(gate);
    issuers_free(issuers);
    token_signer_free(signer);
    assert_int_equal(budget_used(&memory), 0);
}

static void
give_keys(void)
{
    struct buf document;
    int64_t wait_ns;
    buf_init(&document, NULL, 1000);
    buf_put_text(&document, "{\"keys\":[");
    token_signer_jwk(signer, "\"kid\":\"k\",", &document);
    buf_put_text(&document, "]}");
    issuer_fetched(issuers_due(issuers, &wait_ns), buf_bytes(&document));
    buf_fini(&document);
}

/* Writes a line Authorization with a token that has these claims besides issuer and audience. */
static const char *
bearer(const char *kid, const char *claims)
{
    static char line[2000];
    char header[100], payload[500];
    struct buf token;
    buf_init(&token, NULL, sizeof line - 100);
    snprintf(header, sizeof header, "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", kid);
    snprintf(payload, sizeof payload, "{\"iss\":\"https://i\",\"aud\":\"fire\"%s}", claims);
    token_signer_token(signer, "Ed25519", header, bytes_of_text(payload), &token);
    snprintf(line, sizeof line, "Bearer %.*s", (int)token.size, (const char *)token.at);
    buf_fini(&token);
    return line;
}

UNIT_TEST(test_tokens_of_issuers_let_in_and_wait_for_keys)
{
    static const char exp[] = ",\"exp\":1700000100";
    struct http_rig *rig = begin_with_issuer();
    assert_int_equal(ask(rig, "GET /text", bearer("k", exp)), 503); /* never read */
    assert_int_equal(ask(rig, "GET /text", "Bearer abc"), 200);
    assert_int_equal(ask(rig, "GET /text", "Bearer a.b.c"), 401);
    give_keys();
    assert_int_equal(ask(rig, "GET /text", bearer("k", exp)), 200);
    assert_int_equal(ask(rig, "POST /echo", bearer("k", exp)), 403);
    assert_int_equal(ask(rig, "GET /none", bearer("k", exp)), 404);
    assert_int_equal(ask(rig, "GET /text", bearer("k", "")), 401);
    assert_int_equal(ask(rig, "GET /text", bearer("other", exp)), 401);
    later_ns = 61 * NS_PER_S;
    assert_int_equal(ask(rig, "GET /text", bearer("other", exp)), 503); /* are fetched again */
    give_keys();
    assert_int_equal(ask(rig, "GET /text", bearer("other", exp)), 401);
    /* Failures of an address do not keep out good tokens. */
    for (int i = 0; i < 12; i++) {
        assert_int_equal(ask(rig, "GET /text", "Bearer a.b.c"), 401);
    }
    assert_int_equal(ask(rig, "GET /text", bearer("k", exp)), 200);
    end_with_issuer(rig);
}

UNIT_TEST(test_a_token_that_expires_ends_on_an_open_connection)
{
    struct http_rig *rig = begin_with_issuer();
    give_keys();
    struct client client = client_connect(rig);
    char request[2200];
    snprintf(request, sizeof request, "GET /text" HTTP_11 "Authorization: %s\r\n\r\n",
             bearer("k", ",\"exp\":1700000100"));
    client_send(&client, request);
    client_expect(&client, 200, "hello");
    later_ns = 159 * NS_PER_S;
    client_send(&client, request);
    client_expect(&client, 200, "hello");
    later_ns = 160 * NS_PER_S;
    client_send(&client, request);
    client_expect(&client, 401, "unauthorized\n");
    later_ns = 159 * NS_PER_S;
    set_users(4); /* who has no user any more is not let in either */
    client_send(&client, request);
    client_expect(&client, 401, "unauthorized\n");
    client_close(&client);
    end_with_issuer(rig);
}

UNIT_TEST(test_a_token_survives_each_failing_allocation)
{
    bool fired = true;
    struct http_rig *rig = begin_with_issuer();
    give_keys();
    for (uint64_t nth = 1; fired; nth++) {
        const char *line = bearer("k", ",\"exp\":1700000100");
        mem_fail_nth(nth, true);
        int status = ask(rig, "GET /text", line);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (status != 200 && status != 503 && status != 0) fail_msg("%d", status);
        assert_true(nth < 200);
    }
    end_with_issuer(rig);
}

UNIT_TEST(test_requests_beyond_the_rate_get_429)
{
    struct http_rig *rig = begin();
    set_users(0);
    gate_set_rate(gate, 10 * NS_PER_S, 3);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ask(rig, "GET /text", NULL), i < 3 ? 200 : 429);
    }
    later_ns += 10 * NS_PER_S;
    assert_int_equal(ask(rig, "GET /text", NULL), 200);
    assert_int_equal(ask(rig, "GET /text", NULL), 429);
    gate_set_rate(gate, 0, 0);
    assert_int_equal(ask(rig, "GET /text", NULL), 200);
    end(rig);
}

UNIT_TEST(test_each_allocation_may_fail)
{
    bool fired = true;
    struct http_rig *rig = begin();
    for (uint64_t nth = 1; fired; nth++) {
        set_users(4); /* forgets passwords */
        mem_fail_nth(nth, true);
        int status = ask_as(rig, "GET /text", "reader:secret");
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (status != 200 && status != 503 && status != 0) fail_msg("%d", status);
        assert_int_equal(ask_as(rig, "GET /text", "reader:secret"), 200);
        assert_true(nth < 200);
    }
    end(rig);
}

int
main(void)
{
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passwords_are_asked_for_and_permissions_hold),
        cmocka_unit_test(test_tokens_let_in_and_malformed_headers_do_not),
        cmocka_unit_test(test_a_place_serves_what_it_is_allowed_to),
        cmocka_unit_test(test_users_that_change_count_at_once_on_open_connections),
        cmocka_unit_test(test_users_may_change_while_passwords_are_checked),
        cmocka_unit_test(test_a_client_that_fails_often_is_slowed_down_and_known_ones_are_not),
        cmocka_unit_test(test_tokens_of_issuers_let_in_and_wait_for_keys),
        cmocka_unit_test(test_a_token_that_expires_ends_on_an_open_connection),
        cmocka_unit_test(test_a_token_survives_each_failing_allocation),
        cmocka_unit_test(test_requests_beyond_the_rate_get_429),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
