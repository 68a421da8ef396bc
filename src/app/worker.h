/*
 * worker.h - a thread that sleeps until a time, a wake-up, a request whose result its caller waits
 * for, or the stop. Its function returns when worker_rest() returns false.
 *
 * Threads: worker_rest(), worker_take() and worker_answer() are for the thread itself, the
 * functions that start and end it for its owner, the others for any.
 */
#ifndef APP_WORKER_H
#define APP_WORKER_H

#include "base/lock.h"
#include "sys/env.h"

struct worker {
    struct env *env;
    struct env_thread *thread; /* NULL: it does not run */

    struct lock lock; /* LOCK_RANK_APP_WAKE; guards the rest, and fields of the owner that say so */
    struct cond cond;
    bool stop;
    bool woken;
    uint64_t requested, taken,
        answered;   /* numbers of the last request that was made, taken and answered */
    int what;       /* the request of the last one */
    enum err error; /* outcome of the last request that was answered */
    struct why why;
    uint32_t waiters;
};

/* Keeps wake-ups and requests from now on until the thread runs. */
void worker_init(struct worker *worker, struct env *env);
/* ERR_AGAIN, ERR_NOMEM: the thread cannot be started. */
MUST_CHECK enum err worker_start(struct worker *worker, const char *name,
                                 void (*run)(void *context), void *context);
void worker_stop(struct worker *worker); /* begins to stop; returns at once */
void worker_join(
    struct worker *worker); /* stops, and waits for the thread and for all of worker_ask() */
void worker_fini(struct worker *worker); /* after worker_join(), or if the thread never ran */

/* Ends REST_UNTIL_WOKEN, the next one if the thread does not rest now. */
void worker_wake(struct worker *worker);
/* Makes a request and waits for its result. If several requests are taken together, `what` is that
 * of the last one. ERR_CANCELED: the worker stops; other errors are those of worker_answer(). */
MUST_CHECK enum err worker_ask(struct worker *worker, int what, struct why *why);
/* True if a request waits that was not taken. */
bool worker_has_request(struct worker *worker);

/* Sleeps until a monotonic time, the stop or, depending on `how`, a request or a wake-up. False:
 * the worker stops. */
enum worker_rest {
    REST_UNTIL_WOKEN, /* rests until a wake-up, which is forgotten, or a request */
    REST_UNTIL_REQUEST,
    REST_UNTIL_STOPPED,
};
bool worker_rest(struct worker *worker, int64_t until_ns, enum worker_rest how);
bool worker_take(struct worker *worker,
                 int *ret_what); /* takes all requests; false if no request waits */
/* Answers all requests that the last worker_take() took. */
void worker_answer(struct worker *worker, enum err error, const struct why *why);

/* Returns the pause after another failure: one second, then twice the pause before. */
static inline int64_t
worker_pause_ns(int64_t before_ns, int64_t max_ns)
{
    if (before_ns == 0) return NS_PER_S;
    return before_ns < max_ns / 2 ? 2 * before_ns : max_ns;
}

#endif
