/* private.h - shared by the files of promql/histogram/. */
#ifndef PROMQL_HISTOGRAM_PRIVATE_H
#define PROMQL_HISTOGRAM_PRIVATE_H

#include "promql/histogram/fhist.h"

/* Where the bucket of this index ends. */
double exponential_bound(int32_t schema, int64_t index);
/* Of one sign, as its bounds are: they may reach into the zero bucket. */
struct fhist_bucket fhist_side_bucket(const struct fhist *h, bool positive, uint32_t i);
bool same_bounds(const struct fhist *a, const struct fhist *b);

/* The index of the bucket that holds one of a resolution higher by `shift`. */
static inline int64_t
coarser_index(int64_t index, unsigned shift)
{
    return shift == 0 ? index : ((index - 1) >> shift) + 1;
}

#endif
