/*
 * map.c - operators that map each value of a vector by itself, and those that look at labels or
 * presence alone.
 *
 * Besides functions and unary minus (map_vector) and operators with a scalar (scalar_binary_vector)
 * these are a check that no two series have the same labels at a step (unique_vector), and a join
 * of columns with the same labels to one (joined_vector).
 *
 * Invariant 1: a mapped column has the steps of the column that it was made of.
 */
#include "base/hash/hash.h"
#include "promql/eval/eval.h"
#include "promql/eval/label_sets.h"

#include <assert.h>
#include <math.h>

/* --- absent ----------------------------------------------------------------------------------- */

struct absent_vector {
    struct maker made; /* first */
    bool done;
};

static enum err
absent_next(struct vector *v, struct column **ret_column)
{
    struct absent_vector *a = (struct absent_vector *)v;
    struct column *c;
    enum err e;
    *ret_column = NULL;
    if (a->done) return OK;
    a->done = true;
    column_clear(&a->made.column, v->grid.count);
    while ((e = vector_next(a->made.vector.of, &c)) == OK && c != NULL)
        bits_add(a->made.column.present, c->present, v->grid.count);
    if (e) return e;
    for (uint32_t i = 0; i < v->grid.count; i++) {
        a->made.column.values[i] = 1;
        if (bits_has(a->made.column.present, i))
            bits_reset(a->made.column.present, i);
        else
            bits_set(a->made.column.present, i);
    }
    if (bits_count(a->made.column.present, v->grid.count) == 0) return OK;
    a->made.column.labels = buf_bytes(&a->made.labels);
    *ret_column = &a->made.column;
    return OK;
}

/* Makes labels of the selector's matchers: the first `=` of a name sets the label, any later
 * matcher of that name removes it. */
static enum err
labels_of_matchers(struct evaluation *ev, const struct node *node, struct buf *to)
{
    struct buf next;
    struct table named = {.slots = NULL}; /* matchers that set a label, by the hash of the name */
    if (node->kind == NODE_RANGE) node = node->range.selector;
    if (node->kind != NODE_SELECTOR) return OK;
    const struct node_matcher *matchers = node->selector.matchers;
    enum err e = OK;
    buf_init(&next, ev->budget, 64 << 20);
    for (uint32_t i = 0; i < node->selector.matcher_count && e == OK; i++) {
        const struct node_matcher *m = &matchers[i];
        bool again = false;
        uint64_t hash = hash_bytes(m->name, 0);
        if (bytes_equal_text(m->name, "__name__")) continue;
        for (uint32_t at = TABLE_START, id; !again && table_next(&named, hash, &at, &id);) {
            assert(id < i); /* id of an earlier matcher */
            again = bytes_equal(matchers[id].name, m->name);
        }
        bool sets = m->type == MATCH_EQUAL && !again;
        if (sets && !table_reserve(&named, ev->budget, 1)) e = ERR_NOMEM;
        if (sets && e == OK) table_add(&named, hash, i);
        struct label label = {m->name, sets ? m->value : bytes_of("", 0)};
        if (e == OK && !labels_set(to, &next, label)) e = ERR_NOMEM;
    }
    buf_fini(&next);
    table_fini(&named, ev->budget);
    return e || buf_error(to) ? eval_no_memory(ev) : OK;
}

enum err
vector_absent_new(struct evaluation *ev, const struct node *argument, struct vector *of,
                  struct vector **ret_vector)
{
    static const struct vector_ops ops = {absent_next, maker_free};
    struct absent_vector *a = maker_alloc(ev, sizeof *a, &ops, of, &of->grid);
    if (a == NULL) return eval_no_memory(ev);
    a->made.vector.one_name = a->made.vector.each_once = true;
    enum err e = labels_of_matchers(ev, node_inside(argument), &a->made.labels);
    return vector_give(&a->made.vector, e, ret_vector);
}

/* --- floats ----------------------------------------------------------------------------------- */

static enum err
floats_next(struct vector *v, struct column **ret_column)
{
    for (;;) {
        enum err e = vector_next(v->of, ret_column);
        struct column *c = *ret_column;
        if (e || c == NULL || c->histograms == NULL) return e;
        for (bits_each(i, c->present, v->grid.count))
            if (c->histograms[i] != NULL) bits_reset(c->present, i);
        if (bits_count(c->present, v->grid.count) > 0) return OK;
    }
}

enum err
vector_floats_new(struct evaluation *ev, struct vector *of, struct vector **ret_vector)
{
    static const struct vector_ops ops = {floats_next, NULL};
    struct vector *f = vector_alloc(ev, sizeof *f, &ops, of);
    if (f == NULL) return eval_no_memory(ev);
    f->each_once = of->each_once;
    *ret_vector = f;
    return OK;
}

enum { SCALARS_MAX = 2 };

struct map_vector {
    struct maker made;   /* first; without operand, of one series without labels */
    enum function_id id; /* FUNCTION_COUNT for unary minus */
    double (*function)(double value);
    bool is_time; /* the values are times of samples */
    const double *scalars[SCALARS_MAX];
    bool done; /* the only column was given, without `of` */
};

static double
sign_of(double x)
{
    return x < 0 ? -1 : x > 0 ? 1 : x;
}

static double
degrees(double x)
{
    return x * 180 / M_PI;
}

static double
radians(double x)
{
    return x * M_PI / 180;
}

static double
negative(double x)
{
    return -x;
}

static double
same(double x)
{
    return x;
}

static double (*const functions_of_one[FUNCTION_COUNT + 1])(double) = {
    [FUNCTION_ABS] = fabs,       [FUNCTION_CEIL] = ceil,   [FUNCTION_FLOOR] = floor,
    [FUNCTION_EXP] = exp,        [FUNCTION_LN] = log,      [FUNCTION_LOG2] = log2,
    [FUNCTION_LOG10] = log10,    [FUNCTION_SQRT] = sqrt,   [FUNCTION_SGN] = sign_of,
    [FUNCTION_SIN] = sin,        [FUNCTION_COS] = cos,     [FUNCTION_TAN] = tan,
    [FUNCTION_ASIN] = asin,      [FUNCTION_ACOS] = acos,   [FUNCTION_ATAN] = atan,
    [FUNCTION_SINH] = sinh,      [FUNCTION_COSH] = cosh,   [FUNCTION_TANH] = tanh,
    [FUNCTION_ASINH] = asinh,    [FUNCTION_ACOSH] = acosh, [FUNCTION_ATANH] = atanh,
    [FUNCTION_DEG] = degrees,    [FUNCTION_RAD] = radians, [FUNCTION_VECTOR] = same,
    [FUNCTION_COUNT] = negative,
};

/* --- functions of histograms ------------------------------------------------------------------ */

static bool
is_of_histograms(enum function_id id)
{
    return id == FUNCTION_HISTOGRAM_COUNT || id == FUNCTION_HISTOGRAM_SUM ||
           id == FUNCTION_HISTOGRAM_AVG || id == FUNCTION_HISTOGRAM_STDDEV ||
           id == FUNCTION_HISTOGRAM_STDVAR;
}

static double
number_of_histogram(enum function_id id, const struct fhist *h)
{
    switch (id) {
    case FUNCTION_HISTOGRAM_COUNT:
        return h->count;
    case FUNCTION_HISTOGRAM_SUM:
        return h->sum;
    case FUNCTION_HISTOGRAM_AVG:
        return h->sum / h->count;
    case FUNCTION_HISTOGRAM_STDDEV:
        return sqrt(fhist_variance(h));
    default:
        return fhist_variance(h);
    }
}

/* --- dates ------------------------------------------------------------------------------------ */

/* A day of the Gregorian calendar, extended to all years. */
struct day {
    int64_t year;
    unsigned of_year; /* from 0 */
    bool leap;
};

/*
 * Days are counted from a year that begins a cycle of 400 years and is before all times of 64 bits.
 */
static const int64_t FIRST_YEAR = -292277022399;
static const uint64_t SECONDS_TO_1970 = UINT64_C(9223372028715321600);

static struct day
day_of(uint64_t days)
{
    struct day d = {.year = FIRST_YEAR + (int64_t)(days / 146097) * 400};
    unsigned left = (unsigned)(days % 146097);
    unsigned centuries = left / 36524 - left / 36524 / 4; /* the fourth century has a day more */
    left -= centuries * 36524;
    unsigned fours = left / 1461;
    left -= fours * 1461;
    unsigned years = left / 365 - left / 365 / 4;
    d.of_year = left - years * 365;
    d.year += centuries * 100 + fours * 4 + years;
    d.leap = years == 3 && (fours != 24 || centuries == 3);
    return d;
}

static double
date_part(enum function_id id, double seconds)
{
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    /* A number that is not a time of 64 bits is the least one, as on Prometheus' processors. */
    int64_t t = fabs(seconds) < 0x1p63 ? (int64_t)seconds : INT64_MIN;
    uint64_t since = (uint64_t)t + SECONDS_TO_1970;
    struct day day = day_of(since / 86400);
    unsigned month = 0, left = day.of_year;
    while (left >= days[month] + (month == 1 && day.leap)) {
        left -= days[month] + (month == 1 && day.leap);
        month++;
    }
    switch (id) {
    case FUNCTION_MINUTE:
        return (double)(since % 3600 / 60);
    case FUNCTION_HOUR:
        return (double)(since % 86400 / 3600);
    case FUNCTION_DAY_OF_WEEK:
        return (double)((since / 86400 + 1) % 7);
    case FUNCTION_DAY_OF_MONTH:
        return left + 1;
    case FUNCTION_DAY_OF_YEAR:
        return day.of_year + 1;
    case FUNCTION_MONTH:
        return month + 1;
    case FUNCTION_YEAR:
        return (double)day.year;
    default:
        return days[month] + (month == 1 && day.leap);
    }
}

static bool
is_date(enum function_id id)
{
    return id == FUNCTION_MINUTE || id == FUNCTION_HOUR || id == FUNCTION_DAY_OF_WEEK ||
           id == FUNCTION_DAY_OF_MONTH || id == FUNCTION_DAY_OF_YEAR || id == FUNCTION_MONTH ||
           id == FUNCTION_YEAR || id == FUNCTION_DAYS_IN_MONTH;
}

/* --- values ----------------------------------------------------------------------------------- */

/* False: no result at this step. */
static bool
map_value_of(const struct map_vector *m, uint32_t step, double x, double *ret)
{
    double a = m->scalars[0] == NULL ? 1 : m->scalars[0][step];
    double b = m->scalars[1] == NULL ? 0 : m->scalars[1][step];
    if (m->function != NULL) {
        *ret = m->function(x);
    } else if (is_date(m->id)) {
        *ret = date_part(m->id, x);
    } else if (m->id == FUNCTION_TIMESTAMP) {
        *ret = m->is_time ? x : (double)grid_time(&m->made.vector.grid, step) / 1000;
    } else if (m->id == FUNCTION_START_TIMESTAMP) {
        *ret = x;
        return m->is_time && m->made.vector.ev->features.start_timestamps;
    } else if (m->id == FUNCTION_CLAMP) {
        if (a > b) return false;
        *ret = number_greatest(a, number_least(b, x));
    } else if (m->id == FUNCTION_CLAMP_MIN) {
        *ret = number_greatest(a, x);
    } else if (m->id == FUNCTION_CLAMP_MAX) {
        *ret = number_least(a, x);
    } else {
        double inverse = 1 / a; /* exact for 0.1 and similar numbers */
        *ret = floor(x * inverse + 0.5) / inverse;
    }
    return true;
}

static enum err
next_of_scalars(struct map_vector *m, struct column **ret_column)
{
    *ret_column = NULL;
    if (m->done) return OK;
    m->done = true;
    column_clear(&m->made.column, m->made.vector.grid.count);
    for (uint32_t i = 0; i < m->made.vector.grid.count; i++) {
        double x =
            is_date(m->id) ? (double)grid_time(&m->made.vector.grid, i) / 1000 : m->scalars[0][i];
        double value;
        if (map_value_of(m, i, x, &value)) column_set(&m->made.column, i, value);
    }
    m->made.column.labels = bytes_of("", 0);
    *ret_column = &m->made.column;
    return OK;
}

/* Most functions give nothing for histograms. */
static enum err
map_histogram(struct map_vector *m, uint32_t step, const struct fhist *h)
{
    if (is_of_histograms(m->id)) {
        column_set(&m->made.column, step, number_of_histogram(m->id, h));
    } else if (m->id == FUNCTION_TIMESTAMP) {
        column_set(&m->made.column, step, (double)grid_time(&m->made.vector.grid, step) / 1000);
    } else if (m->id == FUNCTION_COUNT) {
        struct fhist *opposite = fhist_keep(&m->made.arena, h);
        if (opposite == NULL) return eval_no_memory(m->made.vector.ev);
        fhist_multiply(opposite, -1);
        return maker_put(&m->made, step, 0, opposite);
    }
    return OK;
}

static enum err
map_column(struct map_vector *m, const struct column *c)
{
    uint32_t steps = m->made.vector.grid.count;
    bool of_histograms = is_of_histograms(m->id);
    column_clear(&m->made.column, steps);
    arena_reset(&m->made.arena);
    for (bits_each(i, c->present, steps)) {
        const struct fhist *h = column_histogram(c, i);
        double value;
        if (h != NULL) {
            enum err e = map_histogram(m, i, h);
            if (e) return e;
        } else if (!of_histograms && map_value_of(m, i, c->values[i], &value)) {
            column_set(&m->made.column, i, value);
        }
    }
    return OK;
}

static enum err
map_next(struct vector *v, struct column **ret_column)
{
    struct map_vector *m = (struct map_vector *)v;
    if (m->made.vector.of == NULL) return next_of_scalars(m, ret_column);
    for (;;) {
        struct column *c;
        enum err e = vector_next(m->made.vector.of, &c);
        *ret_column = NULL;
        if (e || c == NULL) return e;
        e = map_column(m, c);
        if (e) return e;
        if (bits_count(m->made.column.present, v->grid.count) == 0) continue;
        *ret_column = &m->made.column;
        /* Functions of histograms keep the type and the unit, as in Prometheus. */
        bool keeps_type = is_of_histograms(m->id) && !v->ev->features.delayed_name_removal;
        if (!keeps_type) return eval_other_metric(v->ev, c, &m->made.labels, &m->made.column);
        buf_clear(&m->made.labels);
        labels_drop(&m->made.labels, c->labels, &(struct name_list){NULL, 0}, true);
        m->made.column.labels = buf_bytes(&m->made.labels);
        return buf_error(&m->made.labels) ? eval_no_memory(v->ev) : OK;
    }
}

static enum err
map_set_up(struct map_vector *m, const struct plan_node *x)
{
    struct evaluation *ev = m->made.vector.ev;
    const struct node *node = x->node;
    uint32_t count = 0;
    bool is_call = node->kind == NODE_CALL;
    m->id = is_call ? (enum function_id)(node->call.function - functions) : FUNCTION_COUNT;
    m->function = functions_of_one[m->id];
    bool known = m->function != NULL || is_of_histograms(m->id) || is_date(m->id) ||
                 m->id == FUNCTION_START_TIMESTAMP || m->id == FUNCTION_CLAMP ||
                 m->id == FUNCTION_CLAMP_MIN || m->id == FUNCTION_CLAMP_MAX ||
                 m->id == FUNCTION_ROUND || m->id == FUNCTION_TIMESTAMP;
    if (!known) return eval_fail(ev, "function %s is not supported", node->call.function->name);
    bool of_samples = m->id == FUNCTION_TIMESTAMP || m->id == FUNCTION_START_TIMESTAMP;
    m->is_time = of_samples && node_inside(node->call.arguments[0])->kind == NODE_SELECTOR;
    const struct plan_node *s = plan_scalars(x->first);
    for (; s != NULL; s = plan_scalars(s->next)) {
        double *values;
        enum err e = scalar_values(ev, s, &values);
        if (e) return e;
        assert(count < SCALARS_MAX); /* functions.def has no more */
        m->scalars[count++] = values;
    }
    return OK;
}

enum err
vector_map_new(struct evaluation *ev, const struct plan_node *x, struct vector *of,
               struct vector **ret_vector)
{
    static const struct vector_ops ops = {map_next, maker_free};
    assert(of == NULL || of->grid.count == x->grid.count); /* invariant 1 */
    struct map_vector *m = maker_alloc(ev, sizeof *m, &ops, of, &x->grid);
    if (m == NULL) return eval_no_memory(ev);
    struct vector *v = &m->made.vector;
    v->one_name = v->each_once = true;
    enum err e = vector_give(v, map_set_up(m, x), ret_vector);
    return e || of == NULL ? e : vector_other_metric_new(ev, v, of, false, ret_vector);
}

/* --- with a scalar ---------------------------------------------------------------------------- */

struct scalar_binary_vector {
    struct maker made; /* first */
    const struct node *node;
    const double *scalars;
    bool scalar_left;
};

/* Combines a sample that is not a plain float with the scalar. */
static enum err
combine_with_scalar(struct scalar_binary_vector *s, uint32_t step, struct operand x)
{
    struct evaluation *ev = s->made.vector.ev;
    struct operand y = {s->scalars[step], NULL}, result;
    enum pairing pairing;
    enum err e = s->scalar_left
                     ? binary_operands(ev, s->node, &s->made.arena, y, x, &result, &pairing)
                     : binary_operands(ev, s->node, &s->made.arena, x, y, &result, &pairing);
    if (e || pairing != PAIR_GIVES) return e;
    /* A comparison gives the vector's side, whichever it is. */
    bool compares = token_is_comparison(s->node->binary.op);
    if (compares && !s->node->binary.returns_bool) result = x;
    return maker_put(&s->made, step, result.value, result.histogram);
}

static enum err
combine_column(struct scalar_binary_vector *s, const struct column *c)
{
    enum token_type op = s->node->binary.op;
    bool filters = token_is_comparison(op) && !s->node->binary.returns_bool;
    bool trims = op == TOKEN_TRIM_UPPER || op == TOKEN_TRIM_LOWER;
    uint32_t steps = s->made.vector.grid.count;
    column_clear(&s->made.column, steps);
    arena_reset(&s->made.arena);
    for (bits_each(i, c->present, steps)) {
        double x = c->values[i], y = s->scalars[i];
        const struct fhist *h = column_histogram(c, i);
        if (h != NULL || trims) {
            enum err e = combine_with_scalar(s, i, (struct operand){x, h});
            if (e) return e;
            continue;
        }
        double value = s->scalar_left ? binary_number(op, y, x) : binary_number(op, x, y);
        if (filters && value == 0) continue;
        column_set(&s->made.column, i, filters ? x : value);
    }
    return OK;
}

static enum err
scalar_binary_next(struct vector *v, struct column **ret_column)
{
    struct scalar_binary_vector *s = (struct scalar_binary_vector *)v;
    enum token_type op = s->node->binary.op;
    bool keeps_name = !s->node->binary.returns_bool && !token_changes_metric(op);
    for (;;) {
        struct column *c;
        enum err e = vector_next(s->made.vector.of, &c);
        *ret_column = NULL;
        if (e || c == NULL) return e;
        e = combine_column(s, c);
        if (e) return e;
        if (bits_count(s->made.column.present, v->grid.count) == 0) continue;
        s->made.column.labels = c->labels;
        s->made.column.drops_name = c->drops_name;
        if (!keeps_name) {
            e = eval_other_metric(v->ev, c, &s->made.labels, &s->made.column);
            if (e) return e;
        }
        *ret_column = &s->made.column;
        return OK;
    }
}

enum err
vector_scalar_binary_new(struct evaluation *ev, const struct node *node, struct vector *of,
                         const double *scalars, bool scalar_left, struct vector **ret_vector)
{
    static const struct vector_ops ops = {scalar_binary_next, maker_free};
    struct scalar_binary_vector *s = maker_alloc(ev, sizeof *s, &ops, of, &of->grid);
    if (s == NULL) return eval_no_memory(ev);
    bool keeps_name = !node->binary.returns_bool && !token_changes_metric(node->binary.op);
    struct vector *v = &s->made.vector;
    v->one_name = of->one_name || !keeps_name;
    v->each_once = of->each_once;
    v->by_labels = of->by_labels;
    s->node = node;
    s->scalars = scalars;
    s->scalar_left = scalar_left;
    *ret_vector = v;
    return keeps_name ? OK : vector_other_metric_new(ev, v, of, false, ret_vector);
}

/* --- one series a step ------------------------------------------------------------------------ */

struct unique_vector {
    struct vector vector; /* first */
    bool by_type;         /* only series that lost a type or a unit can become equal */
    bool any_lost;        /* a series has lost its type or unit */
    bool by_labels;       /* series are ordered by labels */
    bool at_all;          /* refuses equal series even if they have no step in common */
    struct columns seen;  /* labels and bits */
};

/* If series of one name are ordered by labels, those with a type come before those without, unless
 * a label sorts before __type__. So in most vectors no series has to be remembered. */
static bool
may_repeat(struct unique_vector *u, const struct column *c)
{
    struct cursor labels = cursor_of(c->labels);
    struct label first;
    u->any_lost |= c->lost_type;
    if (!u->by_type || u->any_lost) {
        u->vector.ev->spans_steps |= u->at_all;
        return true;
    }
    if (!u->by_labels) return true;
    return labels_next(&labels, &first) && bytes_compare(first.name, bytes_of_text("__unit__")) < 0;
}

static enum err
unique_next(struct vector *v, struct column **ret_column)
{
    struct unique_vector *u = (struct unique_vector *)v;
    struct evaluation *ev = v->ev;
    uint32_t steps = v->grid.count;
    enum err e = vector_next(u->vector.of, ret_column);
    struct column *c = *ret_column;
    if (e || c == NULL || !may_repeat(u, c)) return e;
    struct column *seen = columns_find(&u->seen, c->labels);
    if (seen == NULL) {
        bool added = columns_add_bits(&u->seen, c, steps) == OK && columns_index(&u->seen) == OK;
        return added ? OK : eval_no_memory(ev);
    }
    if (u->at_all || bits_meet(seen->present, c->present, steps))
        return eval_fail(ev, "vector cannot contain metrics with the same labelset");
    bits_add(seen->present, c->present, steps);
    return OK;
}

static void
unique_free(struct vector *v)
{
    columns_fini(&((struct unique_vector *)v)->seen);
}

enum err
vector_unique_new(struct evaluation *ev, struct vector *of, struct vector **ret_vector)
{
    static const struct vector_ops ops = {unique_next, unique_free};
    struct unique_vector *u = vector_alloc(ev, sizeof *u, &ops, of);
    if (u == NULL) return eval_no_memory(ev);
    columns_init(&u->seen, ev->budget, &ev->held);
    *ret_vector = &u->vector;
    return OK;
}

enum err
vector_other_metric_new(struct evaluation *ev, struct vector *of, const struct vector *was,
                        bool at_all, struct vector **ret_vector)
{
    bool one_name = was->one_name, each_once = was->each_once, by_labels = was->by_labels;
    *ret_vector = of;
    of->one_name = one_name; /* while names are kept */
    of->each_once = each_once;
    of->by_labels = by_labels;
    if (ev->features.delayed_name_removal) return OK;
    enum err e = vector_unique_new(ev, of, ret_vector);
    if (e) return e;
    struct unique_vector *u = (struct unique_vector *)*ret_vector;
    u->by_type = one_name;
    u->by_labels = by_labels;
    u->at_all = at_all;
    u->vector.one_name = true;
    u->vector.each_once = at_all || (each_once && one_name);
    u->vector.by_labels = by_labels;
    return OK;
}

/* --- one column a series ---------------------------------------------------------------------- */

struct joined_vector {
    struct vector vector; /* first */
    struct columns kept;
    bool read;
    uint32_t next;
};

static enum err
joined_next(struct vector *v, struct column **ret_column)
{
    struct joined_vector *j = (struct joined_vector *)v;
    struct column *c;
    enum err e = OK;
    while (!j->read && (e = vector_next(j->vector.of, &c)) == OK && c != NULL) {
        e = eval_collect(v->ev, &j->kept, c, v->grid.count);
        if (e) break;
    }
    j->read = true;
    *ret_column = e == OK && j->next < j->kept.count ? &j->kept.items[j->next++] : NULL;
    return e;
}

static void
joined_free(struct vector *v)
{
    columns_fini(&((struct joined_vector *)v)->kept);
}

enum err
vector_joined_new(struct evaluation *ev, struct vector *of, struct vector **ret_vector)
{
    static const struct vector_ops ops = {joined_next, joined_free};
    if (of->each_once) {
        *ret_vector = of;
        return OK;
    }
    struct joined_vector *j = vector_alloc(ev, sizeof *j, &ops, of);
    if (j == NULL) return eval_no_memory(ev);
    j->vector.each_once = true;
    columns_init(&j->kept, ev->budget, &ev->held);
    *ret_vector = &j->vector;
    return OK;
}
