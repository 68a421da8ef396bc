/*
 * range.c - a function of a range vector: for each series its samples are put into a buffer, over
 * which the window slides from step to step. Samples that no later window reaches are dropped when
 * the buffer is full; what the series has is read once.
 */
#include "base/array.h"
#include "promql/eval/label_edit.h"
#include "promql/eval/window.h"

enum { ARGUMENTS_MAX = 2 };

struct samples {
    int64_t *times_ms;
    double *values;
    uint32_t time_capacity;
    uint32_t value_capacity;
    uint32_t count;
};

struct range_vector {
    struct vector vector; /* first */
    const struct node *call;
    window_function function;
    struct series_set *set;  /* of the store; or */
    struct vector *subquery; /* of an expression: its steps are the samples */
    struct column *column;   /* of it, at hand */
    uint32_t column_at;
    struct samples samples;
    double *scratch; /* of functions that sort */
    uint32_t scratch_capacity;
    struct column result;
    struct buf labels;
    bool keeps_name;
    bool at_end; /* of the series: there are no more samples */
    int64_t range_ms;
    int64_t offset_ms;
    bool fixed; /* by @ */
    int64_t at_ms;
    const double *scalars[ARGUMENTS_MAX];
    uint32_t scalar_count;
};

static int64_t
window_end(const struct range_vector *r, uint32_t step)
{
    int64_t t = r->fixed ? r->at_ms : grid_time(&r->vector.grid, step);
    return (int64_t)((uint64_t)t - (uint64_t)r->offset_ms);
}

/* --- samples ---------------------------------------------------------------------------------- */

static bool
reserve(struct range_vector *r, uint32_t more)
{
    struct samples *s = &r->samples;
    struct budget *budget = r->vector.ev->budget;
    return array_reserve(budget, &s->times_ms, &s->time_capacity, s->count + more) &&
           array_reserve(budget, &s->values, &s->value_capacity, s->count + more);
}

static enum err
read_batch(struct range_vector *r)
{
    struct evaluation *ev = r->vector.ev;
    struct sample_batch b;
    enum err e = series_set_batch(r->set, &b, &ev->why);
    if (e) return e;
    r->at_end = b.count == 0;
    if (r->at_end) return OK;
    if (b.kind != SAMPLE_FLOAT) return eval_fail(ev, "native histograms are not supported");
    if (!reserve(r, b.count)) return eval_no_memory(ev);
    struct samples *s = &r->samples;
    for (uint32_t i = 0; i < b.count; i++) {
        if (b.value_bits[i] == STALE_NAN_BITS) continue;
        s->times_ms[s->count] = b.times_ms[i];
        s->values[s->count++] = bits_double(b.value_bits[i]);
    }
    return OK;
}

static enum err
read_column(struct range_vector *r)
{
    const struct vector *sub = r->subquery;
    if (!reserve(r, bits_count(r->column->present, sub->grid.count))) {
        return eval_no_memory(r->vector.ev);
    }
    struct samples *s = &r->samples;
    for (bits_each(i, r->column->present, sub->grid.count)) {
        s->times_ms[s->count] = grid_time(&sub->grid, i);
        s->values[s->count++] = r->column->values[i];
    }
    r->at_end = true;
    return OK;
}

/* So that all samples until a time are there; those before `from_ms` need not be. */
static enum err
read_until(struct range_vector *r, int64_t from_ms, int64_t until_ms, uint32_t *begin)
{
    struct samples *s = &r->samples;
    while (!r->at_end && (s->count == 0 || s->times_ms[s->count - 1] <= until_ms)) {
        uint32_t gone = *begin;
        while (gone < s->count && s->times_ms[gone] <= from_ms) {
            gone++;
        }
        if (gone > s->count / 2) {
            s->count -= gone;
            memmove(s->times_ms, s->times_ms + gone, s->count * sizeof *s->times_ms);
            memmove(s->values, s->values + gone, s->count * sizeof *s->values);
            gone = 0;
        }
        *begin = gone;
        enum err e = r->set != NULL ? read_batch(r) : read_column(r);
        if (e) return e;
    }
    return OK;
}

/* --- windows ---------------------------------------------------------------------------------- */

static enum err
fill_column(struct range_vector *r)
{
    struct samples *s = &r->samples;
    uint32_t begin = 0, end = 0, steps = r->vector.grid.count;
    double scalars[ARGUMENTS_MAX];
    s->count = 0;
    r->at_end = false;
    column_clear(&r->result, steps);
    for (uint32_t i = 0; i < steps; i++) {
        struct window w = {.end_ms = window_end(r, i), .range_ms = r->range_ms};
        w.start_ms = w.end_ms - r->range_ms;
        w.step_time_ms = grid_time(&r->vector.grid, i);
        uint32_t before = begin;
        enum err e = read_until(r, w.start_ms, w.end_ms, &begin);
        if (e) return e;
        end = begin < before ? begin : end < begin ? begin : end;
        while (begin < s->count && s->times_ms[begin] <= w.start_ms) {
            begin++;
        }
        if (end < begin) end = begin;
        while (end < s->count && s->times_ms[end] <= w.end_ms) {
            end++;
        }
        if (begin == end) {
            if (r->at_end && begin == s->count && !r->fixed) break;
            continue;
        }
        w.times_ms = s->times_ms + begin;
        w.values = s->values + begin;
        w.count = end - begin;
        for (uint32_t k = 0; k < r->scalar_count; k++) {
            scalars[k] = r->scalars[k][i];
        }
        w.scalars = scalars;
        r->vector.ev->samples += w.count;
        if (!array_reserve(r->vector.ev->budget, &r->scratch, &r->scratch_capacity, w.count)) {
            return eval_no_memory(r->vector.ev);
        }
        w.scratch = r->scratch;
        double value;
        if (r->function(&w, &value)) column_set(&r->result, i, value);
    }
    return OK;
}

static enum err
next_series(struct range_vector *r, struct bytes *ret_labels)
{
    if (r->set != NULL) return series_set_next(r->set, ret_labels, &r->vector.ev->why);
    enum err e = vector_next(r->subquery, &r->column);
    if (e) return e;
    *ret_labels = r->column == NULL ? bytes_of(NULL, 0) : r->column->labels;
    if (r->column != NULL && r->column->labels.at == NULL) *ret_labels = bytes_of("", 0);
    return OK;
}

static enum err
next(struct vector *v, struct column **ret_column)
{
    struct range_vector *r = (struct range_vector *)v;
    for (;;) {
        struct bytes labels;
        enum err e = next_series(r, &labels);
        if (e) return e;
        if (labels.at == NULL) break;
        buf_clear(&r->labels);
        if (r->keeps_name)
            buf_put_bytes(&r->labels, labels);
        else
            labels_without_name(&r->labels, labels);
        if (buf_error(&r->labels)) return eval_no_memory(v->ev);
        e = fill_column(r);
        if (e) return e;
        if (bits_count(r->result.present, v->grid.count) == 0) continue;
        r->result.labels = buf_bytes(&r->labels);
        *ret_column = &r->result;
        return OK;
    }
    *ret_column = NULL;
    return OK;
}

static void
range_free(struct vector *v)
{
    struct range_vector *r = (struct range_vector *)v;
    struct budget *budget = v->ev->budget;
    series_set_free(r->set);
    vector_free(r->subquery);
    array_free(budget, r->samples.times_ms, r->samples.time_capacity);
    array_free(budget, r->samples.values, r->samples.value_capacity);
    array_free(budget, r->scratch, r->scratch_capacity);
    column_fini(&r->result, budget, v->grid.count);
    buf_fini(&r->labels);
    mem_free(budget, r, sizeof *r);
}

/* --- what is read ----------------------------------------------------------------------------- */

static enum err
open_selector(struct range_vector *r, const struct node *node)
{
    struct evaluation *ev = r->vector.ev;
    struct matcher_set set;
    enum err e = node_matchers(ev, node->range.selector, &set);
    if (e) return e;
    struct query_request request = {
        .tenant = ev->tenant,
        .sets = &set,
        .set_count = 1,
        .min_ms = window_end(r, 0) - r->range_ms + 1,
        .max_ms = window_end(r, r->vector.grid.count - 1),
        .control = ev->control,
    };
    return view_select(ev->view, &request, &r->set, &ev->why);
}

/* The steps of a subquery are multiples of their distance, whatever the query's are. */
static enum err
open_subquery(struct range_vector *r, const struct node *node)
{
    struct evaluation *ev = r->vector.ev;
    int64_t step_ms;
    enum err e = duration_value(ev, &node->subquery.step, false, &step_ms);
    if (e) return e;
    if (step_ms == 0) step_ms = ev->subquery_step_ms;
    int64_t from_ms = window_end(r, 0) - r->range_ms;
    int64_t to_ms = window_end(r, r->vector.grid.count - 1);
    int64_t first_ms = from_ms / step_ms * step_ms;
    while (first_ms <= from_ms) {
        first_ms += step_ms;
    }
    struct grid grid = {first_ms, step_ms, 1};
    if (to_ms >= first_ms) grid.count = (uint32_t)((to_ms - first_ms) / step_ms) + 1;
    return vector_new(ev, node->subquery.expr, &grid, &r->subquery);
}

static enum err
open_range(struct range_vector *r, const struct node *node)
{
    struct evaluation *ev = r->vector.ev;
    bool is_subquery = node->kind == NODE_SUBQUERY;
    const struct shift *shift =
        is_subquery ? &node->subquery.shift : &node->range.selector->selector.shift;
    const struct duration *range = is_subquery ? &node->subquery.range : &node->range.range;
    enum err e = duration_value(ev, range, true, &r->range_ms);
    if (e == OK) e = duration_value(ev, &shift->offset, false, &r->offset_ms);
    if (e) return e;
    r->fixed = shift->at != AT_NONE;
    r->at_ms = shift->at == AT_START ? ev->grid.first_ms
               : shift->at == AT_END ? ev->end_ms
                                     : shift->at_ms;
    return is_subquery ? open_subquery(r, node) : open_selector(r, node);
}

enum err
vector_range_new(struct evaluation *ev, const struct node *call, const struct grid *grid,
                 struct vector **ret_vector)
{
    static const struct vector_ops ops = {next, range_free};
    const struct function *f = call->call.function;
    enum function_id id = (enum function_id)(f - functions);
    struct range_vector *r = mem_new(ev->budget, sizeof *r);
    if (r == NULL) return eval_no_memory(ev);
    r->vector = (struct vector){&ops, ev, *grid, false};
    r->call = call;
    r->function = window_function_of(id);
    r->keeps_name = id == FUNCTION_LAST_OVER_TIME || id == FUNCTION_FIRST_OVER_TIME;
    buf_init(&r->labels, ev->budget, 64 << 20);
    enum err e = r->function == NULL ? eval_fail(ev, "function %s is not supported", f->name) : OK;
    if (e == OK && column_init(&r->result, ev->budget, grid->count)) e = eval_no_memory(ev);
    for (uint32_t i = 0; i < call->call.argument_count && e == OK; i++) {
        const struct node *argument = node_inside(call->call.arguments[i]);
        if (argument->type == VALUE_MATRIX) {
            e = open_range(r, argument);
        } else {
            double *values;
            e = scalar_values(ev, argument, grid, &values);
            r->scalars[r->scalar_count++] = values;
        }
    }
    if (e) {
        range_free(&r->vector);
        return e;
    }
    *ret_vector = &r->vector;
    return OK;
}
