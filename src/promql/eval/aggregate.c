/*
 * aggregate.c - sum by (...) and its like: each column is folded into its group as it comes, so
 * that memory is that of the groups. quantile, topk, bottomk, limitk keep what they choose from.
 */
#include <math.h>

#include "base/array.h"
#include "base/hash.h"
#include "promql/eval/label_edit.h"
#include "promql/eval/precise.h"
#include "promql/eval/window.h"

struct group {
    struct column column; /* the result; what is summed up until then */
    double *lost;         /* of sums; means of squares */
    uint32_t *counts;
};

struct aggregation_vector {
    struct vector vector; /* first */
    struct vector *of;
    const struct node *node;
    const double *params;
    struct name_list names;
    struct arena arena;
    struct group *groups;
    uint32_t group_count;
    uint32_t group_capacity;
    struct table table;
    struct buf labels;
    bool folded;
    uint32_t next;

    struct columns kept; /* quantile and the rankings: what came, */
    uint32_t *group_of;  /* and its groups */
    uint32_t group_of_capacity;
};

static enum err
group_labels(struct aggregation_vector *a, struct bytes labels)
{
    buf_clear(&a->labels);
    if (a->node->aggregation.without)
        labels_drop(&a->labels, labels, &a->names, true);
    else
        labels_keep(&a->labels, labels, &a->names);
    return buf_error(&a->labels);
}

static enum err
group_add(struct aggregation_vector *a, uint64_t hash)
{
    struct budget *budget = a->vector.ev->budget;
    uint32_t steps = a->vector.grid.count;
    struct group g = {.counts = arena_new(&a->arena, steps * sizeof *g.counts)};
    g.lost = arena_new(&a->arena, steps * sizeof *g.lost);
    g.column.values = arena_new(&a->arena, steps * sizeof *g.column.values);
    g.column.present = arena_new(&a->arena, bits_words(steps) * sizeof *g.column.present);
    g.column.labels = arena_copy(&a->arena, buf_bytes(&a->labels));
    if (g.counts == NULL || g.lost == NULL || g.column.values == NULL || g.column.present == NULL ||
        (g.column.labels.at == NULL && a->labels.size > 0) ||
        !table_reserve(&a->table, budget, 1) ||
        !array_reserve(budget, &a->groups, &a->group_capacity, a->group_count + 1)) {
        return ERR_NOMEM;
    }
    table_add(&a->table, hash, a->group_count);
    a->groups[a->group_count++] = g;
    return OK;
}

static enum err
find_group(struct aggregation_vector *a, struct bytes labels, uint32_t *ret_group)
{
    if (group_labels(a, labels)) return ERR_NOMEM;
    uint64_t hash = hash_bytes(buf_bytes(&a->labels), 0);
    for (uint32_t at = TABLE_START, id; table_next(&a->table, hash, &at, &id);) {
        if (!bytes_equal(a->groups[id].column.labels, buf_bytes(&a->labels))) continue;
        *ret_group = id;
        return OK;
    }
    *ret_group = a->group_count;
    return group_add(a, hash);
}

/* --- folding ---------------------------------------------------------------------------------- */

static void
fold_one(struct group *g, enum token_type op, uint32_t i, double x)
{
    double *value = &g->column.values[i], *lost = &g->lost[i];
    uint32_t n = ++g->counts[i];
    bool first = n == 1;
    switch (op) {
    case TOKEN_SUM:
    case TOKEN_AVG:
        if (first) {
            *value = x;
        } else {
            struct precise p = {*value, *lost};
            precise_add(&p, x);
            *value = p.sum;
            *lost = p.lost;
        }
        break;
    case TOKEN_MIN:
        if (first || *value > x || isnan(*value)) *value = x;
        break;
    case TOKEN_MAX:
        if (first || *value < x || isnan(*value)) *value = x;
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

static void
finish_group(struct aggregation_vector *a, struct group *g)
{
    enum token_type op = a->node->aggregation.op;
    for (bits_each(i, g->column.present, a->vector.grid.count)) {
        double *value = &g->column.values[i];
        uint32_t n = g->counts[i];
        switch (op) {
        case TOKEN_SUM:
            if (!isinf(*value)) *value += g->lost[i];
            break;
        case TOKEN_AVG:
            *value = isinf(*value) ? *value / n : *value / n + g->lost[i] / n;
            break;
        case TOKEN_COUNT:
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
    }
}

static enum err
fold(struct aggregation_vector *a, const struct column *c)
{
    uint32_t id;
    if (find_group(a, c->labels, &id)) return eval_no_memory(a->vector.ev);
    struct group *g = &a->groups[id];
    for (bits_each(i, c->present, a->vector.grid.count)) {
        fold_one(g, a->node->aggregation.op, i, c->values[i]);
    }
    bits_add(g->column.present, c->present, a->vector.grid.count);
    return OK;
}

/* --- what chooses among all ------------------------------------------------------------------- */

static bool
keeps_all(enum token_type op)
{
    return op == TOKEN_QUANTILE || op == TOKEN_TOPK || op == TOKEN_BOTTOMK || op == TOKEN_LIMITK;
}

static enum err
keep(struct aggregation_vector *a, const struct column *c)
{
    struct evaluation *ev = a->vector.ev;
    uint32_t id;
    if (find_group(a, c->labels, &id)) return eval_no_memory(ev);
    bits_add(a->groups[id].column.present, c->present, a->vector.grid.count);
    if (columns_add(&a->kept, c, a->vector.grid.count) ||
        !array_reserve(ev->budget, &a->group_of, &a->group_of_capacity, a->kept.count)) {
        return eval_no_memory(ev);
    }
    a->group_of[a->kept.count - 1] = id;
    return OK;
}

/* Does x come before y among the chosen? NaN come last. */
static bool
ranks_before(enum token_type op, double x, double y)
{
    if (isnan(y)) return !isnan(x);
    return op == TOKEN_TOPK ? x > y : x < y;
}

/* Of one group at one step: all but the first k are struck out; `chosen` has room for all. */
static void
choose(struct aggregation_vector *a, uint32_t group, uint32_t step, uint64_t k, uint32_t *chosen)
{
    enum token_type op = a->node->aggregation.op;
    uint64_t count = 0;
    for (uint32_t i = 0; i < a->kept.count; i++) {
        struct column *c = &a->kept.items[i];
        if (a->group_of[i] != group || !bits_has(c->present, step)) continue;
        uint64_t at = count;
        while (op != TOKEN_LIMITK && at > 0 &&
               ranks_before(op, c->values[step], a->kept.items[chosen[at - 1]].values[step])) {
            at--;
        }
        if (at >= k) {
            bits_reset(c->present, step);
            continue;
        }
        if (count == k) bits_reset(a->kept.items[chosen[--count]].present, step);
        memmove(chosen + at + 1, chosen + at, (count - at) * sizeof *chosen);
        chosen[at] = i;
        count++;
    }
}

static enum err
choose_all(struct aggregation_vector *a)
{
    struct evaluation *ev = a->vector.ev;
    uint32_t *chosen = arena_alloc(&a->arena, (a->kept.count + 1) * sizeof *chosen);
    if (chosen == NULL) return eval_no_memory(ev);
    for (uint32_t step = 0; step < a->vector.grid.count; step++) {
        double p = a->params[step];
        if (isnan(p)) return eval_fail(ev, "Parameter value is NaN");
        if (!(fabs(p) < 0x1p63)) return eval_fail(ev, "Scalar value %g overflows int64", p);
        uint64_t k = p < 1 ? 0 : (uint64_t)p;
        for (uint32_t g = 0; g < a->group_count; g++) {
            choose(a, g, step, k, chosen);
        }
    }
    return OK;
}

static enum err
quantiles(struct aggregation_vector *a)
{
    struct evaluation *ev = a->vector.ev;
    double *values = arena_alloc(&a->arena, (a->kept.count + 1) * sizeof *values);
    if (values == NULL) return eval_no_memory(ev);
    for (uint32_t step = 0; step < a->vector.grid.count; step++) {
        double q = a->params[step];
        if (a->group_count > 0 && !(q >= 0 && q <= 1)) {
            notes_add(&ev->notes, NOTE_WARNING, a->node->aggregation.param->at,
                      "quantile value should be between 0 and 1, got %g", q);
        }
        for (uint32_t g = 0; g < a->group_count; g++) {
            uint32_t count = 0;
            for (uint32_t i = 0; i < a->kept.count; i++) {
                const struct column *c = &a->kept.items[i];
                if (a->group_of[i] == g && bits_has(c->present, step)) {
                    values[count++] = c->values[step];
                }
            }
            if (count > 0) a->groups[g].column.values[step] = quantile_of(q, values, count);
        }
    }
    return OK;
}

/* --- the vector ------------------------------------------------------------------------------- */

static enum err
fold_all(struct aggregation_vector *a)
{
    enum token_type op = a->node->aggregation.op;
    struct column *c;
    enum err e;
    while ((e = vector_next(a->of, &c)) == OK && c != NULL) {
        e = keeps_all(op) ? keep(a, c) : fold(a, c);
        if (e) return e;
    }
    if (e) return e;
    if (op == TOKEN_QUANTILE) return quantiles(a);
    if (keeps_all(op)) return choose_all(a);
    for (uint32_t i = 0; i < a->group_count; i++) {
        finish_group(a, &a->groups[i]);
    }
    return OK;
}

static enum err
next(struct vector *v, struct column **ret_column)
{
    struct aggregation_vector *a = (struct aggregation_vector *)v;
    enum token_type op = a->node->aggregation.op;
    enum err e = a->folded ? OK : fold_all(a);
    a->folded = true;
    *ret_column = NULL;
    if (e) return e;
    bool chosen = keeps_all(op) && op != TOKEN_QUANTILE;
    uint32_t count = chosen ? a->kept.count : a->group_count;
    while (a->next < count) {
        struct column *c = chosen ? &a->kept.items[a->next] : &a->groups[a->next].column;
        a->next++;
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
    vector_free(a->of);
    array_free(budget, a->groups, a->group_capacity);
    array_free(budget, a->group_of, a->group_of_capacity);
    table_fini(&a->table, budget);
    columns_fini(&a->kept);
    arena_fini(&a->arena);
    buf_fini(&a->labels);
    mem_free(budget, a, sizeof *a);
}

static enum err
set_up(struct aggregation_vector *a)
{
    struct evaluation *ev = a->vector.ev;
    const struct labels_named *labels = &a->node->aggregation.labels;
    enum token_type op = a->node->aggregation.op;
    struct bytes *names = arena_alloc(&a->arena, (labels->count + 1) * sizeof *names);
    if (names == NULL) return eval_no_memory(ev);
    if (op == TOKEN_COUNT_VALUES || op == TOKEN_LIMIT_RATIO) {
        return eval_fail(ev, "aggregation %s is not supported", token_word(op));
    }
    if (labels->count > 0) memcpy(names, labels->names, labels->count * sizeof *names);
    a->names = name_list_of(names, labels->count);
    if (a->node->aggregation.param == NULL) return OK;
    double *params;
    enum err e = scalar_values(ev, a->node->aggregation.param, &a->vector.grid, &params);
    a->params = params;
    return e;
}

enum err
vector_aggregation_new(struct evaluation *ev, const struct node *node, struct vector *of,
                       struct vector **ret_vector)
{
    static const struct vector_ops ops = {next, aggregation_free};
    struct aggregation_vector *a = mem_new(ev->budget, sizeof *a);
    if (a == NULL) {
        vector_free(of);
        return eval_no_memory(ev);
    }
    a->vector = (struct vector){&ops, ev, of->grid, true};
    a->of = of;
    a->node = node;
    arena_init(&a->arena, ev->budget, 0, 0);
    columns_init(&a->kept, ev->budget);
    buf_init(&a->labels, ev->budget, 64 << 20);
    enum err e = set_up(a);
    if (keeps_all(node->aggregation.op) && node->aggregation.op != TOKEN_QUANTILE) {
        a->vector.one_name = of->one_name;
    }
    if (e) {
        aggregation_free(&a->vector);
        return e;
    }
    *ret_vector = &a->vector;
    return OK;
}
