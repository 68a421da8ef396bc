/*
 * sim_pages.c - see sim_pages.h.
 *
 * A page has up to two images, `now` (what a read sees) and `old` (what is on the device); NULL is
 * a page of zeros. The first write after a sync moves `now` to `old` and works on a copy, so that a
 * sync only drops the old images, and neither it nor a power loss ever needs memory.
 *
 *                 write, truncate                     sync
 *      CLEAN  ------------------------>  DIRTY  ----------------->  CLEAN
 *    (old unused)                        ^   |
 *                       write, truncate  |   | forget (a sync failed)
 *                                        |   v
 *                                        LOST      sync leaves it alone
 *
 * Invariants:
 *  1. Bytes of `now` at and beyond the size are zero.
 *  2. A page is in the list `unsynced` exactly if it is not CLEAN; only then `old` means anything.
 *  3. A page that uses space is marked so, and counted in the device; a page with `now` uses space.
 *     (A page of written zeros uses space without having an image.)
 */
#include "sys/sim_pages.h"

#include <assert.h>
#include <errno.h>

#include "base/mem.h"

enum page_state { PAGE_CLEAN, PAGE_DIRTY, PAGE_LOST };
enum { CHUNK_PAGES = 32, SECTORS = SIM_PAGE_BYTES / SIM_SECTOR_BYTES };

/* Far beyond every test; limits the table of chunks. */
static const uint64_t FILE_BYTES_MAX = UINT64_C(1) << 40;

struct sim_page {
    uint8_t *now;
    uint8_t *old;
    struct sim_page *next; /* in `unsynced` */
    struct sim_page **link;
    uint8_t state;
    bool uses_space;
};

struct sim_chunk {
    struct sim_page pages[CHUNK_PAGES];
};

/* splitmix64, for which all seeds are equally good. */
uint64_t
sim_random_next(struct sim_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t
sim_random_below(struct sim_random *random, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)sim_random_next(random) * bound) >> 64);
}

static void
image_free(uint8_t *image)
{
    mem_free(NULL, image, SIM_PAGE_BYTES);
}

static bool
all_zero(const uint8_t *at, size_t size)
{
    return size == 0 || (at[0] == 0 && memcmp(at, at + 1, size - 1) == 0);
}

static void
page_link(struct sim_pages *pages, struct sim_page *page)
{
    page->next = pages->unsynced;
    page->link = &pages->unsynced;
    if (page->next != NULL) page->next->link = &page->next;
    pages->unsynced = page;
}

/* Makes a page CLEAN: the content of `now` is durable. */
static void
page_settle(struct sim_page *page)
{
    assert(page->state != PAGE_CLEAN);
    image_free(page->old);
    page->old = NULL;
    page->state = PAGE_CLEAN;
    *page->link = page->next;
    if (page->next != NULL) page->next->link = page->link;
}

/* Makes a page DIRTY; from CLEAN, `now` becomes the old image and the caller sets a new one. */
static void
page_soil(struct sim_pages *pages, struct sim_page *page)
{
    if (page->state == PAGE_CLEAN) {
        page->old = page->now;
        page->now = NULL;
        page_link(pages, page);
    }
    page->state = PAGE_DIRTY;
}

static void
page_use_space(struct sim_pages *pages, struct sim_page *page, bool uses_space)
{
    if (page->uses_space == uses_space) return;
    page->uses_space = uses_space;
    uint64_t before = pages->used_bytes;
    pages->used_bytes = uses_space ? before + SIM_PAGE_BYTES : before - SIM_PAGE_BYTES;
    if (pages->is_counted) pages->device->used_bytes += pages->used_bytes - before; /* mod 2^64 */
}

void
sim_pages_set_counted(struct sim_pages *pages, bool is_counted)
{
    if (pages->is_counted == is_counted) return;
    pages->is_counted = is_counted;
    if (is_counted)
        pages->device->used_bytes += pages->used_bytes;
    else
        pages->device->used_bytes -= pages->used_bytes;
}

/* Returns the page of that index, NULL if it lies in a hole. */
static struct sim_page *
page_find(const struct sim_pages *pages, uint64_t index)
{
    uint64_t chunk = index / CHUNK_PAGES;
    if (chunk >= pages->chunk_count || pages->chunks[chunk] == NULL) return NULL;
    return &pages->chunks[chunk]->pages[index % CHUNK_PAGES];
}

/* Returns the page of that index, which is made if needed; NULL: not enough memory. */
static struct sim_page *
page_make(struct sim_pages *pages, uint64_t index)
{
    size_t chunk = (size_t)(index / CHUNK_PAGES);
    if (chunk >= pages->chunk_count) {
        size_t count = pages->chunk_count < 2 ? 2 : 2 * pages->chunk_count;
        if (count <= chunk) count = chunk + 1;
        size_t each = sizeof(struct sim_chunk *);
        struct sim_chunk **chunks =
            mem_resize(NULL, pages->chunks, pages->chunk_count * each, count * each);
        if (chunks == NULL) return NULL;
        memset(chunks + pages->chunk_count, 0, (count - pages->chunk_count) * each);
        pages->chunks = chunks;
        pages->chunk_count = count;
    }
    if (pages->chunks[chunk] == NULL) {
        pages->chunks[chunk] = mem_new(NULL, sizeof(struct sim_chunk));
        if (pages->chunks[chunk] == NULL) return NULL;
    }
    return &pages->chunks[chunk]->pages[index % CHUNK_PAGES];
}

void
sim_pages_init(struct sim_pages *pages, struct sim_device *device)
{
    *pages = (struct sim_pages){.device = device};
}

void
sim_pages_fini(struct sim_pages *pages)
{
    for (size_t i = 0; i < pages->chunk_count; i++) {
        struct sim_chunk *chunk = pages->chunks[i];
        if (chunk == NULL) continue;
        for (size_t j = 0; j < CHUNK_PAGES; j++) {
            image_free(chunk->pages[j].now);
            if (chunk->pages[j].state != PAGE_CLEAN) image_free(chunk->pages[j].old);
            page_use_space(pages, &chunk->pages[j], false);
        }
        mem_free(NULL, chunk, sizeof *chunk);
    }
    mem_free(NULL, pages->chunks, pages->chunk_count * sizeof *pages->chunks);
    sim_pages_init(pages, pages->device);
}

size_t
sim_pages_read(const struct sim_pages *pages, void *to, size_t size, uint64_t offset)
{
    if (offset >= pages->size_bytes) return 0;
    if (size > pages->size_bytes - offset) size = (size_t)(pages->size_bytes - offset);
    uint8_t *at = to;
    for (size_t done = 0; done < size;) {
        size_t start = (size_t)((offset + done) % SIM_PAGE_BYTES);
        size_t part = SIM_PAGE_BYTES - start;
        if (part > size - done) part = size - done;
        const struct sim_page *page = page_find(pages, (offset + done) / SIM_PAGE_BYTES);
        if (page == NULL || page->now == NULL)
            memset(at + done, 0, part);
        else
            memcpy(at + done, page->now + start, part);
        done += part;
    }
    return size;
}

static int
page_write(struct sim_pages *pages, struct sim_page *page, size_t start, const uint8_t *from,
           size_t size)
{
    if (!page->uses_space) {
        const struct sim_device *device = pages->device;
        if (device->used_bytes + SIM_PAGE_BYTES > device->capacity_bytes) return -ENOSPC;
        page_use_space(pages, page, true);
    }
    /* Zeros on zeros are cheap, because logs write whole segments of them. */
    if (page->now == NULL && all_zero(from, size)) return 0;
    if (page->now == NULL || page->state == PAGE_CLEAN) {
        uint8_t *fresh = mem_alloc(NULL, SIM_PAGE_BYTES);
        if (fresh == NULL) return -ENOMEM;
        if (size < SIM_PAGE_BYTES && page->now != NULL) memcpy(fresh, page->now, SIM_PAGE_BYTES);
        if (size < SIM_PAGE_BYTES && page->now == NULL) memset(fresh, 0, SIM_PAGE_BYTES);
        page_soil(pages, page);
        page->now = fresh;
    }
    page->state = PAGE_DIRTY;
    memcpy(page->now + start, from, size);
    return 0;
}

ssize_t
sim_pages_write(struct sim_pages *pages, const void *from, size_t size, uint64_t offset)
{
    if (offset > FILE_BYTES_MAX || size > FILE_BYTES_MAX - offset) return -EFBIG;
    const uint8_t *at = from;
    size_t done = 0;
    int result = 0;
    while (done < size) {
        size_t start = (size_t)((offset + done) % SIM_PAGE_BYTES);
        size_t part = SIM_PAGE_BYTES - start;
        if (part > size - done) part = size - done;
        struct sim_page *page = page_make(pages, (offset + done) / SIM_PAGE_BYTES);
        result = page == NULL ? -ENOMEM : page_write(pages, page, start, at + done, part);
        if (result < 0) break;
        done += part;
    }
    if (done > 0 && offset + done > pages->size_bytes) pages->size_bytes = offset + done;
    return done > 0 ? (ssize_t)done : result;
}

/* Calls `each` for every page that lies wholly at or beyond `size`. */
static void
each_page_beyond(struct sim_pages *pages, uint64_t size,
                 void (*each)(struct sim_pages *pages, struct sim_page *page))
{
    uint64_t first = (size + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES;
    for (size_t chunk = (size_t)(first / CHUNK_PAGES); chunk < pages->chunk_count; chunk++) {
        if (pages->chunks[chunk] == NULL) continue;
        size_t page = chunk == first / CHUNK_PAGES ? (size_t)(first % CHUNK_PAGES) : 0;
        for (; page < CHUNK_PAGES; page++)
            each(pages, &pages->chunks[chunk]->pages[page]);
    }
}

static void
page_cut(struct sim_pages *pages, struct sim_page *page)
{
    page_use_space(pages, page, false);
    if (page->now == NULL) return;
    page_soil(pages, page);
    image_free(page->now);
    page->now = NULL;
}

int
sim_pages_truncate(struct sim_pages *pages, uint64_t size)
{
    static const uint8_t zeros[SIM_PAGE_BYTES];
    if (size > FILE_BYTES_MAX) return -EFBIG;
    if (size < pages->size_bytes) {
        size_t start = (size_t)(size % SIM_PAGE_BYTES);
        struct sim_page *page = page_find(pages, size / SIM_PAGE_BYTES);
        if (start > 0 && page != NULL && page->now != NULL) {
            int result = page_write(pages, page, start, zeros, SIM_PAGE_BYTES - start);
            if (result < 0) return result;
        }
        each_page_beyond(pages, size, page_cut);
    }
    pages->size_bytes = size;
    return 0;
}

void
sim_pages_sync(struct sim_pages *pages)
{
    struct sim_page *next;
    for (struct sim_page *page = pages->unsynced; page != NULL; page = next) {
        next = page->next;
        if (page->state == PAGE_DIRTY) page_settle(page);
    }
    pages->durable_size_bytes = pages->size_bytes;
}

void
sim_pages_forget(struct sim_pages *pages)
{
    for (struct sim_page *page = pages->unsynced; page != NULL; page = page->next) {
        /* A page that was cut off belongs to the size, which no sync gives up. */
        if (page->now != NULL) page->state = PAGE_LOST;
    }
}

/* Leaves in `now` the sectors of `mask` from the new image, the others from the old one. */
static void
page_mix(struct sim_page *page, unsigned mask)
{
    if (page->now == NULL && page->old == NULL) return;
    if (page->now == NULL) { /* work on the old image, from the other side */
        page->now = page->old;
        page->old = NULL;
        mask = ~mask;
    }
    for (unsigned i = 0; i < SECTORS; i++) {
        if ((mask >> i) & 1) continue;
        uint8_t *sector = page->now + (size_t)i * SIM_SECTOR_BYTES;
        if (page->old == NULL)
            memset(sector, 0, SIM_SECTOR_BYTES);
        else
            memcpy(sector, page->old + (size_t)i * SIM_SECTOR_BYTES, SIM_SECTOR_BYTES);
    }
}

static void
page_discard(struct sim_pages *pages, struct sim_page *page)
{
    assert(page->state == PAGE_CLEAN);
    image_free(page->now);
    page->now = NULL;
    page_use_space(pages, page, false);
}

/*
 * Gives a quarter of the runs to all of a file being old, and a quarter to all being new: with many
 * pages, independent choices alone would hardly ever do so.
 */
void
sim_pages_power_loss(struct sim_pages *pages, struct sim_random *random)
{
    enum { ALL_OLD, ALL_NEW, EACH_ALONE };
    if (pages->unsynced == NULL && pages->size_bytes == pages->durable_size_bytes) return;
    uint64_t how = sim_random_below(random, 4);
    while (pages->unsynced != NULL) {
        struct sim_page *page = pages->unsynced;
        uint64_t fate = how >= EACH_ALONE ? sim_random_below(random, 3) : how;
        if (fate == ALL_OLD)
            page_mix(page, 0);
        else if (fate >= EACH_ALONE)
            page_mix(page, (unsigned)sim_random_below(random, 1u << SECTORS));
        page_settle(page);
        if (page->now != NULL) page_use_space(pages, page, true);
    }
    if (sim_random_below(random, 2) == 0) pages->size_bytes = pages->durable_size_bytes;
    each_page_beyond(pages, pages->size_bytes, page_discard);
    size_t start = (size_t)(pages->size_bytes % SIM_PAGE_BYTES);
    struct sim_page *last = page_find(pages, pages->size_bytes / SIM_PAGE_BYTES);
    if (start > 0 && last != NULL && last->now != NULL)
        memset(last->now + start, 0, SIM_PAGE_BYTES - start);
    pages->durable_size_bytes = pages->size_bytes;
}

static int
image_flip(uint8_t **image, size_t at, uint8_t mask)
{
    if (*image == NULL) *image = mem_new(NULL, SIM_PAGE_BYTES);
    if (*image == NULL) return -ENOMEM;
    (*image)[at] ^= mask;
    return 0;
}

int
sim_pages_damage(struct sim_pages *pages, uint64_t offset, uint8_t mask)
{
    assert(offset < pages->size_bytes);
    struct sim_page *page = page_make(pages, offset / SIM_PAGE_BYTES);
    if (page == NULL) return -ENOMEM;
    size_t at = (size_t)(offset % SIM_PAGE_BYTES);
    int result = page->state == PAGE_CLEAN ? 0 : image_flip(&page->old, at, mask);
    if (result == 0) result = image_flip(&page->now, at, mask);
    if (result == 0) page_use_space(pages, page, true);
    return result;
}
