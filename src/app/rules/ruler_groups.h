/*
 * ruler_groups.h - chooses the groups that are evaluated: all groups of rule files, and stored
 * groups unless a file has a group of the same tenant, file and name. Both would write the same
 * series.
 *
 * Threads: any, one result each.
 */
#ifndef APP_RULES_RULER_GROUPS_H
#define APP_RULES_RULER_GROUPS_H

#include "app/rules/stored_rules.h"
#include "config/rule_set.h"
#include "rules/schedule/scheduler.h"

/* Ordered by tenant, file and name; views of the groups that were chosen from. */
struct ruler_groups {
    struct scheduler_group *items;
    uint32_t count, capacity;
    uint32_t hidden_count;           /* stored ones that have the names of one of a file */
    const struct rule_group *hidden; /* the first of them */
};

/* ERR_NOMEM. The result is given, for ruler_groups_fini(). */
MUST_CHECK enum err ruler_groups_choose(const struct rule_set *set,
                                        const struct stored_groups *stored, struct budget *memory,
                                        struct ruler_groups *ret);
void ruler_groups_fini(struct ruler_groups *groups, struct budget *memory);

/* Returns true if a file has this group. */
bool ruler_groups_has(const struct rule_set *set, struct bytes tenant, const char *file,
                      const char *name);

#endif
