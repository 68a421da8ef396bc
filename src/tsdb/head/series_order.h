/*
 * series_order.h - private to tsdb/: series of a registry in label order, found by numbers.
 */
#ifndef TSDB_HEAD_SERIES_ORDER_H
#define TSDB_HEAD_SERIES_ORDER_H

#include "base/buf.h"
#include "model/select.h"
#include "tsdb/head/registry.h"

/*
 * Numbers the labels that some series have, in label order, from 0 on. `pair_numbers` is by pair
 * id, UINT32_MAX everywhere; that is what it stays for others. `ret_pairs`, which is empty, gets
 * the ids of pairs (u32) in order. ERR_NOMEM without words; ERR_CANCELED, if `control` (which may
 * be NULL, `why` then, too) says so.
 */
MUST_CHECK enum err pairs_number(const struct registry *registry, const uint32_t *ids,
                                 uint32_t count, uint32_t *pair_numbers, struct buf *ret_pairs,
                                 struct query_control *control, struct why *why);
/*
 * Sorts the ids of series. `pair_numbers` (by pair id) ascend with the labels, so that series are
 * in label order exactly if their lists of numbers are. No two have the same labels. ERR_NOMEM.
 */
MUST_CHECK enum err series_sort(const struct registry *registry, const uint32_t *pair_numbers,
                                uint32_t *ids, uint32_t count, struct budget *budget);
/* The same without numbers at hand. `pair_count`: of the registry. */
MUST_CHECK enum err series_order(const struct registry *registry, uint32_t pair_count,
                                 uint32_t *ids, uint32_t count, struct budget *budget,
                                 struct query_control *control, struct why *why);

#endif
