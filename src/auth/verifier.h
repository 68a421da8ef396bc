/*
 * verifier.h - checks passwords for threads that must not wait: a thread hashes them one after the
 * other, and those that were good are remembered.
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
#ifndef AUTH_VERIFIER_H
#define AUTH_VERIFIER_H

#include "base/bytes.h"
#include "base/err.h"
#include "sys/env.h"

struct budget;
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

/* Checks the password of a user who has this hash (password.h), which has been validated. Texts
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
