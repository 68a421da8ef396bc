/*
 * exchange.h - one statement of a question to ClickHouse after another, and its response row by row
 * as it arrives. Private to backend/clickhouse.
 *
 * Errors of ClickHouse instead of rows or after some rows become ERR_AGAIN or ERR_IO, or ERR_FULL
 * if it has not enough memory for the statement, or must not read so much.
 *
 * Threads: one.
 */
#ifndef BACKEND_CLICKHOUSE_EXCHANGE_H
#define BACKEND_CLICKHOUSE_EXCHANGE_H

#include "backend/clickhouse/rows.h"
#include "backend/clickhouse/table.h"
#include "backend/fetch/exchange.h"
#include "backend/fetch/fetch_reader.h"

enum { CLICKHOUSE_ILLEGAL_FINAL = 181 }; /* a code of ClickHouse */

struct clickhouse_exchange {
    struct fetch_exchange base;           /* first; its body is the statement */
    const struct clickhouse_table *table; /* settings are sent for it; NULL if they must not be */
    struct rows rows;
    uint32_t code;     /* code of the last error; 0 if the response has no code */
    bool form_changed; /* ClickHouse does not know the table or a column */
};

void clickhouse_exchange_init(struct clickhouse_exchange *x, struct fetch_question *q);
void clickhouse_exchange_fini(struct clickhouse_exchange *x);

/* Ends the statement before. If settings are sent, ClickHouse stops when the connection is closed,
 * and omits no rows without an error. */
void clickhouse_exchange_begin(struct clickhouse_exchange *x);
/* Sends the statement and waits until its response begins; its rows are of these kinds (rows.h). */
MUST_CHECK enum err clickhouse_exchange_rows(struct clickhouse_exchange *x, const char *kinds,
                                             struct why *why);
/* Does the same for a response that has no rows: reads all of it. */
MUST_CHECK enum err clickhouse_exchange_text(struct clickhouse_exchange *x, struct buf *to,
                                             struct why *why);
/* Ends the request after rows_next() was false: OK if that was after the last row. */
MUST_CHECK enum err clickhouse_exchange_end(struct clickhouse_exchange *x, struct why *why);
/* Puts the address before `why` and ends the request. Returns `e`. */
enum err clickhouse_exchange_failed(struct clickhouse_exchange *x, enum err e, struct why *why);

#endif
