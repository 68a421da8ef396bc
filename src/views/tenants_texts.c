/*
 * tenants_texts.c - names, values, sets of labels, exemplars and metadata of several tenants, in
 * one order (gather.h). Each name and value is returned once; with a limit no more than that is
 * kept of each tenant.
 */
#include "model/labels.h"
#include "views/gather.h"
#include "views/tenants_private.h"

/* --- texts ------------------------------------------------------------------------------------ */

struct tenants_texts {
    const struct text_sink *to;
    struct tenants_question question;
    struct text_gathering all;
    struct bytes tenant; /* the tenant whose answer comes */
    bool of_names;
    struct buf labels;
};

static enum err
gather(void *context, struct bytes text)
{
    struct tenants_texts *x = context;
    if (x->of_names && bytes_equal_text(text, TENANT_LABEL)) text = bytes_of_text(ORIGINAL_LABEL);
    if (!x->all.of_labels) return text_gathering_add(&x->all, text);
    buf_clear(&x->labels);
    tenant_labels_put(&x->labels, text, x->tenant);
    return buf_error(&x->labels) ? ERR_NOMEM : text_gathering_add(&x->all, buf_bytes(&x->labels));
}

static enum err
forward_warning(void *context, const char *sentence)
{
    struct tenants_texts *x = context;
    return x->to->warning == NULL ? OK : x->to->warning(x->to->context, sentence);
}

static enum err
texts_begin(struct tenants_texts *x, const struct tenants_view *view,
            const struct query_request *request, bool of_labels, const struct text_sink *to,
            struct why *why)
{
    x->to = to;
    enum err e = tenants_question_begin(&x->question, view, request, why);
    text_gathering_begin(&x->all, of_labels, request->hints.limit, x->question.budget);
    buf_init(&x->labels, x->question.budget, GATHERED_LABEL_BYTES_MAX);
    return e;
}

/* Gives the gathered texts to the sink if `e` is OK, and ends the question. */
static enum err
texts_end(struct tenants_texts *x, enum err e, struct why *why)
{
    if (e == ERR_NOMEM) e = tenants_no_memory(why);
    e = text_gathering_end(&x->all, e, x->to);
    buf_fini(&x->labels);
    tenants_question_end(&x->question);
    return e;
}

/* Notes that the tenant has a label; one is enough. */
static enum err
note_any(void *context, struct bytes name)
{
    struct tenants_texts *x = context;
    (void)name;
    enum err e = text_gathering_add(&x->all, x->tenant);
    return e ? e : ERR_CANCELED;
}

/* Returns the tenants that have a series which the matchers select. */
static enum err
tenant_values(const struct tenants_view *view, const struct query_request *request,
              const struct text_sink *to, struct why *why)
{
    struct tenants_texts x = {0};
    struct text_sink here = {.each = note_any, .context = &x, .warning = forward_warning};
    enum err e = texts_begin(&x, view, request, false, to, why);
    for (uint32_t i = 0; i < x.question.tenant_count && e == OK; i++) {
        struct tenant_request *t = &x.question.tenants[i];
        size_t before = x.all.count;
        x.tenant = t->name;
        t->request.hints.limit = 1;
        e = view_label_names(view->below, &t->request, &here, why);
        if (e == ERR_CANCELED && x.all.count > before) e = OK;
    }
    return texts_end(&x, e, why);
}

enum err
tenants_look_up(const struct tenants_view *view, enum lookup_kind kind,
                const struct query_request *request, struct bytes name, const struct text_sink *to,
                struct why *why)
{
    if (bytes_equal_text(name, TENANT_LABEL)) return tenant_values(view, request, to, why);
    if (bytes_equal_text(name, ORIGINAL_LABEL)) name = bytes_of_text(TENANT_LABEL);
    struct tenants_texts x = {.of_names = kind == LOOKUP_NAMES};
    struct text_sink here = {.each = gather, .context = &x, .warning = forward_warning};
    enum err e = texts_begin(&x, view, request, kind == LOOKUP_SERIES, to, why);
    for (uint32_t i = 0; i < x.question.tenant_count && e == OK; i++) {
        x.tenant = x.question.tenants[i].name;
        e = view_look_up(view->below, kind, &x.question.tenants[i].request, name, &here, why);
        text_gathering_sort(&x.all);
    }
    if (e == OK && x.of_names && x.all.count > 0) {
        e = text_gathering_add(&x.all, bytes_of_text(TENANT_LABEL));
        text_gathering_sort(&x.all);
    }
    return texts_end(&x, e, why);
}

/* --- exemplars -------------------------------------------------------------------------------- */

struct tenants_exemplars_sink {
    struct exemplar_gathering all;
    struct bytes tenant;
    struct buf labels; /* labels of the exemplar's series */
    const struct exemplar_sink *to;
    struct why *why;
};

static enum err
gather_exemplar(void *context, const struct exemplar *exemplar)
{
    struct tenants_exemplars_sink *x = context;
    struct exemplar of_tenant = *exemplar;
    buf_clear(&x->labels);
    tenant_labels_put(&x->labels, exemplar->series_labels, x->tenant);
    of_tenant.series_labels = buf_bytes(&x->labels);
    enum err e = buf_error(&x->labels);
    if (e == OK) e = exemplar_gathering_add(&x->all, &of_tenant);
    return e ? tenants_no_memory(x->why) : OK;
}

static enum err
forward_exemplar_warning(void *context, const char *sentence)
{
    struct tenants_exemplars_sink *x = context;
    return x->to->warning == NULL ? OK : x->to->warning(x->to->context, sentence);
}

enum err
tenants_exemplars(const struct tenants_view *view, const struct query_request *request,
                  const struct exemplar_sink *to, struct why *why)
{
    struct tenants_question q;
    struct tenants_exemplars_sink x = {.to = to, .why = why};
    struct exemplar_sink here = {gather_exemplar, &x, forward_exemplar_warning};
    enum err e = tenants_question_begin(&q, view, request, why);
    exemplar_gathering_begin(&x.all, q.budget);
    buf_init(&x.labels, q.budget, GATHERED_LABEL_BYTES_MAX);
    for (uint32_t i = 0; i < q.tenant_count && e == OK; i++) {
        x.tenant = q.tenants[i].name;
        e = view_exemplars(view->below, &q.tenants[i].request, &here, why);
    }
    e = exemplar_gathering_end(&x.all, e, false, to);
    buf_fini(&x.labels);
    tenants_question_end(&q);
    return e;
}

/* --- metadata --------------------------------------------------------------------------------- */

struct tenants_metadata_sink {
    struct metadata_gathering all;
    uint32_t tenant; /* counted */
    struct why *why;
};

static enum err
gather_metadata(void *context, const struct metadata *metadata)
{
    struct tenants_metadata_sink *d = context;
    enum err e = metadata_gathering_add(&d->all, metadata, d->tenant);
    return e ? tenants_no_memory(d->why) : OK;
}

enum err
tenants_metadata(const struct tenants_view *view, const struct query_request *request,
                 struct bytes family,
                 enum err (*each)(void *context, const struct metadata *metadata), void *context,
                 struct why *why)
{
    struct tenants_question q;
    struct tenants_metadata_sink d = {.why = why};
    enum err e = tenants_question_begin(&q, view, request, why);
    metadata_gathering_begin(&d.all, q.budget);
    for (; d.tenant < q.tenant_count && e == OK; d.tenant++) {
        e = view_metadata(view->below, &q.tenants[d.tenant].request, family, gather_metadata, &d,
                          why);
    }
    e = metadata_gathering_end(&d.all, e, each, context);
    tenants_question_end(&q);
    return e;
}
