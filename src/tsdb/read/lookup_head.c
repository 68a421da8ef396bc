/*
 * lookup_head.c - names and values of labels of the series that a query selects in the head.
 *
 * If few series are selected, their pairs are gathered. Otherwise each pair whose text is wanted is
 * checked for a selected series with a sample in the time range. The head lock is dropped now and
 * then, so that writers can go on.
 */
#include <assert.h>
#include <roaring/roaring.h>

#include "tsdb/read/lookup_private.h"

enum {
    IDS_AT_ONCE = 512,
    CHECKED_AT_ONCE = 1024,
    PAIRS_AT_ONCE = 32,
    FEW = 64, /* at most one selected series in as many counts as few */
};

struct head_lookup {
    struct store_query *q;
    const struct query_source *s;
    struct lookup_texts *texts;
    bool alone;       /* the set has texts of this registry only, which has each once */
    uint32_t checked; /* series since the lock was dropped */

    /* If few series are selected: */
    uint32_t pair_count;   /* pairs of the registry */
    uint64_t *wanted;      /* bits by pair: no series with it was found so far */
    uint32_t wanted_count; /* set bits; with label names, an upper bound */
};

static enum err
add_value(const struct head_lookup *x, struct bytes value)
{
    return x->alone ? texts_add_another(x->texts, value) : texts_add(x->texts, value);
}

/* --- pair by pair; the head lock is held ------------------------------------------------------ */

/* Finds out whether any selected series with the label has a sample in the time range. */
static enum err
pair_counts(struct head_lookup *x, uint32_t pair, bool *ret_counts, struct why *why)
{
    struct store_query *q = x->q;
    const roaring_bitmap_t *matched = x->s->matched;
    uint32_t id;
    struct id_walk walk = id_list_walk(&registry_pair_use(x->s->registry, pair)->series);
    q->found = false;
    while (!q->found && id_walk_next(&walk, &id)) {
        if (matched == NULL || roaring_bitmap_contains(matched, id)) {
            enum err e = query_find_samples(q, x->s, id);
            if (e) return e;
        }
        if (++x->checked < CHECKED_AT_ONCE) continue;
        x->checked = 0;
        lock_drop(&q->head->lock);
        enum err e = query_control_check(q->control, why);
        lock_take(&q->head->lock);
        if (e == OK) e = store_view_check(q->view, why);
        if (e) return e;
    }
    *ret_counts = q->found;
    return OK;
}

/* Prefetches the memory that pair_counts() and the text of a pair touch, for many at once. */
static void
prefetch_pairs(const struct head_lookup *x, const uint32_t *pairs, uint32_t count)
{
    const struct registry *r = x->s->registry;
    for (uint32_t i = 0; i < count; i++) {
        __builtin_prefetch(registry_pair_use(r, pairs[i]));
        __builtin_prefetch(registry_pair(r, pairs[i]));
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct id_list *series = &registry_pair_use(r, pairs[i])->series;
        __builtin_prefetch(registry_pair(r, pairs[i])->field);
        for (unsigned g = 0; g < 2 && series->count > 0; g++) {
            if (x->s->gens[g] == NULL) continue;
            __builtin_prefetch(gen_series(x->s->gens[g], series->first_id));
        }
    }
}

static enum err
values_by_pair(struct head_lookup *x, const struct registry_name *name, struct why *why)
{
    uint32_t pairs[PAIRS_AT_ONCE], count;
    struct id_walk walk = id_list_walk(&name->pairs);
    enum err e = OK;
    while (e == OK && (count = id_walk_read(&walk, pairs, PAIRS_AT_ONCE)) > 0) {
        prefetch_pairs(x, pairs, count);
        for (uint32_t i = 0; i < count && e == OK; i++) {
            struct bytes value = pair_label(registry_pair(x->s->registry, pairs[i])).value;
            bool counts;
            if (!texts_want(x->texts, value)) continue;
            e = pair_counts(x, pairs[i], &counts, why);
            if (e == OK && counts) e = add_value(x, value);
        }
    }
    return e;
}

static enum err
names_by_pair(struct head_lookup *x, const struct registry_tenant *tenant, struct why *why)
{
    uint32_t id, pair;
    struct id_walk names = id_list_walk(&tenant->names);
    enum err e = OK;
    while (e == OK && id_walk_next(&names, &id)) {
        const struct registry_name *name = registry_name(x->s->registry, id);
        struct id_walk pairs = id_list_walk(&name->pairs);
        bool counts = false;
        while (e == OK && !counts && id_walk_next(&pairs, &pair)) {
            e = pair_counts(x, pair, &counts, why);
        }
        if (e == OK && counts) e = texts_add(x->texts, name->text);
    }
    return e;
}

static enum err
look_by_pair(struct head_lookup *x, const struct bytes *name, struct why *why)
{
    const struct store_query *q = x->q;
    lock_take(&q->head->lock);
    enum err e = store_view_check(q->view, why);
    const struct registry_tenant *t = registry_tenant(x->s->registry, q->tenant);
    if (e == OK && t != NULL && name == NULL) e = names_by_pair(x, t, why);
    if (e == OK && t != NULL && name != NULL) {
        const struct registry_name *n = registry_find_name(x->s->registry, q->tenant, *name);
        if (n != NULL) e = values_by_pair(x, n, why);
    }
    lock_drop(&q->head->lock);
    return e;
}

/* --- series by series ------------------------------------------------------------------------- */

static bool
is_wanted(const struct head_lookup *x, uint32_t pair)
{
    return pair < x->pair_count && (x->wanted[pair / 64] >> pair % 64 & 1) != 0;
}

static struct id_walk
walk_pairs(const struct store_query *q, const struct registry_name *name)
{
    lock_take(&q->head->lock);
    struct id_walk walk = name == NULL ? (struct id_walk){0} : id_list_walk(&name->pairs);
    lock_drop(&q->head->lock);
    return walk;
}

/* Clears the bits of the pairs that the series have. */
static enum err
strike_pairs(struct head_lookup *x, const uint32_t *ids, uint32_t count, struct why *why)
{
    struct store_query *q = x->q;
    lock_take(&q->head->lock);
    enum err e = store_view_check(q->view, why);
    for (uint32_t i = 0; i < count && x->wanted_count > 0 && e == OK; i++) {
        const struct series_pairs *row = registry_series(x->s->registry, ids[i])->pairs;
        bool news = false;
        for (uint32_t p = 0; p < row->count && !news; p++) {
            news = is_wanted(x, row->ids[p]);
        }
        if (!news) continue;
        q->found = false;
        e = query_find_samples(q, x->s, ids[i]);
        for (uint32_t p = 0; p < row->count && q->found; p++) {
            if (!is_wanted(x, row->ids[p])) continue;
            x->wanted[row->ids[p] / 64] &= ~(UINT64_C(1) << row->ids[p] % 64);
            assert(x->wanted_count > 0);
            x->wanted_count--;
        }
    }
    lock_drop(&q->head->lock);
    return e;
}

/* Adds the values of a name's pairs that were struck out; with `names` the name, if any was. */
static enum err
add_struck(const struct head_lookup *x, const struct registry_name *name, bool names)
{
    uint32_t id;
    enum err e = OK;
    struct id_walk walk = walk_pairs(x->q, name);
    while (e == OK && id_walk_next(&walk, &id)) {
        if (id >= x->pair_count || is_wanted(x, id)) continue;
        if (names) return texts_add(x->texts, name->text);
        e = add_value(x, pair_label(registry_pair(x->s->registry, id)).value);
    }
    return e;
}

static enum err
add_struck_names(const struct head_lookup *x)
{
    const struct store_query *q = x->q;
    lock_take(&q->head->lock);
    const struct registry_tenant *t = registry_tenant(x->s->registry, q->tenant);
    struct id_walk names = t == NULL ? (struct id_walk){0} : id_list_walk(&t->names);
    lock_drop(&q->head->lock);
    uint32_t id;
    enum err e = OK;
    while (e == OK && id_walk_next(&names, &id)) {
        lock_take(&q->head->lock);
        const struct registry_name *name = registry_name(x->s->registry, id);
        lock_drop(&q->head->lock);
        e = add_struck(x, name, true);
    }
    return e;
}

static enum err
look_by_series(struct head_lookup *x, const struct bytes *name, struct why *why)
{
    struct store_query *q = x->q;
    const struct registry_name *known = NULL;
    lock_take(&q->head->lock); /* all pairs of the series selected are below */
    x->pair_count = x->s->registry->pairs.count;
    if (name != NULL) known = registry_find_name(x->s->registry, q->tenant, *name);
    lock_drop(&q->head->lock);
    if (name != NULL && known == NULL) return OK;
    size_t size = (x->pair_count / 64 + 1) * sizeof(uint64_t);
    x->wanted = mem_new(q->budget, size);
    if (x->wanted == NULL) return ERR_NOMEM;
    /* Sets the bits of the pairs of one name, or all. */
    bool all = name == NULL;
    uint32_t id, ids[IDS_AT_ONCE], count;
    struct id_walk walk = walk_pairs(q, known);
    x->wanted_count = all ? UINT32_MAX : 0;
    if (all) memset(x->wanted, 0xff, size);
    while (id_walk_next(&walk, &id)) {
        if (id >= x->pair_count) continue;
        x->wanted[id / 64] |= UINT64_C(1) << id % 64;
        x->wanted_count++;
    }
    enum err e = OK;
    roaring_uint32_iterator_t it;
    roaring_init_iterator(x->s->matched, &it);
    while (e == OK && x->wanted_count > 0 &&
           (count = roaring_read_uint32_iterator(&it, ids, IDS_AT_ONCE)) > 0) {
        e = strike_pairs(x, ids, count, why);
        if (e == OK) e = query_control_check(q->control, why);
    }
    if (e == OK) e = all ? add_struck_names(x) : add_struck(x, known, false);
    mem_free(q->budget, x->wanted, size);
    return e;
}

enum err
lookup_head(struct store_query *q, const struct query_source *s, const struct bytes *name,
            struct lookup_texts *texts, struct why *why)
{
    struct head_lookup x = {.q = q, .s = s, .texts = texts, .alone = texts->count == 0};
    if (s->matched == NULL) return look_by_pair(&x, name, why);
    lock_take(&q->head->lock);
    const struct registry_tenant *t = registry_tenant(s->registry, q->tenant);
    uint32_t series_count = t == NULL ? 0 : t->series.count;
    lock_drop(&q->head->lock);
    bool few = roaring_bitmap_get_cardinality(s->matched) < series_count / FEW;
    return few ? look_by_series(&x, name, why) : look_by_pair(&x, name, why);
}
