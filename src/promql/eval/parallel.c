/*
 * parallel.c - a selector, or a function of ranges, that several threads work on.
 *
 *      lane 0:  shard 0 of the series -> columns -> batches --+
 *      lane 1:  shard 1               -> columns -> batches --+--> next(), in the order of labels
 *
 * Each lane has its own evaluation, set of series and batches, and is one thread's at a time. A
 * turn of work fills one batch. Whoever asks for the next column takes a turn where a batch is
 * missing; other threads may take turns, too, as long as there is room for batches. Columns come in
 * the order in which they came without lanes, so the result does not depend on who worked.
 */
#include <assert.h>

#include "base/array.h"
#include "base/lock.h"
#include "promql/eval/eval.h"

enum {
    BATCHES = 2,              /* of a lane: one is read while one is filled */
    BATCH_BYTES = 128 * 1024, /* about */
    COLUMN_BYTES = 256,       /* of one without its values */
};

struct batch {
    struct columns columns;
    struct bytes
        *sources; /* labels of the series that they were made of, by which they are ordered */
    uint32_t source_capacity;
};

struct lane {
    struct evaluation ev;
    struct vector *leaf;
    struct batch batches[BATCHES];
    uint32_t first;  /* the batch that is read; next()'s, who changes it under the lock */
    uint32_t at;     /* its column that comes next; next()'s */
    bool readable;   /* it has one; next()'s */
    bool merged;     /* what the evaluation noted is the query's; next()'s */
    uint32_t filled; /* batches that are; this and the rest guarded by the lock */
    bool busy; /* somebody works on it: then leaf, ev and the batch behind those filled are his */
    bool ended;
    enum err failed;
};

struct parallel_vector {
    struct vector vector; /* first */
    struct lane *lanes;
    uint32_t lane_count;
    struct lane *given; /* its column was given last */
    struct promql_help help;
    struct lock lock; /* LOCK_RANK_LEAF */
    struct cond cond; /* a turn is over */
    uint32_t helpers; /* asked for, and not gone; guarded by the lock, as the next */
    bool stopping;
};

/* --- turns ------------------------------------------------------------------------------------ */

static enum err
add_to_batch(struct lane *lane, struct batch *b, const struct column *c)
{
    struct evaluation *ev = &lane->ev;
    if (columns_add(&b->columns, c, lane->leaf->grid.count) ||
        !array_reserve(ev->budget, &b->sources, &b->source_capacity, b->columns.count)) {
        return eval_no_memory(ev);
    }
    struct bytes copy = arena_copy(&b->columns.arena, c->source);
    if (copy.at == NULL && c->source.size > 0) return eval_no_memory(ev);
    b->sources[b->columns.count - 1] = copy;
    return OK;
}

static bool
is_full(const struct lane *lane, const struct batch *b)
{
    uint64_t each = COLUMN_BYTES + lane->leaf->grid.count * sizeof(double);
    /* Of histograms: as many more as they are samples. */
    return b->columns.count * each + b->columns.samples * sizeof(double) >= BATCH_BYTES;
}

/* The lane is the caller's. Without the lock. */
static void
take_turn(struct parallel_vector *p, struct lane *lane, struct batch *b)
{
    struct column *c;
    enum err e;
    columns_clear(&b->columns);
    do {
        e = vector_next(lane->leaf, &c);
        if (e == OK && c != NULL) e = add_to_batch(lane, b, c);
    } while (e == OK && c != NULL && !is_full(lane, b));
    lock_take(&p->lock);
    lane->busy = false;
    lane->filled += b->columns.count > 0 && e == OK;
    lane->ended = e != OK || c == NULL;
    lane->failed = e;
    cond_wake_all(&p->cond);
    lock_drop(&p->lock);
}

static bool
has_room(const struct lane *lane)
{
    return !lane->busy && !lane->ended && lane->filled < BATCHES;
}

/* A lane to work on, taken, that with the fewest batches, and the batch to fill. NULL: there is
 * none now. */
static struct lane *
claim_locked(struct parallel_vector *p, struct batch **ret_batch)
{
    struct lane *best = NULL;
    for (uint32_t i = 0; i < p->lane_count; i++) {
        struct lane *lane = &p->lanes[i];
        if (has_room(lane) && (best == NULL || lane->filled < best->filled)) best = lane;
    }
    if (best == NULL) return NULL;
    best->busy = true;
    *ret_batch = &best->batches[(best->first + best->filled) % BATCHES];
    return best;
}

static bool
is_wanted_elsewhere(const struct promql_helpers *helpers)
{
    return helpers->others_wait != NULL && helpers->others_wait(helpers->context);
}

/* On another thread, as long as no other query needs it. */
static void
help(struct promql_help *task)
{
    struct parallel_vector *p = task->context;
    const struct promql_helpers *helpers = p->vector.ev->helpers;
    struct lane *lane;
    struct batch *batch;
    lock_take(&p->lock);
    while (!p->stopping && !is_wanted_elsewhere(helpers) &&
           (lane = claim_locked(p, &batch)) != NULL) {
        lock_drop(&p->lock);
        take_turn(p, lane, batch);
        lock_take(&p->lock);
    }
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
    for (uint32_t i = 0; i < p->lane_count && p->helpers + 1 < p->lane_count; i++) {
        wanted |= has_room(&p->lanes[i]);
    }
    p->helpers += wanted;
    lock_drop(&p->lock);
    if (wanted) helpers->ask(helpers->context, &p->help);
}

/* --- columns ---------------------------------------------------------------------------------- */

/* The column given last is not needed any more. */
static void
release(struct parallel_vector *p)
{
    struct lane *lane = p->given;
    p->given = NULL;
    if (lane == NULL || ++lane->at < lane->batches[lane->first].columns.count) return;
    lane->at = 0;
    lock_take(&p->lock);
    lane->first = (lane->first + 1) % BATCHES;
    lane->filled--;
    lock_drop(&p->lock);
    ask_for_help(p);
}

/* Works, or waits, until each lane has a batch or none is left. */
static void
await_batches(struct parallel_vector *p)
{
    lock_take(&p->lock);
    for (;;) {
        bool missing = false;
        struct batch *batch;
        for (uint32_t i = 0; i < p->lane_count; i++) {
            p->lanes[i].readable = p->lanes[i].filled > 0;
            missing |= !p->lanes[i].readable && !p->lanes[i].ended;
        }
        if (!missing) break;
        struct lane *lane = claim_locked(p, &batch);
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

/* What a lane that ended has noted and counted is the query's. */
static enum err
merge(struct parallel_vector *p, struct lane *lane)
{
    struct evaluation *ev = p->vector.ev;
    if (lane->merged) return OK;
    lane->merged = true;
    if (lane->failed) {
        buf_put_bytes(&ev->error, buf_bytes(&lane->ev.error));
        ev->why = lane->ev.why;
        return lane->failed;
    }
    notes_merge(&ev->notes, &lane->ev.notes);
    ev->samples += lane->ev.samples;
    ev->spans_steps |= lane->ev.spans_steps;
    for (uint32_t i = 0; i < ev->grid.count; i++) {
        ev->step_samples[i] += lane->ev.step_samples[i];
    }
    if (lane->ev.held.most > ev->held.most) ev->held.most = lane->ev.held.most;
    return OK;
}

static enum err
next(struct vector *v, struct column **ret_column)
{
    struct parallel_vector *p = (struct parallel_vector *)v;
    struct bytes first = {NULL, 0};
    release(p);
    await_batches(p);
    *ret_column = NULL;
    for (uint32_t i = 0; i < p->lane_count; i++) {
        struct lane *lane = &p->lanes[i];
        if (!lane->readable) { /* it has ended: nobody works on it any more */
            enum err e = merge(p, lane);
            if (e) return e;
            continue;
        }
        struct batch *b = &lane->batches[lane->first];
        if (p->given != NULL && labels_compare(b->sources[lane->at], first) >= 0) continue;
        p->given = lane;
        first = b->sources[lane->at];
        *ret_column = &b->columns.items[lane->at];
    }
    return OK;
}

/* --- life ------------------------------------------------------------------------------------- */

static void
lane_fini(struct lane *lane)
{
    struct evaluation *ev = &lane->ev;
    if (ev->tree == NULL) return; /* it was never begun */
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
    for (uint32_t i = 0; i < p->lane_count; i++) {
        lane_fini(&p->lanes[i]);
    }
    cond_fini(&p->cond);
    lock_fini(&p->lock);
    mem_free(v->ev->budget, p->lanes, SHARDS_MAX * sizeof *p->lanes);
    mem_free(v->ev->budget, p, sizeof *p);
}

static enum err
lane_begin(struct parallel_vector *p, const struct leaf *leaf, uint32_t count)
{
    struct evaluation *ev = p->vector.ev;
    struct lane *lane = &p->lanes[p->lane_count];
    enum err e = eval_begin_part(&lane->ev, ev, p->lane_count++, count);
    for (unsigned i = 0; i < BATCHES; i++) {
        columns_init(&lane->batches[i].columns, ev->budget, &lane->ev.held);
    }
    if (e == OK) e = leaf_new(&lane->ev, leaf, &lane->leaf);
    if (e) {
        buf_put_bytes(&ev->error, buf_bytes(&lane->ev.error));
        ev->why = lane->ev.why;
    }
    return e;
}

enum err
vector_parallel_new(struct evaluation *ev, const struct leaf *leaf, uint32_t count,
                    struct vector **ret_vector)
{
    static const struct vector_ops ops = {next, parallel_free};
    struct parallel_vector *p = mem_new(ev->budget, sizeof *p);
    if (p == NULL) return eval_no_memory(ev);
    p->lanes = mem_new(ev->budget, SHARDS_MAX * sizeof *p->lanes);
    if (p->lanes == NULL) {
        mem_free(ev->budget, p, sizeof *p);
        return eval_no_memory(ev);
    }
    assert(count <= SHARDS_MAX);
    p->vector = (struct vector){.ops = &ops, .ev = ev, .grid = leaf->grid};
    p->help = (struct promql_help){.work = help, .context = p};
    lock_init(&p->lock, LOCK_RANK_LEAF);
    cond_init(&p->cond);
    enum err e = OK;
    while (p->lane_count < count && e == OK) {
        e = lane_begin(p, leaf, count);
    }
    if (e) {
        parallel_free(&p->vector);
        return e;
    }
    p->vector.one_name = p->lanes[0].leaf->one_name;
    p->vector.each_once = p->lanes[0].leaf->each_once;
    p->vector.by_labels = p->lanes[0].leaf->by_labels;
    for (uint32_t i = 1; i < count; i++) {
        ask_for_help(p);
    }
    *ret_vector = &p->vector;
    return OK;
}
