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
#include "wire/shape.h"

struct ndjson_exemplar {
    struct bytes labels; /* canonical, may be empty */
    int64_t t_ms;
    uint64_t bits;
};

enum ndjson_kind { NDJSON_FLOAT, NDJSON_HISTOGRAM, NDJSON_EXEMPLARS };

/* The content of a line besides its labels. All views are borrowed. */
struct ndjson_sample {
    enum ndjson_kind kind;
    int64_t t_ms;
    int64_t start_ms;                  /* 0 if not known */
    uint64_t bits;                     /* for NDJSON_FLOAT */
    const struct histogram *histogram; /* for NDJSON_HISTOGRAM */
    const struct ndjson_exemplar *exemplars;
    uint32_t exemplar_count;
};

/* Appends a whole line, line feed included. `labels`: canonical label bytes. `to` is unchanged if
 * the line does not fit. */
void ndjson_line_put(struct buf *to, struct bytes labels, const struct ndjson_sample *sample);

/* The pieces of a line, for many lines of one series, which share head and tail. The head ends
 * before a comma, the tail begins with one. */
void ndjson_head_put(struct buf *to, struct bytes labels);
void ndjson_sample_put(struct buf *to, const struct ndjson_sample *sample);
void ndjson_tail_put(struct buf *to, struct bytes labels);

#endif
