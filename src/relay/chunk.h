/*
 * chunk.h - a record's worth of items: one of the log, or some that were gathered from the store.
 */
#ifndef RELAY_CHUNK_H
#define RELAY_CHUNK_H

#include "backend/item.h"
#include "tsdb/tsdb.h"

/* A series of a chunk that brings its labels along. */
struct chunk_series {
    struct bytes labels; /* as they are handed on */
    struct bytes stored; /* as they came in */
    uint64_t hash;       /* of tenant and labels as they came in */
};

/* How many items of each kind the log had accepted before a position: metadata is not counted. */
struct log_count {
    bool known;
    uint64_t of[LEDGER_KIND_COUNT];
};

struct chunk {
    uint64_t pos;
    uint64_t segment;
    uint64_t end_pos;    /* where the next one is to be looked for; not after log_items_load() */
    int64_t realtime_ms; /* when it was committed; 0: not known */
    enum item_kind kind;
    uint32_t count;
    bool filled; /* from the store: each item has a position of its own, from `pos` on */
    /* Of log_items_next(): items of the log between the chunk before and this one that are lost. */
    uint64_t lost[LEDGER_KIND_COUNT];

    /* How they are kept: for log_items.c and fill_walk.c. */
    struct arena arena;
    struct record_columns floats;
    struct record_histogram *histograms;
    struct record_exemplar *exemplars;
    struct metadata *families;
    struct bytes tenant;         /* of families, and of what is filled */
    struct chunk_series *series; /* of what is filled: references are indices of it */
    uint32_t series_count;
};

void chunk_init(struct chunk *chunk, struct budget *memory);
void chunk_fini(struct chunk *chunk);
/* Nothing is in it. */
void chunk_clear(struct chunk *chunk);
/* Room for one more of an array of `count` that grows in the chunk's arena. NULL: no memory. */
void *chunk_more(struct chunk *chunk, void *array, uint32_t count, size_t size);

/* The reference of item `i`, which is no metadata. */
uint64_t chunk_ref(const struct chunk *chunk, uint32_t i);
/* What identifies item `i`. */
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
/* Item `i`; of one that is not filled, all but tenant, labels, and their hash. */
void chunk_item(const struct chunk *chunk, uint32_t i, struct item *ret_item);

#endif
