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
 * part may have samples, or which may have floats and histograms; and deltas, since a rollup has no
 * start times, by which they are known.
 *
 * Invariants:
 * 1. Samples of the chunk are of whole windows of its resolution, but for the last window, and
 *    after those of all rollups that wait.
 * 2. With `has_open`, no samples are in the chunk, and `open` is of the window that ends at
 *    window_end_ms.
 * 3. All that waits is of floats, or of histograms: has_histograms. A window has one of them.
 */
#include "model/rollup.h"
#include "tsdb/codec/codec.h"
#include "tsdb/codec/rollups.h"
#include "tsdb/merge/parts_private.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    SAMPLES_MIN = 4,        /* samples for each window, on average, that may be worth it */
    CHUNK_HISTOGRAMS = 512, /* they are large: fewer than of floats */
    CHUNK_BYTES = 256 * 1024,
    PENDING_HISTOGRAMS = 512,
    PENDING_BYTES = 1024 * 1024,
};

/* Histograms of the chunk, and rollups of histograms. */
struct level_histograms {
    struct arena samples_arena;
    struct arena windows_arena;
    struct arena pending_arena;
    struct arena encoding_arena;
    struct histogram_roller roller; /* of a window of the chunk */
    struct histogram_roller open;   /* a window that becomes a rollup, whatever it takes */
    struct histogram samples[CHUNK_HISTOGRAMS];
    struct histogram_rollup windows[CHUNK_HISTOGRAMS / SAMPLES_MIN];
    struct histogram_rollup pending[PENDING_HISTOGRAMS];
};

/* Frees an arena, whose blocks begin small again. */
static inline void
arena_restart(struct arena *arena)
{
    struct budget *budget = arena->budget;
    arena_fini(arena);
    arena_init(arena, budget, 0, 0);
}
enum {
    CHUNK_SAMPLES = CODEC_SAMPLES_MAX,
    CHUNKS_ALIKE = 3, /* that are not measured after one that takes at most a third */
};

/* A level of the current series. */
struct series_level {
    int64_t resolution_ms;
    int64_t before_ms; /* end of the last window */
    struct rule_done *rolled;
};

struct merge_levels {
    struct codec_scratch *scratch;
    struct buf encoded;
    struct series_level of_series[PART_MERGE_LEVELS_MAX]; /* finest first */
    uint32_t count;
    bool has_both;                        /* the series has floats and histograms */
    double bytes_each[LEDGER_KIND_COUNT]; /* bytes of a sample of the run in the inputs */
    bool has_histograms; /* the chunk, `open` and rollups that wait are of histograms, */
    struct level_histograms *histograms; /* which are here; made when needed */

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

enum {
    SCRATCH_BYTES = 640 * 1024,
    READ_BYTES = 256 * 1024, /* rows of a block that is read, and what is shown of it */
    WINDOW_BYTES = 256,
};

uint64_t
part_merge_memory_levels(bool has_histograms)
{
    uint64_t memory =
        sizeof(struct merge_levels) + SCRATCH_BYTES + READ_BYTES + WINDOW_BYTES * BLOCK_ROLLUPS_MAX;
    if (!has_histograms) return memory;
    /* Blocks of an arena double, so it may exceed its limit by as much, and by an item. A rollup
     * takes about as much as four samples of its window, and the work of encoding twice that. */
    enum { ITEM_BYTES = 64 * 1024, ROLLER_ARENAS = 4, ARENAS = 8 };
    uint64_t limits = CHUNK_BYTES + 2 * CHUNK_BYTES + 2 * CHUNK_BYTES + PENDING_BYTES +
                      ROLLER_ARENAS * HISTOGRAM_ROLLER_BYTES;
    return memory + sizeof(struct level_histograms) + 2 * limits + ARENAS * ITEM_BYTES;
}

void
merge_levels_free(struct part_merge *m)
{
    struct merge_levels *l = m->levels;
    if (l == NULL) return;
    codec_scratch_free(l->scratch);
    struct level_histograms *h = l->histograms;
    if (h != NULL) {
        arena_fini(&h->samples_arena);
        arena_fini(&h->windows_arena);
        arena_fini(&h->pending_arena);
        arena_fini(&h->encoding_arena);
        histogram_roller_fini(&h->roller);
        histogram_roller_fini(&h->open);
        mem_free(m->budget, h, sizeof *h);
    }
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
    l->known_until_ms = l->window_end_ms = INT64_MIN;
    return codec_scratch_new(m->budget, &l->scratch);
}

/* --- the levels of a series ------------------------------------------------------------------- */

bool
merge_levels_concern(const struct part_merge *m, struct bytes tenant)
{
    int64_t min_ms = INT64_MAX;
    for (uint32_t i = 0; i < m->source_count; i++) {
        const struct part_info *info = part_info(m->sources[i].part);
        if (info->time.min_ms < min_ms) min_ms = info->time.min_ms;
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
    const struct part_info *info = part_info(part);
    for (uint32_t k = 0; k < info->resolution_count; k++) {
        int64_t r = info->resolutions[k].resolution_ms;
        if (r % resolution_ms != 0 && resolution_ms % r != 0) return false;
    }
    return true;
}

/* True if the series has a piece of histograms, or of floats, that overlaps a time. */
static bool
has_pieces_of(const struct part_merge *m, struct time_range time, bool histograms)
{
    uint32_t count;
    const struct merge_piece *p = merge_pieces(m, &count);
    for (uint32_t i = 0; i < count; i++) {
        bool is_kind = (block_kind(p[i].block) != SAMPLE_FLOAT) == histograms;
        if (is_kind && ranges_meet((struct time_range){p[i].min_ms, p[i].max_ms}, time))
            return true;
    }
    return false;
}

enum err
merge_levels_begin(struct part_merge *m)
{
    const struct time_range all = {INT64_MIN, INT64_MAX};
    struct bytes labels;
    const struct block_ref *blocks;
    uint32_t count;
    if (!m->has_levels) return OK;
    enum err e = levels_make(m);
    if (e) return e;
    struct merge_levels *l = m->levels;
    struct merge_source *s = m->group[0];
    l->count = 0;
    l->known_until_ms = INT64_MIN;
    l->has_both = has_pieces_of(m, all, true) && has_pieces_of(m, all, false);
    e = row_read(s->rows, s->tenant->first_series + s->row, &labels, &blocks, &count, &m->why);
    if (e) return merge_source_error(m, s, e);
    for (uint32_t i = 0; i < m->options.level_count; i++) {
        const struct part_merge_level *level = &m->options.levels[i];
        int64_t age_ms;
        const struct series_rule *rule =
            series_rules_find(level->rules, m->tenant, labels, &age_ms);
        if (rule == NULL) continue;
        bool nests = true;
        for (uint32_t k = 0; k < m->source_count && nests; k++)
            nests = part_merge_nests(m->sources[k].part, level->resolution_ms);
        if (!nests) continue;
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
    if (!m->has_levels) return false;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct series_level *level = &l->of_series[i];
        if (level->resolution_ms > piece->block->resolution_ms &&
            rollup_window_end(piece->min_ms, level->resolution_ms) <= level->before_ms)
            return true;
    }
    return false;
}

/* True if all samples of the window are here, and may be replaced. */
static bool
may_replace(const struct part_merge *m, struct time_range window)
{
    if (!range_holds(m->options.window, window)) return false;
    if (m->levels->has_both && has_pieces_of(m, window, true) && has_pieces_of(m, window, false))
        return false;
    for (uint32_t i = 0; i < m->options.foreign_count; i++)
        if (ranges_meet(m->options.foreign[i], window)) return false;
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
    int64_t resolution_ms = l->pending_resolution_ms;
    l->pending_count = 0;
    if (count == 0) return OK;
    if (!l->has_histograms)
        return part_write_rollups(m->writer, l->pending, count, resolution_ms, &m->why);
    enum err e = part_write_histogram_rollups(m->writer, l->histograms->pending, count,
                                              resolution_ms, &m->why);
    arena_restart(&l->histograms->pending_arena);
    return e;
}

/* Adds a rollup, of the kind that waits, to those that wait. */
static enum err
rollup_add(struct part_merge *m, const void *rollup, int64_t resolution_ms)
{
    struct merge_levels *l = m->levels;
    struct level_histograms *h = l->histograms;
    uint32_t most = l->has_histograms ? PENDING_HISTOGRAMS : BLOCK_ROLLUPS_MAX;
    bool fits = l->pending_count < most && l->pending_resolution_ms == resolution_ms;
    if (l->has_histograms) fits &= h->pending_arena.used_bytes < PENDING_BYTES;
    enum err e = fits ? OK : pending_out(m);
    l->pending_resolution_ms = resolution_ms;
    if (e == OK && l->has_histograms)
        e = histogram_rollup_copy(&h->pending_arena, rollup, &h->pending[l->pending_count]);
    else if (e == OK)
        l->pending[l->pending_count] = *(const struct rollup *)rollup;
    l->pending_count += e == OK;
    return e;
}

static enum ledger_kind
kind_of_chunk(const struct merge_levels *l)
{
    return l->has_histograms ? LEDGER_HISTOGRAM : LEDGER_FLOAT;
}

/* Counts samples and windows that the level of the chunk replaces and makes, and what it saves. */
static void
count_rolled(struct part_merge *m, uint64_t samples, uint64_t windows, double saved_bytes)
{
    struct merge_levels *l = m->levels;
    m->count.downsampled[kind_of_chunk(l)] += samples;
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->of_series[i].resolution_ms != l->chunk_resolution_ms) continue;
        l->of_series[i].rolled->samples[kind_of_chunk(l)] += samples;
        l->of_series[i].rolled->windows += windows;
        l->of_series[i].rolled->bytes += (uint64_t)saved_bytes;
    }
}

static enum err
samples_out(struct part_merge *m, uint32_t until)
{
    struct merge_levels *l = m->levels;
    uint32_t from = 0;
    if (until == 0) return OK;
    enum err e = pending_out(m);
    m->count.written[kind_of_chunk(l)] += until;
    while (from < until && e == OK) {
        struct sample_batch batch = {.times_ms = l->times + from,
                                     .starts_ms = l->has_starts ? l->starts + from : NULL};
        uint32_t end = until;
        if (l->has_histograms) { /* of one kind in each batch */
            batch.histograms = l->histograms->samples + from;
            batch.kind = batch.histograms[0].kind;
            for (end = from; end < until && l->histograms->samples[end].kind == batch.kind;)
                end++;
        } else {
            batch.kind = SAMPLE_FLOAT;
            batch.value_bits = l->bits + from;
        }
        batch.count = end - from;
        e = part_write_samples(m->writer, &batch, &m->why);
        from = end;
    }
    return e;
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

/* Makes the windows of the first samples of the chunk. None if there are too many of them. */
static enum err
make_windows(struct merge_levels *l, uint32_t until, uint32_t *ret_count)
{
    uint32_t most = until / SAMPLES_MIN, n = 0;
    enum err e = OK;
    *ret_count = 0;
    if (most > BLOCK_ROLLUPS_MAX) most = BLOCK_ROLLUPS_MAX;
    for (uint32_t i = 0, end; i < until && e == OK; i = end) {
        if (n == most) return OK;
        int64_t end_ms = rollup_window_end(l->times[i], l->chunk_resolution_ms);
        for (end = i + 1; end < until && l->times[end] <= end_ms;)
            end++;
        struct level_histograms *h = l->histograms;
        if (!l->has_histograms) {
            l->windows[n++] = roll_up(l->times + i, l->bits + i, end - i);
            continue;
        }
        if (n == 0) arena_restart(&h->windows_arena); /* of an earlier chunk */
        histogram_roller_clear(&h->roller);
        for (uint32_t k = i; k < end && e == OK; k++)
            e = histogram_roller_add(&h->roller, l->times[k], &h->samples[k]);
        if (e == OK)
            e = histogram_rollup_copy(&h->windows_arena, &h->roller.rollup, &h->windows[n++]);
    }
    *ret_count = n;
    return e;
}

static bool
has_deltas(const struct merge_levels *l, uint32_t count)
{
    return l->has_starts && starts_are_of_deltas(l->starts, l->times, count);
}

/* Finds whether rollups of these windows take at most half of what the samples take. After a chunk
 * that was clearly worth it, the next few are taken to be. */
static enum err
find_worth(struct merge_levels *l, uint32_t windows, uint32_t samples, bool *ret_worth)
{
    enum err e = OK;
    *ret_worth = true;
    if (l->taken_for_worth > 0) {
        l->taken_for_worth--;
        return OK;
    }
    buf_clear(&l->encoded);
    if (l->has_histograms) {
        arena_restart(&l->histograms->encoding_arena);
        e = codec_histogram_rollups_encode_blocks(
            l->scratch, &l->histograms->encoding_arena, l->histograms->windows, windows,
            l->chunk_resolution_ms, l->row_times, &l->encoded);
    } else {
        codec_rollups_encode_block(l->scratch, l->windows, windows, l->chunk_resolution_ms,
                                   l->row_times, l->row_bits, &l->encoded);
    }
    double level = (double)l->encoded.size, replaced = l->bytes_each[kind_of_chunk(l)] * samples;
    if (replaced > 0) l->saved_share = 1 - level / replaced;
    if (3 * level <= replaced) l->taken_for_worth = CHUNKS_ALIKE;
    *ret_worth = 2 * level <= replaced; /* half of the bytes must be saved */
    return e ? e : buf_error(&l->encoded);
}

/* Drops the first samples of the chunk. */
static void
drop_samples(struct merge_levels *l, uint32_t count)
{
    uint32_t left = l->sample_count - count;
    memmove(l->times, l->times + count, left * sizeof *l->times);
    memmove(l->starts, l->starts + count, left * sizeof *l->starts);
    if (l->has_histograms) {
        struct histogram *samples = l->histograms->samples;
        memmove(samples, samples + count, left * sizeof *samples);
        if (left == 0) arena_restart(&l->histograms->samples_arena);
    } else {
        memmove(l->bits, l->bits + count, left * sizeof *l->bits);
    }
    l->sample_count = left;
    l->window_at = 0;
}

/* Writes the first samples of the chunk, or rollups of them; those from `until` on stay in it. */
static enum err
chunk_out(struct part_merge *m, uint32_t until)
{
    struct merge_levels *l = m->levels;
    uint32_t windows = 0;
    bool worth = false;
    bool rolls_up = until > 0 && l->chunk_resolution_ms > 0 && !has_deltas(l, until);
    enum err e = rolls_up ? make_windows(l, until, &windows) : OK;
    if (e == OK && windows > 0) e = find_worth(l, windows, until, &worth);
    for (uint32_t i = 0; i < windows && worth && e == OK; i++) {
        const void *window = &l->windows[i];
        if (l->has_histograms) window = &l->histograms->windows[i];
        e = rollup_add(m, window, l->chunk_resolution_ms);
    }
    if (worth) {
        double replaced = l->bytes_each[kind_of_chunk(l)] * (double)until;
        count_rolled(m, until, windows, l->saved_share * replaced);
    } else if (e == OK) {
        e = samples_out(m, until);
    }
    drop_samples(l, until);
    return e;
}

/* Ends the window of the last sample, and the chunk. */
static enum err
all_out(struct part_merge *m)
{
    struct merge_levels *l = m->levels;
    enum err e = OK;
    if (l->has_open) {
        assert(l->sample_count == 0); /* invariant 2 */
        const void *open = &l->open;
        if (l->has_histograms) open = &l->histograms->open.rollup;
        e = rollup_add(m, open, l->chunk_resolution_ms);
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
    struct level_histograms *h = l->histograms;
    enum err e = chunk_out(m, l->window_at);
    l->open = (struct rollup){.count = 0};
    if (l->has_histograms) histogram_roller_clear(&h->open);
    for (uint32_t i = 0; i < l->sample_count && l->has_histograms && e == OK; i++)
        e = histogram_roller_add(&h->open, l->times[i], &h->samples[i]);
    if (l->sample_count > 0 && !l->has_histograms)
        l->open = roll_up(l->times, l->bits, l->sample_count);
    count_rolled(m, l->sample_count, 1, 0);
    drop_samples(l, l->sample_count);
    l->has_open = true;
    return e;
}

/* --- what the inputs have --------------------------------------------------------------------- */

static uint32_t
chunk_most(const struct merge_levels *l)
{
    return l->has_histograms ? CHUNK_HISTOGRAMS : CHUNK_SAMPLES;
}

/* The memory of the chunk's histograms. */
static uint64_t
chunk_bytes(const struct merge_levels *l)
{
    return l->has_histograms ? l->histograms->samples_arena.used_bytes : 0;
}

/* Ends what is of the other kind of samples, before a sample or a window that ends at `t_ms`. */
static enum err
enter_kind(struct part_merge *m, bool histograms, int64_t t_ms)
{
    struct merge_levels *l = m->levels;
    if (l->has_histograms == histograms) return OK;
    bool is_in_window = l->window_end_ms != INT64_MIN && t_ms <= l->window_end_ms;
    assert(l->chunk_resolution_ms == 0 || !is_in_window); /* invariant 3 */
    enum err e = all_out(m);
    if (e == OK) e = pending_out(m);
    if (e == OK && histograms && l->histograms == NULL) {
        struct level_histograms *h = l->histograms = mem_new(m->budget, sizeof *h);
        if (h == NULL) return ERR_NOMEM;
        arena_init(&h->samples_arena, m->budget, 0, 0);
        arena_init(&h->windows_arena, m->budget, 0, 0);
        arena_init(&h->pending_arena, m->budget, 0, 0);
        arena_init(&h->encoding_arena, m->budget, 0, 0);
        histogram_roller_init(&h->roller, m->budget);
        histogram_roller_init(&h->open, m->budget);
    }
    if (e == OK) l->has_histograms = histograms;
    l->taken_for_worth = 0;
    return e;
}

/* Begins a window of the resolution that is wanted at a time, unless it is in the last one. */
static enum err
enter_window(struct part_merge *m, int64_t t_ms)
{
    struct merge_levels *l = m->levels;
    int64_t resolution_ms = resolution_at(m, t_ms);
    enum err e = OK;
    if (t_ms <= l->window_end_ms && resolution_ms == l->chunk_resolution_ms) return OK;
    bool ends = l->has_open || resolution_ms != l->chunk_resolution_ms ||
                l->window_end_ms == INT64_MIN || l->sample_count >= chunk_most(l) / 2 ||
                chunk_bytes(l) >= CHUNK_BYTES / 2;
    if (ends) e = all_out(m);
    if (resolution_ms != l->chunk_resolution_ms) l->taken_for_worth = 0;
    l->chunk_resolution_ms = resolution_ms;
    l->window_end_ms = resolution_ms == 0 ? INT64_MAX : rollup_window_end(t_ms, resolution_ms);
    l->window_at = l->sample_count;
    return e;
}

/* Copies the values of samples from batch[from] on to the chunk, as many as fit of `count`. */
static enum err
take_values(struct merge_levels *l, const struct sample_batch *batch, uint32_t from,
            uint32_t *count)
{
    uint32_t n = l->sample_count;
    enum err e = OK;
    if (!l->has_histograms) {
        memcpy(l->bits + n, batch->value_bits + from, *count * sizeof *l->bits);
        return OK;
    }
    for (uint32_t i = 0; i < *count && e == OK; i++) {
        assert(n + i < CHUNK_HISTOGRAMS);
        e = histogram_copy(&batch->histograms[from + i], &l->histograms->samples_arena,
                           &l->histograms->samples[n + i]);
        if (e) e = ERR_NOMEM;
        if (chunk_bytes(l) >= CHUNK_BYTES) *count = i + 1;
    }
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
    if (e == OK && l->sample_count > 0 &&
        (l->sample_count == chunk_most(l) || chunk_bytes(l) >= CHUNK_BYTES))
        e = l->chunk_resolution_ms == 0 || has_deltas(l, l->sample_count)
                ? chunk_out(m, l->sample_count)
                : open_window(m);
    if (e) return e;
    if (l->has_open) {
        count_rolled(m, 1, 0, 0);
        const int64_t joined_ms = batch->times_ms[from];
        if (l->has_histograms)
            return histogram_roller_add(&l->histograms->open, joined_ms, &batch->histograms[from]);
        struct rollup one = rollup_of_sample(joined_ms, batch->value_bits[from]);
        rollup_join(&l->open, &one);
        return OK;
    }
    int64_t until_ms = l->known_until_ms < l->window_end_ms ? l->known_until_ms : l->window_end_ms;
    uint32_t n = l->sample_count, most = batch->count - from, count = 1;
    if (most > chunk_most(l) - n) most = chunk_most(l) - n;
    while (count < most && batch->times_ms[from + count] <= until_ms)
        count++;
    e = take_values(l, batch, from, &count);
    if (e) return e;
    l->has_starts = (n > 0 && l->has_starts) || batch->starts_ms != NULL;
    memcpy(l->times + n, batch->times_ms + from, count * sizeof *l->times);
    if (batch->starts_ms != NULL)
        memcpy(l->starts + n, batch->starts_ms + from, count * sizeof *l->starts);
    else
        memset(l->starts + n, 0, count * sizeof *l->starts);
    l->sample_count += count;
    *ret_taken = count;
    return OK;
}

/* Takes a window of the batch. */
static enum err
take_rollup(struct part_merge *m, const struct sample_batch *batch, uint32_t i)
{
    struct merge_levels *l = m->levels;
    const struct rollup times = sample_batch_window(batch, i);
    int64_t t_ms = rollup_end_ms(&times), resolution_ms = batch->resolution_ms;
    if (resolution_at(m, t_ms) <= resolution_ms) {
        const void *window = &batch->rollups[i];
        if (l->has_histograms) window = &batch->histogram_rollups[i];
        enum err e = all_out(m);
        return e ? e : rollup_add(m, window, resolution_ms);
    }
    enum err e = enter_window(m, t_ms);
    if (e == OK && !l->has_open) e = open_window(m);
    if (e) return e;
    if (l->has_histograms)
        return histogram_roller_add_rollup(&l->histograms->open, &batch->histogram_rollups[i]);
    rollup_join(&l->open, &batch->rollups[i]);
    return OK;
}

enum err
merge_levels_run(struct part_merge *m, const uint64_t *bytes, const uint64_t *samples)
{
    enum err e = levels_make(m);
    if (e) return e;
    m->levels->taken_for_worth = 0;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        m->levels->bytes_each[k] = samples[k] == 0 ? 0 : (double)bytes[k] / (double)samples[k];
    if (!m->has_levels) m->levels->count = 0;
    return OK;
}

enum err
merge_levels_take(struct part_merge *m, const struct sample_batch *batch)
{
    bool has_windows = sample_batch_has_windows(batch);
    bool has_histograms = batch->rollups == NULL && batch->kind != SAMPLE_FLOAT;
    const struct rollup first =
        has_windows ? sample_batch_window(batch, 0) : rollup_of_sample(batch->times_ms[0], 0);
    enum err e = enter_kind(m, has_histograms, rollup_end_ms(&first));
    for (uint32_t i = 0, taken = 1; i < batch->count && e == OK; i += taken)
        e = has_windows ? take_rollup(m, batch, i) : take_samples(m, batch, i, &taken);
    return e;
}

enum err
merge_levels_end(struct part_merge *m)
{
    enum err e = all_out(m);
    return e ? e : pending_out(m);
}
