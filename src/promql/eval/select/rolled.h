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
    uint32_t spread_capacity;
    uint32_t time_capacity;
    uint32_t value_capacity;
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

/*
 * Evaluates a function whose window has `rolled`, parallel to its floats, which are the last ones
 * of windows. Adds infos where the result is approximate. As a window_function.
 */
bool rolled_evaluate(struct sample_window *w, enum function_id id, struct rolled_work *work,
                     struct operand *ret);

/* Checks that a query takes windows of a resolution; `set` gave the batch, and is read to its end
 * if not, to say from when on it has finer ones. ERR_INPUT, with the sentence. */
MUST_CHECK enum err rolled_check(struct evaluation *ev, struct series_set *set,
                                 const struct sample_batch *batch);

#endif
