/*
 * aggregates.c - functions of groups of rows.
 *
 *     first(X, TIME), last(X, TIME)    X of the earliest or the latest row
 *     quantile(Q, X), stddev(X)        as in PromQL
 *     increase, rate, delta(SERIES, TIME, VALUE)   of one series: between its first and last
 * sample, not extrapolated; rate is per second histogram_quantile(Q, LE, VALUE) of classic buckets,
 * as in PromQL
 *
 * Rows whose TIME, X or VALUE is NULL are left out: staleness markers and NaN are. The values of a
 * group are kept until it ends, sorted then, and charged to the budget of the statement.
 */
#include "sql/statement.h"

#include <math.h>
#include <stdlib.h>

#include "wire/number.h"

enum aggregate {
    AGGREGATE_OTHER,
    AGGREGATE_FIRST,
    AGGREGATE_LAST,
    AGGREGATE_DELTA,
    AGGREGATE_INCREASE,
    AGGREGATE_RATE
};

/* --- the first and the last ------------------------------------------------------------------- */

struct end_of_group {
    sqlite3_value *value; /* NULL: no row yet */
    int64_t t_ms;
};

static void
step_end(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const bool is_last = *(const enum aggregate *)sqlite3_user_data(context) == AGGREGATE_LAST;
    struct end_of_group *g = sqlite3_aggregate_context(context, sizeof *g);
    bool is_null = sqlite3_value_type(argv[0]) == SQLITE_NULL;
    (void)argc;
    if (g == NULL || is_null || sqlite3_value_numeric_type(argv[1]) == SQLITE_NULL) return;
    int64_t t = sqlite3_value_int64(argv[1]);
    if (g->value != NULL && (is_last ? t < g->t_ms : t >= g->t_ms)) return;
    sqlite3_value *copy = sqlite3_value_dup(argv[0]);
    if (copy == NULL) {
        sqlite3_result_error_nomem(context);
        return;
    }
    sqlite3_value_free(g->value);
    *g = (struct end_of_group){copy, t};
}

static void
final_end(sqlite3_context *context)
{
    struct end_of_group *g = sqlite3_aggregate_context(context, 0);
    if (g == NULL || g->value == NULL) return;
    sqlite3_result_value(context, g->value);
    sqlite3_value_free(g->value);
}

/* --- points of a group ------------------------------------------------------------------------ */

/* A sample, or a bucket with its bound. */
struct group_point {
    union {
        int64_t t_ms;
        double bound;
    };
    double value;
};

struct group_points {
    struct group_point *items;
    uint64_t count, capacity;
    char *series;
    int series_size;
    double q;
    bool is_unsorted;
};

/* Adds a point. NULL: there is no memory, which was said. */
static struct group_point *
add_point(sqlite3_context *context, struct group_points *p)
{
    if (p->count == p->capacity) {
        uint64_t capacity = p->capacity == 0 ? 64 : 2 * p->capacity;
        struct group_point *items = sqlite3_realloc64(p->items, capacity * sizeof *items);
        if (items == NULL) {
            sqlite3_result_error_nomem(context);
            return NULL;
        }
        p->items = items;
        p->capacity = capacity;
    }
    return &p->items[p->count++];
}

static int
by_value(const void *a, const void *b)
{
    double x = ((const struct group_point *)a)->value, y = ((const struct group_point *)b)->value;
    return (x > y) - (x < y);
}

static int
by_time(const void *a, const void *b)
{
    int64_t x = ((const struct group_point *)a)->t_ms, y = ((const struct group_point *)b)->t_ms;
    return (x > y) - (x < y);
}

static int
by_bound(const void *a, const void *b)
{
    double x = ((const struct group_point *)a)->bound, y = ((const struct group_point *)b)->bound;
    return (x > y) - (x < y);
}

static void
points_end(struct group_points *p)
{
    sqlite3_free(p->items);
    sqlite3_free(p->series);
}

/* --- quantile, stddev --------------------------------------------------------------------------
 */

static void
step_quantile(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct group_points *p = sqlite3_aggregate_context(context, sizeof *p);
    (void)argc;
    if (p == NULL || sqlite3_value_type(argv[1]) == SQLITE_NULL) return;
    if (p->count == 0) p->q = sqlite3_value_double(argv[0]);
    struct group_point *point = add_point(context, p);
    if (point != NULL) point->value = sqlite3_value_double(argv[1]);
}

static void
final_quantile(sqlite3_context *context)
{
    struct group_points *p = sqlite3_aggregate_context(context, 0);
    if (p == NULL || p->count == 0) return;
    qsort(p->items, p->count, sizeof *p->items, by_value);
    double rank = p->q * (double)(p->count - 1);
    if (p->q < 0 || p->q > 1) {
        sqlite3_result_double(context, p->q < 0 ? -INFINITY : INFINITY);
    } else {
        uint64_t low = (uint64_t)floor(rank), high = low + 1 < p->count ? low + 1 : p->count - 1;
        double weight = rank - floor(rank);
        sqlite3_result_double(context,
                              p->items[low].value * (1 - weight) + p->items[high].value * weight);
    }
    points_end(p);
}

struct moments {
    uint64_t count;
    double mean, squares;
};

static void
step_stddev(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct moments *m = sqlite3_aggregate_context(context, sizeof *m);
    (void)argc;
    if (m == NULL || sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
    double x = sqlite3_value_double(argv[0]), before = x - m->mean;
    m->count++;
    m->mean += before / (double)m->count;
    m->squares += before * (x - m->mean);
}

static void
final_stddev(sqlite3_context *context)
{
    const struct moments *m = sqlite3_aggregate_context(context, 0);
    if (m != NULL && m->count > 0)
        sqlite3_result_double(context, sqrt(m->squares / (double)m->count));
}

/* --- rate, increase, delta ---------------------------------------------------------------------
 */

static void
step_samples(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct group_points *p = sqlite3_aggregate_context(context, sizeof *p);
    struct bytes series = sql_text(argv[0]);
    (void)argc;
    if (p == NULL || series.at == NULL || sqlite3_value_type(argv[2]) == SQLITE_NULL ||
        sqlite3_value_type(argv[1]) == SQLITE_NULL)
        return;
    if (p->series == NULL) {
        p->series = sqlite3_malloc64(series.size + 1);
        if (p->series == NULL) {
            sqlite3_result_error_nomem(context);
            return;
        }
        memcpy(p->series, series.at, series.size);
        p->series_size = (int)series.size;
    } else if ((size_t)p->series_size != series.size ||
               memcmp(p->series, series.at, series.size) != 0) {
        sql_fail_function(context,
                          "rate(), increase() and delta() are of one series: GROUP BY series");
        return;
    }
    struct group_point *point = add_point(context, p);
    if (point == NULL) return;
    *point = (struct group_point){.t_ms = sqlite3_value_int64(argv[1]),
                                  .value = sqlite3_value_double(argv[2])};
    p->is_unsorted |= p->count > 1 && point[-1].t_ms > point->t_ms;
}

/* Returns what was added between the samples, with a reset where a value is less than the one
 * before, as PromQL counts them. */
static double
increase_of(const struct group_points *p)
{
    double sum = p->items[p->count - 1].value - p->items[0].value;
    for (uint64_t i = 1; i < p->count; i++)
        if (p->items[i].value < p->items[i - 1].value) sum += p->items[i - 1].value;
    return sum;
}

static void
final_change(sqlite3_context *context)
{
    const enum aggregate kind = *(const enum aggregate *)sqlite3_user_data(context);
    struct group_points *p = sqlite3_aggregate_context(context, 0);
    if (p == NULL) return;
    if (p->is_unsorted) qsort(p->items, p->count, sizeof *p->items, by_time);
    if (p->count > 1) {
        const struct group_point *first = &p->items[0], *last = &p->items[p->count - 1];
        double value = kind == AGGREGATE_DELTA ? last->value - first->value : increase_of(p);
        if (kind == AGGREGATE_RATE) value /= (double)(last->t_ms - first->t_ms) / 1000;
        sqlite3_result_double(context, value);
    }
    points_end(p);
}

/* --- histogram_quantile ------------------------------------------------------------------------
 */

static void
step_buckets(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct group_points *p = sqlite3_aggregate_context(context, sizeof *p);
    struct bytes text = sql_text(argv[1]);
    double bound = sqlite3_value_double(argv[1]);
    uint64_t bits;
    (void)argc;
    if (p == NULL || sqlite3_value_type(argv[1]) == SQLITE_NULL ||
        sqlite3_value_type(argv[2]) == SQLITE_NULL)
        return;
    if (text.at != NULL) {
        if (!number_parse((const char *)text.at, text.size, &bits)) return; /* as PromQL */
        bound = bits_double(bits);
    }
    if (p->count == 0) p->q = sqlite3_value_double(argv[0]);
    struct group_point *point = add_point(context, p);
    if (point != NULL)
        *point = (struct group_point){.bound = bound, .value = sqlite3_value_double(argv[2])};
}

/* Adds up equal bounds; a count below the one before is raised to it. */
static void
join_buckets(struct group_points *p)
{
    uint64_t kept = 0;
    qsort(p->items, p->count, sizeof *p->items, by_bound);
    for (uint64_t i = 0; i < p->count; i++)
        if (kept > 0 && p->items[kept - 1].bound == p->items[i].bound)
            p->items[kept - 1].value += p->items[i].value;
        else
            p->items[kept++] = p->items[i];
    p->count = kept;
    for (uint64_t i = 1; i < kept; i++)
        if (p->items[i].value < p->items[i - 1].value) p->items[i].value = p->items[i - 1].value;
}

static void
final_buckets(sqlite3_context *context)
{
    struct group_points *p = sqlite3_aggregate_context(context, 0);
    if (p == NULL || p->count == 0) return;
    join_buckets(p);
    const struct group_point *last = &p->items[p->count - 1];
    bool is_whole = p->count > 1 && isinf(last->bound) && last->value > 0;
    if (p->q < 0 || p->q > 1) {
        sqlite3_result_double(context, p->q < 0 ? -INFINITY : INFINITY);
    } else if (is_whole) {
        double rank = p->q * last->value, begin = 0, before = 0;
        uint64_t i = 0;
        while (i + 1 < p->count && p->items[i].value < rank)
            i++;
        const struct group_point *b = &p->items[i];
        if (i > 0) {
            begin = b[-1].bound;
            before = b[-1].value;
        }
        if (i + 1 == p->count)
            sqlite3_result_double(context, begin);
        else if (i == 0 && b->bound <= 0)
            sqlite3_result_double(context, b->bound);
        else
            sqlite3_result_double(context, begin + (b->bound - begin) * (rank - before) /
                                                       (b->value - before));
    }
    points_end(p);
}

int
sql_add_aggregates(struct sql *sql)
{
    static const struct {
        enum aggregate kind; /* first: what functions get */
        const char *name;
        int arguments;
        void (*step)(sqlite3_context *context, int argc, sqlite3_value **argv);
        void (*final)(sqlite3_context *context);
    } all[] = {
        {AGGREGATE_FIRST, "first", 2, step_end, final_end},
        {AGGREGATE_LAST, "last", 2, step_end, final_end},
        {AGGREGATE_OTHER, "quantile", 2, step_quantile, final_quantile},
        {AGGREGATE_OTHER, "stddev", 1, step_stddev, final_stddev},
        {AGGREGATE_DELTA, "delta", 3, step_samples, final_change},
        {AGGREGATE_INCREASE, "increase", 3, step_samples, final_change},
        {AGGREGATE_RATE, "rate", 3, step_samples, final_change},
        {AGGREGATE_OTHER, "histogram_quantile", 3, step_buckets, final_buckets},
    };
    int code = SQLITE_OK;
    for (unsigned i = 0; i < sizeof all / sizeof *all && code == SQLITE_OK; i++)
        code = sqlite3_create_function_v2(sql->db, all[i].name, all[i].arguments,
                                          SQL_FUNCTION_FLAGS, (void *)(uintptr_t)&all[i], NULL,
                                          all[i].step, all[i].final, NULL);
    return code;
}
