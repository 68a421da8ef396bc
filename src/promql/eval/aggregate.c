/*
 * aggregate.c - sum by (...) and its like: each column is folded into its group as it comes, so
 * that memory is that of the groups. quantile, topk, bottomk, limitk keep what they choose from.
 */
#include <math.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/quote.h"
#include "promql/eval/label_edit.h"
#include "promql/eval/window.h"
#include "promql/histogram/precise.h"
#include "wire/number.h"

/* What a group has had at a step. */
enum {
    HAD_FLOAT = 1,
    HAD_HISTOGRAM = 2,
    HAD_MIXED_SCHEMAS = 4, /* there is no result */
    HAD_RESET = 8,
    HAD_NO_RESET = 16,
    MEAN_MOVES = 32, /* the sum would not fit: it is the mean already */
};

struct group {
    struct column column; /* the result; what is summed up until then */
    double *lost;         /* of sums; means of squares */
    uint32_t *counts;
    uint8_t *had;
    struct fhist **sums; /* of histograms; NULL: there were none */
};

struct aggregation_vector {
    struct vector vector; /* first */
    struct vector *of;
    const struct node *node;
    const double *params;
    struct bytes value_label; /* of count_values */
    struct name_list names;
    struct arena arena;
    struct group *groups;
    uint32_t group_count;
    uint32_t group_capacity;
    struct table table;
    struct buf labels;
    struct buf valued; /* labels with a value among them */
    struct buf value;
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
    g.had = arena_new(&a->arena, steps);
    g.column.values = arena_new(&a->arena, steps * sizeof *g.column.values);
    g.column.present = arena_new(&a->arena, bits_words(steps) * sizeof *g.column.present);
    g.column.labels = arena_copy(&a->arena, buf_bytes(&a->labels));
    if (g.counts == NULL || g.lost == NULL || g.had == NULL || g.column.values == NULL ||
        g.column.present == NULL || (g.column.labels.at == NULL && a->labels.size > 0) ||
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

/* The n-th value of a mean. Where the sum does not fit, the mean is moved along. */
static void
fold_mean(struct group *g, uint32_t i, uint32_t n, double x)
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
fold_float(struct group *g, enum token_type op, uint32_t i, double x)
{
    double *value = &g->column.values[i], *lost = &g->lost[i];
    if ((g->had[i] & HAD_MIXED_SCHEMAS) != 0) return;
    uint32_t n = ++g->counts[i];
    bool first = n == 1;
    g->had[i] |= HAD_FLOAT;
    switch (op) {
    case TOKEN_SUM: {
        struct precise p = {*value, *lost};
        precise_add(&p, x);
        *value = first ? x : p.sum;
        *lost = first ? 0 : p.lost;
        break;
    }
    case TOKEN_AVG:
        if (first)
            *value = x;
        else
            fold_mean(g, i, n, x);
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

/* With the operator known, the compiler makes a loop of its own for each. */
#define FOLD_EACH(op)                           \
    case op:                                    \
        for (bits_each(i, c->present, steps)) { \
            fold_float(g, op, i, c->values[i]); \
        }                                       \
        break

static void
fold_floats(struct group *g, enum token_type op, const struct column *c, uint32_t steps)
{
    switch (op) {
        FOLD_EACH(TOKEN_SUM);
        FOLD_EACH(TOKEN_AVG);
        FOLD_EACH(TOKEN_MIN);
        FOLD_EACH(TOKEN_MAX);
        FOLD_EACH(TOKEN_STDDEV);
        FOLD_EACH(TOKEN_STDVAR);
    default: /* those that count */
        FOLD_EACH(TOKEN_COUNT);
    }
    bits_add(g->column.present, c->present, steps);
}

static enum err
begin_sum(struct aggregation_vector *a, struct group *g, uint32_t i, const struct fhist *h)
{
    if (g->sums == NULL) {
        g->sums = arena_new(&a->arena, a->vector.grid.count * sizeof *g->sums);
        if (g->sums == NULL) return eval_no_memory(a->vector.ev);
    }
    g->sums[i] = arena_alloc(&a->arena, sizeof **g->sums);
    if (g->sums[i] == NULL || fhist_begin(&a->arena, h, true, g->sums[i])) {
        return eval_no_memory(a->vector.ev);
    }
    return OK;
}

/* sum and avg */
static enum err
add_histogram(struct aggregation_vector *a, struct group *g, uint32_t i, const struct fhist *h,
              struct bytes labels)
{
    struct evaluation *ev = a->vector.ev;
    struct span at = a->node->aggregation.expr->at;
    struct fhist_outcome outcome;
    if ((g->had[i] & HAD_MIXED_SCHEMAS) != 0) return OK;
    uint32_t n = ++g->counts[i];
    g->had[i] |= HAD_HISTOGRAM;
    if (n == 1) {
        if (h->hint == RESET_YES) g->had[i] |= HAD_RESET;
        if (h->hint == RESET_NO) g->had[i] |= HAD_NO_RESET;
        return begin_sum(a, g, i, h);
    }
    struct fhist *sum = g->sums == NULL ? NULL : g->sums[i];
    if (sum == NULL) return OK; /* floats came first: there will be no result */
    if (h->hint == RESET_YES) g->had[i] |= HAD_RESET;
    if (h->hint == RESET_NO) g->had[i] |= HAD_NO_RESET;
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

/* Most operators have no use for them. False: it does not count. */
static bool
takes_histograms(const struct aggregation_vector *a)
{
    enum token_type op = a->node->aggregation.op;
    if (op == TOKEN_COUNT || op == TOKEN_GROUP || op == TOKEN_LIMITK || op == TOKEN_SUM ||
        op == TOKEN_AVG) {
        return true;
    }
    bool ranks = op == TOKEN_TOPK || op == TOKEN_BOTTOMK;
    notes_add(&a->vector.ev->notes, NOTE_INFO, ranks ? a->node->at : a->node->aggregation.expr->at,
              "ignored histogram in %s aggregation", token_word(op));
    return false;
}

static enum err
fold(struct aggregation_vector *a, const struct column *c)
{
    uint32_t id;
    enum token_type op = a->node->aggregation.op;
    if (find_group(a, c->labels, &id)) return eval_no_memory(a->vector.ev);
    struct group *g = &a->groups[id];
    g->column.drops_name |= c->drops_name;
    if (c->histograms == NULL) {
        fold_floats(g, op, c, a->vector.grid.count);
        return OK;
    }
    for (bits_each(i, c->present, a->vector.grid.count)) {
        const struct fhist *h = column_histogram(c, i);
        enum err e = OK;
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
finish_sum(struct aggregation_vector *a, struct group *g, uint32_t i)
{
    struct evaluation *ev = a->vector.ev;
    struct span at = a->node->aggregation.expr->at;
    bool average = a->node->aggregation.op == TOKEN_AVG, moves = (g->had[i] & MEAN_MOVES) != 0;
    bool mixed = (g->had[i] & HAD_FLOAT) != 0 && (g->had[i] & HAD_HISTOGRAM) != 0;
    uint32_t n = g->counts[i];
    double *value = &g->column.values[i];
    if (mixed) {
        notes_add(&ev->notes, NOTE_WARNING, at,
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
    if ((g->had[i] & HAD_RESET) != 0 && (g->had[i] & HAD_NO_RESET) != 0) {
        note_collision(ev, at, "aggregation");
    }
    struct fhist *sum = g->sums[i];
    if (average && !moves) fhist_divide(sum, n);
    fhist_settle(sum);
    fhist_compact(sum);
    return OK;
}

static enum err
give_histograms(struct aggregation_vector *a, struct group *g)
{
    uint32_t steps = a->vector.grid.count;
    if (g->sums == NULL) return OK;
    g->column.histograms = arena_alloc(&a->arena, steps * sizeof *g->column.histograms);
    if (g->column.histograms == NULL) return eval_no_memory(a->vector.ev);
    for (uint32_t i = 0; i < steps; i++) {
        g->column.histograms[i] = g->sums[i];
    }
    return OK;
}

static enum err
finish_group(struct aggregation_vector *a, struct group *g)
{
    enum token_type op = a->node->aggregation.op;
    for (bits_each(i, g->column.present, a->vector.grid.count)) {
        double *value = &g->column.values[i];
        uint32_t n = g->counts[i];
        enum err e = OK;
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
    return give_histograms(a, g);
}

/* --- count_values ----------------------------------------------------------------------------- */

static enum err
fold_values(struct aggregation_vector *a, const struct column *c)
{
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
            labels_with(&a->valued, c->labels,
                        (struct label){a->value_label, buf_bytes(&a->value)});
            if (buf_error(&a->value) || buf_error(&a->valued) ||
                find_group(a, buf_bytes(&a->valued), &id)) {
                return eval_no_memory(ev);
            }
        }
        a->groups[id].counts[i]++;
        bits_set(a->groups[id].column.present, i);
    }
    return OK;
}

/* --- limit_ratio ------------------------------------------------------------------------------ */

static void
put_length(struct buf *to, size_t size)
{
    if (size < 255) {
        buf_put_u8(to, (uint8_t)size);
        return;
    }
    buf_put_u8(to, 255);
    for (int i = 0; i < 3; i++) {
        buf_put_u8(to, (uint8_t)(size >> 8 * i));
    }
}

/* Where a series stands between 0 and 1, by a hash of its labels as Prometheus lays them out. */
static enum err
place_of(struct aggregation_vector *a, struct bytes labels, double *ret)
{
    struct cursor c = cursor_of(labels);
    buf_clear(&a->valued);
    for (struct label label; labels_next(&c, &label);) {
        put_length(&a->valued, label.name.size);
        buf_put_bytes(&a->valued, label.name);
        put_length(&a->valued, label.value.size);
        buf_put_bytes(&a->valued, label.value);
    }
    if (buf_error(&a->valued)) return eval_no_memory(a->vector.ev);
    *ret = (double)XXH64(a->valued.at, a->valued.size, 0) / 0x1p64;
    return OK;
}

/* The next column, without the steps at which it is not chosen. */
static enum err
next_by_ratio(struct aggregation_vector *a, struct column **ret_column)
{
    for (;;) {
        struct column *c;
        double place = 0;
        enum err e = vector_next(a->of, &c);
        *ret_column = NULL;
        if (e || c == NULL) return e;
        e = place_of(a, c->labels, &place);
        if (e) return e;
        for (bits_each(i, c->present, a->vector.grid.count)) {
            double r = a->params[i];
            bool chosen = r >= 0 ? place < r : place >= 1 + r;
            if (!chosen) bits_reset(c->present, i);
        }
        if (bits_count(c->present, a->vector.grid.count) == 0) continue;
        *ret_column = c;
        return OK;
    }
}

/* --- what chooses among all ------------------------------------------------------------------- */

static bool
keeps_all(enum token_type op)
{
    return op == TOKEN_QUANTILE || op == TOKEN_TOPK || op == TOKEN_BOTTOMK || op == TOKEN_LIMITK;
}

static enum err
keep(struct aggregation_vector *a, struct column *c)
{
    struct evaluation *ev = a->vector.ev;
    uint32_t id;
    for (bits_each(i, c->present, a->vector.grid.count)) {
        if (column_histogram(c, i) != NULL && !takes_histograms(a)) bits_reset(c->present, i);
    }
    if (bits_count(c->present, a->vector.grid.count) == 0) return OK;
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

/* What is kept, group by group in the order in which it came; group g ends before ends[g]. */
struct members {
    uint32_t *ids;
    uint32_t *ends;
};

static enum err
list_members(struct aggregation_vector *a, struct members *ret)
{
    uint32_t begin = 0;
    ret->ids = arena_alloc(&a->arena, (a->kept.count + 1) * sizeof *ret->ids);
    ret->ends = arena_new(&a->arena, (a->group_count + 1) * sizeof *ret->ends);
    if (ret->ids == NULL || ret->ends == NULL) return eval_no_memory(a->vector.ev);
    for (uint32_t i = 0; i < a->kept.count; i++) {
        ret->ends[a->group_of[i]]++;
    }
    for (uint32_t g = 0; g < a->group_count; g++) {
        uint32_t count = ret->ends[g];
        ret->ends[g] = begin;
        begin += count;
    }
    for (uint32_t i = 0; i < a->kept.count; i++) {
        ret->ids[ret->ends[a->group_of[i]]++] = i;
    }
    return OK;
}

/* Of one group at one step: all but the first k are struck out; `chosen` has room for all. */
static void
choose(struct aggregation_vector *a, const uint32_t *ids, const uint32_t *end, uint32_t step,
       uint64_t k, uint32_t *chosen)
{
    enum token_type op = a->node->aggregation.op;
    uint64_t count = 0;
    for (; ids < end; ids++) {
        uint32_t i = *ids;
        struct column *c = &a->kept.items[i];
        if (!bits_has(c->present, step)) continue;
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
    struct members m;
    uint32_t *chosen = arena_alloc(&a->arena, (a->kept.count + 1) * sizeof *chosen);
    if (chosen == NULL) return eval_no_memory(a->vector.ev);
    enum err e = list_members(a, &m);
    for (uint32_t step = 0; step < a->vector.grid.count && e == OK; step++) {
        double p = a->params[step];
        uint64_t k = p < 1 ? 0 : (uint64_t)p;
        for (uint32_t g = 0, begin = 0; g < a->group_count && e == OK; begin = m.ends[g++]) {
            uint64_t size = m.ends[g] - begin;
            choose(a, m.ids + begin, m.ids + m.ends[g], step, k, chosen);
            e = eval_work(a->vector.ev, size * (1 + (k < size ? k : size) / 64));
        }
    }
    return e;
}

static enum err
quantiles(struct aggregation_vector *a)
{
    struct evaluation *ev = a->vector.ev;
    struct members m;
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

/* --- the vector ------------------------------------------------------------------------------- */

static enum err
fold_all(struct aggregation_vector *a)
{
    enum token_type op = a->node->aggregation.op;
    struct column *c;
    enum err e;
    while ((e = vector_next(a->of, &c)) == OK && c != NULL) {
        e = keeps_all(op) ? keep(a, c) : op == TOKEN_COUNT_VALUES ? fold_values(a, c) : fold(a, c);
        if (e) return e;
    }
    if (e) return e;
    if (op == TOKEN_QUANTILE) return quantiles(a);
    if (keeps_all(op)) return choose_all(a);
    for (uint32_t i = 0; i < a->group_count && e == OK; i++) {
        e = finish_group(a, &a->groups[i]);
    }
    return e;
}

static enum err
next(struct vector *v, struct column **ret_column)
{
    struct aggregation_vector *a = (struct aggregation_vector *)v;
    enum token_type op = a->node->aggregation.op;
    if (op == TOKEN_LIMIT_RATIO) return next_by_ratio(a, ret_column);
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
    buf_fini(&a->valued);
    buf_fini(&a->value);
    mem_free(budget, a, sizeof *a);
}

/* The parameter is looked at after what is aggregated, and so told of. */
static struct span
param_at(const struct aggregation_vector *a)
{
    return (struct span){node_inside(a->node->aggregation.param)->at.begin, a->node->at.end};
}

static void
note_ratio(const struct aggregation_vector *a, double ratio, double used)
{
    char digits[NUMBER_TEXT_BYTES + 1];
    digits[number_print_sentence(double_bits(ratio), digits)] = '\0';
    notes_add(&a->vector.ev->notes, NOTE_WARNING, param_at(a),
              "ratio value should be between -1 and 1, got %s, capping to %g", digits, used);
}

static void
note_quantile(const struct aggregation_vector *a, double q)
{
    notes_add_number(&a->vector.ev->notes, NOTE_WARNING, param_at(a),
                     "quantile value should be between 0 and 1, got ", q);
}

static enum err
fail_with(struct evaluation *ev, double value, const char *what)
{
    char digits[NUMBER_TEXT_BYTES];
    buf_put_text(&ev->error, "Scalar value ");
    buf_put(&ev->error, digits, number_print_sentence(double_bits(value), digits));
    return eval_fail(ev, "%s", what);
}

/* That the parameter is one, at all steps: its extremes are told of. */
static enum err
check_params(const struct aggregation_vector *a)
{
    struct evaluation *ev = a->vector.ev;
    enum token_type op = a->node->aggregation.op;
    double least = INFINITY, greatest = -INFINITY;
    bool nan = false;
    for (uint32_t i = 0; i < a->vector.grid.count; i++) {
        double p = a->params[i];
        nan |= isnan(p);
        if (p < least) least = p;
        if (p > greatest) greatest = p;
    }
    if (op == TOKEN_QUANTILE) {
        if (nan) note_quantile(a, NAN);
        if (greatest > 1) note_quantile(a, greatest);
        if (least < 0) note_quantile(a, least);
        return OK;
    }
    if (op == TOKEN_LIMIT_RATIO) {
        if (nan) return eval_fail(ev, "Ratio value is NaN");
        if (greatest > 1) note_ratio(a, greatest, 1);
        if (least < -1) note_ratio(a, least, -1);
        return OK;
    }
    if (nan) return eval_fail(ev, "Parameter value is NaN");
    if (least <= -0x1p63) return fail_with(ev, least, " underflows int64");
    if (greatest >= 0x1p63) return fail_with(ev, greatest, " overflows int64");
    return OK;
}

static enum err
set_up(struct aggregation_vector *a)
{
    struct evaluation *ev = a->vector.ev;
    const struct labels_named *labels = &a->node->aggregation.labels;
    const struct node *param = a->node->aggregation.param;
    struct bytes *names = arena_alloc(&a->arena, (labels->count + 1) * sizeof *names);
    uint32_t count = labels->count;
    bool values = a->node->aggregation.op == TOKEN_COUNT_VALUES;
    if (names == NULL) return eval_no_memory(ev);
    if (count > 0) memcpy(names, labels->names, count * sizeof *names);
    if (values) a->value_label = node_inside(param)->string;
    if (values && !a->node->aggregation.without) names[count++] = a->value_label;
    a->names = name_list_of(names, count);
    if (param == NULL) return OK;
    if (values) {
        if (label_name_is_valid(a->value_label)) return OK;
        buf_put_text(&ev->error, "invalid label name ");
        quote_text(&ev->error, a->value_label);
        return ERR_INPUT;
    }
    double *params;
    enum err e = scalar_values(ev, param, &a->vector.grid, &params);
    a->params = params;
    return e ? e : check_params(a);
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
    a->vector = (struct vector){.ops = &ops, .ev = ev, .grid = of->grid, .one_name = true};
    a->of = of;
    a->node = node;
    arena_init(&a->arena, ev->budget, 0, 0);
    columns_init(&a->kept, ev->budget, &ev->held);
    buf_init(&a->labels, ev->budget, 64 << 20);
    buf_init(&a->valued, ev->budget, 64 << 20);
    buf_init(&a->value, ev->budget, 64 << 20);
    enum err e = set_up(a);
    enum token_type op = node->aggregation.op;
    if (op == TOKEN_LIMIT_RATIO || (keeps_all(op) && op != TOKEN_QUANTILE)) {
        a->vector.one_name = of->one_name;
    }
    if (e) {
        aggregation_free(&a->vector);
        return e;
    }
    *ret_vector = &a->vector;
    return OK;
}
