/* sample_json.h - samples and native histograms as JSON that reads back bit for bit. */
#ifndef WIRE_JSON_SAMPLE_JSON_H
#define WIRE_JSON_SAMPLE_JSON_H

#include "base/buf.h"
#include "wire/json/json_scan.h"
#include "wire/shape.h"

/* Appends a whole line, line feed included: a sample or, if `exemplar_labels` is not NULL, an
 * exemplar of the series, with its value and time. `to` is unchanged if the line does not fit. */
void ndjson_line_put(struct buf *to, const struct labelled_sample *sample,
                     const struct bytes *exemplar_labels);

/* The pieces of a line, for many lines of one series, which share head and tail. The head ends
 * before a comma, the tail begins with one. The labels of the sample are not used. */
void ndjson_head_put(struct buf *to, struct bytes labels);
void ndjson_sample_put(struct buf *to, const struct labelled_sample *sample);
void ndjson_tail_put(struct buf *to, struct bytes labels);

/* --- native histograms ------------------------------------------------------------------------ */

/*
 * Writes a native histogram as a JSON object and reads it back bit for bit.
 *
 *     {"count_int":3,"sum":18.4,"schema":3,"zero_threshold":2.938735877055719e-39,
 *      "zero_count_int":1,"positive_spans":[{"offset":0,"length":2}],"positive_deltas":[1,0]}
 *
 * Members have the names of the fields of remote write 2.0's Histogram message: count_int or
 * count_float, sum, schema, zero_threshold, zero_count_int or zero_count_float; then, unless empty,
 * negative_spans, negative_deltas or negative_counts, the same with positive_, reset_hint (a
 * number; unless 0) and custom_values. Integers of any size are JSON numbers. A double without a
 * JSON number is a text: its 64 bits as 16 hex digits.
 */

/* Out of memory shows in buf_error(to), which then may hold a part of it. */
void histogram_json_put(struct buf *to, const struct histogram *h);

/* Writes the same inside a JSON text: with a backslash before each quote. Returns the bytes without
 * these backslashes. */
size_t histogram_json_put_escaped(struct buf *to, const struct histogram *h);

/* Reads the next value; arrays lie in the arena of `s` and have at most HISTOGRAM_BUCKETS_MAX
 * items. Members may come in any order; unknown ones are skipped, missing ones are 0 or empty, but
 * the count is required and determines the kind. Does not call histogram_check(). On error, see
 * `s`, *ret_histogram is unchanged. */
void histogram_json_scan(struct scan *s, struct histogram *ret_histogram);

#endif
