/*
 * merged.c - see merged.h.
 *
 * Sets are merged as they are read: the series at hand is the least of those that the sets have at
 * hand. Samples of a series that several have: model/sample_merge.h.
 */
#include "query/merged.h"

#include "model/labels.h"
#include "model/sample_merge.h"
#include "query/gather.h"

struct merged_view {
    struct view view; /* first: it is handed out */
    struct budget *budget;
    uint32_t count;
    struct view *views[MERGED_VIEWS_MAX];
};

/* A set, with the series it has at hand. */
struct member {
    struct series_set *set;
    bool begun;
    bool ended;
    struct buf labels;
    bool is_in; /* the series at hand is one of its own */
};

struct merged_set {
    struct series_set set; /* first: it is handed out */
    struct budget *budget;
    uint32_t count;
    struct member members[MERGED_VIEWS_MAX];
    struct sample_merge samples; /* of the series at hand */
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* --- series ----------------------------------------------------------------------------------- */

static enum err
member_advance(struct member *m, struct why *why)
{
    struct bytes labels;
    enum err e = series_set_next(m->set, &labels, why);
    m->begun = true;
    m->is_in = false;
    if (e) return e;
    m->ended = labels.at == NULL;
    buf_clear(&m->labels);
    if (m->ended) return OK;
    buf_put_bytes(&m->labels, labels);
    return buf_error(&m->labels) ? no_memory(why) : OK;
}

static enum err
set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct merged_set *s = (struct merged_set *)set;
    const struct member *least = NULL;
    *ret_labels = bytes_of(NULL, 0);
    for (uint32_t i = 0; i < s->count; i++) {
        struct member *m = &s->members[i];
        enum err e = m->is_in || !m->begun ? member_advance(m, why) : OK;
        if (e) return e;
        if (m->ended) continue;
        if (least == NULL || labels_compare(buf_bytes(&m->labels), buf_bytes(&least->labels)) < 0) {
            least = m;
        }
    }
    sample_merge_clear(&s->samples);
    if (least == NULL) return OK;
    *ret_labels = buf_bytes(&least->labels);
    if (ret_labels->size == 0) *ret_labels = bytes_of("", 0); /* a series without labels */
    for (uint32_t i = 0; i < s->count; i++) {
        struct member *m = &s->members[i];
        m->is_in = !m->ended && bytes_equal(buf_bytes(&m->labels), *ret_labels);
        if (m->is_in && sample_merge_add(&s->samples, m)) return no_memory(why);
    }
    return OK;
}

/* --- samples ---------------------------------------------------------------------------------- */

static enum err
member_batch(void *from, struct sample_batch *ret_batch, struct why *why)
{
    return series_set_batch(((struct member *)from)->set, ret_batch, why);
}

static enum err
set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    return sample_merge_batch(&((struct merged_set *)set)->samples, ret_batch, why);
}

/* --- a set ------------------------------------------------------------------------------------ */

static const char *
set_warning(struct series_set *set, uint32_t index)
{
    struct merged_set *s = (struct merged_set *)set;
    for (uint32_t i = 0; i < s->count; i++) {
        const char *sentence;
        for (uint32_t k = 0; (sentence = series_set_warning(s->members[i].set, k)) != NULL; k++) {
            if (index-- == 0) return sentence;
        }
    }
    return NULL;
}

static struct series_cost
set_spent(const struct series_set *set)
{
    const struct merged_set *s = (const struct merged_set *)set;
    struct series_cost all = {.series = 0}, one;
    for (uint32_t i = 0; i < s->count; i++) {
        if (series_set_spent(s->members[i].set, &one)) series_cost_add(&all, &one);
    }
    return all;
}

static void
set_free(struct series_set *set)
{
    struct merged_set *s = (struct merged_set *)set;
    for (uint32_t i = 0; i < s->count; i++) {
        series_set_free(s->members[i].set);
        buf_fini(&s->members[i].labels);
    }
    sample_merge_fini(&s->samples);
    mem_free(s->budget, s, sizeof *s);
}

/* --- what a view is asked --------------------------------------------------------------------- */

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
    for (uint32_t i = 0; i < v->count; i++) {
        if (view_concerns(v->views[i], request)) c.views[c.count++] = v->views[i];
    }
    if (c.count == 0) c.views[c.count++] = v->views[0]; /* whose answer is as empty */
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
    static const struct series_set_ops ops = {.next = set_next,
                                              .batch = set_batch,
                                              .warning = set_warning,
                                              .spent = set_spent,
                                              .free = set_free};
    struct concerned c = concerned_by(view, request);
    if (c.count == 1) return view_select(c.views[0], request, ret_set, why);
    struct budget *budget = budget_of(view, request);
    struct merged_set *s = mem_new(budget, sizeof *s);
    if (s == NULL) return no_memory(why);
    s->set.ops = &ops;
    s->budget = budget;
    sample_merge_init(&s->samples, member_batch, budget);
    struct query_request below = *request;
    below.chunks = false;
    below.hints.summaries = 0;
    for (uint32_t i = 0; i < c.count; i++) {
        enum err e = view_select(c.views[i], &below, &s->members[i].set, why);
        if (e) {
            set_free(&s->set);
            return e;
        }
        buf_init(&s->members[i].labels, budget, GATHERED_LABEL_BYTES_MAX);
        s->count++;
    }
    *ret_set = &s->set;
    return OK;
}

struct texts {
    struct text_gathering all;
    const struct text_sink *to;
};

static enum err
gather_text(void *context, struct bytes text)
{
    return text_gathering_add(&((struct texts *)context)->all, text);
}

static enum err
forward_warning(void *context, const char *sentence)
{
    const struct texts *x = context;
    return x->to->warning == NULL ? OK : x->to->warning(x->to->context, sentence);
}

enum asked_for { NAMES, VALUES, SERIES };

static enum err
ask(struct view *view, enum asked_for what, const struct query_request *request, struct bytes name,
    const struct text_sink *to, struct why *why)
{
    switch (what) {
    case NAMES:
        return view_label_names(view, request, to, why);
    case VALUES:
        return view_label_values(view, request, name, to, why);
    default:
        return view_series(view, request, to, why);
    }
}

static enum err
texts(struct view *view, enum asked_for what, const struct query_request *request,
      struct bytes name, const struct text_sink *to, struct why *why)
{
    struct concerned c = concerned_by(view, request);
    if (c.count == 1) return ask(c.views[0], what, request, name, to, why);
    struct texts x = {.to = to};
    struct text_sink here = {.each = gather_text, .context = &x, .warning = forward_warning};
    enum err e = OK;
    text_gathering_begin(&x.all, what == SERIES, request->hints.limit, budget_of(view, request));
    for (uint32_t i = 0; i < c.count && e == OK; i++) {
        e = ask(c.views[i], what, request, name, &here, why);
        text_gathering_sort(&x.all);
    }
    if (e == ERR_NOMEM) e = no_memory(why);
    return text_gathering_end(&x.all, e, to);
}

static enum err
label_names(struct view *view, const struct query_request *request, const struct text_sink *to,
            struct why *why)
{
    return texts(view, NAMES, request, bytes_of(NULL, 0), to, why);
}

static enum err
label_values(struct view *view, const struct query_request *request, struct bytes name,
             const struct text_sink *to, struct why *why)
{
    return texts(view, VALUES, request, name, to, why);
}

static enum err
series(struct view *view, const struct query_request *request, const struct text_sink *to,
       struct why *why)
{
    return texts(view, SERIES, request, bytes_of(NULL, 0), to, why);
}

struct exemplars {
    struct exemplar_gathering all;
    const struct exemplar_sink *to;
};

static enum err
gather_exemplar(void *context, const struct exemplar *exemplar)
{
    return exemplar_gathering_add(&((struct exemplars *)context)->all, exemplar);
}

static enum err
forward_exemplar_warning(void *context, const char *sentence)
{
    const struct exemplars *x = context;
    return x->to->warning == NULL ? OK : x->to->warning(x->to->context, sentence);
}

static enum err
exemplars(struct view *view, const struct query_request *request, const struct exemplar_sink *to,
          struct why *why)
{
    struct concerned c = concerned_by(view, request);
    if (c.count == 1) return view_exemplars(c.views[0], request, to, why);
    struct exemplars x = {.to = to};
    struct exemplar_sink here = {gather_exemplar, &x, forward_exemplar_warning};
    enum err e = OK;
    exemplar_gathering_begin(&x.all, budget_of(view, request));
    for (uint32_t i = 0; i < c.count && e == OK; i++) {
        e = view_exemplars(c.views[i], request, &here, why);
    }
    if (e == ERR_NOMEM) e = no_memory(why);
    return exemplar_gathering_end(&x.all, e, true, to);
}

struct described_by {
    struct metadata_gathering all;
    uint32_t view;
};

static enum err
gather_metadata(void *context, const struct metadata *metadata)
{
    struct described_by *d = context;
    return metadata_gathering_add(&d->all, metadata, d->view);
}

/* It is of no time and no series: all are asked. */
static enum err
metadata(struct view *view, const struct query_request *request, struct bytes family,
         enum err (*each)(void *context, const struct metadata *metadata), void *context,
         struct why *why)
{
    const struct merged_view *v = (const struct merged_view *)view;
    struct described_by d = {.view = 0};
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
        .label_names = label_names,
        .label_values = label_values,
        .series = series,
        .free = free_view,
    };
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
