/*
 * mem.h - memory on budgets: named limits that form a tree, checked allocation, arenas.
 *
 * Every allocation draws on a budget; budgets form a tree (the root is the process limit) and a
 * charge must fit all the way up. A refused charge is ERR_NOMEM or NULL, an ordinary error.
 *
 * Threads: budgets are atomic; an arena belongs to one thread at a time.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

struct budget {
    /* Immutable after budget_init(). */
    const char *name; /* a static string: the label of its metric */
    struct budget *parent;

    _Atomic uint64_t limit_bytes; /* relaxed: may be changed by a reload */
    _Atomic uint64_t used_bytes;  /* relaxed: orders nothing */
    _Atomic uint64_t peak_bytes;  /* relaxed: a statistic */
    _Atomic uint64_t refused_count;
    _Atomic uint64_t lacking_bytes; /* relaxed: use if the last refused charge had fit */
};

/* `limit_bytes` 0 means no limit of its own. `parent` may be NULL and outlives this one. */
void budget_init(struct budget *budget, const char *name, uint64_t limit_bytes,
                 struct budget *parent);

/* Charges all of `size_bytes` or nothing. ERR_NOMEM: a budget on the way up is exhausted. */
MUST_CHECK enum err budget_take(struct budget *budget, uint64_t size_bytes);
/* Takes a charge off this budget and those above it; asserts that it was charged. */
void budget_give(struct budget *budget, uint64_t size_bytes);
/* Leaves a charge to `above`, which is one of the budgets above this one, and has it already. */
void budget_move_up(struct budget *budget, uint64_t size_bytes, const struct budget *above);
/* Returns the bytes charged now, with those of budgets below. Any thread. */
uint64_t budget_used(const struct budget *budget);

/* Heap memory under a budget; NULL for small things that live as long as the process. The caller
 * remembers the size, and passes it to free and resize. mem_new() gives zeroed memory; NULL when
 * refused. mem_free() accepts NULL. */
void *mem_new(struct budget *budget, size_t size_bytes);
void *mem_alloc(struct budget *budget, size_t size_bytes);
/* Keeps the contents; on NULL the old memory is untouched. While large memory grows, old and new
 * count. */
void *mem_resize(struct budget *budget, void *old, size_t old_bytes, size_t new_bytes);
void mem_free(struct budget *budget, void *memory, size_t size_bytes);
/* Does the same for memory that held a secret: it is overwritten first. */
void mem_free_secret(struct budget *budget, void *memory, size_t size_bytes);

/* Fails the n-th allocation from now on (1 is the next one), with `forever` also all after it; 0
 * switches it off. For tests that fail each allocation in turn. Process-wide. */
void mem_fail_nth(uint64_t nth, bool forever);
/* True once the armed failure has happened. */
bool mem_fail_fired(void);
/* Returns the argument with which mem_fail_nth() continues after an interruption. */
uint64_t mem_fail_left(void);

/* For tests: `see` gets all memory before it is freed, also that of arenas and buffers; some of it
 * may never have been written. NULL switches it off. Process-wide. */
void mem_watch_frees(void (*see)(const void *memory, size_t size_bytes));

/* An arena: many small allocations, freed at once. Has a ceiling. */
struct arena_block;
struct arena {
    struct budget *budget;
    uint64_t limit_bytes; /* 0 if only the budget limits */
    uint64_t used_bytes;  /* charged to the budget */
    size_t block_bytes;   /* size of the next ordinary block */
    struct arena_block *blocks;
    uint8_t *at;
    uint8_t *end;
    bool secret;
};

/* No memory is taken before the first allocation. `block_bytes` 0 chooses a default. */
void arena_init(struct arena *arena, struct budget *budget, uint64_t limit_bytes,
                size_t block_bytes);
/* Does the same for secrets: memory is overwritten before it is freed. */
void arena_init_secret(struct arena *arena, struct budget *budget, uint64_t limit_bytes,
                       size_t block_bytes);
/* Frees all memory of the arena, which may be used again. */
void arena_fini(struct arena *arena);
/* Forgets all allocations but keeps one block for the next use. */
void arena_reset(struct arena *arena);
/* Does the same, but keeps a block of at most `bytes_max` bytes. */
void arena_reset_to(struct arena *arena, size_t bytes_max);
/* Aligned to 8; not zeroed. NULL: the ceiling or the budget is reached. */
void *arena_alloc(struct arena *arena, size_t size_bytes);
/* Zeroed. */
void *arena_new(struct arena *arena, size_t size_bytes);
/* Returns an array of `count` items with room for one more, which is not zeroed: `items`, the
 * result of an earlier call (NULL at first), or a copy. NULL: refused, and `items` is unchanged.
 * Outgrown arrays stay in the arena, at most as much as the array itself. */
void *arena_push(struct arena *arena, void *items, size_t count, size_t item_bytes);
/* Returns a copy that lives as long as the arena; `at` NULL with size > 0 means refused. */
struct bytes arena_copy(struct arena *arena, struct bytes from);

#endif
