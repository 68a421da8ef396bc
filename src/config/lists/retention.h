/*
 * retention.h - the list `retention.rules` of the configuration file. docs/configuration.md says
 * what its keys mean.
 */
#ifndef CONFIG_LISTS_RETENTION_H
#define CONFIG_LISTS_RETENTION_H

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
 * that time is added, for all other series, and `ret_kept_ms` is the longest time of a rule; else it
 * is retention.time. `ret_rules` is NULL without rules. ERR_NOMEM.
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

#endif
