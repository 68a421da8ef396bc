/*
 * text_order.h - private to tsdb/: sorts things by a number, or by a text that each has: labels,
 * names, values, series. To compare texts, which walks scattered memory, was most of what sorting
 * them cost.
 */
#ifndef TSDB_HEAD_TEXT_ORDER_H
#define TSDB_HEAD_TEXT_ORDER_H

#include "base/bytes.h"

struct order_key {
    uint64_t key;
    uint32_t id; /* of what is sorted */
};

/* By key. `spare` has room for as many. */
void order_by_key(struct order_key *keys, struct order_key *spare, uint32_t count);

/* By the bytes of their texts; keys are the sort's own. */
struct order_texts {
    struct bytes (*text_of)(const void *context, uint32_t id);
    const void *context;
};
void order_by_text(const struct order_texts *texts, struct order_key *keys, struct order_key *spare,
                   uint32_t count);

#endif
