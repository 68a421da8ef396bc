/*
 * paged.h - private to head/: an array of fixed-size items with stable addresses, in pages of 64,
 * 64, 128, ... up to 8192 items, each aligned to 64 bytes. Pages are allocated from a gmem.
 *
 * An array is filled either in order, by paged_push(), or in any order, by paged_touch(). Threads:
 * readers may use items below a count they read under the lock that guards the array.
 */
#ifndef TSDB_HEAD_PAGED_H
#define TSDB_HEAD_PAGED_H

#include "tsdb/head/gmem.h"

struct paged {
    uint8_t **pages;
    uint32_t item_bytes;
    uint32_t count;
};

MUST_CHECK enum err paged_init(struct paged *p, uint32_t item_bytes);
void paged_fini(struct paged *p);
/* Appends an item, zeroed. NULL without memory, or if the array is full. */
void *paged_push(struct paged *p, struct gmem *gmem, uint32_t *ret_id);
/*
 * Makes the page of `id`, if it is missing, zeroes it, and calls `begin` for each of its items.
 * ERR_NOMEM.
 */
MUST_CHECK enum err paged_touch(struct paged *p, struct gmem *gmem, uint32_t id,
                                void (*begin)(void *item));

enum { PAGED_FIRST = 64, PAGED_FULL = 8192, PAGED_FULL_FROM = 8 };

static inline uint32_t
paged_page_of(uint32_t id, uint32_t *ret_first)
{
    if (id >= PAGED_FULL) {
        *ret_first = id & ~(uint32_t)(PAGED_FULL - 1);
        return PAGED_FULL_FROM + id / PAGED_FULL - 1;
    }
    if (id < PAGED_FIRST) {
        *ret_first = 0;
        return 0;
    }
    unsigned power = 31u - (unsigned)__builtin_clz(id);
    *ret_first = 1u << power;
    return power - 5;
}

static inline void *
paged_at(const struct paged *p, uint32_t id)
{
    uint32_t first, page = paged_page_of(id, &first);
    return p->pages[page] + (size_t)(id - first) * p->item_bytes;
}

/* NULL if the page of `id` was not made. */
static inline void *
paged_find(const struct paged *p, uint32_t id)
{
    uint32_t first, page = paged_page_of(id, &first);
    uint8_t *items = p->pages[page];
    return items == NULL ? NULL : items + (size_t)(id - first) * p->item_bytes;
}

#endif
