/*
 * rewriting.c - plans merges that only write parts again: without samples past their rules of
 * retention, or with levels of downsampling in place of samples.
 *
 * A part is worth it from a share of its samples or bytes on, or, in a full merge, from any. The
 * share is estimated by the index of some of its series, at most once per hour. A full merge looks
 * at all series for rules of retention, as it removes all that is past them.
 */
#include "model/series_rules.h"
#include "tsdb/part/walk.h"
#include "tsdb/store/merging_private.h"

enum {
    ROWS_ESTIMATED = 1024,    /* series of a part that are looked at, evenly spread */
    ROWS_AT_ONCE = 64 * 1024, /* series after which a merge may be stopped */
    LEVEL_PERCENT = 25,       /* share of a part that is worth rolling up */
    LEVEL_SAMPLES_MIN = 8,    /* samples for each window that may be worth it, */
    LEVEL_BYTES_MIN = 2,      /* and their bytes */
};

#define LOOK_AGAIN_NS (3600 * NS_PER_S)

/* Calls `each` for up to `rows_max` series of a part, evenly spread. Views end with the call. */
static enum err
sample_rows(struct merging *g, struct part *part, uint32_t rows_max,
            void (*each)(void *context, struct bytes tenant, struct bytes labels,
                         const struct block_ref *blocks, uint32_t count),
            void *context)
{
    uint32_t step = (uint32_t)(part_info(part)->series_count / rows_max + 1), looked_at = 0;
    struct arena arena;
    enum err e = OK;
    arena_init(&arena, &g->db->merge_budget, 0, 0);
    for (uint32_t t = 0; t < part_tenant_count(part) && e == OK; t++) {
        const struct part_tenant *tenant = part_tenant_at(part, t);
        struct part_index index;
        struct row_reader *rows;
        uint32_t end = tenant->first_series + tenant->series_count;
        arena_reset(&arena);
        e = part_index_load(part, tenant, &arena, &index, g->why);
        if (e == OK) e = row_reader_new(&index, &g->db->merge_budget, &rows);
        if (e) break;
        /* The first multiple of the step in the tenant's range, and those after it. */
        uint32_t first = (tenant->first_series + step - 1) / step * step;
        for (uint32_t number = first; number < end && e == OK; number += step) {
            struct bytes labels;
            const struct block_ref *blocks;
            uint32_t count;
            e = row_read(rows, number, &labels, &blocks, &count, g->why);
            if (e == OK) each(context, tenant->name, labels, blocks, count);
            if (e == OK && ++looked_at % ROWS_AT_ONCE == 0) e = merging_check(g);
        }
        row_reader_free(rows);
    }
    arena_fini(&arena);
    return e;
}

/* --- samples past the rules of retention ------------------------------------------------------ */

/* Estimates the samples of a block before the time, as if they were evenly spread. */
static uint64_t
count_below(const struct block_ref *b, int64_t cut_ms)
{
    if (b->min_ms >= cut_ms) return 0;
    if (b->max_ms < cut_ms) return b->count;
    double share =
        ((double)cut_ms - (double)b->min_ms) / ((double)b->max_ms - (double)b->min_ms + 1);
    return 1 + (uint64_t)(share * (double)(b->count - 1));
}

/* Samples or bytes of the series that were looked at. */
struct estimate {
    const struct merging *g;
    const struct part *part;
    struct time_range partition; /* of the part */
    uint64_t wanted;             /* those that a merge would remove or replace */
    uint64_t all;
};

static void
add_removable(void *context, struct bytes tenant, struct bytes labels,
              const struct block_ref *blocks, uint32_t count)
{
    struct estimate *x = context;
    int64_t age_ms, cut_ms = INT64_MIN;
    if (series_rules_find(x->g->rules, tenant, labels, &age_ms) != NULL) {
        cut_ms = x->g->rules_now_ms - age_ms;
    }
    for (uint32_t i = 0; i < count; i++) {
        x->all += blocks[i].count;
        x->wanted += count_below(&blocks[i], cut_ms);
    }
}

/* Estimates the percentage of a part's samples that are past their rules, by some of its series. */
static enum err
estimate_removable(struct merging *g, struct part *part, uint32_t rows_max, unsigned *ret_percent)
{
    struct estimate x = {.g = g, .part = part};
    enum err e = sample_rows(g, part, rows_max, add_removable, &x);
    *ret_percent = x.all == 0 ? 0 : (unsigned)((x.wanted * 100 + x.all - 1) / x.all);
    return e;
}

/* Plans to rewrite the first part of which enough is past its rules. */
enum err
merging_plan_rules(struct merging *g, const struct plan_part *parts,
                   const struct merge_plan_options *options)
{
    struct tsdb *db = g->db;
    const struct version *v = g->version;
    const struct part_merge_options rules = {.rules = g->rules, .rules_now_ms = g->rules_now_ms};
    int64_t now_ns = env_monotonic_ns(db->env);
    uint64_t serial = series_rules_serial(g->rules);
    bool all = g->options->mode == TSDB_MERGE_FULL, looked = db->rules_looked == serial;
    if (g->rules == NULL || (!all && looked && now_ns < db->rules_look_ns)) return OK;
    lock_take(&db->head.lock);
    uint32_t enough = all ? 1 : db->head.limits.retention_rewrite_percent;
    lock_drop(&db->head.lock);
    for (uint32_t i = 0; i < v->part_count; i++) {
        unsigned percent = 0;
        if (parts[i].fixed || !part_merge_may_expire(&rules, part_info(v->parts[i]))) continue;
        if (parts[i].bytes > options->bytes_max) continue; /* until there is room for its copy */
        if (part_is_within_rules(v->parts[i], serial, g->rules_now_ms)) continue;
        enum err e =
            estimate_removable(g, v->parts[i], all ? UINT32_MAX : ROWS_ESTIMATED, &percent);
        if (e == ERR_CORRUPT) part_leave_alone(v->parts[i], g->why);
        if (e) return e;
        if (percent > 0 && percent >= enough) {
            return merge_plan_alone(parts, i, options, &g->arena, &g->plan);
        }
        if (all) part_set_within_rules(v->parts[i], serial, g->rules_now_ms);
    }
    db->rules_looked = serial;
    db->rules_look_ns = now_ns + LOOK_AGAIN_NS;
    return OK;
}

/* --- samples that levels may replace ---------------------------------------------------------- */

/* The end of the last window that the level may replace at a time; INT64_MIN if it replaces none.
 */
static int64_t
level_before_ms(const struct part_merge_level *level, struct bytes tenant, struct bytes labels,
                int64_t now_ms)
{
    int64_t age_ms;
    if (series_rules_find(level->rules, tenant, labels, &age_ms) == NULL) return INT64_MIN;
    if (now_ms < INT64_MIN + age_ms) return INT64_MIN;
    int64_t before_ms = now_ms - age_ms,
            end_ms = rollup_window_end(before_ms, level->resolution_ms);
    return end_ms > before_ms ? end_ms - level->resolution_ms : end_ms;
}

/* The times of the first window of a block that lies in the partition as a whole; it may be after
 * the block. False without such a window. */
static bool
first_window(const struct block_ref *b, int64_t resolution_ms, struct time_range partition,
             struct time_range *ret_window)
{
    int64_t end_ms = rollup_window_end(block_span(b).min_ms, resolution_ms);
    if (end_ms < INT64_MIN + 2 * resolution_ms || end_ms > INT64_MAX - resolution_ms) return false;
    if (end_ms - resolution_ms + 1 < partition.min_ms) end_ms += resolution_ms;
    *ret_window = (struct time_range){end_ms - resolution_ms + 1, end_ms};
    return end_ms <= partition.max_ms;
}

/* True if a level may replace something of the block since the last merge of the part, and that
 * may be worth it. */
static bool
is_replaceable(const struct estimate *x, const struct part_merge_level *level,
               const struct block_ref *b, int64_t done_before_ms, int64_t before_ms)
{
    struct time_range span = block_span(b), window;
    if (b->resolution_ms >= level->resolution_ms) return false;
    if (span.max_ms > before_ms || span.max_ms <= done_before_ms) return false;
    if (!first_window(b, level->resolution_ms, x->partition, &window)) return false;
    if (window.min_ms > span.max_ms || window.max_ms > before_ms) return false;
    uint64_t windows = (uint64_t)(span.max_ms - span.min_ms) / level->resolution_ms + 1;
    if (b->resolution_ms == 0 && b->count / LEVEL_SAMPLES_MIN < windows) return false;
    return block_bytes_stored(b) / LEVEL_BYTES_MIN >= windows;
}

/* Adds the bytes of a series' blocks, and of those that a level may replace. */
static void
add_replaceable(void *context, struct bytes tenant, struct bytes labels,
                const struct block_ref *blocks, uint32_t count)
{
    struct estimate *x = context;
    const struct merging *g = x->g;
    int64_t done_ms = part_leveled_ms(x->part, g->levels_number);
    int64_t before_ms[TSDB_LEVELS_MAX], done_before_ms[TSDB_LEVELS_MAX];
    for (uint32_t k = 0; k < g->level_count; k++) {
        const struct part_merge_level *level = &g->levels[k];
        bool nests = part_merge_nests(x->part, level->resolution_ms);
        before_ms[k] = nests ? level_before_ms(level, tenant, labels, g->levels_now_ms) : INT64_MIN;
        done_before_ms[k] =
            done_ms == INT64_MIN ? INT64_MIN : level_before_ms(level, tenant, labels, done_ms);
    }
    for (uint32_t i = 0; i < count; i++) {
        bool any = false;
        for (uint32_t k = 0; k < g->level_count && !any; k++) {
            any = is_replaceable(x, &g->levels[k], &blocks[i], done_before_ms[k], before_ms[k]);
        }
        x->all += block_bytes_stored(&blocks[i]);
        if (any) x->wanted += block_bytes_stored(&blocks[i]);
    }
}

/* Estimates the percentage of a part's bytes that levels may replace. */
static enum err
estimate_replaceable(struct merging *g, struct part *part, uint64_t *ret_percent)
{
    struct estimate x = {.g = g, .part = part};
    x.partition = partition_of(part_info(part)->min_ms, env_realtime_ms(g->db->env));
    enum err e = sample_rows(g, part, ROWS_ESTIMATED, add_replaceable, &x);
    *ret_percent = x.all == 0 ? 0 : x.wanted * 100 / x.all;
    return e;
}

static bool
levels_concern(const struct merging *g, const struct part *part)
{
    for (uint32_t i = 0; i < g->level_count; i++) {
        int64_t age_ms = series_rules_least_age_ms(g->levels[i].rules, (struct bytes){NULL, 0});
        if (age_ms != INT64_MAX && part_info(part)->min_ms < g->levels_now_ms - age_ms) return true;
    }
    return false;
}

/* Plans to write the first partition again of which levels may replace enough. */
enum err
merging_plan_levels(struct merging *g, const struct plan_part *parts,
                    const struct merge_plan_options *options)
{
    struct tsdb *db = g->db;
    const struct version *v = g->version;
    int64_t now_ns = env_monotonic_ns(db->env);
    bool full = g->options->mode == TSDB_MERGE_FULL;
    bool looked = db->levels_looked == g->levels_number && now_ns < db->levels_look_ns;
    if (g->level_count == 0 || (looked && !full)) return OK;
    for (uint32_t i = 0; i < v->part_count; i++) {
        uint64_t percent;
        if (parts[i].fixed || !levels_concern(g, v->parts[i])) continue;
        enum err e = estimate_replaceable(g, v->parts[i], &percent);
        if (e == ERR_CORRUPT) part_leave_alone(v->parts[i], g->why);
        if (e) return e;
        if (percent < (full ? 1 : LEVEL_PERCENT)) continue;
        e = merge_plan_partition(parts, v->part_count, i, options, &g->arena, &g->plan);
        if (e || g->plan.input_count > 0) return e;
    }
    db->levels_looked = g->levels_number;
    db->levels_look_ns = now_ns + LOOK_AGAIN_NS;
    return OK;
}
