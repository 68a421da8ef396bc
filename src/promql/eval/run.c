/* run.c - see run.h. */
#include "promql/eval/run.h"

#include <math.h>
#include <stdlib.h>

#include "base/ascii.h"
#include "base/hash.h"
#include "model/labels.h"
#include "promql/eval/label_edit.h"

/* --- collecting ------------------------------------------------------------------------------- */

static enum err
collect(struct run *run, struct column *c)
{
    struct evaluation *ev = &run->ev;
    uint32_t steps = ev->grid.count;
    if (c->drops_name) {
        buf_clear(&run->labels);
        labels_without_metadata(&run->labels, c->labels);
        if (buf_error(&run->labels)) return eval_no_memory(ev);
        c->labels = buf_bytes(&run->labels);
    }
    uint64_t hash = hash_bytes(c->labels, 0);
    for (uint32_t at = TABLE_START, id; table_next(&run->table, hash, &at, &id);) {
        struct column *known = &run->columns.items[id];
        if (!bytes_equal(known->labels, c->labels)) continue;
        if (bits_meet(known->present, c->present, steps)) {
            return eval_fail(ev, "vector cannot contain metrics with the same labelset");
        }
        return columns_join(&run->columns, known, c, steps) ? eval_no_memory(ev) : OK;
    }
    if (!table_reserve(&run->table, ev->budget, 1) || columns_add(&run->columns, c, steps)) {
        return eval_no_memory(ev);
    }
    table_add(&run->table, hash, run->columns.count - 1);
    return OK;
}

/* --- order ------------------------------------------------------------------------------------ */

enum order { ORDER_LABELS, ORDER_RISING, ORDER_FALLING, ORDER_NAMED_RISING, ORDER_NAMED_FALLING };

struct placed {
    const struct column *column;
    uint32_t index;
    enum order order;
    const struct node *call; /* sort_by_label */
};

/* "a2" comes before "a10": numbers in texts are compared as numbers. */
static int
compare_naturally(struct bytes a, struct bytes b)
{
    size_t i = 0, k = 0;
    while (i < a.size && k < b.size) {
        if (!ascii_is_digit(a.at[i]) || !ascii_is_digit(b.at[k])) {
            if (a.at[i] != b.at[k]) return a.at[i] < b.at[k] ? -1 : 1;
            i++;
            k++;
            continue;
        }
        size_t end = i, end_b = k;
        while (end < a.size && ascii_is_digit(a.at[end])) {
            end++;
        }
        while (end_b < b.size && ascii_is_digit(b.at[end_b])) {
            end_b++;
        }
        while (i < end && a.at[i] == '0') {
            i++;
        }
        while (k < end_b && b.at[k] == '0') {
            k++;
        }
        if (end - i != end_b - k) return end - i < end_b - k ? -1 : 1;
        int order = end == i ? 0 : memcmp(a.at + i, b.at + k, end - i);
        if (order != 0) return order;
        i = end;
        k = end_b;
    }
    if (a.size - i != b.size - k) return a.size - i < b.size - k ? -1 : 1;
    return bytes_compare(a, b);
}

static int
compare_named(const struct placed *x, const struct placed *y)
{
    for (uint32_t i = 1; i < x->call->call.argument_count; i++) {
        struct bytes name = node_inside(x->call->call.arguments[i])->string;
        int order = compare_naturally(labels_get(x->column->labels, name),
                                      labels_get(y->column->labels, name));
        if (order != 0) return order;
    }
    return labels_compare(x->column->labels, y->column->labels);
}

static int
compare_placed(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    switch (x->order) {
    case ORDER_LABELS:
        return labels_compare(x->column->labels, y->column->labels);
    case ORDER_NAMED_RISING:
        return compare_named(x, y);
    case ORDER_NAMED_FALLING:
        return compare_named(y, x);
    default:
        break;
    }
    double v = x->column->values[0], w = y->column->values[0];
    if (isnan(v) || isnan(w)) {
        if (isnan(v) != isnan(w)) return isnan(v) ? 1 : -1;
    } else if (v != w) {
        return (v < w) == (x->order == ORDER_RISING) ? -1 : 1;
    }
    return x->index < y->index ? -1 : x->index > y->index;
}

static enum order
order_of(const struct run *run, const struct node *root)
{
    if (run->ev.grid.step_ms != 0) return ORDER_LABELS;
    if (root->kind == NODE_CALL) {
        if (root->call.function == &functions[FUNCTION_SORT]) return ORDER_RISING;
        if (root->call.function == &functions[FUNCTION_SORT_DESC]) return ORDER_FALLING;
        if (root->call.function == &functions[FUNCTION_SORT_BY_LABEL]) return ORDER_NAMED_RISING;
        if (root->call.function == &functions[FUNCTION_SORT_BY_LABEL_DESC]) {
            return ORDER_NAMED_FALLING;
        }
    }
    if (root->kind == NODE_AGGREGATION) {
        if (root->aggregation.op == TOKEN_TOPK) return ORDER_FALLING;
        if (root->aggregation.op == TOKEN_BOTTOMK) return ORDER_RISING;
    }
    return ORDER_LABELS;
}

static enum err
put_in_order(struct run *run, const struct node *root)
{
    enum order order = order_of(run, root);
    struct evaluation *ev = &run->ev;
    uint32_t count = run->columns.count;
    struct placed *list = arena_alloc(&ev->arena, (count + 1) * sizeof *list);
    run->order = arena_alloc(&ev->arena, (count + 1) * sizeof *run->order);
    if (list == NULL || run->order == NULL) return eval_no_memory(ev);
    for (uint32_t i = 0; i < count; i++) {
        list[i] = (struct placed){&run->columns.items[i], i, order, root};
    }
    if (count > 1) qsort(list, count, sizeof *list, compare_placed);
    for (uint32_t i = 0; i < count; i++) {
        run->order[i] = list[i].index;
    }
    return OK;
}

/* --- evaluations ------------------------------------------------------------------------------ */

/* What it has of its own. */
static enum err
eval_begin(struct evaluation *ev)
{
    arena_init(&ev->arena, ev->budget, 0, 0);
    buf_init(&ev->error, ev->budget, 1 << 20);
    notes_init(&ev->notes, ev->budget, ev->tree->text);
    ev->step_samples = arena_new(&ev->arena, ev->grid.count * sizeof *ev->step_samples);
    return ev->step_samples == NULL ? eval_no_memory(ev) : OK;
}

enum err
eval_begin_part(struct evaluation *part, const struct evaluation *of, uint32_t shard,
                uint32_t count)
{
    *part = (struct evaluation){
        .tree = of->tree,
        .features = of->features,
        .view = of->view,
        .tenant = of->tenant,
        .control = of->control,
        .budget = of->budget,
        .grid = of->grid,
        .end_ms = of->end_ms,
        .lookback_ms = of->lookback_ms,
        .subquery_step_ms = of->subquery_step_ms,
        .shards_wanted = 1,
        .shard = shard,
        .shard_count = count,
        .held.max = of->held.max,
    };
    return eval_begin(part);
}

void
eval_fini(struct evaluation *ev)
{
    notes_fini(&ev->notes);
    buf_fini(&ev->error);
    arena_fini(&ev->arena);
}

/* --- the run ---------------------------------------------------------------------------------- */

static enum err
run_vector(struct run *run, const struct node *root)
{
    struct vector *v;
    struct column *c;
    enum err e = vector_new(&run->ev, root, &run->ev.grid, &v);
    if (e) return e;
    while ((e = vector_next(v, &c)) == OK && c != NULL) {
        e = collect(run, c);
        if (e) break;
    }
    vector_free(v);
    return e ? e : put_in_order(run, node_inside(root));
}

enum err
run_begin(struct run *run, const struct promql_tree *tree, struct view *view,
          const struct promql_options *options)
{
    *run = (struct run){.type = tree->root->type};
    struct evaluation *ev = &run->ev;
    ev->tree = tree;
    ev->view = view;
    ev->tenant = options->tenant;
    ev->control = options->control;
    ev->budget = options->budget;
    ev->features = options->features;
    ev->held.max = options->held_max;
    ev->helpers = options->helpers;
    ev->shards_wanted = options->shards;
    ev->lookback_ms = options->lookback_ms;
    ev->subquery_step_ms = options->subquery_step_ms;
    ev->grid = (struct grid){options->first_ms, options->step_ms, 1, true};
    if (options->step_ms > 0) {
        uint64_t range_ms = (uint64_t)options->last_ms - (uint64_t)options->first_ms;
        ev->grid.count = (uint32_t)(range_ms / (uint64_t)options->step_ms) + 1;
    }
    ev->end_ms = options->step_ms > 0 ? options->last_ms : options->first_ms;
    columns_init(&run->columns, ev->budget, &ev->held);
    buf_init(&run->labels, ev->budget, 64 << 20);
    enum err e = eval_begin(ev);
    if (e) return e;
    switch (run->type) {
    case VALUE_SCALAR:
        return scalar_values(ev, tree->root, &ev->grid, &run->scalars);
    case VALUE_STRING:
        run->string = node_inside(tree->root)->string;
        return OK;
    case VALUE_VECTOR:
        return run_vector(run, tree->root);
    default:
        return matrix_fill(ev, tree->root, &run->matrix);
    }
}

void
run_fini(struct run *run)
{
    columns_fini(&run->columns);
    matrix_fini(&run->ev, &run->matrix);
    buf_fini(&run->labels);
    table_fini(&run->table, run->ev.budget);
    eval_fini(&run->ev);
}
