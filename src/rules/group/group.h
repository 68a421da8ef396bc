/*
 * group.h - a group of rules: one evaluation, and the state between two evaluations.
 *
 *      view --> expression --> labels of the rule --> samples --> host: write --> settle
 *                                  |                                                |
 *                                  +--> alerts: pending, firing, resolved -----> host: send
 *
 * Rules of a group are evaluated in their order. Neighbours that neither read nor write what
 * another of them writes form a batch: they read one view, and may run together. Samples of a batch
 * are durable before the next one begins, so that it can read them.
 *
 * Threads: one at a time evaluates the alerting rules of a group or sends its alerts, one at a time
 * evaluates its recording rules, live or in a replay; group_print(), group_print_alerts(),
 * group_answers() and group_facts() from any.
 */
#ifndef RULES_GROUP_GROUP_H
#define RULES_GROUP_GROUP_H

#include "base/lock.h"
#include "base/mem.h"
#include "base/text/json.h"
#include "model/alert_notice.h"
#include "model/select.h"
#include "promql/promql.h"
#include "rules/group/alerts.h"
#include "rules/group/kept_series.h"
#include "rules/rules.h"

/* --- schedules -------------------------------------------------------------------------------- */

/*
 * The times at which a group is evaluated.
 *
 * They are multiples of its interval, shifted by a hash of its file and name. So groups are spread
 * over the interval, and every server with the same files evaluates them at the same times. The
 * hash is Prometheus', and so are the times. Each time has a number, its slot.
 *
 *      | shift |     interval      |     interval      |
 *      0       slot 0              slot 1              slot 2
 *
 * Threads: pure.
 */

struct schedule {
    int64_t interval_ns; /* above 0 */
    int64_t shift_ns;    /* below the interval */
};

/* Finds the schedule of a group. ERR_NOMEM. */
MUST_CHECK enum err schedule_of(const char *file, const char *name, int64_t interval_ns,
                                struct schedule *ret);
/* Returns the last slot at or before a time (Unix, not negative); -1 before slot 0. */
int64_t schedule_slot(const struct schedule *schedule, int64_t now_ns);
/* Returns the Unix time of a slot. */
int64_t schedule_time_ns(const struct schedule *schedule, int64_t slot);

/* --- the host of a group ---------------------------------------------------------------------- */

/* The result of handing a message to the host. */
struct rules_written {
    uint64_t ticket;    /* for settle(); 0 if nothing was written */
    uint64_t rejected;  /* number of samples that were refused */
    uint64_t conflicts; /* refused samples because another value is stored at their time */
    char text[256];     /* reason of the first refusal */
};

/* Arrivals of samples of senders, per tenant. Monotonic ns; 0: no such sample since the start. */
struct rules_arrivals {
    int64_t recent_ns; /* last arrival of a sample whose time was within the last minute */
    int64_t late_ns;   /* last arrival of a sample whose time is in the watched range */
    int64_t sent_ms;   /* Unix time of the last arrival; 0 if unknown */
};

/* The server as groups see it. Threads that run jobs make the calls, without locks. */
struct rules_host {
    struct env *env;
    struct budget *memory;
    uint64_t seed; /* seed of hashes; secret, so that clients cannot make them collide */
    const struct promql_helpers *helpers; /* NULL if queries use one thread */
    const _Atomic(const char *) *all_canceled;
    /* Ingests a remote write 1.0 message of a tenant. After an error nothing of it is stored. */
    enum err (*write)(void *context, struct bytes tenant, struct bytes message,
                      struct rules_written *ret, struct why *why);
    /* Waits until everything written up to this ticket is durable. After an error nothing of it is
     * durable; ERR_CANCELED: it took too long, and may still become durable. */
    enum err (*settle)(void *context, uint64_t ticket, struct why *why);
    /* Queues alerts for Alertmanagers, at least one; does not wait. NULL if alerts are not sent. */
    void (*send)(void *context, const struct alert_notice *notices, uint32_t count);
    /* Calls work(of, 0) to work(of, count - 1), perhaps on several threads, and waits for all.
     * NULL: the caller calls them one by one. */
    void (*together)(void *context, uint32_t count, void (*work)(void *of, uint32_t i), void *of);
    /* The rest is for scheduler.h. Waits until everything settled is on stable storage, then
     * replaces the checkpoint. NULL if no checkpoint is kept: alerts are sent without one. */
    enum err (*save)(void *context, struct bytes file, struct why *why);
    /* Returns the reason why the store refuses writes, also of senders; NULL if it accepts them. */
    const char *(*refuses)(void *context);
    /* Returns arrivals of samples of senders. watch() sets the range of times that `late_ns` is
     * about. */
    void (*arrivals)(void *context, struct bytes tenant, struct rules_arrivals *ret);
    void (*watch)(void *context, struct time_range late);
    /* Returns the id of the log, CHECKPOINT_LOG_ID_BYTES; NULL before the first write. */
    const uint8_t *(*log_id)(void *context);
    uint32_t fills_max; /* fills that may run at once */
    void *context;
};

/* Settings that a reload may change; borrowed for one evaluation. */
struct rules_terms {
    enum err (*open)(void *context, struct query_control *control, struct view **ret_view,
                     struct why *why);
    void *open_context;
    /* Gets open_context, and warnings about data that the answers lack, some more than once. May be
     * NULL. */
    void (*warn)(void *context, const char *sentence);
    struct usage *usage; /* counts the metrics that rules ask for; may be NULL */
    int64_t resend_ns;
    const struct label *external_labels;
    uint32_t external_count;
    struct bytes external_url;
    /* Limits of each query; 0 means no limit. */
    int64_t timeout_ns;
    int64_t lookback_ms;
    int64_t subquery_step_ms; /* default step of subqueries; 0: a minute */
    uint64_t held_max, series_max, samples_read_max, bytes_max, fetched_max;
    struct promql_features features;
};

/* --- groups ----------------------------------------------------------------------------------- */

struct group;

/* Defaults of settings that the text of a group omits. */
struct group_defaults {
    int64_t interval_ms;
    int64_t query_offset_ms;
};
/* Makes a group; copies the text. ERR_NOMEM; ERR_INPUT: an expression cannot be parsed. */
MUST_CHECK enum err group_new(const struct rules_host *host, struct bytes tenant,
                              const struct rule_group *text, const struct group_defaults *defaults,
                              struct group **ret_group, struct why *why);
/* Makes a group that holds state without a known text; it is never evaluated. group_add_state()
 * adds an alerting rule: its labels are sorted by name, and `nth` is its number among the rules
 * with its name and labels. The caller puts its alerts into *ret_alerts before the next call.
 * ERR_NOMEM. */
MUST_CHECK enum err group_of_state(const struct rules_host *host, struct bytes tenant,
                                   struct bytes file, struct bytes name, int64_t interval_ns,
                                   struct group **ret_group);
MUST_CHECK enum err group_add_state(struct group *group, struct bytes name,
                                    const struct label *labels, uint32_t count, uint32_t nth,
                                    struct alerts **ret_alerts);
/* Frees a group that no thread uses. Accepts NULL. */
void group_free(struct group *group);

/* Says whether group_new() would make the same group of these arguments. */
bool group_is(const struct group *group, struct bytes tenant, const struct rule_group *text,
              const struct group_defaults *defaults);

/* Takes facts from the group that this one replaces, and the series that rules with the same name
 * and labels wrote last. The rest stays with the other group. */
void group_take_over(struct group *group, struct group *from);
/* Moves alerts from rules of `from` to rules with the same name and labels, in their order, that
 * have no alerts. Returns false if none was moved. */
bool group_take_alerts(struct group *group, struct group *from);
/* Takes alerts for one rule from the first rule of any group with its name and labels that has
 * alerts. Such rules have the same hash in all groups. */
bool group_take_rule_alerts(struct group *group, uint32_t rule, struct group *from);
uint64_t group_rule_hash(const struct group *group, uint32_t rule);

/* Adds the series that a retired group wrote last and none of `others`, of the same tenant, writes.
 * ERR_NOMEM. group_mark_stale() writes a staleness marker for each of them; errors of the host. */
MUST_CHECK enum err group_find_ended(struct group *group, struct group *const *others,
                                     uint32_t count, struct kept_series *to);
MUST_CHECK enum err group_mark_stale(const struct group *group, const struct rules_host *host,
                                     const struct kept_series *ended, int64_t at_ns);

enum group_part { GROUP_ALL, GROUP_RECORDING, GROUP_ALERTING };

struct group_evaluation {
    int64_t at_ns; /* time of the schedule */
    enum group_part part;
    bool holds;        /* this field and the next two: see struct alert_terms */
    int64_t outage_ns; /* 0: no outage */
    int64_t grace_ns;
    bool is_unsaved;  /* an earlier change of an alert is in no checkpoint: alerts are not sent */
    bool is_repeated; /* the evaluation may be a repetition: stored values stay, which is not a
                         failure */
};

struct group_outcome {
    bool stored;      /* the results of recording rules are durable */
    bool has_changed; /* an alert became pending, firing or inactive: alerts were not sent */
    uint64_t samples; /* results, without staleness markers */
    uint32_t failed;  /* number of rules that failed */
};

/* Evaluates rules of the group. A failure is logged and kept as the rule's health; other rules go
 * on. Sends alerts that are due, unless the state of one has changed: then the caller saves a
 * checkpoint and calls group_send(). */
void group_evaluate(struct group *group, const struct rules_host *host,
                    const struct rules_terms *terms, const struct group_evaluation *evaluation,
                    struct group_outcome *ret);
/* Sends the alerts that are due at `at_ns`, as the last evaluation left them. */
void group_send(struct group *group, const struct rules_host *host, const struct rules_terms *terms,
                int64_t at_ns);

/* --- queries ---------------------------------------------------------------------------------- */

struct group_facts {
    const char *file, *name;
    uint32_t rules;
    int64_t interval_ns;
    int64_t evaluated_at_ns; /* Unix time at which the last evaluation began; 0 before the first */
    int64_t evaluated_for_ns;
    int64_t restored_for_ns; /* duration of restoring alerts from the store */
    int64_t rules_took_ns;   /* sum over the rules of the last evaluation */
    uint64_t samples;        /* results of the last evaluation */
    uint64_t evaluations;    /* evaluations of rules, in total */
    uint64_t failures;
    uint64_t iterations; /* evaluations of the group */
    uint64_t missed;
};
void group_facts(struct group *group, struct group_facts *ret);
/* Registers histograms of the durations of evaluations, for /metrics. */
void group_register_metrics(void);

/* The part of a request to /api/v1/rules that concerns one group. */
struct group_question {
    bool alerting, recording; /* include rules of these kinds */
    struct text_list names;   /* names of rules; empty: all */
    /* A rule is included if its labels match any of these sets, or if there are no sets. */
    const struct matcher_set *sets;
    uint32_t set_count;
    bool without_alerts;
    /* If not NULL, only alerting rules with a permitted active alert are included, without their
     * texts and without what depends on other series; `sets` select as if rules had no labels. */
    const struct permitted *permitted;
};
/* A request to /api/v1/rules; `tenant` as requests name it. */
struct rules_question {
    struct bytes tenant;
    struct group_question of_group;
    struct text_list groups; /* names of groups; empty: all */
    struct text_list files;
    uint64_t group_limit;    /* 0: no limit */
    struct bytes next_token; /* empty: begin with the first group */
};
/* Says whether the request includes any rule of the group. */
bool group_answers(struct group *group, const struct group_question *question);
/* Prints the group as an object. False: no rule is included, and nothing was printed. */
bool group_print(struct group *group, const struct group_question *question, struct json *to);
/* Prints active alerts whose labels are permitted, or all of them if it is NULL, as objects of the
 * open array. */
void group_print_alerts(struct group *group, const struct permitted *permitted, struct json *to);

/* Returns the reason why the last evaluation of a rule failed, a view that ends with the next one;
 * empty if it succeeded. Called by the evaluating thread. */
struct bytes group_rule_error(struct group *group, uint32_t rule);
/* Calls `each` for the alerts of a rule, also resolved ones. Called by the evaluating thread. */
void group_each_alert(struct group *group, uint32_t rule,
                      void (*each)(void *context, const struct alert *alert), void *context);

/* --- recorded sets, for the folders of rules/ ------------------------------------------------- */

/*
 * Sets of series that recording rules write, each identified by the labels that its
 * rules set, including the name; finds the sets that a selector may select.
 */

struct recorded_list {
    uint32_t first, count; /* first link, NONE if the list is empty; number of links */
};

struct recorded {
    struct kept_series sets; /* canonical labels */
    struct kept_series keys; /* keys of lists: empty; name; name and label; name, label and value */
    struct recorded_list *lists;
    struct recorded_link *links;
    uint32_t link_count, list_capacity, link_capacity;
    struct buf key;
};

/* Initializes without taking memory. */
void recorded_init(struct recorded *recorded, struct budget *budget, uint64_t seed);
void recorded_fini(struct recorded *recorded);
/* Adds the set with these canonical labels unless it exists. *ret_index: its number; *ret_new: it
 * was added. ERR_NOMEM. */
MUST_CHECK enum err recorded_add(struct recorded *recorded, struct bytes labels,
                                 uint32_t *ret_index, bool *ret_new);

/*
 * Steps through the sets of which a selector may select series:
 *     for (at = recorded_first(r, set); recorded_next(r, set, &at, &tries, &index);)
 * `tries` decreases with each compared set; at 0, RECORDED_ANY ends the walk.
 */
enum { RECORDED_ANY = UINT32_MAX };
uint32_t recorded_first(struct recorded *recorded, const struct matcher_set *set);
bool recorded_next(const struct recorded *recorded, const struct matcher_set *set, uint32_t *at,
                   uint32_t *tries, uint32_t *ret_index);

/* --- the state of a group and its rules, for the folders of rules/ ---------------------------- */

enum rule_health { RULE_UNKNOWN, RULE_GOOD, RULE_BAD };
enum { RULE_ERROR_BYTES_MAX = 4096 };

/* A rule, and the state left by its last evaluation. */
struct rule_at_work {
    const struct rule *text;
    struct promql_tree *tree;
    struct bytes line;    /* the expression as Prometheus prints it */
    struct label *labels; /* labels of the rule and of the group, sorted by name */
    uint32_t label_count;
    struct label *over; /* the same labels and a recording rule's __name__, sorted */
    uint32_t over_count;
    /* Canonical labels that all series written by the rule have: [0] of a recording rule; ALERTS
     * and ALERTS_FOR_STATE of an alerting rule. */
    struct bytes writes[2];
    int64_t said_ns; /* monotonic time at which a failure was last logged; evaluating thread only */
    bool warns;      /* a warning about its results was logged; evaluating thread only */
    uint32_t batch;  /* number of its batch */
    uint32_t nth;    /* number of earlier rules with its kind, name and labels */
    struct rule_at_work *same_before; /* previous rule of its kind and name; NULL: none */
    bool is_restored;                 /* `series` lacks those of `alerts`; evaluating thread only */
    /* Series written at the last evaluation, live or of a replay; guarded by group.lock where
     * threads other than the evaluating one read it. */
    struct kept_series series;

    /* Guarded by group.lock. */
    struct alerts alerts;
    enum rule_health health;
    struct buf error; /* error of the last evaluation, or the warning if it succeeded; or empty */
    int64_t evaluated_at_ns;
    int64_t evaluated_for_ns;
};

struct group {
    struct budget *memory;
    uint64_t seed;
    struct arena arena; /* holds the text and other data of the rules */
    struct bytes tenant;
    struct rule_group text;
    struct group_defaults defaults;
    struct schedule schedule;
    int64_t query_offset_ms;
    bool records, alarms; /* it has recording rules, alerting rules */
    bool reads_back;      /* a recording rule reads its own results, or a later rule reads them */
    struct rule_at_work *rules;
    struct table index;  /* index of rules, by kind, name, labels and `nth` */
    int64_t series_slot; /* slot of the `series` of recording rules; -1: unknown */
    /* Unix: with series_slot -1 the time of the last evaluation; 0: the slot before the next. */
    int64_t before_ns;

    struct lock lock; /* LOCK_RANK_LEAF */
    struct group_facts facts;
};

/* A text of a rule that has no '{' is the same for all of its alerts. */
static inline bool
may_be_template(struct bytes text)
{
    return memchr(text.at, '{', text.size) != NULL;
}

/* --- stored series, for the folders of rules/ ------------------------------------------------- */

/* A group whose stored series are read, with the parameters of reading. */
struct rules_past {
    const struct rules_host *host;
    const struct rules_terms *terms;
    struct group *group;
    struct view *view; /* view to read; NULL: each query opens its own */
};
/* A query of stored series between two times. */
struct past_look {
    const struct label *labels; /* labels of the series, including the name */
    uint32_t label_count;
    int64_t min_ms, max_ms;
    bool stored; /* only local samples, each of them: without those of sources, replicas unmerged,
                    and an error where they are downsampled */
    /* Its error ends the query. */
    enum err (*each)(void *context, struct series_set *set, struct bytes labels);
    void *context;
};
MUST_CHECK enum err past_look(const struct rules_past *past, const struct past_look *look,
                              struct why *why);

/*
 * Fills `series` of the recording rules with the series that an evaluation at a slot, or at
 * `before_ns`, gives now, and notes the slot; writes nothing. A rule whose evaluation fails gets
 * none. Late input may give a series that was not recorded: if it has ended at the next evaluation,
 * the series has a staleness marker alone. A rule that reads back its own results finds those
 * stored for the slot: one of its series may then end without a marker. In replay.c.
 *
 * ERR_NOMEM, ERR_CANCELED; errors of the view. Then the slot is unknown.
 */
MUST_CHECK enum err group_series_at(const struct rules_past *past, int64_t slot, struct why *why);

/* For a server without a checkpoint: restores alerts that were active at most `tolerance_ns` ago,
 * from ALERTS_FOR_STATE, as Prometheus does; *ret_down_ns: the last evaluation that found one, 0 if
 * none did. *ret_next_ns: the time after the last evaluation that an earlier version recorded in
 * the store, at most `catch_up_ns` ago; 0 without one. Errors of the view; ERR_NOMEM. */
struct restore_terms {
    int64_t now_ns, tolerance_ns, catch_up_ns;
};
MUST_CHECK enum err restore_group(const struct rules_past *past, const struct restore_terms *terms,
                                  int64_t *ret_down_ns, int64_t *ret_next_ns, struct why *why);

/* --- batches, for the folders of rules/ ------------------------------------------------------- */

enum { RULE_BATCH_MAX = 256 }; /* rules per batch, which are all compared with each other */
/* Gives each rule its batch, and finds rules that write the same name; see depends.c. ERR_NOMEM. */
MUST_CHECK enum err group_make_batches(struct group *group);
/* Sets group.reads_back. ERR_NOMEM. */
MUST_CHECK enum err group_find_reads_back(struct group *group);
/* Adds the sets that the group records. ERR_NOMEM. */
MUST_CHECK enum err group_add_recorded(const struct group *group, struct recorded *to);
/* Says whether a selector of the group may read a recorded set. `tries` as in recorded_next(). */
bool group_reads_recorded(const struct group *group, struct recorded *recorded, uint32_t *tries);

enum { SETS_TRIED_MAX = 1000000 }; /* comparisons of selectors with all recorded sets of a tenant */

#endif
