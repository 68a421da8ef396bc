/* suspects.c - a table of sets of four: a key is in its set, or not there. */
#include "relay/suspects.h"

enum { SETS = 4096, WAYS = 4 };

/* 0 marks what is free. */
static uint64_t
mark_of(uint64_t key)
{
    return key | 1;
}

/* The slot of a mark, or NULL; `ret_set`: its set. */
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
}

void
suspects_fini(struct suspects *s, struct budget *memory)
{
    mem_free(memory, s->slots, SETS * WAYS * sizeof *s->slots);
    *s = (struct suspects){.slots = NULL};
}
