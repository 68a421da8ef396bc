/* classic.c - see classic.h. Estimates first join buckets with the same bound, and make counts
 * cumulative. */
#include "promql/histogram/classic.h"

#include <assert.h>
#include <float.h>
#include <math.h>

#include "base/search.h"

/* Joins buckets with the same bound. */
static uint32_t
join_equal(struct classic_bucket *b, uint32_t count)
{
    uint32_t last = 0;
    for (uint32_t i = 1; i < count; i++) {
        if (b[i].bound == b[last].bound)
            b[last].count += b[i].count;
        else
            b[++last] = b[i];
    }
    return last + 1;
}

/* True if only rounding makes a difference. */
static bool
nearly_equal(double a, double b)
{
    const double tolerance = 1e-12;
    double sum = fabs(a) + fabs(b), difference = fabs(a - b);
    if (isnan(a) && isnan(b)) return true;
    if (a == 0 || b == 0 || sum < DBL_MIN) return difference < tolerance * DBL_MIN;
    return difference / fmin(sum, DBL_MAX) < tolerance;
}

static void
make_cumulative(struct classic_bucket *b, uint32_t count, struct classic_fix *fix)
{
    double before = b[0].count;
    fix->least_bound = INFINITY;
    fix->greatest_bound = -INFINITY;
    for (uint32_t i = 1; i < count; i++) {
        double now = b[i].count;
        if (now == before) continue;
        if (nearly_equal(before, now)) {
            b[i].count = before;
        } else if (now < before) {
            b[i].count = before;
            fix->forced = true;
            fix->least_bound = fmin(fix->least_bound, b[i].bound);
            fix->greatest_bound = fmax(fix->greatest_bound, b[i].bound);
            fix->most = fmax(fix->most, before - now);
        } else {
            before = now;
        }
    }
}

double
classic_quantile(double q, struct classic_bucket *b, uint32_t count, struct classic_fix *ret_fix)
{
    *ret_fix = (struct classic_fix){.forced = false};
    assert(count > 0);
    if (isnan(q)) return NAN;
    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    if (b[count - 1].bound != INFINITY) return NAN;
    count = join_equal(b, count);
    make_cumulative(b, count, ret_fix);
    double all = b[count - 1].count;
    if (count < 2 || all == 0) return NAN;
    double rank = q * all;
    uint32_t at = search_first(i, 0u, count - 1, b[i].count >= rank);
    if (at == count - 1) return b[count - 2].bound;
    if (at == 0 && b[0].bound <= 0) return b[0].bound;
    double begin = 0, within = b[at].count;
    if (at > 0) {
        begin = b[at - 1].bound;
        within -= b[at - 1].count;
        rank -= b[at - 1].count;
    }
    return begin + (b[at].bound - begin) * (rank / within);
}

/* The number of observations below `value`, which is in the bucket. */
static double
rank_within(const struct classic_bucket *b, double lower, double before, double value)
{
    if (lower == -INFINITY) return b->count;
    return before + (b->count - before) * (value - lower) / (b->bound - lower);
}

static bool
classic_look_for(double value, const struct classic_bucket *b, double lower, double before,
                 double *rank)
{
    if (lower >= value)
        *rank = before;
    else if (b->bound > value)
        *rank = rank_within(b, lower, before, value);
    else
        return false;
    return true;
}

double
classic_fraction(double lower, double upper, struct classic_bucket *b, uint32_t count)
{
    double low = 0, high = 0, before = 0;
    bool low_found = false, high_found = false;
    assert(count > 0);
    if (b[count - 1].bound != INFINITY) return NAN;
    count = join_equal(b, count);
    double all = b[count - 1].count;
    if (all == 0 || isnan(lower) || isnan(upper)) return NAN;
    if (lower >= upper) return 0;
    double begin = b[0].bound <= 0 ? -INFINITY : 0;
    for (uint32_t i = 0; i < count && !(low_found && high_found); i++) {
        if (i > 0) begin = b[i - 1].bound;
        if (!low_found) low_found = classic_look_for(lower, &b[i], begin, before, &low);
        if (!high_found) high_found = classic_look_for(upper, &b[i], begin, before, &high);
        before = b[i].count;
    }
    if (!low_found || low > all) low = all;
    if (!high_found || high > all) high = all;
    return (high - low) / all;
}
