/*
 * order.c - in which order groups, and the evaluations of one group, can be replayed: what is read
 * has to be written before, and what is written later must not be read.
 *
 * In rounds, all evaluations of a writer W are made before the first one of its reader R. An
 * evaluation of W at time w has its results at w - W.query_offset, and R at time r reads what is at
 * most at r - R.query_offset:
 *
 *      w - W.query_offset <= r - R.query_offset   <=>   w <= r - (R.query_offset - W.query_offset)
 *
 * If the query_offset of R is the same or larger, R finds results with w <= r alone, and many of
 * its evaluations can be made at once. (With w = r a server may evaluate either of the two first.)
 * If it is smaller, R finds results of up to W.query_offset - R.query_offset after its own time,
 * which a server did not have then. What has to be hidden differs from evaluation to evaluation: R
 * is evaluated one by one, in a view that has results of such names up to r - W.query_offset
 * (as_of.h). Expressions that read later times than their own (a negative offset, or @) are not
 * looked at.
 *
 * Groups that read what each other record are evaluated together, in the order of time.
 */
#include "rules/group_private.h"
#include "rules/replay.h"

typedef bool each_name(void *context, const struct group *g, uint32_t rule, struct bytes name,
                       const struct recorded_name *recorded);

/* Calls `each` for the names that recording rules of a group may read, until it returns true. */
static bool
any_read(const struct group *g, const struct recorded_names *names, each_name *each, void *context)
{
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        uint32_t count, index;
        const struct matcher_set *sets = promql_selectors(g->rules[i].tree, &count);
        if (g->rules[i].text->kind != RULE_RECORDING) continue;
        for (uint32_t k = 0; k < count; k++) {
            struct names_read read = {0};
            while (names_read_next(&read, &sets[k], &names->names, &index)) {
                struct bytes name = kept_series_at(&names->names, index);
                if (each(context, g, i, name, &names->items[index])) return true;
            }
        }
    }
    return false;
}

/* --- one group -------------------------------------------------------------------------------- */

static bool
is_written_later(void *context, const struct group *g, uint32_t rule, struct bytes name,
                 const struct recorded_name *recorded)
{
    (void)context, (void)g, (void)name;
    return recorded->last_rule >= rule;
}

bool
group_reads_back(const struct group *g, const struct recorded_names *own)
{
    return any_read(g, own, is_written_later, NULL);
}

/* --- several ---------------------------------------------------------------------------------- */

/* True: there is no memory for it. */
static bool
note_early(void *context, const struct group *g, uint32_t rule, struct bytes name,
           const struct recorded_name *recorded)
{
    (void)rule;
    return recorded->offset_ms > g->query_offset_ms &&
           recorded_names_put(context, name, recorded->offset_ms);
}

static enum err
find_early(const struct group *g, const struct recorded_names *names, struct recorded_names *ret)
{
    recorded_names_fini(ret);
    recorded_names_init(ret, g->memory, g->seed);
    return any_read(g, names, note_early, ret) ? ERR_NOMEM : OK;
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
waits_for(void *context, const struct group *g, uint32_t rule, struct bytes name,
          const struct recorded_name *recorded)
{
    uint32_t others = recorded->groups;
    (void)context, (void)rule;
    if (others > 0 && records(g, name)) others--;
    return others > 0;
}

/* Those that need not wait get this round. True: there are any. */
static bool
place_round(struct group *const *groups, uint32_t count, uint32_t round, uint32_t *rounds,
            struct recorded_names *open)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        if (rounds[i] != REPLAY_TOGETHER || any_read(groups[i], open, waits_for, NULL)) continue;
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
              uint32_t *ret_count, struct recorded_names *early)
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
        e = find_early(groups[i], &open, early == NULL ? &groups[i]->early : &early[i]);
    }
    while (e == OK && place_round(groups, count, *ret_count, ret_rounds, &open))
        ++*ret_count;
    recorded_names_fini(&open);
    return e;
}
