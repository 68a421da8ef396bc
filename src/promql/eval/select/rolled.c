/*
 * rolled.c - see range.h.
 *
 * Most functions join what windows keep, and are exact. Functions of the distribution of values
 * take the least and the greatest of a window, and the mean of the others. Functions of lines and
 * of neighbours take the first and the last sample of each window.
 *
 * Invariants:
 *
 *  1. Windows and samples do not overlap and ascend in time, so at most the first and the last one
 *     are cut by the ends of a range.
 *  2. A window has at least one sample.
 */
#include "promql/eval/select/range.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/precise.h"
#include "base/text/time_text.h"

enum { SPREAD_MAX = 4, POINTS_MAX = 2 }; /* values that stand for a window */

uint64_t
rolled_weight(const struct sample_window *w)
{
    if (w->rolled == NULL) return window_weight(w);
    const struct rollup *r = window_of(w, 0);
    uint64_t first = r != NULL ? r->count : w->weights != NULL ? w->weights[0] : 1;
    return w->rolled[w->count - 1].samples - w->rolled[0].samples + first;
}

static inline uint64_t
resets_of(const struct sample_window *w)
{
    const struct rollup *r = window_of(w, 0);
    return w->rolled[w->count - 1].resets - w->rolled[0].resets + (r == NULL ? 0 : r->resets);
}

/* The sample or window at one end of a range, which may be of histograms. */
struct end_item {
    int64_t first_ms;
    int64_t last_ms;
    int64_t resolution_ms; /* 0: a sample */
};

static struct end_item
float_item(const struct sample_window *w, uint32_t i)
{
    int64_t t_ms = w->times_ms[i];
    if (w->rolled == NULL) return (struct end_item){t_ms, t_ms, 0};
    return (struct end_item){rolled_first_ms(&w->rolled[i], t_ms), t_ms,
                             w->rolled[i].resolution_ms};
}

static struct end_item
histogram_item(const struct histogram_point *p)
{
    return (struct end_item){rolled_first_histogram_ms(p), p->t_ms,
                             p->rolled == NULL ? 0 : p->rolled->resolution_ms};
}

static struct widened
widen(const struct sample_window *w)
{
    struct widened x = {.start_ms = w->start_ms, .end_ms = w->end_ms};
    uint32_t n = w->count, m = w->histogram_count;
    const struct histogram_point *p = w->histograms;
    bool begins = n > 0 && (m == 0 || w->times_ms[0] < p[0].t_ms);
    bool ends = n > 0 && (m == 0 || w->times_ms[n - 1] > p[m - 1].t_ms);
    struct end_item first = begins ? float_item(w, 0) : histogram_item(&p[0]);
    struct end_item last = ends ? float_item(w, n - 1) : histogram_item(&p[m - 1]);
    if (first.resolution_ms > 0 && first.first_ms <= w->start_ms) {
        x.coarsest_ms = first.resolution_ms;
        x.start_ms = time_before(rollup_window_end(first.first_ms, x.coarsest_ms), x.coarsest_ms);
    }
    if (last.resolution_ms > 0 && last.last_ms > w->end_ms) {
        if (last.resolution_ms > x.coarsest_ms) x.coarsest_ms = last.resolution_ms;
        x.end_ms = rollup_window_end(last.last_ms, last.resolution_ms);
        x.cuts_last = true;
    }
    return x;
}

/* --- joined ----------------------------------------------------------------------------------- */

static double
sum_of(const struct sample_window *w)
{
    struct precise p = {0, 0};
    bool any_nan = false;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct rollup *r = window_of(w, i);
        precise_add(&p, r == NULL ? w->values[i] : r->sum.sum);
        if (r == NULL) continue;
        p.lost += r->sum.lost;
        any_nan |= r->nan_count > 0;
    }
    return any_nan ? NAN : precise_value(&p);
}

static double
best_of(const struct sample_window *w, bool greatest, uint32_t *ret_place)
{
    double best = NAN;
    *ret_place = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct rollup *r = window_of(w, i);
        double x = r == NULL ? w->values[i] : greatest ? r->greatest : r->least;
        if (isnan(best) || (greatest ? x > best : x < best)) best = x;
        if (x == best) *ret_place = i;
        if (isnan(best)) *ret_place = i;
    }
    return best;
}

static uint64_t
changes_of(const struct sample_window *w)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct rollup *r = window_of(w, i);
        if (r != NULL) count += r->changes;
        if (i == 0) continue;
        double before = w->values[i - 1], now = first_value(w, i);
        count += now != before && !(isnan(now) && isnan(before));
    }
    return count;
}

/* The sum of the values before the resets of a window that does not keep it. The value before the
 * only reset is the greatest one, unless the last one is greater. Else each is taken to be midway
 * between the least and the greatest value; the first of them is not less than the first sample. */
static double
guessed_correction(const struct rollup *r, bool *ret_exact)
{
    bool rises = r->nan_count == 0; /* else a fall may be no reset */
    *ret_exact = rises && r->resets == 1 && r->greatest > bits_double(r->last_bits);
    if (*ret_exact) return r->greatest;
    double low = rises ? bits_double(r->first_bits) : r->least;
    return low / 2 + r->greatest / 2 + (r->resets - 1) * (r->least / 2 + r->greatest / 2);
}

/* Adds the values before resets to the difference of a range. Where they were guessed, *ret_most is
 * what the series rises if it goes from its least to its greatest value around each reset. */
static double
corrected(const struct sample_window *w, struct joined *j, double more, double *ret_most)
{
    for (uint32_t i = 0; i < w->count; i++) {
        const struct rollup *r = window_of(w, i);
        if (i > 0 && first_value(w, i) < w->values[i - 1]) more += w->values[i - 1];
        if (r == NULL || r->resets == 0) continue;
        if (!isnan(r->correction)) {
            more += r->correction;
            continue;
        }
        bool exact;
        more += guessed_correction(r, &exact);
        j->is_approximate |= !exact;
    }
    if (!j->is_approximate) return more;
    uint32_t place;
    double difference = best_of(w, true, &place) - best_of(w, false, &place);
    *ret_most = (1 + (double)resets_of(w)) * difference;
    return more < 0 ? 0 : more;
}

double
rolled_factor(const struct sample_window *w, const struct joined *j,
              const struct rolled_difference *d)
{
    struct stretch_times t = {
        .to_start = (double)(d->first_ms - j->range->start_ms) / 1000,
        .to_end = (double)(j->range->end_ms - d->last_ms) / 1000,
        .sampled = (double)(d->last_ms - d->first_ms) / 1000,
        .count = d->count > UINT32_MAX ? UINT32_MAX : (uint32_t)d->count,
    };
    double factor = stretch_factor(&t, d->first, d->more, d->kind != RATE_DELTA);
    if (d->more * factor > d->most) factor = d->most / d->more;
    double seconds = ((double)j->range->end_ms - (double)j->range->start_ms) / 1000;
    if (d->kind == RATE_RATE) return factor / seconds;
    return j->range->coarsest_ms > 0 ? factor * ((double)w->range_ms / 1000 / seconds) : factor;
}

/* The difference of the widened range, with what was lost in resets. */
static bool
joined_difference(struct sample_window *w, struct joined *j, enum rate_kind kind,
                  struct operand *ret)
{
    uint32_t last = w->count - 1;
    uint64_t count = rolled_weight(w);
    if (count < 2) return false;
    double first = first_value(w, 0), more = w->values[last] - first;
    double most = INFINITY;
    if (kind != RATE_DELTA && resets_of(w) > 0) more = corrected(w, j, more, &most);
    const struct rolled_difference d = {
        .kind = kind,
        .first_ms = rolled_first_ms(&w->rolled[0], w->times_ms[0]),
        .last_ms = w->times_ms[last],
        .count = count,
        .first = first,
        .more = more,
        .most = most,
    };
    ret->value = more * rolled_factor(w, j, &d);
    return true;
}

static bool
join_floats(struct sample_window *w, enum function_id id, struct joined *j, struct operand *ret)
{
    uint32_t last = w->count - 1, place;
    bool cuts_last = j->range->cuts_last;
    int64_t last_ms = w->times_ms[last];
    switch (id) {
    case FUNCTION_RATE:
        return joined_difference(w, j, RATE_RATE, ret);
    case FUNCTION_INCREASE:
        return joined_difference(w, j, RATE_INCREASE, ret);
    case FUNCTION_DELTA:
        return joined_difference(w, j, RATE_DELTA, ret);
    case FUNCTION_CHANGES:
        ret->value = (double)changes_of(w);
        return true;
    case FUNCTION_RESETS:
        ret->value = (double)resets_of(w);
        return true;
    case FUNCTION_SUM_OVER_TIME:
        ret->value = sum_of(w);
        return true;
    case FUNCTION_AVG_OVER_TIME:
        ret->value = sum_of(w) / (double)rolled_weight(w);
        return true;
    case FUNCTION_COUNT_OVER_TIME:
        ret->value = (double)rolled_weight(w);
        return true;
    case FUNCTION_FIRST_OVER_TIME:
        ret->value = first_value(w, 0);
        return true;
    case FUNCTION_LAST_OVER_TIME:
        /* A window that ends after the range has its first sample in it or before it, its last one
         * not. */
        ret->value = cuts_last ? first_value(w, last) : w->values[last];
        return true;
    case FUNCTION_TS_OF_FIRST_OVER_TIME:
        ret->value = (double)rolled_first_ms(&w->rolled[0], w->times_ms[0]) / 1000;
        return true;
    case FUNCTION_TS_OF_LAST_OVER_TIME:
        if (cuts_last) last_ms = w->rolled[last].rollup.first_ms;
        ret->value = last_ms < 0 ? 0 : (double)last_ms / 1000;
        return true;
    case FUNCTION_MAX_OVER_TIME:
    case FUNCTION_MIN_OVER_TIME:
        ret->value = best_of(w, id == FUNCTION_MAX_OVER_TIME, &place);
        return true;
    case FUNCTION_TS_OF_MAX_OVER_TIME:
    case FUNCTION_TS_OF_MIN_OVER_TIME: {
        /* The time of the last of the best values, if it is the last sample of its window; else
         * that sample's time stands for it. */
        double best = best_of(w, id == FUNCTION_TS_OF_MAX_OVER_TIME, &place);
        j->is_approximate = window_of(w, place) != NULL && w->values[place] != best && !isnan(best);
        ret->value = (double)w->times_ms[place] / 1000;
        return true;
    }
    default: /* present and absent */
        ret->value = 1;
        return true;
    }
}

/* --- distributions ---------------------------------------------------------------------------- */

struct spread {
    struct weighted *items;
    uint32_t count;
    uint64_t weight;
    bool any_nan;
};

static void
spread_add(struct spread *s, double value, uint64_t weight)
{
    if (weight == 0) return;
    s->any_nan |= isnan(value);
    s->items[s->count++] = (struct weighted){value, weight};
    s->weight += weight;
}

/* The mean of the numbers of a window besides its least and greatest one. */
static double
mean_between(const struct rollup *r, uint32_t count)
{
    double mean = (precise_value(&r->sum) - r->least - r->greatest) / count;
    if (!(mean >= r->least)) return r->least; /* also if it is NaN, because of an infinity */
    return mean > r->greatest ? r->greatest : mean;
}

/* False: no memory. */
static bool
spread_of(const struct sample_window *w, struct rolled_work *work, struct spread *ret)
{
    *ret = (struct spread){.items = NULL};
    if (!array_reserve(w->ev->budget, &work->spread, &work->spread_capacity, w->count * SPREAD_MAX))
        return false;
    ret->items = work->spread;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct rollup *r = window_of(w, i);
        if (r == NULL) {
            spread_add(ret, w->values[i], 1);
            continue;
        }
        uint32_t numbers = r->count - r->nan_count;
        spread_add(ret, NAN, r->nan_count);
        spread_add(ret, r->least, numbers > 0);
        spread_add(ret, r->greatest, numbers > 1);
        if (numbers > 2) spread_add(ret, mean_between(r, numbers - 2), numbers - 2);
    }
    return true;
}

static int
compare_weighted(const void *a, const void *b)
{
    double x = ((const struct weighted *)a)->value, y = ((const struct weighted *)b)->value;
    if (isnan(x)) return isnan(y) ? 0 : -1;
    if (isnan(y)) return 1;
    return x < y ? -1 : x > y;
}

/* The value at a place in the order of values. */
static double
spread_at(const struct spread *s, uint64_t place)
{
    uint32_t i = 0;
    assert(place < s->weight);
    while (place >= s->items[i].weight)
        place -= s->items[i++].weight;
    return s->items[i].value;
}

/* As quantile_of(). */
static double
spread_quantile(struct spread *s, double q)
{
    if (isnan(q)) return NAN;
    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    qsort(s->items, s->count, sizeof *s->items, compare_weighted);
    double rank = q * (double)(s->weight - 1), part = rank - floor(rank);
    uint64_t low = (uint64_t)floor(rank), high = low + 1 < s->weight ? low + 1 : s->weight - 1;
    return spread_at(s, low) * (1 - part) + spread_at(s, high) * part;
}

static double
spread_variance(const struct spread *s)
{
    struct precise mean = {0, 0}, squares = {0, 0};
    double seen = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        double weight = (double)s->items[i].weight;
        double before = s->items[i].value - (mean.sum + mean.lost);
        seen += weight;
        precise_add(&mean, before * weight / seen);
        precise_add(&squares, before * weight * (s->items[i].value - (mean.sum + mean.lost)));
    }
    return (squares.sum + squares.lost) / seen;
}

/* False: no memory. */
static bool
evaluate_spread(struct sample_window *w, enum function_id id, struct rolled_work *work, double *ret)
{
    struct spread s;
    double median;
    if (!spread_of(w, work, &s)) {
        w->failed = ERR_NOMEM;
        return false;
    }
    switch (id) {
    case FUNCTION_QUANTILE_OVER_TIME:
        window_check_quantile(w, w->scalars[0]);
        *ret = spread_quantile(&s, w->scalars[0]);
        return true;
    case FUNCTION_MAD_OVER_TIME:
        median = spread_quantile(&s, 0.5);
        for (uint32_t i = 0; i < s.count; i++)
            s.items[i].value = fabs(s.items[i].value - median);
        *ret = s.any_nan ? NAN : spread_quantile(&s, 0.5);
        return true;
    case FUNCTION_STDDEV_OVER_TIME:
        *ret = sqrt(spread_variance(&s));
        return true;
    default:
        *ret = spread_variance(&s);
        return true;
    }
}

/* --- lines and neighbours --------------------------------------------------------------------- */

/* Gathers the histograms that are known. False: no memory. */
static bool
gather_points(const struct sample_window *w, struct rolled_work *work, uint32_t *ret_count)
{
    uint32_t n = 0;
    if (!array_reserve(w->ev->budget, &work->points, &work->point_capacity,
                       w->histogram_count * POINTS_MAX))
        return false;
    for (uint32_t k = 0; k < w->histogram_count; k++) {
        struct histogram_point p = w->histograms[k];
        const struct rolled_histogram *x = p.rolled;
        p.rolled = NULL;
        if (x != NULL && x->rollup.count > 1) {
            struct histogram_point first = p;
            first.t_ms = x->rollup.first_ms;
            first.h = (struct fhist *)(uintptr_t)x->first; /* functions only read it */
            work->points[n++] = first;
        }
        work->points[n++] = p;
    }
    *ret_count = n;
    return true;
}

/* Evaluates the function of the samples that are known: the first and the last of each window. */
static bool
evaluate_points(struct sample_window *w, enum function_id id, struct rolled_work *work,
                struct operand *ret)
{
    struct budget *budget = w->ev->budget;
    uint32_t most = w->count * POINTS_MAX, n = 0, histograms;
    /* The third part of the values is scratch memory of the function. */
    if (!array_reserve(budget, &work->times_ms, &work->time_capacity, most) ||
        !array_reserve(budget, &work->values, &work->value_capacity, 2 * most) ||
        !gather_points(w, work, &histograms)) {
        w->failed = ERR_NOMEM;
        return false;
    }
    for (uint32_t i = 0; i < w->count; i++) {
        const struct rollup *r = window_of(w, i);
        if (r != NULL && r->count > 1) {
            work->times_ms[n] = r->first_ms;
            work->values[n++] = bits_double(r->first_bits);
        }
        work->times_ms[n] = w->times_ms[i];
        work->values[n++] = w->values[i];
    }
    struct sample_window points = *w;
    points.times_ms = work->times_ms;
    points.values = work->values;
    points.starts_ms = NULL;
    points.weights = NULL;
    points.rolled = NULL;
    points.count = n;
    points.histograms = work->points;
    points.histogram_count = histograms;
    points.scratch = work->values + most;
    bool given = window_kind_of(id)->function(&points, ret);
    w->result = points.result;
    w->failed = points.failed;
    return given;
}

/* --- evaluation ------------------------------------------------------------------------------- */

static bool
is_of_distribution(enum function_id id)
{
    return id == FUNCTION_QUANTILE_OVER_TIME || id == FUNCTION_MAD_OVER_TIME ||
           id == FUNCTION_STDDEV_OVER_TIME || id == FUNCTION_STDVAR_OVER_TIME;
}

/* At least the ends: the function may be evaluated of the samples that are known. */
enum rollup_use
rolled_use(enum function_id id)
{
    switch (id) {
    case FUNCTION_CHANGES:
    case FUNCTION_RESETS:
    case FUNCTION_MAX_OVER_TIME:
    case FUNCTION_MIN_OVER_TIME:
    case FUNCTION_TS_OF_MAX_OVER_TIME:
    case FUNCTION_TS_OF_MIN_OVER_TIME:
        return ROLLUP_EXTREMES;
    case FUNCTION_RATE:
    case FUNCTION_INCREASE:
        return ROLLUP_CORRECTION;
    case FUNCTION_SUM_OVER_TIME:
    case FUNCTION_AVG_OVER_TIME:
        return ROLLUP_WHOLE;
    default:
        return is_of_distribution(id) ? ROLLUP_WHOLE : ROLLUP_ENDS;
    }
}

bool
noted_levels_add(struct noted_levels *levels, int64_t resolution_ms)
{
    for (uint32_t i = 0; i < levels->count; i++)
        if (levels->resolutions_ms[i] == resolution_ms) return false;
    if (levels->count < NOTED_MAX) levels->resolutions_ms[levels->count++] = resolution_ms;
    return true;
}

static void
note_approximate(struct sample_window *w, enum function_id id, struct rolled_work *work)
{
    char text[TIME_TEXT_BYTES];
    int64_t coarsest_ms = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        int64_t resolution_ms = float_item(w, i).resolution_ms;
        if (resolution_ms > coarsest_ms) coarsest_ms = resolution_ms;
    }
    for (uint32_t k = 0; k < w->histogram_count; k++) {
        int64_t resolution_ms = histogram_item(&w->histograms[k]).resolution_ms;
        if (resolution_ms > coarsest_ms) coarsest_ms = resolution_ms;
    }
    if (!noted_levels_add(&work->approximate, coarsest_ms)) return;
    notes_add(&w->ev->notes, PROMQL_INFO, w->at,
              "samples are downsampled to %s; %s() is approximate",
              time_print_duration(coarsest_ms, text), functions[id].name);
}

static bool
has_window(const struct sample_window *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (window_of(w, i) != NULL) return true;
    for (uint32_t k = 0; k < w->histogram_count; k++)
        if (w->histograms[k].rolled != NULL) return true;
    return false;
}

static bool
is_known(const struct sample_window *w, struct end_item x)
{
    return x.last_ms <= w->end_ms || x.first_ms > w->start_ms;
}

/* True if a sample is certain to be in the range: of windows only the ends are known. */
static bool
has_known_sample(const struct sample_window *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (is_known(w, float_item(w, i))) return true;
    for (uint32_t k = 0; k < w->histogram_count; k++)
        if (is_known(w, histogram_item(&w->histograms[k]))) return true;
    return false;
}

bool
rolled_evaluate(struct sample_window *w, enum function_id id, struct rolled_work *work,
                struct operand *ret)
{
    bool is_presence = id == FUNCTION_PRESENT_OVER_TIME || id == FUNCTION_ABSENT_OVER_TIME;
    if (window_kind_of(id)->floats_only) w->histogram_count = 0; /* they are ignored */
    if (!has_window(w)) return window_kind_of(id)->function(w, ret);
    bool is_plain = w->extent == EXTENT_PLAIN;
    bool of_points = id == FUNCTION_IRATE || id == FUNCTION_IDELTA || id == FUNCTION_DERIV ||
                     id == FUNCTION_PREDICT_LINEAR || id == FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING;
    bool joins = is_plain && !is_of_distribution(id) && !of_points;
    struct widened range = widen(w);
    struct joined j = {.range = &range, .is_approximate = !joins};
    bool widens = range.coarsest_ms > 0 && is_plain && (!is_presence || !has_known_sample(w));
    if (widens && noted_levels_add(&work->widened, range.coarsest_ms)) {
        char text[TIME_TEXT_BYTES];
        notes_add(&w->ev->notes, PROMQL_INFO, w->at,
                  "samples are downsampled to %s; the range was widened to whole windows",
                  time_print_duration(range.coarsest_ms, text));
    }
    bool given;
    if (joins && w->histogram_count > 0)
        given = rolled_join_histograms(w, id, &j, ret);
    else if (joins)
        given = join_floats(w, id, &j, ret);
    else if (is_of_distribution(id))
        given = evaluate_spread(w, id, work, &ret->value);
    else
        given = evaluate_points(w, id, work, ret);
    if (given && j.is_approximate) note_approximate(w, id, work);
    return given;
}

void
rolled_work_fini(struct rolled_work *work, struct budget *budget)
{
    array_free(budget, work->spread, work->spread_capacity);
    array_free(budget, work->times_ms, work->time_capacity);
    array_free(budget, work->values, work->value_capacity);
    array_free(budget, work->points, work->point_capacity);
}

/* --- the coarsest resolution ------------------------------------------------------------------ */

enum err
rolled_check(struct evaluation *ev, struct series_set *set, const struct sample_batch *batch)
{
    if (ev->at != NULL) measure_resolution(ev->at, batch->resolution_ms);
    if (batch->resolution_ms <= ev->resolution_max_ms) return OK;
    char has[TIME_TEXT_BYTES], max[TIME_TEXT_BYTES], until[TIME_TEXT_BYTES];
    int64_t resolution_ms = batch->resolution_ms, end_ms = INT64_MIN;
    struct sample_batch b = *batch;
    struct bytes labels;
    enum err e = OK;
    do {
        if (b.count > 0 && sample_batch_has_windows(&b) &&
            b.resolution_ms > ev->resolution_max_ms) {
            const struct rollup last = sample_batch_window(&b, b.count - 1);
            int64_t coarse_ms = rollup_window_end(rollup_end_ms(&last), b.resolution_ms);
            if (coarse_ms > end_ms) end_ms = coarse_ms;
        }
        e = series_set_batch(set, &b, &ev->why);
        if (e == OK && b.count == 0) {
            e = series_set_next(set, &labels, &ev->why);
            if (e == OK && labels.at == NULL) break;
            b = (struct sample_batch){.count = 0};
        }
    } while (e == OK);
    if (e) return e;
    return eval_fail(ev, "samples until %s are downsampled to %s, max_source_resolution is %s",
                     time_print(end_ms, until), time_print_duration(resolution_ms, has),
                     time_print_duration(ev->resolution_max_ms, max));
}
