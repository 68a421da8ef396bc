/*
 * sources.h - the list `sources` of the configuration file. Its keys are tables, in sources.c;
 * docs/configuration.md says what they mean.
 */
#ifndef CONFIG_LISTS_SOURCES_H
#define CONFIG_LISTS_SOURCES_H

#include "backend/source_settings.h"
#include "config/config.h"
#include "config/schema/schema.h"

/*
 * Reads the list from a YAML text, and nothing else, as destinations_yaml() does. `ret_list` is
 * given, for sources_free(); it is empty if the text has no such list. If sources `use` a
 * destination, the text's list `destinations` is read, too, and what is taken from it belongs to
 * `ret_list`.
 *
 * ERR_INPUT with file:line:column; ERR_LIMIT: more than CONFIG_BYTES_MAX; ERR_NOMEM.
 */
MUST_CHECK enum err sources_yaml(const char *file_name, struct bytes text,
                                 const struct settings *settings, struct sources *ret_list,
                                 struct why *why);

/* ERR_INPUT: a source is the server of these settings and `listeners` itself, as far as its URL
 * shows, so that its queries would wait for each other. ERR_NOMEM. */
MUST_CHECK enum err sources_check(const struct sources *list, const struct settings *settings,
                                  const struct listener_list *listeners, struct why *why);

/* Returns the source with that name, or NULL: a view that lives as long as the list. */
const struct source_settings *sources_find(const struct sources *list, const char *name);

/* Appends the list as YAML, with defaults; secrets are printed as <secret>. */
void sources_print_yaml(const struct sources *list, struct buf *to);

extern const struct schema source_schema; /* for tests and the reference */

/* Returns true if both have the same values, including secrets. If not, a reload has to replace
 * the source. The line does not count. */
bool source_settings_equal(const struct source_settings *a, const struct source_settings *b);

#endif
