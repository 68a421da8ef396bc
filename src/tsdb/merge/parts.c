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
 *     walk.c      WALK: which series have something that stays
 *     labels.c    PAIRS, SERIES: both in order
 *     samples.c   SAMPLES, EXEMPLARS: of one series
 *     levels.c    SAMPLES that rollups replace
 *     parts.c     tenants, metadata, counts
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

#include <assert.h>
#include <roaring/roaring.h>

#include "tsdb/merge/parts_private.h"
#include "tsdb/part/times.h"

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
    s->in_window = info->max_ms >= window->min_ms && info->min_ms <= window->max_ms;
    s->untouched = info->min_ms >= window->min_ms && info->max_ms <= window->max_ms &&
                   info->min_ms >= m->options.expired_before_ms &&
                   !part_merge_may_expire(&m->options, info) && s->deleted == NULL;
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
    for (uint32_t i = 0; i < count && e == OK; i++) {
        e = source_init(m, &m->sources[i], i);
    }
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
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        m->count.downsampled[k] += m->interleave.joined_count[k];
        m->interleave.joined_count[k] = 0;
    }
    const struct part_merge_counts *c = &m->count;
    uint64_t any = 0;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        any |= c->written[k] | c->duplicate[k] | c->superseded[k] | c->deleted[k] | c->expired[k] |
               c->downsampled[k] | c->by_window[k] | c->missed[k];
    if (any != 0) buf_put(&m->counts, &m->count, sizeof m->count);
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
