/*
 * influxql_answer.h - a chunk of a response of /query (InfluxDB 1), a line of JSON:
 *
 *     {"results":[{"statement_id":0,"series":[{"name":"up","tags":{"job":"x"},
 *       "columns":["time","value"],"values":[[1700000000000,1]],"partial":true}],"partial":true}]}
 *
 * Members of an object may come in any order, but `values` after those that describe them. Unknown
 * members are skipped.
 */
#ifndef BACKEND_INFLUXDB_INFLUXQL_ANSWER_H
#define BACKEND_INFLUXDB_INFLUXQL_ANSWER_H

#include "wire/json/json_scan.h"
#include "wire/shape.h"

enum { INFLUXQL_TAGS_MAX = 1024, INFLUXQL_COLUMNS_MAX = 8 };

struct influxql_series {
    uint32_t statement;
    struct bytes name;
    struct label tags[INFLUXQL_TAGS_MAX]; /* with empty values; may be changed */
    uint32_t tag_count;
    uint32_t column_count;
};

/* The kind of a cell of a row. */
enum influxql_kind { INFLUXQL_NULL, INFLUXQL_NUMBER, INFLUXQL_TEXT, INFLUXQL_BOOL };
struct influxql_cell {
    enum influxql_kind kind;
    struct bytes text; /* digits, or the text; "1" or "0" of INFLUXQL_BOOL */
};

/* Views end with the call. An error of a call ends the reading and is returned. */
struct influxql_sink {
    /* Called before the rows of a series. */
    enum err (*series)(void *context, struct influxql_series *series, struct why *why);
    enum err (*row)(void *context, const struct influxql_cell *cells, uint32_t count,
                    struct why *why);
    /* A statement ended, or continues in the next line (`more`). */
    enum err (*statement)(void *context, uint32_t statement, bool more, struct why *why);
    /* A sentence of the server, about one statement or all. */
    enum err (*error)(void *context, struct bytes sentence, struct why *why);
    void *context;
};

/* ERR_CORRUPT: it is not such a line; ERR_NOMEM: `scratch` is full; errors of the sink. */
MUST_CHECK enum err influxql_read_line(struct bytes line, struct arena *scratch,
                                       const struct influxql_sink *to, struct why *why);

#endif
