/*
 * log_items.h - reads the log for a destination: record by record of samples, each with the labels
 * under which it is sent, if it is.
 *
 * It remembers where series are defined (struct log_series), for every segment from the one passed
 * last to the newest; labels are in a cache of few records. Records can be loaded again by their
 * position until they are passed, so pending samples need not be kept.
 *
 * Threads: one.
 */
#ifndef RELAY_FEED_LOG_ITEMS_H
#define RELAY_FEED_LOG_ITEMS_H

#include "backend/item.h"
#include "relay/feed/selection.h"
#include "tsdb/tsdb.h"
#include "wal/wal.h"

/* --- chunks ----------------------------------------------------------------------------------- */

/* A series of a chunk that has the labels of its items. */
struct chunk_series {
    struct bytes labels; /* labels as they are sent */
    struct bytes stored; /* labels as they were received */
    uint64_t hash;       /* hash of tenant and labels as they were received */
};

/* The number of items of each kind that the log accepted before a position, without metadata. */
struct log_count {
    bool known;
    uint64_t of[LEDGER_KIND_COUNT];
};

/* Position at which reading resumes after a restart: everything before it is settled. */
struct relay_cursor {
    uint64_t pos;   /* position of the first record that has an open item */
    uint32_t index; /* index of its first open item */
};

/* A group of items of one kind: a record of the log, or items read from the store. */
struct chunk {
    uint64_t pos;
    uint64_t segment;
    uint64_t end_pos;    /* position of the next chunk; not set by log_items_load() */
    int64_t realtime_ms; /* Unix time of its commit; 0 if unknown */
    enum item_kind kind;
    uint32_t count;
    bool filled; /* read from the store: each item has a position of its own, from `pos` on */
    /* Set by log_items_next(): lost items of the log between the previous chunk and this one. */
    uint64_t lost[LEDGER_KIND_COUNT];

    /* The items; for log_items.c and fill.c. */
    struct arena arena;
    struct record_columns floats;
    struct record_histogram *histograms;
    struct record_exemplar *exemplars;
    struct metadata *families;
    struct bytes tenant;         /* tenant of families, and of all items if filled */
    struct chunk_series *series; /* if filled; references are indexes of it */
    uint32_t series_count;
};

void chunk_init(struct chunk *chunk, struct budget *memory);
void chunk_fini(struct chunk *chunk);
/* Empties the chunk. */
void chunk_clear(struct chunk *chunk);
/* Makes room for one more element in an array of `count` in the chunk's arena. NULL if memory is
 * refused. */
void *chunk_more(struct chunk *chunk, void *array, uint32_t count, size_t size);

/* The series reference of item `i`, which is not metadata. */
uint64_t chunk_ref(const struct chunk *chunk, uint32_t i);
/* The time of item `i`, which is not metadata; the chunk is not filled. */
int64_t chunk_time_ms(const struct chunk *chunk, uint32_t i);
/* Position and index that identify item `i`. */
static inline uint64_t
chunk_item_pos(const struct chunk *chunk, uint32_t i)
{
    return chunk->filled ? chunk->pos + i : chunk->pos;
}
static inline uint32_t
chunk_item_index(const struct chunk *chunk, uint32_t i)
{
    return chunk->filled ? 0 : i;
}
/* Gives item `i`; unless the chunk is filled, without tenant, labels and their hash. */
void chunk_item(const struct chunk *chunk, uint32_t i, struct item *ret_item);

/* --- reading ---------------------------------------------------------------------------------- */

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

/* --- series of a segment ---------------------------------------------------------------------- */

/*
 * Finds the labels of a series in one segment of the log, and remembers whether the destination
 * takes it: for each series a bit and a fraction of a run, however long its labels are.
 *
 * Each segment names its series before their first sample, a request's worth in a record, with
 * references that mostly follow one another. So a run of references is all there is to remember;
 * labels are read again out of the record when they are needed.
 */
struct log_series;
/* Begins without series, for the segment of that number. ERR_NOMEM. */
MUST_CHECK enum err log_series_new(struct budget *memory, uint64_t segment,
                                   struct log_series **ret_series);
void log_series_free(struct log_series *series);

/*
 * A record of series at `pos`: begin, its references in their order, end. After an error the record
 * may be begun again. ERR_NOMEM; ERR_LIMIT: more than 2^32 series.
 */
MUST_CHECK enum err log_series_begin(struct log_series *series, uint64_t pos);
MUST_CHECK enum err log_series_add(struct log_series *series, uint64_t ref, bool taken);
MUST_CHECK enum err log_series_end(struct log_series *series);

struct log_series_place {
    uint64_t record_pos;
    uint32_t record; /* its number in the segment */
    uint32_t index;  /* within the record */
    bool taken;
};
/* False: the segment has not named it. Quick for references in the order of their records. */
bool log_series_find(struct log_series *series, uint64_t ref, struct log_series_place *ret_place);
/* The number of records that were added. */
uint32_t log_series_records(const struct log_series *series);

#endif
