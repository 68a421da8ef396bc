/*
 * source.c - see stack.h.
 *
 * The reader is asked once for each set of matchers and each of the source's selectors, combined,
 * without matchers of external labels; if one of these does not match, not at all.
 *
 * Invariants:
 *
 * 1. A view has a user for each of its sets.
 * 2. A question has at most one request for each pair of a set and a selector.
 */
#include "views/stack.h"

#include <assert.h>

#include "base/text/texts.h"
#include "model/trouble.h"
#include "views/gather.h"

struct source_view {
    struct view view; /* first: callers get it */
    const struct source_options *options;
    struct budget *budget;
    struct view *below; /* NULL: it could not be opened */
    enum err lost;      /* and why */
    struct why lost_why;
    int64_t min_ms, max_ms;
    _Atomic uint64_t samples; /* returned by its sets */
};

static void
tally(_Atomic uint64_t *what, uint64_t count)
{
    atomic_fetch_add_explicit(what, count, memory_order_relaxed);
}

/* --- questions -------------------------------------------------------------------------------- */

/* Returns the value of an external label; `at` is NULL for other labels. */
static struct bytes
external_value(const struct source_limits *x, struct bytes name)
{
    for (uint32_t i = 0; i < x->external_count; i++)
        if (bytes_equal(x->external_labels[i].name, name)) return x->external_labels[i].value;
    return bytes_of(NULL, 0);
}

/* Returns false if a matcher of an external label does not match. The other matchers are added to
 * `to`, unless that is NULL. */
static bool
external_match(const struct source_limits *x, const struct matcher_set *set, struct matcher **to,
               uint32_t *count)
{
    for (uint32_t i = 0; i < set->count; i++) {
        struct bytes value = external_value(x, matcher_name(set->matchers[i]));
        if (value.at != NULL && !matcher_matches(set->matchers[i], value)) return false;
        if (value.at == NULL && to != NULL) to[(*count)++] = set->matchers[i];
    }
    return true;
}

/* Selects all series, if there are no sets. */
static const struct matcher_set everything = {NULL, 0};

struct sets {
    const struct matcher_set *items;
    uint32_t count;
};

static struct sets
request_sets(const struct query_request *r)
{
    return r->set_count == 0 ? (struct sets){&everything, 1} : (struct sets){r->sets, r->set_count};
}

static struct sets
own_sets(const struct source_limits *x)
{
    return x->select_count == 0 ? (struct sets){&everything, 1}
                                : (struct sets){x->select, x->select_count};
}

/* Says whether series of the source may match both. Matchers that are not about external labels are
 * added to `to`, unless that is NULL. */
static bool
may_meet(const struct source_limits *x, const struct matcher_set *requested,
         const struct matcher_set *own, struct matcher **to, uint32_t *count)
{
    return external_match(x, requested, to, count) && external_match(x, own, to, count) &&
           !matcher_sets_exclude(requested, own);
}

static bool
serves_tenant(const struct source_view *v, struct bytes tenant)
{
    const struct source_limits *x = &v->options->limits;
    bool is_served = x->tenant_count == 0;
    for (uint32_t i = 0; i < x->tenant_count && !is_served; i++)
        is_served = bytes_equal(x->tenants[i], tenant);
    return is_served;
}

static bool
source_concerns(const struct view *view, const struct query_request *r)
{
    const struct source_view *v = (const struct source_view *)view;
    const struct source_limits *x = &v->options->limits;
    struct sets requested = request_sets(r), own = own_sets(x);
    bool is_tenant = serves_tenant(v, r->tenant), meets = false;
    if (r->stored || r->min_ms > v->max_ms || r->max_ms < v->min_ms) return false;
    for (uint32_t i = 0; i < requested.count * own.count && is_tenant && !meets; i++)
        meets = may_meet(x, &requested.items[i / own.count], &own.items[i % own.count], NULL, NULL);
    return meets;
}

/* A question to the reader, which is asked once for each of the sets. */
struct source_question {
    struct query_request request;
    struct matcher_set *sets;
    uint32_t count;
    struct arena arena;
};

static enum err
lost_again(const struct source_view *v, struct why *why)
{
    if (why != NULL) *why = v->lost_why;
    return v->lost;
}

static enum err
source_question_begin(struct source_view *v, const struct query_request *r,
                      struct source_question *q, struct why *why)
{
    const struct source_limits *x = &v->options->limits;
    struct sets requested = request_sets(r), own = own_sets(x);
    q->request = *r;
    q->count = 0;
    if (q->request.min_ms < v->min_ms) q->request.min_ms = v->min_ms;
    if (q->request.max_ms > v->max_ms) q->request.max_ms = v->max_ms;
    if (r->kind != SELECT_TIMES) q->request.kind = SELECT_SAMPLES;
    q->request.hints = (struct query_hints){.limit = 0};
    if (v->options->reader->is_store) {
        q->request.hints.rollups = r->hints.rollups;
        q->request.hints.windows = r->hints.windows;
    }
    arena_init(&q->arena, v->budget, 0, 0);
    if (!source_concerns(&v->view, r)) return OK;
    if (v->below == NULL) return lost_again(v, why);
    q->sets = arena_new(&q->arena, (size_t)requested.count * own.count * sizeof *q->sets);
    if (q->sets == NULL) return views_no_memory(why);
    for (uint32_t i = 0; i < requested.count * own.count; i++) {
        const struct matcher_set *a = &requested.items[i / own.count];
        const struct matcher_set *b = &own.items[i % own.count];
        struct matcher **matchers =
            arena_new(&q->arena, ((size_t)a->count + b->count + 1) * sizeof *matchers);
        uint32_t count = 0;
        if (matchers == NULL) return views_no_memory(why);
        if (may_meet(x, a, b, matchers, &count))
            q->sets[q->count++] = (struct matcher_set){matchers, count};
    }
    assert(q->count <= (uint64_t)requested.count * own.count); /* invariant 2 */
    tally(&v->options->tally->questions, 1);
    return OK;
}

/* Returns the request for one of the sets. */
static const struct query_request *
source_question_of(struct source_question *q, uint32_t index)
{
    assert(index < q->count);
    q->request.sets = &q->sets[index];
    q->request.set_count = q->sets[index].count > 0;
    return &q->request;
}

static bool
any_matches(struct sets sets, struct bytes labels)
{
    for (uint32_t i = 0; i < sets.count; i++)
        if (matcher_set_matches(&sets.items[i], labels)) return true;
    return false;
}

/* --- failures --------------------------------------------------------------------------------- */

/* Returns `e`, with the source's name in `why`; or OK if it is excused, with the sentence. */
static enum err
judge_failure(struct source_view *v, bool shows_warnings, enum err e, struct why *why)
{
    struct source_tally *t = v->options->tally;
    if (e == OK || e == ERR_CANCELED || e == ERR_NOMEM) return e;
    if (v->options->failed != NULL) v->options->failed(v->options->owner, e, why);
    why_prefix(why, e, "source %s", v->options->limits.name);
    tally(&t->failed, 1);
    if (e == ERR_MISSING) e = ERR_AGAIN; /* of the writer of a bucket: it has a newer catalog */
    bool is_gone = why != NULL && why->trouble == TROUBLE_GONE;
    /* An error that the question caused does not become a warning, and a hole neither. */
    if (e == ERR_LIMIT || is_gone || !shows_warnings || !v->options->limits.may_fail) return e;
    tally(&t->excused, 1);
    return OK;
}

/* --- series with their samples ---------------------------------------------------------------- */

struct source_set {
    struct series_set set; /* first: callers get it */
    struct source_view *view;
    struct query_control *control;
    struct series_set *below; /* NULL if it has no more series, or failed and is excused */
    /* Copies of the question's sets, which may end before the answer does. */
    struct arena arena;
    struct sets requested;
    uint32_t shard, shard_count;
    struct buf from_labels;
    bool shows_warnings;
    struct series_cost given;
    struct warnings warnings; /* its own; those of `below` follow */
};

/* Ends a set after an error. OK: the error is excused, and the set has no more series. */
static enum err
set_failed(struct source_set *s, enum err e, struct why *why)
{
    struct why said = {""};
    if (why == NULL) why = &said;
    e = judge_failure(s->view, s->shows_warnings, e, why);
    if (e) return e;
    series_set_free(s->below);
    s->below = NULL;
    return warnings_add(&s->warnings, why) ? views_no_memory(why) : OK;
}

static bool
is_wanted(const struct source_set *s, struct bytes labels)
{
    const struct source_limits *x = &s->view->options->limits;
    bool matches = any_matches(s->requested, labels) && any_matches(own_sets(x), labels);
    if (!matches) tally(&s->view->options->tally->filtered, 1);
    return matches && (s->shard_count < 2 || shard_of_labels(labels, s->shard_count) == s->shard) &&
           (s->from_labels.size == 0 || labels_compare(labels, buf_bytes(&s->from_labels)) >= 0);
}

static enum err
source_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct source_set *s = (struct source_set *)set;
    do {
        *ret_labels = bytes_of(NULL, 0);
        enum err e = s->below == NULL ? OK : series_set_next(s->below, ret_labels, why);
        if (e) *ret_labels = bytes_of(NULL, 0);
        if (e) return set_failed(s, e, why);
        if (ret_labels->at == NULL) return OK;
        e = query_control_check(s->control, why);
        if (e) return e;
    } while (!is_wanted(s, *ret_labels));
    tally(&s->view->options->tally->series, 1);
    s->given.series++;
    return query_control_add_series(s->control, why);
}

static enum err
source_set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct source_set *s = (struct source_set *)set;
    struct source_view *v = s->view;
    uint64_t max = v->options->limits.samples_max;
    *ret_batch = (struct sample_batch){.count = 0};
    enum err e = s->below == NULL ? OK : series_set_batch(s->below, ret_batch, why);
    if (e) *ret_batch = (struct sample_batch){.count = 0};
    if (e) return set_failed(s, e, why);
    uint64_t count = ret_batch->count;
    uint64_t before = atomic_fetch_add_explicit(&v->samples, count, memory_order_relaxed);
    tally(&v->options->tally->samples, count);
    s->given.samples += count;
    if (max > 0 && before + count > max) {
        why_set(why, ERR_LIMIT, "the query reads more than %llu samples (max_samples)",
                (unsigned long long)max);
        return judge_failure(v, s->shows_warnings, ERR_LIMIT, why);
    }
    e = query_control_check(s->control, why);
    return e ? e : query_control_add_samples(s->control, count, why);
}

static const char *
source_set_warning(struct series_set *set, uint32_t index)
{
    struct source_set *s = (struct source_set *)set;
    uint32_t own = 0;
    for (const char *sentence; (sentence = warnings_at(&s->warnings, own)) != NULL; own++)
        if (own == index) return sentence;
    return s->below == NULL ? NULL : series_set_warning(s->below, index - own);
}

static struct series_cost
source_set_spent(const struct series_set *set)
{
    return ((const struct source_set *)set)->given;
}

static void
source_set_free(struct series_set *set)
{
    struct source_set *s = (struct source_set *)set;
    struct source_view *v = s->view;
    series_set_free(s->below);
    arena_fini(&s->arena);
    buf_fini(&s->from_labels);
    warnings_fini(&s->warnings);
    mem_free(v->budget, s, sizeof *s);
    view_free(&v->view);
}

/* Copies the sets: matchers live as long as the set, but their arrays need not. */
static enum err
keep_request_sets(struct source_set *s, const struct query_request *r, struct why *why)
{
    struct sets requested = request_sets(r);
    struct matcher_set *kept = arena_new(&s->arena, requested.count * sizeof *kept);
    s->requested = (struct sets){kept, requested.count};
    for (uint32_t i = 0; kept != NULL && i < requested.count; i++) {
        uint32_t count = requested.items[i].count;
        struct matcher **matchers = arena_new(&s->arena, (count + 1) * sizeof *matchers);
        if (matchers == NULL) return views_no_memory(why);
        if (count > 0) memcpy(matchers, requested.items[i].matchers, count * sizeof *matchers);
        kept[i] = (struct matcher_set){matchers, count};
    }
    buf_put_bytes(&s->from_labels, r->hints.from_labels);
    return kept == NULL || buf_error(&s->from_labels) ? views_no_memory(why) : OK;
}

static enum err
select_below(struct source_set *s, struct source_question *q, struct why *why)
{
    struct source_view *v = s->view;
    struct series_set **sets = arena_new(&q->arena, (q->count + 1) * sizeof *sets);
    uint32_t count = 0;
    enum err e = sets == NULL ? views_no_memory(why) : OK;
    while (e == OK && count < q->count) {
        e = view_select(v->below, source_question_of(q, count), &sets[count], why);
        if (e == OK) count++;
    }
    if (e == OK && count > 0) return merged_set_new(sets, count, v->budget, &s->below, why);
    while (count-- > 0)
        series_set_free(sets[count]);
    return e;
}

static enum err
source_select_series(struct view *view, const struct query_request *r, struct series_set **ret_set,
                     struct why *why)
{
    static const struct series_set_ops ops = {.next = source_set_next,
                                              .batch = source_set_batch,
                                              .warning = source_set_warning,
                                              .spent = source_set_spent,
                                              .free = source_set_free};
    struct source_view *v = (struct source_view *)view;
    struct source_set *s = mem_new(v->budget, sizeof *s);
    struct source_question q;
    if (s == NULL) return views_no_memory(why);
    s->set.ops = &ops;
    s->view = v;
    s->control = r->control;
    s->shard = r->hints.shard;
    s->shard_count = r->hints.shard_count;
    s->shows_warnings = r->shows_warnings;
    view_hold(view); /* invariant 1 */
    arena_init(&s->arena, v->budget, 0, 0);
    buf_init(&s->from_labels, v->budget, GATHERED_LABEL_BYTES_MAX);
    warnings_init(&s->warnings, v->budget);
    enum err e = keep_request_sets(s, r, why);
    if (e == OK) {
        e = source_question_begin(v, r, &q, why);
        if (e == OK) e = select_below(s, &q, why);
        if (e) e = set_failed(s, e, why);
        arena_fini(&q.arena);
    }
    if (e)
        source_set_free(&s->set);
    else
        *ret_set = &s->set;
    return e;
}

/* --- texts ------------------------------------------------------------------------------------ */

/* A look-up, and the texts gathered for it. */
struct source_texts {
    struct text_gathering all; /* first */
    struct source_view *view;
    const struct query_request *request;
    enum lookup_kind kind;
    struct bytes name; /* for LOOKUP_VALUES */
    struct why *why;
    bool any; /* a series or a text was found */
};

static enum err
gather_text(void *context, struct bytes text)
{
    struct source_texts *x = context;
    x->any = true;
    return text_gathering_add(&x->all, text);
}

/* Gathers the texts of a series that the look-up wants. */
static enum err
gather_series(void *context, struct bytes labels)
{
    struct source_texts *x = context;
    const struct source_limits *limits = &x->view->options->limits;
    if (!any_matches(request_sets(x->request), labels) || !any_matches(own_sets(limits), labels)) {
        tally(&x->view->options->tally->filtered, 1);
        return OK;
    }
    enum err e = query_control_check(x->request->control, x->why);
    if (e) return e;
    if (x->kind == LOOKUP_SERIES) return gather_text(x, labels);
    if (x->kind == LOOKUP_VALUES) {
        struct bytes value = labels_get(labels, x->name);
        return value.size == 0 ? OK : gather_text(x, value);
    }
    struct cursor c = cursor_of(labels);
    for (struct label label; e == OK && labels_next(&c, &label);)
        e = gather_text(x, label.name);
    return e;
}

/* Gathers from all series with samples, if the reader has no look-ups. */
static enum err
gather_of_samples(struct source_texts *x, const struct query_request *request, struct why *why)
{
    struct query_request below = *request;
    struct series_set *set;
    struct bytes labels;
    const char *sentence;
    below.kind = SELECT_TIMES;
    below.hints = (struct query_hints){.limit = 0};
    enum err e = view_select(x->view->below, &below, &set, why);
    if (e) return e;
    while (e == OK && (e = series_set_next(set, &labels, why)) == OK && labels.at != NULL) {
        struct sample_batch batch;
        e = series_set_batch(set, &batch, why);
        if (e == OK && batch.count > 0) e = gather_series(x, labels);
    }
    for (uint32_t i = 0; e == OK && (sentence = series_set_warning(set, i)) != NULL; i++)
        e = text_gathering_warn(x, sentence);
    series_set_free(set);
    return e;
}

static enum err
gather_one(struct source_texts *x, const struct query_request *request, struct why *why)
{
    const struct source_limits *limits = &x->view->options->limits;
    struct text_sink here = {.each = gather_text, .context = x, .warning = text_gathering_warn};
    bool external = x->kind == LOOKUP_VALUES && external_value(limits, x->name).at != NULL;
    enum err e = ERR_UNSUPPORTED;
    if (x->kind != LOOKUP_SERIES && !external)
        e = view_look_up(x->view->below, x->kind, request, x->name, &here, why);
    if (e == ERR_UNSUPPORTED) {
        here.each = gather_series;
        e = view_series(x->view->below, request, &here, why);
        return e == ERR_UNSUPPORTED ? gather_of_samples(x, request, why) : e;
    }
    for (uint32_t i = 0; e == OK && x->any && x->kind == LOOKUP_NAMES && i < limits->external_count;
         i++)
        e = gather_text(x, limits->external_labels[i].name);
    return e;
}

static enum err
source_look_up(struct view *view, enum lookup_kind kind, const struct query_request *r,
               struct bytes name, const struct text_sink *to, struct why *why)
{
    struct source_view *v = (struct source_view *)view;
    struct source_question q;
    struct why said = {""};
    struct source_texts x = {.view = v, .request = r, .kind = kind, .name = name, .why = &said};
    text_gathering_begin(&x.all, kind == LOOKUP_SERIES, r->hints.limit, to, v->budget);
    enum err e = source_question_begin(v, r, &q, &said);
    for (uint32_t i = 0; e == OK && i < q.count; i++) {
        e = gather_one(&x, source_question_of(&q, i), &said);
        text_gathering_sort(&x.all);
    }
    arena_fini(&q.arena);
    bool failed = e != OK;
    e = judge_failure(v, r->shows_warnings && to->warning != NULL, e, &said);
    if (e == OK && failed) e = to->warning(to->context, said.text);
    if (e && why != NULL) *why = said;
    return text_gathering_end(&x.all, e, why);
}

/* --- exemplars and metadata, of stores only ------------------------------------------------------
 */

static enum err
source_exemplars(struct view *view, const struct query_request *r, const struct exemplar_sink *to,
                 struct why *why)
{
    struct source_view *v = (struct source_view *)view;
    struct why said = {""};
    struct source_question q;
    struct exemplar_gathering all;
    struct exemplar_sink here = {exemplar_gathering_add, &all, exemplar_gathering_warn};
    if (!v->options->reader->is_store) return OK;
    exemplar_gathering_begin(&all, to, v->budget);
    enum err e = source_question_begin(v, r, &q, &said);
    for (uint32_t i = 0; e == OK && i < q.count; i++)
        e = view_exemplars(v->below, source_question_of(&q, i), &here, &said);
    arena_fini(&q.arena);
    bool failed = e != OK;
    e = judge_failure(v, r->shows_warnings && to->warning != NULL, e, &said);
    if (e == OK && failed) e = to->warning(to->context, said.text);
    if (e && why != NULL) *why = said;
    return exemplar_gathering_end(&all, e, true, why);
}

static enum err
source_metadata(struct view *view, const struct query_request *r, struct bytes family,
                enum err (*each)(void *context, const struct metadata *metadata), void *context,
                struct why *why)
{
    struct source_view *v = (struct source_view *)view;
    if (!v->options->reader->is_store || !serves_tenant(v, r->tenant)) return OK;
    enum err e = v->below == NULL ? lost_again(v, why)
                                  : view_metadata(v->below, r, family, each, context, why);
    return judge_failure(v, v->below == NULL, e, why);
}

/* --- the view --------------------------------------------------------------------------------- */

static void
free_view(struct view *view)
{
    struct source_view *v = (struct source_view *)view;
    const struct source_options *options = v->options;
    view_free(v->below);
    mem_free(v->budget, v, sizeof *v);
    options->release(options->owner);
}

enum err
source_view_open(const struct source_options *options, int64_t min_ms, int64_t max_ms,
                 struct query_control *control, struct view **ret_view, struct why *why)
{
    static const struct view_ops ops = {
        .select = source_select_series,
        .exemplars = source_exemplars,
        .metadata = source_metadata,
        .look_up = source_look_up,
        .concerns = source_concerns,
        .free = free_view,
    };
    struct budget *budget = control == NULL ? NULL : control->budget;
    struct source_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) return views_no_memory(why);
    v->view.ops = &ops;
    v->options = options;
    v->budget = budget;
    v->min_ms = min_ms;
    v->max_ms = max_ms;
    options->hold(options->owner);
    enum err e = v->lost = view_open(options->reader, control, &v->below, &v->lost_why);
    if (e == ERR_NOMEM || e == ERR_CANCELED) {
        if (why != NULL) *why = v->lost_why;
        free_view(&v->view);
        return e;
    }
    if (e) v->below = NULL; /* questions that concern it fail */
    *ret_view = &v->view;
    return OK;
}
