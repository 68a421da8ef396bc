/*
 * times.c - see times.h. Columns are in a ring one after another; a new one overwrites the oldest.
 * The ring grows until it is as large as it may be, as most readers have few columns.
 *
 * Invariants:
 *  1. A column is contiguous in the ring.
 *  2. An entry is valid while end - at <= ring_samples: the ring has not come around to it.
 *  3. A ring that may grow has not come around yet.
 */
#include "tsdb/part/times.h"

#include <assert.h>

#include "base/hash/hash.h"

enum { ENTRIES = 1024, SAMPLES_FIRST = 4096 };

struct cached_times {
    const struct part *part; /* NULL if the entry is empty */
    struct page_place place;
    uint32_t count;
    uint64_t at; /* position, counted over all samples ever put into the ring */
};

struct times_cache {
    struct budget *budget;
    uint64_t end; /* position of the next column */
    int64_t *ring;
    uint32_t ring_samples;
    uint32_t ring_samples_max;
    struct cached_times entries[ENTRIES];
};

enum err
times_cache_new(struct budget *budget, uint32_t samples, struct times_cache **ret_cache)
{
    struct times_cache *c = mem_new(budget, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->budget = budget;
    c->ring_samples_max = samples;
    c->ring_samples = samples < SAMPLES_FIRST ? samples : SAMPLES_FIRST;
    c->ring = mem_alloc(budget, c->ring_samples * sizeof *c->ring);
    if (c->ring == NULL) {
        mem_free(budget, c, sizeof *c);
        return ERR_NOMEM;
    }
    *ret_cache = c;
    return OK;
}

/* Lets the ring grow instead of coming around, unless it is as large as it may be. */
static enum err
ring_reserve(struct times_cache *c, uint32_t count)
{
    uint32_t samples = c->ring_samples;
    while (samples < c->ring_samples_max && samples < c->end + count) {
        samples = samples < c->ring_samples_max / 2 ? 2 * samples : c->ring_samples_max;
    }
    if (samples == c->ring_samples) return OK;
    assert(c->end <= c->ring_samples); /* invariant 3 */
    int64_t *ring =
        mem_resize(c->budget, c->ring, c->ring_samples * sizeof *ring, samples * sizeof *ring);
    if (ring == NULL) return ERR_NOMEM;
    c->ring = ring;
    c->ring_samples = samples;
    return OK;
}

void
times_cache_free(struct times_cache *c)
{
    if (c == NULL) return;
    mem_free(c->budget, c->ring, c->ring_samples * sizeof *c->ring);
    mem_free(c->budget, c, sizeof *c);
}

static bool
is_of(const struct times_cache *c, const struct cached_times *x, const struct part *part,
      const struct block_ref *b)
{
    /* All members are compared, so that a damaged reference does not find another column. */
    return x->part == part && x->count == b->count && x->place.page == b->times.page &&
           x->place.at == b->times.at && x->place.size == b->times.size &&
           c->end - x->at <= c->ring_samples && c->ring[x->at % c->ring_samples] == b->min_ms &&
           c->ring[(x->at + x->count - 1) % c->ring_samples] == b->max_ms;
}

enum err
times_cache_read(struct times_cache *c, struct part *part, const struct block_ref *b,
                 int64_t *ret_times, struct why *why)
{
    uint64_t hash = hash_mix(part_info(part)->number, hash_mix(b->times.page, b->times.at));
    struct cached_times *x = &c->entries[hash % ENTRIES];
    if (is_of(c, x, part, b)) {
        memcpy(ret_times, c->ring + x->at % c->ring_samples, b->count * sizeof *ret_times);
        return OK;
    }
    enum err e = block_read_times(part, b, ret_times, why);
    if (e) return e;
    e = ring_reserve(c, b->count);
    if (e) return why_set(why, e, "not enough memory to read samples");
    if (b->count <= c->ring_samples) {
        /* Columns do not wrap around: the end of the ring is left empty instead. */
        uint64_t left = c->ring_samples - c->end % c->ring_samples;
        if (left < b->count) c->end += left;
        assert(c->end % c->ring_samples + b->count <= c->ring_samples); /* invariant 1 */
        *x = (struct cached_times){part, b->times, b->count, c->end};
        memcpy(c->ring + c->end % c->ring_samples, ret_times, b->count * sizeof *ret_times);
        c->end += b->count;
        assert(c->end - x->at <= c->ring_samples); /* invariant 2 */
    }
    return OK;
}
