/*
 * replicas_scan.c - the first pass, over labels, before any sample is read.
 *
 * It finds the combinations of values of replica labels, and the ascents of each: mostly one.
 * Within a combination, dropping the labels keeps the order of series, with one exception. Take two
 * series of a combination; without the labels, A comes before B.
 *
 * - A and B differ in a label first. Then that label of A comes before that of B also with the
 *   replica labels, which are the same in both and at the same places before it.
 * - A is the beginning of B, whose next label is n. If no replica label comes after n, all of them
 *   are at the same places in both, A is still the beginning of B, and comes first. Otherwise the
 *   first replica label after n has in A the place that n has in B, and B comes first:
 *
 *       {job="x", n="1", replica="a"}  {job="x", replica="a"}   ->   {job="x"}  {job="x", n="1"}
 *
 * So series ascend, but for some that come too late, which form other ascents: each series
 * continues the first ascent that it can, which makes the fewest. There are never more ascents than
 * labels in a series.
 *
 * Memory is 8 bytes per series, unless there are too many ascents: then it is that of all labels.
 *
 * The invariants are those of replicas_private.h.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "model/labels.h"
#include "views/replicas_private.h"

/* --- control ---------------------------------------------------------------------------------- */

static bool
must_end(void *context)
{
    struct why why;
    return query_control_check(context, &why) != OK;
}

void
replicas_control_begin(struct replicas_control *c, struct query_control *above, bool limited)
{
    c->above = above;
    if (above == NULL) return;
    struct query_control *below = &c->below;
    below->env = above->env;
    below->deadline_ns = above->deadline_ns;
    below->all_canceled = &above->canceled;
    if (above->env != NULL) { /* also checks the client and the deadline now and then */
        below->is_gone = must_end;
        below->gone_context = above;
    }
    below->budget = above->budget;
    below->names = above->names;
    if (limited) {
        below->series_max = above->series_max;
        below->samples_max = above->samples_max;
        below->bytes_max = above->bytes_max;
    } else {
        below->left_out = above->left_out;
    }
}

struct query_control *
replicas_control_below(struct replicas_control *c)
{
    return c->above == NULL ? NULL : &c->below;
}

enum err
replicas_control_result(struct replicas_control *c, enum err e, struct why *why)
{
    enum err ended = e == ERR_CANCELED ? query_control_check(c->above, why) : OK;
    return ended ? ended : e;
}

/* --- combinations ----------------------------------------------------------------------------- */

enum { ASCENT_BITS = STRANDS_MAX - 1 };
_Static_assert((STRANDS_MAX & ASCENT_BITS) == 0, "all bits of an ascent's number");

uint32_t
combination_find(const struct combination *c, uint32_t from, struct bytes labels,
                 uint32_t *ret_ascent)
{
    uint64_t hash = hash_bytes(labels, 0);
    while (from < c->series_count && (c->series[from] | ASCENT_BITS) != (hash | ASCENT_BITS)) {
        from++;
    }
    if (from < c->series_count) *ret_ascent = (uint32_t)(c->series[from] & ASCENT_BITS);
    return from;
}

static void
combination_fini(struct combination *c, struct budget *budget)
{
    for (uint32_t i = 0; i < c->ascent_count; i++) {
        buf_fini(&c->lasts[i]);
    }
    array_free(budget, c->lasts, c->ascent_capacity);
    array_free(budget, c->series, c->series_capacity);
}

/* Finds the first ascent that the series can continue. */
static uint32_t
find_ascent(const struct combination *c, struct bytes rest)
{
    uint32_t i = 0;
    while (i < c->ascent_count && labels_compare(buf_bytes(&c->lasts[i]), rest) >= 0) {
        i++;
    }
    return i;
}

static enum err
add_ascent(struct replicas_scan *s, struct combination *c)
{
    assert(s->strand_count <= STRANDS_MAX); /* invariant 3 */
    s->is_wide = s->strand_count == STRANDS_MAX;
    if (s->is_wide) return OK;
    if (!array_reserve(s->budget, &c->lasts, &c->ascent_capacity, c->ascent_count + 1)) {
        return ERR_NOMEM;
    }
    buf_init(&c->lasts[c->ascent_count++], s->budget, REPLICAS_LABEL_BYTES_MAX);
    s->strand_count++;
    return OK;
}

static struct combination *
find_combination(struct replicas_scan *s, struct bytes dropped)
{
    for (uint32_t i = 0; i < s->combination_count; i++) {
        if (bytes_equal(s->combinations[i].dropped, dropped)) return &s->combinations[i];
    }
    if (!array_reserve(s->budget, &s->combinations, &s->combination_capacity,
                       s->combination_count + 1)) {
        return NULL;
    }
    struct combination *c = &s->combinations[s->combination_count];
    *c = (struct combination){.dropped = dropped};
    if (dropped.size > 0) c->dropped = arena_copy(&s->arena, dropped);
    if (dropped.size > 0 && c->dropped.at == NULL) return NULL;
    s->combination_count++;
    return c;
}

static enum err
add_to_combination(struct replicas_scan *s, struct bytes labels, struct bytes rest,
                   struct bytes dropped)
{
    struct combination *c = find_combination(s, dropped);
    if (c == NULL ||
        !array_reserve(s->budget, &c->series, &c->series_capacity, (size_t)c->series_count + 1)) {
        return ERR_NOMEM;
    }
    uint32_t at = find_ascent(c, rest);
    enum err e = at == c->ascent_count ? add_ascent(s, c) : OK;
    if (e || s->is_wide) return e;
    assert(at < c->ascent_count); /* invariant 4 */
    assert(at < STRANDS_MAX);     /* fits into its bits */
    c->series[c->series_count++] = (hash_bytes(labels, 0) & ~(uint64_t)ASCENT_BITS) | at;
    buf_clear(&c->lasts[at]);
    buf_put_bytes(&c->lasts[at], rest);
    return buf_error(&c->lasts[at]);
}

static enum err
add_key(struct replicas_scan *s, struct bytes rest, struct bytes dropped)
{
    if (!array_reserve(s->budget, &s->keys, &s->key_capacity, s->key_count + 1)) return ERR_NOMEM;
    struct replica_key *key = &s->keys[s->key_count];
    *key = (struct replica_key){arena_copy(&s->arena, rest), arena_copy(&s->arena, dropped)};
    if (key->rest.at == NULL || key->dropped.at == NULL) return ERR_NOMEM;
    s->key_count++;
    return OK;
}

/* --- the pass --------------------------------------------------------------------------------- */

enum err
replicas_take_warnings(struct replicas_scan *s, struct series_set *of, struct why *why)
{
    const char *sentence;
    for (uint32_t i = 0; (sentence = series_set_warning(of, i)) != NULL; i++) {
        struct why place;
        (void)why_set(&place, ERR_CORRUPT, "%s", sentence);
        if (warnings_add(&s->warnings, &place)) return replicas_no_memory(why);
    }
    return OK;
}

/* Says whether a series is in the wanted shard, and not before from_labels. */
static bool
is_wanted(const struct replicas_scan *s, struct bytes rest)
{
    return query_hints_want(&s->shard, rest) &&
           (s->from_labels.size == 0 || labels_compare(rest, s->from_labels) >= 0);
}

/* Reads the labels of all wanted series. It may end early if there are too many ascents. */
static enum err
walk(struct replicas_scan *s, bool keys, struct why *why)
{
    struct replicas_control control = {.above = NULL};
    struct query_request request = s->request;
    struct series_set *set = NULL;
    replicas_control_begin(&control, s->request.control, true);
    request.control = replicas_control_below(&control);
    request.hints.labels_only = true;
    enum err e = view_select(s->view->inner, &request, &set, why);
    while (e == OK && s->is_wide == keys) {
        struct bytes labels;
        e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) break;
        replicas_split(s->view, labels, &s->rest, &s->dropped);
        struct bytes rest = buf_bytes(&s->rest), dropped = buf_bytes(&s->dropped);
        e = buf_error(&s->rest) ? ERR_NOMEM : buf_error(&s->dropped) ? ERR_NOMEM : OK;
        if (e == OK && is_wanted(s, rest)) {
            e = keys ? add_key(s, rest, dropped) : add_to_combination(s, labels, rest, dropped);
        }
        if (e) e = replicas_no_memory(why);
    }
    if (e == OK) e = replicas_take_warnings(s, set, why);
    series_set_free(set);
    return replicas_control_result(&control, e, why);
}

static void
forget_combinations(struct replicas_scan *s)
{
    for (uint32_t i = 0; i < s->combination_count; i++) {
        combination_fini(&s->combinations[i], s->budget);
    }
    array_free(s->budget, s->combinations, s->combination_capacity);
    s->combinations = NULL;
    s->combination_count = s->combination_capacity = 0;
}

static int
compare_combinations(const void *a, const void *b)
{
    const struct combination *left = a, *right = b;
    return labels_compare(left->dropped, right->dropped);
}

static int
compare_keys(const void *a, const void *b)
{
    const struct replica_key *left = a, *right = b;
    int order = labels_compare(left->rest, right->rest);
    return order != 0 ? order : labels_compare(left->dropped, right->dropped);
}

enum err
replicas_scan_run(struct replicas_scan *s, struct why *why)
{
    arena_init(&s->arena, s->budget, 0, 0);
    buf_init(&s->rest, s->budget, REPLICAS_LABEL_BYTES_MAX);
    buf_init(&s->dropped, s->budget, REPLICAS_LABEL_BYTES_MAX);
    warnings_init(&s->warnings, s->budget);
    enum err e = walk(s, false, why);
    if (e == OK && s->is_wide) {
        forget_combinations(s);
        e = walk(s, true, why);
        if (s->key_count > 1) qsort(s->keys, s->key_count, sizeof *s->keys, compare_keys);
    } else if (s->combination_count > 1) {
        qsort(s->combinations, s->combination_count, sizeof *s->combinations, compare_combinations);
    }
    assert(s->is_wide || s->key_count == 0);
    return e;
}

void
replicas_scan_fini(struct replicas_scan *s)
{
    forget_combinations(s);
    array_free(s->budget, s->keys, s->key_capacity);
    buf_fini(&s->rest);
    buf_fini(&s->dropped);
    warnings_fini(&s->warnings);
    arena_fini(&s->arena);
}
