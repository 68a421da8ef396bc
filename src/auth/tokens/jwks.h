/*
 * jwks.h - the public keys of an issuer of tokens: reads a JSON Web Key Set (RFC 7517) and verifies
 * signatures with its keys (RFC 7518, 8037). Pure: no files, no network, no clock.
 *
 * The algorithm is bound to the key. A key verifies the algorithm that it names with `alg`; without
 * `alg`, a key of EC or OKP verifies the one algorithm of its curve, and a key of RSA verifies RS*
 * and PS*.
 *
 * Threads: a set is immutable once read, and any number of threads may verify with it at once.
 */
#ifndef AUTH_TOKENS_JWKS_H
#define AUTH_TOKENS_JWKS_H

#include "base/mem.h"

enum {
    JWKS_BYTES_MAX = 256 * 1024,
    JWKS_KEYS_MAX = 100,
    JWKS_TRIES_MAX = 4, /* keys with which one signature is verified */
    JWKS_RSA_BITS_MIN = 2048,
    JWKS_RSA_BITS_MAX = 8192,
};

/* The result of checking a token or its signature. */
enum jwt_verdict {
    JWT_ACCEPTED,
    JWT_MALFORMED,   /* not a token */
    JWT_UNKNOWN_KEY, /* no key of the set is the one that signed: a new set may have it */
    JWT_REFUSED,
    JWT_NO_MEMORY, /* not judged; come back later */
};

/* A signature to verify: views of a token. */
struct jwks_signature {
    struct bytes algorithm; /* "RS256" */
    struct bytes key_id;    /* `at` is NULL if the token names no key */
    struct bytes input;     /* the signed bytes */
    struct bytes signature; /* in the form of RFC 7518, not encoded */
};

struct jwks;

/*
 * Reads a key set. Keys that cannot be used are left out, as RFC 7517 asks for: symmetric keys,
 * keys for other uses than verifying signatures, keys with private parts, RSA keys outside of
 * JWKS_RSA_BITS_MIN to JWKS_RSA_BITS_MAX, keys with unknown or wrong parameters. A set may be
 * empty: its issuer has withdrawn all keys.
 *
 * ERR_INPUT   the document is not a key set.
 * ERR_LIMIT   it is longer than JWKS_BYTES_MAX, or has more than JWKS_KEYS_MAX keys.
 */
MUST_CHECK enum err jwks_read(struct budget *budget, struct bytes document, struct jwks **ret_keys,
                              struct why *why);
void jwks_free(struct jwks *keys);

/* Counts the keys that verify signatures, and the keys that were left out. */
struct jwks_counts {
    uint32_t used;
    uint32_t left_out;
};
struct jwks_counts jwks_counts(const struct jwks *keys);
/* Returns a sentence about the first key that was left out, for the log; "" without one. It
 * lives as long as the set. */
const char *jwks_left_out(const struct jwks *keys);

/*
 * Verifies with the keys that have the token's key id, else with the keys that have no id; with all
 * keys if the token names none. At most JWKS_TRIES_MAX keys that fit are tried.
 *
 * JWT_UNKNOWN_KEY   no key has the token's key id, or the token names none, and none of the keys
 *                   tried verifies the signature.
 * JWT_REFUSED       the algorithm is not accepted or is not the key's, or the signature is wrong.
 */
MUST_CHECK enum jwt_verdict jwks_verify(const struct jwks *keys,
                                        const struct jwks_signature *signature, struct why *why);

#endif
