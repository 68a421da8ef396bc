/*
 * interleave_items.c - the items of an interleave: chunks and late samples of the head, blocks and
 * bundles of parts; see interleave.h. An item is decoded into a slot.
 */
#include "tsdb/read/interleave_private.h"

#include <assert.h>
#include <string.h>

#include "base/array.h"
#include "tsdb/part/part.h"
#include "tsdb/part/times.h"

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

/* --- items of the head ------------------------------------------------------------------------ */

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
    while (end < late->count && late->samples[end].t_ms <= m->max_ms) {
        count += (int32_t)(late->samples[end++].epoch - epoch) <= 0;
    }
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
    for (uint32_t i = 0; i < b->bundled; i++) {
        bytes += block_bytes_stored(&b[i]);
    }
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
    while (room < count) {
        room *= 2;
    }
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

void
interleave_slots_free(struct interleave *m, struct interleave_slot *list)
{
    while (list != NULL) {
        struct interleave_slot *s = list;
        list = s->next;
        arena_fini(&s->arena);
        mem_free(m->budget, s->times, (size_t)s->capacity * SLOT_SAMPLE_BYTES);
        mem_free(m->budget, s->histograms, (size_t)s->histogram_capacity * SLOT_HISTOGRAM_BYTES);
        mem_free(m->budget, s, sizeof *s);
    }
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

enum err
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
enum err
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
