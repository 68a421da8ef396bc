/*
 * ndjson_line.h - a sample as one line of JSON: what export, files, object storage and streams
 * have in common, and what text_json.c reads back bit for bit.
 *
 *     {"name":"up","time":1700000000000,"value":1,"labels":{"__name__":"up","job":"x"}}
 *
 * - "value" is null for everything that is no finite number. A float that JSON has no number for
 *   stands beside it: "bits":"7ff0000000000002", its 64 bits as 16 hex digits. Minus zero is -0.0.
 * - "start_ms":MS: when the counting began, if that is known.
 * - "histogram":{...}: a native histogram, see histogram_json.h; "value" is null.
 * - "exemplars":[{"labels":{...},"value":N,"time":MS},...], values and labels as those of the line.
 *   A line with neither value, bits nor histogram is there for its exemplars alone.
 * - "name" is the label __name__ again, "" if there is none.
 * - A label whose name or value is no UTF-8 stands not in "labels", but in "labels_hex", name and
 *   value both as hex digits: {"6a6f62":"ff"}. (If it is the metric's name, "name" is "".)
 *
 * All append to `to`. Out of memory shows in buf_error(to); what then stands there is a part.
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

/* What a line says besides whose it is. All views are borrowed. */
struct ndjson_sample {
    enum ndjson_kind kind;
    int64_t t_ms;
    int64_t start_ms;                  /* 0: not known */
    uint64_t bits;                     /* NDJSON_FLOAT */
    const struct histogram *histogram; /* NDJSON_HISTOGRAM */
    const struct ndjson_exemplar *exemplars;
    uint32_t exemplar_count;
};

/*
 * A whole line, line feed included. `labels`: canonical label bytes. `to` is as before if there is
 * no room for all of it.
 */
void ndjson_line_put(struct buf *to, struct bytes labels, const struct ndjson_sample *sample);

/*
 * The same in pieces, for many lines of one series: head and tail are alike in all of them. The
 * head ends before the comma, the tail begins with one.
 */
void ndjson_head_put(struct buf *to, struct bytes labels);
void ndjson_sample_put(struct buf *to, const struct ndjson_sample *sample);
void ndjson_tail_put(struct buf *to, struct bytes labels);

#endif
