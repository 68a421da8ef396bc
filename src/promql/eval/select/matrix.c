/*
 * matrix.c - see window.h.
 *
 * The three lists of a series grow together in the arena. With `anchored` and `smoothed` all
 * samples that may matter are read first, and then replaced by those of the extended range.
 *
 * Invariants:
 *
 *  1. Samples are added to the series that was added last.
 *  2. The lists of a series have `count` items each.
 *  3. Series of a matrix that was filled have different labels and are in their order.
 */
#include "promql/eval/select/window.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/text/time_text.h"
#include "promql/eval/label_sets.h"
#include "promql/eval/select/range.h"

static enum err
matrix_add_series(struct evaluation *ev, struct matrix *m, struct bytes labels, bool drops_name)
{
    struct matrix_series s = {.labels = arena_copy(&m->arena, labels), .drops_name = drops_name};
    if ((s.labels.at == NULL && labels.size > 0) ||
        !array_reserve(ev->budget, &m->items, &m->capacity, m->count + 1))
        return eval_no_memory(ev);
    m->items[m->count++] = s;
    return OK;
}

/* `h` is NULL for a float, else it lies in the arena. */
static enum err
add_sample(struct evaluation *ev, struct matrix *m, int64_t t_ms, double value,
           const struct fhist *h)
{
    assert(m->count > 0); /* invariant 1 */
    struct matrix_series *s = &m->items[m->count - 1];
    int64_t *times = arena_push(&m->arena, s->times_ms, s->count, sizeof *times);
    if (times == NULL) return eval_no_memory(ev);
    s->times_ms = times;
    double *values = arena_push(&m->arena, s->values, s->count, sizeof *values);
    if (values == NULL) return eval_no_memory(ev);
    s->values = values;
    const struct fhist **histograms =
        arena_push(&m->arena, s->histograms, s->count, sizeof *histograms);
    if (histograms == NULL) return eval_no_memory(ev);
    s->histograms = histograms;
    times[s->count] = t_ms;
    values[s->count] = value;
    histograms[s->count++] = h;
    eval_count(ev, &ev->grid, 0, h == NULL ? 1 : h->weight);
    ev->held.now += h == NULL ? 1 : h->weight;
    return eval_hold(ev, 0);
}

/* --- a selector ------------------------------------------------------------------------------- */

static enum err
refuse_histograms(struct evaluation *ev, enum extent extent)
{
    return eval_fail(ev, "%s modifier is not supported with histograms",
                     extent == EXTENT_ANCHORED ? "anchored" : "smoothed");
}

/* Adds samples to the last series. `before` is the histogram before each one, NULL after other
 * samples. Samples before the range are dropped after they were `before`, unless the range is
 * extended. */
static enum err
add_batch(struct evaluation *ev, struct matrix *m, const struct sample_batch *b,
          const struct sample_window *range, const struct fhist **before)
{
    enum extent extent = range->extent;
    enum err e = OK;
    for (uint32_t i = 0; i < b->count && e == OK; i++) {
        bool is_before = extent == EXTENT_PLAIN && b->times_ms[i] <= range->start_ms;
        if (b->kind == SAMPLE_FLOAT) {
            *before = NULL;
            if (is_before || b->value_bits[i] == STALE_NAN_BITS) continue;
            e = add_sample(ev, m, b->times_ms[i], bits_double(b->value_bits[i]), NULL);
            continue;
        }
        if (extent != EXTENT_PLAIN) return refuse_histograms(ev, extent);
        const struct histogram *h = &b->histograms[i];
        if (h->sum_bits == STALE_NAN_BITS) {
            *before = NULL;
            continue;
        }
        void *memory = arena_alloc(&m->arena, fhist_bytes_of(h));
        if (memory == NULL) return eval_no_memory(ev);
        struct fhist *made = fhist_of(memory, h);
        fhist_hint(made, *before);
        *before = made;
        if (!is_before) e = add_sample(ev, m, b->times_ms[i], 0, made);
    }
    return e;
}

/* Replaces the samples by those of an extended range: one at each end, and those between. */
static enum err
extend(struct evaluation *ev, struct matrix *m, struct sample_window *range)
{
    assert(m->count > 0); /* invariant 1 */
    struct matrix_series *s = &m->items[m->count - 1];
    struct float_ends ends;
    range->times_ms = s->times_ms;
    range->values = s->values;
    range->count = s->count;
    if (s->count == 0 || !window_float_ends(range, false, &ends)) {
        s->count = 0;
        return OK;
    }
    uint32_t between = ends.end > ends.first ? ends.end - ends.first : 0, count = between + 2;
    assert(ends.end <= s->count); /* invariant 2 */
    int64_t *times = arena_alloc(&m->arena, count * sizeof *times);
    double *values = arena_alloc(&m->arena, count * sizeof *values);
    const struct fhist **histograms = arena_alloc(&m->arena, count * sizeof *histograms);
    if (times == NULL || values == NULL || histograms == NULL) return eval_no_memory(ev);
    times[0] = range->start_ms;
    values[0] = ends.left;
    if (between > 0) {
        memcpy(times + 1, s->times_ms + ends.first, between * sizeof *times);
        memcpy(values + 1, s->values + ends.first, between * sizeof *values);
    }
    times[count - 1] = range->end_ms;
    values[count - 1] = ends.right;
    memset(histograms, 0, count * sizeof *histograms);
    s->times_ms = times;
    s->values = values;
    s->histograms = histograms;
    s->count = count;
    return OK;
}

/* Adds the last sample of each window of a level. With an extended range the first one matters,
 * too, and those before and after the range. */
static enum err
add_rollups(struct evaluation *ev, struct matrix *m, struct series_set *set,
            const struct sample_batch *b, const struct sample_window *range)
{
    char text[TIME_TEXT_BYTES];
    bool is_plain = range->extent == EXTENT_PLAIN, is_float = b->rollups != NULL;
    if (!is_float && !is_plain) return refuse_histograms(ev, range->extent);
    enum err e = rolled_check(ev, set, b);
    for (uint32_t i = 0; i < b->count && e == OK; i++) {
        const struct rollup r = sample_batch_window(b, i);
        bool is_in = r.last_ms > range->start_ms && r.last_ms <= range->end_ms;
        if (r.count == 0 || (is_plain && !is_in)) continue;
        if (!is_float) {
            const struct histogram *last = &b->histogram_rollups[i].last;
            void *memory = arena_alloc(&m->arena, fhist_bytes_of(last));
            if (memory == NULL) return eval_no_memory(ev);
            e = add_sample(ev, m, r.last_ms, 0, fhist_of(memory, last));
            continue;
        }
        if (!is_plain && r.count > 1)
            e = add_sample(ev, m, r.first_ms, bits_double(r.first_bits), NULL);
        if (e == OK) e = add_sample(ev, m, r.last_ms, bits_double(r.last_bits), NULL);
    }
    if (e) return e;
    notes_add(&ev->notes, PROMQL_INFO, range->at,
              "samples are downsampled to %s; a range has the last one of each window",
              time_print_duration(b->resolution_ms, text));
    return OK;
}

static enum err
matrix_read_series(struct evaluation *ev, struct matrix *m, struct series_set *set,
                   struct sample_window *range)
{
    for (;;) {
        struct bytes labels;
        struct sample_batch b;
        const struct fhist *before = NULL;
        enum err e = eval_next_series(ev, set, false, &labels);
        if (e || labels.at == NULL) return e;
        e = matrix_add_series(ev, m, labels, false);
        do {
            if (e == OK) e = series_set_batch(set, &b, &ev->why);
            if (e == OK && b.count > 0 && sample_batch_has_windows(&b)) {
                before = NULL;
                e = add_rollups(ev, m, set, &b, range);
            } else if (e == OK) {
                e = add_batch(ev, m, &b, range, &before);
            }
            if (e) return e;
        } while (b.count > 0);
        if (range->extent != EXTENT_PLAIN) e = extend(ev, m, range);
        if (e) return e;
        if (m->items[m->count - 1].count == 0) m->count--;
    }
}

static enum err
range_of(struct evaluation *ev, const struct node *node, struct sample_window *ret)
{
    const struct node *selector = node->range.selector;
    const struct shift *shift = &selector->selector.shift;
    int64_t range_ms, offset_ms;
    enum err e = duration_value(ev, &node->range.range, true, &range_ms);
    if (e == OK) e = duration_value(ev, &shift->offset, false, &offset_ms);
    if (e) return e;
    int64_t at_ms = shift->at == AT_NONE ? ev->grid.first_ms : shift_at_ms(ev, shift);
    int64_t end_ms = time_before(at_ms, offset_ms);
    *ret = (struct sample_window){
        .start_ms = end_ms - range_ms,
        .end_ms = end_ms,
        .extent = selector->selector.extent,
        .at = node->at,
    };
    return OK;
}

enum err
matrix_request(struct evaluation *ev, const struct node *node, struct matcher_set *set,
               struct query_request *ret)
{
    struct sample_window range;
    enum err e = range_of(ev, node, &range);
    if (e == OK) e = node_matchers(ev, node->range.selector, NULL, set);
    if (e) return e;
    int64_t before_ms = range.extent == EXTENT_PLAIN
                            ? 1
                            : ev->lookback_ms; /* 1: the sample before the range decides a hint */
    int64_t after_ms = range.extent == EXTENT_SMOOTHED ? ev->lookback_ms : 0;
    *ret = (struct query_request){
        .tenant = ev->tenant,
        .sets = set,
        .set_count = 1,
        .min_ms = range.start_ms - before_ms + 1,
        .max_ms = range.end_ms + after_ms,
        .hints = {.rollups = ROLLUP_ENDS},
        .control = ev->control,
    };
    return OK;
}

static enum err
fill_range(struct evaluation *ev, const struct node *node, struct matrix *m)
{
    struct matcher_set matchers;
    struct query_request request;
    struct series_set *set;
    struct sample_window range;
    enum err e = range_of(ev, node, &range);
    if (e == OK) e = matrix_request(ev, node, &matchers, &request);
    if (e == OK) e = eval_select(ev, &request, &set);
    if (e) return e;
    e = matrix_read_series(ev, m, set, &range);
    eval_free_set(ev, set);
    return e;
}

/* --- a subquery ------------------------------------------------------------------------------- */

static enum err
add_column(struct evaluation *ev, struct matrix *m, const struct column *c, const struct grid *grid)
{
    enum err e = matrix_add_series(ev, m, c->labels, c->drops_name);
    for (bits_each(i, c->present, grid->count)) {
        if (e) return e;
        const struct fhist *h = column_histogram(c, i);
        struct fhist *kept = h == NULL ? NULL : fhist_keep(&m->arena, h);
        if (h != NULL && kept == NULL) return eval_no_memory(ev);
        if (kept != NULL) fhist_forget_reset(kept);
        e = add_sample(ev, m, grid_time(grid, i), h == NULL ? c->values[i] : 0, kept);
    }
    return e;
}

static enum err
fill_subquery(struct evaluation *ev, const struct plan_node *x, struct matrix *m)
{
    struct vector *of, *v;
    struct column *c;
    if (x->refused.at != NULL) return plan_refuse(ev, x);
    if (x->of == NULL) return OK; /* no steps: nothing is evaluated */
    enum err e = vector_new(ev, x->of, &of);
    if (e == OK) e = vector_joined_new(ev, of, &v);
    if (e) return e;
    while ((e = vector_next(v, &c)) == OK && c != NULL) {
        e = add_column(ev, m, c, &x->grid);
        if (e) break;
    }
    vector_free(v);
    return e;
}

/* --- the matrix ------------------------------------------------------------------------------- */

static int
compare_series(const void *a, const void *b)
{
    const struct matrix_series *x = a, *y = b;
    return labels_compare(x->labels, y->labels);
}

/* Drops names that delayed removal has kept. */
static enum err
drop_names(struct evaluation *ev, struct matrix *m)
{
    struct buf labels;
    enum err e = OK;
    buf_init(&labels, ev->budget, 64 << 20);
    for (uint32_t i = 0; i < m->count && e == OK; i++) {
        struct matrix_series *s = &m->items[i];
        if (!s->drops_name) continue;
        buf_clear(&labels);
        labels_without_metadata(&labels, s->labels);
        struct bytes copy = arena_copy(&m->arena, buf_bytes(&labels));
        if (buf_error(&labels) || (copy.at == NULL && labels.size > 0)) e = eval_no_memory(ev);
        s->labels = copy;
    }
    buf_fini(&labels);
    return e;
}

static int
compare_in_time(const void *a, const void *b, void *context)
{
    return eval_sorts(context, COMPARE_WORK) ? compare_series(a, b) : 0;
}

enum err
matrix_fill(struct evaluation *ev, const struct plan_node *x, struct matrix *m)
{
    assert(m->count == 0);
    arena_init(&m->arena, ev->budget, 0, 0);
    enum err e = x->kind == PLAN_SUBQUERY ? fill_subquery(ev, x, m) : fill_range(ev, x->node, m);
    if (e == OK) e = drop_names(ev, m);
    if (e) return e;
    struct eval_order sorting = {.ev = ev};
    if (m->count > 1) qsort_r(m->items, m->count, sizeof *m->items, compare_in_time, &sorting);
    if (sorting.failed) return sorting.failed;
    for (uint32_t i = 1; i < m->count; i++) {
        int order = compare_series(&m->items[i - 1], &m->items[i]);
        if (order == 0)
            return eval_fail(ev, "vector cannot contain metrics with the same labelset");
        assert(order < 0); /* invariant 3 */
    }
    return OK;
}

void
matrix_fini(struct evaluation *ev, struct matrix *m)
{
    array_free(ev->budget, m->items, m->capacity);
    arena_fini(&m->arena);
}
