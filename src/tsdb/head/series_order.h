/*
 * series_order.h - private to tsdb/: sorts series of a registry in label order, by numbers.
 */
#ifndef TSDB_HEAD_SERIES_ORDER_H
#define TSDB_HEAD_SERIES_ORDER_H

#include "base/buf.h"
#include "base/bytes.h"
#include "model/select.h"
#include "tsdb/head/registry.h"

/*
 * Numbers the labels that some series have, in label order, from 0 on. `pair_numbers`, by pair id,
 * is UINT32_MAX everywhere, and stays so for other pairs. `ret_pairs`, which is empty, gets the ids
 * of pairs (u32) in order. `control` and `why` may both be NULL. ERR_NOMEM without a text;
 * ERR_CANCELED.
 */
MUST_CHECK enum err pairs_number(const struct registry *registry, const uint32_t *ids,
                                 uint32_t count, uint32_t *pair_numbers, struct buf *ret_pairs,
                                 struct query_control *control, struct why *why);
/*
 * Sorts the ids of series, no two of which have the same labels. `pair_numbers` (by pair id) ascend
 * with the labels, so that the label order of series is the order of their lists of numbers.
 * ERR_NOMEM.
 */
MUST_CHECK enum err series_sort(const struct registry *registry, const uint32_t *pair_numbers,
                                uint32_t *ids, uint32_t count, struct budget *budget);
/* series_sort() without pair_numbers. `pair_count` is that of the registry. */
MUST_CHECK enum err series_order(const struct registry *registry, uint32_t pair_count,
                                 uint32_t *ids, uint32_t count, struct budget *budget,
                                 struct query_control *control, struct why *why);

/* Sorts items by a text that each has: labels, names, values, series. Comparing texts, which walks
 * scattered memory, was most of the cost of sorting them. */

struct order_key {
    uint64_t key;
    uint32_t id; /* id of the item */
};

/* Sorts by the bytes of texts; the keys are overwritten. */
struct order_texts {
    struct bytes (*text_of)(const void *context, uint32_t id);
    const void *context;
};
void order_by_text(const struct order_texts *texts, struct order_key *keys, struct order_key *spare,
                   uint32_t count);

#endif
