/*
 * opentsdb_point.h - a sample as one point for OpenTSDB's /api/put.
 *
 *     {"metric":"node__load1","timestamp":1700000000000,"value":0.25,"tags":{"job":"a_.b"}}
 *
 * Metric names and tag values are escaped as Prometheus' own adapter does: letters, digits and
 * `-./` as they are, `_` as `__`, `:` as `_.`, every other byte as `_` and two hex digits, upper
 * case. Tag names are labels as they are if Prometheus takes them without quotes and they do not
 * begin with U__; else in the form of escaped_name.h. So all of it is reversible.
 *
 * A finite float is exact: an integer only where OpenTSDB's float would be that integer, else with
 * a point or an exponent. (OpenTSDB keeps floats of 64 bits since 2.4.)
 */
#ifndef WIRE_POINT_OPENTSDB_POINT_H
#define WIRE_POINT_OPENTSDB_POINT_H

#include "base/buf.h"
#include "wire/shape.h"

struct opentsdb_point {
    struct bytes labels; /* canonical label bytes */
    int64_t t_ms;
    uint64_t bits;
};

/*
 * Appends one point, an object without anything around it. `max_tags`: tsd.storage.max_tags of the
 * server.
 * ERR_INPUT   OpenTSDB has no form for it, `why` says what it is:
 *             - a value that is not finite (nor has it one for histograms);
 *             - no name, or no label besides: it wants a tag at least. Give all series of the
 *               destination one, by external labels, and this does not happen;
 *             - more tags than `max_tags`;
 *             - a time before 1970-01-01T00:00:01Z or after the year 2286, or one before September
 *               2001 that is no whole second: shorter numbers are taken for seconds.
 * Else the error of `to`. After an error `to` holds what it held before.
 */
MUST_CHECK enum err opentsdb_point_put(struct buf *to, const struct opentsdb_point *point,
                                       uint32_t max_tags, struct why *why);

/* The escaped form alone, as queries want it. Out of memory shows in buf_error(to). */
void opentsdb_value_put(struct buf *to, struct bytes text); /* metric names and tag values */
void opentsdb_tag_put(struct buf *to, struct bytes name);   /* tag names */

/*
 * Append what stands in OpenTSDB as a metric name or tag value, and as a tag name, means. The
 * first also reads `_` and a single digit, which Prometheus' adapter writes for bytes below 0x10,
 * where no second digit follows. ERR_INPUT: no adapter writes that. Else the error of `to`.
 */
MUST_CHECK enum err opentsdb_value_get(struct buf *to, struct bytes text);
MUST_CHECK enum err opentsdb_tag_get(struct buf *to, struct bytes name);

#endif
