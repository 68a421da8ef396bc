/* run.c - see run.h. */
#include "promql/eval/run.h"

#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "model/labels.h"

/* --- collecting ------------------------------------------------------------------------------- */

static enum err
collect(struct run *run, const struct column *c)
{
    struct evaluation *ev = &run->ev;
    uint32_t steps = ev->grid.count;
    uint64_t hash = hash_bytes(c->labels, 0);
    for (uint32_t at = TABLE_START, id; table_next(&run->table, hash, &at, &id);) {
        struct column *known = &run->columns.items[id];
        if (!bytes_equal(known->labels, c->labels)) continue;
        if (bits_meet(known->present, c->present, steps)) {
            return eval_fail(ev, "vector cannot contain metrics with the same labelset");
        }
        for (bits_each(i, c->present, steps)) {
            known->values[i] = c->values[i];
        }
        bits_add(known->present, c->present, steps);
        return OK;
    }
    if (!table_reserve(&run->table, ev->budget, 1) || columns_add(&run->columns, c, steps)) {
        return eval_no_memory(ev);
    }
    table_add(&run->table, hash, run->columns.count - 1);
    return OK;
}

/* --- order ------------------------------------------------------------------------------------ */

enum order { ORDER_LABELS, ORDER_AS_IS, ORDER_RISING, ORDER_FALLING };

struct placed {
    const struct column *column;
    uint32_t index;
    enum order order;
};

static int
compare_placed(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    if (x->order == ORDER_LABELS) return labels_compare(x->column->labels, y->column->labels);
    double v = x->column->values[0], w = y->column->values[0];
    if (isnan(v) || isnan(w)) return isnan(v) - isnan(w);
    if (v != w) return (v < w) == (x->order == ORDER_RISING) ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static enum order
order_of(const struct run *run, const struct node *root)
{
    root = node_inside(root);
    if (run->ev.grid.step_ms != 0) return ORDER_LABELS;
    if (root->kind == NODE_CALL) {
        if (root->call.function == &functions[FUNCTION_SORT]) return ORDER_RISING;
        if (root->call.function == &functions[FUNCTION_SORT_DESC]) return ORDER_FALLING;
    }
    if (root->kind == NODE_AGGREGATION) {
        if (root->aggregation.op == TOKEN_TOPK) return ORDER_FALLING;
        if (root->aggregation.op == TOKEN_BOTTOMK) return ORDER_RISING;
    }
    return ORDER_LABELS;
}

static enum err
put_in_order(struct run *run, enum order order)
{
    struct evaluation *ev = &run->ev;
    uint32_t count = run->columns.count;
    struct placed *list = arena_alloc(&ev->arena, (count + 1) * sizeof *list);
    run->order = arena_alloc(&ev->arena, (count + 1) * sizeof *run->order);
    if (list == NULL || run->order == NULL) return eval_no_memory(ev);
    for (uint32_t i = 0; i < count; i++) {
        list[i] = (struct placed){&run->columns.items[i], i, order};
    }
    if (order != ORDER_AS_IS && count > 1) qsort(list, count, sizeof *list, compare_placed);
    for (uint32_t i = 0; i < count; i++) {
        run->order[i] = list[i].index;
    }
    return OK;
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
    return e ? e : put_in_order(run, order_of(run, root));
}

enum err
run_begin(struct run *run, const struct promql_tree *tree, struct view *view,
          const struct run_options *options)
{
    *run = (struct run){.type = tree->root->type};
    struct evaluation *ev = &run->ev;
    ev->tree = tree;
    ev->view = view;
    ev->tenant = options->tenant;
    ev->control = options->control;
    ev->budget = options->budget;
    ev->lookback_ms = options->lookback_ms;
    ev->subquery_step_ms = options->subquery_step_ms;
    ev->grid = (struct grid){options->first_ms, options->step_ms, 1};
    if (options->step_ms > 0) {
        ev->grid.count = (uint32_t)((options->last_ms - options->first_ms) / options->step_ms) + 1;
    }
    ev->end_ms = options->step_ms > 0 ? options->last_ms : options->first_ms;
    arena_init(&ev->arena, ev->budget, 0, 0);
    buf_init(&ev->error, ev->budget, 1 << 20);
    notes_init(&ev->notes, ev->budget, tree->text);
    columns_init(&run->columns, ev->budget);
    switch (run->type) {
    case VALUE_SCALAR:
        return scalar_values(ev, tree->root, &ev->grid, &run->scalars);
    case VALUE_STRING:
        run->string = node_inside(tree->root)->string;
        return OK;
    case VALUE_VECTOR:
        return run_vector(run, tree->root);
    default:
        return eval_fail(ev, "range vectors are not supported");
    }
}

void
run_fini(struct run *run)
{
    columns_fini(&run->columns);
    table_fini(&run->table, run->ev.budget);
    notes_fini(&run->ev.notes);
    buf_fini(&run->ev.error);
    arena_fini(&run->ev.arena);
}
