/* series_seen.c - a table with open addressing, never more than half full. */
#include "relay/series_seen.h"

#include <assert.h>

enum { CAPACITY_FIRST = 256 };

/* 0 marks what is free. */
static uint64_t
mark_of(uint64_t hash)
{
    return hash | 1;
}

/* The slot of a mark, or the free one where it would be. */
static uint64_t *
slot_of(const struct series_seen *seen, uint64_t mark)
{
    for (uint32_t i = (uint32_t)mark;; i++) {
        uint64_t *slot = &seen->slots[i & (seen->capacity - 1)];
        if (*slot == 0 || *slot == mark) return slot;
    }
}

bool
series_seen_reserve(struct series_seen *seen, struct budget *memory)
{
    if (2 * (seen->count + 1) <= seen->capacity) return true;
    uint32_t capacity = seen->capacity == 0 ? CAPACITY_FIRST : 2 * seen->capacity;
    struct series_seen grown = {.capacity = capacity, .count = seen->count};
    grown.slots = mem_new(memory, capacity * sizeof *grown.slots);
    if (grown.slots == NULL) return false;
    for (uint32_t i = 0; i < seen->capacity; i++) {
        if (seen->slots[i] != 0) *slot_of(&grown, seen->slots[i]) = seen->slots[i];
    }
    series_seen_fini(seen, memory);
    *seen = grown;
    return true;
}

bool
series_seen_has(const struct series_seen *seen, uint64_t hash)
{
    return seen->count > 0 && *slot_of(seen, mark_of(hash)) != 0;
}

void
series_seen_add(struct series_seen *seen, uint64_t hash)
{
    assert(2 * (seen->count + 1) <= seen->capacity);
    uint64_t *slot = slot_of(seen, mark_of(hash));
    seen->count += *slot == 0;
    *slot = mark_of(hash);
}

void
series_seen_clear(struct series_seen *seen)
{
    if (seen->count > 0) memset(seen->slots, 0, seen->capacity * sizeof *seen->slots);
    seen->count = 0;
}

void
series_seen_fini(struct series_seen *seen, struct budget *memory)
{
    mem_free(memory, seen->slots, seen->capacity * sizeof *seen->slots);
    *seen = (struct series_seen){.slots = NULL};
}
