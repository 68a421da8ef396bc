/*
 * ndjson_line.h - a sample as one line of JSON: the common format of export, files, object storage
 * and streams, which text_json.c reads back bit for bit.
 *
 *     {"name":"up","time":1700000000000,"value":1,"labels":{"__name__":"up","job":"x"}}
 *
 * - "value" is null for everything but a finite number. A float without a JSON number has a second
 *   member: "bits":"7ff0000000000002", its 64 bits as 16 hex digits. Minus zero is -0.0.
 * - "start_ms":MS: time when counting began, if known.
 * - "histogram":{...}: a native histogram, see histogram_json.h; "value" is null.
 * - "exemplars":[{"labels":{...},"value":N,"time":MS},...], values and labels as those of the line.
 *   A line without value, bits and histogram only carries its exemplars.
 * - "name" repeats the label __name__; "" if the series has none.
 * - A label whose name or value is not UTF-8 is in "labels_hex" instead of "labels", name and value
 *   both as hex digits: {"6a6f62":"ff"}. (If it is the metric's name, "name" is "".)
 *
 * All functions append to `to`. Out of memory shows in buf_error(to), which then holds a part.
 */
#ifndef WIRE_JSON_NDJSON_LINE_H
#define WIRE_JSON_NDJSON_LINE_H

#include "base/buf.h"
#include "wire/labelled_sample.h"

/* Appends a whole line, line feed included: a sample or, if `exemplar_labels` is not NULL, an
 * exemplar of the series, with its value and time. `to` is unchanged if the line does not fit. */
void ndjson_line_put(struct buf *to, const struct labelled_sample *sample,
                     const struct bytes *exemplar_labels);

/* The pieces of a line, for many lines of one series, which share head and tail. The head ends
 * before a comma, the tail begins with one. The labels of the sample are not used. */
void ndjson_head_put(struct buf *to, struct bytes labels);
void ndjson_sample_put(struct buf *to, const struct labelled_sample *sample);
void ndjson_tail_put(struct buf *to, struct bytes labels);

#endif
