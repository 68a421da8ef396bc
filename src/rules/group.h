/*
 * group.h - a group of rules at work: what one evaluation of it does, and the state that the next
 * one finds.
 *
 *      view --> expression --> labels of the rule --> samples --> host: write --> settle
 *                                  |                                                |
 *                                  +--> alerts: pending, firing, resolved -----> host: send
 *
 * Rules of a group are evaluated in their order. Those next to each other that neither read nor
 * write what another of them writes form a batch: they read one view, and may run together. What a
 * batch wrote is durable before the next one begins, so that it can be read.
 *
 * Threads: one at a time evaluates the alerting rules of a group or sends its alerts, one at a time
 * evaluates its recording rules, live or in a replay; group_print(), group_print_alerts(),
 * group_answers() and group_facts() from any.
 */
#ifndef RULES_GROUP_H
#define RULES_GROUP_H

#include "base/json.h"
#include "model/alert_notice.h"
#include "promql/promql.h"
#include "rules/alerts.h"
#include "rules/kept_series.h"
#include "rules/rules.h"
#include "rules/schedule.h"

/* --- what a group needs of others ------------------------------------------------------------- */

/* The fate of a message. */
struct rules_written {
    uint64_t ticket;    /* for settle(); 0: there is nothing to wait for */
    uint64_t rejected;  /* samples */
    uint64_t conflicts; /* of these: another value is stored at the same time */
    char text[256];     /* why, of the rejected */
};

/* When samples of senders came, of one tenant. Monotonic ns, 0: none did since the start. */
struct rules_arrivals {
    int64_t recent_ns; /* the last one whose time was within the last minute */
    int64_t late_ns;   /* the last one whose time was one of those that are late */
    int64_t sent_ms;   /* Unix: the last one of any time; 0: none */
};

/* Callbacks come from the threads that evaluate, under no lock. */
struct rules_host {
    struct env *env;
    struct budget *memory;
    uint64_t seed;                        /* of hashes; secret */
    const struct promql_helpers *helpers; /* NULL: there are none */
    const _Atomic(const char *) *all_canceled;
    /* Judges a remote write 1.0 message of a tenant. An error: nothing of it is stored. */
    enum err (*write)(void *context, struct bytes tenant, struct bytes message,
                      struct rules_written *ret, struct why *why);
    /* Waits until what was written with this ticket, and all before, is durable. An error: nothing
     * of it is; ERR_CANCELED: that takes too long, and it may yet become so. */
    enum err (*settle)(void *context, uint64_t ticket, struct why *why);
    /* Takes alerts that are due, at least one. Does not wait. NULL: alerts are not sent. */
    void (*send)(void *context, const struct alert_notice *notices, uint32_t count);
    /* Calls work(of, 0) to work(of, count - 1), perhaps on several threads, and waits for all.
     * NULL: they are called one after the other. */
    void (*together)(void *context, uint32_t count, void (*work)(void *of, uint32_t i), void *of);
    /* The rest is for schedulers, see scheduler.h.
     * Waits until all that was settled is on stable storage, and replaces the checkpoint. NULL:
     * there is none, and alerts are sent without. */
    enum err (*save)(void *context, struct bytes file, struct why *why);
    /* Says why the store takes no writes now, also none of senders; NULL: it does. */
    const char *(*refuses)(void *context);
    /* Says when samples came from senders. watch(): from now on those of these times are late. */
    void (*arrivals)(void *context, struct bytes tenant, struct rules_arrivals *ret);
    void (*watch)(void *context, struct time_range late);
    /* The id of the log, CHECKPOINT_LOG_ID_BYTES; NULL: there is none yet. */
    const uint8_t *(*log_id)(void *context);
    uint32_t fills_max; /* fills that may run at once */
    void *context;
};

/* Settings that a reload may change; borrowed for one evaluation. */
struct rules_terms {
    enum err (*open)(void *context, struct query_control *control, struct view **ret_view,
                     struct why *why);
    void *open_context;
    int64_t resend_ns;
    const struct label *external_labels;
    uint32_t external_count;
    struct bytes external_url;
    /* Limits of each query; 0 means no limit. */
    int64_t timeout_ns;
    int64_t lookback_ms;
    int64_t subquery_step_ms; /* of subqueries that give none; 0: a minute */
    uint64_t held_max, series_max, samples_read_max, bytes_max;
    struct promql_features features;
};

/* --- groups ----------------------------------------------------------------------------------- */

struct group;

/* For what the text of a group does not say. */
struct group_defaults {
    int64_t interval_ms;
    int64_t query_offset_ms;
};
/* The text is copied. ERR_NOMEM; ERR_INPUT: an expression cannot be parsed. */
MUST_CHECK enum err group_new(const struct rules_host *host, struct bytes tenant,
                              const struct rule_group *text, const struct group_defaults *defaults,
                              struct group **ret_group, struct why *why);
/*
 * For the state of a group of which the text is not known; it is never evaluated. group_add_state()
 * adds a rule that has alerts, which are put into *ret_alerts before the next call: its labels are
 * sorted by name, and it is the one with this number among those with its name and labels.
 * ERR_NOMEM.
 */
MUST_CHECK enum err group_of_state(const struct rules_host *host, struct bytes tenant,
                                   struct bytes file, struct bytes name, int64_t interval_ns,
                                   struct group **ret_group);
MUST_CHECK enum err group_add_state(struct group *group, struct bytes name,
                                    const struct label *labels, uint32_t count, uint32_t nth,
                                    struct alerts **ret_alerts);
/* Nothing of it is used any more. NULL is fine. */
void group_free(struct group *group);

struct bytes group_tenant(const struct group *group);
const struct rule_group *group_text(const struct group *group);
const struct schedule *group_schedule(const struct group *group);
/* Says whether group_new() would make the same group of these. */
bool group_is(const struct group *group, struct bytes tenant, const struct rule_group *text,
              const struct group_defaults *defaults);
/* Says whether it has recording rules. */
bool group_records(const struct group *group);

/*
 * Takes over from the group that it replaces: its facts, and the series that rules with the same
 * name and labels wrote last. The rest stays with the other group.
 */
void group_take_over(struct group *group, struct group *from);
/* Takes from the group that it replaces alerts for rules that have none: of rules with the same
 * name and labels, which keep their order. False: there were none. */
bool group_take_alerts(struct group *group, struct group *from);
/* The same for one rule of any group: from the first rule with its name and labels that has alerts.
 * Such rules have the same hash in all groups. */
bool group_take_rule_alerts(struct group *group, uint32_t rule, struct group *from);
uint64_t group_rule_hash(const struct group *group, uint32_t rule);

/*
 * For a group that is no more, or rules of it: adds what they wrote last and none of `others` does,
 * all of the same tenant. ERR_NOMEM. group_mark_stale() writes a staleness marker for each; errors
 * of the host.
 */
MUST_CHECK enum err group_find_ended(struct group *group, struct group *const *others,
                                     uint32_t count, struct kept_series *to);
MUST_CHECK enum err group_mark_stale(const struct group *group, const struct rules_host *host,
                                     const struct kept_series *ended, int64_t at_ns);
/* The names under which it records. ERR_NOMEM. */
MUST_CHECK enum err group_add_names(const struct group *group, struct kept_series *names);
/* Says whether any of its selectors may read series of such names. Names are compared with
 * selectors that give none at most `tries` times, which is counted down; then these are taken to
 * read some. */
bool group_reads_any(const struct group *group, const struct kept_series *names, uint32_t *tries);
bool group_alarms(const struct group *group); /* it has alerting rules */

enum group_part { GROUP_ALL, GROUP_RECORDING, GROUP_ALERTING };

struct group_evaluation {
    int64_t at_ns; /* its time, of the schedule */
    enum group_part part;
    bool holds;        /* see struct alert_terms; so are the next two */
    int64_t outage_ns; /* 0: there was none */
    int64_t grace_ns;
    bool is_unsaved;  /* a change before it is not in a checkpoint: no alerts are sent */
    bool is_repeated; /* it may have been made before: what was stored then stays */
};

struct group_outcome {
    bool stored; /* the results of recording rules are durable */
    bool
        has_changed; /* an alert began to be pending or to fire, or was over: alerts are not sent */
    uint64_t samples; /* results, without staleness markers */
    uint32_t failed;  /* rules */
};

/* Failures of rules are kept and logged, and do not end the evaluation. Sends what is due of
 * alerts, unless the state of one has changed: then group_send() is the caller's. */
void group_evaluate(struct group *group, const struct rules_host *host,
                    const struct rules_terms *terms, const struct group_evaluation *evaluation,
                    struct group_outcome *ret);
/* Sends the alerts that are due at `at_ns`, as the last evaluation left them. */
void group_send(struct group *group, const struct rules_host *host, const struct rules_terms *terms,
                int64_t at_ns);

/* --- looking ---------------------------------------------------------------------------------- */

struct group_facts {
    const char *file, *name;
    uint32_t rules;
    int64_t interval_ns;
    int64_t evaluated_at_ns; /* Unix, when the last evaluation began; 0: none yet */
    int64_t evaluated_for_ns;
    int64_t restored_for_ns; /* what the last restoring of alerts took */
    int64_t rules_took_ns;   /* of it, all rules together */
    uint64_t samples;        /* of it */
    uint64_t evaluations;    /* of rules, in all */
    uint64_t failures;
    uint64_t iterations; /* of the group */
    uint64_t missed;
};
void group_facts(struct group *group, struct group_facts *ret);
/* Histograms of what evaluations of all rules and groups take, for /metrics. */
void group_register_metrics(void);
void group_note_restored(struct group *group, int64_t took_ns);
void group_count_missed(struct group *group, uint64_t missed);

/* The part of a question to /api/v1/rules that concerns one group. */
struct group_question {
    bool alerting, recording; /* rules of these kinds */
    struct text_list names;   /* of rules; none: all */
    /* Any of these sets holds for the labels of the rule; of none, all. */
    const struct matcher_set *sets;
    uint32_t set_count;
    bool without_alerts;
};
/* A question to /api/v1/rules; `tenant` as requests name it. */
struct rules_question {
    struct bytes tenant;
    struct group_question of_group;
    struct text_list groups; /* by their names; none: all */
    struct text_list files;
    uint64_t group_limit;    /* 0: none */
    struct bytes next_token; /* empty: from the first on */
};
/* Says whether the question leaves any rule of the group. */
bool group_answers(struct group *group, const struct group_question *question);
/* An object. False: the question leaves no rule, and nothing was put. */
bool group_print(struct group *group, const struct group_question *question, struct json *to);
/* Its active alerts, each an object of the array that is open. */
void group_print_alerts(struct group *group, struct json *to);

/* For who evaluates it: why the last evaluation of a rule failed, a view until the next one; empty:
 * it did not. */
struct bytes group_rule_error(struct group *group, uint32_t rule);
/* The same: calls `each` with the alerts of a rule, those that are resolved included. */
void group_each_alert(struct group *group, uint32_t rule,
                      void (*each)(void *context, const struct alert *alert), void *context);

#endif
