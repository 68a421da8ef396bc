/*
 * scheduler_take.c - takes due jobs, and notes their results: see scheduler.h.
 *
 * A server may have 100,000 groups, and a job is requested whenever one is done: groups are in a
 * heap by the time at which they are due. All are visited only when a checkpoint with changes was
 * written, after a reload, or when the clock was set back.
 *
 * Invariants:
 *  1. An entry is in the heap if it is READY and not evaluated, and has a due time.
 *  2. Recording rules are evaluated live only while the tenant is LIVE.
 *  3. The cursor passes a slot only when its results are durable, or when it is counted as skipped.
 *  4. A change of an alert is sent only after a checkpoint that was begun after it, unless that
 *     fails or hangs.
 */
#include "rules/schedule/scheduler_private.h"

#include <assert.h>

#include "base/array.h"
#include "sys/env.h"

#define TRY_AGAIN_NS    (5 * NS_PER_S)  /* after a failure */
#define RESTORE_TRY_NS  (60 * NS_PER_S) /* limit of attempts to read the store at a start */
#define PATIENCE_NS_MAX (60 * NS_PER_S)
#define IDLE_NS         (5 * NS_PER_S)  /* a longer time without requests for jobs is a pause */
#define ARRIVALS_NS     (10 * NS_PER_S) /* between two requests for a tenant's arrivals */
#define SAVE_NS_MIN     NS_PER_S
#define SAVE_NS         (10 * NS_PER_S)
#define SAVE_HANGS_NS   (10 * NS_PER_S) /* alerts are sent without a checkpoint after that */
#define SAVE_BYTES      (64 * 1024)     /* per second, on average, if no alert changes */

/* --- cursors ---------------------------------------------------------------------------------- */

int64_t
scheduled_cursor_ns(const struct scheduled *e)
{
    int64_t slot = e->group->records ? e->next_slot : e->alert_slot;
    return slot < 0 ? 0 : scheduled_time_ns(e, slot);
}

int64_t
scheduled_recorded_ns(const struct scheduled *e)
{
    bool is_known = e->recorded_ns != 0 && e->recorded_ns < scheduled_time_ns(e, e->next_slot);
    return is_known ? e->recorded_ns : scheduled_time_ns(e, e->next_slot - 1);
}

int64_t
scheduled_patience_ns(const struct scheduled *e)
{
    int64_t interval_ns = e->group->schedule.interval_ns;
    return interval_ns < PATIENCE_NS_MAX ? interval_ns : PATIENCE_NS_MAX;
}

/* A cursor more than two intervals ahead starts again at the clock, which was set back. */
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
    return e->group->records && e->tenant->state == CATCH_UP_LIVE; /* invariant 2 */
}

/* Unix; NEVER_NS: the entry is not evaluated live. A refused evaluation is due again when it is a
 * gap. */
static int64_t
due_ns(const struct scheduled *e)
{
    if (e->is_unknown) return e->restore_ns;
    if (e->sends) return 0;
    int64_t at_ns = e->group->alarms ? scheduled_time_ns(e, e->alert_slot) : NEVER_NS;
    if (!records_live(e)) return at_ns;
    int64_t record_ns = scheduled_time_ns(e, e->next_slot);
    if (e->refused_ns != 0) record_ns += scheduled_patience_ns(e);
    return record_ns < at_ns ? record_ns : at_ns;
}

void
scheduled_place(struct scheduler *s, struct scheduled *e)
{
    if (e->state != SCHEDULED_READY || e->place != SCHEDULED_RESTS) return;
    struct due_heap *heap = &s->due;
    struct due due = {due_ns(e), e};
    if (due.at_ns == NEVER_NS) return;
    heap_up(heap->items, heap->count, due, a->at_ns < b->at_ns);
    heap->count++;
    e->place = SCHEDULED_IN_HEAP; /* invariant 1 */
}

void
scheduler_place_all(struct scheduler *s)
{
    s->due.count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        struct scheduled *e = s->items[i];
        if (e->place == SCHEDULED_IN_HEAP) e->place = SCHEDULED_RESTS;
        if (e->state == SCHEDULED_READY) follow_clock(e, s->seen_ns);
        scheduled_place(s, e);
    }
    for (struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next) {
        /* Finds the series of the last evaluations before the next ones, so that these are live. If
         * a cursor is late, catching up finds them. */
        bool is_unknown = false, is_late = false;
        for (uint32_t i = t->first; i < t->end; i++) {
            const struct scheduled *e = s->items[i];
            if (!e->group->records || e->state != SCHEDULED_READY || e->is_unknown) continue;
            is_late |= e->next_slot <= scheduled_slot(e, s->seen_ns);
            is_unknown |= e->group->series_slot < 0;
        }
        if (is_unknown && !is_late && t->state == CATCH_UP_LIVE)
            catch_up_begin(s, t, s->seen_ns, CATCH_UP_SERIES, env_monotonic_ns(s->host->env));
    }
    if (!s->has_started) s->save_due_ns = env_monotonic_ns(s->host->env) + SAVE_NS;
    s->has_started = true;
}

/* --- taking: evaluations ---------------------------------------------------------------------- */

static bool
is_gap(const struct scheduler *s, const struct scheduled *e, int64_t slot, bool is_refused)
{
    int64_t at_ns = scheduled_time_ns(e, slot);
    if (s->seen_ns - at_ns < scheduled_patience_ns(e)) return false;
    bool was_down = at_ns <= s->started_ns;
    bool was_paused = at_ns > s->idle_from_ns && at_ns <= s->idle_to_ns; /* no thread ran */
    return is_refused || was_down || was_paused;
}

/* Skips evaluations for which there was no time, and notices gaps. */
static void
catch_up_with_clock(struct scheduler *s, struct scheduled *e, int64_t monotonic_ns)
{
    int64_t slot = scheduled_slot(e, s->seen_ns);
    uint64_t missed = 0;
    /* Without recording rules no cursor can be late. */
    if (!e->group->records && e->refused_ns != 0 &&
        s->seen_ns - e->refused_ns >= scheduled_patience_ns(e))
        catch_up_begin(s, e->tenant, e->refused_ns, CATCH_UP_GAP, monotonic_ns);
    if (e->group->alarms && e->alert_slot <= slot) {
        bool gap = is_gap(s, e, e->alert_slot, false);
        if (gap)
            catch_up_begin(s, e->tenant, scheduled_time_ns(e, e->alert_slot), CATCH_UP_GAP,
                           monotonic_ns);
        e->had_outage |= gap && e->evaluated_ns != 0;
        if (!gap) missed = (uint64_t)(slot - e->alert_slot);
        int64_t at_ns = scheduled_time_ns(e, slot);
        /* An earlier process may have evaluated this slot and stored other values. */
        bool is_late =
            gap && (at_ns <= s->started_ns || s->seen_ns - at_ns >= scheduled_patience_ns(e));
        e->alert_slot = is_late ? slot + 1 : slot;
    }
    if (records_live(e) && e->next_slot <= slot) {
        int64_t at_ns = scheduled_time_ns(e, e->next_slot);
        bool gap = is_gap(s, e, e->next_slot, e->refused_ns != 0);
        /* The first evaluation after a pause lacks input, however soon it is due. */
        bool is_first = e->tenant->pauses != s->pauses;
        enum catch_up_reason reason = gap        ? CATCH_UP_GAP
                                      : is_first ? CATCH_UP_PAUSE
                                                 : CATCH_UP_SERIES;
        int64_t from_ns = is_first && s->idle_from_ns < at_ns ? s->idle_from_ns : at_ns;
        if (reason != CATCH_UP_SERIES || e->is_behind || e->group->series_slot < 0) {
            catch_up_begin(s, e->tenant, from_ns, reason, monotonic_ns);
        } else if (e->next_slot < slot) {
            missed = (uint64_t)(slot - e->next_slot);
            e->next_slot = slot;
        }
    }
    if (missed == 0) return;
    lock_take(&e->group->lock);
    e->group->facts.missed += missed;
    lock_drop(&e->group->lock);
}

static bool
take_evaluation(struct scheduler *s, struct scheduled *e, int64_t monotonic_ns,
                struct scheduler_job *job)
{
    /* A disk that hangs must not stop notifications. */
    bool save_hangs = s->is_saving && monotonic_ns - s->saving_since_ns > SAVE_HANGS_NS;
    follow_clock(e, s->seen_ns);
    catch_up_with_clock(s, e, monotonic_ns);
    int64_t now_slot = scheduled_slot(e, s->seen_ns), slot = now_slot + 1;
    bool records = records_live(e), alarms = e->group->alarms;
    if (records && e->next_slot < slot) slot = e->next_slot;
    if (alarms && e->alert_slot < slot) slot = e->alert_slot;
    if (slot > now_slot) return false;
    records = records && e->next_slot == slot;
    alarms = alarms && e->alert_slot == slot;
    assert(!records || e->tenant->state == CATCH_UP_LIVE); /* invariant 2 */
    job->work = WORK_EVALUATE;
    job->slot = slot;
    job->how = (struct group_evaluation){
        .at_ns = scheduled_time_ns(e, slot),
        .part = !records ? GROUP_ALERTING
                : alarms ? GROUP_ALL
                         : GROUP_RECORDING,
        .holds = catch_up_holds(e, monotonic_ns),
        .is_unsaved = e->changed != 0 && !save_hangs,
        .outage_ns = e->had_outage ? scheduled_time_ns(e, slot) - e->evaluated_ns : 0,
        .grace_ns = s->limits.grace_ns,
    };
    job->how.is_repeated = job->how.at_ns <= s->latest_ns || job->how.at_ns <= s->started_ns;
    if (job->how.at_ns > s->latest_ns) s->latest_ns = job->how.at_ns;
    if (alarms) e->alert_slot = slot + 1;
    job->holds_if_refused = e->tenant->state != CATCH_UP_WAITS || !e->tenant->has_gap;
    job->asks_arrivals =
        s->host->arrivals != NULL && monotonic_ns - e->tenant->sent_read_ns >= ARRIVALS_NS;
    if (job->asks_arrivals) e->tenant->sent_read_ns = monotonic_ns;
    return true;
}

/* Takes the first due job: to restore the entry, to send its alerts, to evaluate it. */
static bool
take_of_entry(struct scheduler *s, struct scheduled *e, int64_t monotonic_ns,
              struct scheduler_job *job)
{
    if (e->is_unknown) {
        if (e->restore_until_ns == 0) e->restore_until_ns = monotonic_ns + RESTORE_TRY_NS;
        job->work = WORK_RESTORE;
        job->restore.is_last_try = monotonic_ns >= e->restore_until_ns;
    } else if (e->sends) {
        job->work = WORK_SEND;
        job->how.at_ns = s->seen_ns;
        e->sends = false;
    } else if (!take_evaluation(s, e, monotonic_ns, job)) {
        return false;
    }
    assert(e->place == SCHEDULED_RESTS); /* invariant 1 */
    job->entry = e;
    e->place = SCHEDULED_RUNS;
    return true;
}

static bool
take_due(struct scheduler *s, int64_t monotonic_ns, struct scheduler_job *job)
{
    while (s->due.count > 0 && s->due.items[0].at_ns <= s->seen_ns) {
        struct due_heap *heap = &s->due;
        struct scheduled *e = heap->items[0].entry;
        assert(e->place == SCHEDULED_IN_HEAP && e->state == SCHEDULED_READY); /* invariant 1 */
        e->place = SCHEDULED_RESTS;
        heap->count--;
        if (heap->count > 0)
            heap_down(heap->items, heap->count, 0, heap->items[heap->count], a->at_ns < b->at_ns);
        if (take_of_entry(s, e, monotonic_ns, job)) return true;
        scheduled_place(s, e);
        assert(e->place != SCHEDULED_IN_HEAP || due_ns(e) > s->seen_ns);
    }
    return false;
}

/* --- taking: the rest ------------------------------------------------------------------------- */

/* With unknown entries the checkpoint would be incomplete. */
static bool
may_save(const struct scheduler *s)
{
    return s->host->save != NULL && !s->is_saving && s->unknown == 0;
}

static bool
take_checkpoint(struct scheduler *s, int64_t monotonic_ns, struct scheduler_job *job)
{
    bool wanted = s->changes > s->saved_changes && monotonic_ns >= s->save_after_ns;
    if (!may_save(s)) return false;
    if (!wanted && monotonic_ns < s->save_due_ns) return false;
    job->work = WORK_CHECKPOINT;
    job->checkpoint.has_changes_to = s->changes;
    buf_init(&job->checkpoint.file, s->host->memory, CHECKPOINT_BYTES_MAX);
    scheduler_put_all(s, &job->checkpoint.writer, &job->checkpoint.file);
    s->is_saving = true;
    s->saving_since_ns = monotonic_ns;
    return true;
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
    for (struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next)
        if (t->gap_to_ns > now_ns)
            t->gap_to_ns = now_ns; /* later samples do not belong to the gap */
    if (s->late.max_ms > now_ns / NS_PER_MS) s->late.max_ms = now_ns / NS_PER_MS;
    scheduler_place_all(s);
}

/* Lowers *until_ns (Unix) to the time at which work is due on the monotonic clock. */
static void
wait_for(int64_t at_ns, int64_t now_ns, int64_t monotonic_ns, int64_t *until_ns)
{
    if (at_ns == NEVER_NS) return;
    int64_t wait_ns = at_ns > monotonic_ns ? at_ns - monotonic_ns : 0;
    if (now_ns + wait_ns < *until_ns) *until_ns = now_ns + wait_ns;
}

bool
scheduler_take(struct scheduler *s, int64_t now_ns, int64_t monotonic_ns, struct scheduler_job *job,
               int64_t *ret_until_ns)
{
    int64_t catch_up_at_ns = NEVER_NS;
    note_clock(s, now_ns);
    *job =
        (struct scheduler_job){.limits = s->limits, .taken_ns = monotonic_ns, .now_ns = s->seen_ns};
    if (take_checkpoint(s, monotonic_ns, job) || take_due(s, monotonic_ns, job) ||
        catch_up_take(s, monotonic_ns, job, &catch_up_at_ns) || retired_take(s, monotonic_ns, job))
        return true;
    *ret_until_ns = s->due.count > 0 ? s->due.items[0].at_ns : NEVER_NS;
    wait_for(catch_up_at_ns, now_ns, monotonic_ns, ret_until_ns);
    if (s->unmarked > 0) wait_for(monotonic_ns + NS_PER_S, now_ns, monotonic_ns, ret_until_ns);
    if (!may_save(s)) return false;
    wait_for(s->save_due_ns, now_ns, monotonic_ns, ret_until_ns);
    if (s->changes > s->saved_changes)
        wait_for(s->save_after_ns, now_ns, monotonic_ns, ret_until_ns);
    return false;
}

/* --- results of jobs -------------------------------------------------------------------------- */

/* The last change of its alerts is in a checkpoint. */
static void
want_sending(const struct scheduler *s, struct scheduled *e)
{
    assert(e->changed > 0 && e->changed <= s->saved_changes); /* invariant 4 */
    e->changed = 0;
    e->sends = true;
}

static void
evaluated(struct scheduler *s, struct scheduler_job *job)
{
    struct scheduled *e = job->entry;
    if (job->arrivals.sent_ms > e->tenant->sent_ms) e->tenant->sent_ms = job->arrivals.sent_ms;
    bool records = job->how.part != GROUP_ALERTING;
    bool is_refused = records ? !job->outcome.stored : job->store_refuses;
    if (!is_refused)
        e->refused_ns = 0;
    else if (e->refused_ns == 0)
        e->refused_ns = job->how.at_ns;
    if (records) {
        /* The cursor may have been set back in the meantime, or skipped by a fill. */
        if (job->outcome.stored && e->next_slot == job->slot) e->next_slot++; /* invariant 3 */
        if (job->outcome.stored) {
            e->group->series_slot = job->slot;
            e->recorded_ns = scheduled_time_ns(e, job->slot);
        }
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
restored(struct scheduler *s, struct scheduler_job *job)
{
    struct scheduled *e = job->entry;
    if (e->state == SCHEDULED_RETIRED) return; /* its successor is restored */
    if (job->error && !job->restore.is_last_try) {
        e->restore_ns = s->seen_ns + TRY_AGAIN_NS;
        return;
    }
    assert(e->is_unknown && s->unknown > 0);
    e->is_unknown = false;
    s->unknown--;
    e->next_slot = e->alert_slot = scheduled_slot(e, s->seen_ns) + 1;
    e->group->series_slot = e->next_slot - 1;
    if (job->restore.next_ns != 0 && job->restore.next_ns < s->seen_ns) {
        e->next_slot = scheduled_slot_from(e, job->restore.next_ns);
        e->group->series_slot = -1;
    }
    if (job->restore.down_ns == 0) return;
    e->evaluated_ns = job->restore.down_ns;
    if (job->restore.down_ns < s->seen_ns)
        e->alert_slot = scheduled_slot(e, job->restore.down_ns) + 1;
}

static void
saved(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns)
{
    bool any = false;
    assert(s->is_saving && job->checkpoint.has_changes_to <= s->changes); /* invariant 4 */
    assert(s->saved_changes <= job->checkpoint.has_changes_to || s->host->save == NULL);
    s->is_saving = false;
    s->totals.checkpoints++;
    s->totals.checkpoint_bytes += job->checkpoint.file.size;
    s->totals.checkpoint_failures += job->error != OK;
    /* Alerts are sent even if the checkpoint failed: a full disk must not stop notifications. */
    s->saved_changes = job->checkpoint.has_changes_to;
    s->save_after_ns = monotonic_ns + SAVE_NS_MIN;
    int64_t pause_ns = (int64_t)(job->checkpoint.file.size / SAVE_BYTES + 1) * NS_PER_S;
    s->save_due_ns = monotonic_ns + (pause_ns > SAVE_NS ? pause_ns : SAVE_NS);
    buf_fini(&job->checkpoint.file);
    for (uint32_t i = 0; i < s->count; i++) {
        struct scheduled *e = s->items[i];
        if (e->changed == 0 || e->changed > s->saved_changes) continue;
        want_sending(s, e);
        any = true;
    }
    if (any) scheduler_place_all(s);
}

/* A retired entry is not in use any more: others may take its state. */
static void
scheduler_release(struct scheduler *s, struct scheduled *e)
{
    struct scheduled_tenant *t = e->tenant;
    if (e->state != SCHEDULED_RETIRED || scheduled_is_used(e)) return;
    retired_give(s, t);
    for (uint32_t i = t->first; i < t->end; i++)
        scheduled_place(s, s->items[i]);
}

void
scheduler_done(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns)
{
    struct scheduled *e = job->entry;
    assert(e == NULL || e->place == SCHEDULED_RUNS);
    if (e != NULL) e->place = SCHEDULED_RESTS;
    switch (job->work) {
    case WORK_RESTORE:
        restored(s, job);
        break;
    case WORK_EVALUATE:
        evaluated(s, job);
        break;
    case WORK_SEND:
        break;
    case WORK_CHECKPOINT:
        saved(s, job, monotonic_ns);
        break;
    case WORK_LOOK:
        catch_up_looked(s, job, monotonic_ns);
        break;
    case WORK_FILL:
        catch_up_filled(s, job, monotonic_ns);
        for (uint32_t i = 0; i < job->fill.count; i++)
            scheduler_release(s, job->fill.items[i].entry);
        mem_free(s->host->memory, job->fill.items, job->fill.items_bytes);
        break;
    case WORK_RETIRE:
        kept_series_fini(&job->ended);
        if (job->slot >= 0) { /* now its series are known, if they could be found */
            e->last_slot = -1;
            break;
        }
        assert(s->unmarked > 0);
        e->mark_ns = job->error ? monotonic_ns + TRY_AGAIN_NS : NEVER_NS;
        s->unmarked -= job->error == OK;
        break;
    }
    if (e == NULL) return;
    scheduled_place(s, e);
    scheduler_release(s, e);
}

enum err
scheduler_save(struct scheduler *s, struct why *why)
{
    struct checkpoint_writer writer;
    struct buf file;
    if (s->host->save == NULL || !s->has_started || s->unknown > 0) return OK;
    buf_init(&file, s->host->memory, CHECKPOINT_BYTES_MAX);
    scheduler_put_all(s, &writer, &file);
    enum err e = checkpoint_end(&writer, why);
    if (e == OK) e = s->host->save(s->host->context, buf_bytes(&file), why);
    buf_fini(&file);
    return e;
}
