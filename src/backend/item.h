/* item.h - one item for a destination: a sample, an exemplar, or metadata of a family. */
#ifndef BACKEND_ITEM_H
#define BACKEND_ITEM_H

#include "model/histogram.h"

enum item_kind { ITEM_FLOAT, ITEM_HISTOGRAM, ITEM_EXEMPLAR, ITEM_METADATA, ITEM_KIND_COUNT };

/* All views end with the call that gets the item. */
struct item {
    enum item_kind kind;
    uint64_t pos; /* position of its record in the log; with `index`, the identity of the item */
    uint32_t index;
    int64_t arrival_ms; /* time of the commit; 0: not known */
    struct bytes tenant;
    struct bytes labels;  /* canonical, relabelled; empty for ITEM_METADATA */
    uint64_t series_hash; /* hash of the tenant and the original labels; samples of a series stay in
                             order */
    int64_t t_ms;
    int64_t start_ms;                  /* 0: not known */
    uint64_t bits;                     /* ITEM_FLOAT, ITEM_EXEMPLAR */
    const struct histogram *histogram; /* ITEM_HISTOGRAM */
    struct bytes exemplar_labels;      /* ITEM_EXEMPLAR: its own, canonical, may be empty */
    struct bytes family;               /* ITEM_METADATA, as the next three */
    enum metric_type family_type;
    struct bytes help;
    struct bytes unit;
};

/* Positions of the log are below 2^62. Items from the store have other positions: this bit, 16
 * bits for the number of the fill, 46 for that of the item in it; the index is 0. */
#define FILL_BIT (1ULL << 62)
enum { FILL_NUMBER_SHIFT = 46 };

static inline bool
is_fill_pos(uint64_t pos)
{
    return (pos & FILL_BIT) != 0;
}

static inline uint32_t
fill_number(uint64_t pos)
{
    return (uint32_t)(pos >> FILL_NUMBER_SHIFT) & 0xffff;
}
static inline uint64_t
fill_item(uint64_t pos)
{
    return pos & ((1ULL << FILL_NUMBER_SHIFT) - 1);
}

static inline bool
item_is_sample(const struct item *item)
{
    return item->kind == ITEM_FLOAT || item->kind == ITEM_HISTOGRAM;
}

static inline uint64_t
kinds_sum(const uint64_t count[ITEM_KIND_COUNT])
{
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
        sum += count[kind];
    return sum;
}

#endif
