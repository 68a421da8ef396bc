/*
 * stored_rules_private.h - groups and tenants of stored rules, for stored_rules.c, which reads and
 * prints them, and stored_change.c, which changes them.
 *
 * Threads: those of stored_rules.h.
 */
#ifndef APP_RULES_STORED_RULES_PRIVATE_H
#define APP_RULES_STORED_RULES_PRIVATE_H

#include "app/rules/stored_rules.h"
#include "config/config.h"
#include "rules/rules.h"

#define STORED_NO_MEMORY "not enough memory for rules"

struct kept_group {
    struct arena arena; /* has all that follows */
    const char *namespace, *name;
    struct bytes text;
    struct rule_group rules; /* zeroed if the group is not evaluated */
};

struct kept_tenant {
    char *name;
    size_t name_bytes;
    enum err trouble; /* why its file could not be read */
    struct why why;   /* the sentence */
    struct kept_group **groups;
    uint32_t count, capacity;
    /* The groups that are evaluated, as one array. */
    struct rule_group *evaluated;
    uint32_t evaluated_count, evaluated_capacity;
};

struct tenant_list {
    struct kept_tenant **items; /* by name */
    struct rule_set_tenant *views;
    uint32_t count, capacity, view_capacity;
};

struct stored_rules {
    struct env *env;
    struct budget *memory;
    struct budget budget; /* the groups' part of `memory`, which also pays for work with them */
    bool tenancy;
    bool is_durable; /* the directory exists and is synced */
    char parent[SETTING_TEXT_BYTES], dir[FILE_PATH_BYTES];
    struct tenant_list tenants;
    struct metric_collector collector;

    /* Relaxed: statistics. */
    _Atomic uint64_t group_count, invalid_count, unreadable_count;
    _Atomic uint64_t edits[STORED_EDIT_COUNT];
};

/* --- groups ----------------------------------------------------------------------------------- */

void kept_group_free(struct stored_rules *stored, struct kept_group *group);
/* Makes a group without text and rules. NULL: no memory. */
struct kept_group *kept_group_new(struct stored_rules *stored, struct bytes namespace);
/* Takes rules that were parsed into the arena of the group. */
void kept_group_take(struct kept_group *group, const struct rule_group *rules);

/* --- tenants ---------------------------------------------------------------------------------- */

/* Makes a tenant without groups. NULL: no memory. */
struct kept_tenant *kept_tenant_new(struct stored_rules *stored, struct bytes name);
/* Frees a tenant, but not its groups. Accepts NULL. */
void kept_tenant_free(struct stored_rules *stored, struct kept_tenant *tenant);
/* Appends a group, in order. False: no memory. */
bool kept_tenant_add(struct stored_rules *stored, struct kept_tenant *tenant,
                     struct kept_group *group);
/* Returns the index of the first group that is not before these names. With `name` NULL: of the
 * first group of the namespace. */
uint32_t kept_tenant_find(const struct kept_tenant *tenant, const char *namespace,
                          const char *name);
/* Returns true if the group with that index has these names; with `name` NULL, if it is in the
 * namespace. */
bool kept_tenant_has(const struct kept_tenant *tenant, uint32_t at, const char *namespace,
                     const char *name);

void tenant_list_fini(struct stored_rules *stored, struct tenant_list *list);
/* Appends a tenant with its groups, in order. False: no memory. */
bool tenant_list_add(struct stored_rules *stored, struct tenant_list *list,
                     struct kept_tenant *tenant);
/* Returns the tenant of that name, NULL if it has no stored rules. */
struct kept_tenant *stored_rules_find(const struct stored_rules *stored, struct bytes name);
/* Asserts the order of tenants. */
void stored_rules_validate(const struct stored_rules *stored);
/* Updates the numbers for metrics, after each change. */
void stored_rules_count(struct stored_rules *stored);

#endif
