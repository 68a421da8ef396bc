/*
 * influxql.h - answers InfluxQL over the samples of a view. docs/influxql.md
 * says what is answered; measurements and fields are those that inputs/influx
 * names in metadata, and for other metrics the measurement of their name in the
 * database `prometheus`, with the field `value`.
 *
 * Threads: a query belongs to one. Memory: results are in the arena of the
 * query.
 */
#ifndef INFLUXQL_INFLUXQL_H
#define INFLUXQL_INFLUXQL_H

#include "influxql/tree.h"
#include "model/select.h"
#include "sys/zone.h"
#include "wire/point/influx_field.h"

#define INFLUXQL_PROMETHEUS "prometheus" /* the database of other metrics */

/* The type of a column: of a field, or a text. */
enum cell_type { CELL_FLOAT, CELL_INTEGER, CELL_BOOLEAN, CELL_TEXT };

struct result_column {
    struct bytes name;
    enum cell_type type;
};

/* A series of a result. Cells are row by row; those of texts are indexes of the
 * query's; a NaN is null. */
struct result_series {
    struct bytes name;  /* empty: none */
    struct label *tags; /* of GROUP BY, by name */
    uint32_t tag_count;
    struct result_column *columns; /* without the time */
    uint32_t column_count;
    int64_t *times;          /* Unix, in ns; NULL: it has no time */
    const struct zone *zone; /* in which texts of times are; NULL: UTC */
    double *cells;
    uint32_t row_count;
};

struct result {
    struct result_series *items;
    uint32_t count;
};

/* The texts of cells. */
struct texts {
    struct bytes *items;
    uint32_t count;
};

/* Returns the text of a cell; empty if it has none. */
static inline struct bytes
text_of_cell(const struct texts *texts, double cell)
{
    bool is_there = cell >= 0 && cell < texts->count;
    return is_there ? texts->items[(size_t)cell] : bytes_of_text("");
}

/* A query: statements that see the same moment. */
struct influxql {
    struct view *view;
    struct query_request request; /* of all times, without sets */
    struct arena *arena;
    struct budget *budget;
    int64_t now_ms;
    struct bytes database;        /* of the request; may be empty */
    const struct zone *zone;      /* of the SELECT that is answered; NULL: UTC */
    struct measurements *catalog; /* private */
    struct texts texts;
    struct why *why;
};

/* Answers a statement but for CREATE DATABASE. ERR_INPUT, ERR_UNSUPPORTED: with
 * InfluxDB's sentence; ERR_LIMIT, ERR_NOMEM, ERR_CANCELED, and errors of the
 * view. */
MUST_CHECK enum err influxql_run(struct influxql *query, const struct statement *statement,
                                 struct result *ret);

/* --- output.c
 * ---------------------------------------------------------------------------------
 */

struct result_form {
    int64_t unit_ns; /* of times; 0: RFC 3339 */
    bool is_csv;
};

/* Appends some rows of a series: as an object, without `partial`, or as lines
 * of CSV. */
void result_series_put(struct buf *to, const struct result_series *series,
                       const struct texts *texts, const struct result_form *form, uint32_t from,
                       uint32_t count, bool is_partial);

#endif
