/* lock.c - pthreads, the check of ranks, and a turnstile for those who wait. */
#include "base/lock.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#ifdef LOCK_CHECK
static _Atomic uint64_t thread_numbers;
static _Thread_local uint64_t thread_number;
static _Thread_local uint32_t ranks_held; /* bit r: a lock of rank r is held */

static uint64_t
my_number(void)
{
    if (thread_number == 0) thread_number = atomic_fetch_add(&thread_numbers, 1) + 1;
    return thread_number;
}

/* Checks before the thread waits: out of order or taken twice, it might wait for ever and report
 * nothing. */
static void
check_rank(const struct lock *lock)
{
    /* All held ranks lie below the new one. */
    assert((ranks_held >> lock->rank) == 0);
}

static void
check_none_held(void)
{
    assert(ranks_held == 0);
}

static void
note_taken(struct lock *lock)
{
    ranks_held |= 1u << lock->rank;
    atomic_store(&lock->owner, my_number());
}

static void
note_dropped(struct lock *lock)
{
    assert(lock_is_mine(lock));
    ranks_held &= ~(1u << lock->rank);
    atomic_store(&lock->owner, 0);
}
#else
#define check_rank(lock)   ((void)(lock))
#define check_none_held()  ((void)0)
#define note_taken(lock)   ((void)(lock))
#define note_dropped(lock) ((void)(lock))
#endif

void
lock_init(struct lock *lock, enum lock_rank rank)
{
    assert(rank > LOCK_RANK_NONE && rank < LOCK_RANK_COUNT);
    int failed = pthread_mutex_init(&lock->mutex, NULL);
    if (!failed) failed = pthread_mutex_init(&lock->turnstile, NULL);
    assert(failed == 0);
    lock->rank = rank;
    atomic_init(&lock->waiting, 0);
#ifdef LOCK_CHECK
    atomic_init(&lock->owner, 0);
#endif
}

void
lock_fini(struct lock *lock)
{
    if (lock->rank == LOCK_RANK_NONE) return;
    int failed = pthread_mutex_destroy(&lock->mutex);
    if (!failed) failed = pthread_mutex_destroy(&lock->turnstile);
    assert(failed == 0);
    lock->rank = LOCK_RANK_NONE;
}

/* Takes the lock after all threads that wait. */
static void
take_in_turn(struct lock *lock)
{
    atomic_fetch_add_explicit(&lock->waiting, 1, memory_order_relaxed);
    int failed = pthread_mutex_lock(&lock->turnstile);
    if (!failed) failed = pthread_mutex_lock(&lock->mutex);
    if (!failed) failed = pthread_mutex_unlock(&lock->turnstile);
    assert(failed == 0);
    atomic_fetch_sub_explicit(&lock->waiting, 1, memory_order_relaxed);
}

void
lock_take(struct lock *lock)
{
    check_rank(lock);
    if (pthread_mutex_trylock(&lock->mutex) != 0) take_in_turn(lock);
    note_taken(lock);
}

void
lock_drop(struct lock *lock)
{
    note_dropped(lock);
    int failed = pthread_mutex_unlock(&lock->mutex);
    assert(failed == 0);
}

void
lock_give_way(struct lock *lock)
{
    if (atomic_load_explicit(&lock->waiting, memory_order_relaxed) == 0) return;
    lock_drop(lock);
    check_rank(lock);
    take_in_turn(lock);
    note_taken(lock);
}

bool
lock_is_mine(const struct lock *lock)
{
#ifdef LOCK_CHECK
    return atomic_load(&lock->owner) == my_number();
#else
    (void)lock;
    return true;
#endif
}

void
cond_init(struct cond *cond)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    assert(failed == 0);
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    assert(failed == 0);
    failed = pthread_cond_init(&cond->cond, &attributes);
    assert(failed == 0);
    pthread_condattr_destroy(&attributes);
}

void
cond_wait(struct cond *cond, struct lock *lock)
{
    note_dropped(lock);
    check_none_held();
    int failed = pthread_cond_wait(&cond->cond, &lock->mutex);
    assert(failed == 0);
    note_taken(lock);
}

bool
cond_wait_until(struct cond *cond, struct lock *lock, int64_t deadline_ns)
{
    struct timespec at = {deadline_ns / 1000000000, deadline_ns % 1000000000};
    note_dropped(lock);
    check_none_held();
    int failed = pthread_cond_timedwait(&cond->cond, &lock->mutex, &at);
    assert(failed == 0 || failed == ETIMEDOUT);
    note_taken(lock);
    return failed == 0;
}
