/*
 * times.h - private to tsdb/: a cache of decoded time columns. Series that were scraped together
 * share columns, so that without it the same few columns would be decoded for each series.
 */
#ifndef TSDB_PART_TIMES_H
#define TSDB_PART_TIMES_H

#include "tsdb/part/part.h"

/* Makes a cache of `samples` samples, 8 bytes each. Parts that are read through it stay open until
 * it is freed. One thread at a time. */
struct times_cache;
MUST_CHECK enum err times_cache_new(struct budget *budget, uint32_t samples,
                                    struct times_cache **ret_cache);
void times_cache_free(struct times_cache *cache);

/* block_read_times() through the cache. */
MUST_CHECK enum err times_cache_read(struct times_cache *cache, struct part *part,
                                     const struct block_ref *block, int64_t *ret_times,
                                     struct why *why);

#endif
