/*
 * window.c - the functions of range vectors, each over one window.
 *
 * Sums carry along what rounding loses (Neumaier), as those of Prometheus do. Functions that return
 * histograms are those of window_histogram.c.
 *
 * Invariants:
 *  1. A window has at least one sample: a float if it has no histogram, and a histogram if it has
 *     no float.
 *  2. A function whose window_kind has `floats_only` is called with at least one float.
 */
#include "promql/eval/select/window.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/precise.h"

/* --- rates ------------------------------------------------------------------------------------ */

bool
window_starts_overlap(int64_t start_before_ms, int64_t before_ms, int64_t start_ms)
{
    return start_ms != 0 && start_ms < before_ms && start_ms != start_before_ms;
}

static inline bool
was_reset(const struct sample_window *w, uint32_t i)
{
    if (w->values[i] < w->values[i - 1]) return true;
    return w->starts_ms != NULL && starts_show_reset(w->starts_ms[i - 1], w->times_ms[i - 1],
                                                     w->starts_ms[i], w->times_ms[i]);
}

/* The extrapolation of a difference to the range: see stretch_factor(). */
struct window_stretch {
    double factor;
    bool from_start; /* the counter started within the range, at the start of its first sample */
};

/* False: one sample is not enough. */
static bool
stretch_of(const struct sample_window *w, int64_t first_ms, int64_t last_ms, uint32_t count,
           int64_t counter_start_ms, double first, double more, bool is_counter,
           struct window_stretch *ret)
{
    struct stretch_times t = {
        .to_start = (double)(first_ms - w->start_ms) / 1000,
        .to_end = (double)(w->end_ms - last_ms) / 1000,
        .sampled = (double)(last_ms - first_ms) / 1000,
        .count = count,
    };
    ret->from_start = is_counter && counter_start_ms != 0 && counter_start_ms > w->start_ms &&
                      counter_start_ms < first_ms;
    if (!ret->from_start) {
        if (count < 2) return false;
        ret->factor = stretch_factor(&t, first, more, is_counter);
        return true;
    }
    double between = count > 1 ? t.sampled / (count - 1) : 0;
    double to_end = t.to_end >= between * 1.1 ? between / 2 : t.to_end;
    double sampled = (double)(last_ms - counter_start_ms) / 1000;
    ret->factor = sampled == 0 ? 1 : (sampled + to_end) / sampled;
    return true;
}

static bool
float_rate(const struct sample_window *w, enum rate_kind kind, struct operand *ret)
{
    bool is_counter = kind != RATE_DELTA, overlaps = false;
    assert(w->count > 0); /* invariant 1 */
    uint32_t last = w->count - 1;
    double result = w->values[last] - w->values[0];
    for (uint32_t i = 1, end = is_counter ? w->count : 0; i < end; i++)
        if (was_reset(w, i)) result += w->values[i - 1];
    for (uint32_t i = 1; i < w->count && is_counter && w->starts_ms != NULL; i++)
        overlaps |= window_starts_overlap(w->starts_ms[i - 1], w->times_ms[i - 1], w->starts_ms[i]);
    if (overlaps) note_start_overlap(w);
    struct window_stretch s;
    if (!stretch_of(w, w->times_ms[0], w->times_ms[last], w->count,
                    w->starts_ms == NULL ? 0 : w->starts_ms[0], w->values[0], result, is_counter,
                    &s))
        return false;
    if (s.from_start) result += w->values[0];
    if (kind == RATE_RATE) s.factor /= (double)w->range_ms / 1000;
    ret->value = result * s.factor;
    return true;
}

static bool
histogram_rate(struct sample_window *w, enum rate_kind kind, struct operand *ret)
{
    const struct histogram_point *first = &w->histograms[0];
    const struct histogram_point *last = &w->histograms[w->histogram_count - 1];
    bool is_counter = kind != RATE_DELTA;
    assert(w->histogram_count > 0); /* invariant 1 */
    struct fhist *h = NULL;
    struct window_stretch s;
    struct fhist_outcome outcome;
    if (w->histogram_count > 1) {
        if (!window_histogram_rate(w, kind, ret)) return false;
        h = w->result;
    }
    if (!stretch_of(w, first->t_ms, last->t_ms, w->histogram_count,
                    w->histogram_starts ? first->start_ms : 0, first->h->count,
                    h == NULL ? 0 : h->count, is_counter, &s))
        return false;
    if (h == NULL) {
        h = w->result = arena_alloc(w->arena, sizeof *h);
        if (h == NULL || fhist_begin(w->arena, first->h, false, h)) {
            w->failed = ERR_NOMEM;
            return false;
        }
    } else if (s.from_start) {
        w->failed = fhist_add(w->arena, h, first->h, 1, &outcome);
        if (w->failed) return false;
        if (outcome.incompatible) {
            note_mixed_schemas(w->ev, w->at, w->labels);
            return false;
        }
    }
    if (kind == RATE_RATE) s.factor /= (double)w->range_ms / 1000;
    fhist_multiply(h, s.factor);
    ret->histogram = h;
    return true;
}

static bool
rate(struct sample_window *w, struct operand *ret)
{
    enum rate_kind kind = w->id == FUNCTION_RATE       ? RATE_RATE
                          : w->id == FUNCTION_INCREASE ? RATE_INCREASE
                                                       : RATE_DELTA;
    if (w->count > 0 && w->histogram_count > 0) {
        note_mixed_samples(w->ev, w->at, w->labels);
        return false;
    }
    if (w->extent != EXTENT_PLAIN) return window_extended_rate(w, kind, ret);
    return w->count > 0 ? float_rate(w, kind, ret) : histogram_rate(w, kind, ret);
}

static bool
instant_floats(const struct sample_window *w, bool is_rate, struct operand *ret)
{
    assert(w->count >= 2);
    uint32_t last = w->count - 1;
    double before = w->values[last - 1], value = w->values[last];
    bool reset = is_rate && was_reset(w, last);
    ret->value = reset ? value : value - before;
    int64_t between_ms = w->times_ms[last] - w->times_ms[last - 1];
    if (between_ms == 0) return false;
    if (is_rate) ret->value /= (double)between_ms / 1000;
    return true;
}

/* The last two samples, which must be of one kind. */
static bool
instant(struct sample_window *w, struct operand *ret)
{
    bool is_rate = w->id == FUNCTION_IRATE;
    uint32_t n = w->count, m = w->histogram_count;
    if (n + m < 2) return false;
    if (m == 0) return instant_floats(w, is_rate, ret);
    const struct histogram_point *h = w->histograms;
    bool two_floats = n >= 2 && w->times_ms[n - 2] > h[m - 1].t_ms;
    bool two_histograms = m >= 2 && (n == 0 || h[m - 2].t_ms > w->times_ms[n - 1]);
    if (two_floats) return instant_floats(w, is_rate, ret);
    if (two_histograms) return window_instant_histograms(w, &h[m - 2], &h[m - 1], is_rate, ret);
    note_mixed_samples(w->ev, w->at, w->labels);
    return false;
}

/* --- over time -------------------------------------------------------------------------------- */

static bool
sum_over_time(struct sample_window *w, struct operand *ret)
{
    struct precise p = {0, 0};
    if (w->histogram_count > 0) return window_sum_histograms(w, false, ret);
    for (uint32_t i = 0; i < w->count; i++)
        precise_add(&p, w->values[i]);
    ret->value = precise_value(&p);
    return true;
}

double
mean_of(const double *values, uint32_t count)
{
    assert(count > 0);
    struct precise p = {values[0], 0};
    double mean = 0, lost = 0;
    bool moves = false;
    for (uint32_t i = 1; i < count; i++) {
        double n = i + 1;
        if (!moves) {
            struct precise more = p;
            precise_add(&more, values[i]);
            if (!isinf(more.sum)) {
                p = more;
                continue;
            }
            moves = true;
            mean = p.sum / (n - 1);
            lost = p.lost / (n - 1);
        }
        double q = (n - 1) / n;
        struct precise m = {q * mean, q * lost};
        precise_add(&m, values[i] / n);
        mean = m.sum;
        lost = m.lost;
    }
    return moves ? mean + lost : p.sum / count + p.lost / count;
}

static bool
avg_over_time(struct sample_window *w, struct operand *ret)
{
    if (w->histogram_count > 0) return window_sum_histograms(w, true, ret);
    ret->value = mean_of(w->values, w->count);
    return true;
}

uint64_t
window_weight(const struct sample_window *w)
{
    if (w->weights == NULL) return w->count;
    uint64_t weight = 0;
    for (uint32_t i = 0; i < w->count; i++)
        weight += w->weights[i];
    return weight;
}

static bool
count_over_time(struct sample_window *w, struct operand *ret)
{
    ret->value = (double)window_weight(w) + w->histogram_count;
    return true;
}

/* The greatest or the least value, or the time of the last sample that has it. */
static bool
extreme(struct sample_window *w, struct operand *ret)
{
    bool greatest = w->id == FUNCTION_MAX_OVER_TIME || w->id == FUNCTION_TS_OF_MAX_OVER_TIME;
    bool of_time = w->id == FUNCTION_TS_OF_MAX_OVER_TIME || w->id == FUNCTION_TS_OF_MIN_OVER_TIME;
    uint32_t best = 0;
    assert(w->count > 0); /* invariant 2 */
    for (uint32_t i = 1; i < w->count; i++) {
        double x = w->values[i], y = w->values[best];
        bool better = greatest ? x > y : x < y;
        if (better || isnan(y) || (of_time && x == y)) best = i;
    }
    ret->value = of_time ? (double)w->times_ms[best] / 1000 : w->values[best];
    return true;
}

/* The first or the last sample, or its time. */
static bool
end_sample(struct sample_window *w, struct operand *ret)
{
    bool first = w->id == FUNCTION_FIRST_OVER_TIME || w->id == FUNCTION_TS_OF_FIRST_OVER_TIME;
    uint32_t n = w->count, m = w->histogram_count, i = first ? 0 : n - 1, k = first ? 0 : m - 1;
    bool is_histogram = n == 0 || (m > 0 && (first ? w->histograms[k].t_ms <= w->times_ms[i]
                                                   : w->histograms[k].t_ms >= w->times_ms[i]));
    int64_t t_ms = is_histogram ? w->histograms[k].t_ms : w->times_ms[i];
    if (w->id == FUNCTION_TS_OF_FIRST_OVER_TIME || w->id == FUNCTION_TS_OF_LAST_OVER_TIME)
        ret->value = !first && t_ms < 0 ? 0 : (double)t_ms / 1000; /* as in Prometheus */
    else if (is_histogram)
        ret->histogram = w->histograms[k].h;
    else
        ret->value = w->values[i];
    return true;
}

static bool
present_over_time(struct sample_window *w, struct operand *ret)
{
    (void)w;
    ret->value = 1;
    return true;
}

/* Welford's algorithm, with the lost parts of both sums. */
static bool
variance(struct sample_window *w, struct operand *ret)
{
    struct precise mean = {0, 0}, squares = {0, 0};
    for (uint32_t i = 0; i < w->count; i++) {
        double before = w->values[i] - (mean.sum + mean.lost);
        precise_add(&mean, before / (i + 1));
        precise_add(&squares, before * (w->values[i] - (mean.sum + mean.lost)));
    }
    ret->value = (squares.sum + squares.lost) / w->count;
    if (w->id == FUNCTION_STDDEV_OVER_TIME) ret->value = sqrt(ret->value);
    return true;
}

/* The first samples of both kinds; with `anchored` one of them is the last sample up to the start.
 * False: no sample is after the start. */
static bool
first_of_both(const struct sample_window *w, uint32_t *ret_float, uint32_t *ret_histogram)
{
    *ret_float = *ret_histogram = 0;
    if (w->extent != EXTENT_ANCHORED) return true;
    uint32_t i = search_first(n, 0u, w->count, w->times_ms[n] > w->start_ms);
    uint32_t k = search_first(n, 0u, w->histogram_count, w->histograms[n].t_ms > w->start_ms);
    if (i == w->count && k == w->histogram_count) return false;
    bool is_float = i > 0 && (k == 0 || w->times_ms[i - 1] > w->histograms[k - 1].t_ms);
    *ret_float = i - is_float;
    *ret_histogram = k - (!is_float && k > 0);
    return true;
}

struct either {
    double value;
    const struct fhist *histogram;
    int64_t t_ms, start_ms;
    bool is_reset; /* its sender says so */
};

/* Gives the next sample of either kind in the order of time. False after the last one. */
static bool
next_of_both(const struct sample_window *w, uint32_t *i, uint32_t *k, struct either *ret)
{
    bool more_floats = *i < w->count, more_histograms = *k < w->histogram_count;
    if (more_floats && (!more_histograms || w->times_ms[*i] < w->histograms[*k].t_ms)) {
        *ret = (struct either){w->values[*i], NULL, w->times_ms[*i],
                               w->starts_ms == NULL ? 0 : w->starts_ms[*i], false};
        (*i)++;
        return true;
    }
    if (!more_histograms) return false;
    const struct histogram_point *p = &w->histograms[*k];
    *ret = (struct either){0, p->h, p->t_ms, w->histogram_starts ? p->start_ms : 0, p->is_reset};
    (*k)++;
    return true;
}

static bool
changed(const struct either *a, const struct either *b)
{
    if ((a->histogram == NULL) != (b->histogram == NULL)) return true;
    if (a->histogram != NULL) return !fhist_equal(b->histogram, a->histogram);
    return a->value != b->value && !(isnan(a->value) && isnan(b->value));
}

static bool
was_reset_between(const struct either *a, const struct either *b)
{
    if ((a->histogram == NULL) != (b->histogram == NULL)) return true;
    if (b->is_reset || starts_show_reset(a->start_ms, a->t_ms, b->start_ms, b->t_ms)) return true;
    if (a->histogram != NULL) return fhist_was_reset(b->histogram, a->histogram);
    return b->value < a->value;
}

/* Counts changes or resets. */
static bool
count_pairs(struct sample_window *w, struct operand *ret)
{
    bool resets = w->id == FUNCTION_RESETS;
    uint32_t i, k, count = 0;
    struct either before, now;
    if (!first_of_both(w, &i, &k)) return false;
    if (!next_of_both(w, &i, &k, &before)) return false;
    for (; next_of_both(w, &i, &k, &now); before = now)
        count += resets ? was_reset_between(&before, &now) : changed(&before, &now);
    ret->value = count;
    return true;
}

/* --- lines ------------------------------------------------------------------------------------ */

/* Least squares over times in seconds since `origin_ms`. */
static void
regress(const struct sample_window *w, int64_t origin_ms, double *ret_slope, double *ret_intercept)
{
    struct precise x = {0, 0}, y = {0, 0}, xy = {0, 0}, xx = {0, 0};
    bool constant = true;
    double first = w->values[0], n = w->count;
    for (uint32_t i = 0; i < w->count; i++) {
        double t = (double)(w->times_ms[i] - origin_ms) / 1000, v = w->values[i];
        constant &= v == first;
        precise_add(&x, t);
        precise_add(&y, v);
        precise_add(&xy, t * v);
        precise_add(&xx, t * t);
    }
    if (constant) {
        *ret_slope = isinf(first) ? NAN : 0;
        *ret_intercept = isinf(first) ? NAN : first;
        return;
    }
    double sx = x.sum + x.lost, sy = y.sum + y.lost;
    double cov = xy.sum + xy.lost - sx * sy / n, var = xx.sum + xx.lost - sx * sx / n;
    *ret_slope = cov / var;
    *ret_intercept = sy / n - *ret_slope * sx / n;
}

/* The slope of the line, or its value at a later time. */
static bool
line(struct sample_window *w, struct operand *ret)
{
    bool predicts = w->id == FUNCTION_PREDICT_LINEAR;
    double slope, intercept;
    if (w->count < 2) return false;
    regress(w, predicts ? w->step_time_ms : w->times_ms[0], &slope, &intercept);
    ret->value = predicts ? slope * w->scalars[0] + intercept : slope;
    return true;
}

static bool
is_factor(struct sample_window *w, const char *name, const char *symbol, double x)
{
    char digits[512];
    if (!(x <= 0 || x >= 1)) return true;
    snprintf(digits, sizeof digits, isinf(x) ? "%+f" : "%f", x);
    if (isinf(x)) digits[1] = 'I';
    w->failed =
        eval_fail(w->ev, "invalid %s factor. Expected: 0 < %s < 1, got: %s", name, symbol, digits);
    return false;
}

static bool
double_exponential_smoothing(struct sample_window *w, struct operand *ret)
{
    double sf = w->scalars[0], tf = w->scalars[1];
    if (!is_factor(w, "smoothing", "sf", sf) || !is_factor(w, "trend", "tf", tf)) return false;
    if (w->count < 2) return false;
    double before = 0, level = w->values[0], trend = w->values[1] - w->values[0];
    for (uint32_t i = 1; i < w->count; i++) {
        double x = sf * w->values[i];
        if (i > 1) trend = tf * (level - before) + (1 - tf) * trend;
        double y = (1 - sf) * (level + trend);
        before = level;
        level = x + y;
    }
    ret->value = level;
    return true;
}

/* --- ranks ------------------------------------------------------------------------------------ */

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x)) return isnan(y) ? 0 : -1;
    if (isnan(y)) return 1;
    return x < y ? -1 : x > y;
}

double
quantile_of(double q, double *values, uint32_t count)
{
    if (count == 0 || isnan(q)) return NAN;
    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    qsort(values, count, sizeof *values, compare_doubles);
    double rank = q * (count - 1), floor_of = floor(rank), weight = rank - floor_of;
    uint32_t low = (uint32_t)fmax(0, floor_of);
    assert(low < count);
    uint32_t high = low + 1 < count ? low + 1 : count - 1;
    return values[low] * (1 - weight) + values[high] * weight;
}

void
window_check_quantile(const struct sample_window *w, double q)
{
    if (q >= 0 && q <= 1) return;
    notes_add_number(&w->ev->notes, PROMQL_WARNING, w->at,
                     "quantile value should be between 0 and 1, got ", q);
}

static bool
quantile_over_time(struct sample_window *w, struct operand *ret)
{
    double *copy = w->scratch, q = w->scalars[0];
    window_check_quantile(w, q);
    memcpy(copy, w->values, w->count * sizeof *copy);
    ret->value = quantile_of(q, copy, w->count);
    return true;
}

static bool
mad_over_time(struct sample_window *w, struct operand *ret)
{
    double *copy = w->scratch;
    bool any_nan = false;
    memcpy(copy, w->values, w->count * sizeof *copy);
    double median = quantile_of(0.5, copy, w->count);
    for (uint32_t i = 0; i < w->count; i++) {
        copy[i] = fabs(w->values[i] - median);
        any_nan |= isnan(w->values[i]);
    }
    ret->value = any_nan ? NAN : quantile_of(0.5, copy, w->count);
    return true;
}

const struct window_kind *
window_kind_of(enum function_id id)
{
    static const struct window_kind table[FUNCTION_COUNT] = {
        [FUNCTION_RATE] = {rate, false, true, true, true},
        [FUNCTION_INCREASE] = {rate, false, true, true, true},
        [FUNCTION_DELTA] = {rate, false, true, true, false},
        [FUNCTION_IRATE] = {instant, false, false, false, true},
        [FUNCTION_IDELTA] = {instant, false, false, false, false},
        [FUNCTION_CHANGES] = {count_pairs, false, true, false, false},
        [FUNCTION_RESETS] = {count_pairs, false, true, false, true},
        [FUNCTION_SUM_OVER_TIME] = {.function = sum_over_time, .gives_hints = true},
        [FUNCTION_AVG_OVER_TIME] = {.function = avg_over_time, .gives_hints = true},
        [FUNCTION_COUNT_OVER_TIME] = {count_over_time, .times_only = true, .takes_summaries = true},
        [FUNCTION_FIRST_OVER_TIME] = {.function = end_sample, .gives_hints = true},
        [FUNCTION_LAST_OVER_TIME] = {.function = end_sample, .gives_hints = true},
        [FUNCTION_TS_OF_FIRST_OVER_TIME] = {end_sample, .times_only = true},
        [FUNCTION_TS_OF_LAST_OVER_TIME] = {end_sample, .times_only = true},
        [FUNCTION_PRESENT_OVER_TIME] = {present_over_time, .times_only = true,
                                        .takes_summaries = true},
        [FUNCTION_ABSENT_OVER_TIME] =
            {/* absent() is the opposite */
             present_over_time, .times_only = true, .takes_summaries = true},
        [FUNCTION_MAX_OVER_TIME] = {extreme, .floats_only = true, .takes_summaries = true},
        [FUNCTION_MIN_OVER_TIME] = {extreme, .floats_only = true, .takes_summaries = true},
        [FUNCTION_TS_OF_MAX_OVER_TIME] = {extreme, .floats_only = true},
        [FUNCTION_TS_OF_MIN_OVER_TIME] = {extreme, .floats_only = true},
        [FUNCTION_STDVAR_OVER_TIME] = {variance, .floats_only = true},
        [FUNCTION_STDDEV_OVER_TIME] = {variance, .floats_only = true},
        [FUNCTION_DERIV] = {line, .floats_only = true},
        [FUNCTION_PREDICT_LINEAR] = {line, .floats_only = true},
        [FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING] = {double_exponential_smoothing,
                                                   .floats_only = true},
        [FUNCTION_QUANTILE_OVER_TIME] = {quantile_over_time, .floats_only = true},
        [FUNCTION_MAD_OVER_TIME] = {mad_over_time, .floats_only = true},
    };
    return &table[id];
}
