/*
 * merged.c - see merged.h. Samples of a series that several sets have: model/sample_merge.h.
 *
 * Invariants of a set:
 *
 * 1. The present series has at least one member that is READ. All of those have its labels.
 * 2. A WAITING member has the labels of a series that was not returned.
 */
#include "views/merged.h"

#include <assert.h>

#include "model/labels.h"
#include "model/sample_merge.h"
#include "views/gather.h"

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* A set, with its next series. */
struct merged_member {
    struct series_set *set;
    enum {
        MEMBER_UNREAD,  /* its first series is to be read */
        MEMBER_WAITING, /* its series is a later one of the answer */
        MEMBER_READ,    /* its series is the present one of the answer */
        MEMBER_ENDED,
    } state;
    struct buf labels;
};

struct merged_set {
    struct series_set set; /* first: callers get it */
    struct budget *budget;
    uint32_t count;
    struct sample_merge samples; /* samples of the current series */
    struct merged_member members[];
};

/* --- series ----------------------------------------------------------------------------------- */

static enum err
member_advance(struct merged_member *m, struct why *why)
{
    struct bytes labels;
    enum err e = series_set_next(m->set, &labels, why);
    m->state = MEMBER_WAITING;
    if (e) return e;
    buf_clear(&m->labels);
    if (labels.at == NULL) {
        m->state = MEMBER_ENDED;
        return OK;
    }
    buf_put_bytes(&m->labels, labels);
    return buf_error(&m->labels) ? no_memory(why) : OK;
}

static enum err
merged_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct merged_set *s = (struct merged_set *)set;
    const struct merged_member *least = NULL;
    *ret_labels = bytes_of(NULL, 0);
    for (uint32_t i = 0; i < s->count; i++) {
        struct merged_member *m = &s->members[i];
        bool is_past = m->state == MEMBER_READ || m->state == MEMBER_UNREAD;
        enum err e = is_past ? member_advance(m, why) : OK;
        if (e) return e;
        if (m->state == MEMBER_ENDED) continue;
        assert(m->state == MEMBER_WAITING); /* invariant 2 */
        if (least == NULL || labels_compare(buf_bytes(&m->labels), buf_bytes(&least->labels)) < 0) {
            least = m;
        }
    }
    sample_merge_clear(&s->samples);
    if (least == NULL) return OK;
    *ret_labels = buf_bytes(&least->labels);
    if (ret_labels->size == 0) *ret_labels = bytes_of("", 0); /* a series without labels */
    for (uint32_t i = 0; i < s->count; i++) {
        struct merged_member *m = &s->members[i];
        bool is_in = m->state == MEMBER_WAITING && bytes_equal(buf_bytes(&m->labels), *ret_labels);
        if (!is_in) continue;
        m->state = MEMBER_READ;
        if (sample_merge_add(&s->samples, m)) return no_memory(why);
    }
    assert(least->state == MEMBER_READ); /* invariant 1 */
    return OK;
}

/* --- samples ---------------------------------------------------------------------------------- */

static enum err
member_batch(void *from, struct sample_batch *ret_batch, struct why *why)
{
    return series_set_batch(((struct merged_member *)from)->set, ret_batch, why);
}

static enum err
merged_set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    return sample_merge_batch(&((struct merged_set *)set)->samples, ret_batch, why);
}

/* --- a set ------------------------------------------------------------------------------------ */

static const char *
merged_set_warning(struct series_set *set, uint32_t index)
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
merged_set_spent(const struct series_set *set)
{
    const struct merged_set *s = (const struct merged_set *)set;
    struct series_cost all = {.series = 0}, one;
    for (uint32_t i = 0; i < s->count; i++) {
        if (series_set_spent(s->members[i].set, &one)) series_cost_add(&all, &one);
    }
    return all;
}

static void
merged_set_free(struct series_set *set)
{
    struct merged_set *s = (struct merged_set *)set;
    for (uint32_t i = 0; i < s->count; i++) {
        series_set_free(s->members[i].set);
        buf_fini(&s->members[i].labels);
    }
    sample_merge_fini(&s->samples);
    mem_free(s->budget, s, sizeof *s + s->count * sizeof *s->members);
}

enum err
merged_set_new(struct series_set *const *sets, uint32_t count, struct budget *budget,
               struct series_set **ret_set, struct why *why)
{
    static const struct series_set_ops ops = {.next = merged_set_next,
                                              .batch = merged_set_batch,
                                              .warning = merged_set_warning,
                                              .spent = merged_set_spent,
                                              .free = merged_set_free};
    assert(count > 0);
    struct merged_set *s =
        count == 1 ? NULL : mem_new(budget, sizeof *s + count * sizeof *s->members);
    if (count == 1) {
        *ret_set = sets[0];
        return OK;
    }
    if (s == NULL) {
        for (uint32_t i = 0; i < count; i++) {
            series_set_free(sets[i]);
        }
        return no_memory(why);
    }
    s->set.ops = &ops;
    s->budget = budget;
    s->count = count;
    sample_merge_init(&s->samples, member_batch, budget);
    for (uint32_t i = 0; i < count; i++) {
        s->members[i].set = sets[i];
        buf_init(&s->members[i].labels, budget, GATHERED_LABEL_BYTES_MAX);
    }
    *ret_set = &s->set;
    return OK;
}

/* --- the view and its questions --------------------------------------------------------------- */

struct merged_view {
    struct view view; /* first: callers get it */
    struct budget *budget;
    uint32_t count;
    struct view *views[MERGED_VIEWS_MAX];
};

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
