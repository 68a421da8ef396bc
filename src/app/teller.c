/* teller.c - see teller.h. */
#include "app/teller.h"

enum { STEP_MS = 1000, LAST_STEP_MS = 50 };

#define LAST_NS (3 * NS_PER_S) /* for what is queued when the server stops */

struct teller {
    struct env *env;
    struct notifier *notifier;
    struct env_thread *thread;
    struct metric_collector collector;
    _Atomic int64_t until_ns; /* monotonic: when to end at the latest; 0: it goes on */
};

enum err
teller_new(struct env *env, struct budget *memory, const char *external_url,
           struct outside *outside, struct teller **ret_teller, struct why *why)
{
    struct teller *t = mem_new(NULL, sizeof *t);
    if (t == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    t->env = env;
    struct notifier_options options = {
        .env = env, .memory = memory, .external_url = external_url, .outside = outside};
    enum err e = notifier_new(&options, &t->notifier, why);
    if (e) {
        mem_free(NULL, t, sizeof *t);
        return e;
    }
    t->collector = (struct metric_collector){.collect = notifier_collect, .context = t->notifier};
    metric_register_collector(&t->collector);
    *ret_teller = t;
    return OK;
}

struct notifier *
teller_notifier(struct teller *t)
{
    return t->notifier;
}

enum err
teller_prepare(struct teller *t, const struct settings *settings, struct alerting *alerting,
               const struct named_texts *labels, struct notifier_change **ret_change,
               struct why *why)
{
    struct notifier_limits limits = {settings->alerting_queue_capacity,
                                     settings->alerting_batch_size,
                                     settings->rules_resend_delay_ms};
    return notifier_prepare(t->notifier, alerting, labels, &limits, ret_change, why);
}

static void
tell_loop(void *context)
{
    struct teller *t = context;
    for (;;) {
        int64_t until_ns = atomic_load(&t->until_ns);
        if (until_ns != 0) {
            if (notifier_is_idle(t->notifier) || env_monotonic_ns(t->env) >= until_ns) return;
            notifier_step(t->notifier, LAST_STEP_MS);
        } else {
            notifier_step(t->notifier, STEP_MS);
        }
    }
}

enum err
teller_run(struct teller *t, struct why *why)
{
    enum err e = env_thread_start(t->env, "alerts", tell_loop, t, &t->thread);
    return e ? why_set(why, e, "cannot start the thread that tells Alertmanagers") : OK;
}

void
teller_stop(struct teller *t)
{
    if (t == NULL || t->thread == NULL) return;
    atomic_store(&t->until_ns, env_monotonic_ns(t->env) + LAST_NS);
    notifier_wake(t->notifier);
    env_thread_join(t->env, t->thread);
    t->thread = NULL;
}

void
teller_free(struct teller *t)
{
    if (t == NULL) return;
    teller_stop(t);
    metric_unregister(&t->collector.link);
    notifier_free(t->notifier);
    mem_free(NULL, t, sizeof *t);
}
