/*
 * permitted.h - a view that answers with visible series only, as if the view below had no others:
 * series, samples, exemplars, texts, limits, counts and estimates. Metadata is that of metrics with
 * a visible series.
 */
#ifndef VIEWS_PERMITTED_H
#define VIEWS_PERMITTED_H

#include "model/permitted.h"

/*
 * Takes the view `below`, also on an error. `permitted` and its matchers outlive the view and its
 * sets; if all series are visible, or it is NULL, *ret_view is `below`. ERR_NOMEM.
 */
MUST_CHECK enum err permitted_view_new(struct view *below, const struct permitted *permitted,
                                       struct budget *budget, struct view **ret_view,
                                       struct why *why);

#endif
