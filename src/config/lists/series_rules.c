/*
 * series_rules.c - reads, prints and checks the rules of retention and those of downsampling, which
 * are for series that a selector and tenants name.
 *
 * A store has a level for each resolution of downsampling, with rules of its own: the first rule of
 * a resolution that matches a series says from which age on that level replaces its samples.
 */
#include "config/lists/lists.h"

#include <assert.h>
#include <string.h>

#include "base/text/time_text.h"
#include "config/lists/shared_keys.h"
#include "config/schema/schema.h"
#include "model/selector.h"

/* --- series ----------------------------------------------------------------------------------- */

static enum err
check_rule_match(const char *text, struct why *why)
{
    struct selector selector;
    enum err e = selector_parse_any(bytes_of_text(text), &selector, why);
    if (e == OK) selector_fini(&selector);
    return e;
}

/* Checks that no tenants are named without tenancy, and notes the line. */
static enum err
check_rule_tenants(struct schema_place *place, void *base)
{
    struct series_rule *rule = base;
    const struct root_context *context = schema_reader_of(place)->context;
    rule->line = schema_line(place);
    if (context->settings->tenancy_enabled || rule->tenant_count == 0) return OK;
    if (rule->tenant_count == 1 && strcmp(rule->tenants[0], "anonymous") == 0) return OK;
    return schema_complain(place, "tenants",
                           "tenancy.enabled is false, so all series have the tenant anonymous: "
                           "remove the key, or enable tenancy");
}

/* True if both are for the same series, as their texts show. */
static bool
are_alike(const struct series_rule *a, const struct series_rule *b)
{
    bool alike = strcmp(a->match, b->match) == 0 && a->tenant_count == b->tenant_count;
    for (uint32_t i = 0; alike && i < a->tenant_count; i++)
        alike = strcmp(a->tenants[i], b->tenants[i]) == 0;
    return alike;
}

/* True if a rule is for all series of the other, as their texts show. */
static bool
covers(const struct series_rule *rule, const struct series_rule *other)
{
    uint32_t found = 0;
    if (strcmp(rule->match, "{}") != 0 && strcmp(rule->match, other->match) != 0) return false;
    if (rule->tenant_count == 0) return true;
    for (uint32_t i = 0; i < other->tenant_count; i++)
        for (uint32_t k = 0; k < rule->tenant_count; k++)
            found += strcmp(rule->tenants[k], other->tenants[i]) == 0;
    return other->tenant_count > 0 && found == other->tenant_count;
}

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

/* --- retention -------------------------------------------------------------------------------- */

static enum err
check_all_kept(struct schema_place *place, void *base)
{
    const struct retention_rules *rules = base;
    for (uint32_t i = 0; i < rules->count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (!are_alike(&rules->items[i], &rules->items[k])) continue;
            return schema_complain(place, "rules",
                                   "rule %u never applies: rule %u, before it, has the same match "
                                   "and tenants, and the first rule that matches decides",
                                   i + 1, k + 1);
        }
    }
    return OK;
}

static const struct schema_key kept_keys[] = {
    RULE_SERIES_KEYS(series_rule, match, tenants, tenant_count),
    {"time", SCHEMA_DURATION, AT(series_rule, age_ms), .required = true, .min = HOUR,
     .max = 100 * YEAR, .help = "how long to keep samples of these series"},
    {NULL},
};
static const struct schema kept_schema = {kept_keys, sizeof(struct series_rule),
                                          .check = check_rule_tenants};

static const struct schema_key section_keys[] = {
    {"rules", SCHEMA_MAPPINGS, ITEMS(retention_rules, items, count), .max = SERIES_RULES_MAX - 1,
     .may_be_nothing = true, .inner = &kept_schema,
     .help = "how long to keep some series; the first rule that matches decides"},
    {NULL},
};
const struct schema retention_schema = {section_keys, sizeof(struct retention_rules),
                                        .partial = true, .check = check_all_kept};

/* The mapping is embedded in the struct itself. */
static const struct schema_key retention_root_keys[] = {
    {"retention", SCHEMA_MAPPING, .offset = 0, .size = sizeof(struct retention_rules),
     .may_be_nothing = true, .inner = &retention_schema, .help = "how long to keep samples"},
    {NULL},
};
static const struct schema retention_root_schema = {
    retention_root_keys, sizeof(struct retention_rules), .partial = true};

enum err
retention_rules_yaml(const char *file_name, struct bytes text, const struct settings *settings,
                     struct retention_rules *ret_rules, struct why *why)
{
    const struct root_context root = {settings, file_name, NULL};
    *ret_rules = (struct retention_rules){NULL};
    return root_keys_yaml(&retention_root_schema, &root, text, ret_rules, &ret_rules->arena, why);
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
make_kept(const struct retention_rules *rules, int64_t time_ms, bool with_rest,
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
        for (uint32_t i = 0; i < count; i++)
            with_rest &= !are_alike(&list[i], &rest);
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
    for (uint32_t i = 0; i < rules->count; i++)
        if (rules->items[i].age_ms > kept_ms) kept_ms = rules->items[i].age_ms;
    enum err e = make_kept(rules, time_ms, kept_ms > time_ms, ret_rules, why);
    if (e == OK) *ret_kept_ms = kept_ms;
    return e;
}

enum err
retention_rules_plan(const struct retention_rules *rules, const struct settings *settings,
                     struct series_rules **ret_rules, struct why *why)
{
    return make_kept(rules, settings->retention_time_ms, true, ret_rules, why);
}

/* --- downsampling ----------------------------------------------------------------------------- */

static enum err
check_rule(struct schema_place *place, void *base)
{
    struct downsampling_rule *rule = base;
    if (rule->series.age_ms < rule->resolution_ms)
        return schema_complain(place, "after", "must be at least the resolution");
    return check_rule_tenants(place, &rule->series);
}

/* Checks a rule against one before it. */
static enum err
check_pair(struct schema_place *place, const struct downsampling_rules *rules, uint32_t before,
           uint32_t at)
{
    const struct downsampling_rule *a = &rules->items[before], *b = &rules->items[at];
    char one[TIME_TEXT_BYTES], other[TIME_TEXT_BYTES];
    bool a_is_finer = a->resolution_ms < b->resolution_ms;
    const struct downsampling_rule *fine = a_is_finer ? a : b, *coarse = a_is_finer ? b : a;
    if (coarse->resolution_ms % fine->resolution_ms != 0) {
        return schema_complain(
            place, "downsampling",
            "the resolution %s of rule %u is no multiple of the %s of rule %u",
            time_print_duration(coarse->resolution_ms, one), a_is_finer ? at + 1 : before + 1,
            time_print_duration(fine->resolution_ms, other), a_is_finer ? before + 1 : at + 1);
    }
    if (!are_alike(&a->series, &b->series)) return OK;
    if (a->resolution_ms == b->resolution_ms) {
        return schema_complain(place, "downsampling",
                               "rule %u never applies: rule %u, before it, has the same match, "
                               "tenants and resolution, and the first rule that matches decides",
                               at + 1, before + 1);
    }
    if (coarse->series.age_ms > fine->series.age_ms) return OK;
    return schema_complain(place, "downsampling",
                           "the rules %u and %u are for the same series, and the coarser "
                           "resolution needs a larger 'after'",
                           before + 1, at + 1);
}

/* Adds a resolution to an ascending list, unless the list has it. False: the list is full. */
static bool
add_resolution(int64_t *list, uint32_t *count, int64_t resolution_ms)
{
    uint32_t at = 0;
    while (at < *count && list[at] < resolution_ms)
        at++;
    if (at < *count && list[at] == resolution_ms) return true;
    if (*count == TSDB_LEVELS_MAX) return false;
    memmove(&list[at + 1], &list[at], (*count - at) * sizeof *list);
    list[at] = resolution_ms;
    (*count)++;
    return true;
}

static enum err
check_rules(struct schema_place *place, void *base)
{
    const struct downsampling_rules *rules = base;
    int64_t resolutions[TSDB_LEVELS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < rules->count; i++) {
        if (!add_resolution(resolutions, &count, rules->items[i].resolution_ms)) {
            return schema_complain(place, "downsampling",
                                   "rule %u has another resolution than all before it, and there "
                                   "may be %u",
                                   i + 1, TSDB_LEVELS_MAX);
        }
        for (uint32_t k = 0; k < i; k++) {
            enum err e = check_pair(place, rules, k, i);
            if (e) return e;
        }
    }
    return OK;
}

static const struct schema_key rule_keys[] = {
    RULE_SERIES_KEYS(downsampling_rule, series.match, series.tenants, series.tenant_count),
    {"after", SCHEMA_DURATION, AT(downsampling_rule, series.age_ms), .required = true, .min = HOUR,
     .max = 100 * YEAR, .help = "age of samples from which on the rule applies"},
    {"resolution", SCHEMA_DURATION, AT(downsampling_rule, resolution_ms), .required = true,
     .min = 60 * SECOND, .max = DAY,
     .help = "length of the windows of which only statistics are kept"},
    {NULL},
};
static const struct schema rule_schema = {rule_keys, sizeof(struct downsampling_rule),
                                          .check = check_rule};

static const struct schema_key series_rules_root_keys[] = {
    {"downsampling", SCHEMA_MAPPINGS, ITEMS(downsampling_rules, items, count),
     .max = SERIES_RULES_MAX, .may_be_nothing = true, .inner = &rule_schema,
     .help = "which samples are replaced by statistics of windows; for each resolution, the first "
             "rule that matches a series decides"},
    {NULL},
};
const struct schema downsampling_root_schema = {series_rules_root_keys,
                                                sizeof(struct downsampling_rules), .partial = true,
                                                .check = check_rules};

enum err
downsampling_rules_yaml(const char *file_name, struct bytes text, const struct settings *settings,
                        struct downsampling_rules *ret_rules, struct why *why)
{
    const struct root_context root = {settings, file_name, NULL};
    *ret_rules = (struct downsampling_rules){NULL};
    return root_keys_yaml(&downsampling_root_schema, &root, text, ret_rules, &ret_rules->arena,
                          why);
}

void
downsampling_rules_print_yaml(const struct downsampling_rules *rules, struct buf *to)
{
    schema_print(to, &downsampling_root_schema, 0, rules, 0, false);
}

void
downsampling_rules_free(struct downsampling_rules *rules)
{
    root_arena_free(rules->arena);
    *rules = (struct downsampling_rules){NULL};
}

const struct downsampling_rule *
downsampling_rules_find(const struct downsampling_rules *rules,
                        const struct downsampling_rule *rule)
{
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct downsampling_rule *r = &rules->items[i];
        if (r->resolution_ms != rule->resolution_ms) continue;
        if (are_alike(&r->series, &rule->series)) return r;
    }
    return NULL;
}

enum err
downsampling_levels_make(const struct downsampling_rules *rules, struct tsdb_limits *limits,
                         struct why *why)
{
    int64_t resolutions[TSDB_LEVELS_MAX];
    uint32_t count = 0;
    struct arena arena;
    limits->level_count = 0;
    if (rules->count == 0) return OK;
    for (uint32_t i = 0; i < rules->count; i++) {
        bool has_room = add_resolution(resolutions, &count, rules->items[i].resolution_ms);
        assert(has_room); /* check_rules() */
    }
    arena_init(&arena, NULL, 0, 0);
    struct series_rule *list = arena_alloc(&arena, rules->count * sizeof *list);
    enum err e = OK;
    if (list == NULL) e = why_set(why, ERR_NOMEM, "not enough memory for rules of downsampling");
    for (uint32_t i = 0; i < count && e == OK; i++) {
        struct tsdb_level *level = &limits->levels[i];
        uint32_t listed = 0;
        for (uint32_t k = 0; k < rules->count; k++) {
            const struct downsampling_rule *rule = &rules->items[k];
            if (rule->resolution_ms == resolutions[i]) list[listed++] = rule->series;
        }
        level->resolution_ms = resolutions[i];
        e = series_rules_new(list, listed, NULL, &level->rules, why);
        if (e == OK) limits->level_count++;
    }
    arena_fini(&arena);
    return e;
}

/* --- warnings --------------------------------------------------------------------------------- */

/* The longest time for which retention may keep a series of the rule. */
static int64_t
kept_at_most_ms(const struct series_rule *rule, const struct retention_rules *retention,
                int64_t time_ms)
{
    int64_t most_ms = 0;
    for (uint32_t i = 0; i < retention->count; i++) {
        const struct series_rule *r = &retention->items[i];
        if (r->age_ms > most_ms) most_ms = r->age_ms;
        if (covers(r, rule)) return most_ms;
    }
    return most_ms > time_ms ? most_ms : time_ms;
}

void
downsampling_rules_warn(const char *file_name, const struct downsampling_rules *rules,
                        const struct retention_rules *retention, int64_t time_ms, struct buf *to)
{
    static const char shadowed[] =
        "%s:%u: %s: rule %u never applies: rule %u, before it, is for all of its series, and the "
        "first rule that matches decides\n";
    char after[TIME_TEXT_BYTES], kept[TIME_TEXT_BYTES];
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct downsampling_rule *rule = &rules->items[i];
        int64_t kept_ms = kept_at_most_ms(&rule->series, retention, time_ms);
        uint32_t k = 0;
        while (k < i && (rules->items[k].resolution_ms != rule->resolution_ms ||
                         !covers(&rules->items[k].series, &rule->series)))
            k++;
        if (k < i) {
            buf_printf(to, shadowed, file_name, rule->series.line, "downsampling", i + 1, k + 1);
        } else if (kept_ms <= rule->series.age_ms) {
            buf_printf(to,
                       "%s:%u: downsampling: rule %u never applies: retention removes its samples "
                       "after %s, and it applies after %s\n",
                       file_name, rule->series.line, i + 1, time_print_duration(kept_ms, kept),
                       time_print_duration(rule->series.age_ms, after));
        }
    }
    for (uint32_t i = 0; i < retention->count; i++) {
        uint32_t k = 0;
        while (k < i && !covers(&retention->items[k], &retention->items[i]))
            k++;
        if (k < i) {
            buf_printf(to, shadowed, file_name, retention->items[i].line, "retention", i + 1,
                       k + 1);
        }
    }
}
