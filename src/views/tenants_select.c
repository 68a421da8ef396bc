/*
 * tenants_select.c - the series of several tenants in label order, by a heap of the next series of
 * each.
 *
 * One more label in every series keeps the order of a tenant's series, with two exceptions:
 *
 * - A series that has the label itself: its value moves to another label.
 * - A series all of whose names come before "__tenant_id__" is a prefix of series that have more
 *   such names, and comes before them; with the label it comes after them.
 *
 * When such a series is read, its labels go into the heap and wait there: all series that have to
 * come before it are read later. When its turn has come, its samples are selected by a second
 * request to the same view. Series of the second kind wait only if their tenant has a label with a
 * name in between, for which the view is asked once.
 *
 * Shards are those of labels in the answer, so all series are selected below. The set does not
 * report its cost, so that a query of several tenants is not split into shards.
 *
 * Invariants:
 *
 * 1. The heap has at most one item of each source that does not wait; its labels are the source's.
 * 2. An item that waits owns its memory, which `below` ends.
 * 3. `again` is open only while the present item is one that waited.
 */
#include <assert.h>

#include "base/array.h"
#include "base/heap.h"
#include "base/warnings.h"
#include "model/labels.h"
#include "views/tenants_private.h"

enum { LABEL_BYTES_MAX = 64 * 1024 * 1024 };

/* The series of a tenant. */
struct tenants_source {
    const struct tenant_request *tenant;
    struct series_set *set;
    struct buf labels; /* labels of its next series, as in the answer */
    bool names_known;
    bool names_lost;      /* names could not be read, so that all such series wait */
    struct buf last_name; /* the last name before "__tenant_id__" */
};

struct tenants_item {
    struct tenants_source *source;
    struct bytes labels;
    struct bytes below; /* labels below of a series that waits: invariant 2; else empty */
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
    struct series_set *again;    /* has the samples of the present series, if that waited */
    struct matcher **again_by;   /* matchers that `again` was selected by, and uses */
    uint32_t again_by_count;
    size_t again_by_size;
    enum { AGAIN_NOT_ASKED, AGAIN_FOUND, AGAIN_LOST } again_state; /* LOST: the series is gone */
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

static enum err
keep_name(void *context, struct bytes name)
{
    struct tenants_source *s = context;
    if (bytes_compare(name, bytes_of_text(TENANT_LABEL)) >= 0) return OK;
    buf_clear(&s->last_name);
    buf_put_bytes(&s->last_name, name);
    return buf_error(&s->last_name);
}

static enum err
lose_names(void *context, const char *sentence)
{
    struct tenants_source *s = context;
    (void)sentence;
    s->names_lost = true;
    return OK;
}

/* Reads the names of a tenant's labels. Damage is not an error: more series wait than need to. */
static enum err
learn_names(struct tenants_set *m, struct tenants_source *s, struct why *why)
{
    struct query_request request = s->tenant->request;
    struct text_sink to = {.each = keep_name, .context = s, .warning = lose_names};
    request.sets = NULL;
    request.set_count = 0;
    request.partial = true;
    request.hints = (struct query_hints){0};
    s->names_known = true;
    s->names_lost = m->view->no_labels;
    return s->names_lost ? OK : view_label_names(m->view->below, &request, &to, why);
}

static enum err
has_to_wait(struct tenants_set *m, struct tenants_source *s, struct bytes labels, bool *ret_waits,
            struct why *why)
{
    struct bytes last = bytes_of(NULL, 0);
    struct cursor c = cursor_of(labels);
    *ret_waits = false;
    for (struct label label; labels_next(&c, &label);) {
        int order = bytes_compare(label.name, bytes_of_text(TENANT_LABEL));
        *ret_waits = order == 0;
        if (order >= 0) return OK;
        last = label.name;
    }
    enum err e = s->names_known ? OK : learn_names(m, s, why);
    *ret_waits = s->names_lost || bytes_compare(last, buf_bytes(&s->last_name)) < 0;
    return e == ERR_NOMEM ? tenants_no_memory(why) : e;
}

static enum err
keep_waiting(struct tenants_set *m, struct bytes below, struct tenants_item *item, struct why *why)
{
    uint8_t *copy = mem_alloc(m->budget, item->labels.size + below.size);
    if (copy == NULL) return tenants_no_memory(why);
    memcpy(copy, item->labels.at, item->labels.size);
    memcpy(copy + item->labels.size, below.at, below.size);
    item->labels.at = copy;
    item->below = bytes_of(copy + item->labels.size, below.size);
    return OK;
}

static void
item_release(struct tenants_set *m, const struct tenants_item *item)
{
    if (item->below.at == NULL) return;
    mem_free(m->budget, (void *)(uintptr_t)item->labels.at, item->labels.size + item->below.size);
}

/* --- samples of series that waited ------------------------------------------------------------ */

/* Makes matchers that select the series, and perhaps others. */
static enum err
make_matchers(struct bytes labels, struct budget *budget, struct matcher **matchers,
              uint32_t *count, struct why *why)
{
    struct cursor c = cursor_of(labels);
    for (struct label label; labels_next(&c, &label);) {
        enum err e =
            matcher_new(MATCH_EQUAL, label.name, label.value, budget, &matchers[*count], why);
        if (e == ERR_INPUT || e == ERR_LIMIT) continue; /* the other matchers suffice */
        if (e) return e;
        ++*count;
    }
    return OK;
}

/* Finds the series among those that were selected. Only damage can hide it, with a warning. */
static enum err
find_again(struct tenants_set *m, struct why *why)
{
    struct bytes labels;
    int order = -1;
    while (order < 0) {
        enum err e = series_set_next(m->again, &labels, why);
        if (e) return e;
        order = labels.at == NULL ? 1 : labels_compare(labels, m->current.below);
    }
    m->again_state = order > 0 ? AGAIN_LOST : AGAIN_FOUND;
    return OK;
}

/* Adds the cost of samples that were selected again; the series was counted before. */
static void
add_spent_again(struct series_cost *to, const struct series_set *again)
{
    struct series_cost spent;
    if (again == NULL || !series_set_spent(again, &spent)) return;
    spent.series = 0;
    series_cost_add(to, &spent);
}

static void
free_again(struct tenants_set *m)
{
    add_spent_again(&m->spent, m->again);
    series_set_free(m->again);
    m->again = NULL;
    while (m->again_by_count > 0) {
        matcher_free(m->again_by[--m->again_by_count]);
    }
    mem_free(m->budget, m->again_by, m->again_by_size);
    m->again_by = NULL;
}

static enum err
ask_again(struct tenants_set *m, struct why *why)
{
    struct bytes below = m->current.below;
    assert(below.at != NULL); /* invariant 3 */
    free_again(m);            /* after an attempt that failed */
    m->again_by_size = labels_count(below) * sizeof(struct matcher *);
    m->again_by = mem_new(m->budget, m->again_by_size);
    if (m->again_by == NULL) return tenants_no_memory(why);
    enum err e = make_matchers(below, m->budget, m->again_by, &m->again_by_count, why);
    struct matcher_set set = {m->again_by, m->again_by_count};
    struct query_request request = m->current.source->tenant->request;
    request.sets = &set;
    request.set_count = 1;
    request.hints.from_labels = below;
    if (e == OK) e = view_select(m->view->below, &request, &m->again, why);
    return e ? e : find_again(m, why);
}

/* Adds the warnings of a set, each once. */
static enum err
take_warnings(struct tenants_set *m, struct series_set *of, struct why *why)
{
    const char *sentence;
    for (uint32_t i = 0; (sentence = series_set_warning(of, i)) != NULL; i++) {
        struct why place;
        (void)why_set(&place, ERR_CORRUPT, "%s", sentence);
        if (warnings_add(&m->warnings, &place)) return tenants_no_memory(why);
    }
    return OK;
}

static enum err
end_again(struct tenants_set *m, struct why *why)
{
    enum err e = m->again == NULL ? OK : take_warnings(m, m->again, why);
    free_again(m);
    m->again_state = AGAIN_NOT_ASKED;
    return e;
}

/* --- the set ---------------------------------------------------------------------------------- */

#ifdef LOCK_CHECK
/* Invariants 1 and 2. */
static void
tenants_set_validate(const struct tenants_set *m)
{
    for (uint32_t i = 0; i < m->item_count; i++) {
        const struct tenants_item *a = &m->items[i];
        bool waits = a->below.at != NULL;
        const uint8_t *own = waits ? a->below.at - a->labels.size : a->source->labels.at;
        assert(a->labels.at == own);
        for (uint32_t k = 0; k < i && !waits; k++) {
            assert(m->items[k].below.at != NULL || m->items[k].source != a->source);
        }
    }
}
#endif

static enum err
heap_push(struct tenants_set *m, struct tenants_item item, struct why *why)
{
    if (!array_reserve(m->budget, &m->items, &m->item_capacity, m->item_count + 1)) {
        item_release(m, &item);
        return tenants_no_memory(why);
    }
    heap_up(m->items, m->item_count, item, item_compare(a, b) < 0);
    m->item_count++;
#ifdef LOCK_CHECK
    tenants_set_validate(m);
#endif
    return OK;
}

static bool
is_wanted(const struct tenants_set *m, struct bytes labels)
{
    return query_hints_want(&m->shard, labels) &&
           (m->from_labels.size == 0 || labels_compare(labels, m->from_labels) >= 0);
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
        if (buf_error(&s->labels)) return tenants_no_memory(why);
        struct tenants_item item = {s, buf_bytes(&s->labels), bytes_of(NULL, 0)};
        if (!is_wanted(m, item.labels)) continue;
        e = has_to_wait(m, s, below, &waits, why);
        if (e == OK && waits) e = keep_waiting(m, below, &item, why);
        if (e == OK) e = heap_push(m, item, why);
        if (e) return e;
    }
    return OK;
}

static enum err
leave_current(struct tenants_set *m, struct why *why)
{
    struct tenants_item item = m->current;
    m->current = (struct tenants_item){0};
    assert(m->again == NULL || item.below.at != NULL); /* invariant 3 */
    if (item.source == NULL) return OK;
    if (item.below.at == NULL) return source_advance(m, item.source, why);
    item_release(m, &item);
    return end_again(m, why);
}

static enum err
end_all(struct tenants_set *m, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < m->question.tenant_count && e == OK && !m->is_at_end; i++) {
        e = take_warnings(m, m->sources[i].set, why);
    }
    m->is_at_end = e == OK;
    return e;
}

static enum err
tenants_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct tenants_set *m = (struct tenants_set *)set;
    enum err e = leave_current(m, why);
    *ret_labels = bytes_of(NULL, 0);
    if (e) return e;
    if (m->item_count == 0) return end_all(m, why);
    m->current = m->items[0];
    struct tenants_item last = m->items[--m->item_count];
    if (m->item_count > 0) {
        heap_down(m->items, m->item_count, 0, last, item_compare(a, b) < 0);
    }
    *ret_labels = m->current.labels;
    return OK;
}

static enum err
tenants_set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct tenants_set *m = (struct tenants_set *)set;
    assert(m->current.source != NULL); /* there is a present series */
    if (m->current.below.at == NULL) {
        return series_set_batch(m->current.source->set, ret_batch, why);
    }
    enum err e = m->again_state == AGAIN_NOT_ASKED ? ask_again(m, why) : OK;
    if (e) return e;
    assert(m->again != NULL); /* invariant 3 */
    *ret_batch = (struct sample_batch){.count = 0};
    return m->again_state == AGAIN_LOST ? OK : series_set_batch(m->again, ret_batch, why);
}

static const char *
tenants_set_warning(struct series_set *set, uint32_t index)
{
    struct tenants_set *m = (struct tenants_set *)set;
    const char *sentence;
    for (uint32_t i = 0; (sentence = warnings_at(&m->warnings, i)) != NULL; i++) {
        if (index-- == 0) return sentence;
    }
    for (uint32_t i = 0; i < m->question.tenant_count && !m->is_at_end; i++) {
        struct series_set *of = m->sources[i].set;
        for (uint32_t k = 0; (sentence = series_set_warning(of, k)) != NULL; k++) {
            if (index-- == 0) return sentence;
        }
    }
    return NULL;
}

static struct series_cost
tenants_set_spent(const struct series_set *set)
{
    const struct tenants_set *m = (const struct tenants_set *)set;
    struct series_cost all = m->spent, one;
    for (uint32_t i = 0; i < m->question.tenant_count; i++) {
        if (series_set_spent(m->sources[i].set, &one)) series_cost_add(&all, &one);
    }
    add_spent_again(&all, m->again);
    return all;
}

static void
tenants_set_free(struct series_set *set)
{
    struct tenants_set *m = (struct tenants_set *)set;
    for (uint32_t i = 0; m->sources != NULL && i < m->question.tenant_count; i++) {
        series_set_free(m->sources[i].set);
        buf_fini(&m->sources[i].labels);
        buf_fini(&m->sources[i].last_name);
    }
    free_again(m);
    item_release(m, &m->current);
    for (uint32_t i = 0; i < m->item_count; i++) {
        item_release(m, &m->items[i]);
    }
    array_free(m->budget, m->items, m->item_capacity);
    warnings_fini(&m->warnings);
    tenants_question_end(&m->question);
    tenants_view_unref(m->view);
    mem_free(m->budget, m, sizeof *m);
}

static enum err
open_sources(struct tenants_set *m, struct why *why)
{
    uint32_t count = m->question.tenant_count;
    m->sources = arena_new(&m->question.arena, (count + 1) * sizeof *m->sources);
    if (m->sources == NULL) return tenants_no_memory(why);
    for (uint32_t i = 0; i < count; i++) {
        struct tenants_source *s = &m->sources[i];
        s->tenant = &m->question.tenants[i];
        buf_init(&s->labels, m->budget, LABEL_BYTES_MAX);
        buf_init(&s->last_name, m->budget, LABEL_BYTES_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct tenants_source *s = &m->sources[i];
        enum err e = view_select(m->view->below, &s->tenant->request, &s->set, why);
        if (e == OK) e = source_advance(m, s, why);
        if (e) return e;
    }
    return OK;
}

enum err
tenants_select(struct tenants_view *view, const struct query_request *request,
               struct series_set **ret_set, struct why *why)
{
    static const struct series_set_ops ops = {.next = tenants_set_next,
                                              .batch = tenants_set_batch,
                                              .warning = tenants_set_warning,
                                              .spent = tenants_set_spent,
                                              .free = tenants_set_free};
    struct budget *budget = request->control == NULL ? view->budget : request->control->budget;
    struct tenants_set *m = mem_new(budget, sizeof *m);
    if (m == NULL) return tenants_no_memory(why);
    m->set.ops = &ops;
    m->view = view;
    /* Relaxed: the caller has a reference, so that it cannot be the first. */
    uint32_t before = atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
    assert(before > 0);
    m->budget = budget;
    warnings_init(&m->warnings, budget);
    enum err e = tenants_question_begin(&m->question, view, request, why);
    if (e == OK && query_hints_keep_shard(&request->hints, &m->question.arena, &m->shard)) {
        e = tenants_no_memory(why);
    }
    m->from_labels = arena_copy(&m->question.arena, request->hints.from_labels);
    if (e == OK && request->hints.from_labels.size > 0 && m->from_labels.at == NULL) {
        e = tenants_no_memory(why);
    }
    if (e == OK) e = open_sources(m, why);
    if (e)
        tenants_set_free(&m->set);
    else
        *ret_set = &m->set;
    return e;
}
