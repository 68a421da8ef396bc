/*
 * usage_view.c - see usage.h: the answerer that counts.
 *
 * A question whose selectors all require a name is passed on as it is. For the others the set of
 * series is wrapped, to see their names; these are first among the labels of most series, so that
 * series with one name follow each other.
 *
 * Invariant 1. A view exists until it and all its sets are freed, because sets count, too.
 */
#include <assert.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/lock.h"
#include "base/table.h"
#include "views/usage.h"
#include "wire/label_bytes.h"

struct usage_view {
    struct view view; /* first: callers get it */
    struct view_ops ops;
    struct view *below;
    struct usage *usage;
    struct budget *budget;
    enum asker asker;
    _Atomic uint32_t references; /* acquire-release: the last one frees; sets have one each */

    struct lock lock;  /* LOCK_RANK_LEAF; guards to the end */
    struct table seen; /* of indexes of hashes: metrics that this view has counted */
    uint64_t *hashes;
    uint32_t hash_count, hash_capacity;
};

static void
view_unref(struct usage_view *v)
{
    if (atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel) > 1) return;
    table_fini(&v->seen, v->budget);
    array_free(v->budget, v->hashes, v->hash_capacity);
    lock_fini(&v->lock);
    mem_free(v->budget, v, sizeof *v);
}

/* --- counting --------------------------------------------------------------------------------- */

/* Says whether the view sees a metric of a tenant for the first time; also if there is no memory to
 * remember it. */
static bool
is_new(struct usage_view *v, uint64_t hash)
{
    bool found = false;
    lock_take(&v->lock);
    for (uint32_t at = TABLE_START, id; table_next(&v->seen, hash, &at, &id) && !found;) {
        found = v->hashes[id] == hash;
    }
    if (!found && array_reserve(v->budget, &v->hashes, &v->hash_capacity, v->hash_count + 1) &&
        table_reserve(&v->seen, v->budget, 1)) {
        table_add(&v->seen, hash, v->hash_count);
        v->hashes[v->hash_count++] = hash;
    }
    lock_drop(&v->lock);
    return !found;
}

static void
note(struct usage_view *v, struct bytes tenant, uint64_t tenant_hash, struct bytes metric,
     bool is_lookup)
{
    enum usage_kind kind = is_lookup                ? USAGE_LOOKUP
                           : v->asker == ASKER_RULE ? USAGE_RULE
                                                    : USAGE_QUERY;
    if (is_new(v, hash_bytes(metric, tenant_hash))) usage_note(v->usage, tenant, metric, kind);
}

/* Counts the names that the selectors require. False: one of them requires none. */
static bool
note_required(struct usage_view *v, const struct query_request *r, bool is_lookup)
{
    uint64_t tenant_hash = hash_bytes(r->tenant, 0);
    bool all = r->set_count > 0;
    for (uint32_t i = 0; i < r->set_count; i++) {
        bool any = false;
        for (uint32_t k = 0; k < r->sets[i].count; k++) {
            const struct matcher *m = r->sets[i].matchers[k];
            struct bytes metric = matcher_pattern(m);
            if (matcher_type(m) != MATCH_EQUAL || metric.size == 0 ||
                !bytes_equal(matcher_name(m), bytes_of_text("__name__")))
                continue;
            note(v, r->tenant, tenant_hash, metric, is_lookup);
            any = true;
        }
        all &= any;
    }
    return all;
}

/* --- series of selectors without a name ------------------------------------------------------- */

struct usage_set {
    struct series_set set; /* first: callers get it */
    struct series_set_ops ops;
    struct series_set *below;
    struct usage_view *of;
    struct budget *budget;
    struct bytes tenant; /* follows the struct */
    uint64_t tenant_hash;
    uint64_t last_hash; /* of the name of the series before */
};

static enum err
usage_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct usage_set *s = (struct usage_set *)set;
    enum err e = series_set_next(s->below, ret_labels, why);
    struct bytes metric;
    if (e || ret_labels->at == NULL) return e;
    metric = labels_get(*ret_labels, bytes_of_text("__name__"));
    uint64_t hash = hash_bytes(metric, s->tenant_hash);
    if (hash != s->last_hash) note(s->of, s->tenant, s->tenant_hash, metric, false);
    s->last_hash = hash;
    return OK;
}

static enum err
usage_set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    return series_set_batch(((struct usage_set *)set)->below, ret_batch, why);
}

static const char *
usage_set_warning(struct series_set *set, uint32_t index)
{
    return series_set_warning(((struct usage_set *)set)->below, index);
}

static struct series_cost
usage_set_cost(const struct series_set *set)
{
    return series_set_cost(((const struct usage_set *)set)->below);
}

static struct series_cost
usage_set_spent(const struct series_set *set)
{
    struct series_cost spent = {.series = 0};
    (void)series_set_spent(((const struct usage_set *)set)->below, &spent);
    return spent;
}

static void
usage_set_free(struct series_set *set)
{
    struct usage_set *s = (struct usage_set *)set;
    struct usage_view *v = s->of;
    series_set_free(s->below);
    mem_free(s->budget, s, sizeof *s + s->tenant.size);
    view_unref(v);
}

/* --- the view --------------------------------------------------------------------------------- */

static enum err
select_series(struct view *view, const struct query_request *request, struct series_set **ret_set,
              struct why *why)
{
    struct usage_view *v = (struct usage_view *)view;
    if (note_required(v, request, false)) return view_select(v->below, request, ret_set, why);
    struct budget *budget = request->budget != NULL ? request->budget : v->budget;
    struct usage_set *s = mem_new(budget, sizeof *s + request->tenant.size);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    enum err e = view_select(v->below, request, &s->below, why);
    if (e) {
        mem_free(budget, s, sizeof *s + request->tenant.size);
        return e;
    }
    s->ops = (struct series_set_ops){usage_set_next, usage_set_batch, usage_set_warning,
                                     usage_set_cost, usage_set_spent, usage_set_free};
    if (s->below->ops->cost == NULL) s->ops.cost = NULL;
    if (s->below->ops->spent == NULL) s->ops.spent = NULL;
    s->set.ops = &s->ops;
    s->of = v;
    s->budget = budget;
    s->tenant = bytes_of(s + 1, request->tenant.size);
    memcpy(s + 1, request->tenant.at, request->tenant.size);
    s->tenant_hash = hash_bytes(request->tenant, 0);
    atomic_fetch_add_explicit(&v->references, 1, memory_order_relaxed); /* invariant 1 */
    *ret_set = &s->set;
    return OK;
}

static enum err
look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
        struct bytes name, const struct text_sink *to, struct why *why)
{
    struct usage_view *v = (struct usage_view *)view;
    (void)note_required(v, request, true);
    return view_look_up(v->below, kind, request, name, to, why);
}

static enum err
exemplars(struct view *view, const struct query_request *request, const struct exemplar_sink *to,
          struct why *why)
{
    struct usage_view *v = (struct usage_view *)view;
    (void)note_required(v, request, true);
    return view_exemplars(v->below, request, to, why);
}

static enum err
metadata(struct view *view, const struct query_request *request, struct bytes family,
         enum err (*each)(void *context, const struct metadata *metadata), void *context,
         struct why *why)
{
    return view_metadata(((struct usage_view *)view)->below, request, family, each, context, why);
}

static struct view_mark
mark(const struct view *view)
{
    const struct view *below = ((const struct usage_view *)view)->below;
    return below->ops->mark(below);
}

static int64_t
same_before(const struct view *view, struct bytes tenant, const struct view_mark *before)
{
    return view_same_before(((const struct usage_view *)view)->below, tenant, before);
}

static enum err
survey(struct view *view, const struct query_request *request, struct series_survey *ret,
       struct why *why)
{
    struct view *below = ((struct usage_view *)view)->below;
    return below->ops->survey(below, request, ret, why);
}

static bool
concerns(const struct view *view, const struct query_request *request)
{
    return view_concerns(((const struct usage_view *)view)->below, request);
}

static bool
lacks(struct view *view)
{
    return view_lacks(((struct usage_view *)view)->below);
}

static void
free_view(struct view *view)
{
    struct usage_view *v = (struct usage_view *)view;
    view_free(v->below);
    v->below = NULL; /* sets do not ask it */
    view_unref(v);
}

/* Returns the operations; optional ones only if the view below has them. */
static struct view_ops
ops_over(const struct view_ops *below)
{
    struct view_ops ops = {
        .select = select_series,
        .exemplars = below->exemplars == NULL ? NULL : exemplars,
        .metadata = below->metadata == NULL ? NULL : metadata,
        .look_up = below->look_up == NULL ? NULL : look_up,
        .mark = below->mark == NULL ? NULL : mark,
        .same_before = below->same_before == NULL ? NULL : same_before,
        .survey = below->survey == NULL ? NULL : survey,
        .concerns = below->concerns == NULL ? NULL : concerns,
        .lacks = below->lacks == NULL ? NULL : lacks,
        .free = free_view,
    };
    return ops;
}

/* --- the answerer ----------------------------------------------------------------------------- */

struct usage_answerer {
    struct answerer answerer; /* first: callers get it */
    struct answerer *below;
    struct usage *usage;
};

static enum err
open_view(struct answerer *answerer, struct query_control *control, struct view **ret_view,
          struct why *why)
{
    struct usage_answerer *a = (struct usage_answerer *)answerer;
    struct view *below;
    enum err e = view_open(a->below, control, &below, why);
    if (e || control == NULL || control->asker == ASKER_UNCOUNTED) {
        if (e == OK) *ret_view = below;
        return e;
    }
    struct usage_view *v = mem_new(control->budget, sizeof *v);
    if (v == NULL) {
        view_free(below);
        return why_set(why, ERR_NOMEM, "not enough memory for the query");
    }
    v->ops = ops_over(below->ops);
    v->view.ops = &v->ops;
    v->below = below;
    v->usage = a->usage;
    v->budget = control->budget;
    v->asker = control->asker;
    atomic_init(&v->references, 1);
    lock_init(&v->lock, LOCK_RANK_LEAF);
    *ret_view = &v->view;
    return OK;
}

static void
find_range(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms)
{
    struct answerer *below = ((struct usage_answerer *)answerer)->below;
    below->ops->range(below, ret_min_ms, ret_max_ms);
}

static void
free_answerer(struct answerer *answerer)
{
    mem_free(NULL, answerer, sizeof(struct usage_answerer));
}

enum err
usage_answerer_new(struct usage *usage, struct answerer *below, struct answerer **ret)
{
    static const struct answerer_ops ops = {open_view, find_range, free_answerer};
    struct usage_answerer *a = mem_new(NULL, sizeof *a);
    if (a == NULL) return ERR_NOMEM;
    a->answerer = *below;
    a->answerer.ops = &ops;
    a->below = below;
    a->usage = usage;
    *ret = &a->answerer;
    return OK;
}
