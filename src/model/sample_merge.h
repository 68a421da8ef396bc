/*
 * sample_merge.h - merges the samples of one series from several inputs: in time order, and for
 * each time the sample of the input that was added first.
 *
 * A window of a level wins over the samples and finer windows in its time; of two equal windows the
 * one with more samples wins.
 *
 * A run is the samples of one input before the next sample of any other. A long run is returned
 * without a copy. Short runs of floats are gathered, because two servers that scrape the same
 * target in turns have runs of one.
 *
 * Threads: one.
 */
#ifndef MODEL_SAMPLE_MERGE_H
#define MODEL_SAMPLE_MERGE_H

#include "model/select.h"

enum { SAMPLE_MERGE_GATHERED = 512 }; /* samples of short runs that are returned together */

struct sample_merge_input {
    void *from;
    bool drained;
    struct sample_batch batch;
    uint32_t at; /* index of the current sample */
};

struct sample_merge {
    struct budget *budget;
    /* Returns more samples of an input, like series_set_batch(): they stay valid until the next
     * call for it. No summaries and no chunks. */
    enum err (*batch)(void *from, struct sample_batch *ret_batch, struct why *why);
    struct sample_merge_input *inputs;
    uint32_t count, capacity;
    int64_t times_ms[SAMPLE_MERGE_GATHERED];
    uint64_t value_bits[SAMPLE_MERGE_GATHERED];
    int64_t starts_ms[SAMPLE_MERGE_GATHERED];
};

void sample_merge_init(struct sample_merge *merge,
                       enum err (*batch)(void *from, struct sample_batch *ret_batch,
                                         struct why *why),
                       struct budget *budget);
void sample_merge_fini(struct sample_merge *merge);
/* Begins the next series. */
void sample_merge_clear(struct sample_merge *merge);
/* Adds an input, before the first batch. ERR_NOMEM, without a sentence. */
MUST_CHECK enum err sample_merge_add(struct sample_merge *merge, void *from);
/* Returns merged samples like series_set_batch(); with a single input, its batches. */
MUST_CHECK enum err sample_merge_batch(struct sample_merge *merge, struct sample_batch *ret_batch,
                                       struct why *why);

#endif
