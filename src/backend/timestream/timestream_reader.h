/*
 * timestream_reader.h - shared by the files of the source type timestream. Private to
 * backend/timestream.
 *
 *     timestream_reader.c    queries, series, samples of blocks of series, look-ups
 *     columns.c              the table's columns, and their labels
 *     statement.c            SQL
 *     timestream_answer.c    pages of answers
 *
 * A question is answered in three steps: the columns of the table, its series (one row each, with
 * the number of samples), and samples of blocks of series, several pieces of time at once.
 */
#ifndef BACKEND_TIMESTREAM_TIMESTREAM_READER_H
#define BACKEND_TIMESTREAM_TIMESTREAM_READER_H

#include "backend/aws/credentials.h"
#include "backend/fetch/fetch_reader.h"
#include "base/buf.h"
#include "base/mem.h"

/*
 * A page of a response of Timestream to a query:
 *
 *     {"QueryId":"...","NextToken":"...","Rows":[{"Data":[{"ScalarValue":"up"},{"NullValue":true}]}],
 *      "ColumnInfo":[...],"QueryStatus":{"CumulativeBytesScanned":10000000,...}}
 *
 * Members come in any order; unknown members are skipped. Source: the API reference of Amazon
 * Timestream Query.
 */

enum { PAGE_COLUMNS_MAX = 512, PAGE_TOKEN_BYTES_MAX = 64 * 1024 };

/* Receives rows. A cell is the text of a scalar; `at` is NULL for null. */
struct page_sink {
    enum err (*row)(void *context, const struct bytes *cells, struct why *why);
    void *context;
};

struct timestream_page {
    struct buf token;       /* NextToken; empty on the last page */
    struct buf query;       /* QueryId */
    uint64_t scanned_bytes; /* by the query so far */
};
void page_init(struct timestream_page *page, struct budget *budget);
void page_fini(struct timestream_page *page);

/* Reads a page and gives its rows of `columns` cells; views end with the call. An error of the sink
 * ends the reading and is returned. ERR_CORRUPT: it is not such a page; ERR_NOMEM: `scratch` or
 * `page` is full. */
MUST_CHECK enum err page_read(struct timestream_page *page, struct bytes body, uint32_t columns,
                              struct arena *scratch, const struct page_sink *to, struct why *why);

struct timestream_reader {
    struct fetch_reader base;         /* first */
    char service[AWS_ENDPOINT_BYTES]; /* endpoint of the service */
    bool is_fixed; /* `service` gets all requests; otherwise it reports the address of the cell */

    /* Guarded by the lock of `base`. */
    char address[AWS_ENDPOINT_BYTES]; /* address of the cell; "" if unknown */
    int64_t address_due_ns;
    struct buf columns;         /* as columns_take() reads them; empty before the first query */
    int64_t columns_queried_ns; /* when the query for them was sent */
};

/* --- columns.c -------------------------------------------------------------------------------- */

enum { TIMESTREAM_COLUMNS_MAX = 256 };

/* A dimension of the table. */
struct dimension {
    struct bytes column; /* its name in the table */
    struct bytes label;  /* its label; empty for keepers and the dimensions whose names they keep */
    uint32_t keeper; /* the dimension that keeps the label's name; UINT32_MAX if there is none */
    bool is_keeper;  /* it keeps the names of other dimensions */
};

struct timestream_columns {
    struct dimension dimensions[TIMESTREAM_COLUMNS_MAX];
    uint32_t count;
    bool has_double, has_varchar;
    bool is_raw; /* names are not coded: schema connector */
};

/* True if rows may have the label in the dimension. */
static inline bool
dimension_may_have(const struct dimension *d, struct bytes label)
{
    return !d->is_keeper && (d->keeper != UINT32_MAX || bytes_equal(d->label, label));
}

/* Appends a row of DESCRIBE. */
void columns_put(struct buf *to, const struct bytes *cells);
enum { DESCRIBE_COLUMNS = 3 };
/* Reads the rows that columns_put() appended. Texts lie in `arena`. ERR_IO: the table cannot be
 * read with this schema; ERR_LIMIT: too many dimensions; ERR_NOMEM. */
MUST_CHECK enum err columns_take(struct timestream_columns *columns, struct bytes kept,
                                 const struct timestream_read_settings *settings,
                                 struct arena *arena, struct why *why);

/* Makes the labels of a row from its measure and a value for each dimension, whose `at` is NULL if
 * it has none. Texts lie in the row, in the columns or in `arena`. There is room for
 * FINAL_LABELS_MAX. ERR_NOMEM. */
MUST_CHECK enum err columns_labels(const struct timestream_columns *columns, struct bytes measure,
                                   const struct bytes *values, struct arena *arena,
                                   struct label *labels, uint32_t *ret_count, struct why *why);

/* Reads "2006-01-02 15:04:05.000000000", UTC, as Unix milliseconds, rounded down. False if it is
 * invalid. */
bool timestream_time_read(struct bytes text, int64_t *ret_ms);

struct timestream_question;

/* --- statement.c; out of memory shows in buf_error(to) ---------------------------------------- */

/* Columns of look-ups. */
struct timestream_wanted {
    bool measure;
    bool dimensions[TIMESTREAM_COLUMNS_MAX];
};
/* A series: its measure, and the values of all dimensions as they are stored; `at` is NULL if there
 * is none. */
struct timestream_key {
    struct bytes measure;
    struct bytes values[TIMESTREAM_COLUMNS_MAX];
};
/* The columns in which the series of a block differ. */
struct timestream_varying {
    bool measure;
    uint32_t dimensions[TIMESTREAM_COLUMNS_MAX];
    uint32_t count;
};

struct timestream_question {
    struct fetch_question base; /* first; `scratch` lives as long as a row */
    struct timestream_columns columns;
    struct timestream_wanted wanted; /* values wanted by a FETCH_VALUES */
    struct buf key;

    /* The block that is fetched. */
    const struct series_block *block;
    struct timestream_varying varying;
    struct table numbers; /* numbers of its keys by hash */
    struct timestream_key one, other;

    uint64_t junk; /* rows whose value Firekeep cannot have written */
    struct why warning;
};

/* The statement that lists the columns of the table. */
void statement_describe(struct buf *to, const struct timestream_read_settings *settings);
/* False if no series can be selected. */
bool statement_may_select(const struct timestream_question *q);
/* Rows have measure, each dimension, number of samples, first time, last time. */
void statement_series(struct buf *to, const struct timestream_question *q);

/* Finds the columns that may have the label, and those that matchers need. Returns how many; 0 if
 * no row has the label. */
uint32_t statement_wanted(const struct timestream_question *q, struct bytes label,
                          struct timestream_wanted *ret);
/* Rows have these columns, the measure first; each row once. */
void statement_distinct(struct buf *to, const struct timestream_question *q,
                        const struct timestream_wanted *wanted);
/* One row: the least and the greatest measure, and for each dimension a value, if there is one.
 * Matchers are ignored. */
void statement_filled(struct buf *to, const struct timestream_question *q);

/* Samples of series, given by the first of them and the columns in which they differ. Rows have
 * time, the double, the varchar (null if the table has none), the measure if it varies, varying
 * dimensions. `selected`: a condition on the varying columns; empty for all rows. */
void statement_samples(struct buf *to, const struct timestream_question *q,
                       const struct timestream_key *one, const struct timestream_varying *varying,
                       struct bytes selected, int64_t min_ms, int64_t max_ms);
/* Appends a series to `selected`. */
void statement_selected_put(struct buf *to, const struct timestream_question *q,
                            const struct timestream_key *key,
                            const struct timestream_varying *varying);

#endif
