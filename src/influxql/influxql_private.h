/* influxql_private.h - private to influxql/: what its files share. */
#ifndef INFLUXQL_INFLUXQL_PRIVATE_H
#define INFLUXQL_INFLUXQL_PRIVATE_H

#include <math.h>

#include "influxql/influxql.h"
#include "model/labels.h"

#define NO_TIME_MIN INT64_MIN
#define NO_TIME_MAX INT64_MAX

/* Keeps a text for a cell. ERR_NOMEM. */
MUST_CHECK enum err text_cell(struct influxql *q, struct bytes text, double *ret);

static inline enum err
query_no_memory(struct influxql *q)
{
    return why_set(q->why, ERR_NOMEM, "not enough memory for the query");
}

/* --- measurements.c: databases, measurements and fields
 * ------------------------------------------- */

struct measured_field {
    struct bytes name, metric;
    enum cell_type type;
};

struct measurement {
    struct bytes database, name;
    struct measured_field *fields; /* by name */
    uint32_t field_count;
};

struct measurements {
    struct measurement *items; /* by database, then by name */
    uint32_t count;
};

/* Reads the catalog once. */
MUST_CHECK enum err measurements_read(struct influxql *q);
/* Finds the measurements that a source names, in order; measurements of
 * `database` if the source names none. ERR_INPUT: neither does. */
MUST_CHECK enum err measurements_find(struct influxql *q, const struct iql_source *source,
                                      struct bytes database, const struct measurement ***ret,
                                      uint32_t *ret_count);
const struct measured_field *measurement_field(const struct measurement *m, struct bytes name);

/* --- where.c: conditions
 * ---------------------------------------------------------------------- */

struct bounds {
    int64_t min_ns, max_ns; /* inclusive; NO_TIME_MIN and NO_TIME_MAX: none */
};

/* Takes the times out of a condition, which is a conjunction as far as they are
 * concerned; the rest is *ret_rest, NULL if there is none. ERR_INPUT: a time
 * that cannot be read. */
MUST_CHECK enum err where_split(struct influxql *q, const struct expr *where, struct bounds *bounds,
                                const struct expr **ret_rest);
/* Evaluates a time such as now() - 1h, in ns. False: it is none. */
bool where_time(const struct influxql *q, const struct expr *x, int64_t *ret_ns);

/* A row of a series, about which a condition is asked. */
struct frame;
struct frame_series;
struct row_of {
    const struct influxql *q;
    const struct frame *frame;
    const struct frame_series *series;
    const double *cells; /* NULL: only tags are known, and a condition on a field holds */
};
/* Sets the slots of names, and whether each is a field of the frame or a tag.
 */
void expr_resolve(struct expr *x, const struct frame *frame);
/* The value of an expression of numbers; a NaN is null. The type of one. */
double expr_value(const struct expr *x, const struct row_of *row);
enum cell_type expr_type(const struct expr *x, const struct frame *frame);
/* These are resolved. */
bool where_holds(const struct expr *where, const struct row_of *row);

/* Returns the value of a tag; empty without it. */
struct bytes tag_of(const struct frame_series *series, struct bytes name);

/* --- frame.c: the rows of a measurement or of a subquery
 * -------------------------------------- */

struct frame_field {
    struct bytes name;
    enum cell_type type;
};

struct frame_series {
    struct label *tags; /* by name */
    uint32_t tag_count;
    int64_t *times; /* in ns */
    double *cells;  /* row by row, of all fields of the frame; a NaN is null */
    uint32_t row_count;
};

struct frame {
    struct bytes name;
    struct frame_field *fields;
    uint32_t field_count;
    struct frame_series *series;
    uint32_t series_count;
};

/* Reads the samples of those fields of a measurement that `is_needed` has, of
 * series that may fit the condition, which it resolves; NULL: none. */
MUST_CHECK enum err frame_read(struct influxql *q, const struct measurement *m,
                               const bool *is_needed, struct expr *where, struct bounds bounds,
                               struct frame *ret);
/* Finds the series of a measurement that fit the condition as far as it is
 * about tags, without rows. */
MUST_CHECK enum err frame_tags(struct influxql *q, const struct measurement *m, struct expr *where,
                               struct bounds bounds, struct frame *ret);

/* --- select.c
 * ---------------------------------------------------------------------------------
 */

/* Answers a SELECT. `outer` bounds it from outside, for a subquery. */
MUST_CHECK enum err select_run(struct influxql *q, const struct select *s, struct bounds outer,
                               struct result *ret);

/* --- functions.c
 * ------------------------------------------------------------------------------
 */

/* Points in time order, of which none is null. `rows` says from which row of
 * the group each came, if it came from one. */
struct points {
    int64_t *times;
    double *values;
    uint32_t *rows;
    uint32_t count;
};

/* The times of windows, which begin at multiples of the interval in local time. */
struct window_times {
    int64_t interval_ns; /* 0: there is one window */
    int64_t offset_ns;
    const struct zone *zone; /* NULL: UTC */
};
/* The time from one to another, in ns. */
static inline double
time_between(int64_t from, int64_t to)
{
    int64_t ns;
    return __builtin_sub_overflow(to, from, &ns) ? (double)to - (double)from : (double)ns;
}
int64_t window_begin(const struct window_times *times, int64_t t_ns);
/* The beginning of the next window. */
int64_t window_end(const struct window_times *times, int64_t begin_ns);

/* A call of a function for the points of a window, which are not none. */
struct point_window {
    struct influxql *q;
    const struct points *in;
    const double *arguments;          /* besides the field; durations in ns */
    const struct window_times *times; /* of integral() */
    struct points *to;                /* appended to; has room for as many points as there are */
};

enum function_kind {
    FUNCTION_AGGREGATE, /* one value of a window */
    FUNCTION_SELECTOR,  /* one point of a window */
    FUNCTION_MANY,      /* several points of a window */
    FUNCTION_WHOLE,     /* a value of each window, from the points of all */
    FUNCTION_CHANGE,    /* of points, or of the results of another function, in a row
                         */
};

enum function_type { GIVES_SAME, GIVES_FLOAT, GIVES_INTEGER }; /* the type of the field, or this */

struct iql_function {
    const char *name;
    enum function_kind kind;
    uint8_t arguments_min, arguments_max; /* besides the field */
    enum function_type type;
    bool takes_duration; /* as its argument; else a whole number */
    enum err (*run)(const struct point_window *w);
};
/* NULL: there is none. */
const struct iql_function *iql_function(struct bytes name);

#endif
