/* shown.c - see shown.h. */
#include "relay/shown.h"

/* Of all that a state says is settled. */
static uint64_t
term(const struct relay_state *s, unsigned kind, unsigned fate)
{
    return s->fates.count[kind][fate] + s->ahead.count[kind][fate];
}

/* Repeats are no term of the account, and only rise. An older version's state may have a term below
 * 0 before the cursor, where letters behind it went for want of room: as a sum it is not. */
void
shown_keep(struct relay_state *next, const struct relay_state *before)
{
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        for (unsigned fate = 0; fate < FATE_COUNT; fate++) {
            int64_t left = (int64_t)(term(before, kind, fate) - term(next, kind, fate));
            if (fate_is_term(fate) && left > 0) next->beside.count[kind][fate] += (uint64_t)left;
        }
    }
}

void
shown_keep_taken(struct relay_state *next, const struct relay_state *before)
{
    memset(&next->ahead, 0, sizeof next->ahead);
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
    struct fates all = durable->fates;
    fates_add(&all, &durable->ahead);
    shown->fates = all;
    fates_add(&shown->fates, &durable->beside);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t settled = fates_settled(&all, kind), counted = durable->counted[kind];
        shown->again[kind] = fates_settled(&durable->beside, kind);
        shown->taken[kind] = counted + shown->again[kind];
        shown->fates.count[kind][FATE_OPEN] = counted > settled ? counted - settled : 0;
    }
}
