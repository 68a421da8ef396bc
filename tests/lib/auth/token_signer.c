/* token_signer.c - see token_signer.h. */
#include "lib/auth/token_signer.h"

#include <assert.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <stdlib.h>

#include "base/text/base64.h"

struct token_signer {
    gnutls_privkey_t key;
    enum token_key type;
};

static const struct {
    const char *name; /* `crv` */
    gnutls_pk_algorithm_t algorithm;
    unsigned bits;
    unsigned part_bytes;
} types[TOKEN_KEY_COUNT] = {
    [TOKEN_KEY_RSA] = {NULL, GNUTLS_PK_RSA, 2048, 0},
    [TOKEN_KEY_P256] = {"P-256", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                        32},
    [TOKEN_KEY_P384] = {"P-384", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1),
                        48},
    [TOKEN_KEY_P521] = {"P-521", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP521R1),
                        66},
    [TOKEN_KEY_ED25519] = {"Ed25519", GNUTLS_PK_EDDSA_ED25519,
                           GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519), 32},
    [TOKEN_KEY_ED448] = {"Ed448", GNUTLS_PK_EDDSA_ED448,
                         GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED448), 57},
};

static const struct {
    const char *name;
    gnutls_sign_algorithm_t sign;
} algorithms[] = {
    {"RS256", GNUTLS_SIGN_RSA_SHA256},          {"RS384", GNUTLS_SIGN_RSA_SHA384},
    {"RS512", GNUTLS_SIGN_RSA_SHA512},          {"PS256", GNUTLS_SIGN_RSA_PSS_RSAE_SHA256},
    {"PS384", GNUTLS_SIGN_RSA_PSS_RSAE_SHA384}, {"PS512", GNUTLS_SIGN_RSA_PSS_RSAE_SHA512},
    {"ES256", GNUTLS_SIGN_ECDSA_SHA256},        {"ES384", GNUTLS_SIGN_ECDSA_SHA384},
    {"ES512", GNUTLS_SIGN_ECDSA_SHA512},        {"Ed25519", GNUTLS_SIGN_EDDSA_ED25519},
    {"Ed448", GNUTLS_SIGN_EDDSA_ED448},
};

static void
must(int result)
{
    if (result < 0) abort();
}

struct token_signer *
token_signer_new(enum token_key key)
{
    struct token_signer *signer = calloc(1, sizeof *signer);
    assert(signer != NULL);
    signer->type = key;
    must(gnutls_privkey_init(&signer->key));
    must(gnutls_privkey_generate(signer->key, types[key].algorithm, types[key].bits, 0));
    return signer;
}

void
token_signer_free(struct token_signer *signer)
{
    if (signer == NULL) return;
    gnutls_privkey_deinit(signer->key);
    free(signer);
}

void
base64url_put(struct buf *to, struct bytes from)
{
    size_t begin = to->size;
    base64_put(to, from);
    for (size_t i = begin; i < to->size; i++) {
        if (to->at[i] == '+') to->at[i] = '-';
        if (to->at[i] == '/') to->at[i] = '_';
    }
    while (to->size > begin && to->at[to->size - 1] == '=')
        to->size--;
}

/* Appends the number with exactly so many bytes, and frees it. GnuTLS puts a zero before a number
 * that would look negative, and leaves out others. */
static void
put_padded(struct buf *to, gnutls_datum_t number, unsigned size)
{
    unsigned skipped = number.size > size ? number.size - size : 0;
    for (unsigned i = number.size; i < size; i++)
        buf_put_u8(to, 0);
    buf_put(to, number.data + skipped, number.size - skipped);
    gnutls_free(number.data);
}

/* Appends a member of an object. */
static void
put_number(struct buf *to, const char *name, gnutls_datum_t number, unsigned size)
{
    struct buf padded;
    buf_init(&padded, NULL, 4096);
    put_padded(&padded, number, size);
    buf_printf(to, "\"%s\":\"", name);
    base64url_put(to, buf_bytes(&padded));
    buf_put_text(to, "\"");
    buf_fini(&padded);
}

void
token_signer_jwk(const struct token_signer *signer, const char *members, struct buf *to)
{
    gnutls_pubkey_t key;
    gnutls_datum_t first, second = {NULL, 0};
    gnutls_ecc_curve_t curve;
    unsigned part = types[signer->type].part_bytes;
    must(gnutls_pubkey_init(&key));
    must(gnutls_pubkey_import_privkey(key, signer->key, 0, 0));
    buf_printf(to, "{%s", members);
    if (signer->type == TOKEN_KEY_RSA) {
        must(gnutls_pubkey_export_rsa_raw(key, &first, &second));
        buf_put_text(to, "\"kty\":\"RSA\",");
        put_number(to, "n", first, types[TOKEN_KEY_RSA].bits / 8);
        buf_put_text(to, ",");
        put_number(to, "e", second, 3);
    } else {
        must(gnutls_pubkey_export_ecc_raw2(key, &curve, &first, &second, 0));
        bool has_y = second.data != NULL;
        buf_printf(to, "\"kty\":\"%s\",\"crv\":\"%s\",", has_y ? "EC" : "OKP",
                   types[signer->type].name);
        put_number(to, "x", first, part);
        if (has_y) {
            buf_put_text(to, ",");
            put_number(to, "y", second, part);
        }
    }
    buf_put_text(to, "}");
    gnutls_pubkey_deinit(key);
}

void
token_signer_sign(const struct token_signer *signer, const char *algorithm, struct bytes input,
                  struct buf *to)
{
    gnutls_datum_t signature, r, s;
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)input.at, (unsigned)input.size};
    size_t i = 0;
    while (strcmp(algorithms[i].name, algorithm) != 0) {
        i++;
        assert(i < sizeof algorithms / sizeof *algorithms);
    }
    must(gnutls_privkey_sign_data2(signer->key, algorithms[i].sign, 0, &data, &signature));
    if (types[signer->type].algorithm == GNUTLS_PK_ECDSA) {
        must(gnutls_decode_rs_value(&signature, &r, &s));
        put_padded(to, r, types[signer->type].part_bytes);
        put_padded(to, s, types[signer->type].part_bytes);
    } else {
        buf_put(to, signature.data, signature.size);
    }
    gnutls_free(signature.data);
}

void
token_signer_token(const struct token_signer *signer, const char *algorithm, const char *header,
                   struct bytes payload, struct buf *to)
{
    struct buf signature;
    size_t begin = to->size;
    buf_init(&signature, NULL, 4096);
    base64url_put(to, bytes_of_text(header));
    buf_put_u8(to, '.');
    base64url_put(to, payload);
    token_signer_sign(signer, algorithm, bytes_of(to->at + begin, to->size - begin), &signature);
    buf_put_u8(to, '.');
    base64url_put(to, buf_bytes(&signature));
    buf_fini(&signature);
}
