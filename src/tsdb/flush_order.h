/*
 * flush_order.h - private to tsdb/: series of a registry in label order, found by numbers.
 */
#ifndef TSDB_FLUSH_ORDER_H
#define TSDB_FLUSH_ORDER_H

#include "tsdb/registry.h"

/*
 * Sorts the ids of series. `pair_numbers` (by pair id) ascend with the labels, so that series are
 * in label order exactly if their lists of numbers are. No two have the same labels. ERR_NOMEM.
 */
MUST_CHECK enum err series_sort(const struct registry *registry, const uint32_t *pair_numbers,
                                uint32_t *ids, uint32_t count, struct arena *arena);

#endif
