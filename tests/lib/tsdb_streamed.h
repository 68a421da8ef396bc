/*
 * tsdb_streamed.h - what is asked for as chunks must be what is given otherwise: both are
 * read, one through the frames of a streamed answer and the reader of such. For tests only.
 */
#ifndef LIB_TSDB_STREAMED_H
#define LIB_TSDB_STREAMED_H

#include "lib/tsdb_machine.h"
#include "wire/remote/remote_read_client.h"

/* The samples of an answer, one after the other, each as a few words that tell it from others. */
struct streamed {
    struct buf samples;
    uint64_t labels_hash;
    struct rr_client *client; /* of what is streamed */
    struct rr_decoder *decoder;
};

/* --- as it is given --------------------------------------------------------------------------- */

void streamed_saw(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i);

/* --- through the frames ----------------------------------------------------------------------- */

enum err read_streamed(struct answerer *a, const struct query_request *request, struct streamed *x);

/* Asks both ways, the streamed one twice: the second time from what the first left in memory. */
void check_streamed(struct machine *m, const struct question *q);

#endif
