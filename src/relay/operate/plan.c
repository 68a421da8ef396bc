/*
 * plan.c - see plan.h. Items come in the order of time (plan_gather.h) and go into calls as the
 * relay fills them: lanes by the hash of the series, the same bounds of samples, bytes and age, one
 * sample of each series where records fail singly. A call that the relay would send is made by the
 * writer's own code, counted and cleared, so its size is exact where the type has make().
 *
 * The time of the samples is the clock, so a call becomes as old as it would have become. Nothing
 * fails here, so there are no retries or pieces, and memory holds one call per lane.
 */
#include "relay/operate/plan.h"

#include <assert.h>
#include <stdio.h>

#include "model/labels.h"
#include "relay/feed/selection.h"
#include "relay/lane/bounds.h"
#include "relay/lane/series_seen.h"
#include "relay/operate/plan_gather.h"

enum { EXAMPLE_BYTES_MAX = 16 << 20 };

struct plan_lane {
    struct writer_call *call;
    uint64_t count; /* items in the call */
    int64_t first_ms;
    struct series_seen seen;
};

struct planner {
    struct plan_options options;
    struct destination_settings settings; /* with dry_run */
    const struct writer_class *class;
    struct writer *writer;
    struct writer_limits limits;
    struct selection *selection;
    struct plan_gather *gather;
    struct call_bounds bounds;
    struct plan_lane lanes[LANES_MAX];
    uint32_t lane_count;
    int64_t now_ms; /* time of the last item that has one */
    struct plan *plan;
};

/* --- examples and reasons --------------------------------------------------------------------- */

static void
note_example(const struct item *item, struct plan_example *ret)
{
    struct buf text;
    buf_init(&text, NULL, EXAMPLE_BYTES_MAX);
    if (item->kind == ITEM_METADATA)
        buf_put_bytes(&text, item->family);
    else
        labels_print(&text, item->labels);
    snprintf(ret->text, sizeof ret->text, "%.*s", (int)text.size, (const char *)text.at);
    ret->has_time = item->kind != ITEM_METADATA;
    ret->t_ms = item->t_ms;
    buf_fini(&text);
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* True if two sentences differ only in numbers. */
static bool
same_reason(const char *a, const char *b)
{
    for (;;) {
        bool numbers = is_digit(*a) && is_digit(*b);
        while (numbers && is_digit(*a)) {
            a++;
        }
        while (numbers && is_digit(*b)) {
            b++;
        }
        if (numbers) continue;
        if (*a != *b) return false;
        if (*a == '\0') return true;
        a++;
        b++;
    }
}

static void
note_dead(struct planner *p, const struct item *item, const char *why)
{
    struct plan *plan = p->plan;
    char text[PLAN_TEXT_BYTES];
    uint32_t i = 0;
    plan->dead_total[item->kind]++;
    snprintf(text, sizeof text, "%.*s", (int)sizeof text - 1, why);
    while (i < plan->dead_count && !same_reason(plan->dead[i].why, text)) {
        i++;
    }
    if (i == PLAN_DEAD_MAX) {
        plan->dead_others++;
        return;
    }
    struct plan_dead *dead = &plan->dead[i];
    if (i == plan->dead_count) {
        plan->dead_count++;
        memcpy(dead->why, text, sizeof dead->why);
        note_example(item, &dead->example);
    }
    dead->count[item->kind]++;
}

const char *
plan_mapped_word(uint32_t kind)
{
    static const char *const words[PLAN_MAPPED_COUNT] = {
        "metric names", "label names", "label values", "NaN, +Inf, -Inf", "native histograms"};
    return words[kind];
}

/* --- calls ------------------------------------------------------------------------------------ */

static void
lane_clear(struct planner *p, struct plan_lane *lane)
{
    p->class->call_clear(p->writer, lane->call);
    series_seen_clear(&lane->seen);
    lane->count = 0;
}

/* Builds the body of the call as for a request, adds it to the counts, and clears the call. */
static enum err
lane_send(struct planner *p, struct plan_lane *lane, struct why *why)
{
    if (lane->count == 0) return OK;
    uint64_t bytes = p->class->bytes(p->writer, lane->call);
    enum err e = p->class->make == NULL ? OK : p->class->make(p->writer, lane->call, &bytes);
    if (e) return why_set(why, e, "cannot build a request: %s", err_word(e));
    p->plan->calls++;
    p->plan->bytes += bytes;
    if (p->class->units != NULL) p->plan->units += p->class->units(p->writer, lane->call);
    lane_clear(p, lane);
    return OK;
}

/* True if at this time the lane's call would be sent for its age. */
static bool
is_old(const struct planner *p, const struct plan_lane *lane, int64_t t_ms)
{
    int64_t age_ms;
    if (lane->count == 0) return false;
    return __builtin_sub_overflow(t_ms, lane->first_ms, &age_ms) || age_ms >= p->bounds.age_ms;
}

/* Sends all calls, or those that are due for their age at this time. */
static enum err
send_all(struct planner *p, const int64_t *t_ms, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < p->lane_count && e == OK; i++) {
        if (t_ms == NULL || is_old(p, &p->lanes[i], *t_ms)) e = lane_send(p, &p->lanes[i], why);
    }
    return e;
}

/* Adds an item to the lane's call, as lane.c does. */
static enum writer_add
lane_add(struct planner *p, struct plan_lane *lane, const struct item *item, struct why *why)
{
    uint32_t entry;
    bool one = p->limits.one_of_a_series;
    if (one && series_seen_has(&lane->seen, item->series_hash)) return WRITER_FULL;
    if (one && !series_seen_reserve(&lane->seen, p->options.memory)) return WRITER_NO_MEMORY;
    enum writer_add added = p->class->add(p->writer, lane->call, item, &entry, why);
    if (added != WRITER_ADDED) return added;
    if (one) series_seen_add(&lane->seen, item->series_hash);
    if (lane->count++ == 0) lane->first_ms = p->now_ms;
    return WRITER_ADDED;
}

/* Adds an item to a call; a call that has no room is sent first. */
static enum err
hand_on(struct planner *p, const struct item *item, struct why *why)
{
    struct plan_lane *lane = &p->lanes[item->series_hash % p->lane_count];
    struct why unfit = {""};
    enum writer_add added = lane_add(p, lane, item, &unfit);
    while (added == WRITER_FULL || (added == WRITER_NO_MEMORY && lane->count > 0)) {
        assert(lane->count > 0); /* an empty call is never full */
        enum err e = lane_send(p, lane, why);
        if (e) return e;
        added = lane_add(p, lane, item, &unfit);
    }
    if (added == WRITER_NO_MEMORY)
        return why_set(why, ERR_NOMEM, "not enough memory for a request");
    if (added == WRITER_UNFIT) {
        note_dead(p, item, unfit.text);
        return OK;
    }
    bool maps = item->kind != ITEM_METADATA && p->class->mapped != NULL;
    unsigned bits = maps ? p->class->mapped(p->writer, item) : 0;
    for (unsigned kind = 0; kind < PLAN_MAPPED_COUNT; kind++) {
        struct plan_mapped *mapped = &p->plan->mapped[kind];
        if ((bits >> kind & 1) == 0) continue;
        if (mapped->samples++ == 0) note_example(item, &mapped->example);
    }
    bool sealed = lane->count >= p->bounds.samples ||
                  p->class->bytes(p->writer, lane->call) >= p->bounds.bytes;
    return sealed ? lane_send(p, lane, why) : OK;
}

static enum err
take(void *context, const struct item *item, struct why *why)
{
    struct planner *p = context;
    enum err e = OK;
    if (item->kind != ITEM_METADATA && item->t_ms != p->now_ms) {
        e = send_all(p, &item->t_ms, why);
        p->now_ms = item->t_ms;
    }
    if (e) return e;
    struct plan *plan = p->plan;
    plan->taken[item->kind]++;
    if (item->kind != ITEM_METADATA) {
        if (item->t_ms < plan->first_ms) plan->first_ms = item->t_ms;
        if (item->t_ms > plan->last_ms) plan->last_ms = item->t_ms;
    }
    return hand_on(p, item, why);
}

/* --- the plan --------------------------------------------------------------------------------- */

/* Opens the writer and its lanes, as relay.c does. */
static enum err
open_writer(struct planner *p, struct why *why)
{
    struct writer_options options = {
        .env = p->options.env,
        .memory = p->options.memory,
        .settings = &p->settings,
        .dir = "",
        .instance = "0",
        .shards = p->options.shards,
    };
    enum err e = writer_new(p->class, &options, &p->writer, why);
    if (e) return e;
    p->limits = *writer_limits_of(p->writer);
    p->bounds = call_bounds_of(&p->limits, &p->settings);
    while (p->lane_count < p->bounds.lanes) {
        struct plan_lane *lane = &p->lanes[p->lane_count];
        e = writer_call_new(p->class, p->writer, &lane->call);
        if (e) return why_set(why, e, "not enough memory for requests");
        p->lane_count++;
        lane_clear(p, lane);
    }
    return OK;
}

enum err
plan_run(const struct plan_options *options, struct plan *ret_plan, struct why *why)
{
    struct planner *p = mem_new(options->memory, sizeof *p);
    if (p == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a plan");
    p->options = *options;
    p->settings = *options->settings;
    p->settings.dry_run = true;
    p->class = options->writer;
    p->now_ms = options->from_ms;
    p->plan = ret_plan;
    *ret_plan = (struct plan){.first_ms = INT64_MAX, .last_ms = INT64_MIN};
    enum err e = selection_new(&p->settings, &p->selection, why);
    if (e == OK) e = open_writer(p, why);
    const struct plan_gather_options gather = {
        .env = options->env,
        .tsdb = options->tsdb,
        .answerer = options->answerer,
        .memory = options->memory,
        .selection = p->selection,
        .from_ms = options->from_ms,
        .to_ms = options->to_ms,
        .stop = options->stop,
        .deadline_ns = options->deadline_ns,
        .each = take,
        .context = p,
    };
    if (e == OK) e = plan_gather_new(&gather, &p->gather, why);
    ret_plan->unit = p->limits.unit;
    ret_plan->bytes_are_exact = p->class->make != NULL;
    /* Metadata comes first, in calls of its own. */
    if (e == OK && p->limits.takes_metadata) e = plan_gather_metadata(p->gather, why);
    if (e == OK) e = send_all(p, NULL, why);
    if (e == OK) e = plan_gather_samples(p->gather, p->plan, why);
    if (e == OK) e = send_all(p, NULL, why);
    plan_gather_free(p->gather);
    for (uint32_t i = 0; i < p->lane_count; i++) {
        struct plan_lane *lane = &p->lanes[i];
        writer_call_free(p->class, p->writer, lane->call);
        series_seen_fini(&lane->seen, p->options.memory);
    }
    writer_free(p->class, p->writer);
    selection_free(p->selection);
    mem_free(options->memory, p, sizeof *p);
    return e;
}
