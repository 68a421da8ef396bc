/*
 * influx.h - lines of InfluxDB's line protocol as series. Each number of a line is a sample of the
 * metric MEASUREMENT_FIELD, or of MEASUREMENT if the field is `value`; tags are labels. The help
 * text of the metric's metadata says which field of which database it is.
 *
 * Source: InfluxDB's documentation of the line protocol; docs/inputs.md says what differs.
 *
 * Threads: any; each call uses only its arguments.
 */
#ifndef INPUTS_INFLUX_INFLUX_H
#define INPUTS_INFLUX_INFLUX_H

#include "base/buf.h"
#include "inputs/input.h"
#include "wire/point/influx_field.h"
#include "wire/remote/remote_write.h"

struct influx_lines {
    struct bytes database;
    int64_t unit_ns; /* of the times; 0: each says it by its size */
    int64_t now_ms;  /* of lines without a time */
    /* Appends the help text of a metric, if it has one. ERR_NOMEM. */
    enum err (*find_help)(void *context, struct bytes metric, struct buf *to);
    void *context;
};

/* Reads lines into the request, which names the fields of new metrics in its metadata, and claims
 * them. `seed` is secret. ERR_LIMIT: the series need too much memory; ERR_NOMEM. After an error the
 * request is cleared. */
MUST_CHECK enum err influx_decode(const struct influx_lines *lines, struct bytes text,
                                  uint64_t seed, struct rw_request *to, struct input_outcome *ret,
                                  struct why *why);

#endif
