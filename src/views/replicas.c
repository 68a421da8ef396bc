/*
 * replicas.c - see replicas.h: the view, and all but its series with samples.
 *
 * Names, values and metadata are forwarded, but for those of replica labels. Sets of labels and
 * exemplars are gathered and sorted, since their order differs without these labels.
 *
 * The invariants are those of replicas_private.h.
 */
#include "views/replicas.h"

#include <assert.h>
#include <stdlib.h>

#include "model/labels.h"
#include "views/gather.h"
#include "views/replica_merge.h"
#include "views/replicas_private.h"

enum { GATHERED_AT_ONCE = 4096 }; /* sets of labels, before equal ones become one */

enum err
replicas_no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

struct budget *
replicas_budget(const struct replicas_view *v, const struct query_request *request)
{
    if (request->budget != NULL) return request->budget;
    return request->control == NULL ? v->budget : request->control->budget;
}

static bool
is_replica_label(const struct replicas_view *v, struct bytes name)
{
    for (uint32_t i = 0; i < v->name_count; i++) {
        if (bytes_equal(v->names[i], name)) return true;
    }
    return false;
}

/* Both labels and names are in order. Bytes between two dropped labels are copied as they are. */
void
replicas_split(const struct replicas_view *v, struct bytes labels, struct buf *rest,
               struct buf *dropped)
{
    struct cursor c = cursor_of(labels);
    const uint8_t *from = c.at, *at = c.at;
    struct label label;
    uint32_t next = 0;
    buf_clear(rest);
    buf_clear(dropped);
    for (; next < v->name_count && labels_next(&c, &label); at = c.at) {
        int order = bytes_compare(v->names[next], label.name);
        while (order < 0 && ++next < v->name_count) {
            order = bytes_compare(v->names[next], label.name);
        }
        if (order != 0 || next == v->name_count) continue;
        buf_put(rest, from, (size_t)(at - from));
        buf_put(dropped, at, (size_t)(c.at - at));
        from = c.at;
    }
    buf_put(rest, from, labels.size - (size_t)(from - labels.at));
}

/* --- texts ------------------------------------------------------------------------------------ */

struct replicas_texts {
    const struct replicas_view *view;
    const struct text_sink *to;
    struct text_gathering all;
    struct buf rest, dropped;
};

static enum err
forward_warning(void *context, const char *sentence)
{
    const struct replicas_texts *x = context;
    return x->to->warning == NULL ? OK : x->to->warning(x->to->context, sentence);
}

static enum err
forward_name(void *context, struct bytes name)
{
    const struct replicas_texts *x = context;
    return is_replica_label(x->view, name) ? OK : x->to->each(x->to->context, name);
}

static enum err
label_names(const struct replicas_view *v, const struct query_request *request,
            const struct text_sink *to, struct why *why)
{
    struct replicas_texts x = {.view = v, .to = to};
    struct text_sink here = {.each = forward_name, .context = &x, .warning = forward_warning};
    struct query_request below = *request;
    uint64_t *limit = &below.hints.limit;
    if (*limit > 0) *limit = *limit > UINT64_MAX - v->name_count ? 0 : *limit + v->name_count;
    return view_label_names(v->inner, &below, &here, why);
}

static enum err
gather_series(void *context, struct bytes labels)
{
    struct replicas_texts *x = context;
    struct text_gathering *all = &x->all;
    replicas_split(x->view, labels, &x->rest, &x->dropped);
    if (buf_error(&x->rest) || buf_error(&x->dropped)) return ERR_NOMEM;
    enum err e = text_gathering_add(all, buf_bytes(&x->rest));
    size_t unsorted = all->count - all->sorted_count;
    if (unsorted > GATHERED_AT_ONCE && unsorted > all->sorted_count) text_gathering_sort(all);
    return e;
}

/* Asks without the limit: without replica labels the first series may be others. */
static enum err
series(const struct replicas_view *v, const struct query_request *request,
       const struct text_sink *to, struct why *why)
{
    struct budget *budget = replicas_budget(v, request);
    struct replicas_texts x = {.view = v, .to = to};
    struct text_sink here = {.each = gather_series, .context = &x, .warning = forward_warning};
    struct query_request below = *request;
    below.hints.limit = 0;
    text_gathering_begin(&x.all, true, request->hints.limit, budget);
    buf_init(&x.rest, budget, GATHERED_LABEL_BYTES_MAX);
    buf_init(&x.dropped, budget, GATHERED_LABEL_BYTES_MAX);
    enum err e = view_series(v->inner, &below, &here, why);
    if (e == ERR_NOMEM) e = replicas_no_memory(why);
    text_gathering_sort(&x.all);
    e = text_gathering_end(&x.all, e, to);
    buf_fini(&x.rest);
    buf_fini(&x.dropped);
    return e;
}

static enum err
look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
        struct bytes name, const struct text_sink *to, struct why *why)
{
    const struct replicas_view *v = (const struct replicas_view *)view;
    if (kind == LOOKUP_NAMES) return label_names(v, request, to, why);
    if (kind == LOOKUP_SERIES) return series(v, request, to, why);
    return is_replica_label(v, name) ? OK : view_label_values(v->inner, request, name, to, why);
}

/* --- exemplars and metadata ------------------------------------------------------------------- */

struct replicas_exemplars {
    const struct replicas_view *view;
    const struct exemplar_sink *to;
    struct exemplar_gathering all;
    struct buf rest, dropped;
};

static enum err
gather_exemplar(void *context, const struct exemplar *exemplar)
{
    struct replicas_exemplars *x = context;
    struct exemplar of_all = *exemplar;
    replicas_split(x->view, exemplar->series_labels, &x->rest, &x->dropped);
    if (buf_error(&x->rest) || buf_error(&x->dropped)) return ERR_NOMEM;
    of_all.series_labels = buf_bytes(&x->rest);
    return exemplar_gathering_add(&x->all, &of_all);
}

static enum err
forward_exemplar_warning(void *context, const char *sentence)
{
    const struct replicas_exemplars *x = context;
    return x->to->warning == NULL ? OK : x->to->warning(x->to->context, sentence);
}

static enum err
exemplars(struct view *view, const struct query_request *request, const struct exemplar_sink *to,
          struct why *why)
{
    const struct replicas_view *v = (const struct replicas_view *)view;
    struct budget *budget = replicas_budget(v, request);
    struct replicas_exemplars x = {.view = v, .to = to};
    struct exemplar_sink here = {gather_exemplar, &x, forward_exemplar_warning};
    exemplar_gathering_begin(&x.all, budget);
    buf_init(&x.rest, budget, GATHERED_LABEL_BYTES_MAX);
    buf_init(&x.dropped, budget, GATHERED_LABEL_BYTES_MAX);
    enum err e = view_exemplars(v->inner, request, &here, why);
    if (e == ERR_NOMEM) e = replicas_no_memory(why);
    e = exemplar_gathering_end(&x.all, e, true, to);
    buf_fini(&x.rest);
    buf_fini(&x.dropped);
    return e;
}

static enum err
metadata(struct view *view, const struct query_request *request, struct bytes family,
         enum err (*each)(void *context, const struct metadata *metadata), void *context,
         struct why *why)
{
    const struct replicas_view *v = (const struct replicas_view *)view;
    return view_metadata(v->inner, request, family, each, context, why);
}

/* --- the rest of the view --------------------------------------------------------------------- */

static enum err
select_series(struct view *view, const struct query_request *request, struct series_set **ret_set,
              struct why *why)
{
    struct replicas_view *v = (struct replicas_view *)view;
    return request->unmerged ? view_select(v->inner, request, ret_set, why)
                             : replicas_select(v, request, ret_set, why);
}

static struct view_mark
mark(const struct view *view)
{
    struct view_mark mark = {0};
    (void)view_has_mark(((const struct replicas_view *)view)->inner, &mark);
    return mark;
}

/* The choice of samples depends on some that are newer. */
static int64_t
same_before(const struct view *view, struct bytes tenant, const struct view_mark *before)
{
    const struct replicas_view *v = (const struct replicas_view *)view;
    int64_t same_ms = view_same_before(v->inner, tenant, before);
    if (same_ms == INT64_MAX || same_ms < INT64_MIN + REPLICA_AHEAD_MS) return same_ms;
    return same_ms - REPLICA_AHEAD_MS;
}

/* Surveys below. It is not exact, since blocks of replicas that are not current may be left unread.
 */
static enum err
survey(struct view *view, const struct query_request *request, struct series_survey *ret,
       struct why *why)
{
    const struct replicas_view *v = (const struct replicas_view *)view;
    bool known;
    enum err e = view_survey(v->inner, request, ret, &known, why);
    ret->exact = false;
    return e;
}

static bool
concerns(const struct view *view, const struct query_request *request)
{
    return view_concerns(((const struct replicas_view *)view)->inner, request);
}

void
replicas_view_unref(struct replicas_view *v)
{
    uint32_t before = atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel);
    assert(before > 0); /* invariant 2 */
    if (before > 1) return;
    view_free(v->inner);
    arena_fini(&v->arena);
    mem_free(v->budget, v, sizeof *v);
}

static void
free_view(struct view *view)
{
    replicas_view_unref((struct replicas_view *)view);
}

/* Returns the operations; optional ones only if the view below has them. */
static struct view_ops
ops_over(const struct view_ops *inner)
{
    struct view_ops ops = {
        .select = select_series,
        .exemplars = exemplars,
        .metadata = metadata,
        .look_up = look_up,
        .mark = mark,
        .same_before = same_before,
        .survey = survey,
        .concerns = concerns,
        .free = free_view,
    };
    if (inner->mark == NULL) {
        ops.mark = NULL;
        ops.same_before = NULL;
    }
    if (inner->survey == NULL) ops.survey = NULL;
    if (inner->concerns == NULL) ops.concerns = NULL;
    return ops;
}

uint32_t
replica_labels_of(const char *text, struct bytes ret_names[REPLICA_LABELS_MAX])
{
    uint32_t count = 0;
    while (*text != '\0' && count < REPLICA_LABELS_MAX) {
        size_t size = strcspn(text, ",");
        ret_names[count++] = bytes_of(text, size);
        text += size + (text[size] == ',');
    }
    return count;
}

static int
compare_names(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* Copies the names: invariant 1. */
static enum err
take_names(struct replicas_view *v, const struct bytes *names, uint32_t count, struct why *why)
{
    for (uint32_t i = 0; i < count; i++) {
        if (names[i].size == 0 || is_replica_label(v, names[i])) continue;
        if (v->name_count == REPLICA_LABELS_MAX) {
            return why_set(why, ERR_INPUT, "at most %d replica labels are allowed",
                           REPLICA_LABELS_MAX);
        }
        struct bytes copy = arena_copy(&v->arena, names[i]);
        if (copy.at == NULL) return replicas_no_memory(why);
        v->names[v->name_count++] = copy;
    }
    qsort(v->names, v->name_count, sizeof *v->names, compare_names);
    for (uint32_t i = 1; i < v->name_count; i++) {
        assert(bytes_compare(v->names[i - 1], v->names[i]) < 0); /* invariant 1 */
    }
    return OK;
}

enum err
replicas_view_new(struct view *inner, const struct bytes *names, uint32_t count,
                  struct budget *budget, struct view **ret_view, struct why *why)
{
    struct replicas_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) {
        view_free(inner);
        return replicas_no_memory(why);
    }
    v->ops = ops_over(inner->ops);
    v->view.ops = &v->ops;
    v->inner = inner;
    v->budget = budget;
    atomic_init(&v->references, 1);
    arena_init(&v->arena, budget, 0, 0);
    enum err e = take_names(v, names, count, why);
    if (e == OK && v->name_count > 0) {
        *ret_view = &v->view;
        return OK;
    }
    if (e == OK) v->inner = NULL; /* the caller owns `inner` again */
    if (e == OK) *ret_view = inner;
    replicas_view_unref(v);
    return e;
}
