/* token_signer.h - keys that sign JSON Web Tokens, made by GnuTLS; for tests and fuzzers. */
#ifndef LIB_AUTH_TOKEN_SIGNER_H
#define LIB_AUTH_TOKEN_SIGNER_H

#include "base/buf.h"

enum token_key {
    TOKEN_KEY_RSA, /* of 2048 bits */
    TOKEN_KEY_P256,
    TOKEN_KEY_P384,
    TOKEN_KEY_P521,
    TOKEN_KEY_ED25519,
    TOKEN_KEY_ED448,
    TOKEN_KEY_COUNT
};

struct token_signer;

/* Makes a new key. */
struct token_signer *token_signer_new(enum token_key key);
void token_signer_free(struct token_signer *signer);

/* Appends the public key as a JSON object; `members` are put before its own, such as
 * "\"kid\":\"a\",".
 */
void token_signer_jwk(const struct token_signer *signer, const char *members, struct buf *to);

/* Appends the signature of `input` in the form of RFC 7518, not encoded. */
void token_signer_sign(const struct token_signer *signer, const char *algorithm, struct bytes input,
                       struct buf *to);

/* Appends a token with this header and this payload, both JSON, signed with `algorithm`, whatever
 * the header says. */
void token_signer_token(const struct token_signer *signer, const char *algorithm,
                        const char *header, struct bytes payload, struct buf *to);

/* Appends base64 with the alphabet of URLs and without padding. */
void base64url_put(struct buf *to, struct bytes from);

#endif
