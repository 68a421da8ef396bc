/*
 * lock.h - ranked mutexes. A thread may take a lock only if its rank is above all ranks it holds;
 * builds with LOCK_CHECK (debug and sanitizer builds) assert it, and that the owner is right.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Lowest first: what is taken first stands first. */
enum lock_rank {
    LOCK_RANK_NONE = 0,
    LOCK_RANK_APP,        /* lifecycle and reload; held while modules below are called */
    LOCK_RANK_SETTINGS,   /* what is configured; held while it is shown or exchanged */
    LOCK_RANK_SCRAPE,     /* metrics being printed; their callbacks look into all below */
    LOCK_RANK_API,        /* request queues; nothing of the store is held when they are taken */
    LOCK_RANK_RULER,      /* which groups of rules there are, and what is due; held for a look */
    LOCK_RANK_RELAYS,     /* which destinations there are */
    LOCK_RANK_READERS,    /* which sources there are */
    LOCK_RANK_RELAY_OPEN, /* whether one is open */
    LOCK_RANK_RELAY,      /* what it says of itself */
    LOCK_RANK_NOTIFY,     /* what Alertmanagers are still to be told, and who they are */
    LOCK_RANK_EDIT,       /* who changes which parts are live; held while the manifest is written */
    LOCK_RANK_TSDB,       /* which parts and generations exist; pins are taken under it */
    LOCK_RANK_HEAD,       /* series and chunks of the head; the log is appended to under it */
    LOCK_RANK_EPOCH,      /* what became of epochs; never held for longer than a look */
    LOCK_RANK_WAL,        /* the log's open batch */
    LOCK_RANK_CACHE,      /* pages in memory; never held while one is read */
    LOCK_RANK_SOURCE,     /* who asks a source, and who we are there */
    LOCK_RANK_HTTP,       /* one connection's state; resumed from any thread above */
    LOCK_RANK_ENV,        /* the simulated machine: any I/O may be done under any lock there */
    LOCK_RANK_APP_WAKE, /* flags that wake commit and flush threads; nothing is taken under them */
    LOCK_RANK_LEAF,     /* counters, rate limits of log lines */
    LOCK_RANK_COUNT
};

struct lock {
    pthread_mutex_t mutex;
    pthread_mutex_t turnstile; /* held by the first of those who wait: the others wait for it */
    enum lock_rank rank;
    _Atomic uint32_t waiting; /* threads that found it taken; relaxed: a wrong guess does no harm */
#ifdef LOCK_CHECK
    _Atomic uint64_t owner; /* thread number, 0 when free */
#endif
};

struct cond {
    pthread_cond_t cond; /* on CLOCK_MONOTONIC */
};

void lock_init(struct lock *lock, enum lock_rank rank);
void lock_fini(struct lock *lock);
void lock_take(struct lock *lock);
void lock_drop(struct lock *lock);
/*
 * For long work under a lock: if others wait, drops it, and takes it again not before the first of
 * them had it. To drop and take alone nearly always gives it back to the same thread.
 */
void lock_give_way(struct lock *lock);
/* For assertions at the top of foo_locked(). Without LOCK_CHECK always true. */
bool lock_is_mine(const struct lock *lock);

void cond_init(struct cond *cond);
void cond_fini(struct cond *cond);
/* `lock` must be the only lock held. Spurious wake-ups happen. */
void cond_wait(struct cond *cond, struct lock *lock);
/* False when `deadline_ns` (CLOCK_MONOTONIC) passed. */
bool cond_wait_until(struct cond *cond, struct lock *lock, int64_t deadline_ns);
void cond_wake_one(struct cond *cond);
void cond_wake_all(struct cond *cond);

#endif
