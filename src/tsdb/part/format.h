/* format.h - private to part/: constants of the format that writing and reading a part share.
 * docs/format/part.md */
#ifndef TSDB_PART_FORMAT_H
#define TSDB_PART_FORMAT_H

#include "base/hash/hash.h"
#include "tsdb/part/part.h"

enum {
    PART_VERSION = 3, /* 3 adds blocks of rollups; parts without them are of the next version */
    PART_VERSION_SAMPLES = 2, /* adds the list of blocks with staleness markers */
    PART_MIN_READER = 1,
    PART_END_BYTES = 64, /* header and footer */
    LABEL_RESTART = 16,
    GROUP_ROWS_MAX = 1024,
    STRETCH_ROWS = 128, /* rows that are read one after another */
    PAGE_LISTS_MAX = 4096,
    DIRECTORY_IN_ROOT = 1,       /* in place of a directory's offset */
    DIRECTORY_ROOT_BYTES = 512,  /* longer directories have a page */
    PAGE_BYTES_SOON = 16 * 1024, /* approximate size of pages in parts that are merged again soon */
    PAGE_BYTES_LAST = 64 * 1024, /* approximate size in parts that stay */
};

#define PART_HEADER_MAGIC "FKPARTHD"
#define PART_FOOTER_MAGIC "FKPARTFT"

static inline uint8_t
part_codec_of(enum sample_kind kind)
{
    return kind == SAMPLE_HISTOGRAM_INT ? CODEC_HISTOGRAM_V1 : CODEC_HISTOGRAM_FLOAT_V1;
}

static inline void
part_end_pack(uint8_t *to, const char *magic, bool has_rollups, uint64_t number, uint64_t root,
              uint64_t file_bytes, uint64_t data_bytes)
{
    memcpy(to, magic, 8);
    store_le16(to + 8, has_rollups ? PART_VERSION : PART_VERSION_SAMPLES);
    store_le16(to + 10, has_rollups ? PART_VERSION : PART_MIN_READER);
    store_le64(to + 16, number);
    store_le64(to + 24, root);
    store_le64(to + 32, file_bytes);
    store_le64(to + 40, data_bytes);
    store_le64(to + 56, hash_bytes(bytes_of(to, 56), number));
}

/* --- postings --------------------------------------------------------------------------------- */

/* The head of a list: its form, whether it is in segments, and its size. */
enum list_form { LIST_DIFFERENCES = 0, LIST_RUNS = 1 };
enum {
    LIST_SEGMENTS = 2,
    LIST_SIZE_SHIFT = 2,
    LIST_SEGMENTED_BYTES = 2048, /* lists from this size on are in segments */
    SEGMENT_NUMBERS = 1024,      /* numbers in one segment */
};

/* --- rows ------------------------------------------------------------------------------------- */

/* The columns of a page of rows, in their order. */
enum row_column {
    ROW_HEAD,         /* pages of values, time columns */
    ROW_STRETCHES,    /* start of each stretch but the first, and its first row's pairs */
    ROW_PAIR_COUNTS,  /* per row */
    ROW_MASKS,        /* per row: the pairs that differ from the row before */
    ROW_PAIRS,        /* these pairs */
    ROW_BLOCK_COUNTS, /* per row */
    ROW_SHAPES,       /* per block */
    ROW_TIMES,        /* per block: index of its time column */
    ROW_SIZES,        /* per item in pages of values */
    ROW_SCALES,       /* per block of floats; those from here to ROW_RAW depend on the scale */
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

/* The position in a group at some row, without the pairs. */
struct row_position {
    uint64_t bytes[ROW_COLUMN_COUNT]; /* offset in each column from ROW_PAIR_COUNTS on */
    uint64_t time_index;              /* time index of the previous block */
    uint64_t items;                   /* items in pages of values */
    uint64_t item_at;                 /* end of the last of them */
};

enum { ROW_MASK_BITS = 63 }; /* pairs after these are always listed */

enum shape {
    SHAPE_FLOATS = 0,
    SHAPE_INT_HISTOGRAMS = 1,
    SHAPE_FLOAT_HISTOGRAMS = 2,
    SHAPE_CODEC_MASK = 3,
    SHAPE_STARTS = 4,
    SHAPE_ENDS = 8,             /* floats that do not just climb from the least to the greatest */
    SHAPE_ENDS_RAW = 16,        /* and whose first or last value is not a decimal */
    SHAPE_RESOLUTION_SHIFT = 5, /* 0, or 1 + the index of the resolution of rollups in the root */
};

enum scale {
    SCALE_EXPONENT_MASK = 15,
    SCALE_CONSTANT = 16,
    SCALE_MISSING = 32,       /* some values are NaN */
    SCALE_SUM_OFF = 64,       /* the sum is not exactly a decimal */
    SCALE_EXTREMES_OFF = 128, /* least or greatest value is not exactly a decimal */
    SCALE_RAW = 0x90,         /* all statistics are stored as doubles */
    SCALE_NO_NUMBER = 0x91,   /* all values are NaN */
};

/* Sums are written as the difference to this: values halfway between least and greatest. */
static inline uint64_t
part_sum_guess(int64_t least, uint64_t spread, uint32_t count)
{
    return (uint64_t)least * count + (spread * count >> 1);
}

#endif
