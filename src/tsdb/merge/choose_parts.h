/*
 * choose_parts.h - private to tsdb/: decides which parts are merged next. A pure function of what
 * is live.
 *
 * Time is divided into partitions: days (UTC) of this month and the one before, calendar months
 * otherwise, and one partition for all that is more than a hundred years away. Parts end up in one
 * partition each, as few as possible in each:
 *
 *  - a part that lies in several (a flush around midnight, a backfill) is split;
 *  - within a partition, a run of small parts becomes one when there are enough of them;
 *  - when a partition is over, all of it becomes one, if its small parts are worth writing its
 *    large ones again; parts that reach into it are split before, so that it has all its samples;
 *  - parts that do not fit into the memory of one merge become as many parts as are needed, as soon
 *    as a run fills it, since it will not be merged again.
 *
 * Only parts that are neighbours in the order of the log are merged: if a part between them had
 * samples of their time, it would become unknown which of two samples came first.
 */
#ifndef TSDB_MERGE_CHOOSE_PARTS_H
#define TSDB_MERGE_CHOOSE_PARTS_H

#include "base/mem.h"
#include "model/sample.h"

struct plan_part {
    uint64_t from_pos;
    uint64_t to_pos;
    struct time_range time; /* min is above max without samples */
    uint64_t bytes;
    uint64_t memory; /* bytes of memory that a merge needs for it */
    bool fixed;      /* damaged, or excluded by the caller: it is not merged */
    bool loose;      /* badly compressed: a full merge rewrites it even alone */
};

struct merge_plan_options {
    int64_t now_ms;
    uint64_t bytes_max;      /* sum of `bytes` of the inputs of one merge */
    uint64_t memory_max;     /* sum of `memory` of these; parts that do not fit stay apart */
    bool full;               /* make as few parts as possible, whatever it costs */
    const uint64_t *borders; /* positions across which nothing is merged */
    uint32_t border_count;
};

struct merge_plan {
    uint32_t *inputs;           /* ascending indexes */
    uint32_t input_count;       /* 0 if nothing is to be done */
    struct time_range *windows; /* the partitions; each becomes one output */
    uint32_t window_count;
    bool last; /* the outputs are worth compressing well, as they will not be merged again soon */
};

/* Plans the next merge. `parts` ascend in from_pos. The plan is in `arena`. ERR_NOMEM. */
MUST_CHECK enum err merge_plan(const struct plan_part *parts, uint32_t count,
                               const struct merge_plan_options *options, struct arena *arena,
                               struct merge_plan *ret_plan);

/* Plans to rewrite parts[part] alone, whatever memory that takes. ERR_NOMEM. */
MUST_CHECK enum err merge_plan_alone(const struct plan_part *parts, uint32_t part,
                                     const struct merge_plan_options *options, struct arena *arena,
                                     struct merge_plan *ret_plan);

/* Plans to write parts[part] again, with all parts of its partition that can be merged with it. No
 * inputs if it cannot be. ERR_NOMEM. */
MUST_CHECK enum err merge_plan_partition(const struct plan_part *parts, uint32_t count,
                                         uint32_t part, const struct merge_plan_options *options,
                                         struct arena *arena, struct merge_plan *ret_plan);

/* Returns the partition that contains a time. It is open on the left, like windows of rollups: a
 * sample at midnight belongs to the day before. */
struct time_range partition_of(int64_t t_ms, int64_t now_ms);

#endif
