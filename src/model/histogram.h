/*
 * histogram.h - native histograms: checked, compared, and written as bytes of ours.
 *
 * A histogram is kept in the layout its sender chose (spans, deltas, hint), so that it is given
 * back unchanged; equality ignores what does not change its meaning.
 */
#ifndef MODEL_HISTOGRAM_H
#define MODEL_HISTOGRAM_H

#include "base/buf.h"
#include "base/mem.h"
#include "model/sample.h"

/*
 * Checks everything a reader relies on, by the rules of Prometheus and a few of our own:
 * - kind, hint and schema are known; spans, buckets and bounds within HISTOGRAM_BUCKETS_MAX;
 * - spans and buckets of equal number; no negative offset but the first; no bucket index that
 *   leaves int32;
 * - integer counts are not negative, do not overflow, and together are exactly `count` (at most
 *   `count` if the sum is NaN: an observed NaN falls into no bucket);
 * - float counts are not negative (NaN and Inf are let through, and their total is not compared:
 *   rounding would make false alarms);
 * - zero_threshold is finite and not negative;
 * - custom bounds ascend strictly without NaN or +Inf and cover the buckets; then there is no
 *   negative side, nothing in the zero bucket, no first offset below 0. An exponential schema has
 *   no bounds.
 * So a staleness marker (sum is STALE_NAN_BITS, everything else empty) is valid.
 * ERR_INPUT, with the sentence in `why`.
 */
MUST_CHECK enum err histogram_check(const struct histogram *h, struct why *why);
/* The part of histogram_check() that checks schema, spans, bounds and the zero bucket. */
MUST_CHECK enum err histogram_check_layout(const struct histogram *h, struct why *why);

/* True if both mean the same: kind, schema, thresholds, bounds, counts, sum (bit for bit) and
 * non-empty buckets are equal, however spans are cut. The reset hint does not count; a count,
 * threshold or bound of -0 equals 0. Both have passed histogram_check(). */
bool histogram_equal(const struct histogram *a, const struct histogram *b);
/* Returns a hash that is the same for equal histograms. It never changes, so it can be stored. */
uint64_t histogram_hash(const struct histogram *h);

/* Appends the byte form used in the log, docs/format/histogram.md: exact, with the layout. `h` has
 * passed histogram_check(). Without memory buf_error(to) says so, and `to` is unchanged. */
void histogram_put(struct buf *to, const struct histogram *h);

/* Reads the byte form and advances `c` past it; the arrays are in `arena`. The result has passed
 * histogram_check(). ERR_CORRUPT: not the byte form; ERR_LIMIT: the arena is full. */
MUST_CHECK enum err histogram_get(struct cursor *c, struct arena *arena,
                                  struct histogram *ret_histogram);

#endif
