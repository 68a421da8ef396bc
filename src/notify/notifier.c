/*
 * notifier.c - the life of a notifier, and its steps.
 *
 * One thread steps: it looks for members, begins requests, and handles their answers; it waits only
 * in outside_poll(). Other threads use the lock: senders put alerts into queues, and a reload
 * replaces the configuration and leaves retired Alertmanagers to the thread that steps, because
 * only that may cancel requests.
 */
#include "notify/notify_private.h"

#include <assert.h>
#include <stdio.h>

enum { NAMED_MAX = 4 }; /* members named in a line about dropped alerts */

/* --- life ------------------------------------------------------------------------------------- */

static enum err
init(struct notifier *n, const struct notifier_options *options, struct why *why)
{
    const char *url = options->external_url;
    size_t size = strlen(url);
    while (size > 0 && url[size - 1] == '/')
        size--;
    enum err e = OK;
    if (n->outside == NULL) e = outside_new(n->env, n->memory, NULL, &n->outside, why);
    if (e == OK) e = env_random(n->env, &n->seed, sizeof n->seed);
    if (e) return e;
    n->external_url = mem_new(n->memory, size + 1);
    if (n->external_url == NULL) return ERR_NOMEM;
    n->external_url_bytes = size + 1;
    memcpy(n->external_url, url, size);
    n->config = mem_new(n->memory, sizeof *n->config);
    if (n->config == NULL) return ERR_NOMEM;
    n->config->memory = n->memory;
    n->config->refs = 1;
    buf_init(&n->config->external_text, n->memory, 1);
    return OK;
}

enum err
notifier_new(const struct notifier_options *options, struct notifier **ret_notifier,
             struct why *why)
{
    struct notifier *n = mem_new(options->memory, sizeof *n);
    if (n == NULL) {
        outside_free(options->outside);
        return why_set(why, ERR_NOMEM, "not enough memory for the notifier");
    }
    n->env = options->env;
    n->memory = options->memory;
    n->outside = options->outside;
    lock_init(&n->lock, LOCK_RANK_NOTIFY);
    enum err e = init(n, options, why);
    if (e == OK)
        *ret_notifier = n;
    else
        notifier_free(n);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for the notifier") : e;
}

/* Returns false when there was none. */
static bool
stop_retired(struct notifier *n)
{
    struct alertmanager *a = NULL;
    lock_take(&n->lock);
    if (n->retired_count > 0) a = n->retired[--n->retired_count];
    lock_drop(&n->lock);
    if (a == NULL) return false;
    alertmanager_stop(a);
    alertmanager_unref(a);
    return true;
}

void
notifier_free(struct notifier *n)
{
    if (n == NULL) return;
    requests_give_up(n, true);
    assert(n->requests == NULL);
    while (stop_retired(n)) {
    }
    for (uint32_t i = 0; n->config != NULL && i < n->config->count; i++)
        alertmanager_stop(n->config->items[i]);
    config_unref(n->config);
    mem_free(n->memory, n->retired, n->retired_capacity * sizeof(struct alertmanager *));
    outside_free(n->outside);
    mem_free(n->memory, n->external_url, n->external_url_bytes);
    lock_fini(&n->lock);
    mem_free(n->memory, n, sizeof *n);
}

/* --- steps ------------------------------------------------------------------------------------ */

static uint64_t
unlogged(const struct member *m)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < LOSS_COUNT; i++)
        sum += m->unlogged[i];
    return sum;
}

/* Logs a member and its dropped alerts. False: nothing is left to log. The last line has the
 * number of members that are not named. */
static bool
log_dropped_by_one(struct notifier *n, const struct notify_config *config, bool is_last)
{
    char url[LOG_VALUE_BYTES_MAX];
    uint64_t lost[LOSS_COUNT];
    uint32_t losers = 0;
    lock_take(&n->lock);
    struct member *m = NULL; /* the one with the most */
    for (uint32_t i = 0; i < config->count; i++) {
        const struct members *members = &config->items[i]->members;
        for (uint32_t k = 0; k < members->count; k++) {
            uint64_t dropped = unlogged(members->items[k]);
            losers += dropped > 0;
            if (dropped > (m == NULL ? 0 : unlogged(m))) m = members->items[k];
        }
    }
    if (m != NULL) {
        snprintf(url, sizeof url, "%s", m->url);
        memcpy(lost, m->unlogged, sizeof lost);
        memset(m->unlogged, 0, sizeof m->unlogged);
    }
    lock_drop(&n->lock);
    if (m == NULL) return false;
    log_warn("notify: alerts dropped, not sent to Alertmanager", KV("alertmanager", url),
             KV("queue_full", lost[LOSS_QUEUE_FULL]), KV("expired", lost[LOSS_EXPIRED]),
             KV("not_enough_memory", lost[LOSS_NO_MEMORY]), KV("too_large", lost[LOSS_TOO_LARGE]),
             KV("more_held_back", is_last ? losers - 1 : 0));
    return true;
}

/* Makes members of the targets that discoveries have found. */
static void
renew_members(struct notifier *n, const struct notify_config *config, struct alertmanager *a)
{
    struct members found;
    uint64_t held_back;
    if (!alertmanager_has_changed(a)) return;
    if (alertmanager_find(a, config->limits.queue_capacity, &found)) {
        if (log_often(&n->memory_gate, env_monotonic_ns(n->env), NOTIFY_LOG_AGAIN_S * NS_PER_S,
                      &held_back))
            log_warn("notify: not enough memory for the members of an Alertmanager, retrying");
        return;
    }
    lock_take(&n->lock);
    bool is_in_force = n->config == config;
    if (is_in_force) notifier_replace_members_locked(n, &a->members, &found);
    lock_drop(&n->lock);
    members_fini(&found);
    n->did_something = true;
    if (is_in_force) return;
    /* The next configuration looks again, if it has this Alertmanager. */
    for (uint32_t i = 0; i < a->discovery_count; i++)
        a->discoveries[i]->has_changed = true;
}

/*
 * Logs when an Alertmanager has alerts and no members, and when it has members again. At the start,
 * and while a name or a file changes, it may briefly have none, which is not logged. Returns when
 * to look again.
 */
static int64_t
watch_members(struct notifier *n, const struct notify_config *config, struct alertmanager *a)
{
    int64_t now_ns = env_monotonic_ns(n->env);
    lock_take(&n->lock);
    uint32_t count = a->members.count, dropped = a->members.dropped_count;
    if (count > 0) a->unaddressed = 0;
    uint64_t alerts = a->unaddressed;
    uint32_t others = 0;
    for (uint32_t i = 0; i < config->count; i++)
        others += config->items[i] == a ? 0 : config->items[i]->members.count;
    lock_drop(&n->lock);
    if (count > 0) {
        if (a->has_empty_line) {
            log_info("notify: Alertmanager has members again", KV("line", a->line),
                     KV("members", count));
        }
        a->has_empty_line = false;
        a->empty_since_ns = 0;
        return INT64_MAX;
    }
    if (alerts == 0 || a->has_empty_line) return INT64_MAX;
    if (a->empty_since_ns == 0) a->empty_since_ns = now_ns;
    int64_t due_ns = a->empty_since_ns + NOTIFY_LOOK_S * NS_PER_S;
    if (now_ns < due_ns) return due_ns;
    a->has_empty_line = true;
    log_warn("notify: Alertmanager has no members, alerts are not sent to it", KV("line", a->line),
             KV("alerts", alerts), KV("dropped_targets", dropped), KV("members_of_others", others));
    return INT64_MAX;
}

static int64_t
least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Returns the time of the next step. */
static int64_t
do_what_is_due(struct notifier *n, struct notify_config *config)
{
    int64_t due_ns = INT64_MAX;
    requests_give_up(n, false);
    while (stop_retired(n))
        n->did_something = true;
    for (uint32_t i = 0; i < config->count; i++) {
        struct alertmanager *a = config->items[i];
        a->line = config->shared->alerting.items[i].line; /* a reload may have moved it */
        due_ns = least(due_ns, alertmanager_step(a));
        renew_members(n, config, a);
        due_ns = least(due_ns, watch_members(n, config, a));
        due_ns = least(due_ns, requests_begin(n, config, a));
    }
    /* Members that are not named, because there are too many, keep their counts until they are
     * among those with the most. */
    int64_t now_ns = env_monotonic_ns(n->env);
    if (now_ns < n->dropped_look_ns) return due_ns;
    n->dropped_look_ns = now_ns + NOTIFY_LOG_AGAIN_S * NS_PER_S;
    for (unsigned i = 1; i <= NAMED_MAX && log_dropped_by_one(n, config, i == NAMED_MAX); i++) {
    }
    return due_ns;
}

void
notifier_step(struct notifier *n, int wait_ms)
{
    n->did_something = false;
    struct notify_config *config = notifier_config(n);
    int64_t due_ns = do_what_is_due(n, config);
    config_unref(config);
    int64_t left_ns = due_ns - env_monotonic_ns(n->env);
    if (due_ns != INT64_MAX && left_ns < wait_ms * NS_PER_MS)
        wait_ms = left_ns <= 0 ? 0 : (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS);
    if (n->did_something) wait_ms = 0;
    outside_poll(n->outside, wait_ms);
}

void
notifier_wake(struct notifier *n)
{
    outside_wake(n->outside);
}

bool
notifier_is_idle(struct notifier *n)
{
    bool is_idle = true;
    lock_take(&n->lock);
    for (uint32_t i = 0; i < n->config->count; i++) {
        const struct members *members = &n->config->items[i]->members;
        for (uint32_t k = 0; k < members->count; k++) {
            const struct member *member = members->items[k];
            is_idle &= member->state != MEMBER_SENDING && member->queue.waiting.count == 0;
        }
    }
    lock_drop(&n->lock);
    return is_idle;
}
