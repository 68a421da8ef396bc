/*
 * catch_up.c - closes the gaps of tenants: see scheduler.h.
 *
 * WAITS: the senders of the tenant have kept samples for the time of the gap, and send them now. A
 * result computed before they have all arrived would be wrong and stay, for the first one stays.
 * The backlog is complete when a sample of the last minute has arrived, and for 30 s none of the
 * time before the end of the gap. While the store refuses writes, senders keep their samples:
 * waiting begins when it accepts them again. A pause that is shorter than a gap makes a tenant wait
 * as well; only alerts that read recorded series are held then, because the recording rules wait.
 * All are held if the store refuses writes during that wait.
 *
 * FILLS: in passes. A pass makes all evaluations of recording rules of the tenant that are due in
 * the first hours of the gap, or in all of it if that is short (rules/replay/replay.h). When the
 * cursors have reached the clock, the tenant is LIVE. Passes that take longer than the time they
 * cover would never reach it: then the rest of the gap is skipped.
 *
 * After each start there is a pass that fills nothing, and only finds the series of the last
 * evaluations.
 *
 * No recording group of a tenant is evaluated live while the tenant is not LIVE (scheduler_take.c).
 *
 * Invariant 1: one job of a tenant runs at a time, a look or a pass.
 */
#include "rules/schedule/scheduler_private.h"

#include <assert.h>

#define LOOK_NS               NS_PER_S
#define QUIET_NS              (30 * NS_PER_S) /* time without late samples: the backlog is complete */
#define SENT_MS               (60 * 1000) /* before the gap: senders that wrote then are awaited */
#define CATCH_UP_TRY_AGAIN_NS (5 * NS_PER_S)

/* A query for a range costs little more than one for a single time, so a pass covers hours. After
 * it the cursors are known, which limits the work that a crash repeats. */
#define PASS_NS (4 * 3600 * NS_PER_S)

bool
catch_up_holds(const struct scheduled *e, int64_t monotonic_ns)
{
    const struct scheduled_tenant *t = e->tenant;
    if (t->state == CATCH_UP_FILLS) return e->reads_recorded;
    bool is_concerned = t->has_gap || e->reads_recorded;
    return t->state == CATCH_UP_WAITS && is_concerned && monotonic_ns < t->held_until_ns;
}

static void
begin_fill(struct scheduler *s, struct scheduled_tenant *t)
{
    assert(t->runs == TENANT_RESTS); /* invariant 1 */
    t->state = CATCH_UP_FILLS;
    s->catch_up_ns = 0;
    t->look_ns = 0;
    t->failing_since_ns = 0;
}

static void
begin_wait(struct scheduler *s, struct scheduled_tenant *t, int64_t monotonic_ns)
{
    t->state = CATCH_UP_WAITS;
    s->catch_up_ns = 0;
    t->gap_to_ns = s->seen_ns;
    t->since_ns = monotonic_ns;
    t->until_ns = monotonic_ns + s->limits.catch_up_wait_ns;
    if (t->held_until_ns == 0) t->held_until_ns = t->until_ns;
    t->look_ns = monotonic_ns;
}

/* Senders keep their samples while the store refuses them: all alerts are held, as in a gap. */
static void
wait_for_store(struct scheduler *s, struct scheduled_tenant *t, int64_t monotonic_ns)
{
    begin_wait(s, t, monotonic_ns);
    if (!t->has_gap) t->held_until_ns = t->until_ns;
    t->has_gap = true;
}

void
catch_up_begin(struct scheduler *s, struct scheduled_tenant *t, int64_t from_ns,
               enum catch_up_reason reason, int64_t monotonic_ns)
{
    bool waits = reason != CATCH_UP_SERIES && s->limits.catch_up_ns > 0;
    if (t->state == CATCH_UP_LIVE) {
        if (s->catching_up++ == 0) s->late = (struct time_range){INT64_MAX, INT64_MIN};
        t->gap_from_ns = NEVER_NS;
        t->awaits_senders = t->is_logged = t->is_held_again = t->has_gap = false;
        t->held_until_ns = 0;
        t->fill_logged = FILL_SILENT;
        t->filled = 0;
    }
    if (from_ns < t->gap_from_ns) t->gap_from_ns = from_ns;
    bool begins = waits && (t->state != CATCH_UP_WAITS || t->pauses != s->pauses);
    if (reason != CATCH_UP_SERIES) t->pauses = s->pauses;
    if (begins) begin_wait(s, t, monotonic_ns);
    bool finds_gap = t->state == CATCH_UP_WAITS && reason == CATCH_UP_GAP && !t->has_gap;
    if (begins || finds_gap) t->held_until_ns = t->until_ns;
    t->has_gap |= finds_gap;
    if (t->state == CATCH_UP_LIVE) begin_fill(s, t);
}

/* Ends the catch-up: cursors have reached the clock, or cannot advance. */
static void
catch_up_finish(struct scheduler *s, struct scheduled_tenant *t)
{
    assert(t->runs == TENANT_RESTS); /* invariant 1 */
    bool is_late = false;
    assert(t->state == CATCH_UP_FILLS && s->catching_up > 0);
    t->state = CATCH_UP_LIVE;
    s->catching_up--;
    for (uint32_t i = t->first; i < t->end; i++) {
        struct scheduled *e = s->items[i];
        /* A late group is in the heap for its alerts, which are due later. */
        is_late |=
            e->place == SCHEDULED_IN_HEAP && e->group->records && e->next_slot < e->alert_slot;
        scheduled_place(s, e);
    }
    if (is_late) scheduler_place_all(s);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void
take_look(struct scheduler *s, struct scheduled_tenant *t, struct scheduler_job *job)
{
    int64_t from_ms = t->gap_from_ns / NS_PER_MS, to_ms = t->gap_to_ns / NS_PER_MS;
    if (from_ms < s->late.min_ms) s->late.min_ms = from_ms;
    if (to_ms > s->late.max_ms) s->late.max_ms = to_ms;
    assert(t->state == CATCH_UP_WAITS && t->runs == TENANT_RESTS); /* invariant 1 */
    t->runs = TENANT_LOOKS;
    job->work = WORK_LOOK;
    job->tenant = t;
    job->look.late = s->late;
    job->from_ms = from_ms;
    job->look.awaited_from_ms = from_ms - SENT_MS;
    job->look.sent_ms = t->sent_ms;
    job->look.is_logged = t->is_logged;
}

void
catch_up_looked(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns)
{
    struct scheduled_tenant *t = job->tenant;
    assert(t->runs == TENANT_LOOKS);
    t->runs = TENANT_RESTS;
    t->is_logged = job->look.is_logged;
    if (t->state != CATCH_UP_WAITS) return;
    if (job->store_refuses) {
        wait_for_store(s, t, monotonic_ns);
    } else if (t->is_refused && !t->is_held_again) { /* senders send now */
        t->held_until_ns = t->until_ns;
        t->is_held_again = true;
    }
    t->is_refused = job->store_refuses;
    t->look_ns = monotonic_ns + LOOK_NS;
    s->catch_up_ns = 0;
    if (job->store_refuses) return;
    const struct rules_arrivals *a = &job->arrivals;
    if (a->sent_ms > t->sent_ms) t->sent_ms = a->sent_ms;
    t->awaits_senders |= t->sent_ms >= t->gap_from_ns / NS_PER_MS - SENT_MS;
    int64_t quiet_since_ns = a->late_ns > t->since_ns ? a->late_ns : t->since_ns;
    bool is_quiet = a->recent_ns > t->since_ns && monotonic_ns - quiet_since_ns >= QUIET_NS;
    if (!t->awaits_senders || monotonic_ns >= t->until_ns || is_quiet) begin_fill(s, t);
}

void
scheduler_cancel_fills(struct scheduler *s)
{
    for (struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next)
        atomic_store(&t->cancel, "the server is stopping");
}

/* --- filling ---------------------------------------------------------------------------------- */

static void
skip_to(struct scheduled *e, int64_t slot, uint64_t *count)
{
    if (slot <= e->next_slot) return;
    *count += (uint64_t)(slot - e->next_slot);
    e->next_slot = slot;
    e->recorded_ns = e->group->before_ns = 0; /* series that ended in a skipped part stay */
    e->refused_ns = 0;
}

/* Says whether the entry has a cursor that can be advanced. */
static bool
can_fill(const struct scheduled *e)
{
    return e->group->records && e->state == SCHEDULED_READY && !e->is_unknown;
}

/* Skips evaluations that are too old, and finds the beginning of the pass: *ret_from_ns is the
 * oldest cursor. False: nothing is missing. *ret_waits: the state of some groups is unknown so far.
 */
static bool
plan_pass(struct scheduler *s, struct scheduled_tenant *t, struct scheduler_job *job,
          int64_t *ret_from_ns, bool *ret_waits)
{
    bool any = false;
    *ret_waits = false;
    *ret_from_ns = s->seen_ns;
    job->fill.slow_ns = NEVER_NS;
    for (uint32_t i = t->first; i < t->end; i++) {
        struct scheduled *e = s->items[i];
        if (!can_fill(e)) {
            *ret_waits |= e->group->records;
            continue;
        }
        int64_t age_ns = s->limits.kept_ns - e->group->query_offset_ms * NS_PER_MS;
        if (age_ns > s->limits.catch_up_ns) age_ns = s->limits.catch_up_ns;
        int64_t oldest_ns = age_ns < 0 ? s->seen_ns : s->seen_ns - age_ns;
        skip_to(e, scheduled_slot_from(e, oldest_ns), &s->totals.skipped_too_old);
        int64_t cursor_ns = scheduled_cursor_ns(e), patience_ns = scheduled_patience_ns(e);
        bool is_known = e->group->series_slot >= 0; /* else the series are to be found */
        any |= scheduled_time_ns(e, is_known ? e->next_slot : e->next_slot - 1) <= s->seen_ns;
        if (cursor_ns < *ret_from_ns) *ret_from_ns = cursor_ns;
        if (patience_ns < job->fill.slow_ns) job->fill.slow_ns = patience_ns;
    }
    return any;
}

/* False: nothing to do before t->look_ns, or the tenant is LIVE. */
static bool
take_pass(struct scheduler *s, struct scheduled_tenant *t, int64_t monotonic_ns,
          struct scheduler_job *job)
{
    assert(t->state == CATCH_UP_FILLS && t->runs == TENANT_RESTS); /* invariant 1 */
    int64_t from_ns;
    bool waits, any = plan_pass(s, t, job, &from_ns, &waits);
    t->look_ns = monotonic_ns + LOOK_NS;
    if (!any && !waits) catch_up_finish(s, t);
    if (!any) return false;
    job->fill.items_bytes = (t->end - t->first) * sizeof *job->fill.items;
    job->fill.items = mem_alloc(s->host->memory, job->fill.items_bytes);
    if (job->fill.items == NULL) return false;
    /* All groups of the tenant: replay_all() has to know the names that the others record. */
    for (uint32_t i = t->first; i < t->end; i++) {
        struct scheduled *e = s->items[i];
        if (!can_fill(e)) continue;
        job->fill.items[job->fill.count++] = (struct scheduled_fill){e, e->next_slot};
        e->fills = true;
    }
    job->work = WORK_FILL;
    job->tenant = t;
    job->fill.until_ns = s->seen_ns;
    if (job->fill.until_ns - from_ns > PASS_NS) job->fill.until_ns = from_ns + PASS_NS;
    job->fill.covered_ns = job->fill.until_ns - from_ns;
    /* Decides if the job logs the start and the end of the gap. */
    bool misses = from_ns < job->fill.until_ns;
    job->from_ms = from_ns / NS_PER_MS;
    job->fill.logs_begin = misses && t->fill_logged == FILL_SILENT;
    if (job->fill.logs_begin) {
        t->fill_logged = FILL_BEGUN;
        t->fill_began_ns = monotonic_ns;
    }
    job->fill.logs_end = t->fill_logged == FILL_BEGUN && job->fill.until_ns == job->now_ns;
    job->fill.filled = t->filled;
    job->fill.began_ns = t->fill_began_ns;
    t->look_ns = 0;
    t->runs = TENANT_FILLS; /* invariant 1 */
    atomic_store(&t->cancel, NULL);
    s->filling++;
    return true;
}

/* Returns the monotonic time at which a job of the tenant can be taken. */
static int64_t
ready_ns(const struct scheduler *s, const struct scheduled_tenant *t)
{
    if (t->state == CATCH_UP_LIVE || t->runs != TENANT_RESTS) return NEVER_NS;
    bool is_full = t->state == CATCH_UP_FILLS && s->filling > 0 && s->filling >= s->host->fills_max;
    return is_full ? NEVER_NS : t->look_ns;
}

/* There may be many tenants: all are examined only if none is ready. The search begins after the
 * tenant taken last, so that each has its turn. */
bool
catch_up_take(struct scheduler *s, int64_t monotonic_ns, struct scheduler_job *job,
              int64_t *ret_at_ns)
{
    *ret_at_ns = s->catching_up == 0 ? NEVER_NS : s->catch_up_ns;
    if (*ret_at_ns > monotonic_ns) return false;
    struct scheduled_tenant *first = s->taken_last != NULL ? s->taken_last : s->tenants, *t = first;
    int64_t soonest_ns = NEVER_NS;
    do {
        t = t->next != NULL ? t->next : s->tenants;
        bool is_ready = ready_ns(s, t) <= monotonic_ns;
        if (is_ready && t->state != CATCH_UP_FILLS) take_look(s, t, job);
        if (is_ready && t->state == CATCH_UP_FILLS) is_ready = take_pass(s, t, monotonic_ns, job);
        if (is_ready) {
            s->taken_last = t;
            return true;
        }
        int64_t at_ns = ready_ns(s, t);
        if (at_ns < soonest_ns) soonest_ns = at_ns;
    } while (t != first);
    *ret_at_ns = s->catch_up_ns = soonest_ns;
    return false;
}

/* Skips the rest of the gap. The series of the last evaluations stay known. */
static void
give_up(struct scheduler *s, struct scheduled_tenant *t)
{
    for (uint32_t i = t->first; i < t->end; i++) {
        struct scheduled *e = s->items[i];
        if (!can_fill(e)) continue;
        int64_t slot = scheduled_slot(e, s->seen_ns);
        bool is_due = s->seen_ns - scheduled_time_ns(e, slot) < scheduled_patience_ns(e);
        skip_to(e, is_due ? slot : slot + 1, &s->totals.skipped_too_slow);
        if (e->group->series_slot < 0) e->group->series_slot = e->next_slot - 1;
        e->recorded_ns = e->group->before_ns = 0;
    }
}

void
catch_up_filled(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns)
{
    struct scheduled_tenant *t = job->tenant;
    assert(t->runs == TENANT_FILLS && s->filling > 0); /* invariant 1 */
    t->runs = TENANT_RESTS;
    s->filling--;
    s->catch_up_ns = 0;
    s->totals.filled += job->fill.counts.made;
    t->filled += job->fill.counts.made;
    if (job->fill.logs_end && job->error == OK) t->fill_logged = FILL_ENDED;
    s->totals.different += job->fill.counts.different;
    for (uint32_t i = 0; i < job->fill.count; i++) {
        struct scheduled *e = job->fill.items[i].entry;
        assert(e->fills && job->fill.items[i].next_slot >= 0);
        e->fills = false;
        e->refused_ns = 0;
        if (job->fill.items[i].next_slot > e->next_slot) {
            e->next_slot = job->fill.items[i].next_slot;
            e->recorded_ns = scheduled_time_ns(e, e->next_slot - 1);
        }
        if (job->error == OK) e->is_behind = false;
    }
    if (t->state != CATCH_UP_FILLS) return;
    if (job->error && atomic_load(&t->cancel) != NULL) return; /* the next pass continues */
    if (job->error == OK) {
        int64_t now_ns = job->now_ns + monotonic_ns - job->taken_ns;
        t->failing_since_ns = 0;
        if (job->fill.falls_behind) give_up(s, t);
        bool is_complete = job->fill.until_ns == job->now_ns;
        for (uint32_t i = t->first; i < t->end && is_complete; i++) {
            const struct scheduled *e = s->items[i];
            if (!e->group->records) continue;
            is_complete = can_fill(e) && e->group->series_slot >= 0 &&
                          now_ns - scheduled_cursor_ns(e) < scheduled_patience_ns(e);
        }
        if (is_complete) catch_up_finish(s, t);
    } else if (job->store_refuses) {
        wait_for_store(s, t, monotonic_ns);
    } else { /* of a source that the rules read: the pass is repeated for catch_up_wait */
        t->look_ns = monotonic_ns + CATCH_UP_TRY_AGAIN_NS;
        if (t->failing_since_ns == 0) t->failing_since_ns = monotonic_ns;
        if (monotonic_ns - t->failing_since_ns >= s->limits.catch_up_wait_ns) give_up(s, t);
    }
}
