/*
 * trim.c - keeps the observations of a histogram on one side of a value.
 *
 * The bucket with the value keeps its share, and the sum is estimated from the middles of what is
 * left. Where observations are in a bucket that reaches to infinity is not known.
 */
#include <math.h>

#include "model/fhist/fhist_private.h"

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

static double
zero_if_infinite(double x)
{
    return isinf(x) ? 0 : x;
}

static struct rest
rest_of_infinite(const struct fhist_bucket *b, double value, bool above)
{
    bool bounded = b->upper != INFINITY;
    if (b->lower != -INFINITY) { /* up to +Inf */
        if (!above || value < b->lower) return (struct rest){0, zero_if_infinite(b->lower)};
        return (struct rest){b->count, value};
    }
    if (!above) {
        if (value >= b->upper) return (struct rest){b->count, 0};
        /* Between 0 and a bound, as for quantiles. */
        if (value > 0 && b->upper > 0 && bounded) {
            return (struct rest){b->count * value / b->upper, value / 2};
        }
        if (b->upper <= 0) return (struct rest){b->count, value};
    } else {
        if (value <= b->lower) return (struct rest){b->count, 0};
        if (value >= 0 && b->upper > value && bounded) {
            return (struct rest){b->count * (1 - value / b->upper), (value + b->upper) / 2};
        }
    }
    return (struct rest){0, zero_if_infinite(b->upper)};
}

static double
count_below(const struct fhist *h, const struct fhist_bucket *b, double value, bool positive)
{
    if (value <= b->lower) return 0;
    if (value >= b->upper) return b->count;
    if (fhist_is_custom(h)) return b->count * ((value - b->lower) / (b->upper - b->lower));
    double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper)), v = log2(fabs(value));
    double share = positive ? (v - lower) / (upper - lower) : 1 - (v - upper) / (lower - upper);
    return b->count * share;
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
    double below = count_below(h, b, value, positive);
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
