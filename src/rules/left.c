/*
 * left.c - what is known of groups that are not configured, and of rules that left their group:
 * cursors and alerts. They come from a checkpoint, or from a reload; they go to groups and rules
 * that come or come back. What nobody took for rules.outage_tolerance is forgotten.
 *
 * An alerting rule finds its alerts by tenant, group, alert name and labels of the rule; or without
 * the group, if that has left or does not have the rule any more.
 */
#include <stdlib.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/search.h"
#include "rules/scheduler_private.h"

enum { ARENA_BYTES_MAX = 256 << 20 };

/* --- the list --------------------------------------------------------------------------------- */

static void
left_free(struct scheduler *s, struct left_group *g)
{
    for (struct left_rule *rule = g->rules; rule != NULL; rule = rule->next) {
        alerts_fini(&rule->alerts);
    }
    arena_fini(&g->arena);
    mem_free(s->host->memory, g, sizeof *g);
}

void
left_free_all(struct scheduler *s)
{
    for (uint32_t i = 0; i < s->left_count; i++) {
        left_free(s, s->left[i]);
    }
    array_free(s->host->memory, s->left, s->left_capacity);
    table_fini(&s->left_rules, s->host->memory);
}

static int
compare_with_key(const struct left_group *g, struct bytes tenant, struct bytes file,
                 struct bytes name)
{
    int order = bytes_compare(g->tenant, tenant);
    if (order == 0) order = bytes_compare(g->file, file);
    return order != 0 ? order : bytes_compare(g->name, name);
}

static uint32_t
left_place(const struct scheduler *s, struct bytes tenant, struct bytes file, struct bytes name)
{
    return search_first(i, 0u, s->left_count,
                        compare_with_key(s->left[i], tenant, file, name) >= 0);
}

static struct left_group *
left_find(const struct scheduler *s, struct bytes tenant, struct bytes file, struct bytes name)
{
    uint32_t i = left_place(s, tenant, file, name);
    bool found = i < s->left_count && compare_with_key(s->left[i], tenant, file, name) == 0;
    return found ? s->left[i] : NULL;
}

static struct left_group *
left_find_of(const struct scheduler *s, const struct scheduled *e)
{
    const struct rule_group *text = group_text(e->group);
    return left_find(s, group_tenant(e->group), bytes_of_text(text->file),
                     bytes_of_text(text->name));
}

/* The group of that key, which is made if there is none. NULL: no memory. */
static struct left_group *
left_make(struct scheduler *s, struct bytes tenant, struct bytes file, struct bytes name)
{
    struct budget *memory = s->host->memory;
    struct left_group *g = left_find(s, tenant, file, name);
    if (g != NULL) return g;
    if (!array_reserve(memory, &s->left, &s->left_capacity, (size_t)s->left_count + 1)) return NULL;
    g = mem_new(memory, sizeof *g);
    if (g == NULL) return NULL;
    arena_init(&g->arena, memory, ARENA_BYTES_MAX, 0);
    g->tenant = arena_copy(&g->arena, tenant);
    g->file = arena_copy(&g->arena, file);
    g->name = arena_copy(&g->arena, name);
    if ((tenant.size > 0 && g->tenant.at == NULL) || (file.size > 0 && g->file.at == NULL) ||
        (name.size > 0 && g->name.at == NULL)) {
        left_free(s, g);
        return NULL;
    }
    uint32_t at = left_place(s, tenant, file, name);
    memmove(s->left + at + 1, s->left + at, (s->left_count - at) * sizeof *s->left);
    s->left[at] = g;
    s->left_count++;
    s->left_is_indexed = false;
    return g;
}

/* A rule of the group without alerts; the last one. NULL: no memory. */
static struct left_rule *
left_add_rule(struct scheduler *s, struct left_group *g, struct bytes name,
              const struct label *labels, uint32_t label_count)
{
    struct left_rule *rule = arena_new(&g->arena, sizeof *rule), **link = &g->rules;
    if (rule == NULL) return NULL;
    rule->name = arena_copy(&g->arena, name);
    rule->labels = arena_alloc(&g->arena, (label_count + 1) * sizeof *rule->labels);
    bool kept = rule->labels != NULL && (name.size == 0 || rule->name.at != NULL);
    for (uint32_t i = 0; kept && i < label_count; i++) {
        rule->labels[i] = (struct label){arena_copy(&g->arena, labels[i].name),
                                         arena_copy(&g->arena, labels[i].value)};
        kept = rule->labels[i].name.at != NULL &&
               (labels[i].value.size == 0 || rule->labels[i].value.at != NULL);
    }
    if (!kept) return NULL;
    rule->label_count = label_count;
    alerts_init(&rule->alerts, s->host->memory, s->host->seed);
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = rule;
    s->left_is_indexed = false;
    return rule;
}

/* --- keeping ---------------------------------------------------------------------------------- */

void
left_keep(struct scheduler *s, struct scheduled *e, bool with_cursor)
{
    struct group *group = e->group;
    const struct rule_group *text = group_text(group);
    struct left_group *g = NULL;
    bool any = with_cursor && e->state == SCHEDULED_READY;
    for (uint32_t i = 0; !any && i < text->rule_count; i++) {
        any = group->rules[i].alerts.count > 0;
    }
    if (any) {
        g = left_make(s, group_tenant(group), bytes_of_text(text->file), bytes_of_text(text->name));
    }
    if (g == NULL) return;
    g->interval_ns = group_schedule(group)->interval_ns;
    g->evaluated_ns = e->evaluated_ns;
    g->left_ns = s->seen_ns;
    g->next_ns = with_cursor ? scheduled_cursor_ns(e) : 0;
    lock_take(&group->lock);
    for (uint32_t i = 0; i < text->rule_count; i++) {
        struct rule_at_work *rule = &group->rules[i];
        if (rule->alerts.count == 0) continue;
        struct left_rule *left =
            left_add_rule(s, g, bytes_of_text(rule->text->name), rule->labels, rule->label_count);
        if (left == NULL) continue;
        struct alerts none = left->alerts;
        left->alerts = rule->alerts;
        rule->alerts = none;
    }
    lock_drop(&group->lock);
}

void
left_forget(struct scheduler *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->left_count; i++) {
        struct left_group *g = s->left[i];
        if (g->left_ns > s->seen_ns) g->left_ns = s->seen_ns; /* the clock was set back */
        if (s->seen_ns - g->left_ns <= s->limits.outage_tolerance_ns)
            s->left[kept++] = g;
        else
            left_free(s, g);
    }
    if (kept != s->left_count) s->left_is_indexed = false;
    s->left_count = kept;
}

/* --- giving ----------------------------------------------------------------------------------- */

static uint64_t
hash_of_alert(const struct scheduler *s, struct bytes tenant, struct bytes name)
{
    return hash_mix(hash_bytes(tenant, s->host->seed), hash_bytes(name, s->host->seed));
}

/* Without memory for it, rules find only what their own groups left. */
static void
index_rules(struct scheduler *s)
{
    if (s->left_is_indexed) return;
    table_clear(&s->left_rules);
    s->left_is_indexed = true;
    for (uint32_t i = 0; i < s->left_count; i++) {
        for (struct left_rule *rule = s->left[i]->rules; rule != NULL; rule = rule->next) {
            if (rule->alerts.count == 0) continue;
            if (!table_reserve(&s->left_rules, s->host->memory, 1)) return;
            table_add(&s->left_rules, hash_of_alert(s, s->left[i]->tenant, rule->name), i);
        }
    }
}

static bool
are_same(const struct label *a, uint32_t a_count, const struct label *b, uint32_t b_count)
{
    if (a_count != b_count) return false;
    for (uint32_t i = 0; i < a_count; i++) {
        if (!bytes_equal(a[i].name, b[i].name) || !bytes_equal(a[i].value, b[i].value))
            return false;
    }
    return true;
}

static bool
is_of_rule(const struct left_rule *left, const struct rule_at_work *rule)
{
    if (left->alerts.count == 0) return false;
    if (!bytes_equal_text(left->name, rule->text->name)) return false;
    return are_same(left->labels, left->label_count, rule->labels, rule->label_count);
}

static struct left_rule *
rule_of(const struct left_group *g, const struct rule_at_work *rule)
{
    for (struct left_rule *left = g->rules; left != NULL; left = left->next) {
        if (is_of_rule(left, rule)) return left;
    }
    return NULL;
}

/* A group that comes back has a claim on its own. */
static bool
is_claimed(const struct scheduler *s, const struct left_group *g)
{
    return g->next_ns != 0 && scheduler_has(s, g->tenant, g->file, g->name);
}

static struct left_rule *
find_elsewhere(struct scheduler *s, const struct scheduled *e, const struct rule_at_work *rule,
               struct left_group **ret_group)
{
    struct bytes tenant = group_tenant(e->group), name = bytes_of_text(rule->text->name);
    uint64_t hash = hash_of_alert(s, tenant, name);
    index_rules(s);
    for (uint32_t at = TABLE_START, id; table_next(&s->left_rules, hash, &at, &id);) {
        struct left_group *g = s->left[id];
        if (!bytes_equal(g->tenant, tenant) || is_claimed(s, g)) continue;
        struct left_rule *left = rule_of(g, rule);
        if (left == NULL) continue;
        *ret_group = g;
        return left;
    }
    return NULL;
}

static void
give_alerts(struct scheduler *s, struct scheduled *e, struct left_group *own)
{
    struct group *group = e->group;
    for (uint32_t i = 0; i < group->text.rule_count; i++) {
        struct rule_at_work *rule = &group->rules[i];
        if (rule->text->kind != RULE_ALERTING || rule->alerts.count > 0) continue;
        struct left_group *g = own;
        struct left_rule *left = own == NULL ? NULL : rule_of(own, rule);
        if (left == NULL) left = find_elsewhere(s, e, rule, &g);
        if (left == NULL || s->seen_ns - g->evaluated_ns > s->limits.outage_tolerance_ns) continue;
        lock_take(&group->lock);
        struct alerts none = rule->alerts;
        rule->alerts = left->alerts;
        left->alerts = none;
        rule->is_restored = true;
        lock_drop(&group->lock);
        if (e->evaluated_ns == 0) e->evaluated_ns = g->evaluated_ns;
    }
}

/* A cursor of another interval counts if it is late: see take_cursors(). */
static void
give_cursor(struct scheduler *s, struct scheduled *e, struct left_group *g)
{
    int64_t interval_ns = group_schedule(e->group)->interval_ns;
    bool counts = g->next_ns != 0 && (g->interval_ns == interval_ns || g->next_ns <= s->seen_ns);
    if (!counts || e->next_slot >= 0) return;
    e->next_slot = e->alert_slot = scheduled_slot_from(e, g->next_ns);
    e->evaluated_ns = g->evaluated_ns;
    e->last_slot = e->next_slot - 1;
    e->group->series_slot = -1;
}

void
left_give(struct scheduler *s, struct scheduled *e)
{
    struct left_group *own = left_find_of(s, e);
    if (s->left_count == 0) return;
    if (own != NULL) give_cursor(s, e, own);
    if (group_alarms(e->group)) give_alerts(s, e, own);
    if (own != NULL) own->next_ns = 0; /* it is the entry's now */
}

/* --- the checkpoint --------------------------------------------------------------------------- */

/* NULL: no memory. */
static struct left_group *
load_group(struct scheduler *s, const struct checkpoint_head *head, struct bytes tenant,
           const struct checkpoint_record *r, int64_t cursor_max_ns)
{
    struct left_group *g = left_make(s, tenant, r->group.file, r->group.name);
    if (g == NULL) return NULL;
    g->interval_ns = r->group.interval_ns;
    g->next_ns = r->group.next_ns < cursor_max_ns ? r->group.next_ns : cursor_max_ns;
    g->evaluated_ns = r->group.evaluated_at_ns;
    g->left_ns = r->group.retired_ns != 0 ? r->group.retired_ns : head->written_ns;
    return g;
}

enum err
left_load(struct scheduler *s, struct checkpoint_reader *from, int64_t cursor_max_ns)
{
    struct checkpoint_record r;
    struct bytes tenant = {NULL, 0};
    struct left_group *group = NULL;
    struct left_rule *rule = NULL;
    enum err e = OK;
    s->has_checkpoint = true;
    s->latest_ns = from->head.latest_ns;
    while (e == OK && checkpoint_next(from, &r)) {
        switch (r.kind) {
        case CHECKPOINT_TENANT:
            tenant = r.tenant.name;
            e = scheduler_add_tenant(s, tenant, r.tenant.sender_ms);
            break;
        case CHECKPOINT_GROUP:
            group = load_group(s, &from->head, tenant, &r, cursor_max_ns);
            e = group == NULL ? ERR_NOMEM : OK;
            break;
        case CHECKPOINT_RULE:
            rule = left_add_rule(s, group, r.rule.name, r.rule.labels, r.rule.label_count);
            e = rule == NULL ? ERR_NOMEM : OK;
            break;
        case CHECKPOINT_ALERT:
            e = alerts_restore(&rule->alerts, &r.alert.was, &r.alert.found);
            break;
        }
    }
    return e;
}

static void
save_alerts(struct checkpoint_writer *writer, const struct alerts *alerts)
{
    for (uint32_t i = 0; i < alerts->count; i++) {
        const struct alert *alert = alerts->items[i];
        const struct checkpoint_record record = {
            .kind = CHECKPOINT_ALERT,
            .alert = {*alert, alert_last_found(alert)},
        };
        checkpoint_put(writer, &record);
    }
}

/* Rules that left the group are saved with it, after its own. */
static void
save_left_rules(struct checkpoint_writer *writer, const struct left_group *g)
{
    for (const struct left_rule *rule = g->rules; rule != NULL; rule = rule->next) {
        if (rule->alerts.count == 0) continue;
        const struct checkpoint_record record = {
            .kind = CHECKPOINT_RULE,
            .rule.name = rule->name,
            .rule.labels = rule->labels,
            .rule.label_count = rule->label_count,
        };
        checkpoint_put(writer, &record);
        save_alerts(writer, &rule->alerts);
    }
}

/* So many rules before it in the group have the same name and labels. */
static uint32_t
number_of(const struct rule_at_work *rule)
{
    uint32_t nth = 0;
    for (const struct rule_at_work *r = rule; (r = r->same_before) != NULL;) {
        nth += are_same(r->labels, r->label_count, rule->labels, rule->label_count);
    }
    return nth;
}

/* While a backlog is awaited, evaluations of alerts lack input: another start waits for it, too. */
static int64_t
saved_cursor_ns(const struct scheduled *e)
{
    const struct scheduled_tenant *t = e->tenant;
    int64_t cursor_ns = scheduled_cursor_ns(e);
    bool is_before = t->state == CATCH_UP_WAITS && t->gap_from_ns < cursor_ns;
    return is_before ? t->gap_from_ns : cursor_ns;
}

static void
save_entry(struct checkpoint_writer *writer, const struct scheduled *e, const struct left_group *g)
{
    struct group *group = e->group;
    const struct rule_group *text = group_text(group);
    const struct checkpoint_record group_record = {
        .kind = CHECKPOINT_GROUP,
        .group.file = bytes_of_text(text->file),
        .group.name = bytes_of_text(text->name),
        .group.interval_ns = group_schedule(group)->interval_ns,
        .group.next_ns = saved_cursor_ns(e),
        .group.evaluated_at_ns = e->evaluated_ns,
    };
    checkpoint_put(writer, &group_record);
    lock_take(&group->lock);
    for (uint32_t i = 0; i < text->rule_count; i++) {
        const struct rule_at_work *rule = &group->rules[i];
        if (rule->alerts.count == 0) continue;
        const struct checkpoint_record rule_record = {
            .kind = CHECKPOINT_RULE,
            .rule.name = bytes_of_text(rule->text->name),
            .rule.labels = rule->labels,
            .rule.label_count = rule->label_count,
            .rule.nth = number_of(rule),
        };
        checkpoint_put(writer, &rule_record);
        save_alerts(writer, &rule->alerts);
    }
    lock_drop(&group->lock);
    if (g != NULL) save_left_rules(writer, g);
}

static void
save_left(struct checkpoint_writer *writer, const struct left_group *g)
{
    const struct checkpoint_record record = {
        .kind = CHECKPOINT_GROUP,
        .group.file = g->file,
        .group.name = g->name,
        .group.interval_ns = g->interval_ns,
        .group.next_ns = g->next_ns,
        .group.retired_ns = g->left_ns,
        .group.evaluated_at_ns = g->evaluated_ns,
    };
    checkpoint_put(writer, &record);
    save_left_rules(writer, g);
}

/* Groups of one tenant: those that are configured, and those that left, in the order of their
 * keys. */
static uint32_t
save_groups(struct scheduler *s, const struct scheduled_tenant *t, uint32_t left,
            struct checkpoint_writer *writer)
{
    uint32_t i = t->first;
    for (;;) {
        struct left_group *g = left < s->left_count ? s->left[left] : NULL;
        if (g != NULL && !bytes_equal(g->tenant, t->name)) g = NULL;
        if (i == t->end && g == NULL) return left;
        int order = i == t->end ? 1 : -1;
        const struct scheduled *e = i == t->end ? NULL : s->items[i];
        if (e != NULL && g != NULL) {
            const struct rule_group *text = group_text(e->group);
            order = -compare_with_key(g, g->tenant, bytes_of_text(text->file),
                                      bytes_of_text(text->name));
        }
        if (order <= 0) {
            bool waits = e->state == SCHEDULED_NEW && e->from != NULL;
            save_entry(writer, waits ? e->from : e, order == 0 ? g : NULL);
            i++;
        } else {
            save_left(writer, g);
        }
        if (order >= 0) left++;
    }
}

void
left_save(struct scheduler *s, struct checkpoint_writer *writer, struct buf *to)
{
    struct checkpoint_head head = {.written_ns = s->seen_ns, .latest_ns = s->latest_ns};
    const uint8_t *log_id = s->host->log_id == NULL ? NULL : s->host->log_id(s->host->context);
    if (log_id != NULL) memcpy(head.log_id, log_id, sizeof head.log_id);
    checkpoint_begin(writer, &head, to);
    uint32_t left = 0;
    for (const struct scheduled_tenant *t = s->tenants; t != NULL; t = t->next) {
        const struct checkpoint_record record = {
            .kind = CHECKPOINT_TENANT,
            .tenant.name = t->name,
            .tenant.sender_ms = t->sent_ms,
        };
        checkpoint_put(writer, &record);
        left = save_groups(s, t, left, writer);
    }
}
