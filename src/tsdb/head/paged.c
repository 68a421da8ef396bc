/*
 * paged.c - see registry.h.
 *
 * Invariants: a page, once made, neither moves nor goes; all items of an array filled by
 * paged_push() that are below `count` are in pages that are made.
 */
#include "tsdb/head/registry.h"

#include <assert.h>

enum { PAGES_MAX = 8192, PAGE_ALIGN = 64 };

_Static_assert(PAGED_FIRST << (PAGED_FULL_FROM - 1) == PAGED_FULL, "pages double up to here");

enum err
paged_init(struct paged *p, uint32_t item_bytes)
{
    p->item_bytes = item_bytes;
    /* Mostly untouched, so it takes address space rather than memory: not charged to a budget. */
    p->pages = mem_new(NULL, PAGES_MAX * sizeof *p->pages);
    return p->pages == NULL ? ERR_NOMEM : OK;
}

void
paged_fini(struct paged *p)
{
    mem_free(NULL, p->pages, PAGES_MAX * sizeof *p->pages);
}

static uint32_t
page_items(uint32_t first)
{
    if (first >= PAGED_FULL) return PAGED_FULL;
    return first == 0 ? PAGED_FIRST : first;
}

static uint8_t *
page_new(const struct paged *p, struct gmem *gmem, uint32_t items)
{
    uint8_t *memory = gmem_alloc(gmem, (size_t)items * p->item_bytes + PAGE_ALIGN);
    if (memory == NULL) return NULL;
    return memory + (PAGE_ALIGN - (uintptr_t)memory % PAGE_ALIGN) % PAGE_ALIGN;
}

void *
paged_push(struct paged *p, struct gmem *gmem, uint32_t *ret_id)
{
    uint32_t first, page = paged_page_of(p->count, &first);
    if (page >= PAGES_MAX) return NULL;
    assert(page == 0 || p->pages[page - 1] != NULL); /* items below `count` are in pages made */
    if (p->pages[page] == NULL) p->pages[page] = page_new(p, gmem, page_items(first));
    if (p->pages[page] == NULL) return NULL;
    *ret_id = p->count++;
    void *item = paged_at(p, *ret_id);
    memset(item, 0, p->item_bytes);
    return item;
}

enum err
paged_touch(struct paged *p, struct gmem *gmem, uint32_t id, void (*begin)(void *item))
{
    uint32_t first, page = paged_page_of(id, &first);
    if (page >= PAGES_MAX) return ERR_NOMEM;
    if (p->pages[page] != NULL) return OK;
    uint32_t items = page_items(first);
    assert(id - first < items);
    uint8_t *memory = page_new(p, gmem, items);
    if (memory == NULL) return ERR_NOMEM;
    memset(memory, 0, (size_t)items * p->item_bytes);
    for (uint32_t i = 0; i < items; i++) {
        begin(memory + (size_t)i * p->item_bytes);
    }
    p->pages[page] = memory;
    if (p->count < first + items) p->count = first + items;
    return OK;
}
