/*
 * text_order.h - private to tsdb/: sorts items by a number, or by a text that each has: labels,
 * names, values, series. Comparing texts, which walks scattered memory, was most of the cost of
 * sorting them.
 */
#ifndef TSDB_HEAD_TEXT_ORDER_H
#define TSDB_HEAD_TEXT_ORDER_H

#include "base/bytes.h"

struct order_key {
    uint64_t key;
    uint32_t id; /* id of the item */
};

/* Sorts by key. `spare` has room for `count` keys. */
void order_by_key(struct order_key *keys, struct order_key *spare, uint32_t count);

/* Sorts by the bytes of texts; the keys are overwritten. */
struct order_texts {
    struct bytes (*text_of)(const void *context, uint32_t id);
    const void *context;
};
void order_by_text(const struct order_texts *texts, struct order_key *keys, struct order_key *spare,
                   uint32_t count);

#endif
