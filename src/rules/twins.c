/*
 * twins.c - see twins.h.
 *
 * Rules with alerts of one name are sorted by the milliseconds of their evaluations, as far as all
 * of their intervals have these in common; those next to each other are compared by their labels.
 */
#include "rules/twins.h"

#include <stdlib.h>
#include <string.h>

#include "sys/env.h"

enum { COMPARED_MAX = 64 }; /* of one name at one time; of more all are twins */

struct rule_time {
    struct rule_at_work *rule;
    const struct twin_group *of;
    int64_t interval_ms, at_ms;
};

static int
compare_names(const void *a, const void *b)
{
    const struct rule_time *x = a, *y = b;
    int order = bytes_compare(x->of->group->tenant, y->of->group->tenant);
    return order != 0 ? order : strcmp(x->rule->text->name, y->rule->text->name);
}

static int
compare_times(const void *a, const void *b)
{
    const struct rule_time *x = a, *y = b;
    if (x->at_ms != y->at_ms) return x->at_ms < y->at_ms ? -1 : 1;
    return 0;
}

static int64_t
common_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Whether each alert of the one differs from each of the other. Labels are in order. */
static bool
differ(const struct rule_at_work *a, const struct rule_at_work *b)
{
    for (uint32_t i = 0, k = 0; i < a->label_count && k < b->label_count;) {
        const struct label *x = &a->labels[i], *y = &b->labels[k];
        int order = bytes_compare(x->name, y->name);
        if (order == 0 && !may_be_template(x->value) && !may_be_template(y->value) &&
            !bytes_equal(x->value, y->value)) {
            return true;
        }
        i += order <= 0;
        k += order >= 0;
    }
    return false;
}

static void
mark(const struct rule_time *t)
{
    if (t->of->is_new) t->rule->has_twin = true;
}

/* Of one name at one time. */
static void
mark_at_one_time(const struct rule_time *items, uint32_t count)
{
    bool are_of_several = false, are_compared = count <= COMPARED_MAX;
    for (uint32_t i = 1; i < count; i++) {
        are_of_several |= items[i].of != items[0].of;
    }
    for (uint32_t i = 0; are_of_several && i < count; i++) {
        if (!are_compared) mark(&items[i]);
        for (uint32_t k = i + 1; are_compared && k < count; k++) {
            if (items[i].of == items[k].of || differ(items[i].rule, items[k].rule)) continue;
            mark(&items[i]);
            mark(&items[k]);
        }
    }
}

/* Of one name. */
static void
mark_among(struct rule_time *items, uint32_t count)
{
    int64_t common = 0;
    uint32_t first, next;
    for (uint32_t i = 0; i < count; i++) {
        common = common_divisor(items[i].interval_ms, common);
    }
    for (uint32_t i = 0; i < count; i++) {
        items[i].at_ms = (items[i].at_ms % common + common) % common;
    }
    qsort(items, count, sizeof *items, compare_times);
    for (first = 0; first < count; first = next) {
        for (next = first + 1; next < count && items[next].at_ms == items[first].at_ms;) {
            next++;
        }
        mark_at_one_time(items + first, next - first);
    }
}

static uint32_t
fill(struct rule_time *items, const struct twin_group *groups, uint32_t count)
{
    uint32_t filled = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct group *g = groups[i].group;
        for (uint32_t k = 0; k < g->text.rule_count; k++) {
            if (g->rules[k].text->kind != RULE_ALERTING) continue;
            items[filled++] = (struct rule_time){
                .rule = &g->rules[k],
                .of = &groups[i],
                .interval_ms = g->schedule.interval_ns / NS_PER_MS,
                .at_ms = g->schedule.shift_ns / NS_PER_MS - g->query_offset_ms,
            };
        }
    }
    return filled;
}

enum err
twins_mark(struct budget *memory, const struct twin_group *groups, uint32_t count)
{
    size_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        most += groups[i].group->text.rule_count;
    }
    if (most == 0) return OK;
    struct rule_time *items = mem_new(memory, most * sizeof *items);
    if (items == NULL) return ERR_NOMEM;
    uint32_t filled = fill(items, groups, count), first, next;
    if (filled > 1) qsort(items, filled, sizeof *items, compare_names);
    for (first = 0; first < filled; first = next) {
        for (next = first + 1; next < filled && compare_names(&items[first], &items[next]) == 0;) {
            next++;
        }
        if (next - first > 1) mark_among(items + first, next - first);
    }
    mem_free(memory, items, most * sizeof *items);
    return OK;
}
