/*
 * merged_set.h - private to views/: merges sets of series as they are read. The next series is the
 * least of the next series of the sets. A series that several sets have is one series, for which
 * the first set's samples win.
 *
 * Threads: one. Memory: a batch of each set.
 */
#ifndef VIEWS_MERGED_SET_H
#define VIEWS_MERGED_SET_H

#include "model/select.h"

/* The sets, at least one, are taken, also on an error. ERR_NOMEM. */
MUST_CHECK enum err merged_set_new(struct series_set *const *sets, uint32_t count,
                                   struct budget *budget, struct series_set **ret_set,
                                   struct why *why);

#endif
