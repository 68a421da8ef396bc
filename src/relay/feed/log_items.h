/*
 * log_items.h - reads the log for a destination: record by record of samples, each with the labels
 * under which it is sent, if it is.
 *
 * It remembers where series are defined (log_series.h), for every segment from the one passed last
 * to the newest; labels are in a cache of few records. Records can be loaded again by their
 * position until they are passed, so pending samples need not be kept.
 *
 * Threads: one.
 */
#ifndef RELAY_FEED_LOG_ITEMS_H
#define RELAY_FEED_LOG_ITEMS_H

#include "relay/feed/chunk.h"
#include "relay/feed/selection.h"
#include "wal/wal.h"

struct log_items_options {
    struct wal *wal;
    const char *name; /* name of the reader */
    const struct selection *selection;
    struct budget *memory;
    size_t cache_bytes;     /* for labels; the two records used last are kept in any case */
    struct log_count begin; /* items that the log had accepted where reading begins */
};

struct log_items;
/* Reads from `pos` on, which is the start or end of a record, or 0 for the oldest record. */
MUST_CHECK enum err log_items_open(const struct log_items_options *options, uint64_t pos,
                                   struct log_items **ret_items, struct why *why);
void log_items_close(struct log_items *log);

/*
 * Reads the next record of samples, exemplars or families; ret_chunk->lost has the number of items
 * before it that could not be read; those of a commit that is damaged in part show in the next
 * commit. ERR_AGAIN: there is none so far. ERR_MISSING:
 * the log no longer has it. ERR_CORRUPT: something damaged was skipped; call again. ERR_IO,
 * ERR_NOMEM: repeat the call.
 */
MUST_CHECK enum err log_items_next(struct log_items *log, struct chunk *ret_chunk, struct why *why);
/* Reads again a record that was not passed. ERR_MISSING: it is gone. */
MUST_CHECK enum err log_items_load(struct log_items *log, uint64_t pos, struct chunk *ret_chunk,
                                   struct why *why);
/* Nothing before this position is needed any more; `segment` is that of the oldest record still
 * needed. */
void log_items_pass(struct log_items *log, uint64_t pos, uint64_t segment);
/* The position after what was read; before the record of a commit whose first record waits for
 * memory, since that record shows what is missing. */
uint64_t log_items_pos(const struct log_items *log);
/* After ERR_CORRUPT of log_items_next(): the end of the record that was read before the damage, and
 * the position of the first byte that could not be read. */
uint64_t log_items_damage_pos(const struct log_items *log);
uint64_t log_items_bad_pos(const struct log_items *log);
/* The number of items that the log had accepted there, by its own totals. A view. */
const struct log_count *log_items_count(const struct log_items *log);
/* Counts all that the log has accepted as read: the caller has accounted for what it has lost. */
void log_items_pass_lost(struct log_items *log, const uint64_t totals[LEDGER_KIND_COUNT]);

/* True if the destination wants item `i`, without reading its labels. Also true for a sample whose
 * series is unknown because of damage. */
bool log_items_takes(struct log_items *log, const struct chunk *chunk, uint32_t i);
/*
 * Gives item `i`, which log_items_takes(); its views end with the next call with this log.
 * ERR_CORRUPT: its labels are damaged. ERR_MISSING: they are gone. ERR_IO, ERR_NOMEM, ERR_LIMIT.
 */
MUST_CHECK enum err log_items_item(struct log_items *log, const struct chunk *chunk, uint32_t i,
                                   struct item *ret_item, struct why *why);

#endif
