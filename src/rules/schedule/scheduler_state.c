/*
 * scheduler_state.c - writes the state of all groups into a checkpoint and loads it: see
 * checkpoint.h. Loaded state becomes retired entries, from which configured groups take it.
 */
#include <assert.h>

#include "rules/schedule/scheduler_private.h"

#define CURSOR_NS_MAX (INT64_MAX / 2) /* a slot after it has a time, too */

/* --- loading ---------------------------------------------------------------------------------- */

/* Appends the group of a record to those of its tenant. */
static enum err
load_group(struct scheduler *s, struct scheduled_tenant *t, const struct checkpoint_head *head,
           const struct checkpoint_record *r, int64_t cursor_max_ns, struct scheduled **link)
{
    struct scheduled *e;
    int64_t next_ns = r->group.next_ns;
    if (next_ns > cursor_max_ns) next_ns = cursor_max_ns;
    if (next_ns > CURSOR_NS_MAX) next_ns = CURSOR_NS_MAX;
    if (scheduled_new(s, &e)) return ERR_NOMEM;
    *link = e;
    e->tenant = t;
    e->state = SCHEDULED_RETIRED;
    e->last_slot = -1;
    e->mark_ns = NEVER_NS; /* its series are unknown */
    e->evaluated_ns = r->group.evaluated_at_ns;
    e->recorded_ns = r->group.recorded_at_ns;
    e->left_ns = r->group.retired_ns != 0 ? r->group.retired_ns : head->written_ns;
    enum err error = group_of_state(s->host, t->name, r->group.file, r->group.name,
                                    r->group.interval_ns, &e->group);
    if (error == OK && next_ns > 0) e->next_slot = e->alert_slot = scheduled_slot_from(e, next_ns);
    return error;
}

enum err
retired_load(struct scheduler *s, struct checkpoint_reader *from, int64_t cursor_max_ns)
{
    struct checkpoint_record r;
    struct scheduled_tenant *t = NULL;
    struct scheduled **end = NULL, *last = NULL;
    struct alerts *alerts = NULL;
    enum err e = OK;
    s->has_checkpoint = true;
    s->latest_ns = from->head.latest_ns;
    s->idle_from_ns = from->head.written_ns;
    while (e == OK && checkpoint_next(from, &r)) {
        switch (r.kind) {
        case CHECKPOINT_TENANT:
            t = scheduler_tenant(s, r.tenant.name);
            if (t == NULL) return ERR_NOMEM;
            t->sent_ms = r.tenant.sender_ms;
            end = &t->retired;
            break;
        case CHECKPOINT_GROUP:
            e = load_group(s, t, &from->head, &r, cursor_max_ns, end);
            last = *end;
            if (e == OK) end = &last->next;
            break;
        case CHECKPOINT_RULE:
            e = group_add_state(last->group, r.rule.name, r.rule.labels, r.rule.label_count,
                                r.rule.nth, &alerts);
            break;
        case CHECKPOINT_ALERT:
            e = alerts_restore(alerts, &r.alert.was, &r.alert.found);
            break;
        }
    }
    return e;
}

/* --- saving ----------------------------------------------------------------------------------- */

static void
put_rules(struct checkpoint_writer *writer, struct group *group)
{
    lock_take(&group->lock);
    for (uint32_t i = 0; i < group->text.rule_count; i++) {
        const struct rule_at_work *rule = &group->rules[i];
        if (rule->alerts.count == 0) continue;
        const struct checkpoint_record of_rule = {
            .kind = CHECKPOINT_RULE,
            .rule.name = bytes_of_text(rule->text->name),
            .rule.labels = rule->labels,
            .rule.label_count = rule->label_count,
            .rule.nth = rule->nth,
        };
        checkpoint_put(writer, &of_rule);
        for (uint32_t k = 0; k < rule->alerts.count; k++) {
            const struct alert *alert = rule->alerts.items[k];
            const struct checkpoint_record of_alert = {
                .kind = CHECKPOINT_ALERT,
                .alert = {*alert, alert_last_found(alert)},
            };
            checkpoint_put(writer, &of_alert);
        }
    }
    lock_drop(&group->lock);
}

static void
put_group(struct checkpoint_writer *writer, const struct scheduled *e)
{
    const struct scheduled_tenant *t = e->tenant;
    int64_t cursor_ns = scheduled_cursor_ns(e);
    int64_t recorded_ns = e->next_slot < 0 ? 0 : scheduled_recorded_ns(e);
    if (e->next_slot >= 0 && recorded_ns == scheduled_time_ns(e, e->next_slot - 1)) recorded_ns = 0;
    /* While a backlog is awaited, evaluations of alerts lack input: another start waits for it,
     * too. */
    if (t->state == CATCH_UP_WAITS && t->gap_from_ns < cursor_ns) cursor_ns = t->gap_from_ns;
    const struct checkpoint_record record = {
        .kind = CHECKPOINT_GROUP,
        .group.file = bytes_of_text(e->group->text.file),
        .group.name = bytes_of_text(e->group->text.name),
        .group.interval_ns = e->group->schedule.interval_ns,
        .group.next_ns = cursor_ns,
        .group.retired_ns = e->state == SCHEDULED_RETIRED ? e->left_ns : 0,
        .group.evaluated_at_ns = e->evaluated_ns,
        .group.recorded_at_ns = recorded_ns,
    };
    checkpoint_put(writer, &record);
}

/* Entries with the same file and name are one group of the checkpoint: the first one of them is
 * configured, or has the cursor if any has. New entries have no state. */
static void
put_entries(struct scheduler *s, const struct scheduled_tenant *t, struct checkpoint_writer *writer)
{
    const struct scheduled *last = NULL, *retired = t->retired;
    for (uint32_t i = t->first; i < t->end || retired != NULL;) {
        const struct scheduled *e = i < t->end ? s->items[i] : NULL;
        if (e == NULL || (retired != NULL && scheduled_compare(retired, e) < 0)) {
            e = retired;
            retired = retired->next;
        } else {
            i++;
        }
        if (e->state == SCHEDULED_NEW) continue;
        assert(last == NULL || scheduled_compare(last, e) <= 0);
        if (last == NULL || scheduled_compare(last, e) != 0) put_group(writer, e);
        last = e;
        put_rules(writer, e->group);
    }
}

void
scheduler_put_all(struct scheduler *s, struct checkpoint_writer *writer, struct buf *to)
{
    struct checkpoint_head head = {.written_ns = s->seen_ns, .latest_ns = s->latest_ns};
    const uint8_t *log_id = s->host->log_id == NULL ? NULL : s->host->log_id(s->host->context);
    if (log_id != NULL) memcpy(head.log_id, log_id, sizeof head.log_id);
    retired_forget(s, false);
    checkpoint_begin(writer, &head, to);
    for (const struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next) {
        const struct checkpoint_record record = {
            .kind = CHECKPOINT_TENANT, .tenant.name = t->name, .tenant.sender_ms = t->sent_ms};
        checkpoint_put(writer, &record);
        put_entries(s, t, writer);
    }
}
