/*
 * chunk_histogram_private.h - shared by the files of the histogram chunk writer and private to
 * them.
 */
#ifndef WIRE_CHUNK_CHUNK_HISTOGRAM_PRIVATE_H
#define WIRE_CHUNK_CHUNK_HISTOGRAM_PRIVATE_H

#include "wire/chunk/chunk_bits.h"
#include "wire/chunk/chunk_histogram.h"

/* The columns of a chunk, in its order. A column that is always 0 precedes the buckets of each
 * sign, so that each bucket has a predecessor. When a layout grows, existing columns keep their
 * places in rows, and new columns get places after them. */
enum {
    COLUMN_COUNT,
    COLUMN_ZERO,
    COLUMN_SUM,
    COLUMN_BEFORE_POSITIVE,
    COLUMN_POSITIVE,
    COLUMNS_BESIDE_BUCKETS = 5
};

enum { ROW_WORDS = HISTOGRAM_CHUNK_SAMPLES / 64 };
_Static_assert(HISTOGRAM_CHUNK_SAMPLES % 64 == 0, "rows are the bits of words");

/* A growing array. */
struct layout_room {
    void *at;
    size_t size_bytes;
};

/* The rows of the chunk being gathered, as steps from row to row. steps[] and masks[] are zero
 * after the last row, and steps[] where the bit in the row's mask is 0. */
struct histogram_chunks {
    struct budget *budget;
    enum chunk_layouts layouts;
    size_t bytes_max;
    take_histogram_chunk *take;
    void *context;

    struct histogram layout;  /* layout of all rows; owns its arrays, has no counts */
    struct layout_room spans; /* positive, then negative */
    struct layout_room custom;
    uint32_t negative; /* column of the first negative bucket */
    uint32_t columns;
    uint32_t *places;  /* place of each column */
    uint32_t *ordered; /* column of each place */
    struct layout_room places_room, ordered_room;
    bool straight;   /* places[c] == c for all columns */
    uint32_t words;  /* words of a mask of columns */
    uint64_t *valid; /* mask of the columns that are buckets */
    struct layout_room valid_room;
    bool gauge;

    uint32_t rows_max;
    uint32_t rows;
    uint32_t stale_from; /* first row of the staleness markers at the end */
    bool goes_on;        /* `last` is the row before the next one */
    bool has_header;     /* `header` is the header for row 0; else its hint gives it */
    enum chunk_reset header;
    int64_t times_ms[HISTOGRAM_CHUNK_SAMPLES];
    uint8_t hints[HISTOGRAM_CHUNK_SAMPLES];
    uint8_t falls[HISTOGRAM_CHUNK_SAMPLES]; /* a number is less than in the previous row */
    uint64_t touched[ROW_WORDS];            /* one bit per row: its mask is not 0, or it is stale */
    uint64_t visited[ROW_WORDS];            /* while encoding: rows to visit */

    uint32_t places_used;
    uint32_t row_places, row_words; /* distance of two rows in steps[] and masks[] */
    uint64_t *steps, *masks;        /* by place, row after row */
    struct layout_room steps_room, masks_room;
    struct layout_room wider_steps, wider_masks; /* zeros, used when rows become longer */
    uint64_t *zeros;                             /* a row of zeros */
    struct layout_room zeros_room;
    struct layout_room ordered_masks; /* while encoding: masks of two rows by column */
    uint64_t *base, *last; /* by place: absolute numbers before row 0 (while encoding: before the
                              chunk's second row), and in the last row */
    struct layout_room base_room, last_room;
    struct xor_state *windows; /* by column, for floats, in the chunk being encoded */
    struct layout_room windows_room;

    /* The next histogram: absolute numbers as columns without COLUMN_BEFORE_POSITIVE and its like,
     * and the places of its buckets. */
    uint64_t *now;
    uint32_t *map;
    struct layout_room now_room, map_room;
    struct layout_room
        reached; /* for histogram_chunks_put_columns(): steps done, a u32 per column */
    struct arena scratch;
    struct buf data;
};

/* --- chunk_histogram_layout.c ----------------------------------------------------------------- */

/* Makes room for `count` items. Keeps the contents; new bytes are zero. */
MUST_CHECK enum err room_for(struct histogram_chunks *w, struct layout_room *room, uint64_t count,
                             size_t item_bytes);
void room_free(struct histogram_chunks *w, struct layout_room *room);

/* Takes over the layout of `h`. There are no rows. */
MUST_CHECK enum err layout_begin(struct histogram_chunks *w, const struct histogram *h);

/* Maps the buckets of the layout and of a histogram of another layout to their union. */
struct side_union {
    uint32_t count;
    int32_t *indexes;
    uint32_t *old_at; /* position of the layout's buckets in `indexes` */
    uint32_t *new_at; /* position of the histogram's buckets */
};
struct layout_union {
    bool possible; /* false: the union would be too large, or a side is malformed */
    bool wider;    /* the union has more buckets than the layout */
    struct side_union positive, negative;
};
/* Arrays lie in w->scratch. ERR_NOMEM. */
MUST_CHECK enum err layout_unite(struct histogram_chunks *w, const struct histogram *h,
                                 struct layout_union *ret_union);
/* Makes the union the layout; rows stay as they are. ERR_NOMEM. */
MUST_CHECK enum err layout_widen(struct histogram_chunks *w, const struct layout_union *u);
/* True if the gathered rows and another one fit with `buckets` buckets each. */
bool layout_has_room(const struct histogram_chunks *w, uint64_t buckets);

/* --- chunk_histogram_encode.c ----------------------------------------------------------------- */

/* Passes all rows on as chunks and forgets them; `base` becomes `last`. */
MUST_CHECK enum err rows_encode(struct histogram_chunks *w, struct why *why);

#endif
