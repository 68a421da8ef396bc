/*
 * survey_levels.c - surveys what rules of downsampling would replace. The index says which blocks
 * they concern. How many windows these make, and whether a level is worth its bytes, is measured at
 * places spread evenly over the blocks of each rule: as in a merge, samples of a series from the
 * place on are joined to windows, which are encoded.
 */
#include "base/array.h"
#include "model/histogram_roller.h"
#include "tsdb/codec/histogram_rollups.h"
#include "tsdb/codec/rollups.h"
#include "tsdb/part/part.h"
#include "tsdb/read/select_private.h"

enum {
    PLACES_MAX = 1000,                     /* for all rules together, about */
    PLACE_SAMPLES = CODEC_SAMPLES_MAX / 2, /* a place ends with the window that has so many, */
    PLACE_HISTOGRAMS = 256,                /* or so many histograms */
    PLACE_HISTOGRAM_WINDOWS = 64,
    SCRATCH_BYTES_MAX = 1 << 20,
};

/* Figures of a rule: all that the index says, and those at the places. */
struct level_figures {
    uint64_t series;
    uint64_t blocks;
    uint64_t samples;
    uint64_t bytes;  /* of the samples, and of finer windows */
    uint64_t stride; /* every so many blocks there is a place */
    uint64_t visited;
    uint64_t measured_samples, measured_bytes;
    uint64_t worth_samples, worth_bytes; /* of these, where the level is worth it */
    uint64_t windows, windows_bytes;
    int64_t oldest_ms; /* of the first block; INT64_MAX without one */
};

/* A level and the times in which it is the one that replaces samples of a series. */
struct level_span {
    int64_t resolution_ms;
    struct time_range time;
    struct level_figures *figures;
};

struct levels_survey {
    const struct tsdb_level *levels;
    uint32_t level_count;
    int64_t now_ms;
    struct level_figures *figures; /* by rule */
    struct budget *budget;
    bool measures; /* in the second walk */

    struct interleave_item *items; /* of a series */
    uint32_t item_capacity;
    struct codec_scratch *scratch;
    struct buf encoded;
    struct rollup windows[BLOCK_ROLLUPS_MAX];
    struct histogram_roller
        roller; /* of the last window of histograms; those before it are here: */
    struct histogram_rollup histograms[PLACE_HISTOGRAM_WINDOWS];
    struct arena arena; /* of the histograms of a place */
    int64_t row_times[2 * BLOCK_ROLLUPS_MAX];
    uint64_t row_bits[2 * BLOCK_ROLLUPS_MAX];
};

/* --- a place ---------------------------------------------------------------------------------- */

/* The samples joined at a place. */
struct level_place {
    const struct level_span *span;
    bool has_histograms; /* it has either these or floats */
    uint32_t windows;
    uint64_t samples;
    bool has_finer; /* windows, which are joined whatever it takes */
    bool full;
    int64_t window_end_ms;
    int64_t last_ms;
};

/* Keeps the last window of histograms. */
static enum err
place_keep(struct levels_survey *s, const struct level_place *p)
{
    if (!p->has_histograms || p->windows == 0) return OK;
    return histogram_rollup_copy(&s->arena, &s->roller.rollup, &s->histograms[p->windows - 1]);
}

/* Begins the window that ends at a time, unless it is in it, or is full. */
static enum err
place_enter(struct levels_survey *s, struct level_place *p, int64_t end_ms)
{
    uint32_t windows_max = p->has_histograms ? PLACE_HISTOGRAM_WINDOWS : BLOCK_ROLLUPS_MAX;
    uint32_t enough = p->has_histograms ? PLACE_HISTOGRAMS : PLACE_SAMPLES;
    if (p->windows > 0 && end_ms == p->window_end_ms) return OK;
    p->full = p->samples >= enough || p->windows == windows_max;
    if (p->full) return OK;
    enum err e = place_keep(s, p);
    if (p->has_histograms)
        histogram_roller_clear(&s->roller);
    else
        s->windows[p->windows] = (struct rollup){.count = 0};
    p->windows++;
    p->window_end_ms = end_ms;
    return e;
}

static enum err
place_join(struct levels_survey *s, struct level_place *p, const struct sample_batch *b, uint32_t i)
{
    if (p->has_histograms && b->histogram_rollups != NULL)
        return histogram_roller_add_rollup(&s->roller, &b->histogram_rollups[i]);
    if (p->has_histograms)
        return histogram_roller_add(&s->roller, b->times_ms[i], &b->histograms[i]);
    const struct rollup one =
        b->rollups != NULL ? b->rollups[i] : rollup_of_sample(b->times_ms[i], b->value_bits[i]);
    rollup_join(&s->windows[p->windows - 1], &one);
    return OK;
}

static enum err
place_take(struct levels_survey *s, struct level_place *p, const struct sample_batch *batch)
{
    bool finer = sample_batch_has_windows(batch);
    enum err e = OK;
    p->has_finer |= finer;
    for (uint32_t i = 0; i < batch->count && e == OK; i++) {
        const struct rollup times =
            finer ? sample_batch_window(batch, i) : rollup_of_sample(batch->times_ms[i], 0);
        int64_t t_ms = rollup_end_ms(&times);
        e = place_enter(s, p, rollup_window_end(t_ms, p->span->resolution_ms));
        if (e || p->full) return e;
        e = place_join(s, p, batch, i);
        p->last_ms = t_ms;
        p->samples += finer ? 0 : 1;
    }
    return e;
}

/* True if the level may replace what the item has. */
static bool
is_concerned(const struct level_span *span, const struct interleave_item *item)
{
    if (item->type != PIECE_BLOCK && item->type != PIECE_BUNDLE && item->type != PIECE_ROLLUPS) {
        return false; /* in the head: it is young */
    }
    int64_t finer_ms = item->type == PIECE_ROLLUPS ? item->block.ref->resolution_ms : 0;
    bool nested = finer_ms == 0 || span->resolution_ms % finer_ms == 0;
    return finer_ms < span->resolution_ms && nested;
}

static enum err
place_count(struct levels_survey *s, const struct level_place *p, uint64_t bytes)
{
    struct level_figures *f = p->span->figures;
    buf_clear(&s->encoded);
    enum err e = place_keep(s, p);
    if (p->has_histograms && e == OK) {
        e = codec_histogram_rollups_encode_blocks(s->scratch, &s->arena, s->histograms, p->windows,
                                                  p->span->resolution_ms, s->row_times,
                                                  &s->encoded);
    } else if (e == OK) {
        codec_rollups_encode_block(s->scratch, s->windows, p->windows, p->span->resolution_ms,
                                   s->row_times, s->row_bits, &s->encoded);
    }
    if (e) return e;
    f->measured_samples += p->samples;
    f->measured_bytes += bytes;
    if (p->has_finer || rollups_are_worth((double)s->encoded.size, (double)bytes)) {
        f->worth_samples += p->samples;
        f->worth_bytes += bytes;
        f->windows += p->windows;
        f->windows_bytes += s->encoded.size;
    }
    return buf_error(&s->encoded);
}

static bool
has_kind(const struct level_place *p, const struct interleave_item *item)
{
    return (item->kind != SAMPLE_FLOAT) == p->has_histograms;
}

/* Measures the level from a time on, for samples of the kind of an item. The interleave of the
 * query is used for it. */
static enum err
measure(struct levels_survey *s, struct store_query *q, uint32_t item_count,
        const struct level_span *span, const struct interleave_item *of, int64_t from_ms,
        struct why *why)
{
    struct interleave *m = &q->interleave;
    struct level_place place = {.span = span, .has_histograms = of->kind != SAMPLE_FLOAT};
    struct sample_batch batch;
    uint64_t bytes = 0;
    interleave_reset(m, from_ms, span->time.max_ms, true);
    for (uint32_t i = 0; i < item_count; i++) {
        const struct interleave_item *item = &s->items[i];
        if (!is_concerned(span, item) || !has_kind(&place, item)) continue;
        if (item->max_ms < from_ms || item->min_ms > span->time.max_ms) continue;
        struct interleave_item *copy = interleave_add(m);
        if (copy == NULL) return ERR_NOMEM;
        *copy = *item;
    }
    interleave_begin(m);
    enum err e;
    arena_reset(&s->arena);
    while ((e = interleave_next(m, &batch, why)) == OK && batch.count > 0 && !place.full) {
        e = place_take(s, &place, &batch);
        if (e) return e;
    }
    if (e || place.windows == 0) return e;
    for (uint32_t i = 0; i < item_count; i++) {
        if (!is_concerned(span, &s->items[i]) || !has_kind(&place, &s->items[i])) continue;
        bytes += survey_item(&s->items[i], from_ms, place.last_ms).bytes;
    }
    return place_count(s, &place, bytes);
}

/* --- a series --------------------------------------------------------------------------------- */

/* The end of the last window of a level that is old enough for a rule. */
static int64_t
until_ms_of(const struct levels_survey *s, const struct tsdb_level *level, int64_t age_ms)
{
    if (s->now_ms == INT64_MIN) return INT64_MIN;
    int64_t until_ms = s->now_ms - age_ms;
    int64_t end_ms = rollup_window_end(until_ms, level->resolution_ms);
    return end_ms > until_ms ? end_ms - level->resolution_ms : end_ms;
}

/* The levels of a series, the coarsest first: each from where a coarser one ends. */
static uint32_t
find_spans(const struct levels_survey *s, struct bytes tenant, struct bytes labels,
           struct level_span *ret_spans)
{
    int64_t from_ms = INT64_MIN / 2;
    uint32_t count = 0, first = 0;
    for (uint32_t i = 0; i < s->level_count; i++) {
        first += series_rules_count(s->levels[i].rules);
    }
    for (uint32_t i = s->level_count; i > 0; i--) {
        const struct tsdb_level *level = &s->levels[i - 1];
        int64_t age_ms;
        const struct series_rule *rule = series_rules_find(level->rules, tenant, labels, &age_ms);
        first -= series_rules_count(level->rules);
        if (rule == NULL) continue;
        int64_t end_ms = until_ms_of(s, level, age_ms);
        if (end_ms < from_ms) continue;
        ret_spans[count++] =
            (struct level_span){level->resolution_ms,
                                {from_ms, end_ms},
                                &s->figures[first + series_rules_index(level->rules, rule)]};
        from_ms = end_ms + 1;
    }
    return count;
}

static enum err
survey_span(struct levels_survey *s, struct store_query *q, uint32_t item_count,
            const struct level_span *span, struct why *why)
{
    struct level_figures *f = span->figures;
    bool any = false;
    enum err e = OK;
    for (uint32_t i = 0; i < item_count && e == OK; i++) {
        const struct interleave_item *item = &s->items[i];
        if (!is_concerned(span, item)) continue;
        struct series_cost cost = survey_item(item, span->time.min_ms, span->time.max_ms);
        if (cost.samples == 0) continue;
        any = true;
        if (!s->measures) {
            f->blocks++;
            f->samples += item->type == PIECE_ROLLUPS ? 0 : cost.samples;
            f->bytes += cost.bytes;
            if (item->min_ms < f->oldest_ms) f->oldest_ms = item->min_ms;
        } else if (f->visited++ % f->stride == f->stride / 2) {
            int64_t resolution_ms = span->resolution_ms, from_ms = item->min_ms;
            from_ms = rollup_window_end(from_ms, resolution_ms) - resolution_ms + 1;
            if (from_ms < span->time.min_ms) from_ms = span->time.min_ms;
            e = measure(s, q, item_count, span, item, from_ms, why);
        }
    }
    if (!s->measures) f->series += any;
    return e;
}

static enum err
survey_series(void *context, struct store_query *q, struct bytes tenant, struct bytes labels,
              struct why *why)
{
    struct levels_survey *s = context;
    struct level_span spans[TSDB_LEVELS_MAX];
    uint32_t count = find_spans(s, tenant, labels, spans), items = q->interleave.item_count;
    if (count == 0) return OK;
    if (!array_reserve(s->budget, &s->items, &s->item_capacity, items + 1u)) return ERR_NOMEM;
    for (uint32_t i = 0; i < items; i++) {
        s->items[i] = q->interleave.items[i];
        s->items[i].hidden_count = 0; /* deleted samples are there until a merge */
    }
    enum err e = OK;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        e = survey_span(s, q, items, &spans[i], why);
    }
    return e;
}

static int64_t
levels_max_ms(void *context, struct bytes tenant)
{
    const struct levels_survey *s = context;
    int64_t least_ms = INT64_MAX;
    for (uint32_t i = 0; i < s->level_count; i++) {
        int64_t age_ms = series_rules_least_age_ms(s->levels[i].rules, tenant);
        if (age_ms < least_ms) least_ms = age_ms;
    }
    return least_ms == INT64_MAX ? INT64_MIN : s->now_ms - least_ms;
}

/* --- the survey ------------------------------------------------------------------------------- */

static uint64_t
share_of(uint64_t all, uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (uint64_t)((double)all * (double)part / (double)whole + 0.5);
}

static struct tsdb_level_survey
estimate(const struct level_figures *f)
{
    struct tsdb_level_survey x = {.series = f->series};
    x.samples = share_of(f->samples, f->worth_samples, f->measured_samples);
    x.kept_samples = f->samples - (x.samples < f->samples ? x.samples : f->samples);
    x.windows = share_of(f->bytes, f->windows, f->measured_bytes);
    x.bytes = share_of(f->bytes, f->worth_bytes, f->measured_bytes);
    x.bytes_after = share_of(f->bytes, f->windows_bytes, f->measured_bytes);
    x.oldest_ms = f->oldest_ms;
    return x;
}

static enum err
survey_twice(struct levels_survey *s, struct head *head, uint32_t rule_count,
             struct query_control *control, struct why *why)
{
    const struct series_walk walk = {levels_max_ms, survey_series, s};
    struct store_view *view;
    uint64_t blocks = 0;
    enum err e = store_view_open(head, VIEW_ALL, s->budget, &view, why);
    if (e) return e;
    lock_take(&head->lock);
    s->now_ms = retention_rules_now_ms(head);
    lock_drop(&head->lock);
    if (s->now_ms != INT64_MIN) e = store_walk(view, &walk, control, why);
    for (uint32_t i = 0; i < rule_count; i++) {
        blocks += s->figures[i].blocks;
    }
    for (uint32_t i = 0; i < rule_count; i++) {
        /* A rule with few blocks has a place, too. */
        uint64_t most = s->figures[i].blocks, stride = blocks / PLACES_MAX + 1;
        s->figures[i].stride = stride < most ? stride : most;
    }
    s->measures = true;
    if (e == OK && blocks > 0) e = store_walk(view, &walk, control, why);
    store_view_unref(view);
    return e;
}

enum err
levels_survey(struct head *head, const struct tsdb_level *levels, uint32_t level_count,
              struct query_control *control, struct tsdb_level_survey *ret, struct why *why)
{
    struct budget *budget = control == NULL ? NULL : control->budget;
    struct levels_survey *s = mem_new(budget, sizeof *s);
    uint32_t count = 0;
    for (uint32_t i = 0; i < level_count; i++) {
        count += series_rules_count(levels[i].rules);
    }
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a plan");
    s->levels = levels;
    s->level_count = level_count;
    s->budget = budget;
    buf_init(&s->encoded, budget, SCRATCH_BYTES_MAX);
    histogram_roller_init(&s->roller, budget);
    arena_init(&s->arena, budget, 0, 0);
    s->figures = mem_new(budget, (count + 1u) * sizeof *s->figures);
    for (uint32_t i = 0; s->figures != NULL && i < count; i++) {
        s->figures[i].oldest_ms = INT64_MAX;
    }
    enum err e = s->figures == NULL ? ERR_NOMEM : codec_scratch_new(budget, &s->scratch);
    if (e == OK) e = survey_twice(s, head, count, control, why);
    for (uint32_t i = 0, n = 0; i < level_count && e == OK; i++) {
        for (uint32_t k = 0; k < series_rules_count(levels[i].rules); k++, n++) {
            ret[n] = estimate(&s->figures[n]);
            ret[n].until_ms =
                until_ms_of(s, &levels[i], series_rules_at(levels[i].rules, k)->age_ms);
        }
    }
    codec_scratch_free(s->scratch);
    histogram_roller_fini(&s->roller);
    arena_fini(&s->arena);
    array_free(budget, s->items, s->item_capacity);
    if (s->figures != NULL) mem_free(budget, s->figures, (count + 1u) * sizeof *s->figures);
    buf_fini(&s->encoded);
    mem_free(budget, s, sizeof *s);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for a plan") : e;
}
