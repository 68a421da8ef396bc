/*
 * rule_settings.h - what the configuration file says of rules besides settings: where their files
 * are, and the labels of what is told to others. docs/configuration.md explains every key.
 */
#ifndef CONFIG_LISTS_RULE_SETTINGS_H
#define CONFIG_LISTS_RULE_SETTINGS_H

#include "config/config.h"
#include "rules/settings.h"

/*
 * Reads `rule_files`, `tenants` and `global.external_labels` of a YAML text, and nothing else of
 * it: settings_yaml() judges the rest, and is asked first. `settings` are those in force: whether
 * tenancy is on decides which of the first two there may be. Relative patterns begin at the
 * directory of `file_name`. `ret_rules` is given, for rule_settings_free().
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err rule_settings_yaml(const char *file_name, struct bytes text,
                                       const struct settings *settings,
                                       struct rule_settings *ret_rules, struct why *why);

/* As the file would have them: `rule_files` or `tenants`; and below `global`, where settings are,
 * too, the labels. Nothing, if there are none. */
void rule_settings_print_yaml(const struct rule_settings *rules, struct buf *to);
void rule_settings_print_global(const struct rule_settings *rules, struct buf *to);

/* Whether both say the same. */
bool rule_settings_equal(const struct rule_settings *a, const struct rule_settings *b);

#endif
