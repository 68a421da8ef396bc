/*
 * remote_read_client.h - the asking side of remote read: the request, and the frames of a
 * STREAMED_XOR_CHUNKS answer as they come in. Source: docs/protocols-read.md.
 */
#ifndef WIRE_REMOTE_READ_CLIENT_H
#define WIRE_REMOTE_READ_CLIENT_H

#include "wire/chunk.h"
#include "wire/remote_read.h"

/* Appends a ReadRequest with one query, uncompressed, that wants the answer streamed. */
void rr_request_put(struct buf *to, int64_t min_ms, int64_t max_ms,
                    const struct rr_matcher *matchers, uint32_t matcher_count);

/*
 * Where the answer goes. Each may return an error to stop. Samples come in the order of the server,
 * at times cut to the range asked for; views end with the call.
 */
struct rr_receiver {
    /* `labels`: the `labels` fields as sent. Not called again while they stay the same. */
    enum err (*series)(void *context, struct bytes labels, struct why *why);
    enum err (*floats)(void *context, uint32_t count, const int64_t *times_ms, const uint64_t *bits,
                       struct why *why);
    enum err (*histogram)(void *context, int64_t t_ms, const struct histogram *h, struct why *why);
    void *context;
    /* What the server left out, or why the answer ends; NULL: passed over. Its errors stop. */
    enum err (*notice)(void *context, enum rr_notice notice, struct bytes text, struct why *why);
    void *notice_context;
};

enum { RR_CLIENT_FRAME_BYTES_MAX = 50000000 }; /* as Prometheus' own client */

/*
 * Takes the answer in pieces of any size. ERR_CORRUPT: a bad checksum, or bytes that are no such
 * answer; ERR_LIMIT: a frame that is too large; ERR_NOMEM; errors of the receiver.
 */
struct rr_client;
MUST_CHECK enum err rr_client_new(const struct rr_receiver *receiver, int64_t min_ms,
                                  int64_t max_ms, struct budget *budget,
                                  struct rr_client **ret_client);
void rr_client_free(struct rr_client *client);
MUST_CHECK enum err rr_client_take(struct rr_client *client, struct bytes piece, struct why *why);
/* The answer is over. ERR_CORRUPT: within a frame. */
MUST_CHECK enum err rr_client_end(struct rr_client *client, struct why *why);

#endif
