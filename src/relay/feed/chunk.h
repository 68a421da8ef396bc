/*
 * chunk.h - a group of items of one kind: a record of the log, or items read from the store.
 */
#ifndef RELAY_FEED_CHUNK_H
#define RELAY_FEED_CHUNK_H

#include "backend/item.h"
#include "tsdb/tsdb.h"

/* A series of a chunk that has the labels of its items. */
struct chunk_series {
    struct bytes labels; /* labels as they are sent */
    struct bytes stored; /* labels as they were received */
    uint64_t hash;       /* hash of tenant and labels as they were received */
};

/* The number of items of each kind that the log had accepted before a position, without metadata.
 */
struct log_count {
    bool known;
    uint64_t of[LEDGER_KIND_COUNT];
};

/* Position at which reading resumes after a restart: everything before it is settled. */
struct relay_cursor {
    uint64_t pos;   /* position of the first record that has an open item */
    uint32_t index; /* index of its first open item */
};

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

    /* The items; for log_items.c and fill_walk.c. */
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

#endif
