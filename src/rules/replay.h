/*
 * replay.h - recording rules evaluated over the past, many evaluations at once.
 *
 *      expression over a range --> labels of the rule --> samples and staleness markers
 *                                                              |
 *                     what is stored at their times -----------+--> what is new: write
 *                                                              +--> equal, different: counted
 *
 * Every evaluation between two times is made, and gives what group_evaluate() writes at its time.
 * Stored samples are never changed: results are compared with what is stored under the rule's name
 * and labels, and only those of series and times that have nothing are handed to the host. So the
 * same replay can be repeated, and goes on where it was interrupted.
 *
 * A rule is asked for many times at once, so that each sample is read once; where that has no
 * result it is asked for fewer, down to one: an evaluation fails that fails alone. Groups
 * that read what they recorded at an evaluation before, or what others record with a larger
 * query_offset, are evaluated one by one: each evaluation finds what was recorded before it.
 *
 * A series that ends is marked stale at the first evaluation that does not have it. The series of
 * the evaluation before the first one are found by evaluating the rules (group_series_at()), unless
 * the group was just replayed up to there. One that ends at the evaluation after the last one gets
 * no marker.
 *
 * Threads: one at a time works on a group. Groups of one round may be replayed side by side.
 */
#ifndef RULES_REPLAY_H
#define RULES_REPLAY_H

#include "rules/group.h"

struct replay_counts {
    uint64_t made;          /* evaluations of groups */
    uint64_t failed;        /* evaluations of rules */
    uint64_t samples;       /* results that were written, without staleness markers */
    uint64_t stored_before; /* samples that are stored already, staleness markers among them */
    uint64_t different;     /* results that differ from what is stored at their times */
    uint64_t rejected;      /* samples that the store refused */
};

/* The value of a sample, to be compared. */
struct replay_value {
    bool is_histogram;
    uint64_t bits; /* of the float; of a histogram, a hash (histogram_hash()) */
};

/* A result that differs from what is stored, and was not written. */
struct replay_difference {
    int64_t t_ms; /* of the sample, Unix */
    struct bytes labels;
    struct replay_value stored, computed;
};

struct replay {
    const struct rules_host *host; /* for memory, time, and write() with settle() */
    const struct rules_terms *terms;
    /* Called for each evaluation that failed, and for each message that was rejected in part, with
     * the reason. NULL: not wanted. */
    void (*failed)(void *context, const struct group *group, const struct rule *rule, int64_t at_ns,
                   struct bytes sentence);
    /* Called for the first few differences of each request for a rule. NULL: not wanted. */
    void (*differs)(void *context, const struct group *group, const struct rule *rule,
                    const struct replay_difference *difference);
    void *context;
};

/*
 * Gives each group its round: groups that read what another one records come in a later one.
 * REPLAY_TOGETHER: groups that read what each other record, and groups that read what such groups
 * do. *ret_count: rounds, without that one, which comes last. Notes in each group which names it
 * reads that groups with a larger query_offset record: of these it finds results of evaluations up
 * to its own time alone, for which it is evaluated one by one.
 *
 * All are of one tenant. Those that are not replayed, but whose results may be stored, should be
 * among them. `early`, of as many and initialized, takes what else would be noted in the groups, if
 * these are in use. ERR_NOMEM: it has to be called again.
 */
enum { REPLAY_TOGETHER = UINT32_MAX };
struct recorded_names;
MUST_CHECK enum err replay_rounds(struct group *const *groups, uint32_t count, uint32_t *ret_rounds,
                                  uint32_t *ret_count, struct recorded_names *early);

/*
 * Makes the evaluations between two times (Unix ns, both inclusive), and adds to `counts`. After an
 * error all that was written stays; the caller may repeat the whole.
 *
 * ERR_CANCELED; errors of the view and of the host.
 */
MUST_CHECK enum err replay_group(const struct replay *replay, struct group *group, int64_t min_ns,
                                 int64_t max_ns, struct replay_counts *counts, struct why *why);
/* The same of several groups, evaluation after evaluation in the order of time: each finds what
 * those before it recorded, and nothing of those after it. */
MUST_CHECK enum err replay_together(const struct replay *replay, struct group *const *groups,
                                    uint32_t count, int64_t min_ns, int64_t max_ns,
                                    struct replay_counts *counts, struct why *why);

/*
 * Tells, rule by rule, what a group recorded between two times: appends a selector of the series a
 * rule writes, and gives the times of their samples; min_ms > max_ms: there are none. Of other
 * groups that record the same name, the series are among them. False: there is no such rule. Errors
 * show in `to`.
 */
struct replay_recorded {
    int64_t min_ms, max_ms; /* Unix, both inclusive */
};
bool replay_recorded_at(const struct group *group, uint32_t index, int64_t min_ns, int64_t max_ns,
                        struct buf *to, struct replay_recorded *ret);

#endif
