/*
 * ruler_groups.c - see ruler_groups.h.
 *
 * Invariants:
 *  1. Candidates are in the order of tenant, file and name; of equal ones, that of a file is first.
 *  2. Each candidate is chosen or hidden.
 */
#include "app/rules/ruler_groups.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"

struct candidate_group {
    struct scheduler_group group;
    bool is_stored;
};

static int
compare_names(const struct scheduler_group *a, const struct scheduler_group *b)
{
    int order = bytes_compare(a->tenant, b->tenant);
    if (order == 0) order = strcmp(a->text->file, b->text->file);
    return order != 0 ? order : strcmp(a->text->name, b->text->name);
}

static int
compare_candidates(const void *a, const void *b)
{
    const struct candidate_group *x = a, *y = b;
    int order = compare_names(&x->group, &y->group);
    return order != 0 ? order : (int)x->is_stored - (int)y->is_stored;
}

static struct bytes
tenant_of(const struct rule_set_tenant *t)
{
    return bytes_of_text(t->tenant[0] == '\0' ? "anonymous" : t->tenant);
}

static uint32_t
count_groups(const struct rule_set_tenant *tenants, uint32_t tenant_count)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < tenant_count; i++) {
        count += tenants[i].group_count;
    }
    return count;
}

static void
add_candidates(const struct rule_set_tenant *tenants, uint32_t tenant_count, bool is_stored,
               struct candidate_group **next)
{
    for (uint32_t i = 0; i < tenant_count; i++) {
        const struct rule_set_tenant *t = &tenants[i];
        for (uint32_t k = 0; k < t->group_count; k++) {
            *(*next)++ = (struct candidate_group){{tenant_of(t), &t->groups[k]}, is_stored};
        }
    }
}

static void
choose(const struct candidate_group *candidates, uint32_t count, struct ruler_groups *to)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct candidate_group *x = &candidates[i];
        assert(i == 0 || compare_candidates(&candidates[i - 1], x) <= 0); /* invariant 1 */
        bool is_again = to->count > 0 && compare_names(&to->items[to->count - 1], &x->group) == 0;
        if (!x->is_stored || !is_again) {
            to->items[to->count++] = x->group;
        } else if (to->hidden_count++ == 0) {
            to->hidden = x->group.text;
        }
    }
    assert(to->count + to->hidden_count == count);          /* invariant 2 */
    assert((to->hidden != NULL) == (to->hidden_count > 0)); /* invariant 2 */
}

enum err
ruler_groups_choose(const struct rule_set *set, const struct stored_groups *stored,
                    struct budget *memory, struct ruler_groups *ret)
{
    struct ruler_groups to = {NULL};
    uint32_t count = count_groups(set->tenants, set->tenant_count) +
                     count_groups(stored->tenants, stored->tenant_count);
    size_t bytes = (count + 1) * sizeof(struct candidate_group);
    struct candidate_group *candidates = mem_alloc(memory, bytes), *next = candidates;
    enum err e = ERR_NOMEM;
    if (candidates != NULL && array_reserve(memory, &to.items, &to.capacity, count + 1)) {
        add_candidates(set->tenants, set->tenant_count, false, &next);
        add_candidates(stored->tenants, stored->tenant_count, true, &next);
        qsort(candidates, count, sizeof *candidates, compare_candidates);
        choose(candidates, count, &to);
        *ret = to;
        e = OK;
    }
    mem_free(memory, candidates, bytes);
    return e;
}

void
ruler_groups_fini(struct ruler_groups *groups, struct budget *memory)
{
    array_free(memory, groups->items, groups->capacity);
    *groups = (struct ruler_groups){NULL};
}

bool
ruler_groups_has(const struct rule_set *set, struct bytes tenant, const char *file,
                 const char *name)
{
    for (uint32_t i = 0; i < set->tenant_count; i++) {
        const struct rule_set_tenant *t = &set->tenants[i];
        if (!bytes_equal(tenant_of(t), tenant)) continue;
        for (uint32_t k = 0; k < t->group_count; k++) {
            const struct rule_group *g = &t->groups[k];
            if (strcmp(g->name, name) == 0 && strcmp(g->file, file) == 0) return true;
        }
    }
    return false;
}
