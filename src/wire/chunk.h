/*
 * chunk.h - Prometheus' chunk encodings: XOR (floats), HISTOGRAM and FLOAT_HISTOGRAM, written for
 * streamed remote read, and read again by tests and imports. Source: docs/protocols.md §chunks.
 */
#ifndef WIRE_CHUNK_H
#define WIRE_CHUNK_H

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

/* The chunk being written. One at a time; memory is reused by the next chunk_begin(). */
struct chunk_writer;
MUST_CHECK enum err chunk_writer_new(struct budget *budget, struct chunk_writer **ret_writer);
void chunk_writer_free(struct chunk_writer *writer);

void chunk_begin(struct chunk_writer *writer, enum chunk_type type);
uint32_t chunk_count(const struct chunk_writer *writer);
/* Bytes so far, rounded up: what chunk_end() would give. */
size_t chunk_size(const struct chunk_writer *writer);

/* Times ascend. ERR_LIMIT: the chunk is full (CHUNK_SAMPLES_MAX); ERR_NOMEM. */
MUST_CHECK enum err chunk_put_float(struct chunk_writer *writer, int64_t t_ms, uint64_t bits);
/*
 * ERR_AGAIN: the histogram's layout (or for integer ones a counter reset or other hint) needs a
 * chunk of its own: end this one, begin the next, and put it there. ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err chunk_put_histogram(struct chunk_writer *writer, int64_t t_ms,
                                        const struct histogram *h);
/* The finished bytes, valid until the next chunk_begin(). At least one sample was put. */
MUST_CHECK enum err chunk_end(struct chunk_writer *writer, struct bytes *ret_data);

/*
 * Reads a chunk written by anybody: calls `each` per sample (bits for XOR, else `h`, whose arrays
 * lie in `arena`). ERR_CORRUPT: not such a chunk, or cut short; `each` may return an error to stop.
 */
MUST_CHECK enum err chunk_read(enum chunk_type type, struct bytes data, struct arena *arena,
                               enum err (*each)(void *context, int64_t t_ms, uint64_t bits,
                                                const struct histogram *h),
                               void *context);

#endif
