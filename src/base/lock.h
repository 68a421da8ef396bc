/*
 * lock.h - ranked mutexes. A thread may take a lock only if its rank is above all ranks it holds;
 * builds with LOCK_CHECK (debug and sanitizer builds) assert it, and that the owner is right.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* The lowest rank comes first: it is taken first. */
enum lock_rank {
    LOCK_RANK_NONE = 0,
    LOCK_RANK_APP,        /* lifecycle and reload; held while modules below are called */
    LOCK_RANK_SETTINGS,   /* the configuration; held while it is printed or replaced */
    LOCK_RANK_SCRAPE,     /* held while metrics are printed; their callbacks take any lock below */
    LOCK_RANK_API,        /* request queues; no lock of the store is held when they are taken */
    LOCK_RANK_RULER,      /* the list of rule groups and what is due; held briefly */
    LOCK_RANK_PUSH,       /* groups of pushed metrics; held while the file of one is written */
    LOCK_RANK_RELAYS,     /* the list of destinations */
    LOCK_RANK_READERS,    /* the list of sources */
    LOCK_RANK_RELAY_OPEN, /* held while a destination is opened or closed */
    LOCK_RANK_RELAY,      /* the state of a destination that it publishes */
    LOCK_RANK_QUEUE,      /* writes that wait for destinations; destinations are woken under it */
    LOCK_RANK_NOTIFY,     /* notifications in queues, and the list of Alertmanagers */
    LOCK_RANK_BUCKET,     /* a catalog that is read; held while it is fetched */
    LOCK_RANK_EDIT,       /* changes of the set of live parts; held while the manifest is written */
    LOCK_RANK_TSDB,       /* the lists of parts and generations; they are pinned under it */
    LOCK_RANK_HEAD,       /* series and chunks of the head; the log is appended to under it */
    LOCK_RANK_EPOCH,      /* committed or failed epochs; held briefly */
    LOCK_RANK_WAL,        /* the log's open batch */
    LOCK_RANK_CACHE,      /* pages in memory; not held while a page is read */
    LOCK_RANK_SOURCE,     /* the callers of a source, and its credentials */
    LOCK_RANK_HTTP,       /* the state of one connection, which any thread above may resume */
    LOCK_RANK_AUTH,       /* passwords that wait or were good; issuers of tokens, and their keys */
    LOCK_RANK_ENV,        /* the simulated machine: I/O may happen under any lock */
    LOCK_RANK_APP_WAKE,   /* flags that wake the threads of commits and flushes; no lock is taken
                             under it */
    LOCK_RANK_LEAF,       /* counters, rate limits of log lines */
    LOCK_RANK_COUNT
};

struct lock {
    pthread_mutex_t mutex;
    pthread_mutex_t turnstile; /* held by the first waiting thread: the others wait for it */
    enum lock_rank rank;
    _Atomic uint32_t waiting; /* threads that found it taken; relaxed: a wrong guess does no harm */
#ifdef LOCK_CHECK
    _Atomic uint64_t owner; /* thread number, 0 when free */
#endif
};

struct cond {
    pthread_cond_t cond; /* on CLOCK_MONOTONIC */
};

/* The rank is the lock's place in the order of all locks. lock_fini() is called when no thread
 * uses it. */
void lock_init(struct lock *lock, enum lock_rank rank);
void lock_fini(struct lock *lock);
/* With LOCK_CHECK, asserts that the rank is higher than those of all locks that the thread
 * holds, and that lock_drop() is called by the holder. */
void lock_take(struct lock *lock);
void lock_drop(struct lock *lock);
/* For long work under a lock: if others wait, drops the lock and takes it again after the first of
 * them had it. Dropping and taking alone nearly always returns it to the same thread. */
void lock_give_way(struct lock *lock);
/* For assertions at the top of foo_locked(). Without LOCK_CHECK always true. */
bool lock_is_mine(const struct lock *lock);

void cond_init(struct cond *cond);
static inline void
cond_fini(struct cond *cond)
{
    pthread_cond_destroy(&cond->cond);
}
/* `lock` must be the only lock held. Spurious wake-ups happen. */
void cond_wait(struct cond *cond, struct lock *lock);
/* False when `deadline_ns` (CLOCK_MONOTONIC) passed. */
bool cond_wait_until(struct cond *cond, struct lock *lock, int64_t deadline_ns);
/* Wakes one waiting thread, or all; the caller need not hold the lock. */
static inline void
cond_wake_one(struct cond *cond)
{
    pthread_cond_signal(&cond->cond);
}
static inline void
cond_wake_all(struct cond *cond)
{
    pthread_cond_broadcast(&cond->cond);
}

#endif
