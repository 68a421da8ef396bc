/*
 * remote_read_client.h - the client side of remote read: writes the request and reads the frames of
 * a STREAMED_XOR_CHUNKS answer as they arrive. Source: src/wire/README.md.
 */
#ifndef WIRE_REMOTE_REMOTE_READ_CLIENT_H
#define WIRE_REMOTE_REMOTE_READ_CLIENT_H

#include "wire/chunk/chunk.h"
#include "wire/remote/remote_read.h"

/* A ReadRequest, uncompressed: append its queries, then the accepted forms of the answer. */
void rr_request_put_query(struct buf *to, int64_t min_ms, int64_t max_ms,
                          const struct rr_matcher *matchers, uint32_t matcher_count);
/* The streamed form is preferred. */
void rr_request_put_accepted(struct buf *to, bool streamed, bool samples);

enum { RR_CLIENT_FRAME_BYTES_MAX = 50000000 }; /* the limit of Prometheus' own client */

/* The next piece of an answer; views end with the next call. */
enum rr_piece_kind {
    RR_PIECE_NONE,   /* more input is needed */
    RR_PIECE_SERIES, /* `labels`: the `labels` fields as sent; once while they do not change */
    RR_PIECE_CHUNK,  /* a chunk of the series, for rr_decode_chunk() */
    RR_PIECE_NOTICE, /* `notice` and its `text`, see rr_stream_notice() */
};
struct rr_piece {
    enum rr_piece_kind kind;
    struct bytes labels;
    enum chunk_type type;
    struct bytes chunk;
    int64_t min_ms, max_ms; /* times of the chunk according to the server */
    enum rr_notice notice;
    struct bytes text;
};

/* Reads an answer given in pieces of any size. Series and chunks come in the order of the server.
 */
struct rr_client;
MUST_CHECK enum err rr_client_new(struct budget *budget, struct rr_client **ret_client);
void rr_client_free(struct rr_client *client);
/* Adds a piece of the answer, after RR_PIECE_NONE; copied. ERR_NOMEM. */
MUST_CHECK enum err rr_client_give(struct rr_client *client, struct bytes answer, struct why *why);
/* ERR_CORRUPT: a bad checksum, or not such an answer; ERR_UNSUPPORTED: a chunk of another encoding;
 * ERR_LIMIT: a frame is too large; ERR_NOMEM. Later calls repeat an error. */
MUST_CHECK enum err rr_client_next(struct rr_client *client, struct rr_piece *ret_piece,
                                   struct why *why);
/* Ends the answer. ERR_CORRUPT: it ends within a frame. */
MUST_CHECK enum err rr_client_end(struct rr_client *client, struct why *why);

/* The samples of a chunk, in ascending time, of one kind; views end with the next
 * rr_decode_chunk(). */
struct rr_decoded {
    uint32_t count;
    const int64_t *times_ms;
    const uint64_t *bits;
    const struct histogram *histograms; /* NULL if the samples are floats */
};

struct rr_decoder;
MUST_CHECK enum err rr_decoder_new(struct budget *budget, struct rr_decoder **ret_decoder);
void rr_decoder_free(struct rr_decoder *decoder);
/* Decodes the samples with times from min to max, both inclusive. ERR_CORRUPT: damaged, or times do
 * not ascend; ERR_LIMIT: too large; ERR_NOMEM. */
MUST_CHECK enum err rr_decode_chunk(struct rr_decoder *decoder, enum chunk_type type,
                                    struct bytes chunk, int64_t min_ms, int64_t max_ms,
                                    struct rr_decoded *ret, struct why *why);

#endif
