/*
 * notify.h - sends each alert to every member of every Alertmanager of the configuration.
 *
 *      notifier_send() --> alert relabelling --> queue of each member --> POST /api/v2/alerts
 *
 * A queue has at most one entry for an alert, its newest state, and is bounded; alerts beyond its
 * size are dropped from its front and counted, and are queued again when rules send them again. A
 * member that is down or slow delays neither others nor callers of notifier_send(): its queue is
 * retried after growing pauses, or as Retry-After says.
 *
 * Queues do not survive a restart: alerts (rules/) are sent again as long as they last.
 *
 * Threads: any thread may call notifier_send(), notifier_is_idle(), notifier_wake(),
 * notifier_print(), notifier_show_settings() and notifier_collect(); one thread calls
 * notifier_step(); the others are called by the thread that owns or, one at a time, reloads the
 * server. Only notifier_step() waits for the network, at most for its wait_ms.
 */
#ifndef NOTIFY_NOTIFY_H
#define NOTIFY_NOTIFY_H

#include "base/metric.h"
#include "base/text/json.h"
#include "model/alert_notice.h"
#include "notify/settings.h"
#include "sys/env.h"

struct notifier;
struct outside;
struct notifier_options {
    struct env *env;
    struct budget *memory;
    /* The beginning of generatorURL. "" or a path without a host: alerts have no generatorURL. */
    const char *external_url;
    /* Simulated machines, for tests. NULL: the network. Taken, also on an error. */
    struct outside *outside;
};
/* Limits that a reload may change. */
struct notifier_limits {
    uint32_t queue_capacity; /* alerts, of each member */
    uint32_t batch_size;     /* alerts of a request */
    /*
     * The longest pause of a failing member, at most 30 s; 0: 30 s. Retry-After may request twice
     * as much, or 30 s. The interval at which alerts are sent again is a good value: they are valid
     * for four times as long, and a member takes them for resolved after that.
     */
    int64_t pause_max_ms;
};

/* Makes a notifier without Alertmanagers. ERR_NOMEM. */
MUST_CHECK enum err notifier_new(const struct notifier_options *options,
                                 struct notifier **ret_notifier, struct why *why);
/* No other call may be running. Drops all queues. */
void notifier_free(struct notifier *notifier);

/*
 * Replaces the Alertmanagers, in two steps: the first does all that can fail, and changes nothing;
 * the second cannot fail. The settings are taken, also on an error; the rest is copied. Members
 * that stay keep their queues and counts. ERR_NOMEM, ERR_INPUT.
 */
struct notifier_change;
MUST_CHECK enum err notifier_prepare(struct notifier *notifier, struct alerting *settings,
                                     const struct named_texts *external_labels,
                                     const struct notifier_limits *limits,
                                     struct notifier_change **ret_change, struct why *why);
void notifier_commit(struct notifier_change *change);
/* Frees a change without committing it. NULL is fine. */
void notifier_abandon(struct notifier_change *change);

/* Queues copies of alerts. If memory is short they are dropped and counted. */
void notifier_send(struct notifier *notifier, const struct alert_notice *notices, uint32_t count);

/* Runs discoveries and requests that are due, and handles answers. Returns when something was
 * done, when notifier_wake() was called, or after `wait_ms`. */
void notifier_step(struct notifier *notifier, int wait_ms);
void notifier_wake(struct notifier *notifier);
/* Returns true if nothing is queued or pending, for a stop that briefly waits for that. */
bool notifier_is_idle(struct notifier *notifier);

/* Writes the members "activeAlertmanagers" and "droppedAlertmanagers" of the open object. */
void notifier_print(struct notifier *notifier, struct json *to);
/* Calls `show` with the current settings, without a lock. */
void notifier_show_settings(struct notifier *notifier,
                            void (*show)(void *context, const struct alerting *alerting),
                            void *context);
/* For a metric_collector, whose context is the notifier. */
void notifier_collect(struct metric_sink *sink, void *notifier);

#endif
