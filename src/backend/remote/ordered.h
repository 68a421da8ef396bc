/*
 * ordered.h - the series of a streamed response in label order, whatever order they arrive in.
 *
 * Series are held, with their encoded chunks, until the window is full or the response ends; then
 * the least of them is given. So a response that fits into the window is sorted here. A larger one
 * must be in order, except for displacements within the window: labels that a server adds to all
 * its series move some of them, not far.
 *
 * A series that occurs more than once, or whose chunks overlap, becomes one series with each time
 * once, with one of its values. A series larger than the window is given while it arrives, and must
 * be in order.
 *
 * Threads: one.
 */
#ifndef BACKEND_REMOTE_ORDERED_H
#define BACKEND_REMOTE_ORDERED_H

#include "backend/common/final_labels.h"
#include "model/select.h"
#include "wire/remote/remote_read_client.h"

enum { ORDERED_WINDOW_BYTES = 8 << 20 };

struct ordered_options {
    struct budget *budget;
    size_t window_bytes;
    int64_t min_ms, max_ms; /* samples of other times are left out */
    struct external_labels external;
    /* Gets the next series or chunk; a piece of kind none at the end of the response. */
    enum err (*pull)(void *context, struct rr_piece *ret_piece, struct why *why);
    void *context;
};

struct ordered;
/* `options` is copied. ERR_NOMEM. */
MUST_CHECK enum err ordered_new(const struct ordered_options *options,
                                struct ordered **ret_ordered);
void ordered_free(struct ordered *ordered);
/* As series_set_next() and series_set_batch(); labels live until the next series. ERR_UNSUPPORTED:
 * series are too far out of order; ERR_CORRUPT: invalid labels or chunks; errors of `pull`. */
MUST_CHECK enum err ordered_next(struct ordered *ordered, struct bytes *ret_labels,
                                 struct why *why);
MUST_CHECK enum err ordered_batch(struct ordered *ordered, struct sample_batch *ret_batch,
                                  struct why *why);

#endif
