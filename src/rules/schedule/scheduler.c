/*
 * scheduler.c - the configured groups of all tenants, and reloads. See scheduler.h; retired.c
 * handles the groups that a reload replaces or removes.
 *
 * Invariants:
 *  1. `items` has the configured entries by tenant, file and name, each once. Each tenant has the
 *     range of its own; together these are all.
 *  2. Counters of the scheduler are those of its entries and tenants: catching_up, filling,
 *     due.count, unknown, unmarked.
 *  3. A configured entry is READY, unless a retired one of its tenant is in use.
 *  4. A reload changes nothing before it is committed, and never fails after that.
 */
#include "rules/schedule/scheduler_private.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "sys/env.h"

enum { GROUPS_MAX = 100000 };
#define CURSOR_NS_MAX (INT64_MAX / 2) /* a slot after it has a time, too */

/* --- entries ---------------------------------------------------------------------------------- */

static MUST_CHECK enum err
scheduled_new(struct scheduler *s, struct scheduled **ret)
{
    struct scheduled *e = mem_new(s->host->memory, sizeof *e);
    if (e == NULL) return ERR_NOMEM;
    e->next_slot = e->alert_slot = -1;
    *ret = e;
    return OK;
}

void
scheduled_free(struct scheduler *s, struct scheduled *e)
{
    if (e == NULL) return;
    assert(!scheduled_is_used(e));
    group_free(e->group);
    mem_free(s->host->memory, e, sizeof *e);
}

static size_t
list_bytes(uint32_t count)
{
    return (count + 1) * sizeof(struct scheduled *);
}

static size_t
due_bytes(uint32_t count)
{
    return (count + 1) * sizeof(struct due);
}

static int
compare_texts(const struct rule_group *a, const struct rule_group *b)
{
    int order = strcmp(a->file, b->file);
    return order != 0 ? order : strcmp(a->name, b->name);
}

int
scheduled_compare(const struct scheduled *a, const struct scheduled *b)
{
    return compare_texts(&a->group->text, &b->group->text);
}

static int
compare_with_key(const struct scheduled *e, struct bytes tenant, const struct rule_group *text)
{
    int order = bytes_compare(e->group->tenant, tenant);
    return order != 0 ? order : compare_texts(&e->group->text, text);
}

static int
compare_entries(const struct scheduled *a, const struct scheduled *b)
{
    return compare_with_key(a, b->group->tenant, &b->group->text);
}

/* --- tenants ---------------------------------------------------------------------------------- */

/* Steps through the tenants, which are sorted by name, to the place of this one. NULL: not found.
 */
static struct scheduled_tenant *
seek_tenant(struct scheduled_tenant ***link, struct bytes name)
{
    while (**link != NULL && bytes_compare((**link)->name, name) < 0)
        *link = &(**link)->next;
    return **link != NULL && bytes_equal((**link)->name, name) ? **link : NULL;
}

static struct scheduled_tenant *
tenant_new(struct budget *memory, struct bytes name)
{
    struct scheduled_tenant *t = mem_new(memory, sizeof *t + name.size);
    if (t == NULL) return NULL;
    t->name = (struct bytes){(const uint8_t *)(t + 1), name.size};
    if (name.size > 0) memcpy(t + 1, name.at, name.size);
    t->sent_ms = INT64_MIN;
    return t;
}

static void
tenant_free(struct budget *memory, struct scheduled_tenant *t)
{
    if (t != NULL) mem_free(memory, t, sizeof *t + t->name.size);
}

/* --- loading a checkpoint --------------------------------------------------------------------- */
/* Loaded state becomes retired entries, from which configured groups take it. */

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

/* Loads the state of all groups. ERR_NOMEM. */
static MUST_CHECK enum err
retired_load(struct scheduler *s, struct checkpoint_reader *from, int64_t cursor_max_ns)
{
    struct checkpoint_record r;
    struct scheduled_tenant *t = NULL, **link;
    struct scheduled **end = NULL, *last = NULL;
    struct alerts *alerts = NULL;
    enum err e = OK;
    s->has_checkpoint = true;
    s->latest_ns = from->head.latest_ns;
    s->idle_from_ns = from->head.written_ns;
    while (e == OK && checkpoint_next(from, &r)) {
        switch (r.kind) {
        case CHECKPOINT_TENANT:
            link = &s->tenants;
            t = seek_tenant(&link, r.tenant.name);
            if (t == NULL) {
                t = tenant_new(s->host->memory, r.tenant.name);
                if (t == NULL) return ERR_NOMEM;
                t->next = *link;
                *link = t;
            }
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

/* --- beginning and end ------------------------------------------------------------------------ */

enum err
scheduler_new(const struct rules_host *host, struct checkpoint_reader *checkpoint,
              int64_t cursor_max_ns, struct scheduler **ret_scheduler)
{
    struct scheduler *s = mem_new(host->memory, sizeof *s);
    if (s == NULL) return ERR_NOMEM;
    s->host = host;
    s->save_due_ns = NEVER_NS;
    enum err e = checkpoint == NULL ? OK : retired_load(s, checkpoint, cursor_max_ns);
    if (e == OK)
        *ret_scheduler = s;
    else
        scheduler_free(s);
    return e;
}

void
scheduler_free(struct scheduler *s)
{
    if (s == NULL) return;
    struct budget *memory = s->host->memory;
    for (uint32_t i = 0; i < s->count; i++)
        scheduled_free(s, s->items[i]);
    retired_forget(s, true);
    for (struct scheduled_tenant *t = s->tenants, *next; t != NULL; t = next) {
        next = t->next;
        tenant_free(memory, t);
    }
    mem_free(memory, s->items, list_bytes(s->count));
    mem_free(memory, s->due.items, due_bytes(s->count));
    mem_free(memory, s, sizeof *s);
}

/* --- reload: what can fail -------------------------------------------------------------------- */

struct planned_entry {
    struct scheduled *entry;
    struct scheduled_tenant *tenant; /* new tenant; NULL if its name exists */
    bool is_new;
    bool reads_recorded;
};

struct scheduler_change {
    struct scheduler *scheduler;
    struct scheduled **items; /* the scheduler's items after the commit */
    struct due *due;
    struct planned_entry *plan; /* sorted by tenant, file, name */
    uint32_t count;
};

static enum err
scheduler_no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for rules");
}

static void
change_free(struct scheduler_change *c)
{
    struct budget *memory = c->scheduler->host->memory;
    for (uint32_t i = 0; c->plan != NULL && i < c->count; i++)
        tenant_free(memory, c->plan[i].tenant);
    mem_free(memory, c->items, list_bytes(c->count));
    mem_free(memory, c->due, due_bytes(c->count));
    mem_free(memory, c->plan, (c->count + 1) * sizeof *c->plan);
    mem_free(memory, c, sizeof *c);
}

void
scheduler_abandon(struct scheduler_change *c)
{
    if (c == NULL) return;
    for (uint32_t i = 0; c->plan != NULL && i < c->count; i++)
        if (c->plan[i].is_new) scheduled_free(c->scheduler, c->plan[i].entry);
    change_free(c);
}

static int
compare_planned(const void *a, const void *b)
{
    const struct planned_entry *x = a, *y = b;
    return compare_entries(x->entry, y->entry);
}

/* Finds the groups of one tenant, plan[first] to before plan[end], that read recorded series. */
static enum err
plan_readers(struct scheduler_change *c, uint32_t first, uint32_t end)
{
    const struct rules_host *host = c->scheduler->host;
    uint32_t tries = SETS_TRIED_MAX;
    struct recorded recorded;
    enum err e = OK;
    recorded_init(&recorded, host->memory, host->seed);
    for (uint32_t i = first; e == OK && i < end; i++)
        e = group_add_recorded(c->plan[i].entry->group, &recorded);
    for (uint32_t i = first; e == OK && i < end; i++) {
        struct planned_entry *p = &c->plan[i];
        p->reads_recorded = group_reads_recorded(p->entry->group, &recorded, &tries);
    }
    recorded_fini(&recorded);
    return e;
}

static enum err
plan_tenants(struct scheduler_change *c)
{
    struct scheduler *s = c->scheduler;
    struct scheduled_tenant **link = &s->tenants;
    enum err e = OK;
    for (uint32_t first = 0, end; e == OK && first < c->count; first = end) {
        struct bytes name = c->plan[first].entry->group->tenant;
        for (end = first + 1; end < c->count; end++)
            if (!bytes_equal(c->plan[end].entry->group->tenant, name)) break;
        if (seek_tenant(&link, name) == NULL) {
            c->plan[first].tenant = tenant_new(s->host->memory, name);
            if (c->plan[first].tenant == NULL) e = ERR_NOMEM;
        }
        if (e == OK) e = plan_readers(c, first, end);
    }
    return e;
}

enum err
scheduler_prepare(struct scheduler *s, const struct scheduler_group *groups, uint32_t count,
                  const struct group_defaults *defaults, struct scheduler_change **ret_change,
                  struct why *why)
{
    struct budget *memory = s->host->memory;
    if (count > GROUPS_MAX)
        return why_set(why, ERR_INPUT, "more than %d groups of rules", GROUPS_MAX);
    struct scheduler_change *c = mem_new(memory, sizeof *c);
    if (c == NULL) return scheduler_no_memory(why);
    *c = (struct scheduler_change){.scheduler = s, .count = count};
    c->items = mem_new(memory, list_bytes(count));
    c->due = mem_new(memory, due_bytes(count));
    c->plan = mem_new(memory, (count + 1) * sizeof *c->plan);
    bool made = c->items != NULL && c->due != NULL && c->plan != NULL;
    enum err e = made ? OK : scheduler_no_memory(why);
    for (uint32_t i = 0; e == OK && i < count; i++) {
        /* Entries that stay are looked up now: only a reload changes the set of entries, and there
         * is one reload at a time. */
        struct planned_entry *p = &c->plan[i];
        const struct scheduler_group *g = &groups[i];
        uint32_t at =
            search_first(k, 0u, s->count, compare_with_key(s->items[k], g->tenant, g->text) >= 0);
        bool found = at < s->count && compare_with_key(s->items[at], g->tenant, g->text) == 0;
        p->entry = found ? s->items[at] : NULL; /* not configured before */
        if (p->entry != NULL && group_is(p->entry->group, g->tenant, g->text, defaults)) continue;
        if (scheduled_new(s, &p->entry)) {
            e = scheduler_no_memory(why);
            break;
        }
        p->is_new = true;
        e = group_new(s->host, g->tenant, g->text, defaults, &p->entry->group, why);
    }
    if (e == OK && count > 0) qsort(c->plan, count, sizeof *c->plan, compare_planned);
    if (e == OK && plan_tenants(c)) e = scheduler_no_memory(why);
    if (e)
        scheduler_abandon(c);
    else
        *ret_change = c;
    return e;
}

/* --- reload: what cannot fail ----------------------------------------------------------------- */

/* Retires all entries that the change does not have. Entries that were new have no state: retired
 * ones still have it. */
static void
retire_others(struct scheduler *s, const struct scheduler_change *c)
{
    struct scheduled_tenant *t = NULL;
    struct scheduled **link = NULL;
    for (uint32_t i = 0, at = 0; i < s->count; i++) {
        struct scheduled *e = s->items[i];
        while (at < c->count && compare_entries(c->items[at], e) < 0)
            at++;
        if (at < c->count && c->items[at] == e) continue;
        if (e->state == SCHEDULED_NEW) {
            scheduled_free(s, e);
            continue;
        }
        if (t != e->tenant) link = &e->tenant->retired;
        t = e->tenant;
        retired_add(s, &link, e);
    }
}

/* Links the tenants made by the plan, and gives each its range of items. */
static void
place_tenants(struct scheduler *s, struct scheduler_change *c)
{
    struct scheduled_tenant **link = &s->tenants, *t;
    for (t = s->tenants; t != NULL; t = t->next)
        t->first = t->end = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        struct scheduled *e = s->items[i];
        assert(i == 0 || compare_entries(s->items[i - 1], e) < 0); /* invariant 1 */
        t = seek_tenant(&link, e->group->tenant);
        if (t == NULL) {
            t = c->plan[i].tenant;
            assert(t != NULL); /* invariant 4 */
            t->next = *link;
            t->pauses = s->pauses; /* a new tenant awaits nothing */
            *link = t;
            c->plan[i].tenant = NULL;
        }
        assert(t->end == 0 || t->end == i); /* invariant 1 */
        if (t->end == 0) t->first = i;
        t->end = i + 1;
        e->tenant = t;
    }
}

void
scheduler_commit(struct scheduler_change *c, const struct scheduler_limits *limits, int64_t now_ns)
{
    struct scheduler *s = c->scheduler;
    s->limits = *limits;
    if (!s->has_started) {
        s->started_ns = s->seen_ns = s->idle_to_ns = now_ns;
        s->pauses = s->has_checkpoint; /* since it was written */
    }
    for (uint32_t i = 0; i < c->count; i++) {
        struct scheduled *e = c->items[i] = c->plan[i].entry;
        e->reads_recorded = c->plan[i].reads_recorded;
    }
    retire_others(s, c);
    assert(c->items != NULL && c->due != NULL); /* invariant 4 */
    mem_free(s->host->memory, s->items, list_bytes(s->count));
    mem_free(s->host->memory, s->due.items, due_bytes(s->count));
    s->items = c->items;
    s->due.items = c->due;
    s->count = c->count;
    c->items = NULL;
    c->due = NULL;
    place_tenants(s, c);
    for (struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next)
        retired_give(s, t);
    retired_forget(s, false);
    s->catch_up_ns = 0;
    scheduler_place_all(s);
    change_free(c);
#ifdef LOCK_CHECK
    scheduler_validate(s);
#endif
}

/* --- queries ---------------------------------------------------------------------------------- */

void
scheduler_validate(const struct scheduler *s)
{
    uint32_t catching_up = 0, filling = 0, in_heap = 0, unknown = 0, unmarked = 0, owned = 0;
    for (const struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next) {
        assert(t->next == NULL || bytes_compare(t->name, t->next->name) < 0);
        bool retired_is_used = false;
        for (const struct scheduled *e = t->retired; e != NULL; e = e->next) {
            assert(e->state == SCHEDULED_RETIRED && e->tenant == t);
            retired_is_used |= scheduled_is_used(e);
            unmarked += e->mark_ns != NEVER_NS;
            if (e->next == NULL) continue;
            int order = scheduled_compare(e, e->next);
            assert(order <= 0);
            assert(order < 0 || e->next->next_slot < 0); /* at most the first has a cursor */
        }
        for (uint32_t i = t->first; i < t->end; i++) {
            assert(s->items[i]->tenant == t); /* invariant 1 */
            assert(i == t->first || compare_entries(s->items[i - 1], s->items[i]) < 0);
            assert(s->items[i]->state == SCHEDULED_READY || retired_is_used); /* invariant 3 */
        }
        owned += t->end - t->first;
        catching_up += t->state != CATCH_UP_LIVE;
        filling += t->runs == TENANT_FILLS;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        const struct scheduled *e = s->items[i];
        bool records_live = e->group->records && e->tenant->state == CATCH_UP_LIVE;
        bool is_due = e->is_unknown || e->sends || records_live || e->group->alarms;
        bool is_in_heap = e->place == SCHEDULED_IN_HEAP;
        assert(!is_in_heap || e->state == SCHEDULED_READY);
        assert(e->place != SCHEDULED_RESTS || e->state != SCHEDULED_READY || !is_due);
        in_heap += is_in_heap;
        unknown += e->is_unknown;
    }
    assert(owned == s->count);             /* invariant 1 */
    assert(catching_up == s->catching_up); /* invariant 2 */
    assert(filling == s->filling);         /* invariant 2 */
    assert(in_heap == s->due.count);       /* invariant 2 */
    assert(unknown == s->unknown);         /* invariant 2 */
    assert(unmarked == s->unmarked);       /* invariant 2 */
}

void
scheduler_each(struct scheduler *s, struct bytes tenant,
               void (*each)(void *context, struct group *group, int64_t next_ns), void *context)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const struct scheduled *e = s->items[i];
        bool wanted = tenant.at == NULL || bytes_equal(e->group->tenant, tenant);
        if (wanted) each(context, e->group, scheduled_cursor_ns(e));
    }
}

void
scheduler_each_tenant(struct scheduler *s,
                      void (*each)(void *context, struct bytes tenant, enum catch_up state),
                      void *context)
{
    for (const struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next)
        if (t->end > t->first) each(context, t->name, t->state);
}

void
scheduler_totals(const struct scheduler *s, struct scheduler_totals *ret)
{
    *ret = s->totals;
}

/* --- saving a checkpoint ---------------------------------------------------------------------- */

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
