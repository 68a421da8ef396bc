/*
 * recorded.c - see group.h.
 *
 * Rules that generators write share one name in thousands of groups, and differ in a label. So
 * there is a list of sets for each name, and one for each label and value that a name has. A
 * selector searches the shortest list that contains all sets it may select: the list of its name,
 * or, if all sets of the name have a label that it compares for equality, that of the value.
 *
 * Invariants:
 *  1. `keys` and `lists` have the same numbers.
 *  2. A list has `count` links, from `first` on to NONE. The numbers of links fall along it, and so
 *     do those of their sets.
 */
#include "rules/group/group.h"

#include <assert.h>

#include "base/array.h"

enum { NONE = UINT32_MAX, KEY_BYTES_MAX = 64 << 20 };

struct recorded_link {
    uint32_t set, next;
};

void
recorded_init(struct recorded *r, struct budget *budget, uint64_t seed)
{
    *r = (struct recorded){.lists = NULL};
    kept_series_init(&r->sets, budget, seed);
    kept_series_init(&r->keys, budget, seed);
    buf_init(&r->key, budget, KEY_BYTES_MAX);
}

void
recorded_fini(struct recorded *r)
{
    struct budget *budget = r->sets.budget;
    array_free(budget, r->lists, r->list_capacity);
    array_free(budget, r->links, r->link_capacity);
    kept_series_fini(&r->sets);
    kept_series_fini(&r->keys);
    buf_fini(&r->key);
}

/* NULL texts are left out. */
static void
make_key(struct recorded *r, struct bytes name, struct bytes label, struct bytes value)
{
    buf_clear(&r->key);
    if (name.at != NULL) buf_put_counted(&r->key, name);
    if (label.at != NULL) buf_put_counted(&r->key, label);
    if (value.at != NULL) buf_put_counted(&r->key, value);
}

static enum err
add_to_list(struct recorded *r, struct bytes name, struct bytes label, struct bytes value)
{
    struct budget *budget = r->sets.budget;
    uint32_t index;
    bool is_new;
    make_key(r, name, label, value);
    if (buf_error(&r->key) ||
        !array_reserve(budget, &r->lists, &r->list_capacity, (size_t)r->keys.count + 1) ||
        !array_reserve(budget, &r->links, &r->link_capacity, (size_t)r->link_count + 1) ||
        kept_series_add(&r->keys, buf_bytes(&r->key), &is_new) ||
        !kept_series_find(&r->keys, buf_bytes(&r->key), &index)) {
        return ERR_NOMEM;
    }
    assert(!is_new || index == r->keys.count - 1); /* invariant 1 */
    if (is_new) r->lists[index] = (struct recorded_list){NONE, 0};
    assert(is_new || r->lists[index].first < r->link_count); /* invariant 2 */
    r->links[r->link_count] = (struct recorded_link){r->sets.count - 1, r->lists[index].first};
    r->lists[index].first = r->link_count++;
    r->lists[index].count++;
    return OK;
}

enum err
recorded_add(struct recorded *r, struct bytes labels, uint32_t *ret_index, bool *ret_new)
{
    const struct bytes none = {NULL, 0}, name = labels_get(labels, bytes_of_text("__name__"));
    if (kept_series_add(&r->sets, labels, ret_new)) return ERR_NOMEM;
    if (!kept_series_find(&r->sets, labels, ret_index)) return ERR_NOMEM;
    if (!*ret_new) return OK;
    enum err e = add_to_list(r, none, none, none);
    if (e == OK) e = add_to_list(r, name, none, none);
    struct cursor c = cursor_of(labels);
    for (struct label label; e == OK && labels_next(&c, &label);) {
        if (bytes_equal_text(label.name, "__name__")) continue;
        e = add_to_list(r, name, label.name, none);
        if (e == OK) e = add_to_list(r, name, label.name, label.value);
    }
    return e;
}

/* --- selecting -------------------------------------------------------------------------------- */

static struct recorded_list
find_list(struct recorded *r, struct bytes name, struct bytes label, struct bytes value)
{
    uint32_t index;
    make_key(r, name, label, value);
    bool found = !buf_error(&r->key) && kept_series_find(&r->keys, buf_bytes(&r->key), &index);
    return found ? r->lists[index] : (struct recorded_list){NONE, 0};
}

uint32_t
recorded_first(struct recorded *r, const struct matcher_set *set)
{
    const struct bytes none = {NULL, 0};
    struct bytes name = none; /* the name that the selector compares for equality */
    for (uint32_t i = 0; i < set->count && name.at == NULL; i++) {
        const struct matcher *m = set->matchers[i];
        bool is_name = bytes_equal_text(matcher_name(m), "__name__");
        if (is_name && matcher_type(m) == MATCH_EQUAL) name = matcher_pattern(m);
    }
    struct recorded_list all = find_list(r, name, none, none), best = all;
    for (uint32_t i = 0; name.at != NULL && i < set->count; i++) {
        const struct matcher *m = set->matchers[i];
        if (matcher_type(m) != MATCH_EQUAL || matcher_pattern(m).size == 0) continue;
        bool all_have_it = find_list(r, name, matcher_name(m), none).count == all.count;
        struct recorded_list list = find_list(r, name, matcher_name(m), matcher_pattern(m));
        if (all_have_it && list.count < best.count) best = list;
    }
    return best.first;
}

bool
recorded_may_select(const struct matcher_set *set, struct bytes labels)
{
    for (uint32_t i = 0; i < set->count; i++) {
        struct bytes value = labels_get(labels, matcher_name(set->matchers[i]));
        if (value.size > 0 && !matcher_matches(set->matchers[i], value)) return false;
    }
    return true;
}

bool
recorded_next(const struct recorded *r, const struct matcher_set *set, uint32_t *at,
              uint32_t *tries, uint32_t *ret_index)
{
    while (*at != NONE) {
        const struct recorded_link *link = &r->links[*at];
        assert(link->set < r->sets.count);
        assert(link->next == NONE || link->next < *at); /* invariant 2 */
        *at = *tries == 0 ? NONE : link->next;
        *ret_index = *tries == 0 ? RECORDED_ANY : link->set;
        if (*tries == 0) return true;
        --*tries;
        if (recorded_may_select(set, kept_series_at(&r->sets, link->set))) return true;
    }
    return false;
}
