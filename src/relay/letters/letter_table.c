/* letter_table.c - open addressing, at most three quarters full; removal closes the gap. */
#include "relay/letters/letter_table.h"

#include <assert.h>

#include "base/hash.h"

enum { CAPACITY_FIRST = 16 };

void
letter_table_init(struct letter_table *table, struct budget *memory)
{
    *table = (struct letter_table){.memory = memory};
}

void
letter_table_fini(struct letter_table *table)
{
    mem_free(table->memory, table->slots, table->capacity * sizeof *table->slots);
    *table = (struct letter_table){.memory = table->memory};
}

static bool
is_empty(const struct letter_slot *slot)
{
    return slot->place.file == 0;
}

static size_t
home_of(const struct letter_table *table, uint64_t pos, uint32_t index)
{
    return (size_t)hash_mix(hash_mix(0, pos), index) & (table->capacity - 1);
}

/* The slot that has this identity, or the empty one where it would be. */
static size_t
seek(const struct letter_table *table, uint64_t pos, uint32_t index)
{
    size_t at = home_of(table, pos, index);
    for (;;) {
        const struct letter_slot *slot = &table->slots[at];
        if (is_empty(slot) || (slot->pos == pos && slot->index == index)) return at;
        at = (at + 1) & (table->capacity - 1);
    }
}

struct letter_slot *
letter_table_find(const struct letter_table *table, uint64_t pos, uint32_t index)
{
    if (table->count == 0) return NULL;
    struct letter_slot *slot = &table->slots[seek(table, pos, index)];
    return is_empty(slot) ? NULL : slot;
}

static enum err
grow(struct letter_table *table)
{
    if (table->count < table->capacity - table->capacity / 4) return OK;
    struct letter_table grown = {.memory = table->memory};
    grown.capacity = table->capacity == 0 ? CAPACITY_FIRST : 2 * table->capacity;
    grown.slots = mem_new(table->memory, grown.capacity * sizeof *grown.slots);
    if (grown.slots == NULL) return ERR_NOMEM;
    for (size_t i = 0; i < table->capacity; i++) {
        const struct letter_slot *slot = &table->slots[i];
        if (is_empty(slot)) continue;
        grown.slots[seek(&grown, slot->pos, slot->index)] = *slot;
        grown.count++;
    }
    letter_table_fini(table);
    *table = grown;
    return OK;
}

enum err
letter_table_put(struct letter_table *table, const struct letter_slot *slot)
{
    assert(!is_empty(slot));
    enum err e = grow(table);
    if (e) return e;
    struct letter_slot *to = &table->slots[seek(table, slot->pos, slot->index)];
    table->count += is_empty(to);
    *to = *slot;
    return OK;
}

/* What stands behind a gap moves into it unless that were before its home. */
void
letter_table_remove(struct letter_table *table, uint64_t pos, uint32_t index)
{
    if (letter_table_find(table, pos, index) == NULL) return;
    size_t mask = table->capacity - 1, gap = seek(table, pos, index);
    for (size_t at = (gap + 1) & mask; !is_empty(&table->slots[at]); at = (at + 1) & mask) {
        const struct letter_slot *slot = &table->slots[at];
        size_t home = home_of(table, slot->pos, slot->index);
        if (((at - home) & mask) < ((at - gap) & mask)) continue;
        table->slots[gap] = *slot;
        gap = at;
    }
    table->slots[gap] = (struct letter_slot){0};
    table->count--;
}
