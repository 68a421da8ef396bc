/*
 * tsdb_streamed.h - compares answers in chunks, read through the frames of a streamed remote read,
 * with answers in samples. For tests.
 */
#ifndef LIB_TSDB_TSDB_STREAMED_H
#define LIB_TSDB_TSDB_STREAMED_H

#include "lib/tsdb/tsdb_machine.h"
#include "wire/remote/remote_read.h"

/* The samples of an answer, each as a few words that differ from those of other samples. */
struct streamed {
    struct buf samples;
    uint64_t labels_hash;
    struct rr_client *client; /* client of the streamed read */
    struct rr_decoder *decoder;
};

/* Adds a sample of an answer in samples; an each_sample. `context` is a struct streamed. */
void streamed_saw(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i);

/* Reads the answer in chunks into `x`. */
enum err read_streamed(struct answerer *a, const struct query_request *request, struct streamed *x);

/*
 * Selects, calls `each`, unless it is NULL, with each sample, and checks that the answer in chunks
 * is the same; the one in chunks also from the cache. *ret_set is the answer in samples after its
 * end, or NULL if there was none: the caller frees it.
 */
enum err select_streamed(struct machine *m, const struct question *q, each_sample *each,
                         void *context, struct series_set **ret_set);

/* Checks that both answers are the same. */
void check_streamed(struct machine *m, const struct question *q);

#endif
