/*
 * remote_read.h - Prometheus' remote read: the request, and the two forms of its answer, each
 * written by pushing series into it. Source: docs/protocols-read.md.
 */
#ifndef WIRE_REMOTE_REMOTE_READ_H
#define WIRE_REMOTE_REMOTE_READ_H

#include "base/buf.h"
#include "base/mem.h"
#include "wire/chunk/chunk_histogram.h"
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
    } hints; /* zero where not sent */
};

struct rr_request {
    struct rr_query *queries;
    uint32_t query_count;
    enum rr_answer answer; /* the first type of the list that we know; an empty list is SAMPLES */
};

/*
 * Decodes an uncompressed ReadRequest: arrays in `arena`, names and values views into `message`.
 * ERR_INPUT: malformed, an unknown matcher type, or no answer type we know; ERR_LIMIT: more queries
 * or matchers than the limits above; ERR_NOMEM: the arena is full.
 */
MUST_CHECK enum err rr_decode(struct bytes message, struct arena *arena,
                              struct rr_request *ret_request, struct why *why);

/*
 * Where finished bytes of an answer go, in pieces of any size. May block. An error stops the answer
 * and is passed on. After any error, of the sink or another, the writers below repeat it at every
 * call and write nothing more; free them.
 */
struct rr_sink {
    enum err (*write)(void *context, struct bytes piece, struct why *why);
    void *context;
};

/*
 * The STREAMED_XOR_CHUNKS answer. Per query: rr_stream_query(), then per series (in label order)
 * rr_stream_series() and its samples in ascending time, of any kinds; rr_stream_end() closes the
 * last one. A frame holds chunks of one series, as Prometheus' client expects, and is sent when the
 * next chunk would take its payload beyond `frame_bytes` (labels counted) or the series ends; a
 * series may be split over frames, its labels repeated. One chunk with its labels is sent however
 * large it is. A query without series sends nothing. A series without samples is not sent. Memory:
 * about two frames, from `budget`, whatever the size of the answer.
 */
struct rr_stream;
MUST_CHECK enum err rr_stream_new(const struct rr_sink *sink, size_t frame_bytes,
                                  enum chunk_layouts layouts, struct budget *budget,
                                  struct rr_stream **ret_stream);
void rr_stream_free(struct rr_stream *stream);
MUST_CHECK enum err rr_stream_query(struct rr_stream *stream, uint32_t query_index,
                                    struct why *why);
/* `labels`: canonical label bytes (model/labels.h), copied. */
MUST_CHECK enum err rr_stream_series(struct rr_stream *stream, struct bytes labels,
                                     struct why *why);
MUST_CHECK enum err rr_stream_floats(struct rr_stream *stream, uint32_t count,
                                     const int64_t *times_ms, const uint64_t *bits,
                                     struct why *why);
/* ERR_INPUT: spans and buckets are not of equal number. */
MUST_CHECK enum err rr_stream_histograms(struct rr_stream *stream, uint32_t count,
                                         const int64_t *times_ms, const struct histogram *h,
                                         struct why *why);
/* Chunks that are made already: rr_chunk_put() wrote them, one or more after another. */
MUST_CHECK enum err rr_stream_chunks(struct rr_stream *stream, struct bytes chunks,
                                     struct why *why);
/* Appends a chunk as it stands in the message of its series. */
void rr_chunk_put(struct buf *to, enum chunk_type type, int64_t min_ms, int64_t max_ms,
                  struct bytes data);
/* The rows from..from+count-1; times_ms[0] is that of the first of them. */
MUST_CHECK enum err rr_stream_columns(struct rr_stream *stream, const struct hist_columns *columns,
                                      uint32_t from, uint32_t count, const int64_t *times_ms,
                                      struct why *why);
/*
 * A frame without a series, for people: what was left out, or why the answer ends here. Only for
 * clients that have asked for notices: others may not expect such a frame.
 */
enum rr_notice { RR_NOTICE_ERROR = 14, RR_NOTICE_LEFT_OUT = 15 };
MUST_CHECK enum err rr_stream_notice(struct rr_stream *stream, enum rr_notice notice,
                                     struct bytes text, struct why *why);
MUST_CHECK enum err rr_stream_end(struct rr_stream *stream, struct why *why);

/*
 * A SAMPLES answer, one snappy block. Lengths stand before contents and are known only at the end;
 * so the answer is kept compressed, in independent fragments of at most 64 KiB of input and with
 * the lengths as small fragments of their own, and is written out in order when all is known. So it
 * takes a fraction of the answer's size, charged to `budget`; a single series' samples may be held
 * raw for at most one fragment.
 * Per query: rr_samples_query(), then series with their samples as above. A query without series
 * yields an empty QueryResult. A series without samples is left out.
 * ERR_NOMEM; ERR_LIMIT: the answer has more than 4 GiB uncompressed, which a block cannot say.
 */
struct rr_samples;
MUST_CHECK enum err rr_samples_new(struct budget *budget, struct rr_samples **ret_samples);
void rr_samples_free(struct rr_samples *samples);
MUST_CHECK enum err rr_samples_query(struct rr_samples *samples);
MUST_CHECK enum err rr_samples_series(struct rr_samples *samples, struct bytes labels);
MUST_CHECK enum err rr_samples_floats(struct rr_samples *samples, uint32_t count,
                                      const int64_t *times_ms, const uint64_t *bits);
MUST_CHECK enum err rr_samples_histograms(struct rr_samples *samples, uint32_t count,
                                          const int64_t *times_ms, const struct histogram *h);
/* No more input; then the compressed size is known, and all of it can be written. */
MUST_CHECK enum err rr_samples_end(struct rr_samples *samples, uint64_t *ret_size);
/* After rr_samples_end(). Memory is given back by rr_samples_free() only. */
MUST_CHECK enum err rr_samples_write(struct rr_samples *samples, const struct rr_sink *sink,
                                     struct why *why);

#endif
