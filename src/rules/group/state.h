/* state.h - the state of a group and its rules. For the folders of rules/. */
#ifndef RULES_GROUP_STATE_H
#define RULES_GROUP_STATE_H

#include "base/lock.h"
#include "rules/group/group.h"
#include "rules/group/kept_series.h"
#include "rules/group/recorded.h"

enum rule_health { RULE_UNKNOWN, RULE_GOOD, RULE_BAD };
enum { RULE_ERROR_BYTES_MAX = 4096 };

/* A rule, and what its last evaluation left. */
struct rule_at_work {
    const struct rule *text;
    struct promql_tree *tree;
    struct bytes line;    /* the expression as Prometheus prints it */
    struct label *labels; /* labels of the rule and of the group, sorted by name */
    uint32_t label_count;
    struct label *over; /* the same and __name__ of a recording rule, sorted */
    uint32_t over_count;
    /* Canonical labels that all series have which the rule writes: of a recording rule [0], of an
     * alerting rule ALERTS and ALERTS_FOR_STATE. */
    struct bytes writes[2];
    int64_t
        said_ns; /* monotonic time of the last log line about a failure; of the evaluating thread */
    uint32_t batch; /* number of its batch */
    uint32_t nth;   /* number of rules of the group before it with its kind, name and labels */
    struct rule_at_work *same_before; /* the nearest of its kind and name; NULL: none */
    bool is_restored; /* `series` lacks those of `alerts`; the evaluating thread's */
    /* Written at the last evaluation, live or of a replay; guarded by group.lock where others than
     * the evaluating thread look. */
    struct kept_series series;

    /* Guarded by group.lock. */
    struct alerts alerts;
    enum rule_health health;
    struct buf error; /* error of the last evaluation; empty if it succeeded */
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
    bool reads_back; /* a recording rule reads what it writes itself, or a later rule does */
    struct rule_at_work *rules;
    struct table index;  /* of rules, by kind, name, labels and `nth` */
    int64_t series_slot; /* the evaluation of which rules have `series`; -1 if not known */
    /* Unix: with series_slot -1 the time of the last evaluation, if it was of another schedule;
     * else 0. */
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

/* A group whose stored series are read, with what reading needs. */
struct rules_past {
    const struct rules_host *host;
    const struct rules_terms *terms;
    struct group *group;
    struct view *view; /* view to read; NULL: each look opens its own */
};
/* A look at stored series between two times. */
struct past_look {
    const struct label *labels; /* labels of the series, the name among them */
    uint32_t label_count;
    int64_t min_ms, max_ms;
    bool stored; /* as they are stored here: without those of sources, and replicas unmerged */
    /* An error of it ends the look. */
    enum err (*each)(void *context, struct series_set *set, struct bytes labels);
    void *context;
};
MUST_CHECK enum err past_look(const struct rules_past *past, const struct past_look *look,
                              struct why *why);

/*
 * Fills `series` of the recording rules with those that they have at a slot, or at `before_ns`,
 * when they are evaluated now, and notes the slot; writes nothing. A rule whose evaluation fails
 * has none. Input that came late may give a series that was not recorded: if that has ended at the
 * next evaluation, the series has a staleness marker alone. A rule that reads back what it recorded
 * finds what is stored for the slot: one of its series may then end without a marker. In replay.c.
 *
 * ERR_NOMEM, ERR_CANCELED; errors of the view. Then what is known is of no slot.
 */
MUST_CHECK enum err group_series_at(const struct rules_past *past, int64_t slot, struct why *why);

/*
 * For a server that has no checkpoint: puts alerts back that were active at most `tolerance_ns`
 * ago, from ALERTS_FOR_STATE, as Prometheus does; *ret_down_ns: the last evaluation that found one,
 * 0: none did. *ret_next_ns: the time after the last evaluation that a server before this version
 * noted in the store, at most `owed_ns` ago; 0: it noted none. Errors of the view; ERR_NOMEM.
 */
struct restore_terms {
    int64_t now_ns, tolerance_ns, owed_ns;
};
MUST_CHECK enum err restore_group(const struct rules_past *past, const struct restore_terms *terms,
                                  int64_t *ret_down_ns, int64_t *ret_next_ns, struct why *why);

enum { RULE_BATCH_MAX = 256 }; /* rules per batch; all of them are compared with each other */
/* Gives each rule its batch, and finds those that write the same name; see depends.c. ERR_NOMEM. */
MUST_CHECK enum err group_make_batches(struct group *group);
/* Finds group.reads_back. ERR_NOMEM. */
MUST_CHECK enum err group_find_reads_back(struct group *group);
/* Adds what the group records. ERR_NOMEM. */
MUST_CHECK enum err group_add_recorded(const struct group *group, struct recorded *to);
/* Says whether any of its selectors may read what is recorded. `tries` is that of recorded_next().
 */
bool group_reads_recorded(const struct group *group, struct recorded *recorded, uint32_t *tries);

enum { SETS_TRIED_MAX = 1000000 }; /* comparisons of selectors with what all of a tenant record */

#endif
