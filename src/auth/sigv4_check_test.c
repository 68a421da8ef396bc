/*
 * sigv4_check_test.c - requests of real signers and of ours, each changed in turn. Requests are
 * texts (lib/auth/sent_head.h).
 */
#include "lib/test.h"

#include <stdio.h>

#include "auth/signed.h"
#include "lib/auth/sent_head.h"
#include "lib/failing_memory.h"
#include "lib/net/sigv4_vectors.h"

enum { TEXT_BYTES = 4096, NOW_S = 1440938160 /* 20150830T123600Z */ };

static const char secret[] = "secretEXAMPLE";
static const char token[] = "token/with+chars==";

/* --- the rig ---------------------------------------------------------------------------------- */

struct judged {
    enum sigv4_verdict verdict;
    struct why why;
};

/* Reads and judges the request at once, at `now_s` or, if that is 0, at the time of the claim. */
static struct judged
judge(const char *text, const char *body, const struct sigv4_terms *terms, int64_t now_s)
{
    struct judged j = {.why = {.text = ""}};
    struct sent_head head;
    struct sigv4_claim claim;
    char hash[SIGV4_HASH_BYTES];
    sigv4_hash(bytes_of_text(body), hash);
    sent_head_read(&head, bytes_of_text(text));
    j.verdict = sigv4_claim_read(&head.arrival, NULL, &claim, &j.why);
    if (j.verdict == SIGV4_CLAIMED) {
        assert_true(bytes_equal_text(claim.key_id, "AKIDEXAMPLE"));
        j.verdict = sigv4_judge(&claim, terms, now_s == 0 ? claim.time_s : now_s, hash, &j.why);
    }
    sigv4_claim_fini(&claim);
    return j;
}

static void
expect(const char *text, const char *body, const struct sigv4_terms *terms, int64_t now_s,
       enum sigv4_verdict verdict, const char *why)
{
    struct judged j = judge(text, body, terms, now_s);
    if (j.verdict != verdict || strstr(j.why.text, why) == NULL) {
        print_error("verdict %d, expected %d (%s): %s\n%s\n", j.verdict, verdict, why, j.why.text,
                    text);
        fail();
    }
}

static struct sigv4_terms
plain_terms(void)
{
    return (struct sigv4_terms){.secret_key = bytes_of_text(secret)};
}

/* Replaces the first `from` in the text. */
static void
change(char *text, const char *from, const char *to)
{
    char rest[TEXT_BYTES];
    char *at = strstr(text, from);
    if (at == NULL) print_error("%s is not in\n%s\n", from, text);
    assert_non_null(at);
    snprintf(rest, sizeof rest, "%s", at + strlen(from));
    snprintf(at, TEXT_BYTES - (size_t)(at - text), "%s%s", to, rest);
}

/* Signs a request, a text, with the program's own signer, and adds the headers to it. */
static void
sign(char *text, const char *body, const char *session_token, int64_t time_s)
{
    struct sent_head head;
    char copy[TEXT_BYTES];
    struct buf made;
    snprintf(copy, sizeof copy, "%s", text);
    sent_head_read(&head, bytes_of_text(copy));
    const char *target = (const char *)head.arrival.target.at;
    size_t size = head.arrival.target.size, path = 0;
    while (path < size && target[path] != '?')
        path++;
    struct sigv4_request r = {.method = head.arrival.method,
                              .path = bytes_of(target, path),
                              .headers = head.headers,
                              .header_count = head.header_count,
                              .region = bytes_of_text("us-east-1"),
                              .service = bytes_of_text("aps"),
                              .time_s = time_s};
    if (path < size) r.query = bytes_of(target + path + 1, size - path - 1);
    struct sigv4_credentials c = {bytes_of_text("AKIDEXAMPLE"), bytes_of_text(secret),
                                  bytes_of_text(session_token)};
    sigv4_hash(bytes_of_text(body), r.payload_hash);
    buf_init(&made, NULL, 1 << 16);
    assert_int_equal(sigv4_sign(&r, &c, &made), OK);
    snprintf(text, TEXT_BYTES, "%s%.*s", copy, (int)made.size, (const char *)made.at);
    buf_fini(&made);
}

static const char signed_head[] = "POST /api/v1/write?b=2&a=x%20y&c=\n"
                                  "Host: example.com\n"
                                  "Content-Type: a   b\n"
                                  "X-Scope-OrgID: team\n";

/* Presigns a GET of the path and query; `parameters` are added to those of the signature. */
static void
presign(char *text, const char *target, const char *parameters)
{
    struct sigv4_header host = {bytes_of_text("host"), bytes_of_text("example.com")};
    char query[TEXT_BYTES], signature[SIGV4_HASH_BYTES];
    snprintf(query, sizeof query,
             "%s&X-Amz-Algorithm=AWS4-HMAC-SHA256"
             "&X-Amz-Credential=AKIDEXAMPLE%%2F20150830%%2Fus-east-1%%2Faps%%2Faws4_request"
             "&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host%s",
             strchr(target, '?') + 1, parameters);
    struct sigv4_request r = {.method = bytes_of_text("GET"),
                              .path = bytes_of(target, strcspn(target, "?")),
                              .query = bytes_of_text(query),
                              .headers = &host,
                              .header_count = 1,
                              .region = bytes_of_text("us-east-1"),
                              .service = bytes_of_text("aps"),
                              .time_s = NOW_S};
    sigv4_hash(bytes_of_text(""), r.payload_hash);
    assert_int_equal(sigv4_expect(&r, bytes_of_text(secret), false, NULL, signature), OK);
    snprintf(text, TEXT_BYTES, "GET %.*s?%s&X-Amz-Signature=%s\nHost: example.com\n",
             (int)r.path.size, target, query, signature);
}

/* --- signers ---------------------------------------------------------------------------------- */

#define AUTHORIZATION(service, names, signature)                                         \
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261128/eu-west-1/" service \
    "/aws4_request, SignedHeaders=" names ", Signature=" signature "\n"

/* Requests as they arrived from these programs, without headers that nothing signs. */
static const struct {
    const char *signer, *head;
    const char *body, *hash; /* one of them is NULL */
} recorded[] = {
    {"Prometheus 3.5.3",
     "POST /api/v1/write\n"
     "Host: 127.0.0.1:26005\n"
     "Content-Length: 276\n" AUTHORIZATION("aps",
                                           "content-encoding;content-length;content-type;host;x-"
                                           "amz-date;x-prometheus-remote-write-version",
                                           "6510267f850d2de03d358b368bec1cd571b3805fcd5edff8188446a"
                                           "8e879ac8e") "Content-Encoding: snappy\n"
                                                        "Content-Type: application/x-protobuf\n"
                                                        "X-Amz-Date: 20261128T022053Z\n"
                                                        "X-Prometheus-Remote-Write-Version: "
                                                        "0.1.0\n",
     NULL, "8ab89147a0b6d5a6687e67bf32805dc2b96d60299acb1ca243fdf24a2cd13ee4"},
    {"Prometheus 3.5.3 with a query",
     "POST /api/v1/write?a=1%2Fz&b=x%20y\n"
     "Host: 127.0.0.1:26002\n"
     "Content-Length: 275\n" AUTHORIZATION("aps",
                                           "content-encoding;content-length;content-type;host;x-"
                                           "amz-date;x-prometheus-remote-write-version",
                                           "4d418a86624a14d364f8fdda1e2f5766ad2e8db50accc49aecfc084"
                                           "0c14b6e79") "Content-Encoding: snappy\n"
                                                        "Content-Type: application/x-protobuf\n"
                                                        "X-Amz-Date: 20261128T021953Z\n"
                                                        "X-Prometheus-Remote-Write-Version: 0.1.0\n"
                                                        "X-Scope-Orgid: team\n"
                                                        "X-Spaces: a   b\n",
     NULL, "1c6da918413b4a8855b085b5d25db9a9883356b8e9032c7ccb957791449bba6e"},
    {"botocore 1.43.11: arguments",
     "GET /api/v1/query?query=sum+by+%28job%29+%28up%7Ba%3D%22%2B%2F%C3%A9%22%7D%29&time=1.5\n"
     "Host: 127.0.0.1:26004\n"
     "X-Amz-Date: 20261128T022046Z\n" AUTHORIZATION(
         "aps", "host;x-amz-date",
         "060873ffae8ee4b856ba416537b609623e108be44eea9830cff44569731aed70"),
     "", NULL},
    {"botocore 1.43.11: a query encoded by the caller",
     "GET /api/v1/query?query=sum+by+%28job%29+%28up%29&time=1.5\n"
     "Host: 127.0.0.1:26004\n"
     "X-Amz-Date: 20261128T022046Z\n" AUTHORIZATION(
         "aps", "host;x-amz-date",
         "c8311a1333e530757c83f294b99e3feacaf3e102ace04b308d9c4502176477aa"),
     "", NULL},
    {"botocore 1.43.11: dots, slashes and folded spaces",
     "POST //api/./v1/x/../write/\n"
     "Host: 127.0.0.1:26004\n"
     "Content-Type: application/x-protobuf\n"
     "X-Scope-OrgID: a   b\n"
     "X-Amz-Date: 20261128T022046Z\n" AUTHORIZATION(
         "aps", "content-type;host;x-amz-date;x-scope-orgid",
         "538d178bbaa1bb1ea9da32207eb4721bcc5eb79c10ba405a59af4931b3027be9") "Content-Length: 4\n",
     "body", NULL},
    {"botocore 1.43.11: escapes in the path and a token",
     "GET /api/v1/rules/a%2Fb/%C3%A9%25\n"
     "Host: 127.0.0.1:26004\n"
     "X-Amz-Date: 20261128T022046Z\n"
     "X-Amz-Security-Token: token/with+chars==\n" AUTHORIZATION(
         "execute-api", "host;x-amz-date;x-amz-security-token",
         "787debb81eff58b2b6fd13acff0ab56145e5fc8c997c3e461c4e79bbcacb87a7"),
     "", NULL},
    {"botocore 1.43.11: a Date header",
     "GET /api/v1/query?b=&a&c=1&c=0\n"
     "Host: 127.0.0.1:26004\n"
     "Date: Sat, 28 Nov 2026 02:20:46 -0000\n" AUTHORIZATION(
         "aps", "date;host", "c017b1763fe6ef2e57d962e081c9a71a8913587a005657af2962852c20061f03"),
     "", NULL},
    {"botocore 1.43.11: presigned",
     "GET "
     "/api/v1/"
     "query?query=up%7Ba%3D%22b%20c%22%7D&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
     "AKIDEXAMPLE%2F20261128%2Feu-west-1%2Faps%2Faws4_request&X-Amz-Date=20261128T022046Z&X-Amz-"
     "Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature="
     "694373a2a0b8a90c5370ac3c257f9da41ff5fa8257eac448a4e17ca99d6713dd\n"
     "Host: 127.0.0.1:26004\n",
     "", NULL},
    {"botocore 1.43.11: presigned with a token",
     "GET "
     "/api/v1/"
     "query?query=up&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261128%2Feu-"
     "west-1%2Faps%2Faws4_request&X-Amz-Date=20261128T022046Z&X-Amz-Expires=900&X-Amz-"
     "SignedHeaders=host%3Bx-scope-orgid&X-Amz-Security-Token=token%2Fwith%2Bchars%3D%3D&X-Amz-"
     "Signature=69f5eb2480b0f9bbb32b03d78286d19fdf7ce0604607fa429180de39f70342a4\n"
     "Host: 127.0.0.1:26004\n"
     "X-Scope-OrgID: team\n",
     "", NULL},
    {"botocore 1.43.11: a path that ends in dots",
     "GET /api/v1/x/..\n"
     "Host: 127.0.0.1:26004\n"
     "X-Amz-Date: 20261128T022046Z\n" AUTHORIZATION(
         "aps", "host;x-amz-date",
         "1f38e7c4b915f9e03f63c390981970e4d21aa7724f23a99ec844fd5857438ea2"),
     "", NULL},
    {"botocore 1.43.11: a hash header",
     "POST /api/v1/write\n"
     "Host: 127.0.0.1:26004\n"
     "X-Amz-Content-SHA256: 230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5\n"
     "X-Amz-Date: 20261128T022046Z\n" AUTHORIZATION(
         "aps", "host;x-amz-content-sha256;x-amz-date",
         "6b146a9316f6a8832454386265a59fad91af9be7534aae4d592a04a77b8c1e92") "Content-Length: 4\n",
     "body", NULL},
    {"curl 7.88.1: a query",
     "GET /api/v1/query?query=up&time=1.5\n"
     "Host: 127.0.0.1:26006\n" AUTHORIZATION("aps", "host;x-amz-date",
                                             "8f04bf4082bbb27eb5100e041b84c8b3c407a1ca7f29d5a5bbe72"
                                             "0a619abdc07") "X-Amz-Date: 20261128T022046Z\n",
     "", NULL},
    {"curl 7.88.1: blanks",
     "GET /api/v1/query?query=sum+by+%28job%29+%28up%29&time=1\n"
     "Host: 127.0.0.1:26006\n" AUTHORIZATION("aps", "host;x-amz-date",
                                             "3a57267928488b40d91fa7327f16baef67a4e55910fc4aab1e3c7"
                                             "e5e24e2055a") "X-Amz-Date: 20261128T022046Z\n",
     "", NULL},
    {"curl 7.88.1: a hash header",
     "POST /api/v1/write\n"
     "Host: 127.0.0.1:26006\n" AUTHORIZATION("aps", "host;x-amz-content-sha256;x-amz-date",
                                             "2a65b20d86eb7fc7212fcff190b9e432a8c11351515d99eea7740"
                                             "c6943651ff7") "X-Amz-Date: 20261128T022047Z\n"
                                                            "x-amz-content-sha256: "
                                                            "230d8358dc8e8890b4c58deeb62912ee2f2035"
                                                            "7ae92a5cc861b98e68fe31acb5\n"
                                                            "Content-Length: 4\n"
                                                            "Content-Type: "
                                                            "application/x-www-form-urlencoded\n",
     "body", NULL},
};

UNIT_TEST(test_requests_that_real_signers_sent_are_good)
{
    for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++) {
        struct sent_head head;
        struct sigv4_claim claim;
        struct why why = {.text = ""};
        char hash[SIGV4_HASH_BYTES];
        sent_head_read(&head, bytes_of_text(recorded[i].head));
        assert_int_equal(sigv4_claim_read(&head.arrival, NULL, &claim, &why), SIGV4_CLAIMED);
        if (recorded[i].hash != NULL)
            snprintf(hash, sizeof hash, "%s", recorded[i].hash);
        else
            sigv4_hash(bytes_of_text(recorded[i].body), hash);
        struct sigv4_terms terms = plain_terms();
        terms.region = "eu-west-1";
        terms.unsigned_tenant = strstr(recorded[i].signer, "Prometheus") != NULL;
        if (claim.session_token.at != NULL) terms.session_token = bytes_of_text(token);
        enum sigv4_verdict verdict = sigv4_judge(&claim, &terms, claim.time_s, hash, &why);
        if (verdict != SIGV4_GOOD) print_error("%s: %s\n", recorded[i].signer, why.text);
        assert_int_equal(verdict, SIGV4_GOOD);
        sigv4_claim_fini(&claim);

        sigv4_claim_read(&head.arrival, NULL, &claim, &why);
        hash[5] = hash[5] == 'a' ? 'b' : 'a';
        verdict = sigv4_judge(&claim, &terms, claim.time_s, hash, &why);
        assert_int_equal(verdict, SIGV4_REFUSED);
        sigv4_claim_fini(&claim);
    }
}

UNIT_TEST(test_a_tenant_that_prometheus_adds_after_signing_is_refused)
{
    struct sigv4_terms terms = plain_terms();
    expect(recorded[1].head, "", &terms, 0, SIGV4_REFUSED, "header x-scope-orgid is not signed");
}

UNIT_TEST(test_the_published_vectors_are_good)
{
    for (size_t i = 0; i < sigv4_vector_count; i++) {
        const struct sigv4_vector *v = &sigv4_vectors[i];
        char text[TEXT_BYTES], names[200] = "host", headers[TEXT_BYTES] = "";
        const char *services[] = {"service"};
        struct sigv4_terms terms = {.secret_key = bytes_of_text(SIGV4_VECTOR_SECRET),
                                    .session_token = bytes_of_text(v->token),
                                    .services = {services, 1}};
        for (int h = 0; h < 4 && v->headers[h] != NULL; h++)
            snprintf(headers + strlen(headers), 200, "%s\n", v->headers[h]);
        if (strstr(headers, "Content-Type") != NULL) strcpy(names, "content-type;host");
        if (strstr(headers, "My-Header1") != NULL) strcat(names, ";my-header1");
        if (strstr(headers, "My-Header2") != NULL) strcat(names, ";my-header2");
        strcat(names, ";x-amz-date");
        if (v->token[0] != '\0') {
            strcat(names, ";x-amz-security-token");
            snprintf(headers, sizeof headers, "X-Amz-Security-Token: %s\n", v->token);
        }
        snprintf(text, sizeof text,
                 "%s %s%s%s\nHost: example.amazonaws.com\nX-Amz-Date: 20150830T123600Z\n%s"
                 "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service"
                 "/aws4_request, SignedHeaders=%s, Signature=%s\n",
                 v->method, v->path, v->query[0] == '\0' ? "" : "?", v->query, headers, names,
                 v->signature);
        expect(text, v->body, &terms, SIGV4_VECTOR_TIME_S, SIGV4_GOOD, "");
    }
}

/* --- changes ---------------------------------------------------------------------------------- */

struct changed {
    const char *from, *to;
    enum sigv4_verdict verdict;
    const char *why;
};

static void
check_changes(const char *text, const char *body, const struct changed *changes, size_t count)
{
    struct sigv4_terms terms = plain_terms();
    expect(text, body, &terms, NOW_S, SIGV4_GOOD, "");
    for (size_t i = 0; i < count; i++) {
        char other[TEXT_BYTES];
        snprintf(other, sizeof other, "%s", text);
        change(other, changes[i].from, changes[i].to);
        expect(other, body, &terms, NOW_S, changes[i].verdict, changes[i].why);
    }
}

static const char wrong[] = "the signature does not match";

UNIT_TEST(test_a_changed_method_or_path_is_refused)
{
    static const struct changed changes[] = {
        {"POST", "PUT", SIGV4_REFUSED, wrong},
        {"POST", "post", SIGV4_REFUSED, wrong},
        {"/write", "/read", SIGV4_REFUSED, wrong},
        {"/write", "/Write", SIGV4_REFUSED, wrong},
        {"/write", "/writ%65", SIGV4_REFUSED, wrong},
        {"/write", "/write/", SIGV4_REFUSED, wrong},
        {"/write", "%2Fwrite", SIGV4_REFUSED, wrong},
        {"/write", "%2fwrite", SIGV4_REFUSED, wrong},
        {"/write", "%252Fwrite", SIGV4_REFUSED, wrong},
        {"/write", "/write%zz", SIGV4_REFUSED, wrong},
        {"/write", "/write/..", SIGV4_REFUSED, wrong},
        {"/write", "/x/%2e%2E/write", SIGV4_MALFORMED, "escaped dot"},
        {"/write", "/%2E/write", SIGV4_MALFORMED, "escaped dot"},
        {"/api", "http://example.com/api", SIGV4_MALFORMED, "not a path"},
        {"/api", "*", SIGV4_MALFORMED, "not a path"},
        {"/api", "api", SIGV4_MALFORMED, "not a path"},
        /* The path that is routed is the same. */
        {"/api", "//api/", SIGV4_GOOD, ""},
        {"/write", "/./x/../write", SIGV4_GOOD, ""},
        {"/api", "/../api", SIGV4_GOOD, ""},
    };
    char text[TEXT_BYTES];
    strcpy(text, signed_head);
    sign(text, "body", "", NOW_S);
    check_changes(text, "body", changes, sizeof changes / sizeof *changes);
}

UNIT_TEST(test_a_path_with_escapes_is_verified_as_it_was_sent)
{
    static const struct changed changes[] = {
        {"a%2Fb", "a/b", SIGV4_REFUSED, wrong},     {"a%2Fb", "a%2fb", SIGV4_REFUSED, wrong},
        {"a%2Fb", "a%252Fb", SIGV4_REFUSED, wrong}, {"%C3%A9", "\xc3\xa9", SIGV4_REFUSED, wrong},
        {"%C3%A9", "%c3%a9", SIGV4_REFUSED, wrong}, {"%25", "%", SIGV4_REFUSED, wrong},
        {"%25", "%2525", SIGV4_REFUSED, wrong},     {"%25", "/..", SIGV4_REFUSED, wrong},
    };
    char text[TEXT_BYTES] = "GET /rules/a%2Fb/%C3%A9%25\nHost: example.com\n";
    sign(text, "", "", NOW_S);
    check_changes(text, "", changes, sizeof changes / sizeof *changes);
}

UNIT_TEST(test_a_changed_query_is_refused)
{
    static const struct changed changes[] = {
        {"b=2", "b=3", SIGV4_REFUSED, wrong},
        {"b=2", "B=2", SIGV4_REFUSED, wrong},
        {"b=2", "b=2&b=2", SIGV4_REFUSED, wrong},
        {"b=2&", "", SIGV4_REFUSED, wrong},
        {"&c=", "", SIGV4_REFUSED, wrong},
        {"&c=", "&c=&c", SIGV4_REFUSED, wrong},
        {"&c=", "&c==", SIGV4_REFUSED, wrong},
        {"x%20y", "x%2By", SIGV4_REFUSED, wrong},
        {"x%20y", "x%2520y", SIGV4_REFUSED, wrong},
        {"x%20y", "xy", SIGV4_REFUSED, wrong},
        {"x%20y", "x%2", SIGV4_REFUSED, "invalid escape"},
        {"&a", ";a", SIGV4_MALFORMED, "semicolon"},
        /* The arguments that the server reads are the same. */
        {"b=2&a=x%20y", "a=x%20y&b=2", SIGV4_GOOD, ""},
        {"x%20y", "x+y", SIGV4_GOOD, ""},
        {"x%20y", "%78%20y", SIGV4_GOOD, ""},
        {"&c=", "&c", SIGV4_GOOD, ""},
        {"&c=", "&&c=&", SIGV4_GOOD, ""},
    };
    char text[TEXT_BYTES];
    strcpy(text, signed_head);
    sign(text, "body", "", NOW_S);
    check_changes(text, "body", changes, sizeof changes / sizeof *changes);
}

UNIT_TEST(test_a_changed_header_is_refused)
{
    static const struct changed changes[] = {
        {"a   b", "a  c", SIGV4_REFUSED, wrong},
        {"a   b", "A b", SIGV4_REFUSED, wrong},
        {"a   b", "ab", SIGV4_REFUSED, wrong},
        {"OrgID: team", "OrgID: other", SIGV4_REFUSED, wrong},
        {"example.com", "example.com:80", SIGV4_REFUSED, wrong},
        {"\n", "\nContent-Type: a b\n", SIGV4_REFUSED, wrong},
        {"Content-Type: a   b\n", "", SIGV4_REFUSED, "signed header \"content-type\" is missing"},
        {"X-Scope-OrgID: team\n", "", SIGV4_REFUSED, "\"x-scope-orgid\" is missing"},
        {"\n", "\nX-Scope-OrgID: team\n", SIGV4_MALFORMED, "more than one header x-scope-orgid"},
        {"\n", "\nhost: example.com\n", SIGV4_MALFORMED, "more than one header host"},
        {"\n", "\nx-amz-date: 20150830T123600Z\n", SIGV4_MALFORMED, "more than one header"},
        {"\n", "\nAuthorization: AWS4-HMAC-SHA256 x\n", SIGV4_MALFORMED, "more than one Auth"},
        {"\n", "\nAuthorization: Basic eDp5\n", SIGV4_MALFORMED, "more than one Authorization"},
        {"\n", "\nX-Amz-Security-Token: t\n", SIGV4_REFUSED, "is not signed"},
        {"T123600Z", "T123601Z", SIGV4_REFUSED, wrong},
        {"Date: 20150830", "Date: 20150831", SIGV4_MALFORMED, "not of the day"},
        {"T123600Z", "T126600Z", SIGV4_MALFORMED, "malformed date"},
        {"X-Amz-Date:", "X-Other:", SIGV4_MALFORMED, "malformed date"},
        {"a   b", "a b", SIGV4_GOOD, ""},
        {"a   b", "  a \t b ", SIGV4_GOOD, ""},
        {"\n", "\nUser-Agent: x\n", SIGV4_GOOD, ""},
        {"\n", "\nDate: x\n", SIGV4_GOOD, ""},
        {"Content-Type", "CONTENT-TYPE", SIGV4_GOOD, ""},
    };
    char text[TEXT_BYTES];
    strcpy(text, signed_head);
    sign(text, "body", "", NOW_S);
    check_changes(text, "body", changes, sizeof changes / sizeof *changes);
}

UNIT_TEST(test_a_changed_authorization_header_is_refused)
{
    static const struct changed changes[] = {
        {"us-east-1", "us-east-2", SIGV4_REFUSED, wrong},
        {"/aps/", "/execute-api/", SIGV4_REFUSED, wrong},
        {"/aps/", "/s3/", SIGV4_REFUSED, "service \"s3\""},
        {"/20150830", "/20150829", SIGV4_MALFORMED, "not of the day"},
        {"AKIDEXAMPLE/", "AKIDEXAMPLE/x/", SIGV4_MALFORMED, "credential scope"},
        {"AKIDEXAMPLE/", "", SIGV4_MALFORMED, "credential scope"},
        {"AKIDEXAMPLE/", "/", SIGV4_MALFORMED, "credential scope"},
        {"/aws4_request", "/aws5_request", SIGV4_MALFORMED, "credential scope"},
        {"Headers=content-type;", "Headers=", SIGV4_REFUSED, wrong},
        {"Headers=content-type;host;", "Headers=content-type;", SIGV4_REFUSED, "host is not"},
        {";x-amz-date", "", SIGV4_REFUSED, "x-amz-date is not signed"},
        {";x-scope-orgid", "", SIGV4_REFUSED, "x-scope-orgid is not signed"},
        {";x-scope-orgid", ";x-other;x-scope-orgid", SIGV4_REFUSED, "\"x-other\" is missing"},
        {"content-type;host", "host;content-type", SIGV4_MALFORMED, "unsorted"},
        {"content-type;host", "content-type;host;host", SIGV4_MALFORMED, "unsorted"},
        {"content-type;host", "Content-Type;host", SIGV4_MALFORMED, "malformed"},
        {"content-type;host", "content-type;;host", SIGV4_MALFORMED, "malformed"},
        {"x-scope-orgid,", "x-scope-orgid;,", SIGV4_MALFORMED, "malformed"},
        {"Signature=", "Signature=0", SIGV4_MALFORMED, "malformed signature"},
        {"Signature=", "Signature=,X=", SIGV4_MALFORMED, "malformed Authorization"},
        {"Signature=", "signature=", SIGV4_MALFORMED, "malformed Authorization"},
        {", Signature=", ", Signature=x, Signature=", SIGV4_MALFORMED, "malformed Authorization"},
        {", Signature=", ", ", SIGV4_MALFORMED, "malformed Authorization"},
        {", SignedHeaders", ",, SignedHeaders", SIGV4_MALFORMED, "malformed Authorization"},
        {", SignedHeaders", " SignedHeaders", SIGV4_MALFORMED, "missing SignedHeaders"},
        {"-SHA256 ", "-SHA512 ", SIGV4_MALFORMED, "unsupported algorithm"},
        {"AWS4-HMAC", "AWS4-ECDSA-P256", SIGV4_MALFORMED, "unsupported algorithm"},
        {"AWS4-HMAC", "aws4-hmac", SIGV4_MALFORMED, "unsupported algorithm"},
        {"AWS4-HMAC-SHA256 ", "AWS ", SIGV4_MALFORMED, "unsupported algorithm"},
        {"?", "?X-Amz-Signature=1&", SIGV4_MALFORMED, "in the query and in a header"},
        {"?", "?x-amz-date=1&", SIGV4_MALFORMED, "in the query and in a header"},
        {", SignedHeaders", ",SignedHeaders", SIGV4_GOOD, ""},
        {", SignedHeaders", " \t,\t SignedHeaders", SIGV4_GOOD, ""},
        {"SHA256 C", "SHA256   C", SIGV4_GOOD, ""},
    };
    char text[TEXT_BYTES];
    strcpy(text, signed_head);
    sign(text, "body", "", NOW_S);
    check_changes(text, "body", changes, sizeof changes / sizeof *changes);
}

UNIT_TEST(test_each_changed_digit_of_a_signature_is_refused)
{
    char text[TEXT_BYTES];
    struct sigv4_terms terms = plain_terms();
    strcpy(text, signed_head);
    sign(text, "body", "", NOW_S);
    char *digits = strstr(text, "Signature=") + strlen("Signature=");
    for (int i = 0; i < 64; i++) {
        char was = digits[i];
        digits[i] = was == '0' ? '1' : '0';
        expect(text, "body", &terms, NOW_S, SIGV4_REFUSED, wrong);
        digits[i] = was >= 'a' ? (char)(was - 32) : 'A';
        expect(text, "body", &terms, NOW_S, SIGV4_MALFORMED, "malformed signature");
        digits[i] = was;
    }
    terms.secret_key = bytes_of_text("secretEXAMPLF");
    expect(text, "body", &terms, NOW_S, SIGV4_REFUSED, wrong);
}

UNIT_TEST(test_a_request_without_such_a_signature_is_left_to_others)
{
    struct sigv4_terms terms = plain_terms();
    expect("GET /?a=b\nHost: x\n", "", &terms, NOW_S, SIGV4_ABSENT, "");
    expect("GET /\nAuthorization: Basic eDp5\n", "", &terms, NOW_S, SIGV4_ABSENT, "");
    expect("GET /\nAuthorization: Bearer AWS4-x\n", "", &terms, NOW_S, SIGV4_ABSENT, "");
    expect("GET *\nAuthorization: AWSX\nX-Amz-Date: 1\n", "", &terms, NOW_S, SIGV4_ABSENT, "");
}

/* --- presigned -------------------------------------------------------------------------------- */

UNIT_TEST(test_a_changed_presigned_request_is_refused)
{
    static const struct changed changes[] = {
        {"query=up", "query=down", SIGV4_REFUSED, wrong},
        {"/query?", "/read?", SIGV4_REFUSED, wrong},
        {"GET", "HEAD", SIGV4_REFUSED, wrong},
        {"GET", "POST", SIGV4_REFUSED, "not GET or HEAD"},
        {"Expires=300", "Expires=301", SIGV4_REFUSED, wrong},
        {"Expires=300", "Expires=0", SIGV4_REFUSED, "is not 1 to 900"},
        {"Expires=300", "Expires=901", SIGV4_REFUSED, "is not 1 to 900"},
        {"Expires=300", "Expires=-1", SIGV4_MALFORMED, "X-Amz-Expires"},
        {"Expires=300", "Expires=0000300", SIGV4_MALFORMED, "X-Amz-Expires"},
        {"&X-Amz-Expires=300", "", SIGV4_MALFORMED, "missing X-Amz-Expires"},
        {"&X-Amz-Expires=300", "&X-Amz-Expires=300&X-Amz-Expires=300", SIGV4_MALFORMED, "repeated"},
        {"&X-Amz-Expires=300", "&X-Amz-Expires=", SIGV4_MALFORMED, "X-Amz-Expires"},
        {"&X-Amz-Expires", "&x-amz-expires", SIGV4_MALFORMED, "X-Amz-Expires"},
        {"&X-Amz-Expires", "&%58-Amz-Expires", SIGV4_MALFORMED, "missing X-Amz-Expires"},
        {"&X-Amz-Signature=", "&X-Amz-Signature=x&X-Amz-Signature=", SIGV4_MALFORMED, "repeated"},
        {"&X-Amz-Signature=", "&%58-Amz-Signature=1&X-Amz-Signature=", SIGV4_REFUSED, wrong},
        {"&X-Amz-Signature=", "&Y=", SIGV4_MALFORMED, "missing X-Amz-Signature"},
        {"X-Amz-Date=20150830T123600Z", "X-Amz-Date=20150830T123601Z", SIGV4_REFUSED, wrong},
        {"X-Amz-Date=2", "X-Amz-Date=+2", SIGV4_MALFORMED, "X-Amz-Date"},
        {"X-Amz-Date=2", "X-Amz-Date=%2", SIGV4_MALFORMED, "X-Amz-Date"},
        {"X-Amz-Date=2", "X-Amz-Date=3", SIGV4_MALFORMED, "not of the day"},
        {"%2Faps%2F", "%2Fexecute-api%2F", SIGV4_REFUSED, wrong},
        {"us-east-1", "us-east-2", SIGV4_REFUSED, wrong},
        {"SHA256", "SHA512", SIGV4_MALFORMED, "unsupported algorithm"},
        {"SignedHeaders=host", "SignedHeaders=x", SIGV4_REFUSED, "host is not signed"},
        {"\n", "\nX-Scope-OrgID: team\n", SIGV4_REFUSED, "x-scope-orgid is not signed"},
        {"\n", "\nX-Amz-Security-Token: t\n", SIGV4_MALFORMED, "security token in a header"},
        {"\n", "\nAuthorization: Basic eDp5\n", SIGV4_MALFORMED, "in the query and in a header"},
        {"&X-Amz-Signature=", "&X-Amz-Security-Token=t&X-Amz-Signature=", SIGV4_REFUSED, "token"},
        {"example.com", "example.org", SIGV4_REFUSED, wrong},
        {"query=up&X", "X", SIGV4_REFUSED, wrong},
        {"%2Faps%2F", "/aps/", SIGV4_GOOD, ""},
        {"query=up&X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4-HMAC-SHA256&query=up",
         SIGV4_GOOD, ""},
        {"\n", "\nX-Amz-Date: x\n", SIGV4_GOOD, ""},
    };
    char text[TEXT_BYTES];
    presign(text, "/api/v1/query?query=up", "&X-Amz-Expires=300");
    check_changes(text, "", changes, sizeof changes / sizeof *changes);
    struct sigv4_terms terms = plain_terms();
    expect(text, "body", &terms, NOW_S, SIGV4_REFUSED, wrong);
}

/* --- times and terms -------------------------------------------------------------------------- */

UNIT_TEST(test_the_clocks_may_differ_by_five_minutes)
{
    char text[TEXT_BYTES], url[TEXT_BYTES];
    struct sigv4_terms terms = plain_terms();
    strcpy(text, signed_head);
    sign(text, "", "", NOW_S);
    expect(text, "", &terms, NOW_S - 301, SIGV4_REFUSED, "in the future");
    expect(text, "", &terms, NOW_S - 300, SIGV4_GOOD, "");
    expect(text, "", &terms, NOW_S + 300, SIGV4_GOOD, "");
    expect(text, "", &terms, NOW_S + 301, SIGV4_REFUSED, "too long ago");
    presign(url, "/?a=", "&X-Amz-Expires=900");
    expect(url, "", &terms, NOW_S - 301, SIGV4_REFUSED, "in the future");
    expect(url, "", &terms, NOW_S - 300, SIGV4_GOOD, "");
    expect(url, "", &terms, NOW_S + 900, SIGV4_GOOD, "");
    expect(url, "", &terms, NOW_S + 901, SIGV4_REFUSED, "expired");
}

UNIT_TEST(test_a_date_header_is_read_in_the_forms_that_signers_write)
{
    static const struct {
        const char *date;
        bool good;
    } dates[] = {
        {"Sun, 30 Aug 2015 12:36:00 GMT", true},
        {"Sun, 30 Aug 2015 12:36:00 -0000", true},
        {"Sun, 30 Aug 2015 12:36:00 +0000", true},
        {"20150830T123600Z", true},
        {"Sun, 30 Aug 2015 12:36:00 +0200", false},
        {"Sun, 30 Aug 2015 12:36:00", false},
        {"2015-08-30T12:36:00Z", false},
        {"20150830T123600", false},
        {"20151330T123600Z", false},
        {"20150231T123600Z", false},
        {"x", false},
    };
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        char text[TEXT_BYTES], signature[SIGV4_HASH_BYTES];
        struct sigv4_terms terms = plain_terms();
        struct sigv4_header headers[] = {{bytes_of_text("date"), bytes_of_text(dates[i].date)},
                                         {bytes_of_text("host"), bytes_of_text("x")}};
        struct sigv4_request r = {.method = bytes_of_text("GET"),
                                  .headers = headers,
                                  .header_count = 2,
                                  .region = bytes_of_text("r"),
                                  .service = bytes_of_text("aps"),
                                  .time_s = NOW_S};
        sigv4_hash(bytes_of_text(""), r.payload_hash);
        assert_int_equal(sigv4_expect(&r, bytes_of_text(secret), false, NULL, signature), OK);
        snprintf(text, sizeof text,
                 "GET /\nHost: x\nDate: %s\nAuthorization: AWS4-HMAC-SHA256 Signature=%s, "
                 "SignedHeaders=date;host, Credential=AKIDEXAMPLE/20150830/r/aps/aws4_request\n",
                 dates[i].date, signature);
        expect(text, "", &terms, NOW_S, dates[i].good ? SIGV4_GOOD : SIGV4_MALFORMED,
               dates[i].good ? "" : "malformed date");
    }
}

UNIT_TEST(test_service_region_and_host_are_compared_with_the_terms)
{
    const char *services[] = {"custom"}, *hosts[] = {"a.example", "EXAMPLE.com"};
    char text[TEXT_BYTES];
    strcpy(text, signed_head);
    sign(text, "", "", NOW_S);
    struct sigv4_terms terms = plain_terms();
    terms.region = "us-east-1";
    terms.services = (struct text_list){services, 1};
    terms.hosts = (struct text_list){hosts, 2};
    expect(text, "", &terms, NOW_S, SIGV4_GOOD, "");
    terms.region = "us-east-2";
    expect(text, "", &terms, NOW_S, SIGV4_REFUSED, "signed for region \"us-east-1\"");
    terms.region = NULL;
    terms.hosts.count = 1;
    expect(text, "", &terms, NOW_S, SIGV4_REFUSED, "signed for host \"example.com\"");
    terms.hosts.count = 0;
    change(text, "/aps/", "/custom/");
    expect(text, "", &terms, NOW_S, SIGV4_REFUSED, wrong);
    change(text, "/custom/", "/Custom/");
    expect(text, "", &terms, NOW_S, SIGV4_REFUSED, "signed for service \"Custom\"");
}

UNIT_TEST(test_the_session_token_must_be_that_of_the_key)
{
    char text[TEXT_BYTES], url[TEXT_BYTES];
    struct sigv4_terms terms = plain_terms();
    strcpy(text, signed_head);
    sign(text, "", token, NOW_S);
    presign(url, "/?a=", "&X-Amz-Expires=9&X-Amz-Security-Token=token%2Fwith%2Bchars%3D%3D");
    expect(text, "", &terms, NOW_S, SIGV4_REFUSED, "wrong session token");
    expect(url, "", &terms, NOW_S, SIGV4_REFUSED, "wrong session token");
    terms.session_token = bytes_of_text("token/with+chars=!");
    expect(text, "", &terms, NOW_S, SIGV4_REFUSED, "wrong session token");
    terms.session_token = bytes_of_text(token);
    expect(text, "", &terms, NOW_S, SIGV4_GOOD, "");
    expect(url, "", &terms, NOW_S, SIGV4_GOOD, "");
    strcpy(text, signed_head);
    sign(text, "", "", NOW_S);
    expect(text, "", &terms, NOW_S, SIGV4_REFUSED, "missing or wrong session token");
}

/* --- bodies ----------------------------------------------------------------------------------- */

/* Signs a request with this header X-Amz-Content-Sha256, which also is the signed payload. */
static void
sign_payload(char *text, const char *payload)
{
    char signature[SIGV4_HASH_BYTES];
    struct sigv4_header headers[] = {
        {bytes_of_text("host"), bytes_of_text("x")},
        {bytes_of_text("x-amz-content-sha256"), bytes_of_text(payload)},
        {bytes_of_text("x-amz-date"), bytes_of_text("20150830T123600Z")}};
    struct sigv4_request r = {.method = bytes_of_text("POST"),
                              .headers = headers,
                              .header_count = 3,
                              .region = bytes_of_text("r"),
                              .service = bytes_of_text("aps"),
                              .time_s = NOW_S};
    snprintf(r.payload_hash, sizeof r.payload_hash, "%s", payload);
    assert_int_equal(sigv4_expect(&r, bytes_of_text(secret), false, NULL, signature), OK);
    snprintf(text, TEXT_BYTES,
             "POST /\nHost: x\nX-Amz-Date: 20150830T123600Z\nx-amz-content-sha256: %s\n"
             "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/r/aps/aws4_request, "
             "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=%s\n",
             payload, signature);
}

UNIT_TEST(test_the_body_must_have_the_signed_hash)
{
    char text[TEXT_BYTES], hash[SIGV4_HASH_BYTES];
    struct sigv4_terms terms = plain_terms();
    strcpy(text, signed_head);
    sign(text, "body", "", NOW_S);
    expect(text, "bodY", &terms, NOW_S, SIGV4_REFUSED, wrong);
    expect(text, "", &terms, NOW_S, SIGV4_REFUSED, wrong);
    sigv4_hash(bytes_of_text("body"), hash);
    sign_payload(text, hash);
    expect(text, "body", &terms, NOW_S, SIGV4_GOOD, "");
    expect(text, "bodY", &terms, NOW_S, SIGV4_REFUSED, "does not have the signed hash");
    change(text, "host;x-amz-content-sha256;", "host;");
    expect(text, "body", &terms, NOW_S, SIGV4_REFUSED, "x-amz-content-sha256 is not signed");
    sign_payload(text, "230D8358DC8E8890B4C58DEEB62912EE2F20357AE92A5CC861B98E68FE31ACB5");
    expect(text, "body", &terms, NOW_S, SIGV4_MALFORMED, "X-Amz-Content-Sha256");
    sign_payload(text, "");
    expect(text, "body", &terms, NOW_S, SIGV4_MALFORMED, "X-Amz-Content-Sha256");
    sign_payload(text, hash);
    change(text, "\n", "\nX-Amz-Content-Sha256: x\n");
    expect(text, "body", &terms, NOW_S, SIGV4_MALFORMED, "more than one header");
}

/* Judges without and with the hash of the body. */
static void
check_stages(const char *text, bool is_tls, const struct sigv4_terms *terms,
             enum sigv4_verdict first, enum sigv4_verdict second)
{
    struct sent_head head;
    struct sigv4_claim claim;
    char hash[SIGV4_HASH_BYTES];
    sigv4_hash(bytes_of_text("body"), hash);
    sent_head_read(&head, bytes_of_text(text));
    head.arrival.is_tls = is_tls;
    assert_int_equal(sigv4_claim_read(&head.arrival, NULL, &claim, NULL), SIGV4_CLAIMED);
    assert_int_equal(sigv4_judge(&claim, terms, NOW_S, NULL, NULL), first);
    if (first == SIGV4_NEEDS_BODY) {
        assert_int_equal(sigv4_judge(&claim, terms, NOW_S, hash, NULL), second);
        hash[0] = hash[0] == 'a' ? 'b' : 'a';
        if (claim.content_hash.at != NULL)
            assert_int_equal(sigv4_judge(&claim, terms, NOW_S, hash, NULL), SIGV4_REFUSED);
    }
    sigv4_claim_fini(&claim);
}

UNIT_TEST(test_all_but_the_body_is_judged_before_it_arrives)
{
    char text[TEXT_BYTES], hash[SIGV4_HASH_BYTES];
    struct sigv4_terms terms = plain_terms();
    strcpy(text, signed_head);
    sign(text, "body", "", NOW_S);
    check_stages(text, false, &terms, SIGV4_NEEDS_BODY, SIGV4_GOOD);
    change(text, "/write", "/read");
    check_stages(text, false, &terms, SIGV4_NEEDS_BODY, SIGV4_REFUSED);
    terms.region = "us-east-2";
    check_stages(text, false, &terms, SIGV4_REFUSED, SIGV4_REFUSED);
    terms.region = NULL;
    sigv4_hash(bytes_of_text("body"), hash);
    sign_payload(text, hash);
    check_stages(text, false, &terms, SIGV4_NEEDS_BODY, SIGV4_GOOD);
    change(text, "POST", "PUT");
    check_stages(text, false, &terms, SIGV4_REFUSED, SIGV4_REFUSED);
}

UNIT_TEST(test_an_unsigned_payload_needs_tls_and_permission)
{
    char text[TEXT_BYTES];
    struct sigv4_terms terms = plain_terms(), allowing = plain_terms();
    allowing.unsigned_payload = true;
    sign_payload(text, "UNSIGNED-PAYLOAD");
    check_stages(text, true, &allowing, SIGV4_GOOD, SIGV4_GOOD);
    check_stages(text, false, &allowing, SIGV4_REFUSED, SIGV4_REFUSED);
    check_stages(text, true, &terms, SIGV4_REFUSED, SIGV4_REFUSED);
    expect(text, "", &allowing, NOW_S, SIGV4_REFUSED, "not allowed without TLS");
    change(text, "/\n", "/x\n");
    check_stages(text, true, &allowing, SIGV4_REFUSED, SIGV4_REFUSED);
    sign_payload(text, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    check_stages(text, true, &allowing, SIGV4_REFUSED, SIGV4_REFUSED);
    expect(text, "", &allowing, NOW_S, SIGV4_REFUSED, "signed chunks");
}

/* --- limits and memory ------------------------------------------------------------------------ */

UNIT_TEST(test_too_many_headers_or_arguments_are_refused)
{
    char text[TEXT_BYTES], lines[TEXT_BYTES] = "\n";
    struct sigv4_terms terms = plain_terms();
    strcpy(text, signed_head);
    sign(text, "", "", NOW_S);
    for (int i = 0; i < SIGV4_HEADERS_MAX; i++)
        strcat(lines, "Content-Type: x\n");
    change(text, "\n", lines);
    expect(text, "", &terms, NOW_S, SIGV4_REFUSED, "more than 64 signed headers");
    strcpy(text, signed_head);
    sign(text, "", "", NOW_S);
    strcpy(lines, "?");
    for (int i = 0; i < 100; i++)
        strcat(lines, "a=1&");
    change(text, "?", lines);
    expect(text, "", &terms, NOW_S, SIGV4_REFUSED, "too many arguments");
}

static char failing_text[TEXT_BYTES];

static enum err
judge_failing(void)
{
    struct sigv4_terms terms = plain_terms();
    struct judged j = judge(failing_text, "", &terms, NOW_S);
    assert_true(j.verdict == SIGV4_GOOD || j.verdict == SIGV4_NO_MEMORY);
    return j.verdict == SIGV4_GOOD ? OK : ERR_NOMEM;
}

UNIT_TEST(test_any_allocation_may_fail)
{
    strcpy(failing_text, signed_head);
    sign(failing_text, "", "", NOW_S);
    fail_each_allocation(judge_failing);
    presign(failing_text, "/?a=", "&X-Amz-Expires=900");
    fail_each_allocation(judge_failing);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_that_real_signers_sent_are_good),
        cmocka_unit_test(test_a_tenant_that_prometheus_adds_after_signing_is_refused),
        cmocka_unit_test(test_the_published_vectors_are_good),
        cmocka_unit_test(test_a_changed_method_or_path_is_refused),
        cmocka_unit_test(test_a_path_with_escapes_is_verified_as_it_was_sent),
        cmocka_unit_test(test_a_changed_query_is_refused),
        cmocka_unit_test(test_a_changed_header_is_refused),
        cmocka_unit_test(test_a_changed_authorization_header_is_refused),
        cmocka_unit_test(test_each_changed_digit_of_a_signature_is_refused),
        cmocka_unit_test(test_a_request_without_such_a_signature_is_left_to_others),
        cmocka_unit_test(test_a_changed_presigned_request_is_refused),
        cmocka_unit_test(test_the_clocks_may_differ_by_five_minutes),
        cmocka_unit_test(test_a_date_header_is_read_in_the_forms_that_signers_write),
        cmocka_unit_test(test_service_region_and_host_are_compared_with_the_terms),
        cmocka_unit_test(test_the_session_token_must_be_that_of_the_key),
        cmocka_unit_test(test_the_body_must_have_the_signed_hash),
        cmocka_unit_test(test_all_but_the_body_is_judged_before_it_arrives),
        cmocka_unit_test(test_an_unsigned_payload_needs_tls_and_permission),
        cmocka_unit_test(test_too_many_headers_or_arguments_are_refused),
        cmocka_unit_test(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
