/* series_rule_keys.h - the keys by which rules say for which series they are, and their checks.
 * For files that have a table. */
#ifndef CONFIG_LISTS_SERIES_RULE_KEYS_H
#define CONFIG_LISTS_SERIES_RULE_KEYS_H

#include "config/schema/schema.h"
#include "model/series_rules.h"

/* The keys of a struct series_rule, except for the age; its fields in a struct `s`. */
#define RULE_SERIES_KEYS(s, match_, tenants_, count_)                               \
    {"match",                                                                       \
     SCHEMA_TEXT,                                                                   \
     AT(s, match_),                                                                 \
     .required = true,                                                              \
     .check = check_rule_match,                                                     \
     .what = "a selector such as '{job=\"ci\"}'",                                   \
     .help = "series that the rule is for; {} means all"},                          \
    {                                                                               \
        "tenants", SCHEMA_TEXTS, ITEMS(s, tenants_, count_),                        \
            .max = 1000, .unique = true, .check = check_tenant, .what = "a tenant", \
            .help = "tenants that the rule is for; without the key, all"            \
    }

/* Checks a selector. */
MUST_CHECK enum err check_rule_match(const char *text, struct why *why);
/* Checks that no tenants are named without tenancy, and notes the line. The reader's context is a
 * struct root_context. */
MUST_CHECK enum err check_rule_tenants(struct schema_place *place, struct series_rule *rule);
/* True if both are for the same series, as their texts show. */
bool series_rules_are_alike(const struct series_rule *a, const struct series_rule *b);

enum rule_share { RULE_NONE, RULE_SOME, RULE_ALL };
/* Says for how many series of the other a rule is. RULE_SOME unless tenants and single matchers
 * prove more. */
enum rule_share series_rule_share(const struct series_rule *rule, const struct series_rule *other);

#endif
