/*
 * signing_keys.h - the access keys of all users, with the secrets from their files: an immutable
 * set that belongs to a set of users (users.h).
 *
 * A file of secrets has one line, or two: requests may be signed with either, so that a secret can
 * be replaced while clients still use the old one. A file of a session token has one line. Lines
 * are visible ASCII; the end of the last one may be missing.
 *
 * Memory that held secrets is overwritten.
 */
#ifndef AUTH_SIGNING_KEYS_H
#define AUTH_SIGNING_KEYS_H

#include "auth/settings.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

enum {
    SIGNING_KEYS_MAX = 10000,
    SIGNING_SECRETS_MAX = 2,
    SIGNING_SECRET_BYTES_MAX = 256,
    SIGNING_TOKEN_BYTES_MAX = 8192,
};

struct signing_keys;

/* Texts are views that live as long as the set. */
struct signing_key {
    const char *id;
    uint32_t user; /* its index in the list */
    uint32_t secret_count;
    struct bytes secrets[SIGNING_SECRETS_MAX];
    struct bytes session_token; /* empty: the key has none */
};

/*
 * Reads the files. ERR_MISSING, ERR_IO: one cannot be read; ERR_INPUT: one has another form;
 * ERR_LIMIT: more than SIGNING_KEYS_MAX keys, or a path that is too long; ERR_NOMEM. `why` names
 * the key, and never shows a part of a file.
 */
MUST_CHECK enum err signing_keys_read(const struct user_list *list, struct budget *memory,
                                      struct signing_keys **ret_keys, struct why *why);
/* NULL is fine. */
void signing_keys_free(struct signing_keys *keys);

uint32_t signing_keys_count(const struct signing_keys *keys);
/* NULL: there is no such key. The time does not depend on the number of keys. */
const struct signing_key *signing_keys_find(const struct signing_keys *keys, struct bytes id);
/* Says whether both have the same keys, of the same users, with the same secrets. */
bool signing_keys_equal(const struct signing_keys *a, const struct signing_keys *b);

#endif
