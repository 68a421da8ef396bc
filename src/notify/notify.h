/*
 * notify.h - tells Alertmanagers about alerts: each alert to every member of every Alertmanager
 * that is configured.
 *
 *      notifier_send() --> alert relabelling --> queue of each member --> POST /api/v2/alerts
 *
 * A queue has at most one entry for an alert, its newest state, and is bounded; what does not fit
 * any more is dropped from its front, counted, and comes again when the alert is sent again. A
 * member that is down or slow delays no other and nobody who calls notifier_send(): its queue is
 * tried again, later and later, and as Retry-After says.
 *
 * Nothing is kept over a restart: what is due follows from the state of alerts (rules/), which are
 * sent again as long as they last.
 *
 * Threads: notifier_send(), notifier_is_idle(), notifier_wake() and those that show something from
 * any; notifier_step() from one; the others from the one that owns the server or, one at a time,
 * reloads it. No call waits for the network but notifier_step(), for as long as it is told.
 */
#ifndef NOTIFY_NOTIFY_H
#define NOTIFY_NOTIFY_H

#include "base/json.h"
#include "base/metric.h"
#include "model/alert_notice.h"
#include "notify/settings.h"
#include "sys/env.h"

struct notifier;
struct outside;
struct notifier_options {
    struct env *env;
    struct budget *memory;
    /* What generatorURL begins with. "", or a path without a host: not known, and there is none. */
    const char *external_url;
    /* Other machines, for tests. NULL: the network. Taken, also on an error. */
    struct outside *outside;
};
/* What a reload may change, besides the Alertmanagers. */
struct notifier_limits {
    uint32_t queue_capacity; /* alerts, of each member */
    uint32_t batch_size;     /* of a request */
    /* The longest pause of a member that fails; 0, or more than 30 s: 30 s. Twice as long, or 30 s,
     * is one that it asks for. As often as alerts are sent again is right: they are valid for four
     * times as long, and a member that is back takes for resolved what it was told of before. */
    int64_t pause_max_ms;
};

/* Without Alertmanagers yet. ERR_NOMEM. */
MUST_CHECK enum err notifier_new(const struct notifier_options *options,
                                 struct notifier **ret_notifier, struct why *why);
/* No other call is under way. What is in queues is given up. */
void notifier_free(struct notifier *notifier);

/*
 * Makes it these Alertmanagers, in two steps: the first makes all that can fail, and changes
 * nothing; the second cannot fail. The settings are taken, also on an error; the rest is copied.
 * Members that are as they were keep their queues and counts.   ERR_NOMEM, ERR_INPUT.
 */
struct notifier_change;
MUST_CHECK enum err notifier_prepare(struct notifier *notifier, struct alerting *settings,
                                     const struct named_texts *external_labels,
                                     const struct notifier_limits *limits,
                                     struct notifier_change **ret_change, struct why *why);
void notifier_commit(struct notifier_change *change);
/* Instead. NULL is fine. */
void notifier_abandon(struct notifier_change *change);

/* Everything is copied. What cannot be queued for lack of memory is dropped, and counted. */
void notifier_send(struct notifier *notifier, const struct alert_notice *notices, uint32_t count);

/*
 * Does what is due: discovery, requests, their answers. Returns when something was done, when
 * notifier_wake() was called, or after `wait_ms`.
 */
void notifier_step(struct notifier *notifier, int wait_ms);
void notifier_wake(struct notifier *notifier);
/* Whether anything is queued or under way, for a stop that waits a moment for it. */
bool notifier_is_idle(struct notifier *notifier);

/* The members "activeAlertmanagers" and "droppedAlertmanagers" of the object that is open. */
void notifier_print(struct notifier *notifier, struct json *to);
/* Calls `show` with the settings in force, without a lock: for whoever prints them. */
void notifier_show_settings(struct notifier *notifier,
                            void (*show)(void *context, const struct alerting *alerting),
                            void *context);
/* For a metric_collector, whose context is the notifier. */
void notifier_collect(struct metric_sink *sink, void *notifier);

#endif
