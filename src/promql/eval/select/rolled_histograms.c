/*
 * rolled_histograms.c - functions of ranges with windows of histograms; see range.h.
 *
 * They join what windows keep as the functions of samples would: corrections are those of
 * window_histogram_rate(), which neither subtracts nor adds a first histogram before a reset.
 */
#include "promql/eval/select/range.h"

#include <assert.h>
#include <math.h>

/* --- windows ---------------------------------------------------------------------------------- */

static size_t
aligned(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

size_t
rolled_histogram_bytes(const struct histogram_rollup *r)
{
    size_t bytes = aligned(sizeof(struct rolled_histogram));
    bytes += aligned(fhist_bytes_of(&r->last)) + aligned(fhist_bytes_of(&r->first));
    if (r->sum != NULL) bytes += aligned(fhist_bytes(r->sum));
    if (r->correction != NULL) bytes += aligned(fhist_bytes(r->correction));
    return bytes;
}

/* Copies a settled sum to the memory at `at`, which moves past it. */
static struct fhist *
put_sum(uint8_t **at, struct fhist *sum)
{
    if (sum == NULL) return NULL;
    fhist_settle(sum);
    struct fhist *copy = fhist_copy(*at, sum);
    *at += aligned(fhist_bytes(sum));
    return copy;
}

void
rolled_histogram_set(struct histogram_point *p, const struct histogram_rollup *r,
                     int64_t resolution_ms)
{
    uint8_t *at = (uint8_t *)p->h;
    assert(r->count > 0);
    assert(p->capacity >= rolled_histogram_bytes(r));
    p->t_ms = r->last_ms;
    p->start_ms = 0;
    p->h = fhist_of(at, &r->last);
    at += aligned(fhist_bytes_of(&r->last));
    struct rolled_histogram *x = (struct rolled_histogram *)(void *)at;
    at += aligned(sizeof *x);
    *x = (struct rolled_histogram){.resolution_ms = resolution_ms, .rollup = *r};
    x->first = fhist_of(at, &r->first);
    at += aligned(fhist_bytes_of(&r->first));
    x->rollup.sum = put_sum(&at, r->sum);
    x->rollup.correction = put_sum(&at, r->correction);
    p->rolled = x;
}

static const struct histogram_rollup *
rollup_of_point(const struct histogram_point *p)
{
    return p->rolled == NULL ? NULL : &p->rolled->rollup;
}

static uint64_t
count_of_point(const struct histogram_point *p)
{
    return p->rolled == NULL ? 1 : p->rolled->rollup.count;
}

static uint64_t
histograms_in(const struct sample_window *w)
{
    uint64_t count = 0;
    for (uint32_t k = 0; k < w->histogram_count; k++)
        count += count_of_point(&w->histograms[k]);
    return count;
}

/* --- neighbours ------------------------------------------------------------------------------- */

/* Counts changes, or resets, in windows and between neighbours of both kinds. Another kind is both.
 */
static double
rolled_histograms_count_pairs(const struct sample_window *w, bool resets)
{
    uint64_t count = 0;
    bool is_float = false;
    for (uint32_t i = 0, k = 0; i < w->count || k < w->histogram_count;) {
        const struct histogram_point *p = &w->histograms[k];
        bool was_float = is_float, any = i + k > 0;
        is_float = i < w->count && (k == w->histogram_count || w->times_ms[i] < p->t_ms);
        if (any && was_float != is_float) {
            count++;
        } else if (any && is_float) {
            double before = w->values[i - 1], now = first_value(w, i);
            bool differs = now != before && !(isnan(now) && isnan(before));
            count += resets ? now < before : differs;
        } else if (any) {
            const struct fhist *now = rolled_first_histogram(p);
            count += resets ? fhist_was_reset(now, p[-1].h) : !fhist_equal(now, p[-1].h);
        }
        const struct rollup *r = is_float ? window_of(w, i) : NULL;
        const struct histogram_rollup *h = is_float ? NULL : rollup_of_point(p);
        if (r != NULL) count += resets ? r->resets : r->changes;
        if (h != NULL) count += resets ? h->resets : h->changes;
        i += is_float;
        k += !is_float;
    }
    return (double)count;
}

/* --- sums ------------------------------------------------------------------------------------- */

static bool
sum_up(struct sample_window *w, bool average, struct operand *ret)
{
    struct fhist *sum = arena_alloc(w->arena, sizeof *sum);
    bool reconciled = false;
    if (w->count > 0) {
        note_mixed_samples(w->ev, w->at, w->labels);
        return false;
    }
    if (sum == NULL) w->failed = ERR_NOMEM;
    for (uint32_t k = 0; k < w->histogram_count && w->failed == OK; k++) {
        const struct histogram_rollup *r = rollup_of_point(&w->histograms[k]);
        const struct fhist *h = r == NULL ? w->histograms[k].h : r->sum;
        struct fhist_outcome outcome = {.incompatible = h == NULL};
        if (h != NULL && k == 0) w->failed = fhist_begin(w->arena, h, true, sum);
        if (h != NULL && k > 0) w->failed = fhist_add(w->arena, sum, h, 1, &outcome);
        if (outcome.incompatible) {
            note_mixed_schemas(w->ev, w->at, w->labels);
            return false;
        }
        reconciled |= outcome.reconciled;
    }
    if (w->failed) return false;
    if (reconciled) note_reconciled(w->ev, w->at, "aggregation");
    if (average) fhist_divide(sum, (double)histograms_in(w));
    fhist_settle(sum);
    w->result = sum;
    ret->histogram = sum;
    return true;
}

/* --- rates ------------------------------------------------------------------------------------ */

/* Numbers of all histograms of the range. */
struct range_of_histograms {
    const struct fhist *first;
    const struct fhist *last;
    uint64_t count;
    uint64_t gauges;
    uint64_t custom;
    bool second_is_reset; /* the first one is neither subtracted nor added */
};

static struct range_of_histograms
survey(const struct sample_window *w)
{
    const struct histogram_point *p = w->histograms;
    struct range_of_histograms x = {.first = rolled_first_histogram(&p[0]),
                                    .last = p[w->histogram_count - 1].h};
    for (uint32_t k = 0; k < w->histogram_count; k++) {
        const struct histogram_rollup *r = rollup_of_point(&p[k]);
        x.count += count_of_point(&p[k]);
        x.gauges += r != NULL ? r->gauge_count : p[k].h->hint == RESET_GAUGE;
        x.custom += r != NULL ? r->custom_count : fhist_is_custom(p[k].h);
    }
    if (count_of_point(&p[0]) > 1)
        x.second_is_reset = p[0].rolled->rollup.second_is_reset;
    else if (w->histogram_count > 1)
        x.second_is_reset = fhist_was_reset(rolled_first_histogram(&p[1]), p[0].h);
    return x;
}

/* Adds the histograms before resets in a window. Where they were not kept, each is taken to be
 * twice the mean of the window: so it is where a counter rises evenly from zero. A counter whose
 * first histogram exceeds the mean ran for long before: it is taken to rise before each reset by as
 * much as after the last one. Neither makes a rate negative. */
static bool
add_corrections_of(struct sample_window *w, const struct histogram_point *p, struct joined *j,
                   struct fhist *to)
{
    const struct histogram_rollup *r = rollup_of_point(p);
    if (r == NULL) return true;
    if (r->correction != NULL) return window_add_histogram(w, to, r->correction, 1);
    uint32_t lost = r->resets - (r->second_is_reset ? 1 : 0);
    if (lost == 0) return true;
    j->is_approximate = true;
    const struct fhist *first = rolled_first_histogram(p);
    if (r->sum != NULL) {
        struct fhist *mean = window_changeable(w, r->sum);
        if (mean == NULL) return false;
        fhist_divide(mean, r->count);
        if (!fhist_was_reset(mean, first)) return window_add_histogram(w, to, mean, 2.0 * lost);
    }
    return window_add_histogram(w, to, p->h, lost) &&
           (r->second_is_reset || window_add_histogram(w, to, first, 1));
}

/* Adds what a counter lost in resets. */
static bool
add_corrections(struct sample_window *w, struct joined *j, struct fhist *to)
{
    uint64_t count = 0;
    for (uint32_t k = 0; k < w->histogram_count; k++) {
        const struct histogram_point *p = &w->histograms[k];
        const struct histogram_rollup *r = rollup_of_point(p);
        const struct fhist *first = rolled_first_histogram(p);
        bool is_reset = count > 1 && fhist_was_reset(first, p[-1].h);
        if (is_reset && !window_add_histogram(w, to, p[-1].h, 1)) return false;
        if (r != NULL && r->second_is_reset && count > 0 && !window_add_histogram(w, to, first, 1))
            return false;
        if (!add_corrections_of(w, p, j, to)) return false;
        count += count_of_point(p);
    }
    return true;
}

static bool
difference(struct sample_window *w, struct joined *j, enum rate_kind kind, struct operand *ret)
{
    bool is_counter = kind != RATE_DELTA;
    if (w->count > 0) {
        note_mixed_samples(w->ev, w->at, w->labels);
        return false;
    }
    const struct range_of_histograms x = survey(w);
    if (x.count < 2) return false;
    bool first_is_custom = fhist_is_custom(x.first), skips = is_counter && x.second_is_reset;
    uint64_t count = x.count - skips, custom = x.custom - (skips && first_is_custom);
    bool is_mixed =
        is_counter ? custom > 0 && custom < count : first_is_custom != fhist_is_custom(x.last);
    if (is_counter && x.gauges > 0) note_not_counter(w);
    if (is_mixed) {
        note_mixed_schemas(w->ev, w->at, w->labels);
        return false;
    }
    struct fhist *h = window_changeable(w, x.last);
    bool subtracts = !is_counter || !x.second_is_reset;
    if (h == NULL || (subtracts && !window_add_histogram(w, h, x.first, -1))) return false;
    if (is_counter && !add_corrections(w, j, h)) return false;
    bool are_gauges = x.first->hint == RESET_GAUGE && x.last->hint == RESET_GAUGE;
    if (!is_counter && !are_gauges) note_not_gauge(w);
    h->hint = RESET_GAUGE;
    fhist_compact(h);
    const struct rolled_difference d = {
        .kind = kind,
        .first_ms = rolled_first_histogram_ms(&w->histograms[0]),
        .last_ms = w->histograms[w->histogram_count - 1].t_ms,
        .count = x.count,
        .first = x.first->count,
        .more = h->count,
        .most = INFINITY,
    };
    fhist_multiply(h, rolled_factor(w, j, &d));
    w->result = h;
    ret->histogram = h;
    return true;
}

bool
rolled_join_histograms(struct sample_window *w, enum function_id id, struct joined *j,
                       struct operand *ret)
{
    const struct histogram_point *first = &w->histograms[0];
    const struct histogram_point *last = &w->histograms[w->histogram_count - 1];
    uint32_t end = w->count - 1;
    bool begins =
        w->count == 0 || first->t_ms < w->times_ms[0];          /* the first item is a histogram, */
    bool ends = w->count == 0 || last->t_ms > w->times_ms[end]; /* or the last one */
    bool cuts_last = j->range->cuts_last;
    int64_t t_ms;
    switch (id) {
    case FUNCTION_RATE:
        return difference(w, j, RATE_RATE, ret);
    case FUNCTION_INCREASE:
        return difference(w, j, RATE_INCREASE, ret);
    case FUNCTION_DELTA:
        return difference(w, j, RATE_DELTA, ret);
    case FUNCTION_CHANGES:
    case FUNCTION_RESETS:
        ret->value = rolled_histograms_count_pairs(w, id == FUNCTION_RESETS);
        return true;
    case FUNCTION_SUM_OVER_TIME:
    case FUNCTION_AVG_OVER_TIME:
        return sum_up(w, id == FUNCTION_AVG_OVER_TIME, ret);
    case FUNCTION_COUNT_OVER_TIME:
        ret->value = (double)(histograms_in(w) + (w->count > 0 ? rolled_weight(w) : 0));
        return true;
    case FUNCTION_FIRST_OVER_TIME:
        if (begins)
            ret->histogram = rolled_first_histogram(first);
        else
            ret->value = first_value(w, 0);
        return true;
    case FUNCTION_LAST_OVER_TIME:
        /* A window that ends after the range has its first sample in it or before it, its last one
         * not. */
        if (ends)
            ret->histogram = cuts_last ? rolled_first_histogram(last) : last->h;
        else
            ret->value = cuts_last ? first_value(w, end) : w->values[end];
        return true;
    case FUNCTION_TS_OF_FIRST_OVER_TIME:
        if (begins)
            t_ms = rolled_first_histogram_ms(first);
        else
            t_ms = window_of(w, 0) == NULL ? w->times_ms[0] : window_of(w, 0)->first_ms;
        ret->value = (double)t_ms / 1000;
        return true;
    case FUNCTION_TS_OF_LAST_OVER_TIME:
        if (ends)
            t_ms = cuts_last ? rolled_first_histogram_ms(last) : last->t_ms;
        else
            t_ms = cuts_last ? w->rolled[end].rollup.first_ms : w->times_ms[end];
        ret->value = t_ms < 0 ? 0 : (double)t_ms / 1000;
        return true;
    default: /* present and absent */
        ret->value = 1;
        return true;
    }
}
