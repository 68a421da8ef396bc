/*
 * view.c - the store at one moment, and the operations on it. A view holds references to the parts
 * and the generations of the moment when it was opened, and sees one epoch of the head
 * (tsdb/head/gen.h); each query that runs holds a reference to the view.
 *
 * Invariants:
 *  1. Parts and head are of one moment: a flush publishes its part and drops the frozen generation
 *     under the locks of `live` and head, and a view is opened under both. So each sample is in a
 *     part or in a generation of the view, never in both.
 *  2. From store_view_open() to the last unref the view is in head->views, so that the head keeps
 *     what its epoch sees, or marks the view as lost.
 */
#include "tsdb/read/select_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/*
 * Families of a view. They are listed without the head lock, because families
 * are never removed; their texts are copied under it, some at a time.
 */

enum { TEXTS_AT_ONCE = 64, VIEW_ARENA_KEPT_BYTES = 64 * 1024 };

struct family_list {
    const struct store_view *view;
    struct budget *budget;
    const struct family **items;
    uint32_t count;
    uint32_t capacity;
};

static int
by_name(const void *a, const void *b)
{
    return bytes_compare((*(const struct family *const *)a)->name,
                         (*(const struct family *const *)b)->name);
}

/* Lists all families, or one by its name. */
static enum err
list_families(struct family_list *x, struct bytes tenant_name, struct bytes name)
{
    struct head *head = x->view->head;
    lock_take(&head->lock);
    const struct tenant *t = tenant_find(head, tenant_name);
    const struct family *newest = t == NULL ? NULL : t->newest_family;
    uint32_t count = t == NULL ? 0 : t->family_count;
    lock_drop(&head->lock);
    if (count == 0) return OK;
    x->items = mem_alloc(x->budget, count * sizeof *x->items);
    if (x->items == NULL) return ERR_NOMEM;
    x->capacity = count;
    for (const struct family *f = newest; f != NULL; f = f->before)
        if (name.size == 0 || bytes_equal(name, f->name)) x->items[x->count++] = f;
    assert(x->count <= x->capacity); /* head/tenant.c: the list had `count` families */
    qsort(x->items, x->count, sizeof *x->items, by_name);
    return OK;
}

static enum err
give_families(const struct family_list *x, struct query_control *control,
              enum err (*each)(void *context, const struct metadata *metadata), void *context,
              struct why *why)
{
    struct metadata texts[TEXTS_AT_ONCE];
    struct arena arena;
    enum err e = OK;
    arena_init(&arena, x->budget, 0, 0);
    for (uint32_t at = 0, count; at < x->count && e == OK; at += count) {
        count = x->count - at < TEXTS_AT_ONCE ? x->count - at : TEXTS_AT_ONCE;
        arena_reset_to(&arena, VIEW_ARENA_KEPT_BYTES);
        /* Copies the texts of some families; families without a text get no name. */
        lock_take(&x->view->head->lock);
        for (uint32_t i = 0; i < count && e == OK; i++) {
            const struct family *f = x->items[at + i];
            const struct family_text *text = family_text_at(f, x->view->epoch);
            texts[i] = (struct metadata){.family = text == NULL ? bytes_of(NULL, 0) : f->name};
            if (text == NULL) continue;
            texts[i].type = text->type;
            texts[i].help = arena_copy(&arena, text->help);
            texts[i].unit = arena_copy(&arena, text->unit);
            if (texts[i].help.at == NULL || texts[i].unit.at == NULL) e = ERR_NOMEM;
        }
        lock_drop(&x->view->head->lock);
        if (e == OK && control != NULL) e = query_control_check(control, why);
        for (uint32_t i = 0; i < count && e == OK; i++)
            if (texts[i].family.at != NULL) e = each(context, &texts[i]);
    }
    arena_fini(&arena);
    return e;
}

static MUST_CHECK enum err
store_metadata(struct view *view, const struct query_request *request, struct bytes family,
               enum err (*each)(void *context, const struct metadata *metadata), void *context,
               struct why *why)
{
    struct family_list x = {.view = (struct store_view *)view,
                            .budget = request->control == NULL ? NULL : request->control->budget};
    enum err e = list_families(&x, request->tenant, family);
    if (e == OK) e = give_families(&x, request->control, each, context, why);
    mem_free(x.budget, x.items, x.capacity * sizeof *x.items);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for the metadata") : e;
}

static void
free_view(struct view *view)
{
    store_view_unref((struct store_view *)view);
}

static struct view_mark
mark(const struct view *view)
{
    const struct store_view *v = (const struct store_view *)view;
    return (struct view_mark){v->epoch, v->edits, series_rules_serial(v->rules), v->rules_now_ms};
}

static int64_t
same_before(const struct view *view, struct bytes tenant_name, const struct view_mark *before)
{
    const struct store_view *v = (const struct store_view *)view;
    if (before->epoch > v->epoch || before->edits > v->edits) return INT64_MIN;
    /* Rules may have hidden samples of any time since. */
    if (before->rules != series_rules_serial(v->rules) || before->rules_now_ms != v->rules_now_ms)
        return INT64_MIN;
    int64_t written = INT64_MAX, edited = INT64_MAX;
    lock_take(&v->head->lock);
    const struct tenant *t = tenant_find(v->head, tenant_name);
    if (t != NULL) {
        written = changes_after(&t->written, before->epoch);
        edited = changes_after(&t->edited, before->edits);
    }
    lock_drop(&v->head->lock);
    return written < edited ? written : edited;
}

static const struct view_ops store_view_ops = {
    .select = store_samples,
    .exemplars = store_exemplars,
    .metadata = store_metadata,
    .look_up = store_look_up,
    .mark = mark,
    .same_before = same_before,
    .survey = store_survey,
    .free = free_view,
};

enum err
store_view_open(struct head *head, enum view_scope scope, struct budget *budget,
                struct store_view **ret_view, struct why *why)
{
    struct store_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    v->view.ops = &store_view_ops;
    v->head = head;
    v->budget = budget;
    atomic_init(&v->references, 1);
    lock_take(&head->live->lock);
    v->version = head->live->version;
    version_ref(v->version);
    v->bucket = head->live->bucket;
    lock_take(&head->lock);
    if (scope == VIEW_ALL) {
        v->gens[0] = head->frozen;
        v->gens[1] = head->active;
        assert(v->gens[0] == v->gens[1]->before); /* invariant 1 */
        if (v->gens[0] != NULL) gen_ref(v->gens[0]);
        gen_ref(v->gens[1]);
    }
    v->epoch = head_visible_epoch(head);
    v->edits = head->edits;
    v->rules = retention_rules(head, &v->rules_now_ms);
    /* Invariant 2 begins, until views_close() in the last unref. */
    views_open(&head->views, &v->seen, (uint32_t)v->epoch, env_monotonic_ns(head->env));
    if (scope == VIEW_PARTS) v->seen.lost = VIEW_LOST_MEMORY; /* it needs no notes */
    lock_drop(&head->lock);
    lock_drop(&head->live->lock);
    *ret_view = v;
    return OK;
}

void
store_view_unref(struct store_view *v)
{
    struct head *head = v->head;
    uint32_t before = atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    lock_take(&head->lock);
    views_close(&head->views, &v->seen);
    for (unsigned i = 0; i < 2; i++)
        if (v->gens[i] != NULL) view_notes_trim(&v->gens[i]->notes, &head->views);
    view_notes_trim(&head->active->notes, &head->views);
    lock_drop(&head->lock);
    version_unref(v->version);
    gen_unref(v->gens[0]);
    gen_unref(v->gens[1]);
    series_rules_unref(v->rules);
    mem_free(v->budget, v, sizeof *v);
}

enum err
store_view_check(const struct store_view *v, struct why *why)
{
    switch (v->seen.lost) {
    case VIEW_NOT_LOST:
        return OK;
    case VIEW_LOST_COMMIT:
        return why_set(why, ERR_AGAIN,
                       "a commit to the write-ahead log failed while the query ran: repeat the "
                       "query");
    case VIEW_LOST_MEMORY:
        break;
    }
    return why_set(why, ERR_AGAIN,
                   "the query ran for so long that there is no memory left to keep the recent "
                   "samples as they were when it began: repeat it with a shorter time range, or "
                   "read its response faster");
}

enum err
store_view_beyond(const struct store_view *v, const struct bucket_mark *mark, struct why *why)
{
    const struct live_bucket *b = &v->bucket;
    if (b->session == 0)
        return why_set(why, ERR_MISSING, "this server does not write into a bucket");
    if (mark->session != b->session) {
        return why_set(why, ERR_MISSING,
                       "number %" PRIu64 " of the bucket's catalog is not of this process",
                       mark->number);
    }
    bool is_newest = b->edits == b->named && mark->number >= b->number;
    for (uint32_t i = 0; i < v->version->part_count && is_newest; i++) {
        const struct part_info *info = part_info(v->version->parts[i]);
        is_newest = info->from_pos >= mark->complete_pos || info->to_pos <= mark->complete_pos;
    }
    if (is_newest) return OK;
    return why_set(why, ERR_MISSING, "number %" PRIu64 " of the bucket's catalog is out of date",
                   mark->number);
}

bool
stretch_has(const struct tsdb_stretch *stretch, const struct part *part)
{
    const struct part_info *info = part_info(part);
    return info->from_pos < stretch->to_pos && info->to_pos > stretch->from_pos;
}
