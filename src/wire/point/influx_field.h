/*
 * influx_field.h - the field of a database of InfluxDB that a metric is, and the help text of the
 * metric's metadata that says so.
 *
 * Threads: any; each call uses only its arguments.
 */
#ifndef WIRE_POINT_INFLUX_FIELD_H
#define WIRE_POINT_INFLUX_FIELD_H

#include "base/buf.h"

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

#endif
