/*
 * window_floats.h - private to promql/eval/: functions of windows over floats alone, for many steps
 * at a time. What they give is what the functions of window.h give for each.
 */
#ifndef PROMQL_EVAL_WINDOW_FLOATS_H
#define PROMQL_EVAL_WINDOW_FLOATS_H

#include "promql/functions/functions.h"

enum { FLOAT_WINDOWS_MAX = 256 };

struct float_windows {
    const int64_t *times_ms;
    const double *values;
    uint32_t count; /* of windows, each of the samples from its begin to before its end */
    uint32_t begins[FLOAT_WINDOWS_MAX]; /* never less than the one before, as the ends */
    uint32_t ends[FLOAT_WINDOWS_MAX];
    int64_t first_end_ms; /* when the first window ends; it began a range before */
    int64_t step_ms;
    int64_t range_ms;
};

struct float_windows_kind {
    /* Puts a value for each window that has `least` samples. NULL: there is no such function. */
    void (*function)(const struct float_windows *w, double *to);
    uint32_t least;
};
const struct float_windows_kind *float_windows_kind_of(enum function_id id);

#endif
