/*
 * head_match.c - selects the series of the head that pass matchers, by the index of their registry.
 * The head lock is taken for a few steps at a time, so that writers can go on.
 */
#include "tsdb/read/select_private.h"

#include <assert.h>
#include <roaring/roaring.h>

enum {
    NS_BETWEEN_CHECKS = 2 * 1000 * 1000, /* longest matching between two checks */
    WALKS_AT_ONCE = 256,
    IDS_AT_ONCE = 1024,
    LIST_WORTH = 4, /* adding so many series to a set costs as much as the pairs of one */
};

struct head_match {
    struct head *head;
    const struct registry *registry;
    uint32_t tenant;
    struct query_control *control; /* may be NULL */
    struct why *why;
    uint32_t pairs[WALKS_AT_ONCE]; /* found by the current matcher, to be added to `found` */
    uint32_t pair_count;
    roaring_bitmap_t *found; /* pairs found by the current matcher */
    uint64_t series_total;   /* series of the pairs in `found` */
};

static void
add_walk(struct id_walk *walk, roaring_bitmap_t *into)
{
    uint32_t ids[IDS_AT_ONCE], count;
    while ((count = id_walk_read(walk, ids, IDS_AT_ONCE)) > 0)
        roaring_bitmap_add_many(into, count, ids);
}

/* Moves `pairs` to `found`, taking the lock once for many of them. */
static void
pairs_out(struct head_match *m)
{
    lock_take(&m->head->lock);
    for (uint32_t i = 0; i < m->pair_count; i++)
        m->series_total += registry_pair_use(m->registry, m->pairs[i])->series.count;
    lock_drop(&m->head->lock);
    roaring_bitmap_add_many(m->found, m->pair_count, m->pairs);
    m->pair_count = 0;
}

static void
add_pair(struct head_match *m, uint32_t pair)
{
    if (m->pair_count == WALKS_AT_ONCE) pairs_out(m);
    assert(m->pair_count < WALKS_AT_ONCE);
    m->pairs[m->pair_count++] = pair;
}

/* Adds the series of the pairs in `found`. */
static void
add_series(struct head_match *m, roaring_bitmap_t *into)
{
    roaring_uint32_iterator_t it;
    struct id_walk walks[WALKS_AT_ONCE];
    uint32_t pairs[WALKS_AT_ONCE], count;
    roaring_init_iterator(m->found, &it);
    while ((count = roaring_read_uint32_iterator(&it, pairs, WALKS_AT_ONCE)) > 0) {
        lock_take(&m->head->lock);
        for (uint32_t i = 0; i < count; i++)
            walks[i] = id_list_walk(&registry_pair_use(m->registry, pairs[i])->series);
        lock_drop(&m->head->lock);
        for (uint32_t i = 0; i < count; i++)
            add_walk(&walks[i], into);
    }
}

/* Finds the pairs of all values of the name for which matching gives `want`. */
static enum err
collect_scan(struct head_match *m, const struct matcher *matcher, bool want)
{
    lock_take(&m->head->lock);
    const struct registry_name *name =
        registry_find_name(m->registry, m->tenant, matcher_name(matcher));
    struct id_walk walk = name == NULL ? (struct id_walk){0} : id_list_walk(&name->pairs);
    lock_drop(&m->head->lock);
    uint32_t id;
    uint64_t work = 0;
    for (uint32_t i = 0; id_walk_next(&walk, &id); i++) {
        struct bytes value = pair_label(registry_pair(m->registry, id)).value;
        if (matcher_matches(matcher, value) == want) add_pair(m, id);
        work += matcher_work(matcher, value);
        if (i % WALKS_AT_ONCE != 0 && work < NS_BETWEEN_CHECKS) continue;
        work = 0;
        enum err e = query_control_check(m->control, m->why);
        if (e) return e;
    }
    return OK;
}

/* Finds the pairs of known values by look-ups. */
static enum err
collect_literals(struct head_match *m, const struct matcher *matcher, const struct bytes *values,
                 uint32_t count)
{
    struct buf scratch;
    buf_init(&scratch, NULL, 64 * 1024 * 1024);
    enum err e = OK;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        if (values[i].size == 0) continue; /* nothing is stored with an empty value */
        struct label label = {matcher_name(matcher), values[i]};
        uint32_t pair;
        lock_take(&m->head->lock);
        bool found = registry_find_pair(m->registry, m->tenant, label, &scratch, &pair);
        lock_drop(&m->head->lock);
        e = buf_error(&scratch);
        if (found) add_pair(m, pair);
        if (e == OK && i % WALKS_AT_ONCE == 0) e = query_control_check(m->control, m->why);
    }
    buf_fini(&scratch);
    return e;
}

/* Gives the values that a positive matcher selects, or a negative one excludes; 0 if the matcher
 * does not list them. */
static uint32_t
known_values(const struct matcher *matcher, const struct bytes **ret_values)
{
    enum matcher_type type = matcher_type(matcher);
    bool negative = type == MATCH_NOT_EQUAL || type == MATCH_NOT_REGEX;
    uint32_t count = matcher_literals(matcher, ret_values);
    return negative == matcher_matches_empty(matcher) ? count : 0;
}

/* Adds all series of the tenant: the matchers that follow exclude from them. */
static void
match_all(struct head_match *m, roaring_bitmap_t *set)
{
    lock_take(&m->head->lock);
    const struct registry_tenant *t = registry_tenant(m->registry, m->tenant);
    struct id_walk all = t == NULL ? (struct id_walk){0} : id_list_walk(&t->series);
    lock_drop(&m->head->lock);
    add_walk(&all, set);
}

/*
 * One step of a selection; `result` is empty before the first one. A matcher that passes the empty
 * string excludes the series with a value it does not pass; any other selects the series with a
 * value it passes.
 */
static enum err
select_step(struct head_match *m, const struct matcher *matcher, bool first,
            roaring_bitmap_t *result)
{
    bool excludes = matcher_matches_empty(matcher);
    if (first && excludes) match_all(m, result);
    /* The pairs of the values for which it selects a series, or excludes it. */
    const struct bytes *values;
    uint32_t count = known_values(matcher, &values);
    roaring_bitmap_clear(m->found);
    m->series_total = 0;
    enum err e = count > 0 ? collect_literals(m, matcher, values, count)
                           : collect_scan(m, matcher, !excludes);
    pairs_out(m);
    if (e) return e;
    if (first && !excludes) {
        add_series(m, result);
        return OK;
    }
    if (m->series_total / LIST_WORTH > roaring_bitmap_get_cardinality(result)) {
        /* Few are left: looks at the pairs of each, and removes those that have, or do not have,
         * one that was found. */
        roaring_uint32_iterator_t it;
        roaring_bitmap_t *gone = roaring_bitmap_create();
        if (gone == NULL) return ERR_NOMEM;
        roaring_init_iterator(result, &it);
        for (; it.has_value; roaring_advance_uint32_iterator(&it)) {
            const struct series_pairs *row = registry_series(m->registry, it.current_value)->pairs;
            bool has = false;
            for (uint32_t p = 0; p < row->count && !has; p++)
                has = roaring_bitmap_contains(m->found, row->ids[p]);
            if (has == excludes) roaring_bitmap_add(gone, it.current_value);
        }
        roaring_bitmap_andnot_inplace(result, gone);
        roaring_bitmap_free(gone);
        return OK;
    }
    roaring_bitmap_t *set = roaring_bitmap_create();
    if (set == NULL) return ERR_NOMEM;
    add_series(m, set);
    if (excludes)
        roaring_bitmap_andnot_inplace(result, set);
    else
        roaring_bitmap_and_inplace(result, set);
    roaring_bitmap_free(set);
    return OK;
}

enum turn { TURN_KNOWN, TURN_OTHER, TURN_EXCLUDES, TURNS };

/* Matchers with known values come first, then other values, then those that exclude: mostly each
 * leaves less for the next. */
static enum turn
turn_of(const struct matcher *matcher)
{
    const struct bytes *values;
    if (matcher_matches_empty(matcher)) return TURN_EXCLUDES;
    return known_values(matcher, &values) > 0 ? TURN_KNOWN : TURN_OTHER;
}

/*
 * Finds the matcher of known values that the fewest series pass: if it comes first, not all series
 * of the others are visited. Only matchers of a few values are compared, since their values are
 * looked up twice. *ret_index is set->count if the order does not matter.
 */
static enum err
find_fewest(struct head_match *m, const struct matcher_set *set, uint32_t *ret_index)
{
    enum { LOOKED_UP_TWICE_MAX = 64 };
    uint32_t known = 0;
    uint64_t fewest = UINT64_MAX;
    *ret_index = set->count;
    for (uint32_t i = 0; i < set->count; i++)
        known += turn_of(set->matchers[i]) == TURN_KNOWN;
    for (uint32_t i = 0; i < set->count && known > 1; i++) {
        if (turn_of(set->matchers[i]) != TURN_KNOWN) continue;
        const struct bytes *values;
        uint32_t count = known_values(set->matchers[i], &values);
        if (count > LOOKED_UP_TWICE_MAX) continue;
        m->series_total = 0;
        enum err e = collect_literals(m, set->matchers[i], values, count);
        pairs_out(m);
        if (e) return e;
        if (m->series_total >= fewest) continue;
        fewest = m->series_total;
        *ret_index = i;
    }
    return OK;
}

static enum err
select_set(struct head_match *m, const struct matcher_set *set, roaring_bitmap_t *result)
{
    uint32_t fewest;
    enum err e = find_fewest(m, set, &fewest);
    bool first = fewest == set->count;
    if (e == OK && !first) e = select_step(m, set->matchers[fewest], true, result);
    if (e) return e;
    for (enum turn turn = 0; turn < TURNS; turn++) {
        for (uint32_t i = 0; i < set->count; i++) {
            const struct matcher *matcher = set->matchers[i];
            if (i == fewest || turn_of(matcher) != turn) continue;
            if (!first && roaring_bitmap_is_empty(result)) break;
            e = select_step(m, matcher, first, result);
            if (e) return e;
            first = false;
        }
    }
    if (first) match_all(m, result);
    return OK;
}

enum err
head_select(const struct store_query *q, const struct registry *registry, roaring_bitmap_t **ret,
            struct why *why)
{
    struct head_match m = {.head = q->head,
                           .registry = registry,
                           .tenant = q->tenant,
                           .control = q->control,
                           .why = why,
                           .found = roaring_bitmap_create()};
    roaring_bitmap_t *result = roaring_bitmap_create();
    enum err e = result == NULL || m.found == NULL ? ERR_NOMEM : OK;
    if (e == OK && q->request->set_count == 0) match_all(&m, result);
    for (uint32_t i = 0; i < q->request->set_count && e == OK; i++) {
        roaring_bitmap_t *set = i == 0 ? result : roaring_bitmap_create();
        e = set == NULL ? ERR_NOMEM : select_set(&m, &q->request->sets[i], set);
        if (set == result || set == NULL) continue;
        roaring_bitmap_or_inplace(result, set);
        roaring_bitmap_free(set);
    }
    if (m.found != NULL) roaring_bitmap_free(m.found);
    if (e && result != NULL) roaring_bitmap_free(result);
    *ret = result;
    return e;
}
