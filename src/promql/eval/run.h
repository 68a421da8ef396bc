/*
 * run.h - evaluates an expression at one time or at many, and holds the result; and keeps results
 * of range queries.
 */
#ifndef PROMQL_EVAL_RUN_H
#define PROMQL_EVAL_RUN_H

#include "promql/eval/plan/plan.h"
#include "promql/eval/select/window.h"
#include "promql/promql.h"

/* --- cache.c ---------------------------------------------------------------------------------- */

/*
 * Results of range queries, for reuse by the same queries at later times.
 *
 * The value of an expression at a step depends on samples at or before that time. So an earlier
 * value stays right as long as no sample before it was added and none was deleted: the view knows
 * (view_same_before()). The cache keeps results of whole expressions without warnings whose steps
 * do not depend on each other, by everything they depend on. If they take too much memory, the
 * least recently used ones are dropped.
 *
 * Threads: any.
 */

/* Immutable, but for the links. */
struct cached_result {
    _Atomic uint32_t references; /* acquire-release: the thread that drops the last one frees */
    struct promql_cache *cache;
    struct cached_result *older; /* ordered by use; guarded by the cache's lock */
    struct cached_result *newer;
    struct cached_result *next; /* next in its bucket; guarded by the cache's lock */
    uint64_t hash;
    struct bytes key; /* view of `text` */
    uint8_t *text;
    struct view_mark mark;
    struct grid grid;
    struct held_samples held;
    struct columns columns; /* in any order */
};

/* True if values of the expression may be kept. *ret_fixed_ms is the latest time that it reads at
 * every step (@ TIME); INT64_MIN without @. */
bool cache_takes(const struct node *root, int64_t *ret_fixed_ms);
/* Appends all that a result depends on, other than the samples and the first and the last step. */
void cache_key(const struct evaluation *ev, struct buf *to);

/* NULL if no such result is kept. The caller calls cached_release(). */
struct cached_result *cache_find(struct promql_cache *cache, struct bytes key);
/* `cached` may be NULL. */
void cached_release(struct cached_result *cached);
/* Keeps a copy of a result, instead of an earlier one. Without memory nothing is kept. */
void cache_put(struct promql_cache *cache, struct bytes key, const struct view_mark *mark,
               const struct grid *grid, const struct columns *columns);
/* Counts a query, and how many of its steps were found. */
void cache_count(struct promql_cache *cache, uint32_t kept, uint32_t steps);

/* --- runs ------------------------------------------------------------------------------------- */

struct query_run {
    struct evaluation ev;
    struct promql_plan *measured; /* NULL if the operators are not measured */
    enum value_type type;
    double *scalars; /* VALUE_SCALAR: one per step */
    struct bytes string;
    struct columns columns; /* VALUE_VECTOR: the series, each once */
    uint32_t *order;        /* indexes of columns in the order of the result: by labels, or as the
                               expression sorts them at one time */
    struct matrix matrix;   /* VALUE_MATRIX: the result at one time */
    struct buf labels;
    struct buf key;        /* key of the cache */
    uint32_t cached_steps; /* steps that came from the cache */
};

/* Evaluates the expression; `run` is zeroed. Figures of the run are stored in the plan `measured`,
 * which may be NULL. ERR_INPUT: run->ev.error says what cannot be evaluated; other errors are in
 * run->ev.why. The caller ends the run with run_fini(), also on an error. */
MUST_CHECK enum err run_begin(struct query_run *run, const struct promql_tree *tree,
                              struct view *view, const struct promql_options *options,
                              struct promql_plan *measured);
/* Fills an empty plan instead of evaluating the expression. Errors and end as of run_begin(). */
MUST_CHECK enum err run_plan(struct query_run *run, const struct promql_tree *tree,
                             struct view *view, const struct promql_options *options,
                             struct promql_plan *plan);
/* Frees the result and the evaluation; accepts a run that is zeroed. */
void run_fini(struct query_run *run);

#endif
