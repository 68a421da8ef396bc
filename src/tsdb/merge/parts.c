/*
 * parts.c - see parts.h. A merge is a state machine that works in small steps, so that it can be
 * stopped between any two:
 *
 *      TENANT --> WALK --> PAIRS --> SERIES --> SAMPLES --> EXEMPLARS
 *        ^  \        \                ^  |                      |
 *        |   DONE     \               +--|----------------------+
 *        |             v                 v
 *        +--------- TENANT_END <---------+
 *
 *     parts.c     WALK: which series have something that stays; PAIRS, SERIES: both in order;
 *                 tenants, metadata, counts
 *     samples.c   SAMPLES, EXEMPLARS: of one series
 *     levels.c    SAMPLES that rollups replace
 *
 * There may be thousands of tenants, so nothing of the size of a part is made for each of them.
 * Counts of a tenant add up to its samples of the inputs in the window, unless the inputs are
 * damaged: the caller compares them (store/merging.c).
 *
 * Invariants:
 * 1. Tenants are written in ascending order of their names, series of a tenant in label order.
 * 2. A source is in the heap at most once, and the heap is empty between tenants.
 * 3. The group is the sources that have the current pair or series, by arrival.
 */
#include "tsdb/merge/parts.h"

#include "base/array.h"
#include "tsdb/merge/parts_private.h"
#include "tsdb/part/part.h"

#include <assert.h>
#include <roaring/roaring.h>

/*
 * Labels and series of a tenant in the order of the output.
 *
 * The inputs' label values are merged once, name by name, which gives every pair of an input its
 * number in the output. After that labels are not needed: these numbers ascend with the labels, so
 * series are in label order exactly if their lists of numbers are.
 *
 * A tenant that only one input has needs no list of numbers: pairs keep their order, so a pair's
 * number is the number of used ones before it.
 *
 * The order of an input's pairs and rows is checked on the way, since the writer relies on it.
 */

enum { NO_PAIR = UINT32_MAX, RANK_PAIRS = 512, RANK_WORDS = RANK_PAIRS / 64 };

/* --- a heap of sources ------------------------------------------------------------------------ */

typedef int (*source_order)(const struct merge_source *a, const struct merge_source *b);

static bool
comes_before(source_order order, const struct merge_source *a, const struct merge_source *b)
{
    int o = order(a, b);
    return o != 0 ? o < 0 : a->number < b->number;
}

static void
heap_push(struct source_heap *h, source_order order, struct merge_source *s)
{
    heap_up(h->at, h->count++, s, comes_before(order, *a, *b));
}

/* Moves the sources equal to the top of the heap into the group, by arrival. */
static void
heap_pop_group(struct part_merge *m, source_order order)
{
    m->group_count = 0;
    do {
        assert(m->heap.count > 0);
        assert(m->group_count < m->source_count); /* invariant 2 */
        assert(m->group_count == 0 ||
               m->group[m->group_count - 1]->number < m->heap.at[0]->number); /* invariant 3 */
        m->group[m->group_count++] = m->heap.at[0];
        struct source_heap *h = &m->heap;
        h->count--;
        heap_down(h->at, h->count, 0, h->at[h->count], comes_before(order, *a, *b));
    } while (m->heap.count > 0 && order(m->group[0], m->heap.at[0]) == 0);
}

/* --- pairs ------------------------------------------------------------------------------------ */

static int
by_value(const struct merge_source *a, const struct merge_source *b)
{
    return bytes_compare(buf_bytes(&a->values.value), buf_bytes(&b->values.value));
}

/* Moves a source to its next used pair of the name, and pushes it into the heap. */
static enum err
value_next(struct part_merge *m, struct merge_source *s)
{
    for (; s->pair < s->pair_end; s->pair++) {
        m->work++;
        enum err e = value_walk_get(&s->values, s->pair, &m->why);
        if (e) return merge_source_error(m, s, e);
        if (s->used != NULL && !bit_get(s->used, s->pair - s->tenant->first_pair)) continue;
        heap_push(&m->heap, by_value, s);
        return OK;
    }
    return OK;
}

/* Begins the next name that any source has; if none has one, all pairs are done. */
static enum err
name_next(struct part_merge *m, bool *ret_done)
{
    const struct bytes *first = NULL;
    for (uint32_t i = 0; i < m->source_count; i++) {
        const struct merge_source *s = &m->sources[i];
        if (!s->active || s->next_name == s->index.name_count) continue;
        const struct bytes *name = &s->index.names[s->next_name].name;
        if (first == NULL || bytes_compare(*name, *first) < 0) first = name;
    }
    *ret_done = first == NULL;
    if (first == NULL) return OK;
    m->name = *first;
    m->has_value = false;
    for (uint32_t i = 0; i < m->source_count; i++) {
        struct merge_source *s = &m->sources[i];
        if (!s->active || s->next_name == s->index.name_count) continue;
        const struct part_name *name = &s->index.names[s->next_name];
        if (!bytes_equal(name->name, m->name)) continue;
        s->next_name++;
        s->pair = name->first_pair;
        s->pair_end = name->first_pair + name->pair_count;
        enum err e = value_next(m, s);
        if (e) return e;
    }
    return OK;
}

/* Writes the value on top of the heap, whose number all sources that have it get. */
static enum err
value_out(struct part_merge *m)
{
    heap_pop_group(m, by_value);
    struct bytes value = buf_bytes(&m->group[0]->values.value);
    if (value.size == 0 || (m->has_value && bytes_compare(buf_bytes(&m->value), value) >= 0)) {
        struct merge_source *s = m->group[0];
        return merge_source_error(m, s,
                                  part_damaged(s->part, s->values.offset, "label values", &m->why));
    }
    enum err e = part_write_pair(m->writer, (struct label){m->name, value}, &m->why);
    if (e) return e;
    m->has_value = true;
    buf_clear(&m->value);
    buf_put_bytes(&m->value, value);
    if (buf_error(&m->value)) return buf_error(&m->value);
    for (uint32_t i = 0; i < m->group_count; i++) {
        struct merge_source *s = m->group[i];
        if (s->numbers != NULL) s->numbers[s->pair - s->tenant->first_pair] = m->pair_count;
        s->pair++;
        e = value_next(m, s);
        if (e) return e;
    }
    m->pair_count++;
    return OK;
}

/* The number of a pair in the output; NO_PAIR if no series that stays was known to have it. */
static inline uint32_t
number_of(const struct merge_source *s, uint32_t pair)
{
    if (s->numbers != NULL) return s->numbers[pair];
    if (s->used == NULL) return pair;
    if (!bit_get(s->used, pair)) return NO_PAIR;
    uint32_t number = s->ranks[pair / RANK_PAIRS];
    for (uint32_t i = pair / RANK_PAIRS * RANK_WORDS; i < pair / 64; i++)
        number += (uint32_t)__builtin_popcountll(s->used[i]);
    uint64_t before = s->used[pair / 64] & ((UINT64_C(1) << pair % 64) - 1);
    return number + (uint32_t)__builtin_popcountll(before);
}

static enum err
source_pairs_begin(struct part_merge *m, struct merge_source *s, bool alone)
{
    uint32_t pair_count = s->tenant->pair_count, used = 0;
    uint32_t words = (uint32_t)(((uint64_t)pair_count + 63) / 64);
    s->numbers = s->ranks = NULL;
    if (!alone) {
        size_t size = (pair_count + 1u) * sizeof *s->numbers;
        s->numbers = arena_alloc(&m->tenant_arena, size);
        if (s->numbers == NULL) return ERR_NOMEM;
        memset(s->numbers, 0xff, size);
    } else if (s->used != NULL) { /* without `used` the part uses all pairs */
        s->ranks = arena_alloc(&m->tenant_arena, (words / RANK_WORDS + 1u) * sizeof *s->ranks);
        if (s->ranks == NULL) return ERR_NOMEM;
        for (uint32_t i = 0; i < words; i++) {
            if (i % RANK_WORDS == 0) s->ranks[i / RANK_WORDS] = used;
            used += (uint32_t)__builtin_popcountll(s->used[i]);
        }
    }
    s->next_name = 0;
    s->row = 0;
    buf_clear(&s->pairs);
    if (m->has_rules) return OK; /* the walk has loaded the index */
    return merge_source_error(
        m, s, part_index_load(s->part, s->tenant, &m->tenant_arena, &s->index, &m->why));
}

/* Begins to write the tenant, unless none of its data stay. The first such tenant opens the
 * writer. */
static MUST_CHECK enum err
merge_pairs_begin(struct part_merge *m)
{
    const struct part_merge_options *o = &m->options;
    bool any = false;
    uint32_t active = 0;
    enum err e = OK;
    for (uint32_t i = 0; i < m->source_count; i++) {
        const struct part_tenant *t = m->sources[i].tenant;
        any |= o->with_metadata && t != NULL && t->metadata_page != 0;
        active += m->sources[i].active;
    }
    for (uint32_t i = 0; i < m->source_count && e == OK; i++) {
        struct merge_source *s = &m->sources[i];
        if (!s->active) continue;
        any = true;
        e = source_pairs_begin(m, s, active == 1);
    }
    m->phase = any ? PHASE_PAIRS : PHASE_TENANT_END;
    m->heap.count = 0;
    m->pair_count = m->series_count = 0;
    if (e || !any) return e;
    if (m->writer == NULL) {
        e = part_writer_new(o->env, m->budget, o->parts_dir, o->number, o->from_pos, o->to_pos,
                            &m->writer, &m->why);
        if (e) return e;
        part_writer_set_level(m->writer, o->level);
        if (o->writer_bytes != 0) part_writer_set_memory(m->writer, o->writer_bytes);
    }
    return part_write_tenant(m->writer, m->tenant, &m->why);
}

/* --- series ----------------------------------------------------------------------------------- */

static int
compare_lists(const struct buf *a, const struct buf *b)
{
    const uint32_t *x = (const uint32_t *)(const void *)a->at;
    const uint32_t *y = (const uint32_t *)(const void *)b->at;
    size_t common = (a->size < b->size ? a->size : b->size) / sizeof *x;
    for (size_t i = 0; i < common; i++)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return (a->size > b->size) - (a->size < b->size);
}

static int
by_pairs(const struct merge_source *a, const struct merge_source *b)
{
    return compare_lists(&a->pairs, &b->pairs);
}

/* Translates the pairs of the row that was read last into numbers of the output. ERR_CORRUPT: rows
 * are not in order. */
static enum err
row_numbers(struct merge_source *s, struct why *why)
{
    const uint32_t *pairs;
    uint32_t count;
    bool known = true;
    struct buf before = s->pairs_before;
    s->pairs_before = s->pairs;
    s->pairs = before;
    buf_clear(&s->pairs);
    row_pairs(s->rows, &pairs, &count);
    if (!buf_reserve(&s->pairs, count * sizeof *pairs)) return buf_error(&s->pairs);
    uint32_t *to = (uint32_t *)(void *)s->pairs.at;
    for (uint32_t i = 0; i < count; i++) {
        to[i] = number_of(s, pairs[i] - s->tenant->first_pair);
        known &= to[i] != NO_PAIR;
    }
    s->pairs.size = count * sizeof *pairs;
    if (known && (s->row == 0 || compare_lists(&s->pairs_before, &s->pairs) < 0)) return OK;
    return part_damaged(s->part, 0, "row order", why);
}

static const struct time_range *
hidden_ranges(const struct merge_source *s, uint32_t *ret_count)
{
    *ret_count = (uint32_t)(s->hidden.size / sizeof(struct time_range));
    return (const struct time_range *)(const void *)s->hidden.at;
}

/* Collects the deleted times of a series in source->hidden, and finds the time before which its
 * samples are expired. */
static MUST_CHECK enum err
merge_hidden(struct part_merge *m, struct merge_source *s, uint32_t row)
{
    const struct time_range *window = &m->options.window;
    uint32_t series = s->tenant->first_series + row;
    buf_clear(&s->hidden);
    s->rule = NULL;
    s->expired_before_ms = m->options.expired_before_ms;
    if (m->has_rules) {
        struct bytes labels;
        int64_t age_ms;
        enum err e = row_read(s->rows, series, &labels, &s->blocks, &s->block_count, &m->why);
        if (e) return e;
        const struct series_rule *rule =
            series_rules_find(m->options.rules, m->tenant, labels, &age_ms);
        if (rule != NULL && m->options.rules_now_ms - age_ms > s->expired_before_ms) {
            s->rule = rule;
            s->expired_before_ms = m->options.rules_now_ms - age_ms;
        }
    }
    if (s->deleted == NULL || !roaring_bitmap_contains(s->deleted, series)) return OK;
    for (uint32_t i = 0; i < s->input->deletion_count; i++) {
        const struct part_deletion *d = &s->input->deletions[i];
        if (d->range.max_ms < window->min_ms || d->range.min_ms > window->max_ms) continue;
        if (!roaring_bitmap_contains(d->series, series)) continue;
        buf_put(&s->hidden, &d->range, sizeof d->range);
    }
    return buf_error(&s->hidden);
}

/* Moves a source to its next series that stays, from s->row on, and pushes it into the heap. */
static enum err
row_next(struct part_merge *m, struct merge_source *s)
{
    const struct part_tenant *t = s->tenant;
    assert(s->row <= t->series_count);
    while (s->row < t->series_count && !s->whole && !bit_get(s->live, s->row))
        s->row++;
    if (s->row == t->series_count) return OK;
    m->work += ROW_WORK;
    enum err e =
        row_read(s->rows, t->first_series + s->row, NULL, &s->blocks, &s->block_count, &m->why);
    if (e == OK) e = row_numbers(s, &m->why);
    if (e == OK) e = merge_hidden(m, s, s->row);
    if (e) return merge_source_error(m, s, e);
    heap_push(&m->heap, by_pairs, s);
    return OK;
}

static enum err
series_begin(struct part_merge *m)
{
    m->phase = PHASE_SERIES;
    m->group_count = 0;
    for (uint32_t i = 0; i < m->source_count; i++) {
        struct merge_source *s = &m->sources[i];
        if (!s->active) continue;
        enum err e = OK;
        if (s->has_exemplars)
            e = exemplar_walk_enter(&s->exemplars, s->tenant->first_series, &m->why);
        if (e) return merge_source_error(m, s, e);
        e = row_next(m, s);
        if (e) return e;
    }
    return OK;
}

/* Writes the next pair; begins the series after the last. */
static MUST_CHECK enum err
merge_pair(struct part_merge *m)
{
    m->work += PAIR_WORK;
    if (m->heap.count > 0) return value_out(m);
    bool done;
    enum err e = name_next(m, &done);
    return e == OK && done ? series_begin(m) : e;
}

/* Begins the next series; ends the tenant after the last. */
static MUST_CHECK enum err
merge_next_series(struct part_merge *m)
{
    for (uint32_t i = 0; i < m->group_count; i++) {
        m->group[i]->row++;
        enum err e = row_next(m, m->group[i]);
        if (e) return e;
    }
    m->group_count = 0;
    if (m->heap.count == 0) {
        m->phase = PHASE_TENANT_END;
        return OK;
    }
    heap_pop_group(m, by_pairs);
    assert(m->writer != NULL);
    const struct buf *pairs = &m->group[0]->pairs;
    m->series_count++;
    enum err e = part_write_series(m->writer, (const uint32_t *)(const void *)pairs->at,
                                   (uint32_t)(pairs->size / sizeof(uint32_t)), &m->why);
    return e ? e : merge_samples_begin(m);
}

/* --- which series stay ------------------------------------------------------------------------ */

/*
 * Finds the series of an input that have something that stays. The pairs of a tenant are
 * written before its series, so this must be known before; where window, deletions and expiry
 * affect nothing of an input, all series stay and the walk is skipped.
 *
 * The blocks of a row suffice in most cases: their first and last times are those of samples. Only
 * where neither stays, all times are read; so are rollups of which something is deleted, since a
 * window that is cut is deleted whole.
 */

enum merge_fate
merge_fate(const struct part_merge *m, const struct merge_source *s, int64_t t_ms)
{
    const struct time_range *window = &m->options.window;
    if (t_ms < window->min_ms || t_ms > window->max_ms) return FATE_OUTSIDE;
    uint32_t count;
    const struct time_range *hidden = hidden_ranges(s, &count);
    if (ranges_hold(hidden, count, t_ms)) return FATE_DELETED;
    return t_ms < s->expired_before_ms ? FATE_EXPIRED : FATE_STAYS;
}

enum merge_fate
merge_block_fate(const struct part_merge *m, const struct merge_source *s,
                 const struct block_ref *b, bool *ret_mixed)
{
    const struct time_range *window = &m->options.window;
    *ret_mixed = false;
    struct time_range span = block_span(b);
    if (!ranges_meet(span, *window)) return FATE_OUTSIDE;
    bool inside = range_holds(*window, span), touched = false;
    uint32_t count;
    const struct time_range *hidden = hidden_ranges(s, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (!ranges_meet(span, hidden[i])) continue;
        touched = true;
        if (inside && range_holds(hidden[i], span)) return FATE_DELETED;
    }
    if (inside && !touched && b->max_ms < s->expired_before_ms) return FATE_EXPIRED;
    *ret_mixed = !inside || touched || b->min_ms < s->expired_before_ms;
    return FATE_STAYS;
}

void
merge_count_fate(struct part_merge *m, const struct merge_source *s, enum merge_fate fate,
                 enum ledger_kind kind, uint64_t count)
{
    if (fate == FATE_DELETED) m->count.deleted[kind] += count;
    if (fate != FATE_EXPIRED) return;
    m->count.expired[kind] += count;
    if (s->rule != NULL) merge_removal(m, s)->samples[kind] += count;
}

struct rule_done *
merge_removal(struct part_merge *m, const struct merge_source *s)
{
    return &m->options.removed[series_rules_index(m->options.rules, s->rule)];
}

/* --- the walk --------------------------------------------------------------------------------- */

/* Prepares a source that has the tenant for the walk. */
static MUST_CHECK enum err
merge_walk_begin(struct part_merge *m, struct merge_source *s)
{
    const struct part_tenant *t = s->tenant;
    s->has_exemplars = t->sample_count[LEDGER_EXEMPLAR] > 0;
    s->active = t->series_count > 0 && (s->in_window || s->has_exemplars);
    /* Exemplars lie beyond what a part says of its times. */
    bool keeps_all = m->options.window.min_ms == INT64_MIN &&
                     m->options.window.max_ms == INT64_MAX &&
                     m->options.expired_before_ms == INT64_MIN && !m->has_rules;
    s->whole = s->untouched && (!s->has_exemplars || keeps_all);
    if (!s->active) return OK;
    s->index = (struct part_index){.part = s->part, .tenant = t};
    enum err e = OK;
    if (m->has_rules) { /* which are found by labels */
        e = part_index_load(s->part, t, &m->tenant_arena, &s->index, &m->why);
        if (e) return merge_source_error(m, s, e);
    }
    if (s->rows == NULL)
        e = row_reader_new(&s->index, m->budget, &s->rows);
    else
        row_reader_move(s->rows, &s->index);
    if (e) return e;
    row_reader_want_stale(s->rows);
    if (s->whole) return OK;
    s->active = false; /* until a series is found */
    s->live = arena_new(&m->tenant_arena, ((size_t)t->series_count + 63) / 64 * sizeof *s->live);
    s->used = arena_new(&m->tenant_arena, ((size_t)t->pair_count + 63) / 64 * sizeof *s->used);
    if (s->live == NULL || s->used == NULL) return ERR_NOMEM;
    if (!s->has_exemplars) return OK;
    return merge_source_error(m, s, exemplar_walk_enter(&s->exemplars, t->first_series, &m->why));
}

/* Counts of what is removed, as long as nothing is found that stays. */
struct row_judgement {
    bool stays;
    uint64_t expired_bytes;
    uint64_t gone[FATE_EXPIRED + 1][LEDGER_KIND_COUNT];
};

static enum err
judge_times(struct part_merge *m, struct merge_source *s, const struct block_ref *b,
            struct row_judgement *j)
{
    if (m->times == NULL) {
        m->times = mem_alloc(m->budget, CODEC_SAMPLES_MAX * sizeof *m->times);
        if (m->times == NULL) return ERR_NOMEM;
    }
    enum err e = block_read_times(s->part, b, m->times, &m->why);
    uint64_t expired = 0;
    m->work += b->count;
    for (uint32_t i = 0; i < b->count && e == OK; i++) {
        enum merge_fate fate = merge_fate(m, s, m->times[i]);
        j->stays |= fate == FATE_STAYS;
        j->gone[fate][ledger_kind_of(block_kind(b))]++;
        expired += fate == FATE_EXPIRED;
    }
    j->expired_bytes += block_bytes_stored(b) * expired / b->count;
    return e;
}

static enum err
judge_windows(struct part_merge *m, struct merge_source *s, const struct block_ref *b,
              struct row_judgement *j)
{
    uint32_t hidden_count, count = 0, expired = 0;
    const struct time_range *hidden = hidden_ranges(s, &hidden_count);
    struct block_rows {
        int64_t *times;
        uint64_t *bits;
        struct rollup *rollups;
    } x = {mem_alloc(m->budget, b->count * sizeof *x.times),
           mem_alloc(m->budget, b->count * sizeof *x.bits),
           mem_alloc(m->budget, b->count * sizeof *x.rollups)};
    enum err e = x.times == NULL || x.bits == NULL || x.rollups == NULL ? ERR_NOMEM : OK;
    if (e == OK)
        e = block_read_rollups(s->part, b, ROLLUP_COUNTS, x.times, x.bits, x.rollups, &count,
                               &m->why);
    m->work += b->count;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        if (rollup_is_hidden(&x.rollups[i], hidden, hidden_count)) continue;
        enum merge_fate fate = merge_fate(m, s, rollup_end_ms(&x.rollups[i]));
        j->stays |= fate == FATE_STAYS;
        expired += fate == FATE_EXPIRED;
    }
    if (e == OK) j->expired_bytes += block_bytes_stored(b) * expired / b->count;
    mem_free(m->budget, x.times, b->count * sizeof *x.times);
    mem_free(m->budget, x.bits, b->count * sizeof *x.bits);
    mem_free(m->budget, x.rollups, b->count * sizeof *x.rollups);
    return e;
}

static enum err
judge_blocks(struct part_merge *m, struct merge_source *s, struct row_judgement *j)
{
    bool mixed;
    for (uint32_t i = 0; i < s->block_count && !j->stays; i++) {
        const struct block_ref *b = &s->blocks[i];
        enum merge_fate fate = merge_block_fate(m, s, b, &mixed);
        bool ends = b->resolution_ms == 0 && (merge_fate(m, s, b->min_ms) == FATE_STAYS ||
                                              merge_fate(m, s, b->max_ms) == FATE_STAYS);
        j->stays = fate == FATE_STAYS && (!mixed || ends);
    }
    for (uint32_t i = 0; i < s->block_count && !j->stays; i++) {
        const struct block_ref *b = &s->blocks[i];
        enum merge_fate fate = merge_block_fate(m, s, b, &mixed);
        enum err e = OK;
        if (mixed)
            e = b->resolution_ms > 0 ? judge_windows(m, s, b, j) : judge_times(m, s, b, j);
        else
            j->gone[fate][ledger_kind_of(block_kind(b))] += block_samples(b);
        if (!mixed && fate == FATE_EXPIRED) j->expired_bytes += block_bytes_stored(b);
        if (e) return e;
    }
    return OK;
}

static enum err
walk_row(struct part_merge *m, struct merge_source *s, uint32_t row)
{
    struct row_judgement j = {0};
    enum err e = row_read(s->rows, s->tenant->first_series + row, NULL, &s->blocks, &s->block_count,
                          &m->why);
    if (e == OK) e = merge_hidden(m, s, row);
    struct exemplar_walk *w = &s->exemplars; /* is after those of the series at the end */
    while (e == OK && s->has_exemplars && !w->at_end &&
           w->series <= s->tenant->first_series + row) {
        enum merge_fate fate = merge_fate(m, s, w->exemplar.t_ms);
        j.stays |= fate == FATE_STAYS;
        j.gone[fate][LEDGER_EXEMPLAR]++;
        e = exemplar_walk_step(w, &m->why);
    }
    if (e == OK) e = judge_blocks(m, s, &j);
    if (e) return e;
    if (j.stays) { /* samples it loses are counted when it is merged */
        const uint32_t *pairs;
        uint32_t count;
        s->active = true;
        bit_set(s->live, row);
        row_pairs(s->rows, &pairs, &count);
        for (uint32_t i = 0; i < count; i++)
            bit_set(s->used, pairs[i] - s->tenant->first_pair);
        return OK;
    }
    uint64_t expired = 0;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        merge_count_fate(m, s, FATE_DELETED, k, j.gone[FATE_DELETED][k]);
        merge_count_fate(m, s, FATE_EXPIRED, k, j.gone[FATE_EXPIRED][k]);
        expired |= j.gone[FATE_EXPIRED][k];
    }
    if (s->rule == NULL || (expired == 0 && j.expired_bytes == 0)) return OK;
    merge_removal(m, s)->series++;
    merge_removal(m, s)->bytes += j.expired_bytes;
    return OK;
}

/* Examines one series; begins the pairs after the last. */
static MUST_CHECK enum err
merge_walk(struct part_merge *m)
{
    for (; m->walk_source < m->source_count; m->walk_source++, m->walk_row = 0) {
        struct merge_source *s = &m->sources[m->walk_source];
        if (s->live == NULL || m->walk_row == s->tenant->series_count) continue;
        m->work += ROW_WORK;
        return merge_source_error(m, s, walk_row(m, s, m->walk_row++));
    }
    return merge_pairs_begin(m);
}

/* --- memory ----------------------------------------------------------------------------------- */

/*
 * Estimates the memory of a merge, an upper bound for each structure that parts.c and
 * part/write*.c hold, from properties of the inputs. parts_test.c compares the sum with the memory
 * that merges use. Growing buffers have up to half of their contents to spare.
 */

enum {
    KIB = 1024,
    BASE_BYTES = 3 * 1024 * KIB, /* scratch of codecs, batches, caches of times, what is written */
    BLOCKS_BYTES = 768,          /* one block of a series, wherever it is held at once */
    INPUT_BYTES = 128 * KIB,     /* a reader of rows, label names */
    INPUT_PAGES = 10,            /* held, or unpacked further */
    ROLLUP_BYTES = 160,          /* one of a block that is decoded, and what it makes */
    HISTOGRAM_ROLLUP_BYTES = 16 * KIB,
    SLOT_SAMPLE_BYTES = 24,            /* a sample of a block being merged with others */
    HISTOGRAMS_BYTES = 5 * 1024 * KIB, /* blocks of them are unpacked: read and written */
    TENANT_BYTES = 480,
    INDEX_SHARE = 16, /* directories, as a part of what they point at */
    DATA_SHARE = 256,
};

uint64_t
part_merge_memory_base(size_t writer_bytes)
{
    /* Rows, with what a buffer has to spare; a pass over pairs; columns of times. */
    uint64_t writer = writer_bytes < PART_WRITER_MEMORY_MIN ? PART_WRITER_MEMORY_MIN : writer_bytes;
    writer = writer / 4 * 3 + writer / 2 + writer / 4;
    return writer + BASE_BYTES + (uint64_t)BLOCKS_BYTES * PART_MERGE_BLOCKS_MAX;
}

uint64_t
part_merge_memory(const struct part *part)
{
    const struct part_info *i = part_info(part);
    uint64_t page = i->level >= PART_LEVEL_LAST ? PAGE_BYTES_LAST : PAGE_BYTES_SOON;
    uint64_t samples = 0, pairs = 0, rows = 0, tenants = 0;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        samples += i->sample_count[k];
    for (uint32_t t = 0; t < part_tenant_count(part); t++) {
        const struct part_tenant *tenant = part_tenant_at(part, t);
        /* While lists of one tenant are made, the pairs of the next are numbered. */
        if (tenant->pair_count > pairs) pairs = tenant->pair_count;
        if (tenant->series_count > rows) rows = tenant->series_count;
        tenants += TENANT_BYTES + 3 * tenant->name.size;
    }
    if (samples > CODEC_SAMPLES_MAX) samples = CODEC_SAMPLES_MAX;
    uint64_t need = INPUT_BYTES + INPUT_PAGES * page + SLOT_SAMPLE_BYTES * samples;
    /* Rollups are decoded a block at a time. */
    uint64_t histograms = i->histogram_rollup_rows * HISTOGRAM_ROLLUP_BYTES;
    if (i->sample_count[LEDGER_HISTOGRAM] > 0 || histograms > HISTOGRAMS_BYTES)
        histograms = HISTOGRAMS_BYTES;
    need += histograms;
    uint64_t rollups = i->rollup_rows < BLOCK_ROLLUPS_MAX ? i->rollup_rows : BLOCK_ROLLUPS_MAX;
    need += 2 * ROLLUP_BYTES * rollups; /* two neighbouring blocks */
    need += (i->file_bytes - i->data_bytes) / INDEX_SHARE + i->data_bytes / DATA_SHARE;
    /* Four bytes for a pair's number in the output, and a bit. (Of one input alone two bits are
     * enough.) */
    need += 4 * pairs + pairs / 4;
    /* A bit where some rows go, a byte in a pass of the writer, and up to two thirds of one in the
     * longest list of series: for its numbers, their packed form, and spare room of buffers. */
    return need + 3 * rows + rows / 2 + tenants;
}

enum err
merge_source_error(struct part_merge *m, const struct merge_source *s, enum err e)
{
    if (e) m->failed_source = s->number;
    return e;
}

/* --- making ----------------------------------------------------------------------------------- */

static enum err
source_init(struct part_merge *m, struct merge_source *s, uint32_t number)
{
    const struct time_range *window = &m->options.window;
    s->number = number;
    s->input = &m->options.inputs[number];
    s->part = s->input->part;
    value_walk_init(&s->values, s->part, m->budget);
    exemplar_walk_init(&s->exemplars, s->part);
    buf_init(&s->hidden, m->budget, UINT32_MAX);
    buf_init(&s->pairs, m->budget, UINT32_MAX);
    buf_init(&s->pairs_before, m->budget, UINT32_MAX);
    /* Collects the series of which something in the window is deleted: most parts have none. */
    for (uint32_t i = 0; i < s->input->deletion_count; i++) {
        const struct part_deletion *d = &s->input->deletions[i];
        if (d->range.max_ms < window->min_ms || d->range.min_ms > window->max_ms) continue;
        if (s->deleted == NULL) {
            s->deleted = roaring_bitmap_copy(d->series);
            if (s->deleted == NULL) return ERR_NOMEM;
        } else {
            roaring_bitmap_or_inplace(s->deleted, d->series);
        }
    }
    const struct part_info *info = part_info(s->part);
    s->in_window = info->time.max_ms >= window->min_ms && info->time.min_ms <= window->max_ms;
    s->untouched = info->time.min_ms >= window->min_ms && info->time.max_ms <= window->max_ms &&
                   info->time.min_ms >= m->options.expired_before_ms &&
                   !part_merge_may_expire(m->options.rules, m->options.rules_now_ms, info) &&
                   s->deleted == NULL;
    return OK;
}

enum { TIMES_KEPT = 64 * 1024 };

enum err
part_merge_new(const struct part_merge_options *options, struct part_merge **ret_merge,
               struct why *why)
{
    uint32_t count = options->input_count;
    struct budget *budget = options->budget;
    struct part_merge *m = mem_new(budget, sizeof *m);
    if (m == NULL) return why_set(why, ERR_NOMEM, "not enough memory to merge parts");
    m->options = *options;
    m->budget = budget;
    m->source_count = count;
    arena_init(&m->tenant_arena, budget, 0, 0);
    arena_init(&m->exemplar_arena, budget, 0, 1024);
    interleave_init(&m->interleave, budget, NULL);
    m->interleave.rollups = ROLLUP_WHOLE;
    buf_init(&m->counts, budget, UINT32_MAX);
    buf_init(&m->value, budget, UINT32_MAX);
    buf_init(&m->pieces, budget, UINT32_MAX);
    buf_init(&m->exemplars, budget, UINT32_MAX);
    m->sources = mem_new(budget, count * sizeof *m->sources);
    m->group = mem_alloc(budget, count * sizeof(struct merge_source *));
    m->heap.at = mem_alloc(budget, count * sizeof(struct merge_source *));
    bool complete = m->sources != NULL && m->group != NULL && m->heap.at != NULL;
    enum err e = complete ? OK : ERR_NOMEM;
    /* The cache has a fixed size, since part_merge_memory_base() includes it. */
    if (e == OK) e = times_cache_new(budget, TIMES_KEPT, &m->interleave.times);
    for (uint32_t i = 0; i < count && e == OK; i++)
        e = source_init(m, &m->sources[i], i);
    if (e) {
        part_merge_free(m);
        return why_set(why, e, "not enough memory to merge parts");
    }
    *ret_merge = m;
    return OK;
}

void
part_merge_free(struct part_merge *m)
{
    if (m == NULL) return;
    struct budget *budget = m->budget;
    uint32_t count = m->source_count;
    part_writer_free(m->writer);
    for (uint32_t i = 0; i < count && m->sources != NULL; i++) {
        struct merge_source *s = &m->sources[i];
        if (s->part == NULL) continue;
        row_reader_free(s->rows);
        value_walk_fini(&s->values);
        exemplar_walk_fini(&s->exemplars);
        if (s->deleted != NULL) roaring_bitmap_free(s->deleted);
        buf_fini(&s->hidden);
        buf_fini(&s->pairs);
        buf_fini(&s->pairs_before);
    }
    interleave_fini(&m->interleave);
    merge_levels_free(m);
    mem_free(budget, m->sources, count * sizeof *m->sources);
    mem_free(budget, m->group, count * sizeof(struct merge_source *));
    mem_free(budget, m->heap.at, count * sizeof(struct merge_source *));
    mem_free(budget, m->times, CODEC_SAMPLES_MAX * sizeof *m->times);
    buf_fini(&m->counts);
    buf_fini(&m->value);
    buf_fini(&m->pieces);
    buf_fini(&m->exemplars);
    arena_fini(&m->tenant_arena);
    arena_fini(&m->exemplar_arena);
    mem_free(budget, m, sizeof *m);
}

/* --- tenants ---------------------------------------------------------------------------------- */

enum { ARENA_KEPT_BYTES = 64 * 1024 }; /* kept from tenant to tenant */

static const struct part_tenant *
next_tenant(const struct merge_source *s)
{
    return s->next_tenant < part_tenant_count(s->part) ? part_tenant_at(s->part, s->next_tenant)
                                                       : NULL;
}

static enum err
tenant_begin(struct part_merge *m)
{
    const struct part_tenant *first = NULL;
    for (uint32_t i = 0; i < m->source_count; i++) {
        const struct part_tenant *t = next_tenant(&m->sources[i]);
        if (t == NULL) continue;
        if (first == NULL || bytes_compare(t->name, first->name) < 0) first = t;
    }
    m->phase = first == NULL ? PHASE_DONE : PHASE_WALK;
    if (first == NULL) return OK;
    assert(m->tenant.at == NULL || bytes_compare(m->tenant, first->name) < 0); /* invariant 1 */
    m->tenant = first->name;
    m->has_rules = series_rules_least_age_ms(m->options.rules, m->tenant) != INT64_MAX;
    m->has_levels = merge_levels_concern(m, m->tenant);
    m->count = (struct part_merge_counts){.tenant = first->name};
    m->walk_source = m->walk_row = 0;
    m->work += ROW_WORK;
    arena_reset_to(&m->tenant_arena, ARENA_KEPT_BYTES);
    for (uint32_t i = 0; i < m->source_count; i++) {
        struct merge_source *s = &m->sources[i];
        const struct part_tenant *t = next_tenant(s);
        s->tenant = NULL;
        s->active = s->has_exemplars = false;
        s->live = s->used = NULL;
        if (t == NULL || !bytes_equal(t->name, m->tenant)) continue;
        s->tenant = t;
        s->next_tenant++;
        enum err e = merge_walk_begin(m, s);
        if (e) return e;
    }
    return OK;
}

static enum err
each_metadata(void *context, const struct metadata *metadata)
{
    struct part_merge *m = context;
    return part_write_metadata(m->writer, metadata, &m->why);
}

/* Moves the counts of the interleaved samples to those of the tenant. */
static void
move_counts(uint64_t *from, uint64_t *to)
{
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        to[k] += from[k];
        from[k] = 0;
    }
}

static enum err
tenant_end(struct part_merge *m)
{
    enum err e = OK;
    assert(m->heap.count == 0); /* invariant 2 */
    /* Every part has all metadata of a tenant that was known when it was written: the newest is
     * enough. */
    for (uint32_t i = m->source_count; i > 0 && m->options.with_metadata; i--) {
        const struct merge_source *s = &m->sources[i - 1];
        if (s->tenant == NULL || s->tenant->metadata_page == 0) continue;
        e = part_metadata(s->part, s->tenant, each_metadata, m, &m->why);
        if (e) return merge_source_error(m, s, e);
        break;
    }
    move_counts(m->interleave.duplicate_count, m->count.duplicate);
    move_counts(m->interleave.superseded_count, m->count.superseded);
    move_counts(m->interleave.by_window_count, m->count.by_window);
    move_counts(m->interleave.missed_count, m->count.missed);
    move_counts(m->interleave.deleted_count, m->count.deleted);
    move_counts(m->interleave.joined_count, m->count.downsampled);
    struct part_merge_counts none = {.tenant = m->count.tenant};
    if (memcmp(&m->count, &none, sizeof none) != 0) buf_put(&m->counts, &m->count, sizeof none);
    m->phase = PHASE_TENANT;
    return buf_error(&m->counts);
}

/* --- steps ------------------------------------------------------------------------------------ */

static enum err
advance(struct part_merge *m)
{
    switch (m->phase) {
    case PHASE_TENANT:
        return tenant_begin(m);
    case PHASE_WALK:
        return merge_walk(m);
    case PHASE_PAIRS:
        return merge_pair(m);
    case PHASE_SERIES:
        return merge_next_series(m);
    case PHASE_SAMPLES:
        return merge_samples(m);
    case PHASE_EXEMPLARS:
        return merge_exemplars(m);
    case PHASE_TENANT_END:
        return tenant_end(m);
    case PHASE_DONE:
        break;
    }
    return OK;
}

enum err
part_merge_step(struct part_merge *m, uint64_t samples, bool *ret_done, uint32_t *ret_input,
                struct why *why)
{
    m->work = 0;
    m->why = (struct why){"not enough memory to merge parts"};
    do {
        enum err e = advance(m);
        if (e == ERR_CORRUPT) *ret_input = m->failed_source;
        if (e && why != NULL) *why = m->why;
        if (e) return e;
    } while (m->phase != PHASE_DONE && m->work < samples);
    *ret_done = m->phase == PHASE_DONE;
    return OK;
}

enum err
part_merge_finish(struct part_merge *m, struct part_info *ret_info,
                  const struct part_merge_counts **ret_counts, uint32_t *ret_count, struct why *why)
{
    assert(m->phase == PHASE_DONE);
    struct part_info info = {0};
    enum err e = m->writer == NULL ? OK : part_writer_finish(m->writer, &info, why);
    if (e) return e;
    *ret_info = info;
    *ret_counts = (const struct part_merge_counts *)(const void *)m->counts.at;
    *ret_count = (uint32_t)(m->counts.size / sizeof **ret_counts);
    return OK;
}
