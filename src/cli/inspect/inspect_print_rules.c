/* inspect_print_rules.c - prints the state of rules of a storage directory. */
#include "cli/inspect/inspect_print.h"
#include "rules/schedule/checkpoint.h"

enum { ALERT_STATES = ALERT_FIRING + 1 };

/* Numbers of groups and alerts of one tenant. */
struct rules_sums {
    struct bytes tenant; /* at == NULL: no tenant so far */
    int64_t sender_ms;
    uint64_t groups;  /* groups in the configuration */
    uint64_t retired; /* groups that left the configuration */
    int64_t next_ns;  /* the earliest evaluation of the configured ones; INT64_MAX: no group is
                         configured */
    uint64_t alerts[ALERT_STATES];
};

static struct report_value
value_time_ns(int64_t ns)
{
    return ns == 0 ? value_none() : value_time(ns / NS_PER_MS);
}

static void
print_tenant(struct report *r, const struct rules_sums *sums)
{
    if (sums->tenant.at == NULL) return;
    report_row(r, value_view(sums->tenant),
               sums->sender_ms == INT64_MIN ? value_none() : value_time(sums->sender_ms),
               value_count(sums->groups), value_count(sums->retired),
               sums->next_ns == INT64_MAX ? value_none() : value_time_ns(sums->next_ns),
               value_count(sums->alerts[ALERT_PENDING]), value_count(sums->alerts[ALERT_FIRING]),
               value_count(sums->alerts[ALERT_INACTIVE]));
}

static void
print_tenants(struct report *r, struct checkpoint_reader *rules)
{
    struct checkpoint_record record;
    struct rules_sums sums = {.tenant = {NULL, 0}};
    while (checkpoint_next(rules, &record)) {
        if (record.kind == CHECKPOINT_TENANT) {
            print_tenant(r, &sums);
            sums = (struct rules_sums){.tenant = record.tenant.name,
                                       .sender_ms = record.tenant.sender_ms,
                                       .next_ns = INT64_MAX};
        } else if (record.kind == CHECKPOINT_GROUP && record.group.retired_ns != 0) {
            sums.retired++;
        } else if (record.kind == CHECKPOINT_GROUP) {
            sums.groups++;
            if (record.group.next_ns < sums.next_ns) sums.next_ns = record.group.next_ns;
        } else if (record.kind == CHECKPOINT_ALERT) {
            sums.alerts[record.alert.was.state]++;
        }
    }
    print_tenant(r, &sums);
}

void
inspect_print_rules(struct report *r, struct checkpoint_reader *rules)
{
    report_section(r, "ruleState", "State of rules");
    report_field(r, "written", "written", value_time_ns(rules->head.written_ns));
    report_field(r, "latest", "latest evaluation", value_time_ns(rules->head.latest_ns));
    report_field(r, "groups", "groups", value_count(rules->counts[CHECKPOINT_GROUP]));
    report_field(r, "alerts", "alerts", value_count(rules->counts[CHECKPOINT_ALERT]));
    report_section_end(r);
    report_table(r, "ruleTenants", "Tenants: state of rules",
                 "tenant|sender=last write|groups|retired=removed groups|next=next "
                 "evaluation|pending|firing|resolved");
    print_tenants(r, rules);
    report_table_end(r, 0);
}
