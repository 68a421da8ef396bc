/*
 * scan.h - one question to an archive: lists its objects, reads those that may have samples of it,
 * several ranges ahead, and sorts the series (gather.h).
 *
 *     archive_scan_new() -> archive_scan_next(), archive_scan_batch(), archive_scan_warning()
 *
 * Threads: one.
 */
#ifndef BACKEND_ARCHIVE_SCAN_H
#define BACKEND_ARCHIVE_SCAN_H

#include "backend/archive/cache.h"
#include "backend/common/final_labels.h"
#include "model/select.h"

struct archive_scan;
struct archive_scan_options {
    struct env *env;
    struct budget *budget;
    struct archive_store *store;
    struct fetcher *fetcher;     /* sends the requests of `store` */
    struct archive_cache *cache; /* NULL without a cache */
    struct source_counts *counts;
    struct external_labels external;
    enum archive_layout layout;
    int64_t late_ms;
    bool names_only; /* only labels are needed */
};

/* `request` is copied; its sets live as long as the scan. ERR_NOMEM. */
MUST_CHECK enum err archive_scan_new(const struct archive_scan_options *options,
                                     const struct query_request *request,
                                     struct archive_scan **ret_scan, struct why *why);
void archive_scan_free(struct archive_scan *scan);

/* As those of a series set. */
MUST_CHECK enum err archive_scan_next(struct archive_scan *scan, struct bytes *ret_labels,
                                      struct why *why);
MUST_CHECK enum err archive_scan_batch(struct archive_scan *scan, struct sample_batch *ret_batch,
                                       struct why *why);
const char *archive_scan_warning(struct archive_scan *scan, uint32_t index);

#endif
