/*
 * remote_read.h - Prometheus remote read: reads requests and writes both forms of answers series by
 * series; as a client, writes requests and reads the frames of a STREAMED_XOR_CHUNKS answer as they
 * arrive. Source: src/wire/README.md.
 */
#ifndef WIRE_REMOTE_REMOTE_READ_H
#define WIRE_REMOTE_REMOTE_READ_H

#include "base/buf.h"
#include "wire/chunk/chunk.h"
#include "wire/shape.h"

enum rr_answer { RR_SAMPLES = 0, RR_STREAMED_XOR_CHUNKS = 1 };
enum { RR_QUERIES_MAX = 1024, RR_MATCHERS_MAX = 256, RR_FRAME_BYTES = 1048576 };

struct rr_matcher {
    uint8_t type; /* 0 =, 1 !=, 2 =~, 3 !~ */
    struct bytes name;
    struct bytes value;
};

struct rr_query {
    int64_t min_ms; /* inclusive */
    int64_t max_ms; /* inclusive */
    struct rr_matcher *matchers;
    uint32_t matcher_count;
    struct {
        int64_t step_ms;
        struct bytes func;
        int64_t min_ms;
        int64_t max_ms;
        int64_t range_ms;
    } hints; /* zero where absent */
};

struct rr_request {
    struct rr_query *queries;
    uint32_t query_count;
    enum rr_answer answer; /* the first known type of the list; SAMPLES for an empty list */
};

/* Decodes an uncompressed ReadRequest: arrays in `arena`, names and values views into `message`.
 * ERR_INPUT: malformed, an unknown matcher type, or no known answer type; ERR_LIMIT: more queries
 * or matchers than the limits above; ERR_NOMEM: the arena is full. */
MUST_CHECK enum err rr_decode(struct bytes message, struct arena *arena,
                              struct rr_request *ret_request, struct why *why);

/* Receives the bytes of an answer in pieces of any size. May block. An error stops the answer and
 * is passed on. After any error, of the sink or another, the writers below repeat it at every call
 * and write nothing more; free them. */
struct rr_sink {
    enum err (*write)(void *context, struct bytes piece, struct why *why);
    void *context;
};

/* Writes a STREAMED_XOR_CHUNKS answer. Per query: rr_stream_query(), then per series (in label
 * order) rr_stream_series() and its samples in ascending time, of any kinds; rr_stream_end()
 * ends the last series. A frame holds chunks of one series, as Prometheus' client expects, and
 * is sent when the next chunk would take its payload beyond `frame_bytes` (labels counted) or the
 * series ends; a series may be split over frames, which repeat its labels. A single chunk with its
 * labels may exceed `frame_bytes`. Queries without series and series without samples send nothing.
 * Uses the memory of about two frames, from `budget`, for any size of the answer. */
struct rr_stream;
/* The sink is copied; its context outlives the stream. ERR_NOMEM. */
MUST_CHECK enum err rr_stream_new(const struct rr_sink *sink, size_t frame_bytes,
                                  struct budget *budget, struct rr_stream **ret_stream);
void rr_stream_free(struct rr_stream *stream);
MUST_CHECK enum err rr_stream_query(struct rr_stream *stream, uint32_t query_index,
                                    struct why *why);
/* `labels`: canonical label bytes (model/labels.h), copied. */
MUST_CHECK enum err rr_stream_series(struct rr_stream *stream, struct bytes labels,
                                     struct why *why);
MUST_CHECK enum err rr_stream_floats(struct rr_stream *stream, uint32_t count,
                                     const int64_t *times_ms, const uint64_t *bits,
                                     struct why *why);
/* ERR_INPUT: spans and buckets do not match in number. */
MUST_CHECK enum err rr_stream_histograms(struct rr_stream *stream, uint32_t count,
                                         const int64_t *times_ms, const struct histogram *h,
                                         struct why *why);
/* Puts one or more encoded chunks, written by rr_chunk_put(). */
MUST_CHECK enum err rr_stream_chunks(struct rr_stream *stream, struct bytes chunks,
                                     struct why *why);
/* Appends a chunk in the form of its series' message. */
void rr_chunk_put(struct buf *to, enum chunk_type type, int64_t min_ms, int64_t max_ms,
                  struct bytes data);
/* Puts the rows from..from+count-1; times_ms[0] is the time of row `from`. */
MUST_CHECK enum err rr_stream_columns(struct rr_stream *stream, const struct hist_columns *columns,
                                      uint32_t from, uint32_t count, const int64_t *times_ms,
                                      struct why *why);
/* Sends a frame without a series: a description, for people, of omitted data, or of the error that
 * ends the answer; or the resolution, as a duration, of windows of which the answer has the last
 * samples. Only for clients that requested notices; others may not expect such a frame. */
enum rr_notice { RR_NOTICE_ERROR = 14, RR_NOTICE_LEFT_OUT = 15, RR_NOTICE_DOWNSAMPLED = 16 };
MUST_CHECK enum err rr_stream_notice(struct rr_stream *stream, enum rr_notice notice,
                                     struct bytes text, struct why *why);
MUST_CHECK enum err rr_stream_end(struct rr_stream *stream, struct why *why);

/* Writes a SAMPLES answer as one snappy block. Lengths precede contents but are known only at the
 * end; so the answer is kept compressed, as independent fragments of at most 64 KiB of input with
 * lengths as small fragments of their own, and is written in order at the end. This takes a
 * fraction of the answer's size, charged to `budget`, and the largest series uncompressed. Per
 * query: rr_samples_query(), then series with their samples as above. A query without series yields
 * an empty QueryResult. A series without samples is left out. ERR_NOMEM; ERR_LIMIT: the answer
 * exceeds 4 GiB uncompressed, the limit of a block. */
struct rr_samples;
MUST_CHECK enum err rr_samples_new(struct budget *budget, struct rr_samples **ret_samples);
void rr_samples_free(struct rr_samples *samples);
MUST_CHECK enum err rr_samples_query(struct rr_samples *samples);
MUST_CHECK enum err rr_samples_series(struct rr_samples *samples, struct bytes labels);
MUST_CHECK enum err rr_samples_floats(struct rr_samples *samples, uint32_t count,
                                      const int64_t *times_ms, const uint64_t *bits);
MUST_CHECK enum err rr_samples_histograms(struct rr_samples *samples, uint32_t count,
                                          const int64_t *times_ms, const struct histogram *h);
/* Ends the input and returns the compressed size. */
MUST_CHECK enum err rr_samples_end(struct rr_samples *samples, uint64_t *ret_size);
/* Writes the answer after rr_samples_end(). Only rr_samples_free() releases the memory. */
MUST_CHECK enum err rr_samples_write(struct rr_samples *samples, const struct rr_sink *sink,
                                     struct why *why);

/* --- the client ------------------------------------------------------------------------------- */

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
