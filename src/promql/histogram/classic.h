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

/* Where counts went down, though they are cumulative; they are taken as if they had not. */
struct classic_fix {
    bool forced;
    double least_bound;
    double greatest_bound;
    double most;
};

/* At least one bucket, by ascending bounds; they are changed. */
double classic_quantile(double q, struct classic_bucket *buckets, uint32_t count,
                        struct classic_fix *ret_fix);
double classic_fraction(double lower, double upper, struct classic_bucket *buckets, uint32_t count);

#endif
