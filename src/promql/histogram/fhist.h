/*
 * fhist.h - native histograms as expressions compute with them: counts are doubles and absolute,
 * each bucket has its index, and sums may carry along what rounding loses of them (precise.h).
 *
 * A bucket's index says where it ends: 2^(index * 2^-schema), or with custom bounds their index.
 * Buckets without observations stay, as Prometheus' do, until fhist_compact().   Threads: the
 * owner's.
 */
#ifndef PROMQL_HISTOGRAM_FHIST_H
#define PROMQL_HISTOGRAM_FHIST_H

#include "base/buf.h"
#include "base/mem.h"
#include "wire/shape.h"

/* The buckets of one sign, by ascending index: away from zero. */
struct fhist_side {
    int32_t *indexes;
    double *counts;
    double *lost; /* of `counts`; NULL: not kept */
    uint32_t count;
    uint32_t capacity;
};

struct fhist {
    enum reset_hint hint;
    int32_t schema;
    double zero_threshold;
    double zero_count, zero_lost;
    double count, count_lost;
    double sum, sum_lost;
    struct fhist_side positive;
    struct fhist_side negative;
    const double *bounds; /* custom ones */
    uint32_t bound_count;
    uint32_t weight; /* of what was stored, in float samples, as Prometheus counts memory */
};

static inline bool
fhist_is_custom(const struct fhist *h)
{
    return h->schema == HISTOGRAM_SCHEMA_CUSTOM;
}

/* --- one piece of memory ---------------------------------------------------------------------- */

/* How much memory the next needs. */
size_t fhist_bytes_of(const struct histogram *h);
/* Made in `memory`, whose beginning it is; bounds included. `h` has passed histogram_check(). Of
 * its hint only counts whether it is a gauge: whether a counter was reset is told by the samples
 * that are there, as in Prometheus. */
struct fhist *fhist_of(void *memory, const struct histogram *h);
size_t fhist_bytes(const struct fhist *h);
/* The same of another; what rounding lost is left out. */
struct fhist *fhist_copy(void *memory, const struct fhist *h);
/* The same in an arena. NULL: no memory. */
struct fhist *fhist_keep(struct arena *arena, const struct fhist *h);

/* As it is stored, in the arena: with floats for counts. ERR_NOMEM. */
MUST_CHECK enum err fhist_stored(struct arena *arena, const struct fhist *h, struct histogram *ret);

/* --- arithmetic; what changes has its arrays in the arena that is given ----------------------- */

/* One that can be changed; a copy. With `precise` it keeps what rounding loses. ERR_NOMEM. */
MUST_CHECK enum err fhist_begin(struct arena *arena, const struct fhist *h, bool precise,
                                struct fhist *ret);

struct fhist_outcome {
    bool incompatible; /* one has custom bounds, one has not: nothing was changed */
    bool reconciled;   /* custom bounds differed: those that both have are left */
    bool collided;     /* one comes after a reset, the other one does not */
};

/*
 * to += factor * h. Of different resolutions the lower one stays, of different zero buckets one
 * that holds both. ERR_NOMEM: `to` is of no use any more.
 */
MUST_CHECK enum err fhist_add(struct arena *arena, struct fhist *to, const struct fhist *h,
                              double factor, struct fhist_outcome *ret_outcome);
/* Would a sum be infinite? */
bool fhist_overflows(const struct fhist *to, const struct fhist *h);
void fhist_multiply(struct fhist *h, double factor);
/* Divided by zero it has no buckets any more. */
void fhist_divide(struct fhist *h, double divisor);
/* Adds what rounding lost. */
void fhist_settle(struct fhist *h);
/* Without buckets that have no observations. */
void fhist_compact(struct fhist *h);
/* Only observations until `bound`, or with `above` those from it on; estimated within a bucket. */
void fhist_trim(struct fhist *h, double bound, bool above);

bool fhist_equal(const struct fhist *a, const struct fhist *b);
/* Was the counter reset between the two? */
bool fhist_was_reset(const struct fhist *h, const struct fhist *before);

/* Unless it is a gauge, or is known: that the counter was not reset since the sample `before` it,
 * if so; NULL: that is not known. Nor is it after a gauge or another layout. RESET_YES comes to
 * none. */
void fhist_hint(struct fhist *h, const struct fhist *before);
/* Unless it is a gauge, or nothing is known of a sample before it: whether it comes after a reset.
 */
void fhist_tell_reset(struct fhist *h, const struct fhist *before);
/* For one that does not come right after the sample that its hint is about. */
static inline void
fhist_forget_reset(struct fhist *h)
{
    if (h->hint != RESET_GAUGE) h->hint = RESET_UNKNOWN;
}

/* --- buckets ---------------------------------------------------------------------------------- */

struct fhist_bucket {
    double lower;
    double upper;
    double count;
    bool has_lower; /* the bound belongs to it */
    bool has_upper;
};

/* With the zero bucket, if it has observations. */
uint32_t fhist_bucket_count(const struct fhist *h);
/* The i-th of them, by ascending bounds. */
struct fhist_bucket fhist_bucket(const struct fhist *h, uint32_t i);

/* --- estimates -------------------------------------------------------------------------------- */

/* What NaN among the observations did to an estimate. */
enum fhist_skew { SKEW_NONE, SKEW_RESULT_NAN, SKEW_HIGHER, SKEW_EXCLUDED };

double fhist_quantile(const struct fhist *h, double q, enum fhist_skew *ret_skew);
/* The share of observations between two values. */
double fhist_fraction(const struct fhist *h, double lower, double upper, enum fhist_skew *ret_skew);
double fhist_variance(const struct fhist *h);

/* "{count:3, sum:4, [-1,1]:2, ...}", as Prometheus writes them where a text is needed. */
void fhist_print(const struct fhist *h, struct buf *to);

#endif
