/*
 * agenda.c - which groups there are, and how a reload changes that: what stays, takes over or
 * retires. See agenda.h; agenda_work.c has what is to be done for them.
 */
#include <stdlib.h>

#include "base/search.h"
#include "rules/agenda_private.h"
#include "rules/twins.h"
#include "sys/env.h"

enum {
    GROUPS_MAX = 100000,
    TRIES_MAX = 1000000, /* of names with selectors, for a tenant: it may have many of both */
};

/* --- entries ---------------------------------------------------------------------------------- */

void
agenda_entry_free(struct agenda *a, struct agenda_entry *e)
{
    if (e == NULL) return;
    agenda_entry_free(a, e->from);
    group_free(e->group);
    slots_fini(&e->made);
    slots_fini(&e->settled);
    mem_free(a->host->memory, e, sizeof *e);
}

struct group *
agenda_entry_group(const struct agenda_entry *e)
{
    return e->group;
}

static struct agenda_entry *
entry_new(struct agenda *a)
{
    struct agenda_entry *e = mem_new(a->host->memory, sizeof *e);
    if (e == NULL) return NULL;
    slots_init(&e->made, a->host->memory);
    slots_init(&e->settled, a->host->memory);
    e->next_slot = e->input_slot = -1;
    return e;
}

static size_t
list_bytes(uint32_t count)
{
    return (count + 1) * sizeof(struct agenda_entry *);
}

static size_t
tenants_bytes(uint32_t count)
{
    return (count + 1) * sizeof(struct agenda_tenant);
}

static size_t
owes_bytes(uint32_t count)
{
    return (count + 1) * sizeof(int64_t);
}

static size_t
due_bytes(uint32_t count)
{
    return (count + 1) * sizeof(struct due);
}

static int
compare_keys(struct bytes tenant_a, const struct rule_group *a, struct bytes tenant_b,
             const struct rule_group *b)
{
    int order = bytes_compare(tenant_a, tenant_b);
    if (order == 0) order = strcmp(a->file, b->file);
    return order != 0 ? order : strcmp(a->name, b->name);
}

static int
compare_with_key(const struct agenda_entry *e, struct bytes tenant, const struct rule_group *text)
{
    return compare_keys(group_tenant(e->group), group_text(e->group), tenant, text);
}

static int
compare_entries(const void *a, const void *b)
{
    const struct agenda_entry *const *x = a, *const *y = b;
    return compare_with_key(*x, group_tenant((*y)->group), group_text((*y)->group));
}

/* NULL: none that is listed has this key. */
static struct agenda_entry *
find_entry(const struct agenda *a, struct bytes tenant, const struct rule_group *text)
{
    uint32_t at = search_first(i, 0u, a->count, compare_with_key(a->items[i], tenant, text) >= 0);
    bool found = at < a->count && compare_with_key(a->items[at], tenant, text) == 0;
    return found ? a->items[at] : NULL;
}

enum err
agenda_new(const struct rules_host *host, int64_t started_ns, struct agenda **ret_agenda)
{
    struct agenda *a = mem_new(host->memory, sizeof *a);
    if (a == NULL) return ERR_NOMEM;
    a->host = host;
    a->gap_ended_ns = a->progress_ns = started_ns;
    *ret_agenda = a;
    return OK;
}

void
agenda_free(struct agenda *a)
{
    if (a == NULL) return;
    for (uint32_t i = 0; i < a->count; i++) {
        agenda_entry_free(a, a->items[i]);
    }
    for (struct agenda_entry *e = a->retired, *next; e != NULL; e = next) {
        next = e->next;
        agenda_entry_free(a, e);
    }
    mem_free(a->host->memory, a->items, list_bytes(a->count));
    mem_free(a->host->memory, a->owes_ns, owes_bytes(a->count));
    mem_free(a->host->memory, a->tenants, tenants_bytes(a->count));
    mem_free(a->host->memory, a->begins.items, due_bytes(a->count));
    mem_free(a->host->memory, a->due.items, due_bytes(a->count));
    mem_free(a->host->memory, a, sizeof *a);
}

/* --- reload ----------------------------------------------------------------------------------- */

struct planned {
    struct agenda_entry *entry;
    bool is_new;
    bool reads_recorded;
    bool *recorded; /* by which selectors */
    size_t recorded_bytes;
};

struct agenda_change {
    struct agenda *agenda;
    struct agenda_entry **items; /* of the agenda that is to be */
    int64_t *owes_ns;
    struct agenda_tenant *tenants;
    struct due *begins, *due;
    struct planned *plan; /* by tenant, file, name */
    uint32_t count;
};

static void
change_free(struct agenda_change *c)
{
    struct budget *memory = c->agenda->host->memory;
    for (uint32_t i = 0; c->plan != NULL && i < c->count; i++) {
        mem_free(memory, c->plan[i].recorded, c->plan[i].recorded_bytes);
    }
    mem_free(memory, c->items, list_bytes(c->count));
    mem_free(memory, c->owes_ns, owes_bytes(c->count));
    mem_free(memory, c->tenants, tenants_bytes(c->count));
    mem_free(memory, c->begins, due_bytes(c->count));
    mem_free(memory, c->due, due_bytes(c->count));
    mem_free(memory, c->plan, (c->count + 1) * sizeof *c->plan);
    mem_free(memory, c, sizeof *c);
}

void
agenda_abandon(struct agenda_change *c)
{
    if (c == NULL) return;
    for (uint32_t i = 0; c->plan != NULL && i < c->count; i++) {
        if (c->plan[i].is_new) agenda_entry_free(c->agenda, c->plan[i].entry);
    }
    change_free(c);
}

/* What stays is looked up now: only a reload changes which entries there are, and there is one at a
 * time. */
static enum err
plan_entry(struct agenda_change *c, struct planned *p, const struct agenda_group *group,
           const struct group_defaults *defaults, struct why *why)
{
    struct agenda *a = c->agenda;
    p->entry = find_entry(a, group->tenant, group->text);
    if (p->entry != NULL && group_is(p->entry->group, group->tenant, group->text, defaults)) {
        return OK;
    }
    p->entry = entry_new(a);
    if (p->entry == NULL) return why_set(why, ERR_NOMEM, "not enough memory for rules");
    p->is_new = true;
    return group_new(a->host, group->tenant, group->text, defaults, &p->entry->group, why);
}

static int
compare_planned(const void *a, const void *b)
{
    const struct planned *x = a, *y = b;
    return compare_entries(&x->entry, &y->entry);
}

/* Of each tenant: which groups read what groups record. */
static enum err
plan_readers(struct agenda_change *c)
{
    const struct rules_host *host = c->agenda->host;
    struct kept_series names;
    enum err e = OK;
    for (uint32_t first = 0, next; e == OK && first < c->count; first = next) {
        struct bytes tenant = group_tenant(c->plan[first].entry->group);
        uint32_t tries = TRIES_MAX;
        kept_series_init(&names, host->memory, host->seed);
        for (next = first; next < c->count; next++) {
            struct group *g = c->plan[next].entry->group;
            if (!bytes_equal(group_tenant(g), tenant)) break;
            if (e == OK) e = group_add_names(g, &names);
        }
        for (uint32_t i = first; e == OK && i < next; i++) {
            struct planned *p = &c->plan[i];
            p->recorded_bytes = group_selector_count(p->entry->group) + 1;
            p->recorded = mem_new(host->memory, p->recorded_bytes);
            if (p->recorded == NULL)
                e = ERR_NOMEM;
            else
                p->reads_recorded = group_reads_any(p->entry->group, &names, &tries, p->recorded);
        }
        kept_series_fini(&names);
    }
    return e;
}

static enum err
plan_twins(struct agenda_change *c)
{
    struct budget *memory = c->agenda->host->memory;
    size_t bytes = (c->count + 1) * sizeof(struct twin_group);
    struct twin_group *groups = mem_new(memory, bytes);
    if (groups == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < c->count; i++) {
        groups[i] = (struct twin_group){c->plan[i].entry->group, c->plan[i].is_new};
    }
    enum err e = twins_mark(memory, groups, c->count);
    mem_free(memory, groups, bytes);
    return e;
}

enum err
agenda_prepare(struct agenda *a, const struct agenda_group *groups, uint32_t count,
               const struct group_defaults *defaults, struct agenda_change **ret_change,
               struct why *why)
{
    struct budget *memory = a->host->memory;
    if (count > GROUPS_MAX) {
        return why_set(why, ERR_INPUT, "more than %d groups of rules", GROUPS_MAX);
    }
    struct agenda_change *c = mem_new(memory, sizeof *c);
    if (c == NULL) return why_set(why, ERR_NOMEM, "not enough memory for rules");
    *c = (struct agenda_change){.agenda = a, .count = count};
    c->items = mem_new(memory, list_bytes(count));
    c->owes_ns = mem_new(memory, owes_bytes(count));
    c->tenants = mem_new(memory, tenants_bytes(count));
    c->begins = mem_new(memory, due_bytes(count));
    c->due = mem_new(memory, due_bytes(count));
    c->plan = mem_new(memory, (count + 1) * sizeof *c->plan);
    enum err e = OK;
    if (c->items == NULL || c->owes_ns == NULL || c->tenants == NULL || c->begins == NULL ||
        c->due == NULL || c->plan == NULL) {
        e = why_set(why, ERR_NOMEM, "not enough memory for rules");
    }
    for (uint32_t i = 0; e == OK && i < count; i++) {
        e = plan_entry(c, &c->plan[i], &groups[i], defaults, why);
    }
    if (e == OK && count > 0) qsort(c->plan, count, sizeof *c->plan, compare_planned);
    if (e == OK && (plan_readers(c) || plan_twins(c)))
        e = why_set(why, ERR_NOMEM, "not enough memory for rules");
    if (e)
        agenda_abandon(c);
    else
        *ret_change = c;
    return e;
}

/* Steps through the retired, which stand in the order of their keys, to where this key is or would
 * be: entries are retired and come back in that order, too, so that a reload passes them once. */
static void
seek_retired(struct agenda_entry ***link, const struct agenda_entry *e)
{
    while (**link != NULL && compare_entries(*link, &e) < 0) {
        *link = &(**link)->next;
    }
}

/* It left the configuration. */
static void
retire(struct agenda *a, struct agenda_entry ***link, struct agenda_entry *e, int64_t now_ns)
{
    e->retired_ns = now_ns;
    e->not_before_ns = env_monotonic_ns(a->host->env) + 2 * group_schedule(e->group)->interval_ns;
    seek_retired(link, e);
    e->next = **link;
    **link = e;
}

/* One that came back before what it wrote was marked stale. NULL: there is none. */
static struct agenda_entry *
unretire(struct agenda_entry ***link, const struct agenda_entry *e)
{
    seek_retired(link, e);
    struct agenda_entry **at = *link;
    while (*at != NULL && (*at)->ends && compare_entries(at, &e) == 0) {
        at = &(*at)->next;
    }
    struct agenda_entry *found = *at;
    if (found == NULL || compare_entries(at, &e) != 0) return NULL;
    *at = found->next;
    return found;
}

/* The state of the one of the same name passes on; if that never began, of the one before it. */
static void
inherit(struct agenda *a, struct agenda_entry ***retired, struct agenda_entry *e)
{
    struct agenda_entry *old = find_entry(a, group_tenant(e->group), group_text(e->group));
    bool is_retired = old == NULL;
    if (is_retired) old = unretire(retired, e);
    if (old == NULL) return;
    old->stays = true;
    e->from = old->from == NULL ? old : old->from;
    e->from->heir = e;
    if (old->from == NULL) return;
    old->from = NULL;
    if (is_retired)
        agenda_entry_free(a, old);
    else
        old->is_over = true;
}

static void
find_tenants(struct agenda *a)
{
    a->tenant_count = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        struct bytes tenant = group_tenant(a->items[i]->group);
        if (i == 0 || !bytes_equal(group_tenant(a->items[i - 1]->group), tenant)) {
            a->tenants[a->tenant_count++] = (struct agenda_tenant){.first = i};
        }
        a->tenants[a->tenant_count - 1].end = i + 1;
        a->items[i]->index = i;
        a->items[i]->tenant = a->tenant_count - 1;
        a->items[i]->is_listed = true;
    }
}

static void
take_items(struct agenda *a, struct agenda_change *c)
{
    struct budget *memory = a->host->memory;
    mem_free(memory, a->items, list_bytes(a->count));
    mem_free(memory, a->owes_ns, owes_bytes(a->count));
    mem_free(memory, a->tenants, tenants_bytes(a->count));
    mem_free(memory, a->begins.items, due_bytes(a->count));
    mem_free(memory, a->due.items, due_bytes(a->count));
    a->items = c->items;
    a->owes_ns = c->owes_ns;
    a->tenants = c->tenants;
    a->begins.items = c->begins;
    a->due.items = c->due;
    a->count = c->count;
    c->items = NULL;
    c->owes_ns = NULL;
    c->tenants = NULL;
    c->begins = c->due = NULL;
    find_tenants(a);
}

void
agenda_commit(struct agenda_change *c, const struct agenda_limits *limits, int64_t now_ns)
{
    struct agenda *a = c->agenda;
    struct agenda_entry **back = &a->retired, **gone = &a->retired;
    a->limits = *limits;
    for (uint32_t i = 0; i < a->count; i++) {
        a->items[i]->stays = a->items[i]->is_listed = false;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        struct planned *p = &c->plan[i];
        p->entry->reads_recorded = p->reads_recorded;
        group_note_recorded(p->entry->group, p->recorded);
        p->entry->stays = true;
        c->items[i] = p->entry;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->plan[i].is_new) inherit(a, &back, c->items[i]);
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->items[i]->is_over)
            agenda_entry_free(a, a->items[i]);
        else if (!a->items[i]->stays)
            retire(a, &gone, a->items[i], now_ns);
    }
    take_items(a, c);
    agenda_fill(a, now_ns, env_monotonic_ns(a->host->env));
    change_free(c);
}

/* --- looking ---------------------------------------------------------------------------------- */

void
agenda_each(struct agenda *a, struct bytes tenant, void (*each)(void *context, struct group *group),
            void *context)
{
    for (uint32_t i = 0; i < a->count; i++) {
        struct group *g = a->items[i]->group;
        if (tenant.at == NULL || bytes_equal(group_tenant(g), tenant)) each(context, g);
    }
}

void
agenda_each_owed(struct agenda *a, int64_t now_ns,
                 void (*each)(void *context, struct group *group, struct agenda_owed owed),
                 void *context)
{
    for (uint32_t i = 0; i < a->count; i++) {
        const struct agenda_entry *e = a->items[i];
        struct agenda_owed owed = {0, 0};
        int64_t slot;
        if (agenda_oldest_missing(a, e, now_ns, &slot)) {
            owed.oldest_ns = schedule_time_ns(group_schedule(e->group), slot);
            owed.missing = slots_missing(&e->settled, slot, agenda_slots_end(e));
        }
        each(context, e->group, owed);
    }
}

uint64_t
agenda_made_up(const struct agenda *a)
{
    return a->made_up;
}
