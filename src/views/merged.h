/*
 * merged.h - several views read as one.
 *
 * A series that more than one of them has is one series in the answer. Of samples of one time the
 * first-listed view's is returned. Names, values, sets of labels and equal exemplars are returned
 * once; metadata has one entry per family and description.
 *
 * Series come in label order, with one batch of each view in memory. Names, values, sets of labels,
 * exemplars and metadata are gathered before the first is returned, on the question's budget.
 *
 * A view that does not concern a question (struct view_ops) is not asked. If only one does, it
 * answers alone, with all hints; otherwise samples are neither summarized nor returned as chunks.
 *
 * Threads: those of the views below.
 */
#ifndef VIEWS_MERGED_H
#define VIEWS_MERGED_H

#include "model/select.h"

enum { MERGED_VIEWS_MAX = 65 }; /* the embedded store and the sources */

/* The views are taken, also on an error. `count`: 1 to MERGED_VIEWS_MAX. ERR_NOMEM. */
MUST_CHECK enum err merged_view_new(struct view *const *views, uint32_t count,
                                    struct budget *budget, struct view **ret_view, struct why *why);

/*
 * Merges sets of series as they are read; private to views/. The next series is the least of the
 * next series of the sets. A series that several sets have is one series, for which the first set's
 * samples win. The sets, at least one, are taken, also on an error. Threads: one. ERR_NOMEM.
 */
MUST_CHECK enum err merged_set_new(struct series_set *const *sets, uint32_t count,
                                   struct budget *budget, struct series_set **ret_set,
                                   struct why *why);

#endif
