/*
 * gather.h - sorts series that arrive in any order: the first ones in label order, as many as there
 * is room for.
 *
 *     gathering_add()       each series, each of its samples, in any order
 *     gathering_bound()     the first series without room: for another pass
 *     gathering_next(), gathering_batch()
 *
 * Each time of a series is given once, with the sample that came first.
 *
 * Memory: bytes_max, and half as much more while a series whose samples came in disorder is read.
 *
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
    struct bytes from; /* series before it are not taken; copied; empty for all series */
    bool names_only;   /* samples are not kept, only their series */
    /* Called when numbers of series become invalid. May be NULL. */
    void (*forget)(void *context);
    void *context;
};

/* Begins an empty gathering. ERR_NOMEM. */
MUST_CHECK enum err gathering_new(const struct gathering_options *options,
                                  struct archive_gathering **ret_gathering);
void gathering_free(struct archive_gathering *gathering);

/* Adds a series, or finds its number; GATHERING_NONE if it is not taken. ERR_NOMEM. */
#define GATHERING_NONE UINT32_MAX
MUST_CHECK enum err gathering_add(struct archive_gathering *gathering, struct bytes labels,
                                  uint32_t *ret_number);
/* Adds a sample of a series, a float if `histogram` is NULL. May call forget(). ERR_INPUT: an
 * invalid histogram; ERR_LIMIT: one series has more samples than there is room for; ERR_NOMEM. */
MUST_CHECK enum err gathering_put(struct archive_gathering *gathering, uint32_t number,
                                  int64_t t_ms, uint64_t bits, const struct histogram *histogram,
                                  int64_t start_ms, struct why *why);

/* The labels from which on series are missing; empty if there are all. A view. */
struct bytes gathering_bound(const struct archive_gathering *gathering);
/* As series_set_next() and series_set_batch(), after the last sample was put. Series without
 * samples are left out. */
MUST_CHECK enum err gathering_next(struct archive_gathering *gathering, struct bytes *ret_labels,
                                   struct why *why);
MUST_CHECK enum err gathering_batch(struct archive_gathering *gathering,
                                    struct sample_batch *ret_batch, struct why *why);

#endif
