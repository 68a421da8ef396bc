/*
 * parallel.c - a selector, or a function of ranges, evaluated by several threads.
 *
 *      lane 0:  shard 0 of the series -> columns -> batches --+
 *      lane 1:  shard 1               -> columns -> batches --+--> parallel_next(), by labels
 *
 * Each lane has its own evaluation, set of series and batches, and belongs to one thread at a time.
 * A turn of work fills one batch. parallel_next() takes turns itself where a batch is missing;
 * helping threads take turns as long as there is room for batches. parallel_next() merges the lanes
 * by labels, which is the order of a single lane, so the result does not depend on which thread
 * worked.
 *
 *      idle --claim_locked()--> busy --take_turn()--> idle
 *                                         +---------> ended: after the last series, or an error
 *
 * Invariants:
 *
 *  1. A busy lane has room for the batch that is being filled: filled < BATCHES.
 *  2. Batches that are filled have at least one column; parallel_next() reads the first one of
 *     them.
 *  3. A lane that ended stays so, and no thread works on it.
 *  4. `helpers` counts the threads that were asked for and have not returned: at most one per lane
 *     besides the thread of the query.
 *  5. After helpers->dismiss() no lane is busy.
 */
#include <assert.h>

#include "base/array.h"
#include "base/lock.h"
#include "promql/eval/eval.h"

enum {
    BATCHES = 2,              /* per lane: one is read while one is filled */
    BATCH_BYTES = 128 * 1024, /* approximate size of a full batch */
    COLUMN_BYTES = 256,       /* approximate size of a column without values */
};

struct lane_batch {
    struct columns columns;
    struct bytes *sources; /* labels of the series that each column was made of: the sort key */
    uint32_t source_capacity;
};

enum lane_state {
    LANE_IDLE,
    LANE_BUSY, /* leaf, ev and the batch after those filled belong to the thread that works */
    LANE_ENDED,
};

struct shard_lane {
    struct evaluation ev;
    struct vector *leaf;
    struct lane_batch batches[BATCHES];

    /* Fields of parallel_next(). */
    uint32_t first; /* index of the batch that is read; changes under the lock: others look at it */
    uint32_t at;    /* next column of that batch */
    bool readable;  /* the batch is filled */
    bool merged;    /* notes and counts were added to those of the query */

    /* Guarded by the lock. */
    uint32_t filled; /* count of batches that wait for parallel_next() or are read by it */
    enum lane_state state;
    enum err failed; /* the error that ended the lane */
};

struct parallel_vector {
    struct vector vector; /* first */
    struct shard_lane lanes[SHARDS_MAX];
    uint32_t lane_count;
    struct shard_lane *given; /* lane of the last returned column; NULL if none is in use */
    struct promql_help help;

    struct lock lock; /* LOCK_RANK_LEAF; guards the next fields, and those of lanes that say so */
    struct cond cond; /* woken after each turn */
    uint32_t helpers; /* requested threads that have not returned */
    bool stopping;    /* helping threads return after their turn */
};

/* --- turns ------------------------------------------------------------------------------------ */

static enum err
add_to_batch(struct shard_lane *lane, struct lane_batch *b, const struct column *c)
{
    struct evaluation *ev = &lane->ev;
    if (columns_add(&b->columns, c, lane->leaf->grid.count) ||
        !array_reserve(ev->budget, &b->sources, &b->source_capacity, b->columns.count))
        return eval_no_memory(ev);
    struct bytes copy = arena_copy(&b->columns.arena, c->source);
    if (copy.at == NULL && c->source.size > 0) return eval_no_memory(ev);
    b->sources[b->columns.count - 1] = copy;
    return OK;
}

/* Fills a batch of a lane that the caller has claimed. The lock is not held. */
static void
take_turn(struct parallel_vector *p, struct shard_lane *lane, struct lane_batch *b)
{
    struct column *c;
    uint64_t bytes, each = COLUMN_BYTES + lane->leaf->grid.count * sizeof(double);
    enum err e;
    columns_clear(&b->columns);
    do {
        e = vector_next(lane->leaf, &c);
        if (e == OK && c != NULL) e = add_to_batch(lane, b, c);
        /* A histogram counts as the samples that represent it, besides its value. */
        bytes = b->columns.count * each + b->columns.samples * sizeof(double);
    } while (e == OK && c != NULL && bytes < BATCH_BYTES);
    lock_take(&p->lock);
    assert(lane->state == LANE_BUSY);
    assert(lane->filled < BATCHES);                  /* invariant 1 */
    lane->filled += b->columns.count > 0 && e == OK; /* invariant 2 */
    lane->state = e != OK || c == NULL ? LANE_ENDED : LANE_IDLE;
    lane->failed = e;
    cond_wake_all(&p->cond);
    lock_drop(&p->lock);
}

static bool
has_room(const struct shard_lane *lane)
{
    return lane->state == LANE_IDLE && lane->filled < BATCHES;
}

/* Claims the lane with the fewest batches, and gives the batch to fill. NULL if no lane has
 * room. */
static struct shard_lane *
claim_locked(struct parallel_vector *p, struct lane_batch **ret_batch)
{
    struct shard_lane *best = NULL;
    assert(lock_is_mine(&p->lock));
    for (uint32_t i = 0; i < p->lane_count; i++) {
        struct shard_lane *lane = &p->lanes[i];
        if (has_room(lane) && (best == NULL || lane->filled < best->filled)) best = lane;
    }
    if (best == NULL) return NULL;
    best->state = LANE_BUSY;
    *ret_batch = &best->batches[(best->first + best->filled) % BATCHES];
    return best;
}

/* Takes turns on another thread, as long as no other query needs that. */
static void
help(struct promql_help *task)
{
    struct parallel_vector *p = task->context;
    const struct promql_helpers *helpers = p->vector.ev->helpers;
    struct shard_lane *lane;
    struct lane_batch *batch;
    lock_take(&p->lock);
    while (!p->stopping &&
           !(helpers->others_wait != NULL && helpers->others_wait(helpers->context)) &&
           (lane = claim_locked(p, &batch)) != NULL) {
        lock_drop(&p->lock);
        take_turn(p, lane, batch);
        lock_take(&p->lock);
    }
    assert(p->helpers > 0); /* invariant 4 */
    p->helpers--;
    lock_drop(&p->lock);
}

static void
ask_for_help(struct parallel_vector *p)
{
    const struct promql_helpers *helpers = p->vector.ev->helpers;
    bool wanted = false;
    if (helpers == NULL) return;
    lock_take(&p->lock);
    for (uint32_t i = 0; i < p->lane_count && p->helpers + 1 < p->lane_count; i++)
        wanted |= has_room(&p->lanes[i]);
    p->helpers += wanted;
    assert(p->helpers < p->lane_count); /* invariant 4 */
    lock_drop(&p->lock);
    if (wanted) helpers->ask(helpers->context, &p->help);
}

/* --- columns ---------------------------------------------------------------------------------- */

/* Ends the use of the column that was given last, and of its batch after the last column. */
static void
parallel_release(struct parallel_vector *p)
{
    struct shard_lane *lane = p->given;
    p->given = NULL;
    if (lane == NULL || ++lane->at < lane->batches[lane->first].columns.count) return;
    lane->at = 0;
    lock_take(&p->lock);
    assert(lane->filled > 0);                                     /* invariant 2 */
    assert(lane->filled + (lane->state == LANE_BUSY) <= BATCHES); /* invariant 1 */
    lane->first = (lane->first + 1) % BATCHES;
    lane->filled--;
    lock_drop(&p->lock);
    ask_for_help(p);
}

/* Takes turns or waits until each lane has a batch or has ended. */
static void
await_batches(struct parallel_vector *p)
{
    lock_take(&p->lock);
    for (;;) {
        bool missing = false;
        struct lane_batch *batch;
        for (uint32_t i = 0; i < p->lane_count; i++) {
            p->lanes[i].readable = p->lanes[i].filled > 0;
            missing |= !p->lanes[i].readable && p->lanes[i].state != LANE_ENDED;
        }
        if (!missing) break;
        struct shard_lane *lane = claim_locked(p, &batch);
        if (lane == NULL) {
            cond_wait(&p->cond, &p->lock);
            continue;
        }
        lock_drop(&p->lock);
        take_turn(p, lane, batch);
        lock_take(&p->lock);
    }
    lock_drop(&p->lock);
}

/* Adds the notes and counts of a lane that ended to those of the query, once. */
static enum err
merge(struct parallel_vector *p, struct shard_lane *lane)
{
    struct evaluation *ev = p->vector.ev;
    if (lane->merged) return OK;
    assert(lane->state == LANE_ENDED); /* invariant 3: it is read without the lock */
    lane->merged = true;
    if (lane->failed) {
        buf_put_bytes(&ev->error, buf_bytes(&lane->ev.error));
        ev->why = lane->ev.why;
        return lane->failed;
    }
    notes_merge(&ev->notes, &lane->ev.notes);
    ev->samples += lane->ev.samples;
    ev->spans_steps |= lane->ev.spans_steps;
    for (uint32_t i = 0; i < ev->grid.count; i++)
        ev->step_samples[i] += lane->ev.step_samples[i];
    if (lane->ev.held.most > ev->held.most) ev->held.most = lane->ev.held.most;
    return OK;
}

static enum err
parallel_next(struct vector *v, struct column **ret_column)
{
    struct parallel_vector *p = (struct parallel_vector *)v;
    struct bytes first = {NULL, 0};
    parallel_release(p);
    await_batches(p);
    *ret_column = NULL;
    for (uint32_t i = 0; i < p->lane_count; i++) {
        struct shard_lane *lane = &p->lanes[i];
        if (!lane->readable) { /* ended */
            enum err e = merge(p, lane);
            if (e) return e;
            continue;
        }
        struct lane_batch *b = &lane->batches[lane->first];
        assert(lane->at < b->columns.count); /* invariant 2 */
        if (p->given != NULL && labels_compare(b->sources[lane->at], first) >= 0) continue;
        p->given = lane;
        first = b->sources[lane->at];
        *ret_column = &b->columns.items[lane->at];
    }
    return OK;
}

/* --- life ------------------------------------------------------------------------------------- */

static void
lane_fini(struct shard_lane *lane)
{
    struct evaluation *ev = &lane->ev;
    if (ev->tree == NULL) return;     /* never begun */
    assert(lane->state != LANE_BUSY); /* invariant 5 */
    vector_free(lane->leaf);
    for (unsigned i = 0; i < BATCHES; i++) {
        array_free(ev->budget, lane->batches[i].sources, lane->batches[i].source_capacity);
        columns_fini(&lane->batches[i].columns);
    }
    eval_fini(ev);
}

static void
parallel_free(struct vector *v)
{
    struct parallel_vector *p = (struct parallel_vector *)v;
    const struct promql_helpers *helpers = v->ev->helpers;
    lock_take(&p->lock);
    p->stopping = true;
    lock_drop(&p->lock);
    if (helpers != NULL) helpers->dismiss(helpers->context, &p->help);
    for (uint32_t i = 0; i < p->lane_count; i++)
        lane_fini(&p->lanes[i]);
    cond_fini(&p->cond);
    lock_fini(&p->lock);
}

static enum err
lane_begin(struct parallel_vector *p, const struct plan_node *x, uint32_t count)
{
    struct evaluation *ev = p->vector.ev;
    struct shard_lane *lane = &p->lanes[p->lane_count];
    assert(p->lane_count < SHARDS_MAX);
    enum err e = eval_begin_part(&lane->ev, ev, p->lane_count++, count);
    for (unsigned i = 0; i < BATCHES; i++)
        columns_init(&lane->batches[i].columns, ev->budget, &lane->ev.held);
    if (e == OK) e = leaf_new(&lane->ev, x, &lane->leaf);
    if (e) {
        buf_put_bytes(&ev->error, buf_bytes(&lane->ev.error));
        ev->why = lane->ev.why;
    }
    return e;
}

enum err
vector_parallel_new(struct evaluation *ev, const struct plan_node *x, uint32_t count,
                    struct vector **ret_vector)
{
    static const struct vector_ops ops = {parallel_next, parallel_free};
    struct parallel_vector *p = vector_alloc(ev, sizeof *p, &ops, NULL);
    if (p == NULL) return eval_no_memory(ev);
    assert(count > 0);
    assert(count <= SHARDS_MAX);
    p->vector.grid = x->grid;
    p->help = (struct promql_help){.work = help, .context = p};
    lock_init(&p->lock, LOCK_RANK_LEAF);
    cond_init(&p->cond);
    enum err e = OK;
    while (p->lane_count < count && e == OK)
        e = lane_begin(p, x, count);
    if (e) {
        vector_free(&p->vector);
        return e;
    }
    p->vector.one_name = p->lanes[0].leaf->one_name;
    p->vector.each_once = p->lanes[0].leaf->each_once;
    p->vector.by_labels = p->lanes[0].leaf->by_labels;
    for (uint32_t i = 1; i < count; i++)
        ask_for_help(p);
    *ret_vector = &p->vector;
    return OK;
}
