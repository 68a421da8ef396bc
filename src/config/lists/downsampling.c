/*
 * downsampling.c - reads, prints and checks the list of downsampling by one schema.
 *
 * A store has a level for each resolution, with rules of its own: the first rule of a resolution
 * that matches a series says from which age on that level replaces its samples.
 */
#include "config/lists/lists.h"

#include <assert.h>
#include <string.h>

#include "base/text/time_text.h"
#include "config/lists/root_keys.h"
#include "config/lists/series_rule_keys.h"
#include "config/lists/shared_keys.h"

/* --- checks ----------------------------------------------------------------------------------- */

static enum err
check_rule(struct schema_place *place, void *base)
{
    struct downsampling_rule *rule = base;
    if (rule->series.age_ms < rule->resolution_ms) {
        return schema_complain(place, "after", "must be at least the resolution");
    }
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
    if (!series_rules_are_alike(&a->series, &b->series)) return OK;
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

/* The longest time for which retention may keep a series of the rule. */
static int64_t
kept_at_most_ms(const struct series_rule *rule, const struct retention_rules *retention,
                int64_t time_ms)
{
    int64_t most_ms = 0;
    for (uint32_t i = 0; i < retention->count; i++) {
        const struct series_rule *r = &retention->items[i];
        enum rule_share share = series_rule_share(r, rule);
        if (share != RULE_NONE && r->age_ms > most_ms) most_ms = r->age_ms;
        if (share == RULE_ALL) return most_ms;
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
        const struct series_rule *rule = &rules->items[i].series;
        int64_t kept_ms = kept_at_most_ms(rule, retention, time_ms);
        uint32_t k = 0;
        while (k < i && (rules->items[k].resolution_ms != rules->items[i].resolution_ms ||
                         series_rule_share(&rules->items[k].series, rule) != RULE_ALL))
            k++;
        if (k < i) {
            buf_printf(to, shadowed, file_name, rule->line, "downsampling", i + 1, k + 1);
        } else if (kept_ms <= rule->age_ms) {
            buf_printf(to,
                       "%s:%u: downsampling: rule %u never applies: retention removes its samples "
                       "after %s, and it applies after %s\n",
                       file_name, rule->line, i + 1, time_print_duration(kept_ms, kept),
                       time_print_duration(rule->age_ms, after));
        }
    }
    for (uint32_t i = 0; i < retention->count; i++) {
        const struct series_rule *rule = &retention->items[i];
        uint32_t k = 0;
        while (k < i && series_rule_share(&retention->items[k], rule) != RULE_ALL)
            k++;
        if (k < i) buf_printf(to, shadowed, file_name, rule->line, "retention", i + 1, k + 1);
    }
}

/* Adds a resolution to an ascending list, unless the list has it. False: the list is full. */
static bool
add_resolution(int64_t *list, uint32_t *count, int64_t resolution_ms)
{
    uint32_t at = 0;
    while (at < *count && list[at] < resolution_ms) {
        at++;
    }
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

/* --- the tables ------------------------------------------------------------------------------- */

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

static const struct schema_key root_keys[] = {
    {"downsampling", SCHEMA_MAPPINGS, ITEMS(downsampling_rules, items, count),
     .max = SERIES_RULES_MAX, .may_be_nothing = true, .inner = &rule_schema,
     .help = "which samples are replaced by statistics of windows; for each resolution, the first "
             "rule that matches a series decides"},
    {NULL},
};
const struct schema downsampling_root_schema = {root_keys, sizeof(struct downsampling_rules),
                                                .partial = true, .check = check_rules};

/* --- reading ---------------------------------------------------------------------------------- */

enum err
downsampling_rules_yaml(const char *file_name, struct bytes text, const struct settings *settings,
                        struct downsampling_rules *ret_rules, struct why *why)
{
    struct downsampling_rules read = {NULL};
    const struct root_context root = {settings, file_name, NULL};
    enum err e = root_keys_yaml(&downsampling_root_schema, &root, text, &read, &read.arena, why);
    if (e == OK) *ret_rules = read;
    return e;
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
        if (series_rules_are_alike(&r->series, &rule->series)) return r;
    }
    return NULL;
}

/* --- levels ----------------------------------------------------------------------------------- */

/* Makes the rules of one resolution; `list` has room for all. */
static enum err
make_level(const struct downsampling_rules *rules, int64_t resolution_ms, struct series_rule *list,
           struct tsdb_level *ret_level, struct why *why)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rules->count; i++) {
        if (rules->items[i].resolution_ms == resolution_ms) list[count++] = rules->items[i].series;
    }
    ret_level->resolution_ms = resolution_ms;
    return series_rules_new(list, count, NULL, &ret_level->rules, why);
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
        e = make_level(rules, resolutions[i], list, &limits->levels[i], why);
        if (e == OK) limits->level_count++;
    }
    arena_fini(&arena);
    return e;
}

