/*
 * chunk_histogram_private.h - what the files of the histogram chunk writer share. Private to them.
 */
#ifndef WIRE_CHUNK_CHUNK_HISTOGRAM_PRIVATE_H
#define WIRE_CHUNK_CHUNK_HISTOGRAM_PRIVATE_H

#include "wire/chunk/chunk_bits.h"
#include "wire/chunk/chunk_histogram.h"

/*
 * The columns of a chunk, in its order: before the buckets of each sign is one that is always 0, so
 * that each bucket has one before it. When a layout grows, columns that are there keep their place
 * in rows, and new ones get places after them.
 */
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

/* An array of ours that is large enough. */
struct layout_room {
    void *at;
    size_t size_bytes;
};

/*
 * The rows of the chunk being gathered, as steps from row to row. steps[] and masks[] are zero
 * where no row is, and in a row without its mask's bit.
 */
struct histogram_chunks {
    struct budget *budget;
    enum chunk_layouts layouts;
    size_t bytes_max;
    take_histogram_chunk *take;
    void *context;

    struct histogram layout;  /* of all rows; its arrays are ours, its counts are not set */
    struct layout_room spans; /* positive, then negative */
    struct layout_room custom;
    uint32_t negative; /* column of the first negative bucket */
    uint32_t columns;
    uint32_t *places;  /* of columns */
    uint32_t *ordered; /* the column that has a place */
    struct layout_room places_room, ordered_room;
    bool straight;   /* each column has the place of its number */
    uint32_t words;  /* of a mask of columns */
    uint64_t *valid; /* such a mask: those that are buckets */
    struct layout_room valid_room;
    bool gauge;

    uint32_t rows_max;
    uint32_t rows;
    uint32_t stale_from; /* staleness markers are the rows from here on */
    bool goes_on;        /* `last` is the row before the next one */
    bool has_header;     /* `header` is that of row 0: else its hint says it */
    enum chunk_reset header;
    int64_t times_ms[HISTOGRAM_CHUNK_SAMPLES];
    uint8_t hints[HISTOGRAM_CHUNK_SAMPLES];
    uint8_t falls[HISTOGRAM_CHUNK_SAMPLES]; /* something is less than in the row before */
    uint64_t touched[ROW_WORDS];            /* a bit a row: its mask is not 0, or it is stale */
    uint64_t visited[ROW_WORDS];            /* while encoding: what is to be looked at */

    uint32_t places_used;
    uint32_t row_places, row_words; /* from row to row */
    uint64_t *steps, *masks;        /* by place; a row after the other */
    struct layout_room steps_room, masks_room;
    struct layout_room wider_steps, wider_masks; /* zeroes: for longer rows */
    uint64_t *zeros;                             /* a row of them */
    struct layout_room zeros_room;
    struct layout_room ordered_masks; /* while encoding: of two rows, by column */
    uint64_t *base, *last; /* by place: absolute numbers before row 0 (while encoding: before the
                              chunk's second row), and in the last one */
    struct layout_room base_room, last_room;
    struct xor_state *windows; /* by column; floats; of the chunk being encoded */
    struct layout_room windows_room;

    /* What comes next: absolute numbers, as columns without those before buckets, and the places
     * of its buckets. */
    uint64_t *now;
    uint32_t *map;
    struct layout_room now_room, map_room;
    struct layout_room
        reached; /* of histogram_chunks_put_columns(): u32 of each column, its steps done */
    struct arena scratch;
    struct buf data;
};

/* --- chunk_histogram_layout.c ----------------------------------------------------------------- */

/* Contents are kept; new bytes are zero. */
MUST_CHECK enum err room_for(struct histogram_chunks *w, struct layout_room *room, uint64_t count,
                             size_t item_bytes);
void room_free(struct histogram_chunks *w, struct layout_room *room);

/* Takes over the layout. There are no rows. */
MUST_CHECK enum err layout_begin(struct histogram_chunks *w, const struct histogram *h);

/* How buckets of a histogram of another layout fit ours. */
struct side_union {
    uint32_t count;
    int32_t *indexes;
    uint32_t *old_at; /* where in `indexes` our buckets are, */
    uint32_t *new_at; /* and the histogram's */
};
struct layout_union {
    bool possible; /* false: a union would be too large, or a side makes no sense */
    bool wider;    /* the union has more buckets than our layout */
    struct side_union positive, negative;
};
/* Arrays in w->scratch. ERR_NOMEM. */
MUST_CHECK enum err layout_unite(struct histogram_chunks *w, const struct histogram *h,
                                 struct layout_union *ret_union);
/* Our layout becomes the union; rows stay what they are. ERR_NOMEM. */
MUST_CHECK enum err layout_widen(struct histogram_chunks *w, const struct layout_union *u);
/* True if there is room for all rows that are gathered, and another, with so many buckets. */
bool layout_has_room(const struct histogram_chunks *w, uint64_t buckets);

/* --- chunk_histogram_encode.c ----------------------------------------------------------------- */

/* Hands on all rows as chunks and forgets them; `base` becomes `last`. */
MUST_CHECK enum err rows_encode(struct histogram_chunks *w, struct why *why);

#endif
