/*
 * merged.c - see merged.h. Sets of series: merged_set.h.
 */
#include "views/merged.h"

#include <assert.h>

#include "views/gather.h"
#include "views/merged_set.h"

struct merged_view {
    struct view view; /* first: callers get it */
    struct budget *budget;
    uint32_t count;
    struct view *views[MERGED_VIEWS_MAX];
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* --- questions -------------------------------------------------------------------------------- */

/* The views that a question concerns, in their order. */
struct concerned {
    struct view *views[MERGED_VIEWS_MAX];
    uint32_t count;
};

static struct concerned
concerned_by(const struct view *view, const struct query_request *request)
{
    const struct merged_view *v = (const struct merged_view *)view;
    struct concerned c = {.count = 0};
    assert(v->count > 1); /* one view is not wrapped */
    for (uint32_t i = 0; i < v->count; i++) {
        if (view_concerns(v->views[i], request)) c.views[c.count++] = v->views[i];
    }
    if (c.count == 0) c.views[c.count++] = v->views[0]; /* its answer is empty, too */
    return c;
}

static struct budget *
budget_of(const struct view *view, const struct query_request *request)
{
    return request->control == NULL ? ((const struct merged_view *)view)->budget
                                    : request->control->budget;
}

static enum err
select_series(struct view *view, const struct query_request *request, struct series_set **ret_set,
              struct why *why)
{
    struct series_set *sets[MERGED_VIEWS_MAX];
    struct concerned c = concerned_by(view, request);
    if (c.count == 1) return view_select(c.views[0], request, ret_set, why);
    struct query_request below = *request;
    below.chunks = false;
    below.hints.summaries = 0;
    for (uint32_t i = 0; i < c.count; i++) {
        enum err e = view_select(c.views[i], &below, &sets[i], why);
        if (e == OK) continue;
        while (i-- > 0) {
            series_set_free(sets[i]);
        }
        return e;
    }
    return merged_set_new(sets, c.count, budget_of(view, request), ret_set, why);
}

struct merged_texts {
    struct text_gathering all;
    const struct text_sink *to;
};

static enum err
gather_text(void *context, struct bytes text)
{
    return text_gathering_add(&((struct merged_texts *)context)->all, text);
}

static enum err
forward_warning(void *context, const char *sentence)
{
    const struct merged_texts *x = context;
    return x->to->warning == NULL ? OK : x->to->warning(x->to->context, sentence);
}

static enum err
look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
        struct bytes name, const struct text_sink *to, struct why *why)
{
    struct concerned c = concerned_by(view, request);
    if (c.count == 1) return view_look_up(c.views[0], kind, request, name, to, why);
    struct merged_texts x = {.to = to};
    struct text_sink here = {.each = gather_text, .context = &x, .warning = forward_warning};
    enum err e = OK;
    text_gathering_begin(&x.all, kind == LOOKUP_SERIES, request->hints.limit,
                         budget_of(view, request));
    for (uint32_t i = 0; i < c.count && e == OK; i++) {
        e = view_look_up(c.views[i], kind, request, name, &here, why);
        text_gathering_sort(&x.all);
    }
    if (e == ERR_NOMEM) e = no_memory(why);
    return text_gathering_end(&x.all, e, to);
}

struct merged_exemplars {
    struct exemplar_gathering all;
    const struct exemplar_sink *to;
};

static enum err
gather_exemplar(void *context, const struct exemplar *exemplar)
{
    return exemplar_gathering_add(&((struct merged_exemplars *)context)->all, exemplar);
}

static enum err
forward_exemplar_warning(void *context, const char *sentence)
{
    const struct merged_exemplars *x = context;
    return x->to->warning == NULL ? OK : x->to->warning(x->to->context, sentence);
}

static enum err
exemplars(struct view *view, const struct query_request *request, const struct exemplar_sink *to,
          struct why *why)
{
    struct concerned c = concerned_by(view, request);
    if (c.count == 1) return view_exemplars(c.views[0], request, to, why);
    struct merged_exemplars x = {.to = to};
    struct exemplar_sink here = {gather_exemplar, &x, forward_exemplar_warning};
    enum err e = OK;
    exemplar_gathering_begin(&x.all, budget_of(view, request));
    for (uint32_t i = 0; i < c.count && e == OK; i++) {
        e = view_exemplars(c.views[i], request, &here, why);
    }
    if (e == ERR_NOMEM) e = no_memory(why);
    return exemplar_gathering_end(&x.all, e, true, to);
}

struct merged_metadata {
    struct metadata_gathering all;
    uint32_t view;
};

static enum err
gather_metadata(void *context, const struct metadata *metadata)
{
    struct merged_metadata *d = context;
    return metadata_gathering_add(&d->all, metadata, d->view);
}

/* Asks all views: metadata depends on neither time nor series. */
static enum err
metadata(struct view *view, const struct query_request *request, struct bytes family,
         enum err (*each)(void *context, const struct metadata *metadata), void *context,
         struct why *why)
{
    const struct merged_view *v = (const struct merged_view *)view;
    struct merged_metadata d = {.view = 0};
    enum err e = OK;
    metadata_gathering_begin(&d.all, budget_of(view, request));
    for (; d.view < v->count && e == OK; d.view++) {
        e = view_metadata(v->views[d.view], request, family, gather_metadata, &d, why);
    }
    if (e == ERR_NOMEM) e = no_memory(why);
    return metadata_gathering_end(&d.all, e, each, context);
}

/* --- the view --------------------------------------------------------------------------------- */

static void
free_view(struct view *view)
{
    struct merged_view *v = (struct merged_view *)view;
    for (uint32_t i = 0; i < v->count; i++) {
        view_free(v->views[i]);
    }
    mem_free(v->budget, v, sizeof *v);
}

enum err
merged_view_new(struct view *const *views, uint32_t count, struct budget *budget,
                struct view **ret_view, struct why *why)
{
    static const struct view_ops ops = {
        .select = select_series,
        .exemplars = exemplars,
        .metadata = metadata,
        .look_up = look_up,
        .free = free_view,
    };
    assert(count > 0);
    assert(count <= MERGED_VIEWS_MAX);
    struct merged_view *v = count == 1 ? NULL : mem_new(budget, sizeof *v);
    if (count == 1) {
        *ret_view = views[0];
        return OK;
    }
    if (v == NULL) {
        for (uint32_t i = 0; i < count; i++) {
            view_free(views[i]);
        }
        return no_memory(why);
    }
    v->view.ops = &ops;
    v->budget = budget;
    v->count = count;
    memcpy(v->views, views, count * sizeof *views);
    *ret_view = &v->view;
    return OK;
}
