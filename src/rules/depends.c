/*
 * depends.c - which rules of a group may run together: neighbours of which none reads or writes
 * what another one writes.
 */
#include "base/hash.h"
#include "rules/group_private.h"

/* The names of series that a rule writes. */
static uint32_t
written_names(const struct rule_at_work *rule, struct bytes names[2])
{
    if (rule->text->kind == RULE_RECORDING) {
        names[0] = bytes_of_text(rule->text->name);
        return 1;
    }
    names[0] = bytes_of_text("ALERTS");
    names[1] = bytes_of_text("ALERTS_FOR_STATE");
    return 2;
}

/* The value that all series of a rule have under a label; `at` NULL if that is not certain. */
static struct bytes
certain_value(const struct rule_at_work *rule, struct bytes name)
{
    if (rule->text->kind == RULE_ALERTING) {
        bool is_name = bytes_equal_text(name, "alertname");
        return is_name ? bytes_of_text(rule->text->name) : (struct bytes){NULL, 0};
    }
    for (uint32_t i = 0; i < rule->label_count; i++) {
        if (bytes_equal(rule->labels[i].name, name)) return rule->labels[i].value;
    }
    return (struct bytes){NULL, 0};
}

/* Says whether a selector may select a series of this name that the rule writes. */
static bool
may_select(const struct matcher_set *set, const struct rule_at_work *writer, struct bytes name)
{
    for (uint32_t i = 0; i < set->count; i++) {
        struct bytes label = matcher_name(set->matchers[i]);
        struct bytes value =
            bytes_equal_text(label, "__name__") ? name : certain_value(writer, label);
        if (value.at != NULL && !matcher_matches(set->matchers[i], value)) return false;
    }
    return true;
}

/* Texts of alerts may ask whatever they like. */
static bool
asks_in_templates(const struct rule *rule)
{
    const struct named_texts *texts[] = {&rule->labels, &rule->annotations};
    for (size_t k = 0; k < 2; k++) {
        for (uint32_t i = 0; rule->kind == RULE_ALERTING && i < texts[k]->count; i++) {
            if (strstr(texts[k]->items[i].value, "query") != NULL) return true;
        }
    }
    return false;
}

static bool
reads(const struct rule_at_work *reader, const struct rule_at_work *writer)
{
    struct bytes names[2];
    uint32_t name_count = written_names(writer, names), set_count;
    const struct matcher_set *sets = promql_selectors(reader->tree, &set_count);
    if (asks_in_templates(reader->text)) return true;
    for (uint32_t i = 0; i < set_count; i++) {
        for (uint32_t k = 0; k < name_count; k++) {
            if (may_select(&sets[i], writer, names[k])) return true;
        }
    }
    return false;
}

static bool
write_the_same(const struct rule_at_work *a, const struct rule_at_work *b)
{
    return a->text->kind == b->text->kind && strcmp(a->text->name, b->text->name) == 0;
}

static enum err
find_shared_names(struct group *g)
{
    struct table names = {NULL}; /* the last rule of each, so far */
    if (!table_reserve(&names, g->memory, g->text.rule_count)) return ERR_NOMEM;
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        uint64_t hash = hash_bytes(bytes_of_text(rule->text->name), g->seed);
        for (uint32_t at = TABLE_START, id; table_next(&names, hash, &at, &id);) {
            if (!write_the_same(rule, &g->rules[id])) continue;
            rule->same_before = &g->rules[id];
            table_remove(&names, hash, id);
            break;
        }
        table_add(&names, hash, i);
    }
    table_fini(&names, g->memory);
    return OK;
}

enum err
group_make_batches(struct group *g)
{
    uint32_t first = 0, batch = 0; /* of the current batch */
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        bool alone = i - first >= RULE_BATCH_MAX;
        for (uint32_t k = first; k < i && !alone; k++) {
            const struct rule_at_work *before = &g->rules[k];
            bool same = write_the_same(rule, before);
            alone = same || reads(rule, before) || reads(before, rule);
        }
        if (alone) {
            batch++;
            first = i;
        }
        rule->batch = batch;
    }
    return find_shared_names(g);
}

/* --- groups ----------------------------------------------------------------------------------- */

static bool
may_have_name(const struct matcher_set *set, struct bytes name)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct matcher *m = set->matchers[i];
        bool is_name = bytes_equal_text(matcher_name(m), "__name__");
        if (is_name && !matcher_matches(m, name)) return false;
    }
    return true;
}

/* The only name that a selector may have, if it says so. NULL: it does not. */
static const struct matcher *
given_name(const struct matcher_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct matcher *m = set->matchers[i];
        bool is_name = bytes_equal_text(matcher_name(m), "__name__");
        if (is_name && matcher_type(m) == MATCH_EQUAL) return m;
    }
    return NULL;
}

/* `tries` counts comparisons of selectors that give no name; after that they may select any. */
static bool
selects_any(const struct matcher_set *set, const struct kept_series *names, uint32_t *tries)
{
    const struct matcher *given = given_name(set);
    if (given != NULL) {
        struct bytes name = matcher_pattern(given);
        return kept_series_has(names, name) && may_have_name(set, name);
    }
    for (uint32_t i = 0; i < names->count; i++) {
        if (*tries == 0) return true;
        --*tries;
        if (may_have_name(set, kept_series_at(names, i))) return true;
    }
    return false;
}

static bool
reads_any(const struct rule_at_work *rule, const struct kept_series *names, uint32_t *tries)
{
    uint32_t count;
    const struct matcher_set *sets = promql_selectors(rule->tree, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (selects_any(&sets[i], names, tries)) return true;
    }
    return false;
}

bool
group_reads_any(const struct group *g, const struct kept_series *names, uint32_t *tries)
{
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        if (reads_any(&g->rules[i], names, tries)) return true;
    }
    return false;
}

/* The rule reads what itself or a later rule of the group records. */
static bool
reads_later(const struct group *g, uint32_t rule, uint32_t *tries)
{
    for (uint32_t i = rule; i < g->text.rule_count; i++) {
        if (g->rules[i].text->kind != RULE_RECORDING) continue;
        if (*tries == 0) return true;
        --*tries;
        if (reads(&g->rules[rule], &g->rules[i])) return true;
    }
    return false;
}

/* From the last rule to the first: each is compared with the names of itself and those after it,
 * and, if it reads one of them, with these rules. */
enum err
group_find_reads_back(struct group *g)
{
    struct kept_series names;
    uint32_t tries = NAME_TRIES_MAX;
    enum err e = OK;
    kept_series_init(&names, g->memory, g->seed);
    for (uint32_t i = g->text.rule_count; e == OK && !g->reads_back && i-- > 0;) {
        const struct rule_at_work *rule = &g->rules[i];
        bool is_new;
        if (rule->text->kind != RULE_RECORDING) continue;
        e = kept_series_add(&names, bytes_of_text(rule->text->name), &is_new);
        g->reads_back = reads_any(rule, &names, &tries) && reads_later(g, i, &tries);
    }
    kept_series_fini(&names);
    return e;
}

enum err
group_add_names(const struct group *g, struct kept_series *names)
{
    enum err e = OK;
    bool is_new;
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        struct bytes name = bytes_of_text(g->rules[i].text->name);
        if (g->rules[i].text->kind == RULE_RECORDING) e = kept_series_add(names, name, &is_new);
    }
    return e;
}
