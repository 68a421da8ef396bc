/*
 * histogram_rollup.h - rollup.h for native histograms: what a level of downsampling keeps of those
 * of one series in one window of time.
 *
 * Sums are those of Prometheus: of the lowest resolution, the widest zero bucket and the custom
 * bounds that all have. (Where zero buckets differ, its sums depend on the order in which they are
 * made; rollups of windows have another one than their samples.) What a counter lost in resets is
 * kept as rate() adds it: the histogram before each reset, except that a first histogram before a
 * reset is not added (rate() does not subtract it either, since its layout may be another one).
 */
#ifndef MODEL_HISTOGRAM_ROLLUP_H
#define MODEL_HISTOGRAM_ROLLUP_H

#include "base/mem.h"
#include "model/fhist/fhist.h"
#include "model/rollup.h"

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

#endif
