/*
 * jwt_users_fuzz.c - signs a token whose claims for tenants and permissions, and whose subject, are
 * JSON from the input, one a line. Whatever they say, its user has no right that the settings do
 * not give, no tenant that is a pattern, and not the name of another user.
 */
#include <assert.h>
#include <string.h>

#include "auth/tokens/tokens.h"
#include "base/buf.h"
#include "base/log.h"
#include "lib/auth/token_signer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *audience[] = {"a"};
static const char *tenants[] = {"team-*", "shop", "*-x"};
static struct user_settings settings[] = {
    {.name = "some",
     .permissions = PERMISSION_READ | PERMISSION_WRITE,
     .tenants = {tenants, 3},
     .jwt = {true, "https://some", .audience = {audience, 1}, .tenant_claim = "t",
             .permissions_claim = "p"}},
    {.name = "all",
     .permissions = PERMISSION_RULES,
     .jwt = {true, "https://all", .audience = {audience, 1}, .tenant_claim = "t"}},
};

static struct token_signer *signer;
static struct budget memory;
static struct issuers *issuers;
static struct users *users;

static void
begin(void)
{
    const struct user_list list = {settings, sizeof settings / sizeof *settings};
    struct buf document;
    int64_t wait_ns;
    log_to_fd(-1);
    budget_init(&memory, "fuzz", 0, NULL);
    signer = token_signer_new(TOKEN_KEY_ED25519);
    buf_init(&document, NULL, 1000);
    buf_put_text(&document, "{\"keys\":[");
    token_signer_jwk(signer, "\"kid\":\"k\",", &document);
    buf_put_text(&document, "]}");
    enum err e = issuers_new(env_real(), &memory, &issuers, NULL);
    if (e == OK) e = users_new(&list, issuers, &memory, &users, NULL);
    assert(e == OK);
    for (struct issuer *issuer; (issuer = issuers_due(issuers, &wait_ns)) != NULL;)
        issuer_fetched(issuer, buf_bytes(&document));
    buf_fini(&document);
}

static void
check_user(const struct user *user, const struct user *of)
{
    assert((user->permissions & ~of->permissions) == 0);
    assert(strncmp(user->name, of->name, strlen(of->name)) == 0);
    assert(user->name[strlen(of->name)] == ':' || strcmp(user->name, of->name) == 0);
    assert(user->tenants.count > 0);
    for (uint32_t i = 0; i < user->tenants.count; i++) {
        const char *name = user->tenants.items[i];
        assert(strpbrk(name, "*|/:") == NULL);
        assert(user_may_use(of, bytes_of_text(name)) || user->permissions == 0);
    }
    assert(!user_may_use(user, bytes_of_text("bank")) || of->tenants.count == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes lines[3] = {{data, size}};
    struct buf payload, token;
    if (users == NULL) begin();
    for (int i = 0; i < 2; i++) {
        const uint8_t *end = lines[i].size == 0 ? NULL : memchr(lines[i].at, '\n', lines[i].size);
        if (end == NULL) return 0;
        lines[i + 1] = bytes_of(end + 1, (size_t)(lines[i].at + lines[i].size - end - 1));
        lines[i].size = (size_t)(end - lines[i].at);
    }
    uint64_t before = budget_used(&memory);
    for (uint32_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const struct user *of = users_by_name(users, bytes_of_text(settings[i].name));
        struct user *user = NULL;
        struct why why = {.text = ""};
        buf_init(&payload, NULL, size + 200);
        buf_init(&token, NULL, 2 * size + 1000);
        buf_printf(&payload,
                   "{\"exp\":1700000100,\"aud\":\"a\",\"iss\":\"https://%s\",\"t\":", of->name);
        buf_put_bytes(&payload, lines[0]);
        buf_put_text(&payload, ",\"p\":");
        buf_put_bytes(&payload, lines[1]);
        buf_put_text(&payload, ",\"sub\":");
        buf_put_bytes(&payload, lines[2]);
        buf_put_text(&payload, "}");
        token_signer_token(signer, "Ed25519", "{\"alg\":\"EdDSA\",\"kid\":\"k\"}",
                           buf_bytes(&payload), &token);
        enum jwt_user_verdict verdict =
            jwt_users_judge(users_jwt(users), buf_bytes(&token), 1700000000, &memory, &user, &why);
        assert(verdict != JWT_USER_LATER);
        if (verdict == JWT_USER_KNOWN) {
            check_user(user, of);
            jwt_user_free(user);
        } else {
            assert(why.text[0] != '\0');
        }
        assert(budget_used(&memory) == before);
        buf_fini(&payload);
        buf_fini(&token);
    }
    return 0;
}
