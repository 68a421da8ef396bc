/*
 * order.c - in which order groups, and the evaluations of one group, can be replayed: what is read
 * has to be written before, and what is written later must not be read.
 *
 * In rounds, all evaluations of a writer W are made before the first one of its reader R. That is
 * right if R finds nothing that was not there at its time. An evaluation of W at time w has its
 * results at w - W.query_offset, and R at time r reads what is at most at r - R.query_offset:
 *
 *      w - W.query_offset <= r - R.query_offset   <=>   w <= r - (R.query_offset - W.query_offset)
 *
 * With a query_offset of R that is the same or larger, R reads results with w <= r alone: rounds
 * are right. (With w = r a server may evaluate either of the two first.) With a smaller one, R
 * would find results of up to W.query_offset - R.query_offset after its own time, which a server
 * did not have then: the two are evaluated in the order of time. Expressions that read later times
 * than their own (a negative offset, or @) are not looked at.
 */
#include "rules/recorded_names.h"
#include "rules/replay.h"

typedef bool each_name(const struct group *g, uint32_t rule, struct recorded_names *names,
                       uint32_t index);

/* Calls `each` for the names that recording rules of a group may read, until it returns true. */
static bool
any_read(const struct group *g, struct recorded_names *names, each_name *each)
{
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        uint32_t count, index;
        const struct matcher_set *sets = promql_selectors(g->rules[i].tree, &count);
        if (g->rules[i].text->kind != RULE_RECORDING) continue;
        for (uint32_t k = 0; k < count; k++) {
            struct names_read read = {0};
            while (names_read_next(&read, &sets[k], &names->names, &index)) {
                if (each(g, i, names, index)) return true;
            }
        }
    }
    return false;
}

/* --- one group -------------------------------------------------------------------------------- */

static bool
is_written_later(const struct group *g, uint32_t rule, struct recorded_names *names, uint32_t index)
{
    (void)g;
    return names->items[index].last_rule >= rule;
}

bool
group_reads_back(const struct group *g, struct recorded_names *own)
{
    return any_read(g, own, is_written_later);
}

/* --- several ---------------------------------------------------------------------------------- */

static bool
mark_early(const struct group *g, uint32_t rule, struct recorded_names *names, uint32_t index)
{
    struct recorded_name *name = &names->items[index];
    (void)rule;
    name->is_early |= name->offset_ms > g->query_offset_ms;
    return false;
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

/* Another group that has no round records the name. */
static bool
waits_for(const struct group *g, uint32_t rule, struct recorded_names *names, uint32_t index)
{
    uint32_t others = names->items[index].groups;
    (void)rule;
    if (others > 0 && records(g, kept_series_at(&names->names, index))) others--;
    return others > 0;
}

/* It records what a group with a smaller query_offset reads. */
static bool
is_read_early(const struct group *g, const struct recorded_names *names)
{
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        if (g->rules[i].text->kind != RULE_RECORDING) continue;
        if (recorded_names_find(names, bytes_of_text(g->rules[i].text->name))->is_early)
            return true;
    }
    return false;
}

/* Those that need not wait get this round. True: there are any. */
static bool
place_round(struct group *const *groups, uint32_t count, uint32_t round, uint32_t *rounds,
            struct recorded_names *open)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        if (rounds[i] != REPLAY_TOGETHER || is_read_early(groups[i], open)) continue;
        if (any_read(groups[i], open, waits_for)) continue;
        rounds[i] = round;
        any = true;
    }
    /* Only now: what waits for them comes in a later round. */
    for (uint32_t i = 0; i < count; i++) {
        if (rounds[i] == round) recorded_names_remove(open, groups[i]);
    }
    return any;
}

enum err
replay_rounds(struct group *const *groups, uint32_t count, uint32_t *ret_rounds,
              uint32_t *ret_count)
{
    struct recorded_names open; /* and how many groups that have no round record each */
    enum err e = OK;
    *ret_count = 0;
    if (count == 0) return OK;
    recorded_names_init(&open, groups[0]->memory, groups[0]->seed);
    for (uint32_t i = 0; e == OK && i < count; i++) {
        ret_rounds[i] = REPLAY_TOGETHER;
        e = recorded_names_add(&open, groups[i]);
    }
    for (uint32_t i = 0; e == OK && i < count; i++) {
        (void)any_read(groups[i], &open, mark_early);
    }
    while (e == OK && place_round(groups, count, *ret_count, ret_rounds, &open))
        ++*ret_count;
    recorded_names_fini(&open);
    return e;
}
