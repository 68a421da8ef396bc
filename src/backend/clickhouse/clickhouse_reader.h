/*
 * clickhouse_reader.h - what the files of the source type clickhouse share. Private to
 * backend/clickhouse.
 *
 * A question is answered in three steps: what the table is (asked for now and then, table.h), which
 * series it has, and samples by blocks of series (series_blocks.h), each series as arrays of times
 * and values.
 */
#ifndef BACKEND_CLICKHOUSE_CLICKHOUSE_READER_H
#define BACKEND_CLICKHOUSE_CLICKHOUSE_READER_H

#include "backend/clickhouse/asking.h"
#include "backend/clickhouse/table.h"
#include "backend/common/series_blocks.h"
#include "base/lock.h"
#include "base/table.h"

/* In the order of wire/point/clickhouse_row.h. */
enum clickhouse_column {
    COLUMN_METRIC,
    COLUMN_LABELS,
    COLUMN_TIME,
    COLUMN_VALUE,
    COLUMN_BITS,
    COLUMN_HISTOGRAM,
    COLUMN_START_TIME,
};
_Static_assert(COLUMN_START_TIME + 1 == CLICKHOUSE_COLUMNS, "each column of a row has a number");

/* A table as it is read. */
struct clickhouse_form {
    const char *names[CLICKHOUSE_COLUMNS]; /* of the settings, or the destination's */
    bool is_foreign;                       /* columns are named in the settings */
    struct clickhouse_table table;
    bool is_final; /* of rows with one key the last counts, and FINAL finds it */
};

struct clickhouse_reader {
    struct answerer answerer; /* first: it is handed out */
    struct reader_options options;
    struct external_labels external;
    struct fetcher *fetcher;

    struct lock lock;            /* LOCK_RANK_SOURCE; guards the rest */
    struct clickhouse_form form; /* as it was asked for last */
    bool is_asked;
    int64_t asked_ns;
};

/* Of one series, in the order in which they come. */
enum { ARRAY_TIMES, ARRAY_VALUES, ARRAY_BITS, ARRAY_STARTS, QUESTION_ARRAYS };

/* What is asked of a table. Matchers live as long as the question. */
struct clickhouse_question {
    struct fetch_view *view;
    struct clickhouse_reader *of;
    struct budget *budget;
    struct clickhouse_form form;
    int64_t min_ms, max_ms; /* min > max: nothing is asked */
    struct matcher **matchers;
    uint32_t matcher_count;
    struct clickhouse_ask ask;
    struct arena arena;   /* of the question */
    struct arena scratch; /* of one row */
    struct buf text;      /* of one row or request */
    struct buf arrays[QUESTION_ARRAYS];
    struct table keys; /* of a block: numbers by hash, if keys_are_known */
    bool keys_are_known;
    bool takes_all; /* none of the series that ClickHouse gave was left out here: */
    uint32_t keys_count;
};

/* --- statements (sql.c); out of memory shows in buf_error(to) --------------------------------- */

/* What is asked for of series: which there are, or but names or labels. */
enum clickhouse_subject {
    SUBJECT_SERIES,  /* metric, labels, and how many samples from when to when */
    SUBJECT_METRICS, /* metrics, and no labels */
    SUBJECT_LABELS,  /* labels, with one of the metrics that have them, the greatest */
};
/* Rows: metric, labels, count, first and last time; the last three 0 but of SUBJECT_SERIES. */
void clickhouse_sql_series(struct buf *to, const struct clickhouse_question *q,
                           enum clickhouse_subject subject, struct bytes label);
extern const char clickhouse_series_kinds[];

/*
 * Rows of samples: metric, labels, times, values, bits, start times, histograms, each a series. Of
 * the last three arrays those are empty that say nothing. `keys`: tuples of metric and labels; no
 * `at`: all that the matchers select. In the order of metrics and labels, as far as ClickHouse
 * knows it.
 */
void clickhouse_sql_samples(struct buf *to, const struct clickhouse_question *q, struct bytes keys,
                            int64_t min_ms, int64_t max_ms);
extern const char clickhouse_samples_kinds[];

/* Whether the table can be read; ERR_INPUT, and why not. */
MUST_CHECK enum err clickhouse_form_check(const struct clickhouse_form *form,
                                          const struct clickhouse_settings *settings,
                                          struct why *why);
/* A query of nothing that fails if FINAL is not to be had. */
void clickhouse_sql_final(struct buf *to, const struct clickhouse_question *q);

#endif
