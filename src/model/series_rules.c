/* series_rules.c - see series_rules.h. */
#include "model/series_rules.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/text/texts.h"
#include "model/select.h"
#include "model/selector.h"

struct known_rule {
    struct series_rule rule; /* first member */
    struct matcher_set set;
};

struct series_rules {
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    struct budget *budget;
    uint64_t serial;
    struct arena arena; /* for all texts and lists */
    uint32_t count;
    struct known_rule *items; /* those of `base` if it is set */
    struct series_rules *base;
    struct series_rules *former[SERIES_RULES_FORMER_MAX];
    uint32_t former_count;
};

void
series_rule_put_tenants(const struct series_rule *rule, struct buf *to)
{
    for (uint32_t i = 0; i < rule->tenant_count; i++) {
        if (i > 0) buf_put_u8(to, ',');
        buf_put_text(to, rule->tenants[i]);
    }
}

static enum err
series_rules_rule_init(struct series_rules *to, const struct series_rule *from,
                       struct known_rule *ret, struct why *why)
{
    struct selector selector;
    enum err e = selector_parse_any(bytes_of_text(from->match), &selector, why);
    if (e) return e;
    size_t size = sizeof(struct matcher *);
    struct matcher **matchers = arena_alloc(&to->arena, (selector.count + 1u) * size);
    const char **tenants = arena_alloc(&to->arena, (from->tenant_count + 1u) * sizeof *tenants);
    const char *match;
    if (!text_copy(&to->arena, from->match, &match) || matchers == NULL || tenants == NULL) {
        selector_fini(&selector);
        return ERR_NOMEM;
    }
    if (selector.count > 0) memcpy(matchers, selector.matchers, selector.count * size);
    ret->set = (struct matcher_set){matchers, selector.count};
    ret->rule = (struct series_rule){match, tenants, from->tenant_count, from->age_ms, from->line};
    to->count++; /* its matchers are freed with the rules from here on */
    for (uint32_t i = 0; i < from->tenant_count; i++)
        if (!text_copy(&to->arena, from->tenants[i], &tenants[i])) return ERR_NOMEM;
    return OK;
}

static struct series_rules *
rules_new(struct budget *budget)
{
    static _Atomic uint64_t last_serial;
    struct series_rules *rules = mem_new(budget, sizeof *rules);
    if (rules == NULL) return NULL;
    atomic_init(&rules->references, 1);
    rules->budget = budget;
    rules->serial = atomic_fetch_add(&last_serial, 1) + 1;
    arena_init(&rules->arena, budget, 0, 0);
    return rules;
}

enum err
series_rules_new(const struct series_rule *from, uint32_t count, struct budget *budget,
                 struct series_rules **ret_rules, struct why *why)
{
    assert(count <= SERIES_RULES_MAX);
    struct series_rules *rules = rules_new(budget);
    if (rules == NULL) return why_set(why, ERR_NOMEM, "not enough memory for rules");
    rules->items = arena_new(&rules->arena, (count + 1u) * sizeof *rules->items);
    enum err e = rules->items == NULL ? ERR_NOMEM : OK;
    for (uint32_t i = 0; i < count && e == OK; i++)
        e = series_rules_rule_init(rules, &from[i], &rules->items[i], why);
    if (e) {
        series_rules_unref(rules);
        return e == ERR_NOMEM ? why_set(why, e, "not enough memory for rules") : e;
    }
    *ret_rules = rules;
    return OK;
}

enum err
series_rules_with(struct series_rules *base, struct series_rules *const *former, uint32_t count,
                  struct budget *budget, struct series_rules **ret_rules)
{
    assert(count <= SERIES_RULES_FORMER_MAX);
    assert(base->base == NULL);
    struct series_rules *rules = rules_new(budget);
    if (rules == NULL) return ERR_NOMEM;
    rules->base = series_rules_ref(base);
    rules->items = base->items;
    rules->count = base->count;
    for (uint32_t i = 0; i < count; i++)
        rules->former[rules->former_count++] = series_rules_ref(former[i]);
    *ret_rules = rules;
    return OK;
}

struct series_rules *
series_rules_ref(struct series_rules *rules)
{
    if (rules != NULL) atomic_fetch_add_explicit(&rules->references, 1, memory_order_relaxed);
    return rules;
}

void
series_rules_unref(struct series_rules *rules)
{
    if (rules == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&rules->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    for (uint32_t i = 0; i < rules->former_count; i++)
        series_rules_unref(rules->former[i]);
    for (uint32_t i = 0; rules->base == NULL && i < rules->count; i++)
        for (uint32_t m = 0; m < rules->items[i].set.count; m++)
            matcher_free(rules->items[i].set.matchers[m]);
    series_rules_unref(rules->base);
    arena_fini(&rules->arena);
    mem_free(rules->budget, rules, sizeof *rules);
}

uint32_t
series_rules_count(const struct series_rules *rules)
{
    return rules == NULL ? 0 : rules->count;
}

const struct series_rule *
series_rules_at(const struct series_rules *rules, uint32_t index)
{
    assert(index < rules->count);
    return &rules->items[index].rule;
}

uint32_t
series_rules_index(const struct series_rules *rules, const struct series_rule *rule)
{
    size_t at = (size_t)((const struct known_rule *)(const void *)rule - rules->items);
    assert(at < rules->count);
    return (uint32_t)at;
}

uint64_t
series_rules_serial(const struct series_rules *rules)
{
    return rules == NULL ? 0 : rules->serial;
}

bool
series_rules_equal(const struct series_rules *a, const struct series_rules *b)
{
    bool same = series_rules_count(a) == series_rules_count(b);
    for (uint32_t i = 0; i < series_rules_count(a) && same; i++) {
        const struct series_rule *x = &a->items[i].rule, *y = &b->items[i].rule;
        same = x->age_ms == y->age_ms && x->tenant_count == y->tenant_count &&
               strcmp(x->match, y->match) == 0;
        for (uint32_t k = 0; k < x->tenant_count && same; k++)
            same = strcmp(x->tenants[k], y->tenants[k]) == 0;
    }
    return same;
}

static bool
is_for_tenant(const struct series_rule *rule, struct bytes tenant)
{
    bool found = rule->tenant_count == 0 || tenant.at == NULL;
    for (uint32_t i = 0; i < rule->tenant_count && !found; i++)
        found = bytes_equal_text(tenant, rule->tenants[i]);
    return found;
}

static const struct series_rule *
first_that_fits(const struct series_rules *rules, struct bytes tenant, struct bytes labels)
{
    for (uint32_t i = 0; i < series_rules_count(rules); i++) {
        const struct known_rule *item = &rules->items[i];
        if (is_for_tenant(&item->rule, tenant) && matcher_set_matches(&item->set, labels))
            return &item->rule;
    }
    return NULL;
}

const struct series_rule *
series_rules_find(const struct series_rules *rules, struct bytes tenant, struct bytes labels,
                  int64_t *ret_age_ms)
{
    assert(tenant.at != NULL);
    const struct series_rule *rule = first_that_fits(rules, tenant, labels);
    if (rule == NULL) return NULL;
    int64_t age_ms = rule->age_ms;
    for (uint32_t i = 0; i < rules->former_count; i++) {
        const struct series_rule *before = first_that_fits(rules->former[i], tenant, labels);
        if (before == NULL) return NULL;
        if (before->age_ms > age_ms) age_ms = before->age_ms;
    }
    *ret_age_ms = age_ms;
    return rule;
}

int64_t
series_rules_least_age_ms(const struct series_rules *rules, struct bytes tenant)
{
    int64_t least_ms = INT64_MAX;
    for (uint32_t i = 0; i < series_rules_count(rules); i++) {
        const struct series_rule *rule = &rules->items[i].rule;
        if (rule->age_ms < least_ms && is_for_tenant(rule, tenant)) least_ms = rule->age_ms;
    }
    for (uint32_t i = 0; rules != NULL && i < rules->former_count; i++) {
        int64_t former_ms = series_rules_least_age_ms(rules->former[i], tenant);
        if (former_ms > least_ms) least_ms = former_ms;
    }
    return least_ms;
}
