/*
 * chunk_histogram.h - writes native histograms of a series as Prometheus HISTOGRAM and
 * FLOAT_HISTOGRAM chunks (src/wire/README.md), for streamed remote read.
 */
#ifndef WIRE_CHUNK_CHUNK_HISTOGRAM_H
#define WIRE_CHUNK_CHUNK_HISTOGRAM_H

#include "wire/chunk/chunk.h"

enum { HISTOGRAM_CHUNK_SAMPLES = 256 };

struct histogram_chunk {
    enum chunk_type type;
    uint32_t count;
    int64_t min_ms, max_ms;
    struct bytes data; /* view, valid during the call */
};

/* Gathers histograms and passes each finished chunk to a callback. */
struct histogram_chunks;
typedef enum err take_histogram_chunk(void *context, const struct histogram_chunk *chunk,
                                      struct why *why);
/* A chunk ends with the histogram that takes it to `bytes_max`, at HISTOGRAM_CHUNK_SAMPLES, where
 * the layout changes, or earlier if histograms are large. ERR_NOMEM. */
MUST_CHECK enum err histogram_chunks_new(struct budget *budget, size_t bytes_max,
                                         take_histogram_chunk *take, void *context,
                                         struct histogram_chunks **ret_chunks);
void histogram_chunks_free(struct histogram_chunks *chunks);

/* Puts the next histograms of the series, in ascending time. All but their hints come back bit for
 * bit; a staleness marker is written without its numbers. ERR_INPUT: spans and buckets do not match
 * in number; ERR_NOMEM; errors of `take`. */
MUST_CHECK enum err histogram_chunks_put(struct histogram_chunks *chunks, uint32_t count,
                                         const int64_t *times_ms, const struct histogram *h,
                                         struct why *why);
/* Puts the rows from..from+count-1; times_ms[0] is the time of row `from`. */
MUST_CHECK enum err histogram_chunks_put_columns(struct histogram_chunks *chunks,
                                                 const struct hist_columns *columns, uint32_t from,
                                                 uint32_t count, const int64_t *times_ms,
                                                 struct why *why);
/* Passes the rest to `take`: the series ends, or continues with samples of another kind. */
MUST_CHECK enum err histogram_chunks_end(struct histogram_chunks *chunks, struct why *why);

#endif
