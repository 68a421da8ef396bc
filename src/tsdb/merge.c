/*
 * merge.c - see merge.h. Items are sorted by their first time; one is decoded into a slot when the
 * merge reaches it and given up when it is spent. While one slot alone covers the time at hand its
 * arrays are shown as they are; only where slots overlap are samples picked one by one.
 */
#include "tsdb/merge.h"

#include <assert.h>
#include <stdlib.h>

#include "tsdb/part.h"

enum { OUT_SAMPLES = 1024 };

/* A decoded item. */
struct merge_slot {
    struct merge_slot *next;
    uint32_t order;
    uint32_t item; /* its place in the list: ties are broken by it */
    uint32_t at;
    uint32_t count;
    uint32_t capacity;
    bool has_starts;
    bool mixed; /* kinds differ: `kinds` counts */
    enum sample_kind kind;
    int64_t *times;
    uint64_t *bits;
    int64_t *starts;
    struct histogram *histograms;
    uint8_t *kinds;
    struct arena arena; /* histograms' arrays */
};

/* Where picked samples are gathered. */
struct sample_batch_memory {
    int64_t times[OUT_SAMPLES];
    uint64_t bits[OUT_SAMPLES];
    int64_t starts[OUT_SAMPLES];
    struct histogram histograms[OUT_SAMPLES];
};

void
merge_init(struct merge *m, struct budget *budget, struct query_control *control)
{
    *m = (struct merge){.budget = budget, .control = control};
    arena_init(&m->items_arena, budget, 0, 8 * 1024);
}

static size_t
slot_bytes(uint32_t capacity)
{
    return capacity * (sizeof(int64_t) * 3 + sizeof(struct histogram) + 1);
}

static void
slot_free(struct merge *m, struct merge_slot *s)
{
    arena_fini(&s->arena);
    mem_free(m->budget, s->times, slot_bytes(s->capacity));
    mem_free(m->budget, s, sizeof *s);
}

static void
slots_move(struct merge_slot **from, struct merge_slot **to)
{
    while (*from != NULL) {
        struct merge_slot *s = *from;
        *from = s->next;
        s->next = *to;
        *to = s;
    }
}

void
merge_fini(struct merge *m)
{
    slots_move(&m->active, &m->idle);
    slots_move(&m->spent, &m->idle);
    while (m->idle != NULL) {
        struct merge_slot *s = m->idle;
        m->idle = s->next;
        slot_free(m, s);
    }
    mem_free(m->budget, m->items, m->item_capacity * sizeof *m->items);
    if (m->out != NULL) mem_free(m->budget, m->out, sizeof *m->out);
    arena_fini(&m->items_arena);
}

void
merge_reset(struct merge *m, int64_t min_ms, int64_t max_ms, bool partial)
{
    slots_move(&m->active, &m->idle);
    slots_move(&m->spent, &m->idle);
    arena_reset(&m->items_arena);
    m->item_count = 0;
    m->next_item = 0;
    m->min_ms = min_ms;
    m->max_ms = max_ms;
    m->partial = partial;
}

struct merge_item *
merge_add(struct merge *m)
{
    if (m->item_count == m->item_capacity) {
        uint32_t capacity = m->item_capacity == 0 ? 16 : m->item_capacity * 2;
        struct merge_item *grown = mem_resize(m->budget, m->items, m->item_capacity * sizeof *grown,
                                              capacity * sizeof *grown);
        if (grown == NULL) return NULL;
        m->items = grown;
        m->item_capacity = capacity;
    }
    struct merge_item *item = &m->items[m->item_count++];
    *item = (struct merge_item){0};
    return item;
}

/* --- items of the head
 * ---------------------------------------------------------------------------- */

static enum err
add_chunk(struct merge *m, enum sample_kind kind, int64_t min_ms, int64_t max_ms,
          struct bytes bytes, uint32_t count, uint32_t order)
{
    struct merge_item *item = merge_add(m);
    if (item == NULL) return ERR_NOMEM;
    item->type = ITEM_CHUNK;
    item->kind = (uint8_t)kind;
    item->min_ms = min_ms;
    item->max_ms = max_ms;
    item->order = order;
    item->count = count;
    item->chunk = bytes;
    return OK;
}

static bool
outside(const struct merge *m, int64_t min_ms, int64_t max_ms)
{
    return max_ms < m->min_ms || min_ms > m->max_ms;
}

static enum err
add_open(struct merge *m, const struct hchunk_open *o, uint32_t durable_epoch, uint32_t order)
{
    if (o->count == 0 || outside(m, o->first_ms, o->last_ms)) return OK;
    uint32_t visible =
        hchunk_visible(o->count, o->tag, o->pending_now, o->pending_before, durable_epoch);
    if (visible == 0) return OK;
    struct bytes copy = arena_copy(&m->items_arena, bytes_of(o->bytes, o->size_bytes));
    if (copy.at == NULL) return ERR_NOMEM;
    return add_chunk(m, (enum sample_kind)o->kind, o->first_ms, o->last_ms, copy, visible, order);
}

static enum err
add_late(struct merge *m, const struct late *late, uint32_t durable_epoch, uint32_t order)
{
    if (late == NULL || late->count == 0) return OK;
    struct late_sample *copy = arena_alloc(&m->items_arena, late->count * sizeof *copy);
    if (copy == NULL) return ERR_NOMEM;
    uint32_t count = 0;
    for (uint32_t i = 0; i < late->count; i++) {
        const struct late_sample *l = &late->samples[i];
        if ((int32_t)(l->epoch - durable_epoch) > 0) continue;
        copy[count] = *l;
        if (l->histogram != NULL) {
            struct histogram *h = arena_alloc(&m->items_arena, sizeof *h);
            if (h == NULL || histogram_copy(l->histogram, &m->items_arena, h) != OK) {
                return ERR_NOMEM;
            }
            copy[count].histogram = h;
        }
        count++;
    }
    if (count == 0 || outside(m, copy[0].t_ms, copy[count - 1].t_ms)) return OK;
    struct merge_item *item = merge_add(m);
    if (item == NULL) return ERR_NOMEM;
    item->type = ITEM_LATE;
    item->min_ms = copy[0].t_ms;
    item->max_ms = copy[count - 1].t_ms;
    item->order = order;
    item->count = count;
    item->late = copy;
    return OK;
}

enum err
merge_add_series(struct merge *m, const struct series *s, uint32_t durable_epoch, uint32_t order)
{
    enum err e = add_open(m, &s->open, durable_epoch, order);
    if (e == OK) e = add_late(m, s->late, durable_epoch, order);
    for (const struct hchunk *c = s->sealed; c != NULL && e == OK; c = c->next) {
        uint32_t visible =
            hchunk_visible(c->count, c->tag, c->pending_now, c->pending_before, durable_epoch);
        if (visible == 0 || outside(m, c->min_ms, c->max_ms)) continue;
        e = add_chunk(m, (enum sample_kind)c->kind, c->min_ms, c->max_ms,
                      bytes_of(c->bytes, c->size_bytes), visible, order);
    }
    return e;
}

/* --- decoding
 * ----------------------------------------------------------------------------------------- */

static enum err
slot_room(struct merge *m, struct merge_slot *s, uint32_t count)
{
    if (s->capacity >= count) return OK;
    uint32_t capacity = count < HCHUNK_SAMPLES_MAX ? HCHUNK_SAMPLES_MAX : count;
    uint8_t *memory = mem_alloc(m->budget, slot_bytes(capacity));
    if (memory == NULL) return ERR_NOMEM;
    mem_free(m->budget, s->times, slot_bytes(s->capacity));
    s->capacity = capacity;
    s->times = (int64_t *)(void *)memory;
    s->bits = (uint64_t *)(s->times + capacity);
    s->starts = (int64_t *)(s->bits + capacity);
    s->histograms = (struct histogram *)(void *)(s->starts + capacity);
    s->kinds = (uint8_t *)(s->histograms + capacity);
    return OK;
}

static enum err
slot_get(struct merge *m, uint32_t count, struct merge_slot **ret_slot)
{
    struct merge_slot *s = m->idle;
    if (s != NULL) {
        m->idle = s->next;
    } else {
        s = mem_new(m->budget, sizeof *s);
        if (s == NULL) return ERR_NOMEM;
        arena_init(&s->arena, m->budget, 0, 0);
    }
    s->next = NULL;
    arena_reset(&s->arena);
    enum err e = slot_room(m, s, count);
    if (e) {
        s->next = m->idle;
        m->idle = s;
        return e;
    }
    *ret_slot = s;
    return OK;
}

static enum err
decode_chunk(struct merge *m, const struct merge_item *item, struct merge_slot *s)
{
    struct hchunk_samples *samples = mem_alloc(m->budget, sizeof *samples);
    if (samples == NULL) return ERR_NOMEM;
    enum err e =
        hchunk_read((enum sample_kind)item->kind, item->chunk, item->count, &s->arena, samples);
    if (e == OK) {
        size_t n = item->count;
        memcpy(s->times, samples->times_ms, n * sizeof *s->times);
        memcpy(s->starts, samples->starts_ms, n * sizeof *s->starts);
        if (item->kind == SAMPLE_FLOAT) {
            memcpy(s->bits, samples->bits, n * sizeof *s->bits);
        } else {
            memcpy(s->histograms, samples->histograms, n * sizeof *s->histograms);
        }
        s->has_starts = samples->has_starts;
    }
    mem_free(m->budget, samples, sizeof *samples);
    return e;
}

static void
decode_late(const struct merge_item *item, struct merge_slot *s)
{
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
}

static enum err
decode(struct merge *m, uint32_t index, struct merge_slot *s, struct why *why)
{
    const struct merge_item *item = &m->items[index];
    s->order = item->order;
    s->item = index;
    s->at = 0;
    s->count = item->count;
    s->mixed = item->type == ITEM_LATE;
    s->kind = (enum sample_kind)item->kind;
    if (item->type == ITEM_CHUNK) return decode_chunk(m, item, s);
    if (item->type == ITEM_LATE) {
        decode_late(item, s);
        return OK;
    }
    s->has_starts = item->block.ref->has_starts;
    return block_read(item->block.part, item->block.ref, s->times, s->bits, s->starts,
                      s->histograms, &s->arena, why);
}

/* --- merging
 * -------------------------------------------------------------------------------------------- */

static int
by_time_then_order(const void *a, const void *b)
{
    const struct merge_item *x = a, *y = b;
    if (x->min_ms != y->min_ms) return x->min_ms < y->min_ms ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

void
merge_begin(struct merge *m)
{
    if (m->item_count > 1) {
        qsort(m->items, m->item_count, sizeof *m->items, by_time_then_order);
    }
}

static void
activate(struct merge *m, struct merge_slot *s)
{
    struct merge_slot **link = &m->active;
    while (*link != NULL && (*link)->order <= s->order) {
        link = &(*link)->next;
    }
    s->next = *link;
    *link = s;
}

/* Skips what lies before the range; a slot with nothing in it is not activated. */
static bool
slot_cut(const struct merge *m, struct merge_slot *s)
{
    while (s->at < s->count && s->times[s->at] < m->min_ms) {
        s->at++;
    }
    while (s->count > s->at && s->times[s->count - 1] > m->max_ms) {
        s->count--;
    }
    return s->at < s->count;
}

/* Decodes the next item. A damaged block is left out and told, if the question allows it. */
static enum err
take_item(struct merge *m, struct why *why)
{
    struct merge_slot *s;
    uint32_t index = m->next_item++;
    enum err e = slot_get(m, m->items[index].count, &s);
    if (e) return why_set(why, e, "no memory to read samples");
    struct why reason;
    e = decode(m, index, s, &reason);
    if (e == OK && slot_cut(m, s)) {
        activate(m, s);
        return OK;
    }
    s->next = m->idle;
    m->idle = s;
    if (e == OK) return OK;
    if (e == ERR_CORRUPT && m->partial) {
        m->warning_count++;
        m->last_warning = reason;
        return OK;
    }
    if (why != NULL) *why = reason;
    return e;
}

/* Decodes every item that may hold the next sample. */
static enum err
fill(struct merge *m, struct why *why)
{
    while (m->next_item < m->item_count) {
        int64_t first = INT64_MAX;
        for (struct merge_slot *s = m->active; s != NULL; s = s->next) {
            if (s->times[s->at] < first) first = s->times[s->at];
        }
        if (m->active != NULL && m->items[m->next_item].min_ms > first) return OK;
        if (m->items[m->next_item].min_ms > m->max_ms) return OK;
        enum err e = take_item(m, why);
        if (e) return e;
    }
    return OK;
}

static void
drop_spent(struct merge *m)
{
    for (struct merge_slot **link = &m->active; *link != NULL;) {
        struct merge_slot *s = *link;
        if (s->at < s->count) {
            link = &s->next;
            continue;
        }
        *link = s->next;
        s->next = m->spent;
        m->spent = s;
    }
}

static enum sample_kind
slot_kind(const struct merge_slot *s, uint32_t at)
{
    return s->mixed ? (enum sample_kind)s->kinds[at] : s->kind;
}

/* How many samples of a lone slot come before anything else could: at least one. */
static uint32_t
lone_run(const struct merge *m, const struct merge_slot *s)
{
    int64_t limit = INT64_MAX;
    if (m->next_item < m->item_count) limit = m->items[m->next_item].min_ms;
    uint32_t end = s->count;
    if (s->times[end - 1] >= limit) {
        end = s->at;
        while (end < s->count && s->times[end] < limit) {
            end++;
        }
    }
    enum sample_kind kind = slot_kind(s, s->at);
    uint32_t same = s->at + 1;
    while (same < end && s->mixed && slot_kind(s, same) == kind) {
        same++;
    }
    if (s->mixed && same < end) end = same;
    return end > s->at ? end - s->at : 1;
}

static void
show_run(struct merge_slot *s, uint32_t count, struct sample_batch *ret)
{
    *ret = (struct sample_batch){
        .kind = slot_kind(s, s->at),
        .count = count,
        .times_ms = s->times + s->at,
        .value_bits = s->bits + s->at,
        .histograms = s->histograms + s->at,
        .starts_ms = s->has_starts ? s->starts + s->at : NULL,
    };
    s->at += count;
}

static bool
same_sample(const struct merge_slot *a, uint32_t i, const struct merge_slot *b, uint32_t j)
{
    enum sample_kind kind = slot_kind(a, i);
    if (kind != slot_kind(b, j)) return false;
    return kind == SAMPLE_FLOAT ? a->bits[i] == b->bits[j]
                                : histogram_equal(&a->histograms[i], &b->histograms[j]);
}

/* The slot with the earliest next sample; of equal times the first arrival. Later ones lose it. */
static struct merge_slot *
pick(struct merge *m)
{
    struct merge_slot *best = NULL;
    for (struct merge_slot *s = m->active; s != NULL; s = s->next) {
        if (s->at == s->count) continue;
        if (best == NULL || s->times[s->at] < best->times[best->at]) best = s;
    }
    if (best == NULL) return NULL;
    for (struct merge_slot *s = m->active; s != NULL; s = s->next) {
        if (s == best || s->at == s->count || s->times[s->at] != best->times[best->at]) continue;
        enum ledger_kind kind = ledger_kind_of(slot_kind(s, s->at));
        if (same_sample(best, best->at, s, s->at)) {
            m->duplicate_count[kind]++;
        } else {
            m->superseded_count[kind]++;
        }
        s->at++;
    }
    return best;
}

static enum err
gather(struct merge *m, struct sample_batch *ret, struct why *why)
{
    if (m->out == NULL) m->out = mem_alloc(m->budget, sizeof *m->out);
    if (m->out == NULL) return why_set(why, ERR_NOMEM, "no memory to merge samples");
    struct sample_batch_memory *out = m->out;
    bool has_starts = false;
    uint32_t n = 0;
    enum sample_kind kind = SAMPLE_FLOAT;
    while (n < OUT_SAMPLES) {
        /* The next item may begin before what is left in the slots. */
        enum err e = fill(m, why);
        if (e) return e;
        struct merge_slot *s = pick(m);
        if (s == NULL) break;
        uint32_t i = s->at;
        if (n > 0 && slot_kind(s, i) != kind) break;
        kind = slot_kind(s, i);
        out->times[n] = s->times[i];
        out->starts[n] = s->has_starts ? s->starts[i] : 0;
        has_starts |= out->starts[n] != 0;
        if (kind == SAMPLE_FLOAT)
            out->bits[n] = s->bits[i];
        else
            out->histograms[n] = s->histograms[i];
        s->at++;
        n++;
        drop_spent(m);
        if (m->active != NULL && m->active->next == NULL) break; /* alone again */
        if (m->active == NULL && m->next_item == m->item_count) break;
    }
    *ret = (struct sample_batch){
        .kind = kind,
        .count = n,
        .times_ms = out->times,
        .value_bits = out->bits,
        .histograms = out->histograms,
        .starts_ms = has_starts ? out->starts : NULL,
    };
    return OK;
}

enum err
merge_next(struct merge *m, struct sample_batch *ret_batch, struct why *why)
{
    slots_move(&m->spent, &m->idle);
    drop_spent(m);
    slots_move(&m->spent, &m->idle);
    if (m->control != NULL) {
        enum err e = query_control_check(m->control, why);
        if (e) return e;
    }
    enum err e = fill(m, why);
    if (e) return e;
    struct merge_slot *s = m->active;
    if (s == NULL) {
        *ret_batch = (struct sample_batch){.count = 0};
        return OK;
    }
    bool lone = s->next == NULL &&
                (m->next_item == m->item_count || m->items[m->next_item].min_ms > s->times[s->at]);
    if (!lone) return gather(m, ret_batch, why);
    show_run(s, lone_run(m, s), ret_batch);
    return OK;
}
