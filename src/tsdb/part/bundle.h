/*
 * bundle.h - private to tsdb/: blocks of histograms that follow each other in a row of a part, as
 * chunks of a streamed response. Making the chunks takes several times as long as copying them, as
 * Prometheus does from its disk; so they are kept in the page cache.
 */
#ifndef TSDB_PART_BUNDLE_H
#define TSDB_PART_BUNDLE_H

#include "base/mem.h"

struct part;
struct block_ref;

/* Makes bundles, and holds the last one. */
struct bundles;
MUST_CHECK enum err bundles_new(struct budget *budget, struct bundles **ret_bundles);
void bundles_free(struct bundles *bundles);

/*
 * Gives the chunks (as rr_chunk_put() writes them) of the first->bundled blocks of that row of the
 * part; a view until the next call. After an error, which has no text because reading the blocks
 * will return it, only bundles_free() may be called.
 */
MUST_CHECK enum err bundles_get(struct bundles *bundles, struct part *part, uint32_t row,
                                const struct block_ref *first, struct bytes *ret_chunks);

#endif
