/*
 * depends.c - finds the rules of a group that may run together: neighbours of which none reads or
 * writes what another one writes.
 *
 * Invariants:
 *  1. The numbers of batches begin at 0, and rise by 1 from a batch to the next.
 *  2. A batch has RULE_BATCH_MAX rules at most.
 *  3. same_before is an earlier rule of the same kind and name, and the nearest one.
 */
#include <assert.h>

#include "base/hash/hash.h"
#include "rules/group/group.h"

static bool
reads(const struct rule_at_work *reader, const struct rule_at_work *writer)
{
    uint32_t count;
    const struct matcher_set *sets = promql_selectors(reader->tree, &count);
    const struct named_texts *texts[] = {&reader->text->labels, &reader->text->annotations};
    for (size_t k = 0; k < 2 && reader->text->kind == RULE_ALERTING; k++) {
        for (uint32_t i = 0; i < texts[k]->count; i++) { /* templates may run any query */
            if (strstr(texts[k]->items[i].value, "query") != NULL) return true;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        for (size_t k = 0; k < 2 && writer->writes[k].at != NULL; k++) {
            if (recorded_may_select(&sets[i], writer->writes[k])) return true;
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
    struct table names = {NULL}; /* index of the last rule of each name so far */
    if (!table_reserve(&names, g->memory, g->text.rule_count)) return ERR_NOMEM;
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        uint64_t hash = hash_bytes(bytes_of_text(rule->text->name), g->seed);
        for (uint32_t at = TABLE_START, id; table_next(&names, hash, &at, &id);) {
            if (!write_the_same(rule, &g->rules[id])) continue;
            rule->same_before = &g->rules[id];
            assert(rule->same_before < rule); /* invariant 3 */
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
    uint32_t first = 0, batch = 0; /* first rule and number of the current batch */
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
        assert(i - first < RULE_BATCH_MAX);                   /* invariant 2 */
        assert(i == 0 || batch - g->rules[i - 1].batch <= 1); /* invariant 1 */
    }
    return find_shared_names(g);
}

/* --- groups ----------------------------------------------------------------------------------- */

static enum err
add_recorded(const struct rule_at_work *rule, struct recorded *to)
{
    uint32_t index;
    bool is_new;
    if (rule->text->kind != RULE_RECORDING) return OK;
    return recorded_add(to, rule->writes[0], &index, &is_new);
}

enum err
group_add_recorded(const struct group *g, struct recorded *to)
{
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        e = add_recorded(&g->rules[i], to);
    }
    return e;
}

static bool
reads_recorded(const struct rule_at_work *rule, struct recorded *recorded, uint32_t *tries)
{
    uint32_t count, index;
    const struct matcher_set *sets = promql_selectors(rule->tree, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = recorded_first(recorded, &sets[i]);
        if (recorded_next(recorded, &sets[i], &at, tries, &index)) return true;
    }
    return false;
}

bool
group_reads_recorded(const struct group *g, struct recorded *recorded, uint32_t *tries)
{
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        if (reads_recorded(&g->rules[i], recorded, tries)) return true;
    }
    return false;
}

/* Walks from the last rule to the first, so that `recorded` has the names that a rule and later
 * ones record. */
enum err
group_find_reads_back(struct group *g)
{
    struct recorded recorded;
    uint32_t tries = SETS_TRIED_MAX;
    enum err e = OK;
    recorded_init(&recorded, g->memory, g->seed);
    for (uint32_t i = g->text.rule_count; e == OK && !g->reads_back && i-- > 0;) {
        const struct rule_at_work *rule = &g->rules[i];
        e = add_recorded(rule, &recorded);
        if (e == OK && rule->text->kind == RULE_RECORDING)
            g->reads_back = reads_recorded(rule, &recorded, &tries);
    }
    recorded_fini(&recorded);
    return e;
}
