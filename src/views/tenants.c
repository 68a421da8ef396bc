/*
 * tenants.c - lists of tenants, and the question to each of them.
 *
 * Invariants:
 *
 * 1. Tenants of a question are in the order of their names, each once, at most TENANTS_AT_ONCE_MAX.
 * 2. A view is freed with its last reference; its sets have one each.
 */
#include "views/tenants_private.h"

#include <assert.h>
#include <stdlib.h>

#include "model/labels.h"
#include "model/tenant_name.h"

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

/* Returns true if all names are the same. */
static bool
is_one_tenant(struct bytes names)
{
    struct bytes name, first = tenants_first(names);
    while (tenants_next(&names, &name)) {
        if (!bytes_equal(name, first)) return false;
    }
    return true;
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

enum err
tenants_no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

static bool
is_about_tenant(const struct matcher *m)
{
    return bytes_equal_text(matcher_name(m), TENANT_LABEL);
}

/* Translates a matcher for the answerer below, where labels have their original names. */
static enum err
put_matcher(struct tenants_question *q, struct matcher *m, struct matcher **ret, struct why *why)
{
    *ret = m;
    if (!bytes_equal_text(matcher_name(m), ORIGINAL_LABEL)) return OK;
    enum err e = matcher_new(matcher_type(m), bytes_of_text(TENANT_LABEL), matcher_pattern(m),
                             q->budget, ret, why);
    if (e == OK) q->made[q->made_count++] = *ret;
    return e;
}

/* Copies the sets without matchers of tenants. */
static enum err
make_sets(struct tenants_question *q, const struct query_request *request, struct matcher_set *sets,
          struct why *why)
{
    uint32_t all = 0;
    for (uint32_t i = 0; i < request->set_count; i++) {
        all += request->sets[i].count;
    }
    q->made = arena_new(&q->arena, (all + 1) * sizeof *q->made);
    if (q->made == NULL) return tenants_no_memory(why);
    for (uint32_t i = 0; i < request->set_count; i++) {
        const struct matcher_set *set = &request->sets[i];
        struct matcher **kept = arena_alloc(&q->arena, (set->count + 1) * sizeof *kept);
        if (kept == NULL) return tenants_no_memory(why);
        sets[i] = (struct matcher_set){kept, 0};
        for (uint32_t k = 0; k < set->count; k++) {
            if (is_about_tenant(set->matchers[k])) continue;
            enum err e = put_matcher(q, set->matchers[k], &kept[sets[i].count], why);
            if (e) return e;
            sets[i].count++;
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
        if (of_tenant == NULL) return tenants_no_memory(why);
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

enum err
tenants_question_begin(struct tenants_question *q, const struct tenants_view *view,
                       const struct query_request *request, struct why *why)
{
    *q = (struct tenants_question){.budget = request->control == NULL ? view->budget
                                                                      : request->control->budget};
    arena_init(&q->arena, q->budget, 0, 0);
    struct matcher_set *sets = arena_new(&q->arena, (request->set_count + 1) * sizeof *sets);
    if (sets == NULL || find_tenants(q, request->tenant)) return tenants_no_memory(why);
    enum err e = make_sets(q, request, sets, why);
    return e ? e : make_requests(q, request, sets, why);
}

void
tenants_question_end(struct tenants_question *q)
{
    for (uint32_t i = 0; i < q->made_count; i++) {
        matcher_free(q->made[i]);
    }
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
    while (next < count) {
        labels_put(to, more[next++]);
    }
}

/* --- the view --------------------------------------------------------------------------------- */

void
tenants_view_unref(struct tenants_view *v)
{
    uint32_t before = atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel);
    assert(before > 0); /* invariant 2 */
    if (before > 1) return;
    view_free(v->below);
    mem_free(v->budget, v, sizeof *v);
}

/* Says whether the list has only one tenant; `ret` asks for the first. */
static bool
asks_one(const struct query_request *request, struct query_request *ret)
{
    *ret = *request;
    ret->tenant = tenants_first(request->tenant);
    return is_one_tenant(request->tenant);
}

static enum err
select_series(struct view *view, const struct query_request *request, struct series_set **ret_set,
              struct why *why)
{
    struct tenants_view *v = (struct tenants_view *)view;
    struct query_request one;
    return asks_one(request, &one) ? view_select(v->below, &one, ret_set, why)
                                   : tenants_select(v, request, ret_set, why);
}

static enum err
exemplars(struct view *view, const struct query_request *request, const struct exemplar_sink *to,
          struct why *why)
{
    struct tenants_view *v = (struct tenants_view *)view;
    struct query_request one;
    return asks_one(request, &one) ? view_exemplars(v->below, &one, to, why)
                                   : tenants_exemplars(v, request, to, why);
}

static enum err
metadata(struct view *view, const struct query_request *request, struct bytes family,
         enum err (*each)(void *context, const struct metadata *metadata), void *context,
         struct why *why)
{
    struct tenants_view *v = (struct tenants_view *)view;
    struct query_request one;
    return asks_one(request, &one) ? view_metadata(v->below, &one, family, each, context, why)
                                   : tenants_metadata(v, request, family, each, context, why);
}

static enum err
look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
        struct bytes name, const struct text_sink *to, struct why *why)
{
    struct tenants_view *v = (struct tenants_view *)view;
    struct query_request one;
    return asks_one(request, &one) ? view_look_up(v->below, kind, &one, name, to, why)
                                   : tenants_look_up(v, kind, request, name, to, why);
}

/* Adds the surveys of all tenants. */
static enum err
survey(struct view *view, const struct query_request *request, struct series_survey *ret,
       struct why *why)
{
    const struct tenants_view *v = (const struct tenants_view *)view;
    struct tenants_question q;
    struct query_request of_one;
    bool known;
    *ret = (struct series_survey){.exact = true};
    if (asks_one(request, &of_one)) return view_survey(v->below, &of_one, ret, &known, why);
    enum err e = tenants_question_begin(&q, v, request, why);
    for (uint32_t i = 0; i < q.tenant_count && e == OK; i++) {
        struct series_survey one = {.exact = false};
        e = view_survey(v->below, &q.tenants[i].request, &one, &known, why);
        ret->exact &= one.exact;
        series_cost_add(&ret->cost, &one.cost);
        series_cost_add(&ret->guess, &one.guess);
    }
    tenants_question_end(&q);
    return e;
}

static struct view_mark
mark(const struct view *view)
{
    struct view_mark mark = {0};
    (void)view_has_mark(((const struct tenants_view *)view)->below, &mark);
    return mark;
}

static int64_t
same_before(const struct view *view, struct bytes tenant, const struct view_mark *before)
{
    const struct tenants_view *v = (const struct tenants_view *)view;
    struct view_mark now;
    struct bytes name;
    int64_t least = INT64_MAX;
    if (!view_has_mark(v->below, &now)) return INT64_MIN;
    while (tenants_next(&tenant, &name)) {
        int64_t before_ms = view_same_before(v->below, name, before);
        if (before_ms < least) least = before_ms;
    }
    return least;
}

static void
free_view(struct view *view)
{
    tenants_view_unref((struct tenants_view *)view);
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
        .select = select_series,
        .exemplars = exemplars,
        .metadata = metadata,
        .look_up = look_up,
        .survey = survey,
        .mark = mark,
        .same_before = same_before,
        .free = free_view,
    };
    struct answerer *below = ((struct tenants_answerer *)answerer)->below;
    struct budget *budget = control == NULL ? NULL : control->budget;
    struct tenants_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) return tenants_no_memory(why);
    v->view.ops = &ops;
    v->budget = budget;
    v->no_labels = below->no_labels;
    atomic_init(&v->references, 1);
    enum err e = view_open(below, control, &v->below, why);
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
