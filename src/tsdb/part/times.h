/*
 * times.h - private to tsdb/: time columns decoded lately. Series that were scraped together
 * share them, so that the same few columns would be decoded for each series.
 */
#ifndef TSDB_PART_TIMES_H
#define TSDB_PART_TIMES_H

#include "tsdb/part/part.h"

/* Of so many samples, 8 bytes each. The parts asked for stay open as long as it lives. One thread
 * at a time. */
struct times_cache;
MUST_CHECK enum err times_cache_new(struct budget *budget, uint32_t samples,
                                    struct times_cache **ret_cache);
void times_cache_free(struct times_cache *cache);

/* As block_read_times(). */
MUST_CHECK enum err times_cache_read(struct times_cache *cache, struct part *part,
                                     const struct block_ref *block, int64_t *ret_times,
                                     struct why *why);

#endif
