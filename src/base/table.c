/* table.c - open addressing with linear steps, at most three quarters full; removal closes gaps. */
#include "base/table.h"

#include <assert.h>
#include <string.h>

enum { SLOTS_FIRST = 16 };

void
table_fini(struct table *t, struct budget *budget)
{
    mem_free(budget, t->slots, t->capacity * sizeof *t->slots);
    *t = (struct table){0};
}

bool
table_reserve(struct table *t, struct budget *budget, uint32_t more)
{
    uint64_t wanted = (uint64_t)t->count + more;
    uint64_t capacity = t->capacity == 0 ? SLOTS_FIRST : t->capacity;
    while (wanted > capacity - capacity / 4)
        capacity *= 2;
    if (capacity == t->capacity) return true;
    if (capacity > UINT32_MAX) return false;
    struct table grown = {.capacity = (uint32_t)capacity};
    grown.slots = mem_new(budget, capacity * sizeof *grown.slots);
    if (grown.slots == NULL) return false;
    for (uint32_t i = 0; i < t->capacity; i++) {
        const struct table_slot *slot = &t->slots[i];
        if (slot->id_plus_1 != 0) table_add(&grown, slot->hash, slot->id_plus_1 - 1);
    }
    table_fini(t, budget);
    *t = grown;
    return true;
}

void
table_add(struct table *t, uint64_t hash, uint32_t id)
{
    assert(t->count < t->capacity - t->capacity / 4);
    uint32_t mask = t->capacity - 1, i = (uint32_t)hash & mask;
    while (t->slots[i].id_plus_1 != 0)
        i = (i + 1) & mask;
    t->slots[i] = (struct table_slot){(uint32_t)hash, id + 1};
    t->count++;
}

/* Closes the gap: a following id moves into it unless the gap lies before its home slot. */
void
table_remove(struct table *t, uint64_t hash, uint32_t id)
{
    uint32_t gap = TABLE_START, found = id + 1;
    while (found != id) {
        bool there = table_next(t, hash, &gap, &found);
        assert(there);
    }
    uint32_t mask = t->capacity - 1;
    for (uint32_t i = (gap + 1) & mask; t->slots[i].id_plus_1 != 0; i = (i + 1) & mask) {
        uint32_t home = t->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - gap) & mask)) continue;
        t->slots[gap] = t->slots[i];
        gap = i;
    }
    t->slots[gap] = (struct table_slot){0};
    t->count--;
}

void
table_clear(struct table *t)
{
    if (t->count > 0) memset(t->slots, 0, t->capacity * sizeof *t->slots);
    t->count = 0;
}
