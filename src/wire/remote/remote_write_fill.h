/*
 * remote_write_fill.h - fills a struct rw_request with what came in another protocol, so that the
 * write path takes it as any other: a request of version 1.0, but for start times, which that does
 * not have on the wire.
 *
 *     rw_fill_begin() -> rw_fill_series() -> rw_fill_float(), ... -> rw_fill_end()
 *
 * Errors of all functions: ERR_NOMEM: the budget is exhausted; ERR_LIMIT: the request needs more
 * than RW_KEEP_BYTES + RW_AMPLIFICATION_MAX * the size of the message. After one the request can
 * only be cleared.
 */
#ifndef WIRE_REMOTE_REMOTE_WRITE_FILL_H
#define WIRE_REMOTE_REMOTE_WRITE_FILL_H

#include "wire/remote/remote_write.h"

/* Empties the request, which is made of a message of that size. `seed` is secret. */
void rw_fill_begin(struct rw_request *request, uint64_t seed, size_t message_bytes);
/* Allocates memory that stays until the request is cleared. NULL: rw_fill_error() says why. */
void *rw_fill_alloc(struct rw_request *request, size_t size_bytes);
/* Copies a text into such memory. `at` is NULL on an error. */
struct bytes rw_fill_text(struct rw_request *request, struct bytes text);
enum err rw_fill_error(const struct rw_request *request);

/* Begins a series. The labels are sorted by name, without repeats and empty values; copied. */
MUST_CHECK enum err rw_fill_series(struct rw_request *request, const struct label *labels,
                                   uint32_t count);
/* Encodes labels that several series share, but for their names. The labels are as above, without
 * `__name__`. */
struct rw_fill_labels {
    struct bytes before, after; /* those sorted before the name, and after it */
};
MUST_CHECK enum err rw_fill_labels(struct rw_request *request, const struct label *labels,
                                   uint32_t count, struct rw_fill_labels *ret);
/* Begins a series with these labels and this name. */
MUST_CHECK enum err rw_fill_named_series(struct rw_request *request,
                                         const struct rw_fill_labels *labels, struct bytes name);
/* Append to the series. `start_ms` is 0 if unknown. Arrays of a histogram, and texts of labels, are
 * borrowed. */
MUST_CHECK enum err rw_fill_float(struct rw_request *request, int64_t t_ms, uint64_t bits,
                                  int64_t start_ms);
MUST_CHECK enum err rw_fill_histogram(struct rw_request *request, int64_t t_ms, int64_t start_ms,
                                      const struct histogram *histogram);
MUST_CHECK enum err rw_fill_exemplar(struct rw_request *request, int64_t t_ms, uint64_t bits,
                                     const struct label *labels, uint32_t count);

/* Appends metadata, whose texts are borrowed. */
MUST_CHECK enum err rw_fill_metadata(struct rw_request *request,
                                     const struct rw_metadata *metadata);

/* Completes the request. */
void rw_fill_end(struct rw_request *request);

#endif
