/*
 * merged_set.h - sets of series read as one, as they are read: the series at hand is the least of
 * those that the sets have at hand. What several have is one series, of which the first set's
 * samples win. Private to query.
 *
 * Threads: one. Memory: a batch of each set.
 */
#ifndef VIEWS_MERGED_SET_H
#define VIEWS_MERGED_SET_H

#include "model/select.h"

/* The sets, at least one, are its own from now on, also after an error. ERR_NOMEM. */
MUST_CHECK enum err merged_set_new(struct series_set *const *sets, uint32_t count,
                                   struct budget *budget, struct series_set **ret_set,
                                   struct why *why);

#endif
