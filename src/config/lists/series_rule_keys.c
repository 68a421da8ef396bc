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
check_rule_tenants(struct schema_place *place, const struct series_rule *rule)
{
    const struct root_context *context = schema_reader_of(place)->context;
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

bool
series_rule_covers(const struct series_rule *all, const struct series_rule *other)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < other->tenant_count && all->tenant_count > 0; i++) {
        for (uint32_t k = 0; k < all->tenant_count; k++)
            found += strcmp(all->tenants[k], other->tenants[i]) == 0;
    }
    bool tenants = all->tenant_count == 0 || (found > 0 && found == other->tenant_count);
    return tenants && (strcmp(all->match, "{}") == 0 || strcmp(all->match, other->match) == 0);
}
