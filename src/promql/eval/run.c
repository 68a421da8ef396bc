/*
 * run.c - see run.h.
 *
 * A vector is evaluated series by series; columns with the same labels are joined to one series.
 * With a cache, the first steps come from an earlier result if the samples before them are still
 * the same; the others are evaluated, and both are joined.
 *
 * Invariants:
 *
 *  1. Steps from the cache are the first ones of the query, and lie in the grid of the cached
 *     result.
 *  2. While the other steps are evaluated, ev->grid has these alone; then it is the whole one
 *     again.
 */
#include "promql/eval/run.h"

#include <assert.h>
#include <stdlib.h>

#include "model/labels.h"
#include "promql/eval/label_sets.h"
#include "promql/eval/plan/plan.h"

/* --- collecting ------------------------------------------------------------------------------- */

static enum err
run_collect(struct query_run *run, struct column *c)
{
    struct evaluation *ev = &run->ev;
    if (c->drops_name) {
        buf_clear(&run->labels);
        labels_without_metadata(&run->labels, c->labels);
        if (buf_error(&run->labels)) return eval_no_memory(ev);
        c->labels = buf_bytes(&run->labels);
    }
    return eval_collect(ev, &run->columns, c, ev->grid.count);
}

/* --- order of the result ---------------------------------------------------------------------- */

struct by_labels {
    struct eval_order sorting;
    const struct column *columns;
};

static int
compare_columns(const void *a, const void *b, void *context)
{
    struct by_labels *by = context;
    const struct column *columns = by->columns;
    if (!eval_sorts(&by->sorting, COMPARE_WORK)) return 0;
    return labels_compare(columns[*(const uint32_t *)a].labels,
                          columns[*(const uint32_t *)b].labels);
}

/* Orders series by labels, unless the expression determines the order: then as they came. */
static enum err
put_in_order(struct query_run *run)
{
    struct evaluation *ev = &run->ev;
    uint32_t count = run->columns.count;
    run->order = arena_alloc(&ev->arena, (count + 1) * sizeof *run->order);
    if (run->order == NULL) return eval_no_memory(ev);
    for (uint32_t i = 0; i < count; i++)
        run->order[i] = i;
    bool given = ev->grid.step_ms == 0 && node_has_order(ev->tree->root);
    if (!given && count > 1) {
        struct by_labels by = {{.ev = ev}, run->columns.items};
        qsort_r(run->order, count, sizeof *run->order, compare_columns, &by);
        return by.sorting.failed;
    }
    return OK;
}

/* --- evaluations ------------------------------------------------------------------------------ */

/* Initializes what an evaluation owns. */
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
        .resolution_max_ms = of->resolution_max_ms,
        .subquery_step_ms = of->subquery_step_ms,
        .shards_wanted = 1,
        .shard = shard,
        .shard_count = count,
        .held.max = of->held.max,
        .at = of->at,
    };
    return eval_begin(part);
}

void
eval_fini(struct evaluation *ev)
{
    shares_fini(ev);
    notes_fini(&ev->notes);
    buf_fini(&ev->error);
    arena_fini(&ev->arena);
}

/* --- the run ---------------------------------------------------------------------------------- */

/* Plans the expression for the steps of the evaluation. */
static enum err
run_make_plan(struct query_run *run, struct plan_node **ret)
{
    enum err e = plan_make(&run->ev, ret);
    return e || run->measured == NULL ? e : promql_plan_measure(run->measured, &run->ev, *ret);
}

static enum err
run_steps(struct query_run *run)
{
    struct plan_node *plan;
    struct vector *v;
    struct column *c;
    enum err e = run_make_plan(run, &plan);
    if (e == OK) e = vector_new(&run->ev, plan, &v);
    if (e) return e;
    while ((e = vector_next(v, &c)) == OK && c != NULL) {
        e = run_collect(run, c);
        if (e) break;
    }
    vector_free(v);
    struct query_control *control = run->ev.control;
    if (control != NULL && atomic_load_explicit(&control->lacks_late, memory_order_relaxed)) {
        notes_add(&run->ev.notes, PROMQL_INFO, run->ev.tree->root->at,
                  "samples that arrived after their time was downsampled are left out");
    }
    return e;
}

/* --- using the cache -------------------------------------------------------------------------- */

/* Returns how many of the first steps of the query are in `x` from *ret_from on and are still
 * right. */
static uint32_t
steps_kept(const struct evaluation *ev, const struct cached_result *x, int64_t fixed_ms,
           uint32_t *ret_from)
{
    const struct grid *g = &ev->grid;
    int64_t before_ms = view_same_before(ev->view, ev->tenant, &x->mark);
    int64_t end_ms = grid_time(&x->grid, x->grid.count - 1);
    if (before_ms <= fixed_ms || g->first_ms < x->grid.first_ms || g->first_ms > end_ms) return 0;
    uint64_t behind_ms = (uint64_t)g->first_ms - (uint64_t)x->grid.first_ms;
    *ret_from = (uint32_t)(behind_ms / (uint64_t)g->step_ms);
    assert(*ret_from < x->grid.count); /* invariant 1: the first step is not after its last one */
    uint32_t count = x->grid.count - *ret_from;
    if (count > g->count) count = g->count;
    if (before_ms > grid_time(g, count - 1)) return count;
    if (before_ms <= g->first_ms) return 0;
    uint64_t same_ms = (uint64_t)before_ms - 1 - (uint64_t)g->first_ms;
    return (uint32_t)(same_ms / (uint64_t)g->step_ms) + 1;
}

/* Collects `count` steps of a column, which begin at `from`, as those that begin at `to`. */
static enum err
collect_moved(struct query_run *run, const struct column *c, uint32_t from, uint32_t count,
              uint32_t to, struct column *moved)
{
    struct evaluation *ev = &run->ev;
    bool any = false;
    assert(to + count <= ev->grid.count);
    column_clear(moved, ev->grid.count);
    moved->labels = c->labels;
    for (uint32_t i = bits_next(c->present, from, from + count); i < from + count;
         i = bits_next(c->present, i + 1, from + count)) {
        const struct fhist *h = column_histogram(c, i);
        any = true;
        if (h == NULL)
            column_set(moved, i - from + to, c->values[i]);
        else if (column_set_histogram(moved, ev->budget, ev->grid.count, i - from + to, h))
            return eval_no_memory(ev);
    }
    return any ? run_collect(run, moved) : OK;
}

/* Joins the first `kept` steps, from `x`, with the others, which were collected. */
static enum err
join(struct query_run *run, const struct cached_result *x, uint32_t from, uint32_t kept)
{
    struct evaluation *ev = &run->ev;
    struct columns rest = run->columns;
    struct column moved;
    assert(from + kept <= x->grid.count); /* invariant 1 */
    assert(kept <= ev->grid.count);
    columns_init(&run->columns, ev->budget, &ev->held);
    enum err e = column_init(&moved, ev->budget, ev->grid.count) ? eval_no_memory(ev) : OK;
    for (uint32_t i = 0; i < x->columns.count && e == OK; i++)
        e = collect_moved(run, &x->columns.items[i], from, kept, 0, &moved);
    for (uint32_t i = 0; i < rest.count && e == OK; i++)
        e = collect_moved(run, &rest.items[i], 0, ev->grid.count - kept, kept, &moved);
    column_fini(&moved, ev->budget, ev->grid.count);
    columns_fini(&rest);
    return e ? e : eval_hold(ev, 0);
}

static enum err
run_with_cache(struct query_run *run, struct promql_cache *cache, const struct view_mark *mark,
               int64_t fixed_ms)
{
    struct evaluation *ev = &run->ev;
    const struct grid grid = ev->grid;
    uint32_t from = 0, kept = 0;
    enum err e = OK;
    buf_clear(&run->key);
    cache_key(ev, &run->key);
    if (buf_error(&run->key) == ERR_LIMIT) return run_steps(run);
    if (buf_error(&run->key)) return eval_no_memory(ev);
    struct cached_result *x = cache_find(cache, buf_bytes(&run->key));
    if (x != NULL) kept = steps_kept(ev, x, fixed_ms, &from);
    cache_count(cache, kept, grid.count);
    run->cached_steps = kept;
    ev->grid.first_ms = grid_time(&grid, kept);
    ev->grid.count -= kept;
    if (ev->grid.count > 0) e = run_steps(run);
    ev->grid = grid;
    if (e == OK && kept > 0) e = join(run, x, from, kept);
    /* A cached result of a longer range stays if it has at least half of the steps. */
    bool shortens = x != NULL && x->grid.count > grid.count && kept >= grid.count / 2;
    cached_release(x);
    assert(ev->grid.count == grid.count); /* invariant 2 */
    /* Incomplete results are not cached: the next ones would have no warning. */
    bool whole =
        ev->notes.count == 0 &&
        (ev->control == NULL || !atomic_load_explicit(&ev->control->lacks, memory_order_relaxed));
    if (e == OK && kept < grid.count && !shortens && whole && !ev->spans_steps)
        cache_put(cache, buf_bytes(&run->key), mark, &grid, &run->columns);
    return e;
}

static enum err
query_run_begin(struct query_run *run, const struct promql_tree *tree, struct view *view,
                const struct promql_options *options)
{
    struct evaluation *ev = &run->ev;
    run->type = tree->root->type;
    ev->tree = tree;
    ev->view = view;
    ev->view_words = options->view_words;
    ev->view_word_count = options->view_word_count;
    ev->tenant = options->tenant;
    ev->control = options->control;
    ev->budget = options->budget;
    ev->features = options->features;
    ev->held.max = options->held_max;
    ev->helpers = options->helpers;
    ev->shards_wanted = options->shards;
    ev->counts = options->counts;
    ev->lookback_ms = options->lookback_ms;
    ev->resolution_max_ms = options->limits_resolution ? options->resolution_max_ms : INT64_MAX;
    ev->subquery_step_ms = options->subquery_step_ms;
    ev->grid = (struct grid){options->first_ms, options->step_ms, 1, true};
    if (options->step_ms > 0) {
        uint64_t range_ms = (uint64_t)options->last_ms - (uint64_t)options->first_ms;
        ev->grid.count = (uint32_t)(range_ms / (uint64_t)options->step_ms) + 1;
    }
    ev->end_ms = options->step_ms > 0 ? options->last_ms : options->first_ms;
    columns_init(&run->columns, ev->budget, &ev->held);
    buf_init(&run->labels, ev->budget, 64 << 20);
    buf_init(&run->key, ev->budget, 1 << 20);
    return eval_begin(ev);
}

enum err
run_plan(struct query_run *run, const struct promql_tree *tree, struct view *view,
         const struct promql_options *options, struct promql_plan *plan)
{
    struct plan_node *root;
    enum err e = query_run_begin(run, tree, view, options);
    if (e == OK) e = plan_make(&run->ev, &root);
    return e ? e : promql_plan_survey(plan, &run->ev, root);
}

enum err
run_begin(struct query_run *run, const struct promql_tree *tree, struct view *view,
          const struct promql_options *options, struct promql_plan *measured)
{
    struct plan_node *root;
    enum err e = query_run_begin(run, tree, view, options);
    if (e) return e;
    run->measured = measured;
    if (run->type == VALUE_VECTOR) {
        struct promql_cache *cache = measured == NULL ? options->cache : NULL;
        struct view_mark mark;
        int64_t fixed_ms;
        bool keeps = cache != NULL && options->step_ms > 0 && view_has_mark(view, &mark) &&
                     cache_takes(tree->root, &fixed_ms);
        e = keeps ? run_with_cache(run, cache, &mark, fixed_ms) : run_steps(run);
        return e ? e : put_in_order(run);
    }
    e = run_make_plan(run, &root);
    if (e) return e;
    if (run->type == VALUE_SCALAR) return scalar_values(&run->ev, root, &run->scalars);
    if (run->type == VALUE_STRING) {
        run->string = root->node->string;
        return OK;
    }
    /* The root has no operator; what it reads belongs to its own node. */
    struct evaluation *ev = &run->ev;
    struct measuring m;
    bool is_measured = measure_begin(ev, root, &m);
    if (is_measured) ev->budget = m.outer_budget; /* its samples are the result */
    e = matrix_fill(ev, root, &run->matrix);
    if (!is_measured) return e;
    ev->at->series_given = run->matrix.count;
    measure_end(ev, &m);
    return e;
}

bool
promql_has_durations(const struct promql_tree *tree, const struct promql_options *options,
                     struct buf *error)
{
    struct query_times times = {options->first_ms, options->last_ms, options->step_ms};
    if (times.step_ms == 0) times.last_ms = times.first_ms;
    return durations_fit(tree->root, &times, error);
}

void
run_fini(struct query_run *run)
{
    columns_fini(&run->columns);
    matrix_fini(&run->ev, &run->matrix);
    buf_fini(&run->labels);
    buf_fini(&run->key);
    eval_fini(&run->ev);
}
