/*
 * retired.c - groups that are not configured any more, or whose text was replaced.
 *
 * A reload retires an entry and makes a new one. The new entry takes over the state of the retired
 * one with the same file and name: the cursor, and for rules of the same name and labels the alerts
 * and the series that were written last. Alerts of other rules go to new rules of the same name and
 * labels in other groups of the tenant. A reload waits for a retired entry that a job uses.
 *
 * Series that a retired entry wrote last, and that no other group writes, are marked stale after
 * two intervals. Its cursor and alerts are kept for rules.outage_tolerance, so that a group that
 * returns continues. An entry that has given everything away is freed by the reload, so that many
 * reloads take no more memory than one. At a start the content of a checkpoint becomes retired
 * entries.
 *
 * Invariants:
 *  1. Of the retired entries with the same tenant, file and name one at most has a cursor.
 *  2. A new entry has no state.
 */
#include "rules/schedule/scheduler_private.h"

#include <assert.h>

#include "base/array.h"
#include "sys/env.h"

/* --- the list --------------------------------------------------------------------------------- */

void
retired_add(struct scheduler *s, struct scheduled ***link, struct scheduled *e)
{
    assert(e->state == SCHEDULED_READY);
    e->state = SCHEDULED_RETIRED;
    if (e->place == SCHEDULED_IN_HEAP) e->place = SCHEDULED_RESTS; /* the heap is made again */
    e->left_ns = s->seen_ns;
    bool is_known = e->group->series_slot >= 0 || !e->group->records;
    e->last_slot = is_known ? -1 : e->next_slot - 1;
    e->mark_ns = env_monotonic_ns(s->host->env) + 2 * e->group->schedule.interval_ns;
    s->unmarked++;
    /* A source that hangs may delay the pass, and with it the new groups, for long. */
    if (e->fills) atomic_store(&e->tenant->cancel, "the rules are reloaded");
    assert(s->unknown >= e->is_unknown);
    s->unknown -= e->is_unknown;
    while (**link != NULL && scheduled_compare(**link, e) < 0)
        *link = &(**link)->next;
    e->next = **link;
    **link = e;
}

static bool
has_alerts(const struct scheduled *e)
{
    for (uint32_t i = 0; i < e->group->text.rule_count; i++)
        if (e->group->rules[i].alerts.count > 0) return true;
    return false;
}

/* A checkpoint of that age gives no alerts, either. */
static bool
is_too_old(const struct scheduler *s, const struct scheduled *e)
{
    return s->seen_ns - e->left_ns > s->limits.outage_tolerance_ns;
}

void
retired_forget(struct scheduler *s, bool all)
{
    for (struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next) {
        for (struct scheduled **link = &t->retired, *e; (e = *link) != NULL;) {
            if (e->left_ns > s->seen_ns) e->left_ns = s->seen_ns; /* the clock was set back */
            bool is_busy = scheduled_is_used(e) || e->mark_ns != NEVER_NS;
            bool has_state = !is_too_old(s, e) && (e->next_slot >= 0 || has_alerts(e));
            if (!all && (is_busy || has_state)) {
                link = &e->next;
            } else {
                *link = e->next;
                scheduled_free(s, e);
            }
        }
    }
}

/* --- giving ----------------------------------------------------------------------------------- */

/* Returns the first evaluation at or after a time; with another schedule the entry has missed only
 * evaluations that are late. */
static int64_t
slot_of(const struct scheduler *s, const struct scheduled *e, int64_t at_ns, bool same)
{
    int64_t next = scheduled_slot(e, s->seen_ns) + 1, slot = scheduled_slot_from(e, at_ns);
    return same || slot < next ? slot : next;
}

static void
take_cursors(struct scheduler *s, struct scheduled *e, struct scheduled *from)
{
    const struct schedule *mine = &e->group->schedule, *its = &from->group->schedule;
    bool same = mine->interval_ns == its->interval_ns && mine->shift_ns == its->shift_ns;
    bool is_known = from->group->series_slot >= 0;
    int64_t record_ns = scheduled_time_ns(from, from->next_slot);
    int64_t alert_ns = scheduled_time_ns(from, from->alert_slot);
    /* Rules that are the first of their kind in the group have missed nothing. */
    if (from->group->alarms && !from->group->records) record_ns = s->seen_ns;
    if (from->group->records && !from->group->alarms) alert_ns = s->seen_ns;
    e->next_slot = slot_of(s, e, record_ns, same);
    e->alert_slot = slot_of(s, e, alert_ns, same);
    e->group->series_slot = !is_known ? -1 : same ? from->group->series_slot : e->next_slot - 1;
    e->recorded_ns = scheduled_recorded_ns(from);
    e->group->before_ns = is_known ? 0 : e->recorded_ns;
    e->evaluated_ns = from->evaluated_ns;
    e->had_outage = from->had_outage;
    e->refused_ns = from->refused_ns;
    e->is_behind = e->next_slot <= scheduled_slot(e, s->seen_ns) &&
                   (from->is_behind || from->left_ns < s->seen_ns);
    e->is_unknown = from->is_unknown;
    e->sends = from->sends || !same; /* alerts may end before the next evaluation */
    from->is_unknown = false;
    from->group->before_ns = 0;              /* `e` marks the series of that evaluation stale */
    from->next_slot = from->alert_slot = -1; /* invariant 1 */
}

/* Notes that the entry took alerts of another one. */
static void
note_taken(const struct scheduler *s, struct scheduled *e, const struct scheduled *from)
{
    if (e->evaluated_ns == 0) e->evaluated_ns = from->evaluated_ns;
    e->sends |= from->changed != 0 && from->changed <= s->saved_changes;
    if (from->changed > s->saved_changes && from->changed > e->changed) e->changed = from->changed;
}

/* Retired entries that have alerts to give, and their rules, by hash. */
struct givers {
    struct scheduled **items;
    uint32_t count, capacity;
    struct table rules; /* indexes of `items` */
};

static enum err
find_givers(struct scheduler *s, const struct scheduled_tenant *t, struct givers *ret)
{
    struct budget *memory = s->host->memory;
    for (struct scheduled *e = t->retired; e != NULL; e = e->next) {
        if (is_too_old(s, e) || !has_alerts(e)) continue;
        if (!array_reserve(memory, &ret->items, &ret->capacity, (size_t)ret->count + 1))
            return ERR_NOMEM;
        for (uint32_t i = 0; i < e->group->text.rule_count; i++) {
            if (e->group->rules[i].alerts.count == 0) continue;
            if (!table_reserve(&ret->rules, memory, 1)) return ERR_NOMEM;
            table_add(&ret->rules, group_rule_hash(e->group, i), ret->count);
        }
        ret->items[ret->count++] = e;
    }
    return OK;
}

static void
take_alerts(struct scheduler *s, struct scheduled *e, struct givers *givers)
{
    struct group *g = e->group;
    for (uint32_t i = 0; givers->count > 0 && i < g->text.rule_count; i++) {
        if (g->rules[i].text->kind != RULE_ALERTING || g->rules[i].alerts.count > 0) continue;
        uint64_t hash = group_rule_hash(g, i);
        for (uint32_t at = TABLE_START, id; table_next(&givers->rules, hash, &at, &id);) {
            struct scheduled *from = givers->items[id];
            if (!group_take_rule_alerts(g, i, from->group)) continue;
            note_taken(s, e, from);
            table_remove(&givers->rules, hash, id);
            break;
        }
    }
}

/* Gives the entries of a tenant alerts of entries with the same names first, then of any. */
void
retired_give(struct scheduler *s, struct scheduled_tenant *t)
{
    struct scheduled *from = t->retired;
    for (const struct scheduled *e = from; e != NULL; e = e->next)
        if (scheduled_is_used(e)) return;
    for (uint32_t i = t->first; i < t->end; i++) {
        struct scheduled *e = s->items[i];
        if (e->state != SCHEDULED_NEW) continue;
        while (from != NULL && scheduled_compare(from, e) < 0)
            from = from->next;
        for (struct scheduled *f = from; f != NULL && scheduled_compare(f, e) == 0; f = f->next) {
            if (f->next_slot >= 0) {
                assert(e->next_slot < 0); /* invariants 1 and 2 */
                group_take_over(e->group, f->group);
                take_cursors(s, e, f);
            }
            if (!is_too_old(s, f) && group_take_alerts(e->group, f->group)) note_taken(s, e, f);
        }
    }
    struct givers givers = {.items = NULL};
    err_ignore(find_givers(s, t, &givers), "then some rules find only what their groups had");
    for (uint32_t i = t->first; i < t->end; i++) {
        struct scheduled *e = s->items[i];
        if (e->state != SCHEDULED_NEW) continue;
        take_alerts(s, e, &givers);
        assert(e->state == SCHEDULED_NEW && !scheduled_is_used(e));
        e->is_unknown |= !s->has_started && !s->has_checkpoint;
        s->unknown += e->is_unknown;
        if (e->next_slot < 0) { /* without a cursor it has missed nothing */
            e->next_slot = e->alert_slot = scheduled_slot(e, s->seen_ns) + 1;
            e->group->series_slot = e->next_slot - 1;
        }
        assert(e->alert_slot >= 0);
        e->state = SCHEDULED_READY;
    }
    array_free(s->host->memory, givers.items, givers.capacity);
    table_fini(&givers.rules, s->host->memory);
    for (struct scheduled *e = t->retired; e != NULL; e = e->next) {
        bool has_series = e->last_slot >= 0;
        for (uint32_t i = 0; i < e->group->text.rule_count && !has_series; i++)
            has_series = e->group->rules[i].series.count > 0;
        /* Others have no series to be marked stale. */
        if (has_series || e->mark_ns == NEVER_NS || scheduled_is_used(e)) continue;
        assert(s->unmarked > 0);
        e->mark_ns = NEVER_NS;
        s->unmarked--;
    }
}

/* --- staleness markers ------------------------------------------------------------------------ */

/* Finds series that the group wrote and that no configured group of the tenant writes now. */
static enum err
find_ended(struct scheduler *s, struct scheduled *e, struct kept_series *to)
{
    uint32_t count = e->tenant->end - e->tenant->first;
    struct group **others = mem_alloc(s->host->memory, (count + 1) * sizeof *others);
    if (others == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        others[i] = s->items[e->tenant->first + i]->group;
    enum err error = group_find_ended(e->group, others, count, to);
    mem_free(s->host->memory, others, (count + 1) * sizeof *others);
    return error;
}

bool
retired_take(struct scheduler *s, int64_t monotonic_ns, struct scheduler_job *job)
{
    for (struct scheduled_tenant *t = s->tenants; s->unmarked > 0 && t != NULL; t = t->next) {
        if (t->state != CATCH_UP_LIVE) continue; /* others may write them soon */
        for (struct scheduled *e = t->retired; e != NULL; e = e->next) {
            if (e->mark_ns > monotonic_ns || scheduled_is_used(e)) continue;
            assert(e->state == SCHEDULED_RETIRED);
            job->work = WORK_RETIRE;
            job->entry = e;
            job->how.at_ns = s->seen_ns;
            job->slot = e->last_slot;
            kept_series_init(&job->ended, s->host->memory, s->host->seed);
            if (job->slot < 0) job->error = find_ended(s, e, &job->ended);
            e->place = SCHEDULED_RUNS;
            return true;
        }
    }
    return false;
}
