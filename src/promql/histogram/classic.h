/*
 * classic.h - estimates from the buckets of a classic histogram: each counts the observations up to
 * its bound, +Inf being the last.
 */
#ifndef PROMQL_HISTOGRAM_CLASSIC_H
#define PROMQL_HISTOGRAM_CLASSIC_H

#include <stdbool.h>
#include <stdint.h>

struct classic_bucket {
    double bound;
    double count;
};

/* Describes counts that fell, although they are cumulative; estimates use the greatest count so
 * far. */
struct classic_fix {
    bool forced;
    double least_bound;
    double greatest_bound;
    double most;
};

#endif
