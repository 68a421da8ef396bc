/*
 * window_floats.h - private to promql/eval/: functions of windows over floats alone, for many steps
 * at a time. They give the values that the functions of window.h give for each window.
 */
#ifndef PROMQL_EVAL_SELECT_WINDOW_FLOATS_H
#define PROMQL_EVAL_SELECT_WINDOW_FLOATS_H

#include "promql/eval/select/window_cuts.h"
#include "promql/functions/functions.h"

struct float_windows {
    const struct window_cut *cut;
    const int64_t *times_ms;
    const double *values;
    int64_t first_end_ms; /* end of the first window, which began a range before */
    int64_t step_ms;
    int64_t range_ms;
};

struct float_windows_kind {
    /* Puts a value for each window that has at least `least` samples. NULL if the function does not
     * exist. */
    void (*function)(const struct float_windows *w, double *to);
    uint32_t least;
    /* Extrapolates windows of at least two samples. NULL if values are not extrapolated. */
    struct cut_stretch (*stretch)(const int64_t *times_ms, uint32_t count, int64_t end_ms,
                                  int64_t range_ms);
};
/* Returns a constant, whose function is NULL if `id` has no such form. */
const struct float_windows_kind *float_windows_kind_of(enum function_id id);

#endif
