/*
 * window.h - functions of the samples of one series in a stretch of time.
 */
#ifndef PROMQL_EVAL_WINDOW_H
#define PROMQL_EVAL_WINDOW_H

#include "promql/eval/eval.h"

struct histogram_point {
    int64_t t_ms;
    int64_t start_ms; /* 0: unknown */
    struct fhist *h;
    size_t capacity; /* bytes of its memory */
};

struct window {
    /* Floats and histograms, both ascending; at least one. With EXTENT_PLAIN in (start_ms, end_ms],
     * else also before and after that, as far as the query looks back. */
    const int64_t *times_ms;
    const double *values;
    const int64_t *starts_ms; /* of floats; NULL: not looked at */
    const uint32_t *weights;  /* how many samples each float stands for; NULL: for itself */
    uint32_t count;
    const struct histogram_point *histograms;
    uint32_t histogram_count;
    bool histogram_starts; /* are looked at */

    int64_t start_ms;
    int64_t end_ms;
    int64_t step_time_ms; /* at which the function is evaluated */
    int64_t range_ms;
    enum extent extent;
    const double *scalars; /* the other arguments, at this step */
    double *scratch;       /* room for `count` values */

    struct evaluation *ev;
    struct span at;       /* of what notes are about */
    struct bytes labels;  /* of the series */
    struct arena *arena;  /* for a resulting histogram: as long as the column */
    struct fhist *result; /* in the arena; others are copied */
    enum err failed;      /* set with a false */
};

/* False: there is no result, or `failed` is set. *ret is zeroed before. */
typedef bool (*window_function)(struct window *w, struct operand *ret);

struct window_kind {
    window_function function; /* NULL: it is no function of a window */
    /* Only of floats: without any there is no result, and a note says if there are histograms. */
    bool floats_only;
    bool takes_anchored;
    bool takes_smoothed;
    bool takes_starts; /* a new start time is a reset */
    bool times_only;   /* values of floats do not matter */
    bool gives_hints;  /* a resulting histogram has the hint of samples */
    /* Of many floats it is enough to have the least and the greatest, and to know how many. */
    bool takes_summaries;
};
const struct window_kind *window_kind_of(enum function_id id);

/* Where the samples of a range lie in it, in seconds. */
struct stretch_times {
    double to_start; /* from the start of the range to the first sample */
    double to_end;
    double sampled; /* from the first to the last one */
    uint32_t count; /* of samples, at least 2 */
};

/*
 * How often the difference between the first and the last sample fits into the range: up to its
 * ends if these are about as near as one sample to the next, else by half of that. A counter is
 * not stretched below zero: `first` is its first value, `more` what it grew by.
 */
static inline double
stretch_to_start(const struct stretch_times *t)
{
    double between = t->sampled / (t->count - 1), near = between * 1.1;
    return t->to_start >= near ? between / 2 : t->to_start;
}

static inline double
stretch_factor(const struct stretch_times *t, double first, double more, bool is_counter)
{
    double between = t->sampled / (t->count - 1), near = between * 1.1;
    double to_start = stretch_to_start(t);
    double to_end = t->to_end >= near ? between / 2 : t->to_end;
    if (is_counter && more > 0 && first >= 0) {
        double to_zero = t->sampled * (first / more);
        if (to_zero < to_start) to_start = to_zero;
    }
    return t->sampled == 0 ? 1 : (t->sampled + to_start + to_end) / t->sampled;
}

/* rate, increase, delta of histograms, and of either with `anchored` or `smoothed`. */
enum rate_kind { RATE_DELTA, RATE_INCREASE, RATE_RATE };
bool window_histogram_rate(struct window *w, enum rate_kind kind, struct operand *ret);
bool window_extended_rate(struct window *w, enum rate_kind kind, struct operand *ret);
bool window_instant_histograms(struct window *w, const struct histogram_point *before,
                               const struct histogram_point *last, bool is_rate,
                               struct operand *ret);
bool window_sum_histograms(struct window *w, bool average, struct operand *ret);
/* The values at both ends of a range with `anchored` or `smoothed`, and which floats are between
 * them. False: none is in the range or behind it. At least one float. */
struct float_ends {
    double left;
    double right;
    uint32_t first;
    uint32_t end; /* may be less */
};
bool window_float_ends(const struct window *w, bool is_counter, struct float_ends *ret);
/* With the sample before the window, where `anchored` wants it: the first one that counts. False:
 * none does. */
bool window_first(const struct window *w, uint32_t *ret_first);
/* A new start between two samples says that the counter began anew. */
bool window_starts_anew(int64_t start_before_ms, int64_t before_ms, int64_t start_ms, int64_t t_ms);
/* The second of two samples begins before the first one ends, and not where that began. */
bool window_starts_overlap(int64_t start_before_ms, int64_t before_ms, int64_t start_ms);

/* Between two samples at a time that is not outside of them. */
double interpolated(int64_t t1_ms, double v1, int64_t t2_ms, double v2, int64_t t_ms,
                    bool is_counter);
/* The same. *ret NULL: their layouts do not go together, a note says so. ERR_NOMEM. */
MUST_CHECK enum err interpolated_histogram(struct evaluation *ev, struct arena *arena,
                                           const struct histogram_point *a,
                                           const struct histogram_point *b, int64_t t_ms,
                                           bool is_counter, struct span at, struct bytes labels,
                                           struct fhist **ret);

/* --- notes about samples, with the metric's name ---------------------------------------------- */

void note_mixed_samples(struct evaluation *ev, struct span at, struct bytes labels);
void note_mixed_schemas(struct evaluation *ev, struct span at, struct bytes labels);
void note_reconciled(struct evaluation *ev, struct span at, const char *operation);
/* A counter that comes after a reset was combined with one that does not. */
void note_reset_collision(struct evaluation *ev, struct span at, const char *operation);
void note_start_overlap(const struct window *w);
/* An aggregation has no use for it. */
void note_ignored_histogram(struct evaluation *ev, struct span at, enum token_type aggregation);

/* How many floats the window has, those included that others stand for. */
uint64_t window_weight(const struct window *w);

/* The sum through the count; where the sum does not fit, the mean is moved along. */
double mean_of(const double *values, uint32_t count);

/* Of values that get sorted; NaN are the least. Outside of 0 to 1: -Inf or +Inf. */
double quantile_of(double q, double *values, uint32_t count);

#endif
