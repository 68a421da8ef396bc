/*
 * chunk_histogram.h - writes native histograms of a series as Prometheus' HISTOGRAM and
 * FLOAT_HISTOGRAM chunks (docs/protocols-chunks.md), for streamed remote read.
 */
#ifndef WIRE_CHUNK_CHUNK_HISTOGRAM_H
#define WIRE_CHUNK_CHUNK_HISTOGRAM_H

#include "wire/chunk/chunk.h"

enum { HISTOGRAM_CHUNK_SAMPLES = 256 };

/* What becomes of histograms that have not the same buckets as those before them. */
enum chunk_layouts {
    CHUNK_LAYOUTS_UNITED, /* they share a chunk: each then has the buckets of all, also empty */
    CHUNK_LAYOUTS_KEPT,   /* they begin a chunk, and come back with the spans they have */
};

struct histogram_chunk {
    enum chunk_type type;
    uint32_t count;
    int64_t min_ms, max_ms;
    struct bytes data; /* a view that ends with the call */
};

/* Gathers histograms and hands on each chunk when it is known what is in it. */
struct histogram_chunks;
typedef enum err take_histogram_chunk(void *context, const struct histogram_chunk *chunk,
                                      struct why *why);
/* A chunk ends with the histogram that takes it to `bytes_max`, or at HISTOGRAM_CHUNK_SAMPLES, or
 * earlier if histograms are large. ERR_NOMEM. */
MUST_CHECK enum err histogram_chunks_new(struct budget *budget, enum chunk_layouts layouts,
                                         size_t bytes_max, take_histogram_chunk *take,
                                         void *context, struct histogram_chunks **ret_chunks);
void histogram_chunks_free(struct histogram_chunks *chunks);

/*
 * The next ones of the series, in ascending time. What comes back from the chunks has the same
 * meaning (histogram_equal()), whatever becomes of layouts. Of a staleness marker only the fact is
 * written.
 * ERR_INPUT: spans and buckets are not of equal number; ERR_NOMEM; errors of `take`.
 */
MUST_CHECK enum err histogram_chunks_put(struct histogram_chunks *chunks, uint32_t count,
                                         const int64_t *times_ms, const struct histogram *h,
                                         struct why *why);
/* The same of the rows from..from+count-1; times_ms[0] is that of the first of them. */
MUST_CHECK enum err histogram_chunks_put_columns(struct histogram_chunks *chunks,
                                                 const struct hist_columns *columns, uint32_t from,
                                                 uint32_t count, const int64_t *times_ms,
                                                 struct why *why);
/* Hands on what is left: the series ends, or goes on with something else. */
MUST_CHECK enum err histogram_chunks_end(struct histogram_chunks *chunks, struct why *why);

#endif
