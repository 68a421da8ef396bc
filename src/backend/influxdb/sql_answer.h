/*
 * sql_answer.h - rows of InfluxDB 3 as lines of JSON, of the three queries that sql.c asks. Members
 * come in any order, and are left out if they are null; others are stepped over. An error shows in
 * the scan, and then the row has no meaning.
 */
#ifndef BACKEND_INFLUXDB_SQL_ANSWER_H
#define BACKEND_INFLUXDB_SQL_ANSWER_H

#include "wire/json/json_scan.h"
#include "wire/shape.h"

/* A row of information_schema.columns; `at` is NULL for a missing member. */
struct sql_column {
    struct bytes table, name, type;
};
void sql_read_column(struct scan *s, struct sql_column *ret);

/* {"t0":"x","t2":"y"}: the present ones of `tag_count` tags, by number. Returns how many. */
struct sql_tag {
    uint32_t number;
    struct bytes value;
};
uint32_t sql_read_tags(struct scan *s, uint32_t tag_count, struct sql_tag *tags);

/* {"k":0,"t":1700000000000000000,"v":1.5}. Cells: value, bits, histogram; `at` is NULL for null. */
struct sql_sample {
    bool whole; /* it has a key and a time */
    int64_t key;
    int64_t t_ns;
    struct bytes cells[3];
};
void sql_read_sample(struct scan *s, struct sql_sample *ret);

#endif
