/*
 * influxdb_private.h - refusals of writes, and the source type influxdb.
 *
 * A question is answered in three steps: the metrics that may match, their series, and samples of
 * blocks of series. A metric is a measurement with the fields that the destination writes, or, for
 * Telegraf, a measurement and one field. All versions are asked in InfluxQL (influxql.c).
 *
 * Threads: one, that of the question.
 */
#ifndef BACKEND_INFLUXDB_INFLUXDB_PRIVATE_H
#define BACKEND_INFLUXDB_INFLUXDB_PRIVATE_H

#include "backend/fetch/fetch_reader.h"
#include "base/buf.h"
#include "wire/json/json_scan.h"
#include "wire/point/line_protocol.h"
#include "wire/shape.h"

/* --- influxql_answer.c ------------------------------------------------------------------------ */

/*
 * A chunk of a response of /query (InfluxDB 1), a line of JSON:
 *
 *     {"results":[{"statement_id":0,"series":[{"name":"up","tags":{"job":"x"},
 *       "columns":["time","value"],"values":[[1700000000000,1]],"partial":true}],"partial":true}]}
 *
 * Members of an object may come in any order, but `values` after those that describe them. Unknown
 * members are skipped.
 */

enum { INFLUXQL_TAGS_MAX = 1024, INFLUXQL_COLUMNS_MAX = 8 };

struct influxql_series {
    uint32_t statement;
    struct bytes name;
    struct label tags[INFLUXQL_TAGS_MAX]; /* with empty values; may be changed */
    uint32_t tag_count;
    uint32_t column_count;
};

/* The kind of a cell of a row. */
enum influxql_kind { INFLUXQL_NULL, INFLUXQL_NUMBER, INFLUXQL_TEXT, INFLUXQL_BOOL };
struct influxql_cell {
    enum influxql_kind kind;
    struct bytes text; /* digits, or the text; "1" or "0" of INFLUXQL_BOOL */
};

/* Views end with the call. An error of a call ends the reading and is returned. */
struct influxql_sink {
    /* Called before the rows of a series. */
    enum err (*series)(void *context, struct influxql_series *series, struct why *why);
    enum err (*row)(void *context, const struct influxql_cell *cells, uint32_t count,
                    struct why *why);
    /* A statement ended, or continues in the next line (`more`). */
    enum err (*statement)(void *context, uint32_t statement, bool more, struct why *why);
    /* A sentence of the server, about one statement or all. */
    enum err (*error)(void *context, struct bytes sentence, struct why *why);
    void *context;
};

/* ERR_CORRUPT: it is not such a line; ERR_NOMEM: `scratch` is full; errors of the sink. */
MUST_CHECK enum err influxql_read_line(struct bytes line, struct arena *scratch,
                                       const struct influxql_sink *to, struct why *why);

/* --- quoting.c: literals ---------------------------------------------------------------------- */

/*
 * Names, texts and regexes as literals of InfluxQL, which cannot become other syntax.
 *
 * influxql_can_quote() is false for texts that cannot be written as a literal. Then the request has
 * no condition on the text, and the response is filtered.
 */

/* InfluxQL: "name", 'text'. A NUL would end the query, a carriage return become a line feed. U+FFFD
 * may replace bytes that are invalid UTF-8, which JSON cannot have. */
bool influxql_can_quote(struct bytes text);
void influxql_put_name(struct buf *to, struct bytes name);
void influxql_put_text(struct buf *to, struct bytes text);
/* Puts a regex that matches only this text, of any bytes: /^\x{61}...$/ */
void influxql_put_exact_regex(struct buf *to, struct bytes text);

/* True if an RE2 pattern has the same meaning in all releases of Go's regexp, and can be written
 * between slashes: without flags, Unicode classes, \Q and control characters.
 */
bool go_can_match(struct bytes pattern);
/* /^(?s:pattern)$/ */
void go_put_regex(struct buf *to, struct bytes pattern);

/* --- quoting.c: stored names ------------------------------------------------------------------ */

/*
 * Decodes the names and values that InfluxDB stores, and finds the stored forms of
 * a label.
 *
 * A text is decoded if line_protocol.h would have encoded the result so; every other text is
 * itself, so that no two texts of Firekeep have the same form. Names are not encoded with `mapping:
 * telegraf`.
 */

/* Appends the decoded text. The error of `to`. */
MUST_CHECK enum err stored_name_decode(struct bytes text, enum line_role role, struct buf *to);

enum { STORED_NAMES_MAX = 2 };
/* Every stored form of `name`, at least one: views of `name`, or of `room`. The error of `room`. */
MUST_CHECK enum err stored_names_of(struct bytes name, enum line_role role, struct buf *room,
                                    struct bytes ret_texts[STORED_NAMES_MAX], unsigned *ret_count);

/* --- influxdb_reader.c ------------------------------------------------------------------------ */

/*
 * One request of a question to InfluxDB after another, and its response
 * record by record as it arrives.
 */

struct influx_exchange {
    struct fetch_exchange base; /* first */
    struct buf authorization;
    const char *headers[4];
    bool answered;
    bool ended;
    struct buf rest;    /* the start of a record, of earlier pieces */
    struct bytes piece; /* the unread rest of the last piece */
};

void influx_exchange_init(struct influx_exchange *x, struct fetch_question *q);
void influx_exchange_fini(struct influx_exchange *x);

/* Ends the request before; empties the body; begins the URL with a path. */
void influx_exchange_begin(struct influx_exchange *x, const char *path);
/* Adds a parameter to the URL, unless `value` is NULL. */
void influx_exchange_param(struct influx_exchange *x, const char *name, const char *value);
/* POSTs the body, and waits for no response. `headers` stay: at most two, then NULL. */
MUST_CHECK enum err influx_exchange_send(struct influx_exchange *x, const char *const *headers,
                                         struct why *why);
/*
 * The next record without the line feed that ends it, a view until the next call; `at` is NULL
 * after the last. ERR_CORRUPT: the record is too long, or the last one has no end; errors of
 * fetch_exchange_await() and fetch_read().
 */
MUST_CHECK enum err influx_exchange_record(struct influx_exchange *x, struct bytes *ret_record,
                                           struct why *why);
/* Gives up what was not read. */
void influx_exchange_end(struct influx_exchange *x);

/* --- the question ----------------------------------------------------------------------------- */

struct influx_reader {
    struct fetch_reader base; /* first */
    bool telegraf;
};

/* The columns with samples. */
enum influx_column { COLUMN_VALUE, COLUMN_BITS, COLUMN_HISTOGRAM, COLUMN_COUNT };
extern const char *const influx_column_names[COLUMN_COUNT];

struct influx_metric {
    struct bytes measurement;
    struct bytes field; /* NULL for the columns above */
    struct bytes name;  /* metric name */
    struct bytes *tags; /* keys of its tags, once its series are known */
    uint32_t tag_count;
};

/* The labels that series are grouped by: all of them, one, or none: then a metric is one series. */
enum influx_grouping { GROUPED_BY_ALL, GROUPED_BY_ONE, GROUPED_BY_NONE };

/* A question, from the metrics to the samples. All it keeps is in `arena`; `scratch` is of one
 * record. */
struct influx_question {
    struct fetch_question base; /* first */
    struct influx_reader *of;
    struct influx_metric *metrics;
    uint32_t metric_count, metric_capacity;
    enum influx_grouping grouping; /* labels that the found series are grouped by */
    struct influx_exchange exchange;
    struct influx_run *runs; /* runs of the block that is read */
    uint32_t run_count, run_capacity;
    struct buf query;
    struct buf key, names; /* key and label names of one series */
};

void influx_question_init(struct fetch_question *base);
void influx_question_fini(struct fetch_question *base);
/* Finds the metrics. Errors of influxql_list(). */
MUST_CHECK enum err influx_question_list(struct influx_question *q, struct why *why);

/* For influxql_list(): adds a metric, in any order, each once, unless the matchers refuse its name.
 * ERR_NOMEM. */
MUST_CHECK enum err influx_question_add(struct influx_question *q, struct bytes measurement,
                                        struct bytes field, struct why *why);

/* For influxql_keys(): takes a series of a metric with its tags as they are stored, which are
 * sorted here; an empty value is a missing tag. With GROUPED_BY_ONE the only tag is that of
 * q->base.name. */
MUST_CHECK enum err influx_question_take(struct influx_question *q, uint32_t metric,
                                         struct label *tags, uint32_t count, struct why *why);

/* --- influxql.c ------------------------------------------------------------------------------ */

enum { INFLUXQL_KEYS_MAX = 256 }; /* of a block */

/* influx_question_add() for each metric that there may be. */
MUST_CHECK enum err influxql_list(struct influx_question *q, struct why *why);
/* Finds the series of *ret_count metrics from `first` on. */
MUST_CHECK enum err influxql_keys(struct influx_question *q, uint32_t first, uint32_t *ret_count,
                                  struct why *why);
/* As fetch_type.samples. */
MUST_CHECK enum err influxql_samples(struct influx_question *q, const struct series_block *block,
                                     struct why *why);

/* --- question.c ------------------------------------------------------------------------------ */

enum { INFLUX_TAGS_MAX = FINAL_LABELS_MAX };

struct bytes influx_key_tags(const struct influx_question *q, uint32_t number);

/* Keys of a block that belong to one metric: from..end-1. */
struct influx_run {
    uint32_t metric;
    uint32_t from, end;
};
/* Fills q->runs. ERR_NOMEM. */
MUST_CHECK enum err influx_runs_of(struct influx_question *q, const struct series_block *block,
                                   struct why *why);
/* Finds the key of a run with these tags, which the call sorts. *ret_number is `end` of the run if
 * it has no such key. The search begins at *hint. */
MUST_CHECK enum err influx_run_find(struct influx_question *q, const struct influx_run *run,
                                    struct label *tags, uint32_t count, uint32_t *hint,
                                    uint32_t *ret_number, struct why *why);

/* The texts that a matcher admits (or refuses), in all forms in which they may be stored, not
 * sorted. *ret_known is false if they are not known, or too many. Allocated in the arena. */
MUST_CHECK enum err influx_stored_literals(struct influx_question *q, const struct matcher *m,
                                           struct bytes **ret_texts, uint32_t *ret_count,
                                           bool *ret_known, struct why *why);
/* True if the key of the label's tag can only be the label's name itself. */
bool influx_is_plain_label(const struct influx_question *q, struct bytes name);

/* Puts the content of a column as a sample: a number, or a text. ERR_CORRUPT: Firekeep did not
 * write it. */
MUST_CHECK enum err influx_put_number(struct influx_question *q, uint32_t number, int64_t t_ms,
                                      struct bytes digits, struct why *why);
MUST_CHECK enum err influx_put_text(struct influx_question *q, uint32_t number, int64_t t_ms,
                                    enum influx_column column, struct bytes text, struct why *why);

/* Bounds in nanoseconds, both inclusive. */
int64_t influx_first_ns(int64_t min_ms);
int64_t influx_last_ns(int64_t max_ms);
/* The millisecond of a time in nanoseconds. */
int64_t influx_ms_of(int64_t t_ns);

/* --- refusals of writes ----------------------------------------------------------------------- */

/*
 * The points that a refusal of InfluxDB is about: how many, and which.
 *
 *   1  {"error":"partial write: field type conflict: input field \"value\" on measurement \"up\" is
 *      type float, already exists as type integer dropped=3"}
 *   2  {"code":"unprocessable entity","message":"failure writing points to database: partial write:
 *      points beyond retention policy dropped=2"}
 *   3  {"error":"...","data":{"original_line":"up,job=x value=1 17","line_number":1,...}}
 *
 * If a request's points lie in several shards, versions 1 and 2 report one of them: at least so
 * many points are refused, and the measurement is one of several. The names say only where to look
 * first.
 */

struct influxdb_refusal {
    uint64_t dropped; /* at least so many are refused; 0 if unknown */
    bool by_series;   /* refused because of a limit of series: other points of the request may be
                         accepted without them */
    bool passes;      /* refused for a reason that ends by itself */
};

/* Reads a body; others than those above say nothing. */
void influxdb_answer_read(struct bytes body, struct influxdb_refusal *ret_refusal);

#endif
