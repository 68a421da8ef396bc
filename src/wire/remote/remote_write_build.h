/*
 * remote_write_build.h - writes remote write messages of either version from series and samples,
 * and the 1.0 WriteRequest that carries nothing but metadata of families (2.0 knows metadata of
 * series only).
 */
#ifndef WIRE_REMOTE_REMOTE_WRITE_BUILD_H
#define WIRE_REMOTE_REMOTE_WRITE_BUILD_H

#include "base/buf.h"
#include "base/mem.h"
#include "wire/remote/remote_write.h"

enum { RW_BUILD_BYTES_MAX = 256 << 20 }; /* a ceiling; the caller looks at the size and ends it */

/*
 * A request being written; its memory is kept for the next. Out of memory, or beyond the ceiling,
 * shows in rw_build_end(): appending goes on without effect.
 */
struct rw_build;
MUST_CHECK enum err rw_build_new(enum rw_version version, struct budget *budget,
                                 struct rw_build **ret_build);
void rw_build_free(struct rw_build *build);
/* Forgets what was written. */
void rw_build_clear(struct rw_build *build);

/* Canonical label bytes (model/labels.h). The same series as before goes on where it was. */
void rw_build_series(struct rw_build *build, struct bytes labels);
/* Of the series at hand, in ascending time. `start_ms` 0: unknown; 1.0 does not carry it. */
void rw_build_float(struct rw_build *build, int64_t t_ms, uint64_t bits, int64_t start_ms);
void rw_build_histogram(struct rw_build *build, int64_t t_ms, int64_t start_ms,
                        const struct histogram *h);
/* `labels`: canonical; may be empty. */
void rw_build_exemplar(struct rw_build *build, struct bytes labels, int64_t t_ms, uint64_t bits);

/* What is known of the series' family; 1.0 does not carry it here. */
void rw_build_metadata(struct rw_build *build, enum metric_type type, struct bytes help,
                       struct bytes unit);

struct rw_build_counts {
    uint64_t series;
    uint64_t floats;
    uint64_t histograms;
    uint64_t exemplars;
    size_t bytes; /* of the message, about */
};
struct rw_build_counts rw_build_counts(const struct rw_build *build);

/* The message, uncompressed; a view that ends with the next call. ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK enum err rw_build_end(struct rw_build *build, struct bytes *ret_message);

/* Appends one family to a 1.0 WriteRequest. */
void rw_build_metadata_v1(struct buf *to, struct bytes family, enum metric_type type,
                          struct bytes help, struct bytes unit);

#endif
