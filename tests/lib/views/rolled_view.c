/* rolled_view.c - see rolled_view.h. A series is read whole, and rolled up at once. */
#include "lib/views/rolled_view.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "lib/random.h"
#include "tsdb/codec/rollups.h"

enum { BATCH_MAX = 7 };

/* A float, a histogram (a view of the arena), or a window. */
struct rolled_item {
    int64_t resolution_ms; /* 0: a sample */
    int64_t t_ms;
    uint64_t bits;
    const struct histogram *histogram;
    bool has_histograms; /* the window does */
    struct rollup rollup;
    struct histogram_rollup histograms;
};

struct rolled_set {
    struct series_set set; /* first */
    struct series_set *below;
    struct rolled_levels levels;
    struct query_request request;
    struct arena arena;
    struct rolled_item *items;
    uint32_t count, capacity, next;
    struct rng rng;
    int64_t times_ms[BATCH_MAX];
    uint64_t bits[BATCH_MAX];
    struct histogram histograms[BATCH_MAX];
    struct rollup rollups[BATCH_MAX];
    struct histogram_rollup histogram_rollups[BATCH_MAX];
};

struct rolled_view {
    struct view view; /* first */
    struct view *below;
    struct rolled_levels levels;
};

/* --- levels ----------------------------------------------------------------------------------- */

/* A number that depends on the series, the seed and a time. */
static uint64_t
dice(const struct rolled_set *s, uint64_t series, int64_t t_ms)
{
    struct rng rng = {series ^ (s->levels.seed * 31) ^ (uint64_t)t_ms};
    return rng_next(&rng);
}

static int64_t
resolution_at(const struct rolled_set *s, uint64_t series, int64_t t_ms)
{
    int64_t hour_ms = rollup_window_end(t_ms, ROLLED_COARSE_MS);
    int64_t hours_late = s->levels.whole ? 0 : (int64_t)(dice(s, series, 1) % 4);
    int64_t late_ms = hours_late * ROLLED_COARSE_MS;
    bool leaves_raw = !s->levels.whole && dice(s, series, hour_ms) % 8 == 0;
    if (hour_ms <= s->levels.coarse_until_ms + late_ms) {
        return leaves_raw ? (int64_t)(dice(s, series, hour_ms) / 8 % 2) * ROLLED_FINE_MS
                          : ROLLED_COARSE_MS;
    }
    int64_t end_ms = rollup_window_end(t_ms, ROLLED_FINE_MS);
    if (end_ms > s->levels.fine_until_ms + late_ms) return 0;
    bool is_raw = !s->levels.whole && dice(s, series, end_ms) % 6 == 0;
    return is_raw ? 0 : ROLLED_FINE_MS;
}

static struct rolled_item *
new_item(struct rolled_set *s)
{
    bool fits = array_reserve(NULL, &s->items, &s->capacity, s->count + 1);
    assert(fits);
    return &s->items[s->count++];
}

static struct rolled_item
item_of_sample(struct rolled_set *s, const struct rolled_item *sample)
{
    struct rolled_item x = {.t_ms = sample->t_ms, .has_histograms = sample->histogram != NULL};
    if (!x.has_histograms) {
        x.rollup = rollup_of_sample(sample->t_ms, sample->bits);
        return x;
    }
    enum err e =
        histogram_rollup_of_sample(&s->arena, sample->t_ms, sample->histogram, &x.histograms);
    assert(e == OK);
    x.rollup = histogram_rollup_times(&x.histograms);
    return x;
}

static void
join(struct rolled_set *s, struct rolled_item *to, struct rolled_item *later)
{
    assert(to->has_histograms == later->has_histograms);
    if (!to->has_histograms) {
        rollup_join(&to->rollup, &later->rollup);
        return;
    }
    enum err e = histogram_rollup_join(&s->arena, &to->histograms, &later->histograms);
    assert(e == OK);
    to->rollup = histogram_rollup_times(&to->histograms);
}

/* Adds a window to the last item if it is in the same window. */
static void
put_rollup(struct rolled_set *s, int64_t resolution_ms, struct rolled_item *x)
{
    struct rolled_item *last = s->count > 0 ? &s->items[s->count - 1] : NULL;
    x->resolution_ms = resolution_ms;
    x->t_ms = x->rollup.count > 0 ? x->rollup.last_ms : x->rollup.stale_ms;
    int64_t end_ms = rollup_window_end(x->t_ms, resolution_ms);
    if (last != NULL && last->resolution_ms == resolution_ms &&
        rollup_window_end(last->t_ms, resolution_ms) == end_ms) {
        join(s, last, x);
        return;
    }
    *new_item(s) = *x;
}

static void
forget_corrections(struct rolled_set *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct rolled_item *x = &s->items[i];
        if (x->resolution_ms > 0 && x->rollup.resets > 0) x->rollup.correction = NAN;
        if (x->has_histograms && x->histograms.correction != NULL) {
            x->histograms.correction = NULL;
            x->histograms.correction_lost = true;
        }
    }
}

/* --- as in parts ------------------------------------------------------------------------------ */

/* What a block is encoded and decoded with. */
struct block {
    struct codec_scratch *scratch;
    struct buf first_times, rest;
    int64_t *times_ms;
    uint32_t rows, count;
};

static struct bytes
encoded(struct buf *b)
{
    bool fits = buf_reserve(b, CODEC_SLACK);
    assert(fits && buf_error(b) == OK);
    return buf_bytes(b);
}

static enum err
store_floats(struct rolled_set *s, struct block *b, struct rolled_item *items, uint32_t count)
{
    int64_t resolution_ms = items->resolution_ms;
    struct rollup *rollups = arena_alloc(&s->arena, 3 * count * sizeof *rollups);
    uint64_t *bits = arena_alloc(&s->arena, 2 * count * sizeof *bits);
    for (uint32_t i = 0; i < count; i++)
        rollups[i] = items[i].rollup;
    b->rows = rollup_rows(rollups, count, b->times_ms, bits);
    codec_rollups_encode_times(b->scratch, rollups, count, resolution_ms, &b->first_times);
    codec_rollups_encode(b->scratch, rollups, count, &b->rest);
    struct rollup *back = rollups + count;
    enum err e = codec_rollups_decode(encoded(&b->first_times), encoded(&b->rest), resolution_ms,
                                      ROLLUP_WHOLE, b->times_ms, bits, b->rows, back, &b->count);
    for (uint32_t i = 0; i < count; i++)
        items[i].rollup = back[i];
    return e;
}

static enum err
store_histograms(struct rolled_set *s, struct block *b, struct rolled_item *items, uint32_t count)
{
    int64_t resolution_ms = items->resolution_ms;
    struct histogram_rollup *rollups = arena_alloc(&s->arena, 3 * count * sizeof *rollups);
    struct histogram *rows = arena_alloc(&s->arena, 2 * count * sizeof *rows);
    for (uint32_t i = 0; i < count; i++)
        rollups[i] = items[i].histograms;
    b->rows = histogram_rollup_rows(rollups, count, b->times_ms, rows);
    enum err e = codec_histogram_rollups_encode_times(b->scratch, &s->arena, rollups, count,
                                                      resolution_ms, &b->first_times);
    assert(e == OK);
    e = codec_histogram_rollups_encode(b->scratch, &s->arena, rollups, count, &b->rest);
    assert(e == OK);
    struct histogram_rollup *back = rollups + count;
    e = codec_histogram_rollups_decode(encoded(&b->first_times), encoded(&b->rest), resolution_ms,
                                       b->times_ms, rows, b->rows, &s->arena, back, &b->count);
    for (uint32_t i = 0; i < count; i++)
        items[i].histograms = back[i];
    return e;
}

/* True if a part has both in one block: windows of one resolution and kind, and of one layout. */
static bool
may_share_block(const struct rolled_item *a, const struct rolled_item *b)
{
    if (a->resolution_ms != b->resolution_ms || a->has_histograms != b->has_histograms)
        return false;
    if (!a->has_histograms) return true;
    return a->histograms.count > 0 && b->histograms.count > 0 &&
           histogram_same_layout(&a->histograms.last, &b->histograms.last);
}

/* Encodes and decodes all windows. */
static void
store(struct rolled_set *s)
{
    struct block b;
    enum err e = codec_scratch_new(NULL, &b.scratch);
    assert(e == OK);
    buf_init(&b.first_times, NULL, 1 << 24);
    buf_init(&b.rest, NULL, 1 << 24);
    for (uint32_t i = 0, end; i < s->count; i = end) {
        struct rolled_item *x = &s->items[i];
        for (end = i + 1; end < s->count && may_share_block(x, &s->items[end]);)
            end++;
        if (x->resolution_ms == 0) continue;
        buf_clear(&b.first_times);
        buf_clear(&b.rest);
        b.times_ms = arena_alloc(&s->arena, 2 * (end - i) * sizeof *b.times_ms);
        e = x->has_histograms ? store_histograms(s, &b, x, end - i)
                              : store_floats(s, &b, x, end - i);
        assert(e == OK && b.count == end - i);
    }
    codec_scratch_free(b.scratch);
    buf_fini(&b.first_times);
    buf_fini(&b.rest);
}

/* --- series ----------------------------------------------------------------------------------- */

/* True if a window has floats and histograms. */
static bool
is_mixed(const struct rolled_item *raw, uint32_t count, uint32_t at, int64_t resolution_ms)
{
    int64_t end_ms = rollup_window_end(raw[at].t_ms, resolution_ms);
    bool is_histogram = raw[at].histogram != NULL;
    uint32_t first = at;
    while (first > 0 && rollup_window_end(raw[first - 1].t_ms, resolution_ms) == end_ms)
        first--;
    for (uint32_t i = first; i < count && raw[i].t_ms <= end_ms; i++)
        if ((raw[i].histogram != NULL) != is_histogram) return true;
    return false;
}

/* Replaces samples by windows: those of 1 h are made of windows of 5 m. Windows with floats and
 * histograms stay as they are. */
static void
roll_up(struct rolled_set *s, uint64_t series)
{
    struct rolled_item *raw = s->items;
    uint32_t count = s->count, capacity = s->capacity;
    s->items = NULL;
    s->count = s->capacity = 0;
    for (uint32_t i = 0; i < count;) {
        int64_t t_ms = raw[i].t_ms, resolution_ms = resolution_at(s, series, t_ms);
        if (resolution_ms == ROLLED_COARSE_MS && is_mixed(raw, count, i, resolution_ms))
            resolution_ms = ROLLED_FINE_MS;
        if (resolution_ms > 0 && is_mixed(raw, count, i, resolution_ms)) resolution_ms = 0;
        if (resolution_ms == 0) {
            *new_item(s) = raw[i++];
            continue;
        }
        struct rolled_item fine = item_of_sample(s, &raw[i++]);
        int64_t end_ms = rollup_window_end(t_ms, ROLLED_FINE_MS);
        for (; i < count && raw[i].t_ms <= end_ms; i++) {
            struct rolled_item one = item_of_sample(s, &raw[i]);
            join(s, &fine, &one);
        }
        put_rollup(s, resolution_ms, &fine);
    }
    array_free(NULL, raw, capacity);
    if (!s->levels.keeps_correction && dice(s, series, 2) % 2 == 0) forget_corrections(s);
    if (s->levels.stored) store(s);
}

/* --- a set ------------------------------------------------------------------------------------ */

static enum err
read_below(struct rolled_set *s, struct why *why)
{
    struct sample_batch b;
    enum err e;
    while ((e = series_set_batch(s->below, &b, why)) == OK && b.count > 0) {
        for (uint32_t i = 0; i < b.count; i++) {
            struct rolled_item *x = new_item(s);
            *x = (struct rolled_item){.t_ms = b.times_ms[i]};
            if (b.kind == SAMPLE_FLOAT) {
                x->bits = b.value_bits[i];
                continue;
            }
            struct histogram *copy = arena_alloc(&s->arena, sizeof *copy);
            *copy = copied_histogram(&s->arena, &b.histograms[i]);
            x->histogram = copy;
        }
    }
    return e;
}

/* True if an item overlaps the times of the request. */
static bool
is_asked(const struct rolled_set *s, const struct rolled_item *x)
{
    int64_t min_ms = s->request.min_ms, max_ms = s->request.max_ms;
    if (s->request.hints.rollups == ROLLUP_LAST) min_ms -= ROLLED_COARSE_MS;
    if (x->resolution_ms == 0) return x->t_ms >= min_ms && x->t_ms <= max_ms;
    int64_t end_ms = rollup_window_end(x->t_ms, x->resolution_ms);
    bool is_first = end_ms < INT64_MIN + x->resolution_ms;
    return end_ms >= min_ms && (is_first || end_ms - x->resolution_ms < max_ms);
}

static bool
has_any(const struct rolled_set *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (is_asked(s, &s->items[i])) return true;
    return false;
}

static enum err
rolled_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct rolled_set *s = (struct rolled_set *)set;
    enum err e;
    do {
        e = series_set_next(s->below, ret_labels, why);
        if (e || ret_labels->at == NULL) return e;
        s->count = s->next = 0;
        e = read_below(s, why);
        if (e) return e;
        roll_up(s, hash_bytes(*ret_labels, 0));
    } while (!has_any(s));
    return OK;
}

static void
add_item(struct rolled_set *s, const struct rolled_item *x, struct sample_batch *to)
{
    s->times_ms[to->count] = x->t_ms;
    s->bits[to->count] = x->bits;
    if (x->histogram != NULL) s->histograms[to->count] = *x->histogram;
    if (to->rollups != NULL) s->rollups[to->count] = x->rollup;
    if (to->histogram_rollups != NULL) s->histogram_rollups[to->count] = x->histograms;
    to->count++;
}

static enum sample_kind
kind_of(const struct rolled_item *x)
{
    if (x->has_histograms) return x->histograms.last.kind;
    return x->histogram == NULL ? SAMPLE_FLOAT : x->histogram->kind;
}

/* Adds the last sample of a window and the marker after it, as far as they were asked for. */
static void
add_thinned(struct rolled_set *s, const struct rolled_item *x, struct sample_batch *to)
{
    struct rolled_item sample = {.t_ms = x->rollup.last_ms, .bits = x->rollup.last_bits};
    struct rolled_item marker = {.t_ms = x->rollup.stale_ms, .bits = STALE_NAN_BITS};
    const struct histogram stale = {.kind = kind_of(x), .sum_bits = STALE_NAN_BITS};
    if (x->has_histograms) {
        sample.histogram = &x->histograms.last;
        marker.histogram = &stale;
    }
    if (x->rollup.count > 0 && is_asked(s, &sample)) add_item(s, &sample, to);
    if (x->rollup.is_stale && is_asked(s, &marker)) add_item(s, &marker, to);
    struct query_control *control = s->request.control;
    if (control != NULL && atomic_load(&control->thinned_to_ms) < x->resolution_ms)
        atomic_store(&control->thinned_to_ms, x->resolution_ms);
}

static enum err
rolled_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct rolled_set *s = (struct rolled_set *)set;
    uint32_t most = 1 + (uint32_t)rng_below(&s->rng, BATCH_MAX - 1);
    bool rolls = s->request.hints.rollups;
    *ret_batch = (struct sample_batch){.kind = SAMPLE_FLOAT};
    for (; s->next < s->count && ret_batch->count < most; s->next++) {
        const struct rolled_item *x = &s->items[s->next];
        if (!is_asked(s, x)) continue;
        int64_t resolution_ms = rolls ? x->resolution_ms : 0;
        if (ret_batch->count == 0) {
            ret_batch->kind = kind_of(x);
            ret_batch->resolution_ms = resolution_ms;
            if (resolution_ms > 0 && x->has_histograms)
                ret_batch->histogram_rollups = s->histogram_rollups;
            else if (resolution_ms > 0)
                ret_batch->rollups = s->rollups;
        } else if (ret_batch->resolution_ms != resolution_ms || ret_batch->kind != kind_of(x)) {
            break;
        }
        if (x->resolution_ms > 0 && !rolls)
            add_thinned(s, x, ret_batch);
        else
            add_item(s, x, ret_batch);
    }
    if (!sample_batch_has_windows(ret_batch)) {
        ret_batch->times_ms = s->times_ms;
        ret_batch->value_bits = s->bits;
        ret_batch->histograms = s->histograms;
    }
    return query_control_add_samples(s->request.control, ret_batch->count, why);
}

static const char *
rolled_warning(struct series_set *set, uint32_t index)
{
    return series_set_warning(((struct rolled_set *)set)->below, index);
}

static void
rolled_free(struct series_set *set)
{
    struct rolled_set *s = (struct rolled_set *)set;
    series_set_free(s->below);
    arena_fini(&s->arena);
    array_free(NULL, s->items, s->capacity);
    free(s);
}

/* --- the view --------------------------------------------------------------------------------- */

static enum err
rolled_select(struct view *view, const struct query_request *request, struct series_set **ret_set,
              struct why *why)
{
    static const struct series_set_ops ops = {rolled_next, rolled_batch, rolled_warning,
                                              NULL,        NULL,         rolled_free};
    struct rolled_view *v = (struct rolled_view *)view;
    struct rolled_set *s = calloc(1, sizeof *s);
    assert(s != NULL);
    s->set.ops = &ops;
    s->levels = v->levels;
    s->request = *request;
    s->rng.state = v->levels.seed;
    arena_init(&s->arena, NULL, 0, 0);
    struct query_request all = *request;
    all.min_ms = INT64_MIN;
    all.max_ms = INT64_MAX;
    all.hints.summaries = 0;
    all.control = NULL;
    enum err e = view_select(v->below, &all, &s->below, why);
    if (e) {
        free(s);
        return e;
    }
    *ret_set = &s->set;
    return OK;
}

static void
rolled_end(struct view *view)
{
    struct rolled_view *v = (struct rolled_view *)view;
    view_free(v->below);
    free(v);
}

struct view *
rolled_view_new(struct view *below, const struct rolled_levels *levels)
{
    static const struct view_ops ops = {.select = rolled_select, .free = rolled_end};
    struct rolled_view *v = calloc(1, sizeof *v);
    assert(v != NULL);
    *v = (struct rolled_view){.view = {&ops}, .below = below, .levels = *levels};
    return &v->view;
}
