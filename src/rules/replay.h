/*
 * replay.h - recording rules evaluated over the past, many evaluations at once.
 *
 *      expression over a range --> labels of the rule --> samples and staleness markers --> write
 *
 * What is written is what group_evaluate() writes at each of these times. A rule is asked for many
 * times at once, so that each sample is read once; where that has no result it is asked for fewer,
 * down to one: an evaluation fails that fails alone. Rules that read what they wrote at an
 * evaluation before are evaluated one by one.
 *
 * Threads: one at a time works on a group. Groups of one round may be replayed side by side.
 */
#ifndef RULES_REPLAY_H
#define RULES_REPLAY_H

#include "rules/group.h"

struct replay_counts {
    uint64_t made;        /* evaluations of groups */
    uint64_t made_before; /* whose results were stored already */
    uint64_t failed;      /* evaluations of rules */
    uint64_t samples;     /* results, without staleness markers */
    uint64_t rejected;    /* samples that were not stored */
};

struct replay {
    int64_t until_ns;              /* Unix: the last time that will be asked for */
    const struct rules_host *host; /* no one is told of alerts */
    const struct rules_terms *terms;
    /* Of an evaluation that failed, and of a message that was rejected in part: why. `rule` NULL:
     * it is about which evaluations were made. */
    void (*failed)(void *context, const struct group *group, const struct rule *rule, int64_t at_ns,
                   struct bytes sentence);
    void *context;
};

/*
 * Gives each group its round: groups that read what another one records come in a later one.
 * REPLAY_TOGETHER: groups that read what each other record, or what such groups do. *ret_count:
 * rounds, without that one. All are of one tenant. ERR_NOMEM.
 */
enum { REPLAY_TOGETHER = UINT32_MAX };
MUST_CHECK enum err replay_rounds(struct group *const *groups, uint32_t count, uint32_t *ret_rounds,
                                  uint32_t *ret_count);

/*
 * Makes the evaluations between two times (Unix ns, both inclusive) that are not stored yet as this
 * text of the group makes them. What one of them wrote and the next one, which was made already,
 * did not is marked stale there. Evaluations that met a limit are not taken to be made. Adds to
 * `counts`. After an error all that was written stays, and who repeats it goes on.
 *
 * ERR_CANCELED; errors of the view and of the host.
 */
MUST_CHECK enum err replay_group(const struct replay *replay, struct group *group, int64_t min_ns,
                                 int64_t max_ns, struct replay_counts *counts, struct why *why);
/* The same of several groups, evaluation after evaluation in the order of time. */
MUST_CHECK enum err replay_together(const struct replay *replay, struct group *const *groups,
                                    uint32_t count, int64_t min_ns, int64_t max_ns,
                                    struct replay_counts *counts, struct why *why);

/*
 * What a group recorded between two times, one thing after another: appends a selector of the
 * series that a rule writes, or of those that say which evaluations were made, and gives the times
 * of their samples; min_ms > max_ms: there are none. Of other groups that record the same name, the
 * series are among them. False: there is no such thing any more. Errors show in `to`.
 */
struct replay_recorded {
    int64_t min_ms, max_ms; /* Unix, both inclusive */
};
bool replay_recorded_at(const struct group *group, uint32_t index, int64_t min_ns, int64_t max_ns,
                        struct buf *to, struct replay_recorded *ret);

#endif
