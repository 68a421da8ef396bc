/*
 * tenants.c - lists of tenants, and the question to each of them: see stack.h.
 *
 * The series of several tenants come in label order, by a heap of the next series of each. One more
 * label in every series keeps the order of a tenant's series, with two exceptions:
 *
 * - A series that has the label itself: its value moves to another label.
 * - A series all of whose names come before "__tenant_id__" is a prefix of series that have more
 *   such names, and comes before them; with the label it comes after them.
 *
 * When such a series is read, its labels go into the heap and wait there: all series that have to
 * come before it are read later. When its turn has come, its samples are selected by a second
 * request to the same view.
 *
 * Shards are those of labels in the answer, so all series are selected below. The set does not
 * report its cost, so that a query of several tenants is not split into shards.
 *
 * Names, values, sets of labels, exemplars and metadata of several tenants are put in one order
 * (gather.h). Each name and value is returned once; with a limit no more than that is kept of each
 * tenant.
 *
 * Invariants:
 *
 * 1. Tenants of a question are in the order of their names, each once, at most TENANTS_AT_ONCE_MAX.
 * 2. A view has a user for each of its sets.
 * 3. The heap has at most one item of each source that does not wait; its labels are the source's.
 * 4. An item that waits owns its memory, which `below` ends.
 * 5. `again` is open only while the present item is one that waited.
 */
#include "views/stack.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/text/texts.h"
#include "model/labels.h"
#include "model/tenant_name.h"
#include "views/gather.h"

struct tenants_view {
    struct view view; /* first: callers get it */
    struct budget *budget;
};

struct tenant_request {
    struct bytes name;
    struct query_request request; /* without hints about labels, which differ below */
};

/* The caller's matchers stay as long as its requests are used. */
struct tenants_question {
    struct arena arena;
    struct budget *budget;
    struct tenant_request *tenants; /* tenants that matchers select, by name */
    uint32_t tenant_count;
    struct matcher **made;
    uint32_t made_count;
};

/* --- lists of names --------------------------------------------------------------------------- */

enum err
tenants_check(struct bytes names, struct why *why)
{
    struct bytes name;
    for (uint32_t count = 0; tenants_next(&names, &name); count++) {
        if (count == TENANTS_AT_ONCE_MAX) {
            return why_set(why, ERR_INPUT, "at most %d tenants can be read at once",
                           TENANTS_AT_ONCE_MAX);
        }
        enum err e = tenant_name_check(name, why);
        if (e) return e;
    }
    return OK;
}

static int
compare_tenants(const void *a, const void *b)
{
    const struct tenant_request *left = a, *right = b;
    return bytes_compare(left->name, right->name);
}

/* Lists the tenants: invariant 1. */
static enum err
find_tenants(struct tenants_question *q, struct bytes names)
{
    struct bytes name;
    uint32_t count = 0;
    q->tenants = arena_new(&q->arena, TENANTS_AT_ONCE_MAX * sizeof *q->tenants);
    if (q->tenants == NULL) return ERR_NOMEM;
    while (count < TENANTS_AT_ONCE_MAX && tenants_next(&names, &name)) {
        struct bytes copy = arena_copy(&q->arena, name);
        if (copy.at == NULL) return ERR_NOMEM;
        q->tenants[count++].name = copy;
    }
    qsort(q->tenants, count, sizeof *q->tenants, compare_tenants);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t last = q->tenant_count;
        if (last > 0 && bytes_equal(q->tenants[last - 1].name, q->tenants[i].name)) continue;
        q->tenants[q->tenant_count++] = q->tenants[i];
    }
    return OK;
}

/* --- the question ----------------------------------------------------------------------------- */

static bool
is_about_tenant(const struct matcher *m)
{
    return bytes_equal_text(matcher_name(m), TENANT_LABEL);
}

/* Copies the sets without matchers of tenants, for the answerer below, where labels have their
 * original names. */
static enum err
make_sets(struct tenants_question *q, const struct query_request *request, struct matcher_set *sets,
          struct why *why)
{
    uint32_t all = 0;
    for (uint32_t i = 0; i < request->set_count; i++)
        all += request->sets[i].count;
    q->made = arena_new(&q->arena, (all + 1) * sizeof *q->made);
    if (q->made == NULL) return views_no_memory(why);
    for (uint32_t i = 0; i < request->set_count; i++) {
        const struct matcher_set *set = &request->sets[i];
        struct matcher **kept = arena_alloc(&q->arena, (set->count + 1) * sizeof *kept);
        if (kept == NULL) return views_no_memory(why);
        sets[i] = (struct matcher_set){kept, 0};
        for (uint32_t k = 0; k < set->count; k++) {
            struct matcher *m = set->matchers[k];
            if (is_about_tenant(m)) continue;
            if (bytes_equal_text(matcher_name(m), ORIGINAL_LABEL)) {
                enum err e = matcher_new(matcher_type(m), bytes_of_text(TENANT_LABEL),
                                         matcher_pattern(m), q->budget, &m, why);
                if (e) return e;
                q->made[q->made_count++] = m;
            }
            kept[sets[i].count++] = m;
        }
    }
    return OK;
}

static bool
is_meant(const struct matcher_set *set, struct bytes tenant)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (!is_about_tenant(set->matchers[i])) continue;
        if (!matcher_matches(set->matchers[i], tenant)) return false;
    }
    return true;
}

/* Makes the requests. Tenants that no set selects are dropped. */
static enum err
make_requests(struct tenants_question *q, const struct query_request *request,
              const struct matcher_set *sets, struct why *why)
{
    uint32_t meant = 0;
    assert(q->tenant_count <= TENANTS_AT_ONCE_MAX); /* invariant 1 */
    for (uint32_t i = 0; i < q->tenant_count; i++) {
        struct tenant_request t = {q->tenants[i].name, *request};
        struct matcher_set *of_tenant =
            arena_alloc(&q->arena, (request->set_count + 1) * sizeof *of_tenant);
        if (of_tenant == NULL) return views_no_memory(why);
        t.request.tenant = t.name;
        t.request.sets = of_tenant;
        t.request.set_count = 0;
        t.request.hints.shard = t.request.hints.shard_count = 0;
        t.request.hints.from_labels = bytes_of(NULL, 0);
        for (uint32_t k = 0; k < request->set_count; k++) {
            if (!is_meant(&request->sets[k], t.name)) continue;
            of_tenant[t.request.set_count++] = sets[k];
        }
        if (request->set_count > 0 && t.request.set_count == 0) continue;
        q->tenants[meant++] = t;
    }
    q->tenant_count = meant;
    return OK;
}

/* tenants_question_end() is required in any case. */
static enum err
tenants_question_begin(struct tenants_question *q, const struct view *view,
                       const struct query_request *request, struct why *why)
{
    struct budget *of_view = ((const struct tenants_view *)view)->budget;
    *q = (struct tenants_question){.budget = views_budget(request, of_view)};
    arena_init(&q->arena, q->budget, 0, 0);
    struct matcher_set *sets = arena_new(&q->arena, (request->set_count + 1) * sizeof *sets);
    if (sets == NULL || find_tenants(q, request->tenant)) return views_no_memory(why);
    enum err e = make_sets(q, request, sets, why);
    return e ? e : make_requests(q, request, sets, why);
}

static void
tenants_question_end(struct tenants_question *q)
{
    for (uint32_t i = 0; i < q->made_count; i++)
        matcher_free(q->made[i]);
    arena_fini(&q->arena);
}

void
tenant_labels_put(struct buf *to, struct bytes labels, struct bytes tenant)
{
    struct label more[2] = {
        {bytes_of_text(TENANT_LABEL), tenant},
        {bytes_of_text(ORIGINAL_LABEL), labels_get(labels, bytes_of_text(TENANT_LABEL))}};
    uint32_t next = 0, count = more[1].value.size > 0 ? 2 : 1;
    struct cursor c = cursor_of(labels);
    for (struct label label; labels_next(&c, &label);) {
        int order = -1;
        while (next < count && (order = bytes_compare(more[next].name, label.name)) <= 0) {
            labels_put(to, more[next++]);
            if (order == 0) break; /* replaces the label */
        }
        if (order != 0) labels_put(to, label);
    }
    while (next < count)
        labels_put(to, more[next++]);
}

/* Says whether the list has only one tenant; `ret` asks for the first. */
static bool
asks_one(const struct query_request *request, struct query_request *ret)
{
    *ret = *request;
    ret->tenant = tenants_first(request->tenant);
    struct bytes names = request->tenant, name;
    while (tenants_next(&names, &name))
        if (!bytes_equal(name, ret->tenant)) return false;
    return true;
}

enum { LABEL_BYTES_MAX = 64 * 1024 * 1024 };

/* The series of a tenant. */
struct tenants_source {
    const struct tenant_request *tenant;
    struct series_set *set;
    struct buf labels; /* labels of its next series, as in the answer */
};

struct tenants_item {
    struct tenants_source *source;
    struct bytes labels;
    struct bytes below; /* labels below of a series that waits: invariant 4; else empty */
};

struct tenants_set {
    struct series_set set; /* first: callers get it */
    struct tenants_view *view;
    struct budget *budget;
    struct tenants_question question;
    struct tenants_source *sources; /* one for each tenant of the question */
    struct tenants_item *items;     /* a heap */
    uint32_t item_count;
    uint32_t item_capacity;
    struct tenants_item current; /* source NULL: there is no present series */
    struct matched_set again;    /* has the samples of the present series, if that waited */
    bool is_found;               /* it is in `again` */
    bool is_at_end;
    struct query_hints shard; /* the wanted shard; in the question's arena, as from_labels */
    struct bytes from_labels;
    struct series_cost spent; /* by sets that were freed */
    struct warnings warnings; /* warnings of sets that were freed; at the end, of all sets */
};

static int
item_compare(const struct tenants_item *a, const struct tenants_item *b)
{
    return labels_compare(a->labels, b->labels);
}

/* --- series that wait ------------------------------------------------------------------------- */

/* Says whether a series may have to wait for the next one of its tenant. */
static bool
has_to_wait(struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    for (struct label label; labels_next(&c, &label);) {
        int order = bytes_compare(label.name, bytes_of_text(TENANT_LABEL));
        if (order >= 0) return order == 0;
    }
    return true;
}

static void
item_release(struct tenants_set *m, const struct tenants_item *item)
{
    if (item->below.at == NULL) return;
    mem_free(m->budget, (void *)(uintptr_t)item->labels.at, item->labels.size + item->below.size);
}

/* Adds the cost of samples that were selected again; the series was counted before. */
static void
add_spent_again(const struct tenants_set *m, struct series_cost *to)
{
    struct series_cost spent = {.series = 0};
    views_add_spent(&spent, m->again.set);
    spent.series = 0;
    series_cost_add(to, &spent);
}

/* --- the set ---------------------------------------------------------------------------------- */

#ifdef LOCK_CHECK
/* Invariants 3 and 4. */
static void
tenants_set_validate(const struct tenants_set *m)
{
    for (uint32_t i = 0; i < m->item_count; i++) {
        const struct tenants_item *a = &m->items[i];
        bool waits = a->below.at != NULL;
        const uint8_t *own = waits ? a->below.at - a->labels.size : a->source->labels.at;
        assert(a->labels.at == own);
        for (uint32_t k = 0; k < i && !waits; k++)
            assert(m->items[k].below.at != NULL || m->items[k].source != a->source);
    }
}
#endif

static enum err
heap_push(struct tenants_set *m, struct tenants_item item, struct why *why)
{
    if (!array_reserve(m->budget, &m->items, &m->item_capacity, m->item_count + 1)) {
        item_release(m, &item);
        return views_no_memory(why);
    }
    heap_up(m->items, m->item_count, item, item_compare(a, b) < 0);
    m->item_count++;
#ifdef LOCK_CHECK
    tenants_set_validate(m);
#endif
    return OK;
}

/* Puts the next series of a tenant that need not wait into the heap, and those before it that do.
 */
static enum err
source_advance(struct tenants_set *m, struct tenants_source *s, struct why *why)
{
    for (bool waits = true; waits;) {
        struct bytes below;
        enum err e = series_set_next(s->set, &below, why);
        if (e || below.at == NULL) return e;
        buf_clear(&s->labels);
        tenant_labels_put(&s->labels, below, s->tenant->name);
        if (buf_error(&s->labels)) return views_no_memory(why);
        struct tenants_item item = {s, buf_bytes(&s->labels), bytes_of(NULL, 0)};
        if (!query_hints_want(&m->shard, item.labels)) continue;
        if (m->from_labels.size > 0 && labels_compare(item.labels, m->from_labels) < 0) continue;
        waits = has_to_wait(below);
        if (waits) {
            uint8_t *copy = mem_alloc(m->budget, item.labels.size + below.size);
            if (copy == NULL) return views_no_memory(why);
            memcpy(copy, item.labels.at, item.labels.size);
            memcpy(copy + item.labels.size, below.at, below.size);
            item.labels.at = copy;
            item.below = bytes_of(copy + item.labels.size, below.size);
        }
        e = heap_push(m, item, why);
        if (e) return e;
    }
    return OK;
}

static enum err
leave_current(struct tenants_set *m, struct why *why)
{
    struct tenants_item item = m->current;
    m->current = (struct tenants_item){0};
    assert(m->again.set == NULL || item.below.at != NULL); /* invariant 5 */
    if (item.source == NULL) return OK;
    if (item.below.at == NULL) return source_advance(m, item.source, why);
    item_release(m, &item);
    enum err e = m->again.set == NULL ? OK : views_take_warnings(&m->warnings, m->again.set, why);
    add_spent_again(m, &m->spent);
    matched_set_fini(&m->again, m->budget);
    return e;
}

static enum err
tenants_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct tenants_set *m = (struct tenants_set *)set;
    enum err e = leave_current(m, why);
    *ret_labels = bytes_of(NULL, 0);
    if (e) return e;
    if (m->item_count == 0) {
        for (uint32_t i = 0; i < m->question.tenant_count && e == OK && !m->is_at_end; i++)
            e = views_take_warnings(&m->warnings, m->sources[i].set, why);
        m->is_at_end = e == OK;
        return e;
    }
    m->current = m->items[0];
    struct tenants_item last = m->items[--m->item_count];
    if (m->item_count > 0) heap_down(m->items, m->item_count, 0, last, item_compare(a, b) < 0);
    *ret_labels = m->current.labels;
    return OK;
}

static enum err
tenants_set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct tenants_set *m = (struct tenants_set *)set;
    assert(m->current.source != NULL); /* there is a present series */
    if (m->current.below.at == NULL)
        return series_set_batch(m->current.source->set, ret_batch, why);
    *ret_batch = (struct sample_batch){.count = 0};
    if (m->again.set == NULL) {
        enum err e =
            matched_set_find(&m->again, m->view->view.below, &m->current.source->tenant->request,
                             m->current.below, m->budget, &m->is_found, why);
        if (e) return e;
    }
    /* Only damage can hide the series, with a warning. */
    return m->is_found ? series_set_batch(m->again.set, ret_batch, why) : OK;
}

static const char *
tenants_set_warning(struct series_set *set, uint32_t index)
{
    struct tenants_set *m = (struct tenants_set *)set;
    const char *sentence;
    for (uint32_t i = 0; (sentence = warnings_at(&m->warnings, i)) != NULL; i++)
        if (index-- == 0) return sentence;
    for (uint32_t i = 0; i < m->question.tenant_count && !m->is_at_end && sentence == NULL; i++)
        sentence = views_warning(m->sources[i].set, &index);
    return sentence;
}

static struct series_cost
tenants_set_spent(const struct series_set *set)
{
    const struct tenants_set *m = (const struct tenants_set *)set;
    struct series_cost all = m->spent;
    for (uint32_t i = 0; i < m->question.tenant_count; i++)
        views_add_spent(&all, m->sources[i].set);
    add_spent_again(m, &all);
    return all;
}

static void
tenants_set_free(struct series_set *set)
{
    struct tenants_set *m = (struct tenants_set *)set;
    for (uint32_t i = 0; m->sources != NULL && i < m->question.tenant_count; i++) {
        series_set_free(m->sources[i].set);
        buf_fini(&m->sources[i].labels);
    }
    matched_set_fini(&m->again, m->budget);
    item_release(m, &m->current);
    for (uint32_t i = 0; i < m->item_count; i++)
        item_release(m, &m->items[i]);
    array_free(m->budget, m->items, m->item_capacity);
    warnings_fini(&m->warnings);
    tenants_question_end(&m->question);
    view_free(&m->view->view);
    mem_free(m->budget, m, sizeof *m);
}

static enum err
open_sources(struct tenants_set *m, struct why *why)
{
    uint32_t count = m->question.tenant_count;
    m->sources = arena_new(&m->question.arena, (count + 1) * sizeof *m->sources);
    if (m->sources == NULL) return views_no_memory(why);
    for (uint32_t i = 0; i < count; i++) {
        struct tenants_source *s = &m->sources[i];
        s->tenant = &m->question.tenants[i];
        buf_init(&s->labels, m->budget, LABEL_BYTES_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct tenants_source *s = &m->sources[i];
        enum err e = view_select(m->view->view.below, &s->tenant->request, &s->set, why);
        if (e == OK) e = source_advance(m, s, why);
        if (e) return e;
    }
    return OK;
}

static enum err
tenants_select(struct view *view, const struct query_request *request, struct series_set **ret_set,
               struct why *why)
{
    static const struct series_set_ops ops = {.next = tenants_set_next,
                                              .batch = tenants_set_batch,
                                              .warning = tenants_set_warning,
                                              .spent = tenants_set_spent,
                                              .free = tenants_set_free};
    struct tenants_view *v = (struct tenants_view *)view;
    struct query_request one;
    if (asks_one(request, &one)) return view_select(view->below, &one, ret_set, why);
    struct budget *budget = views_budget(request, v->budget);
    struct tenants_set *m = mem_new(budget, sizeof *m);
    if (m == NULL) return views_no_memory(why);
    m->set.ops = &ops;
    m->view = v;
    view_hold(view); /* invariant 2 */
    m->budget = budget;
    warnings_init(&m->warnings, budget);
    enum err e = tenants_question_begin(&m->question, view, request, why);
    if (e == OK && query_hints_keep_shard(&request->hints, &m->question.arena, &m->shard))
        e = views_no_memory(why);
    m->from_labels = arena_copy(&m->question.arena, request->hints.from_labels);
    if (e == OK && request->hints.from_labels.size > 0 && m->from_labels.at == NULL)
        e = views_no_memory(why);
    if (e == OK) e = open_sources(m, why);
    if (e)
        tenants_set_free(&m->set);
    else
        *ret_set = &m->set;
    return e;
}

/* --- texts ------------------------------------------------------------------------------------ */

struct tenants_texts {
    struct text_gathering all; /* first */
    struct tenants_question question;
    struct bytes tenant; /* the tenant whose answer comes */
    bool of_names;
};

static enum err
gather(void *context, struct bytes text)
{
    struct tenants_texts *x = context;
    if (x->of_names && bytes_equal_text(text, TENANT_LABEL)) text = bytes_of_text(ORIGINAL_LABEL);
    if (!x->all.of_labels) return text_gathering_add(&x->all, text);
    struct buf *labels = &x->all.labels;
    buf_clear(labels);
    tenant_labels_put(labels, text, x->tenant);
    return buf_error(labels) ? ERR_NOMEM : text_gathering_add(&x->all, buf_bytes(labels));
}

static enum err
texts_begin(struct tenants_texts *x, const struct view *view, const struct query_request *request,
            bool of_labels, const struct text_sink *to, struct why *why)
{
    enum err e = tenants_question_begin(&x->question, view, request, why);
    text_gathering_begin(&x->all, of_labels, request->hints.limit, to, x->question.budget);
    return e;
}

/* Gives the gathered texts to the sink if `e` is OK, and ends the question. */
static enum err
texts_end(struct tenants_texts *x, enum err e, struct why *why)
{
    e = text_gathering_end(&x->all, e, why);
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
tenant_values(const struct view *view, const struct query_request *request,
              const struct text_sink *to, struct why *why)
{
    struct tenants_texts x = {0};
    struct text_sink here = {.each = note_any, .context = &x, .warning = text_gathering_warn};
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

static enum err
tenants_look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
                struct bytes name, const struct text_sink *to, struct why *why)
{
    struct query_request one;
    if (asks_one(request, &one)) return view_look_up(view->below, kind, &one, name, to, why);
    if (bytes_equal_text(name, TENANT_LABEL)) return tenant_values(view, request, to, why);
    if (bytes_equal_text(name, ORIGINAL_LABEL)) name = bytes_of_text(TENANT_LABEL);
    struct tenants_texts x = {.of_names = kind == LOOKUP_NAMES};
    struct text_sink here = {.each = gather, .context = &x, .warning = text_gathering_warn};
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

/* --- exemplars and metadata ------------------------------------------------------------------- */

struct tenants_exemplars_sink {
    struct exemplar_gathering all; /* first */
    struct bytes tenant;
};

static enum err
tenants_gather_exemplar(void *context, const struct exemplar *exemplar)
{
    struct tenants_exemplars_sink *x = context;
    struct exemplar of_tenant = *exemplar;
    struct buf *labels = &x->all.labels;
    buf_clear(labels);
    tenant_labels_put(labels, exemplar->series_labels, x->tenant);
    of_tenant.series_labels = buf_bytes(labels);
    return buf_error(labels) ? ERR_NOMEM : exemplar_gathering_add(&x->all, &of_tenant);
}

static enum err
tenants_exemplars(struct view *view, const struct query_request *request,
                  const struct exemplar_sink *to, struct why *why)
{
    struct query_request one;
    if (asks_one(request, &one)) return view_exemplars(view->below, &one, to, why);
    struct tenants_question q;
    struct tenants_exemplars_sink x;
    struct exemplar_sink here = {tenants_gather_exemplar, &x, exemplar_gathering_warn};
    enum err e = tenants_question_begin(&q, view, request, why);
    exemplar_gathering_begin(&x.all, to, q.budget);
    for (uint32_t i = 0; i < q.tenant_count && e == OK; i++) {
        x.tenant = q.tenants[i].name;
        e = view_exemplars(view->below, &q.tenants[i].request, &here, why);
    }
    e = exemplar_gathering_end(&x.all, e, false, why);
    tenants_question_end(&q);
    return e;
}

static enum err
tenants_metadata(struct view *view, const struct query_request *request, struct bytes family,
                 enum err (*each)(void *context, const struct metadata *metadata), void *context,
                 struct why *why)
{
    struct query_request one;
    if (asks_one(request, &one))
        return view_metadata(view->below, &one, family, each, context, why);
    struct tenants_question q;
    struct metadata_gathering all;
    enum err e = tenants_question_begin(&q, view, request, why);
    metadata_gathering_begin(&all, q.budget);
    for (; all.from < q.tenant_count && e == OK; all.from++) {
        e = view_metadata(view->below, &q.tenants[all.from].request, family, metadata_gathering_add,
                          &all, why);
    }
    e = metadata_gathering_end(&all, e, each, context, why);
    tenants_question_end(&q);
    return e;
}

/* --- the view --------------------------------------------------------------------------------- */

/* Adds the surveys of all tenants. */
static enum err
tenants_survey(struct view *view, const struct query_request *request, struct series_survey *ret,
               struct why *why)
{
    struct tenants_question q;
    struct query_request of_one;
    bool known;
    *ret = (struct series_survey){.exact = true};
    if (asks_one(request, &of_one)) return view_survey(view->below, &of_one, ret, &known, why);
    enum err e = tenants_question_begin(&q, view, request, why);
    for (uint32_t i = 0; i < q.tenant_count && e == OK; i++) {
        struct series_survey one = {.exact = false};
        e = view_survey(view->below, &q.tenants[i].request, &one, &known, why);
        ret->exact &= one.exact;
        series_cost_add(&ret->cost, &one.cost);
        series_cost_add(&ret->guess, &one.guess);
    }
    tenants_question_end(&q);
    return e;
}

static int64_t
tenants_same_before(const struct view *view, struct bytes tenant, const struct view_mark *before)
{
    struct bytes name;
    int64_t least = INT64_MAX;
    while (tenants_next(&tenant, &name)) {
        int64_t before_ms = view_same_before(view->below, name, before);
        if (before_ms < least) least = before_ms;
    }
    return least;
}

static void
tenants_free_view(struct view *view)
{
    view_free(view->below);
    mem_free(((struct tenants_view *)view)->budget, view, sizeof(struct tenants_view));
}

/* --- the answerer ----------------------------------------------------------------------------- */

struct tenants_answerer {
    struct answerer answerer; /* first: callers get it */
    struct answerer *below;
};

static enum err
open_view(struct answerer *answerer, struct query_control *control, struct view **ret_view,
          struct why *why)
{
    static const struct view_ops ops = {
        .select = tenants_select,
        .exemplars = tenants_exemplars,
        .metadata = tenants_metadata,
        .look_up = tenants_look_up,
        .survey = tenants_survey,
        .same_before = tenants_same_before,
        .free = tenants_free_view,
    };
    struct answerer *below = ((struct tenants_answerer *)answerer)->below;
    struct budget *budget = control == NULL ? NULL : control->budget;
    struct tenants_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) return views_no_memory(why);
    v->view.ops = &ops;
    v->budget = budget;
    enum err e = view_open(below, control, &v->view.below, why);
    if (e)
        mem_free(budget, v, sizeof *v);
    else
        *ret_view = &v->view;
    return e;
}

static void
find_range(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms)
{
    struct answerer *below = ((struct tenants_answerer *)answerer)->below;
    below->ops->range(below, ret_min_ms, ret_max_ms);
}

static void
free_answerer(struct answerer *answerer)
{
    mem_free(NULL, answerer, sizeof(struct tenants_answerer));
}

enum err
tenants_answerer_new(struct answerer *below, struct answerer **ret)
{
    static const struct answerer_ops ops = {open_view, find_range, free_answerer};
    struct tenants_answerer *a = mem_new(NULL, sizeof *a);
    if (a == NULL) return ERR_NOMEM;
    a->answerer = *below;
    a->answerer.ops = &ops;
    a->below = below;
    *ret = &a->answerer;
    return OK;
}
