/*
 * as_of.h - a view as an evaluation finds it when the past is evaluated: without results that are
 * stored, and were recorded after it.
 *
 * Threads: as the view below.
 */
#ifndef RULES_AS_OF_H
#define RULES_AS_OF_H

#include "model/select.h"
#include "rules/recorded_names.h"

/* Says which results are hidden; all that it names outlives the view. */
struct as_of {
    int64_t at_ms;     /* of the evaluation, Unix */
    int64_t sample_ms; /* of its results */
    /* Names of other groups: results are recorded at their times + the offset. */
    const struct recorded_names *early;
    /* Names of the group itself: results of rules from this one on follow those of this time. */
    const struct recorded_names *own;
    uint32_t first_rule;
};

/* `inner` is borrowed, and outlives the view. It answers view_select() alone. ERR_NOMEM. */
MUST_CHECK enum err as_of_view_new(struct view *inner, const struct as_of *as_of,
                                   struct budget *budget, struct view **ret_view, struct why *why);

#endif
