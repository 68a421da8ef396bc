/*
 * part.h - private to tsdb/: immutable parts on disk, written once and read by page. Format:
 * docs/format/part.md.
 */
#ifndef TSDB_PART_PART_H
#define TSDB_PART_PART_H

#include <roaring/roaring.h>

#include "model/ledger.h"
#include "model/matcher.h"
#include "model/select.h"
#include "tsdb/codec/codec.h"
#include "tsdb/part/pages.h"

enum { BLOCK_BYTES_MAX = 48 * 1024, SCALE_NONE = 255 };

struct part_info {
    uint64_t number;
    uint64_t from_pos; /* of the log */
    uint64_t to_pos;
    int64_t min_ms;
    int64_t max_ms;
    uint64_t series_count;
    uint64_t pair_count;
    uint64_t block_count;
    uint64_t sample_count[LEDGER_KIND_COUNT];
    uint64_t file_bytes;
    uint64_t data_bytes; /* of those: pages of samples and exemplars */
    uint8_t level;       /* of zstd */
};

struct part_tenant {
    struct bytes name;
    uint32_t first_series;
    uint32_t series_count;
    uint32_t first_pair;
    uint32_t pair_count;
    uint64_t sample_count[LEDGER_KIND_COUNT];
    uint64_t names_page;
    uint32_t names_at;
    uint64_t metadata_page; /* 0: none */
    uint32_t metadata_at;
};

/* Where encoded bytes lie. */
struct page_place {
    uint64_t page;
    uint32_t at;
    uint32_t size;
};

/*
 * Floats that are decimals are numbers in units of 1 / 10^scale. All are k in a constant, but a
 * staleness marker may end it: nothing is stored at `values`. In others, k is what they count from.
 */
struct block_ref {
    uint8_t codec;
    uint8_t scale;    /* SCALE_NONE: they are not */
    uint16_t bundled; /* see row_range: so many blocks from here on; 0: no bundle begins here */
    uint32_t number;  /* of the block in its row; of a bundle's first one */
    bool has_starts;
    bool has_stats; /* of histograms only stats.number_count: those that are no staleness marker */
    bool is_constant;
    uint32_t count;
    int64_t k;
    int64_t min_ms;
    int64_t max_ms;
    struct page_place times;
    struct page_place values;
    struct page_place starts;
    struct codec_stats stats;
};

enum err part_path(char *to, size_t to_size, const char *parts_dir, uint64_t number);

/* --- writing ---------------------------------------------------------------------------------- */

/*
 * Everything comes in order: per tenant (by name) part_write_tenant() with its pairs in order, then
 * its series in label order, each with its samples in time order; then metadata of that tenant.
 * Exemplars come any time after the samples of their series.
 */
struct part_writer;
MUST_CHECK enum err part_writer_new(struct env *env, struct budget *budget, const char *parts_dir,
                                    uint64_t number, uint64_t from_pos, uint64_t to_pos,
                                    struct part_writer **ret_writer, struct why *why);
/* Abandons what is not finished (files are swept at the next start). */
void part_writer_free(struct part_writer *writer);

/*
 * Of zstd, 1 if not said otherwise; 0: pages are stored as they are. From this level on, for parts
 * that stay, pages are larger, too. Before the first tenant.
 */
enum { PART_LEVEL_LAST = 3 };
void part_writer_set_level(struct part_writer *writer, int level);

/*
 * What the writer may take for what is in proportion to a tenant's series; if that is not enough,
 * it takes longer. The least is PART_WRITER_MEMORY_MIN. Before the first tenant.
 */
enum { PART_WRITER_MEMORY = 64 * 1024 * 1024, PART_WRITER_MEMORY_MIN = 2 * 1024 * 1024 };
void part_writer_set_memory(struct part_writer *writer, size_t bytes);

MUST_CHECK enum err part_write_tenant(struct part_writer *writer, struct bytes name,
                                      struct why *why);
/* The next label value of the tenant; pairs get the numbers 0, 1, ... within it. */
MUST_CHECK enum err part_write_pair(struct part_writer *writer, struct label label,
                                    struct why *why);
/* `pairs`: numbers within the tenant, ascending. The series before is finished. */
MUST_CHECK enum err part_write_series(struct part_writer *writer, const uint32_t *pairs,
                                      uint32_t pair_count, struct why *why);
/* More samples of the current series. */
MUST_CHECK enum err part_write_samples(struct part_writer *writer, const struct sample_batch *batch,
                                       struct why *why);
/*
 * A block that is encoded already: of the current series, after its last sample. Where `block`
 * says its bytes lie is not looked at.
 */
struct block_bytes;
MUST_CHECK enum err part_write_block(struct part_writer *writer, const struct block_ref *block,
                                     const struct block_bytes *bytes, struct why *why);
/*
 * For series number `series` within the tenant, whose samples are complete; in order of series,
 * time.
 */
MUST_CHECK enum err part_write_exemplar(struct part_writer *writer, uint32_t series, int64_t t_ms,
                                        uint64_t bits, struct bytes labels, struct why *why);
/* Families in name order. After all series. */
MUST_CHECK enum err part_write_metadata(struct part_writer *writer, const struct metadata *metadata,
                                        struct why *why);
/* Writes what is left, syncs file and directory: the part is durable, though nothing names it. */
MUST_CHECK enum err part_writer_finish(struct part_writer *writer, struct part_info *ret_info,
                                       struct why *why);

/* --- reading ---------------------------------------------------------------------------------- */

struct part;

/*
 * Opens by reading header, footer and root. ERR_CORRUPT: the root cannot be read. ERR_UNSUPPORTED:
 * written by a newer version. ERR_MISSING. `env` and `parts_dir` outlive the part.
 */
MUST_CHECK enum err part_open(struct env *env, struct budget *budget, struct page_cache *cache,
                              const char *parts_dir, uint64_t number, struct part **ret_part,
                              struct why *why);
void part_ref(struct part *part);
void part_unref(struct part *part);
/* Nothing names it any more: with the last reference it goes from disk, too. */
void part_drop(struct part *part);
/* Merging it failed for what is in it: it is not tried again while this process lives. */
void part_leave_alone(struct part *part, const struct why *why);
bool part_is_left_alone(const struct part *part);
/* Why; "" if that is not known. A view of the part. */
const char *part_alone_reason(const struct part *part);
/*
 * Looks whether its file has a name yet. ERR_IO: it was removed or replaced, as part_is_removed()
 * says from then on; it can be read as long as it is open.
 */
MUST_CHECK enum err part_look_there(struct part *part, struct why *why);
bool part_is_removed(const struct part *part);

/* The last tombstone that was applied when it was written; what its number or a lower one hides is
 * not in it. Set before others see the part. */
uint64_t part_applied(const struct part *part);
void part_set_applied(struct part *part, uint64_t tombstone);
/* Which series a tombstone names in it. False: not known yet. */
bool part_hidden_find(struct part *part, uint64_t tombstone, const roaring_bitmap_t **ret_series);
/* Takes `series`, whatever happens; another thread may have been quicker. ERR_NOMEM. */
MUST_CHECK enum err part_hidden_add(struct part *part, uint64_t tombstone, roaring_bitmap_t *series,
                                    const roaring_bitmap_t **ret_series);
const struct part_info *part_info(const struct part *part);
uint32_t part_tenant_count(const struct part *part);
const struct part_tenant *part_tenant_at(const struct part *part, uint32_t index);
/* NULL: the tenant has nothing here. */
const struct part_tenant *part_tenant(const struct part *part, struct bytes name);

/* A tenant's names, ready to look up; made per query. */
struct part_name {
    struct bytes name;
    uint32_t first_pair; /* in the part */
    uint32_t pair_count;
};
struct part_index {
    struct part *part;
    const struct part_tenant *tenant;
    struct query_control *control; /* ends long matching; NULL after part_index_load() */
    struct part_name *names;
    uint32_t name_count;
};
MUST_CHECK enum err part_index_load(struct part *part, const struct part_tenant *tenant,
                                    struct arena *arena, struct part_index *ret_index,
                                    struct why *why);

/* The values of a label, ascending, until `each` returns ERR_CANCELED. Views until it returns. */
MUST_CHECK enum err part_values(const struct part_index *index, struct bytes name,
                                enum err (*each)(void *context, struct bytes value), void *context,
                                struct why *why);

/* The numbers of the series that pass all matchers; given (roaring_bitmap_free). */
MUST_CHECK enum err part_match(const struct part_index *index, struct matcher *const *matchers,
                               uint32_t matcher_count, roaring_bitmap_t **ret_series,
                               struct why *why);

/* Reads rows, cheapest in ascending order; keeps the last page and recent labels at hand. */
struct row_reader;
MUST_CHECK enum err row_reader_new(const struct part_index *index, struct budget *budget,
                                   struct row_reader **ret_reader);
void row_reader_free(struct row_reader *reader);
/*
 * Series `number`: canonical labels and blocks; views until the next call. `labels` may be NULL.
 */
MUST_CHECK enum err row_read(struct row_reader *reader, uint32_t number, struct bytes *ret_labels,
                             const struct block_ref **ret_blocks, uint32_t *ret_block_count,
                             struct why *why);
/* Only its pairs; the functions below are about the series read or sought last. */
MUST_CHECK enum err row_seek(struct row_reader *reader, uint32_t number, struct why *why);
/* Seeks the row with these canonical labels. ERR_MISSING: the tenant has none. */
MUST_CHECK enum err row_find(struct row_reader *reader, struct bytes labels, uint32_t *ret_number,
                             struct why *why);
/* Its pairs, by their numbers in the part, ascending; a view like the rest. */
void row_pairs(const struct row_reader *reader, const uint32_t **ret_pairs, uint32_t *ret_count);
MUST_CHECK enum err row_blocks(struct row_reader *reader, const struct block_ref **ret_blocks,
                               uint32_t *ret_count, struct why *why);
/* Has it a block that reaches into the time? */
MUST_CHECK enum err row_meets(struct row_reader *reader, int64_t min_ms, int64_t max_ms,
                              bool *ret_meets, struct why *why);
/* From now on blocks of histograms have their statistics, too, where they are known. */
void row_reader_want_stale(struct row_reader *reader);
/* From now on rows of another tenant of the same part. */
void row_reader_move(struct row_reader *reader, const struct part_index *index);

/*
 * Many rows one after another, with labels: those that have a block in the time. Rows are read some
 * thousand ahead, and labels taken from pages for all of them at once. `index` and `series` outlive
 * it.
 */
struct row_range {
    int64_t min_ms;
    int64_t max_ms;
    bool with_blocks; /* those in the time; else none are given */
    bool with_stale;  /* as row_reader_want_stale() */
    /* Tells which blocks of histograms make a bundle: a piece of the row, always the same, that is
     * worth streaming together (bundle.h). Only those that lie in the time as a whole are told. */
    bool with_bundles;
    uint32_t rows_max; /* there are no more after so many; 0: all */
};
struct row_of_batch {
    uint32_t number;
    struct bytes labels; /* canonical; at is NULL after the last one */
    const struct block_ref *blocks;
    uint32_t block_count;
};
struct row_batch;
MUST_CHECK enum err row_batch_new(const struct part_index *index, const roaring_bitmap_t *series,
                                  const struct row_range *range, struct budget *budget,
                                  struct row_batch **ret_batch);
void row_batch_free(struct row_batch *batch);
/* After ERR_CORRUPT: on after the page of rows that is damaged, or the row whose labels are.
 * False: how far the damage goes is not known. */
bool row_batch_pass(struct row_batch *batch);
/* Views until the next call. Errors come with the row they concern, and stay. */
MUST_CHECK enum err row_batch_next(struct row_batch *batch, struct row_of_batch *ret_row,
                                   struct why *why);

enum sample_kind block_kind(const struct block_ref *block);
/*
 * Decodes a block into arrays of block->count; `ret_starts` only with block->has_starts.
 * Histograms' arrays lie in `arena`.
 */
MUST_CHECK enum err block_read(struct part *part, const struct block_ref *block, int64_t *ret_times,
                               uint64_t *ret_bits, int64_t *ret_starts,
                               struct histogram *ret_histograms, struct arena *arena,
                               struct why *why);
/* The same without the times. */
/* Of floats, only those from `from` until before `until`; see codec_float_decode_some(). */
MUST_CHECK enum err block_read_some(struct part *part, const struct block_ref *block, uint32_t from,
                                    uint32_t until, uint64_t *ret_bits, int64_t *ret_starts,
                                    struct why *why);
MUST_CHECK enum err block_read_values(struct part *part, const struct block_ref *block,
                                      uint64_t *ret_bits, int64_t *ret_starts,
                                      struct histogram *ret_histograms, struct arena *arena,
                                      struct why *why);
/* The same of histograms, by columns. */
MUST_CHECK enum err block_read_columns(struct part *part, const struct block_ref *block,
                                       struct hist_columns *ret_columns, struct arena *arena,
                                       struct why *why);
MUST_CHECK enum err block_read_times(struct part *part, const struct block_ref *block,
                                     int64_t *ret_times, struct why *why);

/* A block as it is stored: views of pages that are held until block_release(). */
struct block_bytes {
    struct bytes times;
    struct bytes values;
    struct bytes starts; /* with block->has_starts */
    const struct page *pages[3];
};
MUST_CHECK enum err block_hold(struct part *part, const struct block_ref *block,
                               struct block_bytes *ret_bytes, struct why *why);
void block_release(struct part *part, const struct block_bytes *bytes);

/* Walks exemplars, by series and time. */
struct directory_table;
struct exemplar_walk {
    struct part *part;
    const struct directory_table *table;
    uint32_t next_page; /* in the table */
    const struct page *page;
    uint64_t offset; /* of the page */
    struct cursor c;
    bool at_end;
    uint32_t series; /* in the part */
    struct exemplar exemplar;
};

void exemplar_walk_init(struct exemplar_walk *walk, struct part *part);
void exemplar_walk_fini(struct exemplar_walk *walk);
/* Before the first one; at_end: the part has none. */
MUST_CHECK enum err exemplar_walk_open(struct exemplar_walk *walk, struct why *why);
/* To the first of series `first` and up; at_end: there is none. Views end with the next step. */
MUST_CHECK enum err exemplar_walk_enter(struct exemplar_walk *walk, uint32_t first,
                                        struct why *why);
/* ERR_CORRUPT: a page is damaged, and the next step goes to the page behind it. */
MUST_CHECK enum err exemplar_walk_step(struct exemplar_walk *walk, struct why *why);

/* Exemplars of series `first` (within the part) and up, in order, until `each` returns
 * ERR_CANCELED. */
MUST_CHECK enum err part_exemplars(struct part *part, uint32_t first_series,
                                   enum err (*each)(void *context, uint32_t series,
                                                    const struct exemplar *exemplar),
                                   void *context, struct why *why);
MUST_CHECK enum err part_metadata(struct part *part, const struct part_tenant *tenant,
                                  enum err (*each)(void *context, const struct metadata *metadata),
                                  void *context, struct why *why);

/* Walks every page; calls `damaged` for each that is not whole, with its offset and the reason. */
MUST_CHECK enum err part_verify(struct part *part,
                                void (*damaged)(void *context, uint64_t offset,
                                                const struct why *why),
                                void *context, struct why *why);

#endif
