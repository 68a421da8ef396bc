/*
 * order.c - in which order groups, and the evaluations of one group, can be replayed: what is read
 * has to be written before.
 */
#include "base/array.h"
#include "rules/group_private.h"
#include "rules/replay.h"

/* --- one group -------------------------------------------------------------------------------- */

/* The names that the recording rules of a group write, and the last rule that writes each. */
struct own_names {
    struct kept_series names;
    uint32_t *last;
    uint32_t capacity;
};

static enum err
own_names_add(struct own_names *own, struct budget *memory, struct bytes name, uint32_t rule)
{
    bool is_new;
    uint32_t index;
    if (!array_reserve(memory, &own->last, &own->capacity, (size_t)own->names.count + 1)) {
        return ERR_NOMEM;
    }
    enum err e = kept_series_add(&own->names, name, &is_new);
    if (e == OK && kept_series_find(&own->names, name, &index)) own->last[index] = rule;
    return e;
}

static bool
reads_back(const struct rule_at_work *rule, uint32_t number, const struct own_names *own)
{
    uint32_t count, index;
    const struct matcher_set *sets = promql_selectors(rule->tree, &count);
    for (uint32_t i = 0; i < count; i++) {
        for (struct names_read read = {0}; names_read_next(&read, &sets[i], &own->names, &index);) {
            if (own->last[index] >= number) return true;
        }
    }
    return false;
}

enum err
group_reads_back(const struct group *g, bool *ret)
{
    struct own_names own = {.last = NULL};
    enum err e = OK;
    *ret = false;
    kept_series_init(&own.names, g->memory, g->seed);
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        const struct rule *text = g->rules[i].text;
        if (text->kind != RULE_RECORDING) continue;
        e = own_names_add(&own, g->memory, bytes_of_text(text->name), i);
    }
    for (uint32_t i = 0; e == OK && i < g->text.rule_count && !*ret; i++) {
        if (g->rules[i].text->kind == RULE_RECORDING) *ret = reads_back(&g->rules[i], i, &own);
    }
    kept_series_fini(&own.names);
    array_free(g->memory, own.last, own.capacity);
    return e;
}

/* --- several ---------------------------------------------------------------------------------- */

/* Names that groups record, and how many groups that have no round yet record each. */
struct open_names {
    struct budget *memory;
    struct kept_series names;
    uint32_t *owners;
    uint32_t capacity;
};

/* Adds `by` to each name of the group, once. */
static enum err
count_names(struct open_names *open, const struct group *g, int by)
{
    struct kept_series own;
    kept_series_init(&own, open->memory, g->seed);
    enum err e = group_add_names(g, &own);
    for (uint32_t i = 0; e == OK && i < own.count; i++) {
        bool is_new;
        uint32_t index = 0;
        size_t wanted = (size_t)open->names.count + 1;
        if (!array_reserve(open->memory, &open->owners, &open->capacity, wanted)) {
            e = ERR_NOMEM;
            break;
        }
        e = kept_series_add(&open->names, kept_series_at(&own, i), &is_new);
        if (e == OK && kept_series_find(&open->names, kept_series_at(&own, i), &index)) {
            open->owners[index] = is_new ? 1 : open->owners[index] + (uint32_t)by;
        }
    }
    kept_series_fini(&own);
    return e;
}

static bool
records(const struct group *g, struct bytes name)
{
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        const struct rule *rule = g->rules[i].text;
        if (rule->kind == RULE_RECORDING && bytes_equal_text(name, rule->name)) return true;
    }
    return false;
}

/* Whether it reads what another group records that has no round yet. */
static bool
waits(const struct group *g, const struct open_names *open)
{
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        uint32_t count, index;
        const struct matcher_set *sets = promql_selectors(g->rules[i].tree, &count);
        if (g->rules[i].text->kind != RULE_RECORDING) continue;
        for (uint32_t k = 0; k < count; k++) {
            struct names_read read = {0};
            while (names_read_next(&read, &sets[k], &open->names, &index)) {
                uint32_t others = open->owners[index];
                if (others > 0 && records(g, kept_series_at(&open->names, index))) others--;
                if (others > 0) return true;
            }
        }
    }
    return false;
}

/* Those that need not wait get this round. *ret_any: there are any. */
static enum err
place_round(struct group *const *groups, uint32_t count, uint32_t round, uint32_t *rounds,
            struct open_names *open, bool *ret_any)
{
    enum err e = OK;
    *ret_any = false;
    for (uint32_t i = 0; i < count; i++) {
        if (rounds[i] != REPLAY_TOGETHER || waits(groups[i], open)) continue;
        rounds[i] = round;
        *ret_any = true;
    }
    /* Only now: what waits for them comes in a later round. */
    for (uint32_t i = 0; e == OK && i < count; i++) {
        if (rounds[i] == round) e = count_names(open, groups[i], -1);
    }
    return e;
}

enum err
replay_rounds(struct group *const *groups, uint32_t count, uint32_t *ret_rounds,
              uint32_t *ret_count)
{
    struct open_names open = {.owners = NULL};
    enum err e = OK;
    bool any = count > 0;
    *ret_count = 0;
    if (count == 0) return OK;
    open.memory = groups[0]->memory;
    kept_series_init(&open.names, open.memory, groups[0]->seed);
    for (uint32_t i = 0; e == OK && i < count; i++) {
        ret_rounds[i] = REPLAY_TOGETHER;
        e = count_names(&open, groups[i], 1);
    }
    while (e == OK && any) {
        e = place_round(groups, count, *ret_count, ret_rounds, &open, &any);
        *ret_count += any;
    }
    kept_series_fini(&open.names);
    array_free(open.memory, open.owners, open.capacity);
    return e;
}
