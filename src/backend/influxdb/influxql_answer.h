/*
 * influxql_answer.h - one piece of a chunked answer of /query (InfluxDB 1), a line of JSON:
 *
 *     {"results":[{"statement_id":0,"series":[{"name":"up","tags":{"job":"x"},
 *       "columns":["time","value"],"values":[[1700000000000,1]],"partial":true}],"partial":true}]}
 *
 * Members of one object may come in any order, but `values` after those that say what they are.
 * What is not known is stepped over.
 */
#ifndef BACKEND_INFLUXDB_INFLUXQL_ANSWER_H
#define BACKEND_INFLUXDB_INFLUXQL_ANSWER_H

#include "wire/json/json_scan.h"
#include "wire/shape.h"

enum { INFLUXQL_TAGS_MAX = 1024, INFLUXQL_COLUMNS_MAX = 8 };

struct influxql_series {
    uint32_t statement;
    struct bytes name;
    struct label tags[INFLUXQL_TAGS_MAX]; /* empty values are among them; may be changed */
    uint32_t tag_count;
    uint32_t column_count;
};

/* What is between two commas of a row. */
enum influxql_kind { INFLUXQL_NULL, INFLUXQL_NUMBER, INFLUXQL_TEXT, INFLUXQL_BOOL };
struct influxql_cell {
    enum influxql_kind kind;
    struct bytes text; /* digits, or the text; of INFLUXQL_BOOL "1" or "0" */
};

/* Views end with the call. An error of a call ends the reading and is returned. */
struct influxql_sink {
    /* Before its rows. */
    enum err (*series)(void *context, struct influxql_series *series, struct why *why);
    enum err (*row)(void *context, const struct influxql_cell *cells, uint32_t count,
                    struct why *why);
    /* A statement has an end (`more` false), or more in the next line. */
    enum err (*statement)(void *context, uint32_t statement, bool more, struct why *why);
    /* What the server says: of one statement, or of all. */
    enum err (*error)(void *context, struct bytes sentence, struct why *why);
    void *context;
};

/* ERR_CORRUPT: it is no such line; ERR_NOMEM: `scratch` is full; errors of the sink. */
MUST_CHECK enum err influxql_read_line(struct bytes line, struct arena *scratch,
                                       const struct influxql_sink *to, struct why *why);

#endif
