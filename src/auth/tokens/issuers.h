/*
 * issuers.h - the places where keys of tokens come from, as users' settings name them: issuers that
 * are discovered, URLs of key sets, and files; each once, with the keys in force.
 *
 * An issuer stays as long as a set of users has it, and keeps its keys over reloads. A file is read
 * when the issuer is made, and again when it changes. URLs are fetched by a thread (key_fetch.h):
 * when the issuer is made, ISSUER_REFRESH_NS after the last success, with growing pauses after a
 * failure, and if a token names a key that the set lacks; then no earlier than ISSUER_MISS_NS after
 * the last fetch began. Keys are in force until others replace them, however long that takes.
 *
 * Threads: all functions from any thread, but issuers_get() from one at a time.
 */
#ifndef AUTH_TOKENS_ISSUERS_H
#define AUTH_TOKENS_ISSUERS_H

#include "auth/tokens/jwks.h"
#include "auth/settings.h"
#include "sys/env.h"

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

/*
 * Reports a token whose key is not in `keys`; NULL: there are no keys yet. Makes the issuer due,
 * but not before ISSUER_MISS_NS after the last fetch began. True: the token cannot be judged now,
 * because keys are being fetched, or the last fetch failed.
 */
bool issuer_miss(struct issuer *issuer, const struct issuer_keys *keys);

/* Reads the files again, and takes the keys of those that have changed. Waits for the disk. */
void issuers_reread_files(struct issuers *issuers);

/* --- for the thread that fetches -------------------------------------------------------------- */

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

#endif
