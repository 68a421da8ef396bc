/*
 * recorded.h - sets of series that recording rules write, each known by the labels that its rules
 * set, the name among them; and which of these sets a selector may select.
 *
 * Threads: the owner's.
 */
#ifndef RULES_RECORDED_H
#define RULES_RECORDED_H

#include "model/select.h"
#include "rules/kept_series.h"

struct recorded_list {
    uint32_t first, count; /* links */
};

struct recorded {
    struct kept_series sets; /* canonical labels */
    struct kept_series keys; /* of lists: none; a name; and a label; and its value */
    struct recorded_list *lists;
    struct recorded_link *links;
    uint32_t link_count, list_capacity, link_capacity;
    struct buf key;
};

/* Takes no memory yet. */
void recorded_init(struct recorded *recorded, struct budget *budget, uint64_t seed);
void recorded_fini(struct recorded *recorded);
/* *ret_index: the number of the set with these canonical labels, which is added if there is none;
 * *ret_new: it was. ERR_NOMEM. */
MUST_CHECK enum err recorded_add(struct recorded *recorded, struct bytes labels,
                                 uint32_t *ret_index, bool *ret_new);

/*
 * Steps through the sets of which a selector may select series:
 *     for (at = recorded_first(r, set); recorded_next(r, set, &at, &tries, &index);)
 * A set that lacks a label of the selector may have it from the data. `tries` is counted down with
 * each set that is compared; when it is 0, RECORDED_ANY is given and the end.
 */
enum { RECORDED_ANY = UINT32_MAX };
uint32_t recorded_first(struct recorded *recorded, const struct matcher_set *set);
bool recorded_next(const struct recorded *recorded, const struct matcher_set *set, uint32_t *at,
                   uint32_t *tries, uint32_t *ret_index);

#endif
