/*
 * plan.c - the operators of an expression, found without building them.
 *
 * The walk over the syntax is that of build.c. What both decide, such as the times that are read
 * and the number of shards, is decided by the same functions. The view estimates from its index
 * what will be read.
 *
 * The plan has a node for each operator that evaluates a node of the syntax; a run finds it by that
 * node. Helpers such as the check for equal labels belong to the operator whose result they check.
 * Parameters that are plain numbers are only in the text of their operator.
 *
 * Invariants:
 *
 *  1. The first node that is added is the root; each other node is a child of one that was there.
 *  2. `nodes` has each node once, and the table has its index under the hash of its syntax node.
 *  3. The children of a node are a list from `first` to `last`; both are NULL if it has none.
 *  4. What an operator charged to its budget it has given back when the plan is freed.
 */
#include <assert.h>

#include "base/array.h"
#include "base/text/utf8.h"
#include "promql/eval/plan/pushdown.h"
#include "promql/eval/plan/share.h"
#include "promql/eval/select/matrix.h"

enum { DETAIL_BYTES_MAX = 2048, PUSHED_BYTES_MAX = 128, TEXT_BYTES_MAX = 32 * 1024 };

/* A part of the expression that occurs several times. */
struct planned_share {
    const struct share *share;
    struct grid grid;
    const struct plan_node *node;
};

struct planning {
    struct query_plan *plan;
    struct evaluation *ev;
    struct buf text;
    struct planned_share *shared; /* parts that were planned */
    uint32_t shared_count;
    uint32_t shared_capacity;
};

/* --- nodes ------------------------------------------------------------------------------------ */

struct plan_node *
plan_find(const struct query_plan *plan, const struct node *node)
{
    uint64_t hash = node_hash(node);
    for (uint32_t at = TABLE_START, id; table_next(&plan->table, hash, &at, &id);) {
        if (plan->nodes[id]->of == node) return plan->nodes[id];
    }
    return NULL;
}

/* The printed text of a node. A longer text begins as the query gives it, since printing the parts
 * of a deep tree takes too long. */
static enum err
put_detail(struct planning *p, const struct node *n, struct bytes *ret)
{
    struct bytes text = p->ev->tree->text;
    size_t begin = n->at.begin < text.size ? n->at.begin : text.size;
    size_t end = n->at.end < text.size ? n->at.end : text.size;
    buf_clear(&p->text);
    if (end >= begin && end - begin <= DETAIL_BYTES_MAX) {
        tree_print(n, &p->text);
    } else if (end > begin) {
        buf_put_bytes(&p->text, utf8_cut(bytes_of(text.at + begin, end - begin), DETAIL_BYTES_MAX));
        buf_put_text(&p->text, "...");
    }
    if (buf_error(&p->text)) return eval_no_memory(p->ev);
    *ret = arena_copy(&p->plan->arena, buf_bytes(&p->text));
    return ret->at == NULL && ret->size > 0 ? eval_no_memory(p->ev) : OK;
}

/* Adds the matchers that a selector gets from others to its text. */
static enum err
put_pushed(struct planning *p, struct plan_node *x, const struct node *selector)
{
    const struct pushed *pushed = pushdown_of(p->ev, selector);
    if (pushed == NULL) return OK;
    buf_clear(&p->text);
    buf_put_bytes(&p->text, x->detail);
    for (uint32_t i = 0; i < pushed->count; i++) {
        struct node_matcher m = *pushed->items[i];
        m.name = utf8_cut(m.name, PUSHED_BYTES_MAX);
        m.value = utf8_cut(m.value, PUSHED_BYTES_MAX);
        buf_put_text(&p->text, i == 0 ? "; only where " : ", ");
        tree_print_matcher(&m, &p->text);
    }
    if (buf_error(&p->text)) return eval_no_memory(p->ev);
    x->detail = arena_copy(&p->plan->arena, buf_bytes(&p->text));
    return x->detail.at == NULL ? eval_no_memory(p->ev) : OK;
}

static enum err
plan_add(struct planning *p, struct plan_node *above, const struct node *n, const char *word,
         struct plan_node **ret)
{
    struct query_plan *plan = p->plan;
    assert((above == NULL) == (plan->root == NULL)); /* invariant 1 */
    struct plan_node *x = arena_new(&plan->arena, sizeof *x);
    if (x == NULL || !array_reserve(plan->budget, &plan->nodes, &plan->capacity, plan->count + 1) ||
        !table_reserve(&plan->table, plan->budget, 1)) {
        return eval_no_memory(p->ev);
    }
    enum err e = put_detail(p, n, &x->detail);
    if (e) return e;
    x->of = n;
    x->word = word;
    x->known = x->is_measured = x->is_charged = true;
    budget_init(&x->budget, "operator", 0, p->ev->budget);
    plan->nodes[plan->count] = x;
    table_add(&plan->table, node_hash(n), plan->count++);
    assert(plan->table.count == plan->count); /* invariant 2 */
    if (above == NULL) {
        plan->root = x;
    } else if (above->last == NULL) {
        assert(above->first == NULL); /* invariant 3 */
        above->first = above->last = x;
    } else {
        assert(above->last->next == NULL); /* invariant 3 */
        above->last = above->last->next = x;
    }
    *ret = x;
    return OK;
}

static void
gives(struct plan_node *x, bool known, uint64_t series)
{
    x->series_known = known;
    x->series = series;
}

/* Each series of `x` is made of one series of `of`. */
static void
gives_as(struct plan_node *x, const struct plan_node *of)
{
    gives(x, of->series_known, of->series);
}

static enum err
plan_survey(struct planning *p, struct plan_node *x, const struct query_request *request,
            const struct leaf *leaf)
{
    struct evaluation *ev = p->ev;
    struct series_survey s = {.exact = false};
    enum err e = query_control_check(ev->control, &ev->why);
    if (e == OK) e = view_survey(ev->view, request, &s, &x->known, &ev->why);
    if (e) return e;
    x->reads = true;
    x->exact = s.exact;
    x->cost = s.cost;
    x->shards = leaf == NULL || !x->known ? 1 : leaf_shards(ev, leaf, &s.guess);
    assert(x->shards > 0);
    gives(x, x->known, s.cost.series);
    return OK;
}

/* --- scalars ---------------------------------------------------------------------------------- */

static enum err plan_walk(struct planning *p, struct plan_node *above, const struct node *n,
                          const struct grid *grid, struct plan_node **ret);

/* Plans the arguments of scalar() calls in a scalar. */
static enum err
walk_scalar(struct planning *p, struct plan_node *above, const struct node *n,
            const struct grid *grid)
{
    struct plan_node *of;
    enum err e = OK;
    n = node_inside(n);
    if (n->kind == NODE_UNARY) return walk_scalar(p, above, n->unary.expr, grid);
    if (n->kind == NODE_BINARY) {
        e = walk_scalar(p, above, n->binary.left, grid);
        return e ? e : walk_scalar(p, above, n->binary.right, grid);
    }
    for (uint32_t i = 0; n->kind == NODE_CALL && i < n->call.argument_count && e == OK; i++) {
        const struct node *argument = n->call.arguments[i];
        e = argument->type == VALUE_VECTOR ? plan_walk(p, above, argument, grid, &of)
                                           : walk_scalar(p, above, argument, grid);
    }
    return e;
}

static bool
is_number(const struct node *n)
{
    n = node_inside(n);
    return n->kind == NODE_NUMBER || (n->kind == NODE_UNARY && is_number(n->unary.expr));
}

static enum err
add_scalar(struct planning *p, struct plan_node *above, const struct node *n,
           const struct grid *grid)
{
    struct plan_node *x;
    enum err e = plan_add(p, above, node_inside(n), is_number(n) ? "number" : "scalar", &x);
    if (e) return e;
    x->is_charged = false; /* its values are charged to the evaluation */
    gives(x, true, 0);
    return walk_scalar(p, x, n, grid);
}

/* --- vectors ---------------------------------------------------------------------------------- */

static enum err
plan_selector(struct planning *p, struct plan_node *above, const struct node *n,
              const struct grid *grid, struct plan_node **ret)
{
    struct matcher_set set;
    struct query_request request;
    struct grid own = selector_grid(p->ev, n, grid);
    enum err e = plan_add(p, above, n, "selector", ret);
    if (e == OK) e = put_pushed(p, *ret, n);
    if (e == OK) e = selector_request(p->ev, n, &own, &set, &request);
    if (e) return e;
    (*ret)->steps = own.count;
    return plan_survey(p, *ret, &request, &(struct leaf){n, own, PART_VALUE});
}

/* Plans what is below `x`, which is a function of ranges or a whole query. */
static enum err
plan_subquery(struct planning *p, struct plan_node *x, const struct node *n,
              const struct grid *grid)
{
    struct plan_node *of;
    x->steps = grid->count;
    if (grid->count == 0) { /* not evaluated */
        gives(x, true, 0);
        return OK;
    }
    enum err e = plan_walk(p, x, n->subquery.expr, grid, &of);
    if (e == OK) gives_as(x, of);
    return e;
}

static enum err
plan_range(struct planning *p, struct plan_node *x, const struct node *call,
           const struct node *range, const struct grid *grid)
{
    struct evaluation *ev = p->ev;
    struct matcher_set set;
    struct query_request request;
    struct grid inner;
    struct plan_node *of;
    range = node_inside(range);
    enum err e = range_request(ev, call, range, grid, &set, &request, &inner);
    if (e) return e;
    x->steps = grid->count;
    if (range->kind != NODE_SUBQUERY) {
        e = put_pushed(p, x, range->range.selector);
        return e ? e : plan_survey(p, x, &request, &(struct leaf){call, *grid, PART_VALUE});
    }
    e = plan_add(p, x, range, "subquery", &of);
    if (e) return e;
    of->is_measured = false; /* part of the function */
    e = plan_subquery(p, of, range, &inner);
    if (e == OK) gives_as(x, of);
    return e;
}

static const char *
word_of_call(const struct node *n)
{
    enum function_id id = (enum function_id)(n->call.function - functions);
    switch (id) {
    case FUNCTION_ABSENT:
    case FUNCTION_ABSENT_OVER_TIME:
        return "absent";
    case FUNCTION_INFO:
        return "info";
    case FUNCTION_LABEL_JOIN:
    case FUNCTION_LABEL_REPLACE:
        return "labels";
    case FUNCTION_SORT:
    case FUNCTION_SORT_DESC:
    case FUNCTION_SORT_BY_LABEL:
    case FUNCTION_SORT_BY_LABEL_DESC:
        return "sort";
    case FUNCTION_HISTOGRAM_QUANTILE:
    case FUNCTION_HISTOGRAM_QUANTILES:
    case FUNCTION_HISTOGRAM_FRACTION:
        return "histogram";
    default:
        break;
    }
    for (uint32_t i = 0; i < n->call.argument_count; i++) {
        if (n->call.arguments[i]->type == VALUE_MATRIX) return "range function";
    }
    return "map";
}

/* Sets the upper bound of the series that a call gives. */
static void
bound_call(struct plan_node *x, const struct node *n, const struct plan_node *of)
{
    enum function_id id = (enum function_id)(n->call.function - functions);
    bool one = of == NULL || id == FUNCTION_ABSENT || id == FUNCTION_ABSENT_OVER_TIME;
    if (id == FUNCTION_INFO) {
        gives(x, false, 0); /* a series is split where its labels change */
        x->reads = x->turns = true;
        x->known = false;
        x->way = "reads info metrics for the series of its argument";
    } else if (one) {
        gives(x, true, 1);
        x->turns = true;
    } else if (id == FUNCTION_HISTOGRAM_QUANTILES) {
        gives(x, of->series_known, of->series * (n->call.argument_count - 2));
        x->way = "holds the buckets of classic histograms";
    } else if (id == FUNCTION_HISTOGRAM_QUANTILE || id == FUNCTION_HISTOGRAM_FRACTION) {
        gives_as(x, of);
        x->way = "holds the buckets of classic histograms";
    } else {
        gives_as(x, of);
    }
}

static enum err
plan_call(struct planning *p, struct plan_node *above, const struct node *n,
          const struct grid *grid, struct plan_node **ret)
{
    enum function_id id = (enum function_id)(n->call.function - functions);
    struct plan_node *of = NULL;
    enum err e = plan_add(p, above, n, word_of_call(n), ret);
    for (uint32_t i = 0; i < n->call.argument_count && e == OK; i++) {
        const struct node *argument = n->call.arguments[i];
        if (argument->type == VALUE_SCALAR && !is_number(argument)) {
            e = add_scalar(p, *ret, argument, grid);
        } else if (argument->type == VALUE_MATRIX) {
            e = plan_range(p, *ret, n, argument, grid);
            of = *ret;
        } else if (argument->type == VALUE_VECTOR && of == NULL) {
            e = plan_walk(p, *ret, argument, grid, &of);
        }
    }
    if (e == OK && (of != *ret || id == FUNCTION_ABSENT_OVER_TIME)) bound_call(*ret, n, of);
    return e;
}

static enum err
plan_aggregation(struct planning *p, struct plan_node *above, const struct node *n,
                 const struct grid *grid, struct plan_node **ret)
{
    static const char *const ways[] = {[FOLD_GROUPS] = "folds each series into its group",
                                       [FOLD_VALUES] = "folds each value into its group",
                                       [FOLD_KEPT] = "holds all series",
                                       [FOLD_RANKED] = "holds the best of each step",
                                       [FOLD_PASSED] = "passes series on"};
    const struct node *param = n->aggregation.param;
    enum folding folding = folding_of(n->aggregation.op);
    struct plan_node *of;
    enum err e = plan_add(p, above, n, "aggregation", ret);
    if (e == OK) e = plan_walk(p, *ret, n->aggregation.expr, grid, &of);
    if (e == OK && param != NULL && param->type == VALUE_SCALAR && !is_number(param)) {
        e = add_scalar(p, *ret, param, grid);
    }
    if (e) return e;
    bool chooses = folding == FOLD_PASSED || folding == FOLD_RANKED;
    bool one = !chooses && !n->aggregation.without && n->aggregation.labels.count == 0;
    (*ret)->way = ways[folding];
    if (folding == FOLD_VALUES) {
        gives(*ret, false, 0);
    } else if (one && (!of->series_known || of->series > 0)) {
        gives(*ret, true, 1);
    } else {
        gives_as(*ret, of);
    }
    return OK;
}

/* --- binary operators ------------------------------------------------------------------------- */

/* Sets the upper bound of the series that two vectors give. */
static void
bound_match(struct plan_node *x, const struct node *n, const struct plan_node *left,
            const struct plan_node *right)
{
    const struct matching *m = &n->binary.matching;
    bool both = left->series_known && right->series_known;
    uint64_t sum = left->series + right->series;
    if (token_is_set_operator(n->binary.op)) {
        if (n->binary.op == TOKEN_OR)
            gives(x, both, sum);
        else
            gives_as(x, left);
    } else if (m->include.count > 0) {
        gives(x, false, 0); /* labels of the one side may change */
    } else if (m->fills_left || m->fills_right) {
        gives(x, both, sum);
    } else if (m->cardinality == ONE_TO_ONE) {
        gives(x, both, left->series < right->series ? left->series : right->series);
    } else {
        gives_as(x, m->cardinality == MANY_TO_ONE ? left : right);
    }
}

static enum err
plan_match(struct planning *p, struct plan_node *x, const struct node *n, const struct grid *grid)
{
    struct plan_node *left, *right;
    enum err e = plan_walk(p, x, n->binary.left, grid, &left);
    if (e == OK) e = plan_walk(p, x, n->binary.right, grid, &right);
    if (e) return e;
    bool swapped = n->binary.matching.cardinality == ONE_TO_MANY;
    if (token_is_set_operator(n->binary.op))
        x->way = n->binary.op == TOKEN_OR ? "holds where the left has something"
                                          : "holds where the right has something";
    else
        x->way = swapped ? "holds the series of the left" : "holds the series of the right";
    bound_match(x, n, left, right);
    return OK;
}

static enum err
plan_operand(struct planning *p, struct plan_node *x, const struct node *n, const struct grid *grid)
{
    struct plan_node *of;
    if (n->type == VALUE_SCALAR) return add_scalar(p, x, n, grid);
    enum err e = plan_walk(p, x, n, grid, &of);
    if (e == OK) gives_as(x, of);
    return e;
}

static enum err
plan_binary(struct planning *p, struct plan_node *above, const struct node *n,
            const struct grid *grid, struct plan_node **ret)
{
    bool is_set = token_is_set_operator(n->binary.op);
    enum err e = plan_add(p, above, n, is_set ? "set operator" : "binary operator", ret);
    if (e) return e;
    if (n->binary.matches) return plan_match(p, *ret, n, grid);
    e = plan_operand(p, *ret, n->binary.left, grid);
    return e ? e : plan_operand(p, *ret, n->binary.right, grid);
}

static enum err
walk_node(struct planning *p, struct plan_node *above, const struct node *n,
          const struct grid *grid, struct plan_node **ret)
{
    struct plan_node *of;
    enum err e;
    switch (n->kind) {
    case NODE_SELECTOR:
        return plan_selector(p, above, n, grid, ret);
    case NODE_BINARY:
        return plan_binary(p, above, n, grid, ret);
    case NODE_CALL:
        return plan_call(p, above, n, grid, ret);
    case NODE_AGGREGATION:
        return plan_aggregation(p, above, n, grid, ret);
    case NODE_UNARY:
        e = plan_add(p, above, n, "map", ret);
        if (e == OK) e = plan_walk(p, *ret, n->unary.expr, grid, &of);
        if (e == OK) gives_as(*ret, of);
        return e;
    default:
        return eval_fail(p->ev, "not supported");
    }
}

/* The plan of an equal part at the same steps, if there is one. */
static const struct plan_node *
planned_before(const struct planning *p, const struct share *share, const struct grid *g)
{
    for (uint32_t i = 0; i < p->shared_count && share != NULL; i++) {
        const struct planned_share *x = &p->shared[i];
        if (x->share == share && grid_equal(&x->grid, g)) return x->node;
    }
    return NULL;
}

static enum err
plan_walk(struct planning *p, struct plan_node *above, const struct node *n,
          const struct grid *grid, struct plan_node **ret)
{
    n = node_inside(n);
    bool once = grid->count > 1 && node_is_fixed(n);
    struct grid own = once ? grid_once(p->ev, grid) : *grid;
    const struct share *share = share_of(p->ev, n);
    const struct plan_node *before = planned_before(p, share, &own);
    enum err e;
    if (before != NULL) {
        e = plan_add(p, above, n, before->word, ret);
        if (e) return e;
        (*ret)->way = "evaluated where it stands first";
        (*ret)->steps = before->steps;
        gives_as(*ret, before);
        return OK;
    }
    e = walk_node(p, above, n, &own, ret);
    if (e) return e;
    if (once) (*ret)->way = "evaluated once for all steps";
    if (share == NULL) return OK;
    if (!array_reserve(p->plan->budget, &p->shared, &p->shared_capacity, p->shared_count + 1)) {
        return eval_no_memory(p->ev);
    }
    p->shared[p->shared_count++] = (struct planned_share){share, own, *ret};
    return OK;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* A range vector as the whole query. */
static enum err
plan_matrix(struct planning *p, const struct node *n)
{
    struct evaluation *ev = p->ev;
    bool is_subquery = n->kind == NODE_SUBQUERY;
    struct plan_node *x;
    struct matcher_set set;
    struct query_request request;
    struct grid grid;
    enum err e = plan_add(p, NULL, n, is_subquery ? "subquery" : "range selector", &x);
    if (e) return e;
    x->is_charged = false; /* its samples are the result */
    if (is_subquery) {
        e = matrix_grid(ev, n, &grid);
        return e ? e : plan_subquery(p, x, n, &grid);
    }
    e = matrix_request(ev, n, &set, &request);
    return e ? e : plan_survey(p, x, &request, NULL);
}

enum err
plan_fill(struct query_plan *plan, struct evaluation *ev)
{
    struct planning p = {.plan = plan, .ev = ev};
    const struct node *root = node_inside(ev->tree->root);
    struct plan_node *x;
    enum err e;
    assert(plan->count == 0);
    buf_init(&p.text, plan->budget, TEXT_BYTES_MAX);
    switch (root->type) {
    case VALUE_SCALAR:
        e = add_scalar(&p, NULL, root, &ev->grid);
        break;
    case VALUE_STRING:
        e = plan_add(&p, NULL, root, "string", &x);
        if (e == OK) x->is_measured = false;
        if (e == OK) gives(x, true, 0);
        break;
    case VALUE_VECTOR:
        e = plan_walk(&p, NULL, root, &ev->grid, &x);
        break;
    default:
        e = plan_matrix(&p, root);
    }
    buf_fini(&p.text);
    array_free(plan->budget, p.shared, p.shared_capacity);
    return e;
}

void
plan_init(struct query_plan *plan, struct budget *budget)
{
    *plan = (struct query_plan){.budget = budget};
    arena_init(&plan->arena, budget, 0, 0);
}

void
plan_fini(struct query_plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        assert(budget_used(&plan->nodes[i]->budget) == 0); /* invariant 4 */
    }
    array_free(plan->budget, plan->nodes, plan->capacity);
    table_fini(&plan->table, plan->budget);
    arena_fini(&plan->arena);
}

/* --- a run ------------------------------------------------------------------------------------ */

void
plan_begin_run(struct query_plan *plan)
{
    assert(plan->count > 0); /* it was filled */
    plan->was_run = true;
    for (uint32_t i = 0; i < plan->count; i++) {
        struct plan_node *x = plan->nodes[i];
        x->cost = (struct series_cost){.series = 0};
        x->known = x->exact = true;
    }
}

void
plan_account(struct plan_node *x, const struct series_set *set)
{
    struct series_cost c;
    x->known &= series_set_spent(set, &c);
    if (x->known) series_cost_add(&x->cost, &c);
}
