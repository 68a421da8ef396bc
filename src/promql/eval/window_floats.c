/*
 * window_floats.c - see window_floats.h. Windows overlap: what is known of one helps with the next
 * one where no rounding depends on it.
 */
#include "promql/eval/window_floats.h"

#include "promql/eval/window.h"
#include "promql/histogram/precise.h"

/* --- rate, increase, delta -------------------------------------------------------------------- */

static double
corrected(const double *values, uint32_t begin, uint32_t end)
{
    double more = values[end - 1] - values[begin];
    for (uint32_t i = begin + 1; i < end; i++) {
        if (values[i] < values[i - 1]) more += values[i - 1];
    }
    return more;
}

static inline void
rates(const struct float_windows *w, enum rate_kind kind, double *to)
{
    const double *v = w->values;
    bool is_counter = kind != RATE_DELTA;
    double range = (double)w->range_ms / 1000;
    uint32_t looked_at = w->begins[0] + 1, fell = 0; /* the last sample that is less than before */
    for (uint32_t i = 0; i < w->count; i++) {
        uint32_t begin = w->begins[i], end = w->ends[i];
        for (; looked_at < end; looked_at++) {
            if (v[looked_at] < v[looked_at - 1]) fell = looked_at;
        }
        if (end - begin < 2) continue;
        bool falls = is_counter && fell > begin;
        double more = falls ? corrected(v, begin, end) : v[end - 1] - v[begin];
        int64_t end_ms = w->first_end_ms + i * w->step_ms;
        struct stretch_times t = {
            .to_start = (double)(w->times_ms[begin] - (end_ms - w->range_ms)) / 1000,
            .to_end = (double)(end_ms - w->times_ms[end - 1]) / 1000,
            .sampled = (double)(w->times_ms[end - 1] - w->times_ms[begin]) / 1000,
            .count = end - begin,
        };
        double factor = stretch_factor(&t, v[begin], more, is_counter);
        if (kind == RATE_RATE) factor /= range;
        to[i] = more * factor;
    }
}

static void
rate(const struct float_windows *w, double *to)
{
    rates(w, RATE_RATE, to);
}

static void
increase(const struct float_windows *w, double *to)
{
    rates(w, RATE_INCREASE, to);
}

static void
delta(const struct float_windows *w, double *to)
{
    rates(w, RATE_DELTA, to);
}

static void
irate(const struct float_windows *w, double *to)
{
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->ends[i] - w->begins[i] < 2) continue;
        uint32_t last = w->ends[i] - 1;
        double before = w->values[last - 1], value = w->values[last];
        double seconds = (double)(w->times_ms[last] - w->times_ms[last - 1]) / 1000;
        to[i] = (value < before ? value : value - before) / seconds;
    }
}

static void
idelta(const struct float_windows *w, double *to)
{
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->ends[i] - w->begins[i] < 2) continue;
        to[i] = w->values[w->ends[i] - 1] - w->values[w->ends[i] - 2];
    }
}

/* --- over time -------------------------------------------------------------------------------- */

static void
count(const struct float_windows *w, double *to)
{
    for (uint32_t i = 0; i < w->count; i++) {
        to[i] = w->ends[i] - w->begins[i];
    }
}

static void
present(const struct float_windows *w, double *to)
{
    for (uint32_t i = 0; i < w->count; i++) {
        to[i] = 1;
    }
}

static void
first(const struct float_windows *w, double *to)
{
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->begins[i] < w->ends[i]) to[i] = w->values[w->begins[i]];
    }
}

static void
last(const struct float_windows *w, double *to)
{
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->begins[i] < w->ends[i]) to[i] = w->values[w->ends[i] - 1];
    }
}

static void
sum(const struct float_windows *w, double *to)
{
    for (uint32_t i = 0; i < w->count; i++) {
        struct precise p = {0, 0};
        for (uint32_t k = w->begins[i]; k < w->ends[i]; k++) {
            precise_add(&p, w->values[k]);
        }
        to[i] = precise_value(&p);
    }
}

static void
average(const struct float_windows *w, double *to)
{
    for (uint32_t i = 0; i < w->count; i++) {
        uint32_t begin = w->begins[i], end = w->ends[i];
        if (begin < end) to[i] = mean_of(w->values + begin, end - begin);
    }
}

/* NaN gives way to whatever comes next, and is not better than anything. */
static inline bool
is_better(double x, double best, bool greatest)
{
    return (greatest ? x > best : x < best) || isnan(best);
}

/* The best of one window is that of the next, unless it has left. */
static inline void
extremes(const struct float_windows *w, bool greatest, double *to)
{
    const double *v = w->values;
    uint32_t best = 0, looked_at = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        uint32_t begin = w->begins[i], end = w->ends[i];
        if (begin == end) continue;
        if (i == 0 || best < begin || looked_at <= begin) {
            best = begin;
            looked_at = begin + 1;
        }
        for (; looked_at < end; looked_at++) {
            if (is_better(v[looked_at], v[best], greatest)) best = looked_at;
        }
        to[i] = v[best];
    }
}

static void
minimum(const struct float_windows *w, double *to)
{
    extremes(w, false, to);
}

static void
maximum(const struct float_windows *w, double *to)
{
    extremes(w, true, to);
}

/* --- changes, resets -------------------------------------------------------------------------- */

static inline bool
is_event(const double *v, uint32_t i, bool resets)
{
    if (resets) return v[i] < v[i - 1];
    return v[i] != v[i - 1] && !(isnan(v[i]) && isnan(v[i - 1]));
}

/* Counts those from the second sample of a window on, by what comes and what leaves. */
static inline void
count_events(const struct float_windows *w, bool resets, double *to)
{
    uint32_t from = w->begins[0] + 1, until = from, events = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        uint32_t begin = w->begins[i], end = w->ends[i];
        if (begin == end) continue;
        if (until <= begin) {
            from = until = begin + 1;
            events = 0;
        }
        for (; until < end; until++) {
            events += is_event(w->values, until, resets);
        }
        for (; from <= begin; from++) {
            events -= is_event(w->values, from, resets);
        }
        to[i] = events;
    }
}

static void
changes(const struct float_windows *w, double *to)
{
    count_events(w, false, to);
}

static void
resets(const struct float_windows *w, double *to)
{
    count_events(w, true, to);
}

const struct float_windows_kind *
float_windows_kind_of(enum function_id id)
{
    static const struct float_windows_kind kinds[FUNCTION_COUNT] = {
        [FUNCTION_RATE] = {rate, 2},
        [FUNCTION_INCREASE] = {increase, 2},
        [FUNCTION_DELTA] = {delta, 2},
        [FUNCTION_IRATE] = {irate, 2},
        [FUNCTION_IDELTA] = {idelta, 2},
        [FUNCTION_COUNT_OVER_TIME] = {count, 1},
        [FUNCTION_PRESENT_OVER_TIME] = {present, 1},
        [FUNCTION_FIRST_OVER_TIME] = {first, 1},
        [FUNCTION_LAST_OVER_TIME] = {last, 1},
        [FUNCTION_SUM_OVER_TIME] = {sum, 1},
        [FUNCTION_AVG_OVER_TIME] = {average, 1},
        [FUNCTION_MIN_OVER_TIME] = {minimum, 1},
        [FUNCTION_MAX_OVER_TIME] = {maximum, 1},
        [FUNCTION_CHANGES] = {changes, 1},
        [FUNCTION_RESETS] = {resets, 1},
    };
    return &kinds[id];
}
