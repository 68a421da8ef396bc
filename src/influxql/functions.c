/* functions.c - see influxql_private.h: what functions make of points, as
 * InfluxDB 1 has them. */
#include <stdlib.h>

#include "influxql/influxql_private.h"

static void
put(const struct point_window *w, int64_t t, double v, uint32_t row)
{
    struct points *to = w->to;
    to->times[to->count] = t;
    to->values[to->count] = v;
    to->rows[to->count++] = row;
}

static enum err
put_point(const struct point_window *w, uint32_t i)
{
    put(w, w->in->times[i], w->in->values[i], w->in->rows[i]);
    return OK;
}

static enum err
put_value(const struct point_window *w, double v)
{
    put(w, w->in->times[0], v, w->in->rows[0]);
    return OK;
}

/* --- aggregates and selectors ----------------------------------------------------------------- */

static enum err
run_count(const struct point_window *w)
{
    return put_value(w, w->in->count);
}

static double
sum_of(const struct points *in)
{
    double sum = 0;
    for (uint32_t i = 0; i < in->count; i++)
        sum += in->values[i];
    return sum;
}

static enum err
run_sum(const struct point_window *w)
{
    return put_value(w, sum_of(w->in));
}

static enum err
run_mean(const struct point_window *w)
{
    return put_value(w, sum_of(w->in) / w->in->count);
}

/* Finds the first of the least values, or with sign 1 of the greatest. */
static uint32_t
extreme_of(const struct points *in, int sign)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < in->count; i++)
        if (sign * in->values[i] > sign * in->values[best]) best = i;
    return best;
}

static enum err
run_min(const struct point_window *w)
{
    return put_point(w, extreme_of(w->in, -1));
}

static enum err
run_max(const struct point_window *w)
{
    return put_point(w, extreme_of(w->in, 1));
}

static enum err
run_spread(const struct point_window *w)
{
    return put_value(w, w->in->values[extreme_of(w->in, 1)] - w->in->values[extreme_of(w->in, -1)]);
}

static enum err
run_stddev(const struct point_window *w)
{
    double mean = 0, squares = 0;
    if (w->in->count < 2) return put_value(w, NAN);
    for (uint32_t i = 0; i < w->in->count; i++)
        mean += (w->in->values[i] - mean) / (i + 1);
    for (uint32_t i = 0; i < w->in->count; i++)
        squares += (w->in->values[i] - mean) * (w->in->values[i] - mean);
    return put_value(w, sqrt(squares / (w->in->count - 1)));
}

/* Takes the greatest of the points of the first time, and of the last. */
static enum err
run_first(const struct point_window *w)
{
    const struct points *in = w->in;
    uint32_t best = 0;
    for (uint32_t i = 1; i < in->count && in->times[i] == in->times[0]; i++)
        if (in->values[i] > in->values[best]) best = i;
    return put_point(w, best);
}

static enum err
run_last(const struct point_window *w)
{
    const struct points *in = w->in;
    uint32_t best = in->count - 1;
    for (uint32_t i = best; i-- > 0 && in->times[i] == in->times[best];)
        if (in->values[i] > in->values[best]) best = i;
    return put_point(w, best);
}

/* --- by value --------------------------------------------------------------------------------- */

struct ranked_point {
    double value;
    uint32_t place;
};

static int
compare_ranked(const void *a, const void *b)
{
    const struct ranked_point *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* Sorts the points by value, then by time. ERR_NOMEM. */
static enum err
rank(const struct point_window *w, struct ranked_point **ret)
{
    struct ranked_point *all = *ret = arena_alloc(w->q->arena, w->in->count * sizeof *all);
    if (all == NULL) return query_no_memory(w->q);
    for (uint32_t i = 0; i < w->in->count; i++)
        all[i] = (struct ranked_point){w->in->values[i], i};
    qsort(all, w->in->count, sizeof *all, compare_ranked);
    return OK;
}

static enum err
run_median(const struct point_window *w)
{
    struct ranked_point *all;
    uint32_t n = w->in->count;
    enum err e = rank(w, &all);
    if (e) return e;
    double high = all[n / 2].value, low = all[(n - 1) / 2].value;
    return put_value(w, n % 2 == 1 ? high : low + (high - low) / 2);
}

static enum err
run_percentile(const struct point_window *w)
{
    struct ranked_point *all;
    enum err e = rank(w, &all);
    double place = floor(w->in->count * w->arguments[0] / 100 + 0.5) - 1;
    if (e || !(place >= 0 && place < w->in->count)) return e;
    return put_point(w, all[(uint32_t)place].place);
}

/* The most frequent value; of several the one that came first. */
static enum err
run_mode(const struct point_window *w)
{
    struct ranked_point *all;
    uint32_t best = 0, most = 0;
    enum err e = rank(w, &all);
    if (e) return e;
    for (uint32_t i = 0, end; i < w->in->count; i = end) {
        for (end = i + 1; end < w->in->count && all[end].value == all[i].value; end++)
            ;
        bool is_first = end - i == most && all[i].place < all[best].place && most > 1;
        if (end - i <= most && !is_first) continue;
        most = end - i;
        best = i;
    }
    return put_value(w, all[best].value);
}

static enum err
run_distinct(const struct point_window *w)
{
    struct ranked_point *all;
    enum err e = rank(w, &all);
    for (uint32_t i = 0; i < w->in->count && e == OK; i++)
        if (i == 0 || all[i].value != all[i - 1].value)
            put(w, w->in->times[0], all[i].value, w->in->rows[0]);
    return e;
}

static int
compare_places(const void *a, const void *b)
{
    const struct ranked_point *x = a, *y = b;
    return (x->place > y->place) - (x->place < y->place);
}

/* Puts the `arguments[0]` least or greatest points in the order of their times;
 * of equal ones the first. */
static enum err
put_extremes(const struct point_window *w, int sign)
{
    struct ranked_point *all;
    uint32_t count = w->in->count;
    enum err e = rank(w, &all);
    if (e) return e;
    for (uint32_t i = 0; i < count; i++)
        all[i] = (struct ranked_point){-sign * w->in->values[i], i};
    qsort(all, count, sizeof *all, compare_ranked);
    if (w->arguments[0] < count) count = (uint32_t)w->arguments[0];
    qsort(all, count, sizeof *all, compare_places);
    for (uint32_t i = 0; i < count; i++)
        (void)put_point(w, all[i].place);
    return OK;
}

static enum err
run_top(const struct point_window *w)
{
    return put_extremes(w, 1);
}

static enum err
run_bottom(const struct point_window *w)
{
    return put_extremes(w, -1);
}

/* --- changes ---------------------------------------------------------------------------------- */

/* Returns how far two times are from each other, in units. */
static double
distance(int64_t from, int64_t to, double unit_ns)
{
    return time_between(from, to) / unit_ns;
}

/* Puts the changes from each point to the next one of another time, in units of
 * time if there is one. */
static enum err
put_changes(const struct point_window *w, bool per_unit, bool only_rising)
{
    const struct points *in = w->in;
    for (uint32_t i = 1, before = 0; i < in->count; i++) {
        if (in->times[i] == in->times[before]) continue;
        double change = in->values[i] - in->values[before];
        if (per_unit) change /= fabs(distance(in->times[before], in->times[i], w->arguments[0]));
        before = i;
        if (!only_rising || change >= 0) put(w, in->times[i], change, in->rows[i]);
    }
    return OK;
}

static enum err
run_derivative(const struct point_window *w)
{
    return put_changes(w, true, false);
}

static enum err
run_rising_derivative(const struct point_window *w)
{
    return put_changes(w, true, true);
}

static enum err
run_difference(const struct point_window *w)
{
    return put_changes(w, false, false);
}

static enum err
run_rising_difference(const struct point_window *w)
{
    return put_changes(w, false, true);
}

static enum err
run_elapsed(const struct point_window *w)
{
    const struct points *in = w->in;
    for (uint32_t i = 1; i < in->count; i++)
        put(w, in->times[i], trunc(distance(in->times[i - 1], in->times[i], w->arguments[0])),
            in->rows[i]);
    return OK;
}

static enum err
run_cumulative_sum(const struct point_window *w)
{
    double sum = 0;
    for (uint32_t i = 0; i < w->in->count; i++)
        put(w, w->in->times[i], sum += w->in->values[i], w->in->rows[i]);
    return OK;
}

static enum err
run_moving_average(const struct point_window *w)
{
    double sum = 0, size = w->arguments[0];
    for (uint32_t i = 0; i < w->in->count; i++) {
        if (i >= size) sum -= w->in->values[i - (uint32_t)size];
        sum += w->in->values[i];
        if (i + 1 >= size) put(w, w->in->times[i], sum / size, w->in->rows[i]);
    }
    return OK;
}

/* The area below the points by trapezoids, which are divided where a window
 * with a point ends. */
static enum err
run_integral(const struct point_window *w)
{
    const struct points *in = w->in;
    const struct window_times *times = w->times;
    double sum = 0, v = in->values[0], unit_ns = w->arguments[0];
    int64_t t = in->times[0], begin = window_begin(times, t);
    for (uint32_t i = 1; i < in->count; i++) {
        int64_t next = in->times[i];
        double next_v = in->values[i];
        if (next == t) {
            v = next_v;
            continue;
        }
        int64_t end = window_end(times, begin);
        if (times->interval_ns != 0 && next >= end) {
            if (t != end) {
                double share = time_between(t, end) / time_between(t, next),
                       at = v + (next_v - v) * share;
                sum += 0.5 * (v + at) * distance(t, end, unit_ns);
                v = at;
                t = end;
            }
            put(w, begin, sum, 0);
            begin = window_begin(times, next);
            sum = 0;
        }
        sum += 0.5 * (v + next_v) * distance(t, next, unit_ns);
        t = next;
        v = next_v;
    }
    put(w, times->interval_ns == 0 ? 0 : begin, sum, 0);
    return OK;
}

/* --- the table -------------------------------------------------------------------------------- */

const struct iql_function *
iql_function(struct bytes name)
{
    static const struct iql_function all[] = {
        {"count", FUNCTION_AGGREGATE, 0, 0, GIVES_INTEGER, false, run_count},
        {"sum", FUNCTION_AGGREGATE, 0, 0, GIVES_SAME, false, run_sum},
        {"mean", FUNCTION_AGGREGATE, 0, 0, GIVES_FLOAT, false, run_mean},
        {"median", FUNCTION_AGGREGATE, 0, 0, GIVES_FLOAT, false, run_median},
        {"mode", FUNCTION_AGGREGATE, 0, 0, GIVES_SAME, false, run_mode},
        {"spread", FUNCTION_AGGREGATE, 0, 0, GIVES_SAME, false, run_spread},
        {"stddev", FUNCTION_AGGREGATE, 0, 0, GIVES_FLOAT, false, run_stddev},
        {"integral", FUNCTION_WHOLE, 0, 1, GIVES_FLOAT, true, run_integral},
        {"min", FUNCTION_SELECTOR, 0, 0, GIVES_SAME, false, run_min},
        {"max", FUNCTION_SELECTOR, 0, 0, GIVES_SAME, false, run_max},
        {"first", FUNCTION_SELECTOR, 0, 0, GIVES_SAME, false, run_first},
        {"last", FUNCTION_SELECTOR, 0, 0, GIVES_SAME, false, run_last},
        {"percentile", FUNCTION_SELECTOR, 1, 1, GIVES_SAME, false, run_percentile},
        {"distinct", FUNCTION_MANY, 0, 0, GIVES_SAME, false, run_distinct},
        {"top", FUNCTION_MANY, 1, 1, GIVES_SAME, false, run_top},
        {"bottom", FUNCTION_MANY, 1, 1, GIVES_SAME, false, run_bottom},
        {"derivative", FUNCTION_CHANGE, 0, 1, GIVES_FLOAT, true, run_derivative},
        {"non_negative_derivative", FUNCTION_CHANGE, 0, 1, GIVES_FLOAT, true,
         run_rising_derivative},
        {"difference", FUNCTION_CHANGE, 0, 0, GIVES_SAME, false, run_difference},
        {"non_negative_difference", FUNCTION_CHANGE, 0, 0, GIVES_SAME, false,
         run_rising_difference},
        {"moving_average", FUNCTION_CHANGE, 1, 1, GIVES_FLOAT, false, run_moving_average},
        {"cumulative_sum", FUNCTION_CHANGE, 0, 0, GIVES_SAME, false, run_cumulative_sum},
        {"elapsed", FUNCTION_CHANGE, 0, 1, GIVES_INTEGER, true, run_elapsed},
    };
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        if (bytes_equal_text(name, all[i].name)) return &all[i];
    return NULL;
}
