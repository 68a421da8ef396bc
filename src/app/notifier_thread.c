/* notifier_thread.c - see notifier_thread.h. */
#include "app/notifier_thread.h"

#include <assert.h>

enum { STEP_MS = 1000, LAST_STEP_MS = 50 };

#define LAST_NS (3 * NS_PER_S) /* for alerts that are queued when the server stops */

static void
step_loop(void *context)
{
    struct notifier_thread *t = context;
    for (;;) {
        /* Pairs with the store of notifier_thread_stop(). */
        int64_t until_ns = atomic_load_explicit(&t->until_ns, memory_order_acquire);
        if (until_ns != 0) {
            if (notifier_is_idle(t->notifier) || env_monotonic_ns(t->env) >= until_ns) return;
            notifier_step(t->notifier, LAST_STEP_MS);
        } else {
            notifier_step(t->notifier, STEP_MS);
        }
    }
}

enum err
notifier_thread_start(struct notifier_thread *t, struct env *env, struct notifier *notifier,
                      struct why *why)
{
    assert(t->thread == NULL); /* the thread is started once */
    t->env = env;
    t->notifier = notifier;
    enum err e = env_thread_start(env, "alerts", step_loop, t, &t->thread);
    return e ? why_set(why, e, "cannot start the thread that sends alerts") : OK;
}

void
notifier_thread_stop(struct notifier_thread *t)
{
    if (t->thread == NULL) return;
    assert(atomic_load(&t->until_ns) == 0); /* the thread is stopped once */
    int64_t until_ns = env_monotonic_ns(t->env) + LAST_NS;
    atomic_store_explicit(&t->until_ns, until_ns, memory_order_release);
    notifier_wake(t->notifier);
    env_thread_join(t->env, t->thread);
    t->thread = NULL;
}
