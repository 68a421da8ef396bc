/*
 * answer.h - responses of OpenTSDB to a source: series with their points, names, and refusals.
 * Private to backend/opentsdb.
 *
 * Threads: any, one response each.
 */
#ifndef BACKEND_OPENTSDB_ANSWER_H
#define BACKEND_OPENTSDB_ANSWER_H

#include "backend/opentsdb/json_pieces.h"
#include "wire/shape.h"

enum { OPENTSDB_TAGS_MAX = 1024 };

/* A series as it is stored; views until its last point. */
struct opentsdb_series {
    struct bytes metric;
    struct label *tags;
    uint32_t tag_count;
    struct bytes tsuid; /* hex digits */
};

/* Receives series and points. An error of a function ends the reading and is returned. */
struct opentsdb_sink {
    enum err (*series)(void *context, const struct opentsdb_series *series, struct why *why);
    enum err (*point)(void *context, int64_t t_ms, uint64_t bits, struct why *why);
    void *context;
};

/* Reads a whole response of /api/query, one object for each series; `p` was begun. `scratch` holds
 * one series at a time. ERR_CORRUPT: it is not such a response, or has aggregates; errors of the
 * sink and of `p`; ERR_NOMEM. */
MUST_CHECK enum err opentsdb_read_series(struct json_pieces *p, struct arena *scratch,
                                         const struct opentsdb_sink *to, struct why *why);

/* Reads a whole response of /api/suggest: an array of strings. Errors as above. */
MUST_CHECK enum err opentsdb_read_names(struct json_pieces *p,
                                        enum err (*name)(void *context, struct bytes name,
                                                         struct why *why),
                                        void *context, struct why *why);

/* The meaning of a response that is not a 2xx. */
enum opentsdb_refusal {
    REFUSED_OTHERWISE,
    REFUSED_UNKNOWN_METRIC, /* the server does not know the name */
    REFUSED_UNKNOWN_TAG,
    REFUSED_UNKNOWN_VALUE,
    REFUSED_TOO_MUCH, /* more data, or more time, than the server permits a query */
};
/* *ret_name is a view of the body, or of `scratch`. */
enum opentsdb_refusal opentsdb_refusal_of(unsigned status, struct bytes body, struct arena *scratch,
                                          struct bytes *ret_name);

#endif
