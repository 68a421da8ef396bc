/*
 * destinations.h - the list `destinations` of the configuration file. Its keys are tables,
 * in destination_keys.c; docs/configuration.md says what they mean.
 */
#ifndef CONFIG_LISTS_DESTINATIONS_H
#define CONFIG_LISTS_DESTINATIONS_H

#include "backend/settings.h"
#include "config/config.h"

/*
 * Reads the list of a YAML text, and nothing else of it: settings_yaml() judges the rest, and is
 * asked first. `settings` are those in force, flags included: whether tenancy is on decides.
 * `ret_list` is given, for destinations_free(); of no list it is empty.
 *
 * ERR_INPUT with file:line:column, as of settings_yaml(): also wrong selectors, regexes, URLs,
 * names given twice, keys of another type, what a type lacks. ERR_LIMIT: more than
 * CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err destinations_yaml(const char *file_name, struct bytes text,
                                      const struct settings *settings,
                                      struct destinations *ret_list, struct why *why);

/* ERR_INPUT: two of them would write into one place, or one into the storage directory.
 * ERR_UNSUPPORTED: one is of a type that this version has not. */
MUST_CHECK enum err destinations_check(const struct destinations *list, const char *storage_path,
                                       struct why *why);

/* The one of that name; NULL: none. A view that lives as long as the list. */
const struct destination_settings *destinations_find(const struct destinations *list,
                                                     const char *name);

/* The list as the file would have it, defaults too; secrets are <secret>. */
void destinations_print_yaml(const struct destinations *list, struct buf *to);

/* Whether both say the same, in all keys, secrets too: if not, a reload has to begin it anew. The
 * line does not count. */
bool destination_settings_equal(const struct destination_settings *a,
                                const struct destination_settings *b);

#endif
