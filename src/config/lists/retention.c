/* retention.c - reads, prints and checks the rules of retention by one schema. */
#include "config/lists/retention.h"

#include <string.h>

#include "config/lists/root_keys.h"
#include "config/lists/series_rule_keys.h"
#include "config/lists/shared_keys.h"

/* --- checks ----------------------------------------------------------------------------------- */

static enum err
check_rule(struct schema_place *place, void *base)
{
    return check_rule_tenants(place, base);
}

static enum err
check_rules(struct schema_place *place, void *base)
{
    const struct retention_rules *rules = base;
    for (uint32_t i = 0; i < rules->count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (!series_rules_are_alike(&rules->items[i], &rules->items[k])) continue;
            return schema_complain(place, "rules",
                                   "rule %u never applies: rule %u, before it, has the same match "
                                   "and tenants, and the first rule that matches decides",
                                   i + 1, k + 1);
        }
    }
    return OK;
}

/* --- the tables ------------------------------------------------------------------------------- */

static const struct schema_key rule_keys[] = {
    RULE_SERIES_KEYS(series_rule, match, tenants, tenant_count),
    {"time", SCHEMA_DURATION, AT(series_rule, age_ms), .required = true, .min = HOUR,
     .max = 100 * YEAR, .help = "how long to keep samples of these series"},
    {NULL},
};
static const struct schema rule_schema = {rule_keys, sizeof(struct series_rule),
                                          .check = check_rule};

static const struct schema_key section_keys[] = {
    {"rules", SCHEMA_MAPPINGS, ITEMS(retention_rules, items, count), .max = SERIES_RULES_MAX - 1,
     .may_be_nothing = true, .inner = &rule_schema,
     .help = "how long to keep some series; the first rule that matches decides"},
    {NULL},
};
const struct schema retention_schema = {section_keys, sizeof(struct retention_rules),
                                        .partial = true, .check = check_rules};

/* The mapping is embedded in the struct itself. */
static const struct schema_key root_keys[] = {
    {"retention", SCHEMA_MAPPING, .offset = 0, .size = sizeof(struct retention_rules),
     .may_be_nothing = true, .inner = &retention_schema, .help = "how long to keep samples"},
    {NULL},
};
static const struct schema root_schema = {root_keys, sizeof(struct retention_rules),
                                          .partial = true};

/* --- reading ---------------------------------------------------------------------------------- */

enum err
retention_rules_yaml(const char *file_name, struct bytes text, const struct settings *settings,
                     struct retention_rules *ret_rules, struct why *why)
{
    struct retention_rules read = {NULL};
    const struct root_context root = {settings, file_name, NULL};
    enum err e = root_keys_yaml(&root_schema, &root, text, &read, &read.arena, why);
    if (e == OK) *ret_rules = read;
    return e;
}

void
retention_rules_print_yaml(const struct retention_rules *rules, struct buf *to)
{
    enum { KEYS_INDENT = 4 };
    schema_print(to, &retention_schema, 0, rules, KEYS_INDENT, false);
}

void
retention_rules_free(struct retention_rules *rules)
{
    root_arena_free(rules->arena);
    *rules = (struct retention_rules){NULL};
}

/* Makes the rules. With `with_rest`, they end with a rule for all other series. */
static enum err
make(const struct retention_rules *rules, int64_t time_ms, bool with_rest,
     struct series_rules **ret_rules, struct why *why)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    uint32_t count = rules->count;
    struct series_rule *list = arena_alloc(&arena, (count + 1u) * sizeof *list);
    enum err e = OK;
    if (list == NULL) {
        e = why_set(why, ERR_NOMEM, "not enough memory for rules of retention");
    } else {
        const struct series_rule rest = {"{}", NULL, 0, time_ms, 0};
        if (count > 0) memcpy(list, rules->items, count * sizeof *list);
        for (uint32_t i = 0; i < count; i++) {
            with_rest &= !series_rules_are_alike(&list[i], &rest);
        }
        if (with_rest) list[count++] = rest;
        e = series_rules_new(list, count, NULL, ret_rules, why);
    }
    arena_fini(&arena);
    return e;
}

enum err
retention_rules_make(const struct retention_rules *rules, const struct settings *settings,
                     struct series_rules **ret_rules, int64_t *ret_kept_ms, struct why *why)
{
    int64_t time_ms = settings->retention_time_ms, kept_ms = time_ms;
    *ret_rules = NULL;
    *ret_kept_ms = time_ms;
    if (rules->count == 0) return OK;
    for (uint32_t i = 0; i < rules->count; i++) {
        if (rules->items[i].age_ms > kept_ms) kept_ms = rules->items[i].age_ms;
    }
    enum err e = make(rules, time_ms, kept_ms > time_ms, ret_rules, why);
    if (e == OK) *ret_kept_ms = kept_ms;
    return e;
}

enum err
retention_rules_plan(const struct retention_rules *rules, const struct settings *settings,
                     struct series_rules **ret_rules, struct why *why)
{
    return make(rules, settings->retention_time_ms, true, ret_rules, why);
}
