/*
 * id_table.h - private to tsdb/: ids by the hash of what they stand for, in shards, so that growing
 * one is a short pause. The caller compares: different things may have one hash. An id may be there
 * under several hashes; none is ever taken out.
 */
#ifndef TSDB_HEAD_ID_TABLE_H
#define TSDB_HEAD_ID_TABLE_H

#include "base/mem.h"

enum { ID_TABLE_SHARDS = 64 };

struct id_slot {
    uint32_t hash;
    uint32_t id_plus_1; /* 0: free */
};

/* Zeroed memory is an empty one. */
struct id_table {
    struct {
        struct id_slot *slots;
        uint32_t capacity; /* a power of two, or 0 */
        uint32_t count;
    } shards[ID_TABLE_SHARDS];
};

void id_table_fini(struct id_table *t, struct budget *budget);
/* Room for one more with this hash. ERR_NOMEM. */
MUST_CHECK enum err id_table_reserve(struct id_table *t, struct budget *budget, uint64_t hash);
/* id_table_reserve() came before. */
void id_table_insert(struct id_table *t, uint64_t hash, uint32_t id);
uint64_t id_table_bytes(const struct id_table *t);

static inline unsigned
id_table_shard(uint64_t hash)
{
    return (unsigned)(hash >> 58);
}

/* Steps through the ids with this hash: start with *at = UINT32_MAX. False: no more. */
static inline bool
id_table_next(const struct id_table *t, uint64_t hash, uint32_t *at, uint32_t *ret_id)
{
    unsigned shard = id_table_shard(hash);
    uint32_t capacity = t->shards[shard].capacity;
    if (capacity == 0) return false;
    const struct id_slot *slots = t->shards[shard].slots;
    uint32_t i = *at == UINT32_MAX ? (uint32_t)hash & (capacity - 1) : (*at + 1) & (capacity - 1);
    for (; slots[i].id_plus_1 != 0; i = (i + 1) & (capacity - 1)) {
        if (slots[i].hash != (uint32_t)hash) continue;
        *at = i;
        *ret_id = slots[i].id_plus_1 - 1;
        return true;
    }
    return false;
}

/* Asks the processor for the place of a hash. */
static inline void
id_table_prefetch(const struct id_table *t, uint64_t hash)
{
    unsigned shard = id_table_shard(hash);
    uint32_t capacity = t->shards[shard].capacity;
    const struct id_slot *slots = t->shards[shard].slots;
    if (capacity > 0) __builtin_prefetch(&slots[(uint32_t)hash & (capacity - 1)]);
}

#endif
