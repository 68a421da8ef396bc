/*
 * answer.h - what InfluxDB's refusals say of the points they are about: how many, and
 * which.
 *
 *   1  {"error":"partial write: field type conflict: input field \"value\" on measurement \"up\" is
 *      type float, already exists as type integer dropped=3"}
 *   2  {"code":"unprocessable entity","message":"failure writing points to database: partial write:
 *      points beyond retention policy dropped=2"}
 *   3  {"error":"...","data":{"original_line":"up,job=x value=1 17","line_number":1,...}}
 *
 * Where a request's points lie in several shards, version 1 and 2 tell of one of them: the number
 * is that of points refused at least, and the measurement one of those concerned. What is named
 * here is a reason to look there first, and nothing else.
 *
 * Threads: one.
 */
#ifndef BACKEND_INFLUXDB_ANSWER_H
#define BACKEND_INFLUXDB_ANSWER_H

#include "base/buf.h"

enum { INFLUXDB_NAMES_MAX = 64 };

/* A metric, or those series of it that have a label. Hashes. */
struct influxdb_name {
    uint64_t metric;
    uint64_t label; /* 0: all */
};

struct influxdb_told {
    uint64_t dropped;  /* so many are refused at least; 0: not said */
    bool by_retention; /* for their times */
    bool by_series;    /* for a limit of series: others of the request may fit in without them */
    bool passes;       /* for something that ends by itself */
    struct influxdb_name names[INFLUXDB_NAMES_MAX];
    uint32_t name_count;
};

/* Other bodies say nothing. */
void influxdb_answer_read(struct bytes body, struct budget *memory, struct influxdb_told *ret_told);
/* Whether a series (canonical labels) is among the names. */
bool influxdb_told_names(const struct influxdb_told *told, struct bytes labels);

#endif
