/*
 * late_index.c - see late_index.h. A table of 32 bits of a time's hash, and the number of the chunk
 * it lies in: 8 bytes a slot, at most three quarters of them used. Equal bits of different times
 * cost a look into a chunk. Only chunks of floats are in it: a series with others has none.
 */
#include "tsdb/head/late_index.h"

#include <assert.h>

#include "base/hash.h"

enum { SLOTS_FIRST = 4 * LATE_INDEX_MIN, CHUNKS_FIRST = 64 };

struct late_slot {
    uint32_t tag;
    uint32_t chunk_plus_1; /* 0: free */
};

struct late_index {
    struct late_index *next; /* of the generation */
    struct late *owner;
    const struct hchunk **chunks;
    uint32_t chunk_count;
    uint32_t chunk_capacity;
    struct late_slot *slots;
    uint32_t capacity; /* a power of two */
    uint32_t count;
    bool broken; /* no memory, or chunks of histograms: it does not know all */
};

static uint32_t
tag_of(const struct gen *gen, int64_t t_ms)
{
    return (uint32_t)hash_mix((uint64_t)t_ms, gen->registry->hash_seed);
}

static void
index_empty(struct gen *gen, struct late_index *x)
{
    mem_free(gen->budget, x->chunks, x->chunk_capacity * sizeof(struct hchunk *));
    mem_free(gen->budget, x->slots, x->capacity * sizeof *x->slots);
    x->chunks = NULL;
    x->slots = NULL;
    x->chunk_count = x->chunk_capacity = x->capacity = x->count = 0;
}

static void
put(struct late_slot *slots, uint32_t capacity, uint32_t tag, uint32_t chunk_plus_1)
{
    uint32_t at = tag & (capacity - 1);
    while (slots[at].chunk_plus_1 != 0) {
        at = (at + 1) & (capacity - 1);
    }
    slots[at] = (struct late_slot){tag, chunk_plus_1};
}

static bool
slots_room(struct gen *gen, struct late_index *x, uint32_t more)
{
    if (x->count + more <= x->capacity / 4 * 3) return true;
    uint32_t capacity = x->capacity == 0 ? SLOTS_FIRST : x->capacity * 2;
    struct late_slot *slots = mem_new(gen->budget, capacity * sizeof *slots);
    if (slots == NULL) return false;
    for (uint32_t i = 0; i < x->capacity; i++) {
        if (x->slots[i].chunk_plus_1 == 0) continue;
        put(slots, capacity, x->slots[i].tag, x->slots[i].chunk_plus_1);
    }
    mem_free(gen->budget, x->slots, x->capacity * sizeof *slots);
    x->slots = slots;
    x->capacity = capacity;
    return true;
}

static bool
chunks_room(struct gen *gen, struct late_index *x)
{
    if (x->chunk_count < x->chunk_capacity) return true;
    uint32_t capacity = x->chunk_capacity == 0 ? CHUNKS_FIRST : x->chunk_capacity * 2;
    const struct hchunk **grown = mem_resize(
        gen->budget, x->chunks, x->chunk_capacity * sizeof *grown, capacity * sizeof *grown);
    if (grown == NULL) return false;
    x->chunks = grown;
    x->chunk_capacity = capacity;
    return true;
}

static bool
add_chunk(struct gen *gen, struct late_index *x, const struct hchunk *c)
{
    int64_t times[HCHUNK_SAMPLES_MAX], starts[HCHUNK_SAMPLES_MAX];
    uint64_t bits[HCHUNK_SAMPLES_MAX];
    bool has_starts;
    if (c->kind != SAMPLE_FLOAT || !slots_room(gen, x, c->count) || !chunks_room(gen, x)) {
        return false;
    }
    struct hchunk_view view = hchunk_sealed_view(c);
    enum err e = hchunk_unpack(view.kind, view.bytes, view.count, NULL, times, starts, bits, NULL,
                               &has_starts);
    assert(e == OK); /* floats take no memory */
    x->chunks[x->chunk_count++] = c;
    for (uint32_t i = 0; i < view.count; i++) {
        put(x->slots, x->capacity, tag_of(gen, times[i]), x->chunk_count);
    }
    x->count += view.count;
    return true;
}

static struct late_index *
index_of(struct gen *gen, struct late *late)
{
    if (late->index != NULL) return late->index;
    struct late_index *x = mem_new(gen->budget, sizeof *x);
    if (x == NULL) return NULL;
    x->owner = late;
    x->next = gen->late_indexes;
    gen->late_indexes = x;
    late->index = x;
    return x;
}

static bool
is_needed(const struct late *late)
{
    return late->sealed_count >= LATE_INDEX_MIN &&
           late->work >= late->sealed_count * LATE_INDEX_LOOKS * LATE_PASSED_BY;
}

void
late_index_sealed(struct gen *gen, struct gen_past *past, const struct hchunk *known)
{
    struct late *late = past->late;
    if (late == NULL || (late->index == NULL && !is_needed(late))) return;
    if (late->index == NULL) known = NULL; /* none of them is in it */
    struct late_index *x = index_of(gen, late);
    if (x == NULL || x->broken) return;
    for (const struct hchunk *c = past->sealed; c != known && !x->broken; c = c->next) {
        x->broken = !add_chunk(gen, x, c);
    }
    if (x->broken) index_empty(gen, x);
}

bool
late_index_is_there(const struct late *late)
{
    return late != NULL && late->index != NULL && !late->index->broken;
}

const struct hchunk *
late_index_next(const struct gen *gen, const struct late *late, int64_t t_ms, uint32_t *walk)
{
    const struct late_index *x = late->index;
    uint32_t tag = tag_of(gen, t_ms), mask = x->capacity - 1;
    for (;;) {
        const struct late_slot *slot = &x->slots[(tag + *walk) & mask];
        if (slot->chunk_plus_1 == 0) return NULL;
        ++*walk;
        if (slot->tag == tag) return x->chunks[slot->chunk_plus_1 - 1];
    }
}

void
late_indexes_drop(struct gen *gen)
{
    for (struct late_index *x = gen->late_indexes, *next; x != NULL; x = next) {
        next = x->next;
        x->owner->index = NULL;
        index_empty(gen, x);
        mem_free(gen->budget, x, sizeof *x);
    }
    gen->late_indexes = NULL;
}
