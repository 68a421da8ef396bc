/* label_sets.c - see label_sets.h. */
#include "promql/eval/label_sets.h"

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/text/utf8.h"
#include "promql/eval/eval.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/*
 * The labels of a series are reduced to those of its group, which are looked up by their hash. Most
 * series that follow one another are in the same group, so the last one is compared first.
 *
 * Invariants:
 *
 *  1. Ids are indexes of `labels`, in the order in which groups came; the table has each id once.
 *  2. `last` is an id, unless there are no groups.
 */

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
    struct bytes copy = arena_copy(&g->arena, buf_bytes(&g->last_labels));
    if ((copy.at == NULL && g->last_labels.size > 0) || !table_reserve(&g->table, g->budget, 1) ||
        !array_reserve(g->budget, &g->labels, &g->capacity, g->count + 1))
        return ERR_NOMEM;
    table_add(&g->table, hash, g->count);
    g->labels[g->count++] = copy;
    assert(g->table.count == g->count); /* invariant 1 */
    assert(g->last < g->count);         /* invariant 2 */
    return OK;
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

static int
label_edit_compare_names(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

struct name_list
name_list_of(struct bytes *names, uint32_t count)
{
    uint32_t kept = 0;
    if (count > 1) qsort(names, count, sizeof *names, label_edit_compare_names);
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || !bytes_equal(names[kept - 1], names[i])) names[kept++] = names[i];
    return (struct name_list){names, kept};
}

bool
name_list_has(const struct name_list *list, struct bytes name)
{
    uint32_t i = search_first(n, 0u, list->count, bytes_compare(list->names[n], name) >= 0);
    return i < list->count && bytes_equal(list->names[i], name);
}

bool
label_name_is_valid(struct bytes name)
{
    for (size_t i = 0, step; i < name.size; i += step) {
        step = utf8_step(name.at + i, name.size - i);
        if (step == 0) return false;
    }
    return name.size > 0;
}

static bool
label_edit_is_name(const struct label *label)
{
    return bytes_equal_text(label->name, "__name__");
}

void
labels_without_metadata(struct buf *to, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    for (struct label label; labels_next(&c, &label);) {
        bool describes = label_edit_is_name(&label) || bytes_equal_text(label.name, "__type__") ||
                         bytes_equal_text(label.name, "__unit__");
        if (!describes) labels_put(to, label);
    }
}

/* Labels and names are both in the order of names. */
void
labels_keep(struct buf *to, struct bytes labels, const struct name_list *names)
{
    enum { SHORT = 32 };
    struct cursor c = cursor_of(labels);
    uint32_t i = 0;
    if (names->count > SHORT) { /* a query may have many names that no series has */
        for (struct label label; labels_next(&c, &label);)
            if (name_list_has(names, label.name)) labels_put(to, label);
        return;
    }
    for (struct label label; i < names->count && labels_next(&c, &label);) {
        int order = bytes_compare(names->names[i], label.name);
        while (order < 0 && ++i < names->count)
            order = bytes_compare(names->names[i], label.name);
        if (order != 0) continue;
        labels_put(to, label);
        i++;
    }
}

void
labels_drop(struct buf *to, struct bytes labels, const struct name_list *names, bool name_too)
{
    struct cursor c = cursor_of(labels);
    for (struct label label; labels_next(&c, &label);) {
        if (name_too && label_edit_is_name(&label)) continue;
        if (!name_list_has(names, label.name)) labels_put(to, label);
    }
}

void
labels_with(struct buf *to, struct bytes labels, struct label wanted)
{
    struct cursor c = cursor_of(labels);
    bool done = wanted.value.size == 0;
    for (struct label label; labels_next(&c, &label);) {
        int order = bytes_compare(label.name, wanted.name);
        if (order >= 0 && !done) {
            labels_put(to, wanted);
            done = true;
        }
        if (order != 0) labels_put(to, label);
    }
    if (!done) labels_put(to, wanted);
}

bool
labels_set(struct buf *labels, struct buf *scratch, struct label label)
{
    if (buf_error(labels)) return false;
    buf_clear(scratch);
    labels_with(scratch, buf_bytes(labels), label);
    struct buf with = *scratch;
    *scratch = *labels;
    *labels = with;
    return buf_error(labels) == OK;
}
