/*
 * password.h - passwords and their hashes as of crypt(3): reads a configured hash, checks a
 * password against it, makes a hash. All but the last section is pure: libcrypt computes.
 *
 *     bcrypt     $2a$ $2b$ $2y$     cost 4 to 16
 *     scrypt     $7$                N of at least 2^10
 *     yescrypt   $y$                N of at least 2^10; p, t, g and ROM as libcrypt chooses them
 *
 * A hash is refused if a check takes longer than PASSWORD_TIME_US_MAX by the estimate in
 * password.c, or N blocks take more than PASSWORD_MEMORY_BYTES_MAX. Hashes of bcrypt behave as in
 * Prometheus: a password is as good as its first 72 bytes.
 */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "sys/env.h"

enum {
    PASSWORD_HASH_BYTES = 160,  /* of the longest hash, with NUL */
    PASSWORD_BYTES_MAX = 511,   /* longer ones match no hash of scrypt and yescrypt */
    PASSWORD_BCRYPT_BYTES = 72, /* bcrypt ignores what follows */
    PASSWORD_SALT_BYTES = 16,   /* random bytes for a new hash */
    PASSWORD_BCRYPT_COST = 10,  /* of new hashes; the one in Prometheus' documents */
    PASSWORD_YESCRYPT_COST = 5, /* of new hashes: 16 MiB; libcrypt's default */
    PASSWORD_TIME_US_MAX = 4000000,
    PASSWORD_MEMORY_BYTES_MAX = 256 << 20,
};

enum password_kind { PASSWORD_BCRYPT, PASSWORD_SCRYPT, PASSWORD_YESCRYPT };

struct password_hash {
    enum password_kind kind;
    uint64_t time_us;      /* estimate for one check */
    uint64_t memory_bytes; /* that libcrypt takes during a check */
    size_t digest_at;      /* offset of the part that depends on the password */
};

/* Reads a configured hash. ERR_INPUT: it is not a hash of an accepted kind; ERR_LIMIT: a check
 * takes too long, or too much memory. `why` never contains a part of the hash. */
MUST_CHECK enum err password_hash_parse(const char *hash, struct password_hash *ret_hash,
                                        struct why *why);

/* Returns the hash of which a check takes longer; `a` may be NULL. Both have been parsed once
 * without an error. */
const char *password_dearer(const char *a, const char *b);

/*
 * Hashes the password, whatever it is, and says whether it is the one that `hash` was made from;
 * `hash` has been parsed once without an error. False for a password with a NUL, and for one that
 * is too long. The comparison takes the same time for all digests. Of a longer password only the
 * first PASSWORD_BYTES_MAX + 1 bytes are read.
 *
 * ERR_NOMEM: nothing was checked. ERR_UNSUPPORTED: libcrypt was built without this kind.
 */
MUST_CHECK enum err password_check(struct budget *budget, const char *hash, struct bytes password,
                                   bool *ret_good);

/* Makes a hash of bcrypt or yescrypt, PASSWORD_HASH_BYTES, from a password and PASSWORD_SALT_BYTES
 * random bytes. ERR_INPUT: the password is empty or has a NUL; ERR_LIMIT: it is longer than
 * PASSWORD_BYTES_MAX, or for bcrypt PASSWORD_BCRYPT_BYTES; ERR_NOMEM; ERR_UNSUPPORTED. */
MUST_CHECK enum err password_hash_make(struct budget *budget, enum password_kind kind,
                                       struct bytes password, const uint8_t *salt, char *ret_hash,
                                       struct why *why);

/* --- checks for threads that must not wait ---------------------------------------------------- */

/*
 * A thread hashes passwords one after the other, and those that were good are remembered.
 *
 *     at most queue_max checks wait; one more is refused without hashing, while clients whose
 *     passwords are remembered are answered at once;
 *     clients take turns; one that has as many checks waiting as there is room for others gets no
 *     further one, so that one client has at most half of the queue;
 *     checks of the same client, user, hash and password that wait together are one check;
 *     only good passwords are remembered, with the clients that sent them, cache_max of both
 *     together, each until it has not been used for cache_ns; a user who is active is thus hashed
 *     once until the users change.
 *
 * Threads: all functions but start and stop may be called from any thread, also from callbacks.
 */

struct verifier;

struct verifier_options {
    uint32_t queue_max; /* 780 bytes each */
    uint32_t cache_max; /* 60 bytes each */
    int64_t cache_ns;
};

/* Values for the server. A check takes 20 to 50 ms, so the last of a full queue waits for up to
 * 13 s, which is less than senders wait. */
enum { VERIFIER_QUEUE_MAX = 256, VERIFIER_CACHE_MAX = 20000, VERIFIER_CLIENT_BYTES = 16 };
#define VERIFIER_CACHE_NS (5 * 60 * NS_PER_S)

enum verifier_answer {
    VERIFIER_KNOWN_GOOD, /* remembered: the password is good; there is no callback */
    VERIFIER_QUEUED,     /* the callback comes */
    VERIFIER_NOT_KNOWN,  /* not remembered, and the caller has `only_own` */
    VERIFIER_FULL,       /* not checked, because of the queue or of memory: answer 503 */
};
enum verifier_result {
    VERIFIER_GOOD,
    VERIFIER_BAD,
    VERIFIER_BAD_AGAIN, /* the same check, waiting beside it, was VERIFIER_BAD */
    VERIFIER_OUTDATED,  /* the users have changed: look the user up again, and check again */
    VERIFIER_UNCHECKED, /* barred, without memory, or the verifier stops: answer 503 */
};

/* The callback is called once, on the verifier's thread, and without a lock; others wait for its
 * return. */
struct verifier_caller {
    void (*callback)(void *context, enum verifier_result result);
    void *context;
    struct bytes client; /* up to VERIFIER_CLIENT_BYTES that identify it; may be empty */
    bool only_own;       /* nothing is checked, and only what this client sent before is known */
    /* Asked on the verifier's thread, without a lock, right before the check would be hashed: true
     * if the client has failed too often meanwhile. NULL: never. */
    bool (*is_barred)(void *context);
};

/* Memory for hashing is also charged to `budget`. The environment and the budget outlive the
 * verifier. ERR_NOMEM, ERR_AGAIN (no thread), or an error of env_random(). */
MUST_CHECK enum err verifier_start(struct env *env, struct budget *budget,
                                   const struct verifier_options *options,
                                   struct verifier **ret_verifier, struct why *why);
/* Waits for the hash that is being computed, answers the other checks without hashing, and frees
 * the verifier; NULL is allowed. The caller makes no other call, but callbacks may. */
void verifier_stop(struct verifier *verifier);

/* Checks the password of a user who has this hash, which has been validated. Texts
 * are copied. */
enum verifier_answer verifier_check(struct verifier *verifier, struct bytes user, const char *hash,
                                    struct bytes password, struct verifier_caller caller);
/* Does the same work for a user who does not exist or has no password; the result is never good.
 * `dearest` is the hash of the users that takes longest to check (password_dearer()). If no user
 * has a password, there is nothing to hide, and this is not called. */
enum verifier_answer verifier_check_unknown(struct verifier *verifier, struct bytes user,
                                            const char *dearest, struct bytes password,
                                            struct verifier_caller caller);

/* Forgets all passwords; waiting and running checks become VERIFIER_OUTDATED. Called after new
 * users are visible to all threads. */
void verifier_forget_all(struct verifier *verifier);

struct verifier_counts {
    uint64_t known;  /* answered from memory */
    uint64_t hashed; /* computations; several checks may have shared one */
    uint64_t full;   /* VERIFIER_FULL */
    uint32_t waiting;
    uint32_t remembered;
};
struct verifier_counts verifier_counts(struct verifier *verifier);

#endif
