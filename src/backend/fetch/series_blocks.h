/*
 * series_blocks.h - reads series of a store in two steps: first the keys of all series, which are
 * sorted by labels here, then samples, in blocks of series or, if a series has many, in pieces of
 * time. For stores with another order of their own.
 *
 *     series_blocks_new()
 *     series_blocks_add()  each series, in any order
 *     series_blocks_next(), series_blocks_batch()  ->  fetch()  ->  series_blocks_put_float() ...
 *
 * Series with the same final labels are merged: each time is returned once, with the value of the
 * key that was added first; within a key, the value that was put first.
 *
 * Memory: labels and keys of all series, and SERIES_BLOCKS_SAMPLES samples with their histograms.
 *
 * Threads: one.
 */
#ifndef BACKEND_FETCH_SERIES_BLOCKS_H
#define BACKEND_FETCH_SERIES_BLOCKS_H

#include "backend/common/final_labels.h"
#include "model/select.h"

enum {
    SERIES_BLOCKS_SAMPLES = 512 * 1024,       /* per block */
    SERIES_BLOCKS_HISTOGRAM_BYTES = 16 << 20, /* per block, as stored here */
};

struct series_blocks;

/* A block to fetch: the keys first..first+count-1 at these times, both inclusive. */
struct series_block {
    uint32_t first;
    uint32_t count;
    int64_t min_ms;
    int64_t max_ms;
};

struct series_blocks_options {
    struct budget *budget;
    struct external_labels external;
    /* The whole time range; narrowed to the store's first and last times if these are known,
     * because a large series is halved in time from there. */
    int64_t min_ms, max_ms;
    uint32_t keys_max; /* per block: limit of one request */
    /* Fetches the samples of a block and puts them, in any order; those of other times are
     * dropped. An error of a put must be returned: it may mean that the block has to be smaller. */
    enum err (*fetch)(void *context, struct series_blocks *blocks, const struct series_block *block,
                      struct why *why);
    void *context;
};

/* `options` is copied. ERR_NOMEM. */
MUST_CHECK enum err series_blocks_new(const struct series_blocks_options *options,
                                      struct series_blocks **ret_blocks, struct why *why);
void series_blocks_free(struct series_blocks *blocks);

/* Adds a series, before the first is read: its own labels, which are sorted in place (room for
 * FINAL_LABELS_MAX), and the key that fetch() needs. Copied. Errors of final_labels_build(). */
MUST_CHECK enum err series_blocks_add(struct series_blocks *blocks, struct label *labels,
                                      uint32_t count, struct bytes key, struct why *why);
/*
 * Sets the store's count of samples for the series added last. Blocks are then made of as many
 * series as fit, and longer ones are cut in time before they are fetched. For all series or none.
 */
void series_blocks_expect(struct series_blocks *blocks, uint64_t samples);
/* Says that all samples are between these times; before the first series is read. */
void series_blocks_narrow(struct series_blocks *blocks, int64_t min_ms, int64_t max_ms);
/* Returns the key of a number in a block. A view. */
struct bytes series_blocks_key(const struct series_blocks *blocks, uint32_t number);

/* Puts a sample of a key of the block being fetched. `start_ms` 0: unknown. ERR_FULL: the block
 * is too large; ERR_NOMEM; ERR_INPUT: an invalid histogram. */
MUST_CHECK enum err series_blocks_put_float(struct series_blocks *blocks, uint32_t number,
                                            int64_t t_ms, uint64_t bits, int64_t start_ms,
                                            struct why *why);
MUST_CHECK enum err series_blocks_put_histogram(struct series_blocks *blocks, uint32_t number,
                                                int64_t t_ms, const struct histogram *histogram,
                                                int64_t start_ms, struct why *why);

/*
 * Read as series_set_next() and series_set_batch(); labels stay valid until the next series. Errors
 * of fetch(); ERR_LIMIT: more samples at one time than a block can have. A series may have no
 * samples.
 */
MUST_CHECK enum err series_blocks_next(struct series_blocks *blocks, struct bytes *ret_labels,
                                       struct why *why);
MUST_CHECK enum err series_blocks_batch(struct series_blocks *blocks,
                                        struct sample_batch *ret_batch, struct why *why);

#endif
