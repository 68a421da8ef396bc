/*
 * twins.h - alerting rules of different groups that have alerts of one name at the same times, and
 * no labels that tell these apart: of what such a rule left in the store it cannot be said whose it
 * is. Private to rules/.
 */
#ifndef RULES_TWINS_H
#define RULES_TWINS_H

#include "rules/group_private.h"

struct twin_group {
    struct group *group;
    bool is_new; /* nobody else looks at it: its rules are marked */
};

/* Sets `has_twin` of rules. ERR_NOMEM. */
MUST_CHECK enum err twins_mark(struct budget *memory, const struct twin_group *groups,
                               uint32_t count);

#endif
