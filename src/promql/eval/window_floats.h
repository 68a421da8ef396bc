/*
 * window_floats.h - private to promql/eval/: functions of windows over floats alone, for many steps
 * at a time. What they give is what the functions of window.h give for each.
 */
#ifndef PROMQL_EVAL_WINDOW_FLOATS_H
#define PROMQL_EVAL_WINDOW_FLOATS_H

#include "promql/eval/window_cuts.h"
#include "promql/functions/functions.h"

struct float_windows {
    const struct window_cut *cut;
    const int64_t *times_ms;
    const double *values;
    int64_t first_end_ms; /* when the first window ends; it began a range before */
    int64_t step_ms;
    int64_t range_ms;
};

struct float_windows_kind {
    /* Puts a value for each window that has `least` samples. NULL: there is no such function. */
    void (*function)(const struct float_windows *w, double *to);
    uint32_t least;
    /* What windows of at least two samples are stretched by; NULL: they are not. */
    struct stretch (*stretch)(const int64_t *times_ms, uint32_t count, int64_t end_ms,
                              int64_t range_ms);
};
const struct float_windows_kind *float_windows_kind_of(enum function_id id);

#endif
