/*
 * lists.h - all keys of the configuration file that are not settings and have no flags. Each list
 * reads the text in a pass of its own.
 */
#ifndef CONFIG_LISTS_LISTS_H
#define CONFIG_LISTS_LISTS_H

#include "config/config.h"
#include "config/lists/access/access_settings.h"
#include "config/lists/destinations.h"
#include "config/lists/rules/alerting.h"
#include "config/lists/rules/rule_settings.h"
#include "config/lists/series_rules.h"
#include "config/lists/sources.h"

/* Zeroed, it is empty. config_lists_free() frees all members; an owner that takes one over
 * leaves it empty here. */
struct config_lists {
    struct destinations destinations;
    struct sources sources;
    struct rule_settings rules;
    struct alerting alerting;
    struct retention_rules retention;
    struct downsampling_rules downsampling;
    struct access_settings access; /* access_settings_complete() has to follow */
};
void config_lists_free(struct config_lists *lists);

/*
 * Reads all lists of a YAML text, after settings_yaml(), which checks the rest; `settings` are
 * those in force, flags included. `ret_lists` is given, for config_lists_free().
 *
 * ERR_INPUT with file:line:column; ERR_LIMIT: more than CONFIG_BYTES_MAX; ERR_NOMEM.
 */
MUST_CHECK enum err config_lists_yaml(const char *file_name, struct bytes text,
                                      const struct settings *settings,
                                      struct config_lists *ret_lists, struct why *why);

/* Applies destinations_check() and sources_check(), and checks what storage.mode=none and
 * wal.ack=destination exclude. */
MUST_CHECK enum err config_lists_check(const struct config_lists *lists,
                                       const struct settings *settings, struct why *why);

#endif
