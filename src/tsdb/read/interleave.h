/*
 * interleave.h - private to tsdb/: the samples of one series out of all chunks, late buffers and
 * blocks that hold some, in time order. Where two sources have the same time, the one of the lower
 * order (the earlier arrival) wins.
 *
 * Memory is that of the items and of as many decoded ones as overlap at one time. A block that
 * meets nothing else, and of which nothing is left out, need not be read where statistics do.
 */
#ifndef TSDB_READ_INTERLEAVE_H
#define TSDB_READ_INTERLEAVE_H

#include "base/warnings.h"
#include "model/select.h"
#include "tsdb/head/gen.h"

struct part;
struct block_ref;
struct times_cache;

enum piece_type { PIECE_CHUNK, PIECE_LATE, PIECE_BLOCK, PIECE_BUNDLE };

/* One piece that can be decoded. What it points to stays valid meanwhile. */
struct interleave_item {
    int64_t min_ms;
    int64_t max_ms;
    uint32_t order; /* earlier arrivals first */
    uint8_t type;   /* enum piece_type */
    uint8_t kind;   /* enum sample_kind; PIECE_LATE: mixed */
    uint32_t count;
    uint32_t hidden_count;
    const struct time_range *hidden; /* deleted in this piece: another sample may be the first */
    union {
        struct bytes chunk;
        const struct late_sample *late;
        struct {
            struct part *part;
            const struct block_ref *ref; /* PIECE_BUNDLE: the first of ref->bundled */
            uint32_t row;
        } block;
    };
};

struct interleave_slot;
struct interleave {
    struct budget *budget;
    struct times_cache *times;     /* NULL: too few blocks were read yet */
    uint32_t blocks_read;          /* until it is made */
    uint32_t block_samples_most;   /* of these */
    struct query_control *control; /* may be NULL */
    uint64_t unchecked_samples;    /* read since it was last asked whether to go on */
    struct arena items_arena;      /* items, copies of open chunks and late samples */
    struct interleave_item *items;
    uint32_t item_count;
    uint32_t item_capacity;
    uint32_t next_item;
    int64_t min_ms;
    int64_t max_ms;
    int64_t expired_before_ms; /* what is older is left out; set after interleave_reset() */
    bool partial;
    bool chunks;        /* histograms of blocks may be shown as chunks or columns; set after init */
    bool times_only;    /* floats may be any number; set after init */
    unsigned summaries; /* what of blocks' statistics may stand for samples; set after init, with */
    struct query_windows windows;
    struct sample_summary summary;  /* shown in the last batch */
    struct interleave_slot *active; /* list, by order */
    struct interleave_slot *spent;  /* shown in the last batch */
    struct interleave_slot *idle;
    struct bundles *bundles; /* made when there is one */
    struct sample_batch_memory *out;
    uint64_t duplicate_count[LEDGER_KIND_COUNT];  /* dropped: the same value was there */
    uint64_t superseded_count[LEDGER_KIND_COUNT]; /* dropped: another value was there first */
    uint64_t deleted_count[LEDGER_KIND_COUNT];    /* left out: hidden, and within min..max */
    uint64_t expired_count[LEDGER_KIND_COUNT]; /* left out: expired, not hidden, within min..max */
    struct series_cost read; /* blocks, chunks, and their bytes; the rest is the owner's to count */
    struct warnings warnings; /* damaged blocks left out, `partial` only */
};

void interleave_init(struct interleave *interleave, struct budget *budget,
                     struct query_control *control);
void interleave_fini(struct interleave *interleave);

/* Forgets the last series, though not the counts; items are then added, and interleave_begin()
 * starts. */
void interleave_reset(struct interleave *interleave, int64_t min_ms, int64_t max_ms, bool partial);
/* What it takes to read an item: blocks, about as many samples as are within the time, bytes. */
struct series_cost interleave_item_cost(const struct interleave_item *item, int64_t min_ms,
                                        int64_t max_ms);
/* A new item to fill in. NULL: no memory. */
struct interleave_item *interleave_add(struct interleave *interleave);
void interleave_begin(struct interleave *interleave);
/* The next samples within min..max; count 0 at the end. Views end with the next call. */
MUST_CHECK enum err interleave_next(struct interleave *interleave, struct sample_batch *ret_batch,
                                    struct why *why);

/*
 * Adds what a series of the head holds in its [min, max] and came in `epoch` or before.
 * The head lock is held, unless the generation is frozen, nobody can undo in it, and all of it came
 * so.
 */
MUST_CHECK enum err interleave_add_series(struct interleave *interleave, const struct gen *gen,
                                          const struct gen_series *series, uint32_t epoch,
                                          uint32_t order);

#endif
