/*
 * tokens.h - signing in with JSON Web Tokens: the issuers whose keys verify them, the thread that
 * fetches these keys, and the users whom tokens name.
 */
#ifndef AUTH_TOKENS_TOKENS_H
#define AUTH_TOKENS_TOKENS_H

#include "auth/settings.h"
#include "auth/tokens/jwt.h"
#include "auth/users.h"
#include "base/mem.h"
#include "sys/env.h"

/* --- issuers ---------------------------------------------------------------------------------- */

/*
 * The places where keys of tokens come from, as users' settings name them: issuers that are
 * discovered, URLs of key sets, and files; each once, with the keys in force.
 *
 * An issuer stays as long as a set of users has it, and keeps its keys over reloads. A file is read
 * when the issuer is made, and again when it changes. URLs are fetched by a thread:
 * when the issuer is made, ISSUER_REFRESH_NS after the last success, with growing pauses after a
 * failure, and if a token names a key that the set lacks; then no earlier than ISSUER_MISS_NS after
 * the last fetch began. Keys are in force until others replace them, however long that takes.
 *
 * Threads: all functions from any thread, but issuers_get() from one at a time.
 */

enum { ISSUERS_MAX = 64 };
#define ISSUER_REFRESH_NS     (10 * 60 * NS_PER_S)
#define ISSUER_MISS_NS        (60 * NS_PER_S)
#define ISSUER_PAUSE_FIRST_NS (5 * NS_PER_S) /* after a failure; doubled after each further one */
#define ISSUER_PAUSE_MAX_NS   (60 * NS_PER_S)

struct issuers;

/* A source of keys; immutable. Texts live as long as the issuer. */
struct issuer {
    const char *place; /* the issuer, the URL or the path */
    enum issuer_kind { ISSUER_DISCOVERED, ISSUER_URL, ISSUER_FILE } kind;
    const char *ca_file; /* NULL: the CAs of the system */
};

/* `env` and `memory` outlive it. ERR_NOMEM. */
MUST_CHECK enum err issuers_new(struct env *env, struct budget *memory,
                                struct issuers **ret_issuers, struct why *why);
/* After all issuers were released; NULL is fine. */
void issuers_free(struct issuers *issuers);

/*
 * Finds the issuer of the settings, or makes it. Given, for issuer_release().
 *
 * ERR_LIMIT: there are ISSUERS_MAX, or the file is too large; ERR_INPUT, ERR_MISSING, ERR_IO: the
 * file of a new issuer cannot be read, or is not a key set; `why` names it; ERR_NOMEM.
 */
MUST_CHECK enum err issuers_get(struct issuers *issuers, const struct jwt_settings *settings,
                                struct issuer **ret_issuer, struct why *why);
/* NULL is fine. */
void issuer_release(struct issuer *issuer);

/* A key set that is or was in force, shared by those who verify with it. */
struct issuer_keys {
    struct jwks *set;
    struct budget *memory;
    _Atomic unsigned references; /* acq_rel: the last one to release sees all uses */
};
/* Returns the keys in force, for issuer_keys_release(); NULL: none was ever read. */
struct issuer_keys *issuer_keys_hold(struct issuer *issuer);
/* NULL is fine. */
void issuer_keys_release(struct issuer_keys *keys);

/* Reports a token whose key is not in `keys`; NULL: there are no keys yet. Makes the issuer due,
 * but not before ISSUER_MISS_NS after the last fetch began. True: the token cannot be judged now,
 * because keys are being fetched, or the last fetch failed. */
bool issuer_miss(struct issuer *issuer, const struct issuer_keys *keys);

/* Reads the files again, and takes the keys of those that have changed. Waits for the disk. */
void issuers_reread_files(struct issuers *issuers);

/* For the thread that fetches: */

/* Sets a function that is called, with a lock held, when an issuer is due earlier than before. */
void issuers_on_due(struct issuers *issuers, void (*wake)(void *context), void *context);
/* Returns an issuer whose keys are due, held; one of the next three ends that. NULL: none is due,
 * and *ret_wait_ns is the time until one is, INT64_MAX: only after `wake`. */
struct issuer *issuers_due(struct issuers *issuers, int64_t *ret_wait_ns);
/* Takes the key set that was fetched, and logs it if it has changed; a document that is no key set
 * counts as a failure. */
void issuer_fetched(struct issuer *issuer, struct bytes document);
/* Logs a failure, at most once a minute for an issuer. */
void issuer_failed(struct issuer *issuer, const struct why *why);
/* Ends a fetch that was broken off, because the thread ends. */
void issuer_given_up(struct issuer *issuer);

/* --- the document of an issuer ---------------------------------------------------------------- */

/* The document in which an issuer of OpenID Connect describes itself (OpenID Connect Discovery 1.0,
 * sections 3 and 4): its address, and the address of its keys in it. Pure. */

enum {
    ISSUER_DOCUMENT_BYTES_MAX = 64 * 1024,
    ISSUER_URL_BYTES = 1100, /* size of a buffer for a URL, with the NUL */
};

/* Writes the URL of an issuer's document: the issuer, without a slash at its end, and the
 * well-known path. `to` has ISSUER_URL_BYTES. ERR_INPUT: the issuer has a query; ERR_LIMIT: it is
 * too long. */
MUST_CHECK enum err issuer_document_url(const char *issuer, char *to, struct why *why);

/*
 * Writes the URL of the keys, `jwks_uri`, into `ret_url`, which has ISSUER_URL_BYTES. It may have
 * another host than the issuer, but it is https unless the issuer is configured with http.
 *
 * ERR_INPUT   it is not such a document, its `issuer` is not equal to `issuer`, or its `jwks_uri`
 * is missing or not accepted; `ret_url` is undefined. ERR_LIMIT   it is longer than
 * ISSUER_DOCUMENT_BYTES_MAX, or has too many values.
 */
MUST_CHECK enum err issuer_document_read(struct budget *budget, struct bytes document,
                                         const char *issuer, char *ret_url, struct why *why);

/* --- fetching keys ---------------------------------------------------------------------------- */

/*
 * The thread that fetches keys of tokens over HTTP when they are due. All fetches run at once, each
 * with deadlines: an issuer that hangs delays no other.
 *
 * An issuer that is discovered takes two requests, for its document and for the keys that this
 * names. Redirects are not followed, answers larger than ISSUER_DOCUMENT_BYTES_MAX and
 * JWKS_BYTES_MAX are refused, and certificates are verified with the ca_file, or else with the CAs
 * of the system.
 */
#define KEY_FETCH_CONNECT_NS (5 * NS_PER_S)
#define KEY_FETCH_NS         (10 * NS_PER_S) /* limits a whole request */

struct key_fetcher;

/* `issuers` outlives it. ERR_NOMEM, ERR_AGAIN (no thread). */
MUST_CHECK enum err key_fetcher_start(struct env *env, struct budget *memory,
                                      struct issuers *issuers, struct key_fetcher **ret_fetcher,
                                      struct why *why);
/* Breaks off what is being fetched, and ends the thread; NULL is fine. */
void key_fetcher_stop(struct key_fetcher *fetcher);

/* --- users ------------------------------------------------------------------------------------ */

/*
 * The users of a set who sign in with tokens of issuers: finds the user of a token, with what the
 * token's claims leave of the user's tenants and permissions.
 *
 * The user of a token is the first of the list whose settings it matches. The result is a user of
 * its own, for one request:
 *
 * - `name` is "USER:SUB", with the token's claim `sub`, or USER without one. Configured names have
 *   no colon, so a token cannot give its holder the name of another user.
 * - `permissions` are those of the user that the permissions claim names as well.
 * - `tenants` are those names in the tenant claim that the user may use. A name in which "*" stands
 *   for any text would be more than one tenant, so names with "*" are left out, and so is what is
 *   not a tenant's name. If none is left, nothing is permitted.
 *
 * Threads: any number of threads may look up users at once.
 */
enum {
    JWT_UNNAMED_MAX = 4,       /* issuers whose tokens need not name them: all of them are tried */
    JWT_CLAIM_TEXTS_MAX = 256, /* tenants or permissions of a token */
};

struct jwt_users;

/*
 * Copies the settings of users with `jwt`, and holds their issuers. `users` are those of the list,
 * in its order, and live longer. *ret_users is NULL if no user has tokens.
 *
 * Errors of issuers_get(), with the user's name; ERR_LIMIT: more than JWT_UNNAMED_MAX issuers
 * whose settings do not name them; ERR_NOMEM.
 */
MUST_CHECK enum err jwt_users_new(const struct user_list *list, const struct user *users,
                                  struct issuers *issuers, struct budget *memory,
                                  struct jwt_users **ret_users, struct why *why);
/* NULL is fine. */
void jwt_users_free(struct jwt_users *users);

enum jwt_user_verdict {
    JWT_USER_KNOWN,
    JWT_USER_UNKNOWN, /* the token is malformed, refused, or matches no user */
    JWT_USER_LATER,   /* keys are missing that may come, or memory */
};
/* Finds the user of a token at a time. JWT_USER_KNOWN: *ret_user is given, for jwt_user_free(), and
 * valid as long as its set is held. Otherwise `why` is for the log, as in jwt.h. */
MUST_CHECK enum jwt_user_verdict jwt_users_judge(const struct jwt_users *users, struct bytes token,
                                                 int64_t now_s, struct budget *memory,
                                                 struct user **ret_user, struct why *why);
void jwt_user_free(struct user *user);

#endif
