/*
 * digest.h - figures of an answer of Prometheus' API, by which the answers of two servers are
 * compared without keeping them.
 */
#ifndef BENCH_LIB_DIGEST_H
#define BENCH_LIB_DIGEST_H

#include "base/bytes.h"

struct digest {
    uint64_t series, points;
    uint64_t specials; /* points that are NaN or infinite */
    double sum;        /* sum of the other points; counts and sums of native histograms */
    double magnitude;  /* the sum of their absolute values */
    double placed;     /* the sum of values weighted by series and time: 0.5 to 1.5 each */
};

/* Returns the digest of the body of a 200. Series of the answer may have any order. */
struct digest digest_of(struct bytes body);

#endif
