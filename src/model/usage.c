/*
 * usage.c - see usage.h. One table has the metrics of all tenants.
 *
 * Noting takes the lock for each selector, and when the name of the series that a query reads
 * changes: names are first among the labels of most series, so that series of one name follow each
 * other. That is little beside opening a set of series.
 */
#include "model/usage.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/lock.h"
#include "base/table.h"
#include "model/tenant_name.h"
#include "sys/env.h"

enum { BYTES_MAX = 32 << 20 }; /* about 130,000 metrics */

struct usage_item {
    uint8_t *text; /* the tenant, then the metric */
    uint32_t tenant_bytes, metric_bytes;
    uint64_t hash;
    uint64_t counts[USAGE_KINDS];
    int64_t last_ms;
    uint64_t last_id; /* control->usage_id of the last use */
};

struct usage {
    /* Immutable. */
    struct env *env;
    uint64_t seed;
    struct budget budget;
    int64_t begun_ms;

    struct lock lock;   /* LOCK_RANK_LEAF; guards to the end */
    struct table table; /* of indexes of items */
    struct usage_item *items;
    uint32_t count, capacity;
    uint64_t ids; /* controls that have counted */
    int64_t since_ms;
};

enum err
usage_new(struct env *env, uint64_t seed, struct budget *memory, struct usage **ret_usage)
{
    struct usage *u = mem_new(NULL, sizeof *u);
    if (u == NULL) return ERR_NOMEM;
    u->env = env;
    u->seed = seed;
    budget_init(&u->budget, "usage", BYTES_MAX, memory);
    u->begun_ms = u->since_ms = env_realtime_ms(env);
    lock_init(&u->lock, LOCK_RANK_LEAF);
    *ret_usage = u;
    return OK;
}

static void
free_items_from(struct usage *u, uint32_t first)
{
    for (uint32_t i = first; i < u->count; i++) {
        const struct usage_item *x = &u->items[i];
        if (x->last_ms > u->since_ms) u->since_ms = x->last_ms;
        mem_free(&u->budget, x->text, (size_t)x->tenant_bytes + x->metric_bytes);
    }
    u->count = first;
}

void
usage_free(struct usage *u)
{
    if (u == NULL) return;
    free_items_from(u, 0);
    array_free(&u->budget, u->items, u->capacity);
    table_fini(&u->table, &u->budget);
    lock_fini(&u->lock);
    mem_free(NULL, u, sizeof *u);
}

const struct budget *
usage_budget(const struct usage *u)
{
    return &u->budget;
}

/* --- counting --------------------------------------------------------------------------------- */

static struct bytes
tenant_of(const struct usage_item *x)
{
    return bytes_of(x->text, x->tenant_bytes);
}

static struct bytes
metric_of(const struct usage_item *x)
{
    return bytes_of(x->text + x->tenant_bytes, x->metric_bytes);
}

static int
latest_first(const void *a, const void *b)
{
    const struct usage_item *x = a, *y = b;
    return x->last_ms > y->last_ms ? -1 : x->last_ms < y->last_ms;
}

/* NULL without memory. */
static struct usage_item *
find_or_add_locked(struct usage *u, struct bytes tenant, struct bytes metric, uint64_t hash)
{
    uint8_t *text = NULL;
    for (uint32_t at = TABLE_START, id; table_next(&u->table, hash, &at, &id);) {
        struct usage_item *x = &u->items[id];
        if (bytes_equal(metric_of(x), metric) && bytes_equal(tenant_of(x), tenant)) return x;
    }
    while (!array_reserve(&u->budget, &u->items, &u->capacity, u->count + 1) ||
           !table_reserve(&u->table, &u->budget, 1) ||
           (text = mem_alloc(&u->budget, tenant.size + metric.size)) == NULL) {
        if (u->count == 0) return NULL;
        /* Forgets the half that was not asked for the longest time. */
        qsort(u->items, u->count, sizeof *u->items, latest_first);
        free_items_from(u, u->count / 2);
        table_clear(&u->table);
        for (uint32_t i = 0; i < u->count; i++)
            table_add(&u->table, u->items[i].hash, i);
    }
    if (tenant.size > 0) memcpy(text, tenant.at, tenant.size);
    memcpy(text + tenant.size, metric.at, metric.size);
    table_add(&u->table, hash, u->count);
    struct usage_item *x = &u->items[u->count++];
    *x = (struct usage_item){.text = text,
                             .tenant_bytes = (uint32_t)tenant.size,
                             .metric_bytes = (uint32_t)metric.size,
                             .hash = hash};
    return x;
}

static void
note(struct query_control *c, struct bytes tenant, struct bytes metric)
{
    struct usage *u = c->usage;
    int64_t now_ms = env_realtime_ms(u->env);
    uint64_t hash = hash_bytes(metric, hash_bytes(tenant, u->seed));
    if (metric.size == 0 || metric.size > UINT32_MAX) return;
    /* Relaxed: at worst the lock is taken for a metric that was counted. */
    if (atomic_exchange_explicit(&c->usage_hash, hash, memory_order_relaxed) == hash) return;
    lock_take(&u->lock);
    if (c->usage_id == 0) c->usage_id = ++u->ids;
    struct usage_item *x = find_or_add_locked(u, tenant, metric, hash);
    if (x == NULL) {
        u->since_ms = now_ms;
    } else if (x->last_id != c->usage_id) {
        x->counts[c->usage_kind]++;
        x->last_ms = now_ms;
        x->last_id = c->usage_id;
    }
    lock_drop(&u->lock);
}

void
usage_note(const struct query_request *r)
{
    struct bytes names = r->tenant, tenant;
    if (r->control == NULL || r->control->usage == NULL) return;
    while (tenants_next(&names, &tenant)) {
        for (uint32_t i = 0; i < r->set_count; i++) {
            const struct matcher_set *set = &r->sets[i];
            for (uint32_t k = 0; k < set->count; k++) {
                const struct matcher *m = set->matchers[k];
                if (matcher_type(m) == MATCH_EQUAL && bytes_equal_text(matcher_name(m), "__name__"))
                    note(r->control, tenant, matcher_pattern(m));
            }
        }
    }
}

void
usage_note_series(struct query_control *control, struct bytes tenant, struct bytes labels)
{
    if (control == NULL || control->usage == NULL) return;
    struct bytes one = tenants_first(tenant);
    if (one.size < tenant.size) {
        struct bytes label = labels_get(labels, bytes_of_text(TENANT_LABEL));
        if (label.size > 0) one = label; /* else the list has one name, twice */
    }
    note(control, one, labels_get(labels, bytes_of_text("__name__")));
}

/* --- lists ------------------------------------------------------------------------------------ */

static uint64_t
total(const struct metric_usage *m)
{
    return m->counts[USAGE_QUERY] + m->counts[USAGE_RULE] + m->counts[USAGE_LOOKUP];
}

static int
most_used_first(const void *a, const void *b)
{
    const struct metric_usage *x = a, *y = b;
    if (total(x) != total(y)) return total(x) > total(y) ? -1 : 1;
    return bytes_compare(x->metric, y->metric);
}

enum err
usage_list(struct usage *u, struct bytes tenant, struct arena *arena, struct usage_list *ret)
{
    struct usage_list list = {.begun_ms = u->begun_ms};
    enum err e = OK;
    lock_take(&u->lock);
    list.since_ms = u->since_ms;
    for (uint32_t i = 0; i < u->count && e == OK; i++) {
        const struct usage_item *x = &u->items[i];
        if (!bytes_equal(tenant_of(x), tenant)) continue;
        struct metric_usage m = {.metric = arena_copy(arena, metric_of(x)), .last_ms = x->last_ms};
        memcpy(m.counts, x->counts, sizeof m.counts);
        struct metric_usage *grown = arena_push(arena, list.metrics, list.count, sizeof m);
        if (m.metric.at == NULL || grown == NULL) e = ERR_NOMEM;
        if (e == OK) list.metrics = grown;
        if (e == OK) list.metrics[list.count++] = m;
    }
    lock_drop(&u->lock);
    if (e) return e;
    if (list.count > 0) qsort(list.metrics, list.count, sizeof *list.metrics, most_used_first);
    *ret = list;
    return OK;
}
