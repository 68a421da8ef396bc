/*
 * opentsdb_point.h - a sample as one point for OpenTSDB's /api/put.
 *
 *     {"metric":"node__load1","timestamp":1700000000000,"value":0.25,"tags":{"job":"a_.b"}}
 *
 * Metric names and tag values are escaped as Prometheus' own adapter does: letters, digits and
 * `-./` unchanged, `_` as `__`, `:` as `_.`, every other byte as `_` and two upper case hex digits.
 * Tag names are unchanged labels if Prometheus accepts them without quotes and they do not begin
 * with U__; else in the form of escaped_name.h. So everything can be reversed.
 *
 * A finite float is exact: written as an integer only if OpenTSDB's float equals that integer, else
 * with a point or an exponent. (OpenTSDB keeps floats of 64 bits since 2.4.)
 */
#ifndef WIRE_POINT_OPENTSDB_POINT_H
#define WIRE_POINT_OPENTSDB_POINT_H

#include "base/buf.h"
#include "wire/shape.h"

/*
 * Appends one point, a JSON object. `max_tags`: tsd.storage.max_tags of the server.
 * ERR_INPUT   OpenTSDB has no form for the sample, `why` names the reason:
 *             - a histogram, or a value that is not finite;
 *             - no name, or no other label: a point needs at least one tag. An external label
 *               for all series of the destination avoids this;
 *             - more tags than `max_tags`;
 *             - a time before 1970-01-01T00:00:01Z or after the year 2286, or one before September
 *               2001 that is not a whole second: shorter numbers are read as seconds.
 * Else the error of `to`. After an error `to` is unchanged.
 */
MUST_CHECK enum err opentsdb_point_put(struct buf *to, const struct labelled_sample *sample,
                                       uint32_t max_tags, struct why *why);

/* Append the escaped form, for queries. Out of memory shows in buf_error(to). */
void opentsdb_value_put(struct buf *to, struct bytes text); /* for metric names and tag values */
void opentsdb_tag_put(struct buf *to, struct bytes name);   /* for tag names */

/* Append the original of an OpenTSDB metric name or tag value, and of a tag name. The first also
 * reads `_` and a single digit, which Prometheus' adapter writes for bytes below 0x10, if a second
 * digit does not follow. ERR_INPUT: no adapter writes this text. Else the error of `to`. */
MUST_CHECK enum err opentsdb_value_get(struct buf *to, struct bytes text);
MUST_CHECK enum err opentsdb_tag_get(struct buf *to, struct bytes name);

#endif
