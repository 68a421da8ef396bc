/*
 * rule_settings_keys.h - keys of the configuration file for rules, as written there, with their
 * tables. For rule_settings.c and tests/tools/configuration.c.
 */
#ifndef CONFIG_LISTS_RULES_RULE_SETTINGS_KEYS_H
#define CONFIG_LISTS_RULES_RULE_SETTINGS_KEYS_H

#include "config/schema/schema.h"
#include "rules/settings.h"

/* The keys of the section `global` that are not settings. */
struct global_in_file {
    struct named_texts external_labels;
};
struct rules_in_file {
    struct global_in_file global;
    struct text_list files;
    struct tenant_rules *tenants;
    uint32_t tenant_count;
};

extern const struct schema global_schema;
extern const struct schema tenant_schema;
extern const struct schema rules_root_schema;

#endif
