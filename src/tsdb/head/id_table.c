#include "tsdb/head/id_table.h"

enum { FIRST_SLOTS = 16 };

void
id_table_fini(struct id_table *t, struct budget *budget)
{
    for (unsigned s = 0; s < ID_TABLE_SHARDS; s++) {
        mem_free(budget, t->shards[s].slots, t->shards[s].capacity * sizeof(struct id_slot));
    }
}

static void
slots_insert(struct id_slot *slots, uint32_t capacity, uint32_t hash, uint32_t id_plus_1)
{
    uint32_t at = hash & (capacity - 1);
    while (slots[at].id_plus_1 != 0) {
        at = (at + 1) & (capacity - 1);
    }
    slots[at] = (struct id_slot){hash, id_plus_1};
}

static enum err
grow(struct id_table *t, struct budget *budget, unsigned shard)
{
    uint32_t old = t->shards[shard].capacity;
    uint32_t capacity = old == 0 ? FIRST_SLOTS : old * 2;
    struct id_slot *slots = mem_new(budget, capacity * sizeof *slots);
    if (slots == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < old; i++) {
        struct id_slot *s = &t->shards[shard].slots[i];
        if (s->id_plus_1 != 0) slots_insert(slots, capacity, s->hash, s->id_plus_1);
    }
    mem_free(budget, t->shards[shard].slots, old * sizeof *slots);
    t->shards[shard].slots = slots;
    t->shards[shard].capacity = capacity;
    return OK;
}

enum err
id_table_reserve(struct id_table *t, struct budget *budget, uint64_t hash)
{
    unsigned shard = id_table_shard(hash);
    uint32_t capacity = t->shards[shard].capacity;
    if (t->shards[shard].count + 1 <= capacity - capacity / 4 && capacity > 0) return OK;
    return grow(t, budget, shard);
}

void
id_table_insert(struct id_table *t, uint64_t hash, uint32_t id)
{
    unsigned shard = id_table_shard(hash);
    slots_insert(t->shards[shard].slots, t->shards[shard].capacity, (uint32_t)hash, id + 1);
    t->shards[shard].count++;
}

uint64_t
id_table_bytes(const struct id_table *t)
{
    uint64_t bytes = 0;
    for (unsigned s = 0; s < ID_TABLE_SHARDS; s++) {
        bytes += t->shards[s].capacity * sizeof(struct id_slot);
    }
    return bytes;
}
