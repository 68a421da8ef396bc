/*
 * grouping.c - see grouping.h.
 *
 * The labels of a series are reduced to those of its group, which are looked up by their hash. Most
 * series that follow one another are in the same group, so the last one is compared first.
 *
 * Invariants:
 *
 *  1. Ids are indexes of `labels`, in the order in which groups came; the table has each id once.
 *  2. `last` is an id, unless there are no groups.
 */
#include "promql/eval/aggregate/grouping.h"

#include <assert.h>
#include <math.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "promql/eval/eval.h"

static enum err
grouping_prepare(struct grouping *g, struct budget *budget, const struct labels_named *labels,
                 bool without, struct bytes more_label)
{
    uint32_t count = labels->count;
    *g = (struct grouping){.budget = budget, .without = without};
    arena_init(&g->arena, budget, 0, 0);
    buf_init(&g->last_labels, budget, 64 << 20);
    struct bytes *names = arena_alloc(&g->arena, (count + 1) * sizeof *names);
    if (names == NULL) return ERR_NOMEM;
    if (count > 0) memcpy(names, labels->names, count * sizeof *names);
    if (more_label.size > 0) names[count++] = more_label;
    g->names = name_list_of(names, count);
    return OK;
}

enum err
grouping_begin(struct grouping *g, struct budget *budget, const struct labels_named *labels,
               bool without)
{
    return grouping_prepare(g, budget, labels, without, bytes_of(NULL, 0));
}

enum err
grouping_of_aggregation(struct grouping *g, struct budget *budget, const struct node *aggregation,
                        struct bytes more_label)
{
    bool without = aggregation->aggregation.without;
    if (without) more_label = bytes_of(NULL, 0); /* `without` leaves the label anyway */
    return grouping_prepare(g, budget, &aggregation->aggregation.labels, without, more_label);
}

void
grouping_fini(struct grouping *g)
{
    array_free(g->budget, g->labels, g->capacity);
    table_fini(&g->table, g->budget);
    buf_fini(&g->last_labels);
    arena_fini(&g->arena);
}

static enum err
grouping_add(struct grouping *g, uint64_t hash)
{
    struct bytes copy = arena_copy(&g->arena, buf_bytes(&g->last_labels));
    if ((copy.at == NULL && g->last_labels.size > 0) || !table_reserve(&g->table, g->budget, 1) ||
        !array_reserve(g->budget, &g->labels, &g->capacity, g->count + 1)) {
        return ERR_NOMEM;
    }
    table_add(&g->table, hash, g->count);
    g->labels[g->count++] = copy;
    assert(g->table.count == g->count); /* invariant 1 */
    assert(g->last < g->count);         /* invariant 2 */
    return OK;
}

/* Looks up the group of a series. *ret_id is GROUP_NONE if it does not exist, and *ret_hash is then
 * the hash of its labels. */
static enum err
look(struct grouping *g, struct bytes labels, uint32_t *ret_id, uint64_t *ret_hash)
{
    buf_clear(&g->last_labels);
    if (g->without)
        labels_drop(&g->last_labels, labels, &g->names, true);
    else
        labels_keep(&g->last_labels, labels, &g->names);
    if (buf_error(&g->last_labels)) return ERR_NOMEM;
    struct bytes own = buf_bytes(&g->last_labels);
    *ret_id = g->last;
    if (g->last < g->count && bytes_equal(g->labels[g->last], own)) return OK;
    *ret_hash = hash_bytes(own, 0);
    for (uint32_t at = TABLE_START, id; table_next(&g->table, *ret_hash, &at, &id);) {
        assert(id < g->count); /* invariant 1 */
        if (!bytes_equal(g->labels[id], own)) continue;
        *ret_id = g->last = id;
        return OK;
    }
    *ret_id = GROUP_NONE;
    return OK;
}

enum err
grouping_look(struct grouping *g, struct bytes labels, uint32_t *ret_id)
{
    uint64_t hash;
    return look(g, labels, ret_id, &hash);
}

enum err
grouping_find(struct grouping *g, struct bytes labels, uint32_t *ret_id)
{
    uint64_t hash = 0;
    enum err e = look(g, labels, ret_id, &hash);
    if (e || *ret_id != GROUP_NONE) return e;
    *ret_id = g->last = g->count;
    return grouping_add(g, hash);
}

struct text_span
aggregation_param_at(const struct node *aggregation)
{
    return (struct text_span){node_inside(aggregation->aggregation.param)->at.begin,
                              aggregation->at.end};
}

struct param_extremes
param_extremes_of(const double *params, uint32_t steps)
{
    struct param_extremes x = {INFINITY, -INFINITY, false};
    for (uint32_t i = 0; i < steps; i++) {
        x.nan |= isnan(params[i]);
        x.least = number_least(x.least, params[i]);
        x.greatest = number_greatest(x.greatest, params[i]);
    }
    return x;
}
