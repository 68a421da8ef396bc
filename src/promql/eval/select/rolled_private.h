/* rolled_private.h - shared by rolled.c and rolled_histograms.c: the joining of windows. */
#ifndef PROMQL_EVAL_SELECT_ROLLED_PRIVATE_H
#define PROMQL_EVAL_SELECT_ROLLED_PRIVATE_H

#include "promql/eval/select/rolled.h"

/* The ends of the range after it was widened. */
struct widened {
    int64_t start_ms;
    int64_t end_ms;
    int64_t coarsest_ms; /* resolution of windows that are cut; 0 if none is */
    bool cuts_last;
};

struct joined {
    const struct widened *range;
    bool is_approximate; /* set by functions */
};

/* The window that stands at a float; NULL if it is a sample. */
static inline const struct rollup *
window_of(const struct sample_window *w, uint32_t i)
{
    return w->rolled != NULL && w->rolled[i].resolution_ms > 0 ? &w->rolled[i].rollup : NULL;
}

static inline double
first_value(const struct sample_window *w, uint32_t i)
{
    const struct rollup *r = window_of(w, i);
    return r == NULL ? w->values[i] : bits_double(r->first_bits);
}

/* The number of floats, those of windows included. */
uint64_t rolled_weight(const struct sample_window *w);

/* A difference between the first and the last sample, and what it is made from. */
struct rolled_difference {
    enum rate_kind kind;
    int64_t first_ms;
    int64_t last_ms;
    uint64_t count; /* of samples, at least 2 */
    double first;   /* the first value, or the count of the first histogram, */
    double more;    /* and the difference with what was lost in resets */
    double most;    /* more than that it is not extrapolated to */
};
/* Returns the factor that extrapolates a difference to the ends of the widened range, as in
 * stretch_factor(), and divides it by its length; of a difference, the part of it which the range
 * itself has is left. */
double rolled_factor(const struct sample_window *w, const struct joined *j,
                     const struct rolled_difference *d);

/* Joins windows of histograms, and floats among them. */
bool rolled_join_histograms(struct sample_window *w, enum function_id id, struct joined *j,
                            struct operand *ret);

#endif
