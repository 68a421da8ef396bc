/*
 * kept_series.h - the series that a rule wrote at its last evaluation: those that it does not write
 * again are marked stale.
 *
 * Threads: the owner's.
 */
#ifndef RULES_GROUP_KEPT_SERIES_H
#define RULES_GROUP_KEPT_SERIES_H

#include "base/table.h"
#include "model/labels.h"

struct kept_place {
    uint64_t at; /* offset in `text` */
    uint32_t size;
};

struct kept_series {
    struct budget *budget;
    uint64_t seed;   /* seed of the hashes; secret */
    struct buf text; /* canonical labels, one after the other */
    struct kept_place *places;
    uint32_t count, capacity;
    struct table table; /* index of places, by the hash of the labels */
};

/* Initializes without taking memory. */
void kept_series_init(struct kept_series *kept, struct budget *budget, uint64_t seed);
void kept_series_fini(struct kept_series *kept);

/* Adds a series; *ret_new: it is new. ERR_NOMEM, ERR_LIMIT: too many; nothing changed. */
MUST_CHECK enum err kept_series_add(struct kept_series *kept, struct bytes labels, bool *ret_new);
/* Adds all series of `more`. After an error some of them are added. */
MUST_CHECK enum err kept_series_add_all(struct kept_series *kept, const struct kept_series *more);
bool kept_series_has(const struct kept_series *kept, struct bytes labels);
/* Says whether the series is in the set; *ret_index: its number. */
bool kept_series_find(const struct kept_series *kept, struct bytes labels, uint32_t *ret_index);
/* Sets which[i] for each series i that the other set has, too. Takes time for the smaller set. */
void kept_series_mark(const struct kept_series *kept, const struct kept_series *others,
                      bool *which);
/* Returns series number `index`, in the order in which they were added; a view that ends with the
 * next add. */
struct bytes kept_series_at(const struct kept_series *kept, uint32_t index);

#endif
