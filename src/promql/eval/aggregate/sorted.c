/*
 * sorted.c - sort, sort_desc, sort_by_label and sort_by_label_desc.
 *
 * These functions, topk and bottomk put series in an order, as `or` does, and operators that go
 * from series to series keep it. The order matters only if a query asks for one time: series of a
 * range are given in the order of their labels.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/text/utf8.h"
#include "model/labels.h"
#include "promql/eval/eval.h"

struct sorted_vector {
    struct vector vector; /* first */
    struct vector *of;
    const struct node *call;
    struct columns kept;
    struct eval_order sorting;
    uint32_t *order; /* NULL until the vector was read */
    uint32_t next;
};

static enum function_id
function_of(const struct node *call)
{
    return (enum function_id)(call->call.function - functions);
}

/* --- comparing -------------------------------------------------------------------------------- */

/* The run of digits, or of other characters, that begins at `from`. */
static struct bytes
run_of(struct bytes text, size_t from)
{
    size_t end = from;
    while (end < text.size && ascii_is_digit(text.at[end]) == ascii_is_digit(text.at[from])) {
        end++;
    }
    return bytes_of(text.at + from, end - from);
}

static bool
sorted_is_whole(struct bytes run, int64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < run.size; i++) {
        if (!ascii_is_digit(run.at[i]) || __builtin_mul_overflow(*ret, 10, ret) ||
            __builtin_add_overflow(*ret, run.at[i] - '0', ret)) {
            return false;
        }
    }
    return true;
}

/* Compares runs of digits that fit into 64 bits as numbers, and all others as texts: "a2" is before
 * "a10". */
static int
compare_naturally(struct bytes a, struct bytes b)
{
    size_t i = 0, k = 0;
    while (i < a.size && k < b.size) {
        struct bytes x = run_of(a, i), y = run_of(b, k);
        int64_t n, m;
        if (sorted_is_whole(x, &n) && sorted_is_whole(y, &m)) {
            if (n != m) return n < m ? -1 : 1;
        } else if (!bytes_equal(x, y)) {
            return bytes_compare(x, y);
        }
        i += x.size;
        k += y.size;
    }
    if (i < a.size || k < b.size) return i < a.size ? 1 : -1;
    return bytes_compare(a, b);
}

static int
compare_named(struct sorted_vector *s, const struct column *x, const struct column *y)
{
    const struct node *call = s->call;
    for (uint32_t i = 1; i < call->call.argument_count; i++) {
        if (!eval_sorts(&s->sorting, COMPARE_WORK)) return 0;
        struct bytes name = node_inside(call->call.arguments[i])->string;
        int order = compare_naturally(labels_get(x->labels, name), labels_get(y->labels, name));
        if (order != 0) return order;
    }
    return labels_compare(x->labels, y->labels);
}

/* NaN are last. */
static int
compare_values(double v, double w, bool falling)
{
    if (isnan(v) || isnan(w)) return isnan(v) - isnan(w);
    return v == w ? 0 : (v < w) != falling ? -1 : 1;
}

static int
sorted_compare(const void *a, const void *b, void *context)
{
    struct sorted_vector *s = context;
    uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
    const struct column *x = &s->kept.items[i], *y = &s->kept.items[k];
    enum function_id id = function_of(s->call);
    if (!eval_sorts(&s->sorting, COMPARE_WORK)) return 0;
    if (id == FUNCTION_SORT_BY_LABEL) return compare_named(s, x, y);
    if (id == FUNCTION_SORT_BY_LABEL_DESC) return compare_named(s, y, x);
    int order = compare_values(x->values[0], y->values[0], id == FUNCTION_SORT_DESC);
    return order != 0 ? order : i < k ? -1 : i > k;
}

/* --- sorted result ---------------------------------------------------------------------------- */

static enum err
sorted_read_all(struct sorted_vector *s)
{
    struct evaluation *ev = s->vector.ev;
    struct column *c;
    enum err e;
    while ((e = vector_next(s->of, &c)) == OK && c != NULL) {
        if (columns_add(&s->kept, c, 1)) return eval_no_memory(ev);
    }
    if (e) return e;
    s->order = arena_alloc(&s->kept.arena, (s->kept.count + 1) * sizeof *s->order);
    if (s->order == NULL) return eval_no_memory(ev);
    for (uint32_t i = 0; i < s->kept.count; i++) {
        s->order[i] = i;
    }
    s->sorting = (struct eval_order){.ev = ev};
    if (s->kept.count > 1) qsort_r(s->order, s->kept.count, sizeof *s->order, sorted_compare, s);
    return s->sorting.failed;
}

static enum err
sorted_next(struct vector *v, struct column **ret_column)
{
    struct sorted_vector *s = (struct sorted_vector *)v;
    enum err e = s->order == NULL ? sorted_read_all(s) : OK;
    *ret_column = NULL;
    if (e == OK && s->next < s->kept.count) *ret_column = &s->kept.items[s->order[s->next++]];
    return e;
}

static void
sorted_free(struct vector *v)
{
    struct sorted_vector *s = (struct sorted_vector *)v;
    vector_free(s->of);
    columns_fini(&s->kept);
    mem_free(v->ev->budget, s, sizeof *s);
}

enum err
vector_sorted_new(struct evaluation *ev, const struct node *call, struct vector *of,
                  struct vector **ret_vector)
{
    static const struct vector_ops ops = {sorted_next, sorted_free};
    /* A range query may have a single step. */
    bool is_range =
        of->grid.count > 1 || (grid_equal(&of->grid, &ev->grid) && ev->end_ms != of->grid.first_ms);
    *ret_vector = of;
    if (is_range) {
        notes_add(&ev->notes, NOTE_WARNING, call->at,
                  "sort is ineffective for range queries since results are always ordered by "
                  "labels");
        return OK;
    }
    assert(of->grid.count == 1); /* values at one step are compared */
    struct sorted_vector *s = vector_alloc(ev, sizeof *s, &ops, of);
    if (s == NULL) return eval_no_memory(ev);
    s->vector.each_once = of->each_once;
    s->of = of;
    s->call = call;
    columns_init(&s->kept, ev->budget, &ev->held);
    *ret_vector = &s->vector;
    return OK;
}

/* --- expressions with an order ---------------------------------------------------------------- */

static bool
call_has_order(const struct node *n)
{
    switch (function_of(n)) {
    case FUNCTION_SORT:
    case FUNCTION_SORT_DESC:
    case FUNCTION_SORT_BY_LABEL:
    case FUNCTION_SORT_BY_LABEL_DESC:
        return true;
    case FUNCTION_INFO:
    case FUNCTION_ABSENT:
    case FUNCTION_SCALAR:
    case FUNCTION_HISTOGRAM_QUANTILE:
    case FUNCTION_HISTOGRAM_QUANTILES:
    case FUNCTION_HISTOGRAM_FRACTION:
        return false;
    default:
        break;
    }
    for (uint32_t i = 0; i < n->call.argument_count; i++) {
        const struct node *argument = n->call.arguments[i];
        if (argument->type == VALUE_VECTOR) return node_has_order(argument);
    }
    return false;
}

bool
node_has_order(const struct node *n)
{
    const struct node *left, *right;
    n = node_inside(n);
    switch (n->kind) {
    case NODE_UNARY:
        return node_has_order(n->unary.expr);
    case NODE_BINARY:
        left = n->binary.left;
        right = n->binary.right;
        if (!n->binary.matches) return node_has_order(left->type == VALUE_SCALAR ? right : left);
        if (n->binary.op == TOKEN_OR) return true; /* the left side is before the right one */
        return node_has_order(n->binary.matching.cardinality == ONE_TO_MANY ? right : left);
    case NODE_CALL:
        return call_has_order(n);
    case NODE_AGGREGATION:
        if (folding_of(n->aggregation.op) == FOLD_PASSED)
            return node_has_order(n->aggregation.expr);
        return folding_of(n->aggregation.op) == FOLD_RANKED;
    default:
        return false;
    }
}
