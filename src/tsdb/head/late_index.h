/*
 * late_index.h - private to head/: finds the sealed chunks of a series that may hold a time.
 *
 * If samples of a series come in any order, hundreds of its chunks overlap at one time. Each sample
 * is looked for before it is accepted: without an index, in all of these chunks. An index is made
 * for series with many late samples, takes memory besides the generation's, and may be missing:
 * then all chunks are searched.
 *
 * Threads: under the head lock.
 */
#ifndef TSDB_HEAD_LATE_INDEX_H
#define TSDB_HEAD_LATE_INDEX_H

#include "tsdb/head/gen.h"

/*
 * An index takes 12 bytes per sample, so it is made only if LATE_INDEX_MIN samples were sealed late
 * and the search for each looked into LATE_INDEX_LOOKS chunks on average. Passing LATE_PASSED_BY
 * chunks by their time range counts as one look.
 */
enum { LATE_INDEX_MIN = 256, LATE_INDEX_LOOKS = 4, LATE_PASSED_BY = 16 };

/* Adds new chunks to the index: the series' sealed ones from the newest to the one after `known`.
 * Makes the index if it is needed. */
void late_index_sealed(struct gen *gen, struct gen_past *past, const struct hchunk *known);
/* False if the series has no index that knows all chunks: search each. `late` may be NULL. */
bool late_index_is_there(const struct late *late);
/* Returns the next chunk that may hold `t_ms`; *at begins with TABLE_START. NULL after the last. */
const struct hchunk *late_index_next(const struct gen *gen, const struct late *late, int64_t t_ms,
                                     uint32_t *at);
/* Drops all indexes of the generation, because chunks were undone. They are made again when needed.
 */
void late_indexes_drop(struct gen *gen);

#endif
