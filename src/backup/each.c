/* each.c - calls a function for numbers, on several threads. */
#include "backup/each.h"

#include <stdatomic.h>

#include "base/lock.h"

struct each {
    enum err (*call)(void *context, size_t i, struct why *why);
    void *context;
    size_t count;
    _Atomic size_t next; /* number of the next call; relaxed: the calls share nothing through it */
    struct lock lock;    /* LOCK_RANK_LEAF; of the fields below */
    enum err error;      /* the first one */
    struct why *why;
};

static bool
has_failed(struct each *x)
{
    lock_take(&x->lock);
    bool failed = x->error != OK;
    lock_drop(&x->lock);
    return failed;
}

static void
run(void *argument)
{
    struct each *x = argument;
    while (!has_failed(x)) {
        struct why why = {""};
        size_t i = atomic_fetch_add_explicit(&x->next, 1, memory_order_relaxed);
        if (i >= x->count) return;
        enum err e = x->call(x->context, i, &why);
        if (e == OK) continue;
        lock_take(&x->lock);
        if (x->error == OK) {
            x->error = e;
            why_set(x->why, e, "%s", why_text(&why, e));
        }
        lock_drop(&x->lock);
    }
}

enum err
each_of(struct env *env, uint32_t threads, size_t count,
        enum err (*call)(void *context, size_t i, struct why *why), void *context, struct why *why)
{
    struct each x = {.call = call, .context = context, .count = count, .why = why};
    struct env_thread *others[EACH_THREADS_MAX];
    uint32_t started = 0;
    lock_init(&x.lock, LOCK_RANK_LEAF);
    while (started + 1 < threads && started + 1 < count && started < EACH_THREADS_MAX - 1) {
        if (env_thread_start(env, "each", run, &x, &others[started])) break;
        started++;
    }
    run(&x);
    while (started > 0)
        env_thread_join(env, others[--started]);
    lock_fini(&x.lock);
    return x.error;
}
