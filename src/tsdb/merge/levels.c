/*
 * levels.c - replaces samples of a series by rollups of their windows, where a level of
 * downsampling applies.
 *
 * Samples of a run are gathered in chunks of whole windows. A chunk becomes rollups if they take at
 * most half of the bytes that its samples take in the inputs; otherwise the samples are written,
 * and the next merge, or a coarser level, tries again. Rollups that are coarse enough are written
 * as they are, finer ones are joined. A window is rolled up as a whole or not at all: where it
 * includes rollups already, its samples are joined with them whatever they take.
 *
 * Not rolled up are windows that are not wholly in the time of the output, in which another live
 * part may have samples, or which have histograms.
 *
 * Invariants:
 * 1. Samples of the chunk are of whole windows of its resolution, but for the last window, and
 *    after those of all rollups that wait.
 * 2. With `has_open`, no samples are in the chunk, and `open` is of the window that ends at
 *    window_end_ms.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "tsdb/codec/rollups.h"
#include "tsdb/merge/parts_private.h"

enum {
    CHUNK_SAMPLES = CODEC_SAMPLES_MAX,
    CHUNK_ENOUGH = CHUNK_SAMPLES / 2, /* a chunk ends with the window in which it gets so many */
    CHUNKS_ALIKE = 3, /* that are not measured after one that takes at most a third */
    SAMPLES_MIN = 4,  /* samples for each window, on average, that may be worth it */
};

/* A level of the current series. */
struct series_level {
    int64_t resolution_ms;
    int64_t before_ms; /* end of the last window */
    struct rule_rolled *rolled;
};

struct merge_levels {
    struct codec_scratch *scratch;
    struct buf encoded;
    struct series_level of_series[PART_MERGE_LEVELS_MAX]; /* finest first */
    uint32_t count;
    double bytes_each;    /* bytes of a sample of the run in the inputs */
    int64_t raw_until_ms; /* time of the last histogram: its window stays as it is */

    int64_t known_until_ms; /* `resolution_ms` is right up to this time */
    int64_t resolution_ms;

    /* The chunk. */
    int64_t chunk_resolution_ms; /* 0: samples that stay */
    int64_t window_end_ms;       /* of the last window; INT64_MIN: the next sample begins one */
    uint32_t sample_count;
    uint32_t window_at;       /* the first sample of the last window */
    uint32_t taken_for_worth; /* the next chunks of the run that are not measured */
    double saved_share;       /* of the bytes of the chunk that was measured last */
    bool has_starts;
    int64_t times[CHUNK_SAMPLES];
    uint64_t bits[CHUNK_SAMPLES];
    int64_t starts[CHUNK_SAMPLES];
    struct rollup windows[BLOCK_ROLLUPS_MAX];
    bool has_open;
    struct rollup open; /* a window that becomes a rollup, whatever it takes */

    /* Rollups that wait to be written. */
    struct rollup pending[BLOCK_ROLLUPS_MAX];
    uint32_t pending_count;
    int64_t pending_resolution_ms;
    int64_t row_times[2 * BLOCK_ROLLUPS_MAX];
    uint64_t row_bits[2 * BLOCK_ROLLUPS_MAX];
};

enum { SCRATCH_BYTES = 640 * 1024, WINDOW_BYTES = 256 };

uint64_t
part_merge_memory_levels(void)
{
    return sizeof(struct merge_levels) + SCRATCH_BYTES + WINDOW_BYTES * BLOCK_ROLLUPS_MAX;
}

void
merge_levels_free(struct part_merge *m)
{
    struct merge_levels *l = m->levels;
    if (l == NULL) return;
    codec_scratch_free(l->scratch);
    buf_fini(&l->encoded);
    mem_free(m->budget, l, sizeof *l);
}

static enum err
levels_make(struct part_merge *m)
{
    if (m->levels != NULL) return OK;
    struct merge_levels *l = mem_new(m->budget, sizeof *l);
    if (l == NULL) return ERR_NOMEM;
    m->levels = l;
    buf_init(&l->encoded, m->budget, PAGE_BYTES_MAX);
    l->raw_until_ms = l->known_until_ms = l->window_end_ms = INT64_MIN;
    return codec_scratch_new(m->budget, &l->scratch);
}

/* --- the levels of a series ------------------------------------------------------------------- */

bool
merge_levels_concern(const struct part_merge *m, struct bytes tenant)
{
    int64_t min_ms = INT64_MAX;
    for (uint32_t i = 0; i < m->source_count; i++) {
        const struct part_info *info = part_info(m->sources[i].part);
        if (info->min_ms < min_ms) min_ms = info->min_ms;
    }
    for (uint32_t i = 0; i < m->options.level_count; i++) {
        const struct part_merge_level *level = &m->options.levels[i];
        int64_t age_ms = series_rules_least_age_ms(level->rules, tenant);
        if (age_ms != INT64_MAX && min_ms < m->options.levels_now_ms - age_ms) return true;
    }
    return false;
}

bool
part_merge_nests(const struct part *part, int64_t resolution_ms)
{
    for (uint32_t k = 0; k < part->resolution_count; k++) {
        int64_t r = part->resolutions_ms[k];
        if (r % resolution_ms != 0 && resolution_ms % r != 0) return false;
    }
    return true;
}

static bool
all_nest(const struct part_merge *m, int64_t resolution_ms)
{
    for (uint32_t i = 0; i < m->source_count; i++) {
        if (!part_merge_nests(m->sources[i].part, resolution_ms)) return false;
    }
    return true;
}

enum err
merge_levels_begin(struct part_merge *m)
{
    struct bytes labels;
    const struct block_ref *blocks;
    uint32_t count;
    if (!m->has_levels) return OK;
    enum err e = levels_make(m);
    if (e) return e;
    struct merge_levels *l = m->levels;
    struct merge_source *s = m->group[0];
    l->count = 0;
    l->raw_until_ms = l->known_until_ms = INT64_MIN;
    e = row_read(s->rows, s->tenant->first_series + s->row, &labels, &blocks, &count, &m->why);
    if (e) return merge_source_error(m, s, e);
    for (uint32_t i = 0; i < m->options.level_count; i++) {
        const struct part_merge_level *level = &m->options.levels[i];
        int64_t age_ms;
        const struct series_rule *rule =
            series_rules_find(level->rules, m->tenant, labels, &age_ms);
        if (rule == NULL) continue;
        if (!all_nest(m, level->resolution_ms)) continue;
        int64_t until_ms = m->options.levels_now_ms - age_ms;
        int64_t end_ms = rollup_window_end(until_ms, level->resolution_ms);
        if (end_ms > until_ms) end_ms -= level->resolution_ms;
        l->of_series[l->count++] = (struct series_level){
            level->resolution_ms, end_ms, &level->rolled[series_rules_index(level->rules, rule)]};
    }
    return OK;
}

bool
merge_levels_want(const struct part_merge *m, const struct merge_piece *piece)
{
    const struct merge_levels *l = m->levels;
    if (!m->has_levels || block_kind(piece->block) != SAMPLE_FLOAT) return false;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct series_level *level = &l->of_series[i];
        if (level->resolution_ms > piece->block->resolution_ms &&
            rollup_window_end(piece->min_ms, level->resolution_ms) <= level->before_ms) {
            return true;
        }
    }
    return false;
}

/* True if all samples of the window are here, and may be replaced. */
static bool
may_replace(const struct part_merge *m, struct time_range window)
{
    if (!range_holds(m->options.window, window)) return false;
    if (m->levels->raw_until_ms >= window.min_ms) return false;
    for (uint32_t i = 0; i < m->options.foreign_count; i++) {
        if (ranges_meet(m->options.foreign[i], window)) return false;
    }
    return true;
}

/* The resolution that is wanted at a time; 0 for samples. */
static int64_t
resolution_at(struct part_merge *m, int64_t t_ms)
{
    struct merge_levels *l = m->levels;
    if (t_ms <= l->known_until_ms) return l->resolution_ms;
    l->resolution_ms = 0;
    l->known_until_ms =
        l->count == 0 ? t_ms : rollup_window_end(t_ms, l->of_series[0].resolution_ms);
    for (uint32_t i = l->count; i > 0 && l->resolution_ms == 0; i--) {
        int64_t resolution_ms = l->of_series[i - 1].resolution_ms;
        int64_t end_ms = rollup_window_end(t_ms, resolution_ms);
        if (end_ms > l->of_series[i - 1].before_ms || end_ms < INT64_MIN + resolution_ms) continue;
        struct time_range window = {end_ms - resolution_ms + 1, end_ms};
        if (may_replace(m, window)) l->resolution_ms = resolution_ms;
    }
    return l->resolution_ms;
}

/* --- writing ---------------------------------------------------------------------------------- */

static enum err
pending_out(struct part_merge *m)
{
    struct merge_levels *l = m->levels;
    uint32_t count = l->pending_count;
    l->pending_count = 0;
    if (count == 0) return OK;
    return part_write_rollups(m->writer, l->pending, count, l->pending_resolution_ms, &m->why);
}

static enum err
rollup_add(struct part_merge *m, const struct rollup *r, int64_t resolution_ms)
{
    struct merge_levels *l = m->levels;
    bool fits = l->pending_count < BLOCK_ROLLUPS_MAX && l->pending_resolution_ms == resolution_ms;
    enum err e = fits ? OK : pending_out(m);
    l->pending_resolution_ms = resolution_ms;
    l->pending[l->pending_count++] = *r;
    return e;
}

/* Counts samples and windows that the level of the chunk replaces and makes. */
static void
count_rolled(struct part_merge *m, uint64_t samples, uint64_t windows)
{
    struct merge_levels *l = m->levels;
    m->count.downsampled[LEDGER_FLOAT] += samples;
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->of_series[i].resolution_ms != l->chunk_resolution_ms) continue;
        l->of_series[i].rolled->samples[LEDGER_FLOAT] += samples;
        l->of_series[i].rolled->windows += windows;
    }
}

/* Counts what the windows of the chunk save. */
static void
count_saved(struct part_merge *m, uint64_t samples)
{
    struct merge_levels *l = m->levels;
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->of_series[i].resolution_ms != l->chunk_resolution_ms) continue;
        l->of_series[i].rolled->bytes +=
            (uint64_t)(l->saved_share * l->bytes_each * (double)samples);
    }
}

static enum err
samples_out(struct part_merge *m, uint32_t from, uint32_t until)
{
    struct merge_levels *l = m->levels;
    if (from == until) return OK;
    struct sample_batch batch = {.kind = SAMPLE_FLOAT,
                                 .count = until - from,
                                 .times_ms = l->times + from,
                                 .value_bits = l->bits + from,
                                 .starts_ms = l->has_starts ? l->starts + from : NULL};
    enum err e = pending_out(m);
    m->count.written[LEDGER_FLOAT] += batch.count;
    return e ? e : part_write_samples(m->writer, &batch, &m->why);
}

/* Joins samples of one window, as rollup_join() would. */
static struct rollup
roll_up(const int64_t *times_ms, const uint64_t *bits, uint32_t count)
{
    struct rollup r = {.least = NAN, .greatest = NAN};
    double before = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (bits[i] == STALE_NAN_BITS) {
            if (!r.is_stale) r.stale_ms = times_ms[i];
            r.is_stale = true;
            continue;
        }
        double value = bits_double(bits[i]);
        if (r.count++ == 0) {
            r.first_ms = times_ms[i];
            r.first_bits = bits[i];
        } else if (value < before) {
            r.resets++;
            r.changes++;
            r.correction += before;
        } else {
            r.changes += value != before && !(isnan(value) && isnan(before));
        }
        r.is_stale = false;
        r.last_ms = times_ms[i];
        r.last_bits = bits[i];
        before = value;
        if (isnan(value)) {
            r.nan_count++;
            continue;
        }
        if (!(r.least <= value)) r.least = value;
        if (!(r.greatest >= value)) r.greatest = value;
        precise_add(&r.sum, value);
    }
    if (r.count == 0) r.first_ms = r.last_ms = r.stale_ms;
    assert(rollup_is_valid(&r));
    return r;
}

/* Makes the windows of the first samples of the chunk. False if there are too many of them. */
static bool
make_windows(struct merge_levels *l, uint32_t until, uint32_t *ret_count)
{
    uint32_t most = until / SAMPLES_MIN, n = 0;
    int64_t end_ms;
    if (most > BLOCK_ROLLUPS_MAX) most = BLOCK_ROLLUPS_MAX;
    for (uint32_t i = 0, end; i < until; i = end) {
        if (n == most) return false;
        end_ms = rollup_window_end(l->times[i], l->chunk_resolution_ms);
        for (end = i + 1; end < until && l->times[end] <= end_ms;)
            end++;
        l->windows[n++] = roll_up(l->times + i, l->bits + i, end - i);
    }
    *ret_count = n;
    return true;
}

/* True if rollups of these windows take at most half of what the samples take. After a chunk that
 * was clearly worth it, the next few are taken to be. */
static bool
is_worth(struct merge_levels *l, uint32_t windows, uint32_t samples)
{
    if (l->taken_for_worth > 0) {
        l->taken_for_worth--;
        return true;
    }
    buf_clear(&l->encoded);
    codec_rollups_encode_block(l->scratch, l->windows, windows, l->chunk_resolution_ms,
                               l->row_times, l->row_bits, &l->encoded);
    double level = (double)l->encoded.size, replaced = l->bytes_each * samples;
    if (replaced > 0) l->saved_share = 1 - level / replaced;
    if (3 * level <= replaced) l->taken_for_worth = CHUNKS_ALIKE;
    return rollups_are_worth(level, replaced);
}

/* Writes the first samples of the chunk, or rollups of them; those from `until` on stay in it. */
static enum err
chunk_out(struct part_merge *m, uint32_t until)
{
    struct merge_levels *l = m->levels;
    uint32_t windows = 0, left = l->sample_count - until;
    enum err e = OK;
    bool worth = until > 0 && l->chunk_resolution_ms > 0 && make_windows(l, until, &windows) &&
                 is_worth(l, windows, until);
    if (worth) {
        for (uint32_t i = 0; i < windows && e == OK; i++) {
            e = rollup_add(m, &l->windows[i], l->chunk_resolution_ms);
        }
        count_rolled(m, until, windows);
        count_saved(m, until);
    } else {
        e = samples_out(m, 0, until);
    }
    memmove(l->times, l->times + until, left * sizeof *l->times);
    memmove(l->bits, l->bits + until, left * sizeof *l->bits);
    memmove(l->starts, l->starts + until, left * sizeof *l->starts);
    l->sample_count = left;
    l->window_at = 0;
    return e ? e : buf_error(&l->encoded);
}

/* Ends the window of the last sample, and the chunk. */
static enum err
all_out(struct part_merge *m)
{
    struct merge_levels *l = m->levels;
    enum err e = OK;
    if (l->has_open) {
        assert(l->sample_count == 0); /* invariant 2 */
        e = rollup_add(m, &l->open, l->chunk_resolution_ms);
    } else {
        e = chunk_out(m, l->sample_count);
    }
    l->has_open = false;
    l->window_end_ms = INT64_MIN;
    return e;
}

/* Joins the samples of the last window, which becomes a rollup. */
static enum err
open_window(struct part_merge *m)
{
    struct merge_levels *l = m->levels;
    enum err e = chunk_out(m, l->window_at);
    l->open = (struct rollup){.count = 0};
    if (l->sample_count > 0) l->open = roll_up(l->times, l->bits, l->sample_count);
    count_rolled(m, l->sample_count, 1);
    l->sample_count = 0;
    l->has_open = true;
    return e;
}

/* --- what the inputs have --------------------------------------------------------------------- */

/* Begins a window of the resolution that is wanted at a time, unless it is in the last one. */
static enum err
enter_window(struct part_merge *m, int64_t t_ms)
{
    struct merge_levels *l = m->levels;
    int64_t resolution_ms = resolution_at(m, t_ms);
    enum err e = OK;
    if (t_ms <= l->window_end_ms && resolution_ms == l->chunk_resolution_ms) return OK;
    bool ends = l->has_open || resolution_ms != l->chunk_resolution_ms ||
                l->window_end_ms == INT64_MIN || l->sample_count >= CHUNK_ENOUGH;
    if (ends) e = all_out(m);
    if (resolution_ms != l->chunk_resolution_ms) l->taken_for_worth = 0;
    l->chunk_resolution_ms = resolution_ms;
    l->window_end_ms = resolution_ms == 0 ? INT64_MAX : rollup_window_end(t_ms, resolution_ms);
    l->window_at = l->sample_count;
    return e;
}

/* Takes samples of one window from batch[from] on: at least one. */
static enum err
take_samples(struct part_merge *m, const struct sample_batch *batch, uint32_t from,
             uint32_t *ret_taken)
{
    struct merge_levels *l = m->levels;
    int64_t t_ms = batch->times_ms[from];
    *ret_taken = 1;
    enum err e = enter_window(m, t_ms);
    if (e == OK && l->sample_count == CHUNK_SAMPLES) {
        e = l->chunk_resolution_ms == 0 ? chunk_out(m, l->sample_count) : open_window(m);
    }
    if (e) return e;
    if (l->has_open) {
        struct rollup one = rollup_of_sample(t_ms, batch->value_bits[from]);
        rollup_join(&l->open, &one);
        count_rolled(m, 1, 0);
        return OK;
    }
    int64_t until_ms = l->known_until_ms < l->window_end_ms ? l->known_until_ms : l->window_end_ms;
    uint32_t n = l->sample_count, most = batch->count - from, count = 1;
    if (most > CHUNK_SAMPLES - n) most = CHUNK_SAMPLES - n;
    while (count < most && batch->times_ms[from + count] <= until_ms)
        count++;
    l->has_starts = (n > 0 && l->has_starts) || batch->starts_ms != NULL;
    memcpy(l->times + n, batch->times_ms + from, count * sizeof *l->times);
    memcpy(l->bits + n, batch->value_bits + from, count * sizeof *l->bits);
    if (batch->starts_ms != NULL)
        memcpy(l->starts + n, batch->starts_ms + from, count * sizeof *l->starts);
    else
        memset(l->starts + n, 0, count * sizeof *l->starts);
    l->sample_count += count;
    *ret_taken = count;
    return OK;
}

static enum err
take_rollup(struct part_merge *m, const struct rollup *r, int64_t resolution_ms)
{
    struct merge_levels *l = m->levels;
    int64_t t_ms = rollup_end_ms(r);
    if (resolution_at(m, t_ms) <= resolution_ms) {
        enum err e = all_out(m);
        return e ? e : rollup_add(m, r, resolution_ms);
    }
    enum err e = enter_window(m, t_ms);
    if (e == OK && !l->has_open) e = open_window(m);
    if (e == OK) rollup_join(&l->open, r);
    return e;
}

static int64_t
end_of(const struct histogram_rollup *r)
{
    return r->is_stale ? r->stale_ms : r->last_ms;
}

/* Histograms and their rollups are written as they are; floats in their windows, too. */
static enum err
take_histograms(struct part_merge *m, const struct sample_batch *batch)
{
    struct merge_levels *l = m->levels;
    enum err e = OK;
    const struct histogram_rollup *rollups = batch->histogram_rollups;
    int64_t resolution_ms = batch->resolution_ms;
    int64_t first_ms = rollups == NULL ? batch->times_ms[0] : end_of(&rollups[0]);
    int64_t last_ms = rollups == NULL
                          ? batch->times_ms[batch->count - 1]
                          : rollup_window_end(end_of(&rollups[batch->count - 1]), resolution_ms);
    bool in_window = l->chunk_resolution_ms > 0 && first_ms <= l->window_end_ms;
    if (in_window && !l->has_open) {
        e = chunk_out(m, l->window_at);
        if (e == OK) e = samples_out(m, 0, l->sample_count);
        l->sample_count = 0;
    }
    if (e == OK) e = all_out(m);
    if (e == OK) e = pending_out(m);
    l->raw_until_ms = last_ms;
    l->known_until_ms = INT64_MIN;
    if (e) return e;
    if (rollups != NULL) {
        return part_write_histogram_rollups(m->writer, rollups, batch->count, resolution_ms,
                                            &m->why);
    }
    m->count.written[LEDGER_HISTOGRAM] += batch->count;
    return part_write_samples(m->writer, batch, &m->why);
}

enum err
merge_levels_run(struct part_merge *m, uint64_t bytes, uint64_t samples)
{
    enum err e = levels_make(m);
    if (e) return e;
    m->levels->taken_for_worth = 0;
    m->levels->bytes_each = samples == 0 ? 0 : (double)bytes / (double)samples;
    if (!m->has_levels) m->levels->count = 0;
    return OK;
}

enum err
merge_levels_take(struct part_merge *m, const struct sample_batch *batch)
{
    enum err e = OK;
    if (batch->rollups == NULL && batch->kind != SAMPLE_FLOAT) return take_histograms(m, batch);
    for (uint32_t i = 0, taken = 1; i < batch->count && e == OK; i += taken) {
        e = batch->rollups == NULL ? take_samples(m, batch, i, &taken)
                                   : take_rollup(m, &batch->rollups[i], batch->resolution_ms);
    }
    return e;
}

enum err
merge_levels_end(struct part_merge *m)
{
    enum err e = all_out(m);
    return e ? e : pending_out(m);
}
