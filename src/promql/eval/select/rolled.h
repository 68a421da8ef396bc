/*
 * rolled.h - private to promql/eval/: functions of ranges in which samples are downsampled. Windows
 * of levels and samples are joined (model/rollup.h) without a seam.
 *
 * A window takes part in a range if its first or its last sample may be in it. If only one end of
 * it is in the range, the range is widened to the whole window, with an info.
 */
#ifndef PROMQL_EVAL_SELECT_ROLLED_H
#define PROMQL_EVAL_SELECT_ROLLED_H

#include "promql/eval/select/window.h"

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

#endif
