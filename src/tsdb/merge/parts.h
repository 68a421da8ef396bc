/*
 * parts.h - private to tsdb/: merges several parts into one, for one window of time.
 *
 * The inputs are given in the order of the log. If two have a sample of one series and time, the
 * earlier arrival stays; the other is counted as duplicate (same value) or superseded. Samples
 * outside the window are left for another output of the same inputs, so that parts which span
 * partitions are split by as many merges as there are partitions.
 *
 * Memory does not depend on the number of samples: per input one page of each kind and a tenant's
 * pair numbers, the blocks that overlap at one time, and the writer's memory. part_merge_memory()
 * computes it before. Pages are read through the caches with which the inputs were opened: with a
 * cache of their own they evict no pages of queries.
 *
 * Threads: one at a time; the inputs may be read by others meanwhile.
 */
#ifndef TSDB_MERGE_PARTS_H
#define TSDB_MERGE_PARTS_H

#include "base/mem.h"
#include "model/sample.h"
#include "model/series_rules.h"
#include "tsdb/part/live.h"
#include "tsdb/read/interleave.h"

struct part_merge_input {
    struct part *part; /* borrowed until the merge is freed */
    const struct part_deletion *deletions;
    uint32_t deletion_count;
};

/* Counts of what a rule of retention removes, or a rule of downsampling replaces. */
struct rule_done {
    uint64_t samples[LEDGER_KIND_COUNT];
    uint64_t series;  /* of which nothing is left in a part, counted for each part */
    uint64_t windows; /* that were written instead, or instead of finer ones */
    /* Size of the blocks that are removed, with a share of a block that is removed in part; or what
     * is saved, estimated: of windows that were made of samples alone. */
    uint64_t bytes;
};

/* A level of downsampling: from the age on that the rule of a series says, rollups of windows of
 * the resolution may replace its samples. */
struct part_merge_level {
    int64_t resolution_ms;
    const struct series_rules *rules;
    struct rule_done *rolled; /* adds what each of its rules replaces */
};
enum { PART_MERGE_LEVELS_MAX = 4 };

/* Pointers are borrowed until the merge is freed. */
struct part_merge_options {
    struct env *env;
    struct budget *budget;
    const char *parts_dir;
    const struct part_merge_input *inputs; /* ascending log positions */
    uint32_t input_count;
    struct time_range window;  /* samples and exemplars outside are not written */
    int64_t expired_before_ms; /* samples before it are counted as expired; INT64_MIN for none */
    const struct series_rules *rules; /* so are those of a series past its rule; NULL for none */
    int64_t rules_now_ms;             /* the time from which the ages of the rules count back */
    struct rule_done *removed;        /* adds what each rule removes */
    const struct part_merge_level *levels; /* rising resolutions, each a multiple of the last */
    uint32_t level_count;
    int64_t levels_now_ms;            /* the time from which the ages of the rules count back */
    const struct time_range *foreign; /* windows with samples elsewhere are not rolled up */
    uint32_t foreign_count;
    bool with_metadata; /* writes a tenant's metadata, from the newest input that has them */
    uint64_t number;    /* number of the output */
    uint64_t from_pos;
    uint64_t to_pos;
    int level;           /* zstd level; 0 to store pages uncompressed */
    size_t writer_bytes; /* for part_writer_set_memory(); 0 for PART_WRITER_MEMORY */
};

/* Counts of a tenant's samples of the inputs in the window; they add up to all of these. */
struct part_merge_counts {
    struct bytes tenant; /* a view of the inputs' name */
    uint64_t written[LEDGER_KIND_COUNT];
    uint64_t duplicate[LEDGER_KIND_COUNT];
    uint64_t superseded[LEDGER_KIND_COUNT];
    uint64_t by_window[LEDGER_KIND_COUNT]; /* superseded: a window of their time has them */
    uint64_t missed[LEDGER_KIND_COUNT];    /* left out: a window of their time lacks them */
    uint64_t deleted[LEDGER_KIND_COUNT];
    uint64_t expired[LEDGER_KIND_COUNT];
    uint64_t downsampled[LEDGER_KIND_COUNT]; /* rollups replaced them */
};

/*
 * The most that a merge takes of its budget: part_merge_memory_base() for a writer with that
 * memory, and for each input part_merge_memory(). The inputs are opened under the same budget;
 * pages that their cache keeps without being held are not included.
 *
 * It holds as long as no series of an input has more than PART_MERGE_BLOCKS_MAX blocks, and no
 * tenant more than 64 KiB of label names or of metadata.
 */
enum { PART_MERGE_BLOCKS_MAX = 2048 };
uint64_t part_merge_memory_base(size_t writer_bytes);
/* Returns the additional memory of a merge that has levels, or inputs with rollups, in bytes; of
 * one that may meet histograms. */
uint64_t part_merge_memory_levels(bool has_histograms);
uint64_t part_merge_memory(const struct part *input);

/* True if the part has samples that are old enough for a rule. Exemplars do not count. */
static inline bool
part_merge_may_expire(const struct series_rules *rules, int64_t now_ms,
                      const struct part_info *part)
{
    int64_t age_ms = series_rules_least_age_ms(rules, (struct bytes){NULL, 0});
    return age_ms != INT64_MAX && part->time.min_ms < now_ms - age_ms;
}

/* True if windows of the part are parts of windows of the resolution, or the other way round: else
 * the level applies to no input of a merge that has the part. */
bool part_merge_nests(const struct part *part, int64_t resolution_ms);

struct part_merge;
/* Prepares a merge; nothing is written before the first step. The options are copied, their inputs
 * borrowed until part_merge_free(). ERR_NOMEM. */
MUST_CHECK enum err part_merge_new(const struct part_merge_options *options,
                                   struct part_merge **ret_merge, struct why *why);
/* Abandons an unfinished merge; its directory, if it exists, is swept at the next start or written
 * again. */
void part_merge_free(struct part_merge *merge);
/*
 * Works for about `samples` samples; labels and series count as some. After an error the merge can
 * only be freed, and its inputs must stay as they are. ERR_CORRUPT: a page of input *ret_input is
 * damaged.
 */
MUST_CHECK enum err part_merge_step(struct part_merge *merge, uint64_t samples, bool *ret_done,
                                    uint32_t *ret_input, struct why *why);
/*
 * Makes the part durable, after the last step. If there was nothing to write no part is made, and
 * ret_info->number is 0. The counts of tenants that have any are views until part_merge_free().
 */
MUST_CHECK enum err part_merge_finish(struct part_merge *merge, struct part_info *ret_info,
                                      const struct part_merge_counts **ret_counts,
                                      uint32_t *ret_count, struct why *why);

/* --- choose_parts.c --------------------------------------------------------------------------- */

/*
 * Decides which parts are merged next. A pure function of what is live.
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
