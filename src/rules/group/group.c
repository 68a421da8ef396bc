/*
 * group.c - see group.h: begin and end of groups, and the take-over of state.
 *
 * Invariants:
 *  1. Rules with the same kind, name and labels have the numbers (`nth`) from 0 on, in their order,
 *     unless they come from a checkpoint. `index` has each rule once under its number.
 *  2. Alerts and series have one owner: taking them over exchanges them.
 *  3. A group of which only the state is known has no parsed rule, and is never evaluated.
 */
#include "rules/group/group.h"

#include <assert.h>

#include "base/hash/hash.h"
#include "rules/group/evaluate.h"
#include "sys/env.h"

enum {
    LINE_BYTES_MAX = 16 << 20,
    TEXT_ARENA_BYTES_MAX = 256 << 20,
    LABELS_BYTES_MAX = 64 << 10, /* of the labels that give a group its shift */
};

/* 30 years. A file may give 292, and then the time of the evaluation after the next one, and the
 * end of an alert, do not fit an int64_t of nanoseconds. */
#define INTERVAL_MS_MAX (INT64_C(30) * 365 * 24 * 3600 * 1000)

/* --- schedules -------------------------------------------------------------------------------- */

enum err
schedule_of(const char *file, const char *name, int64_t interval_ns, struct schedule *ret)
{
    struct buf labels, scratch;
    uint64_t hash = 0;
    buf_init(&labels, NULL, LABELS_BYTES_MAX);
    buf_init(&scratch, NULL, LABELS_BYTES_MAX);
    if (file[0] != '\0')
        labels_put(&labels, (struct label){bytes_of_text("file"), bytes_of_text(file)});
    labels_put(&labels, (struct label){bytes_of_text("name"), bytes_of_text(name)});
    enum err e = buf_error(&labels);
    if (e == OK) e = labels_prometheus_hash(buf_bytes(&labels), &scratch, &hash);
    assert(interval_ns > 0);
    *ret = (struct schedule){interval_ns, (int64_t)(hash % (uint64_t)interval_ns)};
    buf_fini(&labels);
    buf_fini(&scratch);
    return e;
}

int64_t
schedule_slot(const struct schedule *s, int64_t now_ns)
{
    int64_t since = now_ns - s->shift_ns;
    return since < 0 ? -1 : since / s->interval_ns;
}

int64_t
schedule_time_ns(const struct schedule *s, int64_t slot)
{
    return s->shift_ns + slot * s->interval_ns;
}

/* --- texts ------------------------------------------------------------------------------------ */

static bool
keep_group(struct arena *arena, const struct rule_group *from, struct rule_group *to)
{
    *to = *from;
    to->rules = arena_new(arena, (from->rule_count + 1) * sizeof *to->rules);
    bool kept = to->rules != NULL && text_copy(arena, from->file, &to->file) &&
                text_copy(arena, from->name, &to->name) &&
                named_texts_copy(arena, &from->labels, &to->labels);
    for (uint32_t i = 0; kept && i < from->rule_count; i++) {
        struct rule *rule = &to->rules[i];
        *rule = from->rules[i];
        kept = text_copy(arena, from->rules[i].name, &rule->name) &&
               text_copy(arena, from->rules[i].expression, &rule->expression) &&
               named_texts_copy(arena, &from->rules[i].labels, &rule->labels) &&
               named_texts_copy(arena, &from->rules[i].annotations, &rule->annotations);
    }
    return kept;
}

/* --- rules ------------------------------------------------------------------------------------ */

static bool
keep_written(struct group *g, const struct label *labels, uint32_t count, struct bytes *ret)
{
    struct buf canonical;
    buf_init(&canonical, g->memory, RULE_FILE_BYTES_MAX);
    relabelled_put(&canonical, (struct bytes){NULL, 0}, labels, count);
    if (buf_error(&canonical) == OK) *ret = arena_copy(&g->arena, buf_bytes(&canonical));
    buf_fini(&canonical);
    return ret->at != NULL;
}

/* Gathers the labels of the rule, and those of the group that it lacks. */
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
    /* Keeps the labels that each series of the rule has. */
    static const char *const names[] = {"ALERTS", "ALERTS_FOR_STATE"};
    struct bytes name = bytes_of_text("__name__"), own = bytes_of_text(rule->text->name);
    bool kept = true;
    for (size_t k = 0; kept && rule->text->kind == RULE_ALERTING && k < 2; k++) {
        struct label labels[] = {{name, bytes_of_text(names[k])},
                                 {bytes_of_text("alertname"), own}};
        kept = keep_written(g, labels, 2, &rule->writes[k]);
    }
    if (rule->text->kind == RULE_ALERTING) return kept;
    rule->over = arena_alloc(&g->arena, (rule->label_count + 1) * sizeof *rule->over);
    if (rule->over == NULL) return false;
    rule->over[0] = (struct label){name, own};
    memcpy(rule->over + 1, rule->labels, rule->label_count * sizeof *rule->over);
    rule->over_count = relabelled_sort(rule->over, rule->label_count + 1);
    return keep_written(g, rule->over, rule->over_count, &rule->writes[0]);
}

static enum err
parse_rule(struct group *g, struct rule_at_work *rule, struct why *why)
{
    struct buf line, error;
    buf_init(&line, g->memory, LINE_BYTES_MAX);
    buf_init(&error, g->memory, RULE_ERROR_BYTES_MAX);
    struct bytes expression = bytes_of_text(rule->text->expression);
    enum err e = promql_parse(expression, g->memory, NULL, &rule->tree, &error);
    if (e == OK) e = promql_rewrite(expression, PROMQL_LINE, g->memory, NULL, &line, &error);
    if (e == OK) {
        rule->line = arena_copy(&g->arena, buf_bytes(&line));
        if (rule->line.at == NULL) e = ERR_NOMEM;
    }
    if (e && error.size > 0) {
        why_set(why, e, "rule '%s': %.*s", rule->text->name, (int)error.size,
                (const char *)error.at);
    }
    buf_fini(&line);
    buf_fini(&error);
    return e;
}

static void
rule_init(struct group *g, struct rule_at_work *rule, const struct rule *text)
{
    rule->text = text;
    kept_series_init(&rule->series, g->memory, g->seed);
    alerts_init(&rule->alerts, g->memory, g->seed);
    buf_init(&rule->error, g->memory, RULE_ERROR_BYTES_MAX);
}

/* --- identity of rules ------------------------------------------------------------------------ */

static bool
same_rule(const struct rule_at_work *a, const struct rule_at_work *b)
{
    if (a->text->kind != b->text->kind || strcmp(a->text->name, b->text->name) != 0) return false;
    if (a->label_count != b->label_count) return false;
    for (uint32_t i = 0; i < a->label_count; i++)
        if (!bytes_equal(a->labels[i].name, b->labels[i].name) ||
            !bytes_equal(a->labels[i].value, b->labels[i].value))
            return false;
    return true;
}

static uint64_t
hash_of_rule(const struct rule_at_work *rule, uint32_t nth, uint64_t seed)
{
    uint64_t hash = hash_mix(hash_bytes(bytes_of_text(rule->text->name), seed), nth);
    for (uint32_t i = 0; i < rule->label_count; i++) {
        hash = hash_mix(hash, hash_bytes(rule->labels[i].name, seed));
        hash = hash_mix(hash, hash_bytes(rule->labels[i].value, seed));
    }
    return hash;
}

enum { LAST = UINT32_MAX }; /* in place of `nth`: the last of the equal rules so far */

/* Finds the rule that has the same kind, name and labels as another one, and this number. NULL if
 * not found. */
static struct rule_at_work *
find_rule(struct group *g, const struct rule_at_work *like, uint32_t nth)
{
    uint64_t hash = hash_of_rule(like, nth, g->seed);
    for (uint32_t at = TABLE_START, id; table_next(&g->index, hash, &at, &id);) {
        struct rule_at_work *rule = &g->rules[id];
        if ((nth == LAST || rule->nth == nth) && same_rule(rule, like)) return rule;
    }
    return NULL;
}

static enum err
index_rule(struct group *g, struct rule_at_work *rule, uint32_t nth)
{
    uint32_t id = (uint32_t)(rule - g->rules);
    if (!table_reserve(&g->index, g->memory, 1)) return ERR_NOMEM;
    rule->nth = nth;
    table_add(&g->index, hash_of_rule(rule, nth, g->seed), id);
    return OK;
}

/* Numbers the rules. While it does, the table also has the last of equal rules under the number
 * LAST. */
static enum err
index_rules(struct group *g)
{
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i], *last = find_rule(g, rule, LAST);
        uint64_t as_last = hash_of_rule(rule, LAST, g->seed);
        assert(last == NULL || last < rule); /* invariant 1 */
        if (last != NULL) table_remove(&g->index, as_last, (uint32_t)(last - g->rules));
        e = index_rule(g, rule, last == NULL ? 0 : last->nth + 1);
        if (e == OK && !table_reserve(&g->index, g->memory, 1)) e = ERR_NOMEM;
        if (e == OK) table_add(&g->index, as_last, i);
    }
    return e;
}

/* --- groups ----------------------------------------------------------------------------------- */

static int64_t
interval_of(const struct rule_group *text, const struct group_defaults *defaults)
{
    int64_t interval_ms = text->interval_ms > 0 ? text->interval_ms : defaults->interval_ms;
    return (interval_ms < INTERVAL_MS_MAX ? interval_ms : INTERVAL_MS_MAX) * NS_PER_MS;
}

static enum err
group_set_up(struct group *g, const struct rule_group *text, struct why *why)
{
    if (!keep_group(&g->arena, text, &g->text)) {
        g->text.rule_count = 0; /* no rules to free */
        return ERR_NOMEM;
    }
    g->query_offset_ms =
        text->has_query_offset ? text->query_offset_ms : g->defaults.query_offset_ms;
    enum err e =
        schedule_of(g->text.file, g->text.name, interval_of(text, &g->defaults), &g->schedule);
    g->rules = arena_new(&g->arena, (text->rule_count + 1) * sizeof *g->rules);
    if (g->rules == NULL) e = ERR_NOMEM;
    if (e) g->text.rule_count = 0;
    for (uint32_t i = 0; i < g->text.rule_count; i++)
        rule_init(g, &g->rules[i], &g->text.rules[i]);
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        e = gather_labels(g, &g->rules[i]) ? parse_rule(g, &g->rules[i], why) : ERR_NOMEM;
        g->records |= g->rules[i].text->kind == RULE_RECORDING;
        g->alarms |= g->rules[i].text->kind == RULE_ALERTING;
    }
    if (e) return e;
    if (index_rules(g) || group_make_batches(g) || group_find_reads_back(g)) return ERR_NOMEM;
    g->facts = (struct group_facts){.file = g->text.file,
                                    .name = g->text.name,
                                    .rules = g->text.rule_count,
                                    .interval_ns = g->schedule.interval_ns};
    return OK;
}

/* NULL without memory. */
static struct group *
group_alloc(const struct rules_host *host, struct bytes tenant)
{
    struct group *g = mem_new(host->memory, sizeof *g);
    if (g == NULL) return NULL;
    g->memory = host->memory;
    g->seed = host->seed;
    arena_init(&g->arena, g->memory, TEXT_ARENA_BYTES_MAX, 0);
    g->series_slot = -1;
    lock_init(&g->lock, LOCK_RANK_LEAF);
    g->tenant = arena_copy(&g->arena, tenant);
    if (tenant.size == 0 || g->tenant.at != NULL) return g;
    group_free(g);
    return NULL;
}

enum err
group_new(const struct rules_host *host, struct bytes tenant, const struct rule_group *text,
          const struct group_defaults *defaults, struct group **ret_group, struct why *why)
{
    struct group *g = group_alloc(host, tenant);
    if (why != NULL) why->text[0] = '\0';
    if (g != NULL) g->defaults = *defaults;
    enum err e = g == NULL ? ERR_NOMEM : group_set_up(g, text, why);
    if (e == OK) {
        *ret_group = g;
        return OK;
    }
    group_free(g);
    if (why != NULL && why->text[0] == '\0')
        why_set(why, e, "not enough memory for the group of rules");
    return e;
}

/* --- groups of which only the state is known -------------------------------------------------- */

/* Copies bytes with a NUL. NULL without memory. */
static const char *
keep_bytes(struct arena *arena, struct bytes from)
{
    char *to = arena_new(arena, from.size + 1);
    if (to != NULL && from.size > 0) memcpy(to, from.at, from.size);
    return to;
}

enum err
group_of_state(const struct rules_host *host, struct bytes tenant, struct bytes file,
               struct bytes name, int64_t interval_ns, struct group **ret_group)
{
    static const struct group_defaults none = {.interval_ms = 1};
    struct group *g = group_alloc(host, tenant);
    if (g == NULL) return ERR_NOMEM;
    g->text = (struct rule_group){.file = keep_bytes(&g->arena, file),
                                  .name = keep_bytes(&g->arena, name),
                                  .interval_ms = interval_ns / NS_PER_MS};
    g->records = g->alarms = true; /* it may have had rules of either kind */
    enum err e = g->text.file == NULL || g->text.name == NULL ? ERR_NOMEM : OK;
    if (e == OK)
        e = schedule_of(g->text.file, g->text.name, interval_of(&g->text, &none), &g->schedule);
    if (e)
        group_free(g);
    else
        *ret_group = g;
    return e;
}

enum err
group_add_state(struct group *g, struct bytes name, const struct label *labels, uint32_t count,
                uint32_t nth, struct alerts **ret_alerts)
{
    struct rule *text = arena_new(&g->arena, sizeof *text);
    struct label *kept = arena_alloc(&g->arena, (count + 1) * sizeof *kept);
    uint32_t known = g->text.rule_count;
    if (text == NULL || kept == NULL) return ERR_NOMEM;
    if ((known & (known - 1)) == 0) { /* the room for rules is full: it doubles */
        struct rule_at_work *rules = arena_new(&g->arena, (2 * (size_t)known + 1) * sizeof *rules);
        if (rules == NULL) return ERR_NOMEM;
        if (known > 0) memcpy(rules, g->rules, known * sizeof *rules);
        g->rules = rules;
    }
    *text = (struct rule){.kind = RULE_ALERTING, .name = keep_bytes(&g->arena, name)};
    for (uint32_t i = 0; i < count; i++) {
        kept[i] = (struct label){arena_copy(&g->arena, labels[i].name),
                                 arena_copy(&g->arena, labels[i].value)};
        bool is_kept = (labels[i].name.size == 0 || kept[i].name.at != NULL) &&
                       (labels[i].value.size == 0 || kept[i].value.at != NULL);
        if (!is_kept) return ERR_NOMEM;
    }
    if (text->name == NULL) return ERR_NOMEM;
    struct rule_at_work *rule = &g->rules[g->text.rule_count++];
    rule_init(g, rule, text);
    rule->labels = kept;
    rule->label_count = count;
    rule->is_restored = true;
    assert(rule->tree == NULL); /* invariant 3 */
    *ret_alerts = &rule->alerts;
    return index_rule(g, rule, nth);
}

void
group_free(struct group *g)
{
    if (g == NULL) return;
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        promql_free(g->rules[i].tree);
        kept_series_fini(&g->rules[i].series);
        alerts_fini(&g->rules[i].alerts);
        buf_fini(&g->rules[i].error);
    }
    table_fini(&g->index, g->memory);
    lock_fini(&g->lock);
    arena_fini(&g->arena);
    mem_free(g->memory, g, sizeof *g);
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

void
group_take_over(struct group *g, struct group *from)
{
    assert(g != from && bytes_equal(g->tenant, from->tenant));
    lock_take(&from->lock);
    g->facts.evaluated_at_ns = from->facts.evaluated_at_ns;
    g->facts.evaluated_for_ns = from->facts.evaluated_for_ns;
    g->facts.restored_for_ns = from->facts.restored_for_ns;
    g->facts.evaluations = from->facts.evaluations;
    g->facts.failures = from->facts.failures;
    g->facts.iterations = from->facts.iterations;
    g->facts.missed = from->facts.missed;
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i], *was = find_rule(from, rule, rule->nth);
        if (was == NULL) continue;
        struct kept_series series = rule->series;
        rule->series = was->series;
        was->series = series;
    }
    lock_drop(&from->lock);
}

static void
take_alerts(struct rule_at_work *rule, struct rule_at_work *was)
{
    assert(rule->text->kind == RULE_ALERTING && was->text->kind == RULE_ALERTING);
    assert(rule->alerts.count == 0); /* invariant 2 */
    struct alerts none = rule->alerts;
    rule->alerts = was->alerts;
    was->alerts = none;
    rule->is_restored = was->is_restored || rule->series.count == 0; /* false after taking over */
}

bool
group_take_alerts(struct group *g, struct group *from)
{
    bool any = false;
    lock_take(&from->lock);
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        if (rule->text->kind != RULE_ALERTING || rule->alerts.count > 0) continue;
        struct rule_at_work *was = find_rule(from, rule, rule->nth);
        if (was == NULL || was->alerts.count == 0) continue;
        take_alerts(rule, was);
        any = true;
    }
    lock_drop(&from->lock);
    return any;
}

uint64_t
group_rule_hash(const struct group *g, uint32_t rule)
{
    return hash_of_rule(&g->rules[rule], LAST, g->seed);
}

bool
group_take_rule_alerts(struct group *g, uint32_t index, struct group *from)
{
    struct rule_at_work *rule = &g->rules[index], *was;
    bool any = false;
    lock_take(&from->lock);
    for (uint32_t nth = 0; !any && (was = find_rule(from, rule, nth)) != NULL; nth++) {
        any = was->alerts.count > 0;
        if (any) take_alerts(rule, was);
    }
    lock_drop(&from->lock);
    return any;
}

void
group_facts(struct group *g, struct group_facts *ret)
{
    lock_take(&g->lock);
    *ret = g->facts;
    lock_drop(&g->lock);
}

/* --- series that end with a group ------------------------------------------------------------- */

/* A tenant may have millions of rules, and this runs under the lock of all groups: a rule is never
 * compared with all others. */
enum err
group_find_ended(struct group *g, struct group *const *others, uint32_t count,
                 struct kept_series *to)
{
    struct kept_series series, names;
    bool is_new;
    kept_series_init(&series, g->memory, g->seed);
    kept_series_init(&names, g->memory, g->seed);
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        const struct rule_at_work *rule = &g->rules[i];
        if (rule->series.count == 0) continue;
        e = kept_series_add(&names, bytes_of_text(rule->text->name), &is_new);
        if (e == OK) e = kept_series_add_all(&series, &rule->series);
    }
    size_t bytes = (size_t)series.count + 1;
    bool *is_alive = e ? NULL : mem_new(g->memory, bytes);
    if (e == OK && is_alive == NULL) e = ERR_NOMEM;
    for (uint32_t i = 0; e == OK && i < count; i++) {
        lock_take(&others[i]->lock);
        for (uint32_t k = 0; k < others[i]->text.rule_count; k++) {
            const struct rule_at_work *rule = &others[i]->rules[k];
            bool may_share =
                rule->series.count > 0 && kept_series_has(&names, bytes_of_text(rule->text->name));
            if (may_share) kept_series_mark(&series, &rule->series, is_alive);
        }
        lock_drop(&others[i]->lock);
    }
    for (uint32_t i = 0; e == OK && i < series.count; i++)
        if (!is_alive[i]) e = kept_series_add(to, kept_series_at(&series, i), &is_new);
    mem_free(g->memory, is_alive, bytes);
    kept_series_fini(&series);
    kept_series_fini(&names);
    return e;
}

enum err
group_mark_stale(const struct group *g, const struct rules_host *host,
                 const struct kept_series *ended, int64_t at_ns)
{
    struct rules_written written;
    struct rw_build *build = NULL;
    struct why why;
    int64_t t_ms = at_ns / NS_PER_MS - g->query_offset_ms;
    if (ended->count == 0) return OK;
    enum err e = rw_build_new(RW_V1, host->memory, &build);
    for (uint32_t i = 0; e == OK && i < ended->count; i++)
        put_stale_marker(build, kept_series_at(ended, i), t_ms);
    if (e == OK) e = write_durably(host, g->tenant, build, &written, &why);
    rw_build_free(build);
    return e;
}
