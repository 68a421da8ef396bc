/* window.h - functions of the samples of one series in a stretch of time. */
#ifndef PROMQL_EVAL_WINDOW_H
#define PROMQL_EVAL_WINDOW_H

#include "promql/eval/eval.h"

struct window {
    const int64_t *times_ms; /* ascending, in (start_ms, end_ms] */
    const double *values;
    uint32_t count;
    int64_t start_ms;
    int64_t end_ms;
    int64_t step_time_ms; /* at which the function is evaluated */
    int64_t range_ms;
    const double *scalars; /* the other arguments, at this step */
    double *scratch;       /* room for `count` values */
};

/* False: there is no result. */
typedef bool (*window_function)(const struct window *w, double *ret);
/* NULL: it is no function of floats in a window. */
window_function window_function_of(enum function_id id);

/* Of values that get sorted; NaN are the least. Outside of 0 to 1: -Inf or +Inf. */
double quantile_of(double q, double *values, uint32_t count);

#endif
