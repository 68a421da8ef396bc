/*
 * alert_notice.h - one alert as Alertmanagers are to know it: it fires, or was resolved.
 *
 *      rules/ evaluates --> array of struct alert_notice --> notify/ relabels, encodes, queues
 *
 * An evaluation makes the array, and the host of the rules passes it to notifier_send() as it is.
 * The texts and annotations are views of the rule and of its state; they are valid until the call
 * that passes the array returns. Receivers copy what they keep.
 */
#ifndef MODEL_ALERT_NOTICE_H
#define MODEL_ALERT_NOTICE_H

#include "model/labels.h"

struct alert_notice {
    struct bytes tenant;             /* tenant of the rule; empty if it has none */
    struct bytes labels;             /* canonical, alertname among them; without external labels */
    const struct label *annotations; /* expanded, in any order */
    uint32_t annotation_count;
    struct bytes expression; /* the rule's expression, as Prometheus prints it */
    int64_t starts_ns;       /* Unix: the time when the alert began to fire */
    /* Unix. For a resolved alert, the time of the resolution, at or before the evaluation. For a
     * firing one, a time in the future: Alertmanager resolves the alert then, unless a later notice
     * has a later end. */
    int64_t ends_ns;
};

#endif
