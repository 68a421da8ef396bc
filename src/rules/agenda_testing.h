/*
 * agenda_testing.h - whether what an agenda has noted of what its groups owe is what they owe. It
 * looks at all of them. For tests.
 */
#ifndef RULES_AGENDA_TESTING_H
#define RULES_AGENDA_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rules/agenda_private.h"

/* What has become too old is only noticed when something is to be made up. */
static inline void
agenda_validate_entry(const struct agenda *a, const struct agenda_entry *e, int64_t now_ns)
{
    int64_t slot, owes_ns = a->owes_ns[e->index];
    bool owes = agenda_oldest_missing(a, e, now_ns, &slot);
    assert_true(a->items[e->index] == e);
    assert_true(e->is_listed);
    assert_true(e->running || e->is_in_due || (e->from != NULL && e->from->running));
    if (owes)
        assert_true(owes_ns <= schedule_time_ns(group_schedule(e->group), slot));
    else
        assert_true(owes_ns == INT64_MAX || e->owed_until_ns <= now_ns);
}

static inline void
agenda_validate(const struct agenda *a, int64_t now_ns)
{
    uint32_t all = 0;
    for (uint32_t k = 0; k < a->tenant_count; k++) {
        const struct agenda_tenant *tenant = &a->tenants[k];
        uint32_t owing = 0, unbegun = 0, may_owe = 0;
        for (uint32_t i = tenant->first; i < tenant->end; i++) {
            const struct agenda_entry *e = a->items[i];
            agenda_validate_entry(a, e, now_ns);
            assert_true(e->tenant == k);
            owing += a->owes_ns[i] != INT64_MAX;
            unbegun += !e->begun;
            may_owe += !e->begun && group_records(e->group);
        }
        assert_true(owing == tenant->owing);
        assert_true(unbegun == tenant->unbegun);
        assert_true(may_owe == tenant->may_owe);
        all += owing;
    }
    assert_true(all == a->owing);
}

#endif
