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

#include "base/mem.h"
#include "base/precise.h"
#include "model/fhist/fhist.h"
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
    ROLLUP_LAST,       /* the next ones, also of the last window that ended before the range */
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

/* --- native histograms ------------------------------------------------------------------------ */

/*
 * Sums are those of Prometheus: of the lowest resolution, the widest zero bucket and the custom
 * bounds that all have. (Where zero buckets differ, its sums depend on the order in which they are
 * made; rollups of windows have another one than their samples.) What a counter lost in resets is
 * kept as rate() adds it: the histogram before each reset, except that a first histogram before a
 * reset is not added (rate() does not subtract it either, since its layout may be another one).
 */

/*
 * Histograms of one window, or of several neighbouring ones; arrays are in an arena. With a count
 * of 0 only the marker's time and kind are known.
 *
 * Invariants:
 * 1. count > 0 or is_stale.
 * 2. first_ms <= last_ms, and last_ms < stale_ms if it is stale.
 * 3. Neighbours are compared: resets <= changes < count, layout_changes < count.
 * 4. gauge_count and custom_count are at most count. There is a sum exactly if all samples have
 *    custom buckets, or none has.
 * 5. second_is_reset is one of the resets. There is a correction exactly if there are others and
 *    it was kept.
 */
struct histogram_rollup {
    int64_t first_ms;
    int64_t last_ms;
    int64_t stale_ms; /* time of the marker after the last sample, if is_stale */
    bool is_stale;
    bool second_is_reset; /* the counter was reset between the first two samples */
    bool correction_lost;
    uint32_t count;
    uint32_t changes;        /* samples unlike the one before; hints and kinds are not compared */
    uint32_t resets;         /* samples before which the counter was reset */
    uint32_t layout_changes; /* samples with another kind, schema, zero bucket or bounds, or that
                                are gauges and the one before is not, or the reverse */
    uint32_t gauge_count;
    uint32_t custom_count; /* samples with custom buckets */
    struct histogram first;
    struct histogram last;
    struct fhist *sum;        /* with the parts that rounding loses: fhist_settle() */
    struct fhist *correction; /* the same */
};

/* Returns the rollup of one sample, which may be a staleness marker. `h` is copied to the arena.
 * ERR_NOMEM. */
MUST_CHECK enum err histogram_rollup_of_sample(struct arena *arena, int64_t t_ms,
                                               const struct histogram *h,
                                               struct histogram_rollup *ret);

/* Adds the rollup of later samples, as rollup_join() does. `later` is taken: `to` may have its
 * arrays, which lie in this arena or outlive it. ERR_NOMEM: `to` is invalid. */
MUST_CHECK enum err histogram_rollup_join(struct arena *arena, struct histogram_rollup *to,
                                          struct histogram_rollup *later);

/* Copies a rollup with its arrays to an arena; its sums are settled. ERR_NOMEM. */
MUST_CHECK enum err histogram_rollup_copy(struct arena *arena, const struct histogram_rollup *from,
                                          struct histogram_rollup *ret);

/* Returns its times and its count, as those of a rollup of floats whose other fields are zero. */
static inline struct rollup
histogram_rollup_times(const struct histogram_rollup *r)
{
    return (struct rollup){.first_ms = r->first_ms,
                           .last_ms = r->last_ms,
                           .stale_ms = r->stale_ms,
                           .is_stale = r->is_stale,
                           .count = r->count};
}

/* True if the invariants hold. */
bool histogram_rollup_is_valid(const struct histogram_rollup *rollup);

/* --- many histograms -------------------------------------------------------------------------- */

/*
 * Makes the rollup of many native histograms in little memory: what joining leaves behind is
 * dropped from time to time.
 */

enum { HISTOGRAM_ROLLER_BYTES = 128 * 1024 }; /* of an arena that is not dropped */

struct histogram_roller {
    struct histogram_rollup rollup; /* a count of 0 and not stale: empty */
    struct arena arenas[2];
    unsigned current; /* the arena that has the rollup */
};

/* Begins with an empty rollup. The budget outlives the roller. */
void histogram_roller_init(struct histogram_roller *roller, struct budget *budget);
void histogram_roller_fini(struct histogram_roller *roller);
/* Begins again with an empty rollup. */
void histogram_roller_clear(struct histogram_roller *roller);

/* Add later samples, which are copied. ERR_NOMEM: the rollup is invalid. */
MUST_CHECK enum err histogram_roller_add(struct histogram_roller *roller, int64_t t_ms,
                                         const struct histogram *h);
MUST_CHECK enum err histogram_roller_add_rollup(struct histogram_roller *roller,
                                                const struct histogram_rollup *later);

#endif
