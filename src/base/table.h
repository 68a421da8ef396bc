/*
 * table.h - a hash table of ids.
 *
 * It stores hashes and ids. The caller keeps the items (mostly an array, whose indexes are the ids)
 * and compares them: different items may have one hash, and one id may be stored under several.
 *
 * Threads: any number of readers, or one writer.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/mem.h"

struct table_slot {
    uint32_t hash;      /* the low half */
    uint32_t id_plus_1; /* 0 if free */
};

/* Zeroed memory is an empty table. */
struct table {
    struct table_slot *slots;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t count;
};

void table_fini(struct table *t, struct budget *budget);
/* Makes room for `more` ids. False without memory: nothing has changed. */
MUST_CHECK bool table_reserve(struct table *t, struct budget *budget, uint32_t more);
/* Adds an id, for which table_reserve() has made room. `id` is below UINT32_MAX. */
void table_add(struct table *t, uint64_t hash, uint32_t id);
/* Removes the id under this hash, which must exist. */
void table_remove(struct table *t, uint64_t hash, uint32_t id);
/* Removes all ids; the memory stays. */
void table_clear(struct table *t);

/*
 * Steps through the ids that may have this hash (its low half is compared):
 *     for (uint32_t at = TABLE_START, id; table_next(t, hash, &at, &id);)
 */
#define TABLE_START UINT32_MAX

static inline bool
table_next(const struct table *t, uint64_t hash, uint32_t *at, uint32_t *ret_id)
{
    if (t->capacity == 0) return false;
    uint32_t mask = t->capacity - 1;
    uint32_t i = *at == TABLE_START ? (uint32_t)hash & mask : (*at + 1) & mask;
    for (; t->slots[i].id_plus_1 != 0; i = (i + 1) & mask) {
        if (t->slots[i].hash != (uint32_t)hash) continue;
        *at = i;
        *ret_id = t->slots[i].id_plus_1 - 1;
        return true;
    }
    return false;
}

/* Prefetches the slot of a hash. */
static inline void
table_prefetch(const struct table *t, uint64_t hash)
{
    if (t->capacity > 0) __builtin_prefetch(&t->slots[(uint32_t)hash & (t->capacity - 1)]);
}

#endif
