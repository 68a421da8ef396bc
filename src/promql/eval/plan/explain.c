/*
 * explain.c - the texts of the operators of a plan, what they read according to the index, and how
 * many series they give at most.
 *
 * Each node of the plan has figures, with two exceptions: a scalar within a scalar, and a parameter
 * that is a plain number, are only in the text of their operator. Helpers such as the check for
 * equal labels belong to the operator whose result they check. The view estimates from its index
 * what will be read.
 *
 * Invariants:
 *
 *  1. The first figures that are added are the root; others are children of some that were there.
 *  2. The children are a list from `first` to `last`; both are NULL without children.
 *  3. What an operator charged to its budget it has given back when the plan is freed.
 *  4. The part that a reader of a share reads is explained before the reader.
 */
#include "base/text/json.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "promql/eval/plan/plan.h"
#include "promql/eval/select/window.h"

#include <assert.h>
#include <inttypes.h>

/* A plan is printed without struct json, since expressions nest deeper than that allows. */
enum { LINE_READS_MAX = 16, LINE_TEXT_BYTES = 256 };

/* --- figures with those of children ----------------------------------------------------------- */

/* Sums up what is read for a node and its children. Returns its time: that of the children if it
 * has no operator of its own. */
static int64_t
add_up(struct plan_figures *x)
{
    int64_t below_ns = 0;
    assert((x->first == NULL) == (x->last == NULL)); /* invariant 2 of explain.c */
    x->total = x->cost;
    x->total_known = x->known;
    for (struct plan_figures *c = x->first; c != NULL; c = c->next) {
        below_ns += add_up(c);
        series_cost_add(&x->total, &c->total);
        x->total_known &= c->total_known;
    }
    x->below_ns = below_ns;
    return x->is_measured ? x->spent_ns : below_ns;
}

bool
promql_plan_cost(const struct promql_plan *plan, struct series_cost *ret, bool *ret_exact)
{
    *ret_exact = true;
    for (const struct plan_figures *x = plan->root; x != NULL; x = x->after)
        if (x->reads) *ret_exact &= x->exact;
    add_up(plan->root);
    *ret = plan->root->total;
    return plan->root->total_known;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void
put_count(struct buf *to, const char *key, bool known, uint64_t value)
{
    if (known)
        buf_printf(to, ",\"%s\":%" PRIu64, key, value);
    else
        buf_printf(to, ",\"%s\":null", key);
}

static void
put_detail(const struct plan_figures *x, struct buf *to)
{
    buf_put_text(to, ",\"detail\":");
    (void)json_print_string(to, x->detail);
    if (buf_error(to)) return;
    assert(to->at[to->size - 1] == '"');
    to->size--; /* the text goes on, with characters that need no escape */
    if (x->way != NULL) buf_printf(to, "; %s", x->way);
    if (x->steps > 1) buf_printf(to, "; %" PRIu32 " steps", x->steps);
    if (x->shards > 1) buf_printf(to, "; %" PRIu32 " shards", x->shards);
    int64_t resolution_ms = atomic_load_explicit(&x->resolution_ms, memory_order_relaxed);
    char text[TIME_TEXT_BYTES];
    if (resolution_ms > 0)
        buf_printf(to, "; downsampled to %s", time_print_duration(resolution_ms, text));
    buf_put_u8(to, '"');
}

static void
put_node(const struct promql_plan *plan, const struct plan_figures *x, enum plan_memory memory,
         struct buf *to)
{
    buf_printf(to, "{\"operator\":\"%s\"", x->word);
    put_detail(x, to);
    /* The number of series that a node gives: its own, or those of the child that does its work. */
    if (!plan->was_run) {
        put_count(to, "series", x->series_known, x->series);
    } else if (x->reads && !x->turns && x->known) {
        put_count(to, "series", true, x->cost.series);
    } else {
        bool is_last = x->is_measured || x->first == NULL;
        put_count(to, "series", true, is_last ? x->series_given : x->first->series_given);
    }
    put_count(to, "blocks", x->total_known, x->total.blocks);
    put_count(to, "samples", x->total_known, x->total.samples);
    put_count(to, "bytes", x->total_known, x->total.bytes);
    if (!plan->was_run && x->reads && x->known)
        buf_printf(to, ",\"exact\":%s", x->exact ? "true" : "false");
    if (plan->was_run && x->is_measured) {
        int64_t own_ns = x->spent_ns - x->below_ns;
        buf_printf(to, ",\"ms\":%.3f", (double)(own_ns < 0 ? 0 : own_ns) / 1e6);
        uint64_t peak = atomic_load_explicit(&x->budget.peak_bytes, memory_order_relaxed);
        if (x->is_charged && memory == PLAN_MEMORY_SHOWN) put_count(to, "peak_bytes", true, peak);
    }
    buf_put_text(to, ",\"children\":[");
    for (const struct plan_figures *c = x->first; c != NULL; c = c->next) {
        if (c != x->first) buf_put_u8(to, ',');
        put_node(plan, c, memory, to);
    }
    buf_put_text(to, "]}");
}

enum err
promql_plan_put(const struct promql_plan *plan, enum plan_memory memory, struct buf *to)
{
    add_up(plan->root);
    put_node(plan, plan->root, memory, to);
    return buf_error(to);
}

/* --- a line ----------------------------------------------------------------------------------- */

static void
put_read(const struct plan_figures *x, struct buf *to)
{
    const struct series_cost *c = &x->cost;
    struct bytes text = utf8_cut(x->detail, LINE_TEXT_BYTES);
    buf_put_bytes(to, text);
    if (text.size < x->detail.size) buf_put_text(to, "...");
    if (!x->known) {
        buf_put_text(to, ": unknown");
        return;
    }
    buf_printf(to,
               ": %s%" PRIu64 " series, %" PRIu64 " blocks, %" PRIu64 " samples, %" PRIu64 " bytes",
               x->exact ? "" : "about ", c->series, c->blocks, c->samples, c->bytes);
}

void
promql_plan_put_line(const struct promql_plan *plan, struct buf *to)
{
    uint32_t count = 0;
    for (const struct plan_figures *x = plan->root; x != NULL; x = x->after) {
        if (!x->reads || count++ >= LINE_READS_MAX) continue;
        if (count > 1) buf_put_text(to, "; ");
        put_read(x, to);
    }
    if (count > LINE_READS_MAX) buf_printf(to, "; and %" PRIu32 " more", count - LINE_READS_MAX);
}

enum { DETAIL_BYTES_MAX = 2048, PUSHED_BYTES_MAX = 128, TEXT_BYTES_MAX = 32 * 1024 };

struct explaining {
    struct promql_plan *plan;
    struct evaluation *ev;
    struct buf text;
    bool surveys; /* the index is asked */
};

/* Kinds without a word are scalars. */
static const char *const words[] = {
    [PLAN_STRING] = "string",
    [PLAN_NUMBER] = "number",
    [PLAN_RANGE_SELECTOR] = "range selector",
    [PLAN_SUBQUERY] = "subquery",
    [PLAN_SELECTOR] = "selector",
    [PLAN_RANGE_FUNCTION] = "range function",
    [PLAN_RANGE_SAMPLE] = "range function",
    [PLAN_RANGE_ABSENT] = "absent",
    [PLAN_ABSENT] = "absent",
    [PLAN_INFO] = "info",
    [PLAN_LABEL_JOIN] = "labels",
    [PLAN_LABEL_REPLACE] = "labels",
    [PLAN_SORT] = "sort",
    [PLAN_SORT_BY_LABEL] = "sort",
    [PLAN_HISTOGRAM] = "histogram",
    [PLAN_MAP] = "map",
    [PLAN_SAME] = "map",
    [PLAN_AGGREGATION] = "aggregation",
    [PLAN_CHOICE] = "aggregation",
    [PLAN_BINARY] = "binary operator",
    [PLAN_SET] = "set operator",
    [PLAN_SCALAR_BINARY] = "binary operator",
};

/* --- texts ------------------------------------------------------------------------------------ */

/* Puts the printed text of a node, with the matchers that its selector gets from others. A longer
 * text begins as the query gives it, since printing the parts of a deep tree takes too long. */
static enum err
put_text(struct explaining *p, struct plan_figures *f, const struct plan_node *x)
{
    struct bytes text = p->ev->tree->text;
    size_t begin = x->node->at.begin < text.size ? x->node->at.begin : text.size;
    size_t end = x->node->at.end < text.size ? x->node->at.end : text.size;
    buf_clear(&p->text);
    if (end >= begin && end - begin <= DETAIL_BYTES_MAX) {
        tree_print(x->node, &p->text);
    } else if (end > begin) {
        buf_put_bytes(&p->text, utf8_cut(bytes_of(text.at + begin, end - begin), DETAIL_BYTES_MAX));
        buf_put_text(&p->text, "...");
    }
    for (uint32_t i = 0; x->pushed != NULL && i < x->pushed->count; i++) {
        struct node_matcher m = *x->pushed->items[i];
        m.name = utf8_cut(m.name, PUSHED_BYTES_MAX);
        m.value = utf8_cut(m.value, PUSHED_BYTES_MAX);
        buf_put_text(&p->text, i == 0 ? "; only where " : ", ");
        tree_print_matcher(&m, &p->text);
    }
    if (buf_error(&p->text)) return eval_no_memory(p->ev);
    f->detail = arena_copy(&p->plan->arena, buf_bytes(&p->text));
    return f->detail.at == NULL && f->detail.size > 0 ? eval_no_memory(p->ev) : OK;
}

/* --- figures of the index --------------------------------------------------------------------- */

static enum err
add_figures(struct explaining *p, struct plan_figures *above, struct plan_node *x)
{
    struct promql_plan *plan = p->plan;
    assert((above == NULL) == (plan->root == NULL)); /* invariant 1 */
    struct plan_figures *f = arena_new(&plan->arena, sizeof *f);
    if (f == NULL) return eval_no_memory(p->ev);
    enum err e = put_text(p, f, x);
    if (e) return e;
    bool has_steps = plan_is_leaf(x->kind) || x->kind == PLAN_SUBQUERY;
    f->word = words[x->kind] != NULL ? words[x->kind] : "scalar";
    f->steps = has_steps ? x->grid.count : 0;
    bool reads = plan_is_leaf(x->kind) ? x->of == NULL : x->kind == PLAN_RANGE_SELECTOR;
    f->reads = reads && share_read_by(x) == NULL;
    f->known = true;
    /* A subquery is part of the function that reads it. */
    f->is_measured = x->kind != PLAN_STRING && (x->kind != PLAN_SUBQUERY || above == NULL);
    /* Values of scalars are charged to the evaluation; samples of a range vector are the result. */
    f->is_charged = x->node->type == VALUE_VECTOR;
    budget_init(&f->budget, "operator", 0, p->ev->budget);
    x->figures = f;
    if (above == NULL) {
        plan->root = plan->latest = f;
        return OK;
    }
    plan->latest = plan->latest->after = f;
    if (above->last == NULL) {
        assert(above->first == NULL); /* invariant 2 */
        above->first = above->last = f;
    } else {
        above->last = above->last->next = f;
    }
    return OK;
}

static void
gives(struct plan_figures *f, bool known, uint64_t series)
{
    f->series_known = known;
    f->series = series;
}

/* Asks the index what an operator will read. */
static enum err
survey(struct explaining *p, struct plan_figures *f, const struct plan_node *x)
{
    struct evaluation *ev = p->ev;
    struct series_survey s = {.exact = false};
    struct matcher_set set;
    struct query_request request;
    int64_t offset_ms;
    bool is_result = x->kind == PLAN_RANGE_SELECTOR;
    enum err e = is_result                  ? matrix_request(ev, x->node, &set, &request)
                 : x->kind == PLAN_SELECTOR ? selector_request(ev, x, &set, &request, &offset_ms)
                                            : range_request(ev, x, &set, &request);
    if (e == OK) e = query_control_check(ev->control, &ev->why);
    if (e == OK) e = view_survey(ev->view, &request, &s, &f->known, &ev->why);
    if (e) return e;
    f->exact = s.exact;
    f->cost = s.cost;
    f->shards = is_result || !f->known ? 1 : leaf_shards(ev, x, &s.guess);
    gives(f, f->known, s.cost.series);
    return OK;
}

/* --- maximum number of series ----------------------------------------------------------------- */

/* Each series of `f` is made of one series of `of`. */
static void
gives_as(struct plan_figures *f, const struct plan_figures *of)
{
    gives(f, of->series_known, of->series);
}

static void
bound_aggregation(struct plan_figures *f, const struct node *n, const struct plan_figures *of)
{
    static const char *const ways[] = {[FOLD_GROUPS] = "folds each series into its group",
                                       [FOLD_VALUES] = "folds each value into its group",
                                       [FOLD_KEPT] = "holds all series",
                                       [FOLD_RANKED] = "holds the best of each step",
                                       [FOLD_PASSED] = "passes series on"};
    enum folding folding = folding_of(n->aggregation.op);
    bool chooses = folding == FOLD_PASSED || folding == FOLD_RANKED;
    bool one = !chooses && !n->aggregation.without && n->aggregation.labels.count == 0;
    f->way = ways[folding];
    if (folding == FOLD_VALUES)
        gives(f, false, 0);
    else if (one && (!of->series_known || of->series > 0))
        gives(f, true, 1);
    else
        gives_as(f, of);
}

static void
bound_binary(struct plan_figures *f, const struct node *n, const struct plan_figures *left,
             const struct plan_figures *right)
{
    const struct matching *m = &n->binary.matching;
    bool both = left->series_known && right->series_known;
    f->way = m->cardinality == ONE_TO_MANY ? "holds the series of the left"
                                           : "holds the series of the right";
    if (m->include.count > 0)
        gives(f, false, 0); /* labels of the one side may change */
    else if (m->fills_left || m->fills_right)
        gives(f, both, left->series + right->series);
    else if (m->cardinality == ONE_TO_ONE)
        gives(f, both, left->series < right->series ? left->series : right->series);
    else
        gives_as(f, m->cardinality == MANY_TO_ONE ? left : right);
}

/* Sets the upper bound of the series that an operator gives, which does not read them itself. */
static void
bound(struct plan_figures *f, const struct plan_node *x)
{
    const struct node *n = x->node;
    const struct plan_figures *of = x->of == NULL ? NULL : x->of->figures;
    const struct plan_figures *right = x->right == NULL ? NULL : x->right->figures;
    switch (x->kind) {
    case PLAN_AGGREGATION:
    case PLAN_CHOICE:
        bound_aggregation(f, n, of);
        return;
    case PLAN_BINARY:
        bound_binary(f, n, of, right);
        return;
    case PLAN_SET:
        f->way = "holds where the right has something";
        gives_as(f, of);
        if (n->binary.op != TOKEN_OR) return;
        f->way = "holds where the left has something";
        gives(f, of->series_known && right->series_known, of->series + right->series);
        return;
    case PLAN_INFO:
        gives(f, false, 0); /* a series is split where its labels change */
        f->reads = f->turns = true;
        f->known = false;
        f->way = "reads info metrics for the series of its argument";
        return;
    case PLAN_HISTOGRAM:
        gives_as(f, of);
        if (n->call.function == &functions[FUNCTION_HISTOGRAM_QUANTILES])
            f->series *= n->call.argument_count - 2;
        f->way = "holds the buckets of classic histograms";
        return;
    default:
        break;
    }
    bool one = x->kind == PLAN_ABSENT || x->kind == PLAN_RANGE_ABSENT;
    if (one || (x->kind == PLAN_MAP && of == NULL)) {
        gives(f, true, 1);
        f->turns = true;
    } else if (of == NULL || n->type == VALUE_SCALAR) {
        gives(f, true, 0);
    } else {
        gives_as(f, of);
    }
}

/* --- the walk --------------------------------------------------------------------------------- */

static enum err explain_operands(struct explaining *p, struct plan_figures *f,
                                 const struct plan_node *x);

static enum err
explain_node(struct explaining *p, struct plan_figures *above, struct plan_node *x)
{
    const struct plan_node *read = share_read_by(x);
    enum err e = add_figures(p, above, x);
    if (e) return e;
    struct plan_figures *f = x->figures;
    if (read != NULL) {
        assert(read->figures != NULL); /* invariant 4 */
        f->way = "evaluated where it stands first";
        gives_as(f, read->figures);
        return OK;
    }
    bool surveys = p->surveys && f->reads;
    /* Errors show in the order of the arguments. */
    bool scalar_first =
        surveys && x->node->kind == NODE_CALL && x->node->call.arguments[0]->type == VALUE_SCALAR;
    if (p->surveys && x->refused.at != NULL) return plan_refuse(p->ev, x);
    if (surveys && !scalar_first) e = survey(p, f, x);
    if (e == OK) e = explain_operands(p, f, x);
    if (e == OK && scalar_first) e = survey(p, f, x);
    if (e) return e;
    if (!f->reads || x->kind == PLAN_RANGE_ABSENT) bound(f, x);
    if (x->once && x->given.count > 1) f->way = "evaluated once for all steps";
    return OK;
}

static enum err
explain_operands(struct explaining *p, struct plan_figures *f, const struct plan_node *x)
{
    enum err e = OK;
    for (struct plan_node *c = x->first; c != NULL && e == OK; c = c->next) {
        bool within = c->node->type == VALUE_SCALAR && x->node->type == VALUE_SCALAR;
        bool is_parameter = c->kind == PLAN_NUMBER && x->kind != PLAN_SCALAR_BINARY;
        if (within)
            e = explain_operands(p, f, c);
        else if (!is_parameter)
            e = explain_node(p, f, c);
    }
    return e;
}

static enum err
explain(struct promql_plan *plan, struct evaluation *ev, struct plan_node *root, bool surveys)
{
    struct explaining p = {.plan = plan, .ev = ev, .surveys = surveys};
    buf_init(&p.text, plan->budget, TEXT_BYTES_MAX);
    enum err e = explain_node(&p, NULL, root);
    buf_fini(&p.text);
    return e;
}

/* --- the query plan --------------------------------------------------------------------------- */

void
promql_plan_init(struct promql_plan *plan, struct budget *budget)
{
    *plan = (struct promql_plan){.budget = budget};
    arena_init(&plan->arena, budget, 0, 0);
}

void
promql_plan_fini(struct promql_plan *plan)
{
    for (struct plan_figures *f = plan->root; f != NULL; f = f->after)
        assert(budget_used(&f->budget) == 0); /* invariant 3 */
    arena_fini(&plan->arena);
}

enum err
promql_plan_survey(struct promql_plan *plan, struct evaluation *ev, struct plan_node *root)
{
    return explain(plan, ev, root, true);
}

enum err
promql_plan_measure(struct promql_plan *plan, struct evaluation *ev, struct plan_node *root)
{
    struct budget *budget = plan->budget;
    promql_plan_fini(plan);
    promql_plan_init(plan, budget);
    plan->was_run = true;
    enum err e = explain(plan, ev, root, false);
    for (struct plan_figures *f = plan->root; f != NULL; f = f->after)
        f->known = f->exact = true;
    return e;
}
