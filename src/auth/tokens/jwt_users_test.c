/* jwt_users_test.c - whose token it is, and what its claims leave of the user's rights. */
#include "auth/tokens/tokens.h"

#include <stdio.h>
#include <string.h>

#include "auth/tokens/jwt.h"
#include "base/log.h"
#include "lib/auth/token_signer.h"
#include "lib/failing_memory.h"
#include "lib/test.h"
#include "lib/texts.h"

#define CLAIM(name, value)                          \
    {                                               \
        (struct named_text[]){{(name), (value)}}, 1 \
    }
static const int64_t NOW_S = 1700000000;

/* Two issuers with a key each, and a key set that no setting names an issuer for. */
static struct token_signer *signers[3];
static struct issuers *issuers;
static struct budget memory;
static struct users *users;

static struct user_settings settings[] = {
    {.name = "ops",
     .permissions = PERMISSION_ADMIN | PERMISSION_READ,
     .jwt = {true, "https://a", .audience = TEXTS("fire", "keep"),
             .claims = CLAIM("group", "ops")}},
    {.name = "team",
     .permissions = PERMISSION_READ | PERMISSION_WRITE,
     .tenants = TEXTS("team-*", "shop"),
     .read_matchers = TEXTS("{team=\"a\"}"),
     .jwt = {true, "https://a", .audience = TEXTS("fire"), .tenant_claim = "tenants",
             .permissions_claim = "scope"}},
    {.name = "plain", .password = NULL, .permissions = PERMISSION_READ},
    {.name = "other",
     .permissions = PERMISSION_READ | PERMISSION_WRITE,
     .jwt = {true, "https://b", .audience = TEXTS("fire"), .tenant_claim = "org"}},
    {.name = "any",
     .permissions = PERMISSION_METRICS,
     .jwt = {true, .jwks_url = "https://c/keys", .audience = TEXTS("fire")}},
    {.name = "late",
     .permissions = PERMISSION_METRICS,
     .jwt = {true, "https://late", .audience = TEXTS("fire")}},
};
static const struct user_list list = {settings, sizeof settings / sizeof *settings};

static void
give_keys(struct issuer *issuer)
{
    static const char *const places[] = {"https://a", "https://b", "https://c/keys"};
    struct buf document;
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(issuer->place, places[i]) != 0) continue;
        buf_init(&document, NULL, 10000);
        buf_put_text(&document, "{\"keys\":[");
        token_signer_jwk(signers[i], "\"kid\":\"k\",", &document);
        buf_put_text(&document, "]}");
        issuer_fetched(issuer, buf_bytes(&document));
        buf_fini(&document);
        return;
    }
    struct why why;
    why_set(&why, ERR_AGAIN, "status 500");
    issuer_failed(issuer, &why);
}

static struct users *
users_of(const struct user_list *from)
{
    struct users *made = NULL;
    struct issuer *issuer;
    struct why why = {""};
    int64_t wait_ns;
    assert_int_equal(users_new(from, issuers, &memory, &made, &why), OK);
    while ((issuer = issuers_due(issuers, &wait_ns)) != NULL)
        give_keys(issuer);
    return made;
}

static int
begin(void **state)
{
    (void)state;
    log_to_fd(-1);
    for (size_t i = 0; i < 3; i++)
        signers[i] = token_signer_new(TOKEN_KEY_ED25519);
    budget_init(&memory, "test", 0, NULL);
    assert_int_equal(issuers_new(env_real(), &memory, &issuers, NULL), OK);
    users = users_of(&list);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    users_release(users);
    issuers_free(issuers);
    assert_int_equal(budget_used(&memory), 0);
    for (size_t i = 0; i < 3; i++)
        token_signer_free(signers[i]);
    return 0;
}

static void
sign(unsigned signer, const char *payload, struct buf *to)
{
    buf_init(to, NULL, 20000);
    token_signer_token(signers[signer], "Ed25519", "{\"alg\":\"EdDSA\",\"kid\":\"k\"}",
                       bytes_of_text(payload), to);
}

static enum jwt_user_verdict
judge_in(const struct users *in, unsigned signer, const char *payload, struct user **ret_user,
         struct why *why)
{
    struct buf token;
    sign(signer, payload, &token);
    enum jwt_user_verdict verdict =
        jwt_users_judge(users_jwt(in), buf_bytes(&token), NOW_S, &memory, ret_user, why);
    buf_fini(&token);
    return verdict;
}

/* Returns the user of a token. */
static struct user *
user_of(unsigned signer, const char *payload)
{
    struct user *user = NULL;
    struct why why = {""};
    enum jwt_user_verdict verdict = judge_in(users, signer, payload, &user, &why);
    if (verdict != JWT_USER_KNOWN) fail_msg("%s: %s", payload, why.text);
    return user;
}

#define EXP "\"exp\":1700000100"
#define A   "{" EXP ",\"iss\":\"https://a\",\"aud\":\"fire\""
#define B   "{" EXP ",\"iss\":\"https://b\",\"aud\":\"fire\""

/* --- whose token ------------------------------------------------------------------------------ */

UNIT_TEST(test_a_token_is_of_the_first_user_whose_settings_it_matches)
{
    static const struct {
        unsigned signer;
        const char *payload, *name;
        unsigned permissions;
    } cases[] = {
        {0, A ",\"group\":\"ops\",\"sub\":\"x\"}", "ops:x", PERMISSION_ADMIN | PERMISSION_READ},
        {0, A ",\"group\":[\"a\",\"ops\"]}", "ops", PERMISSION_ADMIN | PERMISSION_READ},
        {0, A ",\"group\":\"ops\",\"sub\":\"\"}", "ops", PERMISSION_ADMIN | PERMISSION_READ},
        {0, A ",\"group\":\"ops\",\"sub\":7}", "ops", PERMISSION_ADMIN | PERMISSION_READ},
        {0, A ",\"group\":\"x\",\"tenants\":[\"shop\"],\"scope\":\"read\",\"sub\":\"a b\"}",
         "team:a b", PERMISSION_READ},
        {1, B ",\"org\":\"any\",\"sub\":\"plain\"}", "other:plain",
         PERMISSION_READ | PERMISSION_WRITE},
        {2, "{" EXP ",\"aud\":\"fire\"}", "any", PERMISSION_METRICS},
        {2, "{" EXP ",\"aud\":\"fire\",\"iss\":\"https://x\"}", "any", PERMISSION_METRICS},
        {2, A "}", "any", PERMISSION_METRICS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct user *user = user_of(cases[i].signer, cases[i].payload);
        assert_string_equal(user->name, cases[i].name);
        assert_int_equal(user->permissions, cases[i].permissions);
        assert_ptr_equal(user->set, users);
        jwt_user_free(user);
    }
}

UNIT_TEST(test_other_tokens_are_refused)
{
    static const struct {
        unsigned signer;
        const char *payload, *why;
    } cases[] = {
        {1, A ",\"group\":\"ops\"}", "signature is not that of key 'k'"},
        {0, B ",\"org\":\"a\"}", "signature is not that of key 'k'"},
        {0, "{" EXP ",\"aud\":\"fire\"}", "signature is not that of key 'k'"},
        {0, A ",\"group\":\"x\"}", "token's claim 'tenants' is missing or empty"},
        {0, "{\"exp\":1699999900,\"iss\":\"https://a\",\"aud\":\"fire\",\"group\":\"ops\"}",
         "token expired 100 s ago"},
        {1, "{" EXP ",\"iss\":\"https://b\",\"aud\":\"x\",\"org\":\"a\"}",
         "token's aud has none of the configured audiences"},
        {1, "{\"iss\":\"https://b\",\"aud\":\"fire\",\"org\":\"a\"}",
         "token has no exp that is a time"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct user *user = NULL;
        struct why why = {""};
        assert_int_equal(judge_in(users, cases[i].signer, cases[i].payload, &user, &why),
                         JWT_USER_UNKNOWN);
        /* The key set without an issuer is tried last. */
        if (strcmp(why.text, cases[i].why) != 0 &&
            strcmp(why.text, "signature is not that of key 'k'") != 0)
            fail_msg("%s: %s", cases[i].payload, why.text);
        assert_null(user);
    }
}

UNIT_TEST(test_a_token_of_an_issuer_without_keys_is_not_judged_now)
{
    struct user *user = NULL;
    struct why why;
    assert_int_equal(judge_in(users, 0, "{\"iss\":\"https://late\"}", &user, &why), JWT_USER_LATER);
    assert_int_equal(
        jwt_users_judge(users_jwt(users), bytes_of_text("a.b"), NOW_S, &memory, &user, &why),
        JWT_USER_UNKNOWN);
    /* Another issuer may know the token meanwhile. */
    user = user_of(2, "{" EXP ",\"aud\":\"fire\",\"iss\":\"https://late\"}");
    assert_string_equal(user->name, "any");
    jwt_user_free(user);
}

/* --- what it may ------------------------------------------------------------------------------ */

UNIT_TEST(test_claims_select_among_the_tenants_and_permissions_of_the_user)
{
    static const struct {
        const char *tenants, *scope; /* JSON */
        const char *kept;            /* with blanks; NULL: none, and no permission either */
        unsigned permissions;
    } cases[] = {
        {"\"shop\"", "\"read write\"", "shop", PERMISSION_READ | PERMISSION_WRITE},
        {"[\"shop\",\"shop\"]", "[\"write\"]", "shop", PERMISSION_WRITE},
        {"[\"team-a\",\"bank\",\"team-b\"]", "\"openid write\"", "team-a team-b", PERMISSION_WRITE},
        {"\"shop\"", "\"admin metrics rules read\"", "shop", PERMISSION_READ},
        {"\"shop\"", "\"openid\"", "shop", 0},
        {"\"shop\"", "\"READ\"", "shop", 0},
        {"\"bank\"", "\"read\"", NULL, 0},
        {"\"*\"", "\"read\"", NULL, 0},
        {"\"team-*\"", "\"read\"", NULL, 0},
        {"[\"team-*\",\"team-a\"]", "\"read\"", "team-a", PERMISSION_READ},
        {"\"shop|bank\"", "\"read\"", NULL, 0},
        {"\"team-a|bank\"", "\"read\"", NULL, 0},
        {"\"shop:key=value\"", "\"read\"", NULL, 0},
        {"\"../shop\"", "\"read\"", NULL, 0},
        {"\"team-\\u002a\"", "\"read\"", NULL, 0},
        {"\"team-\\u00fc\"", "\"read\"", NULL, 0},
        {"[[\"shop\"],\"team-x\"]", "\"read\"", "team-x", PERMISSION_READ},
    };
    char payload[500];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(payload, sizeof payload, A ",\"tenants\":%s,\"scope\":%s}", cases[i].tenants,
                 cases[i].scope);
        struct user *user = user_of(0, payload);
        char kept[200] = "";
        for (uint32_t k = 0; k < user->tenants.count; k++)
            strcat(strcat(kept, k == 0 ? "" : " "), user->tenants.items[k]);
        if (strcmp(kept, cases[i].kept == NULL ? "" : cases[i].kept) != 0)
            fail_msg("%s: %s", payload, kept);
        assert_true(user->tenants.count > 0);
        assert_int_equal(user->permissions, cases[i].permissions);
        assert_false(user_may_use(user, bytes_of_text("bank")));
        assert_false(user_may_use(user, bytes_of_text("team-z")));
        assert_true((user_only_tenant(user) != NULL) == (user->tenants.count == 1));
        jwt_user_free(user);
    }
}

/* The user has no tenants in the settings: all are allowed, and the claim selects among them. */
UNIT_TEST(test_a_tenant_claim_limits_a_user_of_all_tenants)
{
    static const struct {
        const char *org, *only;
        unsigned permissions;
    } cases[] = {
        {"\"a\"", "a", PERMISSION_READ | PERMISSION_WRITE},
        {"7", "7", PERMISSION_READ | PERMISSION_WRITE},
        {"\"*\"", "", 0},
        {"\"a*\"", "", 0},
        {"\"a|b\"", "", 0},
        {"\"..\"", "", 0},
    };
    char payload[500];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(payload, sizeof payload, B ",\"org\":%s}", cases[i].org);
        struct user *user = user_of(1, payload);
        assert_string_equal(user_only_tenant(user), cases[i].only);
        assert_int_equal(user->permissions, cases[i].permissions);
        assert_false(user_may_use(user, bytes_of_text("b")));
        jwt_user_free(user);
    }
}

UNIT_TEST(test_restrictions_of_the_user_hold_for_its_tokens)
{
    const struct user *team = users_by_name(users, bytes_of_text("team"));
    struct user *user = user_of(0, A ",\"tenants\":\"shop\",\"scope\":\"read\"}");
    assert_int_equal(user->read_set_count, 1);
    assert_ptr_equal(user->read_sets, team->read_sets);
    assert_int_equal(user->tenant_header, team->tenant_header);
    assert_null(user->password);
    jwt_user_free(user);
}

UNIT_TEST(test_a_token_names_at_most_256_tenants_or_permissions)
{
    struct buf payload;
    struct user *user = NULL;
    struct why why;
    buf_init(&payload, NULL, 20000);
    for (unsigned count = 256; count <= 257; count++) {
        for (unsigned is_scope = 0; is_scope < 2; is_scope++) {
            buf_clear(&payload);
            buf_printf(&payload, A ",\"%s\":\"shop read\",\"%s\":\"shop read",
                       is_scope ? "tenants" : "scope", is_scope ? "scope" : "tenants");
            for (unsigned i = 2; i < count; i++)
                buf_put_text(&payload, " read");
            buf_put_text(&payload, "\"}");
            buf_put_u8(&payload, 0);
            enum jwt_user_verdict verdict =
                judge_in(users, 0, (const char *)payload.at, &user, &why);
            assert_int_equal(verdict, count == 256 ? JWT_USER_KNOWN : JWT_USER_UNKNOWN);
            if (count == 256) jwt_user_free(user);
        }
    }
    buf_fini(&payload);
}

/* --- making and memory ------------------------------------------------------------------------ */

UNIT_TEST(test_few_key_sets_without_an_issuer_are_accepted)
{
    const char *audience[] = {"a"};
    struct user_settings many[JWT_UNNAMED_MAX + 2];
    char urls[JWT_UNNAMED_MAX + 2][32];
    for (size_t i = 0; i < sizeof many / sizeof *many; i++) {
        snprintf(urls[i], sizeof urls[i], "https://%zu", i < 2 ? 0 : i);
        many[i] = (struct user_settings){
            .name = "u", .jwt = {true, .jwks_url = urls[i], .audience = {audience, 1}}};
    }
    for (uint32_t more = 0; more < 2; more++) {
        struct user_list some = {many, JWT_UNNAMED_MAX + 1 + more};
        struct users *made = NULL;
        struct why why = {""};
        enum err e = users_new(&some, issuers, &memory, &made, &why);
        assert_int_equal(e, more == 0 ? OK : ERR_LIMIT);
        users_release(made);
    }
}

UNIT_TEST(test_a_set_without_tokens_of_issuers_has_no_users_of_them)
{
    struct user_settings one = {.name = "u", .permissions = PERMISSION_READ};
    struct user_list some = {&one, 1};
    struct users *made = users_of(&some);
    assert_null(users_jwt(made));
    users_release(made);
}

UNIT_TEST(test_an_error_of_an_issuer_names_the_user)
{
    struct user_settings one = {.name = "ann",
                                .jwt = {true, .jwks_file = "/none/keys", .audience = TEXTS("a")}};
    struct user_list some = {&one, 1};
    struct users *made = NULL;
    struct why why = {""};
    assert_int_equal(users_new(&some, issuers, &memory, &made, &why), ERR_MISSING);
    assert_non_null(strstr(why.text, "user ann: jwt: "));
    assert_non_null(strstr(why.text, "/none/keys"));
    assert_null(made);
    assert_int_equal(users_new(&some, NULL, &memory, &made, &why), OK); /* without issuers */
    assert_null(users_jwt(made));
    users_release(made);
}

static enum err
make_all(void)
{
    struct users *made = NULL;
    enum err e = users_new(&list, issuers, &memory, &made, NULL);
    users_release(made);
    return e;
}

static struct buf whole_token;

static enum err
judge_all(void)
{
    struct user *user = NULL;
    struct why why;
    uint64_t before = budget_used(&memory);
    enum jwt_user_verdict verdict =
        jwt_users_judge(users_jwt(users), buf_bytes(&whole_token), NOW_S, &memory, &user, &why);
    if (verdict == JWT_USER_KNOWN) jwt_user_free(user);
    assert_int_equal(budget_used(&memory), before);
    assert_int_not_equal(verdict, JWT_USER_UNKNOWN);
    return verdict == JWT_USER_LATER ? ERR_NOMEM : OK;
}

UNIT_TEST(test_users_of_tokens_survive_each_failing_allocation)
{
    fail_each_allocation(make_all);
    sign(0, A ",\"tenants\":[\"team-a\",\"shop\"],\"scope\":\"read\",\"sub\":\"x\"}", &whole_token);
    fail_each_allocation(judge_all);
    buf_fini(&whole_token);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_is_of_the_first_user_whose_settings_it_matches),
        cmocka_unit_test(test_other_tokens_are_refused),
        cmocka_unit_test(test_a_token_of_an_issuer_without_keys_is_not_judged_now),
        cmocka_unit_test(test_claims_select_among_the_tenants_and_permissions_of_the_user),
        cmocka_unit_test(test_a_tenant_claim_limits_a_user_of_all_tenants),
        cmocka_unit_test(test_restrictions_of_the_user_hold_for_its_tokens),
        cmocka_unit_test(test_a_token_names_at_most_256_tenants_or_permissions),
        cmocka_unit_test(test_few_key_sets_without_an_issuer_are_accepted),
        cmocka_unit_test(test_a_set_without_tokens_of_issuers_has_no_users_of_them),
        cmocka_unit_test(test_an_error_of_an_issuer_names_the_user),
        cmocka_unit_test(test_users_of_tokens_survive_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
