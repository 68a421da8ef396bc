/* shown.c - see shown.h. */
#include "relay/shown.h"

/* Repeats are no term of the account, and only rise. */
static bool
is_term(unsigned fate)
{
    return fate == FATE_DELIVERED || fate == FATE_DEAD_LETTERED || fate >= FATE_DROPPED;
}

void
shown_keep(struct relay_state *next, const struct relay_state *before)
{
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        const uint64_t *was = before->fates.count[kind], *is = next->fates.count[kind];
        for (unsigned fate = 0; fate < FATE_COUNT; fate++) {
            if (!is_term(fate) || is[fate] >= was[fate]) continue;
            next->beside.count[kind][fate] += was[fate] - is[fate];
        }
    }
}

void
shown_keep_taken(struct relay_state *next, const struct relay_state *before)
{
    shown_keep(next, before);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t again = fates_settled(&next->beside, kind) - fates_settled(&before->beside, kind);
        uint64_t counted = before->counted[kind] > again ? before->counted[kind] - again : 0;
        if (next->counted[kind] < counted) next->counted[kind] = counted;
    }
}

void
shown_set(struct shown *shown, const struct relay_state *durable)
{
    shown->fates = durable->fates;
    fates_add(&shown->fates, &durable->beside);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t settled = fates_settled(&durable->fates, kind), counted = durable->counted[kind];
        shown->again[kind] = fates_settled(&durable->beside, kind);
        shown->taken[kind] = counted + shown->again[kind];
        shown->fates.count[kind][FATE_OPEN] = counted > settled ? counted - settled : 0;
    }
}
