/*
 * parts.h - private to tsdb/: several parts become one, for one stretch of time.
 *
 * The inputs are given in the order of the log. Where two hold a sample of one series and time, the
 * earlier arrival stays; the other is counted as duplicate (same value) or superseded. What lies
 * outside of the window is left for another output of the same inputs, so that parts which span
 * partitions are split by as many merges as there are partitions.
 *
 * Memory does not depend on the number of samples: per input one page of each kind and a tenant's
 * pair numbers, the blocks that overlap at one time, and what the writer holds. It is known before:
 * part_merge_memory(). Pages are read through the caches the inputs were opened with: with one of
 * their own they push out nobody's.
 *
 * Threads: one at a time; the inputs may be read by others meanwhile.
 */
#ifndef TSDB_MERGE_PARTS_H
#define TSDB_MERGE_PARTS_H

#include "tsdb/part/tombstone.h"
#include "tsdb/read/interleave.h"

struct part_merge_input {
    struct part *part; /* borrowed until the merge is freed */
    const struct part_deletion *deletions;
    uint32_t deletion_count;
};

/* What they point to is borrowed until the merge is freed. */
struct part_merge_options {
    struct env *env;
    struct budget *budget;
    const char *parts_dir;
    const struct part_merge_input *inputs; /* ascending log positions */
    uint32_t input_count;
    struct time_range window;  /* samples and exemplars outside are not written */
    int64_t expired_before_ms; /* samples before are counted as expired; INT64_MIN: none */
    bool with_metadata;        /* of the newest input that has any of the tenant */
    uint64_t number;           /* of the output */
    uint64_t from_pos;
    uint64_t to_pos;
    int level;           /* of zstd; 0: pages are stored as they are */
    size_t writer_bytes; /* for part_writer_set_memory(); 0: PART_WRITER_MEMORY */
};

/* What became of a tenant's samples of the inputs that lie in the window: these add up to them. */
struct part_merge_counts {
    struct bytes tenant; /* view of the inputs' */
    uint64_t written[LEDGER_KIND_COUNT];
    uint64_t duplicate[LEDGER_KIND_COUNT];
    uint64_t superseded[LEDGER_KIND_COUNT];
    uint64_t deleted[LEDGER_KIND_COUNT];
    uint64_t expired[LEDGER_KIND_COUNT];
};

/*
 * What a merge takes of its budget at most: part_merge_memory_base(), and for each input
 * part_merge_memory(); opened under the same budget, but without what their cache keeps beyond the
 * pages that are held. With a writer of the memory that is given to part_writer_set_memory().
 *
 * It holds as long as no series of an input has more than PART_MERGE_BLOCKS_MAX blocks, and no
 * tenant more than 64 KiB of label names or of metadata.
 */
enum { PART_MERGE_BLOCKS_MAX = 2048 };
uint64_t part_merge_memory_base(size_t writer_bytes);
uint64_t part_merge_memory(const struct part *input);

struct part_merge;
MUST_CHECK enum err part_merge_new(const struct part_merge_options *options,
                                   struct part_merge **ret_merge, struct why *why);
/* Abandons what is not finished; its directory, if it is there yet, is swept at the next start or
 * written again. */
void part_merge_free(struct part_merge *merge);
/*
 * Goes on for about `samples` samples; labels and series count as some. After an error the merge is
 * void, can only be freed, and its inputs must stay as they are. ERR_CORRUPT: a page of an input is
 * damaged; which input is in *ret_input.
 */
MUST_CHECK enum err part_merge_step(struct part_merge *merge, uint64_t samples, bool *ret_done,
                                    uint32_t *ret_input, struct why *why);
/*
 * After the last step: the part is durable. With nothing to write no part is made, and
 * ret_info->number is 0. The counts, by tenant, of those that have any, are views until
 * part_merge_free().
 */
MUST_CHECK enum err part_merge_finish(struct part_merge *merge, struct part_info *ret_info,
                                      const struct part_merge_counts **ret_counts,
                                      uint32_t *ret_count, struct why *why);

#endif
