/*
 * replay.h - evaluates recording rules over the past, many evaluations at once.
 *
 *      expression over a range --> labels of the rule --> samples and staleness markers
 *                                                              |
 *                     stored samples at their times -----------+--> new: write
 *                                                              +--> equal, different: counted
 *
 * Every evaluation between two times is made, and gives the same as group_evaluate() at its time.
 * Stored samples are never changed: results are compared with samples stored under the rule's name
 * and labels, and only results at series and times without samples are passed to the host. So a
 * replay can be repeated, and continues where it was interrupted. Where these samples are
 * downsampled they cannot be compared, and the replay ends.
 *
 * A query covers many evaluations of a rule, so that each sample is read once; if it has no result
 * it is repeated for fewer, down to one: an evaluation fails only if it fails alone. Groups that
 * read their own results of earlier evaluations are evaluated one by one; groups that read each
 * other, or results recorded with a larger query_offset, are evaluated together, in the order of
 * time: each evaluation finds the samples recorded before it. If such evaluations are repeated,
 * they may also find stored samples that were recorded after them: then missing samples are written
 * as they result now, a result that differs from a stored sample counts as stored before, and a
 * series that ends may get no marker.
 *
 * A series that ends is marked stale at the first evaluation that does not have it. The series of
 * the evaluation before the first one are found by evaluating the rules (group_series_at()), unless
 * the group was just replayed up to there. One that ends at the evaluation after the last one gets
 * no marker.
 *
 * Threads: one at a time works on a group. Groups of one round may be replayed in parallel.
 */
#ifndef RULES_REPLAY_REPLAY_H
#define RULES_REPLAY_REPLAY_H

#include "rules/group/group.h"

struct replay_counts {
    uint64_t made;          /* evaluations of groups */
    uint64_t failed;        /* evaluations of rules */
    uint64_t samples;       /* results that were written, without staleness markers */
    uint64_t stored_before; /* samples stored before, including staleness markers */
    uint64_t different;     /* results that differ from samples stored at their times */
    uint64_t rejected;      /* samples that the store refused */
};

/* The value of a sample, for comparison. */
struct replay_value {
    bool is_histogram;
    uint64_t bits; /* bits of the float; for a histogram, a hash (histogram_hash()) */
};

/* A result that differs from a stored sample, and was not written. */
struct replay_difference {
    int64_t t_ms; /* Unix time of the sample */
    struct bytes labels;
    struct replay_value stored, computed;
};

struct replay_part;

struct replay {
    const struct rules_host *host; /* for memory, time, and write() with settle() */
    const struct rules_terms *terms;
    bool is_exact;   /* approximate results, of downsampled samples, end the replay */
    bool overwrites; /* what is stored does not matter: all results are written */
    /* Evaluates an expression once, or with a step, in the store that the view reads, into
     * replay_take_series(), replay_take_float() and replay_take_note(). It is asked where the view
     * has only the last sample of each window of downsampling. NULL: the view has the windows.
     * ERR_INPUT with a sentence in `error`: the expression has no result. */
    enum err (*evaluate)(void *context, const char *expression, int64_t first_ms, int64_t last_ms,
                         int64_t step_ms, struct replay_part *to, struct buf *error,
                         struct why *why);
    /* Called for each evaluation that failed, and for each message that was rejected in part, with
     * the reason. May be NULL. */
    void (*failed)(void *context, const struct group *group, const struct rule *rule, int64_t at_ns,
                   struct bytes sentence);
    /* Called for the first few differences of each query for a rule. May be NULL. */
    void (*differs)(void *context, const struct group *group, const struct rule *rule,
                    const struct replay_difference *difference);
    void *context;
};

/* Begins a series of the result, with labels as the expression gives them. Errors are returned by
 * `evaluate`. */
MUST_CHECK enum err replay_take_series(struct replay_part *part, struct bytes labels);
/* ERR_IO: it is not at a time of the question. */
MUST_CHECK enum err replay_take_float(struct replay_part *part, int64_t t_ms, double value,
                                      struct why *why);
/* Takes an info or a warning about the result: it is approximate if it is of downsampled samples,
 * or incomplete. */
void replay_take_note(struct replay_part *part, struct bytes sentence);

/*
 * Gives each group its round: a group comes in a later round than the groups whose results it
 * reads. REPLAY_TOGETHER, which comes after all rounds: groups that read each other's results,
 * groups that read those of a group with a larger query_offset, that group, and groups that read
 * results of any of these. *ret_count: the number of rounds. Rules are compared by the labels that
 * they set. If too many selectors and rules would have to be compared (4 million), selectors count
 * as reading everything, and their groups are replayed together, too.
 *
 * All groups are of one tenant. Groups without evaluations to make are included if their results
 * may be stored. ERR_NOMEM.
 */
enum { REPLAY_TOGETHER = UINT32_MAX };
MUST_CHECK enum err replay_rounds(struct group *const *groups, uint32_t count, uint32_t *ret_rounds,
                                  uint32_t *ret_count);

/* The position that a group has reached. */
struct replay_from {
    struct group *group;
    int64_t next; /* slot of the first evaluation to make */
};
/* Returns the position of the first evaluation at or after a time (Unix ns). */
struct replay_from replay_from(struct group *group, int64_t min_ns);

/*
 * Makes the evaluations of a group up to a time (Unix ns, inclusive), and adds to `counts`. `next`
 * rises as they become durable. After an error the written samples stay, and the caller may call
 * again.
 *
 * ERR_UNSUPPORTED: results are downsampled where they would be compared, or, with is_exact, the
 * next evaluation is approximate; ERR_CANCELED; errors of the view and of the host.
 */
MUST_CHECK enum err replay_group(const struct replay *replay, struct replay_from *item,
                                 int64_t max_ns, struct replay_counts *counts, struct why *why);
/* Does the same for several groups, one evaluation after another in the order of time. */
MUST_CHECK enum err replay_together(const struct replay *replay, struct replay_from *items,
                                    uint32_t count, int64_t max_ns, struct replay_counts *counts,
                                    struct why *why);
/* Does the same for groups of one tenant, round after round. Groups without evaluations to make are
 * included, because they affect the order; groups without recording rules are skipped. ERR_NOMEM,
 * too. */
MUST_CHECK enum err replay_all(const struct replay *replay, struct replay_from *items,
                               uint32_t count, int64_t max_ns, struct replay_counts *counts,
                               struct why *why);

/* Appends selectors of the series that a group records, each ended with a NUL, and returns their
 * number. Series of other groups that record the same names and labels match, too. Errors show in
 * `to`. */
uint32_t replay_recorded(const struct group *group, struct buf *to);
/* Gives the times (Unix, inclusive) of the samples of evaluations between two times. False: there
 * are no evaluations. */
bool replay_times(const struct group *group, int64_t min_ns, int64_t max_ns, int64_t *ret_min_ms,
                  int64_t *ret_max_ms);

#endif
