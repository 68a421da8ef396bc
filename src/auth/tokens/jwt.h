/*
 * jwt.h - JSON Web Tokens (RFC 7519) of users, and the keys of issuers that sign them: reading,
 * verification of signature and times, and matching with the settings of a user. Pure: the time is
 * an argument.
 *
 * A token is read once, verified once with the key set of its issuer, and then matched with the
 * settings of each user who has that issuer:
 *
 *     verdict = jwt_read(budget, token, &jwt, &why);
 *     keys = the set of the issuer jwt_unverified_issuer(jwt)
 *     verdict = jwt_verify(jwt, keys, now_s, &why);
 *     verdict = jwt_match(jwt, keys, &user->jwt, &why);
 *
 * `why` is for the log: a client learns nothing but that it is not known. It quotes at most 60
 * bytes of a part of the token, and never its signature.
 *
 * The header fields `jku`, `x5u`, `jwk`, `x5c` and `x5t` are ignored, as RFC 7515, section 4, asks
 * of fields that are not understood; `crit` is refused (4.1.11), and so is a `typ` other than JWT,
 * JOSE and at+jwt, since an issuer also signs logout tokens, proofs and events (RFC 8725, 3.11).
 *
 * Threads: a token belongs to one thread at a time.
 */
#ifndef AUTH_TOKENS_JWT_H
#define AUTH_TOKENS_JWT_H

#include "auth/settings.h"
#include "base/buf.h"
#include "base/mem.h"

/* --- base64url, which tokens and key sets share ----------------------------------------------- */

/*
 * Appends the bytes of base64url text (RFC 7515, section 2). Each sequence of bytes has exactly one
 * text: padding, other characters and unused bits that are set are refused.
 *
 * ERR_INPUT   the text is not base64url. `to` is unchanged, as after an error of the buffer.
 */
MUST_CHECK enum err base64url_get(struct bytes text, struct buf *to);

/* --- key sets --------------------------------------------------------------------------------- */

/*
 * The public keys of an issuer of tokens: reads a JSON Web Key Set (RFC 7517) and verifies
 * signatures with its keys (RFC 7518, 8037). Pure: no files, no network, no clock.
 *
 * The algorithm is bound to the key. A key verifies the algorithm that it names with `alg`; without
 * `alg`, a key of EC or OKP verifies the one algorithm of its curve, and a key of RSA verifies RS*
 * and PS*.
 *
 * Threads: a set is immutable once read, and any number of threads may verify with it at once.
 */

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

/* --- tokens ----------------------------------------------------------------------------------- */

enum {
    JWT_BYTES_MAX = 8 * 1024,
    JWT_LEEWAY_S = 60, /* for clocks that differ */
};

struct jwt;

/* Reads a token without trusting it. `token` is borrowed until jwt_free(). The verdict is
 * JWT_ACCEPTED, JWT_MALFORMED or JWT_NO_MEMORY. */
MUST_CHECK enum jwt_verdict jwt_read(struct budget *budget, struct bytes token,
                                     struct jwt **ret_jwt, struct why *why);
void jwt_free(struct jwt *jwt);

/* Returns the claim `iss` of a token that may be forged, to choose a key set; `at` is NULL
 * without one. It lives as long as the token. */
struct bytes jwt_unverified_issuer(const struct jwt *jwt);

/* Verifies the signature, that the token has not expired (`exp` is required), and that `nbf` and
 * `iat`, if given, are not in the future; each with JWT_LEEWAY_S. `now_s` is Unix time. */
MUST_CHECK enum jwt_verdict jwt_verify(struct jwt *jwt, const struct jwks *keys, int64_t now_s,
                                       struct why *why);

/* Returns the claim `sub` of a verified token, the name that the issuer has for its holder; `at` is
 * NULL without one. It lives as long as the token, and has no NUL. */
struct bytes jwt_subject(const struct jwt *jwt);

/*
 * Matches a verified token with a user's settings. `keys` is the set of these settings, with which
 * the token was verified. JWT_ACCEPTED if all of these are true, JWT_REFUSED if not:
 *
 * - `iss` equals the issuer. Settings without an issuer accept all issuers that sign with `keys`.
 * - `aud`, a string or an array, has one of the audiences of the settings, which are not empty.
 * - Each of the claims has the value of the settings: a string, number or boolean equals it, or an
 *   element of an array does. `scope` and `scp` may be strings of words, of which one equals it.
 * - The token has the claims that list its tenants and permissions, if the settings name them.
 */
MUST_CHECK enum jwt_verdict jwt_match(const struct jwt *jwt, const struct jwks *keys,
                                      const struct jwt_settings *settings, struct why *why);

/*
 * Gives the texts of a claim of a verified token: the words of a string, the elements of an array,
 * numbers and booleans as JSON has them; fractions, objects and null are left out. They live as
 * long as the arena. They are names that the token's issuer chose: no patterns, and not checked.
 *
 * A claim is a name, or a path such as `realm_access.roles`; a claim whose own name has dots is
 * found first.
 *
 * ERR_MISSING   the token has no such claim, or it has no texts: never an empty list, which
 * settings take for no limit.
 */
MUST_CHECK enum err jwt_claim_texts(const struct jwt *jwt, const char *claim, struct arena *arena,
                                    struct text_list *ret_texts);

#endif
