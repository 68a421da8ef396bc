/*
 * gather.c - see gather.h.
 *
 * Invariant 1. The first `sorted_count` texts are sorted, and each of them is there once; with a
 * limit they are at most one more than that.
 */
#include "views/gather.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"

enum err
views_no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

struct budget *
views_budget(const struct query_request *request, struct budget *of_view)
{
    if (request->budget != NULL) return request->budget;
    return request->control == NULL ? of_view : request->control->budget;
}

enum err
views_take_warnings(struct warnings *to, struct series_set *of, struct why *why)
{
    const char *sentence;
    for (uint32_t i = 0; (sentence = series_set_warning(of, i)) != NULL; i++) {
        struct why place;
        (void)why_set(&place, ERR_CORRUPT, "%s", sentence);
        if (warnings_add(to, &place)) return views_no_memory(why);
    }
    return OK;
}

const char *
views_warning(struct series_set *of, uint32_t *index)
{
    const char *sentence;
    for (uint32_t i = 0; (sentence = series_set_warning(of, i)) != NULL; i++)
        if ((*index)-- == 0) return sentence;
    return NULL;
}

void
views_add_spent(struct series_cost *to, const struct series_set *of)
{
    struct series_cost spent;
    if (of != NULL && series_set_spent(of, &spent)) series_cost_add(to, &spent);
}

/* --- sets that are selected by labels --------------------------------------------------------- */

enum err
matched_set_add(struct matched_set *s, struct label label, struct budget *budget, struct why *why)
{
    if (!array_reserve(budget, &s->matchers, &s->matcher_capacity, s->matcher_count + 1))
        return views_no_memory(why);
    struct matcher **to = &s->matchers[s->matcher_count];
    enum err e = matcher_new(MATCH_EQUAL, label.name, label.value, budget, to, why);
    if (e == ERR_INPUT || e == ERR_LIMIT) return OK; /* the other matchers suffice */
    if (e == OK) s->matcher_count++;
    return e;
}

enum err
matched_set_find(struct matched_set *s, struct view *view, const struct query_request *like,
                 struct bytes labels, struct budget *budget, bool *ret_found, struct why *why)
{
    struct query_request request = *like;
    struct cursor c = cursor_of(labels);
    enum err e = OK;
    int order = -1;
    assert(s->set == NULL);
    assert(s->matcher_count == 0);
    for (struct label label; e == OK && labels_next(&c, &label);)
        e = matched_set_add(s, label, budget, why);
    struct matcher_set set = {s->matchers, s->matcher_count};
    request.sets = &set;
    request.set_count = 1;
    request.hints.from_labels = labels;
    if (e == OK) e = view_select(view, &request, &s->set, why);
    while (e == OK && order < 0) {
        struct bytes next;
        e = series_set_next(s->set, &next, why);
        order = e || next.at == NULL ? 1 : labels_compare(next, labels);
    }
    *ret_found = order == 0;
    return e;
}

void
matched_set_fini(struct matched_set *s, struct budget *budget)
{
    series_set_free(s->set);
    while (s->matcher_count > 0)
        matcher_free(s->matchers[--s->matcher_count]);
    array_free(budget, s->matchers, s->matcher_capacity);
    *s = (struct matched_set){.set = NULL};
}

/* Copies a text, unless it is empty. */
static bool
copy_text(struct arena *arena, struct bytes *text)
{
    if (text->size == 0) return true;
    *text = arena_copy(arena, *text);
    return text->at != NULL;
}

/* --- texts ------------------------------------------------------------------------------------ */

static int
compare_texts(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static int
compare_labels(const void *a, const void *b)
{
    return labels_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

void
text_gathering_begin(struct text_gathering *g, bool of_labels, uint64_t limit,
                     const struct text_sink *to, struct budget *budget)
{
    *g = (struct text_gathering){.to = to,
                                 .budget = budget,
                                 .of_labels = of_labels,
                                 .limit = limit < UINT32_MAX ? limit : 0};
    arena_init(&g->arena, budget, 0, 0);
    buf_init(&g->labels, budget, GATHERED_LABEL_BYTES_MAX);
}

enum err
text_gathering_warn(void *gathering, const char *sentence)
{
    const struct text_sink *to = ((const struct text_gathering *)gathering)->to;
    return to->warning == NULL ? OK : to->warning(to->context, sentence);
}

enum err
text_gathering_add(void *gathering, struct bytes text)
{
    struct text_gathering *g = gathering;
    int (*compare)(const void *, const void *) = g->of_labels ? compare_labels : compare_texts;
    assert(g->sorted_count <= g->count); /* invariant 1 */
    size_t at = search_first(i, (size_t)0, g->sorted_count, compare(&g->items[i], &text) >= 0);
    if (g->limit > 0 && at > g->limit) return OK; /* beyond the limit */
    if (at < g->sorted_count && bytes_equal(g->items[at], text)) return OK;
    struct bytes copy = arena_copy(&g->arena, text);
    if (copy.at == NULL || !array_reserve(g->budget, &g->items, &g->capacity, g->count + 1))
        return ERR_NOMEM;
    g->items[g->count++] = copy;
    return OK;
}

void
text_gathering_sort(struct text_gathering *g)
{
    size_t kept = 0;
    if (g->count == g->sorted_count) return;
    qsort(g->items, g->count, sizeof *g->items, g->of_labels ? compare_labels : compare_texts);
    for (size_t i = 0; i < g->count; i++) {
        if (kept > 0 && bytes_equal(g->items[kept - 1], g->items[i])) continue;
        g->items[kept++] = g->items[i];
    }
    bool more = g->limit > 0 && kept > g->limit + 1;
    assert(kept <= g->count); /* invariant 1 */
    g->sorted_count = g->count = more ? (size_t)g->limit + 1 : kept;
}

enum err
text_gathering_end(struct text_gathering *g, enum err e, struct why *why)
{
    if (e == ERR_NOMEM) e = views_no_memory(why);
    for (size_t i = 0; i < g->count && e == OK; i++)
        e = g->to->each(g->to->context, g->items[i]);
    array_free(g->budget, g->items, g->capacity);
    buf_fini(&g->labels);
    arena_fini(&g->arena);
    return e;
}

/* --- exemplars -------------------------------------------------------------------------------- */

void
exemplar_gathering_begin(struct exemplar_gathering *g, const struct exemplar_sink *to,
                         struct budget *budget)
{
    *g = (struct exemplar_gathering){.to = to, .budget = budget};
    arena_init(&g->arena, budget, 0, 0);
    buf_init(&g->labels, budget, GATHERED_LABEL_BYTES_MAX);
}

enum err
exemplar_gathering_warn(void *gathering, const char *sentence)
{
    const struct exemplar_sink *to = ((const struct exemplar_gathering *)gathering)->to;
    return to->warning == NULL ? OK : to->warning(to->context, sentence);
}

enum err
exemplar_gathering_add(void *gathering, const struct exemplar *exemplar)
{
    struct exemplar_gathering *g = gathering;
    struct exemplar x = *exemplar;
    const struct exemplar *last = g->count == 0 ? NULL : &g->items[g->count - 1];
    bool same = last != NULL && bytes_equal(last->series_labels, x.series_labels);
    if (same) x.series_labels = last->series_labels;
    if ((!same && !copy_text(&g->arena, &x.series_labels)) || !copy_text(&g->arena, &x.labels) ||
        !array_reserve(g->budget, &g->items, &g->capacity, g->count + 1))
        return ERR_NOMEM;
    g->items[g->count++] = x;
    return OK;
}

static int
compare_exemplars(const void *a, const void *b)
{
    const struct exemplar *left = a, *right = b;
    int order = labels_compare(left->series_labels, right->series_labels);
    return order != 0 ? order : exemplar_compare(left, right);
}

enum err
exemplar_gathering_end(struct exemplar_gathering *g, enum err e, bool once, struct why *why)
{
    if (e == ERR_NOMEM) e = views_no_memory(why);
    if (g->count > 1) qsort(g->items, g->count, sizeof *g->items, compare_exemplars);
    for (size_t i = 0; i < g->count && e == OK; i++) {
        bool said = i > 0 && compare_exemplars(&g->items[i - 1], &g->items[i]) == 0;
        if (!once || !said) e = g->to->each(g->to->context, &g->items[i]);
    }
    array_free(g->budget, g->items, g->capacity);
    buf_fini(&g->labels);
    arena_fini(&g->arena);
    return e;
}

/* --- metadata --------------------------------------------------------------------------------- */

void
metadata_gathering_begin(struct metadata_gathering *g, struct budget *budget)
{
    *g = (struct metadata_gathering){.budget = budget};
    arena_init(&g->arena, budget, 0, 0);
}

enum err
metadata_gathering_add(void *gathering, const struct metadata *m)
{
    struct metadata_gathering *g = gathering;
    struct described_metadata d = {*m, g->from};
    if (!copy_text(&g->arena, &d.metadata.family) || !copy_text(&g->arena, &d.metadata.help) ||
        !copy_text(&g->arena, &d.metadata.unit) ||
        !array_reserve(g->budget, &g->items, &g->capacity, g->count + 1))
        return ERR_NOMEM;
    g->items[g->count++] = d;
    return OK;
}

static int
compare_described(const void *a, const void *b)
{
    const struct described_metadata *left = a, *right = b;
    int order = bytes_compare(left->metadata.family, right->metadata.family);
    return order != 0 ? order : (left->from > right->from) - (left->from < right->from);
}

/* Says whether an earlier entry describes the family in the same way. */
static bool
was_given(const struct metadata_gathering *g, size_t at)
{
    const struct metadata *m = &g->items[at].metadata;
    while (at-- > 0) {
        const struct metadata *before = &g->items[at].metadata;
        if (!bytes_equal(before->family, m->family)) return false;
        if (before->type == m->type && bytes_equal(before->help, m->help) &&
            bytes_equal(before->unit, m->unit))
            return true;
    }
    return false;
}

enum err
metadata_gathering_end(struct metadata_gathering *g, enum err e,
                       enum err (*each)(void *context, const struct metadata *metadata),
                       void *context, struct why *why)
{
    if (e == ERR_NOMEM) e = views_no_memory(why);
    if (g->count > 1) qsort(g->items, g->count, sizeof *g->items, compare_described);
    for (size_t i = 0; i < g->count && e == OK; i++)
        if (!was_given(g, i)) e = each(context, &g->items[i].metadata);
    array_free(g->budget, g->items, g->capacity);
    arena_fini(&g->arena);
    return e;
}
