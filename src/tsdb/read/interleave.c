/*
 * interleave.c - the merge; see interleave.h. Items are sorted by their first time; one is decoded
 * into a slot when its time comes (interleave_items.c), and the slot is reused when all its samples
 * are returned. While one slot alone covers the current time its arrays are shown as they are; only
 * where slots overlap are samples picked one by one. Some items are returned without being decoded.
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
#include "base/array.h"
#include "tsdb/part/bundle.h"
#include "tsdb/part/part.h"
#include "tsdb/part/times.h"
#include "tsdb/read/interleave_private.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Items that interleave_next() returns without decoding them; see
 * interleave.h.
 *
 * A block that overlaps no other item, is wholly in the range and has no deletions may be answered
 * by its statistics. Histograms of such a block may be returned as columns, and a run of them as
 * chunks that were made before (a bundle). A bundle that overlaps another item is split into its
 * blocks; columns of a block are then read again as samples.
 */

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
 * reading block by block will return the error.
 *
 * False if the bundle cannot be made: reading block by block will return the error. */
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

/* Replaces the next item, a bundle that overlaps another item, by its blocks. ERR_NOMEM. Replaces
 * the next item, a bundle that overlaps another item, by its blocks. */
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
    interleave_slots_free(m, m->idle);
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

static int
by_time_then_order(const void *a, const void *b)
{
    const struct interleave_item *x = a, *y = b;
    bool x_level = x->type == PIECE_ROLLUPS, y_level = y->type == PIECE_ROLLUPS;
    if (x_level != y_level) return x_level ? -1 : 1;
    if (x->min_ms != y->min_ms) return x->min_ms < y->min_ms ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order); /* one order has each time once */
}

void
interleave_sort(struct interleave_item *items, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (by_time_then_order(&items[i - 1], &items[i]) <= 0) continue;
        qsort(items, count, sizeof *items, by_time_then_order);
        return;
    }
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
        for (struct interleave_slot *s = m->active; s != NULL; s = s->next) {
            if (s->times[s->at] < first) first = s->times[s->at];
        }
        if (m->active != NULL && m->items[m->next_item].min_ms > first) return OK;
        if (m->items[m->next_item].min_ms > m->max_ms) return OK;
        if (m->items[m->next_item].type == PIECE_BUNDLE && interleave_split_bundle(m)) {
            return why_set(why, ERR_NOMEM, "not enough memory to read samples");
        }
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
        for (struct interleave_slot *other = s; other != NULL; other = other->next) {
            if (other->times[other->at] < s->times[s->at]) s = other;
        }
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
    if (unread && interleave_show_bundle(m, ret_batch)) {
        return interleave_count_read(m, &m->items[m->next_item - 1], why);
    }
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
    if (m->next_item < m->item_count) {
        end = slot_from(s, at + 1, end, m->items[m->next_item].min_ms);
    }
    enum sample_kind kind = slot_kind(s, at);
    for (uint32_t i = at + 1; i < end && s->mixed; i++) {
        if (slot_kind(s, i) != kind) end = i;
    }
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
