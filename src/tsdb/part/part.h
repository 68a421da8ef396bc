/*
 * part.h - private to tsdb/: immutable parts on disk, written once and read page by page. Format:
 * docs/format/part.md.
 */
#ifndef TSDB_PART_PART_H
#define TSDB_PART_PART_H

#include "model/ledger.h"
#include "model/matcher.h"
#include "model/rollup.h"
#include "model/select.h"
#include "tsdb/codec/codec.h"
#include "tsdb/part/facts.h"
#include "tsdb/part/pages.h"

/* A set of numbers of series; who looks into one includes <roaring/roaring.h>, which is large. */
typedef struct roaring_bitmap_s roaring_bitmap_t;

enum {
    BLOCK_BYTES_MAX = 48 * 1024,
    SCALE_NONE = 255,
    BLOCK_ROLLUPS_MAX = 2048, /* rollups in one block */
};

struct part_tenant {
    struct bytes name;
    uint32_t first_series;
    uint32_t series_count;
    uint32_t first_pair;
    uint32_t pair_count;
    uint64_t sample_count[LEDGER_KIND_COUNT];
    uint64_t rollup_rows;
    uint64_t names_page;
    uint32_t names_at;
    uint64_t metadata_page; /* 0 without metadata */
    uint32_t metadata_at;
};

/* Encoded bytes within a page. */
struct page_place {
    uint64_t page;
    uint32_t at;
    uint32_t size;
};

/*
 * A block of samples. Decimal floats are numbers in units of 1 / 10^scale. In a constant all are k,
 * except that a staleness marker may be the last: nothing is stored at `values`. In other blocks
 * values are stored as differences to k.
 *
 * A block of rollups (model/rollup.h) reads as the last sample of each
 * window, and the staleness marker after it, at their own times: times and values are those of
 * these rows, and `times` also has the times of first samples. Of histograms, the marker may be in
 * the next block: then both have a rollup of its window, which are joined.
 */
struct block_ref {
    uint8_t codec;
    uint8_t scale;    /* SCALE_NONE if they are not decimals */
    uint16_t bundled; /* blocks of the bundle that begins here, see row_range; 0 for others */
    uint32_t number;  /* number of the block in its row */
    bool has_starts;
    bool has_stats; /* histograms only have stats.number_count, samples without staleness markers */
    bool is_constant;
    uint32_t count;        /* samples or rows */
    int64_t resolution_ms; /* of rollups; 0 for samples */
    int64_t k;
    int64_t min_ms;
    int64_t max_ms;
    struct page_place times;
    struct page_place values;
    union {
        struct page_place starts;  /* with has_starts */
        struct page_place rollups; /* with resolution_ms: what rows and times do not say */
    };
    struct codec_stats stats;
};

/* True if the block has a third item, after times and values. */
static inline bool
block_has_third(const struct block_ref *block)
{
    return block->has_starts || block->resolution_ms > 0;
}

/* Returns the number of samples that the ledger counts in the block: 0 for rollups. */
static inline uint32_t
block_samples(const struct block_ref *block)
{
    return block->resolution_ms > 0 ? 0 : block->count;
}

/* Returns the times that the block is about: from its first to its last sample, or all of its
 * windows. */
static inline struct time_range
block_span(const struct block_ref *block)
{
    int64_t r = block->resolution_ms;
    if (r == 0) return (struct time_range){block->min_ms, block->max_ms};
    int64_t end = rollup_window_end(block->min_ms, r);
    return (struct time_range){end < INT64_MIN + r ? INT64_MIN : end - r + 1,
                               rollup_window_end(block->max_ms, r)};
}

/* Returns the size of the stored samples; times that several series share count for each. */
static inline uint64_t
block_bytes_stored(const struct block_ref *block)
{
    uint64_t bytes = block->times.size;
    if (!block->is_constant) bytes += block->values.size;
    if (block_has_third(block)) bytes += block->starts.size;
    return bytes;
}

/* Adds a block of rollups, for whose resolution there is room. */
void part_note_rollups(struct part_info *info, const struct block_ref *block);

/* --- writing ---------------------------------------------------------------------------------- */

/*
 * Calls are in order: per tenant (by name) part_write_tenant(), its pairs in order, then its series
 * in label order, each with its samples in time order; then metadata of that tenant. Exemplars are
 * written at any time after the samples of their series.
 */
struct part_writer;
/* Creates the directory of a part, which covers the log from `from_pos` to `to_pos`. `env` and
 * `parts_dir` outlive the writer. ERR_NOMEM; errors of creating a directory and a file. */
MUST_CHECK enum err part_writer_new(struct env *env, struct budget *budget, const char *parts_dir,
                                    uint64_t number, uint64_t from_pos, uint64_t to_pos,
                                    struct part_writer **ret_writer, struct why *why);
/* Removes a part that is not finished. NULL is fine. */
void part_writer_free(struct part_writer *writer);

/*
 * Sets the level of zstd, which is 1 otherwise; 0 stores pages as they are. From PART_LEVEL_LAST
 * on, for parts that stay, pages are larger, too. Before the first tenant.
 */
enum { PART_LEVEL_LAST = 3 };
void part_writer_set_level(struct part_writer *writer, int level);

/*
 * Limits the memory that the writer takes in proportion to a tenant's series; with little it takes
 * longer. At least PART_WRITER_MEMORY_MIN. Before the first tenant.
 */
enum { PART_WRITER_MEMORY = 64 * 1024 * 1024, PART_WRITER_MEMORY_MIN = 2 * 1024 * 1024 };
void part_writer_set_memory(struct part_writer *writer, size_t bytes);

/* Ends the tenant before, and begins one, whose name is copied and greater than that of the one
 * before. Errors of this and the next functions: ERR_NOMEM; ERR_LIMIT: an item is too large for a
 * part; errors of writing. Then the writer can only be freed. */
MUST_CHECK enum err part_write_tenant(struct part_writer *writer, struct bytes name,
                                      struct why *why);
/* Writes the next label value of the tenant; pairs are numbered 0, 1, ... within it. */
MUST_CHECK enum err part_write_pair(struct part_writer *writer, struct label label,
                                    struct why *why);
/* Begins a series. `pairs` are numbers within the tenant, ascending. */
MUST_CHECK enum err part_write_series(struct part_writer *writer, const uint32_t *pairs,
                                      uint32_t pair_count, struct why *why);
/* Writes more samples of the current series. */
MUST_CHECK enum err part_write_samples(struct part_writer *writer, const struct sample_batch *batch,
                                       struct why *why);
/* Writes rollups as a block of the current series: at most BLOCK_ROLLUPS_MAX windows of this
 * resolution, ascending, after its last sample. They do not count as samples. */
MUST_CHECK enum err part_write_rollups(struct part_writer *writer, const struct rollup *rollups,
                                       uint32_t count, int64_t resolution_ms, struct why *why);
/* The same for histograms of any number of windows, which take one block or more. Their sums and
 * corrections are settled. */
MUST_CHECK enum err part_write_histogram_rollups(struct part_writer *writer,
                                                 const struct histogram_rollup *rollups,
                                                 uint32_t count, int64_t resolution_ms,
                                                 struct why *why);
/*
 * Writes a block that is encoded already, of the current series, after its last sample. The places
 * in `block` are ignored.
 */
struct block_bytes;
MUST_CHECK enum err part_write_block(struct part_writer *writer, const struct block_ref *block,
                                     const struct block_bytes *bytes, struct why *why);
/*
 * Writes an exemplar of series number `series` within the tenant, whose samples are complete; in
 * the order of series, then time.
 */
MUST_CHECK enum err part_write_exemplar(struct part_writer *writer, uint32_t series, int64_t t_ms,
                                        uint64_t bits, struct bytes labels, struct why *why);
/* Writes metadata, in the order of families' names, after all series. */
MUST_CHECK enum err part_write_metadata(struct part_writer *writer, const struct metadata *metadata,
                                        struct why *why);
/* Writes what is left, and syncs file and directory: the part is durable, but not live. */
MUST_CHECK enum err part_writer_finish(struct part_writer *writer, struct part_info *ret_info,
                                       struct why *why);

/* --- reading ---------------------------------------------------------------------------------- */

struct part;

/*
 * Opens a part by reading header, footer and root. `env` and `parts_dir` outlive it. ERR_CORRUPT:
 * the root cannot be read. ERR_UNSUPPORTED: written by a newer version. ERR_MISSING.
 */
MUST_CHECK enum err part_open(struct env *env, struct budget *budget, struct page_cache *cache,
                              const char *parts_dir, uint64_t number, struct part **ret_part,
                              struct why *why);
/* Reads the root of an open part into `to`, of which ret_root->payload is a view. Errors of reading
 * a page. */
MUST_CHECK enum err part_root_read(struct part *part, struct buf *to, struct part_root *ret_root,
                                   struct why *why);
/* Opens a part of `file_bytes` whose file is not here, by its root, which is copied; nothing is
 * read. Its pages are read from the object `key` of the store; NULL: they cannot be read.
 * ERR_CORRUPT: the root is not that of the entry; ERR_NOMEM. */
struct remote_store;
MUST_CHECK enum err part_open_root(struct budget *budget, struct page_cache *cache,
                                   const struct part_entry *entry, uint64_t file_bytes,
                                   const struct part_root *root, struct remote_store *store,
                                   const char *key, struct part **ret_part, struct why *why);
/* Opens an open part once more, with another cache. Errors of part_open(), or of the bucket. */
MUST_CHECK enum err part_reopen(struct part *part, struct budget *budget, struct page_cache *cache,
                                struct part **ret_part, struct why *why);
/* True if the file of the part is not here. Any thread. */
bool part_is_remote(const struct part *part);
const char *part_key(const struct part *part); /* of its object, if it is remote */
/* A part may be used by any thread that has a reference. The last one closes the file;
 * part_unref() accepts NULL. */
void part_ref(struct part *part);
void part_unref(struct part *part);
/* Marks the part as not live: its files are removed with the last reference. */
void part_drop(struct part *part);
/* Excludes the part from merges while this process runs, because merging it failed. */
void part_leave_alone(struct part *part, const struct why *why);
/* Any thread. */
bool part_is_left_alone(const struct part *part);
/* Returns why it is left alone; "" if unknown. A view of the part. */
const char *part_alone_reason(const struct part *part);
/*
 * Checks that the part's file still has a name. ERR_IO: it was removed or replaced;
 * part_is_removed() is true from then on, and the part can be read as long as it is open.
 */
MUST_CHECK enum err part_look_there(struct part *part, struct why *why);
/* Any thread. */
bool part_is_removed(const struct part *part);

/* The last tombstone applied when the part was written: the part has no sample that it or an
 * earlier one hides. Set before other threads see the part. */
uint64_t part_applied(const struct part *part);
/* Sets what part_applied() returns. */
void part_set_applied(struct part *part, uint64_t tombstone);
/* The time until which all levels of downsampling were applied when a merge wrote the part, under
 * the rules with this number; INT64_MIN if not known. Merging thread only. */
int64_t part_leveled_ms(const struct part *part, uint64_t rules);
void part_set_leveled(struct part *part, uint64_t rules, int64_t now_ms);
/* True if nothing in the part is past the rules of retention with this number at that time, as far
 * as is known. Merging thread only. */
bool part_is_within_rules(const struct part *part, uint64_t rules, int64_t now_ms);
void part_set_within_rules(struct part *part, uint64_t rules, int64_t now_ms);
/* Finds the series that a tombstone selects in the part. False if they were not added. */
bool part_hidden_find(struct part *part, uint64_t tombstone, const roaring_bitmap_t **ret_series);
/* Adds the series that a tombstone selects. Takes `series`, also on an error; if another thread was
 * faster its bitmap is given. ERR_NOMEM. */
MUST_CHECK enum err part_hidden_add(struct part *part, uint64_t tombstone, roaring_bitmap_t *series,
                                    const roaring_bitmap_t **ret_series);
/* Views that are valid as long as the part. Tenants are in the order of their names; `index` is
 * less than their count. */
const struct part_info *part_info(const struct part *part);
uint32_t part_tenant_count(const struct part *part);
const struct part_tenant *part_tenant_at(const struct part *part, uint32_t index);
/* NULL if the part has no series of the tenant. */
const struct part_tenant *part_tenant(const struct part *part, struct bytes name);

/* A label name of a tenant. */
struct part_name {
    struct bytes name;
    uint32_t first_pair; /* number in the part */
    uint32_t pair_count;
};
/* The label names of a tenant, loaded for each query. */
struct part_index {
    struct part *part;
    const struct part_tenant *tenant;
    struct query_control *control; /* ends long matching; NULL after part_index_load() */
    struct part_name *names;
    uint32_t name_count;
};
/* Reads the names of a tenant into `arena`; the index is valid as long as the arena and the
 * part. ERR_CORRUPT, ERR_NOMEM; errors of reading the page. */
MUST_CHECK enum err part_index_load(struct part *part, const struct part_tenant *tenant,
                                    struct arena *arena, struct part_index *ret_index,
                                    struct why *why);

/* Calls `each` for the values of a label, ascending, until it returns ERR_CANCELED. Views until it
 * returns. */
MUST_CHECK enum err part_values(const struct part_index *index, struct bytes name,
                                enum err (*each)(void *context, struct bytes value), void *context,
                                struct why *why);

/* Selects the series that pass all matchers; given (roaring_bitmap_free). */
MUST_CHECK enum err part_match(const struct part_index *index, struct matcher *const *matchers,
                               uint32_t matcher_count, roaring_bitmap_t **ret_series,
                               struct why *why);

/* Reads rows, cheapest in ascending order; keeps the last page and recent labels. */
struct row_reader;
/* `index` outlives the reader. ERR_NOMEM, without a sentence. row_reader_free() accepts NULL. */
MUST_CHECK enum err row_reader_new(const struct part_index *index, struct budget *budget,
                                   struct row_reader **ret_reader);
void row_reader_free(struct row_reader *reader);
/*
 * Reads the canonical labels and the blocks of series `number`; views until the next call.
 * `ret_labels` may be NULL.
 */
MUST_CHECK enum err row_read(struct row_reader *reader, uint32_t number, struct bytes *ret_labels,
                             const struct block_ref **ret_blocks, uint32_t *ret_block_count,
                             struct why *why);
/* Reads only the pairs of series `number`. The functions below are about the series that was read,
 * sought or found last, without an error. */
MUST_CHECK enum err row_seek(struct row_reader *reader, uint32_t number, struct why *why);
/* Finds the row with these canonical labels. ERR_MISSING: the tenant has no such series. */
MUST_CHECK enum err row_find(struct row_reader *reader, struct bytes labels, uint32_t *ret_number,
                             struct why *why);
/* Gives the row's pairs by their numbers in the part, ascending; a view until the next call. */
void row_pairs(const struct row_reader *reader, const uint32_t **ret_pairs, uint32_t *ret_count);
/* Reads the blocks of the row; a view until the next call. */
MUST_CHECK enum err row_blocks(struct row_reader *reader, const struct block_ref **ret_blocks,
                               uint32_t *ret_count, struct why *why);
/* *ret_meets: the row has a block that overlaps [min, max]. */
MUST_CHECK enum err row_meets(struct row_reader *reader, int64_t min_ms, int64_t max_ms,
                              bool *ret_meets, struct why *why);
/* Makes the reader set stats.number_count for blocks of histograms, if the part knows it. */
void row_reader_want_stale(struct row_reader *reader);
/* Moves the reader to another tenant of the same part. */
void row_reader_move(struct row_reader *reader, const struct part_index *index);

/*
 * Reads many rows one after another, with labels: those that have a block in the time range. Rows
 * are read some thousand ahead, and labels are read from pages for all of them at once. `index` and
 * `series` outlive the batch.
 */
struct row_range {
    int64_t min_ms;
    int64_t max_ms;
    bool with_blocks; /* give the blocks in the time range; else none */
    bool with_stale;  /* see row_reader_want_stale() */
    /* Mark bundles: blocks of histograms, always the same ones of a row, that are worth streaming
     * together. Only bundles that are wholly in the time range are marked. */
    bool with_bundles;
    uint32_t rows_max; /* end after this many rows; 0: after the last */
};
struct row_of_batch {
    uint32_t number;
    struct bytes labels; /* canonical; at is NULL after the last row */
    const struct block_ref *blocks;
    uint32_t block_count;
};
struct row_batch;
/* ERR_NOMEM, without a sentence. row_batch_free() accepts NULL. */
MUST_CHECK enum err row_batch_new(const struct part_index *index, const roaring_bitmap_t *series,
                                  const struct row_range *range, struct budget *budget,
                                  struct row_batch **ret_batch);
void row_batch_free(struct row_batch *batch);
/* After ERR_CORRUPT: skips the damaged page of rows, or the row whose labels are damaged. False if
 * the end of the damage is not known. */
bool row_batch_pass(struct row_batch *batch);
/* For parts in a bucket: add the pages of the rows that are read next, and, after reading these, of
 * their blocks, so that those of several parts are fetched at once. Before the first
 * row_batch_next(). */
struct wanted_chunks;
void row_batch_want_rows(struct row_batch *batch, struct wanted_chunks *wanted);
void row_batch_want_blocks(struct row_batch *batch, struct wanted_chunks *wanted);
/* Adds the end of the part's file, which has most of its index. */
void part_want_index(struct part *part, struct wanted_chunks *wanted);
/* Gives the next row; views until the next call. An error is returned at the row it concerns, and
 * again by later calls. */
MUST_CHECK enum err row_batch_next(struct row_batch *batch, struct row_of_batch *ret_row,
                                   struct why *why);

/* Returns the kind of all samples of the block, by its codec. */
enum sample_kind block_kind(const struct block_ref *block);
/*
 * Decodes a block into arrays of block->count; `ret_starts` only with block->has_starts.
 * Arrays of histograms are in `arena`.
 */
MUST_CHECK enum err block_read(struct part *part, const struct block_ref *block, int64_t *ret_times,
                               uint64_t *ret_bits, int64_t *ret_starts,
                               struct histogram *ret_histograms, struct arena *arena,
                               struct why *why);
/* Decodes values of floats [from, until), and start times; see codec_float_decode_some(). */
MUST_CHECK enum err block_read_some(struct part *part, const struct block_ref *block, uint32_t from,
                                    uint32_t until, uint64_t *ret_bits, int64_t *ret_starts,
                                    struct why *why);
/* block_read() without the times. */
MUST_CHECK enum err block_read_values(struct part *part, const struct block_ref *block,
                                      uint64_t *ret_bits, int64_t *ret_starts,
                                      struct histogram *ret_histograms, struct arena *arena,
                                      struct why *why);
/* Decodes values of histograms by columns. */
MUST_CHECK enum err block_read_columns(struct part *part, const struct block_ref *block,
                                       struct hist_columns *ret_columns, struct arena *arena,
                                       struct why *why);
/* Decodes a block of rollups of floats (else ERR_CORRUPT), as far as they are used. The arrays have
 * room for block->count; times and bits are left with its rows. */
MUST_CHECK enum err block_read_rollups(struct part *part, const struct block_ref *block,
                                       enum rollup_use use, int64_t *ret_times, uint64_t *ret_bits,
                                       struct rollup *ret_rollups, uint32_t *ret_count,
                                       struct why *why);
/* The same for histograms; all arrays are in `arena`. ERR_NOMEM: it is full. */
MUST_CHECK enum err block_read_histogram_rollups(struct part *part, const struct block_ref *block,
                                                 int64_t *ret_times, struct arena *arena,
                                                 struct histogram_rollup *ret_rollups,
                                                 uint32_t *ret_count, struct why *why);
/* Decodes the times, which ascend from block->min_ms to block->max_ms: else ERR_CORRUPT. */
MUST_CHECK enum err block_read_times(struct part *part, const struct block_ref *block,
                                     int64_t *ret_times, struct why *why);

/* The stored bytes of a block: views of pages that are held until block_release(). */
struct block_bytes {
    struct bytes times;
    struct bytes values;
    struct bytes third; /* start times, or the rest of rollups; valid if block_has_third() */
    const struct page *pages[3];
};
/* Reads the pages of a block that are not in memory, and holds them. ERR_CORRUPT: a page is
 * damaged. After an error nothing is held. */
MUST_CHECK enum err block_hold(struct part *part, const struct block_ref *block,
                               struct block_bytes *ret_bytes, struct why *why);
void block_release(struct part *part, const struct block_bytes *bytes);

/* Walks exemplars, in the order of series, then time. */
struct directory_table;
struct exemplar_walk {
    struct part *part;
    const struct directory_table *table;
    uint32_t next_page; /* index in the table */
    const struct page *page;
    uint64_t offset; /* offset of the page */
    struct cursor c;
    bool at_end;
    uint32_t series; /* number in the part */
    struct exemplar exemplar;
};

/* Prepares a walk that is at its end; reads nothing. exemplar_walk_fini() may be called twice. */
void exemplar_walk_init(struct exemplar_walk *walk, struct part *part);
void exemplar_walk_fini(struct exemplar_walk *walk);
/* Begins before the first exemplar; at_end if the part has none. */
MUST_CHECK enum err exemplar_walk_open(struct exemplar_walk *walk, struct why *why);
/* Moves to the first exemplar of series `first` or a later one; at_end after the last. Views end
 * with the next step. */
MUST_CHECK enum err exemplar_walk_enter(struct exemplar_walk *walk, uint32_t first,
                                        struct why *why);
/* Moves to the next exemplar. ERR_CORRUPT: a page is damaged; the next step skips it. */
MUST_CHECK enum err exemplar_walk_step(struct exemplar_walk *walk, struct why *why);

/* Calls `each` for exemplars of series `first_series` (within the part) and later ones, in order,
 * until it returns ERR_CANCELED. */
MUST_CHECK enum err part_exemplars(struct part *part, uint32_t first_series,
                                   enum err (*each)(void *context, uint32_t series,
                                                    const struct exemplar *exemplar),
                                   void *context, struct why *why);
/* Calls `each` for the metadata of a tenant, in the order of families' names; views until it
 * returns. ERR_CORRUPT; errors of `each`. */
MUST_CHECK enum err part_metadata(struct part *part, const struct part_tenant *tenant,
                                  enum err (*each)(void *context, const struct metadata *metadata),
                                  void *context, struct why *why);

/* Walks every page; calls `damaged` for each invalid page, with its offset and the reason. */
MUST_CHECK enum err part_verify(struct part *part,
                                void (*damaged)(void *context, uint64_t offset,
                                                const struct why *why),
                                void *context, struct why *why);

/* A cache of decoded time columns, which series that were scraped together share: without it the
 * same few columns would be decoded for each series. It has `samples` samples, 8 bytes each. Parts
 * that are read through it stay open until it is freed. One thread at a time. */
struct times_cache;
MUST_CHECK enum err times_cache_new(struct budget *budget, uint32_t samples,
                                    struct times_cache **ret_cache);
void times_cache_free(struct times_cache *cache);

/* block_read_times() through the cache. */
MUST_CHECK enum err times_cache_read(struct times_cache *cache, struct part *part,
                                     const struct block_ref *block, int64_t *ret_times,
                                     struct why *why);

#endif
