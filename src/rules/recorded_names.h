/*
 * recorded_names.h - the names that recording rules of groups write.
 *
 * Threads: the owner's.
 */
#ifndef RULES_RECORDED_NAMES_H
#define RULES_RECORDED_NAMES_H

#include "rules/kept_series.h"

struct group;

struct recorded_name {
    uint32_t groups;    /* that record it */
    uint32_t last_rule; /* of the group that was added last: the last one that records it */
    int64_t offset_ms;  /* the largest query_offset of the groups that were added */
    const struct group *added, *removed; /* the last ones, which count once */
};

struct recorded_names {
    struct kept_series names;
    struct recorded_name *items; /* as `names` numbers them */
    uint32_t capacity;
};

/* Takes no memory yet. */
void recorded_names_init(struct recorded_names *names, struct budget *budget, uint64_t seed);
void recorded_names_fini(struct recorded_names *names);
/* Adds a name that groups with at most this query_offset record. ERR_NOMEM. */
MUST_CHECK enum err recorded_names_put(struct recorded_names *names, struct bytes name,
                                       int64_t offset_ms);
/* Adds the names of a group. ERR_NOMEM. */
MUST_CHECK enum err recorded_names_add(struct recorded_names *names, const struct group *group);
/* One group less records its names, all of which were added. */
void recorded_names_remove(struct recorded_names *names, const struct group *group);
/* A view that ends with the next add. NULL: it is not among them. */
const struct recorded_name *recorded_names_find(const struct recorded_names *names,
                                                struct bytes name);

#endif
