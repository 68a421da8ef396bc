/*
 * jwks.c - see jwt.h. A key carries the set of algorithms that it verifies, decided when it is
 * read from its `kty`, `crv` and `alg`. The algorithm that a token names only selects from that set
 * (RFC 8725, sections 2.1 and 3.1). Algorithms without a public key, "none" and HS*, are not in the
 * table, and are therefore neither those of a key nor those of a token.
 *
 * Threads share the keys: gnutls_pubkey_verify_data2() only reads them, and has the parameters of a
 * signature on its stack. GnuTLS reports most errors within it as a wrong signature.
 *
 * Members `x5c`, `x5t` and `x5u` of keys are not read: trust in a key comes from the place of the
 * set alone.
 *
 * Invariants:
 *  1. A key of the set verifies at least one algorithm, and all of its algorithms have its type.
 *  2. A signature is verified only if it has exactly the size that the key's signatures have.
 */
#include "auth/tokens/jwt.h"

#include <assert.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>

#include "base/text/quote.h"
#include "wire/json/json_tree.h"

/* Returns the six bits of a character; 64 if it is not in the alphabet. */
static unsigned
sextet(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z') return (unsigned)(c - 'a' + 26);
    if (c >= '0' && c <= '9') return (unsigned)(c - '0' + 52);
    return c == '-' ? 62 : c == '_' ? 63 : 64;
}

enum err
base64url_get(struct bytes text, struct buf *to)
{
    size_t rest = text.size % 4, size = text.size / 4 * 3 + rest * 3 / 4;
    uint32_t bits = 0;
    if (text.size == 0) return OK;
    if (rest == 1) return ERR_INPUT;
    if (!buf_reserve(to, size)) return buf_error(to);
    uint8_t *out = to->at + to->size;
    for (size_t i = 0; i < text.size; i++) {
        unsigned six = sextet(text.at[i]);
        if (six == 64) return ERR_INPUT;
        bits = bits << 6 | six;
        if (i % 4 != 0) *out++ = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    if (rest != 0 && (bits & ((1U << (8 - 2 * rest)) - 1)) != 0) return ERR_INPUT;
    to->size += size;
    return OK;
}

/* --- algorithms ------------------------------------------------------------------------------- */

struct algorithm {
    const char *name;
    const char *type;  /* `kty` */
    const char *curve; /* `crv`; NULL for RSA */
    gnutls_sign_algorithm_t sign;
    gnutls_ecc_curve_t ecc_curve;
    uint32_t part_bytes; /* of a coordinate, and of half a signature */
};

static const struct algorithm algorithms[] = {
    {"RS256", "RSA", NULL, GNUTLS_SIGN_RSA_SHA256, 0, 0},
    {"RS384", "RSA", NULL, GNUTLS_SIGN_RSA_SHA384, 0, 0},
    {"RS512", "RSA", NULL, GNUTLS_SIGN_RSA_SHA512, 0, 0},
    {"PS256", "RSA", NULL, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, 0, 0},
    {"PS384", "RSA", NULL, GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, 0, 0},
    {"PS512", "RSA", NULL, GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 0, 0},
    {"ES256", "EC", "P-256", GNUTLS_SIGN_ECDSA_SHA256, GNUTLS_ECC_CURVE_SECP256R1, 32},
    {"ES384", "EC", "P-384", GNUTLS_SIGN_ECDSA_SHA384, GNUTLS_ECC_CURVE_SECP384R1, 48},
    {"ES512", "EC", "P-521", GNUTLS_SIGN_ECDSA_SHA512, GNUTLS_ECC_CURVE_SECP521R1, 66},
    {"EdDSA", "OKP", "Ed25519", GNUTLS_SIGN_EDDSA_ED25519, GNUTLS_ECC_CURVE_ED25519, 32},
    {"EdDSA", "OKP", "Ed448", GNUTLS_SIGN_EDDSA_ED448, GNUTLS_ECC_CURVE_ED448, 57},
    /* The names of RFC 9864 for the same two. */
    {"Ed25519", "OKP", "Ed25519", GNUTLS_SIGN_EDDSA_ED25519, GNUTLS_ECC_CURVE_ED25519, 32},
    {"Ed448", "OKP", "Ed448", GNUTLS_SIGN_EDDSA_ED448, GNUTLS_ECC_CURVE_ED448, 57},
};
enum { ALGORITHM_COUNT = sizeof algorithms / sizeof *algorithms };

/* A set of algorithms: a bit for each of the table. */
typedef uint32_t algorithm_set;
_Static_assert(ALGORITHM_COUNT <= 32, "an algorithm_set has a bit for each algorithm");

static algorithm_set
algorithms_named(struct bytes name)
{
    algorithm_set set = 0;
    for (unsigned i = 0; i < ALGORITHM_COUNT; i++)
        if (bytes_equal_text(name, algorithms[i].name)) set |= 1U << i;
    return set;
}

static const struct algorithm *
first_of(algorithm_set set)
{
    assert(set != 0);
    return &algorithms[__builtin_ctz(set)];
}

/* --- a set ------------------------------------------------------------------------------------ */

enum {
    /* Values in a document of JWKS_KEYS_MAX keys, each with chains of certificates. */
    VALUES_MAX = 8192,
    /* A public key in GnuTLS, which allocates it without a budget: numbers of JWKS_RSA_BITS_MAX. */
    PUBLIC_KEY_BYTES = 4096,
    EXPONENT_BYTES_MAX = 8,
};

struct jwks_key {
    gnutls_pubkey_t public_key;
    struct bytes id; /* in the set's arena; `at` is NULL if the key has none */
    algorithm_set algorithms;
    uint32_t signature_bytes;
};

struct jwks {
    struct budget *budget;
    struct arena arena; /* ids */
    struct jwks_key items[JWKS_KEYS_MAX];
    uint32_t count;
    uint32_t left_out_count;
    struct why left_out; /* about the first one; empty without one */
};

void
jwks_free(struct jwks *keys)
{
    if (keys == NULL) return;
    for (uint32_t i = 0; i < keys->count; i++) {
        gnutls_pubkey_deinit(keys->items[i].public_key);
        budget_give(keys->budget, PUBLIC_KEY_BYTES);
    }
    arena_fini(&keys->arena);
    mem_free(keys->budget, keys, sizeof *keys);
}

struct jwks_counts
jwks_counts(const struct jwks *keys)
{
    return (struct jwks_counts){keys->count, keys->left_out_count};
}

const char *
jwks_left_out(const struct jwks *keys)
{
    return keys->left_out.text;
}

/* --- reading a key ---------------------------------------------------------------------------- */

static bool
has_verify(const json_t *operations)
{
    for (size_t i = 0; i < json_array_size(operations); i++)
        if (bytes_equal_text(json_tree_text(json_array_get(operations, i)), "verify")) return true;
    return false;
}

/* Decides from the members that are not numbers of the key: ERR_INPUT with a reason if it is not
 * for verifying signatures. */
static enum err
judge_key(const json_t *jwk, algorithm_set *ret_algorithms, struct why *why)
{
    static const char *const texts[] = {"kid", "kty", "use", "alg", "crv"};
    static const char *const private_parts[] = {"d", "p", "q"};
    if (!json_is_object(jwk)) return why_set(why, ERR_INPUT, "it is not an object");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const json_t *value = json_object_get(jwk, texts[i]);
        if (value == NULL || json_is_string(value)) continue;
        return why_set(why, ERR_INPUT, "%s is not a string", texts[i]);
    }
    struct bytes type = json_tree_text(json_object_get(jwk, "kty"));
    struct bytes curve = json_tree_text(json_object_get(jwk, "crv"));
    struct bytes use = json_tree_text(json_object_get(jwk, "use"));
    struct bytes name = json_tree_text(json_object_get(jwk, "alg"));
    const json_t *operations = json_object_get(jwk, "key_ops");
    if (use.at != NULL && !bytes_equal_text(use, "sig"))
        return why_set(why, ERR_INPUT, "its use is %s, not sig", shown_of(use).text);
    if (operations != NULL && !has_verify(operations))
        return why_set(why, ERR_INPUT, "its key_ops lack verify");
    algorithm_set set = 0;
    for (unsigned i = 0; i < ALGORITHM_COUNT; i++) {
        const struct algorithm *a = &algorithms[i];
        if (!bytes_equal_text(type, a->type)) continue;
        if (a->curve == NULL || bytes_equal_text(curve, a->curve)) set |= 1U << i;
    }
    if (set == 0) {
        return why_set(why, ERR_INPUT, "kty %s with crv %s is not supported", shown_of(type).text,
                       shown_of(curve).text);
    }
    if (name.at != NULL) set &= algorithms_named(name);
    if (set == 0) {
        return why_set(why, ERR_INPUT, "alg %s is not supported for its kty and crv",
                       shown_of(name).text);
    }
    for (size_t i = 0; i < sizeof private_parts / sizeof *private_parts; i++) {
        if (json_object_get(jwk, private_parts[i]) == NULL) continue;
        return why_set(why, ERR_INPUT, "it has a private part, and others may sign with it");
    }
    *ret_algorithms = set;
    return OK;
}

/* Appends a number of the key. */
static enum err
read_number(const json_t *jwk, const char *name, struct buf *to, struct why *why)
{
    struct bytes text = json_tree_text(json_object_get(jwk, name));
    if (text.size == 0) return why_set(why, ERR_INPUT, "%s is missing", name);
    enum err e = base64url_get(text, to);
    return e == ERR_INPUT ? why_set(why, e, "%s is not base64url", name) : e;
}

static gnutls_datum_t
datum(const uint8_t *at, size_t size)
{
    /* GnuTLS does not change what it reads. */
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)at, (unsigned)size};
}

static struct bytes
without_leading_zeros(struct bytes number)
{
    while (number.size > 0 && number.at[0] == 0)
        number = bytes_of(number.at + 1, number.size - 1);
    return number;
}

static enum err
read_rsa(const json_t *jwk, struct jwks_key *key, struct buf *numbers, struct why *why)
{
    enum err e = read_number(jwk, "n", numbers, why);
    size_t n_size = numbers->size;
    if (e == OK) e = read_number(jwk, "e", numbers, why);
    if (e) return e;
    struct bytes n = without_leading_zeros(bytes_of(numbers->at, n_size));
    struct bytes exponent =
        without_leading_zeros(bytes_of(numbers->at + n_size, numbers->size - n_size));
    size_t bits = n.size == 0 ? 0 : 8 * n.size - (size_t)(__builtin_clz(n.at[0]) - 24);
    if (bits < JWKS_RSA_BITS_MIN || bits > JWKS_RSA_BITS_MAX) {
        return why_set(why, ERR_INPUT, "its RSA modulus has %zu bits, expected %d to %d", bits,
                       JWKS_RSA_BITS_MIN, JWKS_RSA_BITS_MAX);
    }
    /* With exponent 1, anything is a signature of itself. */
    if (n.at[n.size - 1] % 2 == 0 || exponent.size == 0 || exponent.size > EXPONENT_BYTES_MAX ||
        exponent.at[exponent.size - 1] % 2 == 0 || (exponent.size == 1 && exponent.at[0] == 1)) {
        return why_set(why, ERR_INPUT,
                       "its RSA modulus or exponent is even, or its exponent is 1 or longer than "
                       "%d bytes",
                       EXPONENT_BYTES_MAX);
    }
    gnutls_datum_t m = datum(n.at, n.size), x = datum(exponent.at, exponent.size);
    if (gnutls_pubkey_import_rsa_raw(key->public_key, &m, &x) != 0)
        return why_set(why, ERR_INPUT, "its RSA modulus or exponent is invalid");
    key->signature_bytes = (uint32_t)n.size;
    return OK;
}

/* Reads a point of a curve, or the one coordinate of EdDSA. */
static enum err
read_point(const json_t *jwk, struct jwks_key *key, struct buf *numbers, struct why *why)
{
    const struct algorithm *a = first_of(key->algorithms);
    bool has_y = strcmp(a->type, "EC") == 0;
    enum err e = read_number(jwk, "x", numbers, why);
    size_t x_size = numbers->size;
    if (e == OK && has_y) e = read_number(jwk, "y", numbers, why);
    if (e) return e;
    if (x_size != a->part_bytes || (has_y && numbers->size != 2 * x_size)) {
        return why_set(why, ERR_INPUT, "a coordinate does not have the %u bytes of the curve",
                       a->part_bytes);
    }
    gnutls_datum_t x = datum(numbers->at, x_size), y = datum(numbers->at + x_size, x_size);
    int failed = gnutls_pubkey_import_ecc_raw(key->public_key, a->ecc_curve, &x, has_y ? &y : NULL);
    if (failed != 0 || gnutls_pubkey_verify_params(key->public_key) != 0)
        return why_set(why, ERR_INPUT, "its point is not on the curve");
    key->signature_bytes = 2 * a->part_bytes;
    return OK;
}

static enum err
read_key(struct jwks *keys, const json_t *jwk, struct jwks_key *key, struct why *why)
{
    struct buf numbers;
    enum err e = judge_key(jwk, &key->algorithms, why);
    if (e) return e;
    struct bytes id = json_tree_text(json_object_get(jwk, "kid"));
    if (id.at != NULL) {
        key->id = arena_copy(&keys->arena, id);
        if (key->id.at == NULL) return ERR_NOMEM;
    }
    if (gnutls_pubkey_init(&key->public_key) != 0) return ERR_NOMEM;
    buf_init(&numbers, keys->budget, JWKS_BYTES_MAX);
    bool is_rsa = first_of(key->algorithms)->curve == NULL;
    e = is_rsa ? read_rsa(jwk, key, &numbers, why) : read_point(jwk, key, &numbers, why);
    buf_fini(&numbers);
    if (e) gnutls_pubkey_deinit(key->public_key);
    return e;
}

/* Adds a key, or counts it as left out. */
static enum err
add_key(struct jwks *keys, const json_t *jwk, size_t index)
{
    struct jwks_key key = {.public_key = NULL};
    struct why why = {.text = ""};
    enum err e = budget_take(keys->budget, PUBLIC_KEY_BYTES);
    if (e) return e;
    e = read_key(keys, jwk, &key, &why);
    if (e == OK) {
        assert(key.algorithms != 0); /* invariant 1 */
        assert(keys->count < JWKS_KEYS_MAX);
        keys->items[keys->count++] = key;
        return OK;
    }
    budget_give(keys->budget, PUBLIC_KEY_BYTES);
    if (e != ERR_INPUT) return e;
    if (keys->left_out_count++ == 0) {
        struct bytes id = json_tree_text(json_object_get(jwk, "kid"));
        why_set(&keys->left_out, e, "key %zu (kid %s) is not used: %s", index + 1,
                shown_of(id).text, why.text);
    }
    return OK;
}

enum err
jwks_read(struct budget *budget, struct bytes document, struct jwks **ret_keys, struct why *why)
{
    struct json_tree json = {.root = NULL};
    struct jwks *keys = NULL;
    enum err e = OK;
    if (document.size > JWKS_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "the key set is longer than %d bytes", JWKS_BYTES_MAX);
    e = json_tree_read(budget, document, VALUES_MAX, &json, why);
    if (e) goto out;
    const json_t *list = json_object_get(json.root, "keys");
    if (!json_is_array(list)) {
        e = why_set(why, ERR_INPUT, "the key set has no array \"keys\"");
        goto out;
    }
    if (json_array_size(list) > JWKS_KEYS_MAX) {
        e = why_set(why, ERR_LIMIT, "the key set has more than %d keys", JWKS_KEYS_MAX);
        goto out;
    }
    keys = mem_new(budget, sizeof *keys);
    e = ERR_NOMEM;
    if (keys == NULL) goto out;
    keys->budget = budget;
    arena_init(&keys->arena, budget, 0, 0);
    e = OK;
    for (size_t i = 0; i < json_array_size(list) && e == OK; i++)
        e = add_key(keys, json_array_get(list, i), i);
    if (e) goto out;
    *ret_keys = keys;
    keys = NULL;
out:
    jwks_free(keys);
    json_tree_fini(&json);
    return e;
}

/* --- verifying -------------------------------------------------------------------------------- */

/* Verifies with one key of the right type. 0, or an error of GnuTLS. */
static int
key_verify(const struct jwks_key *key, const struct algorithm *a, const struct jwks_signature *s)
{
    gnutls_datum_t input = datum(s->input.at, s->input.size);
    gnutls_datum_t signature = datum(s->signature.at, s->signature.size);
    gnutls_datum_t encoded = {NULL, 0};
    assert(s->signature.size == key->signature_bytes); /* invariant 2 */
    if (strcmp(a->type, "EC") == 0) {
        /* Tokens have the two numbers one after the other (RFC 7518, 3.4), GnuTLS wants DER. */
        gnutls_datum_t r = datum(s->signature.at, a->part_bytes);
        gnutls_datum_t half = datum(s->signature.at + a->part_bytes, a->part_bytes);
        int failed = gnutls_encode_rs_value(&encoded, &r, &half);
        if (failed != 0) return failed;
        signature = encoded;
    }
    int result = gnutls_pubkey_verify_data2(key->public_key, a->sign, 0, &input, &signature);
    if (encoded.data != NULL) gnutls_memset(encoded.data, 0, encoded.size); /* a credential */
    gnutls_free(encoded.data);
    return result < 0 ? result : 0;
}

static bool
has_id(const struct jwks_key *key, struct bytes id)
{
    return key->id.at != NULL && id.at != NULL && bytes_equal(key->id, id);
}

static bool
knows_id(const struct jwks *keys, struct bytes id)
{
    for (uint32_t i = 0; i < keys->count; i++)
        if (has_id(&keys->items[i], id)) return true;
    return false;
}

enum jwt_verdict
jwks_verify(const struct jwks *keys, const struct jwks_signature *s, struct why *why)
{
    algorithm_set named = algorithms_named(s->algorithm);
    bool known = knows_id(keys, s->key_id);
    unsigned fitting = 0;
    struct shown name = shown_of(s->algorithm), id = shown_of(s->key_id);
    if (named == 0) {
        why_set(why, ERR_INPUT, "algorithm %s is not accepted", name.text);
        return JWT_REFUSED;
    }
    for (uint32_t i = 0; i < keys->count && fitting < JWKS_TRIES_MAX; i++) {
        const struct jwks_key *key = &keys->items[i];
        algorithm_set set = key->algorithms & named;
        bool candidate =
            s->key_id.at == NULL || (known ? has_id(key, s->key_id) : key->id.at == NULL);
        if (!candidate || set == 0) continue;
        fitting++;
        if (s->signature.size != key->signature_bytes) continue;
        int result = key_verify(key, first_of(set), s);
        if (result == 0) return JWT_ACCEPTED;
        if (result == GNUTLS_E_MEMORY_ERROR) return JWT_NO_MEMORY;
    }
    if (known && fitting == 0) {
        why_set(why, ERR_INPUT, "algorithm %s is not that of key %s", name.text, id.text);
    } else if (known) {
        why_set(why, ERR_INPUT, "signature is not that of key %s", id.text);
    } else if (s->key_id.at != NULL) {
        why_set(why, ERR_MISSING, "key %s is not in the key set", id.text);
    } else {
        why_set(why, ERR_MISSING,
                "token names no key, and none of the %u keys tried for %s signed it", fitting,
                name.text);
    }
    return known ? JWT_REFUSED : JWT_UNKNOWN_KEY;
}
