/* select_exemplars.c - exemplars of a view, in label and time order. */
#include <stdlib.h>

#include "tsdb/select_private.h"

struct exemplar_list {
    struct arena *arena;
    struct exemplar *items;
    uint32_t count;
    uint32_t capacity;
    const struct query *query;
    struct source *source;
    struct samples_left_out *left_out; /* NULL: nobody wants to know */
};

static enum err
exemplar_push(struct exemplar_list *l, struct bytes series_labels, const struct exemplar *x)
{
    if (l->count == l->capacity) {
        uint32_t capacity = l->capacity == 0 ? 64 : l->capacity * 2;
        struct exemplar *grown = arena_alloc(l->arena, capacity * sizeof *grown);
        if (grown == NULL) return ERR_NOMEM;
        if (l->count > 0) memcpy(grown, l->items, l->count * sizeof *grown);
        l->items = grown;
        l->capacity = capacity;
    }
    struct exemplar *to = &l->items[l->count++];
    *to = *x;
    to->series_labels = arena_copy(l->arena, series_labels);
    to->labels = arena_copy(l->arena, x->labels);
    return to->series_labels.at == NULL || to->labels.at == NULL ? ERR_NOMEM : OK;
}

static bool
is_deleted(const struct source *s, uint32_t series, int64_t t_ms)
{
    for (uint32_t i = 0; i < s->deletion_count; i++) {
        const struct part_deletion *d = &s->deletions[i];
        if (t_ms < d->range.min_ms || t_ms > d->range.max_ms) continue;
        if (roaring_bitmap_contains(d->series, series)) return true;
    }
    return false;
}

static enum err
part_exemplar(void *context, uint32_t series, const struct exemplar *x)
{
    struct exemplar_list *l = context;
    if (x->t_ms < l->query->min_ms || x->t_ms > l->query->max_ms) return OK;
    if (!roaring_bitmap_contains(l->source->matched, series)) return OK;
    if (is_deleted(l->source, series, x->t_ms)) {
        if (l->left_out != NULL) l->left_out->exemplars_deleted++;
        return OK;
    }
    struct bytes labels;
    const struct block_ref *blocks;
    uint32_t count;
    enum err e = row_read(l->source->rows, series, &labels, &blocks, &count, NULL);
    return e ? e : exemplar_push(l, labels, x);
}

static enum err
gen_exemplars(struct query *q, struct exemplar_list *l, const struct gen *gen,
              const roaring_bitmap_t *wanted, struct buf *labels)
{
    for (uint32_t i = 0; i < gen->exemplars.count; i++) {
        const struct gen_exemplar *g = gen_exemplar(gen, i);
        if (g->undone || (int32_t)(g->epoch - q->view->head.epoch) > 0 ||
            g->t_ms < l->query->min_ms || g->t_ms > l->query->max_ms ||
            !roaring_bitmap_contains(wanted, g->series)) {
            continue;
        }
        buf_clear(labels);
        series_labels(gen->registry, registry_series(gen->registry, g->series), labels);
        struct exemplar x = {
            .labels = bytes_of(g->labels, g->labels_size), .value_bits = g->bits, .t_ms = g->t_ms};
        enum err e = buf_error(labels);
        if (e == OK) e = exemplar_push(l, buf_bytes(labels), &x);
        if (e) return e;
    }
    return OK;
}

static enum err
head_exemplars(struct query *q, struct exemplar_list *l, const struct source *s, struct why *why)
{
    roaring_bitmap_t *wanted = roaring_bitmap_of_ptr(s->id_count, s->ids);
    struct buf labels;
    buf_init(&labels, q->budget, 64 * 1024 * 1024);
    enum err e = wanted == NULL ? ERR_NOMEM : OK;
    lock_take(&q->db->head_lock);
    if (e == OK) e = store_view_check(q->view, why);
    for (unsigned i = 0; i < 2 && e == OK; i++) {
        if (s->gens[i] != NULL) e = gen_exemplars(q, l, s->gens[i], wanted, &labels);
    }
    lock_drop(&q->db->head_lock);
    buf_fini(&labels);
    if (wanted != NULL) roaring_bitmap_free(wanted);
    return e;
}

static int
by_series_time(const void *a, const void *b)
{
    const struct exemplar *x = a, *y = b;
    int order = labels_compare(x->series_labels, y->series_labels);
    if (order != 0) return order;
    if (x->t_ms != y->t_ms) return x->t_ms < y->t_ms ? -1 : 1;
    order = bytes_compare(x->labels, y->labels);
    return order != 0 ? order : (x->value_bits > y->value_bits) - (x->value_bits < y->value_bits);
}

enum err
store_exemplars(struct view *view, const struct query_request *request,
                enum err (*each)(void *context, const struct exemplar *exemplar), void *context,
                struct why *why)
{
    struct query *q;
    enum err e = query_open((struct store_view *)view, request, QUERY_EXEMPLARS, &q, why);
    if (e) return e;
    struct exemplar_list l = {.arena = &q->arena, .query = q};
    if (q->control != NULL) l.left_out = q->control->left_out;
    for (uint32_t i = 0; i < q->source_count && e == OK; i++) {
        l.source = &q->sources[i];
        if (source_is_head(l.source)) {
            e = head_exemplars(q, &l, l.source, why);
        } else if (l.source->matched != NULL) {
            e = part_exemplars(l.source->part, 0, part_exemplar, &l, why);
        }
    }
    if (l.count > 1) qsort(l.items, l.count, sizeof *l.items, by_series_time);
    for (uint32_t i = 0; i < l.count && e == OK; i++) {
        if (i > 0 && by_series_time(&l.items[i - 1], &l.items[i]) == 0) {
            if (l.left_out != NULL) l.left_out->exemplars_beaten++;
            continue;
        }
        e = each(context, &l.items[i]);
    }
    series_set_free(&q->set);
    return e == ERR_NOMEM ? why_set(why, e, "no memory for the query") : e;
}
