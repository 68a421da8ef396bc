/*
 * parts_private.h - private to the files that merge parts: the merge as an object, and its position
 * in each input.
 */
#ifndef TSDB_MERGE_PARTS_PRIVATE_H
#define TSDB_MERGE_PARTS_PRIVATE_H

#include "tsdb/merge/parts.h"
#include "tsdb/part/part.h"
#include "tsdb/part/walk.h"

/* The work of a step on labels, rows and exemplars, in samples. */
enum { PAIR_WORK = 8, ROW_WORK = 16, EXEMPLAR_WORK = 8 };

/* An input. */
struct merge_source {
    struct part *part;
    const struct part_merge_input *input;
    uint32_t number;           /* index of the input: the order of arrival */
    roaring_bitmap_t *deleted; /* series of which something may be deleted; NULL if none */
    bool in_window;            /* samples of the part may be in the window */
    bool untouched;            /* all samples are in the window, and none is deleted or expired */
    struct row_reader *rows;
    struct value_walk values;
    struct exemplar_walk exemplars;

    /* The current tenant. */
    uint32_t next_tenant;             /* index in the part of the one after it */
    const struct part_tenant *tenant; /* NULL if the part does not have it */
    bool active;                      /* it has series that stay */
    bool has_exemplars;
    bool whole; /* all of its series stay, and so all pairs */
    struct part_index index;
    uint64_t *live;    /* bits of series that stay; NULL if whole */
    uint64_t *used;    /* bits of the pairs of these; NULL if whole */
    uint32_t *numbers; /* pair within the tenant -> pair in the output; NULL if it is the only input
                        */
    uint32_t *ranks;   /* for the only input, unless whole: used pairs before each RANK_PAIRS */

    /* The current label value. */
    uint32_t next_name; /* index of the name after it */
    uint32_t pair;      /* pair in the part */
    uint32_t pair_end;

    /* The current series. */
    uint32_t row; /* row within the tenant */
    const struct block_ref *blocks;
    uint32_t block_count;
    struct buf hidden;              /* struct time_range: deleted times */
    int64_t expired_before_ms;      /* of the series, by its rule or for all */
    const struct series_rule *rule; /* the rule that says so; NULL: it is the time for all */
    struct buf pairs;               /* u32: its pairs in the output */
    struct buf pairs_before;        /* pairs of the series before it */
};

/* A heap of sources by their current value or series: the least on top, of equal ones the earlier
 * input. */
struct source_heap {
    struct merge_source **at;
    uint32_t count;
};

/* A block of the current series that has something in the window. */
struct merge_piece {
    int64_t min_ms;
    int64_t max_ms;
    struct merge_source *source;
    const struct block_ref *block;
    bool is_clean; /* nothing of it is outside the window, deleted or expired */
};

enum merge_phase {
    PHASE_TENANT,    /* the next tenant of any input */
    PHASE_WALK,      /* finds the series with samples that stay */
    PHASE_PAIRS,     /* merges and writes the labels of these series */
    PHASE_SERIES,    /* chooses the next series in label order */
    PHASE_SAMPLES,   /* writes its samples */
    PHASE_EXEMPLARS, /* writes its exemplars */
    PHASE_TENANT_END,
    PHASE_DONE,
};

struct part_merge {
    struct part_merge_options options;
    struct budget *budget;
    struct part_writer *writer; /* NULL before something is written */
    struct merge_source *sources;
    uint32_t source_count;
    enum merge_phase phase;
    uint64_t work; /* work of this step, in samples */
    uint32_t failed_source;
    struct why why;

    /* The current tenant. */
    struct bytes tenant; /* a view of a part's name */
    struct arena tenant_arena;
    struct buf counts; /* struct part_merge_counts of the tenants before it */
    struct part_merge_counts count;
    bool has_rules; /* some rule may decide for series of the tenant */
    uint32_t walk_source;
    uint32_t walk_row;
    uint32_t pair_count;
    uint32_t series_count;
    struct source_heap heap;
    struct bytes name; /* name of the label values in the heap */
    bool has_value;
    struct buf value; /* the value written last; valid with has_value */

    /* The current series. */
    struct merge_source **group; /* sources that have it, by arrival */
    uint32_t group_count;
    struct buf pieces; /* struct merge_piece, by time */
    uint32_t next_piece;
    bool merging;                /* `interleave` has more samples of the run, */
    bool leveling;               /* which go through `levels` */
    bool has_levels;             /* a level may apply to series of the tenant */
    struct merge_levels *levels; /* made when needed */
    struct interleave interleave;
    struct buf exemplars; /* struct equal_time */
    struct arena exemplar_arena;
    int64_t *times; /* CODEC_SAMPLES_MAX times, allocated when needed */
};

/* --- parts.c ---------------------------------------------------------------------------------- */

/* Returns an error that occurred while reading an input, and remembers the input. */
enum err merge_source_error(struct part_merge *merge, const struct merge_source *source,
                            enum err e);

/* The fate of a sample or exemplar. */
enum merge_fate { FATE_STAYS, FATE_OUTSIDE, FATE_DELETED, FATE_EXPIRED };
enum merge_fate merge_fate(const struct part_merge *merge, const struct merge_source *source,
                           int64_t t_ms);
/* The fate of a whole block. FATE_STAYS with `ret_mixed`: part of it may stay, as its times say. */
enum merge_fate merge_block_fate(const struct part_merge *merge, const struct merge_source *source,
                                 const struct block_ref *block, bool *ret_mixed);
void merge_count_fate(struct part_merge *merge, const struct merge_source *source,
                      enum merge_fate fate, enum ledger_kind kind, uint64_t count);
/* Returns what the rule of the current series of the source removes; it has one. */
struct rule_done *merge_removal(struct part_merge *merge, const struct merge_source *source);

/* --- samples.c: samples and exemplars of a series --------------------------------------------- */

MUST_CHECK enum err merge_samples_begin(struct part_merge *merge);
/* Writes a block or a batch; begins the exemplars after the last. */
MUST_CHECK enum err merge_samples(struct part_merge *merge);
/* Writes the exemplars of one time; begins the next series after the last. */
MUST_CHECK enum err merge_exemplars(struct part_merge *merge);

/* The pieces of the current series, by time. */
static inline const struct merge_piece *
merge_pieces(const struct part_merge *m, uint32_t *ret_count)
{
    *ret_count = (uint32_t)(m->pieces.size / sizeof(struct merge_piece));
    return (const struct merge_piece *)(const void *)m->pieces.at;
}

/* --- levels.c: rollups in place of samples ---------------------------------------------------- */

/* True if a level may apply to series of the tenant. */
bool merge_levels_concern(const struct part_merge *merge, struct bytes tenant);
/* Finds the levels of the current series. */
MUST_CHECK enum err merge_levels_begin(struct part_merge *merge);
/* True if a level may replace something of the block. */
bool merge_levels_want(const struct part_merge *merge, const struct merge_piece *piece);
/* Begins a run, whose samples of each kind take so many bytes in the inputs. */
MUST_CHECK enum err merge_levels_run(struct part_merge *merge, const uint64_t *bytes,
                                     const uint64_t *samples);
/* Takes samples or rollups of the run. */
MUST_CHECK enum err merge_levels_take(struct part_merge *merge, const struct sample_batch *batch);
MUST_CHECK enum err merge_levels_end(struct part_merge *merge);
void merge_levels_free(struct part_merge *merge);

static inline bool
bit_get(const uint64_t *bits, uint32_t at)
{
    return bits[at / 64] >> at % 64 & 1;
}

static inline void
bit_set(uint64_t *bits, uint32_t at)
{
    bits[at / 64] |= UINT64_C(1) << at % 64;
}

#endif
