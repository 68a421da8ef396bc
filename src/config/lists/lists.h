/*
 * lists.h - all keys of the configuration file that are not settings and have no flags. Each list
 * reads the text in a pass of its own.
 */
#ifndef CONFIG_LISTS_LISTS_H
#define CONFIG_LISTS_LISTS_H

#include "config/config.h"
#include "config/lists/access/access_settings.h"
#include "config/lists/destinations.h"
#include "config/lists/retention.h"
#include "config/lists/rules/alerting.h"
#include "config/lists/rules/rule_settings.h"
#include "config/lists/sources.h"
#include "config/schema/schema.h"
#include "model/series_rules.h"

/*
 * The list `downsampling` of the configuration file. docs/configuration.md says
 * what its keys mean.
 */

struct downsampling_rule {
    struct series_rule series; /* and the age of samples from which on the rule applies */
    int64_t resolution_ms;
};

/* Zeroed, there are no rules. */
struct downsampling_rules {
    struct arena *arena; /* for all texts */
    struct downsampling_rule *items;
    uint32_t count;
};
void downsampling_rules_free(struct downsampling_rules *rules);

/*
 * Reads `downsampling` from a YAML text, and nothing else, as destinations_yaml() does.
 * `ret_rules` is given, for downsampling_rules_free().
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err downsampling_rules_yaml(const char *file_name, struct bytes text,
                                            const struct settings *settings,
                                            struct downsampling_rules *ret_rules, struct why *why);

/* Appends a line, with its place, for each rule of downsampling or retention that never applies,
 * since an earlier rule is for all of its series, or retention removes them first. `time_ms` is
 * retention.time. */
void downsampling_rules_warn(const char *file_name, const struct downsampling_rules *rules,
                             const struct retention_rules *retention, int64_t time_ms,
                             struct buf *to);

/* Appends the list as YAML. */
void downsampling_rules_print_yaml(const struct downsampling_rules *rules, struct buf *to);

/* Returns the rule for the same series, as their texts show, and the same resolution; NULL if there
 * is none. */
const struct downsampling_rule *downsampling_rules_find(const struct downsampling_rules *rules,
                                                        const struct downsampling_rule *rule);

/* Makes the levels of a store: one for each resolution, the finest first. They are given, for
 * tsdb_limits_drop_rules(), also after an error. ERR_NOMEM. */
MUST_CHECK enum err downsampling_levels_make(const struct downsampling_rules *rules,
                                             struct tsdb_limits *limits, struct why *why);

/* The keys of the root, for the reference. */
extern const struct schema downsampling_root_schema;

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
