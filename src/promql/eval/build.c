/*
 * build.c - builds the operators of a tree's nodes, and computes scalars, which is done at once.
 *
 * part_new() builds the operator of one node. Around the operator itself (build_operator()) come,
 * from the inside: the share of a part that occurs several times, the repetition of a part that is
 * the same at all steps and evaluated at one, and the measurement.
 *
 * Invariants:
 *
 *  1. An operator is built for at least one step.
 *  2. Steps whose samples count are steps of the whole query, for which there are counters.
 *  3. An operator gives columns for the steps that it was built for, so the operands of an operator
 *     have the same number of steps.
 *  4. Steps of a subquery are a positive time apart.
 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "promql/eval/eval.h"
#include "promql/eval/label_edit.h"
#include "promql/eval/plan/durations.h"
#include "promql/eval/plan/pushdown.h"
#include "promql/eval/plan/share.h"

/* Prometheus' default limit of samples in memory. */
enum { SUBQUERY_STEPS_MAX = 50 * 1000 * 1000 };

enum err
eval_fail(struct evaluation *ev, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_put_text(&ev->error, text);
    return ERR_INPUT;
}

enum err
eval_hold(struct evaluation *ev, uint64_t more)
{
    struct held_samples *held = &ev->held;
    uint64_t now = held->now + more;
    if (now > held->most) held->most = now;
    if (held->max == 0 || now <= held->max) return OK;
    return eval_fail(ev,
                     "query processing would load too many samples into memory in query execution: "
                     "more than %" PRIu64 " at a time (query.max_samples); select fewer series, or "
                     "use a shorter range or a longer step",
                     held->max);
}

enum err
eval_no_memory(struct evaluation *ev)
{
    return why_set(&ev->why, ERR_NOMEM, "not enough memory for the query");
}

/* Few labels sort before these. */
static bool
has_type(struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    for (struct label label; labels_next(&c, &label);) {
        int order = bytes_compare(label.name, bytes_of_text("__unit__"));
        if (order >= 0) return order == 0;
        if (bytes_equal_text(label.name, "__type__")) return true;
    }
    return false;
}

enum err
eval_other_metric(struct evaluation *ev, const struct column *c, struct buf *labels,
                  struct column *result)
{
    if (ev->features.delayed_name_removal) {
        result->labels = c->labels;
        result->drops_name = true;
        return OK;
    }
    buf_clear(labels);
    labels_without_metadata(labels, c->labels);
    if (buf_error(labels)) return eval_no_memory(ev);
    result->labels = buf_bytes(labels);
    result->lost_type = has_type(c->labels);
    return OK;
}

enum err
node_matchers(struct evaluation *ev, const struct node *node, struct matcher_set *ret_set)
{
    const struct pushed *pushed = pushdown_of(ev, node);
    uint32_t own = node->selector.matcher_count, more = pushed == NULL ? 0 : pushed->count;
    struct matcher **matchers = arena_alloc(&ev->arena, (own + more + 1) * sizeof *matchers);
    if (matchers == NULL) return eval_no_memory(ev);
    for (uint32_t i = 0; i < own; i++) {
        matchers[i] = node->selector.matchers[i].matcher;
    }
    for (uint32_t i = 0; i < more; i++) {
        matchers[own + i] = pushed->items[i]->matcher;
    }
    *ret_set = (struct matcher_set){matchers, own + more};
    return OK;
}

/* --- durations -------------------------------------------------------------------------------- */

enum err
duration_value(struct evaluation *ev, const struct duration *d, bool positive, int64_t *ret_ms)
{
    struct query_times times = {ev->grid.first_ms, ev->end_ms, ev->grid.step_ms};
    return duration_at(d, positive, &times, ret_ms, &ev->error) ? OK : ERR_INPUT;
}

/* Steps of a subquery are multiples of its step, for any steps of the query. */
enum err
subquery_grid(struct evaluation *ev, const struct node *node, int64_t from_ms, int64_t to_ms,
              struct grid *ret)
{
    int64_t step_ms;
    enum err e = duration_value(ev, &node->subquery.step, true, &step_ms);
    if (e) return e;
    if (step_ms == 0) step_ms = ev->subquery_step_ms;
    assert(step_ms > 0); /* invariant 4 */
    int64_t first_ms = from_ms / step_ms * step_ms;
    while (first_ms <= from_ms) {
        first_ms += step_ms;
    }
    *ret = (struct grid){first_ms, step_ms, 0, false};
    if (to_ms < first_ms) return OK;
    int64_t before = (to_ms - first_ms) / step_ms;
    if (before >= SUBQUERY_STEPS_MAX) {
        return eval_fail(ev,
                         "query processing would load too many samples into memory in query "
                         "execution: a subquery has %" PRId64 " steps, at most %d are allowed; use "
                         "a longer step or a shorter range",
                         before + 1, SUBQUERY_STEPS_MAX);
    }
    ret->count = (uint32_t)before + 1;
    return OK;
}

/* --- scalars ---------------------------------------------------------------------------------- */

double
binary_number(enum token_type op, double a, double b)
{
    switch (op) {
    case TOKEN_ADD:
        return a + b;
    case TOKEN_SUB:
        return a - b;
    case TOKEN_MUL:
        return a * b;
    case TOKEN_DIV:
        return a / b;
    case TOKEN_MOD:
        return fmod(a, b);
    case TOKEN_POW:
        return pow(a, b);
    case TOKEN_ATAN2:
        return atan2(a, b);
    case TOKEN_EQ:
        return a == b;
    case TOKEN_NE:
        return a != b;
    case TOKEN_LT:
        return a < b;
    case TOKEN_LE:
        return a <= b;
    case TOKEN_GT:
        return a > b;
    default:
        return a >= b;
    }
}

double
number_least(double a, double b)
{
    if (a == -INFINITY || b == -INFINITY) return -INFINITY;
    if (isnan(a) || isnan(b)) return NAN;
    if (a == b) return signbit(a) ? a : b;
    return a < b ? a : b;
}

double
number_greatest(double a, double b)
{
    return -number_least(-a, -b);
}

/* The value of scalar(): that of the only series. */
static enum err
scalar_of_vector(struct evaluation *ev, const struct node *node, const struct grid *grid,
                 double *values)
{
    struct vector *v;
    struct column *c;
    uint8_t *counts = arena_new(&ev->arena, grid->count);
    if (counts == NULL) return eval_no_memory(ev);
    enum err e = vector_new(ev, node, grid, &v);
    if (e) return e;
    assert(v->grid.count == grid->count); /* invariant 3 */
    while ((e = vector_next(v, &c)) == OK && c != NULL) {
        for (bits_each(i, c->present, grid->count)) {
            if (column_histogram(c, i) != NULL) continue;
            values[i] = counts[i] == 0 ? c->values[i] : NAN;
            counts[i] = 1;
        }
    }
    vector_free(v);
    for (uint32_t i = 0; i < grid->count; i++) {
        if (counts[i] == 0) values[i] = NAN;
    }
    return e;
}

static enum err scalars_of(struct evaluation *ev, const struct node *node, const struct grid *grid,
                           double **ret_values);

static enum err
scalar_call(struct evaluation *ev, const struct node *node, const struct grid *grid, double *values)
{
    struct node **arguments = node->call.arguments;
    enum function_id id = (enum function_id)(node->call.function - functions);
    double *a, *b, constant = 0;
    enum err e = OK;
    switch (id) {
    case FUNCTION_SCALAR:
        return scalar_of_vector(ev, arguments[0], grid, values);
    case FUNCTION_TIME:
        for (uint32_t i = 0; i < grid->count; i++) {
            values[i] = (double)grid_time(grid, i) / 1000;
        }
        return OK;
    case FUNCTION_MIN_OF:
    case FUNCTION_MAX_OF:
        e = scalars_of(ev, arguments[0], grid, &a);
        if (e == OK) e = scalars_of(ev, arguments[1], grid, &b);
        for (uint32_t i = 0; i < grid->count && e == OK; i++) {
            values[i] =
                id == FUNCTION_MIN_OF ? number_least(a[i], b[i]) : number_greatest(a[i], b[i]);
        }
        return e;
    case FUNCTION_PI:
        constant = M_PI;
        break;
    case FUNCTION_START:
        constant = (double)ev->grid.first_ms / 1000;
        break;
    case FUNCTION_END:
        constant = (double)ev->end_ms / 1000;
        break;
    case FUNCTION_STEP:
        constant = (double)ev->grid.step_ms / 1000;
        break;
    case FUNCTION_RANGE:
        constant = (double)((uint64_t)ev->end_ms - (uint64_t)ev->grid.first_ms) / 1000;
        break;
    default:
        return eval_fail(ev, "function %s is not supported", node->call.function->name);
    }
    for (uint32_t i = 0; i < grid->count; i++) {
        values[i] = constant;
    }
    return e;
}

static enum err
scalars_of(struct evaluation *ev, const struct node *node, const struct grid *grid,
           double **ret_values)
{
    double *values, *left, *right;
    enum err e = OK;
    node = node_inside(node);
    values = arena_alloc(&ev->arena, grid->count * sizeof *values);
    if (values == NULL) return eval_no_memory(ev);
    switch (node->kind) {
    case NODE_NUMBER:
        for (uint32_t i = 0; i < grid->count; i++) {
            values[i] = node->number.value;
        }
        break;
    case NODE_UNARY:
        e = scalars_of(ev, node->unary.expr, grid, &left);
        for (uint32_t i = 0; i < grid->count && e == OK; i++) {
            values[i] = node->unary.op == TOKEN_SUB ? -left[i] : left[i];
        }
        break;
    case NODE_BINARY:
        e = scalars_of(ev, node->binary.left, grid, &left);
        if (e == OK) e = scalars_of(ev, node->binary.right, grid, &right);
        for (uint32_t i = 0; i < grid->count && e == OK; i++) {
            values[i] = binary_number(node->binary.op, left[i], right[i]);
        }
        break;
    default:
        e = scalar_call(ev, node, grid, values);
        break;
    }
    *ret_values = values;
    return e;
}

enum err
scalar_values(struct evaluation *ev, const struct node *node, const struct grid *grid,
              double **ret_values)
{
    struct measuring m;
    bool measured = measure_begin(ev, node_inside(node), &m);
    enum err e = scalars_of(ev, node, grid, ret_values);
    if (measured) measure_end(ev, &m);
    return e;
}

/* --- one column for all steps ----------------------------------------------------------------- */

struct grid
grid_once(const struct evaluation *ev, const struct grid *grid)
{
    return (struct grid){ev->grid.first_ms, 0, 1, grid->counts};
}

/* Counts the samples of the one step at all steps; `before` is the number counted until then. */
static void
count_for_all_steps(struct evaluation *ev, const struct grid *grid, uint64_t before)
{
    assert(ev->samples >= before);
    uint64_t samples = ev->samples - before;
    if (!grid->counts) return;
    for (uint32_t i = 1; i < grid->count; i++) {
        ev->step_samples[i] += samples;
    }
    ev->samples += samples * (grid->count - 1);
}

struct repeat_vector {
    struct vector vector; /* first */
    struct vector *of;
    struct column column;
};

static enum err
repeat_next(struct vector *v, struct column **ret_column)
{
    struct repeat_vector *r = (struct repeat_vector *)v;
    struct column *c;
    uint64_t before = v->ev->samples;
    enum err e = vector_next(r->of, &c);
    count_for_all_steps(v->ev, &v->grid, before);
    *ret_column = NULL;
    if (e || c == NULL) return e;
    column_clear(&r->column, v->grid.count);
    const struct fhist *h = column_histogram(c, 0);
    for (uint32_t i = 0; i < v->grid.count && bits_has(c->present, 0); i++) {
        if (h == NULL) {
            column_set(&r->column, i, c->values[0]);
        } else if (column_set_histogram(&r->column, v->ev->budget, v->grid.count, i, h)) {
            return eval_no_memory(v->ev);
        }
    }
    r->column.labels = c->labels;
    r->column.drops_name = c->drops_name;
    r->column.lost_type = c->lost_type;
    *ret_column = &r->column;
    return OK;
}

static void
repeat_free(struct vector *v)
{
    struct repeat_vector *r = (struct repeat_vector *)v;
    vector_free(r->of);
    column_fini(&r->column, v->ev->budget, v->grid.count);
    mem_free(v->ev->budget, r, sizeof *r);
}

static enum err
repeat_new(struct evaluation *ev, struct vector *of, const struct grid *grid,
           struct vector **ret_vector)
{
    static const struct vector_ops ops = {repeat_next, repeat_free};
    assert(of->grid.count == 1); /* invariant 3, for the grid of grid_once() */
    struct repeat_vector *r = mem_new(ev->budget, sizeof *r);
    if (r == NULL || column_init(&r->column, ev->budget, grid->count)) {
        mem_free(ev->budget, r, sizeof *r);
        vector_free(of);
        return eval_no_memory(ev);
    }
    r->vector = (struct vector){.ops = &ops,
                                .ev = ev,
                                .grid = *grid,
                                .one_name = of->one_name,
                                .each_once = of->each_once,
                                .by_labels = of->by_labels};
    r->of = of;
    *ret_vector = &r->vector;
    return OK;
}

/* --- vectors ---------------------------------------------------------------------------------- */

enum err
leaf_new(struct evaluation *ev, const struct leaf *leaf, struct vector **ret_vector)
{
    return leaf->node->kind == NODE_SELECTOR
               ? vector_selector_new(ev, leaf->node, &leaf->grid, leaf->part, ret_vector)
               : vector_range_new(ev, leaf->node, &leaf->grid, ret_vector);
}

/* Each shard evaluates the other arguments again, so these must cost little. */
static bool
can_be_split(const struct leaf *leaf)
{
    const struct node *n = leaf->node;
    if (n->kind == NODE_SELECTOR) return true;
    for (uint32_t i = 0; i < n->call.argument_count; i++) {
        const struct node *argument = node_inside(n->call.arguments[i]);
        bool is_range = argument->kind == NODE_RANGE;
        if (is_range && argument->range.selector->selector.shift.at != AT_NONE) return false;
        if (!is_range && argument->reads_series) return false;
    }
    return true;
}

/* Each shard looks at the labels of all series, which costs about as much as some samples
 * of each. */
static uint32_t
shards_worth(const struct evaluation *ev, const struct series_cost *cost)
{
    enum { SAMPLES_WORTH = 1000000, SAMPLES_OF_SERIES_WORTH = 100 };
    if (ev->shards_wanted > 0) return ev->shards_wanted;
    if (ev->helpers == NULL || cost->series < 2 || cost->samples < SAMPLES_WORTH) return 1;
    uint64_t of_each = cost->samples / cost->series;
    if (of_each < SAMPLES_OF_SERIES_WORTH) return 1;
    bool large = cost->samples >= 16 * SAMPLES_WORTH && of_each >= 10 * SAMPLES_OF_SERIES_WORTH;
    return large ? 4 : 2;
}

uint32_t
leaf_shards(const struct evaluation *ev, const struct leaf *leaf, const struct series_cost *cost)
{
    uint32_t shards = can_be_split(leaf) ? shards_worth(ev, cost) : 1;
    assert(shards > 0);
    return shards < SHARDS_MAX ? shards : SHARDS_MAX;
}

static enum err
build_leaf(struct evaluation *ev, const struct leaf *leaf, struct vector **ret_vector)
{
    struct vector *whole;
    enum err e = leaf_new(ev, leaf, &whole);
    if (e) return e;
    uint32_t shards = leaf_shards(ev, leaf, &whole->cost);
    if (ev->at != NULL) ev->at->shards = shards;
    if (shards < 2) {
        *ret_vector = whole;
        return OK;
    }
    vector_free(whole);
    return vector_parallel_new(ev, leaf, shards, ret_vector);
}

struct grid
selector_grid(const struct evaluation *ev, const struct node *selector, const struct grid *grid)
{
    const struct shift *shift = &selector->selector.shift;
    if (shift->at == AT_NONE) return *grid;
    return (struct grid){shift_at_ms(ev, shift), 0, 1, grid->counts};
}

static enum err
build_binary(struct evaluation *ev, const struct node *node, const struct grid *grid,
             struct vector **ret_vector)
{
    const struct node *left = node->binary.left, *right = node->binary.right;
    struct vector *a, *b;
    enum err e;
    if (node->binary.matches) {
        e = vector_new(ev, left, grid, &a);
        if (e) return e;
        e = vector_new(ev, right, grid, &b);
        if (e) {
            vector_free(a);
            return e;
        }
        return token_is_set_operator(node->binary.op)
                   ? vector_set_new(ev, node, a, b, ret_vector)
                   : vector_binary_new(ev, node, a, b, ret_vector);
    }
    bool scalar_left = left->type == VALUE_SCALAR;
    assert((right->type == VALUE_SCALAR) == !scalar_left); /* two scalars give a scalar */
    double *scalars;
    e = scalar_values(ev, scalar_left ? left : right, grid, &scalars);
    if (e == OK) e = vector_new(ev, scalar_left ? right : left, grid, &a);
    return e ? e : vector_scalar_binary_new(ev, node, a, scalars, scalar_left, ret_vector);
}

static enum err
build_range(struct evaluation *ev, const struct node *call, const struct grid *grid,
            struct vector **ret_vector)
{
    enum function_id id = (enum function_id)(call->call.function - functions);
    bool keeps_name = id == FUNCTION_LAST_OVER_TIME || id == FUNCTION_FIRST_OVER_TIME;
    struct vector *of;
    enum err e = build_leaf(ev, &(struct leaf){call, *grid, PART_VALUE}, &of);
    if (e) return e;
    if (!keeps_name && id != FUNCTION_ABSENT_OVER_TIME) {
        return vector_other_metric_new(ev, of, of, true, ret_vector);
    }
    *ret_vector = of;
    return OK;
}

static enum err part_new(struct evaluation *ev, const struct node *node, const struct grid *grid,
                         enum sample_part part, struct vector **ret_vector);

static enum err
build_call(struct evaluation *ev, const struct node *node, const struct grid *grid,
           struct vector **ret_vector)
{
    enum function_id id = (enum function_id)(node->call.function - functions);
    struct vector *of = NULL;
    enum err e = OK;
    for (uint32_t i = 0; i < node->call.argument_count && of == NULL && e == OK; i++) {
        enum value_type type = node->call.arguments[i]->type;
        if (type == VALUE_MATRIX) {
            e = build_range(ev, node, grid, &of);
            if (e || id != FUNCTION_ABSENT_OVER_TIME) {
                if (e == OK) *ret_vector = of;
                return e;
            }
        } else if (type == VALUE_VECTOR) {
            const struct node *argument = node_inside(node->call.arguments[i]);
            e = part_new(ev, argument, grid, node_part(node), &of);
        }
    }
    if (e) return e;
    switch (id) {
    case FUNCTION_ABSENT:
    case FUNCTION_ABSENT_OVER_TIME:
        return vector_absent_new(ev, node->call.arguments[0], of, ret_vector);
    case FUNCTION_INFO:
        return vector_info_new(ev, node, of, ret_vector);
    case FUNCTION_LABEL_JOIN:
        return vector_label_join_new(ev, node, of, ret_vector);
    case FUNCTION_LABEL_REPLACE:
        return vector_label_replace_new(ev, node, of, ret_vector);
    case FUNCTION_SORT:
    case FUNCTION_SORT_DESC:
        e = vector_floats_new(ev, of, &of);
        return e ? e : vector_sorted_new(ev, node, of, ret_vector);
    case FUNCTION_SORT_BY_LABEL:
    case FUNCTION_SORT_BY_LABEL_DESC:
        return vector_sorted_new(ev, node, of, ret_vector);
    case FUNCTION_HISTOGRAM_QUANTILE:
    case FUNCTION_HISTOGRAM_QUANTILES:
    case FUNCTION_HISTOGRAM_FRACTION:
        return vector_estimate_new(ev, node, of, ret_vector);
    default:
        return vector_map_new(ev, node, of, grid, ret_vector);
    }
}

static enum err
build_aggregation(struct evaluation *ev, const struct node *node, const struct grid *grid,
                  struct vector **ret_vector)
{
    enum folding folding = folding_of(node->aggregation.op);
    struct vector *of;
    enum err e = part_new(ev, node->aggregation.expr, grid, node_part(node), &of);
    if (e) return e;
    bool chooses = folding == FOLD_PASSED || folding == FOLD_RANKED;
    return chooses ? vector_choosing_new(ev, node, of, ret_vector)
                   : vector_aggregation_new(ev, node, of, ret_vector);
}

static enum err
build_operator(struct evaluation *ev, const struct node *node, const struct grid *grid,
               enum sample_part part, struct vector **ret_vector)
{
    struct leaf leaf;
    struct vector *of;
    enum err e;
    switch (node->kind) {
    case NODE_SELECTOR:
        leaf = (struct leaf){node, selector_grid(ev, node, grid), part};
        return build_leaf(ev, &leaf, ret_vector);
    case NODE_BINARY:
        return build_binary(ev, node, grid, ret_vector);
    case NODE_CALL:
        return build_call(ev, node, grid, ret_vector);
    case NODE_UNARY:
        e = vector_new(ev, node->unary.expr, grid, &of);
        if (e || node->unary.op == TOKEN_ADD) {
            if (e == OK) *ret_vector = of;
            return e;
        }
        return vector_map_new(ev, node, of, grid, ret_vector);
    case NODE_AGGREGATION:
        return build_aggregation(ev, node, grid, ret_vector);
    default:
        return eval_fail(ev, "not supported");
    }
}

enum err
vector_build(struct evaluation *ev, const struct node *node, const struct grid *grid,
             struct vector **ret_vector)
{
    return build_operator(ev, node, grid, PART_VALUE, ret_vector);
}

static enum err
build_once(struct evaluation *ev, const struct node *node, const struct grid *grid,
           enum sample_part part, struct vector **ret_vector)
{
    struct share *share = share_of(ev, node);
    if (share == NULL) return build_operator(ev, node, grid, part, ret_vector);
    switch (share_state_at(share, grid)) {
    case SHARE_ELSEWHERE:
        return build_operator(ev, node, grid, part, ret_vector);
    case SHARE_FREE: {
        enum err e = share_build(share, ev, grid);
        if (e) return e;
        break;
    }
    default:
        break;
    }
    return share_read(share, ev, node, ret_vector);
}

static enum err
build_for_steps(struct evaluation *ev, const struct node *node, const struct grid *grid,
                enum sample_part part, struct vector **ret_vector)
{
    struct vector *of;
    struct grid once = grid_once(ev, grid);
    bool repeats =
        grid->count > 1 || node->kind == NODE_SELECTOR; /* a selector has a time of its own */
    if (!repeats || !node_is_fixed(node)) return build_once(ev, node, grid, part, ret_vector);
    uint64_t before = ev->samples;
    enum err e = build_once(ev, node, &once, part, &of);
    count_for_all_steps(ev, grid, before);
    return e ? e : repeat_new(ev, of, grid, ret_vector);
}

/* `part` applies to selectors alone. */
static enum err
part_new(struct evaluation *ev, const struct node *node, const struct grid *grid,
         enum sample_part part, struct vector **ret_vector)
{
    struct measuring m;
    struct vector *of;
    node = node_inside(node);
    assert(grid->count > 0);                                /* invariant 1 */
    assert(!grid->counts || grid->count <= ev->grid.count); /* invariant 2 */
    bool measured = measure_begin(ev, node, &m);
    enum err e = build_for_steps(ev, node, grid, part, measured ? &of : ret_vector);
    if (!measured) return e;
    assert(ev->at != NULL);
    assert(ev->at->of == node); /* each node that was measured within has ended */
    struct plan_node *measuring = ev->at;
    measure_end(ev, &m);
    return e ? e : vector_measured_new(ev, measuring, of, ret_vector);
}

enum err
vector_new(struct evaluation *ev, const struct node *node, const struct grid *grid,
           struct vector **ret_vector)
{
    return part_new(ev, node, grid, PART_VALUE, ret_vector);
}
