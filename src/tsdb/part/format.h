/* format.h - private to part/: what writing and reading a part share. docs/format/part.md */
#ifndef TSDB_PART_FORMAT_H
#define TSDB_PART_FORMAT_H

#include "base/hash.h"
#include "tsdb/part/part.h"

enum {
    PART_VERSION = 2, /* 2: it says which histograms are staleness markers */
    PART_MIN_READER = 1,
    PART_END_BYTES = 64, /* header and footer */
    LABEL_RESTART = 16,
    GROUP_ROWS_MAX = 1024,
    STRETCH_ROWS = 128, /* what is read one after another */
    PAGE_LISTS_MAX = 4096,
    DIRECTORY_IN_ROOT = 1, /* where else an offset is */
    DIRECTORY_ROOT_BYTES = 512,
    PAGE_BYTES_SOON = 16 * 1024, /* of pages, about, in parts that are merged again soon, */
    PAGE_BYTES_LAST = 64 * 1024, /* and in those that stay */
};

#define PART_HEADER_MAGIC "FKPARTHD"
#define PART_FOOTER_MAGIC "FKPARTFT"

static inline uint8_t
part_codec_of(enum sample_kind kind)
{
    return kind == SAMPLE_HISTOGRAM_INT ? CODEC_HISTOGRAM_V1 : CODEC_HISTOGRAM_FLOAT_V1;
}

static inline void
part_end_pack(uint8_t *to, const char *magic, uint64_t number, uint64_t root, uint64_t file_bytes,
              uint64_t data_bytes)
{
    memcpy(to, magic, 8);
    store_le16(to + 8, PART_VERSION);
    store_le16(to + 10, PART_MIN_READER);
    store_le64(to + 16, number);
    store_le64(to + 24, root);
    store_le64(to + 32, file_bytes);
    store_le64(to + 40, data_bytes);
    store_le64(to + 56, hash_bytes(bytes_of(to, 56), number));
}

/* --- postings --------------------------------------------------------------------------------- */

/* The head of a list: its form, whether it comes in segments, and its size. */
enum list_form { LIST_DIFFERENCES = 0, LIST_RUNS = 1 };
enum {
    LIST_SEGMENTS = 2,
    LIST_SIZE_SHIFT = 2,
    LIST_SEGMENTED_BYTES = 2048, /* from this size on */
    SEGMENT_NUMBERS = 1024,      /* in one */
};

/* --- rows ------------------------------------------------------------------------------------- */

/* The columns of a page of rows, in their order. */
enum row_column {
    ROW_HEAD,         /* pages of values, time columns */
    ROW_STRETCHES,    /* where each stretch but the first begins, and its first row's pairs */
    ROW_PAIR_COUNTS,  /* per row */
    ROW_MASKS,        /* per row: which pairs are not those of the row before */
    ROW_PAIRS,        /* those */
    ROW_BLOCK_COUNTS, /* per row */
    ROW_SHAPES,       /* per block */
    ROW_TIMES,        /* per block: which time column */
    ROW_SIZES,        /* per item in pages of values */
    ROW_SCALES,       /* per block of floats; of these, as the scale says: */
    ROW_LEASTS,
    ROW_SPREADS,
    ROW_SUMS,
    ROW_CORRECTIONS,
    ROW_MISSING,
    ROW_RAW,
    ROW_ENDS, /* first and last value, as the shape says */
    ROW_RESETS,
    ROW_COLUMN_COUNT,
};

/* How far a group has come at some row. What its rows' pairs are is not said here. */
struct row_place {
    uint64_t bytes[ROW_COLUMN_COUNT]; /* of each column from ROW_PAIR_COUNTS on */
    uint64_t time_index;              /* of the block before */
    uint64_t items;                   /* in pages of values */
    uint64_t item_at;                 /* where the last of them ends */
};

enum { ROW_MASK_BITS = 63 }; /* pairs after these are always listed */

enum shape {
    SHAPE_FLOATS = 0,
    SHAPE_INT_HISTOGRAMS = 1,
    SHAPE_FLOAT_HISTOGRAMS = 2,
    SHAPE_CODEC_MASK = 3,
    SHAPE_STARTS = 4,
    SHAPE_ENDS = 8,      /* of floats: they do not just climb from the least to the greatest */
    SHAPE_ENDS_RAW = 16, /* and where they begin or end is no decimal */
    SHAPE_MASK = 31,
};

enum scale {
    SCALE_EXPONENT_MASK = 15,
    SCALE_CONSTANT = 16,
    SCALE_MISSING = 32,       /* some values are NaN */
    SCALE_SUM_OFF = 64,       /* the sum is not quite a decimal */
    SCALE_EXTREMES_OFF = 128, /* neither are least and greatest value */
    SCALE_RAW = 0x90,         /* nothing is a decimal */
    SCALE_NO_NUMBER = 0x91,
};

/* What a sum is written as a difference to: that of values halfway between least and greatest. */
static inline uint64_t
part_sum_guess(int64_t least, uint64_t spread, uint32_t count)
{
    return (uint64_t)least * count + (spread * count >> 1);
}

#endif
