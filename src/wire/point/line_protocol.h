/*
 * line_protocol.h - a sample as a line of InfluxDB's line protocol.
 *
 *     up,__name__=up,job=x value=1 1700000000000
 *     up,__name__=up,job=x bits="7ff0000000000002" 1700000000000
 *     lag,__name__=lag histogram="{\"count_int\":3,...}" 1700000000000
 *
 * The measurement is the metric's name, the tags are all labels, __name__ among them, as
 * InfluxDB's own endpoint for Prometheus has it. A finite float is the field `value`; what
 * InfluxDB's floats cannot be is a text: `bits`, 64 bits as 16 hex digits, or `histogram`
 * (histogram_json.h). Start times and exemplars have no place.
 *
 * A name or value that the protocol cannot carry, or that some version takes for something else,
 * is coded: "~%", then the text with each byte that is a control character, one of `%\,= ` or no
 * UTF-8 as %XX. These are coded:
 * - what has a control character (a line feed above all), or is no UTF-8;
 * - what has a backslash before another one, before `,`, `=` or a space, or at its end;
 * - what begins with "~%" itself;
 * - tag keys beginning with _ (reserved) but for __name__, and `time`, `value`, `bits` and
 *   `histogram` (a column is either a tag or a field);
 * - measurements that begin with _ or #, that have a =, and the one that is empty because the
 *   series has no name.
 */
#ifndef WIRE_POINT_LINE_PROTOCOL_H
#define WIRE_POINT_LINE_PROTOCOL_H

#include "base/buf.h"
#include "wire/shape.h"

enum {
    LINE_KEY_BYTES_MAX = 65535,  /* measurement, tags and field key, as InfluxDB 1 counts them */
    LINE_TEXT_BYTES_MAX = 65535, /* of a field that is a text */
};
#define LINE_TIME_MS_MAX INT64_C(9223372036854) /* InfluxDB keeps nanoseconds in 64 bits */

/* Of what the timestamp is a count; the request names the same. */
enum line_precision { LINE_MILLISECONDS, LINE_MICROSECONDS, LINE_NANOSECONDS };

struct line_point {
    struct bytes labels; /* canonical label bytes */
    int64_t t_ms;
    uint64_t bits;
    const struct histogram *histogram; /* NULL: the float counts */
};

/*
 * Appends a line, line feed included.
 * ERR_INPUT   InfluxDB cannot take it: too large, or its time is beyond LINE_TIME_MS_MAX either
 *             way; `why` says which.
 * Else the error of `to`. After an error `to` holds what it held before.
 */
MUST_CHECK enum err line_protocol_put(struct buf *to, const struct line_point *point,
                                      enum line_precision precision, struct why *why);

enum line_role { LINE_TAG_KEY, LINE_TAG_VALUE, LINE_MEASUREMENT };
/* Whether a text goes coded. */
bool line_text_is_coded(struct bytes text, enum line_role role);

/* Appends a text as InfluxDB keeps it and gives it back: coded or as it is, nothing escaped. The
 * error of `to`. */
void line_text_put(struct buf *to, struct bytes text, enum line_role role);

/*
 * Appends what a tag key, tag value or measurement, as InfluxDB gives it back, stands for.
 * ERR_INPUT: it is coded, but not by us. Else the error of `to`.
 */
MUST_CHECK enum err line_text_decode(struct buf *to, struct bytes text);

#endif
