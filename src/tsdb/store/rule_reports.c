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

/* --- the rules of limits ---------------------------------------------------------------------- */

uint32_t
tsdb_limits_rule_count(const struct tsdb_limits *limits)
{
    uint32_t count = series_rules_count(limits->retention_rules);
    for (uint32_t i = 0; i < limits->level_count; i++) {
        count += series_rules_count(limits->levels[i].rules);
    }
    return count;
}

const struct series_rule *
tsdb_limits_rule(const struct tsdb_limits *limits, uint32_t index, int64_t *ret_resolution_ms)
{
    uint32_t count = series_rules_count(limits->retention_rules);
    *ret_resolution_ms = 0;
    if (index < count) return series_rules_at(limits->retention_rules, index);
    for (uint32_t i = 0; i < limits->level_count; i++) {
        const struct tsdb_level *level = &limits->levels[i];
        index -= count;
        count = series_rules_count(level->rules);
        *ret_resolution_ms = level->resolution_ms;
        if (index < count) return series_rules_at(level->rules, index);
    }
    return NULL;
}

void
tsdb_limits_drop_rules(struct tsdb_limits *limits)
{
    series_rules_unref(limits->retention_rules);
    for (uint32_t i = 0; i < limits->level_count; i++) {
        series_rules_unref(limits->levels[i].rules);
    }
    limits->retention_rules = NULL;
    limits->level_count = 0;
}

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

/* Returns a number that no other rules of this process have; 0 for none. */
static uint64_t
rules_number(const struct tsdb_limits *limits)
{
    uint64_t number = levels_number(limits);
    if (limits->retention_rules == NULL) return number;
    return hash_mix(number, series_rules_serial(limits->retention_rules)) | 1;
}

/* Takes references, for tsdb_limits_drop_rules(). */
static struct tsdb_limits
rules_take(struct tsdb *db, int64_t *ret_grace_left_ms)
{
    lock_take(&db->head.lock);
    retention_settle(&db->head);
    struct tsdb_limits limits = db->head.limits;
    limits.retention_rules = series_rules_ref(db->head.rules.now.rules);
    for (uint32_t i = 0; i < limits.level_count; i++) {
        (void)series_rules_ref(limits.levels[i].rules);
    }
    *ret_grace_left_ms = retention_grace_left_ms(&db->head);
    lock_drop(&db->head.lock);
    return limits;
}

/* --- reports ---------------------------------------------------------------------------------- */

/* A rule_count as of one moment; its texts are never freed before the store. */
struct count_copy {
    const struct rule_count *of;
    struct rule_done done;
    bool downsamples;
    bool configured;
};

/* A report about rules, while it is made. */
struct rule_report {
    struct arena arena;
    struct buf tenants;
    struct count_copy *copies;
    uint32_t count;
    struct series_cost *found; /* by rule, by the last survey of these rules; zero before it */
    int64_t surveyed_ms;       /* clock at that survey; INT64_MIN: there was none */
};

static void
copy_counts(struct rule_report *report, const struct rule_counts *all, bool downsamples)
{
    for (uint32_t i = 0; i < all->count; i++) {
        const struct rule_count *c = all->items[i];
        report->copies[report->count++] = (struct count_copy){c, c->done, downsamples, false};
    }
}

/* False without memory: the next report has all. */
static bool
report_begin(struct tsdb *db, const struct tsdb_limits *limits, struct rule_report *ret)
{
    const struct rules_seen *seen = &db->rules_seen;
    size_t bytes = tsdb_limits_rule_count(limits) * sizeof *ret->found;
    *ret = (struct rule_report){.surveyed_ms = INT64_MIN};
    arena_init(&ret->arena, NULL, 0, 0);
    buf_init(&ret->tenants, NULL, SIZE_MAX);
    ret->copies = arena_alloc(&ret->arena, (2 * RULE_COUNTS_MAX + 2) * sizeof *ret->copies);
    ret->found = arena_new(&ret->arena, bytes + 1);
    if (ret->copies == NULL || ret->found == NULL) return false;
    lock_take(&db->live.lock);
    copy_counts(ret, &db->removed_counts, false);
    copy_counts(ret, &db->rolled_counts, true);
    if (seen->list != NULL && seen->configured == rules_number(limits)) {
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

/* A count of one kind has nothing of the other. */
static void
add_done(struct tsdb_rule *to, const struct rule_done *done)
{
    const uint64_t *removed = done->removed.count, *rolled = done->rolled.samples;
    to->samples += removed[LEDGER_FLOAT] + removed[LEDGER_HISTOGRAM] + rolled[LEDGER_FLOAT] +
                   rolled[LEDGER_HISTOGRAM];
    to->exemplars += removed[LEDGER_EXEMPLAR];
    to->series += done->removed.series;
    to->windows += done->rolled.windows;
    to->bytes += done->removed.bytes + done->rolled.bytes;
}

static void
add_done_by(struct rule_report *report, struct tsdb_rule *to)
{
    buf_clear(&report->tenants);
    series_rule_put_tenants(to->rule, &report->tenants);
    for (uint32_t i = 0; i < report->count; i++) {
        struct count_copy *c = &report->copies[i];
        if (c->downsamples != to->downsamples || c->of->resolution_ms != to->resolution_ms)
            continue;
        if (!bytes_equal_text(c->of->match, to->rule->match)) continue;
        if (!bytes_equal(c->of->tenants, buf_bytes(&report->tenants))) continue;
        c->configured = true;
        add_done(to, &c->done);
    }
}

/* Adds up the counts of rules for which add_done_by() was not called. Returns false without any. */
static bool
add_done_by_others(const struct rule_report *report, struct tsdb_rule *to)
{
    bool any = false;
    for (uint32_t i = 0; i < report->count; i++) {
        const struct count_copy *c = &report->copies[i];
        if (c->configured || c->downsamples != to->downsamples) continue;
        any = true;
        add_done(to, &c->done);
    }
    return any;
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

void
tsdb_rules(struct tsdb *db, struct tsdb_rules_state *ret_state,
           void (*each)(void *context, const struct tsdb_rule *rule), void *context)
{
    struct rule_report report;
    struct tsdb_limits limits = rules_take(db, &ret_state->grace_left_ms);
    uint32_t count = tsdb_limits_rule_count(&limits);
    int64_t looked_ms = 0; /* resolution for which `excluded` was counted */
    uint64_t excluded = 0;
    bool known = report_begin(db, &limits, &report);
    ret_state->surveyed_ms = report.surveyed_ms;
    for (uint32_t i = 0; i < count && known; i++) {
        struct tsdb_rule one = {.left = report.found[i]};
        one.rule = tsdb_limits_rule(&limits, i, &one.resolution_ms);
        one.downsamples = one.resolution_ms > 0;
        add_done_by(&report, &one);
        if (one.resolution_ms != looked_ms) {
            looked_ms = one.resolution_ms;
            excluded = parts_without(db, looked_ms);
        }
        one.excluded_parts = excluded;
        each(context, &one);
    }
    for (unsigned i = 0; i < 2 && known; i++) {
        struct tsdb_rule others = {.downsamples = i == 1};
        if (add_done_by_others(&report, &others)) each(context, &others);
    }
    report_end(&report);
    tsdb_limits_drop_rules(&limits);
}

/* --- surveys ---------------------------------------------------------------------------------- */

enum err
tsdb_rules_survey(struct tsdb *db, const struct tsdb_limits *limits, struct query_control *control,
                  struct series_cost *ret_list, struct why *why)
{
    return rules_survey(&db->head, limits, control, ret_list, why);
}

/* Surveys the rules, and keeps the result instead of the one before. */
static enum err
survey_again(struct tsdb *db, const struct tsdb_limits *limits, struct query_control *control,
             struct why *why)
{
    struct rules_seen seen = {.configured = rules_number(limits),
                              .count = tsdb_limits_rule_count(limits),
                              .at_ms = env_realtime_ms(db->env)};
    int64_t begun_ns = env_monotonic_ns(db->env);
    enum err e = OK;
    if (seen.count > 0) {
        seen.list = mem_new(&db->cache_budget, seen.count * sizeof *seen.list);
        if (seen.list == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a survey");
        e = rules_survey(&db->head, limits, control, seen.list, why);
    }
    if (e == OK) {
        struct rules_seen before = db->rules_seen;
        /* A survey of many series takes at most a twentieth of the time. */
        int64_t end_ns = env_monotonic_ns(db->env), pause_ns = 20 * (end_ns - begun_ns);
        seen.again_ns = end_ns + (pause_ns > SURVEY_PAUSE_NS ? pause_ns : SURVEY_PAUSE_NS);
        lock_take(&db->live.lock);
        db->rules_seen = seen;
        lock_drop(&db->live.lock);
        seen = before;
    }
    mem_free(&db->cache_budget, seen.list, seen.count * sizeof *seen.list);
    return e;
}

enum err
tsdb_rules_look(struct tsdb *db, struct query_control *control, bool *ret_changed, struct why *why)
{
    int64_t grace_left_ms;
    struct tsdb_limits limits = rules_take(db, &grace_left_ms);
    const struct rules_seen *kept = &db->rules_seen; /* only this thread changes it */
    enum err e = OK;
    *ret_changed = rules_number(&limits) != kept->configured;
    bool due = kept->count > 0 && env_monotonic_ns(db->env) >= kept->again_ns;
    if (*ret_changed || due) e = survey_again(db, &limits, control, why);
    tsdb_limits_drop_rules(&limits);
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
