/* late_index.c - see late_index.h. A table from 32 bits of a time's hash to the chunk that holds
 * the time. Equal bits of different times cost a look into a chunk. Only floats are indexed: a
 * series with chunks of histograms has no index. Asserts invariant 7 of gen.c. */
#include "tsdb/head/late_index.h"

#include <assert.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/table.h"

struct late_index {
    struct late_index *next; /* in the generation's list */
    struct late *owner;
    const struct hchunk **chunks;
    uint32_t chunk_count;
    uint32_t chunk_capacity;
    struct table times; /* chunk index by hash of a sample's time */
    bool broken;        /* not used: memory ran out, or the series has chunks of histograms */
};

static uint32_t
tag_of(const struct gen *gen, int64_t t_ms)
{
    return (uint32_t)hash_mix((uint64_t)t_ms, gen->registry->hash_seed);
}

static void
index_empty(struct gen *gen, struct late_index *x)
{
    array_free(gen->budget, x->chunks, x->chunk_capacity);
    table_fini(&x->times, gen->budget);
    x->chunks = NULL;
    x->chunk_count = x->chunk_capacity = 0;
}

static bool
add_chunk(struct gen *gen, struct late_index *x, const struct hchunk *c)
{
    int64_t times[HCHUNK_SAMPLES_MAX], starts[HCHUNK_SAMPLES_MAX];
    uint64_t bits[HCHUNK_SAMPLES_MAX];
    bool has_starts;
    if (c->kind != SAMPLE_FLOAT || !table_reserve(&x->times, gen->budget, c->count) ||
        !array_reserve(gen->budget, &x->chunks, &x->chunk_capacity, x->chunk_count + 1)) {
        return false;
    }
    struct hchunk_view view = hchunk_sealed_view(c);
    enum err e = hchunk_unpack(view.kind, view.bytes, view.count, NULL, times, starts, bits, NULL,
                               &has_starts);
    assert(e == OK); /* floats take no memory */
    for (uint32_t i = 0; i < view.count; i++)
        table_add(&x->times, tag_of(gen, times[i]), x->chunk_count);
    x->chunks[x->chunk_count++] = c;
    return true;
}

void
late_index_sealed(struct gen *gen, struct gen_past *past, const struct hchunk *known)
{
    struct late *late = past->late;
    struct late_index *x = late == NULL ? NULL : late->index;
    if (x == NULL) {
        bool needed = late != NULL && late->sealed_count >= LATE_INDEX_MIN &&
                      late->work >= late->sealed_count * LATE_INDEX_LOOKS * LATE_PASSED_BY;
        if (!needed || (x = mem_new(gen->budget, sizeof *x)) == NULL) return;
        x->owner = late;
        x->next = gen->late_indexes;
        gen->late_indexes = late->index = x;
        known = NULL; /* add all chunks */
    }
    assert(x->owner == late); /* invariant 7 */
    if (x->broken) return;
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
late_index_next(const struct gen *gen, const struct late *late, int64_t t_ms, uint32_t *at)
{
    uint32_t chunk;
    const struct late_index *x = late->index;
    assert(!x->broken); /* late_index_is_there() */
    return table_next(&x->times, tag_of(gen, t_ms), at, &chunk) ? x->chunks[chunk] : NULL;
}

void
late_indexes_drop(struct gen *gen)
{
    for (struct late_index *x = gen->late_indexes, *next; x != NULL; x = next) {
        next = x->next;
        assert(x->owner->index == x); /* invariant 7 */
        x->owner->index = NULL;
        index_empty(gen, x);
        mem_free(gen->budget, x, sizeof *x);
    }
    gen->late_indexes = NULL;
}
