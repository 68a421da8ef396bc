/*
 * influxdb_answer.h - the points that a refusal of InfluxDB is about: how many, and which.
 *
 *   1  {"error":"partial write: field type conflict: input field \"value\" on measurement \"up\" is
 *      type float, already exists as type integer dropped=3"}
 *   2  {"code":"unprocessable entity","message":"failure writing points to database: partial write:
 *      points beyond retention policy dropped=2"}
 *   3  {"error":"...","data":{"original_line":"up,job=x value=1 17","line_number":1,...}}
 *
 * If a request's points lie in several shards, versions 1 and 2 report one of them: at least so
 * many points are refused, and the measurement is one of several. The names say only where to look
 * first.
 *
 * Threads: one.
 */
#ifndef BACKEND_INFLUXDB_INFLUXDB_ANSWER_H
#define BACKEND_INFLUXDB_INFLUXDB_ANSWER_H

#include "base/buf.h"

struct influxdb_refusal {
    uint64_t dropped; /* at least so many are refused; 0 if unknown */
    bool by_series;   /* refused because of a limit of series: other points of the request may be
                         accepted without them */
    bool passes;      /* refused for a reason that ends by itself */
};

/* Reads a body; others than those above say nothing. */
void influxdb_answer_read(struct bytes body, struct influxdb_refusal *ret_refusal);

#endif
