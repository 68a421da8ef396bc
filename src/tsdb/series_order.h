/*
 * series_order.h - private to tsdb/: series of a registry in label order, found by numbers.
 */
#ifndef TSDB_SERIES_ORDER_H
#define TSDB_SERIES_ORDER_H

#include "tsdb/registry.h"

/*
 * Numbers the labels that some series have, in label order, from 0 on. `pair_numbers` is by pair
 * id, UINT32_MAX everywhere; that is what it stays for others. The pairs in order are in the arena.
 * ERR_NOMEM.
 */
MUST_CHECK enum err pairs_number(const struct registry *registry, const uint32_t *ids,
                                 uint32_t count, uint32_t *pair_numbers, struct arena *arena,
                                 uint32_t **ret_pairs, uint32_t *ret_pair_count);
/*
 * Sorts the ids of series. `pair_numbers` (by pair id) ascend with the labels, so that series are
 * in label order exactly if their lists of numbers are. No two have the same labels. ERR_NOMEM.
 */
MUST_CHECK enum err series_sort(const struct registry *registry, const uint32_t *pair_numbers,
                                uint32_t *ids, uint32_t count, struct arena *arena);
/* The same without numbers at hand. `pair_count`: of the registry. */
MUST_CHECK enum err series_order(const struct registry *registry, uint32_t pair_count,
                                 uint32_t *ids, uint32_t count, struct budget *budget);

#endif
