/*
 * worker.c - see worker.h.
 *
 * Invariants:
 *  1. Requests are numbered as they come: answered <= taken <= requested.
 *  2. A request is answered once, after it was taken; those that were taken together are answered
 *     together.
 *  3. `waiters` counts the calls of worker_ask() that wait; the worker ends after them.
 */
#include "app/worker.h"

#include <assert.h>

void
worker_init(struct worker *w, struct env *env)
{
    w->env = env;
    lock_init(&w->lock, LOCK_RANK_APP_WAKE);
    cond_init(&w->cond);
}

enum err
worker_start(struct worker *w, const char *name, void (*run)(void *context), void *context)
{
    return env_thread_start(w->env, name, run, context, &w->thread);
}

void
worker_stop(struct worker *w)
{
    lock_take(&w->lock);
    w->stop = true;
    cond_wake_all(&w->cond);
    lock_drop(&w->lock);
}

void
worker_join(struct worker *w)
{
    worker_stop(w);
    lock_take(&w->lock);
    assert(w->stop);
    while (w->waiters > 0)
        cond_wait(&w->cond, &w->lock);
    lock_drop(&w->lock);
    if (w->thread != NULL) env_thread_join(w->env, w->thread);
    w->thread = NULL;
}

void
worker_fini(struct worker *w)
{
    assert(w->thread == NULL && w->waiters == 0); /* invariant 3 */
    lock_fini(&w->lock);
    cond_fini(&w->cond);
}

void
worker_wake(struct worker *w)
{
    lock_take(&w->lock);
    w->woken = true;
    cond_wake_all(&w->cond);
    lock_drop(&w->lock);
}

enum err
worker_ask(struct worker *w, int what, struct why *why)
{
    lock_take(&w->lock);
    uint64_t number = ++w->requested;
    w->what = what;
    w->waiters++;
    cond_wake_all(&w->cond);
    while (w->answered < number && !w->stop)
        cond_wait(&w->cond, &w->lock);
    enum err e = w->error;
    if (w->answered < number)
        e = why_set(why, ERR_CANCELED, "shutting down");
    else if (e)
        *why = w->why;
    assert(w->waiters > 0); /* invariant 3 */
    w->waiters--;
    cond_wake_all(&w->cond);
    lock_drop(&w->lock);
    return e;
}

bool
worker_rest(struct worker *w, int64_t until_ns, enum worker_rest how)
{
    lock_take(&w->lock);
    while (!w->stop && !(how == REST_UNTIL_WOKEN && w->woken) &&
           !(how != REST_UNTIL_STOPPED && w->requested > w->taken) &&
           env_monotonic_ns(w->env) < until_ns)
        (void)cond_wait_until(&w->cond, &w->lock, until_ns);
    if (how == REST_UNTIL_WOKEN) w->woken = false;
    bool go_on = !w->stop;
    lock_drop(&w->lock);
    return go_on;
}

bool
worker_has_request(struct worker *w)
{
    lock_take(&w->lock);
    bool has_request = w->requested > w->taken;
    lock_drop(&w->lock);
    return has_request;
}

bool
worker_take(struct worker *w, int *ret_what)
{
    lock_take(&w->lock);
    bool has_request = w->requested > w->taken;
    assert(w->answered == w->taken); /* invariant 2 */
    w->taken = w->requested;
    if (has_request) *ret_what = w->what;
    lock_drop(&w->lock);
    return has_request;
}

void
worker_answer(struct worker *w, enum err error, const struct why *why)
{
    lock_take(&w->lock);
    assert(w->answered < w->taken && w->taken <= w->requested); /* invariants 1 and 2 */
    w->error = error;
    w->why = *why;
    w->answered = w->taken;
    cond_wake_all(&w->cond);
    lock_drop(&w->lock);
}
