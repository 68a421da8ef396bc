/*
 * walk.c - finds the series of an input that have something that stays. The pairs of a tenant are
 * written before its series, so this must be known before; where window, deletions and expiry
 * affect nothing of an input, all series stay and the walk is skipped.
 *
 * The blocks of a row suffice in most cases: their first and last times are those of samples. Only
 * where neither stays, all times are read; so are rollups of which something is deleted, since a
 * window that is cut is deleted whole.
 */
#include "tsdb/merge/parts_private.h"

#include <roaring/roaring.h>

/* --- fates ------------------------------------------------------------------------------------ */

static const struct time_range *
hidden_ranges(const struct merge_source *s, uint32_t *ret_count)
{
    *ret_count = (uint32_t)(s->hidden.size / sizeof(struct time_range));
    return (const struct time_range *)(const void *)s->hidden.at;
}

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
    if (s->rule != NULL) merge_removal(m, s)->count[kind] += count;
}

struct rule_removal *
merge_removal(struct part_merge *m, const struct merge_source *s)
{
    return &m->options.removed[series_rules_index(m->options.rules, s->rule)];
}

/* Finds the time before which samples of the series are expired. */
static enum err
find_rule(struct part_merge *m, struct merge_source *s, uint32_t series)
{
    struct bytes labels;
    s->rule = NULL;
    s->expired_before_ms = m->options.expired_before_ms;
    if (!m->has_rules) return OK;
    enum err e = row_read(s->rows, series, &labels, &s->blocks, &s->block_count, &m->why);
    if (e) return e;
    int64_t age_ms;
    const struct series_rule *rule =
        series_rules_find(m->options.rules, m->tenant, labels, &age_ms);
    if (rule == NULL || m->options.rules_now_ms - age_ms <= s->expired_before_ms) return OK;
    s->rule = rule;
    s->expired_before_ms = m->options.rules_now_ms - age_ms;
    return OK;
}

enum err
merge_hidden(struct part_merge *m, struct merge_source *s, uint32_t row)
{
    const struct time_range *window = &m->options.window;
    uint32_t series = s->tenant->first_series + row;
    buf_clear(&s->hidden);
    enum err e = find_rule(m, s, series);
    if (e) return e;
    if (s->deleted == NULL || !roaring_bitmap_contains(s->deleted, series)) return OK;
    for (uint32_t i = 0; i < s->input->deletion_count; i++) {
        const struct part_deletion *d = &s->input->deletions[i];
        if (d->range.max_ms < window->min_ms || d->range.min_ms > window->max_ms) continue;
        if (!roaring_bitmap_contains(d->series, series)) continue;
        buf_put(&s->hidden, &d->range, sizeof d->range);
    }
    return buf_error(&s->hidden);
}

/* --- the walk --------------------------------------------------------------------------------- */

static uint64_t *
new_bits(struct part_merge *m, uint32_t count)
{
    return arena_new(&m->tenant_arena, ((size_t)count + 63) / 64 * sizeof(uint64_t));
}

enum err
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
    s->live = new_bits(m, t->series_count);
    s->used = new_bits(m, t->pair_count);
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

/* Judges the exemplars of the series; the walk is after them then. */
static enum err
judge_exemplars(struct part_merge *m, struct merge_source *s, uint32_t row, struct row_judgement *j)
{
    struct exemplar_walk *w = &s->exemplars;
    while (s->has_exemplars && !w->at_end && w->series <= s->tenant->first_series + row) {
        enum merge_fate fate = merge_fate(m, s, w->exemplar.t_ms);
        j->stays |= fate == FATE_STAYS;
        j->gone[fate][LEDGER_EXEMPLAR]++;
        enum err e = exemplar_walk_step(w, &m->why);
        if (e) return e;
    }
    return OK;
}

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
    if (e == OK) e = judge_exemplars(m, s, row, &j);
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

enum err
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
