/* series_rule_keys.c - see series_rule_keys.h. */
#include "config/lists/series_rule_keys.h"

#include <string.h>

#include "config/config.h"
#include "config/lists/root_keys.h"
#include "model/selector.h"

enum err
check_rule_match(const char *text, struct why *why)
{
    struct selector selector;
    enum err e = selector_parse_any(bytes_of_text(text), &selector, why);
    if (e == OK) selector_fini(&selector);
    return e;
}

enum err
check_rule_tenants(struct schema_place *place, struct series_rule *rule)
{
    const struct root_context *context = schema_reader_of(place)->context;
    rule->line = schema_line(place);
    if (context->settings->tenancy_enabled || rule->tenant_count == 0) return OK;
    if (rule->tenant_count == 1 && strcmp(rule->tenants[0], "anonymous") == 0) return OK;
    return schema_complain(place, "tenants",
                           "tenancy.enabled is false, so all series have the tenant anonymous: "
                           "remove the key, or enable tenancy");
}

bool
series_rules_are_alike(const struct series_rule *a, const struct series_rule *b)
{
    bool alike = strcmp(a->match, b->match) == 0 && a->tenant_count == b->tenant_count;
    for (uint32_t i = 0; alike && i < a->tenant_count; i++) {
        alike = strcmp(a->tenants[i], b->tenants[i]) == 0;
    }
    return alike;
}

/* Says for how many values of a label that the other matcher matches this one does, too. */
static enum rule_share
matcher_share(const struct matcher *m, const struct matcher *other)
{
    if (matcher_type(other) == MATCH_EQUAL)
        return matcher_matches(m, matcher_pattern(other)) ? RULE_ALL : RULE_NONE;
    if (matcher_type(m) == MATCH_EQUAL && !matcher_matches(other, matcher_pattern(m)))
        return RULE_NONE;
    bool alike = matcher_type(m) == matcher_type(other) &&
                 bytes_equal(matcher_pattern(m), matcher_pattern(other));
    return alike ? RULE_ALL : RULE_SOME;
}

static enum rule_share
tenants_share(const struct series_rule *rule, const struct series_rule *other)
{
    uint32_t found = 0;
    if (rule->tenant_count == 0) return RULE_ALL;
    if (other->tenant_count == 0) return RULE_SOME;
    for (uint32_t i = 0; i < other->tenant_count; i++) {
        for (uint32_t k = 0; k < rule->tenant_count; k++)
            found += strcmp(rule->tenants[k], other->tenants[i]) == 0;
    }
    return found == 0 ? RULE_NONE : found < other->tenant_count ? RULE_SOME : RULE_ALL;
}

static enum rule_share
selectors_share(const struct selector *selector, const struct selector *other)
{
    enum rule_share least = RULE_ALL;
    for (uint32_t i = 0; i < selector->count; i++) {
        const struct matcher *m = selector->matchers[i];
        bool is_any = matcher_type(m) == MATCH_REGEX && bytes_equal_text(matcher_pattern(m), ".*");
        enum rule_share most = is_any ? RULE_ALL : RULE_SOME;
        for (uint32_t k = 0; k < other->count; k++) {
            if (!bytes_equal(matcher_name(m), matcher_name(other->matchers[k]))) continue;
            enum rule_share share = matcher_share(m, other->matchers[k]);
            if (share == RULE_NONE) return share;
            if (share > most) most = share;
        }
        if (most < least) least = most;
    }
    return least;
}

enum rule_share
series_rule_share(const struct series_rule *rule, const struct series_rule *other)
{
    struct selector a, b;
    enum rule_share share = RULE_SOME, tenants = tenants_share(rule, other);
    if (selector_parse_any(bytes_of_text(rule->match), &a, NULL) != OK) return RULE_SOME;
    if (selector_parse_any(bytes_of_text(other->match), &b, NULL) == OK) {
        share = selectors_share(&a, &b);
        selector_fini(&b);
    }
    selector_fini(&a);
    return share < tenants ? share : tenants;
}
