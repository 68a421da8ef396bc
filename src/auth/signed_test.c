/*
 * signed_test.c - requests signed by the program's own signer to a real HTTP server with the gate:
 * what is verified is what is routed, and nothing but a good signature lets in.
 */
#include "auth/signed.h"

#include <stdatomic.h>

#include "base/text/base64.h"
#include "lib/auth/gate_rig.h"
#include "lib/test.h"
#include "lib/test_dir.h"
#include "lib/texts.h"

#define FIRST  "wJalrXUtnFEMI/K7MDENG"
#define SECOND "je7MtGbClwBF/2Zp9Utk"

enum { TEXT_BYTES = 8192, NOW_S = 1440938160 /* 20150830T123600Z */, LONG_BODY = 90000 };
#define DAY "20150830"

static char path_both[160], path_first[160], path_token[160];

static struct access_key_settings both_keys[] = {{.id = "BOTH", .secret_file = path_both}};
static struct access_key_settings read_keys[] = {{.id = "READ", .secret_file = path_first}};
static struct access_key_settings token_keys[] = {
    {.id = "TOKEN", .secret_file = path_first, .session_token_file = path_token}};
static struct user_settings settings[] = {
    {.name = "both",
     .access_keys = both_keys,
     .access_key_count = 1,
     .permissions = PERMISSION_READ | PERMISSION_WRITE},
    {.name = "reader",
     .access_keys = read_keys,
     .access_key_count = 1,
     .permissions = PERMISSION_READ,
     .tenants = TEXTS("t"),
     .tenant_header = TENANT_HEADER_IGNORE},
    {.name = "token",
     .access_keys = token_keys,
     .access_key_count = 1,
     .password = SECRET_BCRYPT,
     .permissions = PERMISSION_READ | PERMISSION_WRITE},
};

/* --- the rig ---------------------------------------------------------------------------------- */

static _Atomic int64_t later_s;
static struct signing_settings signing;

static int64_t
realtime_ms(struct env *env)
{
    (void)env;
    return (NOW_S + later_s) * 1000 + 500;
}

static void
set_users(uint32_t count)
{
    struct user_list list = {.items = settings, .count = count, .signing = signing};
    gate_rig_set_users(&list, NULL);
}

static struct http_rig *
begin(void)
{
    struct http_rig *rig = gate_rig_begin();
    gate_rig.ops.realtime_ms = realtime_ms;
    snprintf(path_both, sizeof path_both, "%s/both", test_dir);
    snprintf(path_first, sizeof path_first, "%s/first", test_dir);
    snprintf(path_token, sizeof path_token, "%s/token", test_dir);
    write_text_file(path_both, SECOND "\n" FIRST "\n");
    write_text_file(path_first, FIRST "\n");
    write_text_file(path_token, "token/with+chars==\n");
    signing = (struct signing_settings){.region = NULL};
    later_s = 0;
    set_users(3);
    return rig;
}

static void
end(struct http_rig *rig)
{
    gate_rig_end(rig);
    unlink(path_both);
    unlink(path_first);
    unlink(path_token);
}

/* --- a signer --------------------------------------------------------------------------------- */

/* A request; NULL and 0 mean the values in brackets. */
struct sent {
    const char *target;    /* that is signed [/echo] */
    const char *arrives;   /* the target that is sent [the same] */
    const char *method;    /* [POST] */
    const char *headers;   /* signed, "Name: value\r\n" each [none] */
    const char *unsigned_; /* headers that are added after signing [none] */
    const char *key;       /* [BOTH] */
    const char *secret;    /* [FIRST] */
    const char *token;     /* [none] */
    const char *region;    /* [eu-west-1] */
    const char *service;   /* [aps] */
    const char *host;      /* [x] */
    const char *body;      /* that is signed [hello] */
    const char *brings;    /* the body that is sent [the same] */
    const char *payload;   /* X-Amz-Content-Sha256, signed, instead of the hash [none] */
    int64_t ago_s;
    bool hash_header; /* X-Amz-Content-Sha256 */
    bool presigned;
    int expires_s; /* of those [300] */
};

static const char *
given(const char *text, const char *otherwise)
{
    return text == NULL ? otherwise : text;
}

/* Appends headers of lines "Name: value\r\n", which it cuts. */
static void
add_headers(struct sigv4_request *r, struct sigv4_header *headers, char *lines)
{
    char *rest = lines, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *colon = strchr(line, ':');
        if (colon == NULL) continue;
        *colon = '\0';
        colon[1 + strcspn(colon + 1, "\r")] = '\0';
        headers[r->header_count++] =
            (struct sigv4_header){bytes_of_text(line), bytes_of_text(colon + 2)};
    }
}

/* Writes the target with the signature in its query. */
static void
presign(const struct sent *s, struct sigv4_request *r, const char *target, char *to)
{
    char query[TEXT_BYTES], date[SIGV4_DATE_BYTES], signature[SIGV4_HASH_BYTES];
    time_t time = (time_t)r->time_s;
    strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", gmtime(&time));
    snprintf(query, sizeof query,
             "%sX-Amz-Algorithm=AWS4-HMAC-SHA256"
             "&X-Amz-Credential=%s%%2F%.8s%%2F%s%%2F%s%%2Faws4_request"
             "&X-Amz-Date=%s&X-Amz-Expires=%d&X-Amz-SignedHeaders=host",
             strchr(target, '?') == NULL ? "" : strchr(target, '?') + 1, given(s->key, "BOTH"),
             date, given(s->region, "eu-west-1"), given(s->service, "aps"), date,
             s->expires_s == 0 ? 300 : s->expires_s);
    r->query = bytes_of_text(query);
    assert_int_equal(
        sigv4_expect(r, bytes_of_text(given(s->secret, FIRST)), false, NULL, signature), OK);
    snprintf(to, TEXT_BYTES, "%.*s?%s&X-Amz-Signature=%s", (int)strcspn(target, "?"), target, query,
             signature);
}

/* Writes the head of a request, with an empty line. */
static void
make_head(const struct sent *s, char *to)
{
    const char *target = given(s->target, "/echo"), *query = strchr(target, '?');
    const char *method = given(s->method, "POST"), *body = given(s->body, "hello");
    char lines[TEXT_BYTES], arrives[TEXT_BYTES], hash[SIGV4_HASH_BYTES];
    struct sigv4_header headers[SIGV4_HEADERS_MAX];
    struct buf made;
    struct sigv4_request r = {.method = bytes_of_text(method),
                              .path = bytes_of(target, strcspn(target, "?")),
                              .query = bytes_of_text(query == NULL ? "" : query + 1),
                              .headers = headers,
                              .region = bytes_of_text(given(s->region, "eu-west-1")),
                              .service = bytes_of_text(given(s->service, "aps")),
                              .time_s = NOW_S + later_s - s->ago_s};
    struct sigv4_credentials c = {bytes_of_text(given(s->key, "BOTH")),
                                  bytes_of_text(given(s->secret, FIRST)),
                                  bytes_of_text(given(s->token, ""))};
    sigv4_hash(bytes_of_text(body), hash);
    snprintf(lines, sizeof lines, "Host: %s\r\n%s", given(s->host, "x"), given(s->headers, ""));
    if (s->hash_header || s->payload != NULL)
        snprintf(lines + strlen(lines), 200, "X-Amz-Content-Sha256: %s\r\n",
                 given(s->payload, hash));
    snprintf(r.payload_hash, sizeof r.payload_hash, "%.64s", given(s->payload, hash));
    snprintf(arrives, sizeof arrives, "%s", given(s->arrives, target));
    snprintf(to, TEXT_BYTES, "%s", lines);
    add_headers(&r, headers, lines);
    buf_init(&made, NULL, 1 << 16);
    if (s->presigned)
        presign(s, &r, target, arrives);
    else
        assert_int_equal(sigv4_sign(&r, &c, &made), OK);
    for (size_t i = 0; i < made.size; i++)
        snprintf(to + strlen(to), 3, made.at[i] == '\n' ? "\r\n" : "%c", made.at[i]);
    buf_fini(&made);
    char rest[TEXT_BYTES];
    snprintf(rest, sizeof rest, "%s", to);
    snprintf(to, TEXT_BYTES, "%s %s HTTP/1.1\r\n%s%sContent-Length: %zu\r\n\r\n", method, arrives,
             rest, given(s->unsigned_, ""), strlen(given(s->brings, body)));
}

static struct response
send_signed(struct http_rig *rig, const struct sent *s)
{
    char head[TEXT_BYTES];
    struct client client = client_connect(rig);
    make_head(s, head);
    client_send(&client, head);
    client_send(&client, given(s->brings, given(s->body, "hello")));
    bool is_head = strcmp(given(s->method, "POST"), "HEAD") == 0;
    struct response response = client_response(&client, is_head);
    client_close(&client);
    return response;
}

static int
ask(struct http_rig *rig, const struct sent *s)
{
    struct response response = send_signed(rig, s);
    int status = response.status;
    assert_true((response_header(&response, "WWW-Authenticate") != NULL) == (status == 401));
    response_free(&response);
    return status;
}

#define ASK(...) ask(rig, &(struct sent){__VA_ARGS__})

static void
expect(struct http_rig *rig, const struct sent *s, int status, size_t index)
{
    int got = ask(rig, s);
    if (got != status) fail_msg("case %zu: %d, expected %d", index, got, status);
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_a_good_signature_lets_in_with_the_permissions_of_its_user)
{
    struct http_rig *rig = begin();
    static const struct sent cases[] = {
        {.target = "/echo"},
        {.hash_header = true},
        {.target = "/text?a=1%2Fz&b=x%20y", .method = "GET", .body = ""},
        {.target = "/text", .method = "HEAD", .body = ""},
        {.target = "/text", .method = "GET", .body = "", .presigned = true},
        {.target = "/text?a=b&", .method = "GET", .body = "", .presigned = true},
        {.key = "READ", .target = "/text", .method = "GET", .body = ""},
        {.key = "READ"},
        {.key = "READ", .hash_header = true},
        {.target = "/none"},
        {.target = "/text", .method = "DELETE", .body = ""},
    };
    static const int statuses[] = {200, 200, 200, 200, 200, 200, 200, 403, 403, 404, 405};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(rig, &cases[i], statuses[i], i);
    struct response response = send_signed(rig, &cases[0]);
    assert_string_equal(response.body, "hello");
    response_free(&response);
    end(rig);
}

UNIT_TEST(test_whatever_is_changed_after_signing_is_refused)
{
    struct http_rig *rig = begin();
    static const struct sent cases[] = {
        {.brings = "hellO"},
        {.brings = "hellO", .hash_header = true},
        {.brings = ""},
        {.body = "", .brings = "hello"},
        {.arrives = "/echo?a=b"},
        {.target = "/echo?a=b", .arrives = "/echo?a=c"},
        {.target = "/echo?a=b", .arrives = "/echo"},
        {.secret = "wJalrXUtnFEMI/K7MDENg"},
        {.secret = "wJalrXUtnFEMI/K7MDENg", .hash_header = true},
        {.key = "NONE"},
        {.key = "NONE", .hash_header = true},
        {.key = "both"},
        {.key = "READ", .secret = SECOND},
        {.unsigned_ = "X-Amz-Content-Sha256: UNSIGNED-PAYLOAD\r\n"},
        {.unsigned_ = "X-Amz-Security-Token: token/with+chars==\r\n"},
        {.unsigned_ = "X-Scope-OrgID: t\r\n"},
        {.unsigned_ = "Authorization: Basic dG9rZW46c2VjcmV0\r\n"},
        {.unsigned_ = "X-Amz-Date: 20150830T123600Z\r\n"},
        {.target = "/text", .method = "GET", .body = "", .presigned = true, .secret = "wrong"},
        {.target = "/text",
         .method = "GET",
         .body = "",
         .presigned = true,
         .unsigned_ = "Authorization: Basic dG9rZW46c2VjcmV0\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(rig, &cases[i], 401, i);
    assert_int_equal(ASK(.target = "/echo"), 200); /* failures lock out no good signature */
    struct gate_stats stats;
    gate_stats(gate_rig.gate, &stats);
    assert_int_equal(stats.refused[GATE_UNKNOWN], sizeof cases / sizeof *cases);
    end(rig);
}

UNIT_TEST(test_the_path_that_is_verified_is_the_path_that_is_routed)
{
    static const struct {
        const char *target, *arrives;
        int status;
        const char *goes_to; /* Location, or the path that the handler gets */
    } cases[] = {
        {"/sent/a", "/sent/a", 200, "/sent/a|-"},
        {"//sent///a", "//sent///a", 301, "/sent/a"},
        {"/sent/./a", "/sent/./a", 301, "/sent/a"},
        {"/text/../sent/a", "/text/../sent/a", 301, "/sent/a"},
        {"/sent/a/..", "/sent/a/..", 301, "/sent"},
        {"/../../sent", "/../../sent", 301, "/sent"},
        {"/sent/a%2Fb", "/sent/a%2Fb", 200, "/sent/a/b|/sent/a%2Fb"},
        {"/sent/a%2fb", "/sent/a%2fb", 200, "/sent/a/b|/sent/a%2fb"},
        {"/sent/%252f", "/sent/%252f", 200, "/sent/%2f|-"},
        {"/sent/%C3%A9%20", "/sent/%C3%A9%20", 200, "/sent/\xc3\xa9 |-"},
        /* A signature of the clean path is good for the others, which are redirected to it. */
        {"/sent/a", "//sent/./b/../a", 301, "/sent/a"},
        {"/sent/a", "/sent/b", 401, NULL},
        {"/sent/a", "/sent//b", 401, NULL},
        {"/sent/a/b", "/sent/a%2Fb", 401, NULL},
        {"/sent/a%2Fb", "/sent/a/b", 401, NULL},
        {"/sent/a%2Fb", "/sent/a%2fb", 401, NULL},
        {"/sent/%2f", "/sent/%252f", 401, NULL},
        {"/sent/a", "/sent/%61", 401, NULL},
        {"/sent/%61", "/sent/a", 401, NULL},
        {"/sent/%2e%2e/text", "/sent/%2e%2e/text", 401, NULL},
        {"/sent/%2E/a", "/sent/%2E/a", 401, NULL},
        {"/sent/a", "/sent/%2e/a", 401, NULL},
        {"/sent/a", "/sent/b/%2e%2e/a", 401, NULL},
        {"/text", "/sent/..%2ftext", 401, NULL},
        {"/sent/a", "http://x/sent/a", 401, NULL},
        {"/sent/a", "http://x/sent/b", 401, NULL},
        {"/sent/a?a=1;b=2", "/sent/a?a=1;b=2", 401, NULL},
    };
    struct http_rig *rig = begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sent s = {
            .target = cases[i].target, .arrives = cases[i].arrives, .method = "GET", .body = ""};
        struct response response = send_signed(rig, &s);
        if (response.status != cases[i].status)
            fail_msg("%s as %s: %d", cases[i].target, cases[i].arrives, response.status);
        if (cases[i].status == 200) assert_string_equal(response.body, cases[i].goes_to);
        if (cases[i].status == 301)
            assert_string_equal(response_header(&response, "Location"), cases[i].goes_to);
        response_free(&response);
    }
    end(rig);
}

UNIT_TEST(test_services_region_and_host_are_compared_with_the_settings)
{
    static const char *services[] = {"lambda", "x-1"};
    struct http_rig *rig = begin();
    assert_int_equal(ASK(.service = "aps"), 200);
    assert_int_equal(ASK(.service = "execute-api"), 200);
    assert_int_equal(ASK(.service = "lambda"), 401);
    assert_int_equal(ASK(.service = "APS"), 401);
    assert_int_equal(ASK(.region = "us-east-1", .host = "other:1"), 200);
    signing.services = (struct text_list){services, 2};
    signing.region = "eu-west-1";
    signing.host = "metrics.example.org:9201";
    set_users(3);
    const char *host = signing.host;
    assert_int_equal(ASK(.host = host, .service = "lambda"), 200);
    assert_int_equal(ASK(.host = host, .service = "aps"), 200);
    assert_int_equal(ASK(.host = "METRICS.example.org:9201"), 200);
    assert_int_equal(ASK(.host = host, .service = "s3"), 401);
    assert_int_equal(ASK(.host = host, .region = "us-east-1"), 401);
    assert_int_equal(ASK(.host = "metrics.example.org"), 401);
    assert_int_equal(ASK(.host = "evil.example.org:9201"), 401);
    end(rig);
}

UNIT_TEST(test_signatures_last_five_minutes_and_presigned_urls_fifteen)
{
#define URL .target = "/text", .method = "GET", .body = "", .presigned = true
    struct http_rig *rig = begin();
    assert_int_equal(ASK(.ago_s = 290), 200);
    assert_int_equal(ASK(.ago_s = 310), 401);
    assert_int_equal(ASK(.ago_s = -290), 200);
    assert_int_equal(ASK(.ago_s = -310), 401);
    assert_int_equal(ASK(.ago_s = 290, .hash_header = true), 200);
    assert_int_equal(ASK(.ago_s = 310, .hash_header = true), 401);
    assert_int_equal(ASK(URL, .expires_s = 900, .ago_s = 890), 200);
    assert_int_equal(ASK(URL, .expires_s = 900, .ago_s = 915), 401);
    assert_int_equal(ASK(URL, .expires_s = 901), 401);
    assert_int_equal(ASK(URL, .expires_s = 10, .ago_s = 30), 401);
    assert_int_equal(ASK(URL, .ago_s = -290), 200);
    assert_int_equal(ASK(URL, .ago_s = -310), 401);
    assert_int_equal(ASK(.presigned = true), 401); /* it is a POST */
    assert_int_equal(ASK(.presigned = true, .method = "PUT"), 401);
    assert_int_equal(ASK(.presigned = true, .method = "DELETE", .target = "/views"), 401);
    end(rig);
#undef URL
}

UNIT_TEST(test_a_request_sent_again_is_refused_when_its_time_is_over)
{
    struct http_rig *rig = begin();
    char head[TEXT_BYTES];
    make_head(&(struct sent){.target = "/echo"}, head);
    for (int i = 0; i < 3; i++) {
        struct client client = client_connect(rig);
        later_s = 200 * i;
        client_send(&client, head);
        client_send(&client, "hello");
        client_expect(&client, i < 2 ? 200 : 401, NULL);
        client_close(&client);
    }
    end(rig);
}

UNIT_TEST(test_unsigned_bodies_need_tls_and_a_setting_and_chunks_are_refused)
{
    struct http_rig *rig = begin();
    for (int allowed = 0; allowed < 2; allowed++) {
        int expected = allowed && http_rig_has_tls() ? 200 : 401;
        signing.unsigned_payload = allowed;
        set_users(3);
        assert_int_equal(ASK(.payload = "UNSIGNED-PAYLOAD", .brings = "other"), expected);
        assert_int_equal(ASK(.payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), 401);
        assert_int_equal(ASK(.payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), 401);
        assert_int_equal(ASK(.payload = "unsigned-payload"), 401);
        assert_int_equal(ASK(.payload = ""), 401);
    }
    end(rig);
}

UNIT_TEST(test_session_tokens_are_compared)
{
    struct http_rig *rig = begin();
    assert_int_equal(ASK(.key = "TOKEN", .token = "token/with+chars=="), 200);
    assert_int_equal(ASK(.key = "TOKEN", .token = "token/with+chars="), 401);
    assert_int_equal(ASK(.key = "TOKEN"), 401);
    assert_int_equal(ASK(.key = "BOTH", .token = "token/with+chars=="), 401);
    end(rig);
}

UNIT_TEST(test_a_tenant_may_be_unsigned_only_if_it_is_ignored)
{
    struct http_rig *rig = begin();
#define GET .target = "/text", .method = "GET", .body = ""
    assert_int_equal(ASK(GET, .headers = "X-Scope-OrgID: a\r\n"), 200);
    assert_int_equal(ASK(GET, .unsigned_ = "X-Scope-OrgID: a\r\n"), 401);
    assert_int_equal(ASK(GET, .key = "READ", .unsigned_ = "X-Scope-OrgID: a\r\n"), 200);
    assert_int_equal(ASK(GET, .key = "READ", .unsigned_ = "X-Amz-Security-Token: a\r\n"), 401);
#undef GET
    end(rig);
}

UNIT_TEST(test_either_secret_of_a_file_signs_and_a_new_file_replaces_both)
{
    struct http_rig *rig = begin();
    assert_int_equal(ASK(.secret = FIRST), 200);
    assert_int_equal(ASK(.secret = SECOND), 200);
    assert_int_equal(ASK(.secret = FIRST, .hash_header = true), 200);
    assert_int_equal(ASK(.secret = SECOND, .hash_header = true), 200);
    write_text_file(path_both, SECOND "\n");
    set_users(3);
    assert_int_equal(ASK(.secret = FIRST), 401);
    assert_int_equal(ASK(.secret = SECOND), 200);
    end(rig);
}

/* Sends the head of a request with a body of 90 kB, and then a byte of that. */
static struct client
begin_long(struct http_rig *rig, const struct sent *s)
{
    static char body[LONG_BODY + 1];
    char head[TEXT_BYTES];
    struct sent with_body = *s;
    struct client client = client_connect(rig);
    memset(body, 'x', LONG_BODY);
    with_body.body = body;
    make_head(&with_body, head);
    client_send(&client, head);
    client_send(&client, "x");
    return client;
}

static void
end_long(struct client *client, int status)
{
    static char body[LONG_BODY];
    memset(body, 'x', LONG_BODY - 1);
    client_send(client, body);
    client_expect(client, status, NULL);
    client_close(client);
}

UNIT_TEST(test_an_unknown_key_is_refused_before_the_body)
{
    struct http_rig *rig = begin();
    struct response refused[2];
    for (int i = 0; i < 2; i++) {
        struct client unknown = begin_long(rig, &(struct sent){.key = "NONE", .hash_header = i});
        refused[i] = client_response(&unknown, false);
        assert_int_equal(refused[i].status, 401);
        client_close(&unknown);
    }
    /* So is a wrong secret if the request has the hash of its body. */
    struct client wrong =
        begin_long(rig, &(struct sent){.secret = SECOND "x", .hash_header = true});
    client_expect(&wrong, 401, "unauthorized\n");
    client_close(&wrong);
    /* Otherwise after it, in the same words. */
    struct response after = send_signed(rig, &(struct sent){.secret = SECOND "x", .body = "short"});
    struct response before = send_signed(rig, &(struct sent){.key = "NONE", .body = "short"});
    assert_int_equal(after.status, 401);
    assert_string_equal(after.body, before.body);
    assert_string_equal(after.body, refused[0].body);
    assert_int_equal(strlen(after.header), strlen(before.header));
    response_free(&after);
    response_free(&before);
    response_free(&refused[0]);
    response_free(&refused[1]);
    struct client known = begin_long(rig, &(struct sent){.hash_header = true});
    end_long(&known, 200);
    end(rig);
}

static int64_t
rig_monotonic_ns(struct env *env)
{
    (void)env;
    return http_rig_clock_ns;
}

/* Its time is that of its first byte, before the body and after it. */
UNIT_TEST(test_a_body_that_takes_longer_than_the_skew_is_good)
{
    for (int hash_header = 0; hash_header < 2; hash_header++) {
        http_rig_clock_ns = 1000 * NS_PER_S;
        struct http_rig *rig = begin();
        gate_rig.ops.monotonic_ns = rig_monotonic_ns;
        struct client client =
            begin_long(rig, &(struct sent){.ago_s = 290, .hash_header = hash_header});
        for (int ms = 0; http_rig_stats(rig).body_bytes == 0; ms++) {
            assert_true(ms < WAIT_S * 1000);
            poll(NULL, 0, 1);
        }
        later_s = 20;
        http_rig_advance(rig, 20 * NS_PER_S);
        assert_int_equal(ASK(.ago_s = 310), 401);
        end_long(&client, 200);
        end(rig);
    }
}

UNIT_TEST(test_users_that_change_before_the_body_is_whole_count)
{
    static const char *const keys[] = {"BOTH", "BOTH", "TOKEN", "BOTH", "BOTH"};
    static const int statuses[] = {200, 401, 401, 401, 200};
    struct http_rig *rig = begin();
    for (size_t i = 0; i < 5; i++) {
        bool has_token = strcmp(keys[i], "TOKEN") == 0;
        write_text_file(path_both, FIRST "\n");
        set_users(3);
        struct client client =
            begin_long(rig, &(struct sent){.key = keys[i],
                                           .token = has_token ? "token/with+chars==" : NULL,
                                           .hash_header = i % 2 == 0});
        /* Meanwhile the server is likely to see the head; all statuses hold if it is later. */
        assert_int_equal(ASK(.target = "/echo"), 200);
        if (i == 1) write_text_file(path_both, SECOND "\n");
        if (i == 3) settings[0].access_key_count = 0;
        if (i != 4) set_users(i == 2 ? 2 : 3);
        if (i == 4) set_users(0); /* everybody may do everything */
        end_long(&client, statuses[i]);
        settings[0].access_key_count = 1;
    }
    end(rig);
}

UNIT_TEST(test_bad_signatures_count_as_failures_of_their_address)
{
    struct http_rig *rig = begin();
    struct client client = client_connect(rig);
    for (int i = 0; i < 12; i++) {
        if (i % 2 == 0) assert_int_equal(ASK(.secret = "wrong"), 401);
        if (i % 2 == 1)
            assert_int_equal(ASK(.secret = "wrong", .presigned = true, .method = "GET", .body = ""),
                             401);
    }
    client_send(&client, "GET /text" HTTP_11 "Authorization: Basic dG9rZW46c2VjcmV0\r\n\r\n");
    client_expect(&client, 503, NULL);
    client_close(&client);
    assert_int_equal(ASK(.target = "/echo"), 200);
    end(rig);
}

UNIT_TEST(test_signatures_mean_nothing_without_access_keys)
{
    struct http_rig *rig = begin();
    settings[0].access_key_count = settings[1].access_key_count = settings[2].access_key_count = 0;
    set_users(3);
    assert_int_equal(ASK(.target = "/echo"), 401);
    set_users(0);
    assert_int_equal(ASK(.target = "/echo"), 200);
    settings[0].access_key_count = settings[1].access_key_count = settings[2].access_key_count = 1;
    end(rig);
}

UNIT_TEST(test_each_allocation_may_fail)
{
    static const struct sent cases[] = {
        {.target = "/echo?a=b"},
        {.hash_header = true},
        {.target = "/text?a=b&", .method = "GET", .body = "", .presigned = true},
    };
    struct http_rig *rig = begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool fired = true;
        for (uint64_t nth = 1; fired; nth++) {
            char head[TEXT_BYTES];
            struct client client = client_connect(rig);
            make_head(&cases[i], head);
            mem_fail_nth(nth, true);
            client_send(&client, head);
            client_send(&client, given(cases[i].body, "hello"));
            struct response response = client_response(&client, false);
            fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (response.status != 200 && response.status != 503 && response.status != 0)
                fail_msg("%d", response.status);
            response_free(&response);
            client_close(&client);
            assert_int_equal(ask(rig, &cases[i]), 200);
            assert_true(nth < 200);
        }
    }
    end(rig);
}

int
main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, test_dir_make, test_dir_remove)
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        IN_DIR(test_a_good_signature_lets_in_with_the_permissions_of_its_user),
        IN_DIR(test_whatever_is_changed_after_signing_is_refused),
        IN_DIR(test_the_path_that_is_verified_is_the_path_that_is_routed),
        IN_DIR(test_services_region_and_host_are_compared_with_the_settings),
        IN_DIR(test_signatures_last_five_minutes_and_presigned_urls_fifteen),
        IN_DIR(test_a_request_sent_again_is_refused_when_its_time_is_over),
        IN_DIR(test_unsigned_bodies_need_tls_and_a_setting_and_chunks_are_refused),
        IN_DIR(test_session_tokens_are_compared),
        IN_DIR(test_a_tenant_may_be_unsigned_only_if_it_is_ignored),
        IN_DIR(test_either_secret_of_a_file_signs_and_a_new_file_replaces_both),
        IN_DIR(test_an_unknown_key_is_refused_before_the_body),
        IN_DIR(test_a_body_that_takes_longer_than_the_skew_is_good),
        IN_DIR(test_users_that_change_before_the_body_is_whole_count),
        IN_DIR(test_bad_signatures_count_as_failures_of_their_address),
        IN_DIR(test_signatures_mean_nothing_without_access_keys),
        IN_DIR(test_each_allocation_may_fail),
    };
    int failed = cmocka_run_group_tests_name("clear", tests, NULL, NULL);
    http_rig_use_tls(TLS_1_3);
    failed += cmocka_run_group_tests_name("TLS", tests, NULL, NULL);
    http_rig_use_tls(NULL);
    return failed;
}
