/*
 * worker.h - a thread that waits: for a time, for a wake-up, for requests whose outcome others wait
 * for, and for its end. Its function returns when worker_rest() is false.
 *
 * Threads: worker_rest(), worker_take() and worker_answer() are for the thread itself, the others
 * for any, but those that start and end it for its owner.
 */
#ifndef APP_WORKER_H
#define APP_WORKER_H

#include "base/lock.h"
#include "sys/env.h"

struct worker {
    struct env *env;
    struct env_thread *thread; /* NULL: it does not run */

    struct lock lock; /* LOCK_RANK_APP_WAKE; guards the rest, and what the owner says */
    struct cond cond;
    bool stop;
    bool woken;
    uint64_t asked, taken, answered; /* requests are numbered; the last one of each */
    int what;                        /* the last one asks for */
    enum err error;                  /* outcome of the last one answered */
    struct why why;
    uint32_t waiters;
};

/* May be woken and asked from now on; that is kept until it runs. */
void worker_init(struct worker *worker, struct env *env);
/* ERR_AGAIN, ERR_NOMEM: no thread. */
MUST_CHECK enum err worker_start(struct worker *worker, const char *name,
                                 void (*run)(void *context), void *context);
void worker_stop(struct worker *worker); /* begins the end */
void worker_join(struct worker *worker); /* stops it, and waits for its end and that of waiters */
void worker_fini(struct worker *worker); /* after that, or if it never ran */

void worker_wake(struct worker *worker);
/* Waits until a request that begins now is answered. Of those that are taken together the last
 * one's `what` counts. ERR_CANCELED: it is stopped; others as answered. */
MUST_CHECK enum err worker_ask(struct worker *worker, int what, struct why *why);
bool worker_is_asked(struct worker *worker);

/* Until the time, the stop or, as `how` says, a request or a wake-up. False: stopped. */
enum worker_rest {
    REST_UNTIL_WOKEN, /* or asked; the wake-up is over then */
    REST_UNTIL_ASKED,
    REST_UNTIL_STOPPED,
};
bool worker_rest(struct worker *worker, int64_t until_ns, enum worker_rest how);
bool worker_take(struct worker *worker, int *ret_what); /* false: there is no request */
void worker_answer(struct worker *worker, enum err error, const struct why *why);

/* How long to wait after one more failure: a second, then twice as long each time. */
static inline int64_t
worker_pause_ns(int64_t before_ns, int64_t max_ns)
{
    if (before_ns == 0) return NS_PER_S;
    return before_ns < max_ns / 2 ? 2 * before_ns : max_ns;
}

#endif
