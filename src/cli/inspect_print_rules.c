/* inspect_print_rules.c - the state of rules of a storage directory, for people. */
#include "cli/inspect_print.h"
#include "rules/checkpoint.h"

enum { ALERT_STATES = ALERT_FIRING + 1 };

struct rules_sums {
    uint64_t retired; /* groups that left the configuration */
    int64_t next_ns;  /* the earliest evaluation of the others; INT64_MAX: there are none */
    uint64_t alerts[ALERT_STATES];
};

static void
add_group(const struct checkpoint_group *g, struct rules_sums *sums)
{
    if (g->retired_ns != 0)
        sums->retired++;
    else if (g->next_ns < sums->next_ns)
        sums->next_ns = g->next_ns;
    for (uint32_t i = 0; i < g->rule_count; i++) {
        for (uint32_t k = 0; k < g->rules[i].alert_count; k++) {
            sums->alerts[g->rules[i].alerts[k].state]++;
        }
    }
}

static struct report_value
value_time_ns(int64_t ns)
{
    return ns == 0 ? value_none() : value_time(ns / NS_PER_MS);
}

static void
print_tenant(struct report *r, const struct checkpoint_tenant *t)
{
    struct rules_sums sums = {.next_ns = INT64_MAX};
    for (uint32_t i = 0; i < t->group_count; i++) {
        add_group(&t->groups[i], &sums);
    }
    report_row(r, value_view(t->name),
               t->sender_ms == INT64_MIN ? value_none() : value_time(t->sender_ms),
               value_count(t->group_count - sums.retired), value_count(sums.retired),
               sums.next_ns == INT64_MAX ? value_none() : value_time_ns(sums.next_ns),
               value_count(sums.alerts[ALERT_PENDING]), value_count(sums.alerts[ALERT_FIRING]),
               value_count(sums.alerts[ALERT_INACTIVE]));
}

void
inspect_print_rules(struct report *r, const struct checkpoint *rules)
{
    report_section(r, "ruleState", "State of rules");
    report_field(r, "written", "written", value_time_ns(rules->head.written_ns));
    report_field(r, "latest", "latest evaluation", value_time_ns(rules->head.latest_ns));
    report_field(r, "groups", "groups", value_count(rules->group_count));
    report_field(r, "alerts", "alerts", value_count(rules->alert_count));
    report_section_end(r);
    report_table(r, "ruleTenants", "Tenants: state of rules",
                 "tenant|sender=last write|groups|retired=removed groups|next=next "
                 "evaluation|pending|firing|resolved");
    for (uint32_t i = 0; i < rules->tenant_count; i++) {
        print_tenant(r, &rules->tenants[i]);
    }
    report_table_end(r, 0);
}
