/*
 * clickhouse_reader.h - shared by the files of the source type clickhouse. Private to
 * backend/clickhouse.
 *
 * A question is answered in three steps: the properties of the table (requested from time to time,
 * table.h), the matching series, and samples of blocks of series, each series as arrays of times
 * and values.
 */
#ifndef BACKEND_CLICKHOUSE_CLICKHOUSE_READER_H
#define BACKEND_CLICKHOUSE_CLICKHOUSE_READER_H

#include "backend/clickhouse/exchange.h"
#include "backend/clickhouse/table.h"

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

/* The table that a source reads. */
struct clickhouse_form {
    const char *
        names[CLICKHOUSE_COLUMNS]; /* names from the settings, otherwise those of the destination */
    bool is_foreign;               /* true if the settings name a column */
    struct clickhouse_table table;
    bool is_final; /* the last row of a key counts, and FINAL selects it */
};

struct clickhouse_reader {
    struct fetch_reader base; /* first; its lock guards the rest */

    struct clickhouse_form form; /* as it was read last */
    bool is_described;
    int64_t described_ns;
};

/* Arrays of one series, in the order in which they arrive. */
enum { ARRAY_TIMES, ARRAY_VALUES, ARRAY_BITS, ARRAY_STARTS, QUESTION_ARRAYS };

/* A question about a table. */
struct clickhouse_question {
    struct fetch_question base; /* first; `text` and `scratch` are of one row or request */
    struct clickhouse_form form;
    struct clickhouse_exchange exchange;
    struct buf arrays[QUESTION_ARRAYS];
    struct table keys; /* numbers of the keys of a block by hash, if keys_are_known */
    bool keys_are_known;
};

/* --- statements (sql.c); out of memory shows in buf_error(to) --------------------------------- */

/* The rows of a query for series: one for each series, or only for names or labels. */
enum clickhouse_subject {
    SUBJECT_SERIES,  /* metric, labels, number of samples, first and last time */
    SUBJECT_METRICS, /* metrics without labels */
    SUBJECT_LABELS,  /* labels with the greatest of the metrics that have them */
};
/* Rows have metric, labels, count, first and last time; the last three are 0 except for
 * SUBJECT_SERIES. `label`: only of series that have this label, if it is not empty. */
void clickhouse_sql_series(struct buf *to, const struct clickhouse_question *q,
                           enum clickhouse_subject subject, struct bytes label);
extern const char clickhouse_series_kinds[];

/* A row for each series: metric, labels, times, values, bits, start times, histograms. Each of the
 * last three arrays may be empty. `keys`: tuples of metric and labels; without `at`, all series
 * that the matchers select. Rows are in the order of metrics and labels, as far as ClickHouse knows
 * it. */
void clickhouse_sql_samples(struct buf *to, const struct clickhouse_question *q, struct bytes keys,
                            int64_t min_ms, int64_t max_ms);
extern const char clickhouse_samples_kinds[];

/* Checks that the table can be read. ERR_INPUT. */
MUST_CHECK enum err clickhouse_form_check(const struct clickhouse_form *form,
                                          const struct clickhouse_settings *settings,
                                          struct why *why);
/* A query without rows that fails if the table does not support FINAL. */
void clickhouse_sql_final(struct buf *to, const struct clickhouse_question *q);

#endif
