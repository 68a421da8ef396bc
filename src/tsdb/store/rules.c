/*
 * rules.c - rules of retention in MANIFEST, what each has removed, and what each rule of
 * downsampling has replaced.
 *
 * The manifest lists the configuration in force and those before it that still protect samples, so
 * that a restart neither shortens nor prolongs their grace, and counts by rule what merges removed.
 * A count belongs to matchers and tenants, not to the age: a rule whose age changes goes on
 * counting. With very many rules over time, new ones share one count, without matchers. Counts of
 * rules of downsampling belong to the resolution, too.
 *
 * Invariants:
 * 1. Counts of all rules together are at most what the ledgers count as expired, and as
 *    downsampled: both change in the edit of a merge.
 */
#include "base/array.h"
#include "base/buf.h"
#include "base/hash/hash.h"
#include "model/series_rules.h"
#include "tsdb/store/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SURVEY_PAUSE_NS (3600 * NS_PER_S)

/* --- the rules of limits ---------------------------------------------------------------------- */

uint32_t
tsdb_limits_rule_count(const struct tsdb_limits *limits)
{
    uint32_t count = series_rules_count(limits->retention_rules);
    for (uint32_t i = 0; i < limits->level_count; i++)
        count += series_rules_count(limits->levels[i].rules);
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
    for (uint32_t i = 0; i < limits->level_count; i++)
        series_rules_unref(limits->levels[i].rules);
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
    for (uint32_t i = 0; i < limits.level_count; i++)
        (void)series_rules_ref(limits.levels[i].rules);
    *ret_grace_left_ms = retention_grace_left_ms(&db->head);
    lock_drop(&db->head.lock);
    return limits;
}

/* --- reports ---------------------------------------------------------------------------------- */

/*
 * Reports say what rules of retention and of downsampling have done, and have still to do: for
 * pages, metrics and logs. The first are the counts, the second is found by surveys, whose result
 * is kept until the rules change or an hour is over.
 */

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
    for (unsigned k = 0; k < RULE_KINDS; k++) {
        for (uint32_t i = 0; i < db->rule_counts[k].count; i++) {
            const struct rule_count *c = db->rule_counts[k].items[i];
            ret->copies[ret->count++] =
                (struct count_copy){c, c->done, k == RULES_DOWNSAMPLE, false};
        }
    }
    if (seen->list != NULL && seen->configured == rules_number(limits)) {
        memcpy(ret->found, seen->list, bytes);
        ret->surveyed_ms = seen->at_ms;
    }
    lock_drop(&db->live.lock);
    return true;
}

static void
add_done(struct tsdb_rule *to, const struct rule_done *done)
{
    to->samples += done->samples[LEDGER_FLOAT] + done->samples[LEDGER_HISTOGRAM];
    to->exemplars += done->samples[LEDGER_EXEMPLAR];
    to->series += done->series;
    to->windows += done->windows;
    to->bytes += done->bytes;
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
        buf_clear(&report.tenants);
        series_rule_put_tenants(one.rule, &report.tenants);
        for (uint32_t k = 0; k < report.count; k++) {
            struct count_copy *c = &report.copies[k];
            if (c->downsamples != one.downsamples || c->of->resolution_ms != one.resolution_ms)
                continue;
            if (!bytes_equal_text(c->of->match, one.rule->match)) continue;
            if (!bytes_equal(c->of->tenants, buf_bytes(&report.tenants))) continue;
            c->configured = true;
            add_done(&one, &c->done);
        }
        if (one.resolution_ms != looked_ms) {
            looked_ms = one.resolution_ms;
            struct version *v = live_pin(&db->live);
            excluded = 0;
            for (uint32_t k = 0; k < v->part_count; k++)
                excluded += !part_merge_nests(v->parts[k], looked_ms);
            version_unref(v);
        }
        one.excluded_parts = excluded;
        each(context, &one);
    }
    for (unsigned i = 0; i < 2 && known; i++) {
        struct tsdb_rule others = {.downsamples = i == 1};
        bool any = false;
        for (uint32_t k = 0; k < report.count; k++) {
            const struct count_copy *c = &report.copies[k];
            if (c->configured || c->downsamples != others.downsamples) continue;
            any = true;
            add_done(&others, &c->done);
        }
        if (any) each(context, &others);
    }
    arena_fini(&report.arena);
    buf_fini(&report.tenants);
    tsdb_limits_drop_rules(&limits);
}

/* --- surveys ---------------------------------------------------------------------------------- */

enum err
tsdb_rules_survey(struct tsdb *db, const struct tsdb_limits *limits, struct query_control *control,
                  struct series_cost *ret_list, struct why *why)
{
    return rules_survey(&db->head, limits, control, ret_list, why);
}

enum err
tsdb_rules_look(struct tsdb *db, struct query_control *control, bool *ret_changed, struct why *why)
{
    int64_t grace_left_ms;
    struct tsdb_limits limits = rules_take(db, &grace_left_ms);
    struct rules_seen before = db->rules_seen; /* only this thread changes it */
    struct rules_seen seen = {.configured = rules_number(&limits),
                              .count = tsdb_limits_rule_count(&limits),
                              .at_ms = env_realtime_ms(db->env)};
    int64_t begun_ns = env_monotonic_ns(db->env);
    enum err e = OK;
    *ret_changed = seen.configured != before.configured;
    bool due = *ret_changed || (before.count > 0 && begun_ns >= before.again_ns);
    if (due && seen.count > 0) {
        seen.list = mem_new(&db->cache_budget, seen.count * sizeof *seen.list);
        e = seen.list == NULL ? why_set(why, ERR_NOMEM, "not enough memory for a survey")
                              : rules_survey(&db->head, &limits, control, seen.list, why);
    }
    if (due && e == OK) { /* keeps the result instead of the one before */
        /* A survey of many series takes at most a twentieth of the time. */
        int64_t end_ns = env_monotonic_ns(db->env), pause_ns = 20 * (end_ns - begun_ns);
        seen.again_ns = end_ns + (pause_ns > SURVEY_PAUSE_NS ? pause_ns : SURVEY_PAUSE_NS);
        lock_take(&db->live.lock);
        db->rules_seen = seen;
        lock_drop(&db->live.lock);
        seen = before;
    }
    if (due) mem_free(&db->cache_budget, seen.list, seen.count * sizeof *seen.list);
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
    for (uint32_t i = 0; i < count; i++)
        most += part_info(parts[i])->resolution_count;
    *ret = arena_alloc(arena, (most + 1u) * sizeof **ret);
    *ret_count = 0;
    if (*ret == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct part_info *info = part_info(parts[i]);
        for (uint32_t k = 0; k < info->resolution_count; k++)
            rollup_facts_add(*ret, ret_count, &info->resolutions[k]);
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
    for (uint32_t i = 0; i < count && e == OK; i++)
        each(context, &list[i]);
    version_unref(v);
    arena_fini(&arena);
}

/* --- counts ----------------------------------------------------------------------------------- */

static struct rule_count *
count_find(const struct rule_counts *all, struct bytes match, struct bytes tenants,
           int64_t resolution_ms)
{
    for (uint32_t i = 0; i < all->count; i++) {
        struct rule_count *c = all->items[i];
        if (c->resolution_ms != resolution_ms) continue;
        if (bytes_equal(c->match, match) && bytes_equal(c->tenants, tenants)) return c;
    }
    return NULL;
}

/* Changes the list under live.lock, for reports. */
static struct rule_count *
count_add(struct tsdb *db, struct rule_counts *all, struct bytes match, struct bytes tenants,
          int64_t resolution_ms)
{
    size_t bytes = sizeof(struct rule_count) + match.size + tenants.size;
    struct rule_count *c = mem_new(&db->cache_budget, bytes);
    if (c == NULL) return NULL;
    uint8_t *text = (uint8_t *)(c + 1);
    if (match.size > 0) memcpy(text, match.at, match.size);
    if (tenants.size > 0) memcpy(text + match.size, tenants.at, tenants.size);
    c->match = bytes_of(text, match.size);
    c->tenants = bytes_of(text + match.size, tenants.size);
    c->resolution_ms = resolution_ms;
    c->bytes = bytes;
    lock_take(&db->live.lock);
    bool fits = array_reserve(&db->cache_budget, &all->items, &all->capacity, all->count + 1u);
    if (fits) all->items[all->count++] = c;
    lock_drop(&db->live.lock);
    if (fits) return c;
    mem_free(&db->cache_budget, c, bytes);
    return NULL;
}

/* Notes what the edit adds to the count of a rule. */
static enum err
note_done(struct tsdb *db, enum rule_counts_kind kind, const struct series_rule *rule,
          int64_t resolution_ms, const struct rule_done *more)
{
    static const struct rule_done nothing;
    if (memcmp(more, &nothing, sizeof nothing) == 0) return OK;
    struct rule_counts *all = &db->rule_counts[kind];
    struct bytes match = bytes_of_text(rule->match), none = bytes_of("", 0);
    struct rule_count *c = NULL;
    struct buf tenants;
    buf_init(&tenants, NULL, SIZE_MAX);
    series_rule_put_tenants(rule, &tenants);
    if (buf_error(&tenants) == OK) {
        c = count_find(all, match, buf_bytes(&tenants), resolution_ms);
        /* If there are too many, rules share a count without matchers and resolution. */
        bool full = all->count >= RULE_COUNTS_MAX;
        if (c == NULL && full) c = count_find(all, none, none, 0);
        if (c == NULL && full) c = count_add(db, all, none, none, 0);
        if (c == NULL) c = count_add(db, all, match, buf_bytes(&tenants), resolution_ms);
    }
    buf_fini(&tenants);
    if (c == NULL) return ERR_NOMEM;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        c->next.samples[k] += more->samples[k];
    c->next.series += more->series;
    c->next.windows += more->windows;
    c->next.bytes += more->bytes;
    return OK;
}

/* Notes in each count what the edit adds to it. */
static enum err
counts_prepare(struct tsdb *db, const struct store_edit *edit)
{
    enum err e = OK;
    for (unsigned k = 0; k < RULE_KINDS; k++) {
        for (uint32_t i = 0; i < db->rule_counts[k].count; i++) {
            struct rule_count *c = db->rule_counts[k].items[i];
            c->next = c->done;
        }
    }
    if (edit == NULL) return OK;
    uint32_t removing = edit->removed == NULL ? 0 : series_rules_count(edit->rules);
    for (uint32_t i = 0; i < removing && e == OK; i++)
        e = note_done(db, RULES_RETAIN, series_rules_at(edit->rules, i), 0, &edit->removed[i]);
    for (uint32_t i = 0; i < edit->level_count; i++) {
        const struct part_merge_level *level = &edit->levels[i];
        for (uint32_t k = 0; k < series_rules_count(level->rules) && e == OK; k++) {
            e = note_done(db, RULES_DOWNSAMPLE, series_rules_at(level->rules, k),
                          level->resolution_ms, &level->rolled[k]);
        }
    }
    return e;
}

/* --- edits ------------------------------------------------------------------------------------ */

void
rules_counted(struct tsdb *db)
{
    assert(lock_is_mine(&db->edit_lock));
    lock_take(&db->live.lock);
    for (unsigned kind = 0; kind < RULE_KINDS; kind++) {
        for (uint32_t i = 0; i < db->rule_counts[kind].count; i++) {
            struct rule_count *c = db->rule_counts[kind].items[i];
            for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) /* counts never decrease */
                assert(c->next.samples[k] >= c->done.samples[k]);
            c->done = c->next;
        }
    }
    lock_drop(&db->live.lock);
}

void
rules_free(struct tsdb *db)
{
    mem_free(&db->cache_budget, db->rules_seen.list,
             db->rules_seen.count * sizeof *db->rules_seen.list);
    for (unsigned k = 0; k < RULE_KINDS; k++) {
        struct rule_counts *all = &db->rule_counts[k];
        for (uint32_t i = 0; i < all->count; i++)
            mem_free(&db->cache_budget, all->items[i], all->items[i]->bytes);
        array_free(&db->cache_budget, all->items, all->capacity);
    }
}

/* --- rules ------------------------------------------------------------------------------------ */

static const char *
text_of(struct arena *arena, struct bytes text)
{
    char *copy = arena_new(arena, text.size + 1);
    if (copy != NULL) memcpy(copy, text.at, text.size);
    return copy;
}

static enum err
rules_parse(const struct manifest_rules *from, struct arena *arena, struct rules_configured *ret,
            struct why *why)
{
    *ret = (struct rules_configured){NULL, from->kept_ms};
    if (from->count == 0) return OK;
    struct series_rule *list = arena_new(arena, from->count * sizeof *list);
    if (list == NULL || from->count > SERIES_RULES_MAX) return list == NULL ? ERR_NOMEM : ERR_INPUT;
    for (uint32_t i = 0; i < from->count; i++) {
        const struct manifest_rule *r = &from->items[i];
        const char **tenants = arena_new(arena, (r->tenant_count + 1u) * sizeof *tenants);
        list[i] =
            (struct series_rule){text_of(arena, r->match), tenants, r->tenant_count, r->age_ms};
        if (tenants == NULL || list[i].match == NULL) return ERR_NOMEM;
        for (uint32_t t = 0; t < r->tenant_count; t++) {
            tenants[t] = text_of(arena, r->tenants[t]);
            if (tenants[t] == NULL) return ERR_NOMEM;
        }
    }
    return series_rules_new(list, from->count, NULL, &ret->rules, why);
}

enum err
rules_read_in_force(struct tsdb *db, const struct manifest *m, struct why *why)
{
    struct arena arena;
    struct rules_in_force *to = &db->head.rules;
    int64_t now_ns = env_monotonic_ns(db->env);
    struct why reason = {""};
    arena_init(&arena, NULL, 0, 0);
    enum err e = m->rules_count <= SERIES_RULES_FORMER_MAX + 1 ? OK : ERR_INPUT;
    for (uint32_t i = 0; i < m->rules_count && e == OK; i++) {
        struct rules_former one = {.left_ms = m->rules[i].left_ms, .seen_ns = now_ns};
        e = rules_parse(&m->rules[i], &arena, &one.was, &reason);
        if (e) break;
        if (i == 0) {
            to->now = one.was;
        } else {
            rules_in_force_add_former(to, &one);
            series_rules_unref(one.was.rules);
        }
    }
    /* In a directory with samples, all were kept before there were rules. */
    if (m->rules_count == 0) to->now.kept_ms = db->head.limits.retention_ms;
    rules_in_force_combine(to);
    arena_fini(&arena);
    if (e != ERR_INPUT) return e;
    return why_set(why, ERR_CORRUPT, "a rule of retention in MANIFEST is damaged%s%s",
                   reason.text[0] == '\0' ? "" : ": ", reason.text);
}

enum err
rules_read(struct tsdb *db, const struct manifest *m, struct why *why)
{
    enum err e = rules_read_in_force(db, m, why);
    for (unsigned k = 0; k < RULE_KINDS && e == OK; k++) {
        if (m->done_count[k] > RULE_COUNTS_MAX + 1)
            return why_set(why, ERR_CORRUPT, "the counts of rules in MANIFEST are damaged");
        for (uint32_t i = 0; i < m->done_count[k] && e == OK; i++) {
            const struct manifest_done *from = &m->done[k][i];
            struct rule_count *c =
                count_add(db, &db->rule_counts[k], from->match, from->tenants, from->resolution_ms);
            if (c == NULL) e = ERR_NOMEM;
            if (c != NULL) c->done = from->done;
        }
    }
    return e;
}

/* Copies the texts: a reload may free the rules when the lock is dropped. */
static enum err
rules_put(const struct rules_configured *from, int64_t left_ms, struct arena *arena,
          struct manifest_rules *to)
{
    uint32_t count = series_rules_count(from->rules);
    *to = (struct manifest_rules){.left_ms = left_ms, .kept_ms = from->kept_ms, .count = count};
    to->items = arena_alloc(arena, (count + 1u) * sizeof *to->items);
    if (to->items == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct series_rule *rule = series_rules_at(from->rules, i);
        struct bytes *tenants = arena_alloc(arena, (rule->tenant_count + 1u) * sizeof *tenants);
        to->items[i] = (struct manifest_rule){arena_copy(arena, bytes_of_text(rule->match)),
                                              tenants, rule->tenant_count, rule->age_ms};
        if (tenants == NULL || to->items[i].match.at == NULL) return ERR_NOMEM;
        for (uint32_t t = 0; t < rule->tenant_count; t++) {
            tenants[t] = arena_copy(arena, bytes_of_text(rule->tenants[t]));
            if (tenants[t].at == NULL) return ERR_NOMEM;
        }
    }
    return OK;
}

enum err
rules_write(struct tsdb *db, const struct store_edit *edit, struct arena *arena, struct manifest *m)
{
    struct rules_in_force *from = &db->head.rules;
    enum err e = OK;
    lock_take(&db->head.lock);
    retention_settle(&db->head);
    bool any = series_rules_count(from->now.rules) > 0 || from->former_count > 0;
    m->rules = arena_new(arena, (from->former_count + 1u) * sizeof *m->rules);
    if (m->rules == NULL) e = ERR_NOMEM;
    if (any && e == OK) e = rules_put(&from->now, 0, arena, &m->rules[m->rules_count++]);
    for (uint32_t i = 0; i < from->former_count && e == OK; i++) {
        const struct rules_former *f = &from->former[i];
        /* 0 is for the one in force. */
        int64_t left_ms = f->left_ms < 1 ? 1 : f->left_ms;
        e = rules_put(&f->was, left_ms, arena, &m->rules[m->rules_count++]);
    }
    lock_drop(&db->head.lock);
    if (e == OK) e = counts_prepare(db, edit);
    for (unsigned k = 0; k < RULE_KINDS && e == OK; k++) {
        const struct rule_counts *all = &db->rule_counts[k];
        m->done[k] = arena_alloc(arena, (all->count + 1u) * sizeof *m->done[k]);
        if (m->done[k] == NULL) return ERR_NOMEM;
        m->done_count[k] = all->count;
        for (uint32_t i = 0; i < all->count; i++) {
            const struct rule_count *c = all->items[i];
            m->done[k][i] = (struct manifest_done){c->match, c->tenants, c->resolution_ms, c->next};
        }
    }
    return e;
}
