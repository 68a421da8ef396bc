/*
 * rule_reports.c - what rules of retention and of downsampling have done, and have still to do: for
 * pages, metrics and logs. The first are the counts of rules.c. The second is found by surveys,
 * whose result is kept until the rules change or an hour is over.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash/hash.h"
#include "model/series_rules.h"
#include "tsdb/store/store.h"

#define SURVEY_PAUSE_NS (3600 * NS_PER_S)

/* --- reports ---------------------------------------------------------------------------------- */

/* A rule_count as of one moment; its texts are never freed before the store. */
struct count_copy {
    const struct rule_count *of;
    struct rule_done done;
    bool configured;
};

/* A report about the rules of one kind, while it is made. */
struct rule_report {
    struct arena arena;
    struct buf tenants;
    struct count_copy *copies;
    uint32_t count;
    void *found;         /* by rule, by the last survey of these rules; zero before it */
    int64_t surveyed_ms; /* clock at that survey; INT64_MIN: there was none */
};

/* False without memory: the next report has all. `bytes` is the size of what a survey finds. */
static bool
report_begin(struct tsdb *db, const struct rule_counts *all, const struct rules_seen *seen,
             uint64_t configured, size_t bytes, struct rule_report *ret)
{
    *ret = (struct rule_report){.surveyed_ms = INT64_MIN};
    arena_init(&ret->arena, NULL, 0, 0);
    buf_init(&ret->tenants, NULL, SIZE_MAX);
    ret->copies = arena_alloc(&ret->arena, (RULE_COUNTS_MAX + 1) * sizeof *ret->copies);
    ret->found = arena_new(&ret->arena, bytes + 1);
    if (ret->copies == NULL || ret->found == NULL) return false;
    lock_take(&db->live.lock);
    for (; ret->count < all->count; ret->count++) {
        const struct rule_count *c = all->items[ret->count];
        ret->copies[ret->count] = (struct count_copy){c, c->done, false};
    }
    if (seen->list != NULL && seen->configured == configured) {
        memcpy(ret->found, seen->list, bytes);
        ret->surveyed_ms = seen->at_ms;
    }
    lock_drop(&db->live.lock);
    return true;
}

static void
report_end(struct rule_report *report)
{
    arena_fini(&report->arena);
    buf_fini(&report->tenants);
}

static void
add_done(struct rule_done *to, const struct rule_done *more)
{
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        to->removed.count[k] += more->removed.count[k];
        to->rolled.samples[k] += more->rolled.samples[k];
    }
    to->removed.series += more->removed.series;
    to->removed.bytes += more->removed.bytes;
    to->rolled.windows += more->rolled.windows;
    to->rolled.bytes += more->rolled.bytes;
}

static struct rule_done
done_by(struct rule_report *report, const struct series_rule *rule, int64_t resolution_ms)
{
    struct rule_done done = {.removed = {.series = 0}};
    buf_clear(&report->tenants);
    series_rule_put_tenants(rule, &report->tenants);
    for (uint32_t i = 0; i < report->count; i++) {
        struct count_copy *c = &report->copies[i];
        if (c->of->resolution_ms != resolution_ms) continue;
        if (!bytes_equal_text(c->of->match, rule->match)) continue;
        if (!bytes_equal(c->of->tenants, buf_bytes(&report->tenants))) continue;
        c->configured = true;
        add_done(&done, &c->done);
    }
    return done;
}

/* Adds up the counts of rules for which done_by() was not called. Returns false without any. */
static bool
done_by_others(const struct rule_report *report, struct rule_done *ret)
{
    bool any = false;
    *ret = (struct rule_done){.removed = {.series = 0}};
    for (uint32_t i = 0; i < report->count; i++) {
        if (report->copies[i].configured) continue;
        any = true;
        add_done(ret, &report->copies[i].done);
    }
    return any;
}

static struct tsdb_rule
rule_of(const struct series_rule *rule, const struct rule_done *done)
{
    const uint64_t *count = done->removed.count;
    return (struct tsdb_rule){.rule = rule,
                              .removed_samples = count[LEDGER_FLOAT] + count[LEDGER_HISTOGRAM],
                              .removed_exemplars = count[LEDGER_EXEMPLAR],
                              .removed_series = done->removed.series,
                              .removed_bytes = done->removed.bytes,
                              .expired.oldest_ms = INT64_MAX};
}

struct tsdb_retention
tsdb_retention_rules(struct tsdb *db, void (*each)(void *context, const struct tsdb_rule *rule),
                     void *context)
{
    struct tsdb_retention state = {0, INT64_MIN};
    struct rule_report report;
    struct rule_done done;
    lock_take(&db->head.lock);
    retention_settle(&db->head);
    struct series_rules *rules = series_rules_ref(db->head.rules.now.rules);
    state.grace_left_ms = retention_grace_left_ms(&db->head);
    lock_drop(&db->head.lock);
    uint32_t count = series_rules_count(rules);
    bool known = report_begin(db, &db->removed_counts, &db->rules_seen, series_rules_serial(rules),
                              count * sizeof(struct tsdb_rule_survey), &report);
    const struct tsdb_rule_survey *found = report.found;
    state.surveyed_ms = report.surveyed_ms;
    for (uint32_t i = 0; i < count && known; i++) {
        const struct series_rule *rule = series_rules_at(rules, i);
        done = done_by(&report, rule, 0);
        struct tsdb_rule one = rule_of(rule, &done);
        if (state.surveyed_ms != INT64_MIN) one.expired = found[i];
        each(context, &one);
    }
    if (known && done_by_others(&report, &done)) {
        struct tsdb_rule others = rule_of(NULL, &done);
        each(context, &others);
    }
    report_end(&report);
    series_rules_unref(rules);
    return state;
}

/* --- levels ----------------------------------------------------------------------------------- */

uint64_t
levels_number(const struct tsdb_limits *limits)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < limits->level_count; i++) {
        const struct tsdb_level *level = &limits->levels[i];
        number = hash_mix(hash_mix(number, (uint64_t)level->resolution_ms),
                          series_rules_serial(level->rules)) |
                 1;
    }
    return number;
}

/* Takes references. */
static struct tsdb_limits
levels_take(struct tsdb *db)
{
    lock_take(&db->head.lock);
    struct tsdb_limits limits = db->head.limits;
    for (uint32_t i = 0; i < limits.level_count; i++) {
        (void)series_rules_ref(limits.levels[i].rules);
    }
    lock_drop(&db->head.lock);
    return limits;
}

static void
levels_drop(struct tsdb_limits *limits)
{
    for (uint32_t i = 0; i < limits->level_count; i++) {
        series_rules_unref(limits->levels[i].rules);
    }
}

static uint32_t
rules_of_levels(const struct tsdb_limits *limits)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < limits->level_count; i++) {
        count += series_rules_count(limits->levels[i].rules);
    }
    return count;
}

static uint64_t
parts_without(struct tsdb *db, int64_t resolution_ms)
{
    struct version *v = live_pin(&db->live);
    uint64_t count = 0;
    for (uint32_t i = 0; i < v->part_count; i++) {
        count += !part_merge_nests(v->parts[i], resolution_ms);
    }
    version_unref(v);
    return count;
}

static struct tsdb_level_rule
level_rule_of(const struct series_rule *rule, int64_t resolution_ms, const struct rule_done *done)
{
    const uint64_t *samples = done->rolled.samples;
    return (struct tsdb_level_rule){.rule = rule,
                                    .resolution_ms = resolution_ms,
                                    .replaced_samples =
                                        samples[LEDGER_FLOAT] + samples[LEDGER_HISTOGRAM],
                                    .windows = done->rolled.windows,
                                    .saved_bytes = done->rolled.bytes,
                                    .due.oldest_ms = INT64_MAX};
}

int64_t
tsdb_downsampling_rules(struct tsdb *db,
                        void (*each)(void *context, const struct tsdb_level_rule *rule),
                        void *context)
{
    struct tsdb_limits limits = levels_take(db);
    struct rule_report report;
    struct rule_done done;
    bool known = report_begin(db, &db->rolled_counts, &db->levels_seen, levels_number(&limits),
                              rules_of_levels(&limits) * sizeof(struct tsdb_level_survey), &report);
    const struct tsdb_level_survey *found = report.found;
    for (uint32_t i = 0; i < limits.level_count && known; i++) {
        const struct tsdb_level *level = &limits.levels[i];
        uint64_t excluded = parts_without(db, level->resolution_ms);
        for (uint32_t k = 0; k < series_rules_count(level->rules); k++, found++) {
            const struct series_rule *rule = series_rules_at(level->rules, k);
            done = done_by(&report, rule, level->resolution_ms);
            struct tsdb_level_rule one = level_rule_of(rule, level->resolution_ms, &done);
            if (report.surveyed_ms != INT64_MIN) one.due = *found;
            one.excluded_parts = excluded;
            each(context, &one);
        }
    }
    if (known && done_by_others(&report, &done)) {
        struct tsdb_level_rule others = level_rule_of(NULL, 0, &done);
        each(context, &others);
    }
    report_end(&report);
    levels_drop(&limits);
    return report.surveyed_ms;
}

/* --- surveys ---------------------------------------------------------------------------------- */

enum err
tsdb_retention_survey(struct tsdb *db, const struct series_rules *rules,
                      struct query_control *control, struct tsdb_rule_survey *ret_survey,
                      struct why *why)
{
    return rules_survey(&db->head, rules, control, ret_survey, why);
}

enum err
tsdb_downsampling_survey(struct tsdb *db, const struct tsdb_level *levels, uint32_t level_count,
                         struct query_control *control, struct tsdb_level_survey *ret_survey,
                         struct why *why)
{
    return levels_survey(&db->head, levels, level_count, control, ret_survey, why);
}

/* True if rules must be surveyed, or forgotten. Only the thread that surveys changes `kept`. */
static bool
is_due(struct tsdb *db, const struct rules_seen *kept, const struct rules_seen *next)
{
    if (next->configured != kept->configured || next->in_force != kept->in_force) return true;
    return next->bytes > 0 && env_monotonic_ns(db->env) >= kept->again_ns;
}

/* Makes room for what a survey finds. */
static enum err
seen_begin(struct tsdb *db, struct rules_seen *seen, struct why *why)
{
    seen->at_ms = env_realtime_ms(db->env);
    seen->again_ns = env_monotonic_ns(db->env);
    if (seen->bytes == 0) return OK;
    seen->list = mem_new(&db->cache_budget, seen->bytes);
    return seen->list == NULL ? why_set(why, ERR_NOMEM, "not enough memory for a survey") : OK;
}

/* Keeps the result of a survey instead of the one before. */
static void
seen_end(struct tsdb *db, struct rules_seen *kept, struct rules_seen *seen, enum err e)
{
    struct rules_seen before = *seen;
    if (e == OK) {
        /* A survey of many series takes at most a twentieth of the time. */
        int64_t end_ns = env_monotonic_ns(db->env), pause_ns = 20 * (end_ns - seen->again_ns);
        seen->again_ns = end_ns + (pause_ns > SURVEY_PAUSE_NS ? pause_ns : SURVEY_PAUSE_NS);
        lock_take(&db->live.lock);
        before = *kept;
        *kept = *seen;
        lock_drop(&db->live.lock);
    }
    mem_free(&db->cache_budget, before.list, before.list == NULL ? 0 : before.bytes);
}

enum err
tsdb_retention_look(struct tsdb *db, struct query_control *control, bool *ret_changed,
                    struct why *why)
{
    lock_take(&db->head.lock);
    retention_settle(&db->head);
    struct series_rules *rules = series_rules_ref(db->head.rules.now.rules);
    struct rules_seen seen = {.configured = series_rules_serial(rules),
                              .in_force = series_rules_serial(db->head.rules.all),
                              .bytes = series_rules_count(rules) * sizeof(struct tsdb_rule_survey)};
    lock_drop(&db->head.lock);
    enum err e = OK;
    *ret_changed = seen.configured != db->rules_seen.configured;
    if (is_due(db, &db->rules_seen, &seen)) {
        e = seen_begin(db, &seen, why);
        if (e == OK && seen.bytes > 0) e = rules_survey(&db->head, rules, control, seen.list, why);
        seen_end(db, &db->rules_seen, &seen, e);
    }
    series_rules_unref(rules);
    return e;
}

enum err
tsdb_downsampling_look(struct tsdb *db, struct query_control *control, bool *ret_changed,
                       struct why *why)
{
    struct tsdb_limits limits = levels_take(db);
    struct rules_seen seen = {.configured = levels_number(&limits),
                              .bytes = rules_of_levels(&limits) * sizeof(struct tsdb_level_survey)};
    enum err e = OK;
    *ret_changed = seen.configured != db->levels_seen.configured;
    if (is_due(db, &db->levels_seen, &seen)) {
        e = seen_begin(db, &seen, why);
        if (e == OK && seen.bytes > 0) {
            e = levels_survey(&db->head, limits.levels, limits.level_count, control, seen.list,
                              why);
        }
        seen_end(db, &db->levels_seen, &seen, e);
    }
    levels_drop(&limits);
    return e;
}

/* --- resolutions ------------------------------------------------------------------------------ */

static int
by_resolution(const void *a, const void *b)
{
    const struct rollup_facts *x = a, *y = b;
    return (x->resolution_ms > y->resolution_ms) - (x->resolution_ms < y->resolution_ms);
}

enum err
resolutions_of(struct part *const *parts, uint32_t count, struct arena *arena,
               struct rollup_facts **ret, uint32_t *ret_count)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        most += part_info(parts[i])->resolution_count;
    }
    *ret = arena_alloc(arena, (most + 1u) * sizeof **ret);
    *ret_count = 0;
    if (*ret == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct part_info *info = part_info(parts[i]);
        for (uint32_t k = 0; k < info->resolution_count; k++) {
            rollup_facts_add(*ret, ret_count, &info->resolutions[k]);
        }
    }
    if (*ret_count > 1) qsort(*ret, *ret_count, sizeof **ret, by_resolution);
    return OK;
}

void
tsdb_resolutions(struct tsdb *db, void (*each)(void *context, const struct rollup_facts *facts),
                 void *context)
{
    struct version *v = live_pin(&db->live);
    struct arena arena;
    struct rollup_facts *list;
    uint32_t count;
    arena_init(&arena, NULL, 0, 0);
    enum err e = resolutions_of(v->parts, v->part_count, &arena, &list, &count);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        each(context, &list[i]);
    }
    version_unref(v);
    arena_fini(&arena);
}
