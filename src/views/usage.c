/*
 * usage.c - see usage.h. Each tenant has a table of metrics, and a list of them in the order of
 * their last use. The budget of the tenant is the only limit of its table: where a metric does not
 * fit, those at the end of the list are forgotten until it does.
 *
 * Counting takes the lock once for each metric of a view, which is little beside opening the view.
 * A table for each thread was not tried: it would need one more copy of all names.
 *
 * Invariants, guarded by usage->lock:
 *
 * 1. The list of a tenant has the metrics of its table, each once, and the latest used first.
 * 2. Items that are not in the list are in the list of free ones.
 */
#include "views/usage.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/lock.h"
#include "base/table.h"
#include "sys/env.h"

enum {
    ALL_BYTES_MAX = 32 << 20,
    TENANT_BYTES_MAX = 4 << 20, /* about 30,000 metrics */
};
#define NOWHERE UINT32_MAX

struct usage_item {
    uint8_t *name;
    uint32_t name_bytes;
    uint32_t newer, older; /* `older` also links free items */
    uint64_t hash;
    uint64_t counts[USAGE_KINDS];
    int64_t last_ms;
};

struct usage_tenant {
    struct budget budget;
    struct buf name;
    uint64_t hash;
    struct table table; /* of indexes of items */
    struct usage_item *items;
    uint32_t item_count, item_capacity;
    uint32_t newest, oldest, free; /* NOWHERE if there is none */
    int64_t since_ms;
};

struct usage {
    /* Immutable. */
    struct env *env;
    uint64_t seed;
    struct budget budget;
    int64_t begun_ms;

    struct lock lock;   /* LOCK_RANK_LEAF; guards to the end */
    struct table table; /* of indexes of tenants */
    struct usage_tenant **tenants;
    uint32_t tenant_count, tenant_capacity;
    int64_t since_ms; /* a tenant that is not in the table was not counted before */
};

enum err
usage_new(struct env *env, uint64_t seed, struct budget *memory, struct usage **ret_usage)
{
    struct usage *u = mem_new(NULL, sizeof *u);
    if (u == NULL) return ERR_NOMEM;
    u->env = env;
    u->seed = seed;
    budget_init(&u->budget, "usage", ALL_BYTES_MAX, memory);
    u->begun_ms = u->since_ms = env_realtime_ms(env);
    lock_init(&u->lock, LOCK_RANK_LEAF);
    *ret_usage = u;
    return OK;
}

static void
tenant_free(struct usage *u, struct usage_tenant *t)
{
    for (uint32_t i = 0; i < t->item_count; i++) {
        mem_free(&t->budget, t->items[i].name, t->items[i].name_bytes);
    }
    array_free(&t->budget, t->items, t->item_capacity);
    table_fini(&t->table, &t->budget);
    buf_fini(&t->name);
    mem_free(&u->budget, t, sizeof *t);
}

void
usage_free(struct usage *u)
{
    if (u == NULL) return;
    for (uint32_t i = 0; i < u->tenant_count; i++) {
        tenant_free(u, u->tenants[i]);
    }
    array_free(&u->budget, u->tenants, u->tenant_capacity);
    table_fini(&u->table, &u->budget);
    lock_fini(&u->lock);
    mem_free(NULL, u, sizeof *u);
}

const struct budget *
usage_budget(const struct usage *u)
{
    return &u->budget;
}

/* --- tenants ---------------------------------------------------------------------------------- */

/* NULL if the tenant has none. */
static struct usage_tenant *
tenant_find_locked(const struct usage *u, struct bytes name, uint64_t hash)
{
    for (uint32_t at = TABLE_START, id; table_next(&u->table, hash, &at, &id);) {
        if (bytes_equal(buf_bytes(&u->tenants[id]->name), name)) return u->tenants[id];
    }
    return NULL;
}

/* NULL without memory. */
static struct usage_tenant *
tenant_add_locked(struct usage *u, struct bytes name, uint64_t hash)
{
    struct usage_tenant *t = mem_new(&u->budget, sizeof *t);
    if (t == NULL) return NULL;
    budget_init(&t->budget, "usage", TENANT_BYTES_MAX, &u->budget);
    buf_init(&t->name, &t->budget, name.size + 1);
    buf_put_bytes(&t->name, name);
    if (buf_error(&t->name) ||
        !array_reserve(&u->budget, &u->tenants, &u->tenant_capacity, u->tenant_count + 1) ||
        !table_reserve(&u->table, &u->budget, 1)) {
        tenant_free(u, t);
        return NULL;
    }
    t->hash = hash;
    t->newest = t->oldest = t->free = NOWHERE;
    t->since_ms = u->since_ms;
    table_add(&u->table, hash, u->tenant_count);
    u->tenants[u->tenant_count++] = t;
    return t;
}

/* --- the list of a tenant --------------------------------------------------------------------- */

static void
unlink_item(struct usage_tenant *t, uint32_t id)
{
    struct usage_item *x = &t->items[id];
    assert((x->newer == NOWHERE) == (t->newest == id)); /* invariant 1 */
    assert((x->older == NOWHERE) == (t->oldest == id)); /* invariant 1 */
    if (x->newer == NOWHERE)
        t->newest = x->older;
    else
        t->items[x->newer].older = x->older;
    if (x->older == NOWHERE)
        t->oldest = x->newer;
    else
        t->items[x->older].newer = x->newer;
}

static void
link_newest(struct usage_tenant *t, uint32_t id)
{
    t->items[id].newer = NOWHERE;
    t->items[id].older = t->newest;
    if (t->newest == NOWHERE)
        t->oldest = id;
    else
        t->items[t->newest].newer = id;
    t->newest = id;
}

static void
forget_oldest(struct usage_tenant *t)
{
    uint32_t id = t->oldest;
    struct usage_item *x = &t->items[id];
    if (x->last_ms > t->since_ms) t->since_ms = x->last_ms;
    unlink_item(t, id);
    table_remove(&t->table, x->hash, id);
    mem_free(&t->budget, x->name, x->name_bytes);
    *x = (struct usage_item){.older = t->free}; /* invariant 2 */
    t->free = id;
}

/* False without memory. */
static bool
add_item(struct usage_tenant *t, struct bytes metric, uint64_t hash)
{
    bool has_item = t->free != NOWHERE ||
                    array_reserve(&t->budget, &t->items, &t->item_capacity, t->item_count + 1);
    if (!has_item || !table_reserve(&t->table, &t->budget, 1)) return false;
    uint8_t *name = mem_alloc(&t->budget, metric.size);
    if (name == NULL) return false;
    memcpy(name, metric.at, metric.size);
    uint32_t id = t->free;
    if (id == NOWHERE)
        id = t->item_count++;
    else
        t->free = t->items[id].older; /* invariant 2 */
    t->items[id] =
        (struct usage_item){.name = name, .name_bytes = (uint32_t)metric.size, .hash = hash};
    table_add(&t->table, hash, id);
    link_newest(t, id);
    return true;
}

static struct bytes
name_of(const struct usage_item *x)
{
    return bytes_of(x->name, x->name_bytes);
}

/* Returns the metric, which is the newest then, or NULL without memory for it. */
static struct usage_item *
item_of(struct usage_tenant *t, struct bytes metric)
{
    uint64_t hash = hash_bytes(metric, t->hash);
    for (uint32_t at = TABLE_START, id; table_next(&t->table, hash, &at, &id);) {
        if (!bytes_equal(name_of(&t->items[id]), metric)) continue;
        unlink_item(t, id);
        link_newest(t, id);
        return &t->items[id];
    }
    while (!add_item(t, metric, hash)) {
        if (t->oldest == NOWHERE) return NULL;
        forget_oldest(t);
    }
    return &t->items[t->newest];
}

void
usage_note(struct usage *u, struct bytes tenant, struct bytes metric, enum usage_kind kind)
{
    int64_t now_ms = env_realtime_ms(u->env);
    uint64_t hash = hash_bytes(tenant, u->seed);
    if (metric.size == 0 || metric.size > UINT32_MAX) return;
    lock_take(&u->lock);
    struct usage_tenant *t = tenant_find_locked(u, tenant, hash);
    if (t == NULL) t = tenant_add_locked(u, tenant, hash);
    struct usage_item *x = t == NULL ? NULL : item_of(t, metric);
    if (x != NULL) {
        x->counts[kind]++;
        x->last_ms = now_ms;
    } else if (t != NULL) {
        t->since_ms = now_ms;
    } else {
        u->since_ms = now_ms;
    }
    lock_drop(&u->lock);
}

/* --- lists ------------------------------------------------------------------------------------ */

static uint64_t
total(const struct metric_usage *m)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < USAGE_KINDS; k++) {
        sum += m->counts[k];
    }
    return sum;
}

static int
compare_usage(const void *a, const void *b)
{
    const struct metric_usage *x = a, *y = b;
    uint64_t first = total(x), second = total(y);
    if (first != second) return first > second ? -1 : 1;
    return bytes_compare(x->metric, y->metric);
}

/* Copies the metrics of a tenant. */
static enum err
copy_items(const struct usage_tenant *t, struct arena *arena, struct usage_list *ret)
{
    ret->since_ms = t->since_ms;
    ret->metrics = arena_alloc(arena, (t->item_count + (size_t)1) * sizeof *ret->metrics);
    if (ret->metrics == NULL) return ERR_NOMEM;
    for (uint32_t id = t->newest; id != NOWHERE; id = t->items[id].older) {
        const struct usage_item *x = &t->items[id];
        struct metric_usage *m = &ret->metrics[ret->count++];
        assert(ret->count <= t->item_count); /* invariant 1 */
        *m = (struct metric_usage){.metric = arena_copy(arena, name_of(x)), .last_ms = x->last_ms};
        if (m->metric.at == NULL) return ERR_NOMEM;
        memcpy(m->counts, x->counts, sizeof m->counts);
    }
    return OK;
}

enum err
usage_list(struct usage *u, struct bytes tenant, struct arena *arena, struct usage_list *ret)
{
    struct usage_list list = {.begun_ms = u->begun_ms};
    uint64_t hash = hash_bytes(tenant, u->seed);
    enum err e = OK;
    lock_take(&u->lock);
    const struct usage_tenant *t = tenant_find_locked(u, tenant, hash);
    list.since_ms = u->since_ms;
    if (t != NULL) e = copy_items(t, arena, &list);
    lock_drop(&u->lock);
    if (e) return e;
    if (list.count > 0) qsort(list.metrics, list.count, sizeof *list.metrics, compare_usage);
    *ret = list;
    return OK;
}
