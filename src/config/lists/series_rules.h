/*
 * series_rules.h - the lists `retention.rules` and `downsampling` of the configuration file.
 * docs/configuration.md says what their keys mean.
 */
#ifndef CONFIG_LISTS_SERIES_RULES_H
#define CONFIG_LISTS_SERIES_RULES_H

#include "config/config.h"
#include "config/schema/schema.h"
#include "model/series_rules.h"

/* Zeroed, there are no rules. */
struct retention_rules {
    struct arena *arena; /* for all texts */
    struct series_rule *items;
    uint32_t count;
};
void retention_rules_free(struct retention_rules *rules);

/*
 * Reads `retention.rules` from a YAML text, and nothing else, as destinations_yaml() does.
 * `ret_rules` is given, for retention_rules_free().
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err retention_rules_yaml(const char *file_name, struct bytes text,
                                         const struct settings *settings,
                                         struct retention_rules *ret_rules, struct why *why);

/* Appends the key below `retention` that is not a setting, as YAML. */
void retention_rules_print_yaml(const struct retention_rules *rules, struct buf *to);

/*
 * Makes the rules of a store. If one keeps series for longer than retention.time, a last rule with
 * that time is added, for all other series, and `ret_kept_ms` is the longest time of a rule; else
 * it is retention.time. `ret_rules` is NULL without rules. ERR_NOMEM.
 */
MUST_CHECK enum err retention_rules_make(const struct retention_rules *rules,
                                         const struct settings *settings,
                                         struct series_rules **ret_rules, int64_t *ret_kept_ms,
                                         struct why *why);

/* Makes the rules of a plan, which tells what each removes: always with a last rule for all other
 * series, which has retention.time. ERR_NOMEM. */
MUST_CHECK enum err retention_rules_plan(const struct retention_rules *rules,
                                         const struct settings *settings,
                                         struct series_rules **ret_rules, struct why *why);

/* The keys of `retention` that are not settings, for the reference. */
extern const struct schema retention_schema;

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

#endif
