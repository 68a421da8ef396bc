/*
 * alerting.h - the section `alerting` of the configuration file, except for settings. Its keys are
 * tables, in alerting.c; docs/configuration.md says what they mean.
 */
#ifndef CONFIG_LISTS_RULES_ALERTING_H
#define CONFIG_LISTS_RULES_ALERTING_H

#include "config/config.h"
#include "config/schema/schema.h"
#include "notify/settings.h"

/*
 * Reads `alerting` from a YAML text, and nothing else, as destinations_yaml() does. Relative paths
 * of `file_sd_configs` begin at the directory of `file_name`. `ret_alerting` is given, for
 * alerting_free().
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err alerting_yaml(const char *file_name, struct bytes text,
                                  const struct settings *settings, struct alerting *ret_alerting,
                                  struct why *why);

/* Appends the keys below `alerting` that are not settings, as YAML; secrets are printed as
 * <secret>. */
void alerting_print_yaml(const struct alerting *alerting, struct buf *to);

/* For tests and the reference: an Alertmanager; the section `alerting` without its settings, and
 * the root that contains it, for a struct alerting. */
extern const struct schema alertmanager_schema;
extern const struct schema alerting_schema;
extern const struct schema alerting_root_schema;

/* Returns true if both have the same values, including secrets. Lines do not count. */
bool alerting_equal(const struct alerting *a, const struct alerting *b);

#endif
