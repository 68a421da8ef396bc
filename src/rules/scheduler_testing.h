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
    uint32_t catching_up = 0, filling = 0, in_heaps = 0, pending = 0, waiting = 0;
    for (const struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next) {
        catching_up += t->state != CATCH_UP_LIVE;
        filling += t->filling;
        pending += t->pending;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        const struct scheduled *e = s->items[i];
        bool records_live = group_records(e->group) && e->tenant->state == CATCH_UP_LIVE;
        bool is_due = e->state == SCHEDULED_READY && (records_live || group_alarms(e->group));
        bool is_unsettled = e->state == SCHEDULED_NEW || e->state == SCHEDULED_HEIR;
        assert(e->users == (uint32_t)e->evaluates + e->fills);
        assert(!is_due || e->is_in_heap != e->evaluates);
        assert(!e->is_in_heap || e->state == SCHEDULED_READY || e->state == SCHEDULED_UNKNOWN);
        in_heaps += e->is_in_heap;
        waiting += is_unsettled;
    }
    assert(catching_up == s->catching_up);
    assert(filling == s->filling);
    assert(in_heaps == s->due.count + s->restores.count);
    assert(waiting == 0 || pending > 0);
}

#endif
