/*
 * rules.c - rules of retention in MANIFEST, what each has removed, and what each rule of
 * downsampling has replaced.
 *
 * The manifest lists the configuration in force and those before it that still protect samples, so
 * that a restart neither shortens nor prolongs their grace, and counts by rule what merges removed.
 * A count belongs to matchers and tenants, not to the age: a rule whose age changes goes on
 * counting. With very many rules over time, new ones share one count, without matchers.
 *
 * Invariants:
 * 1. Counts of all rules together are at most what the ledgers count as expired, and as
 *    downsampled: both change in the edit of a merge.
 */
#include <assert.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "tsdb/store/store.h"

/* --- counts ----------------------------------------------------------------------------------- */

enum { RULE_COUNTS_MAX = 2 * SERIES_RULES_MAX };

#define SURVEY_PAUSE_NS (3600 * NS_PER_S)

static void
tenants_join(const struct series_rule *rule, struct buf *to)
{
    buf_clear(to);
    for (uint32_t i = 0; i < rule->tenant_count; i++) {
        if (i > 0) buf_put_u8(to, ',');
        buf_put_text(to, rule->tenants[i]);
    }
}

static struct rule_count *
count_find(const struct tsdb *db, struct bytes match, struct bytes tenants)
{
    for (uint32_t i = 0; i < db->rule_counts.count; i++) {
        struct rule_count *c = db->rule_counts.items[i];
        if (bytes_equal(c->match, match) && bytes_equal(c->tenants, tenants)) return c;
    }
    return NULL;
}

/* Changes the list under live.lock, for reports. */
static struct rule_count *
count_add(struct tsdb *db, struct bytes match, struct bytes tenants)
{
    struct rule_counts *all = &db->rule_counts;
    size_t bytes = sizeof(struct rule_count) + match.size + tenants.size;
    struct rule_count *c = mem_new(&db->cache_budget, bytes);
    if (c == NULL) return NULL;
    uint8_t *text = (uint8_t *)(c + 1);
    if (match.size > 0) memcpy(text, match.at, match.size);
    if (tenants.size > 0) memcpy(text + match.size, tenants.at, tenants.size);
    c->match = bytes_of(text, match.size);
    c->tenants = bytes_of(text + match.size, tenants.size);
    c->bytes = bytes;
    lock_take(&db->live.lock);
    bool fits = array_reserve(&db->cache_budget, &all->items, &all->capacity, all->count + 1u);
    if (fits) all->items[all->count++] = c;
    lock_drop(&db->live.lock);
    if (fits) return c;
    mem_free(&db->cache_budget, c, bytes);
    return NULL;
}

static void
removal_add(struct rule_removal *to, const struct rule_removal *more)
{
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        to->count[k] += more->count[k];
    }
    to->series += more->series;
    to->bytes += more->bytes;
}

/* Returns the count of a rule, or the one that rules share when there are too many: it has no
 * matchers. NULL without memory. */
static struct rule_count *
count_of(struct tsdb *db, const struct series_rule *rule)
{
    struct buf tenants;
    buf_init(&tenants, NULL, SIZE_MAX);
    tenants_join(rule, &tenants);
    struct bytes match = bytes_of_text(rule->match);
    struct rule_count *c = NULL;
    if (buf_error(&tenants) == OK) {
        c = count_find(db, match, buf_bytes(&tenants));
        bool full = db->rule_counts.count >= RULE_COUNTS_MAX;
        if (c == NULL && full) c = count_find(db, bytes_of("", 0), bytes_of("", 0));
        if (c == NULL && full) c = count_add(db, bytes_of("", 0), bytes_of("", 0));
        if (c == NULL) c = count_add(db, match, buf_bytes(&tenants));
    }
    buf_fini(&tenants);
    return c;
}

static enum err
counts_read(struct tsdb *db, const struct manifest *m)
{
    if (m->removal_count > RULE_COUNTS_MAX + 1) return ERR_INPUT;
    for (uint32_t i = 0; i < m->removal_count; i++) {
        const struct manifest_removal *r = &m->removals[i];
        struct rule_count *to = count_add(db, r->match, r->tenants);
        if (to == NULL) return ERR_NOMEM;
        to->removed.series = r->series;
        to->removed.bytes = r->bytes;
        memcpy(to->removed.count, r->count, sizeof r->count);
    }
    return OK;
}

/* Notes in each count what the edit adds to it. */
static enum err
counts_prepare(struct tsdb *db, const struct store_edit *edit)
{
    for (uint32_t i = 0; i < db->rule_counts.count; i++) {
        db->rule_counts.items[i]->next = db->rule_counts.items[i]->removed;
    }
    if (edit == NULL || edit->removed == NULL) return OK;
    for (uint32_t i = 0; i < series_rules_count(edit->rules); i++) {
        static const struct rule_removal nothing;
        if (memcmp(&edit->removed[i], &nothing, sizeof nothing) == 0) continue;
        struct rule_count *c = count_of(db, series_rules_at(edit->rules, i));
        if (c == NULL) return ERR_NOMEM;
        removal_add(&c->next, &edit->removed[i]);
    }
    return OK;
}

static enum err
counts_write(struct tsdb *db, const struct store_edit *edit, struct arena *arena,
             struct manifest *m)
{
    enum err e = counts_prepare(db, edit);
    if (e) return e;
    uint32_t count = db->rule_counts.count;
    m->removals = arena_alloc(arena, (count + 1u) * sizeof *m->removals);
    if (m->removals == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct rule_count *c = db->rule_counts.items[i];
        struct manifest_removal *r = &m->removals[m->removal_count++];
        *r = (struct manifest_removal){c->match, c->tenants, .series = c->next.series,
                                       .bytes = c->next.bytes};
        memcpy(r->count, c->next.count, sizeof r->count);
    }
    return OK;
}

/* --- counts of levels ------------------------------------------------------------------------- */

static struct rolled_count *
rolled_find(const struct tsdb *db, struct bytes match, struct bytes tenants, int64_t resolution_ms)
{
    for (uint32_t i = 0; i < db->rolled_counts.count; i++) {
        struct rolled_count *c = db->rolled_counts.items[i];
        if (c->resolution_ms != resolution_ms) continue;
        if (bytes_equal(c->match, match) && bytes_equal(c->tenants, tenants)) return c;
    }
    return NULL;
}

static struct rolled_count *
rolled_add(struct tsdb *db, struct bytes match, struct bytes tenants, int64_t resolution_ms)
{
    struct rolled_counts *all = &db->rolled_counts;
    size_t bytes = sizeof(struct rolled_count) + match.size + tenants.size;
    struct rolled_count *c = mem_new(&db->cache_budget, bytes);
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

/* Returns the count of a rule, or the one that rules share when there are too many: it has no
 * matchers, and no resolution. NULL without memory. */
static struct rolled_count *
rolled_of(struct tsdb *db, const struct series_rule *rule, int64_t resolution_ms)
{
    struct buf tenants;
    buf_init(&tenants, NULL, SIZE_MAX);
    tenants_join(rule, &tenants);
    struct bytes match = bytes_of_text(rule->match), none = bytes_of("", 0);
    struct rolled_count *c = NULL;
    if (buf_error(&tenants) == OK) {
        c = rolled_find(db, match, buf_bytes(&tenants), resolution_ms);
        bool full = db->rolled_counts.count >= RULE_COUNTS_MAX;
        if (c == NULL && full) c = rolled_find(db, none, none, 0);
        if (c == NULL && full) c = rolled_add(db, none, none, 0);
        if (c == NULL) c = rolled_add(db, match, buf_bytes(&tenants), resolution_ms);
    }
    buf_fini(&tenants);
    return c;
}

static enum err
rolled_read(struct tsdb *db, const struct manifest *m)
{
    if (m->rolled_count > RULE_COUNTS_MAX + 1) return ERR_INPUT;
    for (uint32_t i = 0; i < m->rolled_count; i++) {
        const struct manifest_rolled *r = &m->rolled[i];
        struct rolled_count *to = rolled_add(db, r->match, r->tenants, r->resolution_ms);
        if (to == NULL) return ERR_NOMEM;
        to->rolled.windows = r->windows;
        to->rolled.bytes = r->bytes;
        memcpy(to->rolled.samples, r->samples, sizeof r->samples);
    }
    return OK;
}

/* Notes in each count what the edit adds to it. */
static enum err
rolled_prepare(struct tsdb *db, const struct store_edit *edit)
{
    for (uint32_t i = 0; i < db->rolled_counts.count; i++) {
        db->rolled_counts.items[i]->next = db->rolled_counts.items[i]->rolled;
    }
    for (uint32_t i = 0; edit != NULL && i < edit->level_count; i++) {
        const struct part_merge_level *level = &edit->levels[i];
        for (uint32_t k = 0; k < series_rules_count(level->rules); k++) {
            static const struct rule_rolled nothing;
            const struct rule_rolled *more = &level->rolled[k];
            if (memcmp(more, &nothing, sizeof nothing) == 0) continue;
            const struct series_rule *rule = series_rules_at(level->rules, k);
            struct rolled_count *c = rolled_of(db, rule, level->resolution_ms);
            if (c == NULL) return ERR_NOMEM;
            for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
                c->next.samples[kind] += more->samples[kind];
            }
            c->next.windows += more->windows;
            c->next.bytes += more->bytes;
        }
    }
    return OK;
}

static enum err
rolled_write(struct tsdb *db, const struct store_edit *edit, struct arena *arena,
             struct manifest *m)
{
    enum err e = rolled_prepare(db, edit);
    if (e) return e;
    uint32_t count = db->rolled_counts.count;
    m->rolled = arena_alloc(arena, (count + 1u) * sizeof *m->rolled);
    if (m->rolled == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct rolled_count *c = db->rolled_counts.items[i];
        struct manifest_rolled *r = &m->rolled[m->rolled_count++];
        *r = (struct manifest_rolled){c->match, c->tenants, c->resolution_ms,
                                      .windows = c->next.windows, .bytes = c->next.bytes};
        memcpy(r->samples, c->next.samples, sizeof r->samples);
    }
    return OK;
}

/* --- edits ------------------------------------------------------------------------------------ */

void
rules_counted(struct tsdb *db)
{
    assert(lock_is_mine(&db->edit_lock));
    lock_take(&db->live.lock);
    for (uint32_t i = 0; i < db->rule_counts.count; i++) {
        struct rule_count *c = db->rule_counts.items[i];
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            assert(c->next.count[k] >= c->removed.count[k]); /* counts never decrease */
        }
        c->removed = c->next;
    }
    for (uint32_t i = 0; i < db->rolled_counts.count; i++) {
        struct rolled_count *c = db->rolled_counts.items[i];
        c->rolled = c->next;
    }
    lock_drop(&db->live.lock);
}

void
rules_free(struct tsdb *db)
{
    struct rules_seen *seen = &db->rules_seen;
    mem_free(&db->cache_budget, seen->list, seen->count * sizeof *seen->list);
    for (uint32_t i = 0; i < db->rule_counts.count; i++) {
        mem_free(&db->cache_budget, db->rule_counts.items[i], db->rule_counts.items[i]->bytes);
    }
    array_free(&db->cache_budget, db->rule_counts.items, db->rule_counts.capacity);
    for (uint32_t i = 0; i < db->rolled_counts.count; i++) {
        mem_free(&db->cache_budget, db->rolled_counts.items[i], db->rolled_counts.items[i]->bytes);
    }
    array_free(&db->cache_budget, db->rolled_counts.items, db->rolled_counts.capacity);
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
rules_read(struct tsdb *db, const struct manifest *m, struct why *why)
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
    if (e == OK) e = counts_read(db, m);
    if (e == OK) e = rolled_read(db, m);
    arena_fini(&arena);
    if (e != ERR_INPUT) return e;
    return why_set(why, ERR_CORRUPT, "a rule of retention in MANIFEST is damaged%s%s",
                   reason.text[0] == '\0' ? "" : ": ", reason.text);
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
    if (e == OK) e = counts_write(db, edit, arena, m);
    return e ? e : rolled_write(db, edit, arena, m);
}

/* --- reports ---------------------------------------------------------------------------------- */

static void
report_add(struct tsdb_rule *to, const struct rule_removal *removed)
{
    const uint64_t *count = removed->count;
    to->removed_samples += count[LEDGER_FLOAT] + count[LEDGER_HISTOGRAM];
    to->removed_exemplars += count[LEDGER_EXEMPLAR];
    to->removed_series += removed->series;
    to->removed_bytes += removed->bytes;
}

/* A rule_count as of one moment; its texts are never freed before the store. */
struct count_copy {
    const struct rule_count *of;
    struct rule_removal removed;
    bool configured;
};

static void
report_rule(struct tsdb_rule *to, struct count_copy *counts, uint32_t count, struct bytes tenants)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!bytes_equal_text(counts[i].of->match, to->rule->match)) continue;
        if (!bytes_equal(counts[i].of->tenants, tenants)) continue;
        counts[i].configured = true;
        report_add(to, &counts[i].removed);
    }
}

/* Copies counts and the last survey, if it is of these rules. */
static void
copy_report(struct tsdb *db, const struct series_rules *rules, struct count_copy *counts,
            uint32_t *ret_count, struct tsdb_rule_survey *found, struct tsdb_retention *state)
{
    lock_take(&db->live.lock);
    for (*ret_count = 0; *ret_count < db->rule_counts.count; ++*ret_count) {
        const struct rule_count *c = db->rule_counts.items[*ret_count];
        counts[*ret_count] = (struct count_copy){c, c->removed, false};
    }
    const struct rules_seen *seen = &db->rules_seen;
    bool known = seen->list != NULL && seen->configured == series_rules_serial(rules);
    state->surveyed_ms = known ? seen->at_ms : INT64_MIN;
    for (uint32_t i = 0; i < series_rules_count(rules); i++) {
        found[i] = (struct tsdb_rule_survey){.oldest_ms = INT64_MAX};
        if (known) found[i] = seen->list[i];
    }
    lock_drop(&db->live.lock);
}

struct tsdb_retention
tsdb_retention_rules(struct tsdb *db, void (*each)(void *context, const struct tsdb_rule *rule),
                     void *context)
{
    struct tsdb_retention state = {0, INT64_MIN};
    struct tsdb_rule others = {.expired.oldest_ms = INT64_MAX};
    struct arena arena;
    struct buf tenants;
    uint32_t count;
    bool any = false;
    lock_take(&db->head.lock);
    retention_settle(&db->head);
    struct series_rules *rules = series_rules_ref(db->head.rules.now.rules);
    state.grace_left_ms = retention_grace_left_ms(&db->head);
    lock_drop(&db->head.lock);
    arena_init(&arena, NULL, 0, 0);
    buf_init(&tenants, NULL, SIZE_MAX);
    uint32_t rule_count = series_rules_count(rules);
    struct tsdb_rule_survey *found = arena_alloc(&arena, (rule_count + 1u) * sizeof *found);
    struct count_copy *counts = arena_alloc(&arena, (RULE_COUNTS_MAX + 1) * sizeof *counts);
    if (found == NULL || counts == NULL) goto out; /* the next report has them */
    copy_report(db, rules, counts, &count, found, &state);
    for (uint32_t i = 0; i < rule_count; i++) {
        struct tsdb_rule one = {.rule = series_rules_at(rules, i), .expired = found[i]};
        tenants_join(one.rule, &tenants);
        report_rule(&one, counts, count, buf_bytes(&tenants));
        each(context, &one);
    }
    for (uint32_t i = 0; i < count; i++) {
        any |= !counts[i].configured;
        if (!counts[i].configured) report_add(&others, &counts[i].removed);
    }
    if (any) each(context, &others);
out:
    arena_fini(&arena);
    buf_fini(&tenants);
    series_rules_unref(rules);
    return state;
}

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

static void
keep_survey(struct tsdb *db, const struct rules_seen *seen)
{
    lock_take(&db->live.lock);
    struct rules_seen before = db->rules_seen;
    db->rules_seen = *seen;
    lock_drop(&db->live.lock);
    mem_free(&db->cache_budget, before.list, before.count * sizeof *before.list);
}

enum err
tsdb_retention_look(struct tsdb *db, struct query_control *control, bool *ret_changed,
                    struct why *why)
{
    int64_t now_ns = env_monotonic_ns(db->env);
    lock_take(&db->head.lock);
    retention_settle(&db->head);
    struct series_rules *rules = series_rules_ref(db->head.rules.now.rules);
    struct rules_seen seen = {.configured = series_rules_serial(rules),
                              .in_force = series_rules_serial(db->head.rules.all),
                              .count = series_rules_count(rules),
                              .at_ms = env_realtime_ms(db->env)};
    lock_drop(&db->head.lock);
    const struct rules_seen *last = &db->rules_seen; /* only this function changes it */
    bool same = seen.configured == last->configured && seen.in_force == last->in_force;
    *ret_changed = seen.configured != last->configured;
    if (same && (rules == NULL || now_ns < last->again_ns)) {
        series_rules_unref(rules);
        return OK;
    }
    enum err e = OK;
    if (seen.count > 0) {
        seen.list = mem_alloc(&db->cache_budget, seen.count * sizeof *seen.list);
        if (seen.list == NULL) e = why_set(why, ERR_NOMEM, "not enough memory for a survey");
        if (e == OK) e = rules_survey(&db->head, rules, control, seen.list, why);
    }
    series_rules_unref(rules);
    if (e) {
        mem_free(&db->cache_budget, seen.list, seen.count * sizeof *seen.list);
        return e;
    }
    /* A survey of many series takes at most a twentieth of the time. */
    int64_t end_ns = env_monotonic_ns(db->env), pause_ns = 20 * (end_ns - now_ns);
    seen.again_ns = end_ns + (pause_ns > SURVEY_PAUSE_NS ? pause_ns : SURVEY_PAUSE_NS);
    keep_survey(db, &seen);
    return OK;
}
