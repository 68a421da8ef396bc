/* merging_private.h - private to store/: the state of a merge, and the plans of rewriting.c. */
#ifndef TSDB_STORE_MERGING_PRIVATE_H
#define TSDB_STORE_MERGING_PRIVATE_H

#include "tsdb/merge/choose_parts.h"
#include "tsdb/merge/parts.h"
#include "tsdb/store/store.h"

/* Shares of the memory of a merge. */
struct shares {
    uint64_t cache_bytes;
    size_t writer_bytes;
    uint64_t inputs_bytes;
};

struct merging {
    struct tsdb *db;
    const struct tsdb_merge_options *options;
    struct shares shares;
    struct version *version;
    struct tombstones
        *due; /* those that can no longer be undone; its last_id is that of the last */
    struct merge_plan plan;
    struct part **live; /* the inputs as objects of the version */
    /* The same files, read through a cache of their own: pages of queries stay cached. */
    struct part_merge_input *inputs;
    struct page_cache *cache;
    struct part **outputs;
    uint32_t output_count;
    uint64_t to_pos;       /* end of the input that ends last: not always the last input */
    struct ledger *change; /* by tenant id */
    uint32_t change_count;
    uint64_t counted[LEDGER_KIND_COUNT]; /* counts of the inputs, in any output or dropped */
    struct series_rules *rules;          /* of retention; NULL: nothing is removed by rules */
    int64_t rules_now_ms;
    int64_t kept_ms;              /* age from which on all samples are expired; 0: never */
    struct rule_removal *removed; /* by rule */
    struct part_merge_level levels[TSDB_LEVELS_MAX];
    struct series_rules *level_rules[TSDB_LEVELS_MAX]; /* of these; references */
    uint32_t level_count;
    uint64_t levels_number; /* other levels have another one; 0 for none */
    int64_t levels_now_ms;
    struct time_range *foreign; /* see list_foreign() */
    uint32_t foreign_count;
    struct tsdb_merge_now now;
    struct arena arena;
    struct why *why;
};

/* ERR_CANCELED: the merge is to stop. */
MUST_CHECK enum err merging_check(struct merging *merging);

/*
 * Plan to write parts again though nothing else merges them: one of which enough samples are past
 * their rules of retention, or a partition of which levels of downsampling may replace enough. No
 * inputs if none is worth it. Errors of reading a part, which is then left alone; ERR_NOMEM.
 */
MUST_CHECK enum err merging_plan_rules(struct merging *merging, const struct plan_part *parts,
                                       const struct merge_plan_options *options);
MUST_CHECK enum err merging_plan_levels(struct merging *merging, const struct plan_part *parts,
                                        const struct merge_plan_options *options);

#endif
