/*
 * scheduler_take.c - what is due is taken, and noted when it was run: see scheduler.h.
 *
 * Servers may have 100,000 groups, and what is due is asked for whenever one was evaluated: groups
 * are in heaps by the time at which they are due. All are looked at only when a checkpoint was
 * written, after a reload, or when the clock was set back.
 *
 * Invariants:
 *  1. An entry is in the heap `due` if it is configured, READY and not evaluated, and something of
 *     it is evaluated live.
 *  2. Recording rules are evaluated live only while the tenant is LIVE.
 *  3. The cursor passes a slot only when its results are durable, or when it is counted as skipped.
 *  4. A change of an alert is sent only after a checkpoint that was begun after it.
 */
#include <assert.h>

#include "base/heap.h"
#include "rules/scheduler_private.h"
#include "sys/env.h"

#define TRY_AGAIN_NS    (5 * NS_PER_S)  /* what failed */
#define RESTORE_TRY_NS  (60 * NS_PER_S) /* so long the store is tried to be read at a start */
#define PATIENCE_NS_MAX (60 * NS_PER_S)
#define IDLE_NS         (5 * NS_PER_S) /* a thread asks each second; a longer pause is no thread's */
#define ARRIVALS_NS     (10 * NS_PER_S) /* between looks at when a tenant's senders wrote */
#define SAVE_NS_MIN     NS_PER_S
#define SAVE_NS         (10 * NS_PER_S)
#define SAVE_BYTES      (64 * 1024) /* a second, on average, if no alert changes */

/* --- cursors ---------------------------------------------------------------------------------- */

int64_t
scheduled_cursor_ns(const struct scheduled *e)
{
    int64_t slot = group_records(e->group) ? e->next_slot : e->alert_slot;
    return slot < 0 ? 0 : scheduled_time_ns(e, slot);
}

int64_t
scheduled_patience_ns(const struct scheduled *e)
{
    int64_t interval_ns = group_schedule(e->group)->interval_ns;
    return interval_ns < PATIENCE_NS_MAX ? interval_ns : PATIENCE_NS_MAX;
}

/* A cursor that is more than two intervals ahead begins at the clock, which was set back. */
static void
follow_clock(struct scheduled *e, int64_t now_ns)
{
    int64_t slot = scheduled_slot(e, now_ns), most = slot < 0 ? 0 : slot + 2;
    if (e->next_slot > most) e->next_slot = slot < 0 ? 0 : slot;
    if (e->alert_slot > most) e->alert_slot = slot < 0 ? 0 : slot;
    if (e->evaluated_ns > now_ns) e->evaluated_ns = now_ns;
}

/* --- heaps ------------------------------------------------------------------------------------ */

static bool
records_live(const struct scheduled *e)
{
    return group_records(e->group) && e->tenant->state == CATCH_UP_LIVE; /* invariant 2 */
}

/* Unix; NEVER_NS: nothing of it is evaluated live. What the store refused is due again when that is
 * a gap. */
static int64_t
due_ns(const struct scheduled *e)
{
    int64_t at_ns = group_alarms(e->group) ? scheduled_time_ns(e, e->alert_slot) : NEVER_NS;
    if (!records_live(e)) return at_ns;
    int64_t record_ns = scheduled_time_ns(e, e->next_slot);
    if (e->is_refused) record_ns += scheduled_patience_ns(e);
    return record_ns < at_ns ? record_ns : at_ns;
}

static void
heap_put(struct due_heap *heap, int64_t at_ns, struct scheduled *e)
{
    struct due due = {at_ns, e};
    heap_up(heap->items, heap->count, due, a->at_ns < b->at_ns);
    heap->count++;
    e->is_in_heap = true;
}

static struct scheduled *
heap_take(struct due_heap *heap)
{
    struct scheduled *first = heap->items[0].entry;
    first->is_in_heap = false;
    heap->count--;
    if (heap->count > 0) {
        heap_down(heap->items, heap->count, 0, heap->items[heap->count], a->at_ns < b->at_ns);
    }
    return first;
}

/* --- beginning -------------------------------------------------------------------------------- */

/* Cursors of the group that it takes over from. The old cursor counts if it is late: a group that
 * is evaluated more often owes nothing of before. */
static void
take_cursors(struct scheduled *e, const struct scheduled *from, int64_t now_ns)
{
    const struct schedule *mine = group_schedule(e->group), *its = group_schedule(from->group);
    bool same = mine->interval_ns == its->interval_ns && mine->shift_ns == its->shift_ns;
    int64_t cursor_ns = scheduled_cursor_ns(from);
    e->next_slot = same                 ? from->next_slot
                   : cursor_ns > now_ns ? scheduled_slot(e, now_ns) + 1
                                        : scheduled_slot_from(e, cursor_ns);
    if (!group_records(from->group)) e->next_slot = scheduled_slot(e, now_ns) + 1;
    e->alert_slot = same ? from->alert_slot : scheduled_slot(e, now_ns) + 1;
    if (!same && e->group->series_slot >= 0) e->group->series_slot = e->next_slot - 1;
    e->ends_early = !same;
    e->evaluated_ns = from->evaluated_ns;
    e->had_outage = from->had_outage;
    e->is_refused = from->is_refused;
    e->changed = from->changed;
    if (e->alert_slot < 0) e->alert_slot = e->next_slot;
}

static void
take_over(struct scheduler *s, struct scheduled *e)
{
    struct scheduled *from = e->from;
    int64_t now_ns = s->seen_ns;
    e->is_unknown = from->state == SCHEDULED_UNKNOWN || from->is_unknown;
    e->is_behind = from->is_behind || from->state == SCHEDULED_RETIRED; /* it was away */
    group_take_over(e->group, from->group);
    take_cursors(e, from, now_ns);
    e->from = NULL;
    from->heir = NULL;
    left_keep(s, from, false);       /* alerts of rules that it does not have */
    from->state = SCHEDULED_RETIRED; /* what else it wrote is marked stale */
    from->not_before_ns =
        env_monotonic_ns(s->host->env) + 2 * group_schedule(from->group)->interval_ns;
    from->next = s->rests;
    s->rests = from;
    e->state = SCHEDULED_HEIR;
}

static void
put_sending(struct scheduler *s, struct scheduled *e)
{
    if (e->is_sending) return;
    e->is_sending = true;
    e->next_to_send = s->sending;
    s->sending = e;
}

/* A new entry finds out what it can of the time before. */
static void
settle(struct scheduler *s, struct scheduled *e)
{
    bool is_first = e->state == SCHEDULED_NEW && !s->has_started && !s->has_checkpoint;
    left_give(s, e);
    if (e->next_slot < 0) { /* it owes nothing */
        e->next_slot = e->alert_slot = scheduled_slot(e, s->seen_ns) + 1;
        e->group->series_slot = e->next_slot - 1;
    }
    e->state = is_first || e->is_unknown ? SCHEDULED_UNKNOWN : SCHEDULED_READY;
    e->is_unknown = false;
    if (e->ends_early) put_sending(s, e);
}

void
scheduled_place(struct scheduler *s, struct scheduled *e)
{
    bool is_new = e->state == SCHEDULED_NEW || e->state == SCHEDULED_HEIR;
    if (is_new) {
        if (e->tenant->pending > 0) return; /* one of its rules may have been another group's */
        settle(s, e);
    }
    bool is_listed = e->state != SCHEDULED_RETIRED && e->heir == NULL;
    if (!is_listed || e->is_in_heap || e->evaluates) return;
    if (e->state == SCHEDULED_UNKNOWN) {
        heap_put(&s->restores, e->not_before_ns, e);
        return;
    }
    int64_t at_ns = due_ns(e);
    if (at_ns != NEVER_NS) heap_put(&s->due, at_ns, e); /* invariant 1 */
}

/* State passes on from what is not in use; what is in use is waited for. */
static void
pass_on(struct scheduler *s)
{
    for (struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next) {
        t->pending = 0;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        struct scheduled *e = s->items[i];
        if (e->from == NULL) continue;
        if (e->from->users > 0)
            e->tenant->pending++;
        else
            take_over(s, e);
    }
    for (struct scheduled *e = s->retired; e != NULL; e = e->next) {
        if (!e->keeps) continue;
        if (e->users > 0) {
            e->tenant->pending++;
        } else {
            left_keep(s, e, true);
            e->keeps = false;
        }
    }
}

/* Finds out which series the last evaluations gave before the next ones, so that these are live.
 * Where a cursor is late, that is found out when the tenant catches up. */
static void
find_out_series(struct scheduler *s, struct scheduled_tenant *t)
{
    bool is_unknown = false;
    for (uint32_t i = t->first; i < t->end; i++) {
        const struct scheduled *e = s->items[i];
        if (!group_records(e->group) || e->state != SCHEDULED_READY) continue;
        if (e->next_slot <= scheduled_slot(e, s->seen_ns)) return;
        is_unknown |= e->group->series_slot < 0;
    }
    if (is_unknown && t->state == CATCH_UP_LIVE)
        catch_up_begin(s, t, s->seen_ns, false, env_monotonic_ns(s->host->env));
}

void
scheduler_place_all(struct scheduler *s)
{
    s->due.count = s->restores.count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        s->items[i]->is_in_heap = false;
    }
    pass_on(s);
    for (uint32_t i = 0; i < s->count; i++) {
        follow_clock(s->items[i], s->seen_ns);
        scheduled_place(s, s->items[i]);
    }
    for (struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next) {
        find_out_series(s, t);
    }
    if (!s->has_started) s->save_due_ns = env_monotonic_ns(s->host->env) + SAVE_NS;
    s->has_started = true;
}

/* --- taking: evaluations ---------------------------------------------------------------------- */

static void
use(struct scheduled *e)
{
    e->users++;
}

static struct scheduler_job
job_of(struct scheduler *s, enum scheduler_work work, struct scheduled *e, int64_t monotonic_ns)
{
    return (struct scheduler_job){
        .work = work,
        .entry = e,
        .limits = s->limits,
        .taken_ns = monotonic_ns,
        .now_ns = s->seen_ns,
    };
}

/* Nothing could run at that time: it is from before the start, or from a pause of all threads. */
static bool
could_not_run(const struct scheduler *s, int64_t at_ns)
{
    return at_ns <= s->started_ns || (at_ns > s->idle_from_ns && at_ns <= s->idle_to_ns);
}

static bool
is_gap(const struct scheduler *s, const struct scheduled *e, int64_t slot, bool is_refused)
{
    int64_t at_ns = scheduled_time_ns(e, slot);
    if (s->seen_ns - at_ns < scheduled_patience_ns(e)) return false;
    return is_refused || could_not_run(s, at_ns);
}

/* Skips what there was no time for, and notices gaps. */
static void
catch_up_with_clock(struct scheduler *s, struct scheduled *e, int64_t monotonic_ns)
{
    int64_t slot = scheduled_slot(e, s->seen_ns);
    uint64_t missed = 0;
    if (group_alarms(e->group) && e->alert_slot <= slot) {
        bool gap = is_gap(s, e, e->alert_slot, false);
        if (gap)
            catch_up_begin(s, e->tenant, scheduled_time_ns(e, e->alert_slot), true, monotonic_ns);
        e->had_outage |= gap && e->evaluated_ns != 0;
        if (!gap) missed = (uint64_t)(slot - e->alert_slot);
        bool is_late = gap && s->seen_ns - scheduled_time_ns(e, slot) >= scheduled_patience_ns(e);
        e->alert_slot = is_late ? slot + 1 : slot;
    }
    if (records_live(e) && e->next_slot <= slot) {
        bool gap = is_gap(s, e, e->next_slot, e->is_refused);
        if (gap || e->is_behind || e->group->series_slot < 0) {
            catch_up_begin(s, e->tenant, scheduled_time_ns(e, e->next_slot), gap, monotonic_ns);
        } else if (e->next_slot < slot) {
            missed = (uint64_t)(slot - e->next_slot);
            e->next_slot = slot;
        }
    }
    if (missed > 0) group_count_missed(e->group, missed);
}

static bool
take_evaluation(struct scheduler *s, struct scheduled *e, int64_t monotonic_ns,
                struct scheduler_job *job)
{
    follow_clock(e, s->seen_ns);
    catch_up_with_clock(s, e, monotonic_ns);
    int64_t now_slot = scheduled_slot(e, s->seen_ns), slot = now_slot + 1;
    bool records = records_live(e), alarms = group_alarms(e->group);
    if (records && e->next_slot < slot) slot = e->next_slot;
    if (alarms && e->alert_slot < slot) slot = e->alert_slot;
    if (slot > now_slot) return false;
    records = records && e->next_slot == slot;
    alarms = alarms && e->alert_slot == slot;
    *job = job_of(s, WORK_EVALUATE, e, monotonic_ns);
    job->slot = slot;
    job->how = (struct group_evaluation){
        .at_ns = scheduled_time_ns(e, slot),
        .part = !records ? GROUP_ALERTING
                : alarms ? GROUP_ALL
                         : GROUP_RECORDING,
        .holds = catch_up_holds(e, monotonic_ns),
        .outage_ns = e->had_outage ? scheduled_time_ns(e, slot) - e->evaluated_ns : 0,
        .grace_ns = s->limits.grace_ns,
    };
    job->how.is_repeated = job->how.at_ns <= s->latest_ns || job->how.at_ns <= s->started_ns;
    if (job->how.at_ns > s->latest_ns) s->latest_ns = job->how.at_ns;
    if (alarms) e->alert_slot = slot + 1;
    job->asks_arrivals =
        s->host->arrivals != NULL && monotonic_ns - e->tenant->asked_ns >= ARRIVALS_NS;
    if (job->asks_arrivals) e->tenant->asked_ns = monotonic_ns;
    e->evaluates = true;
    use(e);
    return true;
}

/* --- taking: the rest ------------------------------------------------------------------------- */

static void
take_restore(struct scheduler *s, struct scheduled *e, int64_t monotonic_ns,
             struct scheduler_job *job)
{
    if (e->restore_until_ns == 0) e->restore_until_ns = monotonic_ns + RESTORE_TRY_NS;
    *job = job_of(s, WORK_RESTORE, e, monotonic_ns);
    job->is_last_try = monotonic_ns >= e->restore_until_ns;
    s->restoring++;
    e->evaluates = true;
    use(e);
}

static bool
take_send(struct scheduler *s, int64_t monotonic_ns, struct scheduler_job *job)
{
    for (struct scheduled **link = &s->sending; *link != NULL; link = &(*link)->next_to_send) {
        struct scheduled *e = *link;
        if (e->evaluates) continue;
        *link = e->next_to_send;
        e->is_sending = false;
        *job = job_of(s, WORK_SEND, e, monotonic_ns);
        job->how.at_ns = e->ends_early ? s->seen_ns : e->evaluated_ns;
        e->ends_early = false;
        e->evaluates = true;
        use(e);
        return true;
    }
    return false;
}

static bool
take_checkpoint(struct scheduler *s, int64_t monotonic_ns, struct scheduler_job *job)
{
    bool wanted = s->changes > s->saved_changes && monotonic_ns >= s->save_after_ns;
    /* Without what the store has, a checkpoint would be taken for all there is. */
    bool is_unknown = s->restores.count > 0 || s->restoring > 0;
    if (s->host->save == NULL || s->is_saving || is_unknown) return false;
    if (!wanted && monotonic_ns < s->save_due_ns) return false;
    *job = job_of(s, WORK_CHECKPOINT, NULL, monotonic_ns);
    job->has_changes_to = s->changes;
    left_forget(s);
    buf_init(&job->file, s->host->memory, CHECKPOINT_BYTES_MAX);
    left_save(s, &job->writer, &job->file);
    s->is_saving = true;
    return true;
}

/* Finds out what the group wrote that no other group of the tenant writes now. */
static enum err
find_ended(struct scheduler *s, struct scheduled *e, struct kept_series *to)
{
    uint32_t count = e->tenant->end - e->tenant->first;
    struct group **others = mem_alloc(s->host->memory, (count + 1) * sizeof *others);
    if (others == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        others[i] = s->items[e->tenant->first + i]->group;
    }
    enum err error = group_find_ended(e->group, others, count, to);
    mem_free(s->host->memory, others, (count + 1) * sizeof *others);
    return error;
}

/* What it wrote is marked stale when others of the tenant had the time to write it. */
static bool
take_retired(struct scheduler *s, int64_t monotonic_ns, struct scheduler_job *job)
{
    struct scheduled *const lists[] = {s->retired, s->rests};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        for (struct scheduled *e = lists[k]; e != NULL; e = e->next) {
            bool is_early = e->not_before_ns > monotonic_ns || e->tenant->state != CATCH_UP_LIVE;
            if (e->users > 0 || is_early) continue;
            *job = job_of(s, WORK_RETIRE, e, monotonic_ns);
            job->how.at_ns = s->seen_ns;
            kept_series_init(&job->ended, s->host->memory, s->host->seed);
            job->error = find_ended(s, e, &job->ended);
            e->evaluates = true;
            use(e);
            return true;
        }
    }
    return false;
}

static void
note_clock(struct scheduler *s, int64_t now_ns)
{
    bool is_back = now_ns < s->seen_ns;
    if (now_ns - s->seen_ns >= IDLE_NS && s->has_started) {
        s->idle_from_ns = s->seen_ns;
        s->idle_to_ns = now_ns;
        s->pauses++;
    }
    s->seen_ns = now_ns;
    if (!is_back) return;
    for (struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next) {
        if (t->gap_to_ns > now_ns) t->gap_to_ns = now_ns; /* later samples are not of the gap */
    }
    scheduler_place_all(s);
}

/* Unix: when what waits for a time of the monotonic clock may be done. */
static void
wait_for(int64_t at_ns, int64_t now_ns, int64_t monotonic_ns, int64_t *until_ns)
{
    if (at_ns == NEVER_NS) return;
    int64_t wait_ns = at_ns > monotonic_ns ? at_ns - monotonic_ns : 0;
    if (now_ns + wait_ns < *until_ns) *until_ns = now_ns + wait_ns;
}

static bool
take_due(struct scheduler *s, int64_t monotonic_ns, struct scheduler_job *job)
{
    while (s->due.count > 0 && s->due.items[0].at_ns <= s->seen_ns) {
        struct scheduled *e = heap_take(&s->due);
        if (take_evaluation(s, e, monotonic_ns, job)) return true;
        scheduled_place(s, e);
        assert(!e->is_in_heap || due_ns(e) > s->seen_ns);
    }
    if (s->restores.count == 0 || s->restores.items[0].at_ns > monotonic_ns) return false;
    take_restore(s, heap_take(&s->restores), monotonic_ns, job);
    return true;
}

/* Whoever runs the job logs it. */
static void
note_news(struct scheduler *s, struct scheduler_job *job)
{
    if (s->fell_behind == NULL) return;
    job->fell_behind = true;
    job->fell_behind_tenant = s->fell_behind->name;
    job->skipped = s->totals.skipped_too_slow - s->skipped_logged;
    s->skipped_logged = s->totals.skipped_too_slow;
    s->fell_behind = NULL;
}

bool
scheduler_take(struct scheduler *s, int64_t now_ns, int64_t monotonic_ns, struct scheduler_job *job,
               int64_t *ret_until_ns)
{
    int64_t catch_up_at_ns = NEVER_NS;
    note_clock(s, now_ns);
    if (take_send(s, monotonic_ns, job) || take_checkpoint(s, monotonic_ns, job) ||
        take_due(s, monotonic_ns, job) || catch_up_take(s, monotonic_ns, job, &catch_up_at_ns) ||
        take_retired(s, monotonic_ns, job)) {
        note_news(s, job);
        return true;
    }
    *ret_until_ns = s->due.count > 0 ? s->due.items[0].at_ns : NEVER_NS;
    wait_for(catch_up_at_ns, now_ns, monotonic_ns, ret_until_ns);
    if (s->restores.count > 0) {
        wait_for(s->restores.items[0].at_ns, now_ns, monotonic_ns, ret_until_ns);
    }
    if (s->retired != NULL || s->rests != NULL)
        wait_for(monotonic_ns + NS_PER_S, now_ns, monotonic_ns, ret_until_ns);
    if (s->is_saving || s->host->save == NULL) return false;
    wait_for(s->save_due_ns, now_ns, monotonic_ns, ret_until_ns);
    if (s->changes > s->saved_changes) {
        wait_for(s->save_after_ns, now_ns, monotonic_ns, ret_until_ns);
    }
    return false;
}

/* --- done ------------------------------------------------------------------------------------- */

static void
want_sending(struct scheduler *s, struct scheduled *e)
{
    if (e->changed == 0 || e->changed > s->saved_changes) return;
    e->changed = 0;
    put_sending(s, e);
}

static void
evaluated(struct scheduler *s, struct scheduler_job *job)
{
    struct scheduled *e = job->entry;
    if (job->arrivals.sent_ms > e->tenant->sent_ms) e->tenant->sent_ms = job->arrivals.sent_ms;
    if (job->how.part != GROUP_ALERTING) {
        e->is_refused = !job->outcome.stored;
        /* It may have been set back meanwhile, or skipped by a fill. */
        if (job->outcome.stored && e->next_slot == job->slot) e->next_slot++; /* invariant 3 */
        if (job->outcome.stored) e->group->series_slot = job->slot;
    }
    if (job->how.part == GROUP_RECORDING) return;
    e->had_outage = false;
    e->evaluated_ns = job->how.at_ns;
    if (!job->outcome.has_changed) return;
    e->changed = ++s->changes;
    if (s->host->save != NULL) return;
    s->saved_changes = s->changes;
    want_sending(s, e);
}

static void
restored(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns)
{
    struct scheduled *e = job->entry;
    s->restoring--;
    if (job->error && !job->is_last_try) {
        e->not_before_ns = monotonic_ns + TRY_AGAIN_NS;
        return;
    }
    if (e->state == SCHEDULED_UNKNOWN) e->state = SCHEDULED_READY;
    e->next_slot = e->alert_slot = scheduled_slot(e, s->seen_ns) + 1;
    e->group->series_slot = e->next_slot - 1;
    if (job->next_ns != 0 && job->next_ns < s->seen_ns) {
        e->next_slot = scheduled_slot_from(e, job->next_ns);
        e->last_slot = e->next_slot - 1;
        e->group->series_slot = -1;
    }
    if (job->down_ns == 0) return;
    e->evaluated_ns = job->down_ns;
    if (job->down_ns < s->seen_ns) e->alert_slot = scheduled_slot(e, job->down_ns) + 1;
}

static void
saved(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns)
{
    s->is_saving = false;
    s->totals.checkpoints++;
    s->totals.checkpoint_bytes += job->file.size;
    s->totals.checkpoint_failures += job->error != OK;
    /* Alerts are sent also if it could not be written: a full disk is no reason for silence. */
    s->saved_changes = job->has_changes_to; /* invariant 4 */
    s->save_after_ns = monotonic_ns + SAVE_NS_MIN;
    int64_t pause_ns = (int64_t)(job->file.size / SAVE_BYTES) * NS_PER_S;
    s->save_due_ns = monotonic_ns + (pause_ns > SAVE_NS ? pause_ns : SAVE_NS);
    buf_fini(&job->file);
    for (uint32_t i = 0; i < s->count; i++) {
        want_sending(s, s->items[i]);
    }
}

static void
forget_retired(struct scheduler *s, struct scheduled *e)
{
    struct scheduled **lists[] = {&s->retired, &s->rests};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        for (struct scheduled **link = lists[k]; *link != NULL; link = &(*link)->next) {
            if (*link != e) continue;
            *link = e->next;
            scheduled_free(s, e);
            return;
        }
    }
}

/* Its user is gone: others may have its state. */
static void
release(struct scheduler *s, struct scheduled *e)
{
    struct scheduled_tenant *t = e->tenant;
    assert(e->users > 0);
    e->users--;
    if (e->users > 0 || (e->heir == NULL && !e->keeps)) return;
    if (e->heir != NULL) {
        take_over(s, e->heir);
    } else {
        left_keep(s, e, true);
        e->keeps = false;
    }
    assert(t->pending > 0);
    if (--t->pending > 0) return;
    for (uint32_t i = t->first; i < t->end; i++) {
        scheduled_place(s, s->items[i]);
    }
}

void
scheduler_done(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns)
{
    struct scheduled *e = job->entry;
    if (e != NULL) e->evaluates = false;
    switch (job->work) {
    case WORK_RESTORE:
        restored(s, job, monotonic_ns);
        break;
    case WORK_EVALUATE:
        evaluated(s, job);
        break;
    case WORK_SEND:
        break;
    case WORK_CHECKPOINT:
        saved(s, job, monotonic_ns);
        return;
    case WORK_LOOK:
        catch_up_looked(s, job, monotonic_ns);
        return;
    case WORK_FILL:
        catch_up_filled(s, job, monotonic_ns);
        for (uint32_t i = 0; i < job->fill_count; i++) {
            release(s, job->fills[i].entry);
        }
        mem_free(s->host->memory, job->fills, job->fills_bytes);
        return;
    case WORK_RETIRE:
        kept_series_fini(&job->ended);
        release(s, e);
        if (job->error)
            e->not_before_ns = monotonic_ns + TRY_AGAIN_NS;
        else
            forget_retired(s, e);
        return;
    }
    scheduled_place(s, e);
    release(s, e);
}

enum err
scheduler_save(struct scheduler *s, struct why *why)
{
    struct checkpoint_writer writer;
    struct buf file;
    bool is_unknown = s->restores.count > 0 || s->restoring > 0;
    if (s->host->save == NULL || !s->has_started || is_unknown) return OK;
    left_forget(s);
    buf_init(&file, s->host->memory, CHECKPOINT_BYTES_MAX);
    left_save(s, &writer, &file);
    enum err e = checkpoint_end(&writer, why);
    if (e == OK) e = s->host->save(s->host->context, buf_bytes(&file), why);
    buf_fini(&file);
    return e;
}
