/* fhist_private.h - shared by the files of promql/histogram/. */
#ifndef MODEL_FHIST_FHIST_PRIVATE_H
#define MODEL_FHIST_FHIST_PRIVATE_H

#include "model/fhist/fhist.h"

/* The upper bound of a bucket. */
double exponential_bound(int32_t schema, int64_t index);
/* The i-th bucket of one sign, with its own bounds, which may lie within the zero bucket. */
struct fhist_bucket fhist_side_bucket(const struct fhist *h, bool positive, uint32_t i);
bool same_bounds(const struct fhist *a, const struct fhist *b);

/* The index of the bucket that includes another one in a resolution lower by `shift`. */
static inline int64_t
coarser_index(int64_t index, unsigned shift)
{
    return shift == 0 ? index : ((index - 1) >> shift) + 1;
}

#endif
