/*
 * restore.c - alerts as they were when the server went down, from the samples that it wrote:
 *
 *      ALERTS_FOR_STATE    since when an alert is active, in seconds
 *      ALERTS              at which evaluations it was pending or firing; stale: it was over
 *
 * Texts are no samples: the expression is evaluated once more at the time of an alert's last
 * evaluation. What had been firing fires on, as if nothing had happened. Of what was pending the
 * time that the server was down does not count, and as in Prometheus it does not fire before the
 * grace period has passed. What was resolved in the last minutes is told once more. How long an
 * alert has been kept firing is found by going back to the evaluation that found it last.
 *
 * After an outage, alerts stay as they are until their input is there. Whoever ends meanwhile, the
 * server or, by another name, the group, leaves samples as if it had found them: of those that came
 * a short time after an outage it is the last one before it that has texts, and a series of whose
 * input more is to come.
 *
 *      ----+----+----+                      +----+----+     now
 *               gap_ms    (an outage)         active_ms
 */
#include "base/hash.h"
#include "rules/evaluate_private.h"
#include "rules/relabelled.h"
#include "sys/env.h"
#include "wire/number.h"

#define FAR_BACK_NS (24 * 3600 * NS_PER_S) /* where an outage is looked for at most */

enum {
    TIMES_MAX = 64,       /* evaluated once more, of a rule */
    STEPS_BACK_MAX = 240, /* the same, to find what was kept firing */
    ARENA_BYTES_MAX = 256 << 20,
};

/* An alert as its samples tell. */
struct witness {
    struct bytes labels;        /* without name and state; of the series */
    struct bytes state_series;  /* ALERTS_FOR_STATE{...}, where it is active */
    struct bytes alerts_series; /* ALERTS{...} of the last state */
    int64_t active_s;           /* since when it is active, or last was; 0: not known */
    int64_t active_ms;          /* the last time at which it was active; INT64_MIN: it was not */
    int64_t firing_ms;          /* the same of firing, */
    int64_t fired_ms;           /* and since when, as far as was looked back */
    int64_t pending_ms;         /* when it was last pending */
    int64_t over_ms;            /* when it was over, after that; INT64_MIN: it is not known to be */
    int64_t gap_ms;   /* when it was last active before an outage; INT64_MIN: there was none */
    int64_t ahead_ms; /* from here on, they are older than that it was over; INT64_MAX: not known */
    int64_t unfound_ns; /* at no evaluation from here on the expression found it; 0: not known */
    bool restored;
    bool is_proven; /* the expression found it at some time: no other server wrote it */
};

struct restoring {
    struct evaluating ev;
    const struct rules_past *past;
    struct rule_at_work *rule;
    const struct restore_terms *terms;
    int64_t now_ns;
    int64_t down_ns; /* the last evaluation of active ones that were put back; 0: none */
    int64_t gap_ns;  /* the first of those before an outage; 0: none */
    bool lacks_gap;  /* of some, what they were before the outage is older than what was read */
    bool before_gap; /* these are evaluated once more */
    bool proves;     /* nothing is put back: of what is found it is known to be of this rule */
    bool failed;     /* the expression could not be evaluated */
    int64_t kept_ms; /* what was firing then is looked for before */
    struct arena arena;
    struct buf labels;
    struct witness *items;
    uint32_t count;
    struct table table; /* of items, by labels */
    struct why *why;
};

static enum err
no_memory(struct restoring *r)
{
    return why_set(r->why, ERR_NOMEM, "not enough memory to restore alerts");
}

/* Before that, no alert of which anything is wanted was active last. */
static int64_t
oldest_ms(const struct restoring *r)
{
    return (r->now_ns - r->terms->tolerance_ns) / NS_PER_MS;
}

/* --- witnesses -------------------------------------------------------------------------------- */

static struct witness *
witness_find(const struct restoring *r, struct bytes labels)
{
    uint64_t hash = hash_bytes(labels, r->past->host->seed);
    for (uint32_t at = TABLE_START, id; table_next(&r->table, hash, &at, &id);) {
        if (bytes_equal(r->items[id].labels, labels)) return &r->items[id];
    }
    return NULL;
}

/* The one of these labels of a series. NULL: no memory. */
static struct witness *
witness_of(struct restoring *r, struct bytes series)
{
    static const struct label without[] = {{{(const uint8_t *)"__name__", 8}, {NULL, 0}},
                                           {{(const uint8_t *)"alertstate", 10}, {NULL, 0}}};
    buf_clear(&r->labels);
    relabelled_put(&r->labels, series, without, 2);
    if (buf_error(&r->labels)) return NULL;
    struct witness *found = witness_find(r, buf_bytes(&r->labels));
    if (found != NULL) return found;
    struct witness *items = arena_push(&r->arena, r->items, r->count, sizeof *items);
    if (items == NULL) return NULL;
    r->items = items;
    if (!table_reserve(&r->table, r->past->host->memory, 1)) return NULL;
    found = &items[r->count];
    *found = (struct witness){.active_ms = INT64_MIN,
                              .firing_ms = INT64_MIN,
                              .pending_ms = INT64_MIN,
                              .over_ms = INT64_MIN,
                              .gap_ms = INT64_MIN,
                              .ahead_ms = INT64_MAX};
    found->labels = arena_copy(&r->arena, buf_bytes(&r->labels));
    if (found->labels.at == NULL) return NULL;
    table_add(&r->table, hash_bytes(found->labels, r->past->host->seed), r->count++);
    return found;
}

/* What of a series counts: its last sample, and when it was marked stale after it. */
struct last_sample {
    bool is_state; /* of ALERTS_FOR_STATE: values are times */
    int64_t t_ms;
    int64_t since_ms; /* the first one that no marker separates from it */
    double value;
    double newest; /* the greatest value since since_ms */
    int64_t stale_ms;
    int64_t marked_ms; /* the last marker */
    int64_t gap_ms;    /* as a witness has it, */
    int64_t up_ms;     /* and the first sample after the last outage */
};

/* Whether evaluations are missing in between; a thread that comes late misses one. */
static bool
is_long_after(const struct restoring *r, int64_t t_ms, int64_t before_ms)
{
    return t_ms - before_ms > 2 * r->past->group->schedule.interval_ns / NS_PER_MS + 1;
}

/* Goes on to the next sample. After an outage input is awaited for a while: if the server went down
 * before that was over, however long ago, what it wrote meanwhile tells nothing. */
static void
note_gap(const struct restoring *r, struct last_sample *last, int64_t t_ms)
{
    if (is_long_after(r, t_ms, last->t_ms)) {
        last->up_ms = t_ms;
        if (last->gap_ms == INT64_MIN) last->gap_ms = last->t_ms;
    } else if (last->gap_ms != INT64_MIN && t_ms - last->up_ms >= r->terms->wait_ns / NS_PER_MS) {
        last->gap_ms = INT64_MIN;
    }
}

/* Whether samples say that the alert has been active since before it was marked stale. */
static bool
is_active_since_before(const struct restoring *r, double active_s, int64_t marked_ms)
{
    return active_s + 1 <= (double)(marked_ms + r->past->group->query_offset_ms) / 1000;
}

/* The first sample after a marker goes on with what was before that, as its rule moved to another
 * group: the one that it left sets the marker, between two evaluations. */
static bool
was_moved(const struct restoring *r, const struct last_sample *last, int64_t t_ms)
{
    return last->is_state && is_active_since_before(r, last->value, last->marked_ms) &&
           !is_long_after(r, t_ms, last->marked_ms);
}

static void
note_sample(const struct restoring *r, struct last_sample *last, int64_t t_ms, uint64_t bits)
{
    if (bits == STALE_NAN_BITS) {
        if (last->stale_ms == INT64_MIN) last->stale_ms = t_ms;
        last->marked_ms = t_ms;
        return;
    }
    last->value = bits_double(bits);
    bool was_over = last->stale_ms != INT64_MIN && !was_moved(r, last, t_ms);
    last->stale_ms = INT64_MIN;
    if (last->t_ms == INT64_MIN || was_over) {
        last->since_ms = t_ms;
        last->gap_ms = INT64_MIN;
        last->newest = last->value;
    } else {
        note_gap(r, last, t_ms);
    }
    if (last->value > last->newest) last->newest = last->value;
    last->t_ms = t_ms;
}

/* What it has before `end_ms`. */
static enum err
read_last(struct restoring *r, struct series_set *set, bool is_state, int64_t end_ms,
          struct last_sample *ret)
{
    struct sample_batch batch;
    *ret = (struct last_sample){.is_state = is_state,
                                .t_ms = INT64_MIN,
                                .stale_ms = INT64_MIN,
                                .marked_ms = INT64_MIN,
                                .gap_ms = INT64_MIN};
    for (;;) {
        enum err e = series_set_batch(set, &batch, r->why);
        if (e || batch.count == 0) return e;
        for (uint32_t i = 0; i < batch.count && batch.kind == SAMPLE_FLOAT; i++) {
            if (batch.times_ms[i] >= end_ms) break;
            note_sample(r, ret, batch.times_ms[i], batch.value_bits[i]);
        }
    }
}

/* Samples after a marker that say that the alert has been active since before it: they were written
 * when the clock was ahead, and it was over after that had been set back. Not so of a rule that
 * moves to another group: the one that it left sets the marker, between two evaluations. */
static bool
were_ahead(const struct restoring *r, const struct last_sample *last)
{
    if (last->stale_ms != INT64_MIN || last->marked_ms == INT64_MIN) return false;
    return is_active_since_before(r, last->newest, last->marked_ms) &&
           is_long_after(r, last->since_ms, last->marked_ms);
}

/* Whether it was active long before the first of its samples: that came after an outage, or after
 * the clock was set forward, and input may have been waited for until the last one. */
static bool
has_earlier_gap(const struct restoring *r, const struct witness *w, const struct last_sample *last)
{
    if (last->gap_ms != INT64_MIN) return false;
    int64_t first_ms = last->since_ms + r->past->group->query_offset_ms;
    return last->t_ms - last->since_ms < r->terms->wait_ns / NS_PER_MS &&
           is_long_after(r, first_ms, w->active_s * 1000 + 999);
}

static enum err
take_state(struct restoring *r, struct witness *w, struct bytes series,
           const struct last_sample *last)
{
    /* Whoever sends samples may have written anything. */
    bool is_time = last->value >= 0 && last->value <= (double)(r->now_ns / NS_PER_S);
    w->active_s = is_time ? (int64_t)last->value : last->t_ms / 1000;
    if (were_ahead(r, last)) w->ahead_ms = last->since_ms;
    if (last->stale_ms != INT64_MIN || w->ahead_ms != INT64_MAX) return OK; /* it is over */
    w->active_ms = last->t_ms;
    w->gap_ms = last->gap_ms;
    r->lacks_gap |= has_earlier_gap(r, w, last);
    w->state_series = arena_copy(&r->arena, series);
    return w->state_series.at == NULL ? no_memory(r) : OK;
}

static enum err
take_alerts(struct restoring *r, struct witness *w, struct bytes series,
            const struct last_sample *last)
{
    struct bytes state = labels_get(series, bytes_of_text("alertstate"));
    if (bytes_equal_text(state, "firing")) {
        w->firing_ms = last->t_ms;
        w->fired_ms = last->since_ms;
        w->over_ms = last->stale_ms;
    } else {
        w->pending_ms = last->t_ms;
    }
    if (last->stale_ms != INT64_MIN) return OK;
    w->alerts_series = arena_copy(&r->arena, series);
    return w->alerts_series.at == NULL ? no_memory(r) : OK;
}

static enum err
take_series(void *context, struct series_set *set, struct bytes series)
{
    struct restoring *r = context;
    struct last_sample last;
    struct witness *w = witness_of(r, series);
    if (w == NULL) return no_memory(r);
    bool is_state =
        bytes_equal_text(labels_get(series, bytes_of_text("__name__")), "ALERTS_FOR_STATE");
    enum err e = read_last(r, set, is_state, w->ahead_ms, &last);
    if (e || last.t_ms < oldest_ms(r)) return e;
    return is_state ? take_state(r, w, series, &last) : take_alerts(r, w, series, &last);
}

/* What each series of the rule's alerts has; the first is left to the name. NULL: no
 * memory. */
static struct label *
labels_of_all(struct restoring *r, uint32_t *ret_count)
{
    const struct rule_at_work *rule = r->rule;
    struct label *labels = arena_alloc(&r->arena, (rule->label_count + 2) * sizeof *labels);
    if (labels == NULL) return NULL;
    labels[1] = (struct label){bytes_of_text("alertname"), bytes_of_text(rule->text->name)};
    *ret_count = 2;
    for (uint32_t i = 0; i < rule->label_count; i++) {
        struct label label = rule->labels[i];
        bool is_other =
            bytes_equal_text(label.name, "alertname") || bytes_equal_text(label.name, "alertstate");
        if (is_other || may_be_template(label.value)) continue;
        labels[(*ret_count)++] = label;
    }
    return labels;
}

/* Others have alerts of the same name: what they wrote is not looked at, as far as labels tell. */
static enum err
find_witnesses_since(struct restoring *r, int64_t min_ms)
{
    static const char *const names[] = {"ALERTS_FOR_STATE", "ALERTS"};
    uint32_t count = 0;
    struct label *labels = labels_of_all(r, &count);
    enum err e = labels == NULL ? no_memory(r) : OK;
    for (size_t i = 0; i < 2 && e == OK; i++) {
        struct past_look look = {
            .labels = labels,
            .label_count = count,
            .min_ms = min_ms,
            .max_ms = r->now_ns / NS_PER_MS,
            .each = take_series,
            .context = r,
        };
        labels[0] = (struct label){bytes_of_text("__name__"), bytes_of_text(names[i])};
        e = past_look(r->past, &look, r->why);
    }
    return e;
}

static enum err
find_witnesses(struct restoring *r)
{
    int64_t min_ms = oldest_ms(r), far_ms = (r->now_ns - FAR_BACK_NS) / NS_PER_MS;
    enum err e = find_witnesses_since(r, min_ms);
    if (e || !r->lacks_gap || far_ms >= min_ms) return e;
    r->count = 0;
    table_clear(&r->table);
    return find_witnesses_since(r, far_ms);
}

/* --- states ----------------------------------------------------------------------------------- */

/* The time of the schedule that a sample's time stands for. */
static int64_t
evaluation_ns(const struct restoring *r, int64_t sample_ms)
{
    const struct group *g = r->past->group;
    int64_t ms = sample_ms + g->query_offset_ms;
    int64_t slot = schedule_slot(&g->schedule, (ms + 1) * NS_PER_MS - 1);
    int64_t exact = schedule_time_ns(&g->schedule, slot);
    return exact / NS_PER_MS == ms ? exact : ms * NS_PER_MS;
}

/* When it began to fire: as its samples say, if they have it just after it was pending, or since it
 * became active; or else at the first evaluation after it had been pending for long enough. */
static int64_t
fired_ns(const struct restoring *r, const struct witness *w, int64_t active_ns, int64_t last_ns)
{
    int64_t seen_ns = evaluation_ns(r, w->fired_ms);
    int64_t interval_ms = r->past->group->schedule.interval_ns / NS_PER_MS;
    bool was_pending =
        w->pending_ms < w->fired_ms && w->fired_ms <= w->pending_ms + interval_ms + 1;
    if (was_pending || seen_ns / NS_PER_S == w->active_s) return seen_ns;
    const struct schedule *schedule = &r->past->group->schedule;
    int64_t wanted;
    bool fits = !__builtin_add_overflow(active_ns, r->rule->text->for_ms * NS_PER_MS, &wanted);
    if (!fits || wanted > last_ns) return last_ns;
    int64_t at = schedule_time_ns(schedule, schedule_slot(schedule, wanted - 1) + 1);
    return at < last_ns ? at : last_ns;
}

/* As Prometheus has it; without a grace period where `for` is shorter. */
static int64_t
pending_since(const struct restoring *r, int64_t active_ns, int64_t last_ns)
{
    int64_t for_ns = r->rule->text->for_ms * NS_PER_MS;
    int64_t waited_ns = last_ns > active_ns ? last_ns - active_ns : 0; /* it may say anything */
    int64_t remaining = for_ns - waited_ns;
    if (remaining <= 0) return active_ns;
    int64_t grace_ns = r->terms->grace_ns;
    if (remaining < grace_ns && for_ns >= grace_ns) return r->now_ns + grace_ns - for_ns;
    return active_ns + (r->now_ns - last_ns);
}

/* A sample has whole seconds of it. It was an evaluation, unless it was moved by a restart. */
static int64_t
active_since(const struct restoring *r, const struct witness *w)
{
    const struct schedule *schedule = &r->past->group->schedule;
    int64_t begin_ns = w->active_s * NS_PER_S, end_ns = begin_ns + NS_PER_S - 1;
    int64_t at_ns = schedule_time_ns(schedule, schedule_slot(schedule, end_ns));
    return at_ns >= begin_ns ? at_ns : begin_ns;
}

static struct alert
state_of(const struct restoring *r, const struct witness *w)
{
    struct alert alert = {.state = ALERT_INACTIVE};
    if (w->active_ms == INT64_MIN) {
        alert.fired_at_ns = evaluation_ns(r, w->fired_ms);
        alert.active_at_ns = alert.fired_at_ns;
        alert.resolved_at_ns = evaluation_ns(r, w->over_ms);
        return alert;
    }
    int64_t last_ns = evaluation_ns(r, w->active_ms), active_ns = active_since(r, w);
    bool fires = w->firing_ms == w->active_ms;
    alert.state = fires ? ALERT_FIRING : ALERT_PENDING;
    alert.active_at_ns = fires ? active_ns : pending_since(r, active_ns, last_ns);
    if (fires) alert.fired_at_ns = fired_ns(r, w, active_ns, last_ns);
    return alert;
}

/* The time of the evaluation that has the alert's texts; INT64_MIN: nothing of it is wanted. */
static int64_t
wanted_ms(const struct restoring *r, const struct witness *w)
{
    if (w->restored) return INT64_MIN;
    if (r->before_gap) return w->gap_ms;
    if (w->active_ms != INT64_MIN) return w->active_ms;
    if (w->firing_ms == INT64_MIN || w->over_ms == INT64_MIN) return INT64_MIN;
    bool is_recent = r->now_ns - w->over_ms * NS_PER_MS <= ALERT_RESOLVED_KEPT_NS;
    /* As in Prometheus, one that becomes pending again was never there. */
    return is_recent && w->pending_ms < w->over_ms ? w->firing_ms : INT64_MIN;
}

/* It fires, or what is told once more of it is that it fired. */
static bool
fired_last(const struct restoring *r, const struct witness *w)
{
    return w->firing_ms != INT64_MIN && wanted_ms(r, w) == w->firing_ms;
}

/* --- evaluating once more --------------------------------------------------------------------- */

/* The labels that the alert's series have. */
static struct bytes
series_labels(struct restoring *r, struct work *work, const struct alert_found *found)
{
    buf_clear(&r->labels);
    alert_series_labels(work, found->labels, NULL, 0, &r->labels);
    return buf_bytes(&r->labels);
}

static enum err
restore_found(struct restoring *r, struct work *work, const struct alert_found *found,
              int64_t sample_ms, int64_t kept_since_ns)
{
    struct witness *w = witness_find(r, series_labels(r, work, found));
    if (buf_error(&r->labels)) return no_memory(r);
    if (w == NULL || w->restored) return OK;
    w->is_proven = true;
    if (r->proves) return OK;
    bool is_kept = kept_since_ns != 0 && fired_last(r, w) && w->firing_ms == r->kept_ms;
    if (!is_kept && wanted_ms(r, w) != sample_ms) return OK;
    struct alert state = state_of(r, w);
    state.keep_firing_since_ns = is_kept ? kept_since_ns : 0;
    lock_take(&r->past->group->lock);
    enum err e = alerts_restore(&r->rule->alerts, &state, found);
    lock_drop(&r->past->group->lock);
    w->restored = e == OK;
    return e ? no_memory(r) : OK;
}

/* What the expression finds at a time belongs to witnesses of that time; or with `kept_since_ns`,
 * to those that were kept firing from then on, until `kept_ms`. */
static enum err
evaluate_at(struct restoring *r, int64_t sample_ms, int64_t kept_since_ns)
{
    struct work work;
    struct asked a = {.result = NULL};
    struct ask_times times = {.first_ms = sample_ms, .last_ms = sample_ms};
    struct alert_found *found = NULL;
    uint32_t count = 0;
    r->ev.sample_ms = sample_ms;
    r->ev.t_ms = sample_ms + r->past->group->query_offset_ms;
    work_begin(&r->ev, &work, r->rule);
    enum err e =
        work.error ? no_memory(r) : ask(&r->ev, r->rule->tree, &times, &a, &work.sentence, r->why);
    if (e == OK) e = find_alerts(&work, a.result, &found, &count);
    asked_end(&a);
    for (uint32_t i = 0; e == OK && i < count; i++) {
        e = restore_found(r, &work, &found[i], sample_ms, kept_since_ns);
    }
    /* That it cannot be evaluated any more is no reason to forget the others. */
    r->failed = e == ERR_INPUT || e == ERR_LIMIT;
    if (r->failed) e = OK;
    work_end(&work);
    return e;
}

/* The newest time below `below_ms` that is wanted. */
static int64_t
next_wanted(const struct restoring *r, int64_t below_ms)
{
    int64_t newest = INT64_MIN;
    for (uint32_t i = 0; i < r->count; i++) {
        int64_t ms = wanted_ms(r, &r->items[i]);
        if (ms < below_ms && ms > newest) newest = ms;
    }
    return newest;
}

static bool
may_be_kept(const struct restoring *r, const struct witness *w, int64_t last_ms)
{
    return w->firing_ms == last_ms && fired_last(r, w);
}

/* Goes back until all are found that were firing last at `last_ms` and had not been found then. */
static enum err
find_kept(struct restoring *r, int64_t last_ms)
{
    const struct schedule *schedule = &r->past->group->schedule;
    int64_t at_ns = evaluation_ns(r, last_ms), slot = schedule_slot(schedule, at_ns);
    int64_t steps = r->rule->text->keep_firing_for_ms * NS_PER_MS / schedule->interval_ns + 1;
    enum err e = OK;
    r->kept_ms = last_ms;
    for (int64_t k = 1; e == OK && k <= steps && k <= STEPS_BACK_MAX; k++) {
        bool any = false;
        for (uint32_t i = 0; i < r->count && !any; i++) {
            any = may_be_kept(r, &r->items[i], last_ms);
        }
        if (!any) return OK;
        int64_t ms = schedule_time_ns(schedule, slot - k) / NS_PER_MS;
        e = evaluate_at(r, ms - r->past->group->query_offset_ms,
                        schedule_time_ns(schedule, slot - k + 1));
    }
    if (steps > STEPS_BACK_MAX) steps = STEPS_BACK_MAX;
    for (uint32_t i = 0; e == OK && i < r->count; i++) {
        struct witness *w = &r->items[i];
        if (may_be_kept(r, w, last_ms)) w->unfound_ns = schedule_time_ns(schedule, slot - steps);
    }
    return e;
}

static enum err
evaluate_wanted(struct restoring *r)
{
    int64_t ms = INT64_MAX;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < TIMES_MAX; i++) {
        ms = next_wanted(r, ms);
        if (ms == INT64_MIN) return OK;
        e = evaluate_at(r, ms, 0);
        if (e == OK && r->rule->text->keep_firing_for_ms > 0) e = find_kept(r, ms);
    }
    return e;
}

static enum err
evaluate_again(struct restoring *r)
{
    enum err e = evaluate_wanted(r);
    r->before_gap = true;
    if (e == OK) e = evaluate_wanted(r);
    r->before_gap = false;
    return e;
}

/* --- what is not found any more --------------------------------------------------------------- */

/* Whether it was evaluated by this group, as far as its time tells: that has milliseconds only, so
 * that of many groups some have the same. */
static bool
is_ours(const struct restoring *r, const struct witness *w)
{
    const struct schedule *schedule = &r->past->group->schedule;
    int64_t at_ns = evaluation_ns(r, w->firing_ms);
    return schedule_time_ns(schedule, schedule_slot(schedule, at_ns)) == at_ns;
}

/* An alert that fired, and for which the expression says nothing any more: it was kept firing for
 * long, or what it was about has been deleted. It goes on, without its value, until the next
 * evaluation decides, or is told to be over. How long it was kept counts, lest it be kept for ever
 * by a server that restarts often; not where it may have waited for its input instead. */
static enum err
restore_unfound(struct restoring *r, const struct witness *w)
{
    struct work work;
    struct alert_found found;
    work_begin(&r->ev, &work, r->rule);
    enum err e = work.error ? no_memory(r) : find_alert_of(&work, w->labels, &found);
    if (e == OK) {
        struct alert state = state_of(r, w);
        if (w->gap_ms == INT64_MIN) state.keep_firing_since_ns = w->unfound_ns;
        lock_take(&r->past->group->lock);
        e = alerts_restore(&r->rule->alerts, &state, &found);
        lock_drop(&r->past->group->lock);
        if (e) e = no_memory(r);
    }
    work_end(&work);
    return e;
}

/*
 * Whether the rule ever told of it. Another server may evaluate the same file at the same times,
 * and send what it writes with labels of its own, as a Prometheus with external labels does: such
 * alerts fire there. When one of ours became active, when it began to fire, or when it fired last,
 * the expression found it. If it cannot be evaluated, nothing speaks against it.
 */
static enum err
prove(struct restoring *r, struct witness *w, uint32_t *times)
{
    int64_t active_ms = active_since(r, w) / NS_PER_MS - r->past->group->query_offset_ms;
    const int64_t at_ms[] = {w->fired_ms, w->active_s == 0 ? w->fired_ms : active_ms, w->firing_ms};
    enum err e = OK;
    r->proves = true;
    for (size_t i = 0; i < sizeof at_ms / sizeof *at_ms && e == OK && !w->is_proven; i++) {
        if (*times >= TIMES_MAX) break;
        if (i > 0 && at_ms[i] == at_ms[i - 1]) continue; /* asked just now */
        ++*times;
        e = evaluate_at(r, at_ms[i], 0);
        w->is_proven |= r->failed;
    }
    r->proves = false;
    return e;
}

static enum err
restore_rest(struct restoring *r)
{
    enum err e = OK;
    uint32_t times = 0;
    const struct rule_at_work *rule = r->rule;
    bool is_only = rule->same_before == NULL && rule->is_last_of_name;
    if (!is_only || rule->has_twin) return OK; /* whose is it? */
    for (uint32_t i = 0; e == OK && i < r->count; i++) {
        struct witness *w = &r->items[i];
        if (!fired_last(r, w) || !is_ours(r, w)) continue;
        e = prove(r, w, &times);
        if (e || !w->is_proven) continue;
        e = restore_unfound(r, w);
        w->restored = e == OK;
    }
    return e;
}

/* --- series ----------------------------------------------------------------------------------- */

/* What is not active any more at the next evaluation is marked stale there. */
static enum err
keep_series(struct restoring *r)
{
    bool is_new;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < r->count; i++) {
        const struct witness *w = &r->items[i];
        if (w->active_ms == INT64_MIN || !w->restored) continue;
        int64_t at_ns = evaluation_ns(r, w->active_ms);
        if (at_ns > r->down_ns) r->down_ns = at_ns;
        int64_t gap_ns = w->gap_ms == INT64_MIN ? 0 : evaluation_ns(r, w->gap_ms);
        if (gap_ns != 0 && (r->gap_ns == 0 || gap_ns < r->gap_ns)) r->gap_ns = gap_ns;
        e = kept_series_add(&r->rule->series, w->state_series, &is_new);
        if (e == OK && w->alerts_series.at != NULL) {
            e = kept_series_add(&r->rule->series, w->alerts_series, &is_new);
        }
    }
    return e ? no_memory(r) : OK;
}

static enum err
restore_rule(struct restoring *r)
{
    const struct rules_host *host = r->past->host;
    arena_init(&r->arena, host->memory, ARENA_BYTES_MAX, 0);
    buf_init(&r->labels, host->memory, RULE_FILE_BYTES_MAX);
    enum err e = find_witnesses(r);
    if (e == OK && r->count > 0) e = evaluate_again(r);
    if (e == OK) e = restore_rest(r);
    if (e == OK) e = keep_series(r);
    table_fini(&r->table, host->memory);
    buf_fini(&r->labels);
    arena_fini(&r->arena);
    return e;
}

static bool
is_wanted(const struct rule_at_work *rule)
{
    return rule->text->kind == RULE_ALERTING && !rule->is_restored;
}

enum err
restore_alerts(const struct rules_past *past, const struct restore_terms *terms,
               int64_t *ret_down_ns, struct why *why)
{
    struct group *g = past->group;
    bool any = false;
    int64_t began_ns = env_monotonic_ns(past->host->env), down_ns = 0, gap_ns = 0;
    struct query_control control;
    struct group_evaluation how = {.at_ns = terms->now_ns, .is_past = true};
    struct evaluating ev = {.g = g, .host = past->host, .terms = past->terms, .how = &how};
    look_control(&ev, past->host->memory, &control);
    *ret_down_ns = 0;
    for (uint32_t i = 0; i < g->text.rule_count && !any; i++) {
        any = is_wanted(&g->rules[i]);
    }
    if (!any) return OK;
    enum err e = past->terms->open(past->terms->open_context, &control, &ev.view, why);
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        struct restoring r = {
            .ev = ev,
            .past = past,
            .rule = &g->rules[i],
            .terms = terms,
            .now_ns = terms->now_ns,
            .why = why,
        };
        if (is_wanted(&g->rules[i])) e = restore_rule(&r);
        if (r.down_ns > down_ns) down_ns = r.down_ns;
        if (r.gap_ns != 0 && (gap_ns == 0 || r.gap_ns < gap_ns)) gap_ns = r.gap_ns;
    }
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        g->rules[i].is_restored = true;
    }
    *ret_down_ns = gap_ns != 0 ? gap_ns : down_ns;
    view_free(ev.view);
    lock_take(&g->lock);
    g->facts.restored_for_ns = env_monotonic_ns(past->host->env) - began_ns;
    lock_drop(&g->lock);
    return e;
}
