/* precise.h - sums that carry along what rounding loses (Neumaier), as Prometheus makes them. */
#ifndef BASE_PRECISE_H
#define BASE_PRECISE_H

#include <math.h>

struct precise {
    double sum;
    double lost;
};

static inline void
precise_add(struct precise *p, double x)
{
    double t = p->sum + x;
    if (isinf(t))
        p->lost = 0;
    else if (fabs(p->sum) >= fabs(x))
        p->lost += (p->sum - t) + x;
    else
        p->lost += (x - t) + p->sum;
    p->sum = t;
}

static inline double
precise_value(const struct precise *p)
{
    return isinf(p->sum) ? p->sum : p->sum + p->lost;
}

#endif
