/*
 * sources.h - the list `sources` of the configuration file. Its keys are tables, in source_keys.c;
 * docs/configuration.md says what they mean.
 */
#ifndef CONFIG_LISTS_SOURCES_H
#define CONFIG_LISTS_SOURCES_H

#include "backend/source_settings.h"
#include "config/config.h"

/*
 * Reads the list of a YAML text, and nothing else of it, as destinations_yaml() does. `ret_list` is
 * given, for sources_free(); of no list it is empty. Of sources that `use` a destination, the list
 * `destinations` of the text is read, and what is taken from it belongs to `ret_list`.
 *
 * ERR_INPUT with file:line:column; ERR_LIMIT: more than CONFIG_BYTES_MAX; ERR_NOMEM.
 */
MUST_CHECK enum err sources_yaml(const char *file_name, struct bytes text,
                                 const struct settings *settings, struct sources *ret_list,
                                 struct why *why);

/* ERR_INPUT: one of them is the server of these settings itself, as far as its URL tells, whose
 * queries would then wait for each other. ERR_NOMEM. */
MUST_CHECK enum err sources_check(const struct sources *list, const struct settings *settings,
                                  struct why *why);

/* The one of that name; NULL: not found. A view that lives as long as the list. */
const struct source_settings *sources_find(const struct sources *list, const char *name);

/* The list as the file would have it, defaults too; secrets are <secret>. */
void sources_print_yaml(const struct sources *list, struct buf *to);

/* Whether both say the same, in all keys, secrets too: if not, a reload has to begin it anew. The
 * line does not count. */
bool source_settings_equal(const struct source_settings *a, const struct source_settings *b);

#endif
