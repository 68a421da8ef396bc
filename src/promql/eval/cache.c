/*
 * cache.c - see run.h.
 *
 * Results are found by a hash of their key, in chained buckets, and are linked in the order of use:
 * the least recently used one is dropped first. A result is immutable, so that queries read it
 * without the lock while they hold a reference.
 *
 * Invariants:
 *
 *  1. A result is in its bucket if and only if it is in the list; facts.entries counts them.
 *  2. The cache holds one reference to each of them, so a result that is found has at least one.
 *  3. At most one result has a given key.
 *  4. The cache is freed after the last query released its results.
 */
#include "promql/eval/run.h"

#include <assert.h>

#include "base/hash/hash.h"
#include "base/lock.h"

enum { BUCKETS = 1024 };

struct promql_cache {
    struct budget budget;
    struct budget *memory; /* pays for this struct */

    struct lock lock; /* LOCK_RANK_LEAF; guards the rest */
    uint64_t bytes_max;
    struct cached_result *oldest;
    struct cached_result *newest;
    struct cached_result *buckets[BUCKETS];
    struct promql_cache_facts facts;
};

/* --- expressions that may be kept ------------------------------------------------------------- */

/* True if the duration does not depend on the range of the query. */
static bool
duration_node_is_kept(const struct node *n)
{
    if (n == NULL || n->kind != NODE_DURATION) return true;
    return n->duration.op != TOKEN_RANGE && duration_node_is_kept(n->duration.left) &&
           duration_node_is_kept(n->duration.right);
}

/* A value that depends on samples after its step may change when they arrive. */
static bool
shift_is_kept(const struct shift *s, int64_t *fixed_ms)
{
    if (s->offset.expr != NULL || s->offset.ms < 0) return false;
    if (s->at == AT_TIME && s->at_ms > *fixed_ms) *fixed_ms = s->at_ms;
    return s->at == AT_NONE || s->at == AT_TIME;
}

static bool
node_is_kept(const struct node *n, int64_t *fixed_ms)
{
    const struct node *below;
    bool kept = true;
    if (n->kind == NODE_SELECTOR) {
        kept = n->selector.extent != EXTENT_SMOOTHED && shift_is_kept(&n->selector.shift, fixed_ms);
    } else if (n->kind == NODE_RANGE) {
        kept = duration_node_is_kept(n->range.range.expr);
    } else if (n->kind == NODE_SUBQUERY) {
        kept = duration_node_is_kept(n->subquery.range.expr) &&
               duration_node_is_kept(n->subquery.step.expr) &&
               shift_is_kept(&n->subquery.shift, fixed_ms);
    } else if (n->kind == NODE_CALL) {
        const struct function *f = n->call.function;
        kept = f != &functions[FUNCTION_START] && f != &functions[FUNCTION_END] &&
               f != &functions[FUNCTION_RANGE];
    } else if (n->kind == NODE_DURATION) {
        kept = duration_node_is_kept(n);
    }
    for (uint32_t i = 0; kept && (below = node_operand(n, i)) != NULL; i++)
        kept = node_is_kept(below, fixed_ms);
    return kept;
}

bool
cache_takes(const struct node *root, int64_t *ret_fixed_ms)
{
    *ret_fixed_ms = INT64_MIN;
    return node_is_kept(root, ret_fixed_ms);
}

void
cache_key(const struct evaluation *ev, struct buf *to)
{
    int64_t step = ev->grid.step_ms, phase = ev->grid.first_ms % step;
    unsigned features = ev->features.delayed_name_removal | ev->features.start_timestamps << 1 |
                        ev->features.type_and_unit_labels << 2;
    buf_put_counted(to, ev->tenant);
    buf_put_varint(to, ev->view_word_count);
    for (uint32_t i = 0; i < ev->view_word_count; i++)
        buf_put_counted(to, ev->view_words[i]);
    buf_put_u8(to, (uint8_t)features);
    buf_put_varint(to, (uint64_t)step);
    buf_put_varint(to, (uint64_t)(phase < 0 ? phase + step : phase));
    buf_put_varint(to, (uint64_t)ev->lookback_ms);
    buf_put_varint(to, (uint64_t)ev->resolution_max_ms);
    buf_put_varint(to, (uint64_t)ev->subquery_step_ms);
    tree_print(ev->tree->root, to);
}

/* --- the cache -------------------------------------------------------------------------------- */

enum err
promql_cache_new(struct budget *budget, uint64_t bytes_max, struct promql_cache **ret_cache)
{
    struct promql_cache *c = mem_new(budget, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->memory = budget;
    c->bytes_max = bytes_max;
    budget_init(&c->budget, "query_cache", 0, budget);
    lock_init(&c->lock, LOCK_RANK_LEAF);
    *ret_cache = c;
    return OK;
}

static void
unlink_locked(struct promql_cache *c, struct cached_result *x)
{
    assert(lock_is_mine(&c->lock));
    assert((x->older == NULL) == (c->oldest == x)); /* invariant 1: it is in the list */
    assert((x->newer == NULL) == (c->newest == x));
    *(x->older == NULL ? &c->oldest : &x->older->newer) = x->newer;
    *(x->newer == NULL ? &c->newest : &x->newer->older) = x->older;
    x->older = x->newer = NULL;
}

static void
link_locked(struct promql_cache *c, struct cached_result *x)
{
    assert(lock_is_mine(&c->lock));
    assert(x->newer == NULL);
    x->older = c->newest;
    *(c->newest == NULL ? &c->oldest : &c->newest->newer) = x;
    c->newest = x;
}

static struct cached_result **
bucket_of(struct promql_cache *c, uint64_t hash)
{
    return &c->buckets[hash % BUCKETS];
}

static struct cached_result *
find_locked(struct promql_cache *c, uint64_t hash, struct bytes key)
{
    struct cached_result *x = *bucket_of(c, hash);
    assert(lock_is_mine(&c->lock));
    while (x != NULL && (x->hash != hash || !bytes_equal(x->key, key)))
        x = x->next;
    return x;
}

static void
take_out_locked(struct promql_cache *c, struct cached_result *x)
{
    struct cached_result **link = bucket_of(c, x->hash);
    assert(lock_is_mine(&c->lock));
    while (*link != x) {
        assert(*link != NULL); /* invariant 1 */
        link = &(*link)->next;
    }
    *link = x->next;
    unlink_locked(c, x);
    assert(c->facts.entries > 0); /* invariant 1 */
    c->facts.entries--;
}

void
cached_release(struct cached_result *x)
{
    if (x == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&x->references, 1, memory_order_acq_rel);
    assert(before > 0); /* invariant 2 */
    if (before != 1) return;
    struct budget *budget = &x->cache->budget;
    columns_fini(&x->columns);
    mem_free(budget, x->text, x->key.size);
    mem_free(budget, x, sizeof *x);
}

/* Drops the least recently used results until `bytes` more fit. */
static void
cache_make_room(struct promql_cache *c, uint64_t bytes)
{
    for (;;) {
        lock_take(&c->lock);
        struct cached_result *x = budget_used(&c->budget) + bytes > c->bytes_max ? c->oldest : NULL;
        if (x != NULL) {
            take_out_locked(c, x);
            c->facts.evicted++;
        }
        lock_drop(&c->lock);
        if (x == NULL) return;
        cached_release(x);
    }
}

void
promql_cache_resize(struct promql_cache *c, uint64_t bytes_max)
{
    lock_take(&c->lock);
    c->bytes_max = bytes_max;
    lock_drop(&c->lock);
    cache_make_room(c, 0);
}

void
promql_cache_free(struct promql_cache *c)
{
    if (c == NULL) return;
    promql_cache_resize(c, 0);
    assert(c->oldest == NULL);            /* invariant 1 */
    assert(c->facts.entries == 0);        /* invariant 1 */
    assert(budget_used(&c->budget) == 0); /* invariant 4 */
    lock_fini(&c->lock);
    mem_free(c->memory, c, sizeof *c);
}

struct promql_cache_facts
promql_cache_look(struct promql_cache *c)
{
    lock_take(&c->lock);
    struct promql_cache_facts facts = c->facts;
    lock_drop(&c->lock);
    facts.bytes = budget_used(&c->budget);
    return facts;
}

struct cached_result *
cache_find(struct promql_cache *c, struct bytes key)
{
    uint64_t hash = hash_bytes(key, 0);
    lock_take(&c->lock);
    struct cached_result *x = find_locked(c, hash, key);
    if (x != NULL) {
        unlink_locked(c, x);
        link_locked(c, x);
        uint32_t before = atomic_fetch_add_explicit(&x->references, 1, memory_order_relaxed);
        assert(before > 0); /* invariant 2 */
    }
    lock_drop(&c->lock);
    return x;
}

void
cache_count(struct promql_cache *c, uint32_t kept, uint32_t steps)
{
    assert(kept <= steps);
    lock_take(&c->lock);
    c->facts.queries++;
    c->facts.hits += kept > 0;
    c->facts.steps += steps;
    c->facts.steps_kept += kept;
    lock_drop(&c->lock);
}

/* --- entries ---------------------------------------------------------------------------------- */

static uint64_t
bytes_about(const struct grid *grid, const struct columns *columns)
{
    uint64_t bytes = 4096;
    for (uint32_t i = 0; i < columns->count; i++) {
        const struct column *c = &columns->items[i];
        uint64_t room = c->kept.end - c->kept.first;
        bytes += sizeof *c + c->labels.size + 8 * (room + bits_words(grid->count));
        if (c->histograms == NULL) continue;
        bytes += 8 * room;
        for (bits_each(k, c->present, grid->count))
            bytes += c->histograms[k] == NULL ? 0 : fhist_bytes(c->histograms[k]);
    }
    return bytes;
}

/* A copy with one reference. NULL: no memory. */
static struct cached_result *
cached_new(struct promql_cache *c, struct bytes key, const struct grid *grid,
           const struct columns *columns)
{
    struct cached_result *x = mem_new(&c->budget, sizeof *x);
    uint8_t *text = mem_alloc(&c->budget, key.size);
    if (x == NULL || text == NULL) {
        mem_free(&c->budget, text, key.size);
        mem_free(&c->budget, x, sizeof *x);
        return NULL;
    }
    x->text = text;
    memcpy(text, key.at, key.size);
    x->key = bytes_of(text, key.size);
    x->hash = hash_bytes(key, 0);
    atomic_init(&x->references, 1);
    x->cache = c;
    x->grid = *grid;
    columns_init(&x->columns, &c->budget, &x->held);
    for (uint32_t i = 0; i < columns->count; i++) {
        if (columns_add(&x->columns, &columns->items[i], grid->count) == OK) continue;
        cached_release(x);
        return NULL;
    }
    return x;
}

void
cache_put(struct promql_cache *c, struct bytes key, const struct view_mark *mark,
          const struct grid *grid, const struct columns *columns)
{
    enum {
        SHARE_MAX = 4
    }; /* a result larger than this part of the cache is not kept, since it would replace all others
        */
    uint64_t bytes = bytes_about(grid, columns);
    lock_take(&c->lock);
    bool fits = bytes <= c->bytes_max / SHARE_MAX;
    lock_drop(&c->lock);
    if (!fits) return;
    cache_make_room(c, bytes);
    struct cached_result *x = cached_new(c, key, grid, columns);
    if (x == NULL) return;
    x->mark = *mark;
    lock_take(&c->lock);
    struct cached_result *old = find_locked(c, x->hash, key);
    bool is_news = old == NULL || old->mark.epoch <= mark->epoch;
    if (is_news && old != NULL) take_out_locked(c, old);
    if (is_news) {
        struct cached_result **bucket = bucket_of(c, x->hash);
        assert(lock_is_mine(&c->lock));
        assert(find_locked(c, x->hash, x->key) == NULL); /* invariant 3 */
        x->next = *bucket;
        *bucket = x;
        link_locked(c, x);
        c->facts.entries++;
    }
    lock_drop(&c->lock);
    cached_release(is_news ? old : x);
    cache_make_room(c, 0);
}
