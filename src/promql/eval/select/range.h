/*
 * range.h - private to promql/eval/: the samples of one series over which a window slides from step
 * to step, and functions of windows in which samples are downsampled. Errors are those of the
 * evaluation.   Threads: that of the evaluation.
 */
#ifndef PROMQL_EVAL_SELECT_RANGE_H
#define PROMQL_EVAL_SELECT_RANGE_H

#include "promql/eval/select/window.h"

/* --- downsampled samples ---------------------------------------------------------------------- */

/*
 * Windows of levels and samples are joined (model/rollup.h) without a seam.
 *
 * A window takes part in a range if its first or its last sample may be in it. If only one end of
 * it is in the range, the range is widened to the whole window, with an info.
 */

/* A sample, or a window with at least one sample. */
struct rolled {
    int64_t resolution_ms; /* 0: a sample, whose rollup is not set */
    /* Numbers of samples and of resets up to its last one, from any item before on. */
    uint64_t samples;
    uint64_t resets;
    struct rollup rollup;
};

/* A window of histograms, of which at least one is a sample. The last one is that of its point. */
struct rolled_histogram {
    int64_t resolution_ms;
    struct histogram_rollup rollup; /* its sums are in the memory of the point, */
    const struct fhist *first;      /* and so is this one; rollup.first and .last are not used */
};
/* Returns the bytes of memory that a point needs for a window which has samples, and makes it
 * there. The sums of the window are settled. */
size_t rolled_histogram_bytes(const struct histogram_rollup *r);
void rolled_histogram_set(struct histogram_point *p, const struct histogram_rollup *r,
                          int64_t resolution_ms);

/* The first histogram of a point, and its time. */
static inline const struct fhist *
rolled_first_histogram(const struct histogram_point *p)
{
    return p->rolled == NULL ? p->h : p->rolled->first;
}
static inline int64_t
rolled_first_histogram_ms(const struct histogram_point *p)
{
    return p->rolled == NULL ? p->t_ms : p->rolled->rollup.first_ms;
}

/* A value that stands for several samples. */
struct weighted {
    double value;
    uint64_t weight;
};

/* Resolutions that notes have named; with more than these, notes are added again. */
enum { NOTED_MAX = 4 };
struct noted_levels {
    int64_t resolutions_ms[NOTED_MAX];
    uint32_t count;
};
/* Returns true if notes have not named the resolution, and adds it. */
bool noted_levels_add(struct noted_levels *levels, int64_t resolution_ms);

/* Memory of the functions, and the resolutions that notes have named. */
struct rolled_work {
    struct weighted *spread;
    int64_t *times_ms;
    double *values;
    struct histogram_point *points;
    uint32_t spread_capacity;
    uint32_t time_capacity;
    uint32_t value_capacity;
    uint32_t point_capacity;
    struct noted_levels widened;
    struct noted_levels approximate;
};
void rolled_work_fini(struct rolled_work *work, struct budget *budget);

/* The first time of the sample or window that ends at `last_ms`. */
static inline int64_t
rolled_first_ms(const struct rolled *x, int64_t last_ms)
{
    return x->resolution_ms > 0 ? x->rollup.first_ms : last_ms;
}

/* Returns what a function uses of rollups. */
enum rollup_use rolled_use(enum function_id id);

/*
 * Evaluates a function whose window may have windows of downsampled samples: floats with `rolled`,
 * which are their last ones, or histograms. Adds infos where the result is approximate. As a
 * window_function.
 */
bool rolled_evaluate(struct sample_window *w, enum function_id id, struct rolled_work *work,
                     struct operand *ret);

/* Checks that a query takes windows of a resolution; `set` gave the batch, and is read to its end
 * if not, to say until when it has coarser ones. ERR_INPUT, with the sentence. */
MUST_CHECK enum err rolled_check(struct evaluation *ev, struct series_set *set,
                                 const struct sample_batch *batch);

/* Shared by rolled.c and rolled_histograms.c: the joining of windows. */

/* The ends of the range after it was widened. */
struct widened {
    int64_t start_ms;
    int64_t end_ms;
    int64_t coarsest_ms; /* resolution of windows that are cut; 0 if none is */
    bool cuts_last;
};

struct joined {
    const struct widened *range;
    bool is_approximate; /* set by functions */
};

/* The window that stands at a float; NULL if it is a sample. */
static inline const struct rollup *
window_of(const struct sample_window *w, uint32_t i)
{
    return w->rolled != NULL && w->rolled[i].resolution_ms > 0 ? &w->rolled[i].rollup : NULL;
}

static inline double
first_value(const struct sample_window *w, uint32_t i)
{
    const struct rollup *r = window_of(w, i);
    return r == NULL ? w->values[i] : bits_double(r->first_bits);
}

/* The number of floats, those of windows included. */
uint64_t rolled_weight(const struct sample_window *w);

/* A difference between the first and the last sample, and what it is made from. */
struct rolled_difference {
    enum rate_kind kind;
    int64_t first_ms;
    int64_t last_ms;
    uint64_t count; /* of samples, at least 2 */
    double first;   /* the first value, or the count of the first histogram, */
    double more;    /* and the difference with what was lost in resets */
    double most;    /* more than that it is not extrapolated to */
};
/* Returns the factor that extrapolates a difference to the ends of the widened range, as in
 * stretch_factor(), and divides it by its length; of a difference, the part of it which the range
 * itself has is left. */
double rolled_factor(const struct sample_window *w, const struct joined *j,
                     const struct rolled_difference *d);

/* Joins windows of histograms, and floats among them. */
bool rolled_join_histograms(struct sample_window *w, enum function_id id, struct joined *j,
                            struct operand *ret);

/* --- range_buffer.c --------------------------------------------------------------------------- */

/* Says how rate() and increase() use the start times of a series' floats. */
enum series_starts {
    STARTS_IGNORED,
    STARTS_UNDECIDED, /* until two floats are read: a series of deltas uses them */
    STARTS_USED,      /* one that is later than the float before is a reset */
};

/* The owner sets the first part for all series, and `column` for each series of a subquery. */
struct range_buffer {
    struct evaluation *ev;
    struct series_set *set;  /* series of the store, whose current one is read; or NULL: */
    struct column *column;   /* the samples are the steps of this column of a subquery */
    const struct grid *grid; /* times of `column` */
    bool looks_at_starts;    /* of all series: the feature start_timestamps */
    bool finds_deltas;       /* looks at those of series of deltas */
    bool takes_summaries;
    bool counted_only; /* as in the selector */
    /* With counted_only, Prometheus compares each histogram from this time on with the one before.
     */
    int64_t hints_from_ms;

    bool at_end;            /* the series has no more samples */
    bool follows_histogram; /* the next sample follows a histogram that was read */
    enum series_starts starts;

    int64_t *times_ms;
    double *values;
    int64_t *starts_ms; /* unless they are ignored */
    uint32_t *weights; /* number of samples that each one represents, if summaries were requested */
    uint32_t time_capacity;
    uint32_t value_capacity;
    uint32_t start_capacity;
    uint32_t weight_capacity;
    uint32_t count;
    uint32_t begin, end;   /* the window */
    struct rolled *rolled; /* parallel to times, as long as one of them is a window of a level */
    uint32_t rolled_capacity;
    uint32_t rolled_end; /* place after the last such window; 0 without any */

    struct histogram_point *histograms;
    uint32_t histogram_capacity;
    uint32_t histogram_count;
    uint32_t histogram_made; /* count of points with memory */
    uint32_t histogram_begin, histogram_end;
    bool has_histogram_windows; /* some of the points of the series were windows */
};

/* Frees what was read; `set` is the owner's. */
void range_buffer_fini(struct range_buffer *s);

/* Empties the buffer for the next series. */
void range_buffer_restart(struct range_buffer *s);

/* Reads a batch more, or all of the column. Not if at_end is set. */
MUST_CHECK enum err range_buffer_read(struct range_buffer *s);

/* Moves the window to the samples in (from_ms, until_ms], and reads as many as needed. */
MUST_CHECK enum err range_buffer_slide(struct range_buffer *s, int64_t from_ms, int64_t until_ms);

/* True if a sample after the time was read. */
bool range_buffer_has_past(const struct range_buffer *s, int64_t t_ms);

/* Drops the first floats, none of which is in the window. */
void range_buffer_drop_floats(struct range_buffer *s, uint32_t count);

/* Checks the limit of samples in memory for a window; samples that were read ahead do not count.
 * Histograms count as the last one. */
MUST_CHECK enum err range_buffer_hold(struct range_buffer *s, uint32_t floats, uint32_t histograms);

#endif
