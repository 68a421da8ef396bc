/* fuzzed_series.h - checks what a source makes of any bytes; the program ends if a check fails. For
 * fuzz targets. */
#ifndef LIB_BACKEND_FUZZED_SERIES_H
#define LIB_BACKEND_FUZZED_SERIES_H

#include "model/select.h"

enum { FUZZED_MIN_MS = 1000, FUZZED_MAX_MS = 1000000 };

/* Checks that labels are canonical, have the external label dc="one", and come after `before`,
 * which they replace. *any is false for the first ones. */
void check_fuzzed_labels(struct bytes labels, struct buf *before, bool *any);

/* Checks that times ascend, within the bounds, after *last_ms, and moves it. */
void check_fuzzed_batch(const struct sample_batch *batch, int64_t *last_ms);

/* Checks that an error is one that the input can cause, with a reason. */
void check_fuzzed_end(enum err e, const struct why *why);

#endif
