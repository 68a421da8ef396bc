/*
 * agenda_work.c - what is due is taken, and noted when it was run: see agenda.h.
 *
 * Servers may have 100,000 groups, and what is due is asked for whenever one was evaluated: those
 * that do not run stand in heaps by the time at which they are due. All are looked at only while
 * something is to be made up, or when the clock was set back.
 */
#include "base/heap.h"
#include "rules/agenda_private.h"
#include "sys/env.h"

#define LOOK_AGAIN_NS (2 * NS_PER_S)   /* for input that was not there */
#define TRY_AGAIN_NS  (5 * NS_PER_S)   /* what failed */
#define BEGIN_WAIT_NS (60 * NS_PER_S)  /* so long is what was before tried to be found out */
#define REST_NS_MAX   NS_PER_S         /* between evaluations that are made up */
#define STUCK_NS      (300 * NS_PER_S) /* nothing is waited for that makes no progress */
#define NEVER_NS      INT64_MAX
#define GAP_SLOTS     2 /* missed in a row: a thread that comes late misses one */

/* --- due -------------------------------------------------------------------------------------- */

static void
put_due(struct due_heap *heap, int64_t at_ns, struct agenda_entry *e)
{
    struct due due = {at_ns, e};
    heap_up(heap->items, heap->count, due, a->at_ns < b->at_ns);
    heap->count++;
    e->is_in_due = true;
}

static void
drop_first_due(struct due_heap *heap)
{
    heap->items[0].entry->is_in_due = false;
    heap->count--;
    if (heap->count == 0) return;
    heap_down(heap->items, heap->count, 0, heap->items[heap->count], a->at_ns < b->at_ns);
}

/* Whether the clock was set back: the next evaluation would be more than two intervals from now.
 * Slots begin in 1970; a clock before that has none. */
static bool
was_set_back(const struct agenda_entry *e, int64_t slot)
{
    return (slot < 0 ? 0 : slot + 2) < e->next_slot;
}

/* In its place, unless it has one or is configured no more. One that waits for another one's state
 * comes when that has ended. */
static void
add_due(struct agenda *a, struct agenda_entry *e)
{
    if (!e->is_listed || e->running || e->is_in_due) return;
    if (!e->begun) {
        if (e->from == NULL || !e->from->running) put_due(&a->begins, e->not_before_ns, e);
        return;
    }
    const struct schedule *schedule = group_schedule(e->group);
    bool is_back = was_set_back(e, schedule_slot(schedule, a->seen_ns));
    put_due(&a->due, is_back ? a->seen_ns : schedule_time_ns(schedule, e->next_slot), e);
}

/* --- what is missing -------------------------------------------------------------------------- */

/* How old what is made up may be. */
static int64_t
owed_for_ns(const struct agenda *a, const struct agenda_entry *e)
{
    int64_t kept_ns = a->limits.kept_ns - e->group->query_offset_ms * NS_PER_MS;
    if (kept_ns < 0) return 0;
    return kept_ns < a->limits.catch_up_ns ? kept_ns : a->limits.catch_up_ns;
}

bool
agenda_oldest_missing(const struct agenda *a, const struct agenda_entry *e, int64_t now_ns,
                      int64_t *ret)
{
    if (a->limits.catch_up_ns == 0 || !e->begun || e->settled.count == 0) return false;
    const struct schedule *schedule = group_schedule(e->group);
    int64_t from = schedule_slot(schedule, now_ns - owed_for_ns(a, e)) + 1;
    if (from < e->settled.runs[0].first) from = e->settled.runs[0].first;
    int64_t slot = slots_first_missing(&e->settled, from);
    *ret = slot;
    return slot < agenda_slots_end(e);
}

/* After whatever may have changed what the group owes. */
static void
note_owed(struct agenda *a, struct agenda_entry *e, int64_t now_ns, int64_t monotonic_ns)
{
    if (!e->is_listed) return;
    struct agenda_tenant *tenant = &a->tenants[e->tenant];
    int64_t *owes_ns = &a->owes_ns[e->index];
    bool owed = *owes_ns != NEVER_NS;
    int64_t slot;
    bool owes = agenda_oldest_missing(a, e, now_ns, &slot);
    *owes_ns = owes ? schedule_time_ns(group_schedule(e->group), slot) : NEVER_NS;
    if (owes) {
        e->owed_until_ns = *owes_ns + owed_for_ns(a, e);
        if (e->not_before_ns < a->look_ns) a->look_ns = e->not_before_ns;
        if (a->owing == 0) a->progress_ns = monotonic_ns;
    }
    if (owed && !owes) a->look_ns = 0; /* others may have waited for it */
    tenant->owing += (uint32_t)owes - (uint32_t)owed;
    a->owing += (uint32_t)owes - (uint32_t)owed;
}

void
agenda_fill(struct agenda *a, int64_t now_ns, int64_t monotonic_ns)
{
    bool owed = a->owing > 0;
    int64_t progress_ns = a->progress_ns;
    a->begins.count = a->due.count = a->owing = 0;
    a->owed_for_ns = INT64_MAX;
    a->shortest_ns = 3600 * NS_PER_S; /* or less */
    for (uint32_t i = 0; i < a->tenant_count; i++) {
        a->tenants[i].owing = a->tenants[i].may_owe = a->tenants[i].unbegun = 0;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        struct agenda_entry *e = a->items[i];
        e->is_in_due = false;
        add_due(a, e);
        a->owes_ns[i] = NEVER_NS;
        note_owed(a, e, now_ns, monotonic_ns);
        a->tenants[e->tenant].may_owe += !e->begun && group_records(e->group);
        a->tenants[e->tenant].unbegun += !e->begun;
        int64_t owed_for = owed_for_ns(a, e);
        if (owed_for < a->owed_for_ns) a->owed_for_ns = owed_for;
        int64_t interval_ns = group_schedule(e->group)->interval_ns;
        if (interval_ns < a->shortest_ns) a->shortest_ns = interval_ns;
    }
    if (owed) a->progress_ns = progress_ns;
}

/* --- taking ----------------------------------------------------------------------------------- */

static void
make_job(const struct agenda *a, struct agenda_entry *e, enum agenda_work work, int64_t slot,
         int64_t monotonic_ns, struct agenda_job *job)
{
    e->running = true;
    e->runs_live = work == AGENDA_LIVE;
    *job = (struct agenda_job){
        .taken_ns = monotonic_ns,
        .work = work,
        .entry = e,
        .slot = slot,
        .how = {.at_ns = schedule_time_ns(group_schedule(e->group), slot)},
        .limits = a->limits,
        .lost_state = e->lost_state,
    };
    e->lost_state = false;
}

/* From its last evaluation at another interval to before a slot. */
static bool
owes_nothing_since(const struct agenda_entry *e, int64_t since_ns, int64_t slot)
{
    int64_t since = schedule_slot(group_schedule(e->group), since_ns);
    return slots_first_missing(&e->settled, since + 1) >= slot;
}

/* Whether it missed evaluations that it has not seen yet, as the clock was set forward. */
static bool
is_late(const struct agenda_entry *e, int64_t now_ns)
{
    const struct schedule *schedule = group_schedule(e->group);
    bool was_idle = schedule_time_ns(schedule, e->next_slot) > e->ended_ns;
    return was_idle && schedule_slot(schedule, now_ns) > e->next_slot;
}

/* When what its rules recorded last was recorded, if that was the last time to do so; else 0, also
 * if the clock was set forward since then, or the machine slept. */
static int64_t
series_time_ns(const struct agenda_entry *e, int64_t now_ns)
{
    int64_t slot = e->group->series_slot;
    if (is_late(e, now_ns)) return 0;
    if (e->series_at_ns != 0 || slot < 0 || slot != e->next_slot - 1) return e->series_at_ns;
    return schedule_time_ns(group_schedule(e->group), slot);
}

/* Whether an alert is pending or firing. It does not run. */
static bool
has_active(const struct group *g)
{
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        const struct alerts *alerts = &g->rules[i].alerts;
        for (uint32_t k = 0; k < alerts->count; k++) {
            if (alert_is_active(alerts->items[k])) return true;
        }
    }
    return false;
}

/* Evaluations were missed although nothing ran: the clock was set forward, or the machine slept.
 * What senders have kept comes after that, as after a restart. */
static void
note_gap(struct agenda *a, struct agenda_entry *e, int64_t slot, int64_t monotonic_ns)
{
    const struct schedule *schedule = group_schedule(e->group);
    int64_t before_ns = schedule_time_ns(schedule, e->next_slot - 1);
    if (schedule_time_ns(schedule, e->next_slot) <= e->ended_ns) return;
    a->gap_ended_ns = monotonic_ns;
    e->input = INPUT_NOT_LOOKED_AT;
    e->is_behind = e->settled.count > 0;
    if (slot - e->next_slot < GAP_SLOTS || e->down_ns != 0) return;
    if (has_active(e->group)) e->down_ns = before_ns;
}

/* Of the group that it replaces. False: that runs yet. */
static bool
took_over(struct agenda *a, struct agenda_entry *e, int64_t now_ns, int64_t monotonic_ns)
{
    if (e->from == NULL) return true;
    if (e->from->running) return false;
    const struct schedule *mine = group_schedule(e->group);
    const struct schedule *its = group_schedule(e->from->group);
    bool same = mine->interval_ns == its->interval_ns && mine->shift_ns == its->shift_ns;
    if (!same && is_late(e->from, now_ns)) { /* it will not see that any more */
        note_gap(a, e->from, schedule_slot(its, now_ns), monotonic_ns);
    }
    e->lost_state = group_take_over(e->group, e->from->group) != OK;
    /* What was lost for want of memory is restored as after a restart. */
    e->took_over = (e->from->begun || e->from->took_over) && !e->lost_state;
    if (e->took_over && same) e->next_slot = e->from->next_slot;
    int64_t at_ns = same ? e->from->series_at_ns : series_time_ns(e->from, now_ns);
    bool owes = same && e->from->begun && !owes_nothing_since(e->from, at_ns, e->from->next_slot);
    if (e->took_over && group_records(e->group) && !owes) e->series_at_ns = at_ns;
    /* What becomes due until it has begun is owed. */
    if (e->series_at_ns != 0 && !same) e->next_slot = schedule_slot(mine, now_ns) + 1;
    e->is_behind = e->from->is_behind;
    e->down_ns = e->from->down_ns;
    e->ended_ns = e->from->ended_ns < now_ns ? e->from->ended_ns : now_ns; /* it was set back */
    e->recorded_ns = e->from->recorded_ns < now_ns ? e->from->recorded_ns : now_ns;
    agenda_entry_free(a, e->from);
    e->from = NULL;
    return true;
}

static bool
take_begin(struct agenda *a, struct agenda_entry *e, int64_t now_ns, int64_t monotonic_ns,
           struct agenda_job *job)
{
    if (!took_over(a, e, now_ns, monotonic_ns)) return false;
    if (e->begin_until_ns == 0) e->begin_until_ns = monotonic_ns + BEGIN_WAIT_NS;
    make_job(a, e, AGENDA_BEGIN, schedule_slot(group_schedule(e->group), now_ns), monotonic_ns,
             job);
    job->how.at_ns = now_ns;
    job->took_over = e->took_over;
    job->down_ns = e->down_ns;
    job->is_last_try = monotonic_ns >= e->begin_until_ns;
    return true;
}

/* The evaluation before that was made, and what this one settles. */
static void
note_before(const struct agenda_entry *e, struct agenda_job *job)
{
    const struct schedule *schedule = group_schedule(e->group);
    int64_t slot = job->slot, before, since = slot - 1; /* all after it is settled */
    bool any = slots_last_before(&e->made, slot, &before);
    job->has_before = any && slots_first_missing(&e->settled, before) >= slot;
    if (job->has_before) job->before_slot = since = before;
    job->how.settles_ns = (slot - since) * schedule->interval_ns;
    int64_t span_ns = job->how.at_ns - e->series_at_ns;
    if (e->series_at_ns == 0 || span_ns <= 0) return;
    bool settles = job->how.settles_ns < span_ns && owes_nothing_since(e, e->series_at_ns, slot);
    if (settles) job->how.settles_ns = span_ns;
    bool is_later = job->has_before && schedule_time_ns(schedule, before) > e->series_at_ns;
    job->has_series = !is_later;
}

/* Whether groups of a tenant have not seen yet that they missed evaluations, as the clock was set
 * forward. They are looked through only if the first one of all that are due may have missed some:
 * a server that is late otherwise would become later with each one that it evaluates. */
static bool
any_late(const struct agenda *a, const struct agenda_tenant *tenant, int64_t now_ns)
{
    bool may_be = a->due.count > 0 && a->due.items[0].at_ns <= now_ns - a->shortest_ns;
    if (!may_be) return false;
    for (uint32_t i = tenant->first; i < tenant->end; i++) {
        const struct agenda_entry *e = a->items[i];
        if (!e->running && e->settled.count > 0 && is_late(e, now_ns)) return true;
    }
    return false;
}

/* What of the group is evaluated, now that its time has come. False: nothing. */
static bool
choose_part(const struct agenda *a, struct agenda_entry *e, int64_t monotonic_ns,
            struct agenda_job *job)
{
    bool catches_up = a->limits.catch_up_ns > 0;
    bool progresses = monotonic_ns - a->progress_ns < STUCK_NS;
    const struct agenda_tenant *tenant = &a->tenants[e->tenant];
    bool is_behind =
        e->is_behind || (e->reads_recorded && (tenant->owing > 0 || tenant->may_owe > 0 ||
                                               any_late(a, tenant, job->now_ns)));
    bool waits = catches_up && progresses && !a->falls_behind && is_behind;
    bool is_early = monotonic_ns - a->gap_ended_ns < a->limits.catch_up_wait_ns;
    if (!is_early) e->down_ns = 0;
    job->down_ns = e->down_ns;
    job->how.holds = waits && e->reads_recorded;
    job->how.keeps_orphans = tenant->unbegun > 0;
    /* The clock was set back: that was recorded already. */
    bool records = group_records(e->group) && !waits && !slots_has(&e->made, job->slot);
    job->how.part = !records                 ? GROUP_ALERTING
                    : group_alarms(e->group) ? GROUP_ALL
                                             : GROUP_RECORDING;
    note_before(e, job);
    job->how.after_gap = catches_up && e->settled.count > 0 && !job->has_before && !job->has_series;
    return records || group_alarms(e->group);
}

/* What an evaluation that took too long left no time for is not owed. */
static void
note_missed(struct agenda_entry *e, int64_t slot)
{
    group_count_missed(e->group, (uint64_t)(slot - e->next_slot));
    const struct schedule *schedule = group_schedule(e->group);
    for (int64_t s = e->next_slot; s < slot && e->settled.count > 0; s++) {
        if (schedule_time_ns(schedule, s) > e->ended_ns) return;
        err_ignore(slots_add(&e->settled, s, s), "it is made up, then");
    }
}

static void
note_recorded(const struct agenda *a, struct agenda_entry *e, int64_t at_ns)
{
    if (at_ns > a->seen_ns) at_ns = a->seen_ns; /* it was set back meanwhile */
    if (at_ns > e->recorded_ns) e->recorded_ns = at_ns;
}

static bool
take_live(struct agenda *a, struct agenda_entry *e, int64_t now_ns, int64_t monotonic_ns,
          struct agenda_job *job)
{
    int64_t slot = schedule_slot(group_schedule(e->group), now_ns);
    if (was_set_back(e, slot)) e->next_slot = slot < 0 ? 0 : slot;
    if (slot < e->next_slot) return false;
    if (slot > e->next_slot) {
        note_gap(a, e, slot, monotonic_ns);
        note_missed(e, slot);
    }
    e->next_slot = slot + 1;
    make_job(a, e, AGENDA_LIVE, slot, monotonic_ns, job);
    job->now_ns = now_ns;
    e->running = choose_part(a, e, monotonic_ns, job);
    bool is_known = !e->is_behind || e->recorded_ns == 0;
    if (is_known && slots_has(&e->made, slot)) note_recorded(a, e, job->how.at_ns);
    note_owed(a, e, now_ns, monotonic_ns);
    return e->running;
}

/* The oldest that groups of a tenant owe. */
static int64_t
oldest_of_tenant_ns(struct agenda *a, const struct agenda_tenant *tenant, int64_t now_ns,
                    int64_t monotonic_ns)
{
    int64_t oldest_ns = NEVER_NS, may_be_old_ns = now_ns - a->owed_for_ns;
    for (uint32_t i = tenant->first; i < tenant->end; i++) {
        if (a->owes_ns[i] <= may_be_old_ns && a->items[i]->owed_until_ns <= now_ns) {
            note_owed(a, a->items[i], now_ns, monotonic_ns);
        }
        if (a->owes_ns[i] < oldest_ns) oldest_ns = a->owes_ns[i];
    }
    return oldest_ns;
}

/* When the first one may be made up of those that were put off, or lie ahead. */
static int64_t
first_put_off_ns(const struct agenda *a, int64_t now_ns, int64_t monotonic_ns)
{
    int64_t first_ns = NEVER_NS;
    for (uint32_t i = 0; i < a->count; i++) {
        int64_t at_ns = a->items[i]->not_before_ns, owes_ns = a->owes_ns[i];
        if (owes_ns == NEVER_NS) continue;
        if (owes_ns > now_ns && at_ns < monotonic_ns + (owes_ns - now_ns)) {
            at_ns = monotonic_ns + (owes_ns - now_ns);
        }
        bool is_put_off = at_ns > monotonic_ns;
        if (is_put_off && at_ns < first_ns) first_ns = at_ns;
    }
    return first_ns;
}

/* The one that owes the oldest, of those whose turn it is. NULL: none before a->look_ns. When the
 * clock was set back a little, what was owed may lie ahead: what it reads may not be recorded yet.
 */
static struct agenda_entry *
choose(struct agenda *a, int64_t now_ns, int64_t monotonic_ns)
{
    struct agenda_entry *best = NULL;
    int64_t best_ns = NEVER_NS;
    for (uint32_t k = 0; k < a->tenant_count; k++) {
        const struct agenda_tenant *tenant = &a->tenants[k];
        if (tenant->owing == 0) continue;
        int64_t oldest_ns = oldest_of_tenant_ns(a, tenant, now_ns, monotonic_ns);
        if (tenant->may_owe > 0) oldest_ns = INT64_MIN; /* what those owe is not known yet */
        for (uint32_t i = tenant->first; i < tenant->end; i++) {
            if (a->owes_ns[i] >= best_ns) continue;
            struct agenda_entry *e = a->items[i];
            bool is_held =
                a->owes_ns[i] > now_ns || (e->reads_recorded && a->owes_ns[i] > oldest_ns);
            if (is_held || e->running || e->not_before_ns > monotonic_ns) continue;
            best = e;
            best_ns = a->owes_ns[i];
        }
    }
    if (best == NULL) a->look_ns = first_put_off_ns(a, now_ns, monotonic_ns);
    return best;
}

/* Whether the backlog of senders may still be to come, as far as other groups of the tenant know:
 * what nobody sent before cannot be awaited. Groups that read what is recorded come last. */
static bool
others_wait(const struct agenda *a, const struct agenda_entry *than)
{
    const struct agenda_tenant *tenant = &a->tenants[than->tenant];
    for (uint32_t i = tenant->first; i < tenant->end; i++) {
        const struct agenda_entry *e = a->items[i];
        bool knows = e->input == INPUT_UNKNOWN || e->input == INPUT_THERE;
        if (e == than || knows || e->reads_recorded) continue;
        if (e->begun ? a->owes_ns[i] != NEVER_NS : group_records(e->group)) return true;
    }
    return false;
}

static void
add_missing(void *missing, struct group *group, struct agenda_owed owed)
{
    (void)group;
    *(uint64_t *)missing += owed.missing;
}

/* Once no input is awaited, what is missing becomes less, or else it never will: then groups that
 * read what rules record are not held up by it until all of it is there. */
static void
judge_progress(struct agenda *a, int64_t now_ns, int64_t monotonic_ns)
{
    bool is_early = monotonic_ns - a->gap_ended_ns < a->limits.catch_up_wait_ns;
    if (is_early || a->owing == 0) {
        a->judged_ns = monotonic_ns;
        a->missing_then = UINT64_MAX;
    }
    if (a->owing == 0) a->falls_behind = false;
    if (a->falls_behind || monotonic_ns - a->judged_ns < STUCK_NS) return;
    uint64_t missing = 0;
    agenda_each_owed(a, now_ns, add_missing, &missing);
    a->falls_behind = a->is_news = missing >= a->missing_then;
    a->judged_ns = monotonic_ns;
    a->missing_then = missing;
}

static void
make_past_job(struct agenda *a, struct agenda_entry *e, int64_t now_ns, int64_t monotonic_ns,
              struct agenda_job *job)
{
    int64_t slot = e->next_slot;
    (void)agenda_oldest_missing(a, e, now_ns, &slot); /* there is one */
    make_job(a, e, AGENDA_MAKE_UP, slot, monotonic_ns, job);
    job->how.part = GROUP_RECORDING;
    job->how.is_past = true;
    int64_t now_slot = schedule_slot(group_schedule(e->group), now_ns);
    job->last_slot = now_slot < e->next_slot ? now_slot : e->next_slot - 1;
    note_before(e, job);
    job->has_next = slots_first_from(&e->made, slot + 1, &job->next_slot) &&
                    slots_first_missing(&e->settled, slot + 1) > job->next_slot;
    int64_t gap_slot = slot - 1;
    (void)slots_last_before(&e->settled, slot, &gap_slot); /* there is one */
    job->gap_ns = schedule_time_ns(group_schedule(e->group), gap_slot);
    bool was_ahead = e->recorded_ns != 0 && e->recorded_ns < job->gap_ns;
    if (was_ahead) job->gap_ns = e->recorded_ns; /* the gap began before */
    job->is_current = monotonic_ns - a->gap_ended_ns >= a->limits.catch_up_wait_ns;
    job->input_slot = e->input_slot > slot ? e->input_slot : slot;
    job->input_is_there = job->is_current || e->input_slot >= slot;
    job->others_wait = !job->input_is_there && others_wait(a, e);
    job->is_refused = a->is_refused;
    job->now_ns = now_ns;
}

/* *ret_wait_ns: how long to wait if nothing can be made up now. */
static bool
take_missing(struct agenda *a, int64_t now_ns, int64_t monotonic_ns, struct agenda_job *job,
             int64_t *ret_wait_ns)
{
    *ret_wait_ns = NEVER_NS;
    if (a->owing == 0) a->progress_ns = monotonic_ns;
    judge_progress(a, now_ns, monotonic_ns);
    if (a->owing == 0 || a->making_up) return false;
    bool rests = a->look_ns > monotonic_ns || a->rest_until_ns > monotonic_ns;
    struct agenda_entry *e = rests ? NULL : choose(a, now_ns, monotonic_ns);
    if (e != NULL) {
        make_past_job(a, e, now_ns, monotonic_ns, job);
        a->making_up = true;
        return true;
    }
    int64_t until_ns = a->look_ns > a->rest_until_ns ? a->look_ns : a->rest_until_ns;
    if (until_ns != NEVER_NS) *ret_wait_ns = until_ns - monotonic_ns;
    return false;
}

/* Whether groups have still to read what those wrote that they may have replaced. */
static bool
any_unbegun(const struct agenda *a)
{
    for (uint32_t k = 0; k < a->tenant_count; k++) {
        if (a->tenants[k].unbegun > 0) return true;
    }
    return false;
}

static bool
take_retired(struct agenda *a, int64_t monotonic_ns, struct agenda_job *job)
{
    if (a->retired == NULL || any_unbegun(a)) return false;
    for (struct agenda_entry *e = a->retired; e != NULL; e = e->next) {
        bool is_early = e->not_before_ns > monotonic_ns;
        if (e->running || is_early || !took_over(a, e, e->retired_ns, monotonic_ns)) continue;
        make_job(a, e, AGENDA_RETIRE, 0, monotonic_ns, job);
        e->ends = true;
        job->how.at_ns = e->retired_ns;
        struct group **others = mem_alloc(a->host->memory, (a->count + 1) * sizeof *others);
        uint32_t count = 0;
        for (uint32_t k = 0; others != NULL && k < a->count; k++) {
            struct group *other = a->items[k]->group;
            bool same = bytes_equal(group_tenant(other), group_tenant(e->group));
            if (same) others[count++] = other;
        }
        job->error = others == NULL ? ERR_NOMEM : group_retire(e->group, others, count);
        mem_free(a->host->memory, others, (a->count + 1) * sizeof *others);
        return true;
    }
    return false;
}

static void
note_set_back(struct agenda *a, int64_t now_ns, int64_t monotonic_ns)
{
    for (uint32_t i = 0; i < a->count; i++) {
        struct agenda_entry *e = a->items[i];
        if (e->ended_ns > now_ns) e->ended_ns = now_ns;
        if (e->recorded_ns > now_ns) e->recorded_ns = now_ns;
        int64_t slot = schedule_slot(group_schedule(e->group), now_ns);
        if (e->input_slot > slot) e->input_slot = slot;
    }
    agenda_fill(a, now_ns, monotonic_ns);
}

/* The first one that is due; NULL: none is as long as something runs. */
static struct agenda_entry *
first_due(struct agenda *a, int64_t now_ns, int64_t monotonic_ns, int64_t *ret_at_ns)
{
    bool is_back = now_ns < a->seen_ns;
    a->seen_ns = now_ns;
    if (is_back) note_set_back(a, now_ns, monotonic_ns);
    while (a->due.count > 0 && a->due.items[0].entry->running) {
        drop_first_due(&a->due); /* it is made up; agenda_done() puts it back */
    }
    *ret_at_ns = a->due.count > 0 ? a->due.items[0].at_ns : NEVER_NS;
    if (a->begins.count > 0) {
        int64_t wait_ns = a->begins.items[0].at_ns - monotonic_ns;
        int64_t at_ns = now_ns + (wait_ns > 0 ? wait_ns : 0);
        if (at_ns < *ret_at_ns) {
            *ret_at_ns = at_ns;
            return a->begins.items[0].entry;
        }
    }
    return a->due.count > 0 ? a->due.items[0].entry : NULL;
}

static bool
take_due(struct agenda *a, int64_t now_ns, int64_t monotonic_ns, struct agenda_job *job,
         int64_t *until_ns)
{
    struct agenda_entry *first = first_due(a, now_ns, monotonic_ns, until_ns);
    if (first == NULL || *until_ns > now_ns) return false;
    drop_first_due(first->begun ? &a->due : &a->begins);
    bool taken = first->begun ? take_live(a, first, now_ns, monotonic_ns, job)
                              : take_begin(a, first, now_ns, monotonic_ns, job);
    if (!taken) add_due(a, first);
    return taken;
}

static bool
take(struct agenda *a, int64_t now_ns, int64_t monotonic_ns, struct agenda_job *job,
     int64_t *ret_until_ns)
{
    int64_t wait_ns;
    while (!take_due(a, now_ns, monotonic_ns, job, ret_until_ns)) {
        if (*ret_until_ns <= now_ns) continue; /* one had nothing to do at its time */
        if (take_missing(a, now_ns, monotonic_ns, job, &wait_ns)) return true;
        if (take_retired(a, monotonic_ns, job)) return true;
        if (a->retired != NULL && wait_ns > NS_PER_S) wait_ns = NS_PER_S;
        if (wait_ns < *ret_until_ns - now_ns) *ret_until_ns = now_ns + wait_ns;
        return false;
    }
    return true;
}

bool
agenda_take(struct agenda *a, int64_t now_ns, int64_t monotonic_ns, struct agenda_job *job,
            int64_t *ret_until_ns)
{
    if (!take(a, now_ns, monotonic_ns, job, ret_until_ns)) return false;
    job->fell_behind = a->is_news;
    job->missing = a->missing_then;
    a->is_news = false;
    return true;
}

/* --- done ------------------------------------------------------------------------------------- */

static void
note_made(struct agenda *a, struct agenda_entry *e, const struct agenda_job *job)
{
    if (!job->outcome.stored || job->how.part == GROUP_ALERTING || !group_records(e->group)) return;
    err_ignore(slots_add(&e->made, job->slot, job->slot),
               "then some series may end without a marker");
    err_ignore(slots_add(&e->settled, job->slot, job->slot),
               "it is made up once more, which changes nothing");
    int64_t window = a->limits.catch_up_ns / group_schedule(e->group)->interval_ns + 2;
    if (job->work == AGENDA_LIVE) e->series_at_ns = 0;
    if (job->work == AGENDA_LIVE || e->recorded_ns != 0) note_recorded(a, e, job->how.at_ns);
    slots_forget_before(&e->made, e->next_slot - window);
    slots_forget_before(&e->settled, e->next_slot - window);
}

/* One that left the configuration meanwhile ends when it was going to. */
static void
put_off(struct agenda_entry *e, int64_t until_ns)
{
    if (e->is_listed) e->not_before_ns = until_ns;
}

static void
begun(struct agenda *a, struct agenda_job *job, int64_t monotonic_ns)
{
    struct agenda_entry *e = job->entry;
    if (job->error && !job->is_last_try) {
        put_off(e, monotonic_ns + TRY_AGAIN_NS);
        return;
    }
    e->begun = true;
    if (e->is_listed) {
        a->tenants[e->tenant].unbegun--;
        a->tenants[e->tenant].may_owe -= group_records(e->group);
        a->look_ns = 0; /* others may have waited for it */
    }
    put_off(e, 0);
    if (e->next_slot < 0 || e->next_slot > job->slot + 1) e->next_slot = job->slot + 1;
    if (e->series_at_ns != 0) {
        int64_t before = schedule_slot(group_schedule(e->group), e->series_at_ns);
        if (before + 1 < e->next_slot) {
            err_ignore(slots_add(&e->settled, before + 1, e->next_slot - 1), "it is made up, then");
        }
    }
    e->down_ns = job->down_ns;
    note_owed(a, e, job->how.at_ns, monotonic_ns);
    /* The rules that it has now may read what those before did not. */
    bool owes = e->is_listed && a->owes_ns[e->index] != NEVER_NS;
    e->is_behind = job->took_over ? e->is_behind || owes : e->settled.count > 0;
}

static void
note_ended(const struct agenda *a, struct agenda_entry *e, const struct agenda_job *job,
           int64_t monotonic_ns)
{
    bool was_set_back = a->seen_ns < job->now_ns;
    e->ended_ns = was_set_back ? a->seen_ns : job->now_ns + (monotonic_ns - job->taken_ns);
}

static void
made_up(struct agenda *a, struct agenda_job *job, int64_t monotonic_ns)
{
    struct agenda_entry *e = job->entry;
    a->making_up = false;
    int64_t took_ns = monotonic_ns - job->taken_ns;
    note_ended(a, e, job, monotonic_ns);
    a->rest_until_ns = monotonic_ns + (took_ns < REST_NS_MAX ? took_ns : REST_NS_MAX);
    if (job->error == OK || job->store_refuses) a->progress_ns = monotonic_ns;
    a->is_refused = job->error != OK;
    if (job->waits) {
        e->input = job->is_unknown ? INPUT_UNKNOWN : INPUT_LACKING;
        put_off(e, monotonic_ns + LOOK_AGAIN_NS);
    } else if (job->error) {
        put_off(e, monotonic_ns + TRY_AGAIN_NS);
        a->gap_ended_ns = monotonic_ns;
    } else {
        e->input = INPUT_THERE;
        e->input_slot = job->input_slot;
        note_made(a, e, job);
        if (job->is_current) e->is_behind = false;
        a->made_up++;
    }
    note_owed(a, e, job->now_ns, monotonic_ns);
}

static void
forget_retired(struct agenda *a, struct agenda_entry *e)
{
    struct agenda_entry **link = &a->retired;
    while (*link != e) {
        link = &(*link)->next;
    }
    *link = e->next;
    agenda_entry_free(a, e);
}

void
agenda_done(struct agenda *a, struct agenda_job *job, int64_t monotonic_ns)
{
    struct agenda_entry *e = job->entry;
    e->running = e->ends = false;
    if (e->heir != NULL) add_due(a, e->heir);
    switch (job->work) {
    case AGENDA_BEGIN:
        begun(a, job, monotonic_ns);
        break;
    case AGENDA_LIVE:
        e->down_ns = job->down_ns;
        note_ended(a, e, job, monotonic_ns);
        if (!job->outcome.stored) {
            a->gap_ended_ns = monotonic_ns;
            a->is_refused = true;
            e->is_behind |= e->settled.count > 0;
        }
        note_made(a, e, job);
        note_owed(a, e, job->now_ns, monotonic_ns);
        break;
    case AGENDA_MAKE_UP:
        made_up(a, job, monotonic_ns);
        break;
    case AGENDA_RETIRE:
        if (job->error)
            e->not_before_ns = monotonic_ns + TRY_AGAIN_NS;
        else
            forget_retired(a, e);
        return;
    }
    add_due(a, e);
}
