/*
 * sample_merge.h - the samples of one series, which several places have, as one: in time order, of
 * each time the sample of whoever was added first.
 *
 * A run is what one place has before the next sample of any other. A long run is given as it is,
 * without a copy; short ones of floats are gathered, since two that scraped the same target in
 * turns have runs of one.
 *
 * Threads: one.
 */
#ifndef MODEL_SAMPLE_MERGE_H
#define MODEL_SAMPLE_MERGE_H

#include "model/select.h"

enum { SAMPLE_MERGE_GATHERED = 512 }; /* of short runs, given at once */

struct sample_merge_place {
    void *from;
    bool drained;
    struct sample_batch batch;
    uint32_t at; /* the sample at hand */
};

struct sample_merge {
    struct budget *budget;
    /* More samples of a place, as series_set_batch(): they stay until it is asked for the next. No
     * summaries and no chunks. */
    enum err (*batch)(void *from, struct sample_batch *ret_batch, struct why *why);
    struct sample_merge_place *places;
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
/* Begins with the next series. */
void sample_merge_clear(struct sample_merge *merge);
/* Before the first batch. ERR_NOMEM, without words. */
MUST_CHECK enum err sample_merge_add(struct sample_merge *merge, void *from);
/* As series_set_batch(). Of one place alone: what that gives. */
MUST_CHECK enum err sample_merge_batch(struct sample_merge *merge, struct sample_batch *ret_batch,
                                       struct why *why);

#endif
