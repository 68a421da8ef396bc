/*
 * log_items.h - the log as a destination sees it: record by record of samples, each with the labels
 * under which it is handed on, if it is.
 *
 * Of series it remembers where they are named (log_series.h), for every segment from the one passed
 * last to the newest; labels lie in a cache of few records. What was read can be loaded again by
 * its position as long as it was not passed, so samples that are under way need not be kept.
 *
 * Threads: one.
 */
#ifndef RELAY_LOG_ITEMS_H
#define RELAY_LOG_ITEMS_H

#include "relay/chunk.h"
#include "relay/selection.h"
#include "wal/wal.h"

struct log_items_options {
    struct wal *wal;
    const char *name; /* of the reader */
    const struct selection *selection;
    struct budget *memory;
    size_t cache_bytes;     /* of labels; the two records used last are kept in any case */
    struct log_count begin; /* what the log had accepted where reading begins */
};

struct log_items;
/* Reads from `pos` on: where a record begins or ends, or 0 for the oldest there is. */
MUST_CHECK enum err log_items_open(const struct log_items_options *options, uint64_t pos,
                                   struct log_items **ret_items, struct why *why);
void log_items_close(struct log_items *log);

/*
 * The next record of samples, exemplars or families; `lost` tells how many items of the log before
 * it could not be read, once that can be told. ERR_AGAIN: none yet. ERR_MISSING: it is gone
 * from the log, for good. ERR_CORRUPT: something was damaged and is skipped, go on. ERR_IO,
 * ERR_NOMEM: the same call again.
 */
MUST_CHECK enum err log_items_next(struct log_items *log, struct chunk *ret_chunk, struct why *why);
/* A record that was read before and was not passed. ERR_MISSING: it is gone. */
MUST_CHECK enum err log_items_load(struct log_items *log, uint64_t pos, struct chunk *ret_chunk,
                                   struct why *why);
/* Nothing before this position is needed any more; `segment` is that of the oldest record that
 * is. */
void log_items_pass(struct log_items *log, uint64_t pos, uint64_t segment);
/* Behind what was read. */
uint64_t log_items_pos(const struct log_items *log);
/* What the log had accepted there, by its own totals. */
const struct log_count *log_items_count(const struct log_items *log);
/* Takes as read what the log had accepted in all: what it has lost of that is accounted for. */
void log_items_pass_lost(struct log_items *log, const uint64_t totals[LEDGER_KIND_COUNT]);

/* Whether the destination takes item `i`, without a look at its labels. Of a sample whose series is
 * not known, because of damage, it is true. */
bool log_items_takes(struct log_items *log, const struct chunk *chunk, uint32_t i);
/*
 * Item `i`, which log_items_takes(): its views end with the next call that has this log.
 * ERR_CORRUPT: its labels are lost. ERR_MISSING: they are gone. ERR_IO, ERR_NOMEM, ERR_LIMIT.
 */
MUST_CHECK enum err log_items_item(struct log_items *log, const struct chunk *chunk, uint32_t i,
                                   struct item *ret_item, struct why *why);

#endif
