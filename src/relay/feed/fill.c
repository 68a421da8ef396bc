/*
 * fill.c - see fill.h.
 *
 * Guarantees that an item which was given is the same item, under the same position, until it is
 * passed: a refused call is rebuilt from its items, perhaps in pieces, and a restart begins at the
 * oldest item that is not settled.
 *
 * Chunks that were given are in a ring, the oldest first: each with its position, the place of the
 * walk before it, and a hash of its items. The youngest chunks are kept in memory, as many as
 * `kept_bytes` allow; others are read again by a short walk of their own from their place, into
 * `loaded`, which holds one. The hash shows whether the store still has the same items: a deletion
 * or the retention may have changed them. Then the relay restarts the fill from its last durable
 * place, since positions count items, and all later ones would mean others.
 *
 * Places (window, tenant, labels, time) could have served as positions, without a ring; but they
 * are as long as labels, and every pending item has a position.
 *
 * Invariants:
 * 1. Chunks in the ring are not empty, and each begins where the one before it ends; the last one
 *    ends at next_pos.
 * 2. Chunks from oldest_kept on are in memory, those before it are not; kept_bytes is their size.
 * 3. first <= oldest_kept <= next.
 */
#include "relay/feed/fill.h"

#include <assert.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "relay/feed/fill_walk.h"

/* A chunk that fill_next() has returned. */
struct fill_given {
    uint64_t pos;
    uint32_t count;
    uint64_t hash;  /* hash of its items */
    uint8_t *place; /* place of the walk before it */
    size_t place_size;
    struct chunk *chunk; /* NULL if it is not in memory: it is read again when needed */
};

struct fill {
    struct fill_options options;
    struct fill_walk walk; /* walk of the next chunk; other walks read chunks again */
    uint64_t next_pos;
    struct fill_given *ring; /* indexed by number, modulo the capacity */
    uint32_t capacity;       /* a power of two, or 0 */
    uint64_t first, next;    /* numbers of the oldest chunk, and of the next one */
    uint64_t oldest_kept;    /* number of the oldest chunk that is in memory */
    size_t kept_bytes;
    struct samples_left_out left_out; /* samples that `walk` read and did not give */
    struct chunk loaded;              /* a chunk that was read again */
    uint64_t loaded_pos;              /* its position; 0 if there is none */
    bool found_damage;                /* walks that read again found damage */
};

/* --- hashes of given items -------------------------------------------------------------------- */

static struct fill_given *
given_at(const struct fill *f, uint64_t number)
{
    return &f->ring[number & (f->capacity - 1)];
}

static uint64_t
hash_items(const struct chunk *c)
{
    uint64_t hash = c->kind;
    for (uint32_t i = 0; i < c->count; i++) {
        struct item item;
        chunk_item(c, i, &item);
        uint64_t bits = item.kind == ITEM_HISTOGRAM ? item.histogram->sum_bits : item.bits;
        uint64_t times = hash_mix((uint64_t)item.t_ms, (uint64_t)item.start_ms);
        hash = hash_mix(hash ^ item.series_hash, hash_mix(times, bits));
    }
    return hash;
}

static void
drop_chunk(struct fill *f, struct fill_given *g)
{
    if (g->chunk == NULL) return;
    assert(g->chunk->arena.used_bytes <= f->kept_bytes); /* invariant 2 */
    f->kept_bytes -= g->chunk->arena.used_bytes;
    chunk_fini(g->chunk);
    mem_free(f->options.memory, g->chunk, sizeof *g->chunk);
    g->chunk = NULL;
}

static void
forget_first(struct fill *f)
{
    assert(f->first < f->next);
    struct fill_given *g = given_at(f, f->first++);
    drop_chunk(f, g);
    mem_free(f->options.memory, g->place, g->place_size);
    if (f->oldest_kept < f->first) f->oldest_kept = f->first;
    assert(f->oldest_kept <= f->next); /* invariant 3 */
}

static bool
ring_grow(struct fill *f)
{
    if (f->next - f->first < f->capacity) return true;
    uint32_t capacity = f->capacity == 0 ? 16 : 2 * f->capacity;
    struct fill_given *ring = mem_new(f->options.memory, capacity * sizeof *ring);
    if (ring == NULL) return false;
    for (uint64_t i = f->first; i < f->next; i++) {
        ring[i & (capacity - 1)] = *given_at(f, i);
    }
    mem_free(f->options.memory, f->ring, f->capacity * sizeof *ring);
    f->ring = ring;
    f->capacity = capacity;
    return true;
}

static struct fill_given *
find_given(const struct fill *f, uint64_t pos)
{
    uint64_t at =
        search_first(i, f->first, f->next, given_at(f, i)->pos + given_at(f, i)->count > pos);
    struct fill_given *g = at < f->next ? given_at(f, at) : NULL;
    return g != NULL && g->pos <= pos ? g : NULL;
}

uint64_t
fill_first_pos(uint32_t number)
{
    return FILL_BIT | (uint64_t)(number & 0xffff) << FILL_NUMBER_SHIFT;
}

/* --- the fill --------------------------------------------------------------------------------- */

enum err
fill_open(const struct fill_options *options, uint64_t pos, struct bytes place,
          struct fill **ret_fill, struct why *why)
{
    struct fill *f = mem_new(options->memory, sizeof *f);
    if (f == NULL) return why_set(why, ERR_NOMEM, "not enough memory to read the store");
    f->options = *options;
    f->next_pos = pos;
    chunk_init(&f->loaded, options->memory);
    fill_walk_init(&f->walk, &f->options);
    f->walk.control.left_out = &f->left_out;
    enum err e = place.size == 0 ? OK : fill_walk_go_to(&f->walk, place);
    if (e) {
        fill_close(f);
        return why_set(why, e, "cannot resume reading the store: its saved place is invalid");
    }
    *ret_fill = f;
    return OK;
}

void
fill_close(struct fill *f)
{
    if (f == NULL) return;
    fill_walk_fini(&f->walk);
    while (f->first < f->next) {
        forget_first(f);
    }
    mem_free(f->options.memory, f->ring, f->capacity * sizeof *f->ring);
    chunk_fini(&f->loaded);
    mem_free(f->options.memory, f, sizeof *f);
}

/* Reads the next chunk, and remembers the place before it. On an error the walk is back there. */
static enum err
read_given(struct fill *f, struct fill_given *g, struct why *why)
{
    struct budget *memory = f->options.memory;
    g->chunk = mem_new(memory, sizeof *g->chunk);
    if (g->chunk == NULL) return ERR_NOMEM;
    chunk_init(g->chunk, memory);
    struct buf place;
    buf_init(&place, memory, FILL_PLACE_BYTES_MAX + 4096);
    fill_walk_put_place(&f->walk, &place);
    enum err e = buf_error(&place);
    if (e == OK) e = fill_walk_chunk(&f->walk, g->chunk, FILL_CHUNK_ITEMS, why);
    if (e == OK) {
        g->place = mem_alloc(memory, place.size);
        g->place_size = place.size;
        if (g->place == NULL) e = ERR_NOMEM;
    }
    if (e == OK) memcpy(g->place, place.at, place.size);
    if (e && buf_error(&place) == OK) {
        enum err back = fill_walk_go_to(&f->walk, buf_bytes(&place));
        assert(back == OK); /* its buffers held the same place before */
        (void)back;
    }
    buf_fini(&place);
    if (e) {
        chunk_fini(g->chunk);
        mem_free(memory, g->chunk, sizeof *g->chunk);
    }
    return e;
}

enum err
fill_next(struct fill *f, const struct chunk **ret_chunk, struct why *why)
{
    struct fill_given g = {.pos = f->next_pos};
    if (!ring_grow(f)) return why_set(why, ERR_NOMEM, "not enough memory to read the store");
    enum err e = read_given(f, &g, why);
    if (e == ERR_MISSING) return e;
    if (e) return e == ERR_NOMEM ? why_set(why, e, "not enough memory to read the store") : e;
    struct chunk *c = g.chunk;
    assert(c->count > 0); /* invariant 1 */
    c->pos = f->next_pos;
    c->end_pos = c->pos + c->count;
    g.count = c->count;
    g.hash = hash_items(c);
    f->kept_bytes += c->arena.used_bytes;
    *given_at(f, f->next++) = g;
    f->next_pos = c->end_pos;
    /* The youngest chunk is kept whatever its size. */
    while (f->kept_bytes > f->options.kept_bytes && f->oldest_kept + 1 < f->next) {
        assert(given_at(f, f->oldest_kept)->chunk != NULL); /* invariant 2 */
        drop_chunk(f, given_at(f, f->oldest_kept++));
    }
    *ret_chunk = c;
    return OK;
}

/* Reads a chunk again. ERR_CORRUPT: its items are not the same. */
static enum err
read_again(struct fill *f, const struct fill_given *g, struct why *why)
{
    struct fill_walk walk;
    fill_walk_init(&walk, &f->options);
    f->loaded_pos = 0;
    enum err e = fill_walk_go_to(&walk, bytes_of(g->place, g->place_size));
    if (e == OK) e = fill_walk_chunk(&walk, &f->loaded, g->count, why);
    fill_walk_fini(&walk);
    f->found_damage |= walk.found_damage;
    f->loaded.pos = g->pos;
    bool same = e == OK && f->loaded.count == g->count && hash_items(&f->loaded) == g->hash;
    if (e == ERR_MISSING || (e == OK && !same)) {
        return why_set(why, ERR_CORRUPT, "the store has changed since it was read");
    }
    if (e == OK) f->loaded_pos = g->pos;
    return e;
}

enum err
fill_load(struct fill *f, uint64_t pos, const struct chunk **ret_chunk, struct why *why)
{
    const struct fill_given *g = find_given(f, pos);
    assert(g != NULL);
    enum err e = OK;
    *ret_chunk = g->chunk != NULL ? g->chunk : &f->loaded;
    if (g->chunk == NULL && f->loaded_pos != g->pos) e = read_again(f, g, why);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory to read the store") : e;
}

void
fill_pass(struct fill *f, uint64_t pos)
{
    assert(pos <= f->next_pos);
    while (f->first < f->next && given_at(f, f->first)->pos + given_at(f, f->first)->count <= pos) {
        forget_first(f);
    }
}

uint64_t
fill_pos(const struct fill *f)
{
    return f->next_pos;
}

enum err
fill_place(struct fill *f, uint64_t pos, struct buf *to, struct why *why)
{
    const struct fill_given *g = pos == f->next_pos ? NULL : find_given(f, pos);
    if (g == NULL) {
        assert(pos == f->next_pos);
        fill_walk_put_place(&f->walk, to);
    } else if (g->pos == pos) {
        buf_put(to, g->place, g->place_size);
    } else {
        const struct chunk *chunk;
        enum err e = fill_load(f, pos, &chunk, why);
        if (e) return e;
        fill_item_put_place(&f->options, chunk, (uint32_t)(pos - g->pos), to);
    }
    enum err e = buf_error(to);
    return e ? why_set(why, e, "not enough memory to save the place in the store") : OK;
}

void
fill_left_out(struct fill *f, struct samples_left_out *add_to)
{
    fill_walk_rest(&f->walk); /* counts what it left out */
    add_to->superseded += f->left_out.superseded;
    add_to->deleted += f->left_out.deleted;
    add_to->exemplars_superseded += f->left_out.exemplars_superseded;
    add_to->exemplars_deleted += f->left_out.exemplars_deleted;
}

bool
fill_found_damage(const struct fill *f)
{
    return f->found_damage || f->walk.found_damage;
}

void
fill_rest(struct fill *f)
{
    fill_walk_rest(&f->walk);
}
