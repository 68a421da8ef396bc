/*
 * gate_test.c - the gate beside a real HTTP server: who is let in where, and what others learn.
 */
#include "auth/gate.h"

#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <unistd.h>

#include "auth/origin.h"
#include "auth/tokens/tokens.h"
#include "base/mem.h"
#include "base/text/base64.h"
#include "lib/auth/gate_rig.h"
#include "lib/auth/token_signer.h"
#include "lib/test.h"
#include "lib/texts.h"

static struct user_settings settings[] = {
    {.name = "reader", .password = SECRET_BCRYPT, .permissions = PERMISSION_READ},
    {.name = "writer", .tokens = TEXTS(ABC_SHA256), .permissions = PERMISSION_WRITE},
    {.name = "both", .password = SECRET_BCRYPT, .permissions = PERMISSION_READ | PERMISSION_WRITE},
    {.name = "none", .client_certificate = "n.test", .permissions = PERMISSION_METRICS},
    {.name = "called", .iam_callers = TEXTS("arn:called/*"), .permissions = PERMISSION_READ},
};

static _Atomic int64_t later_ns; /* by how much tests have moved the clock on */

static int64_t
monotonic_ns(struct env *env)
{
    (void)env;
    return env_real()->ops->monotonic_ns(env_real()) + later_ns;
}

static void
set_users(uint32_t count)
{
    gate_rig_set_users(&(struct user_list){settings, count}, NULL);
}

static struct http_rig *
begin(void)
{
    struct http_rig *rig = gate_rig_begin();
    gate_rig.ops.monotonic_ns = monotonic_ns;
    set_users(5);
    return rig;
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
    gate_stats(gate_rig.gate, &stats);
    assert_true(stats.passwords_known > 5);
    assert_true(stats.refused[GATE_UNKNOWN] == 18 && stats.refused[GATE_FORBIDDEN] == 2);
    gate_rig_end(rig);
}

UNIT_TEST(test_parallel_guesses_are_hashed_as_if_they_came_one_by_one)
{
    enum { GUESSES = 40 };
    struct http_rig *rig = begin();
    struct client clients[GUESSES];
    struct buf text;
    unsigned refused = 0;
    later_ns += 200 * NS_PER_S;
    buf_init(&text, NULL, 64);
    for (int i = 0; i < GUESSES; i++) {
        clients[i] = client_connect(rig);
        client_send(&clients[i], "GET /text" HTTP_11);
    }
    for (int i = 0; i < GUESSES; i++) {
        char guess[32], header[128];
        snprintf(guess, sizeof guess, "reader:guess%d", i);
        buf_clear(&text);
        base64_put(&text, bytes_of_text(guess));
        snprintf(header, sizeof header, "Authorization: Basic %.*s\r\n\r\n", (int)text.size,
                 (const char *)text.at);
        client_send(&clients[i], header);
    }
    for (int i = 0; i < GUESSES; i++) {
        struct response response = client_response(&clients[i], false);
        refused += response.status == 401;
        if (response.status != 401) assert_int_equal(response.status, 503);
        response_free(&response);
        client_close(&clients[i]);
    }
    buf_fini(&text);
    struct gate_stats stats;
    gate_stats(gate_rig.gate, &stats);
    assert_int_equal(refused, 10);
    assert_int_equal(stats.passwords_hashed, 10);
    gate_rig_end(rig);
}

/* Returns the status of a request with a token, and a caller before it. */
static int
ask_from(struct http_rig *rig, const char *request, const char *caller, bool is_genuine)
{
    struct buf text;
    buf_init(&text, NULL, 300);
    buf_put_text(&text, "Bearer abc\r\n" CALLER_HEADER ": ");
    if (is_genuine)
        caller_put(&text, caller);
    else
        buf_put_text(&text, caller);
    buf_put_u8(&text, '\0');
    int status = ask(rig, request, (const char *)text.at);
    buf_fini(&text);
    return status;
}

UNIT_TEST(test_verified_caller_decides_and_a_claimed_one_does_not)
{
    struct http_rig *rig = begin();
    assert_int_equal(caller_begin(env_real()), OK);
    assert_int_equal(ask_from(rig, "GET /text", "arn:called/1", true), 200);
    assert_int_equal(ask_from(rig, "POST /echo", "arn:called/1", true), 403);
    assert_int_equal(ask_from(rig, "GET /text", "arn:other", true), 401);
    assert_int_equal(ask_from(rig, "GET /text", "arn:called/1", false), 403);
    assert_int_equal(ask_from(rig, "POST /echo", "arn:called/1", false), 200);
    gate_rig_end(rig);
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
    gate_rig_end(rig);
}

UNIT_TEST(test_a_place_serves_what_it_is_allowed_to)
{
    struct http_rig *rig = begin();
    unsigned only_write = PERMISSION_WRITE;
    gate_set_places(gate_rig.gate, &only_write, 1);
    assert_int_equal(ask_as(rig, "POST /echo", "both:secret"), 200);
    assert_int_equal(ask_as(rig, "GET /text", "both:secret"), 403);
    assert_int_equal(ask(rig, "GET /text", NULL), 403);
    assert_int_equal(ask(rig, "GET /blob", NULL), 200);
    set_users(0);
    assert_int_equal(ask(rig, "GET /text", NULL), 403);
    assert_int_equal(ask(rig, "POST /echo", NULL), 200);
    gate_rig_end(rig);
}

UNIT_TEST(test_without_users_a_guarded_place_knows_its_hosts)
{
    struct http_rig *rig = begin(); /* requests have "Host: x" */
    struct gate_guard guard = {.is_guarded = {true}, .allowed_hosts = "", .external_url = ""};
    gate_set_guard(gate_rig.gate, &guard);
    assert_int_equal(ask_as(rig, "GET /text", "reader:secret"), 200);
    set_users(0);
    assert_int_equal(ask(rig, "GET /text", NULL), 403);
    assert_int_equal(ask(rig, "POST /echo", NULL), 403);
    assert_int_equal(ask(rig, "GET /none", NULL), 403);
    assert_int_equal(ask(rig, "GET /blob", NULL), 200);
    snprintf(guard.allowed_hosts, sizeof guard.allowed_hosts, "y,x");
    gate_set_guard(gate_rig.gate, &guard);
    assert_int_equal(ask(rig, "GET /text", NULL), 200);
    guard = (struct gate_guard){.is_guarded = {true}, .external_url = "https://x/keep"};
    gate_set_guard(gate_rig.gate, &guard);
    assert_int_equal(ask(rig, "GET /text", NULL), 200);
    guard = (struct gate_guard){.is_guarded = {false, true}};
    gate_set_guard(gate_rig.gate, &guard);
    assert_int_equal(ask(rig, "GET /text", NULL), 200);
    gate_rig_end(rig);
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
    settings[0].password = SECRET_BCRYPT;
    set_users(4);
    client_send(&client, request);
    client_expect(&client, 200, "hello");
    set_users(0);
    client_send(&client, "GET /text" HTTP_11 "\r\n");
    client_expect(&client, 200, "hello");
    client_close(&client);
    gate_rig_end(rig);
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
    gate_rig_end(rig);
}

static void
trust_local_proxy(void)
{
    struct networks proxies = {.count = 1};
    assert_true(network_parse("127.0.0.1", &proxies.items[0]));
    gate_set_proxies(gate_rig.gate, &proxies);
}

UNIT_TEST(test_a_client_that_fails_often_is_slowed_down_and_known_ones_are_not)
{
    struct http_rig *rig = begin();
    assert_int_equal(ask_as(rig, "GET /text", "reader:secret"), 200);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask_as(rig, "GET /text", "reader:wrong"), 401);
    assert_int_equal(ask_as(rig, "GET /text", "reader:wrong"), 503);
    assert_int_equal(ask_as(rig, "GET /text", "both:secret"), 503);
    assert_int_equal(ask_as(rig, "GET /text", "reader:secret"), 200);
    assert_int_equal(ask(rig, "POST /echo", "Bearer abc"), 200);
    later_ns += 11 * NS_PER_S;
    assert_int_equal(ask_as(rig, "GET /text", "both:secret"), 200);
    assert_int_equal(ask_as(rig, "GET /text", "reader:wrong"), 401);
    assert_int_equal(ask_as(rig, "GET /text", "reader:wrong"), 503);
    /* Behind a proxy, each client has failures of its own. */
    trust_local_proxy();
    assert_int_equal(
        ask(rig, "GET /text", "Basic cmVhZGVyOnNlY3JldB==\r\nX-Forwarded-For: 1.2.3.4"), 401);
    gate_rig_end(rig);
}

/* "reader:secret" and "reader:wrong". */
#define GOOD_FROM "Basic cmVhZGVyOnNlY3JldA==\r\nX-Forwarded-For: "
#define BAD_FROM  "Basic cmVhZGVyOndyb25n\r\nX-Forwarded-For: "

UNIT_TEST(test_a_client_that_fails_often_cannot_guess_remembered_passwords)
{
    struct http_rig *rig = begin();
    trust_local_proxy();
    assert_int_equal(ask(rig, "GET /text", GOOD_FROM "192.0.2.1"), 200);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask(rig, "GET /text", BAD_FROM "192.0.2.2"), 401);
    assert_int_equal(ask(rig, "GET /text", BAD_FROM "192.0.2.2"), 503);
    assert_int_equal(ask(rig, "GET /text", GOOD_FROM "192.0.2.2"), 503);
    assert_int_equal(ask(rig, "GET /text", GOOD_FROM "192.0.2.1"), 200);
    gate_rig_end(rig);
}

/* Some proxies append to the client's line, others add one. */
UNIT_TEST(test_the_last_line_of_a_trusted_proxy_names_the_client)
{
    struct http_rig *rig = begin();
    trust_local_proxy();
    for (int i = 0; i < 11; i++) {
        int status = ask(rig, "GET /text", BAD_FROM "192.0.2.1\r\nX-Forwarded-For: 192.0.2.2");
        assert_int_equal(status, i < 10 ? 401 : 503);
    }
    assert_int_equal(ask(rig, "GET /text", BAD_FROM "192.0.2.2"), 503);
    assert_int_equal(ask(rig, "GET /text", BAD_FROM "192.0.2.2\r\nX-Forwarded-For: 127.0.0.1"),
                     503);
    /* Neither the proxy nor the address that the client claims has failed. */
    assert_int_equal(ask(rig, "GET /text", BAD_FROM "192.0.2.1"), 401);
    assert_int_equal(ask(rig, "GET /text", BAD_FROM "192.0.2.2\r\nX-Forwarded-For: unknown"), 401);
    gate_rig_end(rig);
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
        .tokens = TEXTS(ABC_SHA256),
        .jwt = {true, "https://i", .audience = TEXTS("fire")},
    };
    gate_rig_set_users(&(struct user_list){&one, 1}, issuers);
}

static struct http_rig *
begin_with_issuer(void)
{
    struct http_rig *rig = begin();
    gate_rig.ops.realtime_ms = realtime_ms;
    later_ns = 0;
    assert_int_equal(issuers_new(&gate_rig.env, &gate_rig.memory, &issuers, NULL), OK);
    signer = token_signer_new(TOKEN_KEY_ED25519);
    set_jwt_users();
    return rig;
}

static void
end_with_issuer(struct http_rig *rig)
{
    http_rig_free(rig);
    gate_free(gate_rig.gate);
    issuers_free(issuers);
    token_signer_free(signer);
    assert_int_equal(budget_used(&gate_rig.memory), 0);
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
    for (int i = 0; i < 12; i++)
        assert_int_equal(ask(rig, "GET /text", "Bearer a.b.c"), 401);
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
    gate_set_rate(gate_rig.gate, 10 * NS_PER_S, 3);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(rig, "GET /text", NULL), i < 3 ? 200 : 429);
    later_ns += 10 * NS_PER_S;
    assert_int_equal(ask(rig, "GET /text", NULL), 200);
    assert_int_equal(ask(rig, "GET /text", NULL), 429);
    gate_set_rate(gate_rig.gate, 0, 0);
    assert_int_equal(ask(rig, "GET /text", NULL), 200);
    gate_rig_end(rig);
}

UNIT_TEST(test_the_rate_counts_and_refuses_requests_for_open_routes)
{
    struct http_rig *rig = begin();
    gate_set_rate(gate_rig.gate, 10 * NS_PER_S, 2);
    assert_int_equal(ask(rig, "GET /blob", NULL), 200);
    assert_int_equal(ask(rig, "GET /blob", NULL), 200);
    assert_int_equal(ask(rig, "GET /blob", NULL), 429);
    assert_int_equal(ask(rig, "POST /echo", "Bearer abc"), 429);
    later_ns += 10 * NS_PER_S;
    assert_int_equal(ask(rig, "POST /echo", "Bearer abc"), 200);
    assert_int_equal(ask(rig, "GET /blob", NULL), 429);
    gate_rig_end(rig);
}

/* Returns what was logged since the last call. */
static const char *
logged(int pipe_fd)
{
    static char text[4000];
    ssize_t size = read(pipe_fd, text, sizeof text - 1);
    text[size < 0 ? 0 : size] = '\0';
    return text;
}

UNIT_TEST(test_requests_that_change_something_are_logged)
{
    static const char basic[] = "Basic cmVhZGVyOnNlY3JldA=="; /* reader:secret */
    struct http_rig *rig = begin();
    struct networks proxies = {.count = 1};
    int fds[2];
    char proxied[200];
    assert_true(network_parse("127.0.0.0/8", &proxies.items[0]));
    gate_set_proxies(gate_rig.gate, &proxies);
    snprintf(proxied, sizeof proxied, "%s\r\nX-Forwarded-For: 192.0.2.7\r\nX-Scope-OrgID: t",
             basic);
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    log_to_fd(fds[1]);
    assert_int_equal(ask(rig, "PUT /text?start=1&token=hush&match[]=up", proxied), 200);
    const char *line = logged(fds[0]);
    assert_non_null(strstr(line,
                           "level=info msg=audit user=reader client=192.0.2.7 method=PUT "
                           "path=/text tenant=t arguments=\"match[]=up start=1\" status=200"));
    assert_null(strstr(line, "hush"));
    assert_null(strstr(line, "cmVh"));
    assert_int_equal(ask(rig, "PUT /text", "Bearer abc"), 403);
    assert_non_null(strstr(logged(fds[0]), "user=writer client=127.0.0.1 method=PUT path=/text "
                                           "tenant=\"\" arguments=\"\" status=403"));
    assert_int_equal(ask(rig, "PUT /text", "Bearer abd"), 401); /* has a line of its own */
    assert_null(strstr(logged(fds[0]), "audit"));
    assert_int_equal(ask(rig, "GET /text", basic), 200);
    assert_int_equal(ask(rig, "POST /echo", "Bearer abc"), 200);
    assert_int_equal(ask(rig, "PUT /none", basic), 404);
    assert_string_equal(logged(fds[0]), "");
    set_users(0);
    assert_int_equal(ask(rig, "PUT /text", NULL), 200);
    assert_non_null(strstr(logged(fds[0]), "msg=audit user=\"\" client=127.0.0.1"));
    log_to_fd(-1);
    close(fds[0]);
    close(fds[1]);
    gate_rig_end(rig);
}

UNIT_TEST(test_a_failure_to_sign_in_names_the_client_and_the_proxy)
{
    struct http_rig *rig = begin();
    struct networks proxies = {.count = 1};
    int fds[2];
    assert_true(network_parse("127.0.0.1", &proxies.items[0]));
    gate_set_proxies(gate_rig.gate, &proxies);
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    log_to_fd(fds[1]);
    assert_int_equal(ask(rig, "GET /text", "Bearer abd\r\nX-Forwarded-For: 192.0.2.8"), 401);
    const char *line = logged(fds[0]);
    if (strstr(line, "client=192.0.2.8 peer=127.0.0.1:") == NULL) fail_msg("%s", line);
    /* Another client that fails at the same moment has a line of its own. */
    assert_int_equal(ask(rig, "GET /text", "Bearer abd\r\nX-Forwarded-For: 192.0.2.9"), 401);
    line = logged(fds[0]);
    if (strstr(line, "client=192.0.2.9 peer=127.0.0.1:") == NULL) fail_msg("%s", line);
    log_to_fd(-1);
    close(fds[0]);
    close(fds[1]);
    gate_rig_end(rig);
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
    gate_rig_end(rig);
}

/* --- sessions --------------------------------------------------------------------------------- */

#define PAGE      "X-Firekeep-Page: 1\r\n"
#define AS_READER "Authorization: Basic cmVhZGVyOnNlY3JldA==\r\n"
#define AS_BOTH   "Authorization: Basic Ym90aDpzZWNyZXQ=\r\n"
#define AS_WRITER "Authorization: Bearer abc\r\n"

enum { LINE_BYTES = 4200 };

/* Returns the status of a request with these lines. */
static int
ask_with(struct http_rig *rig, const char *request, const char *line, const char *more)
{
    struct client client = client_connect(rig);
    client_send(&client, request);
    client_send(&client, HTTP_11);
    client_send(&client, line);
    client_send(&client, more);
    client_send(&client, "Content-Length: 0\r\n\r\n");
    struct response response = client_response(&client, false);
    int status = response.status;
    const char *challenge = response_header(&response, "WWW-Authenticate");
    bool is_page = strstr(more, PAGE) != NULL;
    assert_true((challenge != NULL) == (status == 401));
    if (status == 401)
        assert_int_equal(strncmp(challenge, is_page ? "Session " : "Basic ", is_page ? 8 : 6), 0);
    response_free(&response);
    client_close(&client);
    return status;
}

/* Sends a request with these lines, and calls begin() or end() of its session while it is handled.
 * Returns the result; the value of Set-Cookie ends in NUL. */
static unsigned
change_session(struct http_rig *rig, bool begins, const char *lines,
               char ret_cookie[static LINE_BYTES])
{
    struct gate_sessions sessions = gate_sessions_of(gate_rig.gate);
    struct client client = client_connect(rig);
    struct buf cookie;
    struct why why = {""};
    unsigned status = 0;
    client_send(&client, "GET /later" HTTP_11);
    client_send(&client, lines);
    client_send(&client, "\r\n");
    struct http_request *request = http_rig_take_held(rig);
    buf_init(&cookie, NULL, LINE_BYTES);
    if (begins)
        status = sessions.begin(sessions.gate, request, &cookie, &why);
    else
        sessions.end(sessions.gate, request, &cookie);
    if (status != 0) assert_string_not_equal(why.text, "");
    snprintf(ret_cookie, LINE_BYTES, "%.*s", (int)cookie.size, (const char *)cookie.at);
    buf_fini(&cookie);
    http_reply_text(request, 200, "x");
    client_expect(&client, 200, "x");
    client_close(&client);
    return status;
}

/* Signs in with these lines, and writes a line Cookie. */
static void
sign_in(struct http_rig *rig, const char *lines, char ret_line[static LINE_BYTES])
{
    char cookie[LINE_BYTES];
    assert_int_equal(change_session(rig, true, lines, cookie), 0);
    snprintf(ret_line, LINE_BYTES, "Cookie: a=b; %.*s\r\n", (int)strcspn(cookie, ";"), cookie);
}

static struct gate_rights
rights_with(struct http_rig *rig, const char *line)
{
    struct gate_sessions sessions = gate_sessions_of(gate_rig.gate);
    struct client client = client_connect(rig);
    client_send(&client, "GET /later" HTTP_11);
    client_send(&client, line);
    client_send(&client, "\r\n");
    struct http_request *request = http_rig_take_held(rig);
    struct gate_rights rights = sessions.rights(sessions.gate, request);
    http_reply_text(request, 200, "x");
    client_expect(&client, 200, "x");
    client_close(&client);
    return rights;
}

/* The rig's requests have "Host: x". */
static struct http_rig *
begin_at_own_host(void)
{
    struct http_rig *rig = begin();
    gate_set_guard(gate_rig.gate,
                   &(struct gate_guard){.allowed_hosts = "x", .external_url = "https://o"});
    return rig;
}

UNIT_TEST(test_a_session_has_the_rights_of_its_user)
{
    struct http_rig *rig = begin_at_own_host();
    char reader[LINE_BYTES], both[LINE_BYTES], writer[LINE_BYTES];
    sign_in(rig, AS_READER, reader);
    sign_in(rig, AS_BOTH, both);
    assert_int_equal(ask_with(rig, "GET /text", reader, ""), 200);
    assert_int_equal(ask_with(rig, "GET /none", reader, ""), 404);
    char lines[LINE_BYTES + 20];
    snprintf(lines, sizeof lines, "Cookie: a=b\r\nX: y\r\nCookie: c=d; %s",
             reader + sizeof "Cookie: a=b; " - 1);
    assert_int_equal(ask_with(rig, "GET /text", lines, ""), 200); /* lines are one */
    assert_int_equal(ask_with(rig, "POST /echo", reader, PAGE), 403);
    assert_int_equal(ask_with(rig, "GET /text", both, ""), 200);
    assert_int_equal(ask_with(rig, "POST /echo", both, PAGE), 200);
    struct gate_rights rights = rights_with(rig, both);
    assert_true(rights.has_session);
    assert_int_equal(rights.permissions, PERMISSION_READ | PERMISSION_WRITE);
    unsigned only_read = PERMISSION_READ;
    gate_set_places(gate_rig.gate, &only_read, 1);
    assert_int_equal(rights_with(rig, both).permissions, PERMISSION_READ);
    assert_int_equal(ask_with(rig, "POST /echo", both, PAGE), 403);
    unsigned all = PERMISSIONS_ALL;
    gate_set_places(gate_rig.gate, &all, 1);
    settings[1].permissions = PERMISSION_READ | PERMISSION_WRITE;
    set_users(4);
    sign_in(rig, AS_WRITER, writer);
    assert_int_equal(ask_with(rig, "GET /text", writer, ""), 200);
    settings[1].permissions = PERMISSION_WRITE;
    set_users(4);
    assert_int_equal(ask_with(rig, "GET /text", writer, ""), 403); /* looked up again */
    assert_int_equal(ask_with(rig, "POST /echo", writer, PAGE), 200);
    gate_rig_end(rig);
}

UNIT_TEST(test_a_session_ends_with_secret_user_time_and_sign_out)
{
    struct http_rig *rig = begin_at_own_host();
    char line[LINE_BYTES], other[LINE_BYTES], cookie[LINE_BYTES];
    sign_in(rig, AS_READER, line);
    sign_in(rig, AS_READER, other);
    settings[0].password = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrX";
    set_users(4);
    assert_int_equal(ask_with(rig, "GET /text", line, PAGE), 401);
    settings[0].password = SECRET_BCRYPT;
    settings[0].tokens = (struct text_list)TEXTS(ABC_SHA256);
    settings[1].tokens.count = 0;
    set_users(4);
    assert_int_equal(ask_with(rig, "GET /text", line, PAGE), 401);
    settings[0].tokens.count = 0;
    settings[1].tokens.count = 1;
    settings[0].name = "renamed";
    set_users(4);
    assert_int_equal(ask_with(rig, "GET /text", line, PAGE), 401);
    settings[0].name = "reader";
    set_users(4);
    assert_int_equal(ask_with(rig, "GET /text", line, PAGE), 200);
    assert_int_equal(change_session(rig, false, line, cookie), 0);
    assert_non_null(strstr(cookie, "=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"));
    assert_int_equal(ask_with(rig, "GET /text", line, PAGE), 401);
    assert_int_equal(ask_with(rig, "GET /text", other, PAGE), 200);
    later_ns += 12 * 3600 * NS_PER_S;
    assert_int_equal(ask_with(rig, "GET /text", other, PAGE), 401);
    gate_rig_end(rig);
}

UNIT_TEST(test_a_session_is_of_no_use_to_pages_of_other_origins)
{
    static const struct {
        const char *request, *lines;
        int status;
    } cases[] = {
        {"GET /text", "", 200},
        {"GET /text", "Origin: http://x\r\n", 200},
        {"GET /text", "Origin: https://x\r\n", 200},
        {"GET /text", "Origin: https://o\r\n", 200},
        {"GET /text", "Origin: http://y\r\n", 403},
        {"GET /text", "Origin: http://x:81\r\n", 403},
        {"GET /text", "Origin: null\r\n", 403},
        {"GET /text", "Origin: http://x\r\nOrigin: http://y\r\n", 403},
        {"GET /text", "Origin: http://y\r\n" PAGE, 403},
        {"PUT /text", "", 403},
        {"PUT /text", "Origin: http://x\r\n", 403},
        {"PUT /text", PAGE, 200},
        {"PUT /text", "Origin: http://y\r\n" PAGE, 403},
        {"POST /echo", "", 403},
        {"POST /echo", PAGE, 200},
        {"POST /later?", "Origin: http://y\r\n" PAGE, 403},
        {"DELETE /none", "", 403},
        {"GET /blob", "Origin: http://y\r\n", 200},
    };
    struct http_rig *rig = begin_at_own_host();
    char line[LINE_BYTES];
    sign_in(rig, AS_BOTH, line);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = ask_with(rig, cases[i].request, line, cases[i].lines);
        if (status != cases[i].status)
            fail_msg("%s, %s: %d", cases[i].request, cases[i].lines, status);
    }
    gate_set_guard(gate_rig.gate, &(struct gate_guard){.external_url = "https://o"});
    assert_int_equal(ask_with(rig, "GET /text", line, ""), 403); /* Host: x */
    gate_rig_end(rig);
}

UNIT_TEST(test_authorization_counts_before_a_session)
{
    struct http_rig *rig = begin_at_own_host();
    char line[LINE_BYTES];
    sign_in(rig, AS_BOTH, line);
    assert_int_equal(ask_with(rig, "POST /echo", line, PAGE), 200);
    assert_int_equal(ask_with(rig, "POST /echo", line, AS_READER PAGE), 403);
    assert_int_equal(ask_with(rig, "GET /text", line, AS_READER), 200);
    assert_int_equal(ask_with(rig, "GET /text", line, "Authorization: Bearer abd\r\n"), 401);
    assert_int_equal(ask_with(rig, "GET /text", line, "Authorization: \r\n"), 401);
    assert_false(rights_with(rig, AS_READER).has_session);
    gate_rig_end(rig);
}

UNIT_TEST(test_a_session_begins_with_a_password_or_a_token_at_an_own_host)
{
    struct http_rig *rig = begin_at_own_host();
    char line[LINE_BYTES], cookie[LINE_BYTES];
    sign_in(rig, AS_READER, line);
    assert_int_equal(change_session(rig, true, line, cookie), 400); /* it would never end */
    assert_int_equal(change_session(rig, true, AS_READER "Origin: http://y\r\n", cookie), 403);
    gate_set_guard(gate_rig.gate, &(struct gate_guard){.external_url = "https://o"});
    assert_int_equal(change_session(rig, true, AS_READER, cookie), 403);
    gate_set_guard(gate_rig.gate,
                   &(struct gate_guard){.allowed_hosts = "x", .external_url = "https://o"});
    set_users(0);
    assert_int_equal(change_session(rig, true, AS_READER, cookie), 400);
    assert_int_equal(rights_with(rig, "").permissions, PERMISSIONS_ALL);
    gate_rig_end(rig);
}

UNIT_TEST(test_the_cookie_of_a_page_with_tls_is_secure)
{
    struct http_rig *rig = begin_at_own_host();
    char cookie[LINE_BYTES], line[LINE_BYTES];
    assert_int_equal(change_session(rig, true, AS_READER, cookie), 0);
    assert_int_equal(strncmp(cookie, "firekeep-", 9), 0);
    assert_non_null(strstr(cookie, "; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"));
    assert_null(strstr(cookie, "Secure"));
    assert_int_equal(change_session(rig, true, AS_READER "Origin: https://o\r\n", cookie), 0);
    assert_int_equal(strncmp(cookie, "__Host-firekeep-", 16), 0);
    assert_non_null(strstr(cookie, "; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"));
    snprintf(line, sizeof line, "Cookie: %.*s\r\n", (int)strcspn(cookie, ";"), cookie);
    assert_int_equal(ask_with(rig, "GET /text", line, ""), 200); /* a proxy has taken TLS off */
    int size = (int)strcspn(cookie, "=");
    snprintf(line, sizeof line, "Cookie: %.*s=old; ", size, cookie);
    assert_int_equal(change_session(rig, true, AS_READER, cookie), 0);
    snprintf(line + strlen(line), 400, "%.*s\r\n", (int)strcspn(cookie, ";"), cookie);
    assert_int_equal(ask_with(rig, "GET /text", line, ""), 200); /* one of both is good */
    gate_rig_end(rig);
}

/* A page goes on asking after its session has ended. */
UNIT_TEST(test_cookies_that_are_not_good_do_not_slow_the_address_down)
{
    struct http_rig *rig = begin_at_own_host();
    char line[LINE_BYTES];
    sign_in(rig, AS_READER, line);
    char *end_of_line = strstr(line, "\r\n");
    end_of_line[-1] = end_of_line[-1] == 'A' ? 'B' : 'A';
    for (int i = 0; i < 30; i++)
        assert_int_equal(ask_with(rig, "GET /text", line, PAGE), 401);
    assert_int_equal(ask_with(rig, "GET /text", "Cookie: firekeep-=; x\r\n", PAGE), 401);
    assert_int_equal(ask_with(rig, "GET /text", AS_BOTH, ""), 200);
    gate_rig_end(rig);
}

UNIT_TEST(test_a_session_of_an_issuers_token_ends_with_it)
{
    static char lines[2200];
    struct http_rig *rig = begin_with_issuer();
    char line[LINE_BYTES];
    gate_set_guard(gate_rig.gate, &(struct gate_guard){.allowed_hosts = "x", .external_url = ""});
    give_keys();
    snprintf(lines, sizeof lines, "Authorization: %s\r\n", bearer("k", ",\"exp\":1700000100"));
    sign_in(rig, lines, line);
    assert_int_equal(ask_with(rig, "GET /text", line, PAGE), 200);
    assert_int_equal(ask_with(rig, "POST /echo", line, PAGE), 403);
    assert_true(rights_with(rig, line).has_session);
    later_ns = 159 * NS_PER_S;
    assert_int_equal(ask_with(rig, "GET /text", line, PAGE), 200);
    later_ns = 161 * NS_PER_S;
    assert_int_equal(ask_with(rig, "GET /text", line, PAGE), 401);
    later_ns = 0;
    set_users(4); /* none with tokens of issuers */
    assert_int_equal(ask_with(rig, "GET /text", line, PAGE), 401);
    end_with_issuer(rig);
}

UNIT_TEST(test_a_session_survives_each_failing_allocation)
{
    bool fired = true;
    struct http_rig *rig = begin_at_own_host();
    char line[LINE_BYTES];
    sign_in(rig, AS_READER, line);
    for (uint64_t nth = 1; fired; nth++) {
        mem_fail_nth(nth, true);
        int status = ask_with(rig, "GET /text", line, "");
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (status != 200 && status != 503 && status != 0) fail_msg("%d", status);
        assert_int_equal(ask_with(rig, "GET /text", line, ""), 200);
        assert_true(nth < 200);
    }
    gate_rig_end(rig);
}

int
main(void)
{
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passwords_are_asked_for_and_permissions_hold),
        cmocka_unit_test(test_verified_caller_decides_and_a_claimed_one_does_not),
        cmocka_unit_test(test_parallel_guesses_are_hashed_as_if_they_came_one_by_one),
        cmocka_unit_test(test_tokens_let_in_and_malformed_headers_do_not),
        cmocka_unit_test(test_a_place_serves_what_it_is_allowed_to),
        cmocka_unit_test(test_without_users_a_guarded_place_knows_its_hosts),
        cmocka_unit_test(test_users_that_change_count_at_once_on_open_connections),
        cmocka_unit_test(test_users_may_change_while_passwords_are_checked),
        cmocka_unit_test(test_a_client_that_fails_often_is_slowed_down_and_known_ones_are_not),
        cmocka_unit_test(test_a_client_that_fails_often_cannot_guess_remembered_passwords),
        cmocka_unit_test(test_the_last_line_of_a_trusted_proxy_names_the_client),
        cmocka_unit_test(test_tokens_of_issuers_let_in_and_wait_for_keys),
        cmocka_unit_test(test_a_token_that_expires_ends_on_an_open_connection),
        cmocka_unit_test(test_a_token_survives_each_failing_allocation),
        cmocka_unit_test(test_requests_beyond_the_rate_get_429),
        cmocka_unit_test(test_the_rate_counts_and_refuses_requests_for_open_routes),
        cmocka_unit_test(test_requests_that_change_something_are_logged),
        cmocka_unit_test(test_a_failure_to_sign_in_names_the_client_and_the_proxy),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_a_session_has_the_rights_of_its_user),
        cmocka_unit_test(test_a_session_ends_with_secret_user_time_and_sign_out),
        cmocka_unit_test(test_a_session_is_of_no_use_to_pages_of_other_origins),
        cmocka_unit_test(test_authorization_counts_before_a_session),
        cmocka_unit_test(test_a_session_begins_with_a_password_or_a_token_at_an_own_host),
        cmocka_unit_test(test_the_cookie_of_a_page_with_tls_is_secure),
        cmocka_unit_test(test_cookies_that_are_not_good_do_not_slow_the_address_down),
        cmocka_unit_test(test_a_session_of_an_issuers_token_ends_with_it),
        cmocka_unit_test(test_a_session_survives_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
