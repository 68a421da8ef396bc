/*
 * alerts.h - the alerts of one rule, and their states.
 *
 *      found --> pending --- for has passed --> firing --- not found, and keep_firing_for is over
 *                |    ^                                                |
 *                |    +------------------ found ------------------ resolved
 *           not found                                                  |
 *                v                                                15 minutes
 *            forgotten <-----------------------------------------------+
 *
 * The rules are Prometheus'. Resolved alerts are kept so that they can be sent again to an
 * Alertmanager that missed them.
 *
 * Times are Unix nanoseconds, 0: never. Threads: the owner's.
 */
#ifndef RULES_GROUP_ALERTS_H
#define RULES_GROUP_ALERTS_H

#include "base/table.h"
#include "model/labels.h"
#include "sys/env.h"

/* Duration for which resolved alerts are sent again, as in Prometheus; an evaluation exactly at the
 * end still sends them. */
#define ALERT_RESOLVED_KEPT_NS (15 * 60 * NS_PER_S)

enum alert_state { ALERT_INACTIVE, ALERT_PENDING, ALERT_FIRING };
/* Returns "inactive", "pending" or "firing". */
const char *alert_state_word(enum alert_state state);

/* Annotations, with their texts in the same piece of memory. */
struct alert_annotations {
    size_t bytes; /* size of the piece */
    uint32_t count;
    struct label items[];
};

struct alert {
    struct bytes labels; /* canonical, includes alertname */
    uint64_t hash;
    struct alert_annotations *annotations; /* from the last evaluation that found the alert */
    uint64_t value_bits;                   /* value of that evaluation */
    enum alert_state state;
    int64_t active_at_ns;
    int64_t fired_at_ns;
    int64_t resolved_at_ns;
    int64_t keep_firing_since_ns;
    int64_t sent_at_ns;     /* time of the last notification */
    int64_t valid_until_ns; /* end that the last notification gave */
    uint64_t found_in;      /* number of the last evaluation that found it */
    size_t bytes;           /* memory of the alert */
};

struct alerts {
    struct budget *budget;
    uint64_t seed; /* seed of hashes; secret */
    struct alert **items;
    uint32_t count, capacity;
    struct table table; /* index of items, by the hash of their labels */
    uint64_t evaluations;
};

/* Initializes without taking memory. */
void alerts_init(struct alerts *alerts, struct budget *budget, uint64_t seed);
void alerts_fini(struct alerts *alerts);

/* One result of the expression, with labels and annotations expanded. */
struct alert_found {
    struct bytes labels;
    const struct label *annotations;
    uint32_t annotation_count;
    uint64_t value_bits;
};

/* Labels, annotations and value as the last evaluation found them: views of the alert. */
static inline struct alert_found
alert_last_found(const struct alert *alert)
{
    const struct alert_annotations *a = alert->annotations;
    return (struct alert_found){alert->labels, a->items, a->count, alert->value_bits};
}

struct alert_terms {
    int64_t for_ns;
    int64_t keep_firing_ns;
    uint32_t limit; /* limit of active alerts; 0: no limit */
    /* The rule's input is incomplete: alerts that are not found keep their state, and pending ones
     * do not begin to fire. */
    bool holds;
    /* An outage before this evaluation, since the last one: it does not count towards for_ns, but
     * pending alerts do not fire before grace_ns have passed, unless for_ns is less than that. 0:
     * no outage. */
    int64_t outage_ns, grace_ns;
};

/* Moves all alerts on by one evaluation that found these results, which are copied and have
 * different labels. ERR_NOMEM: nothing changed. ERR_LIMIT: more alerts are active than allowed,
 * *ret_active of them; as in Prometheus, all are forgotten. *ret_changed is set if an alert became
 * pending, firing or inactive. */
MUST_CHECK enum err alerts_evaluate(struct alerts *alerts, const struct alert_terms *terms,
                                    int64_t at_ns, const struct alert_found *found, uint32_t count,
                                    uint32_t *ret_active, bool *ret_changed);

/* Forgets alerts that were resolved more than 15 minutes ago. Called before each evaluation, which
 * may need their memory. */
void alerts_forget_over(struct alerts *alerts, int64_t at_ns);

/* Adds a copy of an alert from an earlier run of the server, unless its labels exist. ERR_NOMEM. */
MUST_CHECK enum err alerts_restore(struct alerts *alerts, const struct alert *as_it_was,
                                   const struct alert_found *found);

/* Returns the alert with these labels; NULL if not found. */
struct alert *alerts_find(const struct alerts *alerts, struct bytes labels);

/* Says whether the alert is pending or firing. */
static inline bool
alert_is_active(const struct alert *alert)
{
    return alert->state != ALERT_INACTIVE;
}

/* Says whether the times of the alert fit its state. */
static inline bool
alert_is_consistent(const struct alert *alert)
{
    if (alert->state == ALERT_INACTIVE) return alert->resolved_at_ns != 0;
    if (alert->resolved_at_ns != 0) return false;
    return alert->state == ALERT_FIRING || (alert->fired_at_ns == 0 && alert->sent_at_ns == 0);
}

/*
 * Says whether an alert has to be sent at `at_ns`: it fires or was resolved, and that is new, was
 * sent `resend_ns` ago or earlier, or ends early.
 */
bool alert_is_due(const struct alert *alert, int64_t at_ns, int64_t interval_ns, int64_t resend_ns);

#endif
