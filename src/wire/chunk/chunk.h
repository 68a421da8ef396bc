/*
 * chunk.h - Prometheus chunk encodings: writes XOR chunks (floats), HISTOGRAM and FLOAT_HISTOGRAM
 * chunks for streamed remote read, and reads all three. Source: src/wire/README.md.
 */
#ifndef WIRE_CHUNK_CHUNK_H
#define WIRE_CHUNK_CHUNK_H

#include "base/buf.h"
#include "wire/shape.h"

enum chunk_type {
    CHUNK_UNKNOWN = 0,
    CHUNK_XOR = 1,
    CHUNK_HISTOGRAM = 2,
    CHUNK_FLOAT_HISTOGRAM = 3
};
enum { CHUNK_SAMPLES = 120, CHUNK_SAMPLES_MAX = 65535 };

/* Writes one XOR chunk at a time; the next chunk_begin() reuses the memory. */
struct chunk_writer;
/* ERR_NOMEM. */
MUST_CHECK enum err chunk_writer_new(struct budget *budget, struct chunk_writer **ret_writer);
void chunk_writer_free(struct chunk_writer *writer);

/* Begins an empty chunk; the bytes of the last one end. */
void chunk_begin(struct chunk_writer *writer);
/* Returns the number of samples so far. */
uint32_t chunk_count(const struct chunk_writer *writer);
/* Returns the size that chunk_end() would return now, in bytes. */
size_t chunk_size(const struct chunk_writer *writer);

/* An error below leaves the chunk unchanged. Times ascend. */

/* Appends all samples or none. ERR_LIMIT: the chunk is full (CHUNK_SAMPLES_MAX, or 64 MiB);
 * ERR_NOMEM. */
MUST_CHECK enum err chunk_put_floats(struct chunk_writer *writer, uint32_t count,
                                     const int64_t *times_ms, const uint64_t *bits);
/* Returns the finished bytes, valid until the next chunk_begin(). The chunk has at least one
 * sample. */
struct bytes chunk_end(struct chunk_writer *writer);

/* Reads a chunk of any origin: calls `each` for each sample (`bits` for XOR, else `h`, whose arrays
 * lie in `arena` until the next sample). `each` may return an error to stop. The hint of a
 * histogram follows Prometheus: GAUGE if the header says so; else YES or UNKNOWN for the first and
 * NO for the others. Checks only what decoding needs; see histogram_check(). ERR_CORRUPT: invalid
 * or truncated; ERR_NOMEM: the arena is full. */
MUST_CHECK enum err chunk_read(enum chunk_type type, struct bytes data, struct arena *arena,
                               enum err (*each)(void *context, int64_t t_ms, uint64_t bits,
                                                const struct histogram *h),
                               void *context);

/* --- histograms ------------------------------------------------------------------------------- */

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
