/* query.h - a query, the sink of its result, and the API of a server that answers it. */
#ifndef CLI_LIB_QUERY_H
#define CLI_LIB_QUERY_H

#include "net/http_client.h"
#include "promql/promql.h"

/* --- the sink --------------------------------------------------------------------------------- */

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
/* Receives the result of a query, from a server or a store: its type, its series and their points,
 * one after another. Arguments are views that end with the call. */
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

/* --- the query -------------------------------------------------------------------------------- */

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

/* --- a server's API --------------------------------------------------------------------------- */

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

/* Parses the answer into the sink. ERR_UNSUPPORTED: it is not an answer of the API; ERR_NOMEM;
 * errors of the sink. */
MUST_CHECK enum err query_answer_read(struct bytes text, struct query_sink *sink, struct why *why);

/* Does the same with the value of "data" alone, for a sink without data(). */
MUST_CHECK enum err query_answer_data(struct bytes text, struct query_sink *sink, struct why *why);

/* Appends the sentence of an error answer. False: it is not an answer of the API.
 * `ret_bad_data`: the request is invalid, whatever is stored. */
bool query_answer_refusal(struct bytes body, struct buf *sentence, bool *ret_bad_data);

struct answer_sentence {
    char text[HTTP_CLIENT_TEXT_BYTES];
};
/* Returns the sentence of an error answer of the API; of another answer its text. */
struct answer_sentence query_answer_sentence(const struct http_client_answer *answer);

#endif
