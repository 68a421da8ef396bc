/* item.h - one thing for a destination: a sample, an exemplar, or what is known of a family. */
#ifndef BACKEND_ITEM_H
#define BACKEND_ITEM_H

#include "model/histogram.h"

enum item_kind { ITEM_FLOAT, ITEM_HISTOGRAM, ITEM_EXEMPLAR, ITEM_METADATA, ITEM_KIND_COUNT };

/* All views end with the call they are given to. */
struct item {
    enum item_kind kind;
    uint64_t pos; /* of its record in the log, and its number in there: what identifies it */
    uint32_t index;
    int64_t arrival_ms; /* when it was committed; 0: not known */
    struct bytes tenant;
    struct bytes labels;  /* canonical, relabelled; of ITEM_METADATA empty */
    uint64_t series_hash; /* of tenant and labels as they came in: what orders samples */
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

/*
 * Positions of the log are below 2^62. What a destination is given from the store has positions of
 * its own: this bit, 16 bits for the fill's number, 46 for the item's in there; the index is 0.
 */
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
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        sum += count[kind];
    }
    return sum;
}

#endif
