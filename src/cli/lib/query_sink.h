/*
 * query_sink.h - where the answer of a query goes: its type, its series and their points, one after
 * another, whoever gave it. What is handed over are views that end with the call.
 */
#ifndef CLI_LIB_QUERY_SINK_H
#define CLI_LIB_QUERY_SINK_H

#include "promql/promql.h"

struct query_histogram {
    double count;
    double sum;
    const struct fhist_bucket *buckets; /* those with observations, by ascending bounds */
    uint32_t bucket_count;
};

struct query_point {
    int64_t t_ms;
    double value;
    const struct query_histogram *histogram; /* instead of the value; NULL: there is none */
};

struct query_sink;
struct query_sink_ops {
    /* The API's "data" as it is, in pieces: instead of the next four. NULL: they are wanted. */
    enum err (*data)(struct query_sink *sink, struct bytes piece, struct why *why);

    /* Once, before all others. */
    enum err (*begin)(struct query_sink *sink, enum promql_type type, struct why *why);
    /* Canonical labels; a scalar is a series without any. */
    enum err (*series)(struct query_sink *sink, struct bytes labels, struct why *why);
    /* Of that series: floats by ascending time, then histograms. */
    enum err (*point)(struct query_sink *sink, const struct query_point *point, struct why *why);
    /* Instead of series: a string. */
    enum err (*string)(struct query_sink *sink, int64_t t_ms, struct bytes text, struct why *why);

    /* A warning or an info about the answer, before or after it. */
    void (*note)(struct query_sink *sink, enum promql_note kind, struct bytes sentence);

    /* All came: what waits is written. */
    enum err (*end)(struct query_sink *sink, struct why *why);
    void (*free)(struct query_sink *sink);
};
struct query_sink {
    const struct query_sink_ops *ops;
};

#endif
