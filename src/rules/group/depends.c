/*
 * depends.c - finds the rules of a group that may run together: neighbours of which none reads or
 * writes what another one writes.
 *
 * Invariants:
 *  1. The numbers of batches begin at 0, and rise by 1 from a batch to the next.
 *  2. A batch has RULE_BATCH_MAX rules at most.
 *  3. same_before is an earlier rule of the same kind and name, and the nearest one.
 */
#include "rules/group/group.h"

#include <assert.h>

#include "base/array.h"
#include "base/hash/hash.h"

/* --- recorded series -------------------------------------------------------------------------- */

/*
 * Rules that generators write share one name in thousands of groups, and differ in a label. So
 * there is a list of sets for each name, and one for each label and value that a name has. A
 * selector searches the shortest list that contains all sets it may select: the list of its name,
 * or, if all sets of the name have a label that it compares for equality, that of the value.
 *
 * Invariants:
 *  4. `keys` and `lists` have the same numbers.
 *  5. A list has `count` links, from `first` on to NONE. The numbers of links fall along it, and so
 *     do those of their sets.
 */
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
        !kept_series_find(&r->keys, buf_bytes(&r->key), &index))
        return ERR_NOMEM;
    assert(!is_new || index == r->keys.count - 1); /* invariant 4 */
    if (is_new) r->lists[index] = (struct recorded_list){NONE, 0};
    assert(is_new || r->lists[index].first < r->link_count); /* invariant 5 */
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

/* Says whether a selector may select series that a rule writes with these canonical labels. A label
 * of the selector that is missing there may come from the data. */
static bool
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
        assert(link->next == NONE || link->next < *at); /* invariant 5 */
        *at = *tries == 0 ? NONE : link->next;
        *ret_index = *tries == 0 ? RECORDED_ANY : link->set;
        if (*tries == 0) return true;
        --*tries;
        if (recorded_may_select(set, kept_series_at(&r->sets, link->set))) return true;
    }
    return false;
}

/* --- batches of rules ------------------------------------------------------------------------- */

static bool
reads(const struct rule_at_work *reader, const struct rule_at_work *writer)
{
    uint32_t count;
    const struct matcher_set *sets = promql_selectors(reader->tree, &count);
    const struct named_texts *texts[] = {&reader->text->labels, &reader->text->annotations};
    for (size_t k = 0; k < 2 && reader->text->kind == RULE_ALERTING; k++) {
        for (uint32_t i = 0; i < texts[k]->count; i++) /* templates may run any query */
            if (strstr(texts[k]->items[i].value, "query") != NULL) return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        for (size_t k = 0; k < 2 && writer->writes[k].at != NULL; k++)
            if (recorded_may_select(&sets[i], writer->writes[k])) return true;
    }
    return false;
}

static bool
write_the_same(const struct rule_at_work *a, const struct rule_at_work *b)
{
    return a->text->kind == b->text->kind && strcmp(a->text->name, b->text->name) == 0;
}

static enum err
find_shared_names(struct group *g)
{
    struct table names = {NULL}; /* index of the last rule of each name so far */
    if (!table_reserve(&names, g->memory, g->text.rule_count)) return ERR_NOMEM;
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        uint64_t hash = hash_bytes(bytes_of_text(rule->text->name), g->seed);
        for (uint32_t at = TABLE_START, id; table_next(&names, hash, &at, &id);) {
            if (!write_the_same(rule, &g->rules[id])) continue;
            rule->same_before = &g->rules[id];
            assert(rule->same_before < rule); /* invariant 3 */
            table_remove(&names, hash, id);
            break;
        }
        table_add(&names, hash, i);
    }
    table_fini(&names, g->memory);
    return OK;
}

enum err
group_make_batches(struct group *g)
{
    uint32_t first = 0, batch = 0; /* first rule and number of the current batch */
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        bool alone = i - first >= RULE_BATCH_MAX;
        for (uint32_t k = first; k < i && !alone; k++) {
            const struct rule_at_work *before = &g->rules[k];
            bool same = write_the_same(rule, before);
            alone = same || reads(rule, before) || reads(before, rule);
        }
        if (alone) {
            batch++;
            first = i;
        }
        rule->batch = batch;
        assert(i - first < RULE_BATCH_MAX);                   /* invariant 2 */
        assert(i == 0 || batch - g->rules[i - 1].batch <= 1); /* invariant 1 */
    }
    return find_shared_names(g);
}

/* --- groups ----------------------------------------------------------------------------------- */

static enum err
add_recorded(const struct rule_at_work *rule, struct recorded *to)
{
    uint32_t index;
    bool is_new;
    if (rule->text->kind != RULE_RECORDING) return OK;
    return recorded_add(to, rule->writes[0], &index, &is_new);
}

enum err
group_add_recorded(const struct group *g, struct recorded *to)
{
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++)
        e = add_recorded(&g->rules[i], to);
    return e;
}

static bool
reads_recorded(const struct rule_at_work *rule, struct recorded *recorded, uint32_t *tries)
{
    uint32_t count, index;
    const struct matcher_set *sets = promql_selectors(rule->tree, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = recorded_first(recorded, &sets[i]);
        if (recorded_next(recorded, &sets[i], &at, tries, &index)) return true;
    }
    return false;
}

bool
group_reads_recorded(const struct group *g, struct recorded *recorded, uint32_t *tries)
{
    for (uint32_t i = 0; i < g->text.rule_count; i++)
        if (reads_recorded(&g->rules[i], recorded, tries)) return true;
    return false;
}

/* Walks from the last rule to the first, so that `recorded` has the names that a rule and later
 * ones record. */
enum err
group_find_reads_back(struct group *g)
{
    struct recorded recorded;
    uint32_t tries = SETS_TRIED_MAX;
    enum err e = OK;
    recorded_init(&recorded, g->memory, g->seed);
    for (uint32_t i = g->text.rule_count; e == OK && !g->reads_back && i-- > 0;) {
        const struct rule_at_work *rule = &g->rules[i];
        e = add_recorded(rule, &recorded);
        if (e == OK && rule->text->kind == RULE_RECORDING)
            g->reads_back = reads_recorded(rule, &recorded, &tries);
    }
    recorded_fini(&recorded);
    return e;
}
