/* state.h - the state of a group and its rules. For the folders of rules/. */
#ifndef RULES_GROUP_STATE_H
#define RULES_GROUP_STATE_H

#include "base/lock.h"
#include "rules/group/group.h"
#include "rules/group/kept_series.h"
#include "rules/group/recorded.h"

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
    bool records, alarms;
    bool reads_back; /* a recording rule reads its own results, or a later rule reads them */
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
