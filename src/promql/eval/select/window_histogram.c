/*
 * window_histogram.c - functions of a window that give histograms, and the rates of `anchored` and
 * `smoothed`, which take the values at the ends of the range from samples outside of it.
 */
#include <assert.h>
#include <math.h>

#include "base/array.h"
#include "model/labels.h"
#include "promql/eval/select/window.h"

/* --- notes about samples ---------------------------------------------------------------------- */

static struct bytes
metric_name(struct bytes labels)
{
    return labels_get(labels, bytes_of("__name__", 8));
}

void
note_mixed_samples(struct evaluation *ev, struct text_span at, struct bytes labels)
{
    notes_add_quoted(&ev->notes, PROMQL_WARNING, at,
                     "encountered a mix of histograms and floats for metric name ",
                     metric_name(labels));
}

void
note_mixed_schemas(struct evaluation *ev, struct text_span at, struct bytes labels)
{
    notes_add_quoted(&ev->notes, PROMQL_WARNING, at,
                     "vector contains a mix of histograms with exponential and custom buckets "
                     "schemas for metric name ",
                     metric_name(labels));
}

void
note_reconciled(struct evaluation *ev, struct text_span at, const char *operation)
{
    notes_add(&ev->notes, PROMQL_INFO, at, "mismatched custom buckets were reconciled during %s",
              operation);
}

void
note_reset_collision(struct evaluation *ev, struct text_span at, const char *operation)
{
    notes_add(&ev->notes, PROMQL_WARNING, at, "conflicting counter resets during histogram %s",
              operation);
}

void
note_ignored_histogram(struct evaluation *ev, struct text_span at, enum token_type aggregation)
{
    notes_add(&ev->notes, PROMQL_INFO, at, "ignored histogram in %s aggregation",
              token_word(aggregation));
}

void
note_not_counter(const struct sample_window *w)
{
    notes_add_quoted(&w->ev->notes, PROMQL_WARNING, w->at,
                     "this native histogram metric is not a counter: ", metric_name(w->labels));
}

void
note_not_gauge(const struct sample_window *w)
{
    notes_add_quoted(&w->ev->notes, PROMQL_WARNING, w->at,
                     "this native histogram metric is not a gauge: ", metric_name(w->labels));
}

void
note_start_overlap(const struct sample_window *w)
{
    notes_add_overlap(&w->ev->notes, w->at, metric_name(w->labels));
}

static bool
is_gauge(const struct fhist *h)
{
    return h->hint == RESET_GAUGE;
}

/* --- arithmetic with notes -------------------------------------------------------------------- */

struct fhist *
window_changeable(struct sample_window *w, const struct fhist *h)
{
    struct fhist *copy = arena_alloc(w->arena, sizeof *copy);
    if (copy != NULL && fhist_begin(w->arena, h, false, copy) == OK) return copy;
    w->failed = ERR_NOMEM;
    return NULL;
}

bool
window_add_histogram(struct sample_window *w, struct fhist *to, const struct fhist *h,
                     double factor)
{
    struct fhist_outcome outcome;
    w->failed = fhist_add(w->arena, to, h, factor, &outcome);
    if (w->failed) return false;
    if (outcome.incompatible) note_mixed_schemas(w->ev, w->at, w->labels);
    if (outcome.reconciled) note_reconciled(w->ev, w->at, factor < 0 ? "subtraction" : "addition");
    return !outcome.incompatible;
}

/* --- rates ------------------------------------------------------------------------------------ */

static bool
point_was_reset(const struct sample_window *w, const struct histogram_point *p,
                const struct fhist *before)
{
    return p->is_reset ||
           (w->histogram_starts &&
            starts_show_reset(p[-1].start_ms, p[-1].t_ms, p->start_ms, p->t_ms)) ||
           fhist_was_reset(p->h, before);
}

/* Notes points that are not counters. False: exponential and custom buckets are mixed. */
static bool
check_points(struct sample_window *w, const struct histogram_point *points, uint32_t count,
             bool custom, bool is_counter)
{
    for (uint32_t i = 0; i < count; i++) {
        if (is_counter && is_gauge(points[i].h)) note_not_counter(w);
        if (fhist_is_custom(points[i].h) == custom) continue;
        note_mixed_schemas(w->ev, w->at, w->labels);
        return false;
    }
    return true;
}

/* The difference between the first and the last histogram, with what was lost in resets; it is not
 * extrapolated. */
bool
window_histogram_rate(struct sample_window *w, enum rate_kind kind, struct operand *ret)
{
    const struct histogram_point *points = w->histograms, *last = points + w->histogram_count - 1;
    assert(w->histogram_count > 1);
    bool is_counter = kind != RATE_DELTA;
    const struct fhist *before = points[0].h;
    struct fhist nothing = {.schema = points[1].h->schema,
                            .bounds = points[1].h->bounds,
                            .bound_count = points[1].h->bound_count};
    (void)ret;
    if (is_counter && (is_gauge(before) || is_gauge(last->h))) note_not_counter(w);
    /* A histogram before a reset need not have the layout of those after it. */
    if (is_counter && point_was_reset(w, &points[1], before)) before = &nothing;
    bool custom = fhist_is_custom(before);
    if (fhist_is_custom(last->h) != custom) {
        note_mixed_schemas(w->ev, w->at, w->labels);
        return false;
    }
    if (is_counter && !check_points(w, points + 1, w->histogram_count - 2, custom, true))
        return false;
    struct fhist *h = window_changeable(w, last->h);
    if (h == NULL || !window_add_histogram(w, h, before, -1)) return false;
    bool overlaps = false;
    for (const struct histogram_point *p = points + 1; is_counter && p <= last; p++) {
        bool reset = point_was_reset(w, p, before);
        if (reset && !window_add_histogram(w, h, before, 1)) return false;
        overlaps |=
            w->histogram_starts && window_starts_overlap(p[-1].start_ms, p[-1].t_ms, p->start_ms);
        before = p->h;
    }
    if (overlaps) note_start_overlap(w);
    if (!is_counter && !(is_gauge(points[0].h) && is_gauge(last->h))) note_not_gauge(w);
    h->hint = RESET_GAUGE;
    fhist_compact(h);
    w->result = h;
    return true;
}

bool
window_instant_histograms(struct sample_window *w, const struct histogram_point *before,
                          const struct histogram_point *last, bool is_rate, struct operand *ret)
{
    bool gauges = is_gauge(before->h) && is_gauge(last->h);
    if (is_rate && (is_gauge(before->h) || is_gauge(last->h))) note_not_counter(w);
    if (!is_rate && !gauges) note_not_gauge(w);
    struct fhist *h = window_changeable(w, last->h);
    if (h == NULL) return false;
    bool reset = is_rate && point_was_reset(w, last, before->h);
    if (!reset && !window_add_histogram(w, h, before->h, -1)) return false;
    h->hint = RESET_GAUGE;
    fhist_compact(h);
    if (is_rate) fhist_divide(h, (double)(last->t_ms - before->t_ms) / 1000);
    w->result = h;
    ret->histogram = h;
    return true;
}

/* --- sums ------------------------------------------------------------------------------------- */

bool
window_sum_histograms(struct sample_window *w, bool average, struct operand *ret)
{
    const struct histogram_point *points = w->histograms;
    bool reconciled = false, moves = false;
    assert(w->histogram_count > 0);
    unsigned hints = 1u << points[0].h->hint;
    if (w->count > 0) {
        note_mixed_samples(w->ev, w->at, w->labels);
        return false;
    }
    struct fhist *sum = arena_alloc(w->arena, sizeof *sum);
    if (sum == NULL || fhist_begin(w->arena, points[0].h, true, sum)) {
        w->failed = ERR_NOMEM;
        return false;
    }
    for (uint32_t i = 1; i < w->histogram_count; i++) {
        struct fhist_outcome outcome;
        hints |= 1u << points[i].h->hint;
        if (average && !moves && fhist_overflows(sum, points[i].h)) {
            moves = true;
            fhist_divide(sum, i);
        }
        if (moves) {
            double n = i + 1; /* the n-th histogram is added to a running mean */
            struct fhist *share = window_changeable(w, points[i].h);
            if (share == NULL) return false;
            fhist_divide(share, n);
            fhist_multiply(sum, (n - 1) / n);
            w->failed = fhist_add(w->arena, sum, share, 1, &outcome);
            if (w->failed) return false;
        } else {
            w->failed = fhist_add(w->arena, sum, points[i].h, 1, &outcome);
            if (w->failed) return false;
        }
        if (outcome.incompatible) {
            note_mixed_schemas(w->ev, w->at, w->labels);
            return false;
        }
        reconciled |= outcome.reconciled;
    }
    if (reconciled) note_reconciled(w->ev, w->at, "aggregation");
    if ((hints & 1u << RESET_YES) != 0 && (hints & 1u << RESET_NO) != 0)
        note_reset_collision(w->ev, w->at, "aggregation");
    if (average && !moves) fhist_divide(sum, w->histogram_count);
    fhist_settle(sum);
    w->result = sum;
    ret->histogram = sum;
    return true;
}

/* --- between samples -------------------------------------------------------------------------- */

double
interpolated(int64_t t1_ms, double v1, int64_t t2_ms, double v2, int64_t t_ms, bool is_counter)
{
    if (is_counter && v2 < v1) v1 = 0; /* reset */
    return v1 + (v2 - v1) * (double)(t_ms - t1_ms) / (double)(t2_ms - t1_ms);
}

enum err
interpolated_histogram(struct evaluation *ev, struct arena *arena, const struct histogram_point *a,
                       const struct histogram_point *b, int64_t t_ms, bool is_counter,
                       struct text_span at, struct bytes labels, struct fhist **ret)
{
    double share = (double)(t_ms - a->t_ms) / (double)(b->t_ms - a->t_ms);
    struct fhist_outcome down, up = {false, false};
    struct fhist *h = arena_alloc(arena, sizeof *h);
    *ret = h;
    if (h == NULL) return ERR_NOMEM;
    if (t_ms == a->t_ms) return fhist_begin(arena, a->h, false, h);
    if (fhist_begin(arena, b->h, false, h)) return ERR_NOMEM;
    if (t_ms == b->t_ms) return OK;
    if (is_counter && fhist_was_reset(b->h, a->h)) {
        fhist_multiply(h, share);
        return OK;
    }
    if (fhist_add(arena, h, a->h, -1, &down)) return ERR_NOMEM;
    if (!down.incompatible) {
        fhist_multiply(h, share);
        if (fhist_add(arena, h, a->h, 1, &up)) return ERR_NOMEM;
    }
    if (down.incompatible || up.incompatible) {
        note_mixed_schemas(ev, at, labels);
        *ret = NULL;
    }
    if (down.reconciled) note_reconciled(ev, at, "subtraction");
    if (up.reconciled) note_reconciled(ev, at, "addition");
    return OK;
}

/* Finds the samples that the values at the ends are taken from. False: no sample is in the range or
 * after it. */
static bool
ends_of(const struct sample_window *w, uint32_t count, const int64_t *times_ms, size_t stride,
        uint32_t *ret_first, uint32_t *ret_last)
{
#define TIME(i) (*(const int64_t *)(const void *)((const char *)times_ms + (i)*stride))
    assert(count > 0);
    uint32_t last = count - 1;
    uint32_t after = search_first(i, 0u, last, TIME(i) > w->start_ms);
    uint32_t first = after > 0 ? after - 1 : 0;
    bool smoothed = w->extent == EXTENT_SMOOTHED;
    if (smoothed) last = search_first(i, 0u, last, TIME(i) >= w->end_ms);
    *ret_first = first;
    *ret_last = last;
    return TIME(last) > w->start_ms;
#undef TIME
}

bool
window_float_ends(const struct sample_window *w, bool is_counter, struct float_ends *ret)
{
    bool smoothed = w->extent == EXTENT_SMOOTHED;
    const int64_t *t = w->times_ms;
    const double *v = w->values;
    uint32_t first, last;
    if (!ends_of(w, w->count, t, sizeof *t, &first, &last)) return false;
    ret->left = v[first];
    ret->right = v[last];
    if (smoothed && t[first] < w->start_ms) {
        ret->left =
            interpolated(t[first], v[first], t[first + 1], v[first + 1], w->start_ms, is_counter);
    }
    if (smoothed && last > 0 && t[last] > w->end_ms) {
        ret->right =
            interpolated(t[last - 1], v[last - 1], t[last], v[last], w->end_ms, is_counter);
    }
    ret->first = first + (t[first] <= w->start_ms);
    ret->end = last + 1 - (t[last] >= w->end_ms);
    return true;
}

/* With `smoothed`: all samples are after the range. */
static bool
is_behind(const struct sample_window *w, int64_t first_ms)
{
    return w->extent == EXTENT_SMOOTHED && first_ms > w->end_ms;
}

static bool
extended_floats(const struct sample_window *w, enum rate_kind kind, struct operand *ret)
{
    bool is_counter = kind != RATE_DELTA;
    struct float_ends ends;
    if (is_behind(w, w->times_ms[0]) || !window_float_ends(w, is_counter, &ends)) return false;
    ret->value = ends.right - ends.left;
    if (is_counter) {
        double before = ends.left;
        for (uint32_t i = ends.first; i < ends.end; i++) {
            if (w->values[i] < before) ret->value += before;
            before = w->values[i];
        }
        if (ends.right < before) ret->value += before;
    }
    if (kind == RATE_RATE) ret->value /= (double)w->range_ms / 1000;
    return true;
}

/* Returns the histogram at one end of the range. NULL without one, or without memory. */
static struct fhist *
histogram_end(struct sample_window *w, const struct histogram_point *a,
              const struct histogram_point *b, int64_t t_ms, bool is_counter)
{
    struct fhist *h;
    w->failed =
        interpolated_histogram(w->ev, w->arena, a, b, t_ms, is_counter, w->at, w->labels, &h);
    return w->failed ? NULL : h;
}

/* Adds the histograms before resets. */
static bool
add_resets(struct sample_window *w, struct fhist *sum, uint32_t first, uint32_t last,
           const struct fhist *left, const struct fhist *right)
{
    const struct histogram_point *p = w->histograms;
    const struct fhist *before = left;
    uint32_t i = first + 1;
    bool smoothed = w->extent == EXTENT_SMOOTHED;
    if (smoothed && p[first].t_ms < w->start_ms && fhist_was_reset(p[i].h, p[first].h))
        before = p[i++].h; /* `left` includes this reset */
    if (i > last) return true;
    for (; i < last; before = p[i++].h)
        if (fhist_was_reset(p[i].h, before) && !window_add_histogram(w, sum, before, 1))
            return false;
    return !fhist_was_reset(right, before) || window_add_histogram(w, sum, before, 1);
}

static bool
extended_histograms(struct sample_window *w, enum rate_kind kind, struct operand *ret)
{
    bool smoothed = w->extent == EXTENT_SMOOTHED, is_counter = kind != RATE_DELTA;
    const struct histogram_point *p = w->histograms;
    uint32_t first, last;
    if (is_behind(w, p->t_ms) ||
        !ends_of(w, w->histogram_count, &p->t_ms, sizeof *p, &first, &last))
        return false;
    if (!check_points(w, p + first, last + 1 - first, fhist_is_custom(p[first].h), is_counter))
        return false;
    bool left_between = smoothed && p[first].t_ms < w->start_ms;
    bool right_between = smoothed && last > 0 && p[last].t_ms > w->end_ms;
    struct fhist *left = left_between
                             ? histogram_end(w, &p[first], &p[first + 1], w->start_ms, is_counter)
                             : window_changeable(w, p[first].h);
    if (left == NULL) return false;
    struct fhist *right = right_between
                              ? histogram_end(w, &p[last - 1], &p[last], w->end_ms, is_counter)
                              : window_changeable(w, p[last].h);
    if (right == NULL) return false;
    if (!is_counter && !(is_gauge(left) && is_gauge(right))) note_not_gauge(w);
    struct fhist *result = window_changeable(w, right);
    if (result == NULL || !window_add_histogram(w, result, left, -1)) return false;
    if (is_counter && !add_resets(w, result, first, last, left, right)) return false;
    if (kind == RATE_RATE) fhist_divide(result, (double)w->range_ms / 1000);
    result->hint = RESET_GAUGE;
    fhist_compact(result);
    w->result = result;
    ret->histogram = result;
    return true;
}

bool
window_extended_rate(struct sample_window *w, enum rate_kind kind, struct operand *ret)
{
    assert(w->count == 0 || w->histogram_count == 0); /* the caller refuses mixed samples */
    return w->count > 0 ? extended_floats(w, kind, ret) : extended_histograms(w, kind, ret);
}
