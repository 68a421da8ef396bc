/*
 * line_protocol.h - a sample as a line of InfluxDB's line protocol.
 *
 *     up,__name__=up,job=x value=1 1700000000000
 *     up,__name__=up,job=x bits="7ff0000000000002" 1700000000000
 *     lag,__name__=lag histogram="{\"count_int\":3,...}" 1700000000000
 *
 * The measurement is the metric's name; the tags are all labels including __name__, as written by
 * InfluxDB's own endpoint for Prometheus. A finite float is the field `value`; other values are
 * texts: `bits`, 64 bits as 16 hex digits, or `histogram` (sample_json.h). Start times and
 * exemplars are not written.
 *
 * A name or value that the protocol cannot carry, or that some version misreads, is coded: "~%",
 * then the text with each byte that is a control character, one of `%\,= ` or not UTF-8 as %XX.
 * These texts are coded:
 * - a text with a control character (mostly a line feed) or with bytes that are not UTF-8;
 * - a text with a backslash before another one, before `,`, `=` or a space, or at its end;
 * - a text that begins with "~%";
 * - tag keys beginning with _ (reserved) except __name__, and `time`, `value`, `bits` and
 *   `histogram` (a column is either a tag or a field);
 * - measurements that begin with _ or #, that have a =, and the empty measurement of a series
 *   without a name.
 */
#ifndef WIRE_POINT_LINE_PROTOCOL_H
#define WIRE_POINT_LINE_PROTOCOL_H

#include "base/buf.h"
#include "wire/shape.h"

enum {
    LINE_KEY_BYTES_MAX = 65535,  /* measurement, tags and field key, as InfluxDB 1 counts */
    LINE_TEXT_BYTES_MAX = 65535, /* size of a text field */
};
#define LINE_TIME_MS_MAX INT64_C(9223372036854) /* InfluxDB keeps nanoseconds in 64 bits */

/*
 * Appends a line, line feed included. The unit of its time is milliseconds: the request says so.
 * ERR_INPUT   InfluxDB cannot store it: too large, or the magnitude of its time exceeds
 *             LINE_TIME_MS_MAX; `why` says which.
 * Else the error of `to`. After an error `to` is unchanged.
 */
MUST_CHECK enum err line_protocol_put(struct buf *to, const struct labelled_sample *sample,
                                      struct why *why);

enum line_role { LINE_TAG_KEY, LINE_TAG_VALUE, LINE_MEASUREMENT };
/* True if the text must be coded. */
bool line_text_is_coded(struct bytes text, enum line_role role);

/* Appends a text as InfluxDB stores and returns it: coded or unchanged, without escapes. The error
 * of `to`. */
void line_text_put(struct buf *to, struct bytes text, enum line_role role);

/* Appends the original of a tag key, tag value or measurement that InfluxDB returned. ERR_INPUT: it
 * begins like a coded text but is not one. Else the error of `to`. */
MUST_CHECK enum err line_text_decode(struct buf *to, struct bytes text);

#endif
