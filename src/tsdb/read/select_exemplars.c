/*
 * select_exemplars.c - exemplars of a view, in label and time order: series by series, so that
 * only those of one are in memory. A part has them in the order of its series; the head has them in
 * the order of arrival, so the ones that are selected are listed when the query begins.
 */
#include <assert.h>
#include <roaring/roaring.h>
#include <stdlib.h>

#include "base/array.h"
#include "tsdb/read/select_private.h"

enum { SPOTS_AT_ONCE = 4096, ARENA_KEPT_BYTES = 64 * 1024 };

/* --- exemplars of the head -------------------------------------------------------------------- */

static int
by_series(const void *a, const void *b)
{
    const struct exemplar_spot *x = a, *y = b;
    return (x->series > y->series) - (x->series < y->series);
}

enum err
head_note_exemplars(struct store_query *q, struct query_source *s, const roaring_bitmap_t *matched,
                    struct why *why)
{
    enum err e = OK;
    buf_init(&s->spots, q->budget, SIZE_MAX);
    for (unsigned g = 0; g < 2 && e == OK; g++) {
        uint32_t at = 0, end = s->gens[g] == NULL ? 0 : 1;
        while (at < end && e == OK) {
            /* Lists some of the generation's exemplars that are selected. */
            const struct gen *gen = s->gens[g];
            lock_take(&q->head->lock);
            e = store_view_check(q->view, why);
            uint32_t left = SPOTS_AT_ONCE;
            end = gen->exemplars.count;
            for (; at < end && left > 0 && e == OK; at++, left--) {
                const struct gen_exemplar *x = gen_exemplar(gen, at);
                if (x->undone || (int32_t)(x->epoch - q->view->seen.epoch) > 0) continue;
                if (x->t_ms < q->min_ms || x->t_ms > q->max_ms) continue;
                if (!roaring_bitmap_contains(matched, x->series)) continue;
                struct exemplar_spot spot = {x->series, x};
                buf_put(&s->spots, &spot, sizeof spot);
                e = buf_error(&s->spots);
            }
            lock_drop(&q->head->lock);
            if (e == OK && q->control != NULL) e = query_control_check(q->control, why);
        }
    }
    if (e) return e;
    struct exemplar_spot *spots = (struct exemplar_spot *)(void *)s->spots.at;
    uint32_t count = (uint32_t)(s->spots.size / sizeof *spots);
    if (count == 0) return OK;
    qsort(spots, count, sizeof *spots, by_series);
    s->ids = mem_alloc(q->budget, count * sizeof *s->ids);
    if (s->ids == NULL) return ERR_NOMEM;
    s->id_capacity = count;
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || spots[i].series != spots[i - 1].series)
            s->ids[s->id_count++] = spots[i].series;
    return OK;
}

/* --- exemplars of a part ---------------------------------------------------------------------- */

/* Moves to the next exemplar. With `partial`, a damaged page is skipped. */
static enum err
walk_step(struct store_query *q, struct exemplar_walk *w, struct why *why)
{
    for (;;) {
        struct why reason = {""};
        enum err e = exemplar_walk_step(w, &reason);
        if (e == OK) return OK;
        e = query_leave_out(q, e, &reason, why);
        if (e) return e;
    }
}

static enum err
walk_begin(struct store_query *q, struct query_source *s, struct why *why)
{
    struct why reason = {""};
    exemplar_walk_init(&s->exemplars, s->part);
    enum err e = exemplar_walk_open(&s->exemplars, &reason);
    if (e) return query_leave_out(q, e, &reason, why);
    return s->exemplars.at_end ? OK : walk_step(q, &s->exemplars, why);
}

/* Moves to the next series that is selected and has exemplars. */
static enum err
part_step(struct store_query *q, struct query_source *s, struct why *why)
{
    struct exemplar_walk *w = &s->exemplars;
    bool begins = w->part == NULL;
    enum err e = begins ? walk_begin(q, s, why) : OK;
    for (; e == OK; begins = false) {
        const struct block_ref *blocks;
        uint32_t count;
        struct why reason = {""};
        while (e == OK && !w->at_end &&
               ((!begins && w->series <= s->number) ||
                !roaring_bitmap_contains(s->matched, w->series)))
            e = walk_step(q, w, why);
        s->at_end = w->at_end;
        if (e || s->at_end) return e;
        s->number = w->series;
        e = row_read(s->rows, s->number, &s->labels, &blocks, &count, &reason);
        if (e == OK) return OK;
        e = query_leave_out(q, e, &reason, why);
    }
    return e;
}

/* --- a series --------------------------------------------------------------------------------- */

struct exemplar_list {
    struct store_query *query;
    struct buf items; /* struct exemplar */
    struct arena arena;
    struct samples_left_out *left_out; /* may be NULL */
};

static enum err
push(struct exemplar_list *l, struct bytes labels, uint64_t value_bits, int64_t t_ms)
{
    struct exemplar x = {
        .labels = arena_copy(&l->arena, labels), .value_bits = value_bits, .t_ms = t_ms};
    if (labels.size > 0 && x.labels.at == NULL) return ERR_NOMEM;
    buf_put(&l->items, &x, sizeof x);
    return buf_error(&l->items);
}

static enum err
add_of_part(struct exemplar_list *l, struct query_source *s, struct why *why)
{
    struct store_query *q = l->query;
    struct exemplar_walk *w = &s->exemplars;
    enum err e = OK;
    while (e == OK && !w->at_end && w->series == s->number) {
        const struct exemplar *x = &w->exemplar;
        bool in_time = x->t_ms >= q->from_ms && x->t_ms <= q->max_ms;
        bool deleted =
            in_time && deletions_hide(s->deletions, s->deletion_count, w->series, x->t_ms);
        if (deleted && l->left_out != NULL) l->left_out->exemplars_deleted++;
        if (in_time && !deleted) e = push(l, x->labels, x->value_bits, x->t_ms);
        if (e == OK) e = walk_step(q, w, why);
    }
    return e;
}

static enum err
add_of_head(struct exemplar_list *l, const struct query_source *s)
{
    const struct exemplar_spot *spots = (const struct exemplar_spot *)(const void *)s->spots.at;
    assert(s->id_at > 0);
    uint32_t id = s->ids[s->id_at - 1], count = (uint32_t)(s->spots.size / sizeof *spots);
    uint32_t low = search_first(i, 0u, count, spots[i].series >= id);
    enum err e = OK;
    for (uint32_t i = low; i < count && spots[i].series == id && e == OK; i++) {
        const struct gen_exemplar *x = spots[i].exemplar;
        if (x->t_ms < l->query->from_ms) continue;
        e = push(l, bytes_of(x->labels, x->labels_size), x->bits, x->t_ms);
    }
    return e;
}

static int
in_order(const void *a, const void *b)
{
    return exemplar_compare(a, b);
}

static enum err
walk(struct exemplar_list *l, const struct exemplar_sink *to, struct why *why)
{
    struct store_query *q = l->query;
    enum err e = OK;
    for (uint32_t i = 0; i < q->source_count; i++)
        q->sources[i].consumed = true;
    for (;;) {
        for (uint32_t i = 0; i < q->source_count && e == OK; i++) {
            struct query_source *s = &q->sources[i];
            if (!s->consumed || s->at_end) continue;
            s->consumed = false;
            e = source_is_head(s) ? query_head_step(s) : part_step(q, s, why);
        }
        const struct query_source *first = query_first_source(q);
        if (e || first == NULL) return e;
        if (query_pass(q, first)) continue;
        buf_clear(&q->labels);
        buf_put_bytes(&q->labels, first->labels);
        e = buf_error(&q->labels);
        if (e == OK) q->from_ms = query_from_ms(q, buf_bytes(&q->labels));
        buf_clear(&l->items);
        arena_reset_to(&l->arena, ARENA_KEPT_BYTES);
        for (uint32_t i = 0; i < q->source_count && e == OK; i++) {
            struct query_source *s = &q->sources[i];
            if (s->at_end || !bytes_equal(s->labels, buf_bytes(&q->labels))) continue;
            s->consumed = true;
            e = source_is_head(s) ? add_of_head(l, s) : add_of_part(l, s, why);
        }
        assert(first->consumed || e); /* select.c, invariant 3 */
        if (e == OK) {
            struct exemplar *items = (struct exemplar *)(void *)l->items.at;
            uint32_t count = (uint32_t)(l->items.size / sizeof *items);
            if (count > 1) qsort(items, count, sizeof *items, in_order);
            for (uint32_t i = 0; i < count && e == OK; i++) {
                if (i > 0 && exemplar_compare(&items[i - 1], &items[i]) == 0) {
                    if (l->left_out != NULL) l->left_out->exemplars_superseded++;
                    continue;
                }
                items[i].series_labels = buf_bytes(&l->query->labels);
                e = to->each(to->context, &items[i]);
            }
        }
        if (e == OK) e = query_control_check(q->control, why);
        if (e) return e;
    }
}

enum err
store_exemplars(struct view *view, const struct query_request *request,
                const struct exemplar_sink *to, struct why *why)
{
    struct store_query *q;
    enum err e = query_open((struct store_view *)view, request, QUERY_EXEMPLARS, &q, why);
    if (e) return e;
    struct exemplar_list l = {.query = q};
    if (q->control != NULL) l.left_out = q->control->left_out;
    buf_init(&l.items, q->budget, SIZE_MAX);
    arena_init(&l.arena, q->budget, 0, 0);
    e = walk(&l, to, why);
    const char *sentence;
    for (uint32_t i = 0; to->warning != NULL && (e == OK || e == ERR_CANCELED); i++) {
        if ((sentence = series_set_warning(&q->set, i)) == NULL) break;
        e = err_first(e, to->warning(to->context, sentence));
    }
    buf_fini(&l.items);
    arena_fini(&l.arena);
    series_set_free(&q->set);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for the query") : e;
}
