/*
 * pushdown.c - see pushdown.h.
 *
 * What a label is matched on is the same on both sides of an operator, so a matcher that all series
 * of the one side fulfil can be asked of the other, too. On the way down to a selector there may be
 * nothing but what has the same to say, whatever series there are: rate() tells of histograms among
 * its samples, so none is pushed through it. Operators that fail if they find two series for a
 * match group are left alone unless that side has no two, by what it is.
 */
#include "promql/eval/pushdown.h"

#include "base/array.h"
#include "promql/eval/share.h"

/* Below, what all series have is not looked for: expressions may nest deep. */
enum { LEVELS_MAX = 16 };
/* Longer lists of labels are not looked through for each matcher, which asks for less. */
enum { LABELS_MAX = 256 };

struct pushed_to {
    const struct node *selector;
    struct pushed matchers;
};

struct pushdown {
    struct pushed_to *items;
    uint32_t count;
    uint32_t capacity;
    struct table table; /* by the selectors */
};

static const struct pushed nothing;

/* --- sets of matchers ------------------------------------------------------------------------- */

static bool
same_matcher(const struct node_matcher *a, const struct node_matcher *b)
{
    return a == b ||
           (a->type == b->type && bytes_equal(a->name, b->name) && bytes_equal(a->value, b->value));
}

/* With one too many the set asks for less, which is not wrong. */
static void
add(struct pushed *to, const struct node_matcher *m)
{
    for (uint32_t i = 0; i < to->count; i++) {
        if (same_matcher(to->items[i], m)) return;
    }
    if (to->count < PUSHED_MAX) to->items[to->count++] = m;
}

static bool
names_label(const struct labels_named *labels, struct bytes name)
{
    for (uint32_t i = 0; i < labels->count; i++) {
        if (bytes_equal(labels->names[i], name)) return true;
    }
    return false;
}

/* Those about labels that are named, or about others. */
static void
add_about(struct pushed *to, const struct pushed *from, const struct labels_named *labels,
          bool named)
{
    if (labels->count > LABELS_MAX) return;
    for (uint32_t i = 0; i < from->count; i++) {
        if (names_label(labels, from->items[i]->name) == named) add(to, from->items[i]);
    }
}

static void
add_matched(struct pushed *to, const struct pushed *from, const struct matching *m)
{
    add_about(to, from, &m->labels, m->on);
}

/* --- what all series of a part fulfil --------------------------------------------------------- */

static struct pushed given_by(const struct node *n, unsigned levels);

/* It asks for more than that a label is there, and of one that does not say what the metric is. */
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
        if (is_worth(m)) add(&given, m);
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
        add_about(&given, &left, &m->labels, !m->on); /* the rest, too */
    } else if (m->cardinality != ONE_TO_ONE) {
        const struct pushed *many = m->cardinality == MANY_TO_ONE ? &left : &right;
        struct pushed all = given;
        given = nothing;
        add_about(&all, many, &m->labels, !m->on);
        add_about(&given, &all, &m->include, false); /* these come from the other side */
    }
    return given;
}

static struct pushed
given_by_aggregation(const struct node *n, unsigned levels)
{
    struct pushed of = given_by(n->aggregation.expr, levels), given = nothing;
    switch (folding_of(n->aggregation.op)) {
    case FOLD_VALUES: /* a label is made of the value */
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
        if (argument->type == VALUE_VECTOR || argument->type == VALUE_MATRIX) {
            return given_by(argument, levels);
        }
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

/* --- on the way down -------------------------------------------------------------------------- */

static enum err push(struct evaluation *ev, const struct node *n, const struct pushed *wanted);

static enum err
note(struct evaluation *ev, const struct node *selector, const struct pushed *wanted)
{
    struct pushdown *p = ev->pushdown;
    struct pushed_to to = {.selector = selector};
    if (selector->selector.extent != EXTENT_PLAIN) return OK; /* others tell of their samples */
    struct pushed own = given_by_selector(selector);
    for (uint32_t i = 0; i < wanted->count; i++) {
        uint32_t known = own.count;
        add(&own, wanted->items[i]);
        if (own.count > known) add(&to.matchers, wanted->items[i]);
    }
    if (to.matchers.count == 0) return OK;
    if (!array_reserve(ev->budget, &p->items, &p->capacity, p->count + 1) ||
        !table_reserve(&p->table, ev->budget, 1)) {
        return eval_no_memory(ev);
    }
    table_add(&p->table, node_hash(selector), p->count);
    p->items[p->count++] = to;
    return OK;
}

/* The selector that a call is of, if it tells of nothing that it finds there: others look for what
 * becomes the same without what describes the metric. */
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
    for (uint32_t i = 0; i < names->count; i++) {
        if (names_label(among, names->names[i]) != named) return false;
    }
    return true;
}

/* The labels that its groups have are among those that are matched on. */
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

/* It gives no two series that agree in what is matched on, at no step. */
static bool
is_unique(const struct evaluation *ev, const struct node *n, const struct matching *m)
{
    n = node_inside(n);
    if (ev->features.type_and_unit_labels) return false; /* more than the name is left out */
    if (n->kind == NODE_AGGREGATION) return is_unique_aggregation(n, m);
    if (n->kind == NODE_CALL) n = selector_of_silent(n);
    return n != NULL && n->kind == NODE_SELECTOR && !m->on && m->labels.count == 0 &&
           selector_names_one(n);
}

static enum err
push_binary(struct evaluation *ev, const struct node *n, const struct pushed *wanted)
{
    const struct matching *m = &n->binary.matching;
    const struct node *left = n->binary.left, *right = n->binary.right;
    struct pushed of_left = nothing, of_right = nothing;
    bool many_left = m->cardinality != ONE_TO_MANY;
    if (n->binary.op == TOKEN_OR) {
        add_matched(&of_left, wanted, m); /* one without the rest hides one with it */
        of_right = *wanted;
    } else if (token_is_set_operator(n->binary.op)) {
        struct pushed by_left = given_by(left, LEVELS_MAX), by_right = given_by(right, LEVELS_MAX);
        of_left = *wanted;
        if (n->binary.op == TOKEN_AND) add_matched(&of_left, &by_right, m);
        add_matched(&of_right, wanted, m);
        add_matched(&of_right, &by_left, m);
    } else if (n->binary.matches && !m->fills_left && !m->fills_right &&
               is_unique(ev, many_left ? right : left, m)) {
        struct pushed by_left = given_by(left, LEVELS_MAX), by_right = given_by(right, LEVELS_MAX);
        add_matched(&of_left, &by_right, m);
        add_matched(&of_right, &by_left, m);
    }
    enum err e = push(ev, left, &of_left);
    return e ? e : push(ev, right, &of_right);
}

static enum err
push_aggregation(struct evaluation *ev, const struct node *n, const struct pushed *wanted)
{
    struct pushed of = nothing;
    if (node_part(n) == PART_PRESENCE) {
        add_about(&of, wanted, &n->aggregation.labels, !n->aggregation.without);
    }
    enum err e = push(ev, n->aggregation.expr, &of);
    if (e || n->aggregation.param == NULL) return e;
    return push(ev, n->aggregation.param, &nothing);
}

static enum err
push_call(struct evaluation *ev, const struct node *n, const struct pushed *wanted)
{
    const struct node *selector = selector_of_silent(n);
    enum err e = OK;
    if (selector != NULL) return note(ev, selector, wanted);
    for (uint32_t i = 0; i < n->call.argument_count && e == OK; i++) {
        e = push(ev, n->call.arguments[i], &nothing);
    }
    return e;
}

/* Of what the node gives, nothing is of interest but series that fulfil what is `wanted`. */
static enum err
push(struct evaluation *ev, const struct node *n, const struct pushed *wanted)
{
    n = node_inside(n);
    if (share_of(ev, n) != NULL) wanted = &nothing; /* others want the rest */
    switch (n->kind) {
    case NODE_SELECTOR:
        return note(ev, n, wanted);
    case NODE_SUBQUERY:
        return push(ev, n->subquery.expr, &nothing);
    case NODE_UNARY:
        return push(ev, n->unary.expr, &nothing);
    case NODE_BINARY:
        return push_binary(ev, n, wanted);
    case NODE_AGGREGATION:
        return push_aggregation(ev, n, wanted);
    case NODE_CALL:
        return push_call(ev, n, wanted);
    default:
        return OK;
    }
}

/* --- the whole -------------------------------------------------------------------------------- */

enum err
pushdown_find(struct evaluation *ev)
{
    if (ev->shares == NULL) return OK; /* there are no two selectors */
    ev->pushdown = arena_new(&ev->arena, sizeof *ev->pushdown);
    if (ev->pushdown == NULL) return eval_no_memory(ev);
    return push(ev, ev->tree->root, &nothing);
}

void
pushdown_fini(struct evaluation *ev)
{
    if (ev->pushdown == NULL) return;
    array_free(ev->budget, ev->pushdown->items, ev->pushdown->capacity);
    table_fini(&ev->pushdown->table, ev->budget);
}

const struct pushed *
pushdown_of(const struct evaluation *ev, const struct node *selector)
{
    const struct pushdown *p = ev->pushdown;
    if (p == NULL) return NULL;
    for (uint32_t at = TABLE_START, id; table_next(&p->table, node_hash(selector), &at, &id);) {
        if (p->items[id].selector == selector) return &p->items[id].matchers;
    }
    return NULL;
}
