/*
 * partial.c - see partial.h. Warnings of a set are taken when it is opened and when it is freed.
 *
 * Invariant 1. A view that warned_view_new() made has `warn`, and owns `below` and itself; another
 * one belongs to its caller.
 */
#include "views/partial.h"

#include <assert.h>

struct partial_set {
    struct series_set set; /* first: callers get it */
    struct partial_view *of;
    struct series_set *below;
};

/* --- sets ------------------------------------------------------------------------------------- */

static enum err
partial_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    return series_set_next(((struct partial_set *)set)->below, ret_labels, why);
}

static enum err
partial_set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    return series_set_batch(((struct partial_set *)set)->below, ret_batch, why);
}

static const char *
partial_set_warning(struct series_set *set, uint32_t index)
{
    return series_set_warning(((struct partial_set *)set)->below, index);
}

static struct series_cost
partial_set_cost(const struct series_set *set)
{
    return series_set_cost(((const struct partial_set *)set)->below);
}

static struct series_cost
partial_set_spent(const struct series_set *set)
{
    struct series_cost spent = {.series = 0};
    (void)series_set_spent(((const struct partial_set *)set)->below, &spent);
    return spent;
}

static void
take_warnings(struct partial_view *v, struct series_set *below)
{
    const char *sentence;
    for (uint32_t i = 0; (sentence = series_set_warning(below, i)) != NULL; i++) {
        struct why place;
        (void)why_set(&place, ERR_CORRUPT, "%s", sentence);
        lock_take(&v->lock);
        v->lost |= warnings_add(&v->warnings, &place) != OK;
        lock_drop(&v->lock);
    }
}

static void
partial_set_free(struct series_set *set)
{
    struct partial_set *s = (struct partial_set *)set;
    struct partial_view *v = s->of;
    take_warnings(v, s->below);
    series_set_free(s->below);
    mem_free(v->budget, s, sizeof *s);
}

/* --- the view --------------------------------------------------------------------------------- */

static struct partial_view *
allow_failures(struct view *view, const struct query_request *request, struct query_request *ret)
{
    struct partial_view *v = (struct partial_view *)view;
    *ret = *request;
    if (v->asks_as_is) return v;
    ret->partial = v->partial;
    ret->shows_warnings = true;
    return v;
}

static enum err
select_series(struct view *view, const struct query_request *request, struct series_set **ret_set,
              struct why *why)
{
    static const struct series_set_ops ops = {partial_set_next,    partial_set_batch,
                                              partial_set_warning, partial_set_cost,
                                              partial_set_spent,   partial_set_free};
    static const struct series_set_ops uncounted = {
        partial_set_next, partial_set_batch, partial_set_warning, partial_set_cost, NULL,
        partial_set_free};
    struct query_request r;
    struct partial_view *v = allow_failures(view, request, &r);
    struct partial_set *s = mem_new(v->budget, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    s->set.ops = &ops;
    s->of = v;
    enum err e = view_select(v->below, &r, &s->below, why);
    if (e) {
        mem_free(v->budget, s, sizeof *s);
        return e;
    }
    take_warnings(v, s->below);
    if (s->below->ops->spent == NULL) s->set.ops = &uncounted;
    *ret_set = &s->set;
    return OK;
}

static enum err
exemplars(struct view *view, const struct query_request *request, const struct exemplar_sink *to,
          struct why *why)
{
    struct query_request r;
    return view_exemplars(allow_failures(view, request, &r)->below, &r, to, why);
}

static enum err
metadata(struct view *view, const struct query_request *request, struct bytes family,
         enum err (*each)(void *context, const struct metadata *metadata), void *context,
         struct why *why)
{
    struct query_request r;
    return view_metadata(allow_failures(view, request, &r)->below, &r, family, each, context, why);
}

static enum err
look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
        struct bytes name, const struct text_sink *to, struct why *why)
{
    struct query_request r;
    struct view *below = allow_failures(view, request, &r)->below;
    return view_look_up(below, kind, &r, name, to, why);
}

static struct view_mark
mark(const struct view *view)
{
    const struct view *below = ((const struct partial_view *)view)->below;
    return below->ops->mark(below);
}

static int64_t
same_before(const struct view *view, struct bytes tenant, const struct view_mark *before)
{
    return view_same_before(((const struct partial_view *)view)->below, tenant, before);
}

static bool
lacks(struct view *view)
{
    struct partial_view *v = (struct partial_view *)view;
    lock_take(&v->lock);
    bool any = v->lost || warnings_at(&v->warnings, 0) != NULL;
    lock_drop(&v->lock);
    return any;
}

static void
free_view(struct view *view)
{
    struct partial_view *v = (struct partial_view *)view;
    if (v->warn == NULL) return; /* invariant 1: partial_view_fini() ends it */
    const char *sentence;
    for (uint32_t i = 0; (sentence = warnings_at(&v->warnings, i)) != NULL; i++)
        v->warn(v->context, sentence);
    view_free(v->below);
    partial_view_fini(v);
    mem_free(v->budget, v, sizeof *v);
}

#define OPS                                                                                    \
    .select = select_series, .exemplars = exemplars, .metadata = metadata, .look_up = look_up, \
    .lacks = lacks, .free = free_view

void
partial_view_init(struct partial_view *v, struct view *below, bool partial, struct budget *budget)
{
    static const struct view_ops whole = {OPS, .mark = mark, .same_before = same_before};
    static const struct view_ops unmarked = {OPS};
    bool marked = !partial && below->ops->mark != NULL;
    *v = (struct partial_view){.view = {marked ? &whole : &unmarked},
                               .below = below,
                               .partial = partial,
                               .budget = budget};
    lock_init(&v->lock, LOCK_RANK_LEAF);
    warnings_init(&v->warnings, budget);
}

void
partial_view_fini(struct partial_view *v)
{
    if (v->view.ops == NULL) return;
    warnings_fini(&v->warnings);
    lock_fini(&v->lock);
}

enum err
partial_view_check(struct partial_view *v, struct why *why)
{
    lock_take(&v->lock);
    bool lost = v->lost;
    lock_drop(&v->lock);
    return lost ? why_set(why, ERR_NOMEM, "not enough memory for warnings about damage") : OK;
}

const char *
partial_view_warning(const struct partial_view *v, uint32_t index)
{
    return v->view.ops == NULL ? NULL : warnings_at(&v->warnings, index);
}

enum err
warned_view_new(struct view *below, struct budget *budget,
                void (*warn)(void *context, const char *sentence), void *context,
                struct view **ret_view, struct why *why)
{
    assert(warn != NULL); /* invariant 1 */
    struct partial_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    partial_view_init(v, below, false, budget);
    v->asks_as_is = true;
    v->warn = warn;
    v->context = context;
    *ret_view = &v->view;
    return OK;
}
