/*
 * query_source.h - private to targets: what is asked with an expression, and the two that answer: a
 * server's API, and the engine over a store in this process.
 */
#ifndef CLI_LIB_QUERY_SOURCE_H
#define CLI_LIB_QUERY_SOURCE_H

#include "cli/lib/query_sink.h"
#include "net/http_client.h"

enum query_wish { QUERY_RESULT, QUERY_EXPLAIN, QUERY_ANALYZE };

struct query_asked {
    struct bytes expression;
    enum query_wish wish; /* a plan goes into a sink for "data" */
    int64_t first_ms;
    int64_t last_ms;
    int64_t step_ms;     /* 0: once, at first_ms */
    int64_t lookback_ms; /* 0: as the target has it */
    int64_t timeout_ms;  /* 0: as long as the target allows */
    uint64_t limit;      /* of series; 0: none */
};

/* Why there is no answer, where a struct why is too short, and who is to blame. */
struct query_failure {
    struct buf sentence; /* empty: `why` has it */
    bool bad_question;   /* the expression or a number is wrong, whatever is stored */
};

struct query_server {
    const char *base; /* its URL, without a slash at the end */
    const char *const *headers;
    struct http_client_options http;
};
/* Those of target_query(). */
MUST_CHECK enum err query_server(const struct query_server *server, const struct query_asked *asked,
                                 struct query_sink *sink, struct query_failure *failure,
                                 struct why *why);

/* Appends "NAME=SECONDS" to a form; `name` has the sign. */
void query_put_time(struct buf *form, const char *name, int64_t t_ms);

struct query_store {
    struct answerer *answerer;
    struct bytes tenant;
    struct budget *memory;
    int64_t lookback_ms;
    int64_t subquery_step_ms; /* of subqueries that give none */
    struct promql_features features;
    uint64_t points_max;  /* steps of a range */
    uint64_t samples_max; /* held at one moment; of these 0 is no limit */
    uint64_t samples_read_max;
    uint64_t series_max;
    uint64_t bytes_max;
    const char *replica_labels; /* "a,b" */
};
MUST_CHECK enum err query_store(const struct query_store *store, const struct query_asked *asked,
                                struct query_sink *sink, struct query_failure *failure,
                                struct why *why);

#endif
