/*
 * window.c - the functions of range vectors. Sums are Neumaier's, as in Prometheus: what is lost by
 * rounding is carried along.
 */
#include "promql/eval/window.h"
#include "promql/eval/precise.h"

#include <math.h>
#include <stdlib.h>

/* --- rates ------------------------------------------------------------------------------------ */

enum rate_kind { RATE_DELTA, RATE_INCREASE, RATE_RATE };

/*
 * The difference between the last and the first sample, stretched to the whole range: up to its
 * ends if these are about as near as one sample to the next, else by half of that. A counter is not
 * stretched below zero.
 */
static bool
extrapolated(const struct window *w, enum rate_kind kind, double *ret)
{
    if (w->count < 2) return false;
    bool counter = kind != RATE_DELTA;
    uint32_t last = w->count - 1;
    double result = w->values[last] - w->values[0];
    for (uint32_t i = 1; i < w->count && counter; i++) {
        if (w->values[i] < w->values[i - 1]) result += w->values[i - 1];
    }
    double to_start = (double)(w->times_ms[0] - w->start_ms) / 1000;
    double to_end = (double)(w->end_ms - w->times_ms[last]) / 1000;
    double sampled = (double)(w->times_ms[last] - w->times_ms[0]) / 1000;
    double between = sampled / last, near = between * 1.1;
    if (to_start >= near) to_start = between / 2;
    if (counter && result > 0 && w->values[0] >= 0) {
        double to_zero = sampled * (w->values[0] / result);
        if (to_zero < to_start) to_start = to_zero;
    }
    if (to_end >= near) to_end = between / 2;
    double factor = (sampled + to_start + to_end) / sampled;
    if (kind == RATE_RATE) factor /= (double)w->range_ms / 1000;
    *ret = result * factor;
    return true;
}

static bool
rate(const struct window *w, double *ret)
{
    return extrapolated(w, RATE_RATE, ret);
}

static bool
increase(const struct window *w, double *ret)
{
    return extrapolated(w, RATE_INCREASE, ret);
}

static bool
delta(const struct window *w, double *ret)
{
    return extrapolated(w, RATE_DELTA, ret);
}

static bool
instant(const struct window *w, bool is_rate, double *ret)
{
    if (w->count < 2) return false;
    uint32_t last = w->count - 1;
    double before = w->values[last - 1], value = w->values[last];
    *ret = is_rate && value < before ? value : value - before;
    if (!is_rate) return true;
    int64_t between_ms = w->times_ms[last] - w->times_ms[last - 1];
    if (between_ms == 0) return false;
    *ret /= (double)between_ms / 1000;
    return true;
}

static bool
irate(const struct window *w, double *ret)
{
    return instant(w, true, ret);
}

static bool
idelta(const struct window *w, double *ret)
{
    return instant(w, false, ret);
}

/* --- over time -------------------------------------------------------------------------------- */

static bool
sum_over_time(const struct window *w, double *ret)
{
    struct precise p = {0, 0};
    for (uint32_t i = 0; i < w->count; i++) {
        precise_add(&p, w->values[i]);
    }
    *ret = precise_value(&p);
    return true;
}

/* The sum through the count; where the sum does not fit, the mean is moved along. */
static double
mean_of(const double *values, uint32_t count)
{
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
avg_over_time(const struct window *w, double *ret)
{
    *ret = mean_of(w->values, w->count);
    return true;
}

static bool
count_over_time(const struct window *w, double *ret)
{
    *ret = w->count;
    return true;
}

static uint32_t
extreme(const struct window *w, bool greatest, bool last)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < w->count; i++) {
        double x = w->values[i], y = w->values[best];
        bool better = greatest ? x > y : x < y;
        if (better || isnan(y) || (last && x == y)) best = i;
    }
    return best;
}

static bool
max_over_time(const struct window *w, double *ret)
{
    *ret = w->values[extreme(w, true, false)];
    return true;
}

static bool
min_over_time(const struct window *w, double *ret)
{
    *ret = w->values[extreme(w, false, false)];
    return true;
}

static bool
ts_of_max_over_time(const struct window *w, double *ret)
{
    *ret = (double)w->times_ms[extreme(w, true, true)] / 1000;
    return true;
}

static bool
ts_of_min_over_time(const struct window *w, double *ret)
{
    *ret = (double)w->times_ms[extreme(w, false, true)] / 1000;
    return true;
}

static bool
first_over_time(const struct window *w, double *ret)
{
    *ret = w->values[0];
    return true;
}

static bool
last_over_time(const struct window *w, double *ret)
{
    *ret = w->values[w->count - 1];
    return true;
}

static bool
ts_of_first_over_time(const struct window *w, double *ret)
{
    *ret = (double)w->times_ms[0] / 1000;
    return true;
}

static bool
ts_of_last_over_time(const struct window *w, double *ret)
{
    *ret = (double)w->times_ms[w->count - 1] / 1000;
    return true;
}

static bool
present_over_time(const struct window *w, double *ret)
{
    (void)w;
    *ret = 1;
    return true;
}

/* Welford's, with what is lost carried along. */
static bool
stdvar_over_time(const struct window *w, double *ret)
{
    struct precise mean = {0, 0}, squares = {0, 0};
    for (uint32_t i = 0; i < w->count; i++) {
        double before = w->values[i] - (mean.sum + mean.lost);
        precise_add(&mean, before / (i + 1));
        precise_add(&squares, before * (w->values[i] - (mean.sum + mean.lost)));
    }
    *ret = (squares.sum + squares.lost) / w->count;
    return true;
}

static bool
stddev_over_time(const struct window *w, double *ret)
{
    stdvar_over_time(w, ret);
    *ret = sqrt(*ret);
    return true;
}

static bool
changes(const struct window *w, double *ret)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i < w->count; i++) {
        double a = w->values[i - 1], b = w->values[i];
        count += a != b && !(isnan(a) && isnan(b));
    }
    *ret = count;
    return true;
}

static bool
resets(const struct window *w, double *ret)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i < w->count; i++) {
        count += w->values[i] < w->values[i - 1];
    }
    *ret = count;
    return true;
}

/* --- lines ------------------------------------------------------------------------------------ */

/* Least squares; times are those since `origin_ms`, in seconds. */
static void
regress(const struct window *w, int64_t origin_ms, double *ret_slope, double *ret_intercept)
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

static bool
deriv(const struct window *w, double *ret)
{
    double intercept;
    if (w->count < 2) return false;
    regress(w, w->times_ms[0], ret, &intercept);
    return true;
}

static bool
predict_linear(const struct window *w, double *ret)
{
    double slope, intercept;
    if (w->count < 2) return false;
    regress(w, w->step_time_ms, &slope, &intercept);
    *ret = slope * w->scalars[0] + intercept;
    return true;
}

static bool
double_exponential_smoothing(const struct window *w, double *ret)
{
    double sf = w->scalars[0], tf = w->scalars[1];
    if (w->count < 2) return false;
    double before = 0, level = w->values[0], trend = w->values[1] - w->values[0];
    for (uint32_t i = 1; i < w->count; i++) {
        double x = sf * w->values[i];
        if (i > 1) trend = tf * (level - before) + (1 - tf) * trend;
        double y = (1 - sf) * (level + trend);
        before = level;
        level = x + y;
    }
    *ret = level;
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
    uint32_t high = low + 1 < count ? low + 1 : count - 1;
    return values[low] * (1 - weight) + values[high] * weight;
}

static bool
quantile_over_time(const struct window *w, double *ret)
{
    double *copy = w->scratch;
    memcpy(copy, w->values, w->count * sizeof *copy);
    *ret = quantile_of(w->scalars[0], copy, w->count);
    return true;
}

static bool
mad_over_time(const struct window *w, double *ret)
{
    double *copy = w->scratch;
    memcpy(copy, w->values, w->count * sizeof *copy);
    double median = quantile_of(0.5, copy, w->count);
    for (uint32_t i = 0; i < w->count; i++) {
        copy[i] = fabs(w->values[i] - median);
    }
    *ret = quantile_of(0.5, copy, w->count);
    return true;
}

window_function
window_function_of(enum function_id id)
{
    static const window_function table[FUNCTION_COUNT] = {
        [FUNCTION_RATE] = rate,
        [FUNCTION_INCREASE] = increase,
        [FUNCTION_DELTA] = delta,
        [FUNCTION_IRATE] = irate,
        [FUNCTION_IDELTA] = idelta,
        [FUNCTION_SUM_OVER_TIME] = sum_over_time,
        [FUNCTION_AVG_OVER_TIME] = avg_over_time,
        [FUNCTION_COUNT_OVER_TIME] = count_over_time,
        [FUNCTION_MAX_OVER_TIME] = max_over_time,
        [FUNCTION_MIN_OVER_TIME] = min_over_time,
        [FUNCTION_TS_OF_MAX_OVER_TIME] = ts_of_max_over_time,
        [FUNCTION_TS_OF_MIN_OVER_TIME] = ts_of_min_over_time,
        [FUNCTION_FIRST_OVER_TIME] = first_over_time,
        [FUNCTION_LAST_OVER_TIME] = last_over_time,
        [FUNCTION_TS_OF_FIRST_OVER_TIME] = ts_of_first_over_time,
        [FUNCTION_TS_OF_LAST_OVER_TIME] = ts_of_last_over_time,
        [FUNCTION_PRESENT_OVER_TIME] = present_over_time,
        [FUNCTION_ABSENT_OVER_TIME] = present_over_time, /* of which it is the opposite */
        [FUNCTION_STDVAR_OVER_TIME] = stdvar_over_time,
        [FUNCTION_STDDEV_OVER_TIME] = stddev_over_time,
        [FUNCTION_CHANGES] = changes,
        [FUNCTION_RESETS] = resets,
        [FUNCTION_DERIV] = deriv,
        [FUNCTION_PREDICT_LINEAR] = predict_linear,
        [FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING] = double_exponential_smoothing,
        [FUNCTION_QUANTILE_OVER_TIME] = quantile_over_time,
        [FUNCTION_MAD_OVER_TIME] = mad_over_time,
    };
    return table[id];
}
