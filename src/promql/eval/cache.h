/*
 * cache.h - private to promql/eval/: what came of range queries, to be used again by one that asks
 * the same of later times.
 *
 * An expression's value at a step is made of samples at or before that time. So what an earlier
 * query found for a step still holds as long as no sample came before it and none was deleted: the
 * view knows (view_same_before()). Kept are results of whole expressions without warnings, of which
 * each step stands for itself, under all that they depend on. The least recently used go when there
 * are too many.   Threads: any.
 */
#ifndef PROMQL_EVAL_CACHE_H
#define PROMQL_EVAL_CACHE_H

#include "promql/eval/eval.h"

/* Immutable. */
struct cached {
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    struct promql_cache *cache;
    struct cached *older; /* in the order of use; under the cache's lock */
    struct cached *newer;
    struct cached *next; /* in its bucket */
    uint64_t hash;
    struct bytes key; /* of `text` */
    uint8_t *text;
    struct view_mark mark;
    struct grid grid;
    struct held held;
    struct columns columns; /* by no order */
};

/*
 * May values of the expression be kept? *ret_fixed_ms: the latest time at which it looks whatever
 * the step is (@ TIME); INT64_MIN: at none.
 */
bool cache_takes(const struct node *root, int64_t *ret_fixed_ms);
/* Appends what a result depends on, but the samples and how many steps there are. */
void cache_key(const struct evaluation *ev, struct buf *to);

/* NULL: no such result is kept. To be given back with cached_release(). */
struct cached *cache_find(struct promql_cache *cache, struct bytes key);
/* NULL is fine. */
void cached_release(struct cached *cached);
/* A copy takes the place of what is there. Without memory nothing is kept. */
void cache_put(struct promql_cache *cache, struct bytes key, const struct view_mark *mark,
               const struct grid *grid, const struct columns *columns);
/* Counts one query, of whose steps so many were kept. */
void cache_count(struct promql_cache *cache, uint32_t kept, uint32_t steps);

#endif
