/*
 * interleave_private.h - private to interleave*.c: decoded items, and what the merge asks of them.
 */
#ifndef TSDB_READ_INTERLEAVE_PRIVATE_H
#define TSDB_READ_INTERLEAVE_PRIVATE_H

#include "base/array.h"
#include "tsdb/codec/rollups.h"
#include "tsdb/part/part.h"
#include "tsdb/read/interleave.h"

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
