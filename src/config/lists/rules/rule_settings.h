/*
 * rule_settings.h - keys of the configuration file for rules that are not settings: the paths of
 * rule files, and external labels. docs/configuration.md explains every key.
 */
#ifndef CONFIG_LISTS_RULES_RULE_SETTINGS_H
#define CONFIG_LISTS_RULES_RULE_SETTINGS_H

#include "config/config.h"
#include "config/schema/schema.h"
#include "rules/settings.h"

/*
 * Reads `rule_files`, `tenants` and `global.external_labels` from a YAML text, and nothing else.
 * settings_yaml() is called first and checks the rest. `settings` are those in force: tenancy
 * decides which of the first two is valid. Relative patterns begin at the directory of `file_name`.
 * `ret_rules` is given, for rule_settings_free().
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err rule_settings_yaml(const char *file_name, struct bytes text,
                                       const struct settings *settings,
                                       struct rule_settings *ret_rules, struct why *why);

/* Append them as YAML: `rule_files` or `tenants`; and the labels that belong below `global`,
 * where settings are, too. Nothing is appended if there are none. */
void rule_settings_print_yaml(const struct rule_settings *rules, struct buf *to);
void rule_settings_print_global(const struct rule_settings *rules, struct buf *to);

/* Returns true if both have the same values. */
bool rule_settings_equal(const struct rule_settings *a, const struct rule_settings *b);

/* For tests and the reference: */
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
