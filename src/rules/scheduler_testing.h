/* scheduler_testing.h - what simulators look at of a scheduler. For tests only. */
#ifndef RULES_SCHEDULER_TESTING_H
#define RULES_SCHEDULER_TESTING_H

#include <assert.h>

#include "rules/scheduler_private.h"

/* Between two jobs: counts are those of what there is, and entries are where their state belongs.
 */
static inline void
scheduler_check(const struct scheduler *s)
{
    uint32_t catching_up = 0, filling = 0, in_heap = 0, unknown = 0, unmarked = 0;
    for (const struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next) {
        bool retired_is_used = false;
        catching_up += t->state != CATCH_UP_LIVE;
        filling += t->is_filling;
        for (const struct scheduled *e = t->retired; e != NULL; e = e->next) {
            const struct scheduled *next = e->next;
            retired_is_used |= scheduled_is_used(e);
            unmarked += e->mark_ns != NEVER_NS;
            if (next == NULL) continue;
            int order = scheduled_compare(e, next);
            assert(order <= 0);
            assert(order < 0 || next->next_slot < 0); /* one cursor, and the first one has it */
        }
        for (uint32_t i = t->first; i < t->end; i++) {
            assert(s->items[i]->state == SCHEDULED_READY || retired_is_used);
        }
    }
    for (uint32_t i = 0; i < s->count; i++) {
        const struct scheduled *e = s->items[i];
        bool records_live = group_records(e->group) && e->tenant->state == CATCH_UP_LIVE;
        bool is_due = e->is_unknown || e->sends || records_live || group_alarms(e->group);
        bool waits = e->state == SCHEDULED_READY && !e->evaluates;
        assert(waits || !e->is_in_heap);
        assert(e->is_in_heap || !waits || !is_due);
        in_heap += e->is_in_heap;
        unknown += e->is_unknown;
    }
    assert(catching_up == s->catching_up);
    assert(filling == s->filling);
    assert(in_heap == s->due.count);
    assert(unknown == s->unknown);
    assert(unmarked == s->unmarked);
}

#endif
