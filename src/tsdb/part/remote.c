/* remote.c - see remote.h. */
#include "tsdb/part/remote.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "model/trouble.h"

enum {
    TAIL_BYTES = 1 << 20, /* most of the end of a file, with its index, that is fetched at once */
    GAP_CHUNKS = 2,       /* chunks that are fetched although they are not wanted */
    PLANS_MAX = OBJECT_RANGES_MAX,
    PAGE_LIKELY_BYTES = 64 * 1024,
    AHEAD_CHUNKS = 4, /* least of a request that nothing has planned */
};
#define CHUNK_NUMBER (UINT64_C(1) << 62) /* above offsets, for page_keep_made() */

/* Reads are deep below a query: its control is that of the thread. */
static _Thread_local struct query_control *reading_for;

struct query_control *
remote_read_for(struct query_control *control)
{
    struct query_control *before = reading_for;
    reading_for = control;
    return before;
}

/* --- fetching --------------------------------------------------------------------------------- */

/* Chunks [first, end) of a file, which one request fetches. */
struct remote_plan {
    struct page_source *source;
    uint64_t first, end;
    uint8_t *at;
    size_t bytes;
};

static void
keep_chunks(const struct remote_plan *plan)
{
    for (uint64_t c = plan->first; c < plan->end; c++) {
        size_t at = (size_t)(c - plan->first) * REMOTE_CHUNK_BYTES, left = plan->bytes - at;
        size_t size = left < REMOTE_CHUNK_BYTES ? left : REMOTE_CHUNK_BYTES;
        page_keep_made(plan->source, CHUNK_NUMBER | c, bytes_of(plan->at + at, size));
    }
}

static void
plans_free(struct remote_plan *plans, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        mem_free(page_cache_budget(plans[i].source->cache), plans[i].at, plans[i].bytes);
}

/* Fetches what was planned, of one bucket, of which each file has one; plans_free() has to
 * follow. */
static enum err
fetch_plans(struct remote_plan *plans, uint32_t count, struct why *why)
{
    struct object_range ranges[PLANS_MAX];
    struct remote_store *store = plans[0].source->remote;
    struct objects *o = store->objects;
    uint64_t bytes;
    uint32_t requests;
    for (uint32_t i = 0; i < count; i++) {
        struct remote_plan *p = &plans[i];
        uint64_t offset = p->first * REMOTE_CHUNK_BYTES, end = p->end * REMOTE_CHUNK_BYTES;
        if (end > p->source->file_bytes) end = p->source->file_bytes;
        p->bytes = (size_t)(end - offset);
        p->at = mem_alloc(page_cache_budget(p->source->cache), p->bytes);
        if (p->at == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a part's pages");
        ranges[i] = (struct object_range){p->source->file.path, offset, p->bytes, p->at};
    }
    enum err e = objects_read(o, ranges, count, reading_for, &requests, &bytes, why);
    atomic_fetch_add_explicit(&store->requests, requests, memory_order_relaxed);
    if (e == ERR_MISSING) {
        atomic_store_explicit(&store->is_gone, true, memory_order_relaxed);
        e = why_set(why, ERR_IO, "the bucket %s has no object %s", o->shown, ranges[0].key);
        return trouble_say(why, TROUBLE_GONE, e);
    }
    if (e) return why_prefix(why, e, "the bucket %s", o->shown);
    atomic_fetch_add_explicit(&store->bytes, bytes, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        keep_chunks(&plans[i]);
    return OK;
}

static bool
has_chunk(struct page_source *s, uint64_t chunk)
{
    const struct page *page = page_find_made(s, CHUNK_NUMBER | chunk);
    page_release(s, page);
    return page != NULL;
}

static uint64_t
tail_bytes(const struct page_source *s)
{
    uint64_t bytes = s->index_bytes < TAIL_BYTES ? s->index_bytes : TAIL_BYTES;
    return bytes < s->file_bytes ? bytes : s->file_bytes;
}

/* Plans a request for a chunk that is missing: with those after it that are needed, and to the end
 * of the file if that is near. */
static struct remote_plan
plan_from(struct page_source *s, uint64_t chunk, uint64_t end)
{
    uint64_t all = (s->file_bytes + REMOTE_CHUNK_BYTES - 1) / REMOTE_CHUNK_BYTES;
    uint64_t most = chunk + REMOTE_RANGE_BYTES / REMOTE_CHUNK_BYTES;
    struct remote_plan p = {.source = s, .first = chunk, .end = chunk + 1};
    if (end < chunk + AHEAD_CHUNKS) end = chunk + AHEAD_CHUNKS;
    if (end > all || s->file_bytes - chunk * REMOTE_CHUNK_BYTES <= tail_bytes(s)) end = all;
    while (p.end < end && p.end < most && !has_chunk(s, p.end))
        p.end++;
    return p;
}

/* Copies what lies in the chunks [first, end) whose bytes are at `from`. */
static void
copy_part(const uint8_t *from, size_t bytes, uint64_t first, uint8_t *to, size_t size,
          uint64_t offset)
{
    uint64_t begin = first * REMOTE_CHUNK_BYTES, end = begin + bytes;
    uint64_t low = offset > begin ? offset : begin;
    uint64_t high = offset + size < end ? offset + size : end;
    if (low < high) memcpy(to + (low - offset), from + (low - begin), (size_t)(high - low));
}

enum err
remote_read(struct page_source *s, void *to, size_t size, uint64_t offset, struct why *why)
{
    if (s->remote == NULL || s->remote->objects == NULL)
        return why_set(why, ERR_IO, "%s is only in the bucket", s->file.path);
    if (offset > s->file_bytes || size > s->file_bytes - offset)
        return why_set(why, ERR_CORRUPT, "%s: the part is too short", s->file.path);
    uint64_t chunk = offset / REMOTE_CHUNK_BYTES;
    uint64_t end = (offset + size + REMOTE_CHUNK_BYTES - 1) / REMOTE_CHUNK_BYTES;
    while (chunk < end) {
        const struct page *page = page_find_made(s, CHUNK_NUMBER | chunk);
        if (page != NULL) {
            copy_part(page->at, page->size, chunk, to, size, offset);
            page_release(s, page);
            chunk++;
            continue;
        }
        struct remote_plan plan = plan_from(s, chunk, end);
        enum err e = fetch_plans(&plan, 1, why);
        if (e == OK) copy_part(plan.at, plan.bytes, chunk, to, size, offset);
        chunk = plan.end;
        plans_free(&plan, 1);
        if (e) return e;
    }
    return OK;
}

/* --- ahead of reading ------------------------------------------------------------------------- */

static void
want_chunk(struct wanted_chunks *w, struct page_source *s, uint64_t number)
{
    const struct remote_chunk *last = w->count == 0 ? NULL : &w->chunks[w->count - 1];
    if (last != NULL && last->source == s && last->number == number) return;
    if (number * REMOTE_CHUNK_BYTES >= s->file_bytes) return;
    if (array_reserve(w->budget, &w->chunks, &w->capacity, w->count + 1))
        w->chunks[w->count++] = (struct remote_chunk){s, number};
}

static bool
can_fetch(const struct page_source *s)
{
    return s->is_remote && s->remote != NULL && s->remote->objects != NULL;
}

void
remote_want_page(struct wanted_chunks *w, struct page_source *s, uint64_t offset)
{
    if (!can_fetch(s)) return;
    want_chunk(w, s, offset / REMOTE_CHUNK_BYTES);
    want_chunk(w, s, (offset + PAGE_LIKELY_BYTES) / REMOTE_CHUNK_BYTES);
}

void
remote_want_tail(struct wanted_chunks *w, struct page_source *s)
{
    if (!can_fetch(s) || s->file_bytes == 0) return;
    uint64_t last = (s->file_bytes - 1) / REMOTE_CHUNK_BYTES;
    for (uint64_t c = (s->file_bytes - tail_bytes(s)) / REMOTE_CHUNK_BYTES; c <= last; c++)
        want_chunk(w, s, c);
}

static int
by_place(const void *a, const void *b)
{
    const struct remote_chunk *x = a, *y = b;
    uint64_t i = x->source->cache_id, k = y->source->cache_id;
    if (i != k) return (i > k) - (i < k);
    return (x->number > y->number) - (x->number < y->number);
}

/* Plans requests for chunks from *at on, as many as one fetch takes. */
static uint32_t
plan_wanted(const struct wanted_chunks *w, uint32_t *at, struct remote_plan *plans)
{
    uint32_t count = 0;
    for (; *at < w->count; (*at)++) {
        const struct remote_chunk *c = &w->chunks[*at];
        struct remote_plan *last = count > 0 ? &plans[count - 1] : NULL;
        bool same = last != NULL && last->source == c->source;
        if ((same && c->number < last->end) || has_chunk(c->source, c->number)) continue;
        if (same && c->number - last->end <= GAP_CHUNKS &&
            (c->number + 1 - last->first) * REMOTE_CHUNK_BYTES <= REMOTE_RANGE_BYTES) {
            last->end = c->number + 1;
            continue;
        }
        if (count == PLANS_MAX) break;
        plans[count++] =
            (struct remote_plan){.source = c->source, .first = c->number, .end = c->number + 1};
    }
    return count;
}

void
remote_fetch_wanted(struct wanted_chunks *w)
{
    uint32_t at = 0, count = 1;
    enum err e = OK;
    if (w->count > 0) {
        qsort(w->chunks, w->count, sizeof *w->chunks, by_place);
        uint64_t room = page_cache_capacity(w->chunks[0].source->cache) / 2 / REMOTE_CHUNK_BYTES;
        if (w->count > room) w->count = (uint32_t)room;
    }
    while (e == OK && count > 0 && w->count > 0) {
        struct remote_plan plans[PLANS_MAX] = {{NULL}};
        count = plan_wanted(w, &at, plans);
        if (count == 0) break;
        e = fetch_plans(plans, count, NULL);
        plans_free(plans, count);
    }
    err_ignore(e, "reading it reports that");
    array_free(w->budget, w->chunks, w->capacity);
    *w = (struct wanted_chunks){.budget = w->budget};
}
