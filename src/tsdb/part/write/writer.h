/*
 * writer.h - private to the files that write parts: struct part_writer.
 */
#ifndef TSDB_PART_WRITE_WRITER_H
#define TSDB_PART_WRITE_WRITER_H

#include "base/hash/hash.h"
#include "tsdb/part/format.h"
#include "tsdb/part/part.h"

/* A page being filled with items of one kind. */
struct page_filling {
    enum page_kind kind;
    struct buf payload;
};

/* A time column that was written, and its place. */
struct written_column {
    XXH128_hash_t hash;
    uint32_t count;
    struct page_place place;
};

/*
 * Remembered columns take at most a quarter of the writer's memory, also while the table grows to
 * twice its size.
 */
enum { COLUMNS_FIRST = 1024, COLUMNS_MAX = 128 * 1024 };

struct directory_writer {
    struct buf entries;
    uint32_t count;
    uint32_t last_number;
    uint64_t last_offset;
};

/* A time column of the group of rows being filled. */
struct time_slot {
    uint64_t page;
    uint32_t at;
    uint32_t index_plus_1; /* 0 if the slot is free */
};

/* A page of rows being filled: groups that are complete, and one that is not. */
struct row_filling {
    struct page_filling page;
    uint32_t page_rows; /* rows in complete groups */
    struct buf columns[ROW_COLUMN_COUNT];
    uint32_t row_count;
    struct buf pairs; /* u32: pairs of the row before */

    struct buf stretch_pairs;    /* u32: pairs of the first row of the stretch */
    struct buf listed;           /* pairs of a first row, while it is written */
    struct row_position stretch; /* start of the stretch */
    struct row_position advance; /* length of the previous stretch */

    struct buf values_pages; /* pages in the head: varints of offset and items */
    uint32_t values_page_count;
    uint64_t values_page; /* the last page */
    uint32_t first_at;    /* offset of the first item in the first page */
    uint32_t items;       /* items in the last page, so far */
    uint32_t item_count;  /* items in all pages */
    uint32_t item_end;    /* offset after the last item */

    struct buf times_offsets; /* u64 offsets of pages of times */
    struct buf time_columns;  /* time columns in the head */
    uint32_t column_end;      /* offset after the last column */
    uint64_t column_min;      /* least time of the last column */
    uint64_t column_span;     /* its greatest time minus the least */
    struct time_slot *slots;  /* open addressing */
    uint32_t slot_count;      /* a power of two, or 0 */
    uint32_t time_count;
    uint32_t time_index; /* time index of the previous block */
};

/* The pairs of all rows of a tenant, in a compact form: write_postings.c. */
struct row_pairs {
    struct buf pairs;       /* u32: pairs of the row before */
    struct buf packed;      /* rows that are not in the file: whole pieces, then one being filled */
    size_t piece_begin;     /* offset of the piece being filled */
    struct buf pieces;      /* struct row_piece: all whole pieces */
    uint32_t spilled_count; /* pieces in the file */
    struct file file;       /* open after the first spill */
    uint64_t file_bytes;    /* size of the pieces in the file */
    uint32_t row_count;
    struct buf columns; /* struct walk_column; during a walk */
};

/* Rows of a tenant one after another. */
struct pair_run {
    uint32_t first;
    uint32_t count;
};

struct part_writer {
    struct env *env;
    struct budget *budget;
    char dir[200];
    char parts_dir[200];
    struct page_writer pages;
    struct codec_scratch *scratch;
    struct part_info info;
    uint64_t seed;       /* seed of the hashes of columns */
    size_t page_bytes;   /* approximate size of a page */
    size_t memory_bytes; /* limit of memory in proportion to series: part_writer_set_memory() */
    bool begun;          /* its directory exists */
    bool finished;       /* the part is complete and durable */

    struct page_filling times;
    struct page_filling values;
    struct row_filling rows;
    struct page_filling label_values;
    struct page_filling postings;
    struct page_filling exemplars;
    struct page_filling stale;
    struct directory_writer rows_dir;
    struct directory_writer values_dir;
    struct directory_writer postings_dir;
    struct directory_writer exemplars_dir;
    struct directory_writer stale_dir;

    struct written_column *columns; /* open addressing */
    uint32_t column_capacity;
    uint32_t column_count;

    /* The tenant being written. */
    struct part_tenant tenant;
    struct buf tenants;           /* root entries of complete tenants */
    struct buf rollup_row_counts; /* varints: rollup_rows of these */
    uint32_t tenant_count;
    struct buf names;
    uint32_t name_count;
    struct buf last_name;
    struct buf last_value;
    uint32_t name_pairs;
    uint32_t page_values; /* label values in the page being filled */
    struct buf restarts;
    struct buf separator; /* between that page and the previous one */
    struct row_pairs row_pairs;
    uint32_t postings_first; /* pair of the first list in the page being filled */
    struct buf metadata;
    uint32_t metadata_count;

    /* The series being written. */
    bool in_series;
    bool has_last;
    int64_t last_ms;   /* newest sample of the series, with has_last */
    struct buf blocks; /* struct block_ref */
    enum sample_kind kind;
    uint32_t sample_count;
    bool has_starts;
    int64_t *sample_times;
    uint64_t *sample_bits;
    int64_t *sample_starts;
    struct histogram *sample_histograms;
    uint32_t histogram_capacity;
    struct arena histogram_arena;
    struct buf encoded;
    struct buf first_times; /* of the rollups being written, encoded */
    int64_t origin;         /* origin of the last encoded values */

    /* Rows that wait until the pages of their blocks are written. */
    struct buf waiting;       /* struct waiting_row, then its pairs and blocks */
    struct buf times_offsets; /* u64 offset of each page of times, by running number */
    struct buf values_offsets;
    uint32_t rows_written;

    /* First and last series of the page of exemplars being filled. */
    uint32_t exemplars_first;
    uint32_t exemplars_last;

    /* First and last series of the page of staleness markers being filled. */
    uint32_t stale_first;
    uint32_t stale_last;
};

/* --- write.c ---------------------------------------------------------------------------------- */

/* Sets `why` for errors without a text, and returns `e`. */
enum err part_write_error(const struct part_writer *writer, enum err e, struct why *why);
void part_directory_add(struct directory_writer *directory, uint32_t number, uint64_t offset);
/* Writes a page out. */
MUST_CHECK enum err part_filling_flush(struct part_writer *writer, struct page_filling *filling,
                                       uint64_t *ret_offset, struct why *why);
/* True if an item of `size` bytes would make the page too large. */
bool part_filling_full(const struct part_writer *writer, const struct page_filling *filling,
                       size_t size);

/* Notes a block of histograms of series `number` of the part if it may have staleness markers. */
MUST_CHECK enum err part_stale_put(struct part_writer *writer, uint32_t number, uint32_t block,
                                   const struct block_ref *ref, struct why *why);

/* --- write_blocks.c --------------------------------------------------------------------------- */

/* Allocates the table of columns, which finds those that blocks share. ERR_NOMEM. */
MUST_CHECK enum err part_columns_begin(struct part_writer *writer);
/* Forgets all columns; the cost is in proportion to their number. */
MUST_CHECK enum err part_columns_clear(struct part_writer *writer);
/* Writes the page being filled, and appends its offset to `offsets`. */
MUST_CHECK enum err part_placed_flush(struct part_writer *writer, struct page_filling *filling,
                                      struct buf *offsets, struct why *why);
/* Makes blocks of all samples that wait. */
MUST_CHECK enum err part_blocks_out(struct part_writer *writer, struct why *why);

/* --- write_rows.c ----------------------------------------------------------------------------- */

/* Ends the series being written: its row waits for the pages of its blocks. */
MUST_CHECK enum err part_series_end(struct part_writer *writer, struct why *why);
/* Writes the pages being filled with times and values, and all rows that wait. */
MUST_CHECK enum err part_waiting_out(struct part_writer *writer, struct why *why);
MUST_CHECK enum err part_rows_page_out(struct part_writer *writer, struct why *why);

/* --- write_postings.c ------------------------------------------------------------------------- */

void part_pairs_init(struct part_writer *writer);
void part_pairs_fini(struct part_writer *writer);
/* Notes the pairs of the next row. */
MUST_CHECK enum err part_pairs_put(struct part_writer *writer, const uint32_t *pairs,
                                   uint32_t count, struct why *why);
/* Writes the postings of the tenant, whose rows are complete, and forgets the rows. */
MUST_CHECK enum err part_postings_out(struct part_writer *writer, struct why *why);
/* Removes the file of rows, if there is one. */
MUST_CHECK enum err part_pairs_end(struct part_writer *writer, struct why *why);

#endif
