/*
 * samples.c - writes one series: its blocks, from all inputs that have it, and its exemplars.
 *
 * Blocks are sorted by time and cut into runs. A block that overlaps no other, loses no sample, and
 * to which no level of downsampling applies, is *loose*. It is copied as it is stored, without
 * decoding it, if it is large, or if it has no neighbour with which it could be joined: the writer
 * of an input has joined what it could. All others are decoded, merged, and written as full blocks.
 *
 *      input 1   [large ] [s]         [s]
 *      input 2               [s] [ s ]   [large ]
 *                 copied  |  one run    | copied
 *
 * Invariants:
 * 1. Each piece is in exactly one run, and a run that is copied is one clean piece.
 * 2. Samples are written in the order of their times: runs share no time.
 */
#include <assert.h>
#include <stdlib.h>

#include "tsdb/merge/parts_private.h"

/*
 * Sizes from which on a block is large: it is not decoded to fill it up. Between two large blocks
 * there is at most one small one, so blocks stay at least a quarter full on average.
 */
enum {
    LARGE_SAMPLES = CODEC_SAMPLES_MAX / 2,
    LARGE_BYTES = BLOCK_BYTES_MAX / 2,
    LARGE_HISTOGRAMS = 256, /* these may be full much earlier */
    LARGE_ROLLUPS = BLOCK_ROLLUPS_MAX / 2,
};

/* --- pieces ----------------------------------------------------------------------------------- */

static int
by_time_then_arrival(const void *a, const void *b)
{
    const struct merge_piece *x = a, *y = b;
    if (x->min_ms != y->min_ms) return x->min_ms < y->min_ms ? -1 : 1;
    return (x->source->number > y->source->number) - (x->source->number < y->source->number);
}

/* Samples of a block that a rule removes in part, or in this window in part, are taken as evenly
 * spread. */
static void
count_expired_bytes(struct part_merge *m, const struct merge_source *s, const struct block_ref *b,
                    enum merge_fate fate)
{
    const struct time_range *window = &m->options.window;
    if (s->rule == NULL || b->min_ms >= s->expired_before_ms) return;
    if (fate != FATE_STAYS && fate != FATE_EXPIRED) return;
    int64_t from_ms = b->min_ms > window->min_ms ? b->min_ms : window->min_ms;
    int64_t to_ms = b->max_ms < window->max_ms ? b->max_ms : window->max_ms;
    if (to_ms >= s->expired_before_ms) to_ms = s->expired_before_ms - 1;
    if (from_ms > to_ms) return;
    double share =
        ((double)to_ms - (double)from_ms + 1) / ((double)b->max_ms - (double)b->min_ms + 1);
    merge_removal(m, s)->bytes += (uint64_t)(share * (double)block_bytes_stored(b));
}

enum err
merge_samples_begin(struct part_merge *m)
{
    buf_clear(&m->pieces);
    for (uint32_t g = 0; g < m->group_count; g++) {
        struct merge_source *s = m->group[g];
        for (uint32_t i = 0; i < s->block_count; i++) {
            const struct block_ref *b = &s->blocks[i];
            bool mixed;
            enum merge_fate fate = merge_block_fate(m, s, b, &mixed);
            count_expired_bytes(m, s, b, fate);
            if (fate != FATE_STAYS) {
                merge_count_fate(m, s, fate, ledger_kind_of(block_kind(b)), block_samples(b));
                continue;
            }
            struct time_range span = block_span(b);
            struct merge_piece piece = {span.min_ms, span.max_ms, s, b, !mixed};
            buf_put(&m->pieces, &piece, sizeof piece);
        }
    }
    if (buf_error(&m->pieces)) return buf_error(&m->pieces);
    uint32_t count = (uint32_t)(m->pieces.size / sizeof(struct merge_piece));
    struct merge_piece *p = (struct merge_piece *)(void *)m->pieces.at;
    for (uint32_t i = 1; i < count; i++) {
        if (by_time_then_arrival(&p[i - 1], &p[i]) <= 0) continue;
        qsort(p, count, sizeof *p, by_time_then_arrival);
        break;
    }
    m->next_piece = 0;
    m->merging = false;
    m->phase = PHASE_SAMPLES;
    return merge_levels_begin(m);
}

/* --- runs ------------------------------------------------------------------------------------- */

/* The index after the pieces that overlap p[at], directly or through one another. */
static uint32_t
overlap_end(const struct merge_piece *p, uint32_t at, uint32_t count)
{
    int64_t max_ms = p[at].max_ms;
    uint32_t end = at + 1;
    while (end < count && p[end].min_ms <= max_ms) {
        if (p[end].max_ms > max_ms) max_ms = p[end].max_ms;
        end++;
    }
    return end;
}

static bool
is_large(const struct block_ref *b)
{
    uint32_t enough = b->codec != CODEC_FLOAT_V1 ? LARGE_HISTOGRAMS
                      : b->resolution_ms > 0     ? LARGE_ROLLUPS
                                                 : LARGE_SAMPLES;
    return b->count >= enough || b->values.size >= LARGE_BYTES;
}

/*
 * The run that begins at p[at]: *ret_copied if it is one block to be copied. A run ends before a
 * loose block that is large, or that cannot be joined with the loose one before it.
 */
static uint32_t
run_end(const struct part_merge *m, const struct merge_piece *p, uint32_t at, uint32_t count,
        bool *ret_copied)
{
    uint32_t end = overlap_end(p, at, count);
    bool loose = end == at + 1 && p[at].is_clean && !merge_levels_want(m, &p[at]), first = loose;
    *ret_copied = loose && is_large(p[at].block);
    while (!*ret_copied && end < count) {
        uint32_t next = overlap_end(p, end, count);
        bool next_loose = next == end + 1 && p[end].is_clean && !merge_levels_want(m, &p[end]);
        const struct merge_piece *x = &p[end - 1], *y = &p[end];
        if (next_loose && is_large(y->block)) break;
        if (loose && next_loose &&
            (x->source == y->source || !(x->block->codec == y->block->codec &&
                                         x->block->resolution_ms == y->block->resolution_ms)))
            break;
        end = next;
        loose = next_loose;
    }
    if (first && end == at + 1) *ret_copied = true;
    return end;
}

static enum err
copy_block(struct part_merge *m, const struct merge_piece *p)
{
    struct block_bytes bytes;
    struct merge_source *s = p->source;
    enum err e = block_hold(s->part, p->block, &bytes, &m->why);
    if (e) return merge_source_error(m, s, e);
    e = part_write_block(m->writer, p->block, &bytes, &m->why);
    block_release(s->part, &bytes);
    m->work += p->block->count;
    m->count.written[ledger_kind_of(block_kind(p->block))] += block_samples(p->block);
    return e;
}

static enum err
begin_merging(struct part_merge *m, const struct merge_piece *p, uint32_t count)
{
    interleave_reset(&m->interleave, m->options.window.min_ms, m->options.window.max_ms, false);
    m->interleave.expired_before_ms = m->group[0]->expired_before_ms;
    uint64_t bytes[LEDGER_KIND_COUNT] = {0}, samples[LEDGER_KIND_COUNT] = {0};
    m->leveling = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct merge_source *s = p[i].source;
        struct interleave_item *item = interleave_add(&m->interleave);
        if (item == NULL) return ERR_NOMEM;
        bool rollups = p[i].block->resolution_ms > 0;
        item->type = rollups ? PIECE_ROLLUPS : PIECE_BLOCK;
        item->kind = (uint8_t)block_kind(p[i].block);
        item->min_ms = p[i].min_ms;
        item->max_ms = p[i].max_ms;
        item->order = s->number;
        item->count = p[i].block->count;
        item->block.part = s->part;
        item->block.ref = p[i].block;
        m->leveling |= rollups || merge_levels_want(m, &p[i]);
        enum ledger_kind kind = ledger_kind_of(item->kind);
        if (!rollups) bytes[kind] += block_bytes_stored(p[i].block);
        samples[kind] += block_samples(p[i].block);
        if (p[i].is_clean) continue;
        item->hidden = (const struct time_range *)(const void *)s->hidden.at;
        item->hidden_count = (uint32_t)(s->hidden.size / sizeof *item->hidden);
    }
    interleave_begin(&m->interleave);
    m->merging = true;
    return m->leveling ? merge_levels_run(m, bytes, samples) : OK;
}

enum err
merge_samples(struct part_merge *m)
{
    if (m->merging) {
        struct sample_batch batch;
        enum err e = interleave_next(&m->interleave, &batch, &m->why);
        if (e == ERR_CORRUPT) {
            const struct interleave_item *item = &m->interleave.items[m->interleave.failed_item];
            return merge_source_error(m, &m->sources[item->order], e);
        }
        if (e) return e;
        m->merging = batch.count > 0;
        if (!m->merging) {
            /* Counts the samples that were left out of a run because they are expired. */
            for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
                merge_count_fate(m, m->group[0], FATE_EXPIRED, k, m->interleave.expired_count[k]);
                m->interleave.expired_count[k] = 0;
            }
        }
        m->work += batch.count;
        if (m->leveling) return m->merging ? merge_levels_take(m, &batch) : merge_levels_end(m);
        m->count.written[ledger_kind_of(batch.kind)] += batch.count;
        return m->merging ? part_write_samples(m->writer, &batch, &m->why) : OK;
    }
    uint32_t count, at = m->next_piece;
    const struct merge_piece *p = merge_pieces(m, &count);
    if (at == count) {
        m->phase = PHASE_EXEMPLARS;
        return OK;
    }
    bool copied;
    m->next_piece = run_end(m, p, at, count, &copied);
    assert(m->next_piece > at); /* invariant 1 */
    assert(m->next_piece <= count);
    assert(!copied || (p[at].is_clean && m->next_piece == at + 1)); /* invariant 1 */
    assert(m->next_piece == count ||
           p[m->next_piece - 1].max_ms < p[m->next_piece].min_ms); /* invariant 2 */
    return copied ? copy_block(m, &p[at]) : begin_merging(m, p + at, m->next_piece - at);
}

/* --- exemplars -------------------------------------------------------------------------------- */

/* One of several exemplars of a series that have the same time. */
struct equal_time {
    uint64_t bits;
    struct bytes labels; /* lie in the arena */
    uint32_t index;      /* order of arrival */
    bool is_duplicate;
};

static bool
stands_at_row(const struct merge_source *s)
{
    return s->has_exemplars && !s->exemplars.at_end &&
           s->exemplars.series == s->tenant->first_series + s->row;
}

/* Moves to the next exemplar of the row that stays; skips those of series that were left out. */
static enum err
exemplar_next(struct part_merge *m, struct merge_source *s)
{
    uint32_t series = s->tenant->first_series + s->row;
    while (s->has_exemplars && !s->exemplars.at_end && s->exemplars.series <= series) {
        if (s->exemplars.series == series) {
            enum merge_fate fate = merge_fate(m, s, s->exemplars.exemplar.t_ms);
            if (fate == FATE_STAYS) return OK;
            merge_count_fate(m, s, fate, LEDGER_EXEMPLAR, 1);
        }
        m->work++;
        enum err e = exemplar_walk_step(&s->exemplars, &m->why);
        if (e) return merge_source_error(m, s, e);
    }
    return OK;
}

static enum err
collect_exemplars(struct part_merge *m, struct merge_source *s, int64_t t_ms)
{
    while (stands_at_row(s) && s->exemplars.exemplar.t_ms == t_ms) {
        const struct exemplar *x = &s->exemplars.exemplar;
        struct equal_time one = {.bits = x->value_bits,
                                 .labels = arena_copy(&m->exemplar_arena, x->labels),
                                 .index = (uint32_t)(m->exemplars.size / sizeof one)};
        if (one.labels.at == NULL) return ERR_NOMEM;
        buf_put(&m->exemplars, &one, sizeof one);
        m->work += EXEMPLAR_WORK;
        enum err e = exemplar_walk_step(&s->exemplars, &m->why);
        if (e == OK) e = exemplar_next(m, s);
        if (e) return merge_source_error(m, s, e);
    }
    return buf_error(&m->exemplars);
}

static int
by_content(const void *a, const void *b)
{
    const struct equal_time *x = a, *y = b;
    if (x->bits != y->bits) return x->bits < y->bits ? -1 : 1;
    return bytes_compare(x->labels, y->labels);
}

static int
by_content_then_arrival(const void *a, const void *b)
{
    const struct equal_time *x = a, *y = b;
    int order = by_content(a, b);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static int
by_arrival(const void *a, const void *b)
{
    const struct equal_time *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

enum err
merge_exemplars(struct part_merge *m)
{
    enum err e = OK;
    bool found = false;
    int64_t t_ms = 0; /* time of the earliest one */
    for (uint32_t i = 0; i < m->group_count; i++) {
        struct merge_source *s = m->group[i];
        e = exemplar_next(m, s);
        if (e) return e;
        if (!stands_at_row(s)) continue;
        if (!found || s->exemplars.exemplar.t_ms < t_ms) t_ms = s->exemplars.exemplar.t_ms;
        found = true;
    }
    if (!found) {
        m->phase = PHASE_SERIES;
        return OK;
    }
    assert(m->series_count > 0);
    buf_clear(&m->exemplars);
    arena_reset(&m->exemplar_arena);
    for (uint32_t i = 0; i < m->group_count && e == OK; i++)
        e = collect_exemplars(m, m->group[i], t_ms);
    struct equal_time *all = (struct equal_time *)(void *)m->exemplars.at;
    uint32_t count = (uint32_t)(m->exemplars.size / sizeof *all);
    if (count > 1) {
        qsort(all, count, sizeof *all, by_content_then_arrival);
        for (uint32_t i = 1; i < count; i++)
            all[i].is_duplicate = by_content(&all[i - 1], &all[i]) == 0;
        qsort(all, count, sizeof *all, by_arrival);
    }
    for (uint32_t i = 0; i < count && e == OK; i++) {
        if (all[i].is_duplicate) {
            m->count.duplicate[LEDGER_EXEMPLAR]++;
            continue;
        }
        m->count.written[LEDGER_EXEMPLAR]++;
        e = part_write_exemplar(m->writer, m->series_count - 1, t_ms, all[i].bits, all[i].labels,
                                &m->why);
    }
    return e;
}
