/*
 * range_buffer.h - private to promql/: the samples of one series over which a window slides from
 * step to step.
 *
 * The owner sets the first part for all series, and `column` for each series of a subquery. Errors
 * are those of the evaluation; threads: that of the evaluation.
 */
#ifndef PROMQL_EVAL_SELECT_RANGE_BUFFER_H
#define PROMQL_EVAL_SELECT_RANGE_BUFFER_H

#include "promql/eval/select/rolled.h"

struct range_buffer {
    struct evaluation *ev;
    struct series_set *set;  /* series of the store, whose current one is read; or NULL: */
    struct column *column;   /* the samples are the steps of this column of a subquery */
    const struct grid *grid; /* times of `column` */
    bool looks_at_starts;
    bool takes_summaries;
    bool counted_only; /* as in the selector */
    /* With counted_only, Prometheus compares each histogram from this time on with the one before.
     */
    int64_t hints_from_ms;

    bool at_end;            /* the series has no more samples */
    bool follows_histogram; /* the next sample follows a histogram that was read */

    int64_t *times_ms;
    double *values;
    int64_t *starts_ms;
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
