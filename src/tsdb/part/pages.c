/*
 * pages.c - pages of a part: packed and checked, read through a cache that several parts share.
 *
 * A page's header has two checksums, both seeded with part and offset, so that a page that was
 * written elsewhere, or in another part, is not taken for this one. The first is of the header's
 * sizes alone: a damaged size is seen before memory is taken for it, and page_search() can look for
 * the next header after damage. The second is of the stored payload; a payload that does not match
 * it is not unpacked.
 *
 * The cache is a hash table of chains and a list by last use. A page is read without the lock: if
 * two threads miss the same page both read it, and the second one's copy is not listed. Callers of
 * page_get() hold the page; a held page is never freed, and one that is not listed is freed by its
 * last holder. So a page that is too large for the cache (a quarter of it), or finds no room beside
 * held ones, can still be read. When the budget is exhausted, pages that are not held are evicted
 * before the caller is refused.
 *
 * The table grows with the number of pages, as those of small tenants have a few hundred bytes: in
 * a table of fixed size, with 100,000 pages in 32 MiB, merging many tenants took three times as
 * long. Idle contexts of zstd are kept, instead of making one for each page.
 *
 * Invariants, under the cache's lock:
 *  1. A listed page is in the chain of its slot and in the list by use; there is at most one for
 *     each cache id and offset.
 *  2. stats.pages and stats.bytes are the sums over listed pages; bytes <= capacity_bytes.
 *  3. A page is freed when it is neither listed nor held.
 *  4. slot_count is a power of two.
 */
#include "tsdb/part/pages.h"

#include "tsdb/part/remote.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "base/hash/hash.h"

enum {
    WRITE_PIECE_BYTES = 256 * 1024,
    SLOTS_FIRST = 8192,
    UNPACKERS_KEPT = 8,
    DAMAGED_MAX = 1024,
    PACK_HARD_LEVEL = 3
};

/* --- headers ---------------------------------------------------------------------------------- */

enum { KIND_SHIFT = 28 };
#define PACKED_BIT (1u << KIND_SHIFT)
_Static_assert(PAGE_BYTES_MAX < 1 << KIND_SHIFT, "docs/format/part.md: sizes take 28 bits");

struct page_header {
    uint32_t stored;
    uint32_t raw;
    unsigned kind;
    bool packed;
};

static uint32_t
page_check_of(const uint8_t *header, struct bytes stored, uint64_t part_number, uint64_t offset)
{
    uint64_t seed = hash_mix(hash_mix(part_number, offset), load_le64(header));
    return (uint32_t)hash_bytes(stored, seed);
}

/* The checksum of the sizes, which are checked before memory is allocated for them. */
static uint32_t
header_check_of(const uint8_t *header, uint64_t part_number, uint64_t offset)
{
    return (uint32_t)hash_bytes(bytes_of(header, 8), hash_mix(part_number, offset));
}

static struct page_header
header_unpack(const uint8_t *from)
{
    uint32_t stored = load_le32(from), raw = load_le32(from + 4);
    return (struct page_header){stored & (PACKED_BIT - 1), raw & ~PACKED_BIT, stored >> KIND_SHIFT,
                                (raw & PACKED_BIT) != 0};
}

/* --- writing ---------------------------------------------------------------------------------- */

enum err
page_writer_open(struct page_writer *w, struct env *env, struct budget *budget, const char *path,
                 uint64_t part_number, struct why *why)
{
    *w = (struct page_writer){.file = FILE_CLOSED, .part_number = part_number, .level = 1};
    buf_init(&w->out, budget, 4 * (size_t)WRITE_PIECE_BYTES);
    buf_init(&w->packed, budget, 2 * (size_t)PAGE_BYTES_MAX);
    w->zstd = ZSTD_createCCtx();
    if (w->zstd == NULL) return why_set(why, ERR_NOMEM, "not enough memory to compress pages");
    return file_open(env, path, FILE_CREATE, &w->file, why);
}

void
page_writer_fini(struct page_writer *w)
{
    file_close(&w->file);
    buf_fini(&w->out);
    buf_fini(&w->packed);
    ZSTD_freeCCtx(w->zstd);
    w->zstd = NULL;
}

uint64_t
page_writer_offset(const struct page_writer *w)
{
    return w->flushed_bytes + w->out.size;
}

static enum err
write_out(struct page_writer *w, struct why *why)
{
    if (w->out.size == 0) return OK;
    enum err e = file_write_at(&w->file, buf_bytes(&w->out), w->flushed_bytes, why);
    if (e) return e;
    w->flushed_bytes += w->out.size;
    buf_clear(&w->out);
    return OK;
}

enum err
page_write_raw(struct page_writer *w, struct bytes bytes, struct why *why)
{
    if (bytes.size >= WRITE_PIECE_BYTES) {
        /* Large pieces are written without copying them. */
        enum err e = write_out(w, why);
        if (e == OK) e = file_write_at(&w->file, bytes, w->flushed_bytes, why);
        if (e == OK) w->flushed_bytes += bytes.size;
        return e;
    }
    buf_put_bytes(&w->out, bytes);
    if (buf_error(&w->out)) return buf_error(&w->out);
    return w->out.size >= WRITE_PIECE_BYTES ? write_out(w, why) : OK;
}

/* Packs the payload, unless that saves too little. */
static enum err
page_pack(struct page_writer *w, struct bytes payload, bool *ret_packed, struct bytes *ret_stored)
{
    *ret_packed = false;
    *ret_stored = payload;
    if (payload.size < 64 || w->level == 0) return OK;
    buf_clear(&w->packed);
    size_t bound = ZSTD_compressBound(payload.size);
    if (!buf_reserve(&w->packed, bound)) return buf_error(&w->packed);
    size_t got =
        ZSTD_compressCCtx(w->zstd, w->packed.at, bound, payload.at, payload.size, w->level);
    if (ZSTD_isError(got))
        return ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation ? ERR_NOMEM : OK;
    /* Unpacking costs time, so packing must save some bytes: more at low levels, whose parts are
     * merged soon. */
    if (got > payload.size - (w->level < PACK_HARD_LEVEL ? payload.size / 20 : payload.size / 64))
        return OK;
    *ret_packed = true;
    *ret_stored = bytes_of(w->packed.at, got);
    return OK;
}

enum err
page_write(struct page_writer *w, enum page_kind kind, struct bytes payload, uint64_t *ret_offset,
           struct why *why)
{
    if (payload.size > PAGE_BYTES_MAX) return why_set(why, ERR_LIMIT, "page is too large");
    uint64_t offset = page_writer_offset(w);
    struct page_header h = {.raw = (uint32_t)payload.size, .kind = kind};
    struct bytes stored;
    enum err e = page_pack(w, payload, &h.packed, &stored);
    if (e) return why_set(why, e, "not enough memory to compress a page");
    uint8_t header[PAGE_HEADER_BYTES];
    h.stored = (uint32_t)stored.size;
    store_le32(header, h.stored | h.kind << KIND_SHIFT);
    store_le32(header + 4, h.raw | (h.packed ? PACKED_BIT : 0));
    store_le32(header + 8, header_check_of(header, w->part_number, offset));
    store_le32(header + 12, page_check_of(header, stored, w->part_number, offset));
    w->payload_bytes[kind] += stored.size + PAGE_HEADER_BYTES;
    buf_put(&w->out, header, sizeof header);
    *ret_offset = offset;
    return page_write_raw(w, stored, why);
}

enum err
page_writer_close(struct page_writer *w, struct why *why)
{
    enum err e = write_out(w, why);
    if (e == OK) e = file_sync(&w->file, why);
    enum err closed = file_close(&w->file);
    if (e == OK && closed)
        e = why_set(why, closed, "cannot close %s: %s", w->file.path, err_word(closed));
    return e;
}

/* --- the cache -------------------------------------------------------------------------------- */

/* A page, followed by its bytes. */
struct cached_page {
    struct page page; /* first member: callers hold this */
    uint64_t cache_id;
    uint64_t offset;
    size_t memory_bytes;
    uint32_t holders; /* guarded by the cache's lock */
    bool listed;      /* in the table and in the list by use */
    struct cached_page *next_in_slot;
    struct cached_page *newer; /* by last use */
    struct cached_page *older;
};

struct damaged_page {
    uint64_t part_number;
    uint64_t offset;
};

struct page_cache {
    struct page_cache *notes_damage; /* damage is noted there, if not NULL */
    struct budget *budget;
    uint64_t capacity_bytes;
    _Atomic uint64_t next_id;

    struct lock lock;           /* LOCK_RANK_CACHE; guards the rest */
    struct cached_page **slots; /* not charged to a budget */
    size_t slot_count;          /* grows with the pages, which may be small */
    struct cached_page *newest;
    struct cached_page *oldest;
    struct page_cache_stats stats;
    struct ZSTD_DCtx_s *unpackers[UNPACKERS_KEPT]; /* idle; 160 KiB each, not charged */
    uint32_t unpacker_count;
    struct damaged_page *damaged; /* DAMAGED_MAX, made for the first; not charged */
};

enum err
page_cache_new(struct budget *budget, uint64_t capacity_bytes, struct page_cache **ret_cache)
{
    struct page_cache *c = mem_new(NULL, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->slot_count = SLOTS_FIRST;
    c->slots = mem_new(NULL, SLOTS_FIRST * sizeof(struct cached_page *));
    if (c->slots == NULL) {
        mem_free(NULL, c, sizeof *c);
        return ERR_NOMEM;
    }
    c->budget = budget;
    c->capacity_bytes = capacity_bytes;
    atomic_init(&c->next_id, 1);
    lock_init(&c->lock, LOCK_RANK_CACHE);
    *ret_cache = c;
    return OK;
}

struct budget *
page_cache_budget(struct page_cache *cache)
{
    return cache->budget;
}

uint64_t
page_cache_capacity(const struct page_cache *cache)
{
    return cache->capacity_bytes;
}

uint64_t
page_cache_new_id(struct page_cache *cache)
{
    return atomic_fetch_add_explicit(&cache->next_id, 1, memory_order_relaxed);
}

static struct cached_page **
pages_slot_of(struct page_cache *c, uint64_t cache_id, uint64_t offset)
{
    return &c->slots[hash_mix(cache_id, offset) & (c->slot_count - 1)];
}

static void
unlink_use(struct page_cache *c, struct cached_page *p)
{
    if (p->newer != NULL)
        p->newer->older = p->older;
    else
        c->newest = p->older;
    if (p->older != NULL)
        p->older->newer = p->newer;
    else
        c->oldest = p->newer;
    p->newer = p->older = NULL;
}

static void
link_newest(struct page_cache *c, struct cached_page *p)
{
    p->older = c->newest;
    p->newer = NULL;
    if (c->newest != NULL) c->newest->newer = p;
    c->newest = p;
    if (c->oldest == NULL) c->oldest = p;
}

static void
unlist_locked(struct page_cache *c, struct cached_page *p)
{
    assert(p->listed);
    assert(c->stats.pages > 0);                /* invariant 2 */
    assert(c->stats.bytes >= p->memory_bytes); /* invariant 2 */
    struct cached_page **link = pages_slot_of(c, p->cache_id, p->offset);
    while (*link != p) {
        assert(*link != NULL); /* invariant 1 */
        link = &(*link)->next_in_slot;
    }
    *link = p->next_in_slot;
    unlink_use(c, p);
    p->listed = false;
    c->stats.bytes -= p->memory_bytes;
    c->stats.pages--;
}

void
page_cache_validate(struct page_cache *c)
{
    uint64_t pages = 0, bytes = 0, chained = 0;
    lock_take(&c->lock);
    assert((c->slot_count & (c->slot_count - 1)) == 0); /* invariant 4 */
    const struct cached_page *newer = NULL;
    for (const struct cached_page *p = c->newest; p != NULL; p = p->older) {
        assert(p->listed);         /* invariant 1 */
        assert(p->newer == newer); /* invariant 1 */
        pages++;
        bytes += p->memory_bytes;
        newer = p;
    }
    assert(c->oldest == newer); /* invariant 1 */
    for (size_t i = 0; i < c->slot_count; i++) {
        for (const struct cached_page *p = c->slots[i]; p != NULL; p = p->next_in_slot) {
            assert(pages_slot_of(c, p->cache_id, p->offset) == &c->slots[i]); /* invariant 1 */
            assert(p->listed);                                                /* invariant 1 */
            chained++;
        }
    }
    assert(chained == pages);           /* invariant 1 */
    assert(c->stats.pages == pages);    /* invariant 2 */
    assert(c->stats.bytes == bytes);    /* invariant 2 */
    assert(bytes <= c->capacity_bytes); /* invariant 2 */
    lock_drop(&c->lock);
}

/* Takes pages that are not held off the lists, the least recently used first, until at most
 * `most_bytes` are left; returns them as a list to free without the lock. */
static struct cached_page *
shrink_locked(struct page_cache *c, uint64_t most_bytes)
{
    struct cached_page *gone = NULL;
    for (struct cached_page *p = c->oldest, *newer; p != NULL && c->stats.bytes > most_bytes;
         p = newer) {
        newer = p->newer;
        if (p->holders > 0) continue;
        unlist_locked(c, p);
        p->next_in_slot = gone;
        gone = p;
    }
    return gone;
}

static void
free_list(struct page_cache *c, struct cached_page *list)
{
    while (list != NULL) {
        struct cached_page *next = list->next_in_slot;
        mem_free(c->budget, list, list->memory_bytes);
        list = next;
    }
}

/* Allocates memory for a page, if need be by evicting others. NULL if that does not help. */
static void *
cache_alloc(struct page_cache *c, size_t size)
{
    void *memory = mem_alloc(c->budget, size);
    if (memory != NULL) return memory;
    lock_take(&c->lock);
    uint64_t keep = c->stats.bytes > size ? c->stats.bytes - size : 0;
    struct cached_page *gone = shrink_locked(c, keep);
    lock_drop(&c->lock);
    free_list(c, gone);
    return mem_alloc(c->budget, size);
}

static struct cached_page *
find_locked(struct page_cache *c, uint64_t cache_id, uint64_t offset)
{
    struct cached_page *p = *pages_slot_of(c, cache_id, offset);
    while (p != NULL && (p->cache_id != cache_id || p->offset != offset))
        p = p->next_in_slot;
    return p;
}

/* Doubles the table. Without memory for that, look-ups only get slower. */
static void
grow_table(struct page_cache *c, size_t slot_count)
{
    size_t old_bytes = slot_count * sizeof(struct cached_page *), bytes = 2 * old_bytes;
    struct cached_page **slots = mem_new(NULL, bytes), **unused = slots;
    if (slots == NULL) return;
    lock_take(&c->lock);
    if (c->slot_count == slot_count) { /* no other thread was faster */
        unused = c->slots;
        c->slots = slots;
        c->slot_count *= 2;
        for (size_t i = 0; i < slot_count; i++) {
            for (struct cached_page *p = unused[i], *next; p != NULL; p = next) {
                next = p->next_in_slot;
                struct cached_page **slot = pages_slot_of(c, p->cache_id, p->offset);
                p->next_in_slot = *slot;
                *slot = p;
            }
        }
    }
    lock_drop(&c->lock);
    mem_free(NULL, unused, unused == slots ? bytes : old_bytes);
}

/* Lists a page that was just read, unless another thread was faster or it is too large to keep. */
static void
keep_cached(struct page_cache *c, struct cached_page *p)
{
    lock_take(&c->lock);
    struct cached_page *gone = NULL;
    if (p->memory_bytes <= c->capacity_bytes / 4 &&
        find_locked(c, p->cache_id, p->offset) == NULL) {
        gone = shrink_locked(c, c->capacity_bytes - p->memory_bytes);
        if (c->stats.bytes + p->memory_bytes <= c->capacity_bytes) {
            assert(!p->listed);
            struct cached_page **slot = pages_slot_of(c, p->cache_id, p->offset);
            p->next_in_slot = *slot;
            *slot = p;
            link_newest(c, p);
            p->listed = true;
            c->stats.bytes += p->memory_bytes;
            c->stats.pages++;
            assert(c->stats.bytes <= c->capacity_bytes); /* invariant 2 */
        }
    }
    size_t slot_count = c->slot_count;
    bool crowded = c->stats.pages > slot_count;
    lock_drop(&c->lock);
    free_list(c, gone);
    if (crowded) grow_table(c, slot_count);
}

void
page_release(struct page_source *source, const struct page *page)
{
    if (page == NULL) return;
    struct page_cache *c = source->cache;
    struct cached_page *p = (struct cached_page *)(uintptr_t)page;
    lock_take(&c->lock);
    assert(p->holders > 0); /* invariant 3 */
    bool last = --p->holders == 0 && !p->listed;
    lock_drop(&c->lock);
    if (last) mem_free(c->budget, p, p->memory_bytes);
}

void
page_cache_forget(struct page_cache *c, uint64_t cache_id)
{
    struct cached_page *gone = NULL;
    lock_take(&c->lock);
    for (struct cached_page *p = c->oldest, *newer; p != NULL; p = newer) {
        newer = p->newer;
        if (p->cache_id != cache_id) continue;
        unlist_locked(c, p);
        if (p->holders > 0) continue;
        p->next_in_slot = gone;
        gone = p;
    }
    lock_drop(&c->lock);
    free_list(c, gone);
}

void
page_cache_free(struct page_cache *c)
{
    if (c == NULL) return;
#ifdef LOCK_CHECK
    page_cache_validate(c);
#endif
    for (struct cached_page *p = c->oldest, *newer; p != NULL; p = newer) {
        newer = p->newer;
        assert(p->holders == 0); /* invariant 3 */
        mem_free(c->budget, p, p->memory_bytes);
    }
    for (uint32_t i = 0; i < c->unpacker_count; i++)
        ZSTD_freeDCtx(c->unpackers[i]);
    lock_fini(&c->lock);
    mem_free(NULL, c->damaged, DAMAGED_MAX * sizeof *c->damaged);
    mem_free(NULL, c->slots, c->slot_count * sizeof *c->slots);
    mem_free(NULL, c, sizeof *c);
}

void
page_cache_stats(struct page_cache *cache, struct page_cache_stats *ret_stats)
{
    lock_take(&cache->lock);
    *ret_stats = cache->stats;
    lock_drop(&cache->lock);
}

void
page_cache_report_to(struct page_cache *cache, struct page_cache *other)
{
    cache->notes_damage = other;
}

void
page_cache_note_damage(struct page_cache *cache, uint64_t part_number, uint64_t offset)
{
    struct page_cache *c = cache->notes_damage != NULL ? cache->notes_damage : cache;
    lock_take(&c->lock);
    if (c->damaged == NULL) c->damaged = mem_alloc(NULL, DAMAGED_MAX * sizeof *c->damaged);
    uint64_t count = c->stats.pages_damaged, i = c->damaged == NULL ? DAMAGED_MAX : 0;
    while (i < count &&
           (c->damaged[i].part_number != part_number || c->damaged[i].offset != offset))
        i++;
    if (i == count && count < DAMAGED_MAX) {
        c->damaged[i] = (struct damaged_page){part_number, offset};
        c->stats.pages_damaged++;
    }
    lock_drop(&c->lock);
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err
bad_page(struct page_source *s, uint64_t offset, const char *reason, struct why *why)
{
    return why_set(why, ERR_CORRUPT, "%s: page at %" PRIu64 " is damaged: %s", s->file.path, offset,
                   reason);
}

/* Repeats a read that failed with an I/O error, which may be transient and is not damage. */
enum err
page_source_read(struct page_source *s, void *to, size_t size, uint64_t offset, struct why *why)
{
    if (s->is_remote) return remote_read(s, to, size, offset, why);
    enum err e = file_read_at(&s->file, to, size, offset, why);
    return e == ERR_IO ? file_read_at(&s->file, to, size, offset, why) : e;
}

static bool
header_is_good(const struct page_source *s, const uint8_t *header, uint64_t offset)
{
    struct page_header h = header_unpack(header);
    return h.kind >= PAGE_TIMES && h.kind <= PAGE_ROOT && (h.packed || h.stored == h.raw) &&
           h.raw <= PAGE_BYTES_MAX && h.stored <= s->file_bytes - offset - PAGE_HEADER_BYTES &&
           load_le32(header + 8) == header_check_of(header, s->part_number, offset);
}

static enum err
read_header(struct page_source *s, uint64_t offset, uint8_t *header, struct why *why)
{
    if (offset > s->file_bytes || s->file_bytes - offset < PAGE_HEADER_BYTES)
        return bad_page(s, offset, "it lies outside the file", why);
    enum err e = page_source_read(s, header, PAGE_HEADER_BYTES, offset, why);
    if (e) return e;
    return header_is_good(s, header, offset) ? OK
                                             : bad_page(s, offset, "its header is invalid", why);
}

static enum err
page_unpack(struct page_source *s, uint64_t offset, const uint8_t *header, struct bytes stored,
            uint8_t *to, struct why *why)
{
    struct page_header h = header_unpack(header);
    uint32_t raw = h.raw;
    if (load_le32(header + 12) != page_check_of(header, stored, s->part_number, offset))
        return bad_page(s, offset, "its checksum does not match", why);
    memset(to + raw, 0, PAGE_SLACK_BYTES);
    if (!h.packed) {
        if (raw > 0) memcpy(to, stored.at, raw);
        return OK;
    }
    struct page_cache *c = s->cache;
    struct ZSTD_DCtx_s *z = NULL;
    lock_take(&c->lock);
    if (c->unpacker_count > 0) z = c->unpackers[--c->unpacker_count];
    lock_drop(&c->lock);
    if (z == NULL) z = ZSTD_createDCtx();
    if (z == NULL) return why_set(why, ERR_NOMEM, "not enough memory to decompress a page");
    size_t got = ZSTD_decompressDCtx(z, to, raw, stored.at, stored.size);
    lock_take(&c->lock);
    bool keep = c->unpacker_count < UNPACKERS_KEPT;
    if (keep) c->unpackers[c->unpacker_count++] = z;
    lock_drop(&c->lock);
    if (!keep) ZSTD_freeDCtx(z);
    return got == raw ? OK : bad_page(s, offset, "it cannot be decompressed", why);
}

static enum err
page_load(struct page_source *s, uint64_t offset, struct cached_page **ret_page, struct why *why)
{
    uint8_t header[PAGE_HEADER_BYTES];
    struct budget *budget = s->cache->budget;
    uint8_t *stored = NULL;
    struct cached_page *p = NULL;
    enum err e = read_header(s, offset, header, why);
    if (e) return e;
    struct page_header h = header_unpack(header);
    uint32_t stored_size = h.stored, raw = h.raw;
    size_t memory = sizeof *p + raw + PAGE_SLACK_BYTES;
    stored = cache_alloc(s->cache, stored_size);
    p = cache_alloc(s->cache, memory);
    e = stored == NULL || p == NULL ? why_set(why, ERR_NOMEM, "not enough memory for a page") : OK;
    if (e) goto out;
    e = page_source_read(s, stored, stored_size, offset + PAGE_HEADER_BYTES, why);
    if (e) goto out;
    uint8_t *to = (uint8_t *)(p + 1);
    e = page_unpack(s, offset, header, bytes_of(stored, stored_size), to, why);
    if (e) goto out;
    *p = (struct cached_page){
        .page = {to, raw, (uint8_t)h.kind},
        .cache_id = s->cache_id,
        .offset = offset,
        .memory_bytes = memory,
        .holders = 1,
    };
    *ret_page = p;
    p = NULL;
out:
    mem_free(budget, stored, stored_size);
    mem_free(budget, p, memory);
    return e;
}

enum err
page_get(struct page_source *s, uint64_t offset, enum page_kind kind, const struct page **ret_page,
         struct why *why)
{
    lock_take(&s->cache->lock);
    struct cached_page *p = find_locked(s->cache, s->cache_id, offset);
    if (p != NULL) {
        p->holders++;
        unlink_use(s->cache, p);
        link_newest(s->cache, p);
        s->cache->stats.hits++;
    } else {
        s->cache->stats.misses++;
    }
    lock_drop(&s->cache->lock);
    if (p == NULL) {
        enum err e = page_load(s, offset, &p, why);
        if (e == ERR_CORRUPT) page_cache_note_damage(s->cache, s->part_number, offset);
        if (e) return e;
        keep_cached(s->cache, p);
    }
    if (p->page.kind != kind) {
        page_release(s, &p->page);
        return bad_page(s, offset, "its kind is not the expected one", why);
    }
    *ret_page = &p->page;
    return OK;
}

/* Offsets from here on are numbers of page_keep_made(): files are smaller. */
#define MADE_OFFSET (UINT64_C(1) << 63)

const struct page *
page_find_made(struct page_source *s, uint64_t number)
{
    struct page_cache *c = s->cache;
    lock_take(&c->lock);
    struct cached_page *p = find_locked(c, s->cache_id, MADE_OFFSET | number);
    if (p != NULL) {
        p->holders++;
        unlink_use(c, p);
        link_newest(c, p);
    }
    lock_drop(&c->lock);
    return p == NULL ? NULL : &p->page;
}

void
page_keep_made(struct page_source *s, uint64_t number, struct bytes bytes)
{
    size_t memory = sizeof(struct cached_page) + bytes.size;
    if (bytes.size > PAGE_BYTES_MAX || memory > s->cache->capacity_bytes / 4) return;
    struct cached_page *p = cache_alloc(s->cache, memory);
    if (p == NULL) return;
    uint8_t *to = (uint8_t *)(p + 1);
    if (bytes.size > 0) memcpy(to, bytes.at, bytes.size);
    *p = (struct cached_page){
        .page = {to, (uint32_t)bytes.size, 0},
        .cache_id = s->cache_id,
        .offset = MADE_OFFSET | number,
        .memory_bytes = memory,
        .holders = 1,
    };
    keep_cached(s->cache, p);
    page_release(s, &p->page);
}

enum err
page_check(struct page_source *s, uint64_t offset, struct page_facts *ret_facts, struct why *why)
{
    uint8_t header[PAGE_HEADER_BYTES];
    enum err e = read_header(s, offset, header, why);
    if (e) return e;
    struct page_header h = header_unpack(header);
    *ret_facts = (struct page_facts){
        .kind = (enum page_kind)h.kind,
        .packed = h.packed,
        .stored_bytes = h.stored,
        .raw_bytes = h.raw,
        .next = offset + PAGE_HEADER_BYTES + h.stored,
    };
    struct cached_page *p;
    e = page_load(s, offset, &p, why);
    if (e) return e;
    mem_free(s->cache->budget, p, p->memory_bytes);
    return OK;
}

enum err
page_search(struct page_source *s, uint64_t from, uint64_t end, uint64_t *ret_offset,
            struct why *why)
{
    enum { WINDOW = 64 * 1024 };
    uint8_t *window = mem_alloc(s->cache->budget, WINDOW);
    if (window == NULL) return why_set(why, ERR_NOMEM, "not enough memory to search for a page");
    enum err e = OK;
    uint64_t found = end;
    while (found == end && end - from >= PAGE_HEADER_BYTES) {
        size_t size = end - from < WINDOW ? (size_t)(end - from) : WINDOW;
        e = page_source_read(s, window, size, from, why);
        if (e) break;
        size_t last = size - PAGE_HEADER_BYTES;
        for (size_t i = 0; i <= last && found == end; i++)
            if (header_is_good(s, window + i, from + i)) found = from + i;
        from += last + 1;
        if (from > end) break;
    }
    mem_free(s->cache->budget, window, WINDOW);
    if (e == OK) *ret_offset = found;
    return e;
}
