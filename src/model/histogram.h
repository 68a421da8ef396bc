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
 * Checks everything a reader relies on: known schema and hint; spans and buckets of equal number;
 * no negative offset but the first; no index that leaves int32; counts not negative, and together
 * not more than `count` (exactly `count` unless sum is NaN; float histograms may differ by
 * rounding); zero_threshold finite and not negative; custom bounds finite or ending in +Inf,
 * strictly ascending, covering the buckets, with no negative side and nothing in the zero bucket. A
 * staleness marker (sum is STALE_NAN_BITS) is valid with everything else empty. ERR_INPUT, with the
 * sentence in `why`.
 */
MUST_CHECK enum err histogram_check(const struct histogram *h, struct why *why);

/*
 * Equal in meaning: the same kind, schema, thresholds, counts, sum (bit for bit) and the same
 * non-empty buckets, however spans are cut. The reset hint does not count.
 */
bool histogram_equal(const struct histogram *a, const struct histogram *b);

/*
 * Our byte form, used in the log: docs/format/histogram.md. Exact, layout included.
 * Out of memory shows in buf_error(to).
 */
void histogram_put(struct buf *to, const struct histogram *h);

/*
 * Reads the byte form; the arrays lie in `arena`. ERR_CORRUPT: not our bytes, or a count beyond
 * the limits above; ERR_LIMIT: the arena is full.
 */
MUST_CHECK enum err histogram_get(struct cursor *c, struct arena *arena,
                                  struct histogram *ret_histogram);

/* A deep copy in `arena`. */
MUST_CHECK enum err histogram_copy(const struct histogram *h, struct arena *arena,
                                   struct histogram *ret_copy);

#endif
