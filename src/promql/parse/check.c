/*
 * check.c - checks that a tree makes sense: the types of operands and arguments, and combinations
 * that are not allowed. The checks are in the order of those of Prometheus, since only the first
 * error is reported. Then each node gets the facts that the evaluator asks it for.
 *
 * Invariants of a tree that was checked (tree_validate()):
 *
 *  1. A node is deeper than the nodes below it, and at most TREE_DEPTH_MAX deep.
 *  2. Its span lies in the text.
 *  3. Operands and arguments have the types that the evaluator expects of them.
 *  4. An operator of two vectors `matches`, and one of two scalars is a scalar.
 *  5. `counted_only` is the number of such selectors in a node.
 *  6. A node reads series if a node below it does.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/text/quote.h"
#include "promql/parse/parse_private.h"

struct node *
node_operand(const struct node *n, uint32_t i)
{
    switch (n->kind) {
    case NODE_CALL:
        return i < n->call.argument_count ? n->call.arguments[i] : NULL;
    case NODE_AGGREGATION:
        return i == 0 ? n->aggregation.expr : i == 1 ? n->aggregation.param : NULL;
    case NODE_BINARY:
        return i == 0 ? n->binary.left : i == 1 ? n->binary.right : NULL;
    case NODE_RANGE:
        return i == 0 ? n->range.selector : NULL;
    case NODE_SUBQUERY:
        return i == 0 ? n->subquery.expr : NULL;
    case NODE_UNARY:
        return i == 0 ? n->unary.expr : NULL;
    case NODE_PAREN:
        return i == 0 ? n->paren : NULL;
    case NODE_NUMBER:
    case NODE_STRING:
    case NODE_SELECTOR:
    case NODE_DURATION:
        break;
    }
    return NULL;
}

const char *
value_type_name(enum value_type type)
{
    static const char *const names[] = {"none", "scalar", "instant vector", "range vector",
                                        "string"};
    return names[type];
}

const char *
value_type_word(enum value_type type)
{
    static const char *const words[] = {"none", "scalar", "vector", "matrix", "string"};
    return words[type];
}

static void check(struct promql_parser *p, struct node *n);

static void
check_type(struct promql_parser *p, struct node *n, enum value_type wanted, const char *context)
{
    check(p, n);
    if (n->type == wanted) return;
    parse_fail(p, n->at.begin, "expected type %s in %s, got %s", value_type_name(wanted), context,
               value_type_name(n->type));
}

/* The position of the operator. */
static uint32_t
operator_at(const struct promql_parser *p, const struct node *n)
{
    uint32_t at = n->binary.left->at.end;
    struct bytes text = p->tree->text;
    while (at < text.size && strchr(" \t\r\n", text.at[at]) != NULL)
        at++;
    return at;
}

static bool
is_scalar_or_vector(const struct node *n)
{
    return n->type == VALUE_SCALAR || n->type == VALUE_VECTOR;
}

static void
check_matching(struct promql_parser *p, struct node *n)
{
    struct matching *m = &n->binary.matching;
    enum token_type op = n->binary.op;
    bool vectors = n->binary.left->type == VALUE_VECTOR && n->binary.right->type == VALUE_VECTOR;
    bool fills = m->fills_left || m->fills_right;
    n->binary.matches = vectors;
    if (!vectors) {
        if (m->labels.count > 0)
            parse_fail(p, n->at.begin, "vector matching only allowed between instant vectors");
        if (fills) {
            parse_fail(p, n->at.begin,
                       "filling in missing series only allowed between instant vectors");
        }
        return;
    }
    if (!token_is_set_operator(op)) return;
    if (m->cardinality == ONE_TO_MANY || m->cardinality == MANY_TO_ONE)
        parse_fail(p, n->at.begin, "no grouping allowed for \"%s\" operation", token_word(op));
    if (m->cardinality != MANY_TO_MANY)
        parse_fail(p, n->at.begin, "set operations must always be many-to-many");
    if (fills)
        parse_fail(p, n->at.begin, "filling in missing series not allowed for set operators");
}

static int
check_compare_names(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* Refuses labels that are matched on and included. */
static void
check_included(struct promql_parser *p, const struct node *n)
{
    const struct labels_named *on = &n->binary.matching.labels;
    const struct labels_named *include = &n->binary.matching.include;
    size_t bytes = include->count * sizeof *include->names;
    struct bytes *sorted = arena_alloc(&p->tree->arena, bytes);
    if (sorted == NULL) {
        parse_no_memory(p);
        return;
    }
    memcpy(sorted, include->names, bytes);
    qsort(sorted, include->count, sizeof *sorted, check_compare_names);
    for (uint32_t i = 0; i < on->count; i++) {
        if (bsearch(&on->names[i], sorted, include->count, sizeof *sorted, check_compare_names) ==
            NULL)
            continue;
        parse_fail_quoted(p, operator_at(p, n), "label ", on->names[i],
                          " must not occur in ON and GROUP clause at once");
    }
}

static void
check_binary(struct promql_parser *p, struct node *n)
{
    struct node *left = n->binary.left, *right = n->binary.right;
    struct matching *m = &n->binary.matching;
    enum token_type op = n->binary.op;
    check(p, left);
    check(p, right);
    if (n->binary.returns_bool && !token_is_comparison(op))
        parse_fail(p, operator_at(p, n), "bool modifier can only be used on comparison operators");
    if (token_is_comparison(op) && !n->binary.returns_bool && left->type == VALUE_SCALAR &&
        right->type == VALUE_SCALAR)
        parse_fail(p, operator_at(p, n), "comparisons between scalars must use BOOL modifier");
    if (token_is_set_operator(op) && m->cardinality == ONE_TO_ONE) m->cardinality = MANY_TO_MANY;
    if (m->on && m->include.count > 0) check_included(p, n);
    const struct node *wrong = !is_scalar_or_vector(left) ? left : right;
    if (!is_scalar_or_vector(wrong)) {
        parse_fail(p, wrong->at.begin,
                   "binary expression must contain only scalar and instant vector types");
    }
    check_matching(p, n);
    if (token_is_set_operator(op) && (left->type == VALUE_SCALAR || right->type == VALUE_SCALAR)) {
        parse_fail(p, n->at.begin, "set operator \"%s\" not allowed in binary scalar expression",
                   token_word(op));
    }
}

/* The second argument of info() is a selector without a name, of which the labels count. */
static void
check_info(struct promql_parser *p, struct node *n)
{
    if (n->call.argument_count < 2) return;
    struct node *labels = n->call.arguments[1];
    if (labels->type != VALUE_VECTOR) {
        parse_fail(p, n->at.begin, "expected type %s in call to function \"info\", got %s",
                   value_type_name(VALUE_VECTOR), value_type_name(labels->type));
    }
    if (labels->kind != NODE_SELECTOR) {
        parse_fail(p, labels->at.begin, "expected label selectors only");
    } else if (labels->selector.name.size > 0) {
        parse_fail(p, labels->at.begin,
                   "expected label selectors only, got vector selector instead");
    } else {
        labels->selector.may_be_empty = true;
    }
}

static void
check_call(struct promql_parser *p, struct node *n)
{
    const struct function *f = n->call.function;
    uint32_t count = n->call.argument_count, least = f->argument_count - (f->variadic != 0);
    if (f->variadic == 0 && count != least) {
        parse_fail(p, n->at.begin, "expected %u argument(s) in call to \"%s\", got %u", least,
                   f->name, count);
    } else if (count < least) {
        parse_fail(p, n->at.begin, "expected at least %u argument(s) in call to \"%s\", got %u",
                   least, f->name, count);
    } else if (f->variadic > 0 && count > least + (unsigned)f->variadic) {
        parse_fail(p, n->at.begin, "expected at most %u argument(s) in call to \"%s\", got %u",
                   least + (unsigned)f->variadic, f->name, count);
    }
    if (f == &functions[FUNCTION_INFO]) check_info(p, n);
    for (uint32_t i = 0; i < count && !p->failed; i++) {
        struct node *argument = n->call.arguments[i];
        assert(f->argument_count > 0);
        enum value_type wanted = f->arguments[i < f->argument_count ? i : f->argument_count - 1];
        check(p, argument);
        if (argument->type == wanted) continue;
        parse_fail(p, argument->at.begin, "expected type %s in call to function \"%s\", got %s",
                   value_type_name(wanted), f->name, value_type_name(argument->type));
    }
}

static void
check_selector(struct promql_parser *p, struct node *n)
{
    uint32_t count = n->selector.matcher_count;
    struct bytes name = n->selector.name;
    if (name.size == 0) {
        bool selects = n->selector.may_be_empty;
        for (uint32_t i = 0; i < count && !selects; i++)
            selects = !matcher_matches_empty(n->selector.matchers[i].matcher);
        if (selects) return;
        parse_fail(p, n->at.begin, "vector selector must contain at least one non-empty matcher");
        return;
    }
    for (uint32_t i = 0; i + 1 < count && !p->failed; i++) {
        const struct node_matcher *m = &n->selector.matchers[i];
        if (!bytes_equal_text(m->name, "__name__")) continue;
        parse_fail_quoted(p, n->at.begin, "metric name must not be set twice: ", name, " or ");
        quote_text(p->error, m->value);
    }
}

static void
check_node(struct promql_parser *p, struct node *n)
{
    switch (n->kind) {
    case NODE_AGGREGATION:
        check_type(p, n->aggregation.expr, VALUE_VECTOR, "aggregation expression");
        if (n->aggregation.param == NULL) return;
        check_type(p, n->aggregation.param,
                   n->aggregation.op == TOKEN_COUNT_VALUES ? VALUE_STRING : VALUE_SCALAR,
                   "aggregation parameter");
        return;
    case NODE_BINARY:
        check_binary(p, n);
        return;
    case NODE_CALL:
        check_call(p, n);
        return;
    case NODE_PAREN:
        check(p, n->paren);
        return;
    case NODE_UNARY:
        check(p, n->unary.expr);
        if (is_scalar_or_vector(n->unary.expr)) return;
        parse_fail(p, n->at.begin,
                   "unary expression only allowed on expressions of type scalar or instant vector, "
                   "got \"%s\"",
                   value_type_name(n->unary.expr->type));
        return;
    case NODE_SUBQUERY:
        check(p, n->subquery.expr);
        if (n->subquery.expr->type == VALUE_VECTOR) return;
        parse_fail(p, n->at.begin, "subquery is only allowed on instant vector, got %s instead",
                   value_type_word(n->subquery.expr->type));
        return;
    case NODE_RANGE:
        check(p, n->range.selector);
        return;
    case NODE_SELECTOR:
        check_selector(p, n);
        return;
    case NODE_NUMBER:
    case NODE_STRING:
    case NODE_DURATION:
        return;
    }
}

/* True if a call depends on the time of a step. */
static bool
has_time(const struct node *call)
{
    switch ((enum function_id)(call->call.function - functions)) {
    case FUNCTION_TIME:
    case FUNCTION_TIMESTAMP:
    case FUNCTION_START_TIMESTAMP:
    case FUNCTION_PREDICT_LINEAR:
    case FUNCTION_INFO:
        return true;
    case FUNCTION_DAYS_IN_MONTH:
    case FUNCTION_DAY_OF_MONTH:
    case FUNCTION_DAY_OF_WEEK:
    case FUNCTION_DAY_OF_YEAR:
    case FUNCTION_HOUR:
    case FUNCTION_MINUTE:
    case FUNCTION_MONTH:
    case FUNCTION_YEAR:
        return call->call.argument_count == 0;
    default:
        return false;
    }
}

/* Sets the facts of a node, from those of the nodes below it. */
static void
note(struct node *n)
{
    const struct node *below;
    n->is_same_at_all_steps = true;
    if (n->kind == NODE_SELECTOR || n->kind == NODE_SUBQUERY) {
        const struct shift *shift =
            n->kind == NODE_SELECTOR ? &n->selector.shift : &n->subquery.shift;
        n->reads_series = true; /* a subquery is evaluated as if it did */
        n->is_same_at_all_steps = shift->at != AT_NONE;
        return;
    }
    for (uint32_t i = 0; (below = node_operand(n, i)) != NULL; i++) {
        n->reads_series |= below->reads_series;
        n->is_same_at_all_steps &= below->is_same_at_all_steps;
    }
    if (n->kind == NODE_AGGREGATION) n->reads_series = true;
    if (n->kind == NODE_CALL && has_time(n)) n->is_same_at_all_steps = false;
}

static void
check(struct promql_parser *p, struct node *n)
{
    if (!p->failed) check_node(p, n);
    if (!p->failed) note(n);
}

/* --- selectors of which only count and sum are used ------------------------------------------- */

/* The part of native histograms that the functions and operators around a node use. */
enum use { USE_ANY, USE_COUNTS, USE_BUCKETS };

static enum use
use_of_call(const struct node *n, enum use around)
{
    if (around == USE_BUCKETS) return around;
    switch ((enum function_id)(n->call.function - functions)) {
    case FUNCTION_HISTOGRAM_AVG:
    case FUNCTION_HISTOGRAM_COUNT:
    case FUNCTION_HISTOGRAM_SUM:
        return USE_COUNTS;
    case FUNCTION_HISTOGRAM_FRACTION:
    case FUNCTION_HISTOGRAM_QUANTILE:
    case FUNCTION_HISTOGRAM_QUANTILES:
        return USE_BUCKETS;
    default:
        return around;
    }
}

static void
note_counted(struct node *n, enum use use)
{
    if (n->kind == NODE_SELECTOR) {
        n->selector.counted_only = use == USE_COUNTS;
        n->counted_only = use == USE_COUNTS;
        return;
    }
    if (n->kind == NODE_CALL) use = use_of_call(n, use);
    bool trims = n->kind == NODE_BINARY &&
                 (n->binary.op == TOKEN_TRIM_LOWER || n->binary.op == TOKEN_TRIM_UPPER);
    /* Resets between the steps of a subquery are found in buckets. */
    if (trims || n->kind == NODE_SUBQUERY) use = USE_BUCKETS;
    struct node *below;
    for (uint32_t i = 0; (below = node_operand(n, i)) != NULL; i++) {
        note_counted(below, use);
        n->counted_only += below->counted_only;
    }
}

void
tree_check(struct promql_parser *p)
{
    check(p, p->tree->root);
    if (p->failed) return;
    note_counted(p->tree->root, USE_ANY);
    assert(p->tree->root->counted_only <= p->tree->set_count); /* invariant 5 */
}

/* --- invariants ------------------------------------------------------------------------------- */

/* Sums of what validate() finds below a node. */
struct validated {
    const struct promql_tree *tree;
    const struct node *above;
    uint32_t counted_only;
    bool reads_series;
};

static void validate(const struct promql_tree *tree, const struct node *n);

static void
validate_below(struct validated *v, const struct node *n, enum value_type wanted)
{
    if (n == NULL) return;
    assert(n->depth < v->above->depth);                /* invariant 1 */
    assert(wanted == VALUE_NONE || n->type == wanted); /* invariant 3 */
    validate(v->tree, n);
    v->counted_only += n->counted_only;
    v->reads_series |= n->reads_series;
}

static void
validate(const struct promql_tree *tree, const struct node *n)
{
    struct validated v = {.tree = tree, .above = n};
    const struct function *called = n->kind == NODE_CALL ? n->call.function : NULL;
    bool left, right;
    assert(n->depth <= TREE_DEPTH_MAX);   /* invariant 1 */
    assert(n->at.begin <= n->at.end);     /* invariant 2 */
    assert(n->at.end <= tree->text.size); /* invariant 2 */
    switch (n->kind) {
    case NODE_SELECTOR:
        v.counted_only = n->selector.counted_only;
        v.reads_series = true;
        break;
    case NODE_RANGE:
        assert(n->range.selector->kind == NODE_SELECTOR);
        validate_below(&v, n->range.selector, VALUE_VECTOR);
        break;
    case NODE_SUBQUERY:
        validate_below(&v, n->subquery.expr, VALUE_VECTOR);
        break;
    case NODE_CALL:
        assert(n->type == called->result); /* invariant 3 */
        for (uint32_t i = 0; i < n->call.argument_count; i++) {
            uint32_t known = i < called->argument_count ? i : called->argument_count - 1;
            validate_below(&v, n->call.arguments[i], called->arguments[known]);
        }
        break;
    case NODE_AGGREGATION:
        validate_below(&v, n->aggregation.expr, VALUE_VECTOR);
        validate_below(&v, n->aggregation.param, VALUE_NONE);
        break;
    case NODE_BINARY:
        left = n->binary.left->type == VALUE_VECTOR;
        right = n->binary.right->type == VALUE_VECTOR;
        assert(n->binary.matches == (left && right));         /* invariant 4 */
        assert((n->type == VALUE_VECTOR) == (left || right)); /* invariant 4 */
        validate_below(&v, n->binary.left, VALUE_NONE);
        validate_below(&v, n->binary.right, VALUE_NONE);
        break;
    case NODE_UNARY:
        validate_below(&v, n->unary.expr, n->type);
        break;
    case NODE_PAREN:
        validate_below(&v, n->paren, n->type);
        break;
    case NODE_NUMBER:
    case NODE_STRING:
    case NODE_DURATION:
        break;
    }
    assert(n->counted_only == v.counted_only);  /* invariant 5 */
    assert(n->reads_series || !v.reads_series); /* invariant 6 */
}

void
tree_validate(const struct promql_tree *tree)
{
    validate(tree, tree->root);
}
