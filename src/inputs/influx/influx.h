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
#include "wire/remote/remote_write.h"

#define INFLUX_VERSION "1.8.10" /* whose behavior clients get */

enum influx_type { INFLUX_FLOAT, INFLUX_INTEGER, INFLUX_UNSIGNED, INFLUX_BOOLEAN };

/* A field, which has one type in all its points. */
struct influx_field {
    enum influx_type type;
    struct bytes name, measurement, database;
};

/* The name of a type, as InfluxDB has it. */
const char *influx_type_name(enum influx_type type);
/* Appends the name of the metric that the field is. */
void influx_metric_put(struct buf *to, const struct influx_field *field);
/* Appends the help text that says which field a metric is:
 *     InfluxDB: float field "usage_idle" of "cpu" in "telegraf" */
void influx_help_put(struct buf *to, const struct influx_field *field);
/* Reads it. The texts are views of `to`. False: it is another text, or memory ran out. */
bool influx_help_read(struct bytes help, struct buf *to, struct influx_field *ret);

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
