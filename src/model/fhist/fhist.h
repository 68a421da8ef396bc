/*
 * fhist.h - native histograms for computations: counts are doubles and absolute, each bucket has
 * its index, and sums may carry along what rounding loses (precise.h).
 *
 * The index of a bucket determines its upper bound: 2^(index * 2^-schema), or with custom bounds
 * the bound of that index. Buckets without observations stay, as those of Prometheus do, until
 * fhist_compact().   Threads: the owner's.
 */
#ifndef MODEL_FHIST_FHIST_H
#define MODEL_FHIST_FHIST_H

#include "base/buf.h"
#include "wire/shape.h"

/* The buckets of one sign, by ascending index: away from zero. */
struct fhist_side {
    int32_t *indexes;
    double *counts;
    double *lost; /* lost parts of `counts`; NULL if they are not kept */
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
    const double *bounds; /* custom bounds */
    uint32_t bound_count;
    uint32_t weight; /* number of float samples that the stored histogram counts as in Prometheus'
                        limit of memory */
};

static inline bool
fhist_is_custom(const struct fhist *h)
{
    return h->schema == HISTOGRAM_SCHEMA_CUSTOM;
}

/* --- one piece of memory ---------------------------------------------------------------------- */

/* Bytes of memory for fhist_of(). */
size_t fhist_bytes_of(const struct histogram *h);
/* Makes a histogram at the beginning of `memory`, with its bounds. `h` has passed
 * histogram_check(). Of its hint only RESET_GAUGE is used: resets of counters are detected from the
 * samples that are there, as in Prometheus. */
struct fhist *fhist_of(void *memory, const struct histogram *h);
size_t fhist_bytes(const struct fhist *h);
/* fhist_of() for another fhist, without the parts that rounding has lost. */
struct fhist *fhist_copy(void *memory, const struct fhist *h);
/* Copies to an arena. NULL without memory. */
static inline struct fhist *
fhist_keep(struct arena *arena, const struct fhist *h)
{
    void *memory = arena_alloc(arena, fhist_bytes(h));
    return memory == NULL ? NULL : fhist_copy(memory, h);
}

/* Returns the histogram in its stored form, with float counts, in the arena. ERR_NOMEM. */
MUST_CHECK enum err fhist_stored(struct arena *arena, const struct fhist *h, struct histogram *ret);

/* --- arithmetic; arrays of the result lie in the given arena ---------------------------------- */

/* Makes a copy that can be changed. With `precise` it keeps the parts that rounding loses.
 * ERR_NOMEM. */
MUST_CHECK enum err fhist_begin(struct arena *arena, const struct fhist *h, bool precise,
                                struct fhist *ret);

struct fhist_outcome {
    bool incompatible; /* only one of them has custom bounds: nothing was changed */
    bool reconciled;   /* custom bounds differed: those that both have are left */
    bool collided;     /* one of them is after a reset, the other one is not */
};

/*
 * Adds factor * h to `to`. The sum has the lower resolution of the two, and a zero bucket that
 * includes both. ERR_NOMEM: `to` is invalid.
 */
MUST_CHECK enum err fhist_add(struct arena *arena, struct fhist *to, const struct fhist *h,
                              double factor, struct fhist_outcome *ret_outcome);
/* True if a sum would be infinite. */
bool fhist_overflows(const struct fhist *to, const struct fhist *h);
void fhist_multiply(struct fhist *h, double factor);
/* Division by zero removes all buckets. */
void fhist_divide(struct fhist *h, double divisor);
/* Adds the parts that rounding has lost. */
void fhist_settle(struct fhist *h);
/* Removes buckets without observations. */
void fhist_compact(struct fhist *h);
/* Keeps observations up to `bound`, or with `above` from it on; estimated within a bucket. */
void fhist_trim(struct fhist *h, double bound, bool above);

/* True if both have the same layout, buckets, sums and counts; hints are not compared. */
bool fhist_equal(const struct fhist *a, const struct fhist *b);
/* True if the counter was reset after `before`. */
bool fhist_was_reset(const struct fhist *h, const struct fhist *before);

/* Sets RESET_NO if the counter was not reset since the histogram `before`, which may be NULL.
 * Leaves the hint of a gauge, a known hint, and that of a histogram after a gauge or after another
 * layout. Never sets RESET_YES. */
void fhist_hint(struct fhist *h, const struct fhist *before);
/* Sets RESET_YES or RESET_NO, unless it is a gauge, or `before` is NULL. */
void fhist_hint_reset(struct fhist *h, const struct fhist *before);
/* For a histogram that does not follow the one that its hint is about. */
static inline void
fhist_forget_reset(struct fhist *h)
{
    if (h->hint != RESET_GAUGE) h->hint = RESET_UNKNOWN;
}

/* Asserts the invariants of fhist.c, in O(buckets): for tests and debug builds. */
void fhist_validate(const struct fhist *h);

/* --- buckets ---------------------------------------------------------------------------------- */

struct fhist_bucket {
    double lower;
    double upper;
    double count;
    bool has_lower; /* the bound is part of the bucket */
    bool has_upper;
};

/* The number of buckets, with the zero bucket if it has observations. */
uint32_t fhist_bucket_count(const struct fhist *h);
/* The i-th of these buckets, by ascending bounds. */
struct fhist_bucket fhist_bucket(const struct fhist *h, uint32_t i);

/* --- estimates -------------------------------------------------------------------------------- */

/* The effect of NaN observations on an estimate. */
enum fhist_skew { SKEW_NONE, SKEW_RESULT_NAN, SKEW_HIGHER, SKEW_EXCLUDED };

/* Estimates the value below which the share `q` of all observations is. */
double fhist_quantile(const struct fhist *h, double q, enum fhist_skew *ret_skew);
/* The share of observations between two values. */
double fhist_fraction(const struct fhist *h, double lower, double upper, enum fhist_skew *ret_skew);
double fhist_variance(const struct fhist *h);

/* Appends "{count:3, sum:4, [-1,1]:2, ...}", as Prometheus prints histograms in texts. */
void fhist_print(const struct fhist *h, struct buf *to);

/* --- for the files of this folder ------------------------------------------------------------- */

/* The upper bound of a bucket. */
double exponential_bound(int32_t schema, int64_t index);
/* The i-th bucket of one sign, with its own bounds, which may lie within the zero bucket. */
struct fhist_bucket fhist_side_bucket(const struct fhist *h, bool positive, uint32_t i);
bool fhist_same_bounds(const struct fhist *a, const struct fhist *b);

/* The index of the bucket that includes another one in a resolution lower by `shift`. */
static inline int64_t
coarser_index(int64_t index, unsigned shift)
{
    return shift == 0 ? index : ((index - 1) >> shift) + 1;
}

#endif
