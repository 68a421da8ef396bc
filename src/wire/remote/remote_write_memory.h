/*
 * remote_write_memory.h - the memory of a struct rw_request; private to remote_write*.c.
 *
 * One growing array for each kind of item, and an arena for the parts of a single histogram or
 * series. Arrays move while they grow, so a pointer into one ends with the next push to it.
 */
#ifndef WIRE_REMOTE_REMOTE_WRITE_MEMORY_H
#define WIRE_REMOTE_REMOTE_WRITE_MEMORY_H

#include "base/mem.h"
#include "wire/remote/remote_write.h"

enum rw_array_id {
    RW_SERIES,
    RW_FLOATS,
    RW_HISTOGRAMS,
    RW_EXEMPLARS,
    RW_METADATA,
    RW_SYMBOLS,
    RW_SYMBOL_PRINTS,
    RW_REFS,
    RW_LABELS,
    RW_EXEMPLAR_REFS, /* references of the exemplar being read */
    RW_ARRAY_COUNT
};

struct rw_array {
    void *at;
    uint32_t count;
    uint32_t capacity;
    uint32_t item_bytes;
};

struct rw_memory {
    struct budget *budget;
    struct arena arena;
    uint64_t held_bytes;  /* size of the arrays */
    uint64_t limit_bytes; /* limit of the arrays, and of the arena, during this decode */
    enum err refused;     /* error of the last push or allocation that returned NULL */
    struct rw_array arrays[RW_ARRAY_COUNT];
};

/* Discards the decoded message and keeps the memory. */
void rw_memory_empty(struct rw_memory *m);

/* The slow path of rw_reserve(). */
bool rw_array_grow(struct rw_memory *m, struct rw_array *array, uint32_t more);

/* Makes room for `more` (below 2^31) items; false: see m->refused. */
static inline bool
rw_reserve(struct rw_memory *m, struct rw_array *array, uint32_t more)
{
    return more <= array->capacity - array->count || rw_array_grow(m, array, more);
}

/* Appends an item, not zeroed. `item_bytes` repeats the array's so that the compiler knows it. */
static inline void *
rw_push(struct rw_memory *m, enum rw_array_id id, size_t item_bytes)
{
    struct rw_array *array = &m->arrays[id];
    if (!rw_reserve(m, array, 1)) return NULL;
    return (uint8_t *)array->at + item_bytes * array->count++;
}

/* Allocates from the arena; NULL: see m->refused. */
void *rw_arena_alloc(struct rw_memory *m, size_t size_bytes);

/* Appends a symbol of a 2.0 request, and its fingerprint; `keys` may be NULL. The memory's errors.
 */
MUST_CHECK static inline enum err
rw_append_symbol(struct rw_memory *m, const struct fingerprint_keys *keys, struct bytes text)
{
    struct bytes *symbol = rw_push(m, RW_SYMBOLS, sizeof *symbol);
    if (symbol == NULL) return m->refused;
    *symbol = text;
    if (keys == NULL) return OK;
    struct fingerprint *print = rw_push(m, RW_SYMBOL_PRINTS, sizeof *print);
    if (print == NULL) return m->refused;
    *print = fingerprint_of(&keys->texts, text);
    return OK;
}

/* Sums up the fingerprints of the symbols to which a series refers; all references are in range.
 * The length distinguishes the sum from fingerprints of 1.0. */
static inline struct fingerprint
rw_print_refs(const struct rw_memory *m, const struct fingerprint_keys *keys, const uint32_t *refs,
              uint32_t count)
{
    const struct fingerprint *prints = m->arrays[RW_SYMBOL_PRINTS].at;
    if (keys == NULL || count > FINGERPRINT_WORDS_MAX / 2) return (struct fingerprint){0, 0};
    struct fingerprint_sum sum = fingerprint_begin(&keys->lists, UINT64_C(1) << 32 | count);
    bool all = true;
    for (uint32_t i = 0; i < count; i++) {
        struct fingerprint f = prints[refs[i]];
        all &= !fingerprint_is_none(f);
        fingerprint_add(&sum, f.low, f.high);
    }
    return all ? fingerprint_end(&sum) : (struct fingerprint){0, 0};
}

/* Makes the arrays visible in the request. */
void rw_publish(struct rw_request *request);

/* Reads a whole Histogram message into *h, arrays in the arena. ERR_INPUT, or the memory's errors.
 */
MUST_CHECK enum err rw_decode_histogram(struct rw_memory *m, enum rw_version version,
                                        struct bytes message, struct rw_histogram *h);

#endif
