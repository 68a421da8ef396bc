/* group_private.h - what the files of a group have in common. Private to rules/. */
#ifndef RULES_GROUP_PRIVATE_H
#define RULES_GROUP_PRIVATE_H

#include "base/lock.h"
#include "rules/group.h"
#include "rules/kept_series.h"
#include "rules/recorded_names.h"
#include "rules/slots.h"

enum rule_health { RULE_UNKNOWN, RULE_GOOD, RULE_BAD };
enum { RULE_ERROR_BYTES_MAX = 4096 };

/* A rule, and what its last evaluation left. */
struct rule_at_work {
    const struct rule *text;
    struct promql_tree *tree;
    struct bytes line;    /* the expression as Prometheus prints it */
    struct label *labels; /* of the rule and of the group, by name */
    uint32_t label_count;
    int64_t said_ns; /* monotonic, when a failure was logged; the evaluating thread's */
    uint32_t batch;  /* number of its batch; they rise */
    struct rule_at_work *same_before; /* the nearest of its kind and name; NULL: none */
    bool is_last_of_name;             /* none of its kind and name stands behind it */
    bool has_twin;                    /* see twins.h; set before others see the group */
    struct kept_series series; /* written at the last evaluation; guarded by group.lock where others
                                  than the evaluating thread look */
    struct kept_series past;   /* at the last one that was made up; the evaluating thread's */
    /* When each of these was written, if it was read from the store, where others may have written
     * the like; 0: this rule wrote it. Guarded as they are. */
    int64_t series_read_ms, past_read_ms;

    bool is_restored; /* `alerts` have what the store has of them; the evaluating thread's */

    /* Guarded by group.lock. */
    struct alerts alerts;
    enum rule_health health;
    struct buf error; /* of the last evaluation; empty: none */
    int64_t evaluated_at_ns;
    int64_t evaluated_for_ns;
};

struct group {
    struct budget *memory;
    uint64_t seed;
    struct arena arena; /* of the text, and of what the rules have besides */
    struct bytes tenant;
    struct rule_group text;
    struct group_defaults defaults;
    struct schedule schedule;
    int64_t query_offset_ms;
    struct bytes marker; /* labels of RULES_EVALUATED, of this text */
    bool records, alarms;
    struct rule_at_work *rules;
    _Atomic bool *recorded;         /* of each selector: rules record what it reads; relaxed */
    int64_t series_slot, past_slot; /* which evaluations these were; -1: none */
    /* The last sample that says that an evaluation was made, of this text or one before. */
    struct bytes marked; /* its labels, in `arena`; `at` NULL: none is known */
    int64_t marked_ms;
    uint64_t marked_bits;
    int64_t latest_ns;           /* of all live evaluations */
    struct kept_series orphans;  /* written by rules that are no more; the evaluating thread's */
    struct recorded_names early; /* that it reads of groups with a larger query_offset; set by
                                    replay_rounds(); the evaluating thread's */

    struct lock lock; /* LOCK_RANK_LEAF */
    struct group_facts facts;
};

/* A text of a rule that has no '{' is the same for all of its alerts. */
static inline bool
may_be_template(struct bytes text)
{
    return memchr(text.at, '{', text.size) != NULL;
}

/* A group whose past is looked at, and by what: see past.c, inputs.c, restore.c. */
struct rules_past {
    const struct rules_host *host;
    const struct rules_terms *terms;
    struct group *group;
    struct view *view; /* that is looked at; NULL: one is opened for each look */
};
/* Series between two times. */
struct past_look {
    const struct label *labels; /* that they have, the name first */
    uint32_t label_count;
    int64_t min_ms, max_ms;
    bool stored; /* as they are stored here: without those of sources, and replicas unmerged */
    /* An error of it ends the look. */
    enum err (*each)(void *context, struct series_set *set, struct bytes labels);
    void *context;
};
MUST_CHECK enum err past_look(const struct rules_past *past, const struct past_look *look,
                              struct why *why);
/* Fills `past` or `series` of the rules with what they may have recorded at a time of the schedule:
 * all that has their names and labels. Errors of the view. */
MUST_CHECK enum err past_recorded(const struct rules_past *past, int64_t slot, bool into_past,
                                  struct why *why);
/* Fills `past` with what `series` has, or the other way: what was recorded live before what is made
 * up, or was made up before what is live. ERR_NOMEM. */
MUST_CHECK enum err past_pass_series(const struct rules_past *past, bool into_past,
                                     struct why *why);
/*
 * Fills `past` or `series` of the recording rules with the series that they have at a slot when
 * they are evaluated now, and notes the slot; writes nothing. A rule whose evaluation fails has
 * none: see series_at.c.
 *
 * ERR_NOMEM, ERR_CANCELED; errors of the view. Then what is known is of no slot.
 */
MUST_CHECK enum err group_series_at(const struct rules_past *past, int64_t slot, bool into_past,
                                    struct why *why);
/* Adds the evaluations that were made between two times, Unix ns; `marked` is the last of them. */
struct past_slots {
    struct slots *made;
    struct slots *same; /* of these, those of the text that the group has now; NULL: not asked */
    struct slots
        *settled; /* all that are not owed, those that were made among them; NULL: the same */
};
MUST_CHECK enum err past_made(const struct rules_past *past, int64_t from_ns, int64_t to_ns,
                              const struct past_slots *to, struct why *why);
/* Marks stale at `slot`, which was evaluated, what was recorded by the evaluation before, which was
 * made up, and not then. */
MUST_CHECK enum err past_close(const struct rules_past *past, int64_t slot, struct why *why);

/* Whether the store accepts samples: writes once more that an evaluation was made, which changes
 * nothing. OK, too, if none was. */
MUST_CHECK enum err group_try_store(struct group *group, const struct rules_host *host,
                                    struct why *why);

/* Marks stale at a time what `orphans` has and no rule wrote last; then there are none. On an error
 * they stay. */
MUST_CHECK enum err orphans_mark(struct group *group, const struct rules_host *host, int64_t t_ms);

/*
 * Whether the input of recording rules, or of alerts, is there for an evaluation at `at_ns` after
 * `gap_ns`, the last one that was made. INPUT_UNKNOWN: nothing that they select was there before
 * the gap, and nothing is now. Errors of the view.
 */
enum input { INPUT_NOT_LOOKED_AT, INPUT_UNKNOWN, INPUT_LACKING, INPUT_THERE };
MUST_CHECK enum err input_is_there(const struct rules_past *past, enum rule_kind kind,
                                   int64_t gap_ns, int64_t at_ns, int64_t now_ns, enum input *ret,
                                   struct why *why);

struct restore_terms {
    int64_t now_ns;
    int64_t tolerance_ns; /* so long ago an alert may have been active last */
    int64_t grace_ns;
    int64_t wait_ns; /* for so long after an outage its input may have been waited for */
};
/*
 * Puts alerts back as they were. See restore.c. *ret_down_ns: the last evaluation that had active
 * ones and its input, as far as that is known; 0: there are none.
 */
MUST_CHECK enum err restore_alerts(const struct rules_past *past, const struct restore_terms *terms,
                                   int64_t *ret_down_ns, struct why *why);

enum { RULE_BATCH_MAX = 256 }; /* rules: all of them are compared with each other */
/* Gives each rule its batch, and finds those that write the same name; see depends.c. ERR_NOMEM. */
MUST_CHECK enum err group_make_batches(struct group *group);
/* The names of which a selector may select series: each is given once. Begins zeroed. */
struct names_read {
    uint32_t next;
};
bool names_read_next(struct names_read *read, const struct matcher_set *set,
                     const struct kept_series *names, uint32_t *ret_index);

/* True if a recording rule reads what it writes itself, or what a later rule of the group does:
 * what that wrote at an evaluation before. `own`: the names of the group. */
bool group_reads_back(const struct group *group, const struct recorded_names *own);

#endif
