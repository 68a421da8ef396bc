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

#include "model/series_rules.h"
#include "tsdb/part/tombstone.h"
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
part_merge_may_expire(const struct part_merge_options *options, const struct part_info *part)
{
    int64_t age_ms = series_rules_least_age_ms(options->rules, (struct bytes){NULL, 0});
    return age_ms != INT64_MAX && part->time.min_ms < options->rules_now_ms - age_ms;
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

#endif
