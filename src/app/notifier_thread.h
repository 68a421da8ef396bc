/*
 * notifier_thread.h - the thread "alerts", which steps a notifier (notify/notify.h).
 *
 * Threads: the one that owns the server.
 */
#ifndef APP_NOTIFIER_THREAD_H
#define APP_NOTIFIER_THREAD_H

#include "notify/notify.h"

struct notifier_thread {
    struct env *env;
    struct notifier *notifier;
    struct env_thread *thread; /* NULL: it does not run */
    _Atomic int64_t until_ns;  /* monotonic: the thread ends then at the latest; 0: it goes on */
};

/* `env` and `notifier` outlive the thread. ERR_AGAIN, ERR_NOMEM: it does not run. */
MUST_CHECK enum err notifier_thread_start(struct notifier_thread *thread, struct env *env,
                                          struct notifier *notifier, struct why *why);
/* Ends the thread when no alert is queued any more, or after three seconds. Accepts zeroed memory,
 * whose thread was never started. */
void notifier_thread_stop(struct notifier_thread *thread);

#endif
