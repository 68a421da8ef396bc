/*
 * blocks.c - the blocks that rows of a part name: times, values, start times.
 */
#include "base/hash/hash.h"
#include "tsdb/codec/codec.h"
#include "tsdb/codec/rollups.h"
#include "tsdb/part/walk.h"

#include <assert.h>
#include <inttypes.h>

/* --- the cache of times ----------------------------------------------------------------------- */

/*
 * Columns are in a ring one after another; a new one overwrites the oldest.
 * The ring grows until it is as large as it may be, as most readers have few columns.
 *
 * Invariants:
 *  1. A column is contiguous in the ring.
 *  2. An entry is valid while end - at <= ring_samples: the ring has not come around to it.
 *  3. A ring that may grow has not come around yet.
 */

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
    while (samples < c->ring_samples_max && samples < c->end + count)
        samples = samples < c->ring_samples_max / 2 ? 2 * samples : c->ring_samples_max;
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

enum err
times_cache_read(struct times_cache *c, struct part *part, const struct block_ref *b,
                 int64_t *ret_times, struct why *why)
{
    uint64_t hash = hash_mix(part_info(part)->number, hash_mix(b->times.page, b->times.at));
    struct cached_times *x = &c->entries[hash % ENTRIES];
    /* All members are compared, so that a damaged reference does not find another column. */
    bool is_of_block = x->part == part && x->count == b->count && x->place.page == b->times.page &&
                       x->place.at == b->times.at && x->place.size == b->times.size &&
                       c->end - x->at <= c->ring_samples &&
                       c->ring[x->at % c->ring_samples] == b->min_ms &&
                       c->ring[(x->at + x->count - 1) % c->ring_samples] == b->max_ms;
    if (is_of_block) {
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

/* --- blocks ----------------------------------------------------------------------------------- */

enum sample_kind
block_kind(const struct block_ref *block)
{
    return block->codec == CODEC_FLOAT_V1       ? SAMPLE_FLOAT
           : block->codec == CODEC_HISTOGRAM_V1 ? SAMPLE_HISTOGRAM_INT
                                                : SAMPLE_HISTOGRAM_FLOAT;
}

void
part_note_rollups(struct part_info *info, const struct block_ref *block)
{
    const struct rollup_facts facts = {block->resolution_ms, block->count,
                                       block_bytes_stored(block), block_span(block)};
    rollup_facts_add(info->resolutions, &info->resolution_count, &facts);
    assert(info->resolution_count <= PART_RESOLUTIONS_MAX);
    if (block_kind(block) != SAMPLE_FLOAT) info->histogram_rollup_rows += block->count;
    if (facts.resolution_ms > info->resolution_max_ms)
        info->resolution_max_ms = facts.resolution_ms;
}

static enum err
bad_place(struct part *p, const struct page_place *place, struct why *why)
{
    return why_set(why, ERR_CORRUPT, "%s: page at %" PRIu64 " is damaged: cannot decode an item",
                   p->source.file.path, place->page);
}

static enum err
place_get(struct part *p, const struct page_place *place, enum page_kind kind,
          const struct page **ret_page, struct bytes *ret_bytes, struct why *why)
{
    const struct page *page;
    enum err e = page_get(&p->source, place->page, kind, &page, why);
    if (e) return e;
    if (place->at > page->size || place->size > page->size - place->at) {
        page_release(&p->source, page);
        return bad_place(p, place, why);
    }
    *ret_page = page;
    *ret_bytes = bytes_of(page->at + place->at, place->size);
    return OK;
}

/* Decodes the times of a block. Those of the first samples of rollups follow them, as views of
 * *ret_page. */
static enum err
read_times(struct part *p, const struct block_ref *b, int64_t *ret_times,
           const struct page **ret_page, struct bytes *ret_first_times, struct why *why)
{
    struct bytes bytes;
    enum err e = place_get(p, &b->times, PAGE_TIMES, ret_page, &bytes, why);
    if (e) return e;
    struct cursor cursor = cursor_of(bytes);
    e = codec_int_decode(&cursor, b->count, ret_times);
    if (e == OK && b->resolution_ms == 0 && cursor_left(&cursor) > 0) e = ERR_CORRUPT;
    if (e == OK && (ret_times[0] != b->min_ms || ret_times[b->count - 1] != b->max_ms))
        e = ERR_CORRUPT;
    bool ascends = true;
    for (uint32_t i = 1; i < b->count && e == OK; i++)
        ascends &= ret_times[i] > ret_times[i - 1];
    if (!ascends) e = ERR_CORRUPT;
    if (e) {
        page_release(&p->source, *ret_page);
        return e == ERR_CORRUPT ? bad_place(p, &b->times, why) : e;
    }
    *ret_first_times = bytes_of(cursor.at, cursor_left(&cursor));
    return OK;
}

enum err
block_read_times(struct part *p, const struct block_ref *b, int64_t *ret_times, struct why *why)
{
    const struct page *page;
    struct bytes first_times;
    enum err e = read_times(p, b, ret_times, &page, &first_times, why);
    if (e == OK) page_release(&p->source, page);
    return e;
}

static enum err
read_floats(struct part *p, const struct block_ref *b, uint32_t from, uint32_t until,
            uint64_t *ret_bits, struct why *why)
{
    const struct page *page;
    struct bytes bytes;
    if (b->is_constant) {
        bool stale = b->stats.number_count < b->count;
        codec_constant_fill(b->scale, b->k, stale, b->count, ret_bits);
        return OK;
    }
    enum err e = place_get(p, &b->values, PAGE_VALUES, &page, &bytes, why);
    if (e) return e;
    bool all = from == 0 && until == b->count;
    e = all ? codec_float_decode_from(bytes, b->k, b->count, ret_bits)
            : codec_float_decode_some(bytes, b->k, b->count, from, until, ret_bits);
    page_release(&p->source, page);
    return e == ERR_CORRUPT ? bad_place(p, &b->values, why) : e;
}

static enum err
read_histograms(struct part *p, const struct block_ref *b, struct histogram *ret_histograms,
                struct arena *arena, struct why *why)
{
    const struct page *page;
    struct bytes bytes;
    enum err e = place_get(p, &b->values, PAGE_VALUES, &page, &bytes, why);
    if (e) return e;
    e = codec_histogram_decode(bytes, b->count, arena, ret_histograms);
    if (e == OK && ret_histograms[0].kind != block_kind(b)) e = ERR_CORRUPT;
    page_release(&p->source, page);
    if (e == ERR_LIMIT || e == ERR_NOMEM)
        return why_set(why, ERR_NOMEM, "not enough memory for histograms");
    return e == ERR_CORRUPT ? bad_place(p, &b->values, why) : e;
}

enum err
block_read_columns(struct part *p, const struct block_ref *b, struct hist_columns *ret_columns,
                   struct arena *arena, struct why *why)
{
    const struct page *page;
    struct bytes bytes;
    enum err e = place_get(p, &b->values, PAGE_VALUES, &page, &bytes, why);
    if (e) return e;
    e = codec_histogram_columns(bytes, b->count, arena, ret_columns);
    if (e == OK && ret_columns->layout.kind != block_kind(b)) e = ERR_CORRUPT;
    page_release(&p->source, page);
    if (e == ERR_LIMIT || e == ERR_NOMEM)
        return why_set(why, ERR_NOMEM, "not enough memory for histograms");
    return e == ERR_CORRUPT ? bad_place(p, &b->values, why) : e;
}

enum err
block_read(struct part *part, const struct block_ref *b, int64_t *ret_times, uint64_t *ret_bits,
           int64_t *ret_starts, struct histogram *ret_histograms, struct arena *arena,
           struct why *why)
{
    enum err e = block_read_times(part, b, ret_times, why);
    return e ? e : block_read_values(part, b, ret_bits, ret_starts, ret_histograms, arena, why);
}

static enum err
read_starts(struct part *part, const struct block_ref *b, int64_t *ret_starts, struct why *why)
{
    const struct page *page;
    struct bytes bytes;
    if (!b->has_starts) return OK;
    enum err e = place_get(part, &b->starts, PAGE_VALUES, &page, &bytes, why);
    if (e) return e;
    struct cursor c = cursor_of(bytes);
    e = codec_int_decode(&c, b->count, ret_starts);
    if (e == OK && c.at != c.end) e = ERR_CORRUPT;
    page_release(&part->source, page);
    return e == ERR_CORRUPT ? bad_place(part, &b->starts, why) : e;
}

enum err
block_read_some(struct part *part, const struct block_ref *b, uint32_t from, uint32_t until,
                uint64_t *ret_bits, int64_t *ret_starts, struct why *why)
{
    enum err e = read_floats(part, b, from, until, ret_bits, why);
    return e ? e : read_starts(part, b, ret_starts, why);
}

enum err
block_read_values(struct part *part, const struct block_ref *b, uint64_t *ret_bits,
                  int64_t *ret_starts, struct histogram *ret_histograms, struct arena *arena,
                  struct why *why)
{
    if (b->codec == CODEC_FLOAT_V1)
        return block_read_some(part, b, 0, b->count, ret_bits, ret_starts, why);
    enum err e = read_histograms(part, b, ret_histograms, arena, why);
    return e ? e : read_starts(part, b, ret_starts, why);
}

enum err
block_read_rollups(struct part *part, const struct block_ref *b, enum rollup_use use,
                   int64_t *ret_times, uint64_t *ret_bits, struct rollup *ret_rollups,
                   uint32_t *ret_count, struct why *why)
{
    const struct page *times_page, *page;
    struct bytes first_times, bytes;
    assert(b->resolution_ms > 0);
    if (block_kind(b) != SAMPLE_FLOAT) return bad_place(part, &b->rollups, why);
    enum err e = read_times(part, b, ret_times, &times_page, &first_times, why);
    if (e) return e;
    e = read_floats(part, b, 0, b->count, ret_bits, why);
    if (e == OK) e = place_get(part, &b->rollups, PAGE_VALUES, &page, &bytes, why);
    if (e == OK) {
        e = codec_rollups_decode(first_times, bytes, b->resolution_ms, use, ret_times, ret_bits,
                                 b->count, ret_rollups, ret_count);
        page_release(&part->source, page);
    }
    page_release(&part->source, times_page);
    return e == ERR_CORRUPT ? bad_place(part, &b->rollups, why) : e;
}

enum err
block_read_histogram_rollups(struct part *part, const struct block_ref *b, int64_t *ret_times,
                             struct arena *arena, struct histogram_rollup *ret_rollups,
                             uint32_t *ret_count, struct why *why)
{
    const struct page *times_page, *page;
    struct bytes first_times, bytes;
    assert(b->resolution_ms > 0);
    struct histogram *rows = arena_alloc(arena, b->count * sizeof *rows);
    if (rows == NULL) return why_set(why, ERR_NOMEM, "not enough memory for histograms");
    enum err e = read_times(part, b, ret_times, &times_page, &first_times, why);
    if (e) return e;
    e = read_histograms(part, b, rows, arena, why);
    if (e == OK) e = place_get(part, &b->rollups, PAGE_VALUES, &page, &bytes, why);
    if (e == OK) {
        e = codec_histogram_rollups_decode(first_times, bytes, b->resolution_ms, ret_times, rows,
                                           b->count, arena, ret_rollups, ret_count);
        page_release(&part->source, page);
    }
    page_release(&part->source, times_page);
    if (e == ERR_LIMIT || e == ERR_NOMEM)
        return why_set(why, ERR_NOMEM, "not enough memory for histograms");
    return e == ERR_CORRUPT ? bad_place(part, &b->rollups, why) : e;
}

enum err
block_hold(struct part *part, const struct block_ref *b, struct block_bytes *ret_bytes,
           struct why *why)
{
    struct block_bytes x = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, NULL, NULL}};
    enum err e = place_get(part, &b->times, PAGE_TIMES, &x.pages[0], &x.times, why);
    if (e == OK && !b->is_constant)
        e = place_get(part, &b->values, PAGE_VALUES, &x.pages[1], &x.values, why);
    if (e == OK && block_has_third(b))
        e = place_get(part, &b->starts, PAGE_VALUES, &x.pages[2], &x.third, why);
    if (e) {
        block_release(part, &x);
        return e;
    }
    *ret_bytes = x;
    return OK;
}

void
block_release(struct part *part, const struct block_bytes *bytes)
{
    for (unsigned i = 0; i < 3; i++)
        page_release(&part->source, bytes->pages[i]);
}
