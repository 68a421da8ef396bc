/*
 * otlp.h - OTLP metrics, a message ExportMetricsServiceRequest in protobuf or JSON, as series of
 * Prometheus. Names, labels and samples are those of Prometheus' own receiver (3.14);
 * docs/inputs.md says where more is kept. Source: the specification of opentelemetry-proto.
 *
 * Threads: any; each call uses only its arguments.
 */
#ifndef INPUTS_OTLP_OTLP_H
#define INPUTS_OTLP_OTLP_H

#include "base/buf.h"
#include "base/text/texts.h"
#include "inputs/input.h"
#include "wire/remote/remote_write.h"

enum otlp_translation {
    OTLP_ESCAPE_WITH_SUFFIXES,
    OTLP_ESCAPE_WITHOUT_SUFFIXES,
    OTLP_KEEP_WITH_SUFFIXES,
    OTLP_KEEP,
};

/* The keys of Prometheus' section `otlp`. */
struct otlp_settings {
    unsigned translation;      /* enum otlp_translation */
    struct text_list promoted; /* resource attributes that become labels */
    bool promotes_all;         /* all but `ignored` */
    struct text_list ignored;
    bool keeps_identifying;       /* target_info has service.name, and the like, too */
    bool histograms_to_nhcb;      /* as native histograms with custom buckets */
    bool promotes_scope;          /* labels otel_scope_... */
    bool escapes_lone_underscore; /* a label name that begins with one underscore gets "key" */
    bool keeps_underscores;       /* several in a row stay */
};
/* Those without the section. */
extern const struct otlp_settings otlp_settings_default;

/* Reads a message into the request. `seed` is secret. ERR_INPUT: it is malformed; ERR_LIMIT: its
 * series need too much memory; ERR_NOMEM. After an error the request is cleared. */
MUST_CHECK enum err otlp_decode(const struct otlp_settings *settings, struct bytes message,
                                uint64_t seed, struct rw_request *to, struct input_outcome *ret,
                                struct why *why);

/* Replaces `to` by the protobuf message of a JSON text. Unknown keys are ignored. ERR_INPUT: it is
 * no such message; ERR_LIMIT: larger than `to` may be; ERR_NOMEM. */
MUST_CHECK enum err otlp_from_json(struct bytes text, struct buf *to, struct budget *memory,
                                   struct why *why);

/* Appends the response to a message that was taken, ExportMetricsServiceResponse: empty unless
 * points were refused. */
void otlp_response_put(struct buf *to, bool is_json, uint64_t refused, const char *reason);
/* Appends google.rpc.Status for a response with this status of HTTP. */
void otlp_status_put(struct buf *to, bool is_json, unsigned http_status, const char *sentence);

/* --- names.c: the names that Prometheus gives to metrics, labels and units -------------------- */

/* The kind of a metric decides which suffix its name gets. */
enum otlp_kind { OTLP_OTHER, OTLP_GAUGE, OTLP_MONOTONIC };

/* Appends the name of a metric. False: nothing, or only underscores, would be left. */
bool otlp_metric_name(const struct otlp_settings *settings, struct bytes name, struct bytes unit,
                      enum otlp_kind kind, struct buf *to);
/* Appends the name of a label, of an attribute's key. False: as above. */
bool otlp_label_name(const struct otlp_settings *settings, struct bytes key, struct buf *to);
/* Appends the unit as it is in metadata. */
void otlp_unit(struct bytes unit, struct buf *to);

#endif
