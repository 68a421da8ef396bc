/* group.c - see group.h: groups begin and end, and take over from one another. */
#include "rules/group.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "rules/group_private.h"
#include "rules/relabelled.h"
#include "sys/env.h"

enum { LINE_BYTES_MAX = 16 << 20, TEXT_ARENA_BYTES_MAX = 256 << 20 };

/* 30 years. A file may give 292, and then the time of the evaluation after the next one, and until
 * when an alert is valid, are no int64_t of nanoseconds. */
#define INTERVAL_MS_MAX (INT64_C(30) * 365 * 24 * 3600 * 1000)

/* --- texts ------------------------------------------------------------------------------------ */

/* NULL: no memory, unless there was none. */
static const char *
keep_text(struct arena *arena, const char *text)
{
    struct bytes copy = arena_copy(arena, bytes_of(text, strlen(text) + 1));
    return (const char *)copy.at;
}

static bool
keep_texts(struct arena *arena, const struct named_texts *from, struct named_texts *to)
{
    *to = (struct named_texts){.count = from->count};
    if (from->count == 0) return true;
    to->items = arena_alloc(arena, from->count * sizeof *to->items);
    for (uint32_t i = 0; to->items != NULL && i < from->count; i++) {
        to->items[i].name = keep_text(arena, from->items[i].name);
        to->items[i].value = keep_text(arena, from->items[i].value);
        if (to->items[i].name == NULL || to->items[i].value == NULL) return false;
    }
    return to->items != NULL;
}

static bool
keep_rule(struct arena *arena, const struct rule *from, struct rule *to)
{
    *to = *from;
    to->name = keep_text(arena, from->name);
    to->expression = keep_text(arena, from->expression);
    return to->name != NULL && to->expression != NULL &&
           keep_texts(arena, &from->labels, &to->labels) &&
           keep_texts(arena, &from->annotations, &to->annotations);
}

static bool
keep_group(struct arena *arena, const struct rule_group *from, struct rule_group *to)
{
    *to = *from;
    to->file = keep_text(arena, from->file);
    to->name = keep_text(arena, from->name);
    to->rules = arena_new(arena, (from->rule_count + 1) * sizeof *to->rules);
    bool kept = to->file != NULL && to->name != NULL && to->rules != NULL &&
                keep_texts(arena, &from->labels, &to->labels);
    for (uint32_t i = 0; kept && i < from->rule_count; i++) {
        kept = keep_rule(arena, &from->rules[i], &to->rules[i]);
    }
    return kept;
}

/* --- rules ------------------------------------------------------------------------------------ */

/* The rule's labels, and those of the group that it has not. */
static bool
gather_labels(struct group *g, struct rule_at_work *rule)
{
    const struct named_texts *texts[] = {&rule->text->labels, &g->text.labels};
    uint32_t count = 0, most = texts[0]->count + texts[1]->count;
    rule->labels = arena_alloc(&g->arena, (most + 1) * sizeof *rule->labels);
    if (rule->labels == NULL) return false;
    for (size_t k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < texts[k]->count; i++) {
            rule->labels[count++] = (struct label){bytes_of_text(texts[k]->items[i].name),
                                                   bytes_of_text(texts[k]->items[i].value)};
        }
    }
    rule->label_count = relabelled_sort(rule->labels, count);
    return true;
}

static enum err
rule_begin(struct group *g, struct rule_at_work *rule, const struct rule *text, struct why *why)
{
    struct buf line, error;
    rule->text = text;
    kept_series_init(&rule->series, g->memory, g->seed);
    kept_series_init(&rule->past, g->memory, g->seed);
    alerts_init(&rule->alerts, g->memory, g->seed);
    buf_init(&rule->error, g->memory, RULE_ERROR_BYTES_MAX);
    buf_init(&line, g->memory, LINE_BYTES_MAX);
    buf_init(&error, g->memory, RULE_ERROR_BYTES_MAX);
    struct bytes expression = bytes_of_text(text->expression);
    enum err e = promql_parse(expression, g->memory, NULL, &rule->tree, &error);
    if (e == OK) e = promql_rewrite(expression, PROMQL_LINE, g->memory, NULL, &line, &error);
    if (e == OK) {
        rule->line = arena_copy(&g->arena, buf_bytes(&line));
        if (rule->line.at == NULL || !gather_labels(g, rule)) e = ERR_NOMEM;
    }
    if (e && error.size > 0) {
        why_set(why, e, "rule '%s': %.*s", text->name, (int)error.size, (const char *)error.at);
    }
    buf_fini(&line);
    buf_fini(&error);
    return e;
}

static void
rule_end(struct rule_at_work *rule)
{
    promql_free(rule->tree);
    kept_series_fini(&rule->series);
    kept_series_fini(&rule->past);
    alerts_fini(&rule->alerts);
    buf_fini(&rule->error);
}

/* --- groups ----------------------------------------------------------------------------------- */

static bool
make_marker(struct group *g)
{
    struct buf value, labels;
    char hash[24];
    buf_init(&value, g->memory, LINE_BYTES_MAX);
    buf_init(&labels, g->memory, LINE_BYTES_MAX);
    buf_printf(&value, "%s;%s", g->text.file, g->text.name);
    snprintf(hash, sizeof hash, "%016" PRIx64, g->text.hash);
    labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text(RULES_EVALUATED)});
    labels_put(&labels, (struct label){bytes_of_text(RULES_EVALUATED_LABEL), buf_bytes(&value)});
    labels_put(&labels, (struct label){bytes_of_text("text_hash"), bytes_of_text(hash)});
    if (buf_error(&value) == OK && buf_error(&labels) == OK) {
        g->marker = arena_copy(&g->arena, buf_bytes(&labels));
    }
    buf_fini(&value);
    buf_fini(&labels);
    return g->marker.at != NULL;
}

static enum err
begin(struct group *g, const struct rule_group *text, struct why *why)
{
    if (!keep_group(&g->arena, text, &g->text) || !make_marker(g)) {
        g->text.rule_count = 0; /* there are none to end */
        return ERR_NOMEM;
    }
    int64_t interval_ms = text->interval_ms > 0 ? text->interval_ms : g->defaults.interval_ms;
    if (interval_ms > INTERVAL_MS_MAX) interval_ms = INTERVAL_MS_MAX;
    g->query_offset_ms =
        text->has_query_offset ? text->query_offset_ms : g->defaults.query_offset_ms;
    enum err e = schedule_of(g->text.file, g->text.name, interval_ms * NS_PER_MS, &g->schedule);
    g->rules = arena_new(&g->arena, (text->rule_count + 1) * sizeof *g->rules);
    if (g->rules == NULL) e = ERR_NOMEM;
    if (e) g->text.rule_count = 0;
    for (uint32_t i = 0; e == OK && i < text->rule_count; i++) {
        e = rule_begin(g, &g->rules[i], &g->text.rules[i], why);
        g->records |= g->rules[i].text->kind == RULE_RECORDING;
        g->alarms |= g->rules[i].text->kind == RULE_ALERTING;
        if (e) g->text.rule_count = i + 1;
    }
    if (e) return e;
    g->recorded = arena_new(&g->arena, (group_selector_count(g) + 1) * sizeof *g->recorded);
    if (g->recorded == NULL) return ERR_NOMEM;
    if (group_make_batches(g)) return ERR_NOMEM;
    g->facts = (struct group_facts){.file = g->text.file,
                                    .name = g->text.name,
                                    .rules = g->text.rule_count,
                                    .interval_ns = g->schedule.interval_ns};
    return OK;
}

enum err
group_new(const struct rules_host *host, struct bytes tenant, const struct rule_group *text,
          const struct group_defaults *defaults, struct group **ret_group, struct why *why)
{
    struct group *g = mem_new(host->memory, sizeof *g);
    if (g == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the group of rules");
    g->memory = host->memory;
    g->seed = host->seed;
    g->defaults = *defaults;
    arena_init(&g->arena, g->memory, TEXT_ARENA_BYTES_MAX, 0);
    g->series_slot = g->past_slot = -1;
    kept_series_init(&g->orphans, g->memory, g->seed);
    recorded_names_init(&g->early, g->memory, g->seed);
    lock_init(&g->lock, LOCK_RANK_LEAF);
    g->tenant = arena_copy(&g->arena, tenant);
    if (why != NULL) why->text[0] = '\0';
    enum err e = tenant.size > 0 && g->tenant.at == NULL ? ERR_NOMEM : begin(g, text, why);
    if (e == OK) {
        *ret_group = g;
        return OK;
    }
    group_free(g);
    if (why != NULL && why->text[0] == '\0') {
        why_set(why, e, "not enough memory for the group of rules");
    }
    return e;
}

void
group_free(struct group *g)
{
    if (g == NULL) return;
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        rule_end(&g->rules[i]);
    }
    kept_series_fini(&g->orphans);
    recorded_names_fini(&g->early);
    lock_fini(&g->lock);
    arena_fini(&g->arena);
    mem_free(g->memory, g, sizeof *g);
}

struct bytes
group_tenant(const struct group *g)
{
    return g->tenant;
}

const struct rule_group *
group_text(const struct group *g)
{
    return &g->text;
}

const struct schedule *
group_schedule(const struct group *g)
{
    return &g->schedule;
}

bool
group_records(const struct group *g)
{
    return g->records;
}

bool
group_alarms(const struct group *g)
{
    return g->alarms;
}

bool
group_is(const struct group *g, struct bytes tenant, const struct rule_group *text,
         const struct group_defaults *defaults)
{
    return bytes_equal(g->tenant, tenant) && strcmp(g->text.file, text->file) == 0 &&
           strcmp(g->text.name, text->name) == 0 && g->text.hash == text->hash &&
           g->defaults.interval_ms == defaults->interval_ms &&
           g->defaults.query_offset_ms == defaults->query_offset_ms;
}

/* --- taking over ------------------------------------------------------------------------------ */

static bool
same_rule(const struct rule_at_work *a, const struct rule_at_work *b)
{
    if (strcmp(a->text->name, b->text->name) != 0 || a->label_count != b->label_count) return false;
    for (uint32_t i = 0; i < a->label_count; i++) {
        if (!bytes_equal(a->labels[i].name, b->labels[i].name) ||
            !bytes_equal(a->labels[i].value, b->labels[i].value)) {
            return false;
        }
    }
    return true;
}

static uint64_t
hash_of_rule(const struct rule_at_work *rule, uint64_t seed)
{
    uint64_t hash = hash_bytes(bytes_of_text(rule->text->name), seed);
    for (uint32_t i = 0; i < rule->label_count; i++) {
        hash = hash_mix(hash, hash_bytes(rule->labels[i].name, seed));
        hash = hash_mix(hash, hash_bytes(rule->labels[i].value, seed));
    }
    return hash;
}

#define PASSED UINT32_MAX

/* Rules of a group that can still pass on their state. Of those with the same name and labels the
 * table has the first; the others follow it one by one, as they would make it slow. The last of
 * them stays when it has passed on its state. */
struct passing {
    struct group *from;
    struct table table;
    uint32_t *next; /* of each rule: number of the next like it, from 1 on; 0: none; or PASSED */
};

static enum err
passing_init(struct passing *p, struct budget *memory, struct group *from)
{
    uint32_t count = from->text.rule_count;
    *p = (struct passing){.from = from, .next = mem_new(memory, (count + 1) * sizeof *p->next)};
    if (p->next == NULL || !table_reserve(&p->table, memory, count)) return ERR_NOMEM;
    for (uint32_t k = count; k-- > 0;) {
        uint64_t hash = hash_of_rule(&from->rules[k], from->seed);
        for (uint32_t at = TABLE_START, id; table_next(&p->table, hash, &at, &id);) {
            if (!same_rule(&from->rules[k], &from->rules[id])) continue;
            p->next[k] = id + 1;
            table_remove(&p->table, hash, id);
            break;
        }
        table_add(&p->table, hash, k);
    }
    return OK;
}

static void
passing_fini(struct passing *p, struct budget *memory)
{
    table_fini(&p->table, memory);
    mem_free(memory, p->next, (p->from->text.rule_count + 1) * sizeof *p->next);
}

/* The first rule with the same name and labels that has not passed on its state; it is taken out of
 * the table. NULL: there is none. *ret_like then says whether rules like it have passed on theirs.
 */
static struct rule_at_work *
take_same(struct passing *p, const struct rule_at_work *rule, bool *ret_like)
{
    struct group *from = p->from;
    *ret_like = false;
    uint64_t hash = hash_of_rule(rule, from->seed);
    for (uint32_t at = TABLE_START, k; table_next(&p->table, hash, &at, &k);) {
        if (!same_rule(rule, &from->rules[k])) continue;
        *ret_like = p->next[k] == PASSED;
        if (*ret_like) return NULL;
        if (p->next[k] > 0) {
            table_remove(&p->table, hash, k);
            table_add(&p->table, hash, p->next[k] - 1);
        }
        p->next[k] = PASSED;
        return &from->rules[k];
    }
    return NULL;
}

/* A group may have 100,000 rules, and this runs under the lock of all groups: no rule is compared
 * with all others. */
enum err
group_take_over(struct group *g, struct group *from)
{
    struct passing left;
    enum err e = passing_init(&left, g->memory, from);
    if (e) {
        passing_fini(&left, g->memory);
        return e;
    }
    lock_take(&from->lock);
    g->facts.evaluated_at_ns = from->facts.evaluated_at_ns;
    g->facts.evaluated_for_ns = from->facts.evaluated_for_ns;
    g->facts.restored_for_ns = from->facts.restored_for_ns;
    g->facts.evaluations = from->facts.evaluations;
    g->facts.failures = from->facts.failures;
    g->facts.iterations = from->facts.iterations;
    g->facts.missed = from->facts.missed;
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        bool is_like;
        struct rule_at_work *rule = &g->rules[i], *was = take_same(&left, rule, &is_like);
        rule->is_restored = is_like; /* what the store has is of the others */
        if (was == NULL) continue;
        struct kept_series series = rule->series;
        rule->series = was->series;
        rule->series_read_ms = was->series_read_ms;
        was->series = series; /* none: `g` did not begin yet */
        if (rule->text->kind != RULE_ALERTING || was->text->kind != RULE_ALERTING) continue;
        struct alerts alerts = rule->alerts;
        rule->alerts = was->alerts;
        was->alerts = alerts;
        rule->is_restored = was->is_restored;
    }
    lock_drop(&from->lock);
    g->series_slot = from->series_slot;
    g->latest_ns = from->latest_ns;
    e = kept_series_add_all(&g->orphans, &from->orphans);
    for (uint32_t k = 0; e == OK && k < from->text.rule_count; k++) {
        const struct rule_at_work *was = &from->rules[k];
        if (was->series_read_ms == 0) e = kept_series_add_all(&g->orphans, &was->series);
    }
    passing_fini(&left, g->memory);
    return e;
}

void
group_facts(struct group *g, struct group_facts *ret)
{
    lock_take(&g->lock);
    *ret = g->facts;
    lock_drop(&g->lock);
}

void
group_count_missed(struct group *g, uint64_t missed)
{
    lock_take(&g->lock);
    g->facts.missed += missed;
    lock_drop(&g->lock);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Marks those of what `g` wrote that the other group writes, too. */
static void
mark_written(const struct group *g, struct group *other, const struct kept_series *names,
             bool *is_alive)
{
    lock_take(&other->lock);
    for (uint32_t i = 0; i < other->text.rule_count; i++) {
        const struct rule_at_work *rule = &other->rules[i];
        if (rule->series.count == 0) continue;
        bool may_share = kept_series_has(names, bytes_of_text(rule->text->name));
        if (may_share) kept_series_mark(&g->orphans, &rule->series, is_alive);
    }
    lock_drop(&other->lock);
}

/* All that its rules wrote last becomes orphans, and under which names. */
static enum err
leave_series(struct group *g, struct kept_series *names)
{
    enum err e = OK;
    bool is_new;
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        const struct rule_at_work *rule = &g->rules[i];
        if (rule->series.count == 0 || rule->series_read_ms != 0) continue;
        e = kept_series_add(names, bytes_of_text(rule->text->name), &is_new);
        if (e == OK) e = kept_series_add_all(&g->orphans, &rule->series);
    }
    return e;
}

/* Leaves those orphans that are not alive. */
static enum err
forget_alive(struct group *g, const bool *is_alive)
{
    struct kept_series left, before = g->orphans;
    enum err e = OK;
    bool is_new;
    kept_series_init(&left, g->memory, g->seed);
    for (uint32_t i = 0; e == OK && i < before.count; i++) {
        if (!is_alive[i]) e = kept_series_add(&left, kept_series_at(&before, i), &is_new);
    }
    if (e == OK) g->orphans = left;
    kept_series_fini(e ? &left : &before);
    return e;
}

/* A tenant may have millions of rules, and this runs under the lock of all groups: no rule is
 * compared with all others. */
enum err
group_retire(struct group *g, struct group *const *others, uint32_t count)
{
    struct kept_series names;
    kept_series_init(&names, g->memory, g->seed);
    enum err e = leave_series(g, &names);
    size_t bytes = (size_t)g->orphans.count + 1;
    bool *is_alive = e ? NULL : mem_new(g->memory, bytes);
    if (e == OK && is_alive == NULL) e = ERR_NOMEM;
    for (uint32_t i = 0; e == OK && i < count; i++) {
        mark_written(g, others[i], &names, is_alive);
    }
    if (e == OK) e = forget_alive(g, is_alive);
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        kept_series_fini(&g->rules[i].series);
        kept_series_init(&g->rules[i].series, g->memory, g->seed);
    }
    mem_free(g->memory, is_alive, bytes);
    kept_series_fini(&names);
    return e;
}

enum err
group_end(struct group *g, const struct rules_host *host, int64_t at_ns)
{
    return orphans_mark(g, host, at_ns / NS_PER_MS - g->query_offset_ms);
}
