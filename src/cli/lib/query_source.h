/*
 * query_source.h - private to targets: a query, and the two that answer it: a server's API, and the
 * engine over a store in this process.
 */
#ifndef CLI_LIB_QUERY_SOURCE_H
#define CLI_LIB_QUERY_SOURCE_H

#include "cli/lib/query_sink.h"
#include "net/http_client.h"

enum query_mode { QUERY_RESULT, QUERY_EXPLAIN, QUERY_ANALYZE };

struct query_parameters {
    struct bytes expression;
    enum query_mode mode; /* a plan is passed to the sink's data() */
    int64_t first_ms;
    int64_t last_ms;
    int64_t step_ms;     /* 0: an instant query at first_ms */
    int64_t lookback_ms; /* 0: the target's default */
    int64_t timeout_ms;  /* 0: the target's limit */
    uint64_t limit;      /* limit of series; 0: no limit */
};

/* The reason of a failed query, for which a struct why is too short, and its kind. */
struct query_failure {
    struct buf sentence; /* empty: `why` has it */
    bool bad_question;   /* the expression or a parameter is invalid, whatever is stored */
};

struct query_server {
    const char *base; /* URL without a slash at the end */
    const char *const *headers;
    struct http_client_options http;
};
/* Errors are those of target_query(). */
MUST_CHECK enum err query_server(const struct query_server *server,
                                 const struct query_parameters *parameters, struct query_sink *sink,
                                 struct query_failure *failure, struct why *why);

/* Appends a time in seconds to a form; `name` is "start=" or "&start=", for example. */
void query_put_time(struct buf *form, const char *name, int64_t t_ms);

struct query_store {
    struct answerer *answerer;
    struct bytes tenant;
    struct budget *memory;
    int64_t lookback_ms;
    int64_t subquery_step_ms; /* for subqueries without a step */
    struct promql_features features;
    uint64_t points_max;  /* steps of a range */
    uint64_t samples_max; /* in memory at one time; 0: no limit, as below */
    uint64_t samples_read_max;
    uint64_t series_max;
    uint64_t bytes_max;
    const char *replica_labels; /* "a,b" */
};
/* Runs a query in this process and gives the result to the sink. Errors are those of
 * target_query().
 */
MUST_CHECK enum err query_store(const struct query_store *store,
                                const struct query_parameters *parameters, struct query_sink *sink,
                                struct query_failure *failure, struct why *why);

#endif
