/*
 * permitted.c - see stack.h. A question is narrowed by what is permitted and passed on, with
 * its hints: the view below selects, counts and limits what is left.
 *
 * An estimate of samples below may use averages of all series, so it is replaced by one that
 * depends on the number of visible series alone.
 *
 * Metadata of a metric is passed on if a series with its name, or with a name that its type adds to
 * it (http_requests_total, rpc_duration_seconds_bucket), is visible at any time.
 *
 * Invariants:
 *
 * 1. Each question to the view below is narrowed, except the one for metadata, which has no series.
 * 2. Names of visible series ascend.
 */
#include "views/stack.h"

#include <assert.h>

#include "base/array.h"
#include "model/permitted.h"
#include "views/gather.h"

struct permitted_view {
    struct view view; /* first: callers get it */
    const struct permitted *permitted;
    struct budget *budget;
};

/* A question to the view below; it ends before the answer does. */
struct narrowed {
    struct arena arena;
    struct view *below;
    struct query_request request;
};

/* The arena is to be ended in any case. */
static enum err
narrowed_begin(const struct view *view, const struct query_request *request, struct narrowed *q,
               struct why *why)
{
    const struct permitted_view *v = (const struct permitted_view *)view;
    arena_init(&q->arena, views_budget(request, v->budget), 0, 0);
    q->below = view->below;
    return permitted_narrow(v->permitted, request, &q->arena, &q->request, why);
}

/* --- series with their samples, and estimates of them ---------------------------------------- */

static enum err
survey(struct view *view, const struct query_request *request, struct series_survey *ret,
       struct why *why)
{
    struct narrowed q;
    enum err e = narrowed_begin(view, request, &q, why);
    bool known;
    if (e == OK) e = view_survey(q.below, &q.request, ret, &known, why);
    if (e == OK)
        ret->guess = series_cost_guess(ret->guess.series, request->min_ms, request->max_ms);
    arena_fini(&q.arena);
    return e;
}

static enum err
permitted_select(struct view *view, const struct query_request *request,
                 struct series_set **ret_set, struct why *why)
{
    struct narrowed q;
    enum err e = narrowed_begin(view, request, &q, why);
    if (e == OK) e = view_select(q.below, &q.request, ret_set, why);
    arena_fini(&q.arena);
    if (e) return e;
    (*ret_set)->is_guessed = true;
    (*ret_set)->min_ms = request->min_ms;
    (*ret_set)->max_ms = request->max_ms;
    return OK;
}

/* --- texts and exemplars ---------------------------------------------------------------------- */

static enum err
look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
        struct bytes name, const struct text_sink *to, struct why *why)
{
    struct narrowed q;
    enum err e = narrowed_begin(view, request, &q, why);
    if (e == OK) e = view_look_up(q.below, kind, &q.request, name, to, why);
    arena_fini(&q.arena);
    return e;
}

static enum err
permitted_exemplars(struct view *view, const struct query_request *request,
                    const struct exemplar_sink *to, struct why *why)
{
    struct narrowed q;
    enum err e = narrowed_begin(view, request, &q, why);
    if (e == OK) e = view_exemplars(q.below, &q.request, to, why);
    arena_fini(&q.arena);
    return e;
}

/* --- metadata --------------------------------------------------------------------------------- */

enum {
    OF_COUNTER = 1 << METRIC_COUNTER,
    OF_HISTOGRAM = 1 << METRIC_HISTOGRAM,
    OF_GAUGE_HISTOGRAM = 1 << METRIC_GAUGE_HISTOGRAM,
    OF_SUMMARY = 1 << METRIC_SUMMARY,
    OF_INFO = 1 << METRIC_INFO,
    OF_ALL = (1 << METRIC_TYPE_COUNT) - 1,
};

/* Suffixes that names of series have after the name of their family, and their types of metrics. */
static const struct metric_suffix {
    const char *text;
    unsigned types;
} suffixes[] = {
    {"", OF_ALL},
    {"_total", OF_COUNTER},
    {"_created", OF_COUNTER | OF_HISTOGRAM | OF_SUMMARY},
    {"_bucket", OF_HISTOGRAM | OF_GAUGE_HISTOGRAM},
    {"_count", OF_HISTOGRAM | OF_SUMMARY},
    {"_sum", OF_HISTOGRAM | OF_SUMMARY},
    {"_gcount", OF_GAUGE_HISTOGRAM},
    {"_gsum", OF_GAUGE_HISTOGRAM},
    {"_info", OF_INFO},
};
enum { SUFFIX_COUNT = sizeof suffixes / sizeof suffixes[0] };

struct visible_metadata {
    struct metadata_gathering all;
    struct arena arena;
    struct bytes *names; /* of visible series: invariant 2 */
    size_t name_count;
    struct buf name;
    enum err (*each)(void *context, const struct metadata *metadata);
    void *context;
};

static enum err
keep_name(void *context, struct bytes name)
{
    struct visible_metadata *m = context;
    struct bytes *names = arena_push(&m->arena, m->names, m->name_count, sizeof *names);
    if (names == NULL) return ERR_NOMEM;
    m->names = names;
    if (m->name_count > 0)
        assert(bytes_compare(names[m->name_count - 1], name) <= 0); /* invariant 2 */
    names[m->name_count] = arena_copy(&m->arena, name);
    return names[m->name_count++].at == NULL ? ERR_NOMEM : OK;
}

static void
put_name(struct buf *to, struct bytes family, const char *suffix)
{
    buf_clear(to);
    buf_put_bytes(to, family);
    buf_put_text(to, suffix);
}

static enum err
pass_visible(void *context, const struct metadata *metadata)
{
    struct visible_metadata *m = context;
    unsigned type = metadata->type < METRIC_TYPE_COUNT ? metadata->type : METRIC_UNKNOWN;
    bool visible = false;
    for (unsigned i = 0; i < SUFFIX_COUNT && !visible; i++) {
        if ((suffixes[i].types & 1u << type) == 0) continue;
        put_name(&m->name, metadata->family, suffixes[i].text);
        if (buf_error(&m->name)) return buf_error(&m->name);
        struct bytes name = buf_bytes(&m->name);
        size_t at =
            search_first(k, (size_t)0, m->name_count, bytes_compare(m->names[k], name) >= 0);
        visible = at < m->name_count && bytes_equal(m->names[at], name);
    }
    return visible ? m->each(m->context, metadata) : OK;
}

/* Gathers the names of visible series, all of them or those that a question selects. */
static enum err
find_names(struct view *view, const struct query_request *request, struct visible_metadata *m,
           struct why *why)
{
    struct text_sink to = {.each = keep_name, .context = m};
    struct query_request of_names = *request;
    of_names.min_ms = INT64_MIN;
    of_names.max_ms = INT64_MAX;
    of_names.partial = true; /* a damaged page hides its names, and not all others */
    of_names.hints = (struct query_hints){.limit = 0};
    enum err e = look_up(view, LOOKUP_VALUES, &of_names, bytes_of_text("__name__"), &to, why);
    return e == ERR_NOMEM ? views_no_memory(why) : e;
}

/* Does the same for the names that series of one family may have. */
static enum err
find_names_of(struct view *view, const struct query_request *request, struct bytes family,
              struct visible_metadata *m, struct why *why)
{
    struct matcher *matchers[SUFFIX_COUNT];
    struct matcher_set sets[SUFFIX_COUNT];
    struct query_request of_family = *request;
    uint32_t count = 0;
    enum err e = OK;
    while (count < SUFFIX_COUNT) {
        put_name(&m->name, family, suffixes[count].text);
        e = buf_error(&m->name) ? views_no_memory(why) : OK;
        if (e == OK) {
            e = matcher_new(MATCH_EQUAL, bytes_of_text("__name__"), buf_bytes(&m->name),
                            views_budget(request, ((struct permitted_view *)view)->budget),
                            &matchers[count], why);
        }
        if (e) break;
        sets[count] = (struct matcher_set){&matchers[count], 1};
        count++;
    }
    of_family.sets = sets;
    of_family.set_count = count;
    if (e == OK) e = find_names(view, &of_family, m, why);
    while (count > 0)
        matcher_free(matchers[--count]);
    return e;
}

/* Gathers metadata first: most views have none, and names need not be looked up. */
static enum err
metadata(struct view *view, const struct query_request *request, struct bytes family,
         enum err (*each)(void *context, const struct metadata *metadata), void *context,
         struct why *why)
{
    struct budget *budget = views_budget(request, ((struct permitted_view *)view)->budget);
    struct visible_metadata m = {.each = each, .context = context};
    struct query_request all = *request;
    all.sets = NULL; /* they are ignored, and would not be narrowed: invariant 1 */
    all.set_count = 0;
    metadata_gathering_begin(&m.all, budget);
    arena_init(&m.arena, budget, 0, 0);
    buf_init(&m.name, budget, GATHERED_LABEL_BYTES_MAX);
    enum err e = view_metadata(view->below, &all, family, metadata_gathering_add, &m.all, why);
    if (e == OK && m.all.count > 0) {
        e = family.size > 0 ? find_names_of(view, &all, family, &m, why)
                            : find_names(view, &all, &m, why);
    }
    e = metadata_gathering_end(&m.all, e, pass_visible, &m, why);
    buf_fini(&m.name);
    arena_fini(&m.arena);
    return e;
}

/* --- the view --------------------------------------------------------------------------------- */

static void
permitted_free_view(struct view *view)
{
    struct permitted_view *v = (struct permitted_view *)view;
    view_free(view->below);
    mem_free(v->budget, v, sizeof *v);
}

enum err
permitted_view_new(struct view *below, const struct permitted *permitted, struct budget *budget,
                   struct view **ret_view, struct why *why)
{
    /* Asks what a question concerns without what is permitted, which can make the answer empty,
     * too: then it is so later. */
    static const struct view_ops ops = {
        .select = permitted_select,
        .exemplars = permitted_exemplars,
        .metadata = metadata,
        .look_up = look_up,
        .survey = survey,
        .free = permitted_free_view,
    };
    if (permitted == NULL || permitted->count == 0) {
        *ret_view = below;
        return OK;
    }
    struct permitted_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) {
        view_free(below);
        return views_no_memory(why);
    }
    v->view.ops = &ops;
    v->view.below = below;
    v->permitted = permitted;
    v->budget = budget;
    *ret_view = &v->view;
    return OK;
}
