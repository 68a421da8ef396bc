/*
 * plan.c - makes the plan of an expression: the only walk over the syntax that decides about
 * operators.
 *
 * A plan is made for the steps of a run, after a cache has shortened them, and lies in the arena of
 * the evaluation. Each node of the syntax that is evaluated has one node of the plan. The steps of
 * an operand are those at which its operator is evaluated; a selector with @ has one of its own,
 * a subquery has as many as lie in the ranges. A part that gives the same at all steps is evaluated
 * at one.
 *
 * An error of the expression belongs to the run, which finds it where the operator is built; until
 * then it is kept in the node of the plan.
 *
 * Invariants:
 *
 *  1. An operator is evaluated at one step at least, or not at all: a subquery without steps has no
 *     operand.
 *  2. Steps whose samples count are steps of the whole query, for which there are counters.
 *  3. `of` and `right` are among the operands of the list, whose end is `last`.
 *  4. A reader of a share has the steps of the part that it reads, which comes before it.
 *  5. Steps of a subquery are a positive time apart.
 */
#include "promql/eval/plan/plan.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

/* --- durations at the times of a query -------------------------------------------------------- */

/* Puts an error with the bytes that it is about, as Prometheus does. */
static bool
refuse(const struct node *n, const char *what, struct buf *error)
{
    buf_printf(error, "%" PRIu32 ":%" PRIu32 ": %s", n->at.begin, n->at.end, what);
    return false;
}

static bool
seconds_of(const struct node *n, const struct query_times *times, double *ret, struct buf *error)
{
    double left = 0, right = 0;
    if (n->kind == NODE_NUMBER) {
        *ret = n->number.value;
        return true;
    }
    if (n->duration.left != NULL && !seconds_of(n->duration.left, times, &left, error))
        return false;
    if (n->duration.right != NULL && !seconds_of(n->duration.right, times, &right, error))
        return false;
    switch (n->duration.op) {
    case TOKEN_STEP:
        *ret = (double)times->step_ms / 1000;
        return true;
    case TOKEN_RANGE:
        *ret = (double)((uint64_t)times->last_ms - (uint64_t)times->first_ms) / 1000;
        return true;
    case TOKEN_MIN_OF:
        *ret = fmin(left, right);
        return true;
    case TOKEN_MAX_OF:
        *ret = fmax(left, right);
        return true;
    case TOKEN_ADD:
        *ret = left + right;
        return true;
    case TOKEN_SUB:
        *ret = left - right; /* a sign has no left operand: 0 - right */
        return true;
    case TOKEN_MUL:
        *ret = left * right;
        return true;
    case TOKEN_DIV:
        *ret = left / right;
        return right != 0 || refuse(n, "division by zero", error);
    case TOKEN_MOD:
        *ret = fmod(left, right);
        return right != 0 || refuse(n, "modulo by zero", error);
    default:
        *ret = pow(left, right);
        return true;
    }
}

bool
duration_at(const struct duration *d, bool positive, const struct query_times *times,
            int64_t *ret_ms, struct buf *error)
{
    double seconds;
    *ret_ms = d->ms;
    if (d->expr == NULL) return true;
    if (!seconds_of(d->expr, times, &seconds, error)) return false;
    if (positive && !(seconds > 0))
        return refuse(d->expr, "duration must be greater than 0", error);
    if (!(fabs(seconds) < 0x1p63 / 1e9)) return refuse(d->expr, "duration is out of range", error);
    *ret_ms = (int64_t)(seconds * 1000);
    return true;
}

/* Durations are checked in the order of Prometheus: outer ones first. */
bool
durations_fit(const struct node *n, const struct query_times *times, struct buf *error)
{
    const struct node *below;
    int64_t ms;
    bool fit = true;
    if (n->kind == NODE_SELECTOR)
        fit = duration_at(&n->selector.shift.offset, false, times, &ms, error);
    else if (n->kind == NODE_RANGE)
        fit = duration_at(&n->range.range, true, times, &ms, error);
    else if (n->kind == NODE_SUBQUERY)
        fit = duration_at(&n->subquery.shift.offset, false, times, &ms, error) &&
              duration_at(&n->subquery.step, true, times, &ms, error) &&
              duration_at(&n->subquery.range, true, times, &ms, error);
    for (uint32_t i = 0; fit && (below = node_operand(n, i)) != NULL; i++)
        fit = durations_fit(below, times, error);
    return fit;
}

/* Prometheus' default limit of samples in memory. */
enum { SUBQUERY_STEPS_MAX = 50 * 1000 * 1000 };

struct planning {
    struct evaluation *ev;
    struct plan_node *root;
    struct grid grid;        /* steps of the root */
    bool shares;             /* equal parts are shared */
    struct bytes steps_from; /* texts of the subqueries around the part */
};

/* Adds an operand at the steps of its operator. NULL: no memory. */
static struct plan_node *
plan_add(struct planning *p, struct plan_node *above, const struct node *n, enum plan_kind kind)
{
    struct plan_node *x = arena_alloc(&p->ev->arena, sizeof *x);
    if (x == NULL) return NULL;
    *x = (struct plan_node){.kind = kind, .node = n, .grid = above == NULL ? p->grid : above->grid};
    if (above == NULL) {
        assert(p->root == NULL); /* invariant 3 */
        p->root = x;
        return x;
    }
    if (above->last == NULL)
        above->first = x;
    else
        above->last->next = x;
    above->last = x;
    if (n->type == VALUE_SCALAR) return x;
    if (above->of == NULL) {
        above->of = x;
    } else {
        assert(above->right == NULL); /* invariant 3 */
        above->right = x;
    }
    return x;
}

static enum err plan_operands(struct planning *p, struct plan_node *x);
static enum err plan_part(struct planning *p, struct plan_node *above, const struct node *n,
                          enum sample_part part);

/* --- scalars ---------------------------------------------------------------------------------- */

/* False if the scalar is more than a number with signs. */
static bool
number_of(const struct node *n, double *ret)
{
    n = node_inside(n);
    if (n->kind == NODE_NUMBER) *ret = n->number.value;
    if (n->kind != NODE_UNARY) return n->kind == NODE_NUMBER;
    bool is_number = number_of(n->unary.expr, ret);
    if (is_number && n->unary.op == TOKEN_SUB) *ret = -*ret;
    return is_number;
}

static enum plan_kind
kind_of_scalar(const struct evaluation *ev, const struct node *n, double *ret_value)
{
    if (number_of(n, ret_value)) return PLAN_NUMBER;
    if (n->kind == NODE_UNARY) return PLAN_SIGN;
    if (n->kind == NODE_BINARY) return PLAN_ARITHMETIC;
    switch ((enum function_id)(n->call.function - functions)) {
    case FUNCTION_SCALAR:
        return PLAN_ONLY_VALUE;
    case FUNCTION_MIN_OF:
        return PLAN_LEAST;
    case FUNCTION_MAX_OF:
        return PLAN_GREATEST;
    case FUNCTION_PI:
        *ret_value = M_PI;
        return PLAN_CONSTANT;
    case FUNCTION_START:
        *ret_value = (double)ev->grid.first_ms / 1000;
        return PLAN_CONSTANT;
    case FUNCTION_END:
        *ret_value = (double)ev->end_ms / 1000;
        return PLAN_CONSTANT;
    case FUNCTION_STEP:
        *ret_value = (double)ev->grid.step_ms / 1000;
        return PLAN_CONSTANT;
    case FUNCTION_RANGE:
        *ret_value = (double)((uint64_t)ev->end_ms - (uint64_t)ev->grid.first_ms) / 1000;
        return PLAN_CONSTANT;
    default:
        assert(n->call.function == &functions[FUNCTION_TIME]);
        return PLAN_TIME;
    }
}

static enum err
plan_scalar(struct planning *p, struct plan_node *above, const struct node *n)
{
    double value = 0;
    enum plan_kind kind = kind_of_scalar(p->ev, n, &value);
    struct plan_node *x = plan_add(p, above, n, kind);
    if (x == NULL) return eval_no_memory(p->ev);
    x->value = value;
    return kind == PLAN_NUMBER ? OK : plan_operands(p, x);
}

/* --- subqueries ------------------------------------------------------------------------------- */

/* Steps of a subquery are multiples of its step, for any steps of the query. */
static enum err
steps_between(struct evaluation *ev, const struct node *n, int64_t from_ms, int64_t to_ms,
              struct grid *ret)
{
    int64_t step_ms;
    enum err e = duration_value(ev, &n->subquery.step, true, &step_ms);
    if (e) return e;
    if (step_ms == 0) step_ms = ev->subquery_step_ms;
    assert(step_ms > 0); /* invariant 5 */
    int64_t first_ms = from_ms / step_ms * step_ms;
    while (first_ms <= from_ms)
        first_ms += step_ms;
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

/* The steps in the ranges that end at the steps of `grid`. */
static enum err
subquery_steps(struct evaluation *ev, const struct node *n, const struct grid *grid,
               struct grid *ret)
{
    const struct shift *shift = &n->subquery.shift;
    bool fixed = shift->at != AT_NONE;
    int64_t range_ms, offset_ms;
    enum err e = duration_value(ev, &n->subquery.range, true, &range_ms);
    if (e == OK) e = duration_value(ev, &shift->offset, false, &offset_ms);
    if (e) return e;
    int64_t first_ms = fixed ? shift_at_ms(ev, shift) : grid->first_ms;
    int64_t last_ms = fixed ? first_ms : grid_time(grid, grid->count - 1);
    return steps_between(ev, n, time_before(first_ms, offset_ms) - range_ms,
                         time_before(last_ms, offset_ms), ret);
}

static enum err
plan_subquery(struct planning *p, struct plan_node *above, const struct node *n)
{
    struct evaluation *ev = p->ev;
    struct planning below = *p;
    struct buf text;
    struct plan_node *x = plan_add(p, above, n, PLAN_SUBQUERY);
    if (x == NULL) return eval_no_memory(ev);
    const struct grid grid = x->grid;
    x->grid.count = 0;
    if (subquery_steps(ev, n, &grid, &x->grid)) {
        x->refused = arena_copy(&ev->arena, buf_bytes(&ev->error));
        buf_clear(&ev->error);
        return x->refused.at == NULL ? eval_no_memory(ev) : OK;
    }
    if (x->grid.count == 0) return OK;
    enum err e = OK;
    buf_init(&text, ev->budget, 1 << 20);
    if (p->shares) e = share_steps(ev, n, p->steps_from, &text, &below.shares);
    below.steps_from = buf_bytes(&text);
    if (e == OK) e = plan_part(&below, x, n->subquery.expr, PART_VALUE);
    buf_fini(&text);
    return e;
}

/* --- vectors ---------------------------------------------------------------------------------- */

static enum plan_kind
kind_of_call(const struct node *n)
{
    switch ((enum function_id)(n->call.function - functions)) {
    case FUNCTION_ABSENT:
        return PLAN_ABSENT;
    case FUNCTION_ABSENT_OVER_TIME:
        return PLAN_RANGE_ABSENT;
    case FUNCTION_FIRST_OVER_TIME:
    case FUNCTION_LAST_OVER_TIME:
        return PLAN_RANGE_SAMPLE;
    case FUNCTION_HISTOGRAM_QUANTILE:
    case FUNCTION_HISTOGRAM_QUANTILES:
    case FUNCTION_HISTOGRAM_FRACTION:
        return PLAN_HISTOGRAM;
    case FUNCTION_INFO:
        return PLAN_INFO;
    case FUNCTION_LABEL_JOIN:
        return PLAN_LABEL_JOIN;
    case FUNCTION_LABEL_REPLACE:
        return PLAN_LABEL_REPLACE;
    case FUNCTION_SORT:
    case FUNCTION_SORT_DESC:
        return PLAN_SORT;
    case FUNCTION_SORT_BY_LABEL:
    case FUNCTION_SORT_BY_LABEL_DESC:
        return PLAN_SORT_BY_LABEL;
    default:
        break;
    }
    for (uint32_t i = 0; i < n->call.argument_count; i++)
        if (n->call.arguments[i]->type == VALUE_MATRIX) return PLAN_RANGE_FUNCTION;
    return PLAN_MAP;
}

static enum plan_kind
kind_of_vector(const struct node *n)
{
    switch (n->kind) {
    case NODE_BINARY:
        if (!n->binary.matches) return PLAN_SCALAR_BINARY;
        return token_is_set_operator(n->binary.op) ? PLAN_SET : PLAN_BINARY;
    case NODE_CALL:
        return kind_of_call(n);
    case NODE_UNARY:
        return n->unary.op == TOKEN_ADD ? PLAN_SAME : PLAN_MAP;
    case NODE_AGGREGATION:
        switch (folding_of(n->aggregation.op)) {
        case FOLD_PASSED:
        case FOLD_RANKED:
            return PLAN_CHOICE;
        default:
            return PLAN_AGGREGATION;
        }
    default:
        assert(n->kind == NODE_SELECTOR); /* no other node is a vector */
        return PLAN_SELECTOR;
    }
}

static enum err
plan_vector(struct planning *p, struct plan_node *above, const struct node *n,
            enum sample_part part)
{
    const struct evaluation *ev = p->ev;
    struct plan_node *x = plan_add(p, above, n, kind_of_vector(n));
    enum err e = OK;
    if (x == NULL) return eval_no_memory(p->ev);
    bool is_selector = x->kind == PLAN_SELECTOR;                /* it has a time of its own */
    assert(x->grid.count > 0);                                  /* invariant 1 */
    assert(!x->grid.counts || x->grid.count <= ev->grid.count); /* invariant 2 */
    x->once = n->is_same_at_all_steps && n->reads_series && (x->grid.count > 1 || is_selector);
    if (x->once) {
        int64_t at_ms = is_selector ? shift_at_ms(ev, &n->selector.shift) : ev->grid.first_ms;
        x->given = x->grid;
        x->grid = (struct grid){at_ms, 0, 1, x->given.counts};
    }
    if (is_selector) x->part = part;
    if (p->shares && x->part == PART_VALUE) e = share_find(p->ev, x, p->steps_from);
    return e || is_selector || share_read_by(x) != NULL ? e : plan_operands(p, x);
}

/* --- parts ------------------------------------------------------------------------------------ */

static enum err
plan_operands(struct planning *p, struct plan_node *x)
{
    const struct node *n = x->node;
    enum err e = OK;
    switch (n->kind) {
    case NODE_BINARY:
        e = plan_part(p, x, n->binary.left, PART_VALUE);
        return e ? e : plan_part(p, x, n->binary.right, PART_VALUE);
    case NODE_UNARY:
        return plan_part(p, x, n->unary.expr, PART_VALUE);
    case NODE_AGGREGATION:
        e = plan_part(p, x, n->aggregation.expr, node_part(n));
        if (e || n->aggregation.param == NULL) return e;
        return plan_part(p, x, n->aggregation.param, PART_VALUE);
    default:
        assert(n->kind == NODE_CALL); /* no other node has operands */
        break;
    }
    for (uint32_t i = 0; i < n->call.argument_count && e == OK; i++) {
        const struct node *argument = n->call.arguments[i];
        /* info() has a second vector for its matchers. */
        bool is_matchers = x->of != NULL && argument->type == VALUE_VECTOR;
        if (!is_matchers) e = plan_part(p, x, argument, node_part(n));
    }
    return e;
}

/* Plans a part of the expression, of whose samples a part is used. */
static enum err
plan_part(struct planning *p, struct plan_node *above, const struct node *n, enum sample_part part)
{
    n = node_inside(n);
    if (n->type == VALUE_VECTOR) return plan_vector(p, above, n, part);
    if (n->type == VALUE_SCALAR) return plan_scalar(p, above, n);
    if (n->kind == NODE_SUBQUERY) return plan_subquery(p, above, n);
    if (above != NULL) return OK; /* a function reads its range and its texts itself */
    enum plan_kind kind = n->type == VALUE_STRING ? PLAN_STRING : PLAN_RANGE_SELECTOR;
    return plan_add(p, above, n, kind) == NULL ? eval_no_memory(p->ev) : OK;
}

enum err
plan_make(struct evaluation *ev, struct plan_node **ret)
{
    struct planning p = {.ev = ev, .grid = ev->grid};
    enum err e = shares_begin(ev);
    p.shares = ev->shares != NULL;
    if (e == OK) e = plan_part(&p, NULL, ev->tree->root, PART_VALUE);
    *ret = p.root;
    return e ? e : pushdown_find(ev, p.root);
}

enum err
plan_make_alone(struct evaluation *ev, const struct plan_node *reader, struct plan_node **ret)
{
    struct planning p = {.ev = ev, .grid = reader->once ? reader->given : reader->grid};
    enum err e = plan_part(&p, NULL, reader->node, PART_VALUE);
    *ret = p.root;
    return e ? e : pushdown_find(ev, p.root);
}

enum err
plan_refuse(struct evaluation *ev, const struct plan_node *x)
{
    buf_put_bytes(&ev->error, x->refused);
    return ERR_INPUT;
}
