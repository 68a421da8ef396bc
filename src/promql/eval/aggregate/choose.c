/*
 * choose.c - aggregations that pass on some of the series they get, at some steps: topk, bottomk,
 * limitk, limit_ratio.
 *
 * limitk and limit_ratio decide as series come. topk and bottomk rank: for each group they keep the
 * k best values of each step in a heap with the worst on top. A series is kept as long as one of
 * its values is in a heap; its place is then free for another one.
 *
 * Invariants:
 *
 *  1. `count` of a series is the number of steps at which it is in a heap; held->now includes it.
 *  2. A place without labels has a count of 0 and is in the list of free places.
 *  3. A heap has at most `room` values, and room is at most `most_wanted`.
 *  4. The id of a group in `grouping` is its index in `rankings`, or in `taken`.
 */
#include "base/array.h"
#include "base/hash/hash.h"
#include "base/text/utf8.h"
#include "model/labels.h"
#include "promql/eval/eval.h"
#include "promql/eval/label_sets.h"
#include "promql/eval/select/window.h"
#include "wire/number.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* --- sort, sort_desc, sort_by_label, sort_by_label_desc --------------------------------------- */

/*
 * These functions, topk and bottomk put series in an order, as `or` does, and operators that go
 * from series to series keep it. The order matters only if a query asks for one time: series of a
 * range are given in the order of their labels.
 */

struct sorted_vector {
    struct vector vector; /* first */
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

/* The run of digits, or of other characters, that begins at `from`. */
static struct bytes
run_of(struct bytes text, size_t from)
{
    size_t end = from;
    while (end < text.size && ascii_is_digit(text.at[end]) == ascii_is_digit(text.at[from]))
        end++;
    return bytes_of(text.at + from, end - from);
}

static bool
sorted_is_whole(struct bytes run, int64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < run.size; i++)
        if (!ascii_is_digit(run.at[i]) || __builtin_mul_overflow(*ret, 10, ret) ||
            __builtin_add_overflow(*ret, run.at[i] - '0', ret))
            return false;
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

static enum err
sorted_read_all(struct sorted_vector *s)
{
    struct evaluation *ev = s->vector.ev;
    struct column *c;
    enum err e;
    while ((e = vector_next(s->vector.of, &c)) == OK && c != NULL)
        if (columns_add(&s->kept, c, 1)) return eval_no_memory(ev);
    if (e) return e;
    s->order = arena_alloc(&s->kept.arena, (s->kept.count + 1) * sizeof *s->order);
    if (s->order == NULL) return eval_no_memory(ev);
    for (uint32_t i = 0; i < s->kept.count; i++)
        s->order[i] = i;
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
    columns_fini(&((struct sorted_vector *)v)->kept);
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
        notes_add(&ev->notes, PROMQL_WARNING, call->at,
                  "sort is ineffective for range queries since results are always ordered by "
                  "labels");
        return OK;
    }
    assert(of->grid.count == 1); /* values at one step are compared */
    struct sorted_vector *s = vector_alloc(ev, sizeof *s, &ops, of);
    if (s == NULL) return eval_no_memory(ev);
    s->vector.each_once = of->each_once;
    s->call = call;
    columns_init(&s->kept, ev->budget, &ev->held);
    *ret_vector = &s->vector;
    return OK;
}

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

/* A series with a value in a heap. */
struct ranked_series {
    void *labels; /* NULL if the place is free */
    size_t labels_size;
    uint64_t arrival; /* the earlier one of two series with equal values ranks higher */
    uint32_t count;   /* count of heaps with a value of the series; 0 if the place is free */
    uint32_t next_free;
    bool drops_name;
    bool lost_type;
};

struct ranked_value {
    double value;
    uint32_t id; /* index of the series */
};

/* The heaps of a group. */
struct group_ranking {
    struct step_room at; /* steps with heaps */
    struct ranked_value *heaps;
    uint32_t *counts; /* count of values in the heap of each step */
    uint32_t room;    /* values that each heap has memory for */
};

/* limitk: count of series of a group that were passed on at each step. */
struct taken_counts {
    struct step_room at;
    uint32_t *counts;
};

struct choosing_vector {
    struct vector vector; /* first */
    const struct node *node;
    const double *params;
    struct grouping grouping;
    struct arena arena;

    struct taken_counts *taken; /* by group */
    uint32_t taken_capacity;
    struct buf hashed; /* limit_ratio: scratch */

    struct group_ranking *rankings;
    uint32_t ranking_count;
    uint32_t ranking_capacity;
    struct ranked_series *series;
    uint32_t series_count;
    uint32_t series_capacity;
    uint32_t first_free; /* index + 1 of a free place; 0 if none is free */
    uint64_t arrivals;
    uint32_t most_wanted; /* the most series that are wanted at any step */
    bool ranked;
    struct ranked_value *chosen; /* values of each series in turn; `id` is the step */
    uint32_t *order;             /* indexes of series in the order of the result */
    uint32_t *ends;              /* end of the values of each series in `chosen` */
    uint32_t chosen_count;       /* count of series in `order` */
    uint32_t next;
    struct column result;
};

/* The number of series that may be chosen at a step. */
static uint32_t
wanted(const struct choosing_vector *v, uint32_t step)
{
    double k = v->params[step];
    return k < 1 ? 0 : k > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)k;
}

/* --- limit_ratio ------------------------------------------------------------------------------ */

/* Drops the steps at which a column is not chosen. */
static enum err
pass_by_ratio(struct choosing_vector *v, struct column *c)
{
    uint64_t hash;
    if (labels_prometheus_hash(c->labels, &v->hashed, &hash)) return eval_no_memory(v->vector.ev);
    double place = (double)hash / 0x1p64; /* of the series, between 0 and 1 */
    for (bits_each(i, c->present, v->vector.grid.count)) {
        double r = v->params[i];
        bool chosen = r >= 0 ? place < r : place >= 1 + r;
        if (!chosen) bits_reset(c->present, i);
    }
    return OK;
}

/* --- limitk ----------------------------------------------------------------------------------- */

static enum err
pass_first(struct choosing_vector *v, struct column *c)
{
    struct evaluation *ev = v->vector.ev;
    uint32_t id, steps = v->vector.grid.count, known = v->grouping.count;
    if (grouping_find(&v->grouping, c->labels, &id)) return eval_no_memory(ev);
    if (id == known) {                          /* a new group */
        assert(v->grouping.count == known + 1); /* invariant 4 */
        if (!array_reserve(ev->budget, &v->taken, &v->taken_capacity, id + 1))
            return eval_no_memory(ev);
        v->taken[id] = (struct taken_counts){.counts = NULL};
    }
    struct taken_counts *t = &v->taken[id], before = *t;
    if (room_widen(&t->at, room_of(c->present, steps), steps)) {
        t->counts = room_list(&v->arena, t->at, t->counts, before.at, sizeof *t->counts);
        if (t->counts == NULL) return eval_no_memory(ev);
    }
    for (bits_each(i, c->present, steps))
        if (t->counts[i] < wanted(v, i))
            t->counts[i]++;
        else
            bits_reset(c->present, i);
    return OK;
}

static enum err
pass_next(struct choosing_vector *v, struct column **ret_column)
{
    bool by_ratio = v->node->aggregation.op == TOKEN_LIMIT_RATIO;
    for (;;) {
        struct column *c;
        enum err e = vector_next(v->vector.of, &c);
        *ret_column = NULL;
        if (e || c == NULL) return e;
        e = by_ratio ? pass_by_ratio(v, c) : pass_first(v, c);
        if (e) return e;
        if (bits_count(c->present, v->vector.grid.count) == 0) continue;
        *ret_column = c;
        return OK;
    }
}

/* --- series of a ranking ---------------------------------------------------------------------- */

static enum err
series_add(struct choosing_vector *v, const struct column *c, uint32_t *ret_id)
{
    struct budget *budget = v->vector.ev->budget;
    uint32_t id = v->series_count;
    if (v->first_free > 0) {
        id = v->first_free - 1;
        assert(id < v->series_count);         /* invariant 2 */
        assert(v->series[id].count == 0);     /* invariant 2 */
        assert(v->series[id].labels == NULL); /* invariant 2 */
    } else if (!array_reserve(budget, &v->series, &v->series_capacity, id + 1)) {
        return eval_no_memory(v->vector.ev);
    }
    void *copy = mem_alloc(budget, c->labels.size + 1);
    if (copy == NULL) return eval_no_memory(v->vector.ev);
    if (c->labels.size > 0) memcpy(copy, c->labels.at, c->labels.size);
    if (id == v->series_count)
        v->series_count++;
    else
        v->first_free = v->series[id].next_free;
    v->series[id] = (struct ranked_series){
        .labels = copy,
        .labels_size = c->labels.size,
        .arrival = v->arrivals,
        .drops_name = c->drops_name,
        .lost_type = c->lost_type,
    };
    *ret_id = id;
    return OK;
}

static void
series_forget(struct choosing_vector *v, struct ranked_series *s)
{
    mem_free(v->vector.ev->budget, s->labels, s->labels_size + 1);
    s->labels = NULL;
}

/* Removes a series from the heap of one step. */
static void
series_leave(struct choosing_vector *v, uint32_t id)
{
    struct ranked_series *s = &v->series[id];
    assert(s->count > 0);               /* invariant 1 */
    assert(v->vector.ev->held.now > 0); /* invariant 1 */
    v->vector.ev->held.now--;
    if (--s->count > 0) return;
    series_forget(v, s);
    s->next_free = v->first_free;
    v->first_free = id + 1;
}

/* --- heaps ------------------------------------------------------------------------------------ */

/* NaN ranks last. */
static bool
ranks_before(const struct choosing_vector *v, double x, double y)
{
    if (isnan(y)) return !isnan(x);
    return v->node->aggregation.op == TOKEN_TOPK ? x > y : x < y;
}

static bool
is_worse(const struct choosing_vector *v, const struct ranked_value *a,
         const struct ranked_value *b)
{
    if (ranks_before(v, b->value, a->value)) return true;
    return !ranks_before(v, a->value, b->value) &&
           v->series[a->id].arrival > v->series[b->id].arrival;
}

static void
heap_replace_top(const struct choosing_vector *v, struct ranked_value *heap, uint32_t count,
                 struct ranked_value x)
{
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && is_worse(v, &heap[child + 1], &heap[child])) child++;
        if (!is_worse(v, &heap[child], &x)) break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

static struct ranked_value *
heap_of(const struct group_ranking *r, uint32_t step)
{
    return r->heaps + (size_t)(step - r->at.first) * r->room;
}

static size_t
heaps_bytes(const struct group_ranking *r)
{
    return (size_t)(r->at.end - r->at.first) * r->room * sizeof *r->heaps;
}

/* Gives heaps to the steps `at`, each with room for so many values. */
static enum err
resize(struct choosing_vector *v, struct group_ranking *r, struct step_room at, uint32_t room)
{
    struct evaluation *ev = v->vector.ev;
    struct group_ranking now = {.at = at, .counts = r->counts, .room = room};
    if (at.first != r->at.first || at.end != r->at.end)
        now.counts = room_list(&v->arena, at, r->counts, r->at, sizeof *r->counts);
    if (room > 0) now.heaps = mem_alloc(ev->budget, heaps_bytes(&now));
    if (now.counts == NULL || (room > 0 && now.heaps == NULL)) {
        mem_free(ev->budget, now.heaps, heaps_bytes(&now));
        return eval_no_memory(ev);
    }
    for (uint32_t i = r->at.first; i < r->at.end && r->room > 0; i++)
        memcpy(heap_of(&now, i), heap_of(r, i), r->counts[i] * sizeof *r->heaps);
    mem_free(ev->budget, r->heaps, heaps_bytes(r));
    *r = now;
    return OK;
}

/* The heaps of a column's group, at all steps of the column. */
static enum err
find_ranking(struct choosing_vector *v, const struct column *c, struct group_ranking **ret)
{
    struct evaluation *ev = v->vector.ev;
    uint32_t id, steps = v->vector.grid.count;
    if (grouping_find(&v->grouping, c->labels, &id)) return eval_no_memory(ev);
    assert(id <= v->ranking_count); /* invariant 4 */
    if (id == v->ranking_count) {
        if (!array_reserve(ev->budget, &v->rankings, &v->ranking_capacity, id + 1))
            return eval_no_memory(ev);
        v->rankings[v->ranking_count++] = (struct group_ranking){.room = 0};
    }
    struct group_ranking *r = *ret = &v->rankings[id];
    struct step_room at = r->at;
    return room_widen(&at, room_of(c->present, steps), steps) ? resize(v, r, at, r->room) : OK;
}

/* Adds a value to the heap of its step if it is among the best. *id is the index of its series,
 * UINT32_MAX until it has one. */
static enum err
rank_value(struct choosing_vector *v, struct group_ranking *r, const struct column *c,
           uint32_t step, uint32_t *id)
{
    uint32_t k = wanted(v, step), *count = &r->counts[step];
    bool full = *count >= k;
    enum err e = OK;
    if (k == 0) return OK;
    if (full && !ranks_before(v, c->values[step], heap_of(r, step)->value)) return OK;
    if (!full && *count == r->room) {
        uint32_t room = r->room < 2 ? r->room + 1 : r->room + r->room / 2; /* most are small */
        assert(r->room < v->most_wanted);                                  /* invariant 3 */
        e = resize(v, r, r->at, room < v->most_wanted ? room : v->most_wanted);
    }
    if (e == OK && *id == UINT32_MAX) e = series_add(v, c, id);
    if (e) return e;
    assert(full || *count < r->room); /* invariant 3 */
    struct ranked_value x = {c->values[step], *id}, *heap = heap_of(r, step);
    v->series[*id].count++;
    v->vector.ev->held.now++;
    if (full) {
        uint32_t leaves = heap[0].id;
        heap_replace_top(v, heap, *count, x);
        series_leave(v, leaves);
    } else {
        uint32_t i = (*count)++;
        for (; i > 0 && is_worse(v, &x, &heap[(i - 1) / 2]); i = (i - 1) / 2)
            heap[i] = heap[(i - 1) / 2];
        heap[i] = x;
    }
    return eval_work(v->vector.ev, 32); /* about the depth of the heap */
}

static enum err
rank(struct choosing_vector *v, const struct column *c)
{
    struct evaluation *ev = v->vector.ev;
    struct group_ranking *r = NULL;
    uint32_t id = UINT32_MAX;
    enum err e = find_ranking(v, c, &r);
    if (e) return e;
    v->arrivals++;
    for (bits_each(i, c->present, v->vector.grid.count)) {
        if (column_histogram(c, i) != NULL) {
            note_ignored_histogram(ev, v->node->at, v->node->aggregation.op);
            continue;
        }
        e = rank_value(v, r, c, i, &id);
        if (e) return e;
    }
    return OK;
}

/* --- results of a ranking --------------------------------------------------------------------- */

static int
compare_candidates(const void *a, const void *b, void *context)
{
    return is_worse(context, a, b) ? 1 : -1; /* no two are equal */
}

/* Orders the series of one step: group by group, the best first. */
static uint32_t
order_ranked(struct choosing_vector *v)
{
    uint32_t count = 0;
    for (uint32_t g = 0; g < v->ranking_count; g++) {
        const struct group_ranking *r = &v->rankings[g];
        uint32_t size = r->at.end > 0 ? r->counts[0] : 0; /* without steps there are no counts */
        if (size > 1) qsort_r(r->heaps, size, sizeof *r->heaps, compare_candidates, v);
        for (uint32_t i = 0; i < size; i++)
            v->order[count++] = r->heaps[i].id;
    }
    return count;
}

static int
compare_arrivals(const void *a, const void *b, void *context)
{
    const struct ranked_series *series = context;
    uint64_t x = series[*(const uint32_t *)a].arrival, y = series[*(const uint32_t *)b].arrival;
    return x < y ? -1 : x > y;
}

static uint32_t
order_arrived(struct choosing_vector *v)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < v->series_count; id++)
        if (v->series[id].count > 0) v->order[count++] = id;
    if (count > 1) qsort_r(v->order, count, sizeof *v->order, compare_arrivals, v->series);
    return count;
}

/* Turns the heaps of each step into a list of steps for each series. */
static enum err
list_chosen(struct choosing_vector *v)
{
    struct evaluation *ev = v->vector.ev;
    uint32_t end = 0;
    v->order = arena_alloc(&v->arena, (v->series_count + 1) * sizeof *v->order);
    v->ends = arena_alloc(&v->arena, (v->series_count + 1) * sizeof *v->ends);
    uint32_t *place = arena_alloc(&v->arena, (v->series_count + 1) * sizeof *place);
    if (v->order == NULL || v->ends == NULL || place == NULL) return eval_no_memory(ev);
    uint32_t count = v->vector.grid.count == 1 ? order_ranked(v) : order_arrived(v);
    assert(count <= v->series_count); /* no series is in two groups */
    for (uint32_t i = 0; i < count; i++) {
        place[v->order[i]] = i;
        v->ends[i] = end; /* first the start of its values */
        end += v->series[v->order[i]].count;
    }
    v->chosen = arena_alloc(&v->arena, (size_t)(end + 1) * sizeof *v->chosen);
    if (v->chosen == NULL) return eval_no_memory(ev);
    for (uint32_t g = 0; g < v->ranking_count; g++) {
        const struct group_ranking *r = &v->rankings[g];
        for (uint32_t step = r->at.first; step < r->at.end; step++) {
            for (uint32_t i = 0; i < r->counts[step]; i++) {
                const struct ranked_value *x = heap_of(r, step) + i;
                v->chosen[v->ends[place[x->id]]++] = (struct ranked_value){x->value, step};
            }
        }
    }
    v->chosen_count = count;
    return OK;
}

static enum err
ranked_next(struct choosing_vector *v, struct column **ret_column)
{
    struct column *c;
    enum err e = OK;
    while (!v->ranked && (e = vector_next(v->vector.of, &c)) == OK && c != NULL) {
        e = rank(v, c);
        if (e) break;
    }
    if (!v->ranked && e == OK) e = list_chosen(v);
    v->ranked = true;
    *ret_column = NULL;
    if (e || v->next == v->chosen_count) return e;
    const struct ranked_series *s = &v->series[v->order[v->next]];
    assert(v->ends[v->next] >= s->count); /* invariant 1: it has as many values in `chosen` */
    column_clear(&v->result, v->vector.grid.count);
    for (uint32_t i = v->ends[v->next] - s->count; i < v->ends[v->next]; i++)
        column_set(&v->result, v->chosen[i].id, v->chosen[i].value);
    v->next++;
    v->result.labels = bytes_of(s->labels, s->labels_size);
    v->result.drops_name = s->drops_name;
    v->result.lost_type = s->lost_type;
    *ret_column = &v->result;
    return OK;
}

/* --- result of the choice --------------------------------------------------------------------- */

static bool
is_ranking(const struct choosing_vector *v)
{
    enum token_type op = v->node->aggregation.op;
    return op == TOKEN_TOPK || op == TOKEN_BOTTOMK;
}

static enum err
choosing_next(struct vector *v, struct column **ret_column)
{
    struct choosing_vector *c = (struct choosing_vector *)v;
    return is_ranking(c) ? ranked_next(c, ret_column) : pass_next(c, ret_column);
}

static void
choosing_free(struct vector *vector)
{
    struct choosing_vector *v = (struct choosing_vector *)vector;
    struct budget *budget = vector->ev->budget;
    for (uint32_t i = 0; i < v->ranking_count; i++)
        mem_free(budget, v->rankings[i].heaps, heaps_bytes(&v->rankings[i]));
    for (uint32_t id = 0; id < v->series_count; id++) {
        assert(vector->ev->held.now >= v->series[id].count); /* invariant 1 */
        vector->ev->held.now -= v->series[id].count;
        series_forget(v, &v->series[id]);
    }
    array_free(budget, v->rankings, v->ranking_capacity);
    array_free(budget, v->series, v->series_capacity);
    array_free(budget, v->taken, v->taken_capacity);
    grouping_fini(&v->grouping);
    buf_fini(&v->hashed);
    column_fini(&v->result, budget, vector->grid.count);
    arena_fini(&v->arena);
}

static enum err
fail_with(struct evaluation *ev, double value, const char *what)
{
    char digits[NUMBER_TEXT_BYTES];
    buf_put_text(&ev->error, "Scalar value ");
    buf_put(&ev->error, digits, number_print_sentence(double_bits(value), digits));
    return eval_fail(ev, "%s", what);
}

static void
note_ratio(const struct choosing_vector *v, double ratio, double used)
{
    char digits[NUMBER_TEXT_BYTES + 1];
    digits[number_print_sentence(double_bits(ratio), digits)] = '\0';
    notes_add(&v->vector.ev->notes, PROMQL_WARNING, aggregation_param_at(v->node),
              "ratio value should be between -1 and 1, got %s, capping to %g", digits, used);
}

/* Checks the parameter at all steps; errors and warnings name its extremes. */
static enum err
check_params(const struct choosing_vector *v)
{
    struct evaluation *ev = v->vector.ev;
    struct param_extremes x = param_extremes_of(v->params, v->vector.grid.count);
    if (v->node->aggregation.op == TOKEN_LIMIT_RATIO) {
        if (x.nan) return eval_fail(ev, "Ratio value is NaN");
        if (x.greatest > 1) note_ratio(v, x.greatest, 1);
        if (x.least < -1) note_ratio(v, x.least, -1);
        return OK;
    }
    if (!x.nan && x.greatest < 1) return OK; /* no series is wanted */
    if (x.nan) return eval_fail(ev, "Parameter value is NaN");
    if (x.least <= -0x1p63) return fail_with(ev, x.least, " underflows int64");
    if (x.greatest >= 0x1p63) return fail_with(ev, x.greatest, " overflows int64");
    return OK;
}

static enum err
choose_set_up(struct choosing_vector *v, const struct plan_node *param)
{
    struct evaluation *ev = v->vector.ev;
    double *params;
    if (grouping_of_aggregation(&v->grouping, ev->budget, v->node, bytes_of(NULL, 0)))
        return eval_no_memory(ev);
    enum err e = scalar_values(ev, param, &params);
    if (e) return e;
    v->params = params;
    e = check_params(v);
    if (e || !is_ranking(v)) return e;
    for (uint32_t i = 0; i < v->vector.grid.count; i++)
        if (wanted(v, i) > v->most_wanted) v->most_wanted = wanted(v, i);
    return column_init(&v->result, ev->budget, v->vector.grid.count) ? eval_no_memory(ev) : OK;
}

enum err
vector_choosing_new(struct evaluation *ev, const struct plan_node *x, struct vector *of,
                    struct vector **ret_vector)
{
    static const struct vector_ops ops = {choosing_next, choosing_free};
    struct choosing_vector *v = vector_alloc(ev, sizeof *v, &ops, of);
    if (v == NULL) return eval_no_memory(ev);
    v->vector.each_once = of->each_once;
    v->node = x->node;
    arena_init(&v->arena, ev->budget, 0, 0);
    buf_init(&v->hashed, ev->budget, 64 << 20);
    return vector_give(&v->vector, choose_set_up(v, plan_scalars(x->first)), ret_vector);
}
