/*
 * suspects.c - see suspects.h. A table of sets of four: a key is in the set its hash selects, or
 * not in the table.
 *
 * Invariants:
 * 1. `count` is the number of used slots.
 * 2. A key has at most one slot.
 */
#include "relay/lane/suspects.h"

#include <assert.h>

enum { SETS = 4096, WAYS = 4 };

/* The value stored for a key; 0 marks a free slot. */
static uint64_t
mark_of(uint64_t key)
{
    return key | 1;
}

/* The slot that holds a mark, or NULL; `ret_set` is the set it belongs in. */
static uint64_t *
find(const struct suspects *s, uint64_t mark, uint64_t **ret_set)
{
    uint64_t *set = &s->slots[(mark >> 1) % SETS * WAYS];
    *ret_set = set;
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i] == mark) return &set[i];
    }
    return NULL;
}

bool
suspects_has(const struct suspects *s, uint64_t key)
{
    uint64_t *set;
    return s->count > 0 && find(s, mark_of(key), &set) != NULL;
}

void
suspects_add(struct suspects *s, struct budget *memory, uint64_t key)
{
    uint64_t *set, mark = mark_of(key);
    if (s->slots == NULL) s->slots = mem_new(memory, SETS * WAYS * sizeof *s->slots);
    if (s->slots == NULL || find(s, mark, &set) != NULL) return;
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i] != 0) continue;
        assert(s->count < SETS * WAYS); /* invariant 1 */
        set[i] = mark;
        s->count++;
        return;
    }
    set[s->next++ % WAYS] = mark;
    s->forgot_count++;
}

void
suspects_forget(struct suspects *s, uint64_t key)
{
    uint64_t *set, *slot = s->count > 0 ? find(s, mark_of(key), &set) : NULL;
    if (slot == NULL) return;
    *slot = 0;
    s->count--;
    s->forgot_count++;
    assert(find(s, mark_of(key), &set) == NULL); /* invariant 2 */
}

void
suspects_fini(struct suspects *s, struct budget *memory)
{
    mem_free(memory, s->slots, SETS * WAYS * sizeof *s->slots);
    *s = (struct suspects){.slots = NULL};
}
