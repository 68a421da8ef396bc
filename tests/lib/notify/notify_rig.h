/*
 * notify_rig.h - a notifier on a simulated machine. Other machines answer as the test decides, on
 * the simulated clock. For tests, on one thread.
 */
#ifndef LIB_NOTIFY_NOTIFY_RIG_H
#define LIB_NOTIFY_NOTIFY_RIG_H

#include <stdio.h>
#include <stdlib.h>

#include "base/metric.h"
#include "lib/notify/notify_alerts.h"
#include "notify/notify_private.h"
#include "sys/sim.h"

enum { RIG_LIST_MAX = 8, RIG_TEXT_BYTES = 1 << 16, RIG_CALLS_MAX = 64 };

/* --- the rig ---------------------------------------------------------------------------------- */

/* A pending request or look-up, and its answer. */
struct fake_call {
    bool is_look_up;
    struct http_call request;
    struct http_call_answer answer;
    struct dns_answer found;
    int64_t after_ms; /* -1: never answered */
    int64_t due_ns;
};

/* The memory that the settings of an Alertmanager point to. */
struct rig_alertmanager {
    const char *targets[RIG_LIST_MAX], *pattern, *name;
    struct named_text target_labels[RIG_LIST_MAX];
    struct static_members members;
    struct file_members files;
    struct http_members http;
    struct dns_members dns;
    struct relabel_spec relabel[RIG_LIST_MAX], alert_relabel[RIG_LIST_MAX];
};

struct rig_settings {
    struct alertmanager_settings items[RIG_LIST_MAX];
    struct rig_alertmanager own[RIG_LIST_MAX];
    struct relabel_spec relabel[RIG_LIST_MAX];
    struct bytes sources[4 * RIG_LIST_MAX]; /* source labels of all relabelling */
    unsigned source_count;
};

struct notify_rig {
    struct outside outside; /* first */
    struct env *env;
    struct sim_env *sim;
    struct budget memory;
    struct notifier *notifier;
    struct notifier_limits limits;
    struct why why;
    bool has_fired; /* the allocation that was to fail has failed */

    /* The other machines. */
    void (*serve)(struct notify_rig *rig, struct fake_call *call); /* answers a request */
    void (*look)(struct notify_rig *rig);  /* called before time goes on; may be NULL */
    struct fake_call calls[RIG_CALLS_MAX]; /* pending */
    unsigned call_count;
    bool fails; /* starting a call fails */
    bool is_woken;

    /* Settings as the test makes them. */
    struct alerting alerting;
    struct rig_settings *made; /* the memory that the settings point to */
    struct rig_alertmanager *last;
    struct named_text external[RIG_LIST_MAX];
    struct named_texts external_labels;

    enum dns_record zone_type;
    struct dns_answer zone; /* answers of the name servers */
    struct dns_answer_record records[RIG_LIST_MAX];
    int64_t zone_after_ms;
    unsigned look_ups;
};

/* --- settings --------------------------------------------------------------------------------- */

/* Suspends failing allocations for the test itself; mem_fail_nth() with the result resumes them. */
uint64_t notify_rig_hold_failures(struct notify_rig *rig);

/* Begins settings without Alertmanagers. */
void notify_rig_begin_settings(struct notify_rig *rig);

/* Adds an Alertmanager without members; a member to the last Alertmanager. */
struct alertmanager_settings *notify_rig_add(struct notify_rig *rig);
void notify_rig_target(struct notify_rig *rig, const char *address);

/* --- the notifier ----------------------------------------------------------------------------- */

/* Make and free rig->notifier. */
enum err notify_rig_new(struct notify_rig *rig);
void notify_rig_end(struct notify_rig *rig);

/* Makes a rig with a notifier on a machine that the test owns. */
void notify_rig_init_on(struct notify_rig *rig, struct sim_env *sim,
                        void (*serve)(struct notify_rig *rig, struct fake_call *call));

void notify_rig_fini(struct notify_rig *rig);

/* Prepare the settings; prepare them and let them take effect. */
enum err notify_rig_prepare(struct notify_rig *rig, struct notifier_change **ret_change);
void notify_rig_start(struct notify_rig *rig);

/* Lets `ms` pass, with all that is due until the end of that time. */
void notify_rig_run(struct notify_rig *rig, int64_t ms);

/* Sends an alert that ends four minutes from now, with an annotation of this size. */
void notify_rig_fire(struct notify_rig *rig, const char *name, int64_t starts_ms,
                     size_t annotation_bytes);

#endif
