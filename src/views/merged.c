/*
 * merged.c - see stack.h. Samples of a series that several sets have: model/sample_merge.h.
 *
 * Invariants of a set:
 *
 * 1. The present series has at least one member that is READ. All of those have its labels.
 * 2. A WAITING member has the labels of a series that was not returned.
 */
#include "views/stack.h"

#include <assert.h>

#include "model/labels.h"
#include "model/sample_merge.h"
#include "views/gather.h"

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
    return buf_error(&m->labels) ? views_no_memory(why) : OK;
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
        if (least == NULL || labels_compare(buf_bytes(&m->labels), buf_bytes(&least->labels)) < 0)
            least = m;
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
        if (sample_merge_add(&s->samples, m)) return views_no_memory(why);
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
    const char *sentence = NULL;
    for (uint32_t i = 0; i < s->count && sentence == NULL; i++)
        sentence = views_warning(s->members[i].set, &index);
    return sentence;
}

static struct series_cost
merged_set_spent(const struct series_set *set)
{
    const struct merged_set *s = (const struct merged_set *)set;
    struct series_cost all = {.series = 0};
    for (uint32_t i = 0; i < s->count; i++)
        views_add_spent(&all, s->members[i].set);
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
        for (uint32_t i = 0; i < count; i++)
            series_set_free(sets[i]);
        return views_no_memory(why);
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
    for (uint32_t i = 0; i < v->count; i++)
        if (view_concerns(v->views[i], request)) c.views[c.count++] = v->views[i];
    if (c.count == 0) c.views[c.count++] = v->views[0]; /* its answer is empty, too */
    return c;
}

static enum err
select_series(struct view *view, const struct query_request *request, struct series_set **ret_set,
              struct why *why)
{
    struct series_set *sets[MERGED_VIEWS_MAX];
    struct concerned c = concerned_by(view, request);
    if (c.count == 1) return view_select(c.views[0], request, ret_set, why);
    struct query_request below = *request;
    if (below.kind == SELECT_CHUNKS) below.kind = SELECT_SAMPLES;
    below.hints.summaries = 0;
    for (uint32_t i = 0; i < c.count; i++) {
        enum err e = view_select(c.views[i], &below, &sets[i], why);
        if (e == OK) continue;
        while (i-- > 0)
            series_set_free(sets[i]);
        return e;
    }
    return merged_set_new(sets, c.count,
                          views_budget(request, ((const struct merged_view *)view)->budget),
                          ret_set, why);
}

static enum err
merged_look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
               struct bytes name, const struct text_sink *to, struct why *why)
{
    struct concerned c = concerned_by(view, request);
    if (c.count == 1) return view_look_up(c.views[0], kind, request, name, to, why);
    struct text_gathering all;
    struct text_sink here = {text_gathering_add, &all, text_gathering_warn};
    enum err e = OK;
    text_gathering_begin(&all, kind == LOOKUP_SERIES, request->hints.limit, to,
                         views_budget(request, ((const struct merged_view *)view)->budget));
    for (uint32_t i = 0; i < c.count && e == OK; i++) {
        e = view_look_up(c.views[i], kind, request, name, &here, why);
        text_gathering_sort(&all);
    }
    return text_gathering_end(&all, e, why);
}

static enum err
merged_exemplars(struct view *view, const struct query_request *request,
                 const struct exemplar_sink *to, struct why *why)
{
    struct concerned c = concerned_by(view, request);
    if (c.count == 1) return view_exemplars(c.views[0], request, to, why);
    struct exemplar_gathering all;
    struct exemplar_sink here = {exemplar_gathering_add, &all, exemplar_gathering_warn};
    enum err e = OK;
    exemplar_gathering_begin(&all, to,
                             views_budget(request, ((const struct merged_view *)view)->budget));
    for (uint32_t i = 0; i < c.count && e == OK; i++)
        e = view_exemplars(c.views[i], request, &here, why);
    return exemplar_gathering_end(&all, e, true, why);
}

/* Asks all views: metadata depends on neither time nor series. */
static enum err
merged_metadata(struct view *view, const struct query_request *request, struct bytes family,
                enum err (*each)(void *context, const struct metadata *metadata), void *context,
                struct why *why)
{
    const struct merged_view *v = (const struct merged_view *)view;
    struct metadata_gathering all;
    enum err e = OK;
    metadata_gathering_begin(&all, views_budget(request, v->budget));
    for (; all.from < v->count && e == OK; all.from++)
        e = view_metadata(v->views[all.from], request, family, metadata_gathering_add, &all, why);
    return metadata_gathering_end(&all, e, each, context, why);
}

/* --- the view --------------------------------------------------------------------------------- */

static void
merged_free_view(struct view *view)
{
    struct merged_view *v = (struct merged_view *)view;
    for (uint32_t i = 0; i < v->count; i++)
        view_free(v->views[i]);
    mem_free(v->budget, v, sizeof *v);
}

enum err
merged_view_new(struct view *const *views, uint32_t count, struct budget *budget,
                struct view **ret_view, struct why *why)
{
    static const struct view_ops ops = {
        .select = select_series,
        .exemplars = merged_exemplars,
        .metadata = merged_metadata,
        .look_up = merged_look_up,
        .free = merged_free_view,
    };
    assert(count > 0);
    assert(count <= MERGED_VIEWS_MAX);
    struct merged_view *v = count == 1 ? NULL : mem_new(budget, sizeof *v);
    if (count == 1) {
        *ret_view = views[0];
        return OK;
    }
    if (v == NULL) {
        for (uint32_t i = 0; i < count; i++)
            view_free(views[i]);
        return views_no_memory(why);
    }
    v->view.ops = &ops;
    v->budget = budget;
    v->count = count;
    memcpy(v->views, views, count * sizeof *views);
    *ret_view = &v->view;
    return OK;
}
