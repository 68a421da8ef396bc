/*
 * jwt_fuzz.c - after a first byte 's', signs the rest as the payload of a token that is then read,
 * verified, and matched with settings; else reads all bytes as a token. All memory is given back;
 * only tokens that were signed here are accepted, and texts of claims are never an empty list.
 */
#include <assert.h>

#include "auth/tokens/jwt.h"
#include "lib/auth/token_signer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct token_signer *signer;
static struct jwks *keys;

static void
make_keys(void)
{
    struct buf document;
    buf_init(&document, NULL, 10000);
    signer = token_signer_new(TOKEN_KEY_ED25519);
    buf_put_text(&document, "{\"keys\":[");
    token_signer_jwk(signer, "\"kid\":\"a\",", &document);
    /* The keys of the tokens in RFC 7515, A.3 and A.4, whose signatures are in the corpus. */
    buf_put_text(&document, ",{\"kty\":\"EC\",\"crv\":\"P-256\","
                            "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                            "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}");
    enum err e = jwks_read(NULL, buf_bytes(&document), &keys, NULL);
    assert(e == OK);
    assert(jwks_counts(keys).used == 2);
    buf_fini(&document);
}

static void
check_claims(const struct jwt *jwt, struct budget *budget)
{
    const char *audience[] = {"a"};
    struct named_text claims[] = {{"scope", "a"}, {"a.b", "1"}};
    const struct jwt_settings settings = {
        .audience = {audience, 1}, .claims = {claims, 2}, .tenant_claim = "t"};
    struct why why = {.text = ""};
    struct text_list texts = {NULL, 0};
    struct arena arena;
    arena_init(&arena, budget, 0, 0);
    enum jwt_verdict verdict = jwt_match(jwt, keys, &settings, &why);
    assert(verdict == JWT_ACCEPTED || (verdict == JWT_REFUSED && why.text[0] != '\0'));
    enum err e = jwt_claim_texts(jwt, "t", &arena, &texts);
    assert(e == (texts.count > 0 ? OK : ERR_MISSING));
    assert(verdict == JWT_REFUSED || e == OK);
    for (uint32_t i = 0; i < texts.count; i++)
        assert(texts.items[i][0] != '\0');
    arena_fini(&arena);
}

static void
check_token(struct bytes token, bool is_signed)
{
    struct jwt *jwt = NULL;
    struct why why = {.text = ""};
    struct budget budget;
    budget_init(&budget, "fuzz", 4 << 20, NULL);
    enum jwt_verdict verdict = jwt_read(&budget, token, &jwt, &why);
    if (verdict == JWT_ACCEPTED) {
        struct bytes issuer = jwt_unverified_issuer(jwt);
        assert(issuer.at != NULL || issuer.size == 0);
        /* The token of RFC 7515 has expired by then. */
        verdict = jwt_verify(jwt, keys, 1700000000, &why);
        assert(verdict != JWT_ACCEPTED || is_signed);
        assert(verdict == JWT_ACCEPTED || why.text[0] != '\0');
        if (verdict == JWT_ACCEPTED) check_claims(jwt, &budget);
        jwt_free(jwt);
    } else {
        assert(verdict == JWT_MALFORMED);
        assert(why.text[0] != '\0');
    }
    assert(budget_used(&budget) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf token;
    if (keys == NULL) make_keys();
    if (size == 0 || data[0] != 's') {
        check_token(bytes_of(data, size), false);
        return 0;
    }
    buf_init(&token, NULL, 2 * size + 1000);
    token_signer_token(signer, "Ed25519", "{\"alg\":\"EdDSA\",\"kid\":\"a\"}",
                       bytes_of(data + 1, size - 1), &token);
    check_token(buf_bytes(&token), true);
    buf_fini(&token);
    return 0;
}
