/*
 * window.h - functions of the samples of one series in a range of time.
 */
#ifndef PROMQL_EVAL_SELECT_WINDOW_H
#define PROMQL_EVAL_SELECT_WINDOW_H

#include "promql/eval/eval.h"

struct histogram_point {
    int64_t t_ms;
    int64_t start_ms; /* 0: unknown */
    bool is_reset;    /* its sender says so, and it starts after the one before */
    struct fhist *h;
    size_t capacity; /* memory of `h`, in bytes */
    /* The window of downsampled histograms whose last one this is, in that memory (range.h); NULL
     * if it is a sample. */
    const struct rolled_histogram *rolled;
};

struct sample_window {
    enum function_id id;
    /* Floats and histograms, ascending in time; at least one sample. With EXTENT_PLAIN they are in
     * (start_ms, end_ms], else also before and after, as far as the query looks back. */
    const int64_t *times_ms;
    const double *values;
    const int64_t *starts_ms;    /* start times of floats, 0 if unknown; NULL if not used */
    const uint32_t *weights;     /* number of samples that each float represents; NULL: one each */
    const struct rolled *rolled; /* parallel to the floats; NULL if all are samples (range.h) */
    uint32_t count;
    const struct histogram_point *histograms;
    uint32_t histogram_count;
    bool histogram_starts; /* start times of histograms are used */

    int64_t start_ms;
    int64_t end_ms;
    int64_t step_time_ms; /* step at which the function is evaluated */
    int64_t range_ms;
    enum extent extent;
    const double *scalars; /* other arguments, at this step */
    double *scratch;       /* memory for `count` values */

    struct evaluation *ev;
    struct text_span at;  /* position that notes name */
    struct bytes labels;  /* labels of the series */
    struct arena *arena;  /* for a resulting histogram; lives as long as the column */
    struct fhist *result; /* resulting histogram in the arena; others are copied by the caller */
    enum err failed;      /* error, set with a return of false */
};

/* Evaluates one window. False: no result, or w->failed is set. *ret is zeroed before. */
typedef bool (*window_function)(struct sample_window *w, struct operand *ret);

struct window_kind {
    window_function function; /* NULL if the function is not one of windows */
    /* Needs floats: without any there is no result, and histograms among them cause an info. */
    bool floats_only;
    bool takes_anchored;
    bool takes_smoothed;
    bool takes_starts; /* a new start time is a reset */
    bool times_only;   /* values of floats are not used */
    bool gives_hints;  /* a resulting histogram keeps the hint of samples */
    /* The least and the greatest of many floats, with their number, are enough. */
    bool takes_summaries;
};
/* Returns a constant, whose function is NULL if `id` is not a function of windows. */
const struct window_kind *window_kind_of(enum function_id id);

/* Distances between the samples of a range and its ends, in seconds. */
struct stretch_times {
    double to_start; /* from the start of the range to the first sample */
    double to_end;
    double sampled; /* from the first sample to the last one */
    uint32_t count; /* count of samples, at least 2 */
};

/* Returns the factor by which the difference between the first and the last sample is extrapolated
 * to the range: to an end of it if that is about as near as samples are to each other, else by half
 * that distance. A counter is not extrapolated below zero: `first` is its first value, `more` its
 * increase. */
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

/* rate, increase and delta of histograms, and of floats and histograms with `anchored` or
 * `smoothed`. */
enum rate_kind { RATE_DELTA, RATE_INCREASE, RATE_RATE };
/* Takes the difference between the last and the first histogram, with what was lost in resets; it
 * is not extrapolated. */
bool window_histogram_rate(struct sample_window *w, enum rate_kind kind, struct operand *ret);
/* Takes floats or histograms with `anchored` or `smoothed`. */
bool window_extended_rate(struct sample_window *w, enum rate_kind kind, struct operand *ret);
/* Takes the last two histograms, for irate() and idelta(). */
bool window_instant_histograms(struct sample_window *w, const struct histogram_point *before,
                               const struct histogram_point *last, bool is_rate,
                               struct operand *ret);
/* Sums up histograms, or takes their mean. */
bool window_sum_histograms(struct sample_window *w, bool average, struct operand *ret);
/* Returns a copy in the window's arena that can be changed. NULL, with w->failed: no memory. */
struct fhist *window_changeable(struct sample_window *w, const struct fhist *h);
/* Adds factor * h, with notes. False: they cannot be combined, or w->failed is set. */
bool window_add_histogram(struct sample_window *w, struct fhist *to, const struct fhist *h,
                          double factor);
/* The values at both ends of a range with `anchored` or `smoothed`, and the floats between them.
 * False if no float is in the range or after it. The window has at least one float. */
struct float_ends {
    double left;
    double right;
    uint32_t first;
    uint32_t end; /* may be less than `first` */
};
bool window_float_ends(const struct sample_window *w, bool is_counter, struct float_ends *ret);
/* True if the second sample starts before the time of the first one, but not at its start time. */
bool window_starts_overlap(int64_t start_before_ms, int64_t before_ms, int64_t start_ms);

/* The value at a time between those of two samples, both included. */
double interpolated(int64_t t1_ms, double v1, int64_t t2_ms, double v2, int64_t t_ms,
                    bool is_counter);
/* Interpolates histograms. *ret is NULL if their layouts cannot be combined, with a note.
 * ERR_NOMEM. */
MUST_CHECK enum err interpolated_histogram(struct evaluation *ev, struct arena *arena,
                                           const struct histogram_point *a,
                                           const struct histogram_point *b, int64_t t_ms,
                                           bool is_counter, struct text_span at,
                                           struct bytes labels, struct fhist **ret);

/* --- notes about samples, with the metric's name ---------------------------------------------- */

/* Warns that the series has histograms and floats. */
void note_mixed_samples(struct evaluation *ev, struct text_span at, struct bytes labels);
/* Warns that histograms have exponential and custom buckets. */
void note_mixed_schemas(struct evaluation *ev, struct text_span at, struct bytes labels);
/* Notes that different custom buckets were combined in an operation, such as "aggregation". */
void note_reconciled(struct evaluation *ev, struct text_span at, const char *operation);
/* Notes that a counter after a reset was combined with one that is not. */
void note_reset_collision(struct evaluation *ev, struct text_span at, const char *operation);
/* Warn that a histogram is not a counter, or not a gauge. */
void note_not_counter(const struct sample_window *w);
void note_not_gauge(const struct sample_window *w);
/* Warns that a sample starts before the one before it. */
void note_start_overlap(const struct sample_window *w);
/* Notes that an aggregation ignores histograms. */
void note_ignored_histogram(struct evaluation *ev, struct text_span at,
                            enum token_type aggregation);

/* The number of floats of the window, with those that others represent. */
uint64_t window_weight(const struct sample_window *w);

/* The mean: the sum divided by the count, or, where the sum is infinite, a running mean. `count` >
 * 0. */
double mean_of(const double *values, uint32_t count);

/* Warns of a quantile that is not between 0 and 1. */
void window_check_quantile(const struct sample_window *w, double q);

/* Returns the quantile of values, which are sorted in place; NaN come first. -Inf or +Inf for a `q`
 * outside of 0 to 1. */
double quantile_of(double q, double *values, uint32_t count);

/* --- window_floats.c -------------------------------------------------------------------------- */

/*
 * Functions of windows over floats alone, for many steps at a time. They give the values that the
 * functions above give for each window.
 *
 * A cut has the windows of steps as indexes of the samples of a series. Series that are scraped
 * together have the same times, so the windows of one of them are those of the others.
 */

enum { CUT_WINDOWS_MAX = 256, CUT_WORDS = CUT_WINDOWS_MAX / 64 + 1, CUT_SLOTS = 32 };

/* The values that windows depend on, except those that are the same for all series of a vector. */
struct cut_key {
    const int64_t *times_ms; /* times of the samples in the buffer */
    uint32_t time_count;
    uint32_t begin, end; /* window of the step before */
    uint32_t step;       /* index of the first step */
    bool at_end;         /* the series has no samples after those in the buffer */
};

/* The part of a rate that depends on times alone. */
struct cut_stretch {
    double factor; /* factor of the difference between the last and the first value */
    /* If the first value is less than the difference times this, the counter would begin at about
     * zero or below, and `factor` does not apply. */
    double near_zero;
};

/* Windows from a step on, as long as the buffer has all their samples. */
struct window_cut {
    struct cut_key key; /* owns a copy of the times; a count of 0 is never found */
    int64_t *times_ms;
    uint32_t time_capacity;

    uint32_t count;
    uint32_t begins[CUT_WINDOWS_MAX]; /* never less than the one before, nor are the ends */
    uint32_t ends[CUT_WINDOWS_MAX];
    uint32_t last_begin,
        last_end;     /* end of the last window; without windows, start of the next one */
    uint64_t samples; /* number in all windows */
    uint32_t most;    /* number in one window */
    uint64_t present[CUT_WORDS]; /* bits: windows with a result; the first one is bit step % 64 */
    struct cut_stretch stretches[CUT_WINDOWS_MAX];
};

struct cuts {
    struct budget *budget;
    struct window_cut *slots[CUT_SLOTS]; /* hash table of their keys */
    struct window_cut *long_one;         /* the last cut with too many samples for a slot */
    uint64_t bytes;
    uint32_t next_victim;
};

/* Cuts are made as they are needed; `budget` outlives them. cuts_fini() frees all. */
void cuts_init(struct cuts *cuts, struct budget *budget);
void cuts_fini(struct cuts *cuts);
/* The cut for a key, valid until the next call. If *ret_known is false the caller finds its
 * windows. NULL: no memory. */
struct window_cut *cuts_find(struct cuts *cuts, const struct cut_key *key, bool *ret_known);

struct float_windows {
    const struct window_cut *cut;
    const int64_t *times_ms;
    const double *values;
    int64_t first_end_ms; /* end of the first window, which began a range before */
    int64_t step_ms;
    int64_t range_ms;
};

struct float_windows_kind {
    uint32_t least; /* samples that a window must have; 0 if the function has no such form */
    /* Extrapolates windows of at least two samples. NULL if values are not extrapolated. */
    struct cut_stretch (*stretch)(const int64_t *times_ms, uint32_t count, int64_t end_ms,
                                  int64_t range_ms);
};
/* Returns a constant. */
const struct float_windows_kind *float_windows_kind_of(enum function_id id);
/* Puts a value for each window that has enough samples. */
void float_windows_evaluate(const struct float_windows *w, enum function_id id, double *to);

/* --- matrix.c: a range vector as the result of a query ---------------------------------------- */

struct matrix_series {
    struct bytes labels;
    bool drops_name;
    uint32_t count;
    int64_t *times_ms;
    double *values;
    const struct fhist **histograms; /* NULL where there is a value */
};

struct matrix {
    struct arena arena; /* memory of all series */
    struct matrix_series *items;
    uint32_t count;
    uint32_t capacity;
};

/*
 * Fills `m`, which is zeroed, and which the caller ends with matrix_fini() also on an error, with
 * what a selector with a range, or a subquery, selects at the one time of the evaluation. Series
 * are in the order of their labels.
 */
MUST_CHECK enum err matrix_fill(struct evaluation *ev, const struct plan_node *x, struct matrix *m);
/* The request for the series of a selector with a range, in the evaluation's arena. */
MUST_CHECK enum err matrix_request(struct evaluation *ev, const struct node *node,
                                   struct matcher_set *set, struct query_request *ret);
/* Frees all series; accepts a matrix that is zeroed. */
void matrix_fini(struct evaluation *ev, struct matrix *m);

#endif
