/*
 * chunk.h - Prometheus' chunk encodings: XOR (floats), written for streamed remote read, and the
 * reader of all three. Histograms are written by chunk_histogram.h. Source:
 * docs/protocols-chunks.md.
 */
#ifndef WIRE_CHUNK_CHUNK_H
#define WIRE_CHUNK_CHUNK_H

#include "base/buf.h"
#include "base/mem.h"
#include "wire/shape.h"

enum chunk_type {
    CHUNK_UNKNOWN = 0,
    CHUNK_XOR = 1,
    CHUNK_HISTOGRAM = 2,
    CHUNK_FLOAT_HISTOGRAM = 3
};
enum { CHUNK_SAMPLES = 120, CHUNK_SAMPLES_MAX = 65535 };

/* The XOR chunk being written. One at a time; memory is reused by the next chunk_begin(). */
struct chunk_writer;
MUST_CHECK enum err chunk_writer_new(struct budget *budget, struct chunk_writer **ret_writer);
void chunk_writer_free(struct chunk_writer *writer);

void chunk_begin(struct chunk_writer *writer);
uint32_t chunk_count(const struct chunk_writer *writer);
/* Bytes so far, rounded up: what chunk_end() would give. */
size_t chunk_size(const struct chunk_writer *writer);

/* After any error below the chunk is as before the call. Times ascend. */

/* All or none. ERR_LIMIT: the chunk is full (CHUNK_SAMPLES_MAX, or 64 MiB); ERR_NOMEM. */
MUST_CHECK enum err chunk_put_floats(struct chunk_writer *writer, uint32_t count,
                                     const int64_t *times_ms, const uint64_t *bits);
/* The finished bytes, valid until the next chunk_begin(). At least one sample was put. */
struct bytes chunk_end(struct chunk_writer *writer);

/*
 * Reads a chunk written by anybody: calls `each` per sample (bits for XOR, else `h`, whose arrays
 * lie in `arena` and are overwritten by the next sample). `each` may return an error to stop.
 * The hint of a histogram is what Prometheus concludes: GAUGE by the header; else NO for all but
 * the first, which is YES or UNKNOWN. Nothing is judged that decoding does not need: see
 * histogram_check(). ERR_CORRUPT: not such a chunk, or cut short; ERR_NOMEM: the arena is full.
 */
MUST_CHECK enum err chunk_read(enum chunk_type type, struct bytes data, struct arena *arena,
                               enum err (*each)(void *context, int64_t t_ms, uint64_t bits,
                                                const struct histogram *h),
                               void *context);

#endif
