/*
 * reading.h - what the files of the source type timestream share. Private to backend/timestream.
 *
 *     timestream_reader.c  the answerer: which series there are, and their samples by blocks
 *     columns.c            what the table's columns are called, and which labels they stand for
 *     statement.c          SQL
 *     asking.c             queries, page by page
 *     page.c               a page
 *
 * A question is answered in three steps: what columns the table has, which series (one row each,
 * with the number of their samples), and samples by blocks of series (series_blocks.h), several
 * pieces of time at once.
 */
#ifndef BACKEND_TIMESTREAM_READING_H
#define BACKEND_TIMESTREAM_READING_H

#include "backend/aws/credentials.h"
#include "backend/common/series_blocks.h"
#include "backend/fetch/fetch.h"
#include "backend/timestream/page.h"
#include "base/lock.h"

struct timestream_reader {
    struct answerer answerer; /* first: it is handed out */
    struct reader_options options;
    struct external_labels external;
    struct fetcher *fetcher;
    char service[AWS_ENDPOINT_BYTES]; /* where to ask for the address, */
    bool is_fixed;                    /* or where all requests go */

    struct lock lock;                 /* LOCK_RANK_SOURCE; guards the rest */
    char address[AWS_ENDPOINT_BYTES]; /* of the cell; "": not known */
    int64_t address_due_ns;
    struct buf columns;       /* as columns_take() reads them; empty: not asked yet */
    int64_t columns_asked_ns; /* when the question for them was sent */
};

struct timestream_view {
    struct fetch_view base; /* first */
    int64_t opened_ns;
    _Atomic uint64_t scanned_bytes;
};

static inline struct timestream_reader *
timestream_reader_of(const struct timestream_view *view)
{
    return (struct timestream_reader *)view->base.of;
}

/* --- columns.c -------------------------------------------------------------------------------- */

enum { TIMESTREAM_COLUMNS_MAX = 256 };

/* A dimension of the table. */
struct dimension {
    struct bytes column; /* as it is called there */
    struct bytes label;  /* the label that it stands for; of keepers and what they keep empty */
    uint32_t keeper;     /* the dimension that has the label's name; UINT32_MAX: none */
    bool is_keeper;      /* it has the names of others */
};

struct timestream_columns {
    struct dimension dimensions[TIMESTREAM_COLUMNS_MAX];
    uint32_t count;
    bool has_double, has_varchar;
    bool is_raw; /* names stand for themselves: schema connector */
};

/* Whether rows may have the label there. */
static inline bool
dimension_may_have(const struct dimension *d, struct bytes label)
{
    return !d->is_keeper && (d->keeper != UINT32_MAX || bytes_equal(d->label, label));
}

/* A row of DESCRIBE, to be kept. */
void columns_put(struct buf *to, const struct bytes *cells);
enum { DESCRIBE_COLUMNS = 3 };
/* What was kept. Texts lie in `arena`. ERR_IO: it is no table that can be read so; ERR_LIMIT: too
 * many dimensions; ERR_NOMEM. */
MUST_CHECK enum err columns_take(struct timestream_columns *columns, struct bytes kept,
                                 const struct timestream_read_settings *settings,
                                 struct arena *arena, struct why *why);

/*
 * The labels of a row: its measure, and a value for each dimension; `at` NULL: it has none.
 * Texts lie in the row, in the columns or in `arena`. *ret_count of FINAL_LABELS_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err columns_labels(const struct timestream_columns *columns, struct bytes measure,
                                   const struct bytes *values, struct arena *arena,
                                   struct label *labels, uint32_t *ret_count, struct why *why);

/* "2006-01-02 15:04:05.000000000", UTC, as Unix milliseconds, rounded down. False: it is no time.
 */
bool timestream_time_read(struct bytes text, int64_t *ret_ms);

/* --- asking.c --------------------------------------------------------------------------------- */

/* One query, and its answer page by page. */
struct timestream_asking {
    struct timestream_view *view;
    struct query_control *control;
    struct buf statement;
    uint32_t columns; /* of its rows */
    char client_token[33];
    char url[AWS_ENDPOINT_BYTES + 1];
    struct buf body;
    struct buf answer;
    struct timestream_page page;
    struct arena scratch;
    uint64_t counted_bytes; /* that were scanned, and are counted */
    struct fetch *fetch;    /* of the next page; NULL: there is none */
};
void asking_init(struct timestream_asking *a, struct timestream_view *view,
                 struct query_control *control);
void asking_fini(struct timestream_asking *a);

/* Sends the statement, and waits for nothing but the address. */
MUST_CHECK enum err asking_begin(struct timestream_asking *a, uint32_t columns, struct why *why);
/* Whether there is another page to be read. */
bool asking_has_more(const struct timestream_asking *a);
/* Reads it, and asks for the one after it. Errors of fetch.h and page.h; ERR_LIMIT: more than the
 * source may scan for a query. */
MUST_CHECK enum err asking_page(struct timestream_asking *a, const struct page_sink *to,
                                struct why *why);
/* All pages, one after another. */
MUST_CHECK enum err asking_all(struct timestream_asking *a, uint32_t columns,
                               const struct page_sink *to, struct why *why);
/* What was not read is given up; with `cancel` the service is told. */
void asking_end(struct timestream_asking *a, bool cancel);

/* --- statement.c; out of memory shows in buf_error(to) ---------------------------------------- */

struct timestream_question {
    struct timestream_view *view;
    struct timestream_reader *of;
    struct query_control *control;
    struct budget *budget;
    struct timestream_columns columns;
    int64_t min_ms, max_ms; /* within what Timestream's times are; min > max: nothing is asked */
    struct matcher **matchers;
    uint32_t matcher_count;
    struct arena arena;
};

/* A name, or a text, of any bytes. */
void statement_identifier_put(struct buf *to, struct bytes name);
void statement_text_put(struct buf *to, struct bytes text);

void statement_describe(struct buf *to, const struct timestream_read_settings *settings);
/* False: no series can be selected; nothing was written. */
bool statement_may_select(const struct timestream_question *q);
/* Rows: measure, each dimension, number of samples, first time, last time. */
void statement_series(struct buf *to, const struct timestream_question *q);

/* Columns of look-ups. */
struct timestream_wanted {
    bool measure;
    bool dimensions[TIMESTREAM_COLUMNS_MAX];
};
/* Those that may have the label, and those that tell whether a row is selected. Returns how many;
 * 0: no row has the label. */
uint32_t statement_wanted(const struct timestream_question *q, struct bytes label,
                          struct timestream_wanted *ret);
/* Rows: of these, the measure first, what there is, each once. */
void statement_distinct(struct buf *to, const struct timestream_question *q,
                        const struct timestream_wanted *wanted);
/* One row: the least and the greatest measure, and of each dimension a value, if there is one,
 * whatever the matchers are. */
void statement_filled(struct buf *to, const struct timestream_question *q);

/* A series: its measure, and the values of all dimensions (`at` NULL: none), as they are stored. */
struct timestream_key {
    struct bytes measure;
    struct bytes values[TIMESTREAM_COLUMNS_MAX];
};
/* In what the series of a block differ. */
struct timestream_varying {
    bool measure;
    uint32_t dimensions[TIMESTREAM_COLUMNS_MAX];
    uint32_t count;
};
/*
 * Of series: the first one, and in what others differ. Rows: time, the double, the varchar (null
 * where the table has none), the measure if it varies, varying dimensions. `selected`: what the
 * series have, of those that vary; empty: all that is so.
 */
void statement_samples(struct buf *to, const struct timestream_question *q,
                       const struct timestream_key *one, const struct timestream_varying *varying,
                       struct bytes selected, int64_t min_ms, int64_t max_ms);
/* One of the series, for `selected`. */
void statement_selected_put(struct buf *to, const struct timestream_question *q,
                            const struct timestream_key *key,
                            const struct timestream_varying *varying);

#endif
