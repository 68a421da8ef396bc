/*
 * clickhouse_row.h - a sample as a row for ClickHouse in the format RowBinary.
 *
 *     metric      String    value of __name__; empty if the series has none
 *     labels      String    the other labels: {"instance":"a:9100","job":"node"}
 *     time        Int64     Unix milliseconds
 *     value       Float64   the float, every bit of it; an ordinary NaN for a histogram
 *     bits        UInt64    the 64 bits of `value` if it is not finite, else 0
 *     histogram   String    sample_json.h; empty if the sample is a float
 *     start_time  Int64     when counting began, Unix milliseconds; 0 if not known
 *
 * The text of the labels is canonical, because it is part of the key by which ClickHouse collapses
 * and searches rows: two sets of labels are equal exactly if their texts are. It is a JSON object
 * without blanks, with members ordered by the bytes of their names; `"` and `\` have a backslash
 * before them, line feed, carriage return and tab are
 * , \r and \t, other bytes below 0x20 are \u00XX with lower case digits, and every other byte is
 * unchanged, UTF-8 or not. So `"job":"x"` after `{` or `,` is the label job with the value x.
 */
#ifndef WIRE_POINT_CLICKHOUSE_ROW_H
#define WIRE_POINT_CLICKHOUSE_ROW_H

#include "base/buf.h"
#include "wire/shape.h"

/* ClickHouse's own limit for a string in this format. */
enum { CLICKHOUSE_TEXT_BYTES_MAX = 0xffffff };

/*
 * Appends a row; `with_start`: start_time is its last column.
 * ERR_INPUT   a text is longer than ClickHouse accepts; `why` names it.
 * Else the error of `to`. After an error `to` is unchanged.
 */
MUST_CHECK enum err clickhouse_row_put(struct buf *to, const struct labelled_sample *sample,
                                       bool with_start, struct why *why);

/* Appends the text of labels alone. Out of memory shows in buf_error(to). */
void clickhouse_labels_put(struct buf *to, struct bytes labels);

#endif
