/*
 * influxdb_reader.h - what the files of the source type influxdb share. Private to
 * backend/influxdb.
 *
 * A question is answered in three steps: which metrics there may be, which series these have, and
 * samples by blocks of series (series_blocks.h). A metric is a measurement with the fields that our
 * destination writes; or, of Telegraf's, a measurement and one field. How a version is asked each
 * of these, and what it answers, is its dialect.
 */
#ifndef BACKEND_INFLUXDB_INFLUXDB_READER_H
#define BACKEND_INFLUXDB_INFLUXDB_READER_H

#include "backend/common/series_blocks.h"
#include "backend/influxdb/asking.h"
#include "backend/influxdb/stored_names.h"

struct influx_dialect;

struct influx_reader {
    struct answerer answerer; /* first: it is handed out */
    struct reader_options options;
    struct external_labels external;
    struct fetcher *fetcher;
    const struct influx_dialect *dialect;
    bool telegraf;
};

/* The columns with samples, as bits where several are told of. */
enum influx_column { COLUMN_VALUE, COLUMN_BITS, COLUMN_HISTOGRAM, COLUMN_COUNT };
extern const char *const influx_column_names[COLUMN_COUNT];

struct influx_metric {
    struct bytes measurement;
    struct bytes field; /* `at` NULL: the columns above */
    struct bytes name;  /* what it is called */
    unsigned columns;   /* of version 3: which there are */
    struct bytes *tags; /* keys of tags, where the dialect knows them before or needs them after */
    uint32_t tag_count, tag_capacity;
};

/* One question, from the metrics to the samples. All it keeps is in `arena`. */
struct influx_question {
    struct fetch_view *view;
    struct influx_reader *of;
    struct budget *budget;
    struct query_control *control;
    int64_t min_ms, max_ms; /* as far as InfluxDB's times go; min > max: nothing is asked */
    struct matcher **matchers;
    uint32_t matcher_count;
    struct arena arena;
    struct influx_metric *metrics;
    uint32_t metric_count, metric_capacity;
    struct influx_ask ask;
    struct arena scratch;    /* of one record */
    struct influx_run *runs; /* of one block */
    uint32_t run_count, run_capacity;
    struct buf text;
    struct buf query;
};

void influx_question_init(struct influx_question *q, struct fetch_view *view);
void influx_question_fini(struct influx_question *q);
/* ERR_NOMEM. */
MUST_CHECK enum err influx_question_begin(struct influx_question *q, const struct query_request *r,
                                          struct why *why);
/* Finds the metrics. Errors of the dialect. */
MUST_CHECK enum err influx_question_list(struct influx_question *q, struct why *why);

/* For list() of a dialect: what there is, in any order, each once. It is left out if its name is
 * not asked for. `columns`, `tags`: of version 3; copied. ERR_NOMEM. */
MUST_CHECK enum err influx_question_add(struct influx_question *q,
                                        const struct influx_metric *metric, struct why *why);
/* One more key of its tags, if it is not there. ERR_NOMEM. */
MUST_CHECK enum err influx_metric_add_tag(struct influx_question *q, uint32_t metric,
                                          struct bytes tag, struct why *why);
/* The matcher on the name that admits but these names, if there is one. */
uint32_t influx_question_names(const struct influx_question *q, const struct bytes **ret_names);

/* Where the series that keys() finds go. Tags as they are stored; an empty value is a missing tag.
 * The array may be changed. */
struct influx_key_sink {
    enum err (*series)(void *context, uint32_t metric, struct label *tags, uint32_t count,
                       struct why *why);
    void *context;
};

/* Of which labels series are to be told of: all of them, one, or of none but that there are any. */
enum influx_grouping { GROUPED_BY_ALL, GROUPED_BY_ONE, GROUPED_BY_NONE };

struct influx_dialect {
    bool needs_list; /* although the names are known */
    bool learns;     /* keys() adds the metrics it finds, and is called once */
    /* influx_question_add() for each that there may be. */
    enum err (*list)(struct influx_question *q, struct why *why);
    /* The series of some metrics from `first` on; *ret_count: how many were asked for. */
    enum err (*keys)(struct influx_question *q, uint32_t first, enum influx_grouping grouping,
                     struct bytes label, const struct influx_key_sink *to, uint32_t *ret_count,
                     struct why *why);
    /* As series_blocks_options.fetch. */
    enum err (*samples)(struct influx_question *q, struct series_blocks *blocks,
                        const struct series_block *block, struct why *why);
    uint32_t keys_max; /* of a block */
    /* Whether keys() can group by this label; not asked of one that learns. */
    bool (*can_group_by)(struct bytes label);
};
extern const struct influx_dialect influxql_dialect; /* version 1 */
extern const struct influx_dialect flux_dialect;     /* 2 */
extern const struct influx_dialect sql_dialect;      /* 3 */

/* --- for dialects ----------------------------------------------------------------------------- */

enum { INFLUX_TAGS_MAX = FINAL_LABELS_MAX };

/* A key of series_blocks: its metric, and its tags in label bytes. */
MUST_CHECK enum err influx_key_put(struct buf *to, uint32_t metric, struct label *tags,
                                   uint32_t count);
uint32_t influx_key_metric(struct bytes key);
struct bytes influx_key_tags(struct bytes key);

/* Keys of a block that belong to one metric: those from..end-1. */
struct influx_run {
    uint32_t metric;
    uint32_t from, end;
};
/* Into the question's runs. ERR_NOMEM. */
MUST_CHECK enum err influx_runs_of(struct influx_question *q, const struct series_blocks *blocks,
                                   const struct series_block *block, struct why *why);
/* The key of a run with these tags, sorted or not; `end` of the run: none. *hint: where it is
 * looked for first. */
MUST_CHECK enum err influx_run_find(struct influx_question *q, const struct series_blocks *blocks,
                                    const struct influx_run *run, struct label *tags,
                                    uint32_t count, uint32_t *hint, uint32_t *ret_number,
                                    struct why *why);

/* The texts that a matcher of literals admits (or refuses), as they may be stored; sorted in no
 * way. False: they are not known, or too many. Into the arena. */
MUST_CHECK enum err influx_stored_literals(struct influx_question *q, const struct matcher *m,
                                           struct bytes **ret_texts, uint32_t *ret_count,
                                           bool *ret_known, struct why *why);
/* Whether the key of its tag is the label's name itself, and cannot be another. */
bool influx_is_plain_label(const struct influx_question *q, struct bytes name);

/* What a column holds, as text; of `value` a number. ERR_CORRUPT: Firekeep did not write it. */
MUST_CHECK enum err influx_put_number(struct series_blocks *blocks, uint32_t number, int64_t t_ms,
                                      struct bytes digits, struct why *why);
MUST_CHECK enum err influx_put_text(struct influx_question *q, struct series_blocks *blocks,
                                    uint32_t number, int64_t t_ms, enum influx_column column,
                                    struct bytes text, struct why *why);

/* Bounds in nanoseconds, both inclusive. */
int64_t influx_first_ns(int64_t min_ms);
int64_t influx_last_ns(int64_t max_ms);
/* The millisecond that a nanosecond is in. */
int64_t influx_ms_of(int64_t t_ns);

#endif
