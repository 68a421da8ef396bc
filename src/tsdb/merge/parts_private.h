/*
 * parts_private.h - private to the files that merge parts: the merge as an object, and where
 * it stands in each input.
 */
#ifndef TSDB_MERGE_PARTS_PRIVATE_H
#define TSDB_MERGE_PARTS_PRIVATE_H

#include "tsdb/merge/parts.h"
#include "tsdb/part/times.h"
#include "tsdb/part/walk.h"

/* What a step counts for work on labels and rows, in samples. */
enum { PAIR_WORK = 8, ROW_WORK = 16, EXEMPLAR_WORK = 8 };

/* An input. */
struct merge_source {
    struct part *part;
    const struct part_merge_input *input;
    uint32_t number;           /* among the inputs: the order of arrival */
    roaring_bitmap_t *deleted; /* series of which something may be; NULL: none */
    bool in_window;            /* samples of the part may lie in the window, */
    bool untouched;            /* or all of them do, and none is deleted or expired */
    struct row_reader *rows;
    struct value_walk values;
    struct exemplar_walk exemplars;

    /* Of the tenant at hand. */
    uint32_t next_tenant;             /* in the part */
    const struct part_tenant *tenant; /* NULL: unknown here */
    bool active;                      /* has series that go on */
    bool has_exemplars;
    bool whole; /* all of its series go on, and so all pairs */
    struct part_index index;
    uint64_t *live;    /* bits: series that go on; if not whole */
    uint64_t *used;    /* bits: pairs of those; if not whole */
    uint32_t *numbers; /* pair within the tenant -> pair in the output; NULL: of one input alone, */
    uint32_t *ranks;   /* then: used pairs before each RANK_PAIRS of them; if not whole */

    /* The label value it stands at. */
    uint32_t next_name; /* in the index */
    uint32_t pair;      /* in the part */
    uint32_t pair_end;

    /* The series it stands at. */
    uint32_t row; /* within the tenant */
    const struct block_ref *blocks;
    uint32_t block_count;
    struct buf hidden;       /* struct time_range: what is deleted of it */
    struct buf pairs;        /* u32: its pairs in the output */
    struct buf pairs_before; /* of the series before */
};

/* Sources by what they stand at: the first on top, the earlier input before the later. */
struct source_heap {
    struct merge_source **at;
    uint32_t count;
};

/* A block of the series at hand that has something of the window. */
struct merge_piece {
    int64_t min_ms;
    int64_t max_ms;
    struct merge_source *source;
    const struct block_ref *block;
    bool is_clean; /* nothing of it is outside, deleted or expired */
};

enum merge_phase {
    PHASE_TENANT,    /* the next tenant of any input */
    PHASE_WALK,      /* which of its series have something that stays */
    PHASE_PAIRS,     /* their labels, merged and written */
    PHASE_SERIES,    /* the next series in label order */
    PHASE_SAMPLES,   /* its samples, */
    PHASE_EXEMPLARS, /* and its exemplars */
    PHASE_TENANT_END,
    PHASE_DONE,
};

struct part_merge {
    struct part_merge_options options;
    struct budget *budget;
    struct part_writer *writer; /* NULL: nothing was written yet */
    struct merge_source *sources;
    uint32_t source_count;
    enum merge_phase phase;
    uint64_t work; /* done in this step, in samples */
    uint32_t failed_source;
    struct why why;

    /* The tenant at hand. */
    struct bytes tenant; /* view of a part's */
    struct arena tenant_arena;
    struct buf counts; /* struct part_merge_counts, of the tenants before */
    struct part_merge_counts count;
    uint32_t walk_source;
    uint32_t walk_row;
    uint32_t pair_count;
    uint32_t series_count;
    struct source_heap heap;
    struct bytes name; /* of the label values in the heap */
    bool has_value;
    struct buf value; /* the one written last */

    /* The series at hand. */
    struct merge_source **group; /* those that have it, by arrival */
    uint32_t group_count;
    struct buf pieces; /* struct merge_piece, by time */
    uint32_t next_piece;
    bool merging; /* `merge` has more */
    struct interleave interleave;
    struct buf exemplars; /* struct equal_time */
    struct arena exemplar_arena;
    int64_t *times; /* CODEC_SAMPLES_MAX, made when needed */
};

/* --- parts.c ---------------------------------------------------------------------------------- */

/* Passes on an error met while reading an input, and remembers which. */
enum err merge_source_error(struct part_merge *merge, const struct merge_source *source,
                            enum err e);

/* --- walk.c: what stays ----------------------------------------------------------------------- */

/* What becomes of something at this time. */
enum merge_fate { FATE_STAYS, FATE_OUTSIDE, FATE_DELETED, FATE_EXPIRED };
enum merge_fate merge_fate(const struct part_merge *merge, const struct merge_source *source,
                           int64_t t_ms);
/* Of a whole block; FATE_STAYS and `ret_mixed`: some of it may, its times must be looked at. */
enum merge_fate merge_block_fate(const struct part_merge *merge, const struct merge_source *source,
                                 const struct block_ref *block, bool *ret_mixed);
void merge_count_fate(struct part_merge *merge, enum merge_fate fate, enum ledger_kind kind,
                      uint64_t count);
/* Collects what is deleted of a series in source->hidden. */
MUST_CHECK enum err merge_hidden(struct part_merge *merge, struct merge_source *source,
                                 uint32_t row);

/* Sets up a source that has the tenant: which of its series are in question. */
MUST_CHECK enum err merge_walk_begin(struct part_merge *merge, struct merge_source *source);
/* Looks at one series. */
MUST_CHECK enum err merge_walk(struct part_merge *merge);

/* --- labels.c: pairs and series in order ------------------------------------------------------ */

MUST_CHECK enum err merge_pairs_begin(struct part_merge *merge);
/* Writes the next pair; goes on to series after the last. */
MUST_CHECK enum err merge_pair(struct part_merge *merge);
/* Makes a group of the sources that have the next series. group_count 0: there is none. */
MUST_CHECK enum err merge_next_series(struct part_merge *merge);

/* --- samples.c: what belongs to a series ------------------------------------------------------ */

MUST_CHECK enum err merge_samples_begin(struct part_merge *merge);
/* Writes a block or a batch; goes on to exemplars after the last. */
MUST_CHECK enum err merge_samples(struct part_merge *merge);
/* Writes the exemplars of one time; goes on to the next series after the last. */
MUST_CHECK enum err merge_exemplars(struct part_merge *merge);

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
