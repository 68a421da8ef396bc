/*
 * build.c - builds the operators of a plan, and computes scalars, which is done at once.
 *
 * vector_new() builds the operator of one node. Around the operator itself (vector_build()) come,
 * from the inside: the share of a part that occurs several times, the repetition of a part that is
 * the same at all steps and evaluated at one, and the measurement.
 *
 * Invariants:
 *
 *  1. Operators are built from the inside: a node's operand is built before the node's operator,
 *     and owned by it from then on, also on an error.
 *  2. An operator gives columns for the steps of its node, so the operands of an operator have the
 *     same number of steps.
 */
#include "promql/eval/eval.h"
#include "promql/eval/label_sets.h"
#include "promql/eval/plan/plan.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* --- properties of a node of the syntax tree that are known without evaluation ---------------- */

const struct node *
node_inside(const struct node *node)
{
    while (node->kind == NODE_PAREN)
        node = node->paren;
    return node;
}

const struct node *
call_range(const struct node *call)
{
    uint32_t i = 0;
    while (call->call.arguments[i]->type != VALUE_MATRIX)
        i++;
    return node_inside(call->call.arguments[i]);
}

struct text_span
argument_at(const struct node *call, const struct node *argument)
{
    bool whole = argument->is_same_at_all_steps && !call->is_same_at_all_steps;
    return whole ? argument->at : node_inside(argument)->at;
}

enum sample_part
node_part(const struct node *node)
{
    if (node->kind == NODE_AGGREGATION) {
        enum token_type op = node->aggregation.op;
        return op == TOKEN_COUNT || op == TOKEN_GROUP ? PART_PRESENCE : PART_VALUE;
    }
    switch ((enum function_id)(node->call.function - functions)) {
    case FUNCTION_TIMESTAMP:
        return PART_TIME;
    case FUNCTION_START_TIMESTAMP:
        return PART_START;
    case FUNCTION_ABSENT:
        return PART_PRESENCE;
    default:
        return PART_VALUE;
    }
}

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

enum err
eval_collect(struct evaluation *ev, struct columns *to, const struct column *c, uint32_t steps)
{
    struct column *known = columns_find(to, c->labels);
    if (known == NULL) {
        bool added = columns_add(to, c, steps) == OK && columns_index(to) == OK;
        return added ? OK : eval_no_memory(ev);
    }
    if (bits_meet(known->present, c->present, steps))
        return eval_fail(ev, "vector cannot contain metrics with the same labelset");
    return columns_join(to, known, c, steps) ? eval_no_memory(ev) : OK;
}

void *
vector_alloc(struct evaluation *ev, size_t bytes, const struct vector_ops *ops, struct vector *of)
{
    struct vector *v = mem_new(ev->budget, bytes);
    assert(bytes >= sizeof *v); /* an operator begins with a vector */
    if (v == NULL) {
        vector_free(of);
        return NULL;
    }
    v->ops = ops;
    v->ev = ev;
    v->of = of;
    v->bytes = bytes;
    if (of != NULL) v->grid = of->grid;
    v->one_name = of != NULL && of->one_name;
    return v;
}

void *
maker_alloc(struct evaluation *ev, size_t bytes, const struct vector_ops *ops, struct vector *of,
            const struct grid *grid)
{
    struct maker *m = vector_alloc(ev, bytes, ops, of);
    assert(bytes >= sizeof *m); /* an operator begins with a maker */
    if (m == NULL) return NULL;
    m->vector.grid = *grid;
    arena_init(&m->arena, ev->budget, 0, 0);
    buf_init(&m->labels, ev->budget, 64 << 20);
    if (column_init(&m->column, ev->budget, grid->count) == OK) return m;
    vector_free(of);
    mem_free(ev->budget, m, bytes);
    return NULL;
}

void
maker_free(struct vector *v)
{
    struct maker *m = (struct maker *)v;
    column_fini(&m->column, v->ev->budget, v->grid.count);
    arena_fini(&m->arena);
    buf_fini(&m->labels);
}

enum err
maker_put(struct maker *m, uint32_t step, double value, const struct fhist *h)
{
    struct vector *v = &m->vector;
    assert(step < v->grid.count);
    if (h == NULL) {
        column_set(&m->column, step, value);
        return OK;
    }
    return column_set_histogram(&m->column, v->ev->budget, v->grid.count, step, h)
               ? eval_no_memory(v->ev)
               : OK;
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
node_matchers(struct evaluation *ev, const struct node *node, const struct pushed *pushed,
              struct matcher_set *ret_set)
{
    uint32_t own = node->selector.matcher_count, more = pushed == NULL ? 0 : pushed->count;
    struct matcher **matchers = arena_alloc(&ev->arena, (own + more + 1) * sizeof *matchers);
    if (matchers == NULL) return eval_no_memory(ev);
    for (uint32_t i = 0; i < own; i++)
        matchers[i] = node->selector.matchers[i].matcher;
    for (uint32_t i = 0; i < more; i++)
        matchers[own + i] = pushed->items[i]->matcher;
    *ret_set = (struct matcher_set){matchers, own + more};
    return OK;
}

/* --- durations -------------------------------------------------------------------------------- */

enum err
duration_compute(struct evaluation *ev, const struct duration *d, bool positive, int64_t *ret_ms)
{
    struct query_times times = {ev->grid.first_ms, ev->end_ms, ev->grid.step_ms};
    return duration_at(d, positive, &times, ret_ms, &ev->error) ? OK : ERR_INPUT;
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
scalar_of_vector(struct evaluation *ev, const struct plan_node *x, double *values)
{
    uint32_t steps = x->grid.count;
    struct vector *v;
    struct column *c;
    uint8_t *counts = arena_new(&ev->arena, steps);
    if (counts == NULL) return eval_no_memory(ev);
    enum err e = vector_new(ev, x->of, &v);
    if (e) return e;
    assert(v->grid.count == steps); /* invariant 2 */
    while ((e = vector_next(v, &c)) == OK && c != NULL) {
        for (bits_each(i, c->present, steps)) {
            if (column_histogram(c, i) != NULL) continue;
            values[i] = counts[i] == 0 ? c->values[i] : NAN;
            counts[i] = 1;
        }
    }
    vector_free(v);
    for (uint32_t i = 0; i < steps; i++)
        if (counts[i] == 0) values[i] = NAN;
    return e;
}

static double
scalar_combine(const struct plan_node *x, double a, double b)
{
    switch (x->kind) {
    case PLAN_ARITHMETIC:
        return binary_number(x->node->binary.op, a, b);
    case PLAN_LEAST:
        return number_least(a, b);
    case PLAN_GREATEST:
        return number_greatest(a, b);
    default:
        assert(x->kind == PLAN_SIGN);
        return x->node->unary.op == TOKEN_SUB ? -a : a;
    }
}

static enum err
scalars_of(struct evaluation *ev, const struct plan_node *x, double **ret_values)
{
    uint32_t steps = x->grid.count;
    double *a = NULL, *b = NULL, *values = arena_alloc(&ev->arena, steps * sizeof *values);
    if (values == NULL) return eval_no_memory(ev);
    *ret_values = values;
    switch (x->kind) {
    case PLAN_NUMBER:
    case PLAN_CONSTANT:
        for (uint32_t i = 0; i < steps; i++)
            values[i] = x->value;
        return OK;
    case PLAN_TIME:
        for (uint32_t i = 0; i < steps; i++)
            values[i] = (double)grid_time(&x->grid, i) / 1000;
        return OK;
    case PLAN_ONLY_VALUE:
        return scalar_of_vector(ev, x, values);
    default:
        break;
    }
    enum err e = scalars_of(ev, x->first, &a);
    b = a;
    if (e == OK && x->first->next != NULL) e = scalars_of(ev, x->first->next, &b);
    for (uint32_t i = 0; i < steps && e == OK; i++)
        values[i] = scalar_combine(x, a[i], b[i]);
    return e;
}

enum err
scalar_values(struct evaluation *ev, const struct plan_node *x, double **ret_values)
{
    struct measuring m;
    bool measured = measure_begin(ev, x, &m);
    enum err e = scalars_of(ev, x, ret_values);
    if (measured) measure_end(ev, &m);
    return e;
}

/* --- one column for all steps ----------------------------------------------------------------- */

/* Counts the samples of the one step at all steps; `before` is the number counted until then. */
static void
count_for_all_steps(struct evaluation *ev, const struct grid *grid, uint64_t before)
{
    assert(ev->samples >= before);
    uint64_t samples = ev->samples - before;
    if (!grid->counts) return;
    for (uint32_t i = 1; i < grid->count; i++)
        ev->step_samples[i] += samples;
    ev->samples += samples * (grid->count - 1);
}

static enum err
repeat_next(struct vector *v, struct column **ret_column)
{
    struct maker *r = (struct maker *)v;
    struct column *c;
    uint64_t before = v->ev->samples;
    enum err e = vector_next(v->of, &c);
    count_for_all_steps(v->ev, &v->grid, before);
    *ret_column = NULL;
    if (e || c == NULL) return e;
    column_clear(&r->column, v->grid.count);
    const struct fhist *h = column_histogram(c, 0);
    for (uint32_t i = 0; i < v->grid.count && bits_has(c->present, 0); i++) {
        e = maker_put(r, i, c->values[0], h);
        if (e) return e;
    }
    r->column.labels = c->labels;
    r->column.drops_name = c->drops_name;
    r->column.lost_type = c->lost_type;
    *ret_column = &r->column;
    return OK;
}

static enum err
repeat_new(struct evaluation *ev, struct vector *of, const struct grid *grid,
           struct vector **ret_vector)
{
    static const struct vector_ops ops = {repeat_next, maker_free};
    assert(of->grid.count == 1); /* invariant 2, of a part that is evaluated once */
    struct maker *r = maker_alloc(ev, sizeof *r, &ops, of, grid);
    if (r == NULL) return eval_no_memory(ev);
    r->vector.each_once = of->each_once;
    r->vector.by_labels = of->by_labels;
    *ret_vector = &r->vector;
    return OK;
}

/* --- vectors ---------------------------------------------------------------------------------- */

enum err
leaf_new(struct evaluation *ev, const struct plan_node *x, struct vector **ret_vector)
{
    return x->kind == PLAN_SELECTOR ? vector_selector_new(ev, x, ret_vector)
                                    : vector_range_new(ev, x, ret_vector);
}

uint32_t
leaf_shards(const struct evaluation *ev, const struct plan_node *x, const struct series_cost *cost)
{
    /* Each shard looks at the labels of all series, which costs about as much as some samples
     * of each. A rollup costs as much as some samples, too. */
    enum { SAMPLES_WORTH = 1000000, SAMPLES_OF_SERIES_WORTH = 100, SAMPLES_OF_ROLLUP = 8 };
    uint64_t samples = cost->samples + (SAMPLES_OF_ROLLUP - 1) * cost->rollups;
    if (x->kind != PLAN_SELECTOR) {
        if (call_range(x->node)->range.selector->selector.shift.at != AT_NONE) return 1;
        /* Each shard evaluates the other operands again, so these must cost little. */
        for (const struct plan_node *c = x->first; c != NULL; c = c->next)
            if (c->node->reads_series) return 1;
    }
    if (ev->shards_wanted > 0)
        return ev->shards_wanted < SHARDS_MAX ? ev->shards_wanted : SHARDS_MAX;
    if (ev->helpers == NULL || cost->series < 2 || samples < SAMPLES_WORTH) return 1;
    uint64_t of_each = samples / cost->series;
    if (of_each < SAMPLES_OF_SERIES_WORTH) return 1;
    bool large = samples >= 16 * SAMPLES_WORTH && of_each >= 10 * SAMPLES_OF_SERIES_WORTH;
    return large ? 4 : 2;
}

static enum err
build_leaf(struct evaluation *ev, const struct plan_node *x, struct vector **ret_vector)
{
    struct vector *whole;
    enum err e = leaf_new(ev, x, &whole);
    if (e) return e;
    uint32_t shards = leaf_shards(ev, x, &whole->cost);
    if (ev->at != NULL) ev->at->shards = shards;
    if (shards < 2) {
        *ret_vector = whole;
        return OK;
    }
    vector_free(whole);
    return vector_parallel_new(ev, x, shards, ret_vector);
}

/* Builds an operator of two vectors. */
static enum err
build_pair(struct evaluation *ev, const struct plan_node *x, struct vector **ret_vector)
{
    struct vector *a, *b;
    enum err e = vector_new(ev, x->of, &a);
    if (e) return e;
    e = vector_new(ev, x->right, &b);
    if (e) {
        vector_free(a);
        return e;
    }
    return x->kind == PLAN_SET ? vector_set_new(ev, x->node, a, b, ret_vector)
                               : vector_binary_new(ev, x->node, a, b, ret_vector);
}

static enum err
build_scalar_binary(struct evaluation *ev, const struct plan_node *x, struct vector **ret_vector)
{
    const struct plan_node *scalar = plan_scalars(x->first);
    double *scalars;
    struct vector *of;
    enum err e = scalar_values(ev, scalar, &scalars);
    if (e == OK) e = vector_new(ev, x->of, &of);
    if (e) return e;
    return vector_scalar_binary_new(ev, x->node, of, scalars, scalar == x->first, ret_vector);
}

/* Builds an operator of one vector, or of scalars alone. */
static enum err
build_operator(struct evaluation *ev, const struct plan_node *x, struct vector *of,
               struct vector **ret_vector)
{
    const struct node *node = x->node;
    enum err e;
    switch (x->kind) {
    case PLAN_RANGE_FUNCTION:
        return vector_other_metric_new(ev, of, of, true, ret_vector);
    case PLAN_ABSENT:
    case PLAN_RANGE_ABSENT:
        return vector_absent_new(ev, node->call.arguments[0], of, ret_vector);
    case PLAN_INFO:
        return vector_info_new(ev, node, of, ret_vector);
    case PLAN_LABEL_JOIN:
    case PLAN_LABEL_REPLACE:
        return vector_label_new(ev, node, of, x->kind == PLAN_LABEL_REPLACE, ret_vector);
    case PLAN_SORT:
        e = vector_floats_new(ev, of, &of);
        return e ? e : vector_sorted_new(ev, node, of, ret_vector);
    case PLAN_SORT_BY_LABEL:
        return vector_sorted_new(ev, node, of, ret_vector);
    case PLAN_HISTOGRAM:
        return vector_estimate_new(ev, x, of, ret_vector);
    case PLAN_AGGREGATION:
        return vector_aggregation_new(ev, x, of, ret_vector);
    case PLAN_CHOICE:
        return vector_choosing_new(ev, x, of, ret_vector);
    case PLAN_MAP:
        return vector_map_new(ev, x, of, ret_vector);
    default: /* the operator is that of the operand, or the leaf */
        assert(of != NULL);
        *ret_vector = of;
        return OK;
    }
}

enum err
vector_build(struct evaluation *ev, const struct plan_node *x, struct vector **ret_vector)
{
    struct vector *of = NULL;
    enum err e = OK;
    if (x->kind == PLAN_BINARY || x->kind == PLAN_SET) return build_pair(ev, x, ret_vector);
    if (x->kind == PLAN_SCALAR_BINARY) return build_scalar_binary(ev, x, ret_vector);
    if (plan_is_leaf(x->kind))
        e = build_leaf(ev, x, &of);
    else if (x->of != NULL)
        e = vector_new(ev, x->of, &of);
    assert(e || of != NULL || (x->of == NULL && !plan_is_leaf(x->kind))); /* invariant 1 */
    return e ? e : build_operator(ev, x, of, ret_vector);
}

/* Builds the operator, or a reader of its share; of a part that is the same at all steps, its
 * repetition. */
enum err
vector_new(struct evaluation *ev, const struct plan_node *x, struct vector **ret_vector)
{
    struct measuring m;
    struct vector *v;
    uint64_t before = ev->samples;
    bool measured = measure_begin(ev, x, &m);
    enum err e = x->share == NULL ? vector_build(ev, x, &v) : vector_share_new(ev, x, &v);
    if (x->once) count_for_all_steps(ev, &x->given, before);
    if (e == OK && x->once) e = repeat_new(ev, v, &x->given, &v);
    if (measured) {
        assert(ev->at == x->figures); /* each operator that was measured within has ended */
        measure_end(ev, &m);
        if (e == OK) e = vector_measured_new(ev, x->figures, v, &v);
    }
    if (e == OK) *ret_vector = v;
    return e;
}
