/* jwt_test.c - tokens of all kinds, signed with a key of Ed25519, and one of RFC 7515. */
#include "lib/test.h"

#include <stdio.h>
#include <string.h>

#include "auth/tokens/jwt.h"
#include "lib/auth/token_signer.h"
#include "lib/failing_memory.h"

#define HEADER "{\"alg\":\"EdDSA\",\"kid\":\"a\"}"
static const int64_t NOW_S = 1700000000;

static struct token_signer *signer, *stranger;
static struct jwks *keys;

static struct jwks *
keys_of(const struct token_signer *of)
{
    struct buf document;
    struct jwks *set = NULL;
    buf_init(&document, NULL, 10000);
    buf_put_text(&document, "{\"keys\":[");
    token_signer_jwk(of, "\"kid\":\"a\",", &document);
    buf_put_text(&document, "]}");
    assert_int_equal(jwks_read(NULL, buf_bytes(&document), &set, NULL), OK);
    buf_fini(&document);
    return set;
}

static int
make_keys(void **state)
{
    (void)state;
    signer = token_signer_new(TOKEN_KEY_ED25519);
    stranger = token_signer_new(TOKEN_KEY_ED25519);
    keys = keys_of(signer);
    return 0;
}

static int
free_keys(void **state)
{
    (void)state;
    jwks_free(keys);
    token_signer_free(signer);
    token_signer_free(stranger);
    return 0;
}

/* Makes a signed token and reads it. `token` holds its bytes. */
static struct jwt *
read_signed(const char *header, const char *payload, struct buf *token)
{
    struct jwt *jwt = NULL;
    struct why why = {.text = ""};
    buf_clear(token);
    token_signer_token(signer, "Ed25519", header, bytes_of_text(payload), token);
    enum jwt_verdict verdict = jwt_read(NULL, buf_bytes(token), &jwt, &why);
    if (verdict != JWT_ACCEPTED) fail_msg("%s: %s", payload, why.text);
    return jwt;
}

/* --- malformed tokens ------------------------------------------------------------------------- */

#define E30 "e30"                  /* {} */
#define ALG "eyJhbGciOiJFZERTQSJ9" /* {"alg":"EdDSA"} */

UNIT_TEST(test_malformed_tokens_are_recognized)
{
    static const struct {
        const char *token;
        const char *why;
    } cases[] = {
        {"", "token does not have three parts"},
        {"a", "token does not have three parts"},
        {"..", "token's header: invalid JSON at byte "},
        {"...", "token does not have three parts"},
        {ALG "." E30, "token does not have three parts"},
        {ALG "." E30 ".AA.AA.AA", "token does not have three parts"},
        {ALG "." E30 ".AA==", "token's signature is not base64url"},
        {ALG "." E30 ".AB", "token's signature is not base64url"},
        {ALG "." E30 ".A+", "token's signature is not base64url"},
        {ALG "." E30 ".AA ", "token's signature is not base64url"},
        {ALG "=." E30 ".AA", "token's header: it is not base64url"},
        {ALG "." E30 "=.AA", "token's payload: it is not base64url"},
        {E30 "." E30 ".AA", "token's header has no alg that is a string"},
        {"eyJhbGciOjF9." E30 ".AA", "token's header has no alg that is a string"},
        {"W10." E30 ".AA", "token's header: JSON is not an object"},
        {ALG ".W10.AA", "token's payload: JSON is not an object"},
        {ALG ".UGF5bG9hZA.AA", "token's payload: invalid JSON at byte "},
        {ALG "..AA", "token's payload: invalid JSON at byte "},
        /* {"alg":"none","alg":"EdDSA"} and {"alg":"EdDSA","kid":7} */
        {"eyJhbGciOiJub25lIiwiYWxnIjoiRWREU0EifQ." E30 ".AA",
         "token's header: a name occurs twice in a JSON object"},
        {"eyJhbGciOiJFZERTQSIsImtpZCI6N30." E30 ".AA", "token's kid is not a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jwt *jwt = NULL;
        struct why why = {.text = ""};
        assert_int_equal(jwt_read(NULL, bytes_of_text(cases[i].token), &jwt, &why), JWT_MALFORMED);
        assert_null(jwt);
        /* Positions in JSON are jansson's. */
        assert_int_equal(strncmp(why.text, cases[i].why, strlen(cases[i].why)), 0);
    }
}

/* The longest token has a payload of many elements, none of which repeats. */
UNIT_TEST(test_a_token_has_at_most_8_kib)
{
    struct buf payload, token;
    struct why why;
    buf_init(&payload, NULL, 10000);
    buf_init(&token, NULL, 20000);
    for (unsigned more = 0; more < 8; more++) {
        struct jwt *jwt = NULL;
        buf_clear(&payload);
        buf_clear(&token);
        buf_put_text(&payload, "{\"exp\":1700000000,\"text\":\"");
        while (payload.size < 5990 + more)
            buf_put_u8(&payload, 'x');
        buf_put_text(&payload, "\"}");
        token_signer_token(signer, "Ed25519", HEADER, buf_bytes(&payload), &token);
        size_t text_size = token.size;
        while (token.size < JWT_BYTES_MAX + 1)
            buf_put_u8(&token, 'A');
        assert_true(text_size <= JWT_BYTES_MAX);
        enum jwt_verdict verdict = jwt_read(NULL, bytes_of(token.at, text_size), &jwt, &why);
        assert_int_equal(verdict, JWT_ACCEPTED);
        assert_int_equal(jwt_verify(jwt, keys, NOW_S, &why), JWT_ACCEPTED);
        jwt_free(jwt);
        assert_int_equal(jwt_read(NULL, buf_bytes(&token), &jwt, &why), JWT_MALFORMED);
        assert_string_equal(why.text, "token is longer than 8192 bytes");
    }
    buf_fini(&payload);
    buf_fini(&token);
}

UNIT_TEST(test_each_changed_byte_of_a_token_refuses_it)
{
    struct buf token;
    buf_init(&token, NULL, 10000);
    struct jwt *jwt = read_signed(HEADER, "{\"exp\":1700000000,\"iss\":\"i\"}", &token);
    assert_int_equal(jwt_verify(jwt, keys, NOW_S, NULL), JWT_ACCEPTED);
    jwt_free(jwt);
    for (size_t at = 0; at < token.size; at++) {
        static const char others[] = "A9_.~";
        uint8_t old = token.at[at];
        for (const char *other = others; *other != '\0'; other++) {
            if (old == *other) continue;
            token.at[at] = (uint8_t)*other;
            enum jwt_verdict verdict = jwt_read(NULL, buf_bytes(&token), &jwt, NULL);
            if (verdict != JWT_ACCEPTED) continue;
            assert_int_not_equal(jwt_verify(jwt, keys, NOW_S, NULL), JWT_ACCEPTED);
            jwt_free(jwt);
        }
        token.at[at] = old;
    }
    buf_fini(&token);
}

/* --- headers ---------------------------------------------------------------------------------- */

UNIT_TEST(test_headers_are_judged)
{
    static const struct {
        const char *header;
        enum jwt_verdict verdict;
        const char *why;
    } cases[] = {
        {HEADER, JWT_ACCEPTED, ""},
        {"{\"alg\":\"EdDSA\"}", JWT_ACCEPTED, ""},
        {"{\"alg\":\"Ed25519\",\"kid\":\"a\"}", JWT_ACCEPTED, ""},
        {"{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}", JWT_ACCEPTED, ""},
        {"{\"alg\":\"EdDSA\",\"typ\":\"jwt\"}", JWT_ACCEPTED, ""},
        {"{\"alg\":\"EdDSA\",\"typ\":\"JOSE\"}", JWT_ACCEPTED, ""},
        {"{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\"}", JWT_ACCEPTED, ""},
        {"{\"alg\":\"EdDSA\",\"typ\":\"application/at+JWT\"}", JWT_ACCEPTED, ""},
        {"{\"alg\":\"EdDSA\",\"typ\":\"logout+jwt\"}", JWT_REFUSED,
         "token's typ is 'logout+jwt', expected JWT, JOSE or at+jwt"},
        {"{\"alg\":\"EdDSA\",\"typ\":\"\"}", JWT_REFUSED,
         "token's typ is '', expected JWT, JOSE or at+jwt"},
        {"{\"alg\":\"EdDSA\",\"typ\":\"application/\"}", JWT_REFUSED,
         "token's typ is 'application/', expected JWT, JOSE or at+jwt"},
        {"{\"alg\":\"EdDSA\",\"typ\":1}", JWT_REFUSED,
         "token's typ is '', expected JWT, JOSE or at+jwt"},
        {"{\"alg\":\"EdDSA\",\"jku\":\"https://example.com\",\"x5u\":7,\"x5c\":[\"AA\"],"
         "\"x5t\":\"AA\",\"other\":{}}",
         JWT_ACCEPTED, ""},
        {"{\"alg\":\"EdDSA\",\"crit\":[\"exp\"],\"exp\":1}", JWT_REFUSED,
         "token has crit, and no extension is supported"},
        {"{\"alg\":\"EdDSA\",\"crit\":[]}", JWT_REFUSED,
         "token has crit, and no extension is supported"},
        {"{\"alg\":\"EdDSA\",\"crit\":null}", JWT_REFUSED,
         "token has crit, and no extension is supported"},
        {"{\"alg\":\"EdDSA\",\"b64\":false,\"crit\":[\"b64\"]}", JWT_REFUSED,
         "token has crit, and no extension is supported"},
        {"{\"alg\":\"none\",\"kid\":\"a\"}", JWT_REFUSED, "algorithm 'none' is not accepted"},
        {"{\"alg\":\"HS256\",\"kid\":\"a\"}", JWT_REFUSED, "algorithm 'HS256' is not accepted"},
        {"{\"alg\":\"RS256\",\"kid\":\"a\"}", JWT_REFUSED,
         "algorithm 'RS256' is not that of key 'a'"},
        {"{\"alg\":\"EdDSA\",\"kid\":\"b\"}", JWT_UNKNOWN_KEY, "key 'b' is not in the key set"},
        {"{\"alg\":\"EdDSA\",\"kid\":\"\\u001b[2J\"}", JWT_UNKNOWN_KEY,
         "key '\\x1b[2J' is not in the key set"},
    };
    struct buf token;
    buf_init(&token, NULL, 10000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why why = {.text = ""};
        struct jwt *jwt = read_signed(cases[i].header, "{\"exp\":1700000000}", &token);
        assert_int_equal(jwt_verify(jwt, keys, NOW_S, &why), cases[i].verdict);
        assert_string_equal(why.text, cases[i].why);
        jwt_free(jwt);
    }
    buf_fini(&token);
}

/* A token signed by a stranger who puts a key into the header, or names the issuer's key. */
UNIT_TEST(test_a_key_in_the_header_is_not_used)
{
    struct buf header, token;
    struct jwt *jwt = NULL;
    buf_init(&header, NULL, 1000);
    buf_init(&token, NULL, 10000);
    for (unsigned named = 0; named < 2; named++) {
        buf_clear(&header);
        buf_clear(&token);
        buf_printf(&header, "{\"alg\":\"EdDSA\",%s\"jwk\":", named ? "\"kid\":\"a\"," : "");
        token_signer_jwk(stranger, "\"kid\":\"a\",", &header);
        buf_put(&header, "}", 2);
        token_signer_token(stranger, "Ed25519", (const char *)header.at,
                           bytes_of_text("{\"exp\":1700000000}"), &token);
        assert_int_equal(jwt_read(NULL, buf_bytes(&token), &jwt, NULL), JWT_ACCEPTED);
        assert_int_equal(jwt_verify(jwt, keys, NOW_S, NULL), named ? JWT_REFUSED : JWT_UNKNOWN_KEY);
        jwt_free(jwt);
    }
    buf_fini(&header);
    buf_fini(&token);
}

/* --- times ------------------------------------------------------------------------------------ */

UNIT_TEST(test_times_are_required_and_have_a_leeway_of_60_s)
{
    static const struct {
        const char *payload; /* now is 1700000000 */
        const char *why;     /* NULL: accepted */
    } cases[] = {
        {"{\"exp\":1700000001}", NULL},
        {"{\"exp\":1699999941}", NULL},
        {"{\"exp\":1699999940}", "token expired 60 s ago"},
        {"{\"exp\":1600000000}", "token expired 100000000 s ago"},
        {"{\"exp\":0}", "token expired 1700000000 s ago"},
        {"{\"exp\":-5}", "token expired 1700000005 s ago"},
        {"{\"exp\":1699999941.5}", NULL},
        {"{\"exp\":1699999940.9}", "token expired 60 s ago"},
        {"{\"exp\":1.7e9}", NULL},
        {"{\"exp\":253402300800}", NULL},
        {"{}", "token has no exp that is a time"},
        {"{\"exp\":null}", "token has no exp that is a time"},
        {"{\"exp\":\"1700000001\"}", "token has no exp that is a time"},
        {"{\"exp\":true}", "token has no exp that is a time"},
        {"{\"exp\":[1700000001]}", "token has no exp that is a time"},
        {"{\"exp\":9223372036854775807}", "token has no exp that is a time"},
        {"{\"exp\":-9223372036854775808}", "token has no exp that is a time"},
        {"{\"exp\":1e300}", "token has no exp that is a time"},
        {"{\"exp\":-1e300}", "token has no exp that is a time"},
        {"{\"exp\":1700000001,\"nbf\":1700000060}", NULL},
        {"{\"exp\":1700000001,\"nbf\":1700000061}", "token's nbf is 61 s in the future"},
        {"{\"exp\":1700000001,\"nbf\":\"1\"}", "token's nbf is not a time"},
        {"{\"exp\":1700000001,\"nbf\":null}", "token's nbf is not a time"},
        {"{\"exp\":1700000001,\"iat\":1700000060}", NULL},
        {"{\"exp\":1700000001,\"iat\":1700000061}", "token's iat is 61 s in the future"},
        {"{\"exp\":1700000001,\"iat\":{}}", "token's iat is not a time"},
        {"{\"exp\":1700000001,\"iat\":0,\"nbf\":0}", NULL},
    };
    struct buf token;
    buf_init(&token, NULL, 10000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why why = {.text = ""};
        struct jwt *jwt = read_signed(HEADER, cases[i].payload, &token);
        assert_int_equal(jwt_verify(jwt, keys, NOW_S, &why),
                         cases[i].why == NULL ? JWT_ACCEPTED : JWT_REFUSED);
        assert_string_equal(why.text, cases[i].why == NULL ? "" : cases[i].why);
        jwt_free(jwt);
    }
    buf_fini(&token);
}

UNIT_TEST(test_a_token_is_refused_from_its_expiry_and_the_leeway_on)
{
    struct buf token;
    buf_init(&token, NULL, 10000);
    struct jwt *jwt = read_signed(HEADER, "{\"exp\":1700000100}", &token);
    assert_int_equal(jwt_verify(jwt, keys, NOW_S, NULL), JWT_ACCEPTED);
    assert_int_equal(jwt_verify(jwt, keys, 1700000159, NULL), JWT_ACCEPTED);
    assert_int_equal(jwt_verify(jwt, keys, 1700000160, NULL), JWT_REFUSED);
    jwt_free(jwt);
    buf_fini(&token);
}

UNIT_TEST(test_the_issuer_is_known_before_the_token_is_verified)
{
    static const struct {
        const char *payload;
        const char *issuer; /* NULL: none */
    } cases[] = {
        {"{\"iss\":\"https://example.com\"}", "https://example.com"},
        {"{\"iss\":\"\"}", ""},
        {"{}", NULL},
        {"{\"iss\":7}", NULL},
        {"{\"iss\":[\"a\"]}", NULL},
        {"{\"a\":{\"iss\":\"b\"}}", NULL},
    };
    struct buf token;
    buf_init(&token, NULL, 10000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jwt *jwt = read_signed("{\"alg\":\"none\"}", cases[i].payload, &token);
        struct bytes issuer = jwt_unverified_issuer(jwt);
        assert_int_equal(issuer.at == NULL, cases[i].issuer == NULL);
        if (issuer.at != NULL) assert_true(bytes_equal_text(issuer, cases[i].issuer));
        jwt_free(jwt);
    }
    buf_fini(&token);
}

/* --- matching --------------------------------------------------------------------------------- */

/* Verifies a token with this payload besides `exp`, and matches it with the settings. */
static enum jwt_verdict
match(const char *payload, const struct jwt_settings *settings, struct why *why)
{
    char text[2000];
    struct buf token;
    buf_init(&token, NULL, 10000);
    snprintf(text, sizeof text, "{\"exp\":1700000100,%s}", payload);
    struct jwt *jwt = read_signed(HEADER, text, &token);
    assert_int_equal(jwt_verify(jwt, keys, NOW_S, why), JWT_ACCEPTED);
    enum jwt_verdict verdict = jwt_match(jwt, keys, settings, why);
    jwt_free(jwt);
    buf_fini(&token);
    return verdict;
}

UNIT_TEST(test_issuer_and_audience_match_exactly)
{
    static const struct {
        const char *payload;
        const char *why; /* NULL: accepted */
    } cases[] = {
        {"\"iss\":\"https://i/\",\"aud\":\"one\"", NULL},
        {"\"iss\":\"https://i/\",\"aud\":\"two\"", NULL},
        {"\"iss\":\"https://i/\",\"aud\":[\"x\",\"two\"]", NULL},
        {"\"iss\":\"https://i\",\"aud\":\"one\"", "token's iss is 'https://i'"},
        {"\"iss\":\"https://I/\",\"aud\":\"one\"", "token's iss is 'https://I/'"},
        {"\"iss\":[\"https://i/\"],\"aud\":\"one\"", "token's iss is ''"},
        {"\"aud\":\"one\"", "token's iss is ''"},
        {"\"iss\":\"https://i/\"", "token's aud has none of the configured audiences"},
        {"\"iss\":\"https://i/\",\"aud\":\"One\"",
         "token's aud has none of the configured audiences"},
        {"\"iss\":\"https://i/\",\"aud\":\"one two\"",
         "token's aud has none of the configured audiences"},
        {"\"iss\":\"https://i/\",\"aud\":[]", "token's aud has none of the configured audiences"},
        {"\"iss\":\"https://i/\",\"aud\":[[\"one\"]]",
         "token's aud has none of the configured audiences"},
        {"\"iss\":\"https://i/\",\"aud\":{\"one\":\"one\"}",
         "token's aud has none of the configured audiences"},
        {"\"iss\":\"https://i/\",\"aud\":null", "token's aud has none of the configured audiences"},
    };
    const char *audience[] = {"one", "two"};
    struct jwt_settings settings = {.issuer = "https://i/", .audience = {audience, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why why = {.text = ""};
        enum jwt_verdict verdict = match(cases[i].payload, &settings, &why);
        assert_int_equal(verdict, cases[i].why == NULL ? JWT_ACCEPTED : JWT_REFUSED);
        assert_string_equal(why.text, cases[i].why == NULL ? "" : cases[i].why);
    }
    settings.issuer = NULL;
    assert_int_equal(match("\"iss\":\"other\",\"aud\":\"one\"", &settings, NULL), JWT_ACCEPTED);
    assert_int_equal(match("\"aud\":\"one\"", &settings, NULL), JWT_ACCEPTED);
    settings.audience.count = 0;
    assert_int_equal(match("\"aud\":\"one\"", &settings, NULL), JWT_REFUSED);
    assert_int_equal(match("\"sub\":\"\"", &settings, NULL), JWT_REFUSED);
}

UNIT_TEST(test_claims_match_values_elements_and_words_of_scopes)
{
    static const struct {
        const char *payload;
        const char *claim;
        const char *value;
        bool matches;
    } cases[] = {
        {"\"a\":\"x\"", "a", "x", true},
        {"\"a\":\"x\"", "a", "X", false},
        {"\"a\":\"x\"", "b", "x", false},
        {"\"a\":\"\"", "a", "", true},
        {"\"b\":\"\"", "a", "", false},
        {"\"a\":null", "a", "null", false},
        {"\"a\":true", "a", "true", true},
        {"\"a\":false", "a", "true", false},
        {"\"a\":false", "a", "false", true},
        {"\"a\":5", "a", "5", true},
        {"\"a\":-5", "a", "-5", true},
        {"\"a\":9007199254740993", "a", "9007199254740993", true},
        {"\"a\":9007199254740993", "a", "9007199254740992", false},
        {"\"a\":5", "a", "5.0", false},
        {"\"a\":5.5", "a", "5.5", true},
        {"\"a\":5.0", "a", "5", true},
        {"\"a\":5.5", "a", "5.5x", false},
        {"\"a\":0.0", "a", "", false},
        {"\"a\":\"5\"", "a", "5", true},
        {"\"a\":[\"x\",\"y\"]", "a", "y", true},
        {"\"a\":[\"x\",7,true]", "a", "7", true},
        {"\"a\":[\"x\",7,true]", "a", "true", true},
        {"\"a\":[\"x y\"]", "a", "x", false},
        {"\"a\":[[\"x\"]]", "a", "x", false},
        {"\"a\":[]", "a", "", false},
        {"\"a\":{\"x\":\"x\"}", "a", "x", false},
        /* Only scopes have words. */
        {"\"a\":\"x y\"", "a", "x", false},
        {"\"a\":\"x y\"", "a", "x y", true},
        {"\"scope\":\"x y\"", "scope", "x", true},
        {"\"scope\":\"x y\"", "scope", "y", true},
        {"\"scope\":\" x  y \"", "scope", "y", true},
        {"\"scope\":\"x y\"", "scope", "x y", true},
        {"\"scope\":\"xy\"", "scope", "x", false},
        {"\"scope\":\"x y\"", "scope", "", false},
        {"\"scp\":\"x y\"", "scp", "y", true},
        {"\"a\":{\"scope\":\"x y\"}", "a.scope", "y", true},
        {"\"scopes\":\"x y\"", "scopes", "y", false},
        /* Paths. */
        {"\"a\":{\"b\":[\"x\"]}", "a.b", "x", true},
        {"\"a\":{\"b\":{\"c\":\"x\"}}", "a.b.c", "x", true},
        {"\"a\":{\"b.c\":\"x\"}", "a.b.c", "x", true},
        {"\"a.b\":{\"c\":\"x\"}", "a.b.c", "x", true},
        {"\"a.b.c\":\"x\"", "a.b.c", "x", true},
        {"\"a.b\":\"x\",\"a\":{\"b\":\"y\"}", "a.b", "x", true},
        {"\"a.b\":\"x\",\"a\":{\"b\":\"y\"}", "a.b", "y", false},
        {"\"a.b\":{\"d\":\"x\"},\"a\":{\"b\":{\"c\":\"x\"}}", "a.b.c", "x", true},
        {"\"https://example.com/groups\":[\"x\"]", "https://example.com/groups", "x", true},
        {"\"https://example.com/g\":{\"r\":[\"x\"]}", "https://example.com/g.r", "x", true},
        {"\"a\":\"x\"", "a.", "x", false},
        {"\"a\":\"x\"", ".a", "x", false},
        {"\"a\":\"x\"", "", "x", false},
        {"\"\":{\"\":\"x\"}", ".", "x", true},
        {"\"a\":[{\"b\":\"x\"}]", "a.b", "x", false},
    };
    const char *audience[] = {"one"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char payload[500];
        struct named_text claims[] = {{"aud", "one"}, {cases[i].claim, cases[i].value}};
        const struct jwt_settings settings = {.audience = {audience, 1}, .claims = {claims, 2}};
        struct why why = {.text = ""};
        snprintf(payload, sizeof payload, "\"aud\":\"one\",%s", cases[i].payload);
        enum jwt_verdict verdict = match(payload, &settings, &why);
        if ((verdict == JWT_ACCEPTED) != cases[i].matches) {
            fail_msg("%s, %s is %s: %s", cases[i].payload, cases[i].claim, cases[i].value,
                     why.text);
        }
        assert_int_equal(verdict == JWT_REFUSED, !cases[i].matches);
    }
}

/* --- texts of claims -------------------------------------------------------------------------- */

UNIT_TEST(test_a_claim_gives_its_words_or_elements_as_texts)
{
    static const struct {
        const char *payload;
        const char *texts; /* after each a comma; empty: ERR_MISSING */
    } cases[] = {
        {"\"a\":\"x\"", "x,"},
        {"\"a\":\"x y\"", "x,y,"},
        {"\"a\":\"  x   y \"", "x,y,"},
        {"\"a\":[\"x\",\"y z\",\"\",\"w\"]", "x,y z,w,"},
        {"\"a\":[1,true,false,2.5,null,{},[\"q\"],\"x\"]", "1,true,false,x,"},
        {"\"a\":7", "7,"},
        {"\"a\":-9223372036854775808", "-9223372036854775808,"},
        {"\"a\":true", "true,"},
        {"\"a\":\"*\"", "*,"},
        {"\"a\":2.5", ""},
        {"\"a\":null", ""},
        {"\"a\":\"\"", ""},
        {"\"a\":\"  \"", ""},
        {"\"a\":[]", ""},
        {"\"a\":[\"\"]", ""},
        {"\"a\":{\"x\":\"y\"}", ""},
        {"\"b\":\"x\"", ""},
    };
    struct buf token, joined;
    buf_init(&token, NULL, 10000);
    buf_init(&joined, NULL, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char payload[500];
        struct text_list texts = {NULL, 0};
        struct arena arena;
        arena_init(&arena, NULL, 0, 0);
        buf_clear(&joined);
        snprintf(payload, sizeof payload, "{\"exp\":1700000100,%s}", cases[i].payload);
        struct jwt *jwt = read_signed(HEADER, payload, &token);
        assert_int_equal(jwt_verify(jwt, keys, NOW_S, NULL), JWT_ACCEPTED);
        enum err e = jwt_claim_texts(jwt, "a", &arena, &texts);
        assert_int_equal(e, cases[i].texts[0] == '\0' ? ERR_MISSING : OK);
        jwt_free(jwt);
        for (uint32_t n = 0; n < texts.count; n++)
            buf_printf(&joined, "%s,", texts.items[n]);
        buf_put_u8(&joined, '\0');
        assert_string_equal((const char *)joined.at, cases[i].texts);
        arena_fini(&arena);
    }
    buf_fini(&joined);
    buf_fini(&token);
}

/* An empty list of tenants would permit all of them. */
UNIT_TEST(test_a_token_without_its_tenants_or_permissions_does_not_match)
{
    const char *audience[] = {"one"};
    const struct jwt_settings tenants = {.audience = {audience, 1}, .tenant_claim = "t.x"};
    const struct jwt_settings permissions = {.audience = {audience, 1}, .permissions_claim = "t.x"};
    struct why why;
    assert_int_equal(match("\"aud\":\"one\",\"t\":{\"x\":\"a\"}", &tenants, &why), JWT_ACCEPTED);
    assert_int_equal(match("\"aud\":\"one\",\"t\":{\"x\":[]}", &tenants, &why), JWT_REFUSED);
    assert_string_equal(why.text, "token's claim 't.x' is missing or empty");
    assert_int_equal(match("\"aud\":\"one\"", &tenants, &why), JWT_REFUSED);
    assert_int_equal(match("\"aud\":\"one\",\"t\":{\"x\":\"a\"}", &permissions, &why),
                     JWT_ACCEPTED);
    assert_int_equal(match("\"aud\":\"one\",\"t\":{\"x\":null}", &permissions, &why), JWT_REFUSED);
}

/* --- a published token ------------------------------------------------------------------------ */

#define RFC7515_TOKEN                                                                            \
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlL" \
    "mNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA" \
    "pmWQxfKTUJqPP3-Kg6NU1Q"

UNIT_TEST(test_the_token_of_rfc_7515_is_accepted_until_it_expires)
{
    struct jwks *rfc = NULL;
    struct jwt *jwt = NULL;
    struct text_list texts;
    struct arena arena;
    struct why why;
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(
        jwks_read(NULL,
                  bytes_of_text("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
                                "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                                "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}"),
                  &rfc, &why),
        OK);
    assert_int_equal(jwt_read(NULL, bytes_of_text(RFC7515_TOKEN), &jwt, &why), JWT_ACCEPTED);
    assert_true(bytes_equal_text(jwt_unverified_issuer(jwt), "joe"));
    assert_int_equal(jwt_verify(jwt, keys, 1300819380, &why), JWT_UNKNOWN_KEY);
    assert_int_equal(jwt_verify(jwt, rfc, 1300819380, &why), JWT_ACCEPTED);
    assert_int_equal(jwt_claim_texts(jwt, "http://example.com/is_root", &arena, &texts), OK);
    assert_string_equal(texts.items[0], "true");
    assert_int_equal(jwt_verify(jwt, rfc, 1300819440, &why), JWT_REFUSED);
    jwt_free(jwt);
    jwks_free(rfc);
    arena_fini(&arena);
}

/* --- memory ----------------------------------------------------------------------------------- */

static struct buf whole_token;

static enum err
use_token(void)
{
    const char *audience[] = {"one"};
    const struct jwt_settings settings = {.audience = {audience, 1}, .tenant_claim = "t"};
    struct budget budget;
    struct jwt *jwt = NULL;
    struct text_list texts;
    struct arena arena;
    budget_init(&budget, "test", 0, NULL);
    arena_init(&arena, &budget, 0, 0);
    enum err e = OK;
    enum jwt_verdict verdict = jwt_read(&budget, buf_bytes(&whole_token), &jwt, NULL);
    if (verdict == JWT_ACCEPTED) verdict = jwt_verify(jwt, keys, NOW_S, NULL);
    if (verdict == JWT_ACCEPTED) verdict = jwt_match(jwt, keys, &settings, NULL);
    if (verdict == JWT_ACCEPTED) e = jwt_claim_texts(jwt, "t", &arena, &texts);
    jwt_free(jwt);
    arena_fini(&arena);
    assert_int_equal(budget_used(&budget), 0);
    if (verdict != JWT_ACCEPTED) assert_int_equal(verdict, JWT_NO_MEMORY);
    return verdict == JWT_NO_MEMORY ? ERR_NOMEM : e;
}

UNIT_TEST(test_a_token_survives_each_failing_allocation)
{
    buf_init(&whole_token, NULL, 10000);
    token_signer_token(signer, "Ed25519", HEADER,
                       bytes_of_text("{\"exp\":1700000000,\"aud\":\"one\",\"t\":[\"a\",\"b\"]}"),
                       &whole_token);
    fail_each_allocation(use_token);
    buf_fini(&whole_token);
}

UNIT_TEST(test_a_token_beyond_the_budget_is_not_judged)
{
    struct budget budget;
    struct buf token;
    struct jwt *jwt = NULL;
    buf_init(&token, NULL, 10000);
    token_signer_token(signer, "Ed25519", HEADER, bytes_of_text("{\"a\":[1,2,3,4,5,6,7]}"), &token);
    budget_init(&budget, "test", 3000, NULL);
    assert_int_equal(jwt_read(&budget, buf_bytes(&token), &jwt, NULL), JWT_NO_MEMORY);
    assert_int_equal(budget_used(&budget), 0);
    buf_fini(&token);
}

static uint8_t secret[64];
static bool secret_seen;

static void
look_for_secret(const void *memory, size_t size_bytes)
{
    secret_seen = secret_seen || memmem(memory, size_bytes, secret, sizeof secret / 2) != NULL;
}

UNIT_TEST(test_the_signature_of_a_token_is_overwritten_when_freed)
{
    struct buf token, signature;
    buf_init(&token, NULL, 10000);
    buf_init(&signature, NULL, 100);
    struct jwt *jwt = read_signed(HEADER, "{\"exp\":1700000000}", &token);
    const uint8_t *text = token.at + token.size - 86;
    assert_int_equal(base64url_get(bytes_of(text, 86), &signature), OK);
    assert_int_equal(signature.size, sizeof secret);
    memcpy(secret, signature.at, sizeof secret);
    secret_seen = false;
    mem_watch_frees(look_for_secret);
    assert_int_equal(jwt_verify(jwt, keys, NOW_S, NULL), JWT_ACCEPTED);
    jwt_free(jwt);
    mem_watch_frees(NULL);
    assert_false(secret_seen);
    buf_fini(&signature);
    buf_fini(&token);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_tokens_are_recognized),
        cmocka_unit_test(test_a_token_has_at_most_8_kib),
        cmocka_unit_test(test_each_changed_byte_of_a_token_refuses_it),
        cmocka_unit_test(test_headers_are_judged),
        cmocka_unit_test(test_a_key_in_the_header_is_not_used),
        cmocka_unit_test(test_times_are_required_and_have_a_leeway_of_60_s),
        cmocka_unit_test(test_a_token_is_refused_from_its_expiry_and_the_leeway_on),
        cmocka_unit_test(test_the_issuer_is_known_before_the_token_is_verified),
        cmocka_unit_test(test_issuer_and_audience_match_exactly),
        cmocka_unit_test(test_claims_match_values_elements_and_words_of_scopes),
        cmocka_unit_test(test_a_claim_gives_its_words_or_elements_as_texts),
        cmocka_unit_test(test_a_token_without_its_tenants_or_permissions_does_not_match),
        cmocka_unit_test(test_the_token_of_rfc_7515_is_accepted_until_it_expires),
        cmocka_unit_test(test_a_token_survives_each_failing_allocation),
        cmocka_unit_test(test_a_token_beyond_the_budget_is_not_judged),
        cmocka_unit_test(test_the_signature_of_a_token_is_overwritten_when_freed),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
