/*
 * series_rules.h - decides by a list of rules what applies to a series: the first rule whose tenant
 * and matchers fit it.
 *
 *     {match: '{job="ci"}', tenants: [a, b], age: 14d}
 *
 * Threads: immutable and reference-counted, any.
 */
#ifndef MODEL_SERIES_RULES_H
#define MODEL_SERIES_RULES_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

enum { SERIES_RULES_MAX = 1000, SERIES_RULES_FORMER_MAX = 16 };

struct series_rule {
    const char *match;          /* a selector; its matchers may all match the empty string */
    const char *const *tenants; /* none: all tenants */
    uint32_t tenant_count;
    int64_t age_ms; /* age of samples from which on the rule applies */
    uint32_t line;  /* in the configuration file; 0: it is in none */
};

/* Appends the names of the tenants with commas; nothing if the rule is for all. */
void series_rule_put_tenants(const struct series_rule *rule, struct buf *to);

struct series_rules;

/* Copies the rules, with one reference. ERR_INPUT: a selector is invalid; ERR_NOMEM. */
MUST_CHECK enum err series_rules_new(const struct series_rule *rules, uint32_t count,
                                     struct budget *budget, struct series_rules **ret_rules,
                                     struct why *why);
/*
 * Makes rules that hide only what `rules` and all of `former` hide: a series is kept for the
 * longest time that one of them says, for ever if one has no rule that fits it. Indexes and rules
 * are those of `rules`. Takes references. ERR_NOMEM.
 */
MUST_CHECK enum err series_rules_with(struct series_rules *rules,
                                      struct series_rules *const *former, uint32_t count,
                                      struct budget *budget, struct series_rules **ret_rules);
/* NULL is fine for both. */
struct series_rules *series_rules_ref(struct series_rules *rules);
void series_rules_unref(struct series_rules *rules);

/* Returns 0 for NULL. */
uint32_t series_rules_count(const struct series_rules *rules);
/* Views live as long as the rules. */
const struct series_rule *series_rules_at(const struct series_rules *rules, uint32_t index);
/* Returns the index of a rule that series_rules_find() returned. */
uint32_t series_rules_index(const struct series_rules *rules, const struct series_rule *rule);
/* Returns a number that no other rules of this process have; 0 for NULL. */
uint64_t series_rules_serial(const struct series_rules *rules);
/* True if both have the same rules in the same order. */
bool series_rules_equal(const struct series_rules *a, const struct series_rules *b);

/* Returns the rule that decides for a series with these canonical labels, and the age from which on
 * its samples are past it: with former rules this may be above the age of the rule. NULL if samples
 * of the series are past no rule. */
const struct series_rule *series_rules_find(const struct series_rules *rules, struct bytes tenant,
                                            struct bytes labels, int64_t *ret_age_ms);
/* Returns an age that samples past their rule have at least, for series of the tenant, or of any
 * tenant if tenant.at is NULL; INT64_MAX if no rule may decide for them. */
int64_t series_rules_least_age_ms(const struct series_rules *rules, struct bytes tenant);

#endif
