/*
 * clickhouse_reader.h - shared by the files of the source type clickhouse. Private to
 * backend/clickhouse.
 *
 * A question is answered in three steps: the properties of the table (requested from time to time,
 * clickhouse.h), the matching series, and samples of blocks of series, each series as arrays of
 * times and values.
 *
 * Threads: one, that of the question.
 */
#ifndef BACKEND_CLICKHOUSE_CLICKHOUSE_READER_H
#define BACKEND_CLICKHOUSE_CLICKHOUSE_READER_H

#include "backend/clickhouse/clickhouse.h"
#include "backend/fetch/fetch_reader.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * Labels as a JSON object in a column of a table: in the canonical form of
 * wire/point/clickhouse_row.h, or as others write it.
 */

/* Reads the labels of a series into an array with room for FINAL_LABELS_MAX: views of the texts or
 * of the arena. An empty text has no labels. `metric` is the first label, unless it is empty; a
 * member __name__ of the text is ignored. Numbers, true and false are read as texts, null as no
 * label. ERR_CORRUPT: it is not such an object; ERR_LIMIT: too many labels; ERR_NOMEM. */
MUST_CHECK enum err label_text_read(struct bytes metric, struct bytes text, struct arena *arena,
                                    struct label *labels, uint32_t *ret_count, struct why *why);

/*
 * One statement of a question to ClickHouse after another, and its response row by row
 * as it arrives.
 *
 * Errors of ClickHouse instead of rows or after some rows become ERR_AGAIN or ERR_IO, or ERR_FULL
 * if it has not enough memory for the statement, or must not read so much.
 */

/*
 * The rows of a response in the format RowBinary, read as they arrive.
 *
 * Each row begins with a UInt8: 0, or 1 in the last row, which ends every complete response:
 *
 *     while (rows_next(&rows)) ... rows_text(&rows), rows_array(&rows, ...)
 *
 * Like a cursor: once something is wrong, `failed` says what kind and `why` in words, and all later
 * calls do nothing and give empty results. The last row has the columns of all others; rows_next()
 * steps over them.
 */

/* Kinds of the columns after the first. */
enum rows_kind { ROWS_TEXT = 't', ROWS_NUMBER = 'n', ROWS_NUMBERS = 'N', ROWS_TEXTS = 'T' };

enum { ROWS_TAIL_BYTES = 4096, ROWS_DRAIN_BYTES = 64 * 1024 };

struct rows {
    /* More of the response, a view until the next call; empty after its regular end. */
    enum err (*more)(void *context, struct bytes *ret_piece, struct why *why);
    void *context;
    const char *kinds;  /* letters of enum rows_kind, one per column */
    struct bytes piece; /* the unread rest of the last piece */
    struct buf rest;    /* a value that continues in the next piece */
    bool ended;
    enum err failed;
    struct why why;
    /* The end of the response, where a late error is. */
    uint8_t tail[ROWS_TAIL_BYTES];
    size_t tail_size;
};

void rows_init(struct rows *rows, struct budget *budget);
void rows_fini(struct rows *rows);
/* Called before the first row of a response. */
void rows_begin(struct rows *rows, const char *kinds,
                enum err (*more)(void *context, struct bytes *ret_piece, struct why *why),
                void *context);

/* False after the last row, or after a failure. */
bool rows_next(struct rows *rows);
/* A view until the next call. */
struct bytes rows_text(struct rows *rows);
uint64_t rows_number(struct rows *rows);
/* The number of items of an array. ERR_FULL: more than `max`. */
uint32_t rows_count(struct rows *rows, uint32_t max);
/* Reads an array of numbers of 8 bytes into `to`, which is cleared. Returns how many. */
uint32_t rows_numbers(struct rows *rows, uint32_t max, struct buf *to);

/* Called after ERR_CORRUPT: reads the rest, or much of it, so that the tail has the end. */
void rows_drain(struct rows *rows);

enum { CLICKHOUSE_ILLEGAL_FINAL = 181 }; /* a code of ClickHouse */

struct clickhouse_exchange {
    struct fetch_exchange base;           /* first; its body is the statement */
    const struct clickhouse_table *table; /* settings are sent for it; NULL if they must not be */
    struct rows rows;
    uint32_t code;     /* code of the last error; 0 if the response has no code */
    bool form_changed; /* ClickHouse does not know the table or a column */
};

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
