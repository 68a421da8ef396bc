/*
 * plan.h - private to tsdb/: which parts are merged next. A pure function of what is live.
 *
 * Time is divided into partitions: days (UTC) of this month and the one before, calendar months
 * otherwise, and one partition for all that is more than a hundred years away. Parts end up in one
 * partition each, as few as possible in each:
 *
 *  - a part that lies in several (a flush around midnight, a backfill) is split;
 *  - within a partition, a run of small parts becomes one when there are enough of them;
 *  - when a partition is over, all of it becomes one, if what is small is worth writing what is
 *    large again;
 *  - what does not fit into the memory of one merge becomes as many parts as are needed: as soon as
 *    a run fills it, for then it is not going to be merged again.
 *
 * Only parts that are neighbours in the order of the log are merged: between them nothing may lie
 * that holds samples of their time, for then it could no longer be told which of two samples came
 * first.
 */
#ifndef TSDB_MERGE_PLAN_H
#define TSDB_MERGE_PLAN_H

#include "base/mem.h"
#include "model/sample.h"

struct plan_part {
    uint64_t from_pos;
    uint64_t to_pos;
    struct time_range time; /* min above max: no samples */
    uint64_t bytes;
    uint64_t memory; /* what a merge needs for it */
    bool fixed;      /* damaged, or not meant: stays as it is */
    bool loose;      /* written in haste: a full merge writes it anew though it is alone */
};

struct merge_plan_options {
    int64_t now_ms;
    uint64_t bytes_max;      /* of all inputs of one merge */
    uint64_t memory_max;     /* the same; where two do not fit, they stay two */
    bool full;               /* as few parts as can be, whatever it costs */
    const uint64_t *borders; /* positions across which nothing is merged */
    uint32_t border_count;
};

struct merge_plan {
    uint32_t *inputs; /* indexes, ascending; none: nothing is to be done */
    uint32_t input_count;
    struct time_range *windows; /* one output each */
    uint32_t window_count;
    bool last; /* the outputs are unlikely to be merged again soon: worth compressing well */
};

/* `parts` ascend in from_pos. The plan lies in `arena`. ERR_NOMEM. */
MUST_CHECK enum err merge_plan(const struct plan_part *parts, uint32_t count,
                               const struct merge_plan_options *options, struct arena *arena,
                               struct merge_plan *ret_plan);

/* To write parts[part] anew, alone, whatever memory that takes. */
MUST_CHECK enum err merge_plan_alone(const struct plan_part *parts, uint32_t part,
                                     const struct merge_plan_options *options, struct arena *arena,
                                     struct merge_plan *ret_plan);

/* The partition that holds a time. */
struct time_range partition_of(int64_t t_ms, int64_t now_ms);

#endif
