/*
 * asking.h - one query to ClickHouse, and its answer row by row as it comes. Private to
 * backend/clickhouse.
 *
 * Errors of ClickHouse that come instead of rows or after some of them become ERR_AGAIN or ERR_IO;
 * ERR_FULL: it has not enough memory for what was asked, or may not read so much.
 *
 * Threads: one.
 */
#ifndef BACKEND_CLICKHOUSE_ASKING_H
#define BACKEND_CLICKHOUSE_ASKING_H

#include "backend/clickhouse/rows.h"
#include "backend/fetch/fetch.h"

enum { CLICKHOUSE_ILLEGAL_FINAL = 181 }; /* a code */

struct clickhouse_ask {
    const struct source_settings *settings;
    struct fetch_session *session;
    struct query_control *control;
    bool cancels; /* ClickHouse is told to stop when we do not read on */
    struct buf url;
    struct buf query; /* the statement; emptied by clickhouse_ask_begin() */
    struct fetch *fetch;
    struct rows rows;
    uint32_t code;     /* of its last error; 0: it has none */
    bool form_changed; /* it no longer knows table or columns as they were */
};

void clickhouse_ask_init(struct clickhouse_ask *ask, const struct source_settings *settings,
                         struct fetch_session *session, struct query_control *control,
                         struct budget *budget);
void clickhouse_ask_fini(struct clickhouse_ask *ask);

void clickhouse_ask_begin(struct clickhouse_ask *ask);
/* Sends the query and waits until its answer begins; its rows are of these kinds (rows.h). */
MUST_CHECK enum err clickhouse_ask_rows(struct clickhouse_ask *ask, const char *kinds,
                                        struct why *why);
/* The same, of an answer that is no rows: all of it. */
MUST_CHECK enum err clickhouse_ask_text(struct clickhouse_ask *ask, struct buf *to,
                                        struct why *why);
/* After rows_next() was false: OK if that was the last row; else why not. The request ends. */
MUST_CHECK enum err clickhouse_ask_end(struct clickhouse_ask *ask, struct why *why);
/* That the answer is damaged, or says no, as `why` says already: returns `e`. The request ends. */
enum err clickhouse_ask_failed(struct clickhouse_ask *ask, enum err e, struct why *why);
/* What was not read is given up. */
void clickhouse_ask_stop(struct clickhouse_ask *ask);

#endif
