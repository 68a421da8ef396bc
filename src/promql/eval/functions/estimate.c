/*
 * estimate.c - histogram_quantile, histogram_quantiles and histogram_fraction.
 *
 * A native histogram is estimated as it comes. The buckets of classic histograms, which are series
 * that differ in `le`, are kept until the last series came and then estimated group by group. Where
 * a native and a classic histogram have the same labels at a step, neither gives a result.
 *
 * Invariants:
 *
 *  1. `members` has an item for each column of `buckets`, in the same order until they are sorted.
 *  2. `groups` has the first column of each group; ids of groups are below `group_count`.
 *  3. The results of a native histogram are consecutive columns of `results`.
 *  4. A group is estimated at steps alone at which it has a bucket.
 */
#include "base/array.h"
#include "base/hash/hash.h"
#include "base/text/quote.h"
#include "promql/eval/label_sets.h"
#include "promql/eval/select/window.h"
#include "wire/number.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

/* --- estimates from the buckets of a classic histogram ---------------------------------------- */

/*
 * Each bucket counts the observations up to its bound, +Inf being the last. Estimates first join
 * buckets with the same bound, and make counts cumulative.
 */

struct classic_bucket {
    double bound;
    double count;
};

/* Describes counts that fell, although they are cumulative; estimates use the greatest count so
 * far. */
struct classic_fix {
    bool forced;
    double least_bound;
    double greatest_bound;
    double most;
};

/* Joins buckets with the same bound. */
static uint32_t
join_equal(struct classic_bucket *b, uint32_t count)
{
    uint32_t last = 0;
    for (uint32_t i = 1; i < count; i++)
        if (b[i].bound == b[last].bound)
            b[last].count += b[i].count;
        else
            b[++last] = b[i];
    return last + 1;
}

/* True if only rounding makes a difference. */
static bool
nearly_equal(double a, double b)
{
    const double tolerance = 1e-12;
    double sum = fabs(a) + fabs(b), difference = fabs(a - b);
    if (isnan(a) && isnan(b)) return true;
    if (a == 0 || b == 0 || sum < DBL_MIN) return difference < tolerance * DBL_MIN;
    return difference / fmin(sum, DBL_MAX) < tolerance;
}

static void
make_cumulative(struct classic_bucket *b, uint32_t count, struct classic_fix *fix)
{
    double before = b[0].count;
    fix->least_bound = INFINITY;
    fix->greatest_bound = -INFINITY;
    for (uint32_t i = 1; i < count; i++) {
        double now = b[i].count;
        if (now == before) continue;
        if (nearly_equal(before, now)) {
            b[i].count = before;
        } else if (now < before) {
            b[i].count = before;
            fix->forced = true;
            fix->least_bound = fmin(fix->least_bound, b[i].bound);
            fix->greatest_bound = fmax(fix->greatest_bound, b[i].bound);
            fix->most = fmax(fix->most, before - now);
        } else {
            before = now;
        }
    }
}

/* The buckets are in the order of their bounds, and are changed. `count` is at least 1. */
static double
classic_quantile(double q, struct classic_bucket *b, uint32_t count, struct classic_fix *ret_fix)
{
    *ret_fix = (struct classic_fix){.forced = false};
    assert(count > 0);
    if (isnan(q)) return NAN;
    if (q < 0) return -INFINITY;
    if (q > 1) return INFINITY;
    if (b[count - 1].bound != INFINITY) return NAN;
    count = join_equal(b, count);
    make_cumulative(b, count, ret_fix);
    double all = b[count - 1].count;
    if (count < 2 || all == 0) return NAN;
    double rank = q * all;
    uint32_t at = search_first(i, 0u, count - 1, b[i].count >= rank);
    if (at == count - 1) return b[count - 2].bound;
    if (at == 0 && b[0].bound <= 0) return b[0].bound;
    double begin = 0, within = b[at].count;
    if (at > 0) {
        begin = b[at - 1].bound;
        within -= b[at - 1].count;
        rank -= b[at - 1].count;
    }
    return begin + (b[at].bound - begin) * (rank / within);
}

/* The number of observations below `value`, which is in the bucket. */
static double
rank_within(const struct classic_bucket *b, double lower, double before, double value)
{
    if (lower == -INFINITY) return b->count;
    return before + (b->count - before) * (value - lower) / (b->bound - lower);
}

static bool
classic_look_for(double value, const struct classic_bucket *b, double lower, double before,
                 double *rank)
{
    if (lower >= value)
        *rank = before;
    else if (b->bound > value)
        *rank = rank_within(b, lower, before, value);
    else
        return false;
    return true;
}

static double
classic_fraction(double lower, double upper, struct classic_bucket *b, uint32_t count)
{
    double low = 0, high = 0, before = 0;
    bool low_found = false, high_found = false;
    assert(count > 0);
    if (b[count - 1].bound != INFINITY) return NAN;
    count = join_equal(b, count);
    double all = b[count - 1].count;
    if (all == 0 || isnan(lower) || isnan(upper)) return NAN;
    if (lower >= upper) return 0;
    double begin = b[0].bound <= 0 ? -INFINITY : 0;
    for (uint32_t i = 0; i < count && !(low_found && high_found); i++) {
        if (i > 0) begin = b[i - 1].bound;
        if (!low_found) low_found = classic_look_for(lower, &b[i], begin, before, &low);
        if (!high_found) high_found = classic_look_for(upper, &b[i], begin, before, &high);
        before = b[i].count;
    }
    if (!low_found || low > all) low = all;
    if (!high_found || high > all) high = all;
    return (high - low) / all;
}

enum { QUANTILES_MAX = 16 };

/* The series of a bucket. */
struct bucket_series {
    uint32_t column;
    uint32_t group;
    double bound;
};

/* A native histogram: its steps and its results. */
struct native {
    struct bytes labels; /* with the name */
    uint64_t *present;
    uint32_t first_result;
    uint32_t result_count;
};

struct estimate_vector {
    struct maker made; /* first */
    const struct node *call;
    struct text_span vector_at; /* position of the histograms, for notes */
    bool fraction;
    struct bytes quantile_label; /* histogram_quantiles */
    const double *scalars[QUANTILES_MAX];
    uint32_t scalar_count;

    struct columns buckets; /* columns of classic histograms; their labels lack `le` */
    struct bucket_series *members;
    uint32_t member_capacity;
    struct table groups; /* the first column of each group */
    uint32_t group_count;
    struct table natives_by_labels;
    struct native *natives;
    uint32_t native_count;
    uint32_t native_capacity;
    struct columns results;
    struct classic_bucket *at_step;
    uint64_t *done;
    struct buf text;
    bool read;
    uint32_t next;
};

static struct bytes
name_for_notes(const struct estimate_vector *x, struct bytes labels)
{
    if (!x->made.vector.ev->features.delayed_name_removal) return bytes_of(NULL, 0);
    return labels_get(labels, bytes_of("__name__", 8));
}

/* --- results ---------------------------------------------------------------------------------- */

/* Appends a number as OpenMetrics writes it: "0.5", "1.0"; -0 is 0. */
static void
put_quantile(struct buf *to, double q)
{
    char digits[NUMBER_TEXT_BYTES];
    size_t size = number_print_sentence(double_bits(q == 0 ? 0 : q), digits);
    buf_put(to, digits, size);
    if (memchr(digits, '.', size) == NULL && memchr(digits, 'e', size) == NULL && isfinite(q))
        buf_put_text(to, ".0");
}

/* Keeps x->made.column. */
static enum err
add_result(struct estimate_vector *x, struct bytes labels, double q)
{
    struct evaluation *ev = x->made.vector.ev;
    struct column source = {.labels = labels};
    uint32_t steps = x->made.vector.grid.count;
    if (bits_count(x->made.column.present, steps) == 0) return OK;
    enum err e = eval_other_metric(ev, &source, &x->made.labels, &x->made.column);
    if (e) return e;
    if (x->quantile_label.size > 0) {
        struct buf labelled;
        buf_clear(&x->text);
        put_quantile(&x->text, q);
        buf_init(&labelled, ev->budget, 64 << 20);
        labels_with(&labelled, x->made.column.labels,
                    (struct label){x->quantile_label, buf_bytes(&x->text)});
        x->made.column.labels = buf_bytes(&labelled);
        e = buf_error(&labelled) || buf_error(&x->text) ||
                    columns_add(&x->results, &x->made.column, steps)
                ? eval_no_memory(ev)
                : OK;
        buf_fini(&labelled);
        return e;
    }
    return columns_add(&x->results, &x->made.column, steps) ? eval_no_memory(ev) : OK;
}

/* Estimates the value at a step. */
typedef double (*estimator)(struct estimate_vector *x, const void *of, uint32_t step, double q);

/*
 * Makes all results of a histogram at the steps of `present`. If the quantile is a label, results
 * of one value are one series.
 */
static enum err
estimate(struct estimate_vector *x, const void *of, const uint64_t *present, struct bytes labels,
         estimator value)
{
    uint32_t steps = x->made.vector.grid.count, arguments = x->fraction ? 1 : x->scalar_count;
    size_t bytes = bits_words(steps) * sizeof *x->done;
    for (uint32_t k = 0; k < arguments; k++) {
        memcpy(x->done, present, bytes);
        for (uint32_t first; (first = bits_next(x->done, 0, steps)) < steps;) {
            double q = x->scalars[k][first];
            column_clear(&x->made.column, steps);
            for (bits_each(i, x->done, steps)) {
                bool same = double_bits(x->scalars[k][i]) == double_bits(q);
                if (x->quantile_label.size > 0 && !same) continue;
                column_set(&x->made.column, i, value(x, of, i, x->scalars[k][i]));
                bits_reset(x->done, i);
            }
            enum err e = add_result(x, labels, q);
            if (e) return e;
        }
    }
    return OK;
}

/* --- native histograms ------------------------------------------------------------------------ */

static double
estimate_native(struct estimate_vector *x, const void *of, uint32_t step, double q)
{
    static const char *const words[] = {
        [SKEW_RESULT_NAN] = "input to histogram_quantile has NaN observations, result is NaN",
        [SKEW_HIGHER] = "input to histogram_quantile has NaN observations, result is skewed higher",
        [SKEW_EXCLUDED] = "input to histogram_fraction has NaN observations, which are excluded "
                          "from all fractions",
    };
    const struct column *c = of;
    const struct fhist *h = c->histograms[step];
    enum fhist_skew skew;
    double value = x->fraction ? fhist_fraction(h, q, x->scalars[1][step], &skew)
                               : fhist_quantile(h, q, &skew);
    if (skew != SKEW_NONE) {
        notes_add_metric(&x->made.vector.ev->notes, PROMQL_INFO, x->vector_at, words[skew],
                         name_for_notes(x, c->labels));
    }
    return value;
}

/* Estimates a column at the steps at which it has histograms. */
static enum err
read_native(struct estimate_vector *x, const struct column *c)
{
    struct evaluation *ev = x->made.vector.ev;
    uint32_t steps = x->made.vector.grid.count;
    struct native n = {.first_result = x->results.count};
    n.present = arena_new(&x->results.arena, bits_words(steps) * sizeof *n.present);
    n.labels = arena_copy(&x->results.arena, c->labels);
    if (n.present == NULL || (n.labels.at == NULL && c->labels.size > 0) ||
        !array_reserve(ev->budget, &x->natives, &x->native_capacity, x->native_count + 1))
        return eval_no_memory(ev);
    for (bits_each(i, c->present, steps))
        if (c->histograms[i] != NULL) bits_set(n.present, i);
    enum err e = estimate(x, c, n.present, c->labels, estimate_native);
    assert(x->results.count >= n.first_result); /* invariant 3 */
    n.result_count = x->results.count - n.first_result;
    if (!table_reserve(&x->natives_by_labels, ev->budget, 1)) return eval_no_memory(ev);
    table_add(&x->natives_by_labels, hash_bytes(n.labels, 0), x->native_count);
    x->natives[x->native_count++] = n;
    return e;
}

/* --- classic histograms ----------------------------------------------------------------------- */

static enum err
read_bucket(struct estimate_vector *x, const struct column *c)
{
    struct evaluation *ev = x->made.vector.ev;
    struct bytes le = bytes_of("le", 2), text = labels_get(c->labels, le);
    struct name_list names = {&le, 1};
    uint32_t steps = x->made.vector.grid.count, id, at = TABLE_START;
    uint64_t bits;
    if (!number_parse_go((const char *)text.at, text.size, &bits)) {
        buf_clear(&x->text);
        buf_put_text(&x->text, "bucket label \"le\" is missing or has a malformed value of ");
        quote_text(&x->text, text);
        buf_put_u8(&x->text, '\0');
        if (buf_error(&x->text)) return eval_no_memory(ev);
        notes_add_metric(&ev->notes, PROMQL_WARNING, x->vector_at, (const char *)x->text.at,
                         name_for_notes(x, c->labels));
        return OK;
    }
    buf_clear(&x->made.labels);
    labels_drop(&x->made.labels, c->labels, &names, false);
    struct column bucket = *c;
    bucket.labels = buf_bytes(&x->made.labels);
    if (buf_error(&x->made.labels) || columns_add(&x->buckets, &bucket, steps) ||
        !table_reserve(&x->groups, ev->budget, 1) ||
        !array_reserve(ev->budget, &x->members, &x->member_capacity, x->buckets.count))
        return eval_no_memory(ev);
    uint64_t hash = hash_bytes(bucket.labels, 0);
    uint32_t column = x->buckets.count - 1;
    struct bucket_series m = {column, x->group_count, bits_double(bits)};
    while (table_next(&x->groups, hash, &at, &id)) {
        if (!bytes_equal(x->buckets.items[id].labels, bucket.labels)) continue;
        m.group = x->members[id].group;
        break;
    }
    if (m.group == x->group_count) {
        table_add(&x->groups, hash, column);
        x->group_count++;
    }
    assert(m.group < x->group_count); /* invariant 2 */
    assert(x->groups.count == x->group_count);
    x->members[column] = m;
    return OK;
}

static int
compare_members(const void *a, const void *b)
{
    const struct bucket_series *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (x->bound != y->bound) return x->bound < y->bound ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

/* The buckets of one group. */
struct classic {
    const struct bucket_series *members;
    uint32_t count;
};

static double
estimate_classic(struct estimate_vector *x, const void *of, uint32_t step, double q)
{
    const struct classic *g = of;
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        const struct column *c = &x->buckets.items[g->members[i].column];
        if (!bits_has(c->present, step) || column_histogram(c, step) != NULL) continue;
        x->at_step[count++] = (struct classic_bucket){g->members[i].bound, c->values[step]};
    }
    assert(count > 0); /* invariant 4 */
    if (x->fraction) return classic_fraction(q, x->scalars[1][step], x->at_step, count);
    struct classic_fix fix;
    double value = classic_quantile(q, x->at_step, count, &fix);
    if (fix.forced) {
        struct bytes labels = x->buckets.items[g->members[0].column].labels;
        struct decrease d = {fix.least_bound, fix.greatest_bound, fix.most};
        notes_add_decrease(&x->made.vector.ev->notes, x->vector_at, name_for_notes(x, labels),
                           grid_time(&x->made.vector.grid, step), &d);
    }
    return value;
}

/* Drops the results of native histograms, and steps of a classic one with the same labels, where
 * both exist. */
static void
drop_conflicts(struct estimate_vector *x, struct bytes labels, uint64_t *present)
{
    uint32_t steps = x->made.vector.grid.count;
    uint64_t hash = hash_bytes(labels, 0);
    for (uint32_t at = TABLE_START, id; table_next(&x->natives_by_labels, hash, &at, &id);) {
        const struct native *n = &x->natives[id];
        if (!bytes_equal(n->labels, labels) || !bits_meet(n->present, present, steps)) continue;
        notes_add_metric(&x->made.vector.ev->notes, PROMQL_WARNING, x->vector_at,
                         "vector contains a mix of classic and native histograms",
                         name_for_notes(x, labels));
        assert(n->first_result + n->result_count <= x->results.count); /* invariant 3 */
        for (uint32_t k = 0; k < n->result_count; k++) {
            struct column *c = &x->results.items[n->first_result + k];
            for (size_t w = 0; w < bits_words(steps); w++)
                c->present[w] &= ~present[w];
        }
        for (size_t w = 0; w < bits_words(steps); w++)
            present[w] &= ~n->present[w];
    }
}

static enum err
estimate_group(struct estimate_vector *x, const struct classic *g)
{
    uint32_t steps = x->made.vector.grid.count;
    size_t bytes = bits_words(steps) * sizeof(uint64_t);
    uint64_t *present = arena_new(&x->buckets.arena, bytes);
    struct bytes labels = x->buckets.items[g->members[0].column].labels;
    if (present == NULL) return eval_no_memory(x->made.vector.ev);
    for (uint32_t i = 0; i < g->count; i++) {
        const struct column *c = &x->buckets.items[g->members[i].column];
        for (bits_each(k, c->present, steps))
            if (column_histogram(c, k) == NULL) bits_set(present, k);
    }
    drop_conflicts(x, labels, present);
    return estimate(x, g, present, labels, estimate_classic);
}

static enum err
estimate_groups(struct estimate_vector *x)
{
    struct evaluation *ev = x->made.vector.ev;
    uint32_t count = x->buckets.count;
    if (count == 0) return OK;
    assert(x->members[count - 1].column == count - 1); /* invariant 1 */
    qsort(x->members, count, sizeof *x->members, compare_members);
    x->at_step = arena_alloc(&ev->arena, count * sizeof *x->at_step);
    if (x->at_step == NULL) return eval_no_memory(ev);
    for (uint32_t begin = 0, end; begin < count; begin = end) {
        end = begin + 1;
        while (end < count && x->members[end].group == x->members[begin].group)
            end++;
        struct classic g = {x->members + begin, end - begin};
        enum err e = eval_work(ev, (uint64_t)g.count * x->made.vector.grid.count);
        if (e == OK) e = estimate_group(x, &g);
        if (e) return e;
    }
    return OK;
}

/* --- result of the function ------------------------------------------------------------------- */

static enum err
estimate_read_all(struct estimate_vector *x)
{
    struct column *c;
    enum err e;
    while ((e = vector_next(x->made.vector.of, &c)) == OK && c != NULL) {
        uint32_t steps = x->made.vector.grid.count, floats = 0;
        for (bits_each(i, c->present, steps))
            floats += column_histogram(c, i) == NULL;
        if (c->histograms != NULL) e = read_native(x, c);
        if (e == OK && floats > 0) e = read_bucket(x, c);
        if (e) return e;
    }
    return e ? e : estimate_groups(x);
}

static enum err
estimate_next(struct vector *v, struct column **ret_column)
{
    struct estimate_vector *x = (struct estimate_vector *)v;
    enum err e = x->read ? OK : estimate_read_all(x);
    x->read = true;
    *ret_column = NULL;
    if (e) return e;
    while (x->next < x->results.count) {
        struct column *c = &x->results.items[x->next++];
        if (bits_count(c->present, v->grid.count) == 0) continue;
        *ret_column = c;
        return OK;
    }
    return OK;
}

static void
estimate_free(struct vector *v)
{
    struct estimate_vector *x = (struct estimate_vector *)v;
    struct budget *budget = v->ev->budget;
    columns_fini(&x->buckets);
    columns_fini(&x->results);
    array_free(budget, x->members, x->member_capacity);
    array_free(budget, x->natives, x->native_capacity);
    table_fini(&x->groups, budget);
    table_fini(&x->natives_by_labels, budget);
    buf_fini(&x->text);
    maker_free(v);
}

/* Notes a warning for each quantile that is not between 0 and 1, whether or not there are
 * histograms. */
static void
check_quantiles(const struct estimate_vector *x, const struct node *argument, const double *values)
{
    /* Its position is after that of the histograms. */
    struct text_span at = {argument_at(x->call, argument).begin, x->call->at.end};
    for (uint32_t i = 0; i < x->made.vector.grid.count; i++) {
        if (values[i] >= 0 && values[i] <= 1) continue;
        notes_add_number(&x->made.vector.ev->notes, PROMQL_WARNING, at,
                         "quantile value should be between 0 and 1, got ", values[i]);
    }
}

static enum err
estimate_set_up(struct estimate_vector *x, const struct plan_node *scalar)
{
    struct evaluation *ev = x->made.vector.ev;
    struct node **arguments = x->call->call.arguments;
    enum function_id id = (enum function_id)(x->call->call.function - functions);
    bool many = id == FUNCTION_HISTOGRAM_QUANTILES;
    x->fraction = id == FUNCTION_HISTOGRAM_FRACTION;
    x->vector_at = argument_at(x->call, arguments[many ? 0 : x->fraction ? 2 : 1]);
    if (many) x->quantile_label = node_inside(arguments[1])->string;
    x->done = arena_alloc(&ev->arena, bits_words(x->made.vector.grid.count) * sizeof *x->done);
    if (x->done == NULL) return eval_no_memory(ev);
    for (uint32_t i = 0; i < x->call->call.argument_count; i++) {
        double *values;
        if (arguments[i]->type != VALUE_SCALAR) continue;
        enum err e = scalar_values(ev, scalar, &values);
        if (e) return e;
        scalar = plan_scalars(scalar->next);
        assert(x->scalar_count < QUANTILES_MAX); /* functions.def has no more */
        if (!x->fraction) check_quantiles(x, arguments[i], values);
        x->scalars[x->scalar_count++] = values;
    }
    return OK;
}

enum err
vector_estimate_new(struct evaluation *ev, const struct plan_node *plan, struct vector *of,
                    struct vector **ret_vector)
{
    static const struct vector_ops ops = {estimate_next, estimate_free};
    struct estimate_vector *x = maker_alloc(ev, sizeof *x, &ops, of, &of->grid);
    if (x == NULL) return eval_no_memory(ev);
    x->made.vector.one_name |= !ev->features.delayed_name_removal;
    x->call = plan->node;
    columns_init(&x->buckets, ev->budget, &ev->held);
    columns_init(&x->results, ev->budget, &ev->held);
    buf_init(&x->text, ev->budget, 64 << 20);
    enum err e =
        vector_give(&x->made.vector, estimate_set_up(x, plan_scalars(plan->first)), ret_vector);
    if (e || ev->features.delayed_name_removal) return e;
    return vector_unique_new(ev, &x->made.vector, ret_vector);
}
