/*
 * interleave.h - private to tsdb/: merges the chunks, late buffers and blocks of one series into
 * batches of samples in time order. If two have a sample at the same time, that of the lower order
 * (the earlier arrival) wins. Blocks of rollups win over samples in their windows.
 *
 * Memory is that of the items and of as many decoded ones as overlap at one time. A block that
 * overlaps no other item, and of which no sample is left out, may be answered by its statistics
 * without being read.
 */
#ifndef TSDB_READ_INTERLEAVE_H
#define TSDB_READ_INTERLEAVE_H

#include "base/array.h"
#include "base/text/texts.h"
#include "model/select.h"
#include "tsdb/codec/rollups.h"
#include "tsdb/head/gen.h"
#include "tsdb/part/part.h"

enum piece_type { PIECE_CHUNK, PIECE_LATE, PIECE_BLOCK, PIECE_BUNDLE, PIECE_ROLLUPS };

/* A chunk, late buffer, block or bundle of blocks. The memory it points to is valid until the next
 * interleave_reset(). */
struct interleave_item {
    int64_t min_ms; /* PIECE_ROLLUPS: of whole windows, see block_span() */
    int64_t max_ms;
    uint32_t order; /* earlier arrivals are lower */
    uint8_t type;   /* enum piece_type */
    uint8_t kind;   /* enum sample_kind; PIECE_LATE: mixed */
    uint32_t count;
    uint32_t hidden_count;
    const struct time_range *hidden; /* times deleted in this piece, though perhaps not in others */
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
    struct times_cache *times;     /* NULL until some blocks were read */
    uint32_t blocks_read;          /* before `times` is made */
    uint32_t block_samples_most;   /* samples of the largest of these blocks */
    struct query_control *control; /* may be NULL */
    uint64_t unchecked_samples;    /* samples read since `control` was last checked */
    struct arena items_arena;      /* copies of open chunks and late samples, lists of deletions */
    struct interleave_item *items; /* sorted from next_item on, after the beginning */
    uint32_t item_count;
    uint32_t item_capacity;
    uint32_t next_item; /* the first item that is not decoded */
    int64_t min_ms;
    int64_t max_ms;
    int64_t shown_ms;          /* time of the last sample returned; INT64_MIN before the first */
    int64_t expired_before_ms; /* older samples are left out; set after interleave_reset() */
    bool partial;
    bool chunks;     /* histograms of blocks may be shown as chunks or columns; set after init */
    bool times_only; /* values of floats may be any number; set after init */
    enum rollup_use rollups; /* what is used of rollups; ROLLUP_NONE shows their last samples */
    unsigned summaries;      /* statistics of blocks that may replace samples, within `windows`; */
    struct query_windows windows;   /* both set after init */
    struct sample_summary summary;  /* shown in the last batch */
    struct interleave_slot *active; /* list, by order: decoded, with samples left */
    struct interleave_slot *spent;  /* list: the last batch may show their arrays */
    struct interleave_slot *idle;   /* list: free for the next item */
    struct bundles *bundles;        /* made for the first bundle */
    struct sample_batch_memory *out;
    uint32_t level_count;             /* the first items: rollups */
    struct interleave_levels *levels; /* made for the first of them */
    uint32_t failed_item;             /* the last item that was decoded, or could not be */
    uint64_t duplicate_count[LEDGER_KIND_COUNT];  /* dropped: an equal sample was there first */
    uint64_t superseded_count[LEDGER_KIND_COUNT]; /* dropped: another value was there first */
    uint64_t by_window_count[LEDGER_KIND_COUNT];  /* dropped: a window of their time has them */
    uint64_t missed_count[LEDGER_KIND_COUNT];     /* dropped: it lacks them */
    uint64_t deleted_count[LEDGER_KIND_COUNT];    /* left out: hidden, and within min..max */
    uint64_t expired_count[LEDGER_KIND_COUNT]; /* left out: expired, not hidden, within min..max */
    uint64_t joined_count[LEDGER_KIND_COUNT];  /* samples that were joined with windows */
    struct series_cost read;  /* blocks, chunks, and their bytes; the owner counts the rest */
    struct warnings warnings; /* damaged blocks left out, `partial` only */
};

void interleave_init(struct interleave *interleave, struct budget *budget,
                     struct query_control *control);
void interleave_fini(struct interleave *interleave);

/* Begins a series: forgets the items of the last one, not the counts. Items are added next, and
 * then interleave_begin() is called. */
void interleave_reset(struct interleave *interleave, int64_t min_ms, int64_t max_ms, bool partial);
/* The cost of reading an item: blocks, bytes, and an estimate of the samples within min..max. */
struct series_cost interleave_item_cost(const struct interleave_item *item, int64_t min_ms,
                                        int64_t max_ms);
/* Adds an item for the caller to fill in. NULL without memory. */
struct interleave_item *interleave_add(struct interleave *interleave);
/* All items are added: sorts them. */
void interleave_begin(struct interleave *interleave);
/* The next samples within min..max, and rollups of windows that overlap it; count 0 at the end.
 * Views end with the next call. */
MUST_CHECK enum err interleave_next(struct interleave *interleave, struct sample_batch *ret_batch,
                                    struct why *why);

/* True if samples of the window may be in one of the deleted ranges: then it is hidden whole. */
bool rollup_is_hidden(const struct rollup *rollup, const struct time_range *hidden, uint32_t count);

/*
 * Adds the samples of a series of the head that are within min..max and of `epoch` or before. The
 * head lock is held, unless the generation is frozen and all of it is of `epoch` or before.
 */
MUST_CHECK enum err interleave_add_series(struct interleave *interleave, const struct gen *gen,
                                          const struct gen_series *series, uint32_t epoch,
                                          uint32_t order);

/* --- private to interleave*.c: decoded items -------------------------------------------------- */

/* A decoded item. Arrays are allocated as needed: most series are short, and have floats. */
struct interleave_slot {
    struct interleave_slot *next;
    uint32_t order;
    uint32_t at;
    uint32_t count;
    uint32_t capacity;           /* size of times, bits and starts: one piece */
    uint32_t histogram_capacity; /* size of histograms and kinds: one piece */
    bool has_starts;
    bool mixed;            /* kinds differ: `kinds` has them */
    enum sample_kind kind; /* if not mixed */
    int64_t *times;
    uint64_t *bits;
    int64_t *starts;
    struct histogram *histograms;
    uint8_t *kinds;
    struct arena arena; /* histograms' arrays */
    uint32_t item;
    bool in_columns; /* histograms are in `columns`, not in the array above */
    struct hist_columns columns;
};

static inline enum sample_kind
slot_kind(const struct interleave_slot *s, uint32_t at)
{
    return s->mixed ? (enum sample_kind)s->kinds[at] : s->kind;
}

/* Returns the index of the first sample of times[from..end) at or after t. */
static inline uint32_t
slot_from(const struct interleave_slot *s, uint32_t from, uint32_t end, int64_t t_ms)
{
    return search_first(i, from, end, s->times[i] >= t_ms);
}

/* Returns false if the block may have a staleness marker. */
static inline bool
block_has_numbers(const struct block_ref *b)
{
    return b->has_stats && b->stats.number_count == b->count;
}

/* --- interleave.c ----------------------------------------------------------------------------- */

/* Counts an item as read. ERR_LIMIT: the query has read too many bytes. */
MUST_CHECK enum err interleave_count_read(struct interleave *interleave,
                                          const struct interleave_item *item, struct why *why);

/* Returns the next samples of items that are not rollups: interleave_next() for a series without.
 */
MUST_CHECK enum err interleave_next_raw(struct interleave *interleave,
                                        struct sample_batch *ret_batch, struct why *why);

/* --- interleave_levels.c ---------------------------------------------------------------------- */

/* interleave_next() for a series that has rollups. */
MUST_CHECK enum err interleave_next_level(struct interleave *interleave,
                                          struct sample_batch *ret_batch, struct why *why);
/* Forgets the rollups of a series; frees the memory for them, too. */
void interleave_levels_reset(struct interleave *interleave);
void interleave_levels_free(struct interleave *interleave);

#endif
