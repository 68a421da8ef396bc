/*
 * tenants_texts.c - what answerers hand out as it comes, of several tenants in one order: all of it
 * is gathered, sorted, and handed on. Of names and values each is kept once, and where there is a
 * limit no more than that of each tenant.
 */
#include <stdlib.h>

#include "base/array.h"
#include "base/search.h"
#include "model/labels.h"
#include "query/tenants_private.h"

enum { LABEL_BYTES_MAX = 64 * 1024 * 1024 };

/* --- texts ------------------------------------------------------------------------------------ */

struct gathering {
    const struct text_sink *to;
    struct question question;
    struct bytes tenant; /* that is asked */
    bool of_labels;      /* sets of labels, to which the tenant's is added */
    bool of_names;
    uint64_t limit; /* 0: none */
    struct bytes *items;
    size_t count, capacity;
    size_t sorted_count; /* those of the tenants before */
    struct buf labels;
};

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

static enum err
add(struct gathering *g, struct bytes text)
{
    int (*compare)(const void *, const void *) = g->of_labels ? compare_labels : compare_texts;
    size_t at = search_first(i, (size_t)0, g->sorted_count, compare(&g->items[i], &text) >= 0);
    if (g->limit > 0 && at > g->limit) return OK; /* beyond what is wanted */
    if (at < g->sorted_count && bytes_equal(g->items[at], text)) return OK;
    struct bytes copy = arena_copy(&g->question.arena, text);
    if (copy.at == NULL ||
        !array_reserve(g->question.budget, &g->items, &g->capacity, g->count + 1)) {
        return ERR_NOMEM;
    }
    g->items[g->count++] = copy;
    return OK;
}

static enum err
gather(void *context, struct bytes text)
{
    struct gathering *g = context;
    if (g->of_names && bytes_equal_text(text, TENANT_LABEL)) text = bytes_of_text(ORIGINAL_LABEL);
    if (!g->of_labels) return add(g, text);
    buf_clear(&g->labels);
    tenant_labels_put(&g->labels, text, g->tenant);
    return buf_error(&g->labels) ? ERR_NOMEM : add(g, buf_bytes(&g->labels));
}

static enum err
forward_warning(void *context, const char *sentence)
{
    struct gathering *g = context;
    return g->to->warning == NULL ? OK : g->to->warning(g->to->context, sentence);
}

/* What there is so far, in order and each once. */
static void
sort(struct gathering *g)
{
    size_t kept = 0;
    if (g->count == g->sorted_count) return;
    qsort(g->items, g->count, sizeof *g->items, g->of_labels ? compare_labels : compare_texts);
    for (size_t i = 0; i < g->count; i++) {
        if (kept > 0 && bytes_equal(g->items[kept - 1], g->items[i])) continue;
        g->items[kept++] = g->items[i];
    }
    bool more = g->limit > 0 && kept > g->limit + 1;
    g->sorted_count = g->count = more ? (size_t)g->limit + 1 : kept;
}

static enum err
gathering_begin(struct gathering *g, const struct tenants_view *view,
                const struct query_request *request, const struct text_sink *to, struct why *why)
{
    g->to = to;
    g->limit = request->hints.limit < UINT32_MAX ? request->hints.limit : 0;
    enum err e = question_begin(&g->question, view, request, why);
    buf_init(&g->labels, g->question.budget, LABEL_BYTES_MAX);
    return e;
}

/* Hands on what was gathered, if that went well. */
static enum err
gathering_end(struct gathering *g, enum err e, struct why *why)
{
    if (e == ERR_NOMEM) e = question_no_memory(why);
    for (size_t i = 0; i < g->count && e == OK; i++) {
        e = g->to->each(g->to->context, g->items[i]);
    }
    array_free(g->question.budget, g->items, g->capacity);
    buf_fini(&g->labels);
    question_end(&g->question);
    return e;
}

enum err
tenants_label_names(const struct tenants_view *view, const struct query_request *request,
                    const struct text_sink *to, struct why *why)
{
    struct gathering g = {.of_names = true};
    struct text_sink here = {.each = gather, .context = &g, .warning = forward_warning};
    enum err e = gathering_begin(&g, view, request, to, why);
    for (uint32_t i = 0; i < g.question.tenant_count && e == OK; i++) {
        e = view_label_names(view->below, &g.question.tenants[i].request, &here, why);
        sort(&g);
    }
    if (e == OK && g.count > 0) {
        e = add(&g, bytes_of_text(TENANT_LABEL));
        sort(&g);
    }
    return gathering_end(&g, e, why);
}

/* One is enough. */
static enum err
note_any(void *context, struct bytes name)
{
    struct gathering *g = context;
    (void)name;
    enum err e = add(g, g->tenant);
    return e ? e : ERR_CANCELED;
}

/* The tenants that have anything that is meant. */
static enum err
tenant_values(const struct tenants_view *view, const struct query_request *request,
              const struct text_sink *to, struct why *why)
{
    struct gathering g = {0};
    struct text_sink here = {.each = note_any, .context = &g, .warning = forward_warning};
    enum err e = gathering_begin(&g, view, request, to, why);
    for (uint32_t i = 0; i < g.question.tenant_count && e == OK; i++) {
        struct asked_tenant *t = &g.question.tenants[i];
        size_t before = g.count;
        g.tenant = t->name;
        t->request.hints.limit = 1;
        e = view_label_names(view->below, &t->request, &here, why);
        if (e == ERR_CANCELED && g.count > before) e = OK;
    }
    return gathering_end(&g, e, why);
}

enum err
tenants_label_values(const struct tenants_view *view, const struct query_request *request,
                     struct bytes name, const struct text_sink *to, struct why *why)
{
    if (bytes_equal_text(name, TENANT_LABEL)) return tenant_values(view, request, to, why);
    if (bytes_equal_text(name, ORIGINAL_LABEL)) name = bytes_of_text(TENANT_LABEL);
    struct gathering g = {0};
    struct text_sink here = {.each = gather, .context = &g, .warning = forward_warning};
    enum err e = gathering_begin(&g, view, request, to, why);
    for (uint32_t i = 0; i < g.question.tenant_count && e == OK; i++) {
        e = view_label_values(view->below, &g.question.tenants[i].request, name, &here, why);
        sort(&g);
    }
    return gathering_end(&g, e, why);
}

enum err
tenants_series(const struct tenants_view *view, const struct query_request *request,
               const struct text_sink *to, struct why *why)
{
    struct gathering g = {.of_labels = true};
    struct text_sink here = {.each = gather, .context = &g, .warning = forward_warning};
    enum err e = gathering_begin(&g, view, request, to, why);
    for (uint32_t i = 0; i < g.question.tenant_count && e == OK; i++) {
        g.tenant = g.question.tenants[i].name;
        e = view_series(view->below, &g.question.tenants[i].request, &here, why);
        sort(&g);
    }
    return gathering_end(&g, e, why);
}

/* --- exemplars -------------------------------------------------------------------------------- */

struct exemplar_gathering {
    struct question question;
    struct bytes tenant;
    struct exemplar *items; /* of a series in the order in which they came */
    size_t count, capacity;
    struct buf labels; /* of the last one's series */
    const struct exemplar_sink *to;
    struct why *why;
};

static enum err
gather_exemplar(void *context, const struct exemplar *exemplar)
{
    struct exemplar_gathering *g = context;
    struct arena *arena = &g->question.arena;
    struct exemplar x = *exemplar;
    buf_clear(&g->labels);
    tenant_labels_put(&g->labels, exemplar->series_labels, g->tenant);
    if (buf_error(&g->labels)) return question_no_memory(g->why);
    const struct exemplar *last = g->count == 0 ? NULL : &g->items[g->count - 1];
    bool same = last != NULL && bytes_equal(last->series_labels, buf_bytes(&g->labels));
    x.series_labels = same ? last->series_labels : arena_copy(arena, buf_bytes(&g->labels));
    x.labels = arena_copy(arena, exemplar->labels);
    bool copied = x.series_labels.at != NULL && (x.labels.size == 0 || x.labels.at != NULL);
    if (!copied || !array_reserve(g->question.budget, &g->items, &g->capacity, g->count + 1)) {
        return question_no_memory(g->why);
    }
    g->items[g->count++] = x;
    return OK;
}

static enum err
forward_exemplar_warning(void *context, const char *sentence)
{
    struct exemplar_gathering *g = context;
    return g->to->warning == NULL ? OK : g->to->warning(g->to->context, sentence);
}

static int
compare_exemplars(const void *a, const void *b)
{
    const struct exemplar *left = a, *right = b;
    int order = labels_compare(left->series_labels, right->series_labels);
    return order != 0 ? order : exemplar_compare(left, right);
}

enum err
tenants_exemplars(const struct tenants_view *view, const struct query_request *request,
                  const struct exemplar_sink *to, struct why *why)
{
    struct exemplar_gathering g = {.to = to, .why = why};
    struct exemplar_sink here = {gather_exemplar, &g, forward_exemplar_warning};
    enum err e = question_begin(&g.question, view, request, why);
    buf_init(&g.labels, g.question.budget, LABEL_BYTES_MAX);
    for (uint32_t i = 0; i < g.question.tenant_count && e == OK; i++) {
        g.tenant = g.question.tenants[i].name;
        e = view_exemplars(view->below, &g.question.tenants[i].request, &here, why);
    }
    if (g.count > 1) qsort(g.items, g.count, sizeof *g.items, compare_exemplars);
    for (size_t i = 0; i < g.count && e == OK; i++) {
        e = to->each(to->context, &g.items[i]);
    }
    array_free(g.question.budget, g.items, g.capacity);
    buf_fini(&g.labels);
    question_end(&g.question);
    return e;
}

/* --- metadata --------------------------------------------------------------------------------- */

struct described {
    struct metadata metadata;
    uint32_t tenant; /* that says so, counted */
};

struct metadata_gathering {
    struct question question;
    uint32_t tenant;
    struct described *items;
    size_t count, capacity;
    struct why *why;
};

static bool
copy_text(struct arena *arena, struct bytes *text)
{
    if (text->size == 0) return true;
    *text = arena_copy(arena, *text);
    return text->at != NULL;
}

static enum err
gather_metadata(void *context, const struct metadata *m)
{
    struct metadata_gathering *g = context;
    struct arena *arena = &g->question.arena;
    struct described d = {*m, g->tenant};
    if (!copy_text(arena, &d.metadata.family) || !copy_text(arena, &d.metadata.help) ||
        !copy_text(arena, &d.metadata.unit) ||
        !array_reserve(g->question.budget, &g->items, &g->capacity, g->count + 1)) {
        return question_no_memory(g->why);
    }
    g->items[g->count++] = d;
    return OK;
}

static int
compare_described(const void *a, const void *b)
{
    const struct described *left = a, *right = b;
    int order = bytes_compare(left->metadata.family, right->metadata.family);
    return order != 0 ? order : (left->tenant > right->tenant) - (left->tenant < right->tenant);
}

/* Did a tenant before say the same of the family? */
static bool
is_said(const struct metadata_gathering *g, size_t at)
{
    const struct metadata *m = &g->items[at].metadata;
    while (at-- > 0) {
        const struct metadata *before = &g->items[at].metadata;
        if (!bytes_equal(before->family, m->family)) return false;
        if (before->type == m->type && bytes_equal(before->help, m->help) &&
            bytes_equal(before->unit, m->unit)) {
            return true;
        }
    }
    return false;
}

enum err
tenants_metadata(const struct tenants_view *view, const struct query_request *request,
                 struct bytes family,
                 enum err (*each)(void *context, const struct metadata *metadata), void *context,
                 struct why *why)
{
    struct metadata_gathering g = {.why = why};
    enum err e = question_begin(&g.question, view, request, why);
    for (; g.tenant < g.question.tenant_count && e == OK; g.tenant++) {
        e = view_metadata(view->below, &g.question.tenants[g.tenant].request, family,
                          gather_metadata, &g, why);
    }
    if (g.count > 1) qsort(g.items, g.count, sizeof *g.items, compare_described);
    for (size_t i = 0; i < g.count && e == OK; i++) {
        if (!is_said(&g, i)) e = each(context, &g.items[i].metadata);
    }
    array_free(g.question.budget, g.items, g.capacity);
    question_end(&g.question);
    return e;
}
