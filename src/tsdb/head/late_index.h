/*
 * late_index.h - private to head/: which sealed chunks of a series may hold a time.
 *
 * Chunks of a series whose samples come in any order overlap, hundreds of them at one time. Each
 * sample is looked for before it is taken: without an index, in all of them. It exists for series
 * of which much came late, is memory beside the generation's, and may be missing: then all are
 * searched.
 *
 * Threads: all under the head lock.
 */
#ifndef TSDB_HEAD_LATE_INDEX_H
#define TSDB_HEAD_LATE_INDEX_H

#include "tsdb/head/gen.h"

/*
 * An index takes 12 bytes a sample, so it must be needed: so many samples were sealed late, and so
 * many chunks were looked into (or so many times 16 passed by) for each of them.
 */
enum { LATE_INDEX_MIN = 256, LATE_INDEX_LOOKS = 4, LATE_PASSED_BY = 16 };

/* The sealed chunks up to `known` (not it) are new in the series. */
void late_index_sealed(struct gen *gen, struct gen_past *past, const struct hchunk *known);
/* False: there is none, or it does not know all chunks: look into each. `late` may be NULL. */
bool late_index_is_there(const struct late *late);
/* The next chunk that may hold `t_ms`; *at begins with TABLE_START. NULL: no more. */
const struct hchunk *late_index_next(const struct gen *gen, const struct late *late, int64_t t_ms,
                                     uint32_t *at);
/* All of the generation: chunks were taken back. They are made again when they are needed. */
void late_indexes_drop(struct gen *gen);

#endif
