/*
 * query_sink.h - receives the result of a query, from a server or a store: its type, its series and
 * their points, one after another. Arguments are views that end with the call.
 */
#ifndef CLI_LIB_QUERY_SINK_H
#define CLI_LIB_QUERY_SINK_H

#include "promql/promql.h"

struct query_histogram {
    double count;
    double sum;
    const struct fhist_bucket *buckets; /* non-empty ones, by ascending bounds */
    uint32_t bucket_count;
};

struct query_point {
    int64_t t_ms;
    double value;
    const struct query_histogram *histogram; /* replaces the value; NULL: a float */
};

struct query_sink;
struct query_sink_ops {
    /* Receives the API's "data" unparsed, in pieces, instead of the next four. NULL: they are
     * called. */
    enum err (*data)(struct query_sink *sink, struct bytes piece, struct why *why);

    /* Called once, before all others. */
    enum err (*begin)(struct query_sink *sink, enum promql_type type, struct why *why);
    /* Begins a series with canonical labels; a scalar is a series without labels. */
    enum err (*series)(struct query_sink *sink, struct bytes labels, struct why *why);
    /* Receives a point of that series: floats by ascending time, then histograms. */
    enum err (*point)(struct query_sink *sink, const struct query_point *point, struct why *why);
    /* Receives a string, instead of series. */
    enum err (*string)(struct query_sink *sink, int64_t t_ms, struct bytes text, struct why *why);

    /* Receives a warning or an info about the result, before or after it. */
    void (*note)(struct query_sink *sink, enum promql_note kind, struct bytes sentence);

    /* The result is complete: buffered output is written. */
    enum err (*end)(struct query_sink *sink, struct why *why);
    void (*free)(struct query_sink *sink);
};
struct query_sink {
    const struct query_sink_ops *ops;
};

#endif
