/*
 * users.h - the users of a server: an immutable set with look-ups for each way to sign in, made
 * from settings, reference counted, shared by threads. A reload makes a new set.
 *
 * A user is valid as long as its set is held. Memory that held secrets is overwritten.
 */
#ifndef AUTH_USERS_H
#define AUTH_USERS_H

#include "auth/settings.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "model/select.h"

/* --- access keys ------------------------------------------------------------------------------ */

/*
 * The access keys of all users, with the secrets from their files: an immutable set that belongs to
 * a set of users.
 *
 * A file of secrets has one line, or two: requests may be signed with either, so that a secret can
 * be replaced while clients still use the old one. A file of a session token has one line. Lines
 * are visible ASCII; the end of the last one may be missing.
 */

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

/* Reads the files. ERR_MISSING, ERR_IO: one cannot be read; ERR_INPUT: one has another form;
 * ERR_LIMIT: more than SIGNING_KEYS_MAX keys, or a path that is too long; ERR_NOMEM. `why` names
 * the key, and never shows a part of a file. */
MUST_CHECK enum err signing_keys_read(const struct user_list *list, struct budget *memory,
                                      struct signing_keys **ret_keys, struct why *why);
/* NULL is fine. */
void signing_keys_free(struct signing_keys *keys);

uint32_t signing_keys_count(const struct signing_keys *keys);
/* NULL: there is no such key. The time does not depend on the number of keys. */
const struct signing_key *signing_keys_find(const struct signing_keys *keys, struct bytes id);
/* Says whether both have the same keys, of the same users, with the same secrets. */
bool signing_keys_equal(const struct signing_keys *a, const struct signing_keys *b);

/* --- users ------------------------------------------------------------------------------------ */

enum { USER_TOKEN_BYTES_MAX = 4096, USER_SECRET_BYTES = 32 };

struct issuers;
struct jwt_users;
struct users;

struct user {
    struct users *set;
    const char *name;
    const char *password; /* hash as of crypt(3); NULL: the user has none */
    unsigned permissions; /* set of enum permission */
    struct text_list tenants;
    enum tenant_header tenant_header;
    const struct matcher_set *read_sets; /* a series is visible if it matches one of them */
    uint32_t read_set_count;             /* 0: all series are visible */
    struct bytes write_labels;           /* canonical; empty: series stay as they were sent */
    uint8_t secret[USER_SECRET_BYTES];   /* a hash of `password` and all tokens */
};

/*
 * Copies the settings, and reads the files that they name. Users with `jwt` sign in with keys of
 * `issuers`, which outlive the set; NULL: they do not sign in with tokens.
 *
 * ERR_LIMIT: more than USERS_MAX; ERR_INPUT: an item of read_matchers is not a selector, or
 * write_labels are not labels; ERR_NOMEM; errors of jwt_users_new() and signing_keys_read().
 */
MUST_CHECK enum err users_new(const struct user_list *list, struct issuers *issuers,
                              struct budget *memory, struct users **ret_users, struct why *why);
/* Reads the files that the settings name, as users_new() does with issuers. The same errors. */
MUST_CHECK enum err users_check_files(const struct user_list *list, struct env *env,
                                      struct why *why);
struct users *users_hold(struct users *users);
/* NULL is fine. */
void users_release(struct users *users);

uint32_t users_count(const struct users *users);
/* Returns the password's hash that takes longest to check; NULL: no user has a password. */
const char *users_dearest_password(const struct users *users);

/* Return NULL if there is no such user. */
const struct user *users_by_name(const struct users *users, struct bytes name);
/* Finds the user who has the token: its SHA-256 is compared. */
const struct user *users_by_token(const struct users *users, struct bytes token);
/* Returns the users with tokens of issuers; NULL if no user has one. */
const struct jwt_users *users_jwt(const struct users *users);
/* Finds the user of a verified certificate, by its subject or one of its names. */
const struct user *users_by_certificate(const struct users *users, const char *subject,
                                        const char *const *names, uint32_t name_count);

/* Finds the first user one of whose iam_callers is the caller. */
const struct user *users_by_caller(const struct users *users, struct bytes caller);

/* Finds the user who has the access key. *ret_key is valid as long as the set. */
const struct user *users_by_access_key(const struct users *users, struct bytes id,
                                       const struct signing_key **ret_key);
/* Return the access keys of all users, and rules for signatures; both live as long as the set. */
const struct signing_keys *users_signing_keys(const struct users *users);
const struct signing_settings *users_signing(const struct users *users);

/* Says whether the user may use a tenant. */
bool user_may_use(const struct user *user, struct bytes tenant);
/* Returns the user's tenant if there is exactly one and it is not a pattern; else NULL. */
const char *user_only_tenant(const struct user *user);

#endif
