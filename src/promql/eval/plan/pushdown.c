/*
 * pushdown.c - see plan.h.
 *
 * Labels that an operator matches on are equal on both sides, so a matcher that all series of one
 * side fulfil can be asked of the other side, too. A matcher is pushed down to a selector only
 * through nodes that give the same errors and notes whatever series they read: rate() notes
 * histograms among its samples, so nothing is pushed through it. An operator that fails if it finds
 * two series for a match group gets matchers only if its one side cannot have two.
 *
 * A set of matchers that lacks some asks for less and is never wrong, so all sets are bounded.
 *
 * Invariants:
 *
 *  1. A selector gets matchers at most once: the walk reaches each node of the plan once.
 *  2. The matchers that a selector gets are not among its own.
 *  3. A set has at most PUSHED_MAX matchers, none of them twice.
 */
#include "promql/eval/plan/plan.h"

#include <assert.h>

enum {
    LEVELS_MAX = 16,  /* deeper nodes are not searched for what their series fulfil */
    LABELS_MAX = 256, /* longer lists of labels are not searched for each matcher */
};

static const struct pushed nothing;

/* --- sets of matchers ------------------------------------------------------------------------- */

/* Adds a matcher unless the set has it, or is full. */
static void
pushdown_add(struct pushed *to, const struct node_matcher *m)
{
    assert(to->count <= PUSHED_MAX); /* invariant 3 */
    for (uint32_t i = 0; i < to->count; i++) {

        const struct node_matcher *a = to->items[i];
        if (a == m || (a->type == m->type && bytes_equal(a->name, m->name) &&
                       bytes_equal(a->value, m->value)))
            return;
    }
    if (to->count < PUSHED_MAX) to->items[to->count++] = m;
}

static bool
names_label(const struct labels_named *labels, struct bytes name)
{
    for (uint32_t i = 0; i < labels->count; i++)
        if (bytes_equal(labels->names[i], name)) return true;
    return false;
}

/* Adds the matchers whose labels are in the list, or are not. */
static void
add_about(struct pushed *to, const struct pushed *from, const struct labels_named *labels,
          bool named)
{
    if (labels->count > LABELS_MAX) return;
    for (uint32_t i = 0; i < from->count; i++)
        if (names_label(labels, from->items[i]->name) == named) pushdown_add(to, from->items[i]);
}

static void
add_matched(struct pushed *to, const struct pushed *from, const struct matching *m)
{
    add_about(to, from, &m->labels, m->on);
}

/* --- matchers that all series of a part fulfil ------------------------------------------------ */

static struct pushed given_by(const struct node *n, unsigned levels);

/* True if the matcher selects by more than the presence of a label, and not by the metric itself.
 */
static bool
is_worth(const struct node_matcher *m)
{
    bool is_own = m->name.size >= 2 && memcmp(m->name.at, "__", 2) == 0;
    if (is_own || matcher_matches_empty(m->matcher)) return false;
    return m->type == MATCH_EQUAL || (m->type == MATCH_REGEX && !bytes_equal_text(m->value, ".+"));
}

static struct pushed
given_by_selector(const struct node *n)
{
    struct pushed given = nothing;
    for (uint32_t i = 0; i < n->selector.matcher_count; i++) {
        const struct node_matcher *m = &n->selector.matchers[i];
        if (is_worth(m)) pushdown_add(&given, m);
    }
    return given;
}

static struct pushed
given_by_binary(const struct node *n, unsigned levels)
{
    const struct matching *m = &n->binary.matching;
    struct pushed given = nothing;
    struct pushed left = given_by(n->binary.left, levels);
    struct pushed right = given_by(n->binary.right, levels);
    if (!n->binary.matches) return n->binary.left->type == VALUE_VECTOR ? left : right;
    if (n->binary.op == TOKEN_OR || m->fills_left || m->fills_right) return nothing;
    if (n->binary.op == TOKEN_UNLESS) return left;
    add_matched(&given, &left, m);
    add_matched(&given, &right, m);
    if (n->binary.op == TOKEN_AND) {
        add_about(&given, &left, &m->labels, !m->on); /* other labels are kept */
    } else if (m->cardinality != ONE_TO_ONE) {
        const struct pushed *many = m->cardinality == MANY_TO_ONE ? &left : &right;
        struct pushed all = given;
        given = nothing;
        add_about(&all, many, &m->labels, !m->on);
        add_about(&given, &all, &m->include, false); /* labels from the "one" side */
    }
    return given;
}

static struct pushed
given_by_aggregation(const struct node *n, unsigned levels)
{
    struct pushed of = given_by(n->aggregation.expr, levels), given = nothing;
    switch (folding_of(n->aggregation.op)) {
    case FOLD_VALUES: /* the value becomes a label */
        return nothing;
    case FOLD_RANKED:
    case FOLD_PASSED:
        return of;
    default:
        add_about(&given, &of, &n->aggregation.labels, !n->aggregation.without);
        return given;
    }
}

static struct pushed
given_by_call(const struct node *n, unsigned levels)
{
    switch ((enum function_id)(n->call.function - functions)) {
    case FUNCTION_ABSENT:
    case FUNCTION_ABSENT_OVER_TIME:
    case FUNCTION_HISTOGRAM_FRACTION:
    case FUNCTION_HISTOGRAM_QUANTILE:
    case FUNCTION_HISTOGRAM_QUANTILES:
    case FUNCTION_INFO:
    case FUNCTION_LABEL_JOIN:
    case FUNCTION_LABEL_REPLACE:
        return nothing;
    default:
        break;
    }
    for (uint32_t i = 0; i < n->call.argument_count; i++) {
        const struct node *argument = n->call.arguments[i];
        if (argument->type == VALUE_VECTOR || argument->type == VALUE_MATRIX)
            return given_by(argument, levels);
    }
    return nothing;
}

static struct pushed
given_by(const struct node *n, unsigned levels)
{
    n = node_inside(n);
    if (levels-- == 0) return nothing;
    switch (n->kind) {
    case NODE_SELECTOR:
        return given_by_selector(n);
    case NODE_RANGE:
        return given_by(n->range.selector, levels);
    case NODE_SUBQUERY:
        return given_by(n->subquery.expr, levels);
    case NODE_UNARY:
        return given_by(n->unary.expr, levels);
    case NODE_BINARY:
        return given_by_binary(n, levels);
    case NODE_AGGREGATION:
        return given_by_aggregation(n, levels);
    case NODE_CALL:
        return given_by_call(n, levels);
    default:
        return nothing;
    }
}

/* --- matchers passed down the tree ------------------------------------------------------------ */

/* `selector` is that of the node, or of the range that the node reads. */
static enum err
note(struct evaluation *ev, struct plan_node *x, const struct node *selector,
     const struct pushed *wanted)
{
    struct pushed to = nothing, own = given_by_selector(selector);
    if (selector->selector.extent != EXTENT_PLAIN)
        return OK; /* they note all samples of the series that they read */
    for (uint32_t i = 0; i < wanted->count; i++) {
        uint32_t known = own.count;
        pushdown_add(&own, wanted->items[i]);
        if (own.count > known) pushdown_add(&to, wanted->items[i]);
    }
    if (to.count == 0) return OK;
    assert(to.count <= own.count); /* invariant 2: `own` has them, too */
    assert(x->pushed == NULL);     /* invariant 1 */
    struct pushed *kept = arena_alloc(&ev->arena, sizeof *kept);
    if (kept == NULL) return eval_no_memory(ev);
    *kept = to;
    x->pushed = kept;
    return OK;
}

/* The selector of a call that adds no notes about the series it finds. Other calls check for series
 * that become equal without their name, type and unit. */
static const struct node *
selector_of_silent(const struct node *call)
{
    enum function_id id = (enum function_id)(call->call.function - functions);
    if (id != FUNCTION_LAST_OVER_TIME && id != FUNCTION_FIRST_OVER_TIME) return NULL;
    const struct node *of = node_inside(call->call.arguments[0]);
    return of->kind == NODE_RANGE ? of->range.selector : NULL;
}

static bool
are_all(const struct labels_named *names, const struct labels_named *among, bool named)
{
    if (names->count > LABELS_MAX || among->count > LABELS_MAX) return false;
    for (uint32_t i = 0; i < names->count; i++)
        if (names_label(among, names->names[i]) != named) return false;
    return true;
}

/* True if the labels of its groups are among those that are matched on. */
static bool
is_unique_aggregation(const struct node *n, const struct matching *m)
{
    static const struct bytes name = {(const uint8_t *)"__name__", 8};
    const struct labels_named *labels = &n->aggregation.labels;
    enum folding folding = folding_of(n->aggregation.op);
    if (folding != FOLD_GROUPS && folding != FOLD_KEPT) return false;
    if (n->aggregation.without) return !m->on && are_all(&m->labels, labels, true);
    if (m->on) return are_all(labels, &m->labels, true);
    return are_all(labels, &m->labels, false) && !names_label(labels, name);
}

/* True if no two of its series agree in the labels that are matched on at any step. */
static bool
is_unique(const struct evaluation *ev, const struct node *n, const struct matching *m)
{
    n = node_inside(n);
    if (ev->features.type_and_unit_labels) return false; /* then more than the name is dropped */
    if (n->kind == NODE_AGGREGATION) return is_unique_aggregation(n, m);
    if (n->kind == NODE_CALL) n = selector_of_silent(n);
    return n != NULL && n->kind == NODE_SELECTOR && !m->on && m->labels.count == 0 &&
           selector_names_one(n);
}

/* Finds the matchers for the operands of a binary operator of two vectors. */
static void
push_binary(const struct evaluation *ev, const struct node *n, const struct pushed *wanted,
            struct pushed *of_left, struct pushed *of_right)
{
    const struct matching *m = &n->binary.matching;
    const struct node *left = n->binary.left, *right = n->binary.right;
    bool many_left = m->cardinality != ONE_TO_MANY;
    if (n->binary.op == TOKEN_OR) {
        add_matched(of_left, wanted, m); /* a series with fewer labels can hide one with more */
        *of_right = *wanted;
    } else if (token_is_set_operator(n->binary.op)) {
        struct pushed by_left = given_by(left, LEVELS_MAX), by_right = given_by(right, LEVELS_MAX);
        *of_left = *wanted;
        if (n->binary.op == TOKEN_AND) add_matched(of_left, &by_right, m);
        add_matched(of_right, wanted, m);
        add_matched(of_right, &by_left, m);
    } else if (!m->fills_left && !m->fills_right && is_unique(ev, many_left ? right : left, m)) {
        struct pushed by_left = given_by(left, LEVELS_MAX), by_right = given_by(right, LEVELS_MAX);
        add_matched(of_left, &by_right, m);
        add_matched(of_right, &by_left, m);
    }
}

/* Pushes matchers down to the selectors below a node, of whose series only those that fulfil them
 * matter. */
static enum err
push(struct evaluation *ev, struct plan_node *x, const struct pushed *wanted)
{
    const struct node *n = x->node, *selector;
    struct pushed of = nothing, of_right = nothing;
    enum err e = OK;
    if (x->share != NULL) wanted = &nothing; /* other readers need all series */
    switch (x->kind) {
    case PLAN_SELECTOR:
        return note(ev, x, n, wanted);
    case PLAN_RANGE_SAMPLE:
        selector = selector_of_silent(n);
        if (selector != NULL) return note(ev, x, selector, wanted);
        break;
    case PLAN_BINARY:
    case PLAN_SET:
        push_binary(ev, n, wanted, &of, &of_right);
        break;
    case PLAN_AGGREGATION:
        if (node_part(n) == PART_PRESENCE)
            add_about(&of, wanted, &n->aggregation.labels, !n->aggregation.without);
        break;
    default:
        break;
    }
    for (struct plan_node *c = x->first; c != NULL && e == OK; c = c->next)
        e = push(ev, c, c == x->of ? &of : c == x->right ? &of_right : &nothing);
    return e;
}

enum err
pushdown_find(struct evaluation *ev, struct plan_node *plan)
{
    bool may_find = ev->shares != NULL; /* two selectors at least */
    return may_find && !ev->counts ? push(ev, plan, &nothing) : OK;
}
