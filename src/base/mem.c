/*
 * mem.c - see mem.h. The heap is malloc (jemalloc when linked); this file adds the accounting, and
 * the switch that makes the n-th allocation fail.
 */
#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

enum {
    ARENA_BLOCK_DEFAULT = 16 * 1024,
    ARENA_BLOCK_MAX = 1024 * 1024,
    COPIED_BYTES_MIN = 1024 * 1024,
};

/* Relaxed throughout: set by a test before it starts what it tests. */
static _Atomic uint64_t fail_countdown;
static atomic_bool fail_forever;
static atomic_bool fail_fired;

void
mem_fail_nth(uint64_t nth, bool forever)
{
    atomic_store_explicit(&fail_fired, false, memory_order_relaxed);
    atomic_store_explicit(&fail_forever, forever, memory_order_relaxed);
    atomic_store_explicit(&fail_countdown, nth, memory_order_relaxed);
}

bool
mem_fail_fired(void)
{
    return atomic_load_explicit(&fail_fired, memory_order_relaxed);
}

uint64_t
mem_fail_left(void)
{
    return atomic_load_explicit(&fail_countdown, memory_order_relaxed);
}

static bool
fail_now(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0) return false;
    uint64_t before = atomic_fetch_sub_explicit(&fail_countdown, 1, memory_order_relaxed);
    if (before != 1) return false;
    if (atomic_load_explicit(&fail_forever, memory_order_relaxed))
        atomic_store_explicit(&fail_countdown, 1, memory_order_relaxed);
    atomic_store_explicit(&fail_fired, true, memory_order_relaxed);
    return true;
}

void
budget_init(struct budget *budget, const char *name, uint64_t limit_bytes, struct budget *parent)
{
    budget->name = name;
    budget->parent = parent;
    atomic_init(&budget->limit_bytes, limit_bytes);
    atomic_init(&budget->used_bytes, 0);
    atomic_init(&budget->peak_bytes, 0);
    atomic_init(&budget->refused_count, 0);
}

static bool
budget_take_one(struct budget *b, uint64_t size_bytes)
{
    uint64_t limit = atomic_load_explicit(&b->limit_bytes, memory_order_relaxed);
    uint64_t now =
        atomic_fetch_add_explicit(&b->used_bytes, size_bytes, memory_order_relaxed) + size_bytes;
    if (limit != 0 && now > limit) {
        atomic_fetch_sub_explicit(&b->used_bytes, size_bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&b->refused_count, 1, memory_order_relaxed);
        atomic_store_explicit(&b->lacking_bytes, now, memory_order_relaxed);
        return false;
    }
    return true;
}

enum err
budget_take(struct budget *budget, uint64_t size_bytes)
{
    for (struct budget *b = budget; b != NULL; b = b->parent) {
        if (budget_take_one(b, size_bytes)) continue;
        for (struct budget *taken = budget; taken != b; taken = taken->parent) {
            uint64_t now =
                atomic_fetch_sub_explicit(&taken->used_bytes, size_bytes, memory_order_relaxed);
            atomic_store_explicit(&taken->lacking_bytes, now, memory_order_relaxed);
        }
        return ERR_NOMEM;
    }
    /* The peak rises only now: a charge that an ancestor refuses was never drawn. */
    for (struct budget *b = budget; b != NULL; b = b->parent) {
        uint64_t now = atomic_load_explicit(&b->used_bytes, memory_order_relaxed);
        uint64_t peak = atomic_load_explicit(&b->peak_bytes, memory_order_relaxed);
        while (now > peak &&
               !atomic_compare_exchange_weak_explicit(&b->peak_bytes, &peak, now,
                                                      memory_order_relaxed, memory_order_relaxed)) {
        }
    }
    return OK;
}

void
budget_give(struct budget *budget, uint64_t size_bytes)
{
    budget_move_up(budget, size_bytes, NULL);
}

void
budget_move_up(struct budget *budget, uint64_t size_bytes, const struct budget *above)
{
    for (struct budget *b = budget; b != above; b = b->parent) {
        assert(b != NULL); /* `above` is above */
        uint64_t before =
            atomic_fetch_sub_explicit(&b->used_bytes, size_bytes, memory_order_relaxed);
        assert(before >= size_bytes);
    }
}

uint64_t
budget_used(const struct budget *budget)
{
    return atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);
}

static void (*_Atomic watch)(const void *memory,
                             size_t size_bytes); /* relaxed: tests have one thread */

void
mem_watch_frees(void (*see)(const void *memory, size_t size_bytes))
{
    atomic_store_explicit(&watch, see, memory_order_relaxed);
}

static void
show_freed(const void *memory, size_t size_bytes)
{
    void (*see)(const void *, size_t) = atomic_load_explicit(&watch, memory_order_relaxed);
    if (see != NULL) see(memory, size_bytes);
}

void *
mem_alloc(struct budget *budget, size_t size_bytes)
{
    if (fail_now()) return NULL;
    if (budget != NULL && budget_take(budget, size_bytes) != OK) return NULL;
    void *memory = malloc(size_bytes == 0 ? 1 : size_bytes);
    if (memory == NULL && budget != NULL) budget_give(budget, size_bytes);
    return memory;
}

void *
mem_new(struct budget *budget, size_t size_bytes)
{
    if (fail_now()) return NULL;
    if (budget != NULL && budget_take(budget, size_bytes) != OK) return NULL;
    void *memory = calloc(1, size_bytes == 0 ? 1 : size_bytes);
    if (memory == NULL && budget != NULL) budget_give(budget, size_bytes);
    return memory;
}

void *
mem_resize(struct budget *budget, void *old, size_t old_bytes, size_t new_bytes)
{
    if (old == NULL) return mem_alloc(budget, new_bytes);
    bool larger = new_bytes > old_bytes;
    /* Large memory is likely to be copied: until then both blocks exist. */
    size_t both = larger && new_bytes >= COPIED_BYTES_MIN ? old_bytes : 0;
    size_t more = larger ? new_bytes - old_bytes + both : 0;
    if (larger && fail_now()) return NULL;
    if (budget != NULL && budget_take(budget, more) != OK) return NULL;
    show_freed(old, old_bytes);
    void *memory = realloc(old, new_bytes == 0 ? 1 : new_bytes);
    if (budget != NULL && memory == NULL) budget_give(budget, more);
    if (budget != NULL && memory != NULL)
        budget_give(budget, larger ? both : old_bytes - new_bytes);
    return memory;
}

void
mem_free(struct budget *budget, void *memory, size_t size_bytes)
{
    if (memory == NULL) return;
    show_freed(memory, size_bytes);
    free(memory);
    if (budget != NULL) budget_give(budget, size_bytes);
}

void
mem_free_secret(struct budget *budget, void *memory, size_t size_bytes)
{
    if (memory != NULL) explicit_bzero(memory, size_bytes);
    mem_free(budget, memory, size_bytes);
}

struct arena_block {
    struct arena_block *next;
    size_t size_bytes; /* with this header */
};

void
arena_init(struct arena *arena, struct budget *budget, uint64_t limit_bytes, size_t block_bytes)
{
    *arena = (struct arena){
        .budget = budget,
        .limit_bytes = limit_bytes,
        .block_bytes = block_bytes == 0 ? ARENA_BLOCK_DEFAULT : block_bytes,
    };
}

void
arena_init_secret(struct arena *arena, struct budget *budget, uint64_t limit_bytes,
                  size_t block_bytes)
{
    arena_init(arena, budget, limit_bytes, block_bytes);
    arena->secret = true;
}

static void
arena_free_blocks(struct arena *arena, struct arena_block *keep)
{
    struct arena_block *next;
    for (struct arena_block *b = arena->blocks; b != NULL; b = next) {
        next = b->next;
        if (b == keep) continue;
        size_t bytes = b->size_bytes;
        arena->used_bytes -= bytes;
        if (arena->secret)
            mem_free_secret(arena->budget, b, bytes);
        else
            mem_free(arena->budget, b, bytes);
    }
    arena->blocks = keep;
    if (keep != NULL) keep->next = NULL;
}

void
arena_fini(struct arena *arena)
{
    arena_free_blocks(arena, NULL);
    arena->at = arena->end = NULL;
}

void
arena_reset(struct arena *arena)
{
    arena_free_blocks(arena, arena->blocks);
    if (arena->blocks == NULL) return;
    arena->at = (uint8_t *)(arena->blocks + 1);
    arena->end = (uint8_t *)arena->blocks + arena->blocks->size_bytes;
}

void
arena_reset_to(struct arena *arena, size_t bytes_max)
{
    arena_reset(arena);
    if (arena->used_bytes > bytes_max) arena_fini(arena);
}

/* A large item gets a block of its own, after the current one, so that that is not wasted. */
static void *
arena_alloc_slow(struct arena *arena, size_t size_bytes)
{
    size_t need = size_bytes + sizeof(struct arena_block);
    if (need < size_bytes) return NULL;
    bool own = need > arena->block_bytes / 2;
    size_t block_bytes = own ? need : arena->block_bytes;
    if (arena->limit_bytes != 0 && arena->used_bytes + block_bytes > arena->limit_bytes)
        return NULL;
    struct arena_block *b = mem_alloc(arena->budget, block_bytes);
    if (b == NULL) return NULL;
    b->size_bytes = block_bytes;
    arena->used_bytes += block_bytes;
    if (own && arena->blocks != NULL) {
        b->next = arena->blocks->next;
        arena->blocks->next = b;
        return b + 1;
    }
    b->next = arena->blocks;
    arena->blocks = b;
    arena->at = (uint8_t *)(b + 1) + size_bytes;
    arena->end = (uint8_t *)b + block_bytes;
    if (arena->block_bytes < ARENA_BLOCK_MAX) arena->block_bytes *= 2;
    return b + 1;
}

void *
arena_alloc(struct arena *arena, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX - 64) return NULL;
    size_bytes = (size_bytes + 7) & ~(size_t)7;
    if (size_bytes <= (size_t)(arena->end - arena->at)) {
        void *memory = arena->at;
        arena->at += size_bytes;
        return memory;
    }
    return arena_alloc_slow(arena, size_bytes);
}

void *
arena_new(struct arena *arena, size_t size_bytes)
{
    void *memory = arena_alloc(arena, size_bytes);
    if (memory != NULL) memset(memory, 0, size_bytes);
    return memory;
}

/* The capacity follows from the count: 16, or the next power of two. */
void *
arena_push(struct arena *arena, void *items, size_t count, size_t item_bytes)
{
    enum { ITEMS_FIRST = 16 };
    bool full = count == 0 || (count >= ITEMS_FIRST && (count & (count - 1)) == 0);
    if (!full) return items;
    void *grown = arena_alloc(arena, (count == 0 ? ITEMS_FIRST : 2 * count) * item_bytes);
    if (grown != NULL && count > 0) memcpy(grown, items, count * item_bytes);
    return grown;
}

struct bytes
arena_copy(struct arena *arena, struct bytes from)
{
    if (from.size == 0) return (struct bytes){(const uint8_t *)"", 0};
    uint8_t *to = arena_alloc(arena, from.size);
    if (to == NULL) return (struct bytes){NULL, from.size};
    memcpy(to, from.at, from.size);
    return (struct bytes){to, from.size};
}
