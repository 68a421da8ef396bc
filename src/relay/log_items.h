/*
 * log_items.h - the log as a destination sees it: record by record of samples, each with the labels
 * under which it is handed on, if it is.
 *
 * Of series it remembers where they are named (log_series.h), for every segment from the one passed
 * last to the newest; labels lie in a cache of few records. What was read can be loaded again by
 * its position as long as it was not passed, so nobody has to keep samples that are under way.
 *
 * Threads: one.
 */
#ifndef RELAY_LOG_ITEMS_H
#define RELAY_LOG_ITEMS_H

#include "relay/chunk.h"
#include "relay/selection.h"
#include "wal/wal.h"

struct source_options {
    struct wal *wal;
    const char *name; /* of the reader */
    const struct selection *selection;
    struct budget *memory;
    size_t cache_bytes;     /* of labels; the two records used last are kept in any case */
    struct log_count begin; /* what the log had accepted where reading begins */
};

struct source;
/* Reads from `pos` on: where a record begins or ends, or 0 for the oldest there is. */
MUST_CHECK enum err source_open(const struct source_options *options, uint64_t pos,
                                struct source **ret_source, struct why *why);
void source_close(struct source *source);

/*
 * The next record of samples, exemplars or families; `lost` tells how many items of the log before
 * it could not be read, once that can be told. ERR_AGAIN: none yet. ERR_MISSING: it is gone
 * from the log, for good. ERR_CORRUPT: something was damaged and is skipped, go on. ERR_IO,
 * ERR_NOMEM: the same call again.
 */
MUST_CHECK enum err source_next(struct source *source, struct chunk *ret_chunk, struct why *why);
/* A record that was read before and was not passed. ERR_MISSING: it is gone. */
MUST_CHECK enum err source_load(struct source *source, uint64_t pos, struct chunk *ret_chunk,
                                struct why *why);
/* Nothing before this position is needed any more; `segment` is that of the oldest record that
 * is. */
void source_pass(struct source *source, uint64_t pos, uint64_t segment);
/* Behind what was read. */
uint64_t source_pos(const struct source *source);
/* What the log had accepted there, by its own totals. */
const struct log_count *source_count(const struct source *source);

/* Whether the destination takes item `i`, without a look at its labels. Of a sample whose series is
 * not known, because of damage, it is true. */
bool source_takes(struct source *source, const struct chunk *chunk, uint32_t i);
/*
 * Item `i`, which source_takes(): its views end with the next call that has this source.
 * ERR_CORRUPT: its labels are lost. ERR_MISSING: they are gone. ERR_IO, ERR_NOMEM, ERR_LIMIT.
 */
MUST_CHECK enum err source_item(struct source *source, const struct chunk *chunk, uint32_t i,
                                struct item *ret_item, struct why *why);

#endif
