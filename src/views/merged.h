/*
 * merged.h - several views read as one.
 *
 * A series that more than one of them has is one series in the answer. Of samples of one time the
 * first-listed view's is given, whatever the others have then. Names, values and sets of labels are
 * given once, exemplars that are the same too; metadata has a family as often as it is described
 * differently.
 *
 * Series come in label order, with one batch of each view in memory. Names, values, sets of labels,
 * exemplars and metadata are gathered before the first is given, on the question's budget.
 *
 * A view that does not concern a question (struct view_ops) is not asked. If one is left it answers
 * alone, with all hints; else no summaries stand for samples, and histograms do not come as chunks.
 *
 * Threads: as the views below.
 */
#ifndef VIEWS_MERGED_H
#define VIEWS_MERGED_H

#include "model/select.h"

enum { MERGED_VIEWS_MAX = 65 }; /* the embedded store and the sources */

/* The views are its own from now on, also after an error. `count`: at least 1. ERR_NOMEM. */
MUST_CHECK enum err merged_view_new(struct view *const *views, uint32_t count,
                                    struct budget *budget, struct view **ret_view, struct why *why);

#endif
