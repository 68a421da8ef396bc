/*
 * random.h - random series and histograms of every kind, from a seed. For tests and fuzz
 * targets only.
 */
#ifndef LIB_RANDOM_H
#define LIB_RANDOM_H

#include "base/mem.h"
#include "wire/shape.h"

struct rng {
    uint64_t state;
};

static inline uint64_t
rng_next(struct rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline uint64_t
rng_below(struct rng *r, uint64_t limit)
{
    return rng_next(r) % limit;
}

enum { RANDOM_VALUE_CLASSES = 11, RANDOM_TIME_CLASSES = 6 };

/* Returns a value of the class. `before` is the previous value, which some classes continue. */
uint64_t random_value(struct rng *r, unsigned class, uint64_t before);

/* Returns the first time of a series. */
int64_t random_first_time(struct rng *r, unsigned class);

/* Moves t_ms to a later time; returns false at the end of time. */
bool random_next_time(struct rng *r, unsigned class, int64_t *t_ms);

/* Fills both arrays; returns how many samples fitted before the end of time. */
uint32_t random_series(struct rng *r, uint32_t count, int64_t *times_ms, uint64_t *bits);

/* --- histograms ------------------------------------------------------------------------------- */

/* Returns a histogram as senders make them; arrays are in `arena`. */
struct histogram random_histogram(struct rng *r, struct arena *arena, enum sample_kind kind);

/* Returns a histogram with the same layout, whose counts have grown (or not). */
struct histogram random_grown(struct rng *r, struct arena *arena, const struct histogram *from);

struct histogram stale_histogram(enum sample_kind kind);

/* Returns the successor of `from` in a series: mostly growth, sometimes a marker, a reset, a new
 * layout. */
struct histogram random_next_histogram(struct rng *r, struct arena *arena,
                                       const struct histogram *from);

/* --- comparing and copying -------------------------------------------------------------------- */

struct histogram copied_histogram(struct arena *arena, const struct histogram *h);

/* Compares all but the hint, bit for bit. */
bool same_histogram_all(const struct histogram *a, const struct histogram *b);

/* Does the same, except that staleness markers are all equal. */
bool same_histogram_bits(const struct histogram *a, const struct histogram *b);

/* Steps through buckets: their indexes, and their counts (of integers absolute). */
struct bucket_steps {
    const struct histogram *h;
    const struct hist_buckets *side;
    uint32_t span, in_span, at;
    int64_t index;
    uint64_t count;
};

bool bucket_steps_next(struct bucket_steps *w);

/* --- histograms as columns -------------------------------------------------------------------- */

/* Returns the columns of h[0..count), which have one layout. Arrays, except the layout's, are in
 * `arena`. */
struct hist_columns columns_of(struct arena *arena, const struct histogram *h, uint32_t count);

#endif
