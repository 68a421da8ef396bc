/*
 * destinations.h - the list `destinations` of the configuration file. Its keys are tables,
 * in destinations.c; docs/configuration.md says what they mean.
 */
#ifndef CONFIG_LISTS_DESTINATIONS_H
#define CONFIG_LISTS_DESTINATIONS_H

#include "backend/settings.h"
#include "config/config.h"
#include "config/schema/typed_list.h"

/*
 * Reads the list from a YAML text, and nothing else. settings_yaml() is called first and checks the
 * rest. `settings` are those in force, flags included: tenancy changes what is required. `ret_list`
 * is given, for destinations_free(); it is empty if the text has no such list.
 *
 * ERR_INPUT with file:line:column, as for settings_yaml(): also invalid selectors, regexes and
 * URLs, duplicate names, keys of another type, missing keys. ERR_LIMIT: more than CONFIG_BYTES_MAX.
 * ERR_NOMEM.
 */
MUST_CHECK enum err destinations_yaml(const char *file_name, struct bytes text,
                                      const struct settings *settings,
                                      struct destinations *ret_list, struct why *why);

/* ERR_INPUT: two of them would write to the same target, or one into the storage directory.
 * ERR_UNSUPPORTED: this version lacks the type of a destination. */
MUST_CHECK enum err destinations_check(const struct destinations *list, const char *storage_path,
                                       struct why *why);

/* Returns the destination with that name, or NULL: a view that lives as long as the list. */
const struct destination_settings *destinations_find(const struct destinations *list,
                                                     const char *name);

/* Appends the list as YAML, with defaults; secrets are printed as <secret>. */
void destinations_print_yaml(const struct destinations *list, struct buf *to);

/* For the list of sources, tests and the reference. */
extern const struct schema destination_schema;
extern const struct typed_list destinations_list;

/* Returns true if both have the same values, including secrets. If not, a reload has to restart
 * the destination. The line does not count. */
bool destination_settings_equal(const struct destination_settings *a,
                                const struct destination_settings *b);

#endif
