/*
 * interleave.c - the merge; see interleave.h. Items are sorted by their first time; one is decoded
 * into a slot when its time comes, and the slot is reused when all its samples are returned. While
 * one slot alone covers the current time its arrays are shown as they are; only where slots overlap
 * are samples picked one by one. Some items are returned without being decoded.
 *
 * Active slots are a list in the order of arrival, so that the first with the least time wins: the
 * others lose their sample of that time, counted as duplicate or superseded. A heap by time would
 * not help: each sample has to visit all slots anyway that hold its time, and mostly one or two are
 * active, since sources overlap at their borders only.
 *
 * Spent slots are kept until the next call, because the last batch shows their arrays, and are then
 * reused: a series of many blocks takes the memory of those that overlap.
 *
 * Invariants, from interleave_begin() on:
 *  1. A slot is in exactly one of the lists active, spent, idle.
 *  2. Active slots have samples left (at < count) and are sorted by order. Times in a slot ascend:
 *     block_read_times() verifies those of blocks.
 *  3. The items from next_item on are sorted by first time, then order; those before are decoded,
 *     or were shown without being decoded.
 *  4. No item from next_item on begins before the last time returned, and times returned do not
 *     descend: fill() decodes every item that may hold the next sample first.
 */
#include "tsdb/read/interleave.h"
#include "base/array.h"
#include "base/mem.h"
#include "tsdb/part/part.h"
#include "tsdb/part/walk.h"
#include "wire/remote/remote_read.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- items: chunks and late samples of the head, blocks and bundles of parts -------------------
 */

enum {
    SLOT_SAMPLES_MIN = 32,
    SLOT_SAMPLE_BYTES = 3 * sizeof(int64_t),
    SLOT_HISTOGRAM_BYTES = sizeof(struct histogram) + 1,
};

struct interleave_item *
interleave_add(struct interleave *m)
{
    if (!array_reserve(m->budget, &m->items, &m->item_capacity, m->item_count + 1)) return NULL;
    struct interleave_item *item = &m->items[m->item_count++];
    *item = (struct interleave_item){0};
    return item;
}

static enum err
add_chunk(struct interleave *m, enum sample_kind kind, int64_t min_ms, int64_t max_ms,
          struct bytes bytes, uint32_t count, uint32_t order)
{
    struct interleave_item *item = interleave_add(m);
    if (item == NULL) return ERR_NOMEM;
    item->type = PIECE_CHUNK;
    item->kind = (uint8_t)kind;
    item->min_ms = min_ms;
    item->max_ms = max_ms;
    item->order = order;
    item->count = count;
    item->chunk = bytes;
    return OK;
}

static bool
outside(const struct interleave *m, int64_t min_ms, int64_t max_ms)
{
    return max_ms < m->min_ms || min_ms > m->max_ms;
}

static enum err
add_open(struct interleave *m, const struct gen *gen, const struct gen_series *s, uint32_t epoch,
         uint32_t order)
{
    const struct hchunk_open *o = &s->open;
    if (o->count == 0 || outside(m, hchunk_first_ms(o), o->last_ms)) return OK;
    uint32_t visible = gen_open_visible(gen, s, epoch);
    if (visible == 0) return OK;
    struct bytes copy = arena_copy(&m->items_arena, bytes_of(o->bytes, o->size_bytes));
    if (copy.at == NULL) return ERR_NOMEM;
    return add_chunk(m, (enum sample_kind)o->kind, hchunk_first_ms(o), o->last_ms, copy, visible,
                     order);
}

static enum err
add_late(struct interleave *m, const struct late *late, uint32_t epoch, uint32_t order)
{
    if (late == NULL || late->count == 0) return OK;
    uint32_t first = late_from(late, m->min_ms), end = first, count = 0;
    while (end < late->count && late->samples[end].t_ms <= m->max_ms)
        count += (int32_t)(late->samples[end++].epoch - epoch) <= 0;
    if (count == 0) return OK;
    struct late_sample *copy = arena_alloc(&m->items_arena, count * sizeof *copy);
    if (copy == NULL) return ERR_NOMEM;
    uint32_t n = 0;
    for (uint32_t i = first; i < end; i++) {
        if ((int32_t)(late->samples[i].epoch - epoch) > 0) continue;
        struct late_sample *l = &copy[n++]; /* sealing frees the buffer's histograms */
        *l = late->samples[i];
        if (l->histogram == NULL) continue;
        struct histogram *h = arena_alloc(&m->items_arena, sizeof *h);
        if (h == NULL || histogram_copy(l->histogram, &m->items_arena, h)) return ERR_NOMEM;
        l->histogram = h;
    }
    struct interleave_item *item = interleave_add(m);
    if (item == NULL) return ERR_NOMEM;
    item->type = PIECE_LATE;
    item->min_ms = copy[0].t_ms;
    item->max_ms = copy[count - 1].t_ms;
    item->order = order;
    item->count = count;
    item->late = copy;
    return OK;
}

enum err
interleave_add_series(struct interleave *m, const struct gen *gen, const struct gen_series *s,
                      uint32_t epoch, uint32_t order)
{
    enum err e = add_open(m, gen, s, epoch, order);
    if (e || s->past == NULL) return e;
    e = add_late(m, s->past->late, epoch, order);
    for (const struct hchunk *c = s->past->sealed; c != NULL && e == OK; c = c->next) {
        if (outside(m, c->min_ms, c->max_ms)) continue;
        uint32_t visible = gen_sealed_visible(gen, s, c, epoch);
        if (visible == 0) continue;
        e = add_chunk(m, (enum sample_kind)c->kind, c->min_ms, c->max_ms,
                      bytes_of(c->bytes, c->size_bytes), visible, order);
    }
    return e;
}

/* --- costs ------------------------------------------------------------------------------------ */

/* Bytes that are read to decode the item. Times that several series share are counted for each. */
static uint64_t
item_bytes(const struct interleave_item *item)
{
    const struct block_ref *b = item->block.ref;
    uint64_t bytes = 0;
    switch ((enum piece_type)item->type) {
    case PIECE_CHUNK:
        return item->chunk.size;
    case PIECE_LATE:
        return item->count * sizeof *item->late;
    case PIECE_BLOCK:
    case PIECE_ROLLUPS:
        return block_bytes_stored(b);
    case PIECE_BUNDLE:
        break;
    }
    for (uint32_t i = 0; i < b->bundled; i++)
        bytes += block_bytes_stored(&b[i]);
    return bytes;
}

static uint64_t
item_blocks(const struct interleave_item *item)
{
    return item->type == PIECE_BUNDLE ? item->block.ref->bundled : 1;
}

struct series_cost
interleave_item_cost(const struct interleave_item *item, int64_t min_ms, int64_t max_ms)
{
    int64_t from_ms = item->min_ms > min_ms ? item->min_ms : min_ms;
    int64_t to_ms = item->max_ms < max_ms ? item->max_ms : max_ms;
    double all = (double)item->max_ms - (double)item->min_ms, share = 1;
    if (all > 0) share = ((double)to_ms - (double)from_ms) / all;
    return (struct series_cost){.blocks = item_blocks(item),
                                .samples = 1 + (uint64_t)(share * (item->count - 1)),
                                .bytes = item_bytes(item)};
}

enum err
interleave_count_read(struct interleave *m, const struct interleave_item *item, struct why *why)
{
    uint64_t bytes = item_bytes(item);
    m->read.blocks += item_blocks(item);
    m->read.bytes += bytes;
    return query_control_add_bytes(m->control, bytes, why);
}

/* --- slots ------------------------------------------------------------------------------------ */

/* The capacity for `count` items: a power of two. */
static uint32_t
room_for(uint32_t count)
{
    uint32_t room = SLOT_SAMPLES_MIN;
    while (room < count)
        room *= 2;
    return room;
}

static enum err
slot_room(struct interleave *m, struct interleave_slot *s, uint32_t count)
{
    if (s->capacity >= count) return OK;
    uint32_t capacity = room_for(count);
    int64_t *memory = mem_alloc(m->budget, (size_t)capacity * SLOT_SAMPLE_BYTES);
    if (memory == NULL) return ERR_NOMEM;
    mem_free(m->budget, s->times, (size_t)s->capacity * SLOT_SAMPLE_BYTES);
    s->capacity = capacity;
    s->times = memory;
    s->starts = s->times + capacity;
    s->bits = (uint64_t *)(s->starts + capacity);
    return OK;
}

static enum err
slot_histogram_room(struct interleave *m, struct interleave_slot *s, uint32_t count)
{
    if (s->histogram_capacity >= count) return OK;
    uint32_t capacity = room_for(count);
    struct histogram *memory = mem_alloc(m->budget, (size_t)capacity * SLOT_HISTOGRAM_BYTES);
    if (memory == NULL) return ERR_NOMEM;
    mem_free(m->budget, s->histograms, (size_t)s->histogram_capacity * SLOT_HISTOGRAM_BYTES);
    s->histogram_capacity = capacity;
    s->histograms = memory;
    s->kinds = (uint8_t *)(s->histograms + capacity);
    return OK;
}

/* True if the item may be read as columns: no single sample of it is left out. */
static bool
shows_columns(const struct interleave *m, const struct interleave_item *item)
{
    return m->chunks && m->level_count == 0 && item->type == PIECE_BLOCK &&
           item->kind != SAMPLE_FLOAT && item->hidden_count == 0 &&
           item->min_ms >= m->expired_before_ms;
}

static enum err
slot_get(struct interleave *m, const struct interleave_item *item,
         struct interleave_slot **ret_slot)
{
    struct interleave_slot *s = m->idle;
    if (s != NULL) {
        m->idle = s->next;
    } else {
        s = mem_new(m->budget, sizeof *s);
        if (s == NULL) return ERR_NOMEM;
        arena_init(&s->arena, m->budget, 0, 0);
    }
    s->next = NULL;
    arena_reset(&s->arena);
    bool histograms = item->type == PIECE_LATE || item->kind != SAMPLE_FLOAT;
    enum err e = slot_room(m, s, item->count);
    if (e == OK && histograms && !shows_columns(m, item))
        e = slot_histogram_room(m, s, item->count);
    if (e) {
        s->next = m->idle;
        m->idle = s;
        return e;
    }
    *ret_slot = s;
    return OK;
}

/* --- decoding --------------------------------------------------------------------------------- */

/* Reads the times of a block. After some blocks a cache is made: series share times. */
static enum err
read_times(struct interleave *m, struct part *part, const struct block_ref *b, int64_t *ret_times,
           struct why *why)
{
    enum { BLOCKS_BEFORE = 16, BLOCKS_KEPT = 128, SAMPLES_MAX = 256 * 1024 };
    if (m->times != NULL) return times_cache_read(m->times, part, b, ret_times, why);
    if (b->count > m->block_samples_most) m->block_samples_most = b->count;
    if (++m->blocks_read >= BLOCKS_BEFORE) {
        uint32_t samples = m->block_samples_most * BLOCKS_KEPT;
        if (samples > SAMPLES_MAX) samples = SAMPLES_MAX;
        enum err e = times_cache_new(m->budget, samples, &m->times);
        if (e) return why_set(why, e, "not enough memory to read samples");
    }
    return block_read_times(part, b, ret_times, why);
}

/* Skips the samples outside of the range. */
static void
slot_limit(const struct interleave *m, struct interleave_slot *s)
{
    s->at = slot_from(s, 0, s->count, m->min_ms);
    if (m->max_ms < INT64_MAX) s->count = slot_from(s, s->at, s->count, m->max_ms + 1);
}

static enum err
decode(struct interleave *m, uint32_t index, struct interleave_slot *s, struct why *why)
{
    const struct interleave_item *item = &m->items[index];
    s->order = item->order;
    s->at = 0;
    s->count = item->count;
    s->item = index;
    s->in_columns = shows_columns(m, item);
    s->mixed = item->type == PIECE_LATE;
    s->kind = (enum sample_kind)item->kind;
    enum err e = interleave_count_read(m, item, why);
    if (e) return e;
    if (item->type == PIECE_CHUNK) {
        return hchunk_unpack(s->kind, item->chunk, item->count, &s->arena, s->times, s->starts,
                             s->bits, s->histograms, &s->has_starts);
    }
    if (item->type == PIECE_LATE) {
        s->has_starts = false;
        for (uint32_t i = 0; i < item->count; i++) {
            const struct late_sample *l = &item->late[i];
            s->times[i] = l->t_ms;
            s->bits[i] = l->bits;
            s->starts[i] = l->start_ms;
            s->has_starts |= l->start_ms != 0;
            s->kinds[i] = SAMPLE_FLOAT;
            if (l->histogram == NULL) continue;
            s->histograms[i] = *l->histogram;
            s->kinds[i] = (uint8_t)l->histogram->kind;
        }
        return OK;
    }
    s->has_starts = item->block.ref->has_starts;
    struct part *part = item->block.part;
    const struct block_ref *b = item->block.ref;
    e = read_times(m, part, b, s->times, why);
    if (e) return e;
    if (item->kind == SAMPLE_FLOAT) {
        slot_limit(m, s);
        if (s->at == s->count) return OK;
        if (m->times_only && m->level_count == 0 && block_has_numbers(b)) {
            memset(s->bits + s->at, 0, (s->count - s->at) * sizeof *s->bits);
            s->has_starts = false;
            return OK;
        }
        return block_read_some(part, b, s->at, s->count, s->bits, s->starts, why);
    }
    if (s->in_columns) {
        s->has_starts = false; /* batches of columns have no start times */
        return block_read_columns(part, b, &s->columns, &s->arena, why);
    }
    return block_read_values(part, b, s->bits, s->starts, s->histograms, &s->arena, why);
}

static void
slot_copy(struct interleave_slot *s, uint32_t to, uint32_t from)
{
    enum sample_kind kind = slot_kind(s, from);
    s->times[to] = s->times[from];
    if (s->has_starts) s->starts[to] = s->starts[from];
    if (kind == SAMPLE_FLOAT)
        s->bits[to] = s->bits[from];
    else
        s->histograms[to] = s->histograms[from];
    if (s->mixed) s->kinds[to] = (uint8_t)kind;
}

/* Removes samples that are deleted or expired, before samples at one time are compared. */
static void
slot_hide(struct interleave *m, const struct interleave_item *item, struct interleave_slot *s)
{
    if (item->hidden_count == 0 && s->times[s->at] >= m->expired_before_ms) return;
    uint32_t kept = s->at;
    for (uint32_t i = s->at; i < s->count; i++) {
        enum ledger_kind kind = ledger_kind_of(slot_kind(s, i));
        if (ranges_hold(item->hidden, item->hidden_count, s->times[i])) {
            m->deleted_count[kind]++;
        } else if (s->times[i] < m->expired_before_ms) {
            m->expired_count[kind]++;
        } else {
            if (kept < i) slot_copy(s, kept, i);
            kept++;
        }
    }
    s->count = kept;
}

/*
 * Decodes an item into an idle slot: its samples within the range that are neither deleted nor
 * expired. The slot is in no list; NULL if no sample is left, or on error.
 * ERR_NOMEM, ERR_CORRUPT; errors of reading and of query_control.
 */
static MUST_CHECK enum err
interleave_decode(struct interleave *m, uint32_t index, struct interleave_slot **ret_slot,
                  struct why *why)
{
    const struct interleave_item *item = &m->items[index];
    struct interleave_slot *s;
    enum err e = slot_get(m, item, &s);
    if (e) return why_set(why, e, "not enough memory to read samples");
    struct why reason;
    reason.text[0] = '\0';
    reason.trouble = 0;
    e = decode(m, index, s, &reason);
    if (e && reason.text[0] == '\0') why_set(&reason, e, "not enough memory to read samples");
    if (e && why != NULL) *why = reason;
    if (e == OK) slot_limit(m, s);
    if (e == OK && s->at < s->count) slot_hide(m, item, s);
    if (e == OK && s->at < s->count) {
        *ret_slot = s;
        return OK;
    }
    s->next = m->idle;
    m->idle = s;
    *ret_slot = NULL;
    return e;
}

/* Reads blocks that were read as columns again, as samples that can be picked one by one. */
static MUST_CHECK enum err
interleave_leave_columns(struct interleave *m, struct why *why)
{
    for (struct interleave_slot *s = m->active; s != NULL; s = s->next) {
        if (!s->in_columns) continue;
        const struct interleave_item *item = &m->items[s->item];
        const struct block_ref *b = item->block.ref;
        enum err e = slot_histogram_room(m, s, b->count);
        if (e) return why_set(why, e, "not enough memory to read samples");
        arena_reset(&s->arena);
        s->has_starts = b->has_starts;
        e = block_read_values(item->block.part, b, s->bits, s->starts, s->histograms, &s->arena,
                              why);
        if (e) return e;
        s->in_columns = false;
    }
    return OK;
}

/* --- bundles ---------------------------------------------------------------------------------- */

enum {
    CHUNK_BYTES = 16 * 1024, /* a chunk that is larger ends: a frame holds many chunks */
    NUMBER_BITS = 31,        /* for the number of a block in its row */
};

/* Makes bundles, and holds the last one. Invariant: at most one page is held, of `source`. */
struct bundles {
    struct budget *budget;
    struct histogram_chunks *chunks;
    struct arena arena; /* for one block */
    struct buf made;
    struct page_source *source; /* source of `page` */
    const struct page *page;    /* held; NULL if the last bundle was not in the cache */
};

static enum err
take_chunk(void *context, const struct histogram_chunk *chunk, struct why *why)
{
    struct buf *made = context;
    (void)why;
    rr_chunk_put(made, chunk->type, chunk->min_ms, chunk->max_ms, chunk->data);
    return buf_error(made);
}

static void
let_go(struct bundles *b)
{
    if (b->page != NULL) page_release(b->source, b->page);
    b->page = NULL;
}

static void
bundles_free(struct bundles *b)
{
    if (b == NULL) return;
    let_go(b);
    histogram_chunks_free(b->chunks);
    arena_fini(&b->arena);
    buf_fini(&b->made);
    mem_free(b->budget, b, sizeof *b);
}

static MUST_CHECK enum err
bundles_new(struct budget *budget, struct bundles **ret_bundles)
{
    struct bundles *b = mem_new(budget, sizeof *b);
    if (b == NULL) return ERR_NOMEM;
    b->budget = budget;
    arena_init(&b->arena, budget, 0, 0);
    buf_init(&b->made, budget, PAGE_BYTES_MAX);
    enum err e = histogram_chunks_new(budget, CHUNK_BYTES, take_chunk, &b->made, &b->chunks);
    if (e) {
        bundles_free(b);
        return e;
    }
    *ret_bundles = b;
    return OK;
}

/*
 * Gives the chunks (as rr_chunk_put() writes them) of the first->bundled blocks of that row of the
 * part; a view until the next call. After an error, which has no text because reading the blocks
 * will return it, only bundles_free() may be called.
 */
static MUST_CHECK enum err
bundles_get(struct bundles *b, struct part *part, uint32_t row, const struct block_ref *first,
            struct bytes *ret_chunks)
{
    uint64_t number = (uint64_t)row << NUMBER_BITS | first->number;
    assert(first->bundled > 0);
    let_go(b);
    b->source = &part->source;
    b->page = page_find_made(b->source, number);
    if (b->page != NULL) {
        *ret_chunks = bytes_of(b->page->at, b->page->size);
        return OK;
    }
    buf_clear(&b->made);
    enum err e = OK;
    for (uint32_t i = 0; i < first->bundled && e == OK; i++) {
        const struct block_ref *block = &first[i];
        struct hist_columns columns;
        arena_reset(&b->arena);
        int64_t *times_ms = arena_alloc(&b->arena, block->count * sizeof *times_ms);
        e = times_ms == NULL ? ERR_NOMEM : block_read_times(part, block, times_ms, NULL);
        if (e == OK) e = block_read_columns(part, block, &columns, &b->arena, NULL);
        if (e) break;
        e = histogram_chunks_put_columns(b->chunks, &columns, 0, block->count, times_ms, NULL);
    }
    if (e == OK) e = histogram_chunks_end(b->chunks, NULL);
    if (e) return e;
    page_keep_made(b->source, number, buf_bytes(&b->made));
    *ret_chunks = buf_bytes(&b->made);
    return OK;
}

/* --- items that are not decoded --------------------------------------------------------------- */

/*
 * A block that overlaps no other item, is wholly in the range and has no deletions may be answered
 * by its statistics. Histograms of such a block may be returned as columns, and a run of them as
 * chunks that were made before (a bundle). A bundle that overlaps another item is split into its
 * blocks; columns of a block are then read again as samples.
 */

static int
by_time_then_order(const void *a, const void *b)
{
    const struct interleave_item *x = a, *y = b;
    bool x_level = x->type == PIECE_ROLLUPS, y_level = y->type == PIECE_ROLLUPS;
    if (x_level != y_level) return x_level ? -1 : 1;
    if (x->min_ms != y->min_ms) return x->min_ms < y->min_ms ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order); /* one order has each time once */
}

/* Sorts items: rollups first, then by first time, then order. */
static void
interleave_sort(struct interleave_item *items, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (by_time_then_order(&items[i - 1], &items[i]) <= 0) continue;
        qsort(items, count, sizeof *items, by_time_then_order);
        return;
    }
}

/* The next item, if it is of this type and overlaps no other. */
static const struct interleave_item *
lone_item(const struct interleave *m, enum piece_type type)
{
    if (m->active != NULL || m->next_item == m->item_count) return NULL;
    const struct interleave_item *item = &m->items[m->next_item];
    bool lone = m->next_item + 1 == m->item_count || item[1].min_ms > item->max_ms;
    return lone && item->type == type ? item : NULL;
}

/*
 * Fills a summary from the statistics of a block, if they have what is wanted. They do not have the
 * sign of a zero, unless all values are one, or the least is the first of them.
 */
static bool
summarize(const struct block_ref *b, unsigned wanted, struct sample_summary *ret)
{
    const struct codec_stats *s = &b->stats;
    bool climbs = s->reset_count == 0;
    if (!block_has_numbers(b)) return false;
    if (b->codec != CODEC_FLOAT_V1 && wanted != SUMMARY_COUNT) return false;
    *ret = (struct sample_summary){.min_ms = b->min_ms, .max_ms = b->max_ms};
    if (wanted & SUMMARY_EXTREMES) {
        if (!b->is_constant && (s->max == 0 || (s->min == 0 && !climbs))) return false;
        ret->least = s->min;
        ret->greatest = s->max;
    }
    if (wanted & SUMMARY_ENDS) {
        if (!climbs) return false;
        ret->first = s->first;
        ret->last = s->last;
    }
    return true;
}

/* Returns the next item as a summary, if its statistics say what is wanted. */
static bool
interleave_show_summary(struct interleave *m, struct sample_batch *ret)
{
    const struct interleave_item *item = lone_item(m, PIECE_BLOCK);
    if (item == NULL || item->hidden_count > 0) return false;
    if (item->min_ms < m->min_ms || item->max_ms > m->max_ms) return false;
    if (item->min_ms < m->expired_before_ms) return false;
    if (!query_windows_keep(&m->windows, item->min_ms, item->max_ms)) return false;
    if (!summarize(item->block.ref, m->summaries, &m->summary)) return false;
    *ret = (struct sample_batch){
        .kind = (enum sample_kind)item->kind, .count = item->count, .summary = &m->summary};
    m->next_item++;
    return true;
}

/* Returns the next item as chunks. False if it is not a bundle, or its chunks cannot be made:
 * reading block by block will return the error. */
static bool
interleave_show_bundle(struct interleave *m, struct sample_batch *ret)
{
    const struct interleave_item *item = lone_item(m, PIECE_BUNDLE);
    if (item == NULL) return false;
    if (m->bundles == NULL && bundles_new(m->budget, &m->bundles)) return false;
    struct bytes chunks;
    if (bundles_get(m->bundles, item->block.part, item->block.row, item->block.ref, &chunks)) {
        bundles_free(m->bundles);
        m->bundles = NULL;
        return false;
    }
    *ret = (struct sample_batch){
        .kind = (enum sample_kind)item->kind, .count = item->count, .chunks = chunks};
    m->next_item++;
    return true;
}

/* Replaces the next item, a bundle that overlaps another item, by its blocks. ERR_NOMEM. */
static MUST_CHECK enum err
interleave_split_bundle(struct interleave *m)
{
    const struct interleave_item bundle = m->items[m->next_item];
    assert(bundle.type == PIECE_BUNDLE);
    const struct block_ref *b = bundle.block.ref;
    uint32_t count = m->item_count;
    while (m->item_count < count + b->bundled - 1) {
        if (interleave_add(m) != NULL) continue;
        m->item_count = count;
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < b->bundled; i++) {
        struct interleave_item *item = &m->items[i == 0 ? m->next_item : count + i - 1];
        *item = bundle;
        item->type = PIECE_BLOCK;
        item->min_ms = b[i].min_ms;
        item->max_ms = b[i].max_ms;
        item->count = b[i].count;
        item->block.ref = &b[i];
    }
    interleave_sort(m->items + m->next_item, m->item_count - m->next_item);
    return OK;
}

/* --- the merge -------------------------------------------------------------------------------- */

enum { OUT_SAMPLES = 512, SAMPLES_BETWEEN_CHECKS = 64 * 1024 };

/* Samples that were picked one by one, for a batch. */
struct sample_batch_memory {
    int64_t times[OUT_SAMPLES];
    uint64_t bits[OUT_SAMPLES];
    int64_t starts[OUT_SAMPLES];
    struct histogram *histograms; /* OUT_SAMPLES, made when the first one comes */
};

enum { OUT_HISTOGRAM_BYTES = OUT_SAMPLES * sizeof(struct histogram) };

void
interleave_init(struct interleave *m, struct budget *budget, struct query_control *control)
{
    *m = (struct interleave){.budget = budget, .control = control};
    m->unchecked_samples = SAMPLES_BETWEEN_CHECKS; /* the first call looks */
    arena_init(&m->items_arena, budget, 0, 8 * 1024);
    warnings_init(&m->warnings, budget);
}

static void
slots_move(struct interleave_slot **from, struct interleave_slot **to)
{
    while (*from != NULL) {
        struct interleave_slot *s = *from;
        *from = s->next;
        s->next = *to;
        *to = s;
    }
}

void
interleave_fini(struct interleave *m)
{
    slots_move(&m->active, &m->idle);
    slots_move(&m->spent, &m->idle);
    for (struct interleave_slot *s = m->idle, *next; s != NULL; s = next) {
        next = s->next;
        arena_fini(&s->arena);
        mem_free(m->budget, s->times, (size_t)s->capacity * SLOT_SAMPLE_BYTES);
        mem_free(m->budget, s->histograms, (size_t)s->histogram_capacity * SLOT_HISTOGRAM_BYTES);
        mem_free(m->budget, s, sizeof *s);
    }
    array_free(m->budget, m->items, m->item_capacity);
    if (m->out != NULL) {
        mem_free(m->budget, m->out->histograms, OUT_HISTOGRAM_BYTES);
        mem_free(m->budget, m->out, sizeof *m->out);
    }
    interleave_levels_free(m);
    times_cache_free(m->times);
    bundles_free(m->bundles);
    arena_fini(&m->items_arena);
    warnings_fini(&m->warnings);
}

void
interleave_reset(struct interleave *m, int64_t min_ms, int64_t max_ms, bool partial)
{
    slots_move(&m->active, &m->idle);
    slots_move(&m->spent, &m->idle);
    interleave_levels_reset(m);
    arena_reset(&m->items_arena);
    m->item_count = 0;
    m->next_item = 0;
    m->min_ms = min_ms;
    m->max_ms = max_ms;
    m->shown_ms = INT64_MIN;
    m->expired_before_ms = INT64_MIN;
    m->partial = partial;
}

void
interleave_begin(struct interleave *m)
{
    assert(m->active == NULL); /* invariant 1 */
    assert(m->next_item == 0); /* invariant 3 */
    interleave_sort(m->items, m->item_count);
    while (m->level_count < m->item_count && m->items[m->level_count].type == PIECE_ROLLUPS)
        m->level_count++;
    m->next_item = m->level_count;
}

/* Decodes the next item. With `partial` a damaged block is left out with a warning. */
static enum err
take_item(struct interleave *m, struct why *why)
{
    struct interleave_slot *s = NULL;
    struct why reason;
    enum err e = interleave_decode(m, m->next_item, &s, &reason);
    m->failed_item = m->next_item;
    if (e == ERR_CORRUPT && m->partial) {
        e = warnings_add(&m->warnings, &reason);
        if (e) why_set(&reason, e, "not enough memory for warnings about damage");
    }
    if (e) {
        if (why != NULL) *why = reason;
        return e; /* the next call tries the item again */
    }
    m->next_item++;
    if (s == NULL) return OK;
    assert(s->at < s->count);               /* invariant 2 */
    assert(s->times[s->at] >= m->shown_ms); /* invariant 4 */
    struct interleave_slot **link = &m->active;
    while (*link != NULL && (*link)->order <= s->order)
        link = &(*link)->next;
    s->next = *link;
    *link = s;
    assert(s->next == NULL || s->order < s->next->order); /* invariant 2 */
    return OK;
}

/* Decodes every item that may hold the next sample. */
static enum err
fill(struct interleave *m, struct why *why)
{
    while (m->next_item < m->item_count) {
        int64_t first = INT64_MAX;
        for (struct interleave_slot *s = m->active; s != NULL; s = s->next)
            if (s->times[s->at] < first) first = s->times[s->at];
        if (m->active != NULL && m->items[m->next_item].min_ms > first) return OK;
        if (m->items[m->next_item].min_ms > m->max_ms) return OK;
        if (m->items[m->next_item].type == PIECE_BUNDLE && interleave_split_bundle(m))
            return why_set(why, ERR_NOMEM, "not enough memory to read samples");
        enum err e = take_item(m, why);
        if (e) return e;
    }
    return OK;
}

static void
drop_spent(struct interleave *m)
{
    for (struct interleave_slot **link = &m->active; *link != NULL;) {
        struct interleave_slot *s = *link;
        if (s->at < s->count) {
            link = &s->next;
            continue;
        }
        *link = s->next;
        s->next = m->spent;
        m->spent = s;
    }
}

static enum err
out_room(struct interleave *m, enum sample_kind kind)
{
    if (m->out == NULL) {
        m->out = mem_alloc(m->budget, sizeof *m->out);
        if (m->out == NULL) return ERR_NOMEM;
        m->out->histograms = NULL;
    }
    if (kind == SAMPLE_FLOAT || m->out->histograms != NULL) return OK;
    m->out->histograms = mem_alloc(m->budget, OUT_HISTOGRAM_BYTES);
    return m->out->histograms == NULL ? ERR_NOMEM : OK;
}

static void
take_sample(struct interleave *m, struct interleave_slot *best, uint32_t n, bool *has_starts)
{
    struct sample_batch_memory *out = m->out;
    uint32_t i = best->at;
    /* `best` has the least time, and arrived first: others lose their sample of that time. */
    for (struct interleave_slot *s = m->active; s != NULL; s = s->next) {
        if (s == best || s->times[s->at] != best->times[best->at]) continue;
        enum sample_kind kind = slot_kind(s, s->at);
        bool same = kind == slot_kind(best, best->at) &&
                    (kind == SAMPLE_FLOAT
                         ? s->bits[s->at] == best->bits[best->at]
                         : histogram_equal(&best->histograms[best->at], &s->histograms[s->at]));
        if (same)
            m->duplicate_count[ledger_kind_of(kind)]++;
        else
            m->superseded_count[ledger_kind_of(kind)]++;
        s->at++;
    }
    out->times[n] = best->times[i];
    out->starts[n] = best->has_starts ? best->starts[i] : 0;
    *has_starts |= out->starts[n] != 0;
    if (slot_kind(best, i) == SAMPLE_FLOAT)
        out->bits[n] = best->bits[i];
    else
        out->histograms[n] = best->histograms[i];
    best->at++;
    drop_spent(m);
}

/*
 * Picks samples one by one, until one slot is alone again. An error loses no sample: those gathered
 * so far are returned first, and the next call returns the error.
 */
static enum err
gather(struct interleave *m, struct sample_batch *ret, struct why *why)
{
    enum sample_kind kind = SAMPLE_FLOAT;
    bool has_starts = false;
    uint32_t n = 0;
    while (n < OUT_SAMPLES) {
        /* The next item may begin before the samples left in the slots. */
        enum err e = fill(m, why);
        if (e == OK) e = interleave_leave_columns(m, why);
        if (e && n == 0) return e;
        if (e) break;
        struct interleave_slot *s = m->active;
        for (struct interleave_slot *other = s; other != NULL; other = other->next)
            if (other->times[other->at] < s->times[s->at]) s = other;
        if (s == NULL) break;
        if (n > 0 && slot_kind(s, s->at) != kind) break;
        kind = slot_kind(s, s->at);
        e = out_room(m, kind);
        if (e) return why_set(why, e, "not enough memory to read samples");
        take_sample(m, s, n++, &has_starts);
        if (m->active != NULL && m->active->next == NULL) break;
        if (m->active == NULL) break;
    }
    assert(n > 0);
    *ret = (struct sample_batch){
        .kind = kind,
        .count = n,
        .times_ms = m->out->times,
        .value_bits = kind == SAMPLE_FLOAT ? m->out->bits : NULL,
        .histograms = kind == SAMPLE_FLOAT ? NULL : m->out->histograms,
        .starts_ms = has_starts ? m->out->starts : NULL,
    };
    return OK;
}

/* Checks limits and deadline now and then: reading the clock costs as much as a short block. */
static enum err
check_control(struct interleave *m, struct why *why)
{
    enum { SAMPLES_A_CALL = 1024 };
    uint32_t next = m->next_item < m->item_count ? m->items[m->next_item].count : 0;
    m->unchecked_samples += SAMPLES_A_CALL + next;
    if (m->unchecked_samples < SAMPLES_BETWEEN_CHECKS) return OK;
    m->unchecked_samples = 0;
    return query_control_check(m->control, why);
}

static enum err
next_batch(struct interleave *m, struct sample_batch *ret_batch, struct why *why)
{
    slots_move(&m->spent, &m->idle);
    drop_spent(m);
    slots_move(&m->spent, &m->idle);
    enum err e = m->control == NULL ? OK : check_control(m, why);
    if (e) return e;
    bool unread = m->level_count == 0; /* samples may have to be joined with windows */
    if (unread && m->summaries != 0 && interleave_show_summary(m, ret_batch)) return OK;
    if (unread && interleave_show_bundle(m, ret_batch))
        return interleave_count_read(m, &m->items[m->next_item - 1], why);
    e = fill(m, why);
    if (e) return e;
    struct interleave_slot *s = m->active;
    if (s == NULL) {
        *ret_batch = (struct sample_batch){.count = 0};
        return OK;
    }
    bool lone = s->next == NULL &&
                (m->next_item == m->item_count || m->items[m->next_item].min_ms > s->times[s->at]);
    if (!lone) return gather(m, ret_batch, why);
    /* The samples of the lone slot before the next item begins: at least one. */
    uint32_t end = s->count, at = s->at;
    if (m->next_item < m->item_count)
        end = slot_from(s, at + 1, end, m->items[m->next_item].min_ms);
    enum sample_kind kind = slot_kind(s, at);
    for (uint32_t i = at + 1; i < end && s->mixed; i++)
        if (slot_kind(s, i) != kind) end = i;
    assert(end > at);
    *ret_batch = (struct sample_batch){
        .kind = kind,
        .count = end - at,
        .times_ms = s->times + at,
        .value_bits = kind == SAMPLE_FLOAT ? s->bits + at : NULL,
        .histograms = kind == SAMPLE_FLOAT || s->in_columns ? NULL : s->histograms + at,
        .columns = s->in_columns ? &s->columns : NULL,
        .first_row = at,
        .starts_ms = s->has_starts ? s->starts + at : NULL,
    };
    s->at = end;
    return OK;
}

enum err
interleave_next(struct interleave *m, struct sample_batch *ret_batch, struct why *why)
{
    return m->level_count == 0 ? interleave_next_raw(m, ret_batch, why)
                               : interleave_next_level(m, ret_batch, why);
}

enum err
interleave_next_raw(struct interleave *m, struct sample_batch *ret_batch, struct why *why)
{
    enum err e = next_batch(m, ret_batch, why);
    if (e || ret_batch->count == 0) return e;
    const int64_t *times_ms = ret_batch->times_ms;
    const struct interleave_item *shown = times_ms == NULL ? &m->items[m->next_item - 1] : NULL;
    assert((shown == NULL ? times_ms[0] : shown->min_ms) >= m->shown_ms); /* invariant 4 */
    m->shown_ms = shown == NULL ? times_ms[ret_batch->count - 1] : shown->max_ms;
    return OK;
}
