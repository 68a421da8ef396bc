/*
 * aggregate.c - sum by (...) and other aggregations that give a series per group.
 *
 * Each column is folded into its group as it comes, so that memory is that of the groups alone;
 * only quantile keeps all columns. Steps at which a column has floats alone are folded 64 at a
 * time. Aggregations that pass series on are those of choose.c.
 *
 * Invariants:
 *
 *  1. The id of a group in `grouping` is its index in `groups`.
 *  2. All lists of a group have the room `column.kept`, which includes the steps that are present.
 *  3. A group that is present at a step has folded at least one value there.
 *  4. Histograms are summed up only in groups that are not `floats_only`.
 */
#include <assert.h>
#include <math.h>

#include "base/array.h"
#include "base/precise.h"
#include "base/text/quote.h"
#include "promql/eval/label_sets.h"
#include "promql/eval/select/window.h"

/* Bits that describe the values that a group has folded at a step. */
enum {
    HAD_FLOAT = 1,
    HAD_HISTOGRAM = 2,
    HAD_MIXED_SCHEMAS = 4, /* exponential and custom buckets: there is no result */
    MEAN_MOVES = 8,        /* the sum is infinite: the value is a running mean */
    HAD_RESET = 16,        /* a histogram after a reset */
    HAD_NO_RESET = 32,     /* a histogram that is not after a reset */
};

struct fold_group {
    struct column column; /* sums while columns are folded, then the result */
    double *lost;         /* lost part of a sum; for stddev and stdvar the mean */
    uint32_t *counts;
    uint8_t *had;
    struct fhist **sums; /* sums of histograms; NULL without histograms */
    bool floats_only;    /* no histograms were folded */
};

struct aggregation_vector {
    struct vector vector; /* first */
    const struct node *node;
    const double *params;
    struct bytes value_label; /* count_values */
    struct grouping grouping;
    struct arena arena;
    struct fold_group *groups;
    uint32_t group_count;
    uint32_t group_capacity;
    struct buf valued; /* labels of a series with its value */
    struct buf value;
    bool folded;
    uint32_t next;

    struct columns kept; /* quantile: the columns */
    uint32_t *group_of;  /* quantile: the group of each column */
    uint32_t group_of_capacity;
};

/* Widens the lists of a group to include `more`. */
static enum err
aggregate_make_room(struct aggregation_vector *a, struct fold_group *g, struct step_room more)
{
    struct step_room before = g->column.kept, room = before;
    if (!room_widen(&room, more, a->vector.grid.count)) return OK;
    g->counts = room_list(&a->arena, room, g->counts, before, sizeof *g->counts);
    g->lost = room_list(&a->arena, room, g->lost, before, sizeof *g->lost);
    g->had = room_list(&a->arena, room, g->had, before, sizeof *g->had);
    g->column.values =
        room_list(&a->arena, room, g->column.values, before, sizeof *g->column.values);
    if (g->sums != NULL) {
        g->sums = room_list(&a->arena, room, g->sums, before, sizeof *g->sums);
        if (g->sums == NULL) return eval_no_memory(a->vector.ev);
    }
    if (g->counts == NULL || g->lost == NULL || g->had == NULL || g->column.values == NULL)
        return eval_no_memory(a->vector.ev);
    assert(room.end <= a->vector.grid.count);
    g->column.kept = room;
    /* The value before the first one is folded, which then becomes the value: -0 for sums, and NaN,
     * which is neither the least nor the greatest. */
    enum token_type op = a->node->aggregation.op;
    double begin = op == TOKEN_MIN || op == TOKEN_MAX   ? NAN
                   : op == TOKEN_SUM || op == TOKEN_AVG ? -0.0
                                                        : 0;
    for (uint32_t i = room.first; i < room.end; i++)
        if (before.end == 0 || i < before.first || i >= before.end) g->column.values[i] = begin;
    return OK;
}

static enum err
find_group(struct aggregation_vector *a, struct bytes labels, uint32_t *ret_id)
{
    if (grouping_find(&a->grouping, labels, ret_id)) return ERR_NOMEM;
    if (*ret_id < a->group_count) return OK;
    assert(*ret_id == a->group_count); /* invariant 1 */
    size_t words = bits_words(a->vector.grid.count);
    struct fold_group g = {.floats_only = true};
    g.column.present = arena_new(&a->arena, words * sizeof *g.column.present);
    if (g.column.present == NULL ||
        !array_reserve(a->vector.ev->budget, &a->groups, &a->group_capacity, a->group_count + 1))
        return ERR_NOMEM;
    a->groups[a->group_count++] = g;
    return OK;
}

/* --- folding ---------------------------------------------------------------------------------- */

/* Folds the n-th value of a mean, which becomes a running mean if the sum is infinite. */
static void
fold_mean(struct fold_group *g, uint32_t i, uint32_t n, double x)
{
    struct precise p = {g->column.values[i], g->lost[i]};
    if ((g->had[i] & MEAN_MOVES) == 0) {
        struct precise more = p;
        precise_add(&more, x);
        if (!isinf(more.sum)) {
            g->column.values[i] = more.sum;
            g->lost[i] = more.lost;
            return;
        }
        g->had[i] |= MEAN_MOVES;
        p = (struct precise){p.sum / (n - 1), p.lost / (n - 1)};
    }
    double q = (double)(n - 1) / n;
    p = (struct precise){q * p.sum, q * p.lost};
    precise_add(&p, x / n);
    g->column.values[i] = p.sum;
    g->lost[i] = p.lost;
}

static inline void
fold_float(struct fold_group *g, enum token_type op, uint32_t i, double x)
{
    double *value = &g->column.values[i], *lost = &g->lost[i];
    if ((g->had[i] & HAD_MIXED_SCHEMAS) != 0) return;
    uint32_t n = ++g->counts[i];
    g->had[i] |= HAD_FLOAT;
    switch (op) {
    case TOKEN_SUM: {
        struct precise p = {*value, *lost};
        precise_add(&p, x);
        *value = p.sum;
        *lost = p.lost;
        break;
    }
    case TOKEN_AVG:
        if (n == 1)
            *value = x;
        else
            fold_mean(g, i, n, x);
        break;
    case TOKEN_MIN:
        if (*value > x || isnan(*value)) *value = x;
        break;
    case TOKEN_MAX:
        if (*value < x || isnan(*value)) *value = x;
        break;
    case TOKEN_STDDEV:
    case TOKEN_STDVAR: { /* `lost` is the mean */
        double before = x - *lost;
        *lost += before / n;
        *value += before * (x - *lost);
        break;
    }
    default:
        break;
    }
}

/* precise_add() for 64 sums, in a form that the compiler vectorizes. */
static void
add_64(double *restrict sums, double *restrict lost, const double *restrict x)
{
    for (unsigned i = 0; i < 64; i++) {
        double sum = sums[i], t = sum + x[i];
        double if_greater = (sum - t) + x[i], if_less = (x[i] - t) + sum;
        double more = lost[i] + (fabs(sum) >= fabs(x[i]) ? if_greater : if_less);
        lost[i] = isinf(t) ? 0 : more;
        sums[i] = t;
    }
}

static bool
may_add_means_64(const double *restrict sums, const uint8_t *restrict had, const double *restrict x)
{
    unsigned cannot = 0;
    for (unsigned i = 0; i < 64; i++)
        cannot |= isinf(sums[i] + x[i]) | (had[i] & MEAN_MOVES);
    return cannot == 0;
}

static void
fold_extremes_64(double *restrict values, const double *restrict x, bool least)
{
    for (unsigned i = 0; i < 64; i++) {
        bool better = least ? values[i] > x[i] : values[i] < x[i];
        values[i] = better || isnan(values[i]) ? x[i] : values[i];
    }
}

/* Folds 64 steps from `i` on, which all have a float, into a group that had floats alone. False:
 * they must be folded one by one. */
static bool
fold_64(struct fold_group *g, enum token_type op, uint32_t i, const double *x)
{
    double *values = g->column.values + i;
    uint8_t *had = g->had + i;
    uint32_t *counts = g->counts + i;
    switch (op) {
    case TOKEN_SUM:
        add_64(values, g->lost + i, x);
        break;
    case TOKEN_AVG:
        if (!may_add_means_64(values, had, x)) return false;
        add_64(values, g->lost + i, x);
        break;
    case TOKEN_MIN:
    case TOKEN_MAX:
        fold_extremes_64(values, x, op == TOKEN_MIN);
        break;
    case TOKEN_STDDEV:
    case TOKEN_STDVAR:
        return false;
    default: /* counts */
        break;
    }
    for (unsigned k = 0; k < 64; k++) {
        counts[k]++;
        had[k] |= HAD_FLOAT;
    }
    return true;
}

static void
fold_floats(struct fold_group *g, enum token_type op, const struct column *c, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i += 64) {
        uint64_t present = c->present[i / 64];
        if (present == UINT64_MAX && g->floats_only && fold_64(g, op, i, c->values + i)) continue;
        for (; present != 0; present &= present - 1) {
            uint32_t k = i + (uint32_t)__builtin_ctzll(present);
            fold_float(g, op, k, c->values[k]);
        }
    }
    bits_add(g->column.present, c->present, steps);
}

/* Folds a histogram into the sum of a group, for sum and avg. */
static enum err
add_histogram(struct aggregation_vector *a, struct fold_group *g, uint32_t i, const struct fhist *h,
              struct bytes labels)
{
    struct evaluation *ev = a->vector.ev;
    struct text_span at = a->node->aggregation.expr->at;
    struct fhist_outcome outcome;
    assert(!g->floats_only); /* invariant 4 */
    assert(i >= g->column.kept.first);
    assert(i < g->column.kept.end); /* invariant 2 */
    if ((g->had[i] & HAD_MIXED_SCHEMAS) != 0) return OK;
    uint32_t n = ++g->counts[i];
    g->had[i] |= HAD_HISTOGRAM;
    if (h->hint == RESET_YES) g->had[i] |= HAD_RESET;
    if (h->hint == RESET_NO) g->had[i] |= HAD_NO_RESET;
    if (n == 1) {
        if (g->sums == NULL) {
            g->sums = room_list(&a->arena, g->column.kept, NULL, (struct step_room){0, 0},
                                sizeof *g->sums);
            if (g->sums == NULL) return eval_no_memory(a->vector.ev);
        }
        g->sums[i] = arena_alloc(&a->arena, sizeof **g->sums);
        if (g->sums[i] == NULL || fhist_begin(&a->arena, h, true, g->sums[i]))
            return eval_no_memory(a->vector.ev);
        return OK;
    }
    struct fhist *sum = g->sums == NULL ? NULL : g->sums[i];
    if (sum == NULL) return OK; /* the first value was a float: there is no result */
    bool average = a->node->aggregation.op == TOKEN_AVG;
    if (average && (g->had[i] & MEAN_MOVES) == 0 && fhist_overflows(sum, h)) {
        g->had[i] |= MEAN_MOVES;
        fhist_divide(sum, n - 1);
    }
    struct fhist share;
    if ((g->had[i] & MEAN_MOVES) != 0) {
        if (fhist_begin(&a->arena, h, false, &share)) return eval_no_memory(ev);
        fhist_divide(&share, n);
        fhist_multiply(sum, (double)(n - 1) / n);
        h = &share;
    }
    if (fhist_add(&a->arena, sum, h, 1, &outcome)) return eval_no_memory(ev);
    if (outcome.incompatible) {
        g->had[i] |= HAD_MIXED_SCHEMAS;
        note_mixed_schemas(ev, at, labels);
    }
    if (outcome.reconciled) note_reconciled(ev, at, "aggregation");
    return OK;
}

/* False, with a note, if the operator ignores histograms. */
static bool
takes_histograms(const struct aggregation_vector *a)
{
    enum token_type op = a->node->aggregation.op;
    if (op == TOKEN_COUNT || op == TOKEN_GROUP || op == TOKEN_SUM || op == TOKEN_AVG) return true;
    note_ignored_histogram(a->vector.ev, a->node->aggregation.expr->at, op);
    return false;
}

static enum err
aggregate_fold(struct aggregation_vector *a, const struct column *c)
{
    uint32_t id;
    enum token_type op = a->node->aggregation.op;
    if (find_group(a, c->labels, &id)) return eval_no_memory(a->vector.ev);
    struct fold_group *g = &a->groups[id];
    enum err e = aggregate_make_room(a, g, room_of(c->present, a->vector.grid.count));
    if (e) return e;
    g->column.drops_name |= c->drops_name;
    if (c->histograms == NULL) {
        fold_floats(g, op, c, a->vector.grid.count);
        return OK;
    }
    g->floats_only = false;
    for (bits_each(i, c->present, a->vector.grid.count)) {
        const struct fhist *h = column_histogram(c, i);
        if (h == NULL)
            fold_float(g, op, i, c->values[i]);
        else if (!takes_histograms(a))
            continue;
        else if (op == TOKEN_SUM || op == TOKEN_AVG)
            e = add_histogram(a, g, i, h, c->labels);
        else
            g->counts[i]++;
        if (e) return e;
        bits_set(g->column.present, i);
    }
    return OK;
}

/* --- results ---------------------------------------------------------------------------------- */

static enum err
finish_sum(struct aggregation_vector *a, struct fold_group *g, uint32_t i)
{
    struct evaluation *ev = a->vector.ev;
    struct text_span at = a->node->aggregation.expr->at;
    bool average = a->node->aggregation.op == TOKEN_AVG, moves = (g->had[i] & MEAN_MOVES) != 0;
    bool mixed = (g->had[i] & HAD_FLOAT) != 0 && (g->had[i] & HAD_HISTOGRAM) != 0;
    uint32_t n = g->counts[i];
    double *value = &g->column.values[i];
    if (mixed) {
        notes_add(&ev->notes, PROMQL_WARNING, at,
                  "encountered a mix of histograms and floats for aggregation");
    }
    if (mixed || (g->had[i] & HAD_MIXED_SCHEMAS) != 0) {
        bits_reset(g->column.present, i);
        return OK;
    }
    if ((g->had[i] & HAD_HISTOGRAM) == 0) {
        if (!average)
            *value = isinf(*value) ? *value : *value + g->lost[i];
        else
            *value = moves ? *value + g->lost[i] : *value / n + g->lost[i] / n;
        return OK;
    }
    struct fhist *sum = g->sums[i];
    if ((g->had[i] & HAD_RESET) != 0 && (g->had[i] & HAD_NO_RESET) != 0)
        note_reset_collision(ev, at, "aggregation");
    if (average && !moves) fhist_divide(sum, n);
    fhist_settle(sum);
    fhist_compact(sum);
    return OK;
}

static enum err
finish_group(struct aggregation_vector *a, struct fold_group *g)
{
    enum token_type op = a->node->aggregation.op;
    for (bits_each(i, g->column.present, a->vector.grid.count)) {
        double *value = &g->column.values[i];
        uint32_t n = g->counts[i];
        enum err e = OK;
        assert(n > 0); /* invariant 3 */
        switch (op) {
        case TOKEN_SUM:
        case TOKEN_AVG:
            e = finish_sum(a, g, i);
            break;
        case TOKEN_COUNT:
        case TOKEN_COUNT_VALUES:
            *value = n;
            break;
        case TOKEN_GROUP:
            *value = 1;
            break;
        case TOKEN_STDDEV:
            *value = sqrt(*value / n);
            break;
        case TOKEN_STDVAR:
            *value /= n;
            break;
        default:
            break;
        }
        if (e) return e;
    }
    if (g->sums == NULL) return OK;
    assert(!g->floats_only); /* invariant 4 */
    struct step_room kept = g->column.kept;
    g->column.histograms = room_list(&a->arena, kept, g->sums, kept, sizeof *g->column.histograms);
    return g->column.histograms == NULL ? eval_no_memory(a->vector.ev) : OK;
}

/* --- count_values ----------------------------------------------------------------------------- */

static enum err
fold_values(struct aggregation_vector *a, const struct column *c)
{
    enum { VALUE_WORK = 512 }; /* work of printing a value and finding its group */
    struct evaluation *ev = a->vector.ev;
    uint32_t id = 0;
    bool known = false;
    uint64_t bits = 0;
    for (bits_each(i, c->present, a->vector.grid.count)) {
        const struct fhist *h = column_histogram(c, i);
        if (h != NULL || !known || bits != double_bits(c->values[i])) {
            known = h == NULL;
            bits = double_bits(c->values[i]);
            buf_clear(&a->value);
            buf_clear(&a->valued);
            if (h != NULL)
                fhist_print(h, &a->value);
            else
                tree_print_number(c->values[i], &a->value);
            enum err e = eval_work(ev, VALUE_WORK);
            if (e) return e;
            labels_with(&a->valued, c->labels,
                        (struct label){a->value_label, buf_bytes(&a->value)});
            if (buf_error(&a->value) || buf_error(&a->valued) ||
                find_group(a, buf_bytes(&a->valued), &id))
                return eval_no_memory(ev);
        }
        struct fold_group *g = &a->groups[id];
        enum err e = aggregate_make_room(a, g, (struct step_room){i, i + 1});
        if (e) return e;
        g->counts[i]++;
        bits_set(g->column.present, i);
    }
    return OK;
}

/* --- quantile --------------------------------------------------------------------------------- */

static enum err
aggregate_keep(struct aggregation_vector *a, struct column *c)
{
    struct evaluation *ev = a->vector.ev;
    uint32_t id;
    for (bits_each(i, c->present, a->vector.grid.count))
        if (column_histogram(c, i) != NULL && !takes_histograms(a)) bits_reset(c->present, i);
    if (bits_count(c->present, a->vector.grid.count) == 0) return OK;
    if (find_group(a, c->labels, &id)) return eval_no_memory(ev);
    enum err e = aggregate_make_room(a, &a->groups[id], room_of(c->present, a->vector.grid.count));
    if (e) return e;
    bits_add(a->groups[id].column.present, c->present, a->vector.grid.count);
    if (columns_add(&a->kept, c, a->vector.grid.count) ||
        !array_reserve(ev->budget, &a->group_of, &a->group_of_capacity, a->kept.count))
        return eval_no_memory(ev);
    a->group_of[a->kept.count - 1] = id;
    return OK;
}

/* Indexes of the kept columns by group, in the order in which they came; those of group g end
 * before ends[g]. */
struct group_members {
    uint32_t *ids;
    uint32_t *ends;
};

static enum err
list_members(struct aggregation_vector *a, struct group_members *ret)
{
    uint32_t begin = 0;
    ret->ids = arena_alloc(&a->arena, (a->kept.count + 1) * sizeof *ret->ids);
    ret->ends = arena_new(&a->arena, (a->group_count + 1) * sizeof *ret->ends);
    if (ret->ids == NULL || ret->ends == NULL) return eval_no_memory(a->vector.ev);
    for (uint32_t i = 0; i < a->kept.count; i++)
        ret->ends[a->group_of[i]]++;
    for (uint32_t g = 0; g < a->group_count; g++) {
        uint32_t count = ret->ends[g];
        ret->ends[g] = begin;
        begin += count;
    }
    assert(begin == a->kept.count); /* each column is in one group */
    for (uint32_t i = 0; i < a->kept.count; i++)
        ret->ids[ret->ends[a->group_of[i]]++] = i;
    return OK;
}

static enum err
quantiles(struct aggregation_vector *a)
{
    struct evaluation *ev = a->vector.ev;
    struct group_members m;
    double *values = arena_alloc(&a->arena, (a->kept.count + 1) * sizeof *values);
    if (values == NULL) return eval_no_memory(ev);
    enum err e = list_members(a, &m);
    for (uint32_t step = 0; step < a->vector.grid.count && e == OK; step++) {
        double q = a->params[step];
        for (uint32_t g = 0, begin = 0; g < a->group_count && e == OK; begin = m.ends[g++]) {
            uint32_t count = 0;
            for (uint32_t at = begin; at < m.ends[g]; at++) {
                const struct column *c = &a->kept.items[m.ids[at]];
                if (bits_has(c->present, step)) values[count++] = c->values[step];
            }
            if (count > 0) a->groups[g].column.values[step] = quantile_of(q, values, count);
            e = eval_work(ev, m.ends[g] - begin);
        }
    }
    return e;
}

/* --- result of the aggregation ---------------------------------------------------------------- */

enum folding
folding_of(enum token_type op)
{
    switch (op) {
    case TOKEN_QUANTILE:
        return FOLD_KEPT;
    case TOKEN_TOPK:
    case TOKEN_BOTTOMK:
        return FOLD_RANKED;
    case TOKEN_LIMITK:
    case TOKEN_LIMIT_RATIO:
        return FOLD_PASSED;
    default:
        return op == TOKEN_COUNT_VALUES ? FOLD_VALUES : FOLD_GROUPS;
    }
}

static enum err
fold_all(struct aggregation_vector *a)
{
    enum folding folding = folding_of(a->node->aggregation.op);
    struct column *c;
    enum err e;
    while ((e = vector_next(a->vector.of, &c)) == OK && c != NULL) {
        e = folding == FOLD_KEPT     ? aggregate_keep(a, c)
            : folding == FOLD_VALUES ? fold_values(a, c)
                                     : aggregate_fold(a, c);
        if (e) return e;
    }
    if (e) return e;
    if (folding == FOLD_KEPT) return quantiles(a);
    for (uint32_t i = 0; i < a->group_count && e == OK; i++) {
        e = eval_work(a->vector.ev, a->vector.grid.count);
        if (e == OK) e = finish_group(a, &a->groups[i]);
    }
    return e;
}

static enum err
aggregation_next(struct vector *v, struct column **ret_column)
{
    struct aggregation_vector *a = (struct aggregation_vector *)v;
    enum err e = a->folded ? OK : fold_all(a);
    a->folded = true;
    *ret_column = NULL;
    if (e) return e;
    assert(a->group_count == a->grouping.count); /* invariant 1 */
    while (a->next < a->group_count) {
        uint32_t id = a->next++;
        struct column *c = &a->groups[id].column;
        c->labels = a->grouping.labels[id];
        if (bits_count(c->present, v->grid.count) == 0) continue;
        *ret_column = c;
        return OK;
    }
    return OK;
}

static void
aggregation_free(struct vector *v)
{
    struct aggregation_vector *a = (struct aggregation_vector *)v;
    struct budget *budget = v->ev->budget;
    array_free(budget, a->groups, a->group_capacity);
    array_free(budget, a->group_of, a->group_of_capacity);
    grouping_fini(&a->grouping);
    columns_fini(&a->kept);
    arena_fini(&a->arena);
    buf_fini(&a->valued);
    buf_fini(&a->value);
}

static void
note_quantile(const struct aggregation_vector *a, double q)
{
    notes_add_number(&a->vector.ev->notes, PROMQL_WARNING, aggregation_param_at(a->node),
                     "quantile value should be between 0 and 1, got ", q);
}

static enum err
aggregate_set_up(struct aggregation_vector *a, const struct plan_node *x)
{
    struct evaluation *ev = a->vector.ev;
    const struct node *node = a->node;
    bool values = node->aggregation.op == TOKEN_COUNT_VALUES;
    if (values) a->value_label = node_inside(node->aggregation.param)->string;
    if (grouping_of_aggregation(&a->grouping, ev->budget, node, a->value_label))
        return eval_no_memory(ev);
    if (node->aggregation.op == TOKEN_QUANTILE) {
        double *params;
        enum err e = scalar_values(ev, plan_scalars(x->first), &params);
        if (e) return e;
        a->params = params;
        struct param_extremes most = param_extremes_of(params, a->vector.grid.count);
        if (most.nan) note_quantile(a, NAN);
        if (most.greatest > 1) note_quantile(a, most.greatest);
        if (most.least < 0) note_quantile(a, most.least);
        return OK;
    }
    if (!values || label_name_is_valid(a->value_label)) return OK;
    buf_put_text(&ev->error, "invalid label name ");
    quote_text(&ev->error, a->value_label);
    return ERR_INPUT;
}

/* True if results may have a name: by (__name__), or a name that is made of values. */
static bool
may_have_name(const struct node *node)
{
    if (node->aggregation.op == TOKEN_COUNT_VALUES) return true;
    for (uint32_t i = 0; i < node->aggregation.labels.count && !node->aggregation.without; i++)
        if (bytes_equal_text(node->aggregation.labels.names[i], "__name__")) return true;
    return false;
}

enum err
vector_aggregation_new(struct evaluation *ev, const struct plan_node *x, struct vector *of,
                       struct vector **ret_vector)
{
    static const struct vector_ops ops = {aggregation_next, aggregation_free};
    struct aggregation_vector *a = vector_alloc(ev, sizeof *a, &ops, of);
    if (a == NULL) return eval_no_memory(ev);
    a->vector.one_name = !may_have_name(x->node);
    a->vector.each_once = true;
    a->node = x->node;
    arena_init(&a->arena, ev->budget, 0, 0);
    columns_init(&a->kept, ev->budget, &ev->held);
    buf_init(&a->valued, ev->budget, 64 << 20);
    buf_init(&a->value, ev->budget, 64 << 20);
    return vector_give(&a->vector, aggregate_set_up(a, x), ret_vector);
}
