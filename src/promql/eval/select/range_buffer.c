/*
 * range_buffer.c - see range.h.
 *
 * Samples of a series are read once, in order. When more are read, those before the window are
 * dropped if they are more than half. Floats and histograms lie in arrays of their own, each with
 * its own part of the window; memory of histograms that were dropped is used for the next ones.
 *
 * Invariants, for floats and histograms alike:
 *
 *  1. begin <= end <= count: the window lies in the buffer.
 *  2. Histograms from histogram_count to histogram_made are memory for those that come next.
 *  3. Nothing is read once at_end is set.
 *  4. While the buffer has windows of downsampled floats, each of them is one item with the time
 *     and the value of its last sample, and `rolled` has an item for each time. A window of
 *     histograms is a point with the time of its last one.
 *  5. Only a set that was asked for summaries has them.
 *
 * The order of times in the buffer is that of the store or of a source, and is not asserted.
 */
#include "promql/eval/select/range.h"

#include <assert.h>

#include "base/array.h"

static bool
range_reserve(struct range_buffer *s, uint32_t more)
{
    struct budget *budget = s->ev->budget;
    return array_reserve(budget, &s->times_ms, &s->time_capacity, s->count + more) &&
           array_reserve(budget, &s->values, &s->value_capacity, s->count + more) &&
           (s->starts == STARTS_IGNORED ||
            array_reserve(budget, &s->starts_ms, &s->start_capacity, s->count + more)) &&
           (!s->takes_summaries ||
            array_reserve(budget, &s->weights, &s->weight_capacity, s->count + more));
}

/* Makes room for items of `rolled`. False: no memory. */
static bool
reserve_rolled(struct range_buffer *s, uint32_t more)
{
    return array_reserve(s->ev->budget, &s->rolled, &s->rolled_capacity, s->count + more);
}

/* Sets an item of `rolled`, a window or the sample that the other arrays have, after the one before
 * it. */
static void
set_rolled(struct range_buffer *s, uint32_t i, int64_t resolution_ms, const struct rollup *window)
{
    struct rolled *x = &s->rolled[i];
    double first = window == NULL ? s->values[i] : bits_double(window->first_bits);
    x->resolution_ms = resolution_ms;
    if (window != NULL) x->rollup = *window;
    x->samples = window != NULL ? window->count : s->weights != NULL ? s->weights[i] : 1;
    x->resets = window == NULL ? 0 : window->resets;
    if (i == 0) return;
    x->samples += x[-1].samples;
    x->resets += x[-1].resets + (first < s->values[i - 1]);
}

enum err
range_buffer_hold(struct range_buffer *s, uint32_t floats, uint32_t histograms)
{
    uint64_t weight = histograms > 0 ? s->histograms[s->histogram_count - 1].h->weight : 0;
    return eval_hold(s->ev, floats + histograms * weight);
}

/* The place of the next histogram, with memory for so many bytes. NULL: no memory. */
static struct histogram_point *
histogram_place(struct range_buffer *s, size_t bytes)
{
    struct budget *budget = s->ev->budget;
    assert(s->histogram_count <= s->histogram_made); /* invariant 2 */
    if (s->histogram_count == s->histogram_made) {
        if (!array_reserve(budget, &s->histograms, &s->histogram_capacity, s->histogram_made + 1))
            return NULL;
        s->histograms[s->histogram_made++] = (struct histogram_point){0};
    }
    struct histogram_point *p = &s->histograms[s->histogram_count];
    p->rolled = NULL;
    p->is_reset = false;
    if (p->capacity >= bytes) return p;
    size_t capacity = bytes + bytes / 8; /* histograms get more buckets over time */
    void *memory = mem_alloc(budget, capacity);
    if (memory == NULL) return NULL;
    mem_free(budget, p->h, p->capacity);
    p->h = memory;
    p->capacity = capacity;
    return p;
}

static enum err
read_histograms(struct range_buffer *s, const struct sample_batch *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct histogram *h = &b->histograms[i];
        bool follows = s->follows_histogram && s->histogram_count > 0;
        s->follows_histogram = h->sum_bits != STALE_NAN_BITS;
        if (!s->follows_histogram) continue;
        struct histogram_point *p = histogram_place(s, fhist_bytes_of(h));
        if (p == NULL) return eval_no_memory(s->ev);
        p->t_ms = b->times_ms[i];
        p->start_ms = b->starts_ms == NULL ? 0 : b->starts_ms[i];
        /* Hints alone are not trusted, as in Prometheus: those of deltas have a start time. */
        p->is_reset = h->reset_hint == RESET_YES && p->start_ms != 0 &&
                      (s->histogram_count == 0 || p->start_ms >= p[-1].t_ms);
        struct fhist *made = fhist_of(p->h, h);
        const struct fhist *before = follows ? p[-1].h : NULL;
        /* Prometheus compares each of these with the one before, from the start of the range on. */
        if (s->counted_only && follows && p[-1].t_ms >= s->hints_from_ms)
            fhist_hint_reset(made, before);
        else
            fhist_hint(made, before);
        s->histogram_count++;
    }
    return OK;
}

static void
add_summary_sample(struct range_buffer *s, int64_t t_ms, double value, uint32_t weight)
{
    s->times_ms[s->count] = t_ms;
    s->weights[s->count] = weight;
    s->values[s->count] = value;
    if (s->rolled_end > 0) set_rolled(s, s->count, 0, NULL);
    s->count++;
}

static enum err
read_rollups(struct range_buffer *s, const struct sample_batch *b)
{
    s->follows_histogram = false;
    enum err e = rolled_check(s->ev, s->set, b);
    if (e) return e;
    if (!range_reserve(s, b->count) || !reserve_rolled(s, b->count)) return eval_no_memory(s->ev);
    for (uint32_t i = 0; s->rolled_end == 0 && i < s->count; i++)
        set_rolled(s, i, 0, NULL);
    for (uint32_t i = 0; i < b->count; i++) {
        const struct rollup *x = &b->rollups[i];
        if (x->count == 0) continue;
        s->times_ms[s->count] = x->last_ms;
        if (s->starts != STARTS_IGNORED) s->starts_ms[s->count] = 0;
        if (s->takes_summaries) s->weights[s->count] = 1;
        s->values[s->count] = bits_double(x->last_bits);
        set_rolled(s, s->count++, b->resolution_ms, x);
        s->rolled_end = s->count;
    }
    return OK;
}

/* The hints of histograms in windows are not known. */
static enum err
read_histogram_rollups(struct range_buffer *s, const struct sample_batch *b)
{
    enum err e = rolled_check(s->ev, s->set, b);
    for (uint32_t i = 0; i < b->count && e == OK; i++) {
        const struct histogram_rollup *x = &b->histogram_rollups[i];
        s->follows_histogram = x->count > 0 && !x->is_stale;
        if (x->count == 0) continue;
        struct histogram_point *p = histogram_place(s, rolled_histogram_bytes(x));
        if (p == NULL) return eval_no_memory(s->ev);
        rolled_histogram_set(p, x, b->resolution_ms);
        s->has_histogram_windows = true;
        s->histogram_count++;
    }
    return e;
}

static bool
has_markers(const struct sample_batch *b)
{
    unsigned any = 0;
    for (uint32_t i = 0; i < b->count; i++)
        any |= b->value_bits[i] == STALE_NAN_BITS;
    return any != 0;
}

/* Adds all floats but staleness markers. There is room. */
static void
add_floats(struct range_buffer *s, const struct sample_batch *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->value_bits[i] == STALE_NAN_BITS) continue;
        s->times_ms[s->count] = b->times_ms[i];
        if (s->starts != STARTS_IGNORED)
            s->starts_ms[s->count] = b->starts_ms == NULL ? 0 : b->starts_ms[i];
        if (s->takes_summaries) s->weights[s->count] = 1;
        s->values[s->count++] = bits_double(b->value_bits[i]);
    }
}

static enum err
read_batch(struct range_buffer *s)
{
    struct sample_batch b;
    assert(!s->at_end); /* invariant 3 */
    enum err e = series_set_batch(s->set, &b, &s->ev->why);
    if (e) return e;
    s->at_end = b.count == 0;
    if (s->at_end) return OK;
    if (b.summary != NULL) {
        /* A summary of many floats, all of which are in a window or none, is added as two: the
         * least and the greatest, at the time of the last one. */
        const struct sample_summary *x = b.summary;
        s->follows_histogram = false;
        assert(s->takes_summaries); /* invariant 5: a set gives what was asked for */
        if (!range_reserve(s, 2) || (s->rolled_end > 0 && !reserve_rolled(s, 2)))
            return eval_no_memory(s->ev);
        if (b.count > 1) add_summary_sample(s, x->max_ms, x->least, b.count - 1);
        add_summary_sample(s, x->max_ms, x->greatest, 1);
        return OK;
    }
    if (b.rollups != NULL) return read_rollups(s, &b);
    if (b.histogram_rollups != NULL) return read_histogram_rollups(s, &b);
    if (b.kind != SAMPLE_FLOAT) return read_histograms(s, &b);
    s->follows_histogram = false;
    if (s->starts == STARTS_UNDECIDED && b.starts_ms == NULL) s->starts = STARTS_IGNORED;
    if (s->rolled_end > 0) {
        uint32_t before = s->count;
        if (!range_reserve(s, b.count) || !reserve_rolled(s, b.count)) return eval_no_memory(s->ev);
        add_floats(s, &b);
        for (uint32_t i = before; i < s->count; i++)
            set_rolled(s, i, 0, NULL);
        return OK;
    }
    if (!range_reserve(s, b.count)) return eval_no_memory(s->ev);
    if (s->starts != STARTS_IGNORED || s->takes_summaries || has_markers(&b)) {
        add_floats(s, &b);
        if (s->starts == STARTS_UNDECIDED && s->count > 1)
            s->starts = starts_are_of_deltas(s->starts_ms, s->times_ms, s->count) ? STARTS_USED
                                                                                  : STARTS_IGNORED;
    } else {
        memcpy(s->times_ms + s->count, b.times_ms, b.count * sizeof *s->times_ms);
        memcpy(s->values + s->count, b.value_bits, b.count * sizeof *s->values);
        s->count += b.count;
    }
    return OK;
}

static enum err
read_column(struct range_buffer *s)
{
    struct evaluation *ev = s->ev;
    assert(!s->at_end); /* invariant 3 */
    if (s->starts == STARTS_UNDECIDED) s->starts = STARTS_IGNORED;
    if (!range_reserve(s, bits_count(s->column->present, s->grid->count)))
        return eval_no_memory(ev);
    for (bits_each(i, s->column->present, s->grid->count)) {
        const struct fhist *h = column_histogram(s->column, i);
        int64_t t_ms = grid_time(s->grid, i);
        if (h != NULL) {
            struct histogram_point *p = histogram_place(s, fhist_bytes(h));
            if (p == NULL) return eval_no_memory(ev);
            p->t_ms = t_ms;
            p->start_ms = 0;
            fhist_forget_reset(fhist_copy(p->h, h));
            s->histogram_count++;
            continue;
        }
        s->times_ms[s->count] = t_ms;
        if (s->starts != STARTS_IGNORED) s->starts_ms[s->count] = 0;
        s->values[s->count++] = s->column->values[i];
    }
    s->at_end = true;
    return range_buffer_hold(s, s->count, s->histogram_count);
}

enum err
range_buffer_read(struct range_buffer *s)
{
    return s->set != NULL ? read_batch(s) : read_column(s);
}

/* Drops the first histograms of the buffer; their memory goes to the end. */
static void
drop_histograms(struct range_buffer *s, uint32_t count)
{
    assert(count <= s->histogram_count);
    s->histogram_count -= count;
    for (uint32_t i = 0; count > 0 && i < s->histogram_count; i++) {
        struct histogram_point gone = s->histograms[i];
        s->histograms[i] = s->histograms[i + count];
        s->histograms[i + count] = gone;
    }
    s->histogram_begin -= count;
    s->histogram_end -= count;
}

void
range_buffer_drop_floats(struct range_buffer *s, uint32_t count)
{
    assert(count <= s->begin); /* invariant 1 */
    s->count -= count;
    memmove(s->times_ms, s->times_ms + count, s->count * sizeof *s->times_ms);
    memmove(s->values, s->values + count, s->count * sizeof *s->values);
    if (s->starts != STARTS_IGNORED)
        memmove(s->starts_ms, s->starts_ms + count, s->count * sizeof *s->starts_ms);
    if (s->takes_summaries) memmove(s->weights, s->weights + count, s->count * sizeof *s->weights);
    if (s->rolled_end > 0) {
        memmove(s->rolled, s->rolled + count, s->count * sizeof *s->rolled);
        s->rolled_end -= s->rolled_end < count ? s->rolled_end : count;
    }
    s->begin -= count;
    s->end -= count;
}

bool
range_buffer_has_past(const struct range_buffer *s, int64_t t_ms)
{
    return (s->count > 0 && s->times_ms[s->count - 1] > t_ms) ||
           (s->histogram_count > 0 && s->histograms[s->histogram_count - 1].t_ms > t_ms);
}

enum err
range_buffer_slide(struct range_buffer *s, int64_t from_ms, int64_t until_ms)
{
    for (;;) {
        while (s->begin < s->count && s->times_ms[s->begin] <= from_ms)
            s->begin++;
        while (s->histogram_begin < s->histogram_count &&
               s->histograms[s->histogram_begin].t_ms <= from_ms)
            s->histogram_begin++;
        if (s->end < s->begin) s->end = s->begin;
        if (s->histogram_end < s->histogram_begin) s->histogram_end = s->histogram_begin;
        if (s->at_end || range_buffer_has_past(s, until_ms)) break;
        if (s->begin > s->count / 2) range_buffer_drop_floats(s, s->begin);
        /* The histogram before the window stays: the hint of the next one may depend on it. */
        if (s->histogram_begin > 1 + s->histogram_count / 2)
            drop_histograms(s, s->histogram_begin - 1);
        enum err e = range_buffer_read(s);
        if (e) return e;
    }
    if (s->rolled_end > 0) {
        /* Moves the end of the window after the items that begin until then. */
        for (; s->end < s->count; s->end++) {
            int64_t first_ms = s->times_ms[s->end];
            if (s->end < s->rolled_end) first_ms = rolled_first_ms(&s->rolled[s->end], first_ms);
            if (first_ms > until_ms) break;
        }
    }
    while (s->end < s->count && s->times_ms[s->end] <= until_ms)
        s->end++;
    while (s->histogram_end < s->histogram_count &&
           rolled_first_histogram_ms(&s->histograms[s->histogram_end]) <= until_ms)
        s->histogram_end++;
    assert(s->begin <= s->end);                     /* invariant 1 */
    assert(s->end <= s->count);                     /* invariant 1 */
    assert(s->histogram_begin <= s->histogram_end); /* invariant 1 */
    assert(s->histogram_end <= s->histogram_count); /* invariant 1 */
    return range_buffer_hold(s, s->end - s->begin, s->histogram_end - s->histogram_begin);
}

void
range_buffer_restart(struct range_buffer *s)
{
    drop_histograms(s, s->histogram_count);
    s->count = s->begin = s->end = s->histogram_begin = s->histogram_end = s->rolled_end = 0;
    s->at_end = s->follows_histogram = s->has_histogram_windows = false;
    s->starts = s->looks_at_starts ? STARTS_USED
                : s->finds_deltas  ? STARTS_UNDECIDED
                                   : STARTS_IGNORED;
}

void
range_buffer_fini(struct range_buffer *s)
{
    struct budget *budget = s->ev->budget;
    array_free(budget, s->times_ms, s->time_capacity);
    array_free(budget, s->values, s->value_capacity);
    array_free(budget, s->starts_ms, s->start_capacity);
    array_free(budget, s->weights, s->weight_capacity);
    array_free(budget, s->rolled, s->rolled_capacity);
    for (uint32_t i = 0; i < s->histogram_made; i++)
        mem_free(budget, s->histograms[i].h, s->histograms[i].capacity);
    array_free(budget, s->histograms, s->histogram_capacity);
}
