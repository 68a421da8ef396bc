/*
 * catch_up.c - what a tenant with a gap does until its cursors are at the clock: see scheduler.h.
 *
 * WAITS: the senders of the tenant have kept samples for the time of the gap, and send them now. A
 * result that was made before they are all there would be wrong and stay, for the first one stays.
 * The backlog is there when a sample of the last minute has come, and for 30 s none of the time
 * before the gap ended. While the store refuses writes, senders keep their samples: waiting begins
 * when it takes them again.
 *
 * FILLS: in passes. A pass evaluates all that recording groups of the tenant miss up to the time at
 * which it begins: round after round of groups that read what earlier rounds record, in each round
 * several groups side by side; at last, one evaluation after the other, groups that read each
 * other. The next pass has what became due meanwhile, which is less; at the end cursors are at the
 * clock. A pass that takes longer than the time it covers would never end: the rest is skipped.
 *
 * A fill of an entry whose group has no gap, which is done after each start, only finds out which
 * series its last evaluation gave.
 *
 * Invariants:
 *  1. No recording group of a tenant is evaluated live while the tenant is not LIVE.
 *  2. A round begins when no fill of the round before runs.
 */
#include <assert.h>

#include "rules/scheduler_private.h"

#define LOOK_NS      NS_PER_S
#define QUIET_NS     (30 * NS_PER_S) /* without late samples: the backlog is there */
#define SENT_MS      (60 * 1000)     /* before the gap: senders that wrote then are awaited */
#define TRY_AGAIN_NS (5 * NS_PER_S)

#define FILL_NS (4 * 3600 * NS_PER_S) /* of one job: a reload waits for it */

bool
catch_up_holds(const struct scheduled *e, int64_t monotonic_ns)
{
    const struct scheduled_tenant *t = e->tenant;
    if (t->state == CATCH_UP_FILLS) return e->reads_recorded;
    return t->state == CATCH_UP_WAITS && monotonic_ns < t->held_until_ns;
}

static void
begin_fill(struct scheduler *s, struct scheduled_tenant *t)
{
    t->state = CATCH_UP_FILLS;
    s->catch_up_ns = 0;
    t->pass_until_ns = 0;
    t->look_ns = 0;
    t->failing_since_ns = 0;
}

static void
begin_wait(struct scheduler *s, struct scheduled_tenant *t, int64_t monotonic_ns)
{
    t->state = CATCH_UP_WAITS;
    s->catch_up_ns = 0;
    t->gap_to_ns = s->seen_ns;
    t->pauses = s->pauses;
    t->since_ns = monotonic_ns;
    t->until_ns = monotonic_ns + s->limits.catch_up_wait_ns;
    t->look_ns = monotonic_ns;
}

void
catch_up_begin(struct scheduler *s, struct scheduled_tenant *t, int64_t gap_from_ns, bool is_gap,
               int64_t monotonic_ns)
{
    bool waits = is_gap && s->limits.catch_up_ns > 0;
    if (t->state == CATCH_UP_LIVE) {
        s->catching_up++;
        t->gap_from_ns = NEVER_NS;
        t->awaits_senders = t->is_logged = false;
    }
    if (gap_from_ns < t->gap_from_ns) t->gap_from_ns = gap_from_ns;
    if (waits && (t->state != CATCH_UP_WAITS || t->pauses != s->pauses)) {
        begin_wait(s, t, monotonic_ns);
        t->held_until_ns = t->until_ns;
    }
    if (t->state == CATCH_UP_LIVE) begin_fill(s, t);
}

static void
end(struct scheduler *s, struct scheduled_tenant *t)
{
    assert(t->filling == 0);
    t->state = CATCH_UP_LIVE;
    s->catching_up--;
    for (uint32_t i = t->first; i < t->end; i++) {
        scheduled_place(s, s->items[i]);
    }
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void
take_look(struct scheduler *s, struct scheduled_tenant *t, int64_t monotonic_ns,
          struct scheduler_job *job)
{
    struct time_range late = {INT64_MAX, INT64_MIN};
    for (const struct scheduled_tenant *other = s->tenants; other != NULL; other = other->next) {
        if (other->state != CATCH_UP_WAITS) continue;
        int64_t from_ms = other->gap_from_ns / NS_PER_MS, to_ms = other->gap_to_ns / NS_PER_MS;
        if (from_ms < late.min_ms) late.min_ms = from_ms;
        if (to_ms > late.max_ms) late.max_ms = to_ms;
    }
    t->is_looking = true;
    *job = (struct scheduler_job){
        .work = WORK_LOOK,
        .tenant = t,
        .limits = s->limits,
        .taken_ns = monotonic_ns,
        .now_ns = s->seen_ns,
        .late = late,
        .is_first_look = !t->is_logged,
    };
    t->is_logged = true;
}

static bool
backlog_is_there(struct scheduled_tenant *t, const struct rules_arrivals *a, int64_t monotonic_ns)
{
    if (a->sent_ms > t->sent_ms) t->sent_ms = a->sent_ms;
    t->awaits_senders |= t->sent_ms >= t->gap_from_ns / NS_PER_MS - SENT_MS;
    if (!t->awaits_senders || monotonic_ns >= t->until_ns) return true;
    int64_t quiet_since_ns = a->late_ns > t->since_ns ? a->late_ns : t->since_ns;
    return a->recent_ns > t->since_ns && monotonic_ns - quiet_since_ns >= QUIET_NS;
}

void
catch_up_looked(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns)
{
    struct scheduled_tenant *t = job->tenant;
    t->is_looking = false;
    if (t->state != CATCH_UP_WAITS) return;
    if (job->store_refuses) {
        begin_wait(s, t, monotonic_ns);
    } else if (t->is_refused) { /* senders come now */
        t->held_until_ns = t->until_ns;
    }
    t->is_refused = job->store_refuses;
    t->look_ns = monotonic_ns + LOOK_NS;
    s->catch_up_ns = 0;
    if (!job->store_refuses && backlog_is_there(t, &job->arrivals, monotonic_ns)) begin_fill(s, t);
}

/* --- filling ---------------------------------------------------------------------------------- */

/* It misses evaluations up to the end of the pass, or which series its last one gave. */
static bool
needs_fill(const struct scheduled_tenant *t, const struct scheduled *e)
{
    if (!group_records(e->group) || e->state != SCHEDULED_READY) return false;
    bool is_known = e->group->series_slot >= 0 && !e->is_behind;
    return !is_known || e->next_slot <= scheduled_slot(e, t->pass_until_ns);
}

/* So old is the oldest that may be evaluated. */
static int64_t
oldest_ns(const struct scheduler *s, const struct scheduled *e, int64_t now_ns)
{
    int64_t kept_ns = s->limits.kept_ns - e->group->query_offset_ms * NS_PER_MS;
    int64_t age_ns = kept_ns < s->limits.catch_up_ns ? kept_ns : s->limits.catch_up_ns;
    return age_ns < 0 ? now_ns : now_ns - age_ns;
}

static void
skip_to(struct scheduled *e, int64_t slot, uint64_t *count)
{
    if (slot <= e->next_slot) return;
    *count += (uint64_t)(slot - e->next_slot);
    e->next_slot = slot;
    e->is_refused = false;
}

static void
begin_pass(struct scheduler *s, struct scheduled_tenant *t, int64_t monotonic_ns)
{
    int64_t first_ns = t->pass_until_ns = s->seen_ns;
    t->pass_began_ns = monotonic_ns;
    t->has_filled = false;
    t->round = 0;
    t->at = t->first;
    for (uint32_t i = t->first; i < t->end; i++) {
        struct scheduled *e = s->items[i];
        if (!needs_fill(t, e)) continue;
        int64_t slot = scheduled_slot_from(e, oldest_ns(s, e, s->seen_ns));
        skip_to(e, slot, &s->totals.skipped_too_old);
        int64_t cursor_ns = scheduled_cursor_ns(e);
        if (cursor_ns < first_ns) first_ns = cursor_ns;
    }
    t->pass_covers_ns = t->pass_until_ns - first_ns;
}

/* Cursors are at the clock, or as near as they always are. */
static bool
is_at_clock(const struct scheduler *s, const struct scheduled_tenant *t)
{
    for (uint32_t i = t->first; i < t->end; i++) {
        const struct scheduled *e = s->items[i];
        if (!group_records(e->group)) continue;
        bool is_late = s->seen_ns - scheduled_cursor_ns(e) >= scheduled_patience_ns(e);
        if (e->state != SCHEDULED_READY || is_late || e->group->series_slot < 0) return false;
    }
    return true;
}

static void
end_pass(struct scheduler *s, struct scheduled_tenant *t, int64_t monotonic_ns)
{
    t->pass_until_ns = 0;
    if (!is_at_clock(s, t)) {
        if (!t->has_filled) t->look_ns = monotonic_ns + LOOK_NS; /* groups are restored yet */
        bool is_slow = t->has_filled && monotonic_ns - t->pass_began_ns > t->pass_covers_ns;
        if (!is_slow) return;
        for (uint32_t i = t->first; i < t->end; i++) {
            struct scheduled *e = s->items[i];
            if (!group_records(e->group) || e->state != SCHEDULED_READY) continue;
            skip_to(e, scheduled_slot(e, s->seen_ns), &s->totals.skipped_too_slow);
        }
        s->fell_behind = t;
    }
    end(s, t);
}

/* Entries from number `first` to before `end` of the round, up to FILL_NS from the oldest cursor.
 */
static bool
take_entries(struct scheduler *s, struct scheduled_tenant *t, uint32_t first, uint32_t end,
             int64_t monotonic_ns, struct scheduler_job *job)
{
    size_t bytes = (end - first) * sizeof(struct fill);
    struct fill *fills = mem_alloc(s->host->memory, bytes);
    if (fills == NULL) {
        t->look_ns = monotonic_ns + TRY_AGAIN_NS;
        return false;
    }
    *job = (struct scheduler_job){
        .work = WORK_FILL,
        .tenant = t,
        .limits = s->limits,
        .taken_ns = monotonic_ns,
        .now_ns = s->seen_ns,
        .fills = fills,
        .fills_bytes = bytes,
        .until_ns = t->pass_until_ns,
    };
    for (uint32_t i = first; i < end; i++) {
        struct scheduled *e = s->items[i];
        if (e->round != t->round || !needs_fill(t, e)) continue;
        struct fill fill = {e, scheduled_cursor_ns(e), e->last_slot};
        if (fill.cursor_ns + FILL_NS < job->until_ns) job->until_ns = fill.cursor_ns + FILL_NS;
        fills[job->fill_count++] = fill;
        e->users++;
        e->fills = true;
    }
    t->filling++;
    t->has_filled = true;
    s->filling++;
    return true;
}

/* Takes a job for the next entries of the round. False: all have one. */
static bool
take_from_round(struct scheduler *s, struct scheduled_tenant *t, int64_t monotonic_ns,
                struct scheduler_job *job)
{
    while (t->at < t->end) {
        uint32_t first = t->at;
        t->at = t->round == REPLAY_TOGETHER ? t->end : first + 1;
        for (uint32_t i = first; i < t->at; i++) {
            const struct scheduled *e = s->items[i];
            if (e->round != t->round || e->fills || !needs_fill(t, e)) continue;
            return take_entries(s, t, first, t->at, monotonic_ns, job);
        }
    }
    return false;
}

/* The first round from this one on that has something to do. False: there is none. */
static bool
find_round(struct scheduler *s, struct scheduled_tenant *t)
{
    bool any = false;
    uint32_t round = REPLAY_TOGETHER;
    for (uint32_t i = t->first; i < t->end; i++) {
        const struct scheduled *e = s->items[i];
        if (e->round < t->round || !needs_fill(t, e)) continue;
        if (e->round < round) round = e->round;
        any = true;
    }
    t->round = round;
    t->at = t->first;
    return any;
}

/* True: *job is a fill of this tenant. Else it goes on when a fill has ended or at *ret_at_ns
 * (monotonic). */
static bool
take_fill(struct scheduler *s, struct scheduled_tenant *t, int64_t monotonic_ns,
          struct scheduler_job *job, int64_t *ret_at_ns)
{
    *ret_at_ns = t->look_ns;
    if (t->look_ns > monotonic_ns) return false;
    *ret_at_ns = NEVER_NS;
    if (s->filling >= s->host->fills_max && s->filling > 0) return false;
    if (t->pass_until_ns == 0) begin_pass(s, t, monotonic_ns);
    if (take_from_round(s, t, monotonic_ns, job)) return true;
    if (t->filling > 0) return false; /* invariant 2 */
    if (find_round(s, t) && take_from_round(s, t, monotonic_ns, job)) return true;
    if (t->look_ns <= monotonic_ns) end_pass(s, t, monotonic_ns);
    *ret_at_ns = t->look_ns;
    return false;
}

/* Takes the next job of one tenant. False: it has none before *ret_at_ns (monotonic). */
static bool
take_of(struct scheduler *s, struct scheduled_tenant *t, int64_t monotonic_ns,
        struct scheduler_job *job, int64_t *ret_at_ns)
{
    *ret_at_ns = NEVER_NS;
    if (t->state == CATCH_UP_FILLS) return take_fill(s, t, monotonic_ns, job, ret_at_ns);
    if (t->state != CATCH_UP_WAITS || t->is_looking) return false;
    *ret_at_ns = t->look_ns;
    if (t->look_ns > monotonic_ns) return false;
    take_look(s, t, monotonic_ns, job);
    return true;
}

/* There may be many tenants: all are looked at only when nothing is due before then. The search
 * begins after the one that was taken last, so that each has its turn. */
bool
catch_up_take(struct scheduler *s, int64_t monotonic_ns, struct scheduler_job *job,
              int64_t *ret_at_ns)
{
    *ret_at_ns = s->catching_up == 0 ? NEVER_NS : s->catch_up_ns;
    if (*ret_at_ns > monotonic_ns) return false;
    struct scheduled_tenant *first = s->taken_last == NULL ? s->tenants : s->taken_last->next;
    int64_t soonest_ns = NEVER_NS;
    for (unsigned pass = 0; pass < 2; pass++) {
        struct scheduled_tenant *t = pass == 0 ? first : s->tenants;
        for (; t != NULL && (pass == 0 || t != first); t = t->next) {
            int64_t at_ns;
            if (take_of(s, t, monotonic_ns, job, &at_ns)) {
                s->taken_last = t;
                return true;
            }
            if (at_ns < soonest_ns) soonest_ns = at_ns;
        }
    }
    *ret_at_ns = s->catch_up_ns = soonest_ns;
    return false;
}

/* Its groups cannot be filled, for what they read is away: they are tried again for as long as a
 * backlog is awaited, and then go on at the clock. */
static void
note_failure(struct scheduler *s, struct scheduled_tenant *t, const struct scheduler_job *job,
             int64_t monotonic_ns)
{
    t->look_ns = monotonic_ns + TRY_AGAIN_NS;
    if (t->failing_since_ns == 0) t->failing_since_ns = monotonic_ns;
    if (monotonic_ns - t->failing_since_ns < s->limits.catch_up_wait_ns) return;
    for (uint32_t i = 0; i < job->fill_count; i++) {
        struct scheduled *e = job->fills[i].entry;
        skip_to(e, scheduled_slot(e, s->seen_ns) + 1, &s->totals.skipped_too_slow);
        e->group->series_slot = e->next_slot - 1; /* what it wrote last is not known: no markers */
    }
}

void
catch_up_filled(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns)
{
    struct scheduled_tenant *t = job->tenant;
    t->filling--;
    s->filling--;
    s->catch_up_ns = 0;
    s->totals.filled += job->counts.made;
    s->totals.different += job->counts.different;
    for (uint32_t i = 0; i < job->fill_count; i++) {
        struct scheduled *e = job->fills[i].entry;
        int64_t next_slot = scheduled_slot(e, job->until_ns) + 1;
        e->fills = false;
        if (job->error == OK && next_slot > e->next_slot) e->next_slot = next_slot;
        e->is_refused = false;
        if (job->error == OK) e->is_behind = false;
    }
    if (job->error == OK)
        t->failing_since_ns = 0;
    else if (job->store_refuses)
        begin_wait(s, t, monotonic_ns);
    else
        note_failure(s, t, job, monotonic_ns);
}
