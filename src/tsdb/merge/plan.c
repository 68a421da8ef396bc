/*
 * plan.c - see plan.h.
 *
 * What it costs: a sample is written by the flush, by one merge for each factor of sixteen
 * between a flush and a partition, once when its day is over, and once when its month is.
 */
#include "tsdb/merge/plan.h"

#include <time.h>

enum {
    RUN_MIN = 16, /* so many small neighbours are worth a merge */
    WIDE_MAX = 4, /* so many parts across today's border wait to be split at once */
    GRACE_MS = 2 * 3600 * 1000,
    WORTH = 4, /* the small ones of a partition are worth it at this fraction of the largest */
};

#define DAY_MS   INT64_C(86400000)
#define YEARS_MS (100 * 366 * DAY_MS)

/* --- partitions ------------------------------------------------------------------------------- */

/* The begin of the month of a time, moved on by so many months. */
static int64_t
month_begin(int64_t t_ms, int months)
{
    time_t seconds = (time_t)((t_ms - (t_ms < 0 ? 999 : 0)) / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    struct tm first = {.tm_year = tm.tm_year, .tm_mon = tm.tm_mon + months, .tm_mday = 1};
    return (int64_t)timegm(&first) * 1000;
}

struct time_range
partition_of(int64_t t_ms, int64_t now_ms)
{
    int64_t oldest = month_begin(now_ms - YEARS_MS, 0), newest = month_begin(now_ms + YEARS_MS, 0);
    if (t_ms < oldest) return (struct time_range){INT64_MIN, oldest - 1};
    if (t_ms >= newest) return (struct time_range){newest, INT64_MAX};
    int64_t days_from = month_begin(now_ms - GRACE_MS, -1), days_to = month_begin(now_ms, 2);
    if (t_ms >= days_from && t_ms < days_to) {
        int64_t rest = t_ms % DAY_MS, begin = t_ms - (rest < 0 ? rest + DAY_MS : rest);
        return (struct time_range){begin, begin + DAY_MS - 1};
    }
    return (struct time_range){month_begin(t_ms, 0), month_begin(t_ms, 1) - 1};
}

/* --- candidates ------------------------------------------------------------------------------- */

struct merge_planning {
    const struct plan_part *parts;
    uint32_t count;
    const struct merge_plan_options *options;
    struct arena *arena;
    uint32_t *set; /* the candidate: indexes, ascending */
    uint32_t set_count;
    bool set_is_full; /* the next part would need more memory than there is */
};

static bool
has_samples(const struct plan_part *p)
{
    return p->time.min_ms <= p->time.max_ms;
}

static bool
is_wide(const struct merge_planning *g, const struct plan_part *p)
{
    return has_samples(p) &&
           !range_holds(partition_of(p->time.min_ms, g->options->now_ms), p->time);
}

static bool
set_has(const struct merge_planning *g, uint32_t part)
{
    for (uint32_t i = 0; i < g->set_count; i++) {
        if (g->set[i] == part) return true;
    }
    return false;
}

/* The time and the stretch of the log that the set covers. */
static struct plan_part
set_hull(const struct merge_planning *g)
{
    struct plan_part hull = g->parts[g->set[0]];
    for (uint32_t i = 1; i < g->set_count; i++) {
        const struct plan_part *p = &g->parts[g->set[i]];
        if (p->to_pos > hull.to_pos) hull.to_pos = p->to_pos;
        if (p->time.min_ms < hull.time.min_ms) hull.time.min_ms = p->time.min_ms;
        if (p->time.max_ms > hull.time.max_ms) hull.time.max_ms = p->time.max_ms;
        hull.bytes += p->bytes;
        hull.memory += p->memory;
    }
    return hull;
}

/* Damaged, or too large for the memory of a merge: as if it were not there. */
static bool
is_out_of_reach(const struct merge_planning *g, const struct plan_part *p)
{
    return p->fixed || p->memory > g->options->memory_max;
}

static bool
set_fits_memory(const struct merge_planning *g)
{
    return set_hull(g).memory <= g->options->memory_max;
}

/* Nothing of the time of the set lies between its parts in the log. */
static bool
set_is_mergeable(const struct merge_planning *g)
{
    struct plan_part hull = set_hull(g);
    if (hull.bytes > g->options->bytes_max && g->set_count > 1) return false;
    for (uint32_t i = 0; i < g->options->border_count && g->set_count > 1; i++) {
        uint64_t border = g->options->borders[i];
        if (hull.from_pos < border && hull.to_pos > border) return false;
    }
    for (uint32_t i = 0; i < g->count; i++) {
        const struct plan_part *p = &g->parts[i];
        if (p->from_pos >= hull.to_pos || p->to_pos <= hull.from_pos) continue;
        if (has_samples(p) && ranges_meet(p->time, hull.time) && !set_has(g, i)) return false;
    }
    return true;
}

/* --- the plan --------------------------------------------------------------------------------- */

static enum err
plan_set(struct merge_planning *g, bool last, struct merge_plan *plan)
{
    struct plan_part hull = set_hull(g);
    uint32_t count = 0;
    for (int64_t t = hull.time.min_ms;;) {
        plan->windows = arena_push(g->arena, plan->windows, count, sizeof *plan->windows);
        if (plan->windows == NULL) return ERR_NOMEM;
        struct time_range window = partition_of(t, g->options->now_ms);
        plan->windows[count++] = window;
        if (window.max_ms >= hull.time.max_ms) break;
        t = window.max_ms + 1;
    }
    plan->window_count = count;
    plan->inputs = g->set;
    plan->input_count = g->set_count;
    plan->last = last;
    return OK;
}

/* Parts across borders: the oldest, and those that follow it. */
static bool
find_wide(struct merge_planning *g)
{
    struct time_range today = partition_of(g->options->now_ms, g->options->now_ms);
    bool due = g->options->full;
    g->set_count = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        const struct plan_part *p = &g->parts[i];
        if (is_out_of_reach(g, p) || !is_wide(g, p)) continue;
        g->set[g->set_count++] = i;
        bool fits = set_fits_memory(g);
        due |= !fits; /* to wait for more is no use */
        if (!fits || !set_is_mergeable(g)) {
            g->set_count--;
            break;
        }
        due |= p->time.max_ms < today.min_ms || g->set_count >= WIDE_MAX;
    }
    return due && g->set_count > 0;
}

static uint64_t
largest_of(const struct merge_planning *g, const uint32_t *parts, uint32_t count)
{
    uint64_t largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (g->parts[parts[i]].bytes > largest) largest = g->parts[parts[i]].bytes;
    }
    return largest;
}

/* The longest mergeable run from members[at] on becomes the set. */
static void
take_run(struct merge_planning *g, const uint32_t *members, uint32_t count, uint64_t bytes_each_max)
{
    g->set_count = 0;
    g->set_is_full = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct plan_part *p = &g->parts[members[i]];
        if (is_out_of_reach(g, p) || p->bytes > bytes_each_max) return;
        g->set[g->set_count++] = members[i];
        g->set_is_full = !set_fits_memory(g);
        if (!g->set_is_full && set_is_mergeable(g)) continue;
        g->set_count--;
        return;
    }
}

/* A partition that is over: all of it, or as much as lies together. */
static bool
find_whole(struct merge_planning *g, const uint32_t *members, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++) {
        take_run(g, members + at, count - at, UINT64_MAX);
        const struct plan_part *first = &g->parts[g->set[0]];
        if (g->options->full && g->set_count == 1 && first->loose &&
            first->bytes <= g->options->bytes_max) {
            return true;
        }
        if (g->set_count < 2) continue;
        uint64_t largest = largest_of(g, g->set, g->set_count);
        uint64_t small = set_hull(g).bytes - largest;
        if (g->options->full || small >= largest / WORTH) return true;
    }
    return false;
}

/*
 * Parts of about one size: none is a quarter of the whole. Of what fills at least half of the
 * memory of a merge, none is half.
 */
static bool
is_run(const struct merge_planning *g)
{
    if (g->set_count < 2) return false;
    struct plan_part hull = set_hull(g);
    uint64_t largest = largest_of(g, g->set, g->set_count);
    if (g->set_is_full && hull.memory >= g->options->memory_max / 2 && largest <= hull.bytes / 2) {
        return true;
    }
    return g->set_count >= RUN_MIN && largest <= hull.bytes / 4;
}

/* The run of the smallest parts. */
static bool
find_run(struct merge_planning *g, const uint32_t *members, uint32_t count)
{
    for (uint64_t limit = 64 * 1024;; limit *= 4) {
        for (uint32_t at = 0; at + 2 <= count; at++) {
            take_run(g, members + at, count - at, limit);
            if (is_run(g)) return true;
        }
        if (limit > largest_of(g, members, count)) return false;
    }
}

enum err
merge_plan(const struct plan_part *parts, uint32_t count, const struct merge_plan_options *options,
           struct arena *arena, struct merge_plan *ret_plan)
{
    struct merge_planning g = {.parts = parts, .count = count, .options = options, .arena = arena};
    struct merge_plan plan = {0};
    *ret_plan = plan;
    if (count == 0) return OK;
    g.set = arena_alloc(arena, count * sizeof *g.set);
    uint32_t *members = arena_alloc(arena, count * sizeof *members);
    if (g.set == NULL || members == NULL) return ERR_NOMEM;
    enum err e = OK;
    bool last = options->full;
    if (find_wide(&g)) {
        e = plan_set(&g, last, &plan);
        if (e == OK) *ret_plan = plan;
        return e;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct plan_part *p = &parts[i];
        if (!has_samples(p) || is_wide(&g, p)) continue;
        struct time_range partition = partition_of(p->time.min_ms, options->now_ms);
        uint32_t n = 0;
        for (uint32_t k = 0; k < count; k++) {
            if (has_samples(&parts[k]) && range_holds(partition, parts[k].time)) members[n++] = k;
        }
        if (members[0] != i) continue; /* the first of a partition speaks for it */
        bool over = options->full || partition.max_ms < options->now_ms - GRACE_MS;
        last = over && find_whole(&g, members, n);
        if (!last && !find_run(&g, members, n)) continue;
        e = plan_set(&g, last, &plan);
        if (e == OK) *ret_plan = plan;
        return e;
    }
    return OK;
}

enum err
merge_plan_alone(const struct plan_part *parts, uint32_t part,
                 const struct merge_plan_options *options, struct arena *arena,
                 struct merge_plan *ret_plan)
{
    struct merge_planning g = {.parts = parts, .options = options, .arena = arena, .set_count = 1};
    struct merge_plan plan = {0};
    g.set = arena_alloc(arena, sizeof *g.set);
    if (g.set == NULL) return ERR_NOMEM;
    g.set[0] = part;
    enum err e = plan_set(&g, true, &plan);
    if (e == OK) *ret_plan = plan;
    return e;
}
