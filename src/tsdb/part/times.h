/*
 * times.h - private to tsdb/: time columns decoded lately. Series that were scraped together
 * share them, so merging parts would decode the same few columns for each series.
 */
#ifndef TSDB_PART_TIMES_H
#define TSDB_PART_TIMES_H

#include "tsdb/part/part.h"

/* About 700 KiB. The parts asked for stay open as long as it lives. One thread at a time. */
struct times_cache;
MUST_CHECK enum err times_cache_new(struct budget *budget, struct times_cache **ret_cache);
void times_cache_free(struct times_cache *cache);

/* As block_read_times(). */
MUST_CHECK enum err times_cache_read(struct times_cache *cache, struct part *part,
                                     const struct block_ref *block, int64_t *ret_times,
                                     struct why *why);

#endif
