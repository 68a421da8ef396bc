/*
 * influxdb_reader.h - shared by the files of the source type influxdb. Private to backend/influxdb.
 *
 * A question is answered in three steps: the metrics that may match, their series, and samples of
 * blocks of series. A metric is a measurement with the fields that the destination writes, or, for
 * Telegraf, a measurement and one field. All versions are asked in InfluxQL (influxql.c).
 */
#ifndef BACKEND_INFLUXDB_INFLUXDB_READER_H
#define BACKEND_INFLUXDB_INFLUXDB_READER_H

#include "backend/influxdb/exchange.h"
#include "backend/influxdb/stored_names.h"

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

/* The metric of a series in a block, and its tags in label bytes. */
uint32_t influx_key_metric(const struct influx_question *q, uint32_t number);
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

#endif
