/*
 * estimate.c - quantiles, shares and variances of native histograms, and trimming.
 *
 * Within a bucket with exponential bounds observations are assumed to be spread evenly on a
 * logarithmic scale; in the zero bucket and between custom bounds, on a linear one.
 */
#include <math.h>

#include "base/precise.h"
#include "model/fhist/fhist.h"

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
    if (fhist_is_custom(h) || (b->lower <= 0 && b->upper >= 0))
        return b->lower + (b->upper - b->lower) * share;
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

/* The share of a bucket with exponential bounds that is below a value within it. */
static double
share_below(const struct fhist_bucket *b, double value)
{
    double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper)), v = log2(fabs(value));
    return value > 0 ? (v - lower) / (upper - lower) : 1 - (v - upper) / (lower - upper);
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
    return rank + b->count * share_below(b, value);
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
        for (; i < buckets; i++)
            count += fhist_bucket(h, i).count;
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

/* --- observations on one side of a value ------------------------------------------------------ */

/*
 * The bucket with the value keeps its share, and the sum is estimated from the middles of what is
 * left. Where observations are in a bucket that reaches to infinity is not known.
 */

/* The rest of a bucket: the count, and the value that is taken for each observation. */
struct rest {
    double count;
    double middle;
};

static double
middle_of(const struct fhist *h, double lower, double upper, bool positive)
{
    if (isinf(lower)) {
        if (isinf(upper)) return 0;
        return upper > 0 ? upper / 2 : upper;
    }
    if (isinf(upper)) return lower;
    if (fhist_is_custom(h)) return (lower + upper) / 2;
    double middle = sqrt(fabs(lower * upper));
    return positive ? middle : -middle;
}

static struct rest
rest_of_infinite(const struct fhist_bucket *b, double value, bool above)
{
    bool bounded = b->upper != INFINITY;
    if (b->lower != -INFINITY) { /* up to +Inf */
        if (!above || value < b->lower) return (struct rest){0, isinf(b->lower) ? 0 : b->lower};
        return (struct rest){b->count, value};
    }
    if (!above) {
        if (value >= b->upper) return (struct rest){b->count, 0};
        /* Between 0 and a bound, as for quantiles. */
        if (value > 0 && b->upper > 0 && bounded)
            return (struct rest){b->count * value / b->upper, value / 2};
        if (b->upper <= 0) return (struct rest){b->count, value};
    } else {
        if (value <= b->lower) return (struct rest){b->count, 0};
        if (value >= 0 && b->upper > value && bounded)
            return (struct rest){b->count * (1 - value / b->upper), (value + b->upper) / 2};
    }
    return (struct rest){0, isinf(b->upper) ? 0 : b->upper};
}

static double
count_below(const struct fhist *h, const struct fhist_bucket *b, double value)
{
    if (value <= b->lower) return 0;
    if (value >= b->upper) return b->count;
    if (fhist_is_custom(h)) return b->count * ((value - b->lower) / (b->upper - b->lower));
    return b->count * share_below(b, value);
}

static struct rest
rest_of_bucket(const struct fhist *h, const struct fhist_bucket *b, double value, bool above,
               bool positive)
{
    bool whole = above ? b->lower >= value : b->upper <= value;
    bool part = above ? b->upper > value : b->lower < value;
    if (whole) return (struct rest){b->count, middle_of(h, b->lower, b->upper, positive)};
    if (!part) return (struct rest){0, 0};
    if (b->lower == -INFINITY || b->upper == INFINITY) return rest_of_infinite(b, value, above);
    double below = count_below(h, b, value);
    if (above) return (struct rest){b->count - below, middle_of(h, value, b->upper, positive)};
    return (struct rest){below, middle_of(h, b->lower, value, positive)};
}

static struct rest
rest_of_zero(const struct fhist *h, double value, bool above, bool has_negative, bool has_positive)
{
    double lower = has_positive && !has_negative ? 0 : -h->zero_threshold;
    double upper = has_negative && !has_positive ? 0 : h->zero_threshold;
    bool below_all = value <= lower, above_all = value >= upper;
    if (above ? above_all && !below_all : below_all) return (struct rest){0, 0};
    if (above ? below_all : above_all) return (struct rest){h->zero_count, (lower + upper) / 2};
    double share = (above ? upper - value : value - lower) / (upper - lower);
    return (struct rest){h->zero_count * share, (value + (above ? upper : lower)) / 2};
}

/* Returns true if a bucket has observations. */
static bool
trim_side(struct fhist *h, bool positive, double value, bool above, struct rest *total,
          bool *changed)
{
    struct fhist_side *s = positive ? &h->positive : &h->negative;
    bool any = false;
    for (uint32_t i = 0; i < s->count; i++) {
        struct fhist_bucket b = fhist_side_bucket(h, positive, i);
        if (b.count == 0) continue;
        any = true;
        struct rest rest = rest_of_bucket(h, &b, value, above, positive);
        total->count += rest.count;
        if (rest.count != 0) total->middle += rest.middle * rest.count;
        *changed |= rest.count != b.count;
        s->counts[i] = rest.count;
    }
    return any;
}

void
fhist_trim(struct fhist *h, double value, bool above)
{
    struct rest total = {0, 0};
    bool changed = false;
    bool has_positive = trim_side(h, true, value, above, &total, &changed);
    bool has_negative = trim_side(h, false, value, above, &total, &changed);
    if (h->zero_count > 0) {
        struct rest rest = rest_of_zero(h, value, above, has_negative, has_positive);
        changed |= rest.count != h->zero_count;
        h->zero_count = rest.count;
        total.middle += rest.middle * rest.count;
        total.count += rest.count;
    }
    if (!changed) return;
    h->count = total.count;
    h->sum = total.middle;
    fhist_compact(h);
}
