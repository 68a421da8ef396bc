/*
 * select_head.c - the series of the head that pass matchers, by the index of their registry. The
 * head lock is taken for a few steps at a time: others write meanwhile.
 */
#include "tsdb/select_private.h"

enum { WALKS_AT_ONCE = 256, IDS_AT_ONCE = 1024 };

struct head_match {
    struct tsdb *db;
    const struct registry *registry;
    uint32_t tenant;
    struct query_control *control; /* may be NULL */
    struct why *why;
    uint32_t pairs[WALKS_AT_ONCE]; /* those whose series are wanted next */
    uint32_t pair_count;
};

static void
add_walk(struct id_walk *walk, roaring_bitmap_t *into)
{
    uint32_t ids[IDS_AT_ONCE], count;
    while ((count = id_walk_read(walk, ids, IDS_AT_ONCE)) > 0) {
        roaring_bitmap_add_many(into, count, ids);
    }
}

/* The lock once for many of them: others write meanwhile. */
static void
add_pairs_series(struct head_match *m, roaring_bitmap_t *into)
{
    struct id_walk walks[WALKS_AT_ONCE];
    lock_take(&m->db->head_lock);
    for (uint32_t i = 0; i < m->pair_count; i++) {
        walks[i] = id_list_walk(&registry_pair_use(m->registry, m->pairs[i])->series);
    }
    lock_drop(&m->db->head_lock);
    for (uint32_t i = 0; i < m->pair_count; i++) {
        add_walk(&walks[i], into);
    }
    m->pair_count = 0;
}

static void
add_pair(struct head_match *m, uint32_t pair, roaring_bitmap_t *into)
{
    if (m->pair_count == WALKS_AT_ONCE) add_pairs_series(m, into);
    m->pairs[m->pair_count++] = pair;
}

/* Adds the series of all values of the name for which matching gives `want`. */
static enum err
collect_scan(struct head_match *m, const struct matcher *matcher, bool want, roaring_bitmap_t *into)
{
    lock_take(&m->db->head_lock);
    const struct registry_name *name =
        registry_find_name(m->registry, m->tenant, matcher_name(matcher));
    struct id_walk walk = name == NULL ? (struct id_walk){0} : id_list_walk(&name->pairs);
    lock_drop(&m->db->head_lock);
    uint32_t id;
    for (uint32_t i = 0; id_walk_next(&walk, &id); i++) {
        const struct pair *pair = registry_pair(m->registry, id);
        if (matcher_matches(matcher, pair_label(pair).value) == want) add_pair(m, id, into);
        if (i % WALKS_AT_ONCE != 0 || m->control == NULL) continue;
        enum err e = query_control_check(m->control, m->why);
        if (e) return e;
    }
    return OK;
}

/* The same by look-ups, where the values are known. */
static enum err
collect_literals(struct head_match *m, const struct matcher *matcher, const struct bytes *values,
                 uint32_t count, roaring_bitmap_t *into)
{
    struct buf scratch;
    buf_init(&scratch, NULL, 64 * 1024 * 1024);
    enum err e = OK;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        if (values[i].size == 0) continue; /* nothing is stored with an empty value */
        struct label label = {matcher_name(matcher), values[i]};
        uint32_t pair;
        lock_take(&m->db->head_lock);
        bool found = registry_find_pair(m->registry, m->tenant, label, &scratch, &pair);
        lock_drop(&m->db->head_lock);
        e = buf_error(&scratch);
        if (found) add_pair(m, pair, into);
    }
    buf_fini(&scratch);
    return e;
}

/*
 * A matcher that passes the empty string excludes the series with a value it does not pass; any
 * other selects the series with a value it passes. The set of those.
 */
static enum err
match_one(struct head_match *m, const struct matcher *matcher, roaring_bitmap_t *set)
{
    bool excludes = matcher_matches_empty(matcher);
    bool negative =
        matcher_type(matcher) == MATCH_NOT_EQUAL || matcher_type(matcher) == MATCH_NOT_REGEX;
    const struct bytes *values;
    uint32_t count = matcher_literals(matcher, &values);
    enum err e = OK;
    if (count > 0 && negative == excludes) {
        /* The known values are what a positive matcher selects, and a negative one excludes. */
        e = collect_literals(m, matcher, values, count, set);
    } else {
        e = collect_scan(m, matcher, !excludes, set);
    }
    add_pairs_series(m, set);
    return e;
}

/* Where nothing selects, all series of the tenant are what others exclude from. */
static void
match_all(struct head_match *m, roaring_bitmap_t *set)
{
    lock_take(&m->db->head_lock);
    const struct registry_tenant *t = registry_tenant(m->registry, m->tenant);
    struct id_walk all = t == NULL ? (struct id_walk){0} : id_list_walk(&t->series);
    lock_drop(&m->db->head_lock);
    add_walk(&all, set);
}

/* One step of a selection; `result` is empty before the first one. */
static enum err
select_step(struct head_match *m, const struct matcher *matcher, bool first,
            roaring_bitmap_t *result)
{
    if (first && !matcher_matches_empty(matcher)) return match_one(m, matcher, result);
    if (first) match_all(m, result);
    roaring_bitmap_t *set = roaring_bitmap_create();
    if (set == NULL) return ERR_NOMEM;
    enum err e = match_one(m, matcher, set);
    if (matcher_matches_empty(matcher)) {
        roaring_bitmap_andnot_inplace(result, set);
    } else {
        roaring_bitmap_and_inplace(result, set);
    }
    roaring_bitmap_free(set);
    return e;
}

/* Those that select come first: what they leave is small. */
static enum err
select_set(struct head_match *m, const struct matcher_set *set, roaring_bitmap_t *result)
{
    bool first = true;
    for (unsigned excluding = 0; excluding < 2; excluding++) {
        for (uint32_t i = 0; i < set->count; i++) {
            if (matcher_matches_empty(set->matchers[i]) != (excluding == 1)) continue;
            if (!first && roaring_bitmap_is_empty(result)) break;
            enum err e = select_step(m, set->matchers[i], first, result);
            if (e) return e;
            first = false;
        }
    }
    if (first) match_all(m, result);
    return OK;
}

enum err
head_select(const struct query *q, const struct registry *registry, roaring_bitmap_t **ret,
            struct why *why)
{
    struct head_match m = {.db = q->db,
                           .registry = registry,
                           .tenant = q->pinned.tenant,
                           .control = q->control,
                           .why = why};
    roaring_bitmap_t *result = roaring_bitmap_create();
    enum err e = result == NULL ? ERR_NOMEM : OK;
    if (e == OK && q->set_count == 0) match_all(&m, result);
    for (uint32_t i = 0; i < q->set_count && e == OK; i++) {
        roaring_bitmap_t *set = i == 0 ? result : roaring_bitmap_create();
        e = set == NULL ? ERR_NOMEM : select_set(&m, &q->sets[i], set);
        if (set == result || set == NULL) continue;
        roaring_bitmap_or_inplace(result, set);
        roaring_bitmap_free(set);
    }
    if (e && result != NULL) roaring_bitmap_free(result);
    *ret = result;
    return e;
}
