/*
 * order.c - the order in which groups are replayed: results that a group reads must be written
 * first, and later ones must not exist.
 *
 * In rounds, all evaluations of a writer W are made before the first one of its reader R. An
 * evaluation of W at time w has its results at w - W.query_offset, and R at time r reads samples up
 * to r - R.query_offset:
 *
 *      w - W.query_offset <= r - R.query_offset   <=>   w <= r - (R.query_offset - W.query_offset)
 *
 * If the query_offset of R is the same or larger, R finds results with w <= r alone, and many of
 * its evaluations can be made at once. (With w = r a server may evaluate either of the two first.)
 * If it is smaller, R would find results of up to W.query_offset - R.query_offset after its own
 * time, which a server did not have then: R and W go by time. Expressions that read later times
 * than their own (a negative offset, or @) are ignored.
 *
 * The rounds are a topological order. Its nodes are the groups and the sets of series that they
 * record (rules/group/group.h), so that many groups that record and read the same need few edges. A
 * set is complete when all groups that record it have a round. A group has a round when all sets
 * that it reads are complete; a set that it records itself, when it is the only one left. Groups
 * that go by time wait for ever. So do, as a consequence, groups that read each other, and all
 * groups that read their results: groups without a round are replayed together, in the order of
 * time.
 *
 * Invariants:
 *  1. A group gets a round once, when it waits for nothing.
 *  2. `left` of a set is the number of groups that record it and have no round.
 */
#include "rules/replay/replay.h"

#include <assert.h>

#include "base/array.h"
#include "rules/group/group.h"

enum {
    NONE = UINT32_MAX,
    TRIES_MAX = 4000000, /* selectors compared with sets; later ones read any set */
};

/* A set of series that groups record. */
struct recorded_set {
    uint32_t left;            /* groups that record it and have no round */
    uint32_t last;            /* number + 1 of the group visited last */
    uint32_t first;           /* its first edge; NONE */
    int64_t writer_offset_ms; /* the largest query_offset of groups that record it, */
    int64_t reader_offset_ms; /* and the smallest query_offset of groups that read it */
};

/* An edge: a group waits for a set. */
struct order_edge {
    uint32_t reader, next;
    bool is_own; /* the group records the set, too */
};

struct order_group {
    struct group *group;
    uint32_t waits;  /* edges to the group from sets that are not complete */
    uint32_t end;    /* end of the group's sets in `recorded` */
    uint32_t queued; /* members[i].queued is the group that was the i-th to get a round */
};

struct order {
    uint32_t count, queued;
    struct order_group *members;
    uint32_t *rounds;           /* round of each group */
    uint32_t *recorded;         /* indexes of the sets that groups record, group after group */
    struct recorded_set *items; /* as `sets` numbers them */
    struct order_edge *edges;
    uint32_t recorded_count, recorded_capacity, item_capacity, edge_count, edge_capacity;
    struct recorded sets;
    uint32_t tries;        /* see recorded_next() */
    int64_t any_offset_ms; /* the smallest query_offset of groups that may read any set */
    struct budget *memory;
};

/* --- the graph -------------------------------------------------------------------------------- */

static enum err
add_recorded(struct order *o, uint32_t g)
{
    const struct group *group = o->members[g].group;
    for (uint32_t i = 0; i < group->text.rule_count; i++) {
        size_t recorded = (size_t)o->recorded_count + 1;
        size_t sets = (size_t)o->sets.sets.count + 1;
        uint32_t index;
        bool is_new;
        if (group->rules[i].text->kind != RULE_RECORDING) continue;
        if (!array_reserve(o->memory, &o->recorded, &o->recorded_capacity, recorded) ||
            !array_reserve(o->memory, &o->items, &o->item_capacity, sets) ||
            recorded_add(&o->sets, group->rules[i].writes[0], &index, &is_new))
            return ERR_NOMEM;
        assert(index < o->item_capacity);
        struct recorded_set *n = &o->items[index];
        if (is_new) *n = (struct recorded_set){0, 0, NONE, INT64_MIN, INT64_MAX};
        if (n->last == g + 1) continue; /* an earlier rule of the group records it, too */
        n->last = g + 1;
        n->left++;
        if (group->query_offset_ms > n->writer_offset_ms)
            n->writer_offset_ms = group->query_offset_ms;
        o->recorded[o->recorded_count++] = index;
    }
    o->members[g].end = o->recorded_count;
    return OK;
}

static uint32_t
first_recorded(const struct order *o, uint32_t g)
{
    return g == 0 ? 0 : o->members[g - 1].end;
}

static enum err
add_edge(struct order *o, uint32_t g, uint32_t index)
{
    int64_t offset_ms = o->members[g].group->query_offset_ms;
    struct recorded_set *n = &o->items[index];
    bool is_own = n->last == g + 1;
    if (offset_ms < n->reader_offset_ms) n->reader_offset_ms = offset_ms;
    if (n->writer_offset_ms > offset_ms) o->members[g].waits++; /* for ever: it goes by time */
    if (is_own && n->left == 1) return OK;                      /* no other group records it */
    if (!array_reserve(o->memory, &o->edges, &o->edge_capacity, (size_t)o->edge_count + 1))
        return ERR_NOMEM;
    o->edges[o->edge_count] = (struct order_edge){g, n->first, is_own};
    n->first = o->edge_count++;
    o->members[g].waits++;
    return OK;
}

static enum err
add_read(struct order *o, uint32_t g)
{
    const struct group *group = o->members[g].group;
    enum err e = OK;
    for (uint32_t i = first_recorded(o, g); i < o->members[g].end; i++)
        o->items[o->recorded[i]].last = g + 1;
    for (uint32_t i = 0; i < group->text.rule_count; i++) {
        uint32_t count, index;
        const struct matcher_set *sets = promql_selectors(group->rules[i].tree, &count);
        if (group->rules[i].text->kind != RULE_RECORDING) continue;
        for (uint32_t k = 0; e == OK && k < count; k++) {
            uint32_t at = recorded_first(&o->sets, &sets[k]);
            while (e == OK && recorded_next(&o->sets, &sets[k], &at, &o->tries, &index)) {
                if (index != RECORDED_ANY) {
                    e = add_edge(o, g, index);
                    continue;
                }
                o->members[g].waits++; /* for ever: it may read any set, and goes by time */
                if (group->query_offset_ms < o->any_offset_ms)
                    o->any_offset_ms = group->query_offset_ms;
            }
        }
    }
    return e;
}

/* --- rounds ----------------------------------------------------------------------------------- */

static void
order_place(struct order *o, uint32_t g, uint32_t round)
{
    assert(o->rounds[g] == REPLAY_TOGETHER); /* invariant 1 */
    assert(o->members[g].waits == 0);        /* invariant 1 */
    assert(o->queued < o->count);
    o->rounds[g] = round;
    o->members[o->queued++].queued = g;
}

/* The group has a round: groups that waited only for it come in the next one. */
static void
release_readers(struct order *o, uint32_t g)
{
    for (uint32_t i = first_recorded(o, g); i < o->members[g].end; i++) {
        struct recorded_set *n = &o->items[o->recorded[i]];
        assert(n->left > 0); /* invariant 2 */
        if (--n->left > 1) continue;
        for (uint32_t k = n->first; k != NONE; k = o->edges[k].next) {
            const struct order_edge *edge = &o->edges[k];
            if (edge->is_own != (n->left == 1)) continue;
            assert(o->members[edge->reader].waits > 0); /* invariant 1 */
            if (--o->members[edge->reader].waits == 0)
                order_place(o, edge->reader, o->rounds[g] + 1);
        }
    }
}

enum err
replay_rounds(struct group *const *groups, uint32_t count, uint32_t *ret_rounds,
              uint32_t *ret_count)
{
    *ret_count = 0;
    if (count == 0) return OK;
    struct budget *memory = groups[0]->memory;
    struct order o = {.count = count,
                      .members = mem_new(memory, count * sizeof *o.members),
                      .rounds = ret_rounds,
                      .tries = TRIES_MAX,
                      .any_offset_ms = INT64_MAX,
                      .memory = memory};
    enum err e = o.members == NULL ? ERR_NOMEM : OK;
    recorded_init(&o.sets, memory, groups[0]->seed);
    for (uint32_t g = 0; e == OK && g < count; g++) {
        o.members[g].group = groups[g];
        e = add_recorded(&o, g);
    }
    for (uint32_t g = 0; e == OK && g < count; g++)
        e = add_read(&o, g);
    /* Writers of sets that groups by time read wait for ever, too. */
    for (uint32_t g = 0; e == OK && g < o.count; g++) {
        int64_t offset_ms = o.members[g].group->query_offset_ms;
        for (uint32_t i = first_recorded(&o, g); i < o.members[g].end; i++) {
            int64_t reader_offset_ms = o.items[o.recorded[i]].reader_offset_ms;
            if (reader_offset_ms < offset_ms || o.any_offset_ms < offset_ms) o.members[g].waits++;
        }
    }
    for (uint32_t g = 0; e == OK && g < count; g++) {
        ret_rounds[g] = REPLAY_TOGETHER;
        if (o.members[g].waits == 0) order_place(&o, g, 0);
    }
    for (uint32_t i = 0; e == OK && i < o.queued; i++) {
        release_readers(&o, o.members[i].queued);
        *ret_count = ret_rounds[o.members[i].queued] + 1;
    }
    mem_free(memory, o.members, count * sizeof *o.members);
    array_free(memory, o.recorded, o.recorded_capacity);
    array_free(memory, o.items, o.item_capacity);
    array_free(memory, o.edges, o.edge_capacity);
    recorded_fini(&o.sets);
    return e;
}
