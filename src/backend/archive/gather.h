/*
 * gather.h - series that come in any order, put in order: those that come first in label order, as
 * many as there is room for.
 *
 *     gathering_add()       each series, each of its samples, as they are met
 *     gathering_bound()     from which series on there was no room: they are for another pass
 *     gathering_next(), gathering_batch()
 *
 * Of a series each time is given once, with the sample that came first.
 *
 * Memory: what is said at the start, and then half as much while a series whose samples came in
 * disorder is read.
 * Threads: one.
 */
#ifndef BACKEND_ARCHIVE_GATHER_H
#define BACKEND_ARCHIVE_GATHER_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "model/select.h"

struct archive_gathering;
struct gathering_options {
    struct budget *budget;
    size_t bytes_max;
    struct bytes from; /* series before are not taken; copied; empty: all are */
    bool names_only;   /* samples only make their series be there */
    /* Numbers of series are no longer right. May be NULL. */
    void (*forget)(void *context);
    void *context;
};

MUST_CHECK enum err gathering_new(const struct gathering_options *options,
                                  struct archive_gathering **ret_gathering);
void gathering_free(struct archive_gathering *gathering);

/* The number of a series. *ret_number GATHERING_NONE: it is not taken. ERR_NOMEM. */
#define GATHERING_NONE UINT32_MAX
MUST_CHECK enum err gathering_add(struct archive_gathering *gathering, struct bytes labels,
                                  uint32_t *ret_number);
/* A sample of it. May forget numbers. `histogram` NULL: a float. ERR_INPUT: no valid histogram;
 * ERR_LIMIT: one series has more samples than there is room for; ERR_NOMEM. */
MUST_CHECK enum err gathering_put(struct archive_gathering *gathering, uint32_t number,
                                  int64_t t_ms, uint64_t bits, const struct histogram *histogram,
                                  int64_t start_ms, struct why *why);

/* The labels from which on series are missing; empty: none is. A view. */
struct bytes gathering_bound(const struct archive_gathering *gathering);
/* As series_set_next() and series_set_batch(), after the last was put; series without samples are
 * left out. */
MUST_CHECK enum err gathering_next(struct archive_gathering *gathering, struct bytes *ret_labels,
                                   struct why *why);
MUST_CHECK enum err gathering_batch(struct archive_gathering *gathering,
                                    struct sample_batch *ret_batch, struct why *why);

#endif
