/*
 * selector.c - an instant vector of the store: of each series, at each step, the last sample that
 * is not older than the look-back, unless it is a staleness marker.
 */
#include "promql/eval/eval.h"

struct selector_vector {
    struct vector vector; /* first */
    struct series_set *set;
    struct column column;
    struct query_request request;
    int64_t offset_ms;
    bool times; /* of the samples, instead of their values */
};

/* The time that step `i` looks back from. */
static int64_t
reference(const struct selector_vector *s, uint32_t i)
{
    return (int64_t)((uint64_t)grid_time(&s->vector.grid, i) - (uint64_t)s->offset_ms);
}

struct last_sample {
    int64_t t_ms;
    uint64_t bits;
    bool is_there;
};

/* Steps that look back from before `until_ms` get the last sample. */
static uint32_t
fill(struct selector_vector *s, uint32_t step, int64_t until_ms, const struct last_sample *last)
{
    uint32_t count = s->vector.grid.count;
    bool counts = last->is_there && last->bits != STALE_NAN_BITS;
    for (; step < count; step++) {
        int64_t t = reference(s, step);
        if (t >= until_ms) break;
        if (!counts || last->t_ms <= t - s->vector.ev->lookback_ms) continue;
        column_set(&s->column, step,
                   s->times ? (double)last->t_ms / 1000 : bits_double(last->bits));
    }
    return step;
}

static enum err
fill_column(struct selector_vector *s)
{
    struct evaluation *ev = s->vector.ev;
    struct last_sample last = {0, 0, false};
    uint32_t step = 0;
    column_clear(&s->column, s->vector.grid.count);
    for (;;) {
        struct sample_batch b;
        enum err e = series_set_batch(s->set, &b, &ev->why);
        if (e) return e;
        if (b.count == 0) break;
        if (b.kind != SAMPLE_FLOAT) return eval_fail(ev, "native histograms are not supported");
        for (uint32_t i = 0; i < b.count; i++) {
            step = fill(s, step, b.times_ms[i], &last);
            last = (struct last_sample){b.times_ms[i], b.value_bits[i], true};
        }
    }
    (void)fill(s, step, INT64_MAX, &last);
    return OK;
}

static enum err
next(struct vector *v, struct column **ret_column)
{
    struct selector_vector *s = (struct selector_vector *)v;
    for (;;) {
        struct bytes labels;
        enum err e = series_set_next(s->set, &labels, &v->ev->why);
        if (e) return e;
        if (labels.at == NULL) break;
        e = fill_column(s);
        if (e) return e;
        uint32_t count = bits_count(s->column.present, v->grid.count);
        if (count == 0) continue;
        v->ev->samples += count;
        s->column.labels = labels;
        *ret_column = &s->column;
        return OK;
    }
    *ret_column = NULL;
    return OK;
}

static void
selector_free(struct vector *v)
{
    struct selector_vector *s = (struct selector_vector *)v;
    series_set_free(s->set);
    column_fini(&s->column, v->ev->budget, v->grid.count);
    mem_free(v->ev->budget, s, sizeof *s);
}

/* Is the metric's name given? */
static bool
names_one(const struct node *n)
{
    for (uint32_t i = 0; i < n->selector.matcher_count; i++) {
        const struct node_matcher *m = &n->selector.matchers[i];
        if (m->type == MATCH_EQUAL && bytes_equal_text(m->name, "__name__")) return true;
    }
    return false;
}

enum err
vector_selector_new(struct evaluation *ev, const struct node *node, const struct grid *grid,
                    bool times, struct vector **ret_vector)
{
    static const struct vector_ops ops = {next, selector_free};
    struct selector_vector *s = mem_new(ev->budget, sizeof *s);
    if (s == NULL) return eval_no_memory(ev);
    s->vector = (struct vector){&ops, ev, *grid, names_one(node)};
    s->times = times;
    struct matcher_set set;
    enum err e = duration_value(ev, &node->selector.shift.offset, false, &s->offset_ms);
    if (e == OK && column_init(&s->column, ev->budget, grid->count)) e = eval_no_memory(ev);
    if (e == OK) e = node_matchers(ev, node, &set);
    if (e == OK) {
        s->request = (struct query_request){
            .tenant = ev->tenant,
            .sets = &set,
            .set_count = 1,
            .min_ms = reference(s, 0) - ev->lookback_ms + 1,
            .max_ms = reference(s, grid->count - 1),
            .control = ev->control,
        };
        e = view_select(ev->view, &s->request, &s->set, &ev->why);
    }
    if (e) {
        selector_free(&s->vector);
        return e;
    }
    *ret_vector = &s->vector;
    return OK;
}
