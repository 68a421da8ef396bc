/*
 * remote_write_build.h - writes remote write messages of either version from series and samples,
 * and the 1.0 WriteRequest with metadata of families only (2.0 has metadata of series only).
 */
#ifndef WIRE_REMOTE_REMOTE_WRITE_BUILD_H
#define WIRE_REMOTE_REMOTE_WRITE_BUILD_H

#include "base/buf.h"
#include "wire/remote/remote_write.h"
#include "wire/shape.h"

enum {
    RW_BUILD_BYTES_MAX = 256 << 20
}; /* a ceiling; the caller checks the size and ends the message */

/* A request being written; keeps its memory for the next. rw_build_end() reports out of memory, or
 * a message beyond the ceiling: until then appending has no effect. */
struct rw_build;
/* ERR_NOMEM. */
MUST_CHECK enum err rw_build_new(enum rw_version version, struct budget *budget,
                                 struct rw_build **ret_build);
void rw_build_free(struct rw_build *build);
/* Discards the message. */
void rw_build_clear(struct rw_build *build);

/* Begins a series: canonical label bytes (model/labels.h). The same labels as before continue the
 * series. */
void rw_build_series(struct rw_build *build, struct bytes labels);
/* Appends to the series, in ascending time. `start_ms` is 0 if unknown; 1.0 does not carry it. */
void rw_build_float(struct rw_build *build, int64_t t_ms, uint64_t bits, int64_t start_ms);
void rw_build_histogram(struct rw_build *build, int64_t t_ms, int64_t start_ms,
                        const struct histogram *h);
/* `labels`: canonical; may be empty. */
void rw_build_exemplar(struct rw_build *build, struct bytes labels, int64_t t_ms, uint64_t bits);

/* Sets the metadata of the series' family; 1.0 does not carry it here. */
void rw_build_metadata(struct rw_build *build, enum metric_type type, struct bytes help,
                       struct bytes unit);

struct rw_build_counts {
    uint64_t series;
    uint64_t floats;
    uint64_t histograms;
    uint64_t exemplars;
    size_t bytes; /* approximate size of the message */
};
/* Counts of the message so far. */
struct rw_build_counts rw_build_counts(const struct rw_build *build);

/* Returns the message, uncompressed; a view that ends with the next call. ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK enum err rw_build_end(struct rw_build *build, struct bytes *ret_message);

/* Appends one family to a 1.0 WriteRequest. */
void rw_build_metadata_v1(struct buf *to, struct bytes family, enum metric_type type,
                          struct bytes help, struct bytes unit);

/* --- the Histogram message -------------------------------------------------------------------- */

/* Remote read and remote write have this message, with the same fields in 1.0 and 2.0. */

/* Appends the message without tag and length. `start_ms` is 0 if unknown, and always in 1.0. Out of
 * memory shows in buf_error(to), which then may hold a part of the message. */
void histogram_message_put(struct buf *to, int64_t t_ms, int64_t start_ms,
                           const struct histogram *h);

#endif
