/*
 * choose_parts.c - decides which parts are merged next: see parts.h.
 *
 * Write amplification: a sample is written by the flush, by one merge for each factor of sixteen
 * between a flush and a partition, once when its day is over, and once when its month is.
 *
 * Invariants:
 * 1. The candidate has ascending indexes, each once. It fits into the memory of a merge, except
 *    when one part is planned alone, or is damaged or too large on its own.
 * 2. Windows of a plan are whole partitions that follow one another and cover the times of all
 *    inputs.
 * 3. partition_of() divides time: each time is in exactly one partition.
 */
#include "tsdb/merge/parts.h"

#include <assert.h>

#include "base/text/time_text.h"

enum {
    RUN_MIN = 16,               /* number of small neighbours that are worth a merge */
    WIDE_MAX = 4,               /* parts across today's border that wait to be split at once */
    GRACE_MS = 2 * 3600 * 1000, /* time after its end from which a partition is over */
    WORTH = 4, /* small parts of at least this fraction of the largest are worth merging with it */
};

#define DAY_MS   INT64_C(86400000)
#define YEARS_MS (100 * 366 * DAY_MS)

/* --- partitions ------------------------------------------------------------------------------- */

/* Returns what partition_of() does, with borders that belong to the time after them. */
static struct time_range
calendar_of(int64_t t_ms, int64_t now_ms)
{
    int64_t oldest = time_month_begin(now_ms - YEARS_MS, 0),
            newest = time_month_begin(now_ms + YEARS_MS, 0);
    if (t_ms < oldest) return (struct time_range){INT64_MIN, oldest - 1};
    if (t_ms >= newest) return (struct time_range){newest, INT64_MAX};
    int64_t days_from = time_month_begin(now_ms - GRACE_MS, -1),
            days_to = time_month_begin(now_ms, 2);
    if (t_ms >= days_from && t_ms < days_to) {
        int64_t rest = t_ms % DAY_MS, begin = t_ms - (rest < 0 ? rest + DAY_MS : rest);
        return (struct time_range){begin, begin + DAY_MS - 1};
    }
    return (struct time_range){time_month_begin(t_ms, 0), time_month_begin(t_ms, 1) - 1};
}

struct time_range
partition_of(int64_t t_ms, int64_t now_ms)
{
    struct time_range r = calendar_of(t_ms == INT64_MIN ? t_ms : t_ms - 1, now_ms);
    if (r.min_ms > INT64_MIN) r.min_ms++;
    if (r.max_ms < INT64_MAX) r.max_ms++;
    return r;
}

/* --- candidates ------------------------------------------------------------------------------- */

struct merge_planning {
    const struct plan_part *parts;
    uint32_t count;
    const struct merge_plan_options *options;
    struct arena *arena;
    uint32_t *set; /* indexes of the candidate's parts, ascending */
    uint32_t set_count;
    bool set_is_full; /* the next part does not fit into memory */
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
    for (uint32_t i = 0; i < g->set_count; i++)
        if (g->set[i] == part) return true;
    return false;
}

/* The time and the stretch of the log that the set covers. */
static struct plan_part
set_hull(const struct merge_planning *g)
{
    assert(g->set_count > 0);
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

/* True if a part is damaged, or too large for the memory of a merge or for the free disk space. It
 * is never an input. */
static bool
is_out_of_reach(const struct merge_planning *g, const struct plan_part *p)
{
    return p->fixed || p->memory > g->options->memory_max || p->bytes > g->options->bytes_max;
}

static bool
set_fits_memory(const struct merge_planning *g)
{
    return set_hull(g).memory <= g->options->memory_max;
}

/* True if the parts of the set are neighbours in the log: no other part has samples of their time
 * between them, and no border is. */
static bool
set_is_mergeable(const struct merge_planning *g)
{
    struct plan_part hull = set_hull(g);
    if (hull.bytes > g->options->bytes_max) return false;
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
        assert(window.min_ms <= t); /* invariant 3 */
        assert(window.max_ms >= t);
        plan->windows[count++] = window;
        if (window.max_ms >= hull.time.max_ms) break;
        t = window.max_ms + 1;
    }
    assert(plan->windows[0].min_ms <= hull.time.min_ms); /* invariant 2 */
    for (uint32_t i = 1; i < g->set_count; i++)
        assert(g->set[i - 1] < g->set[i]); /* invariant 1 */
    plan->window_count = count;
    plan->inputs = g->set;
    plan->input_count = g->set_count;
    plan->last = last;
    return OK;
}

/*
 * Finds parts that span partitions: the oldest, and those that follow it. Those that reach into
 * today wait for a few more of them, but not if one meets `whole`, which is about to become one
 * part.
 */
static bool
find_wide(struct merge_planning *g, struct time_range whole)
{
    struct time_range today = partition_of(g->options->now_ms, g->options->now_ms);
    bool due = g->options->full;
    g->set_count = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        const struct plan_part *p = &g->parts[i];
        if (is_out_of_reach(g, p) || !is_wide(g, p)) continue;
        g->set[g->set_count++] = i;
        bool fits = set_fits_memory(g);
        due |= !fits; /* waiting for more parts is of no use */
        if (!fits || !set_is_mergeable(g)) {
            g->set_count--;
            break;
        }
        due |= p->time.max_ms < today.min_ms || g->set_count >= WIDE_MAX ||
               ranges_meet(p->time, whole);
    }
    return due && g->set_count > 0;
}

static uint64_t
largest_of(const struct merge_planning *g, const uint32_t *parts, uint32_t count)
{
    uint64_t largest = 0;
    for (uint32_t i = 0; i < count; i++)
        if (g->parts[parts[i]].bytes > largest) largest = g->parts[parts[i]].bytes;
    return largest;
}

/* Makes the longest mergeable run of members from the first one on the set; it may be empty. */
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

/* Finds all parts of a partition that is over, or as many as are neighbours. */
static bool
find_whole(struct merge_planning *g, const uint32_t *members, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++) {
        take_run(g, members + at, count - at, UINT64_MAX);
        if (g->set_count == 0) continue;
        const struct plan_part *first = &g->parts[g->set[0]];
        if (g->options->full && g->set_count == 1 && first->loose) return true;
        if (g->set_count < 2) continue;
        uint64_t largest = largest_of(g, g->set, g->set_count);
        uint64_t small = set_hull(g).bytes - largest;
        if (g->options->full || small >= largest / WORTH) return true;
    }
    return false;
}

/*
 * True if the set is worth a merge: its parts are of similar size, none more than a quarter of the
 * whole; or half of it if they fill at least half of the memory of a merge.
 */
static bool
is_run(const struct merge_planning *g)
{
    if (g->set_count < 2) return false;
    struct plan_part hull = set_hull(g);
    uint64_t largest = largest_of(g, g->set, g->set_count);
    if (g->set_is_full && hull.memory >= g->options->memory_max / 2 && largest <= hull.bytes / 2)
        return true;
    return g->set_count >= RUN_MIN && largest <= hull.bytes / 4;
}

/* Finds the run of the smallest parts. */
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
    *ret_plan = (struct merge_plan){0};
    if (count == 0) return OK;
    g.set = arena_alloc(arena, count * sizeof *g.set);
    uint32_t *members = arena_alloc(arena, count * sizeof *members);
    if (g.set == NULL || members == NULL) return ERR_NOMEM;
    struct time_range nothing = {.min_ms = INT64_MAX, .max_ms = INT64_MIN};
    if (find_wide(&g, nothing)) return plan_set(&g, options->full, ret_plan);
    for (uint32_t i = 0; i < count; i++) {
        const struct plan_part *p = &parts[i];
        if (!has_samples(p) || is_wide(&g, p)) continue;
        struct time_range partition = partition_of(p->time.min_ms, options->now_ms);
        uint32_t n = 0;
        for (uint32_t k = 0; k < count; k++)
            if (has_samples(&parts[k]) && range_holds(partition, parts[k].time)) members[n++] = k;
        assert(n > 0);                 /* part i itself */
        if (members[0] != i) continue; /* each partition is looked at once, at its first part */
        bool over = options->full || partition.max_ms < options->now_ms - GRACE_MS;
        bool last = over && find_whole(&g, members, n);
        if (last && find_wide(&g, partition))
            last = false; /* splitting comes first */
        else if (last)
            last = find_whole(&g, members, n); /* again: find_wide() changed the set */
        else if (!find_run(&g, members, n))
            continue;
        return plan_set(&g, last, ret_plan);
    }
    return OK;
}

enum err
merge_plan_alone(const struct plan_part *parts, uint32_t part,
                 const struct merge_plan_options *options, struct arena *arena,
                 struct merge_plan *ret_plan)
{
    struct merge_planning g = {.parts = parts, .options = options, .arena = arena, .set_count = 1};
    *ret_plan = (struct merge_plan){0};
    g.set = arena_alloc(arena, sizeof *g.set);
    if (g.set == NULL) return ERR_NOMEM;
    g.set[0] = part;
    return plan_set(&g, true, ret_plan);
}

enum err
merge_plan_partition(const struct plan_part *parts, uint32_t count, uint32_t part,
                     const struct merge_plan_options *options, struct arena *arena,
                     struct merge_plan *ret_plan)
{
    struct merge_planning g = {.parts = parts, .count = count, .options = options, .arena = arena};
    struct time_range partition = partition_of(parts[part].time.min_ms, options->now_ms);
    uint32_t *members = arena_alloc(arena, count * sizeof *members), n = 0;
    g.set = arena_alloc(arena, count * sizeof *g.set);
    *ret_plan = (struct merge_plan){0};
    if (members == NULL || g.set == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        if (has_samples(&parts[i]) && range_holds(partition, parts[i].time)) members[n++] = i;
    for (uint32_t at = 0; at < n && members[at] <= part; at++) {
        take_run(&g, members + at, n - at, UINT64_MAX);
        if (g.set_count > 0 && set_has(&g, part)) return plan_set(&g, true, ret_plan);
    }
    return OK;
}
