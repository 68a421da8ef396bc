/*
 * recorded.h - sets of series that recording rules write, each identified by the labels that its
 * rules set, including the name; finds the sets that a selector may select.
 *
 * Threads: the owner's.
 */
#ifndef RULES_GROUP_RECORDED_H
#define RULES_GROUP_RECORDED_H

#include "model/select.h"
#include "rules/group/kept_series.h"

struct recorded_list {
    uint32_t first, count; /* first link, NONE if the list is empty; number of links */
};

struct recorded {
    struct kept_series sets; /* canonical labels */
    struct kept_series keys; /* keys of lists: empty; name; name and label; name, label and value */
    struct recorded_list *lists;
    struct recorded_link *links;
    uint32_t link_count, list_capacity, link_capacity;
    struct buf key;
};

/* Initializes without taking memory. */
void recorded_init(struct recorded *recorded, struct budget *budget, uint64_t seed);
void recorded_fini(struct recorded *recorded);
/* Adds the set with these canonical labels unless it exists. *ret_index: its number; *ret_new: it
 * was added. ERR_NOMEM. */
MUST_CHECK enum err recorded_add(struct recorded *recorded, struct bytes labels,
                                 uint32_t *ret_index, bool *ret_new);

/* Says whether a selector may select series that a rule writes with these canonical labels. A label
 * of the selector that is missing there may come from the data. */
bool recorded_may_select(const struct matcher_set *set, struct bytes labels);

/*
 * Steps through the sets of which a selector may select series:
 *     for (at = recorded_first(r, set); recorded_next(r, set, &at, &tries, &index);)
 * `tries` decreases with each compared set; at 0, RECORDED_ANY ends the walk.
 */
enum { RECORDED_ANY = UINT32_MAX };
uint32_t recorded_first(struct recorded *recorded, const struct matcher_set *set);
bool recorded_next(const struct recorded *recorded, const struct matcher_set *set, uint32_t *at,
                   uint32_t *tries, uint32_t *ret_index);

#endif
