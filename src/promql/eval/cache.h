/*
 * cache.h - private to promql/eval/: results of range queries, for reuse by the same queries at
 * later times.
 *
 * The value of an expression at a step depends on samples at or before that time. So an earlier
 * value stays right as long as no sample before it was added and none was deleted: the view knows
 * (view_same_before()). The cache keeps results of whole expressions without warnings whose steps
 * do not depend on each other, by everything they depend on. If they take too much memory, the
 * least recently used ones are dropped.
 *
 * Threads: any.
 */
#ifndef PROMQL_EVAL_CACHE_H
#define PROMQL_EVAL_CACHE_H

#include "promql/eval/eval.h"

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

#endif
