/*
 * estimate.c - quantiles, shares and variances of native histograms.
 *
 * Within a bucket with exponential bounds observations are assumed to be spread evenly on a
 * logarithmic scale; in the zero bucket and between custom bounds, on a linear one.
 */
#include <math.h>

#include "base/precise.h"
#include "model/fhist/fhist_private.h"

/* If all buckets have one sign, the zero bucket is assumed to have observations of that
 * sign alone. */
static void
narrow_zero(const struct fhist *h, struct fhist_bucket *b)
{
    if (h->negative.count == 0 && h->positive.count > 0)
        b->lower = 0;
    else if (h->positive.count == 0 && h->negative.count > 0)
        b->upper = 0;
}

/* The value at a share of the bucket. */
static double
value_within(const struct fhist *h, const struct fhist_bucket *b, double share)
{
    if (fhist_is_custom(h) || (b->lower <= 0 && b->upper >= 0)) {
        return b->lower + (b->upper - b->lower) * share;
    }
    double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper));
    if (b->lower > 0) return exp2(lower + (upper - lower) * share);
    return -exp2(upper + (lower - upper) * (1 - share));
}

double
fhist_quantile(const struct fhist *h, double q, enum fhist_skew *ret_skew)
{
    uint32_t buckets = fhist_bucket_count(h), i = 0;
    struct fhist_bucket b = {0, 0, 0, false, false};
    *ret_skew = SKEW_NONE;
    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    if (h->count == 0 || isnan(q)) return NAN;
    /* Observations of NaN are in no bucket, and are taken to be above all others. */
    bool upward = isnan(h->sum) || q < 0.5;
    double rank = (upward ? q : 1 - q) * h->count, count = 0;
    while (i < buckets) {
        b = fhist_bucket(h, upward ? i : buckets - 1 - i);
        i++;
        if (b.count == 0) continue;
        count += b.count;
        if (count >= rank) break;
    }
    if (!fhist_is_custom(h)) {
        if (b.lower < 0 && b.upper > 0) narrow_zero(h, &b);
    } else if (b.lower == -INFINITY) {
        if (b.upper <= 0) return b.upper;
        b.lower = 0;
    } else if (b.upper == INFINITY) {
        return b.lower;
    }
    if (count > h->count) count = h->count; /* rounding */
    if (count < rank) {
        if (!isnan(h->sum)) return b.upper;
        *ret_skew = SKEW_RESULT_NAN;
        return NAN;
    }
    double within = upward ? rank - (count - b.count) : count - rank;
    if (isnan(h->sum)) {
        /* As in Prometheus, the last bucket then gives the value. */
        for (; i < buckets; i++) {
            b = fhist_bucket(h, i);
            count += b.count;
        }
        if (count < h->count) *ret_skew = SKEW_HIGHER;
    }
    return value_within(h, &b, within / b.count);
}

/* The number of observations below a value within the bucket; `rank` is the number below the
 * bucket. */
static double
rank_within(const struct fhist *h, const struct fhist_bucket *b, bool is_zero, double rank,
            double value)
{
    if (fhist_is_custom(h) || is_zero) {
        if (b->lower == -INFINITY) return b->count;
        return rank + b->count * (value - b->lower) / (b->upper - b->lower);
    }
    double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper)), v = log2(fabs(value));
    double share = value > 0 ? (v - lower) / (upper - lower) : 1 - (v - upper) / (lower - upper);
    return rank + b->count * share;
}

struct rank_limit {
    double value;
    double rank;
    bool found;
};

static void
estimate_look_for(struct rank_limit *l, const struct fhist *h, const struct fhist_bucket *b,
                  bool is_zero, double rank)
{
    if (l->found) return;
    if (b->lower >= l->value)
        l->rank = rank;
    else if (b->upper > l->value)
        l->rank = rank_within(h, b, is_zero, rank, l->value);
    else
        return;
    l->found = true;
}

double
fhist_fraction(const struct fhist *h, double lower, double upper, enum fhist_skew *ret_skew)
{
    struct rank_limit low = {lower, 0, false}, high = {upper, 0, false};
    uint32_t buckets = fhist_bucket_count(h), i = 0;
    double rank = 0, count = 0;
    *ret_skew = SKEW_NONE;
    if (h->count == 0 || isnan(lower) || isnan(upper)) return NAN;
    if (lower >= upper) return 0;
    while (i < buckets && !(low.found && high.found)) {
        struct fhist_bucket b = fhist_bucket(h, i++);
        count += b.count;
        bool is_zero = b.lower <= 0 && b.upper >= 0;
        if (is_zero) narrow_zero(h, &b);
        estimate_look_for(&low, h, &b, is_zero, rank);
        estimate_look_for(&high, h, &b, is_zero, rank);
        rank += b.count;
    }
    if (isnan(h->sum)) {
        for (; i < buckets; i++) {
            count += fhist_bucket(h, i).count;
        }
        if (count < h->count) *ret_skew = SKEW_EXCLUDED;
    } else {
        count = h->count;
    }
    if (!low.found || low.rank > count) low.rank = count;
    if (!high.found || high.rank > count) high.rank = count;
    return (high.rank - low.rank) / h->count;
}

double
fhist_variance(const struct fhist *h)
{
    double mean = h->sum / h->count;
    struct precise sum = {0, 0};
    for (uint32_t i = 0; i < fhist_bucket_count(h); i++) {
        struct fhist_bucket b = fhist_bucket(h, i);
        if (b.count == 0) continue;
        double value = 0;
        if (fhist_is_custom(h))
            value = (b.upper + b.lower) / 2;
        else if (!(b.lower <= 0 && b.upper >= 0))
            value = b.upper < 0 ? -sqrt(b.upper * b.lower) : sqrt(b.upper * b.lower);
        precise_add(&sum, b.count * (value - mean) * (value - mean));
    }
    return (sum.sum + sum.lost) / h->count;
}
