/*
 * chunk_histogram_private.h - shared by the files of the histogram chunk writer and private to
 * them.
 */
#ifndef WIRE_CHUNK_CHUNK_HISTOGRAM_PRIVATE_H
#define WIRE_CHUNK_CHUNK_HISTOGRAM_PRIVATE_H

#include "wire/chunk/chunk_bits.h"
#include "wire/chunk/chunk_histogram.h"

/* The columns of a chunk, in its order. A column that is always 0 precedes the buckets of each
 * sign, so that each bucket has a predecessor. */
enum { COLUMN_COUNT, COLUMN_ZERO, COLUMN_SUM, COLUMN_BEFORE_POSITIVE, COLUMN_POSITIVE };

enum { ROW_WORDS = HISTOGRAM_CHUNK_SAMPLES / 64 };
_Static_assert(HISTOGRAM_CHUNK_SAMPLES % 64 == 0, "rows are the bits of words");

/* A growing array. */
struct layout_room {
    void *at;
    size_t size_bytes;
};

/* The rows of the chunk being gathered, as steps from row to row. `steps` and `masks` are zero
 * after the last row, and `steps` where the bit in the row's mask is 0. */
struct histogram_chunks {
    struct budget *budget;
    size_t bytes_max;
    take_histogram_chunk *take;
    void *context;

    struct histogram layout;   /* layout of all rows; has no counts */
    struct arena memory;       /* of the arrays of `layout` and of those below */
    uint32_t columns, words;   /* size of a row, and of its mask */
    uint32_t negative;         /* column of the first negative bucket */
    uint64_t *valid;           /* mask of the columns that are buckets */
    uint64_t *zeros;           /* a row of zeros */
    uint64_t *base, *last;     /* absolute numbers before row 0 (while encoding: before the chunk's
                                  second row), and in the last row */
    struct xor_state *windows; /* for floats, in the chunk being encoded */
    bool gauge;

    uint32_t rows_max;
    uint32_t rows;
    uint32_t stale_from; /* first row of the staleness markers at the end */
    bool goes_on;        /* `last` is the row before the next one */
    int64_t times_ms[HISTOGRAM_CHUNK_SAMPLES];
    /* A number is less than in the previous row, or the hint says that the counter was reset. */
    uint8_t falls[HISTOGRAM_CHUNK_SAMPLES];
    uint64_t touched[ROW_WORDS]; /* one bit per row: its mask is not 0, or it is stale */
    uint64_t visited[ROW_WORDS]; /* while encoding: rows to visit */

    struct layout_room steps, masks; /* uint64_t, row after row */
    uint64_t *now;                   /* in `numbers`: the next histogram, absolute, by column */
    struct layout_room numbers;
    struct layout_room reached; /* while columns are put: steps done, a uint32_t per column */
    struct buf data;
};

static inline uint64_t *
row_steps(const struct histogram_chunks *w, uint32_t row)
{
    return (uint64_t *)w->steps.at + (size_t)row * w->columns;
}

static inline uint64_t *
row_mask(const struct histogram_chunks *w, uint32_t row)
{
    return (uint64_t *)w->masks.at + (size_t)row * w->words;
}

/* Passes all rows on as chunks and forgets them; `base` becomes `last`. */
MUST_CHECK enum err rows_encode(struct histogram_chunks *w, struct why *why);

#endif
