/*
 * alerting.h - what the section `alerting` of the configuration file has besides settings. Its keys
 * are tables, in alerting_keys.c; docs/configuration.md says what they mean.
 */
#ifndef CONFIG_LISTS_ALERTING_H
#define CONFIG_LISTS_ALERTING_H

#include "config/config.h"
#include "notify/settings.h"

/*
 * Reads `alerting` of a YAML text, and nothing else of it, as destinations_yaml() does. Relative
 * paths of `file_sd_configs` begin at the directory of `file_name`. `ret_alerting` is given, for
 * alerting_free().
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err alerting_yaml(const char *file_name, struct bytes text,
                                  const struct settings *settings, struct alerting *ret_alerting,
                                  struct why *why);

/* As the file would have it below `alerting`, where settings are, too; secrets are <secret>.
 * Nothing, if there is nothing. */
void alerting_print_yaml(const struct alerting *alerting, struct buf *to);

/* Whether both say the same, in all keys, secrets too: if not, a reload has to begin it anew. The
 * line does not count. */
bool alertmanager_settings_equal(const struct alertmanager_settings *a,
                                 const struct alertmanager_settings *b);
/* The same of all of them, and what is done to alerts for all. */
bool alerting_equal(const struct alerting *a, const struct alerting *b);

#endif
