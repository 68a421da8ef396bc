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
#include <assert.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "tsdb/store/store.h"

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

/* Returns the count of a rule, or the one that rules share when there are too many: it has no
 * matchers, and no resolution. NULL without memory. */
static struct rule_count *
count_of(struct tsdb *db, struct rule_counts *all, const struct series_rule *rule,
         int64_t resolution_ms)
{
    struct buf tenants;
    buf_init(&tenants, NULL, SIZE_MAX);
    series_rule_put_tenants(rule, &tenants);
    struct bytes match = bytes_of_text(rule->match), none = bytes_of("", 0);
    struct rule_count *c = NULL;
    if (buf_error(&tenants) == OK) {
        c = count_find(all, match, buf_bytes(&tenants), resolution_ms);
        bool full = all->count >= RULE_COUNTS_MAX;
        if (c == NULL && full) c = count_find(all, none, none, 0);
        if (c == NULL && full) c = count_add(db, all, none, none, 0);
        if (c == NULL) c = count_add(db, all, match, buf_bytes(&tenants), resolution_ms);
    }
    buf_fini(&tenants);
    return c;
}

static enum err
counts_read(struct tsdb *db, const struct manifest *m)
{
    if (m->removal_count > RULE_COUNTS_MAX + 1) return ERR_INPUT;
    if (m->rolled_count > RULE_COUNTS_MAX + 1) return ERR_INPUT;
    for (uint32_t i = 0; i < m->removal_count; i++) {
        const struct manifest_removal *r = &m->removals[i];
        struct rule_count *to = count_add(db, &db->removed_counts, r->match, r->tenants, 0);
        if (to == NULL) return ERR_NOMEM;
        to->done.removed = (struct rule_removal){.series = r->series, .bytes = r->bytes};
        memcpy(to->done.removed.count, r->count, sizeof r->count);
    }
    for (uint32_t i = 0; i < m->rolled_count; i++) {
        const struct manifest_rolled *r = &m->rolled[i];
        struct rule_count *to =
            count_add(db, &db->rolled_counts, r->match, r->tenants, r->resolution_ms);
        if (to == NULL) return ERR_NOMEM;
        to->done.rolled = (struct rule_rolled){.windows = r->windows, .bytes = r->bytes};
        memcpy(to->done.rolled.samples, r->samples, sizeof r->samples);
    }
    return OK;
}

static void
counts_begin(struct rule_counts *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        all->items[i]->next = all->items[i]->done;
    }
}

/* Notes what the edit adds to the count of a rule of retention. */
static enum err
note_removed(struct tsdb *db, const struct series_rule *rule, const struct rule_removal *more)
{
    static const struct rule_removal nothing;
    if (memcmp(more, &nothing, sizeof nothing) == 0) return OK;
    struct rule_count *c = count_of(db, &db->removed_counts, rule, 0);
    if (c == NULL) return ERR_NOMEM;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        c->next.removed.count[k] += more->count[k];
    }
    c->next.removed.series += more->series;
    c->next.removed.bytes += more->bytes;
    return OK;
}

/* Does the same for a rule of downsampling. */
static enum err
note_rolled(struct tsdb *db, const struct series_rule *rule, int64_t resolution_ms,
            const struct rule_rolled *more)
{
    static const struct rule_rolled nothing;
    if (memcmp(more, &nothing, sizeof nothing) == 0) return OK;
    struct rule_count *c = count_of(db, &db->rolled_counts, rule, resolution_ms);
    if (c == NULL) return ERR_NOMEM;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        c->next.rolled.samples[k] += more->samples[k];
    }
    c->next.rolled.windows += more->windows;
    c->next.rolled.bytes += more->bytes;
    return OK;
}

/* Notes in each count what the edit adds to it. */
static enum err
counts_prepare(struct tsdb *db, const struct store_edit *edit)
{
    enum err e = OK;
    counts_begin(&db->removed_counts);
    counts_begin(&db->rolled_counts);
    if (edit == NULL) return OK;
    uint32_t removing = edit->removed == NULL ? 0 : series_rules_count(edit->rules);
    for (uint32_t i = 0; i < removing && e == OK; i++) {
        e = note_removed(db, series_rules_at(edit->rules, i), &edit->removed[i]);
    }
    for (uint32_t i = 0; i < edit->level_count; i++) {
        const struct part_merge_level *level = &edit->levels[i];
        for (uint32_t k = 0; k < series_rules_count(level->rules) && e == OK; k++) {
            e = note_rolled(db, series_rules_at(level->rules, k), level->resolution_ms,
                            &level->rolled[k]);
        }
    }
    return e;
}

static enum err
counts_write(struct tsdb *db, const struct store_edit *edit, struct arena *arena,
             struct manifest *m)
{
    enum err e = counts_prepare(db, edit);
    if (e) return e;
    m->removals = arena_alloc(arena, (db->removed_counts.count + 1u) * sizeof *m->removals);
    m->rolled = arena_alloc(arena, (db->rolled_counts.count + 1u) * sizeof *m->rolled);
    if (m->removals == NULL || m->rolled == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < db->removed_counts.count; i++) {
        const struct rule_count *c = db->removed_counts.items[i];
        struct manifest_removal *r = &m->removals[m->removal_count++];
        *r = (struct manifest_removal){c->match, c->tenants, .series = c->next.removed.series,
                                       .bytes = c->next.removed.bytes};
        memcpy(r->count, c->next.removed.count, sizeof r->count);
    }
    for (uint32_t i = 0; i < db->rolled_counts.count; i++) {
        const struct rule_count *c = db->rolled_counts.items[i];
        struct manifest_rolled *r = &m->rolled[m->rolled_count++];
        *r = (struct manifest_rolled){c->match, c->tenants, c->resolution_ms,
                                      .windows = c->next.rolled.windows,
                                      .bytes = c->next.rolled.bytes};
        memcpy(r->samples, c->next.rolled.samples, sizeof r->samples);
    }
    return OK;
}

/* --- edits ------------------------------------------------------------------------------------ */

static void
counts_end(struct rule_counts *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        struct rule_count *c = all->items[i];
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) { /* counts never decrease */
            assert(c->next.removed.count[k] >= c->done.removed.count[k]);
            assert(c->next.rolled.samples[k] >= c->done.rolled.samples[k]);
        }
        c->done = c->next;
    }
}

void
rules_counted(struct tsdb *db)
{
    assert(lock_is_mine(&db->edit_lock));
    lock_take(&db->live.lock);
    counts_end(&db->removed_counts);
    counts_end(&db->rolled_counts);
    lock_drop(&db->live.lock);
}

static void
counts_free(struct tsdb *db, struct rule_counts *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        mem_free(&db->cache_budget, all->items[i], all->items[i]->bytes);
    }
    array_free(&db->cache_budget, all->items, all->capacity);
}

void
rules_free(struct tsdb *db)
{
    mem_free(&db->cache_budget, db->rules_seen.list,
             db->rules_seen.count * sizeof *db->rules_seen.list);
    counts_free(db, &db->removed_counts);
    counts_free(db, &db->rolled_counts);
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
    return e ? e : counts_write(db, edit, arena, m);
}
