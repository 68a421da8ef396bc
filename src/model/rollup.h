/*
 * rollup.h - what a level of downsampling keeps of the samples of one series in one window of time.
 *
 * A window of resolution R ends at a multiple of R and is open on the left: (end - R, end], like
 * the range of a PromQL range selector. Rollups of neighbouring samples or windows are joined
 * without loss beyond rounding, so that a level is made from raw samples or from a finer level, and
 * a query may join raw samples and windows of several levels.
 *
 * Staleness markers are not samples: a rollup only knows a marker after its last sample. A marker
 * that is followed by a sample in the same window is forgotten.
 */
#ifndef MODEL_ROLLUP_H
#define MODEL_ROLLUP_H

#include "base/precise.h"
#include "model/sample.h"

/*
 * Floats of one window, or of several neighbouring ones. With a count of 0 only the marker's time
 * is known.
 *
 * Invariants:
 * 1. count > 0 or is_stale.
 * 2. first_ms <= last_ms, and last_ms < stale_ms if it is stale.
 * 3. nan_count <= count, and resets + changes are counted between neighbours:
 *    resets <= changes < count.
 */
struct rollup {
    int64_t first_ms;
    int64_t last_ms;
    int64_t stale_ms; /* time of the marker after the last sample, if is_stale */
    bool is_stale;
    uint32_t count;     /* samples, with NaNs */
    uint32_t nan_count; /* NaNs; they are in neither least, greatest nor sum */
    uint32_t resets;    /* samples less than the one before */
    uint32_t changes;   /* samples different from the one before; two NaNs are not different */
    uint64_t first_bits;
    uint64_t last_bits;
    double least; /* the first of equal ones, as 0 and -0; NaN without numbers */
    double greatest;
    struct precise sum;
    double correction; /* sum of the samples before resets; NaN if it was not kept */
};

/* Says which parts of rollups a caller uses; no others are read. Each includes those before.
 * Other numbers are any that keep the invariants. */
enum rollup_use {
    ROLLUP_NONE,
    ROLLUP_COUNTS,     /* times, the last value, count and nan_count */
    ROLLUP_ENDS,       /* the first value */
    ROLLUP_EXTREMES,   /* changes, resets, least and greatest */
    ROLLUP_CORRECTION, /* the correction */
    ROLLUP_WHOLE,      /* the sum */
};

/* Returns the end of the window in which a time is, saturated at the ends of int64. */
int64_t rollup_window_end(int64_t t_ms, int64_t resolution_ms);

/* Return the first and the last time of its samples and its marker. */
static inline int64_t
rollup_begin_ms(const struct rollup *rollup)
{
    return rollup->count > 0 ? rollup->first_ms : rollup->stale_ms;
}
static inline int64_t
rollup_end_ms(const struct rollup *rollup)
{
    return rollup->is_stale ? rollup->stale_ms : rollup->last_ms;
}

/* Returns the rollup of one sample, or of a staleness marker. */
struct rollup rollup_of_sample(int64_t t_ms, uint64_t bits);

/* Adds the rollup of later samples: `to` has an earlier last time, or is all zero (no sample). A
 * marker of `to` is forgotten if the other has a sample. */
void rollup_join(struct rollup *to, const struct rollup *later);

/* Sum of all samples as PromQL has it: NaN if one is NaN. */
double rollup_sum(const struct rollup *rollup);

/* True if the invariants hold. */
static inline bool
rollup_is_valid(const struct rollup *r)
{
    if (r->count == 0) return r->is_stale;
    return r->first_ms <= r->last_ms && (!r->is_stale || r->last_ms < r->stale_ms) &&
           r->nan_count <= r->count && r->resets <= r->changes && r->changes < r->count;
}

/* The rollups of one resolution in a part, or in several. */
struct rollup_facts {
    int64_t resolution_ms;
    uint64_t rows;          /* last samples of windows, and staleness markers after them */
    uint64_t bytes;         /* encoded; times that several series share count for each */
    struct time_range time; /* of whole windows */
};
/* Returns the entry of a resolution; NULL if there is none. */
struct rollup_facts *rollup_facts_find(struct rollup_facts *list, uint32_t count,
                                       int64_t resolution_ms);
/* Adds to the entry of the same resolution, or appends one, for which there is room. */
void rollup_facts_add(struct rollup_facts *list, uint32_t *count, const struct rollup_facts *more);

#endif
